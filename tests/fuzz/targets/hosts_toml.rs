#![no_main]
//! Any hosts.toml is a configuration or a list of problems with their places.

use dogwatch::config::parse;
use dogwatch::domain::fleet::HostName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let own = HostName::parse("own").expect("a plain name");
    if let Err(error) = parse("hosts.toml", text, &own) {
        assert!(!error.0.is_empty());
    }
});
