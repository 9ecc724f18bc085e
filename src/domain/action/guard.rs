//! What stands between a plan and its execution, as types: none of the steps can be left out.
//!
//! `Plan → Confirmed → Approved → Recorded → execute`. The first three are here; `Recorded` is the engine's, because only the
//! audit store can say that something is on record.
//!
//! A plan that nobody confirmed is none that could be approved:
//! ```compile_fail
//! use dogwatch::domain::action::guard::{Approved, Circumstances};
//! use dogwatch::domain::action::{plan::Plan, verdict::Request};
//! fn skip(plan: Plan, request: Request, now: &Circumstances) -> Approved {
//!     Approved::approve(plan, request, &[], now).unwrap()
//! }
//! ```
//! A confirmed plan can't be made by hand, and neither can an approved one:
//! ```compile_fail
//! use dogwatch::domain::action::guard::Confirmed;
//! fn forge(plan: dogwatch::domain::action::plan::Plan) -> Confirmed {
//!     Confirmed { plan }
//! }
//! ```
//! ```compile_fail
//! use dogwatch::domain::action::guard::{Approved, Confirmed};
//! fn forge(confirmed: Confirmed, request: dogwatch::domain::action::verdict::Request) -> Approved {
//!     Approved { confirmed, request, approvers: Vec::new(), glass: None }
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::plan::{Covered, Plan};
use super::policy::{Answer, Policy, Question};
use super::verdict::{Judge, Request, VerdictError, Word};
use super::{HoldName, PersonName};
use crate::domain::audit::record::{AuditId, Verdict};
use crate::domain::fleet::{GroupName, HostName};
use crate::domain::text::SafeText;

/// A plan that somebody confirmed by typing what it is about.
#[derive(Clone, Debug)]
pub struct Confirmed {
    plan: Plan,
}

/// Why a plan is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("type '{wanted}' to confirm it; '{typed}' is something else")]
pub struct NotConfirmed {
    pub wanted: String,
    pub typed: String,
}

/// Whether what was typed is the phrase, byte for byte.
pub fn is_phrase(plan: &Plan, typed: &str) -> bool {
    typed.as_bytes() == plan.covered().phrase().as_bytes()
}

impl Confirmed {
    pub fn confirm(plan: Plan, typed: &str) -> Result<Self, NotConfirmed> {
        match is_phrase(&plan, typed) {
            true => Ok(Self { plan }),
            false => Err(NotConfirmed {
                wanted: plan.covered().phrase(),
                typed: typed.escape_unicode().to_string().replace("\\u{", "⟨").replace('}', "⟩"),
            }),
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// What holds at the moment of the decision.
pub struct Circumstances<'a> {
    pub policy: &'a Policy,
    /// The account that acts, as the operating system vouches for it.
    pub user: &'a str,
    pub groups: &'a BTreeMap<HostName, Vec<GroupName>>,
    /// The later of the clock and the newest record: a clock that was set back extends nothing.
    pub now_ms: i64,
    /// Why nothing may run from this store.
    pub frozen: Option<&'a str>,
    /// Signed lifts of holds: statement and signature.
    pub lifts: &'a [(String, String)],
}

/// Why something is not let through.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotApproved {
    #[error("frozen: {0}; 'dogwatch action thaw' ends it")]
    Frozen(String),
    #[error("held: {0}")]
    Held(String),
    #[error("{0}")]
    MayNot(String),
    #[error("the request is about another plan: {0}")]
    Drifted(String),
    #[error("{request} expired: propose it again")]
    Expired { request: AuditId },
    #[error("{request} was denied by {by}: {reason}")]
    Denied { request: AuditId, by: PersonName, reason: SafeText },
    #[error("{request} has {have} of {need} approvals{ignored}")]
    TooFew { request: AuditId, have: usize, need: u32, ignored: String },
    #[error("no role of this account may break the glass for this")]
    NoGlass,
    #[error("breaking the glass needs a reason of at least {REASON_CHARS_MIN} characters")]
    NoReason,
    #[error("a host of the plan is no longer watched")]
    NoHost,
}

/// A reason that says less says nothing.
const REASON_CHARS_MIN: usize = 10;

impl<'a> Circumstances<'a> {
    fn hosts(&self, covered: &Covered) -> Result<Vec<&'a [GroupName]>, NotApproved> {
        let touched = covered.hosts_touched();
        let groups = touched.iter().map(|host| self.groups.get(host).map(Vec::as_slice));
        groups.collect::<Option<_>>().ok_or(NotApproved::NoHost)
    }

    fn judge(&self, hosts: Vec<&'a [GroupName]>) -> Judge<'a> {
        Judge { policy: self.policy, hosts, runner: Some(self.user), now_ms: self.now_ms }
    }

    /// Holds that somebody who may has lifted.
    pub fn lifted(&self) -> BTreeSet<HoldName> {
        let lifts = self.lifts.iter().map(|(statement, signature)| (statement.as_str(), signature.as_str()));
        self.judge(Vec::new()).lifted(lifts)
    }

    /// Who has agreed to it, by words that count now.
    pub fn agreed(
        &self,
        covered: &Covered,
        request: &Request,
        verdicts: &[Verdict],
    ) -> Result<BTreeSet<PersonName>, NotApproved> {
        let judge = self.judge(self.hosts(covered)?);
        let heard = verdicts.iter().filter_map(|verdict| judge.hear(request, verdict).ok());
        Ok(heard.filter(|statement| statement.word == Word::Approve).map(|statement| statement.by).collect())
    }

    /// How many must agree to it; or why it may not be done at all, whoever agreed.
    pub fn approvals_needed(&self, covered: &Covered) -> Result<u32, NotApproved> {
        if let Some(why) = self.frozen {
            return Err(NotApproved::Frozen(why.to_owned()));
        }
        let lifted = self.lifted();
        let question = Question {
            user: self.user,
            action: &covered.action,
            severity: covered.severity,
            is_own: covered.is_own,
            hosts: self.hosts(covered)?,
            paths: paths(covered),
            lifted: &lifted,
        };
        match self.policy.answer(&question) {
            Answer::May { approvals, .. } => Ok(approvals),
            Answer::Held(words) => Err(NotApproved::Held(words)),
            Answer::MayNot(why) => Err(NotApproved::MayNot(why)),
        }
    }
}

/// The directories that a plan would change.
pub fn paths(covered: &Covered) -> Vec<&str> {
    let directories = covered.hosts.iter().filter_map(|host| Some(host.directory.as_ref()?.path.as_str()));
    // A repository may be written as `local:/backup`: the path is what counts.
    let parameters = covered.parameters.values().filter_map(|value| Some(&value[value.find('/')?..]));
    directories.chain(parameters).collect()
}

/// A plan that may be carried out, now.
#[derive(Clone, Debug)]
pub struct Approved {
    confirmed: Confirmed,
    request: Request,
    approvers: Vec<PersonName>,
    glass: Option<SafeText>,
}

impl Approved {
    /// Verifies what was signed against the policy as it is now; `confirmed` is the plan as it was probed just before.
    pub fn approve(
        confirmed: Confirmed,
        request: Request,
        verdicts: &[Verdict],
        now: &Circumstances<'_>,
    ) -> Result<Self, NotApproved> {
        let (need, judge) = Self::ground(&confirmed, &request, now)?;
        let mut approvers: Vec<PersonName> = Vec::new();
        let mut ignored = String::new();
        for verdict in verdicts {
            match judge.hear(&request, verdict) {
                Ok(statement) => match statement.word {
                    Word::Deny => {
                        let (by, reason) = (statement.by, statement.reason);
                        return Err(NotApproved::Denied { request: request.id, by, reason });
                    }
                    Word::Approve if approvers.contains(&statement.by) => {}
                    Word::Approve => approvers.push(statement.by),
                },
                Err(VerdictError::OtherRequest(_)) => {}
                Err(error) => ignored.push_str(&format!("; one of {} does not count: {error}", verdict.by)),
            }
        }
        match (approvers.len() as u64) < u64::from(need) {
            true => Err(NotApproved::TooFew { request: request.id, have: approvers.len(), need, ignored }),
            false => Ok(Self { confirmed, request, approvers, glass: None }),
        }
    }

    /// Lets one person act alone, loudly. A hold, a freeze and a denial stand all the same.
    pub fn break_glass(
        confirmed: Confirmed,
        request: Request,
        verdicts: &[Verdict],
        reason: &str,
        now: &Circumstances<'_>,
    ) -> Result<Self, NotApproved> {
        if reason.trim().chars().count() < REASON_CHARS_MIN {
            return Err(NotApproved::NoReason);
        }
        let covered = confirmed.plan().covered();
        if !now.policy.may_break_glass(now.user, &covered.action, &now.hosts(covered)?) {
            return Err(NotApproved::NoGlass);
        }
        let (_, judge) = Self::ground(&confirmed, &request, now)?;
        let denied = verdicts.iter().filter_map(|verdict| judge.hear(&request, verdict).ok());
        if let Some(denial) = denied.into_iter().find(|statement| statement.word == Word::Deny) {
            return Err(NotApproved::Denied { request: request.id, by: denial.by, reason: denial.reason });
        }
        Ok(Self { confirmed, request, approvers: Vec::new(), glass: Some(SafeText::new(reason)) })
    }

    /// What must hold however many agreed.
    fn ground<'a>(
        confirmed: &Confirmed,
        request: &Request,
        now: &Circumstances<'a>,
    ) -> Result<(u32, Judge<'a>), NotApproved> {
        let plan = confirmed.plan();
        let need = now.approvals_needed(plan.covered())?;
        if request.hash() != *plan.hash() {
            let before = Plan::decode(&request.plan).map(|before| before.drift(plan).join(", "));
            return Err(NotApproved::Drifted(before.unwrap_or_else(|error| error.to_string())));
        }
        if request.expires_ms <= now.now_ms {
            return Err(NotApproved::Expired { request: request.id.clone() });
        }
        Ok((need, now.judge(now.hosts(plan.covered())?)))
    }

    pub fn plan(&self) -> &Plan {
        self.confirmed.plan()
    }

    pub fn request(&self) -> &Request {
        &self.request
    }

    pub fn approvers(&self) -> &[PersonName] {
        &self.approvers
    }

    /// Why somebody acts without the others' consent.
    pub fn glass(&self) -> Option<&SafeText> {
        self.glass.as_ref()
    }
}
