//! What the audit says of restore tests: not asked of a host, and as old as the test was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::audit::record::{AuditId, Event, Outcome, Record};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// The action that tests a restore.
const ACTION: &str = "backup.test-restore";

/// The newest restore test of each repository of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoresReading {
    pub tests: Vec<RestoreTest>,
}

/// A restore test whose end is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTest {
    /// As the action named it.
    pub repository: SafeText,
    /// When it began, milliseconds since the epoch.
    pub at_ms: i64,
    /// Whether the file came back as it was; `None` where nobody knows.
    pub whole: Option<bool>,
}

/// The restore tests of all hosts, folded from the audit's records.
#[derive(Debug, Default)]
pub struct RestoreBook {
    begun: BTreeMap<AuditId, (HostName, SafeText, i64)>,
    newest: BTreeMap<HostName, RestoresReading>,
}

impl RestoreBook {
    pub fn apply(&mut self, record: &Record) {
        match &record.event {
            Event::Intent { action, host, argv, .. } if action.as_str() == ACTION => {
                // The action's own words are last: the tool, the repository, the password's file, the file.
                if let [.., _tool, repository, _password_file, _file] = argv.as_slice() {
                    self.begun.insert(record.id.clone(), (host.clone(), repository.clone(), record.at_ms));
                }
            }
            // What never began tested nothing.
            Event::Outcome { intent, outcome: Outcome::Failed, exit: None, .. } => drop(self.begun.remove(intent)),
            Event::Reconciled { intent, outcome: Outcome::Failed, witness, .. }
                if !witness.as_str().contains("exit ") =>
            {
                self.begun.remove(intent);
            }
            Event::Outcome { intent, outcome, .. } | Event::Reconciled { intent, outcome, .. } => {
                self.end(intent, *outcome);
            }
            Event::WriterStarted { .. }
            | Event::Proposed { .. }
            | Event::Approved(_)
            | Event::Denied(_)
            | Event::Refused { .. }
            | Event::Claimed { .. }
            | Event::BreakGlass { .. }
            | Event::Intent { .. }
            | Event::Sent { .. }
            | Event::Frozen { .. }
            | Event::Thawed { .. }
            | Event::HoldSet { .. }
            | Event::HoldLifted { .. }
            | Event::PolicyChanged { .. }
            | Event::ConfigChanged { .. }
            | Event::TrustChanged { .. } => {}
        }
    }

    fn end(&mut self, intent: &AuditId, outcome: Outcome) {
        let Some((host, repository, at_ms)) = self.begun.get(intent).cloned() else { return };
        let whole = match outcome {
            Outcome::Done => Some(true),
            Outcome::Failed => Some(false),
            Outcome::Unknown => None,
        };
        if whole.is_some() {
            self.begun.remove(intent);
        }
        let tests = &mut self.newest.entry(host).or_default().tests;
        match tests.iter_mut().find(|test| test.repository == repository) {
            Some(test) if at_ms < test.at_ms => {}
            Some(test) => (test.at_ms, test.whole) = (at_ms, whole),
            None => tests.push(RestoreTest { repository, at_ms, whole }),
        }
    }

    /// What is known of a host.
    pub fn of(&self, host: &HostName) -> RestoresReading {
        self.newest.get(host).cloned().unwrap_or_default()
    }
}
