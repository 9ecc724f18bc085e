//! Draws a [`WallView`]: no clock, no decisions.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Widget};
use tui_big_text::{BigText, PixelSize};
use unicode_width::UnicodeWidthStr;

use super::draw::{line, table};
use super::wall::WallView;
use crate::tui::theme::{Meaning, Theme};

/// Rows above and below the big counts.
const HEADER_ROWS: u16 = 1;
const LABEL_ROWS: u16 = 1;

/// How large the big text is on a screen, and how many rows it takes; `None` where there is room for none.
fn big(width: u16, height: u16) -> Option<(PixelSize, u16)> {
    match (width, height) {
        (160.., 40..) => Some((PixelSize::Full, 8)),
        (100.., 30..) => Some((PixelSize::HalfHeight, 4)),
        (60.., 20..) => Some((PixelSize::Quadrant, 4)),
        _ => None,
    }
}

/// Rows that the tables of a wall have in all.
pub fn table_rows(width: u16, height: u16) -> usize {
    let counts = big(width, height).map_or(1, |(_, rows)| rows + LABEL_ROWS);
    usize::from(height.saturating_sub(HEADER_ROWS + counts + 1))
}

pub fn draw_wall(buffer: &mut Buffer, area: Rect, wall: &WallView, theme: &Theme) {
    line(buffer, Rect { height: 1, ..area }, &wall.header, theme);
    let clock = wall.clock.width() as u16;
    if clock < area.width {
        let place = Rect { x: area.right() - clock, width: clock, height: 1, ..area };
        Line::styled(wall.clock.as_str(), theme.style(Meaning::Heading)).render(place, buffer);
    }
    let mut y = area.y + HEADER_ROWS;
    y += match (&wall.stale, big(area.width, area.height)) {
        (Some(why), size) => draw_stale(buffer, below(area, y), why, size, theme),
        (None, Some((size, rows))) => draw_counts(buffer, below(area, y), wall, size, rows, theme),
        (None, None) => draw_small_counts(buffer, below(area, y), wall, theme),
    };
    let rows = table_rows(area.width, area.height);
    let each = (rows / wall.sections.len().max(1)) as u16;
    for (title, content) in &wall.sections {
        line(buffer, Rect { height: 1, ..below(area, y) }.intersection(area), title, theme);
        let place = below(area, y + 1);
        table(buffer, Rect { height: place.height.min(each.saturating_sub(1)), ..place }, content, theme);
        y += each;
    }
}

fn below(area: Rect, y: u16) -> Rect {
    Rect { y: y.min(area.bottom()), height: area.bottom().saturating_sub(y), ..area }
}

fn big_text(text: &str, size: PixelSize, style: Style) -> BigText<'_> {
    BigText::builder().pixel_size(size).style(style).lines(vec![Line::from(text)]).alignment(Alignment::Center).build()
}

fn draw_counts(buffer: &mut Buffer, area: Rect, wall: &WallView, size: PixelSize, rows: u16, theme: &Theme) -> u16 {
    let width = area.width / wall.counts.len().max(1) as u16;
    for (index, (count, word)) in (0..).zip(&wall.counts) {
        let column = Rect { x: area.x + index * width, width, ..area };
        big_text(count, size, theme.style(word.meaning))
            .render(Rect { height: rows.min(area.height), ..column }, buffer);
        let label = Rect { y: column.y + rows, height: LABEL_ROWS, ..column }.intersection(area);
        Paragraph::new(word.text.as_str())
            .alignment(Alignment::Center)
            .style(theme.style(word.meaning))
            .render(label, buffer);
    }
    rows + LABEL_ROWS
}

fn draw_small_counts(buffer: &mut Buffer, area: Rect, wall: &WallView, theme: &Theme) -> u16 {
    let pieces: Vec<_> = wall
        .counts
        .iter()
        .map(|(count, word)| crate::tui::screen::piece(format!(" {count} {} ", word.text), word.meaning))
        .collect();
    line(buffer, Rect { height: 1.min(area.height), ..area }, &pieces, theme);
    1
}

fn draw_stale(buffer: &mut Buffer, area: Rect, why: &str, size: Option<(PixelSize, u16)>, theme: &Theme) -> u16 {
    let style = theme.style(Meaning::Banner);
    let rows = size.map_or(0, |(_, rows)| rows);
    let place = Rect { height: (rows + LABEL_ROWS).min(area.height), ..area };
    buffer.set_style(place, style);
    if let Some((size, rows)) = size {
        big_text("STALE", size, style).render(Rect { height: rows.min(place.height), ..place }, buffer);
    }
    let label = Rect { y: place.y + rows, height: LABEL_ROWS, ..place }.intersection(place);
    Paragraph::new(format!("STALE: {why}")).alignment(Alignment::Center).style(style).render(label, buffer);
    rows + LABEL_ROWS
}
