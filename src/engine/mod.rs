//! The engine: the only place with tasks and a clock. schedule → poll → evaluate → persist → publish.

pub mod core;
pub mod feed;
mod lane;
mod plan;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, LocalSet};

use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::config::{Config, ConfigError};
use crate::domain::fleet::{HostName, HostSpec};
use crate::domain::probe::Lane;
use core::Core;
use feed::Publisher;
use lane::{LaneContext, LaneTask, Report};

/// Due times are gathered into ticks: one wake-up serves every host that is due.
pub const TICK: Duration = Duration::from_millis(250);
/// Reports waiting for the core; lanes wait when it is full.
const REPORTS_MAX: usize = 1_024;
/// Commands waiting for the engine; screens drop theirs when it is full.
pub const COMMANDS_MAX: usize = 64;

/// How long an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Until it is told to stop.
    UntilStopped,
    /// Until every lane of every host has been polled once.
    Once,
}

/// What an engine can be asked for.
#[derive(Debug)]
pub enum Command {
    /// Polls one host, or all, without waiting for the cadence or a back-off.
    PollNow(Option<HostName>),
    /// A new configuration, or why it is none.
    Configure(Result<Config, ConfigError>),
    Stop,
}

/// Runs the engine to its end on the calling thread.
pub fn run(
    config: Config,
    publisher: Publisher,
    secrets: Secrets,
    commands: mpsc::Receiver<Command>,
    mode: Run,
) -> std::io::Result<Core> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    Ok(local.block_on(&runtime, async { Engine::new(config, publisher, secrets, mode).drive(commands).await }))
}

struct Engine {
    core: Core,
    mode: Run,
    hosts: HashMap<HostName, WatchedHost>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    lanes_ended: usize,
    secrets: Secrets,
}

/// A host's running lanes.
struct WatchedHost {
    spec: Rc<HostSpec>,
    poll_now: Rc<Notify>,
    lanes: Vec<JoinHandle<()>>,
}

impl Drop for WatchedHost {
    fn drop(&mut self) {
        self.lanes.iter().for_each(JoinHandle::abort);
    }
}

impl Engine {
    fn new(config: Config, publisher: Publisher, secrets: Secrets, mode: Run) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let mut engine =
            Self { core: Core::new(publisher), mode, hosts: HashMap::new(), reports, inbox, lanes_ended: 0, secrets };
        engine.watch(&config);
        engine
    }

    async fn drive(mut self, mut commands: mpsc::Receiver<Command>) -> Core {
        while !self.is_done() {
            tokio::select! {
                Some(report) = self.inbox.recv() => self.absorb(report),
                command = commands.recv() => match command {
                    Some(Command::PollNow(host)) => self.poll_now(host.as_ref()),
                    Some(Command::Configure(Ok(config))) => self.watch(&config),
                    Some(Command::Configure(Err(error))) => self.core.reject_config(&error),
                    Some(Command::Stop) | None => break,
                },
            }
        }
        self.core
    }

    fn absorb(&mut self, report: Report) {
        match report {
            Report::Ended => self.lanes_ended += 1,
            Report::Link { .. } | Report::Polled(_) => self.core.absorb(report),
        }
    }

    /// In [`Run::Once`]: whether every lane has ended; its reports came before its end.
    fn is_done(&self) -> bool {
        let lanes: usize = self.hosts.values().map(|host| host.lanes.len()).sum();
        self.mode == Run::Once && lanes <= self.lanes_ended
    }

    /// Takes a configuration into force; hosts that it does not change go on undisturbed.
    fn watch(&mut self, config: &Config) {
        self.core.watch(config);
        self.hosts.retain(|name, watched| config.fleet.host(name) == Some(&*watched.spec));
        for spec in &config.fleet.hosts {
            if !self.hosts.contains_key(&spec.name) {
                self.hosts.insert(spec.name.clone(), self.start(spec));
            }
        }
    }

    fn start(&self, spec: &HostSpec) -> WatchedHost {
        let spec = Rc::new(spec.clone());
        let poll_now = Rc::new(Notify::new());
        let context = LaneContext {
            reports: self.reports.clone(),
            poll_now: poll_now.clone(),
            secrets: self.secrets.clone(),
            now: clock::now,
        };
        let lane = |lane| LaneTask::new(spec.clone(), lane, context.clone());
        let lanes = [Lane::Fast, Lane::Slow].into_iter().filter_map(lane);
        let lanes = lanes.map(|task| tokio::task::spawn_local(task.run(self.mode))).collect();
        WatchedHost { spec, poll_now, lanes }
    }

    fn poll_now(&self, host: Option<&HostName>) {
        let wanted = self.hosts.iter().filter(|(name, _)| host.is_none_or(|host| host == *name));
        wanted.for_each(|(_, watched)| watched.poll_now.notify_waiters());
    }
}
