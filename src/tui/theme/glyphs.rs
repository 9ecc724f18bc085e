//! What a terminal can show: braille, blocks, or nothing beyond ASCII. Every sign has its stand-in.

use ratatui::buffer::Buffer;
use ratatui::symbols::Marker;

/// Signs that a terminal's font and encoding have, the richest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    #[default]
    Braille,
    /// The Linux console: blocks and Latin letters.
    Block,
    Ascii,
}

const BRAILLE_FIRST: char = '\u{2800}';
const BRAILLE_LAST: char = '\u{28ff}';

/// Stand-ins on the Linux console.
const BLOCK: [(char, &str); 4] = [('✖', "×"), ('…', "."), ('▏', "|"), ('‐', "-")];
/// Stand-ins in ASCII. The steps of a sparkline go from low to high.
const ASCII: [(char, &str); 49] = [
    ('“', "\""),
    ('”', "\""),
    ('✖', "X"),
    ('▲', "!"),
    ('●', "+"),
    ('·', "."),
    ('…', ">"),
    ('•', "*"),
    ('×', "x"),
    ('≥', ">"),
    ('–', "-"),
    ('—', "-"),
    ('«', "\""),
    ('»', "\""),
    ('↑', "^"),
    ('↓', "v"),
    ('←', "<"),
    ('→', ">"),
    ('±', "~"),
    ('▏', "|"),
    ('▁', "_"),
    ('▂', "."),
    ('▃', ":"),
    ('▄', "-"),
    ('▅', "="),
    ('▆', "+"),
    ('▇', "*"),
    ('█', "#"),
    ('▀', "\""),
    ('▐', "#"),
    ('▌', "#"),
    ('▖', "."),
    ('▗', "."),
    ('▘', "'"),
    ('▝', "'"),
    ('▙', "#"),
    ('▛', "#"),
    ('▜', "#"),
    ('▟', "#"),
    ('▚', "\\"),
    ('▞', "/"),
    ('│', "|"),
    ('─', "-"),
    ('┌', "+"),
    ('┐', "+"),
    ('└', "+"),
    ('┘', "+"),
    ('␛', "^"),
    ('⟨', "<"),
];

impl Glyphs {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "braille" => Some(Glyphs::Braille),
            "block" => Some(Glyphs::Block),
            "ascii" => Some(Glyphs::Ascii),
            _ => None,
        }
    }

    /// By what the environment says of the encoding, the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set, and of the
    /// terminal. Where none is set nobody has said that UTF-8 won't do.
    pub fn of(locale: Option<&str>, term: &str) -> Self {
        let locale = locale.map(str::to_ascii_lowercase);
        let is_utf8 = locale.is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"));
        match (is_utf8, term) {
            (false, _) => Glyphs::Ascii,
            (true, "linux" | "linux-16color") => Glyphs::Block,
            (true, _) => Glyphs::Braille,
        }
    }

    /// What a curve is drawn with.
    pub fn marker(self) -> Marker {
        match self {
            Glyphs::Braille => Marker::Braille,
            Glyphs::Block => Marker::HalfBlock,
            Glyphs::Ascii => Marker::Custom('*'),
        }
    }

    /// Replaces what can't be shown. A host's own text loses what has no stand-in to `?`.
    pub fn lower(self, buffer: &mut Buffer) {
        if self == Glyphs::Braille {
            return;
        }
        for cell in &mut buffer.content {
            if !cell.symbol().is_ascii()
                && let Some(shown) = self.stand_in(cell.symbol())
            {
                cell.set_symbol(shown);
            }
        }
    }

    fn stand_in(self, symbol: &str) -> Option<&'static str> {
        let first = symbol.chars().next()?;
        let found = |table: &'static [(char, &'static str)]| table.iter().find(|(from, _)| *from == first);
        match self {
            Glyphs::Braille => None,
            Glyphs::Block if (BRAILLE_FIRST..=BRAILLE_LAST).contains(&first) => Some("▪"),
            Glyphs::Block => found(&BLOCK).map(|(_, to)| *to),
            Glyphs::Ascii => Some(found(&ASCII).map_or("?", |(_, to)| *to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn the_terminal_decides() {
        assert_eq!(Glyphs::of(Some("C"), "xterm"), Glyphs::Ascii);
        assert_eq!(Glyphs::of(Some("de_DE.ISO-8859-1"), "xterm"), Glyphs::Ascii);
        assert_eq!(Glyphs::of(Some("C.utf8"), "xterm"), Glyphs::Braille);
        assert_eq!(Glyphs::of(Some("en_US.UTF-8"), "linux"), Glyphs::Block);
        assert_eq!(Glyphs::of(None, "xterm-256color"), Glyphs::Braille);
    }

    #[test]
    fn in_ascii_nothing_else_is_left_and_the_statuses_stay_apart() {
        let text = "✖▲?●~ ▁▂▃▄▅▆▇█ … ⠉ 日本 é";
        let mut buffer = Buffer::with_lines([text]);
        Glyphs::Ascii.lower(&mut buffer);
        let shown: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert!(shown.is_ascii(), "{shown}");
        assert!(shown.starts_with("X!?+~ _.:-=+*# > ? "), "{shown}");
    }

    #[test]
    fn blocks_are_left_to_a_console_and_braille_is_not() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        buffer.set_string(0, 0, "✖▆⠉é", ratatui::style::Style::new());
        Glyphs::Block.lower(&mut buffer);
        let shown: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(shown, "×▆▪é");
    }
}
