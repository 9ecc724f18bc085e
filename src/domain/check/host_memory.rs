//! `host.memory` and `host.swap`: what is left before the kernel kills something.

use super::{CheckId, CheckKind, CheckResult, Context, Unit, bytes_words};
use crate::domain::probe::host::HostReading;
use crate::domain::status::Status;

const KIB: f64 = 1_024.0;

pub fn check(reading: &HostReading, context: &Context) -> Vec<CheckResult> {
    let memory = reading.memory;
    let percent = memory.used_percent();
    let id = CheckId::of(CheckKind::HostMemory);
    let status = context.limit(&id, context.settings.memory, percent);
    let reason = format!(
        "memory {percent:.0} % used, {} of {} available",
        bytes_words(memory.available as f64 * KIB),
        bytes_words(memory.total as f64 * KIB)
    );
    let id_swap = CheckId::of(CheckKind::HostSwap);
    let swap = match memory.swap_used_percent() {
        None => CheckResult::new(id_swap, Status::Ok, "no swap", Unit::Percent),
        Some(percent) => {
            let status = context.limit(&id_swap, context.settings.swap, percent);
            let reason = format!("swap {percent:.0} % of {} used", bytes_words(memory.swap_total as f64 * KIB));
            CheckResult::new(id_swap, status, reason, Unit::Percent).value(percent)
        }
    };
    vec![CheckResult::new(id, status, reason, Unit::Percent).value(percent), swap]
}
