//! `dogwatch audit`: what is on record, whether it is whole, and whether the other places agree.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeZone, Utc};
use clap::{Args, Subcommand};

use super::{CommandError, Common, block_on};
use crate::adapters::audit::forward::Forwarder;
use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::{database_in, own_actor};
use crate::adapters::transport::ssh::Secrets;
use crate::config::Config;
use crate::domain::audit::compare::{Lack, Ledger};
use crate::domain::audit::head::{Head, Seen};
use crate::domain::audit::record::{AuditId, Record, WriterId};
use crate::domain::fleet::HostName;
use crate::engine::action::reconcile::actions_in_own_log;

/// The audit: who did what, why, and with whose consent
#[derive(Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Show what is on record, the oldest first
    Log(LogArguments),
    /// Check every record, offline, and name the first that is not as it was written
    Verify(VerifyArguments),
    /// Write the records and the signed heads, one a line, for keeping elsewhere
    Export,
    /// Send what waits for the central log now
    Send,
    /// Compare the store with the central log's file and with the hosts' own logs, and say what any of them lacks
    Reconcile(ReconcileArguments),
}

#[derive(Args)]
struct LogArguments {
    /// Only what is about this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only records of this kind, such as intent or outcome
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only what this user did
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only what happened since then: 2026-11-21, or a time as RFC 3339 writes it
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Only this record, and what names it
    #[arg(long, value_name = "ID", value_parser = audit_id)]
    id: Option<AuditId>,
    /// Records as they are stored, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct VerifyArguments {
    /// A file with heads or records that arrived elsewhere, such as the central log's own
    #[arg(long, value_name = "FILE")]
    heads: Vec<PathBuf>,
}

#[derive(Args)]
struct ReconcileArguments {
    /// The file that the central log writes
    #[arg(long, value_name = "FILE", required = true)]
    central: Vec<PathBuf>,
    /// Ask the hosts too what their own logs show of the actions that were sent to them
    #[arg(long)]
    own_logs: bool,
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    time.or(day.map(|day| day.and_utc())).ok_or_else(|| "write 2026-11-21 or 2026-11-21T04:30:00Z".to_owned())
}

pub fn audit_id(text: &str) -> Result<AuditId, String> {
    AuditId::parse(text).ok_or_else(|| "an id is written as 'dogwatch audit log' shows it: 3f9a1c2b44d0-17".to_owned())
}

pub fn run(common: &Common, arguments: &AuditArguments) -> Result<(), CommandError> {
    let directory = common.state_path()?;
    let database = database_in(&directory);
    match &arguments.command {
        AuditCommand::Log(log) => block_on(show(&database, log))?,
        AuditCommand::Verify(verify) => block_on(check(&database, &verify.heads))?,
        AuditCommand::Export => block_on(export(&database))?,
        AuditCommand::Send => block_on(send(common, &database))?,
        AuditCommand::Reconcile(reconcile) => block_on(compare(common, &database, reconcile))?,
    }
}

impl AuditArguments {
    /// The one of its commands that changes something.
    pub fn refused_read_only(&self) -> Option<&'static str> {
        match self.command {
            AuditCommand::Send => Some("audit send"),
            AuditCommand::Reconcile(ReconcileArguments { own_logs: true, .. }) => Some("audit reconcile --own-logs"),
            AuditCommand::Log(_) | AuditCommand::Verify(_) | AuditCommand::Export | AuditCommand::Reconcile(_) => None,
        }
    }
}

/// A line of standard output; one that nobody reads any more ends the command in good order.
fn say(line: &str) -> Result<(), CommandError> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

pub fn stamp(at_ms: i64) -> String {
    let at = Utc.timestamp_millis_opt(at_ms).single().unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn show(database: &Path, arguments: &LogArguments) -> Result<(), CommandError> {
    let reader = AuditReader::open(database).await?;
    let named = arguments.id.as_ref().map(|id| format!("\"{id}\""));
    let mut seq = 0;
    loop {
        let rows = reader.after(seq).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        seq = last.seq;
        for row in &rows {
            let body = String::from_utf8_lossy(&row.stored.body);
            let Ok(record) = Record::decode(&row.stored.body) else {
                say(&format!(
                    "✖ record {} of {} can't be read: dogwatch audit verify",
                    row.stored.number,
                    row.writer.escape_debug()
                ))?;
                continue;
            };
            if !arguments.takes(&record) || named.as_ref().is_some_and(|named| !body.contains(named)) {
                continue;
            }
            match arguments.json {
                true => say(&body)?,
                false => {
                    let (at, who) = (stamp(record.at_ms), record.actor.user.as_str());
                    say(&format!(
                        "{at}  {:<16}  {:<14} {who}: {}",
                        record.id,
                        record.event.kind(),
                        record.event.words()
                    ))?;
                }
            }
        }
    }
}

impl LogArguments {
    fn takes(&self, record: &Record) -> bool {
        self.host.as_ref().is_none_or(|host| record.event.hosts().iter().any(|name| name.as_str() == host))
            && self.kind.as_ref().is_none_or(|kind| record.event.kind() == kind)
            && self.user.as_ref().is_none_or(|user| record.actor.user.as_str() == user)
            && self.since.is_none_or(|since| since.timestamp_millis() <= record.at_ms)
    }
}

fn read_heads(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, CommandError> {
    let read =
        |file: &PathBuf| fs::read(file).map_err(|error| CommandError::Failed(format!("{}: {error}", file.display())));
    files.iter().map(read).collect()
}

async fn check(database: &Path, files: &[PathBuf]) -> Result<(), CommandError> {
    let outside = read_heads(files)?;
    let reader = AuditReader::open(database).await?;
    let writers = reader.writers().await?;
    if writers.is_empty() {
        return Err(CommandError::Failed(format!("{} holds no record at all", database.display())));
    }
    let mut faults = 0;
    for writer in &writers {
        let heads: Vec<Head> = outside.iter().flat_map(|text| Head::all_in(text, writer)).collect();
        match reader.verify(writer, heads).await? {
            Ok(found) => {
                let signed = found.signed_to.map_or("none of them signed".to_owned(), |to| format!("signed to {to}"));
                let witnessed = match (found.witnessed_to, found.unwitnessed_since_ms) {
                    (_, None) => "all of them witnessed elsewhere".to_owned(),
                    (Some(to), Some(since)) => {
                        format!("witnessed elsewhere to {to}, unwitnessed since {}", stamp(since))
                    }
                    (None, Some(since)) => format!("unwitnessed since {}", stamp(since)),
                };
                say(&format!("● {writer}: {} records, whole; {signed}; {witnessed}", found.records))?;
            }
            Err(fault) => {
                faults += 1;
                say(&format!("✖ {writer}: {fault}"))?;
            }
        }
    }
    for writer in strange_writers(&outside, &writers) {
        faults += 1;
        say(&format!("✖ {writer}: others saw records of this chain, and the store has none"))?;
    }
    // What a walk along an index does not see: a table that says otherwise.
    if let Err(error) = reader.check_file().await {
        faults += 1;
        say(&format!("✖ {error}"))?;
    }
    match faults {
        0 => Ok(()),
        _ => Err(CommandError::Failed("the audit is not whole".to_owned())),
    }
}

/// Chains of this user on this machine that others saw and the store has nothing of: one that was begun anew.
fn strange_writers(outside: &[Vec<u8>], writers: &[WriterId]) -> BTreeSet<WriterId> {
    let own = own_actor();
    let lines = outside.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    let records = lines.filter_map(|line| {
        let body = &line[line.windows(2).position(|pair| pair == b" {")? + 1..];
        Record::decode(body).ok()
    });
    let ours = records.filter(|record| (&record.actor.machine, record.actor.uid) == (&own.machine, own.uid));
    ours.map(|record| record.id.writer).filter(|writer| !writers.contains(writer)).collect()
}

async fn own_log(config: &Config, secrets: &Secrets, host: &HostName, ledger: &Ledger) -> Vec<Lack> {
    let unread = |why: String| vec![Lack::HostUnread { host: host.clone(), why }];
    let Some(spec) = config.fleet.host(host) else {
        return unread("it is no longer in hosts.toml".to_owned());
    };
    match actions_in_own_log(spec, secrets.clone()).await {
        Ok(Some(shown)) => ledger.against_host(host, &shown),
        Ok(None) => unread("this login may read none of its logs".to_owned()),
        Err(error) => unread(error.to_string()),
    }
}

async fn export(database: &Path) -> Result<(), CommandError> {
    let reader = AuditReader::open(database).await?;
    let mut seq = 0;
    loop {
        let rows = reader.after(seq).await?;
        let Some(last) = rows.last() else { break };
        seq = last.seq;
        for row in &rows {
            let number = row.stored.number;
            let body = String::from_utf8_lossy(&row.stored.body);
            say(&format!("audit {}-{number} {} {body}", row.writer, row.stored.hash))?;
        }
    }
    for writer in reader.writers().await? {
        for signed in reader.heads(&writer).await? {
            let signature: Vec<&str> = signed.signature.lines().filter(|line| !line.starts_with('-')).collect();
            say(&format!("{} {}", signed.head.text(), signature.concat()))?;
        }
    }
    Ok(())
}

async fn send(common: &Common, database: &Path) -> Result<(), CommandError> {
    let policy = common.policy()?;
    let Some(settings) = policy.central_log else {
        return Err(CommandError::Failed("the policy has no [central_log]: there is nowhere to send to".to_owned()));
    };
    let failed = |error: String| CommandError::Failed(format!("central log: {error}; everything waits in the store"));
    // Opening it for reading first: nothing is made here where nothing was ever put on record.
    AuditReader::open(database).await?;
    match Forwarder::claim(database, &settings).await? {
        None => say("another process forwards to the central log already"),
        Some(forwarder) => {
            let count = forwarder.drain().await.map_err(failed)?;
            say(&format!(
                "● {count} records and heads went to {}:{}, which has read them",
                settings.host, settings.port
            ))
        }
    }
}

async fn compare(common: &Common, database: &Path, arguments: &ReconcileArguments) -> Result<(), CommandError> {
    let texts = read_heads(&arguments.central)?;
    let reader = AuditReader::open(database).await?;
    let mut ledger = Ledger::default();
    let (mut seq, mut count) = (0, 0);
    loop {
        let rows = reader.after(seq).await?;
        let Some(last) = rows.last() else { break };
        seq = last.seq;
        for row in &rows {
            let record = Record::decode(&row.stored.body)
                .map_err(|error| CommandError::Failed(format!("record {}: {error}", row.stored.number)))?;
            ledger.add(&record, row.stored.hash);
            count += 1;
        }
    }
    let lines = texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    let mut lacks: Vec<Lack> = ledger.against_central(lines.filter_map(Seen::in_line));
    let hosts = if arguments.own_logs { ledger.hosts() } else { BTreeSet::new() };
    if !hosts.is_empty() {
        let (config, secrets) = (common.config()?, common.secrets()?);
        for host in &hosts {
            lacks.extend(own_log(&config, &secrets, host, &ledger).await);
        }
    }
    for lack in &lacks {
        say(&format!("✖ {lack}"))?;
    }
    match lacks.len() {
        0 if hosts.is_empty() => say(&format!("● {count} records, the same in the store and in the central log")),
        0 => {
            let hosts = hosts.len();
            say(&format!(
                "● {count} records, the same in the store, in the central log and in the own logs of {hosts} hosts"
            ))
        }
        lacks => Err(CommandError::Failed(format!("the places do not agree: {lacks} differences"))),
    }
}
