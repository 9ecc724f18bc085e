//! The log view: lines of all watched logs, of one host or of all, in the order of their true times.

use chrono::{DateTime, Datelike};

use super::Built;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::time::Moment;
use crate::tui::log_book::{LineKind, LogBook, LogLine};
use crate::tui::model::Model;
use crate::tui::screen::{Cell, Column, Piece, TableView, piece, room_for_reason, window};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::wrap::wrapped;

pub fn build(model: &mut Model, width: u16, rows: usize) -> Built {
    let (table_rows, detail_rows) = room_for_reason(rows);
    let columns = columns(width);
    let Some(book) = &model.log else { return Built::default() };
    let selected = book.row();
    let shown = window(model.scroll, selected, table_rows, book.len());
    let table = TableView {
        rows: shown
            .clone()
            .filter_map(|row| book.line(row))
            .map(|(at_ms, line)| cells(model.now, at_ms, line))
            .collect(),
        selected: (!book.is_empty()).then(|| selected - shown.start),
        columns,
        empty: empty(book),
    };
    let whole = book.line(selected).map(|(_, line)| format!("{}: {}", line.watch, line.text)).unwrap_or_default();
    let detail = wrapped(&whole, usize::from(width), detail_rows);
    let title = title(book);
    (model.page_rows, model.scroll) = (table_rows, shown.start);
    Built { title, table, detail, chart: None }
}

fn title(book: &LogBook) -> Vec<Piece> {
    let state = match (book.is_paused(), book.follows(), book.waiting()) {
        (true, _, waiting) => format!(", PAUSED, {waiting} more waiting"),
        (false, true, _) => ", following".to_owned(),
        (false, false, _) => ", G follows again".to_owned(),
    };
    let forgotten = match book.forgotten {
        0 => String::new(),
        count => format!(", {count} older lines gone"),
    };
    let mut pieces = vec![piece(format!("Logs of {}, by true time", book.whose), Meaning::Heading)];
    pieces.push(piece(format!("{state}{forgotten}"), Meaning::Plain));
    pieces.extend(book.include().map(|pattern| piece(format!("  /{pattern}"), Meaning::Match)));
    pieces.extend(book.exclude().map(|pattern| piece(format!("  without {pattern}"), Meaning::Match)));
    pieces
}

fn empty(book: &LogBook) -> &'static str {
    match (book.is_watched, book.has_nothing()) {
        (false, _) => "no log is watched here: add logs = [\"/var/log/syslog\"] to hosts.toml",
        (true, true) => "no line yet; watched logs are read each second",
        (true, false) => "nothing matches: Esc shows all again",
    }
}

fn columns(width: u16) -> Vec<Column> {
    let (host, log) = match width {
        0..60 => (8, 0),
        60..120 => (12, 0),
        _ => (16, 20),
    };
    vec![
        Column { title: "UTC", width: 8 },
        Column { title: "", width: 1 },
        Column { title: "HOST", width: host },
        Column { title: "LOG", width: log },
        Column { title: "LINE", width: width.saturating_sub(8 + 1 + host + log + 4) },
    ]
}

/// The hour of today, else the day.
fn time_words(now: Moment, at_ms: i64) -> String {
    let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    let format = match (now.utc().date_naive() == at.date_naive(), now.utc().year() == at.year()) {
        (true, _) => "%H:%M:%S",
        (false, true) => "%d %b",
        (false, false) => "%Y-%m",
    };
    at.format(format).to_string()
}

fn cells(now: Moment, at_ms: i64, line: &LogLine) -> Vec<Cell> {
    let time = time_words(now, at_ms);
    let (mark, meaning) = match line.kind {
        LineKind::Plain => (" ", Meaning::Plain),
        LineKind::Error => (glyph(Status::Critical, Quality::Fresh), Meaning::Status(Status::Critical, Quality::Fresh)),
        LineKind::Gap => ("…", Meaning::Match),
    };
    let name = line.watch.as_str().rsplit('/').next().unwrap_or_default();
    vec![
        Cell::Text(piece(time, Meaning::Dim)),
        Cell::Text(piece(mark, meaning)),
        Cell::Text(piece(line.host.as_str(), Meaning::Title)),
        Cell::Text(piece(name, Meaning::Dim)),
        Cell::Text(piece(line.rest(), if line.kind == LineKind::Error { Meaning::Plain } else { meaning })),
    ]
}
