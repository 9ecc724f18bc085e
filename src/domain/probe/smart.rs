//! What each disk says of its own health, through smartctl where it is there and may be used.

use serde::{Deserialize, Serialize};

use super::{ParseError, lines};
use crate::domain::text::SafeText;

/// `$1` is `sudo` where sudo may be used. Prints `none` or `denied`, or `d DEVICE` and the health line of each disk.
pub const SCRIPT: &str = r#"
dw_sudo=
if ! command -v smartctl >/dev/null; then
  printf 'none\n'
elif [ "$(id -u </dev/null)" != 0 ] && [ "$1" != sudo ]; then
  printf 'denied\n'
else
  [ "$1" = sudo ] && dw_sudo='sudo -n'
  for dw_d in /dev/sd[a-z] /dev/sd[a-z][a-z] /dev/nvme[0-9]n1; do
    [ -b "$dw_d" ] || continue
    printf 'd %s\n' "$dw_d"
    $dw_sudo smartctl -H "$dw_d" </dev/null 2>/dev/null | grep -i -E '^(SMART overall-health|SMART Health Status)'
  done
  printf 'end\n'
fi
:
"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SmartReading {
    NotInstalled,
    Denied,
    Disks(Vec<SmartDisk>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmartDisk {
    pub device: SafeText,
    /// `PASSED`, `OK` or what else it says; `None` where it says nothing (a virtual disk).
    pub health: Option<SafeText>,
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<SmartReading, ParseError> {
    let mut disks: Vec<SmartDisk> = Vec::new();
    for (_, line) in lines(output) {
        match line {
            b"none" => return Ok(SmartReading::NotInstalled),
            b"denied" => return Ok(SmartReading::Denied),
            b"end" => return Ok(SmartReading::Disks(disks)),
            [b'd', b' ', device @ ..] => {
                disks.push(SmartDisk { device: SafeText::from_bytes_capped(device, 60), health: None });
            }
            line => {
                let said = line.rsplit(|&byte| byte == b':').next().unwrap_or_default().trim_ascii();
                if let Some(disk) = disks.last_mut() {
                    disk.health = Some(SafeText::from_bytes_capped(said, 60));
                }
            }
        }
    }
    Err(ParseError::Empty)
}

impl SmartDisk {
    pub fn is_healthy(&self) -> Option<bool> {
        self.health.as_ref().map(|health| matches!(health.as_str(), "PASSED" | "OK"))
    }
}
