//! A time as people type it: `04:30`, `2026-11-21 04:30`, `2026-11-21T04:30:00Z`, and how much around it is meant.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// Before and after the time, where nothing else is said.
const AROUND: Duration = Duration::from_secs(300);
const AROUND_MAX: Duration = Duration::from_secs(24 * 3_600);

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl When {
    /// The time that was meant.
    pub fn middle_ms(&self) -> i64 {
        i64::midpoint(self.from.timestamp_millis(), self.to.timestamp_millis())
    }
}

/// Reads `TIME [AROUND]`; a time without a date is the last one of that, one without a zone is the host's.
pub fn parse(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<When, String> {
    let text = text.trim();
    let (time, around) = match text.rsplit_once(' ').map(|(time, last)| (time, humantime::parse_duration(last))) {
        Some((_, Ok(around))) if AROUND_MAX < around => return Err("at most 24h around a time".to_owned()),
        Some((time, Ok(around))) => (time, around),
        Some((_, Err(_))) | None => (text, AROUND),
    };
    let at = moment(time.trim(), zone, now)?;
    let around = chrono::Duration::from_std(around).unwrap_or_default();
    let both = at.checked_sub_signed(around).zip(at.checked_add_signed(around));
    let (from, to) = both.ok_or_else(|| format!("'{text}' is beyond all times"))?;
    Ok(When { from, to })
}

/// As [`parse`] reads it again: with its zone where the host's clock showed that time twice.
pub fn written(at: DateTime<Utc>, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    let is_one = zone.from_local_datetime(&local.naive_local()).single().is_some();
    let form = if is_one { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    local.format(form).to_string()
}

/// Reads a time alone, as [`parse`] does.
pub fn moment(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let forms = "04:30, 2026-11-21 04:30, or with a zone 2026-11-21T04:30:00Z";
    read(text, zone, now).ok_or_else(|| format!("'{text}' is no time: {forms}"))
}

fn read(text: &str, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    let in_zone = |naive: NaiveDateTime| zone.from_local_datetime(&naive).earliest().map(|at| at.with_timezone(&Utc));
    let dated = text.replace('T', " ");
    for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
        if let Ok(naive) = NaiveDateTime::parse_from_str(&dated, form) {
            return in_zone(naive);
        }
    }
    let time = ["%H:%M:%S", "%H:%M"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())?;
    let today = now.with_timezone(&zone).date_naive();
    let at = in_zone(today.and_time(time))?;
    if at <= now { Some(at) } else { in_zone(today.checked_sub_days(Days::new(1))?.and_time(time)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let now = "2026-11-21T12:00:00Z".parse().unwrap_or_default();
        let read = parse(text, Tz::Europe__Berlin, now)
            .map(|when| format!("{} {}", when.from.format("%dT%H:%M:%S"), (when.to - when.from).num_seconds()));
        assert_eq!(read.unwrap_or_else(|error| error), expected);
    }

    #[test]
    fn a_time_is_the_hosts_own_and_the_last_one() {
        check("04:30", "21T03:25:00 600");
        check("23:00", "20T21:55:00 600");
        check("2026-11-19 04:30 1h", "19T02:30:00 7200");
        check("2026-11-19T04:30:10Z", "19T04:25:10 600");
        check("2026-11-19 04:30:10", "19T03:25:10 600");
    }

    #[test]
    fn what_is_no_time_is_told() {
        check("04:30 25h", "at most 24h around a time");
        check("noon", "'noon' is no time: 04:30, 2026-11-21 04:30, or with a zone 2026-11-21T04:30:00Z");
        check("", "'' is no time: 04:30, 2026-11-21 04:30, or with a zone 2026-11-21T04:30:00Z");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let at = "2026-11-19T03:30:10Z".parse().unwrap_or_default();
        check(&written(at, Tz::Europe__Berlin), "19T03:25:10 600");
        // The second 02:30 of a night in October.
        let at = "2026-10-25T01:30:10Z".parse().unwrap_or_default();
        check(&written(at, Tz::Europe__Berlin), "25T01:25:10 600");
    }
}
