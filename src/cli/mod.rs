//! The command line: one file per subcommand.

mod acting;
mod action;
mod approval;
mod attach;
mod audit;
mod check;
mod collect;
mod config;
mod counter;
mod demo;
mod doctor;
mod evidence;
mod exchange;
mod frame;
mod host_engine;
mod hosts;
mod init;
mod keys;
mod manual;
mod ran;
mod screen;
mod themes;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Args, Parser, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use thiserror::Error;

use crate::adapters::audit::AuditError;
use crate::adapters::scenario::ScenarioError;
use crate::adapters::ssh_sign::SignError;
use crate::adapters::store::StoreError;
use crate::adapters::store::state_dir::StateDir;
use crate::adapters::transport::TransportError;
use crate::adapters::transport::ssh::Secrets;
use crate::adapters::{config_file, own_machine, policy_file};
use crate::config::policy::PolicyFile;
use crate::config::{Config, ConfigError};
use crate::domain::status::Status;
use crate::engine::EngineError;
use crate::engine::action::ActionError;
use crate::tui::theme::file::ThemeError;
use crate::tui::theme::glyphs::Glyphs;

/// Exit codes of sysexits.h for what is no status.
pub const EXIT_USAGE: u8 = 64;
pub const EXIT_CONFIG: u8 = 65;
const EXIT_FAILED: u8 = 70;

/// Watches a fleet over plain SSH: disks, logs, backups and cron, with nothing installed on the hosts.
#[derive(Parser)]
#[command(name = "dogwatch", version, about)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Clone)]
pub struct Common {
    /// The hosts to watch; by default hosts.toml in the XDG configuration directory, or this machine alone
    #[arg(long, global = true, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// Where the store is kept; by default dogwatch in the XDG state directory
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Who may do what; by default /etc/dogwatch/policy.toml
    #[arg(long, global = true, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where the program writes its own log
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Look at what another process polls, and do nothing: no host is asked, no key loaded, nothing written
    #[arg(long, global = true)]
    read_only: bool,
    /// Changes as lines instead of a screen, for screen readers and logs
    #[arg(long, global = true)]
    plain: bool,
    /// One big screen that nobody types at: big counts, the worst first, one pane after another
    #[arg(long, global = true)]
    wall: bool,
    /// How the screen looks; 'dogwatch themes' lists what there is
    #[arg(long, global = true, value_name = "NAME")]
    theme: Option<String>,
    /// The signs that the terminal has: braille, block or ascii; by its locale and name otherwise
    #[arg(long, global = true, value_name = "SIGNS", value_parser = |name: &str| Glyphs::parse(name).ok_or("there are braille, block and ascii"))]
    glyphs: Option<Glyphs>,
    /// Ask for the passphrase of SSH keys that are not in an agent
    #[arg(long, global = true)]
    ask_passphrase: bool,
}

#[derive(Subcommand)]
enum Command {
    Action(action::ActionArguments),
    Approval(approval::ApprovalArguments),
    Audit(audit::AuditArguments),
    Check(check::CheckArguments),
    Completions(manual::CompletionsArguments),
    /// Poll without a screen, for screens that attach
    Collect,
    Config(config::ConfigArguments),
    Demo(demo::DemoArguments),
    Doctor(doctor::DoctorArguments),
    Evidence(evidence::EvidenceArguments),
    Frame(frame::FrameArguments),
    Hosts(hosts::HostsArguments),
    Init(init::InitArguments),
    Keys(keys::KeysArguments),
    Man(manual::ManArguments),
    Ran(ran::RanArguments),
    Themes(themes::ThemesArguments),
}

impl Command {
    /// The command's name, where it reaches a host or writes a file.
    fn refused_read_only(&self) -> Option<&'static str> {
        match self {
            Command::Action(action) => action.refused_read_only(),
            Command::Approval(approval) => approval.refused_read_only(),
            Command::Audit(audit) => audit.refused_read_only(),
            Command::Evidence(evidence) => evidence.refused_read_only(),
            Command::Collect => Some("collect"),
            Command::Demo(_) => Some("demo"),
            Command::Doctor(_) => Some("doctor"),
            Command::Hosts(_) => Some("hosts"),
            Command::Init(_) => Some("init"),
            Command::Ran(_) => Some("ran"),
            Command::Check(_)
            | Command::Completions(_)
            | Command::Config(_)
            | Command::Frame(_)
            | Command::Keys(_)
            | Command::Man(_)
            | Command::Themes(_) => None,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    ConfigFile(#[from] config_file::ConfigFileError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Theme(#[from] ThemeError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{0}")]
    Keys(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            CommandError::Usage(_) => EXIT_USAGE,
            CommandError::Config(_)
            | CommandError::ConfigFile(_)
            | CommandError::Keys(_)
            | CommandError::Scenario(_)
            | CommandError::Theme(_) => EXIT_CONFIG,
            CommandError::Action(
                ActionError::NoAction(_)
                | ActionError::NoHost(_)
                | ActionError::Parameter(_)
                | ActionError::TooManyHosts(..),
            ) => EXIT_USAGE,
            CommandError::Action(ActionError::Transport { .. }) => EXIT_FAILED,
            CommandError::Action(_) | CommandError::Sign(_) => 1,
            CommandError::Transport(_) => EXIT_FAILED,
            CommandError::Failed(_) => 1,
            CommandError::Store(_) | CommandError::Engine(_) | CommandError::Audit(_) | CommandError::Io(_) => {
                EXIT_FAILED
            }
        }
    }
}

impl Common {
    /// An option that whoever may only look can't have.
    fn refused_read_only(&self) -> Option<&'static str> {
        match self.read_only {
            true if self.log.is_some() => Some("--log"),
            true if self.ask_passphrase => Some("--ask-passphrase"),
            true | false => None,
        }
    }

    /// The passphrase, typed without echo, where it was asked for: once, for everything that this process does.
    fn secrets(&self) -> Result<Secrets, CommandError> {
        static SECRETS: Mutex<Option<Secrets>> = Mutex::new(None);
        let mut known = SECRETS.lock().map_err(|_| CommandError::Failed("the passphrase was not read".to_owned()))?;
        if let Some(secrets) = known.as_ref() {
            return Ok(secrets.clone());
        }
        let secrets = Secrets::default();
        if self.ask_passphrase {
            secrets.set_passphrase(&ask_passphrase()?);
        }
        *known = Some(secrets.clone());
        Ok(secrets)
    }

    fn state_dir(&self) -> Result<StateDir, CommandError> {
        Ok(StateDir::open(self.state.as_deref())?)
    }

    /// The state directory as it is: nothing is made, and nothing in it is written.
    fn existing_state_dir(&self) -> Result<StateDir, CommandError> {
        Ok(StateDir::existing(self.state.as_deref())?)
    }

    /// The state directory's path, for what reads in it without the engine's store.
    fn state_path(&self) -> Result<PathBuf, CommandError> {
        Ok(StateDir::path_of(self.state.as_deref())?)
    }

    /// The policy in force; its warnings go to standard error.
    fn policy(&self) -> Result<PolicyFile, CommandError> {
        let file = policy_file::load(self.policy.as_deref())?;
        file.warnings.iter().for_each(|warning| eprintln!("dogwatch: warning: {warning}"));
        Ok(file)
    }

    /// The configuration that the arguments mean; its warnings go to standard error.
    fn config(&self) -> Result<Config, CommandError> {
        let config = config_file::load(self.hosts.as_deref(), &own_machine::name())?;
        config.warnings.iter().for_each(|warning| eprintln!("dogwatch: warning: {warning}"));
        Ok(config)
    }
}

/// Echo goes before the question comes: what is typed early is not shown either.
fn ask_passphrase() -> std::io::Result<String> {
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Drain, &silent)?;
    let typed = rpassword::prompt_password("passphrase of your SSH key: ");
    tcsetattr(&terminal, OptionalActions::Drain, &before)?;
    typed
}

/// Runs what talks to hosts on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
}

/// From the command line to an exit code.
pub fn run() -> ExitCode {
    manual::complete_if_asked();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    if let Some(flag) = arguments.common.refused_read_only() {
        eprintln!(
            "dogwatch: --read-only and {flag} contradict each other: nothing is to be written, and no key loaded"
        );
        return usage_code(matches!(arguments.command, Some(Command::Check(_))));
    }
    if let Err(error) = crate::adapters::own_log::start(arguments.common.log.as_deref()) {
        eprintln!("dogwatch: --log: {error}");
        return usage_code(matches!(arguments.command, Some(Command::Check(_))));
    }
    let common = &arguments.common;
    if let Some(name) = arguments.command.as_ref().filter(|_| common.read_only).and_then(Command::refused_read_only) {
        eprintln!("dogwatch: --read-only: '{name}' is refused, as it asks or changes something");
        return ExitCode::from(EXIT_USAGE);
    }
    let done = match &arguments.command {
        Some(Command::Action(action)) => action::run(common, action),
        Some(Command::Approval(approval)) => approval::run(common, approval),
        Some(Command::Evidence(evidence)) => evidence::run(common, evidence),
        Some(Command::Audit(audit)) => audit::run(common, audit),
        Some(Command::Check(check)) => return check::run(common, check),
        None => screen::run(common),
        Some(Command::Collect) => collect::run(common),
        Some(Command::Config(config)) => config::run(common, config),
        Some(Command::Demo(demo)) => demo::run(common, demo),
        Some(Command::Doctor(doctor)) => doctor::run(common, doctor),
        Some(Command::Frame(frame)) => frame::run(common, frame),
        Some(Command::Hosts(hosts)) => hosts::run(common, hosts),
        Some(Command::Init(init)) => init::run(common, init),
        Some(Command::Keys(keys)) => keys::run(keys),
        Some(Command::Completions(shell)) => manual::completions(shell),
        Some(Command::Man(page)) => manual::man(page),
        Some(Command::Ran(asked)) => ran::run(common, asked),
        Some(Command::Themes(themes)) => themes::run(themes),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dogwatch: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A usage error of `check` is UNKNOWN, as monitoring systems expect; of everything else 64.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let subcommands = <Arguments as clap::CommandFactory>::command();
    let named = |argument: &std::ffi::OsString| subcommands.find_subcommand(argument).is_some();
    let is_check = std::env::args_os().skip(1).find(named).is_some_and(|argument| argument == "check");
    if error.use_stderr() { usage_code(is_check) } else { ExitCode::SUCCESS }
}

fn usage_code(is_check: bool) -> ExitCode {
    ExitCode::from(if is_check { Status::Unknown.exit_code() } else { EXIT_USAGE })
}
