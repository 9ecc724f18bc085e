//! Proof on real parts: cron, rsyslog and the kernel's own accounting.

use std::fs;
use std::process::Command;

use crate::machine::*;
use crate::support::*;

/// What ran now, and in one of the crafted nights, each with the job that began it.
fn what_ran_is_told_with_its_job(machine: &Machine, running: &Running) {
    let at = |spec: &str| run("date", &["-u", "-d", spec, "+%Y-%m-%dT%H:%M:%SZ"]).trim().to_owned();
    let (succeeded, said) = machine.inside(running, &["ran", "me", "--at", &at("now")]);
    let line = |words: &[&str]| said.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(succeeded && line(&["sleep", "exit 0", "(: job-slow; sleep 10)"]), "{said}");
    assert!(line(&["root", "exit 3", "sh", "(: job-fails; exit 3)"]), "{said}");
    assert!(line(&["signal 9", "sh", "(: job-killed; kill -9 $$)"]), "{said}");
    assert!(line(&["exit 113", "sh", "(as a poll of Dogwatch)"]), "{said}");
    // The same time as the host's own clock shows it.
    let own = run("date", &["+%Y-%m-%d %H:%M:%S"]);
    let (succeeded, said) = machine.inside(running, &["ran", "me", "--at", own.trim()]);
    assert!(succeeded && said.contains("(: job-fails; exit 3)"), "{said}");
    let (succeeded, said) = machine.inside(running, &["ran", "me", "--at", "noon"]);
    assert!(!succeeded && said.contains("'noon' is no time: 04:30, "), "{said}");
    let (succeeded, said) = machine.inside(running, &["ran", "me", "--at", &at("-24 hours"), "--window", "1m"]);
    assert!(succeeded && said.contains("\n1 process,") && said.contains("(: job-slow; sleep 10)"), "{said}");
}

fn what_ran_is_told_by_what_was_kept_when_the_host_tells_nothing_more(machine: &Machine, running: &Running) {
    let at = run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    for file in ["pacct.old", "log/cron.log", "pacct"] {
        fs::write(machine.place.path(file), "").unwrap();
    }
    let (succeeded, said) = machine.inside(running, &["ran", "me", "--at", at.trim()]);
    let is_told = said.lines().any(|line| line.contains("exit 3") && line.contains("(: job-fails; exit 3)"));
    assert!(succeeded && is_told, "{said}");
    assert!(
        said.contains("of 4 runs the host itself tells nothing more: they are known by what dogwatch kept"),
        "{said}"
    );
}

fn a_pack_proves_the_failure_and_one_changed_bit_is_found(machine: &Machine, running: &Running) {
    let (pack, key) = (machine.place.path("pack"), machine.place.path("key"));
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
    let now = run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    // Somebody put a copy aside: it goes into the pack, and no record counts twice.
    fs::copy(machine.place.path("pacct"), machine.place.path("pacct.old")).unwrap();
    let (out, key) = (pack.to_str().unwrap(), key.to_str().unwrap());
    let asked = ["evidence", "me", "--job", "fails", "--at", now.trim(), "--out", out, "--key", key];
    let (succeeded, said) = machine.inside(running, &asked);
    assert!(succeeded && said.contains("proven FAILED: exit status 3"), "{said}");
    let (succeeded, said) = machine.inside(running, &["evidence", "verify", out]);
    assert!(succeeded && said.contains("files fit their manifest; signed with SHA256:"), "{said}");
    let fingerprint = run("ssh-keygen", &["-l", "-f", key]).split(' ').nth(1).unwrap().to_owned();
    let by_signer = |signer: &str| machine.inside(running, &["evidence", "verify", out, "--signer", signer]);
    assert!(by_signer(&fingerprint).0 && !by_signer("SHA256:AAAA").0);
    let signature = fs::read(pack.join("SHA256SUMS.sig")).unwrap();
    fs::remove_file(pack.join("SHA256SUMS.sig")).unwrap();
    let (succeeded, said) = machine.inside(running, &["evidence", "verify", out]);
    assert!(!succeeded && said.contains("no signature says whose that is: was it taken away?"), "{said}");
    assert!(machine.inside(running, &["evidence", "verify", out, "--unsigned"]).0);
    fs::write(pack.join("SHA256SUMS.sig"), signature).unwrap();
    let checked = Command::new("sha256sum").args(["-c", "--quiet", "SHA256SUMS"]).current_dir(&pack).status();
    assert!(checked.unwrap().success());
    let report = fs::read_to_string(pack.join("report.md")).unwrap();
    assert!(report.contains("**Verdict:** proven FAILED: exit status 3") && report.contains("Chain of custody"));
    assert!(report.contains("accounting has no record at all between "), "{report}");
    let table = fs::read_to_string(pack.join("records.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",3,,false,sh,")).count(), 1, "{table}");
    let mut names: Vec<String> = fs::read_to_string(pack.join("SHA256SUMS"))
        .unwrap()
        .lines()
        .map(|line| line.split("  ").nth(1).unwrap().to_owned())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("pacct")) && names.iter().any(|name| name.ends_with("pacct.old")));
    assert_eq!(names.iter().filter(|name| name.contains("cron.log")).count(), 1, "{names:?}");
    names.extend(["SHA256SUMS".to_owned(), "SHA256SUMS.sig".to_owned()]);
    for name in names {
        let good = fs::read(pack.join(&name)).unwrap();
        if good.is_empty() {
            continue;
        }
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(pack.join(&name), &bad).unwrap();
        let (succeeded, said) = machine.inside(running, &["evidence", "verify", out]);
        assert!(!succeeded, "a bit of {name} was changed unseen: {said}");
        fs::write(pack.join(&name), &good).unwrap();
    }
    fs::write(pack.join("raw/added"), "x").unwrap();
    let (succeeded, said) = machine.inside(running, &["evidence", "verify", out]);
    assert!(!succeeded && said.contains("raw/added is in the pack, and in no manifest"), "{said}");
}

/// The verdicts of four jobs, with their witnesses.
#[test]
fn cron_s_jobs_are_proven_ok_failed_killed_and_odd_by_what_the_kernel_saw() {
    let job = |name: &str| format!("[host.me.job.{name}]\nevery = '1d'\ncommand = 'job-{name}'\n");
    // One whose own log is that of everything.
    let own_log = "log = '/var/log/cron.log'\nfailed = 'never said'\n";
    let jobs = ["fine", "killed", "slow", "fails"].map(job).concat();
    let settings = format!("logs = ['/var/log/cron.log']\n{jobs}{own_log}");
    let crontab = "@reboot root : job-fine; sleep 1\n\
                   @reboot root : job-fails; exit 3\n\
                   @reboot root : job-killed; kill -9 $$\n\
                   @reboot root : job-slow; sleep 10\n";
    let machine = Machine::new(crontab, &settings);
    for day in 1..=6 {
        machine.remember(": job-slow; sleep 10", 4_000 + day, 24 * (7 - day), 1_000, 0);
    }
    let running = machine.start(true);
    let said = machine.until("job slow: proven ok, but took too long");
    assert!(said.contains("took 10 s, usual 1.0 s, started "), "{said}");
    assert!(said.contains("job fine: proven ok, took 1.") && said.contains("(cron's log, accounting)"), "{said}");
    assert!(said.contains("job fails: proven FAILED: exit status 3, took 0."), "{said}");
    assert!(said.contains("job killed: proven FAILED: killed by signal 9, took 0."), "{said}");
    what_ran_is_told_with_its_job(&machine, &running);
    a_pack_proves_the_failure_and_one_changed_bit_is_found(&machine, &running);
    what_ran_is_told_by_what_was_kept_when_the_host_tells_nothing_more(&machine, &running);
}

/// Without accounting nobody knows, and how to know is said.
#[test]
fn with_accounting_off_a_run_s_outcome_is_unknown_and_how_to_prove_it_is_said() {
    let settings = "[host.me.job.transfer]\nevery = '1d'\ncommand = 'job-transfer'\n";
    let machine = Machine::new("@reboot root : job-transfer\n", settings);
    let _machine = machine.start(false);
    let said = machine.until("job transfer: ran ");
    let expected =
        "outcome unknown: cron's log tells starts only, and accounting is off: dogwatch action run accounting.enable";
    assert!(said.contains(expected) && said.contains("accounting is off: how jobs ended can't be proven"), "{said}");
}

#[test]
fn a_job_that_has_no_record_yet_is_running() {
    let settings = "[host.me.job.long]\nevery = '1d'\ncommand = 'job-long'\nusual = '1h'\n";
    let machine = Machine::new("@reboot root : job-long; sleep 1000\n", settings);
    let _machine = machine.start(true);
    machine.until("job long: running since ");
}

#[test]
fn a_script_that_cron_reaches_is_told_when_everybody_may_write_it_and_when_it_changed() {
    let directory = Place::new();
    let script = directory.write("ship.sh", "#!/bin/sh\n:\n");
    let allow = |mode| fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    allow(0o777);
    let machine = Machine::new(&format!("0 0 1 1 * root nice {} --all\n", script.display()), "");
    let running = machine.start(true);
    machine.until("ship.sh, which cron runs, may be written by everybody (mode 777)");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    machine.until("ship.sh: the script changed: its content, ");
    machine.by_hand(&running, "0", &["chmod", "755", script.to_str().unwrap()]);
    let said = machine.until("its mode, 777 to 755");
    assert!(said.contains("; meanwhile: chmod by root (uid 0) "), "{said}");
    fs::remove_file(&script).unwrap();
    machine.until("ship.sh: the script is gone, or can't be read any more, was there ");
}

/// A job's own log and the archive that it leaves, beside the kernel's record of it.
#[test]
fn its_own_log_and_the_archive_it_left_are_witnesses_and_of_two_the_one_that_tells_of_a_failure_is_believed() {
    let directory = Place::new();
    let log = directory.write("job.log", "");
    for set in ["full", "empty"] {
        fs::create_dir(directory.path(set)).unwrap();
    }
    let path = |name: &str| directory.path(name).display().to_string();
    let set = |name: &str| format!("[host.me.backup.{name}]\nkind = 'files'\npath = '{}'\n", path(name));
    let leaves = |set: &str| format!("[host.me.job.{set}]\nevery = '1d'\ncommand = 'job-{set}'\nleaves = '{set}'\n");
    let own_log = format!("log = '{}'\ndone = 'is done'\nfailed = 'gave up'\n", log.display());
    let settings = format!(
        "logs = ['{}']\n{}{}{}{}[host.me.job.lies]\nevery = '1d'\ncommand = 'job-lies'\n{own_log}",
        log.display(),
        set("full"),
        set("empty"),
        leaves("full"),
        leaves("empty")
    );
    // The first look at a log begins at its end.
    let crontab = format!("@reboot root : job-lies; sleep 3; echo 'gave up' >>{}; exit 0\n", log.display());
    let machine = Machine::new(&crontab, &settings);
    machine.remember("job-full", 4_001, 2, 60_000, 0);
    machine.remember("job-empty", 4_002, 2, 60_000, 0);
    fs::write(directory.path("full/a.tar"), "x").unwrap();
    run("touch", &["-d", &format!("@{}", now_s() - 2 * 3_600 + 30), &path("full/a.tar")]);
    let running = machine.start(true);
    let said = machine.until("job lies: proven FAILED: «gave up», though its record says 0, took 3.");
    assert!(said.contains("(cron's log, accounting, its own log)"), "{said}");
    machine.until("(cron's log, accounting, a new archive, a.tar)");
    machine.until("job empty: proven FAILED: no new archive in empty, though its exit status is 0, took 60 s");
    // A pack has the same verdicts, and what they rest on.
    let pack = |job: &str, at: &str| {
        let (out, at) = (path(&format!("pack-{job}")), run("date", &["-u", "-d", at, "+%Y-%m-%dT%H:%M:%SZ"]));
        let asked = ["evidence", "me", "--job", job, "--at", at.trim(), "--window", "30m", "--out", &out, "--unsigned"];
        let (succeeded, said) = machine.inside(&running, &asked);
        assert!(succeeded, "{said}");
        (said, fs::read_to_string(format!("{out}/SHA256SUMS")).unwrap())
    };
    let (said, files) = pack("lies", "now");
    assert!(said.contains("proven FAILED: «gave up», though its record says 0") && files.contains("job.log"), "{said}");
    let (said, files) = pack("empty", "-2 hours");
    assert!(said.contains("proven FAILED: no new archive in empty") && files.contains("raw/archives.txt"), "{said}");
    let (said, _) = pack("full", "-2 hours");
    assert!(said.contains("(cron's log, accounting, a new archive, a.tar)"), "{said}");
}

/// What nobody declared is listed with its verdict, by cron's tables of a real cron.
#[test]
fn a_job_that_nobody_declared_is_listed_with_the_verdict_of_its_last_run() {
    let machine = Machine::new("@reboot root : nobody-declared; exit 7\n@reboot root sh -c 'exec true'\n", "");
    let _machine = machine.start(true);
    machine.until_frame("exit status 7");
    machine.until_frame("proven ok, took 0.");
}

#[test]
fn a_table_that_cron_ignores_for_one_bad_line_is_critical_with_cron_s_own_words() {
    let machine = Machine::new("% * * * * root broken\n0 3 * * * root : fine\n", "");
    let _machine = machine.start(true);
    machine.until("cron IGNORES /etc/cron.d/jobs, all of it: bad minute");
}

#[test]
fn the_job_that_a_load_came_with_is_the_suspect() {
    let settings = "load = { warning = 0.001, critical = 999, clear = 0 }\n\
                    [host.me.job.busy]\nevery = '1d'\ncommand = 'job-busy'\n";
    let busy = "@reboot root : job-busy; timeout 6 sh -c 'while :; do :; done'\n";
    let machine = Machine::new(&busy.repeat(2), settings);
    let _machine = machine.start(true);
    let said = machine.until("suspect busy: 2 of its 2 runs were over the limit, load ");
    assert!(said.contains("host.load") && said.contains(" s of CPU)"), "{said}");
}

/// Who deleted a log by hand is named, with the command, and that it was not Dogwatch.
#[test]
fn a_log_that_was_deleted_by_hand_names_user_command_and_time() {
    let directory = Place::new();
    let log = directory.write("app.log", "a line\n");
    fs::set_permissions(&directory.0, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let machine = Machine::new("", &format!("logs = ['{}']\n", log.display()));
    let running = machine.start(true);
    machine.until("app.log only grew, or was rotated");
    machine.by_hand(&running, "65001", &["rm", log.to_str().unwrap()]);
    let said = machine.until("app.log is gone, with 7 B, and was not rotated");
    let said = if said.contains("rm by") { said } else { machine.until("rm by dw-anna (uid 65001)") };
    assert!(said.contains("rm by dw-anna (uid 65001) without a terminal at ") && said.contains(", outside Dogwatch"));
    // Nothing else can be told of a log that is not there: its loss stands above that.
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    let checks = told["hosts"][0]["checks"].as_array().unwrap();
    let shrunk = checks.iter().find(|check| check["id"].as_str().unwrap().starts_with("log.shrunk:")).unwrap();
    assert_eq!(shrunk["status"], "critical", "{said}");
}

/// A line that came between the last look and a rotation is in the older file alone.
#[test]
fn a_run_that_was_logged_just_before_a_rotation_is_known() {
    let settings = "[host.me.job.rotated]\nevery = '1d'\ncommand = 'job-rotated'\n";
    let machine = Machine::new("@reboot root : job-any\n", settings);
    machine.remember(": an-older-run", 4_001, 48, 1_000, 0);
    let _machine = machine.start(true);
    machine.until_frame("job-any");
    machine.remember(": job-rotated", 4_242, 0, 100, 0x300);
    let log = machine.place.path("log/cron.log");
    fs::rename(&log, log.with_extension("log.1")).unwrap();
    fs::write(&log, "").unwrap();
    machine.until("job rotated: proven FAILED: exit status 3");
}

/// A log that nobody writes any more is there still, and cron's lines come elsewhere.
#[test]
fn a_log_of_long_ago_does_not_hide_the_one_that_is_written() {
    let settings = "[host.me.job.moved]\nevery = '1d'\ncommand = 'job-moved'\n";
    let machine = Machine::new("@reboot root : job-moved; exit 3\n", settings);
    machine.remember(": job-moved", 4_001, 200, 1_000, 0);
    let configuration = machine.place.path("rsyslog.conf");
    let text = fs::read_to_string(&configuration).unwrap();
    assert!(text.contains("/cron.log"), "{text}");
    fs::write(&configuration, text.replace("/cron.log", "/syslog")).unwrap();
    let _machine = machine.start(true);
    machine.until("job moved: proven FAILED: exit status 3");
}

/// Every run is known by cron's log alone: who empties it takes the proof away.
#[test]
fn a_log_of_cron_that_was_emptied_by_hand_is_told_with_who_did_it() {
    let machine = Machine::new("@reboot root : job-any\n", "");
    for day in 1..=9 {
        machine.remember(": an-older-run", 4_000 + day, 24 * day, 1_000, 0);
    }
    // Rotated once, long ago.
    fs::write(machine.place.path("log/cron.log.1"), "").unwrap();
    let running = machine.start(true);
    machine.until_frame("job-any");
    machine.by_hand(&running, "0", &["truncate", "-s", "0", "/var/log/cron.log"]);
    let said = machine.until("/var/log/cron.log, which tells of cron's runs, was cut from ");
    if !said.contains("truncate by root") {
        machine.until("truncate by root (uid 0) ");
    }
    // Taken away, and another put in its place.
    machine.by_hand(&running, "0", &["sh", "-c", "rm /var/log/cron.log; echo >/var/log/cron.log"]);
    let said = machine
        .until("/var/log/cron.log, which tells of cron's runs, is another file, and no rotation left the one of ");
    if !said.contains("rm by root") {
        machine.until("rm by root (uid 0) ");
    }
}

#[test]
fn space_that_became_free_at_once_names_who_freed_it() {
    let directory = Place::new();
    let small = directory.mount_tmpfs("small", "size=100m,mode=777");
    fs::write(small.join("big"), vec![0; 40_000_000]).unwrap();
    let machine = Machine::new("", "");
    let running = machine.start(true);
    machine.until(&format!("% of {}; ", small.display()));
    machine.by_hand(&running, "0", &["rm", small.join("big").to_str().unwrap()]);
    let said = machine.until("; fell by 40 MB at ");
    if !said.contains("rm by root (uid 0) ") {
        machine.until("rm by root (uid 0) ");
    }
}
