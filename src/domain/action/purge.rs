//! Archive, verify, purge: files of one directory leave it only after a copy of them was read back whole.
//!
//! Acts on `./NAME` within a directory whose device and inode were compared, so that no link and no renamed parent leads it
//! elsewhere; a file goes only while its inode, size and time of change are still those of the plan.

use std::collections::BTreeSet;

use thiserror::Error;

use super::objects::{Directory, FileObject, RemoteBytes};
use super::plan::HostPlan;
use crate::domain::text::SafeText;

/// A file that is only truncated may grow by so much before the plan is void.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// `$1` the directory, `$2` where the archive goes or nothing where that is on another host, `$3` a pattern of names.
///
/// Says `no WHY`, or the host's time, both directories and their space; then a line a file,
/// `DEVICE INODE SIZE LINKS SECONDS MODIFIED|./NAME`; then each file whose name holds a line end, on its own; and last
/// `DEVICE:INODE` of every file that some process has open.
pub const LIST: &str = r#"
dw_dir=$1 dw_to=$2 dw_pat=$3 dw_toat='0 0' dw_tospace='- 0 0 0'
dw_place() { cd -P -- "$1" 2>/dev/null </dev/null && [ "$(pwd -P)" = "$1" ] && dw_at=$(stat -c '%d %i' . </dev/null); }
dw_space() { df -P -k . </dev/null 2>/dev/null | tail -n 1; }
if [ -n "$dw_to" ] && ! dw_place "$dw_to"; then dw_say "no $dw_to is no directory, or leads through a symbolic link"
elif [ -n "$dw_to" ] && [ ! -w . ]; then dw_say "no $dw_to may not be written by this login"
else
  [ -z "$dw_to" ] || dw_toat=$dw_at dw_tospace=$(dw_space)
  if ! dw_place "$dw_dir"; then dw_say "no $dw_dir is no directory, or leads through a symbolic link"
  elif [ ! -w . ] || [ ! -r . ]; then dw_say "no $dw_dir may not be changed by this login"
  else
    dw_say "now $(date +%s </dev/null)"
    dw_say "uid $(id -u </dev/null)"
    dw_say "at $dw_at"
    dw_say "to $dw_toat"
    dw_say "space $(dw_space)"
    dw_say "tospace $dw_tospace"
    dw_cut
    dw_odd=
    set --
    for dw_f in ./* ./.[!.]* ./..?*; do
      [ -f "$dw_f" ] && [ ! -L "$dw_f" ] || continue
      case ${dw_f#./} in $dw_pat) ;; *) continue ;; esac
      case $dw_f in *"$dw_nl"*) dw_odd=1; continue ;; esac
      set -- "$@" "$dw_f"
      if [ $# -ge 500 ]; then stat -c '%d %i %s %h %Y %y|%n' -- "$@" 2>/dev/null </dev/null; set --; fi
    done
    [ $# -gt 0 ] && stat -c '%d %i %s %h %Y %y|%n' -- "$@" 2>/dev/null </dev/null
    dw_cut
    [ -n "$dw_odd" ] && for dw_f in ./* ./.[!.]* ./..?*; do
      [ -f "$dw_f" ] && [ ! -L "$dw_f" ] || continue
      case ${dw_f#./} in $dw_pat) ;; *) continue ;; esac
      case $dw_f in *"$dw_nl"*) ;; *) continue ;; esac
      dw_say "$(stat -c '%d %i %s %h %Y %y|' -- "$dw_f" </dev/null)"
      dw_cut
      printf %s "$dw_f"
      dw_cut
    done
    for dw_f in /proc/[0-9]*/fd; do stat -L -c '%d:%i %F' -- "$dw_f"/* 2>/dev/null </dev/null; done | grep 'regular' | cut -d ' ' -f 1 | sort -u
  fi
fi
:
"#;

/// Why no files can be named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListError {
    #[error("{0}")]
    No(SafeText),
    #[error("its list of files is not understood: {0}")]
    Strange(String),
    #[error("{0} and its archive lie on the same file system: that would free nothing")]
    SameFileSystem(SafeText),
    #[error("{0} files at once; {1} are the most: name a pattern, or a greater age")]
    TooMany(usize, u32),
    #[error("nothing there is old enough, and in nobody's hands: nothing to purge")]
    Nothing,
    #[error("the archive has room for {room} bytes, and the files have {need}")]
    NoRoom { room: u64, need: u64 },
}

/// What a purge is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeWish {
    pub directory: String,
    /// Empty where the archive is on another host.
    pub archive: String,
    /// Files that were written within this time stay.
    pub older_s: u64,
    /// Whether files that some process has open are truncated after they were archived.
    pub truncate_open: bool,
}

/// What a directory holds, as far as it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub directory: Directory,
    pub archive: Directory,
    pub delete: Vec<FileObject>,
    pub truncate: Vec<FileObject>,
    /// What stays though it was asked for, and why.
    pub warnings: Vec<String>,
    /// Where the directory's file system is mounted.
    pub mount: SafeText,
    /// Bytes used and available of it.
    pub used_bytes: u64,
    pub available_bytes: u64,
    /// Bytes available where the archive goes.
    pub room_bytes: u64,
}

struct Entry {
    object: FileObject,
    links: u64,
    written_s: i64,
}

/// Reads what [`LIST`] says: what came before each cut, and the rest.
pub fn parse_list(parts: &[Vec<u8>], body: &[u8], wish: &PurgeWish) -> Result<Listing, ListError> {
    let strange = |what: &str| ListError::Strange(what.escape_debug().take(80).collect());
    let head = parts.first().map_or(body, Vec::as_slice);
    let head = std::str::from_utf8(head).map_err(|_| ListError::No("it names what is no UTF-8".into()))?;
    if let Some(why) = head.lines().find_map(|line| line.strip_prefix("no ")) {
        return Err(ListError::No(why.into()));
    }
    let word = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.ok_or_else(|| strange(name))
    };
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| strange(text));
    let pair = |text: &str| {
        let (device, inode) = text.split_once(' ').ok_or_else(|| strange(text))?;
        Ok((number(device)?, number(inode)?))
    };
    let (device, inode) = pair(word("at")?)?;
    let (archive_device, archive_inode) = pair(word("to")?)?;
    if device == archive_device && !wish.archive.is_empty() {
        return Err(ListError::SameFileSystem(SafeText::new(&wish.directory)));
    }
    let now_s = word("now")?.parse::<i64>().map_err(|_| strange("now"))?;
    let df = |text: &str| -> Result<(u64, u64), ListError> {
        let columns: Vec<&str> = text.split_ascii_whitespace().collect();
        match columns.as_slice() {
            [_, _, used, available, ..] => Ok((number(used)? * 1_024, number(available)? * 1_024)),
            _ => Err(strange(text)),
        }
    };
    let space = word("space")?;
    let (used_bytes, available_bytes) = df(space)?;
    let mount: Vec<&str> = space.split_ascii_whitespace().skip(5).collect();
    let (_, room) = df(word("tospace")?)?;
    let mut entries = Vec::new();
    for line in parts.get(1).map_or(&[][..], Vec::as_slice).split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    {
        let bar = line.iter().position(|byte| *byte == b'|').ok_or_else(|| strange("a line without a name"))?;
        entries.push(entry(&line[..bar], &line[bar + 1..]).ok_or_else(|| strange("a file's line"))?);
    }
    for odd in parts.get(2..).unwrap_or_default().chunks(2) {
        let [line, name] = odd else { continue };
        let line = line.trim_ascii().strip_suffix(b"|").ok_or_else(|| strange("a file's line"))?;
        entries.push(entry(line, name).ok_or_else(|| strange("a file's line"))?);
    }
    let open: BTreeSet<String> = String::from_utf8_lossy(body).split_ascii_whitespace().map(str::to_owned).collect();
    let mut listing = Listing {
        directory: Directory { path: SafeText::new(&wish.directory), device, inode },
        archive: Directory { path: SafeText::new(&wish.archive), device: archive_device, inode: archive_inode },
        delete: Vec::new(),
        truncate: Vec::new(),
        warnings: Vec::new(),
        mount: SafeText::new(&mount.join(" ")),
        used_bytes,
        available_bytes,
        room_bytes: 0,
    };
    if word("uid")? != "0" {
        listing.warnings.push(
            "this login does not see which files others have open: what they still write to is told by its time alone"
                .to_owned(),
        );
    }
    for entry in entries {
        listing.sort(entry, &open, device, now_s, wish);
    }
    listing.delete.sort();
    listing.truncate.sort();
    listing.room_bytes = room;
    Ok(listing)
}

impl Listing {
    /// Whether so much can be archived and purged at once.
    pub fn check(&self, objects_max: u32) -> Result<(), ListError> {
        let count = self.delete.len() + self.truncate.len();
        if objects_max as usize <= count.saturating_sub(1) {
            return Err(ListError::TooMany(count, objects_max));
        }
        let open: u64 = self.truncate.iter().map(|object| object.size.saturating_sub(GROWTH_BYTES_MAX)).sum();
        let need = open + self.delete.iter().map(|object| object.size).sum::<u64>();
        match self.room_bytes < need {
            true => Err(ListError::NoRoom { room: self.room_bytes, need }),
            false => Ok(()),
        }
    }

    fn sort(&mut self, entry: Entry, open: &BTreeSet<String>, device: u64, now_s: i64, wish: &PurgeWish) {
        let Entry { object, links, written_s } = entry;
        let shown = object.shown();
        if object.device != device {
            self.warnings.push(format!("{shown} stays: something is mounted there"));
        } else if links != 1 {
            self.warnings.push(format!("{shown} stays: it has {links} names, and another would keep its space"));
        } else if open.contains(&format!("{}:{}", object.device, object.inode)) {
            if wish.truncate_open {
                self.warnings.push(format!(
                    "{shown} is open and is truncated: what is written between the last look and that moment is lost"
                ));
                let size = object.size.saturating_add(GROWTH_BYTES_MAX);
                self.truncate.push(FileObject { size, modified: String::new(), ..object });
            } else {
                self.warnings.push(format!("{shown} stays: some process has it open"));
            }
        } else if now_s.saturating_sub(written_s) < i64::try_from(wish.older_s).unwrap_or(i64::MAX) {
            // Too young is no reason to warn: it is what was asked for.
        } else {
            self.delete.push(object);
        }
    }

    /// What of an earlier plan is still there as it was: files that came later are none of its business.
    pub fn within(mut self, before: &HostPlan) -> Self {
        let named = |objects: &[FileObject]| objects.iter().map(|object| object.name.clone()).collect::<BTreeSet<_>>();
        let (deleted, truncated) = (named(&before.delete), named(&before.truncate));
        self.delete.retain(|object| deleted.contains(&object.name));
        self.truncate.retain(|object| truncated.contains(&object.name));
        for object in &mut self.truncate {
            let same = before.truncate.iter().find(|earlier| {
                (&earlier.name, earlier.device, earlier.inode) == (&object.name, object.device, object.inode)
            });
            if let Some(earlier) = same.filter(|earlier| object.size - GROWTH_BYTES_MAX <= earlier.size) {
                object.clone_from(earlier);
            }
        }
        self
    }
}

/// `DEVICE INODE SIZE LINKS SECONDS MODIFIED` and `./NAME`.
fn entry(line: &[u8], name: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.splitn(6, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (device, inode, size, links) = (number()?, number()?, number()?, number()?);
    let written_s = words.next()?.parse().ok()?;
    let modified = words.next()?;
    let is_time = |byte: u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b':' | b'.' | b'+');
    let name = name.strip_prefix(b"./")?;
    if !modified.bytes().all(is_time) || name.is_empty() || name.contains(&b'/') {
        return None;
    }
    let object = FileObject { name: RemoteBytes::new(name), device, inode, size, modified: modified.to_owned() };
    Some(Entry { object, links, written_s })
}
