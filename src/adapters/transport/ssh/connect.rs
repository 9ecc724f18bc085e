//! From a destination to an authenticated session: configuration → proxy or TCP → handshake → host key → login.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt;
use ssh2::{ErrorCode, MethodType};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::auth;
use super::driver::{Driver, Socket};
use super::host_key::Recorder;
use super::proxy;
use super::{Target, TransportError};
use crate::adapters::ssh_config::{self, Family, Proxy, SshSettings};
use crate::domain::text::SafeText;
use crate::domain::trust::known_hosts::HostKey;

/// Handshakes in flight over the whole fleet.
const HANDSHAKES_MAX: usize = 32;
/// Jump hosts on the way to a destination.
const HOPS_MAX: usize = 8;
const KEEPALIVE_PROBES: u32 = 3;

static HANDSHAKES: Semaphore = Semaphore::const_new(HANDSHAKES_MAX);

/// What the user typed, the same for every lane; never logged, stored or put into an argument.
#[derive(Clone, Default)]
pub struct Secrets {
    passphrase: Arc<Mutex<Option<Arc<str>>>>,
}

impl Secrets {
    /// From now on locked key files are tried with this.
    pub fn set_passphrase(&self, passphrase: &str) {
        if let Ok(mut slot) = self.passphrase.lock() {
            *slot = Some(passphrase.into());
        }
    }

    pub fn passphrase(&self) -> Option<Arc<str>> {
        self.passphrase.lock().ok().and_then(|slot| slot.clone())
    }
}

/// A session ready for channels, and what keeps its way to the host open.
pub struct Connection {
    pub driver: Driver,
    /// The jump host's end or the proxy command, ended with the connection.
    _way: Option<proxy::Way>,
}

/// Told to whoever wants to know how far a connection came: `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Resolved(SshSettings),
    Connected,
    Shown(HostKey),
    Trusted,
    Authenticated,
}

/// Connects and logs in.
pub async fn open(target: &Target) -> Result<Connection, TransportError> {
    open_staged(target, &mut |_| {}).await
}

/// Connects and logs in, telling each stage it passes.
pub async fn open_staged(target: &Target, passed: &mut dyn FnMut(Stage)) -> Result<Connection, TransportError> {
    let settings = ssh_config::resolve(&target.destination, target.ssh_config.as_deref()).await?;
    passed(Stage::Resolved(settings.clone()));
    open_resolved(target, &settings, &mut vec![target.destination.clone()], passed).await
}

/// Connects as far as the host key, and shows it; no byte of a login is sent.
pub async fn show_host_key(target: &Target) -> Result<(SshSettings, HostKey), TransportError> {
    let settings = ssh_config::resolve(&target.destination, target.ssh_config.as_deref()).await?;
    let (socket, way) = reach(target, &settings, &mut vec![target.destination.clone()]).await?;
    let recorder = Recorder::read(&settings).await?;
    let (_driver, key) = handshake(target, &settings, socket, &recorder).await?;
    drop(way);
    Ok((settings, key))
}

async fn open_resolved(
    target: &Target,
    settings: &SshSettings,
    path: &mut Vec<String>,
    passed: &mut dyn FnMut(Stage),
) -> Result<Connection, TransportError> {
    // Behind a jump host the permit is taken once that host is in, or a chain could wait for itself.
    let early = match settings.proxy {
        Proxy::Jump(_) => None,
        Proxy::None | Proxy::Command(_) => Some(handshake_permit().await?),
    };
    let (socket, way) = reach(target, settings, path).await?;
    passed(Stage::Connected);
    let _permit = match early {
        Some(permit) => permit,
        None => handshake_permit().await?,
    };
    let driver = log_in(target, settings, socket, passed).await?;
    Ok(Connection { driver, _way: way })
}

async fn handshake_permit() -> Result<SemaphorePermit<'static>, TransportError> {
    HANDSHAKES.acquire().await.map_err(|error| TransportError::Lost(SafeText::new(&error.to_string())))
}

/// Handshake, host key, login on a connected socket.
async fn log_in(
    target: &Target,
    settings: &SshSettings,
    socket: Socket,
    passed: &mut dyn FnMut(Stage),
) -> Result<Driver, TransportError> {
    let recorder = Recorder::read(settings).await?;
    let (driver, key) = handshake(target, settings, socket, &recorder).await?;
    passed(Stage::Shown(key.clone()));
    recorder.check(&key)?;
    passed(Stage::Trusted);
    auth::authenticate(&driver, settings, target).await?;
    passed(Stage::Authenticated);
    Ok(driver)
}

/// A connected socket to the destination, by whatever way its configuration asks for.
async fn reach(
    target: &Target,
    settings: &SshSettings,
    path: &mut Vec<String>,
) -> Result<(Socket, Option<proxy::Way>), TransportError> {
    match &settings.proxy {
        Proxy::None => {
            let stream = connect_tcp(settings, target).await?;
            Ok((Socket::Tcp(stream), None))
        }
        Proxy::Command(command) => {
            let (socket, way) = proxy::command(command)?;
            Ok((socket, Some(way)))
        }
        Proxy::Jump(hops) => {
            let (socket, way) = Box::pin(jump(target, settings, hops, path)).await?;
            Ok((socket, Some(way)))
        }
    }
}

/// Logs in hop by hop and opens a channel from the last one to the destination.
async fn jump(
    target: &Target,
    settings: &SshSettings,
    hops: &[String],
    path: &mut Vec<String>,
) -> Result<(Socket, proxy::Way), TransportError> {
    let mut before: Option<Connection> = None;
    for hop in hops {
        path.push(hop.clone());
        if HOPS_MAX < path.len() || path[..path.len() - 1].contains(hop) {
            let why = format!("ProxyJump goes in a circle or is too long: {}", path.join(" → "));
            return Err(TransportError::Unsupported(SafeText::new(&why)));
        }
        let named = |error: TransportError| at_hop(hop, error);
        let hop_target = Target { destination: hop.clone(), ..target.clone() };
        let hop_settings = ssh_config::resolve(hop, target.ssh_config.as_deref()).await.map_err(named)?;
        let next = match before.take() {
            None => open_resolved(&hop_target, &hop_settings, path, &mut |_| {}).await.map_err(named)?,
            Some(through) => {
                let (socket, way) =
                    proxy::through(through, &hop_settings.host, hop_settings.port, target.connect_deadline)
                        .await
                        .map_err(named)?;
                let driver = log_in(&hop_target, &hop_settings, socket, &mut |_| {}).await.map_err(named)?;
                Connection { driver, _way: Some(way) }
            }
        };
        before = Some(next);
    }
    match before {
        Some(last) => proxy::through(last, &settings.host, settings.port, target.connect_deadline).await,
        None => Err(TransportError::Unsupported(SafeText::new("ProxyJump names no host"))),
    }
}

fn at_hop(hop: &str, error: TransportError) -> TransportError {
    let told = |why: SafeText| SafeText::new(&format!("jump host {hop}: {why}"));
    match error {
        TransportError::Unreachable(why) => TransportError::Unreachable(told(why)),
        TransportError::TimedOut(why) => TransportError::TimedOut(told(why)),
        TransportError::Lost(why) => TransportError::Lost(told(why)),
        TransportError::Untrusted(why) => TransportError::Untrusted(told(why)),
        TransportError::AuthFailed(why) => TransportError::AuthFailed(told(why)),
        TransportError::Unsupported(why) => TransportError::Unsupported(told(why)),
    }
}

async fn connect_tcp(settings: &SshSettings, target: &Target) -> Result<TcpStream, TransportError> {
    let deadline = target.connect_deadline;
    let place = format!("{}:{}", settings.host, settings.port);
    let timed_out = |what: &str| TransportError::TimedOut(SafeText::new(&format!("{place}: {what}")));
    let unreachable = |what: String| TransportError::Unreachable(SafeText::new(&format!("{place}: {what}")));
    let lookup = tokio::net::lookup_host((settings.host.as_str(), settings.port));
    let found = timeout(deadline, lookup).await.map_err(|_| timed_out("its name was not resolved in time"))?;
    let addresses = found.map_err(|error| unreachable(format!("its name is not known: {error}")))?;
    let wanted = |address: &SocketAddr| match settings.family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let mut last = unreachable("no address of the wanted family".to_owned());
    for address in addresses.filter(wanted) {
        match timeout(deadline, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                keep_alive(&stream, target.keepalive).map_err(|error| unreachable(error.to_string()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(error.to_string()),
            Err(_) => last = timed_out("no answer to the connection request"),
        }
    }
    Err(last)
}

/// A peer that vanished without a word is found within three probes, a third of the idle time apart.
fn keep_alive(stream: &TcpStream, idle: Duration) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(stream, true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, idle)?;
    sockopt::set_tcp_keepintvl(stream, (idle / KEEPALIVE_PROBES).max(Duration::from_secs(1)))?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)
}

/// Exchanges keys and learns the host's.
async fn handshake(
    target: &Target,
    settings: &SshSettings,
    socket: Socket,
    recorder: &Recorder,
) -> Result<(Driver, HostKey), TransportError> {
    let place = format!("{}:{}", settings.host, settings.port);
    let lost = |what: String| TransportError::Lost(SafeText::new(&format!("{place}: {what}")));
    let driver = Driver::new(socket).map_err(|error| lost(error.to_string()))?;
    driver
        .session
        .method_pref(MethodType::HostKey, &recorder.preferred_algorithms())
        .map_err(|error| lost(error.to_string()))?;
    let mut session = driver.session.clone();
    match timeout(target.connect_deadline, driver.drive(|_| session.handshake())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(handshake_error(&place, &error)),
        Err(_) => {
            let what = match driver.session.banner() {
                None => "connected, but it sent no SSH banner",
                Some(_) => "the key exchange did not finish in time",
            };
            return Err(TransportError::TimedOut(SafeText::new(&format!("{place}: {what}"))));
        }
    }
    let key = driver.session.host_key().map(|(blob, _)| HostKey::from_blob(blob));
    let key = key.ok_or_else(|| lost("it showed no host key".to_owned()))?;
    Ok((driver, key))
}

/// Codes of libssh2.h.
fn handshake_error(place: &str, error: &ssh2::Error) -> TransportError {
    let told = |what: &str| SafeText::new(&format!("{place}: {what} ({})", error.message()));
    match error.code() {
        ErrorCode::Session(-2) => TransportError::Lost(told("it speaks no SSH")),
        ErrorCode::Session(-5 | -8) => TransportError::Unsupported(told(
            "no common key exchange, cipher or host key algorithm (SHA-1 is refused): update the host's sshd",
        )),
        ErrorCode::Session(_) | ErrorCode::SFTP(_) => TransportError::Lost(told("the handshake failed")),
    }
}
