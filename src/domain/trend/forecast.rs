//! Time to full, by a fit that a nightly burst does not turn.

use serde::{Deserialize, Serialize};

use super::{Point, Trend};

/// Points that a forecast needs.
pub const POINTS_MIN: usize = 12;
/// A rise below this many percent points a day is noise.
const SLOPE_PERCENT_PER_DAY_MIN: f64 = 0.05;
const DAY_MS: f64 = 86_400_000.0;

/// Where a series in percent is heading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Forecast {
    NotEnough { have: usize, need: usize },
    NotFilling,
    FullAt { utc_ms: i64 },
}

/// The median of all pairwise slopes (Theil–Sen): up to 29 % of the points may lie anywhere without turning it.
pub fn forecast(trend: &Trend) -> Forecast {
    let points = trend.points();
    if points.len() < POINTS_MIN {
        return Forecast::NotEnough { have: points.len(), need: POINTS_MIN };
    }
    let Some(slope) = median_slope(&points) else { return Forecast::NotFilling };
    let Some(last) = points.last() else { return Forecast::NotFilling };
    if slope * DAY_MS < SLOPE_PERCENT_PER_DAY_MIN || 100.0 < last.value {
        return Forecast::NotFilling;
    }
    let full_at = last.utc_ms + (100.0 - last.value) / slope;
    Forecast::FullAt { utc_ms: full_at as i64 }
}

/// How long from `percent` to full at the pace of the trend; `None` where it shows no rise.
pub fn left_from(trend: &Trend, percent: f64) -> Option<std::time::Duration> {
    let slope = median_slope(&trend.points()).filter(|slope| SLOPE_PERCENT_PER_DAY_MIN <= slope * DAY_MS)?;
    std::time::Duration::try_from_secs_f64((100.0 - percent) / slope / 1_000.0).ok()
}

/// Percent points a millisecond; `None` without two points at different times.
fn median_slope(points: &[Point]) -> Option<f64> {
    let mut slopes: Vec<f64> = points
        .iter()
        .enumerate()
        .flat_map(|(index, a)| points[index + 1..].iter().map(move |b| (b.value - a.value) / (b.utc_ms - a.utc_ms)))
        .filter(|slope| slope.is_finite())
        .collect();
    let middle = slopes.len() / 2;
    (!slopes.is_empty()).then(|| *slopes.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR_MS: i64 = 3_600_000;

    /// A reading each 5 minutes over `hours`, then the hours to full that the forecast sees, or its words.
    fn check(hours: i64, percent_at: impl Fn(f64) -> f64, expected: impl Fn(Forecast, i64) -> bool) {
        let mut trend = Trend::new(Duration::from_secs(6 * 3_600));
        for step in 0..hours * 12 {
            let utc_ms = 1_790_000_000_000 + step * 300_000;
            trend.push(utc_ms, percent_at(step as f64 / 12.0));
        }
        let now_ms = 1_790_000_000_000 + (hours * 12 - 1) * 300_000;
        let seen = forecast(&trend);
        assert!(expected(seen, now_ms), "{seen:?}");
    }

    fn hours_left(seen: Forecast, now_ms: i64) -> f64 {
        match seen {
            Forecast::FullAt { utc_ms } => (utc_ms - now_ms) as f64 / HOUR_MS as f64,
            Forecast::NotEnough { .. } | Forecast::NotFilling => f64::INFINITY,
        }
    }

    #[test]
    fn a_steady_fill_is_met_within_two_percent() {
        check(6, |hour| 50.0 + 2.0 * hour, |seen, now| (hours_left(seen, now) - 19.04).abs() < 0.4);
    }

    #[test]
    fn four_points_are_not_enough_and_say_so() {
        let mut trend = Trend::new(Duration::from_secs(6 * 3_600));
        (0..4).for_each(|step| {
            trend.push(step * 300_000, 1.0);
        });
        assert_eq!(forecast(&trend), Forecast::NotEnough { have: 4, need: 12 });
    }

    #[test]
    fn a_flat_disk_is_not_filling() {
        check(6, |_| 70.0, |seen, _| seen == Forecast::NotFilling);
    }

    #[test]
    fn an_hour_of_nightly_burst_that_goes_away_again_does_not_raise_an_alarm() {
        let burst = |hour: f64| if (4.0..5.0).contains(&hour) { 80.0 } else { 60.0 };
        check(6, burst, |seen, now| 48.0 < hours_left(seen, now));
    }

    #[test]
    fn a_log_that_rotates_each_hour_is_not_filling_within_a_day() {
        check(6, |hour| 60.0 + 8.0 * hour.fract(), |seen, now| 24.0 < hours_left(seen, now));
    }

    #[test]
    fn a_disk_that_empties_is_not_filling() {
        check(6, |hour| 90.0 - hour, |seen, _| seen == Forecast::NotFilling);
    }
}
