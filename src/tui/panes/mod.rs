//! What each view shows, one file each, and how a frame is drawn.

pub mod checks;
pub mod draw;
mod draw_wall;
pub mod fleet;
pub mod host;
mod jobs;
pub mod wall;

pub use draw_wall::table_rows as wall_table_rows;

use super::screen::{Piece, TableView};

/// A view's title, its rows, and the lines below them.
pub type Built = (Vec<Piece>, TableView, Vec<Vec<Piece>>);
