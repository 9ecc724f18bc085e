//! Which accounting record is that of a run that cron's log tells of.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::acct::{AcctRecord, SUPERUSER};
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::CronRun;

/// cron's line and the job's own beginning lie this far apart at most: its stamp and the record's are whole seconds.
pub(super) const APART_MS: i64 = 3_000;
/// By its name alone a record must lie closer.
const APART_BY_NAME_MS: i64 = 2_000;
/// Bytes of a name that a record holds.
const NAME_BYTES: usize = 15;

/// How sure it is that a record is a run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certainty {
    /// The number that cron logged, and the time.
    ByPid,
    /// The name, as far as a record holds one, and the time.
    ByName,
    /// So many records fit as well: the one that began closest is shown.
    Ambiguous(u32),
    /// So many records fit, and they do not all tell the same end: none proves anything.
    Differ(u32),
}

/// A run's record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    pub found: RawRecord,
    pub certainty: Certainty,
}

impl Proof {
    pub fn record(&self) -> &AcctRecord {
        &self.found.record
    }
}

/// The record of a run among these; `None` where none fits.
pub fn find<'a>(
    run: &CronRun,
    records: impl Iterator<Item = &'a RawRecord> + Clone,
    uid: Option<u32>,
) -> Option<Proof> {
    // Whoever may write a line of cron's log has a number, but not another's user. A job of root's may have become somebody
    // else: then it used root's rights, or nobody gains by its failure.
    let is_theirs = |record: &AcctRecord| match uid {
        None => true,
        Some(0) => record.uid == 0 || record.has(SUPERUSER) || !record.ended().is_success(),
        Some(uid) => record.uid == uid,
    };
    let apart = |record: &AcctRecord| (record.begin_ms() - run.at.timestamp_millis()).abs();
    let nearest = |fits: &dyn Fn(&AcctRecord) -> bool, certainty| {
        let fitting: Vec<&RawRecord> =
            records.clone().filter(|found| is_theirs(&found.record) && fits(&found.record)).collect();
        let found = **fitting.iter().min_by_key(|found| apart(&found.record))?;
        let count = fitting.len() as u32;
        let differs = fitting.iter().any(|other| other.record.ended() != found.record.ended());
        let certainty = match (count, differs) {
            (1, _) => certainty,
            (_, false) => Certainty::Ambiguous(count),
            (_, true) => Certainty::Differ(count),
        };
        Some(Proof { found, certainty })
    };
    let by_pid = |record: &AcctRecord| record.pid != 0 && record.pid == run.pid && apart(record) <= APART_MS;
    let name = program(run.command.as_str());
    let by_name = |record: &AcctRecord| {
        // A number that cron named belongs to that record, or to none.
        record.pid == 0 && !name.is_empty() && record.name() == name && apart(record) <= APART_BY_NAME_MS
    };
    nearest(&by_pid, Certainty::ByPid).or_else(|| nearest(&by_name, Certainty::ByName))
}

/// When the processes of some records began, from the first to the last: a run of another time has no record among them.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    from_ms: i64,
    to_ms: i64,
}

impl Begun {
    pub fn of<'a>(records: impl Iterator<Item = &'a RawRecord>) -> Self {
        records.fold(Self { from_ms: i64::MAX, to_ms: i64::MIN }, |begun, found| {
            let begin_ms = found.record.begin_ms();
            Self { from_ms: begun.from_ms.min(begin_ms), to_ms: begun.to_ms.max(begin_ms) }
        })
    }

    pub fn covers(self, at: DateTime<Utc>) -> bool {
        let at_ms = at.timestamp_millis();
        self.from_ms.saturating_sub(APART_MS) <= at_ms && at_ms <= self.to_ms.saturating_add(APART_MS)
    }
}

/// The name of a command's program, as a record would hold it.
fn program(command: &str) -> &[u8] {
    let is_setting = |word: &&str| word.contains('=') && !word.starts_with('/');
    let word = command.split_ascii_whitespace().find(|word| !is_setting(word)).unwrap_or_default();
    let name = word.rsplit('/').next().unwrap_or_default().as_bytes();
    &name[..name.len().min(NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::proof::acct::{tests::record, write};

    const AT: u32 = 1_790_000_000;

    fn run() -> CronRun {
        CronRun {
            at: DateTime::from_timestamp(i64::from(AT), 0).unwrap_or_default(),
            user: "root".into(),
            command: "LANG=C /opt/bin/partner-transfer-nightly --now".into(),
            pid: 42,
            failed_with: None,
            line: RemoteBytes::default(),
        }
    }

    fn check(records: &[AcctRecord], expected: Option<(u32, Certainty)>) {
        let run = run();
        let raw: Vec<RawRecord> =
            records.iter().map(|record| RawRecord { raw: write(record), record: *record, whole_cpu_ms: 0 }).collect();
        let found = find(&run, raw.iter(), None).map(|proof| (proof.record().status, proof.certainty));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_number_and_the_time_name_the_record() {
        let others = [record("sh", 41, AT, 1, 1), record("sh", 42, AT - 60, 1, 2), record("sh", 42, AT + 1, 1, 3)];
        check(&others, Some((3, Certainty::ByPid)));
    }

    #[test]
    fn a_record_of_another_user_is_none_of_the_run() {
        let run = run();
        let of = AcctRecord { uid: 1_000, ..record("sh", 42, AT, 1, 0) };
        let raw = [RawRecord { raw: write(&of), record: of, whole_cpu_ms: 0 }];
        assert_eq!(find(&run, raw.iter(), Some(0)), None);
        assert!(find(&run, raw.iter(), Some(1_000)).is_some() && find(&run, raw.iter(), None).is_some());
        // What root began may have become another's, with root's rights, or failed.
        for changed in [AcctRecord { flags: SUPERUSER, ..of }, AcctRecord { status: 0x300, ..of }] {
            let raw = [RawRecord { raw: write(&changed), record: changed, whole_cpu_ms: 0 }];
            assert!(find(&run, raw.iter(), Some(0)).is_some() && find(&run, raw.iter(), Some(7)).is_none());
        }
    }

    #[test]
    fn a_number_that_came_twice_within_the_time_is_ambiguous() {
        check(&[record("sh", 42, AT - 2, 1, 3), record("sh", 42, AT, 1, 3)], Some((3, Certainty::Ambiguous(2))));
        check(&[record("sh", 42, AT - 2, 1, 0x300), record("sh", 42, AT, 1, 0)], Some((0, Certainty::Differ(2))));
    }

    #[test]
    fn an_old_record_without_a_number_is_found_by_its_cut_name() {
        check(&[record("partner-transfer-nightly", 0, AT + 1, 1, 3)], Some((3, Certainty::ByName)));
        check(&[record("partner-transfe", 0, AT + 9, 1, 3)], None);
        check(&[record("partner-transfe", 7, AT, 1, 3)], None);
    }
}
