//! Whether a run runs still, by whoever can tell: systemd of a timer's, and accounting of all else.

use chrono::{DateTime, Utc};

use super::history::RunHistory;
use super::run::JobRun;
use crate::domain::settings::JobEvidence;

/// So long after its beginning a run is new: accounting is read each minute.
const NEW_MS: i64 = 90_000;

/// Who began a run, and tells of its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BegunBy {
    Cron,
    Timer,
}

impl BegunBy {
    pub fn of(evidence: &JobEvidence) -> Self {
        match evidence {
            JobEvidence::CronLog { .. } => BegunBy::Cron,
            JobEvidence::Timer { .. } => BegunBy::Timer,
        }
    }
}

/// Whether a run runs still, whatever was said or left meanwhile.
pub fn runs_still(run: &JobRun, begun_by: BegunBy, history: &RunHistory, now: DateTime<Utc>) -> bool {
    match begun_by {
        BegunBy::Timer => run.runs_now,
        BegunBy::Cron => run.proof.is_none() && run.run.failed_with.is_none() && has_no_end(run, history, now),
    }
}

/// Whether accounting would show its end, and does not.
fn has_no_end(run: &JobRun, history: &RunHistory, now: DateTime<Utc>) -> bool {
    let Some(accounting) = &history.accounting else { return false };
    let (now_ms, at, is_kept) = (now.timestamp_millis(), run.run.at, run.is_kept);
    // Of one that just began accounting may have nothing newer to tell yet.
    let is_new = now_ms - run.begin_ms() < NEW_MS;
    let would_show = accounting.would_show(at, is_kept) || is_new && accounting.covers(at, is_kept);
    let is_here = history.booted_ms.is_none_or(|booted| booted <= run.begin_ms());
    let is_known = run.is_searched && !run.is_contradicted;
    now_ms <= accounting.fresh_until_ms && would_show && is_here && is_known
}
