//! Telling others: the central log.

pub mod syslog;
