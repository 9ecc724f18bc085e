//! cron's log: its runs, its failures and what it made of tables, of whatever make cron and syslog are.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::cron::{CronFailure, CronReading, CronRun, LogFile, SeenLog, TableLoad};
use super::cron_stamp::{Around, Twice, log_line};
use super::lines;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;

/// What is remembered of tables in one look, and of ends.
const LOADS_MAX: usize = 500;
const FAILURES_MAX: usize = 500;
/// A log itself, and three that may be older ones.
const LOG_FILES_MAX: usize = 4;
/// Places that are looked at: what a host says of more is not believed.
const PLACES_MAX: usize = 5;
/// Two logs tell of one line within this.
const SAME_WITHIN_S: i64 = 2;
/// Files go before the journal, unless it tells of so much later.
const NEWER_S: i64 = 60;

/// The journal is asked beside files that told of nothing for so long.
const SILENT_S: i64 = 2 * 3_600;

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronLogCursor {
    files: Vec<LogFile>,
    /// The newest line of any of them.
    told_to: Option<DateTime<Utc>>,
    pub(super) twice: Twice,
}

impl CronLogCursor {
    /// What the script is told: `INODE:SIZE,INODE:SIZE`, and whether to ask the journal.
    pub fn parameters(&self, now: Moment) -> [String; 2] {
        let files: Vec<String> = self.files.iter().map(|file| format!("{}:{}", file.inode, file.size_bytes)).collect();
        let is_silent = self.told_to.is_none_or(|to| to + Duration::seconds(SILENT_S) < now.utc());
        let seen = if files.is_empty() { "-".to_owned() } else { files.join(",") };
        [seen, if is_silent { "yes" } else { "no" }.to_owned()]
    }

    pub fn take(&mut self, reading: &CronReading) {
        self.files = reading.logs.iter().flat_map(|log| log.files.iter().copied()).collect();
        self.told_to = self.told_to.max(reading.told_to);
        self.twice = Twice::of(reading);
    }
}

/// One place that may hold cron's lines.
#[derive(Default)]
struct Place {
    /// `None` for bytes of a log alone.
    source: Option<SafeText>,
    files: Vec<LogFile>,
    has_gap: bool,
    first: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
}

/// Reads cron's logs, each behind `e SOURCE`, and what may not be read.
pub(super) fn read_log(log: &[u8], around: Around, reading: &mut CronReading) {
    let mut places: Vec<Place> = Vec::new();
    let mut before = Vec::new();
    for (_, line) in lines(log) {
        if let [b'e', b' ', source @ ..] = line {
            if PLACES_MAX <= places.len() {
                break;
            }
            join_runs(&mut before, &mut reading.runs);
            places.push(Place { source: Some(SafeText::from_bytes_capped(source, 100)), ..Place::default() });
            continue;
        }
        if places.is_empty() {
            places.push(Place::default());
        }
        let Some(place) = places.last_mut() else { continue };
        match line {
            [b'd', b' ', path @ ..] => reading.denied.push(SafeText::from_bytes_capped(path, 100)),
            [b'i' | b'o', b' ', numbers @ ..] => {
                let file = log_file(numbers);
                place.files.extend(file.filter(|_| place.files.len() < LOG_FILES_MAX));
            }
            b"g" => place.has_gap = true,
            line => read_line(line, Around { before: place.newest, ..around }, place, reading),
        }
    }
    join_runs(&mut before, &mut reading.runs);
    reading.runs = before;
    settle(places, reading);
}

fn read_line(line: &[u8], around: Around, place: &mut Place, reading: &mut CronReading) {
    let text = SafeText::from_bytes(line);
    let Some((at, message)) = log_line(text.as_str(), line, around) else { return };
    place.first = place.first.map_or(Some(at), |first| Some(first.min(at)));
    place.newest = place.newest.map_or(Some(at), |newest| Some(newest.max(at)));
    if let Some((pid, status)) = failure(message) {
        // A number is used again: the failure is of the last run before it.
        match reading.runs.iter_mut().rev().find(|run| run.pid == pid) {
            Some(run) => run.failed_with = Some(status),
            None => reading.failures.push(CronFailure { at, pid, status }),
        }
        let surplus = reading.failures.len().saturating_sub(FAILURES_MAX);
        reading.failures.drain(..surplus);
    }
    reading.runs.extend(run(at, message, line));
    reading.loads.extend(table_load(message));
    let surplus = reading.loads.len().saturating_sub(LOADS_MAX);
    reading.loads.drain(..surplus);
}

/// Adds the runs of one place to those of others, which may tell of the same.
pub fn join_runs(known: &mut Vec<CronRun>, found: &mut Vec<CronRun>) {
    if known.is_empty() {
        known.append(found);
        return;
    }
    let mut times: HashMap<u32, Vec<DateTime<Utc>>> = HashMap::new();
    known.iter().for_each(|run| times.entry(run.pid).or_default().push(run.at));
    let is_new = |run: &CronRun| {
        let same = |at: &DateTime<Utc>| (run.at - *at).num_seconds().abs() <= SAME_WITHIN_S;
        !times.get(&run.pid).is_some_and(|times| times.iter().any(same))
    };
    known.extend(found.drain(..).filter(is_new));
    known.sort_by_key(|run| run.at);
}

/// Which place tells of runs: of several the one that told of something last. What an older one tells begins no coverage
/// that reaches up to now.
fn settle(places: Vec<Place>, reading: &mut CronReading) {
    reading.told_to = places.iter().filter_map(|place| place.newest).max();
    let log = |place: &Place| Some(SeenLog { path: place.source.clone()?, files: place.files.clone() });
    reading.logs = places.iter().filter(|place| !place.files.is_empty()).filter_map(log).collect();
    let mut best: Option<Place> = None;
    for place in places {
        let is_better = match (&best, place.newest) {
            (None, _) => true,
            (Some(best), Some(newest)) => best.newest.is_none_or(|known| known + Duration::seconds(NEWER_S) < newest),
            (Some(_), None) => false,
        };
        if is_better {
            best = Some(place);
        }
    }
    let Some(best) = best else { return };
    reading.evidence = best.source;
    (reading.has_gap, reading.covers_from) = (best.has_gap, best.first);
}

/// The runs that a log's own lines tell of, whatever else is in it.
pub fn runs_in(log: &[u8], zone: Tz, now: DateTime<Utc>) -> Vec<CronRun> {
    let mut reading = CronReading::default();
    read_log(log, Around { zone, now, twice: None, before: None }, &mut reading);
    reading.runs
}

fn log_file(numbers: &[u8]) -> Option<LogFile> {
    let (inode, size) = std::str::from_utf8(numbers).ok()?.split_once(' ')?;
    Some(LogFile { inode: inode.parse().ok()?, size_bytes: size.trim_end().parse().ok()? })
}

/// `CRON[123]: (root) CMD (command)`, with `[124] command` at higher log levels; BusyBox: `crond[9]: USER root pid 123 cmd command`.
fn run(at: DateTime<Utc>, message: &str, line: &[u8]) -> Option<CronRun> {
    let line = RemoteBytes::new(line);
    let (ident, text) = message.split_once(": ")?;
    let of_ident = || ident.split_once('[')?.1.strip_suffix(']')?.parse::<u32>().ok();
    if let Some(rest) = text.strip_prefix("USER ") {
        let (user, rest) = rest.split_once(" pid ")?;
        let (pid, command) = rest.split_once(" cmd ")?;
        return Some(CronRun {
            at,
            user: user.into(),
            command: command.into(),
            pid: pid.trim().parse().ok()?,
            failed_with: None,
            line,
        });
    }
    let (user, rest) = text.strip_prefix('(')?.split_once(") CMD (")?;
    // cronie logs what a job wrote as `(USER) CMDOUT (…)`: that may hold anything.
    if user.contains(')') {
        return None;
    }
    let command = rest.strip_suffix(')').unwrap_or(rest);
    let numbered = || {
        let (pid, command) = command.strip_prefix('[')?.split_once("] ")?;
        Some((pid.parse::<u32>().ok()?, command))
    };
    let (pid, command) = numbered().or_else(|| Some((of_ident()?, command)))?;
    Some(CronRun { at, user: user.into(), command: command.trim().into(), pid, failed_with: None, line })
}

/// `cron[1]: Error: bad minute; while reading /etc/cron.d/jobs`, and `cron[1]: (*system*jobs) RELOAD (/etc/cron.d/jobs)`.
fn table_load(message: &str) -> Option<TableLoad> {
    let (_, text) = message.split_once(": ")?;
    if let Some((why, file)) = text.strip_prefix("Error: ").and_then(|rest| rest.split_once("; while reading ")) {
        return Some(TableLoad { file: file.trim().into(), refused: Some(why.into()) });
    }
    let (_, file) = text.split_once(") RELOAD (")?;
    Some(TableLoad { file: file.strip_suffix(')')?.into(), refused: None })
}

/// `(CRON) error (grandchild #124 failed with exit status 3)`.
fn failure(message: &str) -> Option<(u32, i32)> {
    let (_, rest) = message.split_once("(grandchild #")?;
    let (pid, rest) = rest.split_once(" failed with exit status ")?;
    Some((pid.parse().ok()?, rest.trim_end_matches(')').parse().ok()?))
}
