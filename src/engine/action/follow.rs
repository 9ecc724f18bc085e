//! Looking after an action until it has ended and its effect was measured. It is looked at, and never begun again.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::ActionError;
use super::execute::{Progress, Tell};
use super::site::Site;
use crate::domain::action::catalogue::ActionLimits;
use crate::domain::action::plan::{BEGAN, HostPlan};
use crate::domain::action::remote::{self, Fence, Look, Standing};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{AuditId, Outcome};
use crate::domain::text::SafeText;

/// How often a running action is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often its effect is measured until it is there.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// A broken link is tried again after this time.
const REATTACH_EVERY: Duration = Duration::from_secs(1);
/// What has not begun by then is fenced off, so that it never does.
const BEGINNING_MAX: Duration = Duration::from_secs(30);
/// Characters of one look's output.
const OUTPUT_CHARS_MAX: usize = 70_000;

/// How an action ended, as far as could be seen.
pub struct End {
    pub outcome: Outcome,
    pub exit: Option<i32>,
    pub output: Digest,
    pub output_bytes: u64,
    pub words: String,
}

impl End {
    /// It was never begun, and won't be.
    pub fn failed(words: String) -> Self {
        Self { outcome: Outcome::Failed, ..Self::unknown(words) }
    }

    pub fn unknown(words: String) -> Self {
        Self { outcome: Outcome::Unknown, exit: None, output: Digest::of(b""), output_bytes: 0, words }
    }
}

/// Output as it comes, told on and hashed.
struct Output {
    hasher: Sha256,
    bytes: u64,
}

impl Output {
    fn take(&mut self, site: &Site, body: &[u8], tell: Tell<'_>) {
        self.hasher.update(body);
        self.bytes += body.len() as u64;
        let text = SafeText::from_bytes_capped(body, OUTPUT_CHARS_MAX);
        tell(Progress::Output { host: site.host.clone(), text });
    }

    fn ended(self, outcome: Outcome, exit: Option<i32>, words: String) -> End {
        let (bytes, output) = (self.bytes, Digest::finish(self.hasher));
        End { outcome, exit, output, output_bytes: bytes, words }
    }
}

async fn look(site: &mut Site, intent: &AuditId, known_bytes: u64) -> Result<(Look, Vec<u8>), ActionError> {
    let reply = site.ask(remote::LOOK, vec![intent.to_string(), known_bytes.to_string()]).await?;
    let look =
        remote::parse_look(reply.first()).map_err(|error| ActionError::Remote { host: site.host.clone(), error })?;
    Ok((look, reply.body))
}

/// Makes sure that an action that has not begun never will; says whether that is so.
pub async fn fence(site: &mut Site, intent: &AuditId) -> Result<Fence, ActionError> {
    let reply = site.ask(remote::FENCE, vec![intent.to_string()]).await?;
    remote::parse_fence(reply.first()).map_err(|error| ActionError::Remote { host: site.host.clone(), error })
}

/// How it stands once nothing more is to be waited for.
enum Last {
    Stands(Standing),
    /// It goes on, and is no longer waited for.
    Abandoned(String),
}

/// Looks until it has ended, or is given up.
pub async fn follow(intent: &AuditId, site: &mut Site, plan: &HostPlan, limits: &ActionLimits, tell: Tell<'_>) -> End {
    let mut output = Output { hasher: Sha256::new(), bytes: 0 };
    let mut began_s = None;
    let last = wait(intent, site, limits, &mut output, &mut began_s, tell).await;
    let (exit, words) = match last {
        Last::Abandoned(words) => return output.ended(Outcome::Unknown, None, words),
        Last::Stands(Standing::Exited(status)) => (Some(status), format!("exit {status}")),
        Last::Stands(Standing::Killed) => (None, "its process was killed on the host".to_owned()),
        Last::Stands(Standing::None) => {
            let words = "the host knows nothing of it any more".to_owned();
            return output.ended(Outcome::Unknown, None, words);
        }
        Last::Stands(Standing::Beginning | Standing::Running) => {
            let words = "the host never began it, and can't any more".to_owned();
            return output.ended(Outcome::Failed, None, words);
        }
    };
    // Of what failed by its own word the effect is looked at once: it is not waited for.
    let patience = if exit == Some(0) { limits.measured_within } else { Duration::ZERO };
    let (outcome, words) = match (measure(site, plan, began_s, patience).await, exit) {
        // Some effects were there before: what says of itself that it failed is not called done.
        (Measured::There(said), Some(status)) if status != 0 => {
            (Outcome::Failed, format!("{words}, whatever is measured: {said}"))
        }
        (Measured::There(said), Some(_)) => (Outcome::Done, said),
        (Measured::There(said), None) => (Outcome::Failed, format!("{words}, whatever is measured: {said}")),
        (Measured::Missing(said), _) => (Outcome::Failed, format!("{words}; its effect is not there: {said}")),
        (Measured::Unknown(why), _) => (Outcome::Unknown, format!("{words}; its effect could not be measured: {why}")),
    };
    output.ended(outcome, exit, words)
}

async fn wait(
    intent: &AuditId,
    site: &mut Site,
    limits: &ActionLimits,
    output: &mut Output,
    began_s: &mut Option<i64>,
    tell: Tell<'_>,
) -> Last {
    let began = Instant::now();
    let mut lost_since: Option<Instant> = None;
    let mut was_over = false;
    loop {
        match look(site, intent, output.bytes).await {
            Ok((look, body)) => {
                lost_since = None;
                *began_s = look.began_s.or(*began_s);
                if !body.is_empty() {
                    output.take(site, &body, tell);
                    continue;
                }
                match look.standing {
                    // The last words may come a moment after the end itself.
                    Standing::Exited(_) | Standing::Killed | Standing::None if was_over => {
                        return Last::Stands(look.standing);
                    }
                    Standing::Exited(_) | Standing::Killed | Standing::None => was_over = true,
                    Standing::Beginning if BEGINNING_MAX <= began.elapsed() => {
                        if let Ok(Fence::Fenced) = fence(site, intent).await {
                            return Last::Stands(Standing::Beginning);
                        }
                    }
                    Standing::Beginning | Standing::Running if limits.deadline <= began.elapsed() => {
                        return Last::Abandoned(format!("still running after {} s", limits.deadline.as_secs()));
                    }
                    Standing::Beginning | Standing::Running => {}
                }
                sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                let since = *lost_since.get_or_insert_with(Instant::now);
                tell(Progress::LinkLost { host: site.host.clone(), why: error.to_string() });
                if limits.reattached_within <= since.elapsed() {
                    return Last::Abandoned(format!("link lost: {error}"));
                }
                sleep(REATTACH_EVERY.min(limits.reattached_within)).await;
            }
        }
    }
}

enum Measured {
    There(String),
    Missing(String),
    Unknown(String),
}

/// Measures until the effect is there, or its time is over.
async fn measure(site: &mut Site, plan: &HostPlan, began_s: Option<i64>, patience: Duration) -> Measured {
    let deadline = Instant::now() + patience;
    // Without knowing when it began nothing is newer than that.
    let began = began_s.unwrap_or(i64::MAX).to_string();
    let words: Vec<String> = plan.measure().into_iter().map(|word| word.replace(BEGAN, &began)).collect();
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
            Ok(_) | Err(_) => sleep(MEASURE_EVERY.min(patience)).await,
        }
    }
}
