//! An episode: from the first confirmed raised status of a check to the good reading that ends it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::check::state::CheckState;
use crate::domain::settings::MINUTE;
use crate::domain::status::Status;
use crate::domain::time::Moment;

/// Earlier openings that are remembered of a check.
const EARLIER_MAX: usize = 8;
/// A check that is raised again this soon after it closed continues the same episode, and counts as a flap.
pub const REOPENED_WITHIN: Duration = Duration::from_secs(15 * MINUTE.as_secs());

/// One episode of trouble with one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub opened: Moment,
    pub worst: Status,
    /// How often it closed and opened again.
    pub flaps: u32,
    /// Set by a good reading, and by nothing else.
    pub closed: Option<Moment>,
    /// When the same check was in trouble before, oldest first: milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<i64>,
    /// How often in all, also where `earlier` no longer holds them.
    #[serde(default)]
    pub before: u32,
}

impl Episode {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// The episode after a check's state changed at `at`.
pub fn next(before: Option<Episode>, state: &CheckState, at: Moment) -> Option<Episode> {
    let raised = state.status != Status::Ok;
    match before {
        Some(episode) if episode.is_open() => match (raised, state.confirmed) {
            (false, true) => Some(Episode { closed: Some(at), ..episode }),
            (true, true) => Some(Episode { worst: episode.worst.max(state.status), ..episode }),
            (true | false, false) => Some(episode),
        },
        Some(episode) if raised && state.confirmed && closed_lately(&episode, at) => Some(Episode {
            flaps: episode.flaps.saturating_add(1),
            worst: episode.worst.max(state.status),
            closed: None,
            ..episode
        }),
        before => match raised && state.confirmed {
            true => Some(Episode {
                opened: state.since,
                worst: state.status,
                flaps: 0,
                closed: None,
                before: before.as_ref().map_or(0, |before| before.before.saturating_add(1)),
                earlier: before.map(openings).unwrap_or_default(),
            }),
            false => before,
        },
    }
}

/// The openings of an episode that is over and of those before it; past the limit the oldest go.
fn openings(before: Episode) -> Vec<i64> {
    let mut openings = before.earlier;
    let surplus = (openings.len() + 1).saturating_sub(EARLIER_MAX);
    openings.drain(..surplus);
    openings.push(before.opened.utc_ms);
    openings
}

fn closed_lately(episode: &Episode, at: Moment) -> bool {
    episode.closed.is_some_and(|closed| closed.age_at(at).is_within(REOPENED_WITHIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::at;

    fn hard(status: Status, second: i64) -> (CheckState, Moment) {
        (CheckState { status, confirmed: true, attempt: 3, since: at(second) }, at(second))
    }

    fn run(states: &[(CheckState, Moment)]) -> Option<Episode> {
        states.iter().fold(None, |episode, (state, at)| next(episode, state, *at))
    }

    #[test]
    fn a_soft_status_opens_nothing() {
        let soft = CheckState { status: Status::Critical, confirmed: false, attempt: 1, since: at(0) };
        assert_eq!(run(&[(soft, at(0))]), None);
    }

    #[test]
    fn it_remembers_its_worst_status_and_closes_on_ok() {
        let episode = run(&[
            hard(Status::Warning, 0),
            hard(Status::Critical, 10),
            hard(Status::Warning, 20),
            hard(Status::Ok, 30),
        ]);
        let closed = Some(at(30));
        let expected = Episode { opened: at(0), worst: Status::Critical, flaps: 0, closed, earlier: vec![], before: 0 };
        assert_eq!(episode, Some(expected));
    }

    #[test]
    fn unknown_does_not_close_it() {
        let episode = run(&[hard(Status::Critical, 0), hard(Status::Unknown, 10)]);
        assert!(episode.is_some_and(|episode| episode.is_open()));
    }

    #[test]
    fn flapping_is_one_episode_and_counted() {
        let episode = run(&[
            hard(Status::Warning, 0),
            hard(Status::Ok, 60),
            hard(Status::Warning, 120),
            hard(Status::Ok, 180),
            hard(Status::Critical, 240),
        ]);
        let expected =
            Episode { opened: at(0), worst: Status::Critical, flaps: 2, closed: None, earlier: vec![], before: 0 };
        assert_eq!(episode, Some(expected));
    }

    #[test]
    fn trouble_a_day_later_is_another_episode() {
        let episode = run(&[hard(Status::Warning, 0), hard(Status::Ok, 60), hard(Status::Warning, 86_400)]);
        let told = episode.map(|episode| (episode.opened, episode.flaps, episode.earlier));
        assert_eq!(told, Some((at(86_400), 0, vec![at(0).utc_ms])));
    }
}
