//! Dogwatch, a terminal dashboard for ops incidents. ARCHITECTURE.md is the map.

pub mod config;
pub mod domain;
