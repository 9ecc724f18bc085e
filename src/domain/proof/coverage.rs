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
