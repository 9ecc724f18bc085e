//! Evidence of declared jobs, below the state directory: a file a job, a line a run, kept for ninety days.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::domain::fleet::HostName;
use crate::domain::proof::evidence::{KEPT_DAYS, KeptRun, runs};

/// Of a larger file the end is read: a job of each minute leaves some 60 MB in ninety days.
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
    // In one write, behind a line's end: what was cut off before swallows nothing.
    opened.write_all(format!("\n{line}").as_bytes())
}

/// What is kept of a job, the oldest first; of a file that grew too large its end.
pub fn load(state: &Path, host: &HostName, job: &str, now_ms: i64) -> io::Result<Vec<KeptRun>> {
    read(&file(state, host, job), now_ms).map(|(kept, _)| kept)
}

/// The same, for the one process that writes it: what is too old or told anew goes from the file as well.
pub fn compact(state: &Path, host: &HostName, job: &str, now_ms: i64) -> io::Result<Vec<KeptRun>> {
    let path = file(state, host, job);
    let (kept, lines) = read(&path, now_ms)?;
    if kept.len() * 2 < lines {
        let draft = path.with_extension("draft");
        let mut opened = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        for run in &kept {
            let line = serde_json::to_string(run).map_err(io::Error::other)?;
            opened.write_all(format!("\n{line}").as_bytes())?;
        }
        opened.sync_all()?;
        fs::rename(draft, &path)?;
    }
    Ok(kept)
}

/// The runs, and how many lines there are.
fn read(path: &Path, now_ms: i64) -> io::Result<(Vec<KeptRun>, usize)> {
    let mut opened = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        opened => opened?,
    };
    let size = opened.metadata()?.len();
    opened.seek(io::SeekFrom::Start(size.saturating_sub(FILE_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (kept, strange) = runs(&text, now_ms.saturating_sub(KEPT_DAYS * DAY_MS));
    if 0 < strange {
        tracing::warn!("{}: {strange} lines are no evidence", path.display());
    }
    Ok((kept, text.lines().filter(|line| !line.is_empty()).count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::objects::RemoteBytes;

    fn run(at_ms: i64, line: &[u8]) -> KeptRun {
        KeptRun {
            at_ms,
            user: "root".into(),
            command: "transfer".into(),
            pid: 7,
            failed_with: None,
            line: RemoteBytes::new(line),
            record: None,
            certainty: None,
            load_peak_hundredths: None,
            whole_cpu_ms: None,
            words: Vec::new(),
            waiting: None,
            archive: None,
            lacks: Default::default(),
            invocation: None,
            is_searched: true,
            is_contradicted: false,
        }
    }

    #[test]
    fn a_line_that_was_cut_off_swallows_no_run_and_what_is_too_old_goes() {
        let state = std::env::temp_dir().join(format!("dogwatch-evidence-{}", std::process::id()));
        let host = HostName::parse("batch1").unwrap();
        let now_ms = 100 * DAY_MS;
        keep(&state, &host, "transfer", &run(DAY_MS, b"old")).unwrap();
        keep(&state, &host, "transfer", &run(DAY_MS + 1, b"old too")).unwrap();
        keep(&state, &host, "transfer", &run(99 * DAY_MS, b"first")).unwrap();
        let path = file(&state, &host, "transfer");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\n{\"at_ms\":86").unwrap();
        keep(&state, &host, "transfer", &run(99 * DAY_MS + 1, b"second")).unwrap();
        let lines = |kept: &[KeptRun]| -> Vec<Vec<u8>> { kept.iter().map(|run| run.line.exactly().to_vec()).collect() };
        let kept = compact(&state, &host, "transfer", now_ms).unwrap();
        assert_eq!(lines(&kept), [b"first".to_vec(), b"second".to_vec()]);
        assert!(!fs::read_to_string(&path).unwrap().contains("86\n"));
        keep(&state, &host, "transfer", &run(99 * DAY_MS + 2, b"third")).unwrap();
        let kept = load(&state, &host, "transfer", now_ms).unwrap();
        assert_eq!(lines(&kept), [b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);
        fs::remove_dir_all(&state).unwrap();
    }
}
