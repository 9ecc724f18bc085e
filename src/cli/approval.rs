//! `dogwatch approval`: what others are asked to agree to, and their signed words, which travel as files of their own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::action::{ask, waiting_requests};
use super::audit::{audit_id, stamp};
use super::counter::Counter;
use super::{CommandError, Common, block_on};
use crate::adapters::{clock, ssh_sign};
use crate::domain::action::plan::Plan;
use crate::domain::action::policy::Person;
use crate::domain::action::verdict::{Judge, Lift, Request, Statement, Word};
use crate::domain::audit::canonical;
use crate::domain::audit::record::{AuditId, Event, Verdict};
use crate::domain::signature::{self, Purpose};
use crate::domain::text::SafeText;
use crate::engine::action::ActionError;

/// A larger file is no request and no verdict.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Requests of others, and your word on them
#[derive(Args)]
pub struct ApprovalArguments {
    #[command(subcommand)]
    command: ApprovalCommand,
}

#[derive(Subcommand)]
enum ApprovalCommand {
    /// Show the requests that wait for somebody's word
    List,
    /// Write a request as a file that can travel over any channel
    Export {
        #[arg(value_parser = audit_id)]
        request: AuditId,
    },
    /// Show a request's plan, and sign your word on it
    Sign(SignArguments),
    /// Take in a word that somebody signed
    Add { file: PathBuf },
    /// Lift a hold, where a role of yours may
    Lift {
        hold: String,
        /// A private key's file, instead of your agent
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Args)]
struct SignArguments {
    /// The request's id, or the file it was exported to
    request: String,
    /// Say no, for this reason: one denial is the end of the request
    #[arg(long, value_name = "REASON")]
    deny: Option<String>,
    /// A private key's file, instead of your agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What would be typed after reading the plan: the request's id
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

impl ApprovalArguments {
    /// All of it writes to the audit.
    pub fn refused_read_only(&self) -> Option<&'static str> {
        Some(match self.command {
            ApprovalCommand::List => "approval list",
            ApprovalCommand::Export { .. } => "approval export",
            ApprovalCommand::Sign(_) => "approval sign",
            ApprovalCommand::Add { .. } => "approval add",
            ApprovalCommand::Lift { .. } => "approval lift",
        })
    }
}

pub fn run(common: &Common, arguments: &ApprovalArguments) -> Result<(), CommandError> {
    block_on(async {
        let counter = Counter::open(common).await?;
        let done = match &arguments.command {
            ApprovalCommand::List => list(&counter).await,
            ApprovalCommand::Export { request } => export(&counter, request).await,
            ApprovalCommand::Sign(sign) => self::sign(&counter, sign).await,
            ApprovalCommand::Add { file } => add(&counter, file).await,
            ApprovalCommand::Lift { hold, key } => lift(&counter, hold, key.as_deref()).await,
        };
        let closed = counter.close().await;
        done.and(closed)
    })?
}

fn read_file(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(failed)?.len();
    match size <= FILE_BYTES_MAX {
        true => fs::read(path).map_err(failed),
        false => Err(CommandError::Failed(format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display()))),
    }
}

fn read_request(path: &Path) -> Result<Request, CommandError> {
    let bytes = read_file(path)?;
    canonical::decode(bytes.trim_ascii_end())
        .map_err(|error| CommandError::Failed(format!("{}: no request: {error}", path.display())))
}

/// The files of the exchange directory with this ending.
fn exchanged(counter: &Counter, ending: &str) -> Vec<PathBuf> {
    let Some(exchange) = &counter.policy.exchange else { return Vec::new() };
    // A pipe would never end, and a link could lead anywhere.
    let plain = fs::read_dir(exchange).into_iter().flatten().flatten();
    let plain = plain.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = plain.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    files.sort();
    files
}

/// Leaves a file in the exchange directory, whole or not at all.
fn leave(counter: &Counter, name: &str, text: &str) -> Result<Option<PathBuf>, CommandError> {
    let Some(exchange) = &counter.policy.exchange else { return Ok(None) };
    let (path, draft) = (exchange.join(name), exchange.join(format!(".{name}.{}", std::process::id())));
    let failed = |error: std::io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft);
    // Whatever the umask takes: those who share the directory are to read it.
    let shared = fs::Permissions::from_mode(0o640);
    let written = opened.and_then(|mut file| writeln!(file, "{text}").and_then(|()| file.set_permissions(shared)));
    written.map_err(failed)?;
    fs::rename(&draft, &path).map_err(failed)?;
    Ok(Some(path))
}

/// Puts a request where other accounts of this machine see it.
pub fn hand_out(counter: &Counter, request: &Request) -> Result<Option<PathBuf>, CommandError> {
    let text = canonical::encode(request).map_err(ActionError::from)?;
    leave(counter, &format!("{}.request", request.id), &text)
}

/// Hears every word on a request that was left for it.
pub async fn take_in(counter: &Counter, request: &AuditId) -> Result<(), CommandError> {
    let desk = counter.desk();
    let book = desk.book().await?;
    let request = desk.request(&book, request).await?;
    let heard: Vec<&str> = book
        .requests
        .get(&request.id)
        .map_or(Vec::new(), |entry| entry.verdicts.iter().map(|verdict| verdict.signature.as_str()).collect());
    for path in exchanged(counter, "verdict") {
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                println!("▲ {error}");
                continue;
            }
        };
        let verdict: Result<Verdict, _> = canonical::decode(bytes.trim_ascii_end());
        match verdict {
            Ok(verdict) if verdict.request != request.id || heard.contains(&verdict.signature.as_str()) => {}
            Ok(verdict) => {
                if let Err(error) = desk.hear(&request, verdict).await {
                    println!("▲ {}: {error}", path.display());
                }
            }
            Err(error) => println!("▲ {}: no verdict: {error}", path.display()),
        }
    }
    Ok(())
}

async fn list(counter: &Counter) -> Result<(), CommandError> {
    let (book, now_ms) = (counter.desk().book().await?, clock::now().utc_ms);
    let mut waiting = waiting_requests(&book, now_ms);
    for path in exchanged(counter, "request") {
        match read_request(&path) {
            Ok(request) if !book.requests.contains_key(&request.id) && now_ms < request.expires_ms => {
                let line = format!("by {} on {}: {}", request.proposer.user, request.proposer.machine, request.reason);
                waiting.push((request.id, line));
            }
            Ok(_) => {}
            Err(error) => println!("▲ {error}"),
        }
    }
    if waiting.is_empty() {
        println!("no request waits for anybody's word (local store)");
    }
    waiting.iter().for_each(|(id, line)| println!("{id}: {line}"));
    Ok(())
}

async fn export(counter: &Counter, id: &AuditId) -> Result<(), CommandError> {
    let desk = counter.desk();
    let request = desk.request(&desk.book().await?, id).await?;
    println!("{}", canonical::encode(&request).map_err(ActionError::from)?);
    Ok(())
}

/// By its file, by its id in the exchange directory, or by its id in the store.
async fn find(counter: &Counter, named: &str) -> Result<Request, CommandError> {
    if Path::new(named).exists() {
        return read_request(Path::new(named));
    }
    let id = audit_id(named).map_err(|error| CommandError::Usage(format!("{named}: no such file; {error}")))?;
    let left =
        exchanged(counter, "request").into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == named));
    match left {
        Some(path) => read_request(&path),
        None => {
            let desk = counter.desk();
            Ok(desk.request(&desk.book().await?, &id).await?)
        }
    }
}

/// Who signs: the person of the policy that has this account.
fn signer(counter: &Counter) -> Result<&Person, CommandError> {
    let user = counter.store.actor().user.as_str();
    let person = counter.policy.policy.person_of(user);
    person.ok_or_else(|| CommandError::Failed(format!("the policy knows no person with the account {user}")))
}

/// The signature of one of the person's keys.
fn signed(counter: &Counter, key: Option<&Path>, purpose: Purpose, message: &str) -> Result<String, CommandError> {
    let person = signer(counter)?;
    if let Some(key) = key {
        return Ok(ssh_sign::sign_with(key, purpose, message.as_bytes())?);
    }
    let mut last = format!("the policy has no key of {}", person.name);
    for line in &person.keys {
        match ssh_sign::sign_by_agent(line, &counter.state, purpose, message.as_bytes()) {
            Ok(signature) => return Ok(signature),
            Err(error) => last = error.to_string(),
        }
    }
    Err(CommandError::Failed(last))
}

async fn sign(counter: &Counter, arguments: &SignArguments) -> Result<(), CommandError> {
    let request = find(counter, &arguments.request).await?;
    let person = signer(counter)?.name.clone();
    let plan = Plan::decode(&request.plan).map_err(ActionError::from)?;
    println!("request {} of {} on {}: {}", request.id, request.proposer.user, request.proposer.machine, request.reason);
    println!("{plan}");
    println!("void after {}", stamp(request.expires_ms));
    let word = if arguments.deny.is_some() { Word::Deny } else { Word::Approve };
    let verb = if word == Word::Deny { "deny" } else { "agree to" };
    let typed = match &arguments.confirm {
        Some(typed) => typed.clone(),
        None => ask(&format!("type '{}' to {verb} it: ", request.id))?,
    };
    if typed != request.id.to_string() {
        return Err(CommandError::Failed("nothing was signed".to_owned()));
    }
    let statement = Statement {
        word,
        request: request.id.clone(),
        plan: request.hash(),
        by: person.clone(),
        reason: SafeText::new(arguments.deny.as_deref().unwrap_or_default()),
        at_ms: clock::now().utc_ms,
        expires_ms: request.expires_ms,
    };
    let statement = statement.encode().map_err(ActionError::from)?;
    let signature = signed(counter, arguments.key.as_deref(), Purpose::Verdict, &statement)?;
    let verdict =
        Verdict { request: request.id.clone(), plan: request.hash(), by: person.clone(), statement, signature };
    let text = canonical::encode(&verdict).map_err(ActionError::from)?;
    counter.desk().hear(&request, verdict).await?;
    match leave(counter, &format!("{}.{person}.verdict", request.id), &text)? {
        Some(path) => println!("left in {}", path.display()),
        None => println!("{text}"),
    }
    Ok(())
}

async fn add(counter: &Counter, file: &Path) -> Result<(), CommandError> {
    let verdict: Verdict = canonical::decode(read_file(file)?.trim_ascii_end())
        .map_err(|error| CommandError::Failed(format!("{}: no verdict: {error}", file.display())))?;
    let desk = counter.desk();
    let request = desk.request(&desk.book().await?, &verdict.request).await?;
    let statement = desk.hear(&request, verdict).await?;
    let word = if statement.word == Word::Approve { "approved" } else { "denied" };
    println!("{} was {word} by {}", request.id, statement.by);
    Ok(())
}

async fn lift(counter: &Counter, name: &str, key: Option<&Path>) -> Result<(), CommandError> {
    let hold = counter.policy.policy.holds.iter().find(|hold| hold.name.as_str() == name);
    let hold = hold.ok_or_else(|| CommandError::Usage(format!("the policy has no hold named {name}")))?;
    println!("{}", hold.words());
    let person = signer(counter)?;
    if !person.roles.contains(&hold.lifted_by) {
        let why = format!("{} is not of the role {}, which alone may lift it", person.name, hold.lifted_by);
        return Err(CommandError::Failed(why));
    }
    let lift = Lift::new(hold, &person.name, clock::now().utc_ms);
    let statement = canonical::encode(&lift).map_err(ActionError::from)?;
    let signature = signed(counter, key, Purpose::Lift, &statement)?;
    let is_theirs = person
        .keys
        .iter()
        .filter_map(|line| signature::public_key(line).ok())
        .any(|key| signature::verify(&key, Purpose::Lift, statement.as_bytes(), &signature).is_ok());
    if !is_theirs {
        return Err(CommandError::Failed(format!("the signature is of no key that the policy has of {}", person.name)));
    }
    let event = Event::HoldLifted { hold: hold.name.clone(), by: person.name.clone(), statement, signature };
    let text = canonical::encode(&event).map_err(ActionError::from)?;
    counter.store.append(event, clock::now().utc_ms).await?;
    match leave(counter, &format!("{name}.{}.lift", person.name), &text)? {
        Some(path) => println!("lifted; left in {}", path.display()),
        None => println!("lifted (local store)"),
    }
    Ok(())
}

/// Takes in the lifts of holds that others left, where they count.
pub async fn take_in_lifts(counter: &Counter) -> Result<(), CommandError> {
    let files = exchanged(counter, "lift");
    if files.is_empty() {
        return Ok(());
    }
    let known = counter.desk().book().await?.lifts;
    let judge = Judge { policy: &counter.policy.policy, hosts: Vec::new(), runner: None, now_ms: clock::now().utc_ms };
    for path in files {
        let read = read_file(&path).map_err(|error| error.to_string());
        let decoded = read.and_then(|bytes| {
            canonical::decode::<Event>(bytes.trim_ascii_end())
                .map_err(|error| format!("{}: no lift: {error}", path.display()))
        });
        let event = match decoded {
            Ok(event) => event,
            Err(error) => {
                println!("▲ {error}");
                continue;
            }
        };
        let Event::HoldLifted { statement, signature, .. } = &event else { continue };
        let is_known = known.iter().any(|(_, known)| known == signature);
        let counts = !judge.lifted(std::iter::once((statement.as_str(), signature.as_str()))).is_empty();
        if counts && !is_known {
            counter.store.append(event, clock::now().utc_ms).await?;
        }
    }
    Ok(())
}
