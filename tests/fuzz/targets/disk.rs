#![no_main]
//! Mounts, stat's and every df's output.

use dogwatch::domain::probe::disk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    let Ok(reading) = disk::parse(output) else { return };
    for usage in reading.filesystems.iter().filter_map(|filesystem| filesystem.usage) {
        assert!((0.0..=100.0).contains(&usage.used_percent()));
    }
});
