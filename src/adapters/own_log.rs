//! The program's own log, where `--log` asks for one.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

/// Appends to `file`, readable by its owner alone; without one nothing is written.
pub fn start(file: Option<&Path>) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    tracing_subscriber::fmt().with_writer(Mutex::new(log)).with_ansi(false).init();
    Ok(())
}
