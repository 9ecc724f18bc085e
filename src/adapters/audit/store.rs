//! Appending: one transaction a record, on disk when it returns, in one chain for all processes of a state directory.

use std::path::{Path, PathBuf};

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Row, Sqlite};

use super::key::WriterKey;
use super::{AuditError, DATABASE, KEY, failed, open_writer};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::head::Head;
use crate::domain::audit::record::{Actor, AuditId, Event, RECORD_BYTES_MAX, RECORD_VERSION, Record};
use crate::domain::signature::{self, Purpose};

/// A head is signed at the latest after so many records …
pub const RECORDS_A_HEAD_MAX: u64 = 100;
/// … or after this time, as soon as anything is appended or [`AuditStore::sign_head`] is called.
pub const HEAD_INTERVAL_MS_MAX: i64 = 60_000;
/// Records that may wait for the central log before no action is taken any more.
pub const SPOOL_RECORDS_MAX: u64 = 100_000;

/// The audit store, open for appending.
pub struct AuditStore {
    pool: SqlitePool,
    path: PathBuf,
    key: WriterKey,
    actor: Actor,
}

/// Proof that a record is on disk. Only [`AuditStore`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    id: AuditId,
}

impl Receipt {
    pub fn id(&self) -> &AuditId {
        &self.id
    }
}

/// What goes into the store in the same transaction as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beside<'a> {
    Nothing,
    /// A plan's covered part, in the canonical form.
    Plan(&'a Digest, &'a str),
    /// The one execution of a request.
    Claim(&'a AuditId),
    /// The end of a request.
    Denial(&'a AuditId),
    /// Something is about to be done: not while the store is frozen.
    Intent,
}

/// The file in a state directory.
pub fn database_in(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

impl AuditStore {
    /// Opens the audit of a state directory for `actor`; the first time a writer's key is made and put on record.
    pub async fn open(directory: &Path, actor: Actor, now_ms: i64) -> Result<Self, AuditError> {
        let (path, key_path) = (directory.join(DATABASE), directory.join(KEY));
        if key_path.exists() && !path.exists() {
            return Err(AuditError::Gone { database: path, key: key_path });
        }
        let pool = open_writer(&path).await?;
        let key = WriterKey::load(&key_path)?;
        let mut store = Self { pool, path, key, actor };
        store.start_chain(now_ms).await?;
        Ok(store)
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn start_chain(&mut self, now_ms: i64) -> Result<(), AuditError> {
        let mut transaction = self.begin().await?;
        if self.last(&mut transaction).await?.is_none() {
            let event = Event::WriterStarted { public_key: self.key.public.clone() };
            self.append_in(&mut transaction, event, now_ms).await?;
        }
        self.commit(transaction).await
    }

    /// The lock is taken at once: a transaction that first reads could not become one that writes. What is dropped without
    /// [`AuditStore::commit`] is rolled back when its connection goes back to the pool.
    async fn begin(&self) -> Result<PoolConnection<Sqlite>, AuditError> {
        let mut connection = self.pool.acquire().await.map_err(failed(&self.path))?;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed(&self.path))?;
        Ok(connection)
    }

    async fn commit(&self, mut transaction: PoolConnection<Sqlite>) -> Result<(), AuditError> {
        sqlx::raw_sql("COMMIT").execute(&mut *transaction).await.map(drop).map_err(failed(&self.path))
    }

    /// The newest record of this writer.
    async fn last(&self, transaction: &mut PoolConnection<Sqlite>) -> Result<Option<Head>, AuditError> {
        let newest = "SELECT number, hash FROM record WHERE writer = ?1 ORDER BY number DESC LIMIT 1";
        self.head_by(newest, transaction).await.map(|found| found.map(|(head, _)| head))
    }

    async fn head_by(
        &self,
        query: &'static str,
        transaction: &mut PoolConnection<Sqlite>,
    ) -> Result<Option<(Head, i64)>, AuditError> {
        let found = sqlx::query(query).bind(self.key.id.as_str()).fetch_optional(&mut **transaction).await;
        let Some(row) = found.map_err(failed(&self.path))? else { return Ok(None) };
        let number: i64 = row.try_get(0).map_err(failed(&self.path))?;
        let hash: String = row.try_get(1).map_err(failed(&self.path))?;
        let broken = |why: &str| AuditError::Broken { path: self.path.clone(), why: why.to_owned() };
        let number = u64::try_from(number).map_err(|_| broken("a record has a negative number"))?;
        let hash = Digest::parse(&hash).ok_or_else(|| broken("a record's hash is none"))?;
        let at_ms = row.try_get(2).unwrap_or(0);
        Ok(Some((Head { id: AuditId { writer: self.key.id.clone(), number }, hash }, at_ms)))
    }

    /// Puts something on record; it is on disk when this returns.
    pub async fn append(&self, event: Event, now_ms: i64) -> Result<Receipt, AuditError> {
        self.append_with(event, Beside::Nothing, now_ms).await
    }

    /// Puts a proposal on record together with the plan that it is about.
    pub async fn propose(&self, event: Event, hash: &Digest, plan: &str, now_ms: i64) -> Result<Receipt, AuditError> {
        self.append_with(event, Beside::Plan(hash, plan), now_ms).await
    }

    /// Takes a request to its one execution: of all who try, one succeeds.
    pub async fn claim(&self, request: &AuditId, event: Event, now_ms: i64) -> Result<Receipt, AuditError> {
        self.append_with(event, Beside::Claim(request), now_ms).await
    }

    /// Puts an intent on record, unless a freeze came first.
    pub async fn intend(&self, event: Event, now_ms: i64) -> Result<Receipt, AuditError> {
        self.append_with(event, Beside::Intent, now_ms).await
    }

    /// Ends a request, whoever may be about to claim it.
    pub async fn deny(&self, request: &AuditId, event: Event, now_ms: i64) -> Result<Receipt, AuditError> {
        self.append_with(event, Beside::Denial(request), now_ms).await
    }

    async fn append_with(&self, event: Event, beside: Beside<'_>, now_ms: i64) -> Result<Receipt, AuditError> {
        let mut transaction = self.begin().await?;
        let freeze = match &event {
            Event::Frozen { reason } => Some((true, reason.to_string())),
            Event::Thawed { reason } => Some((false, reason.to_string())),
            _ => None,
        };
        if let Beside::Claim(_) | Beside::Intent = beside {
            let newest = sqlx::query_as("SELECT is_on, reason FROM freeze ORDER BY seq DESC LIMIT 1");
            let newest: Option<(bool, String)> =
                newest.fetch_optional(&mut *transaction).await.map_err(failed(&self.path))?;
            if let Some((true, reason)) = newest {
                return Err(AuditError::Frozen(reason));
            }
        }
        let (receipt, seq) = self.append_in(&mut transaction, event, now_ms).await?;
        if let Some((is_on, reason)) = freeze {
            let insert = sqlx::query("INSERT INTO freeze (seq, is_on, reason) VALUES (?1, ?2, ?3)");
            let insert = insert.bind(seq).bind(is_on).bind(reason);
            insert.execute(&mut *transaction).await.map_err(failed(&self.path))?;
        }
        let written = match beside {
            Beside::Nothing | Beside::Intent => Ok(()),
            Beside::Plan(hash, body) => {
                let insert = sqlx::query("INSERT OR IGNORE INTO plan (hash, body) VALUES (?1, ?2)");
                insert.bind(hash.to_string()).bind(body).execute(&mut *transaction).await.map(drop)
            }
            Beside::Denial(request) => {
                let insert = sqlx::query("INSERT OR IGNORE INTO denial (request, seq) VALUES (?1, ?2)");
                insert.bind(request.to_string()).bind(seq).execute(&mut *transaction).await.map(drop)
            }
            Beside::Claim(request) => {
                let denied = sqlx::query("SELECT seq FROM denial WHERE request = ?1").bind(request.to_string());
                if denied.fetch_optional(&mut *transaction).await.map_err(failed(&self.path))?.is_some() {
                    return Err(AuditError::Denied(request.clone()));
                }
                let insert = sqlx::query("INSERT INTO claim (request, seq) VALUES (?1, ?2)");
                insert.bind(request.to_string()).bind(seq).execute(&mut *transaction).await.map(drop)
            }
        };
        written.map_err(|error| match (&error, beside) {
            (sqlx::Error::Database(database), Beside::Claim(request)) if database.is_unique_violation() => {
                AuditError::AlreadyClaimed(request.clone())
            }
            _ => failed(&self.path)(error),
        })?;
        self.commit(transaction).await?;
        Ok(receipt)
    }

    async fn append_in(
        &self,
        transaction: &mut PoolConnection<Sqlite>,
        event: Event,
        now_ms: i64,
    ) -> Result<(Receipt, i64), AuditError> {
        let last = self.last(transaction).await?;
        let (number, previous) = last.map_or((1, Digest::ZERO), |head| (head.id.number + 1, head.hash));
        let id = AuditId { writer: self.key.id.clone(), number };
        let actor = self.actor.clone();
        let record = Record { v: RECORD_VERSION, id: id.clone(), previous, at_ms: now_ms, actor, event };
        let body =
            record.encode().map_err(|error| AuditError::Broken { path: self.path.clone(), why: error.to_string() })?;
        if RECORD_BYTES_MAX < body.len() {
            return Err(AuditError::TooLarge(body.len()));
        }
        let hash = Digest::of(body.as_bytes());
        let insert = sqlx::query("INSERT INTO record (writer, number, at_ms, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(self.key.id.as_str())
            .bind(i64::try_from(number).unwrap_or(i64::MAX))
            .bind(now_ms)
            .bind(body)
            .bind(hash.to_string());
        let done = insert.execute(&mut **transaction).await.map_err(failed(&self.path))?;
        self.spool(transaction, &id, false).await?;
        let head = Head { id: id.clone(), hash };
        let signed = "SELECT number, hash, at_ms FROM head WHERE writer = ?1 ORDER BY number DESC LIMIT 1";
        let is_due = match self.head_by(signed, transaction).await? {
            None => true,
            Some((signed, at_ms)) => {
                RECORDS_A_HEAD_MAX <= number - signed.id.number || HEAD_INTERVAL_MS_MAX <= (now_ms - at_ms).abs()
            }
        };
        if is_due {
            self.write_head(transaction, &head, now_ms).await?;
        }
        Ok((Receipt { id }, done.last_insert_rowid()))
    }

    async fn write_head(
        &self,
        transaction: &mut PoolConnection<Sqlite>,
        head: &Head,
        now_ms: i64,
    ) -> Result<(), AuditError> {
        let signature = signature::sign(&self.key.private, Purpose::Head, head.text().as_bytes())
            .map_err(|error| AuditError::Key(self.path.with_file_name(KEY), error.to_string()))?;
        let insert = sqlx::query(
            "INSERT OR IGNORE INTO head (writer, number, at_ms, hash, signature) VALUES (?1, ?2, ?3, ?4, ?5)",
        );
        let insert = insert
            .bind(head.id.writer.as_str())
            .bind(i64::try_from(head.id.number).unwrap_or(i64::MAX))
            .bind(now_ms)
            .bind(head.hash.to_string())
            .bind(signature);
        let inserted = insert.execute(&mut **transaction).await.map_err(failed(&self.path))?;
        match inserted.rows_affected() {
            0 => Ok(()),
            _ => self.spool(transaction, &head.id, true).await,
        }
    }

    async fn spool(
        &self,
        transaction: &mut PoolConnection<Sqlite>,
        id: &AuditId,
        is_head: bool,
    ) -> Result<(), AuditError> {
        let insert = sqlx::query("INSERT INTO spool (writer, number, is_head) VALUES (?1, ?2, ?3)");
        let number = i64::try_from(id.number).unwrap_or(i64::MAX);
        let insert = insert.bind(id.writer.as_str()).bind(number).bind(is_head);
        insert.execute(&mut **transaction).await.map(drop).map_err(failed(&self.path))
    }

    /// Signs the newest record; for whoever has appended what nothing may follow for a while.
    pub async fn sign_head(&self, now_ms: i64) -> Result<(), AuditError> {
        let mut transaction = self.begin().await?;
        if let Some(head) = self.last(&mut transaction).await? {
            self.write_head(&mut transaction, &head, now_ms).await?;
        }
        self.commit(transaction).await
    }

    /// Whether the central log has taken so much that another action may be begun.
    pub async fn room_in_spool(&self, records_max: u64) -> Result<(), AuditError> {
        let mut transaction = self.begin().await?;
        let query = "SELECT (SELECT count(*) FROM spool), error FROM central";
        let found: (i64, Option<String>) =
            sqlx::query_as(query).fetch_one(&mut *transaction).await.map_err(failed(&self.path))?;
        let (waiting, error) = found;
        let waiting = u64::try_from(waiting).unwrap_or(0);
        match waiting < records_max {
            true => Ok(()),
            false => Err(AuditError::SpoolFull {
                waiting,
                max: records_max,
                error: error.unwrap_or_else(|| "it has told no error".to_owned()),
            }),
        }
    }

    /// Closes the file; without it SQLite's own log is folded in at the next start.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
