//! `cron.changed`: a job that was removed, commented out, edited or given another time, a timer that was switched off. Told
//! for a day, with what stood there before and when that was seen last.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use super::cron_log_loss::{LogLoss, Lost};
use super::{CheckId, CheckKind, CheckResult, Unit, host_integrity};
use crate::domain::probe::cron::{CronEntry, CronReading};
use crate::domain::probe::cron_scripts::{self, Script};
use crate::domain::probe::integrity::FileState;
use crate::domain::proof::deeds::{Deeds, Kind};
use crate::domain::proof::who::Who;
use crate::domain::settings::HOUR;
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// How long a change stays a warning.
const NEWS_FOR: Duration = Duration::from_secs(24 * HOUR.as_secs());
/// Changes that one reason names, and that are remembered.
const NAMED_MAX: usize = 4;
const CHANGES_MAX: usize = 50;

/// What identifies a line of a table, or a timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    source: SafeText,
    user: Option<SafeText>,
    schedule: SafeText,
    command: SafeText,
}

/// What changed, when that was seen, and who may have done it; `None` where that is told with it.
#[derive(Debug)]
struct Change {
    at_ms: i64,
    told: String,
    who: Option<Who>,
}

impl Change {
    /// One that happened between two looks.
    fn between(told: String, from_ms: i64, at_ms: i64) -> Self {
        Self { at_ms, told, who: Some(Who::between(Kind::Edits, from_ms, at_ms)) }
    }
}

/// The jobs of a host as they were seen last, and what changed of them.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Each line with whether it has a next run.
    seen: Option<(i64, BTreeMap<Line, bool>)>,
    denied: Vec<SafeText>,
    /// The scripts that these lines begin, and when each was seen last.
    scripts: BTreeMap<SafeText, (i64, FileState)>,
    /// Tables that cron ignores, each with why.
    refused: BTreeMap<SafeText, SafeText>,
    log: LogLoss,
    changes: VecDeque<Change>,
    /// Whether anything was ever found: that it is no more is told as well.
    was_told: bool,
}

impl Inventory {
    /// Goes on from a reading that an earlier process left.
    pub fn begin_with(&mut self, reading: &CronReading, seen_ms: i64) {
        self.seen = Some((seen_ms, lines(reading)));
        self.log.begin_with(reading, seen_ms);
        self.denied.clone_from(&reading.denied);
        for (path, state) in reading.scripts.iter().flatten() {
            self.scripts.insert(path.clone(), (seen_ms, state.clone()));
        }
    }

    /// Goes on from what an earlier process told.
    pub fn restore(&mut self, told_ms: i64, words: &str) {
        let told = told_in(words, told_ms).into_iter().rev();
        self.changes.extend(told.map(|(at_ms, told)| Change { at_ms, told, who: None }));
    }

    fn take(&mut self, reading: &CronReading, now_ms: i64) {
        let now = lines(reading);
        // What may be read changed: lines that are not seen any more may be there still.
        let is_comparable = self.denied == reading.denied;
        if let Some((seen_ms, before)) = self.seen.as_ref().filter(|_| is_comparable) {
            let told = changes(before, &now, *seen_ms);
            self.changes.extend(told.into_iter().map(|told| Change::between(told, *seen_ms, now_ms)));
        }
        self.denied.clone_from(&reading.denied);
        self.take_loads(reading);
        self.changes.extend(self.log.take(reading, now_ms).map(|Lost { told, by, from_ms }| Change {
            at_ms: now_ms,
            told,
            who: Some(Who::between(by, from_ms, now_ms)),
        }));
        self.seen = Some((now_ms, now));
        if let Some(scripts) = &reading.scripts {
            self.take_scripts(scripts, reading, now_ms);
        }
        let surplus = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..surplus);
    }

    /// A table that was loaded again, or is gone, is refused no more.
    fn take_loads(&mut self, reading: &CronReading) {
        for load in &reading.loads {
            match &load.refused {
                Some(why) => drop(self.refused.insert(load.file.clone(), why.clone())),
                None => drop(self.refused.remove(&load.file)),
            }
        }
        self.refused.retain(|file, _| reading.entries.iter().any(|entry| entry.source == *file));
    }

    fn take_scripts(&mut self, scripts: &[Script], reading: &CronReading, now_ms: i64) {
        let reached = cron_scripts::reached(&reading.entries);
        self.scripts.retain(|path, _| reached.iter().any(|name| path.as_str() == name));
        let is_gone = |path: &SafeText| scripts.iter().all(|(name, _)| name != path);
        let gone: Vec<SafeText> = self.scripts.keys().filter(|path| is_gone(path)).cloned().collect();
        for path in gone {
            if let Some((seen_ms, _)) = self.scripts.remove(&path) {
                let seen = stamp(seen_ms);
                let told = format!("{path}: the script is gone, or can't be read any more, was there {seen}");
                self.changes.push_back(Change::between(told, seen_ms, now_ms));
            }
        }
        for (path, state) in scripts {
            let before = self.scripts.insert(path.clone(), (now_ms, state.clone()));
            if let Some((seen_ms, before)) = before
                && let Some(told) = host_integrity::change_of(&before, state, seen_ms)
            {
                let told = format!("{path}: the script changed: {told}");
                self.changes.push_back(Change::between(told, seen_ms, now_ms));
            }
        }
    }

    /// Scripts that anybody may write, and cron runs.
    fn open_scripts(&self) -> Vec<String> {
        let open = self.scripts.iter().filter(|(_, (_, state))| host_integrity::is_open(state));
        open.map(|(path, (_, state))| {
            format!("{path}, which cron runs, may be written by everybody (mode {})", state.mode)
        })
        .collect()
    }
}

/// What an earlier process told, each with its time, the newest first; `told_ms` where it has none.
fn told_in(words: &str, told_ms: i64) -> Vec<(i64, String)> {
    let mut told = Vec::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once(" UTC)") {
        if let Some((change, time)) = before.rsplit_once(" (")
            && let Ok(at) = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M")
        {
            // What is open is found anew.
            let open = change.rsplit_once(" may be written by everybody (mode ");
            let change = open.and_then(|(_, rest)| rest.split_once("); ")).map_or(change, |(_, change)| change);
            told.push((at.and_utc().timestamp_millis(), change.trim_start_matches("; ").to_owned()));
        }
        rest = after;
    }
    // What is told beside them, or in another form.
    if told.is_empty() { vec![(told_ms, words.to_owned())] } else { told }
}

fn lines(reading: &CronReading) -> BTreeMap<Line, bool> {
    let line = |entry: &CronEntry| {
        let (source, user) = (entry.source.clone(), entry.user.clone());
        let line = Line { source, user, schedule: entry.schedule.clone(), command: entry.command.clone() };
        let runs = entry.unit.as_ref().is_some_and(|unit| unit.runs);
        // While its service runs, a timer may have no next time yet.
        (line, entry.next.is_some() || runs)
    };
    // What somebody began by systemd-run comes and goes.
    let is_lasting = |entry: &&CronEntry| !entry.source.as_str().starts_with("run-");
    reading.entries.iter().filter(is_lasting).map(line).collect()
}

fn changes(before: &BTreeMap<Line, bool>, now: &BTreeMap<Line, bool>, seen_ms: i64) -> Vec<String> {
    let mut added: Vec<&Line> = now.keys().filter(|line| !before.contains_key(line)).collect();
    let seen = stamp(seen_ms);
    let mut told = Vec::new();
    for gone in before.keys().filter(|line| !now.contains_key(line)) {
        let same_job = |line: &&Line| {
            line.source == gone.source && (line.command == gone.command || line.schedule == gone.schedule)
        };
        told.push(match added.iter().position(same_job) {
            Some(place) => {
                let new = added.swap_remove(place);
                format!("{}: changed from «{}» to «{}»", gone.source, words(gone), words(new))
            }
            None => format!("{}: «{}» was removed or commented out, last seen {seen}", gone.source, words(gone)),
        });
    }
    told.extend(added.into_iter().map(|new| format!("{}: «{}» is new", new.source, words(new))));
    let off = before.iter().filter(|(line, had_next)| **had_next && line.schedule.as_str() == "timer");
    let off = off.filter(|(line, _)| now.get(*line) == Some(&false));
    told.extend(
        off.map(|(line, _)| format!("{}: has no next run any more, had one {seen}: switched off?", line.source)),
    );
    told
}

fn words(line: &Line) -> String {
    let user = line.user.as_ref().map_or(String::new(), |user| format!(" {user}"));
    format!("{}{user} {}", line.schedule, line.command)
}

pub(super) fn stamp(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%d %H:%M UTC").to_string()
}

/// What changed within a day; nothing on a host of which no change was ever seen.
pub fn check(reading: &CronReading, inventory: &mut Inventory, deeds: &Deeds, now_ms: i64) -> Option<CheckResult> {
    inventory.take(reading, now_ms);
    inventory.changes.iter_mut().filter_map(|change| change.who.as_mut()).for_each(|who| who.learn(deeds, now_ms));
    let id = CheckId::of(CheckKind::CronChanged);
    let news_ms = i64::try_from(NEWS_FOR.as_millis()).unwrap_or(i64::MAX);
    let news = inventory.changes.iter().rev().filter(|change| now_ms - change.at_ms < news_ms);
    let told = news.map(|Change { at_ms, told, who }| {
        let who = who.as_ref().map_or(String::new(), |who| who.words("; meanwhile: "));
        format!("{told}{who} ({})", stamp(*at_ms))
    });
    let ignored = inventory.refused.iter().map(|(file, why)| format!("cron IGNORES {file}, all of it: {why}"));
    let findings: Vec<String> = ignored.chain(inventory.open_scripts()).chain(told).collect();
    if findings.is_empty() {
        let reason = match inventory.changes.back() {
            Some(newest) => format!("no job changed since {}", stamp(newest.at_ms)),
            None if inventory.was_told => "no script of cron may be written by everybody any more".to_owned(),
            None => return None,
        };
        return Some(CheckResult::new(id, Status::Ok, reason, Unit::Count).value(0.0));
    }
    inventory.was_told = true;
    let more = match findings.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let reason = format!("{}{more}", findings.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; "));
    let status = if inventory.refused.is_empty() { Status::Warning } else { Status::Critical };
    Some(CheckResult::new(id, status, reason, Unit::Count).value(findings.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::cron::TableLoad;

    const HOUR_MS: i64 = 3_600_000;

    fn reading(lines: &[(&str, &str, &str)]) -> CronReading {
        let entry = |(source, schedule, command): &(&str, &str, &str)| CronEntry {
            source: (*source).into(),
            user: None,
            schedule: (*schedule).into(),
            command: (*command).into(),
            next: (*schedule != "timer" || !command.is_empty()).then_some(DateTime::UNIX_EPOCH),
            last: None,
            unit: None,
            told: None,
            is_declared: false,
        };
        CronReading { entries: lines.iter().map(entry).collect(), ..CronReading::default() }
    }

    fn told(before: &[(&str, &str, &str)], now: &[(&str, &str, &str)], hours_later: i64) -> Option<String> {
        let mut inventory = Inventory::default();
        inventory.begin_with(&reading(before), 0);
        check(&reading(now), &mut inventory, &Deeds::default(), HOUR_MS);
        let result = check(&reading(now), &mut inventory, &Deeds::default(), HOUR_MS * (1 + hours_later))?;
        Some(format!("{} {}", result.status, result.reason))
    }

    const PURGE: (&str, &str, &str) = ("/etc/cron.d/purge", "30 4 * * *", "purge.sh");

    #[test]
    fn what_never_changed_says_nothing_and_what_changed_is_told_for_a_day() {
        assert_eq!(told(&[PURGE], &[PURGE], 1), None);
        let gone = "WARNING /etc/cron.d/purge: «30 4 * * * purge.sh» was removed or commented out, last seen 1970-01-01 \
                    00:00 UTC (1970-01-01 01:00 UTC)";
        assert_eq!(told(&[PURGE], &[], 1).as_deref(), Some(gone));
        assert_eq!(told(&[PURGE], &[], 25).as_deref(), Some("OK no job changed since 1970-01-01 01:00 UTC"));
    }

    #[test]
    fn another_time_and_another_command_are_told_with_what_stood_there() {
        let later = (PURGE.0, "30 5 * * *", PURGE.2);
        let told_later = told(&[PURGE], &[later], 1).unwrap_or_default();
        assert!(told_later.contains("changed from «30 4 * * * purge.sh» to «30 5 * * * purge.sh»"), "{told_later}");
        let other = (PURGE.0, PURGE.1, "other.sh");
        let told_other = told(&[PURGE], &[other], 1).unwrap_or_default();
        assert!(told_other.contains("to «30 4 * * * other.sh»"), "{told_other}");
    }

    #[test]
    fn a_table_that_may_no_longer_be_read_changed_nothing() {
        let mut inventory = Inventory::default();
        inventory.begin_with(&reading(&[PURGE]), 0);
        let denied = CronReading { denied: vec!["/etc/cron.d/purge".into()], ..CronReading::default() };
        assert_eq!(check(&denied, &mut inventory, &Deeds::default(), HOUR_MS), None);
    }

    fn with_script(hash: char, mode: &str) -> CronReading {
        let state = FileState {
            mode: mode.into(),
            owner: "0:0".into(),
            modified_s: 7_200,
            sha256: SafeText::new(&hash.to_string().repeat(64)),
        };
        let scripts = Some(vec![("/opt/purge.sh".into(), state)]);
        CronReading { scripts, ..reading(&[("/etc/cron.d/purge", "30 4 * * *", "/opt/purge.sh --all")]) }
    }

    fn next(inventory: &mut Inventory, reading: &CronReading, hours: i64) -> String {
        check(reading, inventory, &Deeds::default(), hours * HOUR_MS)
            .map_or(String::new(), |found| format!("{} {}", found.status, found.reason))
    }

    #[test]
    fn a_script_that_changed_while_nobody_looked_is_told_and_one_that_is_gone() {
        let mut inventory = Inventory::default();
        inventory.begin_with(&with_script('a', "755"), HOUR_MS);
        // After a restart the files are asked for with the second poll.
        let unasked = CronReading { scripts: None, ..with_script('a', "755") };
        assert_eq!(next(&mut inventory, &unasked, 2), "");
        let expected = "WARNING /opt/purge.sh: the script changed: its content, aaaaaaaaaaaa to bbbbbbbbbbbb; written \
                        1970-01-01 02:00 UTC by 0:0, as before until 1970-01-01 01:00 UTC (1970-01-01 03:00 UTC)";
        assert_eq!(next(&mut inventory, &with_script('b', "755"), 3), expected);
        let gone = CronReading { scripts: Some(Vec::new()), ..with_script('b', "755") };
        assert!(next(&mut inventory, &gone, 30).starts_with("WARNING /opt/purge.sh: the script is gone"));
    }

    #[test]
    fn a_script_that_everybody_may_write_is_told_as_long_as_that_is_so() {
        let mut inventory = Inventory::default();
        let told = next(&mut inventory, &with_script('a', "777"), 1);
        assert_eq!(told, "WARNING /opt/purge.sh, which cron runs, may be written by everybody (mode 777)");
        assert!(next(&mut inventory, &with_script('a', "777"), 99).starts_with("WARNING /opt/purge.sh, which"));
        assert!(next(&mut inventory, &with_script('a', "755"), 100).contains("its mode, 777 to 755"));
        assert!(next(&mut inventory, &with_script('a', "755"), 130).starts_with("OK no job changed since"));
    }

    #[test]
    fn a_table_that_cron_ignores_is_critical_until_it_is_loaded_again() {
        let mut inventory = Inventory::default();
        let load = |refused: Option<&str>| TableLoad { file: "/etc/cron.d/a".into(), refused: refused.map(Into::into) };
        let with = |loads: Vec<TableLoad>| CronReading { loads, ..reading(&[("/etc/cron.d/a", "@daily", "x")]) };
        let told = next(&mut inventory, &with(vec![load(Some("bad minute"))]), 0);
        assert_eq!(told, "CRITICAL cron IGNORES /etc/cron.d/a, all of it: bad minute");
        assert!(next(&mut inventory, &with(Vec::new()), 1).starts_with("CRITICAL"));
        assert!(next(&mut inventory, &with(vec![load(None)]), 2).starts_with("OK"));
    }
    #[test]
    fn what_an_earlier_process_told_is_taken_apart_again() {
        let script = "/opt/x, which cron runs, may be written by everybody (mode 777)";
        let told = "new: a (1970-01-01 09:00 UTC); gone: b; meanwhile: vi by uid 7 on pts/1 at 07:59:00 UTC, outside Dogwatch (1970-01-01 08:00 UTC)";
        for before in [told.to_owned(), format!("{script}; {told}"), format!("{told}; and 3 more")] {
            let mut inventory = Inventory::default();
            inventory.restore(0, &before);
            let same = reading(&[("/etc/cron.d/a", "@daily", "x")]);
            assert_eq!(next(&mut inventory, &same, 10), format!("WARNING {told}"), "{before}");
        }
    }
}
