//! The lines that the log view holds: merged over hosts by their own stamps, set right by what each clock is off.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{FixedOffset, Offset, Utc};
use regex::Regex;

use crate::domain::board::HostBoard;
use crate::domain::check::{CheckKind, bytes_words};
use crate::domain::fleet::HostName;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::stamp::stamp;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::engine::tail::{LineNews, LogNews, Missed};

/// Lines kept; past that the oldest go, and are counted.
const LINES_MAX: usize = 20_000;
/// A line that comes later than this after the line before it stands by itself.
const BELONGS_WITHIN: Duration = Duration::from_secs(3);
/// A host's clock may be this much ahead of what is known of it.
const AHEAD_MS_MAX: i64 = 60_000;
/// Words that make a line an error: what syslog, web servers, databases and languages write.
const ERROR: &str = r#"(?i)\b(?:error|fatal|panic|fail(?:ed|ure)?|crit(?:ical)?|emerg|exception|denied|no space left)\b|" 5\d\d (?:\d+|-)(?: |$)"#;

/// Where a line stands: by its time, then its log, then as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    at_ms: i64,
    log: u32,
    number: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    pub host: HostName,
    pub watch: SafeText,
    pub text: SafeText,
    /// Where what follows its stamp begins.
    rest_at: usize,
    pub kind: LineKind,
    is_kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    Plain,
    Error,
    /// Not of the log: what of it was not read, and why.
    Gap,
}

/// What is read of which logs.
pub struct LogBook {
    /// Whose logs they are, in words.
    pub whose: String,
    /// Whether any of them is known to be watched.
    pub is_watched: bool,
    lines: BTreeMap<Place, LogLine>,
    /// What is shown.
    shown: Vec<Place>,
    selected: Option<Place>,
    /// While it is paused: the number of the first line that is not shown.
    paused_at: Option<u64>,
    include: Option<Regex>,
    exclude: Option<Regex>,
    error: Option<Regex>,
    logs: HashMap<(HostName, SafeText), LogState>,
    /// Lines that went because there were too many.
    pub forgotten: u64,
    next: u64,
}

/// What is remembered of one log.
struct LogState {
    number: u32,
    /// Of its newest line that has a stamp: what it says, and when the line came.
    stamped: Option<(i64, Moment)>,
    trouble: Option<SafeText>,
}

/// What a host's stamps need.
#[derive(Clone, Copy)]
pub struct HostClock {
    /// Positive: the host is ahead.
    pub skew_ms: i64,
    zone: FixedOffset,
}

impl HostClock {
    /// As the newest poll found it.
    pub fn of(host: Option<&HostBoard>) -> Self {
        let skew = host
            .and_then(|host| host.checks.iter().find(|(id, _)| id.kind == CheckKind::HostClock)?.1.result.last().value);
        let reading = host.and_then(|host| host.probes.get(&ProbeId::Host)?.reading.as_ref());
        let zone = reading.and_then(|reading| match reading.last().as_ref() {
            Reading::Host(host) => FixedOffset::east_opt(host.zone_offset_s),
            _ => None,
        });
        Self { skew_ms: (skew.unwrap_or(0.0) * 1_000.0) as i64, zone: zone.unwrap_or_else(|| Utc.fix()) }
    }
}

impl LogLine {
    /// Without its stamp, which a column of its own shows.
    pub fn rest(&self) -> &str {
        self.text.as_str().get(self.rest_at..).unwrap_or_default()
    }
}

impl LogBook {
    pub fn new(whose: String) -> Self {
        Self {
            whose,
            is_watched: true,
            lines: BTreeMap::new(),
            shown: Vec::new(),
            selected: None,
            paused_at: None,
            include: None,
            exclude: None,
            error: Regex::new(ERROR).ok(),
            logs: HashMap::new(),
            forgotten: 0,
            next: 0,
        }
    }

    /// Takes new lines in.
    pub fn take(&mut self, news: LineNews, clock: HostClock, now: Moment) {
        for log in news.logs {
            self.take_log(&news.host, log, clock, now);
        }
        // What is looked at while it stands still is not taken away: then the newest go.
        let max = if self.paused_at.is_some() { 2 * LINES_MAX } else { LINES_MAX };
        while max < self.lines.len() {
            let gone = if self.paused_at.is_some() { self.lines.pop_last() } else { self.lines.pop_first() };
            self.forgotten += u64::from(gone.is_some());
        }
    }

    fn take_log(&mut self, host: &HostName, log: LogNews, clock: HostClock, now: Moment) {
        let fresh = u32::try_from(self.logs.len()).unwrap_or(u32::MAX);
        let key = (host.clone(), log.watch.clone());
        let state = self.logs.entry(key).or_insert(LogState { number: fresh, stamped: None, trouble: None });
        let number = state.number;
        // A line without a stamp belongs to the line before it, where that came just now; else it is as old as its news.
        let before = state.stamped.filter(|(_, came)| came.age_at(now).is_within(BELONGS_WITHIN));
        let mut at_ms = before.map_or(now.utc_ms, |(stamped_ms, _)| stamped_ms);
        let told = log.trouble.clone().filter(|trouble| state.trouble.as_ref() != Some(trouble));
        state.trouble = log.trouble;
        let entry = |text: SafeText, rest_at, kind| LogLine {
            host: host.clone(),
            watch: log.watch.clone(),
            text,
            rest_at,
            kind,
            is_kept: true,
        };
        for gap in gaps(log.missed).into_iter().chain(told) {
            let place = self.place(number, now.utc_ms);
            self.insert(place, entry(gap, 0, LineKind::Gap));
        }
        let mut stamped_ms = None;
        for text in log.lines {
            let stamp = stamp(text.as_str(), clock.zone, now.utc());
            let true_ms = stamp.map(|stamp| stamp.at.timestamp_millis() - clock.skew_ms);
            // Nothing was written after now: what says so is no stamp, and must not hide what comes later.
            let true_ms = true_ms.filter(|true_ms| *true_ms <= now.utc_ms + AHEAD_MS_MAX);
            stamped_ms = true_ms.or(stamped_ms);
            at_ms = true_ms.unwrap_or(at_ms);
            let is_error = self.error.as_ref().is_some_and(|error| error.is_match(text.as_str()));
            let kind = if is_error { LineKind::Error } else { LineKind::Plain };
            let rest_at = stamp.filter(|_| true_ms.is_some()).map_or(0, |stamp| stamp.rest_at);
            let place = self.place(number, at_ms);
            self.insert(place, entry(text, rest_at, kind));
        }
        if let Some(state) = self.logs.get_mut(&(host.clone(), log.watch.clone())) {
            state.stamped = stamped_ms.map(|stamped_ms| (stamped_ms, now)).or(state.stamped);
        }
    }

    fn place(&mut self, log: u32, at_ms: i64) -> Place {
        self.next += 1;
        Place { at_ms, log, number: self.next }
    }

    fn insert(&mut self, place: Place, line: LogLine) {
        let is_kept = line.kind == LineKind::Gap || self.keeps(line.text.as_str());
        self.lines.insert(place, LogLine { is_kept, ..line });
    }

    fn keeps(&self, text: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(text))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(text))
    }

    /// Shows only lines that match; all where the pattern is empty.
    pub fn set_include(&mut self, pattern: &str) -> Result<(), String> {
        self.include = compiled(pattern)?;
        self.sift();
        Ok(())
    }

    /// Leaves out lines that match; none where the pattern is empty.
    pub fn set_exclude(&mut self, pattern: &str) -> Result<(), String> {
        self.exclude = compiled(pattern)?;
        self.sift();
        Ok(())
    }

    pub fn include(&self) -> Option<&str> {
        self.include.as_ref().map(Regex::as_str)
    }

    pub fn exclude(&self) -> Option<&str> {
        self.exclude.as_ref().map(Regex::as_str)
    }

    fn sift(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        for line in lines.values_mut() {
            line.is_kept = line.kind == LineKind::Gap || self.keeps(line.text.as_str());
        }
        self.lines = lines;
        self.show_all();
    }

    fn show_all(&mut self) {
        let before = self.paused_at.unwrap_or(u64::MAX);
        let is_shown = |(place, line): &(&Place, &LogLine)| line.is_kept && place.number < before;
        self.shown = self.lines.iter().filter(is_shown).map(|(place, _)| *place).collect();
    }

    /// Brings what is shown up to date, unless it is paused.
    pub fn refresh(&mut self) {
        if self.paused_at.is_none() {
            self.show_all();
        }
    }

    pub fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    pub fn pause(&mut self, paused: bool) {
        self.paused_at = paused.then_some(self.next + 1);
        self.refresh();
    }

    /// Lines that came while it was paused.
    pub fn waiting(&self) -> usize {
        let Some(from) = self.paused_at else { return 0 };
        self.lines.iter().filter(|(place, line)| line.is_kept && from <= place.number).count()
    }

    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether no line has come at all.
    pub fn has_nothing(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// A shown line, and its time in milliseconds since the epoch.
    pub fn line(&self, row: usize) -> Option<(i64, &LogLine)> {
        let place = self.shown.get(row)?;
        self.lines.get(place).map(|line| (place.at_ms, line))
    }

    /// The row of the selected line; the last one while the newest are followed.
    pub fn row(&self) -> usize {
        let last = self.shown.len().saturating_sub(1);
        self.selected.map_or(last, |place| self.shown.partition_point(|shown| *shown < place).min(last))
    }

    pub fn follows(&self) -> bool {
        self.selected.is_none()
    }

    /// Selects a row; the last one means to follow.
    pub fn select(&mut self, row: usize) {
        self.selected = self.shown.get(row).copied().filter(|_| row + 1 < self.shown.len());
    }

    /// Goes to the next error, or the one before; false where there is none.
    pub fn seek_error(&mut self, forward: bool) -> bool {
        let is_error = |row: &usize| self.line(*row).is_some_and(|(_, line)| line.kind == LineKind::Error);
        let now = self.row();
        let found = match forward {
            true => (now + 1..self.len()).find(is_error),
            false => (0..now).rev().find(is_error),
        };
        if let Some(row) = found {
            self.selected = self.shown.get(row).copied();
        }
        found.is_some()
    }
}

fn gaps(missed: Missed) -> Vec<SafeText> {
    let Missed { lines, bytes, is_open } = missed;
    let unread =
        (0 < bytes).then(|| format!("… {} were not read: more came than bytes_max", bytes_words(bytes as f64)));
    let open = is_open.then(|| "… more entries came than entries_max: nobody counts what was left out".to_owned());
    let dropped = (0 < lines).then(|| format!("… dropped {lines} lines: more came than a screen holds"));
    [unread, open, dropped].into_iter().flatten().map(|text| SafeText::new(&text)).collect()
}

fn compiled(pattern: &str) -> Result<Option<Regex>, String> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let built = regex::RegexBuilder::new(pattern).case_insensitive(true).size_limit(1 << 20).build();
    built.map(Some).map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::at;

    fn host(name: &str) -> HostName {
        HostName::parse(name).unwrap_or_else(|error| panic!("{error}"))
    }

    fn clock(skew_ms: i64) -> HostClock {
        HostClock { skew_ms, zone: Utc.fix() }
    }

    fn news(name: &str, lines: &[&str]) -> LineNews {
        let lines = lines.iter().map(|line| SafeText::new(line)).collect();
        let log = LogNews { watch: "/l".into(), lines, missed: Missed::default(), trouble: None };
        LineNews { host: host(name), logs: vec![log] }
    }

    fn shown(book: &mut LogBook) -> Vec<String> {
        book.refresh();
        (0..book.len())
            .filter_map(|row| book.line(row))
            .map(|(_, line)| format!("{} {}", line.host, line.text))
            .collect()
    }

    #[test]
    fn lines_of_two_hosts_stand_in_the_order_of_their_true_times() {
        let mut book = LogBook::new(String::new());
        // b's clock is a minute ahead.
        book.take(news("b", &["2026-09-21T15:01:20Z second"]), clock(60_000), at(7_200));
        book.take(news("a", &["2026-09-21T15:00:10Z first", "2026-09-21T15:00:30Z third"]), clock(0), at(7_200));
        let order: Vec<String> =
            shown(&mut book).iter().map(|line| line.rsplit(' ').next().unwrap_or("").to_owned()).collect();
        assert_eq!(order, ["first", "second", "third"]);
    }

    #[test]
    fn a_line_without_a_stamp_stays_with_the_line_before_it() {
        let mut book = LogBook::new(String::new());
        book.take(
            news("a", &["2026-09-21T15:00:10Z Exception", "  at main()", "2026-09-21T15:00:30Z later"]),
            clock(0),
            at(7_200),
        );
        book.take(news("b", &["2026-09-21T15:00:10Z same time"]), clock(0), at(7_200));
        assert_eq!(shown(&mut book)[..2], ["a 2026-09-21T15:00:10Z Exception", "a   at main()"]);
    }

    #[test]
    fn what_was_not_read_is_a_line_of_its_own_with_its_count() {
        let mut book = LogBook::new(String::new());
        let mut more = news("a", &["2026-09-21T15:00:10Z x"]);
        more.logs[0].missed = Missed { lines: 7, bytes: 12_000, is_open: false };
        book.take(more, clock(0), at(7_200));
        let lines = shown(&mut book).join("\n");
        assert!(lines.contains("12 kB were not read") && lines.contains("dropped 7 lines"), "{lines}");
    }

    #[test]
    fn patterns_keep_and_leave_out_and_a_broken_one_changes_nothing() {
        let mut book = LogBook::new(String::new());
        book.take(news("a", &["1790000001 GET /a", "1790000002 GET /b", "1790000003 POST /b"]), clock(0), at(0));
        assert_eq!(book.set_include("get"), Ok(()));
        assert_eq!(book.set_exclude("/a$"), Ok(()));
        assert_eq!(shown(&mut book), ["a 1790000002 GET /b"]);
        assert!(book.set_include("(").is_err());
        assert_eq!(shown(&mut book), ["a 1790000002 GET /b"]);
    }

    #[test]
    fn errors_are_found_in_both_directions_and_the_last_line_follows() {
        let mut book = LogBook::new(String::new());
        book.take(
            news("a", &["1790000001 ok", "1790000002 error: x", "1790000003 ok", "1790000004 FATAL", "1790000005 ok"]),
            clock(0),
            at(0),
        );
        book.refresh();
        assert!(book.follows() && book.row() == 4);
        assert!(book.seek_error(false) && book.row() == 3);
        assert!(book.seek_error(false) && book.row() == 1);
        assert!(!book.seek_error(false) && book.seek_error(true) && book.row() == 3);
        book.select(4);
        assert!(book.follows());
    }

    #[test]
    fn a_paused_book_stands_still_and_counts_what_waits() {
        let mut book = LogBook::new(String::new());
        book.take(news("a", &["1790000001 one"]), clock(0), at(0));
        book.refresh();
        book.pause(true);
        book.take(news("a", &["1790000002 two", "1790000003 three"]), clock(0), at(0));
        assert_eq!((shown(&mut book).len(), book.waiting()), (1, 2));
        book.pause(false);
        assert_eq!(shown(&mut book).len(), 3);
    }

    #[test]
    fn a_log_without_stamps_is_as_old_as_its_news_and_one_from_the_future_hides_nothing() {
        let mut book = LogBook::new(String::new());
        book.take(news("a", &["no stamp at all", "9999999999 a request's number"]), clock(0), at(0));
        book.take(news("b", &["2026-09-21T15:13:20Z at second 3600"]), clock(0), at(3_600));
        book.take(news("a", &["later, without one"]), clock(0), at(3_700));
        let last: Vec<String> = shown(&mut book).into_iter().rev().take(2).collect();
        assert_eq!(last, ["a later, without one", "b 2026-09-21T15:13:20Z at second 3600"]);
    }

    #[test]
    fn a_trouble_that_comes_again_is_told_again() {
        let mut book = LogBook::new(String::new());
        for trouble in [Some("not read: lost"), Some("not read: lost"), None, Some("not read: lost")] {
            let mut more = news("a", &[]);
            more.logs[0].trouble = trouble.map(SafeText::from);
            book.take(more, clock(0), at(0));
        }
        assert_eq!(shown(&mut book).len(), 2);
    }

    #[test]
    fn the_oldest_lines_go_first_and_are_counted() {
        let mut book = LogBook::new(String::new());
        let lines: Vec<String> = (0..LINES_MAX + 5).map(|n| format!("{} line {n}", 1_790_000_000 + n)).collect();
        book.take(news("a", &lines.iter().map(String::as_str).collect::<Vec<_>>()), clock(0), at(0));
        assert_eq!((book.lines.len(), book.forgotten), (LINES_MAX, 5));
    }
}
