//! `dogwatch completions` and `dogwatch man`: both from the argument definitions.

use std::ffi::OsStr;
use std::io::Write;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use super::{Arguments, CommandError};
use crate::adapters::scenario::Scenario;
use crate::adapters::{config_file, own_machine};
use crate::config::Config;

/// By this variable a shell's script asks the program itself what fits.
const ASKED_BY: &str = "DOGWATCH_COMPLETE";

/// Print completions for a shell, which know the hosts of hosts.toml.
#[derive(Args)]
pub struct CompletionsArguments {
    shell: ShellName,
}

#[derive(Clone, Copy, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Print the manual page, of the whole program or of a command.
#[derive(Args)]
pub struct ManArguments {
    command: Option<String>,
}

pub fn completions(arguments: &CompletionsArguments) -> Result<(), CommandError> {
    let name = match arguments.shell {
        ShellName::Bash => "bash",
        ShellName::Zsh => "zsh",
        ShellName::Fish => "fish",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(|| CommandError::Usage(format!("no completions for {name}")))?;
    let mut out = Vec::new();
    shell.write_registration(ASKED_BY, "dogwatch", "dogwatch", "dogwatch", &mut out)?;
    Ok(std::io::stdout().write_all(&out)?)
}

/// Answers a shell that asks for completions, and ends; else does nothing.
pub fn complete_if_asked() {
    CompleteEnv::with_factory(Arguments::command).var(ASKED_BY).complete();
}

fn beginning<'a>(current: &OsStr, names: impl Iterator<Item = &'a str>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    names.filter(|name| name.starts_with(current)).map(CompletionCandidate::new).collect()
}

/// A configuration that can't be read completes nothing; the command itself will say why.
fn config() -> Option<Config> {
    config_file::load(None, &own_machine::name()).ok()
}

/// Hosts of hosts.toml.
pub fn host_names(current: &OsStr) -> Vec<CompletionCandidate> {
    let config = config();
    beginning(current, config.iter().flat_map(|config| &config.fleet.hosts).map(|host| host.name.as_str()))
}

/// Hosts and groups of hosts.toml.
pub fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let config = config();
    let groups = config.iter().flat_map(|config| &config.fleet.groups).map(|group| format!("@{group}"));
    let groups: Vec<String> = groups.collect();
    let mut candidates = host_names(current);
    candidates.extend(beginning(current, groups.iter().map(String::as_str)));
    candidates
}

/// The scenarios that come with the program.
pub fn scenarios(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, Scenario::names())
}

pub fn man(arguments: &ManArguments) -> Result<(), CommandError> {
    let mut program = Arguments::command();
    program.build();
    let page = match &arguments.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| CommandError::Usage(format!("there is no command '{name}'")))?
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page).render(&mut out)?;
    Ok(std::io::stdout().write_all(&out)?)
}
