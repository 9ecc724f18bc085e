//! `dogwatch config check`: tells every error of hosts.toml at once.

use clap::{Args, Subcommand};

use super::{CommandError, Common};
use crate::domain::fleet::Reach;

/// Look at the configuration.
#[derive(Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Tell every error at once, with its place
    Check,
}

pub fn run(common: &Common, arguments: &ConfigArguments) -> Result<(), CommandError> {
    match arguments.command {
        ConfigCommand::Check => {
            let config = common.config()?;
            let local = config.fleet.hosts.iter().filter(|host| host.reach == Reach::Local).count();
            let others = config.fleet.hosts.len() - local;
            println!(
                "no errors: {others} over SSH or replayed, and this machine; groups: {}",
                config.fleet.groups.len()
            );
            Ok(())
        }
    }
}
