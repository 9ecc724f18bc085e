//! One job: its verdict, and every run of it that is known, with how it ended, how long it took and who tells of it.

use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;

use super::chart::{self, ChartView};
use super::{Built, runs};
use crate::domain::board::CheckView;
use crate::domain::check::CheckKind;
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::probe::accounting::{RunEnd, RunMark};
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::proof::join::Certainty;
use crate::domain::proof::usual::Odd;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::{words, words_exact};
use crate::tui::model::Model;
use crate::tui::recurrence::whole_reason;
use crate::tui::screen::{Cell, Column, Piece, TableView, piece, room_for_reason, status_piece, window};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::wrap::wrapped;

/// Fewer runs make no curve.
const CURVE_RUNS_MIN: usize = 2;

pub fn build(model: &mut Model, name: &HostName, job: &SafeText, width: u16, rows: usize) -> Built {
    let total = runs::runs_of(model, name, job.as_str()).len();
    (model.row_total, model.row_host) = (total, Some(name.clone()));
    let chart_rows = chart::rows_of(rows);
    let (table_rows, reason_rows) = room_for_reason(rows - chart_rows);
    model.page_rows = table_rows;
    model.row = model.row.min(total.saturating_sub(1));
    let shown = window(model.scroll, model.row, table_rows, total);
    model.scroll = shown.start;
    let columns = columns(width);
    let known = runs::runs_of(model, name, job.as_str());
    let zone = zone(model, name);
    let newest_first = known.iter().rev().skip(shown.start).take(shown.len());
    let table = TableView {
        rows: newest_first.map(|run| row(run, zone, width)).collect(),
        selected: (0 < total).then(|| model.row - shown.start),
        columns,
        empty: "no run of it is known yet",
    };
    let view = check_of(model, name, job);
    let told = view.as_ref().map(|view| whole_reason(&model.recurrence, name, model.board.hosts.get(name), view));
    let told = told.unwrap_or_else(|| format!("hosts.toml declares no job {job} for {name} any more"));
    let mut title = vec![piece(format!("{job} on {name}  "), Meaning::Title)];
    title.extend(view.as_ref().map(status_piece));
    let count = if total == 1 { "1 run".to_owned() } else { format!("{total} runs") };
    title.push(piece(format!("  {count} known, the newest first, {}", zone.name()), Meaning::Dim));
    // The verdict is the newest run's; of an older one what its row has no room for.
    let told = match known.iter().rev().nth(model.row).filter(|_| 0 < model.row) {
        Some(run) => format!("{}, by {}", end_words(run), witnesses(run)),
        None => told,
    };
    let chart = curve(known, zone, chart_rows);
    Built { title, table, detail: wrapped(&told, usize::from(width), reason_rows), chart }
}

/// The check of a job.
pub fn check_of<'a>(model: &'a Model, name: &HostName, job: &SafeText) -> Option<CheckView<'a>> {
    let host = model.board.hosts.get(name)?;
    host.views(model.now).find(|view| view.id.kind == CheckKind::CronJob && view.id.subject.as_ref() == Some(job))
}

/// When the selected run began.
pub fn selected_at_ms(model: &Model, name: &HostName, job: &SafeText) -> Option<i64> {
    let run = runs::runs_of(model, name, job.as_str()).iter().rev().nth(model.row)?;
    Some(i64::from(run.at_s) * 1_000)
}

/// When the newest run began.
pub fn newest_at_ms(model: &Model, name: &HostName, job: &SafeText) -> Option<i64> {
    Some(i64::from(runs::runs_of(model, name, job.as_str()).last()?.at_s) * 1_000)
}

/// The host's zone, as cron goes by it.
pub fn zone(model: &Model, name: &HostName) -> Tz {
    let seen = model.board.hosts.get(name).and_then(|host| host.probes.get(&ProbeId::Cron)?.reading.as_ref());
    match seen.map(|seen| seen.last().as_ref()) {
        Some(Reading::Cron(cron)) => cron.zone.parse().unwrap_or(Tz::UTC),
        Some(_) | None => Tz::UTC,
    }
}

fn columns(width: u16) -> Vec<Column> {
    let (began, took) = if width < 60 { (11, 8) } else { (23, 9) };
    let (end, cpu, load) = match width {
        0..60 => (width.saturating_sub(began + took + 6), 0, 0),
        60..100 => (23, 0, 0),
        _ => (30, 9, 6),
    };
    let fixed = began + took + end + cpu + load;
    vec![
        Column { title: "BEGAN", width: began },
        Column { title: "END", width: end },
        Column { title: "TOOK", width: took },
        Column { title: "CPU", width: cpu },
        Column { title: "LOAD", width: load },
        Column { title: "WITNESSES", width: width.saturating_sub(fixed + 6) },
    ]
}

fn row(run: &RunMark, zone: Tz, width: u16) -> Vec<Cell> {
    let status = runs::status(run);
    let began = DateTime::from_timestamp(i64::from(run.at_s), 0).unwrap_or_default().with_timezone(&zone);
    let time = |ms: Option<u64>| ms.map_or(String::new(), words_exact);
    let load = run.load_hundredths.map_or(String::new(), |load| format!("{:.2}", f64::from(load) / 100.0));
    let sign = if run.runs { runs::RUNNING } else { glyph(status, Quality::Fresh) };
    let end = format!("{sign} {}", end_words(run));
    vec![
        Cell::Text(piece(
            began.format(if width < 60 { "%m-%d %H:%M" } else { "%a %Y-%m-%d %H:%M:%S" }).to_string(),
            Meaning::Plain,
        )),
        Cell::Text(piece(end, Meaning::Status(status, Quality::Fresh))),
        Cell::Text(piece(format!("{:>8}", time(run.took_ms)), Meaning::Plain)),
        Cell::Text(piece(format!("{:>8}", time(run.cpu_ms)), Meaning::Dim)),
        Cell::Text(piece(format!("{load:>5}"), Meaning::Dim)),
        Cell::Text(piece(witnesses(run), Meaning::Dim)),
    ]
}

fn end_words(run: &RunMark) -> String {
    if run.runs {
        return "runs".to_owned();
    }
    if let Some(Certainty::Differ(count)) = run.by_record {
        return format!("unknown: {count} records fit it, and they differ");
    }
    match &run.end {
        Some(RunEnd::Exited(0)) if run.lacks_archive => "exit status 0, and no archive".to_owned(),
        Some(RunEnd::Exited(0)) if run.lacks_word => "exit status 0, its log silent".to_owned(),
        Some(RunEnd::Exited(0)) if run.odd.is_some() => {
            format!("{}, exit 0", run.odd.map_or("", Odd::words))
        }
        Some(RunEnd::Exited(status)) => format!("exit status {status}"),
        Some(RunEnd::Killed { signal, core }) => {
            format!("killed by signal {signal}{}", if *core { ", with a core" } else { "" })
        }
        Some(RunEnd::Told(words)) => words.to_string(),
        None if run.left_archive => "left an archive".to_owned(),
        None => "no end is known".to_owned(),
    }
}

fn witnesses(run: &RunMark) -> String {
    let record = run.by_record.map(|certainty| match certainty {
        Certainty::ByPid => "accounting".to_owned(),
        Certainty::ByName => "accounting by name".to_owned(),
        Certainty::Ambiguous(count) | Certainty::Differ(count) => format!("accounting, {count} records"),
    });
    let spoken = run.by_words.iter().map(|speaker| speaker.words().to_owned());
    let archive = run.left_archive.then(|| "a new archive".to_owned());
    let all: Vec<String> = record.into_iter().chain(spoken).chain(archive).collect();
    let told = if all.is_empty() { "its beginning alone".to_owned() } else { all.join(", ") };
    match run.unseen_before {
        0 => told,
        1 => format!("{told}; was due once before, and not seen"),
        count => format!("{told}; was due {count} times before, and not seen"),
    }
}

/// How long the runs took, over the time of their beginnings.
fn curve(known: &[RunMark], zone: Tz, rows: usize) -> Option<ChartView> {
    let points: Vec<(f64, f64)> =
        known.iter().filter_map(|run| Some((f64::from(run.at_s), run.took_ms? as f64 / 1_000.0))).collect();
    let (first, last) = (points.first()?.0, points.last()?.0);
    if rows == 0 || points.len() < CURVE_RUNS_MIN || last <= first {
        return None;
    }
    let top = points.iter().map(|(_, took_s)| *took_s).fold(0.0, f64::max).max(0.1) * 1.1;
    let failed = known.iter().filter(|run| run.is_ok == Some(false));
    let sign = || {
        let meaning = Meaning::Status(Status::Critical, Quality::Fresh);
        piece(glyph(Status::Critical, Quality::Fresh), meaning)
    };
    let at = |seconds: f64| {
        let at = DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default().with_timezone(&zone);
        at.format("%a %-d %b %H:%M").to_string()
    };
    let duration = |seconds: f64| format!("{:>7}", words(Duration::from_secs_f64(seconds)));
    let title: Vec<Piece> = vec![piece(" how long each run took", Meaning::Heading)];
    Some(ChartView {
        title,
        rows: rows as u16,
        runs: vec![points],
        x: [first, last],
        y: [0.0, top],
        x_labels: [first, first + (last - first) / 2.0, last].map(at),
        y_labels: [0.0, top].map(duration),
        marks: failed.map(|run| (f64::from(run.at_s), sign())).collect(),
        events: Vec::new(),
    })
}
