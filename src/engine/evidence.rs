//! Collecting an evidence pack: the raw bytes of each source, what they decode to, and the verdict that they carry.

use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::action::ActionError;
use super::action::site::Site;
use super::ran::begins;
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::fleet::HostSpec;
use crate::domain::probe::accounting::{AccountingReading, RawRecord};
use crate::domain::probe::backup::{self, BackupReading};
use crate::domain::probe::cron::{CronReading, CronRun, runs_in, timer_name};
use crate::domain::probe::script::{Answer, Section};
use crate::domain::proof::acct::{AcctRecord, Decoder, RECORD_BYTES};
use crate::domain::proof::coverage::{Accounting, silences};
use crate::domain::proof::cpu::CpuTree;
use crate::domain::proof::evidence::KeptRun;
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::known::Known;
use crate::domain::proof::listening::{self, Clocks, words_in};
use crate::domain::proof::run::JobRun;
use crate::domain::proof::sources::{JOURNAL, Kind, LIST, READ, Source, Sources, parse};
use crate::domain::proof::still::BegunBy;
use crate::domain::proof::unit_journal;
use crate::domain::proof::verdict::Verdict;
use crate::domain::settings::{JobEvidence, JobSpec};
use crate::domain::text::SafeText;

/// Bytes that one question brings.
const PIECE_BYTES: u64 = 4 << 20;
/// Bytes of one source, and of what one unpacks to; more is cut, and the cut is told.
const SOURCE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of all sources together.
const PACK_BYTES_MAX: u64 = 1 << 30;
const PIECE_DEADLINE: Duration = Duration::from_secs(120);

/// What is asked for.
pub struct Wish<'a> {
    pub spec: &'a HostSpec,
    pub job: &'a JobSpec,
    pub at: DateTime<Utc>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// What was kept of the job's runs.
    pub kept: Vec<KeptRun>,
}

/// A source's bytes.
pub struct Collected {
    pub name: String,
    pub bytes: Vec<u8>,
    pub source: SafeText,
}

/// What a pack is made of.
pub struct Found {
    pub files: Vec<Collected>,
    pub host_key: String,
    pub zone: Tz,
    pub skew_ms: i64,
    pub skew_uncertainty_ms: i64,
    pub system: String,
    pub records: Vec<AcctRecord>,
    pub passed_over: u64,
    pub runs: Vec<(DateTime<Utc>, String)>,
    pub verdict: String,
    pub lacks: Vec<String>,
}

/// What was pulled, decoded.
struct Pulled {
    raw: Vec<RawRecord>,
    runs: Vec<CronRun>,
    /// The content of the job's own log.
    own: Vec<u8>,
    archives: Option<BackupReading>,
}

/// Asks the host for everything that bears on the window.
pub async fn collect(wish: &Wish<'_>, secrets: &Secrets) -> Result<Found, ActionError> {
    let mut site = Site::new(wish.spec, secrets.clone());
    site.connect().await?;
    let sent_ms = clock::now().utc_ms;
    let accounting = wish.spec.settings.accounting.clone().unwrap_or_else(|| "-".to_owned());
    let own_log = wish.job.marker.as_ref().filter(|marker| marker.log.starts_with('/'));
    let own_log = own_log.map_or_else(|| "-".to_owned(), |marker| marker.log.clone());
    let reply = site.ask(LIST, vec![accounting, wish.from.timestamp().to_string(), own_log]).await?;
    let received_ms = clock::now().utc_ms;
    let host = wish.spec.name.clone();
    let sources = parse(&reply.body).map_err(|error| ActionError::Host { host, why: error.to_string() })?;
    let zone = sources.zone.as_deref().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
    let mut found = Found {
        files: Vec::new(),
        host_key: site.host_key(),
        zone,
        // A clock in whole seconds was half a second further, on average.
        skew_ms: sources.clock_s * 1_000 + 500 - (sent_ms + received_ms) / 2,
        skew_uncertainty_ms: 500 + (received_ms - sent_ms) / 2,
        system: sources.system.clone(),
        records: Vec::new(),
        passed_over: 0,
        runs: Vec::new(),
        verdict: String::new(),
        lacks: sources.denied.iter().map(|path| format!("{path} may not be read by this login")).collect(),
    };
    if sources.zone.as_deref().and_then(|zone| zone.parse::<Tz>().ok()).is_none() {
        found.lacks.push("the host's time zone could not be read: UTC is assumed".to_owned());
    }
    let pulled = pull(&mut site, wish, &sources, &mut found).await?;
    let told = match &wish.job.evidence {
        JobEvidence::Timer { unit } => pull_unit(&mut site, wish, unit, &mut found).await?,
        JobEvidence::CronLog { .. } => Vec::new(),
    };
    judge(wish, pulled, told, &sources, &mut found);
    Ok(found)
}

async fn pull(site: &mut Site, wish: &Wish<'_>, sources: &Sources, found: &mut Found) -> Result<Pulled, ActionError> {
    let (mut raw, mut runs, mut cpu, mut own) = (Vec::new(), Vec::new(), CpuTree::default(), Vec::new());
    let mut known = Known::default();
    for source in &sources.files {
        if PACK_BYTES_MAX < found.files.iter().map(|file| file.bytes.len() as u64).sum::<u64>() + source.size {
            found.lacks.push(format!("{} was left out: a pack holds {PACK_BYTES_MAX} bytes at most", source.path));
            continue;
        }
        let bytes = read(site, source, &mut found.lacks).await?;
        match source.kind {
            Kind::Accounting => {
                let content = unpacked(source, &bytes, &mut found.lacks);
                let mut decoder = Decoder::default();
                let mut push = |bytes: &[u8; RECORD_BYTES], record: AcctRecord| {
                    if known.is_new(bytes, &record) {
                        raw.push(RawRecord { raw: *bytes, record, whole_cpu_ms: cpu.take(&record) });
                    }
                };
                decoder.feed(&content, &mut push);
                decoder.finish(&mut push);
                found.passed_over += decoder.passed_over;
            }
            Kind::Log => {
                runs.extend(runs_in(&unpacked(source, &bytes, &mut found.lacks), found.zone, clock::now().utc()))
            }
            Kind::Own => own.extend(unpacked(source, &bytes, &mut found.lacks)),
            Kind::Table => {}
        }
        found.files.push(Collected { name: source.name(), bytes, source: SafeText::new(&source.path) });
    }
    if sources.journal_only {
        let window = [wish.from, wish.to].map(|at| at.timestamp().to_string()).to_vec();
        let reply = site.ask_within(JOURNAL, window, PIECE_DEADLINE).await?;
        let bytes = reply.parts.get(1).cloned().unwrap_or_default();
        runs.extend(runs_in(&bytes, found.zone, clock::now().utc()));
        found.files.push(Collected { name: "raw/journal-cron.txt".to_owned(), bytes, source: "journalctl".into() });
    }
    let archives = pull_archives(site, wish, found).await?;
    Ok(Pulled { raw, runs, own, archives })
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
    found.files.push(Collected {
        name: "raw/archives.txt".to_owned(),
        bytes,
        source: format!("the listing of {}", set.name).into(),
    });
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
async fn pull_unit(
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
        found.files.push(Collected { name: name.to_owned(), bytes: part(index), source: source.into() });
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
fn unpacked(source: &Source, bytes: &[u8], lacks: &mut Vec<String>) -> Vec<u8> {
    if !source.path.ends_with(".gz") {
        return bytes.to_vec();
    }
    let mut content = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(SOURCE_BYTES_MAX).read_to_end(&mut content);
    if let Err(error) = read {
        lacks.push(format!("{} can't be unpacked to its end: {error}", source.path));
    }
    content
}

/// Joins what was found and says what it proves of the run that was asked about.
fn judge(wish: &Wish<'_>, pulled: Pulled, told: Vec<JobRun>, sources: &Sources, found: &mut Found) {
    let mut history = RunHistory::whole();
    history.restore(
        wish.job.name.as_str(),
        wish.kept.iter().filter_map(KeptRun::run).filter(|run| run.run.at <= wish.to).collect(),
    );
    let Pulled { raw, runs: mut logged, own, archives } = pulled;
    if matches!(wish.job.evidence, JobEvidence::CronLog { .. }) {
        let first = logged.iter().map(|run| run.at).min();
        if first.is_none_or(|first| wish.from < first) {
            let begins = begins(first, "tells of no run");
            found.lacks.push(format!(
                "cron's log as the host has it {begins}: what ran before is known by what was kept alone"
            ));
        }
    }
    logged.retain(|run| run.at <= wish.to);
    logged.sort_by_key(|run| run.at);
    let reading = CronReading { runs: logged, ..CronReading::default() };
    let on_host: Vec<(DateTime<Utc>, u32)> = reading.runs.iter().map(|run| (run.at, run.pid)).collect();
    history.take_runs(wish.job, &reading);
    history.take_told(wish.job, told);
    history.take_records(&AccountingReading { records: raw.clone(), ..AccountingReading::default() }, i64::MAX);
    // What is there now of its own log and its set; that something is missing there proves nothing of an old run.
    let clocks = Clocks { now_ms: clock::now().utc_ms, skew_ms: found.skew_ms };
    history.zone = found.zone;
    (history.known_to_ms, history.timed_to_ms) = (i64::MAX, i64::MAX);
    let mut words = words_in(&own, wish.job, &history, clocks);
    words.retain(|word| wish.from.timestamp_millis() <= word.at_ms && word.at_ms <= wish.to.timestamp_millis());
    history.take_words(wish.job, words, None, clocks.now_ms);
    if let Some(reading) = archives {
        let jobs = std::slice::from_ref(wish.job);
        listening::take_archives(&reading, &mut history, jobs, Clocks { now_ms: 0, ..clocks });
    }
    let first = raw.iter().map(|found| found.record.end_ms()).min().and_then(DateTime::from_timestamp_millis);
    if first.is_none_or(|first| wish.from < first) {
        let begins = begins(first, "has no record");
        found
            .lacks
            .push(format!("accounting {begins}: of the window before that it proves nothing, nor by what it lacks"));
    }
    let ends_ms = raw.iter().map(|found| found.record.end_ms());
    let until = wish.to.min(clock::now().utc());
    for (last_ms, next_ms) in silences(ends_ms, wish.from.timestamp_millis(), until.timestamp_millis()) {
        let [last, next] = [last_ms, next_ms].map(|at_ms| DateTime::from_timestamp_millis(at_ms).unwrap_or_default());
        found.lacks.push(format!(
            "accounting has no record at all between {} and {}: it was off, its records were taken away, or nothing ended;              that a run has none then proves nothing",
            last.format("%Y-%m-%d %H:%M:%S UTC"),
            next.format("%Y-%m-%d %H:%M:%S UTC"),
        ));
    }
    let is_there = sources.files.iter().any(|source| source.kind == Kind::Accounting);
    // Of a past run nothing is still to come.
    history.accounting = Some(Accounting { is_there, fresh_until_ms: i64::MAX, ..Accounting::default() });
    let begun_by = BegunBy::of(&wish.job.evidence);
    let in_window = |at: DateTime<Utc>| wish.from <= at && at <= wish.to;
    let runs: Vec<JobRun> = history.runs(wish.job).to_vec();
    let shown = |at: DateTime<Utc>| at.with_timezone(&found.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let verdict_at = |run: &JobRun| {
        let until: Vec<JobRun> = runs.iter().filter(|other| other.run.at <= run.run.at).cloned().collect();
        let mut then = RunHistory::default();
        then.accounting.clone_from(&history.accounting);
        then.restore(wish.job.name.as_str(), until);
        let verdict = Verdict::of(wish.job, &then, found.zone, wish.to);
        let told = verdict.told(wish.job.accept_ran, &shown(run.run.at), false).1;
        let is_kept_alone = begun_by == BegunBy::Cron && !on_host.contains(&(run.run.at, run.run.pid));
        if is_kept_alone {
            format!("{told}; by what dogwatch kept: cron's log there does not tell of it any more")
        } else {
            told
        }
    };
    let window: Vec<&JobRun> = runs.iter().filter(|run| in_window(run.run.at)).collect();
    let nearest = window.iter().min_by_key(|run| (run.run.at - wish.at).num_milliseconds().abs());
    let verdict = match nearest {
        Some(run) => verdict_at(run),
        None => format!("no evidence: no run of it is known between {} and {}", shown(wish.from), shown(wish.to)),
    };
    let told = window.iter().map(|run| (run.run.at, verdict_at(run))).collect();
    let records = raw.iter().map(|found| found.record);
    found.records = records
        .filter(|record| {
            DateTime::from_timestamp_millis(record.end_ms()).is_some_and(|end| wish.from <= end)
                && record.begin_ms() <= wish.to.timestamp_millis()
        })
        .collect();
    (found.verdict, found.runs) = (verdict, told);
}
