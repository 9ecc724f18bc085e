//! Which probes are due on a lane, the script that asks them, and how their answers are read.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::memory::{LaneMemory, runs_wanted_from_s};
use crate::adapters::transport::{End, Output};
use crate::domain::fleet::HostSpec;
use crate::domain::probe::logs::Purpose;
use crate::domain::probe::script::{Answer, Answers, END_STATUS, Nonce, Section, compose, split};
use crate::domain::probe::{
    Lane, ParseError, ProbeId, Reading, accounting, backup, cron, cron_scripts, disk, host, integrity, journal, logs,
    modes, slow_mount, smart, units,
};
use crate::domain::settings::{LogWatch, Settings};
use crate::domain::text::SafeText;
use crate::domain::time::Moment;

/// Each use of sudo is a line in the host's log: they stay this far apart.
const SUDO_INTERVAL_MIN: Duration = Duration::from_secs(300);
const MOVED_GRAIN_MS: i64 = 60_000;

/// The probes of one lane of one host with their due times.
pub struct Plan {
    lane: Lane,
    due: BTreeMap<ProbeId, Instant>,
}

/// The probes that one poll asks.
pub struct Poll {
    pub probes: Vec<ProbeId>,
    pub script: String,
    pub nonce: Nonce,
}

/// Each asked probe's reading, or why there is none.
pub type Outcomes = Vec<(ProbeId, Result<Reading, SafeText>)>;

impl Plan {
    pub fn new(spec: &HostSpec, lane: Lane, now: Instant) -> Self {
        let due =
            probes(&spec.settings).into_iter().filter(|probe| probe.lane() == lane).map(|probe| (probe, now)).collect();
        Self { lane, due }
    }

    /// When the next probe is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Makes every probe due.
    pub fn make_due(&mut self, now: Instant) {
        self.due.values_mut().for_each(|due| *due = now);
    }

    /// Takes the mounts that the fast lane saw: new ones are due at once, vanished ones never again.
    pub fn set_mounts(&mut self, memory: &LaneMemory, now: Instant) {
        self.due.retain(|probe, _| match probe {
            ProbeId::SlowMount(mount) => memory.mounts.iter().any(|seen| seen.mount == *mount),
            _ => true,
        });
        for mount in &memory.mounts {
            self.due.entry(ProbeId::SlowMount(mount.mount.clone())).or_insert(now);
        }
    }

    /// What is asked now: on the slow lane the one probe that is due longest, as each may hang; on the fast lane all that
    /// are due, and those that would be within `soon`, so that a probe of a longer cadence rides along with the others.
    pub fn due_now(&self, now: Instant, soon: Duration) -> Vec<ProbeId> {
        match self.lane {
            Lane::Slow => {
                let due = self.due.iter().filter(|(_, due)| **due <= now);
                due.min_by_key(|(_, due)| **due).map(|(probe, _)| probe.clone()).into_iter().collect()
            }
            Lane::Fast => {
                let due = self.due.iter().filter(|(_, due)| **due <= now + soon);
                due.map(|(probe, _)| probe.clone()).collect()
            }
        }
    }

    /// Everything that was due by then.
    pub fn due_by(&self, then: Instant) -> Vec<ProbeId> {
        self.due.iter().filter(|(_, due)| **due <= then).map(|(probe, _)| probe.clone()).collect()
    }

    /// Sets when a polled probe is due again.
    pub fn reschedule(&mut self, probe: &ProbeId, at: Instant) {
        if let Some(due) = self.due.get_mut(probe) {
            *due = at;
        }
    }
}

/// What is asked of a host; mounts that may hang are added as they are seen.
pub fn probes(settings: &Settings) -> Vec<ProbeId> {
    let mut probes = vec![ProbeId::Host, ProbeId::Disk, ProbeId::Cron, ProbeId::Units, ProbeId::Accounting];
    if settings.logs.iter().any(|watch| matches!(watch, LogWatch::Path(_))) {
        probes.push(ProbeId::Logs);
    }
    if settings.logs.iter().any(|watch| matches!(watch, LogWatch::Journal(_))) {
        probes.push(ProbeId::Journal);
    }
    if settings.disk.smart {
        probes.push(ProbeId::Smart);
    }
    if !settings.no_world_writable.is_empty() {
        probes.push(ProbeId::Modes);
    }
    if !settings.integrity.is_empty() {
        probes.push(ProbeId::Integrity);
    }
    probes.extend(settings.backups.iter().map(|set| ProbeId::Backup(set.name.clone())));
    probes
}

/// How often the engine looks what the audit says of restore tests.
const RESTORES_CADENCE: Duration = Duration::from_secs(60);

/// How often a probe is asked.
pub fn cadence(probe: &ProbeId, settings: &Settings) -> Duration {
    match probe {
        ProbeId::Host | ProbeId::Disk | ProbeId::Logs | ProbeId::Engine => settings.cadence,
        ProbeId::Restores => RESTORES_CADENCE,
        ProbeId::Cron | ProbeId::Units | ProbeId::Journal | ProbeId::Accounting => settings.cron_cadence,
        ProbeId::SlowMount(_) | ProbeId::Backup(_) | ProbeId::Smart if uses_sudo(probe, settings) => {
            settings.slow_cadence.max(SUDO_INTERVAL_MIN)
        }
        ProbeId::SlowMount(_) | ProbeId::Backup(_) | ProbeId::Smart | ProbeId::Modes | ProbeId::Integrity => {
            settings.slow_cadence
        }
    }
}

/// How soon a probe of the slow lane is asked again after it failed.
pub fn slow_retry(probe: &ProbeId, settings: &Settings) -> Duration {
    let least = if uses_sudo(probe, settings) { SUDO_INTERVAL_MIN } else { Duration::ZERO };
    settings.slow_retry.max(least).min(cadence(probe, settings))
}

fn uses_sudo(probe: &ProbeId, settings: &Settings) -> bool {
    match probe {
        ProbeId::Smart => settings.sudo,
        ProbeId::Backup(name) => settings.backups.iter().any(|set| set.name == *name && set.sudo),
        ProbeId::Host
        | ProbeId::Disk
        | ProbeId::Logs
        | ProbeId::Journal
        | ProbeId::Cron
        | ProbeId::Units
        | ProbeId::SlowMount(_)
        | ProbeId::Modes
        | ProbeId::Restores
        | ProbeId::Accounting
        | ProbeId::Integrity
        | ProbeId::Engine => false,
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

fn section(probe: &ProbeId, settings: &Settings, memory: &LaneMemory, now: Moment) -> Section {
    let plain = |script| Section { script, parameters: Vec::new() };
    match probe {
        ProbeId::Host => plain(host::SCRIPT),
        ProbeId::Disk => plain(disk::SCRIPT),
        ProbeId::Units => plain(units::SCRIPT),
        ProbeId::Logs => Section {
            script: logs::SCRIPT,
            parameters: memory.cursors.logs.parameters(settings.logs.iter(), settings.log),
        },
        ProbeId::Journal => {
            let (watches, first) = (settings.logs.iter(), memory.journal_entries_first.max(1));
            let parameters = memory.cursors.journal.parameters(watches, settings.log, first);
            Section { script: journal::SCRIPT, parameters }
        }
        ProbeId::Cron => {
            let from_s = runs_wanted_from_s(settings, now);
            let mut parameters = memory.cron_log.parameters(from_s, now).to_vec();
            parameters.extend(memory.cron_scripts.iter().cloned());
            Section { script: cron::SCRIPT, parameters }
        }
        ProbeId::SlowMount(mount) => {
            let device =
                memory.mounts.iter().find(|seen| seen.mount == *mount).map(|seen| seen.device).unwrap_or_default();
            Section { script: slow_mount::SCRIPT, parameters: vec![format!("{}:{}", device.0, device.1)] }
        }
        ProbeId::Backup(name) => match settings.backups.iter().find(|set| set.name == *name) {
            Some(set) => backup::section(set),
            None => plain(":"),
        },
        ProbeId::Smart => {
            Section { script: smart::SCRIPT, parameters: vec![if settings.sudo { "sudo" } else { "" }.to_owned()] }
        }
        ProbeId::Modes => Section { script: modes::SCRIPT, parameters: settings.no_world_writable.clone() },
        ProbeId::Accounting => Section {
            script: accounting::SCRIPT,
            parameters: memory.cursors.accounting.parameters(&memory.accounting, settings.accounting.as_deref()),
        },
        ProbeId::Integrity => {
            Section { script: integrity::SCRIPT, parameters: integrity::parameters(&settings.integrity) }
        }
        ProbeId::Engine | ProbeId::Restores => plain(":"),
    }
}

impl Poll {
    /// Composes the script that asks some probes.
    pub fn new(probes: Vec<ProbeId>, settings: &Settings, memory: &LaneMemory, nonce: Nonce, now: Moment) -> Self {
        let sections: Vec<Section> = probes.iter().map(|probe| section(probe, settings, memory, now)).collect();
        Self { script: compose(&nonce, &sections), nonce, probes }
    }

    /// Splits the output again, for its cost and its sections.
    pub fn answers<'a>(&self, output: &'a Output) -> Answers<'a> {
        split(&output.stdout, &self.nonce, self.probes.len())
    }

    /// Reads every section that came back whole; the others say what cut them.
    pub fn outcomes(
        &self,
        answers: &Answers,
        output: &Output,
        settings: &Settings,
        memory: &mut LaneMemory,
        now: Moment,
    ) -> Outcomes {
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
            End::Exited(_) | End::Signalled(_) => format!("the answer has no such section{}", complaint(output)),
        };
        let mut read = |(probe, answer): (&ProbeId, &Option<Answer>)| {
            let outcome = match (&whole_poll_failed, answer) {
                (Some(why), _) => Err(SafeText::new(why)),
                (None, None) => {
                    if *probe == ProbeId::Cron && matches!(output.end, End::TooMuchOutput) {
                        memory.cron_log.was_too_much();
                    }
                    Err(SafeText::new(&cut))
                }
                (None, Some(answer)) => {
                    read(probe, answer, settings, memory, now).map_err(|error| SafeText::new(&error.to_string()))
                }
            };
            (probe.clone(), outcome)
        };
        self.probes.iter().zip(&answers.sections).map(&mut read).collect()
    }
}

/// To the minute, since every change of a cursor is written.
fn note_moved(moved_ms: &mut Option<i64>, now: Moment) {
    if moved_ms.is_none_or(|moved| MOVED_GRAIN_MS <= (now.utc_ms - moved).abs()) {
        *moved_ms = Some(now.utc_ms);
    }
}

fn complaint(output: &Output) -> String {
    let text = SafeText::from_bytes_capped(output.stderr.trim_ascii(), 200);
    if text.as_str().is_empty() { String::new() } else { format!(": {text}") }
}

fn read(
    probe: &ProbeId,
    answer: &Answer,
    settings: &Settings,
    memory: &mut LaneMemory,
    now: Moment,
) -> Result<Reading, ParseError> {
    let gone = || ParseError::Other("no longer watched".into());
    Ok(match probe {
        ProbeId::Host => Reading::Host(host::parse(answer.body)?),
        ProbeId::Disk => Reading::Disk(disk::parse(answer.body)?.into()),
        ProbeId::Units => Reading::Units(units::parse(answer.body)?),
        ProbeId::Logs => {
            let cursors = &mut Rc::make_mut(&mut memory.cursors).logs;
            let before_ms = cursors.moved_ms;
            let mut reading =
                logs::parse(answer, &settings.logs, Purpose::Count(&settings.rules, &settings.jobs), cursors)?;
            note_moved(&mut cursors.moved_ms, now);
            reading.logs.iter_mut().for_each(|log| log.read_before_ms = before_ms);
            cursors.recent.exchange(&mut reading.logs, now.utc_ms);
            Reading::Logs(reading)
        }
        ProbeId::Journal => {
            let cursors = &mut Rc::make_mut(&mut memory.cursors).journal;
            let before_ms = cursors.moved_ms;
            let mut reading = journal::parse(
                answer,
                &settings.logs,
                Purpose::Count(&settings.rules, &settings.jobs),
                settings.log,
                cursors,
            )?;
            note_moved(&mut cursors.moved_ms, now);
            reading.logs.iter_mut().for_each(|log| log.read_before_ms = before_ms);
            cursors.recent.exchange(&mut reading.logs, now.utc_ms);
            Reading::Journal(reading)
        }
        ProbeId::Cron => {
            let reading = cron::parse(answer, now.utc(), memory.has_read_runs.then_some(&memory.cron_log))?;
            memory.has_read_runs = true;
            memory.cron_log.take(&reading, now);
            memory.cron_scripts = cron_scripts::reached(&reading.entries);
            Reading::Cron(reading)
        }
        ProbeId::SlowMount(mount) => {
            let seen = memory.mounts.iter().find(|seen| seen.mount == *mount).ok_or_else(gone)?;
            Reading::SlowMount(slow_mount::parse(answer.body, seen)?)
        }
        ProbeId::Backup(name) => {
            let set = settings.backups.iter().find(|set| set.name == *name).ok_or_else(gone)?;
            Reading::Backup(backup::parse(answer, set, now.utc())?)
        }
        ProbeId::Smart => Reading::Smart(smart::parse(answer.body)?),
        ProbeId::Modes => Reading::Modes(modes::parse(answer.body)?),
        ProbeId::Accounting => {
            let mut cursor = memory.cursors.accounting.clone();
            let reading = accounting::parse(answer, &mut cursor, &mut memory.accounting, now.utc_ms / 1_000);
            // Copied only where it moved: most hosts have no accounting.
            if memory.cursors.accounting != cursor {
                Rc::make_mut(&mut memory.cursors).accounting = cursor;
            }
            Reading::Accounting(reading?)
        }
        ProbeId::Integrity => Reading::Integrity(integrity::parse(answer.body)?),
        ProbeId::Engine | ProbeId::Restores => return Err(gone()),
    })
}
