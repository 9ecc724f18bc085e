//! Transports: how a script reaches a host's `/bin/sh` and its output comes back.

pub mod local;
mod replay;
pub mod ssh;

use std::time::Duration;

use thiserror::Error;

use crate::domain::text::SafeText;
use crate::domain::transition::{Link, LinkState};
use crate::domain::trust::known_hosts::HostKey;

/// Bytes of standard error that are kept for messages.
pub const STDERR_BYTES_MAX: usize = 4_096;

/// Limits of one run.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// From now on, absolute.
    pub deadline: Duration,
    pub output_bytes_max: usize,
}

/// What came back of one run.
#[derive(Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    /// At most [`STDERR_BYTES_MAX`].
    pub stderr: Vec<u8>,
    pub end: End,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Signalled(SafeText),
    /// The deadline passed; the host may still be at it.
    DeadlinePassed,
    /// More output than the cap.
    TooMuchOutput,
    /// The link broke.
    Lost(SafeText),
}

/// Why a host could not be asked at all.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    #[error("unreachable: {0}")]
    Unreachable(SafeText),
    #[error("timed out: {0}")]
    TimedOut(SafeText),
    #[error("lost: {0}")]
    Lost(SafeText),
    #[error("untrusted: {0}")]
    Untrusted(SafeText),
    #[error("authentication failed: {0}")]
    AuthFailed(SafeText),
    #[error("unsupported: {0}")]
    Unsupported(SafeText),
}

impl TransportError {
    /// The link state that the error means.
    pub fn link(&self) -> Link {
        match self {
            TransportError::Unreachable(why) => Link::down(LinkState::Unreachable, why.as_str()),
            TransportError::TimedOut(why) => Link::down(LinkState::TimedOut, why.as_str()),
            TransportError::Lost(why) => Link::down(LinkState::Lost, why.as_str()),
            TransportError::Untrusted(why) => Link::down(LinkState::Untrusted, why.as_str()),
            TransportError::AuthFailed(why) => Link::down(LinkState::AuthFailed, why.as_str()),
            TransportError::Unsupported(why) => Link::down(LinkState::Unsupported, why.as_str()),
        }
    }
}

impl End {
    /// Why the session that carried the run can't carry another; `None` where it can.
    pub fn breaks_the_session(&self) -> Option<TransportError> {
        match self {
            End::Exited(_) | End::Signalled(_) => None,
            End::DeadlinePassed => Some(TransportError::TimedOut("no answer within the deadline".into())),
            End::TooMuchOutput => Some(TransportError::Lost("cut off: more output than output_bytes_max".into())),
            End::Lost(why) => Some(TransportError::Lost(why.clone())),
        }
    }
}

/// The closed set of transports.
pub enum Transport {
    Local,
    Ssh(Box<ssh::SshLane>),
    /// Recorded output, from this directory.
    Replay(std::path::PathBuf),
}

impl Transport {
    /// An SSH transport on a session that is open already.
    pub fn over(connection: ssh::Connection, target: ssh::Target) -> Self {
        Transport::Ssh(Box::new(ssh::SshLane::over(connection, target)))
    }

    /// Makes sure that the host can be asked.
    pub async fn connect(&mut self) -> Result<(), TransportError> {
        match self {
            Transport::Local | Transport::Replay(_) => Ok(()),
            Transport::Ssh(lane) => lane.connect().await,
        }
    }

    /// Waits until an idle link is lost, and says how; a transport without a link waits for ever.
    pub async fn ended(&mut self) -> TransportError {
        match self {
            Transport::Local | Transport::Replay(_) => std::future::pending().await,
            Transport::Ssh(lane) => lane.ended().await,
        }
    }

    /// Forgets a back-off, because somebody asked for a poll now.
    pub fn skip_back_off(&mut self) {
        match self {
            Transport::Local | Transport::Replay(_) => {}
            Transport::Ssh(lane) => lane.skip_back_off(),
        }
    }

    /// The key that the host showed when its session was opened; `None` where there is no session.
    pub fn host_key(&self) -> Option<HostKey> {
        match self {
            Transport::Local | Transport::Replay(_) => None,
            Transport::Ssh(lane) => lane.host_key(),
        }
    }

    /// Runs a script by the host's `/bin/sh`.
    pub async fn run(&mut self, script: &str, limits: RunLimits) -> Result<Output, TransportError> {
        match self {
            // On the heap, so that a poll over SSH, of which there are many, is no larger for it.
            Transport::Local => Box::pin(local::run(script, limits)).await,
            Transport::Ssh(lane) => lane.run(script, limits).await,
            Transport::Replay(directory) => replay::run(directory, script).await,
        }
    }
}
