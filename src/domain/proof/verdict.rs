//! What is known of a job's last run: proven ok, proven failed, running, overrun, or ran and nobody knows.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::acct::Ended;
use super::history::{JobRun, RunHistory};
use super::join::{Certainty, Proof};
use super::usual::{self, Odd, Usual};
use crate::domain::schedule;
use crate::domain::settings::{Expectation, JobSpec};
use crate::domain::status::Status;
use crate::domain::time::words;

/// A run that has no record so long after its beginning still runs; before, the record may just be on its way.
const SETTLED: Duration = Duration::seconds(5);
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
    },
    /// Why nobody knows, and what would prove the next run.
    RanUnknown {
        why: String,
    },
}

impl Verdict {
    pub fn ok(witness: &str) -> Self {
        Verdict::ProvenOk { took: None, witnesses: witness.to_owned(), odd: None }
    }

    pub fn failed(how: &str, witness: &str) -> Self {
        Verdict::ProvenFailed { how: how.to_owned(), took: None, witnesses: witness.to_owned() }
    }

    pub fn running() -> Self {
        Verdict::Running { is_overrun: false, usual: None }
    }

    pub fn unknown(why: &str) -> Self {
        Verdict::RanUnknown { why: why.to_owned() }
    }

    /// Of the last run that cron's log tells of.
    pub fn of(job: &JobSpec, history: &RunHistory, zone: Tz, now: DateTime<Utc>) -> Self {
        let runs = history.runs(job);
        let Some(last) = runs.last() else { return Self::unknown("no run is known") };
        let usual = history.usual(job);
        match (&last.proof, last.run.failed_with) {
            (Some(proof), told) => Self::proven(job, proof, told, usual, odd_among(job, history, runs, zone)),
            (None, Some(status)) => Self::failed(&format!("exit status {status}"), "cron's log"),
            (None, None) => Self::unproven(history, last, usual, now),
        }
    }

    fn proven(job: &JobSpec, proof: &Proof, told: Option<i32>, usual: Option<Usual>, among: Option<String>) -> Self {
        let record = proof.record();
        let gives_up_ms = job.gives_up.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let took = Some(usual::told(record.elapsed_ms, usual, gives_up_ms));
        let fits = match proof.certainty {
            Certainty::ByPid => String::new(),
            Certainty::ByName => " by name".to_owned(),
            Certainty::Ambiguous(count) => format!(", {count} records fit and tell the same"),
            Certainty::Differ(count) => {
                return Verdict::RanUnknown { why: format!("{count} records of accounting fit it, and they differ") };
            }
        };
        let also = if told.is_some() { "cron's log twice" } else { "cron's log" };
        let witnesses = format!("{also}, accounting{fits}");
        // Of two witnesses the one that tells of a failure is believed.
        if let (Some(status), true) = (told, record.ended().is_success()) {
            let how = format!("exit status {status} by cron's log, though its record says 0");
            return Verdict::ProvenFailed { how, took, witnesses };
        }
        let how = match record.ended() {
            Ended::Exited(0) => {
                let by_time = match usual.and_then(|usual| usual.judge(record.elapsed_ms)) {
                    Some(Odd::TooLong) => Some("took too long".to_owned()),
                    Some(Odd::TooShort) => Some("was over too soon".to_owned()),
                    None => None,
                };
                return Verdict::ProvenOk { took, witnesses, odd: by_time.or(among) };
            }
            Ended::Exited(status) => format!("exit status {status}"),
            Ended::Killed { signal, core } => {
                format!("killed by signal {signal}{}", if core { ", with a core" } else { "" })
            }
        };
        Verdict::ProvenFailed { how, took, witnesses }
    }

    fn unproven(history: &RunHistory, last: &JobRun, usual: Option<Usual>, now: DateTime<Utc>) -> Self {
        let Some(accounting) = &history.accounting else {
            return Self::unknown("cron's log tells starts only");
        };
        if accounting.fresh_until_ms < now.timestamp_millis() {
            return Self::unknown("cron's log tells starts only, and accounting could not be read lately");
        }
        if history.booted_ms.is_some_and(|booted| last.run.at.timestamp_millis() < booted) {
            return Self::unknown("the host was started since: how it ended was not recorded");
        }
        if history.is_contradicted(&last.run) {
            return Self::unknown("a process of its number ended, and began at another time than cron's log says");
        }
        if accounting.would_show(last.run.at) {
            let since = now - last.run.at;
            let since_ms = u64::try_from(since.num_milliseconds()).unwrap_or(0);
            let is_overrun = usual.is_some_and(|usual| usual.judge(since_ms) == Some(Odd::TooLong));
            let usual = usual.map(|usual| crate::domain::time::words_exact(usual.median_ms));
            return match since < SETTLED {
                true => Verdict::Running { is_overrun: false, usual },
                false => Verdict::Running { is_overrun, usual },
            };
        }
        Self::unknown(match () {
            () if !accounting.is_there => {
                "cron's log tells starts only, and accounting is off: dogwatch action run accounting.enable"
            }
            () if accounting.is_denied => {
                "cron's log tells starts only, and this login may not read the accounting file: see dogwatch doctor"
            }
            () if accounting.is_behind => "cron's log tells starts only; accounting is still being read",
            () if accounting.grew == Some(false) => {
                "cron's log tells starts only, and nothing is written to the accounting file: dogwatch action run accounting.enable"
            }
            () => "cron's log tells starts only, and accounting has no record of it",
        })
    }

    /// Its status, and its words; `in_grace` says whether it began no longer ago than the job's grace.
    pub fn told(&self, job: &JobSpec, at: &str, in_grace: bool) -> (Status, String) {
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
            Verdict::Running { is_overrun, usual } => {
                let usual = usual.as_ref().map_or(String::new(), |usual| format!(", usual {usual}"));
                match (is_overrun, in_grace) {
                    (true, _) => (Status::Warning, format!("OVERRUN: running since {at}{usual}")),
                    (false, true) => (Status::Ok, format!("running since {at}{usual}")),
                    (false, false) => {
                        (Status::Warning, format!("OVERRUN: running since {at}, longer than its grace{usual}"))
                    }
                }
            }
            Verdict::RanUnknown { .. } if job.accept_ran => {
                (Status::Ok, format!("ran {at} (accepted without proof of its outcome)"))
            }
            Verdict::RanUnknown { why } => (Status::Unknown, format!("ran {at}, outcome unknown: {why}")),
        }
    }
}

/// What the runs before the last one say of it: one that still runs, or one that came too soon before.
fn odd_among(job: &JobSpec, history: &RunHistory, runs: &[JobRun], zone: Tz) -> Option<String> {
    let [earlier @ .., before, last] = runs else { return None };
    let shows = |run: &JobRun| {
        let is_here = history.booted_ms.is_none_or(|booted| booted <= run.run.at.timestamp_millis());
        is_here
            && !history.is_contradicted(&run.run)
            && history.accounting.as_ref().is_some_and(|accounting| accounting.would_show(run.run.at))
    };
    let stuck = earlier.iter().chain([before]).filter(|run| run.proof.is_none() && run.run.failed_with.is_none());
    if let Some(stuck) = stuck.rev().find(|run| shows(run)) {
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
