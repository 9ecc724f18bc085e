//! Who logs in: keys, agents, certificates and passphrases.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use dogwatch::domain::board::Board;

use crate::bad_host::{Answer, BadHost};
use crate::support::*;

fn why(board: &Board) -> String {
    let (state, why) = board.hosts["web1"].link();
    format!("{state}: {}", why.map(|why| why.to_string()).unwrap_or_default())
}

fn watch(sshd: &Sshd, ssh_config: &str) -> Watch {
    let config = sshd.place.write("config", ssh_config);
    let hosts = format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.web1]\n", config.display());
    Watch::start(&sshd.place, &hosts)
}

/// An agent of the test's own.
fn agent(place: &Place) -> (Running, std::path::PathBuf) {
    let socket = place.path("agent");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    let said = Lines::of(agent.stdout.take().unwrap());
    said.wait_for("SSH_AUTH_SOCK");
    (Running(agent), socket)
}

fn ssh_add(socket: &Path, arguments: &[&str]) {
    let added = Command::new("ssh-add").args(arguments).env("SSH_AUTH_SOCK", socket).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
}

fn with_agent(sshd: &Sshd, socket: &Path) -> String {
    let agent = format!("IdentityAgent {}", socket.display());
    sshd.ssh_config("web1", "root").replace("IdentityAgent none", &agent)
}

#[test]
fn an_agent_that_is_not_there_leaves_the_key_file() {
    let sshd = Sshd::start();
    let config = with_agent(&sshd, &sshd.place.path("no-agent"));
    watch(&sshd, &config).until("it connects", |board| why(board).starts_with("connected"));
}

#[test]
fn a_locked_agent_is_told_and_the_key_file_still_serves() {
    let sshd = Sshd::start();
    let (_agent, socket) = agent(&sshd.place);
    ssh_add(&socket, &[sshd.place.path("user").to_str().unwrap()]);
    let askpass = sshd.place.write("askpass", "#!/bin/sh\necho lock\n");
    run("chmod", &["755", askpass.to_str().unwrap()]);
    let locked = Command::new("ssh-add")
        .arg("-x")
        .envs([("SSH_AUTH_SOCK", socket.as_os_str()), ("SSH_ASKPASS", askpass.as_os_str())])
        .env("SSH_ASKPASS_REQUIRE", "force")
        .output()
        .unwrap();
    assert!(locked.status.success(), "{}", text(&locked.stderr));
    let config = with_agent(&sshd, &socket);
    watch(&sshd, &config).until("it connects", |board| why(board).starts_with("connected"));
    fs::rename(sshd.place.path("user"), sshd.place.path("moved")).unwrap();
    let config = with_agent(&sshd, &socket);
    fs::remove_dir_all(sshd.place.path("state")).unwrap();
    watch(&sshd, &config).until("it says why not", |board| why(board).starts_with("auth-failed"));
}

#[test]
fn of_many_keys_in_an_agent_only_the_configured_one_is_offered() {
    let sshd = Sshd::start_with("MaxAuthTries 2");
    let (_agent, socket) = agent(&sshd.place);
    for number in 0..8 {
        let key = sshd.place.path(&format!("other{number}"));
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        ssh_add(&socket, &[key.to_str().unwrap()]);
    }
    ssh_add(&socket, &[sshd.place.path("user").to_str().unwrap()]);
    let config = with_agent(&sshd, &socket);
    watch(&sshd, &config).until("it connects", |board| why(board).starts_with("connected"));
    assert_eq!(sshd.log.count("Failed publickey"), 0);
}

#[test]
fn a_certificate_beside_the_key_logs_in_where_the_key_alone_would_not() {
    let place = Place::new();
    let authority = place.path("ca");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", authority.to_str().unwrap()]);
    let sshd = Sshd::start_with(&format!("TrustedUserCAKeys {}.pub", authority.display()));
    let public = sshd.place.path("user.pub");
    let authority = authority.to_str().unwrap();
    run("ssh-keygen", &["-q", "-s", authority, "-I", "shift", "-n", "root", "-V", "+1h", public.to_str().unwrap()]);
    // The server knows the authority alone.
    fs::rename(&public, sshd.place.path("known-to-nobody.pub")).unwrap();
    fs::write(&public, "").unwrap();
    let config = format!(
        "{}  CertificateFile {}\n",
        sshd.ssh_config("web1", "root"),
        sshd.place.path("user-cert.pub").display()
    );
    watch(&sshd, &config).until("it connects", |board| why(board).starts_with("connected"));
    sshd.log.wait_for("ED25519-CERT");
}

#[test]
fn agent_forwarding_is_never_asked_for_whatever_the_configuration_says() {
    let bad = BadHost::start(Answer::NoExitStatus);
    let config = bad.place.write("config", &format!("{}  ForwardAgent yes\n", bad.ssh_config()));
    let hosts = format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.bad]\n", config.display());
    let mut watch = Watch::start(&bad.place, &hosts);
    watch.until("it was asked", |board| check_line(board, "bad", "host.load").is_some());
    assert!(!bad.seen.commands.lock().unwrap().is_empty());
    assert_eq!(bad.seen.agent_requests.load(Ordering::Relaxed), 0);
}

#[test]
fn a_host_with_sha1_alone_is_unsupported_by_name() {
    let place = Place::new();
    let key = place.path("rsa");
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key.to_str().unwrap()]);
    let sshd = Sshd::start_with(&format!("HostKey {}\nHostKeyAlgorithms ssh-rsa", key.display()));
    let config = sshd.ssh_config("web1", "root");
    watch(&sshd, &config)
        .until("it is told", |board| why(board).starts_with("unsupported") && why(board).contains("SHA-1 is refused"));
}

#[test]
fn a_passphrase_is_asked_for_and_left_nowhere() {
    const SECRET: &str = "open-sesame-4711";
    let sshd = Sshd::start();
    let key = sshd.place.path("user");
    run("ssh-keygen", &["-q", "-p", "-P", "", "-N", SECRET, "-f", key.to_str().unwrap()]);
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let hosts = format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.web1]\n", config.display());
    let mut terminal =
        crate::screen::Terminal::start_with(&sshd.place, &hosts, 24, 120, &["--ask-passphrase", "--log", "log"]);
    terminal.until("passphrase");
    terminal.keys.write_all(format!("{SECRET}\r").as_bytes()).unwrap();
    terminal.until("of 2 hosts");
    sshd.log.wait_for("Accepted publickey");
    let pid = terminal.pid();
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!holds(&text, SECRET), "/proc/PID/{file}");
    }
    terminal.press("q");
    terminal.ends();
    let mut files: Vec<_> = fs::read_dir(sshd.place.path("state")).unwrap().map(|file| file.unwrap().path()).collect();
    files.push(sshd.place.path("log"));
    assert!(2 <= files.len());
    for file in files {
        assert!(!holds(&fs::read(&file).unwrap(), SECRET), "{}", file.display());
    }
    assert!(!holds(&terminal.raw, SECRET), "the terminal");
}

#[test]
fn a_locked_key_says_which_key_to_press_and_the_screen_takes_the_passphrase() {
    let sshd = Sshd::start();
    let key = sshd.place.path("user");
    run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "open-sesame", "-f", key.to_str().unwrap()]);
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let hosts = format!("ssh_config = '{}'\n{FAST}[defaults.disk]\nsmart = false\n[host.web1]\n", config.display());
    let mut terminal = crate::screen::Terminal::start_with(&sshd.place, &hosts, 24, 200, &[]);
    terminal.until("has a passphrase: ssh-add it, press p on the screen");
    terminal.press("p");
    terminal.until("passphrase of your SSH key");
    terminal.press("open-sesame");
    terminal.until("•••••••••••");
    terminal.press("\r");
    sshd.log.wait_for("Accepted publickey");
    terminal.press("q");
    terminal.ends();
    assert!(!holds(&terminal.raw, "sesame"));
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}
