//! Failed systemd units.

use serde::{Deserialize, Serialize};

use super::{ParseError, lines};
use crate::domain::text::SafeText;

/// `none` without systemd, else `u UNIT` for each failed unit and `end`.
pub const SCRIPT: &str = r#"
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
  if dw_all=$(systemctl list-units --failed --plain --no-legend --no-pager </dev/null 2>/dev/null); then
    printf '%s\n' "$dw_all" | while read -r dw_u dw_l; do [ -n "$dw_u" ] && printf 'u %s\n' "$dw_u"; done
    printf 'end\n'
  fi
else
  printf 'none\n'
fi
"#;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitsReading {
    /// `None` on hosts without systemd.
    pub failed: Option<Vec<SafeText>>,
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<UnitsReading, ParseError> {
    let mut failed = Vec::new();
    let mut ended = false;
    for (index, line) in lines(output) {
        match line {
            b"none" => return Ok(UnitsReading { failed: None }),
            b"end" => ended = true,
            [b'u', b' ', unit @ ..] => failed.push(SafeText::from_bytes_capped(unit, 120)),
            _ => return Err(ParseError::line(index, "not a unit")),
        }
    }
    if ended { Ok(UnitsReading { failed: Some(failed) }) } else { Err(ParseError::Empty) }
}
