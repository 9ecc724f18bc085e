//! The selected check's curve over a day, or over its trend's own window where that is longer.
//!
//! ```text
//!  disk.space:/var over 24 h
//!             ▲         ✖        what it changed to, and when
//!  100 % │        ⡠⠔⠒⠉
//!    0 % └─────────────────
//!      Fri 04:30   16:30  04:30
//! ```

use chrono::DateTime;

use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::{CheckId, Unit, bytes_words};
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::time::words;
use crate::domain::trend::history::{HostHistory, Mark};
use crate::tui::model::Model;
use crate::tui::screen::{Piece, piece};
use crate::tui::theme::{Meaning, glyph};

/// Rows of a title, of what happened, and of the axis with its labels.
const ROWS_AROUND: usize = 4;
/// Below this many rows of a view there is no chart.
const VIEW_ROWS_MIN: usize = 18;
const ROWS_MAX: usize = 16;
/// A curve is cut where no reading came for this many of its usual distances.
const DISTANCES_MAX: i64 = 3;
const DAY_MS: i64 = 86_400_000;

/// A chart before it is drawn; times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartView {
    pub title: Vec<Piece>,
    pub rows: u16,
    /// Points without a gap between them.
    pub runs: Vec<Vec<(f64, f64)>>,
    pub x: [f64; 2],
    pub y: [f64; 2],
    pub x_labels: [String; 3],
    pub y_labels: [String; 2],
    /// What happened, each at its time.
    pub marks: Vec<(f64, Piece)>,
    /// The same in words, newest first: shown in place of a curve where there is none.
    pub events: Vec<Vec<Piece>>,
}

/// How many of a view's rows its chart takes.
pub fn rows_of(rows: usize) -> usize {
    if rows < VIEW_ROWS_MIN { 0 } else { (rows * 2 / 5).min(ROWS_MAX) }
}

/// The chart of a host's selected check.
pub fn build(model: &Model, name: &HostName, host: &HostBoard, view: &CheckView, rows: usize) -> Option<ChartView> {
    if rows <= ROWS_AROUND {
        return None;
    }
    let of_board;
    let history = match &model.history {
        Some((of, history)) if of == name && host.trend_window().as_millis() < DAY_MS as u128 => history,
        Some(_) | None => {
            of_board = HostHistory::of_board(host, model.now.utc_ms);
            &of_board
        }
    };
    // What was read some seconds ago moves on with the time.
    let to = model.now.utc_ms.max(history.to_ms);
    let from = to - (history.to_ms - history.from_ms).max(1);
    let runs = history.runs(view.id, gap_ms(history, view.id));
    let span = std::time::Duration::from_millis(u64::try_from(to - from).unwrap_or(0));
    let told = match runs.is_empty() {
        true if !view.id.kind.is_sampled() => ": yes or no, and when it changed".to_owned(),
        true => format!(" over {}: nothing is known yet", words(span)),
        false => format!(" over {}", words(span)),
    };
    let highest = runs.iter().flatten().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = match view.result.unit {
        Unit::Percent => 100.0,
        _ if highest <= 0.0 => 1.0,
        _ => highest * 1.1,
    };
    Some(ChartView {
        title: vec![piece(format!(" {}", view.id), Meaning::Heading), piece(told, Meaning::Dim)],
        rows: rows as u16,
        runs,
        x: [from as f64, to as f64],
        y: [0.0, top],
        x_labels: [from, from + (to - from) / 2, to].map(|at| time_words(at, to - from)),
        y_labels: [0.0, top].map(|value| format!("{:>7}", value_words(view.result.unit, value))),
        marks: marks(history, view.id),
        events: events(history, view.id, rows.saturating_sub(2)),
    })
}

/// What is worth a mark on a check's curve: what it became itself, and what became of the whole host.
fn marks(history: &HostHistory, check: &CheckId) -> Vec<(f64, Piece)> {
    let concerns = |mark: &&Mark| mark.check.as_ref().is_none_or(|of| of == check);
    let shown = history.marks.iter().filter(concerns).map(|mark| {
        let shown = match mark.status {
            Some(status) => piece(glyph(status, Quality::Fresh), Meaning::Status(status, Quality::Fresh)),
            None => piece("$", Meaning::Key),
        };
        (mark.at_ms as f64, shown)
    });
    // Of two that fall into one cell the later is drawn over the earlier, and trouble over its end.
    let mut shown: Vec<(f64, Piece)> = shown.collect();
    shown.sort_by_key(|(_, mark)| mark.meaning != Meaning::Status(Status::Ok, Quality::Fresh));
    shown
}

fn events(history: &HostHistory, check: &CheckId, rows: usize) -> Vec<Vec<Piece>> {
    let concerns = |mark: &&Mark| mark.check.as_ref().is_none_or(|of| of == check);
    let told = |mark: &Mark| {
        let at = DateTime::from_timestamp_millis(mark.at_ms).unwrap_or_default().format("%a %-d %b %H:%M");
        let meaning = mark.status.map_or(Meaning::Plain, |status| Meaning::Status(status, Quality::Fresh));
        let sign = mark.status.map_or("$", |status| glyph(status, Quality::Fresh));
        vec![
            piece(format!(" {at}  "), Meaning::Dim),
            piece(sign, meaning),
            piece(format!(" {}", mark.what), Meaning::Plain),
        ]
    };
    history.marks.iter().rev().filter(concerns).take(rows).map(told).collect()
}

/// More than this between two points is a gap: three times what mostly lies between them, and five minutes at least.
fn gap_ms(history: &HostHistory, check: &CheckId) -> i64 {
    let points = history.points.get(check).map(Vec::as_slice).unwrap_or_default();
    let mut distances: Vec<i64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).map_or(0, |usual| usual * DISTANCES_MAX).max(300_000)
}

fn time_words(utc_ms: i64, span_ms: i64) -> String {
    let format = if 3 * DAY_MS < span_ms { "%-d %b" } else { "%a %H:%M" };
    DateTime::from_timestamp_millis(utc_ms).unwrap_or_default().format(format).to_string()
}

fn value_words(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Percent => format!("{value:.0} %"),
        Unit::Seconds => words(std::time::Duration::from_secs_f64(value.max(0.0))),
        Unit::Bytes => bytes_words(value),
        Unit::BytesPerSecond => format!("{}/s", bytes_words(value)),
        Unit::PerCpu => format!("{value:.1}"),
        Unit::Count | Unit::PerWindow => format!("{value:.0}"),
    }
}
