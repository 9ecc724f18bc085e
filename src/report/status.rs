//! The board as `dogwatch check --json` prints it; docs/check.schema.json describes it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::domain::board::{Board, CheckView, HostBoard};
use crate::domain::check::{CheckId, Pane};
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::status::{Status, StatusCounts};
use crate::domain::time::Moment;
use crate::domain::transition::LinkState;

pub const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Serialize)]
pub struct BoardStatus<'a> {
    pub schema: u32,
    pub observed_at: String,
    /// Hosts by their worst status.
    pub counts: StatusCounts,
    pub hosts: Vec<HostStatus<'a>>,
}

#[derive(Debug, Serialize)]
pub struct HostStatus<'a> {
    pub name: &'a HostName,
    pub status: Status,
    /// Checks by the worse of their status and, where stale, their last one.
    pub counts: StatusCounts,
    pub state: LinkState,
    pub error: Option<&'a str>,
    pub checks: Vec<CheckStatus<'a>>,
}

#[derive(Debug, Serialize)]
pub struct CheckStatus<'a> {
    pub id: &'a CheckId,
    pub pane: Pane,
    pub status: Status,
    pub last_status: Status,
    pub confirmed: bool,
    pub reason: &'a str,
    pub value: Option<f64>,
    pub unit: &'static str,
    pub observed_at: String,
    pub quality: Quality,
    pub forecast: Option<ForecastStatus>,
}

#[derive(Debug, Serialize)]
pub struct ForecastStatus {
    pub full_at: String,
}

impl<'a> BoardStatus<'a> {
    /// The hosts that `wanted` picks, worst first.
    pub fn new(board: &'a Board, now: Moment, wanted: impl Fn(&HostName, &HostBoard) -> bool) -> Self {
        let mut hosts: Vec<HostStatus> = board
            .hosts
            .iter()
            .filter(|(name, host)| wanted(name, host))
            .map(|(name, host)| HostStatus::new(name, host, now))
            .collect();
        hosts.sort_by(|a, b| b.status.cmp(&a.status).then_with(|| a.name.cmp(b.name)));
        let counts = hosts.iter().map(|host| host.status).collect();
        Self { schema: SCHEMA_VERSION, observed_at: rfc3339(now.utc()), counts, hosts }
    }

    /// The worst status of all hosts; nothing watched is unknown.
    pub fn worst(&self) -> Status {
        self.hosts.iter().map(|host| host.status).max().unwrap_or(Status::Unknown)
    }
}

impl<'a> HostStatus<'a> {
    fn new(name: &'a HostName, host: &'a HostBoard, now: Moment) -> Self {
        let (state, why) = host.link();
        Self {
            name,
            status: host.status(now),
            counts: host.views(now).map(|view| view.rank()).collect(),
            state,
            error: why.map(|why| why.as_str()),
            checks: host.views(now).map(CheckStatus::new).collect(),
        }
    }
}

impl<'a> CheckStatus<'a> {
    fn new(view: CheckView<'a>) -> Self {
        Self {
            id: view.id,
            pane: view.id.pane(),
            status: view.status,
            last_status: view.last_status,
            confirmed: view.confirmed,
            reason: view.result.reason.as_str(),
            value: view.result.value,
            unit: view.result.unit.word(),
            observed_at: rfc3339(view.at.utc()),
            quality: view.quality,
            forecast: view.result.full_at.map(|full_at| ForecastStatus { full_at: rfc3339(full_at) }),
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
