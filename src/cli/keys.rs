//! `dogwatch keys`: the keys in force, and whether keys.toml can be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use toml::Spanned;

use super::CommandError;
use crate::adapters::{config_file, own_machine};
use crate::tui::keymap::{Keymap, parse_key};

/// Names closer than this are taken for a slip.
const NEAR: f64 = 0.75;

/// List the keys, or look at your own in keys.toml.
#[derive(Args)]
pub struct KeysArguments {
    #[command(subcommand)]
    command: Option<KeysCommand>,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Tell every mistake in keys.toml, with its place
    Check {
        /// Another file than keys.toml in the XDG configuration directory
        file: Option<PathBuf>,
    },
}

pub fn run(arguments: &KeysArguments) -> Result<(), CommandError> {
    match &arguments.command {
        None => {
            let keymap = in_force().unwrap_or_else(|error| {
                eprintln!("dogwatch: keys at their defaults: {error}");
                Keymap::default()
            });
            for binding in keymap.bindings() {
                println!("{:<16} {:<14} {}", binding.name, binding.shown(), binding.what);
            }
        }
        Some(KeysCommand::Check { file: Some(file) }) => drop(read(&std::path::absolute(file)?)?),
        Some(KeysCommand::Check { file: None }) => match own_file() {
            Some(file) => drop(read(&file)?),
            None => println!("there is no keys.toml: every key is at its default"),
        },
    }
    Ok(())
}

/// The user's own keys over the default ones.
pub fn in_force() -> Result<Keymap, CommandError> {
    own_file().map_or_else(|| Ok(Keymap::default()), |file| read(&file))
}

fn own_file() -> Option<PathBuf> {
    let file = own_machine::xdg_directory("XDG_CONFIG_HOME", ".config")?.join("dogwatch/keys.toml");
    file.symlink_metadata().is_ok().then_some(file)
}

fn read(file: &Path) -> Result<Keymap, CommandError> {
    let text = config_file::read_trusted(file)?;
    let keymap = parse(&text).map_err(|problems| {
        let file = file.display();
        let told: Vec<String> = problems.iter().map(|problem| format!("{file}:{problem}")).collect();
        CommandError::Keys(told.join("\n"))
    })?;
    Ok(keymap)
}

/// Each problem as `LINE: what`, or `LINE:COLUMN: what`.
fn parse(text: &str) -> Result<Keymap, Vec<String>> {
    let place = |at: usize| {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{line}:{column}")
    };
    let rows: BTreeMap<Spanned<String>, Spanned<toml::Value>> = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![format!("{}: {}", place(at), error.message())]
    })?;
    let mut keymap = Keymap::default();
    let mut problems = Vec::new();
    for (name, keys) in &rows {
        let at = place(keys.span().start);
        let words =
            keys.get_ref().as_array().map(|keys| keys.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>());
        let Some(Some(words)) = words else {
            problems.push(format!("{at}: write the keys of an action as {} = [\"r\", \"f5\"]", name.get_ref()));
            continue;
        };
        let mut read = Vec::new();
        for word in words {
            match parse_key(word) {
                Some(key) => read.push(key),
                None => {
                    problems
                        .push(format!("{at}: '{word}' is no key: write q, ctrl-r, alt-x, f5, space, enter, pageup …"));
                }
            }
        }
        if !keymap.rebind(name.get_ref(), read) {
            let names = keymap.bindings().iter().map(|binding| binding.name);
            let near = names.map(|known| (strsim::jaro_winkler(known, name.get_ref()), known));
            let nearest = near.filter(|(score, _)| NEAR <= *score).max_by(|a, b| a.0.total_cmp(&b.0));
            let meant = nearest
                .map_or("; 'dogwatch keys' lists them".to_owned(), |(_, name)| format!(", did you mean '{name}'?"));
            problems.push(format!("{}: no action is named '{}'{meant}", place(name.span().start), name.get_ref()));
        }
    }
    problems.extend(keymap.complaints().into_iter().map(|complaint| format!("1: {complaint}")));
    if problems.is_empty() { Ok(keymap) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match parse(text) {
            Ok(keymap) => keymap.bindings().iter().map(|binding| binding.shown()).collect::<Vec<_>>().join(" "),
            Err(problems) => problems.join("; "),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn keys_of_ones_own_replace_an_actions_keys() {
        check("poll = [\"f5\", \"ctrl-r\"]\n", " F5 ^r ");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        check("pol = [\"f5\"]\nhelp = [\"qq\"]\n", "2:8: 'qq' is no key");
        check("pol = [\"f5\"]\nhelp = [\"qq\"]\n", "1:1: no action is named 'pol', did you mean 'poll'?");
        check(
            "poll = 3\nup = \"k\"\n",
            "1:8: write the keys of an action as poll = [\"r\", \"f5\"]; 2:6: write the keys",
        );
        check("poll = [\"q\"]\n", "1: q stands for both poll and quit");
        check("quit = []\n", "1: quit must have a key");
    }
}
