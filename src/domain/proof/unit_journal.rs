//! The runs of a timer's service, as systemd's own messages in the journal tell them.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;

use super::run::JobRun;
use super::word::{Speaker, Word};
use crate::domain::action::objects::RemoteBytes;
use crate::domain::probe::cron::CronRun;
use crate::domain::probe::lines;
use crate::domain::text::SafeText;

/// `$1` the timer's unit, `$2` and `$3` a window in seconds since the epoch. Between cuts: the unit files, what systemd knows
/// of the service, and the journal's records of it, a JSON object a line.
pub const SCRIPT: &str = r#"
dw_service=$(systemctl show --no-pager -p Unit --value -- "$1" </dev/null 2>/dev/null)
dw_cut
systemctl cat --no-pager -- "$1" ${dw_service:+"$dw_service"} </dev/null 2>/dev/null
dw_cut
[ -n "$dw_service" ] && systemctl show --no-pager -- "$dw_service" </dev/null 2>/dev/null
dw_cut
[ -n "$dw_service" ] && journalctl -q --no-pager -o json --output-fields=MESSAGE_ID,INVOCATION_ID,UNIT_RESULT,EXIT_CODE,EXIT_STATUS,MESSAGE,_PID,_COMM --since "@$2" --until "@$3" -u "$dw_service" </dev/null 2>/dev/null
dw_cut
:
"#;

/// Runs that are told of.
const RUNS_MAX: usize = 10_000;

/// What systemd's messages are about (systemd.journal-fields(7), sd-messages.h).
const STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
const PROCESS_EXITED: &str = "98e322203f7a4ed290d09fe03c09fe15";
const SUCCEEDED: &str = "7ad2d189f7e94e70a38c781354912448";
const FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    at_us: String,
    #[serde(rename = "MESSAGE_ID")]
    message_id: Option<String>,
    #[serde(rename = "INVOCATION_ID")]
    invocation: Option<String>,
    #[serde(rename = "UNIT_RESULT")]
    result: Option<String>,
    #[serde(rename = "EXIT_CODE")]
    exit_code: Option<String>,
    #[serde(rename = "EXIT_STATUS")]
    exit_status: Option<String>,
}

#[derive(Default)]
struct Seen {
    begin_ms: Option<i64>,
    /// When it ended, and whether well.
    end: Option<(i64, bool)>,
    how: Option<String>,
    line: RemoteBytes,
}

/// Reads the journal's records of a service; lines that are none are passed over.
pub fn runs(journal: &[u8], service: &str) -> Vec<JobRun> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for (_, line) in lines(journal) {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
        let at_ms = entry.at_us.parse::<i64>().ok().map(|at_us| at_us / 1_000);
        let (Some(invocation), Some(at_ms), Some(message)) = (&entry.invocation, at_ms, &entry.message_id) else {
            continue;
        };
        if RUNS_MAX <= seen.len() && !seen.contains_key(invocation) {
            continue;
        }
        let run = seen.entry(invocation.clone()).or_default();
        match message.as_str() {
            STARTING => {
                run.begin_ms = Some(at_ms);
                run.line = RemoteBytes::new(line);
            }
            // A service of another kind than oneshot has no other beginning.
            STARTED => run.begin_ms = run.begin_ms.or(Some(at_ms)),
            PROCESS_EXITED => run.how = exit_words(entry.exit_code.as_deref(), entry.exit_status.as_deref()),
            SUCCEEDED => run.end = Some((at_ms, true)),
            FAILED => {
                run.end = Some((at_ms, false));
                let result = entry.result.unwrap_or_else(|| "failed".to_owned());
                run.how = Some(run.how.take().map_or(result.clone(), |how| format!("{result}: {how}")));
            }
            _ => {}
        }
    }
    let run = |(invocation, seen): (String, Seen)| {
        let invocation = Some(SafeText::new(&invocation));
        seen.run(service).map(|run| JobRun { invocation, ..run })
    };
    let mut runs: Vec<JobRun> = seen.into_iter().filter_map(run).collect();
    runs.sort_by_key(|run| run.run.at);
    runs
}

impl Seen {
    fn run(self, service: &str) -> Option<JobRun> {
        let begin_ms = self.begin_ms?;
        let run = CronRun {
            at: DateTime::from_timestamp_millis(begin_ms)?,
            user: "".into(),
            command: service.into(),
            pid: 0,
            failed_with: None,
            line: self.line,
        };
        let word = self.end.map(|(at_ms, is_ok)| Word {
            by: Speaker::Systemd,
            is_ok,
            from_ms: at_ms,
            at_ms,
            took_ms: u64::try_from(at_ms - begin_ms).ok(),
            text: SafeText::new(self.how.as_deref().filter(|_| !is_ok).unwrap_or("success")),
        });
        Some(JobRun { words: word.into_iter().collect(), ..JobRun::begun(run) })
    }
}

fn exit_words(code: Option<&str>, status: Option<&str>) -> Option<String> {
    match (code?, status?) {
        ("exited", status) => Some(format!("exit status {status}")),
        ("killed", signal) => Some(format!("killed by signal {signal}")),
        ("dumped", signal) => Some(format!("killed by signal {signal}, with a core")),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(journal: &str) -> Vec<String> {
        let words = |run: &JobRun| {
            let word = run.words.first().map_or("no end".to_owned(), |word| format!("{} {}", word.is_ok, word.text));
            format!("{} {:?} {word}", run.run.at.format("%H:%M:%S"), run.took_ms())
        };
        runs(journal.as_bytes(), "x.service").iter().map(words).collect()
    }

    /// `journalctl -o json -u UNIT` of systemd 252, Debian 12, without fields that are not read.
    #[test]
    fn each_invocation_is_a_run_with_its_end() {
        let entry = |at_s: u32, message: &str, invocation: &str, more: &str| {
            format!(
                "{{\"__REALTIME_TIMESTAMP\":\"17952354{at_s:02}000000\",\"MESSAGE_ID\":\"{message}\",\"INVOCATION_ID\":\"{invocation}\"{more}}}\n"
            )
        };
        let journal = [
            entry(1, STARTING, "a", ""),
            entry(3, SUCCEEDED, "a", ""),
            entry(3, STARTED, "a", ""),
            "{\"MESSAGE\":\"not systemd's own\",\"__REALTIME_TIMESTAMP\":\"1795235404000000\"}\nnoise\n".to_owned(),
            entry(10, STARTING, "b", ""),
            entry(11, PROCESS_EXITED, "b", ",\"EXIT_CODE\":\"exited\",\"EXIT_STATUS\":\"3\""),
            entry(11, FAILED, "b", ",\"UNIT_RESULT\":\"exit-code\""),
            entry(20, STARTING, "c", ""),
        ];
        assert_eq!(
            told(&journal.concat()),
            [
                "04:30:01 Some(2000) true success",
                "04:30:10 Some(1000) false exit-code: exit status 3",
                "04:30:20 None no end"
            ]
        );
    }
}
