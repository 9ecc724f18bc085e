//! The audit on real parts: a real SQLite file, a real rsyslog over TLS, and whoever tampers with either.

use std::fs;
use std::process::{Command, Output};

use dogwatch::adapters::audit::store::AuditStore;
use dogwatch::adapters::audit::{AuditError, own_actor};
use dogwatch::domain::audit::record::Event;

use crate::central::Rsyslog;
use crate::support::*;

async fn opened(place: &Place) -> AuditStore {
    let state = place.path("state");
    fs::create_dir_all(&state).unwrap();
    AuditStore::open(&state, own_actor(), 1_000).await.unwrap()
}

/// Puts `count` records into the store of a place.
pub fn record(place: &Place, count: usize) {
    wait(async {
        let store = opened(place).await;
        for number in 0..count {
            let reason = format!("line one\nline two of {number}").as_str().into();
            store.append(Event::Frozen { reason }, 2_000 + number as i64).await.unwrap();
        }
        store.sign_head(3_000).await.unwrap();
        store.close().await;
    });
}

fn audit(place: &Place, arguments: &[&str]) -> Output {
    let state = place.path("state");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dogwatch"));
    command.arg("audit").args(arguments).args(["--state", state.to_str().unwrap()]);
    if place.path("policy.toml").exists() {
        command.args(["--policy", place.path("policy.toml").to_str().unwrap()]);
    }
    command.output().unwrap()
}

pub fn succeeds(place: &Place, arguments: &[&str]) -> String {
    let output = audit(place, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub fn fails(place: &Place, arguments: &[&str]) -> String {
    let output = audit(place, arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded: {}", text(&output.stdout));
    text(&output.stdout) + &text(&output.stderr)
}

/// Changes the file as somebody would who holds it and knows it: without the program, and with its triggers out of the way
/// for as long as that takes.
fn tamper(place: &Place, sql: &'static str) {
    wait(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("state/audit.db"));
        let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
        let triggers = sqlx::query_as("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'");
        let triggers: Vec<(String, String)> = triggers.fetch_all(&pool).await.unwrap();
        assert_eq!(triggers.len(), 12);
        for (name, _) in &triggers {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TRIGGER {name}"))).execute(&pool).await.unwrap();
        }
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        for (_, trigger) in triggers {
            sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(&pool).await.unwrap();
        }
        pool.close().await;
    });
}

#[test]
fn the_file_itself_refuses_to_change_or_lose_a_record() {
    let place = Place::new();
    record(&place, 3);
    for sql in ["UPDATE record SET body = '' WHERE number = 2", "DELETE FROM record", "DELETE FROM head"] {
        let error = wait(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("state/audit.db"));
            let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(sql).execute(&pool).await.unwrap_err().to_string()
        });
        assert!(error.contains("the audit only grows"), "{sql}: {error}");
    }
    assert!(
        succeeds(&place, &["verify"]).contains("4 records, whole; signed to 4; unwitnessed since 1970-01-01T00:00:01Z")
    );
}

#[test]
fn an_edited_a_deleted_an_inserted_record_and_a_cut_tail_are_each_found() {
    for (sql, expected) in [
        ("UPDATE record SET body = replace(body, 'two of 1', 'two of 7') WHERE number = 3", "record 3 was changed"),
        ("UPDATE record SET hash = '00' WHERE number = 3", "record 3 was changed"),
        ("DELETE FROM record WHERE number = 3", "record 3 is missing"),
        ("UPDATE record SET seq = -7 WHERE number = 3", "record 3 was moved from its place"),
        ("DELETE FROM record WHERE number = 1", "record 1 is missing"),
        ("UPDATE record SET number = number + 100 WHERE number > 3", "record 4 is missing"),
        (
            "INSERT INTO record (writer, number, at_ms, body, hash) SELECT writer, -1, 0, body, hash FROM record WHERE number = 2",
            "record 1 is missing",
        ),
        ("UPDATE head SET signature = 'none' WHERE number = 1", "head at record 1 does not fit"),
        ("DELETE FROM record WHERE number > 4", "ends at record 4"),
    ] {
        let place = Place::new();
        record(&place, 5);
        tamper(&place, sql);
        let said = fails(&place, &["verify"]);
        assert!(said.contains(expected), "{sql}: {said}");
    }
}

#[test]
fn a_file_that_has_no_more_its_triggers_or_tables_as_they_were_made_is_told() {
    let changed = |sql: &'static str| {
        let place = Place::new();
        record(&place, 3);
        wait(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("state/audit.db"));
            let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(sql).execute(&pool).await.unwrap();
            pool.close().await;
        });
        place
    };
    // The chain is still walked: nothing of it need be lost.
    let said = fails(&changed("DROP TRIGGER record_no_DELETE"), &["verify"]);
    assert!(said.contains("4 records, whole") && said.contains("its trigger 'record_no_DELETE' is not"), "{said}");
    // Records in a table of other columns are not read as if they were whole, and none is written beside them.
    let place = changed("ALTER TABLE record RENAME COLUMN body TO other");
    for arguments in [&["verify"][..], &["log"], &["export"]] {
        let said = fails(&place, arguments);
        assert!(said.contains("its table 'record' is not as this program makes it"), "{arguments:?}: {said}");
    }
    let refused = wait(AuditStore::open(&place.path("state"), own_actor(), 1_000)).err().unwrap();
    assert!(matches!(refused, AuditError::Broken { .. }), "{refused}");
}

#[test]
fn a_tail_cut_together_with_its_heads_is_found_by_what_others_saw() {
    let place = Place::new();
    record(&place, 5);
    let elsewhere = place.write("elsewhere", &succeeds(&place, &["export"]));
    let heads = ["verify", "--heads", elsewhere.to_str().unwrap()];
    assert!(succeeds(&place, &heads).contains("all of them witnessed elsewhere"));
    tamper(&place, "DELETE FROM record WHERE number > 4; DELETE FROM head WHERE number > 4");
    assert!(succeeds(&place, &["verify"]).contains("4 records, whole"));
    let said = fails(&place, &heads);
    assert!(said.contains("the chain ends at record 4, and others saw record 6"), "{said}");
}

#[test]
fn a_chain_that_was_begun_anew_is_found_by_what_others_saw() {
    let place = Place::new();
    record(&place, 2);
    let elsewhere = place.write("elsewhere", &succeeds(&place, &["export"]));
    fs::remove_file(place.path("state/audit.db")).unwrap();
    let state = place.path("state");
    let refused = wait(AuditStore::open(&state, own_actor(), 1_000)).err().unwrap();
    assert!(matches!(refused, AuditError::Gone { .. }), "{refused}");
    fs::remove_file(place.path("state/audit-key")).unwrap();
    record(&place, 2);
    let said = fails(&place, &["verify", "--heads", elsewhere.to_str().unwrap()]);
    assert!(said.contains("others saw records of this chain, and the store has none"), "{said}");
}

#[test]
fn ssh_keygen_itself_can_check_a_head() {
    let place = Place::new();
    record(&place, 1);
    let exported = succeeds(&place, &["export"]);
    let head = exported.lines().rfind(|line| line.starts_with("head ")).unwrap();
    let words: Vec<&str> = head.split(' ').collect();
    let armour: Vec<String> = words[3].as_bytes().chunks(70).map(|line| String::from_utf8_lossy(line).into()).collect();
    let signature = format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", armour.join("\n"));
    let signature = place.write("head.sig", &signature);
    let key = run("ssh-keygen", &["-y", "-f", place.path("state/audit-key").to_str().unwrap()]);
    let allowed = place.write("allowed", &format!("writer {key}"));
    let message = place.write("message", &words[..3].join(" "));
    let verify = ["-Y", "verify", "-I", "writer", "-n", "head@dogwatch", "-f", allowed.to_str().unwrap()];
    let checked = Command::new("ssh-keygen")
        .args(verify)
        .args(["-s", signature.to_str().unwrap()])
        .stdin(fs::File::open(message).unwrap())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

#[test]
fn records_arrive_in_rsyslog_over_tls_once_each_in_order_and_one_line_each() {
    let place = Place::new();
    let mut rsyslog = Rsyslog::over_tls();
    place.write("policy.toml", &rsyslog.policy());
    record(&place, 250);
    let sent = succeeds(&place, &["send"]);
    assert!(sent.contains("records and heads went to"), "{sent}");
    rsyslog.stop();
    let numbers: Vec<u64> = rsyslog
        .lines()
        .iter()
        .filter_map(|line| line.split(" audit ").nth(1)?.split(' ').next()?.split('-').nth(1)?.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=251).collect::<Vec<u64>>());
    let central = rsyslog.file();
    assert!(succeeds(&place, &["verify", "--heads", &central]).contains("all of them witnessed elsewhere"));
    assert!(succeeds(&place, &["reconcile", "--central", &central]).contains("251 records, the same"));
    let tampered = fs::read_to_string(&central).unwrap().replace("two of 17", "two of 99");
    let lines: Vec<&str> = tampered.lines().filter(|line| !line.contains("two of 20")).collect();
    fs::write(&central, lines.join("\n")).unwrap();
    let said = fails(&place, &["reconcile", "--central", &central]);
    assert!(said.contains("(frozen) is missing in the central log"), "{said}");
}

#[test]
fn what_rsyslog_missed_while_it_was_down_arrives_when_it_is_back() {
    let place = Place::new();
    let mut rsyslog = Rsyslog::over_tls();
    place.write("policy.toml", &rsyslog.policy());
    record(&place, 2);
    succeeds(&place, &["send"]);
    rsyslog.stop();
    record(&place, 3);
    let said = fails(&place, &["send"]);
    assert!(said.contains("Connection refused") && said.contains("everything waits in the store"), "{said}");
    rsyslog.start();
    succeeds(&place, &["send"]);
    rsyslog.stop();
    let central = rsyslog.file();
    assert!(succeeds(&place, &["reconcile", "--central", &central]).contains("6 records, the same"));
    let records = rsyslog.lines().iter().filter(|line| line.contains(" audit ")).count();
    assert_eq!(records, 6, "some record arrived twice");
}

#[test]
fn a_server_with_a_wrong_an_expired_or_an_unknown_certificate_gets_nothing() {
    for (name, days, days_ago, authority, expected) in [
        ("another.test", 30, 0, "ca.pem", "not valid for name"),
        ("rsyslog.test", 5, 20, "ca.pem", "expired"),
        ("rsyslog.test", 30, 0, "other.pem", "UnknownIssuer"),
    ] {
        let place = Place::new();
        let mut rsyslog = Rsyslog::over_tls();
        rsyslog.stop();
        fs::rename(rsyslog.place.path("ca.pem"), rsyslog.place.path("other.pem")).unwrap();
        rsyslog.certify(name, days, days_ago);
        rsyslog.start();
        place.write("policy.toml", &rsyslog.policy().replace("ca.pem", authority));
        record(&place, 1);
        let said = fails(&place, &["send"]);
        assert!(said.contains("refused, nothing was sent") && said.contains(expected), "{said}");
        rsyslog.stop();
        assert!(!rsyslog.lines().iter().any(|line| line.contains("audit")), "{:?}", rsyslog.lines());
    }
}

#[test]
fn a_record_of_the_largest_size_is_one_line_in_rsyslog() {
    let place = Place::new();
    let mut rsyslog = Rsyslog::over_tcp();
    place.write("policy.toml", &rsyslog.policy());
    let hosts: Vec<_> =
        (0..30).map(|number| dogwatch::domain::fleet::HostName::parse(&format!("h{number:0200}")).unwrap()).collect();
    let action = dogwatch::domain::action::ActionId::parse("logs.rotate").unwrap();
    wait(async {
        let store = opened(&place).await;
        let many = Event::Refused { action: action.clone(), hosts: hosts.clone(), why: "a\nb\r\0\u{2028}".into() };
        store.append(many, 2_000).await.unwrap();
        let hosts = [hosts.clone(), hosts].concat();
        let refused = store.append(Event::Refused { action, hosts, why: "too long".into() }, 2_001).await;
        assert!(matches!(refused, Err(AuditError::TooLarge(_))), "{refused:?}");
        store.append(Event::Frozen { reason: "after".into() }, 2_002).await.unwrap();
        store.close().await;
    });
    succeeds(&place, &["send"]);
    rsyslog.stop();
    // Heads and records are one line each: none was split.
    let lines = rsyslog.lines();
    assert!(
        lines.iter().all(|line| line.contains(" audit ") || line.contains(" head ") || !line.contains("dogwatch")),
        "{lines:?}"
    );
    assert!(lines.iter().filter(|line| line.contains(" audit ")).all(|line| line.ends_with('}')), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains(" audit ")).count(), 3);
    assert!(succeeds(&place, &["reconcile", "--central", &rsyslog.file()]).contains("3 records, the same"));
}

#[test]
fn a_locked_file_refuses_the_record_after_a_bounded_wait() {
    let place = Place::new();
    wait(async {
        let store = opened(&place).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("state/audit.db"));
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&pool).await.unwrap();
        let append = store.append(Event::Frozen { reason: "now".into() }, 2_000);
        let refused = tokio::time::timeout(GUARD, append).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("locked") && refused.contains("nothing is done without a record"), "{refused}");
        sqlx::raw_sql("ROLLBACK").execute(&pool).await.unwrap();
        store.append(Event::Frozen { reason: "now".into() }, 2_000).await.unwrap();
    });
}

#[test]
fn a_full_disk_refuses_the_record_and_a_freed_one_takes_the_next() {
    let place = Place::new();
    let small = place.mount_tmpfs("state", "size=300k");
    wait(async {
        let store = opened(&place).await;
        fs::write(small.join("filler"), vec![0; 290_000]).unwrap_err();
        let mut refused = None;
        for number in 0..200 {
            let reason = "x".repeat(900).as_str().into();
            if let Err(error) = store.append(Event::Frozen { reason }, number).await {
                refused = Some(error.to_string());
                break;
            }
        }
        let refused = refused.expect("a full disk took two hundred records");
        assert!(refused.contains("nothing is done without a record"), "{refused}");
        fs::remove_file(small.join("filler")).unwrap();
        store.append(Event::Thawed { reason: "room".into() }, 300).await.unwrap();
        store.close().await;
    });
    assert!(succeeds(&place, &["verify"]).contains("whole"));
}

#[test]
fn of_many_processes_each_record_has_its_own_place() {
    let place = Place::new();
    record(&place, 1);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let state = place.path("state");
            std::thread::spawn(move || {
                wait(async {
                    let store = AuditStore::open(&state, own_actor(), 1_000).await.unwrap();
                    for _ in 0..25 {
                        store.append(Event::Frozen { reason: "one of many".into() }, 5_000).await.unwrap();
                    }
                    store.close().await;
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(succeeds(&place, &["verify"]).contains("102 records, whole"));
}

#[test]
fn a_log_is_filtered_and_shown_as_it_is_stored() {
    let place = Place::new();
    record(&place, 2);
    let log = succeeds(&place, &["log"]);
    assert_eq!(log.lines().count(), 3);
    assert!(log.contains("frozen         root: no action runs any more: line one␊line two of 1"), "{log}");
    assert_eq!(succeeds(&place, &["log", "--kind", "writer_started"]).lines().count(), 1);
    assert_eq!(succeeds(&place, &["log", "--user", "nobody"]), "");
    assert_eq!(succeeds(&place, &["log", "--since", "2026-01-01"]), "");
    let json = succeeds(&place, &["log", "--json"]);
    assert!(json.lines().all(|line| line.starts_with("{\"actor\":{\"from\":")), "{json}");
}
