//! cron's log: its runs, its failures and what it made of tables, of whatever make cron and syslog are.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::cron::{CronFailure, CronReading, CronRun, LogFile, LogGap, SeenLog, TableLoad};
use super::cron_stamp::{Around, log_line};
use super::lines;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::text::SafeText;

/// What is remembered of tables in one look, and of ends.
const LOADS_MAX: usize = 500;
const FAILURES_MAX: usize = 500;
/// A log itself, and four that may be older ones.
const LOG_FILES_MAX: usize = 5;
/// Places that are looked at: what a host says of more is not believed.
const PLACES_MAX: usize = 5;
/// Two logs tell of one line within this.
const SAME_WITHIN_MS: i64 = 2_000;
/// A line is told to be written so long after the file's own time at most: clocks differ.
const WRITTEN_WITHIN: Duration = Duration::hours(1);
/// Files go before the journal, unless it tells of so much later.
const NEWER_S: i64 = 60;

/// Lines of the journal that one look brings: where there are so many, some before them are missing.
const JOURNAL_LINES: usize = 3_000;
const JOURNAL: &str = "journal";

/// One place that may hold cron's lines.
#[derive(Default)]
struct Place {
    /// `None` for bytes of a log alone.
    source: Option<SafeText>,
    /// The log itself first.
    files: Vec<LogFile>,
    /// When the file that is being read was written last: no line of it is later.
    written: Option<DateTime<Utc>>,
    gap: Option<LogGap>,
    lines: usize,
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
            [kind @ (b'i' | b'o'), b' ', numbers @ ..] => {
                if let Some((file, written)) = log_file(numbers).filter(|_| place.files.len() < LOG_FILES_MAX) {
                    let at = if *kind == b'i' { 0 } else { place.files.len() };
                    place.files.insert(at, file);
                    place.written = Some(written);
                }
            }
            b"g" => place.gap_begins(),
            line => {
                let now = place.written.map_or(around.now, |written| around.now.min(written + WRITTEN_WITHIN));
                read_line(line, Around { before: place.newest, now, ..around }, place, reading);
            }
        }
    }
    join_runs(&mut before, &mut reading.runs);
    reading.runs = before;
    settle(places, reading);
}

impl Place {
    /// Something is missing before the next line. Of several gaps all between the first and the last counts as missing.
    fn gap_begins(&mut self) {
        let from = self.gap.map_or(self.newest, |gap| gap.from);
        self.gap = Some(LogGap { from, to: None });
    }

    fn take(&mut self, at: DateTime<Utc>) {
        self.first = self.first.map_or(Some(at), |first| Some(first.min(at)));
        self.newest = self.newest.map_or(Some(at), |newest| Some(newest.max(at)));
        if let Some(gap) = self.gap.as_mut().filter(|gap| gap.to.is_none()) {
            gap.to = Some(at);
        }
    }

    fn is_journal(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.as_str() == JOURNAL)
    }
}

fn read_line(line: &[u8], around: Around, place: &mut Place, reading: &mut CronReading) {
    place.lines += 1;
    let text = SafeText::from_bytes(line);
    let Some((at, message)) = log_line(text.as_str(), line, around) else { return };
    place.take(at);
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
    let told = Told::of(known);
    known.extend(found.drain(..).filter(|run| !told.has(run.at, run.pid)));
    known.sort_by_key(|run| run.at);
}

/// Runs by their numbers. Two logs tell of one beginning a second apart, and one of them in parts of it.
#[derive(Debug, Default)]
pub struct Told(HashMap<u32, Vec<DateTime<Utc>>>);

impl Told {
    pub fn of(runs: &[CronRun]) -> Self {
        let mut told = Self::default();
        runs.iter().for_each(|run| told.add(run.at, run.pid));
        told
    }

    pub fn add(&mut self, at: DateTime<Utc>, pid: u32) {
        self.0.entry(pid).or_default().push(at);
    }

    pub fn has(&self, at: DateTime<Utc>, pid: u32) -> bool {
        let is_same = |told: &DateTime<Utc>| (at - *told).num_milliseconds().abs() <= SAME_WITHIN_MS;
        self.0.get(&pid).is_some_and(|times| times.iter().any(is_same))
    }
}

/// Which place tells of runs: of several the one that told of something last. What an older one tells begins no coverage
/// that reaches up to now.
fn settle(places: Vec<Place>, reading: &mut CronReading) {
    reading.told_to = places.iter().filter_map(|place| place.newest).max();
    let files = places.iter().filter(|place| !place.is_journal());
    reading.files_told_to = files.filter_map(|place| place.newest).max();
    let journal = places.iter().find(|place| place.is_journal());
    (reading.asked_journal, reading.journal_told_to) = (journal.is_some(), journal.and_then(|place| place.newest));
    // Where none of them has a line it is not known which of them tells.
    let any_gap = places.iter().find_map(|place| place.gap);
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
    let cut = || (best.is_journal() && JOURNAL_LINES <= best.lines).then_some(LogGap { from: None, to: best.first });
    reading.gap = best.gap.or_else(cut).or(any_gap.filter(|_| best.newest.is_none()));
    (reading.covers_from, reading.evidence) = (best.first, best.source);
}

/// The runs that a log's own lines tell of, whatever else is in it.
pub fn runs_in(log: &[u8], zone: Tz, now: DateTime<Utc>) -> Vec<CronRun> {
    let mut reading = CronReading::default();
    read_log(log, Around { zone, now, twice: None, before: None }, &mut reading);
    reading.runs
}

/// `INODE SIZE TIME`.
fn log_file(numbers: &[u8]) -> Option<(LogFile, DateTime<Utc>)> {
    let mut numbers = std::str::from_utf8(numbers).ok()?.split_ascii_whitespace();
    let file = LogFile { inode: numbers.next()?.parse().ok()?, size_bytes: numbers.next()?.parse().ok()? };
    Some((file, DateTime::from_timestamp(numbers.next()?.parse().ok()?, 0)?))
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
