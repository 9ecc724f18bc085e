//! `backup.restore:SET`: when a file was last restored from it and compared; an archive that nobody ever read back is a hope.

use std::time::Duration;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::restores::{RestoreTest, RestoresReading};
use crate::domain::settings::{BackupSet, BackupSource};
use crate::domain::status::Status;
use crate::domain::time::words;

/// One result for each set that restore tests are wanted of, or known of.
pub fn check(reading: &RestoresReading, context: &Context) -> Vec<CheckResult> {
    context.settings.backups.iter().filter_map(|set| of_set(reading, set, context)).collect()
}

fn of_set(reading: &RestoresReading, set: &BackupSet, context: &Context) -> Option<CheckResult> {
    let id = CheckId::on(CheckKind::BackupRestore, set.name.as_str().into());
    let repository = match &set.source {
        BackupSource::Restic { repository, .. } | BackupSource::Borg { repository, .. } => Some(repository.as_str()),
        BackupSource::Borgmatic { .. } | BackupSource::Files { .. } => None,
    };
    let plain = |path: &str| path.trim_end_matches('/').to_owned();
    let repository = repository.map(plain);
    let test = reading.tests.iter().find(|test| Some(plain(test.repository.as_str())) == repository);
    match (test, set.restore_test) {
        (Some(test), wanted) => Some(tested(id, set, test, wanted, context)),
        (None, Some(wanted)) => {
            let reason = format!(
                "{}: no restore test of it is on record here, one each {} is wanted: dogwatch action run backup.test-restore",
                set.name,
                words(wanted)
            );
            Some(CheckResult::new(id, Status::Warning, reason, Unit::Seconds))
        }
        (None, None) => None,
    }
}

fn tested(
    id: CheckId,
    set: &BackupSet,
    test: &RestoreTest,
    wanted: Option<Duration>,
    context: &Context,
) -> CheckResult {
    let age_ms = context.now.utc_ms.saturating_sub(test.at_ms);
    let Ok(age_ms) = u64::try_from(age_ms) else {
        return CheckResult::missing(
            id,
            format!("{}: its last restore test lies in the future", set.name),
            Unit::Seconds,
        );
    };
    let age = Duration::from_millis(age_ms);
    let ago = words(age);
    let (status, told) = match (test.whole, wanted) {
        (Some(false), _) => (Status::Critical, format!("the last restore test FAILED, {ago} ago")),
        (None, _) => (Status::Unknown, format!("how the restore test of {ago} ago ended is not known")),
        (Some(true), Some(wanted)) if wanted <= age => {
            (Status::Warning, format!("last restored whole {ago} ago, one each {} is wanted", words(wanted)))
        }
        (Some(true), Some(_) | None) => (Status::Ok, format!("last restored whole {ago} ago")),
    };
    CheckResult::new(id, status, format!("{}: {told}", set.name), Unit::Seconds).value(age.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{NOTHING_KNOWN, show};
    use crate::domain::fleet::ItemName;
    use crate::domain::settings::{DurationLimits, HOUR, Settings};
    use crate::domain::time::at;

    fn check(test: Option<(i64, Option<bool>)>, wanted_hours: Option<u32>, expected: &str) {
        let set = BackupSet {
            name: ItemName::parse("nightly").unwrap_or_else(|error| panic!("{error}")),
            source: BackupSource::Restic { repository: "/backup/repo".to_owned(), password_file: String::new() },
            age: DurationLimits { warning: 26 * HOUR, critical: 50 * HOUR },
            keep: None,
            keep_age: None,
            restore_test: wanted_hours.map(|hours| HOUR * hours),
            sudo: false,
            target: Settings::default().disk.space,
        };
        let settings = Settings { backups: vec![set], ..Settings::default() };
        let test = test.map(|(hours_ago, whole)| RestoreTest {
            repository: "/backup/repo".into(),
            at_ms: at(-hours_ago * 3_600).utc_ms,
            whole,
        });
        let reading = RestoresReading { tests: test.into_iter().collect() };
        let context = Context { settings: &settings, now: at(0), memory: &NOTHING_KNOWN };
        assert_eq!(show(&super::check(&reading, &context)), expected);
    }

    #[test]
    fn an_archive_that_nobody_read_back_is_told_where_that_is_wanted() {
        check(None, None, "");
        let never = "backup.restore:nightly WARNING nightly: no restore test of it is on record here, one each 7 d is wanted: \
                     dogwatch action run backup.test-restore";
        check(None, Some(168), never);
    }

    #[test]
    fn a_restore_test_ages_and_one_that_failed_is_critical() {
        check(Some((3, Some(true))), None, "backup.restore:nightly OK nightly: last restored whole 3 h 00 min ago");
        let late = "backup.restore:nightly WARNING nightly: last restored whole 9 d ago, one each 7 d is wanted";
        check(Some((216, Some(true))), Some(168), late);
        let failed = "backup.restore:nightly CRITICAL nightly: the last restore test FAILED, 3 h 00 min ago";
        check(Some((3, Some(false))), Some(168), failed);
        let unknown =
            "backup.restore:nightly UNKNOWN nightly: how the restore test of 3 h 00 min ago ended is not known";
        check(Some((3, None)), None, unknown);
    }
}
