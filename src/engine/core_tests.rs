//! The core alone: reports in, the board out.

use std::sync::Arc;

use super::*;
use crate::config;
use crate::domain::probe::disk::{Filesystem, SlowMount, Usage};
use crate::domain::probe::slow_mount::SlowMountReading;
use crate::domain::text::SafeText;
use crate::domain::time::at;

fn host() -> HostName {
    HostName::parse("me").unwrap_or_else(|error| panic!("{error}"))
}

/// The engine over this machine, with what `[host.me]` says more.
fn core(more: &str) -> Core {
    let mut core = Core::new(Board::default(), Publisher::default());
    core.watch(&configuration(more), at(0));
    core
}

fn configuration(more: &str) -> Config {
    let text = format!("[host.me]\nlocal = true\nattempts = 1\n{more}");
    config::parse("hosts.toml", &text, &host()).unwrap_or_else(|error| panic!("{error}"))
}

fn filesystem(mount: &str, percent: u64) -> Filesystem {
    let usage = Usage {
        size_bytes: 100 << 30,
        used_bytes: percent << 30,
        available_bytes: (100 - percent) << 30,
        inodes: 0,
        inodes_used: 0,
    };
    Filesystem {
        mount: mount.into(),
        source: "server:/export".into(),
        kind: "nfs4".into(),
        read_only: false,
        read_only_in_fstab: false,
        usage: Some(usage),
    }
}

/// Local file systems, and network mounts that only the slow lane touches.
fn disk(local: &[&str], slow: &[&str]) -> Reading {
    let slow_mounts = slow.iter().map(|mount| SlowMount {
        mount: (*mount).into(),
        kind: "nfs4".into(),
        source: "server:/export".into(),
        read_only: false,
        read_only_in_fstab: false,
        device: (0, 40),
    });
    let filesystems = local.iter().map(|mount| filesystem(mount, 40)).collect();
    Reading::Disk(DiskReading { filesystems, slow_mounts: slow_mounts.collect(), ..DiskReading::default() }.into())
}

fn poll(core: &mut Core, second: i64, probe: ProbeId, outcome: Result<Reading, SafeText>) {
    let lane = probe.lane();
    let outcomes = vec![(probe, outcome)];
    let polled =
        Polled { host: host(), lane, sent: at(second), received: at(second), outcomes, cost: None, cursors: None };
    core.absorb(Report::Polled(polled), at(second));
}

fn mounted(core: &mut Core, second: i64, mount: &str) {
    let reading = Reading::SlowMount(SlowMountReading { filesystem: filesystem(mount, 40) });
    poll(core, second, ProbeId::SlowMount(mount.into()), Ok(reading));
}

/// A check's reason and the probe that tells of it.
fn told(core: &Core, id: &str) -> Option<String> {
    let id: CheckId = id.parse().unwrap_or_else(|error| panic!("{error}"));
    let cell = core.board().hosts[&host()].checks.get(&id)?;
    Some(format!("{} by {}", cell.result.last().reason, cell.probe))
}

const DAY_S: i64 = 24 * 3_600;

#[test]
fn a_network_mount_that_vanishes_is_told_for_a_day_and_then_forgotten() {
    let mut core = core("");
    poll(&mut core, 0, ProbeId::Disk, Ok(disk(&["/"], &["/mnt"])));
    mounted(&mut core, 1, "/mnt");
    let gone = || Some("no longer there: was it unmounted? by disk".to_owned());
    poll(&mut core, 10, ProbeId::Disk, Ok(disk(&["/"], &[])));
    assert_eq!(told(&core, "disk.space:/mnt"), gone());
    poll(&mut core, DAY_S - 10, ProbeId::Disk, Ok(disk(&["/"], &[])));
    assert_eq!(told(&core, "disk.space:/mnt"), gone());
    poll(&mut core, DAY_S + 20, ProbeId::Disk, Ok(disk(&["/"], &[])));
    assert_eq!(told(&core, "disk.space:/mnt"), None);
}

#[test]
fn a_network_mount_that_comes_back_is_told_by_its_own_probe_again() {
    let mut core = core("");
    poll(&mut core, 0, ProbeId::Disk, Ok(disk(&["/"], &["/mnt"])));
    mounted(&mut core, 1, "/mnt");
    poll(&mut core, 10, ProbeId::Disk, Ok(disk(&["/"], &[])));
    poll(&mut core, 20, ProbeId::Disk, Ok(disk(&["/"], &["/mnt"])));
    mounted(&mut core, 21, "/mnt");
    poll(&mut core, 30, ProbeId::Disk, Ok(disk(&["/"], &["/mnt"])));
    let told = told(&core, "disk.space:/mnt").unwrap_or_default();
    assert!(told.starts_with("40 % of /mnt") && told.ends_with("by mount:/mnt"), "{told}");
}

#[test]
fn a_probe_that_was_never_read_has_a_check_that_says_why_and_a_first_reading_takes_its_place() {
    let mut core = core("");
    poll(&mut core, 0, ProbeId::Disk, Err("no answer within the deadline".into()));
    assert_eq!(told(&core, "disk.space"), Some("no answer within the deadline by disk".to_owned()));
    poll(&mut core, 10, ProbeId::Disk, Ok(disk(&["/"], &[])));
    assert_eq!(told(&core, "disk.space"), None);
    poll(&mut core, 20, ProbeId::Disk, Err("no answer within the deadline".into()));
    assert!(told(&core, "disk.space:/").is_some_and(|told| told.starts_with("40 % of /")));
}

#[test]
fn checks_that_the_configuration_asks_for_no_more_are_forgotten() {
    let set = "[host.me.backup.nightly]\nkind = \"files\"\npath = \"/backup\"\npattern = \"*.tar\"\n";
    let mut core = core(set);
    let nightly = configuration(set).fleet.hosts[0].settings.backups[0].name.clone();
    poll(&mut core, 0, ProbeId::Backup(nightly), Err("no answer within the deadline".into()));
    assert!(told(&core, "backup.age:nightly").is_some());
    core.watch(&configuration(""), at(0));
    assert_eq!(told(&core, "backup.age:nightly"), None);
}

#[test]
fn what_a_killed_engine_left_keeps_its_status_through_the_next_one() {
    let mut first = core("");
    let mut full = disk(&[], &[]);
    if let Reading::Disk(disk) = &mut full {
        Arc::make_mut(disk).filesystems.push(filesystem("/", 96));
    }
    poll(&mut first, 0, ProbeId::Disk, Ok(full));
    let mut next = Core::new(first.into_board(), Publisher::default());
    next.watch(&configuration(""), at(0));
    // Below the limit by less than the three points that clear it.
    let mut still_full = disk(&[], &[]);
    if let Reading::Disk(disk) = &mut still_full {
        Arc::make_mut(disk).filesystems.push(filesystem("/", 93));
    }
    poll(&mut next, 60, ProbeId::Disk, Ok(still_full));
    let cells = &next.board().hosts[&host()].checks;
    let status = |id: &str| cells.iter().find(|(of, _)| of.to_string() == id).map(|(_, cell)| cell.state.status);
    assert_eq!(status("disk.space:/"), Some(Status::Critical));
}
