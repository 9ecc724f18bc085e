//! `cron.job:NAME`: "ran" is not "succeeded", and what never ran is told before somebody asks.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::cron::{CronReading, timer_name};
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::verdict::Verdict;
use crate::domain::schedule;
use crate::domain::settings::{Expectation, JobEvidence, JobSpec};
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// A run may be logged this long before its due time: clocks and cron's own rounding.
const EARLY: Duration = Duration::seconds(90);
/// Past its due time a job is given this long before it counts as late.
const PUNCTUAL: Duration = Duration::seconds(150);
/// One result for each declared job.
pub fn check(reading: &CronReading, history: &mut RunHistory, context: &Context) -> Vec<CheckResult> {
    let zone: Tz = reading.zone.parse().unwrap_or(Tz::UTC);
    history.zone = zone;
    history.covers_from = [history.covers_from, reading.covers_from].into_iter().flatten().min();
    context.settings.jobs.iter().for_each(|job| history.take_runs(job, reading));
    context.settings.jobs.iter().map(|job| check_one(job, reading, history, zone, context.now.utc())).collect()
}

/// A run of a job, whatever told of it.
struct LastRun {
    at: DateTime<Utc>,
    verdict: Verdict,
}

fn check_one(job: &JobSpec, reading: &CronReading, history: &RunHistory, zone: Tz, now: DateTime<Utc>) -> CheckResult {
    let id = CheckId::on(CheckKind::CronJob, job.name.as_str().into());
    let result = |status, reason: String| CheckResult::new(id.clone(), status, reason, Unit::Seconds);
    let last = match &job.evidence {
        JobEvidence::Timer { unit } => match last_of_timer(job, unit, reading, history, zone, now) {
            Ok(last) => last,
            Err(why) => return CheckResult::missing(id, format!("job {}: {why}", job.name), Unit::Seconds),
        },
        JobEvidence::CronLog { .. } => {
            if reading.evidence.is_none() {
                let reason = format!(
                    "{}: no log of cron may be read by this user: add it to group adm or systemd-journal",
                    job.name
                );
                return CheckResult::missing(id, reason, Unit::Seconds);
            }
            last_known(job, history, zone, now)
        }
    };
    let shown = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let covered_from = match job.evidence {
        JobEvidence::CronLog { .. } => history.covers_from,
        JobEvidence::Timer { .. } => None,
    };
    let reference = last.as_ref().map(|run| run.at + EARLY).or(covered_from);
    let unmet = reference.and_then(|from| first_due(&job.expectation, zone, from)).filter(|due| *due + PUNCTUAL <= now);
    let grace = Duration::from_std(job.grace).unwrap_or(Duration::hours(1));
    match (unmet, last) {
        (Some(due), last) => {
            let before =
                last.map_or("no run is known".to_owned(), |run| format!("the last run started {}", shown(run.at)));
            match now - due < grace {
                true => result(Status::Warning, format!("job {}: late, due {}; {before}", job.name, shown(due))),
                false => result(Status::Critical, format!("job {}: MISSED, due {}; {before}", job.name, shown(due))),
            }
        }
        (None, Some(run)) => {
            let (status, told) = run.verdict.told(job.accept_ran, &shown(run.at), now - run.at < grace);
            result(status, format!("job {}: {told}", job.name)).value((now - run.at).num_seconds().max(0) as f64)
        }
        (None, None) => {
            let from = covered_from.map_or(String::new(), |from| format!(", and the log begins {}", shown(from)));
            CheckResult::missing(id, format!("job {}: no evidence: no run is known{from}", job.name), Unit::Seconds)
        }
    }
}

/// The first time after `from` at which the job should have run again.
fn first_due(expectation: &Expectation, zone: Tz, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match expectation {
        Expectation::Schedule(expression) => schedule::next(expression, zone, from),
        Expectation::Every(period) => from.checked_add_signed(Duration::from_std(*period).ok()?),
    }
}

/// What is known of a job's last run, and of those before it that bear on it.
fn last_known(job: &JobSpec, history: &RunHistory, zone: Tz, now: DateTime<Utc>) -> Option<LastRun> {
    let runs = history.runs(job);
    let last = runs.last()?;
    let verdict = Verdict::of(job, history, zone, now);
    Some(LastRun { at: last.run.at, verdict })
}

/// What systemd says of a timer's last run: of the process that it ran, or where it began none by its Result alone.
fn last_of_timer(
    job: &JobSpec,
    unit: &str,
    reading: &CronReading,
    history: &RunHistory,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<Option<LastRun>, String> {
    let entry = reading.timer(unit).ok_or_else(|| format!("no timer {} on this host", timer_name(unit)))?;
    let state = entry.unit.as_ref();
    if state.is_some_and(|state| state.ran.is_some()) {
        return Ok(last_known(job, history, zone, now));
    }
    Ok(entry.last.map(|at| LastRun {
        at,
        verdict: match state {
            Some(state) if state.runs => Verdict::running(),
            // Of a unit that was never begun systemd says success as well.
            Some(state) if state.never_ran => {
                Verdict::unknown("systemd knows of no process of it since the host was started")
            }
            Some(state) => match state.result.as_ref().map(SafeText::as_str) {
                Some("success") => Verdict::ok("systemd"),
                Some(other) => Verdict::failed(other, "systemd"),
                None => Verdict::unknown("systemd tells no result of it"),
            },
            None => Verdict::unknown("systemd tells no result of it"),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::check::testing::NOTHING_KNOWN;
    use crate::domain::fleet::ItemName;
    use crate::domain::probe::cron::{CronEntry, CronRun};
    use crate::domain::probe::timers::UnitState;
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
            usual: None,
            gives_up: None,
            marker: None,
            leaves: None,
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
                    line: RemoteBytes::default(),
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
            "UNKNOWN job transfer: ran 2026-11-21 04:30:01 CET, outcome unknown: cron's log tells starts only",
        );
    }

    #[test]
    fn a_start_is_enough_where_the_job_says_so() {
        check(
            &[(ON_TIME, None)],
            true,
            "2026-11-21T12:00:00Z",
            "OK job transfer: ran 2026-11-21 04:30:01 CET (accepted without proof of its outcome)",
        );
    }

    #[test]
    fn an_exit_status_that_cron_tells_is_a_failure() {
        check(
            &[(ON_TIME, Some(3))],
            true,
            "2026-11-21T12:00:00Z",
            "CRITICAL job transfer: proven FAILED: exit status 3, started 2026-11-21 04:30:01 CET (cron's log)",
        );
    }

    #[test]
    fn within_its_grace_it_is_late_and_past_it_missed() {
        let yesterday = [("2026-11-20T03:30:01Z", None)];
        check(
            &yesterday,
            true,
            "2026-11-21T04:00:00Z",
            "WARNING job transfer: late, due 2026-11-21 04:30:00 CET; the last run started 2026-11-20 04:30:01 CET",
        );
        check(
            &yesterday,
            true,
            "2026-11-21T04:30:01Z",
            "CRITICAL job transfer: MISSED, due 2026-11-21 04:30:00 CET; the last run started 2026-11-20 04:30:01 CET",
        );
    }

    fn frequent(expectation: Expectation, last: &str, now: &str, expected: &str) {
        let job = JobSpec {
            name: ItemName::parse("often").unwrap_or_else(|error| panic!("{error}")),
            expectation,
            grace: HOUR / 4,
            evidence: JobEvidence::CronLog { command: "often.sh".to_owned(), user: None },
            accept_ran: true,
            usual: None,
            gives_up: None,
            marker: None,
            leaves: None,
        };
        let run_at_last = CronRun {
            at: utc(last),
            user: "root".into(),
            command: "often.sh".into(),
            pid: 1,
            failed_with: None,
            line: RemoteBytes::default(),
        };
        let reading = CronReading {
            zone: "UTC".to_owned(),
            evidence: Some("journal".into()),
            covers_from: Some(utc("2026-11-19T00:00:00Z")),
            runs: vec![run_at_last],
            ..CronReading::default()
        };
        run(job, &reading, now, expected);
    }

    #[test]
    fn a_job_of_each_minute_that_died_is_late_and_then_missed_and_never_ok_again() {
        let each_minute = || Expectation::Schedule("* * * * *".to_owned());
        let last = "2026-11-21T12:00:01Z";
        let ran = "OK job often: ran 2026-11-21 12:00:01 UTC (accepted without proof of its outcome)";
        frequent(each_minute(), last, "2026-11-21T12:02:30Z", ran);
        let late = "WARNING job often: late, due 2026-11-21 12:02:00 UTC; the last run started 2026-11-21 12:00:01 UTC";
        frequent(each_minute(), last, "2026-11-21T12:05:00Z", late);
        let missed =
            "CRITICAL job often: MISSED, due 2026-11-21 12:02:00 UTC; the last run started 2026-11-21 12:00:01 UTC";
        frequent(each_minute(), last, "2026-11-21T12:17:00Z", missed);
        frequent(each_minute(), last, "2026-11-21T18:00:30Z", missed);
    }

    #[test]
    fn a_period_counts_from_the_last_run_and_has_its_grace() {
        let each_half_hour = || Expectation::Every(HOUR / 2);
        let last = "2026-11-21T12:00:00Z";
        let late = "WARNING job often: late, due 2026-11-21 12:31:30 UTC; the last run started 2026-11-21 12:00:00 UTC";
        frequent(each_half_hour(), last, "2026-11-21T12:40:00Z", late);
        let missed =
            "CRITICAL job often: MISSED, due 2026-11-21 12:31:30 UTC; the last run started 2026-11-21 12:00:00 UTC";
        frequent(each_half_hour(), last, "2026-11-21T12:47:00Z", missed);
    }

    #[test]
    fn before_the_log_begins_there_is_no_evidence_and_no_accusation() {
        let job = JobSpec {
            name: ItemName::parse("monthly").unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Schedule("0 0 1 * *".to_owned()),
            grace: HOUR,
            evidence: JobEvidence::CronLog { command: "x".to_owned(), user: None },
            accept_ran: true,
            usual: None,
            gives_up: None,
            marker: None,
            leaves: None,
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
            "UNKNOWN job monthly: no evidence: no run is known, and the log begins 2026-11-19 00:00:00 UTC",
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
            usual: None,
            gives_up: None,
            marker: None,
            leaves: None,
        };
        let entry = CronEntry {
            source: "x.timer".into(),
            user: None,
            schedule: "timer".into(),
            command: "x.service".into(),
            next: None,
            last: Some(utc("2026-11-21T04:00:00Z")),
            unit: Some(UnitState { result: Some("success".into()), ..UnitState::default() }),
            told: None,
        };
        let reading = CronReading { zone: "UTC".to_owned(), entries: vec![entry], ..CronReading::default() };
        run(job, &reading, "2026-11-21T12:00:00Z", "OK job t: proven ok, started 2026-11-21 04:00:00 UTC (systemd)");
    }
}
