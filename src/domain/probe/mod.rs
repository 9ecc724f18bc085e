//! Probes: what to ask a host and how to read the answer, one file each.

pub mod accounting;
mod acct_cursor;
mod archive_lists;
pub mod backup;
pub mod cron;
mod cron_cursor;
mod cron_log;
pub mod cron_scripts;
mod cron_stamp;
mod df;
pub mod disk;
pub mod engine;
pub mod host;
pub mod integrity;
pub mod journal;
mod log_reading;
pub mod logs;
pub mod md;
pub mod modes;
pub mod recent_matches;
pub mod restores;
pub mod script;
pub mod slow_mount;
pub mod smart;
pub mod timers;
pub mod units;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::fleet::ItemName;
use super::text::SafeText;

/// What a probe asks for; the key of its readings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeId {
    Host,
    Disk,
    Logs,
    Journal,
    Cron,
    Units,
    SlowMount(SafeText),
    Backup(ItemName),
    Smart,
    /// Not asked of a host: what the engine says of itself.
    Engine,
    // The order is that of stored rows: a new one comes last.
    Modes,
    /// Not asked of a host: what the audit says of restore tests.
    Restores,
    Accounting,
    Integrity,
}

/// Which of a host's two sessions carries a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    Fast,
    Slow,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Lane::Fast => "fast",
            Lane::Slow => "slow",
        })
    }
}

impl ProbeId {
    pub fn lane(&self) -> Lane {
        match self {
            ProbeId::Host
            | ProbeId::Disk
            | ProbeId::Logs
            | ProbeId::Journal
            | ProbeId::Cron
            | ProbeId::Units
            | ProbeId::Accounting
            | ProbeId::Engine => Lane::Fast,
            ProbeId::SlowMount(_)
            | ProbeId::Backup(_)
            | ProbeId::Smart
            | ProbeId::Modes
            | ProbeId::Restores
            | ProbeId::Integrity => Lane::Slow,
        }
    }
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeId::Host => f.pad("host"),
            ProbeId::Disk => f.pad("disk"),
            ProbeId::Logs => f.pad("logs"),
            ProbeId::Journal => f.pad("journal"),
            ProbeId::Cron => f.pad("cron"),
            ProbeId::Units => f.pad("units"),
            ProbeId::SlowMount(mount) => f.pad(&format!("mount:{mount}")),
            ProbeId::Backup(set) => f.pad(&format!("backup:{set}")),
            ProbeId::Smart => f.pad("smart"),
            ProbeId::Engine => f.pad("engine"),
            ProbeId::Modes => f.pad("modes"),
            ProbeId::Restores => f.pad("restores"),
            ProbeId::Accounting => f.pad("accounting"),
            ProbeId::Integrity => f.pad("integrity"),
        }
    }
}

/// One probe's answer, read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reading {
    Host(host::HostReading),
    Disk(Arc<disk::DiskReading>),
    Logs(logs::LogsReading),
    Journal(logs::LogsReading),
    Cron(cron::CronReading),
    Units(units::UnitsReading),
    SlowMount(slow_mount::SlowMountReading),
    Backup(backup::BackupReading),
    Smart(smart::SmartReading),
    Engine(engine::EngineReading),
    Modes(modes::ModesReading),
    Restores(restores::RestoresReading),
    Accounting(accounting::AccountingReading),
    Integrity(integrity::IntegrityReading),
}

/// Why a probe's answer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ParseError {
    #[error("no data")]
    Empty,
    #[error("line {line}: {what}")]
    Line { line: usize, what: SafeText },
    #[error("{0}")]
    Other(SafeText),
}

impl ParseError {
    pub fn line(index: usize, what: impl Into<SafeText>) -> Self {
        ParseError::Line { line: index + 1, what: what.into() }
    }
}

/// The lines of a probe's output; a last line without its end counts too.
pub fn lines(output: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    output.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
}

/// Splits a line into at most `count` fields at single spaces; the last field keeps the rest.
pub fn fields<const COUNT: usize>(line: &[u8]) -> Option<[&[u8]; COUNT]> {
    let mut parts = line.splitn(COUNT, |&b| b == b' ');
    let mut found = [&[][..]; COUNT];
    for slot in &mut found {
        *slot = parts.next()?;
    }
    Some(found)
}

/// A number in ASCII digits.
pub fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}
