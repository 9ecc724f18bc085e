//! Host keys: the same answers as OpenSSH, and no byte of a login where the key is not exactly recorded.

use std::fs;
use std::process::{Command, Stdio};

use dogwatch::domain::trust::known_hosts::{HostKey, KnownHosts, RecordedNames, Verdict};

use crate::support::*;

fn why(board: &dogwatch::domain::board::Board) -> String {
    let (state, why) = board.hosts["web1"].link();
    format!("{state}: {}", why.map(|why| why.to_string()).unwrap_or_default())
}

fn refused(known: impl Fn(&Sshd) -> String, expected: &str) {
    let sshd = Sshd::start();
    sshd.place.write("known", &known(&sshd));
    // accept-new in the user's configuration changes nothing.
    let config = format!("{}  StrictHostKeyChecking accept-new\n", sshd.ssh_config("web1", "root"));
    let config = sshd.place.write("config", &config);
    let mut watch = Watch::start(&sshd.place, &format!("ssh_config = '{}'\n{FAST}[host.web1]\n", config.display()));
    watch.until(expected, |board| why(board).contains(expected));
    assert!(why(&watch.board).starts_with("untrusted"), "{}", why(&watch.board));
    assert_eq!(sshd.log.count("Postponed publickey") + sshd.logins(), 0, "a byte of a login was sent");
}

fn other_key() -> String {
    let place = Place::new();
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", place.path("k").to_str().unwrap()]);
    fs::read_to_string(place.path("k.pub")).unwrap().split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_unknown_key_is_refused_with_its_fingerprint() {
    refused(|_| String::new(), "unknown host key ssh-ed25519 SHA256:");
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints() {
    refused(
        |sshd| format!("[{}]:{PORT} {}\n", sshd.address, other_key()),
        "host key CHANGED: it shows ssh-ed25519 SHA256:",
    );
}

#[test]
fn a_revoked_key_is_refused() {
    refused(
        |sshd| format!("[{}]:{PORT} {key}\n@revoked * {key}\n", sshd.address, key = sshd.host_key()),
        "host key REVOKED",
    );
}

#[test]
fn a_host_known_only_through_an_authority_is_refused_by_name() {
    refused(|sshd| format!("@cert-authority * {}\n", sshd.host_key()), "known only through the certificate authority");
}

#[test]
fn known_hosts_that_can_not_be_read_refuse_every_key() {
    let sshd = Sshd::start();
    fs::remove_file(sshd.place.path("known")).unwrap();
    fs::create_dir(sshd.place.path("known")).unwrap();
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let mut watch = Watch::start(&sshd.place, &format!("ssh_config = '{}'\n{FAST}[host.web1]\n", config.display()));
    let expected = format!("untrusted: {} can't be read", sshd.place.path("known").display());
    watch.until("it is refused", |board| why(board).starts_with(&expected));
    assert_eq!(sshd.log.count("Postponed publickey") + sshd.logins(), 0, "a byte of a login was sent");
}

#[test]
fn a_known_ecdsa_key_is_asked_for_though_ed25519_is_offered_too() {
    let sshd = Sshd::start_with("");
    let dir = sshd.place.0.display().to_string();
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", &format!("{dir}/ecdsa")]);
    let both = Sshd::start_with(&format!("HostKey {dir}/ecdsa"));
    let key = fs::read_to_string(sshd.place.path("ecdsa.pub")).unwrap();
    both.trust(&key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "));
    let config = both.place.write("config", &both.ssh_config("web1", "root"));
    let mut watch = Watch::start(&both.place, &format!("ssh_config = '{}'\n{FAST}[host.web1]\n", config.display()));
    watch.until("it connects", |board| why(board).starts_with("connected"));
}

#[test]
fn trust_records_an_unknown_key_on_a_typed_yes_only_and_never_a_changed_one() {
    let sshd = Sshd::start();
    sshd.place.write("known", "");
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let hosts = sshd.place.write("hosts.toml", &format!("ssh_config = '{}'\n[host.web1]\n", config.display()));
    let answer = |typed: &str| {
        let command = format!(
            "printf '{typed}\\n' | '{}' hosts trust web1 --hosts '{}'",
            env!("CARGO_BIN_EXE_dogwatch"),
            hosts.display()
        );
        Command::new("/bin/sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap()
    };
    assert_eq!(answer("y").status.code(), Some(1));
    assert_eq!(fs::read_to_string(sshd.place.path("known")).unwrap(), "");
    assert_eq!(answer("yes").status.code(), Some(0));
    assert_eq!(
        fs::read_to_string(sshd.place.path("known")).unwrap(),
        format!("[{}]:{PORT} {}\n", sshd.address, sshd.host_key())
    );
    sshd.trust(&other_key());
    let changed = answer("yes");
    assert_eq!(changed.status.code(), Some(1));
    assert!(text(&changed.stderr).contains("ssh-keygen -R"), "{}", text(&changed.stderr));
    assert_eq!(sshd.logins(), 0);
}

/// A small generator of numbers, so that a failure can be run again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn generated(numbers: &mut Numbers, keys: &[String], names: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..1 + numbers.below(5) {
        let marker = ["", "", "", "@revoked ", "@cert-authority ", "@strange "][numbers.below(6)];
        let mut patterns: Vec<String> = Vec::new();
        for _ in 0..1 + numbers.below(2) {
            let negation = if numbers.below(6) == 0 { "!" } else { "" };
            patterns.push(format!("{negation}{}", names[numbers.below(names.len())]));
        }
        let key = &keys[numbers.below(keys.len())];
        let end = ["\n", " comment\n", "\r\n", "\n\n", "\n# x\n"][numbers.below(5)];
        text.push_str(&format!("{marker}{} {key}{end}", patterns.join(",")));
    }
    text
}

/// A host known only through @cert-authority is refused by both, and counted apart.
#[test]
fn generated_known_hosts_files_get_the_same_answers_as_from_ssh() {
    let sshd = Sshd::start_with("MaxStartups 200");
    let count = if std::env::var("DOGWATCH_TEST_LONG").is_ok_and(|long| !long.is_empty()) { 1_000 } else { 60 };
    let (shown, other) = (sshd.host_key(), other_key());
    let keys = [shown.clone(), shown.clone(), other, "ssh-ed25519 broken".to_owned(), "ssh-rsa AAAA".to_owned()];
    let port_name = format!("[{}]:{PORT}", sshd.address);
    let hashed = {
        let file = sshd.place.write("hashed", &format!("{port_name} {shown}\n"));
        run("ssh-keygen", &["-q", "-H", "-f", file.to_str().unwrap()]);
        fs::read_to_string(file).unwrap().split(' ').next().unwrap().to_owned()
    };
    let names = [
        port_name.clone(),
        port_name.clone(),
        sshd.address.clone(),
        "*".to_owned(),
        format!("[127.1.*]:{PORT}"),
        "[127.?.*]:*".to_owned(),
        format!("[{}]:2223", sshd.address),
        "other".to_owned(),
        hashed,
    ];
    let blob = shown.split(' ').nth(1).unwrap();
    let blob =
        Command::new("/bin/sh").args(["-c", &format!("printf %s '{blob}' | base64 -d")]).output().unwrap().stdout;
    let key = HostKey::from_blob(&blob);
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    let mut numbers = Numbers(7);
    let mut only_authority = 0;
    for number in 0..count {
        let known_text = generated(&mut numbers, &keys, &names);
        sshd.place.write("known", &known_text);
        let ssh = Command::new("ssh")
            .args([
                "-F",
                config.to_str().unwrap(),
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
                "web1",
                "true",
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut known = KnownHosts::default();
        known.add("known", known_text.as_bytes());
        let verdict = known.verdict(&RecordedNames::new(&sshd.address, PORT, None), &key);
        only_authority += usize::from(matches!(verdict, Verdict::OnlyCertAuthority(_)));
        assert_eq!(
            verdict == Verdict::Trusted,
            ssh.status.success(),
            "file {number}: {verdict:?}, ssh: {}\n{known_text}",
            text(&ssh.stderr)
        );
    }
    println!("{count} files, {only_authority} of them known only through an authority");
}
