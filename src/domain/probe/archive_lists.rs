//! The lists of archives that backup tools print as JSON.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;

use super::ParseError;
use super::backup::Archive;
use crate::domain::text::SafeText;

#[derive(Deserialize)]
struct ResticSnapshot {
    /// The start of the run.
    time: DateTime<Utc>,
    #[serde(default)]
    short_id: String,
    summary: Option<ResticSummary>,
}

#[derive(Deserialize)]
struct ResticSummary {
    total_bytes_processed: Option<u64>,
}

fn json_error(error: &serde_json::Error) -> ParseError {
    ParseError::Other(SafeText::new(&format!("its JSON can't be read: {error}")))
}

/// The tools' warnings may come before their JSON.
fn json_in(output: &[u8]) -> &[u8] {
    let start = output
        .iter()
        .enumerate()
        .position(|(index, byte)| matches!(byte, b'{' | b'[' | b'n') && (index == 0 || output[index - 1] == b'\n'));
    &output[start.unwrap_or(0)..]
}

/// What `restic snapshots --json` printed.
pub fn restic(json: &[u8]) -> Result<Vec<Archive>, ParseError> {
    let snapshots: Option<Vec<ResticSnapshot>> =
        serde_json::from_slice(json_in(json)).map_err(|error| json_error(&error))?;
    let archive = |snapshot: ResticSnapshot| Archive {
        name: SafeText::new(&snapshot.short_id),
        at: snapshot.time,
        size_bytes: snapshot.summary.and_then(|summary| summary.total_bytes_processed),
    };
    Ok(snapshots.unwrap_or_default().into_iter().map(archive).collect())
}

#[derive(Deserialize)]
struct BorgList {
    archives: Vec<BorgArchive>,
}

#[derive(Deserialize)]
struct BorgArchive {
    name: String,
    /// Naive, in the TZ that borg ran with: UTC here.
    start: NaiveDateTime,
}

/// What `borg list --json` printed.
pub fn borg(json: &[u8]) -> Result<Vec<Archive>, ParseError> {
    let list: BorgList = serde_json::from_slice(json_in(json)).map_err(|error| json_error(&error))?;
    Ok(borg_archives(list))
}

fn borg_archives(list: BorgList) -> Vec<Archive> {
    // borg names an archive that is still being written, or whose run was cut, NAME.checkpoint.
    let done = list.archives.into_iter().filter(|archive| !archive.name.contains(".checkpoint"));
    done.map(|archive| Archive { name: SafeText::new(&archive.name), at: archive.start.and_utc(), size_bytes: None })
        .collect()
}

/// What `borgmatic list --json` printed.
pub fn borgmatic(json: &[u8]) -> Result<Vec<Archive>, ParseError> {
    let lists: Vec<BorgList> = serde_json::from_slice(json_in(json)).map_err(|error| json_error(&error))?;
    Ok(lists.into_iter().flat_map(borg_archives).collect())
}
