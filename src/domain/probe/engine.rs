//! What the engine says of itself, on the board of the machine it runs on.

use serde::{Deserialize, Serialize};

use crate::domain::text::SafeText;

/// The watcher, watched: its store, its queues and its last error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineReading {
    pub state_dir: SafeText,
    pub store_bytes: u64,
    /// Reports that wait for the core, of as many as may.
    pub reports_waiting: u32,
    pub reports_max: u32,
    /// Transitions that are not yet durable.
    pub unwritten: u32,
    pub last_error: Option<SafeText>,
}
