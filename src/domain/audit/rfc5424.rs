//! A record as a syslog message (RFC 5424), framed by its count of octets (RFC 5425).
//!
//! The message repeats the id and the hash, because the usual formats of a log file drop structured data, and a server may
//! cut what is longer than it takes. All of it is ASCII, so it needs no byte order mark and holds no line end.

use chrono::{SecondsFormat, TimeZone, Utc};

use super::digest::Digest;
use super::head::Head;
use super::record::{Event, Outcome, Record};

/// `authpriv`: security messages that not everyone may read.
const FACILITY: u8 = 10;
/// RFC 5424 allows 255; Linux has 64.
const HOST_CHARS_MAX: usize = 64;

/// Severities of RFC 5424, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Alert = 1,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

fn severity(event: &Event) -> Severity {
    match event {
        Event::BreakGlass { .. } => Severity::Alert,
        Event::Refused { .. } | Event::Denied(_) | Event::Frozen { .. } => Severity::Warning,
        Event::Outcome { outcome, .. } | Event::Reconciled { outcome, .. } => match outcome {
            Outcome::Done => Severity::Notice,
            Outcome::Failed | Outcome::Unknown => Severity::Warning,
        },
        Event::WriterStarted { .. }
        | Event::Proposed { .. }
        | Event::Approved(_)
        | Event::Claimed { .. }
        | Event::Intent { .. }
        | Event::Sent { .. }
        | Event::HoldSet { .. }
        | Event::HoldLifted { .. }
        | Event::Thawed { .. }
        | Event::TrustChanged { .. }
        | Event::ConfigChanged { .. }
        | Event::PolicyChanged { .. } => Severity::Notice,
    }
}

/// A record's message. `body` is the record as it is stored. 32473 is the enterprise number of RFC 5612, which belongs to nobody.
pub fn of_record(record: &Record, hash: &Digest, body: &str) -> String {
    let head = header(severity(&record.event), record.at_ms, record.actor.machine.as_str(), record.event.kind());
    let id = &record.id;
    format!("{head} [audit@32473 id=\"{id}\" hash=\"{hash}\"] audit {id} {hash} {body}")
}

/// A signed head's message; the signature's lines are joined by spaces.
pub fn of_head(head: &Head, signature: &str, at_ms: i64, machine: &str) -> String {
    let signature: Vec<&str> = signature.lines().filter(|line| !line.starts_with("-----")).collect();
    format!("{} - {} {}", header(Severity::Info, at_ms, machine, "head"), head.text(), signature.concat())
}

/// The message in place of a row that is no record any more.
pub fn of_broken(writer: &str, number: u64, at_ms: i64) -> String {
    format!("{} - audit store: record {number} of {writer} can't be read", header(Severity::Alert, at_ms, "", "broken"))
}

fn header(severity: Severity, at_ms: i64, machine: &str, kind: &str) -> String {
    let priority = FACILITY * 8 + severity as u8;
    let at = Utc.timestamp_millis_opt(at_ms).single().unwrap_or_default();
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let machine: String = machine.chars().filter(char::is_ascii_graphic).take(HOST_CHARS_MAX).collect();
    let machine = if machine.is_empty() { "-" } else { &machine };
    format!("<{priority}>1 {at} {machine} dogwatch - {kind}")
}

/// The message with its count of octets before it.
pub fn framed(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// What rsyslog takes whole by default.
const MESSAGE_BYTES_MAX: usize = 8_096;
/// What stands before the record, with the longest of everything.
const HEAD_BYTES_MAX: usize = 480;
const _: () = assert!(super::record::RECORD_BYTES_MAX + HEAD_BYTES_MAX < MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::record::{Actor, AuditId, RECORD_VERSION, WriterId};

    #[test]
    fn a_record_is_one_line_of_ascii_whatever_it_holds() {
        let Some(writer) = WriterId::parse("3f9a1c2b44d0") else { panic!("a writer") };
        let reason = "a\nb\u{202e}c \"]\\ ü";
        let actor =
            Actor { uid: 1000, user: reason.into(), person: None, machine: "ops 1\n".into(), from: "pts/3".into() };
        let event = Event::BreakGlass {
            request: AuditId { writer: writer.clone(), number: 4 },
            plan: Digest::ZERO,
            reason: reason.into(),
        };
        let id = AuditId { writer, number: 5 };
        let record = Record { v: RECORD_VERSION, id, previous: Digest::ZERO, at_ms: 1_790_000_000_123, actor, event };
        let body = record.encode().unwrap();
        let message = of_record(&record, &Digest::of(body.as_bytes()), &body);
        assert!(
            message.starts_with(
                "<81>1 2026-09-21T14:13:20.123Z ops1 dogwatch - break_glass [audit@32473 id=\"3f9a1c2b44d0-5\""
            ),
            "{message}"
        );
        assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(framed("abc"), b"3 abc");
    }
}
