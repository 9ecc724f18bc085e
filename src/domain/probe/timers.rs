//! systemd's timers: when each runs, and how the newest run of its service ended.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::cron::{CronEntry, CronReading};
use crate::domain::text::SafeText;

/// The newest run of a timer's service, as systemd remembers it since the host was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRun {
    /// By the host's clock, in whole seconds.
    pub at: DateTime<Utc>,
    pub pid: u32,
    /// systemd's id of the run, whatever its processes; `None` before systemd 232.
    pub invocation: Option<SafeText>,
    /// `None` while it runs.
    pub took_ms: Option<u64>,
    /// systemd's Result (`success`, `exit-code`, `timeout`, …), with the exit status or signal where it failed.
    pub ended: Option<UnitEnd>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitEnd {
    pub is_success: bool,
    pub words: SafeText,
}

/// What is known of a timer's service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Whether it runs now: until it ends, systemd's Result is `success`.
    pub runs: bool,
    /// systemd's Result, where it does not run.
    pub result: Option<SafeText>,
    /// `None` where this systemd tells nothing of the process, or none was begun since the host was started.
    pub ran: Option<UnitRun>,
    /// Whether systemd said that it began no process of it since the host was started.
    pub never_ran: bool,
}

#[derive(Deserialize)]
struct TimerRow {
    next: Option<i64>,
    last: Option<i64>,
    unit: String,
    activates: Option<String>,
}

/// `Thu 2026-11-26 04:30:00 UTC`, as systemctl writes a time where TZ is UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let stamp = text.strip_suffix(" UTC")?;
    let (_weekday, stamp) = stamp.split_once(' ')?;
    Some(NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S").ok()?.and_utc())
}

/// Reads what `systemctl show` printed of `ExecMain*` (org.freedesktop.systemd1(5)): blocks of `Key=value`, apart by empty
/// lines. How long a run took is told by systemd's monotonic times, which no step of the clock bends.
fn states(text: &[u8]) -> BTreeMap<String, UnitState> {
    let text = String::from_utf8_lossy(text);
    let block = |block: &str| {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| value(key)?.parse::<i64>().ok();
        let began_us = number("ExecMainStartTimestampMonotonic");
        let ended_us = number("ExecMainExitTimestampMonotonic").filter(|ended_us| began_us <= Some(*ended_us));
        let (runs, is_begun) = match value("ActiveState") {
            // What remains active after its process ended (RemainAfterExit) runs no more.
            Some("active") => (ended_us.is_none(), true),
            // Until its own process begins, the one that is told of is that of the run before.
            Some("activating") => (true, ended_us.is_none()),
            Some("deactivating") => (true, true),
            Some(_) | None => (false, true),
        };
        let result = value("Result").filter(|_| !runs);
        let never_ran = began_us == Some(0);
        let ran = value("ExecMainStartTimestamp").and_then(time).filter(|_| is_begun).and_then(|at| {
            let began_us = began_us.filter(|began_us| 0 < *began_us)?;
            let took_us = ended_us.map(|ended_us| ended_us - began_us);
            Some(UnitRun {
                at,
                pid: u32::try_from(number("ExecMainPID")?).ok()?,
                invocation: value("InvocationID").filter(|id| !id.is_empty()).map(SafeText::new),
                took_ms: took_us.and_then(|took_us| u64::try_from(took_us / 1_000).ok()),
                ended: result.map(|result| end(result, number("ExecMainCode"), number("ExecMainStatus"))),
            })
        });
        Some((value("Id")?.to_owned(), UnitState { runs, result: result.map(SafeText::new), ran, never_ran }))
    };
    text.split("\n\n").filter_map(block).collect()
}

/// `exit-code: exit status 3`. The code is that of waitid(2): 1 for an exit, 2 for a signal, 3 for one with a core.
fn end(result: &str, code: Option<i64>, status: Option<i64>) -> UnitEnd {
    let is_success = result == "success";
    let how = match (is_success, code, status) {
        (false, Some(1), Some(status)) => format!(": exit status {status}"),
        (false, Some(2), Some(signal)) => format!(": killed by signal {signal}"),
        (false, Some(3), Some(signal)) => format!(": killed by signal {signal}, with a core"),
        (true | false, _, _) => String::new(),
    };
    UnitEnd { is_success, words: format!("{result}{how}").into() }
}

/// Takes what `systemctl list-timers --output=json` and `systemctl show` printed.
pub fn read(json: &[u8], shown: &[u8], reading: &mut CronReading) {
    if json.trim_ascii().is_empty() {
        return;
    }
    let Ok(rows) = serde_json::from_slice::<Vec<TimerRow>>(json) else {
        // Before systemd 246 list-timers knew no JSON.
        reading.denied.push("systemd's timers: list-timers gave no JSON".into());
        return;
    };
    let states = states(shown);
    for row in rows {
        let activates = row.activates.unwrap_or_default();
        let mut entry = CronEntry::new(row.unit.as_str().into(), None, "timer".into(), activates.as_str().into());
        // Microseconds; 0 means never, null infinity.
        let time = |micros: Option<i64>| micros.filter(|micros| 0 < *micros).and_then(DateTime::from_timestamp_micros);
        (entry.next, entry.last) = (time(row.next), time(row.last));
        entry.unit = states.get(&activates).cloned();
        reading.entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(shown: &str) -> UnitState {
        let json = br#"[{"next":1795240800000000,"last":1795235401000000,"unit":"x.timer","activates":"x.service"}]"#;
        let mut reading = CronReading::default();
        read(json, shown.as_bytes(), &mut reading);
        reading.entries.remove(0).unit.unwrap_or_default()
    }

    fn ran(lines: &str) -> Option<UnitRun> {
        let times = "ExecMainStartTimestamp=Sat 2026-11-21 04:30:39 UTC\nExecMainStartTimestampMonotonic=40000000\n\
                     ExecMainExitTimestampMonotonic=";
        read_one(&format!("Id=x.service\nExecMainPID=77\n{times}{lines}\n")).ran
    }

    #[test]
    fn a_run_that_ended_has_its_time_its_length_and_how() {
        let failed = "41500000\nActiveState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=3";
        let ended = Some(UnitEnd { is_success: false, words: "exit-code: exit status 3".into() });
        let at = "2026-11-21T04:30:39Z".parse().unwrap_or_default();
        assert_eq!(ran(failed), Some(UnitRun { at, pid: 77, invocation: None, took_ms: Some(1_500), ended }));
        let killed = "41500000\nActiveState=failed\nResult=signal\nExecMainCode=2\nExecMainStatus=9";
        let words = ran(killed).and_then(|ran| ran.ended).map(|end| end.words.to_string());
        assert_eq!(words.as_deref(), Some("signal: killed by signal 9"));
    }

    #[test]
    fn what_runs_has_no_end_whatever_its_result_says() {
        // The end of the run before it.
        let runs = ran("1000\nActiveState=activating\nResult=success");
        assert_eq!(runs.map(|ran| (ran.took_ms, ran.ended)), Some((None, None)));
    }

    #[test]
    fn what_remains_after_its_end_runs_no_more_and_what_is_prepared_tells_nothing_of_the_run_before() {
        let remains = ran("41500000\nActiveState=active\nResult=success\nExecMainCode=1\nExecMainStatus=0");
        let end = UnitEnd { is_success: true, words: "success".into() };
        assert_eq!(remains.map(|ran| (ran.took_ms, ran.ended)), Some((Some(1_500), Some(end))));
        // systemd has set the result of the run before to success already.
        assert_eq!(ran("41500000\nActiveState=activating\nResult=success\nExecMainCode=1\nExecMainStatus=3"), None);
    }

    #[test]
    fn a_result_without_any_process_is_no_run() {
        let state = read_one(
            "Id=x.service\nResult=success\nActiveState=inactive\nExecMainPID=0\n\
             ExecMainStartTimestampMonotonic=0\nExecMainExitTimestampMonotonic=0\n",
        );
        assert_eq!((state.ran, state.never_ran, state.runs), (None, true, false));
    }

    #[test]
    fn an_older_systemd_tells_its_result_alone() {
        let state = read_one("Id=x.service\nResult=success\nActiveState=inactive\n");
        assert_eq!((state.result, state.ran, state.never_ran), (Some("success".into()), None, false));
    }
}
