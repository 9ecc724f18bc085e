//! `cron.job:NAME`: "ran" is not "succeeded", and what never ran is told before somebody asks.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::cron::{CronReading, CronRun};
use crate::domain::schedule;
use crate::domain::settings::{Expectation, JobEvidence, JobSpec};
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// A run may be logged this long before its due time: clocks and cron's own rounding.
const EARLY: Duration = Duration::seconds(90);
/// Past its due time a job is given this long before it counts as late.
const PUNCTUAL: Duration = Duration::seconds(150);
const RUNS_REMEMBERED: usize = 50;

/// The newest runs of each declared job, and since when there is evidence.
#[derive(Default)]
pub struct RunHistory {
    runs: BTreeMap<String, Vec<CronRun>>,
    covers_from: Option<DateTime<Utc>>,
}

/// One result for each declared job.
pub fn check(reading: &CronReading, history: &mut RunHistory, context: &Context) -> Vec<CheckResult> {
    let zone: Tz = reading.zone.parse().unwrap_or(Tz::UTC);
    history.covers_from = [history.covers_from, reading.covers_from].into_iter().flatten().min();
    context.settings.jobs.iter().map(|job| check_one(job, reading, history, zone, context.now.utc())).collect()
}

/// A run of a job, whatever told of it.
struct LastRun {
    at: DateTime<Utc>,
    outcome: Outcome,
}

enum Outcome {
    Succeeded,
    Failed(String),
    Unknown,
}

fn check_one(
    job: &JobSpec,
    reading: &CronReading,
    history: &mut RunHistory,
    zone: Tz,
    now: DateTime<Utc>,
) -> CheckResult {
    let id = CheckId::on(CheckKind::CronJob, job.name.as_str().into());
    let result = |status, reason: String| CheckResult::new(id.clone(), status, reason, Unit::Seconds);
    let last = match &job.evidence {
        JobEvidence::Timer { unit } => match timer(reading, unit) {
            Ok(last) => last,
            Err(why) => return CheckResult::missing(id, format!("{}: {why}", job.name), Unit::Seconds),
        },
        JobEvidence::CronLog { command, user } => {
            if reading.evidence.is_none() {
                let reason = format!(
                    "{}: no log of cron may be read by this user: add it to group adm or systemd-journal",
                    job.name
                );
                return CheckResult::missing(id, reason, Unit::Seconds);
            }
            history.logged(job, reading, command, user.as_deref())
        }
    };
    let due = match &job.expectation {
        Expectation::Schedule(expression) => schedule::previous(expression, zone, now),
        Expectation::Every(period) => Duration::from_std(*period).ok().map(|period| now - period),
    };
    let Some(due) = due else {
        return CheckResult::missing(id, format!("{}: its schedule names no time", job.name), Unit::Seconds);
    };
    let grace = Duration::from_std(job.grace).unwrap_or(Duration::hours(1));
    let shown = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let in_time = last.as_ref().filter(|run| due - EARLY <= run.at);
    let Some(run) = in_time else {
        return not_run(job, due, grace, history, last, now, &shown, &result);
    };
    let since = (now - run.at).num_seconds().max(0) as f64;
    match &run.outcome {
        Outcome::Succeeded => result(Status::Ok, format!("{}: succeeded, started {}", job.name, shown(run.at))),
        Outcome::Failed(how) => {
            result(Status::Critical, format!("{}: failed ({how}), started {}", job.name, shown(run.at)))
        }
        Outcome::Unknown if job.accept_ran => {
            result(Status::Ok, format!("{}: ran {} (accepted without proof of its outcome)", job.name, shown(run.at)))
        }
        Outcome::Unknown => result(
            Status::Unknown,
            format!("{}: ran {}, outcome unknown: cron's log tells starts only", job.name, shown(run.at)),
        ),
    }
    .value(since)
}

#[allow(clippy::too_many_arguments)]
fn not_run(
    job: &JobSpec,
    due: DateTime<Utc>,
    grace: Duration,
    history: &RunHistory,
    last: Option<LastRun>,
    now: DateTime<Utc>,
    shown: &dyn Fn(DateTime<Utc>) -> String,
    result: &dyn Fn(Status, String) -> CheckResult,
) -> CheckResult {
    let before = last.map_or("no run is known".to_owned(), |run| format!("the last run started {}", shown(run.at)));
    let late_by = now - due;
    let is_logged = matches!(job.evidence, JobEvidence::CronLog { .. });
    let uncovered = is_logged && history.covers_from.is_none_or(|from| due < from);
    // A job that should run once in a period has no due time of its own within it.
    let punctual = matches!(job.expectation, Expectation::Schedule(_)) && late_by < PUNCTUAL;
    match () {
        () if punctual => result(Status::Ok, format!("{}: due {}, starting; {before}", job.name, shown(due))),
        () if uncovered => {
            let from = history
                .covers_from
                .map_or("it holds no line of cron".to_owned(), |from| format!("it begins {}", shown(from)));
            let reason = format!("{}: no evidence: due {}, and of the log {from}", job.name, shown(due));
            CheckResult { quality: crate::domain::observed::Quality::Missing, ..result(Status::Unknown, reason) }
        }
        () if late_by < grace || overdue_within_grace(job, late_by, grace) => {
            result(Status::Warning, format!("{}: late, due {}; {before}", job.name, shown(due)))
        }
        () => result(Status::Critical, format!("{}: MISSED, due {}; {before}", job.name, shown(due))),
    }
}

/// For a period, `due` is the start of the newest period: the run is late by how long the last one is past it.
fn overdue_within_grace(job: &JobSpec, late_by: Duration, grace: Duration) -> bool {
    match &job.expectation {
        Expectation::Schedule(_) => false,
        Expectation::Every(period) => {
            Duration::from_std(*period).is_ok_and(|period| late_by < period + grace && late_by < grace)
        }
    }
}

fn timer(reading: &CronReading, unit: &str) -> Result<Option<LastRun>, String> {
    let with_suffix = if unit.ends_with(".timer") { unit.to_owned() } else { format!("{unit}.timer") };
    let found = reading.entries.iter().find(|entry| entry.source.as_str() == with_suffix);
    let entry = found.ok_or_else(|| format!("no timer {with_suffix} on this host"))?;
    Ok(entry.last.map(|at| LastRun {
        at,
        outcome: match entry.result.as_ref().map(SafeText::as_str) {
            Some("success") => Outcome::Succeeded,
            Some(other) => Outcome::Failed(other.to_owned()),
            None => Outcome::Unknown,
        },
    }))
}

impl RunHistory {
    fn logged(&mut self, job: &JobSpec, reading: &CronReading, command: &str, user: Option<&str>) -> Option<LastRun> {
        let known = self.runs.entry(job.name.as_str().to_owned()).or_default();
        let of_job = |run: &&CronRun| {
            run.command.as_str().contains(command) && user.is_none_or(|user| run.user.as_str() == user)
        };
        for run in reading.runs.iter().filter(of_job) {
            match known.iter_mut().find(|old| old.at == run.at && old.pid == run.pid) {
                Some(old) => *old = run.clone(),
                None => known.push(run.clone()),
            }
        }
        known.sort_by_key(|run| run.at);
        let surplus = known.len().saturating_sub(RUNS_REMEMBERED);
        known.drain(..surplus);
        known.last().map(|run| LastRun {
            at: run.at,
            outcome: match run.failed_with {
                Some(status) => Outcome::Failed(format!("exit status {status}, told by cron")),
                None => Outcome::Unknown,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::NOTHING_KNOWN;
    use crate::domain::fleet::ItemName;
    use crate::domain::probe::cron::CronEntry;
    use crate::domain::settings::{HOUR, Settings};
    use crate::domain::time::Moment;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn check(runs: &[(&str, Option<i32>)], accept_ran: bool, now: &str, expected: &str) {
        let job = JobSpec {
            name: ItemName::parse("transfer").unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Schedule("30 4 * * *".to_owned()),
            grace: HOUR,
            evidence: JobEvidence::CronLog { command: "transfer.sh".to_owned(), user: None },
            accept_ran,
        };
        let reading = CronReading {
            zone: "Europe/Berlin".to_owned(),
            evidence: Some("journal".into()),
            covers_from: Some(utc("2026-11-19T00:00:00Z")),
            runs: runs
                .iter()
                .map(|(at, failed_with)| CronRun {
                    at: utc(at),
                    user: "root".into(),
                    command: "/opt/transfer.sh".into(),
                    pid: 7,
                    failed_with: *failed_with,
                })
                .collect(),
            ..CronReading::default()
        };
        run(job, &reading, now, expected);
    }

    fn run(job: JobSpec, reading: &CronReading, now: &str, expected: &str) {
        let settings = Settings { jobs: vec![job], ..Settings::default() };
        let now = Moment { utc_ms: utc(now).timestamp_millis(), boot_ms: 0, origin: 1 };
        let context = Context { settings: &settings, now, memory: &NOTHING_KNOWN };
        let result = super::check(reading, &mut RunHistory::default(), &context).remove(0);
        assert_eq!(format!("{} {}", result.status, result.reason), expected);
    }

    const ON_TIME: &str = "2026-11-21T03:30:01Z";

    #[test]
    fn a_start_alone_proves_no_success() {
        check(
            &[(ON_TIME, None)],
            false,
            "2026-11-21T12:00:00Z",
            "UNKNOWN transfer: ran 2026-11-21 04:30:01 CET, outcome unknown: cron's log tells starts only",
        );
    }

    #[test]
    fn a_start_is_enough_where_the_job_says_so() {
        check(
            &[(ON_TIME, None)],
            true,
            "2026-11-21T12:00:00Z",
            "OK transfer: ran 2026-11-21 04:30:01 CET (accepted without proof of its outcome)",
        );
    }

    #[test]
    fn an_exit_status_that_cron_tells_is_a_failure() {
        check(
            &[(ON_TIME, Some(3))],
            true,
            "2026-11-21T12:00:00Z",
            "CRITICAL transfer: failed (exit status 3, told by cron), started 2026-11-21 04:30:01 CET",
        );
    }

    #[test]
    fn within_its_grace_it_is_late_and_past_it_missed() {
        let yesterday = [("2026-11-20T03:30:01Z", None)];
        check(
            &yesterday,
            true,
            "2026-11-21T04:00:00Z",
            "WARNING transfer: late, due 2026-11-21 04:30:00 CET; the last run started 2026-11-20 04:30:01 CET",
        );
        check(
            &yesterday,
            true,
            "2026-11-21T04:30:01Z",
            "CRITICAL transfer: MISSED, due 2026-11-21 04:30:00 CET; the last run started 2026-11-20 04:30:01 CET",
        );
    }

    #[test]
    fn before_the_log_begins_there_is_no_evidence_and_no_accusation() {
        let job = JobSpec {
            name: ItemName::parse("monthly").unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Schedule("0 0 1 * *".to_owned()),
            grace: HOUR,
            evidence: JobEvidence::CronLog { command: "x".to_owned(), user: None },
            accept_ran: true,
        };
        let reading = CronReading {
            zone: "UTC".to_owned(),
            evidence: Some("journal".into()),
            covers_from: Some(utc("2026-11-19T00:00:00Z")),
            ..CronReading::default()
        };
        run(
            job,
            &reading,
            "2026-11-21T12:00:00Z",
            "UNKNOWN monthly: no evidence: due 2026-11-01 00:00:00 UTC, and of the log it begins 2026-11-19 00:00:00 UTC",
        );
    }

    #[test]
    fn a_timers_result_is_a_proof() {
        let job = JobSpec {
            name: ItemName::parse("t").unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Every(24 * HOUR),
            grace: HOUR,
            evidence: JobEvidence::Timer { unit: "x".to_owned() },
            accept_ran: false,
        };
        let entry = CronEntry {
            source: "x.timer".into(),
            user: None,
            schedule: "timer".into(),
            command: "x.service".into(),
            next: None,
            last: Some(utc("2026-11-21T04:00:00Z")),
            result: Some("success".into()),
        };
        let reading = CronReading { zone: "UTC".to_owned(), entries: vec![entry], ..CronReading::default() };
        run(job, &reading, "2026-11-21T12:00:00Z", "OK t: succeeded, started 2026-11-21 04:00:00 UTC");
    }
}
