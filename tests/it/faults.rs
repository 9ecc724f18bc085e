//! Hosts that misbehave.

use std::io::Write;
use std::net::TcpListener;

use dogwatch::adapters::clock;
use dogwatch::domain::observed::Quality;
use dogwatch::domain::status::Status;

use crate::support::*;

fn why(board: &dogwatch::domain::board::Board, host: &str) -> String {
    let (state, why) = board.hosts[host].link();
    format!("{state}: {}", why.map(|why| why.to_string()).unwrap_or_default())
}

const SHORT: &str = "connect_deadline = '500ms'\ndeadline = '3s'\nslow_deadline = '3s'\n";

/// A host whose every session runs `command` instead of what was asked.
fn forced(command: &str) -> (Sshd, Watch) {
    let sshd = Sshd::start_with(&format!("ForceCommand {command}"));
    let config = sshd.place.write("config", &sshd.ssh_config("bad", "root"));
    let watch = Watch::start(
        &sshd.place,
        &format!("ssh_config = '{}'\n{FAST}{SHORT}output_bytes_max = 65536\n[host.bad]\n", config.display()),
    );
    (sshd, watch)
}

fn load(board: &dogwatch::domain::board::Board) -> String {
    check_line(board, "bad", "host.load").unwrap_or_default()
}

#[test]
fn exit_zero_without_output_is_no_data() {
    let (_sshd, mut watch) = forced("/bin/true");
    watch.until("it is unknown", |board| load(board).contains("without an exit status of the script"));
    assert!(load(&watch.board).starts_with("UNKNOWN"));
}

#[test]
fn plausible_output_with_another_exit_status_is_an_error() {
    let (_sshd, mut watch) = forced("/bin/sh -c '/bin/sh; exit 3'");
    watch.until("it is refused", |board| load(board).contains("the shell ended with status 3"));
}

#[test]
fn a_shell_that_is_killed_is_an_error() {
    let (_sshd, mut watch) = forced("/bin/sh -c 'kill -9 $$'");
    watch.until("it is told", |board| {
        load(board).contains("ended by signal") || load(board).contains("ended with status 137")
    });
}

#[test]
fn endless_output_is_cut_and_told() {
    let (_sshd, mut watch) = forced("/usr/bin/yes");
    watch.until("it is cut", |board| load(board).contains("more output than output_bytes_max"));
}

#[test]
fn a_host_that_hangs_after_login_keeps_nothing_waiting() {
    let (sshd, mut watch) = forced("/bin/cat /proc/self/fd/3");
    sshd.place.write("note", "");
    watch.until("a failed command is told", |board| load(board).contains("status 1"));
    let (_sshd, mut watch) = forced("/bin/sh -c 'exec sleep 1000'");
    watch.until("the deadline passes", |board| why(board, "bad").starts_with("timed-out"));
}

#[test]
fn noise_of_a_login_shell_harms_nothing() {
    let (_sshd, mut watch) = forced("/bin/sh -c 'echo Welcome; echo @@x 0 0; exec /bin/sh'");
    watch.until("it is read", |board| load(board).starts_with("OK"));
}

#[test]
fn silent_rude_and_half_open_servers_have_names_and_deadlines() {
    let place = Place::new();
    let number = unique();
    let silent = TcpListener::bind(format!("127.3.{number}.1:{PORT}")).unwrap();
    let rude = TcpListener::bind(format!("127.3.{number}.2:{PORT}")).unwrap();
    let half = TcpListener::bind(format!("127.3.{number}.3:{PORT}")).unwrap();
    std::thread::spawn(move || {
        for stream in rude.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in half.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"SSH-2.0-stuck\r\n");
            held.push(stream);
        }
    });
    let block = |name: &str, last: u32| {
        format!(
            "Host {name}\n  HostName 127.3.{number}.{last}\n  Port {PORT}\n  UserKnownHostsFile /dev/null\n  IdentityAgent none\n"
        )
    };
    let config = format!(
        "{}{}{}Host refused\n  HostName 127.3.{number}.4\n  Port {PORT}\nHost nowhere\n  HostName no.such.name.invalid\n",
        block("silent", 1),
        block("rude", 2),
        block("half", 3)
    );
    let config = place.write("config", &config);
    let hosts = "[host.silent]\n[host.rude]\n[host.half]\n[host.refused]\n[host.nowhere]\n";
    let mut watch = Watch::start(&place, &format!("ssh_config = '{}'\n{FAST}{SHORT}{hosts}", config.display()));
    watch.until("no banner", |board| why(board, "silent").contains("it sent no SSH banner"));
    watch
        .until("no SSH", |board| why(board, "rude").starts_with("lost") || why(board, "rude").starts_with("timed-out"));
    watch.until("no key exchange", |board| why(board, "half").contains("key exchange did not finish"));
    watch.until("refused", |board| {
        why(board, "refused").contains("unreachable") && why(board, "refused").contains("refused")
    });
    watch.until("no name", |board| why(board, "nowhere").contains("its name is not known"));
    drop(silent);
}

#[test]
fn a_stopped_host_turns_retrying_then_stale_and_thirty_others_lose_no_poll() {
    let (dead, alive) = (Sshd::start(), Sshd::start_with("MaxStartups 200"));
    let others: Vec<String> = (0..30).map(|number| format!("h{number}")).collect();
    let mut config = dead.ssh_config("dead", "root");
    config.extend(others.iter().map(|name| alive.ssh_config(name, "root")));
    let config = dead.place.write("config", &config);
    let hosts: String = others.iter().map(|name| format!("[host.{name}]\n")).collect();
    let text = format!(
        "ssh_config = '{}'\n{}deadline = '8s'\nconnect_deadline = '20s'\n[defaults.disk]\nsmart = false\n[host.dead]\n{hosts}",
        config.display(),
        FAST.replacen("cadence = '1s'", "cadence = '3s'", 1)
    );
    let mut watch = Watch::start(&dead.place, &text);
    watch.until("all have answered", |board| board.hosts.values().filter(|host| host.has_answered()).count() == 32);
    dead.signal("-STOP");
    watch.until("its cells are retrying", |board| {
        board.hosts["dead"].views(clock::now()).any(|view| view.quality == Quality::Fresh && view.retrying.is_some())
    });
    let view_at = |board: &dogwatch::domain::board::Board| {
        let host = &board.hosts["dead"];
        let now = clock::now();
        host.of_kind(dogwatch::domain::check::CheckKind::HostLoad, now)
            .next()
            .map(|view| (view.quality, view.status, view.last_status))
    };
    watch.until("its cells are stale", |board| view_at(board).is_some_and(|(quality, ..)| quality == Quality::Stale));
    let (_, status, last) = view_at(&watch.board).unwrap();
    assert_eq!((status, last), (Status::Unknown, Status::Ok));
    let now = clock::now();
    for name in &others {
        let fresh = watch
            .host(name)
            .of_kind(dogwatch::domain::check::CheckKind::HostLoad, now)
            .all(|view| view.quality == Quality::Fresh);
        assert!(fresh, "{name} lost polls:\n{}", watch.show());
    }
    dead.signal("-CONT");
    watch.until("it comes back", |board| view_at(board).is_some_and(|(quality, ..)| quality == Quality::Fresh));
}

#[test]
fn channels_that_are_refused_lead_to_no_storm_of_logins() {
    let sshd = Sshd::start_with("MaxSessions 0");
    let config = sshd.place.write("config", &sshd.ssh_config("bad", "root"));
    let mut watch = Watch::start(
        &sshd.place,
        &format!(
            "ssh_config = '{}'\n{FAST}{SHORT}[defaults.disk]\nsmart = false\n[host.bad]\n[host.me]\nlocal = true\n",
            config.display()
        ),
    );
    watch.until("the refusal is told", |board| why(board, "bad").starts_with("lost"));
    watch.polls("me", 3);
    assert!(sshd.logins() <= 2, "{} logins", sshd.logins());
}

#[test]
fn a_login_that_is_refused_is_not_tried_again_at_once() {
    let sshd = Sshd::start();
    sshd.place.write("user.pub", "");
    let config = sshd.place.write("config", &sshd.ssh_config("bad", "root"));
    let mut watch = Watch::start(
        &sshd.place,
        &format!(
            "ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.bad]\n[host.me]\nlocal = true\n",
            config.display()
        ),
    );
    watch.until("it is told", |board| why(board, "bad").starts_with("auth-failed"));
    watch.polls("me", 6);
    assert_eq!(sshd.log.count("Connection from"), 1);
}

#[test]
fn hosts_that_take_passwords_only_or_sha1_only_are_unsupported_by_name() {
    let password = Sshd::start_with("AuthenticationMethods password\nPasswordAuthentication yes");
    let place = Place::new();
    let config = place.write("config", &password.ssh_config("password", "root"));
    let mut watch = Watch::start(&place, &format!("ssh_config = '{}'\n{FAST}[host.password]\n", config.display()));
    watch.until("it is unsupported", |board| {
        why(board, "password").starts_with("unsupported: the host takes no public keys")
    });
}
