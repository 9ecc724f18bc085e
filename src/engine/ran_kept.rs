//! What Dogwatch kept of the runs of a host's declared jobs: it tells what ran when the host's own files do not any more.

use std::collections::HashSet;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::adapters::{clock, evidence};
use crate::domain::fleet::HostSpec;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::{CronRun, Told};
use crate::domain::proof::acct::RECORD_BYTES;
use crate::domain::proof::evidence::KeptRun;
use crate::domain::proof::run::JobRun;
use crate::domain::text::SafeText;

/// Kept runs, and what could not be read of them.
#[derive(Clone, Default)]
pub struct Kept {
    pub runs: Vec<KeptRun>,
    pub lacks: Vec<SafeText>,
}

impl Kept {
    /// All that is kept of the host's jobs below a state directory.
    pub fn load(state: &Path, spec: &HostSpec) -> Self {
        let mut kept = Self::default();
        for job in &spec.settings.jobs {
            let name = job.name.as_str();
            match evidence::load(state, &spec.name, name, clock::now().utc_ms) {
                Ok(runs) => kept.runs.extend(runs),
                Err(error) => {
                    let file = evidence::file(state, &spec.name, name);
                    kept.lacks
                        .push(format!("what was kept of {name} can't be read: {}: {error}", file.display()).into());
                }
            }
        }
        kept
    }

    /// Adds what the host did not tell of the time between `from` and `to`; says of how many runs it tells nothing at all.
    pub fn add_to(
        &self,
        records: &mut Vec<RawRecord>,
        logged: &mut Vec<CronRun>,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> usize {
        let mut recorded: HashSet<[u8; RECORD_BYTES]> = records.iter().map(|found| found.raw).collect();
        let mut told = Told::of(logged);
        let mut added = 0;
        for JobRun { run, proof, .. } in self.runs.iter().filter_map(KeptRun::run).filter(|run| run.run.at <= to) {
            let found = proof.map(|proof| proof.found);
            let end_ms = found.map_or(run.at.timestamp_millis(), |found| found.record.end_ms());
            if end_ms < from.timestamp_millis() {
                continue;
            }
            let is_untold = !told.has(run.at, run.pid);
            told.add(run.at, run.pid);
            let unrecorded = found.filter(|found| recorded.insert(found.raw));
            added += usize::from(is_untold && (found.is_none() || unrecorded.is_some()));
            records.extend(unrecorded);
            if is_untold {
                logged.push(run);
            }
        }
        records.sort_by_key(|found| found.record.end_ms());
        logged.sort_by_key(|run| run.at);
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::proof::acct::{tests::record, write};
    use crate::domain::proof::join::{Certainty, Proof};

    const AT_S: u32 = 1_790_000_000;

    fn found(pid: u32, begin_s: u32) -> RawRecord {
        let record = record("sh", pid, begin_s, 6_000, 0x300);
        RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }
    }

    fn logged(pid: u32, begin_s: u32) -> CronRun {
        CronRun {
            at: DateTime::from_timestamp(i64::from(begin_s), 0).unwrap(),
            user: "root".into(),
            command: "transfer".into(),
            pid,
            failed_with: None,
            line: RemoteBytes::new(b""),
        }
    }

    #[test]
    fn what_a_host_tells_no_more_is_added_and_what_it_tells_stands_there_once() {
        let kept = |pid: u32, begin_s: u32| JobRun {
            proof: Some(Proof { found: found(pid, begin_s), certainty: Certainty::ByPid }),
            ..JobRun::begun(logged(pid, begin_s))
        };
        // One that the host tells of in full, one by its log alone, one not at all, and one of another time.
        let runs = [kept(1, AT_S), kept(2, AT_S + 1), kept(3, AT_S + 2), kept(4, AT_S - 9_000)];
        let kept = Kept { runs: runs.iter().map(KeptRun::of).collect(), lacks: Vec::new() };
        let (mut records, mut log) = (vec![found(1, AT_S)], vec![logged(1, AT_S), logged(2, AT_S + 1)]);
        let at = |seconds: u32| DateTime::from_timestamp(i64::from(seconds), 0).unwrap();
        let added = kept.add_to(&mut records, &mut log, (at(AT_S - 60), at(AT_S + 60)));
        let pids = |pids: &mut dyn Iterator<Item = u32>| pids.collect::<Vec<u32>>();
        assert_eq!(pids(&mut records.iter().map(|found| found.record.pid)), [1, 2, 3]);
        assert_eq!((pids(&mut log.iter().map(|run| run.pid)), added), (vec![1, 2, 3], 1));
    }
}
