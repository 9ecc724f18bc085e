//! Everything that runs by the clock on any host: what nobody declared has no status, and is listed all the same.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::fleet::HostName;
use crate::domain::observed::{Freshness, Quality};
use crate::domain::probe::cron::{CronEntry, CronReading};
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::status::Status;
use crate::domain::time::Age;
use crate::tui::model::Model;
use crate::tui::screen::{Cell, piece};
use crate::tui::theme::{Meaning, glyph};

/// One entry of a host's inventory, and how old the inventory is.
pub struct Job<'a> {
    pub host: &'a HostName,
    entry: &'a CronEntry,
    zone: Tz,
    age: Age,
    quality: Quality,
}

/// The fleet's inventory: what failed first, then what is known to have run, then the next to run.
pub fn inventory(model: &Model) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job> = model
        .board
        .hosts
        .iter()
        .flat_map(|(host, board)| {
            let seen = board.probes.get(&ProbeId::Cron).and_then(|cell| cell.reading.as_ref());
            let (reading, quality, age) = match seen.map(|observed| observed.seen(model.now)) {
                Some((reading, Freshness::Fresh, age)) => (Some(reading.as_ref()), Quality::Fresh, age),
                Some((reading, Freshness::Stale, age)) => (Some(reading.as_ref()), Quality::Stale, age),
                None => (None, Quality::Missing, Age::Future),
            };
            let cron = match reading {
                Some(Reading::Cron(cron)) => Some(cron),
                Some(_) | None => None,
            };
            cron.into_iter().flat_map(move |cron| entries(host, cron, quality, age))
        })
        .collect();
    jobs.retain(|job| {
        // What is declared has a check, and its row above.
        if job.entry.is_declared {
            return false;
        }
        let words = [job.entry.command.as_str(), job.entry.source.as_str()];
        model.filter.keeps_words(job.host, model.board.hosts.get(job.host), &words)
    });
    let rank = |job: &Job| std::cmp::Reverse(job.entry.told.as_ref().map_or(Status::Ok, |told| told.status));
    jobs.sort_by_key(|job| (rank(job), job.entry.told.is_none(), job.entry.next.is_none(), job.entry.next, job.host));
    jobs
}

fn entries<'a>(host: &'a HostName, cron: &'a CronReading, quality: Quality, age: Age) -> impl Iterator<Item = Job<'a>> {
    let zone = cron.zone.parse().unwrap_or(Tz::UTC);
    cron.entries.iter().map(move |entry| Job { host, entry, zone, age, quality })
}

/// As a row of the pane of jobs.
pub fn row(job: &Job, is_named: bool) -> Vec<Cell> {
    let told = told(job);
    let reason = if is_named { told } else { format!("{}: {told}", job.entry.command) };
    let sign = job.entry.told.as_ref().map_or("·", |told| glyph(told.status, job.quality));
    vec![
        Cell::Text(piece(format!("{sign} listed"), Meaning::Dim)),
        Cell::Text(piece(job.host.as_str(), Meaning::Title)),
        Cell::Text(piece(job.entry.command.as_str(), Meaning::Plain)),
        Cell::Trend(Vec::new()),
        Cell::Text(piece(format!("{:>4}", job.age.to_string()), Meaning::Dim)),
        Cell::Text(piece(reason, Meaning::Dim)),
    ]
}

/// What is known of its last run, when it is next, and where it stands.
pub fn told(job: &Job) -> String {
    let Job { entry, zone, .. } = job;
    let shown = |at: Option<DateTime<Utc>>| {
        at.map_or("unknown".to_owned(), |at| at.with_timezone(zone).format("%a %d %b %H:%M %Z").to_string())
    };
    let result = entry.unit.as_ref().and_then(|unit| unit.result.as_ref());
    let ended = result.map(|result| format!(" ({result})")).unwrap_or_default();
    let user = entry.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let last = match &entry.told {
        Some(told) => told.words.to_string(),
        None if entry.last.is_none() => "no run seen yet".to_owned(),
        None => format!("last {}{ended}", shown(entry.last)),
    };
    let (schedule, source) = (&entry.schedule, &entry.source);
    let was = if job.quality == Quality::Stale { "STALE, was: " } else { "" };
    format!("{was}{last}; next {}; {schedule}{user} in {source}: {}", shown(entry.next), entry.command)
}
