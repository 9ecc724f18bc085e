use super::*;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::fleet::ItemName;
use crate::domain::probe::accounting::{AccountingReading, RawRecord};
use crate::domain::probe::cron::{CronFailure, CronReading, CronRun};
use crate::domain::proof::acct::{tests::record, write};
use crate::domain::proof::marks::marks;
use crate::domain::proof::run::Lacks;
use crate::domain::proof::word::{SeenArchives, Word};
use crate::domain::settings::{HOUR, JobEvidence, Marker};

const BEGAN_S: u32 = 1_790_000_000;
/// When the newest record ended, and when the verdict is asked for.
const READ_S: u32 = BEGAN_S + 60;
const NOW_MS: i64 = (READ_S as i64 + 1) * 1_000;

fn job() -> JobSpec {
    JobSpec {
        name: ItemName::parse("transfer").unwrap_or_else(|error| panic!("{error}")),
        expectation: Expectation::Every(24 * HOUR),
        grace: HOUR,
        evidence: JobEvidence::CronLog { command: "transfer".to_owned(), user: None },
        accept_ran: false,
        usual: None,
        gives_up: None,
        marker: None,
        leaves: None,
    }
}

/// A run of it, as cron's log tells of one.
fn began(at_s: u32, pid: u32) -> CronRun {
    CronRun {
        at: DateTime::from_timestamp(i64::from(at_s), 0).unwrap_or_default(),
        user: "root".into(),
        command: "transfer".into(),
        pid,
        failed_with: None,
        line: RemoteBytes::default(),
    }
}

/// Accounting that is on, read up to now, and without a gap since before the run.
fn healthy() -> AccountingReading {
    AccountingReading {
        path: Some("/var/log/account/pacct".into()),
        grew: Some(true),
        unbroken_from_s: Some(BEGAN_S - 60),
        newest_s: Some(READ_S),
        ..AccountingReading::default()
    }
}

/// The verdict of a run that has no record, by an accounting that is as this makes it.
fn of(change: impl Fn(&mut AccountingReading), with: impl Fn(&mut RunHistory)) -> (Status, String) {
    of_job(&job(), NOW_MS, change, with)
}

fn of_job(
    job: &JobSpec,
    now_ms: i64,
    change: impl Fn(&mut AccountingReading),
    with: impl Fn(&mut RunHistory),
) -> (Status, String) {
    let run = began(BEGAN_S, 77);
    let reading = CronReading { runs: vec![run], ..CronReading::default() };
    of_runs(job, now_ms, |history| history.take_runs(job, &reading), change, with)
}

/// The same of runs that `begin` puts into the history, before accounting is read.
fn of_runs(
    job: &JobSpec,
    now_ms: i64,
    begin: impl Fn(&mut RunHistory),
    change: impl Fn(&mut AccountingReading),
    with: impl Fn(&mut RunHistory),
) -> (Status, String) {
    let mut history = RunHistory::default();
    begin(&mut history);
    let mut reading = healthy();
    change(&mut reading);
    history.take_records(&reading, now_ms + 1);
    with(&mut history);
    let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    Verdict::of(job, &history, Tz::UTC, now).told(false, "then", true)
}

fn check((status, told): (Status, String), expected: Status, words: &str) {
    assert!(status == expected && told.contains(words), "{status}: {told}");
}

#[test]
fn only_an_accounting_that_would_show_the_end_proves_that_a_run_still_runs() {
    let same = |_: &mut RunHistory| {};
    check(of(|_| {}, same), Status::Ok, "running since then");
    for (change, words) in [
        (
            Box::new(|reading: &mut AccountingReading| reading.path = None) as Box<dyn Fn(&mut AccountingReading)>,
            "is off",
        ),
        (Box::new(|reading| (reading.is_denied, reading.grew) = (true, None)), "may not read"),
        (Box::new(|reading| reading.grew = Some(false)), "nothing is written"),
        (Box::new(|reading| reading.behind_bytes = 1), "still being read"),
        (Box::new(|reading| reading.unbroken_from_s = None), "has no record of it"),
        (
            Box::new(|reading| reading.unbroken_from_s = Some(BEGAN_S + 60)),
            "has no record of it, nor is it without a gap before Mon 21 Sep 14:14 UTC",
        ),
    ] {
        check(of(change, same), Status::Unknown, words);
    }
    // What just began is waited for; then something must have ended since.
    let nothing_newer = |reading: &mut AccountingReading| reading.newest_s = Some(BEGAN_S);
    check(of(nothing_newer, same), Status::Ok, "running since then");
    check(of_job(&job(), NOW_MS + 60_000, nothing_newer, same), Status::Unknown, "has no record of it");
}

#[test]
fn what_was_read_long_ago_and_what_ran_before_a_reboot_prove_nothing() {
    let old = |history: &mut RunHistory| {
        if let Some(accounting) = &mut history.accounting {
            accounting.fresh_until_ms = NOW_MS - 1;
        }
    };
    check(of(|_| {}, old), Status::Unknown, "could not be read lately");
    let rebooted = |history: &mut RunHistory| history.booted_ms = Some(i64::from(BEGAN_S) * 1_000 + 1);
    check(of(|_| {}, rebooted), Status::Unknown, "the host was started since");
}

fn ended(pid: u32, elapsed_ms: u64, status: u32) -> RawRecord {
    let record = record("sh", pid, BEGAN_S, elapsed_ms, status);
    RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }
}

#[test]
fn two_records_that_differ_prove_nothing_and_two_that_agree_say_so() {
    let same = |_: &mut RunHistory| {};
    let with = |status| {
        move |reading: &mut AccountingReading| {
            reading.records = vec![ended(77, 100, 0), ended(77, 200, status)];
        }
    };
    check(of(with(0x100), same), Status::Unknown, "2 records of accounting fit it, and they differ");
    check(of(with(0), same), Status::Ok, "accounting, 2 records fit and tell the same");
}

#[test]
fn a_process_of_its_number_that_began_at_another_time_contradicts_a_running_one() {
    let other = |reading: &mut AccountingReading| {
        let record = record("sh", 77, BEGAN_S + 30, 1_000, 0);
        reading.records = vec![RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }];
    };
    check(of(other, |_| {}), Status::Unknown, "began at another time, or as another user, than cron's log says");
}

/// The verdict of a run by these witnesses: its record's status, its own log's line, and the archive that it left, each
/// looked for long after its end.
fn by(record: Option<u32>, word: Option<(bool, &str)>, archive: Option<&str>) -> (Status, String) {
    by_accounting(true, record, word, archive)
}

fn without_accounting(word: (bool, &str), archive: &str) -> (Status, String) {
    by_accounting(false, None, Some(word), Some(archive))
}

fn by_accounting(
    is_there: bool,
    record: Option<u32>,
    word: Option<(bool, &str)>,
    archive: Option<&str>,
) -> (Status, String) {
    let marker = Marker { log: "/l".to_owned(), done: regex::bytes::Regex::new("done").ok(), failed: None };
    let job = JobSpec { marker: Some(marker), leaves: Some("nightly".to_owned()), ..job() };
    let begin_ms = i64::from(BEGAN_S) * 1_000;
    let now_ms = begin_ms + 600_000;
    of_job(
        &job,
        now_ms,
        |reading| {
            reading.records = record.map(|status| ended(77, 30_000, status)).into_iter().collect();
            reading.newest_s = Some(BEGAN_S + 600);
            reading.path = reading.path.take().filter(|_| is_there);
        },
        |history| {
            history.log.known_to_ms = now_ms;
            let at_ms = begin_ms + 29_000;
            let word = word.map(|(is_ok, text)| Word {
                by: Speaker::OwnLog,
                is_ok,
                from_ms: at_ms,
                at_ms,
                took_ms: None,
                text: text.into(),
            });
            history.take_words(&job, word.into_iter().collect(), Some(begin_ms - 60_000), now_ms);
            let archives = archive.map(|name| (at_ms, name.into())).into_iter().collect();
            history.take_archives("nightly", SeenArchives::new(archives, now_ms), std::slice::from_ref(&job));
        },
    )
}

#[test]
fn its_own_log_and_the_archive_that_it_left_are_witnesses() {
    check(by(Some(0), Some((true, "done")), Some("a.tar")), Status::Ok, "proven ok, took 30 s");
    let all = "(cron's log, accounting, its own log, a new archive, a.tar)";
    check(by(Some(0), Some((true, "done")), Some("a.tar")), Status::Ok, all);
    check(without_accounting((true, "done"), "a.tar"), Status::Ok, "(cron's log, its own log, a new archive, a.tar)");
}

#[test]
fn a_witness_of_failure_is_believed_against_one_of_success() {
    let gave_up = by(Some(0), Some((false, "gave up")), Some("a.tar"));
    check(gave_up, Status::Critical, "proven FAILED: «gave up», though its record says 0, took 30 s");
    check(by(Some(0x300), Some((true, "done")), Some("a.tar")), Status::Critical, "proven FAILED: exit status 3");
    check(without_accounting((false, "gave up"), "a.tar"), Status::Critical, "proven FAILED: «gave up»");
}

/// A word waits until every run that may have said it is known.
#[test]
fn a_word_of_failure_that_waits_keeps_a_run_from_being_proven_ok_and_one_of_success_proves_nothing_yet() {
    let told = |is_ok: bool, second: i64| {
        let marker = Marker { log: "/l".to_owned(), done: None, failed: regex::bytes::Regex::new("gave up").ok() };
        let job = JobSpec { marker: Some(marker), ..job() };
        let begin_ms = i64::from(BEGAN_S) * 1_000;
        let at_ms = begin_ms + second * 1_000;
        let word = Word { by: Speaker::OwnLog, is_ok, from_ms: at_ms, at_ms, took_ms: None, text: "gave up".into() };
        let record = |reading: &mut AccountingReading| reading.records = vec![ended(77, 30_000, 0)];
        of_job(&job, NOW_MS, record, |history| {
            history.log.known_to_ms = begin_ms;
            history.take_words(&job, vec![word.clone()], Some(begin_ms - 60_000), NOW_MS);
        })
    };
    check(told(false, 29), Status::Critical, "proven FAILED: «gave up», though its record says 0");
    check(told(true, 29), Status::Ok, "proven ok, took 30 s, started then (cron's log, accounting)");
    // Long after its end it is nobody's yet.
    check(told(false, 120), Status::Ok, "proven ok");
}

#[test]
fn exit_status_0_without_the_archive_that_it_should_leave_is_a_failure_and_a_silent_log_is_odd() {
    let none = by(Some(0), Some((true, "done")), None);
    check(none, Status::Critical, "proven FAILED: no new archive in nightly, though its exit status is 0");
    let silent = by(Some(0), None, Some("a.tar"));
    check(silent, Status::Warning, "proven ok, but its own log does not say so, took 30 s");
}

#[test]
fn whatever_it_said_or_left_what_accounting_would_show_runs_still() {
    check(by(None, Some((true, "done")), Some("a.tar")), Status::Ok, "running since then; its own log says «done»");
    check(
        by(None, Some((false, "ERROR: trying again")), None),
        Status::Ok,
        "running since then; its own log says «ERROR",
    );
}

#[test]
fn an_exit_status_that_systemd_takes_for_success_is_none_of_failure() {
    let job = JobSpec { evidence: JobEvidence::Timer { unit: "x".to_owned() }, ..job() };
    let begun = |is_ok| {
        let word =
            Word { by: Speaker::Systemd, is_ok, from_ms: 0, at_ms: 0, took_ms: Some(100), text: "exit-code".into() };
        let run = CronRun { user: "".into(), command: "x.service".into(), ..began(BEGAN_S, 77) };
        let record = |reading: &mut AccountingReading| reading.records = vec![ended(77, 100, 0x200)];
        of_runs(
            &job,
            NOW_MS,
            |history| {
                history.restore("transfer", vec![JobRun { words: vec![word.clone()], ..JobRun::begun(run.clone()) }])
            },
            record,
            |_| {},
        )
    };
    check(begun(true), Status::Ok, "proven ok, took 0.1 s, started then (systemd, accounting)");
    check(begun(false), Status::Critical, "proven FAILED: exit status 2");
}

/// What accounting told before was read by an engine that is no more: only what it kept is known.
#[test]
fn after_a_restart_only_a_run_that_was_kept_is_told_to_run_still() {
    let later = |reading: &mut AccountingReading| reading.read_from_s = Some(BEGAN_S + 30);
    check(of(later, |_| {}), Status::Unknown, "accounting has no record of it");
    let kept = |history: &mut RunHistory| {
        let runs = history.runs(&job()).iter().map(|run| JobRun { is_kept: true, ..run.clone() }).collect();
        let accounting = history.accounting.clone();
        *history = RunHistory::default();
        history.accounting = accounting;
        history.restore("transfer", runs);
    };
    check(of(later, kept), Status::Ok, "running since then");
}

#[test]
fn what_a_set_was_not_seen_for_is_awaited_and_then_unknown_and_a_lack_is_kept() {
    let job = JobSpec { leaves: Some("nightly".to_owned()), ..job() };
    let record = |reading: &mut AccountingReading| {
        reading.records = vec![ended(77, 30_000, 0)];
        reading.newest_s = Some(BEGAN_S + 40);
    };
    let end_ms = i64::from(BEGAN_S) * 1_000 + 30_000;
    let awaited = of_job(&job, end_ms + 60_000, record, |_| {});
    check(
        awaited,
        Status::Ok,
        "ended well, took 30 s, started then (cron's log, accounting); its archive in nightly is",
    );
    let unseen = of_job(&job, end_ms + 3_600_000, record, |_| {});
    check(unseen, Status::Unknown, "but nightly was not seen since");
    // An engine that begins again has not seen the set yet.
    let kept = of_job(&job, end_ms + 60_000, record, |history| {
        let lacks = Lacks { archive: true, word: false };
        let runs = history.runs(&job).iter().map(|run| JobRun { lacks, ..run.clone() }).collect();
        let accounting = history.accounting.clone();
        *history = RunHistory::default();
        history.accounting = accounting;
        history.restore(job.name.as_str(), runs);
    });
    check(kept, Status::Critical, "proven FAILED: no new archive in nightly");
}

#[test]
fn a_failure_that_was_proven_is_told_beside_a_run_of_which_nobody_knows() {
    let run = |hours_ago: u32, failed_with| CronRun { failed_with, ..began(BEGAN_S - hours_ago * 3_600, 77) };
    let runs = vec![run(24, Some(3)), run(0, None)];
    let reading = CronReading { runs, ..CronReading::default() };
    let off = |reading: &mut AccountingReading| reading.path = None;
    let told = of_runs(&job(), NOW_MS, |history| history.take_runs(&job(), &reading), off, |_| {});
    check(told, Status::Unknown, "; the last one that is proven FAILED, 2026-09-20 14:13:20 UTC");
}

/// A timer's run by what its look says of it.
fn timed(change: impl Fn(&mut JobRun), record: Option<u32>) -> (Status, String) {
    let job = JobSpec { evidence: JobEvidence::Timer { unit: "x".to_owned() }, ..job() };
    let run = CronRun { user: "".into(), command: "x.service".into(), ..began(BEGAN_S, 77) };
    let mut timed = JobRun::begun(run);
    change(&mut timed);
    let begin = |history: &mut RunHistory| history.restore("transfer", vec![timed.clone()]);
    let records = |reading: &mut AccountingReading| {
        reading.records = record.map(|status| ended(77, 100, status)).into_iter().collect();
    };
    of_runs(&job, NOW_MS, begin, records, |_| {})
}

fn word(by: Speaker, is_ok: bool) -> Word {
    Word { by, is_ok, from_ms: 0, at_ms: 0, took_ms: None, text: "done".into() }
}

#[test]
fn what_systemd_says_runs_still_runs_whatever_it_said_or_left_and_whichever_process_ended() {
    let left = |run: &mut JobRun| {
        run.runs_now = true;
        run.words = vec![word(Speaker::OwnLog, true)];
        run.archive = Some("a.tar".into());
    };
    check(timed(left, None), Status::Ok, "running since then");
    check(timed(|run| run.runs_now = true, Some(0x100)), Status::Ok, "running since then");
    check(timed(|_| {}, Some(0x100)), Status::Critical, "proven FAILED: exit status 1");
}

#[test]
fn a_signal_that_systemd_takes_for_a_success_is_none_of_failure() {
    let stopped = |is_ok| move |run: &mut JobRun| run.words = vec![word(Speaker::Systemd, is_ok)];
    check(timed(stopped(true), Some(15)), Status::Ok, "proven ok");
    check(timed(stopped(false), Some(15)), Status::Critical, "proven FAILED: killed by signal 15");
}

/// A record of its number contradicts it for good, not for as long as that is remembered.
#[test]
fn what_was_contradicted_or_never_looked_for_is_never_told_to_run() {
    let contradicted = |history: &mut RunHistory| {
        let other = record("sh", 77, BEGAN_S + 30, 1_000, 0);
        let raw = RawRecord { raw: write(&other), record: other, whole_cpu_ms: 0 };
        history.take_records(&AccountingReading { records: vec![raw], ..healthy() }, NOW_MS + 1);
        for minute in 1..30 {
            let later = record("ls", 900 + minute, READ_S + 60 * minute, 0, 0);
            let raw = RawRecord { raw: write(&later), record: later, whole_cpu_ms: 0 };
            history.take_records(&AccountingReading { records: vec![raw], ..healthy() }, NOW_MS + 1);
        }
    };
    check(of(|_| {}, contradicted), Status::Unknown, "began at another time, or as another user, than cron's log says");
    // It is told of once its record, if there was one, is remembered no more.
    let told_late = |history: &mut RunHistory| {
        for minute in 0..30 {
            let other = record("ls", 900 + minute, BEGAN_S + 60 * minute, 0, 0);
            let raw = RawRecord { raw: write(&other), record: other, whole_cpu_ms: 0 };
            history.take_records(&AccountingReading { records: vec![raw], ..healthy() }, i64::MAX);
        }
        let run = history.meet(JobRun::begun(began(BEGAN_S, 77)));
        assert!(!run.is_searched);
    };
    of(|_| {}, told_late);
}

/// What a screen shows of the runs of a job: here of five that took 40 s, one that took none, and one that runs.
#[test]
fn a_mark_tells_of_a_run_that_goes_on_and_of_one_that_took_another_time_than_usual() {
    let day_s = |day: u32| BEGAN_S - day * 86_400;
    let run = |day: u32| began(day_s(day), 77 + day);
    let mut history = RunHistory::default();
    history.take_runs(&job(), &CronReading { runs: (0..7).rev().map(run).collect(), ..CronReading::default() });
    let raw = |day: u32| {
        let record = record("sh", 77 + day, day_s(day), if day == 1 { 10 } else { 40_000 }, 0);
        RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }
    };
    let reading = AccountingReading {
        records: (1..7).rev().map(raw).collect(),
        unbroken_from_s: Some(day_s(7)),
        read_from_s: Some(day_s(7)),
        ..healthy()
    };
    history.take_records(&reading, NOW_MS + 1);
    let now = DateTime::from_timestamp_millis(NOW_MS).unwrap_or_default();
    let marks = marks(&history, &[job()], now).remove("transfer").unwrap_or_default();
    let shown: Vec<(bool, Option<Odd>)> = marks.iter().map(|mark| (mark.runs, mark.odd)).collect();
    let usual = [(false, None); 5];
    assert_eq!(shown, [usual.as_slice(), &[(false, Some(Odd::TooShort)), (true, None)]].concat());
}

#[test]
fn a_run_beside_one_before_it_that_still_runs_is_a_warning_while_both_run() {
    let both = CronReading { runs: vec![began(BEGAN_S - 30, 76), began(BEGAN_S, 77)], ..CronReading::default() };
    let reads = |reading: &mut AccountingReading| reading.read_from_s = Some(BEGAN_S - 60);
    let told = of_runs(&job(), NOW_MS, |history| history.take_runs(&job(), &both), reads, |_| {});
    check(told, Status::Warning, "running since then, but the run of 2026-09-21 14:12:50 UTC still runs");
}

#[test]
fn a_failure_that_was_proven_stays_until_the_next_run_is_decided() {
    let job = JobSpec { leaves: Some("nightly".to_owned()), ..job() };
    let runs = vec![CronRun { failed_with: Some(3), ..began(BEGAN_S - 86_400, 70) }, began(BEGAN_S, 77)];
    let both = CronReading { runs, ..CronReading::default() };
    let record = |reading: &mut AccountingReading| reading.records = vec![ended(77, 30_000, 0)];
    let told = of_runs(&job, NOW_MS, |history| history.take_runs(&job, &both), record, |_| {});
    check(told, Status::Critical, "the run of 2026-09-20 14:13:20 UTC is proven FAILED; since then one ended well");
}

#[test]
fn a_failure_that_cron_tells_long_after_the_beginning_is_the_run_s_and_stays() {
    let failure = CronFailure { at: began(BEGAN_S + 40, 77).at, pid: 77, status: 3 };
    let told_later = CronReading { failures: vec![failure], ..CronReading::default() };
    let begun = CronReading { runs: vec![began(BEGAN_S, 77)], ..CronReading::default() };
    let off = |reading: &mut AccountingReading| reading.path = None;
    let take = |history: &mut RunHistory| {
        [&begun, &told_later, &begun].into_iter().for_each(|reading| history.take_runs(&job(), reading));
    };
    let told = of_runs(&job(), NOW_MS, take, off, |_| {});
    check(told, Status::Critical, "proven FAILED: exit status 3, started then (cron's log)");
}

#[test]
fn the_next_run_s_beginning_mends_no_failure() {
    let runs = vec![CronRun { failed_with: Some(3), ..began(BEGAN_S - 86_400, 70) }, began(BEGAN_S, 77)];
    let both = CronReading { runs, ..CronReading::default() };
    let reads = |reading: &mut AccountingReading| reading.read_from_s = Some(BEGAN_S - 60);
    let told = of_runs(&job(), NOW_MS, |history| history.take_runs(&job(), &both), reads, |_| {});
    check(told, Status::Critical, "the run of 2026-09-20 14:13:20 UTC is proven FAILED; running since then");
}

#[test]
fn a_run_tells_how_often_its_job_was_due_before_it_and_not_seen() {
    let mut history = RunHistory::default();
    let runs = [6, 5, 4, 1, 0].map(|day| began(BEGAN_S - day * 86_400, 70 + day)).to_vec();
    history.take_runs(&job(), &CronReading { runs, ..CronReading::default() });
    let now = DateTime::from_timestamp_millis(NOW_MS).unwrap_or_default();
    let marks = marks(&history, &[job()], now).remove("transfer").unwrap_or_default();
    assert_eq!(marks.iter().map(|mark| mark.unseen_before).collect::<Vec<u32>>(), [0, 0, 0, 2, 0]);
}
