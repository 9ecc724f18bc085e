//! The store: transitions, checkpoints, each probe's newest observation and samples, in one SQLite file.

pub mod chunk;
pub mod history;
pub mod reader;
pub mod request;
mod rows;
mod samples;
pub mod shaped;
pub mod state_dir;
pub mod writer;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use thiserror::Error;

/// The schema that this program writes.
const SCHEMA_VERSION: i64 = 2;
/// How long a statement waits for another process's lock before it fails.
const BUSY_WAIT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE transition (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE checkpoint (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE latest (host TEXT, probe TEXT, turn INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (host, probe)) WITHOUT ROWID;
CREATE INDEX latest_turn ON latest (turn);
CREATE TABLE series (id INTEGER PRIMARY KEY, host TEXT NOT NULL, check_id TEXT NOT NULL, UNIQUE (host, check_id));
CREATE TABLE chunk (tier INTEGER, start INTEGER, series INTEGER, body BLOB NOT NULL, PRIMARY KEY (tier, start, series)) WITHOUT ROWID;
CREATE TABLE tail (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE cursor (host TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE engine (id INTEGER PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL, how TEXT NOT NULL, alive TEXT NOT NULL);
CREATE TABLE request (id INTEGER PRIMARY KEY, host TEXT);
";

/// Why the store can't be used.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("neither XDG_STATE_HOME nor HOME is set: name a directory with --state")]
    NoHome,
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error(
        "{0} is not there: nothing polls for this state directory; start dogwatch or 'dogwatch collect' with the same --state"
    )]
    NoStore(PathBuf),
    #[error("{path} belongs to uid {owner}: it is not written to; name another with --state")]
    NotOurs { path: PathBuf, owner: u32 },
    #[error("[store] group = '{0}': no such group in /etc/group: name another, or write its number")]
    NoGroup(String),
    #[error("{path} has mode {mode:04o}: others may read or write it; mend it with: chmod 700 '{path}'")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error(
        "{path}: schema {found}, this program knows {SCHEMA_VERSION}: use the version that wrote it, or name another with --state"
    )]
    Schema { path: PathBuf, found: i64 },
    #[error("{path}: {error}; it was left as it is: move it away to start afresh")]
    Database { path: PathBuf, error: sqlx::Error },
    #[error("{path}: a record can't be read: {why}")]
    Record { path: PathBuf, why: String },
}

/// Pages after which the write-ahead log goes into the file. A host's newest rows are overwritten each few seconds: the
/// longer the log, the fewer of them are copied.
const WAL_PAGES: &str = "8192";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_WAIT)
}

/// Opens the database for its one writer, and makes it where there is none.
async fn open_writer(path: &Path) -> Result<SqlitePool, StoreError> {
    let failed = |error| StoreError::Database { path: path.to_owned(), error };
    // SQLite gives its other files the mode of the first.
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map_err(|error| StoreError::Io(path.to_owned(), error))?;
    let options = options(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", WAL_PAGES);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await.map_err(failed)?;
    match found {
        SCHEMA_VERSION => {}
        0 => {
            // One transaction: a crash leaves either no schema or the whole one.
            let schema = format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
            sqlx::raw_sql(sqlx::AssertSqlSafe(schema)).execute(&pool).await.map_err(failed)?;
        }
        found => return Err(StoreError::Schema { path: path.to_owned(), found }),
    }
    Ok(pool)
}

/// Opens the database without any means to write it.
async fn open_reader(path: &Path) -> Result<SqlitePool, StoreError> {
    let failed = |error| StoreError::Database { path: path.to_owned(), error };
    let options = options(path).read_only(true).pragma("query_only", "1");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await.map_err(failed)?;
    match found {
        SCHEMA_VERSION => Ok(pool),
        found => Err(StoreError::Schema { path: path.to_owned(), found }),
    }
}
