//! hosts.toml: raw TOML becomes a resolved fleet, or every error at once.

pub mod actions;
mod jobs;
pub mod policy;
mod reader;
mod resolve;
mod settings;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::fleet::{Fleet, HostName};

/// The store's default limit.
const STORE_BYTES_MAX: u64 = 2_000_000_000;

/// What `[store]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The store's largest size, its write-ahead log included.
    pub bytes_max: u64,
    /// The group whose members may read it, by name or number; `None` for nobody but its owner.
    pub group: Option<String>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { bytes_max: STORE_BYTES_MAX, group: None }
    }
}

/// A resolved configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub fleet: Fleet,
    pub store: StoreSettings,
    pub warnings: Vec<Problem>,
    /// SHA-256 of the file, in hex.
    pub digest: String,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

/// Everything that is wrong with a configuration file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// Resolves the text of `file`. `own_name` is the machine Dogwatch runs on, which is always watched.
pub fn parse(file: &str, text: &str, own_name: &HostName) -> Result<Config, ConfigError> {
    let notes = reader::Notes::new(file, text);
    let (table, syntax) = toml::de::DeTable::parse_recoverable(text);
    for error in syntax {
        notes.error(error.span().map_or(0, |span| span.start), error.message().to_owned());
    }
    let (fleet, store) = match notes.has_errors() {
        true => (Fleet::default(), StoreSettings::default()),
        false => resolve::fleet(table.get_ref(), &notes, own_name),
    };
    let (errors, warnings) = notes.finish();
    match errors.is_empty() {
        true => Ok(Config { fleet, store, warnings, digest: hex(&Sha256::digest(text)) }),
        false => Err(ConfigError(errors)),
    }
}

/// What is watched where no hosts.toml exists: this machine.
pub fn own_machine_only(own_name: &HostName) -> Config {
    let fleet = Fleet { hosts: vec![resolve::own_host(own_name)], groups: Vec::new() };
    Config { fleet, store: StoreSettings::default(), warnings: Vec::new(), digest: "own machine only".to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
