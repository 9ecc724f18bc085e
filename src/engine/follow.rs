//! Following another process's engine through the store: the same fold, a second behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::feed::{Feed, FeedMessage};
use crate::adapters::store::StoreError;
use crate::adapters::store::reader::{EngineSign, News, Reader};
use crate::domain::board::Board;

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a store that can't be read is left alone.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(2);
const MESSAGES_MAX: usize = 64;

/// The board as the store has it now.
pub fn read_once(database: PathBuf) -> Result<Board, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Io(database.clone(), error))?;
    runtime.block_on(async { Reader::open(&database).await?.load().await })
}

/// The engine's newest sign of life.
pub fn engine_sign(database: PathBuf) -> Result<Option<EngineSign>, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Io(database.clone(), error))?;
    runtime.block_on(async { Reader::open(&database).await?.engine().await })
}

/// Follows the store on a thread of its own; a store that is gone or restarted is opened again.
pub fn follow(database: PathBuf) -> Feed {
    let (sender, feed) = sync_channel(MESSAGES_MAX);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            while let Err(error) = follow_one(&database, &sender).await {
                tracing::warn!("following {}: {error}", database.display());
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        });
    });
    feed
}

/// Ends without an error only when the screen is gone.
async fn follow_one(database: &std::path::Path, sender: &SyncSender<FeedMessage>) -> Result<(), StoreError> {
    let mut reader = Reader::open(database).await?;
    let mut message = FeedMessage::Reload(Box::new(reader.load().await?));
    loop {
        // The screen drains its feed each tick; a screen that does not is stopped, and so may this thread be.
        if sender.send(message).is_err() {
            return Ok(());
        }
        if let Some(sign) = reader.engine().await?
            && sender.send(FeedMessage::Alive { pid: sign.pid, at: sign.alive }).is_err()
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        message = match reader.news().await? {
            News::Inputs(inputs) => FeedMessage::Inputs(Arc::new(inputs)),
            News::Gap => FeedMessage::Reload(Box::new(reader.load().await?)),
        };
    }
}
