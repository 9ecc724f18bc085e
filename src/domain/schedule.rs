//! When a cron expression is due, in a host's own time zone.

use std::cell::RefCell;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// Expressions remembered; past that all are reckoned anew.
const REMEMBERED_MAX: usize = 4_096;

/// The times of an expression around one moment; they stand until the next of them comes.
#[derive(Clone, Copy)]
struct Around {
    reckoned: DateTime<Utc>,
    previous: Option<DateTime<Utc>>,
    next: Option<DateTime<Utc>>,
}

thread_local! {
    /// A fleet has the same few expressions on every host, and they are looked at each minute.
    static REMEMBERED: RefCell<HashMap<Tz, HashMap<String, Around>>> = RefCell::default();
}

/// The newest time at or before `now` that the expression names; `None` where it names none.
pub fn previous(expression: &str, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    around(expression, zone, now)?.previous
}

/// The first time after `now` that the expression names.
pub fn next(expression: &str, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    around(expression, zone, now)?.next
}

fn around(expression: &str, zone: Tz, now: DateTime<Utc>) -> Option<Around> {
    REMEMBERED.with_borrow_mut(|zones| {
        let remembered = zones.get(&zone).and_then(|expressions| expressions.get(expression)).copied();
        if let Some(around) = remembered.filter(|around| around.stands_at(now)) {
            return Some(around);
        }
        let around = Around::reckon(expression, zone, now)?;
        if REMEMBERED_MAX <= zones.values().map(HashMap::len).sum() {
            zones.clear();
        }
        zones.entry(zone).or_default().insert(expression.to_owned(), around);
        Some(around)
    })
}

impl Around {
    fn reckon(expression: &str, zone: Tz, now: DateTime<Utc>) -> Option<Self> {
        let cron: Cron = expression.parse().ok()?;
        let local = now.with_timezone(&zone);
        let utc = |found: Result<DateTime<Tz>, _>| found.ok().map(|found| found.with_timezone(&Utc));
        Some(Self {
            reckoned: now,
            previous: utc(cron.find_previous_occurrence(&local, true)),
            next: utc(cron.find_next_occurrence(&local, false)),
        })
    }

    fn stands_at(&self, now: DateTime<Utc>) -> bool {
        self.reckoned <= now && self.next.is_none_or(|next| now < next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, Duration, Timelike};

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_nightly_job_is_due_in_the_hosts_zone() {
        let due = previous("30 4 * * *", Tz::Europe__Berlin, utc("2026-11-21T12:00:00Z"));
        assert_eq!(due, Some(utc("2026-11-21T03:30:00Z")));
    }

    #[test]
    fn a_leap_day_is_found_years_back() {
        assert_eq!(previous("0 0 29 2 *", Tz::UTC, utc("2026-11-21T12:00:00Z")), Some(utc("2024-02-29T00:00:00Z")));
    }

    #[test]
    fn what_is_remembered_holds_until_the_next_time_comes() {
        let at = |now: &str| (previous("*/5 * * * *", Tz::UTC, utc(now)), next("*/5 * * * *", Tz::UTC, utc(now)));
        let both = |previous: &str, next: &str| (Some(utc(previous)), Some(utc(next)));
        let (noon, five, ten) = ("2026-11-21T12:00:00Z", "2026-11-21T12:05:00Z", "2026-11-21T12:10:00Z");
        assert_eq!(at("2026-11-21T12:01:00Z"), both(noon, five));
        assert_eq!(at("2026-11-21T12:04:59Z"), both(noon, five));
        assert_eq!(at(five), both(five, ten));
        assert_eq!(at("2026-11-21T12:04:00Z"), both(noon, five), "a clock that was set back");
    }

    /// Against an evaluator that looks at every minute of two years on the wall clock of five zones.
    /// In the hour that daylight saving skips the two may differ by that hour: cron runs such a job late, not never.
    #[test]
    fn it_agrees_with_a_look_at_every_minute_of_two_years_in_five_zones() {
        type Matches = fn(&DateTime<Tz>) -> bool;
        let cases: [(&str, Tz, Matches); 5] = [
            ("30 4 * * *", Tz::Europe__Berlin, |t| (t.hour(), t.minute()) == (4, 30)),
            ("*/17 1-3 * * 1-5", Tz::America__New_York, |t| {
                t.minute() % 17 == 0 && (1..=3).contains(&t.hour()) && t.weekday().num_days_from_monday() < 5
            }),
            ("0 0 1,15 * 0", Tz::Australia__Lord_Howe, |t| {
                (t.hour(), t.minute()) == (0, 0)
                    && (t.day() == 1 || t.day() == 15 || t.weekday().num_days_from_sunday() == 0)
            }),
            ("15 2 * 3,10,11 *", Tz::Europe__London, |t| {
                (t.hour(), t.minute()) == (2, 15) && [3, 10, 11].contains(&t.month())
            }),
            ("45 23 29 2 *", Tz::Asia__Kathmandu, |t| (t.month(), t.day(), t.hour(), t.minute()) == (2, 29, 23, 45)),
        ];
        for (expression, zone, matches) in cases {
            let cron: Cron = expression.parse().unwrap_or_else(|error| panic!("{error}"));
            let (start, end) = (utc("2027-01-01T00:00:00Z"), utc("2029-01-01T00:00:00Z"));
            let minutes = (0..).map(|minute| start + Duration::minutes(minute)).take_while(|minute| *minute < end);
            let mut seen_local = std::collections::BTreeSet::new();
            // A wall-clock time that comes twice in autumn is one run.
            let wanted: Vec<DateTime<Utc>> = minutes
                .filter(|minute| {
                    let local = minute.with_timezone(&zone);
                    matches(&local) && seen_local.insert(local.naive_local())
                })
                .collect();
            let mut found = Vec::new();
            for time in cron.iter_from(start.with_timezone(&zone), croner::Direction::Forward) {
                let time = time.with_timezone(&Utc);
                if end <= time {
                    break;
                }
                found.push(time);
            }
            let shifted = |time: &DateTime<Utc>| {
                let offset = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local() - at.naive_utc();
                offset(*time - Duration::hours(2)) != offset(*time + Duration::hours(2))
            };
            let away_from_changes =
                |times: Vec<DateTime<Utc>>| times.into_iter().filter(|time| !shifted(time)).collect::<Vec<_>>();
            assert_eq!(away_from_changes(found), away_from_changes(wanted), "{expression} in {zone}");
        }
    }
}
