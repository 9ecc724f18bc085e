//! The screen's loop: keys, signals and the feed in; frames and commands out.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::{TerminalOptions, Viewport};
use rustix::process::{Signal, getpid, kill_process};

use super::asked_ran;
use super::attachment::{Attachment, ScreenOptions};
use super::audit_board::AuditBoard;
use super::dialog::Order;
use super::foreground::{self, Ended};
use super::input::{Terminal, Wake, watch_signals};
use super::log_book::HostClock;
use super::model::{Model, View};
use super::panes::draw::draw;
use super::screen;
use super::theme::Theme;
use super::tty::{self, FrameSink};
use super::update::{self, Effect};
use super::watchdog::Beats;
use super::when::When;
use crate::domain::fleet::HostName;
use crate::domain::time::Moment;
use crate::domain::trend::history::HostHistory;
use crate::engine::tail::LogFeed;

/// The feed is drained, and ages move, once a tick; a key is answered at once.
const TICK: Duration = Duration::from_millis(500);
/// A host's last day is read again after this long.
const HISTORY_EVERY: Duration = Duration::from_secs(30);
/// And never sooner than this by this machine's clock, which a demo's runs ahead of.
const HISTORY_PAUSE: Duration = Duration::from_secs(2);

/// The audit is read this often while somebody looks at it, and this often otherwise.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
const AUDIT_ASIDE_EVERY: Duration = Duration::from_secs(10);

/// How often room is looked for meanwhile.
const OWED_FRAME_EVERY: Duration = Duration::from_millis(8);

/// In place of a second: the next frame is painted whatever the time.
const NEVER: i64 = i64::MIN;

type Output = ratatui::Terminal<CrosstermBackend<FrameSink>>;

/// Shows the screen until the user quits or a signal ends it.
pub fn show(attachment: Attachment, options: ScreenOptions) -> io::Result<()> {
    let (wakes, inbox) = channel();
    watch_signals(wakes.clone());
    tty::enter()?;
    let result = Loop::new(attachment, options, wakes).and_then(|mut screen| screen.run(&inbox));
    tty::leave();
    result
}

/// What becomes of the loop after a key.
enum Flow {
    GoOn,
    Quit,
}

/// When a host's last day was last asked for.
struct HistoryAsked {
    host: HostName,
    at: Moment,
    began: Instant,
    is_read_still: bool,
}

struct Loop {
    attachment: Attachment,
    options: ScreenOptions,
    wakes: Sender<Wake>,
    input: Terminal,
    output: Output,
    beats: Beats,
    model: Model,
    theme: Theme,
    title: String,
    history_asked: Option<HistoryAsked>,
    lines: Option<LogFeed>,
    /// The terminal is another program's, until this one is told to go on.
    is_away: bool,
    /// The second that was painted last.
    painted_second: i64,
    /// The writer was busy when something new was to be painted.
    owes_frame: bool,
    audit_asked: Option<Instant>,
}

impl Loop {
    fn new(attachment: Attachment, options: ScreenOptions, wakes: Sender<Wake>) -> io::Result<Self> {
        let sink = FrameSink::new();
        let viewport = TerminalOptions { viewport: Viewport::Fullscreen };
        let output = ratatui::Terminal::with_options(CrosstermBackend::new(sink), viewport)?;
        let input = Terminal::watch(wakes.clone())?;
        let beats = Beats::watched(tty::write_over);
        let mut model = Model::new(attachment.source.clone(), (options.now)());
        model.can_unlock = attachment.unlock.is_some();
        model.can_tail = attachment.tail.is_some();
        model.can_open_shells = attachment.shell.is_some();
        model.can_ask_ran = attachment.ran.is_some();
        model.read_only = options.read_only;
        model.wall = options.wall;
        model.demo.clone_from(&options.demo);
        model.theme.clone_from(&options.theme.name);
        model.themes = options.themes.names().into_iter().map(str::to_owned).collect();
        model.keymap = options.keymap.clone();
        model.message.clone_from(&options.notice);
        model.offered = attachment.acting.as_ref().map(|acting| acting.offered.clone()).unwrap_or_default();
        let theme = options.theme.clone().in_tier(options.tier).in_glyphs(options.glyphs);
        let title = String::new();
        let (history_asked, lines, is_away, painted_second) = (None, None, false, NEVER);
        Ok(Self {
            attachment,
            options,
            wakes,
            input,
            output,
            beats,
            model,
            theme,
            title,
            history_asked,
            lines,
            is_away,
            painted_second,
            audit_asked: None,
            owes_frame: false,
        })
    }

    fn run(&mut self, inbox: &Receiver<Wake>) -> io::Result<()> {
        let mut next_tick = Instant::now();
        loop {
            let mut until_tick = next_tick.saturating_duration_since(Instant::now());
            // A frame that had to wait for the one before it is painted as soon as there is room.
            if self.owes_frame {
                until_tick = until_tick.min(OWED_FRAME_EVERY);
            }
            let wake = match inbox.recv_timeout(until_tick) {
                Ok(wake) => Some(wake),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let mut is_news = wake.is_some() || self.owes_frame;
            if next_tick <= Instant::now() {
                next_tick = Instant::now() + TICK;
                is_news |= self.tick()?;
            }
            match wake {
                Some(Wake::Key(key)) => {
                    let rows = screen::row_count(&self.model);
                    if let Some(effect) = update::press(&mut self.model, key, rows) {
                        match self.carry_out(effect, inbox)? {
                            Flow::GoOn => {}
                            Flow::Quit => return Ok(()),
                        }
                    }
                }
                Some(Wake::Mouse(mouse)) => {
                    let rows = screen::row_count(&self.model);
                    update::mouse(&mut self.model, mouse, rows);
                }
                Some(Wake::History(host, read)) => self.take_history(host, read),
                Some(Wake::Said(said)) => self.model.message = Some(said),
                Some(Wake::Pasted(text)) => update::paste(&mut self.model, &text),
                Some(Wake::Acted(generation, news)) => update::acted(&mut self.model, generation, news),
                Some(Wake::Audit(read)) => self.take_audit(read),
                Some(Wake::Ran(host, when, answer)) => asked_ran::take(&mut self.model, &host, when, answer),
                Some(Wake::End | Wake::Interrupted) => return Ok(()),
                Some(Wake::Suspend) => self.suspend()?,
                Some(Wake::Continued) => self.take_back()?,
                Some(Wake::Resizing) => {
                    self.input.resized()?;
                    continue;
                }
                Some(Wake::Resized) => {}
                None => {}
            }
            self.beats.beat();
            // Of time alone a screen shows whole seconds.
            let second = (self.options.now)().utc_ms.div_euclid(1_000);
            if is_news || second != self.painted_second {
                self.painted_second = second;
                self.paint()?;
            }
        }
    }

    /// Takes in what came; says whether anything did.
    fn tick(&mut self) -> io::Result<bool> {
        self.model.now = (self.options.now)();
        let drained = drain(&self.attachment, &mut self.model);
        if !drained.is_open {
            let fault = (self.options.last_fault)();
            self.model.feed_ended = Some(fault.unwrap_or_else(|| "it was stopped".to_owned()));
        }
        self.model.sort();
        self.read_history();
        self.read_audit();
        let came = self.read_lines();
        self.tell()?;
        Ok(came || drained.came)
    }

    /// Carries out what a key asked for.
    fn carry_out(&mut self, effect: Effect, inbox: &Receiver<Wake>) -> io::Result<Flow> {
        match effect {
            Effect::Quit => return Ok(Flow::Quit),
            Effect::Suspend => self.suspend()?,
            Effect::PollNow(host) => (self.attachment.poll_now)(host),
            Effect::Theme(name) => {
                match self.options.themes.load(&name) {
                    Ok(loaded) => self.theme = loaded.in_tier(self.options.tier).in_glyphs(self.options.glyphs),
                    Err(error) => self.model.message = Some(error.to_string()),
                }
                // One that can't be read is passed over as well: the next key goes to the next.
                self.model.theme = name;
            }
            Effect::Unlock(typed) => self.attachment.unlock.iter_mut().for_each(|unlock| unlock(typed.clone())),
            Effect::Mouse(on) => self.output.backend_mut().write_all(tty::mouse(on))?,
            Effect::Copy(text) => self.copy(text)?,
            Effect::Tail(hosts) => match self.attachment.tail.as_mut().map(|tail| tail(hosts)) {
                Some(Ok(lines)) => self.lines = Some(lines),
                Some(Err(why)) => self.model.message = Some(why),
                None => {}
            },
            Effect::EndTail => self.lines = None,
            Effect::Act(generation, order) => self.act(generation, order),
            Effect::AskRan(host, when) => self.ask_ran(host, when),
            Effect::Shell(host) => return self.open_shell(&host, inbox),
        }
        Ok(Flow::GoOn)
    }

    /// Asks for the open host's last day, where that is not known or no longer new. The store is read aside, once at a time.
    fn read_history(&mut self) {
        let Some(host) = self.model.open_host().cloned() else { return };
        let Some(read) = self.attachment.history.clone() else { return };
        let now = self.model.now;
        let is_new = |asked: &HistoryAsked| {
            let is_of_host = asked.host == host && asked.at.age_at(now).is_within(HISTORY_EVERY);
            asked.is_read_still || is_of_host || asked.began.elapsed() < HISTORY_PAUSE
        };
        if self.history_asked.as_ref().is_some_and(is_new) {
            return;
        }
        let asked = HistoryAsked { host: host.clone(), at: now, began: Instant::now(), is_read_still: true };
        self.history_asked = Some(asked);
        let wakes = self.wakes.clone();
        std::thread::spawn(move || {
            let read = read(&host, now);
            // A screen that is gone needs it no more.
            let _ = wakes.send(Wake::History(host, read));
        });
    }

    fn take_history(&mut self, host: HostName, read: Result<HostHistory, String>) {
        if let Some(asked) = &mut self.history_asked {
            asked.is_read_still = false;
        }
        match read {
            Ok(history) if self.model.open_host() == Some(&host) => self.model.history = Some((host, history)),
            Ok(_) => {}
            Err(error) => self.model.message = Some(format!("the last day of {host} can't be read: {error}")),
        }
    }

    /// Reads the audit on: often while it is looked at, and now and then for the mark that every view shows.
    fn read_audit(&mut self) {
        let Some(read) = self.attachment.audit.clone() else { return };
        let is_looked_at = self.model.view == View::Actions || self.model.dialog.is_some();
        let every = if is_looked_at { AUDIT_EVERY } else { AUDIT_ASIDE_EVERY };
        if self.audit_asked.is_some_and(|asked| asked.elapsed() < every) {
            return;
        }
        self.audit_asked = Some(Instant::now());
        let wakes = self.wakes.clone();
        std::thread::spawn(move || {
            // A screen that is gone needs it no more.
            let _ = wakes.send(Wake::Audit(read()));
        });
    }

    fn take_audit(&mut self, read: Result<AuditBoard, String>) {
        match read {
            Ok(audit) => self.model.audit = Some(audit),
            Err(error) if self.model.view == View::Actions => self.model.message = Some(error),
            Err(_) => {}
        }
    }

    /// Has an order carried out on a thread of its own, which tells each step.
    fn act(&mut self, generation: u64, order: Order) {
        let Some(acting) = &self.attachment.acting else { return };
        let (carry_out, wakes) = (acting.carry_out.clone(), self.wakes.clone());
        std::thread::spawn(move || {
            carry_out(generation, order, &|news| drop(wakes.send(Wake::Acted(generation, news))));
        });
        self.audit_asked = None;
    }

    /// Asks a host aside.
    fn ask_ran(&self, host: HostName, when: When) {
        let Some(ask) = self.attachment.ran.clone() else { return };
        let wakes = self.wakes.clone();
        std::thread::spawn(move || {
            let answer = ask(&host, when);
            // A screen that is gone needs it no more.
            let _ = wakes.send(Wake::Ran(host, when, answer));
        });
    }

    fn read_lines(&mut self) -> bool {
        let (Some(lines), Some(book)) = (&self.lines, &mut self.model.log) else { return false };
        let mut came = false;
        for news in lines.news.try_iter() {
            let clock = HostClock::of(self.model.board.hosts.get(&news.host));
            book.take(news, clock, self.model.now);
            came = true;
        }
        if came {
            book.refresh();
        }
        came
    }

    /// The window's title with the counts, and a word of what turned critical; both go with the next frame.
    fn tell(&mut self) -> io::Result<()> {
        if self.is_away {
            return Ok(());
        }
        let counts = screen::title(&self.model);
        if counts != self.title {
            self.output.backend_mut().write_all(&tty::title(&counts))?;
            self.title = counts;
        }
        let alerts = self.model.take_alerts();
        if alerts.is_empty() || self.model.wall {
            return Ok(());
        }
        self.output.backend_mut().write_all(&tty::notification(&screen::alert(&self.model, &alerts)))
    }

    fn copy(&mut self, text: String) -> io::Result<()> {
        self.output.backend_mut().write_all(&tty::clipboard(&text))?;
        self.model.message = Some("copied, where this terminal takes it (OSC 52)".to_owned());
        let Some(keep) = self.attachment.keep_copy.clone() else { return Ok(()) };
        let wakes = self.wakes.clone();
        std::thread::spawn(move || {
            let said = match keep(&text) {
                Ok(file) => format!("copied, where this terminal takes it; it is in {} too", file.display()),
                Err(error) => format!("copied, where this terminal takes it; no file keeps it: {error}"),
            };
            let _ = wakes.send(Wake::Said(said));
        });
        Ok(())
    }

    /// Gives the terminal to the system's own ssh until that ends.
    fn open_shell(&mut self, host: &HostName, inbox: &Receiver<Wake>) -> io::Result<Flow> {
        let Some(shell) = &mut self.attachment.shell else { return Ok(Flow::GoOn) };
        let command = match shell(host) {
            Ok(command) => command,
            Err(why) => {
                self.model.message = Some(why);
                return Ok(Flow::GoOn);
            }
        };
        let beats = self.beats.clone();
        let ended = self.input.lend(|| {
            tty::leave();
            beats.stand_still();
            foreground::run(&command, inbox)
        })?;
        let said = match ended {
            Ok(Ended::AskedToEnd) => return Ok(Flow::Quit),
            Ok(Ended::With(0)) => format!("back from {host}"),
            Ok(Ended::With(status)) => format!("back from {host}: the shell there ended with {status}"),
            Err(error) => format!(
                "{} can't be started: {error}",
                command.first().map(|word| word.to_string_lossy()).unwrap_or_default()
            ),
        };
        self.take_back()?;
        self.model.message = Some(said);
        Ok(Flow::GoOn)
    }

    /// Gives the terminal back and stops, as Ctrl-Z does in any program; SIGCONT takes it again.
    fn suspend(&mut self) -> io::Result<()> {
        self.is_away = true;
        self.beats.stand_still();
        tty::leave();
        kill_process(getpid(), Signal::STOP)?;
        Ok(())
    }

    /// Takes the terminal again, and paints it whole.
    fn take_back(&mut self) -> io::Result<()> {
        tty::enter()?;
        self.is_away = false;
        if self.model.mouse {
            self.output.backend_mut().write_all(tty::mouse(true))?;
        }
        // A repaint by `clear` would ask the terminal for its cursor, and wait for the answer.
        let size = self.output.size()?;
        self.output.resize(size.into())?;
        // Much may have happened meanwhile: nothing old is painted as if it were new.
        self.tick().map(drop)
    }

    /// Draws a frame, unless the terminal is still busy with the one before: frames are dropped, never queued.
    fn paint(&mut self) -> io::Result<()> {
        if self.is_away {
            return Ok(());
        }
        if tty::is_busy() {
            self.owes_frame = true;
            return Ok(());
        }
        self.owes_frame = false;
        self.model.now = (self.options.now)();
        self.model.sort();
        let (model, theme) = (&mut self.model, &self.theme);
        self.output.draw(|frame| {
            let area = frame.area();
            let screen = screen::build(model, area.width, area.height);
            draw(frame, &screen, theme);
        })?;
        Ok(())
    }
}

/// What a look at the feed found.
pub(super) struct Drained {
    /// Whether somebody is there to write to it.
    pub is_open: bool,
    pub came: bool,
}

pub(super) fn drain(attachment: &Attachment, model: &mut Model) -> Drained {
    let mut came = false;
    loop {
        match attachment.feed.try_recv() {
            Ok(message) => update::feed(model, message),
            Err(TryRecvError::Empty) => return Drained { is_open: true, came },
            Err(TryRecvError::Disconnected) => return Drained { is_open: false, came },
        }
        came = true;
    }
}
