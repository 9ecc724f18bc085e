#![no_main]
//! Whatever `ssh -G` prints is settings or a named error.

use dogwatch::adapters::ssh_config::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse(text, "db1", None);
});
