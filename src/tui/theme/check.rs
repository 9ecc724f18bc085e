//! Whether a theme can be read: by its contrast, and by how far apart its statuses are to every eye.

use palette::color_difference::{Ciede2000, Wcag21RelativeContrast};
use palette::convert::FromColorUnclamped;
use palette::{Lab, LinSrgb, Srgb};

use super::colour::{Colour, linear};
use super::{Role, Theme};

/// WCAG 2.1, 1.4.3: text against what lies below it.
pub const CONTRAST_MIN: f32 = 4.5;
/// CIEDE2000 between any two statuses.
pub const DISTANCE_MIN: f32 = 12.0;

const STATUSES: [Role; 4] = [Role::Ok, Role::Warning, Role::Critical, Role::Unknown];

/// What a selected row may hold.
const IN_ROWS: [Role; 9] = [
    Role::Plain,
    Role::Dim,
    Role::Title,
    Role::Match,
    Role::Trend,
    Role::Ok,
    Role::Warning,
    Role::Critical,
    Role::Unknown,
];

/// An eye, as what it makes of linear red, green and blue: Machado, Oliveira and Fernandes (2009), severity 1.
struct Eye {
    name: &'static str,
    matrix: [[f32; 3]; 3],
}

const EYES: [Eye; 4] = [
    Eye { name: "every eye", matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] },
    Eye {
        name: "protanopia",
        matrix: [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
    },
    Eye {
        name: "deuteranopia",
        matrix: [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    },
    Eye {
        name: "tritanopia",
        matrix: [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    },
];

impl Eye {
    fn sees(&self, rgb: [u8; 3]) -> Lab {
        let LinSrgb { red, green, blue, .. } = linear(rgb);
        let [red, green, blue] = self.matrix.map(|[r, g, b]| (r * red + g * green + b * blue).clamp(0.0, 1.0));
        Lab::from_color_unclamped(LinSrgb::new(red, green, blue))
    }
}

/// What is hard to read in a theme, a sentence each; colours that are the terminal's own can't be judged.
pub fn complaints(theme: &Theme) -> Vec<String> {
    let mut complaints = contrast_complaints(theme);
    for eye in &EYES {
        for (index, first) in STATUSES.iter().enumerate() {
            for second in &STATUSES[index + 1..] {
                let seen = |role: &Role| rgb(theme.look(*role).foreground).map(|rgb| eye.sees(rgb));
                let (Some(a), Some(b)) = (seen(first), seen(second)) else { continue };
                let distance = a.difference(b);
                if distance < DISTANCE_MIN {
                    complaints.push(format!(
                        "{first} and {second} are {distance:.1} apart to {}: at least {DISTANCE_MIN} are needed",
                        eye.name
                    ));
                }
            }
        }
    }
    complaints
}

/// Every role on its own background, and what stands in rows on the selection's too.
fn contrast_complaints(theme: &Theme) -> Vec<String> {
    let plain = theme.look(Role::Plain);
    let mut complaints = Vec::new();
    for role in Role::ALL {
        let look = theme.look(role);
        let Some(text) = rgb(look.foreground.or(plain.foreground)) else { continue };
        let own = look.background.or(plain.background);
        let selected = theme.look(Role::Selected).background.filter(|_| IN_ROWS.contains(&role));
        for (below, name) in [(own, "its background"), (selected, "the selection")] {
            let Some(below) = rgb(below) else { continue };
            let contrast = Srgb::from(text).into_format::<f32>().relative_contrast(Srgb::from(below).into_format());
            if contrast < CONTRAST_MIN {
                complaints.push(format!(
                    "{role} has a contrast of {contrast:.1} to {name}: at least {CONTRAST_MIN} is needed"
                ));
            }
        }
    }
    complaints
}

fn rgb(colour: Option<Colour>) -> Option<[u8; 3]> {
    colour.and_then(Colour::rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::file::Themes;

    #[test]
    fn every_built_in_theme_can_be_read_by_every_eye() {
        let themes = Themes::default();
        for name in themes.names() {
            let theme = themes.load(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(complaints(&theme), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn faint_text_and_statuses_alike_are_named() {
        let text = "inherits = 'dark'\n[palette]\nfaint = '#333333'\namber = '#4ec489'";
        let themes = Themes::new([("bad".to_owned(), text.to_owned())].into());
        let theme = themes.load("bad").unwrap_or_else(|error| panic!("{error}"));
        let said = complaints(&theme);
        assert!(said.iter().any(|said| said.starts_with("dim has a contrast of")), "{said:?}");
        assert!(said.iter().any(|said| said.starts_with("ok and warning are")), "{said:?}");
    }
}
