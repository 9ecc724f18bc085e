//! The screen's loop: keys, signals and the feed in; frames and commands out.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{Terminal, TerminalOptions, Viewport};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::model::{FeedSource, Model};
use super::panes::draw::draw;
use super::screen;
use super::theme::Theme;
use super::theme::colour::Tier;
use super::theme::file::Themes;
use super::tty::{self, FrameSink};
use super::update::{self, Effect};
use crate::domain::fleet::HostName;
use crate::domain::time::Moment;
use crate::engine::feed::Feed;

/// The feed is drained, and ages move, once a tick; a key is answered at once.
const TICK: Duration = Duration::from_millis(500);

/// What a screen is attached to.
pub struct Attachment {
    pub feed: Feed,
    pub source: FeedSource,
    /// Asks the engine to poll one host, or all, now.
    pub poll_now: Box<dyn FnMut(Option<HostName>)>,
    /// Gives the engine the passphrase of the user's key files; `None` where the engine is another process.
    pub unlock: Option<Box<dyn FnMut(String)>>,
}

pub struct ScreenOptions {
    pub themes: Themes,
    pub theme: Theme,
    pub tier: Tier,
    pub read_only: bool,
    pub wall: bool,
    /// What is played, where this is a demo.
    pub demo: Option<String>,
    pub now: Box<dyn Fn() -> Moment>,
    /// What a panic said, if there was one.
    pub last_fault: fn() -> Option<String>,
}

pub(super) enum Wake {
    Key(KeyEvent),
    Resized,
    /// A signal asked the program to end.
    End,
    /// A signal asked it to stop for a while.
    Suspend,
    Continued,
}

/// Shows the screen until the user quits or a signal ends it.
pub fn show(mut attachment: Attachment, options: ScreenOptions) -> io::Result<()> {
    let (wakes, inbox) = channel();
    watch_signals(wakes.clone());
    tty::enter()?;
    watch_keys(wakes);
    let result = drive(&mut attachment, &options, &inbox);
    tty::leave();
    result
}

fn drive(attachment: &mut Attachment, options: &ScreenOptions, inbox: &Receiver<Wake>) -> io::Result<()> {
    let sink = FrameSink::new();
    let busy = sink.busy_flag();
    let mut terminal =
        Terminal::with_options(CrosstermBackend::new(sink), TerminalOptions { viewport: Viewport::Fullscreen })?;
    let mut theme = options.theme.clone().in_tier(options.tier);
    let mut model = Model::new(attachment.source.clone(), (options.now)());
    model.can_unlock = attachment.unlock.is_some();
    model.read_only = options.read_only;
    model.wall = options.wall;
    model.demo.clone_from(&options.demo);
    model.theme.clone_from(&theme.name);
    model.themes = options.themes.names().into_iter().map(str::to_owned).collect();
    let mut title = String::new();
    let mut next_tick = Instant::now();
    loop {
        let until_tick = next_tick.saturating_duration_since(Instant::now());
        let wake = match inbox.recv_timeout(until_tick) {
            Ok(wake) => Some(wake),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        if next_tick <= Instant::now() {
            next_tick = Instant::now() + TICK;
            model.now = (options.now)();
            if !drain(attachment, &mut model) {
                let fault = (options.last_fault)();
                model.feed_ended = Some(fault.unwrap_or_else(|| "it was stopped".to_owned()));
            }
            model.sort();
            tell(&mut terminal, &mut model, &mut title)?;
        }
        match wake {
            Some(Wake::Key(key)) => {
                let rows = screen::row_count(&model);
                match update::press(&mut model, key, rows) {
                    Some(Effect::Quit) => return Ok(()),
                    Some(Effect::Suspend) => suspend()?,
                    Some(Effect::PollNow(host)) => (attachment.poll_now)(host),
                    Some(Effect::Theme(name)) => match options.themes.load(&name) {
                        Ok(loaded) => {
                            theme = loaded.in_tier(options.tier);
                            model.theme = name;
                        }
                        Err(error) => model.message = Some(error.to_string()),
                    },
                    Some(Effect::Unlock(typed)) => {
                        attachment.unlock.iter_mut().for_each(|unlock| unlock(typed.clone()))
                    }
                    None => {}
                }
            }
            Some(Wake::End) => return Ok(()),
            Some(Wake::Suspend) => suspend()?,
            Some(Wake::Continued) => {
                tty::enter()?;
                // A repaint by `clear` would ask the terminal for its cursor, and wait for the answer.
                let size = terminal.size()?;
                terminal.resize(size.into())?;
            }
            Some(Wake::Resized) | None => {}
        }
        paint(&mut terminal, &mut model, &theme, &busy)?;
    }
}

/// False once nobody is there to write to the feed.
pub(super) fn drain(attachment: &Attachment, model: &mut Model) -> bool {
    loop {
        match attachment.feed.try_recv() {
            Ok(message) => update::feed(model, message),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}

/// The window's title with the counts, and a word of what turned critical; both go with the next frame.
fn tell(terminal: &mut Terminal<CrosstermBackend<FrameSink>>, model: &mut Model, title: &mut String) -> io::Result<()> {
    let counts = screen::title(model);
    if counts != *title {
        terminal.backend_mut().write_all(&tty::title(&counts))?;
        *title = counts;
    }
    let alerts = model.take_alerts();
    if alerts.is_empty() || model.wall {
        return Ok(());
    }
    terminal.backend_mut().write_all(&tty::notification(&screen::alert(model, &alerts)))
}

/// Draws a frame, unless the terminal is still busy with the one before: frames are dropped, never queued.
fn paint(
    terminal: &mut Terminal<CrosstermBackend<FrameSink>>,
    model: &mut Model,
    theme: &Theme,
    busy: &Arc<AtomicBool>,
) -> io::Result<()> {
    if busy.load(Ordering::Acquire) {
        return Ok(());
    }
    terminal.draw(|frame| {
        let area = frame.area();
        let screen = screen::build(model, area.width, area.height);
        draw(frame, &screen, theme);
    })?;
    Ok(())
}

/// Gives the terminal back and stops, as Ctrl-Z does in any program; SIGCONT takes it again.
fn suspend() -> io::Result<()> {
    tty::leave();
    kill_process(getpid(), Signal::STOP)?;
    Ok(())
}

fn watch_keys(wakes: Sender<Wake>) {
    std::thread::spawn(move || {
        loop {
            let wake = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Wake::Key(key),
                Ok(Event::Resize(..)) => Wake::Resized,
                Ok(Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => {
                    continue;
                }
                Err(_) => Wake::End,
            };
            let ends = matches!(wake, Wake::End);
            if wakes.send(wake).is_err() || ends {
                return;
            }
        }
    });
}

pub(super) fn watch_signals(wakes: Sender<Wake>) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let watched = runtime.and_then(|runtime| runtime.block_on(wait_for_signals(&wakes)));
        if let Err(error) = watched {
            tracing::error!("signals can't be watched: {error}");
        }
    });
}

async fn wait_for_signals(wakes: &Sender<Wake>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut resume = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    loop {
        let wake = tokio::select! {
            _ = terminate.recv() => Wake::End,
            _ = interrupt.recv() => Wake::End,
            _ = hang_up.recv() => Wake::End,
            _ = stop.recv() => Wake::Suspend,
            _ = resume.recv() => Wake::Continued,
        };
        if wakes.send(wake).is_err() {
            return Ok(());
        }
    }
}
