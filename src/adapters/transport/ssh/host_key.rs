//! Whether the host that answered is the one we meant.

use std::path::{Path, PathBuf};

use crate::adapters::ssh_config::SshSettings;
use crate::adapters::transport::TransportError;
use crate::domain::text::SafeText;
use crate::domain::trust::known_hosts::{HostKey, KnownHosts, Recorded, RecordedNames, Verdict};

/// Algorithms that are asked for, best first: no certificates, since no authority is checked, and no SHA-1.
const ALGORITHMS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// What is recorded of a destination.
pub struct Recorder {
    known: KnownHosts,
    pub names: RecordedNames,
}

impl Recorder {
    /// Reads the known_hosts files of a destination. One that is there and can't be read makes every answer "no".
    pub async fn read(settings: &SshSettings) -> Result<Self, TransportError> {
        let mut known = KnownHosts::default();
        for file in &settings.known_hosts_files {
            match tokio::fs::read(file).await {
                Ok(text) => known.add(&file.display().to_string(), &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(file, &error)),
            }
        }
        let names = RecordedNames::new(&settings.host, settings.port, settings.host_key_alias.as_deref());
        Ok(Self { known, names })
    }

    /// The algorithms to ask for, those of recorded keys first.
    pub fn preferred_algorithms(&self) -> String {
        let names = [Some(&self.names.full), self.names.without_port.as_ref()];
        let kinds: Vec<String> = names.into_iter().flatten().flat_map(|name| self.known.kinds(name)).collect();
        let is_recorded = |algorithm: &str| {
            kinds.iter().any(|kind| kind == algorithm || (kind == "ssh-rsa" && algorithm.starts_with("rsa-sha2-")))
        };
        let (mut first, rest): (Vec<&str>, Vec<&str>) = ALGORITHMS.iter().partition(|algorithm| is_recorded(algorithm));
        first.extend(rest);
        first.join(",")
    }

    /// The verdict on a shown key.
    pub fn verdict(&self, key: &HostKey) -> Verdict {
        self.known.verdict(&self.names, key)
    }

    /// Refuses whatever is not exactly recorded.
    pub fn check(&self, key: &HostKey) -> Result<(), TransportError> {
        let shown = format!("{} {}", key.kind(), key.fingerprint());
        let at = |recorded: &Recorded| format!("{}:{}", recorded.file, recorded.line);
        let why = match self.verdict(key) {
            Verdict::Trusted => return Ok(()),
            Verdict::Changed(recorded) => format!(
                "host key CHANGED: it shows {shown}, recorded is {} {} at {}",
                recorded.kind,
                recorded.fingerprint,
                at(&recorded)
            ),
            Verdict::Revoked(recorded) => format!("host key REVOKED: it shows {shown}, revoked at {}", at(&recorded)),
            Verdict::Unknown { other_kinds } if other_kinds.is_empty() => {
                format!(
                    "unknown host key {shown}, nothing is recorded for {}: see 'dogwatch hosts trust'",
                    self.names.full
                )
            }
            Verdict::Unknown { other_kinds } => {
                format!("unknown host key {shown}, recorded for {} is only {}", self.names.full, other_kinds.join(", "))
            }
            Verdict::OnlyCertAuthority(recorded) => format!(
                "{} is known only through the certificate authority at {}, which is not checked: record its key {shown}",
                self.names.full,
                at(&recorded)
            ),
        };
        Err(TransportError::Untrusted(SafeText::new(&why)))
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> TransportError {
    let file: PathBuf = file.to_owned();
    let why = format!("{} can't be read ({error}): without it every host key is refused", file.display());
    TransportError::Untrusted(SafeText::new(&why))
}
