//! The whole program against real and simulated fleets, beside what a sysadmin would use instead.
//!
//! `benches/run` installs the rivals and calls this in namespaces of its own. With `--quick` every window is a tenth.

mod cpu;
mod frames;
mod idle;
mod keys;
mod long;
mod records;
mod rig;
mod rivals;
mod simulated;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dogwatch::domain::probe::engine::Percentiles;
use dogwatch::domain::probe::{ProbeId, Reading};
use dogwatch::engine::follow::read_once;
use rig::{Rig, Screen, Simulated};
use rivals::Cost;

const RIVAL_HOSTS: usize = 100;
const FLEET_HOSTS: usize = 1_000;
const COLD_HOSTS: usize = 200;
const FIRST_DATA_HOSTS: usize = 50;
const CADENCE_S: u64 = 1;

/// How long is measured, after how long a warm-up.
struct Windows {
    rival: Duration,
    fleet: Duration,
    warm_up: Duration,
    idle: Duration,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port, place] => simulated::serve(port.parse().map_err(io::Error::other)?, Path::new(place)),
        [] => table(1),
        ["--quick"] => table(10),
        ["--frames"] => frames::measure(),
        ["--records"] => records::measure(),
        ["--fleet", minutes] => {
            let rig = prepared()?;
            let simulated = rig.simulated()?;
            let fleet = Duration::from_secs(60) * minutes.parse::<u32>().map_err(io::Error::other)?;
            whole_fleet(&rig, &simulated, &Windows { fleet, ..Windows::of(1) })
        }
        ["--keys"] => {
            let rig = prepared()?;
            let _simulated = rig.simulated()?;
            keys::measure(&rig)
        }
        ["--beside-bottom", minutes] => {
            let minutes: u64 = minutes.parse().map_err(io::Error::other)?;
            idle::beside_bottom(&prepared()?, Duration::from_secs(60 * minutes))
        }
        ["--load", minutes] => {
            let rig = prepared()?;
            let simulated = rig.simulated()?;
            long::load(&rig, &simulated, minutes.parse().map_err(io::Error::other)?)
        }
        ["--soak", minutes] => {
            let rig = prepared()?;
            let _simulated = rig.simulated()?;
            long::soak(&rig, minutes.parse().map_err(io::Error::other)?)
        }
        _ => Err(io::Error::other(
            "usage: benches/run [--quick | --frames | --keys | --records | --parts | (--fleet | --beside-bottom | --load | --soak) MINUTES]",
        )),
    }
}

/// A rig inside namespaces of its own.
fn prepared() -> io::Result<Rig> {
    if std::env::var("DOGWATCH_TEST_NAMESPACE").as_deref() != Ok("1") {
        return Err(io::Error::other("this bench needs namespaces of its own: run benches/run"));
    }
    // What a rival leaves behind, such as ssh's masters, is then below this process, and is counted.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Rig::new()
}

impl Windows {
    fn of(shorter: u32) -> Self {
        Self {
            rival: Duration::from_secs(60) / shorter.min(2),
            fleet: Duration::from_secs(600) / shorter,
            warm_up: Duration::from_secs(60),
            idle: Duration::from_secs(300) / shorter,
        }
    }
}

fn table(shorter: u32) -> io::Result<()> {
    let windows = Windows::of(shorter);
    let rig = prepared()?;
    let simulated = rig.simulated()?;
    dump_script(&rig)?;
    against_rivals(&rig, &windows)?;
    frames::measure()?;
    start_up(&rig)?;
    cold_connect(&rig, &simulated)?;
    whole_fleet(&rig, &simulated, &windows)?;
    keys::measure(&rig)?;
    idle::measure(&rig, windows.idle)
}

/// The script of a steady poll, byte for byte as the simulated fleet was sent it: the first one asks for more.
fn dump_script(rig: &Rig) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", 1, "1s")?;
    let screen = rig.screen(&hosts, "state-dump")?;
    screen.wait(Duration::from_secs(30), |_| rig.path("script-1.sh").exists().then_some(()))?;
    drop(screen);
    std::fs::copy(rig.path("script-1.sh"), rig.path("script.sh"))?;
    println!(
        "script: {} bytes, kept in {}",
        std::fs::metadata(rig.path("script.sh"))?.len(),
        rig.path("script.sh").display()
    );
    Ok(())
}

fn against_rivals(rig: &Rig, windows: &Windows) -> io::Result<()> {
    let sshd = rig.sshd()?;
    let own = own_cost(rig, &sshd, windows)?;
    let goals = [500.0, 100.0, 25.0, 12.0, 2.5];
    let rivals = rivals::all(rig, &sshd, &[], RIVAL_HOSTS)?;
    println!("\n{RIVAL_HOSTS} loopback hosts of one sshd, the same script to each\n");
    println!("| what | client ms a host-poll | server ms | peak MB | output bytes | times dogwatch | goal |");
    println!("|---|---|---|---|---|---|---|");
    for (cost, goal) in rivals.iter().zip(goals) {
        let times = cost.client_ms() / own.client_ms();
        println!("{} {times:.1} | ≥ {goal} {} |", row(cost), verdict(goal <= times));
    }
    println!("{} 1 | |", row(&own));
    Ok(())
}

fn row(cost: &Cost) -> String {
    let bytes = cost.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
    format!("| {} | {:.3} | {:.1} | {:.0} | {bytes} |", cost.name, cost.client_ms(), cost.server_ms(), cost.peak_mb)
}

fn verdict(reached: bool) -> &'static str {
    if reached { "✓" } else { "✗ missed" }
}

/// Dogwatch itself on the same hosts, with a screen, its store, and its own machine's polls counted in.
fn own_cost(rig: &Rig, sshd: &rig::Sshd, windows: &Windows) -> io::Result<Cost> {
    let hosts = rig.hosts_toml("ssh_real", RIVAL_HOSTS, &format!("{CADENCE_S}s"))?;
    let screen = rig.screen(&hosts, "state-rivals")?;
    screen.wait(Duration::from_secs(60), |seen| seen.all_answered)?;
    std::thread::sleep(Duration::from_secs(5));
    let (client, server, polls) = (cpu::tree(screen.pid(), &[]), cpu::tree(sshd.pid(), &[]), sshd.polls());
    std::thread::sleep(windows.rival);
    let polls = sshd.polls() - polls;
    let client = cpu::tree(screen.pid(), &[]) - client;
    let server = cpu::tree(sshd.pid(), &[]) - server;
    let peak_mb = cpu::rss_mb(screen.pid());
    let cost = Cost { name: "dogwatch, with screen and store", polls, client, server, peak_mb, bytes: None };
    eprintln!("  {}: {polls} polls, {client:?}", cost.name);
    Ok(cost)
}

fn start_up(rig: &Rig) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", FIRST_DATA_HOSTS, "10s")?;
    let screen = rig.screen(&hosts, "state-first")?;
    let data = screen.wait(Duration::from_secs(30), |seen| seen.all_answered)?;
    let frame = screen.wait(Duration::from_secs(1), |seen| seen.first_frame)?;
    println!("\nfirst frame: {:.0} ms (goal ≤ 100 {})", ms(frame), verdict(ms(frame) <= 100.0));
    println!(
        "first data of {FIRST_DATA_HOSTS} hosts: {:.0} ms (goal ≤ 1000 {})",
        ms(data),
        verdict(ms(data) <= 1_000.0)
    );
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// A login and one poll of each host, less what the same polls cost a warm fleet.
fn cold_connect(rig: &Rig, simulated: &Simulated) -> io::Result<()> {
    let mut total = Duration::ZERO;
    let mut few = Duration::ZERO;
    for (hosts, cost) in [(1, &mut few), (COLD_HOSTS, &mut total)] {
        let file = rig.hosts_toml("ssh_simulated", hosts, "10s")?;
        simulated.figures()?;
        let before = cpu::tree(std::process::id(), &[]);
        let sim = cpu::tree(simulated.pid(), &[]);
        let mut check = Command::new(env!("CARGO_BIN_EXE_dogwatch"));
        check
            .args(["check", "--json", "--hosts"])
            .arg(&file)
            .arg("--state")
            .arg(rig.path(&format!("state-cold-{hosts}")));
        check.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status()?;
        let spent = cpu::tree(std::process::id(), &[]) - before;
        *cost = spent - (cpu::tree(simulated.pid(), &[]) - sim);
    }
    let each = ms(total.saturating_sub(few)) / (COLD_HOSTS - 1) as f64;
    let resolving = resolving_ms(rig)?;
    let connecting = each - resolving;
    println!(
        "cold connect, with its first poll: {each:.2} ms of CPU, {resolving:.2} of them in `ssh -G`; without it \
         {connecting:.2} ms (goal ≤ 2 {})",
        verdict(connecting <= 2.0)
    );
    Ok(())
}

/// What it costs to ask ssh for the meaning of one name.
fn resolving_ms(rig: &Rig) -> io::Result<f64> {
    const TIMES: u32 = 50;
    let before = cpu::tree(std::process::id(), &[]);
    for address in rig::addresses(TIMES as usize) {
        rig::run(Command::new("ssh").arg("-G").arg("-F").arg(rig.path("ssh_simulated")).arg("--").arg(address))?;
    }
    Ok(ms(cpu::tree(std::process::id(), &[]) - before) / f64::from(TIMES))
}

fn whole_fleet(rig: &Rig, simulated: &Simulated, windows: &Windows) -> io::Result<()> {
    let hosts = rig.hosts_toml("ssh_simulated", FLEET_HOSTS, "10s")?;
    let screen = rig.screen(&hosts, "state-fleet")?;
    let answered = screen.wait(Duration::from_secs(120), |seen| seen.all_answered)?;
    std::thread::sleep(windows.warm_up);
    simulated.figures()?;
    let frames_before = written(&screen).len();
    let before = cpu::tree(screen.pid(), &[]);
    std::thread::sleep(windows.fleet);
    let spent = cpu::tree(screen.pid(), &[]) - before;
    let figures = simulated.figures()?;
    let share = spent.as_secs_f64() * 100.0 / windows.fleet.as_secs_f64();
    let rss = cpu::rss_mb(screen.pid());
    let polls = poll_times(rig.path("state-fleet/series.db"))?;
    println!(
        "\n{FLEET_HOSTS} simulated hosts each 10 s, {} s, with a screen of 200×50 and the store",
        windows.fleet.as_secs()
    );
    println!("all had answered after {:.1} s", answered.as_secs_f64());
    println!(
        "client CPU: {share:.2} % of a core, {:.3} ms a host-poll (goal ≤ 5 % {})",
        ms(spent) / figures.polls as f64,
        verdict(share <= 5.0)
    );
    println!("memory: {rss:.0} MB (goal ≤ 180 {})", verdict(rss <= 180.0));
    println!("polls: {}, {} bytes of answer each", figures.polls, figures.bytes / figures.polls.max(1));
    println!(
        "a poll, from sending to the whole answer: p50 {} ms, p99 {} ms (goal p99 ≤ the host's own time + 10 {}); of it the \
         server saw, from channel to answer, p50 {:.1} ms, p99 {:.1} ms",
        polls.p50,
        polls.p99,
        verdict(f64::from(polls.p99) <= figures.p99_ms + 10.0),
        figures.p50_ms,
        figures.p99_ms
    );
    let mut frames = written(&screen).split_off(frames_before);
    frames.sort_unstable();
    let largest = frames.last().copied().unwrap_or(0);
    println!(
        "writes to the terminal: {}, median {} bytes, largest {largest}",
        frames.len(),
        frames.get(frames.len() / 2).copied().unwrap_or(0)
    );
    println!("store: {:.1} MB", size_mb(&rig.path("state-fleet")));
    Ok(())
}

/// How long polls took, as the engine tells it on its own machine's board.
fn poll_times(database: PathBuf) -> io::Result<Percentiles> {
    let board = read_once(database).map_err(io::Error::other)?;
    let own = board.hosts.get("own-machine").and_then(|host| host.probes.get(&ProbeId::Engine));
    match own.and_then(|cell| cell.reading.as_ref()).map(|reading| reading.last().as_ref()) {
        Some(Reading::Engine(engine)) => Ok(engine.poll_ms),
        Some(_) | None => Err(io::Error::other("the engine told nothing of itself")),
    }
}

fn written(screen: &Screen) -> Vec<usize> {
    screen.seen.lock().map(|seen| seen.writes.clone()).unwrap_or_default()
}

fn size_mb(directory: &Path) -> f64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>() as f64 / 1e6
}
