//! A declared job: when it should run, and who tells of it.

use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;

use super::reader::Reader;
use crate::domain::fleet::ItemName;
use crate::domain::schedule;
use crate::domain::settings::*;

const SECOND: Duration = Duration::from_secs(1);

/// One job's table, without its name.
pub fn job(name: ItemName, offset: usize, table: &Reader) -> Option<JobSpec> {
    let notes = table.notes();
    let expectation = match (table.string("schedule"), table.duration("every", MINUTE)) {
        (Some(_), Some(_)) => {
            notes.error(offset, format!("job {name} has both 'schedule' and 'every': keep one"));
            None
        }
        (Some(schedule), None) => match schedule.parse::<croner::Cron>() {
            Ok(_) if schedule::next(&schedule, Tz::UTC, DateTime::UNIX_EPOCH).is_none() => {
                notes.error(table.place("schedule"), format!("schedule: '{schedule}' names a day that never comes"));
                None
            }
            Ok(_) => Some(Expectation::Schedule(schedule)),
            Err(error) => {
                notes.error(table.place("schedule"), format!("schedule: '{schedule}' is no cron expression: {error}"));
                None
            }
        },
        (None, Some(every)) => Some(Expectation::Every(every)),
        (None, None) => {
            if !table.has("schedule") && !table.has("every") {
                notes.error(offset, format!("job {name} needs 'schedule' (a cron expression) or 'every' (a duration)"));
            }
            None
        }
    };
    let user = table.string("user");
    let evidence = match (table.string("command"), table.string("timer")) {
        (Some(command), None) => Some(JobEvidence::CronLog { command, user }),
        (None, Some(unit)) => Some(JobEvidence::Timer { unit }),
        (Some(_), Some(_)) | (None, None) => {
            notes.error(
                offset,
                format!(
                    "job {name} needs 'command' (text of its line in cron's log) or 'timer' (a unit), and not both"
                ),
            );
            None
        }
    };
    if let Some(JobEvidence::CronLog { command, .. }) = &evidence
        && command.trim().is_empty()
    {
        notes.error(table.place("command"), format!("job {name}: an empty command is in every line of cron's log"));
    }
    let usual = table.duration("usual", Duration::from_millis(1));
    let gives_up = table.duration("gives_up", Duration::from_millis(1));
    let accept_ran = table.choice("accept", &[("ran", true), ("proof", false)]).unwrap_or(false);
    let grace = table.duration("grace", SECOND).unwrap_or(HOUR);
    let marker = marker(&name, offset, table);
    let leaves = table.string("leaves");
    let (expectation, evidence) = (expectation?, evidence?);
    Some(JobSpec { name, expectation, grace, evidence, accept_ran, usual, gives_up, marker, leaves })
}

/// What a job's own log says at its end.
fn marker(name: &ItemName, offset: usize, table: &Reader) -> Option<Marker> {
    let pattern = |key: &'static str| match table.notes().pattern(&table.string(key)?) {
        Ok(pattern) if pattern.is_match(b"") => {
            table.notes().error(table.place(key), format!("{key}: this pattern is in every line"));
            None
        }
        Ok(pattern) => Some(pattern),
        Err(error) => {
            table.notes().error(table.place(key), format!("{key}: not a regular expression: {error}"));
            None
        }
    };
    let (done, failed) = (pattern("done"), pattern("failed"));
    let log = table.string("log");
    let has_pattern = table.has("done") || table.has("failed");
    if table.has("log") != has_pattern {
        let what = "its own log needs 'log' (as logs has it) and 'done' or 'failed' (a pattern of its last line)";
        table.notes().error(offset, format!("job {name}: {what}"));
    }
    log.filter(|_| has_pattern).map(|log| Marker { log, done, failed })
}

/// A job's own log must be watched, and the set that it leaves archives in.
pub fn check_witnesses(settings: &Settings, reader: &Reader) {
    let tables = reader.named_tables("job");
    for job in &settings.jobs {
        let table = tables.iter().find(|(_, name, _)| name == job.name.as_str()).map(|(.., table)| table);
        let error = |key, what| reader.notes().error(table.map_or(0, |table| table.place(key)), what);
        let is_watched = |marker: &&Marker| settings.logs.iter().any(|watch| watch.label() == marker.log);
        if let Some(marker) = job.marker.as_ref().filter(|marker| !is_watched(marker)) {
            error("log", format!("job {}: log = '{}' is not watched: add it to logs", job.name, marker.log));
        }
        let is_set = |set: &&String| settings.backups.iter().any(|known| known.name.as_str() == set.as_str());
        if let Some(set) = job.leaves.as_ref().filter(|set| !is_set(set)) {
            error("leaves", format!("job {}: leaves = '{set}' is no backup set of this host", job.name));
        }
    }
}
