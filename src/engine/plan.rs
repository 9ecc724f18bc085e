//! Which probes are due on a lane, the script that asks them, and how their answers are read.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::adapters::transport::{End, Output};
use crate::domain::fleet::HostSpec;
use crate::domain::probe::script::{Answers, END_STATUS, Nonce, Section, compose, split};
use crate::domain::probe::{Lane, ParseError, ProbeId, Reading, disk, host};
use crate::domain::settings::Settings;
use crate::domain::text::SafeText;

/// The probes of one lane of one host with their due times.
pub struct Plan {
    due: BTreeMap<ProbeId, Instant>,
}

/// The probes that one poll asks.
pub struct Poll {
    pub probes: Vec<ProbeId>,
    pub script: String,
    nonce: Nonce,
}

/// Each asked probe's reading, or why there is none.
pub type Outcomes = Vec<(ProbeId, Result<Reading, SafeText>)>;

impl Plan {
    /// `None` where the lane has nothing to do.
    pub fn new(spec: &HostSpec, lane: Lane, now: Instant) -> Option<Self> {
        let due: BTreeMap<ProbeId, Instant> =
            probes(spec).into_iter().filter(|probe| probe.lane() == lane).map(|probe| (probe, now)).collect();
        (!due.is_empty()).then_some(Self { due })
    }

    /// When the next probe is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Makes every probe due.
    pub fn make_due(&mut self, now: Instant) {
        self.due.values_mut().for_each(|due| *due = now);
    }

    /// A poll of all the probes that are due now.
    pub fn poll(&self, now: Instant, nonce: Nonce) -> Poll {
        let probes: Vec<ProbeId> =
            self.due.iter().filter(|(_, due)| **due <= now).map(|(probe, _)| probe.clone()).collect();
        let sections: Vec<Section> = probes.iter().map(section).collect();
        Poll { script: compose(&nonce, &sections), nonce, probes }
    }

    /// Sets when each polled probe is due again.
    pub fn reschedule(&mut self, probes: &[ProbeId], settings: &Settings, from: Instant) {
        for probe in probes {
            self.due.insert(probe.clone(), from + cadence(probe, settings));
        }
    }
}

/// What is asked of a host.
fn probes(_spec: &HostSpec) -> Vec<ProbeId> {
    vec![ProbeId::Host, ProbeId::Disk]
}

/// How often a probe is asked.
pub fn cadence(probe: &ProbeId, settings: &Settings) -> Duration {
    match probe {
        ProbeId::Host | ProbeId::Disk | ProbeId::Engine => settings.cadence,
    }
}

/// How long a probe's poll may take.
pub fn deadline(lane: Lane, settings: &Settings) -> Duration {
    match lane {
        Lane::Fast => settings.deadline,
        Lane::Slow => settings.slow_deadline,
    }
}

/// How long a probe's reading may be believed.
pub fn fresh_for(probe: &ProbeId, settings: &Settings) -> Duration {
    Settings::fresh_for(cadence(probe, settings), deadline(probe.lane(), settings))
}

fn section(probe: &ProbeId) -> Section {
    match probe {
        ProbeId::Host => Section { script: host::SCRIPT, parameters: vec![] },
        ProbeId::Disk => Section { script: disk::SCRIPT, parameters: vec![] },
        ProbeId::Engine => Section { script: ":", parameters: vec![] },
    }
}

impl Poll {
    /// Splits the output again, for its cost and its sections.
    pub fn answers<'a>(&self, output: &'a Output) -> Answers<'a> {
        split(&output.stdout, &self.nonce, self.probes.len())
    }

    /// Reads every section that came back whole; the others say what cut them.
    pub fn outcomes(&self, answers: &Answers, output: &Output) -> Outcomes {
        let whole_poll_failed = match &output.end {
            End::Exited(END_STATUS) => None,
            End::Exited(0) => {
                Some("the shell ended without an exit status of the script: nothing of it is believed".to_owned())
            }
            End::Exited(code) => Some(format!("the shell ended with status {code}{}", complaint(output))),
            End::Signalled(signal) => Some(format!("the shell was ended by {signal}")),
            End::DeadlinePassed | End::TooMuchOutput | End::Lost(_) => None,
        };
        let cut = match &output.end {
            End::DeadlinePassed => "no answer within the deadline".to_owned(),
            End::TooMuchOutput => "more output than output_bytes_max: cut".to_owned(),
            End::Lost(why) => format!("the link broke: {why}"),
            End::Exited(_) | End::Signalled(_) => "the answer has no such section".to_owned(),
        };
        let read = |(probe, answer): (&ProbeId, &Option<_>)| {
            let outcome = match (&whole_poll_failed, answer) {
                (Some(why), _) => Err(SafeText::new(why)),
                (None, None) => Err(SafeText::new(&cut)),
                (None, Some(answer)) => read(probe, answer).map_err(|error| SafeText::new(&error.to_string())),
            };
            (probe.clone(), outcome)
        };
        self.probes.iter().zip(&answers.sections).map(read).collect()
    }
}

fn complaint(output: &Output) -> String {
    let text = SafeText::from_bytes_capped(output.stderr.trim_ascii(), 200);
    if text.as_str().is_empty() { String::new() } else { format!(": {text}") }
}

fn read(probe: &ProbeId, answer: &crate::domain::probe::script::Answer) -> Result<Reading, ParseError> {
    match probe {
        ProbeId::Host => Ok(Reading::Host(host::parse(answer.body)?)),
        ProbeId::Disk => Ok(Reading::Disk(disk::parse(answer.body)?)),
        ProbeId::Engine => Err(ParseError::Empty),
    }
}
