//! How far cron's log was read: up to when every run is known, and of which times it may have told unread.

use chrono::{DateTime, Utc};

use crate::domain::probe::cron::CronReading;
use crate::domain::text::SafeText;

/// A host's cron tells of something each day: of a log that has told of nothing for longer nothing is known.
const TELLS_FOR_MS: i64 = 26 * 3_600_000;
/// The newest line may be so far ahead of what is known.
const AHEAD_MS_MAX: i64 = 600_000;
/// Times that were not read that are remembered.
const UNREAD_MAX: usize = 32;

/// All times are by the host's clock.
#[derive(Debug)]
pub struct LogReach {
    /// Every run of cron's that began by then is known.
    pub known_to_ms: i64,
    /// Times of which the log may have told, and which were not read, the newest last.
    unread_ms: Vec<(i64, i64)>,
    /// The newest line, and the place that had it.
    told_to: Option<DateTime<Utc>>,
    told_by: Option<SafeText>,
}

impl Default for LogReach {
    fn default() -> Self {
        Self { known_to_ms: i64::MIN, unread_ms: Vec::new(), told_to: None, told_by: None }
    }
}

impl LogReach {
    /// Takes a look that tells of all that began by `known_to_ms`.
    pub fn take(&mut self, reading: &CronReading, known_to_ms: i64) {
        let ms = |at: DateTime<Utc>| at.timestamp_millis();
        // At the first look nothing is known of what lies before its first line.
        if let Some(first) = reading.covers_from.filter(|_| self.known_to_ms == i64::MIN) {
            self.note_unread(i64::MIN, ms(first));
        }
        if let Some(gap) = reading.gap {
            self.note_unread(gap.from.map_or(self.known_to_ms, ms), gap.to.map_or(known_to_ms, ms));
        }
        // A line of the future says nothing of how long the log will tell.
        let latest = DateTime::from_timestamp_millis(known_to_ms.saturating_add(AHEAD_MS_MAX));
        let told_to = reading.told_to.map(|to| latest.map_or(to, |latest| to.min(latest)));
        if self.told_to < told_to {
            self.told_to = told_to;
            self.told_by.clone_from(&reading.evidence);
        }
        // A log that is gone, or where nothing of cron comes any more, tells of no run.
        let tells_still = reading.evidence.is_some()
            && reading.evidence == self.told_by
            && self.told_to.is_some_and(|to| known_to_ms - TELLS_FOR_MS < ms(to));
        if reading.covers_from.is_some() || tells_still {
            self.known_to_ms = known_to_ms;
        }
    }

    /// The newest line, where that is older than a host's cron is ever silent.
    pub fn silent_since(&self, host_now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.told_to.filter(|to| to.timestamp_millis() < host_now.timestamp_millis() - TELLS_FOR_MS)
    }

    /// Notes that what the log may have told of a time was not read.
    pub fn note_unread(&mut self, from_ms: i64, to_ms: i64) {
        if to_ms <= from_ms {
            return;
        }
        match self
            .unread_ms
            .last_mut()
            .filter(|(last_from_ms, last_to_ms)| *last_from_ms <= from_ms && from_ms <= *last_to_ms)
        {
            Some((_, last_to_ms)) => *last_to_ms = to_ms.max(*last_to_ms),
            None => self.unread_ms.push((from_ms, to_ms)),
        }
        // Of too many the two become one that have the least between them: what was read stays read, as far as it goes.
        if UNREAD_MAX < self.unread_ms.len() {
            let between = |index: &usize| self.unread_ms[index + 1].0.saturating_sub(self.unread_ms[*index].1);
            if let Some(index) = (0..self.unread_ms.len() - 1).min_by_key(between) {
                let (from_ms, to_ms) = self.unread_ms.remove(index + 1);
                let (first_ms, last_ms) = self.unread_ms[index];
                self.unread_ms[index] = (first_ms.min(from_ms), last_ms.max(to_ms));
            }
        }
    }

    /// Until when nothing is known of what was due at a time, where that was not read.
    pub fn unread_at(&self, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let due_ms = due.timestamp_millis();
        let within = self.unread_ms.iter().rev().find(|(from_ms, to_ms)| (*from_ms..=*to_ms).contains(&due_ms));
        within.and_then(|(_, to_ms)| DateTime::from_timestamp_millis(*to_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::cron::LogGap;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    fn look(from: i64, to: i64) -> CronReading {
        CronReading {
            evidence: Some("/var/log/cron.log".into()),
            covers_from: Some(at(from)),
            told_to: Some(at(to)),
            ..CronReading::default()
        }
    }

    #[test]
    fn what_lies_before_the_first_line_and_in_a_gap_was_not_read() {
        let mut reach = LogReach::default();
        reach.take(&look(100, 200), 210_000);
        reach.take(&look(150, 260), 270_000);
        let gap = LogGap { from: Some(at(300)), to: Some(at(400)) };
        reach.take(&CronReading { gap: Some(gap), ..look(150, 500) }, 510_000);
        // One of which no line came before or after it reaches from look to look.
        let gap = LogGap { from: None, to: None };
        reach.take(&CronReading { gap: Some(gap), ..look(505, 506) }, 570_000);
        let unread = |second| reach.unread_at(at(second)).map(|to| to.timestamp());
        assert_eq!([unread(50), unread(150), unread(350), unread(450)], [Some(100), None, Some(400), None]);
        assert_eq!([unread(540), unread(580)], [Some(570), None]);
    }

    #[test]
    fn of_many_gaps_none_is_forgotten() {
        let mut reach = LogReach::default();
        (0..100).for_each(|hour| reach.note_unread(hour * 3_600_000, hour * 3_600_000 + 60_000));
        assert!((0..100).all(|hour| reach.unread_at(at(hour * 3_600 + 30)).is_some()));
        assert_eq!(reach.unread_at(at(99 * 3_600 + 90)), None);
        // Nor does much that was read become unread for many gaps that lie close together.
        let mut reach = LogReach::default();
        reach.note_unread(i64::MIN, 0);
        (0..100).for_each(|minute| reach.note_unread(86_400_000 + minute * 60_000, 86_430_000 + minute * 60_000));
        assert_eq!((reach.unread_at(at(3_600)), reach.unread_at(at(80_000))), (None, None));
    }

    #[test]
    fn a_log_that_is_silent_tells_for_a_day_and_then_of_nothing() {
        let mut reach = LogReach::default();
        reach.take(&look(100, 200), 210_000);
        let silent = CronReading { covers_from: None, told_to: None, ..look(0, 0) };
        reach.take(&silent, 80_000_000);
        assert_eq!((reach.known_to_ms, reach.silent_since(at(80_000))), (80_000_000, None));
        reach.take(&silent, 100_000_000);
        assert_eq!((reach.known_to_ms, reach.silent_since(at(100_000))), (80_000_000, Some(at(200))));
        // Another log that has never told of anything is none that tells.
        let mut reach = LogReach::default();
        reach.take(&look(100, 200), 210_000);
        reach.take(&CronReading { evidence: Some("/var/log/syslog".into()), ..silent }, 270_000);
        assert_eq!(reach.known_to_ms, 210_000);
    }
}
