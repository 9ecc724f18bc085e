//! One script through one channel.

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

async fn exchange(driver: &Driver, script: &str, bytes_max: usize, output: &mut Output) -> Result<End, Failure> {
    let mut channel = driver.drive(|session| session.channel_session()).await.map_err(Failure::Ssh)?;
    driver.drive(|_| channel.exec(EXEC)).await.map_err(Failure::Ssh)?;
    let mut rest = script.as_bytes();
    while !rest.is_empty() {
        let written = driver.drive_io(|_| channel.write(rest).map_err(Failure::Io)).await?;
        rest = &rest[written..];
    }
    driver.drive(|_| channel.send_eof()).await.map_err(Failure::Ssh)?;
    let mut buffer = vec![0; READ_BYTES];
    while driver.drive_io(|_| receive(&mut channel, &mut buffer, output)).await? == Received::Some {
        if bytes_max < output.stdout.len() {
            output.stdout.truncate(bytes_max);
            return Ok(End::TooMuchOutput);
        }
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

#[derive(PartialEq)]
enum Received {
    Some,
    Ended,
}

/// Reads both streams: eight megabytes on one of them would stall a reader of the other alone.
///
/// Reading one stream takes in packets of the other, and the end of both, without a further word of the socket: what is
/// queued by then is read before anything is waited for.
fn receive(channel: &mut Channel, buffer: &mut [u8], output: &mut Output) -> Result<Received, Failure> {
    for _ in 0..PASSES_MAX {
        if let Some(count) = read_some(channel, buffer)? {
            output.stdout.extend_from_slice(&buffer[..count]);
            return Ok(Received::Some);
        }
        if 0 < channel.read_window().available
            && let Some(count) = read_some(&mut channel.stderr(), buffer)?
        {
            let room = STDERR_BYTES_MAX.saturating_sub(output.stderr.len()).min(count);
            output.stderr.extend_from_slice(&buffer[..room]);
            return Ok(Received::Some);
        }
        match (channel.read_window().available, channel.eof()) {
            (0, true) => return Ok(Received::Ended),
            (0, false) => break,
            (_, true | false) => {}
        }
    }
    Err(Failure::Io(io::ErrorKind::WouldBlock.into()))
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
