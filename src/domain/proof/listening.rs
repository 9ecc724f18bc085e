//! What a poll of logs and backup sets tells of jobs: lines of their own logs, and the archives that they left.

use chrono::{DateTime, Utc};

use super::history::RunHistory;
use super::word::{SeenArchives, Speaker, Word};
use crate::domain::probe::backup::BackupReading;
use crate::domain::probe::lines;
use crate::domain::probe::logs::{HeardLine, LogReading};
use crate::domain::settings::JobSpec;
use crate::domain::stamp::times_of;
use crate::domain::text::SafeText;

/// A stamp and the look that brought its line lie this far apart at most.
const STAMP_APART_MS: i64 = 300_000;

/// Characters of a line that are kept.
const LINE_CHARS_MAX: usize = 300;

/// The clocks of a poll.
#[derive(Clone, Copy)]
pub struct Clocks {
    /// Ours, milliseconds since the epoch.
    pub now_ms: i64,
    /// How far the host's is ahead of it.
    pub skew_ms: i64,
}

impl Clocks {
    /// Our time by the host's clock.
    pub fn on_host(self, ms: i64) -> i64 {
        ms.saturating_add(self.skew_ms)
    }
}

/// Takes what jobs said in their own logs.
pub fn take_logs(logs: &[LogReading], history: &mut RunHistory, jobs: &[JobSpec], clocks: Clocks) {
    for job in jobs {
        let Some(marker) = &job.marker else { continue };
        let Some(log) = logs.iter().find(|log| log.watch.as_str() == marker.log) else { continue };
        let is_whole = log.trouble.is_none() && log.gap_bytes == 0 && !log.gap_is_open && !log.first_sample;
        let before_ms = log.read_before_ms.map(|before_ms| clocks.on_host(before_ms));
        let is_own = |heard: &&HeardLine| heard.job.as_str() == job.name.as_str();
        // A process that begins goes on with what the one before it heard last.
        let earlier = if history.has_heard(job) { &[][..] } else { log.heard_earlier.as_slice() };
        let earlier = earlier.iter().flat_map(|look| {
            let then = Clocks { now_ms: look.utc_ms, ..clocks };
            let since_ms = look.since_ms.map(|since_ms| clocks.on_host(since_ms));
            look.heard.iter().filter(is_own).map(move |heard| (heard, since_ms, then))
        });
        let now = log.heard.iter().filter(is_own).map(|heard| (heard, before_ms, clocks));
        let words = earlier.chain(now).map(|(heard, before_ms, then)| word(heard, before_ms, history, then)).collect();
        history.take_words(job, words, before_ms.filter(|_| is_whole), clocks.on_host(clocks.now_ms));
    }
}

/// A line with a time of its own was said then; another between two looks.
fn word(heard: &HeardLine, before_ms: Option<i64>, history: &RunHistory, clocks: Clocks) -> Word {
    let now_ms = clocks.on_host(clocks.now_ms);
    let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    // A line is as old as the look that brought it: a stamp of another time is of another clock or zone.
    let looked_at = before_ms.unwrap_or(now_ms).saturating_sub(STAMP_APART_MS)..=now_ms.saturating_add(STAMP_APART_MS);
    let stamped_ms = times_of(heard.line.as_str(), history.zone, now)
        .and_then(|times| times.map(|at| at.timestamp_millis()).into_iter().find(|at_ms| looked_at.contains(at_ms)));
    let (from_ms, at_ms) = match stamped_ms {
        Some(stamped_ms) => (stamped_ms, stamped_ms),
        None => (before_ms.unwrap_or(now_ms), now_ms),
    };
    Word { by: Speaker::OwnLog, is_ok: heard.is_ok, from_ms, at_ms, took_ms: None, text: heard.line.clone() }
}

/// What a job says in its own log, by lines that have a time of their own: for a pack, which reads it whole.
pub fn words_in(content: &[u8], job: &JobSpec, history: &RunHistory, clocks: Clocks) -> Vec<Word> {
    let Some(marker) = &job.marker else { return Vec::new() };
    let now = DateTime::from_timestamp_millis(clocks.on_host(clocks.now_ms)).unwrap_or_default();
    let mut before_ms = i64::MIN;
    let mut word = |line: &[u8]| {
        let text = SafeText::from_bytes_capped(line, LINE_CHARS_MAX);
        let [first_ms, second_ms] = times_of(text.as_str(), history.zone, now)?.map(|at| at.timestamp_millis());
        // Of an hour that comes twice the order of the lines tells which it is.
        let at_ms = if first_ms.saturating_add(STAMP_APART_MS) < before_ms { second_ms } else { first_ms };
        before_ms = before_ms.max(at_ms);
        let is_ok = marker.says(line)?;
        Some(Word { by: Speaker::OwnLog, is_ok, from_ms: at_ms, at_ms, took_ms: None, text })
    };
    let mut words: Vec<Word> = lines(content).filter_map(|(_, line)| word(line)).collect();
    words.sort_by_key(|word| word.at_ms);
    words
}

/// Takes the archives of a set; what can't be listed proves nothing.
pub fn take_archives(reading: &BackupReading, history: &mut RunHistory, jobs: &[JobSpec], clocks: Clocks) {
    if reading.trouble.is_some() {
        return;
    }
    let at_ms = |at: DateTime<Utc>| at.timestamp_millis();
    let archives = reading.archives.iter().map(|archive| (at_ms(archive.at), archive.name.clone())).collect();
    let seen = SeenArchives::new(archives, clocks.on_host(clocks.now_ms));
    history.take_archives(reading.set.as_str(), seen, jobs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fleet::ItemName;
    use crate::domain::probe::recent_matches::RecentMatches;
    use crate::domain::settings::{Expectation, HOUR, JobEvidence, Marker};

    const AT_MS: i64 = 1_790_000_000_000;

    fn job() -> JobSpec {
        JobSpec {
            name: ItemName::parse("transfer").unwrap_or_else(|error| panic!("{error}")),
            expectation: Expectation::Every(24 * HOUR),
            grace: HOUR,
            evidence: JobEvidence::CronLog { command: "transfer".to_owned(), user: None },
            accept_ran: false,
            usual: None,
            gives_up: None,
            marker: Some(Marker { log: "/var/log/x".to_owned(), done: None, failed: None }),
            leaves: None,
        }
    }

    /// A look at the log, so many seconds after the one before it.
    fn look(recent: &mut RecentMatches, history: &mut RunHistory, [before_s, at_s]: [i64; 2], said: &[&str]) {
        let [before_ms, now_ms] = [before_s, at_s].map(|second| AT_MS + second * 1_000);
        let heard = |line: &&str| HeardLine { job: "transfer".into(), is_ok: false, line: (*line).into() };
        let mut log = LogReading::new("/var/log/x".into(), false);
        (log.heard, log.read_before_ms) = (said.iter().map(heard).collect(), Some(before_ms));
        let mut logs = [log];
        recent.exchange(&mut logs, now_ms);
        take_logs(&logs, history, &[job()], Clocks { now_ms, skew_ms: 0 });
    }

    #[test]
    fn what_a_job_said_before_a_restart_is_told_once_to_the_process_that_comes_after() {
        let (mut recent, mut after) = (RecentMatches::default(), RunHistory::default());
        look(&mut recent, &mut RunHistory::default(), [-10, 0], &["gave up"]);
        // An hour later, by a process that has heard nothing itself.
        look(&mut recent, &mut after, [0, 3_600], &[]);
        let heard = |history: &RunHistory| {
            history.heard(&job()).map(|word| format!("{} {}", word.at_ms - AT_MS, word.text)).collect::<Vec<_>>()
        };
        assert_eq!(heard(&after), ["0 gave up"]);
        look(&mut recent, &mut after, [3_600, 3_610], &["ERROR"]);
        look(&mut recent, &mut after, [3_610, 3_620], &[]);
        assert_eq!(heard(&after), ["0 gave up", "3610000 ERROR"]);
    }
}
