//! The bytes of a scenario: text as a host printed it, with the places in it that time moves.
//!
//! | written | becomes |
//! |---|---|
//! | `{now}`, `{now-3600}`, `{now%b %e %T}` | the host's clock: seconds since the epoch, or by strftime |
//! | `{begun}`, as `{now}` | the time at which the output began, the newest one where it recurs |
//! | `{100..900}` | a number on its way from one to the other while the output holds |
//! | `{last 100..900}` | the same, one step before |
//! | `{900-50 each}` | 50 less for each time that the output began |
//! | `@cut` as a line | the mark by which a script sets raw bytes apart |
//! | `@times 20 text` as a line | the text, so often |
//! | `@each text` as a line | the text once for each time that the output began, with `{begun}` of that time |
//! | `{offset 11}` | where the script was told to read on in file 11, or `-` |
//! | `@new 11`, lines, `@end` | the new lines of file 11 between cuts, where the script was told to read on |
//! | `@new 11 900` | the same from byte 900 on: what lies before was more than may be read |
//! | `@records 7 /path`, lines, `@end` | an accounting file of that number: a line is `PID UID STATUS SECONDS BEGIN NAME`, and is
//! | | there once it has ended; beside them each look of ours has left a record of its own |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use regex::{Captures, Regex};

use crate::domain::proof::acct::{AcctRecord, write};

static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{(now|begun)([+-]\d+)?(%[^}]*)?\}").ok());
static WAY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{(last )?(\d+)\.\.(\d+)\}").ok());
static OFFSET: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{offset (\d+)\}").ok());
static EACH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{(\d+)([+-]\d+) each\}").ok());

/// A line of an output is repeated so often at most.
const TIMES_MAX: usize = 1_000;

/// Where in time an output is read.
pub struct Place<'a> {
    pub begins: DateTime<Utc>,
    /// All of these count from the beginning.
    pub at: Duration,
    pub step: Duration,
    pub from: Duration,
    pub until: Duration,
    /// How often the output began by now.
    pub begun: u32,
    pub every: Option<Duration>,
    /// Where the script was told to read on, by the file's number.
    pub offsets: &'a Offsets,
}

/// Offsets by the numbers of files, as the script was given them.
pub type Offsets = BTreeMap<String, String>;

/// The bytes at their cuts.
pub fn render(text: &str, place: &Place) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(file) = line.strip_prefix("@new ") {
            match read_on(file, place) {
                Some(told) => {
                    push(&mut parts, &told);
                    parts.push(Vec::new());
                }
                None => drop(lines.by_ref().find(|line| *line == "@end")),
            }
        } else if let Some(file) = line.strip_prefix("@records ") {
            let block: Vec<String> =
                lines.by_ref().take_while(|line| *line != "@end").flat_map(|line| repeated(line, place)).collect();
            records(file, &block, place, &mut parts);
        } else if matches!(line, "@cut" | "@end") {
            parts.push(Vec::new());
        } else {
            repeated(line, place).iter().for_each(|line| push(&mut parts, line));
        }
    }
    parts
}

fn push(parts: &mut [Vec<u8>], line: &str) {
    if let Some(part) = parts.last_mut() {
        part.extend_from_slice(line.as_bytes());
        part.push(b'\n');
    }
}

/// The session that our own looks run in, as far as a scenario has one.
const SESSION: u32 = 500;
/// Looks of ours that left a record: a scenario of more steps is none that one watches.
const LOOKS_MAX: u32 = 20_000;

/// An accounting file as it is by now, and what of it is new to who asks.
fn records(file: &str, block: &[String], place: &Place, parts: &mut Vec<Vec<u8>>) {
    let (number, path) = file.split_once(' ').unwrap_or((file, ""));
    let now_s = (place.begins + place.at).timestamp();
    let mut ended: Vec<AcctRecord> = block.iter().filter_map(|line| record(line)).collect();
    let looks = (place.at.as_secs() / place.step.as_secs().max(1)).min(u64::from(LOOKS_MAX)) as u32;
    ended.extend((0..=looks).filter_map(|look| {
        let at = place.begins + place.step * look;
        Some(named(b"sh", [1_000 + look, SESSION, 0, u32::try_from(at.timestamp()).ok()?], 0))
    }));
    ended.retain(|record| record.end_ms() <= now_s * 1_000);
    ended.sort_by_key(AcctRecord::end_ms);
    let bytes: Vec<u8> = ended.iter().flat_map(write).collect();
    push(parts, &format!("a {number} {} {now_s} {path}", bytes.len()));
    let Some(from) = place.offsets.get(number).and_then(|offset| offset.parse::<usize>().ok()) else { return };
    push(parts, &format!("c {number} {from}"));
    parts.push(bytes.get(from..).unwrap_or_default().to_vec());
    parts.push(Vec::new());
}

/// `PID UID STATUS SECONDS BEGIN NAME`, the status as the kernel keeps it.
fn record(line: &str) -> Option<AcctRecord> {
    let mut words = line.splitn(6, ' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let (pid, uid, status, seconds, begin_s) = (number()?, number()?, number()?, number()?, number()?);
    Some(AcctRecord { uid, ..named(words.next()?.as_bytes(), [pid, 1, status, begin_s], seconds) })
}

fn named(name: &[u8], [pid, ppid, status, begin_s]: [u32; 4], seconds: u32) -> AcctRecord {
    let mut comm = [0; 16];
    let length = name.len().min(comm.len() - 1);
    comm[..length].copy_from_slice(&name[..length]);
    let elapsed_ms = u64::from(seconds) * 1_000;
    AcctRecord { version: 3, pid, ppid, status, begin_s, elapsed_ms, comm, ..AcctRecord::default() }
}

/// What a script says before new bytes; a file that it was not told of is not read.
fn read_on(file: &str, place: &Place) -> Option<String> {
    let (number, from) = file.split_once(' ').unwrap_or((file, ""));
    let offset = place.offsets.get(number)?;
    let from = if from.is_empty() { offset.clone() } else { filled(from, place) };
    Some(format!("c {number} {from}"))
}

fn repeated(line: &str, place: &Place) -> Vec<String> {
    if let Some(text) = line.strip_prefix("@each ") {
        return (1..=place.begun).map(|begun| filled(text, &Place { begun, ..*place })).collect();
    }
    if let Some((times, text)) = line.strip_prefix("@times ").and_then(|rest| rest.split_once(' ')) {
        let filled = filled(text, place);
        return vec![filled; times.parse::<usize>().unwrap_or(0).min(TIMES_MAX)];
    }
    vec![filled(line, place)]
}

fn filled(line: &str, place: &Place) -> String {
    let line = replaced(&TIME, line, |found| place.time(found));
    let line = replaced(&WAY, &line, |found| place.on_the_way(found));
    let line = replaced(&EACH, &line, |found| place.for_each(found));
    replaced(&OFFSET, &line, |found| place.offsets.get(&found[1]).map_or("-", String::as_str).to_owned()).into_owned()
}

fn replaced<'a>(pattern: &LazyLock<Option<Regex>>, line: &'a str, by: impl Fn(&Captures) -> String) -> Cow<'a, str> {
    match LazyLock::force(pattern) {
        Some(pattern) => pattern.replace_all(line, by),
        None => Cow::Borrowed(line),
    }
}

fn number(found: &Captures, group: usize) -> i64 {
    found.get(group).and_then(|digits| digits.as_str().parse().ok()).unwrap_or(0)
}

impl Place<'_> {
    fn time(&self, found: &Captures) -> String {
        let since = match &found[1] {
            "now" => self.at,
            _ => self.from.saturating_add(self.every.unwrap_or_default() * self.begun.saturating_sub(1)),
        };
        let at = self.begins + since + chrono::Duration::seconds(number(found, 2));
        match found.get(3) {
            None => at.timestamp().to_string(),
            Some(format) => {
                let mut shown = String::new();
                // A format that there is none such stays as it is written.
                match write!(shown, "{}", at.format(format.as_str())) {
                    Ok(()) => shown,
                    Err(_) => found[0].to_owned(),
                }
            }
        }
    }

    fn on_the_way(&self, found: &Captures) -> String {
        let at = if found.get(1).is_some() { self.at.saturating_sub(self.step) } else { self.at };
        let whole = self.until.saturating_sub(self.from).as_secs_f64().max(1.0);
        let done = (at.saturating_sub(self.from).as_secs_f64() / whole).clamp(0.0, 1.0);
        let (from, to) = (number(found, 2) as f64, number(found, 3) as f64);
        format!("{:.0}", from + (to - from) * done)
    }

    fn for_each(&self, found: &Captures) -> String {
        let each = number(found, 2).saturating_mul(i64::from(self.begun));
        number(found, 1).saturating_add(each).max(0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn check(text: &str, at_hours: u32, expected: &[&str]) {
        let offsets = BTreeMap::from([("11".to_owned(), "512".to_owned())]);
        let place = Place {
            offsets: &offsets,
            begins: DateTime::UNIX_EPOCH,
            at: HOUR * at_hours,
            step: HOUR,
            from: HOUR * 2,
            until: HOUR * 12,
            begun: 2,
            every: Some(HOUR * 4),
        };
        let shown: Vec<String> =
            render(text, &place).iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_hosts_clock_moves_with_the_scenario() {
        check("{now%Q}", 7, &["{now%Q}\n"]);
        check("now {now} {now-60} {now%H:%M} {begun%H:%M}", 7, &["now 25200 25140 07:00 06:00\n"]);
    }

    #[test]
    fn numbers_move_from_one_end_to_the_other() {
        check("{100..200} {last 100..200} {900-50 each} {900+50 each}", 7, &["150 140 800 1000\n"]);
        check("{200..100}", 12, &["100\n"]);
    }

    #[test]
    fn lines_are_cut_and_repeated() {
        check("a\n@cut\n@times 2 b {now}\n@each c {begun}\n", 7, &["a\n", "b 25200\nb 25200\nc 7200\nc 21600\n"]);
    }

    #[test]
    fn new_lines_are_read_on_from_where_the_script_was_told() {
        check("f {offset 11}\n@new 11\nx\n@end\n@new 12\ny\n@end\nz\n", 2, &["f 512\nc 11 512\n", "x\n", "z\n"]);
        check("@new 11 {100..200}\nx\n@end\n", 7, &["c 11 150\n", "x\n", ""]);
    }

    #[test]
    fn other_braces_are_the_hosts_own() {
        check(r#"{"archives":[{"name":"a"}]} {}"#, 7, &["{\"archives\":[{\"name\":\"a\"}]} {}\n"]);
    }
}
