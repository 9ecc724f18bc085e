//! Soft and hard: how often a status must be read before it is believed.

use serde::{Deserialize, Serialize};

use crate::domain::status::Status;
use crate::domain::time::Moment;

/// What is known of one check over its readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckState {
    /// What the last reading gave.
    pub status: Status,
    /// Whether `status` is hard: seen often enough to be believed.
    pub confirmed: bool,
    /// Consecutive readings that were not OK.
    pub attempt: u32,
    /// Since when `status` is what it is.
    pub since: Moment,
}

impl CheckState {
    /// The state after the first reading of a check.
    pub fn first(status: Status, attempts: u32, at: Moment) -> Self {
        let attempt = u32::from(status != Status::Ok);
        Self { status, confirmed: status == Status::Ok || attempts <= attempt, attempt, since: at }
    }

    /// The state after one more reading.
    ///
    /// OK is believed at once, since only a good reading gives it. What leaves OK is believed after `attempts`
    /// readings in a row; once it is believed, a change between the raised statuses is too.
    pub fn next(self, status: Status, attempts: u32, at: Moment) -> Self {
        let since = if status == self.status { self.since } else { at };
        if status == Status::Ok {
            return Self { status, confirmed: true, attempt: 0, since };
        }
        let attempt = self.attempt.saturating_add(1);
        let was_hard = self.confirmed && self.status != Status::Ok;
        Self { status, confirmed: was_hard || attempts <= attempt, attempt, since }
    }

    /// Whether history must remember the step from `before` to `self`.
    pub fn differs_from(&self, before: &CheckState) -> bool {
        let counts_on = !self.confirmed && self.attempt != before.attempt;
        self.status != before.status || self.confirmed != before.confirmed || counts_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::at;

    /// Runs readings (`o`, `w`, `c`, `u`) and shows each state: upper case is confirmed.
    fn check(readings: &str, expected: &str) {
        let mut state: Option<CheckState> = None;
        let mut shown = String::new();
        for (second, reading) in (0..).zip(readings.chars()) {
            let status = match reading {
                'o' => Status::Ok,
                'w' => Status::Warning,
                'c' => Status::Critical,
                _ => Status::Unknown,
            };
            let now = match state {
                None => CheckState::first(status, 3, at(second)),
                Some(before) => before.next(status, 3, at(second)),
            };
            shown.push(if now.confirmed { reading.to_ascii_uppercase() } else { reading });
            state = Some(now);
        }
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_third_raised_reading_in_a_row_is_hard() {
        check("occco", "OccCO");
    }

    #[test]
    fn a_good_reading_between_starts_the_count_again() {
        check("occocc", "OccOcc");
    }

    #[test]
    fn readings_of_different_raised_statuses_count_together() {
        check("owcw", "OwcW");
    }

    #[test]
    fn a_hard_warning_becomes_a_hard_critical_at_once() {
        check("owwwcwo", "OwwWCWO");
    }

    #[test]
    fn the_first_reading_counts_as_the_first_attempt() {
        check("ccc", "ccC");
    }
}
