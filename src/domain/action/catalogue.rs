//! The catalogue: actions are data. What reaches a host is a constant script and these arguments, and nothing typed freely.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ActionId;
use super::policy::Severity;
use super::{purge_program, shipping};
use crate::domain::audit::canonical::{self, CanonicalError};
use crate::domain::audit::digest::Digest;
use crate::domain::fleet::HostName;

/// The longest value of a parameter, in bytes.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ParameterKind {
    /// An absolute path that is one of these or lies below one, without `..`.
    Path {
        under: Vec<String>,
    },
    /// The name of a systemd unit.
    Unit,
    /// The name of another host of the fleet.
    Host,
    /// A word that the whole of this pattern matches.
    Word {
        pattern: String,
    },
    /// A whole number, both ends included.
    Number {
        min: u64,
        max: u64,
    },
    Choice {
        of: Vec<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    pub name: String,
    pub about: String,
    #[serde(flatten)]
    pub kind: ParameterKind,
    pub default: Option<String>,
}

/// How an action is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// This command line, `{name}` standing for a parameter within one word.
    Argv(Vec<String>),
    /// Archives files that are no longer written, checks the archive, and only then removes them.
    ArchivePurge,
}

/// What one run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionLimits {
    /// The command is no longer waited for after this time; it is not killed.
    #[serde(with = "as_ms")]
    pub deadline: Duration,
    /// Its effect must be measured within this time after its end.
    #[serde(with = "as_ms")]
    pub measured_within: Duration,
    /// How long a lost link is tried again before the outcome is unknown.
    #[serde(with = "as_ms")]
    pub reattached_within: Duration,
    /// Bytes of its output that are kept.
    pub output_bytes_max: u64,
    /// Hosts of one run.
    pub hosts_max: u32,
    /// Hosts at once, after the first one alone.
    pub batch: u32,
    /// Files that one run may delete on a host.
    pub objects_max: u32,
}

/// Durations as whole milliseconds: the canonical form has no fractions.
mod as_ms {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

impl Default for ActionLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(300),
            measured_within: Duration::from_secs(30),
            reattached_within: Duration::from_secs(60),
            output_bytes_max: 256 << 10,
            hosts_max: 50,
            batch: 5,
            objects_max: 5_000,
        }
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    pub id: ActionId,
    pub version: u32,
    pub about: String,
    pub severity: Severity,
    /// Whether whoever acts could have written it.
    pub is_own: bool,
    /// Runs as root, by `sudo -n` where the login is not root's.
    pub root: bool,
    pub parameters: Vec<Parameter>,
    pub means: Means,
    /// Looks at what would be done, and changes nothing; its output is shown with the plan.
    pub preview: Vec<String>,
    /// Measures the effect: the action is done when this ends with 0, and not before.
    pub measure: Vec<String>,
    pub limits: ActionLimits,
}

/// Why an action can't be asked for like this.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParameterError {
    #[error("{action} has no parameter '{name}': it has {known}")]
    Unknown { action: ActionId, name: String, known: String },
    #[error("{action} needs {name}=…: {about}")]
    Missing { action: ActionId, name: String, about: String },
    #[error("{name}: '{value}' {why}")]
    Refused { name: String, value: String, why: String },
}

impl Action {
    /// What the catalogue says of it, as a plan names it: a changed definition is another action.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        let mut whole = canonical::encode(self)?;
        match &self.means {
            Means::Argv(_) => {}
            Means::ArchivePurge => {
                let shipping = [shipping::LENGTH, shipping::READ, shipping::WRITE, shipping::READ_BACK, shipping::SEAL];
                purge_program::scripts().iter().chain(&shipping).for_each(|script| whole.push_str(script));
            }
        }
        Ok(Digest::of(whole.as_bytes()))
    }

    /// Every parameter with its value, checked; defaults included.
    pub fn parameters(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ParameterError> {
        let is_known = |name: &String| self.parameters.iter().any(|parameter| parameter.name == *name);
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ParameterError::Unknown { action: self.id.clone(), name: name.clone(), known });
        }
        let value_of = |parameter: &Parameter| {
            let name = parameter.name.clone();
            let value = given.get(&name).or(parameter.default.as_ref()).cloned().ok_or_else(|| {
                ParameterError::Missing { action: self.id.clone(), name: name.clone(), about: parameter.about.clone() }
            })?;
            match parameter.kind.refuses(&value) {
                None => Ok((name, value)),
                Some(why) => Err(ParameterError::Refused { name, value: value.escape_debug().to_string(), why }),
            }
        };
        self.parameters.iter().map(value_of).collect()
    }

    /// A command line of this action with its parameters in place; each word stays one word.
    pub fn fill(words: &[String], parameters: &BTreeMap<String, String>) -> Vec<String> {
        words.iter().map(|word| fill_word(word, parameters)).collect()
    }
}

/// One pass: what a value holds is never looked at again.
fn fill_word(word: &str, parameters: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}').and_then(|(name, after)| Some((parameters.get(name)?, after))) {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

impl ParameterKind {
    /// Why a value is none for this parameter.
    fn refuses(&self, value: &str) -> Option<String> {
        if value.is_empty() || VALUE_BYTES_MAX < value.len() {
            return Some(format!("must have 1 to {VALUE_BYTES_MAX} bytes"));
        }
        if value.chars().any(char::is_control) {
            return Some("holds a control character".to_owned());
        }
        if value.starts_with('-') {
            return Some("begins with '-': it would read as a flag".to_owned());
        }
        match self {
            ParameterKind::Path { under } => refuse_path(value, under),
            ParameterKind::Unit => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
                (!value.chars().all(allowed)).then(|| "is no name of a systemd unit".to_owned())
            }
            ParameterKind::Host => HostName::parse(value).err().map(|error| error.to_string()),
            ParameterKind::Word { pattern } => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(regex) if regex.is_match(value) => None,
                Ok(_) => Some(format!("does not match {pattern}")),
                Err(_) => Some(format!("can't be checked: the catalogue's pattern {pattern} is broken")),
            },
            ParameterKind::Number { min, max } => {
                let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
                let number = is_plain.then(|| value.parse::<u64>().ok()).flatten();
                (!number.is_some_and(|number| (*min..=*max).contains(&number)))
                    .then(|| format!("is no whole number from {min} to {max}"))
            }
            ParameterKind::Choice { of } => {
                (!of.iter().any(|choice| choice == value)).then(|| format!("is none of {}", of.join(", ")))
            }
        }
    }
}

fn refuse_path(value: &str, under: &[String]) -> Option<String> {
    if !value.starts_with('/') {
        return Some("does not begin at /".to_owned());
    }
    let steps: Vec<&str> = value[1..].split('/').collect();
    if steps.iter().any(|step| matches!(*step, ".." | "." | "")) {
        return Some("must be written without '.', '..', '//' and a '/' at its end".to_owned());
    }
    let is_within = |outer: &String| {
        value.strip_prefix(outer.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    (!under.iter().any(is_within)).then(|| format!("is not under {}", under.join(", ")))
}

/// All actions, by their id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue(pub BTreeMap<ActionId, Action>);

impl Catalogue {
    pub fn get(&self, id: &ActionId) -> Option<&Action> {
        self.0.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(kind: &ParameterKind, value: &str, expected: Option<&str>) {
        let refused = kind.refuses(value);
        match expected {
            None => assert_eq!(refused, None, "{value:?}"),
            Some(why) => assert!(refused.as_ref().is_some_and(|found| found.contains(why)), "{value:?}: {refused:?}"),
        }
    }

    #[test]
    fn a_path_stays_where_it_is_allowed() {
        let kind = ParameterKind::Path { under: vec!["/var/log".to_owned()] };
        check(&kind, "/var/log", None);
        check(&kind, "/var/log/app one", None);
        for wrong in ["/var/logs", "/var", "/etc/passwd"] {
            check(&kind, wrong, Some("is not under /var/log"));
        }
        for wrong in ["/var/log/../../etc", "/var/log//x", "/var/log/", "/var/log/./x"] {
            check(&kind, wrong, Some("must be written without"));
        }
        check(&kind, "var/log", Some("does not begin at /"));
        check(&kind, "/var/log/a\nb", Some("control character"));
    }

    #[test]
    fn what_would_read_as_a_flag_is_refused_whatever_the_kind() {
        let kinds = [
            ParameterKind::Unit,
            ParameterKind::Word { pattern: ".*".to_owned() },
            ParameterKind::Choice { of: vec!["-rf".to_owned()] },
        ];
        for kind in kinds {
            check(&kind, "-rf", Some("would read as a flag"));
        }
    }

    #[test]
    fn units_numbers_and_choices_are_what_they_say() {
        check(&ParameterKind::Unit, "getty@tty1.service", None);
        check(&ParameterKind::Unit, "x;reboot", Some("no name of a systemd unit"));
        let number = ParameterKind::Number { min: 1, max: 9 };
        check(&number, "9", None);
        for wrong in ["10", "0", "+1", "1e1", " 1"] {
            check(&number, wrong, Some("no whole number"));
        }
        check(&ParameterKind::Word { pattern: "[a-z]+".to_owned() }, "ab1", Some("does not match"));
    }

    #[test]
    fn a_parameter_that_is_missing_or_unknown_is_told() {
        let Some(id) = ActionId::parse("unit.restart").ok() else { panic!("an id") };
        let unit = Parameter {
            name: "unit".into(),
            about: "what to restart".into(),
            kind: ParameterKind::Unit,
            default: None,
        };
        let action = Action {
            id,
            version: 1,
            about: String::new(),
            severity: Severity::Disruptive,
            is_own: false,
            root: true,
            parameters: vec![unit],
            means: Means::Argv(vec!["systemctl".into(), "restart".into(), "{unit}".into()]),
            preview: Vec::new(),
            measure: Vec::new(),
            limits: ActionLimits::default(),
        };
        let given = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        assert_eq!(
            action.parameters(&BTreeMap::new()).map_err(|error| error.to_string()),
            Err("unit.restart needs unit=…: what to restart".to_owned())
        );
        assert_eq!(
            action.parameters(&given("units")).map_err(|error| error.to_string()),
            Err("unit.restart has no parameter 'units': it has unit".to_owned())
        );
        assert!(action.parameters(&given("unit")).is_ok());
    }

    proptest! {
        #[test]
        fn a_value_is_one_word_and_is_never_read_again(value in "\\PC{0,30}") {
            let parameters = BTreeMap::from([("a".to_owned(), value.clone()), ("b".to_owned(), "{a}".to_owned())]);
            let words = ["x={a}", "{b}", "{c}"].map(str::to_owned);
            prop_assert_eq!(Action::fill(&words, &parameters), [format!("x={value}"), "{a}".to_owned(), "{c}".to_owned()]);
        }
    }
}
