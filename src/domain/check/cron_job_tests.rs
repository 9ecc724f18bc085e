use super::*;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::check::testing::NOTHING_KNOWN;
use crate::domain::fleet::ItemName;
use crate::domain::probe::cron::{CronEntry, CronRun};
use crate::domain::probe::timers::UnitState;
use crate::domain::settings::{Expectation, HOUR, Settings};
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
    assert_eq!(told(job, reading, now), expected);
}

fn told(job: JobSpec, reading: &CronReading, now: &str) -> String {
    told_of(job, reading, now, RunHistory::default())
}

fn told_of(job: JobSpec, reading: &CronReading, now: &str, mut history: RunHistory) -> String {
    let settings = Settings { jobs: vec![job], ..Settings::default() };
    let now = Moment { utc_ms: utc(now).timestamp_millis(), boot_ms: 0, origin: 1 };
    let context = Context { settings: &settings, now, memory: &NOTHING_KNOWN };
    let result = super::check(reading, &mut history, &context).remove(0);
    format!("{} {}", result.status, result.reason)
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

#[test]
fn that_the_next_run_does_not_come_makes_no_failure_better() {
    check(
        &[("2026-11-20T03:30:01Z", Some(3))],
        true,
        "2026-11-21T04:00:00Z",
        "CRITICAL job transfer: late, due 2026-11-21 04:30:00 CET; the last one: proven FAILED: exit status 3, started \
         2026-11-20 04:30:01 CET (cron's log)",
    );
}

/// A log that was cut, or rotated away within a minute: what ran then may have run.
#[test]
fn what_was_due_where_the_log_was_not_read_whole_is_not_told_to_be_missed() {
    let last = "2026-11-21T12:00:00Z";
    let told = |now: &str| {
        let mut history = RunHistory::default();
        let ms = |text: &str| utc(text).timestamp_millis();
        history.log.note_unread(ms("2026-11-21T12:59:00Z"), ms("2026-11-21T13:01:00Z"));
        history.log.note_unread(ms("2026-11-21T13:20:00Z"), ms("2026-11-21T13:21:00Z"));
        let (job, reading) = ran_once(Expectation::Schedule("0 * * * *".to_owned()), "UTC", last);
        told_of(job, &reading, now, history)
    };
    let expected = "UNKNOWN job often: no evidence: due 2026-11-21 13:00:00 UTC, and cron's log was not read whole before \
                    2026-11-21 13:01:00 UTC; the last run: ran 2026-11-21 12:00:00 UTC (accepted without proof of its outcome)";
    assert_eq!(told("2026-11-21T13:30:00Z"), expected);
    let later = told("2026-11-21T14:30:00Z");
    assert!(later.starts_with("CRITICAL job often: MISSED, due 2026-11-21 14:00:00 UTC"), "{later}");
}

/// What is due is due by the host's own clock, as far as it is from ours.
#[test]
fn a_host_whose_clock_is_behind_or_ahead_is_late_by_its_own() {
    let last = "2026-11-21T12:00:00Z";
    let told = |skew_minutes: i64, now: &str| {
        let mut history = RunHistory::default();
        history.skew_ms = skew_minutes * 60_000;
        let (job, reading) = ran_once(Expectation::Schedule("0 * * * *".to_owned()), "UTC", last);
        told_of(job, &reading, now, history)
    };
    // An hour later there, ten minutes before or after it here.
    assert!(told(-10, "2026-11-21T13:10:00Z").starts_with("OK"));
    assert!(told(-10, "2026-11-21T13:13:00Z").starts_with("WARNING job often: late, due 2026-11-21 13:00:00"));
    assert!(told(10, "2026-11-21T12:53:00Z").starts_with("WARNING job often: late, due 2026-11-21 13:00:00"));
}

/// The hour that does not exist, the hour that comes twice, and a day of four years.
#[test]
fn due_and_late_are_right_across_changes_of_the_clock_and_leap_days() {
    let at = |schedule: &str, last: &str, now: &str, expected: &str| {
        let zone = "Europe/Berlin";
        let told = scheduled(schedule, zone, last, now);
        assert!(told.starts_with(expected), "{schedule} after {last} at {now}: {told}");
    };
    // 02:30 is not there on 29 March: cron runs what it skipped at 03:00.
    let (night, spring) = ("2026-03-28T01:30:01Z", "2026-03-29T01:00:01Z");
    at("30 2 * * *", spring, "2026-03-29T12:00:00Z", "OK");
    at("30 2 * * *", night, "2026-03-29T01:00:30Z", "OK");
    at("30 2 * * *", spring, "2026-03-30T00:34:00Z", "WARNING job often: late, due 2026-03-30 02:30:00 CEST");
    at("30 2 * * *", spring, "2026-03-30T02:00:00Z", "CRITICAL job often: MISSED, due 2026-03-30 02:30:00 CEST");
    // 02:30 comes twice on 25 October: cron runs it once.
    let autumn = "2026-10-25T00:30:01Z";
    at("30 2 * * *", autumn, "2026-10-25T00:50:00Z", "OK");
    at("30 2 * * *", autumn, "2026-10-25T12:00:00Z", "OK");
    at("30 2 * * *", autumn, "2026-10-26T01:34:00Z", "WARNING job often: late, due 2026-10-26 02:30:00 CET");
    at("0 5 29 2 *", "2024-02-29T04:00:01Z", "2028-02-29T03:59:00Z", "OK");
    at("0 5 29 2 *", "2024-02-29T04:00:01Z", "2028-02-29T04:05:00Z", "WARNING job often: late, due 2028-02-29");
}

fn frequent(expectation: Expectation, last: &str, now: &str, expected: &str) {
    assert_eq!(ran_last(expectation, "UTC", last, now), expected);
}

fn scheduled(schedule: &str, zone: &str, last: &str, now: &str) -> String {
    ran_last(Expectation::Schedule(schedule.to_owned()), zone, last, now)
}

/// What is told at a time of a job that ran last then.
fn ran_last(expectation: Expectation, zone: &str, last: &str, now: &str) -> String {
    let (job, reading) = ran_once(expectation, zone, last);
    told(job, &reading, now)
}

/// A job, and a log of cron that tells of one run of it.
fn ran_once(expectation: Expectation, zone: &str, last: &str) -> (JobSpec, CronReading) {
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
        zone: zone.to_owned(),
        evidence: Some("journal".into()),
        covers_from: Some(utc("2026-11-19T00:00:00Z")),
        runs: vec![run_at_last],
        ..CronReading::default()
    };
    (job, reading)
}

#[test]
fn a_job_of_each_minute_that_died_is_late_and_then_missed_and_never_ok_again() {
    let each_minute = || Expectation::Schedule("* * * * *".to_owned());
    let last = "2026-11-21T12:00:01Z";
    let ran = "OK job often: ran 2026-11-21 12:00:01 UTC (accepted without proof of its outcome)";
    frequent(each_minute(), last, "2026-11-21T12:02:30Z", ran);
    let late = "WARNING job often: late, due 2026-11-21 12:01:00 UTC; the last run started 2026-11-21 12:00:01 UTC";
    frequent(each_minute(), last, "2026-11-21T12:05:00Z", late);
    let missed =
        "CRITICAL job often: MISSED, due 2026-11-21 12:01:00 UTC; the last run started 2026-11-21 12:00:01 UTC";
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
    let (job, reading) = timer("success", Expectation::Every(24 * HOUR));
    run(job, &reading, "2026-11-21T12:00:00Z", "OK job t: proven ok, started 2026-11-21 04:00:00 UTC (systemd)");
}

fn timer(result: &str, expectation: Expectation) -> (JobSpec, CronReading) {
    let job = JobSpec {
        name: ItemName::parse("t").unwrap_or_else(|error| panic!("{error}")),
        expectation,
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
        unit: Some(UnitState { result: Some(result.into()), ..UnitState::default() }),
        told: None,
        is_declared: false,
    };
    let reading = CronReading { zone: "UTC".to_owned(), entries: vec![entry], ..CronReading::default() };
    (job, reading)
}

/// systemd begins no second process of a service that still runs: nothing was missed.
#[test]
fn a_timer_whose_service_runs_past_its_next_time_is_overrun_and_not_missed() {
    let (job, mut reading) = timer("success", Expectation::Every(HOUR));
    reading.entries[0].unit = Some(UnitState { runs: true, ..UnitState::default() });
    let expected = "WARNING job t: OVERRUN: running since 2026-11-21 04:00:00 UTC, longer than its grace";
    run(job, &reading, "2026-11-21T08:00:00Z", expected);
}

#[test]
fn a_run_of_the_future_proves_nothing_and_hides_no_missed_one() {
    check(
        &[("2026-11-22T03:30:01Z", None)],
        true,
        "2026-11-21T12:00:00Z",
        "UNKNOWN job transfer: its last run is dated in the future, 2026-11-22 04:30:01 CET, which proves nothing",
    );
}
