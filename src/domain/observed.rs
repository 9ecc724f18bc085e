//! A value with the time it was seen: nothing on a screen is built from less.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::{Age, Moment};

/// A value, when it was seen, and for how long it may be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed<T> {
    value: T,
    at: Moment,
    fresh_for_ms: u64,
}

/// What an age means for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    Stale,
}

impl<T> Observed<T> {
    /// `fresh_for` is twice the probe's cadence plus its deadline.
    pub fn new(value: T, at: Moment, fresh_for: Duration) -> Self {
        Self { value, at, fresh_for_ms: u64::try_from(fresh_for.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The value together with what `now` makes of it; there is no way to the value alone that hides its age.
    pub fn seen(&self, now: Moment) -> (&T, Freshness, Age) {
        (&self.value, self.freshness(now), self.age(now))
    }

    pub fn freshness(&self, now: Moment) -> Freshness {
        match self.age(now).is_within(Duration::from_millis(self.fresh_for_ms)) {
            true => Freshness::Fresh,
            false => Freshness::Stale,
        }
    }

    /// For how long it may still be believed, if it may at all.
    pub fn fresh_for_another(&self, now: Moment) -> Option<Duration> {
        match self.age(now) {
            Age::Known(age) => Duration::from_millis(self.fresh_for_ms).checked_sub(age),
            Age::Future => None,
        }
    }

    /// For how long a value of this kind is believed.
    pub fn fresh_for(&self) -> Duration {
        Duration::from_millis(self.fresh_for_ms)
    }

    pub fn age(&self, now: Moment) -> Age {
        self.at.age_at(now)
    }

    pub fn at(&self) -> Moment {
        self.at
    }

    /// The value as it was at [`Observed::at`], for the fold and the store, never for a cell.
    pub fn last(&self) -> &T {
        &self.value
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Observed<U> {
        Observed { value: f(self.value), at: self.at, fresh_for_ms: self.fresh_for_ms }
    }
}

/// How good a shown value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    Fresh,
    /// A part of it could not be read, or a cap cut it.
    Partial,
    Stale,
    #[default]
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::at;

    #[test]
    fn a_value_is_stale_one_millisecond_past_its_limit() {
        let seen = Observed::new(7, at(0), Duration::from_secs(28));
        assert_eq!(seen.freshness(at(28)), Freshness::Fresh);
        assert_eq!(seen.freshness(at(28).plus(Duration::from_millis(1))), Freshness::Stale);
    }
}
