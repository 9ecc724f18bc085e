//! The wall: one big screen that nobody types at. Big counts, the worst first, and one pane after another below.

use super::{checks, fleet};
use crate::domain::check::Pane;
use crate::domain::observed::Quality;
use crate::domain::time::Age;
use crate::tui::model::{FeedSource, Model};
use crate::tui::screen::{Piece, TableView, marks, piece};
use crate::tui::theme::Meaning;

/// How long each pane, and each page of it, stays.
const TURN_S: i64 = 10;
/// Cells that the heartbeat moves through, one a second.
const BEATS: usize = 8;
const PANES: [Pane; 4] = [Pane::Disk, Pane::Logs, Pane::Backup, Pane::Cron];
/// Below this many rows the fleet has the room for itself.
const ROWS_FOR_PANES: usize = 14;

/// A wall's frame before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct WallView {
    pub header: Vec<Piece>,
    /// Date, time, and what moves while the program lives.
    pub clock: String,
    /// Each count in big digits, with its word.
    pub counts: Vec<(String, Piece)>,
    /// Said hugely in their place when nothing comes any more, with why.
    pub stale: Option<String>,
    pub sections: Vec<(Vec<Piece>, TableView)>,
}

/// Builds a frame whose tables have `rows` rows in all.
pub fn build(model: &Model, width: u16, rows: usize) -> WallView {
    let now_s = model.now.utc_ms.div_euclid(1_000);
    let turn = usize::try_from(now_s.div_euclid(TURN_S)).unwrap_or(0);
    let fleet_rows = if rows < ROWS_FOR_PANES { rows } else { rows / 2 };
    let mut sections = vec![fleet_section(model, width, fleet_rows.saturating_sub(2), turn)];
    if fleet_rows < rows {
        sections.push(pane_section(model, width, (rows - fleet_rows).saturating_sub(2), turn));
    }
    let beat = usize::try_from(now_s.rem_euclid(BEATS as i64)).unwrap_or(0);
    let heartbeat: String = (0..BEATS).map(|cell| if cell == beat { '●' } else { '·' }).collect();
    WallView {
        header: header(model),
        clock: format!("{}  {heartbeat}", model.now.utc().format("%Y-%m-%d %H:%M:%S UTC")),
        counts: counts(model),
        stale: stale(model),
        sections,
    }
}

fn header(model: &Model) -> Vec<Piece> {
    let mut pieces = vec![piece(" dogwatch ", Meaning::Title)];
    pieces.extend(marks(model));
    let total = model.counts().total();
    let answered = model.answered();
    pieces.push(piece(format!("  {answered} of {total} hosts answered"), Meaning::Plain));
    if !model.board.config_errors.is_empty() {
        pieces.push(piece("  hosts.toml is broken, the old one stays in force", Meaning::Banner));
    }
    if let FeedSource::Attached { alive_at: Some(alive_at), .. } = &model.source {
        pieces.push(piece(format!("  feed {} old", alive_at.age_at(model.now)), Meaning::Dim));
    }
    pieces
}

fn counts(model: &Model) -> Vec<(String, Piece)> {
    let shown = model.counts().worst_first().into_iter().map(|(count, status)| {
        let meaning = if count == 0 { Meaning::Dim } else { Meaning::Status(status, Quality::Fresh) };
        (count.to_string(), piece(status.word(), meaning))
    });
    shown.collect()
}

/// What has to be known before anything else on the wall is believed.
fn stale(model: &Model) -> Option<String> {
    if let Some(why) = &model.feed_ended {
        return Some(format!("the engine ended: {why}"));
    }
    if !model.feed_is_dead() {
        return None;
    }
    match &model.source {
        FeedSource::OwnEngine => None,
        FeedSource::Attached { alive_at: None, .. } => Some("no engine has told anything yet".to_owned()),
        FeedSource::Attached { alive_at: Some(alive_at), .. } => match alive_at.age_at(model.now) {
            Age::Future => Some("the engine's clock is ahead of this one".to_owned()),
            age @ Age::Known(_) => Some(format!("the engine told nothing for {age}")),
        },
    }
}

/// The page that is shown at a turn, of so many rows.
fn page(total: usize, rows: usize, turn: usize) -> std::ops::Range<usize> {
    let rows = rows.max(1);
    let pages = total.div_ceil(rows).max(1);
    let first = turn % pages * rows;
    first..(first + rows).min(total)
}

fn fleet_section(model: &Model, width: u16, rows: usize, turn: usize) -> (Vec<Piece>, TableView) {
    let needing = model.order.iter().filter(|name| fleet::needs_somebody(model, name)).count();
    // Only what needs somebody turns, while there is any, and the worst of it stays in sight.
    let (total, fixed) = match needing {
        0 => (model.order.len(), 0),
        needing => (needing, if rows < needing { rows / 2 } else { needing }),
    };
    let turning = page(total - fixed, rows - fixed.min(rows), turn);
    let turning = fixed + turning.start..fixed + turning.end;
    let words = match needing {
        0 => "Nothing needs anybody".to_owned(),
        needing if fixed < needing => {
            format!("Needs somebody: {needing}, the first {fixed} and {}–{}", turning.start + 1, turning.end)
        }
        needing => format!("Needs somebody: {needing}"),
    };
    let names = model.order[..fixed].iter().chain(&model.order[turning]);
    (vec![piece(words, Meaning::Heading)], fleet::table(model, names, width))
}

fn pane_section(model: &Model, width: u16, rows: usize, turn: usize) -> (Vec<Piece>, TableView) {
    let pane = PANES[turn % PANES.len()];
    let all = checks::Rows::of(model, pane);
    let total = all.count();
    let shown = page(total, rows, turn / PANES.len());
    let words = format!("{}{}", checks::title(pane), turned(&shown, total));
    (vec![piece(words, Meaning::Heading)], all.table(model, pane, shown, width))
}

/// Said where not everything is in sight.
fn turned(shown: &std::ops::Range<usize>, total: usize) -> String {
    if shown.len() < total { format!(", {}–{} of {total}", shown.start + 1, shown.end) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_gets_its_turn() {
        let mut seen: Vec<usize> = (0..4).flat_map(|turn| page(10, 3, turn)).collect();
        seen.dedup();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(page(0, 3, 7), 0..0);
    }
}
