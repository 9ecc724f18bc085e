//! Networks and servers that fail half way.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dogwatch::domain::board::Board;

use crate::bad_host::{Answer, BadHost};
use crate::support::*;

fn why(board: &Board, host: &str) -> String {
    let (state, why) = board.hosts[host].link();
    format!("{state}: {}", why.map(|why| why.to_string()).unwrap_or_default())
}

fn load(board: &Board) -> String {
    check_line(board, "bad", "host.load").unwrap_or_default()
}

/// After its first poll a host is left in peace.
fn idle() -> String {
    FAST.replace("cadence = '1s'\ncron_cadence = '1m'", "cadence = '1h'\ncron_cadence = '1h'")
}

fn forced(command: &str, more: &str) -> (Sshd, Watch) {
    let sshd = Sshd::start_with(&format!("ForceCommand {command}"));
    let config = sshd.place.write("config", &sshd.ssh_config("bad", "root"));
    let hosts = format!("ssh_config = '{}'\n{FAST}{more}[host.bad]\n", config.display());
    let watch = Watch::start(&sshd.place, &hosts);
    (sshd, watch)
}

fn against(bad: &BadHost, more: &str) -> Watch {
    let config = bad.place.write("config", &bad.ssh_config());
    let hosts =
        format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n{more}[host.bad]\n", config.display());
    Watch::start(&bad.place, &hosts)
}

#[test]
fn a_host_that_trickles_is_cut_at_the_absolute_deadline() {
    let (_sshd, mut watch) = forced("/bin/sh -c 'while :; do echo x; sleep 0.3; done'", "deadline = '2s'\n");
    watch.until("the deadline passes", |board| load(board).contains("no answer within the deadline"));
}

#[test]
fn a_link_that_breaks_in_the_middle_of_an_answer_gives_no_value() {
    let place = Place::new();
    // Answers the beginning, then kills the sshd that carries the session.
    let break_link = place.write(
        "break",
        "head -n 30 | /bin/sh\nnext=$$ name=\n\
         while [ \"$name\" != '(sshd)' ]; do pid=$next; read -r _ name _ next _ <\"/proc/$pid/stat\"; done\nkill -9 $pid\n",
    );
    let (_sshd, mut watch) = forced(&format!("/bin/sh {}", break_link.display()), "");
    watch.until("the break is told", |board| why(board, "bad").starts_with("lost"));
    assert!(!load(&watch.board).starts_with("OK"), "{}", watch.show());
}

#[test]
fn an_end_without_an_exit_status_is_an_error_and_not_a_zero() {
    let bad = BadHost::start(Answer::NoExitStatus);
    let mut watch = against(&bad, "");
    watch.until("it is refused", |board| load(board).contains("without an exit status"));
    assert_eq!(bad.seen.commands.lock().unwrap()[0], b"/bin/sh");
}

#[test]
fn a_host_that_hangs_up_after_each_login_is_logged_into_at_most_every_five_seconds() {
    let bad = BadHost::start(Answer::HangUp);
    let mut watch = against(&bad, "[host.me]\nlocal = true\n");
    watch.polls("me", 12);
    let logins = bad.seen.logins.lock().unwrap();
    assert!(2 <= logins.len(), "{} logins in 12 s", logins.len());
    let too_soon = logins.windows(2).find(|pair| pair[1] - pair[0] < Duration::from_secs(5));
    assert_eq!(too_soon, None);
}

#[test]
fn a_host_that_vanishes_without_a_word_is_found_by_keepalives_long_before_the_next_poll() {
    let sshd = Sshd::start();
    let config = sshd.place.write("config", &sshd.ssh_config("gone", "root"));
    let hosts = format!(
        "ssh_config = '{}'\n{}keepalive = '3s'\n[defaults.disk]\nsmart = false\n[host.gone]\n",
        config.display(),
        idle()
    );
    let mut watch = Watch::start(&sshd.place, &hosts);
    watch.until("it is read", |board| board.hosts["gone"].has_answered());
    run("ip", &["route", "add", "blackhole", &format!("{}/32", sshd.address), "table", "local"]);
    watch.until("the loss is seen", |board| why(board, "gone").starts_with("lost"));
}

#[test]
fn a_host_that_closes_an_idle_session_is_shown_as_lost_at_once() {
    let sshd = Sshd::start();
    let config = sshd.place.write("config", &sshd.ssh_config("gone", "root"));
    let hosts = format!("ssh_config = '{}'\n{}[defaults.disk]\nsmart = false\n[host.gone]\n", config.display(), idle());
    let mut watch = Watch::start(&sshd.place, &hosts);
    watch.until("it is read", |board| board.hosts["gone"].has_answered());
    sshd.signal("-KILL");
    watch.until("the loss is seen", |board| why(board, "gone").contains("closed the connection"));
}

#[test]
fn a_name_that_no_server_answers_for_has_an_error_of_its_own_and_holds_nobody_up() {
    let place = Place::new();
    // A name server that takes questions and never answers.
    let _silent = UdpSocket::bind("127.6.0.1:53").unwrap();
    place.write("resolv.conf", "nameserver 127.6.0.1\n");
    place.write("config", "Host slow\n  HostName slow.example.org\n");
    place.write(
        "hosts.toml",
        &format!(
            "ssh_config = '{}'\n[defaults]\nconnect_deadline = '500ms'\n[host.slow]\n",
            place.path("config").display()
        ),
    );
    let script =
        "mount --bind resolv.conf /etc/resolv.conf; exec \"$0\" check --json --hosts hosts.toml --state state slow";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_dogwatch")])
        .current_dir(&place.0)
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["hosts"][0]["state"], "timed-out", "{json}");
    assert_eq!(json["hosts"][0]["error"], "slow.example.org:22: its name was not resolved in time");
}

fn has_hung_up(stream: &mut TcpStream) -> bool {
    let mut said = [0; 256];
    loop {
        match stream.read(&mut said) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_cold_start_has_at_most_thirty_two_handshakes_in_flight() {
    let place = Place::new();
    let (port, hosts) = (2_223, 100);
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    let (most, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (most.clone(), all.clone());
    std::thread::spawn(move || {
        let mut open: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            stream.set_nonblocking(true).unwrap();
            open.push(stream);
            open.retain_mut(|stream| !has_hung_up(stream));
            counters.0.fetch_max(open.len(), Ordering::SeqCst);
            counters.1.fetch_add(1, Ordering::SeqCst);
        }
    });
    let config = place
        .write("config", &format!("Host *\n  Port {port}\n  IdentityAgent none\n  UserKnownHostsFile /dev/null\n"));
    let mut text =
        format!("ssh_config = '{}'\n{FAST}connect_deadline = '1s'\n[defaults.disk]\nsmart = false\n", config.display());
    text.extend((0..hosts).map(|index| format!("[host.h{index}]\naddress = '127.7.0.{}'\n", index + 1)));
    let mut watch = Watch::start(&place, &text);
    watch.until("every host was tried", |board| {
        board.hosts.iter().filter(|(name, _)| name.as_str().starts_with('h')).all(|(_, host)| host.link().1.is_some())
    });
    assert!(hosts <= all.load(Ordering::SeqCst));
    assert!(most.load(Ordering::SeqCst) <= 32, "{} at once", most.load(Ordering::SeqCst));
}

#[test]
fn with_a_third_of_the_fleet_dead_the_others_lose_no_sample() {
    let sshd = Sshd::start_with("MaxStartups 200");
    let mut config: String = (0..21).map(|index| sshd.ssh_config(&format!("live{index}"), "root")).collect();
    // Three kinds of dead: refused, never answering, and hanging before its banner.
    let hanging = TcpListener::bind(("127.8.0.1", PORT)).unwrap();
    run("ip", &["route", "add", "blackhole", "127.8.1.0/24", "table", "local"]);
    for index in 0..3 {
        config.push_str(&format!("Host refused{index}\n  HostName 127.8.0.{}\n  Port 1\n", index + 2));
        config.push_str(&format!("Host silent{index}\n  HostName 127.8.1.{}\n", index + 1));
        config.push_str(&format!("Host hanging{index}\n  HostName 127.8.0.1\n  Port {PORT}\n"));
    }
    let config = sshd.place.write("config", &config);
    let mut text = format!(
        "ssh_config = '{}'\n{}connect_deadline = '2s'\n[defaults.disk]\nsmart = false\n",
        config.display(),
        FAST.replacen("cadence = '1s'", "cadence = '2s'", 1)
    );
    let kinds = ["refused", "silent", "hanging"].map(|kind| (0..3).map(move |index| format!("{kind}{index}")));
    let names = (0..21).map(|index| format!("live{index}")).chain(kinds.into_iter().flatten());
    text.extend(names.map(|name| format!("[host.{name}]\n")));
    let mut watch = Watch::start(&sshd.place, &text);
    watch.until("the living are read", |board| {
        board.hosts.iter().filter(|(name, _)| name.as_str().starts_with("live")).all(|(_, host)| host.has_answered())
    });
    let counts = watch.count_polls(|counts| counts.values().any(|count| 6 <= *count));
    let living: Vec<usize> =
        counts.iter().filter(|(name, _)| name.starts_with("live")).map(|(_, count)| *count).collect();
    assert_eq!(living.len(), 21);
    assert!(living.iter().all(|count| 4 <= *count), "{counts:?}");
    drop(hanging);
}
