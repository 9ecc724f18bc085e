//! What others read of the board: JSON now, post-mortems and handovers later.

pub mod status;
