//! An evidence pack: what a manifest, tables and the report of one say. Whoever opens it later may have none of our tools.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::acct::{AcctRecord, CORE, Ended, FORKED, SIGNALLED, SUPERUSER};
use crate::domain::audit::digest::Digest;
use crate::domain::text::SafeText;

/// The manifest, in the form of `sha256sum`, and its signature.
pub const MANIFEST: &str = "SHA256SUMS";
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// A file of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFile {
    /// Below the pack's directory: of letters, digits and `/._-`.
    pub name: String,
    pub digest: Digest,
    pub bytes: u64,
    /// Where it comes from, for people.
    pub source: SafeText,
}

/// The manifest of these files.
pub fn manifest(files: &[PackFile]) -> String {
    files.iter().map(|file| format!("{}  {}\n", file.digest, file.name)).collect()
}

/// What is wrong with a manifest's line, or with a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    #[error("{MANIFEST}: line {0} names no file with its hash")]
    Line(usize),
    #[error("{0} was changed: its hash is not the one of the manifest")]
    Changed(String),
    #[error("{0} is in the pack, and in no manifest")]
    Extra(String),
}

/// Reads a manifest: each file's name and hash.
pub fn parse_manifest(text: &str) -> Result<Vec<(String, Digest)>, PackError> {
    let line = |(index, line): (usize, &str)| {
        let (hash, name) = line.split_once("  ").ok_or(PackError::Line(index + 1))?;
        let digest = Digest::parse(hash).ok_or(PackError::Line(index + 1))?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let is_within = !name.starts_with('/') && name.split('/').all(|step| !matches!(step, "" | "." | ".."));
        match is_within && name.chars().all(is_plain) {
            true => Ok((name.to_owned(), digest)),
            false => Err(PackError::Line(index + 1)),
        }
    };
    text.lines().enumerate().map(line).collect()
}

/// A record as the tables have it.
#[derive(Serialize)]
pub struct RecordRow {
    pub begin: String,
    pub begin_local: String,
    pub elapsed_s: f64,
    pub exit: Option<u8>,
    pub signal: Option<u8>,
    pub core: bool,
    pub command: SafeText,
    pub pid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub tty: String,
    pub user_s: f64,
    pub system_s: f64,
    pub flags: String,
    pub version: u8,
}

impl RecordRow {
    pub fn of(record: &AcctRecord, zone: Tz) -> Self {
        let begin = DateTime::from_timestamp(i64::from(record.begin_s), 0).unwrap_or_default();
        let (exit, signal, core) = match record.ended() {
            Ended::Exited(status) => (Some(status), None, false),
            Ended::Killed { signal, core } => (None, Some(signal), core),
        };
        let flags = [('F', FORKED), ('S', SUPERUSER), ('D', CORE), ('X', SIGNALLED)];
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        Self {
            begin: stamp(begin),
            begin_local: begin.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string(),
            elapsed_s: seconds(record.elapsed_ms),
            exit,
            signal,
            core,
            command: SafeText::from_bytes(record.name()),
            pid: record.pid,
            ppid: record.ppid,
            uid: record.uid,
            gid: record.gid,
            tty: tty(record.tty),
            user_s: seconds(record.user_ms),
            system_s: seconds(record.system_ms),
            flags: flags.iter().filter(|(_, flag)| record.has(*flag)).map(|(letter, _)| *letter).collect(),
            version: record.version,
        }
    }

    const COLUMNS: &str =
        "begin,begin_local,elapsed_s,exit,signal,core,command,pid,ppid,uid,gid,tty,user_s,system_s,flags,version";

    fn csv(&self) -> String {
        let number = |value: Option<u8>| value.map_or(String::new(), |value| value.to_string());
        let cells = [
            self.begin.clone(),
            self.begin_local.clone(),
            self.elapsed_s.to_string(),
            number(self.exit),
            number(self.signal),
            self.core.to_string(),
            self.command.to_string(),
            self.pid.to_string(),
            self.ppid.to_string(),
            self.uid.to_string(),
            self.gid.to_string(),
            self.tty.clone(),
            self.user_s.to_string(),
            self.system_s.to_string(),
            self.flags.clone(),
            self.version.to_string(),
        ];
        cells.map(|cell| csv_cell(&cell)).join(",")
    }
}

/// A time as every table and report writes it.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Terminals as people know them, from the kernel's number of the device.
pub fn tty(device: u16) -> String {
    let (major, minor) = (device >> 8, device & 0xff);
    match (major, minor) {
        (0, 0) => String::new(),
        (4, minor @ 0..64) => format!("tty{minor}"),
        (4, minor) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        (136..=143, minor) => format!("pts/{}", u32::from(major - 136) * 256 + u32::from(minor)),
        (major, minor) => format!("{major}:{minor}"),
    }
}

/// A cell that no spreadsheet reckons with and no reader takes for two.
fn csv_cell(text: &str) -> String {
    let inert = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        Some(_) | None => text.to_owned(),
    };
    match inert.contains([',', '"', '\n', '\r', '\'']) {
        true => format!("\"{}\"", inert.replace('"', "\"\"")),
        false => inert,
    }
}

/// All rows as a table with a head.
pub fn csv(rows: &[RecordRow]) -> String {
    let lines = rows.iter().map(RecordRow::csv);
    std::iter::once(RecordRow::COLUMNS.to_owned()).chain(lines).map(|line| line + "\r\n").collect()
}

/// What a report says.
pub struct Report<'a> {
    pub host: &'a str,
    pub host_key: &'a str,
    pub job: &'a str,
    pub expectation: String,
    pub zone: Tz,
    /// Milliseconds that the host's clock is ahead of the collecting machine's, and how sure that is.
    pub skew_ms: i64,
    pub skew_uncertainty_ms: i64,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub collected: DateTime<Utc>,
    /// Who collected it, where.
    pub by: String,
    pub version: &'a str,
    /// Whether a signature over the manifest belongs to the pack.
    pub is_signed: bool,
    /// The run that was asked about, and its verdict in words.
    pub verdict: String,
    /// The runs within the window, each in a line.
    pub runs: Vec<String>,
    pub records: usize,
    pub passed_over: u64,
    /// What could not be had.
    pub lacks: Vec<String>,
}

impl Report<'_> {
    /// Markdown, for people: host text is code, so that nothing of it is markup.
    pub fn markdown(&self, files: &[PackFile]) -> String {
        let local =
            |at: DateTime<Utc>| at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z (UTC%:z)").to_string();
        let mut out = String::new();
        let _ = writeln!(out, "# Evidence: job {} on {}\n", code(self.job), code(self.host));
        let _ = writeln!(out, "**Verdict:** {}\n", escaped(&self.verdict));
        let _ = writeln!(out, "| | |\n|---|---|");
        let rows = [
            ("Window", format!("{} to {}", local(self.from), local(self.to))),
            ("The host's time zone", self.zone.name().to_owned()),
            ("The host's clock", skew_words(self.skew_ms, self.skew_uncertainty_ms)),
            ("Expected", escaped(&self.expectation)),
            ("Accounting records in the window", self.records.to_string()),
            ("Bytes that are no records", self.passed_over.to_string()),
        ];
        rows.iter().for_each(|(name, value)| {
            let _ = writeln!(out, "| {name} | {value} |");
        });
        let _ = writeln!(out, "\n## Runs of the job in the window\n");
        match self.runs.is_empty() {
            true => out.push_str("None is known.\n"),
            false => self.runs.iter().for_each(|run| {
                let _ = writeln!(out, "- {}", escaped(run));
            }),
        }
        let _ = writeln!(out, "\n## Chain of custody\n");
        let _ = writeln!(out, "- Collected {} by {}.", stamp(self.collected), code(&self.by));
        let _ = writeln!(out, "- From the host that showed the key {}.", code(self.host_key));
        let _ = writeln!(out, "- With dogwatch {}, by constant scripts that change nothing on the host.", self.version);
        let _ = writeln!(
            out,
            "- Each file below is as the host had it, or made from those by this program; `{MANIFEST}` holds their hashes \
             (`sha256sum -c {MANIFEST}`)."
        );
        let _ = match self.is_signed {
            true => writeln!(
                out,
                "- `{SIGNATURE}` is an SSH signature over them (`ssh-keygen -Y verify -n evidence@dogwatch`): a pack without it is \
                 not as it was made."
            ),
            false => writeln!(
                out,
                "- It was made without a signature: whoever changes a file can change `{MANIFEST}` as well."
            ),
        };
        let _ = writeln!(out, "\n| file | bytes | sha256 | source |\n|---|---|---|---|");
        for file in files {
            let _ =
                writeln!(out, "| {} | {} | {} | {} |", file.name, file.bytes, file.digest, code(file.source.as_str()));
        }
        if !self.lacks.is_empty() {
            let _ = writeln!(out, "\n## What could not be had\n");
            self.lacks.iter().for_each(|lack| {
                let _ = writeln!(out, "- {}", escaped(lack));
            });
        }
        out
    }
}

fn skew_words(skew_ms: i64, uncertainty_ms: i64) -> String {
    let side = if skew_ms < 0 { "behind" } else { "ahead of" };
    format!("{} ms {side} the collecting machine's, ± {uncertainty_ms} ms", skew_ms.abs())
}

/// Text of a host within Markdown: as code, which holds no markup.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "¦"))
}

/// Words that may hold text of a host.
fn escaped(text: &str) -> String {
    let special = |c: char| "\\`*_{}[]<>#|!".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proof::acct::tests::record;

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_leads_nowhere_else() {
        let file = |name: &str| PackFile {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            bytes: 1,
            source: "x".into(),
        };
        let text = manifest(&[file("raw/pacct"), file("report.md")]);
        let names: Vec<String> = parse_manifest(&text).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["raw/pacct", "report.md"]);
        for wrong in ["../x", "/etc/passwd", "a/../b", "a b", ""] {
            let line = format!("{}  {wrong}\n", Digest::of(b"x"));
            assert_eq!(parse_manifest(&line), Err(PackError::Line(1)), "{wrong}");
        }
    }

    #[test]
    fn what_a_host_calls_its_programs_is_inert_in_a_spreadsheet_and_in_markdown() {
        let row = RecordRow::of(&record("=cmd|'/c calc'!", 7, 1_790_000_000, 200, 0x300), Tz::UTC);
        let table = csv(&[row]);
        assert!(table.lines().nth(1).is_some_and(|line| line.contains("\"'=cmd|'/c calc'!\"")), "{table}");
        assert_eq!(escaped("<b>[x](y)|"), r"\<b\>\[x\](y)\|");
        assert_eq!(code("a`b|c"), "`a'b¦c`");
    }

    #[test]
    fn terminals_have_their_names() {
        assert_eq!([tty(0), tty(0x0401), tty(0x8803)], ["", "tty1", "pts/3"]);
    }
}
