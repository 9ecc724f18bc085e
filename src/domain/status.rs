//! The four statuses of a check and how they order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of a check; the order is by need: `Critical` outranks `Unknown`, which outranks `Warning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Warning,
    #[default]
    Unknown,
    Critical,
}

impl Status {
    pub const WORST_FIRST: [Status; 4] = [Status::Critical, Status::Unknown, Status::Warning, Status::Ok];

    /// The exit code of Nagios plugins, which `dogwatch check` shares.
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }
    }

    /// The word on screens.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Unknown => "UNKNOWN",
            Status::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How many of something have each status; the unknown are always counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCounts {
    pub ok: usize,
    pub warning: usize,
    pub critical: usize,
    pub unknown: usize,
}

impl StatusCounts {
    pub fn add(&mut self, status: Status) {
        match status {
            Status::Ok => self.ok += 1,
            Status::Warning => self.warning += 1,
            Status::Critical => self.critical += 1,
            Status::Unknown => self.unknown += 1,
        }
    }

    /// Each count with its status, the worst first.
    pub fn worst_first(self) -> [(usize, Status); 4] {
        let count = |status| match status {
            Status::Ok => self.ok,
            Status::Warning => self.warning,
            Status::Critical => self.critical,
            Status::Unknown => self.unknown,
        };
        Status::WORST_FIRST.map(|status| (count(status), status))
    }

    pub fn total(self) -> usize {
        self.ok + self.warning + self.critical + self.unknown
    }
}

impl FromIterator<Status> for StatusCounts {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        let mut counts = StatusCounts::default();
        statuses.into_iter().for_each(|status| counts.add(status));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_first_is_critical_unknown_warning_ok() {
        let mut statuses = [Status::Ok, Status::Unknown, Status::Critical, Status::Warning];
        statuses.sort_by(|a, b| b.cmp(a));
        assert_eq!(statuses, Status::WORST_FIRST);
    }
}
