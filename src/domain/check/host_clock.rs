//! `host.clock`: how far the host's clock is from the observer's.

use std::time::Duration;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::status::Status;
use crate::domain::time::words;

/// The host's clock against the observer's, both in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClockSkew {
    /// Positive: the host is ahead.
    pub skew_ms: i64,
    /// The answer's travel and the clock's own grain: the skew is known only to this.
    pub uncertainty_ms: i64,
}

pub fn check(skew: ClockSkew, context: &Context) -> CheckResult {
    let id = CheckId::of(CheckKind::HostClock);
    let limits = context.settings.clock;
    let magnitude_ms = (skew.skew_ms.abs() - skew.uncertainty_ms).max(0);
    let magnitude = Duration::from_millis(magnitude_ms.unsigned_abs());
    let status = match () {
        () if limits.critical <= magnitude => Status::Critical,
        () if limits.warning <= magnitude => Status::Warning,
        () => Status::Ok,
    };
    let seconds = skew.skew_ms as f64 / 1_000.0;
    let direction = if skew.skew_ms < 0 { "behind" } else { "ahead" };
    let reason = match status {
        Status::Ok => {
            format!("clock {:.1} s {direction} (± {:.1} s)", seconds.abs(), skew.uncertainty_ms as f64 / 1_000.0)
        }
        Status::Warning | Status::Critical | Status::Unknown => {
            format!(
                "clock {} {direction} of the observer: check NTP on both",
                words(Duration::from_millis(skew.skew_ms.unsigned_abs()))
            )
        }
    };
    CheckResult::new(id, status, reason, Unit::Seconds).value(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{NOTHING_KNOWN, show};
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn check(skew_ms: i64, uncertainty_ms: i64, expected: &str) {
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        assert_eq!(show(&[super::check(ClockSkew { skew_ms, uncertainty_ms }, &context)]), expected);
    }

    #[test]
    fn a_host_a_day_off_is_critical_and_says_so() {
        check(-86_400_000, 20, "host.clock CRITICAL clock 24 h 00 min behind of the observer: check NTP on both");
    }

    #[test]
    fn a_skew_within_its_uncertainty_raises_nothing() {
        check(2_500, 600, "host.clock OK clock 2.5 s ahead (± 0.6 s)");
    }
}
