//! Reading watched logs on for a screen, each second while it is open.

use std::rc::Rc;
use std::sync::mpsc::{SyncSender, TrySendError};
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
pub const NEWS_MAX: usize = 256;
/// What is shown of a log from before it was opened.
const BEFORE_BYTES: u64 = 8 << 10;

/// What one look at a host's logs brought.
#[derive(Clone, Debug, PartialEq)]
pub struct LineNews {
    pub host: HostName,
    pub logs: Vec<LogNews>,
}

/// What is new in one log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogNews {
    pub watch: SafeText,
    pub lines: Vec<SafeText>,
    /// Lines before these that were left out, and bytes that were not read at all.
    pub lines_left_out: u64,
    pub gap_bytes: u64,
    /// More was left out than anybody counted.
    pub gap_is_open: bool,
    pub trouble: Option<SafeText>,
}

/// The screen is gone.
pub struct NobodyLooks;

/// Where a screen's reading of one host goes on; the checks' own is left alone.
pub struct Tail {
    memory: LaneMemory,
    news: SyncSender<LineNews>,
    looks: u32,
    /// Watches whose next line is the end of one.
    mid_line: Vec<String>,
    left_out: u64,
}

impl Tail {
    pub fn new(news: SyncSender<LineNews>) -> Self {
        Self { memory: LaneMemory::default(), news, looks: 0, mid_line: Vec::new(), left_out: 0 }
    }

    /// The next look at what `settings` watch; `None` where that is nothing.
    pub fn poll(&self, settings: &Settings, now: Moment) -> Option<Poll> {
        let watches = |probe: &ProbeId| {
            settings.logs.iter().any(|watch| match watch {
                LogWatch::Path(_) => *probe == ProbeId::Logs,
                LogWatch::Journal(_) => *probe == ProbeId::Journal,
            })
        };
        let probes: Vec<ProbeId> = [ProbeId::Logs, ProbeId::Journal].into_iter().filter(watches).collect();
        (!probes.is_empty()).then(|| Poll::new(probes, settings, &self.memory, clock::nonce(), now))
    }

    /// For a scenario, which must say where its files are read on.
    pub fn memory(&self) -> &LaneMemory {
        &self.memory
    }

    /// Sends what a look brought to the screen.
    pub fn take(
        &mut self,
        host: &HostName,
        settings: &Settings,
        poll: &Poll,
        output: &Output,
    ) -> Result<(), NobodyLooks> {
        if output.end != End::Exited(END_STATUS) {
            return Ok(());
        }
        let answers = poll.answers(output);
        let mut logs = Vec::new();
        for (probe, answer) in poll.probes.iter().zip(&answers.sections) {
            logs.extend(answer.as_ref().map(|answer| self.read(probe, answer, settings)).unwrap_or_default());
        }
        self.looks = self.looks.saturating_add(1);
        if self.looks == 1 {
            self.mid_line = Rc::make_mut(&mut self.memory.cursors).logs.rewind(BEFORE_BYTES);
        }
        let mut logs: Vec<LogNews> = logs.into_iter().map(|log| self.log_news(log)).collect();
        let Some(first) = logs.first_mut() else { return Ok(()) };
        first.lines_left_out += std::mem::take(&mut self.left_out);
        let lines: u64 = logs.iter().map(|log| log.lines.len() as u64 + log.lines_left_out).sum();
        match self.news.try_send(LineNews { host: host.clone(), logs }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.left_out = lines;
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(NobodyLooks),
        }
    }

    /// What can't be read now is read the next time.
    fn read(&mut self, probe: &ProbeId, answer: &Answer, settings: &Settings) -> Vec<LogReading> {
        let cursors = Rc::make_mut(&mut self.memory.cursors);
        let read = match probe {
            ProbeId::Logs => logs::parse(answer, &settings.logs, Purpose::Show, &mut cursors.logs),
            _ => journal::parse(answer, &settings.logs, Purpose::Show, settings.log, &mut cursors.journal),
        };
        read.map(|reading| reading.logs).unwrap_or_default()
    }

    fn log_news(&mut self, mut log: LogReading) -> LogNews {
        if let Some(index) = self.mid_line.iter().position(|watch| watch == log.watch.as_str())
            && !log.fresh.is_empty()
        {
            self.mid_line.swap_remove(index);
            log.fresh.remove(0);
        }
        // What lay before the first look was not asked for.
        let counts = 2 < self.looks;
        LogNews {
            watch: log.watch,
            lines: log.fresh,
            lines_left_out: log.fresh_left_out,
            gap_bytes: if counts { log.gap_bytes } else { 0 },
            gap_is_open: counts && log.gap_is_open,
            trouble: log.trouble,
        }
    }
}
