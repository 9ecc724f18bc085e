use super::*;
use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckKind, CheckResult, Unit};
use crate::domain::incident::episode::Episode;
use crate::domain::observed::Quality;
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::status::Status;
use crate::domain::time::at;
use crate::domain::transition::{Link, LinkState, Observation, Seen};
use std::sync::Arc;

fn host() -> HostName {
    HostName::try_from("web1".to_owned()).unwrap_or_else(|error| panic!("{error}"))
}

fn watched() -> Board {
    let mut board = Board::default();
    let entry =
        HostEntry { name: host(), groups: vec![], own: false, trend_window_ms: 3_600_000, colour: None, parent: None };
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
            result: load(status).into(),
            state,
            fresh_for_ms: 28_000,
        },
    )
}

#[test]
fn a_host_that_never_answered_is_unknown_and_not_ok() {
    assert_eq!(watched().hosts[&host()].status(at(1)), Status::Unknown);
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
    board
        .apply_transition(&Transition::new(at(60), Change::LinkChanged { host: host(), lane: Lane::Fast, link: lost }));
    let open = board.hosts[&host()].views(at(9_999)).any(|view| view.episode.is_some_and(Episode::is_open));
    assert!(open);
}

#[test]
fn a_batch_refreshes_the_age_and_feeds_the_trend() {
    let mut board = watched();
    board.apply_transition(&changed(Status::Ok, 0));
    let seen =
        Seen::Reading { reading: Arc::new(Reading::Disk(Arc::default())), results: vec![load(Status::Ok).into()] };
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

#[test]
fn a_summary_holds_until_the_first_value_goes_stale() {
    let mut board = watched();
    board.apply_transition(&changed(Status::Ok, 0));
    let summary = board.hosts[&host()].summary(at(25));
    assert_eq!((summary.status, summary.until), (Status::Ok, at(28)));
}
