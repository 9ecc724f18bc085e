//! The one door through which a host's bytes become text for people.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_width::UnicodeWidthChar;

/// Longest text kept from one remote value, in characters; the rest is cut and the cut is shown as `…`.
pub const SAFE_TEXT_CHARS_MAX: usize = 1_000;
/// A base character keeps this many combining marks; further ones are escaped, so that no stack of marks paints over other rows.
const COMBINING_MARKS_MAX: u32 = 2;
const TAB_WIDTH: usize = 8;

/// Text from outside that is safe to show anywhere: no control, no bidirectional override, no zero-width character is left in it.
///
/// What was unsafe is still there, visibly: ESC as `␛`, U+202E as `⟨202E⟩`, an invalid byte as `⟨xFF⟩`.
/// It is for people only and never goes back to a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeText(Arc<str>);

impl SafeText {
    /// Escapes remote bytes, keeping at most [`SAFE_TEXT_CHARS_MAX`] characters.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_bytes_capped(bytes, SAFE_TEXT_CHARS_MAX)
    }

    /// Escapes remote bytes, keeping at most `chars_max` characters of the result.
    pub fn from_bytes_capped(bytes: &[u8], chars_max: usize) -> Self {
        let is_plain = |bytes: &[u8]| bytes.len() <= chars_max && bytes.iter().all(|b| matches!(b, b' '..=b'~'));
        if let Some(text) = Some(bytes).filter(|bytes| is_plain(bytes)).and_then(|bytes| str::from_utf8(bytes).ok()) {
            return Self(text.into());
        }
        // Four bytes are the longest UTF-8 sequence: nothing past this prefix can reach the result.
        let prefix = &bytes[..bytes.len().min(chars_max.saturating_mul(4).saturating_add(4))];
        let mut escaped = Escaper::new(chars_max, prefix.len());
        for chunk in prefix.utf8_chunks() {
            chunk.valid().chars().for_each(|c| escaped.push(c));
            chunk.invalid().iter().for_each(|b| escaped.push_str(&format!("⟨x{b:02X}⟩")));
        }
        let cut = prefix.len() < bytes.len();
        escaped.finish(cut)
    }

    /// Escapes text that came from a remote side or a file.
    pub fn new(text: &str) -> Self {
        Self::from_bytes(text.as_bytes())
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

struct Escaper {
    out: String,
    chars: usize,
    chars_max: usize,
    marks: u32,
    full: bool,
}

impl Escaper {
    fn new(chars_max: usize, bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), chars: 0, chars_max, marks: 0, full: false }
    }

    fn push(&mut self, c: char) {
        match c {
            '\t' => {
                let spaces = TAB_WIDTH - self.chars % TAB_WIDTH;
                (0..spaces).for_each(|_| self.put(' '));
            }
            '\0'..='\x1f' => self.put(control_picture(c as u32)),
            '\x7f' => self.put('␡'),
            _ if is_hidden(c) => self.push_str(&format!("⟨{:04X}⟩", c as u32)),
            _ if c.width() == Some(0) => {
                self.marks += 1;
                if self.marks <= COMBINING_MARKS_MAX && !self.out.is_empty() {
                    self.put_keeping_marks(c);
                } else {
                    self.push_str(&format!("⟨{:04X}⟩", c as u32));
                }
            }
            _ => self.put(c),
        }
    }

    fn push_str(&mut self, text: &str) {
        let marks = self.marks;
        text.chars().for_each(|c| self.put(c));
        self.marks = marks;
    }

    fn put(&mut self, c: char) {
        self.marks = 0;
        self.put_keeping_marks(c);
    }

    fn put_keeping_marks(&mut self, c: char) {
        if self.chars < self.chars_max {
            self.out.push(c);
            self.chars += 1;
        } else {
            self.full = true;
        }
    }

    fn finish(mut self, cut: bool) -> SafeText {
        if cut || self.full {
            self.out.push('…');
        }
        SafeText(self.out.into())
    }
}

fn control_picture(code: u32) -> char {
    char::from_u32(0x2400 + code).unwrap_or('␀')
}

/// Characters that a terminal or a reader would obey or overlook: C1 controls, bidirectional controls, zero-width and
/// other default-ignorable characters, line separators, tags, and the interlinear annotation marks.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for SafeText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Serialize for SafeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Escapes again: a store that somebody wrote by hand must not reach the terminal either.
impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::from_bytes_capped(text.as_bytes(), SAFE_TEXT_CHARS_MAX + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &[u8], expected: &str) {
        assert_eq!(SafeText::from_bytes(input).as_str(), expected);
    }

    #[test]
    fn plain_text_is_unchanged() {
        check("grün 磁盘 ok".as_bytes(), "grün 磁盘 ok");
    }

    #[test]
    fn an_osc_52_sequence_is_shown_and_not_obeyed() {
        check(b"\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇");
    }

    #[test]
    fn a_csi_and_a_carriage_return_and_a_backspace_are_shown() {
        check(b"a\x1b[31mb\rc\x08d\0e", "a␛[31mb␍c␈d␀e");
    }

    #[test]
    fn a_c1_control_is_shown_by_its_code() {
        check("a\u{9b}31m".as_bytes(), "a⟨009B⟩31m");
    }

    #[test]
    fn bidirectional_and_zero_width_characters_are_shown_by_code() {
        check("a\u{202e}b\u{200b}c\u{feff}d".as_bytes(), "a⟨202E⟩b⟨200B⟩c⟨FEFF⟩d");
    }

    #[test]
    fn tabs_are_expanded_to_the_next_column_of_eight() {
        check(b"ab\tc", "ab      c");
    }

    #[test]
    fn invalid_utf8_is_shown_byte_by_byte() {
        check(b"a\xff\xfeb", "a⟨xFF⟩⟨xFE⟩b");
    }

    #[test]
    fn the_third_combining_mark_on_a_character_is_escaped() {
        check("e\u{301}\u{302}\u{303}".as_bytes(), "e\u{301}\u{302}⟨0303⟩");
    }

    #[test]
    fn a_ten_megabyte_line_is_cut_and_says_so() {
        let text = SafeText::from_bytes(&vec![b'x'; 10_000_000]);
        assert_eq!(text.as_str().chars().count(), SAFE_TEXT_CHARS_MAX + 1);
        assert!(text.as_str().ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_input_yields_a_control_or_hidden_character(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let text = SafeText::from_bytes(&bytes);
            prop_assert!(text.as_str().chars().all(|c| !c.is_control() && !is_hidden(c)));
        }

        #[test]
        fn escaping_twice_changes_nothing(text in "\\PC{0,80}") {
            let once = SafeText::new(&text);
            prop_assert_eq!(SafeText::new(once.as_str()), once);
        }
    }
}
