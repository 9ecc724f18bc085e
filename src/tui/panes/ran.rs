//! What ran on a host at a time, the heaviest first.

use chrono_tz::Tz;

use super::Built;
use crate::domain::observed::Quality;
use crate::domain::proof::acct::Ended;
use crate::domain::proof::ran::RanRow;
use crate::domain::status::Status;
use crate::domain::time::words_exact;
use crate::engine::ran::RanThen;
use crate::tui::model::Model;
use crate::tui::screen::{Cell, Column, TableView, piece, room_for_reason, window};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::when::When;
use crate::tui::wrap::wrapped;

/// Below so many columns a row has its time, its CPU, how it ended and the command.
const NARROW: u16 = 60;

/// What was asked, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub when: When,
    /// `None` while the host is asked.
    pub answer: Option<Result<RanThen, String>>,
}

pub fn build(model: &mut Model, width: u16, rows: usize) -> Built {
    let (table_rows, detail_rows) = room_for_reason(rows);
    let Some((host, asked)) = &model.ran else { return Built::default() };
    let found = asked.answer.as_ref().and_then(|answer| answer.as_ref().ok());
    let all = found.map_or(&[][..], |then| then.ran.rows.as_slice());
    let zone = found.map_or(Tz::UTC, |then| then.zone);
    model.row = model.row.min(all.len().saturating_sub(1));
    let shown = window(model.scroll, model.row, table_rows, all.len());
    let table = TableView {
        rows: all[shown.clone()].iter().map(|row| cells(row, zone, width)).collect(),
        selected: (!all.is_empty()).then(|| model.row - shown.start),
        columns: columns(width),
        empty: match &asked.answer {
            None => "asking the host; its accounting files are read from their ends",
            Some(Ok(_)) => "nothing is known to have run then",
            Some(Err(_)) => "the host could not be asked",
        },
    };
    let (from, to) = (asked.when.from.with_timezone(&zone), asked.when.to.with_timezone(&zone));
    let until = if from.date_naive() == to.date_naive() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let cut = match found.map_or(0, |then| then.ran.left_out) {
        0 => String::new(),
        count => format!(" and {count} lighter ones left out"),
    };
    let known = match &asked.answer {
        Some(Ok(_)) if width < 100 => format!(", {} known{cut}", all.len()),
        Some(Ok(_)) => format!(", {} known{cut}; the heaviest first", all.len()),
        Some(Err(_)) | None => String::new(),
    };
    let title = vec![
        piece(format!("What ran on {host}  "), Meaning::Title),
        piece(
            format!("{} to {} {}", from.format("%Y-%m-%d %H:%M:%S"), to.format(until), zone.name()),
            Meaning::Heading,
        ),
        piece(known, Meaning::Dim),
    ];
    let detail = match &asked.answer {
        None => String::new(),
        Some(Err(why)) => why.clone(),
        Some(Ok(then)) => {
            let row = all.get(model.row).map_or(String::new(), words);
            then.lacks.iter().fold(row, |told, lack| format!("{told}; {lack}")).trim_start_matches("; ").to_owned()
        }
    };
    (model.row_total, model.row_host) = (all.len(), Some(host.clone()));
    (model.page_rows, model.scroll) = (table_rows, shown.start);
    Built { title, table, detail: wrapped(&detail, usize::from(width), detail_rows), chart: None }
}

fn columns(width: u16) -> Vec<Column> {
    // A record holds fifteen bytes of a name. Where there is no room for it, how it ended is a sign.
    let (took, user, end, command) = match width {
        0..NARROW => (0, 0, 1, width.saturating_sub(8 + 9 + 1 + 6)),
        NARROW..100 => (9, 9, 11, 17),
        _ => (9, 16, 11, 17),
    };
    let fixed = 8 + took + 9 + user + command + end;
    vec![
        Column { title: "BEGAN", width: 8 },
        Column { title: "TOOK", width: took },
        Column { title: "CPU", width: 9 },
        Column { title: "USER", width: user },
        Column { title: if 1 < end { "END" } else { "" }, width: end },
        Column { title: "COMMAND", width: command },
        Column { title: "OF", width: width.saturating_sub(fixed + 6) },
    ]
}

fn cells(row: &RanRow, zone: Tz, width: u16) -> Vec<Cell> {
    let began = row.begin.with_timezone(&zone).format("%H:%M:%S").to_string();
    let status = match row.end {
        Some(Ended::Exited(0)) => Status::Ok,
        Some(Ended::Exited(_) | Ended::Killed { .. }) => Status::Warning,
        None => Status::Unknown,
    };
    let sign = glyph(status, Quality::Fresh);
    let end = match row.end {
        _ if width < NARROW => sign.to_owned(),
        Some(_) => format!("{sign} {}", row.end_words()),
        None => format!("{sign} no record"),
    };
    vec![
        Cell::Text(piece(began, Meaning::Dim)),
        Cell::Text(piece(format!("{:>8}", row.took_ms.map_or(String::new(), words_exact)), Meaning::Plain)),
        Cell::Text(piece(format!("{:>8}", row.cpu_words()), Meaning::Plain)),
        Cell::Text(piece(row.user.as_str(), Meaning::Dim)),
        Cell::Text(piece(end, Meaning::Status(status, Quality::Fresh))),
        Cell::Text(piece(row.command.as_str(), Meaning::Plain)),
        Cell::Text(piece(row.belongs_to(), Meaning::Dim)),
    ]
}

/// A row in words, for the line below and for a copy.
pub fn words(row: &RanRow) -> String {
    let terminal = if row.terminal.is_empty() { String::new() } else { format!(" on {}", row.terminal) };
    let job = row.of_job.as_ref().map_or(String::new(), |job| format!(", of cron's «{job}»"));
    let took = row.took_ms.map_or(String::new(), |took_ms| format!(" took {}", words_exact(took_ms)));
    let began = row.begin.format("%Y-%m-%d %H:%M:%S UTC");
    let cpu = match row.cpu_words() {
        none if none.is_empty() => none,
        cpu => format!(", {cpu} of CPU with its children"),
    };
    format!(
        "{} [{}] by {}{terminal} began {began}{took}{cpu}: {}{job}",
        row.command,
        row.pid,
        row.user,
        row.end_words()
    )
}
