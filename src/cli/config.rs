//! `dogwatch config check`: tells every error of hosts.toml at once.

use clap::{Args, Subcommand};

use super::{CommandError, Common};

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
            println!("{} hosts in {} groups, no errors", config.fleet.hosts.len(), config.fleet.groups.len());
            Ok(())
        }
    }
}
