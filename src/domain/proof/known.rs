//! Records that are in several files: somebody copied one aside, or a rotation copies and cuts.

use std::collections::HashSet;

use super::acct::{AcctRecord, RECORD_BYTES};

/// Records that were seen already.
#[derive(Debug, Default)]
pub struct Known(HashSet<[u8; RECORD_BYTES]>);

impl Known {
    /// Whether it is none of those that were seen. Records before version 3 hold no number of their process: two of the same
    /// bytes may be two processes, and both are new.
    pub fn is_new(&mut self, raw: &[u8; RECORD_BYTES], record: &AcctRecord) -> bool {
        record.pid == 0 || self.0.insert(*raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::tests::record;

    #[test]
    fn a_record_is_new_once_and_without_a_number_always() {
        let mut known = Known::default();
        let numbered = record("tar", 7, 1_790_000_000, 200, 0);
        let unnumbered = record("tar", 0, 1_790_000_000, 200, 0);
        let mut is_new = |raw: u8, record| known.is_new(&[raw; RECORD_BYTES], record);
        assert_eq!([is_new(1, &numbered), is_new(1, &numbered), is_new(2, &numbered)], [true, false, true]);
        assert_eq!([is_new(3, &unnumbered), is_new(3, &unnumbered)], [true, true]);
    }
}
