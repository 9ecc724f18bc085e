//! What a lane remembers between polls.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::probe::ProbeId;
use crate::domain::probe::accounting::{AcctCursor, AcctMemory};
use crate::domain::probe::cron::CronLogCursor;
use crate::domain::probe::disk::SlowMount;
use crate::domain::probe::journal::JournalCursors;
use crate::domain::probe::logs::LogCursors;
use crate::domain::probe::script::ShellId;
use crate::domain::settings::{Expectation, HOUR, Settings};
use crate::domain::time::Moment;

/// Runs are looked for this far back at least, and at most.
const LOOK_BACK_MIN: Duration = Duration::from_secs(26 * HOUR.as_secs());
const LOOK_BACK_MAX: Duration = Duration::from_secs(32 * 24 * HOUR.as_secs());

/// Where reading goes on; kept in the store, so that a restart reads no line twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursors {
    pub logs: LogCursors,
    pub journal: JournalCursors,
    pub accounting: AcctCursor,
}

#[derive(Default)]
pub struct LaneMemory {
    /// Shared with the engine, and copied only when a reading moves them.
    pub cursors: Rc<Cursors>,
    /// Whether cron's logs were read once.
    pub has_read_runs: bool,
    pub cron_log: CronLogCursor,
    /// Files that the host's tables begin, as the poll before found them.
    pub cron_scripts: Vec<String>,
    pub accounting: AcctMemory,
    /// Entries of a journal that are told at the first look, where that is not just the newest.
    pub journal_entries_first: u32,
    pub mounts: Vec<SlowMount>,
    /// The shells of probes that passed their deadline, and may still run on the host.
    pub running: HashMap<ProbeId, ShellId>,
}

/// From when on runs of jobs are wanted at first: as far back as the longest expectation asks.
pub fn runs_wanted_from_s(settings: &Settings, now: Moment) -> i64 {
    let wanted = settings.jobs.iter().map(|job| match &job.expectation {
        Expectation::Every(period) => period.saturating_add(job.grace),
        Expectation::Schedule(_) => LOOK_BACK_MAX,
    });
    let look_back = wanted.max().unwrap_or(LOOK_BACK_MIN).clamp(LOOK_BACK_MIN, LOOK_BACK_MAX);
    now.utc_ms / 1_000 - i64::try_from(look_back.as_secs()).unwrap_or(0)
}
