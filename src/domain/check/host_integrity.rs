//! `host.integrity:FILE`: a script that is not what it was, who owns it now, and when it was written.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::{CheckId, CheckKind, CheckResult, Context, Unit};
use crate::domain::probe::integrity::{FileState, IntegrityReading, Unseen, WatchedFile};
use crate::domain::proof::deeds::{Deeds, Kind};
use crate::domain::proof::who::Who;
use crate::domain::settings::HOUR;
use crate::domain::status::Status;
use crate::domain::text::SafeText;

/// How long a change stays CRITICAL: long enough that a weekend does not hide it.
const NEWS_FOR_MS: i64 = 7 * 24 * HOUR.as_millis() as i64;

/// Files as they were before they changed last.
#[derive(Debug, Default)]
pub struct Known {
    files: BTreeMap<SafeText, Before>,
    /// Changes that an earlier process told.
    told: BTreeMap<SafeText, (i64, String)>,
}

#[derive(Debug)]
struct Before {
    seen_ms: i64,
    state: Result<FileState, Unseen>,
    change: Option<(i64, String)>,
    /// Who may have done it; `None` where that is told with it.
    who: Option<Who>,
}

impl Known {
    /// Goes on from a reading that an earlier process left.
    pub fn begin_with(&mut self, reading: &IntegrityReading, seen_ms: i64) {
        for file in &reading.files {
            let change = self.told.get(&file.path).cloned();
            self.files.insert(file.path.clone(), Before { seen_ms, state: file.state.clone(), change, who: None });
        }
    }

    /// Goes on from what an earlier process told of a file that had changed.
    pub fn restore(&mut self, file: &SafeText, told_ms: i64, words: &str) {
        if let Some((_, told)) = words.split_once(" CHANGED, seen ").and_then(|(_, rest)| rest.split_once(" UTC: ")) {
            self.told.insert(file.clone(), (told_ms, told.to_owned()));
        }
    }
}

/// One result for each file.
pub fn check(reading: &IntegrityReading, known: &mut Known, deeds: &Deeds, context: &Context) -> Vec<CheckResult> {
    reading.files.iter().map(|file| check_one(file, known, deeds, context.now.utc_ms)).collect()
}

fn check_one(file: &WatchedFile, known: &mut Known, deeds: &Deeds, now_ms: i64) -> CheckResult {
    let before = known.files.entry(file.path.clone()).or_insert_with(|| Before {
        seen_ms: now_ms,
        state: file.state.clone(),
        change: None,
        who: None,
    });
    if before.state != file.state {
        before.change = Some((now_ms, change(&before.state, &file.state, before.seen_ms)));
        before.who = Some(Who::between(Kind::Edits, before.seen_ms, now_ms));
        before.state.clone_from(&file.state);
    }
    before.seen_ms = now_ms;
    before.who.iter_mut().for_each(|who| who.learn(deeds, now_ms));
    let id = CheckId::on(CheckKind::HostIntegrity, file.path.clone());
    let path = &file.path;
    let news = before.change.as_ref().filter(|(at, _)| now_ms - at < NEWS_FOR_MS);
    if let Some((at, told)) = news {
        let who = before.who.as_ref().map_or(String::new(), |who| who.words("; meanwhile: "));
        let reason = format!("{path} CHANGED, seen {}: {told}{who}", stamp(*at));
        return CheckResult::new(id, Status::Critical, reason, Unit::Count).value(1.0);
    }
    match &file.state {
        Err(Unseen::Missing) => CheckResult::new(id, Status::Critical, format!("{path} is not there"), Unit::Count),
        Err(Unseen::Denied) => CheckResult::missing(id, format!("{path} may not be read by this user"), Unit::Count),
        Err(Unseen::TooLarge) => CheckResult::missing(id, format!("{path} is too large to be hashed"), Unit::Count),
        Ok(state) if is_open(state) => {
            let reason = format!("{path} may be written by everybody (mode {}, {})", state.mode, state.owner);
            CheckResult::new(id, Status::Warning, reason, Unit::Count).value(0.0)
        }
        Ok(state) => {
            let since =
                before.change.as_ref().map_or(String::new(), |(at, _)| format!(", unchanged since {}", stamp(*at)));
            let reason = format!("{path} is as it was{since} ({}, {}, mode {})", short(state), state.owner, state.mode);
            CheckResult::new(id, Status::Ok, reason, Unit::Count).value(0.0)
        }
    }
}

pub(super) fn is_open(state: &FileState) -> bool {
    state.mode.as_str().bytes().last().is_some_and(|digit| matches!(digit, b'2' | b'3' | b'6' | b'7'))
}

fn short(state: &FileState) -> &str {
    state.sha256.as_str().get(..12).unwrap_or_default()
}

fn change(before: &Result<FileState, Unseen>, now: &Result<FileState, Unseen>, seen_ms: i64) -> String {
    let seen = stamp(seen_ms);
    match (before, now) {
        (Ok(before), Ok(now)) => change_of(before, now, seen_ms).unwrap_or_else(|| "its time alone".to_owned()),
        (Ok(before), Err(Unseen::Missing)) => format!("it is gone, was {} until {seen}", short(before)),
        (Err(Unseen::Missing), Ok(now)) => format!("it is new, {} of {}", short(now), now.owner),
        (Ok(_) | Err(_), Err(_)) => format!("it can't be read any more, could be until {seen}"),
        (Err(_), Ok(now)) => format!("it can be read now: {} of {}", short(now), now.owner),
    }
}

/// What differs between two states of a file, which was as before when it was seen then; `None` where only its time does.
pub(super) fn change_of(before: &FileState, now: &FileState, seen_ms: i64) -> Option<String> {
    let mut told = Vec::new();
    if before.sha256 != now.sha256 {
        told.push(format!("its content, {} to {}", short(before), short(now)));
    }
    if before.owner != now.owner {
        told.push(format!("its owner, {} to {}", before.owner, now.owner));
    }
    if before.mode != now.mode {
        told.push(format!("its mode, {} to {}", before.mode, now.mode));
    }
    let (written, seen) = (stamp(now.modified_s.saturating_mul(1_000)), stamp(seen_ms));
    let words = told.join(", ");
    (!told.is_empty()).then(|| format!("{words}; written {written} by {}, as before until {seen}", now.owner))
}

fn stamp(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::testing::{NOTHING_KNOWN, show};
    use crate::domain::probe::integrity::parse;
    use crate::domain::settings::Settings;
    use crate::domain::time::at;

    fn line(mode: &str, owner: &str, hash: char) -> String {
        format!("f {mode} {owner} 1790000000 {} /opt/ship.sh\nend\n", String::from(hash).repeat(64))
    }

    /// Polls an hour apart, then what the last one shows.
    fn check(polls: &[&str], expected: &str) {
        let (settings, mut known, mut shown) = (Settings::default(), Known::default(), String::new());
        for (hour, poll) in polls.iter().enumerate() {
            let reading = parse(poll.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            let context = Context { settings: &settings, now: at(hour as i64 * 3_600), memory: &NOTHING_KNOWN };
            shown = show(&super::check(&reading, &mut known, &Deeds::default(), &context));
        }
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn a_script_that_was_tampered_with_names_its_owner_and_when_it_was_written() {
        let (good, bad) = (line("755", "root:root", 'a'), line("755", "mallory:users", 'b'));
        check(&[&good, &good], "OK /opt/ship.sh is as it was (aaaaaaaaaaaa, root:root, mode 755)");
        let told = "CHANGED, seen 2026-";
        check(&[&good, &bad], told);
        let told = "its content, aaaaaaaaaaaa to bbbbbbbbbbbb, its owner, root:root to mallory:users; written 2026-09-21 14:13 UTC \
                    by mallory:users, as before until ";
        check(&[&good, &bad, &bad], told);
    }

    #[test]
    fn a_file_that_is_gone_open_or_hidden_is_told() {
        let good = line("755", "root:root", 'a');
        check(&[&good, "x /opt/ship.sh\nend\n"], "it is gone, was aaaaaaaaaaaa until ");
        check(&["x /opt/ship.sh\nend\n"], "CRITICAL /opt/ship.sh is not there");
        check(
            &[&line("777", "root:root", 'a')],
            "WARNING /opt/ship.sh may be written by everybody (mode 777, root:root)",
        );
        check(&["d /opt/ship.sh\nend\n"], "UNKNOWN /opt/ship.sh may not be read");
    }
}
