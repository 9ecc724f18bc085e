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

/// The line that is to be completed for an action on a host.
pub fn line_of(action: &OfferedAction, host: &HostName, directory: Option<&str>) -> String {
    let parameter = |(name, default): &(String, Option<String>)| match (name.as_str(), directory, default) {
        ("directory", Some(directory), _) => format!(" {name}={directory}"),
        (_, _, Some(default)) => format!(" {name}={default}"),
        (_, _, None) => format!(" {name}="),
    };
    let parameters: String = action.parameters.iter().map(parameter).collect();
    format!("{} {host}{parameters}", action.id)
}

/// Where logs lie that fill the selected file system.
pub fn directory(model: &Model) -> Option<String> {
    let mount = selected_mount(model)?;
    match mount.as_str() {
        "/" | "/var" => Some("/var/log".to_owned()),
        mount => Some(mount.to_owned()),
    }
}

fn selected_mount(model: &Model) -> Option<String> {
    let subject = match &model.view {
        View::Pane(Pane::Disk) => {
            panes::checks::Rows::of(model, Pane::Disk).check(model.row).map(|(_, view)| view.id.clone())
        }
        View::Host(name) => {
            let board = model.board.hosts.get(name)?;
            panes::host::sorted(model, name, board).get(model.row).map(|view| view.id.clone())
        }
        View::Fleet | View::Pane(_) | View::Log | View::Actions => None,
    }?;
    match subject.kind {
        CheckKind::DiskSpace | CheckKind::DiskInodes => Some(subject.subject?.to_string()),
        _ => None,
    }
}

/// The actions whose name fits what is typed; without anything typed those that help with the view first.
pub fn fitting<'a>(model: &'a Model, typed: &str) -> Vec<&'a OfferedAction> {
    let wanted = typed.split(' ').next().unwrap_or_default().to_lowercase();
    let helps = |action: &OfferedAction| {
        let first: &[&str] = match &model.view {
            View::Pane(Pane::Disk) => &["logs.archive-purge", "backup.prune", "disk.clean-packages", "logs.rotate"],
            View::Pane(Pane::Logs) | View::Log => &["logs."],
            View::Pane(Pane::Backup) => &["backup."],
            View::Pane(Pane::Cron) => &["cron.", "backup.run"],
            View::Fleet | View::Pane(Pane::Host) | View::Host(_) | View::Actions => &[],
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
        None => fitting(model, typed)
            .into_iter()
            .take(SHOWN_MAX)
            .map(|action| format!("{}: {}", action.id, action.about))
            .collect(),
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
    use crate::domain::time::at;
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
        let line = line_of(&action, &host, Some("/var/log"));
        assert_eq!(line, "logs.archive-purge web1 directory=/var/log archive= older-hours=24");
    }
}
