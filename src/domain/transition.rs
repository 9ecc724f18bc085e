//! Transitions: the few durable things that happened, from which every board is folded.
//!
//! The encoding is JSON with a version.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::check::state::CheckState;
use super::check::{CheckId, CheckResult};
use super::fleet::{GroupName, HostName, ProtectionColour};
use super::probe::script::PollCost;
use super::probe::{Lane, ProbeId};
use super::text::SafeText;
use super::time::Moment;

/// The version of the encoding that this program writes.
pub const TRANSITION_VERSION: u32 = 1;

/// Something that changed, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub v: u32,
    pub at: Moment,
    #[serde(flatten)]
    pub change: Change,
}

impl Transition {
    pub fn new(at: Moment, change: Change) -> Self {
        Self { v: TRANSITION_VERSION, at, change }
    }
}

/// The closed list of what can change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    EngineStarted {
        pid: u32,
        version: String,
        how: String,
    },
    EngineStopped {
        pid: u32,
    },
    /// The resolved configuration: which hosts are watched from now on.
    FleetChanged {
        hosts: Vec<HostEntry>,
        groups: Vec<GroupName>,
        digest: String,
    },
    /// A changed configuration file was broken; the old one stays in force.
    ConfigRejected {
        errors: Vec<SafeText>,
    },
    LinkChanged {
        host: HostName,
        lane: Lane,
        link: Link,
    },
    CheckChanged {
        host: HostName,
        probe: ProbeId,
        result: Arc<CheckResult>,
        state: CheckState,
        fresh_for_ms: u64,
    },
    /// The check's subject is no longer watched, or vanished in peace.
    CheckForgotten {
        host: HostName,
        check: CheckId,
    },
    /// A slow probe passed its deadline and still runs on the host.
    ProbeStuck {
        host: HostName,
        probe: ProbeId,
        since: Moment,
    },
    ProbeFreed {
        host: HostName,
        probe: ProbeId,
    },
    /// Somebody went from the screen into the system's own ssh.
    ShellOpened {
        host: HostName,
        /// The user on the machine that watches.
        by: SafeText,
    },
}

/// What a board needs to know of a watched host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostEntry {
    pub name: HostName,
    pub groups: Vec<GroupName>,
    /// The machine the engine runs on.
    pub own: bool,
    pub trend_window_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<ProtectionColour>,
    /// The host that this one is reached through, or runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<HostName>,
}

/// The state of a session with a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    Connected,
    #[default]
    Connecting,
    Lost,
    TimedOut,
    Unreachable,
    AuthFailed,
    Untrusted,
    Unsupported,
}

impl LinkState {
    pub fn word(self) -> &'static str {
        match self {
            LinkState::Connected => "connected",
            LinkState::Connecting => "connecting",
            LinkState::Lost => "lost",
            LinkState::TimedOut => "timed-out",
            LinkState::Unreachable => "unreachable",
            LinkState::AuthFailed => "auth-failed",
            LinkState::Untrusted => "untrusted",
            LinkState::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A link's state and, where it is not up, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub state: LinkState,
    pub why: Option<SafeText>,
}

impl Link {
    pub fn up() -> Self {
        Self { state: LinkState::Connected, why: None }
    }

    pub fn is_up(&self) -> bool {
        self.state == LinkState::Connected
    }

    pub fn down(state: LinkState, why: impl Into<SafeText>) -> Self {
        Self { state, why: Some(why.into()) }
    }
}

/// Frequent and cheap to lose: what one poll saw of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub host: HostName,
    pub at: Moment,
    pub observations: Vec<Arc<Observation>>,
    /// What the poll cost the host.
    pub cost: Option<PollCost>,
}

/// One probe's part of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub probe: ProbeId,
    pub fresh_for_ms: u64,
    pub seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Seen {
    Reading {
        reading: Arc<super::probe::Reading>,
        results: Vec<Arc<CheckResult>>,
    },
    /// The attempt failed; the values before it stay, with their age.
    Failed {
        why: SafeText,
    },
}

/// Everything a board is folded from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Transition(Transition),
    Batch(Batch),
}

impl Input {
    /// The host whose part of the board it changes; `None` where it may be any.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Input::Batch(batch) => Some(&batch.host),
            Input::Transition(transition) => match &transition.change {
                Change::EngineStarted { .. }
                | Change::EngineStopped { .. }
                | Change::FleetChanged { .. }
                | Change::ConfigRejected { .. } => None,
                Change::LinkChanged { host, .. }
                | Change::CheckChanged { host, .. }
                | Change::CheckForgotten { host, .. }
                | Change::ProbeStuck { host, .. }
                | Change::ProbeFreed { host, .. }
                | Change::ShellOpened { host, .. } => Some(host),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Lines as this program once wrote them: they are added to, and never changed.
    const GOLDEN: &str = include_str!("../../tests/golden/transitions-v1.jsonl");

    #[test]
    fn every_old_encoding_is_still_read_and_means_the_same_when_written_again() {
        let mut kinds = BTreeSet::new();
        for line in GOLDEN.lines() {
            let read = |text: &str| -> Transition {
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
            };
            let transition = read(line);
            let written = serde_json::to_string(&transition).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read(&written), transition);
            let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}"));
            kinds.insert(value["kind"].to_string());
        }
        // As many as `Change` has: a new one gets its line.
        assert_eq!(kinds.len(), 10);
    }
}
