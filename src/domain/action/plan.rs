//! Plans: what exactly would be done to which host. What the plan's hash covers is what people confirm and approve.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{Action, ActionLimits};
use super::objects::{Directory, FileObject};
use super::outlook::Outlook;
use super::purge_program;
use super::shipping::Shipped;
use super::{ActionId, policy::Severity};
use crate::domain::audit::canonical::{self, CanonicalError};
use crate::domain::audit::digest::Digest;
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// Stands in the words of a measure for when the action began, by the host's own clock: seconds since 1970. The environment
/// would not do: sudo clears it.
pub const BEGAN: &str = "{began}";

/// The version of the covered form.
pub const PLAN_VERSION: u32 = 1;

/// What would be done to one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    pub host: HostName,
    /// The key that it showed, `SHA256:…`; `local` for the machine Dogwatch runs on.
    pub host_key: String,
    /// Exactly the words that will run there; empty for a procedure.
    pub argv: Vec<String>,
    /// Exactly the words that measure the effect there.
    pub measure: Vec<String>,
    /// Where objects are deleted or truncated.
    pub directory: Option<Directory>,
    pub delete: Vec<FileObject>,
    /// Open files, cut to nothing once they are archived; their size is a maximum.
    pub truncate: Vec<FileObject>,
    /// Where they are archived before anything of them goes.
    pub archive: Option<Directory>,
    /// The host that the archive is on, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Elsewhere>,
}

/// Another host, that an archive goes to through Dogwatch's own sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    pub host: HostName,
    /// The key that it showed.
    pub host_key: String,
    /// Bytes of the files, before they are compressed, that travel in a second at most.
    pub rate_bytes_per_s: u64,
}

impl HostPlan {
    /// Before the host was asked.
    pub fn unknown(host: &HostName) -> Self {
        Self {
            host: host.clone(),
            host_key: String::new(),
            argv: Vec::new(),
            measure: Vec::new(),
            directory: None,
            delete: Vec::new(),
            truncate: Vec::new(),
            archive: None,
            elsewhere: None,
        }
    }

    pub fn objects(&self) -> u64 {
        (self.delete.len() + self.truncate.len()) as u64
    }

    /// The words that run there, once what it deletes is archived as `shipped` says where the archive is on another host.
    pub fn command(&self, shipped: &[Shipped]) -> Vec<String> {
        let purge = match &self.elsewhere {
            None => purge_program::command(self),
            Some(_) => purge_program::command_shipped(self, shipped),
        };
        purge.unwrap_or_else(|| self.argv.clone())
    }

    /// The words for people: of a procedure what it is about, since its files are told apart.
    pub fn shown_argv(&self) -> Vec<String> {
        match (&self.directory, &self.archive) {
            (Some(from), Some(_)) => {
                vec!["archive and purge".to_owned(), from.path.to_string(), "to".to_owned(), self.archive_words()]
            }
            (None | Some(_), None) | (None, Some(_)) => self.argv.clone(),
        }
    }

    /// The words that measure the effect there.
    pub fn measure(&self) -> Vec<String> {
        purge_program::measure(self).unwrap_or_else(|| self.measure.clone())
    }

    /// Where the archive is, for people.
    pub fn archive_words(&self) -> String {
        let path = self.archive.as_ref().map_or("", |archive| archive.path.as_str());
        self.elsewhere.as_ref().map_or_else(|| path.to_owned(), |elsewhere| format!("{}:{path}", elsewhere.host))
    }

    pub fn bytes(&self) -> u64 {
        self.delete.iter().chain(&self.truncate).map(|object| object.size).sum()
    }
}

/// What the hash covers: a change of any of it makes another plan. Readings, ages and forecasts are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    pub v: u32,
    pub action: ActionId,
    pub action_version: u32,
    /// The catalogue's definition of the action, its limits included.
    pub definition: Digest,
    pub severity: Severity,
    /// Whether whoever asks could have written the action themselves.
    pub is_own: bool,
    pub parameters: BTreeMap<String, String>,
    pub hosts: Vec<HostPlan>,
    pub limits: ActionLimits,
    pub policy: Digest,
}

impl Covered {
    pub fn new(action: &Action, parameters: BTreeMap<String, String>, policy: Digest) -> Result<Self, CanonicalError> {
        Ok(Self {
            v: PLAN_VERSION,
            action: action.id.clone(),
            action_version: action.version,
            definition: action.digest()?,
            severity: action.severity,
            is_own: action.is_own,
            parameters,
            hosts: Vec::new(),
            limits: action.limits,
            policy,
        })
    }

    pub fn encode(&self) -> Result<String, CanonicalError> {
        canonical::encode(self)
    }

    pub fn decode(text: &str) -> Result<Self, CanonicalError> {
        canonical::decode(text.as_bytes())
    }

    pub fn host_names(&self) -> Vec<HostName> {
        self.hosts.iter().map(|host| host.host.clone()).collect()
    }

    /// Every host that something is changed on, each once: an archive changes the host that it is on as well.
    pub fn hosts_touched(&self) -> BTreeSet<HostName> {
        let archives = self.hosts.iter().filter_map(|host| Some(host.elsewhere.as_ref()?.host.clone()));
        self.host_names().into_iter().chain(archives).collect()
    }

    /// What must be typed to confirm it: the host's name, or how many there are.
    pub fn phrase(&self) -> String {
        match self.hosts.as_slice() {
            [only] => only.host.to_string(),
            many => format!("{} hosts", many.len()),
        }
    }
}

/// A plan, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    covered: Covered,
    encoded: String,
    hash: Digest,
    pub outlooks: BTreeMap<HostName, Outlook>,
}

impl Plan {
    pub fn new(covered: Covered, outlooks: BTreeMap<HostName, Outlook>) -> Result<Self, CanonicalError> {
        let encoded = covered.encode()?;
        let hash = Digest::of(encoded.as_bytes());
        Ok(Self { covered, encoded, hash, outlooks })
    }

    /// A plan that was stored or sent, from its covered part.
    pub fn decode(text: &str) -> Result<Self, CanonicalError> {
        Self::new(Covered::decode(text)?, BTreeMap::new())
    }

    pub fn covered(&self) -> &Covered {
        &self.covered
    }

    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    pub fn hash(&self) -> &Digest {
        &self.hash
    }

    /// What differs between this plan and the same asked again now; empty where nothing does.
    pub fn drift(&self, now: &Plan) -> Vec<String> {
        let (before, after) = (&self.covered, &now.covered);
        let mut drift = Vec::new();
        let mut differs = |what: &str, differs: bool| {
            if differs {
                drift.push(what.to_owned());
            }
        };
        let versions = |covered: &Covered| {
            (covered.v, covered.action.clone(), covered.action_version, covered.definition, covered.limits)
        };
        differs("the action itself", versions(before) != versions(after) || before.severity != after.severity);
        differs("the parameters", before.parameters != after.parameters);
        differs("the policy", before.policy != after.policy);
        differs("the hosts", before.host_names() != after.host_names());
        for (before, after) in before.hosts.iter().zip(&after.hosts).filter(|(before, after)| before != after) {
            let host = &before.host;
            differs(&format!("the host key of {host}"), before.host_key != after.host_key);
            differs(&format!("the host that the archive of {host} goes to"), before.elsewhere != after.elsewhere);
            differs(
                &format!("the command line on {host}"),
                (&before.argv, &before.measure) != (&after.argv, &after.measure),
            );
            differs(
                &format!("the directory on {host}"),
                (&before.directory, &before.archive) != (&after.directory, &after.archive),
            );
            differs(
                &format!("the files on {host}"),
                (&before.delete, &before.truncate) != (&after.delete, &after.truncate),
            );
        }
        drift
    }
}

impl fmt::Display for Plan {
    /// The plan for people: every word of every command line, and every warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let covered = &self.covered;
        writeln!(f, "{} ({})", covered.action, covered.severity.word())?;
        for host in &covered.hosts {
            writeln!(f, "on {}, key {}", host.host, SafeText::new(&host.host_key))?;
            if !host.argv.is_empty() {
                let words: Vec<String> = host.argv.iter().map(|word| shown_word(&SafeText::new(word))).collect();
                writeln!(f, "  runs: {}", words.join(" "))?;
            }
            if let Some(directory) = &host.directory {
                writeln!(f, "  in {}", directory.path)?;
            }
            if host.archive.is_some() {
                let (count, bytes, to) = (host.objects(), host.bytes(), host.archive_words());
                writeln!(f, "  archives {count} files ({bytes} bytes) to {to}, and reads the archive back first")?;
            }
            if let Some(elsewhere) = &host.elsewhere {
                let (key, rate) = (SafeText::new(&elsewhere.host_key), elsewhere.rate_bytes_per_s / 1_000_000);
                writeln!(
                    f,
                    "  through this machine, at most {rate} MB a second for each host; {}, key {key}",
                    elsewhere.host
                )?;
            }
            let outlook = self.outlooks.get(&host.host);
            if let Some(effect) = outlook.and_then(|outlook| outlook.effect.as_ref()) {
                writeln!(f, "  then: {effect}")?;
            }
            if let Some(reading) = outlook.and_then(|outlook| outlook.rests_on.as_ref()) {
                writeln!(f, "  rests on {reading}")?;
            }
            for warning in outlook.map_or(&[][..], |outlook| outlook.warnings.as_slice()) {
                writeln!(f, "  ▲ {warning}")?;
            }
            for (verb, objects) in [("deletes", &host.delete), ("truncates, at most", &host.truncate)] {
                for object in objects {
                    writeln!(f, "  {verb} {}", object)?;
                }
            }
            if let Some((status, text)) = outlook.and_then(|outlook| outlook.preview.as_ref()) {
                writeln!(f, "  preview (exit {status}):")?;
                let lines = text.as_str().split('␊').filter(|line| !line.is_empty());
                lines.into_iter().try_for_each(|line| writeln!(f, "    {line}"))?;
            }
            if !host.measure.is_empty() {
                let words: Vec<String> = host.measure.iter().map(|word| shown_word(&SafeText::new(word))).collect();
                writeln!(f, "  done when this ends with 0: {}", words.join(" "))?;
            }
        }
        write!(f, "plan {}", self.hash)
    }
}

/// A word as one would type it, so that its ends are seen.
fn shown_word(word: &SafeText) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.as_str().is_empty() && word.as_str().chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.as_str().replace('\'', r"'\''")),
    }
}
