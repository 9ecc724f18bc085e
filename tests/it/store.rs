//! The store and attached processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::*;

fn collect(place: &Place, hosts: &str) -> (Running, Lines) {
    let hosts = place.write("hosts.toml", hosts);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dogwatch"))
        .args(["collect", "--hosts", hosts.to_str().unwrap(), "--state", place.path("state").to_str().unwrap()])
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let said = Lines::of(child.stderr.take().unwrap());
    said.wait_for("watching");
    (Running(child), said)
}

/// Waits until the store's feed shows what is wanted.
fn follow_until(place: &Place, what: &str, wanted: impl Fn(&dogwatch::domain::board::Board) -> bool) {
    use dogwatch::engine::feed::FeedMessage;
    let feed = dogwatch::engine::follow::follow(place.path("state/series.db"));
    let mut board = dogwatch::domain::board::Board::default();
    let deadline = std::time::Instant::now() + GUARD;
    while !wanted(&board) {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match feed.recv_timeout(left) {
            Ok(FeedMessage::Inputs(inputs)) => inputs.iter().for_each(|input| board.apply(input)),
            Ok(FeedMessage::Reload(reloaded)) => board = *reloaded,
            Ok(FeedMessage::Alive { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn a_check_beside_a_running_engine_reads_its_store_and_logs_in_nowhere() {
    let sshd = Sshd::start();
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let hosts = format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.web1]\n", config.display());
    let (_engine, _) = collect(&sshd.place, &hosts);
    follow_until(&sshd.place, "web1 is read", |board| check_line(board, "web1", "host.load").is_some());
    let before = sshd.logins();
    let output =
        dogwatch(&sshd.place, &["check", "--json", "--hosts", sshd.place.path("hosts.toml").to_str().unwrap(), "web1"]);
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    assert_eq!(json["hosts"][0]["state"], "connected", "{json}");
    assert_eq!(sshd.logins(), before);
}

#[test]
fn a_second_engine_on_one_state_directory_is_refused() {
    let place = Place::new();
    let (engine, _) = collect(&place, "[host.me]\nlocal = true\n");
    let second = dogwatch(&place, &["collect", "--hosts", place.path("hosts.toml").to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    let told = text(&second.stderr);
    assert!(told.contains(&format!("is polled by process {} already", engine.0.id())), "{told}");
}

#[test]
fn a_killed_engine_loses_no_transition_and_the_next_goes_on() {
    let place = Place::new();
    let (engine, _) = collect(&place, &format!("{FAST}[host.me]\nlocal = true\n"));
    follow_until(&place, "me is read", |board| check_line(board, "me", "host.load").is_some());
    drop(engine);
    let (_engine, _) = collect(&place, &format!("{FAST}[host.me]\nlocal = true\n"));
    follow_until(&place, "me is there still", |board| check_line(board, "me", "host.load").is_some());
}

#[test]
fn a_broken_reload_keeps_the_old_configuration_and_says_so() {
    let place = Place::new();
    let (engine, _) = collect(&place, &format!("{FAST}[host.me]\nlocal = true\n"));
    follow_until(&place, "me is read", |board| check_line(board, "me", "host.load").is_some());
    place.write("hosts.toml", "[host.me\n");
    run("kill", &["-HUP", &engine.0.id().to_string()]);
    follow_until(&place, "the banner", |board| !board.config_errors.is_empty() && board.hosts.contains_key("me"));
    place.write("hosts.toml", &format!("{FAST}[host.me]\nlocal = true\n[host.'n[1-2]']\n"));
    run("kill", &["-HUP", &engine.0.id().to_string()]);
    follow_until(&place, "the new hosts", |board| board.config_errors.is_empty() && board.hosts.len() == 3);
}

#[test]
fn a_corrupt_store_is_refused_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::set_permissions(place.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let garbage = "this is no database".repeat(500);
    fs::write(place.path("state/series.db"), &garbage).unwrap();
    let output = dogwatch(&place, &["check"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("it was left as it is"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(place.path("state/series.db")).unwrap(), garbage);
}

#[test]
fn a_store_of_another_schema_is_refused() {
    let place = Place::new();
    assert!(dogwatch(&place, &["check"]).status.code().is_some());
    let database = place.path("state/series.db");
    let mut bytes = fs::read(&database).unwrap();
    // The user version is the big-endian number at offset 60 of the header.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();
    let output = dogwatch(&place, &["check"]);
    assert!(text(&output.stderr).contains("schema 99"), "{}", text(&output.stderr));
}

#[test]
fn a_state_directory_that_others_may_write_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::set_permissions(place.path("state"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = dogwatch(&place, &["check"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("chmod 700"), "{}", text(&output.stderr));
}

#[test]
fn trends_survive_a_restart() {
    let place = Place::new();
    let mut watch = Watch::start(&place, &format!("{FAST}[host.me]\nlocal = true\n"));
    watch.polls("me", 4);
    watch.stop();
    let watch = Watch::start(
        &place,
        &format!("{FAST}cadence = '1s'\n[host.me]\nlocal = true\n").replacen("cadence = '1s'\n", "", 1),
    );
    let board = watch.stop();
    assert!(board.hosts["me"].trends.values().any(|trend| !trend.points().is_empty()));
}
