//! Colours by meaning, in the terminal's own sixteen, on its own background.

use ratatui::style::{Color, Modifier, Style};

use crate::domain::observed::Quality;
use crate::domain::status::Status;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Dim,
    Title,
    Heading,
    Selected,
    Trend,
    Banner,
    Status(Status, Quality),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    SixteenColours,
    /// For `NO_COLOR`: bold, dim and reverse only.
    Mono,
}

impl Theme {
    pub fn style(self, meaning: Meaning) -> Style {
        let plain = Style::new();
        match (meaning, self) {
            (Meaning::Plain, _) => plain,
            (Meaning::Dim, _) => plain.add_modifier(Modifier::DIM),
            (Meaning::Title | Meaning::Heading, _) => plain.add_modifier(Modifier::BOLD),
            (Meaning::Selected, _) => plain.add_modifier(Modifier::REVERSED),
            (Meaning::Trend, Theme::SixteenColours) => plain.fg(Color::Cyan),
            (Meaning::Trend, Theme::Mono) => plain,
            (Meaning::Banner, Theme::SixteenColours) => plain.fg(Color::Black).bg(Color::Yellow),
            (Meaning::Banner, Theme::Mono) => plain.add_modifier(Modifier::REVERSED | Modifier::BOLD),
            (Meaning::Status(status, quality), theme) => {
                let style = match theme {
                    Theme::SixteenColours => status_colour(status),
                    Theme::Mono => status_weight(status),
                };
                match quality {
                    Quality::Stale | Quality::Missing => style.add_modifier(Modifier::DIM | Modifier::ITALIC),
                    Quality::Fresh | Quality::Partial => style,
                }
            }
        }
    }
}

fn status_colour(status: Status) -> Style {
    match status {
        Status::Critical => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Status::Warning => Style::new().fg(Color::Yellow),
        Status::Unknown => Style::new().fg(Color::Magenta),
        Status::Ok => Style::new().fg(Color::Green),
    }
}

fn status_weight(status: Status) -> Style {
    match status {
        Status::Critical => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        Status::Warning | Status::Unknown => Style::new().add_modifier(Modifier::BOLD),
        Status::Ok => Style::new(),
    }
}

/// The shape of a status, so that meaning never hangs on colour alone; a stale one has a shape of its own.
pub fn glyph(status: Status, quality: Quality) -> &'static str {
    match (quality, status) {
        (Quality::Stale, _) => "~",
        (_, Status::Critical) => "✖",
        (_, Status::Warning) => "▲",
        (_, Status::Unknown) => "?",
        (_, Status::Ok) => "●",
    }
}
