//! What accounting can tell at the moment: an end that it would not show proves nothing by its absence.

use chrono::{DateTime, Utc};

use crate::domain::probe::accounting::AccountingReading;

/// What accounting can tell at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounting {
    pub is_there: bool,
    pub is_denied: bool,
    /// Whether it was written since the poll before.
    pub grew: Option<bool>,
    pub is_behind: bool,
    /// Since when nothing that ended can be missing, and up to when it was read, by the host's clock.
    pub unbroken_from_s: Option<u32>,
    pub newest_s: Option<u32>,
    /// When the oldest record ended that this process of ours read.
    pub read_from_s: Option<u32>,
    /// Until when this may be believed, by our own clock.
    pub fresh_until_ms: i64,
}

impl Accounting {
    pub fn of(reading: &AccountingReading, fresh_until_ms: i64) -> Self {
        Self {
            is_there: reading.path.is_some(),
            is_denied: reading.is_denied,
            grew: reading.grew,
            is_behind: 0 < reading.behind_bytes,
            unbroken_from_s: reading.unbroken_from_s,
            newest_s: reading.newest_s,
            read_from_s: reading.read_from_s,
            fresh_until_ms,
        }
    }

    /// Whether it is on, read up to now, and reaches back to then without a gap. Of a run that `is_kept` the records are
    /// known that an earlier process of ours read; of another only those of this one.
    pub fn covers(&self, at: DateTime<Utc>, is_kept: bool) -> bool {
        let from_s = if is_kept { self.unbroken_from_s } else { self.unbroken_from_s.max(self.read_from_s) };
        self.is_there
            && !self.is_denied
            && self.grew == Some(true)
            && !self.is_behind
            && self.unbroken_from_s.is_some()
            && from_s.is_some_and(|from_s| i64::from(from_s) <= at.timestamp())
    }

    /// Whether a run of then would have its record here, had it ended.
    pub fn would_show(&self, at: DateTime<Utc>, is_kept: bool) -> bool {
        self.covers(at, is_kept) && self.newest_s.is_some_and(|newest_s| at.timestamp() < i64::from(newest_s))
    }
}

/// Where no command at all ended for so long, accounting may have been off: each poll of Dogwatch's leaves records, and so
/// does each of cron's own.
const SILENCE_MS_MIN: i64 = 20 * 60_000;

/// The times within a window in which no record ended, each longer than a host that is watched is silent. `ends_ms` in any
/// order; what lies before the first of them is none, as files begin somewhere.
pub fn silences(ends_ms: impl Iterator<Item = i64>, from_ms: i64, to_ms: i64) -> Vec<(i64, i64)> {
    let mut ends: Vec<i64> = ends_ms.filter(|end_ms| *end_ms <= to_ms).collect();
    ends.sort_unstable();
    // The last before the window begins the first of its silences.
    let begin = ends.partition_point(|end_ms| *end_ms < from_ms).saturating_sub(1);
    let within = &ends[begin..];
    let next = within.iter().skip(1).copied().chain([to_ms]);
    within
        .iter()
        .copied()
        .zip(next)
        .map(|(last, next)| (last.max(from_ms), next))
        .filter(|(last, next)| SILENCE_MS_MIN <= next - last)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_s_silences_are_found_and_what_lies_before_the_first_record_is_none() {
        const MINUTE_MS: i64 = 60_000;
        let found = |ends: &[i64], from: i64, to: i64| -> Vec<(i64, i64)> {
            let ends = ends.iter().map(|end| end * MINUTE_MS);
            let found = silences(ends, from * MINUTE_MS, to * MINUTE_MS);
            found.iter().map(|(last, next)| (last / MINUTE_MS, next / MINUTE_MS)).collect()
        };
        assert_eq!(found(&[100, 10, 15, 60, 99], 0, 110), [(15, 60), (60, 99)]);
        // One that began before the window is told from the window's beginning, the last to its end.
        assert_eq!(found(&[10, 90], 50, 130), [(50, 90), (90, 130)]);
        assert_eq!(found(&[50], 0, 60), []);
        assert_eq!(found(&[], 0, 60), []);
    }
}
