//! A drill: a scenario's bytes through the same parsers, checks, board and store as any host's, in the scenario's time.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::core::Core;
use super::feed::Publisher;
use super::lane::{Polled, Report};
use super::memory::LaneMemory;
use super::persist::Persister;
use super::plan::{self, Plan, Poll};
use super::tail::{Tail, TailWish};
use super::{Command, EngineError, StoreOpener};
use crate::adapters::clock;
use crate::adapters::scenario::record::Witness;
use crate::adapters::scenario::{Offsets, Scenario};
use crate::adapters::transport::{End, Output};
use crate::config::Config;
use crate::domain::board::Board;
use crate::domain::fleet::HostSpec;
use crate::domain::probe::script::END_STATUS;
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::time::Moment;
use crate::domain::transition::{Change, Link, LinkState};

/// How long a step lasts on the screen.
pub const STEP_EVERY: Duration = Duration::from_millis(180);

/// The scenario's time, for those who look on.
#[derive(Clone)]
pub struct DrillClock {
    begins: Moment,
    /// Milliseconds since the beginning.
    at: Arc<AtomicI64>,
}

impl DrillClock {
    pub fn new(scenario: &Scenario) -> Self {
        let begins = Moment { utc_ms: scenario.begins.timestamp_millis(), boot_ms: 0, origin: clock::now().origin };
        Self { begins, at: Arc::default() }
    }

    pub fn now(&self) -> Moment {
        self.begins.plus(self.elapsed())
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.at.load(Ordering::Acquire)).unwrap_or(0))
    }

    fn set(&self, at: Duration) {
        self.at.store(i64::try_from(at.as_millis()).unwrap_or(i64::MAX), Ordering::Release);
    }
}

pub struct Drill {
    scenario: Scenario,
    core: Core,
    hosts: Vec<DrilledHost>,
    clock: DrillClock,
    /// The time of the next step, since the beginning.
    at: Duration,
    /// What due times are reckoned from.
    zero: Instant,
    /// What people did, for the audit.
    witness: Witness,
}

struct DrilledHost {
    spec: Rc<HostSpec>,
    lanes: [DrilledLane; 2],
}

struct DrilledLane {
    lane: Lane,
    plan: Plan,
    memory: LaneMemory,
    link: Option<Link>,
    tail: Option<Tail>,
}

impl Drill {
    /// A fleet that nobody has looked at yet.
    pub fn new(mut scenario: Scenario, config: &Config, publisher: Publisher, clock: DrillClock) -> Self {
        let zero = Instant::now();
        let mut core = Core::new(Board::default(), publisher);
        core.watch(config, clock.now());
        let host = |spec: &HostSpec| {
            let lane = |lane| DrilledLane {
                lane,
                plan: Plan::new(spec, lane, zero),
                memory: LaneMemory::default(),
                link: None,
                tail: None,
            };
            DrilledHost { spec: Rc::new(spec.clone()), lanes: [Lane::Fast, Lane::Slow].map(lane) }
        };
        let hosts = config.fleet.hosts.iter().map(host).collect();
        let witness = Witness::new(std::mem::take(&mut scenario.records));
        Self { scenario, core, hosts, clock, at: Duration::ZERO, zero, witness }
    }

    pub fn into_board(self) -> Board {
        self.core.into_board()
    }

    /// Puts what people did until now into the audit of a state directory.
    pub async fn put_on_record(&mut self, state: &Path) {
        // The time of the step that was played last.
        let at = self.at.saturating_sub(self.scenario.step);
        let done = self.witness.until(at, state, self.scenario.begins.timestamp_millis()).await;
        if let Err(error) = done {
            tracing::error!("{error}");
        }
    }

    /// The time of the next step, since the beginning.
    pub fn next_at(&self) -> Duration {
        self.at
    }

    /// Looks at every host once, and moves on; false once the scenario is over.
    pub fn step(&mut self) -> bool {
        if self.scenario.lasts < self.at {
            self.look_at_the_end();
            return false;
        }
        self.clock.set(self.at);
        let now = self.clock.now();
        let due = self.zero + self.at;
        for host in &mut self.hosts {
            let mut mounts = None;
            for lane in &mut host.lanes {
                if let Some(mounts) = mounts.take() {
                    lane.memory.mounts = mounts;
                    lane.plan.set_mounts(&lane.memory, due);
                }
                let silent = self.scenario.is_silent(&host.spec.name, self.at);
                if !silent {
                    lane.look_at_logs(&host.spec, &self.scenario, self.at, now);
                }
                let reports = if silent {
                    lane.go_silent(&host.spec)
                } else {
                    lane.look(&host.spec, &self.scenario, self.at, due, now)
                };
                for report in reports {
                    if let Report::Polled(polled) = &report {
                        mounts = slow_mounts(polled).or(mounts);
                    }
                    self.core.absorb(report, now);
                }
            }
        }
        self.at += self.scenario.step;
        true
    }

    fn tail(&mut self, wish: &TailWish) {
        for host in &mut self.hosts {
            let [fast, _] = &mut host.lanes;
            fast.tail = wish.of(&host.spec.name, &host.spec.settings);
        }
    }

    /// What was written before the end can still be read; nothing comes after it.
    fn look_at_the_end(&mut self) {
        let (at, now) = (self.scenario.lasts, self.clock.now());
        for host in &mut self.hosts {
            let [fast, _] = &mut host.lanes;
            if fast.tail.as_ref().is_some_and(|tail| !tail.has_begun()) {
                fast.look_at_logs(&host.spec, &self.scenario, at, now);
            }
        }
    }

    /// Plays the scenario at the screen's pace, and then stands still until it is told to stop.
    pub fn play(mut self, store: StoreOpener, mut commands: mpsc::Receiver<Command>) -> Result<(), EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let state = store.directory.path().to_owned();
            let (store, _, _) = store.open().await?;
            let mut persister = Persister::new(store);
            let mut steps = tokio::time::interval(STEP_EVERY);
            steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = steps.tick() => {}
                    command = commands.recv() => match command {
                        Some(Command::Stop) | None => break,
                        Some(Command::Tail(wish)) => {
                            self.tail(&wish);
                            continue;
                        }
                        Some(Command::PollNow(_) | Command::Unlock(_) | Command::ShellOpened { .. } | Command::Configure(_)) => continue,
                    },
                }
                self.step();
                self.put_on_record(&state).await;
                for inputs in self.core.take_outbox() {
                    persister.take(&inputs).await;
                }
                persister.flush(self.core.board(), self.clock.now()).await;
            }
            let now = self.clock.now();
            self.core.note(Change::EngineStopped { pid: std::process::id() }, now);
            persister.close(self.core.board(), now).await;
            Ok(())
        })
    }
}

fn slow_mounts(polled: &Polled) -> Option<Vec<crate::domain::probe::disk::SlowMount>> {
    polled.outcomes.iter().find_map(|(_, outcome)| match outcome {
        Ok(Reading::Disk(disk)) => Some(disk.slow_mounts.clone()),
        Ok(_) | Err(_) => None,
    })
}

impl DrilledLane {
    fn set_link(&mut self, spec: &HostSpec, link: Link) -> Option<Report> {
        if self.link.as_ref() == Some(&link) {
            return None;
        }
        self.link = Some(link.clone());
        Some(Report::Link { host: spec.name.clone(), lane: self.lane, link })
    }

    fn go_silent(&mut self, spec: &HostSpec) -> Vec<Report> {
        let link = Link::down(LinkState::TimedOut, "no answer within the deadline");
        self.set_link(spec, link).into_iter().collect()
    }

    /// Reads the logs on for a screen.
    fn look_at_logs(&mut self, spec: &HostSpec, scenario: &Scenario, at: Duration, now: Moment) {
        let Some(tail) = self.tail.as_mut().filter(|tail| !tail.is_over()) else { return };
        let poll = tail.poll(&spec.settings, now);
        let offsets = offsets(tail.memory(), spec);
        let output = brought(&poll, |probe| scenario.parts(&spec.name, probe, at, &offsets));
        tail.take(&spec.settings, &poll, &output);
    }

    /// Asks what is due: on the slow lane each probe by itself.
    fn look(&mut self, spec: &HostSpec, scenario: &Scenario, at: Duration, due: Instant, now: Moment) -> Vec<Report> {
        let mut reports: Vec<Report> = self.set_link(spec, Link::up()).into_iter().collect();
        loop {
            let probes = self.plan.due_now(due, spec.settings.cadence / 2);
            if probes.is_empty() {
                return reports;
            }
            for probe in &probes {
                self.plan.reschedule(probe, due + plan::cadence(probe, &spec.settings));
            }
            let poll = Poll::new(probes, &spec.settings, &self.memory, clock::nonce(), now);
            let offsets = offsets(&self.memory, spec);
            let output = brought(&poll, |probe| scenario.parts(&spec.name, probe, at, &offsets));
            let answers = poll.answers(&output);
            let outcomes = poll.outcomes(&answers, &output, &spec.settings, &mut self.memory, now);
            reports.push(Report::Polled(Polled {
                host: spec.name.clone(),
                lane: self.lane,
                sent: now,
                received: now,
                outcomes,
                cost: answers.cost,
                cursors: None,
            }));
        }
    }
}

/// Where the scripts are told to read on.
fn offsets(memory: &LaneMemory, spec: &HostSpec) -> Offsets {
    let told = memory.cursors.logs.parameters(spec.settings.logs.iter(), spec.settings.log);
    let pairs = told.iter().flat_map(|known| known.split(' ')).filter_map(|pair| pair.split_once(':'));
    let accounting = memory.cursors.accounting.place(&memory.accounting);
    let accounting = accounting.map(|(inode, offset)| (inode.to_string(), offset.to_string()));
    pairs.map(|(file, offset)| (file.to_owned(), offset.to_owned())).chain(accounting).collect()
}

/// What a host that prints these parts sends back.
fn brought(poll: &Poll, parts: impl Fn(&ProbeId) -> Option<Vec<Vec<u8>>>) -> Output {
    let nonce = &poll.nonce;
    let mut stdout = (nonce.mark("start", 0) + &nonce.mark("prologue", 0)).into_bytes();
    for (index, probe) in poll.probes.iter().enumerate() {
        let Some(parts) = parts(probe) else { continue };
        stdout.extend(parts.join(nonce.mark("+", 0).as_bytes()));
        stdout.extend_from_slice(nonce.mark(&index.to_string(), 0).as_bytes());
    }
    stdout.extend_from_slice(nonce.mark("epilogue", 0).as_bytes());
    Output { stdout, stderr: Vec::new(), end: End::Exited(END_STATUS) }
}

#[cfg(test)]
#[path = "drill_tests.rs"]
mod tests;
