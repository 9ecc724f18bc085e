//! The newest runs of each declared job, each with what proves how it ended.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::join::{Certainty, Proof, find};
use super::usual::Usual;
use crate::domain::probe::accounting::{AccountingReading, RawRecord, RunMark};
use crate::domain::probe::cron::{CronReading, CronRun};
use crate::domain::settings::{JobEvidence, JobSpec};

/// Runs of one job that are remembered.
const RUNS_MAX: usize = 60;
/// What ended so long before the newest record proves no run that cron's log still tells.
const RECENT_MS: i64 = 600_000;
/// Runs of one job that a screen shows.
const MARKS_MAX: usize = 24;
/// Loads that are remembered for runs that have not ended: half a day of one a minute.
const LOADS_MAX: usize = 720;
/// Records that are remembered for runs that cron's log tells later.
const RECORDS_MAX: usize = 4_096;

/// A run of a declared job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    pub run: CronRun,
    pub proof: Option<Proof>,
    /// The highest one-minute load for each CPU that was read while it ran.
    pub load_peak: Option<f32>,
}

/// What accounting can tell at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounting {
    pub is_there: bool,
    pub is_denied: bool,
    /// Whether it was written since the poll before.
    pub grew: Option<bool>,
    pub is_behind: bool,
    /// Since when nothing that ended can be missing, and up to when it was read, by the host's clock.
    pub unbroken_from_s: Option<u32>,
    pub newest_s: Option<u32>,
    /// Until when this may be believed, by our own clock.
    pub fresh_until_ms: i64,
}

impl Accounting {
    fn of(reading: &AccountingReading, fresh_until_ms: i64) -> Self {
        Self {
            is_there: reading.path.is_some(),
            is_denied: reading.is_denied,
            grew: reading.grew,
            is_behind: 0 < reading.behind_bytes,
            unbroken_from_s: reading.unbroken_from_s,
            newest_s: reading.newest_s,
            fresh_until_ms,
        }
    }

    /// Whether a run of then would have its record here, had it ended.
    pub fn would_show(&self, at: DateTime<Utc>) -> bool {
        let at_s = at.timestamp();
        let covers = self.unbroken_from_s.is_some_and(|from| i64::from(from) <= at_s);
        self.is_there
            && !self.is_denied
            && self.grew == Some(true)
            && !self.is_behind
            && covers
            && self.newest_s.is_some_and(|newest| at_s < i64::from(newest))
    }
}

/// The runs of one host.
pub struct RunHistory {
    /// Runs of one job that are remembered.
    runs_max: usize,
    runs: BTreeMap<String, Vec<JobRun>>,
    pub covers_from: Option<DateTime<Utc>>,
    /// The host's, as cron goes by it.
    pub zone: Tz,
    recent: VecDeque<RawRecord>,
    /// The host's clock in milliseconds, and its load then.
    loads: VecDeque<(i64, f32)>,
    pub accounting: Option<Accounting>,
    /// When the host was started: what ran before it runs no more.
    pub booted_ms: Option<i64>,
    /// Runs of which something new is known, by their job.
    news: Vec<(String, JobRun)>,
}

impl Default for RunHistory {
    fn default() -> Self {
        Self {
            runs_max: RUNS_MAX,
            runs: BTreeMap::new(),
            covers_from: None,
            zone: Tz::UTC,
            recent: VecDeque::new(),
            loads: VecDeque::new(),
            accounting: None,
            booted_ms: None,
            news: Vec::new(),
        }
    }
}

impl RunHistory {
    /// One that forgets no run: for a pack, which is made once.
    pub fn whole() -> Self {
        Self { runs_max: usize::MAX, ..Self::default() }
    }

    /// Takes the one-minute load for each CPU, at a time of the host's clock.
    pub fn take_load(&mut self, at_ms: i64, per_cpu: f64) {
        if self.runs.is_empty() {
            return;
        }
        if LOADS_MAX <= self.loads.len() {
            self.loads.pop_front();
        }
        self.loads.push_back((at_ms, per_cpu as f32));
    }

    /// Takes what accounting told: runs that had no proof may have one now.
    pub fn take_records(&mut self, reading: &AccountingReading, fresh_until_ms: i64) {
        for (job, runs) in &mut self.runs {
            for run in runs.iter_mut().filter(|run| run.proof.is_none()) {
                run.proof = find(&run.run, reading.records.iter());
                if let Some(proof) = &run.proof {
                    run.load_peak = peak(&self.loads, proof);
                    self.news.push((job.clone(), run.clone()));
                }
            }
        }
        self.accounting = Some(Accounting::of(reading, fresh_until_ms));
        // Without a job that is declared nobody will ask for them.
        if self.runs.is_empty() {
            self.recent.clear();
            return;
        }
        self.recent.extend(&reading.records);
        let newest_ms = self.recent.back().map_or(0, |found| found.record.end_ms());
        let is_old = |found: &RawRecord| found.record.end_ms() < newest_ms - RECENT_MS;
        while RECORDS_MAX < self.recent.len() || self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
    }

    /// Takes what cron's log tells of a job.
    pub fn take_runs(&mut self, job: &JobSpec, reading: &CronReading) {
        let JobEvidence::CronLog { command, user } = &job.evidence else { return };
        let of_job = |run: &&CronRun| {
            run.command.as_str().contains(command.as_str())
                && user.as_ref().is_none_or(|user| run.user.as_str() == user)
        };
        self.runs.entry(job.name.as_str().to_owned()).or_default();
        // The newest first: what would be forgotten at once is not taken.
        let newest = reading.runs.iter().rev().filter(of_job).take(self.runs_max);
        for run in newest {
            self.add(job.name.as_str(), JobRun { run: run.clone(), proof: None, load_peak: None });
        }
        self.settle(job.name.as_str());
    }

    /// Goes on from what an earlier process kept.
    pub fn restore(&mut self, job: &str, runs: Vec<JobRun>) {
        self.runs.insert(job.to_owned(), runs);
        self.settle(job);
        self.news.clear();
    }

    fn add(&mut self, job: &str, new: JobRun) {
        let known = self.runs.entry(job.to_owned()).or_default();
        // It was forgotten already: cron's log is read again and again.
        let is_forgotten =
            self.runs_max <= known.len() && known.first().is_some_and(|oldest| new.run.at < oldest.run.at);
        match known.iter_mut().find(|old| old.run.at == new.run.at && old.run.pid == new.run.pid) {
            Some(old) if old.run == new.run => {}
            Some(old) => {
                old.run = new.run;
                self.news.push((job.to_owned(), old.clone()));
            }
            None if is_forgotten => {}
            None => {
                let proof = find(&new.run, self.recent.iter());
                let load_peak = proof.as_ref().and_then(|proof| peak(&self.loads, proof));
                let run = JobRun { proof, load_peak, ..new };
                self.news.push((job.to_owned(), run.clone()));
                let place = known.partition_point(|other| other.run.at <= run.run.at);
                known.insert(place, run);
            }
        }
    }

    fn settle(&mut self, job: &str) {
        let Some(known) = self.runs.get_mut(job) else { return };
        known.sort_by_key(|run| run.run.at);
        let surplus = known.len().saturating_sub(self.runs_max);
        known.drain(..surplus);
    }

    /// Whether a process of this run's number ended after it began, though it began at another time.
    pub fn is_contradicted(&self, run: &CronRun) -> bool {
        let at_ms = run.at.timestamp_millis();
        self.recent.iter().any(|found| found.record.pid == run.pid && at_ms <= found.record.end_ms())
    }

    /// The runs of a job, the newest last.
    pub fn runs(&self, job: &JobSpec) -> &[JobRun] {
        self.runs.get(job.name.as_str()).map_or(&[], Vec::as_slice)
    }

    /// How long a job usually takes: as hosts.toml says, or as those of its earlier runs took that succeeded.
    pub fn usual(&self, job: &JobSpec) -> Option<Usual> {
        if let Some(usual) = job.usual {
            return Some(Usual::declared(u64::try_from(usual.as_millis()).unwrap_or(u64::MAX)));
        }
        let runs = self.runs(job);
        let earlier = &runs[..runs.len().saturating_sub(1)];
        let proven = earlier.iter().filter_map(|run| run.proof).filter(|proof| proof.record().ended().is_success());
        Usual::of(proven.map(|proof| proof.record().elapsed_ms).collect())
    }

    /// The runs of every job, the newest last.
    pub fn by_job(&self) -> impl Iterator<Item = (&str, &[JobRun])> {
        self.runs.iter().map(|(job, runs)| (job.as_str(), runs.as_slice()))
    }

    /// The runs of every job, for screens.
    pub fn marks(&self) -> BTreeMap<String, Vec<RunMark>> {
        let mark = |run: &JobRun| RunMark {
            at_s: u32::try_from(run.run.at.timestamp()).unwrap_or(0),
            took_ms: run.proof.map(|proof| proof.record().elapsed_ms),
            is_ok: match (&run.proof, run.run.failed_with) {
                (Some(Proof { certainty: Certainty::Differ(_), .. }), _) => None,
                (Some(proof), told) => Some(told.is_none() && proof.record().ended().is_success()),
                (None, Some(_)) => Some(false),
                (None, None) => None,
            },
        };
        let newest = |runs: &Vec<JobRun>| runs.iter().skip(runs.len().saturating_sub(MARKS_MAX)).map(mark).collect();
        self.runs.iter().map(|(job, runs)| (job.clone(), newest(runs))).collect()
    }

    /// Runs of which something new is known since the last call.
    pub fn take_news(&mut self) -> Vec<(String, JobRun)> {
        std::mem::take(&mut self.news)
    }
}

/// The highest load while a run's process was there.
fn peak(loads: &VecDeque<(i64, f32)>, proof: &Proof) -> Option<f32> {
    let (begin_ms, end_ms) = (proof.record().begin_ms(), proof.record().end_ms());
    let meanwhile = loads.iter().filter(|(at_ms, _)| (begin_ms..=end_ms).contains(at_ms));
    meanwhile.map(|(_, load)| *load).reduce(f32::max)
}
