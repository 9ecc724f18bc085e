//! What the screen knows of the audit: requests, actions, and the newest records.

use std::time::Duration;

use chrono::NaiveDate;

use crate::domain::action::HoldName;
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
    /// Requests of other accounts that were left in the shared directory.
    pub left: Vec<(AuditId, RequestEntry)>,
    /// Holds of the policy that nobody has lifted.
    pub holds: Vec<HoldLine>,
    /// Why holds and the requests of others are not known.
    pub policy_error: Option<String>,
    /// Why no action runs.
    pub frozen: Option<SafeText>,
    /// The newest first.
    pub newest: Vec<AuditLine>,
    /// Records that wait for the central log, and why they do.
    pub waiting: u64,
    pub central_error: Option<String>,
}

/// A hold for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldLine {
    pub name: HoldName,
    pub by: String,
    pub since: NaiveDate,
    pub review: NaiveDate,
    pub words: String,
}

/// What Enter opens of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Request(AuditId),
    Hold(HoldName),
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
    /// A hold that should have been looked at again by now.
    Review,
    Held,
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
    pub target: Option<Target>,
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
        self.asked.iter().chain(&self.left).filter(move |(_, request)| now_ms < request.expires_ms)
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
                ActionRow { need, at_ms: intent.at_ms, who: intent.by.user.clone(), what, words, target: None }
            })
            .collect();
        rows.extend(self.waiting(now_ms).map(|(id, request)| {
            let hosts: Vec<&str> = request.hosts.iter().map(HostName::as_str).collect();
            let left = Duration::from_millis(u64::try_from(request.expires_ms - now_ms).unwrap_or(0));
            let words = format!(
                "{} of {} agreed, void in {}, {id}: {}",
                request.agreed(),
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
                target: Some(Target::Request(id.clone())),
            }
        }));
        rows.extend(self.holds.iter().map(|hold| hold.row(now_ms)));
        rows.sort_by_key(|row| (row.need, row.at_ms));
        rows.extend(self.newest.iter().map(|line| ActionRow {
            need: Need::Record,
            at_ms: line.at_ms,
            who: line.who.clone(),
            what: line.kind.replace('_', " "),
            words: format!("{} ({})", line.words, line.id),
            target: None,
        }));
        rows
    }

    /// What every view says of it in a word: nothing where nobody is needed.
    pub fn mark(&self, now_ms: i64) -> Option<String> {
        let is_unknown = |intent: &IntentEntry| intent.outcome.is_some();
        let unknown = self.open.iter().filter(|(_, intent)| is_unknown(intent)).count();
        let overdue = self.holds.iter().filter(|hold| hold.is_overdue(now_ms)).count();
        let counts = [
            (unknown, "unknown"),
            (self.open.len() - unknown, "running"),
            (self.waiting(now_ms).count(), "waiting"),
            (overdue, "held past review"),
        ];
        let counted = counts.into_iter().filter(|(count, _)| 0 < *count).map(|(count, word)| format!("{count} {word}"));
        let unread = self.policy_error.iter().map(|_| "policy unreadable".to_owned());
        let words: Vec<String> = self.frozen.iter().map(|_| "FROZEN".to_owned()).chain(unread).chain(counted).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl HoldLine {
    fn is_overdue(&self, now_ms: i64) -> bool {
        day_ms(self.review) <= now_ms
    }

    fn row(&self, now_ms: i64) -> ActionRow {
        let review_ms = day_ms(self.review);
        let between = |from: i64, to: i64| short_duration(Duration::from_millis(u64::try_from(to - from).unwrap_or(0)));
        let review = match self.is_overdue(now_ms) {
            true => format!("its review is OVERDUE by {}", between(review_ms, now_ms)),
            false => format!("review in {}", between(now_ms, review_ms)),
        };
        ActionRow {
            need: if self.is_overdue(now_ms) { Need::Review } else { Need::Held },
            at_ms: day_ms(self.since),
            who: SafeText::new(&self.by),
            what: format!("hold {}", self.name),
            words: format!("{review}; {}", self.words),
            target: Some(Target::Hold(self.name.clone())),
        }
    }
}

/// The first moment of a day, as far as a policy's dates have one.
fn day_ms(day: NaiveDate) -> i64 {
    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_past_its_review_is_told_in_every_view_and_one_before_it_in_its_own() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap_or_else(|error| panic!("{error}"));
        let hold = HoldLine {
            name: HoldName::parse("evidence").unwrap_or_else(|error| panic!("{error}")),
            by: "Security".to_owned(),
            since: day("2026-03-03"),
            review: day("2026-04-03"),
            words: "nothing under /var/log may go".to_owned(),
        };
        let board = AuditBoard { holds: vec![hold], ..AuditBoard::default() };
        let shown = |date: &str| {
            let now_ms = day_ms(day(date));
            let row = &board.rows(now_ms)[0];
            (row.need, row.words.split(';').next().unwrap_or_default().to_owned(), board.mark(now_ms))
        };
        assert_eq!(shown("2026-03-31"), (Need::Held, "review in 3d".to_owned(), None));
        let mark = Some("1 held past review".to_owned());
        assert_eq!(shown("2026-09-30"), (Need::Review, "its review is OVERDUE by 180d".to_owned(), mark));
    }
}
