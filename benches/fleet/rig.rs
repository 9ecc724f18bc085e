//! Places, keys, servers and the program under measurement.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

pub const SSHD_PORT: u16 = 2301;
pub const SIMULATED_PORT: u16 = 2401;
const ROWS: NonZeroU16 = NonZeroU16::MIN.saturating_add(49);
const COLUMNS: NonZeroU16 = NonZeroU16::MIN.saturating_add(199);
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A directory with keys, known hosts and an ssh configuration for both servers.
pub struct Rig {
    pub place: PathBuf,
}

impl Rig {
    pub fn new() -> io::Result<Self> {
        let place = PathBuf::from("/run/dw/bench");
        fs::create_dir_all(&place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        let rig = Self { place };
        for key in ["host", "user"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(rig.path(key)))?;
        }
        let lines: String =
            (0..50).map(|line| format!("Nov 21 04:30:{line:02} db1 app[1]: request {line} took 3 ms\n")).collect();
        fs::write(rig.path("app.log"), lines)?;
        let key = fs::read_to_string(rig.path("host.pub"))?;
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        fs::write(rig.path("known"), format!("* {key}\n"))?;
        for (name, port) in [("ssh_real", SSHD_PORT), ("ssh_simulated", SIMULATED_PORT)] {
            fs::write(rig.path(name), rig.ssh_config(port))?;
        }
        Ok(rig)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn ssh_config(&self, port: u16) -> String {
        let place = self.place.display();
        format!(
            "Host *\n  User root\n  Port {port}\n  IdentityFile {place}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {place}/known\n  GlobalKnownHostsFile none\n  LogLevel ERROR\n"
        )
    }

    /// A fleet of loopback addresses behind one of the two servers; the own machine keeps its default cadence.
    pub fn hosts_toml(&self, ssh_config: &str, count: usize, cadence: &str) -> io::Result<PathBuf> {
        let mut text = format!(
            "ssh_config = '{}'\n[defaults]\ncadence = '{cadence}'\nlogs = ['{}']\ndisk = {{ smart = false }}\n\
             [host.own-machine]\nlocal = true\ncadence = '10s'\nlogs = []\n",
            self.path(ssh_config).display(),
            self.path("app.log").display()
        );
        for address in addresses(count) {
            text.push_str(&format!("[host.h{}]\naddress = '{address}'\n", address.replace('.', "-")));
        }
        let file = self.path(&format!("hosts-{ssh_config}-{count}-{cadence}.toml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// A real sshd on every loopback address.
    pub fn sshd(&self) -> io::Result<Sshd> {
        let place = self.place.display();
        let config = format!(
            "Port {SSHD_PORT}\nListenAddress 0.0.0.0\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 1000\nMaxSessions 100\n\
             PidFile none\nLogLevel VERBOSE\n"
        );
        fs::write(self.path("sshd_config"), config)?;
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().ok_or_else(|| io::Error::other("sshd has no standard error"))?;
        let sessions = Arc::new(Mutex::new(0));
        let counted = sessions.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains("Starting session: command")
                    && let Ok(mut count) = counted.lock()
                {
                    *count += 1;
                }
            }
        });
        wait_for_port(SSHD_PORT)?;
        Ok(Sshd { child, sessions })
    }

    /// The simulated fleet, in a process of its own.
    pub fn simulated(&self) -> io::Result<Simulated> {
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", &SIMULATED_PORT.to_string()])
            .arg(&self.place)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        wait_for_port(SIMULATED_PORT + 1)?;
        wait_for_port(SIMULATED_PORT)?;
        Ok(Simulated { child })
    }

    /// `dogwatch` with a screen of 200×50, in a state directory of its own.
    pub fn screen(&self, hosts: &Path, state: &str) -> io::Result<Screen> {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_dogwatch"));
        command.args(["--hosts".as_ref(), hosts.as_os_str(), "--state".as_ref(), self.path(state).as_os_str()]);
        Screen::start(command)
    }
}

impl Screen {
    /// A program on a terminal of 200×50.
    pub fn start(mut command: CommandBuilder) -> io::Result<Self> {
        let pty = native_pty_system();
        let size = PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 };
        let pair = pty.openpty(size).map_err(io::Error::other)?;
        command.env("TERM", "xterm-256color");
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
        let mut output = pair.master.try_clone_reader().map_err(io::Error::other)?;
        let seen = Arc::new(Mutex::new(Seen::new(started)));
        let shown = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if let Ok(mut seen) = shown.lock() {
                    seen.take(&buffer[..count]);
                }
            }
        });
        let keys = pair.master.take_writer().map_err(io::Error::other)?;
        Ok(Screen { child, seen, keys, _terminal: pair.master })
    }
}

/// Loopback addresses, one a host.
pub fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("127.4.{}.{}", index / 200, index % 200 + 1)).collect()
}

fn wait_for_port(port: u16) -> io::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => return Ok(()),
            Err(error) if deadline < Instant::now() => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Runs a command to its end, which must be good.
pub fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// The real server, and how many commands it was asked to run.
pub struct Sshd {
    child: Child,
    sessions: Arc<Mutex<u64>>,
}

impl Sshd {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn polls(&self) -> u64 {
        self.sessions.lock().map_or(0, |count| *count)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Simulated {
    child: Child,
}

/// What the simulated fleet saw since it was asked last.
pub struct Figures {
    pub polls: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub bytes: u64,
}

impl Simulated {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn figures(&self) -> io::Result<Figures> {
        let mut line = String::new();
        BufReader::new(TcpStream::connect(("127.0.0.1", SIMULATED_PORT + 1))?).read_line(&mut line)?;
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [polls, p50, p99, bytes] = numbers[..] else { return Err(io::Error::other(line)) };
        Ok(Figures { polls, p50_ms: p50 as f64 / 1_000.0, p99_ms: p99 as f64 / 1_000.0, bytes })
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program on a terminal.
pub struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    pub seen: Arc<Mutex<Seen>>,
    keys: Box<dyn Write + Send>,
    _terminal: Box<dyn portable_pty::MasterPty + Send>,
}

impl Screen {
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap_or(0)
    }

    pub fn press(&mut self, key: &str) -> io::Result<()> {
        self.keys.write_all(key.as_bytes())
    }

    /// Waits until the terminal has seen something.
    pub fn wait<T>(&self, within: Duration, what: impl Fn(&Seen) -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = self.seen.lock().ok().and_then(|seen| what(&seen)) {
                return Ok(found);
            }
            if deadline < Instant::now() {
                let shown = self.seen.lock().map(|seen| seen.terminal.screen().contents()).unwrap_or_default();
                return Err(io::Error::other(format!("the screen never came to it:\n{shown}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal was sent.
pub struct Seen {
    started: Instant,
    terminal: vt100::Parser,
    pub first_frame: Option<Duration>,
    /// Every watched host has told something.
    pub all_answered: Option<Duration>,
    /// Bytes of each write that the terminal was given, in order.
    pub writes: Vec<usize>,
}

impl Seen {
    fn new(started: Instant) -> Self {
        let terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self { started, terminal, first_frame: None, all_answered: None, writes: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.writes.push(bytes.len());
        if self.all_answered.is_some() {
            return;
        }
        self.terminal.process(bytes);
        let shown = self.terminal.screen().contents();
        if self.first_frame.is_none() && shown.contains("dogwatch") {
            self.first_frame = Some(self.started.elapsed());
        }
        if shown.contains(" hosts") && !shown.contains("of 0 hosts") && !shown.contains("hosts answered") {
            self.all_answered = Some(self.started.elapsed());
        }
    }
}
