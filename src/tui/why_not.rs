//! Why an action can't be done now; the footer greys its key with the same words.

use super::keymap::Action;
use super::model::{Model, View};
use super::{panes, screen};

pub fn why_not(model: &Model, action: Action) -> Option<&'static str> {
    match action {
        Action::PollNow
        | Action::Passphrase
        | Action::Suspend
        | Action::Shell
        | Action::Log
        | Action::Act
        | Action::Ran
            if model.read_only =>
        {
            Some("read-only: this screen may look, and do nothing")
        }
        Action::PollNow | Action::Passphrase | Action::Shell | Action::Act if model.demo.is_some() => {
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
        Action::Act if model.offered.is_empty() => Some("nothing can be done from this screen"),
        Action::Ran if !model.can_ask_ran => Some("no host can be asked from here"),
        Action::Shell | Action::Act | Action::Ran if panes::selected_host(model).is_none() => {
            Some("no host is selected")
        }
        Action::Copy if screen::row_count(model) == 0 => Some("nothing is selected"),
        Action::Pause | Action::NextError | Action::PreviousError | Action::Exclude if model.log.is_none() => {
            Some("a key of the log view: l opens it")
        }
        Action::Open => match &model.view {
            View::Fleet if model.order.is_empty() => Some("no host is selected"),
            View::Fleet | View::Pane(_) => None,
            View::Host(_) if panes::selected_job(model).is_some() => None,
            View::Host(_) => Some("everything of this host is shown"),
            View::Job(..) => Some("everything of this job is shown"),
            View::Ran => Some("the line is shown whole below"),
            View::Log => Some("the line is shown whole below"),
            View::Actions => match model.selected_target() {
                None => Some("the line is shown whole below"),
                Some(_) if model.read_only => Some("read-only: this screen may look, and do nothing"),
                Some(_) if model.offered.is_empty() => Some("nothing can be done from this screen"),
                Some(_) => None,
            },
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
        | Action::Actions
        | Action::Act
        | Action::Ran
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

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

    use super::*;
    use crate::domain::board::HostBoard;
    use crate::domain::fleet::HostName;
    use crate::domain::time::at;
    use crate::tui::model::FeedSource;
    use crate::tui::offer::OfferedAction;
    use crate::tui::palette::{self, Choice};
    use crate::tui::update::{self, Effect};

    /// A manager's screen over one host, with every means that it could be given by mistake.
    fn managers() -> Model {
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        let host = HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"));
        model.board.hosts.insert(host, HostBoard::default());
        (model.read_only, model.can_unlock, model.can_tail, model.can_open_shells) = (true, true, true, true);
        model.can_ask_ran = true;
        model.themes = vec!["dark".to_owned()];
        let parameters = Vec::new();
        model.offered = vec![OfferedAction { id: "logs.rotate".to_owned(), about: String::new(), parameters }];
        model.sort();
        model
    }

    fn changes_nothing(effect: Option<&Effect>) -> bool {
        match effect {
            None | Some(Effect::Quit | Effect::Theme(_) | Effect::Mouse(_) | Effect::Copy(_) | Effect::EndTail) => true,
            Some(Effect::Suspend | Effect::PollNow(_) | Effect::Unlock(_) | Effect::Tail(_) | Effect::Shell(_)) => {
                false
            }
            Some(Effect::Act(..) | Effect::AskRan(..)) => false,
        }
    }

    /// By key, by the palette, and by the mouse.
    #[test]
    fn who_may_only_look_gets_nothing_done_by_any_path() {
        let views = || [View::Fleet, View::Host(managers().order[0].clone())];
        for view in views() {
            for binding in managers().keymap.bindings() {
                let mut model = managers();
                model.view = view.clone();
                let key = binding.keys[0];
                let effect = update::press(&mut model, KeyEvent::new(key.0, key.1), 1);
                assert!(changes_nothing(effect.as_ref()), "{} in {view:?}: {effect:?}", binding.name);
                assert!(model.prompt.is_none_or(|prompt| prompt.asked != crate::tui::prompt::Asked::Passphrase));
            }
            let mut model = managers();
            model.view = view.clone();
            for letter in 'a'..='z' {
                for (name, choice) in palette::choices(&model, &letter.to_string()) {
                    let Choice::Act(action) = choice else { continue };
                    let effect = update::act(&mut managers(), action, 1);
                    assert!(changes_nothing(effect.as_ref()), "{name}: {effect:?}");
                }
            }
            let kind = MouseEventKind::Down(MouseButton::Left);
            update::mouse(&mut model, MouseEvent { kind, column: 3, row: 3, modifiers: KeyModifiers::NONE }, 1);
            assert_eq!(model.view, view, "a click opened something");
        }
    }
}
