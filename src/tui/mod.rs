//! The screen: keys and a feed in, frames out. It reads a feed and sends commands; it never calls an adapter.

mod keymap;
pub mod model;
mod panes;
pub mod run;
mod screen;
mod theme;
mod tty;
mod update;

pub use run::{Attachment, ScreenOptions, show};
