//! Software RAID.

use serde::{Deserialize, Serialize};

use crate::domain::text::SafeText;

/// One md array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaidArray {
    pub name: SafeText,
    pub level: SafeText,
    pub active: bool,
    pub devices_wanted: u32,
    pub devices_up: u32,
    /// `resync = 12.6%` and the like, while it runs.
    pub activity: Option<SafeText>,
}

/// /proc/mdstat: `md0 : active raid1 sdb1[1] sda1[0](F)`, then `… [2/1] [U_]`, then perhaps a progress line.
pub fn parse(md_lines: &[&[u8]]) -> Vec<RaidArray> {
    let mut arrays: Vec<RaidArray> = Vec::new();
    for line in md_lines {
        let text = SafeText::from_bytes(line);
        let text = text.as_str();
        if let Some((name, state)) = text.split_once(" : ").filter(|(name, _)| name.starts_with("md")) {
            let mut words = state.split_ascii_whitespace();
            let active = words.next() == Some("active");
            let level = words.find(|word| !word.starts_with('(')).unwrap_or("unknown");
            arrays.push(RaidArray {
                name: name.into(),
                level: level.into(),
                active,
                devices_wanted: 0,
                devices_up: 0,
                activity: None,
            });
        } else if let Some(array) = arrays.last_mut() {
            if let Some((wanted, up)) = md_device_counts(text) {
                (array.devices_wanted, array.devices_up) = (wanted, up);
            }
            if ["resync", "recovery", "reshape", "check"].iter().any(|word| text.contains(word)) {
                let progress = text.trim().trim_start_matches(['[', '=', '>', '.', ']', ' ']);
                array.activity = Some(SafeText::from_bytes_capped(progress.as_bytes(), 60));
            }
        }
    }
    arrays
}

fn md_device_counts(text: &str) -> Option<(u32, u32)> {
    text.split('[').filter_map(|part| part.split_once(']')).find_map(|(inside, _)| {
        let (wanted, up) = inside.split_once('/')?;
        Some((wanted.parse().ok()?, up.parse().ok()?))
    })
}
