//! Draws a [`ChartView`]: no clock, no decisions.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};
use unicode_width::UnicodeWidthStr;

use super::chart::ChartView;
use super::draw::line;
use crate::tui::theme::{Meaning, Theme};

pub fn draw_chart(buffer: &mut Buffer, area: Rect, chart: &ChartView, theme: &Theme) {
    let row = |y: u16| Rect { y: area.y + y, height: 1, ..area }.intersection(area);
    line(buffer, row(0), &chart.title, theme);
    if chart.runs.is_empty() {
        for (y, event) in (2..).zip(&chart.events) {
            line(buffer, row(y), event, theme);
        }
        return;
    }
    let labels = chart.y_labels.iter().map(|label| label.width()).max().unwrap_or(0) as u16;
    // As ratatui lays it out: the labels, then the axis, then the curve.
    let left = area.x + labels + 1;
    let width = area.right().saturating_sub(left);
    for (at, mark) in &chart.marks {
        let along = (at - chart.x[0]) / (chart.x[1] - chart.x[0]).max(1.0);
        if (0.0..=1.0).contains(&along) && 0 < width {
            let x = left + (along * f64::from(width - 1)).round() as u16;
            buffer.set_stringn(x, area.y + 1, &mark.text, 1, theme.style(mark.meaning));
        }
    }
    let style = theme.style(Meaning::Trend);
    let dim = theme.style(Meaning::Dim);
    let marker = theme.glyphs().marker();
    let datasets = chart.runs.iter().map(|run| {
        // A single reading between two gaps has no line.
        let kind = if run.len() == 1 { GraphType::Scatter } else { GraphType::Line };
        Dataset::default().marker(marker).graph_type(kind).style(style).data(run)
    });
    let below = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area }.intersection(area);
    Chart::new(datasets.collect())
        .x_axis(axis(chart.x, &chart.x_labels, dim))
        .y_axis(axis(chart.y, &chart.y_labels, dim))
        .style(theme.style(Meaning::Plain))
        .legend_position(None)
        .render(below, buffer);
}

fn axis(bounds: [f64; 2], labels: &[String], style: Style) -> Axis<'_> {
    Axis::default().bounds(bounds).labels(labels.iter().map(|label| Line::from(label.as_str()))).style(style)
}
