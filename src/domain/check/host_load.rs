//! `host.load`: the fifteen-minute load for each CPU, and the job that it came with.

use chrono::DateTime;
use chrono_tz::Tz;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::host::HostReading;
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::run::JobRun;
use crate::domain::time::words_exact;

/// Once is chance: a job is suspected when so many of its runs came with a load over the limit.
const TIMES_MIN: usize = 2;
/// Runs that are named.
const NAMED_MAX: usize = 4;
/// A run that began so long ago and has no record is not taken to be running.
const RUNNING_MS_MAX: i64 = 24 * 3_600_000;

pub fn check(reading: &HostReading, runs: &RunHistory, context: &Context) -> CheckResult {
    let id = CheckId::of(CheckKind::HostLoad);
    let per_cpu = reading.load_15 / f64::from(reading.cpus);
    let status = context.limit(&id, context.settings.load, per_cpu);
    let suspects = suspects(runs, reading, context.settings.load.warning);
    let reason = format!(
        "load {:.2} over 15 min on {} CPUs ({:.2} over 1 min){suspects}",
        reading.load_15, reading.cpus, reading.load_1
    );
    CheckResult::new(id, status, reason, Unit::PerCpu).value(per_cpu)
}

/// The jobs whose runs came with a load over the limit, the one that did so most often first.
fn suspects(runs: &RunHistory, reading: &HostReading, limit: f64) -> String {
    let mut suspects: Vec<(usize, String)> =
        runs.by_job().filter_map(|(job, past)| suspect(job, past, runs.zone, reading, limit)).collect();
    suspects.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
    suspects.into_iter().map(|(_, words)| format!("; {words}")).collect()
}

fn suspect(job: &str, runs: &[JobRun], zone: Tz, reading: &HostReading, limit: f64) -> Option<(usize, String)> {
    let measured = runs.iter().filter_map(|run| Some((run, f64::from(run.load_peak?))));
    let high: Vec<(&JobRun, f64)> = measured.clone().filter(|(_, peak)| limit <= *peak).collect();
    let all = measured.count();
    // What as often ran without it is not what it comes from.
    if high.len() < TIMES_MIN || high.len() * 2 <= all {
        return None;
    }
    let shown = |(run, peak): &(&JobRun, f64)| {
        let at = run.run.at.with_timezone(&zone).format("%a %-d %b %H:%M %Z");
        let cpu = run.proof.map_or(String::new(), |proof| cpu_words(proof.found.whole_cpu_ms));
        format!("{:.1} at {at}{cpu}", peak * f64::from(reading.cpus))
    };
    let newest: Vec<String> = high.iter().rev().take(NAMED_MAX).map(shown).collect();
    let runs_now = runs.last().is_some_and(|last| is_running(last, reading.clock_ms));
    let now = if runs_now { "it runs now, and " } else { "" };
    let words =
        format!("suspect {job}: {now}{} of its {all} runs were over the limit, load {}", high.len(), newest.join(", "));
    Some((high.len(), words))
}

/// ` (12 min of CPU)`, where it is worth a word.
fn cpu_words(cpu_ms: u64) -> String {
    if cpu_ms < 1_000 { String::new() } else { format!(" ({} of CPU)", words_exact(cpu_ms)) }
}

fn is_running(run: &JobRun, now_ms: i64) -> bool {
    let began = run.run.at;
    run.proof.is_none()
        && began <= DateTime::from_timestamp_millis(now_ms).unwrap_or_default()
        && now_ms - began.timestamp_millis() < RUNNING_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;
    use crate::domain::check::testing::NOTHING_KNOWN;
    use crate::domain::fleet::ItemName;
    use crate::domain::probe::accounting::{AccountingReading, RawRecord};
    use crate::domain::probe::cron::{CronReading, CronRun};
    use crate::domain::probe::host::Memory;
    use crate::domain::proof::acct::{tests::record, write};
    use crate::domain::settings::{Expectation, HOUR, JobEvidence, JobSpec, Settings};
    use crate::domain::time::at;

    const WEEK_S: u32 = 7 * 86_400;
    /// A Thursday, 04:30 in Berlin.
    const FIRST_S: u32 = 1_793_849_400;

    fn job(name: &str) -> JobSpec {
        JobSpec {
            name: ItemName::parse(name).unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Every(24 * HOUR),
            grace: HOUR,
            evidence: JobEvidence::CronLog { command: name.to_owned(), user: None },
            accept_ran: false,
            usual: None,
            gives_up: None,
            marker: None,
            leaves: None,
        }
    }

    /// A run of half an hour, with the load for each CPU that was read in the midst of it.
    fn run(history: &mut RunHistory, name: &str, begin_s: u32, load: f64) {
        let told = CronRun {
            at: DateTime::from_timestamp(i64::from(begin_s), 0).unwrap_or_default(),
            user: "root".into(),
            command: name.into(),
            pid: begin_s % 30_000,
            failed_with: None,
            line: RemoteBytes::default(),
        };
        let reading = CronReading { runs: vec![told], ..CronReading::default() };
        history.take_runs(&job(name), &reading);
        history.take_load(i64::from(begin_s) * 1_000 - 60_000, 0.1);
        history.take_load(i64::from(begin_s) * 1_000 + 900_000, load);
        let record = record("sh", begin_s % 30_000, begin_s, 1_800_000, 0);
        let records = vec![RawRecord { raw: write(&record), record, whole_cpu_ms: 0 }];
        history.take_records(&AccountingReading { records, ..AccountingReading::default() }, i64::MAX);
    }

    fn reason(history: &RunHistory) -> String {
        let reading = HostReading {
            clock_ms: i64::from(FIRST_S + 4 * WEEK_S) * 1_000,
            clock_is_fine: true,
            zone_offset_s: 3_600,
            load_1: 0.4,
            load_5: 0.4,
            load_15: 0.4,
            cpus: 4,
            uptime_s: 1,
            boot_id: "a".into(),
            memory: Memory::default(),
        };
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        super::check(&reading, history, &context).reason.to_string()
    }

    #[test]
    fn a_job_whose_runs_came_with_the_load_four_thursdays_is_the_suspect_and_a_harmless_one_is_not() {
        let mut history = RunHistory::whole();
        history.zone = Tz::Europe__Berlin;
        for week in 0..4 {
            run(&mut history, "backup-full", FIRST_S + week * WEEK_S, 2.0 + f64::from(week) / 4.0);
            run(&mut history, "report", FIRST_S + week * WEEK_S + 40_000, 0.5);
        }
        let expected = "load 0.40 over 15 min on 4 CPUs (0.40 over 1 min); suspect backup-full: 4 of its 4 runs were over \
                        the limit, load 11.0 at Thu 26 Nov 04:30 CET, 10.0 at Thu 19 Nov 04:30 CET, \
                        9.0 at Thu 12 Nov 04:30 CET, 8.0 at Thu 5 Nov 04:30 CET";
        assert_eq!(reason(&history), expected);
    }

    #[test]
    fn once_is_chance_and_a_job_that_mostly_runs_without_it_is_no_suspect() {
        let mut history = RunHistory::whole();
        run(&mut history, "once", FIRST_S, 3.0);
        for day in 0..6 {
            run(&mut history, "daily", FIRST_S + 50_000 + day * 86_400, if day < 2 { 3.0 } else { 0.2 });
        }
        assert_eq!(reason(&history), "load 0.40 over 15 min on 4 CPUs (0.40 over 1 min)");
    }
}
