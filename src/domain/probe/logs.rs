//! Watched log files: size, growth, what is new since the last poll, and what shrank.
//!
//! New lines are read by inode and offset, through a rotation. The few bytes before the offset are read again each
//! time: where they are not what they were, the file was replaced under the same inode.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::log_reading::{HeardLine, LogFile, LogReading, LogsReading, Purpose};
use super::recent_matches::RecentMatches;
use super::script::Answer;
use super::{ParseError, fields, lines, number};
use crate::domain::settings::{LogSettings, LogWatch};
use crate::domain::text::SafeText;

/// Bytes before the offset that are compared.
const OVERLAP_BYTES: u64 = 64;

/// `$1` is the cap of all watches together, then for each watch its pattern and what is known: `-` at first, else `INODE:OFFSET …`.
///
/// Prints `w` at each watch, `f INODE SIZE MTIME GROUP OFFSET NAME` a file, `x GROUP NAME` where it may not be read,
/// `n` where nothing matches, `s` where stat gave nothing, `d` for a directory, `l COUNT` for files beyond the limit,
/// `t STAMP` where logrotate says when it last rotated (host's time); before raw bytes
/// `c INODE FROM` and a cut, and a cut after them.
pub const SCRIPT: &str = r#"
dw_log() {
  dw_pat=$1 dw_known=" $2 "
  dw_say w
  set --
  if [ -n "$dw_status" ]; then
    while IFS= read -r dw_line; do
      case ${dw_line% *} in '"'$dw_pat'"') dw_say "t ${dw_line##* }" ;; esac
    done <"$dw_status"
  fi
  IFS=
  for dw_f in $dw_pat; do
    [ -e "$dw_f" ] || continue
    if [ -d "$dw_f" ]; then
      for dw_r in "$dw_f"/*; do [ -f "$dw_r" ] && set -- "$@" "$dw_r"; done
      continue
    fi
    set -- "$@" "$dw_f"
    [ -e "$dw_f.1" ] && set -- "$@" "$dw_f.1"
    dw_last=
    for dw_r in "$dw_f"-[0-9]*; do [ -e "$dw_r" ] && dw_last=$dw_r; done
    [ -n "$dw_last" ] && set -- "$@" "$dw_last"
  done
  if [ $# -eq 0 ]; then unset IFS; dw_say n; return; fi
  [ -d "$dw_pat" ] && dw_say d
  if [ $# -gt 200 ]; then dw_say "l $(($# - 200))"; while [ $# -gt 200 ]; do shift; done; fi
  dw_all=$(stat -L -c '%i %s %Y %G %n' -- "$@" 2>/dev/null </dev/null)
  if [ -z "$dw_all" ]; then unset IFS; dw_say s; return; fi
  set -f; IFS=$dw_nl
  for dw_line in $dw_all; do
    dw_ino=${dw_line%% *}; dw_rest=${dw_line#* }; dw_size=${dw_rest%% *}; dw_rest=${dw_rest#* }
    dw_time=${dw_rest%% *}; dw_rest=${dw_rest#* }; dw_group=${dw_rest%% *}; dw_name=${dw_rest#* }
    if [ ! -r "$dw_name" ]; then dw_say "x $dw_group $dw_name"; continue; fi
    dw_off=-
    case $dw_known in
    *" $dw_ino:"*) dw_off=${dw_known#*" $dw_ino:"}; dw_off=${dw_off%% *} ;;
    ' - ') ;;
    *) case $dw_name in *.1|*-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]) ;; *) [ -d "$dw_pat" ] || dw_off=0 ;; esac ;;
    esac
    dw_say "f $dw_ino $dw_size $dw_time $dw_group $dw_off $dw_name"
    [ "$dw_off" = - ] && continue
    [ -d "$dw_pat" ] && continue
    [ "$dw_size" -lt "$dw_off" ] && dw_off=0
    [ "$dw_size" -gt "$dw_off" ] || continue
    dw_from=$((dw_off - 64)); [ "$dw_from" -lt 0 ] && dw_from=0
    [ $((dw_size - dw_from)) -gt "$dw_left" ] && dw_from=$((dw_size - dw_left))
    dw_left=$((dw_left - (dw_size - dw_from)))
    dw_say "c $dw_ino $dw_from"
    dw_cut
    tail -c +$((dw_from + 1)) -- "$dw_name" </dev/null | head -c $((dw_size - dw_from))
    dw_cut
  done
  set +f; unset IFS
}
dw_left=$1 dw_status=; shift
for dw_f in /var/lib/logrotate.status /var/lib/logrotate/logrotate.status /var/lib/logrotate/status; do
  [ -r "$dw_f" ] && dw_status=$dw_f
done
while [ $# -gt 1 ]; do dw_log "$1" "$2"; shift 2; done
:
"#;

/// What must be remembered between polls, for each watch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogCursors {
    /// When they were last moved, milliseconds since the epoch by the observer's clock.
    pub moved_ms: Option<i64>,
    pub recent: RecentMatches,
    watches: BTreeMap<String, Vec<Cursor>>,
    /// What logrotate's status file last said of a watch.
    rotated: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cursor {
    inode: u64,
    offset: u64,
    /// Under which name it was last seen: a rotation gives it another.
    name: Vec<u8>,
    /// The bytes just before the offset.
    tail: Vec<u8>,
    /// The offset lies within a line, whose end is left out.
    #[serde(skip)]
    mid_line: bool,
}

impl LogCursors {
    /// The parameters of [`SCRIPT`].
    pub fn parameters<'a>(&self, watches: impl Iterator<Item = &'a LogWatch>, limits: LogSettings) -> Vec<String> {
        let mut parameters = vec![limits.bytes_max.to_string()];
        for watch in watches {
            let LogWatch::Path(path) = watch else { continue };
            let known = match self.watches.get(path) {
                None => "-".to_owned(),
                Some(cursors) => {
                    let pairs: Vec<String> =
                        cursors.iter().map(|cursor| format!("{}:{}", cursor.inode, cursor.offset)).collect();
                    pairs.join(" ")
                }
            };
            parameters.extend([path.clone(), known]);
        }
        parameters
    }

    /// Goes back so far in every file that is not a rotated copy, so that the next look brings what was there before.
    pub fn rewind(&mut self, bytes: u64) {
        for cursor in self.watches.values_mut().flatten().filter(|cursor| !is_rotated_copy(&cursor.name)) {
            cursor.offset = cursor.offset.saturating_sub(bytes);
            cursor.mid_line = 0 < cursor.offset;
            cursor.tail.clear();
        }
    }
}

/// One watch's part of the output while it is read.
struct Draft<'a> {
    reading: LogReading,
    before: Option<Vec<Cursor>>,
    after: Vec<Cursor>,
    raw: Vec<(u64, u64, &'a [u8])>,
    rotated: bool,
    is_directory: bool,
}

/// Reads [`SCRIPT`]'s answer, and moves the cursors past what it brought.
pub fn parse(
    answer: &Answer,
    watches: &[LogWatch],
    purpose: Purpose,
    cursors: &mut LogCursors,
) -> Result<LogsReading, ParseError> {
    let mut paths = watches.iter().filter_map(|watch| match watch {
        LogWatch::Path(path) => Some(path),
        LogWatch::Journal(_) => None,
    });
    let mut logs = Vec::new();
    let mut draft: Option<(&String, Draft)> = None;
    let mut parts = answer.parts.iter().copied().chain([answer.body]);
    while let Some(head) = parts.next() {
        let mut raw_follows = None;
        for (index, line) in lines(head) {
            match line {
                b"w" => {
                    if let Some((path, draft)) = draft.take() {
                        logs.push(draft.finish(path, purpose, cursors));
                    }
                    let path =
                        paths.next().ok_or_else(|| ParseError::line(index, "more watches than were asked for"))?;
                    draft = Some((path, Draft::new(path, cursors)));
                }
                _ => {
                    let (_, draft) =
                        draft.as_mut().ok_or_else(|| ParseError::line(index, "a file before its watch"))?;
                    raw_follows = draft.line(index, line)?;
                }
            }
        }
        if let (Some((inode, from)), Some((_, draft))) = (raw_follows, &mut draft) {
            let bytes = parts.next().ok_or(ParseError::Empty)?;
            draft.raw.push((inode, from, bytes));
        }
    }
    if let Some((path, draft)) = draft.take() {
        logs.push(draft.finish(path, purpose, cursors));
    }
    match logs.is_empty() {
        true => Err(ParseError::Empty),
        false => Ok(LogsReading { logs }),
    }
}

impl<'a> Draft<'a> {
    fn new(path: &str, cursors: &LogCursors) -> Self {
        let before = cursors.watches.get(path).cloned();
        let reading = LogReading::new(SafeText::new(path), before.is_none());
        Self { reading, before, after: Vec::new(), raw: Vec::new(), rotated: false, is_directory: false }
    }

    /// Takes one line; a `c` line says what raw bytes follow.
    fn line(&mut self, index: usize, line: &'a [u8]) -> Result<Option<(u64, u64)>, ParseError> {
        let bad = || ParseError::line(index, format!("not understood: '{}'", SafeText::from_bytes_capped(line, 80)));
        match line {
            [b't', b' ', stamp @ ..] => {
                self.reading.rotated_at = Some(SafeText::from_bytes_capped(stamp, 40));
                Ok(None)
            }
            b"d" => {
                self.is_directory = true;
                Ok(None)
            }
            [b'l', b' ', count @ ..] => {
                self.reading.files_left_out = number(count).ok_or_else(bad)?;
                Ok(None)
            }
            b"s" => {
                self.reading.trouble = Some("this host's stat can't be used to look at it".into());
                Ok(None)
            }
            b"n" => {
                self.reading.trouble = Some("no such file, or its directory may not be entered".into());
                Ok(None)
            }
            [b'x', b' ', rest @ ..] => {
                let [group, name] = fields(rest).ok_or_else(bad)?;
                let (group, name) = (SafeText::from_bytes_capped(group, 40), SafeText::from_bytes(name));
                let told = match group.as_str() {
                    "root" => format!("{name} may be read by root alone: give it a group, such as adm, on the host"),
                    group => format!("{name} may not be read by this user: add it to group {group}"),
                };
                self.reading.trouble = Some(told.into());
                Ok(None)
            }
            [b'c', b' ', rest @ ..] => {
                let [inode, from] = fields(rest).ok_or_else(bad)?;
                Ok(Some((number(inode).ok_or_else(bad)?, number(from).ok_or_else(bad)?)))
            }
            [b'f', b' ', rest @ ..] => {
                self.file(rest).ok_or_else(bad)?;
                Ok(None)
            }
            _ => Err(bad()),
        }
    }

    fn file(&mut self, line: &[u8]) -> Option<()> {
        let [inode, size, modified, _group, offset, name] = fields(line)?;
        let (inode, size_bytes): (u64, u64) = (number(inode)?, number(size)?);
        let known = self.before.as_ref().and_then(|cursors| cursors.iter().find(|cursor| cursor.inode == inode));
        let is_rotated_copy = is_rotated_copy(name);
        if offset == b"-" && is_rotated_copy && self.before.is_some() {
            // A copy that was not there at the last poll.
            self.rotated = true;
            self.after.push(Cursor {
                inode,
                offset: size_bytes,
                name: name.to_vec(),
                tail: Vec::new(),
                mid_line: false,
            });
            return Some(());
        }
        let shrunk_from = known.filter(|cursor| size_bytes < cursor.offset).map(|cursor| cursor.offset);
        if let (true, Some(known)) = (self.is_directory, known) {
            self.reading.new_bytes += size_bytes.saturating_sub(known.offset);
        }
        let was_elsewhere = known.is_some_and(|known| known.name != name);
        self.after.push(match (known, shrunk_from) {
            (Some(known), None) if !self.is_directory => Cursor { name: name.to_vec(), ..known.clone() },
            (Some(_) | None, Some(_) | None) => {
                let offset = if offset == b"-" || self.is_directory { size_bytes } else { 0 };
                Cursor { inode, offset, name: name.to_vec(), tail: Vec::new(), mid_line: false }
            }
        });
        if is_rotated_copy {
            self.rotated |= was_elsewhere;
            return Some(());
        }
        self.reading.files.push(LogFile {
            path: SafeText::from_bytes(name),
            size_bytes,
            modified_s: number(modified)?,
            shrunk_from,
            replaced: false,
        });
        Some(())
    }

    fn finish(mut self, path: &str, purpose: Purpose, cursors: &mut LogCursors) -> LogReading {
        for (inode, from, bytes) in std::mem::take(&mut self.raw) {
            self.read_new(inode, from, bytes, purpose);
        }
        if let Some(stamp) = &self.reading.rotated_at {
            let before = cursors.rotated.insert(path.to_owned(), stamp.to_string());
            self.rotated |= before.is_some_and(|before| before != stamp.as_str());
        }
        let vanished = self.before.iter().flatten().filter(|old| !self.after.iter().any(|new| new.inode == old.inode));
        if self.rotated {
            // A copy that a rotation made is shorter for a reason, and what it took away may not all have been read.
            self.reading.files.iter_mut().for_each(|file| file.shrunk_from = None);
        } else if self.before.is_some()
            && 0 < vanished.count()
            && !self.reading.files.is_empty()
            && self.reading.trouble.is_none()
        {
            self.reading.trouble =
                Some("a rotated file vanished before its end was read: a gap of unknown size".into());
        }
        if self.reading.trouble.is_none() || !self.after.is_empty() {
            cursors.watches.insert(path.to_owned(), self.after);
        }
        self.reading
    }

    /// Counts the whole lines among new bytes, and leaves a last line without its end for the next poll.
    fn read_new(&mut self, inode: u64, from: u64, bytes: &[u8], purpose: Purpose) {
        let Some(cursor) = self.after.iter_mut().find(|cursor| cursor.inode == inode) else { return };
        let mut fresh = bytes;
        if from <= cursor.offset {
            let overlap = usize::try_from(cursor.offset - from).unwrap_or(usize::MAX).min(bytes.len());
            let (again, rest) = bytes.split_at(overlap);
            if !again.ends_with(&cursor.tail) && !cursor.tail.ends_with(again) {
                self.reading.files.iter_mut().for_each(|file| file.replaced = true);
            }
            fresh = rest;
        } else {
            self.reading.gap_bytes += from - cursor.offset;
            cursor.offset = from;
        }
        let whole = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let (complete, _) = fresh.split_at(whole);
        cursor.offset += whole as u64;
        if !complete.is_empty() {
            let start = complete.len().saturating_sub(OVERLAP_BYTES as usize);
            cursor.tail = complete[start..].to_vec();
        }
        let end_of_line = if cursor.mid_line { complete.iter().position(|&byte| byte == b'\n') } else { None };
        cursor.mid_line &= end_of_line.is_none();
        let complete = end_of_line.map_or(complete, |end| &complete[end + 1..]);
        self.reading.take(complete, purpose);
    }
}

fn is_rotated_copy(name: &[u8]) -> bool {
    name.ends_with(b".1") || rotated_by_date(name)
}

/// logrotate's dateext: `syslog-20261121`.
fn rotated_by_date(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    8 <= digits && name.len().checked_sub(digits + 1).is_some_and(|dash| name[dash] == b'-')
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
