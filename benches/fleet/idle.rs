//! What the program costs when nobody presses a key: the own machine at its default cadence.

use std::io;
use std::time::Duration;

use portable_pty::CommandBuilder;

use super::rig::{Rig, Screen};
use super::{cpu, verdict};

/// As `bottom` was measured on the machine that the goals come from, percent of a core.
const BOTTOM_THERE: f64 = 0.6;
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// bottom's own interval, as long as Dogwatch's.
const BOTTOM_RATE: &str = "10s";

pub fn measure(rig: &Rig, window: Duration) -> io::Result<()> {
    let screen = own_machine(rig)?;
    let [share] = shares([&screen], window);
    println!(
        "\nidle, own machine, {} s: {share:.2} % of a core (goal ≤ {BOTTOM_THERE} {})",
        window.as_secs(),
        verdict(share <= BOTTOM_THERE)
    );
    Ok(())
}

/// Both in the same minutes on the same machine, each on a terminal of 200×50, children counted.
pub fn beside_bottom(rig: &Rig, window: Duration) -> io::Result<()> {
    let bottom = std::env::var("DOGWATCH_BENCH_BOTTOM").unwrap_or_else(|_| "btm".to_owned());
    let mut command = CommandBuilder::new(&bottom);
    command.args(["--rate", BOTTOM_RATE]);
    let (own, bottom) = (own_machine(rig)?, Screen::start(command)?);
    let [own_share, bottom_share] = shares([&own, &bottom], window);
    println!("\nbeside bottom, own machine each 10 s, {} s, 200×50, children counted", window.as_secs());
    println!("dogwatch: {own_share:.2} % of a core, {:.0} MB", cpu::rss_mb(own.pid()));
    println!("bottom:   {bottom_share:.2} % of a core, {:.0} MB", cpu::rss_mb(bottom.pid()));
    println!("goal: no more than bottom {}", verdict(own_share <= bottom_share));
    Ok(())
}

fn own_machine(rig: &Rig) -> io::Result<Screen> {
    std::fs::write(rig.path("hosts-own.toml"), "[host.own-machine]\nlocal = true\n")?;
    let screen = rig.screen(&rig.path("hosts-own.toml"), "state-idle")?;
    screen.wait(Duration::from_secs(30), |seen| seen.all_answered)?;
    Ok(screen)
}

/// Percent of a core that each program and its children take.
fn shares<const COUNT: usize>(screens: [&Screen; COUNT], window: Duration) -> [f64; COUNT] {
    std::thread::sleep(SETTLED_AFTER);
    let before = screens.map(|screen| cpu::tree(screen.pid(), &[]));
    std::thread::sleep(window);
    let mut shares = [0.0; COUNT];
    for ((share, screen), before) in shares.iter_mut().zip(screens).zip(before) {
        *share = (cpu::tree(screen.pid(), &[]) - before).as_secs_f64() * 100.0 / window.as_secs_f64();
    }
    shares
}
