#![no_main]
//! A scenario is one, or an error that names what is wrong; and what it prints is bounded.

use std::time::Duration;

use dogwatch::adapters::scenario::{Offsets, Scenario};
use dogwatch::domain::probe::ProbeId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok((scenario, config)) = Scenario::parse("scenario.toml", text) else { return };
    for host in config.fleet.hosts.iter().take(4) {
        for at in [Duration::ZERO, scenario.step, scenario.lasts] {
            for probe in [ProbeId::Disk, ProbeId::Logs, ProbeId::Cron] {
                let _ = scenario.parts(&host.name, &probe, at, &Offsets::new());
            }
        }
    }
});
