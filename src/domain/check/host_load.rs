//! `host.load`: the fifteen-minute load for each CPU.

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::host::HostReading;

pub fn check(reading: &HostReading, context: &Context) -> CheckResult {
    let id = CheckId::of(CheckKind::HostLoad);
    let per_cpu = reading.load_15 / f64::from(reading.cpus);
    let status = context.limit(&id, context.settings.load, per_cpu);
    let reason =
        format!("load {:.2} over 15 min on {} CPUs ({:.2} over 1 min)", reading.load_15, reading.cpus, reading.load_1);
    CheckResult::new(id, status, reason, Unit::PerCpu).value(per_cpu)
}
