//! The journal, whole or of a unit, read by cursor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::logs::{LogReading, LogsReading, Purpose};
use super::recent_matches::RecentMatches;
use super::script::Answer;
use super::{ParseError, lines};
use crate::domain::settings::{LogSettings, LogWatch};
use crate::domain::text::SafeText;

/// `$1` is the cap in entries, `$2` how many are told where nothing is known yet, then for each watch its unit (or nothing) and its cursor (or nothing).
///
/// Prints `g GROUPS`, then for each watch a cut, journalctl's lines with its last one `-- cursor: …`, and a cut.
pub const SCRIPT: &str = r#"
dw_max=$1 dw_first=$2; shift 2
printf 'g %s %s\n' "$(id -u </dev/null)" "$(id -nG </dev/null)"
while [ $# -gt 1 ]; do
  dw_unit=$1 dw_cursor=$2; shift 2
  dw_cut
  if command -v journalctl >/dev/null; then
    if [ -n "$dw_cursor" ]; then
      journalctl -q --no-pager -o short-iso -n "$dw_max" --show-cursor --after-cursor="$dw_cursor" ${dw_unit:+-u "$dw_unit"} </dev/null 2>/dev/null
    else
      journalctl -q --no-pager -o short-iso -n "$dw_first" --show-cursor ${dw_unit:+-u "$dw_unit"} </dev/null 2>/dev/null
    fi
  else
    printf -- '-- none\n'
  fi
  dw_cut
done
:
"#;

/// Each watch's cursor, checked to be one before it goes back to the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalCursors {
    /// When they were last moved, milliseconds since the epoch by the observer's clock.
    pub moved_ms: Option<i64>,
    pub recent: RecentMatches,
    cursors: BTreeMap<String, String>,
}

impl JournalCursors {
    /// The parameters of [`SCRIPT`].
    pub fn parameters<'a>(
        &self,
        watches: impl Iterator<Item = &'a LogWatch>,
        limits: LogSettings,
        first_entries: u32,
    ) -> Vec<String> {
        let mut parameters = vec![limits.entries_max.to_string(), first_entries.to_string()];
        for watch in watches {
            let LogWatch::Journal(unit) = watch else { continue };
            let cursor = self.cursors.get(&watch.label()).cloned().unwrap_or_default();
            parameters.extend([unit.clone().unwrap_or_default(), cursor]);
        }
        parameters
    }
}

/// Reads [`SCRIPT`]'s answer, and moves the cursors.
pub fn parse(
    answer: &Answer,
    watches: &[LogWatch],
    purpose: Purpose,
    limits: LogSettings,
    cursors: &mut JournalCursors,
) -> Result<LogsReading, ParseError> {
    let head = answer.parts.first().copied().unwrap_or(answer.body);
    let may_read = may_read_the_journal(head);
    // The parts are: groups, watch, gap, watch, gap …
    let outputs = answer.parts.iter().skip(1).step_by(2);
    let journals = watches.iter().filter(|watch| matches!(watch, LogWatch::Journal(_)));
    let mut logs = Vec::new();
    for (watch, output) in journals.zip(outputs) {
        logs.push(read_one(watch, output, purpose, limits, may_read, cursors));
    }
    match logs.is_empty() {
        true => Err(ParseError::Empty),
        false => Ok(LogsReading { logs }),
    }
}

fn may_read_the_journal(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let groups = text.lines().find_map(|line| line.strip_prefix("g ")).unwrap_or_default();
    groups.starts_with("0 ") || groups.split(' ').any(|group| matches!(group, "adm" | "systemd-journal" | "wheel"))
}

fn read_one(
    watch: &LogWatch,
    output: &[u8],
    purpose: Purpose,
    limits: LogSettings,
    may_read: bool,
    cursors: &mut JournalCursors,
) -> LogReading {
    let label = watch.label();
    let before = cursors.cursors.get(&label).cloned();
    let known = before.is_some();
    let mut log = LogReading::new(SafeText::new(&label), !known);
    let mut entries = Vec::new();
    for (_, line) in lines(output) {
        match line.strip_prefix(b"-- ") {
            None => entries.push(line),
            Some(b"none") => log.trouble = Some("this host has no journal (no journalctl)".into()),
            Some(rest) => {
                if let Some(cursor) = rest.strip_prefix(b"cursor: ").and_then(checked_cursor) {
                    cursors.cursors.insert(label.clone(), cursor);
                }
            }
        }
    }
    let reads_on = before.is_some_and(|cursor| !cursor.is_empty());
    // Nothing was asked for from before the first look, unless it is to be shown.
    if reads_on || (!known && matches!(purpose, Purpose::Show)) {
        entries.iter().for_each(|entry| log.take(&[entry, b"\n".as_slice()].concat(), purpose));
        if reads_on && limits.entries_max as usize <= entries.len() {
            // journalctl does not tell how many entries it left out.
            log.gap_is_open = true;
            // Reading on from here would fall ever further behind: it goes on at the end.
            cursors.cursors.insert(label.clone(), String::new());
        }
    }
    if known && !reads_on {
        // Since the look that left entries out nobody has counted either.
        log.gap_is_open = true;
    }
    if log.trouble.is_none() && !may_read {
        log.trouble = Some("only this user's own journal may be read: add it to group systemd-journal".into());
    } else if log.trouble.is_none() && !cursors.cursors.contains_key(&label) {
        log.trouble = Some("the journal has no entry".into());
    }
    log
}

/// systemd's cursors are `s=HEX;i=HEX;…`; anything else does not go back.
fn checked_cursor(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let allowed = |c: char| c.is_ascii_hexdigit() || matches!(c, 's' | 'i' | 'b' | 'm' | 't' | 'x' | '=' | ';');
    (text.len() <= 300 && text.chars().all(allowed)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::{Settings, built_in_rules};

    fn poll(cursors: &mut JournalCursors, groups: &str, output: &str) -> LogReading {
        let answer = Answer { body: b"", parts: vec![groups.as_bytes(), output.as_bytes()], status: 0 };
        let limits = Settings::default().log;
        let reading =
            parse(&answer, &[LogWatch::Journal(None)], Purpose::Count(&built_in_rules(), &[]), limits, cursors);
        reading.unwrap_or_else(|error| panic!("{error}")).logs.remove(0)
    }

    #[test]
    fn the_second_poll_counts_what_came_after_the_cursor() {
        let mut cursors = JournalCursors::default();
        assert!(poll(&mut cursors, "g 0 root\n", "x y: old\n-- cursor: s=ab;i=1\n").first_sample);
        assert_eq!(cursors.parameters([LogWatch::Journal(None)].iter(), Settings::default().log, 1)[3], "s=ab;i=1");
        let log = poll(&mut cursors, "g 0 root\n", "x sshd[1]: Failed password for y\n-- cursor: s=ab;i=2\n");
        assert_eq!((log.new_lines, log.matches.get("auth-failure")), (1, Some(&1)));
    }

    #[test]
    fn a_cursor_that_is_none_never_goes_back() {
        let mut cursors = JournalCursors::default();
        poll(&mut cursors, "g 0 root\n", "-- cursor: $(rm -rf /)\n");
        assert_eq!(cursors, JournalCursors::default());
    }

    #[test]
    fn a_user_outside_the_groups_is_told_which_to_join() {
        let log = poll(&mut JournalCursors::default(), "g 1000 op\n", "-- cursor: s=1\n");
        assert!(log.trouble.is_some_and(|trouble| trouble.as_str().contains("group systemd-journal")));
    }
}
