//! Messages change the model and return effects.

use ratatui::crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};

use super::asked_ran;
use super::audit_board::Target;
use super::dialog::{Dialog, News, Order, Pressed};
use super::keymap::Action;
use super::log_book::LogBook;
use super::model::{FeedSource, Model, View};
use super::navigate::{back, go, open, select_row, step};
use super::offer;
use super::palette::{self, Choice};
use super::panes;
use super::prompt::{Asked, Prompt, Typed};
use super::when::When;
use super::why_not::why_not;
use crate::domain::fleet::HostName;
use crate::domain::probe::ProbeId;
use crate::engine::feed::FeedMessage;

/// Hosts whose logs are read at once: each is asked every second.
const TAIL_HOSTS_MAX: usize = 64;
/// Rows of the help that a page is, and more than it ever has.
const HELP_PAGE: usize = 5;
const HELP_ROWS_MAX: usize = 100;
/// Rows that a turn of the mouse's wheel moves.
const WHEEL_ROWS: usize = 3;

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
    /// Take the mouse from the terminal, or give it back.
    Mouse(bool),
    /// Hand a text to the terminal's clipboard.
    Copy(String),
    /// Read the logs of these hosts on.
    Tail(Vec<HostName>),
    EndTail,
    /// Give the terminal to the system's own ssh.
    Shell(HostName),
    /// Ask a host what ran then.
    AskRan(HostName, When),
    /// Plan a guarded action, or carry it out, for this dialog.
    Act(u64, Order),
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
    let action = model.keymap.look_up(key);
    let effect = match model.prompt {
        _ if model.wall => return action.filter(|action| *action == Action::Quit).map(|_| Effect::Quit),
        _ if model.dialog.is_some() => press_in_dialog(model, key),
        Some(_) => type_into_prompt(model, key),
        None => act(model, action?, rows),
    };
    effect.or_else(|| leave_log(model))
}

fn press_in_dialog(model: &mut Model, key: KeyEvent) -> Option<Effect> {
    model.message = None;
    match model.dialog.as_mut()?.press(key) {
        Pressed::Stays => None,
        Pressed::Said(said) => {
            model.message = Some(said.to_owned());
            None
        }
        Pressed::Does(effect) => Some(effect),
        Pressed::Closed => {
            model.dialog = None;
            None
        }
    }
}

/// Takes what was pasted: into a line that is typed, and into no confirmation.
pub fn paste(model: &mut Model, text: &str) {
    if model.dialog.is_some() {
        model.message = Some("nothing is pasted here: a name is confirmed by typing it".to_owned());
    } else if let Some(prompt) = &mut model.prompt {
        prompt.paste(text);
        if prompt.asked == Asked::Filter {
            let text = prompt.text.clone();
            model.set_filter(&text);
        }
    }
}

/// Takes what came back of an action; what belongs to an earlier dialog is let go: the audit has it.
pub fn acted(model: &mut Model, generation: u64, news: News) {
    if let News::Estimated(host, rooms) = news {
        if model.generation == generation {
            model.rooms = Some((host, rooms));
        }
    } else if let Some(dialog) = model.dialog.as_mut().filter(|dialog| dialog.generation == generation) {
        dialog.take(news);
    } else if let News::Ended { words, .. } = news {
        model.message = Some(words);
    }
}

/// A log that is no longer looked at is no longer read.
fn leave_log(model: &mut Model) -> Option<Effect> {
    let left = model.view != View::Log && model.log.is_some();
    left.then(|| {
        model.log = None;
        Effect::EndTail
    })
}

/// Takes the wheel, and a press on a row.
pub fn mouse(model: &mut Model, mouse: MouseEvent, rows: usize) {
    if model.wall || model.prompt.is_some() || model.help || model.dialog.is_some() {
        return;
    }
    match mouse.kind {
        MouseEventKind::ScrollUp => step(model, rows, |row, _, _| row.saturating_sub(WHEEL_ROWS)),
        MouseEventKind::ScrollDown => step(model, rows, |row, _, last| (row + WHEEL_ROWS).min(last)),
        MouseEventKind::Down(MouseButton::Left) => {
            let below = mouse.row.checked_sub(model.first_row_y).map(usize::from);
            let row = below.filter(|below| *below < model.page_rows).map(|below| model.scroll + below);
            if let Some(row) = row.filter(|row| *row < rows) {
                select_row(model, row);
            }
        }
        MouseEventKind::Down(_)
        | MouseEventKind::Up(_)
        | MouseEventKind::Drag(_)
        | MouseEventKind::Moved
        | MouseEventKind::ScrollLeft
        | MouseEventKind::ScrollRight => {}
    }
}

/// Carries out an action on a view of `rows` rows.
pub fn act(model: &mut Model, action: Action, rows: usize) -> Option<Effect> {
    model.message = None;
    if model.help {
        model.help_scroll = model.help_scroll.min(HELP_ROWS_MAX);
        match action {
            Action::Up => model.help_scroll = model.help_scroll.saturating_sub(1),
            Action::Down => model.help_scroll += 1,
            Action::PageUp => model.help_scroll = model.help_scroll.saturating_sub(HELP_PAGE),
            Action::PageDown => model.help_scroll += HELP_PAGE,
            Action::First => model.help_scroll = 0,
            Action::Last => model.help_scroll = HELP_ROWS_MAX,
            _ => (model.help, model.help_scroll) = (false, 0),
        }
        if model.help || matches!(action, Action::Back | Action::Help | Action::Quit) {
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
        Action::Open if model.view == View::Actions => return open_target(model),
        Action::Open => open(model),
        Action::Back => back(model),
        Action::Fleet => go(model, View::Fleet),
        Action::Pane(pane) => go(model, View::Pane(pane)),
        Action::Actions => go(model, View::Actions),
        Action::Act => return offer_actions(model),
        Action::Ran => asked_ran::ask_when(model),
        Action::Log => return open_log(model),
        Action::Filter => {
            let (asked, text) = match &model.log {
                Some(book) => (Asked::Include, book.include().unwrap_or_default()),
                None => (Asked::Filter, model.filter.text()),
            };
            model.prompt = Some(Prompt::new(asked, text));
        }
        Action::Exclude => {
            let text = model.log.as_ref().and_then(LogBook::exclude).unwrap_or_default();
            model.prompt = Some(Prompt::new(Asked::Exclude, text));
        }
        Action::NextError => seek_error(model, true),
        Action::PreviousError => seek_error(model, false),
        Action::Pause => {
            if let Some(book) = &mut model.log {
                let paused = !book.is_paused();
                book.pause(paused);
            }
        }
        Action::Command => model.prompt = Some(Prompt::new(Asked::Command, "")),
        Action::Passphrase => model.prompt = Some(Prompt::new(Asked::Passphrase, "")),
        Action::NextTheme => return next_theme(model),
        Action::Mouse => {
            model.mouse = !model.mouse;
            let whose = if model.mouse {
                "the wheel and clicks are dogwatch's: Shift selects text, m gives them back"
            } else {
                "the mouse is the terminal's own"
            };
            model.message = Some(whose.to_owned());
            return Some(Effect::Mouse(model.mouse));
        }
        Action::Copy => return panes::selected_text(model).map(Effect::Copy),
        Action::Shell => return panes::selected_host(model).map(Effect::Shell),
        Action::PollNow => {
            let host = model.open_host().cloned();
            model.message = Some(match &host {
                Some(name) => format!("polling {name} now"),
                None => "polling every host now".to_owned(),
            });
            return Some(Effect::PollNow(host));
        }
    }
    None
}

/// Opens a request that waits for somebody's word, or a hold.
fn open_target(model: &mut Model) -> Option<Effect> {
    let (title, order) = match model.selected_target()? {
        Target::Request(id) => (format!("request {id}"), Order::OpenRequest(id)),
        Target::Hold(hold) => (format!("hold {hold}"), Order::OpenHold(hold)),
    };
    model.generation += 1;
    model.dialog = Some(Dialog::new(title, model.generation));
    Some(Effect::Act(model.generation, order))
}

/// The logs of the open host, or of all that the filter keeps.
fn open_log(model: &mut Model) -> Option<Effect> {
    let hosts: Vec<HostName> = match model.open_host() {
        Some(host) => vec![host.clone()],
        None => model.order.iter().take(TAIL_HOSTS_MAX).cloned().collect(),
    };
    let whose = match hosts.as_slice() {
        [host] => host.to_string(),
        hosts if hosts.len() < model.order.len() => {
            format!("the {} neediest hosts of {}: / in the fleet picks others", hosts.len(), model.order.len())
        }
        hosts => format!("{} hosts", hosts.len()),
    };
    go(model, View::Log);
    let is_log = |probe: &ProbeId| matches!(probe, ProbeId::Logs | ProbeId::Journal);
    let watches = |host: &HostName| model.board.hosts.get(host).is_some_and(|host| host.probes.keys().any(is_log));
    let mut book = LogBook::new(whose);
    book.is_watched = hosts.iter().any(watches);
    model.log = Some(book);
    Some(Effect::Tail(hosts))
}

fn seek_error(model: &mut Model, forward: bool) {
    if !model.log.as_mut().is_some_and(|book| book.seek_error(forward)) {
        let where_to = if forward { "below" } else { "above" };
        model.message = Some(format!("no error {where_to} this line"));
    }
}

fn type_into_prompt(model: &mut Model, key: KeyEvent) -> Option<Effect> {
    let mut prompt = model.prompt.take()?;
    let typed = prompt.press(key);
    match (prompt.asked, typed) {
        (Asked::Filter, Typed::Left) => model.set_filter(""),
        (Asked::Include | Asked::Exclude, Typed::Left) => drop(sift(model, prompt.asked, "")),
        (Asked::Include | Asked::Exclude, Typed::Done) => {
            if let Err(why) = sift(model, prompt.asked, &prompt.text) {
                prompt.error = Some(why);
                model.prompt = Some(prompt);
            }
        }
        (Asked::Filter, Typed::Done)
        | (Asked::Command | Asked::Passphrase | Asked::Action | Asked::When, Typed::Left) => {}
        (Asked::When, Typed::Done) => return asked_ran::ask(model, prompt),
        (Asked::Action, Typed::Done) => return plan(model, prompt),
        (Asked::Command, Typed::Done) => return choose(model, &prompt),
        (Asked::Passphrase, Typed::Done) => {
            model.message = Some("logging in with the passphrase".to_owned());
            return Some(Effect::Unlock(prompt.text));
        }
        (Asked::Filter, Typed::Changed) => {
            model.set_filter(&prompt.text);
            model.prompt = Some(prompt);
        }
        (Asked::Include | Asked::Exclude, Typed::Changed) => {
            // A pattern that is not whole yet changes nothing, and says so when it is meant to.
            prompt.error = None;
            let _ = sift(model, prompt.asked, &prompt.text);
            model.prompt = Some(prompt);
        }
        (_, Typed::Goes) | (Asked::Command | Asked::Passphrase | Asked::Action | Asked::When, Typed::Changed) => {
            model.prompt = Some(prompt);
        }
    }
    None
}

/// Asks for an action; where a disk is selected the host is asked aside what would make room there.
fn offer_actions(model: &mut Model) -> Option<Effect> {
    model.prompt = Some(Prompt::new(Asked::Action, ""));
    model.rooms = None;
    let (host, mount) = panes::selected_host(model).zip(offer::selected_mount(model))?;
    model.generation += 1;
    Some(Effect::Act(model.generation, Order::Estimate { host, mount }))
}

/// Completes the line that asks for an action, or has it planned once it is whole.
fn plan(model: &mut Model, mut prompt: Prompt) -> Option<Effect> {
    if let Some(missing) = prompt.text.split(' ').find(|word| word.ends_with('=')).map(str::to_owned) {
        prompt.error = Some(format!("{missing} is needed"));
        model.prompt = Some(prompt);
        return None;
    }
    if prompt.text.contains(' ') {
        model.generation += 1;
        model.dialog = Some(Dialog::new(prompt.text.clone(), model.generation));
        return Some(Effect::Act(model.generation, Order::Plan(prompt.text)));
    }
    let mut choices = offer::choices(model, &prompt.text);
    if choices.is_empty() {
        model.message = Some(format!("no action is named '{}'", prompt.text));
        return None;
    }
    let line = choices.swap_remove(prompt.choice.min(choices.len() - 1)).line;
    model.prompt = Some(Prompt::new(Asked::Action, &line));
    None
}

fn sift(model: &mut Model, asked: Asked, pattern: &str) -> Result<(), String> {
    let Some(book) = &mut model.log else { return Ok(()) };
    if asked == Asked::Exclude { book.set_exclude(pattern) } else { book.set_include(pattern) }
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
