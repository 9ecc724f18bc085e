//! A gzip file unpacked piece by piece, as polls bring it (RFC 1952, RFC 1951).

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Bytes of a member's head at most: a name and a comment are of no use here.
const HEAD_BYTES_MAX: usize = 4 << 10;
const TAIL_BYTES: usize = 8;
const OUT_BYTES: usize = 16 << 10;

/// What is no gzip, or not as it was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// How far a piece was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub bytes: usize,
    /// More comes of what was taken: the limit was reached.
    pub has_more: bool,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body(Box<Decompress>, Crc),
    Tail(Vec<u8>, Crc),
}

/// A file's members, one after another.
#[derive(Debug)]
pub struct Gunzip {
    state: State,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self { state: State::Head(Vec::new()) }
    }
}

impl Gunzip {
    /// Whether the file may end here.
    pub fn is_whole(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_empty())
    }

    /// Takes the next piece, and stops once it gave so much.
    pub fn feed(&mut self, piece: &[u8], out_max: usize, mut tell: impl FnMut(&[u8])) -> Result<Taken, Broken> {
        let (mut taken, mut given) = (0, 0);
        let mut out = vec![0; OUT_BYTES];
        loop {
            let rest = &piece[taken..];
            match &mut self.state {
                State::Head(head) => {
                    let Some(byte) = rest.first() else { break };
                    head.push(*byte);
                    taken += 1;
                    match is_whole_head(head) {
                        Some(true) => self.state = State::Body(Box::new(Decompress::new(false)), Crc::new()),
                        Some(false) => return Err(Broken),
                        None if HEAD_BYTES_MAX < head.len() => return Err(Broken),
                        None => {}
                    }
                }
                State::Body(inflate, crc) => {
                    if out_max <= given {
                        return Ok(Taken { bytes: taken, has_more: true });
                    }
                    let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
                    let status = inflate.decompress(rest, &mut out, FlushDecompress::None).map_err(|_| Broken)?;
                    let consumed = usize::try_from(inflate.total_in() - in_before).map_err(|_| Broken)?;
                    let produced = usize::try_from(inflate.total_out() - out_before).map_err(|_| Broken)?;
                    crc.update(&out[..produced]);
                    tell(&out[..produced]);
                    (taken, given) = (taken + consumed, given + produced);
                    if status == Status::StreamEnd {
                        let crc = std::mem::take(crc);
                        self.state = State::Tail(Vec::new(), crc);
                    } else if consumed == 0 && produced == 0 {
                        break;
                    }
                }
                State::Tail(tail, crc) => {
                    let Some(byte) = rest.first() else { break };
                    tail.push(*byte);
                    taken += 1;
                    if tail.len() == TAIL_BYTES {
                        let expected = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
                        if *tail != expected {
                            return Err(Broken);
                        }
                        self.state = State::Head(Vec::new());
                    }
                }
            }
        }
        Ok(Taken { bytes: taken, has_more: false })
    }
}

/// Whether a member's head is whole; `None` while more of it is to come.
fn is_whole_head(head: &[u8]) -> Option<bool> {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    let begun = &head[..head.len().min(MAGIC.len())];
    if !MAGIC.starts_with(begun) {
        return Some(false);
    }
    let flags = *head.get(3)?;
    let mut at = 10;
    if flags & 4 != 0 {
        let length = head.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    // A name, and a comment, each ended by a zero.
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        at += head.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
    }
    at += usize::from(flags & 2);
    (at <= head.len()).then_some(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packer = flate2::GzBuilder::new()
            .filename("pacct.1")
            .comment("c")
            .extra(vec![1; 9])
            .write(Vec::new(), flate2::Compression::default());
        packer.write_all(content).and_then(|()| packer.finish()).unwrap_or_default()
    }

    fn content() -> Vec<u8> {
        (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn two_members_are_unpacked_in_pieces_of_any_size() {
        let whole = [packed(&content()), packed(b"second")].concat();
        for size in [1, 7, 4_096, whole.len()] {
            let (mut gunzip, mut out) = (Gunzip::default(), Vec::new());
            for piece in whole.chunks(size) {
                let taken = gunzip.feed(piece, usize::MAX, |bytes| out.extend_from_slice(bytes));
                assert_eq!(taken, Ok(Taken { bytes: piece.len(), has_more: false }));
            }
            assert!(gunzip.is_whole() && out == [content(), b"second".to_vec()].concat(), "{size}");
        }
    }

    #[test]
    fn what_unpacks_to_very_much_comes_in_parts() {
        let bomb = packed(&vec![0; 8 << 20]);
        let (mut gunzip, mut at, mut sizes) = (Gunzip::default(), 0, Vec::new());
        while !gunzip.is_whole() || at == 0 {
            let mut size = 0;
            let taken = gunzip.feed(&bomb[at..], 1 << 20, |bytes| size += bytes.len());
            at += taken.map_or(0, |taken| taken.bytes);
            sizes.push(size);
        }
        assert!(at == bomb.len() && sizes.iter().sum::<usize>() == 8 << 20);
        assert!(8 <= sizes.len() && sizes.iter().all(|size| *size <= (1 << 20) + OUT_BYTES), "{sizes:?}");
    }

    #[test]
    fn what_was_changed_or_cut_is_told() {
        let good = packed(&content());
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last - 6] ^= 1;
        assert_eq!(Gunzip::default().feed(&bad, usize::MAX, |_| ()), Err(Broken));
        assert_eq!(Gunzip::default().feed(b"#!/bin/sh", usize::MAX, |_| ()), Err(Broken));
        let mut cut = Gunzip::default();
        assert!(cut.feed(&good[..good.len() / 2], usize::MAX, |_| ()).is_ok() && !cut.is_whole());
    }
}

#[cfg(test)]
mod never_panics {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            bytes.splice(0..0, [0x1f, 0x8b, 8]);
            let _ = Gunzip::default().feed(&bytes, 1 << 20, |_| ());
        }
    }
}
