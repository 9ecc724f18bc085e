//! A machine of its own for cron, its log and its accounting: a pid and mount namespace that has its own of each.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dogwatch::domain::proof::acct::{AcctRecord, write};

use crate::support::*;

/// Nothing of it is seen by another test.
pub struct Machine {
    pub place: Place,
    state: PathBuf,
    hosts: PathBuf,
}

pub fn now_s() -> u32 {
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
    pub fn new(crontab: &str, settings: &str) -> Self {
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
    pub fn remember(&self, command: &str, pid: u32, hours_ago: u32, elapsed_ms: u64, status: u32) {
        let begin_s = now_s() - hours_ago * 3_600;
        let stamp = run("date", &["-d", &format!("@{begin_s}"), "+%b %e %H:%M:%S"]);
        let mut log = fs::OpenOptions::new().append(true).open(self.place.path("log/cron.log")).unwrap();
        writeln!(log, "{} host CRON[{pid}]: (root) CMD ({command})", stamp.trim_end()).unwrap();
        let mut pacct = fs::OpenOptions::new().append(true).open(self.place.path("pacct")).unwrap();
        pacct.write_all(&write(&crafted("sh", pid, begin_s, elapsed_ms, status))).unwrap();
    }

    /// Begins cron, its log, accounting where it is on, and the watch.
    pub fn start(&self, accounting: bool) -> Running {
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
    pub fn inside(&self, running: &Running, arguments: &[&str]) -> (bool, String) {
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

    /// Somebody's command on the machine, in a shell of their own.
    pub fn by_hand(&self, running: &Running, uid: &str, words: &[&str]) {
        let pid = running.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let inside = ["--pid", "--mount", "--target", children.trim(), "setpriv", "--reuid", uid, "--clear-groups"];
        let done = Command::new("nsenter").args(inside).args(words).status().unwrap();
        assert!(done.success(), "{words:?}");
    }

    /// Waits until the pane of jobs shows it.
    pub fn until_frame(&self, text: &str) {
        self.until_said(&["frame", "--view", "cron", "--size", "200x50"], text);
    }

    /// Waits until the watch says so of the machine.
    pub fn until(&self, text: &str) -> String {
        self.until_said(&["check", "me", "--json"], text)
    }

    fn until_said(&self, arguments: &[&str], text: &str) -> String {
        let deadline = Instant::now() + GUARD;
        loop {
            let output = Command::new(env!("CARGO_BIN_EXE_dogwatch"))
                .args(arguments)
                .arg("--hosts")
                .arg(&self.hosts)
                .arg("--state")
                .arg(&self.state)
                .output()
                .unwrap();
            let said = crate::support::text(&output.stdout);
            if said.contains(text) {
                return said;
            }
            let complaint = crate::support::text(&output.stderr);
            assert!(Instant::now() < deadline, "'{text}' was never said: {said}{complaint}");
        }
    }
}
