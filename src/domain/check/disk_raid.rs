//! `disk.raid:ARRAY`: md arrays that run without a device, also when they already did at first sight.

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::disk::DiskReading;
use crate::domain::probe::md::RaidArray;
use crate::domain::status::Status;

/// One result for each array.
pub fn check(reading: &DiskReading, _context: &Context) -> Vec<CheckResult> {
    reading.arrays.iter().map(check_one).collect()
}

fn check_one(array: &RaidArray) -> CheckResult {
    let id = CheckId::on(CheckKind::DiskRaid, array.name.clone());
    let missing = array.devices_wanted.saturating_sub(array.devices_up);
    let activity = array.activity.as_ref().map(|activity| format!(", {activity}")).unwrap_or_default();
    let told = format!(
        "{} ({}) has {} of {} devices{activity}",
        array.name, array.level, array.devices_up, array.devices_wanted
    );
    let (status, reason) = match () {
        () if !array.active => (Status::Critical, format!("{} ({}) is not active", array.name, array.level)),
        () if 0 < missing && array.activity.is_none() => (Status::Critical, told),
        () if 0 < missing => (Status::Warning, told),
        () => (Status::Ok, told),
    };
    CheckResult::new(id, status, reason, Unit::Count).value(f64::from(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: u32, up: u32, activity: Option<&str>, expected: Status) {
        let array = RaidArray {
            name: "md0".into(),
            level: "raid1".into(),
            active: true,
            devices_wanted: wanted,
            devices_up: up,
            activity: activity.map(Into::into),
        };
        assert_eq!(check_one(&array).status, expected);
    }

    #[test]
    fn a_missing_device_is_critical_and_a_rebuild_a_warning() {
        check(2, 2, None, Status::Ok);
        check(2, 1, None, Status::Critical);
        check(2, 1, Some("recovery = 12.6%"), Status::Warning);
    }
}
