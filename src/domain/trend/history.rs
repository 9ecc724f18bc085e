//! What one host did over a day: the curves of its checks, and what happened meanwhile.

use std::collections::BTreeMap;

use crate::domain::board::HostBoard;
use crate::domain::check::CheckId;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::transition::{Change, Transition};

/// A host over a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostHistory {
    /// Milliseconds since the epoch.
    pub from_ms: i64,
    pub to_ms: i64,
    /// Points of each check in the order of time: when, and the value.
    pub points: BTreeMap<CheckId, Vec<(i64, f64)>>,
    /// In the order of time.
    pub marks: Vec<Mark>,
}

/// Something that happened to a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub at_ms: i64,
    /// The check that changed; `None` for what concerns the whole host.
    pub check: Option<CheckId>,
    /// What the check, or the host's link, changed to.
    pub status: Option<Status>,
    pub what: SafeText,
}

impl Mark {
    /// What a transition means on a host's trend; `None` for what is no news there.
    pub fn of(transition: &Transition) -> Option<Self> {
        let at_ms = transition.at.utc_ms;
        match &transition.change {
            Change::CheckChanged { result, state, .. } if state.confirmed => Some(Self {
                at_ms,
                check: Some(result.id.clone()),
                status: Some(state.status),
                what: SafeText::new(&format!("{} {}", state.status, result.reason)),
            }),
            Change::LinkChanged { link, .. } => {
                let status = if link.is_up() { Status::Ok } else { Status::Unknown };
                let why = link.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                let what = SafeText::new(&format!("{}{why}", link.state));
                Some(Self { at_ms, check: None, status: Some(status), what })
            }
            Change::ShellOpened { by, .. } => {
                let what = SafeText::new(&format!("{by} opened a shell here"));
                Some(Self { at_ms, check: None, status: None, what })
            }
            Change::CheckChanged { .. }
            | Change::EngineStarted { .. }
            | Change::EngineStopped { .. }
            | Change::FleetChanged { .. }
            | Change::ConfigRejected { .. }
            | Change::CheckForgotten { .. }
            | Change::ProbeStuck { .. }
            | Change::ProbeFreed { .. } => None,
        }
    }
}

impl HostHistory {
    /// What the board itself still knows: its trends, over their own window.
    pub fn of_board(host: &HostBoard, now_ms: i64) -> Self {
        let window_ms = i64::try_from(host.trend_window().as_millis()).unwrap_or(i64::MAX);
        let from_ms = now_ms.saturating_sub(window_ms);
        let known = |(id, trend): (&CheckId, &super::Trend)| {
            let points = trend.points().into_iter().map(|point| (point.utc_ms as i64, point.value));
            (id.clone(), points.filter(|(at_ms, _)| from_ms <= *at_ms).collect())
        };
        let opened = host.checks.iter().filter_map(|(id, cell)| {
            let episode = cell.episode.as_deref()?;
            let what = cell.result.last().reason.clone();
            Some(Mark { at_ms: episode.opened.utc_ms, check: Some(id.clone()), status: Some(episode.worst), what })
        });
        let mut marks: Vec<Mark> = opened.filter(|mark| from_ms <= mark.at_ms).collect();
        marks.sort_by_key(|mark| mark.at_ms);
        Self { from_ms, to_ms: now_ms, points: host.trends.iter().map(known).collect(), marks }
    }

    /// A check's points in runs, cut where more than `gap_ms` lies between two: what was not seen is not drawn.
    pub fn runs(&self, check: &CheckId, gap_ms: i64) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last_ms = None;
        for (at_ms, value) in self.points.get(check).into_iter().flatten() {
            let point = (*at_ms as f64, *value);
            match (runs.last_mut(), last_ms) {
                (Some(run), Some(last)) if at_ms - last <= gap_ms => run.push(point),
                (Some(_) | None, Some(_) | None) => runs.push(vec![point]),
            }
            last_ms = Some(*at_ms);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::CheckKind;

    #[test]
    fn a_gap_cuts_the_curve() {
        let id = CheckId::of(CheckKind::HostLoad);
        let points = BTreeMap::from([(id.clone(), vec![(0, 1.0), (60, 2.0), (600, 3.0)])]);
        let history = HostHistory { points, ..HostHistory::default() };
        assert_eq!(history.runs(&id, 120), [vec![(0.0, 1.0), (60.0, 2.0)], vec![(600.0, 3.0)]]);
    }
}
