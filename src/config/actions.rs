//! actions.toml: the catalogue, built in and the user's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ConfigError;
use super::reader::{Notes, Reader};
use super::settings::set;
use crate::domain::action::ActionId;
use crate::domain::action::catalogue::{Action, ActionLimits, Catalogue, Means, Parameter, ParameterKind};
use crate::domain::action::policy::Severity;

/// What the program brings.
const BUILT_IN: &str = include_str!("../../assets/actions.toml");

/// Words of a pattern where the catalogue gives none: no white space, nothing that a shell reads.
const WORD: &str = "[A-Za-z0-9][A-Za-z0-9._:@%+-]*";

/// The actions that the program brings.
pub fn built_in() -> Result<Catalogue, ConfigError> {
    parse("actions.toml", BUILT_IN, false)
}

/// Reads the text of `file`. What is the actor's own counts as destructive, whatever it says of itself.
pub fn parse(file: &str, text: &str, is_own: bool) -> Result<Catalogue, ConfigError> {
    let notes = Notes::new(file, text);
    let (table, syntax) = toml::de::DeTable::parse_recoverable(text);
    for error in syntax {
        notes.error(error.span().map_or(0, |span| span.start), error.message().to_owned());
    }
    let mut actions = BTreeMap::new();
    if !notes.has_errors() {
        let root = Reader::new(table.get_ref(), &notes);
        for (offset, name, reader) in root.named_tables("action") {
            match ActionId::parse(&name) {
                Ok(id) => drop(actions.insert(id.clone(), action(id, offset, &reader, is_own))),
                Err(error) => notes.error(offset, error.to_string()),
            }
            reader.finish();
        }
        root.finish();
    }
    let (errors, _) = notes.finish();
    match errors.is_empty() {
        true => Ok(Catalogue(actions)),
        false => Err(ConfigError(errors)),
    }
}

fn words(reader: &Reader, key: &'static str) -> Vec<String> {
    reader.strings(key).unwrap_or_default().into_iter().map(|(_, word)| word).collect()
}

fn action(id: ActionId, offset: usize, reader: &Reader, is_own: bool) -> Action {
    let least = if is_own { Severity::Destructive } else { Severity::Safe };
    let notes = reader.notes();
    let parameters: Vec<Parameter> = reader
        .named_tables("parameter")
        .into_iter()
        .map(|(_, name, table)| {
            let parameter = parameter(name, &table);
            table.finish();
            parameter
        })
        .collect();
    let means = match reader.choice("procedure", &[("archive-purge", Means::ArchivePurge)].map(|(name, _)| (name, ())))
    {
        Some(()) => Means::ArchivePurge,
        None => Means::Argv(words(reader, "argv")),
    };
    if means == Means::Argv(Vec::new()) {
        notes.error(offset, format!("{id} needs argv"));
    }
    let mut limits = ActionLimits::default();
    set(&mut limits.deadline, reader.duration("deadline", Duration::from_millis(1)));
    set(&mut limits.measured_within, reader.duration("measured_within", Duration::from_millis(1)));
    set(&mut limits.reattached_within, reader.duration("reattached_within", Duration::from_millis(1)));
    set(&mut limits.output_bytes_max, reader.bytes("output_max"));
    let count = |key, max| reader.count(key, 1, max).and_then(|count| u32::try_from(count).ok());
    set(&mut limits.hosts_max, count("hosts_max", 10_000));
    set(&mut limits.batch, count("batch", 1_000));
    set(&mut limits.objects_max, count("objects_max", 100_000));
    let action = Action {
        version: count("version", u64::from(u32::MAX)).unwrap_or(1),
        about: reader.string("about").unwrap_or_default(),
        severity: reader.choice("severity", &Severity::NAMED).unwrap_or(Severity::Destructive).max(least),
        is_own,
        root: reader.flag("root").unwrap_or(false),
        parameters,
        means,
        preview: words(reader, "preview"),
        measure: words(reader, "measure"),
        limits,
        id,
    };
    check_words(&action, offset, notes);
    action
}

/// A placeholder without its parameter would reach the host as it stands.
fn check_words(action: &Action, offset: usize, notes: &Notes<'_>) {
    let argv = match &action.means {
        Means::Argv(argv) => argv.as_slice(),
        Means::ArchivePurge => &[],
    };
    let names: Vec<&str> = action.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    for word in argv.iter().chain(&action.preview).chain(&action.measure) {
        let placeholders = word.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let is_known = |name: &&str| names.contains(name) || (*name == "began" && action.measure.contains(word));
        for name in placeholders.filter(is_name).filter(|name| !is_known(name)) {
            notes.error(offset, format!("{}: {{{name}}} is no parameter of it", action.id));
        }
    }
    if action.measure.is_empty() && matches!(action.means, Means::Argv(_)) {
        notes.error(offset, format!("{} needs measure: an action is done when its effect is measured", action.id));
    }
}

fn parameter(name: String, reader: &Reader) -> Parameter {
    #[derive(Clone, Copy)]
    enum Kind {
        Path,
        Unit,
        Host,
        Word,
        Number,
        Choice,
    }
    let kinds = [
        ("path", Kind::Path),
        ("unit", Kind::Unit),
        ("host", Kind::Host),
        ("word", Kind::Word),
        ("number", Kind::Number),
        ("choice", Kind::Choice),
    ];
    let kind = match reader.choice("kind", &kinds).unwrap_or(Kind::Word) {
        Kind::Path => ParameterKind::Path { under: words(reader, "under") },
        Kind::Unit => ParameterKind::Unit,
        Kind::Host => ParameterKind::Host,
        Kind::Word => ParameterKind::Word { pattern: pattern(reader) },
        Kind::Number => ParameterKind::Number {
            min: reader.count("min", 0, u64::from(u32::MAX)).unwrap_or(0),
            max: reader.count("max", 0, u64::from(u32::MAX)).unwrap_or(u64::from(u32::MAX)),
        },
        Kind::Choice => ParameterKind::Choice { of: words(reader, "of") },
    };
    Parameter { name, about: reader.string("about").unwrap_or_default(), kind, default: reader.string("default") }
}

fn pattern(reader: &Reader) -> String {
    let pattern = reader.string("pattern").unwrap_or_else(|| WORD.to_owned());
    if let Err(why) = reader.notes().pattern(&pattern) {
        reader.notes().error(reader.place("pattern"), format!("pattern: {why}"));
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match parse("actions.toml", text, false) {
            Ok(catalogue) => format!("{} actions", catalogue.0.len()),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn the_built_in_actions_are_read() {
        let catalogue = built_in().unwrap_or_else(|error| panic!("{error}"));
        assert!(catalogue.0.values().all(|action| !action.about.is_empty()));
    }

    #[test]
    fn an_action_without_a_measure_or_with_a_strange_placeholder_is_refused() {
        check("[action.'x.y']\nargv = ['true']\n", "x.y needs measure");
        check("[action.'x.y']\nargv = ['rm', '{file}']\nmeasure = ['true']\n", "{file} is no parameter of it");
        check("[action.'x.y']\nmeasure = ['true']\n", "x.y needs argv");
        check("[action.'x.y']\nargv = ['a']\nmeasure = ['b']\nseverty = 'safe'\n", "did you mean 'severity'?");
    }

    #[test]
    fn what_the_actor_could_have_written_counts_as_destructive() {
        let text = "[action.'x.y']\nargv = ['a']\nmeasure = ['b']\nseverity = 'safe'\n";
        let catalogue = parse("actions.toml", text, true).unwrap_or_else(|error| panic!("{error}"));
        assert!(catalogue.0.values().all(|action| action.is_own && action.severity == Severity::Destructive));
    }
}
