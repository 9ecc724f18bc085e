//! `dogwatch evidence`: a pack that proves what a job did then, and whether a pack is as it was made.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::ran::around;
use super::{CommandError, Common, block_on};
use crate::adapters::audit::own_actor;
use crate::adapters::{clock, evidence as kept, policy_file, ssh_sign};
use crate::domain::audit::digest::Digest;
use crate::domain::proof::pack::{
    MANIFEST, PackError, PackFile, RecordRow, Report, SIGNATURE, csv, manifest, parse_manifest, stamp,
};
use crate::domain::settings::{Expectation, JobSpec};
use crate::domain::signature::{self, Purpose};
use crate::domain::text::SafeText;
use crate::engine::evidence::{Found, Wish, collect};

/// What proves what a job did: collect it, or check what was collected
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EvidenceArguments {
    #[command(subcommand)]
    command: Option<EvidenceCommand>,
    #[command(flatten)]
    pack: Option<PackArguments>,
}

#[derive(Subcommand)]
enum EvidenceCommand {
    /// Say whether a pack is as it was made, to the bit, and who signed it
    Verify {
        directory: PathBuf,
        /// Whose signature it must bear, by their key's fingerprint: SHA256:…
        #[arg(long, value_name = "FINGERPRINT")]
        signer: Option<String>,
        /// Be content with files that fit their manifest: whoever changed one could have changed both
        #[arg(long, conflicts_with = "signer")]
        unsigned: bool,
    },
}

#[derive(Args)]
struct PackArguments {
    /// The host as hosts.toml names it
    host: String,
    /// A job that hosts.toml declares for it
    #[arg(long)]
    job: String,
    /// When: 2026-11-21T04:30:00Z, or with another offset
    #[arg(long, value_parser = with_zone, value_name = "TIME")]
    at: DateTime<Utc>,
    /// So much before and after it
    #[arg(long, default_value = "2h")]
    window: humantime::Duration,
    /// A directory that is not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sign with this private key's file, instead of your agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Leave it without a signature
    #[arg(long, conflicts_with = "key")]
    unsigned: bool,
}

impl EvidenceArguments {
    pub fn refused_read_only(&self) -> Option<&'static str> {
        match self.command {
            None => Some("evidence"),
            Some(EvidenceCommand::Verify { .. }) => None,
        }
    }
}

/// A pack is evidence: of its time nothing is guessed.
fn with_zone(text: &str) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| "a time with its zone is needed: 2026-11-21T04:30:00Z")?;
    Ok(at.to_utc())
}

pub fn run(common: &Common, arguments: &EvidenceArguments) -> Result<(), CommandError> {
    match (&arguments.command, &arguments.pack) {
        (Some(EvidenceCommand::Verify { directory, signer, unsigned }), _) => {
            verify(common, directory, signer.as_deref(), *unsigned)
        }
        (None, Some(pack)) => self::pack(common, pack),
        (None, None) => Err(CommandError::Usage("name a host and a job, or verify a pack".to_owned())),
    }
}

fn pack(common: &Common, arguments: &PackArguments) -> Result<(), CommandError> {
    let config = common.config()?;
    let spec = config.fleet.hosts.iter().find(|spec| spec.name.as_str() == arguments.host);
    let spec = spec.ok_or_else(|| CommandError::Usage(format!("no host is named {}", arguments.host)))?;
    let jobs = &spec.settings.jobs;
    let job = jobs.iter().find(|job| job.name.as_str() == arguments.job).ok_or_else(|| {
        let known: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        CommandError::Usage(format!("hosts.toml declares no job {} for {}: it has {known}", arguments.job, spec.name))
    })?;
    let state = common.state_dir()?.path().to_owned();
    let now = clock::now();
    let (from, to) = around(arguments.at, arguments.window)?;
    let wish = Wish {
        spec,
        job,
        at: arguments.at,
        from,
        to,
        kept: kept::load(&state, &spec.name, job.name.as_str(), now.utc_ms)?,
    };
    fs::DirBuilder::new().mode(0o700).create(&arguments.out).map_err(|error| {
        CommandError::Failed(format!("{}: {error}; a pack has a directory of its own", arguments.out.display()))
    })?;
    let secrets = common.secrets()?;
    let found = block_on(collect(&wish, &secrets))??;
    let files = write(&arguments.out, &wish, &found, now.utc(), !arguments.unsigned)?;
    let sums = manifest(&files);
    leave(&arguments.out, MANIFEST, sums.as_bytes())?;
    if !arguments.unsigned {
        let signature = signed(common, arguments.key.as_deref(), &state, &sums)?;
        leave(&arguments.out, SIGNATURE, signature.as_bytes())?;
    }
    println!("{}", found.verdict);
    found.lacks.iter().for_each(|lack| println!("▲ {lack}"));
    println!("{} files, {} records, in {}", files.len(), found.records.len(), arguments.out.display());
    Ok(())
}

/// Writes every file of a pack but the manifest.
fn write(
    out: &Path,
    wish: &Wish<'_>,
    found: &Found,
    collected: DateTime<Utc>,
    is_signed: bool,
) -> Result<Vec<PackFile>, CommandError> {
    let mut files = Vec::new();
    let mut put = |name: &str, bytes: &[u8], source: SafeText| -> Result<(), CommandError> {
        leave(out, name, bytes)?;
        files.push(PackFile { name: name.to_owned(), digest: Digest::of(bytes), bytes: bytes.len() as u64, source });
        Ok(())
    };
    for file in &found.files {
        put(&file.name, &file.bytes, file.source.clone())?;
    }
    let lines: Result<Vec<String>, _> = wish.kept.iter().map(serde_json::to_string).collect();
    let lines = lines.map_err(std::io::Error::other)?.join("\n");
    put("kept-runs.jsonl", lines.as_bytes(), "kept by dogwatch while it watched".into())?;
    let rows: Vec<RecordRow> = found.records.iter().map(|record| RecordRow::of(record, found.zone)).collect();
    let json = serde_json::to_vec_pretty(&rows).map_err(std::io::Error::other)?;
    put("records.json", &json, "decoded from the accounting files".into())?;
    put("records.csv", csv(&rows).as_bytes(), "the same, as a table".into())?;
    let actor = own_actor();
    let report = Report {
        host: wish.spec.name.as_str(),
        host_key: &found.host_key,
        job: wish.job.name.as_str(),
        expectation: expectation(wish.job),
        zone: found.zone,
        skew_ms: found.skew_ms,
        skew_uncertainty_ms: found.skew_uncertainty_ms,
        from: wish.from,
        to: wish.to,
        collected,
        by: format!("{} (uid {}) on {}, from {}", actor.user, actor.uid, actor.machine, actor.from),
        version: env!("CARGO_PKG_VERSION"),
        is_signed,
        verdict: found.verdict.clone(),
        runs: found.runs.iter().map(|(at, told)| format!("{}: {told}", stamp(*at))).collect(),
        records: found.records.len(),
        passed_over: found.passed_over,
        lacks: found.lacks.clone(),
    };
    let text = report.markdown(&files);
    leave(out, "report.md", text.as_bytes())?;
    let (digest, bytes) = (Digest::of(text.as_bytes()), text.len() as u64);
    files.push(PackFile { name: "report.md".to_owned(), digest, bytes, source: "made from the above".into() });
    Ok(files)
}

fn expectation(job: &JobSpec) -> String {
    match &job.expectation {
        Expectation::Schedule(expression) => format!("by the schedule {expression}"),
        Expectation::Every(period) => format!("once each {}", humantime::format_duration(*period)),
    }
}

fn leave(out: &Path, name: &str, bytes: &[u8]) -> Result<(), CommandError> {
    let path = out.join(name);
    let failed = |error: std::io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    std::io::Write::write_all(&mut opened, bytes).map_err(failed)
}

/// By a key's file, or by whichever key of this person's the agent has.
fn signed(common: &Common, key: Option<&Path>, state: &Path, sums: &str) -> Result<String, CommandError> {
    if let Some(key) = key {
        return Ok(ssh_sign::sign_with(key, Purpose::Evidence, sums.as_bytes())?);
    }
    let policy = policy_file::load(common.policy.as_deref())?;
    let user = own_actor().user;
    let person = policy.policy.person_of(user.as_str());
    let keys = person.map_or(&[][..], |person| person.keys.as_slice());
    let mut last = format!("the policy has no key of {user}: name one with --key, or leave the pack --unsigned");
    for line in keys {
        match ssh_sign::sign_by_agent(line, state, Purpose::Evidence, sums.as_bytes()) {
            Ok(signature) => return Ok(signature),
            Err(error) => last = error.to_string(),
        }
    }
    Err(CommandError::Failed(last))
}

fn verify(common: &Common, directory: &Path, signer: Option<&str>, may_be_unsigned: bool) -> Result<(), CommandError> {
    let sums = read(directory, MANIFEST)?;
    let wrong = |error: PackError| CommandError::Failed(format!("{}: {error}", directory.display()));
    let text = String::from_utf8_lossy(&sums).into_owned();
    let files = parse_manifest(&text).map_err(wrong)?;
    for (name, digest) in &files {
        if Digest::of(&read(directory, name)?) != *digest {
            return Err(wrong(PackError::Changed(name.clone())));
        }
    }
    let known = |name: &str| matches!(name, MANIFEST | SIGNATURE) || files.iter().any(|(known, _)| known == name);
    if let Some(extra) = below(directory, Path::new(""))?.into_iter().find(|name| !known(name)) {
        return Err(wrong(PackError::Extra(extra)));
    }
    let fit = format!("{} files fit their manifest", files.len());
    if may_be_unsigned {
        println!("▲ {fit}; whose that is was not asked: whoever changed a file could have changed it as well");
        return Ok(());
    }
    let signature = read(directory, SIGNATURE).map_err(|error| {
        CommandError::Failed(format!(
            "{error}; {fit}, but no signature says whose that is: was it taken away? --unsigned asks for no more"
        ))
    })?;
    let (is_known, by) = signed_by(common, &sums, &String::from_utf8_lossy(&signature), signer)?;
    println!("{} {fit}; {by}", if is_known { "●" } else { "▲" });
    Ok(())
}

/// A file of a pack: one that is elsewhere is none of it.
fn read(directory: &Path, name: &str) -> Result<Vec<u8>, CommandError> {
    let path = directory.join(name);
    let failed = |why: String| CommandError::Failed(format!("{}: {why}", path.display()));
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => fs::read(&path).map_err(|error| failed(error.to_string())),
        Ok(_) => Err(failed("it is no file".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed("it is missing".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Who made the signature, and whether that is somebody who is known: one whose fingerprint was asked for, or a person of the
/// policy. A signature that is none, or of somebody else where people are known, is an error.
fn signed_by(
    common: &Common,
    sums: &[u8],
    text: &str,
    asked_for: Option<&str>,
) -> Result<(bool, String), CommandError> {
    let failed = |why: String| CommandError::Failed(format!("{SIGNATURE}: {why}"));
    let fingerprint =
        signature::verify_any(Purpose::Evidence, sums, text).map_err(|error| failed(error.to_string()))?.to_string();
    if let Some(asked_for) = asked_for {
        return match asked_for == fingerprint {
            true => Ok((true, format!("signed with {fingerprint}, as was asked for"))),
            false => Err(failed(format!("it was made with {fingerprint}, and not with {asked_for}"))),
        };
    }
    let policy = policy_file::load(common.policy.as_deref())?.policy;
    let is_theirs = |line: &String| {
        let key = signature::public_key(line);
        key.is_ok_and(|key| signature::verify(&key, Purpose::Evidence, sums, text).is_ok())
    };
    let person = policy.people.iter().find(|person| person.keys.iter().any(is_theirs));
    let stranger = format!("signed with {fingerprint}, a key of nobody in the policy");
    match person {
        Some(person) => Ok((true, format!("signed by {} with {fingerprint}", person.name))),
        None if policy.people.is_empty() => {
            Ok((false, format!("{stranger}: compare it with who gave you the pack, and say --signer with theirs")))
        }
        None => Err(failed(format!(
            "{stranger}: whoever changed a file could have signed it anew; name theirs with --signer"
        ))),
    }
}

/// Every file below a directory, by its name from there.
fn below(root: &Path, at: &Path) -> Result<Vec<String>, CommandError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(at))? {
        let entry = entry?;
        let name = at.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => {
                let within = below(root, &name)?;
                // An empty one is none that was made.
                names.extend(if within.is_empty() { vec![name.display().to_string()] } else { within });
            }
            false => names.push(name.display().to_string()),
        }
    }
    Ok(names)
}
