//! What the screen remembers.

use crate::domain::board::Board;
use crate::domain::check::Pane;
use crate::domain::fleet::HostName;
use crate::domain::status::Status;
use crate::domain::time::Moment;

/// Which view is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    Fleet,
    Pane(Pane),
    Host(HostName),
}

/// Where the feed comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedSource {
    /// This process polls.
    OwnEngine,
    /// Another process polls; `alive_at` is its last sign of life.
    Attached { pid: u32, alive_at: Option<Moment> },
}

pub struct Model {
    pub board: Board,
    pub view: View,
    /// The fleet's order, by need: kept so that a key never acts on a row that moved under it within a tick.
    pub order: Vec<HostName>,
    pub selected_host: Option<HostName>,
    /// The first visible row and the selected one, of the pane and host views.
    pub row: usize,
    pub scroll: usize,
    pub help: bool,
    pub source: FeedSource,
    pub now: Moment,
    /// Rows that a page holds, told by the last frame.
    pub page_rows: usize,
    pub message: Option<String>,
}

impl Model {
    pub fn new(source: FeedSource, now: Moment) -> Self {
        Self {
            board: Board::default(),
            view: View::Fleet,
            order: Vec::new(),
            selected_host: None,
            row: 0,
            scroll: 0,
            help: false,
            source,
            now,
            page_rows: 10,
            message: None,
        }
    }

    /// Sorts the fleet by need: worst first, then least time left, then by name.
    pub fn sort(&mut self) {
        let now = self.now;
        let mut order: Vec<(Status, i64, &HostName)> = self
            .board
            .hosts
            .iter()
            .map(|(name, host)| {
                let full_at = host.checks.values().filter_map(|cell| cell.result.last().full_at).min();
                (host.status(now), full_at.map_or(i64::MAX, |at| at.timestamp_millis()), name)
            })
            .collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then_with(|| a.2.cmp(b.2)));
        self.order = order.into_iter().map(|(_, _, name)| name.clone()).collect();
        if self.selected_host.as_ref().is_none_or(|name| !self.board.hosts.contains_key(name)) {
            self.selected_host = self.order.first().cloned();
        }
    }

    /// The selected host's place in the fleet's order.
    pub fn selected_index(&self) -> usize {
        let selected = self.selected_host.as_ref();
        self.order.iter().position(|name| Some(name) == selected).unwrap_or(0)
    }
}
