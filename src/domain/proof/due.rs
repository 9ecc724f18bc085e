//! When a job should have run, by what hosts.toml says of it.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use crate::domain::schedule;
use crate::domain::settings::Expectation;

/// A run may be logged this long before its due time: clocks and cron's own rounding.
pub const EARLY: Duration = Duration::seconds(90);
/// What is due again within this may be due more often than a run can be early.
const OFTEN: Duration = Duration::minutes(5);
/// Due times that are counted between two runs.
const COUNTED_MAX: u32 = 99;

/// The first time after `from` at which a job should have run again.
pub fn first_due(expectation: &Expectation, zone: Tz, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match expectation {
        Expectation::Schedule(expression) => schedule::next(expression, zone, from),
        Expectation::Every(period) => from.checked_add_signed(Duration::from_std(*period).ok()?),
    }
}

/// When a job is due after a run, which may have been logged a little before its own due time.
pub fn due_after(expectation: &Expectation, zone: Tz, ran: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let due = first_due(expectation, zone, ran + EARLY)?;
    if OFTEN < due - ran {
        return Some(due);
    }
    first_due(expectation, zone, ran + early(expectation, zone, ran)?)
}

/// How often a job was due between two of its runs that follow each other, and was not seen to run.
pub fn unseen_between(expectation: &Expectation, zone: Tz, ran: DateTime<Utc>, next: DateTime<Utc>) -> u32 {
    let count = || {
        let latest = next - early(expectation, zone, ran)?;
        let due = due_after(expectation, zone, ran)?;
        let dues = std::iter::successors(Some(due), |due| first_due(expectation, zone, *due));
        Some(dues.take_while(|due| *due < latest).take(COUNTED_MAX as usize).count() as u32)
    };
    count().unwrap_or(0)
}

/// How long before its due time a run may be logged: less than what lies between two of them.
fn early(expectation: &Expectation, zone: Tz, ran: DateTime<Utc>) -> Option<Duration> {
    let next = first_due(expectation, zone, ran)?;
    let period = first_due(expectation, zone, next)? - next;
    Some(EARLY.min(period / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(schedule: &str, ran: &str, next: &str) -> u32 {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap_or_default();
        unseen_between(&Expectation::Schedule(schedule.to_owned()), Tz::UTC, at(ran), at(next))
    }

    #[test]
    fn due_times_between_two_runs_are_counted() {
        assert_eq!(unseen("* * * * *", "2026-11-27T20:17:01Z", "2026-11-27T20:18:01Z"), 0);
        assert_eq!(unseen("* * * * *", "2026-11-27T20:17:01Z", "2026-11-27T20:20:01Z"), 2);
        assert_eq!(unseen("10 2 * * *", "2026-11-24T02:10:01Z", "2026-11-25T02:10:01Z"), 0);
        assert_eq!(unseen("10 2 * * *", "2026-11-24T02:09:30Z", "2026-11-27T02:09:30Z"), 2);
        // From Friday to Monday.
        assert_eq!(unseen("0 4 * * 1-5", "2026-11-20T04:00:01Z", "2026-11-23T04:00:01Z"), 0);
        assert_eq!(unseen("* * * * *", "2026-11-24T02:10:01Z", "2026-11-27T02:10:01Z"), COUNTED_MAX);
    }
}
