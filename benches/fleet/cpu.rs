//! What processes cost: the CPU of whole trees, and their memory.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// `/proc/PID/stat` counts in these, on every Linux there is (sysconf(_SC_CLK_TCK)).
const TICK: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Process {
    parent: u32,
    /// Of itself and of the children that it waited for, user and system.
    ticks: u64,
    rss_kb: u64,
}

fn processes() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, read(pid)?))).collect()
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the name in field 2 may hold anything, so fields are counted from its last ')'.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    let pages = number(24)?;
    Some(Process { parent: number(4)? as u32, ticks, rss_kb: pages * 4 })
}

fn is_below(processes: &HashMap<u32, Process>, mut pid: u32, root: u32) -> bool {
    while pid != root {
        match processes.get(&pid) {
            Some(process) if 1 < process.parent || process.parent == root => pid = process.parent,
            Some(_) | None => return false,
        }
    }
    true
}

/// The CPU of a process and all below it, but for the trees of `without`.
pub fn tree(root: u32, without: &[u32]) -> Duration {
    let processes = processes();
    let counted =
        |pid: u32| is_below(&processes, pid, root) && !without.iter().any(|&out| is_below(&processes, pid, out));
    let ticks: u64 = processes.iter().filter(|(pid, _)| counted(**pid)).map(|(_, process)| process.ticks).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The memory of a process now, in MB.
pub fn rss_mb(pid: u32) -> f64 {
    read(pid).map_or(0.0, |process| process.rss_kb as f64 / 1_000.0)
}

/// Watches the memory of everything below this process, but for some trees, and keeps the peak.
pub struct PeakMemory {
    stop: Arc<AtomicBool>,
    peak_kb: Arc<AtomicU64>,
    watcher: JoinHandle<()>,
}

impl PeakMemory {
    pub fn watch(without: Vec<u32>) -> Self {
        let (stop, peak_kb) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, peak) = (stop.clone(), peak_kb.clone());
        let own = std::process::id();
        let watcher = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let processes = processes();
                let counted = |pid: u32| {
                    pid != own
                        && is_below(&processes, pid, own)
                        && !without.iter().any(|&out| is_below(&processes, pid, out))
                };
                let kb = processes.iter().filter(|(pid, _)| counted(**pid)).map(|(_, process)| process.rss_kb).sum();
                peak.fetch_max(kb, Ordering::Relaxed);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { stop, peak_kb, watcher }
    }

    pub fn stop_mb(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        // A watcher that panicked has said why already.
        let _ = self.watcher.join();
        self.peak_kb.load(Ordering::Relaxed) as f64 / 1_000.0
    }
}
