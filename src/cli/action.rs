//! `dogwatch action`: what may be done, what exactly it would do, and doing it.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use clap::{Args, Subcommand};

use super::audit::audit_id;
use super::counter::Counter;
use super::{CommandError, Common};
use crate::adapters::clock;
use crate::domain::action::ActionId;
use crate::domain::action::book::Book;
use crate::domain::action::catalogue::{Action, ParameterKind};
use crate::domain::action::guard::Circumstances;
use crate::domain::action::plan::Plan;
use crate::domain::action::policy::{Answer, Question};
use crate::domain::audit::record::{AuditId, Event, Outcome};
use crate::domain::fleet::HostName;
use crate::domain::time::words;
use crate::engine::action::ActionError;
use crate::engine::action::desk::{Confirmation, Ended};
use crate::engine::action::execute::Progress;

/// Guarded actions: planned, confirmed, put on record, carried out, measured
#[derive(Args)]
pub struct ActionArguments {
    #[command(subcommand)]
    command: ActionCommand,
}

#[derive(Subcommand)]
enum ActionCommand {
    /// Show the catalogue
    List,
    /// Say whether a user may do something on a host, and why
    Can { user: String, action: String, host: String },
    /// Ask the hosts and show exactly what would be done; nothing is
    Plan(WishArguments),
    /// Plan, and put it on record for others to agree to
    Propose(ProposeArguments),
    /// Carry out an action, or a request that was agreed to
    Run(RunArguments),
    /// Show requests, and actions of which nobody knows yet what became of them
    Status,
    /// Look on the hosts for what became of actions with an unknown outcome; nothing is run
    Reconcile,
    /// Let no action run from this store any more
    Freeze {
        #[arg(required = true)]
        reason: Vec<String>,
    },
    /// End a freeze
    Thaw {
        #[arg(required = true)]
        reason: Vec<String>,
    },
}

#[derive(Args)]
struct WishArguments {
    /// The action, as 'dogwatch action list' names it
    action: String,
    /// Hosts (names, web[1-3], @group) and parameters (name=value)
    #[arg(value_name = "HOST|NAME=VALUE", required = true)]
    words: Vec<String>,
}

#[derive(Args)]
struct ProposeArguments {
    #[command(flatten)]
    wish: WishArguments,
    /// Why; whoever is asked to agree reads it
    #[arg(long, required = true)]
    reason: String,
}

#[derive(Args)]
struct RunArguments {
    /// The action, as 'dogwatch action list' names it
    #[arg(required_unless_present = "request")]
    action: Option<String>,
    /// Hosts (names, web[1-3], @group) and parameters (name=value)
    #[arg(value_name = "HOST|NAME=VALUE")]
    words: Vec<String>,
    /// Carry out this request
    #[arg(long, value_name = "ID", value_parser = audit_id, conflicts_with_all = ["action", "words"])]
    request: Option<AuditId>,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
    /// What would be typed to confirm: the host's name, or 'N hosts'
    #[arg(long, value_name = "TEXT")]
    confirm: Option<String>,
    /// Act without the others' consent, for this reason; louder in every log
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
}

impl ActionArguments {
    /// Its commands that reach a host or put something on record.
    pub fn refused_read_only(&self) -> Option<&'static str> {
        match self.command {
            ActionCommand::List => None,
            ActionCommand::Can { .. } => Some("action can"),
            ActionCommand::Plan(_) => Some("action plan"),
            ActionCommand::Propose(_) => Some("action propose"),
            ActionCommand::Run(_) => Some("action run"),
            ActionCommand::Status => Some("action status"),
            ActionCommand::Reconcile => Some("action reconcile"),
            ActionCommand::Freeze { .. } => Some("action freeze"),
            ActionCommand::Thaw { .. } => Some("action thaw"),
        }
    }
}

pub fn run(common: &Common, arguments: &ActionArguments) -> Result<(), CommandError> {
    if let ActionCommand::List = arguments.command {
        return list();
    }
    Counter::at(common, async |counter| {
        complain(&super::exchange::take_in_lifts(counter).await?);
        match &arguments.command {
            ActionCommand::List => Ok(()),
            ActionCommand::Can { user, action, host } => can(counter, user, action, host).await,
            ActionCommand::Plan(wish) => plan(counter, wish).await,
            ActionCommand::Propose(propose) => self::propose(counter, propose).await,
            ActionCommand::Run(run) => carry_out(counter, run).await,
            ActionCommand::Status => status(counter).await,
            ActionCommand::Reconcile => reconcile(counter).await,
            ActionCommand::Freeze { reason } => {
                note(counter, Event::Frozen { reason: reason.join(" ").as_str().into() }).await
            }
            ActionCommand::Thaw { reason } => {
                note(counter, Event::Thawed { reason: reason.join(" ").as_str().into() }).await
            }
        }
    })
}

fn list() -> Result<(), CommandError> {
    for action in crate::adapters::action_files::load()?.0.values() {
        println!("{:<20} {:<12} {}", action.id, action.severity.word(), action.about);
        for parameter in &action.parameters {
            let default = parameter.default.as_ref().map_or(String::new(), |default| format!(", by default {default}"));
            println!("    {}={}{default}: {}", parameter.name, kind_words(&parameter.kind), parameter.about);
        }
    }
    Ok(())
}

fn kind_words(kind: &ParameterKind) -> String {
    match kind {
        ParameterKind::Path { under } => format!("a path under {}", under.join(" or ")),
        ParameterKind::Unit => "a unit".to_owned(),
        ParameterKind::Host => "a host".to_owned(),
        ParameterKind::Word { .. } => "a word".to_owned(),
        ParameterKind::Number { min, max } => format!("{min} to {max}"),
        ParameterKind::Choice { of } => of.join(" or "),
    }
}

fn action_of<'a>(counter: &'a Counter, name: &str) -> Result<&'a Action, CommandError> {
    let id = ActionId::parse(name).map_err(|error| CommandError::Usage(error.to_string()))?;
    counter.catalogue.get(&id).ok_or_else(|| ActionError::NoAction(name.to_owned()).into())
}

async fn can(counter: &Counter, user: &str, action: &str, host: &str) -> Result<(), CommandError> {
    let action = action_of(counter, action)?;
    let spec = counter.config.fleet.hosts.iter().find(|spec| spec.name.as_str() == host);
    let spec = spec.ok_or_else(|| ActionError::NoHost(host.to_owned()))?;
    let book = counter.desk().book().await?;
    let groups = [(spec.name.clone(), spec.groups.clone())].into();
    let now = Circumstances {
        policy: &counter.policy.policy,
        user,
        groups: &groups,
        now_ms: clock::now().utc_ms,
        frozen: None,
        lifts: &book.lifts,
    };
    let lifted: BTreeSet<_> = now.lifted();
    let question = Question {
        user,
        action: &action.id,
        severity: action.severity,
        is_own: action.is_own,
        hosts: vec![spec.groups.as_slice()],
        paths: Vec::new(),
        lifted: &lifted,
    };
    if let Some(reason) = &book.frozen {
        println!("▲ frozen: {reason}");
    }
    match counter.policy.policy.answer(&question) {
        Answer::May { approvals: 0, why } => println!("● yes: {why}"),
        Answer::May { approvals, why } => println!("● yes, with {approvals} approvals of others: {why}"),
        Answer::Held(words) => return Err(CommandError::Failed(format!("no: held: {words}"))),
        Answer::MayNot(why) => return Err(CommandError::Failed(format!("no: {why}"))),
    }
    for hold in counter.policy.policy.holds.iter().filter(|hold| hold.scope.holds(&spec.groups)) {
        println!("▲ held there: {}", hold.words());
    }
    Ok(())
}

async fn planned(counter: &Counter, action: &str, words: &[String]) -> Result<Plan, CommandError> {
    let plan = counter.desk().plan(&counter.wish(action, words)?).await?;
    println!("{plan}");
    Ok(plan)
}

async fn plan(counter: &Counter, wish: &WishArguments) -> Result<(), CommandError> {
    let plan = planned(counter, &wish.action, &wish.words).await?;
    match counter.desk().approvals_needed(&plan).await? {
        0 => println!("needs no approval"),
        needed => println!("needs {needed} approvals of others: dogwatch action propose …"),
    }
    Ok(())
}

async fn propose(counter: &Counter, arguments: &ProposeArguments) -> Result<(), CommandError> {
    let plan = planned(counter, &arguments.wish.action, &arguments.wish.words).await?;
    let request = counter.desk().propose(&plan, &arguments.reason).await?;
    if let Some(path) = super::exchange::hand_out(counter, &request)? {
        println!("left in {}", path.display());
    }
    println!("request {}: {} approvals needed", request.id, request.approvals_needed);
    Ok(())
}

async fn carry_out(counter: &Counter, arguments: &RunArguments) -> Result<(), CommandError> {
    let desk = counter.desk();
    let request = match (&arguments.request, &arguments.action) {
        (Some(id), _) => {
            complain(&super::exchange::take_in(counter, id).await?);
            let request = desk.request(&desk.book().await?, id).await?;
            println!("{}", Plan::decode(&request.plan).map_err(ActionError::from)?);
            request
        }
        (None, Some(action)) => {
            let plan = planned(counter, action, &arguments.words).await?;
            desk.propose(&plan, &arguments.reason).await?
        }
        (None, None) => return Err(CommandError::Usage("name an action, or a request".to_owned())),
    };
    println!("request {}", request.id);
    let phrase = request.covered().map_err(ActionError::from)?.phrase();
    let typed = match &arguments.confirm {
        Some(text) => text.clone(),
        None => ask(&format!("type '{phrase}' to carry it out: "))?,
    };
    let confirmation = Confirmation { typed: &typed, glass: arguments.break_glass.as_deref() };
    let ended = desk.carry_out(request, &confirmation, &tell).await?;
    verdict_of(&ended)
}

fn complain(complaints: &[String]) {
    complaints.iter().for_each(|complaint| println!("▲ {complaint}"));
}

/// A line typed at the terminal, without its end.
pub fn ask(question: &str) -> Result<String, CommandError> {
    print!("{question}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.strip_suffix('\n').unwrap_or(&line).to_owned())
}

fn tell(progress: Progress) {
    match progress {
        Progress::Begins { host, intent } => println!("{host}: begins, {intent}"),
        Progress::Output { host, text } => {
            text.as_str().split('␊').filter(|line| !line.is_empty()).for_each(|line| println!("{host}: {line}"));
        }
        Progress::LinkLost { host, why } => println!("{host}: ▲ {why}"),
        Progress::Ends { host, outcome, measured } => {
            println!("{host}: {} {}: {measured}", sign(outcome), outcome.word());
        }
        Progress::LeftOut { host } => println!("{host}: left out, as an earlier host failed"),
    }
}

fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "●",
        Outcome::Failed => "✖",
        Outcome::Unknown => "?",
    }
}

fn verdict_of(ended: &[Ended]) -> Result<(), CommandError> {
    let mut wrong = Vec::new();
    for (host, outcome) in ended {
        match outcome {
            Ok(Outcome::Done) => {}
            Ok(outcome) => wrong.push(format!("{host}: {}", outcome.word())),
            Err(error) => wrong.push(format!("{host}: {error}")),
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(CommandError::Failed(wrong.join("; "))),
    }
}

async fn status(counter: &Counter) -> Result<(), CommandError> {
    let (book, now_ms) = (counter.desk().book().await?, clock::now().utc_ms);
    if let Some(reason) = &book.frozen {
        println!("▲ frozen (local store): {reason}");
    }
    let waiting = waiting_requests(&book, now_ms);
    for (id, line) in &waiting {
        println!("request {id}: {line}");
    }
    for (id, intent) in book.open_intents() {
        let since = words(age(now_ms, intent.at_ms));
        let how = if intent.outcome.is_some() { "outcome unknown" } else { "running, or interrupted" };
        println!("? {id} {} on {}: {how}, {since} ago: dogwatch action reconcile", intent.action, intent.host);
    }
    if waiting.is_empty() && book.open_intents().next().is_none() {
        println!("nothing waits and nothing runs (local store)");
    }
    Ok(())
}

fn age(now_ms: i64, at_ms: i64) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0))
}

/// Requests that may still be carried out, each in a line.
pub fn waiting_requests(book: &Book, now_ms: i64) -> Vec<(AuditId, String)> {
    let open = book
        .requests
        .iter()
        .filter(|(_, request)| request.claimed_ms.is_none() && !request.is_denied() && now_ms < request.expires_ms)
        .filter(|(_, request)| 0 < request.approvals_needed);
    let line = |(id, request): (&AuditId, &crate::domain::action::book::RequestEntry)| {
        let hosts: Vec<&str> = request.hosts.iter().map(HostName::as_str).collect();
        let text = format!(
            "{} on {} by {}, {} ago, {} of {} approvals, void in {}: {}",
            request.action,
            hosts.join(" "),
            request.proposer.user,
            words(age(now_ms, request.created_ms)),
            request.agreed(),
            request.approvals_needed,
            words(age(request.expires_ms, now_ms)),
            request.reason
        );
        (id.clone(), text)
    };
    open.map(line).collect()
}

async fn reconcile(counter: &Counter) -> Result<(), CommandError> {
    let found = counter.desk().reconcile(&tell).await?;
    if found.is_empty() {
        println!("● the outcome of every action is on record");
    }
    let mut unknown = 0;
    for (intent, found) in found {
        match found {
            Ok(found) => {
                unknown += u32::from(found.outcome == Outcome::Unknown);
                println!("{} {intent}: {}: {}", sign(found.outcome), found.outcome.word(), found.witness);
            }
            Err(error) => {
                unknown += 1;
                println!("? {intent}: {error}");
            }
        }
    }
    match unknown {
        0 => Ok(()),
        unknown => Err(CommandError::Failed(format!("{unknown} outcomes are still unknown"))),
    }
}

async fn note(counter: &Counter, event: Event) -> Result<(), CommandError> {
    let words = event.words();
    counter.store.append(event, clock::now().utc_ms).await?;
    println!("{words} (local store)");
    Ok(())
}
