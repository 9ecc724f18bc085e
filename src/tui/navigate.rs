//! From view to view, and from row to row.

use super::model::{Model, View};
use super::panes;

/// Views that Esc goes back through.
const CAME_FROM_MAX: usize = 16;

pub fn go(model: &mut Model, view: View) {
    if model.view != view {
        let before = std::mem::replace(&mut model.view, view);
        // A log that was left is not read any more.
        if model.came_from.len() < CAME_FROM_MAX && before != View::Log {
            model.came_from.push(before);
        }
        (model.row, model.scroll) = (0, 0);
    }
    if model.view == View::Fleet {
        model.came_from.clear();
    }
}

/// Esc undoes one thing at a time: the filter, then the view.
pub fn back(model: &mut Model) {
    if let (View::Log, Some(book)) = (&model.view, &mut model.log) {
        if book.include().is_some() || book.exclude().is_some() {
            // An empty pattern is always one.
            let _ = book.set_include("").and_then(|()| book.set_exclude(""));
            return;
        }
    } else if !model.filter.is_empty() {
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

pub fn open(model: &mut Model) {
    if let Some((host, job)) = panes::selected_job(model).filter(|_| !matches!(model.view, View::Job(..))) {
        model.selected_host = Some(host.clone());
        model.has_chosen = true;
        return go(model, View::Job(host, job));
    }
    let opened = match &model.view {
        View::Fleet => model.selected_host.clone(),
        View::Pane(_) => model.row_host.clone(),
        View::Host(_) | View::Job(..) | View::Ran | View::Log | View::Actions => None,
    };
    if let Some(host) = opened {
        model.selected_host = Some(host.clone());
        model.has_chosen = true;
        go(model, View::Host(host));
    }
}

/// Moves the selection: `to` is given the row, the rows of a page, and the last row.
pub fn step(model: &mut Model, rows: usize, to: impl Fn(usize, usize, usize) -> usize) {
    let last = rows.saturating_sub(1);
    let row = match (&model.view, &model.log) {
        (View::Fleet, _) => model.selected_index(),
        (View::Log, Some(book)) => book.row(),
        (View::Pane(_) | View::Host(_) | View::Job(..) | View::Ran | View::Log | View::Actions, _) => model.row,
    };
    select_row(model, to(row.min(last), model.page_rows.max(1), last));
}

pub fn select_row(model: &mut Model, row: usize) {
    match (&model.view, &mut model.log) {
        (View::Fleet, _) => {
            model.selected_host = model.order.get(row).cloned();
            model.has_chosen = true;
        }
        (View::Log, Some(book)) => book.select(row),
        (View::Pane(_) | View::Host(_) | View::Job(..) | View::Ran | View::Log | View::Actions, _) => model.row = row,
    }
}
