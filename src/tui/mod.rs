//! The screen: keys and a feed in, frames out. It reads a feed and sends commands; it never calls an adapter.

pub mod asked_ran;
mod attachment;
pub mod audit_board;
pub mod dialog;
pub mod filter;
mod footer;
mod foreground;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_actions;
#[cfg(test)]
mod golden_runs;
mod input;
pub mod keymap;
pub mod log_book;
pub mod model;
mod navigate;
pub mod offer;
mod palette;
pub mod panes;
pub mod picture;
pub mod plain;
pub mod prompt;
mod recurrence;
pub mod run;
pub mod screen;
pub mod theme;
mod tty;
pub mod update;
mod watchdog;
pub mod when;
mod why_not;
mod wrap;

pub use attachment::{
    Acting, AskRan, Attachment, KeepCopy, OpenShell, ReadAudit, ReadHistory, ReadLogs, ScreenOptions,
};
pub use run::show;
pub use tty::leave as leave_terminal;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use model::Model;
use theme::Theme;

/// One frame without a terminal.
pub fn frame_of(model: &mut Model, theme: &Theme, columns: u16, rows: u16) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(drawn) = terminal.draw(|frame| {
        let screen = screen::build(model, columns, rows);
        panes::draw::draw(frame, &screen, theme);
    });
    drawn.buffer.clone()
}
