//! Reading watched logs on for a screen, each second while it is open.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::memory::LaneMemory;
use super::plan::Poll;
use crate::adapters::clock;
use crate::adapters::transport::{End, Output};
use crate::domain::fleet::HostName;
use crate::domain::probe::logs::{LogReading, Purpose};
use crate::domain::probe::script::{Answer, END_STATUS};
use crate::domain::probe::{ProbeId, journal, logs};
use crate::domain::settings::{LogWatch, Settings};
use crate::domain::text::SafeText;
use crate::domain::time::Moment;

/// How often a log is read on.
pub const TAIL_EVERY: Duration = Duration::from_secs(1);
/// News waiting for a screen; past that lines are left out, and counted.
const NEWS_MAX: usize = 256;
/// What is shown of a log from before it was opened.
const BEFORE_BYTES: u64 = 8 << 10;
const BEFORE_ENTRIES: u32 = 50;

/// What one look at a host's logs brought.
#[derive(Clone, Debug, PartialEq)]
pub struct LineNews {
    pub host: HostName,
    pub logs: Vec<LogNews>,
}

/// What is new in one log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogNews {
    /// As hosts.toml writes it; empty for what concerns all of a host's logs.
    pub watch: SafeText,
    pub lines: Vec<SafeText>,
    pub missed: Missed,
    /// Why it can't be read now; `None` where it can.
    pub trouble: Option<SafeText>,
}

/// What a screen was not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    pub lines: u64,
    pub bytes: u64,
    /// More was left out than anybody counted.
    pub is_open: bool,
}

impl Missed {
    fn plus(self, other: Missed) -> Self {
        Self {
            lines: self.lines.saturating_add(other.lines),
            bytes: self.bytes.saturating_add(other.bytes),
            is_open: self.is_open || other.is_open,
        }
    }
}

/// The screen's end: while it lives, the logs are read on.
pub struct LogFeed {
    pub news: Receiver<LineNews>,
    _looks: Arc<()>,
}

/// A screen's wish to read the logs of some hosts on.
#[derive(Clone, Debug)]
pub struct TailWish {
    hosts: Vec<HostName>,
    news: SyncSender<LineNews>,
    looks: Weak<()>,
}

impl TailWish {
    pub fn new(hosts: Vec<HostName>) -> (Self, LogFeed) {
        let (sender, news) = sync_channel(NEWS_MAX);
        let looks = Arc::new(());
        let wish = Self { hosts, news: sender, looks: Arc::downgrade(&looks) };
        (wish, LogFeed { news, _looks: looks })
    }

    pub fn is_over(&self) -> bool {
        self.looks.strong_count() == 0
    }

    /// The reading of one host; `None` where that host is not meant, or watches no log.
    pub fn of(&self, host: &HostName, settings: &Settings) -> Option<Tail> {
        let is_meant = self.hosts.contains(host) && !settings.logs.is_empty() && !self.is_over();
        is_meant.then(|| Tail::new(self.clone(), host.clone()))
    }
}

/// Where a screen's reading of one host goes on; the checks' own is left alone.
pub struct Tail {
    host: HostName,
    wish: TailWish,
    memory: LaneMemory,
    looks: u32,
    /// Why nothing could be read at the last look, as it was told.
    trouble: Option<SafeText>,
    /// What the screen had no room for, by log.
    missed: BTreeMap<SafeText, Missed>,
}

impl Tail {
    fn new(wish: TailWish, host: HostName) -> Self {
        let memory = LaneMemory { journal_entries_first: BEFORE_ENTRIES, ..LaneMemory::default() };
        Self { host, wish, memory, looks: 0, trouble: None, missed: BTreeMap::new() }
    }

    /// Whether nobody looks any more.
    pub fn is_over(&self) -> bool {
        self.wish.is_over()
    }

    /// Whether what was there before the tail began has been told.
    pub fn has_begun(&self) -> bool {
        2 <= self.looks
    }

    /// The next look at what `settings` watch.
    pub fn poll(&self, settings: &Settings, now: Moment) -> Poll {
        let watches = |probe: &ProbeId| {
            settings.logs.iter().any(|watch| match watch {
                LogWatch::Path(_) => *probe == ProbeId::Logs,
                LogWatch::Journal(_) => *probe == ProbeId::Journal,
            })
        };
        let probes = [ProbeId::Logs, ProbeId::Journal].into_iter().filter(watches).collect();
        Poll::new(probes, settings, &self.memory, clock::nonce(), now)
    }

    /// For a scenario, which must say where its files are read on.
    pub fn memory(&self) -> &LaneMemory {
        &self.memory
    }

    /// Says why nothing can be read for now, once, and once that it can again.
    pub fn tell_trouble(&mut self, trouble: Option<SafeText>) {
        if self.trouble == trouble {
            return;
        }
        self.trouble.clone_from(&trouble);
        let trouble = trouble.unwrap_or_else(|| "read again".into());
        let (watch, missed) = (SafeText::new(""), Missed::default());
        self.send(vec![LogNews { watch, lines: Vec::new(), missed, trouble: Some(trouble) }]);
    }

    /// Sends what a look brought to the screen.
    pub fn take(&mut self, settings: &Settings, poll: &Poll, output: &Output) {
        match &output.end {
            End::Exited(END_STATUS) => self.tell_trouble(None),
            End::Exited(code) => {
                return self.tell_trouble(Some(format!("not read: the shell ended with {code}").as_str().into()));
            }
            End::Signalled(_) | End::DeadlinePassed | End::TooMuchOutput | End::Lost(_) => {
                return self.tell_trouble(Some("not read: the answer was cut".into()));
            }
        }
        let answers = poll.answers(output);
        let mut read = Vec::new();
        for (probe, answer) in poll.probes.iter().zip(&answers.sections) {
            read.extend(answer.as_ref().map(|answer| self.read(probe, answer, settings)).unwrap_or_default());
        }
        self.looks = self.looks.saturating_add(1);
        if self.looks == 1 {
            Rc::make_mut(&mut self.memory.cursors).logs.rewind(BEFORE_BYTES);
        }
        // What lay before the first look was not asked for.
        let counts_gaps = self.has_begun() && 2 < self.looks;
        let logs = read.into_iter().map(|log| {
            let gap = if counts_gaps { (log.gap_bytes, log.gap_is_open) } else { (0, false) };
            let missed = Missed { lines: log.fresh_left_out, bytes: gap.0, is_open: gap.1 };
            LogNews { watch: log.watch, lines: log.fresh, missed, trouble: log.trouble }
        });
        self.send(logs.collect());
    }

    /// Never waits: what finds no room is counted, and told with what does.
    fn send(&mut self, mut logs: Vec<LogNews>) {
        for log in &mut logs {
            let before = self.missed.remove(&log.watch).unwrap_or_default();
            log.missed = log.missed.plus(before);
        }
        match self.wish.news.try_send(LineNews { host: self.host.clone(), logs }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(news)) => {
                for log in news.logs {
                    let lines = Missed { lines: log.lines.len() as u64, ..Missed::default() };
                    self.missed.insert(log.watch, log.missed.plus(lines));
                }
            }
        }
    }

    /// What can't be read now is read the next time.
    fn read(&mut self, probe: &ProbeId, answer: &Answer, settings: &Settings) -> Vec<LogReading> {
        let cursors = Rc::make_mut(&mut self.memory.cursors);
        let read = match probe {
            ProbeId::Logs => logs::parse(answer, &settings.logs, Purpose::Show, &mut cursors.logs),
            ProbeId::Journal => {
                journal::parse(answer, &settings.logs, Purpose::Show, settings.log, &mut cursors.journal)
            }
            ProbeId::Host
            | ProbeId::Disk
            | ProbeId::Cron
            | ProbeId::Units
            | ProbeId::SlowMount(_)
            | ProbeId::Backup(_)
            | ProbeId::Smart
            | ProbeId::Modes
            | ProbeId::Restores
            | ProbeId::Accounting
            | ProbeId::Integrity
            | ProbeId::Engine => return Vec::new(),
        };
        read.map(|reading| reading.logs).unwrap_or_default()
    }
}
