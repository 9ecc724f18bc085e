//! `dogwatch completions` and `dogwatch man`: both from the argument definitions.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, CommandError};

/// Print completions for a shell.
#[derive(Args)]
pub struct CompletionsArguments {
    shell: Shell,
}

/// Print the manual page, of the whole program or of a command.
#[derive(Args)]
pub struct ManArguments {
    command: Option<String>,
}

pub fn completions(arguments: &CompletionsArguments) -> Result<(), CommandError> {
    let mut out = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "dogwatch", &mut out);
    Ok(std::io::stdout().write_all(&out)?)
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
