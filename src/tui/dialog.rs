//! A guarded action on the screen: its plan, the confirmation, and what becomes of it.
//!
//! Nothing is begun by one key: the host's name is typed, the focus goes to the button by Tab, and Space presses it. Enter
//! presses nothing, and what is pasted is not taken.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::update::Effect;
use crate::domain::action::HoldName;
use crate::domain::audit::record::{AuditId, Outcome};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;
use crate::engine::action::estimate::Room;
use crate::engine::action::execute::Progress;

/// Longer input is not taken.
const TYPED_CHARS_MAX: usize = 256;
/// Lines of output that are kept; the record has its hash.
const LINES_MAX: usize = 2_000;
/// Lines that a page moves.
const PAGE: usize = 10;

/// What a screen asks to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// `ACTION HOST NAME=VALUE …`: ask the hosts what would be done.
    Plan(String),
    /// Ask a host what would free space on the file system of this mount point.
    Estimate { host: HostName, mount: String },
    /// Carry out what was planned last; what was typed to confirm it.
    Run(String),
    /// Put what was planned last on record for others to agree to, for this reason.
    Propose(String),
    /// Show a request, and whether it waits for somebody's word or can be carried out.
    OpenRequest(AuditId),
    /// Say yes to the request that was opened last, or no for a reason.
    Judge { deny: Option<String> },
    /// Show a hold.
    OpenHold(HoldName),
    /// Lift the hold that was opened last.
    Lift,
}

/// What is asked of whoever reads a plan, and what must be typed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The phrase, and it is carried out.
    Run { phrase: String },
    /// So many others must agree: a reason that they can read.
    Propose { approvals_needed: u32 },
    /// Somebody's request: its id agrees to it, `deny` and a reason is the end of it.
    Judge { id: AuditId, agreed: usize, approvals_needed: u32 },
    /// A hold's name, and it is lifted.
    Lift { hold: HoldName },
}

/// How a plan says that its archive goes to another host.
const TRAVELS: &str = "  through this machine";

/// What denies a request, before the reason.
const DENY: &str = "deny ";
/// A reason that says less says nothing.
const DENIAL_CHARS_MIN: usize = 3;

impl Ask {
    /// Whether what was typed allows the button.
    fn is_answered_by(&self, typed: &str) -> bool {
        match self {
            Ask::Run { phrase } => typed.as_bytes() == phrase.as_bytes(),
            Ask::Propose { .. } => !typed.trim().is_empty(),
            Ask::Judge { id, .. } => typed == id.to_string() || denial(typed).is_some(),
            Ask::Lift { hold } => typed == hold.as_str(),
        }
    }

    /// What the button says.
    fn button(&self, typed: &str) -> &'static str {
        match self {
            Ask::Run { .. } => "Run",
            Ask::Propose { .. } => "Ask the others",
            Ask::Judge { .. } if denial(typed).is_some() => "Deny",
            Ask::Judge { .. } => "Agree",
            Ask::Lift { .. } => "Lift it",
        }
    }

    fn order(&self, typed: &str) -> Order {
        match self {
            Ask::Run { .. } => Order::Run(typed.to_owned()),
            Ask::Propose { .. } => Order::Propose(typed.to_owned()),
            Ask::Judge { .. } => Order::Judge { deny: denial(typed).map(str::to_owned) },
            Ask::Lift { .. } => Order::Lift,
        }
    }
}

/// The reason of a denial. A mistyped id is none.
fn denial(typed: &str) -> Option<&str> {
    let reason = typed.strip_prefix(DENY)?.trim();
    (DENIAL_CHARS_MIN <= reason.chars().count()).then_some(reason)
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Planned {
        lines: Vec<String>,
        ask: Ask,
    },
    /// What would free space on that host.
    Estimated(HostName, Vec<Room>),
    Progress(Progress),
    /// It is over: what is to be said of it, and whether all went well.
    Ended {
        words: String,
        is_well: bool,
    },
}

/// What has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Text,
    Cancel,
    Go,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Planning,
    Planned(Ask),
    /// What it is doing, for people.
    Running(&'static str),
    Over {
        words: String,
        is_well: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// What was asked for.
    pub title: String,
    pub stage: Stage,
    pub lines: Vec<SafeText>,
    pub scroll: usize,
    pub typed: String,
    pub focus: Focus,
    /// Answers to an earlier dialog are not this one's.
    pub generation: u64,
}

/// What a key did to a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressed {
    Stays,
    Said(&'static str),
    Does(Effect),
    Closed,
}

impl Dialog {
    pub fn new(title: String, generation: u64) -> Self {
        let (typed, lines) = (String::new(), Vec::new());
        Self { title, stage: Stage::Planning, lines, scroll: 0, typed, focus: Focus::Text, generation }
    }

    /// Whether the button that begins it may have the focus.
    pub fn is_confirmed(&self) -> bool {
        match &self.stage {
            Stage::Planned(ask) => ask.is_answered_by(&self.typed),
            Stage::Planning | Stage::Running(_) | Stage::Over { .. } => false,
        }
    }

    /// What the button that begins it says.
    pub fn go_word(&self) -> &'static str {
        match &self.stage {
            Stage::Planned(ask) => ask.button(&self.typed),
            Stage::Planning | Stage::Running(_) | Stage::Over { .. } => "",
        }
    }

    pub fn press(&mut self, key: KeyEvent) -> Pressed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Pressed::Closed,
            KeyCode::Char('c') if control => return Pressed::Closed,
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down => self.scroll_to(self.scroll + 1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::PageDown => self.scroll_to(self.scroll + PAGE),
            KeyCode::Tab => self.focus = self.next_focus(),
            KeyCode::BackTab => self.focus = Focus::Text,
            KeyCode::Enter => return Pressed::Said("Enter begins nothing: Tab to a button, Space presses it"),
            KeyCode::Char(' ') if self.focus == Focus::Cancel => return Pressed::Closed,
            KeyCode::Char(' ') if self.focus == Focus::Go && self.is_confirmed() => return self.go(),
            KeyCode::Char('u') if control => self.type_over(String::new()),
            KeyCode::Backspace => {
                let mut typed = self.typed.clone();
                typed.pop();
                self.type_over(typed);
            }
            KeyCode::Char(c)
                if !control && self.focus == Focus::Text && self.typed.chars().count() < TYPED_CHARS_MAX =>
            {
                let typed = format!("{}{c}", self.typed);
                self.type_over(typed);
            }
            _ => {}
        }
        Pressed::Stays
    }

    /// What is typed is typed in the field, and a button that it no longer allows has no focus.
    fn type_over(&mut self, typed: String) {
        if let Stage::Planned(_) = self.stage {
            self.typed = typed;
            self.focus = Focus::Text;
        }
    }

    fn next_focus(&self) -> Focus {
        match self.focus {
            Focus::Text => Focus::Cancel,
            Focus::Cancel if self.is_confirmed() => Focus::Go,
            Focus::Cancel | Focus::Go => Focus::Text,
        }
    }

    fn go(&mut self) -> Pressed {
        let (order, said) = match &self.stage {
            Stage::Planned(ask) => (ask.order(&self.typed), self.running_words(ask)),
            Stage::Planning | Stage::Running(_) | Stage::Over { .. } => return Pressed::Stays,
        };
        self.stage = Stage::Running(said);
        self.lines.push("".into());
        self.scroll_to(usize::MAX);
        Pressed::Does(Effect::Act(self.generation, order))
    }

    /// What is said while it goes on.
    fn running_words(&self, ask: &Ask) -> &'static str {
        match ask {
            Ask::Run { .. } if self.lines.iter().any(|line| line.as_str().starts_with(TRAVELS)) => {
                "files travel through this screen: to quit ends that and deletes nothing; Esc looks elsewhere"
            }
            Ask::Run { .. } => "it runs; Esc leaves it running, and 6 shows it",
            Ask::Propose { .. } => "putting it on record …",
            Ask::Judge { .. } | Ask::Lift { .. } => "your agent is asked to sign …",
        }
    }

    fn scroll_to(&mut self, row: usize) {
        self.scroll = row.min(self.lines.len().saturating_sub(1));
    }

    fn say(&mut self, text: &str) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(SafeText::new(text));
        }
        self.scroll_to(usize::MAX);
    }

    /// Takes what came back.
    pub fn take(&mut self, news: News) {
        match news {
            News::Planned { lines, ask } => {
                self.lines = lines.iter().take(LINES_MAX).map(|line| SafeText::new(line)).collect();
                (self.scroll, self.stage) = (0, Stage::Planned(ask));
            }
            News::Progress(progress) => self.progress(progress),
            // Of an offer, which is no dialog yet.
            News::Estimated(..) => {}
            News::Ended { words, is_well } => {
                self.stage = Stage::Over { words, is_well };
                self.focus = Focus::Cancel;
            }
        }
    }

    fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Begins { host, intent } => self.say(&format!("{host}: begins, {intent}")),
            Progress::Output { host, text } => {
                let lines = text.as_str().split('␊').filter(|line| !line.is_empty());
                lines.for_each(|line| self.say(&format!("{host}: {line}")));
            }
            Progress::LinkLost { host, why } => self.say(&format!("{host}: ▲ {why}")),
            Progress::Ends { host, outcome, measured } => {
                let sign = match outcome {
                    Outcome::Done => "●",
                    Outcome::Failed => "✖",
                    Outcome::Unknown => "?",
                };
                self.say(&format!("{host}: {sign} {}: {measured}", outcome.word()));
            }
            Progress::LeftOut { host } => self.say(&format!("{host}: left out, as an earlier host failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(approvals_needed: u32) -> Dialog {
        asked(match approvals_needed {
            0 => Ask::Run { phrase: "web1".to_owned() },
            approvals_needed => Ask::Propose { approvals_needed },
        })
    }

    fn asked(ask: Ask) -> Dialog {
        let mut dialog = Dialog::new("logs.rotate web1".to_owned(), 1);
        dialog.take(News::Planned { lines: vec!["a plan".to_owned()], ask });
        dialog
    }

    fn press(dialog: &mut Dialog, keys: &[KeyCode]) -> Vec<Pressed> {
        keys.iter().map(|code| dialog.press(KeyEvent::new(*code, KeyModifiers::NONE))).collect()
    }

    fn word(word: &str) -> Vec<KeyCode> {
        word.chars().map(KeyCode::Char).collect()
    }

    const PRESS_RUN: [KeyCode; 3] = [KeyCode::Tab, KeyCode::Tab, KeyCode::Char(' ')];

    #[test]
    fn the_typed_name_and_tab_and_space_run_it() {
        let mut dialog = planned(0);
        let pressed = press(&mut dialog, &[word("web1"), PRESS_RUN.to_vec()].concat());
        assert_eq!(pressed.last(), Some(&Pressed::Does(Effect::Act(1, Order::Run("web1".to_owned())))));
        // A second Space presses nothing: it runs already.
        assert_eq!(press(&mut dialog, &[KeyCode::Char(' ')]), [Pressed::Stays]);
    }

    #[test]
    fn without_the_name_byte_for_byte_the_button_never_has_the_focus() {
        for typed in ["", "web", "Web1", "web1 ", "wеb1", "web11"] {
            let mut dialog = planned(0);
            press(&mut dialog, &word(typed));
            for _ in 0..6 {
                press(&mut dialog, &[KeyCode::Tab]);
                assert_ne!(dialog.focus, Focus::Go, "{typed:?}");
            }
        }
    }

    #[test]
    fn enter_begins_nothing_wherever_the_focus_is() {
        let mut dialog = planned(0);
        press(&mut dialog, &word("web1"));
        for _ in 0..3 {
            let pressed = press(&mut dialog, &[KeyCode::Enter, KeyCode::Tab]);
            assert!(matches!(pressed[0], Pressed::Said(_)));
        }
        assert!(matches!(dialog.stage, Stage::Planned(_)));
    }

    #[test]
    fn a_name_that_is_changed_again_takes_the_focus_from_the_button() {
        let mut dialog = planned(0);
        press(&mut dialog, &[word("web1"), vec![KeyCode::Tab, KeyCode::Tab]].concat());
        assert_eq!(dialog.focus, Focus::Go);
        press(&mut dialog, &[KeyCode::Backspace]);
        assert_eq!(dialog.focus, Focus::Text);
        assert_eq!(press(&mut dialog, &[KeyCode::Char(' ')]), [Pressed::Stays]);
    }

    #[test]
    fn before_there_is_a_plan_nothing_can_be_typed_or_run() {
        let mut dialog = Dialog::new("x".to_owned(), 1);
        press(&mut dialog, &[word("web1"), PRESS_RUN.to_vec()].concat());
        assert!(dialog.typed.is_empty() && dialog.stage == Stage::Planning);
    }

    #[test]
    fn what_needs_others_is_asked_of_them_with_a_reason() {
        let mut dialog = planned(2);
        let pressed = press(&mut dialog, &[word("disk"), PRESS_RUN.to_vec()].concat());
        assert_eq!(pressed.last(), Some(&Pressed::Does(Effect::Act(1, Order::Propose("disk".to_owned())))));
    }

    #[test]
    fn a_request_is_agreed_to_by_its_id_and_denied_by_a_reason_and_by_no_slip() {
        let judged = |typed: &str| {
            let id = AuditId::parse("3f9a1c2b44d0-17").unwrap_or_else(|| panic!("an id"));
            let mut dialog = asked(Ask::Judge { id, agreed: 0, approvals_needed: 1 });
            press(&mut dialog, &[word(typed), PRESS_RUN.to_vec()].concat()).pop()
        };
        let does =
            |deny: Option<&str>| Some(Pressed::Does(Effect::Act(1, Order::Judge { deny: deny.map(str::to_owned) })));
        assert_eq!(judged("3f9a1c2b44d0-17"), does(None));
        assert_eq!(judged("deny not before the audit"), does(Some("not before the audit")));
        for slip in ["3f9a1c2b44d0-18", "3f9a1c2b44d0-1", "not before the audit", "deny", "deny  x"] {
            assert_eq!(judged(slip), Some(Pressed::Stays), "{slip}");
        }
    }

    #[test]
    fn a_hold_is_lifted_by_its_name() {
        let hold = HoldName::parse("evidence").unwrap_or_else(|error| panic!("{error}"));
        let mut dialog = asked(Ask::Lift { hold });
        let pressed = press(&mut dialog, &[word("evidence"), PRESS_RUN.to_vec()].concat());
        assert_eq!(pressed.last(), Some(&Pressed::Does(Effect::Act(1, Order::Lift))));
    }
}
