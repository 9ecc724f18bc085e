//! Series in memory: points with gaps, for sparklines and forecasts.

pub mod forecast;

use std::collections::VecDeque;
use std::time::Duration;

/// Points kept over one window.
pub const POINTS_MAX: usize = 72;

/// One series over a sliding window, cut into [`POINTS_MAX`] buckets; a bucket without a reading is a gap.
#[derive(Clone, Debug)]
pub struct Trend {
    bucket_ms: i64,
    buckets: VecDeque<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    number: i64,
    count: u32,
    time_sum_ms: f64,
    value_sum: f64,
}

/// A bucket's mean: milliseconds since the epoch, and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub utc_ms: f64,
    pub value: f64,
}

impl Bucket {
    fn point(&self) -> Point {
        let count = f64::from(self.count);
        Point { utc_ms: (self.number as f64) + self.time_sum_ms / count, value: self.value_sum / count }
    }
}

impl Trend {
    pub fn new(window: Duration) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        Self { bucket_ms: (window_ms / POINTS_MAX as i64).max(1), buckets: VecDeque::new() }
    }

    /// Adds a reading; one older than the newest bucket is ignored, as a clock that stepped back would tear the series.
    pub fn push(&mut self, utc_ms: i64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let start = utc_ms - utc_ms.rem_euclid(self.bucket_ms);
        let within = (utc_ms - start) as f64;
        match self.buckets.back_mut() {
            Some(last) if start < last.number => {}
            Some(last) if start == last.number => {
                last.count += 1;
                last.time_sum_ms += within;
                last.value_sum += value;
            }
            Some(_) | None => {
                self.buckets.push_back(Bucket { number: start, count: 1, time_sum_ms: within, value_sum: value });
                let oldest = start.saturating_sub(self.bucket_ms.saturating_mul(POINTS_MAX as i64));
                while self.buckets.front().is_some_and(|bucket| bucket.number <= oldest) {
                    self.buckets.pop_front();
                }
            }
        }
    }

    /// When the newest bucket begins, milliseconds since the epoch: a forecast changes only with it.
    pub fn newest_bucket(&self) -> Option<i64> {
        self.buckets.back().map(|bucket| bucket.number)
    }

    /// The points, oldest first, gaps left out.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point> {
        self.buckets.iter().map(Bucket::point)
    }

    /// The last `width` points up to the newest, oldest first; a gap is `None`.
    pub fn last_points(&self, width: usize) -> Vec<Option<f64>> {
        let Some(newest) = self.newest_bucket() else { return vec![None; width] };
        let mut row = vec![None; width];
        for bucket in &self.buckets {
            let back = usize::try_from((newest - bucket.number) / self.bucket_ms).unwrap_or(usize::MAX);
            if let Some(slot) = width.checked_sub(back.saturating_add(1)).and_then(|index| row.get_mut(index)) {
                *slot = Some(bucket.point().value);
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_gap_and_not_zero() {
        let mut trend = Trend::new(Duration::from_secs(72));
        for (second, value) in [(100, 1.0), (101, 2.0), (104, 5.0)] {
            trend.push(second * 1_000, value);
        }
        assert_eq!(trend.last_points(6), [None, Some(1.0), Some(2.0), None, None, Some(5.0)]);
    }

    #[test]
    fn readings_in_one_bucket_are_averaged() {
        let mut trend = Trend::new(Duration::from_secs(720));
        trend.push(100_000, 1.0);
        trend.push(105_000, 3.0);
        assert_eq!(trend.last_points(1), [Some(2.0)]);
    }

    #[test]
    fn the_window_slides() {
        let mut trend = Trend::new(Duration::from_secs(72));
        (0..500).for_each(|second| {
            trend.push(second * 1_000, second as f64);
        });
        assert_eq!(trend.points().len(), POINTS_MAX);
    }

    #[test]
    fn a_clock_that_steps_back_adds_nothing() {
        let mut trend = Trend::new(Duration::from_secs(72));
        trend.push(500_000, 1.0);
        trend.push(100_000, 9.0);
        assert_eq!(trend.points().len(), 1);
    }
}
