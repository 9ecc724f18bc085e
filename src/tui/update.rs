//! Messages change the model and return effects.

use ratatui::crossterm::event::KeyCode;

use super::keymap::Action;
use super::model::{FeedSource, Model, View};
use crate::domain::fleet::HostName;
use crate::engine::feed::FeedMessage;

const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// What the screen asks the world for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    Suspend,
    /// Poll one host, or all, without waiting for the cadence or a back-off.
    PollNow(Option<HostName>),
    /// Try locked key files with this passphrase.
    Unlock(String),
}

/// Folds one feed message in.
pub fn feed(model: &mut Model, message: FeedMessage) {
    match message {
        FeedMessage::Inputs(inputs) => inputs.iter().for_each(|input| model.apply(input)),
        FeedMessage::Alive { pid, at } => {
            if let FeedSource::Attached { pid: shown, alive_at } = &mut model.source {
                (*shown, *alive_at) = (pid, Some(at));
            }
        }
        FeedMessage::Reload(board) => model.replace(*board),
    }
}

/// Carries out a key's action on a view of `rows` rows.
pub fn act(model: &mut Model, action: Action, rows: usize) -> Option<Effect> {
    model.message = None;
    if model.help {
        model.help = false;
        if matches!(action, Action::Back | Action::Help | Action::Quit) {
            return None;
        }
    }
    match action {
        Action::Quit => return Some(Effect::Quit),
        Action::Suspend => return Some(Effect::Suspend),
        Action::Help => model.help = true,
        Action::Up => step(model, rows, |row, _, _| row.saturating_sub(1)),
        Action::Down => step(model, rows, |row, _, last| (row + 1).min(last)),
        Action::PageUp => step(model, rows, |row, page, _| row.saturating_sub(page)),
        Action::PageDown => step(model, rows, |row, page, last| (row + page).min(last)),
        Action::First => step(model, rows, |_, _, _| 0),
        Action::Last => step(model, rows, |_, _, last| last),
        Action::Open => open(model),
        Action::Back => go(model, View::Fleet),
        Action::Fleet => go(model, View::Fleet),
        Action::Pane(pane) => go(model, View::Pane(pane)),
        Action::Passphrase if model.can_unlock => model.passphrase = Some(String::new()),
        Action::Passphrase => {
            model.message = Some("another process logs in: start that one with --ask-passphrase".to_owned());
        }
        Action::PollNow if model.feed_is_dead() => {
            model.message = Some("the engine is gone: quit and start dogwatch again to take over".to_owned());
        }
        Action::PollNow => {
            let host = match &model.view {
                View::Host(name) => Some(name.clone()),
                View::Fleet | View::Pane(_) => None,
            };
            model.message = Some(match &host {
                Some(name) => format!("polling {name} now"),
                None => "polling every host now".to_owned(),
            });
            return Some(Effect::PollNow(host));
        }
    }
    None
}

/// Takes a key while a passphrase is typed.
pub fn type_passphrase(model: &mut Model, key: KeyCode) -> Option<Effect> {
    let mut typed = model.passphrase.take()?;
    match key {
        KeyCode::Enter => {
            model.message = Some("logging in with the passphrase".to_owned());
            return Some(Effect::Unlock(typed));
        }
        KeyCode::Esc => return None,
        KeyCode::Backspace => drop(typed.pop()),
        KeyCode::Char(c) if typed.len() < PASSPHRASE_BYTES_MAX => typed.push(c),
        _ => {}
    }
    model.passphrase = Some(typed);
    None
}

fn go(model: &mut Model, view: View) {
    if model.view != view {
        model.view = view;
        model.row = 0;
        model.scroll = 0;
    }
}

fn open(model: &mut Model) {
    let opened = match &model.view {
        View::Fleet => model.selected_host.clone(),
        View::Pane(_) | View::Host(_) => None,
    };
    if let Some(host) = opened {
        go(model, View::Host(host));
    }
}

fn step(model: &mut Model, rows: usize, to: impl Fn(usize, usize, usize) -> usize) {
    let last = rows.saturating_sub(1);
    let page = model.page_rows.max(1);
    match model.view {
        View::Fleet => {
            let row = to(model.selected_index(), page, last);
            model.selected_host = model.order.get(row).cloned();
        }
        View::Pane(_) | View::Host(_) => model.row = to(model.row.min(last), page, last),
    }
}
