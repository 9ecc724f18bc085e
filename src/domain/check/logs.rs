//! `log.growth:PATH`, `log.shrunk:PATH`, `log.rate:RULE:PATH`, over what each log did lately.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::NaiveDateTime;

use super::{CheckId, CheckKind, CheckResult, Context, Unit, bytes_words};
use crate::domain::probe::disk::{DiskReading, Filesystem};
use crate::domain::probe::logs::{LogReading, LogsReading};
use crate::domain::probe::recent_matches::Earlier;
use crate::domain::proof::deeds::{Cut, Deeds, Kind, NOBODY};
use crate::domain::settings::{HOUR, RateRule};
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::words;

/// Growth is the mean over this long.
const GROWTH_OVER: Duration = Duration::from_secs(600);
/// How long a shrink without a rotation stays a warning.
const SHRINK_NEWS_FOR: Duration = Duration::from_secs(24 * HOUR.as_secs());
/// A poll may come this much late before its lines count as older than a rule's time.
const LATE_POLL_MS: i64 = 60_000;
/// Polls are remembered as far back as a rule may count, and never more than at a cadence of one second.
const REMEMBERED_MS: i64 = 3_660_000;
const POLLS_MAX: usize = 3_700;

/// What each log did lately.
#[derive(Default)]
pub struct LogHistory {
    logs: BTreeMap<SafeText, Lately>,
}

#[derive(Default)]
struct Lately {
    polls: VecDeque<Poll>,
    /// What was matched before the first of them, by an engine before this one.
    earlier: Vec<Earlier>,
    shrunk: Option<Shrunk>,
    /// The files of the last look, with their sizes.
    files: BTreeMap<SafeText, u64>,
    /// The newest line that each rule matched.
    newest: BTreeMap<String, SafeText>,
}

struct Poll {
    utc_ms: i64,
    /// When the log was read before: its lines came between the two.
    since_ms: i64,
    bytes: u64,
    gap_bytes: u64,
    gap_is_open: bool,
    matches: BTreeMap<String, u64>,
}

struct Shrunk {
    /// What may have done it: a file that is shorter was removed by nobody.
    kind: Kind,
    utc_ms: i64,
    /// When it was looked at before.
    since_ms: i64,
    told: String,
    /// Who did it, once that is known.
    who: Option<String>,
}

impl LogHistory {
    /// Goes on from what an earlier process told of a log that was cut: its words hold who did it.
    pub fn restore(&mut self, log: &SafeText, told_ms: i64, words: &str) {
        let (told, rest) = words.split_once(" at 2").unwrap_or((words, ""));
        let (time, who) = rest.split_once(" UTC").unwrap_or((rest, ""));
        let who = who.strip_prefix("; ").map(str::to_owned);
        let at = NaiveDateTime::parse_from_str(&format!("2{time}"), "%Y-%m-%d %H:%M:%S").ok();
        let utc_ms = at.map_or(told_ms, |at| at.and_utc().timestamp_millis());
        let shrunk = Shrunk { kind: Kind::Cuts, utc_ms, since_ms: utc_ms, told: told.to_owned(), who };
        self.logs.entry(log.clone()).or_default().shrunk = Some(shrunk);
    }
}

/// What other probes know that bears on a log.
pub struct Around<'a> {
    /// Where logs lie.
    pub disk: Option<&'a DiskReading>,
    /// Who may have cut them.
    pub deeds: &'a Deeds,
}

/// All results of all logs of one reading.
pub fn check(
    reading: &LogsReading,
    history: &mut LogHistory,
    around: &Around<'_>,
    context: &Context,
) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for log in &reading.logs {
        let lately = history.logs.entry(log.watch.clone()).or_default();
        lately.take(log, &context.settings.rules, context.now.utc_ms);
        let is_journal = log.watch.as_str().starts_with("journal");
        if !is_journal {
            results.push(growth(log, lately, around.disk, context));
            lately.learn_who(around.deeds);
            results.push(shrunk(log, lately, context));
        }
        results.extend(context.settings.rules.iter().map(|rule| rate(log, lately, rule, context)));
    }
    results
}

impl Lately {
    fn take(&mut self, log: &LogReading, rules: &[RateRule], utc_ms: i64) {
        for rule in rules {
            let newest = log.shown.iter().rev().find(|line| rule.pattern.is_match(line.as_str().as_bytes()));
            if let Some(line) = newest {
                self.newest.insert(rule.name.as_str().to_owned(), line.clone());
            }
        }
        let since_ms = self.polls.back().map(|poll| poll.utc_ms).or(log.read_before_ms).unwrap_or(utc_ms);
        if self.polls.is_empty() {
            self.earlier.clone_from(&log.earlier);
        }
        self.polls.push_back(Poll {
            utc_ms,
            since_ms,
            bytes: log.new_bytes.saturating_add(log.gap_bytes),
            gap_bytes: log.gap_bytes,
            gap_is_open: log.gap_is_open,
            matches: log.matches.clone(),
        });
        let is_old = |poll: &Poll| poll.utc_ms < utc_ms - REMEMBERED_MS;
        while POLLS_MAX < self.polls.len() || self.polls.front().is_some_and(is_old) {
            self.polls.pop_front();
        }
        let changed = log.files.iter().find_map(|file| match (file.shrunk_from, file.replaced) {
            // It may have been longer than what was read of it.
            (Some(before), _) => Some((
                Kind::Shortens,
                format!(
                    "{} shrank from {} to {} without a rotation",
                    file.path,
                    bytes_words(self.files.get(&file.path).copied().unwrap_or(0).max(before) as f64),
                    bytes_words(file.size_bytes as f64)
                ),
            )),
            (None, true) => {
                Some((Kind::Removes, format!("{} was replaced by another file without a rotation", file.path)))
            }
            (None, false) => None,
        });
        let found = self.gone(log).map(|told| (Kind::Removes, told)).or(changed);
        if let Some((kind, told)) = found {
            self.shrunk = Some(Shrunk { kind, utc_ms, since_ms, told, who: None });
        }
        self.files = log.files.iter().map(|file| (file.path.clone(), file.size_bytes)).collect();
    }

    /// Who cut the log: what was found once stays, and that nobody did may still be found to be wrong.
    fn learn_who(&mut self, deeds: &Deeds) {
        let Some(event) = self.shrunk.as_mut().filter(|event| event.who.as_deref().is_none_or(|who| who == NOBODY))
        else {
            return;
        };
        match deeds.who_cut(event.kind, event.since_ms, event.utc_ms) {
            Some(Cut::Named(words)) => event.who = Some(words),
            Some(Cut::Nobody) => event.who = Some(NOBODY.to_owned()),
            None => {}
        }
    }

    /// A file that is no longer there, and has no new name beside it: a rotation would have given it one.
    fn gone(&self, log: &LogReading) -> Option<String> {
        let is_there = |path: &SafeText| log.files.iter().any(|file| file.path == *path);
        let renamed = |path: &SafeText| {
            log.files
                .iter()
                .any(|file| file.path.as_str().starts_with(path.as_str()) && !self.files.contains_key(&file.path))
        };
        let (path, size) = self.files.iter().find(|(path, _)| !is_there(path) && !renamed(path))?;
        // An old rotated file goes when its time has come.
        let was_rotated = self.files.keys().any(|other| other != path && path.as_str().starts_with(other.as_str()));
        (!was_rotated).then(|| format!("{path} is gone, with {}, and was not rotated", bytes_words(*size as f64)))
    }

    fn since(&self, utc_ms: i64) -> impl Iterator<Item = &Poll> {
        self.polls.iter().filter(move |poll| utc_ms < poll.utc_ms)
    }
}

fn id(kind: CheckKind, log: &LogReading) -> CheckId {
    CheckId::on(kind, log.watch.clone())
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn growth(log: &LogReading, lately: &Lately, disk: Option<&DiskReading>, context: &Context) -> CheckResult {
    let id = id(CheckKind::LogGrowth, log);
    if let (Some(trouble), true) = (&log.trouble, log.files.is_empty()) {
        return CheckResult::missing(id, trouble.as_str(), Unit::BytesPerSecond);
    }
    let first = lately.polls.front().map(|poll| poll.since_ms).unwrap_or(context.now.utc_ms);
    let from = first.max(context.now.utc_ms - ms(GROWTH_OVER));
    let span_s = (context.now.utc_ms - from) as f64 / 1_000.0;
    if log.first_sample || span_s <= 0.0 {
        return CheckResult::missing(id, "first sample", Unit::BytesPerSecond);
    }
    let bytes: u64 = lately.since(from).map(|poll| poll.bytes).sum();
    let per_second = bytes as f64 / span_s;
    let size = bytes_words(log.size_bytes() as f64);
    let rotated = log.rotated_at.as_ref().map(|stamp| format!("; rotated {stamp}")).unwrap_or_default();
    let told = format!("{size}, grows {} an hour: {}{rotated}", bytes_words(per_second * 3_600.0), log.watch);
    let left = disk.and_then(|disk| mount_of(log, disk)).and_then(|fs| Some((fs, fs.usage?)));
    let Some((fs, usage)) = left.filter(|_| 0.0 < per_second) else {
        return CheckResult::new(id, Status::Ok, told, Unit::BytesPerSecond).value(per_second);
    };
    let fills_in = Duration::try_from_secs_f64(usage.available_bytes as f64 / per_second).unwrap_or(Duration::MAX);
    match fills_in < context.settings.log.growth_warning {
        true => {
            let reason = format!("alone fills {} in {}: {told}", fs.mount, words(fills_in));
            CheckResult::new(id, Status::Warning, reason, Unit::BytesPerSecond).value(per_second)
        }
        false => CheckResult::new(id, Status::Ok, told, Unit::BytesPerSecond).value(per_second),
    }
}

/// The file system with the longest mount point above the log.
fn mount_of<'a>(log: &LogReading, disk: &'a DiskReading) -> Option<&'a Filesystem> {
    let path = log.files.first().map_or(log.watch.as_str(), |file| file.path.as_str());
    let above = |fs: &&Filesystem| {
        let mount = fs.mount.as_str().trim_end_matches('/');
        path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
    };
    disk.filesystems.iter().filter(above).max_by_key(|fs| fs.mount.as_str().len())
}

fn shrunk(log: &LogReading, lately: &Lately, context: &Context) -> CheckResult {
    let id = id(CheckKind::LogShrunk, log);
    if let Some(event) = lately.shrunk.as_ref().filter(|event| context.now.utc_ms - event.utc_ms < ms(SHRINK_NEWS_FOR))
    {
        let at = chrono::DateTime::from_timestamp_millis(event.utc_ms).unwrap_or_default();
        let who = event.who.as_ref().map_or(String::new(), |who| format!("; {who}"));
        let told = match log.files.is_empty() {
            true => event.told.clone(),
            false => event.told.replacen(" is gone,", " was gone,", 1),
        };
        let reason = format!("{told} at {}{who}", at.format("%Y-%m-%d %H:%M:%S UTC"));
        // One that is not there at all goes before what can't be told of it.
        let status = if log.files.is_empty() { Status::Critical } else { Status::Warning };
        return CheckResult::new(id, status, reason, Unit::Count).value(1.0);
    }
    if let (Some(trouble), true) = (&log.trouble, log.files.is_empty()) {
        return CheckResult::missing(id, trouble.as_str(), Unit::Count);
    }
    if log.first_sample {
        return CheckResult::missing(id, "first sample", Unit::Count);
    }
    let (reason, partial) = match &log.trouble {
        Some(trouble) => (format!("{}: {trouble}", log.watch), true),
        None => (format!("{} only grew, or was rotated", log.watch), false),
    };
    let result = CheckResult::new(id, Status::Ok, reason, Unit::Count).value(0.0);
    if partial { result.partial() } else { result }
}

fn rate(log: &LogReading, lately: &Lately, rule: &RateRule, context: &Context) -> CheckResult {
    let subject = format!("{}:{}", rule.name, log.watch);
    let id = CheckId::on(CheckKind::LogRate, subject.into());
    // A journal shows everybody their own lines: what it leaves out is what counts.
    if let (Some(trouble), true) = (&log.trouble, log.files.is_empty()) {
        return CheckResult::missing(id, trouble.as_str(), Unit::PerWindow);
    }
    if log.first_sample {
        return CheckResult::missing(id, "first sample", Unit::PerWindow);
    }
    let window_ms = ms(rule.per);
    if let Some(poll) = lately.polls.back().filter(|poll| window_ms + LATE_POLL_MS < poll.utc_ms - poll.since_ms) {
        let told = words(Duration::from_millis(u64::try_from(poll.utc_ms - poll.since_ms).unwrap_or(0)));
        let count = poll.matches.get(rule.name.as_str()).copied().unwrap_or(0);
        let reason = format!("{count} {} in {told}, since it was last read: no rate yet: {}", rule.name, log.watch);
        return CheckResult::missing(id, reason, Unit::PerWindow);
    }
    // Lines that came over a longer time than the rule's are no rate, neither now nor at the next poll.
    let fits = |utc_ms: i64, since_ms: i64| utc_ms - since_ms <= window_ms + LATE_POLL_MS;
    let window: Vec<&Poll> =
        lately.since(context.now.utc_ms - window_ms).filter(|poll| fits(poll.utc_ms, poll.since_ms)).collect();
    let is_recent =
        |earlier: &&Earlier| context.now.utc_ms - window_ms < earlier.utc_ms && fits(earlier.utc_ms, earlier.since_ms);
    let earlier = lately.earlier.iter().filter(is_recent);
    let matched = window.iter().map(|poll| &poll.matches).chain(earlier.map(|earlier| &earlier.matches));
    let count: u64 = matched.filter_map(|matches| matches.get(rule.name.as_str())).sum();
    let unread: u64 = window.iter().map(|poll| poll.gap_bytes).sum();
    let passed = match (unread, window.iter().any(|poll| poll.gap_is_open)) {
        (0, false) => None,
        (0, true) => Some("more came than entries_max".to_owned()),
        (unread, _) => Some(format!("dropped {} beyond bytes_max", bytes_words(unread as f64))),
    };
    let at_least = if passed.is_some() { "≥ " } else { "" };
    let value = count as f64;
    let status = match () {
        () if rule.critical <= value => Status::Critical,
        () if rule.warning <= value => Status::Warning,
        () => Status::Ok,
    };
    let newest = lately.newest.get(rule.name.as_str()).filter(|_| 0 < count);
    let mut reason = format!("{at_least}{count} {} in {}: {}", rule.name, words(rule.per), log.watch);
    reason.extend(passed.iter().flat_map(|passed| ["; ", passed]));
    reason.extend(newest.iter().flat_map(|line| ["; newest: «", line.as_str(), "»"]));
    let result = CheckResult::new(id, status, reason, Unit::PerWindow).value(value);
    if let Some(trouble) = &log.trouble {
        let reason = format!("{}; {trouble}", result.reason);
        return CheckResult { reason: reason.into(), ..result }.partial();
    }
    if passed.is_none() { result } else { result.partial() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::NOTHING_KNOWN;
    use crate::domain::probe::disk::Usage;
    use crate::domain::probe::logs::LogFile;
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn log(first_sample: bool, new_bytes: u64) -> LogReading {
        let file =
            LogFile { path: "/var/log/a".into(), size_bytes: 1_000, modified_s: 0, shrunk_from: None, replaced: false };
        LogReading { new_bytes, files: vec![file], ..LogReading::new("/var/log/a".into(), first_sample) }
    }

    /// Polls each 10 s, then the line of one check.
    fn check(polls: &[LogReading], wanted: &str, expected: &str) {
        let usage =
            Usage { size_bytes: 10_000_000, used_bytes: 0, available_bytes: 1_000_000, inodes: 0, inodes_used: 0 };
        let fs = |mount: &str, usage| Filesystem {
            mount: mount.into(),
            source: "/dev/x".into(),
            kind: "ext4".into(),
            read_only: false,
            read_only_in_fstab: false,
            usage: Some(usage),
        };
        let roomy = Usage { available_bytes: u64::MAX, ..usage };
        let disk = DiskReading { filesystems: vec![fs("/", roomy), fs("/var", usage)], ..DiskReading::default() };
        let settings = Settings::default();
        let mut history = LogHistory::default();
        let mut last = Vec::new();
        for (second, log) in (0..).step_by(10).zip(polls) {
            let context = Context { settings: &settings, now: at(second), memory: &NOTHING_KNOWN };
            last = super::check(
                &LogsReading { logs: vec![log.clone()] },
                &mut history,
                &Around { disk: Some(&disk), deeds: &Deeds::default() },
                &context,
            );
        }
        let found = last.iter().find(|result| result.id.to_string() == wanted);
        assert_eq!(found.map(|result| format!("{} {}", result.status, result.reason)).as_deref(), Some(expected));
    }

    #[test]
    fn one_sample_is_not_enough() {
        check(&[log(true, 0)], "log.growth:/var/log/a", "UNKNOWN first sample");
    }

    #[test]
    fn a_log_that_alone_fills_its_mount_within_a_day_is_a_warning() {
        check(
            &[log(true, 0), log(false, 1_000)],
            "log.growth:/var/log/a",
            "WARNING alone fills /var in 2 h 46 min: 1.0 kB, grows 360 kB an hour: /var/log/a",
        );
    }

    #[test]
    fn a_shrink_is_remembered_for_a_day() {
        let mut cleared = log(false, 0);
        cleared.files[0].shrunk_from = Some(5_000_000);
        check(
            &[log(true, 0), cleared, log(false, 10)],
            "log.shrunk:/var/log/a",
            "WARNING /var/log/a shrank from 5.0 MB to 1.0 kB without a rotation at 2026-09-21 14:13:30 UTC",
        );
    }

    #[test]
    fn what_an_earlier_engine_told_of_a_log_keeps_its_own_time_and_one_that_is_back_was_gone() {
        let mut history = LogHistory::default();
        let words = "/var/log/a is gone, with 9 B, and was not rotated at 2026-09-21 14:10:01 UTC; rm by uid 7, outside Dogwatch";
        history.restore(&"/var/log/a".into(), at(0).utc_ms, words);
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(60), memory: &NOTHING_KNOWN };
        let deeds = Deeds::default();
        let around = Around { disk: None, deeds: &deeds };
        let gone = LogReading { files: Vec::new(), trouble: Some("not there".into()), ..log(false, 0) };
        for (log, expected) in [
            (gone, format!("CRITICAL {words}")),
            (log(false, 0), format!("WARNING {}", words.replace(" is gone,", " was gone,"))),
        ] {
            let results = super::check(&LogsReading { logs: vec![log] }, &mut history, &around, &context);
            let found = results.iter().find(|result| result.id.kind == CheckKind::LogShrunk);
            assert_eq!(found.map(|result| format!("{} {}", result.status, result.reason)), Some(expected));
        }
    }

    #[test]
    fn what_an_engine_before_this_one_counted_still_counts() {
        let mut first = log(false, 0);
        first.earlier = vec![Earlier {
            utc_ms: at(-60).utc_ms,
            since_ms: at(-70).utc_ms,
            matches: [("oom".to_owned(), 3)].into_iter().collect(),
        }];
        check(&[first], "log.rate:oom:/var/log/a", "WARNING 3 oom in 5 min: /var/log/a");
    }

    #[test]
    fn lines_of_a_night_off_are_no_rate_of_five_minutes_at_any_poll() {
        let mut after_the_night = log(false, 10);
        after_the_night.read_before_ms = Some(at(-8 * 3_600).utc_ms);
        after_the_night.matches.insert("oom".to_owned(), 40);
        let id = "log.rate:oom:/var/log/a";
        let told = "UNKNOWN 40 oom in 8 h 00 min, since it was last read: no rate yet: /var/log/a";
        check(&[after_the_night.clone()], id, told);
        check(&[after_the_night, log(false, 0)], id, "OK 0 oom in 5 min: /var/log/a");
    }

    #[test]
    fn a_rate_above_a_gap_is_at_least_that_much() {
        let mut noisy = log(false, 10);
        noisy.matches.insert("oom".to_owned(), 2);
        noisy.gap_bytes = 500;
        noisy.shown = vec!["Out of memory: Killed process 7".into()];
        check(
            &[log(true, 0), noisy],
            "log.rate:oom:/var/log/a",
            "WARNING ≥ 2 oom in 5 min: /var/log/a; dropped 500 B beyond bytes_max; newest: «Out of memory: Killed process 7»",
        );
    }
}
