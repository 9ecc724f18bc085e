//! The desk: where requests are made, heard and decided, by what the audit says and the policy is at that moment.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;

use super::ActionError;
use super::execute::{Claimed, Field, Progress, Tell};
use super::planning::{self, Wish};
use super::site::HostLock;
use crate::adapters::audit::AuditError;
use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::store::AuditStore;
use crate::adapters::clock;
use crate::adapters::store::reader::Reader;
use crate::adapters::store::state_dir;
use crate::adapters::transport::ssh::Secrets;
use crate::config::Config;
use crate::config::policy::PolicyFile;
use crate::domain::action::book::Book;
use crate::domain::action::catalogue::Catalogue;
use crate::domain::action::guard::{Approved, Circumstances, Confirmed, NotApproved};
use crate::domain::action::plan::{Covered, Plan};
use crate::domain::action::verdict::{Judge, Request, Statement, Word};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{Actor, AuditId, Event, Outcome, Verdict};
use crate::domain::board::Board;
use crate::domain::fleet::{GroupName, HostName};
use crate::domain::text::SafeText;

/// Everything that a decision rests on.
pub struct Desk<'a> {
    pub state: &'a Path,
    pub store: &'a AuditStore,
    pub reader: &'a AuditReader,
    pub policy: &'a PolicyFile,
    pub catalogue: &'a Catalogue,
    pub config: &'a Config,
    pub secrets: &'a Secrets,
}

/// How somebody confirms what is done.
pub struct Confirmation<'a> {
    /// What was typed.
    pub typed: &'a str,
    /// Why they act without the others' consent.
    pub glass: Option<&'a str>,
}

/// How it ended on one host.
pub type Ended = (HostName, Result<Outcome, ActionError>);

/// The actor as the policy knows them.
pub fn known_actor(actor: Actor, policy: &PolicyFile) -> Actor {
    let person = policy.policy.person_of(actor.user.as_str()).map(|person| person.name.clone());
    Actor { person, ..actor }
}

impl Desk<'_> {
    /// What the audit says now.
    pub async fn book(&self) -> Result<Book, ActionError> {
        let mut book = Book::default();
        self.reader.fold(&mut book, 0).await?;
        Ok(book)
    }

    fn groups(&self) -> BTreeMap<HostName, Vec<GroupName>> {
        self.config.fleet.hosts.iter().map(|host| (host.name.clone(), host.groups.clone())).collect()
    }

    /// Asks the hosts what would be done, once it is clear that it might be: a preview may run as root.
    pub async fn plan(&self, wish: &Wish) -> Result<Plan, ActionError> {
        let outline = planning::outline(wish, self.catalogue, self.config, &self.policy.policy)?;
        self.approvals_needed(&outline).await?;
        let mut plan =
            planning::plan(wish, self.catalogue, self.config, &self.policy.policy, None, self.secrets).await?;
        let (board, now) = (board_of(self.state).await, clock::now());
        let (action, parameters) = (plan.covered().action.clone(), plan.covered().parameters.clone());
        for (host, outlook) in &mut plan.outlooks {
            outlook.foresee(&action, &parameters, board.as_ref().and_then(|board| board.hosts.get(host)), now);
        }
        Ok(plan)
    }

    /// The approvals that a plan needs; or why it can't be done at all, which goes on record.
    pub async fn approvals_needed(&self, plan: &Plan) -> Result<u32, ActionError> {
        let (book, groups) = (self.book().await?, self.groups());
        match self.circumstances(&book, &groups).approvals_needed(plan.covered()) {
            Ok(needed) => Ok(needed),
            Err(why) => Err(self.refuse(plan.covered(), why).await),
        }
    }

    fn circumstances<'b>(
        &'b self,
        book: &'b Book,
        groups: &'b BTreeMap<HostName, Vec<GroupName>>,
    ) -> Circumstances<'b> {
        Circumstances {
            policy: &self.policy.policy,
            user: self.store.actor().user.as_str(),
            groups,
            now_ms: clock::now().utc_ms.max(book.newest_ms),
            frozen: book.frozen.as_ref().map(SafeText::as_str),
            lifts: &book.lifts,
        }
    }

    async fn refuse(&self, covered: &Covered, why: NotApproved) -> ActionError {
        let refused = Event::Refused {
            action: covered.action.clone(),
            hosts: covered.host_names(),
            why: SafeText::new(&why.to_string()),
        };
        match self.store.append(refused, clock::now().utc_ms).await {
            Ok(_) => why.into(),
            Err(error) => error.into(),
        }
    }

    /// Puts a plan on record for others to agree to, or to be carried out at once.
    pub async fn propose(&self, plan: &Plan, reason: &str) -> Result<Request, ActionError> {
        let approvals_needed = self.approvals_needed(plan).await?;
        // As decisions are made: a record of a wrong clock's future must not make every request an expired one.
        let now_ms = clock::now().utc_ms.max(self.book().await?.newest_ms);
        let expiry_ms = i64::try_from(self.policy.policy.expiry.as_millis()).unwrap_or(i64::MAX);
        let (reason, expires_ms) = (SafeText::new(reason), now_ms.saturating_add(expiry_ms));
        let event = Event::Proposed {
            plan: *plan.hash(),
            action: plan.covered().action.clone(),
            hosts: plan.covered().host_names(),
            reason: reason.clone(),
            approvals_needed,
            expires_ms,
        };
        let receipt = self.store.propose(event, plan.hash(), plan.encoded(), now_ms).await?;
        Ok(Request {
            id: receipt.id().clone(),
            plan: plan.encoded().to_owned(),
            proposer: self.store.actor().clone(),
            reason,
            approvals_needed,
            created_ms: now_ms,
            expires_ms,
        })
    }

    /// A request of this store, with its plan.
    pub async fn request(&self, book: &Book, id: &AuditId) -> Result<Request, ActionError> {
        let entry = book.requests.get(id).ok_or_else(|| ActionError::NoRequest(id.clone()))?;
        let plan = self.reader.plan(&entry.plan).await?.filter(|plan| Digest::of(plan.as_bytes()) == entry.plan);
        Ok(Request {
            id: id.clone(),
            plan: plan.ok_or_else(|| ActionError::NoRequest(id.clone()))?,
            proposer: entry.proposer.clone(),
            reason: entry.reason.clone(),
            approvals_needed: entry.approvals_needed,
            created_ms: entry.created_ms,
            expires_ms: entry.expires_ms,
        })
    }

    /// How many people's signed consent to a request counts now.
    /// `left` are words that nobody has taken in yet.
    pub async fn agreed(&self, request: &Request, left: &[Verdict]) -> Result<usize, ActionError> {
        let (book, groups) = (self.book().await?, self.groups());
        let covered = request.covered()?;
        let heard = book.requests.get(&request.id).map_or(&[][..], |entry| entry.verdicts.as_slice());
        Ok(self.circumstances(&book, &groups).agreed(&covered, request, &[heard, left].concat())?.len())
    }

    /// Hears a signed word on a request, and puts it on record if it counts.
    pub async fn hear(&self, request: &Request, verdict: Verdict) -> Result<Statement, ActionError> {
        let groups = self.groups();
        let covered = request.covered()?;
        let hosts: Option<Vec<&[GroupName]>> =
            covered.hosts_touched().iter().map(|host| groups.get(host).map(Vec::as_slice)).collect();
        let judge = Judge {
            policy: &self.policy.policy,
            hosts: hosts.ok_or(NotApproved::NoHost)?,
            runner: None,
            now_ms: clock::now().utc_ms.max(self.book().await?.newest_ms),
        };
        match judge.hear(request, &verdict) {
            Ok(statement) => {
                let now_ms = clock::now().utc_ms;
                match statement.word {
                    Word::Approve => drop(self.store.append(Event::Approved(verdict), now_ms).await?),
                    Word::Deny => drop(self.store.deny(&request.id, Event::Denied(verdict), now_ms).await?),
                }
                Ok(statement)
            }
            Err(error) => {
                let why = format!("a word of {} on {} does not count: {error}", verdict.by, request.id);
                Err(self.refuse(&covered, NotApproved::MayNot(why)).await)
            }
        }
    }

    /// Carries a request out: the hosts are asked again, and the plan must come out the same to the byte.
    pub async fn carry_out(
        &self,
        request: Request,
        confirmation: &Confirmation<'_>,
        tell: Tell<'_>,
    ) -> Result<Vec<Ended>, ActionError> {
        if let Some(central) = &self.policy.central_log {
            self.store.room_in_spool(central.spool_records_max).await?;
        }
        let covered = request.covered()?;
        let on_record = self.book().await?.requests.get(&request.id).map(|entry| entry.plan);
        if on_record != Some(request.hash()) {
            let why = NotApproved::Drifted("the store has another one under this id".to_owned());
            return Err(self.refuse(&covered, why).await);
        }
        let is_claimed = |book: &Book| book.requests.get(&request.id).is_some_and(|entry| entry.claimed_ms.is_some());
        if is_claimed(&self.book().await?) {
            return Err(AuditError::AlreadyClaimed(request.id).into());
        }
        // Before it is claimed: a host that is busy costs no approval.
        let touched = covered.hosts_touched();
        let locks = touched.iter().map(|host| HostLock::take(self.state, host));
        let _locks = locks.collect::<Result<Vec<_>, _>>()?;
        let wish = Wish {
            action: covered.action.clone(),
            hosts: covered.host_names(),
            parameters: covered.parameters.clone(),
        };
        let policy = &self.policy.policy;
        let again = planning::plan(&wish, self.catalogue, self.config, policy, Some(&covered), self.secrets).await?;
        let confirmed = Confirmed::confirm(again, confirmation.typed)?;
        let (book, groups) = (self.book().await?, self.groups());
        let verdicts = book.requests.get(&request.id).map_or(&[][..], |entry| entry.verdicts.as_slice());
        let now = self.circumstances(&book, &groups);
        let approved = match confirmation.glass {
            None => Approved::approve(confirmed, request, verdicts, &now),
            Some(reason) => Approved::break_glass(confirmed, request, verdicts, reason, &now),
        };
        match approved {
            Ok(approved) => {
                let claimed = Claimed::claim(approved, self.store).await?;
                self.on_every_host(&claimed, &covered, tell).await
            }
            Err(why) => Err(self.refuse(&covered, why).await),
        }
    }

    /// One host alone first, then the others in batches; the first that fails is the last that is begun.
    async fn on_every_host(
        &self,
        claimed: &Claimed,
        covered: &Covered,
        tell: Tell<'_>,
    ) -> Result<Vec<Ended>, ActionError> {
        let field = Field { store: self.store, state: self.state, secrets: self.secrets, limits: covered.limits, tell };
        let mut ended: Vec<Ended> = Vec::new();
        let (canary, others) = claimed.hosts().split_at(1.min(claimed.hosts().len()));
        let batches = std::iter::once(canary).chain(others.chunks(covered.limits.batch.max(1) as usize));
        for batch in batches {
            if !ended.iter().all(|(_, outcome)| matches!(outcome, Ok(Outcome::Done))) {
                batch.iter().for_each(|plan| tell(Progress::LeftOut { host: plan.host.clone() }));
                continue;
            }
            let runs = batch.iter().map(|plan| {
                let field = &field;
                async move {
                    let spec = |host: &HostName| self.config.fleet.host(host).ok_or(NotApproved::NoHost);
                    let outcome = match (spec(&plan.host), plan.elsewhere.as_ref().map(|there| spec(&there.host))) {
                        (Ok(here), None) => field.carry_out(claimed, plan, here, None).await,
                        (Ok(here), Some(Ok(there))) => field.carry_out(claimed, plan, here, Some(there)).await,
                        (Err(error), _) | (Ok(_), Some(Err(error))) => Err(error.into()),
                    };
                    (plan.host.clone(), outcome)
                }
            });
            ended.extend(all(runs).await);
        }
        Ok(ended)
    }
}

/// What was read of the hosts, for the words beside a plan; where there is no store, or none that can be read, nothing.
pub async fn board_of(state: &Path) -> Option<Board> {
    let mut reader = Reader::open(&state.join(state_dir::DATABASE)).await.ok()?;
    reader.load().await.inspect_err(|error| tracing::warn!("{error}")).ok()
}

/// Drives futures side by side until all have ended, on this thread.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<Pin<Box<_>>> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in running.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
