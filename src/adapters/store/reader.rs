//! Reading the store: a whole board at first, then what came since. It has no means to write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqlitePool;

use super::chunk::{Tier, decode};
use super::samples::SeriesId;
use super::writer::{Latest, read_tail, unpack};
use super::{StoreError, open_reader, shaped};
use crate::adapters::clock;
use crate::domain::board::{Board, HostBoard};
use crate::domain::check::CheckId;
use crate::domain::fleet::HostName;
use crate::domain::time::Moment;
use crate::domain::transition::{Batch, Input, Transition};
use crate::domain::trend::POINTS_MAX;

/// Rows read in one go, so that no reader holds a transaction for long.
const ROWS_AT_ONCE: i64 = 2_000;

pub struct Reader {
    pool: SqlitePool,
    path: PathBuf,
    /// The last transition and the last turn of `latest` that were read.
    number: i64,
    turn: i64,
}

/// The engine's newest sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSign {
    pub pid: u32,
    pub how: String,
    pub alive: Moment,
}

/// What came since the last look.
pub enum News {
    Inputs(Vec<Input>),
    /// Transitions are missing in between: the board must be loaded again.
    Gap,
}

impl Reader {
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { pool: open_reader(path).await?, path: path.to_owned(), number: 0, turn: 0 })
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), error }
    }

    fn record(&self, why: impl ToString) -> StoreError {
        StoreError::Record { path: self.path.clone(), why: why.to_string() }
    }

    /// The board now: the newest checkpoint, the transitions since, the trends, and each probe's newest observation.
    pub async fn load(&mut self) -> Result<Board, StoreError> {
        let mut board = self.load_folded().await?;
        self.load_trends(&mut board, clock::now()).await?;
        self.turn = 0;
        if let News::Inputs(inputs) = self.news().await? {
            inputs.iter().for_each(|input| board.apply(input));
        }
        Ok(board)
    }

    /// The board as checkpoints and transitions alone tell it.
    pub async fn load_folded(&mut self) -> Result<Board, StoreError> {
        let newest = sqlx::query_as("SELECT number, body FROM checkpoint ORDER BY number DESC LIMIT 1");
        let checkpoint: Option<(i64, Vec<u8>)> =
            newest.fetch_optional(&self.pool).await.map_err(|error| self.failed(error))?;
        let mut board = Board::default();
        self.number = 0;
        if let Some((number, body)) = checkpoint {
            self.number = number;
            board = unpack(&body).map_err(|why| self.record(why))?;
        }
        loop {
            let transitions = self.transitions().await?;
            let Some((last, _)) = transitions.last() else { return Ok(board) };
            self.number = *last;
            transitions.iter().for_each(|(_, transition)| board.apply_transition(transition));
        }
    }

    async fn transitions(&self) -> Result<Vec<(i64, Transition)>, StoreError> {
        let rows = sqlx::query_as("SELECT number, body FROM transition WHERE number > ?1 ORDER BY number LIMIT ?2");
        let rows = rows.bind(self.number).bind(ROWS_AT_ONCE).fetch_all(&self.pool).await;
        let rows: Vec<(i64, String)> = rows.map_err(|error| self.failed(error))?;
        let read = |(number, body): &(i64, String)| {
            let transition = serde_json::from_str(body).map_err(|error| self.record(error))?;
            Ok((*number, transition))
        };
        rows.iter().map(read).collect()
    }

    /// Fills the trends from the stored samples: from the coarsest tier that is finer than a trend's points, then from
    /// what no chunk holds yet.
    pub async fn load_trends(&self, board: &mut Board, now: Moment) -> Result<(), StoreError> {
        let series = self.series().await?;
        for tier in Tier::ALL {
            let window = board.hosts.values().filter(|host| tier_for(host) == tier).map(HostBoard::trend_window).max();
            let Some(window) = window else { continue };
            let window_ms = i64::try_from(window.min(tier.kept_for()).as_millis()).unwrap_or(i64::MAX);
            let rows =
                sqlx::query_as("SELECT series, start, body FROM chunk WHERE tier = ?1 AND ?2 <= start ORDER BY start");
            let rows = rows.bind(tier.number()).bind(now.utc_ms - window_ms - tier.span_ms());
            let rows: Vec<(SeriesId, i64, Vec<u8>)> =
                rows.fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
            for (id, start, body) in rows {
                let Some((host, check)) = series.get(&id) else { continue };
                let Some(host) = board.hosts.get_mut(host).filter(|host| tier_for(host) == tier) else { continue };
                for (utc_ms, value) in decode(start, &body) {
                    host.remember(check, utc_ms, f64::from(value));
                }
            }
        }
        for sample in read_tail(&self.pool).await.map_err(|error| self.failed(error))? {
            let Some((host, check)) = series.get(&sample.series) else { continue };
            if let Some(host) = board.hosts.get_mut(host) {
                host.remember(check, sample.utc_ms, f64::from(sample.value));
            }
        }
        Ok(())
    }

    async fn series(&self) -> Result<HashMap<SeriesId, (HostName, CheckId)>, StoreError> {
        let rows = sqlx::query_as("SELECT id, host, check_id FROM series").fetch_all(&self.pool).await;
        let rows: Vec<(SeriesId, String, String)> = rows.map_err(|error| self.failed(error))?;
        let named =
            |(id, host, check): &(_, String, String)| Some((*id, (HostName::parse(host).ok()?, check.parse().ok()?)));
        Ok(rows.iter().filter_map(named).collect())
    }

    /// What came since the last look. Transitions come before the observations that rest on them.
    pub async fn news(&mut self) -> Result<News, StoreError> {
        let transitions = self.transitions().await?;
        let mut inputs = Vec::new();
        for (number, transition) in transitions {
            if number != self.number + 1 {
                return Ok(News::Gap);
            }
            self.number = number;
            inputs.push(Input::Transition(transition));
        }
        let rows = sqlx::query_as("SELECT host, turn, body FROM latest WHERE turn > ?1 ORDER BY turn");
        let rows: Vec<(String, i64, Vec<u8>)> =
            rows.bind(self.turn).fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
        for (host, turn, body) in rows {
            self.turn = self.turn.max(turn);
            // Another version of this program wrote it: the next poll's is the engine's own.
            let Some(latest) = shaped::read::<Latest>(&body) else {
                tracing::warn!("{}: a row of {host} was written by another version", self.path.display());
                continue;
            };
            let host = HostName::parse(&host).map_err(|error| self.record(error))?;
            inputs.push(Input::Batch(Batch {
                host,
                at: latest.at,
                observations: vec![latest.observation],
                cost: None,
            }));
        }
        Ok(News::Inputs(inputs))
    }

    /// The engine's newest sign of life, if it ever gave one.
    pub async fn engine(&self) -> Result<Option<EngineSign>, StoreError> {
        let row = sqlx::query_as("SELECT pid, how, alive FROM engine").fetch_optional(&self.pool).await;
        let row: Option<(i64, String, String)> = row.map_err(|error| self.failed(error))?;
        let Some((pid, how, alive)) = row else { return Ok(None) };
        let alive = serde_json::from_str(&alive).map_err(|error| self.record(error))?;
        Ok(Some(EngineSign { pid: u32::try_from(pid).unwrap_or(0), how, alive }))
    }

    /// What probes remembered between polls.
    pub async fn cursors(&self) -> Result<Vec<(HostName, Vec<u8>)>, StoreError> {
        let rows = sqlx::query_as("SELECT host, body FROM cursor").fetch_all(&self.pool).await;
        let rows: Vec<(String, Vec<u8>)> = rows.map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().filter_map(|(host, body)| Some((HostName::parse(&host).ok()?, body))).collect())
    }
}

/// The coarsest tier whose points are finer than those of a host's trends.
fn tier_for(host: &HostBoard) -> Tier {
    let step_ms = i64::try_from(host.trend_window().as_millis()).unwrap_or(i64::MAX) / POINTS_MAX as i64;
    Tier::ALL.into_iter().rev().find(|tier| tier.step_ms() <= step_ms).unwrap_or(Tier::Raw)
}
