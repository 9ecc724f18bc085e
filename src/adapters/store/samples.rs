//! Samples on their way into chunks: raw ones as they come, minutes and hours as means.
//!
//! An open chunk is not written again for every point it gains. What came since chunks were last written lies in the
//! store as a *tail*, in the order it came; an engine that starts again pushes it through once more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chunk::{Encoder, Tier};

/// A series' number in the store.
pub type SeriesId = i64;

/// Samples and closed chunks kept for a store that takes nothing; past that the oldest are dropped.
const TAIL_MAX: usize = 1_000_000;
const CLOSED_MAX: usize = 200_000;

/// The open chunks of every series, and what the store does not have yet.
#[derive(Default)]
pub struct OpenChunks {
    /// In the order of the table: rows that lie together are written together.
    open: BTreeMap<SeriesId, Box<OpenSeries>>,
    /// Chunks that were closed by a newer one and are not yet written.
    closed: Vec<ChunkRow>,
    tail: Vec<Sample>,
}

/// One value of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub series: SeriesId,
    pub utc_ms: i64,
    pub value: f32,
}

/// The open chunk of each tier, in their order.
#[derive(Default)]
struct OpenSeries {
    chunks: [Option<OpenChunk>; Tier::ALL.len()],
    changed: bool,
}

struct OpenChunk {
    start: i64,
    points: Encoder,
    mean: Option<Mean>,
}

/// The mean that is still being taken.
struct Mean {
    step: i64,
    sum: f64,
    count: u32,
}

/// A chunk as the store keeps it.
#[derive(Clone)]
pub struct ChunkRow {
    pub tier: Tier,
    pub start: i64,
    pub series: SeriesId,
    pub body: Vec<u8>,
}

impl OpenChunks {
    /// Goes on with a chunk that an earlier process left open.
    pub fn resume(&mut self, tier: Tier, start: i64, series: SeriesId, points: &[(i64, f32)]) {
        let mut chunk = OpenChunk::new(start);
        points.iter().for_each(|(utc_ms, value)| chunk.points.push(*utc_ms, *value));
        self.open.entry(series).or_default().chunks[tier as usize] = Some(chunk);
    }

    /// Takes a new sample.
    pub fn push(&mut self, sample: Sample) {
        self.fold(sample);
        if TAIL_MAX <= self.tail.len() {
            self.tail.drain(..TAIL_MAX / 2);
        }
        self.tail.push(sample);
    }

    /// Takes a sample that the store's tail holds already.
    pub fn fold(&mut self, sample: Sample) {
        let Sample { series, utc_ms, value } = sample;
        let open = self.open.entry(series).or_default();
        open.changed = true;
        for (tier, slot) in Tier::ALL.into_iter().zip(&mut open.chunks) {
            let start = tier.chunk_start(utc_ms);
            let chunk = slot.get_or_insert_with(|| OpenChunk::new(start));
            if start < chunk.start {
                continue;
            }
            if chunk.start < start {
                let full = std::mem::replace(chunk, OpenChunk::new(start));
                self.closed.push(ChunkRow { tier, start: full.start, series, body: full.body() });
            }
            chunk.push(tier, utc_ms, value);
        }
        if CLOSED_MAX <= self.closed.len() {
            self.closed.drain(..CLOSED_MAX / 2);
        }
    }

    /// Chunks that a newer one closed; the tail may tell of their samples once more, which changes nothing.
    pub fn closed(&self) -> impl Iterator<Item = ChunkRow> {
        self.closed.iter().cloned()
    }

    /// The samples since the tail was last written.
    pub fn tail(&self) -> &[Sample] {
        &self.tail
    }

    /// With what was closed by then.
    pub fn tail_is_written(&mut self) {
        self.tail.clear();
        self.closed = Vec::new();
    }

    /// Every chunk that changed since chunks were last written; together they hold the whole tail.
    pub fn changed(&self) -> impl Iterator<Item = ChunkRow> {
        let open = self.open.iter().filter(|(_, open)| open.changed).flat_map(|(series, open)| {
            let chunks = Tier::ALL.into_iter().zip(&open.chunks);
            chunks.filter_map(|(tier, chunk)| {
                let chunk = chunk.as_ref()?;
                Some(ChunkRow { tier, start: chunk.start, series: *series, body: chunk.body() })
            })
        });
        self.closed().chain(open)
    }

    pub fn changed_are_written(&mut self) {
        self.tail_is_written();
        self.open.values_mut().for_each(|open| open.changed = false);
    }
}

impl OpenChunk {
    fn new(start: i64) -> Self {
        Self { start, points: Encoder::new(start), mean: None }
    }

    fn push(&mut self, tier: Tier, utc_ms: i64, value: f32) {
        if tier == Tier::Raw {
            return self.points.push(utc_ms, value);
        }
        let step = utc_ms - utc_ms.rem_euclid(tier.step_ms());
        match &mut self.mean {
            Some(mean) if mean.step == step => {
                mean.sum += f64::from(value);
                mean.count += 1;
            }
            slot => {
                if let Some(whole) = slot.replace(Mean { step, sum: f64::from(value), count: 1 }) {
                    self.points.push(whole.step, whole.value());
                }
            }
        }
    }

    /// With the mean that is still being taken.
    fn body(&self) -> Vec<u8> {
        let mut points = self.points.clone();
        if let Some(mean) = &self.mean {
            points.push(mean.step, mean.value());
        }
        points.bytes().to_vec()
    }
}

impl Mean {
    fn value(&self) -> f32 {
        (self.sum / f64::from(self.count.max(1))) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::chunk::decode;

    fn points(rows: &[ChunkRow], tier: Tier) -> Vec<(i64, f32)> {
        rows.iter().filter(|row| row.tier == tier).flat_map(|row| decode(row.start, &row.body)).collect()
    }

    fn sample(utc_ms: i64, value: f32) -> Sample {
        Sample { series: 7, utc_ms, value }
    }

    #[test]
    fn raw_samples_are_kept_and_minutes_are_means() {
        let mut chunks = OpenChunks::default();
        for (at, value) in [(0, 1.0), (30_000, 3.0), (60_000, 10.0)] {
            chunks.push(sample(at, value));
        }
        let rows: Vec<ChunkRow> = chunks.changed().collect();
        assert_eq!(points(&rows, Tier::Raw), [(0, 1.0), (30_000, 3.0), (60_000, 10.0)]);
        assert_eq!(points(&rows, Tier::Minutes), [(0, 2.0), (60_000, 10.0)]);
        assert_eq!(points(&rows, Tier::Hours).len(), 1);
    }

    #[test]
    fn a_chunk_that_a_newer_one_closes_is_written_too() {
        let mut chunks = OpenChunks::default();
        chunks.push(sample(599_000, 1.0));
        chunks.push(sample(600_000, 2.0));
        let raw: Vec<i64> = chunks.changed().filter(|row| row.tier == Tier::Raw).map(|row| row.start).collect();
        assert_eq!(raw, [0, 600_000]);
    }

    #[test]
    fn what_a_failed_write_left_is_written_by_the_next() {
        let mut chunks = OpenChunks::default();
        chunks.push(sample(599_000, 1.0));
        chunks.push(sample(600_000, 2.0));
        assert_eq!(chunks.changed().count(), 4);
        assert_eq!(chunks.tail().len(), 2);
        chunks.changed_are_written();
        assert!(chunks.changed().count() == 0 && chunks.tail().is_empty());
    }

    #[test]
    fn a_closed_chunk_stays_as_it_was_when_the_tail_tells_of_it_again() {
        let samples = [(0, 1.0), (599_000, 2.0), (600_000, 3.0)].map(|(at, value)| sample(at, value));
        let mut before = OpenChunks::default();
        samples.iter().for_each(|sample| before.push(*sample));
        let closed: Vec<ChunkRow> = before.closed().collect();
        before.tail_is_written();
        assert_eq!(before.closed().count(), 0);
        let mut after = OpenChunks::default();
        after.resume(Tier::Raw, 0, 7, &decode(0, &closed[0].body));
        samples.iter().for_each(|sample| after.fold(*sample));
        let rows: Vec<ChunkRow> = after.changed().collect();
        assert_eq!(points(&rows, Tier::Raw), [(0, 1.0), (599_000, 2.0), (600_000, 3.0)]);
    }
}
