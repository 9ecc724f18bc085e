//! Samples in chunks of a fixed span of time: about five bytes a point.
//!
//! A point is the time since the point before it, in quarter seconds as a variable-length number, and the value as
//! four bytes of IEEE 754.

use std::time::Duration;

/// The resolution of stored times.
const GRAIN_MS: i64 = 250;

/// A delta of nine bytes at most, and a value.
const POINT_BYTES_MAX: usize = 13;
/// Room made at once: a dozen points.
const RESERVED_BYTES: usize = 64;

/// How finely samples are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Raw,
    Minutes,
    Hours,
}

impl Tier {
    pub const ALL: [Tier; 3] = [Tier::Raw, Tier::Minutes, Tier::Hours];

    /// The tier's number in the store.
    pub fn number(self) -> i64 {
        match self {
            Tier::Raw => 0,
            Tier::Minutes => 1,
            Tier::Hours => 2,
        }
    }

    /// What one chunk spans: sixty points, for raw samples at the default cadence.
    pub fn span_ms(self) -> i64 {
        match self {
            Tier::Raw => 600_000,
            Tier::Minutes => 3_600_000,
            Tier::Hours => 60 * 3_600_000,
        }
    }

    /// Over what a point is the mean; raw points are as they came.
    pub fn step_ms(self) -> i64 {
        match self {
            Tier::Raw => 0,
            Tier::Minutes => 60_000,
            Tier::Hours => 3_600_000,
        }
    }

    pub fn kept_for(self) -> Duration {
        match self {
            Tier::Raw => Duration::from_secs(6 * 3_600),
            Tier::Minutes => Duration::from_secs(3 * 86_400),
            Tier::Hours => Duration::from_secs(400 * 86_400),
        }
    }

    /// The start of the chunk that holds a time.
    pub fn chunk_start(self, utc_ms: i64) -> i64 {
        utc_ms - utc_ms.rem_euclid(self.span_ms())
    }
}

/// A chunk while it grows: points in time order, encoded as they come.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    /// The time of the last point, in grains.
    last: i64,
}

impl Encoder {
    /// An empty chunk that begins at `start_ms`.
    pub fn new(start_ms: i64) -> Self {
        Self { bytes: Vec::new(), last: start_ms / GRAIN_MS }
    }

    /// Adds a point; one that is not newer than the last by a grain is left out, but for the first.
    pub fn push(&mut self, utc_ms: i64, value: f32) {
        let now = utc_ms / GRAIN_MS;
        let Ok(mut delta) = u64::try_from(now - self.last) else { return };
        if delta == 0 && !self.bytes.is_empty() {
            return;
        }
        self.last = now;
        if self.bytes.capacity() < self.bytes.len() + POINT_BYTES_MAX {
            // By doubling, the chunks of a large fleet would hold room for nearly twice their points.
            self.bytes.reserve_exact(RESERVED_BYTES);
        }
        while 0x80 <= delta {
            self.bytes.push(delta as u8 | 0x80);
            delta >>= 7;
        }
        self.bytes.push(delta as u8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Decodes a chunk; what follows a broken point is lost, and only that.
pub fn decode(start_ms: i64, bytes: &[u8]) -> Vec<(i64, f32)> {
    let mut points = Vec::new();
    let mut now = start_ms / GRAIN_MS;
    let mut rest = bytes;
    while let Some((delta, after)) = variable_length(rest) {
        let Some((value, after)) = after.split_first_chunk::<4>() else { break };
        now = now.saturating_add(i64::try_from(delta).unwrap_or(i64::MAX));
        points.push((now.saturating_mul(GRAIN_MS), f32::from_le_bytes(*value)));
        rest = after;
    }
    points
}

fn variable_length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(start_ms: i64, points: &[(i64, f32)]) -> Encoder {
        let mut encoder = Encoder::new(start_ms);
        points.iter().for_each(|(utc_ms, value)| encoder.push(*utc_ms, *value));
        encoder
    }

    proptest! {
        #[test]
        fn points_come_back_to_the_quarter_second(steps in proptest::collection::vec((1_i64..10_000, -1e9_f32..1e9), 0..80)) {
            let mut at = 1_790_000_000_000;
            let points: Vec<(i64, f32)> = steps.into_iter().map(|(step, value)| { at += step * 250; (at, value) }).collect();
            prop_assert_eq!(decode(1_790_000_000_000, encoded(1_790_000_000_000, &points).bytes()), points);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(0, &bytes);
        }
    }

    #[test]
    fn sixty_points_at_ten_seconds_take_five_bytes_each() {
        let points: Vec<(i64, f32)> = (0..60).map(|index| (index * 10_000, 1.0)).collect();
        assert_eq!(encoded(0, &points).bytes().len(), 60 * 5);
    }
}
