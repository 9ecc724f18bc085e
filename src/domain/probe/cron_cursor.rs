//! Where cron's logs are read on at the next look.

use chrono::{DateTime, Duration, Utc};

use super::cron::{CronReading, SeenLog};
use super::cron_stamp::Twice;
use crate::domain::time::Moment;

/// How much of a log file one look reads.
const BYTES_MAX: u32 = 1 << 20;
/// The same after looks whose answers were too long.
const BYTES_MIN: u32 = 16 << 10;
/// The journal is asked beside files that told of nothing for so long.
const SILENT: Duration = Duration::hours(2);
/// A run may be logged a little after the look that should have seen it.
const OVERLAP_S: i64 = 300;

/// Where reading goes on, of every log of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronLogCursor {
    /// Inodes and sizes, and whether it was a log itself and no older one.
    files: Vec<(u64, u64, bool)>,
    /// The newest line of any file.
    files_told_to: Option<DateTime<Utc>>,
    /// When the journal was asked, by our clock, or its newest line where that is earlier: the host's clock may be behind.
    journal_read_s: Option<i64>,
    /// The journal's newest line, by the host's clock.
    journal_told_s: Option<i64>,
    bytes_max: u32,
    twice: Twice,
}

impl Default for CronLogCursor {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            files_told_to: None,
            journal_read_s: None,
            journal_told_s: None,
            bytes_max: BYTES_MAX,
            twice: Twice::default(),
        }
    }
}

impl CronLogCursor {
    /// What the script is told; `from_s` is from when on runs are wanted at first.
    pub fn parameters(&self, from_s: i64, now: Moment) -> [String; 5] {
        let listed = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(",") };
        let seen = self.files.iter().map(|(inode, bytes, _)| format!("{inode}:{bytes}")).collect();
        let live = self.files.iter().filter(|(.., is_live)| *is_live).map(|(inode, ..)| inode.to_string()).collect();
        let is_silent = self.files_told_to.is_none_or(|to| to + SILENT < now.utc());
        let since_s = self.journal_read_s.map_or(from_s, |read_s| read_s - OVERLAP_S);
        let journal = if is_silent { "yes" } else { "no" };
        [since_s.to_string(), self.bytes_max.to_string(), listed(seen), listed(live), journal.to_owned()]
    }

    /// Goes on behind what a look brought.
    pub fn take(&mut self, reading: &CronReading, now: Moment) {
        let of_log = |log: &SeenLog| {
            let files = log.files.iter().enumerate();
            files.map(|(index, file)| (file.inode, file.size_bytes, index == 0)).collect::<Vec<_>>()
        };
        self.files = reading.logs.iter().flat_map(of_log).collect();
        // A line of the future says nothing of silence.
        self.files_told_to = self.files_told_to.max(reading.files_told_to.map(|to| to.min(now.utc())));
        if reading.asked_journal {
            let now_s = now.utc_ms / 1_000;
            self.journal_told_s = self.journal_told_s.max(reading.journal_told_to.map(|to| to.timestamp()));
            self.journal_read_s = Some(self.journal_told_s.map_or(now_s, |told_s| told_s.min(now_s)));
        }
        self.bytes_max = (self.bytes_max * 2).min(BYTES_MAX);
        self.twice = Twice::of(reading);
    }

    /// The answer was longer than may be: the next look leaves more out, as a gap.
    pub fn was_too_much(&mut self) {
        self.bytes_max = (self.bytes_max / 4).max(BYTES_MIN);
    }

    pub(super) fn twice(&self) -> &Twice {
        &self.twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::cron::LogFile;

    fn at(utc_s: i64) -> Moment {
        Moment { utc_ms: utc_s * 1_000, boot_ms: 0, origin: 1 }
    }

    fn told_at(cursor: &CronLogCursor, utc_s: i64) -> String {
        cursor.parameters(7, at(utc_s)).join(" ")
    }

    #[test]
    fn the_journal_is_asked_while_files_are_silent_and_from_when_it_was_asked_last() {
        let file = |inode, size_bytes| LogFile { inode, size_bytes };
        let log = SeenLog { path: "/var/log/syslog".into(), files: vec![file(3, 30), file(4, 40)] };
        let reading = CronReading { logs: vec![log], asked_journal: true, ..CronReading::default() };
        let mut cursor = CronLogCursor::default();
        assert_eq!(told_at(&cursor, 10_000), "7 1048576 - - yes");
        // The journal alone tells of something: it is asked at each look.
        cursor.take(&CronReading { told_to: DateTime::from_timestamp(10_000, 0), ..reading.clone() }, at(10_000));
        assert_eq!(told_at(&cursor, 10_060), "9700 1048576 3:30,4:40 3 yes");
        let of_file = DateTime::from_timestamp(10_050, 0);
        cursor.take(&CronReading { files_told_to: of_file, asked_journal: false, ..reading }, at(10_060));
        assert!(told_at(&cursor, 10_120).ends_with(" no") && told_at(&cursor, 20_000).starts_with("9700 "));
        assert!(told_at(&cursor, 20_000).ends_with(" yes"));
    }

    #[test]
    fn of_a_host_whose_clock_is_behind_the_journal_is_asked_from_its_own_newest_line() {
        let mut cursor = CronLogCursor::default();
        let told = DateTime::from_timestamp(9_000, 0);
        cursor.take(&CronReading { asked_journal: true, journal_told_to: told, ..CronReading::default() }, at(10_000));
        assert!(told_at(&cursor, 10_060).starts_with("8700 "));
        // One that is dated in the future, of a file or of the journal, keeps nothing from being asked.
        let future = DateTime::from_timestamp(1_000_000, 0);
        let reading = CronReading { files_told_to: future, journal_told_to: future, ..CronReading::default() };
        cursor.take(&CronReading { asked_journal: true, ..reading }, at(10_060));
        assert_eq!(told_at(&cursor, 20_000), "9760 1048576 - - yes");
    }

    #[test]
    fn after_answers_that_were_too_long_less_is_read_until_one_fits() {
        let mut cursor = CronLogCursor::default();
        (0..9).for_each(|_| cursor.was_too_much());
        assert!(told_at(&cursor, 0).starts_with("7 16384 "));
        (0..9).for_each(|_| cursor.take(&CronReading::default(), at(0)));
        assert!(told_at(&cursor, 0).contains(" 1048576 "));
    }
}
