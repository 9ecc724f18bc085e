//! The view model: every word, number and order on the screen is decided here, before anything is drawn.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::footer::{filter_words, footer, offered};
use super::log_book::LogBook;
use super::model::{FEED_STALE_AFTER, FeedSource, Model, View};
use super::panes::chart::ChartView;
use super::panes::dialog::DialogView;
use super::panes::wall::{self, WallView};
use super::panes::{self, Built, checks, fleet, host, log, wall_table_rows};
use super::theme::{Meaning, glyph};
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::{CheckId, Unit};
use crate::domain::fleet::HostName;
use crate::domain::incident::recurrence::ordinal;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::time::{Age, short_duration};

/// The smallest screen that shows rows; below it there are only counts.
pub const WIDTH_MIN: u16 = 40;
pub const HEIGHT_MIN: u16 = 8;

/// Text with its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub text: String,
    pub meaning: Meaning,
}

pub fn piece(text: impl Into<String>, meaning: Meaning) -> Piece {
    Piece { text: text.into(), meaning }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(Piece),
    /// Pieces side by side.
    Strip(Vec<Piece>),
    /// A sparkline from 0 to 100; `None` is a gap.
    Trend(Vec<Option<u64>>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub title: &'static str,
    pub width: u16,
}

/// A table of which only the visible rows were built.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableView {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// The selected row among the visible ones.
    pub selected: Option<usize>,
    /// Said in place of rows where there are none.
    pub empty: &'static str,
}

/// Choices for what is being typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    pub title: &'static str,
    pub choices: Vec<Piece>,
}

/// One frame before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    pub header: Vec<Piece>,
    pub banner: Option<String>,
    pub title: Vec<Piece>,
    pub table: TableView,
    pub detail: Vec<Vec<Piece>>,
    /// Between the rows and the detail.
    pub chart: Option<ChartView>,
    pub footer: Vec<Piece>,
    pub help: Option<Vec<(String, &'static str)>>,
    pub help_scroll: usize,
    /// In place of all the rest.
    pub wall: Option<WallView>,
    /// What the palette offers, above the footer.
    pub offered: Option<Offered>,
    /// Over the rows: a guarded action.
    pub dialog: Option<DialogView>,
}

/// Rows of the current view, for keys that move.
pub fn row_count(model: &Model) -> usize {
    match &model.view {
        View::Fleet => model.order.len(),
        View::Pane(_) | View::Host(_) | View::Job(..) | View::Ran | View::Actions => model.row_total,
        View::Log => model.log.as_ref().map_or(0, LogBook::len),
    }
}

/// Builds a frame of `width` × `height` cells.
pub fn build(model: &mut Model, width: u16, height: u16) -> Screen {
    let banner = banner(model);
    let chrome = 4 + u16::from(banner.is_some());
    model.first_row_y = 3 + u16::from(banner.is_some());
    let rows = usize::from(height.saturating_sub(chrome));
    let Built { mut title, mut table, detail, chart } = match model.view.clone() {
        View::Fleet => fleet::build(model, width, rows),
        View::Pane(pane) => checks::build(model, pane, width, rows),
        View::Host(name) => host::build(model, &name, width, rows),
        View::Job(name, job) => panes::job::build(model, &name, &job, width, rows),
        View::Ran => panes::ran::build(model, width, rows),
        View::Log => log::build(model, width, rows),
        View::Actions => panes::actions::build(model, width, rows),
    };
    title.extend(demo_words(model));
    title.extend(filter_words(model));
    title.extend(legend(model, &title, usize::from(width)));
    if !model.filter.is_empty() && model.view != View::Log {
        table.empty = "nothing matches: Esc shows all again";
    }
    Screen {
        wall: model.wall.then(|| wall::build(model, width, wall_table_rows(width, height))),
        offered: offered(model),
        dialog: model
            .dialog
            .as_ref()
            .map(|dialog| panes::dialog::build(dialog, model.message.as_deref(), width, height.saturating_sub(2))),
        header: header(model, width),
        banner,
        title,
        table,
        detail,
        chart,
        footer: if model.dialog.is_some() { Vec::new() } else { footer(model, usize::from(width)) },
        help_scroll: model.help_scroll,
        help: model.help.then(|| model.keymap.bindings().iter().map(|key| (key.shown(), key.what)).collect()),
    }
}

/// What the letters above the fleet's glyphs mean, where there is room.
fn legend(model: &Model, title: &[Piece], width: usize) -> Option<Piece> {
    const LEGEND: &str = "   D disk  L logs  B backup  C cron  H host  · not watched";
    let taken: usize = title.iter().map(|piece| piece.text.width()).sum();
    let has_room = model.view == View::Fleet && taken + LEGEND.width() <= width;
    has_room.then(|| piece(LEGEND, Meaning::Dim))
}

/// The window's title: what is wrong, in counts.
pub fn title(model: &Model) -> String {
    let counts = model.counts();
    let troubles = counts.worst_first().into_iter().filter(|(count, status)| 0 < *count && *status != Status::Ok);
    let words: Vec<String> = troubles.map(|(count, status)| format!("{count} {status}")).collect();
    match words.is_empty() {
        true => format!("dogwatch: {} OK", counts.ok),
        false => format!("dogwatch: {}", words.join(", ")),
    }
}

/// What is said of hosts that turned critical: the first with its reason, the others by number.
pub fn alert(model: &Model, hosts: &[HostName]) -> String {
    let first = hosts.first().and_then(|name| Some((name, model.board.hosts.get(name)?)));
    let Some((name, host)) = first else { return String::new() };
    let worst = host.views(model.now).filter(|view| view.confirmed).max_by_key(|view| view.rank());
    let reason = worst.map_or(String::new(), |view| format!(": {}", view.result.reason));
    let others = if 1 < hosts.len() { format!(" and {} other hosts", hosts.len() - 1) } else { String::new() };
    format!("CRITICAL {name}{others}{reason}")
}

/// What has to be known of the whole screen before anything on it is acted on.
pub fn marks(model: &Model) -> impl Iterator<Item = Piece> {
    let read_only = model.read_only.then_some(" READ-ONLY ");
    let demo = model.demo.is_some().then_some(" DEMO ");
    read_only.into_iter().chain(demo).map(|mark| piece(mark, Meaning::Banner))
}

/// What is played, and what time it is there.
fn demo_words(model: &Model) -> Option<Piece> {
    let title = model.demo.as_ref()?;
    // The time first: a narrow screen cuts the end.
    Some(piece(format!("   {}, playing “{title}”", model.now.utc().format("%a %-d %b %H:%M")), Meaning::Dim))
}

/// Whose machine is under one's hands, where its group has a colour; else the program's name.
fn whose(model: &Model) -> Piece {
    let selected = panes::selected_host(model).and_then(|name| model.board.hosts.get(&name));
    let protected = selected.and_then(|host| Some((host.colour?, host)));
    match protected {
        Some((colour, host)) => {
            let group = host.groups.first().map_or("guarded".to_owned(), |group| format!("@{group}"));
            piece(format!(" {group:<8} "), Meaning::Protection(colour))
        }
        None => piece(" dogwatch ", Meaning::Title),
    }
}

fn header(model: &Model, width: u16) -> Vec<Piece> {
    let counts = model.counts();
    let mut pieces: Vec<Piece> = (WIDTH_MIN <= width).then(|| whose(model)).into_iter().collect();
    pieces.extend(marks(model));
    for (count, status) in counts.worst_first() {
        let meaning = if count == 0 { Meaning::Dim } else { Meaning::Status(status, Quality::Fresh) };
        let word = if width < 60 { "" } else { status.word() };
        pieces.push(piece(format!(" {} {count} {word}", glyph(status, Quality::Fresh)), meaning));
    }
    if let Some(mark) = model.audit.as_ref().and_then(|audit| audit.mark(model.now.utc_ms)) {
        let mark = if width < 120 { mark.split(", ").next().unwrap_or_default() } else { &mark };
        pieces.push(piece(format!("  actions: {mark}"), Meaning::Status(Status::Warning, Quality::Fresh)));
    }
    let answered = model.answered();
    if width < 60 && answered == counts.total() {
        return pieces;
    }
    pieces.push(match answered < counts.total() {
        true => piece(format!("  {answered} of {} hosts answered", counts.total()), Meaning::Plain),
        false => piece(format!("  of {} hosts", counts.total()), Meaning::Dim),
    });
    if 100 <= width {
        pieces.push(piece(format!("   {}", model.now.utc().format("%Y-%m-%d %H:%M:%S UTC")), Meaning::Dim));
    }
    pieces
}

fn banner(model: &Model) -> Option<String> {
    if let Some(why) = &model.feed_ended {
        return Some(format!("STALE: the engine ended, nothing is polled any more: {why}"));
    }
    if let FeedSource::Attached { pid, alive_at } = &model.source {
        let age = alive_at.map(|alive_at| alive_at.age_at(model.now));
        match age {
            Some(Age::Known(age)) if age <= FEED_STALE_AFTER => {}
            Some(Age::Known(age)) => {
                return Some(format!(
                    "STALE: the engine (pid {pid}) told nothing for {}; if it is gone, start dogwatch again",
                    short_duration(age)
                ));
            }
            Some(Age::Future) | None => return Some(format!("STALE: no sign of life of the engine (pid {pid})")),
        }
    }
    let first = model.board.config_errors.first()?;
    Some(format!("hosts.toml is broken, the old one stays in force: {first}"))
}

/// The status cell of a check: glyph, word, and a mark while it is not confirmed.
pub fn status_piece(view: &CheckView) -> Piece {
    let shown = match view.quality {
        Quality::Stale => format!("{} STALE", glyph(view.status, view.quality)),
        // What was not read might have said otherwise.
        Quality::Partial if view.status == Status::Ok => format!("{} OK, part", glyph(view.status, view.quality)),
        Quality::Fresh | Quality::Partial | Quality::Missing => {
            let soft = if view.confirmed { "" } else { "…" };
            format!("{} {}{soft}", glyph(view.status, view.quality), view.status.word())
        }
    };
    piece(shown, Meaning::Status(view.rank(), view.quality))
}

/// The reason of a check with whatever stands in the way of a newer one.
pub fn reason_piece(view: &CheckView) -> Piece {
    let trouble = match (view.stuck_since, view.retrying, view.quality) {
        (Some(since), _, _) => format!("stuck since {}: ", since.utc().format("%H:%M:%S UTC")),
        (None, _, Quality::Stale) => format!("was {}, ", view.last_status.word()),
        (None, Some(why), Quality::Fresh | Quality::Partial | Quality::Missing) => format!("retrying ({why}); "),
        (None, None, Quality::Fresh | Quality::Partial | Quality::Missing) => String::new(),
    };
    let meaning = if view.quality == Quality::Stale { Meaning::Dim } else { Meaning::Plain };
    piece(format!("{trouble}{}{}", view.result.reason, open_words(view)), meaning)
}

/// Since when a check has been in trouble, and how often it came back: `; raised 2h ago, 3 flaps`.
fn open_words(view: &CheckView) -> String {
    let Some(Age::Known(open_for)) = view.open_for else { return String::new() };
    let flaps = match view.episode.map_or(0, |episode| episode.flaps) {
        0 => String::new(),
        1 => ", 1 flap".to_owned(),
        flaps => format!(", {flaps} flaps"),
    };
    let again = match view.episode.map_or(0, |episode| episode.before as usize) {
        0 => String::new(),
        before => format!(", {} time", ordinal(before + 1)),
    };
    format!("; raised {} ago{flaps}{again}", short_duration(open_for))
}

/// Rows kept for the whole reason of the selected row, where there is room.
pub const REASON_ROWS: usize = 3;

/// The rows left for a table, and those for the whole reason of its selected row below it.
pub fn room_for_reason(rows: usize) -> (usize, usize) {
    if rows < 10 { (rows, 0) } else { (rows - REASON_ROWS, REASON_ROWS) }
}

/// Which rows of `total` are visible so that `selected` is among them.
pub fn window(scroll: usize, selected: usize, visible: usize, total: usize) -> std::ops::Range<usize> {
    let visible = visible.max(1);
    let lowest = selected.saturating_sub(visible - 1);
    let first = scroll.clamp(lowest, selected.max(lowest)).min(total.saturating_sub(visible));
    first..(first + visible).min(total)
}

/// A value from 0 to 100 as sparklines draw it.
pub fn trend_cell(points: &[Option<f64>]) -> Cell {
    Cell::Trend(points.iter().map(|point| point.map(|value| value.clamp(0.0, 100.0).round() as u64)).collect())
}

/// For how long readings of a check are believed.
pub fn fresh_for(host: Option<&HostBoard>, id: &CheckId) -> Duration {
    host.and_then(|host| host.checks.get(id)).map_or(Duration::ZERO, |cell| cell.result.fresh_for())
}

/// A check's trend, in percent; other units have no scale of their own yet and show nothing, which no gap is.
pub fn trend_of(host: Option<&HostBoard>, view: &CheckView, width: usize) -> Cell {
    match (view.result.unit, host.and_then(|host| host.trends.get(view.id))) {
        (Unit::Percent, Some(trend)) => trend_cell(&trend.last_points(width, fresh_for(host, view.id))),
        (Unit::Percent, None) => trend_cell(&vec![None; width]),
        _ => Cell::Trend(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::state::CheckState;
    use crate::domain::check::{CheckId, CheckKind, CheckResult};
    use crate::domain::fleet::HostName;
    use crate::domain::probe::{Lane, ProbeId};
    use crate::domain::time::{Moment, at};
    use crate::domain::transition::{Change, HostEntry, Input, Link, Transition};

    /// A screen over one host whose load was OK at second 0.
    fn one_good_host() -> Model {
        let host = HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"));
        let entry = HostEntry {
            name: host.clone(),
            groups: vec![],
            own: false,
            trend_window_ms: 3_600_000,
            colour: None,
            parent: None,
        };
        let result = CheckResult::new(CheckId::of(CheckKind::HostLoad), Status::Ok, "load 0.1", Unit::PerCpu);
        let changes = [
            Change::FleetChanged { hosts: vec![entry], groups: vec![], digest: String::new() },
            Change::LinkChanged { host: host.clone(), lane: Lane::Fast, link: Link::up() },
            Change::CheckChanged {
                host,
                probe: ProbeId::Host,
                result: result.into(),
                state: CheckState::first(Status::Ok, 3, at(0)),
                fresh_for_ms: 28_000,
            },
        ];
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        for change in changes {
            model.apply(&Input::Transition(Transition::new(at(0), change)));
        }
        model
    }

    /// The first row and the counts, as a frame at `now` shows them.
    fn frame(model: &mut Model, now: Moment) -> String {
        model.now = now;
        model.sort();
        let screen = build(model, 120, 20);
        let words = |cell: &Cell| match cell {
            Cell::Text(piece) => piece.text.trim().to_owned(),
            Cell::Trend(_) | Cell::Strip(_) => String::new(),
        };
        let row: Vec<String> = screen.table.rows[0].iter().map(words).collect();
        let counts = model.counts();
        format!("{} ok {} unknown {}", row[0], counts.ok, counts.unknown)
    }

    #[test]
    fn after_eight_hours_of_sleep_the_first_frame_shows_everything_stale() {
        let mut model = one_good_host();
        assert_eq!(frame(&mut model, at(10)), "● OK ok 1 unknown 0");
        assert_eq!(frame(&mut model, at(10 + 8 * 3_600)), "~ STALE ok 0 unknown 1");
    }

    #[test]
    fn an_engine_that_ended_is_a_banner() {
        let mut model = one_good_host();
        model.feed_ended = Some("a fault".to_owned());
        let banner = build(&mut model, 80, 24).banner;
        assert_eq!(banner.as_deref(), Some("STALE: the engine ended, nothing is polled any more: a fault"));
    }

    #[test]
    fn the_selected_row_is_always_visible() {
        for total in 0..30_usize {
            for selected in 0..total {
                for scroll in 0..40 {
                    let rows = window(scroll, selected, 7, total);
                    assert!(rows.contains(&selected), "{scroll} {selected} {total} {rows:?}");
                }
            }
        }
    }
}
