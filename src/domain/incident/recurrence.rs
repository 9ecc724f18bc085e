//! How a trouble comes again: how often, by what rhythm, and after which job each time.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use super::episode::Episode;
use crate::domain::probe::cron::{CronEntry, CronReading};
use crate::domain::schedule;

/// Fewer times are no rhythm, and make nobody a suspect.
const TIMES_MIN: usize = 3;
/// Times of day this close together are one time of day.
const SPREAD_MIN_MAX: u32 = 120;
const DAY_MIN: u32 = 24 * 60;
/// A job is a suspect where the trouble began within this long after its time, every time.
const AFTER_JOB_MAX: chrono::Duration = chrono::Duration::minutes(60);
/// A job that runs more often than this would be found before any trouble.
const JOB_INTERVAL_MIN: chrono::Duration = chrono::Duration::hours(6);

/// What is known of a trouble that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// How often, this time included.
    pub times: usize,
    /// Such as `each Thu about 05:00`.
    pub rhythm: Option<String>,
    /// The job after whose time it began each time: its command, and where it stands.
    pub suspect: Option<String>,
}

impl Recurrence {
    /// What an episode's earlier openings tell, beside the host's jobs; `None` the first time.
    pub fn of(episode: &Episode, jobs: Option<&CronReading>) -> Option<Self> {
        if episode.earlier.is_empty() {
            return None;
        }
        let opened = episode.earlier.iter().copied().chain([episode.opened.utc_ms]);
        let opened: Vec<DateTime<Utc>> = opened.filter_map(DateTime::from_timestamp_millis).collect();
        let zone: Tz = jobs.and_then(|jobs| jobs.zone.parse().ok()).unwrap_or(Tz::UTC);
        Some(Self {
            times: episode.before as usize + 1,
            rhythm: rhythm(&opened, zone),
            suspect: jobs.and_then(|jobs| suspect(&opened, &jobs.entries, zone)),
        })
    }

    /// In words: `4th time, each Thu about 05:00, within an hour after /usr/local/sbin/full-backup (/etc/cron.d/full-backup)`.
    pub fn words(&self) -> String {
        let mut words = format!("{} time", ordinal(self.times));
        words.extend(self.rhythm.iter().flat_map(|rhythm| [", ", rhythm]));
        words.extend(self.suspect.iter().flat_map(|job| [", each time within an hour after ", job]));
        words
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
pub fn ordinal(number: usize) -> String {
    let end = match (number % 10, number % 100) {
        (1, last) if last != 11 => "st",
        (2, last) if last != 12 => "nd",
        (3, last) if last != 13 => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

fn rhythm(opened: &[DateTime<Utc>], zone: Tz) -> Option<String> {
    let local: Vec<DateTime<Tz>> = opened.iter().map(|at| at.with_timezone(&zone)).collect();
    // Three times on one day are one bad day.
    if local.iter().map(|at| at.date_naive()).collect::<BTreeSet<_>>().len() < TIMES_MIN {
        return None;
    }
    let mut minutes: Vec<u32> = local.iter().map(|at| at.hour() * 60 + at.minute()).collect();
    minutes.sort_unstable();
    // On the clock's face: all lie within what the widest gap between two of them leaves.
    let next = minutes.iter().skip(1).copied().chain(minutes.first().map(|first| first + DAY_MIN));
    let (gap, after_gap) = minutes.iter().zip(next).map(|(now, next)| (next - now, next)).max()?;
    let spread = DAY_MIN - gap;
    if SPREAD_MIN_MAX < spread {
        return None;
    }
    let middle = (after_gap + spread / 2) % DAY_MIN;
    let about = format!("about {:02}:{:02}", middle / 60, middle % 60);
    let day: Weekday = local.first()?.weekday();
    let is_weekly = local.iter().all(|at| at.weekday() == day);
    Some(if is_weekly { format!("each {day} {about}") } else { format!("always {about}") })
}

/// The rarest job that was due shortly before every opening.
fn suspect(opened: &[DateTime<Utc>], jobs: &[CronEntry], zone: Tz) -> Option<String> {
    let precedes_all = |job: &&CronEntry| {
        let due = opened
            .iter()
            .map(|at| schedule::previous(job.schedule.as_str(), zone, *at).filter(|due| *at - *due <= AFTER_JOB_MAX));
        // One run can have begun one trouble only.
        due.collect::<Option<BTreeSet<_>>>().is_some_and(|runs| TIMES_MIN <= runs.len() && runs.len() == opened.len())
    };
    let interval = |job: &CronEntry| {
        let due = schedule::previous(job.schedule.as_str(), zone, *opened.last()?)?;
        Some(schedule::next(job.schedule.as_str(), zone, due)? - due)
    };
    let rare =
        jobs.iter().filter_map(|job| Some((interval(job)?, job))).filter(|(every, _)| JOB_INTERVAL_MIN <= *every);
    let (_, job) = rare.filter(|(_, job)| precedes_all(job)).max_by_key(|(every, _)| *every)?;
    Some(format!("{} ({})", job.command, job.source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::Status;
    use crate::domain::time::Moment;

    fn utc_ms(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap_or_else(|error| panic!("{error}")).timestamp_millis()
    }

    fn job(schedule: &str, command: &str) -> CronEntry {
        CronEntry {
            source: "/etc/crontab".into(),
            user: None,
            schedule: schedule.into(),
            command: command.into(),
            next: None,
            last: None,
            unit: None,
            told: None,
            is_declared: false,
        }
    }

    fn check(opened: &[&str], expected: &str) {
        let mut earlier: Vec<i64> = opened.iter().map(|at| utc_ms(at)).collect();
        let newest = earlier.pop().unwrap_or_else(|| panic!("no opening"));
        let opened = Moment { utc_ms: newest, boot_ms: 0, origin: 1 };
        let episode =
            Episode { opened, worst: Status::Critical, flaps: 0, closed: None, before: earlier.len() as u32, earlier };
        let entries = vec![
            job("*/5 * * * *", "often"),
            job("25 6 * * *", "daily"),
            job("30 4 * * *", "nightly"),
            job("30 4 * * 4", "full-backup"),
        ];
        let jobs = CronReading { zone: "UTC".to_owned(), entries, ..CronReading::default() };
        let shown = Recurrence::of(&episode, Some(&jobs)).map_or("nothing".to_owned(), |recurrence| recurrence.words());
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_first_time_is_no_recurrence_and_the_second_no_rhythm() {
        check(&["2026-06-04T05:00:00Z"], "nothing");
        check(&["2026-06-04T05:00:00Z", "2026-06-11T05:00:00Z"], "2nd time");
    }

    #[test]
    fn a_weekly_trouble_names_its_day_and_the_rarest_job_before_it() {
        check(
            &["2026-06-04T05:00:00Z", "2026-06-11T05:10:00Z", "2026-06-18T05:00:00Z"],
            "3rd time, each Thu about 05:05, each time within an hour after full-backup (/etc/crontab)",
        );
    }

    #[test]
    fn a_daily_trouble_around_midnight_has_a_time_and_no_day() {
        check(
            &["2026-06-04T23:50:00Z", "2026-06-06T00:10:00Z", "2026-06-09T00:00:00Z"],
            "3rd time, always about 00:00",
        );
    }

    #[test]
    fn one_bad_morning_is_no_rhythm_and_makes_nobody_a_suspect() {
        check(&["2026-06-04T04:35:00Z", "2026-06-04T04:55:00Z", "2026-06-04T05:15:00Z"], "3rd time");
    }

    #[test]
    fn troubles_at_any_time_have_no_rhythm() {
        check(&["2026-06-04T05:00:00Z", "2026-06-06T12:10:00Z", "2026-06-09T19:00:00Z"], "3rd time");
    }
}
