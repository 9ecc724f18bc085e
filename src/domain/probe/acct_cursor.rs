//! Where reading a host's accounting goes on: by inode and offset, through rotation and packing, each record once.

use serde::{Deserialize, Serialize};

use super::accounting::{AccountingReading, RawRecord};
use crate::domain::proof::acct::{AcctRecord, Decoder, RECORD_BYTES};
use crate::domain::proof::cpu::CpuTree;
use crate::domain::proof::gunzip::Gunzip;
use crate::domain::proof::own::OwnTree;

/// Bytes that one poll brings, before what is left is "catching up".
pub const BYTES_MAX: u64 = 256 << 10;
/// Bytes that a packed piece unpacks to before the rest waits for the next poll.
pub(super) const UNPACKED_BYTES_MAX: usize = 1 << 20;
/// A file that was last written longer ago tells nothing that is wanted.
const LOOK_BACK_S: i64 = 35 * 86_400;
/// A host's clock may be so far ahead of ours.
const FUTURE_S_MAX: i64 = 86_400;
/// How often users' names are read, in polls.
const NAMES_EVERY: u64 = 60;

/// One file, as it was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub inode: u64,
    pub size: u64,
    pub written_s: i64,
    pub name: String,
}

impl Segment {
    /// Reads `INODE SIZE MTIME NAME`.
    pub fn parse(rest: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(rest).ok()?;
        let mut words = text.splitn(4, ' ');
        Some(Self {
            inode: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            written_s: words.next()?.parse().ok()?,
            name: words.next()?.to_owned(),
        })
    }

    fn is_packed(&self) -> bool {
        self.name.ends_with(".gz")
    }
}

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcctCursor {
    pub(super) path: Option<String>,
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// Bytes before the offset that are the beginning of a record: a process that ends forgets them.
    pub(super) held: u64,
    /// The last bytes before the offset, a record's length at most: where they are others the file is another one.
    tail: Vec<u8>,
    pub(super) segments: Vec<Segment>,
    pub(super) covers_from_s: Option<u32>,
    pub(super) unbroken_from_s: Option<u32>,
    pub(super) newest_s: Option<u32>,
    pub(super) gaps: u32,
    pub(super) live_size: Option<(u64, u64)>,
    /// Whether it grew the last time that this could be told.
    pub(super) was_written: bool,
}

/// What is remembered beside it while the engine runs.
#[derive(Debug, Default)]
pub struct AcctMemory {
    pub(super) decoder: Decoder,
    pub(super) own: OwnTree,
    pub(super) cpu: CpuTree,
    /// Where a packed file is unpacked on.
    pub(super) packed: Option<Packed>,
    pub(super) polls: u64,
    /// When the first record ended that was read.
    pub(super) read_from_s: Option<u32>,
}

/// A packed file on its way. What is stored is how far its content was read: after a restart it is unpacked anew, up to there.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) inode: u64,
    gunzip: Gunzip,
    /// Bytes of the packed file that were taken.
    taken: u64,
    /// Bytes of its content that were unpacked, that were passed before, and from which it is read on.
    at: u64,
    known: u64,
    start: u64,
    /// The last bytes of what was passed before.
    seen: Vec<u8>,
    pub(super) has_more: bool,
}

impl AcctMemory {
    /// What comes next does not go on from what came before.
    pub(super) fn lose_place(&mut self) {
        self.decoder = Decoder::default();
        self.cpu.clear();
        self.packed = None;
    }
}

impl AcctCursor {
    /// The parameters of [`super::accounting::SCRIPT`].
    pub fn parameters(&self, memory: &AcctMemory, configured: Option<&str>) -> Vec<String> {
        let is_due = memory.polls.is_multiple_of(NAMES_EVERY);
        let place = configured.or(self.path.as_deref()).unwrap_or(if is_due { "?" } else { "-" });
        let names = if is_due { "names" } else { "" };
        let numbers = [self.inode, self.from(memory), BYTES_MAX].map(|number| number.to_string());
        [place.to_owned()].into_iter().chain(numbers).chain([names.to_owned()]).collect()
    }

    /// From which byte of the file, as it lies on its host, reading goes on: of one that is not packed a little before it.
    pub(super) fn from(&self, memory: &AcctMemory) -> u64 {
        let packed = memory.packed.as_ref().filter(|packed| packed.inode == self.inode);
        match self.is_packed() {
            true => packed.map_or(0, |packed| packed.taken),
            false => self.start(memory).min(self.offset.saturating_sub(self.tail.len() as u64)),
        }
    }

    /// Whether the file that is read on is packed.
    fn is_packed(&self) -> bool {
        self.segments.iter().any(|segment| segment.inode == self.inode && segment.is_packed())
    }

    /// From which byte of its content the file is read on.
    fn start(&self, memory: &AcctMemory) -> u64 {
        if memory.decoder.held() == 0 { self.offset.saturating_sub(self.held) } else { self.offset }
    }

    /// Reads on from the beginning of this file.
    fn begin(&mut self, inode: u64) {
        (self.inode, self.offset, self.held) = (inode, 0, 0);
        self.tail.clear();
    }

    /// What was taken for the file that was read before is another one: its content is read from its beginning.
    pub(super) fn begin_anew(&mut self, memory: &mut AcctMemory) {
        self.note_gap();
        self.begin(self.inode);
        memory.lose_place();
    }

    /// Moves past bytes of the content.
    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(RECORD_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(RECORD_BYTES);
        self.tail.drain(..surplus);
    }

    /// The inode that is read on, and from which byte; `None` before a file was seen.
    pub fn place(&self, memory: &AcctMemory) -> Option<(u64, u64)> {
        (self.inode != 0).then(|| (self.inode, self.from(memory)))
    }

    /// Whether more is there to be read than one poll brought.
    pub fn is_behind(&self) -> bool {
        self.inode != 0
            && self.segments.last().is_some_and(|live| live.inode != self.inode || self.offset + BYTES_MAX <= live.size)
    }

    /// Takes a new listing, the file that is written now last: finds the place where reading goes on. `known_bytes` is how
    /// far the file had been read before it was listed: it may have grown while it was read.
    pub(super) fn list(&mut self, segments: Vec<Segment>, memory: &mut AcctMemory, known_bytes: u64, now_s: i64) {
        let before = std::mem::replace(&mut self.segments, segments);
        let Some(live) = self.segments.last().map(|live| live.inode) else {
            self.begin(0);
            return;
        };
        let wanted = |segment: &&Segment| now_s - LOOK_BACK_S <= segment.written_s || segment.inode == live;
        if self.inode == 0 {
            self.begin(self.segments.iter().find(wanted).map_or(live, |first| first.inode));
        } else if let Some(here) = self.segments.iter().find(|segment| segment.inode == self.inode) {
            if !here.is_packed() && here.size < known_bytes {
                // Cut to nothing under the same name: what came between is lost.
                self.begin_anew(memory);
            }
        } else {
            // Packed meanwhile, it has another inode and the same content: a packed file that was not there before.
            let is_new = |segment: &&Segment| before.iter().all(|old| old.inode != segment.inode);
            let packed = self.segments.iter().filter(|segment| segment.is_packed()).find(is_new);
            match packed {
                Some(packed) => self.inode = packed.inode,
                None => {
                    self.begin(self.segments.iter().find(is_new).map_or(live, |next| next.inode));
                    self.begin_anew(memory);
                }
            }
        }
    }

    /// Switched off, or suspended: what ends meanwhile is not recorded. It is one gap, however long.
    pub(super) fn note_written(&mut self, grew: Option<bool>) {
        match grew {
            Some(true) => self.was_written = true,
            Some(false) if self.was_written => {
                self.was_written = false;
                self.note_gap();
            }
            Some(false) => self.unbroken_from_s = None,
            None => {}
        }
    }

    pub(super) fn note_gap(&mut self) {
        self.gaps += 1;
        self.unbroken_from_s = None;
    }

    /// Goes on to the next file, where this one is at its end and another is written.
    pub(super) fn go_on(&mut self, memory: &mut AcctMemory) {
        memory.packed = None;
        let here = self.segments.iter().position(|segment| segment.inode == self.inode);
        if let Some(next) = here.and_then(|here| self.segments.get(here + 1)) {
            self.begin(next.inode);
        }
    }

    /// Of a packed file nobody knows how much more it holds than it is long.
    pub(super) fn behind_bytes(&self) -> u64 {
        let here = self.segments.iter().position(|segment| segment.inode == self.inode).unwrap_or(0);
        let last = self.segments.len().saturating_sub(1);
        let left = |(index, segment): (usize, &Segment)| match index == here {
            true if segment.is_packed() => segment.size.max(1),
            true if index < last => segment.size.saturating_sub(self.offset).max(1),
            true => segment.size.saturating_sub(self.offset),
            false => segment.size,
        };
        self.segments.iter().enumerate().skip(here).map(left).sum()
    }
}

/// Why what came can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// It is packed, and can't be unpacked.
    Broken,
    /// It is not the file that was read before.
    Another,
}

/// Takes what came of the file that is read on.
pub(super) fn take(
    bytes: &[u8],
    cursor: &mut AcctCursor,
    memory: &mut AcctMemory,
    now_s: i64,
    reading: &mut AccountingReading,
) -> Result<(), Untaken> {
    let mut found: Vec<RawRecord> = Vec::new();
    let before = memory.decoder.passed_over;
    let (asked, start) = (cursor.from(memory), cursor.start(memory));
    let AcctMemory { decoder, cpu, packed, .. } = memory;
    let mut decode = |content: &[u8]| {
        decoder.feed(content, |raw, record| {
            let whole_cpu_ms = cpu.take(&record);
            found.push(RawRecord { raw: *raw, record, whole_cpu_ms });
        });
    };
    let taken = match cursor.is_packed() {
        true => {
            let packed = match packed.as_mut().filter(|packed| packed.inode == cursor.inode) {
                Some(packed) => packed,
                None => packed.insert(Packed::of(cursor.inode, cursor.offset, start)),
            };
            packed.take(bytes, cursor, decode)
        }
        false => {
            // Fewer bytes than were there before are told by the listing.
            let known = bytes.get((cursor.offset.saturating_sub(cursor.tail.len() as u64) - asked) as usize..);
            match known.and_then(|known| known.get(..cursor.tail.len())) {
                Some(known) if known != cursor.tail => return Err(Untaken::Another),
                Some(_) => {
                    decode(&bytes[(start - asked) as usize..]);
                    cursor.pass(&bytes[(cursor.offset - asked) as usize..]);
                }
                None => {}
            }
            Ok(())
        }
    };
    cursor.held = memory.decoder.held() as u64;
    reading.passed_over = memory.decoder.passed_over - before;
    let records: Vec<AcctRecord> = found.iter().map(|found| found.record).collect();
    let marks = memory.own.mark(&records);
    // Records come in the order of their ends; one from the future tells of a clock that was wrong.
    let ends = records.iter().map(|record| record.end_ms() / 1_000).filter(|end_s| *end_s <= now_s + FUTURE_S_MAX);
    let ends: Vec<u32> = ends.filter_map(|end_s| u32::try_from(end_s).ok()).collect();
    cursor.covers_from_s = ends.first().copied().into_iter().chain(cursor.covers_from_s).min();
    cursor.unbroken_from_s = cursor.unbroken_from_s.or(ends.first().copied());
    memory.read_from_s = memory.read_from_s.or(ends.first().copied());
    // A clock that was ahead and was set back is behind what it wrote before: the newest records count.
    cursor.newest_s = ends.last().copied().or(cursor.newest_s);
    let own = marks.iter().filter(|is_own| **is_own).count();
    (reading.own, reading.others) = (own as u32, (found.len() - own) as u32);
    reading.records = found.into_iter().zip(marks).filter(|(_, is_own)| !is_own).map(|(found, _)| found).collect();
    taken
}

impl Packed {
    /// One whose content was passed up to `known`, and is read on from `start`.
    fn of(inode: u64, known: u64, start: u64) -> Self {
        let (gunzip, seen) = (Gunzip::default(), Vec::new());
        Self { inode, gunzip, taken: 0, at: 0, known, start, seen, has_more: false }
    }

    /// Unpacks what came, and gives what was not read before.
    fn take(&mut self, bytes: &[u8], cursor: &mut AcctCursor, mut decode: impl FnMut(&[u8])) -> Result<(), Untaken> {
        let Self { gunzip, at, known, start, seen, .. } = self;
        let mut is_another = false;
        let fed = gunzip.feed(bytes, UNPACKED_BYTES_MAX, |content| {
            let end = *at + content.len() as u64;
            let from = |place: u64| (place.clamp(*at, end) - *at) as usize;
            if *at < *known {
                seen.extend_from_slice(&content[..from(*known)]);
                let surplus = seen.len().saturating_sub(RECORD_BYTES);
                seen.drain(..surplus);
                is_another |= *known <= end && !seen.ends_with(&cursor.tail);
            }
            if !is_another {
                decode(&content[from(*start)..]);
                cursor.pass(&content[from(*known)..]);
            }
            *at = end;
        });
        if is_another {
            return Err(Untaken::Another);
        }
        let taken = fed.map_err(|_| Untaken::Broken)?;
        self.taken += taken.bytes as u64;
        self.has_more = taken.has_more;
        let is_end = (bytes.len() as u64) < BYTES_MAX && !taken.has_more;
        match is_end {
            true if !self.gunzip.is_whole() => Err(Untaken::Broken),
            // It holds less than was read of the one that it was taken for.
            true if self.at < self.known => Err(Untaken::Another),
            true | false => Ok(()),
        }
    }
}
