//! When a log's line says that it was written.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// How far into a line a stamp is looked for: web servers write it after the client's address.
const LOOKED_AT_CHARS: usize = 120;
/// A stamp without a year lies at most this far ahead; one further ahead is of last year.
const AHEAD_MAX: chrono::Duration = chrono::Duration::days(2);
const HOUR_S: i32 = 3_600;

/// A line's time, and where what follows its stamp begins: 0 where the stamp is not the beginning of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: DateTime<Utc>,
    pub rest_at: usize,
}

/// Reads the stamp of a line; `zone` is the host's own, for stamps that name none, and `now` gives them their year.
///
/// Known are RFC 3339 and its relatives (journalctl, PostgreSQL, rsyslog), the traditional form of syslog
/// (`Nov 21 04:30:01`), that of access logs (`[21/Nov/2026:04:30:00 +0000]`), nginx's of errors (`2026/11/21 04:30:00`),
/// and seconds since the epoch.
pub fn stamp(line: &str, zone: FixedOffset, now: DateTime<Utc>) -> Option<Stamp> {
    let text = line.trim_start_matches(['[', '"', ' ']);
    let (at, rest) = epoch(text)
        .or_else(|| dated(text, zone))
        .or_else(|| traditional(text, zone, now))
        .or_else(|| access(text).map(|at| (at, line)))?;
    let rest_at = if rest.len() == line.len() { 0 } else { line.len() - rest.trim_start_matches([']', ' ']).len() };
    Some(Stamp { at, rest_at })
}

/// The time of a line's stamp, and where that comes twice the second of it; `zone` is the host's own, by whose rules of that
/// moment a stamp without a zone is read.
pub fn times_of(line: &str, zone: Tz, now: DateTime<Utc>) -> Option<[DateTime<Utc>; 2]> {
    let read = |offset_s: i32| Some(stamp(line, FixedOffset::east_opt(offset_s)?, now)?.at);
    let as_utc = read(0)?;
    // One that names its zone is the same whatever the host's is.
    match read(HOUR_S)? == as_utc {
        true => Some([as_utc; 2]),
        false => {
            let found = zone.from_local_datetime(&as_utc.naive_utc());
            Some([found.earliest()?, found.latest()?].map(|at| at.with_timezone(&Utc)))
        }
    }
}

/// `1795235401.5 …`.
fn epoch(line: &str) -> Option<(DateTime<Utc>, &str)> {
    let word = line.split([' ', ':']).next()?;
    let (seconds, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let is_plausible = seconds.len() == 10 && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    let at = DateTime::from_timestamp(seconds.parse().ok().filter(|_| is_plausible)?, nanos)?;
    Some((at, &line[word.len()..]))
}

/// `2026-11-21T04:30:01.123+01:00 …`, with a space, a comma, or no zone; `2026/11/21 04:30:00 …`.
fn dated(line: &str, zone: FixedOffset) -> Option<(DateTime<Utc>, &str)> {
    let date = line.get(..10)?;
    let (time, rest) = line.get(11..)?.split_at_checked(8)?;
    if !matches!(line.as_bytes().get(10), Some(b'T' | b' ')) {
        return None;
    }
    let text = format!("{} {time}", date.replace('/', "-"));
    let local = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").ok()?;
    let (fraction, rest) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let nanos: u32 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    let (zone, rest) = written_zone(rest).unwrap_or((zone, rest));
    let at = local.and_local_timezone(zone).single()?;
    Some((at.with_timezone(&Utc) + chrono::Duration::nanoseconds(i64::from(nanos)), rest))
}

/// `Z`, `+01:00`, `+0100`, ` UTC`.
fn written_zone(rest: &str) -> Option<(FixedOffset, &str)> {
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let utc = ["Z", "UTC", "GMT"].iter().find_map(|name| rest.strip_prefix(name));
    if let Some(rest) = utc.filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())) {
        return Some((FixedOffset::east_opt(0)?, rest));
    }
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, after) = rest.get(1..)?.split_at_checked(2)?;
    let (minutes, after) = after.strip_prefix(':').unwrap_or(after).split_at_checked(2)?;
    let both_are_digits = hours.bytes().chain(minutes.bytes()).all(|b| b.is_ascii_digit());
    let number = |digits: &str| digits.parse::<i32>().ok().filter(|_| both_are_digits);
    Some((FixedOffset::east_opt(sign * (number(hours)? * 3_600 + number(minutes)? * 60))?, after))
}

/// `Nov 21 04:30:01 …`.
fn traditional(line: &str, zone: FixedOffset, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &str)> {
    let (text, rest) = line.split_at_checked(15)?;
    let in_year = |year: i32| {
        let local = NaiveDateTime::parse_from_str(&format!("{year} {text}"), "%Y %b %e %H:%M:%S").ok()?;
        Some(local.and_local_timezone(zone).single()?.with_timezone(&Utc))
    };
    let year = now.with_timezone(&zone).year();
    let at = in_year(year).filter(|at| *at <= now + AHEAD_MAX).or_else(|| in_year(year - 1))?;
    Some((at, rest))
}

/// `… [21/Nov/2026:04:30:00 +0000] …`.
fn access(line: &str) -> Option<DateTime<Utc>> {
    let end = line.char_indices().nth(LOOKED_AT_CHARS).map_or(line.len(), |(at, _)| at);
    let text = line[..end].split('[').find_map(|after| after.split_once(']').map(|(text, _)| text))?;
    DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let zone = FixedOffset::east_opt(3_600).unwrap_or_else(|| panic!("no zone"));
        let now = "2026-11-21T12:00:00Z".parse().unwrap_or_else(|error| panic!("{error}"));
        let shown = stamp(line, zone, now).map(|stamp| stamp.at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string());
        assert_eq!(shown.unwrap_or_else(|| "none".to_owned()), expected, "{line}");
    }

    #[test]
    fn a_stamp_without_a_zone_is_read_by_the_rules_of_its_own_day() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap_or_default();
        let both = |line: &str| {
            times_of(line, Tz::Europe__Berlin, now).map(|both| both.map(|at| at.format("%m-%dT%H:%M").to_string()))
        };
        assert_eq!(both("Oct 25 02:30:00 h x: gave up"), Some(["10-25T00:30".to_owned(), "10-25T01:30".to_owned()]));
        let read = |line: &str| both(line).map(|[first, _]| first);
        assert_eq!(read("2026-10-20 04:00:00 gave up").as_deref(), Some("10-20T02:00"));
        assert_eq!(read("Nov 20 04:00:00 h x: gave up").as_deref(), Some("11-20T03:00"));
        assert_eq!(read("2026-10-20T04:00:00+00:00 gave up").as_deref(), Some("10-20T04:00"));
        assert_eq!(read("gave up"), None);
    }

    #[test]
    fn a_stamp_with_a_zone_is_read_by_it() {
        check("2026-11-21T04:30:01.123456+02:00 h x", "2026-11-21T02:30:01.123");
        check("2026-11-21T04:30:01+0200 h x", "2026-11-21T02:30:01.000");
        check("2026-11-21 04:30:01.5 UTC [811] LOG", "2026-11-21T04:30:01.500");
        check("198.51.100.7 - - [21/Nov/2026:04:30:00 +0000] \"GET\"", "2026-11-21T04:30:00.000");
        check("1795235401.5 h x", "2026-11-21T04:30:01.500");
    }

    #[test]
    fn a_stamp_without_a_zone_is_in_the_hosts_own() {
        check("Nov 21 04:30:01 h x", "2026-11-21T03:30:01.000");
        check("Nov  1 04:30:01 h x", "2026-11-01T03:30:01.000");
        check("2026/11/21 04:30:01 [error] 7#7", "2026-11-21T03:30:01.000");
        check("2026-11-21 04:30:01,250 INFO", "2026-11-21T03:30:01.250");
    }

    #[test]
    fn what_follows_a_stamp_is_found() {
        let rest = |line: &'static str| {
            let zone = FixedOffset::east_opt(0).unwrap_or_else(|| panic!("no zone"));
            stamp(line, zone, DateTime::UNIX_EPOCH).map(|stamp| &line[stamp.rest_at..])
        };
        assert_eq!(rest("2026-11-21T04:30:01.5+02:00 h x"), Some("h x"));
        assert_eq!(rest("2026-11-21 04:30:01 UTC [811] LOG"), Some("[811] LOG"));
        assert_eq!(rest("[2026-11-21 04:30:01] Zebra"), Some("Zebra"));
        assert_eq!(rest("2026-11-21 04:30:01 Zebra"), Some("Zebra"));
        assert_eq!(rest("Nov 21 04:30:01 h x"), Some("h x"));
        assert_eq!(rest("::1 - - [21/Nov/2026:04:30:00 +0000] x"), Some("::1 - - [21/Nov/2026:04:30:00 +0000] x"));
    }

    #[test]
    fn a_december_line_in_november_is_of_last_year() {
        check("Dec 24 04:30:01 h x", "2025-12-24T03:30:01.000");
    }

    #[test]
    fn a_line_without_a_stamp_has_none() {
        for line in ["", "\tat java.lang.Thread.run", "1795235401555 ms", "error: 12/34", "[4711] x", "12:34:56 x"] {
            check(line, "none");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,60}", start in 0_usize..6) {
            let starts = ["", "2026-11-21T", "2026-11-21 04:30:01", "Nov 21 04:3", "[", "1795235401."];
            let zone = FixedOffset::east_opt(0).unwrap_or_else(|| panic!("no zone"));
            let _ = stamp(&format!("{}{line}", starts[start]), zone, DateTime::UNIX_EPOCH);
        }
    }
}
