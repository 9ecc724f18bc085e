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

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use regex::{Captures, Regex};

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
pub fn render(text: &str, place: &Place) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(file) = line.strip_prefix("@new ") {
            match read_on(file, place) {
                Some(told) => {
                    push(&mut parts, &told);
                    parts.push(String::new());
                }
                None => drop(lines.by_ref().find(|line| *line == "@end")),
            }
        } else if matches!(line, "@cut" | "@end") {
            parts.push(String::new());
        } else {
            repeated(line, place).iter().for_each(|line| push(&mut parts, line));
        }
    }
    parts
}

fn push(parts: &mut [String], line: &str) {
    if let Some(part) = parts.last_mut() {
        part.push_str(line);
        part.push('\n');
    }
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
        assert_eq!(render(text, &place), expected);
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
