//! What ran on a host between two moments, as accounting and cron's log tell it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::acct::{AcctRecord, Ended};
use super::join::{APART_MS, find};
use super::pack::tty;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::CronRun;
use crate::domain::probe::script::END_STATUS;
use crate::domain::text::SafeText;
use crate::domain::time::words_exact;

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
    /// Whether it looks like a poll of Dogwatch's: a shell that ended with its status, or below one.
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
    let tree = Tree::of(&then);
    let mut of_record: BTreeMap<usize, &SafeText> = BTreeMap::new();
    let mut rows = Vec::new();
    for run in logged.iter().filter(|run| run.at <= to) {
        let uid = users.iter().find(|(_, name)| **name == run.user).map(|(uid, _)| *uid);
        match find(run, tree.near(run).map(|index| then[index]), uid) {
            Some(proof) => {
                let place = tree.near(run).find(|index| *then[*index] == proof.found);
                of_record.extend(place.map(|index| (index, &run.command)));
            }
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
    let is_poll = |record: &AcctRecord| record.ended() == Ended::Exited(END_STATUS as u8);
    rows.extend(then.iter().enumerate().map(|(index, found)| {
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
            of_job: tree.up_from(index).find_map(|index| of_record.get(&index).map(|command| (*command).clone())),
            like_own_poll: tree.up_from(index).any(|index| is_poll(&then[index].record)),
        }
    }));
    let is_unended_job = |row: &RanRow| row.of_job.is_some() && row.end.is_none();
    rows.sort_by_key(|row| {
        (row.like_own_poll, !is_unended_job(row), std::cmp::Reverse((row.cpu_ms, row.took_ms)), row.begin)
    });
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    Ran { rows, left_out }
}

/// The processes by their numbers, each of which may have been several processes' one after another.
struct Tree<'a> {
    records: &'a [&'a RawRecord],
    by_pid: BTreeMap<u32, Vec<usize>>,
    /// Records before version 3 hold no number: by their beginnings, in milliseconds.
    unnumbered: BTreeMap<i64, Vec<usize>>,
}

impl<'a> Tree<'a> {
    fn of(records: &'a [&'a RawRecord]) -> Self {
        let mut by_pid: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut unnumbered: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, found) in records.iter().enumerate() {
            match found.record.pid {
                0 => unnumbered.entry(found.record.begin_ms()).or_default().push(index),
                pid => by_pid.entry(pid).or_default().push(index),
            }
        }
        Self { records, by_pid, unnumbered }
    }

    /// Those that may be a run's own.
    fn near(&self, run: &CronRun) -> impl Iterator<Item = usize> + Clone + '_ {
        let at_ms = run.at.timestamp_millis();
        let then = at_ms.saturating_sub(APART_MS)..=at_ms.saturating_add(APART_MS);
        self.of_pid(run.pid).iter().chain(self.unnumbered.range(then).flat_map(|(_, found)| found)).copied()
    }

    fn of_pid(&self, pid: u32) -> &[usize] {
        self.by_pid.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// The process that was there under the parent's number when this one began. A record's beginning is a whole second.
    fn parent(&self, index: usize) -> Option<usize> {
        let child = &self.records[index].record;
        let was_there = |parent: &AcctRecord| {
            parent.begin_ms() <= child.begin_ms() + 1_000 && child.begin_ms() <= parent.end_ms() + 1_000
        };
        if child.pid == 0 || child.ppid <= 1 {
            return None;
        }
        self.of_pid(child.ppid)
            .iter()
            .copied()
            .find(|parent| *parent != index && was_there(&self.records[*parent].record))
    }

    /// A process, its parent, and so on.
    fn up_from(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(index), |index| self.parent(*index)).take(DEPTH_MAX)
    }
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

    /// Its CPU time; nothing where no record tells of it.
    pub fn cpu_words(&self) -> String {
        match (self.end, self.cpu_ms) {
            (None, _) => String::new(),
            (Some(_), cpu_ms @ 0..10_000) => format!("{}.{:02} s", cpu_ms / 1_000, cpu_ms % 1_000 / 10),
            (Some(_), cpu_ms) => words_exact(cpu_ms),
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
            ("rm", 50, 1, 121, 1, 3),
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
                "rm www 3 ms exit 0 ",
                "stat www 800 ms exit 0 as a poll of Dogwatch",
                "sh www 800 ms exit 113 as a poll of Dogwatch",
            ]
        );
    }
}
