//! `backup.age:SET`, `backup.retention:SET`, `backup.target:SET`: old data is never green, whatever the job's exit said.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{CheckId, CheckKind, CheckResult, Context, Unit, bytes_words};
use crate::domain::probe::backup::{Archive, BackupReading, Target};
use crate::domain::settings::BackupSet;
use crate::domain::status::Status;
use crate::domain::time::words;

/// The three results of one set; none where hosts.toml no longer names it.
pub fn check(reading: &BackupReading, context: &Context) -> Vec<CheckResult> {
    let Some(set) = context.settings.backups.iter().find(|set| set.name == reading.set) else { return Vec::new() };
    let now = context.now.utc();
    vec![age(reading, set, now), retention(reading, set, now), target(reading, set, context)]
}

/// Clocks of two machines may differ by this much before a date of one is the other's future.
const FUTURE_MAX: chrono::Duration = chrono::Duration::minutes(10);

fn id(kind: CheckKind, set: &BackupSet) -> CheckId {
    CheckId::on(kind, set.name.as_str().into())
}

fn age_of(archive: &Archive, now: DateTime<Utc>) -> Duration {
    (now - archive.at).to_std().unwrap_or_default()
}

fn age(reading: &BackupReading, set: &BackupSet, now: DateTime<Utc>) -> CheckResult {
    let id = id(CheckKind::BackupAge, set);
    if let Some(trouble) = &reading.trouble {
        return CheckResult::missing(id, format!("{}: {trouble}", set.name), Unit::Seconds);
    }
    let Some(newest) = reading.archives.first() else {
        let unfinished = match reading.unfinished {
            0 => String::new(),
            count => format!(", only {count} unfinished, too small or written within the last minute"),
        };
        return CheckResult::new(
            id,
            Status::Critical,
            format!("{}: no completed archive at all{unfinished}", set.name),
            Unit::Seconds,
        );
    };
    if now + FUTURE_MAX < newest.at {
        let reason = format!("{}: {} is dated in the future, which proves nothing", set.name, newest.name);
        return CheckResult::missing(id, reason, Unit::Seconds);
    }
    let age = age_of(newest, now);
    let status = match () {
        () if set.age.critical <= age => Status::Critical,
        () if set.age.warning <= age => Status::Warning,
        () => Status::Ok,
    };
    let size = newest.size_bytes.map(|size| format!(", {}", bytes_words(size as f64))).unwrap_or_default();
    let reason = format!("{}: newest archive {} old ({}{size})", set.name, words(age), newest.name);
    CheckResult::new(id, status, reason, Unit::Seconds).value(age.as_secs_f64())
}

fn retention(reading: &BackupReading, set: &BackupSet, now: DateTime<Utc>) -> CheckResult {
    let id = id(CheckKind::BackupRetention, set);
    let count = reading.archives.len();
    if reading.trouble.is_some() {
        return CheckResult::missing(id, format!("{}: its archives can't be counted", set.name), Unit::Count);
    }
    let oldest = reading.archives.last().map(|archive| age_of(archive, now));
    let held = format!("{}: {count} archives, oldest {} old", set.name, oldest.map_or("-".to_owned(), words));
    let too_many = set.keep.is_some_and(|keep| (keep as usize) < count);
    let too_old = set.keep_age.zip(oldest).is_some_and(|(keep, oldest)| keep < oldest);
    let (status, reason) = match (too_many, too_old, set.keep, set.keep_age) {
        (true, _, Some(keep), _) => (Status::Warning, format!("{held}; the policy keeps {keep}: it does not prune")),
        (_, true, _, Some(keep)) => {
            (Status::Warning, format!("{held}; the policy keeps {}: it does not prune", words(keep)))
        }
        (_, _, None, None) => (Status::Ok, format!("{held}; no policy is set")),
        (_, _, _, _) => (Status::Ok, held),
    };
    CheckResult::new(id, status, reason, Unit::Count).value(count as f64)
}

fn target(reading: &BackupReading, set: &BackupSet, context: &Context) -> CheckResult {
    let id = id(CheckKind::BackupTarget, set);
    let Some(target) = &reading.target else {
        return match &reading.trouble {
            Some(trouble) if reading.blind => {
                CheckResult::missing(id, format!("{}: {trouble}", set.name), Unit::Percent)
            }
            Some(trouble) => CheckResult::new(id, Status::Critical, format!("{}: {trouble}", set.name), Unit::Percent),
            None => CheckResult::new(
                id,
                Status::Ok,
                format!("{}: its repository answers; its space is not known here", set.name),
                Unit::Percent,
            ),
        };
    };
    if target.read_only == Some(true) {
        let reason = format!("{}: its target is READ-ONLY: nothing can be backed up there", set.name);
        return CheckResult::new(id, Status::Critical, reason, Unit::Percent).value(target.used_percent());
    }
    let percent = target.used_percent();
    let status = context.limit(&id, set.target, percent);
    CheckResult::new(id, status, target_words(set, target), Unit::Percent).value(percent)
}

fn target_words(set: &BackupSet, target: &Target) -> String {
    format!(
        "{}: target {:.0} % used, {} left",
        set.name,
        target.used_percent().ceil(),
        bytes_words(target.available_bytes as f64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{NOTHING_KNOWN, show};
    use crate::domain::fleet::ItemName;
    use crate::domain::settings::{BackupSource, DurationLimits, HOUR, Settings};
    use crate::domain::time::at;

    fn check(hours_old: &[i64], target: Option<Target>, trouble: Option<&str>, expected: &str) {
        let name = ItemName::parse("nightly").unwrap_or_else(|error| panic!("{error}"));
        let set = BackupSet {
            name: name.clone(),
            source: BackupSource::Borgmatic { config: String::new() },
            age: DurationLimits { warning: 26 * HOUR, critical: 50 * HOUR },
            keep: Some(2),
            keep_age: None,
            restore_test: None,
            sudo: false,
            target: Settings::default().disk.space,
        };
        let settings = Settings { backups: vec![set], ..Settings::default() };
        let archives = hours_old.iter().map(|hours| Archive {
            name: "a".into(),
            at: at(-hours * 3_600).utc(),
            size_bytes: Some(1_000_000),
        });
        let reading = BackupReading {
            set: name,
            archives: archives.collect(),
            unfinished: 0,
            target,
            trouble: trouble.map(Into::into),
            blind: false,
        };
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        assert_eq!(show(&super::check(&reading, &context)), expected);
    }

    const FINE: Target = Target { size_bytes: 100, used_bytes: 50, available_bytes: 50, read_only: Some(false) };

    #[test]
    fn the_age_of_the_newest_completed_archive_decides() {
        check(
            &[60],
            Some(FINE),
            None,
            "backup.age:nightly CRITICAL nightly: newest archive 2 d 12 h old (a, 1.0 MB)\n\
             backup.retention:nightly OK nightly: 1 archives, oldest 2 d 12 h old\n\
             backup.target:nightly OK nightly: target 50 % used, 50 B left",
        );
    }

    #[test]
    fn one_archive_too_many_never_prunes_and_a_read_only_target_is_critical() {
        check(
            &[1, 25, 49],
            Some(Target { read_only: Some(true), ..FINE }),
            None,
            "backup.age:nightly OK nightly: newest archive 60 min old (a, 1.0 MB)\n\
             backup.retention:nightly WARNING nightly: 3 archives, oldest 2 d 1 h old; the policy keeps 2: it does not prune\n\
             backup.target:nightly CRITICAL nightly: its target is READ-ONLY: nothing can be backed up there",
        );
    }

    #[test]
    fn what_cannot_be_listed_is_unknown_and_its_target_critical() {
        check(
            &[],
            None,
            Some("does not exist: is it mounted?"),
            "backup.age:nightly UNKNOWN nightly: does not exist: is it mounted?\n\
             backup.retention:nightly UNKNOWN nightly: its archives can't be counted\n\
             backup.target:nightly CRITICAL nightly: does not exist: is it mounted?",
        );
    }

    #[test]
    fn an_empty_set_is_critical() {
        check(
            &[],
            Some(FINE),
            None,
            "backup.age:nightly CRITICAL nightly: no completed archive at all\n\
             backup.retention:nightly OK nightly: 0 archives, oldest - old\n\
             backup.target:nightly OK nightly: target 50 % used, 50 B left",
        );
    }
}
