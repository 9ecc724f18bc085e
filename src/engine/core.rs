//! The core: reports become results, transitions and batches, and those the board.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::feed::Publisher;
use super::lane::{Polled, Report};
use super::plan;
use crate::adapters::clock;
use crate::config::{Config, ConfigError};
use crate::domain::board::{Board, HostBoard};
use crate::domain::check::evaluate::{RoundTrip, evaluate};
use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckResult, Context, Memory, Pane};
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::engine::EngineReading;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::domain::transition::{Batch, Change, HostEntry, Input, Observation, Seen, Transition};
use crate::domain::trend::forecast::{Forecast, POINTS_MIN, forecast};

/// The board with what the engine remembers beside it.
pub struct Core {
    specs: HashMap<HostName, Arc<HostSpec>>,
    memories: HashMap<HostName, HostMemory>,
    board: Board,
    publisher: Publisher,
    /// Inputs that the store has not been given yet.
    outbox: Vec<Arc<Vec<Input>>>,
}

/// What the checks of one host remember between readings.
#[derive(Default)]
struct HostMemory {
    states: HashMap<CheckId, CheckState>,
    forecasts: HashMap<CheckId, Forecast>,
    /// Which checks each probe's last reading gave.
    given: BTreeMap<ProbeId, BTreeSet<CheckId>>,
    boot_id: Option<SafeText>,
}

impl Memory for HostMemory {
    fn previous_status(&self, id: &CheckId) -> Option<Status> {
        self.states.get(id).map(|state| state.status)
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
        let seen = Seen::Reading { reading: Reading::Engine(reading), results: Vec::new() };
        let observations = vec![Observation { probe: ProbeId::Engine, fresh_for_ms, seen }];
        self.publish(vec![Input::Batch(Batch { host: spec.name.clone(), at: clock::now(), observations })]);
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
    }

    /// Keeps the configuration in force and says why a newer one is not.
    pub fn reject_config(&mut self, error: &ConfigError) {
        let errors = error.0.iter().map(|problem| SafeText::new(&problem.to_string())).collect();
        self.publish(vec![Input::Transition(Transition::new(clock::now(), Change::ConfigRejected { errors }))]);
    }

    pub fn absorb(&mut self, report: Report) {
        match report {
            Report::Link { host, lane, link } => {
                let change = Change::LinkChanged { host, lane, link };
                self.publish(vec![Input::Transition(Transition::new(clock::now(), change))]);
            }
            Report::Polled(polled) => self.absorb_poll(polled),
            Report::Ended => {}
        }
    }

    fn absorb_poll(&mut self, polled: Polled) {
        let Some(spec) = self.specs.get(&polled.host).cloned() else { return };
        let memory = self.memories.entry(polled.host.clone()).or_default();
        let round_trip = RoundTrip { sent_ms: polled.sent.utc_ms, received_ms: polled.received.utc_ms };
        let mut inputs = Vec::new();
        let mut observations = Vec::new();
        for (probe, outcome) in polled.outcomes {
            let fresh_for_ms = u64::try_from(plan::fresh_for(&probe, &spec.settings).as_millis()).unwrap_or(u64::MAX);
            let seen = match outcome {
                Err(why) => Seen::Failed { why },
                Ok(reading) => {
                    let context = Context { settings: &spec.settings, now: polled.received, memory };
                    let results = evaluate(&reading, round_trip, memory.boot_id.as_ref(), &context);
                    let changes = memory.take(&probe, &reading, &results, &spec, polled.received, fresh_for_ms);
                    inputs.extend(
                        changes.into_iter().map(|change| Input::Transition(Transition::new(polled.received, change))),
                    );
                    Seen::Reading { reading, results }
                }
            };
            observations.push(Observation { probe, fresh_for_ms, seen });
        }
        inputs.push(Input::Batch(Batch { host: polled.host.clone(), at: polled.received, observations }));
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
            memory.forecasts.insert(id.clone(), forecast(trend));
        }
    }
}

impl HostMemory {
    /// What a stored board still tells of a host.
    fn of(host: &HostBoard) -> Self {
        let boot_id = host.probes.get(&ProbeId::Host).and_then(|cell| match cell.reading.as_ref()?.last() {
            Reading::Host(reading) => Some(reading.boot_id.clone()),
            Reading::Disk(_) | Reading::Engine(_) => None,
        });
        Self {
            states: host.checks.iter().map(|(id, cell)| (id.clone(), cell.state)).collect(),
            forecasts: host.trends.iter().map(|(id, trend)| (id.clone(), forecast(trend))).collect(),
            given: BTreeMap::new(),
            boot_id,
        }
    }

    /// Steps the state of every check that a reading gave, and says what history must remember of it.
    fn take(
        &mut self,
        probe: &ProbeId,
        reading: &Reading,
        results: &[CheckResult],
        spec: &HostSpec,
        at: Moment,
        fresh_for_ms: u64,
    ) -> Vec<Change> {
        if let Reading::Host(host) = reading {
            self.boot_id = Some(host.boot_id.clone());
        }
        let attempts = spec.settings.attempts;
        let mut changes = Vec::new();
        for result in results {
            let before = self.states.get(&result.id).copied();
            let state = match before {
                None => CheckState::first(result.status, attempts, at),
                Some(before) => before.next(result.status, attempts, at),
            };
            self.states.insert(result.id.clone(), state);
            if before.is_none_or(|before| state.differs_from(&before)) {
                changes.push(Change::CheckChanged {
                    host: spec.name.clone(),
                    probe: probe.clone(),
                    result: result.clone(),
                    state,
                    fresh_for_ms,
                });
            }
        }
        let ids: BTreeSet<CheckId> = results.iter().map(|result| result.id.clone()).collect();
        self.given.insert(probe.clone(), ids);
        changes
    }
}
