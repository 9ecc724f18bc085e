//! Evidence of declared jobs, below the state directory: a file a job, a line a run, kept for ninety days.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::domain::fleet::HostName;
use crate::domain::proof::evidence::{KEPT_DAYS, KeptRun, runs};

/// A larger file is read no further: a job of each minute leaves some 60 MB in ninety days.
const FILE_BYTES_MAX: u64 = 128 << 20;
const DAY_MS: i64 = 86_400_000;

/// Where the evidence of a job is. Names of hosts and jobs hold no slash.
pub fn file(state: &Path, host: &HostName, job: &str) -> PathBuf {
    state.join("evidence").join(host.as_str()).join(format!("{job}.jsonl"))
}

/// Keeps a run, or what is new of it.
pub fn keep(state: &Path, host: &HostName, job: &str, run: &KeptRun) -> io::Result<()> {
    let path = file(state, host, job);
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let line = serde_json::to_string(run).map_err(io::Error::other)?;
    let mut opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    // In one write: a line is there whole or not at all.
    opened.write_all(format!("{line}\n").as_bytes())
}

/// What is kept of a job, the oldest first; what is older than it is kept for goes from the file as well.
pub fn load(state: &Path, host: &HostName, job: &str, now_ms: i64) -> io::Result<Vec<KeptRun>> {
    let path = file(state, host, job);
    let text = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(found) if FILE_BYTES_MAX < found.len() => {
            return Err(io::Error::other(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
        }
        Ok(_) => fs::read_to_string(&path)?,
    };
    let (kept, strange) = runs(&text, now_ms.saturating_sub(KEPT_DAYS * DAY_MS));
    if 0 < strange {
        tracing::warn!("{}: {strange} lines are no evidence", path.display());
    }
    // Half of the lines are of runs that have another line, or are too old: written anew, whole or not at all.
    if strange == 0 && kept.len() * 2 < text.lines().count() {
        let lines: Result<Vec<String>, _> = kept.iter().map(serde_json::to_string).collect();
        let draft = path.with_extension("draft");
        let mut opened = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        for line in lines.map_err(io::Error::other)? {
            writeln!(opened, "{line}")?;
        }
        opened.sync_all()?;
        fs::rename(draft, &path)?;
    }
    Ok(kept)
}
