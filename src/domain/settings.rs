//! What may be set for a host, resolved: every field has a value, and its default stands here.

use std::sync::LazyLock;
use std::time::Duration;

use super::fleet::{ItemName, ProtectionColour};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);

/// Every setting of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How often the fast lane polls.
    pub cadence: Duration,
    /// How often crontabs, timers, failed units and logrotate's status are read.
    pub cron_cadence: Duration,
    /// How often each probe of the slow lane runs.
    pub slow_cadence: Duration,
    /// How soon a slow probe is tried again while its check is not yet confirmed.
    pub slow_retry: Duration,
    /// Connecting, the handshake and authentication, each.
    pub connect_deadline: Duration,
    /// An idle link is asked for a sign of life after this long; three unanswered questions later it is lost.
    pub keepalive: Duration,
    /// One poll of the fast lane.
    pub deadline: Duration,
    /// One probe of the slow lane.
    pub slow_deadline: Duration,
    /// Bytes of output kept from one poll.
    pub output_bytes_max: usize,
    /// Readings in a row before a status is confirmed.
    pub attempts: u32,
    /// Whether probes that need it may use `sudo -n`.
    pub sudo: bool,
    /// The colour by which the screen says whose host this is.
    pub colour: Option<ProtectionColour>,
    pub disk: DiskSettings,
    pub inodes: Limits,
    pub forecast: ForecastSettings,
    pub load: Limits,
    pub memory: Limits,
    pub swap: Limits,
    pub clock: DurationLimits,
    pub units: UnitSettings,
    pub log: LogSettings,
    pub logs: Vec<LogWatch>,
    /// Directories below which nothing may be writable by everybody.
    pub no_world_writable: Vec<String>,
    pub rules: Vec<RateRule>,
    /// Files that should stay as they are.
    pub integrity: Vec<String>,
    /// Further commands that are told beside what changed, by the names that accounting records hold.
    pub commands: Vec<String>,
    /// Where the process accounting file is; `None` for the usual places.
    pub accounting: Option<String>,
    pub backups: Vec<BackupSet>,
    pub jobs: Vec<JobSpec>,
}

/// Upper limits with a margin for clearing: a status that was reached at `warning` ends below `warning - clear`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub warning: f64,
    pub critical: f64,
    pub clear: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DurationLimits {
    pub warning: Duration,
    pub critical: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DiskSettings {
    /// Percent used, by df's formula.
    pub space: Limits,
    /// Mount points left out, as shell-style patterns.
    pub ignore: Vec<String>,
    /// Mount points that are meant to be read-only.
    pub read_only: Vec<String>,
    /// Ask `smartctl` for each disk (needs `sudo = true` or root).
    pub smart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastSettings {
    pub window: Duration,
    pub warning: Duration,
    pub critical: Duration,
    /// Percent used below which no time-to-full raises a status.
    pub above: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UnitSettings {
    /// Failed units that are no news, as shell-style patterns.
    pub ignore: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSettings {
    /// WARNING when the log alone fills its mount within this time.
    pub growth_warning: Duration,
    /// New bytes read from one log in one poll.
    pub bytes_max: u64,
    /// Journal entries read from one unit in one poll.
    pub entries_max: u32,
}

/// One watched log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogWatch {
    /// A path or a glob pattern, expanded on the host.
    Path(String),
    /// The journal, whole or of one unit.
    Journal(Option<String>),
}

impl LogWatch {
    /// As hosts.toml writes it, and as check ids name it.
    pub fn label(&self) -> String {
        match self {
            LogWatch::Path(path) => path.clone(),
            LogWatch::Journal(None) => "journal".to_owned(),
            LogWatch::Journal(Some(unit)) => format!("journal:{unit}"),
        }
    }
}

/// Counts matching new lines against a rate.
#[derive(Clone, Debug)]
pub struct RateRule {
    pub name: ItemName,
    pub pattern: regex::bytes::Regex,
    /// Matches within `per`.
    pub warning: f64,
    pub critical: f64,
    pub per: Duration,
}

impl PartialEq for RateRule {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.pattern.as_str(), self.warning, self.critical, self.per)
            == (&other.name, other.pattern.as_str(), other.warning, other.critical, other.per)
    }
}

/// The built-in rate rules: name, pattern, warning and critical matches in five minutes.
pub const BUILT_IN_RULES: [(&str, &str, f64, f64); 5] = [
    ("auth-failure", r"(?i)authentication failure|failed password|invalid user|failed publickey", 20.0, 200.0),
    ("http-5xx", r#"" 5\d\d (?:\d+|-)(?: |$)"#, 10.0, 100.0),
    ("io-error", r"(?i)\bI/O error\b|input/output error|EXT4-fs error|XFS .*(?:corruption|error)", 1.0, 5.0),
    ("no-space", r"(?i)no space left on device|disk quota exceeded", 1.0, 5.0),
    ("oom", r"(?i)out of memory:|oom-kill|invoked oom-killer", 1.0, 5.0),
];

/// A set of backups that somebody expects.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupSet {
    pub name: ItemName,
    pub source: BackupSource,
    pub age: DurationLimits,
    /// Most archives that the policy keeps; more of them means "never prunes".
    pub keep: Option<u32>,
    /// Oldest archive that the policy keeps.
    pub keep_age: Option<Duration>,
    /// How often a restore from it is to be tested.
    pub restore_test: Option<Duration>,
    /// Run the tool as root by `sudo -n`.
    pub sudo: bool,
    /// Free space of the target, percent used.
    pub target: Limits,
}

/// Where a backup set's archives are read from.
#[derive(Clone, Debug, PartialEq)]
pub enum BackupSource {
    /// Plain files in one directory whose names match a shell pattern.
    Files { directory: String, pattern: String, size_min: u64 },
    /// `restic snapshots`, the password read by restic from a file on the host.
    Restic { repository: String, password_file: String },
    /// `borg list`; the passphrase is printed by a command on the host, if one is needed.
    Borg { repository: String, passcommand: Option<String> },
    /// `borgmatic list` with a configuration file on the host.
    Borgmatic { config: String },
}

/// A job that somebody declared to matter.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    pub name: ItemName,
    pub expectation: Expectation,
    /// How late a run may be before it counts as missed.
    pub grace: Duration,
    /// Text that the command in cron's log contains, or the timer's unit.
    pub evidence: JobEvidence,
    /// A run whose outcome nobody recorded is good enough.
    pub accept_ran: bool,
    /// How long it usually takes, where its history is not to say so.
    pub usual: Option<Duration>,
    /// After how long it gives up by itself: what took as long is explained by it.
    pub gives_up: Option<Duration>,
    /// What its own log says at its end.
    pub marker: Option<Marker>,
    /// The backup set in which each run leaves a new archive.
    pub leaves: Option<String>,
}

/// Lines of a job's own log that tell of its end.
#[derive(Clone, Debug)]
pub struct Marker {
    /// The label of the watched log.
    pub log: String,
    pub done: Option<regex::bytes::Regex>,
    pub failed: Option<regex::bytes::Regex>,
}

impl Marker {
    /// Whether a line says that the job succeeded; `None` where it says nothing of its end. One that says both tells of a
    /// failure.
    pub fn says(&self, line: &[u8]) -> Option<bool> {
        let matches = |pattern: &Option<regex::bytes::Regex>| pattern.as_ref().is_some_and(|it| it.is_match(line));
        if matches(&self.failed) { Some(false) } else { matches(&self.done).then_some(true) }
    }
}

impl PartialEq for Marker {
    fn eq(&self, other: &Self) -> bool {
        let patterns = |marker: &Self| {
            [&marker.done, &marker.failed].map(|pattern| pattern.as_ref().map(|pattern| pattern.as_str().to_owned()))
        };
        self.log == other.log && patterns(self) == patterns(other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvidence {
    CronLog { command: String, user: Option<String> },
    Timer { unit: String },
}

/// When a job should run.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// A cron expression in the host's own time zone.
    Schedule(String),
    /// At least once in each period.
    Every(Duration),
}

impl Default for Settings {
    fn default() -> Self {
        let limits = |warning, critical, clear| Limits { warning, critical, clear };
        Self {
            cadence: Duration::from_secs(10),
            cron_cadence: MINUTE,
            slow_cadence: 15 * MINUTE,
            slow_retry: MINUTE,
            connect_deadline: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
            deadline: Duration::from_secs(8),
            slow_deadline: MINUTE,
            output_bytes_max: 4 << 20,
            attempts: 3,
            sudo: false,
            colour: None,
            disk: DiskSettings {
                space: limits(85.0, 95.0, 3.0),
                ignore: Vec::new(),
                read_only: Vec::new(),
                smart: true,
            },
            inodes: limits(85.0, 95.0, 3.0),
            forecast: ForecastSettings { window: 6 * HOUR, warning: 24 * HOUR, critical: 4 * HOUR, above: 60.0 },
            load: limits(2.0, 4.0, 0.2),
            memory: limits(90.0, 97.0, 2.0),
            swap: limits(60.0, 90.0, 5.0),
            clock: DurationLimits { warning: Duration::from_secs(2), critical: Duration::from_secs(30) },
            units: UnitSettings { ignore: Vec::new() },
            log: LogSettings { growth_warning: 24 * HOUR, bytes_max: 256 << 10, entries_max: 1_000 },
            logs: Vec::new(),
            no_world_writable: Vec::new(),
            rules: built_in_rules(),
            integrity: Vec::new(),
            commands: Vec::new(),
            accounting: None,
            backups: Vec::new(),
            jobs: Vec::new(),
        }
    }
}

impl Settings {
    /// How long a reading of a probe with this cadence may be believed: twice the cadence and the deadline.
    pub fn fresh_for(cadence: Duration, deadline: Duration) -> Duration {
        cadence.saturating_mul(2).saturating_add(deadline)
    }
}

/// The built-in rules, compiled once; a pattern that does not compile would be caught by this module's test.
pub fn built_in_rules() -> Vec<RateRule> {
    static COMPILED: LazyLock<Vec<RateRule>> = LazyLock::new(|| {
        let compiled = BUILT_IN_RULES.iter().filter_map(|(name, pattern, warning, critical)| {
            Some(RateRule {
                name: ItemName::parse(name).ok()?,
                pattern: regex::bytes::Regex::new(pattern).ok()?,
                warning: *warning,
                critical: *critical,
                per: 5 * MINUTE,
            })
        });
        compiled.collect()
    });
    COMPILED.clone()
}

/// Whether a shell-style pattern (`*`, `?`) matches the whole text, in time linear in their product.
pub fn pattern_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_compiles() {
        assert_eq!(built_in_rules().len(), BUILT_IN_RULES.len());
    }

    fn rule_counts(name: &str, line: &str) -> bool {
        built_in_rules().iter().any(|rule| rule.name.as_str() == name && rule.pattern.is_match(line.as_bytes()))
    }

    #[test]
    fn a_502_in_a_combined_access_log_counts_and_a_size_of_502_does_not() {
        assert!(rule_counts("http-5xx", r#"::1 - - [21/Nov/2026:04:30:00 +0000] "GET / HTTP/1.1" 502 157 "-" "curl""#));
        assert!(!rule_counts(
            "http-5xx",
            r#"::1 - - [21/Nov/2026:04:30:00 +0000] "GET / HTTP/1.1" 200 502 "-" "curl""#
        ));
    }

    #[test]
    fn shell_patterns_match_whole_texts() {
        assert!(pattern_matches("/var/lib/docker/*", "/var/lib/docker/overlay2/x"));
        assert!(pattern_matches("*.mount", "a.mount"));
        assert!(!pattern_matches("/run", "/run/user"));
        assert!(pattern_matches("a*b*c", "a-b-b-c"));
    }
}
