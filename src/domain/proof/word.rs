//! Witnesses of a run's end beside accounting: its own log, systemd, and the archive that it should have left behind.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::text::SafeText;

/// Words of one job's own log that are remembered until cron's log tells of their run.
const HEARD_MAX: usize = 64;
/// A run writes so long before the second that its beginning is logged with, and so long after its end.
const EARLY_MS: i64 = 2_000;
const AFTER_MS: i64 = 60_000;
/// What its own log has not said, or what was not left, so long after a run's end will not come any more.
const SETTLED_MS: i64 = 180_000;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    OwnLog,
    Systemd,
}

impl Speaker {
    pub fn words(self) -> &'static str {
        match self {
            Speaker::OwnLog => "its own log",
            Speaker::Systemd => "systemd",
        }
    }
}

/// What somebody other than accounting says of a run's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    pub by: Speaker,
    pub is_ok: bool,
    /// By the host's clock, milliseconds since the epoch: when it was said, at the earliest and at the latest.
    pub from_ms: i64,
    pub at_ms: i64,
    pub took_ms: Option<u64>,
    /// The line, or systemd's result.
    pub text: SafeText,
}

/// The time of a run by the host's clock: from its beginning to its end, or to the next one's beginning.
#[derive(Clone, Copy, Debug)]
pub struct RunTime {
    pub begin_ms: i64,
    pub end_ms: Option<i64>,
    pub next_ms: Option<i64>,
}

impl RunTime {
    /// Whether something of these times belongs to this run.
    fn holds(&self, from_ms: i64, at_ms: i64) -> bool {
        let next_ms = self.next_ms.map_or(i64::MAX, |next_ms| next_ms - EARLY_MS);
        let last_ms = match self.end_ms {
            None => next_ms,
            // The next one began before this one ended.
            Some(end_ms) if next_ms <= end_ms => end_ms.saturating_add(EARLY_MS),
            Some(end_ms) => next_ms.min(end_ms.saturating_add(AFTER_MS)),
        };
        self.begin_ms - EARLY_MS <= at_ms && from_ms < last_ms
    }
}

/// What a job's own log said lately, and since when nothing that it said can be missing.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    words: VecDeque<Word>,
    unbroken_from_ms: Option<i64>,
    read_to_ms: i64,
}

impl Heard {
    /// Takes one look at the log; `from_ms` is when it was looked at before, `None` where something between is missing.
    pub fn take(&mut self, words: impl Iterator<Item = Word>, from_ms: Option<i64>, to_ms: i64) {
        self.words.extend(words);
        let surplus = self.words.len().saturating_sub(HEARD_MAX);
        self.words.drain(..surplus);
        self.unbroken_from_ms =
            from_ms.map(|from_ms| self.unbroken_from_ms.map_or(from_ms, |known| known.min(from_ms)));
        self.read_to_ms = to_ms;
    }

    /// The last word of each run: one that failed in the end may have said before that a part of it succeeded. What may be
    /// the word of two runs is that of neither.
    pub fn words_of(&self, runs: &[RunTime]) -> Vec<Option<&Word>> {
        let mut words = vec![None; runs.len()];
        for word in &self.words {
            let mut fits = (0..runs.len()).filter(|index| runs[*index].holds(word.from_ms, word.at_ms));
            if let (Some(index), None) = (fits.next(), fits.next()) {
                words[index] = Some(word);
            }
        }
        words
    }

    /// Whether a run that ended said nothing, though it would have been heard.
    pub fn is_silent_on(&self, run: RunTime) -> bool {
        let was_heard = self.unbroken_from_ms.is_some_and(|from_ms| from_ms <= run.begin_ms);
        was_heard && run.end_ms.is_some_and(|end_ms| end_ms + SETTLED_MS < self.read_to_ms)
    }
}

/// The archives of a backup set, as they were seen last.
#[derive(Clone, Debug, Default)]
pub struct SeenArchives {
    /// Times by the host's clock.
    pub archives: Vec<(i64, SafeText)>,
    pub seen_ms: i64,
}

impl SeenArchives {
    /// The archive that a run left. Of a run whose end nobody knows it must have come within `limit_ms`: a later one may be
    /// somebody's by hand.
    pub fn left_by(&self, run: RunTime, limit_ms: i64) -> Option<&SafeText> {
        let is_its = |at_ms: i64| {
            let is_in_time = run.end_ms.is_some() || at_ms <= run.begin_ms.saturating_add(limit_ms);
            is_in_time && run.holds(at_ms, at_ms)
        };
        self.archives.iter().find(|(at_ms, _)| is_its(*at_ms)).map(|(_, name)| name)
    }

    /// Whether a run that ended left none, though it would be there.
    pub fn lack_one_of(&self, run: RunTime) -> bool {
        self.left_by(run, i64::MAX).is_none() && run.end_ms.is_some_and(|end_ms| end_ms + SETTLED_MS < self.seen_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(from_ms: i64, at_ms: i64) -> Word {
        Word { by: Speaker::OwnLog, is_ok: true, from_ms, at_ms, took_ms: None, text: "done".into() }
    }

    fn check(words: &[(i64, i64)], run: (i64, Option<i64>, Option<i64>), expected: Option<i64>) {
        let mut heard = Heard::default();
        heard.take(words.iter().map(|(from_ms, at_ms)| word(*from_ms, *at_ms)), Some(0), 10_000_000);
        let run = RunTime { begin_ms: run.0, end_ms: run.1, next_ms: run.2 };
        assert_eq!(heard.words_of(&[run])[0].map(|word| word.at_ms), expected);
    }

    #[test]
    fn a_word_belongs_to_the_run_that_it_was_said_in() {
        check(&[(50_000, 50_000)], (40_000, Some(52_000), None), Some(50_000));
        check(&[(30_000, 30_000)], (40_000, Some(52_000), None), None);
        check(&[(200_000, 200_000)], (40_000, Some(52_000), None), None);
        check(&[(200_000, 200_000)], (40_000, None, Some(100_000)), None);
        check(&[(200_000, 200_000)], (40_000, None, None), Some(200_000));
    }

    #[test]
    fn a_word_without_a_time_belongs_where_its_look_reaches() {
        check(&[(45_000, 400_000)], (40_000, Some(52_000), Some(900_000)), Some(400_000));
    }

    #[test]
    fn what_may_be_the_word_of_two_runs_is_that_of_neither() {
        let run = |begin_ms, end_ms, next_ms| RunTime { begin_ms, end_ms: Some(end_ms), next_ms };
        let said = |from_ms: i64, at_ms: i64, runs: &[RunTime]| {
            let mut heard = Heard::default();
            heard.take([word(from_ms, at_ms)].into_iter(), Some(0), 10_000_000);
            heard.words_of(runs).iter().map(|word| word.is_some()).collect::<Vec<bool>>()
        };
        // An hour's look over runs of each half hour.
        let halves = [run(0, 60_000, Some(1_800_000)), run(1_800_000, 1_860_000, None)];
        assert_eq!(said(0, 3_600_000, &halves), [false, false]);
        assert_eq!(said(1_830_000, 1_840_000, &halves), [false, true]);
        // The second begins before the first ends.
        let overlap = [run(0, 1_800_000, Some(600_000)), run(600_000, 2_400_000, None)];
        assert_eq!(said(1_700_000, 1_700_000, &overlap), [false, false]);
        assert_eq!(said(300_000, 300_000, &overlap), [true, false]);
        assert_eq!(said(2_300_000, 2_300_000, &overlap), [false, true]);
    }

    #[test]
    fn silence_is_told_only_where_it_would_have_been_heard() {
        let run = RunTime { begin_ms: 1_000, end_ms: Some(5_000), next_ms: None };
        let silent = |looks: &[(Option<i64>, i64)]| {
            let mut heard = Heard::default();
            looks.iter().for_each(|(from_ms, to_ms)| heard.take(std::iter::empty(), *from_ms, *to_ms));
            heard.is_silent_on(run)
        };
        assert!(silent(&[(Some(500), 600), (Some(600), 200_000)]));
        assert!(!silent(&[(Some(500), 600), (Some(600), 100_000)]));
        assert!(!silent(&[(Some(2_000), 200_000)]));
        assert!(!silent(&[(Some(500), 600), (None, 200_000)]));
    }

    #[test]
    fn an_archive_is_lacked_only_once_it_would_be_there() {
        let run = RunTime { begin_ms: 100_000, end_ms: Some(150_000), next_ms: None };
        let seen = |at_ms: i64, seen_ms| SeenArchives { archives: vec![(at_ms, "a".into())], seen_ms };
        assert!(seen(140_000, 900_000).left_by(run, 0).is_some() && !seen(140_000, 900_000).lack_one_of(run));
        let without_end = RunTime { end_ms: None, ..run };
        assert!(seen(140_000, 900_000).left_by(without_end, 60_000).is_some());
        assert!(seen(700_000, 900_000).left_by(without_end, 60_000).is_none());
        assert!(seen(50_000, 900_000).lack_one_of(run) && !seen(50_000, 200_000).lack_one_of(run));
    }
}
