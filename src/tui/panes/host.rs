//! One host: every check with its value, age and reason, and how the host is reached.

use super::Built;
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::fleet::HostName;
use crate::tui::model::Model;
use crate::tui::screen::{Cell, Column, TableView, piece, reason_piece, status_piece, trend_cell, window};
use crate::tui::theme::Meaning;

pub fn row_count(model: &Model, name: &HostName) -> usize {
    model.board.hosts.get(name).map_or(0, |host| host.checks.len())
}

pub fn build(model: &mut Model, name: &HostName, width: u16, rows: usize) -> Built {
    let total = row_count(model, name);
    model.page_rows = rows;
    model.row = model.row.min(total.saturating_sub(1));
    let shown = window(model.scroll, model.row, rows, total);
    model.scroll = shown.start;
    let columns = columns(width);
    let trend_width = usize::from(columns[2].width);
    let host = model.board.hosts.get(name);
    let views = host.map(|host| sorted(model, host)).unwrap_or_default();
    let table = TableView {
        rows: views[shown.clone()].iter().map(|view| row(host, view, trend_width)).collect(),
        selected: (0 < total).then(|| model.row - shown.start),
        columns,
        empty: "this host has told nothing yet",
    };
    (title(name, host), table, Vec::new())
}

fn title(name: &HostName, host: Option<&HostBoard>) -> Vec<crate::tui::screen::Piece> {
    let Some(host) = host else {
        return vec![piece(format!("{name} is no longer watched"), Meaning::Heading)];
    };
    let (link, why) = host.link();
    let groups: Vec<String> = host.groups.iter().map(|group| format!("@{group}")).collect();
    let own = if host.own { ", the machine Dogwatch runs on" } else { "" };
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    vec![piece(name.as_str(), Meaning::Title), piece(format!(" {} {link}{why}{own}", groups.join(" ")), Meaning::Plain)]
}

fn columns(width: u16) -> Vec<Column> {
    let (id, trend) = match width {
        0..60 => (16, 0),
        60..100 => (24, 8),
        100..160 => (34, 20),
        _ => (48, 36),
    };
    vec![
        Column { title: "STATUS", width: 11 },
        Column { title: "CHECK", width: id },
        Column { title: "TREND", width: trend },
        Column { title: " AGE", width: 4 },
        Column { title: "REASON", width: width.saturating_sub(11 + id + trend + 4 + 4) },
    ]
}

fn sorted<'a>(model: &Model, host: &'a HostBoard) -> Vec<CheckView<'a>> {
    let mut views: Vec<CheckView> = host.views(model.now).collect();
    views.sort_by(|a, b| b.rank().cmp(&a.rank()).then_with(|| a.id.cmp(b.id)));
    views
}

fn row(host: Option<&HostBoard>, view: &CheckView, trend_width: usize) -> Vec<Cell> {
    let trend = host.and_then(|host| host.trends.get(view.id));
    let points = trend.map_or_else(|| vec![None; trend_width], |trend| trend.last_points(trend_width));
    vec![
        Cell::Text(status_piece(view)),
        Cell::Text(piece(view.id.to_string(), Meaning::Plain)),
        trend_cell(&points),
        Cell::Text(piece(format!("{:>4}", view.age.to_string()), Meaning::Dim)),
        Cell::Text(reason_piece(view)),
    ]
}
