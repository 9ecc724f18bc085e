//! Witnesses of a run's end beside accounting: its own log, systemd, and the archive that it should have left behind.

use std::collections::VecDeque;

use chrono::{DateTime, Offset, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::stamp::stamp;
use crate::domain::text::SafeText;

/// Words of one job's own log that are remembered until cron's log tells of their run.
const HEARD_MAX: usize = 64;
/// Archives of one set that runs are looked for among, the newest.
const ARCHIVES_MAX: usize = 256;
/// A run writes so long before the second that its beginning is logged with.
const EARLY_MS: i64 = 2_000;
/// What it says comes so long after its end at most, and the archive that it leaves.
const SAID_AFTER_MS: i64 = 10_000;
const LEFT_AFTER_MS: i64 = 60_000;
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

impl Word {
    /// What was said, without the time that a log's line begins with.
    pub fn shown(&self) -> &str {
        let (utc, at) = (Utc.fix(), DateTime::from_timestamp_millis(self.at_ms).unwrap_or_default());
        let rest_at = stamp(self.text.as_str(), utc, at).map_or(0, |stamp| stamp.rest_at);
        self.text.as_str().get(rest_at..).filter(|rest| !rest.is_empty()).unwrap_or(self.text.as_str())
    }
}

/// The time of a run by the host's clock: from its beginning to its end, or to the next one's beginning.
#[derive(Clone, Copy, Debug)]
pub struct RunTime {
    pub begin_ms: i64,
    pub end_ms: Option<i64>,
    pub next_ms: Option<i64>,
}

impl RunTime {
    /// Whether something of these times belongs to this run, so long after its end at most.
    fn holds(&self, from_ms: i64, at_ms: i64, after_ms: i64) -> bool {
        let next_ms = self.next_ms.map_or(i64::MAX, |next_ms| next_ms - EARLY_MS);
        let last_ms = match self.end_ms {
            None => next_ms,
            // The next one began before this one ended.
            Some(end_ms) if next_ms <= end_ms => end_ms.saturating_add(EARLY_MS),
            Some(end_ms) => next_ms.min(end_ms.saturating_add(after_ms)),
        };
        self.begin_ms - EARLY_MS <= at_ms && from_ms < last_ms
    }
}

/// The one run that something of these times can belong to; `None` where none fits, or two do.
fn only_one(runs: &[RunTime], fits: impl Fn(&RunTime) -> bool) -> Option<usize> {
    let mut fitting = (0..runs.len()).filter(|index| fits(&runs[*index]));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// What a job's own log said lately, and since when nothing that it said can be missing.
#[derive(Clone, Debug)]
pub struct Heard {
    words_max: usize,
    words: VecDeque<Word>,
    unbroken_from_ms: Option<i64>,
    read_to_ms: i64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { words_max: HEARD_MAX, words: VecDeque::new(), unbroken_from_ms: None, read_to_ms: 0 }
    }
}

impl Heard {
    /// One that forgets no word: for a pack, which is made once.
    pub fn whole() -> Self {
        Self { words_max: usize::MAX, ..Self::default() }
    }

    /// Takes one look at the log; `from_ms` is when it was looked at before, `None` where something between is missing.
    pub fn take(&mut self, words: impl Iterator<Item = Word>, from_ms: Option<i64>, to_ms: i64) {
        self.words.extend(words);
        let surplus = self.words.len().saturating_sub(self.words_max);
        self.words.drain(..surplus);
        self.unbroken_from_ms =
            from_ms.map(|from_ms| self.unbroken_from_ms.map_or(from_ms, |known| known.min(from_ms)));
        self.read_to_ms = to_ms;
    }

    #[cfg(test)]
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.words.iter()
    }

    /// The last word of each run: one that failed in the end may have said before that a part of it succeeded. What may be
    /// the word of two runs is that of neither, and what was said after `known_to_ms` may be that of a run that nobody has
    /// told of yet.
    pub fn words_of(&self, runs: &[RunTime], known_to_ms: i64) -> Vec<Option<&Word>> {
        let mut words = vec![None; runs.len()];
        for word in self.words.iter().filter(|word| word.at_ms <= known_to_ms) {
            if let Some(index) = only_one(runs, |run| run.holds(word.from_ms, word.at_ms, SAID_AFTER_MS)) {
                words[index] = Some(word);
            }
        }
        words
    }

    /// The last word of after `known_to_ms` that may be a run's own, where it tells of a failure: until it is known whose it
    /// is, the run has not succeeded.
    pub fn waiting_denial(&self, run: RunTime, known_to_ms: i64) -> Option<&Word> {
        let mut waiting = self.words.iter().rev().filter(|word| known_to_ms < word.at_ms);
        waiting.find(|word| run.holds(word.from_ms, word.at_ms, SAID_AFTER_MS)).filter(|word| !word.is_ok)
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
    /// The newest first, with times by the host's clock.
    archives: Vec<(i64, SafeText)>,
    seen_ms: i64,
}

impl SeenArchives {
    /// Of these archives, as they were seen then.
    pub fn new(mut archives: Vec<(i64, SafeText)>, seen_ms: i64) -> Self {
        archives.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
        archives.truncate(ARCHIVES_MAX);
        Self { archives, seen_ms }
    }

    /// The newest archive that each run left. What two runs may have left proves neither, and neither does one of after
    /// `known_to_ms`. Of a run whose end nobody knows it must have come within `limit_ms`: a later one may be somebody's by
    /// hand.
    pub fn left_by(&self, runs: &[RunTime], known_to_ms: i64, limit_ms: i64) -> Vec<Option<&SafeText>> {
        let mut left = vec![None; runs.len()];
        for (at_ms, name) in self.archives.iter().rev().filter(|(at_ms, _)| *at_ms <= known_to_ms) {
            let fits = |run: &RunTime| {
                let is_in_time = run.end_ms.is_some() || *at_ms <= run.begin_ms.saturating_add(limit_ms);
                is_in_time && run.holds(*at_ms, *at_ms, LEFT_AFTER_MS)
            };
            if let Some(index) = only_one(runs, fits) {
                left[index] = Some(name);
            }
        }
        left
    }

    /// Whether a run that ended left none, though it would be there.
    pub fn lack_one_of(&self, run: RunTime) -> bool {
        let is_settled = run.end_ms.is_some_and(|end_ms| end_ms + SETTLED_MS < self.seen_ms);
        is_settled && !self.archives.iter().any(|(at_ms, _)| run.holds(*at_ms, *at_ms, LEFT_AFTER_MS))
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
        assert_eq!(heard.words_of(&[run], i64::MAX)[0].map(|word| word.at_ms), expected);
    }

    #[test]
    fn a_word_belongs_to_the_run_that_it_was_said_in() {
        check(&[(50_000, 50_000)], (40_000, Some(52_000), None), Some(50_000));
        check(&[(30_000, 30_000)], (40_000, Some(52_000), None), None);
        check(&[(200_000, 200_000)], (40_000, Some(52_000), None), None);
        // A minute later, as the next run would say it that nobody told of.
        check(&[(112_000, 112_000)], (40_000, Some(52_000), None), None);
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
            heard.words_of(runs, i64::MAX).iter().map(|word| word.is_some()).collect::<Vec<bool>>()
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
    fn a_word_waits_until_its_run_can_be_known() {
        let mut heard = Heard::default();
        heard.take([word(90_000, 90_000)].into_iter(), Some(0), 100_000);
        let run = RunTime { begin_ms: 10_000, end_ms: None, next_ms: None };
        assert!(heard.words_of(&[run], 80_000)[0].is_none() && heard.words_of(&[run], 95_000)[0].is_some());
    }

    #[test]
    fn a_line_is_shown_without_the_time_that_it_begins_with() {
        for (line, shown) in [
            ("2026-11-27 20:02:02 ERROR: gave up", "ERROR: gave up"),
            ("Nov 27 20:02:02 host transfer[7]: gave up", "host transfer[7]: gave up"),
            ("gave up", "gave up"),
            ("2026-11-27 20:02:02", "2026-11-27 20:02:02"),
        ] {
            assert_eq!(Word { text: line.into(), ..word(0, 1_790_000_000_000) }.shown(), shown);
        }
    }

    #[test]
    fn an_archive_is_a_run_s_where_it_can_be_no_other_s_and_lacked_once_it_would_be_there() {
        let run = RunTime { begin_ms: 100_000, end_ms: Some(150_000), next_ms: None };
        let seen = |at_ms: i64, seen_ms| SeenArchives::new(vec![(at_ms, "a".into())], seen_ms);
        let left = |at_ms, runs: &[RunTime], known_to_ms, limit_ms| {
            let seen = seen(at_ms, 900_000);
            seen.left_by(runs, known_to_ms, limit_ms).iter().map(Option::is_some).collect::<Vec<bool>>()
        };
        assert_eq!(left(140_000, &[run], i64::MAX, 0), [true]);
        assert_eq!(left(140_000, &[run], 130_000, 0), [false]);
        let without_end = RunTime { end_ms: None, ..run };
        assert_eq!(left(140_000, &[without_end], i64::MAX, 60_000), [true]);
        assert_eq!(left(700_000, &[without_end], i64::MAX, 60_000), [false]);
        let other = RunTime { begin_ms: 120_000, end_ms: Some(400_000), next_ms: None };
        let overlapping = [RunTime { next_ms: Some(120_000), ..run }, other];
        assert_eq!(left(140_000, &overlapping, i64::MAX, 0), [false, false]);
        assert_eq!(left(390_000, &overlapping, i64::MAX, 0), [false, true]);
        // It may be this run's: it is not lacked.
        assert!(!seen(140_000, 900_000).lack_one_of(overlapping[0]));
        assert!(seen(50_000, 900_000).lack_one_of(run) && !seen(50_000, 200_000).lack_one_of(run));
    }
}
