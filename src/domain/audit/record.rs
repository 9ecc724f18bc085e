//! Audit records: the closed list of what is put on record.
//!
//! A record is written once, in the canonical form, and names the hash of the one before it. Old encodings stay readable:
//! tests/golden/audit-v1.jsonl holds one of each kind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::canonical::{self, CanonicalError};
use super::digest::Digest;
use crate::domain::action::{ActionId, HoldName, PersonName};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// The version of the encoding that this program writes.
pub const RECORD_VERSION: u32 = 1;
/// No record is larger, so that its syslog message stays below the 8 KiB that servers take by default: rsyslog cuts or splits
/// what is longer. Lists are cut before, and the cut is told in them.
pub const RECORD_BYTES_MAX: usize = 7_600;

/// Whose chain a record belongs to: the beginning of its public key's hash, 12 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriterId(String);

impl WriterId {
    const DIGITS: usize = 12;

    /// By the writer's public key as OpenSSH writes it, without a comment.
    pub fn of(public_key: &str) -> Self {
        Self(Digest::of(public_key.as_bytes()).to_string().chars().take(Self::DIGITS).collect())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == Self::DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for WriterId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "a writer is 12 lower-case hexadecimal digits".to_owned())
    }
}

impl From<WriterId> for String {
    fn from(writer: WriterId) -> String {
        writer.0
    }
}

/// One record among all writers': `WRITER-NUMBER`. A request and an action are named by the record that began them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditId {
    pub writer: WriterId,
    pub number: u64,
}

impl AuditId {
    pub fn parse(text: &str) -> Option<Self> {
        let (writer, number) = text.split_once('-')?;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let number = is_plain.then(|| number.parse().ok()).flatten()?;
        Some(Self { writer: WriterId::parse(writer)?, number })
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.writer, self.number))
    }
}

impl TryFrom<String> for AuditId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "an audit id is WRITER-NUMBER, such as 3f9a1c2b44d0-17".to_owned())
    }
}

impl From<AuditId> for String {
    fn from(id: AuditId) -> String {
        id.to_string()
    }
}

/// Who caused a record, as far as the operating system vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user's number on `machine`.
    pub uid: u32,
    /// The user's name by that machine's /etc/passwd.
    pub user: SafeText,
    /// The person of the policy that this user is; `None` where the policy knows none.
    pub person: Option<PersonName>,
    /// The machine that Dogwatch runs on.
    pub machine: SafeText,
    /// The terminal, and the address that its SSH session came from.
    pub from: SafeText,
}

/// How an action ended on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its effect was measured.
    Done,
    /// It ended, and its effect is not there; or it never began.
    Failed,
    /// Nobody knows: it is looked for on the host, and never run again for that.
    Unknown,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Unknown => "outcome unknown",
        }
    }
}

/// A signed word on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub request: AuditId,
    pub plan: Digest,
    pub by: PersonName,
    /// What was signed, in the canonical form.
    pub statement: String,
    /// Armoured SSHSIG over `statement`.
    pub signature: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The first record of each chain.
    WriterStarted {
        public_key: String,
    },
    Proposed {
        plan: Digest,
        action: ActionId,
        hosts: Vec<HostName>,
        reason: SafeText,
        approvals_needed: u32,
        expires_ms: i64,
    },
    Approved(Verdict),
    Denied(Verdict),
    /// A request goes to its one execution.
    Claimed {
        request: AuditId,
        plan: Digest,
        approvers: Vec<PersonName>,
    },
    /// On record before a byte is sent; its id is the one that the host's own log shows.
    Intent {
        request: AuditId,
        plan: Digest,
        action: ActionId,
        host: HostName,
        host_key: SafeText,
        argv: Vec<SafeText>,
        objects: u64,
        bytes: u64,
    },
    Sent {
        intent: AuditId,
        host: HostName,
        script: Digest,
    },
    Outcome {
        intent: AuditId,
        host: HostName,
        outcome: Outcome,
        exit: Option<i32>,
        duration_ms: u64,
        output: Digest,
        output_bytes: u64,
        /// What was measured afterwards, or why nothing could be.
        measured: SafeText,
    },
    /// What became of an unknown outcome, by what the host itself has to show.
    Reconciled {
        intent: AuditId,
        host: HostName,
        outcome: Outcome,
        witness: SafeText,
    },
    /// Somebody was not let through.
    Refused {
        action: ActionId,
        hosts: Vec<HostName>,
        why: SafeText,
    },
    BreakGlass {
        request: AuditId,
        plan: Digest,
        reason: SafeText,
    },
    HoldSet {
        hold: HoldName,
        text: SafeText,
    },
    HoldLifted {
        hold: HoldName,
        by: PersonName,
        statement: String,
        signature: String,
    },
    /// No action runs from this store any more.
    Frozen {
        reason: SafeText,
    },
    Thawed {
        reason: SafeText,
    },
    TrustChanged {
        host: HostName,
        host_key: SafeText,
    },
    ConfigChanged {
        digest: Digest,
    },
    PolicyChanged {
        digest: Digest,
        path: SafeText,
    },
}

impl Event {
    /// As filters and the central log name it; the same word as in the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::WriterStarted { .. } => "writer_started",
            Event::Proposed { .. } => "proposed",
            Event::Approved(_) => "approved",
            Event::Denied(_) => "denied",
            Event::Claimed { .. } => "claimed",
            Event::Intent { .. } => "intent",
            Event::Sent { .. } => "sent",
            Event::Outcome { .. } => "outcome",
            Event::Reconciled { .. } => "reconciled",
            Event::Refused { .. } => "refused",
            Event::BreakGlass { .. } => "break_glass",
            Event::HoldSet { .. } => "hold_set",
            Event::HoldLifted { .. } => "hold_lifted",
            Event::Frozen { .. } => "frozen",
            Event::Thawed { .. } => "thawed",
            Event::TrustChanged { .. } => "trust_changed",
            Event::ConfigChanged { .. } => "config_changed",
            Event::PolicyChanged { .. } => "policy_changed",
        }
    }

    /// The hosts that it is about.
    pub fn hosts(&self) -> &[HostName] {
        match self {
            Event::Proposed { hosts, .. } | Event::Refused { hosts, .. } => hosts,
            Event::Intent { host, .. }
            | Event::Sent { host, .. }
            | Event::Outcome { host, .. }
            | Event::Reconciled { host, .. }
            | Event::TrustChanged { host, .. } => std::slice::from_ref(host),
            Event::WriterStarted { .. }
            | Event::Approved(_)
            | Event::Denied(_)
            | Event::Claimed { .. }
            | Event::BreakGlass { .. }
            | Event::HoldSet { .. }
            | Event::HoldLifted { .. }
            | Event::Frozen { .. }
            | Event::Thawed { .. }
            | Event::ConfigChanged { .. }
            | Event::PolicyChanged { .. } => &[],
        }
    }

    /// What happened, in a line for people.
    pub fn words(&self) -> String {
        let hosts = |hosts: &[HostName]| hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ");
        match self {
            Event::WriterStarted { public_key } => format!("writes from now on with the key {public_key}"),
            Event::Proposed { action, hosts: on, reason, approvals_needed: 0, .. } => {
                format!("{action} on {}: {reason}", hosts(on))
            }
            Event::Proposed { action, hosts: on, reason, approvals_needed, .. } => {
                format!("{action} on {}, {approvals_needed} approvals needed: {reason}", hosts(on))
            }
            Event::Approved(verdict) => format!("{} by {}", verdict.request, verdict.by),
            Event::Denied(verdict) => format!("{} by {}", verdict.request, verdict.by),
            Event::Claimed { request, approvers, .. } if approvers.is_empty() => format!("{request}"),
            Event::Claimed { request, approvers, .. } => {
                let names: Vec<&str> = approvers.iter().map(PersonName::as_str).collect();
                format!("{request}, approved by {}", names.join(" and "))
            }
            Event::Intent { action, host, argv, objects, bytes, .. } => {
                let words: Vec<&str> = argv.iter().map(SafeText::as_str).collect();
                let what = if *objects == 0 { String::new() } else { format!(" ({objects} objects, {bytes} bytes)") };
                format!("{action} on {host}: {}{what}", words.join(" "))
            }
            Event::Sent { intent, host, .. } => format!("{intent} to {host}"),
            Event::Outcome { intent, host, outcome, exit, duration_ms, measured, .. } => {
                let exit = exit.map_or(String::new(), |exit| format!(", exit {exit}"));
                format!("{intent} on {host}: {}{exit} after {duration_ms} ms: {measured}", outcome.word())
            }
            Event::Reconciled { intent, host, outcome, witness } => {
                format!("{intent} on {host}: {}: {witness}", outcome.word())
            }
            Event::Refused { action, hosts: on, why } => format!("{action} on {}: {why}", hosts(on)),
            Event::BreakGlass { request, reason, .. } => format!("{request} WITHOUT APPROVAL: {reason}"),
            Event::HoldSet { hold, text } => format!("{hold}: {text}"),
            Event::HoldLifted { hold, by, .. } => format!("{hold} by {by}"),
            Event::Frozen { reason } => format!("no action runs any more: {reason}"),
            Event::Thawed { reason } => format!("actions may run again: {reason}"),
            Event::TrustChanged { host, host_key } => format!("{host}: {host_key}"),
            Event::ConfigChanged { digest } => format!("hosts.toml is now {}", digest.short()),
            Event::PolicyChanged { digest, path } => format!("{path} is now {}", digest.short()),
        }
    }
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub v: u32,
    pub id: AuditId,
    /// The hash of the record before it; [`Digest::ZERO`] before the first.
    pub previous: Digest,
    /// Milliseconds since the Unix epoch, UTC.
    pub at_ms: i64,
    pub actor: Actor,
    pub event: Event,
}

impl Record {
    /// The bytes that are stored, hashed and sent.
    pub fn encode(&self) -> Result<String, CanonicalError> {
        canonical::encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        let record: Self = canonical::decode(bytes)?;
        // A field that is strange or left out is another spelling of the same record.
        match record.encode()?.as_bytes() == bytes {
            true => Ok(record),
            false => Err(CanonicalError::NotCanonical),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Records as this program once wrote them: lines are added, and never changed.
    const GOLDEN: &str = include_str!("../../../tests/golden/audit-v1.jsonl");

    #[test]
    fn every_old_record_is_still_read_and_written_the_same_byte_for_byte() {
        let mut kinds = BTreeSet::new();
        for line in GOLDEN.lines() {
            let record = Record::decode(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(record.encode().as_deref(), Ok(line));
            assert!(line.contains(&format!(r#""kind":"{}""#, record.event.kind())), "{line}");
            kinds.insert(record.event.kind());
        }
        // As many as `Event` has: a new one gets its line.
        assert_eq!(kinds.len(), 18);
    }

    #[test]
    fn a_record_with_a_strange_field_or_without_one_is_refused() {
        let line = GOLDEN.lines().next().unwrap();
        assert!(line.contains(r#""person":"#), "{line}");
        let strange = line.replacen(r#""machine":"#, r#""machina":1,"machine":"#, 1);
        let start = line.find(r#""person":"#).unwrap();
        let end = start + line[start..].find(',').unwrap() + 1;
        let without = format!("{}{}", &line[..start], &line[end..]);
        for other in [strange, without] {
            assert!(Record::decode(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = AuditId::parse("3f9a1c2b44d0-17");
        assert_eq!(id.map(|id| id.to_string()).as_deref(), Some("3f9a1c2b44d0-17"));
        for wrong in ["3f9a1c2b44d0-017", "3f9a1c2b44d0-+1", "3F9A1C2B44D0-1", "3f9a1c2b44d0", "-1", "3f9a1c2b44d0-"] {
            assert_eq!(AuditId::parse(wrong), None, "{wrong}");
        }
    }
}
