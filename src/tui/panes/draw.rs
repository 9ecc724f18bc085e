//! Draws a [`Screen`]: no clock, no decisions.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Widget};

use super::dialog::DialogView;
use super::draw_chart::draw_chart;
use super::draw_wall::draw_wall;
use crate::tui::footer::cut_name;
use crate::tui::screen::{Cell, HEIGHT_MIN, Offered, Piece, Screen, TableView, WIDTH_MIN};
use crate::tui::theme::{Meaning, Theme};

const HELP_WIDTH: u16 = 76;
const LEGEND: [&str; 4] = [
    " ✖ CRITICAL ? UNKNOWN ▲ WARNING ● OK ~ too old",
    " … not yet confirmed · nobody watches this; a gap",
    " D L B C H  disk, logs, backup, cron, host",
    " SEEN  how long ago the newest value came; counts are of hosts",
];
const OFFERED_WIDTH: u16 = 78;

pub fn draw(frame: &mut Frame, screen: &Screen, theme: &Theme) {
    let area = frame.area();
    draw_all(frame.buffer_mut(), area, screen, theme);
    theme.glyphs().lower(frame.buffer_mut());
}

fn draw_all(buffer: &mut Buffer, area: Rect, screen: &Screen, theme: &Theme) {
    buffer.set_style(area, theme.style(Meaning::Plain));
    if let Some(wall) = &screen.wall {
        return draw_wall(buffer, area, wall, theme);
    }
    line(buffer, row(area, 0), &screen.header, theme);
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let needed = format!("enlarge to {WIDTH_MIN}×{HEIGHT_MIN}");
        line(buffer, row(area, 1), &[Piece { text: needed, meaning: Meaning::Dim }], theme);
        return;
    }
    let mut y = 1;
    if let Some(banner) = &screen.banner {
        let area = row(area, y);
        buffer.set_style(area, theme.style(Meaning::Banner));
        buffer.set_stringn(
            area.x + 1,
            area.y,
            banner,
            usize::from(area.width.saturating_sub(1)),
            theme.style(Meaning::Banner),
        );
        y += 1;
    }
    line(buffer, row(area, y), &screen.title, theme);
    let detail_height = screen.detail.len() as u16;
    let chart_height = screen.chart.as_ref().map_or(0, |chart| chart.rows);
    let below = detail_height + chart_height;
    let body = Rect { y: area.y + y + 1, height: area.height.saturating_sub(y + 2 + below), ..area };
    table(buffer, body, &screen.table, theme);
    if let Some(chart) = &screen.chart {
        draw_chart(buffer, Rect { y: body.bottom(), height: chart_height, ..area }.intersection(area), chart, theme);
    }
    for (index, pieces) in (0..).zip(&screen.detail) {
        line(buffer, row(area, area.height - 1 - detail_height + index), pieces, theme);
    }
    line(buffer, row(area, area.height - 1), &screen.footer, theme);
    if let Some(dialog) = &screen.dialog {
        let over = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
        draw_dialog(buffer, over, dialog, theme);
    }
    if let Some(offered) = &screen.offered {
        draw_offered(buffer, area, offered, theme);
    }
    if let Some(help) = &screen.help {
        draw_help(buffer, area, help, screen.help_scroll, theme);
    }
}

fn row(area: Rect, y: u16) -> Rect {
    Rect { y: area.y + y, height: 1, ..area }.intersection(area)
}

pub fn line(buffer: &mut Buffer, area: Rect, pieces: &[Piece], theme: &Theme) {
    let spans = pieces.iter().map(|piece| Span::styled(piece.text.as_str(), theme.style(piece.meaning)));
    Line::from_iter(spans).render(area, buffer);
}

pub fn table(buffer: &mut Buffer, area: Rect, table: &TableView, theme: &Theme) {
    if area.is_empty() {
        return;
    }
    let heading = theme.style(Meaning::Dim);
    for (x, width, column) in places(area, table).filter(|(_, width, _)| 0 < *width) {
        buffer.set_stringn(x, area.y, column, width, heading);
    }
    if table.rows.is_empty() {
        let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
        Paragraph::new(table.empty).style(heading).render(below, buffer);
        return;
    }
    for (index, cells) in table.rows.iter().enumerate().take(usize::from(area.height) - 1) {
        let y = area.y + 1 + index as u16;
        for ((x, width, _), cell) in places(area, table).zip(cells) {
            match cell {
                Cell::Text(_) if width == 0 => {}
                Cell::Text(piece) => {
                    buffer.set_stringn(x, y, cut_name(&piece.text, width), width, theme.style(piece.meaning));
                }
                Cell::Strip(pieces) => {
                    // One cell each.
                    for ((part, x), _) in pieces.iter().zip(x..).zip(0..width) {
                        buffer.set_stringn(x, y, &part.text, 1, theme.style(part.meaning));
                    }
                }
                Cell::Trend(points) if 0 < width => {
                    let area = Rect { x, y, width: width as u16, height: 1 };
                    Sparkline::default()
                        .data(points.iter().copied())
                        .max(100)
                        .absent_value_symbol("·")
                        .style(theme.style(Meaning::Trend))
                        .render(area, buffer);
                }
                Cell::Trend(_) => {}
            }
        }
        if table.selected == Some(index) {
            buffer.set_style(Rect { y, height: 1, ..area }, theme.style(Meaning::Selected));
        }
    }
}

/// Where each column stands and how wide it is; one without room is 0 wide.
fn places<'a>(area: Rect, table: &'a TableView) -> impl Iterator<Item = (u16, usize, &'static str)> + 'a {
    let mut x = area.x;
    table.columns.iter().map(move |column| {
        let at = x;
        let width = column.width.min(area.right().saturating_sub(at));
        let gap = u16::from(0 < column.width);
        x = x.saturating_add(column.width).saturating_add(gap).min(area.right());
        (at, usize::from(width), column.title)
    })
}

/// The palette's choices, over the rows just above the footer.
fn draw_offered(buffer: &mut Buffer, area: Rect, offered: &Offered, theme: &Theme) {
    let Offered { title, choices: offered } = offered;
    let height = (offered.len().max(1) as u16 + 2).min(area.height - 1);
    let over = Rect { y: area.bottom() - 1 - height, height, width: OFFERED_WIDTH.min(area.width), ..area };
    Clear.render(over, buffer);
    buffer.set_style(over, theme.style(Meaning::Plain));
    let lines: Vec<Line> = match offered.as_slice() {
        [] => vec![Line::from(" nothing is named so")],
        offered => {
            offered.iter().map(|choice| Line::styled(choice.text.as_str(), theme.style(choice.meaning))).collect()
        }
    };
    Paragraph::new(lines)
        .block(Block::bordered().title(*title).border_style(theme.style(Meaning::Border)))
        .render(over, buffer);
}

/// A plan with its question and its buttons, framed: nothing that a host says is outside of the frame.
fn draw_dialog(buffer: &mut Buffer, over: Rect, dialog: &DialogView, theme: &Theme) {
    Clear.render(over, buffer);
    buffer.set_style(over, theme.style(Meaning::Plain));
    let block = Block::bordered().title(dialog.title.as_str()).border_style(theme.style(Meaning::Border));
    let inner = block.inner(over);
    block.render(over, buffer);
    let inside =
        |y: u16| Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), y, height: 1 }.intersection(inner);
    for (index, pieces) in (0..).zip(&dialog.lines) {
        line(buffer, inside(inner.y + index), pieces, theme);
    }
    let last = inner.bottom().saturating_sub(1);
    line(buffer, inside(last.saturating_sub(1)), &dialog.question, theme);
    line(buffer, inside(last), &dialog.buttons, theme);
}

fn draw_help(buffer: &mut Buffer, area: Rect, help: &[(String, &'static str)], scroll: usize, theme: &Theme) {
    let columns = if HELP_WIDTH <= area.width { 2 } else { 1 };
    let height = (help.len().div_ceil(columns) + LEGEND.len() + 3).min(usize::from(area.height)) as u16;
    let width = HELP_WIDTH.min(area.width);
    let over = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    Clear.render(over, buffer);
    buffer.set_style(over, theme.style(Meaning::Plain));
    let half = usize::from(width - 2) / columns;
    let key = |(keys, what): &(String, &'static str)| {
        let room = half.saturating_sub(11);
        [
            Span::styled(format!(" {keys:<9} "), theme.style(Meaning::Key)),
            Span::styled(format!("{what:<room$}"), theme.style(Meaning::Plain)),
        ]
    };
    let rows = help.len().div_ceil(columns);
    let row = |index: usize| Line::from_iter(help.iter().skip(index).step_by(rows.max(1)).flat_map(key));
    let lines: Vec<Line> = (0..rows).map(row).chain([Line::default()]).chain(LEGEND.map(Line::from)).collect();
    let room = usize::from(height.saturating_sub(2));
    let title = if room < lines.len() { " Help: ↑ ↓ PgDn, Esc closes " } else { " Help: Esc closes " };
    let above = scroll.min(lines.len().saturating_sub(room)) as u16;
    Paragraph::new(lines)
        .scroll((above, 0))
        .block(Block::bordered().title(title).border_style(theme.style(Meaning::Border)))
        .render(over, buffer);
}
