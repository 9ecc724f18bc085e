//! The parts of a poll that run for every host: splitting its output, and reading it.

use divan::Bencher;
use dogwatch::domain::probe::script::{END_STATUS, Nonce, Section, compose, split};
use dogwatch::domain::probe::{disk, host};
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
    bencher.counter(divan::counter::BytesCount::new(output.len())).bench(|| split(&output, &nonce, SECTIONS.len()));
}

#[divan::bench]
fn read_a_host_and_its_disks(bencher: Bencher) {
    let nonce = Nonce::new(1);
    let output = output(&nonce);
    let answers = split(&output, &nonce, SECTIONS.len());
    let bodies: Vec<&[u8]> = answers.sections.iter().flatten().map(|answer| answer.body).collect();
    bencher.bench(|| (host::parse(bodies[0]), disk::parse(bodies[1])));
}
