//! What a screen may do to hosts, and what it reads of the audit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::counter::Counter;
use super::{CommandError, Common};
use crate::adapters::action_files;
use crate::adapters::audit::database_in;
use crate::adapters::audit::reader::AuditReader;
use crate::domain::action::book::Book;
use crate::domain::action::plan::Plan;
use crate::domain::audit::record::{Outcome, Record};
use crate::engine::action::desk::Confirmation;
use crate::tui::audit_board::{AuditBoard, AuditLine, NEWEST_MAX};
use crate::tui::dialog::{News, Order};
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

/// What changes when the files do.
type Stamps = [(u64, Option<SystemTime>); 2];

fn stamps(database: &Path) -> Stamps {
    let of = |path: &Path| std::fs::metadata(path).map_or((0, None), |file| (file.len(), file.modified().ok()));
    [of(database), of(&database.with_extension("db-wal"))]
}

/// Reads the audit of a state directory on; where nothing was ever put on record there is nothing to say.
pub fn read_audit(state: &Path) -> ReadAudit {
    let (database, so_far) = (database_in(state), Mutex::new(ReadSoFar::default()));
    Arc::new(move || {
        let mut so_far = so_far.lock().map_err(|_| "an earlier look at the audit failed".to_owned())?;
        let now = stamps(&database);
        if so_far.stamps != Some(now) && database.exists() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(read_on(&database, &mut so_far)).map_err(|error| error.to_string())?;
            so_far.stamps = Some(now);
        }
        Ok(so_far.board.clone())
    })
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
    let (common, planned): (Common, Mutex<Option<Plan>>) = (common.clone(), Mutex::new(None));
    Some(Acting {
        offered: offered.collect(),
        carry_out: Arc::new(move |order, tell| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = runtime.map_err(CommandError::from).and_then(|runtime| {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, carry_out(&common, order, &planned, tell))
            });
            if let Err(error) = done {
                tell(News::Ended { words: error.to_string(), is_well: false });
            }
        }),
    })
}

async fn carry_out(
    common: &Common,
    order: Order,
    planned: &Mutex<Option<Plan>>,
    tell: &dyn Fn(News),
) -> Result<(), CommandError> {
    let counter = Counter::open(common).await?;
    let done = match order {
        Order::Plan(line) => plan(&counter, &line, planned, tell).await,
        Order::Run(typed) => run(&counter, &typed, taken(planned)?, tell).await,
        Order::Propose(reason) => propose(&counter, &reason, taken(planned)?, tell).await,
    };
    let closed = counter.close().await;
    done.and(closed)
}

/// What was planned last, which is carried out once.
fn taken(planned: &Mutex<Option<Plan>>) -> Result<Plan, CommandError> {
    let plan = planned.lock().ok().and_then(|mut slot| slot.take());
    plan.ok_or_else(|| CommandError::Failed("nothing was planned".to_owned()))
}

async fn plan(
    counter: &Counter,
    line: &str,
    planned: &Mutex<Option<Plan>>,
    tell: &dyn Fn(News),
) -> Result<(), CommandError> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let action = words.next().unwrap_or_default();
    let wish = counter.wish(&action, &words.collect::<Vec<String>>())?;
    let plan = counter.desk().plan(&wish).await?;
    let approvals_needed = counter.desk().approvals_needed(&plan).await?;
    let lines = plan.to_string().lines().map(str::to_owned).collect();
    let phrase = plan.covered().phrase();
    if let Ok(mut slot) = planned.lock() {
        *slot = Some(plan);
    }
    tell(News::Planned { lines, phrase, approvals_needed });
    Ok(())
}

async fn run(counter: &Counter, typed: &str, plan: Plan, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let desk = counter.desk();
    let request = desk.propose(&plan, "on the screen").await?;
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

async fn propose(counter: &Counter, reason: &str, plan: Plan, tell: &dyn Fn(News)) -> Result<(), CommandError> {
    let request = counter.desk().propose(&plan, reason).await?;
    let left: Option<PathBuf> = super::approval::hand_out(counter, &request)?;
    let left = left.map_or(String::new(), |path| format!(", left in {}", path.display()));
    let words = format!("request {} waits for {} others{left}", request.id, request.approvals_needed);
    tell(News::Ended { words, is_well: true });
    Ok(())
}
