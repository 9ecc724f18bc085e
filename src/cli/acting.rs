//! What a screen may do to hosts, and what it reads of the audit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::approval::{self, Left};
use super::counter::Counter;
use super::exchange::{self, exchanged, read_request};
use super::{CommandError, Common};
use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::{Stamps, database_in};
use crate::adapters::{action_files, clock, config_file, own_machine, policy_file};
use crate::config::policy::PolicyFile;
use crate::domain::action::HoldName;
use crate::domain::action::book::{Book, RequestEntry};
use crate::domain::action::plan::Plan;
use crate::domain::action::policy::Hold;
use crate::domain::action::verdict::{Judge, Request};
use crate::domain::audit::record::{AuditId, Outcome, Record};
use crate::domain::fleet::HostName;
use crate::engine::action::ActionError;
use crate::engine::action::desk::{Confirmation, board_of};
use crate::engine::action::estimate::estimate;
use crate::tui::audit_board::{AuditBoard, AuditLine, HoldLine, NEWEST_MAX};
use crate::tui::dialog::{Ask, News, Order};
use crate::tui::offer::OfferedAction;
use crate::tui::{Acting, ReadAudit};

/// The audit, as far as it was read.
#[derive(Default)]
struct ReadSoFar {
    book: Book,
    board: AuditBoard,
    seq: i64,
    stamps: Option<Stamps>,
}

/// Reads the audit of a state directory on, and what the policy holds and others ask for.
pub fn read_audit(common: &Common, state: &Path) -> ReadAudit {
    let policy = common.policy.clone();
    read_audit_under(state, move || policy_file::load(policy.as_deref()).map_err(|error| error.to_string()))
}

/// The same, under a policy that is found in another way.
pub fn read_audit_under(
    state: &Path,
    policy: impl Fn() -> Result<PolicyFile, String> + Send + Sync + 'static,
) -> ReadAudit {
    let (database, so_far) = (database_in(state), Mutex::new(ReadSoFar::default()));
    Arc::new(move || {
        let mut so_far = so_far.lock().map_err(|_| "an earlier look at the audit failed".to_owned())?;
        let now = Stamps::of(&database);
        if so_far.stamps != Some(now) && database.exists() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(read_on(&database, &mut so_far)).map_err(|error| error.to_string())?;
            so_far.stamps = Some(now);
        }
        so_far.look_at_policy(policy());
        Ok(so_far.board.clone())
    })
}

impl ReadSoFar {
    fn look_at_policy(&mut self, loaded: Result<PolicyFile, String>) {
        let now_ms = clock::now().utc_ms;
        self.board.policy_error = loaded.as_ref().err().cloned();
        (self.board.holds, self.board.left) = (Vec::new(), Vec::new());
        let Ok(file) = loaded else { return };
        let judge = Judge { policy: &file.policy, hosts: Vec::new(), runner: None, now_ms };
        let lifts = self.book.lifts.iter().map(|(statement, signature)| (statement.as_str(), signature.as_str()));
        let lifted = judge.lifted(lifts);
        let held = file.policy.holds.iter().filter(|hold| !lifted.contains(&hold.name));
        self.board.holds = held.map(hold_line).collect();
        let exchange = file.exchange.as_deref();
        let verdicts = exchange::verdicts(exchange);
        let left = exchanged(exchange, "request");
        let read: Vec<Request> = left.iter().filter_map(|path| read_request(path).ok()).collect();
        if read.len() < left.len() {
            self.board.policy_error = Some(format!("{} requests can't be read", left.len() - read.len()));
        }
        let of_others = read.iter().filter(|request| !self.book.requests.contains_key(&request.id));
        let with_words = |request: &Request| {
            let heard = verdicts.iter().filter(|verdict| verdict.request == request.id).cloned().collect();
            Some((request.id.clone(), RequestEntry { verdicts: heard, ..asked(request)? }))
        };
        // What others agreed to in full, or denied, waits for nobody's word.
        let waits = |(_, entry): &(AuditId, RequestEntry)| {
            !entry.is_denied() && (entry.agreed() as u64) < u64::from(entry.approvals_needed)
        };
        self.board.left = of_others.filter_map(with_words).filter(waits).collect();
    }
}

fn hold_line(hold: &Hold) -> HoldLine {
    HoldLine {
        name: hold.name.clone(),
        by: hold.by.clone(),
        since: hold.since,
        review: hold.review,
        words: hold.words(),
    }
}

/// A request of another account, as a book would have it.
fn asked(request: &Request) -> Option<RequestEntry> {
    let covered = request.covered().ok()?;
    Some(RequestEntry {
        proposer: request.proposer.clone(),
        plan: request.hash(),
        hosts: covered.host_names(),
        action: covered.action,
        reason: request.reason.clone(),
        approvals_needed: request.approvals_needed,
        created_ms: request.created_ms,
        expires_ms: request.expires_ms,
        verdicts: Vec::new(),
        claimed_ms: None,
        glass: None,
    })
}

/// What a dialog shows, and is what it carries out, agrees to or lifts.
enum Shown {
    Plan(Plan),
    Request(Request),
    /// A hold, as it read.
    Hold(HoldName, String),
}

/// What the newest dialog shows: a slower answer to an earlier one never takes its place.
#[derive(Default)]
struct Slot(Mutex<Option<(u64, Shown)>>);

impl Slot {
    fn put(&self, generation: u64, shown: Shown) {
        let Ok(mut slot) = self.0.lock() else { return };
        if slot.as_ref().is_none_or(|(newest, _)| *newest <= generation) {
            *slot = Some((generation, shown));
        }
    }

    /// What this dialog shows, which counts once.
    fn take(&self, generation: u64) -> Result<Shown, CommandError> {
        let mut slot = self.0.lock().map_err(|_| nothing_shown())?;
        slot.take_if(|(newest, _)| *newest == generation).map(|(_, shown)| shown).ok_or_else(nothing_shown)
    }
}

/// One dialog's way to its slot and to its screen.
struct Teller<'a> {
    generation: u64,
    slot: &'a Slot,
    tell: &'a dyn Fn(News),
}

impl Teller<'_> {
    fn show(&self, what: Shown, lines: Vec<String>, ask: Ask) {
        self.slot.put(self.generation, what);
        (self.tell)(News::Planned { lines, ask });
    }

    fn shown(&self) -> Result<Shown, CommandError> {
        self.slot.take(self.generation)
    }
}

async fn read_on(database: &Path, so_far: &mut ReadSoFar) -> Result<(), CommandError> {
    let reader = AuditReader::open(database).await?;
    loop {
        let rows = reader.after(so_far.seq).await?;
        let Some(last) = rows.last() else { break };
        so_far.seq = last.seq;
        for row in &rows {
            let Ok(record) = Record::decode(&row.stored.body) else { continue };
            so_far.book.apply(&record);
            let words = record.event.words();
            let line = AuditLine {
                kind: record.event.kind(),
                at_ms: record.at_ms,
                who: record.actor.user,
                words,
                id: record.id,
            };
            so_far.board.newest.insert(0, line);
        }
        so_far.board.newest.truncate(NEWEST_MAX);
    }
    so_far.board.take(&so_far.book);
    let central = reader.central().await?;
    (so_far.board.waiting, so_far.board.central_error) = (central.waiting, central.error);
    reader.close().await;
    Ok(())
}

/// The means to plan and to act, for a screen that may; what was planned last is what can be carried out.
pub fn acting(common: &Common) -> Option<Acting> {
    let catalogue = action_files::load().inspect_err(|error| eprintln!("dogwatch: warning: {error}")).ok()?;
    let offered = catalogue.0.values().map(|action| OfferedAction {
        id: action.id.to_string(),
        about: action.about.clone(),
        parameters: action
            .parameters
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.default.clone()))
            .collect(),
    });
    let (common, slot) = (common.clone(), Slot::default());
    Some(Acting {
        offered: offered.collect(),
        carry_out: Arc::new(move |generation, order, tell| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = runtime.map_err(CommandError::from).and_then(|runtime| {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, carry_out(&common, order, &Teller { generation, slot: &slot, tell }))
            });
            if let Err(error) = done {
                tell(News::Ended { words: error.to_string(), is_well: false });
            }
        }),
    })
}

async fn carry_out(common: &Common, order: Order, teller: &Teller<'_>) -> Result<(), CommandError> {
    if let Order::Estimate { host, mount } = order {
        return room(common, host, &mount, teller).await;
    }
    let counter = Counter::open(common).await?;
    let complaints = exchange::take_in_lifts(&counter).await?;
    complaints.iter().for_each(|complaint| tracing::warn!("{complaint}"));
    let done = match order {
        Order::Plan(line) => plan(&counter, &line, teller).await,
        Order::Run(typed) => run(&counter, &typed, teller.shown()?, teller.tell).await,
        Order::Propose(reason) => propose(&counter, &reason, teller.shown()?, teller.tell).await,
        Order::OpenRequest(id) => open_request(&counter, &id, teller).await,
        Order::Judge { deny } => judge(&counter, deny.as_deref(), teller.shown()?, teller.tell).await,
        Order::OpenHold(name) => open_hold(&counter, &name, teller),
        Order::Lift => lift(&counter, teller.shown()?, teller.tell).await,
        Order::Estimate { .. } => Ok(()),
    };
    let closed = counter.close().await;
    closed.iter().flatten().for_each(|complaint| tracing::warn!("{complaint}"));
    done.and_then(|()| closed.map(|_| ()))
}

fn nothing_shown() -> CommandError {
    CommandError::Failed("nothing was shown that this could be about".to_owned())
}

/// Asks a host what would make room: only a look, which opens no store to write.
async fn room(common: &Common, host: HostName, mount: &str, teller: &Teller<'_>) -> Result<(), CommandError> {
    let config = config_file::load(common.hosts.as_deref(), &own_machine::name())?;
    let spec = config.fleet.host(&host).ok_or_else(|| ActionError::NoHost(host.to_string()))?;
    let (catalogue, state) = (action_files::load()?, common.state_dir()?.path().to_owned());
    let board = board_of(&state).await;
    let known = board.as_ref().and_then(|board| board.hosts.get(&host));
    let rooms = estimate(spec, mount, &catalogue, known, common.secrets()?).await?;
    (teller.tell)(News::Estimated(host, rooms));
    Ok(())
}

async fn plan(counter: &Counter, line: &str, teller: &Teller<'_>) -> Result<(), CommandError> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let action = words.next().unwrap_or_default();
    let wish = counter.wish(&action, &words.collect::<Vec<String>>())?;
    let plan = counter.desk().plan(&wish).await?;
    let ask = match counter.desk().approvals_needed(&plan).await? {
        0 => Ask::Run { phrase: plan.covered().phrase() },
        approvals_needed => Ask::Propose { approvals_needed },
    };
    let lines = plan.to_string().lines().map(str::to_owned).collect();
    teller.show(Shown::Plan(plan), lines, ask);
    Ok(())
}

async fn run(counter: &Counter, typed: &str, shown: Shown, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let desk = counter.desk();
    let request = match shown {
        Shown::Plan(plan) => desk.propose(&plan, "on the screen").await?,
        Shown::Request(request) => request,
        Shown::Hold(..) => return Err(nothing_shown()),
    };
    let confirmation = Confirmation { typed, glass: None };
    let ended = desk.carry_out(request, &confirmation, &|progress| tell(News::Progress(progress))).await?;
    let wrong = ended.iter().find(|(_, outcome)| !matches!(outcome, Ok(Outcome::Done)));
    let (words, is_well) = match wrong {
        None => ("done: its effect was measured".to_owned(), true),
        Some((host, Ok(outcome))) => (format!("{host}: {}", outcome.word()), false),
        Some((_, Err(error))) => (error.to_string(), false),
    };
    tell(News::Ended { words, is_well });
    Ok(())
}

async fn propose(counter: &Counter, reason: &str, shown: Shown, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let Shown::Plan(plan) = shown else { return Err(nothing_shown()) };
    let request = counter.desk().propose(&plan, reason).await?;
    let left: Option<PathBuf> = exchange::hand_out(counter, &request)?;
    let left = left.map_or(String::new(), |path| format!(", left in {}", path.display()));
    let others = match request.approvals_needed {
        1 => "another person".to_owned(),
        needed => format!("{needed} others"),
    };
    let words = format!("request {} waits for {others}{left}", request.id);
    tell(News::Ended { words, is_well: true });
    Ok(())
}

/// Shows a request: to be carried out where enough have agreed, and for a word on it where not.
async fn open_request(counter: &Counter, id: &AuditId, teller: &Teller<'_>) -> Result<(), CommandError> {
    let desk = counter.desk();
    let is_own = desk.book().await?.requests.contains_key(id);
    let (request, complaints) = match is_own {
        true => {
            let complaints = exchange::take_in(counter, id).await?;
            (desk.request(&desk.book().await?, id).await?, complaints)
        }
        false => (exchange::left_request(counter, id)?, Vec::new()),
    };
    let left = if is_own { Vec::new() } else { exchange::verdicts(counter.policy.exchange.as_deref()) };
    let agreed = desk.agreed(&request, &left).await?;
    let plan = Plan::decode(&request.plan).map_err(ActionError::from)?;
    let by = format!("asked for by {} on {}: {}", request.proposer.user, request.proposer.machine, request.reason);
    let mut lines = vec![by];
    lines.extend(complaints.iter().map(|complaint| format!("▲ {complaint}")));
    lines.extend(plan.to_string().lines().map(str::to_owned));
    let approvals_needed = request.approvals_needed;
    let ask = match is_own && approvals_needed as usize <= agreed {
        true => Ask::Run { phrase: plan.covered().phrase() },
        false => Ask::Judge { id: id.clone(), agreed, approvals_needed },
    };
    teller.show(Shown::Request(request), lines, ask);
    Ok(())
}

async fn judge(counter: &Counter, deny: Option<&str>, shown: Shown, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let Shown::Request(request) = shown else { return Err(nothing_shown()) };
    let left = approval::judge(counter, &request, deny, None).await?;
    let word = if deny.is_some() { "denied" } else { "agreed to" };
    let left = match left {
        Left::In(path) => format!("left in {}", path.display()),
        Left::Nowhere(_) => "no directory is shared: dogwatch approval sign prints the word to send".to_owned(),
    };
    tell(News::Ended { words: format!("{word}; {left}"), is_well: true });
    Ok(())
}

fn open_hold(counter: &Counter, name: &HoldName, teller: &Teller<'_>) -> Result<(), CommandError> {
    let words = approval::hold_of(counter, name)?.words();
    teller.show(Shown::Hold(name.clone(), words.clone()), vec![words], Ask::Lift { hold: name.clone() });
    Ok(())
}

async fn lift(counter: &Counter, shown: Shown, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let Shown::Hold(name, words) = shown else { return Err(nothing_shown()) };
    if approval::hold_of(counter, &name)?.words() != words {
        return Err(CommandError::Failed(format!("{name} reads otherwise now: open it again")));
    }
    let left = approval::lift_hold(counter, &name, None).await?;
    let left = left.map_or("local store".to_owned(), |path| format!("left in {}", path.display()));
    tell(News::Ended { words: format!("{name} is lifted; {left}"), is_well: true });
    Ok(())
}
