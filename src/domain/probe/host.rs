//! Load, memory, swap, uptime, boot and the clock.

use serde::{Deserialize, Serialize};

use super::{ParseError, lines};
use crate::domain::text::SafeText;

/// `now SECONDS.FRACTION ZONE`, `load …`, `up …`, `boot ID`, `cpus N`, `mem KEY KIB`.
pub const SCRIPT: &str = r#"
dw_say "$(date '+now %s.%N %z' </dev/null)"
read -r dw_l </proc/loadavg && dw_say "load $dw_l"
read -r dw_l </proc/uptime && dw_say "up $dw_l"
read -r dw_l </proc/sys/kernel/random/boot_id && dw_say "boot $dw_l"
dw_c=0
while read -r dw_k dw_l; do
  case $dw_k in cpu) ;; cpu*) dw_c=$((dw_c + 1)) ;; *) break ;; esac
done </proc/stat
dw_say "cpus $dw_c"
while read -r dw_k dw_v dw_l; do
  case $dw_k in
  MemTotal:|MemFree:|MemAvailable:|Buffers:|Cached:|SwapTotal:) dw_say "mem $dw_k $dw_v" ;;
  SwapFree:) dw_say "mem $dw_k $dw_v"; break ;;
  esac
done </proc/meminfo
"#;

/// One poll's view of the machine itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReading {
    /// The host's own clock, milliseconds since the epoch.
    pub clock_ms: i64,
    /// Whether the clock was read finer than whole seconds.
    pub clock_is_fine: bool,
    /// Seconds east of UTC.
    pub zone_offset_s: i32,
    pub load_1: f64,
    pub load_5: f64,
    pub load_15: f64,
    pub cpus: u32,
    pub uptime_s: u64,
    /// A new one at each boot.
    pub boot_id: SafeText,
    pub memory: Memory,
}

/// In KiB, as /proc/meminfo counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

impl Memory {
    pub fn used_percent(&self) -> f64 {
        share(self.total.saturating_sub(self.available), self.total)
    }

    /// `None` where the host has no swap.
    pub fn swap_used_percent(&self) -> Option<f64> {
        (self.swap_total != 0).then(|| share(self.swap_total.saturating_sub(self.swap_free), self.swap_total))
    }
}

fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 * 100.0 / whole as f64,
    }
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<HostReading, ParseError> {
    let mut draft = Draft::default();
    for (index, line) in lines(output) {
        let text = std::str::from_utf8(line).map_err(|_| ParseError::line(index, "no UTF-8"))?;
        draft
            .line(text)
            .ok_or_else(|| ParseError::line(index, format!("not understood: '{}'", SafeText::new(text))))?;
    }
    draft.finish()
}

#[derive(Default)]
struct Draft {
    clock: Option<(i64, bool, i32)>,
    load: Option<(f64, f64, f64)>,
    uptime_s: Option<u64>,
    boot_id: Option<SafeText>,
    cpus: u32,
    memory: Memory,
    available_is_known: bool,
}

impl Draft {
    fn line(&mut self, line: &str) -> Option<()> {
        let (key, rest) = line.split_once(' ')?;
        match key {
            "now" => self.clock = Some(clock(rest)?),
            "load" => {
                let mut loads = rest.split(' ').map(|load| load.parse::<f64>().ok().filter(|load| load.is_finite()));
                self.load = Some((loads.next()??, loads.next()??, loads.next()??));
            }
            "up" => self.uptime_s = Some(rest.split(['.', ' ']).next()?.parse().ok()?),
            "boot" => self.boot_id = Some(SafeText::from_bytes_capped(rest.as_bytes(), 40)),
            "cpus" => self.cpus = rest.parse().ok()?,
            "mem" => self.memory_line(rest)?,
            _ => return None,
        }
        Some(())
    }

    fn memory_line(&mut self, rest: &str) -> Option<()> {
        let (key, value) = rest.split_once(' ')?;
        let kib: u64 = value.parse().ok()?;
        let memory = &mut self.memory;
        match key {
            "MemTotal:" => memory.total = kib,
            "MemAvailable:" => {
                memory.available = kib;
                self.available_is_known = true;
            }
            // Kernels before 3.14 know no MemAvailable; free, buffers and cache come close to it.
            "MemFree:" | "Buffers:" | "Cached:" if !self.available_is_known => {
                memory.available = memory.available.saturating_add(kib);
            }
            "MemFree:" | "Buffers:" | "Cached:" => {}
            "SwapTotal:" => memory.swap_total = kib,
            "SwapFree:" => memory.swap_free = kib,
            _ => return None,
        }
        Some(())
    }

    fn finish(self) -> Result<HostReading, ParseError> {
        let missing = |what: &str| ParseError::Other(SafeText::new(&format!("the host told no {what}")));
        let (clock_ms, clock_is_fine, zone_offset_s) = self.clock.ok_or(ParseError::Empty)?;
        let (load_1, load_5, load_15) = self.load.ok_or_else(|| missing("load (/proc/loadavg)"))?;
        Ok(HostReading {
            clock_ms,
            clock_is_fine,
            zone_offset_s,
            load_1,
            load_5,
            load_15,
            cpus: self.cpus.max(1),
            uptime_s: self.uptime_s.ok_or_else(|| missing("uptime (/proc/uptime)"))?,
            boot_id: self.boot_id.ok_or_else(|| missing("boot id"))?,
            memory: self.memory,
        })
    }
}

/// `SECONDS.NANOSECONDS ±HHMM`; BusyBox prints the letter N or nothing for the fraction.
fn clock(text: &str) -> Option<(i64, bool, i32)> {
    let (time, zone) = text.split_once(' ')?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    let fraction_ms = fraction.get(..3).and_then(|digits| digits.parse::<i64>().ok());
    let ms = seconds.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(fraction_ms.unwrap_or(0))?;
    Some((ms, fraction_ms.is_some(), zone_offset(zone)?))
}

/// `+0130` → 5400.
fn zone_offset(zone: &str) -> Option<i32> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number: i32 = digits.parse().ok().filter(|number| (0..=1_500).contains(number))?;
    Some(sign * (number / 100 * 3_600 + number % 100 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "now 1790000000.250000000 +0130\nload 0.50 0.40 0.30 1/100 999\nup 350.25 600.00\n\
        boot 3f1e0c7e-0000-4000-8000-000000000001\ncpus 2\nmem MemTotal: 1000\nmem MemFree: 100\n\
        mem MemAvailable: 400\nmem Buffers: 50\nmem Cached: 60\nmem SwapTotal: 200\nmem SwapFree: 150\n";

    fn check(output: &str, expected: &str) {
        let shown = match parse(output.as_bytes()) {
            Ok(host) => format!(
                "{} {} {} load {} cpus {} up {} mem {:.0}% swap {:?}",
                host.clock_ms,
                host.clock_is_fine,
                host.zone_offset_s,
                host.load_15,
                host.cpus,
                host.uptime_s,
                host.memory.used_percent(),
                host.memory.swap_used_percent(),
            ),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_whole_answer_is_read() {
        check(GOOD, "1790000000250 true 5400 load 0.3 cpus 2 up 350 mem 60% swap Some(25.0)");
    }

    #[test]
    fn busybox_date_gives_whole_seconds() {
        let output = GOOD.replace(".250000000", ".N");
        check(&output, "1790000000000 false 5400 load 0.3 cpus 2 up 350 mem 60% swap Some(25.0)");
    }

    #[test]
    fn an_old_kernel_without_available_counts_free_and_caches() {
        let output = GOOD.replace("mem MemAvailable: 400\n", "");
        check(&output, "1790000000250 true 5400 load 0.3 cpus 2 up 350 mem 79% swap Some(25.0)");
    }

    #[test]
    fn no_swap_is_no_percentage() {
        let output = GOOD.replace("SwapTotal: 200", "SwapTotal: 0").replace("SwapFree: 150", "SwapFree: 0");
        check(&output, "1790000000250 true 5400 load 0.3 cpus 2 up 350 mem 60% swap None");
    }

    #[test]
    fn empty_output_is_no_data() {
        check("", "error: no data");
    }

    #[test]
    fn a_load_that_is_no_number_names_its_line() {
        check(&GOOD.replace("load 0.50", "load NaN"), "error: line 2: not understood: 'load NaN 0.40 0.30 1/100 999'");
    }

    #[test]
    fn a_year_292277026597_clock_is_refused() {
        check(
            "now 99999999999999999999.0 +0000\n",
            "error: line 1: not understood: 'now 99999999999999999999.0 +0000'",
        );
    }
}
