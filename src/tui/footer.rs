//! The last line of the screen: what is being typed, what was just said, and the keys that do something now.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::keymap::{Action, Binding};
use super::model::{FeedSource, Model, View};
use super::offer;
use super::palette;
use super::prompt::{Asked, Prompt};
use super::screen::{Offered, Piece, piece};
use super::theme::Meaning;
use super::why_not::why_not;
use crate::domain::check::Pane;
use crate::domain::text::SafeText;

const PASSPHRASE_DOTS_MAX: usize = 24;
/// Less of a path's end than this tells nothing.
const PATH_WIDTH_MIN: usize = 4;

/// Whatever is said, how to get help and out stays in sight.
fn is_always_shown(binding: &Binding) -> bool {
    binding.in_footer && matches!(binding.action, Action::Help | Action::Quit)
}

/// What a view's footer has room for: the log view has keys of its own, and no rows to open.
fn belongs(view: &View, action: Action) -> bool {
    let is_of_logs = matches!(action, Action::Pause | Action::NextError | Action::Exclude);
    // Where it helps most, and not everywhere: there is room for few.
    if action == Action::Ran {
        return matches!(view, View::Job(..) | View::Ran | View::Host(_) | View::Log | View::Pane(Pane::Cron));
    }
    match view {
        View::Log => {
            is_of_logs
                || !matches!(
                    action,
                    Action::Open
                        | Action::Log
                        | Action::Act
                        | Action::Actions
                        | Action::PollNow
                        | Action::Shell
                        | Action::Fleet
                        | Action::Pane(_)
                )
        }
        View::Fleet | View::Pane(_) | View::Host(_) | View::Job(..) | View::Ran | View::Actions => !is_of_logs,
    }
}

fn room_of(binding: &Binding) -> usize {
    binding.first_shown.width() + binding.what.width() + 2
}

pub fn footer(model: &Model, width: usize) -> Vec<Piece> {
    if let Some(prompt) = &model.prompt {
        return prompt_line(prompt, width);
    }
    let bindings = model.keymap.bindings();
    let kept: usize = bindings.iter().filter(|binding| is_always_shown(binding)).map(room_of).sum();
    let mut left = width.saturating_sub(kept);
    let mut pieces: Vec<Piece> = said(model, left).into_iter().collect();
    let has_room = pieces.is_empty();
    for binding in bindings.iter().filter(|binding| binding.in_footer && belongs(&model.view, binding.action)) {
        if !is_always_shown(binding) {
            match left.checked_sub(room_of(binding)).filter(|_| has_room) {
                Some(rest) => left = rest,
                None => continue,
            }
        }
        match why_not(model, binding.action) {
            None => {
                pieces.push(piece(format!(" {}", binding.first_shown), Meaning::Key));
                pieces.push(piece(format!(" {}", binding.what), Meaning::Plain));
            }
            Some(_) => pieces.push(piece(format!(" {} {}", binding.first_shown, binding.what), Meaning::Dim)),
        }
    }
    pieces
}

/// What was just said, or whom the screen is attached to, within `room` columns.
fn said(model: &Model, room: usize) -> Option<Piece> {
    match (&model.message, &model.source) {
        (Some(message), _) => Some(piece(cut(&format!(" {message} "), room), Meaning::Heading)),
        (None, FeedSource::OwnEngine) => None,
        (None, FeedSource::Attached { pid, alive_at }) => {
            let age = alive_at.map_or("?".to_owned(), |alive_at| alive_at.age_at(model.now).to_string());
            Some(piece(cut(&format!(" attached to pid {pid}, feed {age} old "), room), Meaning::Dim))
        }
    }
}

/// The beginning of a text, with `…` where the rest was.
pub fn cut(text: &str, room: usize) -> Cow<'_, str> {
    // No character is wider than its bytes: most texts need not be measured.
    if text.len() <= room || text.width() <= room {
        return Cow::Borrowed(text);
    }
    let mut left = room.saturating_sub(1);
    let fits = |c: &char| {
        let rest = left.checked_sub(c.width().unwrap_or(0));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    Cow::Owned(text.chars().take_while(fits).chain(['…']).collect())
}

/// The name of a check on a file, cut in the file's path: what tells two files apart stands at its end.
pub fn cut_name(name: &str, room: usize) -> Cow<'_, str> {
    let place = name.find(":/").map(|place| place + 1).filter(|_| !name.contains(' '));
    let Some((kind, path)) = place.map(|place| name.split_at(place)).filter(|_| room < name.width()) else {
        return cut(name, room);
    };
    match room.checked_sub(kind.width() + 1).filter(|left| PATH_WIDTH_MIN <= *left) {
        Some(left) => Cow::Owned(format!("{kind}…{}", tail(path, left))),
        None => cut(name, room),
    }
}

/// The end of a text that is being typed, where it is longer than its room.
pub fn tail(text: &str, room: usize) -> &str {
    let mut width = 0;
    let start = text.char_indices().rev().take_while(|(_, c)| {
        width += c.width().unwrap_or(0);
        width <= room
    });
    start.last().map_or("", |(at, _)| &text[at..])
}

/// The line that is being typed, and what its keys do.
fn prompt_line(prompt: &Prompt, width: usize) -> Vec<Piece> {
    let (asked, shown, keys) = match prompt.asked {
        Asked::Filter => (" / ", prompt.text.clone(), "  @group name words; Enter keeps it, Esc shows all"),
        Asked::Include => (" / ", prompt.text.clone(), "  a pattern: only lines that match; Enter keeps it"),
        Asked::Exclude => (" x ", prompt.text.clone(), "  a pattern: lines that match are left out; Enter keeps it"),
        Asked::Command => (" : ", prompt.text.clone(), "  ↑ ↓ choose, Enter goes, Esc leaves"),
        Asked::Action => {
            (" act: ", prompt.text.clone(), "  ↑ ↓ choose, Enter completes, then plans; nothing is done yet")
        }
        Asked::When => (" what ran at: ", prompt.text.clone(), "  its own time, 5 min around it; or: 04:30 1h"),
        Asked::Passphrase => {
            let dots = "•".repeat(prompt.text.chars().count().min(PASSPHRASE_DOTS_MAX));
            (" passphrase of your SSH key: ", dots, "  Enter logs in, Esc leaves it")
        }
    };
    let asked = match &prompt.host {
        Some(host) => format!(" {}:{asked}", cut(host.as_str(), width / 4)),
        None => asked.to_owned(),
    };
    let room = width.saturating_sub(asked.width() + 1);
    let typed = format!("{}▏", tail(&shown, room));
    let hint = match &prompt.error {
        Some(why) => piece(format!("  {why}"), Meaning::Match),
        None => piece(keys, Meaning::Dim),
    };
    vec![piece(asked, Meaning::Key), piece(typed, Meaning::Plain), hint]
}

/// What the palette offers for what is typed; the meant one is selected.
pub fn offered(model: &Model) -> Option<Offered> {
    let prompt = model.prompt.as_ref()?;
    let choices: Vec<String> = match prompt.asked {
        Asked::Command => palette::choices(model, &prompt.text).into_iter().map(|(name, _)| name).collect(),
        Asked::Action => offer::shown(model, &prompt.text),
        Asked::Filter | Asked::Include | Asked::Exclude | Asked::When | Asked::Passphrase => return None,
    };
    let meant = prompt.choice.min(choices.len().saturating_sub(1));
    let meaning = |index| if index == meant { Meaning::Selected } else { Meaning::Plain };
    let title = if prompt.asked == Asked::Action { " Plan an action " } else { " Go to " };
    let choices = choices.into_iter().enumerate().map(|(index, name)| piece(format!(" {name} "), meaning(index)));
    Some(Offered { title, choices: choices.collect() })
}

/// Said beside a view's title while a filter hides rows.
pub fn filter_words(model: &Model) -> Option<Piece> {
    if model.filter.is_empty() || model.view == View::Log {
        return None;
    }
    let kept = match &model.view {
        View::Fleet => format!(", {} of {} hosts", model.order.len(), model.counts().total()),
        View::Pane(_) | View::Host(_) | View::Job(..) | View::Ran | View::Log | View::Actions => String::new(),
    };
    Some(piece(format!("  /{}{kept}", SafeText::new(model.filter.text())), Meaning::Match))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::at;

    fn shown(model: &Model, width: usize) -> String {
        footer(model, width).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_long_message_leaves_help_and_quit_in_sight() {
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        model.message = Some("a reason that goes on and on ".repeat(9));
        let line = shown(&model, 60);
        assert!(line.ends_with("… ? help q quit") && line.width() == 60, "{line}");
    }

    #[test]
    fn the_end_of_a_long_prompt_is_what_one_sees() {
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        model.prompt = Some(Prompt::new(Asked::Filter, &format!("{}end", "long ".repeat(30))));
        let line: String = shown(&model, 40).chars().take(40).collect();
        assert!(line.ends_with("end▏"), "{line}");
    }

    #[test]
    fn two_files_of_one_directory_are_told_apart_where_their_names_are_cut() {
        let name = "host.integrity:/srv/finance/bin/ship-logs.sh";
        assert_eq!(cut_name(name, 34), "host.integrity:…e/bin/ship-logs.sh");
        assert_eq!(cut_name(name, 50), name);
        assert_eq!(cut_name(name, 18), "host.integrity:/s…");
        assert_eq!(cut_name("a reason about log:/srv", 10), "a reason …");
    }
}
