//! Reading the audit: for logs, verification, screens and the central log.

use std::path::{Path, PathBuf};

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use super::{AuditError, failed, open_reader, schema};
use crate::domain::action::book::Book;
use crate::domain::audit::chain::{Fault, SignedHead, Stored, Verified, Walk};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::head::Head;
use crate::domain::audit::record::{AuditId, Record, WriterId};

/// Rows that are read at once.
const ROWS_AT_ONCE: i64 = 1_000;
/// Rows that go to the central log at once.
const SPOOLED_AT_ONCE: i64 = 100;

/// The audit store, open without any means to write it.
pub struct AuditReader {
    pool: SqlitePool,
    path: PathBuf,
}

/// A record with its place: among all writers' of the store, or in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    pub seq: i64,
    pub writer: String,
    pub stored: Stored,
}

/// A record, or the head that its writer signed at it, on its way to the central log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    pub row: RecordRow,
    /// The signature and when it was made; `None` for the record itself.
    pub head: Option<(String, i64)>,
}

/// How far the central log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentralState {
    /// Records that are not known to have arrived.
    pub waiting: u64,
    /// When records last went there; 0 for never.
    pub alive_ms: i64,
    pub error: Option<String>,
}

impl AuditReader {
    pub async fn open(path: &Path) -> Result<Self, AuditError> {
        Ok(Self { pool: open_reader(path).await?, path: path.to_owned() })
    }

    pub async fn close(self) {
        self.pool.close().await;
    }

    fn broken(&self, why: String) -> AuditError {
        AuditError::Broken { path: self.path.clone(), why }
    }

    /// The next rows after `seq`, in the order in which they were written; empty at the end.
    pub async fn after(&self, seq: i64) -> Result<Vec<RecordRow>, AuditError> {
        let query =
            sqlx::query("SELECT seq, writer, number, body, hash FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let rows = query.bind(seq).bind(ROWS_AT_ONCE).fetch_all(&self.pool).await.map_err(failed(&self.path))?;
        let rows: Vec<RecordRow> = rows.iter().map(|row| self.read(row)).collect::<Result<_, _>>()?;
        self.in_order(seq, rows.iter().map(|row| row.seq))?;
        Ok(rows)
    }

    /// Whether places come one after another behind that one. Of a damaged file SQLite may tell others: whoever asks for those
    /// behind the last of them would be told the same again, without end.
    fn in_order(&self, seq: i64, mut found: impl Iterator<Item = i64>) -> Result<(), AuditError> {
        let last = found.try_fold(seq, |last, seq| (last < seq).then_some(seq));
        last.map(drop).ok_or_else(|| self.broken("its rows are out of order".to_owned()))
    }

    fn read(&self, row: &sqlx::sqlite::SqliteRow) -> Result<RecordRow, AuditError> {
        let seq: i64 = row.try_get(0).map_err(failed(&self.path))?;
        let column = |error: sqlx::Error| self.broken(format!("row {seq}: {error}"));
        let number: i64 = row.try_get(2).map_err(column)?;
        let body: Vec<u8> = row.try_get_unchecked(3).map_err(column)?;
        let hash: String = row.try_get(4).map_err(column)?;
        // Whatever somebody wrote there: what is no number has no place in a chain, and what is no hash fits no record.
        let number = u64::try_from(number).unwrap_or(0);
        let stored = Stored { number, body, hash: Digest::parse(&hash).unwrap_or(Digest::ZERO) };
        Ok(RecordRow { seq, writer: row.try_get(1).map_err(column)?, stored })
    }

    /// The chains of the store.
    pub async fn writers(&self) -> Result<Vec<WriterId>, AuditError> {
        let query = "SELECT writer FROM record GROUP BY writer UNION SELECT writer FROM head ORDER BY 1";
        let names: Vec<String> = sqlx::query_scalar(query).fetch_all(&self.pool).await.map_err(failed(&self.path))?;
        let parse = |name: String| WriterId::parse(&name).ok_or_else(|| self.broken(format!("'{name}' is no writer")));
        names.into_iter().map(parse).collect()
    }

    /// The heads that a writer signed.
    pub async fn heads(&self, writer: &WriterId) -> Result<Vec<SignedHead>, AuditError> {
        let query = sqlx::query("SELECT number, hash, signature FROM head WHERE writer = ?1 ORDER BY number");
        let rows = query.bind(writer.as_str()).fetch_all(&self.pool).await.map_err(failed(&self.path))?;
        let head = |row: &sqlx::sqlite::SqliteRow| {
            let number: i64 = row.try_get(0).ok()?;
            let hash: String = row.try_get(1).ok()?;
            let id = AuditId { writer: writer.clone(), number: u64::try_from(number).ok()? };
            Some(SignedHead { head: Head { id, hash: Digest::parse(&hash)? }, signature: row.try_get(2).ok()? })
        };
        rows.iter().map(|row| head(row).ok_or_else(|| self.broken("a head is malformed".to_owned()))).collect()
    }

    /// Walks one writer's whole chain. The outer error is one of reading, the inner one of the chain.
    pub async fn verify(&self, writer: &WriterId, outside: Vec<Head>) -> Result<Result<Verified, Fault>, AuditError> {
        let mut walk = Walk::new(writer.clone(), self.heads(writer).await?, outside);
        let (mut number, mut seq) = (i64::MIN, 0);
        loop {
            let query = sqlx::query(
                "SELECT seq, writer, number, body, hash FROM record WHERE writer = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
            );
            let query = query.bind(writer.as_str()).bind(number).bind(ROWS_AT_ONCE);
            let rows = query.fetch_all(&self.pool).await.map_err(failed(&self.path))?;
            if rows.is_empty() {
                return Ok(walk.finish());
            }
            for row in &rows {
                let found = self.read(row)?;
                number = row.try_get(2).map_err(failed(&self.path))?;
                if found.seq <= seq {
                    return Ok(Err(Fault::Misplaced(found.stored.number)));
                }
                seq = found.seq;
                if let Err(fault) = walk.step(&found.stored) {
                    return Ok(Err(fault));
                }
            }
        }
    }

    /// Whether the file is as this program makes it, and its tables and their indexes say the same: a chain is walked by
    /// the one, a listing by the other.
    pub async fn check_file(&self) -> Result<(), AuditError> {
        schema::check(&self.pool, &self.path, schema::Part::Whole).await?;
        let query = sqlx::query_scalar("PRAGMA integrity_check(1)");
        let found: String = query.fetch_one(&self.pool).await.map_err(failed(&self.path))?;
        if found == "ok" { Ok(()) } else { Err(self.broken(found)) }
    }

    /// A plan that a proposal is about, in the canonical form.
    pub async fn plan(&self, hash: &Digest) -> Result<Option<String>, AuditError> {
        let query = sqlx::query_scalar("SELECT body FROM plan WHERE hash = ?1").bind(hash.to_string());
        query.fetch_optional(&self.pool).await.map_err(failed(&self.path))
    }

    /// Whether a request went to its execution.
    pub async fn is_claimed(&self, request: &AuditId) -> Result<bool, AuditError> {
        let query = sqlx::query_scalar("SELECT count(*) FROM claim WHERE request = ?1").bind(request.to_string());
        let found: i64 = query.fetch_one(&self.pool).await.map_err(failed(&self.path))?;
        Ok(0 < found)
    }

    /// What waits for the central log behind this place in the spool, in the order in which it was written.
    pub async fn spooled_after(&self, seq: i64) -> Result<Vec<Spooled>, AuditError> {
        let query = sqlx::query(
            "SELECT spool.seq, record.writer, record.number, record.body, record.hash, head.signature, head.at_ms
             FROM spool JOIN record USING (writer, number)
             LEFT JOIN head ON spool.is_head AND head.writer = spool.writer AND head.number = spool.number
             WHERE spool.seq > ?1 ORDER BY spool.seq LIMIT ?2",
        );
        let rows = query.bind(seq).bind(SPOOLED_AT_ONCE).fetch_all(&self.pool).await.map_err(failed(&self.path))?;
        let spooled = |row: &sqlx::sqlite::SqliteRow| {
            let row_of_record = self.read(row)?;
            let signature: Option<String> = row.try_get(5).map_err(failed(&self.path))?;
            let at_ms: Option<i64> = row.try_get(6).map_err(failed(&self.path))?;
            Ok(Spooled { row: row_of_record, head: signature.zip(at_ms) })
        };
        let rows: Vec<Spooled> = rows.iter().map(spooled).collect::<Result<_, _>>()?;
        self.in_order(seq, rows.iter().map(|spooled| spooled.row.seq))?;
        Ok(rows)
    }

    pub async fn central(&self) -> Result<CentralState, AuditError> {
        let query = "SELECT (SELECT count(*) FROM spool), alive_ms, error FROM central";
        let found: (i64, i64, Option<String>) =
            sqlx::query_as(query).fetch_one(&self.pool).await.map_err(failed(&self.path))?;
        let (waiting, alive_ms, error) = found;
        Ok(CentralState { waiting: u64::try_from(waiting).unwrap_or(0), alive_ms, error })
    }

    /// Folds every record that was written since into a book; says how far it has read.
    pub async fn fold(&self, book: &mut Book, since: i64) -> Result<i64, AuditError> {
        let mut seq = since;
        loop {
            let rows = self.after(seq).await?;
            let Some(last) = rows.last() else { return Ok(seq) };
            seq = last.seq;
            for row in &rows {
                let record = Record::decode(&row.stored.body)
                    .map_err(|error| self.broken(format!("record {} of {}: {error}", row.stored.number, row.writer)))?;
                book.apply(&record);
            }
        }
    }
}
