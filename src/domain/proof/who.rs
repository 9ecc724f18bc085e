//! Who may have done what was found between two looks. Accounting is read at times of its own, so it tells of that later.

use super::deeds::{Deeds, Kind};

/// Commands are looked for so long after the second look: some probes are asked every few minutes only.
const LEARN_FOR_MS: i64 = 3_600_000;

/// Commands of a kind that ran between two moments of our own clock.
#[derive(Debug)]
pub struct Who {
    kind: Kind,
    from_ms: i64,
    to_ms: i64,
    named: Option<String>,
    is_final: bool,
}

impl Who {
    pub fn between(kind: Kind, from_ms: i64, to_ms: i64) -> Self {
        Self { kind, from_ms, to_ms, named: None, is_final: false }
    }

    /// It went on until then.
    pub fn go_on(&mut self, to_ms: i64) {
        (self.to_ms, self.is_final) = (to_ms, false);
    }

    /// Looks again, until accounting has told of all that ended by then.
    pub fn learn(&mut self, deeds: &Deeds, now_ms: i64) {
        if !self.is_final && now_ms - self.to_ms < LEARN_FOR_MS {
            self.named = deeds.named(self.kind, self.from_ms, self.to_ms).or(self.named.take());
            self.is_final = deeds.are_read_to(self.to_ms);
        }
    }

    /// `; meanwhile: crontab by anna (uid 1000) on pts/3 at 04:31:07 UTC, outside Dogwatch`; empty where nobody is known.
    pub fn words(&self, before: &str) -> String {
        self.named.as_ref().map_or(String::new(), |named| format!("{before}{named}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::probe::accounting::AccountingReading;
    use crate::domain::proof::acct::tests::record;

    const AT_S: u32 = 1_790_000_000;

    #[test]
    fn what_accounting_tells_a_poll_later_is_told_and_then_no_more_is_looked_for() {
        let at_ms = |second: u32| i64::from(AT_S + second) * 1_000;
        let mut deeds = Deeds::default();
        let mut who = Who::between(Kind::Edits, at_ms(0), at_ms(60));
        let mut told = |name: &str, second, newest| {
            let reading = AccountingReading { newest_s: Some(AT_S + newest), ..AccountingReading::default() };
            deeds.take([&record(name, 7, AT_S + second, 1_000, 0)].into_iter(), &BTreeMap::new(), &[], &reading);
            who.learn(&deeds, at_ms(newest));
            who.words("; meanwhile: ").matches(" by ").count()
        };
        assert_eq!((told("ls", 20, 30), told("vi", 40, 50), told("chmod", 58, 70)), (0, 1, 2));
        assert_eq!(told("rm", 59, 80), 2);
    }
}
