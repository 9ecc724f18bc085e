//! The line that takes what is typed: a filter, a command, a passphrase.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::domain::fleet::HostName;

/// Longer input is not taken.
const CHARS_MAX: usize = 1_024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Filter,
    /// Of the log view: lines that match, and lines that are left out.
    Include,
    Exclude,
    Command,
    Passphrase,
    /// An action with its host and parameters.
    Action,
    /// A time at which a host is looked at.
    When,
}

/// What is being typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt {
    pub asked: Asked,
    pub text: String,
    /// Why what was typed is none.
    pub error: Option<String>,
    /// Which of the choices below the line is meant.
    pub choice: usize,
    /// The host that a time is asked for: by Enter the rows below may have moved.
    pub host: Option<HostName>,
}

/// What a key did to a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Goes,
    Changed,
    Done,
    Left,
}

impl Prompt {
    pub fn new(asked: Asked, text: &str) -> Self {
        Self { asked, text: text.to_owned(), error: None, choice: 0, host: None }
    }

    /// Takes what was pasted, its first line.
    pub fn paste(&mut self, text: &str) {
        let room = CHARS_MAX.saturating_sub(self.text.chars().count());
        self.text.extend(text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(room));
        self.choice = 0;
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Typed::Done,
            KeyCode::Esc => return Typed::Left,
            KeyCode::Char('c') if control => return Typed::Left,
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Char('w') if control => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
            }
            // What was filled in is deleted to its beginning before another is typed.
            KeyCode::Backspace if self.text.is_empty() && self.asked == Asked::When => return Typed::Goes,
            KeyCode::Backspace if self.text.is_empty() => return Typed::Left,
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Down | KeyCode::Tab => {
                self.choice = self.choice.saturating_add(1);
                return Typed::Goes;
            }
            KeyCode::Up | KeyCode::BackTab => {
                self.choice = self.choice.saturating_sub(1);
                return Typed::Goes;
            }
            KeyCode::Char(c) if !control && self.text.chars().count() < CHARS_MAX => self.text.push(c),
            _ => return Typed::Goes,
        }
        self.choice = 0;
        Typed::Changed
    }
}

/// A passphrase is shown to nobody.
impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.asked == Asked::Passphrase { "…" } else { self.text.as_str() };
        f.debug_struct("Prompt").field("asked", &self.asked).field("text", &text).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[(KeyCode, KeyModifiers)]) -> Prompt {
        let mut prompt = Prompt::new(Asked::Filter, "");
        for (code, modifiers) in keys {
            prompt.press(KeyEvent::new(*code, *modifiers));
        }
        prompt
    }

    #[test]
    fn a_line_is_edited_as_in_a_shell() {
        let word = |word: &str| word.chars().map(|c| (KeyCode::Char(c), KeyModifiers::NONE)).collect::<Vec<_>>();
        let control_w = vec![(KeyCode::Char('w'), KeyModifiers::CONTROL)];
        assert_eq!(typed(&[word("one two"), control_w].concat()).text, "one ");
        assert_eq!(typed(&[word("ab"), vec![(KeyCode::Backspace, KeyModifiers::NONE)]].concat()).text, "a");
        assert_eq!(typed(&[word("ab"), vec![(KeyCode::Char('u'), KeyModifiers::CONTROL)]].concat()).text, "");
    }
}
