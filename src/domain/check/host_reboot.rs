//! `host.reboot`: a machine that went down and came back without anybody saying so.

use std::time::Duration;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::host::HostReading;
use crate::domain::proof::deeds::{Deeds, Kind};
use crate::domain::settings::HOUR;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::words;

/// How long a reboot stays a warning.
pub const REBOOT_NEWS_FOR: Duration = HOUR;
/// What stops a machine is looked for so long before it came up again.
const BEFORE_MS: i64 = 600_000;

/// `boot_before` is the boot id of the reading before this one, if any is known.
pub fn check(reading: &HostReading, boot_before: Option<&SafeText>, deeds: &Deeds, context: &Context) -> CheckResult {
    let id = CheckId::of(CheckKind::HostReboot);
    let up = Duration::from_secs(reading.uptime_s);
    let rebooted = boot_before.is_some_and(|before| *before != reading.boot_id);
    let still_news = context.memory.previous_status(&id) == Some(Status::Warning) && up < REBOOT_NEWS_FOR;
    let (status, reason) = match rebooted || still_news {
        true => {
            let up_ms = i64::try_from(up.as_millis()).unwrap_or(i64::MAX);
            let boot_ms = context.now.utc_ms.saturating_sub(up_ms);
            let who = deeds.named(Kind::Stops, boot_ms.saturating_sub(BEFORE_MS), boot_ms);
            let who = who.map_or(String::new(), |who| format!("; before it: {who}"));
            (Status::Warning, format!("rebooted {} ago, not by Dogwatch{who}", words(up)))
        }
        false => (Status::Ok, format!("up {}", words(up))),
    };
    CheckResult::new(id, status, reason, Unit::Seconds).value(up.as_secs_f64())
}
