//! A real systemd with its journal, as the first process of a host of its own, and the actions on units.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::central::Rsyslog;
use crate::office::*;
use crate::support::*;

/// Services that a timer begins, each with its command.
const TIMED: [(&str, &str); 4] =
    [("dw-fine", "sleep 1"), ("dw-fails", "exit 3"), ("dw-killed", "kill -9 $$$$"), ("dw-long", "sleep 1000")];

/// The machine's own programs over a root of its own, booted by systemd; its loopback is the tests'.
struct SystemdHost {
    place: Place,
    address: String,
    root: PathBuf,
    /// systemd, as the tests see it.
    init: String,
    _boot: Running,
}

impl SystemdHost {
    fn boot() -> Self {
        let place = Place::new();
        let own = place.mount_tmpfs("own", "size=64m");
        for name in ["upper", "work", "root"] {
            fs::create_dir(own.join(name)).unwrap();
        }
        let root = own.join("root");
        let layers = format!("lowerdir=/,upperdir={0}/upper,workdir={0}/work", own.display());
        run("mount", &["-t", "overlay", "overlay", "-o", &layers, root.to_str().unwrap()]);
        let number = unique();
        let address = format!("127.4.{}.{}", number / 250, number % 250 + 1);
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("etc/dw")).unwrap();
        for key in ["host", "user"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", at("etc/dw").join(key).to_str().unwrap()]);
        }
        let config = format!(
            "Port {PORT}\nListenAddress {address}\nHostKey /etc/dw/host\nAuthorizedKeysFile /etc/dw/user.pub\nStrictModes no\n\
             PasswordAuthentication no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
        );
        fs::write(at("etc/dw/sshd_config"), config).unwrap();
        let unit = |name: &str, text: &str| fs::write(at("etc/systemd/system").join(name), text).unwrap();
        unit(
            "dw.target",
            "[Unit]\nRequires=systemd-journald.socket dw-sshd.service dw-app.service\nAfter=systemd-journald.socket\n",
        );
        for (name, command) in TIMED {
            unit(&format!("{name}.service"), &format!("[Service]\nType=oneshot\nExecStart=/bin/sh -c '{command}'\n"));
            unit(&format!("{name}.timer"), "[Timer]\nOnActiveSec=100ms\nAccuracySec=1ms\n");
        }
        unit(
            "dw-sshd.service",
            "[Service]\nExecStartPre=/bin/mkdir -p /run/sshd\nExecStart=/usr/sbin/sshd -D -e -f /etc/dw/sshd_config\nKillMode=process\n",
        );
        unit("dw-app.service", "[Service]\nExecStart=/bin/sleep infinity\n");
        unit("dw-backup.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'test ! -e /etc/dw/broken'\n");
        unit("dw-stubborn.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
        // /dev/log is the other tests' syslog: this host has a journal of its own.
        let (path, own) = (root.display(), own.display());
        let boot = place.write(
            "boot",
            &format!(
                "set -e\nmount -t proc proc {path}/proc\nmount --rbind /sys {path}/sys\nmount -t cgroup2 cgroup2 {path}/sys/fs/cgroup\n\
                 mkdir {own}/devices {own}/devwork\n\
                 mount -t overlay overlay -o lowerdir=/dev,upperdir={own}/devices,workdir={own}/devwork {path}/dev\n\
                 rm -f {path}/dev/log\nmount --rbind /dev/pts {path}/dev/pts\n\
                 for d in run tmp var/log dev/shm; do mount -t tmpfs tmpfs {path}/$d; done\n\
                 exec env -i container=dogwatch PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot {path} /lib/systemd/systemd --unit=dw.target\n"
            ),
        );
        fs::set_permissions(&boot, fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new("unshare")
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount",
                "--uts",
                "--ipc",
                "--cgroup",
                "--propagation",
                "private",
            ])
            .args(["/bin/sh", boot.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let boot = Running(child);
        let deadline = std::time::Instant::now() + GUARD;
        while std::net::TcpStream::connect((address.as_str(), PORT)).is_err() {
            assert!(std::time::Instant::now() < deadline, "systemd did not bring sshd up");
            std::thread::yield_now();
        }
        let children = run("pgrep", &["-P", &boot.0.id().to_string()]);
        let init = children.lines().next().unwrap().trim().to_owned();
        Self { place, address, root, init, _boot: boot }
    }

    fn reach(&self, office: &Office, name: &str) {
        let public = fs::read_to_string(self.root.join("etc/dw/host.pub")).unwrap();
        let key: Vec<&str> = public.split_ascii_whitespace().take(2).collect();
        let known = self.place.write("known", &format!("[{}]:{PORT} {}\n", self.address, key.join(" ")));
        let user = self.root.join("etc/dw/user");
        office.reach_by(user.to_str().unwrap(), name, |own| {
            format!(
                "Host {name}\n HostName {}\n Port {PORT}\n User root\n IdentityFile {own}\n IdentitiesOnly yes\n IdentityAgent none\n \
                 UserKnownHostsFile {}\n GlobalKnownHostsFile none\n",
                self.address,
                known.display()
            )
        });
    }

    /// A command on the host itself.
    fn inside(&self, words: &[&str]) -> String {
        let fixed = ["-t", &self.init, "-m", "-p", "-r", "-w", "--"];
        run("nsenter", &[&fixed[..], words].concat())
    }
}

#[test]
fn units_are_restarted_stopped_and_started_and_the_journal_is_the_witness() {
    let mut central = Rsyslog::over_tcp();
    let office = Office::new(&format!("{}\n", central.policy()));
    let host = SystemdHost::boot();
    host.reach(&office, "app1");
    let act = |action: &str, unit: &str| {
        let unit = format!("unit={unit}");
        let output = office.run("anna", &["action", "run", action, "app1", &unit, "--confirm", "app1"]);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let pid = || host.inside(&["systemctl", "show", "-p", "MainPID", "--value", "dw-app.service"]);
    let before = pid();
    let (succeeded, said) = act("unit.restart", "dw-app.service");
    assert!(succeeded && said.contains("● done: dw-app.service: active since"), "{said}");
    assert_ne!(before, pid());
    let intent = said.split("begins, ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let journal = host.inside(&["journalctl", "--no-pager", "-t", "dogwatch"]);
    assert!(journal.contains(&format!("action {intent} begins")), "{journal}");
    assert!(journal.contains(&format!("action {intent} ends: exit 0")), "{journal}");
    // It ran as a unit of its own, which is gone again.
    let unit = host.inside(&["journalctl", "--no-pager", "-u", &format!("dogwatch-{intent}")]);
    assert!(unit.contains("Started") || unit.contains("Deactivated"), "{unit}");
    let (succeeded, said) = act("unit.stop", "dw-app.service");
    assert!(succeeded && said.contains("inactive"), "{said}");
    let (succeeded, said) = act("unit.start", "dw-app.service");
    assert!(succeeded && said.contains("● done: active"), "{said}");
    let (succeeded, said) = act("backup.run", "dw-backup.service");
    assert!(succeeded && said.contains("● done: ") && said.contains("Finished dw-backup.service"), "{said}");
    fs::write(host.root.join("etc/dw/broken"), "").unwrap();
    let (succeeded, said) = act("backup.run", "dw-backup.service");
    assert!(!succeeded && said.contains("✖ failed"), "{said}");
    let (succeeded, said) = act("unit.start", "dw-stubborn.service");
    assert!(!succeeded && said.contains("✖ failed"), "{said}");
    let (succeeded, said) = act("unit.restart", "no-such.service");
    assert!(!succeeded && said.contains("✖ failed"), "{said}");
    central.stop();
    let said = office.succeeds("anna", &["audit", "reconcile", "--own-logs", "--central", &central.file()]);
    assert!(said.contains("the own logs of 1 hosts"), "{said}");
}

/// The runs of timers, as systemd and the kernel's accounting tell of them.
#[test]
fn a_timer_s_run_is_proven_by_systemd_s_own_record_of_its_process_and_by_accounting() {
    let office = Office::new("");
    let host = SystemdHost::boot();
    host.reach(&office, "app1");
    let tables = fs::read_to_string(office.place.path("anna.toml")).unwrap();
    let job = |name: &str| format!("[host.app1.job.{name}]\nevery = '1d'\ntimer = 'dw-{name}'\n");
    let jobs = ["fine", "fails", "killed", "long", "never"].map(job).concat();
    let logged = "[host.app1.job.logged]\nevery = '1d'\ncommand = 'job-logged'\naccept = 'ran'\n";
    office
        .place
        .write("anna.toml", &format!("{tables}{jobs}{logged}[defaults]\ncadence = '1s'\ncron_cadence = '1s'\n"));
    // A timer that has not come yet: systemd says success of its service all the same.
    let unit = |name: &str, text: &str| fs::write(host.root.join("etc/systemd/system").join(name), text).unwrap();
    unit("dw-never.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    unit("dw-never.timer", "[Timer]\nOnCalendar=2000-01-01\nOnActiveSec=1d\nPersistent=yes\n");
    host.inside(&["systemctl", "daemon-reload"]);
    // A log that nobody writes any more: cron's lines come into the journal.
    host.inside(&["sh", "-c", "echo 'Nov  1 04:30:01 h CRON[9]: (root) CMD (other)' >/var/log/syslog"]);
    host.inside(&["mkdir", "-p", "/var/log/account"]);
    host.inside(&["touch", "/var/log/account/pacct"]);
    host.inside(&["accton", "/var/log/account/pacct"]);
    for (name, _) in TIMED {
        host.inside(&["systemctl", "start", &format!("{name}.timer")]);
    }
    host.inside(&["systemctl", "start", "dw-never.timer"]);
    let mut watch = Running(office.command("anna", &["collect"]).stdout(Stdio::null()).spawn().unwrap());
    let deadline = std::time::Instant::now() + GUARD;
    // Whoever looks before it polls would poll instead.
    while !office.place.path("anna/series.db").exists() {
        assert!(std::time::Instant::now() < deadline, "the watch never began");
        std::thread::yield_now();
    }
    let mut until = |words: &str| loop {
        let said = text(&office.run("anna", &["check", "app1", "--json"]).stdout);
        if said.contains(words) {
            return said;
        }
        assert!(watch.0.try_wait().unwrap().is_none(), "the watch ended");
        assert!(std::time::Instant::now() < deadline, "'{words}' was never said: {said}");
    };
    let said = until("job fails: proven FAILED: exit status 3, took 0.");
    assert!(said.contains("(systemd, accounting)"), "{said}");
    until("job killed: proven FAILED: killed by signal 9, took 0.");
    until("job fine: proven ok, took 1.");
    until("job long: running since ");
    assert!(!until("job never: ").contains("job never: proven"));
    until("cron's log has told of nothing since ");
    host.inside(&["sh", "-c", "echo '(root) CMD (job-logged)' | systemd-cat -t CRON"]);
    until("job logged: proven ok, took 0.");
    // A pack of it holds systemd's own records, and needs nothing that the watch kept.
    fs::remove_dir_all(office.place.path("anna/evidence")).unwrap();
    let pack = office.place.path("anna/pack");
    let at = run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    let asked =
        ["evidence", "app1", "--job", "fails", "--at", at.trim(), "--out", pack.to_str().unwrap(), "--unsigned"];
    let said = office.succeeds("anna", &asked);
    assert!(said.contains("proven FAILED: exit-code: exit status 3, took 0."), "{said}");
    let journal = fs::read_to_string(pack.join("raw/unit-journal.jsonl")).unwrap();
    assert!(journal.contains("dw-fails.service: Failed with result 'exit-code'."), "{journal}");
    assert!(fs::read_to_string(pack.join("raw/unit-files.txt")).unwrap().contains("ExecStart=/bin/sh -c 'exit 3'"));
}
