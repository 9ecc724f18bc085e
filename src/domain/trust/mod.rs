//! Whom to believe: host keys.

pub mod known_hosts;
