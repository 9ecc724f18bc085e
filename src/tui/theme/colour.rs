//! Colours, and what becomes of them on a terminal that has fewer.

use palette::color_difference::Ciede2000;
use palette::convert::FromColorUnclamped;
use palette::{Lab, LinSrgb, Srgb};
use ratatui::style::Color;

/// How many colours a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Sixteen,
    TwoHundredFiftySix,
    True,
}

impl Tier {
    /// By what the terminal says of itself in `COLORTERM` and `TERM`.
    pub fn of(colorterm: &str, term: &str) -> Self {
        match (colorterm, term) {
            ("truecolor" | "24bit", _) => Tier::True,
            (_, term) if term.contains("direct") => Tier::True,
            (_, term) if term.contains("256") => Tier::TwoHundredFiftySix,
            _ => Tier::Sixteen,
        }
    }
}

/// A colour of a theme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Colour {
    /// One of the terminal's own sixteen: what it looks like is the user's affair.
    Own(Color),
    /// Red, green and blue, and one of the sixteen for terminals that know no others.
    Known { rgb: [u8; 3], own: Option<Color> },
}

/// xterm's sixteen, for the nearest of them.
const OWN: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];
/// The steps of xterm's cube of 216 colours.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];
const CUBE_FIRST: u8 = 16;
const GREYS_FIRST: u8 = 232;
const GREYS: u8 = 24;

impl Colour {
    /// `red`, `#ff574e`, or `#ff574e red`.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_once(' ').map_or((text, None), |(first, second)| (first, Some(second)));
        match (first.strip_prefix('#'), second) {
            (None, None) => own_named(first).map(Colour::Own),
            (Some(hex), None) => Some(Colour::Known { rgb: parse_hex(hex)?, own: None }),
            (Some(hex), Some(name)) => Some(Colour::Known { rgb: parse_hex(hex)?, own: Some(own_named(name.trim())?) }),
            (None, Some(_)) => None,
        }
    }

    pub fn in_tier(self, tier: Tier) -> Color {
        match (self, tier) {
            (Colour::Own(colour), _) => colour,
            (Colour::Known { rgb: [red, green, blue], .. }, Tier::True) => Color::Rgb(red, green, blue),
            (Colour::Known { rgb, .. }, Tier::TwoHundredFiftySix) => Color::Indexed(nearest_indexed(rgb)),
            (Colour::Known { own: Some(own), .. }, Tier::Sixteen) => own,
            (Colour::Known { rgb, own: None }, Tier::Sixteen) => nearest_own(rgb),
        }
    }

    /// Red, green and blue, where they are known.
    pub fn rgb(self) -> Option<[u8; 3]> {
        match self {
            Colour::Own(_) => None,
            Colour::Known { rgb, .. } => Some(rgb),
        }
    }
}

fn parse_hex(hex: &str) -> Option<[u8; 3]> {
    if hex.len() != 6 || !hex.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
    Some([byte(0)?, byte(2)?, byte(4)?])
}

fn own_named(name: &str) -> Option<Color> {
    let named = match name {
        "black" => Color::Black,
        "red" => Color::Red,
        "green" => Color::Green,
        "yellow" => Color::Yellow,
        "blue" => Color::Blue,
        "magenta" => Color::Magenta,
        "cyan" => Color::Cyan,
        "white" => Color::Gray,
        "bright-black" => Color::DarkGray,
        "bright-red" => Color::LightRed,
        "bright-green" => Color::LightGreen,
        "bright-yellow" => Color::LightYellow,
        "bright-blue" => Color::LightBlue,
        "bright-magenta" => Color::LightMagenta,
        "bright-cyan" => Color::LightCyan,
        "bright-white" => Color::White,
        "default" => Color::Reset,
        _ => return None,
    };
    Some(named)
}

/// The names that [`Colour::parse`] knows, for messages.
pub const OWN_NAMES: &str =
    "black, red, green, yellow, blue, magenta, cyan, white, each with bright- before it, or default";

/// A colour as the eye compares it.
pub fn lab(rgb: [u8; 3]) -> Lab {
    Lab::from_color_unclamped(linear(rgb))
}

pub fn linear(rgb: [u8; 3]) -> LinSrgb {
    Srgb::from(rgb).into_linear()
}

fn distance(a: [u8; 3], b: [u8; 3]) -> f32 {
    lab(a).difference(lab(b))
}

fn nearest_own(rgb: [u8; 3]) -> Color {
    let nearest = OWN.iter().min_by(|a, b| distance(a.1, rgb).total_cmp(&distance(b.1, rgb)));
    nearest.map_or(Color::Reset, |(colour, _)| *colour)
}

fn nearest_indexed(rgb: [u8; 3]) -> u8 {
    let cube = (0..216_u8).map(|index| {
        let [red, green, blue] = [index / 36, index / 6 % 6, index % 6].map(|step| CUBE[usize::from(step)]);
        (CUBE_FIRST + index, [red, green, blue])
    });
    let greys = (0..GREYS).map(|index| (GREYS_FIRST + index, [8 + 10 * index; 3]));
    let nearest = cube.chain(greys).min_by(|a, b| distance(a.1, rgb).total_cmp(&distance(b.1, rgb)));
    nearest.map_or(CUBE_FIRST, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_the_colours_it_has() {
        let red = Colour::parse("#ff574e red");
        let in_tier = |tier| red.map(|red| red.in_tier(tier));
        assert_eq!(in_tier(Tier::True), Some(Color::Rgb(255, 87, 78)));
        assert_eq!(in_tier(Tier::TwoHundredFiftySix), Some(Color::Indexed(203)));
        assert_eq!(in_tier(Tier::Sixteen), Some(Color::Red));
    }

    #[test]
    fn a_colour_without_a_second_word_gets_the_nearest_of_the_sixteen() {
        assert_eq!(Colour::parse("#00c800").map(|green| green.in_tier(Tier::Sixteen)), Some(Color::Green));
    }

    #[test]
    fn what_is_no_colour_is_none() {
        for text in ["", "#12", "#12345é", "reddish", "red red", "#ff0000 reddish"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_terminal_says_what_it_has() {
        assert_eq!(Tier::of("truecolor", "xterm"), Tier::True);
        assert_eq!(Tier::of("", "xterm-256color"), Tier::TwoHundredFiftySix);
        assert_eq!(Tier::of("", "linux"), Tier::Sixteen);
    }
}
