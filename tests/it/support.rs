//! Servers, places and waits that the tests share.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use dogwatch::adapters::clock;
use dogwatch::adapters::store::state_dir::{Claim, StateDir};
use dogwatch::adapters::transport::ssh::Secrets;
use dogwatch::config;
use dogwatch::domain::board::{Board, CheckView, HostBoard};
use dogwatch::domain::fleet::HostName;
use dogwatch::engine::feed::{Feed, FeedMessage, Publisher};
use dogwatch::engine::tail::{LogFeed, TailWish};
use dogwatch::engine::{self, Command as EngineCommand, Run, Setup, StoreOpener};
use tokio::sync::mpsc;

/// No wait is longer: what has not come by then will not come.
pub const GUARD: Duration = Duration::from_secs(30);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A number that no other test of this run has.
pub fn unique() -> u32 {
    assert_eq!(
        std::env::var("DOGWATCH_TEST_NAMESPACE").as_deref(),
        Ok("1"),
        "these tests need namespaces of their own: run tests/run"
    );
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A directory of the test's own.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Self {
        let path = PathBuf::from(format!("/run/dw/{}", unique()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Mounts a file system of the test's own below the place.
    pub fn mount_tmpfs(&self, name: &str, options: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()]);
        path
    }
}

/// Runs a command that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines that a child says, as they come.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                sink.0.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
                sink.0.1.notify_all();
            }
        });
        lines
    }

    /// Waits until some line holds `text`.
    pub fn wait_for(&self, text: &str) {
        let lines = self.0.0.lock().unwrap();
        let seen = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let (lines, timeout) = self.0.1.wait_timeout_while(lines, GUARD, seen).unwrap();
        assert!(!timeout.timed_out(), "no line held '{text}':\n{}", lines.join("\n"));
    }

    pub fn count(&self, text: &str) -> usize {
        self.0.0.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

/// A child that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = Command::new("kill").args(["-CONT", &self.0.id().to_string()]).status();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real sshd on a loopback address of its own.
pub struct Sshd {
    pub place: Place,
    pub address: String,
    pub log: Lines,
    pub server: Running,
}

pub const PORT: u16 = 2222;

impl Sshd {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With further lines for sshd_config.
    pub fn start_with(extra: &str) -> Self {
        let place = Place::new();
        let number = unique();
        let address = format!("127.1.{}.{}", number / 250, number % 250 + 1);
        for key in ["host", "user"] {
            let file = place.path(key);
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
        }
        let dir = place.0.display();
        let config = format!(
            "{extra}\nPort {PORT}\nListenAddress {address}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPidFile none\nLogLevel VERBOSE\nPermitRootLogin yes\n"
        );
        place.write("sshd_config", &config);
        let (server, log) = Self::serve(&place);
        let sshd = Self { place, address, log, server };
        sshd.trust(&sshd.host_key());
        sshd
    }

    fn serve(place: &Place) -> (Running, Lines) {
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(place.path("sshd_config"))
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        log.wait_for("Server listening");
        (Running(child), log)
    }

    /// Kills the server and everyone's session with it.
    pub fn cut(&mut self) {
        self.signal("-KILL");
        self.server.0.wait().unwrap();
    }

    /// The same server again, after a [`Sshd::cut`].
    pub fn come_back(&mut self) {
        (self.server, self.log) = Self::serve(&self.place);
    }

    /// The host key as a known_hosts line writes it.
    pub fn host_key(&self) -> String {
        let text = fs::read_to_string(self.place.path("host.pub")).unwrap();
        text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    pub fn trust(&self, key: &str) {
        self.place.write("known", &format!("[{}]:{PORT} {key}\n", self.address));
    }

    /// A block of an ssh configuration that reaches this server under `name`.
    pub fn ssh_config(&self, name: &str, user: &str) -> String {
        let dir = self.place.0.display();
        format!(
            "Host {name}\n  HostName {}\n  Port {PORT}\n  User {user}\n  IdentityFile {dir}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n\
             \x20 UserKnownHostsFile {dir}/known\n  GlobalKnownHostsFile none\n",
            self.address
        )
    }

    pub fn logins(&self) -> usize {
        self.log.count("Accepted publickey")
    }

    pub fn signal(&self, signal: &str) {
        // The sessions are children of the listening server: a host that stops stops with all of them.
        let pid = self.server.0.id().to_string();
        let children = Command::new("pgrep").args(["-P", &pid]).output().unwrap();
        let mut pids: Vec<String> = vec![pid];
        pids.extend(String::from_utf8_lossy(&children.stdout).split_ascii_whitespace().map(str::to_owned));
        for pid in &pids {
            let _ = Command::new("kill").args([signal, pid]).status();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// Fast settings for tests: what takes minutes in production takes moments here.
pub const FAST: &str = "[defaults]\ncadence = '1s'\ncron_cadence = '1m'\nslow_cadence = '2s'\nslow_retry = '1s'\nattempts = 1\nload = { warning = 1000, critical = 1000 }\n";

/// An engine in this process, and its board.
pub struct Watch {
    pub board: Board,
    feed: Feed,
    commands: mpsc::Sender<EngineCommand>,
    engine: Option<std::thread::JoinHandle<Result<Board, engine::EngineError>>>,
}

impl Watch {
    pub fn start(place: &Place, hosts_toml: &str) -> Self {
        let own = HostName::parse("own").unwrap();
        let config = config::parse("hosts.toml", hosts_toml, &own).unwrap_or_else(|error| panic!("{error}"));
        let state = place.path("state");
        let directory = StateDir::open(Some(&state)).unwrap();
        let Claim::Won(lock) = directory.claim().unwrap() else { panic!("the state directory is taken") };
        let mut publisher = Publisher::default();
        let feed = publisher.subscribe();
        let (commands, inbox) = mpsc::channel(8);
        let opener = StoreOpener { directory, lock, size_bytes_max: 100_000_000, how: "test" };
        let setup = Setup {
            config,
            publisher,
            secrets: Secrets::default(),
            board: Board::default(),
            cursors: Vec::new(),
            mode: Run::UntilStopped,
            only: Vec::new(),
        };
        let engine = Some(std::thread::spawn(move || engine::run(setup, opener, inbox)));
        let mut watch = Self { board: Board::default(), feed, commands, engine };
        watch.until("the engine starts", |board| !board.hosts.is_empty());
        watch
    }

    /// Has the logs of every host read on.
    pub fn tail(&self) -> LogFeed {
        let (wish, feed) = TailWish::new(self.board.hosts.keys().cloned().collect());
        self.commands.blocking_send(EngineCommand::Tail(wish)).unwrap();
        feed
    }

    /// Takes what the engine publishes until the board is as wanted.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Board) -> bool) {
        let deadline = Instant::now() + GUARD;
        while !wanted(&self.board) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.feed.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(error) => panic!("{what}: {error}\n{}", self.show()),
            }
        }
    }

    /// Takes what the engine publishes for so many batches of one host.
    pub fn polls(&mut self, host: &str, count: usize) {
        let mut seen = 0;
        let deadline = Instant::now() + GUARD * 4;
        while seen < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let message =
                self.feed.recv_timeout(left).unwrap_or_else(|error| panic!("{seen} polls of {count}: {error}"));
            if let FeedMessage::Inputs(inputs) = &message {
                seen += inputs.iter().filter(|input| is_poll_of(input, host)).count();
            }
            self.take(message);
        }
    }

    /// Counts the polls of every host that gave a reading, until the counts are as wanted.
    pub fn count_polls(&mut self, wanted: impl Fn(&BTreeMap<String, usize>) -> bool) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let deadline = Instant::now() + GUARD;
        while !wanted(&counts) {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.feed.recv_timeout(left).unwrap_or_else(|error| panic!("{counts:?}: {error}"));
            if let FeedMessage::Inputs(inputs) = &message {
                for host in self.board.hosts.keys() {
                    let polls = inputs.iter().filter(|input| is_poll_of(input, host.as_str())).count();
                    *counts.entry(host.to_string()).or_default() += polls;
                }
            }
            self.take(message);
        }
        counts
    }

    fn take(&mut self, message: FeedMessage) {
        match message {
            FeedMessage::Inputs(inputs) => inputs.iter().for_each(|input| self.board.apply(input)),
            FeedMessage::Reload(board) => self.board = *board,
            FeedMessage::Alive { .. } => {}
        }
    }

    pub fn host(&self, name: &str) -> &HostBoard {
        self.board.hosts.get(name).unwrap_or_else(|| panic!("no host {name}"))
    }

    pub fn show(&self) -> String {
        let now = clock::now();
        let host = |(name, host): (&HostName, &HostBoard)| {
            let checks: Vec<String> = host.views(now).map(|view| format!("  {}", line(&view))).collect();
            format!("{name} {:?}\n{}", host.link(), checks.join("\n"))
        };
        self.board.hosts.iter().map(host).collect::<Vec<_>>().join("\n")
    }

    pub fn stop(mut self) -> Board {
        let _ = self.commands.blocking_send(EngineCommand::Stop);
        self.engine.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.commands.blocking_send(EngineCommand::Stop);
        if let Some(engine) = self.engine.take() {
            let _ = engine.join();
        }
    }
}

fn is_poll_of(input: &dogwatch::domain::transition::Input, host: &str) -> bool {
    use dogwatch::domain::probe::ProbeId;
    use dogwatch::domain::transition::{Input, Seen};
    let Input::Batch(batch) = input else { return false };
    let read = |seen: &Seen| matches!(seen, Seen::Reading { .. });
    batch.host.as_str() == host && batch.observations.iter().any(|seen| seen.probe == ProbeId::Host && read(&seen.seen))
}

/// `OK disk.space:/ reason`, with what else matters.
pub fn line(view: &CheckView) -> String {
    format!("{} {} {} {:?}", view.status, view.id, view.result.reason, view.quality)
}

/// The line of one check.
pub fn check_line(board: &Board, host: &str, id: &str) -> Option<String> {
    board.hosts.get(host)?.views(clock::now()).find(|view| view.id.to_string() == id).map(|view| line(&view))
}

/// The program itself, with a state directory of the place's own.
pub fn dogwatch(place: &Place, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dogwatch"))
        .args(arguments)
        .args(["--state", place.path("state").to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How often something is killed: enough to see that it holds here, and often enough to trust it in the long mode.
pub fn rounds(few: usize, many: usize) -> usize {
    if std::env::var("DOGWATCH_TEST_LONG").is_ok_and(|long| !long.is_empty()) { many } else { few }
}

/// Runs asynchronous code of the program to its end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
