//! The core: reports become results, transitions and batches, and those the board.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::feed::Publisher;
use super::lane::{Polled, Report};
use super::plan;
use crate::adapters::clock;
use crate::config::{Config, ConfigError};
use crate::domain::board::{Board, HostBoard};
use crate::domain::check::evaluate::{Lately, RoundTrip, evaluate, placeholders};
use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckResult, Context, Memory, Pane, Unit};
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::disk::DiskReading;
use crate::domain::probe::engine::EngineReading;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::settings::HOUR;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::domain::transition::{Batch, Change, HostEntry, Input, Observation, Seen, Transition};
use crate::domain::trend::forecast::{Forecast, POINTS_MIN, forecast};

/// How long a file system that vanished stays on the board.
const VANISHED_NEWS_FOR: Duration = Duration::from_secs(24 * HOUR.as_secs());

/// The board with what the engine remembers beside it.
pub struct Core {
    specs: HashMap<HostName, Arc<HostSpec>>,
    memories: HashMap<HostName, HostMemory>,
    board: Board,
    publisher: Publisher,
    /// Inputs that the store has not been given yet.
    outbox: Vec<Arc<Vec<Input>>>,
}

/// What the engine remembers of one host between readings.
#[derive(Default)]
struct HostMemory {
    known: Known,
    lately: Lately,
    /// The newest bucket that each forecast rests on: the fit is too dear for every poll.
    forecast_of: HashMap<CheckId, Option<u32>>,
    /// Which checks each probe's last reading gave.
    given: BTreeMap<ProbeId, BTreeSet<CheckId>>,
}

/// What the checks themselves ask for.
#[derive(Default)]
struct Known {
    states: HashMap<CheckId, CheckState>,
    /// What the limits alone gave, where a forecast may have raised more.
    by_limit: HashMap<CheckId, Status>,
    forecasts: HashMap<CheckId, Forecast>,
}

impl Known {
    fn note_limit(&mut self, result: &CheckResult) {
        let Some(status) = result.by_limit else { return };
        match self.by_limit.get_mut(&result.id) {
            Some(slot) => *slot = status,
            None => drop(self.by_limit.insert(result.id.clone(), status)),
        }
    }
}

impl Memory for Known {
    fn previous_status(&self, id: &CheckId) -> Option<Status> {
        self.by_limit.get(id).copied().or_else(|| self.states.get(id).map(|state| state.status))
    }

    fn forecast(&self, id: &CheckId) -> Forecast {
        self.forecasts.get(id).copied().unwrap_or(Forecast::NotEnough { have: 0, need: POINTS_MIN })
    }
}

impl Core {
    /// Goes on from a board that an earlier process left.
    pub fn new(board: Board, publisher: Publisher) -> Self {
        let memories = board.hosts.iter().map(|(name, host)| (name.clone(), HostMemory::of(host))).collect();
        Self { specs: HashMap::new(), memories, board, publisher, outbox: Vec::new() }
    }

    /// The inputs since the last call, for the store.
    pub fn take_outbox(&mut self) -> Vec<Arc<Vec<Input>>> {
        std::mem::take(&mut self.outbox)
    }

    /// Puts what the engine says of itself on the board of its own machine.
    pub fn tell_own_state(&mut self, reading: EngineReading) {
        let own = self.specs.values().find(|spec| spec.reach == Reach::Local);
        let Some(spec) = own.cloned() else { return };
        let fresh_for_ms =
            u64::try_from(plan::fresh_for(&ProbeId::Engine, &spec.settings).as_millis()).unwrap_or(u64::MAX);
        let seen = Seen::Reading { reading: Arc::new(Reading::Engine(reading)), results: Vec::new() };
        let observations = vec![Arc::new(Observation { probe: ProbeId::Engine, fresh_for_ms, seen })];
        self.publish(vec![Input::Batch(Batch { host: spec.name.clone(), at: clock::now(), observations, cost: None })]);
    }

    /// Notes that something happened to the engine itself.
    pub fn note(&mut self, change: Change) {
        self.publish(vec![Input::Transition(Transition::new(clock::now(), change))]);
    }

    pub fn board(&self) -> &Board {
        &self.board
    }

    pub fn into_board(self) -> Board {
        self.board
    }

    /// Takes a configuration into force.
    pub fn watch(&mut self, config: &Config) {
        self.specs = config.fleet.hosts.iter().map(|spec| (spec.name.clone(), Arc::new(spec.clone()))).collect();
        // A host that comes back later begins anew, as its board does.
        self.memories.retain(|name, _| self.specs.contains_key(name));
        let entry = |spec: &HostSpec| HostEntry {
            name: spec.name.clone(),
            groups: spec.groups.clone(),
            own: spec.reach == Reach::Local,
            trend_window_ms: u64::try_from(spec.settings.forecast.window.as_millis()).unwrap_or(u64::MAX),
        };
        let change = Change::FleetChanged {
            hosts: config.fleet.hosts.iter().map(entry).collect(),
            groups: config.fleet.groups.clone(),
            digest: config.digest.clone(),
        };
        self.publish(vec![Input::Transition(Transition::new(clock::now(), change))]);
        self.forget_unasked();
    }

    /// Checks of probes that no host is asked any more, as its configuration stands now.
    fn forget_unasked(&mut self) {
        let mut changes = Vec::new();
        for (name, spec) in &self.specs {
            let Some(memory) = self.memories.get_mut(name) else { continue };
            let asked = plan::probes(&spec.settings);
            // Mounts are told by the disk probe's next reading.
            let is_asked = |probe: &ProbeId| asked.contains(probe) || matches!(probe, ProbeId::SlowMount(_));
            let unasked: Vec<ProbeId> = memory.given.keys().filter(|probe| !is_asked(probe)).cloned().collect();
            for check in unasked.iter().filter_map(|probe| memory.given.remove(probe)).flatten() {
                memory.known.states.remove(&check);
                changes.push(Change::CheckForgotten { host: name.clone(), check });
            }
        }
        if !changes.is_empty() {
            let transition = |change| Input::Transition(Transition::new(clock::now(), change));
            self.publish(changes.into_iter().map(transition).collect());
        }
    }

    /// Keeps the configuration in force and says why a newer one is not.
    pub fn reject_config(&mut self, error: &ConfigError) {
        let errors = error.0.iter().map(|problem| SafeText::new(&problem.to_string())).collect();
        self.publish(vec![Input::Transition(Transition::new(clock::now(), Change::ConfigRejected { errors }))]);
    }

    pub fn absorb(&mut self, report: Report) {
        match report {
            Report::Link { host, lane, link } => self.note(Change::LinkChanged { host, lane, link }),
            Report::Stuck { host, probe, since } => self.note(Change::ProbeStuck { host, probe, since }),
            Report::Freed { host, probe } => self.note(Change::ProbeFreed { host, probe }),
            Report::Polled(polled) => self.absorb_poll(polled),
            Report::Ended => {}
        }
    }

    fn absorb_poll(&mut self, polled: Polled) {
        let Some(spec) = self.specs.get(&polled.host).cloned() else { return };
        let memory = self.memories.entry(polled.host.clone()).or_default();
        let round_trip = RoundTrip { sent_ms: polled.sent.utc_ms, received_ms: polled.received.utc_ms };
        let at = polled.received;
        let mut changes = Vec::new();
        let mut observations = Vec::new();
        for (probe, outcome) in polled.outcomes {
            let fresh_for_ms = u64::try_from(plan::fresh_for(&probe, &spec.settings).as_millis()).unwrap_or(u64::MAX);
            let step = Step { probe: &probe, spec: &spec, at, fresh_for_ms };
            let seen = match outcome {
                Err(why) => {
                    let mut silent = placeholders(&probe, &spec.settings, &why);
                    silent.retain(|result| !memory.known.states.contains_key(&result.id));
                    changes.extend(memory.take(&step, &silent));
                    let given = memory.given.entry(probe.clone()).or_default();
                    given.extend(silent.into_iter().map(|result| result.id));
                    Seen::Failed { why }
                }
                Ok(reading) => {
                    let context = Context { settings: &spec.settings, now: at, memory: &memory.known };
                    let mut results = evaluate(&reading, round_trip, &mut memory.lately, &context);
                    if let Reading::Disk(disk) = &reading {
                        memory.take_over_vanished_mounts(disk);
                    }
                    changes.extend(memory.settle_vanished(&step, &mut results));
                    changes.extend(memory.take(&step, &results));
                    memory.note_given(&probe, &results);
                    Seen::Reading { reading: Arc::new(reading), results }
                }
            };
            observations.push(Arc::new(Observation { probe, fresh_for_ms, seen }));
        }
        let mut inputs: Vec<Input> =
            changes.into_iter().map(|change| Input::Transition(Transition::new(at, change))).collect();
        inputs.push(Input::Batch(Batch { host: polled.host.clone(), at, observations, cost: polled.cost }));
        self.publish(inputs);
        self.refresh_forecasts(&polled.host);
    }

    fn publish(&mut self, inputs: Vec<Input>) {
        inputs.iter().for_each(|input| self.board.apply(input));
        let inputs = Arc::new(inputs);
        self.publisher.publish(&inputs, &self.board);
        self.outbox.push(inputs);
    }

    /// A forecast changes only when its trend gained a point.
    fn refresh_forecasts(&mut self, host: &HostName) {
        let (Some(board), Some(memory)) = (self.board.hosts.get(host), self.memories.get_mut(host)) else { return };
        for (id, trend) in board.trends.iter().filter(|(id, _)| id.pane() == Pane::Disk) {
            let newest = trend.newest_bucket();
            if memory.forecast_of.get(id).copied().flatten() != newest {
                memory.forecast_of.insert(id.clone(), newest);
                memory.known.forecasts.insert(id.clone(), forecast(trend));
            }
        }
    }
}

/// One reading of one probe being taken in.
struct Step<'a> {
    probe: &'a ProbeId,
    spec: &'a HostSpec,
    at: Moment,
    fresh_for_ms: u64,
}

impl HostMemory {
    /// What a stored board still tells of a host.
    fn of(host: &HostBoard) -> Self {
        let mut memory = Self::default();
        for (id, cell) in &host.checks {
            memory.known.states.insert(id.clone(), cell.state);
            memory.known.by_limit.extend(cell.result.last().by_limit.map(|status| (id.clone(), status)));
            memory.given.entry(cell.probe.clone()).or_default().insert(id.clone());
        }
        memory.known.forecasts = host.trends.iter().map(|(id, trend)| (id.clone(), forecast(trend))).collect();
        let last = |probe| Some(host.probes.get(&probe)?.reading.as_ref()?.last().as_ref());
        if let Some(Reading::Host(reading)) = last(ProbeId::Host) {
            memory.lately.boot_id = Some(reading.boot_id.clone());
        }
        if let Some(Reading::Disk(reading)) = last(ProbeId::Disk) {
            memory.lately.disk = Some(reading.clone());
        }
        memory
    }

    /// Steps the state of every check that a reading gave, and says what history must remember of it.
    fn take(&mut self, step: &Step, results: &[CheckResult]) -> Vec<Change> {
        let attempts = step.spec.settings.attempts;
        let mut changes = Vec::new();
        for result in results {
            self.known.note_limit(result);
            let slot = self.known.states.get_mut(&result.id);
            let before = slot.as_deref().copied();
            let state = match before {
                None => CheckState::first(result.status, attempts, step.at),
                Some(before) => before.next(result.status, attempts, step.at),
            };
            match slot {
                Some(slot) => *slot = state,
                None => drop(self.known.states.insert(result.id.clone(), state)),
            }
            if before.is_none_or(|before| state.differs_from(&before)) {
                changes.push(Change::CheckChanged {
                    host: step.spec.name.clone(),
                    probe: step.probe.clone(),
                    result: result.clone(),
                    state,
                    fresh_for_ms: step.fresh_for_ms,
                });
            }
        }
        changes
    }

    /// A slow mount that is no longer there is asked no more: the disk probe tells of its end, as of any other's.
    fn take_over_vanished_mounts(&mut self, disk: &DiskReading) {
        let is_there = |probe: &ProbeId| match probe {
            ProbeId::SlowMount(mount) => disk.slow_mounts.iter().any(|seen| seen.mount == *mount),
            _ => true,
        };
        let gone: Vec<ProbeId> = self.given.keys().filter(|probe| !is_there(probe)).cloned().collect();
        let checks: Vec<CheckId> = gone.iter().filter_map(|probe| self.given.remove(probe)).flatten().collect();
        self.given.entry(ProbeId::Disk).or_default().extend(checks);
    }

    fn note_given(&mut self, probe: &ProbeId, results: &[CheckResult]) {
        let given = self.given.entry(probe.clone()).or_default();
        let is_same = given.len() == results.len() && results.iter().all(|result| given.contains(&result.id));
        if !is_same {
            *given = results.iter().map(|result| result.id.clone()).collect();
        }
    }

    /// Checks whose subject this reading no longer names: a file system that vanished is told for a day, anything else,
    /// and a placeholder, is forgotten.
    fn settle_vanished(&mut self, step: &Step, results: &mut Vec<CheckResult>) -> Vec<Change> {
        let given = self.given.get(step.probe).into_iter().flatten();
        let vanished: Vec<CheckId> =
            given.filter(|id| !results.iter().any(|result| result.id == **id)).cloned().collect();
        let mut changes = Vec::new();
        for id in vanished {
            // A mount that came back is told by its own probe again.
            if self.given.iter().any(|(probe, given)| probe != step.probe && given.contains(&id)) {
                continue;
            }
            let since = self.known.states.get(&id).map(|state| state.since);
            let is_news = since.is_some_and(|since| since.age_at(step.at).is_within(VANISHED_NEWS_FOR));
            let was_told = self.known.states.get(&id).is_some_and(|state| state.status == Status::Unknown);
            // A mount that is still there was taken out of the watch by somebody: no news.
            let is_there =
                |disk: &DiskReading| disk.filesystems.iter().any(|fs| Some(&fs.mount) == id.subject.as_ref());
            let vanished =
                id.pane() == Pane::Disk && id.subject.is_some() && !self.lately.disk.as_ref().is_some_and(is_there);
            if vanished && (is_news || !was_told) {
                let reason = "no longer there: was it unmounted?";
                results.push(CheckResult::missing(id, reason, Unit::Percent));
            } else {
                self.known.states.remove(&id);
                changes.push(Change::CheckForgotten { host: step.spec.name.clone(), check: id });
            }
        }
        changes
    }
}
