//! What rules matched in the last hour, kept through a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::logs::LogReading;

/// Matches of one earlier poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    pub utc_ms: i64,
    /// When the log was read before that.
    pub since_ms: i64,
    pub matches: BTreeMap<String, u64>,
}

/// The matches of an hour, by watch: a restart must not turn thirty failures into none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentMatches(BTreeMap<String, Vec<Earlier>>);

/// No rule counts further back.
const RECENT_MS: i64 = 3_660_000;
const RECENT_MAX: usize = 400;

impl RecentMatches {
    /// Gives each log what was matched before, and remembers what it matched now.
    pub fn exchange(&mut self, logs: &mut [LogReading], utc_ms: i64) {
        for log in logs {
            let recent = self.0.entry(log.watch.as_str().to_owned()).or_default();
            recent.retain(|earlier| utc_ms - RECENT_MS < earlier.utc_ms);
            log.earlier.clone_from(recent);
            if !log.matches.is_empty() {
                let surplus = (recent.len() + 1).saturating_sub(RECENT_MAX);
                recent.drain(..surplus);
                let since_ms = log.read_before_ms.unwrap_or(utc_ms);
                recent.push(Earlier { utc_ms, since_ms, matches: log.matches.clone() });
            }
        }
    }
}
