//! The tables of the audit's file, and whether a file has them as they were made: a column that is named or typed
//! otherwise would be read as something else, or as nothing.

use std::path::Path;
use std::sync::OnceLock;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, Connection, SqliteExecutor};

use super::{AuditError, failed};

/// The schema that this program writes.
pub const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE record (seq INTEGER PRIMARY KEY, writer TEXT NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL, UNIQUE (writer, number));
CREATE TABLE head (writer TEXT NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY (writer, number)) WITHOUT ROWID;
CREATE TABLE plan (hash TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE claim (request TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE denial (request TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE freeze (seq INTEGER PRIMARY KEY, is_on INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE spool (seq INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT NOT NULL, number INTEGER NOT NULL, is_head INTEGER NOT NULL);
CREATE TABLE central (id INTEGER PRIMARY KEY CHECK (id = 1), alive_ms INTEGER NOT NULL, error TEXT);
INSERT INTO central VALUES (1, 0, NULL);
";

/// What may never be changed, by any tool that opens the file as it is.
const APPEND_ONLY: [&str; 6] = ["record", "head", "plan", "claim", "denial", "freeze"];

/// How much of a schema is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What reading and appending rest on.
    Tables,
    /// The triggers too that keep other tools from changing a record.
    Whole,
}

/// Type, name, table and statement as SQLite keeps them, as bytes: none of it need be text any more. SQLite's own indexes
/// have no statement.
type Entry = (Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// What [`make`] makes, as this process's SQLite keeps it.
static MADE: OnceLock<Vec<Entry>> = OnceLock::new();

fn statements() -> String {
    let guards: String = APPEND_ONLY
        .iter()
        .flat_map(|table| ["UPDATE", "DELETE"].map(|change| (table, change)))
        .map(|(table, change)| {
            format!(
                "CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END;"
            )
        })
        .collect();
    format!("{TABLES} {guards} PRAGMA user_version = {VERSION};")
}

pub async fn version(pool: &SqlitePool, path: &Path) -> Result<i64, AuditError> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.map_err(failed(path))
}

/// Makes the tables in a file that has none. Another process may be first.
pub async fn make(pool: &SqlitePool, path: &Path) -> Result<(), AuditError> {
    let script = format!("BEGIN IMMEDIATE; {} COMMIT;", statements());
    let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(pool).await else { return Ok(()) };
    // What remains of a transaction that failed is none of the next one's.
    let _ = sqlx::raw_sql("ROLLBACK").execute(pool).await;
    if version(pool, path).await? == VERSION { Ok(()) } else { Err(failed(path)(error)) }
}

/// Refuses a file whose tables, or triggers, are not those that [`make`] makes.
pub async fn check(pool: &SqlitePool, path: &Path, part: Part) -> Result<(), AuditError> {
    let made = match MADE.get() {
        Some(made) => made,
        None => {
            let made = made().await.map_err(failed(path))?;
            MADE.get_or_init(|| made)
        }
    };
    let found = entries(pool).await.map_err(failed(path))?;
    let matters = |entry: &&Entry| part == Part::Whole || entry.0 != b"trigger";
    let lacking = made.iter().filter(matters).find(|entry| !found.contains(entry));
    match lacking.or_else(|| found.iter().filter(matters).find(|entry| !made.contains(entry))) {
        None => Ok(()),
        Some((kind, name, ..)) => {
            let (kind, name) = (kind.escape_ascii(), name.escape_ascii());
            let why = format!("its {kind} '{name}' is not as this program makes it: something else changed the file");
            Err(AuditError::Broken { path: path.to_owned(), why })
        }
    }
}

async fn made() -> sqlx::Result<Vec<Entry>> {
    let mut model = SqliteConnectOptions::new().in_memory(true).connect().await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements())).execute(&mut model).await?;
    let made = entries(&mut model).await?;
    model.close().await?;
    Ok(made)
}

async fn entries(file: impl SqliteExecutor<'_>) -> sqlx::Result<Vec<Entry>> {
    let query =
        "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(tbl_name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema";
    sqlx::query_as(query).fetch_all(file).await
}
