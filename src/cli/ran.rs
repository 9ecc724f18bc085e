//! `dogwatch ran`: what ran on a host at a time.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;

use super::{CommandError, Common, block_on};
use crate::adapters::clock;
use crate::domain::proof::ran::RanRow;
use crate::domain::time::words_exact;
use crate::engine::ran::{RanThen, ran_then};
use crate::engine::ran_kept::Kept;
use crate::tui::when::moment;

/// Before and after a time: a quarter of a year.
const WINDOW_MAX: Duration = Duration::from_secs(92 * 86_400);

/// What ran on a host at a time, by its accounting and cron's log, the heaviest first
#[derive(Args)]
pub struct RanArguments {
    /// The host as hosts.toml names it
    host: String,
    /// When: the last 04:30 or '2026-11-21 04:30' of the host's own clock, or with its offset 2026-11-21T04:30:00Z
    #[arg(long, value_name = "TIME")]
    at: String,
    /// So much before and after it
    #[arg(long, default_value = "5m")]
    window: humantime::Duration,
}

pub fn run(common: &Common, arguments: &RanArguments) -> Result<(), CommandError> {
    let config = common.config()?;
    let spec = config.fleet.hosts.iter().find(|spec| spec.name.as_str() == arguments.host);
    let spec = spec.ok_or_else(|| CommandError::Usage(format!("no host is named {}", arguments.host)))?;
    // Before anybody is asked: the host's zone changes nothing of what is no time.
    let at = |zone, now| moment(&arguments.at, zone, now);
    around(at(Tz::UTC, clock::now().utc()).map_err(CommandError::Usage)?, arguments.window)?;
    let secrets = common.secrets()?;
    let when = |zone, now| around(at(zone, now)?, arguments.window).map_err(|error| error.to_string());
    let kept = Kept::load(&common.state_path()?, spec);
    let then = block_on(ran_then(spec, &secrets, &kept, when))??;
    Ok(print(&then).or_else(|error| match error.kind() {
        // Whoever reads it has seen enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })?)
}

fn print(then: &RanThen) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<19} {:>9} {:>9} {:<12} {:<12} COMMAND", "BEGAN", "TOOK", "CPU", "USER", "END")?;
    for row in &then.ran.rows {
        writeln!(out, "{}", line(row, then.zone))?;
    }
    if 0 < then.ran.left_out {
        writeln!(out, "… and {} lighter ones", then.ran.left_out)?;
    }
    for lack in &then.lacks {
        writeln!(out, "▲ {lack}")?;
    }
    let count = then.ran.rows.len() + then.ran.left_out;
    let processes = if count == 1 { "process" } else { "processes" };
    writeln!(out, "{count} {processes}, times in {}; what still runs has no record", then.zone.name())
}

/// A time with so much before and after it.
pub(super) fn around(
    at: DateTime<Utc>,
    window: humantime::Duration,
) -> Result<(DateTime<Utc>, DateTime<Utc>), CommandError> {
    let window = Duration::from(window);
    let refused = || {
        CommandError::Usage(format!(
            "--window: {} is too long: {} at most",
            humantime::format_duration(window),
            humantime::format_duration(WINDOW_MAX)
        ))
    };
    let window = chrono::Duration::from_std(window).ok().filter(|_| window <= WINDOW_MAX).ok_or_else(refused)?;
    at.checked_sub_signed(window).zip(at.checked_add_signed(window)).ok_or_else(refused)
}

fn line(row: &RanRow, zone: Tz) -> String {
    let began = row.begin.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string();
    let took = row.took_ms.map_or("-".to_owned(), words_exact);
    let of = match row.belongs_to() {
        "" => String::new(),
        of if of == row.command.as_str() => String::new(),
        of => format!("  ({of})"),
    };
    let terminal = if row.terminal.is_empty() { String::new() } else { format!(" on {}", row.terminal) };
    let end = if row.end.is_some() { row.end_words() } else { "no record".to_owned() };
    let (cpu, user) = (row.cpu_words(), format!("{}{terminal}", row.user));
    format!("{began} {took:>9} {cpu:>9} {user:<12} {end:<12} {}{of}", row.command)
}
