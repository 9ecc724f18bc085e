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

/// Sixteen bytes: a fleet of a thousand hosts holds a million of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    /// Buckets since the epoch.
    index: u32,
    count: u32,
    /// Means: of the readings' times after the bucket's start, and of their values.
    after_ms: f32,
    value: f32,
}

/// A bucket's mean: milliseconds since the epoch, and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub utc_ms: f64,
    pub value: f64,
}

impl Bucket {
    fn point(&self, bucket_ms: i64) -> Point {
        let start_ms = i64::from(self.index) * bucket_ms;
        Point { utc_ms: start_ms as f64 + f64::from(self.after_ms), value: f64::from(self.value) }
    }

    fn add(&mut self, after_ms: f32, value: f32) {
        self.count = self.count.saturating_add(1);
        let share = 1.0 / self.count as f32;
        self.after_ms += (after_ms - self.after_ms) * share;
        self.value += (value - self.value) * share;
    }
}

impl Trend {
    pub fn new(window: Duration) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        // Below half a second the number of a bucket would leave 32 bits.
        let bucket_ms = (window_ms / POINTS_MAX as i64).max(500);
        Self { bucket_ms, buckets: VecDeque::with_capacity(POINTS_MAX + 1) }
    }

    /// Adds a reading; one older than the newest bucket is ignored, as a clock that stepped back would tear the series.
    pub fn push(&mut self, utc_ms: i64, value: f64) {
        let Ok(index) = u32::try_from(utc_ms.div_euclid(self.bucket_ms)) else { return };
        if !value.is_finite() {
            return;
        }
        let (after_ms, value) = (utc_ms.rem_euclid(self.bucket_ms) as f32, value as f32);
        match self.buckets.back_mut() {
            Some(last) if index < last.index => {}
            Some(last) if index == last.index => last.add(after_ms, value),
            Some(_) | None => {
                self.buckets.push_back(Bucket { index, count: 1, after_ms, value });
                let oldest = index.saturating_sub(POINTS_MAX as u32);
                while self.buckets.front().is_some_and(|bucket| bucket.index <= oldest) {
                    self.buckets.pop_front();
                }
            }
        }
    }

    /// The number of the newest bucket: a forecast changes only with it.
    pub fn newest_bucket(&self) -> Option<u32> {
        self.buckets.back().map(|bucket| bucket.index)
    }

    /// The points, oldest first, gaps left out.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point> {
        self.buckets.iter().map(|bucket| bucket.point(self.bucket_ms))
    }

    /// The last `width` points up to the newest, oldest first; a gap is `None`.
    pub fn last_points(&self, width: usize) -> Vec<Option<f64>> {
        let Some(newest) = self.newest_bucket() else { return vec![None; width] };
        let mut row = vec![None; width];
        for bucket in &self.buckets {
            let back = (newest - bucket.index) as usize;
            if let Some(slot) = width.checked_sub(back.saturating_add(1)).and_then(|index| row.get_mut(index)) {
                *slot = Some(f64::from(bucket.value));
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
