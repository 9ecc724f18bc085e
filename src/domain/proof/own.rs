//! Our own polling leaves records as well: told apart by our sessions' process trees.

use std::collections::{BTreeSet, VecDeque};

use super::acct::{AcctRecord, Ended};
use crate::domain::probe::script::END_STATUS;

/// Processes of sessions that are ours, between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTree {
    /// The servers' ends of our sessions: parents of every shell that a poll begins.
    sessions: VecDeque<u32>,
    /// Shells that still ran when the records were read.
    shells: BTreeSet<u32>,
}

/// Sessions that are remembered: a host has one a lane, and a new one after each lost link.
const SESSIONS_MAX: usize = 64;

impl OwnTree {
    /// Learns where the poll ran that read the records: its shell, and that shell's parent.
    pub fn learn(&mut self, session: u32, shell: u32) {
        self.shells = BTreeSet::from([shell]);
        // The parent of everything is nobody's session.
        self.sessions.retain(|known| *known != session);
        if 1 < session {
            self.sessions.push_back(session);
        }
        while SESSIONS_MAX < self.sessions.len() {
            self.sessions.pop_front();
        }
    }

    /// Whether each record is of our own processes. Records come in the order of their ends, so parents come later.
    pub fn mark(&mut self, records: &[AcctRecord]) -> Vec<bool> {
        let mut own: BTreeSet<u32> = self.shells.clone();
        let mut marks: Vec<bool> = records
            .iter()
            .rev()
            .map(|record| {
                // On the own machine polls have the terminal that this program has; a person's shell there ends otherwise.
                let is_polls = record.tty == 0 || record.ended() == Ended::Exited(END_STATUS as u8);
                let is_own = record.pid != 0
                    && ((self.sessions.contains(&record.ppid) && is_polls) || own.contains(&record.ppid));
                if is_own {
                    own.insert(record.pid);
                } else {
                    // The number went to somebody else before.
                    own.remove(&record.pid);
                }
                is_own
            })
            .collect();
        marks.reverse();
        // A session that ended gives its number to somebody else.
        let ended: BTreeSet<u32> = records.iter().map(|record| record.pid).collect();
        self.sessions.retain(|session| !ended.contains(session));
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::tests::record;

    fn tree(rows: &[(u32, u32)]) -> Vec<bool> {
        let mut own = OwnTree::default();
        own.learn(500, 900);
        let records: Vec<AcctRecord> = rows
            .iter()
            .map(|(pid, ppid)| AcctRecord { ppid: *ppid, ..record("sh", *pid, 1_790_000_000, 1, 0) })
            .collect();
        own.mark(&records)
    }

    #[test]
    fn the_shells_of_our_sessions_and_what_they_began_are_ours_and_nothing_else() {
        // A grandchild, its parent, a stranger, the shell of an earlier poll, a child of the shell that reads.
        assert_eq!(tree(&[(702, 701), (701, 700), (3, 1), (700, 500), (901, 900)]), [true, true, false, true, true]);
    }

    #[test]
    fn on_a_terminal_a_poll_is_told_from_a_shell_that_a_person_opened_by_its_end() {
        let mut own = OwnTree::default();
        own.learn(500, 900);
        let record = |pid: u32, ppid: u32, status: u32| AcctRecord {
            ppid,
            tty: 0x8800,
            ..record("sh", pid, 1_790_000_000, 1, status)
        };
        let poll = END_STATUS as u32 * 0x100;
        let records = [record(701, 700, 0), record(700, 500, poll), record(801, 800, 0), record(800, 500, 0)];
        assert_eq!(own.mark(&records), [true, true, false, false]);
    }

    #[test]
    fn a_number_that_was_used_before_us_is_not_ours() {
        assert_eq!(tree(&[(40, 700), (700, 1), (41, 700), (700, 500)]), [false, false, true, true]);
    }
}
