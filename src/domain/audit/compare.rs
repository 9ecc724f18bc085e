//! Three places that must agree: the store, the central log, and what the hosts' own logs show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::digest::Digest;
use super::head::Seen;
use super::record::{AuditId, Event, Record};
use crate::domain::fleet::HostName;

/// What one of the places lacks, or shows otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The store has it, and the central log does not.
    NotCentral { id: AuditId, kind: &'static str },
    /// The central log has it, and the store does not.
    NotInStore { id: AuditId },
    /// Both have it, and not the same.
    Differs { id: AuditId },
    /// It was sent to the host, whose own log shows nothing of it.
    NotOnHost { id: AuditId, host: HostName },
    /// The host's own log shows an action that the store knows nothing of.
    Unrecorded { id: AuditId, host: HostName },
    /// The host's own log could not be read, so nothing is known.
    HostUnread { host: HostName, why: String },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::NotCentral { id, kind } => write!(f, "{id} ({kind}) is missing in the central log"),
            Lack::NotInStore { id } => write!(f, "{id} is in the central log and missing in the store"),
            Lack::Differs { id } => write!(f, "{id} is not the same in the central log and in the store"),
            Lack::NotOnHost { id, host } => write!(f, "{id} was sent to {host}, whose own log shows nothing of it"),
            Lack::Unrecorded { id, host } => {
                write!(f, "{id} is in the own log of {host}, and the store knows nothing of it")
            }
            Lack::HostUnread { host, why } => write!(f, "the own log of {host} could not be read: {why}"),
        }
    }
}

/// The records of a store, as far as other places can be compared with them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    records: BTreeMap<AuditId, (Digest, &'static str)>,
    /// Intents that went to a host.
    sent: BTreeMap<AuditId, HostName>,
}

impl Ledger {
    pub fn add(&mut self, record: &Record, hash: Digest) {
        if let Event::Sent { intent, host, .. } = &record.event {
            self.sent.insert(intent.clone(), host.clone());
        }
        self.records.insert(record.id.clone(), (hash, record.event.kind()));
    }

    /// Compares with the lines of the central log. Writers that the store has nothing of are other people's.
    pub fn against_central(&self, lines: impl Iterator<Item = Seen>) -> Vec<Lack> {
        let writers: BTreeSet<_> = self.records.keys().map(|id| &id.writer).collect();
        let ours = lines.filter(|seen| seen.is_record && writers.contains(&seen.head.id.writer));
        let mut lacks = Vec::new();
        let mut arrived = BTreeSet::new();
        for Seen { head, .. } in ours {
            match self.records.get(&head.id) {
                // The same record may have arrived twice.
                Some((hash, _)) if *hash == head.hash => drop(arrived.insert(head.id)),
                Some(_) => {
                    arrived.insert(head.id.clone());
                    lacks.push(Lack::Differs { id: head.id });
                }
                None => lacks.push(Lack::NotInStore { id: head.id }),
            }
        }
        let missing = self.records.iter().filter(|(id, _)| !arrived.contains(id));
        lacks.extend(missing.map(|(id, (_, kind))| Lack::NotCentral { id: id.clone(), kind }));
        lacks
    }

    /// The hosts that actions were sent to.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.sent.values().collect()
    }

    /// Compares with the ids that a host's own log shows.
    pub fn against_host(&self, host: &HostName, shown: &BTreeSet<AuditId>) -> Vec<Lack> {
        let sent = self.sent.iter().filter(|(_, to)| *to == host).map(|(id, _)| id);
        let unseen = sent.filter(|id| !shown.contains(id));
        let unseen = unseen.map(|id| Lack::NotOnHost { id: id.clone(), host: host.clone() });
        let writers: BTreeSet<_> = self.records.keys().map(|id| &id.writer).collect();
        let strange = shown.iter().filter(|id| writers.contains(&id.writer) && !self.records.contains_key(id));
        let strange = strange.map(|id| Lack::Unrecorded { id: id.clone(), host: host.clone() });
        unseen.chain(strange).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::record::{Actor, RECORD_VERSION, WriterId};

    fn id(number: u64) -> AuditId {
        let Some(writer) = WriterId::parse("3f9a1c2b44d0") else { panic!("a writer") };
        AuditId { writer, number }
    }

    fn host() -> HostName {
        HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"))
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for number in 1..=3 {
            let actor = Actor { uid: 7, user: "a".into(), person: None, machine: "m".into(), from: "t".into() };
            let event = Event::Sent { intent: id(number), host: host(), script: Digest::ZERO };
            let record = Record { v: RECORD_VERSION, id: id(number), previous: Digest::ZERO, at_ms: 0, actor, event };
            ledger.add(&record, Digest::of(&[number as u8]));
        }
        ledger
    }

    fn line(number: u64, of: u8) -> Seen {
        let text = format!("dogwatch: audit {} {} {{}}", id(number), Digest::of(&[of]));
        Seen::in_line(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    fn check(lines: Vec<Seen>, expected: &[&str]) {
        let shown: Vec<String> = ledger().against_central(lines.into_iter()).iter().map(Lack::to_string).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_arrived_twice_is_no_lack() {
        check(vec![line(1, 1), line(2, 2), line(2, 2), line(3, 3)], &[]);
    }

    #[test]
    fn a_missing_a_changed_and_a_strange_record_are_listed() {
        check(
            vec![line(1, 1), line(3, 9), line(4, 4)],
            &[
                "3f9a1c2b44d0-3 is not the same in the central log and in the store",
                "3f9a1c2b44d0-4 is in the central log and missing in the store",
                "3f9a1c2b44d0-2 (sent) is missing in the central log",
            ],
        );
    }

    #[test]
    fn a_host_that_shows_too_little_or_too_much_is_listed() {
        let shown = BTreeSet::from([id(1), id(2), id(9)]);
        let lacks = ledger().against_host(&host(), &shown);
        assert_eq!(lacks, [Lack::NotOnHost { id: id(3), host: host() }, Lack::Unrecorded { id: id(9), host: host() }]);
    }
}
