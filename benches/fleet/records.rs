//! A million records, and ten million, as polls bring them, beside dump-acct on the same file: CPU, and peak memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::DateTime;
use dogwatch::domain::action::objects::RemoteBytes;
use dogwatch::domain::fleet::ItemName;
use dogwatch::domain::probe::accounting::{AcctCursor, AcctMemory, BYTES_MAX, parse};
use dogwatch::domain::probe::cron::{CronReading, CronRun};
use dogwatch::domain::probe::script::Answer;
use dogwatch::domain::proof::acct::{AcctRecord, write};
use dogwatch::domain::proof::history::RunHistory;
use dogwatch::domain::settings::{Expectation, HOUR, JobEvidence, JobSpec};
use rustix::process::getpid;

const MILLION: u32 = 1_000_000;
const JOBS: u32 = 10;
const FIRST_S: u32 = 1_790_000_000;
/// The goals: CPU for a million, and memory of the whole process whatever the file's length.
const CPU_MAX: Duration = Duration::from_millis(500);
const PEAK_MB_MAX: f64 = 64.0;
/// Ten million may take so many times as long as a million.
const RATIO_MAX: f64 = 12.0;

pub fn measure() -> io::Result<()> {
    let place = std::env::temp_dir().join(format!("records-{}", getpid().as_raw_nonzero()));
    std::fs::create_dir_all(&place)?;
    let small = file(&place, MILLION)?;
    let (cpu, found) = read(&small, MILLION)?;
    let rival = dump_acct(&small)?;
    let peak_mb = peak_mb()?;
    println!("1,000,000 records read, decoded, own told apart, joined with {found} runs of ten jobs: {cpu:.2?} of CPU");
    println!("dump-acct on the same file, its output to nowhere: {rival:.2?} of CPU");
    println!("peak memory of this process: {peak_mb:.1} MB");
    let large = file(&place, 10 * MILLION)?;
    let (cpu_of_ten, _) = read(&large, 10 * MILLION)?;
    let peak_of_ten_mb = self::peak_mb()?;
    println!("10,000,000 records: {cpu_of_ten:.2?} of CPU, peak memory {peak_of_ten_mb:.1} MB");
    std::fs::remove_dir_all(&place)?;
    let ratio = cpu_of_ten.as_secs_f64() / cpu.as_secs_f64();
    let goals = [
        (cpu <= CPU_MAX, format!("a million within {CPU_MAX:?}")),
        (cpu < rival, "ahead of dump-acct".to_owned()),
        (found == JOBS as usize, "each job's run found".to_owned()),
        (peak_of_ten_mb <= PEAK_MB_MAX, format!("within {PEAK_MB_MAX} MB")),
        (
            ratio <= RATIO_MAX,
            format!("linear: ten million within {RATIO_MAX} times a million's, and took {ratio:.1} times"),
        ),
    ];
    goals.iter().for_each(|(is_met, goal)| println!("{} {goal}", if *is_met { "met:" } else { "MISSED:" }));
    if goals.iter().all(|(is_met, _)| *is_met) { Ok(()) } else { Err(io::Error::other("a goal was missed")) }
}

/// A file of records, as a busy host writes it: 50 processes a second, of 500 parents.
fn file(place: &Path, records: u32) -> io::Result<PathBuf> {
    let path = place.join(format!("pacct-{records}"));
    let mut out = BufWriter::new(File::create(&path)?);
    for number in 0..records {
        let mut comm = [0; 16];
        comm[..2].copy_from_slice(b"sh");
        let record = AcctRecord {
            version: 3,
            pid: pid(number),
            ppid: 40_000 + number % 500,
            begin_s: FIRST_S + number / 50,
            elapsed_ms: 10,
            user_ms: 10,
            comm,
            ..AcctRecord::default()
        };
        out.write_all(&write(&record))?;
    }
    out.flush()?;
    Ok(path)
}

fn pid(number: u32) -> u32 {
    2 + number % 32_000
}

fn job(number: u32) -> Option<JobSpec> {
    Some(JobSpec {
        name: ItemName::parse(&format!("job{number}")).ok()?,
        expectation: Expectation::Every(24 * HOUR),
        grace: HOUR,
        evidence: JobEvidence::CronLog { command: format!("job{number}!"), user: None },
        accept_ran: false,
        usual: None,
        gives_up: None,
        marker: None,
        leaves: None,
    })
}

/// Reads a file through the probe's own parser, piece by piece; the CPU of it, and how many runs were found.
fn read(path: &Path, records: u32) -> io::Result<(Duration, usize)> {
    let jobs: Vec<JobSpec> = (0..JOBS).filter_map(job).collect();
    let run = |number: u32| {
        let nth = records / JOBS * number + records / JOBS / 2;
        CronRun {
            at: DateTime::from_timestamp(i64::from(FIRST_S + nth / 50), 0).unwrap_or_default(),
            user: "root".into(),
            command: format!("job{number}!").into(),
            pid: pid(nth),
            failed_with: None,
            line: RemoteBytes::default(),
        }
    };
    let reading = CronReading { runs: (0..JOBS).map(run).collect(), ..CronReading::default() };
    let mut history = RunHistory::default();
    jobs.iter().for_each(|job| history.take_runs(job, &reading));
    let (mut file, size) = (File::open(path)?, std::fs::metadata(path)?.len());
    let now_s = i64::from(FIRST_S + records / 50 + 60);
    let (mut cursor, mut memory) = (AcctCursor::default(), AcctMemory::default());
    let mut piece = Vec::with_capacity(BYTES_MAX as usize);
    let before = cpu(false)?;
    loop {
        let parameters = cursor.parameters(&memory, None);
        let from: u64 = parameters[2].parse().unwrap_or(0);
        piece.clear();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(BYTES_MAX).read_to_end(&mut piece)?;
        let mut head = format!("k 4 2 30\ns 39000 39001\np /pacct\na 7 {size} {now_s} /pacct\n");
        if parameters[1] == "7" {
            head += &format!("c 7 {from}\n");
        }
        let parts = vec![head.as_bytes(), piece.as_slice()];
        let answer = Answer { body: b"", parts, status: 0 };
        let reading = parse(&answer, &mut cursor, &mut memory, now_s).map_err(io::Error::other)?;
        history.take_records(&reading, i64::MAX);
        if parameters[1] == "7" && reading.behind_bytes == 0 {
            break;
        }
    }
    let spent = cpu(false)? - before;
    let found = history.by_job().flat_map(|(_, runs)| runs).filter(|run| run.proof.is_some()).count();
    Ok((spent, found))
}

fn dump_acct(path: &Path) -> io::Result<Duration> {
    let before = cpu(true)?;
    let status = Command::new("dump-acct").arg(path).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other("dump-acct failed"));
    }
    Ok(cpu(true)? - before)
}

/// CPU of this process, or of its children that ended, by /proc/self/stat in ticks of a hundredth of a second.
fn cpu(of_children: bool) -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let first = if of_children { 13 } else { 11 };
    let ticks: u64 = fields.iter().skip(first).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn peak_mb() -> io::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::MAX);
    Ok(kib / 1_024.0)
}
