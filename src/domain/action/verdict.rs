//! Requests, and what other people say of them: signed words that stand for themselves on whatever way they come.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::Covered;
use super::policy::{Hold, Person, Policy};
use super::{HoldName, PersonName};
use crate::domain::audit::canonical::{self, CanonicalError};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{Actor, AuditId, Verdict};
use crate::domain::fleet::GroupName;
use crate::domain::signature::{self, Purpose, SignatureError};
use crate::domain::text::SafeText;

/// Clocks of two machines may differ by so much before a word from the future counts for nothing.
const CLOCK_SKEW_MS_MAX: i64 = 120_000;

/// Something that somebody wants done, for others to agree to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: AuditId,
    /// The plan's covered part, in the canonical form.
    pub plan: String,
    pub proposer: Actor,
    pub reason: SafeText,
    pub approvals_needed: u32,
    pub created_ms: i64,
    pub expires_ms: i64,
}

impl Request {
    /// The hash that people agree to.
    pub fn hash(&self) -> Digest {
        Digest::of(self.plan.as_bytes())
    }

    pub fn covered(&self) -> Result<Covered, CanonicalError> {
        Covered::decode(&self.plan)
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    Approve,
    Deny,
}

/// What a person signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub word: Word,
    pub request: AuditId,
    pub plan: Digest,
    pub by: PersonName,
    pub reason: SafeText,
    pub at_ms: i64,
    pub expires_ms: i64,
}

impl Statement {
    pub fn encode(&self) -> Result<String, CanonicalError> {
        canonical::encode(self)
    }
}

/// What a person signs to lift a hold: the hold as it reads, so that a changed one stands again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    pub hold: HoldName,
    pub text: SafeText,
    pub by: PersonName,
    pub at_ms: i64,
}

impl Lift {
    pub fn new(hold: &Hold, by: &PersonName, at_ms: i64) -> Self {
        Self { hold: hold.name.clone(), text: SafeText::new(&hold.words()), by: by.clone(), at_ms }
    }
}

/// Why a word does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerdictError {
    #[error("it can't be read: {0}")]
    Unreadable(#[from] CanonicalError),
    #[error("it is about {0}, another request")]
    OtherRequest(AuditId),
    #[error("it is about another plan: what was agreed to is not what would be done now")]
    OtherPlan,
    #[error("it is said to be of {claimed}, and its statement names {named}")]
    OtherPerson { claimed: PersonName, named: PersonName },
    #[error("the policy knows no {0}")]
    Unknown(PersonName),
    #[error("{0} proposed it: nobody agrees to their own request")]
    Own(PersonName),
    #[error("no role of {0} may agree to it")]
    NoRole(PersonName),
    #[error("{person}: no key of theirs made the signature: {error}")]
    Signature { person: PersonName, error: SignatureError },
    #[error("it expired")]
    Expired,
    #[error("it was made in the future: compare the clocks")]
    Future,
}

/// Who must have signed what, for a word on a request to count.
pub struct Judge<'a> {
    pub policy: &'a Policy,
    /// The groups of each host of the plan.
    pub hosts: Vec<&'a [GroupName]>,
    /// The account that would carry it out: whoever runs something is no other person to it, whoever is said to have
    /// proposed it. `None` while a word is only taken in.
    pub runner: Option<&'a str>,
    pub now_ms: i64,
}

impl Judge<'_> {
    /// Reads one word on a request; whoever says it, it counts for nothing unless all of this holds.
    pub fn hear(&self, request: &Request, verdict: &Verdict) -> Result<Statement, VerdictError> {
        let statement: Statement = canonical::decode(verdict.statement.as_bytes())?;
        if statement.request != request.id {
            return Err(VerdictError::OtherRequest(statement.request));
        }
        if statement.plan != request.hash() {
            return Err(VerdictError::OtherPlan);
        }
        if statement.by != verdict.by {
            return Err(VerdictError::OtherPerson { claimed: verdict.by.clone(), named: statement.by });
        }
        let person = self.person(&statement.by)?;
        signed(person, Purpose::Verdict, &verdict.statement, &verdict.signature)?;
        if statement.word == Word::Approve {
            self.may_count(request, person, &statement)?;
        }
        Ok(statement)
    }

    fn may_count(&self, request: &Request, person: &Person, statement: &Statement) -> Result<(), VerdictError> {
        let covered = request.covered()?;
        let proposer = self.policy.person_of(request.proposer.user.as_str()).map(|person| &person.name);
        let runner = self.runner.and_then(|user| self.policy.person_of(user)).map(|person| &person.name);
        let own = [proposer, request.proposer.person.as_ref(), runner];
        if own.contains(&Some(&person.name)) {
            return Err(VerdictError::Own(person.name.clone()));
        }
        if !self.policy.may_approve(person, &covered.action, &self.hosts) {
            return Err(VerdictError::NoRole(person.name.clone()));
        }
        if statement.expires_ms <= self.now_ms || request.expires_ms <= self.now_ms {
            return Err(VerdictError::Expired);
        }
        if self.now_ms + CLOCK_SKEW_MS_MAX < statement.at_ms {
            return Err(VerdictError::Future);
        }
        Ok(())
    }

    fn person(&self, name: &PersonName) -> Result<&Person, VerdictError> {
        self.policy.person(name).ok_or_else(|| VerdictError::Unknown(name.clone()))
    }

    /// The holds that somebody who may has lifted, of all that were said to be.
    pub fn lifted<'l>(&self, lifts: impl Iterator<Item = (&'l str, &'l str)>) -> BTreeSet<HoldName> {
        let counts = |(statement, signature): (&str, &str)| {
            let lift: Lift = canonical::decode(statement.as_bytes()).ok()?;
            let hold = self.policy.holds.iter().find(|hold| hold.name == lift.hold)?;
            let person = self.person(&lift.by).ok()?;
            signed(person, Purpose::Lift, statement, signature).ok()?;
            (lift.text.as_str() == SafeText::new(&hold.words()).as_str() && person.roles.contains(&hold.lifted_by))
                .then(|| hold.name.clone())
        };
        lifts.filter_map(counts).collect()
    }
}

/// Whether one of the person's keys made the signature.
fn signed(person: &Person, purpose: Purpose, statement: &str, signature: &str) -> Result<(), VerdictError> {
    let mut last = SignatureError::OtherKey;
    for line in &person.keys {
        let checked = signature::public_key(line)
            .and_then(|key| signature::verify(&key, purpose, statement.as_bytes(), signature));
        match checked {
            Ok(()) => return Ok(()),
            Err(SignatureError::OtherKey) => {}
            Err(error) => last = error,
        }
    }
    Err(VerdictError::Signature { person: person.name.clone(), error: last })
}
