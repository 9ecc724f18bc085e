//! The engine: the only place with tasks and a clock. schedule → poll → evaluate → persist → publish.

pub mod action;
pub mod core;
pub mod drill;
pub mod drill_ran;
pub mod evidence;
mod evidence_pull;
pub mod feed;
pub mod follow;
mod lane;
mod memory;
pub mod persist;
mod plan;

mod shared;
mod supervise;

pub mod ran;
pub mod ran_kept;
pub mod tail;
mod witnessed;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::MissedTickBehavior;

use crate::adapters::store::StoreError;
use crate::adapters::store::reader::Reader;
use crate::adapters::store::request::Request;
use crate::adapters::store::shaped;
use crate::adapters::store::state_dir::{EngineLock, StateDir};
use crate::adapters::store::writer::Writer;
use crate::adapters::transport::ssh::Secrets;
use crate::adapters::{clock, evidence as kept};
use crate::config::{Config, ConfigError};
use crate::domain::board::Board;
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::engine::{EngineReading, Percentiles};
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::proof::evidence::KeptRun;
use crate::domain::proof::run::JobRun;
use crate::domain::text::SafeText;
use crate::domain::transition::Change;
use core::Core;
use feed::Publisher;
use lane::{LaneContext, Polled, Report};
use memory::Cursors;
use persist::{Persister, Store};
use shared::Shared;
use tail::TailWish;
use witnessed::Witnessed;

/// Due times are gathered into ticks: one wake-up serves every host that is due.
pub const TICK: Duration = Duration::from_millis(250);
/// Inputs go to the store this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Flushes between two words of the engine on itself.
const OWN_STATE_EVERY: u64 = 10;
/// Flushes between two looks at what the audit says of actions, and of restore tests.
const WITNESSED_EVERY: u64 = 3;
const RESTORES_EVERY: u64 = 60;
/// Runs whose evidence may wait for its file.
const UNKEPT_MAX: usize = 10_000;
/// Polls that the engine's own figures rest on.
const POLL_TIMES_MAX: usize = 1_000;
/// Reports waiting for the core; lanes wait when it is full.
const REPORTS_MAX: usize = 1_024;
/// Commands waiting for the engine; screens drop theirs when it is full.
pub const COMMANDS_MAX: usize = 64;

/// How long an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Until it is told to stop.
    UntilStopped,
    /// Until every lane of every host that it polls has been polled once.
    Once,
}

/// Typed by the user, and shown to nobody.
pub struct Passphrase(pub String);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// What an engine can be asked for.
#[derive(Debug)]
pub enum Command {
    /// Polls one host, or all, without waiting for the cadence or a back-off.
    PollNow(Option<HostName>),
    /// The passphrase of the user's key files.
    Unlock(Passphrase),
    /// Somebody went from a screen into the system's own ssh.
    ShellOpened {
        host: HostName,
        by: SafeText,
    },
    /// Reads logs on for a screen, until that is gone.
    Tail(TailWish),
    /// A new configuration, or why it is none.
    Configure(Result<Config, ConfigError>),
    Stop,
}

/// What an engine is started with.
pub struct Setup {
    pub config: Config,
    pub publisher: Publisher,
    pub secrets: Secrets,
    /// The board that an earlier process left.
    pub board: Board,
    /// Where its reading goes on, as it left it.
    pub cursors: Vec<(HostName, Vec<u8>)>,
    pub mode: Run,
    /// The hosts that are polled; all where it is empty. The others stay on the board as they were left.
    pub only: Vec<HostName>,
}

/// Runs the engine to its end on the calling thread, and returns its last board.
pub fn run(setup: Setup, open: StoreOpener, commands: mpsc::Receiver<Command>) -> Result<Board, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let (store, board, cursors) = open.open().await?;
        let setup = Setup { board, cursors, ..setup };
        Ok(Engine::new(setup, store).drive(commands).await)
    })
}

/// Why an engine could not start.
#[derive(Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A claimed state directory, opened by the engine's own runtime.
pub struct StoreOpener {
    pub directory: StateDir,
    pub lock: EngineLock,
    pub size_bytes_max: u64,
    pub how: &'static str,
}

impl StoreOpener {
    async fn open(self) -> Result<(Store, Board, Vec<(HostName, Vec<u8>)>), StoreError> {
        let path = self.directory.database();
        let writer = Writer::open(path.clone()).await?;
        let mut reader = Reader::open(&path).await?;
        let board = reader.load().await?;
        let cursors = reader.cursors().await?;
        let directory = self.directory.path().to_owned();
        let store = Store { writer, lock: self.lock, directory, size_bytes_max: self.size_bytes_max, how: self.how };
        Ok((store, board, cursors))
    }
}

/// Cursors that another version wrote are forgotten: reading begins at the end again.
fn decoded(cursors: Vec<(HostName, Vec<u8>)>) -> HashMap<HostName, Rc<Cursors>> {
    cursors.into_iter().filter_map(|(host, body)| Some((host, Rc::new(shaped::read(&body)?)))).collect()
}

struct Engine {
    core: Core,
    witnessed: Witnessed,
    /// Evidence that is not in its file yet.
    unkept: VecDeque<(HostName, String, JobRun)>,
    persister: Persister,
    mode: Run,
    only: Vec<HostName>,
    hosts: HashMap<HostName, WatchedHost>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    lanes_ended: usize,
    secrets: Secrets,
    cursors: HashMap<HostName, Rc<Cursors>>,
    /// What a screen reads on, for hosts that are begun again.
    tail: Option<TailWish>,
    /// How long the newest polls of the fast lane took, over SSH.
    poll_ms: VecDeque<u32>,
}

/// A host's running lanes.
struct WatchedHost {
    spec: Rc<HostSpec>,
    shared: Rc<Shared>,
    lanes: Vec<JoinHandle<()>>,
}

impl Drop for WatchedHost {
    fn drop(&mut self) {
        self.lanes.iter().for_each(JoinHandle::abort);
    }
}

impl Engine {
    fn new(setup: Setup, store: Store) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let mut engine = Self {
            core: Core::new(setup.board, setup.publisher),
            mode: setup.mode,
            only: setup.only,
            hosts: HashMap::new(),
            reports,
            inbox,
            lanes_ended: 0,
            secrets: setup.secrets,
            cursors: decoded(setup.cursors),
            tail: None,
            witnessed: Witnessed::new(&store.directory),
            unkept: VecDeque::new(),
            persister: Persister::new(store),
            poll_ms: VecDeque::new(),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let how = engine.persister.how().to_owned();
        engine.core.note(Change::EngineStarted { pid: std::process::id(), version, how }, clock::now());
        engine.watch(&setup.config);
        engine
    }

    async fn drive(mut self, mut commands: mpsc::Receiver<Command>) -> Board {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushes = 0_u64;
        while !self.is_done() {
            tokio::select! {
                Some(report) = self.inbox.recv() => self.absorb(report),
                _ = flush.tick() => {
                    if flushes.is_multiple_of(OWN_STATE_EVERY) {
                        self.tell_own_state();
                    }
                    if flushes.is_multiple_of(WITNESSED_EVERY) {
                        self.tell_witnessed(flushes.is_multiple_of(RESTORES_EVERY)).await;
                    }
                    flushes += 1;
                    self.flush().await;
                }
                command = commands.recv() => match command {
                    Some(Command::PollNow(host)) => self.poll_now(host.as_ref()),
                    Some(Command::Unlock(Passphrase(typed))) => {
                        self.secrets.set_passphrase(&typed);
                        self.poll_now(None);
                    }
                    Some(Command::ShellOpened { host, by }) => self.note_shell(host, by),
                    Some(Command::Tail(wish)) => self.tail(wish),
                    Some(Command::Configure(Ok(config))) => self.watch(&config),
                    Some(Command::Configure(Err(error))) => self.core.reject_config(&error, clock::now()),
                    Some(Command::Stop) | None => break,
                },
            }
        }
        self.hosts.clear();
        self.core.note(Change::EngineStopped { pid: std::process::id() }, clock::now());
        self.hand_over().await;
        // The cursors that are stored last say that these records were read.
        self.keep_evidence();
        let board = self.core.into_board();
        self.persister.close(&board, clock::now()).await;
        board
    }

    async fn hand_over(&mut self) {
        for inputs in self.core.take_outbox() {
            self.persister.take(&inputs).await;
        }
    }

    async fn flush(&mut self) {
        self.hand_over().await;
        self.keep_evidence();
        self.persister.flush(self.core.board(), clock::now()).await;
        for request in self.persister.requests().await {
            match request {
                Request::Poll(host) => self.poll_now(host.as_ref()),
                Request::ShellOpened { host, by } => self.note_shell(host, by),
            }
        }
    }

    fn keep_evidence(&mut self) {
        let state = self.persister.directory().to_owned();
        self.unkept.extend(self.core.take_evidence());
        let surplus = self.unkept.len().saturating_sub(UNKEPT_MAX);
        self.unkept.drain(..surplus);
        while let Some((host, job, run)) = self.unkept.front() {
            // What can't be kept now is kept later: the disk may have room again.
            if let Err(error) = kept::keep(&state, host, job, &KeptRun::of(run)) {
                return tracing::error!("evidence of {job} on {host}: {error}");
            }
            self.unkept.pop_front();
        }
    }

    /// What earlier processes kept of a host's declared jobs.
    fn restore_evidence(&mut self, spec: &HostSpec) {
        let state = self.persister.directory().to_owned();
        for job in &spec.settings.jobs {
            match kept::compact(&state, &spec.name, job.name.as_str(), clock::now().utc_ms) {
                Ok(runs) => {
                    let runs = runs.iter().filter_map(KeptRun::run).collect();
                    self.core.restore_runs(&spec.name, job.name.as_str(), runs);
                }
                Err(error) => tracing::error!("evidence of {} on {}: {error}", job.name, spec.name),
            }
        }
    }

    fn tell_own_state(&mut self) {
        let directory = self.persister.directory();
        let bytes = |name: &str| std::fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
        let reading = EngineReading {
            state_dir: SafeText::new(&directory.display().to_string()),
            store_bytes: bytes("series.db") + bytes("series.db-wal"),
            reports_waiting: u32::try_from(self.inbox.len()).unwrap_or(u32::MAX),
            reports_max: REPORTS_MAX as u32,
            unwritten: u32::try_from(self.persister.unwritten()).unwrap_or(u32::MAX),
            last_error: self.persister.last_error.clone(),
            poll_ms: Percentiles::of(self.poll_ms.iter().copied().collect()),
        };
        self.core.tell_own_state(reading, clock::now());
    }

    /// Puts the newest restore tests on the boards of hosts that have backups, and lets checks know when actions ran.
    async fn tell_witnessed(&mut self, restores_are_due: bool) {
        let witnessed = self.witnessed.read_on().await;
        let now = clock::now();
        if let Ok((_, actions)) = &witnessed {
            actions.hosts().for_each(|(host, times)| self.core.know_actions(host, times));
        }
        let has_backups = |host: &WatchedHost| restores_are_due && !host.spec.settings.backups.is_empty();
        for (name, _) in self.hosts.iter().filter(|(_, host)| has_backups(host)) {
            let outcome = match &witnessed {
                Ok((restores, _)) => Ok(Reading::Restores(restores.of(name))),
                Err(why) => Err(SafeText::new(why)),
            };
            self.core.absorb(Report::Polled(Polled::told(name, ProbeId::Restores, outcome, now)), now);
        }
    }

    fn absorb(&mut self, mut report: Report) {
        if let Report::Ended = report {
            self.lanes_ended += 1;
        }
        if let Report::Polled(polled) = &mut report
            && let Some(cursors) = polled.cursors.take()
        {
            self.remember(&polled.host, cursors);
        }
        if let Report::Polled(polled) = &report
            && polled.lane == Lane::Fast
            && self.hosts.get(&polled.host).is_some_and(|host| host.spec.reach != Reach::Local)
        {
            self.poll_ms.truncate(POLL_TIMES_MAX - 1);
            self.poll_ms.push_front(u32::try_from(polled.received.boot_ms - polled.sent.boot_ms).unwrap_or(0));
        }
        self.core.absorb(report, clock::now());
    }

    fn remember(&mut self, host: &HostName, cursors: Rc<Cursors>) {
        match shaped::write(&*cursors) {
            Ok(body) => self.persister.remember(host.clone(), body),
            Err(error) => tracing::error!("cursors of {host}: {error}"),
        }
        self.cursors.insert(host.clone(), cursors);
    }

    /// In [`Run::Once`]: whether every lane has ended; its reports came before its end.
    fn is_done(&self) -> bool {
        let lanes: usize = self.hosts.values().map(|host| host.lanes.len()).sum();
        self.mode == Run::Once && lanes <= self.lanes_ended
    }

    /// Takes a configuration into force; hosts that it does not change go on undisturbed.
    fn watch(&mut self, config: &Config) {
        self.core.watch(config, clock::now());
        self.hosts.retain(|name, watched| config.fleet.host(name) == Some(&*watched.spec));
        for spec in &config.fleet.hosts {
            let is_polled = self.only.is_empty() || self.only.contains(&spec.name);
            if is_polled && !self.hosts.contains_key(&spec.name) {
                self.restore_evidence(spec);
                self.hosts.insert(spec.name.clone(), self.start(spec));
            }
        }
    }

    fn start(&self, spec: &HostSpec) -> WatchedHost {
        let spec = Rc::new(spec.clone());
        let cursors = self.cursors.get(&spec.name).cloned().unwrap_or_default();
        let shared = Rc::new(Shared::new(cursors));
        if let Some(tail) = self.tail.as_ref().and_then(|wish| wish.of(&spec.name, &spec.settings)) {
            shared.tail(tail);
        }
        let context = LaneContext {
            reports: self.reports.clone(),
            shared: shared.clone(),
            secrets: self.secrets.clone(),
            mode: self.mode,
            now: clock::now,
        };
        let lanes = [Lane::Fast, Lane::Slow].map(|lane| supervise::supervised(spec.clone(), lane, context.clone()));
        let lanes = lanes.into_iter().map(tokio::task::spawn_local).collect();
        WatchedHost { spec, shared, lanes }
    }

    fn tail(&mut self, wish: TailWish) {
        for (name, watched) in &self.hosts {
            if let Some(tail) = wish.of(name, &watched.spec.settings) {
                watched.shared.tail(tail);
            }
        }
        self.tail = Some(wish);
    }

    fn note_shell(&mut self, host: HostName, by: SafeText) {
        if self.hosts.contains_key(&host) {
            self.core.note(Change::ShellOpened { host, by }, clock::now());
        }
    }

    fn poll_now(&self, host: Option<&HostName>) {
        let wanted = self.hosts.iter().filter(|(name, _)| host.is_none_or(|host| host == *name));
        wanted.for_each(|(_, watched)| watched.shared.ask_for_poll());
    }
}
