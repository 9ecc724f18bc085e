//! What became free at once on a file system, and who may have done it: told for a day beside how full it is.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::bytes_words;
use crate::domain::probe::disk::DiskReading;
use crate::domain::proof::deeds::{Deeds, Kind};
use crate::domain::proof::who::Who;
use crate::domain::settings::HOUR;
use crate::domain::text::SafeText;

/// A drop is this part of the file system at least, and so many bytes.
const PART_MIN: u64 = 100;
const BYTES_MIN: u64 = 10_000_000;
const NEWS_FOR_MS: i64 = 24 * HOUR.as_millis() as i64;

/// The file systems of a host as they were seen last, and what fell since.
#[derive(Debug, Default)]
pub struct Drops {
    used: BTreeMap<SafeText, Seen>,
    drops: BTreeMap<SafeText, Drop>,
}

#[derive(Debug)]
struct Seen {
    at_ms: i64,
    used: u64,
    /// Another file system at the same place fell by nothing.
    source: SafeText,
}

#[derive(Debug)]
struct Drop {
    at_ms: i64,
    bytes: u64,
    who: Who,
}

impl Drops {
    /// Takes a look at the file systems, at a time of our own clock.
    pub fn take(&mut self, reading: &DiskReading, deeds: &Deeds, now_ms: i64) {
        let mut used = BTreeMap::new();
        for (fs, usage) in reading.filesystems.iter().filter_map(|fs| Some((fs, fs.usage?))) {
            used.insert(fs.mount.clone(), Seen { at_ms: now_ms, used: usage.used_bytes, source: fs.source.clone() });
            let Some(before) = self.used.get(&fs.mount).filter(|seen| seen.source == fs.source) else { continue };
            let bytes = before.used.saturating_sub(usage.used_bytes);
            if (usage.size_bytes / PART_MIN).max(BYTES_MIN) <= bytes {
                match self.drops.get_mut(&fs.mount) {
                    // One that goes on from look to look is one.
                    Some(known) if known.at_ms == before.at_ms => {
                        (known.at_ms, known.bytes) = (now_ms, known.bytes.saturating_add(bytes));
                        known.who.go_on(now_ms);
                    }
                    // The one that matters is not hidden by what is freed each night.
                    Some(known) if bytes < known.bytes => {}
                    Some(_) | None => {
                        let who = Who::between(Kind::Cuts, before.at_ms, now_ms);
                        self.drops.insert(fs.mount.clone(), Drop { at_ms: now_ms, bytes, who });
                    }
                }
            }
        }
        self.used = used;
        self.drops.retain(|mount, drop| now_ms - drop.at_ms < NEWS_FOR_MS && self.used.contains_key(mount));
        self.drops.values_mut().for_each(|drop| drop.who.learn(deeds, now_ms));
    }

    /// `fell by 12 GB at 04:31 UTC: rm by anna (uid 1000) on pts/3 at 04:31:07 UTC, outside Dogwatch`.
    pub fn words(&self, mount: &SafeText) -> Option<String> {
        let drop = self.drops.get(mount)?;
        let at = DateTime::from_timestamp_millis(drop.at_ms).unwrap_or_default().format("%H:%M UTC");
        Some(format!("fell by {} at {at}{}", bytes_words(drop.bytes as f64), drop.who.words(": ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::accounting::AccountingReading;
    use crate::domain::probe::disk::{Filesystem, Usage};
    use crate::domain::proof::acct::{AcctRecord, tests::record};

    const AT_S: u32 = 1_790_000_000;

    fn reading(used: u64) -> DiskReading {
        let usage =
            Usage { size_bytes: 100_000_000_000, used_bytes: used, available_bytes: 1, inodes: 1, inodes_used: 0 };
        let fs = Filesystem {
            mount: "/var".into(),
            source: "/dev/vda".into(),
            kind: "ext4".into(),
            read_only: false,
            read_only_in_fstab: false,
            usage: Some(usage),
        };
        DiskReading { filesystems: vec![fs], ..DiskReading::default() }
    }

    fn told(drops: &mut Drops, used: u64, deeds: &Deeds, second: i64) -> String {
        drops.take(&reading(used), deeds, (i64::from(AT_S) + second) * 1_000);
        drops.words(&"/var".into()).unwrap_or_default()
    }

    #[test]
    fn what_fell_at_once_names_who_may_have_done_it_once_accounting_tells() {
        let (mut drops, mut deeds) = (Drops::default(), Deeds::default());
        assert_eq!(told(&mut drops, 90_000_000_000, &deeds, 0), "");
        assert_eq!(told(&mut drops, 89_500_000_000, &deeds, 10), "");
        assert_eq!(told(&mut drops, 77_500_000_000, &deeds, 20), "fell by 12 GB at 14:13 UTC");
        let known = |newest_s| AccountingReading { newest_s: Some(newest_s), ..AccountingReading::default() };
        let rm = |uid, second| AcctRecord { uid, tty: 0x8803, ..record("rm", 7, AT_S + second, 1_000, 0) };
        deeds.take([&rm(1_000, 12)].into_iter(), &BTreeMap::new(), &[], &known(AT_S + 15));
        let named = "fell by 12 GB at 14:13 UTC: rm by uid 1000 on pts/3 at 14:13:32 UTC, outside Dogwatch";
        assert_eq!(told(&mut drops, 77_500_000_000, &deeds, 60), named);
        // What ended later is told later.
        deeds.take([&rm(1_001, 18)].into_iter(), &BTreeMap::new(), &[], &known(AT_S + 75));
        let both = told(&mut drops, 77_500_000_000, &deeds, 120);
        assert!(both.contains("rm by uid 1001 on") && both.contains("rm by uid 1000 on"), "{both}");
        // By then all of it was told.
        assert_eq!(told(&mut drops, 77_600_000_000, &Deeds::default(), 130), both);
        assert_eq!(told(&mut drops, 77_600_000_000, &Deeds::default(), 3_600), both);
        assert_eq!(told(&mut drops, 77_600_000_000, &Deeds::default(), 90_000), "");
    }

    #[test]
    fn a_drop_over_several_looks_is_one_and_a_smaller_one_later_hides_it_not() {
        let (mut drops, deeds) = (Drops::default(), Deeds::default());
        for (second, used) in [(0, 90), (10, 70), (20, 50), (30, 50)] {
            told(&mut drops, used * 1_000_000_000, &deeds, second);
        }
        assert_eq!(told(&mut drops, 50_000_000_000, &deeds, 40), "fell by 40 GB at 14:13 UTC");
        assert_eq!(told(&mut drops, 48_000_000_000, &deeds, 3_600), "fell by 40 GB at 14:13 UTC");
        assert_eq!(told(&mut drops, 1_000_000_000, &deeds, 7_200), "fell by 47 GB at 16:13 UTC");
    }
}
