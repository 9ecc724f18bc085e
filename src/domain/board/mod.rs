//! The board: the pure fold of transitions and batches that every screen, `check` and the store's checkpoints share.

mod host;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::host::{CheckCell, CheckView, Failing, HostBoard, HostSummary, ProbeCell};
use super::fleet::{GroupName, HostName};
use super::incident::episode;
use super::observed::Observed;
use super::text::SafeText;
use super::transition::{Batch, Change, HostEntry, Input, LinkState, Transition};

/// Hosts above one another.
const PARENTS_MAX: usize = 16;

/// The state of the whole fleet as one writer told it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Board {
    pub hosts: BTreeMap<HostName, HostBoard>,
    pub groups: Vec<GroupName>,
    /// Why the newest configuration file is not in force.
    pub config_errors: Vec<SafeText>,
}

impl Board {
    /// Folds one input in. Inputs of hosts that are no longer watched change nothing.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::Transition(transition) => self.apply_transition(transition),
            Input::Batch(batch) => self.apply_batch(batch),
        }
    }

    /// The host that keeps an unreachable one from us: the furthest of those above it that can't be reached either.
    pub fn behind(&self, name: &HostName) -> Option<&HostName> {
        let is_down = |host: &HostBoard| host.link_since().is_some() && host.link().0 != LinkState::Connected;
        let mut host = self.hosts.get(name).filter(|host| is_down(host))?;
        let mut behind = None;
        // The configuration knows no circles; a board of another one can't send us round for ever either.
        for _ in 0..PARENTS_MAX {
            let Some((parent, above)) = host.parent.as_ref().and_then(|parent| self.hosts.get_key_value(parent)) else {
                break;
            };
            if !is_down(above) {
                break;
            }
            (behind, host) = (Some(parent), above);
        }
        behind
    }

    /// How many hosts can't be reached because this one can't.
    pub fn hidden_behind(&self, name: &HostName) -> usize {
        self.hosts.keys().filter(|host| self.behind(host) == Some(name)).count()
    }

    pub fn apply_transition(&mut self, transition: &Transition) {
        let at = transition.at;
        match &transition.change {
            Change::EngineStarted { .. } | Change::EngineStopped { .. } | Change::ShellOpened { .. } => {}
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
                    let episode =
                        episode::next(before.and_then(|cell| cell.episode).map(|episode| *episode), state, at)
                            .map(Box::new);
                    let observed = Observed::new(result.clone(), at, Duration::from_millis(*fresh_for_ms));
                    let cell = CheckCell { probe: probe.clone(), result: observed, state: *state, episode };
                    board.checks.insert(result.id.clone(), Box::new(cell));
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
            board.colour = entry.colour;
            board.parent.clone_from(&entry.parent);
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
}

#[cfg(test)]
mod tests;
