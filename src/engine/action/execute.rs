//! Execution: intent on record, then a byte to the host; done only when its effect is measured.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::ActionError;
use super::follow::{End, follow};
use super::ship::Shipment;
use super::site::Site;
use crate::adapters::audit::AuditError;
use crate::adapters::audit::store::{AuditStore, Receipt};
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::action::catalogue::ActionLimits;
use crate::domain::action::guard::Approved;
use crate::domain::action::plan::HostPlan;
use crate::domain::action::remote::{self, Begun, RemoteError};
use crate::domain::action::shipping::Shipped;
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{AuditId, Event, Outcome};
use crate::domain::fleet::{HostName, HostSpec};
use crate::domain::text::SafeText;

/// Characters of a command line that a record names; the plan has them all.
const ARGV_CHARS_MAX: usize = 2_000;
/// Characters of what was measured that a record keeps.
const MEASURED_CHARS_MAX: usize = 400;

/// What a screen or a terminal is told while an action runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Begins {
        host: HostName,
        intent: AuditId,
    },
    Output {
        host: HostName,
        text: SafeText,
    },
    LinkLost {
        host: HostName,
        why: String,
    },
    Ends {
        host: HostName,
        outcome: Outcome,
        measured: SafeText,
    },
    /// An earlier host failed, so nothing was sent to this one.
    LeftOut {
        host: HostName,
    },
}

/// Who is told.
pub type Tell<'a> = &'a dyn Fn(Progress);

/// A request that went to its one execution.
pub struct Claimed {
    approved: Approved,
    _receipt: Receipt,
}

impl Claimed {
    /// Of all who try to, one claims a request.
    pub async fn claim(approved: Approved, store: &AuditStore) -> Result<Self, AuditError> {
        let (request, plan) = (approved.request().id.clone(), *approved.plan().hash());
        if let Some(reason) = approved.glass() {
            let glass = Event::BreakGlass { request: request.clone(), plan, reason: reason.clone() };
            store.append(glass, clock::now().utc_ms).await?;
        }
        let claimed = Event::Claimed { request: request.clone(), plan, approvers: approved.approvers().to_vec() };
        let receipt = store.claim(&request, claimed, clock::now().utc_ms).await?;
        Ok(Self { approved, _receipt: receipt })
    }

    pub fn hosts(&self) -> &[HostPlan] {
        &self.approved.plan().covered().hosts
    }
}

/// A command line as far as a record has room for it.
fn recorded_words(words: &[String]) -> Vec<SafeText> {
    let mut left = ARGV_CHARS_MAX;
    let mut recorded = Vec::new();
    for word in words {
        recorded.push(SafeText::from_bytes_capped(word.as_bytes(), left));
        left = left.saturating_sub(word.chars().count());
        if left == 0 {
            recorded.push("…".into());
            break;
        }
    }
    recorded
}

/// An action on one host whose intent is on disk. Nothing else is carried out.
///
/// ```compile_fail
/// use dogwatch::engine::action::execute::{Claimed, Recorded};
/// use dogwatch::domain::action::plan::HostPlan;
/// fn forge<'a>(claimed: &'a Claimed, plan: &'a HostPlan) -> Recorded<'a> {
///     Recorded { plan, receipt: None }
/// }
/// ```
pub struct Recorded<'a> {
    plan: &'a HostPlan,
    receipt: Receipt,
}

impl<'a> Recorded<'a> {
    async fn record(claimed: &'a Claimed, plan: &'a HostPlan, store: &AuditStore) -> Result<Self, AuditError> {
        let approved = &claimed.approved;
        let intent = Event::Intent {
            request: approved.request().id.clone(),
            plan: *approved.plan().hash(),
            action: approved.plan().covered().action.clone(),
            host: plan.host.clone(),
            host_key: SafeText::new(&plan.host_key),
            argv: recorded_words(&plan.shown_argv()),
            objects: plan.objects(),
            bytes: plan.bytes(),
        };
        Ok(Self { plan, receipt: store.intend(intent, clock::now().utc_ms).await? })
    }

    fn intent(&self) -> &AuditId {
        self.receipt.id()
    }
}

/// Where an action is carried out, and by what rules.
pub struct Field<'a> {
    pub store: &'a AuditStore,
    pub state: &'a Path,
    pub secrets: &'a Secrets,
    pub limits: ActionLimits,
    pub tell: Tell<'a>,
}

impl Field<'_> {
    /// One host, from the intent to the outcome on record; `there` is the host that an archive goes to.
    pub async fn carry_out(
        &self,
        claimed: &Claimed,
        plan: &HostPlan,
        spec: &HostSpec,
        there: Option<&HostSpec>,
    ) -> Result<Outcome, ActionError> {
        // Before the intent: what can't be reached was not meant to be done.
        let mut site = self.reach(spec, &plan.host_key).await?;
        let mut archive = match (there, &plan.elsewhere) {
            (Some(there), Some(elsewhere)) => Some((self.reach(there, &elsewhere.host_key).await?, elsewhere)),
            (None, _) | (Some(_), None) => None,
        };
        let recorded = Recorded::record(claimed, plan, self.store).await?;
        (self.tell)(Progress::Begins { host: spec.name.clone(), intent: recorded.intent().clone() });
        let began = Instant::now();
        let shipped = match &mut archive {
            None => Ok(Vec::new()),
            Some((to, elsewhere)) => {
                let (intent, deadline) = (recorded.intent(), self.limits.deadline);
                Shipment { from: &mut site, to, plan, elsewhere, intent, deadline }.ship(self.tell).await
            }
        };
        let end = match shipped {
            Ok(shipped) => self.execute(&recorded, &mut site, &shipped).await,
            // The purge was never sent, and will not be.
            Err(error) => End::failed(format!("nothing was deleted: {error}")),
        };
        self.close(&recorded, &mut site, end, began.elapsed()).await
    }

    async fn reach(&self, spec: &HostSpec, host_key: &str) -> Result<Site, ActionError> {
        let mut site = Site::new(spec, self.secrets.clone());
        site.connect().await?;
        match site.host_key() == host_key {
            true => Ok(site),
            false => {
                let why = format!("shows the host key {}, and the plan is for {host_key}", site.host_key());
                Err(ActionError::Host { host: spec.name.clone(), why })
            }
        }
    }

    async fn execute(&self, recorded: &Recorded<'_>, site: &mut Site, shipped: &[Shipped]) -> End {
        let program = remote::program(&recorded.plan.command(shipped), self.limits.output_bytes_max);
        let script = Digest::of(program.as_bytes());
        let begun = site.ask(remote::BEGIN, vec![recorded.intent().to_string(), program]).await;
        let begun = begun.and_then(|reply| {
            remote::parse_begun(reply.first()).map_err(|error| ActionError::Remote { host: site.host.clone(), error })
        });
        match begun {
            Ok(Begun::Begun | Begun::There) => {
                let sent = Event::Sent { intent: recorded.intent().clone(), host: site.host.clone(), script };
                // The intent is on record: what follows is looked after whether or not this is.
                if let Err(error) = self.store.append(sent, clock::now().utc_ms).await {
                    tracing::error!("{error}");
                }
            }
            Err(ActionError::Remote { error: error @ RemoteError::Unsafe(_), .. }) => {
                return End::failed(error.to_string());
            }
            // Whether the host got it is not known; it is looked for.
            Err(error) => self.lost(&site.host, &error),
        }
        follow(recorded.intent(), site, recorded.plan, &self.limits, self.tell).await
    }

    fn lost(&self, host: &HostName, error: &ActionError) {
        (self.tell)(Progress::LinkLost { host: host.clone(), why: error.to_string() });
    }

    /// Puts the outcome on record, and only then clears the host of what it kept for that.
    async fn close(
        &self,
        recorded: &Recorded<'_>,
        site: &mut Site,
        end: End,
        took: Duration,
    ) -> Result<Outcome, ActionError> {
        let measured = SafeText::from_bytes_capped(end.words.as_bytes(), MEASURED_CHARS_MAX);
        let outcome = Event::Outcome {
            intent: recorded.intent().clone(),
            host: site.host.clone(),
            outcome: end.outcome,
            exit: end.exit,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            output: end.output,
            output_bytes: end.output_bytes,
            measured: measured.clone(),
        };
        self.store.append(outcome, clock::now().utc_ms).await?;
        if end.outcome != Outcome::Unknown {
            clear(recorded.intent(), site).await;
        }
        (self.tell)(Progress::Ends { host: site.host.clone(), outcome: end.outcome, measured });
        Ok(end.outcome)
    }
}

/// Clears the host of what it kept of an action that is on record.
pub async fn clear(intent: &AuditId, site: &mut Site) {
    // What stays is a few bytes in the host's memory.
    if let Err(error) = site.ask(remote::CLEAR, vec![intent.to_string()]).await {
        tracing::warn!("clearing after {intent}: {error}");
    }
}
