//! `proof.health`: whether accounting, the witness that can't be argued with, is there, is written, and reaches back far
//! enough. It is asked for where jobs are declared, whose outcome only it can prove.

use chrono::DateTime;

use super::{CheckId, CheckKind, CheckResult, Context, Unit, bytes_words};
use crate::domain::probe::accounting::AccountingReading;
use crate::domain::settings::JobEvidence;
use crate::domain::status::Status;

/// A file that has grown to this much is rotated by nobody.
const SIZE_BYTES_MAX: u64 = 1 << 30;
const NEWS_FOR_S: u32 = 86_400;

/// One result, where a job needs the proof; or where there was accounting and it stands still.
pub fn check(reading: &AccountingReading, context: &Context) -> Vec<CheckResult> {
    let needs = |evidence: &JobEvidence| matches!(evidence, JobEvidence::CronLog { .. });
    let is_needed = context.settings.jobs.iter().any(|job| needs(&job.evidence) && !job.accept_ran);
    let was_there = context.memory.previous_status(&CheckId::of(CheckKind::ProofHealth)).is_some();
    if !is_needed && reading.path.is_none() && !was_there {
        return Vec::new();
    }
    if reading.path.is_none() && was_there && !is_needed {
        let told = "the accounting file is gone: it was there before";
        return vec![CheckResult::new(CheckId::of(CheckKind::ProofHealth), Status::Warning, told, Unit::Count)];
    }
    let (status, told) = judge(reading, is_needed);
    vec![
        CheckResult::new(CheckId::of(CheckKind::ProofHealth), status, told, Unit::Count).value(f64::from(reading.gaps)),
    ]
}

fn judge(reading: &AccountingReading, is_needed: bool) -> (Status, String) {
    let needed = if is_needed { Status::Warning } else { Status::Ok };
    let Some(path) = &reading.path else {
        let mend = "dogwatch action run accounting.enable";
        return (needed, format!("accounting is off: how jobs ended can't be proven; {mend}"));
    };
    if reading.is_denied {
        return (needed, format!("{path} may not be read by this login"));
    }
    let whole = match reading.unbroken_from_s {
        Some(from) => format!(", whole since {}", day(from)),
        None => String::new(),
    };
    let covered = match (reading.covers_from_s, reading.gaps) {
        (Some(from), 0) => format!("{path} covers since {}, no gap", day(from)),
        (Some(from), 1) => format!("{path} covers since {}, 1 gap{whole}", day(from)),
        (Some(from), gaps) => format!("{path} covers since {}, {gaps} gaps{whole}", day(from)),
        (None, _) => format!("{path} has no record yet"),
    };
    let own = format!("{} records of others and {} of dogwatch's own in this poll", reading.others, reading.own);
    if 0 < reading.behind_bytes {
        return (Status::Ok, format!("catching up, {} to read; {covered}", bytes_words(reading.behind_bytes as f64)));
    }
    // Each poll ends processes of its own: a file that does not grow, or is empty, is written by nobody.
    if reading.grew == Some(false) || reading.size_bytes == 0 {
        let suspended = reading.limits.map_or(String::new(), |(low, _)| {
            format!(": switched off, left behind by a rotation, or suspended at {low} % free space")
        });
        let since = reading.newest_s.map_or(String::new(), |newest| format!(" since {}", day(newest)));
        return (Status::Warning, format!("accounting is silent{since}{suspended}; {covered}"));
    }
    if SIZE_BYTES_MAX < reading.size_bytes {
        let size = bytes_words(reading.size_bytes as f64);
        return (Status::Warning, format!("{path} has grown to {size}: nobody rotates it; {covered}"));
    }
    if 0 < reading.passed_over {
        return (Status::Warning, format!("{} bytes of it are no records; {covered}", reading.passed_over));
    }
    // A gap is news for a day; what it hid stays unknown.
    let whole_s = reading.newest_s.zip(reading.unbroken_from_s).map(|(newest, from)| newest.saturating_sub(from));
    let is_news = 0 < reading.gaps && whole_s.is_none_or(|whole_s| whole_s < NEWS_FOR_S);
    let status = if is_news { Status::Warning } else { Status::Ok };
    (status, format!("{covered}; {own}"))
}

fn day(seconds: u32) -> String {
    DateTime::from_timestamp(i64::from(seconds), 0).unwrap_or_default().format("%-d %b %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut AccountingReading), expected: (Status, &str)) {
        let mut reading = AccountingReading {
            path: Some("/var/log/account/pacct".into()),
            limits: Some((2, 4)),
            size_bytes: 6_400,
            grew: Some(true),
            covers_from_s: Some(1_790_000_000),
            newest_s: Some(1_790_086_400),
            others: 3,
            own: 9,
            ..AccountingReading::default()
        };
        change(&mut reading);
        let (status, told) = judge(&reading, true);
        assert!(status == expected.0 && told.contains(expected.1), "{status}: {told}");
    }

    #[test]
    fn what_covers_and_is_written_is_ok_and_says_how_far_it_reaches() {
        check(
            |_| {},
            (Status::Ok, "covers since 21 Sep 14:13 UTC, no gap; 3 records of others and 9 of dogwatch's own"),
        );
        check(|reading| reading.behind_bytes = 64_000, (Status::Ok, "catching up, 64 kB to read"));
    }

    #[test]
    fn off_silent_gapped_strange_and_unrotated_evidence_is_told() {
        check(|reading| reading.path = None, (Status::Warning, "accounting is off"));
        check(|reading| reading.is_denied = true, (Status::Warning, "may not be read"));
        let is_empty = |reading: &mut AccountingReading| {
            (reading.size_bytes, reading.grew, reading.covers_from_s) = (0, None, None);
        };
        check(is_empty, (Status::Warning, "has no record yet"));
        check(|reading| reading.grew = Some(false), (Status::Warning, "silent since 22 Sep 14:13 UTC: switched off"));
        check(|reading| reading.gaps = 1, (Status::Warning, "1 gap;"));
        check(|reading| reading.passed_over = 7, (Status::Warning, "7 bytes of it are no records"));
        check(|reading| reading.size_bytes = 2 << 30, (Status::Warning, "nobody rotates it"));
    }
}
