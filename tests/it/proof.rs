//! Proof on real parts: cron, rsyslog and the kernel's own accounting, in a pid namespace that has its own of each.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dogwatch::domain::probe::accounting::{self, AcctCursor, AcctMemory};
use dogwatch::domain::probe::script::{Nonce, Section, compose, split};
use dogwatch::domain::proof::acct::{AcctRecord, CORE, Decoder, Ended, FORKED, SIGNALLED, SUPERUSER, write};

use crate::support::*;

/// A machine of its own for cron, its log and its accounting: nothing of it is seen by another test.
struct Machine {
    place: Place,
    state: PathBuf,
    hosts: PathBuf,
}

fn now_s() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32
}

fn crafted(name: &str, pid: u32, begin_s: u32, elapsed_ms: u64, status: u32) -> AcctRecord {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    AcctRecord {
        flags: 0,
        version: 3,
        tty: 0,
        status,
        uid: 0,
        gid: 0,
        pid,
        ppid: 1,
        begin_s,
        elapsed_ms,
        user_ms: 0,
        system_ms: 0,
        memory_kib: 0,
        comm,
    }
}

impl Machine {
    /// With these lines of a crontab, these of hosts.toml for the machine, and an earlier history.
    fn new(crontab: &str, settings: &str) -> Self {
        let place = Place::new();
        let path = |name: &str| place.path(name).display().to_string();
        fs::create_dir(place.path("cron.d")).unwrap();
        fs::create_dir(place.path("log")).unwrap();
        fs::create_dir(place.path("state")).unwrap();
        place.write("cron.d/jobs", crontab);
        fs::write(place.path("pacct"), "").unwrap();
        fs::write(place.path("log/cron.log"), "").unwrap();
        let rsyslog = format!(
            "module(load=\"imuxsock\" SysSock.Name=\"{}\" SysSock.Use=\"on\")\n\
             action(type=\"omfile\" file=\"{}\" template=\"RSYSLOG_TraditionalFileFormat\")\n",
            path("socket"),
            path("log/cron.log")
        );
        place.write("rsyslog.conf", &rsyslog);
        let hosts = place.write(
            "hosts.toml",
            &format!(
                "[defaults]\ncadence = '1s'\ncron_cadence = '1s'\nattempts = 1\n[host.me]\nlocal = true\naccounting = '{}'\n{settings}",
                path("pacct")
            ),
        );
        let state = place.path("state");
        fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { place, state, hosts }
    }

    /// A run of an earlier day: cron's line and the kernel's record.
    fn remember(&self, command: &str, pid: u32, hours_ago: u32, elapsed_ms: u64, status: u32) {
        let begin_s = now_s() - hours_ago * 3_600;
        let stamp = run("date", &["-d", &format!("@{begin_s}"), "+%b %e %H:%M:%S"]);
        let mut log = fs::OpenOptions::new().append(true).open(self.place.path("log/cron.log")).unwrap();
        writeln!(log, "{} host CRON[{pid}]: (root) CMD ({command})", stamp.trim_end()).unwrap();
        let mut pacct = fs::OpenOptions::new().append(true).open(self.place.path("pacct")).unwrap();
        pacct.write_all(&write(&crafted("sh", pid, begin_s, elapsed_ms, status))).unwrap();
    }

    /// Begins cron, its log, accounting where it is on, and the watch.
    fn start(&self, accounting: bool) -> Running {
        let path = |name: &str| self.place.path(name).display().to_string();
        let accton = if accounting { format!("accton {}", path("pacct")) } else { format!("rm {}", path("pacct")) };
        let script = format!(
            "set -e\n\
             mkdir -p {0}/dw; mount --rbind /run/dw {0}/dw; mount --rbind {0} /run\n\
             mount --bind {1} /etc/cron.d\n\
             mount --bind {2} /var/log\n\
             mount -t tmpfs tmpfs /var/spool/cron\n\
             mkdir /var/spool/cron/crontabs\n\
             : >{3}; mount --bind {3} /etc/crontab\n\
             rsyslogd -n -i NONE -f {4} &\n\
             until [ -S {5} ]; do :; done\n\
             [ -e /dev/log ] || : >/dev/log\n\
             mount --bind {5} /dev/log\n\
             {accton} >/dev/null\n\
             cron -f -L 1 &\n\
             exec {6} collect --hosts {7} --state {8}\n",
            path("run"),
            path("cron.d"),
            path("log"),
            path("empty"),
            path("rsyslog.conf"),
            path("socket"),
            env!("CARGO_BIN_EXE_dogwatch"),
            self.hosts.display(),
            self.state.display(),
        );
        let unshared = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c", &script];
        let running = Running(Command::new("unshare").args(unshared).stdout(Stdio::null()).spawn().unwrap());
        // Whoever looks before it polls would poll instead.
        let (database, deadline) = (self.state.join("series.db"), Instant::now() + GUARD);
        while !database.exists() {
            assert!(Instant::now() < deadline, "the watch never began");
            std::thread::yield_now();
        }
        running
    }

    /// The program, where the machine's files are.
    fn inside(&self, running: &Running, arguments: &[&str]) -> (bool, String) {
        let pid = running.0.id().to_string();
        let output = Command::new("nsenter")
            .args(["--mount", "--target", &pid, env!("CARGO_BIN_EXE_dogwatch")])
            .args(arguments)
            .arg("--hosts")
            .arg(&self.hosts)
            .arg("--state")
            .arg(&self.state)
            .output()
            .unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// What ran now, and in one of the crafted nights, each with the job that began it.
    fn what_ran_is_told_with_its_job(&self, running: &Running) {
        let at = |spec: &str| run("date", &["-u", "-d", spec, "+%Y-%m-%dT%H:%M:%SZ"]).trim().to_owned();
        let (succeeded, said) = self.inside(running, &["ran", "me", "--at", &at("now")]);
        let line = |words: &[&str]| said.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(succeeded && line(&["sleep", "exit 0", "(: job-slow; sleep 10)"]), "{said}");
        assert!(line(&["root", "exit 3", "sh", "(: job-fails; exit 3)"]), "{said}");
        assert!(line(&["signal 9", "sh", "(: job-killed; kill -9 $$)"]), "{said}");
        assert!(line(&["exit 113", "sh", "(as a poll of Dogwatch)"]), "{said}");
        let (succeeded, said) = self.inside(running, &["ran", "me", "--at", &at("-24 hours"), "--window", "1m"]);
        assert!(succeeded && said.contains("\n1 process,") && said.contains("(: job-slow; sleep 10)"), "{said}");
    }

    /// Issue 5, Show 4.
    fn a_pack_proves_the_failure_and_one_changed_bit_is_found(&self, running: &Running) {
        let (pack, key) = (self.place.path("pack"), self.place.path("key"));
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        let now = run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
        let (out, key) = (pack.to_str().unwrap(), key.to_str().unwrap());
        let asked = ["evidence", "me", "--job", "fails", "--at", now.trim(), "--out", out, "--key", key];
        let (succeeded, said) = self.inside(running, &asked);
        assert!(succeeded && said.contains("proven FAILED: exit status 3"), "{said}");
        let (succeeded, said) = self.inside(running, &["evidence", "verify", out]);
        assert!(succeeded && said.contains("as they were collected; signed with SHA256:"), "{said}");
        let checked = Command::new("sha256sum").args(["-c", "--quiet", "SHA256SUMS"]).current_dir(&pack).status();
        assert!(checked.unwrap().success());
        let report = fs::read_to_string(pack.join("report.md")).unwrap();
        assert!(report.contains("**Verdict:** proven FAILED: exit status 3") && report.contains("Chain of custody"));
        let table = fs::read_to_string(pack.join("records.csv")).unwrap();
        assert!(table.lines().any(|line| line.contains(",3,,false,sh,")), "{table}");
        let mut names: Vec<String> = fs::read_to_string(pack.join("SHA256SUMS"))
            .unwrap()
            .lines()
            .map(|line| line.split("  ").nth(1).unwrap().to_owned())
            .collect();
        assert!(names.iter().any(|name| name.ends_with("pacct")) && names.contains(&"raw/var_log_cron.log".to_owned()));
        names.extend(["SHA256SUMS".to_owned(), "SHA256SUMS.sig".to_owned()]);
        for name in names {
            let good = fs::read(pack.join(&name)).unwrap();
            if good.is_empty() {
                continue;
            }
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 1;
            fs::write(pack.join(&name), &bad).unwrap();
            let (succeeded, said) = self.inside(running, &["evidence", "verify", out]);
            assert!(!succeeded, "a bit of {name} was changed unseen: {said}");
            fs::write(pack.join(&name), &good).unwrap();
        }
        fs::write(pack.join("raw/added"), "x").unwrap();
        let (succeeded, said) = self.inside(running, &["evidence", "verify", out]);
        assert!(!succeeded && said.contains("raw/added is in the pack, and in no manifest"), "{said}");
    }

    /// Somebody's command on the machine, in a shell of their own.
    fn by_hand(&self, running: &Running, uid: &str, words: &[&str]) {
        let pid = running.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let inside = ["--pid", "--mount", "--target", children.trim(), "setpriv", "--reuid", uid, "--clear-groups"];
        let done = Command::new("nsenter").args(inside).args(words).status().unwrap();
        assert!(done.success(), "{words:?}");
    }

    /// Waits until the pane of jobs shows it.
    fn until_frame(&self, text: &str) {
        let deadline = Instant::now() + GUARD;
        loop {
            let output = Command::new(env!("CARGO_BIN_EXE_dogwatch"))
                .args(["frame", "--view", "cron", "--size", "200x50", "--hosts"])
                .arg(&self.hosts)
                .arg("--state")
                .arg(&self.state)
                .output()
                .unwrap();
            let said = crate::support::text(&output.stdout);
            if said.contains(text) {
                return;
            }
            let complaint = crate::support::text(&output.stderr);
            assert!(Instant::now() < deadline, "'{text}' was never shown: {said}{complaint}");
        }
    }

    /// Waits until the watch says so of the machine.
    fn until(&self, text: &str) -> String {
        let deadline = Instant::now() + GUARD;
        loop {
            let output = Command::new(env!("CARGO_BIN_EXE_dogwatch"))
                .args(["check", "me", "--json", "--hosts"])
                .arg(&self.hosts)
                .arg("--state")
                .arg(&self.state)
                .output()
                .unwrap();
            let said = crate::support::text(&output.stdout);
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < deadline, "'{text}' was never said: {said}");
        }
    }
}

/// Issue 5, Show 1: the verdicts of four jobs, with their witnesses.
#[test]
fn cron_s_jobs_are_proven_ok_failed_killed_and_odd_by_what_the_kernel_saw() {
    let job = |name: &str| format!("[host.me.job.{name}]\nevery = '1d'\ncommand = 'job-{name}'\n");
    let settings = ["fine", "fails", "killed", "slow"].map(job).concat();
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
    machine.what_ran_is_told_with_its_job(&running);
    machine.a_pack_proves_the_failure_and_one_changed_bit_is_found(&running);
}

/// Issue 5, Show 2: without accounting nobody knows, and how to know is said.
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
    let _machine = machine.start(true);
    let said = machine.until("job lies: proven FAILED: «gave up», though its record says 0, took 3.");
    assert!(said.contains("(cron's log, accounting, its own log)"), "{said}");
    machine.until("(cron's log, accounting, a new archive, a.tar)");
    machine.until("job empty: proven FAILED: no new archive in empty, though its exit status is 0, took 60 s");
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
fn the_job_that_a_load_came_with_is_the_suspect() {
    let settings = "load = { warning = 0.001, critical = 999, clear = 0 }\n\
                    [host.me.job.busy]\nevery = '1d'\ncommand = 'job-busy'\n";
    let busy = "@reboot root : job-busy; timeout 6 sh -c 'while :; do :; done'\n";
    let machine = Machine::new(&busy.repeat(2), settings);
    let _machine = machine.start(true);
    let said = machine.until("suspect busy: 2 of its 2 runs were over the limit, load ");
    assert!(said.contains("host.load") && said.contains(" s of CPU)"), "{said}");
}

/// Issue 5, Show 5: who deleted a log by hand is named, with the command, and that it was not Dogwatch.
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

/// Issue 5, Show 3: every record of a real file, as dump-acct reads it.
#[test]
fn every_record_is_read_as_dump_acct_reads_it_and_signals_are_told_where_it_tells_none() {
    let place = Place::new();
    let file = place.path("pacct");
    fs::write(&file, "").unwrap();
    let script = format!(
        "accton {} >/dev/null\n\
         i=0; while [ $i -lt 256 ]; do sh -c \"exit $i\"; i=$((i + 1)); done\n\
         for s in HUP INT QUIT ILL ABRT FPE KILL SEGV PIPE ALRM TERM USR1; do sh -c \"ulimit -c 0; kill -$s \\$\\$\"; done\n\
         cd {}; sh -c \"ulimit -c unlimited; kill -ABRT \\$\\$\"\n\
         (:) ; (exit 7)\n\
         cp /bin/true {}/a-name-of-more-than-sixteen-bytes; {}/a-name-of-more-than-sixteen-bytes\n\
         sleep 0.3; setpriv --reuid 65001 --clear-groups true\n\
         accton >/dev/null || :\n",
        file.display(),
        place.0.display(),
        place.0.display(),
        place.0.display(),
    );
    let made = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mut records = Vec::new();
    let mut decoder = Decoder::default();
    decoder.feed(&fs::read(&file).unwrap(), |_, record| records.push(record));
    decoder.finish(|_, record| records.push(record));
    assert_eq!(decoder.passed_over, 0);
    let dumped = run("dump-acct", &[file.to_str().unwrap()]);
    let lines: Vec<&str> = dumped.lines().collect();
    assert!(270 < lines.len() && lines.len() == records.len(), "{} and {}", lines.len(), records.len());
    let mut signals = 0;
    for (line, record) in lines.iter().zip(&records) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [comm, version, user, system, elapsed, uid, gid, memory, _io, pid, ppid, flags, exit, ..] = columns[..]
        else {
            panic!("{line}");
        };
        assert_eq!(comm.as_bytes(), record.name(), "{line}");
        assert_eq!(version, format!("v{}", record.version), "{line}");
        let ticks = |shown: &str| (shown.parse::<f64>().unwrap() * 10.0).round() as u64;
        assert_eq!((ticks(user), ticks(system)), (record.user_ms, record.system_ms), "{line}");
        assert!(ticks(elapsed).abs_diff(record.elapsed_ms) <= 10, "{line}: {}", record.elapsed_ms);
        assert_eq!(memory.parse::<f64>().unwrap() as u64, record.memory_kib, "{line}");
        let ids = [uid, gid, pid, ppid].map(|id| id.parse::<u32>().unwrap());
        assert_eq!(ids, [record.uid, record.gid, record.pid, record.ppid], "{line}");
        for (letter, flag) in [('F', FORKED), ('S', SUPERUSER), ('D', CORE), ('X', SIGNALLED)] {
            assert_eq!(flags.contains(letter), record.has(flag), "{letter} of {line}");
        }
        match record.ended() {
            Ended::Exited(status) => assert_eq!(exit.parse::<u8>().unwrap(), status, "{line}"),
            // dump-acct prints 0, as if it had succeeded; the record holds the signal.
            Ended::Killed { signal, .. } => {
                assert!(exit == "0" && record.has(SIGNALLED) && 0 < signal, "{line}");
                signals += 1;
            }
        }
    }
    assert!(12 <= signals, "{signals} signals");
    let with_core = |record: &&AcctRecord| matches!(record.ended(), Ended::Killed { core: true, .. });
    assert_eq!(records.iter().filter(with_core).count(), 1, "cores");
}

/// What a poll of a quiet host brings: a kilobyte, and the records of the processes that the polls themselves began.
#[test]
fn a_read_of_a_quiet_host_is_a_kilobyte_and_the_records_of_our_own_processes() {
    let place = Place::new();
    let file = place.path("pacct");
    // Three rotated ones beside it, as a host of a few weeks has.
    for name in ["pacct", "pacct.1", "pacct.2.gz", "pacct.3.gz"] {
        fs::write(place.path(name), "").unwrap();
    }
    let on = format!("accton {} >/dev/null; exec sleep 1000", file.display());
    let unshared = ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &on];
    let host = Running(Command::new("unshare").args(unshared).spawn().unwrap());
    let deadline = Instant::now() + GUARD;
    let mut first = String::new();
    while first.is_empty() || fs::metadata(&file).unwrap().len() == 0 {
        assert!(Instant::now() < deadline, "its accounting never began");
        first = fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.0.id())).unwrap();
    }
    let mut cursor = (AcctCursor::default(), AcctMemory::default());
    let mut poll = || {
        let parameters = cursor.0.parameters(&cursor.1, file.to_str());
        let nonce = Nonce::new(7);
        let script = compose(&nonce, &[Section { script: accounting::SCRIPT, parameters }]);
        let inside = ["--pid", "--mount", "--target", first.trim(), "/bin/sh"];
        let mut shell =
            Command::new("nsenter").args(inside).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let answers = split(&output.stdout, &nonce, 1);
        let answer = answers.sections[0].as_ref().unwrap_or_else(|| panic!("{}", text(&output.stdout)));
        let reading = accounting::parse(answer, &mut cursor.0, &mut cursor.1, i64::from(now_s())).unwrap();
        (output.stdout.len(), (reading.own + reading.others) as usize, reading.behind_bytes)
    };
    // Until everything that was there before has been read.
    let mut newest = poll();
    while newest.1 == 0 || newest.2 != 0 {
        assert!(Instant::now() < deadline, "its accounting was never caught up with");
        newest = poll();
    }
    let (bytes, records, _) = poll();
    assert!(0 < records && bytes <= 1_024 + 64 * records, "{bytes} bytes, {records} records");
}
