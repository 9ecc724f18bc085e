//! The fleet, by need: one row a host.
//!
//! ```text
//!  STATUS     HOST      D L B C H  TREND  SEEN REASON
//!  ✖ CRITICAL db1       ✖ ● ● ● ●  ▁▂▄▆█    3s full in 40 min: 96 % of /var; 1.2 GB left
//! ```

use unicode_width::UnicodeWidthStr;

use super::Built;
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::{CheckKind, Pane};
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::short_duration;
use crate::domain::transition::LinkState;
use crate::tui::model::Model;
use crate::tui::recurrence::whole_reason;
use crate::tui::screen::{Cell, Column, Piece, TableView, piece, reason_piece, status_piece, trend_cell, window};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::wrap::wrapped;

/// Rows for the selected host, its name among them.
const DETAIL_ROWS_MIN: usize = 6;
const DETAIL_ROWS_MAX: usize = 18;
/// As wide as the table's first column.
const STATUS_WIDTH: usize = 11;
/// Below this many rows the selected host's checks are left to its own view.
const ROWS_FOR_DETAIL: usize = 14;

pub fn build(model: &mut Model, width: u16, rows: usize) -> Built {
    // What a small fleet leaves free tells more of the selected host.
    let free = rows.saturating_sub(model.order.len() + 2);
    let detail_rows = if rows < ROWS_FOR_DETAIL { 0 } else { free.clamp(DETAIL_ROWS_MIN, DETAIL_ROWS_MAX) };
    let visible = rows.saturating_sub(detail_rows);
    model.page_rows = visible;
    let selected = model.selected_index();
    let shown = window(model.scroll, selected, visible, model.order.len());
    model.scroll = shown.start;
    let mut table = table(model, &model.order[shown.clone()], width);
    table.selected = (!model.order.is_empty()).then(|| selected - shown.start);
    let detail = match model.order.get(selected) {
        Some(name) if 0 < detail_rows => detail(model, name, usize::from(width), detail_rows),
        Some(_) | None => Vec::new(),
    };
    Built { title: vec![piece("Fleet, by need", Meaning::Heading)], table, detail, chart: None }
}

/// Some rows of the fleet, none of them selected.
pub fn table<'a>(model: &Model, names: impl IntoIterator<Item = &'a HostName>, width: u16) -> TableView {
    let columns = columns(width);
    let trend_width = usize::from(columns[3].width);
    TableView {
        rows: names.into_iter().map(|name| row(model, name, trend_width)).collect(),
        selected: None,
        columns,
        empty: "no host is watched: name some in hosts.toml",
    }
}

/// Whether a host is anything but well.
pub fn needs_somebody(model: &Model, name: &HostName) -> bool {
    model.board.hosts.get(name).is_some_and(|host| host.status(model.now) != Status::Ok)
}

fn columns(width: u16) -> Vec<Column> {
    let (host, trend) = match width {
        0..60 => (12, 0),
        60..100 => (14, 6),
        100..160 => (20, 12),
        _ => (28, 24),
    };
    let fixed = 11 + host + 9 + trend + 4 + 5;
    vec![
        Column { title: "STATUS", width: 11 },
        Column { title: "HOST", width: host },
        Column { title: "D L B C H", width: 9 },
        Column { title: "DISK", width: trend },
        Column { title: "SEEN", width: 4 },
        Column { title: "REASON", width: width.saturating_sub(fixed) },
    ]
}

fn row(model: &Model, name: &HostName, trend_width: usize) -> Vec<Cell> {
    let Some(host) = model.board.hosts.get(name) else { return Vec::new() };
    let now = model.now;
    // Each is looked at once: a frame has many rows.
    let views: Vec<CheckView> = host.views(now).collect();
    let worst = worst_of(&views);
    let status = host.status_of(views.iter().map(CheckView::rank));
    let quality = worst.as_ref().map_or(Quality::Missing, |view| view.quality);
    let (link, why) = host.link();
    let status_cell = match &worst {
        Some(view) if view.rank() == status => status_piece(view),
        Some(_) | None => {
            piece(format!("{} {}", glyph(status, Quality::Fresh), status.word()), Meaning::Status(status, quality))
        }
    };
    let age = host.probes.values().filter_map(|cell| cell.reading.as_ref()).map(|reading| reading.age(now)).min();
    let reason = match (link, why, &worst) {
        (link, Some(why), _) if link != LinkState::Connected => link_reason(model, name, link, why, worst),
        (LinkState::Connected, _, Some(view)) => reason_piece(view),
        (LinkState::Connected, _, None) => piece("connected, no answer yet", Meaning::Dim),
        (_, _, _) => piece(link.word(), Meaning::Dim),
    };
    vec![
        Cell::Text(status_cell),
        Cell::Text(piece(name.as_str(), Meaning::Title)),
        Cell::Text(pane_glyphs(&views, status)),
        trend_cell(&disk_trend(host, trend_width)),
        Cell::Text(piece(format!("{:>4}", age.map_or("-".to_owned(), |age| age.to_string())), Meaning::Dim)),
        Cell::Text(reason),
    ]
}

/// Why a host can't be reached: what it is behind, or what went wrong and what is behind it in turn.
fn link_reason(model: &Model, name: &HostName, link: LinkState, why: &SafeText, worst: Option<&CheckView>) -> Piece {
    if let Some(parent) = model.board.behind(name) {
        return piece(format!("behind {parent}, which can't be reached"), Meaning::Dim);
    }
    let hidden = match model.board.hidden_behind(name) {
        0 => String::new(),
        1 => " (1 host behind it)".to_owned(),
        count => format!(" ({count} hosts behind it)"),
    };
    let last = worst.map(|view| format!("; last: {}", view.result.reason)).unwrap_or_default();
    piece(format!("{link}{hidden}: {why}{last}"), Meaning::Plain)
}

/// The check that decides the row: the worst, then the one with least time left.
fn worst_of<'a, 'b>(views: &'b [CheckView<'a>]) -> Option<&'b CheckView<'a>> {
    views.iter().max_by_key(|view| {
        let full_at = view.result.full_at.map_or(i64::MAX, |at| at.timestamp_millis());
        (view.rank(), std::cmp::Reverse(full_at), std::cmp::Reverse(view.id))
    })
}

/// The same of a host.
pub fn worst_check<'a>(model: &Model, host: &'a HostBoard) -> Option<CheckView<'a>> {
    let views: Vec<CheckView> = host.views(model.now).collect();
    worst_of(&views).cloned()
}

/// One glyph a pane; a pane that nobody watches is a hole, not a green light.
fn pane_glyphs(views: &[CheckView], status: Status) -> Piece {
    let glyphs = Pane::ALL.map(|pane| {
        let worst = views.iter().filter(|view| view.id.pane() == pane).map(CheckView::rank).max();
        worst.map_or("·", |status| glyph(status, Quality::Fresh))
    });
    piece(glyphs.join(" "), Meaning::Status(status, Quality::Fresh))
}

/// The trend of the fullest file system.
fn disk_trend(host: &HostBoard, width: usize) -> Vec<Option<f64>> {
    let fullest = host
        .checks
        .iter()
        .filter(|(id, _)| id.kind == CheckKind::DiskSpace)
        .max_by(|a, b| value(a.1).total_cmp(&value(b.1)));
    match fullest.and_then(|(id, cell)| Some((host.trends.get(id)?, cell.result.fresh_for()))) {
        Some((trend, fresh_for)) => trend.last_points(width, fresh_for),
        None => vec![None; width],
    }
}

fn value(cell: &crate::domain::board::CheckCell) -> f64 {
    cell.result.last().value.unwrap_or(0.0)
}

fn detail(model: &Model, name: &HostName, width: usize, rows: usize) -> Vec<Vec<Piece>> {
    let Some(host) = model.board.hosts.get(name) else { return Vec::new() };
    let (link, why) = host.link();
    let since = host.link_since().map(|since| match since.age_at(model.now) {
        crate::domain::time::Age::Known(age) => format!(" for {}", short_duration(age)),
        crate::domain::time::Age::Future => String::new(),
    });
    let title = format!("{name}: {link}{}", since.unwrap_or_default());
    let mut lines = vec![vec![piece(title, Meaning::Heading)]];
    if let Some(why) = why {
        lines.extend(wrapped(why.as_str(), width, rows / 2));
    }
    let mut views: Vec<CheckView> = host.views(model.now).collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.rank()));
    let mut troubles = views.iter().filter(|view| view.rank() != Status::Ok).count();
    let mut hidden = 0;
    for (index, view) in views.iter().enumerate() {
        let is_trouble = view.rank() != Status::Ok;
        let room = rows.saturating_sub(lines.len());
        if room == 0 {
            hidden += usize::from(is_trouble);
            continue;
        }
        troubles = troubles.saturating_sub(usize::from(is_trouble));
        // The first is what the row stands there for; each other trouble gets a second row where all have their first.
        let (rows_max, reason) = match (index, is_trouble && 2 <= room.saturating_sub(troubles)) {
            (0, _) => (2, whole_reason(&model.recurrence, name, Some(host), view)),
            (_, true) => (2, reason_piece(view).text),
            (_, false) => (1, reason_piece(view).text),
        };
        let said = format!("{}  {reason}", view.id);
        let told = wrapped(&said, width.saturating_sub(STATUS_WIDTH), rows_max.min(room));
        for (row, line) in told.into_iter().enumerate() {
            let status = if row == 0 { status_piece(view) } else { piece("", Meaning::Plain) };
            let padding = " ".repeat(STATUS_WIDTH.saturating_sub(status.text.width()));
            lines.push([status, piece(padding, Meaning::Plain)].into_iter().chain(line).collect());
        }
    }
    if let (1.., Some(first)) = (hidden, lines.first_mut()) {
        first.push(piece(format!("; {hidden} more in trouble: Enter shows all"), Meaning::Plain));
    }
    lines
}
