#![no_main]
//! Tables, timers and logs of any make, and the history of runs that comes of them. The input's NUL bytes stand for the cuts between them.

use std::sync::LazyLock;

use chrono::DateTime;
use chrono_tz::Tz;
use dogwatch::domain::probe::cron;
use dogwatch::domain::fleet::ItemName;
use dogwatch::domain::probe::script::Answer;
use dogwatch::domain::proof::history::RunHistory;
use dogwatch::domain::proof::listed;
use dogwatch::domain::proof::marks::marks;
use dogwatch::domain::proof::verdict::Verdict;
use dogwatch::domain::settings::{Expectation, HOUR, JobEvidence, JobSpec};
use libfuzzer_sys::fuzz_target;

static JOB: LazyLock<JobSpec> = LazyLock::new(|| JobSpec {
    name: ItemName::parse("job").expect("a name"),
    expectation: Expectation::Every(HOUR),
    grace: HOUR,
    evidence: JobEvidence::CronLog { command: String::new(), user: None },
    accept_ran: false,
    usual: None,
    gives_up: None,
    marker: None,
    leaves: None,
});

fuzz_target!(|output: &[u8]| {
    let parts = output.split(|byte| *byte == 0).collect();
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a time of this century");
    let Ok(mut reading) = cron::parse(&Answer { body: b"", parts, status: 0 }, now, None) else { return };
    let mut history = RunHistory::default();
    for evidence in [
        JobEvidence::CronLog { command: String::new(), user: None },
        JobEvidence::Timer { unit: reading.entries.first().map_or(String::new(), |entry| entry.source.to_string()) },
    ] {
        let job = JobSpec { evidence, ..JOB.clone() };
        history.take_runs(&job, &reading);
        let _ = Verdict::of(&job, &history, Tz::Europe__Berlin, now).told(false, "then", true);
    }
    listed::tell(&mut history, &mut reading, &[JOB.clone()], now);
    let _ = marks(&history, std::slice::from_ref(&*JOB), now);
});
