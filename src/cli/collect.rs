//! `dogwatch collect`: the engine without a screen.

use tokio::signal::unix::{SignalKind, signal};

use super::host_engine::{Hosting, start, watch_config};
use super::{CommandError, Common, witness};
use crate::adapters::store::state_dir::Claim;
use crate::engine::feed::Publisher;
use crate::engine::{Command, Run};

pub fn run(common: &Common) -> Result<(), CommandError> {
    let directory = common.state_dir()?;
    let lock = match directory.claim()? {
        Claim::Won(lock) => lock,
        Claim::Taken { pid } => {
            let pid = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
            return Err(CommandError::Failed(format!("{} is polled by {pid} already", directory.path().display())));
        }
    };
    let config = common.config()?;
    let hosts = config.fleet.hosts.len();
    common.secrets()?;
    witness::start(common, &directory, &config);
    let hosting = Hosting { directory, lock, how: "collect", mode: Run::UntilStopped, only: Vec::new() };
    let engine = start(common, config, Publisher::default(), hosting)?;
    let reload = watch_config(common.hosts.clone(), engine.commands.clone());
    eprintln!("dogwatch: watching {hosts} hosts; SIGHUP reads hosts.toml again, SIGTERM stops");
    let commands = engine.commands.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let watched = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let mut hang_up = signal(SignalKind::hangup())?;
                let mut terminate = signal(SignalKind::terminate())?;
                let mut interrupt = signal(SignalKind::interrupt())?;
                loop {
                    tokio::select! {
                        _ = hang_up.recv() => drop(reload.send(())),
                        _ = terminate.recv() => break,
                        _ = interrupt.recv() => break,
                    }
                }
                drop(commands.send(Command::Stop).await);
                Ok(())
            })
        });
        if let Err(error) = watched {
            tracing::error!("signals can't be watched: {error}");
        }
    });
    engine.join().map(drop)
}
