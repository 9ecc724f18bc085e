//! `host.units`: services that failed and stayed down.

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::units::UnitsReading;
use crate::domain::settings::pattern_matches;
use crate::domain::status::Status;

/// `None` on hosts without systemd.
pub fn check(reading: &UnitsReading, context: &Context) -> Option<CheckResult> {
    let ignore = &context.settings.units.ignore;
    let news = |unit: &str| !ignore.iter().any(|pattern| pattern_matches(pattern, unit));
    let failed: Vec<&str> =
        reading.failed.as_ref()?.iter().map(|unit| unit.as_str()).filter(|unit| news(unit)).collect();
    let (status, reason) = match failed.as_slice() {
        [] => (Status::Ok, "no failed unit".to_owned()),
        [unit] => (Status::Warning, format!("{unit} failed")),
        [first, ..] => (Status::Warning, format!("{} failed units: {first} and others", failed.len())),
    };
    Some(CheckResult::new(CheckId::of(CheckKind::HostUnits), status, reason, Unit::Count).value(failed.len() as f64))
}
