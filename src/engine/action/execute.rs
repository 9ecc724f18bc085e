//! Execution: intent on record, then a byte to the host; done only when its effect is measured.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::ActionError;
use super::planning::script_digest;
use super::site::{HostLock, Site};
use crate::adapters::audit::AuditError;
use crate::adapters::audit::store::{AuditStore, Receipt};
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::action::catalogue::ActionLimits;
use crate::domain::action::guard::Approved;
use crate::domain::action::plan::HostPlan;
use crate::domain::action::remote::{self, Begun, RemoteError, Standing};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{AuditId, Event, Outcome};
use crate::domain::fleet::{HostName, HostSpec};
use crate::domain::text::SafeText;

/// How often a running action is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often its effect is measured until it is there.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// A broken link is tried again after this time.
const REATTACH_EVERY: Duration = Duration::from_secs(1);
/// Words of a command line that a record names; the plan has them all.
const ARGV_WORDS_MAX: usize = 50;
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
            argv: plan.shown_argv().iter().take(ARGV_WORDS_MAX).map(|word| SafeText::new(word)).collect(),
            objects: plan.objects(),
            bytes: plan.bytes(),
        };
        Ok(Self { plan, receipt: store.append(intent, clock::now().utc_ms).await? })
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
    /// One host, from the intent to the outcome on record.
    pub async fn carry_out(&self, claimed: &Claimed, plan: &HostPlan, spec: &HostSpec) -> Result<Outcome, ActionError> {
        let _lock = HostLock::take(self.state, &spec.name)?;
        let mut site = Site::new(spec, self.secrets.clone());
        // Before the intent: what can't be reached was not meant to be done.
        site.connect().await?;
        if site.host_key() != plan.host_key {
            let why = format!("shows the host key {}, and the plan is for {}", site.host_key(), plan.host_key);
            return Err(ActionError::Host { host: spec.name.clone(), why });
        }
        let recorded = Recorded::record(claimed, plan, self.store).await?;
        (self.tell)(Progress::Begins { host: spec.name.clone(), intent: recorded.intent().clone() });
        let began = Instant::now();
        let end = self.execute(&recorded, &mut site).await;
        self.close(&recorded, &mut site, end, began.elapsed()).await
    }

    async fn execute(&self, recorded: &Recorded<'_>, site: &mut Site) -> End {
        let words =
            [vec![recorded.intent().to_string(), self.limits.output_bytes_max.to_string()], recorded.plan.command()]
                .concat();
        let script = script_digest(&words);
        let begun = site.ask(remote::BEGIN, words).await;
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
            Err(ActionError::Remote { error: error @ (RemoteError::Unsafe(_) | RemoteError::NotBegun(_)), .. }) => {
                return End { outcome: Outcome::Failed, words: error.to_string(), ..End::unknown(String::new()) };
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

/// How an action ended, as far as could be seen.
pub struct End {
    pub outcome: Outcome,
    pub exit: Option<i32>,
    pub output: Digest,
    pub output_bytes: u64,
    pub words: String,
}

impl End {
    pub fn unknown(words: String) -> Self {
        Self { outcome: Outcome::Unknown, exit: None, output: Digest::of(b""), output_bytes: 0, words }
    }
}

/// Output as it comes, told on and hashed.
struct Output {
    hasher: Sha256,
    bytes: u64,
}

/// Looks at an action until it has ended and its effect was measured. It is looked at, and never begun again.
pub async fn follow(intent: &AuditId, site: &mut Site, plan: &HostPlan, limits: &ActionLimits, tell: Tell<'_>) -> End {
    let deadline = Instant::now() + limits.deadline;
    let mut output = Output { hasher: Sha256::new(), bytes: 0 };
    let mut lost_since: Option<Instant> = None;
    let mut began_s = None;
    let (exit, words) = loop {
        let look = site.ask(remote::LOOK, vec![intent.to_string(), output.bytes.to_string()]).await;
        let look = look.and_then(|reply| {
            let look = remote::parse_look(reply.first())
                .map_err(|error| ActionError::Remote { host: site.host.clone(), error })?;
            Ok((look, reply.body))
        });
        match look {
            Ok((look, body)) => {
                lost_since = None;
                began_s = look.began_s.or(began_s);
                if !body.is_empty() {
                    output.hasher.update(&body);
                    output.bytes += body.len() as u64;
                    tell(Progress::Output {
                        host: site.host.clone(),
                        text: SafeText::from_bytes_capped(&body, 70_000),
                    });
                    continue;
                }
                match look.standing {
                    Standing::Exited(status) => break (Some(status), format!("exit {status}")),
                    Standing::Killed => {
                        let words = "its process was killed on the host".to_owned();
                        return End { words, ..ended(output, Outcome::Failed, None) };
                    }
                    Standing::None => break (None, "the host knows nothing of it any more".to_owned()),
                    Standing::Beginning | Standing::Running if deadline <= Instant::now() => {
                        let words = format!("still running after {} s", limits.deadline.as_secs());
                        return End { words, ..ended(output, Outcome::Unknown, None) };
                    }
                    Standing::Beginning | Standing::Running => sleep(LOOK_EVERY).await,
                }
            }
            Err(error) => {
                let since = *lost_since.get_or_insert_with(Instant::now);
                tell(Progress::LinkLost { host: site.host.clone(), why: error.to_string() });
                if limits.reattached_within <= since.elapsed() {
                    return End { words: format!("link lost: {error}"), ..ended(output, Outcome::Unknown, None) };
                }
                sleep(REATTACH_EVERY.min(limits.reattached_within)).await;
            }
        }
    };
    match exit {
        Some(status) => match measure(site, plan, began_s, limits).await {
            Measured::There(said) => End { words: said, ..ended(output, Outcome::Done, Some(status)) },
            Measured::Missing(said) => {
                let words = format!("{words}; its effect is not there: {said}");
                End { words, ..ended(output, Outcome::Failed, Some(status)) }
            }
            Measured::Unknown(why) => {
                let words = format!("{words}; its effect could not be measured: {why}");
                End { words, ..ended(output, Outcome::Unknown, Some(status)) }
            }
        },
        None => End { words, ..ended(output, Outcome::Unknown, None) },
    }
}

fn ended(output: Output, outcome: Outcome, exit: Option<i32>) -> End {
    let (bytes, output) = (output.bytes, Digest::finish(output.hasher));
    End { outcome, exit, output, output_bytes: bytes, words: String::new() }
}

enum Measured {
    There(String),
    Missing(String),
    Unknown(String),
}

/// Measures until the effect is there, or its time is over.
async fn measure(site: &mut Site, plan: &HostPlan, began_s: Option<i64>, limits: &ActionLimits) -> Measured {
    let deadline = Instant::now() + limits.measured_within;
    let began = began_s.map_or(String::new(), |began| began.to_string());
    let words = [vec![began], plan.measure()].concat();
    loop {
        let tried = site.ask(remote::TRY, words.clone()).await.and_then(|reply| {
            let status = remote::parse_status(reply.first());
            let status = status.map_err(|error| ActionError::Remote { host: site.host.clone(), error })?;
            Ok((status, String::from_utf8_lossy(&reply.body).trim().to_owned()))
        });
        let is_over = deadline <= Instant::now();
        match tried {
            Ok((0, said)) => return Measured::There(said),
            Ok((_, said)) if is_over => return Measured::Missing(said),
            Err(error) if is_over => return Measured::Unknown(error.to_string()),
            Ok(_) | Err(_) => sleep(MEASURE_EVERY.min(limits.measured_within)).await,
        }
    }
}
