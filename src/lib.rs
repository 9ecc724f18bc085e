//! Dogwatch, a terminal dashboard for ops incidents. ARCHITECTURE.md is the map.

pub mod adapters;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod report;
pub mod tui;
