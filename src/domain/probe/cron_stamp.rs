//! When a line of cron's log was written: of the hour that comes twice a stamp without a zone does not tell which it is.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Duration, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::cron::CronReading;

/// Lines of one log may be so far out of their order, and so far ahead of our clock.
const STEPS_BACK_MAX: Duration = Duration::minutes(5);
const AHEAD_MAX: Duration = Duration::minutes(5);
/// A line that is new at a look was written so long before it at most, where looks follow each other.
const NEW_WITHIN: Duration = Duration::minutes(15);

/// What earlier looks made of lines of an hour that comes twice: such lines are read again at the next look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twice(HashMap<Vec<u8>, DateTime<Utc>>);

impl Twice {
    /// What the newest look made of them.
    pub fn of(reading: &CronReading) -> Self {
        let Ok(zone) = reading.zone.parse::<Tz>() else { return Self::default() };
        let comes_twice = |at: DateTime<Utc>| {
            let found = zone.from_local_datetime(&at.with_timezone(&zone).naive_local());
            found.earliest() != found.latest()
        };
        let twice = reading.runs.iter().filter(|run| comes_twice(run.at));
        Self(twice.map(|run| (run.line.exactly().to_vec(), run.at)).collect())
    }
}

/// What is known beside a line itself.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub zone: Tz,
    /// Our own clock.
    pub now: DateTime<Utc>,
    /// `None` where a log is read from its beginning: the order of its lines tells.
    pub twice: Option<&'a Twice>,
    /// The newest line before it.
    pub before: Option<DateTime<Utc>>,
}

/// `TIME HOST IDENT[PID]: MESSAGE` in the three forms that syslog daemons and journalctl write; the message begins at IDENT.
pub(super) fn log_line<'a>(line: &'a str, raw: &[u8], around: Around) -> Option<(DateTime<Utc>, &'a str)> {
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
    let local_now = around.now.with_timezone(&around.zone);
    let in_year = |year: i32| {
        let naive = NaiveDateTime::parse_from_str(&format!("{year} {stamp}"), "%Y %b %e %H:%M:%S").ok()?;
        of_local(naive, raw, around)
    };
    let tomorrow = around.now + Duration::days(1);
    let at = in_year(local_now.year()).filter(|at| *at <= tomorrow).or_else(|| in_year(local_now.year() - 1))?;
    Some((at, rest))
}

/// The moment of a time of the host's own. Of the second hour is what comes behind a later line, and what is new as that hour
/// goes on.
fn of_local(local: NaiveDateTime, raw: &[u8], around: Around) -> Option<DateTime<Utc>> {
    let found = around.zone.from_local_datetime(&local);
    let [first, second] = [found.earliest()?, found.latest()?].map(|at| at.with_timezone(&Utc));
    let is_behind = around.before.is_some_and(|before| first + STEPS_BACK_MAX < before);
    let has_come = second <= around.now + AHEAD_MAX;
    let is_second = match (around.twice, around.before) {
        (Some(twice), _) => match twice.0.get(raw) {
            Some(known) => return Some(*known).filter(|_| first != second).or(Some(first)),
            None => is_behind || has_come && around.now - second < NEW_WITHIN,
        },
        (None, Some(_)) => is_behind,
        (None, None) => has_come,
    };
    Some(if is_second { second } else { first })
}
