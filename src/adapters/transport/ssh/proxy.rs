//! Ways to a host that is not reached directly: through another host's session, or through a command.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use ssh2::Channel;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connect::Connection;
use super::driver::{Failure, Socket};
use crate::adapters::transport::TransportError;
use crate::domain::text::SafeText;

const BUFFER_BYTES: usize = 32 << 10;

/// Keeps a way open, and ends it when it is dropped.
pub enum Way {
    Pump(JoinHandle<()>),
    /// Killed on drop.
    Command(#[allow(dead_code)] Child),
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Way::Pump(task) = self {
            task.abort();
        }
    }
}

/// A ProxyCommand as a child on a socket pair.
pub fn command(command: &str) -> Result<(Socket, Way), TransportError> {
    let failed = |error: std::io::Error| TransportError::Unreachable(SafeText::new(&format!("ProxyCommand: {error}")));
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let input = OwnedFd::from(theirs.try_clone().map_err(failed)?);
    let child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec {command}"))
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    Ok((Socket::unix(ours).map_err(failed)?, Way::Command(child)))
}

/// A channel from a jump host to `host:port`, pumped to one end of a socket pair.
pub async fn through(
    hop: Connection,
    host: &str,
    port: u16,
    deadline: Duration,
) -> Result<(Socket, Way), TransportError> {
    let failed =
        |what: String| TransportError::Unreachable(SafeText::new(&format!("{host}:{port} from there: {what}")));
    let opened = hop.driver.drive(|session| session.channel_direct_tcpip(host, port, None));
    let channel = match timeout(deadline, opened).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(failed(error.message().to_owned())),
        Err(_) => return Err(TransportError::TimedOut(SafeText::new(&format!("{host}:{port} from there: no answer")))),
    };
    let (ours, theirs) = UnixStream::pair().map_err(|error| failed(error.to_string()))?;
    theirs.set_nonblocking(true).map_err(|error| failed(error.to_string()))?;
    let near = tokio::net::UnixStream::from_std(theirs).map_err(|error| failed(error.to_string()))?;
    let task = tokio::task::spawn_local(async move {
        // However the pump ends, dropping both ends tells the sessions on either side.
        let _ = pump(&hop, channel, &near).await;
    });
    let socket = Socket::unix(ours).map_err(|error| TransportError::Lost(SafeText::new(&error.to_string())))?;
    Ok((socket, Way::Pump(task)))
}

/// Bytes on their way in one direction.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Fills an empty buffer; false where that would block.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> std::io::Result<bool> {
        match read(&mut self.bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                (self.start, self.end) = (0, count);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn drain(&mut self, write: impl FnOnce(&[u8]) -> std::io::Result<usize>) -> std::io::Result<bool> {
        match write(&self.bytes[self.start..self.end]) {
            Ok(count) => {
                self.start += count;
                Ok(0 < count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Copies both ways until either end closes.
///
/// A write may take in data that was meant for a read, so after every step both directions are tried again, and the
/// sockets are waited for only when neither moved.
async fn pump(hop: &Connection, mut channel: Channel, near: &tokio::net::UnixStream) -> Result<(), Failure> {
    let (mut inward, mut outward) = (Buffer::new(), Buffer::new());
    loop {
        let moved = hop.driver.attempt(|_| match step(&mut channel, near, &mut inward, &mut outward) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Io(ErrorKind::WouldBlock.into())),
            Err(error) => Err(Failure::Io(error)),
        });
        match moved {
            Ok(()) => tokio::task::yield_now().await,
            Err(failure) if failure.would_block() => {
                tokio::select! {
                    waited = hop.driver.wait() => waited.map_err(Failure::Io)?,
                    readable = near.readable(), if outward.is_empty() => readable.map_err(Failure::Io)?,
                    writable = near.writable(), if !inward.is_empty() => writable.map_err(Failure::Io)?,
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Moves what can be moved without waiting; says whether anything was.
fn step(
    channel: &mut Channel,
    near: &tokio::net::UnixStream,
    inward: &mut Buffer,
    outward: &mut Buffer,
) -> std::io::Result<bool> {
    let mut moved = false;
    if inward.is_empty() {
        moved |= inward.fill(|bytes| channel.read(bytes))?;
    }
    if !inward.is_empty() {
        moved |= inward.drain(|bytes| near.try_write(bytes))?;
    }
    if outward.is_empty() {
        moved |= outward.fill(|bytes| near.try_read(bytes))?;
    }
    if !outward.is_empty() {
        moved |= outward.drain(|bytes| channel.write(bytes))?;
    }
    // Writing may have queued what only reading would have waited for.
    let queued = inward.is_empty() && 0 < channel.read_window().available;
    Ok(moved || queued)
}
