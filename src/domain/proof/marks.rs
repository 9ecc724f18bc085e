//! The newest runs of declared jobs, for screens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::history::RunHistory;
use super::run::JobRun;
use super::still::{BegunBy, runs_still};
use crate::domain::probe::accounting::RunMark;
use crate::domain::settings::JobSpec;

/// Runs of one job that a screen shows.
const MARKS_MAX: usize = 40;

/// The runs of each job, the newest last.
pub fn marks(history: &RunHistory, jobs: &[JobSpec], now: DateTime<Utc>) -> BTreeMap<String, Vec<RunMark>> {
    let of_job = |job: &JobSpec| {
        let (runs, usual, begun_by) = (history.runs(job), history.usual(job), BegunBy::of(&job.evidence));
        let mark = |run: &JobRun| {
            let mark = run.mark();
            let runs = runs_still(run, begun_by, history, now);
            RunMark { runs, odd: usual.zip(mark.took_ms).and_then(|(usual, took_ms)| usual.judge(took_ms)), ..mark }
        };
        let shown = runs[runs.len().saturating_sub(MARKS_MAX)..].iter().map(JobRun::with_waiting);
        (job.name.as_str().to_owned(), shown.map(|run| mark(&run)).collect())
    };
    jobs.iter().map(of_job).collect()
}
