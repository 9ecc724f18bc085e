//! What only hours show: samples on time under load, and nothing that grows.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::keys::key_to_paint;
use super::rig::{Rig, Simulated};
use super::{cpu, ms, verdict};

const LOAD_HOSTS: usize = 500;
const LOAD_CADENCE_S: u64 = 30;
const SOAK_HOSTS: usize = 50;
const WARM_UP: Duration = Duration::from_secs(300);
const KEY_EVERY: Duration = Duration::from_secs(1);

/// 500 hosts each 30 s: at least 99.9 % of the samples come, and a key is painted within 50 ms in 99 of 100 cases.
pub fn load(rig: &Rig, simulated: &Simulated, minutes: u64) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", LOAD_HOSTS, &format!("{LOAD_CADENCE_S}s"))?;
    let mut screen = rig.screen(&hosts, "state-load")?;
    screen.wait(Duration::from_secs(120), |seen| seen.all_answered)?;
    std::thread::sleep(Duration::from_secs(60));
    simulated.figures()?;
    let (began, end) = (Instant::now(), Duration::from_secs(minutes * 60));
    let mut paints = Vec::new();
    while began.elapsed() < end {
        paints.push(key_to_paint(&mut screen, if paints.len() % 2 == 0 { "j" } else { "k" })?);
        std::thread::sleep(KEY_EVERY);
    }
    let expected = LOAD_HOSTS as f64 * began.elapsed().as_secs_f64() / LOAD_CADENCE_S as f64;
    let share = simulated.figures()?.polls as f64 * 100.0 / expected;
    paints.sort_unstable();
    let p99 = paints[(paints.len() * 99 / 100).min(paints.len() - 1)];
    println!(
        "{LOAD_HOSTS} hosts each {LOAD_CADENCE_S} s, {minutes} min: {share:.2} % of the samples came (goal ≥ 99.9 {})",
        verdict(99.9 <= share)
    );
    println!(
        "key to paint: p99 {:.1} ms of {} keys (goal < 50 {})",
        ms(p99),
        paints.len(),
        verdict(p99 < Duration::from_millis(50))
    );
    Ok(())
}

/// 50 hosts each 10 s: memory grows by less than 5 % after the first five minutes, and no descriptor is left open.
pub fn soak(rig: &Rig, minutes: u64) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", SOAK_HOSTS, "10s")?;
    let screen = rig.screen(&hosts, "state-soak")?;
    screen.wait(Duration::from_secs(60), |seen| seen.all_answered)?;
    std::thread::sleep(WARM_UP);
    let (rss, fds) = (cpu::rss_mb(screen.pid()), descriptors(screen.pid())?);
    std::thread::sleep(Duration::from_secs(minutes * 60));
    let (rss_after, fds_after) = (cpu::rss_mb(screen.pid()), descriptors(screen.pid())?);
    let growth = (rss_after - rss) * 100.0 / rss;
    println!(
        "{SOAK_HOSTS} hosts each 10 s, {minutes} min: memory {rss:.1} → {rss_after:.1} MB, {growth:.1} % (goal < 5 {})",
        verdict(growth < 5.0)
    );
    println!("descriptors: {fds} → {fds_after} (goal: none more {})", verdict(fds_after <= fds));
    Ok(())
}

fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
