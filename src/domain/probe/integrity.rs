//! Files that should stay as they are: hash, owner and mode of each.

use serde::{Deserialize, Serialize};

use super::{ParseError, fields, lines};
use crate::domain::text::SafeText;

/// A larger file is not hashed: what is watched like this are scripts and configurations.
const SIZE_BYTES_MAX: &str = "16777216";

/// Each parameter is a file, the first is the most bytes that are hashed. Prints `f MODE OWNER MTIME SHA256 NAME` of each,
/// `x NAME` where there is none, `d NAME` where it may not be read, `l NAME` where it is too large; in the end `end`.
pub const SCRIPT: &str = r#"
dw_max=$1
shift
for dw_f; do
  if [ ! -e "$dw_f" ]; then printf 'x %s\n' "$dw_f"; continue; fi
  if [ ! -f "$dw_f" ] || [ ! -r "$dw_f" ]; then printf 'd %s\n' "$dw_f"; continue; fi
  dw_u=$(stat -L -c '%U:%G' -- "$dw_f" </dev/null)
  # A directory service may give groups names of several words.
  case $dw_u in *' '*) dw_u=$(stat -L -c '%u:%g' -- "$dw_f" </dev/null) ;; esac
  dw_s=$(stat -L -c "%s %a $dw_u %Y" -- "$dw_f" </dev/null)
  if [ "${dw_s%% *}" -gt "$dw_max" ]; then printf 'l %s\n' "$dw_f"; continue; fi
  dw_h=$(sha256sum <"$dw_f")
  printf 'f %s %s %s\n' "${dw_s#* }" "${dw_h%% *}" "$dw_f"
done
printf 'end\n'
"#;

/// The script's parameters for these files.
pub fn parameters(files: &[String]) -> Vec<String> {
    [SIZE_BYTES_MAX.to_owned()].into_iter().chain(files.iter().cloned()).collect()
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityReading {
    pub files: Vec<WatchedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedFile {
    pub path: SafeText,
    /// Why nothing more is known of it.
    pub state: Result<FileState, Unseen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// In octal.
    pub mode: SafeText,
    /// `USER:GROUP`.
    pub owner: SafeText,
    /// Seconds since the epoch by the host's clock.
    pub modified_s: i64,
    /// In hexadecimal digits.
    pub sha256: SafeText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unseen {
    Missing,
    Denied,
    TooLarge,
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<IntegrityReading, ParseError> {
    let mut reading = IntegrityReading::default();
    let mut ended = false;
    for (index, line) in lines(output) {
        let unseen = |path: &[u8], why| WatchedFile { path: SafeText::from_bytes_capped(path, 300), state: Err(why) };
        match line {
            b"end" => ended = true,
            [b'x', b' ', path @ ..] => reading.files.push(unseen(path, Unseen::Missing)),
            [b'd', b' ', path @ ..] => reading.files.push(unseen(path, Unseen::Denied)),
            [b'l', b' ', path @ ..] => reading.files.push(unseen(path, Unseen::TooLarge)),
            [b'f', b' ', rest @ ..] => {
                let strange = || ParseError::line(index, "expected MODE OWNER MTIME SHA256 NAME");
                let [mode, owner, modified, sha256, path] = fields(rest).ok_or_else(strange)?;
                let is_hash = sha256.len() == 64 && sha256.iter().all(u8::is_ascii_hexdigit);
                let modified_s = super::number(modified).filter(|_| is_hash).ok_or_else(strange)?;
                let text = |field| SafeText::from_bytes_capped(field, 100);
                let state = FileState { mode: text(mode), owner: text(owner), modified_s, sha256: text(sha256) };
                reading.files.push(WatchedFile { path: SafeText::from_bytes_capped(path, 300), state: Ok(state) });
            }
            _ => return Err(ParseError::line(index, "strange")),
        }
    }
    if ended { Ok(reading) } else { Err(ParseError::Empty) }
}
