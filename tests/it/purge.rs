//! Archive and purge, on a real sshd and small file systems, with whatever may be swapped under it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::busybox::BusyBox;
use crate::central::Rsyslog;
use crate::office::*;
use crate::support::*;

/// A host with logs on one small file system and room for an archive on another.
struct Shop {
    office: Office,
    _sshd: Sshd,
    logs: PathBuf,
    archive: PathBuf,
}

impl Shop {
    fn new(policy: &str, size: &str) -> Self {
        let office = Office::new(policy);
        let sshd = Sshd::start();
        office.reach(&sshd, "fin1");
        let logs = office.place.mount_tmpfs("logs", &format!("size={size}"));
        let archive = office.place.mount_tmpfs("archive", "size=100m");
        Self { office, _sshd: sshd, logs, archive }
    }

    /// Without anybody's consent: what is tested is the purge.
    fn alone() -> Self {
        Self::new("[rule.none]\nactions = ['*']\napprovals = 0\n", "60m")
    }

    fn old(&self, name: &OsStr, bytes: &[u8]) -> PathBuf {
        let path = self.logs.join(name);
        fs::write(&path, bytes).unwrap();
        age(&path);
        path
    }

    fn wish(&self, more: &[&str]) -> Vec<String> {
        let directory = format!("directory={}", self.logs.display());
        let archive = format!("archive={}", self.archive.display());
        let fixed = ["test.purge", "fin1", &directory, &archive];
        fixed.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn words<'a>(before: &[&'a str], wish: &'a [String], after: &[&'a str]) -> Vec<&'a str> {
        before.iter().copied().chain(wish.iter().map(String::as_str)).chain(after.iter().copied()).collect()
    }

    fn run(&self, more: &[&str]) -> (bool, String) {
        let wish = self.wish(more);
        let output = self.office.run("anna", &Self::words(&["action", "run"], &wish, &["--confirm", "fin1"]));
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Proposed by anna and agreed to by bert; not yet carried out.
    fn agreed(&self, more: &[&str]) -> String {
        let wish = self.wish(more);
        let request = self.office.proposed("anna", &Self::words(&[], &wish, &[]));
        self.office.agrees("bert", &request);
        request
    }

    fn carry_out(&self, request: &str) -> (bool, String) {
        let output = self.office.run("anna", &["action", "run", "--request", request, "--confirm", "fin1"]);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// What the only archive holds, unpacked, in the order of its manifest.
    fn archived(&self) -> Vec<Vec<u8>> {
        let mut archives = fs::read_dir(&self.archive).unwrap().map(|entry| entry.unwrap().path());
        let archive = archives.next().unwrap();
        assert_eq!(archives.next(), None);
        let manifest = fs::read_to_string(archive.join("manifest")).unwrap();
        let copy = |line: &str| line.split(' ').nth(2).unwrap().to_owned();
        let unpacked = |name: String| {
            let output = std::process::Command::new("gzip").arg("-dc").arg(archive.join(name)).output().unwrap();
            output.stdout
        };
        manifest.lines().map(copy).map(unpacked).collect()
    }
}

pub fn age(path: &Path) {
    assert!(std::process::Command::new("touch").args(["-d", "3 days ago", "--"]).arg(path).status().unwrap().success());
}

#[test]
fn fifty_megabytes_are_archived_and_purged_and_three_places_agree() {
    own_syslog();
    let mut central = Rsyslog::over_tls();
    let shop = Shop::new(&central.policy(), "60m");
    for number in 0..50 {
        let mut content = vec![b'x'; 1 << 20];
        write!(&mut content[..], "log {number}").unwrap();
        shop.old(OsStr::new(&format!("app.log.{number}")), &content);
    }
    let young = shop.logs.join("app.log");
    fs::write(&young, "still written").unwrap();
    let used = || {
        let percent = run("df", &["--output=pcent", shop.logs.to_str().unwrap()]);
        percent.lines().last().unwrap().trim().trim_end_matches('%').parse::<u32>().unwrap()
    };
    assert!(80 < used());
    let request = shop.agreed(&[]);
    let (succeeded, said) = shop.carry_out(&request);
    assert!(succeeded, "{said}");
    assert!(said.contains("archived 50 files to") && said.contains("50 of 50 files purged"), "{said}");
    assert!(said.contains("fin1: ● done: 50 of 50 files are gone; 1% of the file system used now"), "{said}");
    assert!(used() < 5 && young.exists());
    let archived = shop.archived();
    assert!(archived.len() == 50 && archived.iter().all(|content| content.len() == 1 << 20));
    let line = said.lines().find(|line| line.contains("fin1: begins, ")).unwrap();
    let intent = line.split("begins, ").nth(1).unwrap();
    let own_log = || fs::read_to_string("/var/log/auth.log").unwrap_or_default();
    let deadline = std::time::Instant::now() + GUARD;
    while !own_log().contains(&format!("action {intent} ends: exit 0")) {
        assert!(std::time::Instant::now() < deadline, "the host's own log does not show {intent}");
    }
    central.stop();
    assert!(central.lines().iter().any(|line| line.contains(&format!(" audit {intent} "))));
    shop.office.succeeds("anna", &["audit", "verify", "--heads", &central.file()]);
    let said = shop.office.succeeds("anna", &["audit", "reconcile", "--own-logs", "--central", &central.file()]);
    assert!(said.contains("in the central log and in the own logs of 1 hosts"), "{said}");
    let audit = shop.office.succeeds("anna", &["audit", "log", "--id", intent]);
    assert!(audit.contains("(50 objects, 52428800 bytes)"), "{audit}");
}

#[test]
fn names_that_would_be_read_as_something_else_are_names() {
    let shop = Shop::alone();
    let outside = shop.office.place.write("outside", "untouched");
    let names: [&[u8]; 12] = [
        b"-rf",
        b"--checkpoint-action=exec=sh x",
        b"two\nlines",
        b"*",
        b"?",
        b"a b",
        b"'\"$(reboot)`",
        b"\xff\xfe",
        b"\\0101",
        b".hidden",
        b"%s",
        b" ",
    ];
    for name in names {
        shop.old(OsStr::from_bytes(name), name);
    }
    let (succeeded, said) = shop.run(&["match=[*]"]);
    assert!(succeeded && said.contains("1 of 1 files purged"), "{said}");
    assert!(!shop.logs.join("*").exists() && shop.logs.join("?").exists());
    fs::remove_dir_all(fs::read_dir(&shop.archive).unwrap().next().unwrap().unwrap().path()).unwrap();
    let (succeeded, said) = shop.run(&[]);
    assert!(succeeded && said.contains("11 of 11 files purged"), "{said}");
    let mut archived = shop.archived();
    archived.sort();
    let mut expected: Vec<Vec<u8>> = names.iter().filter(|name| **name != b"*").map(|name| name.to_vec()).collect();
    expected.sort();
    assert_eq!(archived, expected);
    assert_eq!(fs::read_dir(&shop.logs).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(outside).unwrap(), "untouched");
}

#[test]
fn what_is_swapped_for_a_link_between_plan_and_run_voids_the_plan_and_what_comes_later_stays() {
    let shop = Shop::new("", "60m");
    let outside = shop.office.place.write("outside", "untouched");
    for name in ["one", "two"] {
        shop.old(OsStr::new(name), b"old");
    }
    let request = shop.agreed(&[]);
    fs::remove_file(shop.logs.join("one")).unwrap();
    symlink(&outside, shop.logs.join("one")).unwrap();
    let (succeeded, said) = shop.carry_out(&request);
    assert!(!succeeded && said.contains("another plan: the files on fin1"), "{said}");
    assert!(shop.logs.join("two").exists() && outside.exists());
    fs::remove_file(shop.logs.join("one")).unwrap();
    // A new request: what comes after it, however old it looks, is none of it.
    let request = shop.agreed(&[]);
    let later = shop.old(OsStr::new("later"), b"later");
    let (succeeded, said) = shop.carry_out(&request);
    assert!(succeeded && said.contains("1 of 1 files purged"), "{said}");
    assert!(later.exists() && !shop.logs.join("two").exists());
    assert_eq!(fs::read_to_string(outside).unwrap(), "untouched");
}

#[test]
fn a_parent_swapped_for_a_link_leads_nowhere() {
    let shop = Shop::new("", "60m");
    let inner = shop.logs.join("app");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("one"), "old").unwrap();
    age(&inner.join("one"));
    let directory = format!("directory={}", inner.display());
    let archive = format!("archive={}", shop.archive.display());
    let request = shop.office.proposed("anna", &["test.purge", "fin1", &directory, &archive]);
    shop.office.agrees("bert", &request);
    let elsewhere = shop.logs.join("elsewhere");
    fs::rename(&inner, shop.logs.join("moved")).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(shop.logs.join("moved/one"), elsewhere.join("one")).unwrap();
    symlink(&elsewhere, &inner).unwrap();
    let (succeeded, said) = shop.carry_out(&request);
    assert!(!succeeded && said.contains("leads through a symbolic link"), "{said}");
    fs::remove_file(&inner).unwrap();
    fs::rename(&elsewhere, &inner).unwrap();
    let (succeeded, said) = shop.carry_out(&request);
    assert!(!succeeded && said.contains("another plan: the directory on fin1, the files on fin1"), "{said}");
    assert!(inner.join("one").exists() && shop.logs.join("moved/one").exists());
}

#[test]
fn a_second_name_an_open_file_and_a_young_one_stay_and_are_told() {
    let shop = Shop::alone();
    let kept = shop.old(OsStr::new("linked"), b"old");
    fs::hard_link(&kept, shop.office.place.path("logs/other-name")).unwrap();
    let open = shop.old(OsStr::new("open"), b"old");
    let _held = fs::File::open(&open).unwrap();
    let young = shop.logs.join("young");
    fs::write(&young, "new").unwrap();
    symlink("/etc/passwd", shop.logs.join("link")).unwrap();
    fs::create_dir(shop.logs.join("directory")).unwrap();
    shop.old(OsStr::new("goes"), b"old");
    let (succeeded, said) = shop.run(&[]);
    assert!(succeeded && said.contains("1 of 1 files purged"), "{said}");
    assert!(
        said.contains("linked stays: it has 2 names") && said.contains("open stays: some process has it open"),
        "{said}"
    );
    assert!(kept.exists() && open.exists() && young.exists() && !shop.logs.join("goes").exists());
    assert!(fs::symlink_metadata(shop.logs.join("link")).is_ok());
}

#[test]
fn an_open_file_is_archived_and_truncated_and_its_writer_goes_on() {
    let shop = Shop::alone();
    let open = shop.logs.join("app.log");
    let mut writer = fs::OpenOptions::new().create(true).append(true).open(&open).unwrap();
    writer.write_all(&vec![b'x'; 10 << 20]).unwrap();
    let (succeeded, said) = shop.run(&["open=truncate"]);
    assert!(succeeded && said.contains("is open and is truncated: what is written between"), "{said}");
    assert!(said.contains("1 of 1 files purged"), "{said}");
    writer.write_all(b"after").unwrap();
    assert_eq!(fs::read_to_string(&open).unwrap(), "after");
    assert_eq!(shop.archived()[0].len(), 10 << 20);
}

#[test]
fn without_room_for_the_archive_nothing_is_deleted() {
    let shop = Shop::alone();
    let noise: Vec<u8> = (0..8 << 20).map(|_| dogwatch::adapters::clock::random_u128() as u8).collect();
    let old = shop.old(OsStr::new("old"), &noise);
    let small = shop.office.place.mount_tmpfs("small", "size=2m");
    let directory = format!("directory={}", shop.logs.display());
    for (archive, expected) in [
        (small.clone(), "has room for"),
        (shop.logs.join("sub"), "lie on the same file system"),
        (shop.office.place.path("absent"), "is no directory"),
    ] {
        fs::create_dir_all(shop.logs.join("sub")).unwrap();
        let archive = format!("archive={}", archive.display());
        let said = shop.office.fails("anna", &["action", "plan", "test.purge", "fin1", &directory, &archive]);
        assert!(said.contains(expected), "{said}");
    }
    // There was room when it was planned: the archive's own disk fills while it is written.
    let request_shop = Shop::new("", "60m");
    let old_too = request_shop.old(OsStr::new("old"), &noise);
    let request = request_shop.agreed(&[]);
    let _ = fs::write(request_shop.archive.join("filler"), vec![0; 99 << 20]);
    let (succeeded, said) = request_shop.carry_out(&request);
    assert!(!succeeded && (said.contains("has room for") || said.contains("nothing was deleted")), "{said}");
    assert!(old.exists() && old_too.exists());
}

#[test]
fn more_files_than_the_limit_are_refused() {
    let shop = Shop::alone();
    for number in 0..51 {
        shop.old(OsStr::new(&format!("f{number}")), b"old");
    }
    let wish = shop.wish(&[]);
    let said = shop.office.fails("anna", &Shop::words(&["action", "plan"], &wish, &[]));
    assert!(said.contains("51 files at once; 50 are the most"), "{said}");
}

#[test]
fn a_host_of_busybox_alone_runs_purges_and_is_found_out_all_the_same() {
    let office = Office::new("[rule.none]\nactions = ['*']\napprovals = 0\n");
    let host = BusyBox::start();
    let key = host.place.path("user").to_str().unwrap().to_owned();
    office.reach_by(&key, "fin1", |own| host.ssh_config("fin1", own));
    for name in ["run/dw", "run/dw/logs", "run/dw/archive"] {
        fs::create_dir_all(host.root.join(name)).unwrap();
    }
    for name in ["logs", "archive"] {
        run(
            "mount",
            &["-t", "tmpfs", "-o", "size=20m", "tmpfs", host.root.join("run/dw").join(name).to_str().unwrap()],
        );
    }
    let logs = host.root.join("run/dw/logs");
    let names: [&[u8]; 4] = [b"app.log.1", b"-rf", b"two\nlines", b"a 'b' *"];
    for name in names {
        let path = logs.join(OsStr::from_bytes(name));
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        age(&path);
    }
    let open = logs.join("app.log");
    let mut writer = fs::OpenOptions::new().create(true).append(true).open(&open).unwrap();
    writer.write_all(&vec![b'y'; 1 << 20]).unwrap();
    let wish =
        ["action", "run", "test.purge", "fin1", "directory=/run/dw/logs", "archive=/run/dw/archive", "open=truncate"];
    let said = office.succeeds("anna", &[&wish[..], &["--confirm", "fin1"]].concat());
    assert!(said.contains("5 of 5 files purged") && said.contains("● done: 5 of 5 files are gone"), "{said}");
    assert!(names.iter().all(|name| !logs.join(OsStr::from_bytes(name)).exists()));
    assert_eq!(fs::metadata(&open).unwrap().len(), 0);
    assert!(!host.root.join("run/dogwatch").exists(), "something stayed on the host");
    let failed = office.fails("anna", &["action", "run", "test.fail", "fin1", "--confirm", "fin1"]);
    assert!(failed.contains("fin1: all is well") && failed.contains("✖ failed"), "{failed}");
}
