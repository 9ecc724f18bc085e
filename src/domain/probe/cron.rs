//! One inventory of everything that runs by the clock, and what the logs say of its runs.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use super::cron_cursor::CronLogCursor;
use super::cron_log::read_log;
pub use super::cron_log::{Told, join_runs, runs_in};
use super::cron_scripts::{self, Script};
use super::cron_stamp::Around;
use super::script::Answer;
use super::timers::{self, UnitState};
use super::{ParseError, lines};
use crate::domain::action::objects::RemoteBytes;
use crate::domain::schedule;
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// Entries kept of one host.
const ENTRIES_MAX: usize = 500;
/// Runs kept of one poll, the newest.
const RUNS_MAX: usize = 3_000;

/// `$1` is the time from which the journal is wanted, in seconds since the epoch, `$2` the most bytes of a log file, `$3` the
/// log files as the look before left them, `INODE:SIZE,INODE:SIZE` or `-`, `$4` the inodes of those that were no older ones,
/// `$5` whether the journal is asked beside files.
///
/// Prints `z ZONE`, `t KIND PATH` and `l LINE` for each table, `p PERIOD PATH` for run-parts, `d PATH` for what may not
/// be read; a cut, list-timers' JSON, a cut, and of each log `e SOURCE` and cron's lines of what came since the look before, a
/// cut. Where the log is a file, `o INODE SIZE TIME` stands before the lines of each older one beside it that a rotation would
/// change, `i INODE SIZE TIME` before its own, and `g` where something is missing before the lines that follow. All logs that
/// are there are read: one may be of long ago. Parameters from the sixth on are files, of which [`cron_scripts::parse`] reads
/// what is printed last.
pub const SCRIPT: &str = r#"
dw_since=$1 dw_bytes=$2 dw_seen=,$3, dw_live=,$4, dw_journal=$5
shift 5
dw_reached=$*
set --
dw_tab() {
  if [ ! -r "$2" ]; then printf 'd %s\n' "$2"; return; fi
  printf 't %s %s\n' "$1" "$2"
  while IFS= read -r dw_l || [ -n "$dw_l" ]; do
    case $dw_l in ''|[[:space:]]\#*|\#*) ;; *) printf 'l %s\n' "$dw_l" ;; esac
  done <"$2"
}
if [ -L /etc/localtime ]; then printf 'z %s\n' "$(readlink /etc/localtime </dev/null)"
elif [ -r /etc/timezone ]; then read -r dw_l </etc/timezone; printf 'z %s\n' "$dw_l"; fi
[ -f /etc/crontab ] && dw_tab system /etc/crontab
for dw_f in /etc/cron.d/*; do [ -f "$dw_f" ] && dw_tab system "$dw_f"; done
dw_own=1
for dw_d in /var/spool/cron/crontabs /var/spool/cron/tabs /var/spool/cron; do
  [ -d "$dw_d" ] || continue
  if [ -r "$dw_d" ] && [ -x "$dw_d" ]; then
    # Who may read every table needs no crontab, which leaves a line in cron's log.
    [ "$dw_d" = /var/spool/cron ] && { [ -d /var/spool/cron/crontabs ] || [ -d /var/spool/cron/tabs ]; } || dw_own=
    for dw_f in "$dw_d"/*; do [ -f "$dw_f" ] && dw_own= && dw_tab user "$dw_f"; done
  else
    printf 'd %s\n' "$dw_d"
  fi
done
if [ -n "$dw_own" ] && command -v crontab >/dev/null; then
  printf 't own crontab\n'
  crontab -l 2>/dev/null </dev/null | while IFS= read -r dw_l; do case $dw_l in ''|\#*) ;; *) printf 'l %s\n' "$dw_l" ;; esac; done
fi
for dw_p in hourly daily weekly monthly; do
  for dw_f in /etc/cron.$dw_p/* /etc/periodic/$dw_p/*; do [ -f "$dw_f" ] && [ -x "$dw_f" ] && printf 'p %s %s\n' "$dw_p" "$dw_f"; done
done
[ -f /etc/anacrontab ] && dw_tab anacron /etc/anacrontab
dw_cut
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
  dw_all=$(systemctl list-timers --all --no-pager --output=json </dev/null 2>/dev/null) || dw_all=failed
  printf '%s\n' "$dw_all"
  dw_cut
  set --
  # JSON doubles the backslash of an escaped name.
  for dw_u in $(printf '%s\n' "$dw_all" | grep -o '"activates":"[^"]*"' | sed 's/^"activates":"//; s/"$//; s/\\\\/\\/g'); do
    case $dw_u in *.service) set -- "$@" "$dw_u" ;; esac
  done
  [ $# -gt 0 ] && TZ=UTC LC_ALL=C systemctl show --no-pager -p Id,Result,ActiveState,InvocationID,ExecMainPID,ExecMainCode,ExecMainStatus,ExecMainStartTimestamp,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic -- "$@" </dev/null 2>/dev/null
  set --
else
  dw_cut
fi
dw_cut
# $1 a file, $2 its inode, size and time, $3 whether it is an older one: what was read before is read from a little earlier
# on, as the look may have ended within a line.
dw_news() {
  dw_i=${2%% *} dw_s=${2#* } dw_off=0
  dw_s=${dw_s%% *}
  case $dw_live in *,"$dw_i",*) dw_known=1 ;; esac
  case $dw_seen in *,"$dw_i":*) dw_off=${dw_seen##*,"$dw_i":} dw_off=${dw_off%%,*} ;; esac
  [ -z "$3" ] || [ "$dw_off" != "$dw_s" ] || return
  # It was cut.
  [ "$dw_off" -le "$dw_s" ] || { dw_off=0; printf 'g\n'; }
  [ -n "$3$dw_known" ] || printf 'g\n'
  if [ $((dw_s - dw_off)) -gt "$dw_bytes" ]; then
    [ "$dw_seen" = ,-, ] || printf 'g\n'
    dw_off=$((dw_s - dw_bytes))
  elif [ "$dw_off" -gt 16384 ]; then
    dw_off=$((dw_off - 16384))
  else
    dw_off=0
  fi
  tail -c "+$((dw_off + 1))" -- "$1" </dev/null | grep -a -i -E ' (cron|crond|/usr/sbin/cron)(\[[0-9]+\])?: '
}
dw_log=
for dw_f in /var/log/cron.log /var/log/cron /var/log/syslog /var/log/messages; do
  [ -f "$dw_f" ] || continue
  [ -r "$dw_f" ] || { printf 'd %s\n' "$dw_f"; continue; }
  dw_l=$dw_f
  for dw_l in "$dw_f"-*; do :; done
  case $dw_l in *[!A-Za-z0-9/._-]*) dw_l= ;; esac
  dw_all=$(stat -L -c '%i %s %Y %n' -- "$dw_f" ${dw_l:+"$dw_l"} "$dw_f".0 "$dw_f".1 "$dw_f".1.gz 2>/dev/null </dev/null)
  dw_at= dw_known=
  [ "$dw_seen" != ,-, ] || dw_known=1
  dw_ifs=$IFS IFS=$dw_nl
  for dw_old in $dw_all; do
    dw_g=${dw_old##* } dw_old=${dw_old% *}
    if [ "$dw_g" = "$dw_f" ]; then
      dw_at=$dw_old dw_log=$dw_f
      printf 'e %s\n' "$dw_f"
      continue
    fi
    [ -n "$dw_at" ] && [ -f "$dw_g" ] && [ -r "$dw_g" ] || continue
    printf 'o %s\n' "$dw_old"
    case $dw_g in *.gz|*.xz|*.zst|*.bz2) continue ;; esac
    # At first the older one is read where nothing is left out between it and the log itself.
    dw_s=${dw_at#* }
    [ "$dw_seen" != ,-, ] || [ "${dw_s%% *}" -le "$dw_bytes" ] || continue
    dw_news "$dw_g" "$dw_old" older
  done
  IFS=$dw_ifs
  [ -n "$dw_at" ] || continue
  printf 'i %s\n' "$dw_at"
  dw_news "$dw_f" "$dw_at" ''
done
if { [ -z "$dw_log" ] || [ "$dw_journal" = yes ]; } && command -v journalctl >/dev/null; then
  case " $(id -u </dev/null) $(id -nG </dev/null) " in
  ' 0 '*|*' adm '*|*' systemd-journal '*|*' wheel '*)
    printf 'e journal\n'
    journalctl -q --no-pager -o short-unix -n 3000 --since "@$dw_since" -t CRON -t CROND -t crond -t cron </dev/null 2>/dev/null ;;
  *) [ -n "$dw_log" ] || printf 'd journal\n' ;;
  esac
fi
dw_cut
if [ -n "$dw_reached" ]; then
  printf 'q\n'
  # Their names hold no character that a shell would read otherwise.
  dw_all=$(stat -L -c '%s %a %u:%g %Y %n' -- $dw_reached 2>/dev/null </dev/null)
  set --
  dw_ifs=$IFS IFS=$dw_nl
  for dw_l in $dw_all; do
    dw_f=${dw_l##* }
    [ -f "$dw_f" ] && [ -r "$dw_f" ] && [ "${dw_l%% *}" -le 1048576 ] || continue
    printf 's %s\n' "$dw_l"
    set -- "$@" "$dw_f"
  done
  IFS=$dw_ifs
  [ $# -gt 0 ] && sha256sum -- "$@" 2>/dev/null </dev/null
fi
dw_cut
"#;

/// One poll's view of a host's jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CronReading {
    /// The host's zone by its name in the tz database.
    pub zone: String,
    pub entries: Vec<CronEntry>,
    pub runs: Vec<CronRun>,
    /// Where runs are logged; `None` where no such place may be read.
    pub evidence: Option<SafeText>,
    /// Every place that is a file.
    pub logs: Vec<SeenLog>,
    /// The newest line of them all, and of those that are files.
    pub told_to: Option<DateTime<Utc>>,
    pub files_told_to: Option<DateTime<Utc>>,
    /// Whether the journal was asked, and its newest line.
    pub asked_journal: bool,
    pub journal_told_to: Option<DateTime<Utc>>,
    /// What is missing of that place between the look before and this one.
    pub gap: Option<LogGap>,
    /// Failures of runs that these lines do not tell of.
    pub failures: Vec<CronFailure>,
    /// The first line of that place that was seen: what lies before is not known.
    pub covers_from: Option<DateTime<Utc>>,
    /// Tables, directories and logs that may not be read.
    pub denied: Vec<SafeText>,
    /// Tables that cron refused to load, or loaded again, in the order of its log: the file, and why it is ignored.
    #[serde(default)]
    pub loads: Vec<TableLoad>,
    /// The scripts that these entries begin; `None` where they were not asked for, as in the first poll.
    #[serde(default)]
    pub scripts: Option<Vec<Script>>,
}

impl CronReading {
    /// The entry of a timer, by its unit's name with or without `.timer`.
    pub fn timer(&self, unit: &str) -> Option<&CronEntry> {
        let name = timer_name(unit);
        self.entries.iter().find(|entry| entry.source.as_str() == name)
    }
}

/// A timer's name as systemd lists it.
pub fn timer_name(unit: &str) -> String {
    if unit.ends_with(".timer") { unit.to_owned() } else { format!("{unit}.timer") }
}

/// The last line before something that was not read, and the first after it; `None` where this look brought none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGap {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

/// A log, with the older ones beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLog {
    pub path: SafeText,
    /// The log itself first.
    pub files: Vec<LogFile>,
}

/// Which file it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    pub inode: u64,
    pub size_bytes: u64,
}

/// Something that runs by the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CronEntry {
    /// The file or timer it comes from.
    pub source: SafeText,
    pub user: Option<SafeText>,
    pub schedule: SafeText,
    pub command: SafeText,
    pub next: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
    /// Of a timer: what systemd knows of its service.
    pub unit: Option<UnitState>,
    /// What is known of its last run, where nobody declared it as a job: filled in by whoever joins the witnesses.
    pub told: Option<ListedRun>,
    /// Whether it is a job that hosts.toml declares, which has a check.
    pub is_declared: bool,
}

/// The last run of an entry that nobody declared, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRun {
    pub status: Status,
    pub words: SafeText,
}

/// What cron made of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLoad {
    pub file: SafeText,
    /// `None` where it was loaded.
    pub refused: Option<SafeText>,
}

/// What cron's log tells of a run's end, at its higher log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronFailure {
    pub at: DateTime<Utc>,
    pub pid: u32,
    pub status: i32,
}

/// A run that cron's log tells of.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CronRun {
    pub at: DateTime<Utc>,
    pub user: SafeText,
    pub command: SafeText,
    pub pid: u32,
    /// Told only at cron's higher log levels.
    pub failed_with: Option<i32>,
    /// The line as the log has it. Not stored: the evidence that is kept has files of its own.
    #[serde(skip)]
    pub line: RemoteBytes,
}

impl fmt::Debug for CronRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, user, command, pid, failed_with, line: _ } = self;
        write!(f, "{at} ({user}) [{pid}] {command}, failed with {failed_with:?}")
    }
}

/// Reads [`SCRIPT`]'s answer; `now` is the observer's clock, `cursor` what the look before left, `None` at the first.
pub fn parse(answer: &Answer, now: DateTime<Utc>, cursor: Option<&CronLogCursor>) -> Result<CronReading, ParseError> {
    let [tables, timers, shown, log, rest @ ..] = answer.parts.as_slice() else { return Err(ParseError::Empty) };
    let mut reading = CronReading { zone: "UTC".to_owned(), ..CronReading::default() };
    let zone = read_tables(tables, now, &mut reading);
    timers::read(timers, shown, &mut reading);
    let twice = cursor.map(CronLogCursor::twice);
    read_log(log, Around { zone, now, twice, before: None }, &mut reading);
    reading.scripts = rest.first().and_then(|part| cron_scripts::parse(part));
    let surplus = reading.runs.len().saturating_sub(RUNS_MAX);
    reading.runs.drain(..surplus);
    if let Some(first) = reading.runs.first().map(|run| run.at).filter(|_| 0 < surplus) {
        // What was left out is as if it had not been read.
        reading.covers_from = reading.covers_from.max(Some(first));
        reading.gap = Some(LogGap { from: None, to: Some(first) });
    }
    reading.entries.truncate(ENTRIES_MAX);
    Ok(reading)
}

#[derive(Clone, Copy, PartialEq)]
enum Table {
    /// With a user column.
    System,
    User,
    Anacron,
}

fn read_tables(text: &[u8], now: DateTime<Utc>, reading: &mut CronReading) -> Tz {
    let mut zone = Tz::UTC;
    let mut table = (Table::System, SafeText::from(""));
    for (_, line) in lines(text) {
        match line {
            [b'z', b' ', path @ ..] => {
                let path = String::from_utf8_lossy(path).into_owned();
                let name = path.rsplit_once("zoneinfo/").map_or(path.as_str(), |(_, name)| name);
                if let Ok(found) = name.trim().parse::<Tz>() {
                    zone = found;
                    reading.zone = found.name().to_owned();
                }
            }
            [b'd', b' ', path @ ..] => reading.denied.push(SafeText::from_bytes_capped(path, 200)),
            [b't', b' ', rest @ ..] => {
                let text = SafeText::from_bytes_capped(rest, 300);
                let (kind, path) = text.as_str().split_once(' ').unwrap_or((text.as_str(), ""));
                let kind = match kind {
                    "user" | "own" => Table::User,
                    "anacron" => Table::Anacron,
                    _ => Table::System,
                };
                table = (kind, path.into());
            }
            // Before anything is reckoned: a date that never comes costs the search of centuries.
            [b'l' | b'p', ..] if ENTRIES_MAX <= reading.entries.len() => {}
            [b'p', b' ', rest @ ..] => {
                let text = SafeText::from_bytes_capped(rest, 300);
                if let Some((period, path)) = text.as_str().split_once(' ') {
                    reading.entries.push(CronEntry::new(path.into(), Some("root".into()), period.into(), path.into()));
                }
            }
            [b'l', b' ', rest @ ..] => reading.entries.extend(entry(rest, table.0, &table.1, zone, now)),
            _ => {}
        }
    }
    zone
}

impl CronEntry {
    pub fn new(source: SafeText, user: Option<SafeText>, schedule: SafeText, command: SafeText) -> Self {
        Self { source, user, schedule, command, next: None, last: None, unit: None, told: None, is_declared: false }
    }
}

/// One line of a table; `None` for variables and what is no job.
fn entry(line: &[u8], table: Table, source: &SafeText, zone: Tz, now: DateTime<Utc>) -> Option<CronEntry> {
    let text = SafeText::from_bytes_capped(line, 600);
    let text = text.as_str().trim();
    let is_schedule = |c: char| c.is_ascii_digit() || c == '*' || c == '@';
    if !text.starts_with(is_schedule) {
        return None;
    }
    let schedule_words = match (table, text.starts_with('@')) {
        (Table::Anacron, _) => 2,
        (_, true) => 1,
        (_, false) => 5,
    };
    let (schedule, rest) = split_words(text, schedule_words)?;
    let (user, command) = match table {
        Table::System => split_words(rest, 1).map(|(user, command)| (Some(user.into()), command))?,
        Table::User => (source.as_str().rsplit('/').next().filter(|name| *name != "crontab").map(Into::into), rest),
        Table::Anacron => (Some("root".into()), split_words(rest, 1)?.1),
    };
    let mut entry = CronEntry::new(source.clone(), user, schedule.into(), command.into());
    if table != Table::Anacron {
        entry.next = schedule::next(schedule, zone, now);
    }
    Some(entry)
}

/// The first `count` words as they are written, and the rest.
fn split_words(text: &str, count: usize) -> Option<(&str, &str)> {
    let mut end = 0;
    for _ in 0..count {
        let start = end + text[end..].find(|c: char| !c.is_ascii_whitespace())?;
        end = start + text[start..].find(|c: char| c.is_ascii_whitespace())?;
    }
    Some((&text[..end], text[end..].trim_start()))
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;
