//! The names of checks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CheckKind, Pane};
use crate::domain::text::SafeText;

/// A check's id: `disk.space:/var`, `host.load`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckId {
    pub kind: CheckKind,
    pub subject: Option<SafeText>,
}

impl CheckId {
    pub fn of(kind: CheckKind) -> Self {
        Self { kind, subject: None }
    }

    pub fn on(kind: CheckKind, subject: SafeText) -> Self {
        Self { kind, subject: Some(subject) }
    }

    pub fn pane(&self) -> Pane {
        self.kind.pane()
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            None => f.pad(self.kind.name()),
            Some(subject) => f.pad(&format!("{}:{subject}", self.kind.name())),
        }
    }
}

impl From<CheckId> for String {
    fn from(id: CheckId) -> String {
        id.to_string()
    }
}

/// No check has this id.
#[derive(Debug, thiserror::Error)]
#[error("no check is named '{0}'")]
pub struct UnknownCheck(String);

impl FromStr for CheckId {
    type Err = UnknownCheck;

    fn from_str(text: &str) -> Result<Self, UnknownCheck> {
        let (name, subject) = match text.split_once(':') {
            Some((name, subject)) => (name, Some(SafeText::new(subject))),
            None => (text, None),
        };
        let kind = CheckKind::ALL.iter().find(|kind| kind.name() == name);
        let kind = *kind.ok_or_else(|| UnknownCheck(text.to_owned()))?;
        Ok(CheckId { kind, subject })
    }
}

impl TryFrom<String> for CheckId {
    type Error = UnknownCheck;

    fn try_from(text: String) -> Result<Self, UnknownCheck> {
        text.parse()
    }
}
