//! One run of a job, with everything that tells of its end.

use serde::{Deserialize, Serialize};

use super::acct::Ended;
use super::join::{Begun, Certainty, Proof, find};
use super::word::{Heard, RunTime, SeenArchives, Speaker, Word};
use crate::domain::action::objects::RemoteBytes;
use crate::domain::probe::accounting::{RawRecord, RunEnd, RunMark};
use crate::domain::probe::cron::CronRun;
use crate::domain::probe::timers::{UnitRun, UnitState};
use crate::domain::text::SafeText;

/// Two that tell of a run's beginning lie so far apart.
const APART_MS: i64 = 2_000;

/// A run of a declared job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    pub run: CronRun,
    /// systemd's id of it, where a timer began it.
    pub invocation: Option<SafeText>,
    pub proof: Option<Proof>,
    /// What its own log and systemd say of its end.
    pub words: Vec<Word>,
    /// What its own log said of a failure that may be this run's: whose it is is not sure yet.
    pub waiting: Option<Word>,
    /// The archive that it left.
    pub archive: Option<SafeText>,
    /// The highest one-minute load for each CPU that was read while it ran.
    pub load_peak: Option<f32>,
    /// Whether systemd says that it runs now.
    pub runs_now: bool,
    /// Whether an earlier process of ours kept it: what accounting told until then was taken into it.
    pub is_kept: bool,
    /// Whether every record was looked through that may be its own: where one is not found, there was none.
    pub is_searched: bool,
    /// Whether a process of its number ended after it began, though it began at another time, or is another user's.
    pub is_contradicted: bool,
    pub lacks: Lacks,
}

impl JobRun {
    /// One of which nothing but its beginning is known.
    pub fn begun(run: CronRun) -> Self {
        Self {
            run,
            invocation: None,
            proof: None,
            words: Vec::new(),
            waiting: None,
            archive: None,
            load_peak: None,
            runs_now: false,
            is_kept: false,
            is_searched: false,
            is_contradicted: false,
            lacks: Lacks::default(),
        }
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
        Self {
            words: word.into_iter().collect(),
            runs_now: state.runs,
            invocation: ran.invocation.clone(),
            ..Self::begun(run)
        }
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

    /// Whether systemd says that it succeeded: a unit may take more exit statuses than 0, and signals, for a success.
    pub fn is_well_by_systemd(&self) -> bool {
        self.words.iter().any(|word| word.by == Speaker::Systemd && word.is_ok)
    }

    /// The end that its record tells, where it is one.
    pub fn record_end(&self) -> Option<Ended> {
        let proof = self.proof.as_ref().filter(|proof| !matches!(proof.certainty, Certainty::Differ(_)))?;
        Some(proof.record().ended())
    }

    /// Whether it is proven to have succeeded or failed, by everything that was told of it.
    pub fn is_ok(&self) -> Option<bool> {
        if self.run.failed_with.is_some() || self.words.iter().any(|word| !word.is_ok) || self.lacks.archive {
            return Some(false);
        }
        if self.is_well_by_systemd() {
            return Some(true);
        }
        let by_proof = match &self.proof {
            Some(Proof { certainty: Certainty::Differ(_), .. }) | None => None,
            Some(proof) => Some(proof.record().ended().is_success()),
        };
        by_proof.or_else(|| (!self.words.is_empty() || self.archive.is_some()).then_some(true))
    }

    /// Looks for its record among these, of its user's number where that is known; tells whether anything of it is new.
    pub fn look_through<'a>(
        &mut self,
        records: impl Iterator<Item = &'a RawRecord> + Clone,
        begun: Begun,
        uid: Option<u32>,
    ) -> bool {
        if begun.covers(self.run.at) {
            self.proof = find(&self.run, records.clone(), uid);
        }
        let began_otherwise = |found: &RawRecord| {
            let record = &found.record;
            record.pid != 0 && record.pid == self.run.pid && self.begin_ms() <= record.end_ms()
        };
        let is_contradicted = self.proof.is_none() && records.into_iter().any(began_otherwise);
        let is_new = self.proof.is_some() || (is_contradicted && !self.is_contradicted);
        self.is_contradicted |= is_contradicted;
        is_new
    }

    /// Takes what its witnesses say; tells whether anything of it is new.
    pub fn ask(
        &mut self,
        witnesses: &Witnesses,
        (word, archive): (Option<&Word>, Option<&SafeText>),
        time: RunTime,
    ) -> bool {
        let mut is_new = false;
        if let Some(word) = word {
            match self.words.iter_mut().find(|known| known.by == word.by) {
                Some(known) if known == word => {}
                Some(known) => {
                    known.clone_from(word);
                    is_new = true;
                }
                None => {
                    self.words.push(word.clone());
                    is_new = true;
                }
            }
        }
        if self.archive.is_none() {
            self.archive = archive.cloned();
            is_new |= self.archive.is_some();
        }
        let ended = if witnesses.has_accounting { time } else { RunTime { end_ms: self.end_ms(), ..time } };
        let is_silent = || witnesses.heard.is_some_and(|heard| heard.is_silent_on(ended));
        let left_none = || witnesses.archives.is_some_and(|archives| archives.lack_one_of(ended));
        let lacks = Lacks {
            word: witnesses.says_done && !self.has_word_by(Speaker::OwnLog) && (self.lacks.word || is_silent()),
            archive: self.archive.is_none() && (self.lacks.archive || left_none()),
        };
        is_new |= lacks != self.lacks;
        self.lacks = lacks;
        is_new
    }

    /// How it ended: where two tell otherwise, by the one that tells of a failure.
    fn end(&self) -> Option<RunEnd> {
        let failed = self.run.failed_with.map(RunEnd::Exited);
        let denied = self.words.iter().find(|word| !word.is_ok).map(|word| RunEnd::Told(word.shown().into()));
        let by_record = self.proof.as_ref().map(|proof| match proof.record().ended() {
            Ended::Exited(status) => RunEnd::Exited(i32::from(status)),
            Ended::Killed { signal, core } => RunEnd::Killed { signal, core },
        });
        let told = || self.words.first().map(|word| RunEnd::Told(word.shown().into()));
        match by_record {
            Some(RunEnd::Exited(0)) | None => failed.or(denied).or(by_record).or_else(told),
            Some(end) => Some(end),
        }
    }

    /// For screens, but for what its job's other runs and accounting at the moment say of it.
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
            odd: None,
            runs: false,
            unseen_before: 0,
            left_archive: self.archive.is_some(),
            lacks_archive: self.lacks.archive,
            lacks_word: self.lacks.word,
        }
    }

    /// As it stands while a word waits.
    pub fn with_waiting(&self) -> Self {
        let mut run = self.clone();
        if let Some(word) = run.waiting.take() {
            run.words.retain(|known| known.by != word.by);
            run.words.push(word);
        }
        run
    }

    pub fn has_word_by(&self, by: Speaker) -> bool {
        self.words.iter().any(|word| word.by == by)
    }

    /// Whether both tell of one run.
    pub fn is_same_as(&self, other: &JobRun) -> bool {
        // Two logs of one line are a second apart, and so are two looks at a service.
        let apart_ms = if self.run.pid == 0 && self.words.is_empty() { 0 } else { APART_MS };
        if let (Some(own), Some(others)) = (&self.invocation, &other.invocation) {
            return own == others;
        }
        // systemd's journal tells no number.
        let is_one = self.run.pid == other.run.pid || self.run.pid == 0;
        is_one && (self.begin_ms() - other.begin_ms()).abs() <= apart_ms
    }
}

/// What a run should have said or left, and did not. It stays so through a restart, until it is found all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacks {
    /// Its own log's word of success.
    pub word: bool,
    /// A new archive in the set that it should leave one in.
    pub archive: bool,
}

/// Whoever may tell of a job's runs beside cron's log, systemd and accounting.
pub struct Witnesses<'a> {
    pub heard: Option<&'a Heard>,
    /// Whether its own log says something of success.
    pub says_done: bool,
    pub archives: Option<&'a SeenArchives>,
    /// Whether accounting tells of ends: a word of its own log is then none.
    pub has_accounting: bool,
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
