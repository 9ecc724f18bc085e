//! One table of keys: look-up, footer, help and users' own bindings all read it.

use std::fmt::Write;

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
    /// What was done, what runs, and what waits for somebody.
    Actions,
    Log,
    /// Plan a guarded action.
    Act,
    /// Ask a host what ran at a time.
    Ran,
    Filter,
    Exclude,
    NextError,
    PreviousError,
    Pause,
    Command,
    PollNow,
    Shell,
    Copy,
    Mouse,
    Passphrase,
    NextTheme,
    Suspend,
}

/// A key with what is held down beside it.
pub type Key = (KeyCode, KeyModifiers);

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Binding {
    /// As keys.toml names it.
    pub name: &'static str,
    pub keys: Vec<Key>,
    /// The first of its keys, as the footer writes it in each frame.
    pub first_shown: String,
    pub action: Action,
    pub what: &'static str,
    pub in_footer: bool,
}

impl Binding {
    /// As the footer and help write the keys.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        for key in &self.keys {
            let _ = write!(shown, "{}{}", if shown.is_empty() { "" } else { " " }, shown_key(*key));
        }
        shown
    }

    fn set_keys(&mut self, keys: Vec<Key>) {
        self.first_shown = keys.first().map(|key| shown_key(*key)).unwrap_or_default();
        self.keys = keys;
    }
}

fn shown_key((code, modifiers): Key) -> String {
    let mut shown = String::new();
    if modifiers.contains(KeyModifiers::CONTROL) {
        shown.push('^');
    }
    if modifiers.contains(KeyModifiers::ALT) {
        shown.push_str("Alt-");
    }
    match code {
        KeyCode::Char(' ') => shown.push_str("Space"),
        KeyCode::Char(c) => shown.push(c),
        KeyCode::F(number) => {
            let _ = write!(shown, "F{number}");
        }
        code => {
            shown.push_str(NAMED_KEYS.iter().find(|(_, named, _)| *named == code).map_or("?", |(_, _, shown)| shown))
        }
    }
    shown
}

/// Keys by the names that keys.toml gives them, and as they are shown.
const NAMED_KEYS: [(&str, KeyCode, &str); 13] = [
    ("up", KeyCode::Up, "↑"),
    ("down", KeyCode::Down, "↓"),
    ("left", KeyCode::Left, "←"),
    ("right", KeyCode::Right, "→"),
    ("pageup", KeyCode::PageUp, "PgUp"),
    ("pagedown", KeyCode::PageDown, "PgDn"),
    ("home", KeyCode::Home, "Home"),
    ("end", KeyCode::End, "End"),
    ("enter", KeyCode::Enter, "Enter"),
    ("esc", KeyCode::Esc, "Esc"),
    ("backspace", KeyCode::Backspace, "Backspace"),
    ("tab", KeyCode::Tab, "Tab"),
    ("insert", KeyCode::Insert, "Ins"),
];

/// Reads a key as keys.toml writes it: `q`, `ctrl-r`, `alt-x`, `f5`, `space`, `pageup`.
pub fn parse_key(text: &str) -> Option<Key> {
    let (modifiers, name) = match text.split_once('-') {
        Some(("ctrl", name)) if !name.is_empty() => (KeyModifiers::CONTROL, name),
        Some(("alt", name)) if !name.is_empty() => (KeyModifiers::ALT, name),
        Some(_) | None => (KeyModifiers::NONE, text),
    };
    if name == "space" {
        return Some((KeyCode::Char(' '), modifiers));
    }
    if modifiers == KeyModifiers::CONTROL {
        return control(name);
    }
    if let Some((_, code, _)) = NAMED_KEYS.iter().find(|(known, _, _)| *known == name) {
        return Some((*code, modifiers));
    }
    if let Some(number) = name.strip_prefix('f').and_then(|number| number.parse().ok()) {
        return (1..=12).contains(&number).then_some((KeyCode::F(number), modifiers));
    }
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !c.is_control() => Some((KeyCode::Char(c), modifiers)),
        (Some(_) | None, _) => None,
    }
}

/// A letter with Ctrl, as terminals send it: in lower case, and not those that are Tab and Enter themselves.
fn control(name: &str) -> Option<Key> {
    let mut chars = name.chars();
    match (chars.next().map(|c| c.to_ascii_lowercase()), chars.next()) {
        (Some(c @ 'a'..='z'), None) if !matches!(c, 'i' | 'm') => Some((KeyCode::Char(c), KeyModifiers::CONTROL)),
        (Some(_) | None, _) => None,
    }
}

/// A default row: its name, its keys as keys.toml writes them, and what it does.
type Row = (&'static str, &'static [&'static str], Action, &'static str, bool);

const ROWS: [Row; 32] = [
    ("up", &["up", "k"], Action::Up, "up", false),
    ("down", &["down", "j"], Action::Down, "down", false),
    ("page-up", &["pageup", "ctrl-u"], Action::PageUp, "a page up", false),
    ("page-down", &["pagedown", "ctrl-d"], Action::PageDown, "a page down", false),
    ("first", &["home", "g"], Action::First, "to the first", false),
    ("last", &["end", "G"], Action::Last, "to the last", false),
    ("open", &["enter"], Action::Open, "open", true),
    ("back", &["esc", "backspace"], Action::Back, "back", true),
    ("fleet", &["1"], Action::Fleet, "fleet", true),
    ("disk", &["2"], Action::Pane(Pane::Disk), "disk", true),
    ("logs", &["3"], Action::Pane(Pane::Logs), "logs", true),
    ("backup", &["4"], Action::Pane(Pane::Backup), "backup", true),
    ("cron", &["5"], Action::Pane(Pane::Cron), "cron", true),
    ("actions", &["6"], Action::Actions, "actions", true),
    ("act", &["a"], Action::Act, "act", true),
    ("filter", &["/"], Action::Filter, "find", true),
    ("log", &["l"], Action::Log, "read logs", true),
    ("ran", &["w"], Action::Ran, "what ran then", true),
    ("pause", &["space"], Action::Pause, "pause, go on", true),
    ("next-error", &["n"], Action::NextError, "next error", true),
    ("previous-error", &["N"], Action::PreviousError, "previous error", false),
    ("exclude", &["x"], Action::Exclude, "leave lines out", true),
    ("command", &[":"], Action::Command, "go to", true),
    ("shell", &["s"], Action::Shell, "ssh", true),
    ("copy", &["y"], Action::Copy, "copy", true),
    ("poll", &["r"], Action::PollNow, "poll", true),
    ("passphrase", &["p"], Action::Passphrase, "type a passphrase", false),
    ("theme", &["t"], Action::NextTheme, "the next theme", false),
    ("mouse", &["m"], Action::Mouse, "mouse on, off", false),
    ("suspend", &["ctrl-z"], Action::Suspend, "suspend", false),
    ("help", &["?"], Action::Help, "help", true),
    ("quit", &["q", "ctrl-c"], Action::Quit, "quit", true),
];

/// The keys in force.
#[derive(Clone, Debug)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

impl Default for Keymap {
    fn default() -> Self {
        let binding = |(name, keys, action, what, in_footer): &Row| {
            let (action, in_footer) = (*action, *in_footer);
            let mut binding = Binding { name, keys: Vec::new(), first_shown: String::new(), action, what, in_footer };
            binding.set_keys(keys.iter().filter_map(|key| parse_key(key)).collect());
            binding
        };
        Self { bindings: ROWS.iter().map(binding).collect() }
    }
}

impl Keymap {
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The action of a key, if it has one. Shift is part of the character itself.
    pub fn look_up(&self, event: KeyEvent) -> Option<Action> {
        let pressed = (event.code, event.modifiers - KeyModifiers::SHIFT);
        self.bindings.iter().find(|binding| binding.keys.contains(&pressed)).map(|binding| binding.action)
    }

    /// Gives an action other keys; false where no action has that name.
    pub fn rebind(&mut self, name: &str, keys: Vec<Key>) -> bool {
        let binding = self.bindings.iter_mut().find(|binding| binding.name == name);
        binding.map(|binding| binding.set_keys(keys)).is_some()
    }

    /// What is wrong with it as a whole: keys that stand for two actions, and a way out that is gone.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (index, binding) in self.bindings.iter().enumerate() {
            for key in &binding.keys {
                for other in self.bindings[index + 1..].iter().filter(|other| other.keys.contains(key)) {
                    let shown = shown_key(*key);
                    complaints.push(format!("{shown} stands for both {} and {}", binding.name, other.name));
                }
            }
            if matches!(binding.action, Action::Quit | Action::Help | Action::Back) && binding.keys.is_empty() {
                complaints.push(format!("{} must have a key", binding.name));
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_for_two_actions() {
        assert_eq!(Keymap::default().complaints(), Vec::<String>::new());
    }

    #[test]
    fn every_default_key_can_be_written() {
        for (name, keys, ..) in ROWS {
            assert!(keys.iter().all(|key| parse_key(key).is_some()), "{name}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let shown = |text| parse_key(text).map(shown_key);
        assert_eq!(shown("ctrl-r").as_deref(), Some("^r"));
        assert_eq!(shown("alt-x").as_deref(), Some("Alt-x"));
        assert_eq!(shown("f5").as_deref(), Some("F5"));
        assert_eq!(shown("-").as_deref(), Some("-"));
        assert_eq!(shown("ctrl-R").as_deref(), Some("^r"));
        assert_eq!((shown("ctrl-i"), shown("ctrl-1"), shown("ctrl-up")), (None, None, None));
        assert_eq!((shown("f13"), shown("qq"), shown("ctrl-"), shown("")), (None, None, None, None));
    }

    #[test]
    fn a_key_that_is_given_twice_is_told_with_both_actions() {
        let mut keymap = Keymap::default();
        assert!(keymap.rebind("poll", vec![(KeyCode::Char('q'), KeyModifiers::NONE)]));
        assert!(keymap.rebind("help", Vec::new()));
        assert!(!keymap.rebind("no-such", Vec::new()));
        assert_eq!(keymap.complaints(), ["q stands for both poll and quit", "help must have a key"]);
    }
}
