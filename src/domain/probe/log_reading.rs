//! What a poll told of watched logs, of files and journals alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lines;
use super::recent_matches::{Earlier, EarlierHeard};
use crate::domain::settings::{JobSpec, RateRule};
use crate::domain::text::SafeText;

/// Matching lines kept for people, the newest.
const SHOWN_LINES_MAX: usize = 5;
/// Lines kept of a piece by which one job says how it ended, the newest.
const HEARD_LINES_MAX: usize = 64;
/// Lines of one log that one look brings to the screen, the newest, and characters of one of them.
const FRESH_LINES_MAX: usize = 1_000;
const FRESH_LINE_CHARS_MAX: usize = 2_000;

/// One poll's view of every watched log file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogsReading {
    pub logs: Vec<LogReading>,
}

/// One watched log: a path, a pattern, or a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogReading {
    /// As hosts.toml writes it.
    pub watch: SafeText,
    pub files: Vec<LogFile>,
    /// Files of the pattern beyond the two hundred that are looked at.
    pub files_left_out: u32,
    /// Nothing was known before this poll: rates and growth need another.
    pub first_sample: bool,
    pub new_bytes: u64,
    pub new_lines: u64,
    /// Bytes that were not read: more than the cap, or a rotation that vanished.
    pub gap_bytes: u64,
    /// More was left out than anybody counted: a journal does not tell how much.
    pub gap_is_open: bool,
    /// When it was read before, milliseconds since the epoch by the observer's clock; `None` at first.
    pub read_before_ms: Option<i64>,
    /// What rules matched in polls before this one that the reader of this may not have seen, as the cursors kept it.
    pub earlier: Vec<Earlier>,
    /// When logrotate last rotated it, as its status file says, in the host's time.
    pub rotated_at: Option<SafeText>,
    /// New lines that each rule matched, by the rule's name.
    pub matches: BTreeMap<String, u64>,
    /// The newest lines that any rule matched.
    pub shown: Vec<SafeText>,
    pub trouble: Option<SafeText>,
    /// What jobs said of their end.
    #[serde(skip)]
    pub heard: Vec<HeardLine>,
    /// The same of polls before this one, as the cursors kept it.
    #[serde(skip)]
    pub heard_earlier: Vec<EarlierHeard>,
    /// The new lines themselves, where they were asked for, and how many before them were left out.
    #[serde(skip)]
    pub fresh: Vec<SafeText>,
    #[serde(skip)]
    pub fresh_left_out: u64,
}

/// What new lines are read for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// To be counted against rules, and to be searched for what jobs say of their end.
    Count(&'a [RateRule], &'a [JobSpec]),
    /// To be shown as they are.
    Show,
}

/// A line by which a job says how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeardLine {
    /// Its name in hosts.toml.
    pub job: SafeText,
    pub is_ok: bool,
    pub line: SafeText,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogFile {
    pub path: SafeText,
    pub size_bytes: u64,
    pub modified_s: i64,
    /// It became shorter without a rotation: its size before.
    pub shrunk_from: Option<u64>,
    /// Its bytes before the offset are not what they were.
    pub replaced: bool,
}

impl LogReading {
    pub fn new(watch: SafeText, first_sample: bool) -> Self {
        Self {
            watch,
            files: Vec::new(),
            files_left_out: 0,
            first_sample,
            new_bytes: 0,
            new_lines: 0,
            gap_bytes: 0,
            gap_is_open: false,
            read_before_ms: None,
            earlier: Vec::new(),
            rotated_at: None,
            matches: BTreeMap::new(),
            shown: Vec::new(),
            trouble: None,
            heard: Vec::new(),
            heard_earlier: Vec::new(),
            fresh: Vec::new(),
            fresh_left_out: 0,
        }
    }

    /// Takes whole lines in.
    pub fn take(&mut self, complete: &[u8], purpose: Purpose) {
        self.new_bytes += complete.len() as u64;
        match purpose {
            Purpose::Count(rules, jobs) => {
                self.count(complete, rules);
                self.hear(complete, jobs);
            }
            Purpose::Show => self.keep(complete),
        }
    }

    fn keep(&mut self, complete: &[u8]) {
        let count = lines(complete).count();
        self.new_lines += count as u64;
        let surplus = (self.fresh.len() + count).saturating_sub(FRESH_LINES_MAX);
        let old = surplus.min(self.fresh.len());
        self.fresh.drain(..old);
        self.fresh_left_out += surplus as u64;
        let newest = lines(complete).skip(surplus - old);
        self.fresh.extend(newest.map(|(_, line)| SafeText::from_bytes_capped(line, FRESH_LINE_CHARS_MAX)));
    }

    fn count(&mut self, complete: &[u8], rules: &[RateRule]) {
        for (_, line) in lines(complete) {
            self.new_lines += 1;
            let mut shown = false;
            for rule in rules.iter().filter(|rule| rule.pattern.is_match(line)) {
                *self.matches.entry(rule.name.as_str().to_owned()).or_default() += 1;
                shown = true;
            }
            if shown {
                self.shown.push(SafeText::from_bytes_capped(line, 300));
            }
        }
        let surplus = self.shown.len().saturating_sub(SHOWN_LINES_MAX);
        self.shown.drain(..surplus);
    }

    /// Keeps the lines by which a job says how it ended, the newest.
    fn hear(&mut self, complete: &[u8], jobs: &[JobSpec]) {
        for job in jobs {
            let Some(marker) = job.marker.as_ref().filter(|marker| marker.log == self.watch.as_str()) else { continue };
            let before = self.heard.len();
            for (_, line) in lines(complete) {
                if let Some(is_ok) = marker.says(line) {
                    let line = SafeText::from_bytes_capped(line, 300);
                    self.heard.push(HeardLine { job: job.name.as_str().into(), is_ok, line });
                }
            }
            // Of each job: one that says very much crowds out no other.
            let surplus = (self.heard.len() - before).saturating_sub(HEARD_LINES_MAX);
            self.heard.drain(before..before + surplus);
        }
    }

    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}
