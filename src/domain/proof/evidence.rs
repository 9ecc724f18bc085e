//! The evidence of a job's run as it is kept: the bytes of cron's line and of the kernel's record, for longer than a host
//! keeps its own.

use std::collections::HashMap;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::acct::{RECORD_BYTES, read};
use super::join::{Certainty, Proof};
use super::run::{JobRun, Lacks};
use super::word::Word;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::CronRun;
use crate::domain::text::SafeText;

/// Evidence of declared jobs is kept this long.
pub const KEPT_DAYS: i64 = 90;

/// One run, a line of its job's file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    pub at_ms: i64,
    pub user: SafeText,
    pub command: SafeText,
    pub pid: u32,
    pub failed_with: Option<i32>,
    /// cron's line, and the record, as the host had them.
    pub line: RemoteBytes,
    pub record: Option<RemoteBytes>,
    pub certainty: Option<Certainty>,
    /// The highest load for each CPU while it ran, in hundredths.
    #[serde(default)]
    pub load_peak_hundredths: Option<u32>,
    /// The CPU time of it and of all that it began, milliseconds.
    #[serde(default)]
    pub whole_cpu_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Word>,
    #[serde(default)]
    pub archive: Option<SafeText>,
    #[serde(default)]
    pub lacks: Lacks,
    #[serde(default)]
    pub invocation: Option<SafeText>,
    #[serde(default)]
    pub is_searched: bool,
    #[serde(default)]
    pub is_contradicted: bool,
}

impl KeptRun {
    pub fn of(run: &JobRun) -> Self {
        let JobRun {
            run: told,
            invocation,
            proof,
            words,
            waiting,
            archive,
            load_peak,
            lacks,
            is_searched,
            is_contradicted,
            runs_now: _,
            is_kept: _,
        } = run;
        Self {
            at_ms: told.at.timestamp_millis(),
            user: told.user.clone(),
            command: told.command.clone(),
            pid: told.pid,
            failed_with: told.failed_with,
            line: told.line.clone(),
            record: proof.map(|proof| RemoteBytes::new(&proof.found.raw)),
            certainty: proof.map(|proof| proof.certainty),
            load_peak_hundredths: load_peak.map(|peak| (peak * 100.0).round() as u32),
            whole_cpu_ms: proof.map(|proof| proof.found.whole_cpu_ms),
            words: words.clone(),
            waiting: waiting.clone(),
            archive: archive.clone(),
            lacks: *lacks,
            invocation: invocation.clone(),
            is_searched: *is_searched,
            is_contradicted: *is_contradicted,
        }
    }

    /// The run again; `None` for a time that is none.
    pub fn run(&self) -> Option<JobRun> {
        let told = CronRun {
            at: DateTime::from_timestamp_millis(self.at_ms)?,
            user: self.user.clone(),
            command: self.command.clone(),
            pid: self.pid,
            failed_with: self.failed_with,
            line: self.line.clone(),
        };
        let found = self.record.as_ref().and_then(|record| {
            let raw = *record.exactly().first_chunk::<RECORD_BYTES>()?;
            let record = read(&raw)?;
            Some(RawRecord { raw, record, whole_cpu_ms: self.whole_cpu_ms.unwrap_or(record.cpu_ms()) })
        });
        let proof = found.zip(self.certainty).map(|(found, certainty)| Proof { found, certainty });
        let load_peak = self.load_peak_hundredths.map(|hundredths| hundredths as f32 / 100.0);
        let (words, archive) = (self.words.clone(), self.archive.clone());
        let invocation = self.invocation.clone();
        Some(JobRun {
            run: told,
            invocation,
            proof,
            words,
            waiting: self.waiting.clone(),
            archive,
            load_peak,
            runs_now: false,
            is_kept: true,
            is_searched: self.is_searched,
            is_contradicted: self.is_contradicted,
            lacks: self.lacks,
        })
    }
}

/// The runs of a file's lines, of which a later one of the same run counts; and how many lines are none.
pub fn runs(text: &str, oldest_ms: i64) -> (Vec<KeptRun>, usize) {
    let mut runs: Vec<KeptRun> = Vec::new();
    let mut places: HashMap<(i64, u32), usize> = HashMap::new();
    let mut strange = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str::<KeptRun>(line) {
            Ok(run) if run.at_ms < oldest_ms => {}
            Ok(run) => match places.get(&(run.at_ms, run.pid)).and_then(|place| runs.get_mut(*place)) {
                // A witness that was heard once is not forgotten for a later line that lacks it.
                Some(known) => {
                    let KeptRun {
                        failed_with,
                        record,
                        certainty,
                        load_peak_hundredths,
                        whole_cpu_ms,
                        archive,
                        words,
                        is_searched,
                        is_contradicted,
                        ..
                    } = known.clone();
                    let is_new = |word: &Word| run.words.iter().all(|new: &Word| new.by != word.by);
                    let words: Vec<Word> = words.into_iter().filter(is_new).chain(run.words.iter().cloned()).collect();
                    *known = KeptRun {
                        failed_with: run.failed_with.or(failed_with),
                        certainty: if run.record.is_some() { run.certainty } else { certainty },
                        record: run.record.clone().or(record),
                        load_peak_hundredths: run.load_peak_hundredths.or(load_peak_hundredths),
                        whole_cpu_ms: run.whole_cpu_ms.or(whole_cpu_ms),
                        archive: run.archive.clone().or(archive),
                        words,
                        is_searched: run.is_searched || is_searched,
                        is_contradicted: run.is_contradicted || is_contradicted,
                        ..run
                    };
                }
                None => {
                    places.insert((run.at_ms, run.pid), runs.len());
                    runs.push(run);
                }
            },
            Err(_) => strange += 1,
        }
    }
    (runs, strange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::{tests::record, write};
    use crate::domain::proof::word::Speaker;

    #[test]
    fn a_kept_run_is_the_run_again_and_a_later_line_of_it_counts() {
        let record = record("sh", 7, 1_790_000_000, 1_000, 0x300);
        let told = CronRun {
            at: DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default(),
            user: "root".into(),
            command: "transfer".into(),
            pid: 7,
            failed_with: None,
            line: RemoteBytes::new(b"Sep 21 CRON[7]: \xff"),
        };
        let started = JobRun::begun(told.clone());
        let found = RawRecord { raw: write(&record), record, whole_cpu_ms: 70 };
        let word =
            Word { by: Speaker::OwnLog, is_ok: false, from_ms: 1, at_ms: 2, took_ms: None, text: "gave up".into() };
        let ended = JobRun {
            proof: Some(Proof { found, certainty: Certainty::ByPid }),
            words: vec![word.clone()],
            waiting: Some(word),
            archive: Some("nightly-1.tar".into()),
            load_peak: Some(2.25),
            is_kept: true,
            ..JobRun::begun(told)
        };
        let lines: Vec<String> =
            [&started, &ended].map(|run| serde_json::to_string(&KeptRun::of(run)).unwrap_or_default()).to_vec();
        let (runs, strange) = runs(&format!("{}\nnoise\n{}\n", lines[0], lines[1]), 0);
        assert_eq!((runs.len(), strange, runs[0].run()), (1, 1, Some(ended)));
    }
}
