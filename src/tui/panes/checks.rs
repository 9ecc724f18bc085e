//! One pane over the whole fleet: every check of it, least time left first, then by need.

use super::{Built, jobs, runs};
use crate::domain::board::CheckView;
use crate::domain::check::{CheckKind, Pane};
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::tui::model::Model;
use crate::tui::recurrence::whole_reason;
use crate::tui::screen::{
    Cell, Column, Piece, TableView, piece, reason_piece, room_for_reason, status_piece, trend_of, window,
};
use crate::tui::theme::{Meaning, glyph};
use crate::tui::wrap::wrapped;

/// A narrower column names jobs without what all of them have.
const NAME_WIDTH_OF_ID: u16 = 28;

pub fn build(model: &mut Model, pane: Pane, width: u16, rows: usize) -> Built {
    let (table_rows, reason_rows) = room_for_reason(rows);
    let all = Rows::of(model, pane);
    let selected = model.row.min(all.count().saturating_sub(1));
    let shown = window(model.scroll, selected, table_rows, all.count());
    let mut table = all.table(model, pane, shown.clone(), width);
    table.selected = (0 < all.count()).then(|| selected - shown.start);
    let told = |(host, view): &(&HostName, CheckView)| {
        whole_reason(&model.recurrence, host, model.board.hosts.get(*host), view)
    };
    let listed = || all.jobs.get(selected.saturating_sub(all.checks.len())).map(jobs::told);
    let reason = all.checks.get(selected).map(told).or_else(listed).unwrap_or_default();
    (model.row_total, model.row_host) = (all.count(), all.host(selected).cloned());
    (model.page_rows, model.row, model.scroll) = (table_rows, selected, shown.start);
    let detail = wrapped(&reason, usize::from(width), reason_rows);
    let silent = silent(model);
    let is_narrow = width < 60 && silent.is_some();
    let order = if is_narrow { "" } else { " over the fleet, most urgent first" };
    let mut title = vec![piece(format!("{}{order}", title(pane)), Meaning::Heading)];
    title.extend(silent);
    Built { title, table, detail, chart: None }
}

/// Hosts that never answered have no row here.
fn silent(model: &Model) -> Option<Piece> {
    let count = model.counts().total() - model.answered();
    let hosts = if count == 1 { "host" } else { "hosts" };
    let unknown = Meaning::Status(Status::Unknown, Quality::Fresh);
    let sign = glyph(Status::Unknown, Quality::Fresh);
    (0 < count).then(|| piece(format!("  {sign} {count} {hosts} never answered"), unknown))
}

/// Everything that a pane lists: its checks, and below them the jobs that nobody declared, which have none.
pub struct Rows<'a> {
    checks: Vec<(&'a HostName, CheckView<'a>)>,
    jobs: Vec<jobs::Job<'a>>,
}

impl<'a> Rows<'a> {
    pub fn of(model: &'a Model, pane: Pane) -> Self {
        let jobs = match pane {
            Pane::Cron => jobs::inventory(model),
            Pane::Disk | Pane::Logs | Pane::Backup | Pane::Host => Vec::new(),
        };
        Self { checks: sorted(model, pane), jobs }
    }

    pub fn count(&self) -> usize {
        self.checks.len() + self.jobs.len()
    }

    /// Whose a row is.
    fn host(&self, row: usize) -> Option<&'a HostName> {
        match self.checks.get(row) {
            Some((host, _)) => Some(host),
            None => self.jobs.get(row - self.checks.len()).map(|job| job.host),
        }
    }

    /// A row that is a check.
    pub fn check(&self, row: usize) -> Option<&(&'a HostName, CheckView<'a>)> {
        self.checks.get(row)
    }

    /// Some rows, none of them selected.
    pub fn table(&self, model: &Model, pane: Pane, shown: std::ops::Range<usize>, width: u16) -> TableView {
        let columns = columns(width, pane);
        let trend_width = usize::from(columns[3].width);
        let row_at = |index: usize| match self.checks.get(index) {
            Some((host, view)) => row(model, host, view, trend_width, columns[2].width),
            None => {
                let job = self.jobs.get(index - self.checks.len());
                job.map(|job| jobs::row(job, 0 < columns[2].width)).unwrap_or_default()
            }
        };
        TableView { rows: shown.map(row_at).collect(), selected: None, columns, empty: empty(pane) }
    }
}

pub fn title(pane: Pane) -> &'static str {
    match pane {
        Pane::Disk => "Disks",
        Pane::Logs => "Logs",
        Pane::Backup => "Backups",
        Pane::Cron => "Jobs",
        Pane::Host => "Hosts",
    }
}

fn empty(pane: Pane) -> &'static str {
    match pane {
        Pane::Disk | Pane::Host => "no host has answered yet",
        Pane::Logs => "no log is watched: add logs = [\"/var/log/syslog\"] to a host or group in hosts.toml",
        Pane::Backup => "no backup set is watched: add [host.NAME.backup.SET] to hosts.toml",
        Pane::Cron => "no host has told of a job yet; what matters gets a check by [host.NAME.job.JOB] in hosts.toml",
    }
}

fn columns(width: u16, pane: Pane) -> Vec<Column> {
    let (host, subject, trend) = match width {
        0..60 => (8, 0, 0),
        60..100 => (12, 18, 6),
        100..160 => (18, 28, 12),
        _ => (28, 44, 24),
    };
    let seen = if width < 60 { 0 } else { 4 };
    // Of logs no course over time is drawn; of jobs their runs are, a cell each.
    let (subject, trend, course) = match pane {
        Pane::Logs => (subject + trend, 0, ""),
        Pane::Cron => (subject, trend, "RUNS"),
        Pane::Disk | Pane::Backup | Pane::Host => (subject, trend, "TREND"),
    };
    let fixed = 11 + host + subject + trend + seen + 5;
    vec![
        Column { title: "STATUS", width: 11 },
        Column { title: "HOST", width: host },
        Column { title: "CHECK", width: subject },
        Column { title: course, width: trend },
        Column { title: "SEEN", width: seen },
        Column { title: "REASON", width: width.saturating_sub(fixed) },
    ]
}

fn sorted(model: &Model, pane: Pane) -> Vec<(&HostName, CheckView<'_>)> {
    let mut views: Vec<(&HostName, CheckView)> = Vec::new();
    for (name, host) in &model.board.hosts {
        let is_kept = |view: &CheckView| view.id.pane() == pane && model.filter.keeps_check(name, host, view);
        views.extend(host.views(model.now).filter(is_kept).map(|view| (name, view)));
    }
    let full_at = |view: &CheckView| view.result.full_at.map_or(i64::MAX, |at| at.timestamp_millis());
    views.sort_by(|(host_a, a), (host_b, b)| {
        b.rank()
            .cmp(&a.rank())
            .then_with(|| full_at(a).cmp(&full_at(b)))
            .then_with(|| a.id.kind.cmp(&b.id.kind))
            .then_with(|| b.result.value.unwrap_or(0.0).total_cmp(&a.result.value.unwrap_or(0.0)))
            .then_with(|| (host_a, a.id).cmp(&(host_b, b.id)))
    });
    views
}

fn row(model: &Model, host: &HostName, view: &CheckView, trend_width: usize, name_width: u16) -> Vec<Cell> {
    let mut reason = reason_piece(view);
    // Where there is room for it, the check's name says which job it is.
    let mut name = view.id.to_string();
    if let (CheckKind::CronJob, Some(job), true) = (view.id.kind, &view.id.subject, 0 < name_width) {
        reason.text = reason.text.replacen(&format!("job {job}: "), "", 1);
        if name_width < NAME_WIDTH_OF_ID {
            name = job.to_string();
        }
    }
    vec![
        Cell::Text(status_piece(view)),
        Cell::Text(piece(host.as_str(), Meaning::Title)),
        Cell::Text(piece(name, Meaning::Plain)),
        match view.id.kind {
            CheckKind::CronJob => runs::strip(model, host, view, trend_width),
            _ => trend_of(model.board.hosts.get(host), view, trend_width),
        },
        Cell::Text(piece(format!("{:>4}", view.age.to_string()), Meaning::Dim)),
        Cell::Text(reason),
    ]
}
