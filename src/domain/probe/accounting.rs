//! Process accounting: where its files lie, and what was written to them since the last poll, as raw bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::acct_cursor::{AcctCursor, AcctMemory, BYTES_MAX};
use super::acct_cursor::{Segment, Untaken, take};
use super::script::Answer;
use super::{ParseError, lines, number};
use crate::domain::proof::acct::{AcctRecord, RECORD_BYTES};
use crate::domain::proof::join::Certainty;
use crate::domain::proof::usual::Odd;
use crate::domain::proof::word::Speaker;
use crate::domain::text::SafeText;

/// Users whose names are read.
const USERS_MAX: usize = 2_000;
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
    /// How its time stands to the usual one of its job.
    #[serde(default)]
    pub odd: Option<Odd>,
    /// Whether it runs still.
    #[serde(default)]
    pub runs: bool,
    /// How often it was due since the run before it, and was not seen to run.
    #[serde(default)]
    pub unseen_before: u32,
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
    /// It should have left one, and did not.
    pub lacks_archive: bool,
    /// Its own log should have said that it was done, and did not.
    pub lacks_word: bool,
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
    /// When the oldest record ended that this process of ours read: what another read before is gone.
    #[serde(skip)]
    pub read_from_s: Option<u32>,
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
    let (mut read_from, mut is_unreadable, mut is_another) = (None, false, false);
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
                segments.push(Segment::parse(rest).ok_or(ParseError::line(index, "INODE SIZE MTIME NAME"))?);
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
    // The one that is written is told first, and comes last. Where the host could not look at it nothing is known anew.
    let path = cursor.path.clone().unwrap_or_default();
    let is_live = segments.first().is_some_and(|first| first.name.is_empty() || first.name == path);
    if !is_live {
        return Err(ParseError::Other("its files can't be looked at".into()));
    }
    let live = Some(segments.remove(0));
    // Of one that is being packed both are there, and the packed one is not whole yet.
    let names: Vec<String> = segments.iter().map(|segment| segment.name.clone()).collect();
    segments.retain(|segment| {
        segment.name.strip_suffix(".gz").is_none_or(|unpacked| !names.iter().any(|name| name == unpacked))
    });
    segments.sort_by_key(|segment| segment.written_s);
    segments.extend(live.clone());
    let (bytes, mut known_bytes) = (answer.parts.get(1).copied().unwrap_or_default(), cursor.offset);
    if let Some((inode, from)) = read_from
        && (inode, from) == (cursor.inode, cursor.from(memory))
    {
        match take(bytes, cursor, memory, now_s, &mut reading) {
            // What stood there instead of them is not known.
            Ok(()) if 0 < reading.passed_over => cursor.note_gap(),
            Ok(()) => {}
            Err(Untaken::Broken) => is_unreadable = true,
            Err(Untaken::Another) => {
                // Its number was given to another file, or another packed one was taken for it.
                cursor.begin_anew(memory);
                (is_another, known_bytes) = (true, 0);
            }
        }
    }
    if is_unreadable {
        // Passed over: whatever it held is not known.
        cursor.note_gap();
        memory.lose_place();
    }
    cursor.list(segments, memory, known_bytes, now_s);
    let is_live = live.as_ref().is_some_and(|live| live.inode == cursor.inode);
    let has_more = memory.packed.as_ref().is_some_and(|packed| packed.inode == cursor.inode && packed.has_more);
    let is_through = read_from.is_some_and(|(inode, _)| inode == cursor.inode)
        && (bytes.len() as u64) < BYTES_MAX
        && !has_more
        && !is_another;
    if (is_through || is_unreadable) && !is_live {
        cursor.go_on(memory);
    }
    if let Some(live) = live {
        reading.size_bytes = live.size;
        let grew = |(inode, size): (u64, u64)| inode != live.inode || size < live.size;
        reading.grew = cursor.live_size.map(grew);
        cursor.note_written(reading.grew);
        cursor.live_size = Some((live.inode, live.size));
    }
    reading.behind_bytes = cursor.behind_bytes();
    (reading.covers_from_s, reading.unbroken_from_s) = (cursor.covers_from_s, cursor.unbroken_from_s);
    (reading.newest_s, reading.gaps) = (cursor.newest_s, cursor.gaps);
    reading.read_from_s = memory.read_from_s;
    Ok(reading)
}

fn limits(rest: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(rest).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u32>);
    let (resume, suspend) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((suspend, resume))
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
