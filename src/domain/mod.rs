//! What Dogwatch knows, without the world: no clock, file, socket, thread, process or terminal is named below here.

pub mod action;
pub mod audit;
pub mod board;
pub mod check;
pub mod fleet;
pub mod incident;
pub mod observed;
pub mod probe;
pub mod proof;
pub mod schedule;
pub mod settings;
pub mod signature;
pub mod stamp;
pub mod status;
pub mod text;
pub mod time;
pub mod transition;
pub mod trend;
pub mod trust;
