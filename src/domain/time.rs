//! Time as the domain sees it: always a parameter, never a clock.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// When something was seen by one observing process.
///
/// Within one process and boot ages compare CLOCK_BOOTTIME, which counts sleep and ignores clock steps;
/// across processes they compare UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds since the Unix epoch, UTC.
    pub utc_ms: i64,
    /// Milliseconds of CLOCK_BOOTTIME.
    pub boot_ms: i64,
    /// The observing process: a number drawn at its start.
    pub origin: u64,
}

/// A stamp of another process may lie this far ahead before it counts as a clock gone wrong.
const FUTURE_TOLERANCE_MS: i64 = 2_000;

impl Moment {
    /// How long before `now` this was; [`Age::Future`] when only a wrong clock could explain it.
    pub fn age_at(self, now: Moment) -> Age {
        let age_ms = if self.origin == now.origin { now.boot_ms - self.boot_ms } else { now.utc_ms - self.utc_ms };
        match u64::try_from(age_ms) {
            Ok(age_ms) => Age::Known(Duration::from_millis(age_ms)),
            Err(_) if -FUTURE_TOLERANCE_MS <= age_ms => Age::Known(Duration::ZERO),
            Err(_) => Age::Future,
        }
    }

    /// The moment `duration` later, on both clocks.
    pub fn plus(self, duration: Duration) -> Moment {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Moment { utc_ms: self.utc_ms.saturating_add(ms), boot_ms: self.boot_ms.saturating_add(ms), ..self }
    }

    /// The wall-clock part.
    pub fn utc(self) -> DateTime<Utc> {
        Utc.timestamp_millis_opt(self.utc_ms).single().unwrap_or_default()
    }
}

/// How old a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    Known(Duration),
    /// The stamp lies in the future: it proves nothing, so the value counts as stale.
    Future,
}

impl Age {
    /// Whether the value is at most `limit` old.
    pub fn is_within(self, limit: Duration) -> bool {
        match self {
            Age::Known(age) => age <= limit,
            Age::Future => false,
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Age::Known(age) => f.pad(&short_duration(*age)),
            Age::Future => f.pad("future"),
        }
    }
}

/// A duration in at most two units, as people say it: `8 s`, `3 min`, `2 h 05 min`, `4 d 3 h`.
pub fn words(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h {:02} min", s / 3_600, s % 3_600 / 60),
        _ if s % 86_400 < 3_600 => format!("{} d", s / 86_400),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A duration in one unit, for narrow cells: `8s`, `3m`, `2h`, `4d`.
pub fn short_duration(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..=99 => format!("{s}s"),
        100..=5_999 => format!("{}m", s / 60),
        6_000..=172_799 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// A duration as somebody compares it: `1.2 s`, `45 s`, `600 s`; from an hour on as [`words`] says it.
pub fn words_exact(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..3_600_000 => format!("{} s", ms / 1_000),
        _ => words(Duration::from_millis(ms)),
    }
}

#[cfg(test)]
pub(crate) fn at(seconds: i64) -> Moment {
    Moment { utc_ms: 1_790_000_000_000 + seconds * 1_000, boot_ms: seconds * 1_000, origin: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Moment = Moment { utc_ms: 1_000_000, boot_ms: 50_000, origin: 1 };

    #[test]
    fn a_clock_step_does_not_change_an_age_within_the_process() {
        let now = Moment { utc_ms: SEEN.utc_ms - 3_600_000, boot_ms: 53_000, origin: 1 };
        assert_eq!(SEEN.age_at(now), Age::Known(Duration::from_secs(3)));
    }

    #[test]
    fn eight_hours_of_sleep_count_because_boottime_counts_them() {
        let now = Moment { boot_ms: 50_000 + 8 * 3_600_000, ..SEEN };
        assert_eq!(SEEN.age_at(now), Age::Known(Duration::from_secs(8 * 3_600)));
    }

    #[test]
    fn another_process_compares_utc() {
        let now = Moment { utc_ms: 1_005_000, boot_ms: 1, origin: 2 };
        assert_eq!(SEEN.age_at(now), Age::Known(Duration::from_secs(5)));
    }

    #[test]
    fn a_stamp_from_the_future_of_another_process_is_never_fresh() {
        let now = Moment { utc_ms: 990_000, boot_ms: 1, origin: 2 };
        assert_eq!(SEEN.age_at(now), Age::Future);
        assert!(!Age::Future.is_within(Duration::MAX));
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(words(Duration::from_secs(8)), "8 s");
        assert_eq!(words(Duration::from_secs(7_500)), "2 h 05 min");
        assert_eq!(short_duration(Duration::from_secs(200_000)), "2d");
    }
}
