//! `host.reboot`: a machine that went down and came back without anybody saying so.

use std::time::Duration;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::host::HostReading;
use crate::domain::settings::HOUR;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::words;

/// How long a reboot stays a warning.
pub const REBOOT_NEWS_FOR: Duration = HOUR;

/// `boot_before` is the boot id of the reading before this one, if any is known.
pub fn check(reading: &HostReading, boot_before: Option<&SafeText>, context: &Context) -> CheckResult {
    let id = CheckId::of(CheckKind::HostReboot);
    let up = Duration::from_secs(reading.uptime_s);
    let rebooted = boot_before.is_some_and(|before| *before != reading.boot_id);
    let still_news = context.memory.previous_status(&id) == Some(Status::Warning) && up < REBOOT_NEWS_FOR;
    let (status, reason) = match rebooted || still_news {
        true => (Status::Warning, format!("rebooted {} ago, not by Dogwatch", words(up))),
        false => (Status::Ok, format!("up {}", words(up))),
    };
    CheckResult::new(id, status, reason, Unit::Seconds).value(up.as_secs_f64())
}
