//! Why an action can't be done now; the footer greys its key with the same words.

use super::keymap::Action;
use super::model::{Model, View};
use super::{panes, screen};

pub fn why_not(model: &Model, action: Action) -> Option<&'static str> {
    match action {
        Action::PollNow | Action::Passphrase | Action::Suspend | Action::Shell | Action::Log if model.read_only => {
            Some("read-only: this screen may look, and do nothing")
        }
        Action::PollNow | Action::Passphrase | Action::Shell if model.demo.is_some() => {
            Some("a demo: its hosts are recordings")
        }
        Action::Passphrase if !model.can_unlock => {
            Some("another process logs in: start that one with --ask-passphrase")
        }
        Action::Log if model.view == View::Log => Some("the log is open"),
        Action::Log if model.open_host().is_none() && model.order.is_empty() => Some("no host is shown"),
        Action::Log if !model.can_tail => Some("another process polls: its own screen reads logs"),
        Action::Shell if !model.can_open_shells => Some("no ssh can be started from here"),
        Action::PollNow if model.feed_is_dead() => {
            Some("the engine is gone: quit and start dogwatch again to take over")
        }
        Action::Shell if panes::selected_host(model).is_none() => Some("no host is selected"),
        Action::Copy if screen::row_count(model) == 0 => Some("nothing is selected"),
        Action::Pause | Action::NextError | Action::PreviousError | Action::Exclude if model.log.is_none() => {
            Some("a key of the log view: l opens it")
        }
        Action::Open => match &model.view {
            View::Fleet if model.order.is_empty() => Some("no host is selected"),
            View::Fleet | View::Pane(_) => None,
            View::Host(_) => Some("everything of this host is shown"),
            View::Log => Some("the line is shown whole below"),
        },
        Action::Back if model.view == View::Fleet && model.filter.is_empty() => Some("this is the first view"),
        Action::Up
        | Action::Down
        | Action::PageUp
        | Action::PageDown
        | Action::First
        | Action::Last
        | Action::Back
        | Action::Fleet
        | Action::Pane(_)
        | Action::Log
        | Action::Filter
        | Action::Exclude
        | Action::NextError
        | Action::PreviousError
        | Action::Pause
        | Action::Command
        | Action::PollNow
        | Action::Shell
        | Action::Copy
        | Action::Mouse
        | Action::Passphrase
        | Action::NextTheme
        | Action::Suspend
        | Action::Help
        | Action::Quit => None,
    }
}
