//! Backup sets: which archives are there, and the health of where they lie.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::archive_lists::{borg, borgmatic, restic};
use super::script::{Answer, Section};
use super::{ParseError, fields, lines, number};
use crate::domain::fleet::ItemName;
use crate::domain::settings::{BackupSet, BackupSource};
use crate::domain::text::SafeText;

/// Archives read of one set; the newest are kept.
pub const ARCHIVES_MAX: usize = 20_000;

/// `$1` directory, `$2` pattern. Prints the target as `t …`, `o OPTIONS`, and `a MTIME SIZE NAME` each file.
pub const FILES_SCRIPT: &str = r#"
if cd -- "$1" 2>/dev/null && [ -r . ]; then
  stat -f -c 't %S %b %f %a' . </dev/null
  dw_here=$(pwd -P)/ dw_best=
  while read -r dw_id dw_parent dw_dev dw_root dw_mnt dw_opts dw_rest; do
    case $dw_here in "${dw_mnt%/}"/*) [ ${#dw_mnt} -ge ${#dw_best} ] && dw_best=$dw_mnt dw_super=$dw_opts,${dw_rest##* } ;; esac
  done </proc/self/mountinfo
  printf 'o %s\n' "$dw_super"
  find -P . -maxdepth 1 -type f -name "$2" -exec stat -c 'a %Y %s %n' {} + </dev/null
elif [ -e "$1" ]; then
  printf 'y may not be entered or listed by this user\n'
else
  printf 'x does not exist: is it mounted?\n'
fi
cd /
:
"#;

/// `$1` repository, `$2` password file, `$3` `sudo` or nothing. Without a lock, and without a cache in anybody's home.
pub const RESTIC_SCRIPT: &str = r#"
dw_sudo=; [ "$3" = sudo ] && dw_sudo='sudo -n'
if command -v restic >/dev/null; then
  dw_cut
  $dw_sudo restic -r "$1" --password-file "$2" snapshots --json --no-lock --no-cache </dev/null 2>&1
  dw_rc=$?
  dw_cut
  printf 'rc %s\n' "$dw_rc"
  if [ -d "$1" ]; then stat -f -c 't %S %b %f %a' -- "$1" </dev/null; fi
else
  printf 'y restic is not installed on this host\n'
fi
:
"#;

/// `$1` repository, `$2` a command that prints the passphrase or nothing, `$3` `sudo` or nothing.
/// borg would write its cache and configuration into the home directory: they go to a directory that is removed. Root's
/// borg, by sudo, finds the cache that root's own backups left, and its directory could not be removed by this user.
pub const BORG_SCRIPT: &str = r#"
dw_sudo=; [ "$3" = sudo ] && dw_sudo='sudo -n --preserve-env=TZ,BORG_PASSCOMMAND,BORG_RELOCATED_REPO_ACCESS_IS_OK,BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK'
if command -v borg >/dev/null; then
  dw_tmp=
  [ -n "$dw_sudo" ] || { dw_tmp=$(mktemp -d) && trap 'rm -rf "$dw_tmp"' EXIT HUP INT TERM PIPE; }
  dw_cut
  (
    [ -n "$dw_tmp" ] && export BORG_BASE_DIR="$dw_tmp"
    export TZ=UTC BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
    [ -n "$2" ] && export BORG_PASSCOMMAND="$2"
    $dw_sudo borg --bypass-lock list --json "$1" </dev/null 2>&1
  )
  dw_rc=$?
  dw_cut
  printf 'rc %s\n' "$dw_rc"
  if [ -d "$1" ]; then stat -f -c 't %S %b %f %a' -- "$1" </dev/null; fi
else
  printf 'y borg is not installed on this host\n'
fi
:
"#;

/// `$1` borgmatic's configuration, `$2` `sudo` or nothing.
pub const BORGMATIC_SCRIPT: &str = r#"
dw_sudo=; [ "$2" = sudo ] && dw_sudo='sudo -n --preserve-env=TZ'
if command -v borgmatic >/dev/null; then
  dw_tmp=
  [ -n "$dw_sudo" ] || { dw_tmp=$(mktemp -d) && trap 'rm -rf "$dw_tmp"' EXIT HUP INT TERM PIPE; }
  dw_cut
  ([ -n "$dw_tmp" ] && export BORG_BASE_DIR="$dw_tmp"; export TZ=UTC; $dw_sudo borgmatic --config "$1" list --json </dev/null 2>/dev/null)
  dw_rc=$?
  dw_cut
  printf 'rc %s\n' "$dw_rc"
else
  printf 'y borgmatic is not installed on this host\n'
fi
:
"#;

/// One backup set as one poll saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupReading {
    pub set: ItemName,
    /// Completed archives, newest first.
    pub archives: Vec<Archive>,
    /// Files that match but are too small, unfinished or still being written.
    pub unfinished: u32,
    pub target: Option<Target>,
    /// Why nothing could be listed.
    pub trouble: Option<SafeText>,
    /// The trouble says nothing of the target: a tool is missing, this user may not look, or somebody holds the lock.
    pub blind: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    pub name: SafeText,
    pub at: DateTime<Utc>,
    pub size_bytes: Option<u64>,
}

/// Where archives lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub size_bytes: u64,
    pub used_bytes: u64,
    pub available_bytes: u64,
    pub read_only: Option<bool>,
}

impl Target {
    pub fn used_percent(&self) -> f64 {
        match self.used_bytes.saturating_add(self.available_bytes) {
            0 => 100.0,
            whole => self.used_bytes as f64 * 100.0 / whole as f64,
        }
    }
}

/// The section that lists a set.
pub fn section(set: &BackupSet) -> Section {
    let sudo = if set.sudo { "sudo" } else { "" }.to_owned();
    match &set.source {
        BackupSource::Files { directory, pattern, size_min: _ } => {
            Section { script: FILES_SCRIPT, parameters: vec![directory.clone(), pattern.clone()] }
        }
        BackupSource::Restic { repository, password_file } => {
            Section { script: RESTIC_SCRIPT, parameters: vec![repository.clone(), password_file.clone(), sudo] }
        }
        BackupSource::Borg { repository, passcommand } => Section {
            script: BORG_SCRIPT,
            parameters: vec![repository.clone(), passcommand.clone().unwrap_or_default(), sudo],
        },
        BackupSource::Borgmatic { config } => {
            Section { script: BORGMATIC_SCRIPT, parameters: vec![config.clone(), sudo] }
        }
    }
}

/// A file younger than this may still be growing.
const SETTLED_AFTER_S: i64 = 60;

/// Reads a section's answer; `now` is the observer's clock.
pub fn parse(answer: &Answer, set: &BackupSet, now: DateTime<Utc>) -> Result<BackupReading, ParseError> {
    let mut reading = BackupReading {
        set: set.name.clone(),
        archives: Vec::new(),
        unfinished: 0,
        target: None,
        trouble: None,
        blind: false,
    };
    let mut exit = None;
    for (index, line) in answer.parts.first().into_iter().copied().chain([answer.body]).flat_map(lines) {
        match line {
            [kind @ (b'x' | b'y'), b' ', why @ ..] => {
                reading.trouble = Some(SafeText::from_bytes_capped(why, 200));
                reading.blind = *kind == b'y';
            }
            [b't', b' ', rest @ ..] => reading.target = Some(target(index, rest)?),
            [b'o', b' ', options @ ..] => {
                let read_only = options.split(|&b| b == b',').any(|option| option == b"ro");
                if let Some(target) = &mut reading.target {
                    target.read_only = Some(read_only);
                }
            }
            [b'r', b'c', b' ', code @ ..] => exit = number::<i32>(code),
            [b'a', b' ', rest @ ..] => file(index, rest, set, now, &mut reading)?,
            _ => {}
        }
    }
    if let (Some(json), Some(exit)) = (answer.parts.get(1), exit) {
        match (exit, &set.source) {
            (0, BackupSource::Restic { .. }) => reading.archives = restic(json)?,
            (0, BackupSource::Borg { .. }) => reading.archives = borg(json)?,
            (0, BackupSource::Borgmatic { .. }) => reading.archives = borgmatic(json)?,
            (0, BackupSource::Files { .. }) => {}
            (code, _) => {
                let trouble = tool_trouble(code, json);
                reading.blind = trouble.as_str().to_ascii_lowercase().contains("lock");
                reading.trouble = Some(trouble);
            }
        }
    }
    reading.archives.sort_by_key(|archive| std::cmp::Reverse(archive.at));
    reading.archives.truncate(ARCHIVES_MAX);
    Ok(reading)
}

fn tool_trouble(code: i32, output: &[u8]) -> SafeText {
    let last = output.split(|&byte| byte == b'\n').rfind(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    SafeText::new(&format!("the tool ended with {code}: {}", SafeText::from_bytes_capped(last, 200)))
}

fn target(index: usize, line: &[u8]) -> Result<Target, ParseError> {
    let bad = || ParseError::line(index, "the target's statfs needs 4 counts");
    let columns: [&[u8]; 4] = fields(line).ok_or_else(bad)?;
    let mut counts = [0_u64; 4];
    for (count, column) in counts.iter_mut().zip(columns) {
        *count = number(column).ok_or_else(bad)?;
    }
    let [block_bytes, blocks, free, available] = counts;
    Ok(Target {
        size_bytes: blocks.saturating_mul(block_bytes),
        used_bytes: blocks.saturating_sub(free).saturating_mul(block_bytes),
        available_bytes: available.min(free).saturating_mul(block_bytes),
        read_only: None,
    })
}

fn file(
    index: usize,
    line: &[u8],
    set: &BackupSet,
    now: DateTime<Utc>,
    reading: &mut BackupReading,
) -> Result<(), ParseError> {
    let bad = || ParseError::line(index, "a file needs time, size and name");
    let [modified, size, name] = fields(line).ok_or_else(bad)?;
    let at = number(modified).and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or_else(bad)?;
    let size_bytes: u64 = number(size).ok_or_else(bad)?;
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let size_min = match &set.source {
        BackupSource::Files { size_min, .. } => *size_min,
        BackupSource::Restic { .. } | BackupSource::Borg { .. } | BackupSource::Borgmatic { .. } => 0,
    };
    const UNFINISHED: [&[u8]; 5] = [b".part", b".partial", b".tmp", b".inprogress", b".incomplete"];
    let by_name = UNFINISHED.iter().any(|suffix| name.ends_with(suffix)) || name.starts_with(b".");
    let settled = SETTLED_AFTER_S <= (now - at).num_seconds() || now < at;
    if by_name || size_bytes < size_min || !settled {
        reading.unfinished += 1;
    } else {
        reading.archives.push(Archive {
            name: SafeText::from_bytes_capped(name, 200),
            at,
            size_bytes: Some(size_bytes),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::{DurationLimits, HOUR, Settings};

    fn set(source: BackupSource) -> BackupSet {
        BackupSet {
            name: ItemName::parse("nightly").unwrap_or_else(|error| panic!("{error}")),
            source,
            age: DurationLimits { warning: 26 * HOUR, critical: 50 * HOUR },
            keep: None,
            keep_age: None,
            restore_test: None,
            sudo: false,
            target: Settings::default().disk.space,
        }
    }

    fn check(source: BackupSource, parts: &[&str], body: &str, expected: &str) {
        let answer =
            Answer { body: body.as_bytes(), parts: parts.iter().map(|part| part.as_bytes()).collect(), status: 0 };
        let now = DateTime::from_timestamp(2_000_000, 0).unwrap_or_default();
        let shown = match parse(&answer, &set(source), now) {
            Ok(reading) => {
                let archives: Vec<String> = reading
                    .archives
                    .iter()
                    .map(|archive| format!("{}@{}", archive.name, archive.at.format("%Y-%m-%dT%H:%M:%S")))
                    .collect();
                format!("{} +{} {:?}", archives.join(","), reading.unfinished, reading.trouble)
            }
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected);
    }

    fn files() -> BackupSource {
        BackupSource::Files { directory: "/b".to_owned(), pattern: "*".to_owned(), size_min: 10 }
    }

    #[test]
    fn unfinished_small_and_growing_files_are_no_backups() {
        check(
            files(),
            &[],
            "t 1 10 5 5\no rw\na 1000000 50 ./b.gz\na 1000 50 ./a.gz\na 1000 5 ./empty.gz\na 1000 50 ./c.gz.part\na 1999990 50 ./now.gz\n",
            "b.gz@1970-01-12T13:46:40,a.gz@1970-01-01T00:16:40 +3 None",
        );
    }

    #[test]
    fn a_missing_directory_says_so() {
        check(files(), &[], "x does not exist: is it mounted?\n", " +0 Some(\"does not exist: is it mounted?\")");
    }

    fn restic_source() -> BackupSource {
        BackupSource::Restic { repository: "/r".to_owned(), password_file: "/p".to_owned() }
    }

    #[test]
    fn restic_snapshots_are_read_and_an_empty_repository_is_empty() {
        let json = r#"[{"time":"2026-11-20T04:30:00.5+01:00","short_id":"ab12","paths":["/"],"hostname":"x"}]"#;
        check(restic_source(), &["", json], "rc 0\n", "ab12@2026-11-20T03:30:00 +0 None");
        check(restic_source(), &["", "[]"], "rc 0\n", " +0 None");
        check(restic_source(), &["", "null"], "rc 0\n", " +0 None");
    }

    #[test]
    fn a_tool_that_fails_tells_its_last_line() {
        check(
            restic_source(),
            &["", "x\nFatal: wrong password\n"],
            "rc 1\n",
            " +0 Some(\"the tool ended with 1: Fatal: wrong password\")",
        );
    }

    #[test]
    fn borgs_naive_times_are_utc_and_checkpoints_are_unfinished() {
        let json = r#"{"archives":[{"archive":"a","id":"1","name":"a","start":"2026-11-20T04:30:00.000000","time":"2026-11-20T04:30:00.000000"},
            {"name":"b.checkpoint","start":"2026-11-21T04:30:00.000000"}],"repository":{}}"#;
        let borg = BackupSource::Borg { repository: "/r".to_owned(), passcommand: None };
        check(borg, &["", json], "rc 0\n", "a@2026-11-20T04:30:00 +0 None");
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_the_parser_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let answer = Answer { body: &body, parts: vec![b"", &body], status: 0 };
            let _ = parse(&answer, &set(restic_source()), DateTime::default());
        }
    }
}
