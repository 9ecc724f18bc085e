//! An archive on another host: files travel in pieces through Dogwatch's own two sessions, and are read back there before
//! anything of them goes.

use thiserror::Error;

use super::objects::Directory;
use super::purge::ListError;
use crate::domain::text::SafeText;

/// Bytes of a file that travel at once, before they are compressed.
pub const PIECE_BYTES: u64 = 1 << 20;

/// `$1` the directory where archives go. Says `no WHY`, or `at DEVICE INODE` and `space` with a line of df.
pub const PLACE: &str = r#"
if ! cd -P -- "$1" 2>/dev/null </dev/null || [ "$(pwd -P)" != "$1" ]; then dw_say "no $1 is no directory there, or leads through a symbolic link"
elif [ ! -w . ]; then dw_say "no $1 may not be written by the login there"
elif ! command -v base64 >/dev/null; then dw_say "no base64 is not installed there"
else
  dw_say "at $(stat -c '%d %i' . </dev/null)"
  dw_say "space $(df -P -k . </dev/null 2>/dev/null | tail -n 1)"
fi
:
"#;

/// What [`READ`] and [`LENGTH`] share: the file `$4` (for printf) of directory `$1`, which is `$2`, as a purge would find it.
macro_rules! find_file {
    () => {
        r#"
dw_no=
cd -P -- "$1" 2>/dev/null </dev/null && [ "$(pwd -P)" = "$1" ] && [ "$(stat -c %d:%i . </dev/null)" = "$2" ] || dw_no="the directory is another than planned"
dw_f=$(printf '%b.' "$4")
dw_f=./${dw_f%.}
if [ -z "$dw_no" ]; then
  if [ -L "$dw_f" ] || [ ! -f "$dw_f" ]; then dw_no="it is no plain file any more"
  else
    case $3 in
    d) [ "$(stat -c '%d:%i %s %h %y' -- "$dw_f" </dev/null)" = "$5 $6 1 $7" ] || dw_no="it changed since it was planned" ;;
    t) [ "$(stat -c '%d:%i %h' -- "$dw_f" </dev/null)" = "$5 1" ] && [ "$(stat -c %s -- "$dw_f" </dev/null)" -le "$6" ] || dw_no="it changed since it was planned" ;;
    esac
  fi
fi
"#
    };
}

/// `$1` to `$7` a directory, its identity and a file's words. Says `no WHY`, or `is LENGTH SHA256`.
pub const LENGTH: &str = concat!(
    find_file!(),
    r#"
if [ -n "$dw_no" ]; then dw_say "no $dw_no"
else
  dw_l=$(stat -c %s -- "$dw_f" </dev/null)
  dw_h=$(head -c "$dw_l" <"$dw_f" | sha256sum)
  dw_say "is $dw_l ${dw_h%% *}"
fi
:
"#
);

/// The same, `$8` the piece's number and `$9` its length in bytes. Says `no WHY`, or `piece`; then the piece, compressed.
pub const READ: &str = concat!(
    find_file!(),
    r#"
if [ -n "$dw_no" ]; then dw_say "no $dw_no"
else
  dw_say piece
  dw_cut
  dd if="$dw_f" bs=1048576 skip="$8" count=1 2>/dev/null </dev/null | head -c "$9" | gzip -c
fi
:
"#
);

/// `$1` the directory of archives, `$2` its identity, `$3` the action's id, `$4` the file's number, `$5` how much of it must
/// be there already, `$6` the next piece in base64. Says `no WHY`, or `wrote LENGTH`.
pub const WRITE: &str = r#"
umask 077
dw_no=
cd -P -- "$1" 2>/dev/null </dev/null && [ "$(stat -c %d:%i . </dev/null)" = "$2" ] || dw_no="the archive directory is another than planned"
if [ -z "$dw_no" ] && [ "$4" = 1 ] && [ "$5" = 0 ]; then mkdir -- "$3" 2>/dev/null </dev/null || dw_no="the archive is there already"; fi
if [ -z "$dw_no" ]; then
  cd -P -- "$3" 2>/dev/null </dev/null || dw_no="the archive is gone"
fi
if [ -z "$dw_no" ]; then
  [ "$5" = 0 ] && [ ! -e "./$4.gz" ] && : >"./$4.gz"
  [ "$(stat -c %s -- "./$4.gz" </dev/null)" = "$5" ] || dw_no="the archive is not as long as what was sent"
fi
if [ -z "$dw_no" ]; then
  if printf %s "$6" | base64 -d >>"./$4.gz"; then dw_say "wrote $(stat -c %s -- "./$4.gz" </dev/null)"
  else dw_no="the archive could not be written"; fi
fi
[ -n "$dw_no" ] && dw_say "no $dw_no"
:
"#;

/// `$1` to `$4` as for [`WRITE`], `$5` the hash of what was sent, `$6` its length, `$7` the file's name for printf. Reads the
/// archive back; says `no WHY`, or `kept`.
pub const READ_BACK: &str = r#"
umask 077
dw_no=
cd -P -- "$1/$3" 2>/dev/null </dev/null || dw_no="the archive is gone"
if [ -z "$dw_no" ]; then
  dw_h=$(gzip -dc <"./$4.gz" | sha256sum)
  if [ "${dw_h%% *}" != "$5" ]; then dw_no="the archive is not what was read"
  elif ! printf '%s %s %s.gz %s\n' "$5" "$6" "$4" "$7" >>./manifest; then dw_no="the manifest could not be written"
  # Of files that are named, sync tells whether they reached the disk; of all of them it does not.
  elif ! sync "./$4.gz" ./manifest . 2>/dev/null </dev/null; then dw_no="the archive did not reach the disk"
  else dw_say kept; fi
fi
[ -n "$dw_no" ] && dw_say "no $dw_no"
:
"#;

/// `$1` the directory of archives, `$2` its identity, `$3` the action's id, `$4` how many files it must have. The last look
/// before anything goes, which leaves a line in that host's own log; says `no WHY`, or `kept`.
pub const SEAL: &str = r#"
dw_no=
cd -P -- "$1" 2>/dev/null </dev/null && [ "$(stat -c %d:%i . </dev/null)" = "$2" ] || dw_no="the archive directory is another than planned"
[ -n "$dw_no" ] || cd -P -- "$3" 2>/dev/null </dev/null || dw_no="the archive is gone"
if [ -z "$dw_no" ]; then
  dw_c=0
  while read -r dw_h dw_l dw_f dw_r; do [ -f "./$dw_f" ] && dw_c=$((dw_c + 1)); done <./manifest
  if [ "$dw_c" != "$4" ]; then dw_no="the archive has $dw_c of $4 files"
  else
    logger -t dogwatch -p authpriv.notice -- "action $3 keeps its archive here: $4 files" 2>/dev/null </dev/null
    dw_say kept
  fi
fi
[ -n "$dw_no" ] && dw_say "no $dw_no"
:
"#;

/// A file as it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// SHA-256 of its first `length` bytes, in hexadecimal digits.
    pub hash: String,
    pub length: u64,
}

/// Why a host did not do its part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShippingError {
    #[error("{0}")]
    No(SafeText),
    #[error("its answer is not understood: '{0}'")]
    Strange(SafeText),
}

/// What comes after `word` in the answer's line; or why there is no such answer.
fn answer<'a>(part: &'a [u8], word: &str) -> Result<&'a str, ShippingError> {
    let text = std::str::from_utf8(part).map_or("", str::trim);
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first {
        "no" => Err(ShippingError::No(rest.into())),
        first if first == word => Ok(rest),
        _ => Err(ShippingError::Strange(SafeText::from_bytes_capped(part, 80))),
    }
}

/// Reads what [`LENGTH`] says.
pub fn parse_length(part: &[u8]) -> Result<Shipped, ShippingError> {
    let strange = || ShippingError::Strange(SafeText::from_bytes_capped(part, 80));
    let (length, hash) = answer(part, "is")?.split_once(' ').ok_or_else(strange)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_hash {
        return Err(strange());
    }
    Ok(Shipped { hash: hash.to_owned(), length: length.parse().map_err(|_| strange())? })
}

/// Reads what [`READ`] says before its cut.
pub fn parse_piece(part: &[u8]) -> Result<(), ShippingError> {
    answer(part, "piece").map(|_| ())
}

/// Reads what [`WRITE`] says: how long the archive of the file is now.
pub fn parse_wrote(part: &[u8]) -> Result<u64, ShippingError> {
    let strange = || ShippingError::Strange(SafeText::from_bytes_capped(part, 80));
    answer(part, "wrote")?.parse().map_err(|_| strange())
}

/// Reads what [`READ_BACK`] says.
pub fn parse_kept(part: &[u8]) -> Result<(), ShippingError> {
    answer(part, "kept").map(|_| ())
}

/// Reads what [`PLACE`] says: the directory `path`, and the bytes that are available there.
pub fn parse_place(part: &[u8], path: &str) -> Result<(Directory, u64), ListError> {
    let text = String::from_utf8_lossy(part);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    if let Some(why) = line("no") {
        return Err(ListError::No(why.into()));
    }
    let strange = || ListError::Strange(text.escape_debug().take(80).collect());
    let (device, inode) = line("at").and_then(|at| at.split_once(' ')).ok_or_else(strange)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| strange());
    let available = line("space").and_then(|space| space.split_ascii_whitespace().nth(3)).ok_or_else(strange)?;
    let directory = Directory { path: SafeText::new(path), device: number(device)?, inode: number(inode)? };
    Ok((directory, number(available)?.saturating_mul(1_024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_and_a_strange_answer_is_none() {
        assert_eq!(parse_wrote(b"wrote 17\n"), Ok(17));
        assert_eq!(parse_wrote(b"no the archive is gone\n"), Err(ShippingError::No("the archive is gone".into())));
        assert!(parse_wrote(b"wrote x\n").is_err() && parse_kept(b"kep\n").is_err() && parse_piece(b"").is_err());
        let hash = "a".repeat(64);
        let shipped = Shipped { hash: hash.clone(), length: 3 };
        assert_eq!(parse_length(format!("is 3 {hash}\n").as_bytes()), Ok(shipped));
        assert!(
            parse_length(b"is 3 abc\n").is_err()
                && parse_length(format!("is 3 {}", "Z".repeat(64)).as_bytes()).is_err()
        );
    }

    #[test]
    fn a_place_is_read_with_its_room() {
        let place = parse_place(b"at 5 7\nspace /dev/sdb 100 40 60 40% /backup\n", "/backup");
        assert!(matches!(place, Ok((Directory { device: 5, inode: 7, .. }, 61_440))), "{place:?}");
        assert_eq!(parse_place(b"no it may not\n", "/backup"), Err(ListError::No("it may not".into())));
    }
}
