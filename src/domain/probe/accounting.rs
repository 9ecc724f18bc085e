//! Process accounting: where its files lie, and what was written to them since the last poll, as raw bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::script::Answer;
use super::{ParseError, lines, number};
use crate::domain::proof::acct::{AcctRecord, Decoder, RECORD_BYTES};
use crate::domain::proof::cpu::CpuTree;
use crate::domain::proof::gunzip::{Broken, Gunzip};
use crate::domain::proof::join::Certainty;
use crate::domain::proof::own::OwnTree;
use crate::domain::proof::word::Speaker;
use crate::domain::text::SafeText;

/// Bytes that one poll brings, before what is left is "catching up".
pub const BYTES_MAX: u64 = 256 << 10;
/// Bytes that a packed piece unpacks to before the rest waits for the next poll.
const UNPACKED_BYTES_MAX: usize = 4 << 20;
/// A file that was last written longer ago tells nothing that is wanted.
pub const LOOK_BACK_S: i64 = 35 * 86_400;
/// A host's clock may be so far ahead of ours.
const FUTURE_S_MAX: i64 = 86_400;
/// Users whose names are read, and how often they are.
const USERS_MAX: usize = 2_000;
const NAMES_EVERY: u64 = 60;
/// Segments that are listed.
const SEGMENTS_MAX: usize = 100;

/// `$1` the file, `-` for the usual places, `?` to look also where the system says; `$2` the inode that is read on, 0 for
/// none; `$3` from which byte of it as it lies there, packed or not, `$4` how many; `$5` `names` for the users' names.
///
/// Prints `k HIGH LOW EVERY` of /proc/sys/kernel/acct, `s SESSION SHELL` of this poll, `p PATH` or `n`, `a INODE SIZE MTIME
/// REST` each file of it with the rest of its name, the one that is written first, `x INODE` where that can't be read,
/// `w UID NAME` each user, `d` where it may not be read; then `c INODE FROM`, a cut, the bytes and a cut.
pub const SCRIPT: &str = r#"
{ read -r dw_x </proc/sys/kernel/acct; } 2>/dev/null && dw_say "k $dw_x"
dw_say "s $PPID $$"
dw_c=0
[ "$5" = names ] && while IFS=: read -r dw_x dw_y dw_z dw_r && [ "$dw_c" -lt 2000 ]; do dw_c=$((dw_c + 1)); dw_say "w $dw_z $dw_x"; done </etc/passwd
dw_a=
case $1 in
/*) dw_a=$1 ;;
*)
  for dw_f in /var/log/account/pacct /var/account/pacct /var/log/pacct /var/adm/pacct; do [ -e "$dw_f" ] && dw_a=$dw_f && break; done
  if [ -z "$dw_a" ] && [ "$1" = '?' ]; then
    for dw_f in $(grep -hsoE '(accton|ACCTFILE=|ATOPACCT=)[[:space:]"]*/[A-Za-z0-9/._-]+' /etc/init.d/* /etc/default/* /etc/cron.d/* /etc/cron.daily/* /etc/logrotate.d/* /etc/rc.local /lib/systemd/system/*acct*.service </dev/null | grep -oE '/[A-Za-z0-9/._-]+'); do
      [ -f "$dw_f" ] && dw_a=$dw_f && break
    done
  fi ;;
esac
if [ -z "$dw_a" ] || [ ! -e "$dw_a" ]; then dw_say n
else
  dw_say "p $dw_a"
  dw_i=$2 dw_from=$3 dw_cap=$4 dw_name=
  set --
  for dw_f in "$dw_a" "$dw_a".[0-9]* "$dw_a"-[0-9]*; do [ -f "$dw_f" ] && set -- "$@" "$dw_f"; done
  [ -r "$dw_a" ] || dw_say d
  dw_all=$(stat -L -c '%i %s %Y %n' -- "$@" 2>/dev/null </dev/null)
  set -f
  dw_ifs=$IFS IFS=$dw_nl
  for dw_l in $dw_all; do
    dw_p=${dw_l#* * * }
    dw_say "a ${dw_l%"$dw_p"}${dw_p#"$dw_a"}"
    case $dw_l in "$dw_i "*) dw_name=$dw_p ;; esac
  done
  IFS=$dw_ifs
  set +f
  if [ -n "$dw_name" ] && [ ! -r "$dw_name" ]; then dw_say "x $dw_i"
  elif [ -n "$dw_name" ]; then
    dw_say "c $dw_i $dw_from"
    dw_cut
    tail -c "+$((dw_from + 1))" -- "$dw_name" </dev/null | head -c "$dw_cap"
    dw_cut
  fi
fi
:
"#;

/// One run, for screens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunMark {
    /// Seconds since the epoch by the host's clock.
    pub at_s: u32,
    pub took_ms: Option<u64>,
    /// Whether it is proven to have succeeded or failed.
    pub is_ok: Option<bool>,
    /// How it ended, by whoever tells of it most exactly.
    pub end: Option<RunEnd>,
    /// The CPU time of it and of all that it began.
    pub cpu_ms: Option<u64>,
    /// The highest one-minute load for each CPU while it ran, in hundredths.
    pub load_hundredths: Option<u32>,
    /// How sure it is that a record of accounting is its own.
    pub by_record: Option<Certainty>,
    pub by_words: Vec<Speaker>,
    pub left_archive: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunEnd {
    Exited(i32),
    Killed {
        signal: u8,
        core: bool,
    },
    /// In words of its own log or of systemd.
    Told(SafeText),
}

/// A record with its bytes, as the host keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawRecord {
    pub raw: [u8; RECORD_BYTES],
    pub record: AcctRecord,
    /// The CPU time of this process and of all below it that ended before it did, milliseconds.
    pub whole_cpu_ms: u64,
}

/// One poll's view of a host's accounting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountingReading {
    /// The file; `None` where there is none.
    pub path: Option<SafeText>,
    /// Whether it may not be read by this login.
    pub is_denied: bool,
    /// Percent free at which the kernel suspends accounting and takes it up again.
    pub limits: Option<(u32, u32)>,
    /// Bytes of the file that is written now, and whether it grew since the poll before, which began processes.
    pub size_bytes: u64,
    pub grew: Option<bool>,
    /// What is still to be read of older files.
    pub behind_bytes: u64,
    /// When the oldest record that was read ended, and the newest, by the host's clock.
    pub covers_from_s: Option<u32>,
    /// Since when nothing that ended can be missing.
    pub unbroken_from_s: Option<u32>,
    pub newest_s: Option<u32>,
    /// Rotations or cuts that lost what was written last.
    pub gaps: u32,
    /// Bytes that are no records.
    pub passed_over: u64,
    /// Records of others and of our own polling, in this poll.
    pub others: u32,
    pub own: u32,
    /// The newest runs of each declared job, with what is known of them.
    pub runs: BTreeMap<String, Vec<RunMark>>,
    /// The users' names, now and then.
    #[serde(skip)]
    pub users: BTreeMap<u32, SafeText>,
    /// The records of others. Not stored: the evidence that is kept has files of its own.
    #[serde(skip)]
    pub records: Vec<RawRecord>,
}

/// One file, as it was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    inode: u64,
    size: u64,
    written_s: i64,
    name: String,
}

impl Segment {
    fn is_packed(&self) -> bool {
        self.name.ends_with(".gz")
    }
}

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcctCursor {
    path: Option<String>,
    inode: u64,
    offset: u64,
    /// Bytes before the offset that are the beginning of a record: a process that ends forgets them.
    held: u64,
    segments: Vec<Segment>,
    covers_from_s: Option<u32>,
    unbroken_from_s: Option<u32>,
    newest_s: Option<u32>,
    gaps: u32,
    live_size: Option<(u64, u64)>,
}

/// What is remembered beside it while the engine runs.
#[derive(Debug, Default)]
pub struct AcctMemory {
    decoder: Decoder,
    own: OwnTree,
    cpu: CpuTree,
    /// Where a packed file is unpacked on.
    packed: Option<Packed>,
    polls: u64,
}

/// A packed file on its way. What is stored is how far its content was read: after a restart it is unpacked anew, up to there.
#[derive(Debug)]
struct Packed {
    inode: u64,
    gunzip: Gunzip,
    /// Bytes of the packed file that were taken.
    taken: u64,
    /// Bytes of the content that were read before.
    skip: u64,
    has_more: bool,
}

impl AcctMemory {
    /// What comes next does not go on from what came before.
    fn lose_place(&mut self) {
        self.decoder = Decoder::default();
        self.cpu.clear();
    }
}

impl AcctCursor {
    /// The parameters of [`SCRIPT`].
    pub fn parameters(&self, memory: &AcctMemory, configured: Option<&str>) -> Vec<String> {
        let is_due = memory.polls.is_multiple_of(NAMES_EVERY);
        let place = configured.or(self.path.as_deref()).unwrap_or(if is_due { "?" } else { "-" });
        let names = if is_due { "names" } else { "" };
        let numbers = [self.inode, self.from(memory), BYTES_MAX].map(|number| number.to_string());
        [place.to_owned()].into_iter().chain(numbers).chain([names.to_owned()]).collect()
    }

    /// From which byte of the file, as it lies on its host, reading goes on.
    fn from(&self, memory: &AcctMemory) -> u64 {
        let is_packed = self.segments.iter().any(|segment| segment.inode == self.inode && segment.is_packed());
        let packed = memory.packed.as_ref().filter(|packed| packed.inode == self.inode);
        if is_packed { packed.map_or(0, |packed| packed.taken) } else { self.start(memory) }
    }

    /// From which byte of its content the file is read on.
    fn start(&self, memory: &AcctMemory) -> u64 {
        if memory.decoder.held() == 0 { self.offset.saturating_sub(self.held) } else { self.offset }
    }

    /// The inode that is read on, and from which byte; `None` before a file was seen.
    pub fn place(&self) -> Option<(u64, u64)> {
        (self.inode != 0).then_some((self.inode, self.offset))
    }

    /// Whether more is there to be read than one poll brought.
    pub fn is_behind(&self) -> bool {
        self.inode != 0
            && self.segments.last().is_some_and(|live| live.inode != self.inode || self.offset + BYTES_MAX <= live.size)
    }

    /// Takes a new listing, the file that is written now last: finds the place where reading goes on. `known_bytes` is how
    /// far the file had been read before it was listed: it may have grown while it was read.
    fn list(&mut self, segments: Vec<Segment>, memory: &mut AcctMemory, known_bytes: u64, now_s: i64) {
        let before = std::mem::replace(&mut self.segments, segments);
        let Some(live) = self.segments.last().map(|live| live.inode) else {
            (self.inode, self.offset) = (0, 0);
            return;
        };
        let wanted = |segment: &&Segment| now_s - LOOK_BACK_S <= segment.written_s || segment.inode == live;
        if self.inode == 0 {
            self.inode = self.segments.iter().find(wanted).map_or(live, |first| first.inode);
            self.offset = 0;
        } else if let Some(here) = self.segments.iter().find(|segment| segment.inode == self.inode) {
            if !here.is_packed() && here.size < known_bytes {
                // Cut to nothing under the same name: what came between is lost.
                self.note_gap();
                self.offset = 0;
                memory.lose_place();
            }
        } else {
            // Packed meanwhile, it has another inode and the same content: a packed file that was not there before.
            let is_new = |segment: &&Segment| before.iter().all(|old| old.inode != segment.inode);
            let packed = self.segments.iter().filter(|segment| segment.is_packed()).find(is_new);
            match packed {
                Some(packed) => self.inode = packed.inode,
                None => {
                    self.note_gap();
                    self.inode = self.segments.iter().find(is_new).map_or(live, |next| next.inode);
                    self.offset = 0;
                    memory.lose_place();
                }
            }
        }
    }

    fn note_gap(&mut self) {
        self.gaps += 1;
        self.unbroken_from_s = None;
    }

    /// Goes on to the next file, where this one is at its end and another is written.
    fn go_on(&mut self) {
        let here = self.segments.iter().position(|segment| segment.inode == self.inode);
        if let Some(next) = here.and_then(|here| self.segments.get(here + 1)) {
            (self.inode, self.offset) = (next.inode, 0);
        }
    }

    /// Of a packed file nobody knows how much more it holds than it is long.
    fn behind_bytes(&self) -> u64 {
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

/// Reads [`SCRIPT`]'s answer; `now_s` is the observer's clock.
pub fn parse(
    answer: &Answer,
    cursor: &mut AcctCursor,
    memory: &mut AcctMemory,
    now_s: i64,
) -> Result<AccountingReading, ParseError> {
    memory.polls += 1;
    let mut reading = AccountingReading::default();
    let head = answer.parts.first().copied().unwrap_or(answer.body);
    let mut segments = Vec::new();
    let (mut read_from, mut is_unreadable) = (None, false);
    for (index, line) in lines(head) {
        match line {
            [b'k', b' ', rest @ ..] => reading.limits = limits(rest),
            [b's', b' ', rest @ ..] => {
                let mut pids = rest.split(|byte| *byte == b' ').filter_map(number::<u32>);
                if let (Some(session), Some(shell)) = (pids.next(), pids.next()) {
                    memory.own.learn(session, shell);
                }
            }
            [b'p', b' ', path @ ..] => {
                reading.path = Some(SafeText::from_bytes_capped(path, 300));
                cursor.path = plain_path(path);
            }
            [b'a', b' ', rest @ ..] if segments.len() < SEGMENTS_MAX => {
                segments.push(segment(rest).ok_or(ParseError::line(index, "INODE SIZE MTIME NAME"))?);
            }
            [b'w', b' ', rest @ ..] if reading.users.len() < USERS_MAX => {
                let text = SafeText::from_bytes_capped(rest, 100);
                let user = text.as_str().split_once(' ').and_then(|(uid, name)| Some((uid.parse().ok()?, name.into())));
                reading.users.extend(user);
            }
            [b'x', ..] => is_unreadable = true,
            [b'd', ..] => reading.is_denied = true,
            [b'c', b' ', rest @ ..] => {
                let mut numbers = rest.split(|byte| *byte == b' ').filter_map(number::<u64>);
                read_from = numbers.next().zip(numbers.next());
            }
            _ => {}
        }
    }
    if reading.path.is_none() {
        // It may be back in a moment: a rotation moves it away and makes another.
        cursor.unbroken_from_s = None;
        return Ok(reading);
    }
    // The one that is written is told first, and comes last.
    let live = (!segments.is_empty()).then(|| segments.remove(0));
    segments.sort_by_key(|segment| segment.written_s);
    segments.extend(live.clone());
    let (bytes, known_bytes) = (answer.parts.get(1).copied().unwrap_or_default(), cursor.offset);
    if let Some((inode, from)) = read_from
        && (inode, from) == (cursor.inode, cursor.from(memory))
    {
        is_unreadable |= take(bytes, cursor, memory, now_s, &mut reading).is_err();
    }
    if is_unreadable {
        // Passed over: whatever it held is not known.
        cursor.note_gap();
    }
    cursor.list(segments, memory, known_bytes, now_s);
    let is_live = live.as_ref().is_some_and(|live| live.inode == cursor.inode);
    let has_more = memory.packed.as_ref().is_some_and(|packed| packed.inode == cursor.inode && packed.has_more);
    let is_through =
        read_from.is_some_and(|(inode, _)| inode == cursor.inode) && (bytes.len() as u64) < BYTES_MAX && !has_more;
    if (is_through || is_unreadable) && !is_live {
        cursor.go_on();
    }
    if let Some(live) = live {
        reading.size_bytes = live.size;
        let grew = |(inode, size): (u64, u64)| inode != live.inode || size < live.size;
        reading.grew = cursor.live_size.map(grew);
        if reading.grew == Some(false) {
            // Switched off, or suspended: what ends now is not recorded.
            cursor.unbroken_from_s = None;
        }
        cursor.live_size = Some((live.inode, live.size));
    }
    reading.behind_bytes = cursor.behind_bytes();
    (reading.covers_from_s, reading.unbroken_from_s) = (cursor.covers_from_s, cursor.unbroken_from_s);
    (reading.newest_s, reading.gaps) = (cursor.newest_s, cursor.gaps);
    Ok(reading)
}

/// Takes what came of the file that is read on; an error where it is packed and can't be unpacked.
fn take(
    bytes: &[u8],
    cursor: &mut AcctCursor,
    memory: &mut AcctMemory,
    now_s: i64,
    reading: &mut AccountingReading,
) -> Result<(), Broken> {
    let mut found: Vec<RawRecord> = Vec::new();
    cursor.offset = cursor.start(memory);
    let before = memory.decoder.passed_over;
    let is_packed = cursor.segments.iter().any(|segment| segment.inode == cursor.inode && segment.is_packed());
    let AcctMemory { decoder, cpu, packed, .. } = memory;
    let mut decode = |content: &[u8]| {
        decoder.feed(content, |raw, record| {
            let whole_cpu_ms = cpu.take(&record);
            found.push(RawRecord { raw: *raw, record, whole_cpu_ms });
        });
    };
    let taken = match is_packed {
        true => {
            let packed = match packed.as_mut().filter(|packed| packed.inode == cursor.inode) {
                Some(packed) => packed,
                None => packed.insert(Packed {
                    inode: cursor.inode,
                    gunzip: Gunzip::default(),
                    taken: 0,
                    skip: cursor.offset,
                    has_more: false,
                }),
            };
            packed.take(bytes, &mut cursor.offset, decode)
        }
        false => {
            decode(bytes);
            cursor.offset += bytes.len() as u64;
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
    cursor.newest_s = ends.last().copied().into_iter().chain(cursor.newest_s).max();
    let own = marks.iter().filter(|is_own| **is_own).count();
    (reading.own, reading.others) = (own as u32, (found.len() - own) as u32);
    reading.records = found.into_iter().zip(marks).filter(|(_, is_own)| !is_own).map(|(found, _)| found).collect();
    taken
}

impl Packed {
    /// Unpacks what came, and gives what was not read before.
    fn take(&mut self, bytes: &[u8], offset: &mut u64, mut decode: impl FnMut(&[u8])) -> Result<(), Broken> {
        let skip = &mut self.skip;
        let taken = self.gunzip.feed(bytes, UNPACKED_BYTES_MAX, |content| {
            let known = (*skip).min(content.len() as u64);
            *skip -= known;
            let new = &content[known as usize..];
            *offset += new.len() as u64;
            decode(new);
        })?;
        self.taken += taken.bytes as u64;
        self.has_more = taken.has_more;
        let is_end = (bytes.len() as u64) < BYTES_MAX && !taken.has_more;
        if is_end && !self.gunzip.is_whole() { Err(Broken) } else { Ok(()) }
    }
}

fn limits(rest: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(rest).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u32>);
    let (resume, suspend) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((suspend, resume))
}

fn segment(rest: &[u8]) -> Option<Segment> {
    let text = std::str::from_utf8(rest).ok()?;
    let mut words = text.splitn(4, ' ');
    Some(Segment {
        inode: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        written_s: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
    })
}

/// A path that may go back to its host: of letters, digits and `/._-` alone.
fn plain_path(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    (text.starts_with('/') && text.chars().all(is_plain)).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "accounting_tests.rs"]
mod tests;
