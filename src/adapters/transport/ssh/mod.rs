//! SSH: one session a lane and host, kept for the whole shift. The exec string is always exactly `/bin/sh`.

mod auth;
mod connect;
mod driver;
pub mod host_key;
mod proxy;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::{Output, RunLimits, TransportError};
use crate::adapters::clock;
use crate::domain::fleet::{HostSpec, Reach};
use crate::domain::text::SafeText;
use crate::domain::trust::known_hosts::HostKey;
pub use connect::{Connection, Secrets, Stage, open_staged, show_host_key};

/// At most one login a lane and host in this time, whatever asks for one.
pub const LOGIN_INTERVAL_MIN: Duration = Duration::from_secs(5);
const BACK_OFF_MAX: Duration = Duration::from_secs(300);
/// A refused login is tried again much later: many hosts lock an account after a few.
const REFUSED_BACK_OFF_MIN: Duration = Duration::from_secs(60);
const REFUSED_BACK_OFF_MAX: Duration = Duration::from_secs(3_600);

/// How a destination is reached, the same for both lanes.
#[derive(Clone)]
pub struct Target {
    pub destination: String,
    pub ssh_config: Option<PathBuf>,
    pub connect_deadline: Duration,
    pub keepalive: Duration,
    pub secrets: Secrets,
}

/// How a host of the configuration is reached over SSH; `None` where it is not.
pub fn target_of(spec: &HostSpec, secrets: Secrets) -> Option<Target> {
    let Reach::Ssh { destination, ssh_config } = &spec.reach else { return None };
    Some(Target {
        destination: destination.clone(),
        ssh_config: ssh_config.clone(),
        connect_deadline: spec.settings.connect_deadline,
        keepalive: spec.settings.keepalive,
        secrets,
    })
}

/// One lane's session with its host.
pub struct SshLane {
    target: Target,
    connection: Option<Connection>,
    failures: u32,
    last_login: Option<Instant>,
    next_login: Instant,
    last_error: Option<TransportError>,
}

impl SshLane {
    pub fn new(target: Target) -> Self {
        Self { target, connection: None, failures: 0, last_login: None, next_login: Instant::now(), last_error: None }
    }

    /// A lane on a session that is open already.
    pub fn over(connection: Connection, target: Target) -> Self {
        Self { connection: Some(connection), ..Self::new(target) }
    }

    /// Logs in where no session is open; within the back-off the last error is the answer.
    pub async fn connect(&mut self) -> Result<(), TransportError> {
        if self.connection.is_some() {
            return Ok(());
        }
        if Instant::now() < self.next_login {
            let waiting = || TransportError::Lost(SafeText::new("logging in again soon"));
            return Err(self.last_error.clone().unwrap_or_else(waiting));
        }
        // On the heap: a login is rare, and takes more room than all else that a poll does.
        let opened = Box::pin(connect::open(&self.target)).await;
        // Counted from the end: on a busy machine the login itself may come seconds after the start.
        let ended = Instant::now();
        self.last_login = Some(ended);
        match opened {
            Ok(connection) => {
                self.connection = Some(connection);
                self.failures = 0;
                self.next_login = ended + LOGIN_INTERVAL_MIN;
                Ok(())
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.next_login = ended + jittered(back_off(&error, self.failures));
                self.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Waits until the other side ends a session that is open and idle, and forgets it; without one, for ever.
    pub async fn ended(&mut self) -> TransportError {
        match &self.connection {
            Some(connection) => connection.driver.ended().await,
            None => std::future::pending().await,
        }
        self.connection = None;
        let error = TransportError::Lost(SafeText::new("the host closed the connection, or vanished"));
        self.last_error = Some(error.clone());
        error
    }

    /// Forgets the back-off, but not the least time between two logins.
    pub fn skip_back_off(&mut self) {
        self.next_login = self.last_login.map_or(Instant::now(), |last| last + LOGIN_INTERVAL_MIN);
    }

    /// The key that the host showed.
    pub fn host_key(&self) -> Option<HostKey> {
        let session = &self.connection.as_ref()?.driver.session;
        session.host_key().map(|(blob, _)| HostKey::from_blob(blob))
    }

    /// Runs a script; a run that does not end in good order ends the session with it.
    pub async fn run(&mut self, script: &str, limits: RunLimits) -> Result<Output, TransportError> {
        let Some(connection) = &mut self.connection else {
            return Err(TransportError::Lost(SafeText::new("no session is open")));
        };
        let ran = run::run(connection, script, limits).await;
        let broken = match &ran {
            Ok(output) => output.end.breaks_the_session(),
            Err(error) => Some(error.clone()),
        };
        if let Some(error) = broken {
            self.connection = None;
            self.last_error = Some(error);
        }
        ran
    }
}

fn back_off(error: &TransportError, failures: u32) -> Duration {
    let doubled = |base: Duration| base.saturating_mul(1 << failures.saturating_sub(1).min(10));
    match error {
        TransportError::AuthFailed(_) => doubled(REFUSED_BACK_OFF_MIN).min(REFUSED_BACK_OFF_MAX),
        TransportError::Unreachable(_)
        | TransportError::TimedOut(_)
        | TransportError::Lost(_)
        | TransportError::Untrusted(_)
        | TransportError::Unsupported(_) => doubled(LOGIN_INTERVAL_MIN).min(BACK_OFF_MAX),
    }
}

/// Up to half as long again, so that a fleet that lost its gateway does not come back in one rush.
fn jittered(duration: Duration) -> Duration {
    let share = (clock::random_u128() % 1_000) as f64 / 2_000.0;
    duration.mul_f64(1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> TransportError {
        TransportError::Lost("x".into())
    }

    #[test]
    fn the_back_off_doubles_up_to_its_limit() {
        let seconds: Vec<u64> = [1, 2, 3, 7, 40].map(|failures| back_off(&lost(), failures).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 300, 300]);
    }

    #[test]
    fn a_refused_login_waits_a_minute_and_up_to_an_hour() {
        let refused = TransportError::AuthFailed("x".into());
        assert_eq!(back_off(&refused, 1).as_secs(), 60);
        assert_eq!(back_off(&refused, 40).as_secs(), 3_600);
    }

    #[test]
    fn jitter_never_shortens() {
        assert!((0..100).all(|_| Duration::from_secs(5) <= jittered(Duration::from_secs(5))));
    }
}
