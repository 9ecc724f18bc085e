//! What the screen remembers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::domain::board::{Board, HostSummary};
use crate::domain::check::Pane;
use crate::domain::fleet::HostName;
use crate::domain::status::{Status, StatusCounts};
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::domain::transition::Input;
use crate::domain::trend::history::HostHistory;
use crate::engine::action::estimate::Room;
use crate::tui::audit_board::{AuditBoard, Target};
use crate::tui::dialog::Dialog;
use crate::tui::filter::Filter;
use crate::tui::keymap::Keymap;
use crate::tui::log_book::LogBook;
use crate::tui::offer::OfferedAction;
use crate::tui::panes;
use crate::tui::prompt::Prompt;
use crate::tui::recurrence::Remembered;

/// A feed without a sign of life for this long makes the board stale.
pub const FEED_STALE_AFTER: Duration = Duration::from_secs(5);

/// Which view is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    Fleet,
    Pane(Pane),
    Host(HostName),
    /// A declared job of a host.
    Job(HostName, SafeText),
    /// What ran on a host at a time.
    Ran,
    Log,
    Actions,
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
    summaries: HashMap<HostName, HostSummary>,
    /// Hosts whose summary no longer holds.
    changed: HashSet<HostName>,
    /// Hosts that turned CRITICAL since somebody was last told.
    alerts: Vec<HostName>,
    pub selected_host: Option<HostName>,
    /// Whether somebody selected a host.
    pub has_chosen: bool,
    /// The first visible row and the selected one, of the pane and host views.
    pub row: usize,
    pub scroll: usize,
    pub help: bool,
    /// Lines of the help that are above its window.
    pub help_scroll: usize,
    pub source: FeedSource,
    /// Why nothing comes any more.
    pub feed_ended: Option<String>,
    pub now: Moment,
    /// Rows that a page holds, told by the last frame; and of a pane or a host, all rows, and the selected row's host.
    pub page_rows: usize,
    pub row_total: usize,
    pub row_host: Option<HostName>,
    /// How the selected trouble comes again, reckoned once.
    pub recurrence: Remembered,
    pub message: Option<String>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// The rows that are kept.
    pub filter: Filter,
    filter_changed: bool,
    /// The views that Esc goes back through.
    pub came_from: Vec<View>,
    /// Whether the engine takes a passphrase from this screen.
    pub can_unlock: bool,
    /// Whether logs can be read on, and shells opened, from this screen.
    pub can_tail: bool,
    pub can_open_shells: bool,
    /// Whether hosts can be asked what ran.
    pub can_ask_ran: bool,
    /// What was asked so, of which host.
    pub ran: Option<(HostName, panes::ran::Asked)>,
    /// The lines of the log view, while it is open.
    pub log: Option<LogBook>,
    pub keymap: Keymap,
    /// Whether the mouse is the screen's, and not the terminal's own.
    pub mouse: bool,
    /// Where the last frame's rows began.
    pub first_row_y: u16,
    /// Whether this is the big screen that nobody types at.
    pub wall: bool,
    /// Whether this screen may only look: it asks the engine for nothing, and starts nothing.
    pub read_only: bool,
    /// The open host's last day, out of the store.
    pub history: Option<(HostName, HostHistory)>,
    /// What is played, where this is a demo and no fleet of anybody's.
    pub demo: Option<String>,
    /// The guarded action that is being planned, confirmed or carried out.
    pub dialog: Option<Dialog>,
    /// Of the newest dialog.
    pub generation: u64,
    /// The actions that can be asked for from here; none where nothing can.
    pub offered: Vec<OfferedAction>,
    /// What would free space where the selected row is, of the host that was asked for it last.
    pub rooms: Option<(HostName, Vec<Room>)>,
    pub audit: Option<AuditBoard>,
    /// The theme in force, and all there are.
    pub theme: String,
    pub themes: Vec<String>,
}

impl Model {
    pub fn new(source: FeedSource, now: Moment) -> Self {
        Self {
            board: Board::default(),
            view: View::Fleet,
            order: Vec::new(),
            summaries: HashMap::new(),
            changed: HashSet::new(),
            alerts: Vec::new(),
            selected_host: None,
            has_chosen: false,
            row: 0,
            scroll: 0,
            help: false,
            help_scroll: 0,
            source,
            feed_ended: None,
            now,
            page_rows: 10,
            row_total: 0,
            row_host: None,
            recurrence: Remembered::default(),
            message: None,
            prompt: None,
            filter: Filter::default(),
            filter_changed: false,
            came_from: Vec::new(),
            can_unlock: false,
            can_tail: false,
            can_open_shells: false,
            can_ask_ran: false,
            ran: None,
            log: None,
            keymap: Keymap::default(),
            mouse: false,
            first_row_y: 0,
            wall: false,
            read_only: false,
            history: None,
            demo: None,
            dialog: None,
            generation: 0,
            offered: Vec::new(),
            rooms: None,
            audit: None,
            theme: String::new(),
            themes: Vec::new(),
        }
    }

    /// Folds an input in.
    pub fn apply(&mut self, input: &Input) {
        self.board.apply(input);
        match input.host() {
            Some(host) if self.changed.contains(host) => {}
            Some(host) => drop(self.changed.insert(host.clone())),
            None => self.summaries.clear(),
        }
    }

    /// Goes on from another board.
    pub fn replace(&mut self, board: Board) {
        self.board = board;
        self.summaries.clear();
    }

    /// Sorts the fleet by need: worst first, then least time left, then by name.
    pub fn sort(&mut self) {
        let moved = self.summarise();
        // What a filter keeps may change with every reading.
        if !moved && !self.filter_changed && self.filter.is_empty() && self.order.len() == self.summaries.len() {
            return;
        }
        self.filter_changed = false;
        // What is behind another host needs nobody until that is back: it comes last of its kind.
        let mut order: Vec<(Status, bool, i64, &HostName)> = self
            .summaries
            .iter()
            .filter(|(name, _)| self.keeps(name))
            .map(|(name, summary)| {
                let is_behind = summary.status == Status::Unknown && self.board.behind(name).is_some();
                (summary.status, is_behind, summary.full_at_ms.unwrap_or(i64::MAX), name)
            })
            .collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)).then_with(|| a.3.cmp(b.3)));
        self.order = order.into_iter().map(|(.., name)| name.clone()).collect();
        // Until somebody chooses another, the neediest host is the selected one.
        if !self.has_chosen || self.selected_host.as_ref().is_none_or(|name| !self.order.contains(name)) {
            self.selected_host = self.order.first().cloned();
        }
    }

    fn keeps(&self, name: &HostName) -> bool {
        self.filter.is_empty() || self.board.hosts.get(name).is_some_and(|host| self.filter.keeps_host(name, host))
    }

    /// Keeps the rows that match `text`, in every view.
    pub fn set_filter(&mut self, text: &str) {
        self.filter = Filter::new(text);
        self.filter_changed = true;
        (self.row, self.scroll) = (0, 0);
        self.sort();
    }

    /// Makes the summaries true again; most hosts were not heard of since the last tick, and theirs hold. Says whether
    /// any host may have to move.
    fn summarise(&mut self) -> bool {
        let (board, now, changed) = (&self.board, self.now, &self.changed);
        let mut moves = false;
        if self.summaries.is_empty() {
            self.summaries = board.hosts.iter().map(|(name, host)| (name.clone(), host.summary(now))).collect();
            moves = true;
        }
        for (name, summary) in &mut self.summaries {
            // Hosts come and go by a changed fleet alone, which starts all summaries anew.
            if (changed.contains(name) || summary.until.boot_ms <= now.boot_ms)
                && let Some(host) = board.hosts.get(name)
            {
                let before = *summary;
                *summary = host.summary(now);
                moves |= (before.status, before.full_at_ms) != (summary.status, summary.full_at_ms);
                // What was critical when the screen came is on it already.
                if before.has_answered && !before.is_critical && summary.is_critical {
                    self.alerts.push(name.clone());
                }
            }
        }
        self.changed.clear();
        moves
    }

    /// The hosts that turned CRITICAL since the last call, by confirmed checks.
    pub fn take_alerts(&mut self) -> Vec<HostName> {
        std::mem::take(&mut self.alerts)
    }

    /// Whether the engine gave no sign of life for so long that nobody can be asked for anything.
    pub fn feed_is_dead(&self) -> bool {
        let silent = match &self.source {
            FeedSource::OwnEngine => false,
            FeedSource::Attached { alive_at, .. } => {
                alive_at.is_none_or(|alive_at| !alive_at.age_at(self.now).is_within(FEED_STALE_AFTER))
            }
        };
        silent || self.feed_ended.is_some()
    }

    /// Hosts by status.
    pub fn counts(&self) -> StatusCounts {
        self.summaries.values().map(|summary| summary.status).collect()
    }

    /// How many hosts have told anything yet.
    pub fn answered(&self) -> usize {
        self.summaries.values().filter(|summary| summary.has_answered).count()
    }

    /// The host whose view is open.
    pub fn open_host(&self) -> Option<&HostName> {
        match &self.view {
            View::Host(name) => Some(name),
            View::Job(name, _) => Some(name),
            View::Fleet | View::Pane(_) | View::Ran | View::Log | View::Actions => None,
        }
    }

    /// What the selected row of the action view is about.
    pub fn selected_target(&self) -> Option<Target> {
        let rows = self.audit.as_ref()?.rows(self.now.utc_ms);
        rows.get(self.row).and_then(|row| row.target.clone())
    }

    /// The selected host's place in the fleet's order.
    pub fn selected_index(&self) -> usize {
        let selected = self.selected_host.as_ref();
        self.order.iter().position(|name| Some(name) == selected).unwrap_or(0)
    }
}
