//! What rules matched in the last hour, and what jobs said of their ends lately, kept through a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::logs::{HeardLine, LogReading};

/// Matches of one earlier poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    pub utc_ms: i64,
    /// When the log was read before that.
    pub since_ms: i64,
    pub matches: BTreeMap<String, u64>,
}

/// What jobs said in one earlier poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierHeard {
    pub utc_ms: i64,
    /// When the log was read before that; `None` at first.
    pub since_ms: Option<i64>,
    pub heard: Vec<HeardLine>,
}

/// What was found lately, by watch: a restart must not turn thirty failures into none, nor lose the word of a job whose run
/// cron's log tells of only after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentMatches {
    matches: BTreeMap<String, Vec<Earlier>>,
    heard: BTreeMap<String, Vec<EarlierHeard>>,
}

/// No rule counts further back.
const RECENT_MS: i64 = 3_660_000;
const RECENT_MAX: usize = 400;
/// So long before the last look a word may have been said that still waits for its run.
const WAITS_MS: i64 = 900_000;
const HEARD_LOOKS_MAX: usize = 30;

impl RecentMatches {
    /// Gives each log what was found before, and remembers what is found now.
    pub fn exchange(&mut self, logs: &mut [LogReading], utc_ms: i64) {
        for log in logs {
            let recent = self.matches.entry(log.watch.as_str().to_owned()).or_default();
            recent.retain(|earlier| utc_ms - RECENT_MS < earlier.utc_ms);
            log.earlier.clone_from(recent);
            if !log.matches.is_empty() {
                let since_ms = log.read_before_ms.unwrap_or(utc_ms);
                push(recent, Earlier { utc_ms, since_ms, matches: log.matches.clone() }, RECENT_MAX);
            }
            // However long nobody looked: what was said before is still to be told.
            let read_ms = log.read_before_ms.unwrap_or(utc_ms);
            let heard = self.heard.entry(log.watch.as_str().to_owned()).or_default();
            heard.retain(|earlier| read_ms - WAITS_MS < earlier.utc_ms);
            log.heard_earlier.clone_from(heard);
            if !log.heard.is_empty() {
                let new = EarlierHeard { utc_ms, since_ms: log.read_before_ms, heard: log.heard.clone() };
                push(heard, new, HEARD_LOOKS_MAX);
            }
        }
    }
}

/// Keeps the newest.
fn push<T>(kept: &mut Vec<T>, new: T, count_max: usize) {
    let surplus = (kept.len() + 1).saturating_sub(count_max);
    kept.drain(..surplus);
    kept.push(new);
}
