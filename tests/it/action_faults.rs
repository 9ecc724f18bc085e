//! Actions that are cut off, killed or starved in the middle: nothing runs twice, and nothing runs unrecorded.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::central::Rsyslog;
use crate::office::*;
use crate::support::*;

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + GUARD;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// An action that writes a line to `runs` when it begins, and ends once `gate` is there.
struct Gate {
    file: PathBuf,
    word: String,
}

impl Gate {
    fn new(office: &Office, name: &str) -> Self {
        let directory = office.place.path("gates");
        fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::chown(&directory, Some(65_001), None).unwrap();
        let file = directory.join(name);
        let word = format!("file={}", file.display());
        Self { file, word }
    }

    fn open(&self) {
        fs::write(&self.file, "").unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(format!("{}.runs", self.file.display())).unwrap_or_default().lines().count()
    }

    fn run(&self, office: &Office, host: &str) -> Child {
        let mut command = office.command("anna", &["action", "run", "test.wait", host, &self.word, "--confirm", host]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn said(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_link_cut_after_sending_is_unknown_and_then_what_really_happened() {
    let office = Office::new("");
    let mut sshd = Sshd::start();
    office.reach(&sshd, "web1");
    for (name, is_opened) in [("first", true), ("second", false)] {
        let gate = Gate::new(&office, name);
        let running = gate.run(&office, "web1");
        until("it begins on the host", || gate.runs() == 1);
        sshd.cut();
        let (succeeded, said) = said(running);
        assert!(!succeeded && said.contains("web1: ? outcome unknown: link lost"), "{said}");
        assert!(office.succeeds("anna", &["action", "status"]).contains("test.wait on web1: outcome unknown"));
        sshd.come_back();
        if is_opened {
            gate.open();
            let found = office.succeeds("anna", &["action", "reconcile"]);
            assert!(found.contains(": done: the host's own record: "), "{found}");
        } else {
            run("pkill", &["-KILL", "-f", &format!("wait {}", gate.file.display())]);
            let found = office.succeeds("anna", &["action", "reconcile"]);
            assert!(found.contains(": failed: the host's own record: exit 137; its effect is not there"), "{found}");
        }
        assert_eq!(gate.runs(), 1);
        assert!(office.succeeds("anna", &["action", "status"]).contains("nothing waits and nothing runs"));
    }
    office.succeeds("anna", &["audit", "verify"]);
}

#[test]
fn what_a_killed_process_left_running_is_running_still() {
    let office = Office::new("");
    let sshd = Sshd::start();
    office.reach(&sshd, "web1");
    let gate = Gate::new(&office, "gate");
    let running = gate.run(&office, "web1");
    until("it begins on the host", || gate.runs() == 1);
    let homes = fs::read_dir("/run/dogwatch").unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |home: &PathBuf| {
        fs::read_to_string(home.join("program")).is_ok_and(|program| program.contains(gate.file.to_str().unwrap()))
    };
    let home = homes.into_iter().find(is_ours).expect("the action has a place on the host");
    until("it says who it is", || home.join("stat").exists());
    let pid = fs::read_to_string(home.join("stat")).unwrap().split(' ').next().unwrap().to_owned();
    run("kill", &["-KILL", &pid]);
    // The lock is its dashboard's: whoever looks meanwhile is told that it is busy, not that it failed.
    let found = office.fails("anna", &["action", "reconcile"]);
    assert!(found.contains("busy"), "{found}");
    gate.open();
    let (succeeded, said) = said(running);
    assert!(succeeded && said.contains("web1: ended"), "what it left running was not waited for: {said}");
    assert_eq!(gate.runs(), 1);
}

#[test]
fn a_link_that_comes_back_is_taken_up_where_it_was() {
    let office = Office::new("");
    let mut sshd = Sshd::start();
    office.reach(&sshd, "web1");
    let gate = Gate::new(&office, "gate");
    let linger = ["action", "run", "test.linger", "web1", &gate.word, "--confirm", "web1"];
    let running = office.command("anna", &linger).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it begins on the host", || gate.runs() == 1);
    sshd.cut();
    sshd.come_back();
    gate.open();
    let (succeeded, said) = said(running);
    assert!(succeeded && said.contains("web1: ended") && said.contains("web1: ● done"), "{said}");
    assert_eq!(gate.runs(), 1);
}

async fn database(office: &Office) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(office.place.path("anna/audit.db")).busy_timeout(Duration::ZERO);
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

/// Has every append of a record of this kind last for ever, before it is on disk.
fn hang_at(office: &Office, kind: &str) {
    let sql = format!(
        "CREATE TRIGGER hang AFTER INSERT ON record WHEN NEW.body LIKE '%\"kind\":\"{kind}\"%' BEGIN
         SELECT count(*) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c); END"
    );
    wait(async { sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&database(office).await).await.unwrap() });
}

/// Waits until somebody has held the store's lock for half a second without a break: the append that hangs.
fn until_it_hangs(office: &Office) {
    wait(async {
        let pool = database(office).await;
        let (deadline, mut since) = (Instant::now() + GUARD, Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            assert!(Instant::now() < deadline, "no append hangs");
            if sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&pool).await.is_ok() {
                since = Instant::now();
            }
        }
    });
}

/// As root, but in anna's name: what root leaves in her store stays hers.
fn unhang(office: &Office) {
    wait(async {
        let pool = database(office).await;
        sqlx::raw_sql("DROP TRIGGER hang").execute(&pool).await.unwrap();
        pool.close().await;
    });
    for file in fs::read_dir(office.place.path("anna")).unwrap() {
        std::os::unix::fs::chown(file.unwrap().path(), Some(65_001), Some(65_001)).unwrap();
    }
}

#[test]
fn killed_at_any_state_it_shows_the_right_one_and_nothing_is_run_again() {
    // What is not yet on disk when the program is killed; whether the host had begun; what the reconciliation says.
    let states = [
        ("proposed", 0, "the outcome of every action is on record"),
        ("claimed", 0, "the outcome of every action is on record"),
        ("intent", 0, "the outcome of every action is on record"),
        ("sent", 1, ": done: "),
        ("outcome", 1, ": done: "),
    ];
    for round in 0..rounds(5, 50) {
        let office = Office::new("");
        office.succeeds("anna", &["action", "status"]);
        for (kind, begun, expected) in states {
            let gate = Gate::new(&office, &format!("{kind}{round}"));
            gate.open();
            hang_at(&office, kind);
            let mut running = gate.run(&office, "me");
            until_it_hangs(&office);
            running.kill().unwrap();
            running.wait().unwrap();
            unhang(&office);
            let found = office.succeeds("anna", &["action", "reconcile"]);
            assert!(found.contains(expected), "killed before '{kind}': {found}");
            assert_eq!(gate.runs(), begun, "killed before '{kind}'");
            let audit = office.succeeds("anna", &["audit", "log"]);
            assert!(
                audit.lines().filter(|line| line.contains(&gate.word[5..]) && line.contains("  intent ")).count()
                    == begun,
                "{audit}"
            );
            office.succeeds("anna", &["audit", "verify"]);
        }
    }
}

#[test]
fn killed_at_a_random_moment_what_the_host_saw_is_what_is_on_record() {
    own_syslog();
    let office = Office::new("");
    office.succeeds("anna", &["action", "status"]);
    for round in 0..rounds(5, 200) {
        let gate = Gate::new(&office, &format!("gate{round}"));
        gate.open();
        let mut running = gate.run(&office, "me");
        let after = Duration::from_millis((dogwatch::adapters::clock::random_u128() % 700) as u64);
        let began = Instant::now();
        until("a moment passes", || after <= began.elapsed());
        running.kill().unwrap();
        running.wait().unwrap();
        // Whatever was begun is let to its end, and found out.
        let found = office.succeeds("anna", &["action", "reconcile"]);
        let audit = office.succeeds("anna", &["audit", "log"]);
        let intents = audit.lines().filter(|line| line.contains(&gate.word[5..]) && line.contains("  intent ")).count();
        assert!(gate.runs() <= intents && intents <= 1, "{} runs: {found}{audit}", gate.runs());
        office.succeeds("anna", &["audit", "verify"]);
        assert!(office.succeeds("anna", &["action", "status"]).lines().all(|line| !line.starts_with('?')));
    }
}

#[test]
fn with_the_state_directory_full_nothing_is_sent_and_looking_goes_on() {
    let office = Office::new("");
    office.succeeds("anna", &["action", "status"]);
    let small = office.place.mount_tmpfs("small", "size=600k,mode=0700,uid=65001,gid=65001");
    for file in ["audit.db", "audit-key"] {
        fs::copy(office.place.path("anna").join(file), small.join(file)).unwrap();
        std::os::unix::fs::chown(small.join(file), Some(65_001), Some(65_001)).unwrap();
    }
    let gate = Gate::new(&office, "gate");
    gate.open();
    let with_state = |arguments: &[&str]| {
        let mut words = office.words("anna", arguments);
        let place = words.iter().position(|word| word == "--state").unwrap();
        words[place + 1] = small.to_str().unwrap().to_owned();
        let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    fs::write(small.join("filler"), vec![0; 1_000_000]).unwrap_err();
    let run = ["action", "run", "test.wait", "me", &gate.word, "--confirm", "me"];
    let (succeeded, said) = with_state(&run);
    assert!(!succeeded && said.contains("audit.db"), "{said}");
    assert_eq!(gate.runs(), 0);
    let (succeeded, said) = with_state(&["audit", "log"]);
    assert!(succeeded, "{said}");
    fs::remove_file(small.join("filler")).unwrap();
    let (succeeded, said) = with_state(&run);
    assert!(succeeded && gate.runs() == 1, "{said}");
}

#[test]
fn with_the_spool_full_no_action_is_begun() {
    let mut central = Rsyslog::over_tcp();
    central.stop();
    let office = Office::new(&format!("{}spool_max = 12\n", central.policy()));
    let gate = Gate::new(&office, "gate");
    gate.open();
    let run = ["action", "run", "test.wait", "me", &gate.word, "--confirm", "me"];
    let said = office.succeeds("anna", &run);
    assert!(said.contains("the records wait in the store"), "{said}");
    while office.run("anna", &run).status.success() {}
    let runs = gate.runs();
    let said = office.fails("anna", &run);
    assert!(said.contains("and 12 are the most that may wait"), "{said}");
    assert_eq!(gate.runs(), runs);
    central.start();
    office.succeeds("anna", &["audit", "send"]);
    office.succeeds("anna", &run);
    central.stop();
    office.succeeds("anna", &["audit", "reconcile", "--central", &central.file()]);
    let records: Vec<String> = central.lines().into_iter().filter(|line| line.contains(" audit ")).collect();
    let mut distinct = records.clone();
    distinct.dedup();
    assert_eq!(records, distinct, "some record arrived twice");
}

#[test]
fn one_host_goes_first_and_its_failure_stops_the_rest() {
    let office = Office::new("");
    office.hosts("[host.a]\nlocal = true\n[host.b]\nlocal = true\n[host.c]\nlocal = true\n");
    let said = office.fails("anna", &["action", "run", "test.fail", "a", "b", "c", "--confirm", "3 hosts"]);
    assert!(said.contains("a: ✖ failed"), "{said}");
    assert!(said.contains("b: left out") && said.contains("c: left out") && !said.contains("b: begins"), "{said}");
    let gate = Gate::new(&office, "gate");
    gate.open();
    let said =
        office.succeeds("anna", &["action", "run", "test.wait", "a", "b", "c", &gate.word, "--confirm", "3 hosts"]);
    assert_eq!(said.matches("● done").count(), 3, "{said}");
    assert_eq!(gate.runs(), 3);
}

#[test]
fn one_action_a_host_at_a_time() {
    let office = Office::new("");
    let gate = Gate::new(&office, "gate");
    let running = gate.run(&office, "me");
    until("it begins", || gate.runs() == 1);
    let said_second = office.fails("anna", &["action", "run", "test.fail", "me", "--confirm", "me"]);
    assert!(said_second.contains("me is busy with an action of another process"), "{said_second}");
    let found = office.fails("anna", &["action", "reconcile"]);
    assert!(found.contains("busy"), "{found}");
    gate.open();
    assert!(said(running).0);
}

#[test]
fn a_marker_of_somebody_else_on_the_host_is_not_trusted() {
    let office = Office::new("");
    let gate = Gate::new(&office, "gate");
    gate.open();
    // Whoever is first to take the name could read and swap what is kept there.
    // Of bert, who acts in no other test: theirs go on meanwhile.
    let marker = "/var/tmp/dogwatch-65002";
    std::os::unix::fs::symlink(office.place.path("exchange"), marker).unwrap();
    let wait = ["action", "run", "test.wait", "me", &gate.word, "--confirm", "me"];
    let output = office.run("bert", &wait);
    let (succeeded, said) = (output.status.success(), text(&output.stdout) + &text(&output.stderr));
    fs::remove_file(marker).unwrap();
    assert!(!succeeded && said.contains("is not this login's own, or takes nothing: nothing was begun"), "{said}");
    assert_eq!(gate.runs(), 0);
}
