//! What ran on a host between two moments, as accounting and cron's log tell it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::acct::{AcctRecord, Ended};
use super::join::find;
use super::pack::tty;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::CronRun;
use crate::domain::probe::script::END_STATUS;
use crate::domain::text::SafeText;

/// Processes that are told of; the lightest of more are counted.
const ROWS_MAX: usize = 2_000;
/// Parents that are looked through for the job that a process belongs to.
const DEPTH_MAX: usize = 32;

/// A process, or a run of cron of which no record is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanRow {
    pub begin: DateTime<Utc>,
    /// `None` where no record of accounting tells of its end.
    pub took_ms: Option<u64>,
    /// The CPU time of it and of all below it that ended before it did.
    pub cpu_ms: u64,
    pub user: SafeText,
    /// Empty where it had no terminal.
    pub terminal: String,
    pub command: SafeText,
    pub end: Option<Ended>,
    pub pid: u32,
    /// The command of cron's that it is, or that began it.
    pub of_job: Option<SafeText>,
    /// Whether it looks like a poll of Dogwatch's: a shell without a terminal that ended with its status, or below one.
    pub like_own_poll: bool,
}

/// What was found, the heaviest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub rows: Vec<RanRow>,
    /// Lighter ones that were left out.
    pub left_out: usize,
}

/// Everything that ran for a part of this time at least. Of processes that still run accounting knows nothing: of those only
/// cron's own beginnings are told, where their record should be there and is not.
pub fn ran(
    records: &[RawRecord],
    logged: &[CronRun],
    users: &BTreeMap<u32, SafeText>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Ran {
    let (from_ms, to_ms) = (from.timestamp_millis(), to.timestamp_millis());
    let then: Vec<&RawRecord> = records
        .iter()
        .filter(|found| found.record.begin_ms() <= to_ms && from_ms <= found.record.end_ms().saturating_add(999))
        .collect();
    let parents: BTreeMap<u32, u32> = then.iter().map(|found| (found.record.pid, found.record.ppid)).collect();
    let mut of_pid: BTreeMap<u32, &SafeText> = BTreeMap::new();
    let mut rows = Vec::new();
    for run in logged.iter().filter(|run| run.at <= to) {
        match find(run, then.iter().copied()) {
            Some(proof) => drop(of_pid.insert(proof.record().pid, &run.command)),
            None if from <= run.at => rows.push(RanRow {
                begin: run.at,
                took_ms: None,
                cpu_ms: 0,
                user: run.user.clone(),
                terminal: String::new(),
                command: run.command.clone(),
                end: None,
                pid: run.pid,
                of_job: Some(run.command.clone()),
                like_own_poll: false,
            }),
            None => {}
        }
    }
    // Anybody's shell can end so: such processes are told, after all others.
    let is_poll = |record: &AcctRecord| record.tty == 0 && record.ended() == Ended::Exited(END_STATUS as u8);
    let polls: BTreeSet<u32> =
        then.iter().filter(|found| is_poll(&found.record)).map(|found| found.record.pid).collect();
    let up_from = |pid: u32| std::iter::successors(Some(pid), |pid| parents.get(pid).copied()).take(DEPTH_MAX);
    let job_of = |pid: u32| up_from(pid).find_map(|pid| of_pid.get(&pid).map(|command| (*command).clone()));
    rows.extend(then.iter().map(|found| {
        let record = &found.record;
        RanRow {
            begin: DateTime::from_timestamp_millis(record.begin_ms()).unwrap_or_default(),
            took_ms: Some(record.elapsed_ms),
            cpu_ms: found.whole_cpu_ms,
            user: users.get(&record.uid).cloned().unwrap_or_else(|| format!("uid {}", record.uid).into()),
            terminal: tty(record.tty),
            command: SafeText::from_bytes(record.name()),
            end: Some(record.ended()),
            pid: record.pid,
            of_job: (record.pid != 0).then(|| job_of(record.pid)).flatten(),
            like_own_poll: up_from(record.pid).any(|pid| polls.contains(&pid)),
        }
    }));
    let is_whole = |row: &RanRow| row.of_job.is_some() && row.end.is_none();
    rows.sort_by_key(|row| {
        (row.like_own_poll, !is_whole(row), std::cmp::Reverse((row.cpu_ms, row.took_ms)), row.begin)
    });
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    Ran { rows, left_out }
}

impl RanRow {
    /// What it belongs to: a job of cron's, or what looks like one of our own polls.
    pub fn belongs_to(&self) -> &str {
        match &self.of_job {
            Some(job) => job.as_str(),
            None if self.like_own_poll => "as a poll of Dogwatch",
            None => "",
        }
    }

    /// How it ended, in words.
    pub fn end_words(&self) -> String {
        match self.end {
            Some(Ended::Exited(status)) => format!("exit {status}"),
            Some(Ended::Killed { signal, core }) => format!("signal {signal}{}", if core { ", core" } else { "" }),
            None => "no record: it runs still, or none was kept".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::proof::acct::{AcctRecord, tests::record, write};
    use crate::domain::proof::cpu::CpuTree;

    const AT: u32 = 1_790_000_000;

    fn at(seconds: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(AT + seconds), 0).unwrap_or_default()
    }

    fn found(rows: &[(&str, u32, u32, u32, u64, u64)]) -> Vec<String> {
        let mut tree = CpuTree::default();
        let raw = |(name, pid, ppid, begin, took_s, cpu_ms): &(&str, u32, u32, u32, u64, u64)| {
            let status = if *pid == 60 { END_STATUS as u32 * 0x100 } else { 0 };
            let plain = record(name, *pid, AT + begin, took_s * 1_000, status);
            let record = AcctRecord { ppid: *ppid, user_ms: *cpu_ms, uid: 33, ..plain };
            RawRecord { raw: write(&record), record, whole_cpu_ms: tree.take(&record) }
        };
        let records: Vec<RawRecord> = rows.iter().map(raw).collect();
        let logged = [("/opt/backup --full", 50, 100), ("gone", 99, 130)].map(|(command, pid, begin)| CronRun {
            at: at(begin),
            user: "root".into(),
            command: command.into(),
            pid,
            failed_with: None,
            line: RemoteBytes::default(),
        });
        let users = BTreeMap::from([(33, SafeText::new("www"))]);
        let words = |row: &RanRow| {
            format!("{} {} {} ms {} {}", row.command, row.user, row.cpu_ms, row.end_words(), row.belongs_to())
        };
        ran(&records, &logged, &users, at(120), at(140)).rows.iter().map(words).collect()
    }

    #[test]
    fn what_ran_then_is_told_with_the_job_that_began_it_the_heaviest_first() {
        let rows = [
            ("before", 10, 1, 0, 60, 900),
            ("tar", 52, 51, 101, 30, 400),
            ("ls", 70, 69, 125, 1, 5),
            ("full.sh", 51, 50, 100, 40, 10),
            ("sh", 50, 40, 100, 41, 1),
            ("stat", 61, 60, 130, 1, 800),
            ("sh", 60, 59, 130, 1, 0),
            ("after", 80, 1, 200, 1, 900),
        ];
        assert_eq!(
            found(&rows),
            [
                "gone root 0 ms no record: it runs still, or none was kept gone",
                "sh www 411 ms exit 0 /opt/backup --full",
                "full.sh www 410 ms exit 0 /opt/backup --full",
                "tar www 400 ms exit 0 /opt/backup --full",
                "ls www 5 ms exit 0 ",
                "stat www 800 ms exit 0 as a poll of Dogwatch",
                "sh www 800 ms exit 113 as a poll of Dogwatch",
            ]
        );
    }
}
