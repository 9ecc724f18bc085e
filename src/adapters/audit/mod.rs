//! The audit store: records in one SQLite file that only grows, each on disk before its append returns.
//!
//! Each record goes into the spool of the central log in the same transaction, and leaves it when it has arrived there.

mod actor;
pub mod forward;
mod key;
pub mod reader;
mod schema;
pub mod store;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use thiserror::Error;

use crate::domain::audit::record::{AuditId, RECORD_BYTES_MAX};

pub use actor::own as own_actor;
pub use store::database_in;

/// How long a statement waits for another process's lock before it fails.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Beside the store, in the state directory.
pub const DATABASE: &str = "audit.db";
const KEY: &str = "audit-key";

/// What changes when the audit's files do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps([(u64, Option<SystemTime>); 2]);

impl Stamps {
    pub fn of(database: &Path) -> Self {
        let of = |path: &Path| std::fs::metadata(path).map_or((0, None), |file| (file.len(), file.modified().ok()));
        Self([of(database), of(&database.with_extension("db-wal"))])
    }
}

/// Why something could not be put on record, or read.
#[derive(Debug, Error)]
pub enum AuditError {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("{path}: {error}; nothing is done without a record")]
    Database { path: PathBuf, error: sqlx::Error },
    #[error("{path}: schema {found}, this program knows {known}: use the version that wrote it", known = schema::VERSION)]
    Schema { path: PathBuf, found: i64 },
    #[error("{0} is not there: nothing was ever put on record in this state directory")]
    NoStore(PathBuf),
    #[error(
        "{database} is gone, but the key of its writer, {key}, is there: the audit was moved or deleted; put it back, or move the key away to begin another chain"
    )]
    Gone { database: PathBuf, key: PathBuf },
    #[error("{0}: it is no key that this program made: {1}")]
    Key(PathBuf, String),
    #[error("a record of {0} bytes is larger than {RECORD_BYTES_MAX}: ask for less at once")]
    TooLarge(usize),
    #[error("{0} was carried out once already: propose it again")]
    AlreadyClaimed(AuditId),
    #[error("frozen: {0}; nothing more is begun")]
    Frozen(String),
    #[error("{0} was denied a moment ago")]
    Denied(AuditId),
    #[error("the central log has not taken {waiting} records, and {max} are the most that may wait: {error}")]
    SpoolFull { waiting: u64, max: u64, error: String },
    #[error("{path}: {why}; 'dogwatch audit verify' says more")]
    Broken { path: PathBuf, why: String },
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_WAIT)
}

fn failed(path: &Path) -> impl Fn(sqlx::Error) -> AuditError + '_ {
    move |error| AuditError::Database { path: path.to_owned(), error }
}

/// Opens the file for appending, and makes it where there is none.
async fn open_writer(path: &Path) -> Result<SqlitePool, AuditError> {
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map_err(|error| AuditError::Io(path.to_owned(), error))?;
    let options = options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    // SQLite ends a transaction by itself when the disk is full: only it knows whether there is one to roll back.
    let pool = SqlitePoolOptions::new().max_connections(1).after_release(|connection, _| {
        Box::pin(async move {
            let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
            Ok(true)
        })
    });
    let pool = pool.connect_with(options).await.map_err(failed(path))?;
    match schema::version(&pool, path).await? {
        schema::VERSION => {}
        0 => schema::make(&pool, path).await?,
        found => return Err(AuditError::Schema { path: path.to_owned(), found }),
    }
    schema::check(&pool, path, schema::Part::Tables).await?;
    Ok(pool)
}

/// Opens the file without any means to write it.
async fn open_reader(path: &Path) -> Result<SqlitePool, AuditError> {
    if !path.exists() {
        return Err(AuditError::NoStore(path.to_owned()));
    }
    let options = options(path).read_only(true).pragma("query_only", "1");
    let opened = read_with(path, options.clone()).await;
    let log = path.with_file_name(format!("{DATABASE}-wal"));
    match opened {
        // A full disk has no room for the memory that readers share. Without a write-ahead log the file is all there is.
        Err(AuditError::Database { .. }) if std::fs::metadata(log).map_or(0, |log| log.len()) == 0 => {
            read_with(path, options.immutable(true)).await
        }
        opened => opened,
    }
}

async fn read_with(path: &Path, options: SqliteConnectOptions) -> Result<SqlitePool, AuditError> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed(path))?;
    match schema::version(&pool, path).await? {
        schema::VERSION => {}
        found => return Err(AuditError::Schema { path: path.to_owned(), found }),
    }
    schema::check(&pool, path, schema::Part::Tables).await?;
    Ok(pool)
}
