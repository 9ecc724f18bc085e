//! The store's one writer. Transitions are durable when a flush returns; of samples a crash may lose thirty seconds.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Read};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};

use super::chunk::{Tier, decode};
use super::request::Request;
use super::rows::Insert;
use super::samples::{ChunkRow, OpenChunks, Sample, SeriesId};
use super::{StoreError, open_writer, shaped};
use crate::domain::board::Board;
use crate::domain::check::CheckId;
use crate::domain::fleet::HostName;
use crate::domain::probe::ProbeId;
use crate::domain::time::Moment;
use crate::domain::transition::{Observation, Transition};

/// A checkpoint that unpacks to more is refused: a thousand hosts take about two megabytes.
const CHECKPOINT_BYTES_MAX: u64 = 256 << 20;
/// Oldest chunks deleted at once when the file is too large.
const DELETED_AT_ONCE: i64 = 20_000;

const TRANSITIONS: Insert = Insert { into: "INSERT INTO transition (number, at_ms, body)", columns: 3, then: "" };
const LATEST: Insert = Insert {
    into: "INSERT INTO latest (host, probe, turn, body)",
    columns: 4,
    then: "ON CONFLICT DO UPDATE SET turn = excluded.turn, body = excluded.body",
};
const CURSORS: Insert = Insert { into: "INSERT OR REPLACE INTO cursor (host, body)", columns: 2, then: "" };
const CHUNKS: Insert =
    Insert { into: "INSERT OR REPLACE INTO chunk (tier, start, series, body)", columns: 4, then: "" };

pub struct Writer {
    pool: SqlitePool,
    path: PathBuf,
    next_number: i64,
    next_turn: i64,
    series: HashMap<HostName, HashMap<CheckId, SeriesId>>,
    chunks: OpenChunks,
}

/// What one flush writes, all of it or nothing.
#[derive(Default)]
pub struct Flush {
    pub transitions: Vec<Transition>,
    /// Each probe's newest observation, in the order of the table: rows that lie together are written together.
    pub latest: BTreeMap<(HostName, ProbeId), Latest>,
    /// What probes must remember between polls.
    pub cursors: BTreeMap<HostName, Vec<u8>>,
    pub samples: Samples,
}

/// What a flush does with the samples that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Samples {
    #[default]
    Wait,
    /// They are made durable, to be pushed through again by whoever opens the store next; chunks that are closed are
    /// written.
    Tail,
    /// Their chunks are written, and the tail with that is done.
    Chunks,
}

/// The body of a row of `latest`.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Latest {
    pub at: Moment,
    pub observation: Arc<Observation>,
}

impl Writer {
    pub async fn open(path: PathBuf) -> Result<Self, StoreError> {
        let pool = open_writer(&path).await?;
        let failed = |error| StoreError::Database { path: path.clone(), error };
        let next_number: i64 = sqlx::query_scalar("SELECT max(coalesce((SELECT max(number) FROM transition), 0), coalesce((SELECT max(number) FROM checkpoint), 0)) + 1")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        let next_turn: i64 = sqlx::query_scalar("SELECT coalesce(max(turn), 0) + 1 FROM latest")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        let mut series: HashMap<HostName, HashMap<CheckId, SeriesId>> = HashMap::new();
        let named = sqlx::query_as("SELECT id, host, check_id FROM series").fetch_all(&pool).await;
        let named: Vec<(SeriesId, String, String)> = named.map_err(failed)?;
        for (id, host, check) in named {
            if let (Ok(host), Ok(check)) = (HostName::parse(&host), check.parse()) {
                series.entry(host).or_default().insert(check, id);
            }
        }
        let mut writer = Self { pool, path, next_number, next_turn, series, chunks: OpenChunks::default() };
        writer.resume_chunks().await?;
        Ok(writer)
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), error }
    }

    /// Goes on with the newest chunks of each tier, so that a restart does not overwrite them.
    async fn resume_chunks(&mut self) -> Result<(), StoreError> {
        for tier in Tier::ALL {
            let rows = sqlx::query_as(
                "SELECT start, series, body FROM chunk WHERE tier = ?1 AND start = (SELECT max(start) FROM chunk WHERE tier = ?1)",
            );
            let rows: Vec<(i64, SeriesId, Vec<u8>)> =
                rows.bind(tier.number()).fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
            for (start, series, body) in rows {
                self.chunks.resume(tier, start, series, &decode(start, &body));
            }
        }
        for sample in read_tail(&self.pool).await.map_err(|error| self.failed(error))? {
            self.chunks.fold(sample);
        }
        Ok(())
    }

    /// Keeps a sample until the next flush that writes samples.
    pub async fn sample(
        &mut self,
        host: &HostName,
        check: &CheckId,
        utc_ms: i64,
        value: f64,
    ) -> Result<(), StoreError> {
        let known = self.series.get(host).and_then(|checks| checks.get(check)).copied();
        let series = match known {
            Some(series) => series,
            None => self.new_series(host, check).await?,
        };
        self.chunks.push(Sample { series, utc_ms, value: value as f32 });
        Ok(())
    }

    async fn new_series(&mut self, host: &HostName, check: &CheckId) -> Result<SeriesId, StoreError> {
        let inserted = sqlx::query("INSERT INTO series (host, check_id) VALUES (?1, ?2)")
            .bind(host.as_str())
            .bind(check.to_string());
        let id = inserted.execute(&self.pool).await.map_err(|error| self.failed(error))?.last_insert_rowid();
        self.series.entry(host.clone()).or_default().insert(check.clone(), id);
        Ok(id)
    }

    /// Writes everything in one transaction and returns when it is durable.
    pub async fn flush(&mut self, flush: &Flush, pid: u32, how: &str, alive: Moment) -> Result<(), StoreError> {
        let turn = self.next_turn;
        let first = self.next_number;
        let written = async {
            let mut transaction = self.pool.begin().await?;
            write_transitions(&mut transaction, &flush.transitions, first).await?;
            write_latest(&mut transaction, flush, turn).await?;
            match flush.samples {
                Samples::Wait => {}
                Samples::Tail => {
                    write_tail(&mut transaction, self.chunks.tail()).await?;
                    write_chunks(&mut transaction, self.chunks.closed()).await?;
                }
                Samples::Chunks => {
                    write_chunks(&mut transaction, self.chunks.changed()).await?;
                    sqlx::query("DELETE FROM tail").execute(&mut *transaction).await?;
                }
            }
            sqlx::query("INSERT INTO engine (id, pid, how, alive) VALUES (1, ?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET pid = ?1, how = ?2, alive = ?3")
                .bind(i64::from(pid))
                .bind(how)
                .bind(serde_json::to_string(&alive).unwrap_or_default())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        written.await.map_err(|error| self.failed(error))?;
        match flush.samples {
            Samples::Wait => {}
            Samples::Tail => self.chunks.tail_is_written(),
            Samples::Chunks => self.chunks.changed_are_written(),
        }
        self.next_turn += 1;
        self.next_number += flush.transitions.len() as i64;
        Ok(())
    }

    /// Stores the board as it is after every transition written so far.
    pub async fn checkpoint(&mut self, board: &Board, at: Moment) -> Result<(), StoreError> {
        let body = pack(board).map_err(|why| StoreError::Record { path: self.path.clone(), why })?;
        sqlx::query("INSERT OR REPLACE INTO checkpoint (number, at_ms, body) VALUES (?1, ?2, ?3)")
            .bind(self.next_number - 1)
            .bind(at.utc_ms)
            .bind(body)
            .execute(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Deletes what is past its time, then the oldest until the file is within `size_max`, WAL included.
    pub async fn prune(&mut self, now: Moment, size_max: u64) -> Result<(), StoreError> {
        let pruned = async {
            for tier in Tier::ALL {
                let oldest =
                    now.utc_ms - i64::try_from(tier.kept_for().as_millis()).unwrap_or(i64::MAX) - tier.span_ms();
                sqlx::query("DELETE FROM chunk WHERE tier = ?1 AND start < ?2")
                    .bind(tier.number())
                    .bind(oldest)
                    .execute(&self.pool)
                    .await?;
            }
            // A day of checkpoints as they came, then the first of each day.
            sqlx::query(
                "DELETE FROM checkpoint WHERE at_ms < ?2 OR (at_ms < ?1 AND number NOT IN (SELECT min(number) FROM checkpoint GROUP BY at_ms / 86400000))",
            )
            .bind(now.utc_ms - 86_400_000)
            .bind(now.utc_ms - i64::try_from(Tier::Hours.kept_for().as_millis()).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await?;
            // What lies before every checkpoint that is kept can't be folded any more.
            sqlx::query("DELETE FROM transition WHERE at_ms < ?1 AND number <= (SELECT min(number) FROM checkpoint)")
                .bind(now.utc_ms - i64::try_from(Tier::Hours.kept_for().as_millis()).unwrap_or(i64::MAX))
                .execute(&self.pool)
                .await?;
            while size_max < self.size().await? {
                let deleted = sqlx::query(
                    "DELETE FROM chunk WHERE (tier, start, series) IN (SELECT tier, start, series FROM chunk ORDER BY tier, start LIMIT ?1)",
                )
                .bind(DELETED_AT_ONCE)
                .execute(&self.pool)
                .await?;
                let spent = deleted.rows_affected() == 0 && !self.delete_oldest_checkpoint().await?;
                sqlx::query("PRAGMA incremental_vacuum").execute(&self.pool).await?;
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await?;
                if spent {
                    break;
                }
            }
            Ok(())
        };
        pruned.await.map_err(|error| self.failed(error))
    }

    /// With the transitions that only it needs; the newest checkpoint stays. Says whether there was one.
    async fn delete_oldest_checkpoint(&self) -> Result<bool, sqlx::Error> {
        let deleted = sqlx::query(
            "DELETE FROM checkpoint WHERE number = (SELECT min(number) FROM checkpoint) AND number < (SELECT max(number) FROM checkpoint)",
        );
        let deleted = deleted.execute(&self.pool).await?.rows_affected();
        sqlx::query("DELETE FROM transition WHERE number <= (SELECT min(number) FROM checkpoint)")
            .execute(&self.pool)
            .await?;
        Ok(0 < deleted)
    }

    async fn size(&self) -> Result<u64, sqlx::Error> {
        let pages: i64 = sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            .fetch_one(&self.pool)
            .await?;
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        let wal_bytes = std::fs::metadata(wal).map_or(0, |metadata| metadata.len());
        Ok(u64::try_from(pages).unwrap_or(0).saturating_add(wal_bytes))
    }

    /// What attached screens asked or told since the last call.
    pub async fn take_requests(&mut self) -> Result<Vec<Request>, StoreError> {
        let rows = sqlx::query_scalar("DELETE FROM request RETURNING host").fetch_all(&self.pool).await;
        let rows: Vec<Option<String>> = rows.map_err(|error| self.failed(error))?;
        Ok(rows.iter().filter_map(|row| Request::parse(row.as_deref())).collect())
    }

    /// A clean end: the write-ahead log goes into the file.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

async fn write_transitions(
    transaction: &mut Transaction<'_, Sqlite>,
    transitions: &[Transition],
    first: i64,
) -> Result<(), sqlx::Error> {
    let rows = (first..).zip(transitions).map(|(number, transition)| {
        let body = serde_json::to_string(transition).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        Ok((number, transition.at.utc_ms, body))
    });
    TRANSITIONS
        .rows(transaction, rows, |statement, (number, at_ms, body)| statement.bind(number).bind(at_ms).bind(body))
        .await
}

async fn write_latest(transaction: &mut Transaction<'_, Sqlite>, flush: &Flush, turn: i64) -> Result<(), sqlx::Error> {
    let rows = flush.latest.iter().map(|((host, probe), latest)| {
        let body = shaped::write(latest).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        Ok((host.to_string(), probe.to_string(), body))
    });
    LATEST
        .rows(transaction, rows, |statement, (host, probe, body)| {
            statement.bind(host).bind(probe).bind(turn).bind(body)
        })
        .await?;
    let cursors = flush.cursors.iter().map(|(host, body)| Ok((host.to_string(), body.clone())));
    CURSORS.rows(transaction, cursors, |statement, (host, body)| statement.bind(host).bind(body)).await
}

async fn write_tail(transaction: &mut Transaction<'_, Sqlite>, samples: &[Sample]) -> Result<(), sqlx::Error> {
    if samples.is_empty() {
        return Ok(());
    }
    let body = postcard::to_stdvec(samples).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query("INSERT INTO tail (body) VALUES (?1)").bind(body).execute(&mut **transaction).await.map(drop)
}

async fn write_chunks(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: impl Iterator<Item = ChunkRow>,
) -> Result<(), sqlx::Error> {
    CHUNKS
        .rows(transaction, rows.map(Ok), |statement, row| {
            statement.bind(row.tier.number()).bind(row.start).bind(row.series).bind(row.body)
        })
        .await
}

/// The samples that no chunk holds yet, in the order they came; a row that another version wrote is left out.
pub async fn read_tail(pool: &SqlitePool) -> Result<Vec<Sample>, sqlx::Error> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM tail ORDER BY id").fetch_all(pool).await?;
    Ok(rows.iter().filter_map(|body| postcard::from_bytes::<Vec<Sample>>(body).ok()).flatten().collect())
}

fn pack(board: &Board) -> Result<Vec<u8>, String> {
    let mut packed = BufWriter::new(DeflateEncoder::new(Vec::new(), Compression::fast()));
    serde_json::to_writer(&mut packed, board).map_err(|error| error.to_string())?;
    let encoder = packed.into_inner().map_err(|error| error.to_string())?;
    encoder.finish().map_err(|error| error.to_string())
}

/// The board of a checkpoint.
pub fn unpack(body: &[u8]) -> Result<Board, String> {
    let mut json = Vec::new();
    let unpacked = DeflateDecoder::new(body).take(CHECKPOINT_BYTES_MAX).read_to_end(&mut json);
    unpacked.map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
