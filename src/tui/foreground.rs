//! Another program on this program's terminal, as a shell would run it.

use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use super::input::Wake;

/// How often the other program and the signals are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to go when this program is asked to end.
const GOES_WITHIN: Duration = Duration::from_secs(1);

/// How the other program's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status; 128 and the signal's number where a signal ended it.
    With(i32),
    /// This program was asked to end meanwhile, and has ended the other one.
    AskedToEnd,
}

/// Runs a command on the terminal to its end. What stops it stops this program as well, and goes on with it.
pub fn run(command: &[OsString], inbox: &Receiver<Wake>) -> io::Result<Ended> {
    let [program, arguments @ ..] = command else { return Err(io::Error::other("no command")) };
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    println!("dogwatch: {} (exit comes back)", words.join(" "));
    let child = Command::new(program).args(arguments).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process"))?;
    loop {
        if let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG | WaitOptions::UNTRACED)? {
            if let Some(code) = status.exit_status() {
                return Ok(Ended::With(code));
            }
            if let Some(signal) = status.terminating_signal() {
                return Ok(Ended::With(128 + signal));
            }
            if status.stopped() {
                stop_with(pid)?;
            }
        }
        match inbox.recv_timeout(LOOK_EVERY) {
            Ok(Wake::End) | Err(RecvTimeoutError::Disconnected) => return end(pid),
            // The other program had the signal as well, and stops by itself where it means to.
            Ok(Wake::Suspend | Wake::Interrupted | Wake::Continued | Wake::Resizing | Wake::Resized) => {}
            Ok(Wake::Key(_) | Wake::Mouse(_) | Wake::Pasted(_) | Wake::History(..) | Wake::Said(_)) => {}
            // What became of an action is on record.
            Ok(Wake::Acted(..) | Wake::Audit(_) | Wake::Ran(..)) => {}
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Stops this program, so that the shell it came from gets the terminal; both go on together.
fn stop_with(other: Pid) -> io::Result<()> {
    kill_process(getpid(), Signal::STOP)?;
    Ok(kill_process(other, Signal::CONT)?)
}

fn end(other: Pid) -> io::Result<Ended> {
    for signal in [Signal::HUP, Signal::KILL] {
        // One that has just ended by itself needs no signal; a stopped one must go on to take it.
        let _ = kill_process(other, signal).and_then(|()| kill_process(other, Signal::CONT));
        let mut waited = Duration::ZERO;
        while waited < GOES_WITHIN / 2 {
            if waitpid(Some(other), WaitOptions::NOHANG)?.is_some() {
                return Ok(Ended::AskedToEnd);
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
    }
    Ok(Ended::AskedToEnd)
}
