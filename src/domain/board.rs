//! The board: the pure fold of transitions and batches that every screen, `check` and the store's checkpoints share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::state::CheckState;
use super::check::{CheckId, CheckKind, CheckResult, Pane};
use super::fleet::{GroupName, HostName};
use super::incident::episode::{self, Episode};
use super::observed::{Freshness, Observed, Quality};
use super::probe::script::PollCost;
use super::probe::{Lane, ProbeId, Reading};
use super::status::{Status, StatusCounts};
use super::text::SafeText;
use super::time::{Age, Moment};
use super::transition::{Batch, Change, HostEntry, Input, Link, LinkState, Observation, Seen, Transition};
use super::trend::Trend;

/// The state of the whole fleet as one writer told it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Board {
    pub hosts: BTreeMap<HostName, HostBoard>,
    pub groups: Vec<GroupName>,
    /// Why the newest configuration file is not in force.
    pub config_errors: Vec<SafeText>,
}

/// One host's part of the board.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostBoard {
    pub groups: Vec<GroupName>,
    pub own: bool,
    trend_window_ms: u64,
    pub links: BTreeMap<Lane, (Link, Option<Moment>)>,
    pub checks: BTreeMap<CheckId, CheckCell>,
    #[serde(skip)]
    pub probes: BTreeMap<ProbeId, ProbeCell>,
    /// What the newest poll cost the host.
    #[serde(skip)]
    pub cost: Option<PollCost>,
    #[serde(skip)]
    pub trends: BTreeMap<CheckId, Trend>,
}

/// One check of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckCell {
    /// The probe whose readings it rests on.
    pub probe: ProbeId,
    pub result: Observed<CheckResult>,
    pub state: CheckState,
    pub episode: Option<Episode>,
}

/// What is known of one probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeCell {
    pub reading: Option<Observed<Arc<Reading>>>,
    /// The attempts since the last reading failed.
    pub failing: Option<Failing>,
    pub stuck_since: Option<Moment>,
}

#[derive(Clone, Debug)]
pub struct Failing {
    pub since: Moment,
    pub last: Moment,
    pub why: SafeText,
}

/// A check as it stands at a moment: the only form in which screens and JSON see one.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckView<'a> {
    pub id: &'a CheckId,
    /// [`Status::Unknown`] when stale.
    pub status: Status,
    /// What the last reading gave.
    pub last_status: Status,
    pub confirmed: bool,
    pub quality: Quality,
    pub result: &'a CheckResult,
    pub at: Moment,
    pub age: Age,
    pub episode: Option<&'a Episode>,
    /// The newest attempts failed; the value is the last one that came.
    pub retrying: Option<&'a SafeText>,
    /// The probe passed its deadline and still runs on the host.
    pub stuck_since: Option<Moment>,
}

impl CheckView<'_> {
    /// The worse of the status now and the last one, so that a critical check that goes silent never sinks.
    pub fn rank(&self) -> Status {
        self.status.max(self.last_status)
    }
}

impl Board {
    /// Folds one input in. Inputs of hosts that are no longer watched change nothing.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::Transition(transition) => self.apply_transition(transition),
            Input::Batch(batch) => self.apply_batch(batch),
        }
    }

    pub fn apply_transition(&mut self, transition: &Transition) {
        let at = transition.at;
        match &transition.change {
            Change::EngineStarted { .. } | Change::EngineStopped { .. } => {}
            Change::FleetChanged { hosts, groups, digest: _ } => {
                self.config_errors.clear();
                self.groups.clone_from(groups);
                self.set_hosts(hosts);
            }
            Change::ConfigRejected { errors } => self.config_errors.clone_from(errors),
            Change::LinkChanged { host, lane, link } => {
                if let Some(board) = self.hosts.get_mut(host) {
                    board.links.insert(*lane, (link.clone(), Some(at)));
                }
            }
            Change::CheckChanged { host, probe, result, state, fresh_for_ms } => {
                if let Some(board) = self.hosts.get_mut(host) {
                    let before = board.checks.remove(&result.id);
                    let episode = episode::next(before.and_then(|cell| cell.episode), state, at);
                    let observed = Observed::new(result.clone(), at, Duration::from_millis(*fresh_for_ms));
                    let cell = CheckCell { probe: probe.clone(), result: observed, state: *state, episode };
                    board.checks.insert(result.id.clone(), cell);
                }
            }
            Change::CheckForgotten { host, check } => {
                if let Some(board) = self.hosts.get_mut(host) {
                    board.checks.remove(check);
                    board.trends.remove(check);
                }
            }
            Change::ProbeStuck { host, probe, since } => {
                if let Some(board) = self.hosts.get_mut(host) {
                    board.probes.entry(probe.clone()).or_default().stuck_since = Some(*since);
                }
            }
            Change::ProbeFreed { host, probe } => {
                if let Some(cell) = self.hosts.get_mut(host).and_then(|board| board.probes.get_mut(probe)) {
                    cell.stuck_since = None;
                }
            }
        }
    }

    fn set_hosts(&mut self, hosts: &[HostEntry]) {
        let mut before = std::mem::take(&mut self.hosts);
        for entry in hosts {
            let mut board = before.remove(&entry.name).unwrap_or_default();
            board.groups.clone_from(&entry.groups);
            board.own = entry.own;
            if board.trend_window_ms != entry.trend_window_ms {
                board.trend_window_ms = entry.trend_window_ms;
                board.trends.clear();
            }
            self.hosts.insert(entry.name.clone(), board);
        }
    }

    fn apply_batch(&mut self, batch: &Batch) {
        let Some(board) = self.hosts.get_mut(&batch.host) else { return };
        board.cost = batch.cost.or(board.cost);
        for observation in &batch.observations {
            board.apply_observation(observation, batch.at);
        }
    }

    /// Hosts by their own status; a host with a stale critical check counts as critical.
    pub fn counts(&self, now: Moment) -> StatusCounts {
        self.hosts.values().map(|host| host.status(now)).collect()
    }

    /// How many hosts have told anything yet.
    pub fn answered(&self) -> usize {
        self.hosts.values().filter(|host| host.has_answered()).count()
    }
}

impl HostBoard {
    fn apply_observation(&mut self, observation: &Observation, at: Moment) {
        let fresh_for = Duration::from_millis(observation.fresh_for_ms);
        let cell = self.probes.entry(observation.probe.clone()).or_default();
        match &observation.seen {
            Seen::Failed { why } => {
                let since = cell.failing.as_ref().map_or(at, |failing| failing.since);
                cell.failing = Some(Failing { since, last: at, why: why.clone() });
            }
            Seen::Reading { reading, results } => {
                cell.failing = None;
                cell.reading = Some(Observed::new(reading.clone(), at, fresh_for));
                for result in results {
                    self.refresh(result, at, fresh_for);
                }
            }
        }
    }

    fn refresh(&mut self, result: &CheckResult, at: Moment, fresh_for: Duration) {
        if let Some(cell) = self.checks.get_mut(&result.id) {
            cell.result = Observed::new(result.clone(), at, fresh_for);
        }
        if let Some(value) = result.value {
            self.remember(&result.id, at.utc_ms, value);
        }
    }

    /// How far back a trend of this host reaches.
    pub fn trend_window(&self) -> Duration {
        Duration::from_millis(self.trend_window_ms.max(1))
    }

    /// Adds a point to a check's trend.
    pub fn remember(&mut self, id: &CheckId, utc_ms: i64, value: f64) {
        let window = self.trend_window();
        match self.trends.get_mut(id) {
            Some(trend) => trend.push(utc_ms, value),
            None => self.trends.entry(id.clone()).or_insert_with(|| Trend::new(window)).push(utc_ms, value),
        }
    }

    /// Every check as it stands at `now`.
    pub fn views(&self, now: Moment) -> impl Iterator<Item = CheckView<'_>> {
        self.checks.iter().map(move |(id, cell)| self.view(id, cell, now))
    }

    fn view<'a>(&'a self, id: &'a CheckId, cell: &'a CheckCell, now: Moment) -> CheckView<'a> {
        let (result, freshness, age) = cell.result.seen(now);
        let (status, quality) = match freshness {
            Freshness::Fresh => (result.status, result.quality),
            Freshness::Stale => (Status::Unknown, Quality::Stale),
        };
        let probe = self.probes.get(&cell.probe);
        let failing = probe.and_then(|probe| probe.failing.as_ref());
        CheckView {
            id,
            status,
            last_status: result.status,
            confirmed: cell.state.confirmed,
            quality,
            result,
            at: cell.result.at(),
            age,
            episode: cell.episode.as_ref(),
            retrying: failing.map(|failing| &failing.why).or_else(|| self.link_trouble(cell.probe.lane())),
            stuck_since: probe.and_then(|probe| probe.stuck_since),
        }
    }

    fn link_trouble(&self, lane: Lane) -> Option<&SafeText> {
        self.links
            .get(&lane)
            .filter(|(link, _)| link.state != LinkState::Connected)
            .and_then(|(link, _)| link.why.as_ref())
    }

    /// The fast lane's link, which decides the host's state; before the first attempt it is connecting.
    pub fn link(&self) -> (LinkState, Option<&SafeText>) {
        match self.links.get(&Lane::Fast) {
            Some((link, _)) => (link.state, link.why.as_ref()),
            None => (LinkState::Connecting, None),
        }
    }

    pub fn link_since(&self) -> Option<Moment> {
        self.links.get(&Lane::Fast).and_then(|(_, since)| *since)
    }

    /// Whether any probe has ever been read.
    pub fn has_answered(&self) -> bool {
        !self.checks.is_empty()
    }

    /// The host's rank: the worst of all checks, stale ones by the worse of unknown and their last status.
    pub fn status(&self, now: Moment) -> Status {
        self.views(now).map(|view| view.rank()).chain(self.status_by_link()).max().unwrap_or(Status::Unknown)
    }

    /// A host that can't be reached is at least unknown.
    fn status_by_link(&self) -> Option<Status> {
        match self.link().0 {
            LinkState::Connected => None,
            LinkState::Connecting if self.has_answered() => None,
            LinkState::Connecting
            | LinkState::Lost
            | LinkState::TimedOut
            | LinkState::Unreachable
            | LinkState::AuthFailed
            | LinkState::Untrusted
            | LinkState::Unsupported => Some(Status::Unknown),
        }
    }

    /// The worst status on one pane, `None` where nothing is watched there: a hole.
    pub fn pane_status(&self, pane: Pane, now: Moment) -> Option<Status> {
        self.views(now).filter(|view| view.id.pane() == pane).map(|view| view.rank()).max()
    }

    /// The checks of one kind.
    pub fn of_kind(&self, kind: CheckKind, now: Moment) -> impl Iterator<Item = CheckView<'_>> {
        self.views(now).filter(move |view| view.id.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::Unit;
    use crate::domain::time::at;

    fn host() -> HostName {
        HostName::try_from("web1".to_owned()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn watched() -> Board {
        let mut board = Board::default();
        let entry = HostEntry { name: host(), groups: vec![], own: false, trend_window_ms: 3_600_000 };
        let change = Change::FleetChanged { hosts: vec![entry], groups: vec![], digest: String::new() };
        board.apply_transition(&Transition::new(at(0), change));
        board.apply_transition(&Transition::new(
            at(0),
            Change::LinkChanged { host: host(), lane: Lane::Fast, link: Link::up() },
        ));
        board
    }

    fn load(status: Status) -> CheckResult {
        CheckResult::new(CheckId::of(CheckKind::HostLoad), status, "load", Unit::PerCpu).value(1.0)
    }

    fn changed(status: Status, second: i64) -> Transition {
        let state = CheckState { status, confirmed: true, attempt: 3, since: at(second) };
        Transition::new(
            at(second),
            Change::CheckChanged {
                host: host(),
                probe: ProbeId::Host,
                result: load(status),
                state,
                fresh_for_ms: 28_000,
            },
        )
    }

    #[test]
    fn a_host_that_never_answered_is_unknown_and_not_ok() {
        assert_eq!(watched().counts(at(1)), StatusCounts { unknown: 1, ..StatusCounts::default() });
    }

    #[test]
    fn an_ok_check_that_goes_silent_turns_unknown() {
        let mut board = watched();
        board.apply_transition(&changed(Status::Ok, 0));
        assert_eq!(board.hosts[&host()].status(at(28)), Status::Ok);
        assert_eq!(board.hosts[&host()].status(at(29)), Status::Unknown);
    }

    #[test]
    fn a_critical_check_that_goes_silent_is_unknown_but_does_not_sink() {
        let mut board = watched();
        board.apply_transition(&changed(Status::Critical, 0));
        let host = &board.hosts[&host()];
        let view = host.views(at(1_000)).next();
        let shown = view.map(|view| (view.status, view.last_status, view.quality, view.rank()));
        assert_eq!(shown, Some((Status::Unknown, Status::Critical, Quality::Stale, Status::Critical)));
        assert_eq!(host.status(at(1_000)), Status::Critical);
    }

    #[test]
    fn a_silent_host_keeps_its_episode_open() {
        let mut board = watched();
        board.apply_transition(&changed(Status::Critical, 0));
        let lost = Link::down(LinkState::Lost, "connection reset");
        board.apply_transition(&Transition::new(
            at(60),
            Change::LinkChanged { host: host(), lane: Lane::Fast, link: lost },
        ));
        let open = board.hosts[&host()].views(at(9_999)).any(|view| view.episode.is_some_and(Episode::is_open));
        assert!(open);
    }

    #[test]
    fn a_batch_refreshes_the_age_and_feeds_the_trend() {
        let mut board = watched();
        board.apply_transition(&changed(Status::Ok, 0));
        let seen = Seen::Reading {
            reading: Arc::new(Reading::Disk(crate::domain::probe::disk::DiskReading::default())),
            results: vec![load(Status::Ok)],
        };
        let observation = Observation { probe: ProbeId::Host, fresh_for_ms: 28_000, seen };
        board.apply(&Input::Batch(Batch {
            host: host(),
            at: at(100),
            observations: vec![Arc::new(observation)],
            cost: None,
        }));
        let host = &board.hosts[&host()];
        assert_eq!(host.status(at(120)), Status::Ok);
        assert_eq!(host.trends.len(), 1);
    }

    #[test]
    fn a_failed_attempt_keeps_the_value_and_says_since_when_it_fails() {
        let mut board = watched();
        for second in [10, 20] {
            let seen = Seen::Failed { why: "timed out".into() };
            let observation = Observation { probe: ProbeId::Host, fresh_for_ms: 28_000, seen };
            board.apply(&Input::Batch(Batch {
                host: host(),
                at: at(second),
                observations: vec![Arc::new(observation)],
                cost: None,
            }));
        }
        let failing = board.hosts[&host()].probes[&ProbeId::Host].failing.clone();
        assert_eq!(failing.map(|failing| (failing.since, failing.last)), Some((at(10), at(20))));
    }

    #[test]
    fn a_host_that_the_configuration_drops_leaves_the_board() {
        let mut board = watched();
        let change = Change::FleetChanged { hosts: vec![], groups: vec![], digest: String::new() };
        board.apply_transition(&Transition::new(at(1), change));
        board.apply_transition(&changed(Status::Critical, 2));
        assert!(board.hosts.is_empty());
    }
}
