//! `disk.space:MOUNT`: how full, and when full.

use std::time::Duration;

use super::{CheckId, CheckKind, CheckResult, Context, Unit, bytes_words};
use crate::domain::probe::disk::{DiskReading, Filesystem};
use crate::domain::settings::pattern_matches;
use crate::domain::status::Status;
use crate::domain::time::words;
use crate::domain::trend::forecast::Forecast;

/// One result for each watched file system.
pub fn check(reading: &DiskReading, context: &Context) -> Vec<CheckResult> {
    watched(reading, context).map(|fs| check_one(fs, context)).collect()
}

/// The file systems that no `ignore` pattern leaves out.
pub fn watched<'a>(reading: &'a DiskReading, context: &'a Context) -> impl Iterator<Item = &'a Filesystem> {
    let ignore = &context.settings.disk.ignore;
    reading
        .filesystems
        .iter()
        .filter(move |fs| !ignore.iter().any(|pattern| pattern_matches(pattern, fs.mount.as_str())))
}

fn check_one(fs: &Filesystem, context: &Context) -> CheckResult {
    let id = CheckId::on(CheckKind::DiskSpace, fs.mount.clone());
    let Some(usage) = fs.usage else {
        let reason = format!("{} does not tell its size to this user: log in as one who may enter it", fs.mount);
        return CheckResult::missing(id, reason, Unit::Percent);
    };
    let percent = usage.used_percent();
    let by_space = context.limit(&id, context.settings.disk.space, percent);
    let left = bytes_words(usage.available_bytes as f64);
    let told = format!("{:.0} % of {}", shown_percent(percent), fs.mount);
    with_forecast(CheckResult::new(id, by_space, "", Unit::Percent).value(percent), told, &left, context)
}

/// Gives a result in percent its reason, the time to full and the `room` that is left, and raises its status where that is
/// near.
pub fn with_forecast(mut result: CheckResult, told: String, room: &str, context: &Context) -> CheckResult {
    let percent = result.value.unwrap_or(0.0);
    let limits = context.settings.forecast;
    result.by_limit = Some(result.status);
    let forecast = context.memory.forecast(&result.id);
    // What is full is full now: a trend lags behind a jump, and may still promise days.
    let left = match forecast {
        _ if 100.0 <= percent => Some(Duration::ZERO),
        Forecast::FullAt { utc_ms } => {
            Some(Duration::from_millis(u64::try_from(utc_ms - context.now.utc_ms).unwrap_or(0)))
        }
        Forecast::NotEnough { .. } | Forecast::NotFilling => None,
    };
    if let (Forecast::FullAt { .. }, Some(left), true) = (forecast, left, limits.above <= percent) {
        let by_time = match () {
            () if left < limits.critical => Status::Critical,
            () if left < limits.warning => Status::Warning,
            () => Status::Ok,
        };
        result.status = result.status.max(by_time);
    }
    result.full_at = left.and_then(|left| chrono::DateTime::from_timestamp_millis(context.now.plus(left).utc_ms));
    // A narrow screen cuts reasons: how long there is left comes before how much.
    let told = match (left, forecast) {
        (Some(Duration::ZERO), _) => format!("full now: {told}; {room} left"),
        (Some(left), _) => format!("full in {}: {told}; {room} left", words(left)),
        (None, Forecast::NotEnough { have, need }) => {
            format!("{told}; {room} left; time to full: not enough data: {have} of {need} points")
        }
        (None, Forecast::NotFilling | Forecast::FullAt { .. }) => format!("{told}; {room} left; not filling"),
    };
    result.reason = told.as_str().into();
    result
}

/// df rounds up, so that only an empty file system shows 0 and a full one shows 100.
pub fn shown_percent(percent: f64) -> f64 {
    percent.ceil()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{Fixed, NOTHING_KNOWN, show};
    use crate::domain::probe::disk::Usage;
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn check(used: u64, available: u64, memory: &Fixed, expected: &str) {
        let usage = Usage {
            size_bytes: used + available,
            used_bytes: used,
            available_bytes: available,
            inodes: 1,
            inodes_used: 0,
        };
        let fs = Filesystem {
            mount: "/var".into(),
            source: "/dev/vda".into(),
            kind: "ext4".into(),
            read_only: false,
            read_only_in_fstab: false,
            usage: Some(usage),
        };
        let reading = DiskReading { filesystems: vec![fs], ..DiskReading::default() };
        let settings = Settings::default();
        let context = Context { settings: &settings, now: at(0), memory };
        assert_eq!(show(&super::check(&reading, &context)), expected);
    }

    fn full_in_hours(hours: i64) -> Fixed {
        let forecast = Forecast::FullAt { utc_ms: at(hours * 3_600).utc_ms };
        Fixed { previous: None, forecast }
    }

    #[test]
    fn below_the_limits_it_is_ok_and_says_what_the_forecast_lacks() {
        let expected = "disk.space:/var OK 40 % of /var; 60 MB left; time to full: not enough data: 0 of 12 points";
        check(40_000_000, 60_000_000, &NOTHING_KNOWN, expected);
    }

    #[test]
    fn a_full_disk_within_four_hours_is_critical_from_sixty_percent_on() {
        check(60, 40, &full_in_hours(3), "disk.space:/var CRITICAL full in 3 h 00 min: 60 % of /var; 40 B left");
        check(59, 41, &full_in_hours(3), "disk.space:/var OK full in 3 h 00 min: 59 % of /var; 41 B left");
    }

    #[test]
    fn what_is_full_is_full_now_whatever_its_past_promised() {
        check(100, 0, &full_in_hours(79), "disk.space:/var CRITICAL full now: 100 % of /var; 0 B left");
        check(100, 0, &NOTHING_KNOWN, "disk.space:/var CRITICAL full now: 100 % of /var; 0 B left");
    }

    #[test]
    fn a_full_disk_within_a_day_is_a_warning() {
        check(70, 30, &full_in_hours(20), "disk.space:/var WARNING full in 20 h 00 min: 70 % of /var; 30 B left");
    }

    #[test]
    fn ninety_five_percent_is_critical_without_any_forecast() {
        let expected = "disk.space:/var CRITICAL 95 % of /var; 5 B left; time to full: not enough data: 0 of 12 points";
        check(95, 5, &NOTHING_KNOWN, expected);
    }
}
