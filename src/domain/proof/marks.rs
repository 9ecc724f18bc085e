//! The newest runs of declared jobs, for screens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::due::unseen_between;
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
        let shown = &runs[runs.len().saturating_sub(MARKS_MAX)..];
        let mut marks: Vec<RunMark> = shown.iter().map(|run| mark(&run.with_waiting())).collect();
        let apart: Vec<i64> = shown.windows(2).map(|two| two[1].begin_ms() - two[0].begin_ms()).collect();
        let mut sorted = apart.clone();
        sorted.sort_unstable();
        let usual_ms = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        // Schedules are reckoned where the runs lie further apart than most alone.
        let far = apart.iter().enumerate().filter(|(_, apart_ms)| usual_ms + usual_ms / 2 < **apart_ms);
        for (index, _) in far {
            let [ran, next] = [shown[index].run.at, shown[index + 1].run.at];
            marks[index + 1].unseen_before = unseen_between(&job.expectation, history.zone, ran, next);
        }
        (job.name.as_str().to_owned(), marks)
    };
    jobs.iter().map(of_job).collect()
}
