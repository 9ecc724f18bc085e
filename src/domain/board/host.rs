//! One host's part of the board.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckKind, CheckResult, Pane};
use crate::domain::fleet::{GroupName, HostName, ProtectionColour};
use crate::domain::incident::episode::Episode;
use crate::domain::observed::{Freshness, Observed, Quality};
use crate::domain::probe::script::PollCost;
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::{Age, Moment};
use crate::domain::transition::{Link, LinkState, Observation, Seen};
use crate::domain::trend::Trend;

/// A summary is made afresh after this long in any case: a clock may have been set.
const SUMMARY_HOLDS_FOR: Duration = Duration::from_secs(5);

/// One host's part of the board.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostBoard {
    pub groups: Vec<GroupName>,
    pub own: bool,
    #[serde(default)]
    pub colour: Option<ProtectionColour>,
    #[serde(default)]
    pub parent: Option<HostName>,
    pub(super) trend_window_ms: u64,
    pub links: BTreeMap<Lane, (Link, Option<Moment>)>,
    /// Boxed: a node of the map would hold room for eleven of them, used or not.
    pub checks: BTreeMap<CheckId, Box<CheckCell>>,
    #[serde(skip)]
    pub probes: BTreeMap<ProbeId, ProbeCell>,
    /// What the newest poll cost the host.
    #[serde(skip)]
    pub cost: Option<PollCost>,
    #[serde(skip)]
    pub trends: BTreeMap<CheckId, Trend>,
}

/// What orders and counts need of a host; it holds until something of the host changes, or `until` comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostSummary {
    pub status: Status,
    /// When the first thing of the host is full, milliseconds since the epoch.
    pub full_at_ms: Option<i64>,
    pub has_answered: bool,
    /// Whether a check is confirmed CRITICAL.
    pub is_critical: bool,
    pub until: Moment,
}

/// One check of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckCell {
    /// The probe whose readings it rests on.
    pub probe: ProbeId,
    pub result: Observed<Arc<CheckResult>>,
    pub state: CheckState,
    /// Boxed, as most checks never had one.
    pub episode: Option<Box<Episode>>,
}

/// What is known of one probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeCell {
    pub reading: Option<Observed<Arc<Reading>>>,
    /// The attempts since the last reading failed.
    pub failing: Option<Box<Failing>>,
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
    /// How long its episode has been open, where one is.
    pub open_for: Option<Age>,
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

impl HostBoard {
    pub(super) fn apply_observation(&mut self, observation: &Observation, at: Moment) {
        let fresh_for = Duration::from_millis(observation.fresh_for_ms);
        let cell = self.probes.entry(observation.probe.clone()).or_default();
        match &observation.seen {
            Seen::Failed { why } => {
                let since = cell.failing.as_ref().map_or(at, |failing| failing.since);
                cell.failing = Some(Box::new(Failing { since, last: at, why: why.clone() }));
            }
            Seen::Reading { reading, results } => {
                cell.failing = None;
                cell.stuck_since = None;
                cell.reading = Some(Observed::new(reading.clone(), at, fresh_for));
                for result in results {
                    self.refresh(result, at, fresh_for);
                }
            }
        }
    }

    fn refresh(&mut self, result: &Arc<CheckResult>, at: Moment, fresh_for: Duration) {
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

    /// Adds a point to a check's trend, where it has one.
    pub fn remember(&mut self, id: &CheckId, utc_ms: i64, value: f64) {
        if !id.kind.has_trend() {
            return;
        }
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
            episode: cell.episode.as_deref(),
            open_for: cell
                .episode
                .as_deref()
                .filter(|episode| episode.is_open())
                .map(|episode| episode.opened.age_at(now)),
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
        self.status_of(self.views(now).map(|view| view.rank()))
    }

    /// The same of the ranks of all its checks, for those who have looked at these already.
    pub fn status_of(&self, ranks: impl Iterator<Item = Status>) -> Status {
        ranks.chain(self.status_by_link()).max().unwrap_or(Status::Unknown)
    }

    /// The host in short. Ages alone change it at `until`, when the next value goes stale.
    pub fn summary(&self, now: Moment) -> HostSummary {
        let full_at = self.checks.values().filter_map(|cell| cell.result.last().full_at).min();
        let goes_stale_in = self.checks.values().filter_map(|cell| cell.result.fresh_for_another(now)).min();
        HostSummary {
            status: self.status(now),
            full_at_ms: full_at.map(|at| at.timestamp_millis()),
            has_answered: self.has_answered(),
            is_critical: self.checks.values().any(|cell| cell.state.confirmed && cell.state.status == Status::Critical),
            until: now.plus(goes_stale_in.unwrap_or(SUMMARY_HOLDS_FOR).min(SUMMARY_HOLDS_FOR)),
        }
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
