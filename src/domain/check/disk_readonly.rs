//! `disk.readonly:MOUNT`: a file system that turned read-only lost its writers and tells nobody.

use super::disk_space::watched;
use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::disk::{DiskReading, Filesystem};
use crate::domain::settings::pattern_matches;
use crate::domain::status::Status;

/// One result for each watched file system that is meant to be writable.
pub fn check(reading: &DiskReading, context: &Context) -> Vec<CheckResult> {
    let expected = |fs: &Filesystem| {
        let configured = &context.settings.disk.read_only;
        fs.read_only_in_fstab || configured.iter().any(|pattern| pattern_matches(pattern, fs.mount.as_str()))
    };
    watched(reading, context).filter(|fs| !expected(fs)).map(|fs| check_one(fs, reading)).collect()
}

fn check_one(fs: &Filesystem, reading: &DiskReading) -> CheckResult {
    let id = CheckId::on(CheckKind::DiskReadonly, fs.mount.clone());
    if !fs.read_only {
        return CheckResult::new(id, Status::Ok, format!("{} is writable", fs.mount), Unit::Count).value(0.0);
    }
    let device = fs.source.as_str().rsplit('/').next().unwrap_or_default();
    let explains = reading.kernel_lines.iter().rev().find(|line| line.as_str().contains(device));
    let why = match explains {
        Some(line) => format!("kernel: {line}"),
        None if reading.kernel_log_denied => {
            "the kernel's log may say why, but this user may not read it: add it to group adm, or sysctl kernel.dmesg_restrict=0".to_owned()
        }
        None => "the kernel's log says nothing of it".to_owned(),
    };
    // What is wrong comes before where: a narrow screen cuts the end.
    let reason = format!("READ-ONLY: {} ({}); {why}", fs.mount, fs.source);
    CheckResult::new(id, Status::Critical, reason, Unit::Count).value(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{NOTHING_KNOWN, show};
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn check(read_only: bool, in_fstab: bool, kernel: &str, expected: &str) {
        let fs = Filesystem {
            mount: "/srv".into(),
            source: "/dev/sdb1".into(),
            kind: "ext4".into(),
            read_only,
            read_only_in_fstab: in_fstab,
            usage: None,
        };
        let reading = DiskReading {
            filesystems: vec![fs],
            kernel_lines: vec!["[1.0] sda1: other".into(), kernel.into()],
            ..DiskReading::default()
        };
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        assert_eq!(show(&super::check(&reading, &context)), expected);
    }

    #[test]
    fn a_read_only_mount_is_critical_with_the_kernels_line() {
        check(
            true,
            false,
            "[9.1] EXT4-fs (sdb1): Remounting filesystem read-only",
            "disk.readonly:/srv CRITICAL READ-ONLY: /srv (/dev/sdb1); kernel: [9.1] EXT4-fs (sdb1): Remounting filesystem read-only",
        );
    }

    #[test]
    fn a_mount_that_fstab_wants_read_only_is_not_checked() {
        check(true, true, "", "");
    }

    #[test]
    fn a_writable_mount_is_ok() {
        check(false, false, "", "disk.readonly:/srv OK /srv is writable");
    }
}
