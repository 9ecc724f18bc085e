//! Scenarios: what a small fleet's hosts answered over time, as bytes. Everything else is the program's own work.

pub mod record;
mod template;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use self::record::{RecordError, ScenarioRecord};
pub use self::template::Offsets;
use self::template::{Place, render};
use crate::config::policy::PolicyFile;
use crate::config::{self, Config, ConfigError};
use crate::domain::fleet::{HostName, NameError};
use crate::domain::probe::ProbeId;

/// The scenarios that come with the program.
const BUILT_IN: [(&str, &str); 5] = [
    ("thursday-backup", include_str!("../../../assets/scenarios/thursday-backup.toml")),
    ("unwatched-corner", include_str!("../../../assets/scenarios/unwatched-corner.toml")),
    ("log-purge", include_str!("../../../assets/scenarios/log-purge.toml")),
    ("nightly-transfer", include_str!("../../../assets/scenarios/nightly-transfer.toml")),
    ("log-copy", include_str!("../../../assets/scenarios/log-copy.toml")),
];
/// Probes that have one name.
const PROBES: [&str; 10] =
    ["host", "disk", "logs", "journal", "cron", "units", "smart", "modes", "accounting", "integrity"];
/// What a host answers that is well; a scenario's own outputs come before it.
const WELL: &str = include_str!("../../../assets/scenarios/well.toml");

/// A fleet over time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a few words.
    pub title: String,
    /// The time at which it begins.
    pub begins: DateTime<Utc>,
    /// How much of its time lies between two looks at its hosts.
    #[serde(deserialize_with = "duration")]
    pub step: Duration,
    #[serde(deserialize_with = "duration")]
    pub lasts: Duration,
    /// The machine that watches, one of the fleet.
    pub console: String,
    /// The fleet, as hosts.toml writes it.
    pub fleet: String,
    #[serde(default)]
    output: Vec<HostOutput>,
    #[serde(default)]
    silence: Vec<Silence>,
    /// The policy of the office, as policy.toml writes it.
    pub policy: Option<String>,
    /// What the audit holds, in the order of time.
    #[serde(default, rename = "record")]
    pub records: Vec<ScenarioRecord>,
}

/// What a probe's script brought from some hosts during some time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostOutput {
    /// Names, or `*` for every host.
    hosts: Vec<String>,
    probe: String,
    #[serde(default, deserialize_with = "duration")]
    from: Duration,
    #[serde(default, deserialize_with = "some_duration")]
    until: Option<Duration>,
    /// It begins again and again at this distance,
    #[serde(default, deserialize_with = "some_duration")]
    every: Option<Duration>,
    /// and holds for this long each time.
    #[serde(default, rename = "for", deserialize_with = "some_duration")]
    holds: Option<Duration>,
    bytes: String,
}

/// A time in which nothing comes back from some hosts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Silence {
    hosts: Vec<String>,
    #[serde(default, deserialize_with = "duration")]
    from: Duration,
    #[serde(default, deserialize_with = "some_duration")]
    until: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Well {
    output: Vec<HostOutput>,
}

/// Why a scenario can't be played.
#[derive(Debug, Error)]
pub enum ScenarioError {
    #[error("scenario {file}: {error}")]
    Syntax { file: String, error: toml::de::Error },
    #[error("scenario {file}: console: {error}")]
    Console { file: String, error: NameError },
    #[error("scenario {file}: its fleet: {error}")]
    Fleet { file: String, error: ConfigError },
    #[error("scenario {file}: no host of its fleet is named {name}")]
    NoSuchHost { file: String, name: String },
    #[error("scenario {file}: no probe is named {name}: there are {known}, backup:SET and mount:PATH", known = PROBES.join(", "))]
    NoSuchProbe { file: String, name: String },
    #[error("scenario {file}: its policy: {error}")]
    Policy { file: String, error: ConfigError },
    #[error("scenario {file}: {error}")]
    Record { file: String, error: RecordError },
    #[error("scenario {file}: step and lasts must be longer than nothing, and lasts a whole step at least")]
    NoTime { file: String },
}

impl Scenario {
    /// The names of those that come with the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The text of one that comes with the program.
    pub fn built_in(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Reads a scenario, and the fleet that it names.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Config), ScenarioError> {
        let file = file.to_owned();
        let syntax = |error| ScenarioError::Syntax { file: file.clone(), error };
        let mut scenario: Self = toml::from_str(text).map_err(syntax)?;
        let Well { output } = toml::from_str(WELL).map_err(syntax)?;
        if scenario.step.is_zero() || scenario.lasts < scenario.step {
            return Err(ScenarioError::NoTime { file });
        }
        let console =
            HostName::parse(&scenario.console).map_err(|error| ScenarioError::Console { file: file.clone(), error })?;
        let config = config::parse(&format!("{file}: fleet"), &scenario.fleet, &console)
            .map_err(|error| ScenarioError::Fleet { file: file.clone(), error })?;
        scenario.policy_file().map_err(|error| ScenarioError::Policy { file: file.clone(), error })?;
        record::check(&scenario.records).map_err(|error| ScenarioError::Record { file: file.clone(), error })?;
        let outputs = scenario.output.iter().map(|output| &output.hosts);
        let named = outputs.chain(scenario.silence.iter().map(|silence| &silence.hosts)).flatten();
        let is_known = |name: &str| name == "*" || config.fleet.hosts.iter().any(|host| host.name.as_str() == name);
        if let Some(name) = named.into_iter().find(|name| !is_known(name)) {
            return Err(ScenarioError::NoSuchHost { file, name: name.clone() });
        }
        let is_probe = |name: &str| PROBES.contains(&name) || name.starts_with("backup:") || name.starts_with("mount:");
        if let Some(output) = scenario.output.iter().find(|output| !is_probe(&output.probe)) {
            return Err(ScenarioError::NoSuchProbe { file, name: output.probe.clone() });
        }
        scenario.output.splice(..0, output);
        Ok((scenario, config))
    }

    /// What a probe brings from a host `at` this long after the beginning, at its cuts; `None` where nothing is said of it.
    pub fn parts(&self, host: &HostName, probe: &ProbeId, at: Duration, offsets: &Offsets) -> Option<Vec<Vec<u8>>> {
        let probe = probe.to_string();
        let of_probe = |output: &&HostOutput| output.probe == probe && names(&output.hosts, host);
        let spoken = self.output.iter().rev().filter(of_probe);
        let (output, begun) = spoken.into_iter().find_map(|output| Some((output, output.begun(at, self.lasts)?)))?;
        let place = Place {
            begins: self.begins,
            at,
            step: self.step,
            from: output.from,
            until: output.until.unwrap_or(self.lasts),
            begun,
            every: output.every,
            offsets,
        };
        Some(render(&output.bytes, &place))
    }

    /// The office's policy, which nobody there could change; `None` where there is none.
    pub fn policy_file(&self) -> Result<Option<PolicyFile>, ConfigError> {
        self.policy.as_ref().map(|text| config::policy::parse("policy", text, None)).transpose()
    }

    /// Whether nothing at all comes back from a host.
    pub fn is_silent(&self, host: &HostName, at: Duration) -> bool {
        let holds = |silence: &Silence| silence.from <= at && at < silence.until.unwrap_or(Duration::MAX);
        self.silence.iter().any(|silence| holds(silence) && names(&silence.hosts, host))
    }
}

impl HostOutput {
    /// How often it has begun by then, where it holds then.
    fn begun(&self, at: Duration, lasts: Duration) -> Option<u32> {
        let since = at.checked_sub(self.from)?;
        if self.until.unwrap_or(lasts.saturating_add(lasts)) <= at {
            return None;
        }
        let Some(every) = self.every.filter(|every| !every.is_zero()) else { return Some(1) };
        let before = u32::try_from(since.as_secs() / every.as_secs().max(1)).unwrap_or(u32::MAX);
        let holds = self.holds.unwrap_or(every);
        (since.saturating_sub(every * before) < holds).then(|| before.saturating_add(1))
    }
}

fn names(hosts: &[String], host: &HostName) -> bool {
    hosts.iter().any(|name| name == "*" || name == host.as_str())
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| serde::de::Error::custom(format!("'{text}': {error}")))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "title = 't'\nbegins = '2026-01-01T00:00:00Z'\nstep = '1h'\nlasts = '2d'\nconsole = 'ops'\n\
                         fleet = \"[host.web1]\"\n";

    fn refused(text: &str) -> String {
        Scenario::parse("x.toml", text).err().map_or("taken".to_owned(), |error| error.to_string())
    }

    /// A scenario that could name a status would prove nothing about the program.
    #[test]
    fn a_scenario_offers_bytes_and_silence_and_what_people_put_on_record_and_nothing_else() {
        let fields = |more: &str| {
            let said = refused(&format!("{SMALL}{more}"));
            said.split_once("expected one of ").map(|(_, fields)| fields.lines().next().unwrap_or("").to_owned())
        };
        assert_eq!(
            fields("zzz = 1").as_deref(),
            Some("`title`, `begins`, `step`, `lasts`, `console`, `fleet`, `output`, `silence`, `policy`, `record`")
        );
        assert_eq!(
            fields("[[output]]\nzzz = 1").as_deref(),
            Some("`hosts`, `probe`, `from`, `until`, `every`, `for`, `bytes`")
        );
        assert_eq!(fields("[[silence]]\nzzz = 1").as_deref(), Some("`hosts`, `from`, `until`"));
        assert_eq!(fields("[[record]]\nzzz = 1").as_deref(), Some("`at`, `who`, `name`, `event`"));
    }

    #[test]
    fn a_host_that_is_not_in_the_fleet_is_named() {
        let output = "[[output]]\nhosts = ['web2']\nprobe = 'disk'\nbytes = ''\n";
        assert_eq!(refused(&format!("{SMALL}{output}")), "scenario x.toml: no host of its fleet is named web2");
    }

    #[test]
    fn a_probe_that_there_is_not_is_named() {
        let output = "[[output]]\nhosts = ['web1']\nprobe = 'disks'\nbytes = ''\n";
        assert!(refused(&format!("{SMALL}{output}")).contains("no probe is named disks: there are host, disk,"));
    }

    #[test]
    fn what_recurs_holds_for_its_time_and_is_counted() {
        let output =
            "[[output]]\nhosts = ['web1']\nprobe = 'units'\nfrom = '4h'\nevery = '24h'\nfor = '2h'\nbytes = 'x'\n";
        let (scenario, _) =
            Scenario::parse("x.toml", &format!("{SMALL}{output}")).unwrap_or_else(|error| panic!("{error}"));
        let host = &HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"));
        let begun = |hours: u64| {
            scenario.output.last().and_then(|output| output.begun(Duration::from_secs(hours * 3_600), scenario.lasts))
        };
        assert_eq!([3, 4, 5, 6, 28, 30].map(begun), [None, Some(1), Some(1), None, Some(2), None]);
        let brought = scenario.parts(host, &ProbeId::Units, Duration::from_secs(4 * 3_600), &Offsets::new());
        assert_eq!(brought, Some(vec![b"x\n".to_vec()]));
    }

    #[test]
    fn every_built_in_scenario_can_be_read_and_has_eight_hosts() {
        for (name, text) in BUILT_IN {
            let (_, config) = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(config.fleet.hosts.len(), 8, "{name}");
        }
    }
}
