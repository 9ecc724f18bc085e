#![no_main]
//! FAULTS.md 54: tables, timers and logs of any make. The input's NUL bytes stand for the cuts between them.

use chrono::DateTime;
use dogwatch::domain::probe::cron;
use dogwatch::domain::probe::script::Answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    let parts = output.split(|byte| *byte == 0).collect();
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a time of this century");
    let _ = cron::parse(&Answer { body: b"", parts, status: 0 }, now);
});
