//! Guarded actions on real hosts: a real sshd, a real logrotate, a real rsyslog, and people with accounts and keys.

use std::fs;

use crate::central::Rsyslog;
use crate::office::*;
use crate::support::*;

/// The id after a word of a line.
fn id_after(said: &str, word: &str) -> String {
    let line = said.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no '{word}' in {said}"));
    line.split(word).nth(1).unwrap().split([' ', ':']).next().unwrap().to_owned()
}

/// The host's own log holds this line once rsyslog has written it.
fn until_own_log_holds(text: &str) {
    let deadline = std::time::Instant::now() + GUARD;
    while !fs::read_to_string("/var/log/auth.log").unwrap_or_default().contains(text) {
        assert!(std::time::Instant::now() < deadline, "'{text}' is not in the host's own log");
        std::thread::yield_now();
    }
}

#[test]
fn a_rotation_is_planned_confirmed_done_and_found_in_three_places() {
    own_syslog();
    let mut central = Rsyslog::over_tls();
    let office = Office::new(&format!("{}\n", central.policy()));
    let sshd = Sshd::start();
    office.reach(&sshd, "web1");
    let log = office.place.write("app.log", "one\ntwo\n");
    fs::create_dir_all("/etc/logrotate.d").unwrap();
    let config = format!("/etc/logrotate.d/app{}", unique());
    fs::write(&config, format!("{} {{\n  rotate 3\n  su root root\n}}\n", log.display())).unwrap();
    let wish = ["logs.rotate", "web1", &format!("config={config}")];
    let planned = office.succeeds("anna", &[&["action", "plan"], &wish[..]].concat());
    assert!(planned.contains(&format!("runs: logrotate --force {config}")), "{planned}");
    assert!(planned.contains("rotating pattern") && planned.contains("needs no approval"), "{planned}");
    assert!(log.exists(), "a plan rotated");

    let said = office.succeeds("anna", &[&["action", "run"], &wish[..], &["--confirm", "web1"]].concat());
    assert!(said.contains("web1: ● done: /var/lib/logrotate/status was written"), "{said}");
    assert!(!log.exists() && office.place.path("app.log.1").exists());
    let intent = id_after(&said, "web1: begins, ");
    until_own_log_holds(&format!("dogwatch: action {intent} ends: exit 0"));
    central.stop();
    assert!(central.lines().iter().any(|line| line.contains(&format!(" audit {intent} "))));
    let audit = office.succeeds("anna", &["audit", "log", "--id", &intent]);
    for kind in ["intent", "sent", "outcome"] {
        assert!(audit.contains(&format!("  {kind} ")), "{audit}");
    }
    office.succeeds("anna", &["audit", "verify", "--heads", &central.file()]);
    office.succeeds("anna", &["audit", "reconcile", "--central", &central.file()]);
    assert!(!fs::exists(format!("/run/dogwatch/{intent}")).unwrap(), "something stayed on the host");
}

#[test]
fn only_the_hosts_name_byte_for_byte_confirms() {
    let office = Office::new("");
    let file = office.place.path("gate");
    let wish = ["action", "run", "test.wait", "me", &format!("file={}", file.display())];
    for typed in ["Me", "me ", " me", "mе", "m", "", "me\r", "\u{200b}me"] {
        let said = office.fails("anna", &[&wish[..], &["--confirm", typed]].concat());
        assert!(said.contains("type 'me' to confirm it"), "{typed:?}: {said}");
    }
    assert!(!office.place.path("gate.runs").exists(), "something ran");
    let audit = office.succeeds("anna", &["audit", "log"]);
    assert!(!audit.contains("  claimed ") && !audit.contains("  intent "), "{audit}");
}

#[test]
fn an_exit_of_nought_without_its_effect_is_a_failure() {
    let office = Office::new("");
    let said = office.fails("anna", &["action", "run", "test.fail", "me", "--confirm", "me"]);
    assert!(said.contains("me: all is well") && said.contains("✖ failed: exit 0; its effect is not there"), "{said}");
}

#[test]
fn output_is_cut_at_its_limit_and_hashed() {
    let office = Office::new("");
    let said = office.succeeds("anna", &["action", "run", "test.loud", "me", "--confirm", "me"]);
    assert!(said.contains("● done"), "{said}");
    let record = office.succeeds("anna", &["audit", "log", "--kind", "outcome", "--json"]);
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["event"]["output_bytes"], 10_000);
    let expected = dogwatch::domain::audit::digest::Digest::of(&[0; 10_000]).to_string();
    assert_eq!(record["event"]["output"], expected);
}

/// Two people and a file that only an agreed request may write.
fn wish(file: &str) -> [&str; 4] {
    ["test.write", "me", "text=done", file]
}

#[test]
fn nobody_agrees_to_their_own_request_by_any_path() {
    let office = Office::new("");
    let target = office.place.path("target");
    fs::write(&target, "").unwrap();
    std::os::unix::fs::chown(&target, Some(65_002), None).unwrap();
    let file = format!("file={}", target.display());
    // Bert may act and agree; not to what is his own.
    let request = office.proposed("bert", &wish(&file));
    let key = office.place.path("bert.key");
    let sign = ["approval", "sign", &request, "--confirm", &request, "--key", key.to_str().unwrap()];
    let said = office.fails("bert", &sign);
    assert!(said.contains("nobody agrees to their own request"), "{said}");
    let run = ["action", "run", "--request", &request, "--confirm", "me"];
    let said = office.fails("bert", &run);
    assert!(said.contains(&format!("{request} has 0 of 1 approvals")), "{said}");
    // Anna's role agrees to nothing; and her word under carl's name has not carl's signature.
    let key = office.place.path("anna.key");
    let sign = ["approval", "sign", &request, "--confirm", &request, "--key", key.to_str().unwrap()];
    let said = office.fails("anna", &sign);
    assert!(said.contains("no role of anna may agree to it"), "{said}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "");
    let audit = office.succeeds("bert", &["audit", "log", "--kind", "refused"]);
    assert!(audit.lines().count() == 2, "{audit}");
}

#[test]
fn a_word_written_into_the_store_by_hand_counts_for_nothing() {
    use dogwatch::adapters::audit::{own_actor, store::AuditStore};
    use dogwatch::domain::action::PersonName;
    use dogwatch::domain::action::verdict::{Statement, Word};
    use dogwatch::domain::audit::record::{AuditId, Event, Verdict};
    let office = Office::new("");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &wish(&file));
    let id = AuditId::parse(&request).unwrap();
    let exported = office.succeeds("anna", &["approval", "export", &request]);
    let body: dogwatch::domain::action::verdict::Request =
        dogwatch::domain::audit::canonical::decode(exported.trim().as_bytes()).unwrap();
    // Anna holds her own store: she puts bert's word into it, signed by herself, as a proper record of the chain.
    let by = PersonName::parse("bert").unwrap();
    let (plan, expires_ms) = (body.hash(), body.expires_ms);
    let statement = Statement {
        word: Word::Approve,
        request: id.clone(),
        plan,
        by: by.clone(),
        reason: "".into(),
        at_ms: 0,
        expires_ms,
    };
    let statement = statement.encode().unwrap();
    let key = office.place.path("anna.key");
    let signature = dogwatch::adapters::ssh_sign::sign_with(
        &key,
        dogwatch::domain::signature::Purpose::Verdict,
        statement.as_bytes(),
    );
    let verdict = Verdict { request: id, plan, by, statement, signature: signature.unwrap() };
    let state = office.place.path("anna");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let store = AuditStore::open(&state, own_actor(), 0).await.unwrap();
        store.append(Event::Approved(verdict), 0).await.unwrap();
        store.close().await;
    });
    for file in fs::read_dir(&state).unwrap() {
        std::os::unix::fs::chown(file.unwrap().path(), Some(65_001), Some(65_001)).unwrap();
    }
    let said = office.fails("anna", &["action", "run", "--request", &request, "--confirm", "me"]);
    assert!(said.contains("has 0 of 1 approvals; one of bert does not count: bert: no key of theirs"), "{said}");
    assert!(!office.place.path("target").exists());
}

#[test]
fn of_two_that_race_with_one_grant_exactly_one_runs() {
    let office = Office::new("");
    let target = office.place.path("target");
    fs::write(&target, "").unwrap();
    std::os::unix::fs::chown(&target, Some(65_001), None).unwrap();
    let file = format!("file={}", target.display());
    let runs = if std::env::var("DOGWATCH_TEST_LONG").is_ok_and(|long| !long.is_empty()) { 100 } else { 5 };
    for round in 1..=runs {
        let request = office.proposed("anna", &wish(&file));
        office.agrees("bert", &request);
        let run = ["action", "run", "--request", &request, "--confirm", "me"];
        let racers: Vec<_> = (0..2)
            .map(|_| {
                office
                    .command("anna", &run)
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let ended: Vec<_> = racers.into_iter().map(|racer| racer.wait_with_output().unwrap()).collect();
        let said: Vec<String> = ended.iter().map(|output| text(&output.stdout) + &text(&output.stderr)).collect();
        assert_eq!(ended.iter().filter(|output| output.status.success()).count(), 1, "{said:#?}");
        assert_eq!(fs::read_to_string(&target).unwrap().lines().count(), round, "{said:#?}");
        let again = office.fails("anna", &run);
        assert!(again.contains("was carried out once already"), "{again}");
    }
    office.succeeds("anna", &["audit", "verify"]);
}

#[test]
fn one_denial_is_the_end_of_a_request_whatever_else_was_said() {
    let office = Office::new("");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &wish(&file));
    office.agrees("bert", &request);
    let key = office.place.path("carl.key");
    let sign = ["approval", "sign", &request, "--confirm", &request, "--deny", "not tonight", "--key"];
    office.succeeds("carl", &[&sign[..], &[key.to_str().unwrap()]].concat());
    let said = office.fails("anna", &["action", "run", "--request", &request, "--confirm", "me"]);
    assert!(said.contains("was denied by carl: not tonight"), "{said}");
    assert!(!office.place.path("target").exists());
}

#[test]
fn what_was_agreed_to_is_void_once_anything_of_it_differs() {
    let office = Office::new("");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &wish(&file));
    office.agrees("bert", &request);
    let run = ["action", "run", "--request", &request, "--confirm", "me"];
    let policy = office.place.path("policy.toml");
    let whole = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, format!("{whole}# changed\n")).unwrap();
    let said = office.fails("anna", &run);
    assert!(said.contains("the request is about another plan: the policy"), "{said}");
    fs::write(&policy, whole).unwrap();
    // Another request's approval is none of this one.
    let other = office.proposed("anna", &wish(&file));
    let said = office.fails("anna", &["action", "run", "--request", &other, "--confirm", "me"]);
    assert!(said.contains(&format!("{other} has 0 of 1 approvals")), "{said}");
    assert!(!office.place.path("target").exists());
}

#[test]
fn a_host_with_another_key_than_the_plan_s_is_another_host() {
    let office = Office::new("");
    let sshd = Sshd::start();
    office.reach(&sshd, "me");
    let target = office.place.path("target");
    let file = format!("file={}", target.display());
    let request = office.proposed("anna", &wish(&file));
    office.agrees("bert", &request);
    let other = Sshd::start();
    office.reach(&other, "me");
    let said = office.fails("anna", &["action", "run", "--request", &request, "--confirm", "me"]);
    assert!(said.contains("the request is about another plan: the host key of me"), "{said}");
    assert!(!target.exists());
}

#[test]
fn an_expired_request_is_void() {
    let office = Office::new("expiry = '1s'");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &wish(&file));
    let made = std::time::Instant::now();
    while made.elapsed() < std::time::Duration::from_millis(1_100) {
        std::thread::yield_now();
    }
    let run = ["action", "run", "--request", &request, "--confirm", "me"];
    let said = office.fails("anna", &run);
    assert!(said.contains(&format!("{request} expired")), "{said}");
    assert!(!office.place.path("target").exists());
}

#[test]
fn a_clock_that_was_set_back_extends_nothing() {
    use dogwatch::adapters::audit::{own_actor, store::AuditStore};
    use dogwatch::domain::audit::record::Event;
    let office = Office::new("expiry = '1h'");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &wish(&file));
    office.agrees("bert", &request);
    // Something was put on record two hours later, and then the clock was set back.
    let later = chrono::Utc::now().timestamp_millis() + 7_200_000;
    let state = office.place.path("anna");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let store = AuditStore::open(&state, own_actor(), later).await.unwrap();
        store.append(Event::Thawed { reason: "as of later".into() }, later).await.unwrap();
        store.close().await;
    });
    for file in fs::read_dir(&state).unwrap() {
        std::os::unix::fs::chown(file.unwrap().path(), Some(65_001), Some(65_001)).unwrap();
    }
    let said = office.fails("anna", &["action", "run", "--request", &request, "--confirm", "me"]);
    assert!(said.contains(&format!("{request} expired")), "{said}");
    assert!(!office.place.path("target").exists());
}

/// A file that anna may write to on her own machine.
fn annas_file(office: &Office, name: &str) -> String {
    let target = office.place.path(name);
    fs::write(&target, "").unwrap();
    std::os::unix::fs::chown(&target, Some(65_001), None).unwrap();
    format!("file={}", target.display())
}

#[test]
fn a_hold_refuses_until_the_role_that_may_has_lifted_it() {
    let hold = "[hold.evidence]\npaths = ['/run/dw']\nby = 'Security'\nsince = '2026-03-03'\nreview = '2026-04-03'\n\
        lifted_by = 'security'\nreason = 'break-in attempts'\n";
    let office = Office::new(&format!("[rule.none]\nactions = ['*']\napprovals = 0\n{hold}"));
    let file = annas_file(&office, "target");
    let run = [&["action", "run"], &wish(&file)[..], &["--confirm", "me"]].concat();
    let said = office.fails("anna", &run);
    let words = "held: evidence: nothing under /run/dw may go, by order of Security since 2026-03-03, review 2026-04-03, \
        lifted by role security";
    assert!(said.contains(words), "{said}");
    let lift = |who: &str| {
        let key = office.place.path(&format!("{who}.key"));
        office.run(who, &["approval", "lift", "evidence", "--key", key.to_str().unwrap()])
    };
    assert!(!lift("anna").status.success());
    assert!(office.fails("anna", &run).contains("held: evidence"));
    let lifted = lift("carl");
    assert!(lifted.status.success(), "{}", text(&lifted.stderr));
    let said = office.succeeds("anna", &run);
    assert!(said.contains("● done"), "{said}");
}

#[test]
fn a_freeze_refuses_everything_and_breaking_the_glass_does_not_end_it() {
    let office = Office::new("");
    let policy = fs::read_to_string(office.place.path("policy.toml")).unwrap();
    office.place.write("policy.toml", &policy.replace("[role.operator]\n", "[role.operator]\nbreaks_glass = true\n"));
    let file = annas_file(&office, "target");
    let glass = ["--confirm", "me", "--break-glass", "payments stand still since 13:30"];
    let run = [&["action", "run"], &wish(&file)[..], &glass[..]].concat();
    office.succeeds("anna", &["action", "freeze", "an", "investigation"]);
    assert!(office.fails("anna", &run).contains("frozen: an investigation"));
    office.succeeds("anna", &["action", "thaw", "it is over"]);
    let said = office.succeeds("anna", &run);
    assert!(said.contains("● done"), "{said}");
    let audit = office.succeeds("anna", &["audit", "log", "--kind", "break_glass"]);
    assert!(audit.contains("WITHOUT APPROVAL: payments stand still since 13:30"), "{audit}");
    let short = [&["action", "run"], &wish(&file)[..], &["--confirm", "me", "--break-glass", "why"]].concat();
    assert!(office.fails("anna", &short).contains("needs a reason of at least"));
}

#[test]
fn can_says_why_and_why_not() {
    let office = Office::new("");
    let can = |user: &str, action: &str| {
        let output = office.run("anna", &["action", "can", user, action, "me"]);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    for (user, action, expected, words) in [
        ("dw-anna", "test.fail", true, "yes: anna may test.fail by the role operator"),
        ("dw-anna", "test.write", true, "yes, with 1 approvals of others"),
        ("dw-carl", "test.fail", false, "no role of carl (approver security) may test.fail"),
        ("mallory", "test.fail", false, "knows no person with the account mallory"),
    ] {
        let (may, said) = can(user, action);
        assert!(may == expected && said.contains(words), "{user} {action}: {said}");
    }
}

/// Whatever the catalogue holds, now or later, who may only look may do none of it.
#[test]
fn no_action_of_the_catalogue_is_for_somebody_without_its_role() {
    let office = Office::new("");
    let listed = office.succeeds("anna", &["action", "list"]);
    let actions: Vec<&str> = listed
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_ascii_whitespace().next())
        .collect();
    assert!(actions.contains(&"logs.archive-purge") && actions.contains(&"unit.restart"), "{listed}");
    for action in actions {
        for user in ["dw-carl", "mallory"] {
            let said = office.fails("anna", &["action", "can", user, action, "me"]);
            assert!(said.contains("no: "), "{user} {action}: {said}");
        }
    }
}

#[test]
fn a_policy_that_the_actor_could_change_agrees_to_nothing() {
    let office = Office::new("[rule.none]\nactions = ['*']\napprovals = 0\n");
    let policy = office.place.path("anna/policy.toml");
    fs::copy(office.place.path("policy.toml"), &policy).unwrap();
    std::os::unix::fs::chown(&policy, Some(65_001), Some(65_001)).unwrap();
    let file = annas_file(&office, "target");
    let mut words = office.words("anna", &[&["action", "run"], &wish(&file)[..], &["--confirm", "me"]].concat());
    let place = words.iter().position(|word| word == "--policy").unwrap();
    words[place + 1] = policy.to_str().unwrap().to_owned();
    let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("you could change this policy yourself"), "{said}");
    assert_eq!(fs::read_to_string(office.place.path("target")).unwrap(), "");
}
