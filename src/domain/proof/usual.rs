//! How long a job usually takes, and whether it took another time.

use serde::{Deserialize, Serialize};

use crate::domain::time::words_exact;

/// Fewer runs than this show nothing usual.
pub const RUNS_MIN: usize = 5;
/// Times the median that is too long, and a part of it that is too short.
const FACTOR_LONG: u64 = 3;
const FACTOR_SHORT: u64 = 5;
/// Spreads (median absolute deviations) that lie within the usual.
const SPREADS: u64 = 5;
/// What is over sooner than this is never too short, and what is longer by less never too long.
const GRAIN_MS: u64 = 1_000;

/// What is usual of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    pub median_ms: u64,
    /// The median absolute deviation.
    pub spread_ms: u64,
}

/// How a duration stands to the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Odd {
    TooLong,
    TooShort,
}

impl Odd {
    pub fn words(self) -> &'static str {
        match self {
            Odd::TooLong => "took too long",
            Odd::TooShort => "was over too soon",
        }
    }
}

impl Usual {
    /// Of the durations of runs that succeeded; `None` where there are too few.
    pub fn of(mut durations_ms: Vec<u64>) -> Option<Self> {
        if durations_ms.len() < RUNS_MIN {
            return None;
        }
        let median_ms = median(&mut durations_ms);
        let mut apart: Vec<u64> = durations_ms.iter().map(|duration| duration.abs_diff(median_ms)).collect();
        Some(Self { median_ms, spread_ms: median(&mut apart) })
    }

    /// What hosts.toml says of it.
    pub fn declared(median_ms: u64) -> Self {
        Self { median_ms, spread_ms: 0 }
    }

    pub fn judge(&self, duration_ms: u64) -> Option<Odd> {
        let within = self.spread_ms.saturating_mul(SPREADS);
        let longer = |by_ms| self.median_ms.saturating_add(by_ms);
        let long = self.median_ms.saturating_mul(FACTOR_LONG).max(longer(within)).max(longer(GRAIN_MS));
        let short = (self.median_ms / FACTOR_SHORT).min(self.median_ms.saturating_sub(within));
        match duration_ms {
            duration if long < duration => Some(Odd::TooLong),
            duration if duration < short && GRAIN_MS < self.median_ms => Some(Odd::TooShort),
            _ => None,
        }
    }
}

/// A duration beside the usual one, in words: `600 s, usual 45 s: the job's own timeout`.
pub fn told(duration_ms: u64, usual: Option<Usual>, gives_up_ms: Option<u64>) -> String {
    let took = words_exact(duration_ms);
    let usual = usual.map_or(String::new(), |usual| format!(", usual {}", words_exact(usual.median_ms)));
    // A program that gives up does so a little after its time.
    let is_own_end =
        gives_up_ms.is_some_and(|limit| (limit..=limit.saturating_add(limit / 20 + GRAIN_MS)).contains(&duration_ms));
    let why = if is_own_end { ": the job's own timeout" } else { "" };
    format!("{took}{usual}{why}")
}

fn median(values: &mut [u64]) -> u64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(history_s: &[u64], duration_ms: u64, expected: Option<Odd>) {
        let usual = Usual::of(history_s.iter().map(|seconds| seconds * 1_000).collect());
        assert_eq!(usual.and_then(|usual| usual.judge(duration_ms)), expected);
    }

    #[test]
    fn ten_minutes_instead_of_one_and_a_blink_instead_of_forty_seconds_are_odd() {
        check(&[45, 44, 46, 45, 47], 600_000, Some(Odd::TooLong));
        check(&[40, 41, 39, 40, 40], 200, Some(Odd::TooShort));
        check(&[40, 41, 39, 40, 40], 55_000, None);
    }

    #[test]
    fn what_always_varied_is_not_odd_and_a_short_history_says_nothing() {
        check(&[10, 100, 20, 90, 50, 60], 160_000, None);
        check(&[45, 44, 46, 45], 600_000, None);
        check(&[0, 0, 0, 0, 0], 900, None);
    }

    #[test]
    fn a_declared_time_explains_what_a_run_took() {
        let usual = Some(Usual::declared(45_000));
        assert_eq!(told(600_200, usual, Some(600_000)), "600 s, usual 45 s: the job's own timeout");
        assert_eq!(told(590_000, usual, Some(600_000)), "590 s, usual 45 s");
        assert_eq!(told(1_200, None, None), "1.2 s");
    }
}
