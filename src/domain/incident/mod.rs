//! Incidents; so far a bare episode of one check.

pub mod episode;
pub mod recurrence;
