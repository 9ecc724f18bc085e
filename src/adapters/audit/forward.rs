//! Records on their way to the central log: in order, again from the last that is known to have arrived after every break.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sqlx::sqlite::SqlitePool;
use tokio::time::{Instant, sleep, timeout};

use super::reader::{AuditReader, Spooled};
use super::{AuditError, failed, open_writer};
use crate::adapters::clock;
use crate::adapters::notify::syslog::{Connection, SyslogError};
use crate::config::policy::CentralLog;
use crate::domain::audit::head::Head;
use crate::domain::audit::record::Record;
use crate::domain::audit::rfc5424;

/// How often the store is looked at for new records, of whichever process.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// One process forwards for a state directory.
const LOCK: &str = "central.lock";

/// Why records do not go on.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Syslog(#[from] SyslogError),
}

/// The one forwarder of a state directory.
pub struct Forwarder {
    _lock: File,
    pool: SqlitePool,
    reader: AuditReader,
    path: PathBuf,
    settings: CentralLog,
}

/// Records that were written to the server, and when.
struct Sent {
    seq: i64,
    at: Instant,
}

impl Forwarder {
    /// `None` where another process forwards already.
    pub async fn claim(database: &Path, settings: &CentralLog) -> Result<Option<Self>, AuditError> {
        let path = database.with_file_name(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = opened.map_err(|error| AuditError::Io(path.clone(), error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(AuditError::Io(path, error.into())),
        }
        let pool = open_writer(database).await?;
        let reader = AuditReader::open(database).await?;
        Ok(Some(Self { _lock: lock, pool, reader, path: database.to_owned(), settings: settings.clone() }))
    }

    /// Forwards for ever; what goes wrong is kept in the store for whoever looks, and tried again.
    pub async fn run(&self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let began = Instant::now();
            let error = match self.follow().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tracing::warn!("central log: {error}");
            if let Err(error) = self.note(Some(&error.to_string())).await {
                tracing::error!("central log: {error}");
            }
            // A connection that lasted is no reason to wait longer than the first time.
            back_off = if BACK_OFF_MAX < began.elapsed() { BACK_OFF_MIN } else { (back_off * 2).min(BACK_OFF_MAX) };
            sleep(back_off / 2).await;
        }
    }

    /// Forwards what there is now and waits until the server has read it; says how many records that were.
    pub async fn drain(&self) -> Result<u64, String> {
        let sent = self.drain_once().await.map_err(|error| error.to_string());
        // The error itself is what is reported.
        let _ = self.note(sent.as_ref().err().map(String::as_str)).await;
        sent
    }

    async fn drain_once(&self) -> Result<u64, ForwardError> {
        let (mut last, mut count) = (0, 0);
        let mut waiting = self.reader.spooled_after(last).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let mut connection = Connection::open(&self.settings).await?;
        while let Some(spooled) = waiting.last() {
            connection.send(&framed(&waiting)).await?;
            count += waiting.len() as u64;
            last = spooled.row.seq;
            waiting = self.reader.spooled_after(last).await?;
        }
        connection.finish().await?;
        self.settle(last).await?;
        Ok(count)
    }

    /// One connection for as long as it lasts.
    async fn follow(&self) -> Result<std::convert::Infallible, ForwardError> {
        let mut written = 0;
        while self.reader.spooled_after(written).await?.is_empty() {
            sleep(LOOK_EVERY).await;
        }
        let mut connection = Connection::open(&self.settings).await?;
        let mut on_their_way: Vec<Sent> = Vec::new();
        loop {
            let waiting = self.reader.spooled_after(written).await?;
            if let Some(spooled) = waiting.last() {
                connection.send(&framed(&waiting)).await?;
                written = spooled.row.seq;
                on_their_way.push(Sent { seq: written, at: Instant::now() });
            }
            // The server's end is seen between two looks: what it may not have read by then is sent again.
            if let Ok(error) = timeout(LOOK_EVERY, connection.closed()).await {
                return Err(error.into());
            }
            let arrived = on_their_way.iter().take_while(|sent| self.settings.settle <= sent.at.elapsed()).count();
            if let Some(last) = on_their_way.drain(..arrived).next_back() {
                self.settle(last.seq).await?;
            }
        }
    }

    async fn settle(&self, seq: i64) -> Result<(), AuditError> {
        let delete = sqlx::query("DELETE FROM spool WHERE seq <= ?1").bind(seq);
        delete.execute(&self.pool).await.map_err(failed(&self.path))?;
        let update = sqlx::query("UPDATE central SET alive_ms = ?1, error = NULL").bind(clock::now().utc_ms);
        update.execute(&self.pool).await.map(drop).map_err(failed(&self.path))
    }

    async fn note(&self, error: Option<&str>) -> Result<(), AuditError> {
        let update = sqlx::query("UPDATE central SET error = ?1 WHERE error IS NOT ?1");
        update.bind(error).execute(&self.pool).await.map(drop).map_err(failed(&self.path))
    }
}

fn framed(waiting: &[Spooled]) -> Vec<u8> {
    waiting.iter().flat_map(|spooled| rfc5424::framed(&message(spooled))).collect()
}

fn message(spooled: &Spooled) -> String {
    let stored = &spooled.row.stored;
    match Record::decode(&stored.body) {
        Ok(record) => match &spooled.head {
            None => rfc5424::of_record(&record, &stored.hash, &String::from_utf8_lossy(&stored.body)),
            Some((signature, at_ms)) => {
                let head = Head { id: record.id, hash: stored.hash };
                rfc5424::of_head(&head, signature, *at_ms, record.actor.machine.as_str())
            }
        },
        // The central log is to show what became of it.
        Err(error) => {
            tracing::error!("audit record {} of {}: {error}", stored.number, spooled.row.writer);
            let writer: String = spooled.row.writer.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
            rfc5424::of_broken(&writer, stored.number, clock::now().utc_ms)
        }
    }
}
