//! How long a key takes to the terminal while a large fleet is polled.

use std::io;
use std::time::{Duration, Instant};

use super::rig::{Rig, Screen};
use super::{FLEET_HOSTS, ms, verdict};

const KEYS: usize = 600;
const KEY_EVERY: Duration = Duration::from_millis(100);
const SETTLED_AFTER: Duration = Duration::from_secs(30);
const PAINT_WITHIN: Duration = Duration::from_secs(2);
const P99_MAX: Duration = Duration::from_millis(16);

/// A thousand hosts each 10 s, and keys up and down: at most 16 ms in 99 of 100 cases.
pub fn measure(rig: &Rig) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", FLEET_HOSTS, "10s")?;
    let mut screen = rig.screen(&hosts, "state-keys")?;
    screen.wait(Duration::from_secs(120), |seen| seen.all_answered)?;
    std::thread::sleep(SETTLED_AFTER);
    let mut paints = Vec::with_capacity(KEYS);
    for key in ["j", "k"].into_iter().cycle().take(KEYS) {
        paints.push(key_to_paint(&mut screen, key)?);
        std::thread::sleep(KEY_EVERY);
    }
    paints.sort_unstable();
    let (p50, p99, most) = (paints[KEYS / 2], paints[KEYS * 99 / 100], paints[KEYS - 1]);
    println!(
        "\nkey to paint, {FLEET_HOSTS} simulated hosts each 10 s, {KEYS} keys: p50 {:.1} ms, p99 {:.1} ms (goal ≤ {:.0} {}), most {:.1} ms",
        ms(p50),
        ms(p99),
        ms(P99_MAX),
        verdict(p99 <= P99_MAX),
        ms(most)
    );
    Ok(())
}

/// Presses a key that changes the screen, and waits for the write that follows.
pub fn key_to_paint(screen: &mut Screen, key: &str) -> io::Result<Duration> {
    let painted = |screen: &Screen| screen.seen.lock().map_or(0, |seen| seen.writes.len());
    let before = painted(screen);
    let pressed = Instant::now();
    screen.press(key)?;
    while painted(screen) == before {
        if PAINT_WITHIN < pressed.elapsed() {
            return Err(io::Error::other("a key was never painted"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(pressed.elapsed())
}
