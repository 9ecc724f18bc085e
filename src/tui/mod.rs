//! The screen: keys and a feed in, frames out. It reads a feed and sends commands; it never calls an adapter.

mod keymap;
pub mod model;
pub mod panes;
pub mod run;
pub mod screen;
pub mod theme;
mod tty;
pub mod update;

pub use run::{Attachment, ScreenOptions, show};
pub use tty::leave as leave_terminal;
