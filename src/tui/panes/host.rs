//! One host: every check with its value, age and reason, and how the host is reached.

use super::{Built, chart};
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::bytes_words;
use crate::domain::fleet::HostName;
use crate::domain::probe::Reading;
use crate::domain::probe::cron::CronReading;
use crate::domain::probe::engine::EngineReading;
use crate::domain::probe::smart::SmartReading;
use crate::domain::time::Age;
use crate::tui::model::Model;
use crate::tui::recurrence::whole_reason;
use crate::tui::screen::{
    Cell, Column, Piece, TableView, piece, reason_piece, room_for_reason, status_piece, trend_of, window,
};
use crate::tui::theme::Meaning;
use crate::tui::wrap::wrapped;

/// A login shell slower than this is told: it runs at every poll.
const LOGIN_SHELL_MS_MAX: u32 = 50;

pub fn build(model: &mut Model, name: &HostName, width: u16, rows: usize) -> Built {
    let total = model.board.hosts.get(name).map_or(0, |host| kept(model, name, host).count());
    (model.row_total, model.row_host) = (total, Some(name.clone()));
    let notes = model.board.hosts.get(name).map(|host| notes(model, host)).unwrap_or_default();
    let rows = rows.saturating_sub(notes.len());
    let chart_rows = chart::rows_of(rows);
    let rows = rows - chart_rows;
    let (rows, reason_rows) = room_for_reason(rows);
    model.page_rows = rows;
    model.row = model.row.min(total.saturating_sub(1));
    let shown = window(model.scroll, model.row, rows, total);
    model.scroll = shown.start;
    let columns = columns(width);
    let trend_width = usize::from(columns[2].width);
    let host = model.board.hosts.get(name);
    let views = host.map(|host| sorted(model, name, host)).unwrap_or_default();
    let table = TableView {
        rows: views[shown.clone()].iter().map(|view| row(host, view, trend_width)).collect(),
        selected: (0 < total).then(|| model.row - shown.start),
        columns,
        empty: "this host has told nothing yet",
    };
    let reason = views.get(model.row).map(|view| whole_reason(&model.recurrence, name, host, view)).unwrap_or_default();
    let detail = wrapped(&reason, usize::from(width), reason_rows).into_iter().chain(notes).collect();
    let chart =
        host.zip(views.get(model.row)).and_then(|(host, view)| chart::build(model, name, host, view, chart_rows));
    Built { title: title(name, host), table, detail, chart }
}

fn title(name: &HostName, host: Option<&HostBoard>) -> Vec<crate::tui::screen::Piece> {
    let Some(host) = host else {
        return vec![piece(format!("{name} is no longer watched"), Meaning::Heading)];
    };
    let (link, why) = host.link();
    let groups: String = host.groups.iter().map(|group| format!(" @{group}")).collect();
    let own = if host.own { ", the machine Dogwatch runs on" } else { "" };
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    vec![piece(name.as_str(), Meaning::Title), piece(format!("{groups} {link}{why}{own}"), Meaning::Plain)]
}

/// What is worth a line below the checks: the engine's own state, a slow login shell, the jobs that are next.
fn notes(model: &Model, host: &HostBoard) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    for observed in host.probes.values().filter_map(|cell| cell.reading.as_ref()) {
        let (reading, _, age) = observed.seen(model.now);
        match reading.as_ref() {
            Reading::Engine(engine) => lines.push(engine_words(engine, age)),
            Reading::Cron(cron) => {
                lines.extend(next_job_words(cron, age));
                lines.extend(cron.denied.first().map(|what| format!("may not be read: {what}")));
            }
            Reading::Smart(SmartReading::Denied) => {
                lines.push("SMART may not be read by this user: see dogwatch doctor".to_owned());
            }
            Reading::Host(_)
            | Reading::Disk(_)
            | Reading::Logs(_)
            | Reading::Journal(_)
            | Reading::Units(_)
            | Reading::SlowMount(_)
            | Reading::Backup(_)
            | Reading::Modes(_)
            | Reading::Restores(_)
            | Reading::Accounting(_)
            | Reading::Integrity(_)
            | Reading::Smart(_) => {}
        }
    }
    if let Some(cost) = host.cost.filter(|cost| LOGIN_SHELL_MS_MAX <= cost.login_wall_ms) {
        let ms = cost.login_wall_ms;
        lines.push(format!("each poll's login shell takes {ms} ms: look at its start-up files"));
    }
    lines.into_iter().map(|line| vec![piece(line, Meaning::Dim)]).collect()
}

fn engine_words(engine: &EngineReading, age: Age) -> String {
    let error = engine.last_error.as_ref().map(|error| format!("; last error: {error}")).unwrap_or_default();
    format!(
        "engine, {age} ago: polls p50 {} ms, p99 {} ms; store {} in {}, {} of {} reports waiting, {} transitions unwritten{error}",
        engine.poll_ms.p50,
        engine.poll_ms.p99,
        bytes_words(engine.store_bytes as f64),
        engine.state_dir,
        engine.reports_waiting,
        engine.reports_max,
        engine.unwritten
    )
}

fn next_job_words(cron: &CronReading, age: Age) -> Option<String> {
    let (next, entry) =
        cron.entries.iter().filter_map(|entry| Some((entry.next?, entry))).min_by_key(|(next, _)| *next)?;
    Some(format!(
        "{}, {age} ago; next {} UTC: {} ({})",
        if cron.entries.len() == 1 {
            "1 job or timer".to_owned()
        } else {
            format!("{} jobs and timers", cron.entries.len())
        },
        next.format("%Y-%m-%d %H:%M"),
        entry.command,
        entry.source
    ))
}

fn columns(width: u16) -> Vec<Column> {
    let (id, trend) = match width {
        0..60 => (16, 0),
        60..100 => (24, 8),
        100..160 => (34, 20),
        _ => (48, 36),
    };
    vec![
        Column { title: "STATUS", width: 11 },
        Column { title: "CHECK", width: id },
        Column { title: "TREND", width: trend },
        Column { title: "SEEN", width: 4 },
        Column { title: "REASON", width: width.saturating_sub(11 + id + trend + 4 + 4) },
    ]
}

fn kept<'a>(model: &'a Model, name: &'a HostName, host: &'a HostBoard) -> impl Iterator<Item = CheckView<'a>> {
    host.views(model.now).filter(move |view| model.filter.keeps_check(name, host, view))
}

pub fn sorted<'a>(model: &'a Model, name: &'a HostName, host: &'a HostBoard) -> Vec<CheckView<'a>> {
    let mut views: Vec<CheckView> = kept(model, name, host).collect();
    views.sort_by(|a, b| b.rank().cmp(&a.rank()).then_with(|| a.id.cmp(b.id)));
    views
}

fn row(host: Option<&HostBoard>, view: &CheckView, trend_width: usize) -> Vec<Cell> {
    vec![
        Cell::Text(status_piece(view)),
        Cell::Text(piece(view.id.to_string(), Meaning::Plain)),
        trend_of(host, view, trend_width),
        Cell::Text(piece(format!("{:>4}", view.age.to_string()), Meaning::Dim)),
        Cell::Text(reason_piece(view)),
    ]
}
