//! The file that tells of cron's runs: every run is known by it alone, so that its loss is told by `cron.changed`.

use super::bytes_words;
use super::cron_changed::stamp;
use crate::domain::probe::cron::{CronReading, SeenLog};
use crate::domain::proof::deeds::Kind;

/// Looks that find it no more before that is told: a rotation may leave none for a moment.
const MISSED_MAX: u32 = 1;

/// The log as it was when it was seen last.
#[derive(Debug)]
struct Seen {
    log: SeenLog,
    at_ms: i64,
}

/// What became of the log between two looks.
#[derive(Debug, Default)]
pub(super) struct LogLoss {
    seen: Option<Seen>,
    missed: u32,
}

/// A loss in words, what kind of command may have done it, and since when.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub told: String,
    pub by: Kind,
    pub from_ms: i64,
}

impl LogLoss {
    pub fn begin_with(&mut self, reading: &CronReading, seen_ms: i64) {
        self.seen = seen(reading, seen_ms);
    }

    pub fn take(&mut self, reading: &CronReading, now_ms: i64) -> Option<Lost> {
        let there = |before: &Seen| reading.logs.iter().find(|log| log.path == before.log.path);
        let lost = match self.seen.as_ref().map(|before| (before, there(before))) {
            Some((before, Some(log))) => cut(before, log),
            Some((before, None)) => {
                self.missed += 1;
                if self.missed <= MISSED_MAX {
                    return None;
                }
                let (path, at) = (&before.log.path, stamp(before.at_ms));
                let told = format!("{path}, which told of cron's runs, is gone or can't be read, was there {at}");
                Some(Lost { told, by: Kind::Removes, from_ms: before.at_ms })
            }
            None => None,
        };
        self.missed = 0;
        // One of which nothing is told any more, as the journal tells of it, is looked at still.
        let kept = || Some(Seen { log: there(self.seen.as_ref()?)?.clone(), at_ms: now_ms });
        self.seen = seen(reading, now_ms).or_else(kept);
        lost
    }
}

/// The same file with less in it, or another in its place, beside which no older one came: whatever rotates leaves what there
/// was.
fn cut(before: &Seen, now: &SeenLog) -> Option<Lost> {
    let ([log_before, older_before @ ..], [log, older @ ..]) = (before.log.files.as_slice(), now.files.as_slice())
    else {
        return None;
    };
    if older != older_before {
        return None;
    }
    let (path, from_ms) = (&now.path, before.at_ms);
    let [was, is] = [log_before, log].map(|file| bytes_words(file.size_bytes as f64));
    match log.inode == log_before.inode {
        true if log_before.size_bytes <= log.size_bytes => None,
        true => {
            let told = format!("{path}, which tells of cron's runs, was cut from {was} to {is} by no rotation");
            Some(Lost { told, by: Kind::Shortens, from_ms })
        }
        // One beside which an older one never lay may rotate to another place, or by another name.
        false if older.is_empty() => None,
        false => {
            let told =
                format!("{path}, which tells of cron's runs, is another file, and no rotation left the one of {was}");
            Some(Lost { told, by: Kind::Removes, from_ms })
        }
    }
}

/// The journal is no file that somebody could cut.
fn seen(reading: &CronReading, at_ms: i64) -> Option<Seen> {
    let log = reading.logs.iter().find(|log| reading.evidence.as_ref() == Some(&log.path))?;
    Some(Seen { log: log.clone(), at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::cron::LogFile;

    const LOG: &str = "/var/log/cron.log";
    const HOUR_MS: i64 = 3_600_000;

    fn reading(log: &str, files: &[(u64, u64)]) -> CronReading {
        let files = files.iter().map(|(inode, size_bytes)| LogFile { inode: *inode, size_bytes: *size_bytes });
        let logs = vec![SeenLog { path: log.into(), files: files.collect() }];
        let logs = if log.starts_with('/') { logs } else { Vec::new() };
        CronReading { evidence: Some(log.into()), logs, ..CronReading::default() }
    }

    /// What is told of the second of two looks.
    fn told(before: &[(u64, u64)], now: &[(u64, u64)]) -> Option<String> {
        let mut log = LogLoss::default();
        log.begin_with(&reading(LOG, before), 0);
        log.take(&reading(LOG, now), HOUR_MS).map(|lost| lost.told)
    }

    #[test]
    fn two_looks_that_find_it_no_more_tell_so() {
        let mut log = LogLoss::default();
        let mut take = |path: &str, hour: i64| log.take(&reading(path, &[]), hour * HOUR_MS).map(|lost| lost.told);
        assert_eq!((take(LOG, 0), take("journal", 1), take(LOG, 2), take("journal", 3)), (None, None, None, None));
        let expected =
            "/var/log/cron.log, which told of cron's runs, is gone or can't be read, was there 1970-01-01 02:00 UTC";
        assert_eq!((take("journal", 4).as_deref(), take("journal", 5)), (Some(expected), None));
        // One that is there is not gone for the journal's telling of more.
        let mut log = LogLoss::default();
        log.begin_with(&reading(LOG, &[(7, 9)]), 0);
        let journal = CronReading { evidence: Some("journal".into()), ..reading(LOG, &[(7, 9)]) };
        let told: Vec<Option<Lost>> = (1..5).map(|hour| log.take(&journal, hour * HOUR_MS)).collect();
        assert!(told.iter().all(Option::is_none), "{told:?}");
        assert!(log.take(&CronReading { evidence: Some("journal".into()), ..reading(LOG, &[(7, 0)]) }, 9).is_some());
    }

    #[test]
    fn a_log_that_is_cut_is_told_and_one_that_grew_or_was_rotated_is_not() {
        let expected = "/var/log/cron.log, which tells of cron's runs, was cut from 9.0 kB to 12 B by no rotation";
        assert_eq!(told(&[(7, 9_000), (5, 800)], &[(7, 12), (5, 800)]).as_deref(), Some(expected));
        assert_eq!(told(&[(7, 9_000)], &[(7, 9_000)]), None);
        assert_eq!(told(&[(7, 9_000)], &[(7, 9_001)]), None);
        let expected =
            "/var/log/cron.log, which tells of cron's runs, is another file, and no rotation left the one of 9.0 kB";
        assert_eq!(told(&[(7, 9_000), (5, 800)], &[(8, 12), (5, 800)]).as_deref(), Some(expected));
        assert_eq!(told(&[(7, 9_000)], &[(8, 12)]), None);
        // Moved, and copied and cut, with the older one kept or overwritten.
        assert_eq!(told(&[(7, 9_000), (5, 800)], &[(8, 12), (7, 9_000)]), None);
        assert_eq!(told(&[(7, 9_000)], &[(7, 12), (9, 9_100)]), None);
        assert_eq!(told(&[(7, 9_000), (5, 800)], &[(7, 12), (5, 9_100)]), None);
        // What an earlier version left tells of no file.
        assert_eq!((told(&[], &[(7, 12)]), told(&[(7, 12)], &[])), (None, None));
    }
}
