//! Real hosts: OpenSSH's sshd and dropbear with a BusyBox userland, real login shells, jumps and proxies.

use std::fs;
use std::process::{Command, Stdio};

use crate::busybox::BusyBox;
use crate::support::*;

fn fleet(sshd: &Sshd, more: &str) -> String {
    let config = sshd.place.write("config", &sshd.ssh_config("web1", "root"));
    format!("ssh_config = '{}'\n{FAST}[host.web1]\n{more}", config.display())
}

#[test]
fn a_hundred_polls_take_one_login_a_lane_and_leave_nothing_behind() {
    let sshd = Sshd::start();
    // The places of the other tests are left out.
    let traces = || {
        let what = "-xdev -path /run/dw -prune -o -newer /proc/1/stat -name *dogwatch* -print";
        run("find", &["/root", "/run"].into_iter().chain(what.split(' ')).collect::<Vec<_>>())
    };
    let before = traces();
    let mut watch = Watch::start(&sshd.place, &fleet(&sshd, ""));
    watch.polls("web1", 100);
    // The fast lane, and the slow one for SMART.
    assert_eq!(sshd.logins(), 2, "{}", watch.show());
    watch.stop();
    sshd.log.wait_for("Connection closed by");
    assert_eq!(before, traces());
    // Other tests have shells as well: this host's know at which address they were reached.
    let reached = format!(" {} ", sshd.address);
    let is_left = |directory: &std::path::PathBuf| {
        let read = |name: &str| fs::read(directory.join(name)).unwrap_or_default();
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        read("cmdline") == b"/bin/sh\0" && environment.contains("SSH_CONNECTION=") && environment.contains(&reached)
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(processes.filter(is_left).count(), 0, "a shell of ours is still there");
}

#[test]
fn the_numbers_agree_with_the_hosts_own_df() {
    let sshd = Sshd::start();
    let filled = sshd.place.mount_tmpfs("filled", "size=10m,nr_inodes=200");
    fs::write(filled.join("half"), vec![0; 5 << 20]).unwrap();
    let mut watch = Watch::start(&sshd.place, &fleet(&sshd, ""));
    let id = format!("disk.space:{}", filled.display());
    watch.until("the file system is on the board", |board| check_line(board, "web1", &id).is_some());
    let value = watch
        .host("web1")
        .checks
        .iter()
        .find(|(check, _)| check.to_string() == id)
        .unwrap()
        .1
        .result
        .last()
        .value
        .unwrap();
    let df = run("df", &["-P", "-k", filled.to_str().unwrap()]);
    let percent = df.lines().nth(1).unwrap().split_ascii_whitespace().nth(4).unwrap();
    assert_eq!(format!("{:.0}%", value.ceil()), percent);
}

#[test]
fn dropbear_with_a_busybox_userland_has_every_applicable_check() {
    let busybox = BusyBox::start();
    let (place, root_path) = (&busybox.place, busybox.root.to_str().unwrap());
    let config = place.write("config", &busybox.ssh_config("box", place.path("user").to_str().unwrap()));
    let hosts = format!("ssh_config = '{}'\n{FAST}logs = ['/var/log/messages']\n[host.box]\n", config.display());
    let mut watch = Watch::start(place, &hosts);
    watch.until("load, memory, clock and disks are read", |board| {
        let ok = |id: &str| {
            check_line(board, "box", id).is_some_and(|line| line.starts_with("OK") || line.starts_with("WARNING"))
        };
        ["host.load", "host.memory", "host.clock", "host.reboot", "log.shrunk:/var/log/messages"]
            .iter()
            .all(|id| ok(id))
            && board.hosts["box"].checks.keys().any(|id| id.to_string().starts_with("disk.space:/"))
    });
    let df = run("chroot", &[root_path, "/bin/busybox", "df", "-P", "-k", "/"]);
    let percent = df.lines().nth(1).unwrap().split_ascii_whitespace().nth(4).unwrap().to_owned();
    let (_, cell) = watch.host("box").checks.iter().find(|(id, _)| id.to_string() == "disk.space:/").unwrap();
    assert_eq!(format!("{:.0}%", cell.result.last().value.unwrap().ceil()), percent, "{}", watch.show());
}

#[test]
fn fish_tcsh_bash_and_busybox_ash_as_login_shells_all_answer() {
    let sshd = Sshd::start();
    let users = ["dw-fish", "dw-tcsh", "dw-bash", "dw-ash"];
    let config: String = users.iter().map(|user| sshd.ssh_config(user, user)).collect();
    let config = sshd.place.write("config", &config);
    fs::copy(sshd.place.path("user"), sshd.place.path("key")).unwrap();
    let hosts: String = users.iter().map(|user| format!("[host.{user}]\n")).collect();
    let mut watch = Watch::start(&sshd.place, &format!("ssh_config = '{}'\n{FAST}{hosts}", config.display()));
    watch.until("every shell answered", |board| {
        users.iter().all(|user| check_line(board, user, "host.load").is_some_and(|line| line.starts_with("OK")))
    });
}

#[test]
fn a_chain_of_jump_hosts_and_a_proxy_command_reach_the_host() {
    let (gate, inner) = (Sshd::start(), Sshd::start());
    let config = format!(
        "{}  \n{}  ProxyJump gate\n{}  ProxyCommand nc %h %p\n{}  ProxyJump gate,again\n{}",
        gate.ssh_config("gate", "root"),
        inner.ssh_config("jumped", "root"),
        inner.ssh_config("commanded", "root"),
        inner.ssh_config("chained", "root"),
        gate.ssh_config("again", "root"),
    );
    let config = inner.place.write("config", &config.replace("nc %h %p", "/bin/busybox nc %h %p"));
    let hosts = format!("ssh_config = '{}'\n{FAST}[host.jumped]\n[host.commanded]\n[host.chained]\n", config.display());
    let mut watch = Watch::start(&inner.place, &hosts);
    watch.until("all three ways lead there", |board| {
        ["jumped", "commanded", "chained"].iter().all(|host| check_line(board, host, "host.load").is_some())
    });
    for _ in 0..3 {
        watch.polls("chained", 5);
    }
}

#[test]
fn jump_hosts_that_go_in_a_circle_or_fail_are_named() {
    let sshd = Sshd::start();
    let stranger = Sshd::start();
    stranger.place.write("known", "");
    let config = format!(
        "{}  ProxyJump b\n{}  ProxyJump a\n{}  ProxyJump down\nHost down\n  HostName 127.9.9.9\n  Port 1\n  UserKnownHostsFile /dev/null\n{}  ProxyJump stranger\n{}",
        sshd.ssh_config("a", "root"),
        sshd.ssh_config("b", "root"),
        sshd.ssh_config("c", "root"),
        sshd.ssh_config("d", "root"),
        stranger.ssh_config("stranger", "root"),
    );
    let config = sshd.place.write("config", &config);
    let mut watch = Watch::start(
        &sshd.place,
        &format!("ssh_config = '{}'\n{FAST}[host.a]\n[host.c]\n[host.d]\n", config.display()),
    );
    let why = |board: &dogwatch::domain::board::Board, host: &str| {
        let (state, why) = board.hosts[host].link();
        format!("{state}: {}", why.map(|why| why.to_string()).unwrap_or_default())
    };
    watch.until("the circle is named", |board| why(board, "a").contains("goes in a circle"));
    watch.until("the jump host that is down is named", |board| why(board, "c").contains("unreachable: jump host down"));
    watch.until("the jump host with the unknown key is named", |board| {
        why(board, "d").contains("untrusted: jump host stranger")
    });
    assert_eq!(stranger.logins(), 0);
}

#[test]
fn keys_come_from_the_agent_and_a_silent_agent_stops_nobody_else() {
    let sshd = Sshd::start();
    let socket = sshd.place.path("agent");
    let mut agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
    let said = Lines::of(agent.stdout.take().unwrap());
    let _agent = Running(agent);
    said.wait_for("SSH_AUTH_SOCK");
    let added = Command::new("ssh-add").arg(sshd.place.path("user")).env("SSH_AUTH_SOCK", &socket).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    // Only the public half is left for the client to find.
    fs::rename(sshd.place.path("user"), sshd.place.path("moved")).unwrap();
    let silent = sshd.place.path("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let with = |name: &str, agent: &std::path::Path| {
        sshd.ssh_config(name, "root").replace("IdentityAgent none", &format!("IdentityAgent {}", agent.display()))
    };
    let config = sshd.place.write("config", &format!("{}{}", with("good", &socket), with("hung", &silent)));
    let mut watch =
        Watch::start(&sshd.place, &format!("ssh_config = '{}'\n{FAST}[host.good]\n[host.hung]\n", config.display()));
    watch.polls("good", 5);
    watch.until("the silent agent is told", |board| {
        board.hosts["hung"].link().1.is_some_and(|why| why.as_str().contains("ssh-agent did not answer"))
    });
}
