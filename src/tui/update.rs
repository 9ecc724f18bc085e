//! Messages change the model and return effects.

use ratatui::crossterm::event::KeyEvent;

use super::keymap::{self, Action};
use super::model::{FeedSource, Model, View};
use super::palette::{self, Choice};
use super::panes::checks;
use super::prompt::{Asked, Prompt, Typed};
use crate::domain::fleet::HostName;
use crate::engine::feed::FeedMessage;

/// Views that Esc goes back through.
const CAME_FROM_MAX: usize = 16;

/// What the screen asks the world for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    Suspend,
    /// Poll one host, or all, without waiting for the cadence or a back-off.
    PollNow(Option<HostName>),
    /// Show another theme.
    Theme(String),
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

/// Takes a key, on a view of `rows` rows.
pub fn press(model: &mut Model, key: KeyEvent, rows: usize) -> Option<Effect> {
    match model.prompt {
        _ if model.wall => keymap::look_up(key).filter(|action| *action == Action::Quit).map(|_| Effect::Quit),
        Some(_) => type_into_prompt(model, key),
        None => act(model, keymap::look_up(key)?, rows),
    }
}

/// Why an action can't be done now; the footer greys its key with the same words.
pub fn why_not(model: &Model, action: Action) -> Option<&'static str> {
    match action {
        Action::PollNow | Action::Passphrase | Action::Suspend if model.read_only => {
            Some("read-only: this screen may look, and do nothing")
        }
        Action::PollNow | Action::Passphrase if model.demo.is_some() => Some("a demo: its hosts answer by themselves"),
        Action::Passphrase if !model.can_unlock => {
            Some("another process logs in: start that one with --ask-passphrase")
        }
        Action::PollNow if model.feed_is_dead() => {
            Some("the engine is gone: quit and start dogwatch again to take over")
        }
        Action::Open => match &model.view {
            View::Fleet if model.order.is_empty() => Some("no host is selected"),
            View::Fleet | View::Pane(_) => None,
            View::Host(_) => Some("everything of this host is shown"),
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
        | Action::Filter
        | Action::Command
        | Action::PollNow
        | Action::Passphrase
        | Action::NextTheme
        | Action::Suspend
        | Action::Help
        | Action::Quit => None,
    }
}

/// Carries out an action on a view of `rows` rows.
pub fn act(model: &mut Model, action: Action, rows: usize) -> Option<Effect> {
    model.message = None;
    if model.help {
        model.help = false;
        if matches!(action, Action::Back | Action::Help | Action::Quit) {
            return None;
        }
    }
    if let Some(why) = why_not(model, action) {
        model.message = Some(why.to_owned());
        return None;
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
        Action::Back => back(model),
        Action::Fleet => go(model, View::Fleet),
        Action::Pane(pane) => go(model, View::Pane(pane)),
        Action::Filter => model.prompt = Some(Prompt::new(Asked::Filter, model.filter.text())),
        Action::Command => model.prompt = Some(Prompt::new(Asked::Command, "")),
        Action::Passphrase => model.prompt = Some(Prompt::new(Asked::Passphrase, "")),
        Action::NextTheme => return next_theme(model),
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

fn type_into_prompt(model: &mut Model, key: KeyEvent) -> Option<Effect> {
    let mut prompt = model.prompt.take()?;
    let typed = prompt.press(key);
    match (prompt.asked, typed) {
        (Asked::Filter, Typed::Left) => model.set_filter(""),
        (Asked::Filter, Typed::Done) | (Asked::Command | Asked::Passphrase, Typed::Left) => {}
        (Asked::Command, Typed::Done) => return choose(model, &prompt),
        (Asked::Passphrase, Typed::Done) => {
            model.message = Some("logging in with the passphrase".to_owned());
            return Some(Effect::Unlock(prompt.text));
        }
        (Asked::Filter, Typed::Changed) => {
            model.set_filter(&prompt.text);
            model.prompt = Some(prompt);
        }
        (Asked::Filter, Typed::Goes) | (Asked::Command | Asked::Passphrase, Typed::Goes | Typed::Changed) => {
            model.prompt = Some(prompt);
        }
    }
    None
}

fn choose(model: &mut Model, prompt: &Prompt) -> Option<Effect> {
    let mut choices = palette::choices(model, &prompt.text);
    if choices.is_empty() {
        model.message = Some(format!("nothing is named '{}'", prompt.text));
        return None;
    }
    let (_, choice) = choices.swap_remove(prompt.choice.min(choices.len() - 1));
    match choice {
        Choice::Go(view) => go(model, view),
        Choice::Theme(name) => return Some(Effect::Theme(name)),
        Choice::Act(action) => return act(model, action, 0),
    }
    None
}

fn next_theme(model: &mut Model) -> Option<Effect> {
    let now = model.themes.iter().position(|name| *name == model.theme).map_or(0, |index| index + 1);
    let name = model.themes.get(now % model.themes.len().max(1))?.clone();
    model.message = Some(format!("theme {name}"));
    Some(Effect::Theme(name))
}

fn go(model: &mut Model, view: View) {
    if model.view != view {
        let before = std::mem::replace(&mut model.view, view);
        if model.came_from.len() < CAME_FROM_MAX {
            model.came_from.push(before);
        }
        (model.row, model.scroll) = (0, 0);
    }
    if model.view == View::Fleet {
        model.came_from.clear();
    }
}

/// Esc undoes one thing at a time: the filter, then the view.
fn back(model: &mut Model) {
    if !model.filter.is_empty() {
        return model.set_filter("");
    }
    match model.came_from.pop() {
        Some(view) => {
            model.view = view;
            (model.row, model.scroll) = (0, 0);
        }
        None => go(model, View::Fleet),
    }
}

fn open(model: &mut Model) {
    let opened = match &model.view {
        View::Fleet => model.selected_host.clone(),
        View::Pane(pane) => checks::host_at(model, *pane, model.row),
        View::Host(_) => None,
    };
    if let Some(host) = opened {
        model.selected_host = Some(host.clone());
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
