//! What is known of a job's last run: proven ok, proven failed, running, overrun, or ran and nobody knows.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::acct::Ended;
use super::coverage::Accounting;
use super::history::RunHistory;
use super::join::{Certainty, Proof};
use super::run::JobRun;
use super::still::{BegunBy, runs_still};
use super::usual::{self, Odd, Usual};
use super::word::Speaker;
use crate::domain::schedule;
use crate::domain::settings::{Expectation, JobSpec};
use crate::domain::status::Status;
use crate::domain::time::{words, words_exact};

/// A run that has no record so long after its beginning still runs; before, the record may just be on its way.
const SETTLED_MS: u64 = 5_000;
/// An archive may be awaited so long after its run's end: backup sets are looked at less often than logs.
const AWAITED_MS: i64 = 45 * 60_000;
/// Runs of a declared job that began closer together than this part of its period are too many.
const PERIOD_PART: i32 = 2;
/// A run may be logged this long before its due time.
const EARLY: Duration = Duration::seconds(90);

/// A verdict with its witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    ProvenOk {
        took: Option<String>,
        witnesses: String,
        /// What is odd about it all the same.
        odd: Option<String>,
    },
    ProvenFailed {
        how: String,
        took: Option<String>,
        witnesses: String,
    },
    Running {
        is_overrun: bool,
        usual: Option<String>,
        /// What its own log said meanwhile.
        said: Option<String>,
        /// What is odd about it all the same.
        odd: Option<String>,
        /// When the one before it that is proven began, where that failed.
        failed_before: Option<String>,
    },
    /// It ended well, and nobody has looked yet whether it left its archive.
    Awaited {
        set: String,
        is_new: bool,
        /// When the one before it that is proven began, where that failed.
        failed_before: Option<String>,
        took: Option<String>,
        witnesses: String,
    },
    /// Why nobody knows, and what would prove the next run.
    RanUnknown {
        why: String,
        /// When the one before it that is proven began, where that failed.
        failed_before: Option<String>,
    },
}

impl Verdict {
    pub fn ok(witness: &str) -> Self {
        Verdict::ProvenOk { took: None, witnesses: witness.to_owned(), odd: None }
    }

    pub fn failed(how: &str, witness: &str) -> Self {
        Verdict::ProvenFailed { how: how.to_owned(), took: None, witnesses: witness.to_owned() }
    }

    pub fn is_running(&self) -> bool {
        matches!(self, Verdict::Running { .. })
    }

    pub fn running() -> Self {
        Verdict::Running { is_overrun: false, usual: None, said: None, odd: None, failed_before: None }
    }

    pub fn unknown(why: &str) -> Self {
        Verdict::RanUnknown { why: why.to_owned(), failed_before: None }
    }

    /// Of the last run that cron's log or systemd tells of.
    pub fn of(job: &JobSpec, history: &RunHistory, zone: Tz, now: DateTime<Utc>) -> Self {
        let runs = history.runs(job);
        let Some(run) = &runs.last().map(JobRun::with_waiting) else { return Self::unknown("no run is known") };
        let begun_by = BegunBy::of(&job.evidence);
        let (usual, gives_up) = (history.usual(job), job.gives_up);
        let (leaves, among) = (job.leaves.as_deref(), odd_among(job, history, runs, zone, now));
        let shown = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
        let before = failed_before(runs).map(shown);
        match (Case { run, begun_by, usual, gives_up, leaves, among, history, now }.verdict(), before) {
            // A failure that was proven is not forgotten for a run of which nobody knows.
            (Verdict::RanUnknown { why, .. }, failed_before @ Some(_)) => Verdict::RanUnknown { why, failed_before },
            // Nor for one that is not decided yet, or goes on still: a beginning mends nothing.
            (Verdict::Awaited { set, took, witnesses, .. }, before @ Some(_)) => {
                Verdict::Awaited { set, is_new: true, failed_before: before, took, witnesses }
            }
            (Verdict::Running { is_overrun, usual, said, odd, .. }, failed_before @ Some(_)) => {
                Verdict::Running { is_overrun, usual, said, odd, failed_before }
            }
            (verdict, _) => verdict,
        }
    }

    /// Of the last run of an entry that nobody declared.
    pub fn of_listed(run: &JobRun, begun_by: BegunBy, history: &RunHistory, now: DateTime<Utc>) -> Self {
        let (usual, gives_up, leaves, among) = (None, None, None, None);
        Case { run, begun_by, usual, gives_up, leaves, among, history, now }.verdict()
    }

    /// Its status, and its words; `accept_ran` says whether a run of unknown outcome is good enough, `in_grace` whether it
    /// began no longer ago than the job's grace.
    pub fn told(&self, accept_ran: bool, at: &str, in_grace: bool) -> (Status, String) {
        let took = |took: &Option<String>| took.as_ref().map_or(String::new(), |took| format!(", took {took}"));
        match self {
            Verdict::ProvenOk { took: time, witnesses, odd } => {
                let (status, odd) = match odd {
                    Some(odd) => (Status::Warning, format!(", but {odd}")),
                    None => (Status::Ok, String::new()),
                };
                (status, format!("proven ok{odd}{}, started {at} ({witnesses})", took(time)))
            }
            Verdict::ProvenFailed { how, took: time, witnesses } => {
                (Status::Critical, format!("proven FAILED: {how}{}, started {at} ({witnesses})", took(time)))
            }
            Verdict::Running { is_overrun, usual, said, odd, failed_before } => {
                let usual = usual.as_ref().map_or(String::new(), |usual| format!(", usual {usual}"));
                let usual = said.as_ref().map_or(usual.clone(), |said| format!("{usual}; {said}"));
                let (status, told) = match (odd, is_overrun, in_grace) {
                    (Some(odd), _, _) => (Status::Warning, format!("running since {at}, but {odd}{usual}")),
                    (None, true, _) => (Status::Warning, format!("OVERRUN: running since {at}{usual}")),
                    (None, false, true) => (Status::Ok, format!("running since {at}{usual}")),
                    (None, false, false) => {
                        (Status::Warning, format!("OVERRUN: running since {at}, longer than its grace{usual}"))
                    }
                };
                match failed_before {
                    Some(before) => (Status::Critical, format!("the run of {before} is proven FAILED; {told}")),
                    None => (status, told),
                }
            }
            Verdict::Awaited { set, failed_before: Some(before), took: time, witnesses, .. } => (
                Status::Critical,
                format!(
                    "the run of {before} is proven FAILED; since then one ended well{}, started {at} ({witnesses}); its archive in {set} is awaited",
                    took(time)
                ),
            ),
            Verdict::Awaited { set, is_new: true, took: time, witnesses, .. } => (
                Status::Ok,
                format!("ended well{}, started {at} ({witnesses}); its archive in {set} is awaited", took(time)),
            ),
            Verdict::Awaited { set, is_new: false, took: time, witnesses, .. } => (
                Status::Unknown,
                format!(
                    "ended well{}, started {at} ({witnesses}), but {set} was not seen since, or shows none that is its alone",
                    took(time)
                ),
            ),
            Verdict::RanUnknown { why, failed_before } => {
                let before = failed_before.as_ref();
                let before =
                    before.map_or(String::new(), |before| format!("; the last one that is proven FAILED, {before}"));
                match accept_ran {
                    true => (Status::Ok, format!("ran {at} (accepted without proof of its outcome){before}")),
                    false => (Status::Unknown, format!("ran {at}, outcome unknown: {why}{before}")),
                }
            }
        }
    }
}

/// Everything that bears on one run.
struct Case<'a> {
    run: &'a JobRun,
    begun_by: BegunBy,
    usual: Option<Usual>,
    gives_up: Option<std::time::Duration>,
    /// The set that it leaves an archive in.
    leaves: Option<&'a str>,
    /// What the runs before it say of it.
    among: Option<String>,
    history: &'a RunHistory,
    now: DateTime<Utc>,
}

impl Case<'_> {
    fn verdict(self) -> Verdict {
        // Whatever was said or left meanwhile, and whichever of its processes ended.
        if runs_still(self.run, self.begun_by, self.history, self.now) {
            return self.running();
        }
        let record_end = self.run.record_end();
        let took_ms = self.record().map(|proof| proof.record().elapsed_ms).or_else(|| self.run.took_ms());
        let gives_up_ms = self.gives_up.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let took = took_ms.map(|took_ms| usual::told(took_ms, self.usual, gives_up_ms));
        let witnesses = self.witnesses();
        if let Some(how) = self.failure(record_end) {
            return Verdict::ProvenFailed { how, took, witnesses };
        }
        let is_proven = record_end.is_some() || !self.run.words.is_empty() || self.run.archive.is_some();
        if !is_proven {
            return self.unproven();
        }
        let unseen = self.leaves.filter(|_| self.run.archive.is_none());
        if let Some(set) = unseen.filter(|_| self.run.lacks.archive) {
            let though =
                if record_end.is_some() { "though its exit status is 0" } else { "though it says it succeeded" };
            return Verdict::ProvenFailed { how: format!("no new archive in {set}, {though}"), took, witnesses };
        }
        if let Some(set) = unseen {
            let ended_ms = self.run.end_ms().unwrap_or_else(|| self.run.begin_ms());
            let is_new = self.now.timestamp_millis() - ended_ms < AWAITED_MS;
            return Verdict::Awaited { set: set.to_owned(), is_new, failed_before: None, took, witnesses };
        }
        let by_time = took_ms.and_then(|took_ms| self.usual?.judge(took_ms)).map(|odd| odd.words().to_owned());
        let silent = self.run.lacks.word.then(|| "its own log does not say so".to_owned());
        Verdict::ProvenOk { took, witnesses, odd: by_time.or(self.among).or(silent) }
    }

    /// Its record, where there is one end that it tells.
    fn record(&self) -> Option<&Proof> {
        self.run.proof.as_ref().filter(|proof| !matches!(proof.certainty, Certainty::Differ(_)))
    }

    /// How it failed. Of two witnesses the one that tells of a failure is believed.
    fn failure(&self, record_end: Option<Ended>) -> Option<String> {
        let by_record = match record_end {
            Some(Ended::Exited(0)) | None => None,
            // As SuccessExitStatus= of its unit says, or a stop of it by hand.
            Some(_) if self.run.is_well_by_systemd() => None,
            Some(Ended::Exited(status)) => Some(format!("exit status {status}")),
            Some(Ended::Killed { signal, core }) => {
                Some(format!("killed by signal {signal}{}", if core { ", with a core" } else { "" }))
            }
        };
        let denied = self.run.words.iter().find(|word| !word.is_ok).map(|word| match word.by {
            Speaker::OwnLog => format!("«{}»", word.shown()),
            Speaker::Systemd => word.text.to_string(),
        });
        let though =
            |by: &str| if record_end.is_some() { format!("{by}, though its record says 0") } else { String::new() };
        let by_cron =
            || self.run.run.failed_with.map(|status| format!("exit status {status}{}", though(" by cron's log")));
        let by_word = || denied.map(|how| format!("{how}{}", though("")));
        by_record.or_else(by_cron).or_else(by_word)
    }

    fn witnesses(&self) -> String {
        let begun_by = match (self.begun_by, self.run.run.failed_with, self.record()) {
            (BegunBy::Timer, _, _) => "systemd",
            (BegunBy::Cron, Some(_), Some(_)) => "cron's log twice",
            (BegunBy::Cron, _, _) => "cron's log",
        };
        let accounting = self.record().map(|proof| match proof.certainty {
            Certainty::ByPid => "accounting".to_owned(),
            Certainty::ByName => "accounting by name".to_owned(),
            Certainty::Ambiguous(count) | Certainty::Differ(count) => {
                format!("accounting, {count} records fit and tell the same")
            }
        });
        let own_log = self.run.has_word_by(Speaker::OwnLog).then(|| Speaker::OwnLog.words().to_owned());
        let archive = self.run.archive.as_ref().map(|name| format!("a new archive, {name}"));
        let all = [Some(begun_by.to_owned()), accounting, own_log, archive];
        all.into_iter().flatten().collect::<Vec<String>>().join(", ")
    }

    fn running(&self) -> Verdict {
        let since_ms = u64::try_from((self.now - self.run.run.at).num_milliseconds()).unwrap_or(0);
        let is_settled = SETTLED_MS <= since_ms;
        let is_overrun = is_settled && self.usual.is_some_and(|usual| usual.judge(since_ms) == Some(Odd::TooLong));
        let said = self.run.words.last().map(|word| format!("{} says «{}»", word.by.words(), word.shown()));
        let usual = self.usual.map(|usual| words_exact(usual.median_ms));
        Verdict::Running { is_overrun, usual, said, odd: self.among.clone(), failed_before: None }
    }

    /// Where nobody tells of its end.
    fn unproven(&self) -> Verdict {
        if self.begun_by == BegunBy::Timer {
            return Verdict::unknown("systemd tells no result of it");
        }
        if let Some(Proof { certainty: Certainty::Differ(count), .. }) = &self.run.proof {
            return Verdict::unknown(&format!("{count} records of accounting fit it, and they differ"));
        }
        let Some(accounting) = &self.history.accounting else {
            return Verdict::unknown("cron's log tells starts only");
        };
        if accounting.fresh_until_ms < self.now.timestamp_millis() {
            return Verdict::unknown("cron's log tells starts only, and accounting could not be read lately");
        }
        if self.history.booted_ms.is_some_and(|booted| self.run.begin_ms() < booted) {
            return Verdict::unknown("the host was started since: how it ended was not recorded");
        }
        if self.run.is_contradicted {
            return Verdict::unknown(
                "a process of its number ended, and began at another time, or as another user, than cron's log says",
            );
        }
        let why = match () {
            () if !accounting.is_there => ", and accounting is off: dogwatch action run accounting.enable",
            () if accounting.is_denied => ", and this login may not read the accounting file: see dogwatch doctor",
            () if accounting.is_behind => "; accounting is still being read",
            () if accounting.grew == Some(false) => {
                ", and nothing is written to the accounting file: dogwatch action run accounting.enable"
            }
            () => &self.unrecorded(accounting),
        };
        Verdict::unknown(&format!("cron's log tells starts only{why}"))
    }

    fn unrecorded(&self, accounting: &Accounting) -> String {
        let none = ", and accounting has no record of it";
        let begun_s = self.run.run.at.timestamp();
        let Some(from_s) = accounting.unbroken_from_s.filter(|from_s| begun_s < i64::from(*from_s)) else {
            return none.to_owned();
        };
        let from = DateTime::from_timestamp(i64::from(from_s), 0).unwrap_or_default().with_timezone(&self.history.zone);
        format!("{none}, nor is it without a gap before {}", from.format("%a %d %b %H:%M %Z"))
    }
}

/// When the newest run before the last one began that is proven, where that failed.
fn failed_before(runs: &[JobRun]) -> Option<DateTime<Utc>> {
    let [earlier @ .., _] = runs else { return None };
    let proven = earlier.iter().rev().find(|run| run.is_ok().is_some())?;
    (proven.is_ok() == Some(false)).then_some(proven.run.at)
}

/// What the runs before the last one say of it: one that still runs, or one that came too soon before.
fn odd_among(job: &JobSpec, history: &RunHistory, runs: &[JobRun], zone: Tz, now: DateTime<Utc>) -> Option<String> {
    let [earlier @ .., before, last] = runs else { return None };
    let mut others = earlier.iter().chain([before]).rev();
    if let Some(stuck) = others.find(|run| runs_still(run, BegunBy::of(&job.evidence), history, now)) {
        return Some(format!("the run of {} still runs", stuck.run.at.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    let apart = last.run.at - before.run.at;
    let is_too_soon = match &job.expectation {
        Expectation::Every(period) => Duration::from_std(*period).is_ok_and(|period| apart < period / PERIOD_PART),
        // Too often is what no due time lies between.
        Expectation::Schedule(expression) => {
            schedule::next(expression, zone, before.run.at + EARLY).is_some_and(|due| last.run.at + EARLY < due)
        }
    };
    is_too_soon.then(|| format!("began twice within {}", words(apart.to_std().unwrap_or_default())))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
