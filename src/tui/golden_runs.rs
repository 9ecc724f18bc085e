//! Golden frames of a job's runs and of what ran at a time.

use std::sync::Arc;

use super::frame_of;
use super::golden::{NOW, SIZES, golden, host, model};
use super::model::{Model, View};
use super::panes::ran::Asked;
use super::picture::{Format, picture};
use super::theme::colour::Tier;
use super::theme::file::Themes;
use super::theme::glyphs::Glyphs;
use super::when::When;
use crate::domain::probe::accounting::{AccountingReading, RunEnd, RunMark};
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::proof::acct::Ended;
use crate::domain::proof::join::Certainty;
use crate::domain::proof::ran::{Ran, RanRow};
use crate::domain::proof::usual::Odd;
use crate::domain::proof::word::Speaker;
use crate::domain::time::at;
use crate::domain::transition::{Batch, Input, Observation, Seen};
use crate::engine::ran::RanThen;

const JOB: &str = "nightly-transfer";
const DAY_S: i64 = 86_400;

/// A night of each kind, the newest last.
fn runs() -> Vec<RunMark> {
    let ok = |took_ms: u64| RunMark {
        took_ms: Some(took_ms),
        is_ok: Some(true),
        end: Some(RunEnd::Exited(0)),
        cpu_ms: Some(took_ms / 10),
        load_hundredths: Some(140),
        by_record: Some(Certainty::ByPid),
        ..RunMark::default()
    };
    let failed = |end| RunMark { is_ok: Some(false), end: Some(end), ..ok(600_200) };
    let own_log = vec![Speaker::OwnLog];
    let nights = vec![
        ok(45_000),
        RunMark { by_words: own_log.clone(), left_archive: true, ..ok(47_000) },
        RunMark::default(),
        failed(RunEnd::Killed { signal: 9, core: true }),
        RunMark { by_words: own_log, ..failed(RunEnd::Told("partner gave up".into())) },
        RunMark { is_ok: None, by_record: Some(Certainty::Differ(2)), ..ok(44_000) },
        failed(RunEnd::Exited(3)),
        RunMark { odd: Some(Odd::TooLong), unseen_before: 2, ..ok(480_000) },
        RunMark { runs: true, ..RunMark::default() },
    ];
    let count = nights.len() as i64;
    let at_s = |night: i64| u32::try_from(at(0).utc_ms / 1_000 - (count - night) * DAY_S).unwrap_or(0);
    nights.into_iter().zip(0..).map(|(run, night)| RunMark { at_s: at_s(night), ..run }).collect()
}

fn job() -> Model {
    let mut model = model(View::Job(host("db1"), JOB.into()));
    let reading = AccountingReading { runs: [(JOB.to_owned(), runs())].into(), ..AccountingReading::default() };
    let seen = Seen::Reading { reading: Arc::new(Reading::Accounting(reading)), results: Vec::new() };
    let observation = Observation { probe: ProbeId::Accounting, fresh_for_ms: 60_000, seen };
    let observations = vec![Arc::new(observation)];
    model.apply(&Input::Batch(Batch { host: host("db1"), at: at(NOW - 3), observations, cost: None }));
    model.sort();
    model
}

fn ran() -> Model {
    let mut model = model(View::Ran);
    let row = |command: &str, second: i64, took_ms: u64, cpu_ms: u64, end: Ended| RanRow {
        begin: at(second).utc(),
        took_ms: Some(took_ms),
        cpu_ms,
        user: "root".into(),
        terminal: String::new(),
        command: command.into(),
        end: Some(end),
        pid: 4_242,
        of_job: None,
        like_own_poll: false,
    };
    let job = Some("/usr/local/sbin/full-backup --all".into());
    let rows = vec![
        RanRow {
            took_ms: None,
            end: None,
            of_job: job.clone(),
            ..row("/usr/local/sbin/report", 9, 0, 0, Ended::Exited(0))
        },
        RanRow { of_job: job.clone(), ..row("sh", 1, 3_120_000, 2_460_000, Ended::Exited(2)) },
        RanRow { of_job: job, ..row("tar", 2, 3_000_000, 2_400_000, Ended::Killed { signal: 15, core: false }) },
        RanRow { terminal: "pts/3".to_owned(), user: "anna".into(), ..row("rm", 60, 100, 20, Ended::Exited(0)) },
        RanRow { like_own_poll: true, ..row("sh", 61, 90, 30, Ended::Exited(113)) },
    ];
    let then = RanThen {
        ran: Ran { rows, left_out: 0 },
        zone: chrono_tz::Tz::Europe__Berlin,
        records: 4,
        lacks: vec!["/var/log/syslog may not be read by this login".into()],
    };
    let when = When { from: at(-300).utc(), to: at(300).utc() };
    model.ran = Some((host("db1"), Asked { when, answer: Some(Ok(then)) }));
    model.row = 1;
    model
}

#[test]
fn a_job_and_what_ran_at_a_time_look_as_they_did() {
    let dark = Themes::default().load("dark").unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
    let ascii = Themes::default().load("mono").unwrap_or_else(|error| panic!("{error}")).in_glyphs(Glyphs::Ascii);
    for (name, build) in [("job", job as fn() -> Model), ("ran", ran)] {
        for (columns, rows) in SIZES {
            let frame = golden(&frame_of(&mut build(), &dark, columns, rows));
            insta::assert_snapshot!(format!("{name}-{columns}x{rows}-dark"), frame);
        }
        let shown = picture(&frame_of(&mut build(), &ascii, 120, 35), Format::Text);
        assert!(shown.is_ascii(), "{name}: {shown}");
    }
}

#[test]
fn no_size_makes_a_job_or_what_ran_panic() {
    let theme = Themes::default().load("dark").unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
    for (columns, rows) in (1..60).zip((1..60).rev()).chain([(1, 1), (300, 3), (3, 300)]) {
        for mut model in [job(), ran()] {
            frame_of(&mut model, &theme, columns, rows);
        }
    }
}
