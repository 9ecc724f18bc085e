//! One frame as text, as text with colours, or as a picture.

use std::collections::BTreeMap;
use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

/// The size of a cell in a picture, in pixels, and where in it text stands.
const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 18.0;
const BASELINE: f64 = 13.5;
const FONT_SIZE: f64 = 14.0;
const MARGIN: f64 = 12.0;
const DOT_RADIUS: f64 = 1.3;
/// What a terminal without colours of its own looks like in a picture.
const GROUND: [u8; 3] = [0x11, 0x15, 0x1a];
const INK: [u8; 3] = [0xd8, 0xde, 0xe6];

/// In which form a frame is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Ansi,
    Svg,
}

/// Cells of one row that look alike.
struct Run {
    x: u16,
    width: u16,
    text: String,
    foreground: Color,
    background: Color,
    modifiers: Modifier,
}

pub fn picture(buffer: &Buffer, format: Format) -> String {
    match format {
        Format::Text => rows(buffer).map(|runs| plain(&runs)).collect(),
        Format::Ansi => rows(buffer).map(|runs| ansi(&runs)).collect(),
        Format::Svg => svg(buffer),
    }
}

fn rows(buffer: &Buffer) -> impl Iterator<Item = Vec<Run>> + '_ {
    let area = buffer.area;
    (area.top()..area.bottom()).map(move |y| {
        let mut runs: Vec<Run> = Vec::new();
        let mut covered_to = area.left();
        for x in area.left()..area.right() {
            let cell = &buffer[(x, y)];
            // The second cell of a wide character holds nothing of its own.
            if x < covered_to {
                continue;
            }
            let width = cell.symbol().width().max(1) as u16;
            covered_to = x + width;
            match runs.last_mut() {
                Some(run) if run.looks_like(cell) => {
                    run.text.push_str(cell.symbol());
                    run.width += width;
                }
                _ => runs.push(Run::new(x, width, cell)),
            }
        }
        runs
    })
}

impl Run {
    fn new(x: u16, width: u16, cell: &Cell) -> Self {
        let text = cell.symbol().to_owned();
        Self { x, width, text, foreground: cell.fg, background: cell.bg, modifiers: cell.modifier }
    }

    fn looks_like(&self, cell: &Cell) -> bool {
        (self.foreground, self.background, self.modifiers) == (cell.fg, cell.bg, cell.modifier)
    }
}

fn plain(runs: &[Run]) -> String {
    let line: String = runs.iter().map(|run| run.text.as_str()).collect();
    format!("{}\n", line.trim_end())
}

fn ansi(runs: &[Run]) -> String {
    let mut line = String::new();
    for run in runs {
        let mut codes = vec!["0".to_owned()];
        let modifiers = [
            (Modifier::BOLD, 1),
            (Modifier::DIM, 2),
            (Modifier::ITALIC, 3),
            (Modifier::UNDERLINED, 4),
            (Modifier::REVERSED, 7),
        ];
        let set = modifiers.iter().filter(|(modifier, _)| run.modifiers.contains(*modifier));
        codes.extend(set.map(|(_, code)| code.to_string()));
        codes.extend(colour_code(run.foreground, 30));
        codes.extend(colour_code(run.background, 40));
        // A string takes whatever is written to it.
        let _ = write!(line, "\x1b[{}m{}", codes.join(";"), run.text);
    }
    line + "\x1b[0m\n"
}

/// SGR's code of a colour; `base` is 30 for text and 40 for the ground.
fn colour_code(colour: Color, base: u8) -> Option<String> {
    if let Some(index) = own_index(colour) {
        let code = if index < 8 { base + index } else { base + 60 + index - 8 };
        return Some(code.to_string());
    }
    match colour {
        Color::Indexed(index) => Some(format!("{};5;{index}", base + 8)),
        Color::Rgb(red, green, blue) => Some(format!("{};2;{red};{green};{blue}", base + 8)),
        _ => None,
    }
}

fn own_index(colour: Color) -> Option<u8> {
    let own = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    own.iter().position(|known| *known == colour).and_then(|index| u8::try_from(index).ok())
}

/// The terminal's own sixteen as a picture shows them: bright enough to read on [`GROUND`].
const OWN_RGB: [[u8; 3]; 16] = [
    [0x11, 0x15, 0x1a],
    [0xff, 0x6b, 0x5e],
    [0x3b, 0xc4, 0x89],
    [0xf2, 0xc1, 0x4e],
    [0x6c, 0xa8, 0xff],
    [0xbe, 0xa2, 0xff],
    [0x5f, 0xb3, 0xd9],
    [0xd8, 0xde, 0xe6],
    [0x8a, 0x94, 0xa0],
    [0xff, 0x8a, 0x80],
    [0x5e, 0xe0, 0xa8],
    [0xff, 0xd8, 0x7a],
    [0x94, 0xc2, 0xff],
    [0xd4, 0xc2, 0xff],
    [0x8f, 0xd3, 0xf0],
    [0xff, 0xff, 0xff],
];

fn rgb(colour: Color, otherwise: [u8; 3]) -> [u8; 3] {
    match (colour, own_index(colour)) {
        (_, Some(index)) => OWN_RGB[usize::from(index)],
        (Color::Rgb(red, green, blue), None) => [red, green, blue],
        (_, None) => otherwise,
    }
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Halfway to the ground, as terminals show dim text.
fn dimmed(ink: [u8; 3], ground: [u8; 3]) -> [u8; 3] {
    let mix = |a: u8, b: u8| ((u16::from(a) * 5 + u16::from(b) * 3) / 8) as u8;
    [mix(ink[0], ground[0]), mix(ink[1], ground[1]), mix(ink[2], ground[2])]
}

fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (f64::from(buffer.area.width), f64::from(buffer.area.height));
    let (width, height) = (columns * CELL_WIDTH + 2.0 * MARGIN, lines * CELL_HEIGHT + 2.0 * MARGIN);
    let ground = page(buffer);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"{FONT_SIZE}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{}\"/>\n",
        hex(ground)
    );
    for (index, runs) in rows(buffer).enumerate() {
        let y = MARGIN + index as f64 * CELL_HEIGHT;
        for run in &runs {
            svg_run(&mut out, run, y, ground);
        }
    }
    out + "</svg>\n"
}

/// What most of the frame lies on.
fn page(buffer: &Buffer) -> [u8; 3] {
    let mut counts: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    for cell in &buffer.content {
        *counts.entry(rgb(cell.bg, GROUND)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(GROUND, |(ground, _)| ground)
}

/// Bars and braille as shapes: fonts differ in how they draw them, and join them seldom. True where a run was all of them.
fn svg_shapes(out: &mut String, run: &Run, y: f64, ink: [u8; 3]) -> bool {
    let is_shape = |c: char| c == ' ' || bar_height(c).is_some() || braille_dots(c).is_some();
    if !run.text.chars().all(is_shape) {
        return false;
    }
    let ink = hex(ink);
    for (index, c) in (0_u16..).zip(run.text.chars()) {
        let x = MARGIN + f64::from(run.x + index) * CELL_WIDTH;
        if let Some(height) = bar_height(c) {
            let top = y + CELL_HEIGHT - height;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{top:.2}\" width=\"{CELL_WIDTH}\" height=\"{height:.2}\" fill=\"{ink}\"/>"
            );
        }
        for (column, row) in braille_dots(c).into_iter().flatten() {
            let (dot_x, dot_y) = (x + (column + 0.5) * CELL_WIDTH / 2.0, y + (row + 0.5) * CELL_HEIGHT / 4.0);
            let _ = writeln!(out, "<circle cx=\"{dot_x:.1}\" cy=\"{dot_y:.2}\" r=\"{DOT_RADIUS}\" fill=\"{ink}\"/>");
        }
    }
    true
}

/// The height of one of the eight bars of a sparkline, in pixels.
fn bar_height(c: char) -> Option<f64> {
    let eighths = ('▁'..='█').contains(&c).then(|| u32::from(c) - u32::from('▁') + 1)?;
    Some(f64::from(eighths) * CELL_HEIGHT / 8.0)
}

/// Columns and rows of a braille character's dots; Unicode numbers them down the left, down the right, then the last row.
fn braille_dots(c: char) -> Option<Vec<(f64, f64)>> {
    const PLACES: [(f64, f64); 8] =
        [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (1.0, 1.0), (1.0, 2.0), (0.0, 3.0), (1.0, 3.0)];
    let bits = u32::from(c).checked_sub(0x2800).filter(|bits| *bits < 0x100)?;
    Some(PLACES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, place)| *place).collect())
}

fn svg_run(out: &mut String, run: &Run, y: f64, page: [u8; 3]) {
    let mut ground = rgb(run.background, page);
    let mut ink = rgb(run.foreground, INK);
    if run.modifiers.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ground, &mut ink);
    }
    if run.modifiers.contains(Modifier::DIM) {
        ink = dimmed(ink, ground);
    }
    let x = MARGIN + f64::from(run.x) * CELL_WIDTH;
    let width = f64::from(run.width) * CELL_WIDTH;
    if ground != page {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{}\"/>",
            hex(ground)
        );
    }
    if run.text.trim().is_empty() || svg_shapes(out, run, y, ink) {
        return;
    }
    let bold = if run.modifiers.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let italic = if run.modifiers.contains(Modifier::ITALIC) { " font-style=\"italic\"" } else { "" };
    let underlined = if run.modifiers.contains(Modifier::UNDERLINED) { " text-decoration=\"underline\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" \
         fill=\"{}\"{bold}{italic}{underlined}>{}</text>",
        y + BASELINE,
        hex(ink),
        escaped(&run.text)
    );
}

/// Nothing that a host said becomes markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn buffer(text: &str, style: Style) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, text, style);
        buffer
    }

    #[test]
    fn a_picture_is_text_with_its_colours() {
        let buffer = buffer("✖ full", Style::new().fg(Color::Red));
        assert_eq!(picture(&buffer, Format::Text), "✖ full\n");
        assert_eq!(picture(&buffer, Format::Ansi), "\x1b[0;31m✖ full\x1b[0m      \x1b[0m\n");
        assert!(picture(&buffer, Format::Svg).contains("fill=\"#ff6b5e\">✖ full</text>"));
    }

    #[test]
    fn markup_of_a_host_is_inert_in_a_picture() {
        let svg = picture(&buffer("</text><a&'", Style::new()), Format::Svg);
        assert!(svg.contains("&lt;/text&gt;&lt;a&amp;&#39;"), "{svg}");
    }

    #[test]
    fn a_wide_character_takes_its_two_cells_once() {
        assert_eq!(picture(&buffer("日本 x", Style::new()), Format::Text), "日本 x\n");
    }
}
