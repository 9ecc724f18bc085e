//! Carrying actions out: the engine's side of the guard, on sessions of its own.

pub mod desk;
pub mod estimate;
pub mod execute;
pub mod follow;
pub mod planning;
pub mod reconcile;
mod ship;
pub(super) mod site;

use thiserror::Error;

use crate::adapters::audit::AuditError;
use crate::adapters::transport::TransportError;
use crate::domain::action::ActionId;
use crate::domain::action::catalogue::ParameterError;
use crate::domain::action::guard::{NotApproved, NotConfirmed};
use crate::domain::action::remote::RemoteError;
use crate::domain::audit::canonical::CanonicalError;
use crate::domain::audit::record::AuditId;
use crate::domain::fleet::HostName;

/// Why an action was not planned, or not begun.
#[derive(Debug, Error)]
pub enum ActionError {
    #[error("no action is named {0}: 'dogwatch action list' shows them")]
    NoAction(String),
    #[error("no host is named {0}")]
    NoHost(String),
    #[error("{0} is about {1} hosts at most")]
    TooManyHosts(ActionId, u32),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error("{host}: {error}")]
    Transport { host: HostName, error: TransportError },
    #[error("{host}: {error}")]
    Remote { host: HostName, error: RemoteError },
    #[error("{host}: {why}")]
    Host { host: HostName, why: String },
    #[error("{0} is busy with an action of another process: one at a time")]
    Busy(HostName),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    #[error(transparent)]
    NotConfirmed(#[from] NotConfirmed),
    #[error("refused: {0}")]
    NotApproved(#[from] NotApproved),
    #[error("no request is named {0}")]
    NoRequest(AuditId),
}
