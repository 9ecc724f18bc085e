//! The palette behind `:`: every view, host, theme and action by its name.

use super::filter::is_subsequence;
use super::keymap::Action;
use super::model::{Model, View};
use crate::domain::check::Pane;
use crate::domain::fleet::HostName;

/// Choices shown below the line.
pub const SHOWN_MAX: usize = 8;

/// Something that the palette can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Go(View),
    Theme(String),
    Act(Action),
}

/// What fits the typed text, best first: what begins with it, then what has its letters in their order.
pub fn choices(model: &Model, typed: &str) -> Vec<(String, Choice)> {
    let typed = typed.trim().to_lowercase();
    let fits = |(name, _): &(String, Choice)| {
        let last = name.rsplit(' ').next().unwrap_or(name);
        // What all hosts or themes have in front says nothing, unless it was typed.
        name.starts_with(&typed)
            || is_subsequence(&typed, last)
            || (typed.contains(' ') && is_subsequence(&typed, name))
    };
    let mut choices: Vec<(String, Choice)> = all(model).filter(fits).collect();
    let rank = |name: &str| {
        let last = name.rsplit(' ').next().unwrap_or(name);
        (!name.starts_with(&typed) && !last.starts_with(&typed), !name.contains(&typed))
    };
    choices.sort_by_key(|(name, _)| rank(name));
    choices.truncate(SHOWN_MAX);
    choices
}

fn all(model: &Model) -> impl Iterator<Item = (String, Choice)> {
    let panes = [("disk", Pane::Disk), ("logs", Pane::Logs), ("backup", Pane::Backup), ("cron", Pane::Cron)];
    let panes = panes.into_iter().map(|(name, pane)| (name.to_owned(), Choice::Go(View::Pane(pane))));
    let fleet = [("fleet".to_owned(), Choice::Go(View::Fleet)), ("actions".to_owned(), Choice::Go(View::Actions))];
    let host = |name: &HostName| (format!("host {name}"), Choice::Go(View::Host(name.clone())));
    let theme = |name: &String| (format!("theme {name}"), Choice::Theme(name.clone()));
    let is_offered = |action: &Action| {
        matches!(
            action,
            Action::PollNow
                | Action::Help
                | Action::Quit
                | Action::Suspend
                | Action::Passphrase
                | Action::Log
                | Action::Act
                | Action::Ran
                | Action::Mouse
                | Action::Copy
        )
    };
    let actions = model.keymap.bindings().iter().filter(move |binding| is_offered(&binding.action));
    let actions = actions.map(|binding| (binding.what.to_owned(), Choice::Act(binding.action)));
    fleet
        .into_iter()
        .chain(panes)
        .chain(model.board.hosts.keys().map(host))
        .chain(model.themes.iter().map(theme))
        .chain(actions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::board::HostBoard;
    use crate::domain::time::at;
    use crate::tui::model::FeedSource;

    fn first(typed: &str) -> Option<Choice> {
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        let hosts = ["web1", "db1"].iter().filter_map(|name| HostName::parse(name).ok());
        model.board.hosts = hosts.map(|name| (name, HostBoard::default())).collect();
        model.themes = vec!["default".to_owned(), "dark".to_owned()];
        choices(&model, typed).into_iter().next().map(|(_, choice)| choice)
    }

    #[test]
    fn the_first_choice_is_what_was_meant() {
        let db1 = HostName::parse("db1").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(first("db"), Some(Choice::Go(View::Host(db1))));
        assert_eq!(first("dis"), Some(Choice::Go(View::Pane(Pane::Disk))));
        assert_eq!(first("dark"), Some(Choice::Theme("dark".to_owned())));
        assert_eq!(first("q"), Some(Choice::Act(Action::Quit)));
        assert_eq!(first("xyzzy"), None);
    }
}
