//! Theme files: a palette, a style for each role, and perhaps another theme that they go on from.

use std::collections::BTreeMap;

use ratatui::style::Modifier;
use serde::Deserialize;
use thiserror::Error;

use super::colour::{Colour, OWN_NAMES};
use super::{Look, Role, Theme};

/// The themes that come with the program, by name.
const BUILT_IN: [(&str, &str); 6] = [
    ("default", include_str!("../../../themes/default.toml")),
    ("dark", include_str!("../../../themes/dark.toml")),
    ("light", include_str!("../../../themes/light.toml")),
    ("mono", include_str!("../../../themes/mono.toml")),
    ("colour-blind", include_str!("../../../themes/colour-blind.toml")),
    ("wall", include_str!("../../../themes/wall.toml")),
];
/// Themes that may go on from one another.
const DEPTH_MAX: usize = 8;
/// A longer file is no theme.
pub const THEME_BYTES_MAX: usize = 64 << 10;

/// Why a file is no theme.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("theme '{theme}': {what}")]
pub struct ThemeError {
    theme: String,
    what: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ThemeFile {
    inherits: Option<String>,
    palette: BTreeMap<String, String>,
    style: BTreeMap<String, StyleFile>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct StyleFile {
    fg: Option<String>,
    bg: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    reversed: bool,
}

/// The themes there are: the user's own, and those that come with the program.
#[derive(Clone, Debug, Default)]
pub struct Themes {
    own: BTreeMap<String, String>,
}

impl Themes {
    /// With the text of the user's theme files, by name; they go before built-in ones of the same name.
    pub fn new(own: BTreeMap<String, String>) -> Self {
        Self { own }
    }

    pub fn names(&self) -> Vec<&str> {
        let built_in = BUILT_IN.iter().map(|(name, _)| *name).filter(|name| !self.own.contains_key(*name));
        built_in.chain(self.own.keys().map(String::as_str)).collect()
    }

    /// Reads a theme and all that it goes on from.
    pub fn load(&self, name: &str) -> Result<Theme, ThemeError> {
        let mut chain: Vec<(String, ThemeFile)> = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(current) = next {
            let failed = |what: String| ThemeError { theme: name.to_owned(), what };
            if chain.iter().any(|(seen, _)| *seen == current) || DEPTH_MAX <= chain.len() {
                let names: Vec<&str> = chain.iter().map(|(seen, _)| seen.as_str()).chain([current.as_str()]).collect();
                return Err(failed(format!("inherits in a circle: {}", names.join(" → "))));
            }
            let text = self
                .text(&current)
                .ok_or_else(|| failed(format!("there is no theme '{current}'{}", self.meant(&current))))?;
            let file = parse(text).map_err(|what| ThemeError { theme: current.clone(), what })?;
            next = file.inherits.clone();
            chain.push((current, file));
        }
        resolve(name, &chain)
    }

    fn text(&self, name: &str) -> Option<&str> {
        let built_in = || BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        self.own.get(name).map(String::as_str).or_else(built_in)
    }

    fn meant(&self, name: &str) -> String {
        let names = self.names();
        match nearest(name, names.iter().copied()) {
            Some(meant) => format!(", did you mean '{meant}'?"),
            None => format!("; there are {}", names.join(", ")),
        }
    }
}

fn parse(text: &str) -> Result<ThemeFile, String> {
    if THEME_BYTES_MAX < text.len() {
        return Err(format!("longer than {THEME_BYTES_MAX} bytes"));
    }
    let file: ThemeFile = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    for name in file.style.keys() {
        if !Role::ALL.iter().any(|role| role.name() == name) {
            let meant = nearest(name, Role::ALL.iter().map(|role| role.name()));
            let meant = meant.map(|meant| format!(", did you mean '{meant}'?")).unwrap_or_default();
            return Err(format!("[style] knows no '{name}'{meant}"));
        }
    }
    Ok(file)
}

/// The nearest file wins, for each colour of the palette and each style.
fn resolve(name: &str, chain: &[(String, ThemeFile)]) -> Result<Theme, ThemeError> {
    let failed = |theme: &str, what: String| ThemeError { theme: theme.to_owned(), what };
    let mut palette: BTreeMap<&str, Colour> = BTreeMap::new();
    for (theme, file) in chain.iter().rev() {
        for (colour, value) in &file.palette {
            let parsed = Colour::parse(value);
            let what = || format!("[palette] {colour} = \"{value}\" is no colour: write #rrggbb, {OWN_NAMES}, or both");
            palette.insert(colour, parsed.ok_or_else(|| failed(theme, what()))?);
        }
    }
    let mut looks = [Look::default(); Role::ALL.len()];
    for role in Role::ALL {
        let given = chain.iter().find_map(|(theme, file)| Some((theme, file.style.get(role.name())?)));
        let (theme, style) = given.ok_or_else(|| failed(name, format!("[style] lacks '{role}'")))?;
        let colour = |value: &Option<String>| match value {
            None => Ok(None),
            Some(value) => match palette.get(value.as_str()).copied().or_else(|| Colour::parse(value)) {
                Some(colour) => Ok(Some(colour)),
                None => Err(failed(theme, format!("{role}: '{value}' is neither in [palette] nor a colour"))),
            },
        };
        looks[role as usize] =
            Look { foreground: colour(&style.fg)?, background: colour(&style.bg)?, modifiers: style.modifiers() };
    }
    Ok(Theme::new(name, looks))
}

impl StyleFile {
    fn modifiers(&self) -> Modifier {
        let given = [
            (self.bold, Modifier::BOLD),
            (self.dim, Modifier::DIM),
            (self.italic, Modifier::ITALIC),
            (self.underlined, Modifier::UNDERLINED),
            (self.reversed, Modifier::REVERSED),
        ];
        given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, modifier)| modifier).collect()
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const FAR: usize = 3;
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(far, _)| *far < FAR)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(files: &[(&str, &str)]) -> Themes {
        Themes::new(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    fn refused(files: &[(&str, &str)], name: &str) -> String {
        own(files).load(name).expect_err("it is refused").to_string()
    }

    #[test]
    fn every_built_in_theme_is_whole() {
        let themes = Themes::default();
        for name in themes.names() {
            assert_eq!(themes.load(name).map(|theme| theme.name), Ok(name.to_owned()));
        }
    }

    #[test]
    fn a_circle_is_named() {
        let files = [("a", "inherits = 'b'"), ("b", "inherits = 'a'")];
        assert_eq!(refused(&files, "a"), "theme 'a': inherits in a circle: a → b → a");
    }

    #[test]
    fn a_palette_of_ones_own_recolours_what_is_inherited() {
        let themes = own(&[("mine", "inherits = 'dark'\n[palette]\nred = '#ff0000'")]);
        let critical = themes.load("mine").map(|theme| theme.look(Role::Critical).foreground);
        assert_eq!(critical, Ok(Colour::parse("#ff0000")));
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        assert_eq!(
            refused(&[("x", "[style]\ncritcal = {}")], "x"),
            "theme 'x': [style] knows no 'critcal', did you mean 'critical'?"
        );
        assert_eq!(refused(&[("x", "[style]\nplain = {}")], "x"), "theme 'x': [style] lacks 'dim'");
        assert_eq!(refused(&[], "drak"), "theme 'drak': there is no theme 'drak', did you mean 'dark'?");
        let reddish = refused(&[("x", "inherits = 'dark'\n[style]\nok = { fg = 'reddish' }")], "x");
        assert_eq!(reddish, "theme 'x': ok: 'reddish' is neither in [palette] nor a colour");
        assert!(refused(&[("x", "inherits = 'dark'\nstyle = 3")], "x").contains("line 2"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text in "\\PC*", inherits in "(default|x|y)?") {
            let text = format!("inherits = '{inherits}'\n{text}");
            let _ = own(&[("x", &text), ("y", "inherits = 'x'")]).load("x");
        }
    }
}
