//! The runs of a job, a cell each, the newest last: as high as it took long, and a sign where it did not succeed.

use crate::domain::board::CheckView;
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::probe::accounting::RunMark;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::status::Status;
use crate::tui::model::Model;
use crate::tui::screen::{Cell, Piece, piece};
use crate::tui::theme::{Meaning, glyph};

/// It was due, and was not seen to run.
const UNSEEN: &str = "·";
/// It runs still.
pub const RUNNING: &str = "→";
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The newest runs of the job of a check.
pub fn strip(model: &Model, host: &HostName, view: &CheckView, width: usize) -> Cell {
    let job = view.id.subject.as_ref().map_or("", |job| job.as_str());
    let runs = runs_of(model, host, job);
    let mut pieces = pieces(&runs[runs.len().saturating_sub(width)..]);
    pieces.drain(..pieces.len().saturating_sub(width));
    Cell::Strip(pieces)
}

/// The runs of a job that are known, the newest last.
pub fn runs_of<'a>(model: &'a Model, host: &HostName, job: &str) -> &'a [RunMark] {
    let host = model.board.hosts.get(host);
    let seen = host.and_then(|host| host.probes.get(&ProbeId::Accounting)?.reading.as_ref());
    match seen.map(|seen| seen.last().as_ref()) {
        Some(Reading::Accounting(reading)) => reading.runs.get(job).map_or(&[], Vec::as_slice),
        Some(_) | None => &[],
    }
}

/// How a run stands.
pub fn status(run: &RunMark) -> Status {
    match run.is_ok {
        _ if run.runs => Status::Ok,
        Some(true) if run.lacks_word || run.odd.is_some() => Status::Warning,
        Some(true) => Status::Ok,
        Some(false) => Status::Critical,
        None => Status::Unknown,
    }
}

fn pieces(runs: &[RunMark]) -> Vec<Piece> {
    let longest_ms = runs.iter().filter_map(|run| run.took_ms).max().unwrap_or(0).max(1);
    let bar = |took_ms: u64| BARS[(took_ms * (BARS.len() as u64 - 1)).div_ceil(longest_ms) as usize % BARS.len()];
    let of_status = |status| (glyph(status, Quality::Fresh), Meaning::Status(status, Quality::Fresh));
    let cell = |run: &RunMark| {
        let (sign, meaning) = match (status(run), run.took_ms) {
            (Status::Ok, _) if run.runs => (RUNNING, Meaning::Status(Status::Ok, Quality::Fresh)),
            (Status::Ok, Some(took_ms)) => (bar(took_ms), Meaning::Status(Status::Ok, Quality::Fresh)),
            (status, _) => of_status(status),
        };
        piece(sign, meaning)
    };
    let hole = |run: &RunMark| (0 < run.unseen_before).then(|| piece(UNSEEN, Meaning::Dim));
    runs.iter().flat_map(|run| hole(run).into_iter().chain([cell(run)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::usual::Odd;

    #[test]
    fn a_run_is_as_high_as_it_took_long_and_one_that_failed_was_odd_or_runs_has_a_sign() {
        let run = |took_ms, is_ok| RunMark { took_ms, is_ok, ..RunMark::default() };
        let runs = [
            run(Some(0), Some(true)),
            run(Some(45), Some(true)),
            run(Some(90), Some(true)),
            run(Some(20), Some(false)),
            run(None, None),
            RunMark { odd: Some(Odd::TooShort), ..run(Some(1), Some(true)) },
            RunMark { runs: true, unseen_before: 2, ..run(None, None) },
        ];
        let shown: String = pieces(&runs).iter().map(|part| part.text.clone()).collect();
        assert_eq!(shown, "▁▅█✖?▲·→");
        assert!(pieces(&[]).is_empty());
    }
}
