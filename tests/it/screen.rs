//! The screen in a real pseudo-terminal.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use dogwatch::engine::follow::read_once;
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

    /// A command line on a pseudo-terminal, with the place's state directory where it names no other.
    pub fn run(place: &Place, words: &[String], rows: u16, cols: u16) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        if !words.iter().any(|word| word == "--state") {
            command.args(["--state", place.path("state").to_str().unwrap()]);
        }
        command.cwd(&place.0);
        command.env("TERM", "xterm-256color");
        command.env_remove("COLORTERM");
        command.env_remove("NO_COLOR");
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

    pub fn until_gone(&mut self, text: &str) {
        let deadline = Instant::now() + GUARD;
        while self.screen.screen().contents().contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes.recv_timeout(left).unwrap_or_else(|error| panic!("'{text}' did not go: {error}"));
            self.raw.extend_from_slice(&bytes);
            self.screen.process(&bytes);
        }
    }

    /// Waits until these bytes were sent, shown or not.
    pub fn until_sent(&mut self, wanted: &str) {
        let deadline = Instant::now() + GUARD;
        while !text(&self.raw).contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes =
                self.bytes.recv_timeout(left).unwrap_or_else(|error| panic!("{wanted:?} was not sent: {error}"));
            self.screen.process(&bytes);
            self.raw.extend_from_slice(&bytes);
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the program's end and says whether the terminal was given back.
    pub fn ends(&mut self) -> u32 {
        // Its terminal closes with it, and so does the channel.
        let deadline = Instant::now() + GUARD;
        loop {
            match self.bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend_from_slice(&bytes);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it did not end; it shows\n{}", self.screen.screen().contents())
                }
            }
        }
        let status = self.child.wait().unwrap();
        let raw = text(&self.raw);
        let left = raw.rfind("\x1b[?1049l").expect("the alternate screen was never left");
        assert!(
            raw.rfind("\x1b[?1049h").unwrap() < left
                && raw.rfind("\x1b[?25l").unwrap() < raw.rfind("\x1b[?25h").unwrap()
        );
        status.exit_code()
    }

    /// Kills the program, and waits until the system has taken back what it held.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
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

/// A whole shift in one run.
#[test]
fn start_filter_open_switch_the_theme_suspend_resize_quit() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 80);
    terminal.until("disk.space:/");
    terminal.press("/m\r");
    terminal.until("/m, 1 of 1 hosts");
    terminal.press("\r");
    terminal.until("the machine Dogwatch runs on");
    terminal.press("t");
    terminal.until("theme dark");
    terminal.press("\x1a");
    terminal.until_left(1);
    terminal.until_stopped();
    terminal.signal("-CONT");
    terminal.until("the machine Dogwatch runs on");
    terminal.master.resize(PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 }).unwrap();
    terminal.screen.screen_mut().set_size(size(40), size(120));
    terminal.until(" UTC");
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
fn a_host_that_turns_critical_rings_and_notifies_and_the_title_counts_it() {
    let place = Place::new();
    // Other tests fill their own small file systems below /run/dw meanwhile.
    let full = std::path::PathBuf::from(format!("/run/alone{}", unique()));
    std::fs::create_dir(&full).unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", full.to_str().unwrap()]);
    let hosts = format!("{}[defaults.disk]\nignore = ['/run/dw/*']\n", own());
    let mut terminal = Terminal::start(&place, &hosts, 24, 80);
    terminal.until("disk.space:/");
    terminal.until_sent("\x1b]2;dogwatch: ");
    assert!(!text(&terminal.raw).contains("\x1b]9;"));
    std::fs::write(full.join("log"), vec![0; (4 << 20) - (64 << 10)]).unwrap();
    terminal.until_sent("\x07\x1b]9;CRITICAL me: ");
    terminal.until_sent("\x1b]2;dogwatch: 1 CRITICAL");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_filter_keeps_what_matches_and_the_palette_goes_where_it_is_told() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 100);
    terminal.until("disk.space:/");
    terminal.press("2");
    terminal.until("Disks over the fleet");
    terminal.press("/inodes");
    terminal.until("Enter keeps it");
    terminal.press("\r");
    let shown = terminal.until("/inodes");
    assert!(shown.contains("disk.inodes:/") && !shown.contains("disk.space:/"), "{shown}");
    terminal.press(":host me");
    terminal.until("host me");
    terminal.press("\r");
    terminal.until("the machine Dogwatch runs on");
    terminal.press(":theme dark\r");
    terminal.until_sent(";48;5;");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_screen_that_can_not_place_text_says_what_there_is_instead() {
    let place = Place::new();
    let hosts = place.write("hosts.toml", &own());
    let words = ["env", "TERM=dumb", env!("CARGO_BIN_EXE_dogwatch"), "--hosts", hosts.to_str().unwrap()];
    let mut terminal = Terminal::run(&place, &words.map(str::to_owned), 24, 100);
    terminal.until("there is --plain for lines");
}

#[test]
fn without_colour_the_selection_and_the_status_are_still_seen() {
    let place = Place::new();
    let hosts = place.write("hosts.toml", &own());
    let words = ["env", "NO_COLOR=1", "LC_ALL=C", env!("CARGO_BIN_EXE_dogwatch"), "--hosts", hosts.to_str().unwrap()];
    let mut terminal = Terminal::run(&place, &words.map(str::to_owned), 24, 100);
    let shown = terminal.until("disk.space:/");
    assert!(shown.contains("+ OK") && shown.is_ascii(), "{shown}");
    let raw = text(&terminal.raw);
    assert!(raw.contains("\x1b[7m"), "the selection is not reversed");
    assert!(!raw.contains("\x1b[38;") && !raw.contains("\x1b[48;"), "a colour was sent");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_wall_takes_no_key_but_quit_and_says_stale_until_the_next_engine_comes() {
    let place = Place::new();
    let mut engine = Terminal::start(&place, &own(), 24, 120);
    engine.until("disk.space:/");
    let words = [env!("CARGO_BIN_EXE_dogwatch"), "--read-only", "--wall"];
    let mut wall = Terminal::run(&place, &words.map(str::to_owned), 40, 160);
    wall.until("hosts answered");
    wall.press("?2/:");
    engine.press("q");
    assert_eq!(engine.ends(), 0);
    let shown = wall.until("STALE: the engine told nothing");
    assert!(!shown.contains("Help") && !shown.contains("Go to"), "{shown}");
    let mut next = Terminal::start(&place, &own(), 24, 120);
    next.until("disk.space:/");
    wall.until_gone("STALE: the engine");
    assert!(!text(&wall.raw).contains("\x07\x1b]9;"));
    wall.press("q");
    assert_eq!(wall.ends(), 0);
    next.press("q");
    assert_eq!(next.ends(), 0);
}

#[test]
fn plain_says_changes_as_lines() {
    let place = Place::new();
    let full = place.mount_tmpfs("full", "size=4m");
    let hosts = place.write("hosts.toml", &own());
    let words = [env!("CARGO_BIN_EXE_dogwatch"), "--plain", "--hosts", hosts.to_str().unwrap()];
    let mut terminal = Terminal::run(&place, &words.map(str::to_owned), 24, 160);
    terminal.until("me connected");
    std::fs::write(full.join("log"), vec![0; (4 << 20) - (64 << 10)]).unwrap();
    terminal.until(&format!("me CRITICAL (was OK) disk.space:{}", full.display()));
    terminal.signal("-TERM");
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
    // Only a wide screen has room for the time.
    terminal.until(" UTC");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_first_key_after_another_size_is_taken_at_once() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &own(), 24, 80);
    terminal.until("disk.space:/");
    for (rows, cols) in [(35, 120), (24, 80)] {
        terminal.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        terminal.screen.screen_mut().set_size(size(rows), size(cols));
        // The new size is painted before the key is pressed.
        terminal.until(if cols == 120 { " UTC" } else { "? help" });
        terminal.press("5");
        terminal.until("Jobs over the fleet");
        terminal.press("1");
        terminal.until("Fleet, by need");
    }
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

/// A terminal that takes nothing (Ctrl-S) holds nobody up, not even the way out.
#[test]
fn a_terminal_that_takes_nothing_is_left_within_three_seconds() {
    let place = Place::new();
    let hosts = place.write("hosts.toml", &own());
    let pair = native_pty_system().openpty(PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_dogwatch"));
    command.args(["--hosts", hosts.to_str().unwrap(), "--state", place.path("state").to_str().unwrap()]);
    command.args(["--theme", "dark"]);
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).unwrap();
    // Nobody reads: the pseudo-terminal holds a few kilobytes, a frame of this size is more.
    let writer = format!("/proc/{}/task", child.process_id().unwrap());
    let deadline = Instant::now() + GUARD;
    let waits_to_write = || {
        std::fs::read_dir(&writer).unwrap().flatten().any(|task| {
            std::fs::read_to_string(task.path().join("wchan")).is_ok_and(|wchan| wchan.contains("n_tty_write"))
                || std::fs::read_to_string(task.path().join("syscall")).is_ok_and(|call| call.starts_with("1 0x1 "))
        })
    };
    while !waits_to_write() {
        assert!(Instant::now() < deadline, "the terminal took everything");
        std::thread::yield_now();
    }
    // Polls and the store miss nothing.
    let database = place.path("state/series.db");
    let newest = || {
        let board = read_once(database.clone()).unwrap();
        let readings =
            board.hosts.values().flat_map(|host| host.probes.values()).filter_map(|cell| cell.reading.as_ref());
        readings.map(|reading| reading.at().utc_ms).max().unwrap_or(0)
    };
    let stalled_at = newest();
    while newest() < stalled_at + 2_000 {
        assert!(Instant::now() < deadline, "nothing is polled any more");
        std::thread::yield_now();
    }
    let began = Instant::now();
    run("kill", &["-TERM", &child.process_id().unwrap().to_string()]);
    child.wait().unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(!place.path("state/series.db-wal").exists());
}
