//! Samples on their way into chunks: raw ones as they come, minutes and hours as means.

use std::collections::{HashMap, HashSet};

use super::chunk::{Tier, encode};

/// A series' number in the store.
pub type SeriesId = i64;

/// The open chunk of every series and tier, and which of them changed since they were last written.
#[derive(Default)]
pub struct OpenChunks {
    open: HashMap<(Tier, SeriesId), OpenChunk>,
    changed: HashSet<(Tier, SeriesId)>,
    /// Chunks that were closed by a newer one and are not yet written.
    closed: Vec<ChunkRow>,
}

struct OpenChunk {
    start: i64,
    points: Vec<(i64, f32)>,
    /// The mean that is still being taken, and its step's start.
    mean: Option<(i64, f64, u32)>,
}

/// A chunk as the store keeps it.
pub struct ChunkRow {
    pub tier: Tier,
    pub start: i64,
    pub series: SeriesId,
    pub body: Vec<u8>,
}

impl OpenChunks {
    /// Goes on with chunks that an earlier process left open.
    pub fn resume(&mut self, tier: Tier, start: i64, series: SeriesId, points: Vec<(i64, f32)>) {
        self.open.insert((tier, series), OpenChunk { start, points, mean: None });
    }

    pub fn push(&mut self, series: SeriesId, utc_ms: i64, value: f64) {
        for tier in Tier::ALL {
            let start = tier.chunk_start(utc_ms);
            let key = (tier, series);
            let chunk = self.open.entry(key).or_insert_with(|| OpenChunk { start, points: Vec::new(), mean: None });
            if start < chunk.start {
                continue;
            }
            if chunk.start < start {
                let points = std::mem::take(&mut chunk.points);
                self.closed.push(ChunkRow { tier, start: chunk.start, series, body: encode(chunk.start, &points) });
                (chunk.start, chunk.mean) = (start, None);
            }
            chunk.push(tier, utc_ms, value);
            self.changed.insert(key);
        }
    }

    /// Every chunk that changed since the last call.
    pub fn take_changed(&mut self) -> Vec<ChunkRow> {
        let mut rows = std::mem::take(&mut self.closed);
        for key @ (tier, series) in self.changed.drain() {
            if let Some(chunk) = self.open.get(&key) {
                rows.push(ChunkRow { tier, start: chunk.start, series, body: encode(chunk.start, &chunk.points) });
            }
        }
        rows
    }
}

impl OpenChunk {
    fn push(&mut self, tier: Tier, utc_ms: i64, value: f64) {
        if tier == Tier::Raw {
            self.points.push((utc_ms, value as f32));
            return;
        }
        let step = utc_ms - utc_ms.rem_euclid(tier.step_ms());
        let (sum, count) = match self.mean {
            Some((at, sum, count)) if at == step => {
                self.points.pop();
                (sum + value, count + 1)
            }
            Some(_) | None => (value, 1),
        };
        self.mean = Some((step, sum, count));
        self.points.push((step, (sum / f64::from(count)) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::chunk::decode;

    fn points(rows: &[ChunkRow], tier: Tier) -> Vec<(i64, f32)> {
        rows.iter().filter(|row| row.tier == tier).flat_map(|row| decode(row.start, &row.body)).collect()
    }

    #[test]
    fn raw_samples_are_kept_and_minutes_are_means() {
        let mut chunks = OpenChunks::default();
        for (at, value) in [(0, 1.0), (30_000, 3.0), (60_000, 10.0)] {
            chunks.push(7, at, value);
        }
        let rows = chunks.take_changed();
        assert_eq!(points(&rows, Tier::Raw), [(0, 1.0), (30_000, 3.0), (60_000, 10.0)]);
        assert_eq!(points(&rows, Tier::Minutes), [(0, 2.0), (60_000, 10.0)]);
        assert_eq!(points(&rows, Tier::Hours).len(), 1);
    }

    #[test]
    fn a_chunk_that_a_newer_one_closes_is_written_too() {
        let mut chunks = OpenChunks::default();
        chunks.push(7, 599_000, 1.0);
        chunks.push(7, 600_000, 2.0);
        let raw: Vec<i64> =
            chunks.take_changed().iter().filter(|row| row.tier == Tier::Raw).map(|row| row.start).collect();
        assert_eq!(raw, [0, 600_000]);
    }
}
