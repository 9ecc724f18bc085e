//! `disk.inodes:MOUNT`: a file system can be full of files while space is left.

use super::disk_space::{shown_percent, watched, with_forecast};
use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::disk::DiskReading;

/// One result for each watched file system that has a fixed number of inodes.
pub fn check(reading: &DiskReading, context: &Context) -> Vec<CheckResult> {
    let results = watched(reading, context).filter_map(|fs| {
        let usage = fs.usage?;
        let percent = usage.inodes_used_percent()?;
        let id = CheckId::on(CheckKind::DiskInodes, fs.mount.clone());
        let status = context.limit(&id, context.settings.inodes, percent);
        let left = usage.inodes.saturating_sub(usage.inodes_used);
        let told = format!("{:.0} % of the inodes of {}", shown_percent(percent), fs.mount);
        Some(with_forecast(
            CheckResult::new(id, status, "", Unit::Percent).value(percent),
            told,
            &left.to_string(),
            context,
        ))
    });
    results.collect()
}
