//! What the engine says of itself, on the board of the machine it runs on.

use serde::{Deserialize, Serialize};

use crate::domain::text::SafeText;

/// The watcher, watched: its store, its queues and its last error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineReading {
    pub state_dir: SafeText,
    pub store_bytes: u64,
    /// Reports that wait for the core, of as many as may.
    pub reports_waiting: u32,
    pub reports_max: u32,
    /// Transitions that are not yet durable.
    pub unwritten: u32,
    pub last_error: Option<SafeText>,
    /// How long polls of the fast lane took lately, from sending to the whole answer, milliseconds.
    pub poll_ms: Percentiles,
}

/// By nearest rank; zero where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: u32,
    pub p99: u32,
}

impl Percentiles {
    pub fn of(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Self { p50: rank(50).unwrap_or(0), p99: rank(99).unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_values_the_ranks_are_the_fiftieth_and_the_ninety_ninth() {
        assert_eq!(Percentiles::of((1..=100).rev().collect()), Percentiles { p50: 50, p99: 99 });
        assert_eq!(Percentiles::of(vec![7]), Percentiles { p50: 7, p99: 7 });
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }
}
