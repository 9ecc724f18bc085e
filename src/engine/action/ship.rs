//! Archiving to another host: pieces of files from one session to the other, no faster than was asked, and read back there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep, sleep_until};

use super::ActionError;
use super::execute::{Progress, Tell};
use super::site::{Reply, Site};
use crate::domain::action::objects::{Directory, FileObject};
use crate::domain::action::plan::{Elsewhere, HostPlan};
use crate::domain::action::purge_program::{files, identity, words};
use crate::domain::action::shipping::{
    LENGTH, PIECE_BYTES, READ, READ_BACK, SEAL, Shipped, ShippingError, WRITE, parse_kept, parse_length, parse_piece,
    parse_wrote,
};
use crate::domain::audit::record::AuditId;
use crate::domain::text::SafeText;

/// How often somebody who looks on is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A silent session is asked for a sign of life this often.
const AWAKE_EVERY: Duration = Duration::from_secs(15);

/// A file of the source, and what it is called in the archive.
struct Parcel<'a> {
    from: &'a Directory,
    verb: &'static str,
    object: &'a FileObject,
    number: usize,
}

/// Both ends of one action's archive.
pub struct Shipment<'a> {
    pub from: &'a mut Site,
    pub to: &'a mut Site,
    pub plan: &'a HostPlan,
    pub elsewhere: &'a Elsewhere,
    pub intent: &'a AuditId,
    /// For all of it.
    pub deadline: Duration,
}

impl Shipment<'_> {
    /// Archives every file of the plan and reads it back; nothing of the source is changed.
    pub async fn ship(&mut self, tell: Tell<'_>) -> Result<Vec<Shipped>, ActionError> {
        let within = self.deadline;
        let partial = format!("a partial archive may be at {}/{}", self.plan.archive_words(), self.intent);
        match tokio::time::timeout(within, self.ship_all(tell)).await {
            Ok(Ok(shipped)) => Ok(shipped),
            Ok(Err(error)) => {
                Err(ActionError::Host { host: self.from.host.clone(), why: format!("{error}; {partial}") })
            }
            Err(_) => {
                let why = format!("the archive was not whole after {} s; {partial}", within.as_secs());
                Err(ActionError::Host { host: self.from.host.clone(), why })
            }
        }
    }

    async fn ship_all(&mut self, tell: Tell<'_>) -> Result<Vec<Shipped>, ActionError> {
        let (Some(from), Some(to)) = (&self.plan.directory, &self.plan.archive) else { return Ok(Vec::new()) };
        let mut pace = Pace::new(self.elsewhere.rate_bytes_per_s);
        let (mut shipped, mut told) = (Vec::new(), Instant::now());
        let count = self.plan.objects();
        for (index, (verb, object)) in files(self.plan).enumerate() {
            let parcel = Parcel { from, verb, object, number: index + 1 };
            shipped.push(self.ship_one(&parcel, to, &mut pace).await?);
            if TELL_EVERY <= told.elapsed() || index as u64 + 1 == count {
                told = Instant::now();
                let (host, done) = (self.elsewhere.host.as_str(), index + 1);
                let text =
                    format!("archived {done} of {count} files on {host}, {} bytes, read back whole␊", pace.bytes);
                tell(Progress::Output { host: self.from.host.clone(), text: SafeText::new(&text) });
            }
        }
        // The last look before anything goes; and both links are asked once more before that.
        let seal = vec![to.path.to_string(), identity(to), self.intent.to_string(), count.to_string()];
        let reply = self.to.ask(SEAL, seal).await?;
        let host = self.to.host.clone();
        parse_kept(reply.first()).map_err(|error| ActionError::Host { host, why: error.to_string() })?;
        self.from.ask(":", Vec::new()).await?;
        Ok(shipped)
    }

    async fn ship_one(&mut self, parcel: &Parcel<'_>, to: &Directory, pace: &mut Pace) -> Result<Shipped, ActionError> {
        let file = [parcel.from.path.to_string(), identity(parcel.from)].into_iter();
        let file: Vec<String> = file.chain(words((parcel.verb, parcel.object))).collect();
        // `$3` of the scripts is what is done, `$4` the name: the order of a file's words.
        let asking = self.from.ask_within(LENGTH, file.clone(), self.deadline);
        let reply = with_the_other_awake(asking, self.to).await?;
        let is = parse_length(reply.first()).map_err(|error| refused(self.from, parcel.object, error))?;
        let place = [to.path.to_string(), identity(to), self.intent.to_string(), parcel.number.to_string()];
        let (mut piece, mut written) = (0, 0);
        while piece == 0 || piece * PIECE_BYTES < is.length {
            let wanted = PIECE_BYTES.min(is.length - piece * PIECE_BYTES);
            let asked = file.iter().cloned().chain([piece.to_string(), wanted.to_string()]).collect();
            let reply = self.from.ask(READ, asked).await?;
            parse_piece(reply.first()).map_err(|error| refused(self.from, parcel.object, error))?;
            let sent = place.iter().cloned().chain([written.to_string(), STANDARD.encode(&reply.body)]).collect();
            let reply = self.to.ask(WRITE, sent).await?;
            written = parse_wrote(reply.first()).map_err(|error| refused(self.to, parcel.object, error))?;
            piece += 1;
            pace.wait(wanted).await;
        }
        let sent = [is.hash.clone(), is.length.to_string(), parcel.object.name.for_printf()];
        let asked = place.iter().cloned().chain(sent).collect();
        let asking = self.to.ask_within(READ_BACK, asked, self.deadline);
        let reply = with_the_other_awake(asking, self.from).await?;
        parse_kept(reply.first()).map_err(|error| refused(self.to, parcel.object, error))?;
        Ok(is)
    }
}

/// Waits for one host and asks the other for a sign of life now and then: a server ends a session that is silent for long.
async fn with_the_other_awake(
    asking: impl Future<Output = Result<Reply, ActionError>>,
    other: &mut Site,
) -> Result<Reply, ActionError> {
    let mut asking = std::pin::pin!(asking);
    loop {
        tokio::select! {
            answered = &mut asking => return answered,
            () = sleep(AWAKE_EVERY) => drop(other.ask(":", Vec::new()).await?),
        }
    }
}

fn refused(site: &Site, object: &FileObject, error: ShippingError) -> ActionError {
    ActionError::Host { host: site.host.clone(), why: format!("{}: {error}", object.shown()) }
}

/// No more bytes in a second than may travel; what was not used meanwhile is not made up for.
struct Pace {
    due: Instant,
    bytes: u64,
    rate_bytes_per_s: u64,
}

impl Pace {
    fn new(rate_bytes_per_s: u64) -> Self {
        Self { due: Instant::now(), bytes: 0, rate_bytes_per_s: rate_bytes_per_s.max(1) }
    }

    async fn wait(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.due = self.due.max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.rate_bytes_per_s as f64);
        sleep_until(self.due).await;
    }
}
