//! Pulling the sources of an evidence pack: their bytes as the host has them, and of what they decode to what bears on the
//! job.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::time::Duration;

use super::action::ActionError;
use super::action::site::Site;
use super::evidence::{Found, Wish};
use crate::adapters::clock;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::backup::{self, BackupReading};
use crate::domain::probe::cron::{CronRun, join_runs, runs_in, timer_name};
use crate::domain::probe::script::{Answer, Section};
use crate::domain::proof::acct::{AcctRecord, Decoder, RECORD_BYTES};
use crate::domain::proof::cpu::CpuTree;
use crate::domain::proof::known::Known;
use crate::domain::proof::run::JobRun;
use crate::domain::proof::sources::{JOURNAL, JOURNAL_BYTES, JOURNAL_LINES, Kind, OWN_JOURNAL, READ, Source, Sources};
use crate::domain::proof::unit_journal;
use crate::domain::settings::JobEvidence;
use crate::domain::text::SafeText;

/// Bytes that one question brings.
const PIECE_BYTES: u64 = 4 << 20;
/// Bytes of one source, and of what one unpacks to; more is cut, and the cut is told.
const SOURCE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all sources together.
const PACK_BYTES_MAX: u64 = 1 << 30;
/// Records of the window, and of the job's runs outside it.
const RECORDS_MAX: usize = 2_000_000;
/// So long before the window records are kept, for what was silent at its beginning.
const BEFORE_MS: i64 = 3_600_000;
const PIECE_DEADLINE: Duration = Duration::from_secs(120);

/// What was pulled, decoded.
pub(super) struct Pulled {
    pub raw: Vec<RawRecord>,
    /// When the first process ended that any record tells of.
    pub first_end_ms: Option<i64>,
    pub runs: Vec<CronRun>,
    /// When each process of the window ended, in seconds since the epoch, those too of which the record is not kept; `None`
    /// where something of accounting was left out.
    pub ends_s: Option<Vec<u32>>,
    /// The content of the job's own log, of each of its files.
    pub own: Vec<Vec<u8>>,
    pub archives: Option<BackupReading>,
}

/// Which records are kept of all that are decoded: those of the window, and those that may be the job's own.
struct Wanted {
    from_ms: i64,
    to_ms: i64,
    pids: HashSet<u32>,
    known: Known,
    cpu: CpuTree,
}

impl Wanted {
    fn take(&mut self, bytes: &[u8; RECORD_BYTES], record: AcctRecord, pulled: &mut Pulled) -> bool {
        let end_ms = record.end_ms();
        pulled.first_end_ms = Some(pulled.first_end_ms.map_or(end_ms, |first_ms| first_ms.min(end_ms)));
        let is_then = self.from_ms - BEFORE_MS <= end_ms && record.begin_ms() <= self.to_ms;
        let end_s = u32::try_from(end_ms / 1_000).unwrap_or(u32::MAX);
        pulled.ends_s.iter_mut().filter(|_| is_then).for_each(|ends_s| ends_s.push(end_s));
        let is_wanted = is_then || record.pid != 0 && self.pids.contains(&record.pid);
        if is_wanted && !self.known.is_new(bytes, &record) {
            return true;
        }
        let whole_cpu_ms = self.cpu.take(&record);
        if is_wanted && RECORDS_MAX <= pulled.raw.len() {
            return false;
        }
        pulled.raw.extend(is_wanted.then_some(RawRecord { raw: *bytes, record, whole_cpu_ms }));
        true
    }
}

/// Pulls every source. Accounting comes last: of all it tells, what may be the job's own is known by then.
pub(super) async fn pull(
    site: &mut Site,
    wish: &Wish<'_>,
    sources: &Sources,
    found: &mut Found,
) -> Result<Pulled, ActionError> {
    let mut pulled = Pulled {
        raw: Vec::new(),
        first_end_ms: None,
        runs: Vec::new(),
        ends_s: Some(Vec::new()),
        own: Vec::new(),
        archives: None,
    };
    let (accounting, others): (Vec<&Source>, Vec<&Source>) =
        sources.files.iter().partition(|source| source.kind == Kind::Accounting);
    for source in others {
        let Some(bytes) = pull_file(site, source, found).await? else { continue };
        match source.kind {
            Kind::Log => {
                let content = unpacked(source, &bytes, &mut found.lacks);
                join_runs(&mut pulled.runs, &mut runs_in(&content, found.zone, clock::now().utc()));
            }
            Kind::Own => pulled.own.push(unpacked(source, &bytes, &mut found.lacks).into_owned()),
            Kind::Table | Kind::Beside | Kind::Accounting => {}
        }
    }
    pull_journals(site, wish, sources, found, &mut pulled).await;
    let of_job = |run: &&CronRun| match &wish.job.evidence {
        JobEvidence::CronLog { command, .. } => run.command.as_str().contains(command.as_str()),
        JobEvidence::Timer { .. } => false,
    };
    let logged = pulled.runs.iter().filter(of_job).map(|run| run.pid);
    let mut wanted = Wanted {
        from_ms: wish.from.timestamp_millis(),
        to_ms: wish.to.timestamp_millis(),
        pids: logged.chain(wish.kept.iter().map(|kept| kept.pid)).collect(),
        known: Known::default(),
        cpu: CpuTree::default(),
    };
    for source in accounting {
        let lacking = found.lacks.len();
        let Some(bytes) = pull_file(site, source, found).await? else {
            pulled.ends_s = None;
            continue;
        };
        let content = unpacked(source, &bytes, &mut found.lacks);
        let (mut decoder, mut has_room) = (Decoder::default(), true);
        let mut push = |bytes: &[u8; RECORD_BYTES], record| has_room &= wanted.take(bytes, record, &mut pulled);
        decoder.feed(&content, &mut push);
        decoder.finish(&mut push);
        found.passed_over += decoder.passed_over;
        if !has_room {
            found.lacks.push(format!("of the records in {} some are left out: {RECORDS_MAX} at most", source.path));
        } else if lacking < found.lacks.len() {
            pulled.ends_s = None;
        }
    }
    pulled.archives = pull_archives(site, wish, found).await?;
    Ok(pulled)
}

/// A file's bytes, which go into the pack once; `None` where there is no room for them.
async fn pull_file(site: &mut Site, source: &Source, found: &mut Found) -> Result<Option<Vec<u8>>, ActionError> {
    // A job's own log may be cron's as well.
    if let Some(known) = found.files.iter().find(|file| file.source.as_str() == source.path) {
        return Ok(Some(known.bytes.clone()));
    }
    if PACK_BYTES_MAX < found.files.iter().map(|file| file.bytes.len() as u64).sum::<u64>() + source.size {
        found.lacks.push(format!("{} was left out: a pack holds {PACK_BYTES_MAX} bytes at most", source.path));
        return Ok(None);
    }
    let bytes = read(site, source, &mut found.lacks).await?;
    found.put(source.name(), bytes.clone(), SafeText::new(&source.path));
    Ok(Some(bytes))
}

/// What journals tell of cron, and of the job itself where that is its own log.
async fn pull_journals(site: &mut Site, wish: &Wish<'_>, sources: &Sources, found: &mut Found, pulled: &mut Pulled) {
    let window = [wish.from, wish.to].map(|at| at.timestamp().to_string());
    if sources.has_journal {
        let bytes = pull_journal(site, JOURNAL, window.to_vec(), "cron", found).await;
        join_runs(&mut pulled.runs, &mut runs_in(&bytes, found.zone, clock::now().utc()));
        if !bytes.is_empty() {
            found.put("raw/journal-cron.txt".to_owned(), bytes, "journalctl".into());
        }
    }
    let own = wish.job.marker.as_ref().and_then(|marker| marker.log.strip_prefix("journal"));
    if let Some(unit) = own {
        let unit = unit.trim_start_matches(':').to_owned();
        let parameters = window.into_iter().chain([unit]).collect();
        let bytes = pull_journal(site, OWN_JOURNAL, parameters, "the job", found).await;
        if bytes.is_empty() {
            found.lacks.push(
                "its own log, the journal, tells of nothing in the window: it reaches back less far, or this login may not read it"
                    .to_owned(),
            );
        }
        pulled.own.push(bytes.clone());
        found.put("raw/journal-own.txt".to_owned(), bytes, "journalctl".into());
    }
}

/// What a journal tells; that it could not be asked leaves the rest of a pack as it is.
async fn pull_journal(
    site: &mut Site,
    script: &'static str,
    parameters: Vec<String>,
    of: &str,
    found: &mut Found,
) -> Vec<u8> {
    let bytes = match site.ask_within(script, parameters, PIECE_DEADLINE).await {
        Ok(reply) => reply.parts.into_iter().nth(1).unwrap_or_default(),
        Err(error) => {
            found.lacks.push(format!("what the journal tells of {of} could not be had: {error}"));
            Vec::new()
        }
    };
    if JOURNAL_BYTES <= bytes.len() || JOURNAL_LINES <= bytes.iter().filter(|byte| **byte == b'\n').count() {
        found.lacks.push(format!("of what the journal tells of {of} only the newest lines of the window"));
    }
    bytes
}

/// The archives of the set that the job leaves some in, as their tool lists them.
async fn pull_archives(
    site: &mut Site,
    wish: &Wish<'_>,
    found: &mut Found,
) -> Result<Option<BackupReading>, ActionError> {
    let sets = &wish.spec.settings.backups;
    let Some(set) = wish.job.leaves.as_ref().and_then(|name| sets.iter().find(|set| set.name.as_str() == name)) else {
        return Ok(None);
    };
    let Section { script, parameters } = backup::section(set);
    let reply = site.ask_within(script, parameters, PIECE_DEADLINE).await?;
    let parts: Vec<&[u8]> = reply.parts.iter().map(Vec::as_slice).collect();
    let bytes = [parts.concat().as_slice(), reply.body.as_slice()].concat();
    found.put("raw/archives.txt".to_owned(), bytes, format!("the listing of {}", set.name).into());
    match backup::parse(&Answer { body: &reply.body, parts, status: 0 }, set, clock::now().utc()) {
        Ok(reading) => {
            let trouble = reading.trouble.as_ref();
            found.lacks.extend(trouble.map(|trouble| format!("the archives of {}: {trouble}", set.name)));
            Ok(Some(reading))
        }
        Err(error) => {
            found.lacks.push(format!("the archives of {} can't be listed: {error}", set.name));
            Ok(None)
        }
    }
}

/// What systemd and its journal tell of a timer's service.
pub(super) async fn pull_unit(
    site: &mut Site,
    wish: &Wish<'_>,
    unit: &str,
    found: &mut Found,
) -> Result<Vec<JobRun>, ActionError> {
    let window = [wish.from, wish.to].map(|at| at.timestamp().to_string());
    let parameters = [timer_name(unit)].into_iter().chain(window).collect();
    let reply = match site.ask_within(unit_journal::SCRIPT, parameters, PIECE_DEADLINE).await {
        Ok(reply) => reply,
        Err(error) => {
            // Such as a service that wrote more than an answer may hold.
            found.lacks.push(format!("what systemd tells of {unit} could not be had: {error}"));
            return Ok(Vec::new());
        }
    };
    let part = |index: usize| reply.parts.get(index).cloned().unwrap_or_default();
    let runs = unit_journal::runs(&part(3), unit);
    if runs.is_empty() {
        found.lacks.push(format!(
            "systemd's journal tells of no run of {unit} in the window: it reaches back less far, or this login may not read it"
        ));
    }
    for (index, name, source) in [
        (1, "raw/unit-files.txt", "systemctl cat"),
        (2, "raw/unit-state.txt", "systemctl show"),
        (3, "raw/unit-journal.jsonl", "journalctl -o json"),
    ] {
        found.put(name.to_owned(), part(index), source.into());
    }
    Ok(runs)
}

async fn read(site: &mut Site, source: &Source, lacks: &mut Vec<String>) -> Result<Vec<u8>, ActionError> {
    let wanted = source.size.min(SOURCE_BYTES_MAX);
    if wanted < source.size {
        lacks.push(format!("of {} only the first {wanted} of {} bytes", source.path, source.size));
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < wanted {
        let piece = PIECE_BYTES.min(wanted - bytes.len() as u64);
        let came = read_piece(site, &source.path, bytes.len() as u64, piece).await?;
        if came.is_empty() {
            lacks.push(format!("{} was cut while it was read", source.path));
            break;
        }
        bytes.extend(came);
    }
    Ok(bytes)
}

/// So many bytes of a file from there on, or fewer at its end.
pub(super) async fn read_piece(site: &mut Site, path: &str, from: u64, bytes: u64) -> Result<Vec<u8>, ActionError> {
    let asked = vec![path.to_owned(), from.to_string(), bytes.to_string()];
    let reply = site.ask_within(READ, asked, PIECE_DEADLINE).await?;
    Ok(reply.parts.into_iter().nth(1).unwrap_or_default())
}

/// The content of a packed file, for decoding; the pack holds it as it was.
fn unpacked<'a>(source: &Source, bytes: &'a [u8], lacks: &mut Vec<String>) -> Cow<'a, [u8]> {
    if !source.path.ends_with(".gz") {
        return Cow::Borrowed(bytes);
    }
    let mut content = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(SOURCE_BYTES_MAX).read_to_end(&mut content);
    if let Err(error) = read {
        lacks.push(format!("{} can't be unpacked to its end: {error}", source.path));
    }
    Cow::Owned(content)
}
