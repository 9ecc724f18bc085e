//! What the screen knows of the audit: requests, actions, and the newest records.

use std::time::Duration;

use crate::domain::action::book::Book;
use crate::domain::audit::record::{AuditId, Outcome};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;
use crate::domain::time::short_duration;

/// Records that the screen shows.
pub const NEWEST_MAX: usize = 200;

/// The audit as it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditBoard {
    pub book: Book,
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
    /// What nobody knows yet first, then what runs, what waits for somebody's word, and what is on record.
    pub fn rows(&self, now_ms: i64) -> Vec<ActionRow> {
        let mut rows: Vec<ActionRow> = self
            .book
            .open_intents()
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
        let waits = self.book.requests.iter().filter(|(_, request)| {
            request.claimed_ms.is_none()
                && !request.is_denied()
                && now_ms < request.expires_ms
                && 0 < request.approvals_needed
        });
        rows.extend(waits.map(|(id, request)| {
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
        let rows = self.rows(now_ms);
        let count = |need| rows.iter().filter(|row| row.need == need).count();
        let words = [(Need::Unknown, "unknown"), (Need::Running, "running"), (Need::Waiting, "waiting")]
            .into_iter()
            .map(|(need, word)| (count(need), word))
            .filter(|(count, _)| 0 < *count)
            .map(|(count, word)| format!("{count} {word}"));
        let words: Vec<String> = self.book.frozen.iter().map(|_| "FROZEN".to_owned()).chain(words).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
