//! What the screen knows of the audit: requests, actions, and the newest records.

use std::time::Duration;

use crate::domain::action::book::{Book, IntentEntry, RequestEntry};
use crate::domain::audit::record::{AuditId, Outcome};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;
use crate::domain::time::short_duration;

/// Records that the screen shows.
pub const NEWEST_MAX: usize = 200;

/// The audit as it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditBoard {
    /// Actions of which nobody knows yet what became of them.
    pub open: Vec<(AuditId, IntentEntry)>,
    /// Requests that others are asked to agree to, and that were neither carried out nor denied.
    pub asked: Vec<(AuditId, RequestEntry)>,
    /// Why no action runs.
    pub frozen: Option<SafeText>,
    /// The newest first.
    pub newest: Vec<AuditLine>,
    /// Records that wait for the central log, and why they do.
    pub waiting: u64,
    pub central_error: Option<String>,
}

/// One record for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    pub id: AuditId,
    pub at_ms: i64,
    pub kind: &'static str,
    pub who: SafeText,
    pub words: String,
}

/// How much a row of the action view wants to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Unknown,
    Running,
    Waiting,
    Record,
}

/// One row of the action view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRow {
    pub need: Need,
    pub at_ms: i64,
    pub who: SafeText,
    pub what: String,
    pub words: String,
}

impl AuditBoard {
    /// Takes from the book what a screen shows of it, so that no frame has to look through years of it.
    pub fn take(&mut self, book: &Book) {
        self.open = book.open_intents().map(|(id, intent)| (id.clone(), intent.clone())).collect();
        let asked = book.requests.iter().filter(|(_, request)| {
            request.claimed_ms.is_none() && !request.is_denied() && 0 < request.approvals_needed
        });
        self.asked = asked.map(|(id, request)| (id.clone(), request.clone())).collect();
        self.frozen.clone_from(&book.frozen);
    }

    fn waiting(&self, now_ms: i64) -> impl Iterator<Item = &(AuditId, RequestEntry)> {
        self.asked.iter().filter(move |(_, request)| now_ms < request.expires_ms)
    }

    /// What nobody knows yet first, then what runs, what waits for somebody's word, and what is on record.
    pub fn rows(&self, now_ms: i64) -> Vec<ActionRow> {
        let mut rows: Vec<ActionRow> = self
            .open
            .iter()
            .map(|(id, intent)| {
                let (need, words) = match &intent.outcome {
                    Some((Outcome::Unknown, words)) => (
                        Need::Unknown,
                        format!("outcome unknown, {id}: {words}; dogwatch action reconcile looks for it"),
                    ),
                    Some((Outcome::Done | Outcome::Failed, _)) | None => (Need::Running, format!("running, {id}")),
                };
                let what = format!("{} on {}", intent.action, intent.host);
                ActionRow { need, at_ms: intent.at_ms, who: intent.by.user.clone(), what, words }
            })
            .collect();
        rows.extend(self.waiting(now_ms).map(|(id, request)| {
            let hosts: Vec<&str> = request.hosts.iter().map(HostName::as_str).collect();
            let left = Duration::from_millis(u64::try_from(request.expires_ms - now_ms).unwrap_or(0));
            let words = format!(
                "waits for {} of {} approvals, void in {}, {id}: {}",
                request.approvals_needed.saturating_sub(request.agreed() as u32),
                request.approvals_needed,
                short_duration(left),
                request.reason
            );
            let what = format!("{} on {}", request.action, hosts.join(" "));
            ActionRow {
                need: Need::Waiting,
                at_ms: request.created_ms,
                who: request.proposer.user.clone(),
                what,
                words,
            }
        }));
        rows.sort_by_key(|row| (row.need, row.at_ms));
        rows.extend(self.newest.iter().map(|line| ActionRow {
            need: Need::Record,
            at_ms: line.at_ms,
            who: line.who.clone(),
            what: line.kind.replace('_', " "),
            words: format!("{} ({})", line.words, line.id),
        }));
        rows
    }

    /// What every view says of it in a word: nothing where nobody is needed.
    pub fn mark(&self, now_ms: i64) -> Option<String> {
        let is_unknown = |intent: &IntentEntry| intent.outcome.is_some();
        let unknown = self.open.iter().filter(|(_, intent)| is_unknown(intent)).count();
        let counts =
            [(unknown, "unknown"), (self.open.len() - unknown, "running"), (self.waiting(now_ms).count(), "waiting")];
        let counted = counts.into_iter().filter(|(count, _)| 0 < *count).map(|(count, word)| format!("{count} {word}"));
        let words: Vec<String> = self.frozen.iter().map(|_| "FROZEN".to_owned()).chain(counted).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
