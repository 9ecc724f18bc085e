#![no_main]
//! A theme file is a theme, or an error that names what is wrong.

use std::collections::BTreeMap;

use dogwatch::tui::theme::check::complaints;
use dogwatch::tui::theme::file::Themes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let themes = Themes::new(BTreeMap::from([("own".to_owned(), text.to_owned())]));
    if let Ok(theme) = themes.load("own") {
        let _ = complaints(&theme);
    }
});
