//! One run of a job, with everything that tells of its end.

use super::acct::Ended;
use super::join::{Certainty, Proof};
use super::word::{RunTime, Speaker, Word};
use crate::domain::action::objects::RemoteBytes;
use crate::domain::probe::accounting::{RunEnd, RunMark};
use crate::domain::probe::cron::CronRun;
use crate::domain::probe::timers::{UnitRun, UnitState};
use crate::domain::text::SafeText;

/// Two looks reckon the beginning of a service's process within this.
const UNIT_APART_MS: i64 = 2_000;

/// A run of a declared job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    pub run: CronRun,
    pub proof: Option<Proof>,
    /// What its own log and systemd say of its end.
    pub words: Vec<Word>,
    /// The archive that it left.
    pub archive: Option<SafeText>,
    /// The highest one-minute load for each CPU that was read while it ran.
    pub load_peak: Option<f32>,
    /// Whether systemd says that it runs now.
    pub runs_now: bool,
}

impl JobRun {
    /// One of which nothing but its beginning is known.
    pub fn begun(run: CronRun) -> Self {
        Self { run, proof: None, words: Vec::new(), archive: None, load_peak: None, runs_now: false }
    }

    pub fn of_unit(ran: &UnitRun, state: &UnitState, service: &SafeText) -> Self {
        let run = CronRun {
            at: ran.at,
            user: "".into(),
            command: service.clone(),
            pid: ran.pid,
            failed_with: None,
            line: RemoteBytes::default(),
        };
        let begin_ms = ran.at.timestamp_millis();
        let word = ran.ended.as_ref().map(|end| {
            let end_ms = begin_ms.saturating_add_unsigned(ran.took_ms.unwrap_or(0));
            let (by, text) = (Speaker::Systemd, end.words.clone());
            Word { by, is_ok: end.is_success, from_ms: end_ms, at_ms: end_ms, took_ms: ran.took_ms, text }
        });
        Self { words: word.into_iter().collect(), runs_now: state.runs, ..Self::begun(run) }
    }

    pub fn begin_ms(&self) -> i64 {
        self.run.at.timestamp_millis()
    }

    /// When it ended by the host's clock, as far as anybody says.
    pub fn end_ms(&self) -> Option<i64> {
        let by_word = || self.words.iter().map(|word| word.at_ms).max();
        self.proof.as_ref().map(|proof| proof.record().end_ms()).or_else(by_word)
    }

    /// How long it took, as far as anybody says.
    pub fn took_ms(&self) -> Option<u64> {
        let by_word = || self.words.iter().find_map(|word| word.took_ms);
        self.proof.as_ref().map(|proof| proof.record().elapsed_ms).or_else(by_word)
    }

    /// Whether it is proven to have succeeded or failed, by everything that was told of it.
    pub fn is_ok(&self) -> Option<bool> {
        if self.run.failed_with.is_some() || self.words.iter().any(|word| !word.is_ok) {
            return Some(false);
        }
        let by_proof = match &self.proof {
            Some(Proof { certainty: Certainty::Differ(_), .. }) | None => None,
            Some(proof) => Some(proof.record().ended().is_success()),
        };
        by_proof.or_else(|| (!self.words.is_empty() || self.archive.is_some()).then_some(true))
    }

    /// How it ended: where two tell otherwise, by the one that tells of a failure.
    fn end(&self) -> Option<RunEnd> {
        let failed = self.run.failed_with.map(RunEnd::Exited);
        let denied = self.words.iter().find(|word| !word.is_ok).map(|word| RunEnd::Told(word.text.clone()));
        let by_record = self.proof.as_ref().map(|proof| match proof.record().ended() {
            Ended::Exited(status) => RunEnd::Exited(i32::from(status)),
            Ended::Killed { signal, core } => RunEnd::Killed { signal, core },
        });
        let told = || self.words.first().map(|word| RunEnd::Told(word.text.clone()));
        match by_record {
            Some(RunEnd::Exited(0)) | None => failed.or(denied).or(by_record).or_else(told),
            Some(end) => Some(end),
        }
    }

    /// For screens.
    pub fn mark(&self) -> RunMark {
        let record = self.proof.as_ref();
        RunMark {
            at_s: u32::try_from(self.run.at.timestamp()).unwrap_or(0),
            took_ms: self.took_ms(),
            is_ok: self.is_ok(),
            end: self.end(),
            cpu_ms: record.map(|proof| proof.found.whole_cpu_ms),
            load_hundredths: self.load_peak.map(|peak| (peak * 100.0).round() as u32),
            by_record: record.map(|proof| proof.certainty),
            by_words: self.words.iter().map(|word| word.by).collect(),
            left_archive: self.archive.is_some(),
        }
    }

    pub fn has_word_by(&self, by: Speaker) -> bool {
        self.words.iter().any(|word| word.by == by)
    }

    /// Whether both tell of one run. systemd's times are reckoned anew at each look.
    pub fn is_same_as(&self, other: &JobRun) -> bool {
        let apart_ms = if self.words.is_empty() && !self.runs_now { 0 } else { UNIT_APART_MS };
        // systemd's journal tells no number.
        let is_one = self.run.pid == other.run.pid || self.run.pid == 0;
        is_one && (self.begin_ms() - other.begin_ms()).abs() <= apart_ms
    }
}

/// What a run should have said or left, and did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// Its own log's word of success.
    pub word: bool,
    /// A new archive, in this set.
    pub archive_in: Option<String>,
}

/// The time of each run of a job, the newest last.
pub fn times_of(runs: &[JobRun]) -> Vec<RunTime> {
    let time = |(index, run): (usize, &JobRun)| {
        let by_systemd = || run.words.iter().find(|word| word.by == Speaker::Systemd).map(|word| word.at_ms);
        RunTime {
            begin_ms: run.begin_ms(),
            end_ms: run.proof.as_ref().map(|proof| proof.record().end_ms()).or_else(by_systemd),
            next_ms: runs.get(index + 1).map(JobRun::begin_ms),
        }
    };
    runs.iter().enumerate().map(time).collect()
}
