//! Text over several lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::screen::{Piece, piece};
use super::theme::Meaning;

/// Text over several lines, broken at spaces, and within words that are longer than a line; what does not fit into the last
/// one is cut with `…`.
pub fn wrapped(text: &str, width: usize, lines_max: usize) -> Vec<Vec<Piece>> {
    // A space before each line, and room for the mark.
    let room = width.saturating_sub(2).max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').flat_map(|word| pieces_of(word, room)) {
        let is_last = lines.len() == lines_max;
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if is_last => {
                line.push('…');
                break;
            }
            Some(_) | None if is_last => break,
            Some(_) | None => lines.push(format!(" {word}")),
        }
    }
    lines.into_iter().map(|line| vec![piece(line, Meaning::Plain)]).collect()
}

/// A word in pieces of at most `room` columns.
fn pieces_of(word: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut columns) = (0, 0);
    for (at, c) in word.char_indices() {
        let wide = c.width().unwrap_or(0);
        if room < columns + wide && start < at {
            pieces.push(&word[start..at]);
            (start, columns) = (at, 0);
        }
        columns += wide;
    }
    pieces.push(&word[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_longer_than_a_line_is_broken_within() {
        let shown = |lines: Vec<Vec<Piece>>| lines.into_iter().map(|line| line[0].text.clone()).collect::<Vec<_>>();
        assert_eq!(shown(wrapped("{\"a\":1,\"b\":22}", 8, 3)), [" {\"a\":1", " ,\"b\":2", " 2}"]);
        assert_eq!(shown(wrapped("日本日本", 6, 1)), [" 日本…"]);
    }

    #[test]
    fn a_long_reason_is_broken_at_spaces_and_cut_with_a_mark() {
        let shown = |lines: Vec<Vec<Piece>>| lines.into_iter().map(|line| line[0].text.clone()).collect::<Vec<_>>();
        assert_eq!(shown(wrapped("one two three four", 10, 3)), [" one two", " three", " four"]);
        assert_eq!(shown(wrapped("one two three four", 10, 2)), [" one two", " three…"]);
    }
}
