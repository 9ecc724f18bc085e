//! What each view shows, one file each, and how a frame is drawn.

pub mod actions;
pub mod chart;
pub mod checks;
pub mod dialog;
pub mod draw;
mod draw_chart;
mod draw_wall;
pub mod fleet;
pub mod host;
pub mod job;
mod jobs;
pub mod log;
pub mod ran;
pub mod runs;
pub mod wall;

pub use draw_wall::table_rows as wall_table_rows;

use self::chart::ChartView;
use super::model::{Model, View};
use super::screen::{Piece, TableView, reason_piece, status_piece};
use crate::domain::board::CheckView;
use crate::domain::check::CheckKind;
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// What a view shows.
#[derive(Default)]
pub struct Built {
    pub title: Vec<Piece>,
    pub table: TableView,
    /// Lines below the rows.
    pub detail: Vec<Vec<Piece>>,
    /// Between the two.
    pub chart: Option<ChartView>,
}

/// The host that the selected row is about.
pub fn selected_host(model: &Model) -> Option<HostName> {
    match &model.view {
        View::Fleet => model.selected_host.clone().filter(|host| model.board.hosts.contains_key(host)),
        View::Pane(_) => model.row_host.clone(),
        View::Host(name) | View::Job(name, _) => Some(name.clone()),
        View::Ran => model.ran.as_ref().map(|(host, _)| host.clone()),
        View::Log => model.log.as_ref().and_then(|book| Some(book.line(book.row())?.1.host.clone())),
        View::Actions => None,
    }
}

/// The check that the selected row is about.
pub fn selected_check(model: &Model) -> Option<(HostName, CheckView<'_>)> {
    match &model.view {
        View::Pane(pane) => {
            checks::Rows::of(model, *pane).check(model.row).map(|(host, view)| ((*host).clone(), view.clone()))
        }
        View::Host(name) => {
            let views = host::sorted(model, name, model.board.hosts.get(name)?);
            views.get(model.row).map(|view| (name.clone(), view.clone()))
        }
        View::Job(name, job) => job::check_of(model, name, job).map(|view| (name.clone(), view)),
        View::Fleet | View::Ran | View::Log | View::Actions => None,
    }
}

/// The job that the selected row is about.
pub fn selected_job(model: &Model) -> Option<(HostName, SafeText)> {
    let (host, view) = selected_check(model).filter(|(_, view)| view.id.kind == CheckKind::CronJob)?;
    Some((host, view.id.subject.clone()?))
}

/// The selected row in words, for whoever is told of it elsewhere.
pub fn selected_text(model: &Model) -> Option<String> {
    let told = |host: &HostName, view: &CheckView| {
        let (status, at) = (status_piece(view).text, view.at.utc().format("%Y-%m-%dT%H:%M:%SZ"));
        format!("{host} {status} {}: {} (seen {at})", view.id, reason_piece(view).text)
    };
    match &model.view {
        View::Fleet => {
            let name = model.selected_host.as_ref()?;
            fleet::worst_check(model, model.board.hosts.get(name)?).map(|view| told(name, &view))
        }
        View::Pane(pane) => checks::Rows::of(model, *pane).check(model.row).map(|(host, view)| told(host, view)),
        View::Host(name) => {
            host::sorted(model, name, model.board.hosts.get(name)?).get(model.row).map(|view| told(name, view))
        }
        View::Job(name, job) => job::check_of(model, name, job).map(|view| told(name, &view)),
        View::Ran => {
            let (host, asked) = model.ran.as_ref()?;
            let then = asked.answer.as_ref()?.as_ref().ok()?;
            then.ran.rows.get(model.row).map(|row| format!("{host}: {}", ran::words(row)))
        }
        View::Log => {
            let book = model.log.as_ref()?;
            book.line(book.row()).map(|(_, line)| format!("{} {}: {}", line.host, line.watch, line.text))
        }
        View::Actions => {
            let rows = model.audit.as_ref()?.rows(model.now.utc_ms);
            rows.get(model.row).map(|row| format!("{}: {}: {}", row.who, row.what, row.words))
        }
    }
}
