//! Which actions are offered where: what helps with the selected row first.

use super::filter::is_subsequence;
use super::model::{Model, View};
use super::palette::SHOWN_MAX;
use super::panes;
use crate::domain::check::{CheckKind, Pane};
use crate::domain::fleet::HostName;

/// An action as the catalogue has it, for choosing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedAction {
    pub id: String,
    pub about: String,
    /// Its parameters: name, and default where there is one.
    pub parameters: Vec<(String, Option<String>)>,
}

/// An action that can be chosen: what is shown of it, and the line that is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub shown: String,
    pub line: String,
}

/// The actions whose name fits what is typed, each with what it would free where that is known.
pub fn choices(model: &Model, typed: &str) -> Vec<Choice> {
    let Some(host) = panes::selected_host(model) else { return Vec::new() };
    let rooms = model.rooms.as_ref().filter(|(of, _)| *of == host).map_or(&[][..], |(_, rooms)| rooms);
    let directory = directory(model).map(|directory| ("directory".to_owned(), directory));
    let of_action = |action: &OfferedAction| -> Vec<Choice> {
        let helps = rooms.iter().filter(|room| room.action.as_str() == action.id);
        let known: Vec<Choice> = helps
            .map(|room| Choice {
                shown: format!("{}: {}", action.id, room.words),
                line: line_of(action, &host, &room.parameters),
            })
            .collect();
        match known.is_empty() {
            false => known,
            true => vec![Choice {
                shown: format!("{}: {}", action.id, action.about),
                line: line_of(action, &host, directory.as_slice()),
            }],
        }
    };
    fitting(model, typed).into_iter().flat_map(of_action).collect()
}

/// The line that is to be completed for an action on a host, with the values that are known.
fn line_of(action: &OfferedAction, host: &HostName, known: &[(String, String)]) -> String {
    let parameter = |(name, default): &(String, Option<String>)| {
        let known = known.iter().find(|(of, _)| of == name).map(|(_, value)| value);
        format!(" {name}={}", known.or(default.as_ref()).map_or("", String::as_str))
    };
    // What is still to be typed comes last, where typing goes on.
    let mut parameters: Vec<String> = action.parameters.iter().map(parameter).collect();
    parameters.sort_by_key(|parameter| parameter.ends_with('='));
    format!("{} {host}{}", action.id, parameters.concat())
}

/// Where logs lie that fill the selected file system.
fn directory(model: &Model) -> Option<String> {
    let mount = selected_mount(model)?;
    match mount.as_str() {
        "/" | "/var" => Some("/var/log".to_owned()),
        mount => Some(mount.to_owned()),
    }
}

/// The mount point of the file system that the selected row is about.
pub fn selected_mount(model: &Model) -> Option<String> {
    let subject = panes::selected_check(model)?.1.id.clone();
    match subject.kind {
        CheckKind::DiskSpace | CheckKind::DiskInodes => Some(subject.subject?.to_string()),
        _ => None,
    }
}

/// The actions whose name fits what is typed; without anything typed those that help with the view first.
fn fitting<'a>(model: &'a Model, typed: &str) -> Vec<&'a OfferedAction> {
    let wanted = typed.split(' ').next().unwrap_or_default().to_lowercase();
    let helps = |action: &OfferedAction| {
        let first: &[&str] = match &model.view {
            View::Pane(Pane::Disk) => {
                &["logs.archive-purge", "logs.archive-away", "backup.prune", "disk.clean-packages", "logs.rotate"]
            }
            View::Pane(Pane::Logs) | View::Log => &["logs."],
            View::Pane(Pane::Backup) => &["backup."],
            View::Pane(Pane::Cron) | View::Job(..) => &["cron.", "backup.run"],
            View::Fleet | View::Pane(Pane::Host) | View::Host(_) | View::Ran | View::Actions => &[],
        };
        first.iter().position(|stem| action.id.starts_with(stem)).unwrap_or(first.len())
    };
    let mut fitting: Vec<&OfferedAction> =
        model.offered.iter().filter(|action| is_subsequence(&wanted, &action.id)).collect();
    // What holds the letters together is meant before what has them scattered.
    fitting.sort_by_key(|action| (!action.id.starts_with(&wanted), !action.id.contains(&wanted), helps(action)));
    fitting
}

/// What is shown above the line that is typed: actions while one is chosen, then what the action's parameters are.
pub fn shown(model: &Model, typed: &str) -> Vec<String> {
    match typed.split_once(' ') {
        None => choices(model, typed).into_iter().take(SHOWN_MAX).map(|choice| choice.shown).collect(),
        Some((id, _)) => {
            let action = model.offered.iter().find(|action| action.id == id);
            let parameter = |(name, default): &(String, Option<String>)| match default {
                Some(default) => format!("{name}, by default {default}"),
                None => format!("{name}, needed"),
            };
            action.map(|action| action.parameters.iter().map(parameter).collect()).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::ActionId;
    use crate::domain::time::at;
    use crate::engine::action::estimate::Room;
    use crate::tui::model::FeedSource;

    fn model(view: View) -> Model {
        let mut model = Model::new(FeedSource::OwnEngine, at(0));
        model.view = view;
        let ids = ["backup.prune", "disk.remount-rw", "logs.archive-purge", "logs.rotate", "unit.restart"];
        let action = |id: &str| OfferedAction { id: id.to_owned(), about: String::new(), parameters: Vec::new() };
        model.offered = ids.map(action).to_vec();
        model
    }

    fn first(view: View, typed: &str) -> String {
        fitting(&model(view), typed).first().map(|action| action.id.clone()).unwrap_or_default()
    }

    #[test]
    fn the_first_offer_is_what_was_meant_or_what_helps_with_the_view() {
        assert_eq!(first(View::Fleet, "rot"), "logs.rotate");
        assert_eq!(first(View::Fleet, "unit"), "unit.restart");
        assert_eq!(first(View::Pane(Pane::Disk), ""), "logs.archive-purge");
        assert_eq!(first(View::Pane(Pane::Backup), ""), "backup.prune");
        assert_eq!(first(View::Fleet, "xyz"), "");
    }

    #[test]
    fn a_line_is_completed_with_the_host_its_defaults_and_the_full_directory() {
        let parameters = vec![
            ("directory".to_owned(), None),
            ("archive".to_owned(), None),
            ("older-hours".to_owned(), Some("24".to_owned())),
        ];
        let action = OfferedAction { id: "logs.archive-purge".to_owned(), about: String::new(), parameters };
        let host = HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"));
        let line = line_of(&action, &host, &[("directory".to_owned(), "/var/log".to_owned())]);
        assert_eq!(line, "logs.archive-purge web1 directory=/var/log older-hours=24 archive=");
    }

    #[test]
    fn an_offer_says_what_it_would_free_and_is_completed_with_it() {
        let mut model = model(View::Host(host()));
        model.rooms = Some((
            host(),
            vec![Room {
                action: ActionId::parse("logs.archive-purge").unwrap_or_else(|error| panic!("{error}")),
                words: "frees up to 1.2 GB in /var/log/nginx: 31 files older than a day".to_owned(),
                parameters: vec![("directory".to_owned(), "/var/log/nginx".to_owned())],
            }],
        ));
        let choice = choices(&model, "purge").remove(0);
        assert_eq!(choice.shown, "logs.archive-purge: frees up to 1.2 GB in /var/log/nginx: 31 files older than a day");
        // Of another host nothing is known.
        model.view = View::Host(HostName::parse("web2").unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(choices(&model, "purge").remove(0).shown, "logs.archive-purge: ");
    }

    fn host() -> HostName {
        HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"))
    }
}
