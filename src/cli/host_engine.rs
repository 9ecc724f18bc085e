//! Starting an engine in this process, and keeping its configuration current.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::{CommandError, Common};
use crate::adapters::config_file::ConfigFileError;
use crate::adapters::store::state_dir::{EngineLock, StateDir};
use crate::adapters::{config_file, crash, own_machine};
use crate::config::{Config, ConfigError, Problem};
use crate::domain::board::Board;
use crate::domain::fleet::HostName;
use crate::engine::feed::Publisher;
use crate::engine::{self, COMMANDS_MAX, Command, EngineError, Run, Setup, StoreOpener};

/// How often hosts.toml is looked at.
const LOOK_AT_CONFIG_EVERY: Duration = Duration::from_secs(2);

/// An engine on a thread of this process.
pub struct HostedEngine {
    pub commands: mpsc::Sender<Command>,
    thread: JoinHandle<Result<Board, EngineError>>,
}

/// What decides how the engine runs.
pub struct Hosting {
    pub directory: StateDir,
    pub lock: EngineLock,
    pub how: &'static str,
    pub mode: Run,
    /// The hosts that are polled; all where it is empty.
    pub only: Vec<HostName>,
}

/// Starts an engine that holds the state directory's lock.
pub fn start(
    common: &Common,
    config: Config,
    publisher: Publisher,
    hosting: Hosting,
) -> Result<HostedEngine, CommandError> {
    hosting.directory.share_with(config.store.group.as_deref())?;
    let secrets = common.secrets()?;
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let opener = StoreOpener {
        directory: hosting.directory,
        lock: hosting.lock,
        size_bytes_max: config.store.bytes_max,
        how: hosting.how,
    };
    let setup = Setup {
        config,
        publisher,
        secrets,
        board: Board::default(),
        cursors: Vec::new(),
        mode: hosting.mode,
        only: hosting.only,
    };
    let thread =
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || engine::run(setup, opener, inbox))?;
    Ok(HostedEngine { commands, thread })
}

impl HostedEngine {
    /// Waits for the engine's own end.
    pub fn join(self) -> Result<Board, CommandError> {
        let Self { commands, thread } = self;
        let ended = thread
            .join()
            .map_err(|_| CommandError::Failed(format!("the engine failed: {}", crash::last().unwrap_or_default())));
        drop(commands);
        Ok(ended??)
    }

    /// Tells the engine to stop and waits until its store is closed.
    pub fn stop(self) -> Result<Board, CommandError> {
        // An engine that is gone already has nothing to be told.
        let _ = self.commands.blocking_send(Command::Stop);
        self.join()
    }
}

/// Reads hosts.toml again whenever it changes, or when `reload` is sent to; ends with the engine.
pub fn watch_config(given: Option<PathBuf>, commands: mpsc::Sender<Command>) -> Sender<()> {
    let (reload, asked) = channel();
    std::thread::spawn(move || {
        let mut seen = stamp(given.as_deref());
        loop {
            let forced = match asked.recv_timeout(LOOK_AT_CONFIG_EVERY) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                // Nobody forces any more; the file is still looked at.
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::park_timeout(LOOK_AT_CONFIG_EVERY);
                    false
                }
            };
            let now = stamp(given.as_deref());
            if commands.is_closed() {
                return;
            }
            if forced || now != seen {
                let had_a_file = seen.is_some();
                seen = now;
                let loaded = match now {
                    // Editors replace a file by another: a fleet is not dropped for what may be a moment.
                    None if had_a_file => Err(gone()),
                    _ => config_file::load(given.as_deref(), &own_machine::name()).map_err(as_config_error),
                };
                if commands.blocking_send(Command::Configure(loaded)).is_err() {
                    return;
                }
            }
        }
    });
    reload
}

fn gone() -> ConfigError {
    let what = "it is gone: put it back, or restart to watch this machine alone".to_owned();
    ConfigError(vec![Problem { file: "hosts.toml".to_owned(), line: 1, column: 1, what }])
}

/// What changes when the file does.
fn stamp(given: Option<&std::path::Path>) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(config_file::locate(given)?).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn as_config_error(error: ConfigFileError) -> ConfigError {
    match error {
        ConfigFileError::Broken(error) => error,
        other @ (ConfigFileError::Unreadable(..)
        | ConfigFileError::TooLarge(_)
        | ConfigFileError::NotText(_)
        | ConfigFileError::Refused { .. }
        | ConfigFileError::Untrusted { .. }) => {
            ConfigError(vec![Problem { file: "hosts.toml".to_owned(), line: 1, column: 1, what: other.to_string() }])
        }
    }
}
