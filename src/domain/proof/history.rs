//! The newest runs of each declared job, each with what proves how it ended.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::coverage::Accounting;
use super::join::{Begun, Proof};
use super::listed::Listed;
use super::log_reach::LogReach;
use super::run::{JobRun, Witnesses, times_of};
use super::usual::Usual;
use super::word::{Heard, SeenArchives, Word};
use crate::domain::probe::accounting::{AccountingReading, RawRecord};
use crate::domain::probe::cron::{CronFailure, CronReading, CronRun};
use crate::domain::settings::{JobEvidence, JobSpec};
use crate::domain::text::SafeText;

/// Runs of one job that are remembered.
const RUNS_MAX: usize = 60;
/// What ended so long before the newest record proves no run that cron's log still tells.
const RECENT_MS: i64 = 600_000;
/// Where no job is declared, records are remembered as long as the entry of a list may still need one.
const RECENT_OF_LISTED_MS: i64 = 150_000;
/// Two looks at one run tell its beginning within this.
const SAME_WITHIN_MS: i64 = 2_000;
/// Where nobody tells of a run's end, its archive comes within so many usual times, or its grace.
const USUALS_MAX: u64 = 3;
/// Loads that are remembered for runs that have not ended: half a day of one a minute.
const LOADS_MAX: usize = 720;
const MINUTE_MS: i64 = 60_000;
/// For more runs records are put in order by their numbers before they are looked through.
const SCANS_MAX: usize = 8;
/// cron tells so long after a run's beginning that it failed: later its number may be another's.
pub(super) const FAILED_WITHIN_S: i64 = 3 * 86_400;
/// Records that are remembered for runs that cron's log tells later.
const RECORDS_MAX: usize = 4_096;

/// The runs of one host.
pub struct RunHistory {
    /// Runs of one job that are remembered.
    runs_max: usize,
    runs: BTreeMap<String, Vec<JobRun>>,
    pub covers_from: Option<DateTime<Utc>>,
    /// The host's, as cron goes by it.
    pub zone: Tz,
    recent: VecDeque<RawRecord>,
    /// The numbers of the host's users.
    uids: HashMap<SafeText, u32>,
    /// Of the records that are not remembered any more the newest ended then, by the host's clock.
    forgotten_to_ms: i64,
    /// How far cron's log was read, for its runs.
    pub log: LogReach,
    /// Every run of a timer that began by then is known, by the host's clock.
    pub timed_to_ms: i64,
    /// How far the host's clock is ahead of ours.
    pub skew_ms: i64,
    /// Of what nobody declared.
    pub listed: Listed,
    /// What each job's own log said, and the archives of each set.
    heard: BTreeMap<String, Heard>,
    archives: BTreeMap<String, SeenArchives>,
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
            uids: HashMap::new(),
            forgotten_to_ms: i64::MIN,
            log: LogReach::default(),
            timed_to_ms: i64::MIN,
            skew_ms: 0,
            listed: Listed::default(),
            heard: BTreeMap::new(),
            archives: BTreeMap::new(),
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
        // The highest of each minute, whatever the cadence.
        match self
            .loads
            .back_mut()
            .filter(|(known_ms, _)| known_ms.div_euclid(MINUTE_MS) == at_ms.div_euclid(MINUTE_MS))
        {
            Some((_, known)) => *known = known.max(per_cpu as f32),
            None => {
                if LOADS_MAX <= self.loads.len() {
                    self.loads.pop_front();
                }
                self.loads.push_back((at_ms, per_cpu as f32));
            }
        }
    }

    /// Takes what accounting told: runs that had no proof may have one now.
    pub fn take_records(&mut self, reading: &AccountingReading, fresh_until_ms: i64) {
        self.uids.extend(reading.users.iter().map(|(uid, name)| (name.clone(), *uid)));
        let begun = Begun::of(reading.records.iter());
        let unproven = self.runs.values().flatten().filter(|run| run.proof.is_none()).count();
        let by_pid = (SCANS_MAX < unproven).then(|| ByPid::of(&reading.records));
        for (job, runs) in &mut self.runs {
            for run in runs.iter_mut().filter(|run| run.proof.is_none()) {
                let uid = self.uids.get(&run.run.user).copied();
                let is_new = match &by_pid {
                    Some(by_pid) => run.look_through(by_pid.of_run(run.run.pid), begun, uid),
                    None => run.look_through(reading.records.iter(), begun, uid),
                };
                if is_new {
                    run.load_peak = run.proof.as_ref().and_then(|proof| peak(&self.loads, proof));
                    self.news.push((job.clone(), run.clone()));
                }
            }
        }
        self.listed.take_records(&reading.records, begun, &self.uids);
        self.accounting = Some(Accounting::of(reading, fresh_until_ms));
        let recent_ms = if self.runs.is_empty() { RECENT_OF_LISTED_MS } else { RECENT_MS };
        self.remember(&reading.records, recent_ms);
    }

    /// Remembers the newest records, for runs that are told of later.
    fn remember(&mut self, records: &[RawRecord], recent_ms: i64) {
        let newest_ms = records.last().or(self.recent.back()).map_or(0, |found| found.record.end_ms());
        let left_out = records.len().saturating_sub(RECORDS_MAX);
        let forget = |forgotten_to_ms: &mut i64, found: &RawRecord| {
            *forgotten_to_ms = found.record.end_ms().max(*forgotten_to_ms);
        };
        records[..left_out].iter().for_each(|found| forget(&mut self.forgotten_to_ms, found));
        let surplus = (self.recent.len() + records.len() - left_out).saturating_sub(RECORDS_MAX);
        let is_old = |found: &RawRecord| found.record.end_ms() < newest_ms - recent_ms;
        let mut forgotten = 0;
        while self.recent.front().is_some_and(|front| forgotten < surplus || is_old(front)) {
            forgotten += 1;
            if let Some(found) = self.recent.pop_front() {
                forget(&mut self.forgotten_to_ms, &found);
            }
        }
        self.recent.extend(&records[left_out..]);
    }

    /// A run that was just told of, with what the records of lately say of it.
    pub fn meet(&self, run: JobRun) -> JobRun {
        let mut met = JobRun { is_searched: self.forgotten_to_ms < run.begin_ms(), ..run };
        let uid = self.uids.get(&met.run.user).copied();
        met.look_through(self.recent.iter(), Begun::of(self.recent.iter()), uid);
        met
    }

    /// Takes what cron's log, or systemd, tells of a job.
    pub fn take_runs(&mut self, job: &JobSpec, reading: &CronReading) {
        self.runs.entry(job.name.as_str().to_owned()).or_default();
        match &job.evidence {
            JobEvidence::CronLog { command, user } => {
                let of_job = |run: &&CronRun| {
                    run.command.as_str().contains(command.as_str())
                        && user.as_ref().is_none_or(|user| run.user.as_str() == user)
                };
                // The newest first: what would be forgotten at once is not taken.
                let newest = reading.runs.iter().rev().filter(of_job).take(self.runs_max);
                newest.for_each(|run| self.add(job.name.as_str(), JobRun::begun(run.clone())));
            }
            JobEvidence::Timer { unit } => {
                // A run that systemd does not tell of any more runs no more.
                self.runs.get_mut(job.name.as_str()).into_iter().flatten().for_each(|run| run.runs_now = false);
                let entry = reading.timer(unit);
                let ran =
                    entry.and_then(|entry| entry.unit.as_ref()).and_then(|state| Some((state.ran.as_ref()?, state)));
                if let Some((entry, (ran, state))) = entry.zip(ran) {
                    self.add(job.name.as_str(), JobRun::of_unit(ran, state, &entry.command));
                }
            }
        }
        self.settle(job.name.as_str());
        reading.failures.iter().for_each(|failure| self.take_failure(job.name.as_str(), *failure));
        self.ask_witnesses(job);
    }

    /// Takes an end that cron's log tells of a run that it told of long before.
    fn take_failure(&mut self, job: &str, failure: CronFailure) {
        let known = self.runs.get_mut(job).into_iter().flatten();
        let is_its = |run: &&mut JobRun| {
            let age = failure.at - run.run.at;
            run.run.pid == failure.pid && (0..FAILED_WITHIN_S).contains(&age.num_seconds()) && run.proof.is_none()
        };
        if let Some(run) = known.rev().find(is_its).filter(|run| run.run.failed_with.is_none()) {
            run.run.failed_with = Some(failure.status);
            self.news.push((job.to_owned(), run.clone()));
        }
    }

    /// Whether a job's own log was looked at already.
    pub fn has_heard(&self, job: &JobSpec) -> bool {
        self.heard.contains_key(job.name.as_str())
    }

    /// What a job's own log said that is remembered.
    #[cfg(test)]
    pub fn heard(&self, job: &JobSpec) -> impl Iterator<Item = &Word> {
        self.heard.get(job.name.as_str()).into_iter().flat_map(Heard::words)
    }

    /// Takes what one look at a job's own log brought; `from_ms` is when it was looked at before, by the host's clock, and
    /// `None` where something between is missing.
    pub fn take_words(&mut self, job: &JobSpec, words: Vec<Word>, from_ms: Option<i64>, to_ms: i64) {
        let begin = if self.runs_max == usize::MAX { Heard::whole } else { Heard::default };
        let heard = self.heard.entry(job.name.as_str().to_owned()).or_insert_with(begin);
        heard.take(words.into_iter(), from_ms, to_ms);
        self.ask_witnesses(job);
    }

    /// Takes the archives of a set, with times by the host's clock.
    pub fn take_archives(&mut self, set: &str, seen: SeenArchives, jobs: &[JobSpec]) {
        self.archives.insert(set.to_owned(), seen);
        jobs.iter().filter(|job| job.leaves.as_deref() == Some(set)).for_each(|job| self.ask_witnesses(job));
    }

    /// Asks what each run of a job said in its own log, and which archive it left.
    fn ask_witnesses(&mut self, job: &JobSpec) {
        if job.marker.is_none() && job.leaves.is_none() {
            return;
        }
        let usual_ms = self.usual(job).map_or(0, |usual| usual.median_ms.saturating_mul(USUALS_MAX));
        let grace_ms = u64::try_from(job.grace.as_millis()).unwrap_or(u64::MAX);
        let limit_ms = i64::try_from(usual_ms.max(grace_ms)).unwrap_or(i64::MAX);
        let witnesses = Witnesses {
            heard: self.heard.get(job.name.as_str()),
            says_done: job.marker.as_ref().is_some_and(|marker| marker.done.is_some()),
            archives: job.leaves.as_ref().and_then(|set| self.archives.get(set)),
            has_accounting: self
                .accounting
                .as_ref()
                .is_some_and(|accounting| accounting.is_there && !accounting.is_denied),
        };
        let Some(runs) = self.runs.get_mut(job.name.as_str()) else { return };
        let times = times_of(runs);
        let known_to_ms = match job.evidence {
            JobEvidence::CronLog { .. } => self.log.known_to_ms,
            JobEvidence::Timer { .. } => self.timed_to_ms,
        };
        let words = witnesses.heard.map(|heard| heard.words_of(&times, known_to_ms)).unwrap_or_default();
        let left = witnesses.archives.map(|seen| seen.left_by(&times, known_to_ms, limit_ms)).unwrap_or_default();
        let last = times.len().saturating_sub(1);
        for (index, (run, time)) in runs.iter_mut().zip(times).enumerate() {
            let own = (words.get(index).copied().flatten(), left.get(index).copied().flatten());
            let mut is_new = run.ask(&witnesses, own, time);
            // To a pack, which knows every run, nothing comes any more that could take a waiting word back.
            if let Some(heard) = witnesses.heard.filter(|_| known_to_ms < i64::MAX) {
                let waiting = heard.waiting_denial(time, known_to_ms).filter(|_| index == last);
                is_new |= run.waiting.as_ref() != waiting;
                run.waiting = waiting.cloned();
            }
            if is_new {
                self.news.push((job.name.as_str().to_owned(), run.clone()));
            }
        }
    }

    /// Goes on from what an earlier process kept, where nothing newer is known here.
    pub fn restore(&mut self, job: &str, runs: Vec<JobRun>) {
        let known = self.runs.entry(job.to_owned()).or_default();
        if known.is_empty() {
            known.extend(runs);
            self.settle(job);
        }
    }

    /// Takes runs of a job that somebody else than cron's log tells of.
    pub fn take_told(&mut self, job: &JobSpec, told: Vec<JobRun>) {
        told.into_iter().for_each(|run| self.add(job.name.as_str(), run));
        self.settle(job.name.as_str());
    }

    fn add(&mut self, job: &str, new: JobRun) {
        let known = self.runs.entry(job.to_owned()).or_default();
        // It was forgotten already: cron's log is read again and again.
        let is_forgotten =
            self.runs_max <= known.len() && known.first().is_some_and(|oldest| new.run.at < oldest.run.at);
        // One that is the same began about then, or is among the newest.
        let first = known.partition_point(|old| old.begin_ms() < new.begin_ms() - SAME_WITHIN_MS);
        let first = if new.invocation.is_some() { first.min(known.len().saturating_sub(RUNS_MAX)) } else { first };
        match known[first..].iter_mut().rev().find(|old| new.is_same_as(old)) {
            Some(old) => {
                old.runs_now = new.runs_now;
                // The first look at its beginning counts, and what was told of its end.
                let run = match new.run.pid {
                    0 => old.run.clone(),
                    _ => CronRun {
                        at: old.run.at,
                        line: old.run.line.clone(),
                        failed_with: new.run.failed_with.or(old.run.failed_with),
                        ..new.run
                    },
                };
                let missing: Vec<Word> = new.words.into_iter().filter(|word| !old.has_word_by(word.by)).collect();
                if old.run != run || !missing.is_empty() {
                    old.run = run;
                    old.words.extend(missing);
                    self.news.push((job.to_owned(), old.clone()));
                }
            }
            None if is_forgotten => {}
            None => {
                let met = self.meet(new);
                let load_peak = met.proof.as_ref().and_then(|proof| peak(&self.loads, proof));
                let run = JobRun { load_peak, ..met };
                self.news.push((job.to_owned(), run.clone()));
                let known = self.runs.entry(job.to_owned()).or_default();
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
        Usual::of(earlier.iter().filter(|run| run.is_ok() == Some(true)).filter_map(JobRun::took_ms).collect())
    }

    /// The runs of every job, the newest last.
    pub fn by_job(&self) -> impl Iterator<Item = (&str, &[JobRun])> {
        self.runs.iter().map(|(job, runs)| (job.as_str(), runs.as_slice()))
    }

    /// Runs of which something new is known since the last call.
    pub fn take_news(&mut self) -> Vec<(String, JobRun)> {
        std::mem::take(&mut self.news)
    }
}

/// Records by the numbers of their processes.
struct ByPid<'a> {
    numbered: HashMap<u32, Vec<&'a RawRecord>>,
    /// Of before version 3: they fit by name.
    unnumbered: Vec<&'a RawRecord>,
}

impl<'a> ByPid<'a> {
    fn of(records: &'a [RawRecord]) -> Self {
        let mut by_pid = Self { numbered: HashMap::new(), unnumbered: Vec::new() };
        for found in records {
            match found.record.pid {
                0 => by_pid.unnumbered.push(found),
                pid => by_pid.numbered.entry(pid).or_default().push(found),
            }
        }
        by_pid
    }

    /// Those that may be of a run.
    fn of_run(&self, pid: u32) -> impl Iterator<Item = &'a RawRecord> + Clone {
        self.numbered.get(&pid).into_iter().flatten().chain(&self.unnumbered).copied()
    }
}

/// The highest load while a run's process was there.
fn peak(loads: &VecDeque<(i64, f32)>, proof: &Proof) -> Option<f32> {
    let (begin_ms, end_ms) = (proof.record().begin_ms(), proof.record().end_ms());
    let meanwhile = loads.iter().filter(|(at_ms, _)| (begin_ms..=end_ms).contains(at_ms));
    meanwhile.map(|(_, load)| *load).reduce(f32::max)
}
