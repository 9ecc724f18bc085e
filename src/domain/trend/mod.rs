//! Series in memory: points with gaps, for sparklines and forecasts.

pub mod forecast;
pub mod history;

use std::collections::VecDeque;
use std::time::Duration;

/// Points kept over one window.
pub const POINTS_MAX: usize = 72;

/// One series over a sliding window, cut into [`POINTS_MAX`] buckets; a bucket without a reading is a gap.
#[derive(Clone, Debug)]
pub struct Trend {
    bucket_ms: i64,
    /// Whole buckets, eight bytes each: a fleet of a thousand hosts holds a million of them.
    whole: VecDeque<Bucket>,
    /// The newest bucket, and what it still needs to take another reading.
    newest: Option<Filling>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    /// Buckets since the epoch.
    index: u32,
    /// The mean of its readings.
    value: f32,
}

#[derive(Clone, Copy, Debug)]
struct Filling {
    index: u32,
    count: u32,
    after_ms_sum: f64,
    value_sum: f64,
}

/// A bucket's mean, and when it was taken: milliseconds since the epoch; of a whole bucket its middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub utc_ms: f64,
    pub value: f64,
}

impl Filling {
    fn bucket(&self) -> Bucket {
        Bucket { index: self.index, value: (self.value_sum / f64::from(self.count)) as f32 }
    }
}

impl Trend {
    pub fn new(window: Duration) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        // Below half a second the number of a bucket would leave 32 bits.
        let bucket_ms = (window_ms / POINTS_MAX as i64).max(500);
        Self { bucket_ms, whole: VecDeque::new(), newest: None }
    }

    /// Adds a reading; one older than the newest bucket is ignored, as a clock that stepped back would tear the series.
    pub fn push(&mut self, utc_ms: i64, value: f64) {
        let Ok(index) = u32::try_from(utc_ms.div_euclid(self.bucket_ms)) else { return };
        if !value.is_finite() {
            return;
        }
        let after_ms = utc_ms.rem_euclid(self.bucket_ms) as f64;
        match &mut self.newest {
            Some(newest) if index < newest.index => {}
            Some(newest) if index == newest.index => {
                newest.count = newest.count.saturating_add(1);
                newest.after_ms_sum += after_ms;
                newest.value_sum += value;
            }
            slot => {
                let before = slot.replace(Filling { index, count: 1, after_ms_sum: after_ms, value_sum: value });
                self.close(before, index);
            }
        }
    }

    fn close(&mut self, before: Option<Filling>, newest: u32) {
        if self.whole.len() == self.whole.capacity() {
            // By doubling, a full trend would hold room for nearly twice its points.
            self.whole.reserve_exact(POINTS_MAX / 6);
        }
        while self.whole.front().is_some_and(|bucket| POINTS_MAX as u32 <= newest - bucket.index) {
            self.whole.pop_front();
        }
        let before = before.map(|before| before.bucket());
        self.whole.extend(before.filter(|bucket| newest - bucket.index < POINTS_MAX as u32));
    }

    /// The number of the newest bucket: a forecast changes only with it.
    pub fn newest_bucket(&self) -> Option<u32> {
        self.newest.map(|newest| newest.index)
    }

    /// The points, oldest first, gaps left out.
    pub fn points(&self) -> Vec<Point> {
        let bucket_ms = self.bucket_ms as f64;
        let middle = |bucket: &Bucket| Point {
            utc_ms: (f64::from(bucket.index) + 0.5) * bucket_ms,
            value: f64::from(bucket.value),
        };
        let newest = self.newest.map(|newest| Point {
            utc_ms: f64::from(newest.index) * bucket_ms + newest.after_ms_sum / f64::from(newest.count),
            value: newest.value_sum / f64::from(newest.count),
        });
        self.whole.iter().map(middle).chain(newest).collect()
    }

    /// The last `width` points up to the newest, oldest first. A reading stands for as long as it is believed, `fresh_for`:
    /// a gap, `None`, is where nothing was known, not where nothing was asked.
    pub fn last_points(&self, width: usize, fresh_for: Duration) -> Vec<Option<f64>> {
        let mut row = vec![None; width];
        let Some(newest) = self.newest else { return row };
        let fresh_ms = i64::try_from(fresh_for.as_millis()).unwrap_or(i64::MAX);
        let stands_for = u32::try_from(fresh_ms / self.bucket_ms).unwrap_or(u32::MAX);
        for bucket in self.whole.iter().copied().chain([newest.bucket()]) {
            let until = bucket.index.saturating_add(stands_for).min(newest.index);
            // Of readings that stand long only the end can be in sight.
            for index in (bucket.index..=until).rev().take(width.max(POINTS_MAX)) {
                let back = (newest.index - index) as usize;
                if let Some(slot) = width.checked_sub(back.saturating_add(1)).and_then(|place| row.get_mut(place)) {
                    *slot = Some(f64::from(bucket.value));
                }
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
        assert_eq!(trend.last_points(6, Duration::ZERO), [None, Some(1.0), Some(2.0), None, None, Some(5.0)]);
        // Believed for as long as two of its buckets, it stands through one of them that brought nothing.
        let held = [None, Some(1.0), Some(2.0), Some(2.0), None, Some(5.0)];
        assert_eq!(trend.last_points(6, Duration::from_millis(u64::try_from(trend.bucket_ms).unwrap_or(0))), held);
    }

    #[test]
    fn readings_in_one_bucket_are_averaged() {
        let mut trend = Trend::new(Duration::from_secs(720));
        trend.push(100_000, 1.0);
        trend.push(105_000, 3.0);
        assert_eq!(trend.last_points(1, Duration::ZERO), [Some(2.0)]);
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
