//! What the audit says of requests and actions, folded from its records: nothing of it is kept anywhere else.

use std::collections::BTreeMap;

use super::ActionId;
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{Actor, AuditId, Event, Outcome, Record, Verdict};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// A request, and what was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEntry {
    pub proposer: Actor,
    pub plan: Digest,
    pub action: ActionId,
    pub hosts: Vec<HostName>,
    pub reason: SafeText,
    pub approvals_needed: u32,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// Not yet verified: whoever decides verifies them at that moment.
    pub verdicts: Vec<Verdict>,
    /// When it went to its one execution.
    pub claimed_ms: Option<i64>,
    /// Somebody acted without the others' consent.
    pub glass: Option<SafeText>,
}

impl RequestEntry {
    /// The people who are on record as having agreed; whether each counts is for whoever decides.
    pub fn agreed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.statement.contains(r#""word":"approve""#)).count()
    }

    pub fn is_denied(&self) -> bool {
        self.agreed() < self.verdicts.len()
    }
}

/// One action on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentEntry {
    pub request: AuditId,
    pub action: ActionId,
    pub host: HostName,
    pub by: Actor,
    pub at_ms: i64,
    pub is_sent: bool,
    /// The last word on it; `None` while nobody has one.
    pub outcome: Option<(Outcome, SafeText)>,
}

impl IntentEntry {
    /// Whether what became of it is still to be found out.
    pub fn is_open(&self) -> bool {
        match self.outcome {
            None | Some((Outcome::Unknown, _)) => true,
            Some((Outcome::Done | Outcome::Failed, _)) => false,
        }
    }
}

/// Everything that the audit says of actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub requests: BTreeMap<AuditId, RequestEntry>,
    pub intents: BTreeMap<AuditId, IntentEntry>,
    /// Why no action runs.
    pub frozen: Option<SafeText>,
    /// Signed lifts of holds: statement and signature. Not yet verified.
    pub lifts: Vec<(String, String)>,
    /// When the newest record was written: no decision is made as of an earlier time.
    pub newest_ms: i64,
    /// The last known digests of the policy and of the configuration.
    pub policy: Option<Digest>,
    pub config: Option<Digest>,
}

impl Book {
    pub fn apply(&mut self, record: &Record) {
        self.newest_ms = self.newest_ms.max(record.at_ms);
        match &record.event {
            Event::Proposed { plan, action, hosts, reason, approvals_needed, expires_ms } => {
                let request = RequestEntry {
                    proposer: record.actor.clone(),
                    plan: *plan,
                    action: action.clone(),
                    hosts: hosts.clone(),
                    reason: reason.clone(),
                    approvals_needed: *approvals_needed,
                    created_ms: record.at_ms,
                    expires_ms: *expires_ms,
                    verdicts: Vec::new(),
                    claimed_ms: None,
                    glass: None,
                };
                self.requests.insert(record.id.clone(), request);
            }
            Event::Approved(verdict) | Event::Denied(verdict) => {
                if let Some(request) = self.requests.get_mut(&verdict.request) {
                    request.verdicts.push(verdict.clone());
                }
            }
            Event::Claimed { request, .. } => {
                if let Some(request) = self.requests.get_mut(request) {
                    request.claimed_ms = Some(record.at_ms);
                }
            }
            Event::BreakGlass { request, reason, .. } => {
                if let Some(request) = self.requests.get_mut(request) {
                    request.glass = Some(reason.clone());
                }
            }
            Event::Intent { request, action, host, .. } => {
                let intent = IntentEntry {
                    request: request.clone(),
                    action: action.clone(),
                    host: host.clone(),
                    by: record.actor.clone(),
                    at_ms: record.at_ms,
                    is_sent: false,
                    outcome: None,
                };
                self.intents.insert(record.id.clone(), intent);
            }
            Event::Sent { intent, .. } => {
                if let Some(intent) = self.intents.get_mut(intent) {
                    intent.is_sent = true;
                }
            }
            Event::Outcome { intent, outcome, measured, .. } => self.close(intent, *outcome, measured),
            Event::Reconciled { intent, outcome, witness, .. } => self.close(intent, *outcome, witness),
            Event::Frozen { reason } => self.frozen = Some(reason.clone()),
            Event::Thawed { .. } => self.frozen = None,
            Event::HoldLifted { statement, signature, .. } => self.lifts.push((statement.clone(), signature.clone())),
            Event::PolicyChanged { digest, .. } => self.policy = Some(*digest),
            Event::ConfigChanged { digest } => self.config = Some(*digest),
            Event::WriterStarted { .. }
            | Event::Refused { .. }
            | Event::HoldSet { .. }
            | Event::TrustChanged { .. } => {}
        }
    }

    fn close(&mut self, intent: &AuditId, outcome: Outcome, words: &SafeText) {
        if let Some(intent) = self.intents.get_mut(intent) {
            intent.outcome = Some((outcome, words.clone()));
        }
    }

    /// Actions of which nobody knows yet what became of them.
    pub fn open_intents(&self) -> impl Iterator<Item = (&AuditId, &IntentEntry)> {
        self.intents.iter().filter(|(_, intent)| intent.is_open())
    }
}
