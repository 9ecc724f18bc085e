//! One script through one channel.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use ssh2::Channel;

use super::connect::Connection;
use super::driver::{Driver, Failure};
use crate::adapters::transport::{End, Output, RunLimits, STDERR_BYTES_MAX, TransportError};
use crate::domain::text::SafeText;

/// The only command that a host is ever asked to execute: its user's login shell may be any shell.
const EXEC: &str = "/bin/sh";
const READ_BYTES: usize = 32 << 10;
/// Looks at what one look may have queued; more would only spin while the socket can't be written.
const PASSES_MAX: u32 = 3;

thread_local! {
    /// Shared by every session of a thread: nothing is left in it between two looks at a socket.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Runs a script within its limits; what came back before a limit is kept.
pub async fn run(connection: &mut Connection, script: &str, limits: RunLimits) -> Result<Output, TransportError> {
    let mut output = Output { stdout: Vec::new(), stderr: Vec::new(), end: End::DeadlinePassed };
    let driver = &connection.driver;
    match tokio::time::timeout(limits.deadline, exchange(driver, script, limits.output_bytes_max, &mut output)).await {
        Ok(Ok(end)) => output.end = end,
        Ok(Err(failure)) => output.end = End::Lost(SafeText::new(&failure.to_string())),
        Err(_) => driver.shut(),
    }
    Ok(output)
}

/// No end of file follows the script: it ends by itself, with its own status, and every poll saves a packet.
async fn exchange(driver: &Driver, script: &str, bytes_max: usize, output: &mut Output) -> Result<End, Failure> {
    let mut channel = driver.drive(|session| session.channel_session()).await.map_err(Failure::Ssh)?;
    driver.drive(|_| channel.exec(EXEC)).await.map_err(Failure::Ssh)?;
    let mut rest = script.as_bytes();
    while !rest.is_empty() {
        let written = driver.drive_io(|_| channel.write(rest).map_err(Failure::Io)).await?;
        rest = &rest[written..];
    }
    if !driver.drive_io(|_| receive(&mut channel, bytes_max, output)).await? {
        return Ok(End::TooMuchOutput);
    }
    driver.drive(|_| channel.wait_close()).await.map_err(Failure::Ssh)?;
    driver.drive(|_| channel.close()).await.map_err(Failure::Ssh)?;
    if let Ok(signal) = channel.exit_signal()
        && let Some(name) = signal.exit_signal
    {
        return Ok(End::Signalled(SafeText::new(&format!("signal {name}"))));
    }
    channel.exit_status().map(End::Exited).map_err(Failure::Ssh)
}

/// Reads both streams to their end: eight megabytes on one of them would stall a reader of the other alone. False when
/// there is more than `bytes_max`.
///
/// Reading one stream takes in packets of the other, and the end of both, without a further word of the socket: what is
/// queued by then is read before anything is waited for.
fn receive(channel: &mut Channel, bytes_max: usize, output: &mut Output) -> Result<bool, Failure> {
    BUFFER.with_borrow_mut(|buffer| receive_by(buffer, channel, bytes_max, output))
}

fn receive_by(
    buffer: &mut [u8],
    channel: &mut Channel,
    bytes_max: usize,
    output: &mut Output,
) -> Result<bool, Failure> {
    let mut idle_passes = 0;
    loop {
        let read = read_some(channel, buffer)?;
        output.stdout.extend_from_slice(&buffer[..read.unwrap_or(0)]);
        if bytes_max < output.stdout.len() {
            output.stdout.truncate(bytes_max);
            return Ok(false);
        }
        // A read that did not fill the buffer emptied the socket too.
        if read == Some(buffer.len()) {
            continue;
        }
        let complained = match channel.read_window().available {
            0 => None,
            _ => read_some(&mut channel.stderr(), buffer)?,
        };
        let count = complained.unwrap_or(0);
        let room = STDERR_BYTES_MAX.saturating_sub(output.stderr.len()).min(count);
        output.stderr.extend_from_slice(&buffer[..room]);
        match (channel.read_window().available, channel.eof()) {
            (0, true) => return Ok(true),
            (0, false) if complained.is_none() => return Err(Failure::Io(io::ErrorKind::WouldBlock.into())),
            (_, true | false) if read.is_some() || complained.is_some() => idle_passes = 0,
            // What is queued can't be read until the socket takes our word for it.
            (_, true | false) if PASSES_MAX <= idle_passes => {
                return Err(Failure::Io(io::ErrorKind::WouldBlock.into()));
            }
            (_, true | false) => idle_passes += 1,
        }
    }
}

/// `None` where nothing is there, for now or for good.
fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
    match stream.read(buffer) {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(Failure::Io(error)),
    }
}
