//! The built-in actions on real parts, each against what it is for.

use std::fs;
use std::process::{Command, Stdio};

use crate::office::*;
use crate::support::*;

/// Anna may do everything alone; what is tested is what is done.
fn alone() -> (Office, Sshd) {
    let office = Office::new("[rule.none]\nactions = ['*']\napprovals = 0\n");
    let sshd = Sshd::start();
    office.reach(&sshd, "web1");
    (office, sshd)
}

fn run_action(office: &Office, words: &[&str]) -> (bool, String) {
    let output = office.run("anna", &[&["action", "run"], words, &["--confirm", "web1"]].concat());
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn done(office: &Office, words: &[&str]) -> String {
    let (succeeded, said) = run_action(office, words);
    assert!(succeeded && said.contains("web1: ● done: "), "{words:?}: {said}");
    said
}

#[test]
fn a_log_is_truncated_and_a_link_is_not_followed() {
    let (office, _sshd) = alone();
    let directory = format!("/var/log/app{}", unique());
    fs::create_dir(&directory).unwrap();
    let log = format!("{directory}/app.log");
    fs::write(&log, vec![b'x'; 2 << 20]).unwrap();
    let said = done(&office, &["logs.truncate", "web1", &format!("file={log}")]);
    assert!(said.contains("was 2097152 bytes") && said.contains("0 bytes now"), "{said}");
    let outside = office.place.write("outside", &"kept".repeat(1_000_000));
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&outside, &log).unwrap();
    let (succeeded, said) = run_action(&office, &["logs.truncate", "web1", &format!("file={log}")]);
    assert!(!succeeded && said.contains("is no plain file"), "{said}");
    assert_eq!(fs::metadata(outside).unwrap().len(), 4_000_000);
}

#[test]
fn a_process_is_killed_by_its_number_and_its_start_and_not_a_later_one() {
    let (office, _sshd) = alone();
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = sleeper.id().to_string();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start: u64 = stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    let kill =
        |start: u64| run_action(&office, &["process.kill", "web1", &format!("pid={pid}"), &format!("start={start}")]);
    let (succeeded, said) = kill(start + 1);
    assert!(!succeeded && said.contains(&format!("process {pid} is another")), "{said}");
    assert!(sleeper.try_wait().unwrap().is_none(), "the wrong one was killed");
    let (succeeded, said) = kill(start);
    assert!(succeeded && said.contains("● done: process"), "{said}");
    assert!(!sleeper.wait().unwrap().success());
}

#[test]
fn a_script_of_cron_is_done_when_its_proof_is_new_and_not_when_it_only_ran() {
    let (office, _sshd) = alone();
    let name = format!("/etc/cron.daily/job{}", unique());
    let proof = office.place.path("proof");
    fs::create_dir_all("/etc/cron.daily").unwrap();
    fs::write(&name, "#!/bin/sh\necho I ran\n").unwrap();
    run("chmod", &["755", &name]);
    fs::write(&proof, "").unwrap();
    run("touch", &["-d", "yesterday", proof.to_str().unwrap()]);
    let words = ["cron.run", "web1", &format!("script={name}"), &format!("proof={}", proof.display())];
    let (succeeded, said) = run_action(&office, &words);
    assert!(!succeeded && said.contains("web1: I ran") && said.contains("exit 0; its effect is not there"), "{said}");
    fs::write(&name, format!("#!/bin/sh\ndate >{}\n", proof.display())).unwrap();
    done(&office, &words);
}

#[test]
fn the_package_cache_is_empty_afterwards() {
    let (office, _sshd) = alone();
    run("mount", &["-t", "tmpfs", "tmpfs", "/var/cache/apt/archives"]);
    fs::create_dir("/var/cache/apt/archives/partial").unwrap();
    fs::write("/var/cache/apt/archives/big_1.0_all.deb", vec![0; 1 << 20]).unwrap();
    let said = done(&office, &["disk.clean-packages", "web1"]);
    assert!(said.contains("0 packages left in the cache"), "{said}");
}

#[test]
fn process_accounting_is_on_when_a_record_was_written() {
    let (office, _sshd) = alone();
    let said = done(&office, &["accounting.enable", "web1"]);
    assert!(said.contains("/var/log/account/pacct: "), "{said}");
    run("accton", &["off"]);
}

#[test]
fn a_read_only_mount_is_writable_again_or_the_kernel_log_says_why_not() {
    let (office, _sshd) = alone();
    let mount = office.place.mount_tmpfs("mount", "size=1m,ro");
    let is_writable = || fs::write(mount.join("x"), "x").is_ok();
    assert!(!is_writable());
    let log = text(&Command::new("dmesg").output().unwrap().stdout);
    let is_clean =
        !["I/O error", "EXT4-fs error", "XFS: error", "remounting filesystem read-only", "journal has aborted"]
            .iter()
            .any(|word| log.to_lowercase().contains(&word.to_lowercase()));
    let (succeeded, said) = run_action(&office, &["disk.remount-rw", "web1", &format!("mount={}", mount.display())]);
    assert_eq!(succeeded, is_writable(), "{said}");
    assert!(succeeded || said.contains("the kernel log is not clean") || said.contains("may not be read"), "{said}");
    assert!(!is_clean || succeeded || said.contains("may not be read"), "{said}");
}

struct Archive {
    tool: &'static str,
    repository: String,
    password: String,
    file: String,
}

fn archive(office: &Office, tool: &'static str) -> Archive {
    let path = |name: &str| office.place.path(name).to_str().unwrap().to_owned();
    let (repository, password, file) = (path(&format!("{tool}-repo")), path("password"), path("data/file"));
    fs::write(&password, "secret\n").unwrap();
    fs::create_dir_all(office.place.path("data")).unwrap();
    let home = path("home");
    let tool_run = |arguments: &[&str]| {
        let command = Command::new(tool)
            .args(arguments)
            .env("RESTIC_PASSWORD_FILE", &password)
            .env("BORG_PASSPHRASE", "secret")
            .env("HOME", &home)
            .stdout(Stdio::null())
            .status();
        assert!(command.unwrap().success(), "{tool} {arguments:?}");
    };
    match tool {
        "restic" => tool_run(&["init", "-r", &repository]),
        _ => tool_run(&["init", "--encryption", "repokey", &repository]),
    }
    for round in 0..3 {
        fs::write(&file, format!("state {round}\n")).unwrap();
        match tool {
            "restic" => tool_run(&["backup", "-q", "-r", &repository, &file]),
            _ => tool_run(&["create", &format!("{repository}::a{round}"), &file]),
        }
    }
    Archive { tool, repository, password, file }
}

#[test]
fn a_retention_is_held_and_a_file_is_restored_and_compared_by_restic_and_borg() {
    for tool in ["restic", "borg"] {
        let (office, _sshd) = alone();
        let archive = archive(&office, tool);
        let common = [
            "web1".to_owned(),
            format!("tool={}", archive.tool),
            format!("repository={}", archive.repository),
            format!("password-file={}", archive.password),
        ];
        let with = |action: &str, more: &[&str]| -> Vec<String> {
            [action]
                .iter()
                .map(|word| (*word).to_owned())
                .chain(common.clone())
                .chain(more.iter().map(|word| (*word).to_owned()))
                .collect()
        };
        let strs = |words: &[String]| -> Vec<String> { words.to_vec() };
        let restore = strs(&with("backup.test-restore", &[&format!("file={}", archive.file)]));
        let restore: Vec<&str> = restore.iter().map(String::as_str).collect();
        let said = done(&office, &restore);
        assert!(said.contains("restored whole: the hashes are the same"), "{tool}: {said}");
        let prune = with("backup.prune", &["daily=1", "weekly=0", "monthly=0"]);
        let prune: Vec<&str> = prune.iter().map(String::as_str).collect();
        let said = done(&office, &prune);
        assert!(said.contains("1 archives now"), "{tool}: {said}");
        // What is present is no longer what was archived: the test says so.
        fs::write(&archive.file, "changed since\n").unwrap();
        let (succeeded, said) = run_action(&office, &restore);
        assert!(!succeeded && said.contains("✖ failed"), "{tool}: {said}");
        // Its end is a state of the backup set, with an age.
        let file = office.place.path("anna.toml");
        let source = match tool {
            "restic" => format!("kind = 'restic'\npassword_file = '{}'", archive.password),
            _ => format!("kind = 'borg'\npasscommand = 'cat {}'", archive.password),
        };
        let set = format!("[host.web1.backup.nightly]\n{source}\nrepository = '{}'\n", archive.repository);
        fs::write(&file, fs::read_to_string(&file).unwrap() + &set).unwrap();
        let said = text(&office.run("anna", &["check", "web1"]).stdout);
        assert!(said.contains("nightly: the last restore test FAILED, "), "{tool}: {said}");
    }
}
