//! One table of keys: look-up, footer and help all read it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::domain::check::Pane;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Quit,
    Help,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Fleet,
    Pane(Pane),
    Filter,
    Command,
    PollNow,
    Passphrase,
    NextTheme,
    Suspend,
}

/// One row of the table.
pub struct Binding {
    pub keys: &'static [(KeyCode, KeyModifiers)],
    /// As the footer and help write the keys.
    pub shown: &'static str,
    pub action: Action,
    pub what: &'static str,
    pub in_footer: bool,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CONTROL: KeyModifiers = KeyModifiers::CONTROL;

const fn binding(
    keys: &'static [(KeyCode, KeyModifiers)],
    shown: &'static str,
    action: Action,
    what: &'static str,
    in_footer: bool,
) -> Binding {
    Binding { keys, shown, action, what, in_footer }
}

pub const BINDINGS: &[Binding] = &[
    binding(&[(KeyCode::Up, NONE), (KeyCode::Char('k'), NONE)], "↑ k", Action::Up, "up", false),
    binding(&[(KeyCode::Down, NONE), (KeyCode::Char('j'), NONE)], "↓ j", Action::Down, "down", false),
    binding(&[(KeyCode::PageUp, NONE), (KeyCode::Char('u'), CONTROL)], "PgUp ^u", Action::PageUp, "a page up", false),
    binding(
        &[(KeyCode::PageDown, NONE), (KeyCode::Char('d'), CONTROL)],
        "PgDn ^d",
        Action::PageDown,
        "a page down",
        false,
    ),
    binding(&[(KeyCode::Home, NONE), (KeyCode::Char('g'), NONE)], "Home g", Action::First, "to the first", false),
    binding(&[(KeyCode::End, NONE), (KeyCode::Char('G'), NONE)], "End G", Action::Last, "to the last", false),
    binding(&[(KeyCode::Enter, NONE)], "Enter", Action::Open, "open", true),
    binding(&[(KeyCode::Esc, NONE), (KeyCode::Backspace, NONE)], "Esc", Action::Back, "back", true),
    binding(&[(KeyCode::Char('1'), NONE)], "1", Action::Fleet, "fleet", true),
    binding(&[(KeyCode::Char('2'), NONE)], "2", Action::Pane(Pane::Disk), "disk", true),
    binding(&[(KeyCode::Char('3'), NONE)], "3", Action::Pane(Pane::Logs), "logs", true),
    binding(&[(KeyCode::Char('4'), NONE)], "4", Action::Pane(Pane::Backup), "backup", true),
    binding(&[(KeyCode::Char('5'), NONE)], "5", Action::Pane(Pane::Cron), "cron", true),
    binding(&[(KeyCode::Char('/'), NONE)], "/", Action::Filter, "find", true),
    binding(&[(KeyCode::Char(':'), NONE)], ":", Action::Command, "go to", true),
    binding(&[(KeyCode::Char('r'), NONE)], "r", Action::PollNow, "poll", true),
    binding(&[(KeyCode::Char('p'), NONE)], "p", Action::Passphrase, "type a passphrase", false),
    binding(&[(KeyCode::Char('t'), NONE)], "t", Action::NextTheme, "the next theme", false),
    binding(&[(KeyCode::Char('z'), CONTROL)], "^z", Action::Suspend, "suspend", false),
    binding(&[(KeyCode::Char('?'), NONE)], "?", Action::Help, "help", true),
    binding(&[(KeyCode::Char('q'), NONE), (KeyCode::Char('c'), CONTROL)], "q", Action::Quit, "quit", true),
];

/// The action of a key, if it has one. Shift is part of the character itself.
pub fn look_up(event: KeyEvent) -> Option<Action> {
    let pressed = (event.code, event.modifiers - KeyModifiers::SHIFT);
    BINDINGS.iter().find(|binding| binding.keys.contains(&pressed)).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_for_two_actions() {
        let keys: Vec<_> = BINDINGS.iter().flat_map(|binding| binding.keys).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[index + 1..].contains(key), "{key:?} is bound twice");
        }
    }
}
