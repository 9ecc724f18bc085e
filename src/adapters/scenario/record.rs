//! What people did with Dogwatch in a scenario: records for its audit, as the audit itself writes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::duration;
use crate::adapters::audit::AuditError;
use crate::adapters::audit::store::AuditStore;
use crate::domain::audit::record::{Actor, AuditId, Event, WriterId};

/// One record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioRecord {
    /// Since the beginning.
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    who: String,
    /// What later records call its id by, as `{name}`.
    name: Option<String>,
    event: toml::Table,
}

/// Why a record can't be put into an audit.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("record {number}: {error}")]
    Event { number: usize, error: toml::de::Error },
    #[error("record {number} comes before the one above it")]
    Order { number: usize },
}

impl ScenarioRecord {
    fn event(&self, ids: &BTreeMap<String, AuditId>) -> Result<Event, toml::de::Error> {
        let text = toml::to_string(&self.event).unwrap_or_default();
        let named = ids.iter().fold(text, |text, (name, id)| text.replace(&format!("{{{name}}}"), &id.to_string()));
        toml::from_str(&named)
    }
}

/// Whether every record can be read, and comes in its time.
pub fn check(records: &[ScenarioRecord]) -> Result<(), RecordError> {
    let any = WriterId::parse("000000000000").map(|writer| AuditId { writer, number: 1 });
    let names = records.iter().filter_map(|record| record.name.clone());
    let ids = any.into_iter().flat_map(|id| names.clone().map(move |name| (name, id.clone()))).collect();
    for (index, record) in records.iter().enumerate() {
        let number = index + 1;
        record.event(&ids).map_err(|error| RecordError::Event { number, error })?;
        if records[..index].last().is_some_and(|before| record.at < before.at) {
            return Err(RecordError::Order { number });
        }
    }
    Ok(())
}

/// The records of a scenario on their way into an audit.
pub struct Witness {
    records: std::vec::IntoIter<ScenarioRecord>,
    next: Option<ScenarioRecord>,
    ids: BTreeMap<String, AuditId>,
}

impl Witness {
    pub fn new(records: Vec<ScenarioRecord>) -> Self {
        let mut records = records.into_iter();
        Self { next: records.next(), records, ids: BTreeMap::new() }
    }

    /// Puts what was done until then on record, in a chain as any.
    pub async fn until(&mut self, at: Duration, state: &Path, begins_ms: i64) -> Result<(), AuditError> {
        while let Some(record) = self.next.as_ref().filter(|record| record.at <= at) {
            let at_ms = begins_ms.saturating_add(i64::try_from(record.at.as_millis()).unwrap_or(i64::MAX));
            // Checked when the scenario was read.
            let event = record.event(&self.ids);
            let (user, machine) = (record.who.as_str().into(), "ops1".into());
            let actor = Actor { uid: 1_000, user, person: None, machine, from: "pts/1".into() };
            match event {
                Ok(event) => {
                    let store = AuditStore::open(state, actor, at_ms).await?;
                    let receipt = store.append(event, at_ms).await?;
                    self.ids.extend(record.name.clone().map(|name| (name, receipt.id().clone())));
                    store.close().await;
                }
                Err(error) => tracing::error!("a record of the scenario is left out: {error}"),
            }
            self.next = self.records.next();
        }
        Ok(())
    }
}
