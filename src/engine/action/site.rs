//! A host while something is done to it: a session of its own, and questions in whole answers.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::ActionError;
use crate::adapters::clock;
use crate::adapters::transport::ssh::{Secrets, SshLane, target_of};
use crate::adapters::transport::{RunLimits, Transport};
use crate::domain::action::remote::RemoteError;
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::script::{Section, compose, split};
use crate::domain::text::SafeText;

/// One question to a host, answered or given up.
const ASK_DEADLINE: Duration = Duration::from_secs(30);
/// A listing of a directory with very many files.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How much of an answer that is none is shown.
const ANSWER_SHOWN_BYTES: usize = 200;

/// A host, and the way to it.
pub struct Site {
    pub host: HostName,
    transport: Transport,
}

/// A host's answer: what came before each cut, and the rest.
pub struct Reply {
    pub parts: Vec<Vec<u8>>,
    pub body: Vec<u8>,
}

impl Reply {
    /// What came before the first cut, or all of it.
    pub fn first(&self) -> &[u8] {
        self.parts.first().map_or(&self.body, Vec::as_slice)
    }
}

impl Site {
    /// Never the polling session: an action is not to wait behind a poll, nor a poll behind an action.
    pub fn new(spec: &HostSpec, secrets: Secrets) -> Self {
        let transport = match &spec.reach {
            Reach::Local => Transport::Local,
            Reach::Replay { directory } => Transport::Replay(directory.clone()),
            Reach::Ssh { .. } => match target_of(spec, secrets) {
                Some(target) => Transport::Ssh(Box::new(SshLane::new(target))),
                None => Transport::Local,
            },
        };
        Self { host: spec.name.clone(), transport }
    }

    pub async fn connect(&mut self) -> Result<(), ActionError> {
        self.transport.skip_back_off();
        let connected = self.transport.connect().await;
        connected.map_err(|error| ActionError::Transport { host: self.host.clone(), error })
    }

    /// The host's key as plans name it.
    pub fn host_key(&self) -> String {
        self.transport.host_key().map_or_else(|| "local".to_owned(), |key| key.fingerprint())
    }

    /// Asks a constant script with these parameters.
    pub async fn ask(&mut self, script: &'static str, parameters: Vec<String>) -> Result<Reply, ActionError> {
        self.ask_within(script, parameters, ASK_DEADLINE).await
    }

    pub async fn ask_within(
        &mut self,
        script: &'static str,
        parameters: Vec<String>,
        deadline: Duration,
    ) -> Result<Reply, ActionError> {
        self.connect().await?;
        let nonce = clock::nonce();
        let whole = compose(&nonce, &[Section { script, parameters }]);
        let limits = RunLimits { deadline, output_bytes_max: ANSWER_BYTES_MAX };
        let transport_error = |error| ActionError::Transport { host: self.host.clone(), error };
        let output = self.transport.run(&whole, limits).await.map_err(transport_error)?;
        if let Some(error) = output.end.breaks_the_session() {
            return Err(transport_error(error));
        }
        let answers = split(&output.stdout, &nonce, 1);
        match answers.sections.into_iter().next().flatten() {
            Some(answer) if answers.complete => {
                Ok(Reply { parts: answer.parts.iter().map(|part| part.to_vec()).collect(), body: answer.body.to_vec() })
            }
            Some(_) | None => {
                let end = output.stdout.len().saturating_sub(ANSWER_SHOWN_BYTES);
                let said = format!(
                    "{:?} after '{}', and '{}' of complaints",
                    output.end,
                    SafeText::from_bytes(&output.stdout[end..]),
                    SafeText::from_bytes_capped(&output.stderr, ANSWER_SHOWN_BYTES)
                );
                Err(ActionError::Remote { host: self.host.clone(), error: RemoteError::Strange(said) })
            }
        }
    }
}

/// One action a host at a time, whichever process of this state directory carries it out. The operating system gives it
/// back whatever becomes of the process.
pub struct HostLock {
    _file: File,
}

impl HostLock {
    pub fn take(state: &Path, host: &HostName) -> Result<Self, ActionError> {
        let path = state.join(format!("action-{host}.lock"));
        let failed = |error| ActionError::Audit(crate::adapters::audit::AuditError::Io(path.clone(), error));
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ActionError::Busy(host.clone())),
            Err(error) => Err(failed(error.into())),
        }
    }
}
