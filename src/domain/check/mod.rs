//! Checks: a reading and its limits become a result with its reason. One file per check.

pub mod backup;
pub mod backup_restore;
pub mod cron_changed;
pub mod cron_job;
mod cron_log_loss;
pub mod disk_drop;
pub mod disk_inodes;
pub mod disk_raid;
pub mod disk_readonly;
pub mod disk_smart;
pub mod disk_space;
pub mod evaluate;
pub mod host_clock;
pub mod host_integrity;
pub mod host_load;
pub mod host_memory;
pub mod host_reboot;
pub mod host_units;
pub mod host_writable;
mod id;
pub mod logs;
pub mod proof_health;
pub mod state;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::id::{CheckId, UnknownCheck};
use super::observed::Quality;
use super::settings::{Limits, Settings};
use super::status::Status;
use super::text::SafeText;
use super::time::Moment;
use super::trend::forecast::Forecast;

/// Which pane shows a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pane {
    Disk,
    Logs,
    Backup,
    Cron,
    Host,
}

impl Pane {
    pub const ALL: [Pane; 5] = [Pane::Disk, Pane::Logs, Pane::Backup, Pane::Cron, Pane::Host];

    pub fn word(self) -> &'static str {
        match self {
            Pane::Disk => "disk",
            Pane::Logs => "logs",
            Pane::Backup => "backup",
            Pane::Cron => "cron",
            Pane::Host => "host",
        }
    }
}

macro_rules! check_kinds {
    ($($kind:ident $name:literal $pane:ident),+ $(,)?) => {
        /// What is checked; [`CheckKind::name`] is the first half of a check's id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CheckKind { $($kind),+ }

        impl CheckKind {
            pub const ALL: &'static [CheckKind] = &[$(CheckKind::$kind),+];

            pub fn name(self) -> &'static str {
                match self { $(CheckKind::$kind => $name),+ }
            }

            pub fn pane(self) -> Pane {
                match self { $(CheckKind::$kind => Pane::$pane),+ }
            }
        }
    };
}

check_kinds! {
    DiskSpace "disk.space" Disk,
    DiskInodes "disk.inodes" Disk,
    DiskReadonly "disk.readonly" Disk,
    DiskRaid "disk.raid" Disk,
    DiskSmart "disk.smart" Disk,
    LogGrowth "log.growth" Logs,
    LogShrunk "log.shrunk" Logs,
    LogRate "log.rate" Logs,
    BackupAge "backup.age" Backup,
    BackupRetention "backup.retention" Backup,
    BackupTarget "backup.target" Backup,
    CronJob "cron.job" Cron,
    HostLoad "host.load" Host,
    HostMemory "host.memory" Host,
    HostSwap "host.swap" Host,
    HostReboot "host.reboot" Host,
    HostUnits "host.units" Host,
    HostClock "host.clock" Host,
    HostWorldWritable "host.world-writable" Host,
    BackupRestore "backup.restore" Backup,
    ProofHealth "proof.health" Cron,
    CronChanged "cron.changed" Cron,
    HostIntegrity "host.integrity" Host,
}

impl CheckKind {
    /// Whether a course over time says something of it: screens draw it, and forecasts rest on it.
    pub fn has_trend(self) -> bool {
        match self {
            CheckKind::DiskSpace
            | CheckKind::DiskInodes
            | CheckKind::BackupTarget
            | CheckKind::HostLoad
            | CheckKind::HostMemory
            | CheckKind::HostSwap => true,
            CheckKind::DiskReadonly
            | CheckKind::DiskRaid
            | CheckKind::DiskSmart
            | CheckKind::LogGrowth
            | CheckKind::LogShrunk
            | CheckKind::LogRate
            | CheckKind::BackupAge
            | CheckKind::BackupRetention
            | CheckKind::CronJob
            | CheckKind::HostReboot
            | CheckKind::HostUnits
            | CheckKind::HostClock
            | CheckKind::HostWorldWritable
            | CheckKind::BackupRestore
            | CheckKind::ProofHealth
            | CheckKind::CronChanged
            | CheckKind::HostIntegrity => false,
        }
    }
}

impl CheckKind {
    /// Whether its values are kept as samples: of the others the transitions tell all there is.
    pub fn is_sampled(self) -> bool {
        match self {
            CheckKind::DiskReadonly
            | CheckKind::DiskRaid
            | CheckKind::DiskSmart
            | CheckKind::LogShrunk
            | CheckKind::HostWorldWritable
            | CheckKind::HostReboot
            | CheckKind::BackupRestore
            | CheckKind::ProofHealth
            | CheckKind::CronChanged
            | CheckKind::HostIntegrity => false,
            CheckKind::DiskSpace
            | CheckKind::DiskInodes
            | CheckKind::LogGrowth
            | CheckKind::LogRate
            | CheckKind::BackupAge
            | CheckKind::BackupRetention
            | CheckKind::BackupTarget
            | CheckKind::CronJob
            | CheckKind::HostLoad
            | CheckKind::HostMemory
            | CheckKind::HostSwap
            | CheckKind::HostUnits
            | CheckKind::HostClock => true,
        }
    }
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Percent,
    Seconds,
    Bytes,
    BytesPerSecond,
    PerCpu,
    Count,
    PerWindow,
}

impl Unit {
    /// As the JSON names it.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Percent => "percent",
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes_per_second",
            Unit::PerCpu => "per_cpu",
            Unit::Count => "count",
            Unit::PerWindow => "per_window",
        }
    }
}

/// What a check made of a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    pub id: CheckId,
    pub status: Status,
    /// A sentence for people.
    pub reason: SafeText,
    pub value: Option<f64>,
    pub unit: Unit,
    /// What the value alone gave, where something else may have raised `status` above it.
    pub by_limit: Option<Status>,
    /// When the thing is full, if it goes on as it did.
    pub full_at: Option<DateTime<Utc>>,
    /// [`Quality::Fresh`], [`Quality::Partial`] or [`Quality::Missing`]; age makes it stale later.
    pub quality: Quality,
}

impl CheckResult {
    pub fn new(id: CheckId, status: Status, reason: impl Into<SafeText>, unit: Unit) -> Self {
        Self {
            id,
            status,
            reason: reason.into(),
            value: None,
            unit,
            by_limit: None,
            full_at: None,
            quality: Quality::Fresh,
        }
    }

    pub fn value(mut self, value: f64) -> Self {
        self.value = value.is_finite().then_some(value);
        self
    }

    /// A result for what could not be measured: unknown, and why.
    pub fn missing(id: CheckId, reason: impl Into<SafeText>, unit: Unit) -> Self {
        Self { quality: Quality::Missing, ..Self::new(id, Status::Unknown, reason, unit) }
    }

    pub fn partial(mut self) -> Self {
        self.quality = Quality::Partial;
        self
    }
}

/// What checks know besides the reading.
pub struct Context<'a> {
    pub settings: &'a Settings,
    /// When the reading was taken.
    pub now: Moment,
    pub memory: &'a dyn Memory,
}

/// What was known of a check before this reading.
pub trait Memory {
    /// The status that its last reading gave; of a check with limits, what the value alone gave.
    fn previous_status(&self, id: &CheckId) -> Option<Status>;
    /// Where its series is heading.
    fn forecast(&self, id: &CheckId) -> Forecast;
}

impl Context<'_> {
    fn limit(&self, id: &CheckId, limits: Limits, value: f64) -> Status {
        limits.status(value, self.memory.previous_status(id).unwrap_or(Status::Ok))
    }
}

impl Limits {
    /// The status of a value; one that was already raised is kept until the value is `clear` below its limit.
    pub fn status(&self, value: f64, previous: Status) -> Status {
        let holds = |limit: f64, raised: bool| if raised { limit - self.clear <= value } else { limit <= value };
        let was_critical = previous == Status::Critical;
        let was_raised = was_critical || previous == Status::Warning;
        if holds(self.critical, was_critical) {
            Status::Critical
        } else if holds(self.warning, was_raised) {
            Status::Warning
        } else {
            Status::Ok
        }
    }
}

/// Bytes as people read them: `1.5 GB`, in powers of 1,000 as disks are sold and full.
pub fn bytes_words(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes.max(0.0);
    let mut unit = 0;
    while 999.5 <= value && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    match (unit, value < 9.95) {
        (1.., true) => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A memory with one previous status and one forecast for every check.
    pub struct Fixed {
        pub previous: Option<Status>,
        pub forecast: Forecast,
    }

    impl Memory for Fixed {
        fn previous_status(&self, _: &CheckId) -> Option<Status> {
            self.previous
        }

        fn forecast(&self, _: &CheckId) -> Forecast {
            self.forecast
        }
    }

    pub const NOTHING_KNOWN: Fixed = Fixed { previous: None, forecast: Forecast::NotEnough { have: 0, need: 12 } };

    pub fn show(results: &[CheckResult]) -> String {
        let line = |result: &CheckResult| format!("{} {} {}", result.id, result.status, result.reason);
        results.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { warning: 85.0, critical: 95.0, clear: 3.0 };

    fn check(value: f64, previous: Status, expected: Status) {
        assert_eq!(LIMITS.status(value, previous), expected, "{value} after {previous}");
    }

    #[test]
    fn a_limit_is_reached_at_its_own_value() {
        check(84.9, Status::Ok, Status::Ok);
        check(85.0, Status::Ok, Status::Warning);
        check(95.0, Status::Ok, Status::Critical);
    }

    #[test]
    fn a_raised_status_clears_three_points_lower() {
        check(82.0, Status::Warning, Status::Warning);
        check(81.9, Status::Warning, Status::Ok);
        check(92.0, Status::Critical, Status::Critical);
        check(91.9, Status::Critical, Status::Warning);
        check(82.0, Status::Critical, Status::Warning);
    }

    #[test]
    fn an_unknown_before_holds_nothing_up() {
        check(84.0, Status::Unknown, Status::Ok);
    }

    #[test]
    fn every_id_reads_back_as_it_was_written() {
        for kind in CheckKind::ALL {
            for id in [CheckId::of(*kind), CheckId::on(*kind, "/a:b c".into())] {
                assert_eq!(id.to_string().parse::<CheckId>().ok(), Some(id));
            }
        }
    }

    #[test]
    fn bytes_read_as_people_say_them() {
        assert_eq!(bytes_words(1_500_000_000.0), "1.5 GB");
        assert_eq!(bytes_words(999.0), "999 B");
        assert_eq!(bytes_words(52_000.0), "52 kB");
    }
}
