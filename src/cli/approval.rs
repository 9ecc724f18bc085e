//! `dogwatch approval`: what others are asked to agree to, and their signed words, which travel as files of their own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::action::{ask, waiting_requests};
use super::audit::{audit_id, stamp};
use super::counter::Counter;
use super::exchange::{exchanged, find, leave, read_file, read_request};
use super::{CommandError, Common};
use crate::adapters::{clock, ssh_sign};
use crate::domain::action::HoldName;
use crate::domain::action::plan::Plan;
use crate::domain::action::policy::{Hold, Person};
use crate::domain::action::verdict::{Lift, Request, Statement, Word};
use crate::domain::audit::canonical;
use crate::domain::audit::record::{AuditId, Event, Verdict};
use crate::domain::signature::{self, Purpose};
use crate::domain::text::SafeText;
use crate::engine::action::ActionError;

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
    Counter::at(common, async |counter| match &arguments.command {
        ApprovalCommand::List => list(counter).await,
        ApprovalCommand::Export { request } => export(counter, request).await,
        ApprovalCommand::Sign(sign) => self::sign(counter, sign).await,
        ApprovalCommand::Add { file } => add(counter, file).await,
        ApprovalCommand::Lift { hold, key } => lift(counter, hold, key.as_deref()).await,
    })
}

async fn list(counter: &Counter) -> Result<(), CommandError> {
    let (book, now_ms) = (counter.desk().book().await?, clock::now().utc_ms);
    let mut waiting = waiting_requests(&book, now_ms);
    for path in exchanged(counter.policy.exchange.as_deref(), "request") {
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
    let plan = Plan::decode(&request.plan).map_err(ActionError::from)?;
    println!("request {} of {} on {}: {}", request.id, request.proposer.user, request.proposer.machine, request.reason);
    println!("{plan}");
    println!("void after {}", stamp(request.expires_ms));
    let verb = if arguments.deny.is_some() { "deny" } else { "agree to" };
    let typed = match &arguments.confirm {
        Some(typed) => typed.clone(),
        None => ask(&format!("type '{}' to {verb} it: ", request.id))?,
    };
    if typed != request.id.to_string() {
        return Err(CommandError::Failed("nothing was signed".to_owned()));
    }
    let deny = arguments.deny.as_deref();
    match judge(counter, &request, deny, arguments.key.as_deref()).await? {
        Left::In(path) => println!("left in {}", path.display()),
        Left::Nowhere(text) => println!("{text}"),
    }
    Ok(())
}

/// Where a signed word was left for others.
pub enum Left {
    In(PathBuf),
    /// No directory is shared: the word itself, to be sent by any other way.
    Nowhere(String),
}

/// Signs this account's word on a request: yes, or no for a reason; and has it heard.
pub async fn judge(
    counter: &Counter,
    request: &Request,
    deny: Option<&str>,
    key: Option<&Path>,
) -> Result<Left, CommandError> {
    let person = signer(counter)?.name.clone();
    let statement = Statement {
        word: if deny.is_some() { Word::Deny } else { Word::Approve },
        request: request.id.clone(),
        plan: request.hash(),
        by: person.clone(),
        reason: SafeText::new(deny.unwrap_or_default()),
        at_ms: clock::now().utc_ms,
        expires_ms: request.expires_ms,
    };
    let statement = statement.encode().map_err(ActionError::from)?;
    let signature = signed(counter, key, Purpose::Verdict, &statement)?;
    let verdict =
        Verdict { request: request.id.clone(), plan: request.hash(), by: person.clone(), statement, signature };
    let text = canonical::encode(&verdict).map_err(ActionError::from)?;
    counter.desk().hear(request, verdict).await?;
    let left = leave(counter, &format!("{}.{person}.verdict", request.id), &text)?;
    Ok(left.map_or(Left::Nowhere(text), Left::In))
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
    let hold = HoldName::parse(name).map_err(|error| CommandError::Usage(error.to_string()))?;
    println!("{}", hold_of(counter, &hold)?.words());
    match lift_hold(counter, &hold, key).await? {
        Some(path) => println!("lifted; left in {}", path.display()),
        None => println!("lifted (local store)"),
    }
    Ok(())
}

pub fn hold_of<'a>(counter: &'a Counter, name: &HoldName) -> Result<&'a Hold, CommandError> {
    let hold = counter.policy.policy.holds.iter().find(|hold| hold.name == *name);
    hold.ok_or_else(|| CommandError::Usage(format!("the policy has no hold named {name}")))
}

/// Signs that a hold is lifted, where this account's person may say so; gives the file that it was left in.
pub async fn lift_hold(
    counter: &Counter,
    name: &HoldName,
    key: Option<&Path>,
) -> Result<Option<PathBuf>, CommandError> {
    let (hold, person) = (hold_of(counter, name)?, signer(counter)?);
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
    leave(counter, &format!("{name}.{}.lift", person.name), &text)
}
