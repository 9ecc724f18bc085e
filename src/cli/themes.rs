//! `dogwatch themes`: what themes there are, and whether they can be read.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use clap::{Args, Subcommand};

use super::{CommandError, Common};
use crate::adapters::{config_file, own_machine};
use crate::tui::theme::check::complaints;
use crate::tui::theme::colour::Tier;
use crate::tui::theme::file::Themes;
use crate::tui::theme::glyphs::Glyphs;

/// Theme files that are read at most.
const OWN_THEMES_MAX: usize = 100;
const DEFAULT: &str = "default";
const MONO: &str = "mono";
const WALL: &str = "wall";

/// List the themes, or look at them closely.
#[derive(Args)]
pub struct ThemesArguments {
    #[command(subcommand)]
    command: Option<ThemesCommand>,
}

#[derive(Subcommand)]
enum ThemesCommand {
    /// Tell what is missing, in a circle, or hard to read for some eyes
    Check {
        /// The themes to look at; all by default
        names: Vec<String>,
    },
}

pub fn run(arguments: &ThemesArguments) -> Result<(), CommandError> {
    let themes = all();
    let Some(ThemesCommand::Check { names }) = &arguments.command else {
        themes.names().iter().for_each(|name| println!("{name}"));
        return Ok(());
    };
    let names = match names.is_empty() {
        true => themes.names().into_iter().map(str::to_owned).collect(),
        false => names.clone(),
    };
    let mut found = 0;
    for name in &names {
        let said = match themes.load(name) {
            Ok(theme) => complaints(&theme).iter().map(|complaint| format!("theme '{name}': {complaint}")).collect(),
            Err(error) => vec![error.to_string()],
        };
        found += said.len();
        said.iter().for_each(|line| println!("{line}"));
    }
    match found {
        0 => {
            println!("{} themes, each can be read by every eye", names.len());
            Ok(())
        }
        1 => Err(CommandError::Failed("1 complaint".to_owned())),
        found => Err(CommandError::Failed(format!("{found} complaints"))),
    }
}

/// The user's own themes, from `themes/NAME.toml` beside hosts.toml, and those that come with the program.
pub fn all() -> Themes {
    let directory =
        own_machine::xdg_directory("XDG_CONFIG_HOME", ".config").map(|config| config.join("dogwatch/themes"));
    let entries = directory.and_then(|directory| std::fs::read_dir(directory).ok());
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| is_theme(path));
    let mut own = BTreeMap::new();
    for file in files.take(OWN_THEMES_MAX) {
        let Some(name) = file.file_stem().and_then(|name| name.to_str()) else { continue };
        match config_file::read_trusted(&file) {
            Ok(text) => drop(own.insert(name.to_owned(), text)),
            Err(error) => eprintln!("dogwatch: warning: {error}"),
        }
    }
    Themes::new(own)
}

fn is_theme(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// The theme that was asked for: by name, or by `NO_COLOR` (https://no-color.org).
pub fn wanted(common: &Common) -> String {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let usual = match (no_colour, common.wall) {
        (true, _) => MONO,
        (false, true) => WALL,
        (false, false) => DEFAULT,
    };
    common.theme.clone().unwrap_or_else(|| usual.to_owned())
}

/// What signs the terminal has: as asked for, or as the environment says.
pub fn glyphs(common: &Common) -> Glyphs {
    glyphs_on(common, &env::var("TERM").unwrap_or_default())
}

/// What signs may stand in text that goes to a file or another program.
pub fn glyphs_of_text(common: &Common) -> Glyphs {
    glyphs_on(common, "")
}

fn glyphs_on(common: &Common, term: &str) -> Glyphs {
    let is_said = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(is_said).and_then(|name| env::var(name).ok());
    common.glyphs.unwrap_or_else(|| Glyphs::of(locale.as_deref(), term))
}

/// How many colours the terminal says it has.
pub fn tier() -> Tier {
    Tier::of(&env::var("COLORTERM").unwrap_or_default(), &env::var("TERM").unwrap_or_default())
}
