//! The screen in a real pseudo-terminal.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::support::*;

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a terminal has cells")
}

/// The program on a pseudo-terminal, and all it was sent.
pub struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    pub keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    pub raw: Vec<u8>,
    master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn start(place: &Place, hosts: &str, rows: u16, cols: u16) -> Self {
        Self::start_with(place, hosts, rows, cols, &[])
    }

    pub fn start_with(place: &Place, hosts: &str, rows: u16, cols: u16, more: &[&str]) -> Self {
        let hosts = place.write("hosts.toml", hosts);
        let words = [env!("CARGO_BIN_EXE_dogwatch"), "--hosts", hosts.to_str().unwrap()];
        let words: Vec<String> = words.iter().chain(more).map(|word| (*word).to_owned()).collect();
        Self::run(place, &words, rows, cols)
    }

    /// A command line on a pseudo-terminal, with the place's state directory.
    pub fn run(place: &Place, words: &[String], rows: u16, cols: u16) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        command.args(["--state", place.path("state").to_str().unwrap()]);
        command.cwd(&place.0);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self {
            child,
            keys,
            bytes,
            screen: vt100::Parser::new(size(rows), size(cols), 0),
            raw: Vec::new(),
            master: pair.master,
        }
    }

    pub fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + GUARD;
        loop {
            let shown = self.screen.screen().contents();
            if shown.contains(text) {
                return shown;
            }
            match self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.raw.extend_from_slice(&bytes);
                    self.screen.process(&bytes);
                }
                Err(error) => panic!("'{text}' did not appear: {error}\n{shown}"),
            }
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the program's end and says whether the terminal was given back.
    pub fn ends(&mut self) -> u32 {
        let status = self.child.wait().unwrap();
        while let Ok(bytes) = self.bytes.recv_timeout(std::time::Duration::from_millis(200)) {
            self.raw.extend_from_slice(&bytes);
        }
        let raw = text(&self.raw);
        let left = raw.rfind("\x1b[?1049l").expect("the alternate screen was never left");
        assert!(
            raw.rfind("\x1b[?1049h").unwrap() < left
                && raw.rfind("\x1b[?25l").unwrap() < raw.rfind("\x1b[?25h").unwrap()
        );
        status.exit_code()
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.pid().to_string()]);
    }

    /// Takes what is drawn until the alternate screen was left so often.
    fn until_left(&mut self, times: usize) {
        let deadline = Instant::now() + GUARD;
        while text(&self.raw).matches("\x1b[?1049l").count() < times {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes.recv_timeout(left).unwrap_or_else(|error| panic!("it never left: {error}"));
            self.screen.process(&bytes);
            self.raw.extend_from_slice(&bytes);
        }
    }

    /// Waits until the process is stopped, as a shell's job would be.
    fn until_stopped(&self) {
        let deadline = Instant::now() + GUARD;
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        while !state() {
            assert!(Instant::now() < deadline, "it never stopped");
            std::thread::yield_now();
        }
    }
}

fn own() -> String {
    format!("{FAST}[host.me]\nlocal = true\n")
}

#[test]
fn it_shows_the_own_machine_opens_it_and_quits_leaving_the_terminal_as_it_was() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 80);
    let shown = terminal.until("disk.space:/");
    assert!(shown.contains("Fleet, by need") && shown.contains("me"), "{shown}");
    terminal.press("\r");
    terminal.until("the machine Dogwatch runs on");
    terminal.press("?");
    terminal.until("counts are of hosts");
    // Escape and a digit in one go would read as Alt and the digit.
    terminal.press("?");
    terminal.press("2");
    terminal.until("Disks over the fleet");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn sigterm_and_sighup_end_it_in_good_order() {
    for signal in ["-TERM", "-HUP"] {
        let place = Place::new();
        let mut terminal = Terminal::start(&place, &own(), 24, 80);
        terminal.until("me");
        terminal.signal(signal);
        assert_eq!(terminal.ends(), 0, "{signal}");
    }
}

#[test]
fn any_size_is_survived() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 80);
    terminal.until("me");
    for (rows, cols) in [(1, 1), (3, 200), (50, 10), (12, 40), (50, 200)] {
        terminal.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        terminal.screen.screen_mut().set_size(size(rows), size(cols));
    }
    terminal.until("Fleet, by need");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_second_screen_attaches_and_says_so() {
    let place = Place::new();
    let mut first = Terminal::start(&place, &own(), 24, 120);
    first.until("disk.space:/");
    let mut second = Terminal::start(&place, &own(), 24, 120);
    second.until(&format!("attached to pid {}", first.child.process_id().unwrap()));
    second.until("disk.space:/");
    first.press("q");
    first.ends();
    second.until("STALE: the engine");
    second.press("q");
    second.ends();
}

#[test]
fn ctrl_z_and_sigtstp_give_the_terminal_back_and_sigcont_takes_it_again() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 80);
    terminal.until("disk.space:/");
    terminal.press("\x1a");
    terminal.until_left(1);
    terminal.until_stopped();
    terminal.signal("-CONT");
    terminal.until("Fleet, by need");
    terminal.signal("-TSTP");
    terminal.until_left(2);
    terminal.until_stopped();
    terminal.signal("-CONT");
    terminal.until("Fleet, by need");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_terminal_that_is_gone_ends_it_within_two_seconds_with_its_store_closed() {
    let place = Place::new();
    let hosts = place.write("hosts.toml", &own());
    let pair = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_dogwatch"));
    command.args(["--hosts", hosts.to_str().unwrap(), "--state", place.path("state").to_str().unwrap()]);
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut seen = [0; 1];
    pair.master.try_clone_reader().unwrap().read_exact(&mut seen).unwrap();
    let began = Instant::now();
    drop(pair.master);
    child.wait().unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    // A store that was closed in good order leaves no write-ahead log.
    assert!(!place.path("state/series.db-wal").exists());
}
