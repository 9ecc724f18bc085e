//! Archives on another host: files travel through two real sshds, and leave only after they were read back there.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::office::*;
use crate::purge::age;
use crate::support::*;

struct Vault {
    office: Office,
    _source: Sshd,
    vault: Sshd,
    logs: PathBuf,
    archive: PathBuf,
}

impl Vault {
    fn new() -> Self {
        let office = Office::new("[rule.none]\nactions = ['*']\napprovals = 0\n");
        let (source, vault) = (Sshd::start(), Sshd::start());
        office.reach_each(&[(&source, "fin1"), (&vault, "vault")]);
        let logs = office.place.mount_tmpfs("logs", "size=60m");
        let archive = office.place.mount_tmpfs("archive", "size=60m");
        Self { office, _source: source, vault, logs, archive }
    }

    fn old(&self, name: &[u8], bytes: &[u8]) -> PathBuf {
        let path = self.logs.join(OsStr::from_bytes(name));
        fs::write(&path, bytes).unwrap();
        age(&path);
        path
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let (from, to) = (self.logs.display(), self.archive.display());
        let (from, to) = (format!("directory={from}"), format!("archive={to}"));
        let words = ["action", "run", "test.away", "fin1", "to=vault", &from, &to, "--confirm", "fin1"];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn run(&self, more: &[&str]) -> (bool, String) {
        let words = self.words(more);
        let output = self.office.run("anna", &words.iter().map(String::as_str).collect::<Vec<_>>());
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Begins a slow run and waits until the first file has arrived.
    fn begun_slowly(&self) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
        let words = self.words(&["rate=1"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child = self.office.command("anna", &words).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("archived 1 of") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended before the first file arrived");
        }
        (child, said)
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(16)).flat_map(|_| dogwatch::adapters::clock::random_u128().to_le_bytes()).take(bytes).collect()
}

#[test]
fn files_of_any_name_and_size_arrive_whole_and_only_then_go() {
    let shop = Vault::new();
    let contents: [(&[u8], Vec<u8>); 5] = [
        (b"large", noise((5 << 20) + 17)),
        (b"exact", noise(2 << 20)),
        (b"empty", Vec::new()),
        (b"-rf", noise(3)),
        (b"two\nlines \xff '$(reboot)", noise(100)),
    ];
    for (name, content) in &contents {
        shop.old(name, content);
    }
    let open = shop.logs.join("app.log");
    let mut writer = fs::OpenOptions::new().create(true).append(true).open(&open).unwrap();
    writer.write_all(&noise(1 << 20)).unwrap();
    let (succeeded, said) = shop.run(&["open=truncate"]);
    assert!(succeeded && said.contains("6 of 6 files purged"), "{said}");
    assert!(said.contains("archives 6 files") && said.contains("to vault:"), "{said}");
    assert_eq!(fs::read_dir(&shop.logs).unwrap().count(), 1);
    assert_eq!(fs::metadata(&open).unwrap().len(), 0);
    let archive = fs::read_dir(&shop.archive).unwrap().next().unwrap().unwrap().path();
    let manifest = fs::read_to_string(archive.join("manifest")).unwrap();
    assert_eq!(manifest.lines().count(), 6);
    let unpacked: Vec<Vec<u8>> = (1..=5)
        .map(|number| {
            let copy = archive.join(format!("{number}.gz"));
            std::process::Command::new("gzip").arg("-dc").arg(copy).output().unwrap().stdout
        })
        .collect();
    assert!(contents.iter().all(|(_, content)| unpacked.contains(content)));
}

#[test]
fn a_link_to_the_archive_that_is_cut_on_the_way_deletes_nothing() {
    let mut shop = Vault::new();
    let files: Vec<PathBuf> = (0..4).map(|number| shop.old(format!("f{number}").as_bytes(), &noise(1 << 20))).collect();
    let (mut child, said) = shop.begun_slowly();
    shop.vault.cut();
    let said: Vec<String> = said.lines().map(Result::unwrap).collect();
    assert!(!child.wait().unwrap().success());
    let said = said.join("\n");
    assert!(said.contains("✖ failed: nothing was deleted: fin1: vault: "), "{said}");
    assert!(files.iter().all(|file| file.exists()));
}

#[test]
fn a_console_that_dies_on_the_way_deletes_nothing_and_that_is_found_out() {
    let shop = Vault::new();
    own_syslog();
    let files: Vec<PathBuf> = (0..4).map(|number| shop.old(format!("f{number}").as_bytes(), &noise(1 << 20))).collect();
    let (mut child, _said) = shop.begun_slowly();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = shop.office.succeeds("anna", &["action", "reconcile"]);
    assert!(said.contains("✖") && said.contains("the host never began it, and can't any more"), "{said}");
    assert!(files.iter().all(|file| file.exists()));
}

#[test]
fn a_file_that_changes_on_the_way_deletes_nothing() {
    let shop = Vault::new();
    let files: Vec<PathBuf> = (0..4).map(|number| shop.old(format!("f{number}").as_bytes(), &noise(1 << 20))).collect();
    let (mut child, said) = shop.begun_slowly();
    fs::write(&files[3], "written anew").unwrap();
    let said: Vec<String> = said.lines().map(Result::unwrap).collect();
    assert!(!child.wait().unwrap().success());
    assert!(
        said.join("\n").contains("fin1: f3: it changed since it was planned; a partial archive may be at vault:"),
        "{said:?}"
    );
    assert!(files.iter().all(|file| file.exists()));
}

#[test]
fn an_archive_on_the_host_itself_or_on_one_that_is_not_watched_is_refused() {
    let shop = Vault::new();
    shop.old(b"old", b"old");
    let directory = format!("directory={}", shop.logs.display());
    let archive = format!("archive={}", shop.archive.display());
    for (to, expected) in [("to=fin1", "is to go to another host"), ("to=nobody", "no host is named nobody")] {
        let said = shop.office.fails("anna", &["action", "plan", "test.away", "fin1", to, &directory, &archive]);
        assert!(said.contains(expected), "{said}");
    }
}
