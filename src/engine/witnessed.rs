//! What checks need of the audit: restore tests, and when actions ran. Read on from the engine's own state directory.

use std::path::{Path, PathBuf};

use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::{AuditError, Stamps, database_in};
use crate::domain::audit::record::Record;
use crate::domain::probe::restores::RestoreBook;
use crate::domain::proof::deeds::ActionBook;

/// How far the audit was read.
pub struct Witnessed {
    database: PathBuf,
    restores: RestoreBook,
    actions: ActionBook,
    seq: i64,
    stamps: Option<Stamps>,
}

impl Witnessed {
    pub fn new(state: &Path) -> Self {
        Self {
            database: database_in(state),
            restores: RestoreBook::default(),
            actions: ActionBook::default(),
            seq: 0,
            stamps: None,
        }
    }

    /// Reads what is new; or says why the audit, which was there before, can't be read now.
    pub async fn read_on(&mut self) -> Result<(&RestoreBook, &ActionBook), String> {
        let now = Stamps::of(&self.database);
        if self.stamps.as_ref() != Some(&now) {
            match (self.database.exists(), self.seq) {
                (true, _) => self.read().await.map_err(|error| error.to_string())?,
                (false, 0) => {}
                (false, _) => return Err(format!("{} is gone", self.database.display())),
            }
            self.stamps = Some(now);
        }
        Ok((&self.restores, &self.actions))
    }

    async fn read(&mut self) -> Result<(), AuditError> {
        let reader = AuditReader::open(&self.database).await?;
        loop {
            let rows = reader.after(self.seq).await?;
            let Some(last) = rows.last() else { break };
            self.seq = last.seq;
            for record in rows.iter().filter_map(|row| Record::decode(&row.stored.body).ok()) {
                self.restores.apply(&record);
                self.actions.apply(&record);
            }
        }
        reader.close().await;
        Ok(())
    }
}
