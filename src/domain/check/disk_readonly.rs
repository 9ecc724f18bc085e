//! `disk.readonly:MOUNT`: a file system that turned read-only lost its writers and tells nobody.

use super::disk_space::watched;
use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::disk::{DiskReading, Filesystem};
use crate::domain::settings::pattern_matches;
use crate::domain::status::Status;

/// File systems in memory, as those of FUSE: no device fails below them, so they turn read-only by somebody's hand alone.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// One result for each watched file system that is meant to be writable. `before` is the host's reading before this one.
pub fn check(reading: &DiskReading, before: Option<&DiskReading>, context: &Context) -> Vec<CheckResult> {
    let expected = |fs: &Filesystem| {
        let configured = &context.settings.disk.read_only;
        fs.read_only_in_fstab || configured.iter().any(|pattern| pattern_matches(pattern, fs.mount.as_str()))
    };
    let was_writable = |fs: &Filesystem| {
        before.is_some_and(|before| before.filesystems.iter().any(|old| old.mount == fs.mount && !old.read_only))
    };
    let one = |fs: &Filesystem| check_one(fs, was_writable(fs), reading, context);
    watched(reading, context).filter(|fs| !expected(fs)).map(one).collect()
}

fn check_one(fs: &Filesystem, was_writable: bool, reading: &DiskReading, context: &Context) -> CheckResult {
    let id = CheckId::on(CheckKind::DiskReadonly, fs.mount.clone());
    if !fs.read_only {
        return CheckResult::new(id, Status::Ok, format!("writable: {}", fs.mount), Unit::Count).value(0.0);
    }
    let was_raised = context.memory.previous_status(&id) == Some(Status::Critical);
    let may_be_meant = IN_MEMORY.contains(&fs.kind.as_str()) || fs.kind.as_str().starts_with("fuse");
    if may_be_meant && !was_writable && !was_raised {
        let reason = format!("read-only since it was first seen: {} ({})", fs.mount, fs.kind);
        return CheckResult::new(id, Status::Ok, reason, Unit::Count).value(1.0);
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
    use crate::domain::check::testing::{Fixed, NOTHING_KNOWN, show};
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn filesystem(kind: &str, read_only: bool, read_only_in_fstab: bool) -> Filesystem {
        Filesystem {
            mount: "/srv".into(),
            source: "/dev/sdb1".into(),
            kind: kind.into(),
            read_only,
            read_only_in_fstab,
            usage: None,
        }
    }

    fn check(read_only: bool, in_fstab: bool, kernel: &str, expected: &str) {
        let fs = filesystem("ext4", read_only, in_fstab);
        let reading = DiskReading {
            filesystems: vec![fs],
            kernel_lines: vec!["[1.0] sda1: other".into(), kernel.into()],
            ..DiskReading::default()
        };
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        assert_eq!(show(&super::check(&reading, None, &context)), expected);
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
        check(false, false, "", "disk.readonly:/srv OK writable: /srv");
    }

    /// The statuses of a file system in memory, reading after reading.
    fn in_memory(read_only: [bool; 3]) -> Vec<Status> {
        let settings = Settings::default();
        let mut before: Option<DiskReading> = None;
        let mut previous = None;
        let mut statuses = Vec::new();
        for read_only in read_only {
            let reading =
                DiskReading { filesystems: vec![filesystem("tmpfs", read_only, false)], ..DiskReading::default() };
            let memory = Fixed { previous, ..NOTHING_KNOWN };
            let context = Context { settings: &settings, now: at(0), memory: &memory };
            let status = super::check(&reading, before.as_ref(), &context)[0].status;
            (before, previous) = (Some(reading), Some(status));
            statuses.push(status);
        }
        statuses
    }

    #[test]
    fn one_in_memory_is_raised_when_it_was_writable_and_stays_so_until_it_is_again() {
        assert_eq!(in_memory([true, true, true]), [Status::Ok; 3]);
        assert_eq!(in_memory([false, true, true]), [Status::Ok, Status::Critical, Status::Critical]);
        assert_eq!(in_memory([false, true, false]), [Status::Ok, Status::Critical, Status::Ok]);
    }
}
