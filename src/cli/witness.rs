//! What an engine's process puts on record of itself, and its hand to the central log.

use std::path::Path;

use super::counter::Counter;
use super::{CommandError, Common};
use crate::adapters::audit::forward::Forwarder;
use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::store::AuditStore;
use crate::adapters::audit::{database_in, own_actor};
use crate::adapters::clock;
use crate::adapters::store::state_dir::StateDir;
use crate::config::Config;
use crate::config::policy::{CentralLog, PolicyFile};
use crate::domain::action::book::Book;
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::Event;
use crate::engine::action::desk::known_actor;

/// How often another process may hold the forwarder's place before it is asked for again.
const CLAIM_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Puts a changed policy or configuration on record, finds out what became of interrupted actions, and forwards what waits,
/// on a thread of its own: whatever becomes of the audit, looking goes on.
pub fn start(common: &Common, directory: &StateDir, config: &Config) {
    let policy = match common.policy() {
        Ok(policy) => policy,
        // Actions will be refused for it; looking goes on.
        Err(error) => return eprintln!("dogwatch: warning: {error}"),
    };
    let (common, directory, group) = (common.clone(), directory.clone(), config.store.group.clone());
    let (state, config) = (directory.path().to_owned(), Digest::of(config.digest.as_bytes()));
    let started = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let witnessed = runtime.map(|runtime| {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                // A store that is locked or full for a while keeps nobody from forwarding what is in it already.
                let noted = async {
                    note_changes(&state, &policy, config).await?;
                    directory.share_with(group.as_deref())?;
                    find_out(&common).await
                };
                if let Err(error) = noted.await {
                    tracing::error!("audit: {error}");
                }
                if let Some(central) = &policy.central_log {
                    forward(&database_in(&state), central).await;
                }
            });
        });
        if let Err(error) = witnessed {
            tracing::error!("audit: {error}");
        }
    });
    if let Err(error) = started {
        tracing::error!("audit: {error}");
    }
}

/// Finds out what became of actions that an earlier process left in the middle.
async fn find_out(common: &Common) -> Result<(), CommandError> {
    let counter = Counter::open(common).await?;
    let found = counter.desk().reconcile(&|_| {}).await;
    if let Some(complaint) = counter.close().await? {
        tracing::warn!("{complaint}");
    }
    for (intent, found) in found? {
        match found {
            Ok(found) => tracing::info!("{intent}: {}: {}", found.outcome.word(), found.witness),
            Err(error) => tracing::warn!("{intent}: {error}"),
        }
    }
    Ok(())
}

async fn note_changes(state: &Path, policy: &PolicyFile, config: Digest) -> Result<(), CommandError> {
    let now_ms = clock::now().utc_ms;
    let store = AuditStore::open(state, known_actor(own_actor(), policy), now_ms).await?;
    let reader = AuditReader::open(&database_in(state)).await?;
    let mut book = Book::default();
    reader.fold(&mut book, 0).await?;
    if book.config != Some(config) {
        store.append(Event::ConfigChanged { digest: config }, now_ms).await?;
    }
    note_policy(&store, &book, policy).await?;
    store.sign_head(now_ms).await?;
    reader.close().await;
    store.close().await;
    Ok(())
}

/// Puts a policy on record that is not the one that was in force last, with every hold as it reads now.
pub async fn note_policy(store: &AuditStore, book: &Book, policy: &PolicyFile) -> Result<(), CommandError> {
    let (digest, now_ms) = (policy.policy.digest, clock::now().utc_ms);
    if !policy.policy.exists || book.policy == Some(digest) {
        return Ok(());
    }
    let path = policy.path.display().to_string();
    store.append(Event::PolicyChanged { digest, path: path.as_str().into() }, now_ms).await?;
    for hold in &policy.policy.holds {
        let text = hold.words();
        store.append(Event::HoldSet { hold: hold.name.clone(), text: text.as_str().into() }, now_ms).await?;
    }
    Ok(())
}

/// Forwards for as long as the process lives; one process does for a state directory.
async fn forward(database: &Path, central: &CentralLog) {
    loop {
        match Forwarder::claim(database, central).await {
            Ok(Some(forwarder)) => forwarder.run().await,
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(CLAIM_EVERY).await;
    }
}
