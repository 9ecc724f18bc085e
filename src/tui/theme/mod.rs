//! Themes: what a meaning looks like. Text, numbers and glyphs never change with them.

pub mod check;
pub mod colour;
pub mod file;
pub mod glyphs;

use std::fmt;

use ratatui::style::{Color, Modifier, Style};

use self::colour::{Colour, Tier};
use self::glyphs::Glyphs;
use crate::domain::fleet::ProtectionColour;
use crate::domain::observed::Quality;
use crate::domain::status::Status;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Dim,
    Title,
    Heading,
    Key,
    Border,
    Selected,
    /// What a filter found.
    Match,
    Trend,
    Banner,
    Status(Status, Quality),
    /// The colour of a host's group, so that one sees whose machine is under one's hands.
    Protection(ProtectionColour),
}

/// A style that every theme must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Plain,
    Dim,
    Title,
    Heading,
    Key,
    Border,
    Selected,
    Match,
    Trend,
    Banner,
    Ok,
    Warning,
    Critical,
    Unknown,
    /// Laid over a status whose value is too old.
    Stale,
}

impl Role {
    pub const ALL: [Role; 15] = [
        Role::Plain,
        Role::Dim,
        Role::Title,
        Role::Heading,
        Role::Key,
        Role::Border,
        Role::Selected,
        Role::Match,
        Role::Trend,
        Role::Banner,
        Role::Ok,
        Role::Warning,
        Role::Critical,
        Role::Unknown,
        Role::Stale,
    ];

    /// As theme files write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Plain => "plain",
            Role::Dim => "dim",
            Role::Title => "title",
            Role::Heading => "heading",
            Role::Key => "key",
            Role::Border => "border",
            Role::Selected => "selected",
            Role::Match => "match",
            Role::Trend => "trend",
            Role::Banner => "banner",
            Role::Ok => "ok",
            Role::Warning => "warning",
            Role::Critical => "critical",
            Role::Unknown => "unknown",
            Role::Stale => "stale",
        }
    }

    pub fn of_status(status: Status) -> Self {
        match status {
            Status::Ok => Role::Ok,
            Status::Warning => Role::Warning,
            Status::Critical => Role::Critical,
            Status::Unknown => Role::Unknown,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One role's look; a colour that is not given is the terminal's own, or that of what lies below.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    pub foreground: Option<Colour>,
    pub background: Option<Colour>,
    pub modifiers: Modifier,
}

/// A whole theme.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    pub name: String,
    looks: [Look; Role::ALL.len()],
    tier: Tier,
    glyphs: Glyphs,
}

impl Theme {
    pub fn new(name: &str, looks: [Look; Role::ALL.len()]) -> Self {
        Self { name: name.to_owned(), looks, tier: Tier::True, glyphs: Glyphs::default() }
    }

    /// The same theme in the colours that a terminal has.
    pub fn in_tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// The same theme in the signs that a terminal has.
    pub fn in_glyphs(self, glyphs: Glyphs) -> Self {
        Self { glyphs, ..self }
    }

    pub fn glyphs(&self) -> Glyphs {
        self.glyphs
    }

    /// Whether it shows any colour at all.
    fn has_colours(&self) -> bool {
        self.looks.iter().any(|look| look.foreground.is_some() || look.background.is_some())
    }

    pub fn look(&self, role: Role) -> Look {
        self.looks[role as usize]
    }

    pub fn style(&self, meaning: Meaning) -> Style {
        let role = match meaning {
            Meaning::Plain => Role::Plain,
            Meaning::Dim => Role::Dim,
            Meaning::Title => Role::Title,
            Meaning::Heading => Role::Heading,
            Meaning::Key => Role::Key,
            Meaning::Border => Role::Border,
            Meaning::Selected => Role::Selected,
            Meaning::Match => Role::Match,
            Meaning::Trend => Role::Trend,
            Meaning::Banner => Role::Banner,
            Meaning::Status(status, _) => Role::of_status(status),
            Meaning::Protection(_) => Role::Selected,
        };
        let style = self.style_of(role);
        match meaning {
            Meaning::Status(_, Quality::Stale | Quality::Missing) => style.patch(self.style_of(Role::Stale)),
            Meaning::Protection(colour) if self.has_colours() => protected(colour),
            _ => style,
        }
    }

    fn style_of(&self, role: Role) -> Style {
        let look = self.look(role);
        let mut style = Style::new().add_modifier(look.modifiers);
        style.fg = look.foreground.map(|colour| colour.in_tier(self.tier));
        style.bg = look.background.map(|colour| colour.in_tier(self.tier));
        style
    }
}

/// On one of the terminal's own colours, which every terminal has.
fn protected(colour: ProtectionColour) -> Style {
    let (ink, ground) = match colour {
        ProtectionColour::Red => (Color::White, Color::Red),
        ProtectionColour::Yellow => (Color::Black, Color::Yellow),
        ProtectionColour::Green => (Color::Black, Color::Green),
        ProtectionColour::Blue => (Color::White, Color::Blue),
        ProtectionColour::Magenta => (Color::White, Color::Magenta),
        ProtectionColour::Cyan => (Color::Black, Color::Cyan),
    };
    Style::new().fg(ink).bg(ground).add_modifier(Modifier::BOLD)
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
