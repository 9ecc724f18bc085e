//! The last run of everything that runs by the clock and that nobody declared: it has no check, and its verdict all the same.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::history::{FAILED_WITHIN_S, RunHistory};
use super::join::Begun;
use super::run::JobRun;
use super::still::BegunBy;
use super::verdict::Verdict;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::{CronEntry, CronReading, CronRun, ListedRun, timer_name};
use crate::domain::settings::{JobEvidence, JobSpec};
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// What begins every script of a directory.
const RUN_PARTS: &str = "run-parts";

/// A line of a table, by its file, user, schedule and command.
type Key = (SafeText, Option<SafeText>, SafeText, SafeText);

/// The last run of each line, for longer than one look at cron's log reaches back.
#[derive(Debug, Default)]
pub struct Listed {
    last: BTreeMap<Key, JobRun>,
    /// What an earlier process told of a run, and when that was.
    told_before: BTreeMap<Key, (DateTime<Utc>, ListedRun)>,
}

impl Listed {
    /// Goes on from a reading that an earlier process left: accounting's records are read once.
    pub fn begin_with(&mut self, reading: &CronReading) {
        let told = |entry: &CronEntry| Some((key(entry), (entry.last?, entry.told.clone()?)));
        self.told_before = reading.entries.iter().filter_map(told).collect();
    }

    /// Takes what accounting told.
    pub fn take_records(&mut self, records: &[RawRecord], begun: Begun, uids: &HashMap<SafeText, u32>) {
        for run in self.last.values_mut().filter(|run| run.proof.is_none()) {
            let uid = uids.get(&run.run.user).copied();
            run.look_through(records.iter(), begun, uid);
        }
    }

    /// Takes what cron's log told, and forgets lines that are in no table any more.
    fn take_runs(&mut self, reading: &CronReading, meet: impl Fn(JobRun) -> JobRun) {
        let logged = Logged::of(&reading.runs);
        let mut before = std::mem::take(&mut self.last);
        for entry in reading.entries.iter().filter(|entry| entry.unit.is_none()) {
            let key = key(entry);
            let last = match (before.remove(&key), logged.newest_of(entry)) {
                (Some(known), Some(run)) if run.at < known.run.at => Some(known),
                // That it failed may have been logged since.
                (Some(known), Some(run)) if run.at == known.run.at && run.pid == known.run.pid => {
                    let failed_with = run.failed_with.or(known.run.failed_with);
                    Some(JobRun { run: CronRun { failed_with, ..run.clone() }, ..known })
                }
                (_, Some(run)) => Some(meet(JobRun::begun(run.clone()))),
                (known, None) => known,
            };
            self.last.extend(last.map(|last| (key, last)));
        }
        for failure in &reading.failures {
            let is_its = |known: &&mut JobRun| {
                let age_s = (failure.at - known.run.at).num_seconds();
                known.run.pid == failure.pid && (0..FAILED_WITHIN_S).contains(&age_s)
            };
            let known = self.last.values_mut().filter(|known| known.proof.is_none()).filter(is_its);
            known.for_each(|known| known.run.failed_with = Some(failure.status));
        }
    }
}

/// The runs of one look at cron's log, by their commands.
struct Logged<'a> {
    by_command: HashMap<&'a str, Vec<&'a CronRun>>,
    /// Of whole directories.
    of_run_parts: Vec<&'a CronRun>,
}

impl<'a> Logged<'a> {
    fn of(runs: &'a [CronRun]) -> Self {
        let mut by_command: HashMap<&str, Vec<&CronRun>> = HashMap::new();
        runs.iter().for_each(|run| by_command.entry(run.command.as_str()).or_default().push(run));
        let of_run_parts = runs.iter().filter(|run| run.command.as_str().contains(RUN_PARTS)).collect();
        Self { by_command, of_run_parts }
    }

    /// The newest run of an entry. cron logs what stands before the first `%`, and of what run-parts begins the directory.
    fn newest_of(&self, entry: &CronEntry) -> Option<&'a CronRun> {
        if let Some(directory) = run_parts_of(entry) {
            let is_its = |run: &&&CronRun| {
                let mut words = run.command.as_str().split_ascii_whitespace();
                words.any(|word| word.trim_end_matches([';', ')', '}']) == directory)
            };
            return self.of_run_parts.iter().filter(is_its).max_by_key(|run| run.at).copied();
        }
        let is_its = |run: &&&CronRun| entry.user.as_ref().is_none_or(|user| *user == run.user);
        let runs = self.by_command.get(logged_part(entry.command.as_str()).trim())?;
        runs.iter().filter(is_its).max_by_key(|run| run.at).copied()
    }
}

/// The directory of a script that run-parts begins with all others of it.
fn run_parts_of(entry: &CronEntry) -> Option<&str> {
    let path = entry.command.as_str();
    (path == entry.source.as_str()).then(|| path.rsplit_once('/').map_or("", |(directory, _)| directory))
}

/// The verdict of a script that run-parts begins: it is that of all of its directory.
fn of_directory(told: ListedRun, run: &CronRun) -> ListedRun {
    let leaves_it = run.command.as_str().starts_with("test -x") && run.command.as_str().contains("||");
    match leaves_it && told.status == Status::Ok {
        true => ListedRun {
            status: Status::Unknown,
            words: format!(
                "run-parts' line {}: whether it ran any, or left them to another, is not logged",
                told.words
            )
            .into(),
        },
        false => ListedRun { words: format!("run-parts as a whole: {}", told.words).into(), ..told },
    }
}

/// Fills in the last run of each entry, and what is known of it.
pub fn tell(history: &mut RunHistory, reading: &mut CronReading, jobs: &[JobSpec], now: DateTime<Utc>) {
    let mut listed = std::mem::take(&mut history.listed);
    listed.take_runs(reading, |run| history.meet(run));
    let zone: Tz = reading.zone.parse().unwrap_or(Tz::UTC);
    for entry in &mut reading.entries {
        let told = |run: &JobRun, begun_by| {
            let at = run.run.at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
            let (status, words) = Verdict::of_listed(run, begun_by, history, now).told(false, &at, true);
            ListedRun { status, words: words.into() }
        };
        entry.is_declared = jobs.iter().any(|job| is_declared_by(entry, job));
        if let Some(state) = &entry.unit {
            let run = state.ran.as_ref().map(|ran| JobRun::of_unit(ran, state, &entry.command));
            entry.told = run.map(|run| told(&run, BegunBy::Timer));
        } else if let Some(run) = listed.last.get(&key(entry)) {
            entry.last = Some(run.run.at);
            let before = listed.told_before.get(&key(entry)).filter(|(at, _)| *at == run.run.at && run.proof.is_none());
            entry.told = before.map(|(_, told)| told.clone()).or_else(|| {
                let told = told(run, BegunBy::Cron);
                Some(if run_parts_of(entry).is_some() { of_directory(told, &run.run) } else { told })
            });
        }
    }
    history.listed = listed;
}

fn key(entry: &CronEntry) -> Key {
    (entry.source.clone(), entry.user.clone(), entry.schedule.clone(), entry.command.clone())
}

/// Whether a declared job is this entry.
fn is_declared_by(entry: &CronEntry, job: &JobSpec) -> bool {
    match &job.evidence {
        JobEvidence::Timer { unit } => entry.unit.is_some() && entry.source.as_str() == timer_name(unit),
        JobEvidence::CronLog { command, user } => {
            let is_user =
                user.is_none() || entry.user.is_none() || user.as_deref() == entry.user.as_ref().map(|it| it.as_str());
            entry.unit.is_none() && is_user && entry.command.as_str().contains(command.as_str())
        }
    }
}

/// What cron runs of a line, and logs: all before the first `%` that is not escaped; an escaped one is `%` itself.
fn logged_part(command: &str) -> String {
    let mut part = String::new();
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('%')) => part.extend(chars.next()),
            ('%', _) => break,
            (c, _) => part.push(c),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::probe::accounting::AccountingReading;
    use crate::domain::proof::acct::{tests::record, write};

    const AT: u32 = 1_790_000_000;

    fn entry(path: &str, command: &str) -> CronEntry {
        CronEntry::new(path.into(), Some("root".into()), "@daily".into(), command.into())
    }

    fn logged(command: &str, pid: u32) -> CronRun {
        CronRun {
            at: DateTime::from_timestamp(i64::from(AT), 0).unwrap_or_default(),
            user: "root".into(),
            command: command.into(),
            pid,
            failed_with: None,
            line: RemoteBytes::default(),
        }
    }

    fn told(history: &mut RunHistory, runs: Vec<CronRun>) -> Vec<Option<(Status, String)>> {
        let entries = vec![
            entry("/etc/crontab", "/usr/bin/report --all"),
            entry("/etc/cron.daily/rotate", "/etc/cron.daily/rotate"),
            entry("/etc/cron.d/never", "never"),
        ];
        let mut reading = CronReading { zone: "UTC".to_owned(), entries, runs, ..CronReading::default() };
        tell(history, &mut reading, &[], DateTime::from_timestamp(i64::from(AT) + 60, 0).unwrap_or_default());
        let told = |entry: CronEntry| entry.told.map(|told| (told.status, told.words.to_string()));
        reading.entries.into_iter().map(told).collect()
    }

    #[test]
    fn a_command_is_what_stands_before_its_first_percent_sign() {
        let is_its = |command: &str, logged: &str| {
            let runs = [self::logged(logged, 1)];
            Logged::of(&runs).newest_of(&entry("/etc/crontab", command)).is_some()
        };
        assert!(is_its(r"date +\%F >>/x % input", "date +%F >>/x"));
        assert!(is_its("/opt/sync", "/opt/sync") && !is_its("/opt/sync --full", "/opt/sync"));
    }

    #[test]
    fn a_line_that_nobody_declared_has_the_verdict_of_its_last_run_and_keeps_it() {
        let mut history = RunHistory::default();
        let runs = vec![
            logged("/usr/bin/report --all", 7),
            logged("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", 8),
        ];
        let before = told(&mut history, runs);
        assert_eq!(before[0].as_ref().map(|(status, _)| *status), Some(Status::Unknown));
        let ended = [(7, 0x300), (8, 0)].map(|(pid, status)| {
            let record = record("sh", pid, AT, 1_000, status);
            RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }
        });
        let reading = AccountingReading { records: ended.to_vec(), ..AccountingReading::default() };
        history.take_records(&reading, i64::MAX);
        let after = told(&mut history, Vec::new());
        let (status, words) = after[0].clone().unwrap_or((Status::Ok, String::new()));
        assert!(status == Status::Critical && words.starts_with("proven FAILED: exit status 3, took 1.0 s"), "{words}");
        assert_eq!(after[1].as_ref().map(|(status, _)| *status), Some(Status::Unknown));
        assert_eq!(after[2], None);
    }

    #[test]
    fn run_parts_of_any_make_is_told_as_a_whole_and_one_that_leaves_its_work_to_another_proves_nothing() {
        let told = |command: &str, status: u32| {
            let mut history = RunHistory::default();
            let record = record("sh", 8, AT, 1_000, status);
            let records = vec![RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }];
            history.take_records(&AccountingReading { records, ..AccountingReading::default() }, i64::MAX);
            told(&mut history, vec![logged(command, 8)]).swap_remove(1).unwrap_or((Status::Ok, "nothing".to_owned()))
        };
        let debian_11 = "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )";
        let debian_12 = "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }";
        for command in [debian_11, debian_12] {
            let (status, words) = told(command, 0);
            assert!(status == Status::Unknown && words.contains("whether it ran any"), "{words}");
            assert_eq!(told(command, 0x100).0, Status::Critical);
        }
        let (status, words) = told("cd / && run-parts --report /etc/cron.daily", 0);
        assert!(status == Status::Ok && words.starts_with("run-parts as a whole: proven ok"), "{words}");
    }
}
