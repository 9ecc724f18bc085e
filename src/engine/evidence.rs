//! Collecting an evidence pack: the raw bytes of each source, what they decode to, and the verdict that they carry.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::action::ActionError;
use super::action::site::Site;
use super::evidence_pull::{Pulled, pull, pull_unit};
use super::ran::begins;
use crate::adapters::clock;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::fleet::HostSpec;
use crate::domain::probe::accounting::AccountingReading;
use crate::domain::probe::cron::{CronReading, Told};
use crate::domain::proof::acct::AcctRecord;
use crate::domain::proof::coverage::{Accounting, silences};
use crate::domain::proof::evidence::KeptRun;
use crate::domain::proof::history::RunHistory;
use crate::domain::proof::listening::{self, Clocks, words_in};
use crate::domain::proof::run::JobRun;
use crate::domain::proof::sources::{Kind, LIST, Sources, parse};
use crate::domain::proof::still::BegunBy;
use crate::domain::proof::verdict::Verdict;
use crate::domain::proof::word::Word;
use crate::domain::settings::{JobEvidence, JobSpec};
use crate::domain::text::SafeText;

/// Runs that bear on the verdict of the one after them.
const RUNS_BEFORE: usize = 60;

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

/// Asks the host for everything that bears on the window.
pub async fn collect(wish: &Wish<'_>, secrets: &Secrets) -> Result<Found, ActionError> {
    let mut site = Site::new(wish.spec, secrets.clone());
    site.connect().await?;
    let sent_ms = clock::now().utc_ms;
    let accounting = wish.spec.settings.accounting.clone().unwrap_or_else(|| "-".to_owned());
    let own_log = wish.job.marker.as_ref().filter(|marker| marker.log.starts_with('/'));
    let own_log = own_log.map_or("-", |marker| marker.log.as_str());
    let is_pattern = own_log.contains(['*', '?', '[']);
    let own_log = if is_pattern { "-" } else { own_log }.to_owned();
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
    if is_pattern {
        found.lacks.push("its own log is a pattern of names: none of them is in the pack".to_owned());
    }
    let pulled = pull(&mut site, wish, &sources, &mut found).await?;
    let told = match &wish.job.evidence {
        JobEvidence::Timer { unit } => pull_unit(&mut site, wish, unit, &mut found).await?,
        JobEvidence::CronLog { .. } => Vec::new(),
    };
    judge(wish, pulled, told, &sources, &mut found);
    Ok(found)
}

impl Found {
    /// Puts bytes under a name of their own: two paths may become one.
    pub(super) fn put(&mut self, name: String, bytes: Vec<u8>, source: SafeText) {
        let is_taken = |name: &str| self.files.iter().any(|file| file.name == name);
        let others = (2..).map(|count| format!("{name}-{count}"));
        let name = std::iter::once(name.clone()).chain(others).find(|name| !is_taken(name)).unwrap_or(name);
        self.files.push(Collected { name, bytes, source });
    }
}

/// Joins what was found and says what it proves of the run that was asked about.
fn judge(wish: &Wish<'_>, pulled: Pulled, told: Vec<JobRun>, sources: &Sources, found: &mut Found) {
    let mut history = RunHistory::whole();
    history.restore(
        wish.job.name.as_str(),
        wish.kept.iter().filter_map(KeptRun::run).filter(|run| run.run.at <= wish.to).collect(),
    );
    let Pulled { raw, first_end_ms, runs: mut logged, ends_s, own, archives } = pulled;
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
    let on_host = Told::of(&reading.runs);
    history.take_runs(wish.job, &reading);
    history.take_told(wish.job, told);
    let users = sources.users.clone();
    let reading = AccountingReading { records: raw, users, ..AccountingReading::default() };
    history.take_records(&reading, i64::MAX);
    let raw = reading.records;
    // What is there now of its own log and its set; that something is missing there proves nothing of an old run.
    let clocks = Clocks { now_ms: clock::now().utc_ms, skew_ms: found.skew_ms };
    history.zone = found.zone;
    (history.log.known_to_ms, history.timed_to_ms) = (i64::MAX, i64::MAX);
    let mut words: Vec<Word> = own.iter().flat_map(|file| words_in(file, wish.job, &history, clocks)).collect();
    words.sort_by_key(|word| word.at_ms);
    words.retain(|word| wish.from.timestamp_millis() <= word.at_ms && word.at_ms <= wish.to.timestamp_millis());
    history.take_words(wish.job, words, None, clocks.now_ms);
    if let Some(reading) = archives {
        let jobs = std::slice::from_ref(wish.job);
        listening::take_archives(&reading, &mut history, jobs, Clocks { now_ms: 0, ..clocks });
    }
    let first = first_end_ms.and_then(DateTime::from_timestamp_millis);
    if first.is_none_or(|first| wish.from < first) {
        let begins = begins(first, "has no record");
        found
            .lacks
            .push(format!("accounting {begins}: of the window before that it proves nothing, nor by what it lacks"));
    }
    if let Some(ends_s) = ends_s {
        let ends_ms = ends_s.into_iter().map(|end_s| i64::from(end_s) * 1_000).chain(first_end_ms);
        let until = wish.to.min(clock::now().utc()).timestamp_millis();
        let silent = silences(ends_ms, wish.from.timestamp_millis(), until).into_iter();
        found.lacks.extend(silent.map(|(last_ms, next_ms)| {
            let shown = |at_ms| DateTime::from_timestamp_millis(at_ms).unwrap_or_default().format("%Y-%m-%d %H:%M:%S UTC");
            format!(
                "accounting has no record at all between {} and {}: it was off, its records were taken away, or nothing ended; that a run has none then proves nothing",
                shown(last_ms),
                shown(next_ms)
            )
        }));
    }
    let is_there = sources.files.iter().any(|source| source.kind == Kind::Accounting);
    // Of a past run nothing is still to come.
    history.accounting = Some(Accounting { is_there, fresh_until_ms: i64::MAX, ..Accounting::default() });
    let begun_by = BegunBy::of(&wish.job.evidence);
    let in_window = |at: DateTime<Utc>| wish.from <= at && at <= wish.to;
    let runs: Vec<JobRun> = history.runs(wish.job).to_vec();
    let shown = |at: DateTime<Utc>| at.with_timezone(&found.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    // What was still to come at the window's end has come by now.
    let now = wish.to.max(clock::now().utc());
    let verdict_at = |run: &JobRun| {
        let end = runs.partition_point(|other| other.run.at <= run.run.at);
        let until = runs[end.saturating_sub(RUNS_BEFORE)..end].to_vec();
        let mut then = RunHistory::default();
        then.accounting.clone_from(&history.accounting);
        then.restore(wish.job.name.as_str(), until);
        let verdict = Verdict::of(wish.job, &then, found.zone, now);
        let told = verdict.told(wish.job.accept_ran, &shown(run.run.at), false).1;
        let is_kept_alone = begun_by == BegunBy::Cron && !on_host.has(run.run.at, run.run.pid);
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
