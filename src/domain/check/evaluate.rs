//! From a reading to the results of every check that rests on it.

use std::sync::Arc;

use super::cron_changed::Inventory;
use super::disk_drop::Drops;
use super::host_clock::ClockSkew;
use super::host_integrity::Known;
use super::logs::{Around, LogHistory};
use super::{
    CheckId, CheckKind, CheckResult, Context, Unit, backup, backup_restore, cron_changed, cron_job, disk_inodes,
    disk_raid, disk_readonly, disk_smart, disk_space, host_clock, host_integrity, host_load, host_memory, host_reboot,
    host_units, host_writable, logs, proof_health,
};
use crate::domain::probe::disk::DiskReading;
use crate::domain::probe::host::HostReading;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::proof::deeds::Deeds;
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::listening::{self, Clocks};
use crate::domain::settings::{LogWatch, Settings};
use crate::domain::text::SafeText;

/// What the poll knew besides the reading.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// The observer's clock when the script was sent and when its answer was whole, milliseconds since the epoch.
    pub sent_ms: i64,
    pub received_ms: i64,
}

/// What earlier readings of a host told that later checks build on.
#[derive(Default)]
pub struct Lately {
    pub logs: LogHistory,
    pub journal: LogHistory,
    pub runs: RunHistory,
    pub deeds: Deeds,
    pub jobs: Inventory,
    pub integrity: Known,
    pub disk: Option<Arc<DiskReading>>,
    pub drops: Drops,
    pub boot_id: Option<SafeText>,
}

impl RoundTrip {
    fn skew(&self, host: &HostReading) -> ClockSkew {
        let half = (self.received_ms - self.sent_ms).max(0) / 2;
        // A clock read in whole seconds was, on average, half a second further than it says.
        let grain = if host.clock_is_fine { 0 } else { 500 };
        ClockSkew { skew_ms: host.clock_ms + grain - (self.sent_ms + half), uncertainty_ms: half + grain }
    }
}

/// The results of all checks that rest on one reading.
pub fn evaluate(reading: &Reading, round_trip: RoundTrip, lately: &mut Lately, context: &Context) -> Vec<CheckResult> {
    match reading {
        Reading::Host(host) => {
            let mut results = host_memory::check(host, context);
            lately.runs.take_load(host.clock_ms, host.load_1 / f64::from(host.cpus));
            results.push(host_load::check(host, &lately.runs, context));
            results.push(host_reboot::check(host, lately.boot_id.as_ref(), &lately.deeds, context));
            let skew = round_trip.skew(host);
            (lately.deeds.skew_ms, lately.runs.skew_ms) = (skew.skew_ms, skew.skew_ms);
            results.push(host_clock::check(skew, context));
            lately.boot_id = Some(host.boot_id.clone());
            lately.runs.booted_ms = Some(host.clock_ms.saturating_sub_unsigned(host.uptime_s.saturating_mul(1_000)));
            results
        }
        Reading::Disk(disk) => {
            let mut results = disk_checks(disk, lately.disk.as_deref(), context);
            lately.drops.take(disk, &lately.deeds, context.now.utc_ms);
            tell_drops(&lately.drops, &mut results);
            lately.disk = Some(disk.clone());
            results
        }
        Reading::Logs(reading) => {
            let clocks = clocks(lately, context);
            listening::take_logs(&reading.logs, &mut lately.runs, &context.settings.jobs, clocks);
            let around = Around { disk: lately.disk.as_deref(), deeds: &lately.deeds };
            logs::check(reading, &mut lately.logs, &around, context)
        }
        Reading::Journal(reading) => {
            let clocks = clocks(lately, context);
            listening::take_logs(&reading.logs, &mut lately.runs, &context.settings.jobs, clocks);
            let around = Around { disk: None, deeds: &lately.deeds };
            logs::check(reading, &mut lately.journal, &around, context)
        }
        Reading::Cron(reading) => {
            let known_to_ms = clocks(lately, context).on_host(context.now.utc_ms).saturating_sub(LOGGED_WITHIN_MS);
            lately.runs.timed_to_ms = known_to_ms;
            lately.runs.log.take(reading, known_to_ms);
            let mut results = cron_job::check(reading, &mut lately.runs, context);
            results.extend(cron_changed::check(reading, &mut lately.jobs, &lately.deeds, context.now.utc_ms));
            results
        }
        Reading::Units(reading) => host_units::check(reading, context).into_iter().collect(),
        Reading::SlowMount(reading) => {
            let disk = DiskReading { filesystems: vec![reading.filesystem.clone()], ..DiskReading::default() };
            disk_checks(&disk, None, context)
        }
        Reading::Backup(reading) => {
            let clocks = clocks(lately, context);
            listening::take_archives(reading, &mut lately.runs, &context.settings.jobs, clocks);
            backup::check(reading, context)
        }
        Reading::Smart(reading) => disk_smart::check(reading),
        Reading::Modes(reading) => host_writable::check(reading),
        Reading::Integrity(reading) => host_integrity::check(reading, &mut lately.integrity, &lately.deeds, context),
        Reading::Restores(reading) => backup_restore::check(reading, context),
        Reading::Accounting(reading) => {
            let fresh = Settings::fresh_for(context.settings.cron_cadence, context.settings.deadline);
            lately.runs.take_records(reading, context.now.plus(fresh).utc_ms);
            let records = reading.records.iter().map(|found| &found.record);
            lately.deeds.take(records, &reading.users, &context.settings.commands, reading);
            proof_health::check(reading, context)
        }
        Reading::Engine(_) => Vec::new(),
    }
}

/// What became free at once stands beside how full a file system is.
fn tell_drops(drops: &Drops, results: &mut [CheckResult]) {
    for result in results.iter_mut().filter(|result| result.id.kind == CheckKind::DiskSpace) {
        if let Some(words) = result.id.subject.as_ref().and_then(|mount| drops.words(mount)) {
            result.reason = format!("{}; {words}", result.reason).into();
        }
    }
}

/// A run that began so long before a look at cron's log was taken is in it: a poll takes its time, and so does syslog.
const LOGGED_WITHIN_MS: i64 = 15_000;

fn clocks(lately: &Lately, context: &Context) -> Clocks {
    Clocks { now_ms: context.now.utc_ms, skew_ms: lately.deeds.skew_ms }
}

fn disk_checks(disk: &DiskReading, before: Option<&DiskReading>, context: &Context) -> Vec<CheckResult> {
    let mut results = disk_space::check(disk, context);
    results.extend(disk_inodes::check(disk, context));
    results.extend(disk_readonly::check(disk, before, context));
    results.extend(disk_raid::check(disk, context));
    results
}

/// The checks that stand in for a probe which has never been read, so that its silence is seen.
pub fn placeholders(probe: &ProbeId, settings: &Settings, why: &SafeText) -> Vec<CheckResult> {
    let missing = |kind, subject: SafeText, unit| CheckResult::missing(CheckId::on(kind, subject), why.as_str(), unit);
    match probe {
        ProbeId::Host => vec![CheckResult::missing(CheckId::of(CheckKind::HostLoad), why.as_str(), Unit::PerCpu)],
        ProbeId::Disk => vec![CheckResult::missing(CheckId::of(CheckKind::DiskSpace), why.as_str(), Unit::Percent)],
        ProbeId::SlowMount(mount) => vec![missing(CheckKind::DiskSpace, mount.clone(), Unit::Percent)],
        ProbeId::Backup(set) => vec![missing(CheckKind::BackupAge, set.as_str().into(), Unit::Seconds)],
        ProbeId::Cron => settings
            .jobs
            .iter()
            .map(|job| missing(CheckKind::CronJob, job.name.as_str().into(), Unit::Seconds))
            .collect(),
        ProbeId::Logs => {
            let paths = settings.logs.iter().filter(|watch| matches!(watch, LogWatch::Path(_)));
            paths.map(|watch| missing(CheckKind::LogGrowth, watch.label().into(), Unit::BytesPerSecond)).collect()
        }
        ProbeId::Journal => {
            let journals = settings.logs.iter().filter(|watch| matches!(watch, LogWatch::Journal(_)));
            let rate = |watch: &LogWatch, rule: &str| {
                missing(CheckKind::LogRate, format!("{rule}:{}", watch.label()).into(), Unit::PerWindow)
            };
            journals.flat_map(|watch| settings.rules.iter().map(move |rule| rate(watch, rule.name.as_str()))).collect()
        }
        ProbeId::Modes => {
            let directories = settings.no_world_writable.iter();
            let subject = |directory: &String| SafeText::new(directory);
            directories.map(|dir| missing(CheckKind::HostWorldWritable, subject(dir), Unit::Count)).collect()
        }
        ProbeId::Integrity => {
            let files = settings.integrity.iter();
            files.map(|file| missing(CheckKind::HostIntegrity, SafeText::new(file), Unit::Count)).collect()
        }
        ProbeId::Units | ProbeId::Smart | ProbeId::Engine | ProbeId::Restores | ProbeId::Accounting => Vec::new(),
    }
}
