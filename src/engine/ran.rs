//! Asking a host what ran at a time: its accounting files are read from their ends back to that time.

use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::action::ActionError;
use super::action::site::Site;
use super::evidence_pull::read_piece;
use super::ran_kept::Kept;
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::fleet::HostSpec;
use crate::domain::probe::accounting::RawRecord;
use crate::domain::probe::cron::{CronRun, join_runs, runs_in};
use crate::domain::proof::acct::{AcctRecord, Decoder, RECORD_BYTES};
use crate::domain::proof::cpu::CpuTree;
use crate::domain::proof::known::Known;
use crate::domain::proof::ran::{Ran, ran};
use crate::domain::proof::sources::{JOURNAL, Kind, LIST, Source, Sources, parse};
use crate::domain::text::SafeText;

/// Bytes of accounting that one question brings: whole records.
const PIECE_BYTES: u64 = 1 << 20;
/// Bytes of accounting that are read at most, the newest.
const BYTES_MAX: u64 = 128 << 20;
/// Bytes that a packed file may unpack to: a small one can hold without end.
const UNPACKED_BYTES_MAX: u64 = 2 << 30;
/// Bytes of the end of each log of cron.
const LOG_BYTES_MAX: u64 = 4 << 20;
const PIECE_DEADLINE: Duration = Duration::from_secs(60);
/// cron's log is looked through so long before the time, for jobs that began then and ran still.
const LOOK_BACK: chrono::Duration = chrono::Duration::hours(26);

/// What ran, and what stands in the way of knowing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanThen {
    pub ran: Ran,
    /// The host's zone.
    pub zone: Tz,
    pub records: usize,
    pub lacks: Vec<SafeText>,
}

/// Asks a host what ran between two moments of its own clock: `when` tells them by its zone and by what its clock shows.
pub async fn ran_then(
    spec: &HostSpec,
    secrets: &Secrets,
    kept: &Kept,
    when: impl FnOnce(Tz, DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), String>,
) -> Result<RanThen, ActionError> {
    let mut site = Site::new(spec, secrets.clone());
    site.connect().await?;
    let accounting = spec.settings.accounting.clone().unwrap_or_else(|| "-".to_owned());
    let reply = site.ask(LIST, vec![accounting, "0".to_owned(), "-".to_owned()]).await?;
    let told = |why| ActionError::Host { host: spec.name.clone(), why };
    let mut sources = parse(&reply.body).map_err(|error| told(error.to_string()))?;
    let zone = sources.zone.as_deref().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
    let (from, to) = when(zone, DateTime::from_timestamp(sources.clock_s, 0).unwrap_or_default()).map_err(told)?;
    sources.files.retain(|file| from.timestamp() <= file.written_s);
    let mut lacks: Vec<SafeText> =
        sources.denied.iter().map(|path| format!("{path} may not be read by this login").into()).collect();
    if sources.clock_s < to.timestamp() {
        let clock = DateTime::from_timestamp(sources.clock_s, 0).unwrap_or_default();
        lacks.push(format!("what comes after {} is still to come there", clock.format("%Y-%m-%d %H:%M:%S UTC")).into());
    }
    let mut records = records(&mut site, &sources, (from, to), &mut lacks).await?;
    let mut logged = logged(&mut site, &sources, zone, (from, to), &mut lacks).await?;
    lacks.extend_from_slice(&kept.lacks);
    match kept.add_to(&mut records, &mut logged, (from, to)) {
        0 => {}
        1 => lacks.push("of 1 run the host itself tells nothing more: it is known by what dogwatch kept".into()),
        added => lacks.push(
            format!("of {added} runs the host itself tells nothing more: they are known by what dogwatch kept").into(),
        ),
    }
    let ran = ran(&records, &logged, &sources.users, from, to);
    Ok(RanThen { ran, zone, records: records.len(), lacks })
}

/// The records that ended after `from`, the oldest first.
async fn records(
    site: &mut Site,
    sources: &Sources,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    lacks: &mut Vec<SafeText>,
) -> Result<Vec<RawRecord>, ActionError> {
    let mut files: Vec<&Source> = sources.files.iter().filter(|source| source.kind == Kind::Accounting).collect();
    if files.is_empty() {
        lacks.push("no accounting file was written since: it is off, or nothing ended; see proof.health".into());
    }
    let any_file = !files.is_empty();
    files.sort_by_key(|source| source.written_s);
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut left = BYTES_MAX;
    for file in files.into_iter().rev() {
        let reached = match file.path.ends_with(".gz") {
            true => read_packed(site, file, &mut left, &mut pieces, from, lacks).await?,
            false => read_back(site, file, &mut left, &mut pieces, from).await?,
        };
        if reached {
            break;
        }
        if left == 0 {
            lacks.push(format!("of accounting only the newest {BYTES_MAX} bytes were read").into());
            break;
        }
    }
    let (mut found, mut cpu, mut decoder) = (Vec::new(), CpuTree::default(), Decoder::default());
    let (from_ms, to_ms) = (from.timestamp_millis(), to.timestamp_millis());
    let mut first_ms = None;
    let mut known = Known::default();
    let mut push = |raw: &[u8; RECORD_BYTES], record: AcctRecord| {
        if !known.is_new(raw, &record) {
            return;
        }
        let whole_cpu_ms = cpu.take(&record);
        first_ms = first_ms.or(Some(record.end_ms()));
        if from_ms <= record.end_ms().saturating_add(999) && record.begin_ms() <= to_ms {
            found.push(RawRecord { raw: *raw, record, whole_cpu_ms });
        }
    };
    pieces.iter().rev().for_each(|piece| decoder.feed(piece, &mut push));
    decoder.finish(&mut push);
    if first_ms.is_none_or(|first_ms| from_ms < first_ms) && any_file {
        let begins = begins(first_ms.and_then(DateTime::from_timestamp_millis), "holds no record");
        lacks.push(format!("accounting {begins}: what ran before left no trace there").into());
    }
    Ok(found)
}

/// Reads a file's pieces from its end; says whether one begins before `from`.
async fn read_back(
    site: &mut Site,
    file: &Source,
    left: &mut u64,
    pieces: &mut Vec<Vec<u8>>,
    from: DateTime<Utc>,
) -> Result<bool, ActionError> {
    let mut end = file.size - file.size % RECORD_BYTES as u64;
    while 0 < end && 0 < *left {
        let bytes = PIECE_BYTES.min(end).min(*left);
        let piece = read_piece(site, &file.path, end - bytes, bytes).await?;
        let begins_before = begins_before(&piece, from);
        pieces.push(piece);
        end -= bytes;
        *left -= bytes;
        if begins_before {
            return Ok(true);
        }
    }
    Ok(false)
}

/// As [`read_back`]: a packed file is unpacked from its beginning, and its end is kept.
async fn read_packed(
    site: &mut Site,
    file: &Source,
    left: &mut u64,
    pieces: &mut Vec<Vec<u8>>,
    from: DateTime<Utc>,
    lacks: &mut Vec<SafeText>,
) -> Result<bool, ActionError> {
    if *left < file.size {
        *left = 0;
        return Ok(false);
    }
    let mut packed = Vec::new();
    while (packed.len() as u64) < file.size {
        let piece = read_piece(site, &file.path, packed.len() as u64, PIECE_BYTES).await?;
        if piece.is_empty() {
            break;
        }
        packed.extend(piece);
    }
    let (content, is_whole) = end_of(&packed, *left as usize);
    if !is_whole {
        lacks.push(format!("{} can't be unpacked to its end", file.path).into());
    }
    *left -= content.len() as u64;
    let begins_before = begins_before(&content, from);
    pieces.push(content);
    Ok(begins_before)
}

/// The last bytes of what a packed file holds, whole records; whether it could be unpacked to its end. What can't is
/// believed as far as it goes.
fn end_of(packed: &[u8], bytes_max: usize) -> (Vec<u8>, bool) {
    let bytes_max = bytes_max - bytes_max % RECORD_BYTES;
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(UNPACKED_BYTES_MAX + 1);
    let (mut content, mut bytes) = (Vec::new(), 0);
    let is_whole = loop {
        match reader.by_ref().take(PIECE_BYTES).read_to_end(&mut content) {
            Ok(0) => break bytes <= UNPACKED_BYTES_MAX,
            Ok(came) => bytes += came as u64,
            Err(_) => break false,
        }
        // Pieces are of whole records, and so is what goes.
        if 2 * bytes_max < content.len() {
            content.drain(..content.len() - bytes_max);
        }
    };
    let surplus = content.len().saturating_sub(bytes_max).next_multiple_of(RECORD_BYTES).min(content.len());
    content.drain(..surplus);
    (content, is_whole)
}

/// Whether the first record of a piece ended before: records come in the order of their ends.
fn begins_before(piece: &[u8], from: DateTime<Utc>) -> bool {
    let (mut decoder, mut first) = (Decoder::default(), None);
    let head = &piece[..piece.len().min(64 * RECORD_BYTES)];
    decoder.feed(head, |_, record| first = first.or(Some(record.end_ms())));
    first.is_some_and(|end_ms| end_ms < from.timestamp_millis())
}

/// What cron's log tells of the time, and of the day before it.
async fn logged(
    site: &mut Site,
    sources: &Sources,
    zone: Tz,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    lacks: &mut Vec<SafeText>,
) -> Result<Vec<CronRun>, ActionError> {
    let (begin, now) = (from, clock::now().utc());
    let from = from.checked_sub_signed(LOOK_BACK).unwrap_or(from);
    let mut first: Option<DateTime<Utc>> = None;
    let mut runs: Vec<CronRun> = Vec::new();
    let mut take = |bytes: &[u8]| {
        let mut told = runs_in(bytes, zone, now);
        first = told.iter().map(|run| run.at).chain(first).min();
        told.retain(|run| from <= run.at && run.at <= to);
        join_runs(&mut runs, &mut told);
    };
    for file in sources.files.iter().filter(|source| source.kind == Kind::Log && !source.path.ends_with(".gz")) {
        let begin = file.size.saturating_sub(LOG_BYTES_MAX);
        take(&read_piece(site, &file.path, begin, LOG_BYTES_MAX).await?);
    }
    if sources.has_journal {
        let window = vec![from.timestamp().to_string(), to.timestamp().to_string()];
        match site.ask_within(JOURNAL, window, PIECE_DEADLINE).await {
            Ok(reply) => take(reply.parts.get(1).map_or(&[], Vec::as_slice)),
            Err(error) => lacks.push(format!("what the journal tells of cron could not be had: {error}").into()),
        }
    }
    if first.is_none_or(|first| begin < first) {
        let begins = begins(first, "tells of no run");
        lacks.push(format!("what was read of cron's log {begins}: jobs of before are not named").into());
    }
    Ok(runs)
}

/// `begins 2026-11-21 04:30:01 UTC`, or that it has nothing.
pub(super) fn begins(first: Option<DateTime<Utc>>, nothing: &str) -> String {
    first.map_or(nothing.to_owned(), |at| format!("begins {}", at.format("%Y-%m-%d %H:%M:%S UTC")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(content).unwrap_or_else(|error| panic!("{error}"));
        packer.finish().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn of_a_packed_file_the_newest_whole_records_are_kept() {
        let records: Vec<u8> = (0..40_000_u32).flat_map(|record| [record.to_le_bytes(); 16].concat()).collect();
        let (end, is_whole) = end_of(&packed(&records), 100 * RECORD_BYTES + 7);
        assert!(end == records[records.len() - 100 * RECORD_BYTES..] && is_whole, "{}", end.len());
        let (all, is_whole) = end_of(&packed(&records), 1 << 30);
        assert!(all == records && is_whole);
        let cut = packed(&records);
        let (some, is_whole) = end_of(&cut[..cut.len() / 2], 1 << 30);
        assert!(!is_whole && !some.is_empty() && records.starts_with(&some), "{}", some.len());
    }
}
