//! The core: reports become results, transitions and batches, and those the board.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::feed::Publisher;
use super::lane::{Polled, Report};
use super::plan;
use crate::config::{Config, ConfigError};
use crate::domain::board::{Board, CheckCell, HostBoard};
use crate::domain::check::evaluate::{Lately, RoundTrip, evaluate, placeholders};
use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckKind, CheckResult, Context, Memory, Pane, Unit};
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::disk::DiskReading;
use crate::domain::probe::engine::EngineReading;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::proof::deeds::ActionTime;
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::listed;
use crate::domain::proof::marks::marks;
use crate::domain::proof::run::JobRun;
use crate::domain::settings::{HOUR, JobSpec};
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

/// What the engine remembers of one host beside its board.
#[derive(Default)]
struct HostMemory {
    lately: Lately,
    forecasts: HashMap<CheckId, Heading>,
}

/// Where a trend was heading when it had its newest bucket: the fit is too dear for every poll.
struct Heading {
    newest_bucket: Option<u32>,
    forecast: Forecast,
}

/// What the checks themselves ask for.
struct Known<'a> {
    board: Option<&'a HostBoard>,
    forecasts: &'a HashMap<CheckId, Heading>,
}

impl Memory for Known<'_> {
    fn previous_status(&self, id: &CheckId) -> Option<Status> {
        let cell = self.board?.checks.get(id)?;
        Some(cell.result.last().by_limit.unwrap_or(cell.state.status))
    }

    fn forecast(&self, id: &CheckId) -> Forecast {
        let not_enough = Forecast::NotEnough { have: 0, need: POINTS_MIN };
        self.forecasts.get(id).map_or(not_enough, |heading| heading.forecast)
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
    pub fn tell_own_state(&mut self, reading: EngineReading, at: Moment) {
        let own = self.specs.values().find(|spec| spec.reach == Reach::Local);
        let Some(spec) = own.cloned() else { return };
        let fresh_for_ms =
            u64::try_from(plan::fresh_for(&ProbeId::Engine, &spec.settings).as_millis()).unwrap_or(u64::MAX);
        let seen = Seen::Reading { reading: Arc::new(Reading::Engine(reading)), results: Vec::new() };
        let observations = vec![Arc::new(Observation { probe: ProbeId::Engine, fresh_for_ms, seen })];
        self.publish(vec![Input::Batch(Batch { host: spec.name.clone(), at, observations, cost: None })]);
    }

    /// Runs of declared jobs of which something new is known since the last call.
    pub fn take_evidence(&mut self) -> Vec<(HostName, String, JobRun)> {
        let of_host = |(host, memory): (&HostName, &mut HostMemory)| {
            let news = memory.lately.runs.take_news();
            news.into_iter().map(|(job, run)| (host.clone(), job, run)).collect::<Vec<_>>()
        };
        self.memories.iter_mut().flat_map(of_host).collect()
    }

    /// When guarded actions ran on a host.
    pub fn know_actions(&mut self, host: &HostName, times: &[ActionTime]) {
        if let Some(memory) = self.memories.get_mut(host) {
            memory.lately.deeds.actions = times.to_vec();
        }
    }

    /// Goes on from the runs that an earlier process kept.
    pub fn restore_runs(&mut self, host: &HostName, job: &str, runs: Vec<JobRun>) {
        self.memories.entry(host.clone()).or_default().lately.runs.restore(job, runs);
    }

    /// Notes that something happened to the engine itself.
    pub fn note(&mut self, change: Change, at: Moment) {
        self.publish(vec![Input::Transition(Transition::new(at, change))]);
    }

    pub fn board(&self) -> &Board {
        &self.board
    }

    pub fn into_board(self) -> Board {
        self.board
    }

    /// Takes a configuration into force.
    pub fn watch(&mut self, config: &Config, at: Moment) {
        self.specs = config.fleet.hosts.iter().map(|spec| (spec.name.clone(), Arc::new(spec.clone()))).collect();
        // A host that comes back later begins anew, as its board does.
        self.memories.retain(|name, _| self.specs.contains_key(name));
        let entry = |spec: &HostSpec| HostEntry {
            name: spec.name.clone(),
            groups: spec.groups.clone(),
            own: spec.reach == Reach::Local,
            trend_window_ms: u64::try_from(spec.settings.forecast.window.as_millis()).unwrap_or(u64::MAX),
            colour: spec.settings.colour,
            parent: spec.parent.clone(),
        };
        let change = Change::FleetChanged {
            hosts: config.fleet.hosts.iter().map(entry).collect(),
            groups: config.fleet.groups.clone(),
            digest: config.digest.clone(),
        };
        self.note(change, at);
        self.forget_unasked(at);
    }

    /// Checks of probes that no host is asked any more, as its configuration stands now.
    fn forget_unasked(&mut self, at: Moment) {
        let mut inputs = Vec::new();
        for (name, spec) in &self.specs {
            let Some(board) = self.board.hosts.get(name) else { continue };
            let asked = plan::probes(&spec.settings);
            // Mounts are told by the disk probe's next reading.
            let is_told = |probe: &ProbeId| match probe {
                ProbeId::SlowMount(_) => true,
                ProbeId::Restores => !spec.settings.backups.is_empty(),
                _ => false,
            };
            let is_asked = |probe: &ProbeId| asked.contains(probe) || is_told(probe);
            for (check, _) in board.checks.iter().filter(|(_, cell)| !is_asked(&cell.probe)) {
                let change = Change::CheckForgotten { host: name.clone(), check: check.clone() };
                inputs.push(Input::Transition(Transition::new(at, change)));
            }
        }
        if !inputs.is_empty() {
            self.publish(inputs);
        }
    }

    /// Keeps the configuration in force and says why a newer one is not.
    pub fn reject_config(&mut self, error: &ConfigError, at: Moment) {
        let errors = error.0.iter().map(|problem| SafeText::new(&problem.to_string())).collect();
        self.note(Change::ConfigRejected { errors }, at);
    }

    /// Takes a report in; `at` dates what has no time of its own.
    pub fn absorb(&mut self, report: Report, at: Moment) {
        match report {
            Report::Link { host, lane, link } => self.note(Change::LinkChanged { host, lane, link }, at),
            Report::Stuck { host, probe, since } => self.note(Change::ProbeStuck { host, probe, since }, at),
            Report::Freed { host, probe } => self.note(Change::ProbeFreed { host, probe }, at),
            Report::Polled(polled) => self.absorb_poll(polled),
            Report::Ended => {}
        }
    }

    fn absorb_poll(&mut self, polled: Polled) {
        let Some(spec) = self.specs.get(&polled.host).cloned() else { return };
        let memory = self.memories.entry(polled.host.clone()).or_default();
        let board = self.board.hosts.get(&polled.host);
        let round_trip = RoundTrip { sent_ms: polled.sent.utc_ms, received_ms: polled.received.utc_ms };
        let at = polled.received;
        let mut changes = Vec::new();
        let mut observations = Vec::new();
        // What accounting and a job's own log tell proves what cron's log tells of the same moment.
        let mut outcomes = polled.outcomes;
        outcomes.sort_by_key(|(probe, _)| (*probe != ProbeId::Accounting, *probe == ProbeId::Cron));
        for (probe, outcome) in outcomes {
            let fresh_for_ms = u64::try_from(plan::fresh_for(&probe, &spec.settings).as_millis()).unwrap_or(u64::MAX);
            let step = Step { probe: &probe, spec: &spec, board, at, fresh_for_ms };
            let seen = match outcome {
                Err(why) => {
                    let silent = placeholders(&probe, &spec.settings, &why).into_iter().map(Arc::new);
                    let silent: Vec<_> = silent.filter(|result| step.cell(&result.id).is_none()).collect();
                    changes.extend(step.take(&silent));
                    Seen::Failed { why }
                }
                Ok(mut reading) => {
                    let known = Known { board, forecasts: &memory.forecasts };
                    let context = Context { settings: &spec.settings, now: at, memory: &known };
                    let mut results = evaluate(&reading, round_trip, &mut memory.lately, &context);
                    if let Reading::Accounting(accounting) = &mut reading {
                        // Joined already; a board holds none of it.
                        (accounting.records, accounting.users) = (Vec::new(), BTreeMap::new());
                    }
                    if let Reading::Cron(cron) = &mut reading {
                        listed::tell(&mut memory.lately.runs, cron, &spec.settings.jobs, at.utc());
                    }
                    changes.extend(step.settle_vanished(&reading, memory.lately.disk.as_deref(), &mut results));
                    let results: Vec<_> = results.into_iter().map(Arc::new).collect();
                    changes.extend(step.take(&results));
                    Seen::Reading { reading: Arc::new(reading), results }
                }
            };
            observations.push(Arc::new(Observation { probe, fresh_for_ms, seen }));
        }
        tell_runs(&mut observations, &memory.lately.runs, &spec.settings.jobs, at);
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
        if let (Some(board), Some(memory)) = (self.board.hosts.get(host), self.memories.get_mut(host)) {
            memory.refresh_forecasts(board);
        }
    }
}

/// The runs as they stand once every probe of the poll was taken in: cron's log may have told of another.
fn tell_runs(observations: &mut [Arc<Observation>], runs: &RunHistory, jobs: &[JobSpec], at: Moment) {
    for observation in observations.iter_mut().filter_map(Arc::get_mut) {
        if let Seen::Reading { reading, .. } = &mut observation.seen
            && let Some(Reading::Accounting(accounting)) = Arc::get_mut(reading)
        {
            accounting.runs = marks(runs, jobs, at.utc());
        }
    }
}

impl HostMemory {
    /// What a stored board still tells of a host.
    fn of(host: &HostBoard) -> Self {
        let mut memory = Self::default();
        memory.refresh_forecasts(host);
        memory.restore_findings(host);
        let last = |probe| Some(host.probes.get(&probe)?.reading.as_ref()?.last().as_ref());
        if let Some(Reading::Host(reading)) = last(ProbeId::Host) {
            memory.lately.boot_id = Some(reading.boot_id.clone());
        }
        let cron = host.probes.get(&ProbeId::Cron).and_then(|cell| cell.reading.as_ref());
        if let Some((Reading::Cron(reading), at)) = cron.map(|seen| (seen.last().as_ref(), seen.at())) {
            memory.lately.jobs.begin_with(reading, at.utc_ms);
            memory.lately.runs.listed.begin_with(reading);
            memory.lately.runs.zone = reading.zone.parse().unwrap_or(Tz::UTC);
        }
        let files = host.probes.get(&ProbeId::Integrity).and_then(|cell| cell.reading.as_ref());
        if let Some((Reading::Integrity(reading), at)) = files.map(|seen| (seen.last().as_ref(), seen.at())) {
            memory.lately.integrity.begin_with(reading, at.utc_ms);
        }
        if let Some(Reading::Disk(reading)) = last(ProbeId::Disk) {
            memory.lately.disk = Some(reading.clone());
        }
        memory
    }

    /// What was found before, and is news still: a restart makes nothing of it good.
    fn restore_findings(&mut self, host: &HostBoard) {
        for (id, cell) in &host.checks {
            let (result, since_ms) = (cell.result.last(), cell.state.since.utc_ms);
            match (id.kind, result.status, &id.subject) {
                (CheckKind::LogShrunk, Status::Warning | Status::Critical, Some(log)) => {
                    self.lately.logs.restore(log, since_ms, result.reason.as_str());
                }
                (CheckKind::CronChanged, Status::Warning, _) => {
                    self.lately.jobs.restore(since_ms, result.reason.as_str());
                }
                (CheckKind::HostIntegrity, Status::Critical, Some(file)) => {
                    self.lately.integrity.restore(file, since_ms, result.reason.as_str());
                }
                _ => {}
            }
        }
    }

    fn refresh_forecasts(&mut self, board: &HostBoard) {
        let is_trend = |id: &CheckId| board.trends.contains_key(id);
        if board.trends.len() < self.forecasts.len() {
            self.forecasts.retain(|id, _| is_trend(id));
        }
        for (id, trend) in board.trends.iter().filter(|(id, _)| id.pane() == Pane::Disk) {
            let newest_bucket = trend.newest_bucket();
            if self.forecasts.get(id).is_none_or(|heading| heading.newest_bucket != newest_bucket) {
                self.forecasts.insert(id.clone(), Heading { newest_bucket, forecast: forecast(trend) });
            }
        }
    }
}

/// One reading of one probe being taken in, with the board as it was before the poll.
struct Step<'a> {
    probe: &'a ProbeId,
    spec: &'a HostSpec,
    board: Option<&'a HostBoard>,
    at: Moment,
    fresh_for_ms: u64,
}

impl Step<'_> {
    fn cell(&self, id: &CheckId) -> Option<&CheckCell> {
        self.board?.checks.get(id).map(Box::as_ref)
    }

    /// Steps the state of every check that a reading gave, and says what history must remember of it.
    fn take(&self, results: &[Arc<CheckResult>]) -> Vec<Change> {
        let attempts = self.spec.settings.attempts;
        let mut changes = Vec::new();
        for result in results {
            let cell = self.cell(&result.id);
            let state = match cell {
                None => CheckState::first(result.status, attempts, self.at),
                Some(cell) => cell.state.next(result.status, attempts, self.at),
            };
            if cell.is_none_or(|cell| state.differs_from(&cell.state) || cell.probe != *self.probe) {
                changes.push(Change::CheckChanged {
                    host: self.spec.name.clone(),
                    probe: self.probe.clone(),
                    result: result.clone(),
                    state,
                    fresh_for_ms: self.fresh_for_ms,
                });
            }
        }
        changes
    }

    /// Whether a check is this probe's to tell of. A slow mount that is no longer there is asked no more: the disk probe
    /// tells of its end, as of any other's.
    fn tells_of(&self, cell: &CheckCell, reading: &Reading) -> bool {
        let is_gone = match (reading, &cell.probe) {
            (Reading::Disk(disk), ProbeId::SlowMount(mount)) => {
                disk.slow_mounts.iter().all(|seen| seen.mount != *mount)
            }
            _ => false,
        };
        cell.probe == *self.probe || is_gone
    }

    /// Checks whose subject this reading no longer names: a file system that vanished is told for a day, anything else,
    /// and a placeholder, is forgotten.
    fn settle_vanished(
        &self,
        reading: &Reading,
        disk: Option<&DiskReading>,
        results: &mut Vec<CheckResult>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, cell) in self.board.iter().flat_map(|board| &board.checks) {
            if !self.tells_of(cell, reading) || results.iter().any(|result| result.id == *id) {
                continue;
            }
            let is_news = cell.state.since.age_at(self.at).is_within(VANISHED_NEWS_FOR);
            let was_told = cell.state.status == Status::Unknown;
            // A mount that is still there was taken out of the watch by somebody: no news.
            let is_there =
                |disk: &DiskReading| disk.filesystems.iter().any(|fs| Some(&fs.mount) == id.subject.as_ref());
            let vanished = id.pane() == Pane::Disk && id.subject.is_some() && !disk.is_some_and(is_there);
            if vanished && (is_news || !was_told) {
                let reason = "no longer there: was it unmounted?";
                results.push(CheckResult::missing(id.clone(), reason, Unit::Percent));
            } else {
                changes.push(Change::CheckForgotten { host: self.spec.name.clone(), check: id.clone() });
            }
        }
        changes
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
