#![no_main]
//! Log files and journals, polled twice so that cursors move. NUL bytes stand for the cuts.

use dogwatch::domain::probe::journal::{self, JournalCursors};
use dogwatch::domain::probe::logs::{self, LogCursors, Purpose};
use dogwatch::domain::probe::script::Answer;
use dogwatch::domain::settings::{LogWatch, Settings, built_in_rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    let limits = Settings::default().log;
    let rules = built_in_rules();
    let mut parts: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    let body = parts.pop().unwrap_or_default();
    let answer = Answer { body, parts, status: 0 };
    let (mut files, mut journals) = (LogCursors::default(), JournalCursors::default());
    for _ in 0..2 {
        let _ = logs::parse(&answer, &[LogWatch::Path("/l".to_owned())], Purpose::Count(&rules, &[]), &mut files);
        let _ = journal::parse(&answer, &[LogWatch::Journal(None)], Purpose::Count(&rules, &[]), limits, &mut journals);
    }
});
