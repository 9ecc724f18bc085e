//! The parts of a poll that run for every host: splitting its output, and reading it.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use dogwatch::domain::action::objects::RemoteBytes;
use dogwatch::domain::probe::accounting::RawRecord;
use dogwatch::domain::probe::cron::CronRun;
use dogwatch::domain::probe::script::{END_STATUS, Nonce, Section, compose, split};
use dogwatch::domain::probe::{disk, host};
use dogwatch::domain::proof::acct::{AcctRecord, Decoder, write};
use dogwatch::domain::proof::cpu::CpuTree;
use dogwatch::domain::proof::join::find;
use dogwatch::domain::proof::own::OwnTree;
use std::io::Write;
use std::process::{Command, Stdio};

fn main() {
    divan::main();
}

const SECTIONS: [&str; 2] = [host::SCRIPT, disk::SCRIPT];

fn sections() -> Vec<Section> {
    SECTIONS.map(|script| Section { script, parameters: Vec::new() }).to_vec()
}

/// What this machine answers.
fn output(nonce: &Nonce) -> Vec<u8> {
    let mut shell = Command::new("/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("/bin/sh");
    shell.stdin.take().expect("a pipe").write_all(compose(nonce, &sections()).as_bytes()).expect("the script is sent");
    let output = shell.wait_with_output().expect("the shell ends");
    assert_eq!(output.status.code(), Some(END_STATUS));
    output.stdout
}

#[divan::bench]
fn compose_a_script(bencher: Bencher) {
    let (nonce, sections) = (Nonce::new(1), sections());
    bencher.bench(|| compose(&nonce, &sections));
}

#[divan::bench]
fn split_an_answer(bencher: Bencher) {
    let nonce = Nonce::new(1);
    let output = output(&nonce);
    bencher.counter(BytesCount::new(output.len())).bench(|| split(&output, &nonce, SECTIONS.len()));
}

#[divan::bench]
fn read_a_host_and_its_disks(bencher: Bencher) {
    let nonce = Nonce::new(1);
    let output = output(&nonce);
    let answers = split(&output, &nonce, SECTIONS.len());
    let bodies: Vec<&[u8]> = answers.sections.iter().flatten().map(|answer| answer.body).collect();
    bencher.bench(|| (host::parse(bodies[0]), disk::parse(bodies[1])));
}

const RECORDS: u32 = 1_000_000;
/// What one poll brings.
const PIECE_BYTES: usize = 256 << 10;

/// A file of accounting records, as a busy host writes it.
fn accounting() -> Vec<u8> {
    let record = |number: u32| AcctRecord {
        version: 3,
        pid: 2 + number % 32_000,
        ppid: 1 + number % 500,
        begin_s: 1_790_000_000 + number / 50,
        elapsed_ms: 10,
        comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ..AcctRecord::default()
    };
    (0..RECORDS).flat_map(|number| write(&record(number))).collect()
}

/// A million records, in the pieces that polls bring: decoded, our own told apart, and joined with the runs of ten jobs.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn decode_and_join_a_million_records(bencher: Bencher) {
    let file = accounting();
    let run = |number: u32| CronRun {
        at: chrono::DateTime::from_timestamp(1_790_000_000 + i64::from(number) * 1_900, 0).unwrap_or_default(),
        user: "root".into(),
        command: "job".into(),
        pid: 2 + number * 3_000,
        failed_with: None,
        line: RemoteBytes::default(),
    };
    let runs: Vec<CronRun> = (0..10).map(run).collect();
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let (mut decoder, mut own, mut cpu, mut found) =
            (Decoder::default(), OwnTree::default(), CpuTree::default(), 0);
        own.learn(400, 900);
        for piece in file.chunks(PIECE_BYTES) {
            let mut records: Vec<RawRecord> = Vec::with_capacity(PIECE_BYTES / 64);
            decoder.feed(piece, |raw, record| {
                records.push(RawRecord { raw: *raw, record, whole_cpu_ms: cpu.take(&record) })
            });
            let plain: Vec<AcctRecord> = records.iter().map(|found| found.record).collect();
            let marks = own.mark(&plain);
            found += marks.iter().filter(|is_own| !**is_own).count();
            found += runs.iter().filter(|run| find(run, records.iter(), None).is_some()).count();
        }
        found
    });
}
