//! Persistence: inputs gather here and go to the store once a second.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::adapters::store::StoreError;
use crate::adapters::store::request::Request;
use crate::adapters::store::state_dir::EngineLock;
use crate::adapters::store::writer::{Flush, Latest, Samples, Writer};
use crate::domain::board::Board;
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::domain::transition::{Batch, Input, Seen};

/// Attached screens are this far behind at most, and a second.
const LATEST_EVERY_S: u64 = 2;
/// Samples are written this often: what a crash may lose.
const SAMPLES_EVERY_S: u64 = 30;
const CHECKPOINT_EVERY_S: u64 = 600;
/// Transitions that wait for a store that does not take them; past that the oldest are dropped, counted and told.
const UNWRITTEN_MAX: usize = 100_000;

/// Where an engine keeps what it saw.
pub struct Store {
    pub writer: Writer,
    pub lock: EngineLock,
    pub directory: PathBuf,
    pub size_bytes_max: u64,
    /// `screen`, `collect` or `check`.
    pub how: &'static str,
}

pub struct Persister {
    store: Store,
    pending: Flush,
    flushes: u64,
    dropped: u64,
    pub last_error: Option<SafeText>,
}

impl Persister {
    pub fn new(store: Store) -> Self {
        Self { store, pending: Flush::default(), flushes: 0, dropped: 0, last_error: None }
    }

    /// Keeps inputs for the next flush.
    pub async fn take(&mut self, inputs: &[Input]) {
        for input in inputs {
            match input {
                Input::Transition(transition) if self.pending.transitions.len() < UNWRITTEN_MAX => {
                    self.pending.transitions.push(transition.clone());
                }
                Input::Transition(_) => self.dropped += 1,
                Input::Batch(batch) => self.take_batch(batch).await,
            }
        }
    }

    async fn take_batch(&mut self, batch: &Batch) {
        for observation in &batch.observations {
            let Seen::Reading { results, .. } = &observation.seen else { continue };
            for result in results {
                if let Some(value) = result.value.filter(|_| result.id.kind.is_sampled())
                    && let Err(error) = self.store.writer.sample(&batch.host, &result.id, batch.at.utc_ms, value).await
                {
                    self.note(&error);
                }
            }
            let key = (batch.host.clone(), observation.probe.clone());
            self.pending.latest.insert(key, Latest { at: batch.at, observation: observation.clone() });
        }
    }

    /// What a host's probes must remember beyond this process.
    pub fn remember(&mut self, host: HostName, cursors: Vec<u8>) {
        self.pending.cursors.insert(host, cursors);
    }

    /// Writes what waits; on failure it goes on waiting, and the error is shown on the own machine.
    pub async fn flush(&mut self, board: &Board, now: Moment) {
        self.flushes += 1;
        let checkpoint_is_due = self.flushes.is_multiple_of(CHECKPOINT_EVERY_S);
        self.pending.samples = match self.flushes.is_multiple_of(SAMPLES_EVERY_S) {
            _ if checkpoint_is_due => Samples::Chunks,
            true => Samples::Tail,
            false => Samples::Wait,
        };
        // Transitions wait for one flush at most; of a probe that is read each second, every other reading is enough.
        let held_back = match self.flushes.is_multiple_of(LATEST_EVERY_S) {
            true => BTreeMap::new(),
            false => std::mem::take(&mut self.pending.latest),
        };
        let written = self.store.writer.flush(&self.pending, std::process::id(), self.store.how, now).await;
        match written {
            Ok(()) => {
                self.pending = Flush { latest: held_back, ..Flush::default() };
                self.last_error = (0 < self.dropped).then(|| {
                    SafeText::new(&format!("{} transitions were dropped while the store was full", self.dropped))
                });
            }
            Err(error) => {
                self.pending.latest.extend(held_back);
                self.note(&error);
            }
        }
        if checkpoint_is_due {
            self.checkpoint(board, now).await;
        }
    }

    async fn checkpoint(&mut self, board: &Board, now: Moment) {
        if !self.pending.transitions.is_empty() {
            return;
        }
        let size_max = self.store.size_bytes_max;
        if let Err(error) = self.store.writer.checkpoint(board, now).await {
            self.note(&error);
        }
        if let Err(error) = self.store.writer.prune(now, size_max).await {
            self.note(&error);
        }
    }

    /// What attached screens asked or told.
    pub async fn requests(&mut self) -> Vec<Request> {
        match self.store.writer.take_requests().await {
            Ok(requests) => requests,
            Err(error) => {
                self.note(&error);
                Vec::new()
            }
        }
    }

    pub fn directory(&self) -> &std::path::Path {
        &self.store.directory
    }

    pub fn how(&self) -> &'static str {
        self.store.how
    }

    pub fn unwritten(&self) -> usize {
        self.pending.transitions.len()
    }

    fn note(&mut self, error: &StoreError) {
        tracing::error!("store: {error}");
        self.last_error = Some(SafeText::new(&error.to_string()));
    }

    /// Writes everything and closes the store in good order.
    pub async fn close(mut self, board: &Board, now: Moment) {
        self.pending.samples = Samples::Chunks;
        match self.store.writer.flush(&self.pending, std::process::id(), self.store.how, now).await {
            Ok(()) => {
                self.pending = Flush::default();
                self.checkpoint(board, now).await;
            }
            Err(error) => self.note(&error),
        }
        self.store.writer.close().await;
        drop(self.store.lock);
    }
}
