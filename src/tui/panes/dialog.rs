//! A guarded action's plan and confirmation, as they are shown.

use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::tui::dialog::{Ask, Dialog, Focus, Stage};
use crate::tui::footer::tail;
use crate::tui::screen::{Piece, piece};
use crate::tui::theme::Meaning;
use crate::tui::wrap::wrapped;

/// A dialog before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DialogView {
    pub title: String,
    pub lines: Vec<Vec<Piece>>,
    /// The line that takes what is typed, and the buttons.
    pub question: Vec<Piece>,
    pub buttons: Vec<Piece>,
}

/// Rows that are not the plan's: the frame, a rule, the question and the buttons.
const FRAME_ROWS: usize = 5;
/// Rows that one line may be wrapped to.
const WRAP_ROWS_MAX: usize = 40;

pub fn build(dialog: &Dialog, message: Option<&str>, width: u16, height: u16) -> DialogView {
    let room = usize::from(height).saturating_sub(FRAME_ROWS);
    let inner = usize::from(width.saturating_sub(4));
    let rows: Vec<Vec<Piece>> =
        dialog.lines.iter().skip(first_line(dialog, room)).flat_map(|line| shown(line.as_str(), inner)).collect();
    let below = rows.len().saturating_sub(room);
    let mut lines: Vec<Vec<Piece>> = rows.into_iter().take(room).collect();
    if 0 < below
        && let Some(last) = lines.last_mut()
    {
        *last = vec![piece(format!("… {} more lines: ↓ PgDn", below + 1), Meaning::Match)];
    }
    DialogView {
        title: format!(" {} ", dialog.title),
        lines,
        question: question(dialog, inner),
        buttons: buttons(dialog, message),
    }
}

/// The plan is read from its beginning, what runs from its end.
fn first_line(dialog: &Dialog, room: usize) -> usize {
    match &dialog.stage {
        Stage::Planning | Stage::Planned(_) => dialog.scroll,
        Stage::Running(_) | Stage::Over { .. } => (dialog.scroll + 1).saturating_sub(room),
    }
}

fn shown(line: &str, width: usize) -> Vec<Vec<Piece>> {
    let meaning = match line.trim_start().chars().next() {
        Some('▲') => Meaning::Status(Status::Warning, Quality::Fresh),
        Some(_) | None if line.contains(": ▲ ") => Meaning::Status(Status::Warning, Quality::Fresh),
        Some(_) | None if line.contains(": ✖ ") => Meaning::Status(Status::Critical, Quality::Fresh),
        Some(_) | None if line.contains(": ● ") => Meaning::Status(Status::Ok, Quality::Fresh),
        Some(_) | None => Meaning::Plain,
    };
    let rows = wrapped(line, width, WRAP_ROWS_MAX);
    let coloured = |row: Vec<Piece>| row.into_iter().map(|part| piece(part.text, meaning)).collect::<Vec<_>>();
    let rows: Vec<Vec<Piece>> = rows.into_iter().map(coloured).collect();
    rows.into_iter().filter(|row| row.iter().any(|part| !part.text.trim().is_empty())).collect()
}

/// The least part of the line that shows what is typed.
const TYPED_PART: usize = 3;

/// What is asked, and the end of what is typed for it: both are seen, however narrow the screen is.
fn asked_and_typed(asked: &str, dialog: &Dialog, width: usize) -> Vec<Piece> {
    let cursor = if dialog.focus == Focus::Text { "▏" } else { "" };
    let room = width.saturating_sub(asked.chars().count()).max(width / TYPED_PART);
    let typed = format!("{}{cursor}", tail(&dialog.typed, room.saturating_sub(1)));
    let left = width.saturating_sub(typed.chars().count());
    let asked = match asked.chars().count() <= left {
        true => asked.to_owned(),
        false => asked.chars().take(left.saturating_sub(2)).chain("… ".chars()).collect(),
    };
    vec![piece(asked, Meaning::Heading), piece(typed, Meaning::Key)]
}

fn question(dialog: &Dialog, width: usize) -> Vec<Piece> {
    match &dialog.stage {
        Stage::Planning => vec![piece("asking the host what would be done …", Meaning::Dim)],
        Stage::Planned(ask) => {
            let asked = match ask {
                Ask::Run { phrase } => format!("type {phrase} to confirm: "),
                Ask::Propose { approvals_needed: 1 } => "another person must agree; say why you ask: ".to_owned(),
                Ask::Propose { approvals_needed } => format!("{approvals_needed} others must agree; say why you ask: "),
                Ask::Judge { id, agreed, approvals_needed } => {
                    format!("{agreed} of {approvals_needed} agreed; type {id} to agree, or deny WHY: ")
                }
                Ask::Lift { hold } => format!("type {hold} to lift it: "),
            };
            asked_and_typed(&asked, dialog, width)
        }
        Stage::Running(said) => vec![piece(*said, Meaning::Heading)],
        Stage::Over { words, is_well } => {
            let status = if *is_well { Status::Ok } else { Status::Critical };
            vec![piece(words.clone(), Meaning::Status(status, Quality::Fresh))]
        }
    }
}

fn buttons(dialog: &Dialog, message: Option<&str>) -> Vec<Piece> {
    let button = |word: &str, focus: Focus, is_open: bool| {
        let meaning = match (dialog.focus == focus, is_open) {
            (true, _) => Meaning::Selected,
            (false, true) => Meaning::Plain,
            (false, false) => Meaning::Dim,
        };
        piece(format!("[ {word} ]"), meaning)
    };
    let space = || piece("  ", Meaning::Plain);
    let mut pieces = match &dialog.stage {
        Stage::Planned(_) => vec![
            button("Cancel", Focus::Cancel, true),
            space(),
            button(dialog.go_word(), Focus::Go, dialog.is_confirmed()),
            space(),
            piece("Tab moves, Space presses, Esc cancels", Meaning::Dim),
        ],
        Stage::Planning | Stage::Running(_) => vec![piece("Esc closes this", Meaning::Dim)],
        Stage::Over { .. } => vec![button("Close", Focus::Cancel, true)],
    };
    if let Some(message) = message {
        pieces.truncate(4);
        pieces.push(piece(message.to_owned(), Meaning::Heading));
    }
    pieces
}
