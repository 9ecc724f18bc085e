//! What a screen may ask of the world, each done so that the screen does not wait for it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Common, block_on};
use crate::adapters::store::history;
use crate::adapters::store::request::Request;
use crate::adapters::{config_file, own_machine};
use crate::domain::fleet::{HostName, Reach};
use crate::domain::text::SafeText;
use crate::engine::Command;
use crate::engine::ran::ran_then;
use crate::engine::ran_kept::Kept;
use crate::engine::tail::TailWish;
use crate::tui::{AskRan, KeepCopy, OpenShell, ReadHistory, ReadLogs};

/// What was copied last, beside the store.
const COPIED: &str = "copied.txt";

/// Reads a host's last day out of the store.
pub fn history(database: &Path) -> ReadHistory {
    let database = database.to_owned();
    Arc::new(move |host, now| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(history::read(&database, host, now)).map_err(|error| error.to_string())
    })
}

/// Asks the engine of this process to read logs on.
pub fn tail(commands: mpsc::Sender<Command>) -> ReadLogs {
    Box::new(move |hosts| {
        let (wish, feed) = TailWish::new(hosts);
        let asked = commands.try_send(Command::Tail(wish));
        asked.map(|()| feed).map_err(|_| "the engine is too busy to read logs: try again".to_owned())
    })
}

/// The system's own ssh to a host, by the configuration as it is now; who went there is noted.
pub fn shell(hosts: Option<PathBuf>, mut note: impl FnMut(HostName, SafeText) + 'static) -> OpenShell {
    Box::new(move |host| {
        let config = config_file::load(hosts.as_deref(), &own_machine::name()).map_err(|error| error.to_string())?;
        let spec = config.fleet.host(host).ok_or_else(|| format!("{host} is no longer in hosts.toml"))?;
        let command = match &spec.reach {
            Reach::Local => vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())],
            Reach::Ssh { destination, ssh_config } => {
                let file = ssh_config.iter().flat_map(|file| ["-F".into(), file.clone().into_os_string()]);
                let end: [OsString; 2] = ["--".into(), destination.into()];
                ["ssh".into()].into_iter().chain(file).chain(end).collect()
            }
            Reach::Replay { .. } => return Err(format!("{host} is a recording")),
        };
        note(host.clone(), own_machine::user());
        Ok(command)
    })
}

/// Asks a host what ran, over a connection of its own.
pub fn ask_ran(common: &Common) -> AskRan {
    let common = common.clone();
    Arc::new(move |host, when| {
        let config =
            config_file::load(common.hosts.as_deref(), &own_machine::name()).map_err(|error| error.to_string())?;
        let spec = config.fleet.host(host).ok_or_else(|| format!("{host} is no longer in hosts.toml"))?;
        let secrets = common.secrets().map_err(|error| error.to_string())?;
        let kept = Kept::load(&common.state_path().map_err(|error| error.to_string())?, spec);
        let asked = block_on(ran_then(spec, &secrets, &kept, |_, _| Ok((when.from, when.to))));
        let asked = asked.map_err(|error| error.to_string())?;
        asked.map_err(|error| error.to_string())
    })
}

/// Keeps what was copied beside the store, for this user alone.
pub fn keep_copy(database: &Path) -> KeepCopy {
    let file = database.with_file_name(COPIED);
    Arc::new(move |text| {
        let mut opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
        opened.write_all(text.as_bytes())?;
        opened.write_all(b"\n")?;
        Ok(file.clone())
    })
}

/// Leaves something for another process's engine.
pub fn leave(database: PathBuf, request: Request) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if let Err(error) = runtime.block_on(request.leave(&database)) {
            tracing::warn!("telling the engine: {error}");
        }
    });
}
