//! Commands that matter to an incident, as accounting saw them: who ran what, when, from which terminal, and whether it was
//! Dogwatch.

use std::collections::{BTreeMap, VecDeque};

use chrono::DateTime;

use super::acct::AcctRecord;
use super::pack::tty;
use crate::domain::audit::record::{AuditId, Event, Record};
use crate::domain::fleet::HostName;
use crate::domain::probe::accounting::AccountingReading;
use crate::domain::text::SafeText;

/// What a command may do to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Leaves a file shorter, which stays the same one.
    Shortens,
    /// Takes a file away, or puts another in its place.
    Removes,
    /// Either.
    Cuts,
    /// Writes a file anew, or changes whose it is.
    Edits,
    /// Stops or restarts the machine.
    Stops,
}

/// By the names that records hold: of those that cut a file most can write one as well.
const SHORTENING: [&str; 8] = ["truncate", "dd", "cp", "tee", "srm", "shred", "rsync", "logrotate"];
const REMOVING: [&str; 10] = ["rm", "srm", "shred", "unlink", "mv", "cp", "find", "sed", "rsync", "logrotate"];
const EDITING: [&str; 6] = ["crontab", "chmod", "chown", "chattr", "install", "systemctl"];
/// They write a file in place, shorter or longer.
const EDITORS: [&str; 8] = ["ed", "vi", "vim", "vim.basic", "vim.tiny", "nano", "emacs", "mcedit"];
const STOPPING: [&str; 7] = ["reboot", "shutdown", "halt", "poweroff", "init", "telinit", "systemctl"];
/// Deeds that are remembered.
const DEEDS_MAX: usize = 500;
/// Deeds that one finding names.
const NAMED_MAX: usize = 3;

/// One command that somebody ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    pub record: AcctRecord,
    /// Whether hosts.toml names its command.
    is_own: bool,
}

impl Deed {
    fn may(&self, kind: Kind) -> bool {
        let names: &[&[&str]] = match kind {
            Kind::Shortens => &[&SHORTENING, &EDITORS],
            Kind::Removes => &[&REMOVING],
            Kind::Cuts => &[&SHORTENING, &EDITORS, &REMOVING],
            Kind::Edits => &[&EDITING, &EDITORS, &SHORTENING, &REMOVING],
            Kind::Stops => &[&STOPPING],
        };
        self.is_own || names.iter().flat_map(|names| names.iter()).any(|name| name.as_bytes() == self.record.name())
    }
}

/// Who cut a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Commands that ended then, in words.
    Named(String),
    Nobody,
}

/// What is said where no command accounts for a cut.
pub const NOBODY: &str = "nobody accounts for it: no command that cuts files ended then (a shell's own redirection leaves no record, nor what still runs)";

/// The time of a guarded action on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionTime {
    pub intent: AuditId,
    pub from_ms: i64,
    /// `None` while its end is not on record.
    pub to_ms: Option<i64>,
}

/// The times of all guarded actions, folded from the audit's records.
#[derive(Debug, Default)]
pub struct ActionBook {
    of_host: BTreeMap<HostName, Vec<ActionTime>>,
}

/// Actions of one host that are remembered.
const ACTIONS_MAX: usize = 200;

impl ActionBook {
    pub fn apply(&mut self, record: &Record) {
        let (begins, ends) = match &record.event {
            Event::Intent { host, .. } => (Some(host), None),
            Event::Outcome { intent, host, .. } | Event::Reconciled { intent, host, .. } => {
                (None, Some((intent, host)))
            }
            Event::WriterStarted { .. }
            | Event::Proposed { .. }
            | Event::Approved(_)
            | Event::Denied(_)
            | Event::Refused { .. }
            | Event::Claimed { .. }
            | Event::BreakGlass { .. }
            | Event::Sent { .. }
            | Event::Frozen { .. }
            | Event::Thawed { .. }
            | Event::HoldSet { .. }
            | Event::HoldLifted { .. }
            | Event::PolicyChanged { .. }
            | Event::ConfigChanged { .. }
            | Event::TrustChanged { .. } => (None, None),
        };
        if let Some(host) = begins {
            let times = self.of_host.entry(host.clone()).or_default();
            times.push(ActionTime { intent: record.id.clone(), from_ms: record.at_ms, to_ms: None });
            let surplus = times.len().saturating_sub(ACTIONS_MAX);
            times.drain(..surplus);
        }
        if let Some((intent, host)) = ends {
            let times = self.of_host.get_mut(host).into_iter().flatten();
            times.filter(|time| time.intent == *intent).for_each(|time| time.to_ms = Some(record.at_ms));
        }
    }

    /// The newest actions of each host.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostName, &[ActionTime])> {
        self.of_host.iter().map(|(host, times)| (host, times.as_slice()))
    }
}

/// What was done on one host lately.
#[derive(Debug, Default)]
pub struct Deeds {
    deeds: VecDeque<Deed>,
    /// Names of the host's users.
    users: BTreeMap<u32, SafeText>,
    /// When our own actions ran there.
    pub actions: Vec<ActionTime>,
    /// How far the host's clock is ahead of ours, milliseconds.
    pub skew_ms: i64,
    /// Between these nothing that ended is missing, by the host's clock.
    unbroken_from_ms: Option<i64>,
    read_to_ms: Option<i64>,
    /// What ended by then may have been forgotten.
    forgotten_to_ms: i64,
}

impl Deeds {
    /// Takes what accounting told; `own_names` are further commands that matter here.
    pub fn take<'a>(
        &mut self,
        records: impl Iterator<Item = &'a AcctRecord>,
        users: &BTreeMap<u32, SafeText>,
        own_names: &[String],
        reading: &AccountingReading,
    ) {
        self.users.extend(users.iter().map(|(uid, name)| (*uid, name.clone())));
        let deed = |record: &AcctRecord| {
            let is_own = own_names.iter().any(|own| own.as_bytes() == record.name());
            let deed = Deed { record: *record, is_own };
            [Kind::Cuts, Kind::Edits, Kind::Stops].iter().any(|kind| deed.may(*kind)).then_some(deed)
        };
        self.deeds.extend(records.filter_map(deed));
        while DEEDS_MAX < self.deeds.len() {
            let forgotten = self.deeds.pop_front().map_or(0, |deed| deed.record.end_ms());
            self.forgotten_to_ms = self.forgotten_to_ms.max(forgotten);
        }
        let ms = |seconds: u32| i64::from(seconds) * 1_000;
        self.unbroken_from_ms = reading.unbroken_from_s.map(ms).filter(|_| reading.behind_bytes == 0);
        self.read_to_ms = reading.newest_s.map(ms);
    }

    /// The commands of a kind between two moments of our own clock, in words: those of people at a terminal first, the newest
    /// first; `None` where none is known.
    pub fn named(&self, kind: Kind, from_ms: i64, to_ms: i64) -> Option<String> {
        let (from_ms, to_ms) = (from_ms.saturating_add(self.skew_ms), to_ms.saturating_add(self.skew_ms));
        let is_then = |deed: &&Deed| from_ms <= deed.record.end_ms() + 1_000 && deed.record.begin_ms() <= to_ms;
        let mut then: Vec<&Deed> = self.deeds.iter().rev().filter(|deed| deed.may(kind)).filter(is_then).collect();
        then.sort_by_key(|deed| deed.record.tty == 0);
        let mut named: Vec<String> = then.iter().take(NAMED_MAX).map(|deed| self.words(deed)).collect();
        let more = then.len().saturating_sub(NAMED_MAX);
        named.extend((0 < more).then(|| format!("and {more} more that may have")));
        (!named.is_empty()).then(|| named.join("; "))
    }

    /// Whether everything that ended by then, by our own clock, has been told.
    pub fn are_read_to(&self, at_ms: i64) -> bool {
        self.read_to_ms.is_some_and(|read_to_ms| at_ms.saturating_add(self.skew_ms) <= read_to_ms)
    }

    /// Who may have left a log shorter between two looks at it, by our own clock; or that nobody accounts for it. Nothing
    /// where accounting tells nothing of that time.
    pub fn who_cut(&self, kind: Kind, from_ms: i64, to_ms: i64) -> Option<Cut> {
        if let Some(named) = self.named(kind, from_ms, to_ms) {
            return Some(Cut::Named(named));
        }
        let (from_ms, to_ms) = (from_ms.saturating_add(self.skew_ms), to_ms.saturating_add(self.skew_ms));
        let is_covered = self.unbroken_from_ms.is_some_and(|from| from <= from_ms)
            && self.read_to_ms.is_some_and(|to| to_ms <= to)
            && self.forgotten_to_ms < from_ms;
        is_covered.then_some(Cut::Nobody)
    }

    /// `rm by anna (uid 1000) on pts/3 at 04:31:07 UTC, outside Dogwatch`.
    fn words(&self, deed: &Deed) -> String {
        let record = &deed.record;
        let name = SafeText::from_bytes(record.name());
        let who = match self.users.get(&record.uid) {
            Some(user) => format!("{user} (uid {})", record.uid),
            None => format!("uid {}", record.uid),
        };
        let terminal = match tty(record.tty) {
            none if none.is_empty() => "without a terminal".to_owned(),
            terminal => format!("on {terminal}"),
        };
        let at = DateTime::from_timestamp_millis(record.begin_ms()).unwrap_or_default().format("%H:%M:%S UTC");
        let (begin, end) = (record.begin_ms() - self.skew_ms, record.end_ms() - self.skew_ms);
        let within =
            |action: &&ActionTime| action.from_ms - 1_000 <= begin && action.to_ms.is_none_or(|to| end <= to + 1_000);
        // A terminal has nobody but a person.
        let ours = self.actions.iter().rev().filter(|_| record.tty == 0).find(within);
        let by = match ours {
            Some(action) => format!("by Dogwatch or in its time, {}", action.intent),
            None => "outside Dogwatch".to_owned(),
        };
        format!("{name} by {who} {terminal} at {at}, {by}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::tests::record;

    const AT: u32 = 1_790_000_000;

    fn deeds(records: &[AcctRecord]) -> Deeds {
        let mut deeds = Deeds::default();
        let users = BTreeMap::from([(1_000, SafeText::new("anna"))]);
        let reading = AccountingReading {
            unbroken_from_s: Some(AT - 3_600),
            newest_s: Some(AT + 60),
            ..AccountingReading::default()
        };
        deeds.take(records.iter(), &users, &[], &reading);
        deeds
    }

    fn who(deeds: &Deeds) -> Option<String> {
        let at_ms = i64::from(AT) * 1_000;
        deeds.who_cut(Kind::Cuts, at_ms - 10_000, at_ms + 10_000).map(|cut| match cut {
            Cut::Named(words) => words,
            Cut::Nobody => "nobody".to_owned(),
        })
    }

    #[test]
    fn a_log_that_was_deleted_by_hand_names_who_did_it_and_from_where() {
        let rm = AcctRecord { uid: 1_000, tty: 0x8803, ..record("rm", 7, AT, 10, 0) };
        let others = [record("ls", 6, AT, 10, 0), record("rm", 8, AT - 600, 10, 0), record("kill", 9, AT, 10, 0)];
        let deeds = deeds(&[&others[..], &[rm]].concat());
        let expected = "rm by anna (uid 1000) on pts/3 at 14:13:20 UTC, outside Dogwatch";
        assert_eq!(who(&deeds).as_deref(), Some(expected));
    }

    #[test]
    fn of_many_who_may_have_the_one_at_a_terminal_comes_first_and_the_others_are_counted() {
        let by_hand = AcctRecord { uid: 1_000, tty: 0x8803, ..record("rm", 7, AT - 5, 10, 0) };
        let others: Vec<AcctRecord> = (0..5).map(|pid| record("rm", 100 + pid, AT, 10, 0)).collect();
        let told = who(&deeds(&[&[by_hand][..], &others].concat())).unwrap_or_default();
        assert!(
            told.starts_with("rm by anna (uid 1000) on pts/3 at 14:13:15 UTC, outside Dogwatch; rm by uid 0 "),
            "{told}"
        );
        assert!(told.ends_with("; and 3 more that may have"), "{told}");
    }

    #[test]
    fn who_only_takes_files_away_is_not_named_for_one_that_is_shorter() {
        let at_ms = i64::from(AT) * 1_000;
        let named = |name: &str, kind| deeds(&[record(name, 7, AT, 10, 0)]).who_cut(kind, at_ms, at_ms + 1_000);
        assert_eq!(named("rm", Kind::Shortens), Some(Cut::Nobody));
        assert_eq!(named("truncate", Kind::Removes), Some(Cut::Nobody));
        for (name, kind) in
            [("rm", Kind::Removes), ("truncate", Kind::Shortens), ("srm", Kind::Shortens), ("vim", Kind::Shortens)]
        {
            assert!(matches!(named(name, kind), Some(Cut::Named(_))), "{name}");
        }
    }

    #[test]
    fn what_an_action_of_ours_did_is_told_as_ours_and_a_person_s_in_its_time_is_not() {
        let at_ms = i64::from(AT) * 1_000;
        let mut deeds = deeds(&[record("rm", 7, AT, 10, 0), AcctRecord { tty: 0x8801, ..record("rm", 8, AT, 10, 0) }]);
        let intent = AuditId::parse("3f9a1c2b44d0-17").unwrap_or_else(|| panic!("an id"));
        deeds.actions = vec![ActionTime { intent, from_ms: at_ms - 500, to_ms: Some(at_ms + 500) }];
        let told = who(&deeds).unwrap_or_default();
        assert!(told.contains("on pts/1 at 14:13:20 UTC, outside Dogwatch"), "{told}");
        assert!(told.contains("without a terminal at 14:13:20 UTC, by Dogwatch or in its time, 3f9a1c2b44d0-17"));
    }

    #[test]
    fn a_cut_that_nobody_accounts_for_is_a_finding_and_without_accounting_nothing_is_said() {
        let told = who(&deeds(&[record("ls", 7, AT, 10, 0)]));
        assert_eq!(told.as_deref(), Some("nobody"));
        assert_eq!(who(&Deeds::default()), None);
    }
}
