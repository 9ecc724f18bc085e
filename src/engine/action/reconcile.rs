//! What became of actions that nobody saw the end of: looked for on the host, and never run again for that.

use std::collections::BTreeSet;

use super::ActionError;
use super::desk::Desk;
use super::execute::{Tell, clear};
use super::follow::{fence, follow};
use super::site::{HostLock, Site};
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::action::book::{Book, IntentEntry};
use crate::domain::action::plan::{Covered, HostPlan};
use crate::domain::action::remote::{self, Fence, OwnLog, Standing};
use crate::domain::audit::record::{AuditId, Event, Outcome};
use crate::domain::fleet::HostSpec;
use crate::domain::text::SafeText;

/// What was found out of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub intent: AuditId,
    pub outcome: Outcome,
    pub witness: String,
}

impl Desk<'_> {
    /// Looks for what became of every action whose end is not on record; what is found goes on record.
    pub async fn reconcile(&self, tell: Tell<'_>) -> Result<Vec<(AuditId, Result<Found, ActionError>)>, ActionError> {
        let book = self.book().await?;
        let mut found = Vec::new();
        for (intent, entry) in book.open_intents() {
            found.push((intent.clone(), self.look_for(&book, intent, entry, tell).await));
        }
        Ok(found)
    }

    async fn look_for(
        &self,
        book: &Book,
        intent: &AuditId,
        entry: &IntentEntry,
        tell: Tell<'_>,
    ) -> Result<Found, ActionError> {
        let no_host = || ActionError::NoHost(entry.host.to_string());
        let spec = self.config.fleet.host(&entry.host).ok_or_else(no_host)?;
        // Whoever carries it out right now holds the lock.
        let _lock = HostLock::take(self.state, &entry.host)?;
        let request = self.request(book, &entry.request).await?;
        let covered: Covered = request.covered()?;
        let plan = covered.hosts.iter().find(|plan| plan.host == entry.host).ok_or_else(no_host)?;
        let mut site = Site::new(spec, self.secrets.clone());
        site.connect().await?;
        if site.host_key() != plan.host_key {
            let why = format!("shows the host key {}, and the action went to {}", site.host_key(), plan.host_key);
            return Err(ActionError::Host { host: entry.host.clone(), why });
        }
        let found = self.witness(intent, entry, plan, &covered, &mut site, tell).await?;
        let is_news = entry.outcome.as_ref().is_none_or(|(outcome, _)| *outcome != found.outcome);
        if is_news {
            let event = Event::Reconciled {
                intent: intent.clone(),
                host: entry.host.clone(),
                outcome: found.outcome,
                witness: SafeText::new(&found.witness),
            };
            self.store.append(event, clock::now().utc_ms).await?;
        }
        if found.outcome != Outcome::Unknown {
            clear(intent, &mut site).await;
        }
        Ok(found)
    }

    async fn witness(
        &self,
        intent: &AuditId,
        entry: &IntentEntry,
        plan: &HostPlan,
        covered: &Covered,
        site: &mut Site,
        tell: Tell<'_>,
    ) -> Result<Found, ActionError> {
        let reply = site.ask(remote::LOOK, vec![intent.to_string(), "0".to_owned()]).await?;
        let look = remote::parse_look(reply.first())
            .map_err(|error| ActionError::Remote { host: entry.host.clone(), error })?;
        let found = |outcome, witness: String| Found { intent: intent.clone(), outcome, witness };
        match look.standing {
            Standing::Exited(_) | Standing::Running | Standing::Killed => {}
            // What may still be on its way can begin no more, before anything is said of it.
            Standing::Beginning | Standing::None => match fence(site, intent).await? {
                Fence::There => {}
                Fence::Fenced => {
                    let log = site.ask(remote::OWN_LOG, vec![intent.to_string()]).await?;
                    let log = remote::parse_own_log(&log.body, intent);
                    let elapsed_s = u64::try_from((clock::now().utc_ms - entry.at_ms) / 1_000).unwrap_or(0);
                    let (outcome, witness) = by_own_log(log, look.uptime_s < elapsed_s);
                    return Ok(found(outcome, witness));
                }
            },
        }
        let end = follow(intent, site, plan, &covered.limits, tell).await;
        Ok(found(end.outcome, format!("the host's own record: {}", end.words)))
    }
}

/// The actions that a host's own log shows; `None` where this login may read none of its logs.
pub async fn actions_in_own_log(spec: &HostSpec, secrets: Secrets) -> Result<Option<BTreeSet<AuditId>>, ActionError> {
    let mut site = Site::new(spec, secrets);
    let reply = site.ask(remote::OWN_LOG, vec![" begins".to_owned()]).await?;
    let is_unreadable = reply.body.trim_ascii() == b"unreadable";
    Ok((!is_unreadable).then(|| remote::actions_in(&reply.body).collect()))
}

/// What a host's own log, and whether the host was started since, say of an action that it knows nothing of any more.
fn by_own_log(log: OwnLog, restarted: bool) -> (Outcome, String) {
    match (log.begins, log.exit) {
        (_, Some(status)) if status != 0 => (Outcome::Failed, format!("the host's own log: exit {status}")),
        (_, Some(_)) => (Outcome::Unknown, "the host's own log: exit 0; its effect was never measured".to_owned()),
        (true, None) if restarted => (Outcome::Failed, "the host was restarted while it ran".to_owned()),
        (true, None) => (Outcome::Unknown, "the host's own log shows its beginning and no end".to_owned()),
        (false, None) if restarted => {
            (Outcome::Unknown, "the host was restarted since, and its own log shows nothing of it".to_owned())
        }
        (false, None) if log.is_readable => (Outcome::Failed, "the host never began it, and can't any more".to_owned()),
        (false, None) => {
            (Outcome::Unknown, "the host has kept nothing of it, and this login may read none of its logs".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(begins: bool, exit: Option<i32>, restarted: bool, expected: Outcome) {
        let log = OwnLog { is_readable: true, begins, exit };
        let (outcome, witness) = by_own_log(log, restarted);
        assert_eq!(outcome, expected, "{witness}");
    }

    #[test]
    fn a_host_that_was_restarted_never_makes_an_action_done() {
        for begins in [true, false] {
            for exit in [None, Some(0), Some(1)] {
                let (outcome, witness) = by_own_log(OwnLog { is_readable: true, begins, exit }, true);
                assert_ne!(outcome, Outcome::Done, "{witness}");
            }
        }
    }

    #[test]
    fn what_never_began_failed_and_what_failed_failed() {
        check(false, None, false, Outcome::Failed);
        check(true, Some(3), false, Outcome::Failed);
        check(true, None, false, Outcome::Unknown);
        check(true, Some(0), false, Outcome::Unknown);
    }
}
