//! Process accounting records, acct(5): read from their raw bytes, so that a host needs no tool for it.
//!
//! Versions 0 to 3 in both byte orders, 64 bytes each. Layouts from Linux's `include/uapi/linux/acct.h`.

use serde::{Deserialize, Serialize};

/// A record of any version.
pub const RECORD_BYTES: usize = 64;
/// Set in the version byte of a record that a big-endian machine wrote.
const BIG_ENDIAN: u8 = 0x80;
/// Ticks a second of every field of version 3, and of the others where they do not say.
const TICKS_PER_S: u64 = 100;
/// A hundred years.
const TICKS_MAX: f32 = 100.0 * 365.0 * 86_400.0 * 100.0;
/// No kernel wrote an earlier record: 1995-01-01.
const BEGIN_S_MIN: u32 = 788_918_400;

/// It forked and never executed another program.
pub const FORKED: u8 = 0x01;
/// It used the superuser's rights.
pub const SUPERUSER: u8 = 0x02;
/// It left a core.
pub const CORE: u8 = 0x08;
/// A signal ended it.
pub const SIGNALLED: u8 = 0x10;

/// How a process ended, from its raw wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Exited(u8),
    Killed { signal: u8, core: bool },
}

impl Ended {
    /// Reads a wait status: the low seven bits are a signal, the eighth a core, the next eight an exit status.
    pub fn of(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Ended::Exited((status >> 8 & 0xff) as u8),
            signal => Ended::Killed { signal, core: status & 0x80 != 0 },
        }
    }

    pub fn is_success(self) -> bool {
        self == Ended::Exited(0)
    }
}

/// One process that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcctRecord {
    pub flags: u8,
    pub version: u8,
    /// The device of its terminal, as the kernel encodes it; 0 for none.
    pub tty: u16,
    pub status: u32,
    pub uid: u32,
    pub gid: u32,
    /// Known of version 3 alone; 0 otherwise.
    pub pid: u32,
    pub ppid: u32,
    /// When it began, in seconds since the epoch by the host's clock.
    pub begin_s: u32,
    pub elapsed_ms: u64,
    pub user_ms: u64,
    pub system_ms: u64,
    /// Average memory, KiB.
    pub memory_kib: u64,
    /// The first 15 bytes of its name (16 before version 3), filled with zeros.
    pub comm: [u8; 16],
}

impl AcctRecord {
    pub fn ended(&self) -> Ended {
        Ended::of(self.status)
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Milliseconds since the epoch.
    pub fn begin_ms(&self) -> i64 {
        i64::from(self.begin_s) * 1_000
    }

    pub fn end_ms(&self) -> i64 {
        self.begin_ms().saturating_add(i64::try_from(self.elapsed_ms).unwrap_or(i64::MAX))
    }

    /// Its name's bytes.
    pub fn name(&self) -> &[u8] {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        &self.comm[..end]
    }

    pub fn cpu_ms(&self) -> u64 {
        self.user_ms.saturating_add(self.system_ms)
    }
}

/// `c & 0x1fff` shifted left by three for each of the three bits above.
fn comp(value: u16) -> u64 {
    u64::from(value & 0x1fff) << (3 * u32::from(value >> 13))
}

/// Fields of a record in its own byte order.
struct Fields<'a> {
    bytes: &'a [u8; RECORD_BYTES],
    big: bool,
}

impl Fields<'_> {
    fn u16(&self, at: usize) -> u16 {
        let pair = [self.bytes[at], self.bytes[at + 1]];
        if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    fn u32(&self, at: usize) -> u32 {
        let four = [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]];
        if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }
}

/// Reads one record; `None` for what is none.
pub fn read(bytes: &[u8; RECORD_BYTES]) -> Option<AcctRecord> {
    let (flags, version) = (bytes[0], bytes[1]);
    let fields = Fields { bytes, big: version & BIG_ENDIAN != 0 };
    let record = match version & !BIG_ENDIAN {
        3 => version_3(&fields)?,
        0..=2 => version_0_to_2(&fields)?,
        _ => return None,
    };
    let is_name = record.name().iter().all(|byte| *byte != 0x7f && 0x20 <= *byte) && !record.name().is_empty();
    let is_padded = record.comm[record.name().len()..].iter().all(|byte| *byte == 0);
    (flags & 0xc0 == 0 && BEGIN_S_MIN <= record.begin_s && is_name && is_padded).then_some(record)
}

fn version_3(fields: &Fields<'_>) -> Option<AcctRecord> {
    let ticks = f32::from_bits(fields.u32(28));
    // What never ends is no process, and neither is one from before its own beginning.
    if !(0.0..=TICKS_MAX).contains(&ticks) {
        return None;
    }
    let ms = |ticks: u64| ticks * 1_000 / TICKS_PER_S;
    Some(AcctRecord {
        flags: fields.bytes[0],
        version: 3,
        tty: fields.u16(2),
        status: fields.u32(4),
        uid: fields.u32(8),
        gid: fields.u32(12),
        pid: fields.u32(16),
        ppid: fields.u32(20),
        begin_s: fields.u32(24),
        elapsed_ms: (f64::from(ticks) * 1_000.0 / TICKS_PER_S as f64) as u64,
        user_ms: ms(comp(fields.u16(32))),
        system_ms: ms(comp(fields.u16(34))),
        memory_kib: comp(fields.u16(36)),
        comm: *fields.bytes.last_chunk::<16>()?,
    })
}

fn version_0_to_2(fields: &Fields<'_>) -> Option<AcctRecord> {
    let ticks_per_s = match u64::from(fields.u16(30)) {
        0 => TICKS_PER_S,
        ticks => ticks,
    };
    let ms = |ticks: u64| ticks * 1_000 / ticks_per_s;
    let mut comm = [0; 16];
    comm.copy_from_slice(&fields.bytes[36..52]);
    // Wider ids came beside the first ones, which have their place still.
    let id = |wide: usize, narrow: usize| match fields.u32(wide) {
        0 => u32::from(fields.u16(narrow)),
        id => id,
    };
    // Its seventeenth byte ends the name.
    (fields.bytes[52] == 0).then_some(AcctRecord {
        flags: fields.bytes[0],
        version: fields.bytes[1] & !BIG_ENDIAN,
        tty: fields.u16(6),
        status: fields.u32(32),
        uid: id(56, 2),
        gid: id(60, 4),
        pid: 0,
        ppid: 0,
        begin_s: fields.u32(8),
        elapsed_ms: ms(comp(fields.u16(16))),
        user_ms: ms(comp(fields.u16(12))),
        system_ms: ms(comp(fields.u16(14))),
        memory_kib: comp(fields.u16(18)),
        comm,
    })
}

/// Records out of pieces of a file, with what lies between them passed over and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// Bytes of a record that has not come whole.
    rest: Vec<u8>,
    /// Bytes that belong to no record.
    pub passed_over: u64,
    is_lost: bool,
}

impl Decoder {
    /// Reads the next piece; each record is told with its raw bytes.
    pub fn feed(&mut self, piece: &[u8], mut tell: impl FnMut(&[u8; RECORD_BYTES], AcctRecord)) {
        let mut bytes: &[u8] = piece;
        // A record that was cut by the last piece's end is put together first, byte by byte where it is none.
        while !self.rest.is_empty() {
            let wanted = self.wanted();
            let taken = wanted.saturating_sub(self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.rest.len() < wanted {
                return;
            }
            let rest = std::mem::take(&mut self.rest);
            match self.at(&rest) {
                Some(record) => {
                    tell(record.0, record.1);
                    self.rest = rest[RECORD_BYTES..].to_vec();
                }
                None => self.rest = rest[1..].to_vec(),
            }
        }
        while self.wanted() <= bytes.len() {
            match self.at(bytes) {
                Some((raw, record)) => {
                    tell(raw, record);
                    bytes = &bytes[RECORD_BYTES..];
                }
                None => bytes = &bytes[1..],
            }
        }
        self.rest = bytes.to_vec();
    }

    /// Bytes of a record that has not come whole.
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// How much must be seen to tell a record: once the place is lost, two in a row.
    fn wanted(&self) -> usize {
        if self.is_lost { 2 * RECORD_BYTES } else { RECORD_BYTES }
    }

    fn at<'a>(&mut self, bytes: &'a [u8]) -> Option<(&'a [u8; RECORD_BYTES], AcctRecord)> {
        let found = bytes.first_chunk::<RECORD_BYTES>().and_then(|raw| Some((raw, read(raw)?)));
        let is_so = !self.is_lost || bytes[RECORD_BYTES..].first_chunk::<RECORD_BYTES>().and_then(read).is_some();
        match found.filter(|_| is_so) {
            Some(found) => {
                self.is_lost = false;
                Some(found)
            }
            None => {
                self.is_lost = true;
                self.passed_over += 1;
                None
            }
        }
    }

    /// At the end of a file: what came last after something strange is a record all the same.
    pub fn finish(&mut self, mut tell: impl FnMut(&[u8; RECORD_BYTES], AcctRecord)) {
        let rest = std::mem::take(&mut self.rest);
        let mut bytes: &[u8] = &rest;
        while let Some(raw) = bytes.first_chunk::<RECORD_BYTES>() {
            match read(raw) {
                Some(record) => {
                    tell(raw, record);
                    bytes = &bytes[RECORD_BYTES..];
                }
                None => {
                    self.passed_over += 1;
                    bytes = &bytes[1..];
                }
            }
        }
        self.passed_over += bytes.len() as u64;
        self.is_lost = false;
    }
}

/// A record of version 3 as a little-endian machine writes it: for tests and crafted histories.
pub fn write(record: &AcctRecord) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &[record.flags, 3]);
    put(2, &record.tty.to_le_bytes());
    let words = [record.status, record.uid, record.gid, record.pid, record.ppid, record.begin_s];
    words.iter().enumerate().for_each(|(index, word)| put(4 + 4 * index, &word.to_le_bytes()));
    let ticks = record.elapsed_ms as f32 * TICKS_PER_S as f32 / 1_000.0;
    put(28, &ticks.to_bits().to_le_bytes());
    put(32, &compressed(record.user_ms * TICKS_PER_S / 1_000).to_le_bytes());
    put(34, &compressed(record.system_ms * TICKS_PER_S / 1_000).to_le_bytes());
    put(36, &compressed(record.memory_kib).to_le_bytes());
    put(48, &record.comm);
    bytes
}

fn compressed(mut value: u64) -> u16 {
    let mut exponent = 0_u16;
    while 0x1fff < value && exponent < 7 {
        value >>= 3;
        exponent += 1;
    }
    exponent << 13 | u16::try_from(value).unwrap_or(0x1fff).min(0x1fff)
}

#[cfg(test)]
#[path = "acct_tests.rs"]
pub mod tests;
