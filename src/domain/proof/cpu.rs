//! The CPU time of a process with everything that it began: a record of accounting holds one process alone.

use std::collections::BTreeMap;

use super::acct::AcctRecord;

/// Parents that still run and have children that ended: more of them have their children's time left out.
const PARENTS_MAX: usize = 8_192;

/// CPU time of children that ended, under the parents that have not. Records come in the order of their ends, so a parent
/// that waits for its children comes after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTree {
    /// Milliseconds, by the parent's number.
    of_children_ms: BTreeMap<u32, u64>,
}

impl CpuTree {
    /// The CPU time in milliseconds of this process and of all below it that ended before it did.
    pub fn take(&mut self, record: &AcctRecord) -> u64 {
        let own_ms = record.cpu_ms();
        // Records before version 3 hold no numbers.
        if record.pid == 0 {
            return own_ms;
        }
        let whole_ms = own_ms.saturating_add(self.of_children_ms.remove(&record.pid).unwrap_or(0));
        // Whom the first process took in belongs to nobody any more.
        if 1 < record.ppid {
            if let Some(sum_ms) = self.of_children_ms.get_mut(&record.ppid) {
                *sum_ms = sum_ms.saturating_add(whole_ms);
            } else if self.of_children_ms.len() < PARENTS_MAX {
                self.of_children_ms.insert(record.ppid, whole_ms);
            }
        }
        whole_ms
    }

    /// Forgets what it had, where records were lost: a number may have gone to somebody else.
    pub fn clear(&mut self) {
        self.of_children_ms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::tests::record;

    fn check(rows: &[(u32, u32, u64)], expected_ms: &[u64]) {
        let mut tree = CpuTree::default();
        let take = |(pid, ppid, user_ms): &(u32, u32, u64)| {
            tree.take(&AcctRecord { ppid: *ppid, user_ms: *user_ms, ..record("sh", *pid, 1_790_000_000, 1, 0) })
        };
        assert_eq!(rows.iter().map(take).collect::<Vec<u64>>(), expected_ms);
    }

    #[test]
    fn a_job_has_the_time_of_all_that_it_began() {
        check(&[(12, 11, 40), (13, 11, 2), (11, 10, 5), (20, 1, 9), (10, 1, 1)], &[40, 2, 47, 9, 48]);
    }

    #[test]
    fn a_number_that_is_used_again_has_only_its_own_children_s() {
        check(&[(12, 11, 40), (11, 1, 1), (11, 1, 1)], &[40, 41, 1]);
    }

    #[test]
    fn parents_without_number_stay_bounded() {
        let mut tree = CpuTree::default();
        for pid in 2..20_000 {
            tree.take(&AcctRecord { ppid: pid + 100_000, user_ms: 1, ..record("sh", pid, 1_790_000_000, 1, 0) });
        }
        assert_eq!(tree.of_children_ms.len(), PARENTS_MAX);
    }
}
