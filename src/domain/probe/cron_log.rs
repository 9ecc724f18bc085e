//! cron's log: its runs, its failures and what it made of tables, of whatever make cron and syslog are.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::cron::{CronReading, CronRun, LogFile, TableLoad};
use super::lines;
use crate::domain::action::objects::RemoteBytes;
use crate::domain::text::SafeText;

/// What is remembered of tables in one look.
const LOADS_MAX: usize = 500;
/// The log itself, and three that may be older ones.
const LOG_FILES_MAX: usize = 4;

/// Reads cron's log behind `e SOURCE`, and what may not be read.
pub(super) fn read_log(log: &[u8], zone: Tz, now: DateTime<Utc>, reading: &mut CronReading) {
    for (_, line) in lines(log) {
        match line {
            [b'e', b' ', source @ ..] => reading.evidence = Some(SafeText::from_bytes_capped(source, 100)),
            [b'd', b' ', path @ ..] => reading.denied.push(SafeText::from_bytes_capped(path, 100)),
            [b'i', b' ', ..] if LOG_FILES_MAX <= reading.log_files.len() => {}
            [b'i', b' ', numbers @ ..] => reading.log_files.extend(log_file(numbers)),
            line => {
                let text = SafeText::from_bytes(line);
                let Some((at, message)) = log_line(text.as_str(), zone, now) else { continue };
                reading.covers_from = Some(reading.covers_from.map_or(at, |first| first.min(at)));
                // A number is used again: the failure is of the last run before it.
                if let Some((pid, status)) = failure(message)
                    && let Some(run) = reading.runs.iter_mut().rev().find(|run| run.pid == pid)
                {
                    run.failed_with = Some(status);
                }
                reading.runs.extend(run(at, message, line));
                reading.loads.extend(table_load(message));
                let surplus = reading.loads.len().saturating_sub(LOADS_MAX);
                reading.loads.drain(..surplus);
            }
        }
    }
}

fn log_file(numbers: &[u8]) -> Option<LogFile> {
    let (inode, size) = std::str::from_utf8(numbers).ok()?.split_once(' ')?;
    Some(LogFile { inode: inode.parse().ok()?, size_bytes: size.trim_end().parse().ok()? })
}

/// The runs that a log's own lines tell of, whatever else is in it.
pub fn runs_in(log: &[u8], zone: Tz, now: DateTime<Utc>) -> Vec<CronRun> {
    let mut reading = CronReading::default();
    read_log(log, zone, now, &mut reading);
    reading.runs
}

/// `TIME HOST IDENT[PID]: MESSAGE` in the three forms that syslog daemons and journalctl write; the message begins at IDENT.
fn log_line(line: &str, zone: Tz, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &str)> {
    let (first, rest) = line.split_once(' ')?;
    if let Some((seconds, _)) = first.split_once('.')
        && let Ok(seconds) = seconds.parse::<i64>()
    {
        return Some((DateTime::from_timestamp(seconds, 0)?, rest.split_once(' ')?.1));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(first) {
        return Some((at.with_timezone(&Utc), rest.split_once(' ')?.1));
    }
    // `Nov 21 04:30:01 host …`: without a year or zone, so in the host's, and never in the future.
    let stamp = line.get(..15)?;
    let rest = line.get(16..)?.split_once(' ')?.1;
    let local_now = now.with_timezone(&zone);
    let in_year = |year: i32| {
        let naive = NaiveDateTime::parse_from_str(&format!("{year} {stamp}"), "%Y %b %e %H:%M:%S").ok()?;
        zone.from_local_datetime(&naive).earliest().map(|at| at.with_timezone(&Utc))
    };
    let tomorrow = now + chrono::Duration::days(1);
    let at = in_year(local_now.year()).filter(|at| *at <= tomorrow).or_else(|| in_year(local_now.year() - 1))?;
    Some((at, rest))
}

/// `CRON[123]: (root) CMD (command)`, with `[124] command` at higher log levels; BusyBox: `crond[9]: USER root pid 123 cmd command`.
fn run(at: DateTime<Utc>, message: &str, line: &[u8]) -> Option<CronRun> {
    let line = RemoteBytes::new(line);
    let (ident, text) = message.split_once(": ")?;
    let of_ident = || ident.split_once('[')?.1.strip_suffix(']')?.parse::<u32>().ok();
    if let Some(rest) = text.strip_prefix("USER ") {
        let (user, rest) = rest.split_once(" pid ")?;
        let (pid, command) = rest.split_once(" cmd ")?;
        return Some(CronRun {
            at,
            user: user.into(),
            command: command.into(),
            pid: pid.trim().parse().ok()?,
            failed_with: None,
            line,
        });
    }
    let (user, rest) = text.strip_prefix('(')?.split_once(") CMD (")?;
    let command = rest.strip_suffix(')').unwrap_or(rest);
    let numbered = || {
        let (pid, command) = command.strip_prefix('[')?.split_once("] ")?;
        Some((pid.parse::<u32>().ok()?, command))
    };
    let (pid, command) = numbered().or_else(|| Some((of_ident()?, command)))?;
    Some(CronRun { at, user: user.into(), command: command.trim().into(), pid, failed_with: None, line })
}

/// `cron[1]: Error: bad minute; while reading /etc/cron.d/jobs`, and `cron[1]: (*system*jobs) RELOAD (/etc/cron.d/jobs)`.
fn table_load(message: &str) -> Option<TableLoad> {
    let (_, text) = message.split_once(": ")?;
    if let Some((why, file)) = text.strip_prefix("Error: ").and_then(|rest| rest.split_once("; while reading ")) {
        return Some(TableLoad { file: file.trim().into(), refused: Some(why.into()) });
    }
    let (_, file) = text.split_once(") RELOAD (")?;
    Some(TableLoad { file: file.strip_suffix(')')?.into(), refused: None })
}

/// `(CRON) error (grandchild #124 failed with exit status 3)`.
fn failure(message: &str) -> Option<(u32, i32)> {
    let (_, rest) = message.split_once("(grandchild #")?;
    let (pid, rest) = rest.split_once(" failed with exit status ")?;
    Some((pid.parse().ok()?, rest.trim_end_matches(')').parse().ok()?))
}
