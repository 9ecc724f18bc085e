//! Hosts, groups, and how a host is reached.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::settings::Settings;

/// RFC 1035 allows a full host name of 253 octets.
const NAME_BYTES_MAX: usize = 253;

/// Why a name is no host or group name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{input}' {reason}")]
pub struct NameError {
    input: String,
    reason: &'static str,
}

pub(super) fn parse_name(input: &str) -> Result<Arc<str>, NameError> {
    let reject = |reason| Err(NameError { input: input.chars().take(80).collect(), reason });
    if input.is_empty() || NAME_BYTES_MAX < input.len() {
        return reject("must be 1 to 253 bytes");
    }
    if input.starts_with('-') {
        return reject("may not start with '-': it would read as a flag");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !input.chars().all(allowed) {
        return reject("may hold only letters, digits and . - _ : %");
    }
    Ok(input.into())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The only way in; `NameError` says which rule the input breaks.
            pub fn parse(input: &str) -> Result<Self, $crate::domain::fleet::NameError> {
                $crate::domain::fleet::parse_name(input).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::fleet::NameError;
            fn try_from(input: String) -> Result<Self, Self::Error> {
                Self::parse(&input)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

pub(super) use name_type;

name_type!(
    /// A host as hosts.toml names it.
    HostName
);
name_type!(
    /// A group of hosts, written `@name` where a host could stand too.
    GroupName
);
name_type!(
    /// The user's name for a backup set, a declared job or a rate rule.
    ItemName
);

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The machine Dogwatch runs on: its own `/bin/sh`.
    Local,
    /// Over SSH, under this name of the user's ssh configuration, or of the file named here.
    Ssh { destination: String, ssh_config: Option<std::path::PathBuf> },
    /// Recorded host output, read from this directory.
    Replay { directory: std::path::PathBuf },
}

/// The colour by which the screen says whose host is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtectionColour {
    Red,
    Yellow,
    Green,
    Blue,
    Magenta,
    Cyan,
}

impl ProtectionColour {
    /// By the names that hosts.toml gives them.
    pub const NAMED: [(&str, ProtectionColour); 6] = [
        ("red", ProtectionColour::Red),
        ("yellow", ProtectionColour::Yellow),
        ("green", ProtectionColour::Green),
        ("blue", ProtectionColour::Blue),
        ("magenta", ProtectionColour::Magenta),
        ("cyan", ProtectionColour::Cyan),
    ];
}

/// One host with every setting resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpec {
    pub name: HostName,
    pub groups: Vec<GroupName>,
    pub reach: Reach,
    /// The host that this one is reached through, or runs on: while that is down, this one is behind it.
    pub parent: Option<HostName>,
    pub settings: Arc<Settings>,
}

/// The whole resolved fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    pub hosts: Vec<HostSpec>,
    /// Groups in the order of the file.
    pub groups: Vec<GroupName>,
}

impl Fleet {
    pub fn host(&self, name: &HostName) -> Option<&HostSpec> {
        self.hosts.iter().find(|host| host.name == *name)
    }
}

/// Most names that one node set may stand for.
pub const NODE_SET_MAX: usize = 10_000;

/// Why a node set is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodeSetError {
    #[error("'{0}': a '[' without its ']'")]
    Unclosed(String),
    #[error("'{0}': '{1}' is no number or range such as 1-9 or 01-12")]
    BadRange(String, String),
    #[error("'{0}': stands for more than 10000 names")]
    TooMany(String),
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Expands a node set such as `web[1-3,07-09].example` into host names, keeping the width of padded numbers.
pub fn expand_node_set(pattern: &str) -> Result<Vec<HostName>, NodeSetError> {
    let mut expanded = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        let (ranges, tail) = after.split_once(']').ok_or_else(|| NodeSetError::Unclosed(pattern.to_owned()))?;
        let numbers = expand_ranges(pattern, ranges)?;
        if NODE_SET_MAX < expanded.len().saturating_mul(numbers.len()) {
            return Err(NodeSetError::TooMany(pattern.to_owned()));
        }
        expanded = expanded
            .iter()
            .flat_map(|prefix| numbers.iter().map(move |number| format!("{prefix}{before}{number}")))
            .collect();
        rest = tail;
    }
    expanded.into_iter().map(|prefix| Ok(HostName::parse(&format!("{prefix}{rest}"))?)).collect()
}

fn expand_ranges(pattern: &str, ranges: &str) -> Result<Vec<String>, NodeSetError> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let bad = || NodeSetError::BadRange(pattern.to_owned(), range.to_owned());
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| bad()),
            false => Err(bad()),
        };
        let (low, high) = (number(first)?, number(last)?);
        if high < low {
            return Err(bad());
        }
        if NODE_SET_MAX < numbers.len() + (high - low) as usize {
            return Err(NodeSetError::TooMany(pattern.to_owned()));
        }
        let width = if first.starts_with('0') { first.len() } else { 0 };
        numbers.extend((low..=high).map(|n| format!("{n:0width$}")));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &str) {
        let shown = match expand_node_set(pattern) {
            Ok(names) => names.iter().map(HostName::as_str).collect::<Vec<_>>().join(" "),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_plain_name_stands_for_itself() {
        check("db1.example", "db1.example");
    }

    #[test]
    fn a_range_and_a_list_expand_in_order() {
        check("web[1-3,7]", "web1 web2 web3 web7");
    }

    #[test]
    fn padding_is_kept() {
        check("n[08-11]", "n08 n09 n10 n11");
    }

    #[test]
    fn two_ranges_multiply() {
        check("r[1-2]n[1-2].x", "r1n1.x r1n2.x r2n1.x r2n2.x");
    }

    #[test]
    fn a_backward_range_is_refused() {
        check("web[9-1]", "error: 'web[9-1]': '9-1' is no number or range such as 1-9 or 01-12");
    }

    #[test]
    fn a_huge_range_is_refused_before_it_is_built() {
        check("web[1-4000000000]", "error: 'web[1-4000000000]': stands for more than 10000 names");
    }

    #[test]
    fn a_name_that_reads_as_a_flag_is_refused() {
        check("-oProxyCommand=x", "error: '-oProxyCommand=x' may not start with '-': it would read as a flag");
    }

    #[test]
    fn shell_metacharacters_are_refused() {
        check("a;rm", "error: 'a;rm' may hold only letters, digits and . - _ : %");
    }
}
