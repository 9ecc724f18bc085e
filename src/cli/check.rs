//! `dogwatch check`: polls once and tells the worst status by its exit code.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::host_engine::{Hosting, start};
use super::manual::targets;
use super::{CommandError, Common};
use crate::adapters::clock;
use crate::adapters::store::state_dir::{Claim, StateDir};
use crate::config::Config;
use crate::domain::board::{Board, HostBoard};
use crate::domain::fleet::{GroupName, HostName, HostSpec, expand_node_set};
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::engine::Run;
use crate::engine::feed::Publisher;
use crate::engine::follow::{engine_sign, read_once};
use crate::report::status::{BoardStatus, CheckStatus};

/// How long a `check` waits for another one.
const OTHER_CHECK_WAIT_MAX: Duration = Duration::from_secs(60);
const CLAIM_AGAIN_EVERY: Duration = Duration::from_millis(50);

/// Poll once: exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
#[derive(Args)]
pub struct CheckArguments {
    /// Hosts or node sets such as web[1-9], or groups as @GROUP; all where none is named
    #[arg(add = ArgValueCompleter::new(targets))]
    targets: Vec<String>,
    /// Print the whole board as JSON (docs/check.md)
    #[arg(long)]
    json: bool,
}

/// Errors are UNKNOWN too, said on standard error.
pub fn run(common: &Common, arguments: &CheckArguments) -> ExitCode {
    let status = check(common, arguments).unwrap_or_else(|error| {
        eprintln!("dogwatch: {error}");
        Status::Unknown
    });
    ExitCode::from(status.exit_code())
}

fn check(common: &Common, arguments: &CheckArguments) -> Result<Status, CommandError> {
    let config = common.config()?;
    let groups = config.fleet.groups.clone();
    let targets = Targets::parse(&arguments.targets, &groups, |name| config.fleet.host(name).is_some())?;
    let only = targets.among(&config.fleet.hosts);
    let board = poll_or_read(common, config, only)?;
    Ok(print(&board, &targets, arguments.json)?)
}

/// The whole fleet's board, polled once, or as the engine that runs already has it.
pub fn poll_once(common: &Common) -> Result<Board, CommandError> {
    poll_or_read(common, common.config()?, Vec::new())
}

fn poll_or_read(common: &Common, config: Config, only: Vec<HostName>) -> Result<Board, CommandError> {
    if common.read_only {
        return Ok(read_once(common.existing_state_dir()?.database())?);
    }
    let directory = common.state_dir()?;
    match claim_after_other_checks(&directory)? {
        Claim::Won(lock) => {
            let hosting = Hosting { directory, lock, how: "check", mode: Run::Once, only };
            start(common, config, Publisher::default(), hosting)?.join()
        }
        Claim::Taken { .. } => Ok(read_once(directory.database())?),
    }
}

/// A running `check` is waited for, since it will soon be done; any other engine is read instead.
fn claim_after_other_checks(directory: &StateDir) -> Result<Claim, CommandError> {
    let deadline = Instant::now() + OTHER_CHECK_WAIT_MAX;
    loop {
        let claim = directory.claim()?;
        let is_check = matches!(claim, Claim::Taken { .. }) && engine_is_check(directory);
        if !is_check || deadline <= Instant::now() {
            return Ok(claim);
        }
        std::thread::park_timeout(CLAIM_AGAIN_EVERY);
    }
}

fn engine_is_check(directory: &StateDir) -> bool {
    matches!(engine_sign(directory.database()), Ok(None))
        || matches!(engine_sign(directory.database()), Ok(Some(sign)) if sign.how == "check")
}

fn print(board: &Board, targets: &Targets, json: bool) -> std::io::Result<Status> {
    let status = BoardStatus::new(board, clock::now(), |name, host| targets.include(name, host));
    let mut out = std::io::stdout().lock();
    match json {
        true => {
            let text = serde_json::to_string_pretty(&status).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        }
        false => print_lines(&status, &mut out)?,
    }
    out.flush()?;
    Ok(status.worst())
}

/// A line a host, and below it a line for each check that needs somebody.
fn print_lines(status: &BoardStatus, out: &mut impl Write) -> std::io::Result<()> {
    for host in &status.hosts {
        let error = host.error.map(|error| format!(": {error}")).unwrap_or_default();
        writeln!(out, "{} {} ({}{error}), {} checks", host.status, host.name, host.state, host.checks.len())?;
        let raised = |check: &&CheckStatus| check.status != Status::Ok;
        for check in host.checks.iter().filter(raised) {
            let soft = if check.confirmed { "" } else { ", not confirmed yet" };
            let stale = if check.quality == Quality::Stale { ", STALE" } else { "" };
            writeln!(out, "  {} {}: {}{soft}{stale}", check.status, check.id, check.reason)?;
        }
    }
    Ok(())
}

/// The hosts and groups that were asked for; empty means all.
struct Targets {
    hosts: Vec<HostName>,
    groups: Vec<GroupName>,
}

impl Targets {
    fn parse(
        targets: &[String],
        known: &[GroupName],
        is_host: impl Fn(&HostName) -> bool,
    ) -> Result<Self, CommandError> {
        let mut parsed = Self { hosts: Vec::new(), groups: Vec::new() };
        for target in targets {
            if let Some(group) = target.strip_prefix('@') {
                let known = known.iter().find(|name| name.as_str() == group);
                parsed
                    .groups
                    .push(known.cloned().ok_or_else(|| CommandError::Usage(format!("no group is named {target}")))?);
                continue;
            }
            for host in expand_node_set(target).map_err(|error| CommandError::Usage(error.to_string()))? {
                if !is_host(&host) {
                    return Err(CommandError::Usage(format!("no host is named {host}")));
                }
                parsed.hosts.push(host);
            }
        }
        Ok(parsed)
    }

    /// The hosts that are meant; empty means all.
    fn among(&self, hosts: &[HostSpec]) -> Vec<HostName> {
        let in_group = |host: &HostSpec| host.groups.iter().any(|group| self.groups.contains(group));
        let meant = hosts.iter().filter(|host| self.hosts.contains(&host.name) || in_group(host));
        meant.map(|host| host.name.clone()).collect()
    }

    fn include(&self, name: &HostName, host: &HostBoard) -> bool {
        let all = self.hosts.is_empty() && self.groups.is_empty();
        all || self.hosts.contains(name) || host.groups.iter().any(|group| self.groups.contains(group))
    }
}
