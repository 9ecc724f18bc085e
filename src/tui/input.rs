//! What wakes the screen: keys, the mouse, signals. Another program may have the terminal for a while.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind, MouseEvent};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::audit_board::AuditBoard;
use super::dialog::News;
use super::when::When;
use crate::domain::fleet::HostName;
use crate::domain::trend::history::HostHistory;
use crate::engine::ran::RanThen;

/// crossterm looks at nothing within no time at all; where this thread was kept from running for so long, it looks at nothing
/// either, and has a key all the same.
const LOOK: Duration = Duration::from_millis(4);
/// So it is asked so often more after anything came, each time after this.
const LOOKS_AFTER: u32 = 5;
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 60_000_000 };
/// How long is waited where the terminal has something to read, and it is no key.
const HALF_KEY_PAUSE: Duration = Duration::from_millis(50);
/// What the reader is woken for.
const LEND: [u8; 1] = *b"!";
const RESIZED: [u8; 1] = *b"r";

pub(super) enum Wake {
    Key(KeyEvent),
    Mouse(MouseEvent),
    /// A host's last day, as the store has it.
    History(HostName, Result<HostHistory, String>),
    /// Something that was done aside has ended so.
    Said(String),
    Pasted(String),
    /// What came back of a guarded action, for the dialog of this generation.
    Acted(u64, News),
    Audit(Result<AuditBoard, String>),
    /// What ran on a host then.
    Ran(HostName, When, Result<RanThen, String>),
    /// Told by a signal: nothing is painted before the reader knows.
    Resizing,
    /// Told by the reader, which has taken note of it.
    Resized,
    /// A signal asked the program to end.
    End,
    /// Somebody pressed Ctrl-C where the terminal turns it into a signal.
    Interrupted,
    /// A signal asked it to stop for a while.
    Suspend,
    Continued,
}

/// The thread that reads the terminal.
pub(super) struct Terminal {
    wake: UnixStream,
    stands_still: Receiver<()>,
    go_on: Sender<()>,
}

impl Terminal {
    pub fn watch(wakes: Sender<Wake>) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        let (still, stands_still) = channel();
        let (go_on, may_go_on) = channel();
        std::thread::spawn(move || {
            if read_terminal(&wakes, woken, &still, &may_go_on).is_err() {
                // A screen that is gone needs no word of its terminal's end.
                let _ = wakes.send(Wake::End);
            }
        });
        Ok(Self { wake, stands_still, go_on })
    }

    /// Has crossterm take note of another size, before anything of that size is painted.
    pub fn resized(&mut self) -> io::Result<()> {
        self.wake.write_all(&RESIZED)
    }

    /// Lets another program have the terminal: nothing of it is read until that has ended.
    pub fn lend<T>(&mut self, to: impl FnOnce() -> T) -> io::Result<T> {
        let gone = |_| io::Error::other("the terminal's reader is gone");
        self.wake.write_all(&LEND)?;
        self.stands_still.recv().map_err(|error| gone(error.to_string()))?;
        let ended = to();
        self.go_on.send(()).map_err(|error| gone(error.to_string()))?;
        Ok(ended)
    }
}

fn read_terminal(
    wakes: &Sender<Wake>,
    mut woken: UnixStream,
    still: &Sender<()>,
    may_go_on: &Receiver<()>,
) -> io::Result<()> {
    let gone = || io::Error::other("the screen is gone");
    let stdin = io::stdin();
    let mut looks_left = 0;
    loop {
        let mut sources = [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN)];
        let until = (0 < looks_left).then_some(&LOOK_AGAIN);
        match poll(&mut sources, until) {
            Ok(0) => looks_left -= 1,
            Ok(_) => looks_left = LOOKS_AFTER,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let (typed, asked) = (sources[0].revents(), sources[1].revents());
        if asked.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(gone());
        }
        let mut is_resized = false;
        if asked.contains(PollFlags::IN) {
            let mut asked_for = [0];
            woken.read_exact(&mut asked_for)?;
            if asked_for == LEND {
                still.send(()).map_err(|_| gone())?;
                may_go_on.recv().map_err(|_| gone())?;
                continue;
            }
            is_resized = asked_for == RESIZED;
        }
        if typed.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(io::Error::other("the terminal is gone"));
        }
        if typed.contains(PollFlags::IN) && !event::poll(LOOK)? {
            // Half of a key, or more than crossterm takes at once: the rest comes with the next key.
            std::thread::sleep(HALF_KEY_PAUSE);
        }
        while event::poll(LOOK)? {
            let wake = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => Wake::Key(key),
                Event::Mouse(mouse) => Wake::Mouse(mouse),
                Event::Resize(..) => {
                    is_resized = true;
                    continue;
                }
                Event::Paste(text) => Wake::Pasted(text),
                Event::Key(_) | Event::FocusGained | Event::FocusLost => continue,
            };
            wakes.send(wake).map_err(|_| gone())?;
        }
        if is_resized {
            wakes.send(Wake::Resized).map_err(|_| gone())?;
        }
    }
}

/// From when this returns a signal wakes the screen, and ends the program no more by itself.
pub(super) fn watch_signals(wakes: Sender<Wake>) {
    let (watching, is_watched) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let watched = runtime.and_then(|runtime| runtime.block_on(wait_for_signals(&wakes, watching)));
        if let Err(error) = watched {
            tracing::error!("signals can't be watched: {error}");
        }
    });
    // A thread that could not watch has ended, and told why.
    let _ = is_watched.recv();
}

async fn wait_for_signals(wakes: &Sender<Wake>, watching: Sender<()>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut resume = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let mut resize = signal(SignalKind::window_change())?;
    // A screen that is gone needs no word.
    let _ = watching.send(());
    loop {
        let wake = tokio::select! {
            _ = terminate.recv() => Wake::End,
            _ = interrupt.recv() => Wake::Interrupted,
            _ = hang_up.recv() => Wake::End,
            _ = stop.recv() => Wake::Suspend,
            _ = resume.recv() => Wake::Continued,
            _ = resize.recv() => Wake::Resizing,
        };
        if wakes.send(wake).is_err() {
            return Ok(());
        }
    }
}
