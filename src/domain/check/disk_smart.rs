//! `disk.smart:DEVICE`: disks that say themselves that they are failing.

use super::{CheckId, CheckKind, CheckResult, Unit};
use crate::domain::probe::smart::{SmartDisk, SmartReading};
use crate::domain::status::Status;

/// One result for each disk that says anything.
pub fn check(reading: &SmartReading) -> Vec<CheckResult> {
    match reading {
        SmartReading::NotInstalled | SmartReading::Denied => Vec::new(),
        SmartReading::Disks(disks) => disks.iter().filter_map(check_one).collect(),
    }
}

fn check_one(disk: &SmartDisk) -> Option<CheckResult> {
    let healthy = disk.is_healthy()?;
    let said = disk.health.as_ref().map(|health| health.as_str()).unwrap_or_default();
    let status = if healthy { Status::Ok } else { Status::Critical };
    let id = CheckId::on(CheckKind::DiskSmart, disk.device.clone());
    Some(
        CheckResult::new(id, status, format!("{} says of itself: {said}", disk.device), Unit::Count)
            .value(f64::from(!healthy)),
    )
}
