//! `dogwatch demo`: a scenario on the screen, at a pace that one can watch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use tokio::sync::mpsc;

use super::acting::read_audit_under;
use super::attach::{history, tail};
use super::manual::scenarios;
use super::screen::{options, present, take_terminal};
use super::{CommandError, Common};
use crate::adapters::config_file::read_trusted;
use crate::adapters::scenario::Scenario;
use crate::adapters::store::state_dir::{Claim, StateDir};
use crate::config::Config;
use crate::config::policy::PolicyFile;
use crate::domain::action::policy::Policy;
use crate::engine::drill::{Drill, DrillClock};
use crate::engine::drill_ran::ran_then;
use crate::engine::feed::Publisher;
use crate::engine::{COMMANDS_MAX, Command, StoreOpener};
use crate::tui::model::FeedSource;
use crate::tui::{AskRan, Attachment, ReadAudit};

/// Room for a demo's store.
const STORE_BYTES_MAX: u64 = 200_000_000;
const DEFAULT: &str = "thursday-backup";

/// Play an outage: a small fleet's recorded answers, through everything that a real one goes through.
#[derive(Args)]
pub struct DemoArguments {
    /// A scenario by its name, or a file of one
    #[arg(default_value = DEFAULT, add = ArgValueCompleter::new(scenarios))]
    scenario: String,
    /// Say what scenarios there are
    #[arg(long)]
    list: bool,
}

pub fn run(common: &Common, arguments: &DemoArguments) -> Result<(), CommandError> {
    if arguments.list {
        for name in Scenario::names() {
            let (scenario, _) = load(name)?;
            println!("{name:<18} {}", scenario.title);
        }
        return Ok(());
    }
    let (scenario, config) = load(&arguments.scenario)?;
    take_terminal(common)?;
    let clock = DrillClock::new(&scenario);
    let mut options = options(common)?;
    let seen = clock.clone();
    options.now = Box::new(move || seen.now());
    options.demo = Some(scenario.title.clone());

    let directory = Temporary::new()?;
    let state = StateDir::open(Some(&directory.0))?;
    let Claim::Won(lock) = state.claim()? else {
        return Err(CommandError::Failed(format!("{}: somebody else is in it", directory.0.display())));
    };
    let database = state.database();
    let audit = read_audit_of(&scenario, &directory.0)?;
    let ran = ask_ran_of(&arguments.scenario, clock.clone())?;
    let store = StoreOpener { directory: state, lock, size_bytes_max: STORE_BYTES_MAX, how: "demo" };
    let mut publisher = Publisher::default();
    let feed = publisher.subscribe();
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let thread = std::thread::Builder::new()
        .name("drill".to_owned())
        .spawn(move || Drill::new(scenario, &config, publisher, clock).play(store, inbox))?;
    let attachment = Attachment {
        feed,
        source: FeedSource::OwnEngine,
        poll_now: Box::new(|_| {}),
        unlock: None,
        history: Some(history(&database)),
        tail: Some(tail(commands.clone())),
        shell: None,
        keep_copy: None,
        audit: Some(audit),
        ran: Some(ran),
        acting: None,
    };
    let shown = present(common, attachment, options);
    // A drill that ended by itself is joined all the same, and says why.
    let _ = commands.blocking_send(Command::Stop);
    match thread.join() {
        Ok(played) => played?,
        Err(_) => return Err(CommandError::Failed("the drill failed by a fault of dogwatch itself".to_owned())),
    }
    shown
}

/// The audit of a demo, under its own policy.
pub fn read_audit_of(scenario: &Scenario, state: &Path) -> Result<ReadAudit, CommandError> {
    let none = Policy::absent("policy of the demo");
    let policy = scenario.policy_file().map_err(|error| CommandError::Failed(error.to_string()))?;
    let policy = policy.unwrap_or(PolicyFile {
        path: PathBuf::new(),
        policy: none,
        central_log: None,
        exchange: None,
        warnings: Vec::new(),
    });
    Ok(read_audit_under(state, move || Ok(policy.clone())))
}

/// What ran on a demo's hosts, by what they had recorded by then.
fn ask_ran_of(name: &str, clock: DrillClock) -> Result<AskRan, CommandError> {
    let (scenario, _) = load(name)?;
    Ok(Arc::new(move |host, when| Ok(ran_then(&scenario, &clock, host, (when.from, when.to)))))
}

/// A scenario by its name, or from a file.
pub fn load(name: &str) -> Result<(Scenario, Config), CommandError> {
    if let Some(text) = Scenario::built_in(name) {
        return Ok(Scenario::parse(name, text)?);
    }
    let path = Path::new(name);
    if !path.is_file() {
        let known: Vec<&str> = Scenario::names().collect();
        let known = known.join(", ");
        return Err(CommandError::Usage(format!(
            "no scenario is named '{name}', and no such file is there; there are {known}"
        )));
    }
    let path = std::path::absolute(path)?;
    let text = read_trusted(&path)?;
    Ok(Scenario::parse(&path.display().to_string(), &text)?)
}

/// A directory of this process alone, which goes with it.
pub struct Temporary(pub PathBuf);

impl Temporary {
    pub fn new() -> Result<Self, CommandError> {
        let name = format!("dogwatch-demo-{}-{:08x}", std::process::id(), crate::adapters::clock::random_u128() as u32);
        Ok(Self(std::env::temp_dir().join(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What can't be removed is left to the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
