//! The action view: what nobody knows yet, what runs, what waits for somebody's word, and the audit below.

use chrono::DateTime;

use super::Built;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::time::short_duration;
use crate::tui::audit_board::{ActionRow, Need};
use crate::tui::model::Model;
use crate::tui::screen::{Cell, Column, Piece, TableView, piece, room_for_reason, window};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::wrap::wrapped;

pub fn build(model: &mut Model, width: u16, rows: usize) -> Built {
    let (table_rows, detail_rows) = room_for_reason(rows);
    let now_ms = model.now.utc_ms;
    let all = model.audit.as_ref().map(|audit| audit.rows(now_ms)).unwrap_or_default();
    let selected = model.row.min(all.len().saturating_sub(1));
    let shown = window(model.scroll, selected, table_rows, all.len());
    let detail = all.get(selected).map(|row| format!("{}: {}: {}", row.who, row.what, row.words)).unwrap_or_default();
    let table = TableView {
        rows: all[shown.clone()].iter().map(|row| cells(model, row)).collect(),
        selected: (!all.is_empty()).then(|| selected - shown.start),
        columns: columns(width),
        empty: "nothing was ever put on record here; a plans an action on the selected host",
    };
    (model.row_total, model.row_host) = (all.len(), None);
    (model.page_rows, model.row, model.scroll) = (table_rows, selected, shown.start);
    Built { title: title(model), table, detail: wrapped(&detail, usize::from(width), detail_rows), chart: None }
}

fn title(model: &Model) -> Vec<Piece> {
    let mut pieces = vec![piece("Actions and audit (local store)", Meaning::Heading)];
    let Some(audit) = &model.audit else { return pieces };
    if let Some(reason) = &audit.frozen {
        pieces.push(piece(format!("  FROZEN: {reason}"), Meaning::Status(Status::Critical, Quality::Fresh)));
    }
    if let Some(error) = &audit.policy_error {
        let words = format!("  holds and others' requests are not known: {error}");
        pieces.push(piece(words, Meaning::Status(Status::Warning, Quality::Fresh)));
    }
    if let Some(error) = &audit.central_error {
        let words = format!("  {} records wait for the central log: {error}", audit.waiting);
        pieces.push(piece(words, Meaning::Status(Status::Warning, Quality::Fresh)));
    }
    pieces
}

fn columns(width: u16) -> Vec<Column> {
    let (who, what) = match width {
        0..60 => (0, 16),
        60..120 => (10, 28),
        _ => (14, 40),
    };
    vec![
        Column { title: "", width: 1 },
        Column { title: "AGE", width: 4 },
        Column { title: "WHO", width: who },
        Column { title: "WHAT", width: what },
        Column { title: "", width: width.saturating_sub(1 + 4 + who + what + 4) },
    ]
}

fn cells(model: &Model, row: &ActionRow) -> Vec<Cell> {
    let fresh = |status| (glyph(status, Quality::Fresh), Meaning::Status(status, Quality::Fresh));
    let (mark, meaning) = match row.need {
        Need::Unknown => fresh(Status::Unknown),
        Need::Running => ("…", Meaning::Match),
        Need::Waiting | Need::Review => fresh(Status::Warning),
        Need::Held => ("=", Meaning::Match),
        Need::Record => (" ", Meaning::Dim),
    };
    let at = DateTime::from_timestamp_millis(row.at_ms).unwrap_or_default();
    let age = (model.now.utc() - at).to_std().map_or("future".to_owned(), short_duration);
    let words = if row.need == Need::Record { Meaning::Dim } else { Meaning::Plain };
    vec![
        Cell::Text(piece(mark, meaning)),
        Cell::Text(piece(format!("{age:>4}"), Meaning::Dim)),
        Cell::Text(piece(row.who.as_str(), Meaning::Plain)),
        Cell::Text(piece(row.what.clone(), if row.need == Need::Record { Meaning::Plain } else { Meaning::Title })),
        Cell::Text(piece(row.words.clone(), words)),
    ]
}
