//! `cron.job:NAME`: "ran" is not "succeeded", and what never ran is told before somebody asks.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::cron::{CronReading, timer_name};
use crate::domain::proof::due::{due_after, first_due};
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::verdict::Verdict;
use crate::domain::settings::{JobEvidence, JobSpec};
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// A timer's time and the beginning of its service's process lie this far apart at most.
const APART: Duration = Duration::minutes(5);
/// A run may be dated so far ahead of the host's clock, and of ours.
const FUTURE_MS_MAX: i64 = 600_000;
/// Past its due time a job is given this long before it counts as late, or two looks at cron's log and what syslog takes.
const PUNCTUAL: Duration = Duration::seconds(150);
const SYSLOG: Duration = Duration::seconds(30);

/// One result for each declared job.
pub fn check(reading: &CronReading, history: &mut RunHistory, context: &Context) -> Vec<CheckResult> {
    let zone: Tz = reading.zone.parse().unwrap_or(Tz::UTC);
    history.zone = zone;
    history.covers_from = [history.covers_from, reading.covers_from].into_iter().flatten().min();
    context.settings.jobs.iter().for_each(|job| history.take_runs(job, reading));
    context.settings.jobs.iter().map(|job| check_one(job, reading, history, zone, context)).collect()
}

/// A run of a job, whatever told of it.
struct LastRun {
    at: DateTime<Utc>,
    verdict: Verdict,
}

fn check_one(job: &JobSpec, reading: &CronReading, history: &RunHistory, zone: Tz, context: &Context) -> CheckResult {
    let now = context.now.utc();
    // What is due, and what cron's log is dated by, is by the host's clock.
    let host_now = now + Duration::milliseconds(history.skew_ms);
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
    let latest_ms = now.max(host_now).timestamp_millis();
    if let Some(last) = last.as_ref().filter(|last| latest_ms + FUTURE_MS_MAX < last.at.timestamp_millis()) {
        // Nothing would be due before it: a job that is dead would look well.
        let reason =
            format!("job {}: its last run is dated in the future, {}, which proves nothing", job.name, shown(last.at));
        return CheckResult::missing(id, reason, Unit::Seconds);
    }
    let covered_from = match job.evidence {
        JobEvidence::CronLog { .. } => history.covers_from,
        JobEvidence::Timer { .. } => None,
    };
    let due = match &last {
        Some(run) => due_after(&job.expectation, zone, run.at),
        None => covered_from.and_then(|from| first_due(&job.expectation, zone, from)),
    };
    let punctual = Duration::from_std(context.settings.cron_cadence).map_or(PUNCTUAL, |cadence| cadence * 2 + SYSLOG);
    let is_unmet = |due: &DateTime<Utc>| *due + punctual.min(PUNCTUAL) <= host_now;
    let unmet = due.filter(is_unmet);
    // systemd begins no second process of a service that still runs.
    let is_one_on = matches!(job.evidence, JobEvidence::Timer { .. })
        && last.as_ref().is_some_and(|last| last.verdict.is_running());
    let unmet = unmet.filter(|_| !is_one_on);
    let (mut unmet, mut unread) = (unmet, None);
    // It may have run while cron's log was not read: only what was due since can be told to be missing.
    while let Some((due, to)) = unmet.and_then(|due| Some((due, unread_at(job, history, due)?))) {
        unread = Some((due, to));
        unmet = first_due(&job.expectation, zone, to).filter(|next| due < *next).filter(is_unmet);
    }
    let grace = Duration::from_std(job.grace).unwrap_or(Duration::hours(1));
    match (unmet, last) {
        (Some(due), last) => {
            let (status, missing) = match host_now - due < grace {
                true => (Status::Warning, "late"),
                false => (Status::Critical, "MISSED"),
            };
            let told = last.as_ref().map(|run| (run.at, run.verdict.told(job.accept_ran, &shown(run.at), true)));
            let (status, before) = match told {
                None => (status, "no run is known".to_owned()),
                // That the next one does not come makes nothing of it better.
                Some((_, (Status::Critical, told))) => (Status::Critical, format!("the last one: {told}")),
                Some((at, _)) => (status, format!("the last run started {}", shown(at))),
            };
            let silent = history.log.silent_since(host_now).filter(|_| covered_from.is_some());
            let silent = silent.map_or(String::new(), |at| {
                format!("; cron's log has told of nothing since {}: does cron run, and where does it log?", shown(at))
            });
            result(status, format!("job {}: {missing}, due {}; {before}{silent}", job.name, shown(due)))
        }
        (None, Some(run)) => {
            let (status, told) = run.verdict.told(job.accept_ran, &shown(run.at), host_now - run.at < grace);
            if let Some((due, to)) = unread.filter(|_| status != Status::Critical) {
                let reason = format!(
                    "job {}: no evidence: due {}, and cron's log was not read whole before {}; the last run: {told}",
                    job.name,
                    shown(due),
                    shown(to)
                );
                return CheckResult::missing(id, reason, Unit::Seconds);
            }
            result(status, format!("job {}: {told}", job.name)).value((host_now - run.at).num_seconds().max(0) as f64)
        }
        (None, None) => {
            let from = covered_from.map_or(String::new(), |from| format!(", and the log begins {}", shown(from)));
            CheckResult::missing(id, format!("job {}: no evidence: no run is known{from}", job.name), Unit::Seconds)
        }
    }
}

/// Until when nothing is known of what was due then, where cron's log was not read.
fn unread_at(job: &JobSpec, history: &RunHistory, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match job.evidence {
        JobEvidence::CronLog { .. } => history.log.unread_at(due),
        JobEvidence::Timer { .. } => None,
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
    // What systemd forgot, as after a reboot, is known here still.
    let known = last_known(job, history, zone, now).filter(|known| {
        entry.last.is_none_or(|last| last <= known.at + APART) || state.is_some_and(|state| state.ran.is_some())
    });
    if known.is_some() {
        return Ok(known);
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
#[path = "cron_job_tests.rs"]
mod tests;
