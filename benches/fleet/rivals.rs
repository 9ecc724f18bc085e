//! What a sysadmin would use instead, sending the very script that Dogwatch sends.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cpu::{PeakMemory, tree};
use super::rig::{Rig, SSHD_PORT, Sshd, addresses, run};

const PARALLEL: &str = "10";

/// What one host-poll cost.
pub struct Cost {
    pub name: &'static str,
    pub polls: u64,
    pub client: Duration,
    pub server: Duration,
    pub peak_mb: f64,
    /// Output bytes a poll, where the tool shows them.
    pub bytes: Option<u64>,
}

impl Cost {
    pub fn client_ms(&self) -> f64 {
        self.client.as_secs_f64() * 1_000.0 / self.polls as f64
    }

    pub fn server_ms(&self) -> f64 {
        self.server.as_secs_f64() * 1_000.0 / self.polls as f64
    }
}

/// Runs `poll` and takes the CPU of everything below this process, orphans included.
fn measured(
    name: &'static str,
    sshd: &Sshd,
    without: &[u32],
    polls: u64,
    poll: impl FnOnce() -> io::Result<Option<u64>>,
) -> io::Result<Cost> {
    let own = std::process::id();
    let mut apart = vec![sshd.pid()];
    apart.extend_from_slice(without);
    // Tearing sessions down goes on after a client has gone.
    let server = tree(sshd.pid(), &[]);
    let client = tree(own, &apart);
    let memory = PeakMemory::watch(apart.clone());
    let bytes = poll()?;
    let client = tree(own, &apart) - client;
    let peak_mb = memory.stop_mb();
    std::thread::sleep(Duration::from_millis(500));
    let server = tree(sshd.pid(), &[]) - server;
    eprintln!("  {name}: {polls} polls, {client:?}");
    Ok(Cost { name, polls, client, server, peak_mb, bytes })
}

/// All rivals over `hosts` addresses of the real server. `without` are processes whose cost is nobody's here.
pub fn all(rig: &Rig, sshd: &Sshd, without: &[u32], hosts: usize) -> io::Result<Vec<Cost>> {
    fs::write(rig.path("addresses"), addresses(hosts).join("\n") + "\n")?;
    let count = hosts as u64;
    let mut costs = Vec::new();
    let mut add = |name, rounds: u64, poll: &dyn Fn() -> io::Result<Option<u64>>| -> io::Result<()> {
        costs.push(measured(name, sshd, without, count * rounds, || {
            let mut bytes = None;
            for _ in 0..rounds {
                bytes = poll()?;
            }
            Ok(bytes)
        })?);
        Ok(())
    };
    add("Nagios check_by_ssh, 4 checks a host", 1, &|| nagios(rig))?;
    ansible(rig, "setup")?;
    add("ansible raw, warm ControlPersist", 2, &|| ansible(rig, "poll"))?;
    ansible(rig, "stop")?;
    let curve = "-o KexAlgorithms=curve25519-sha256";
    add("ssh under xargs, curve25519", 1, &|| ssh(rig, curve, hosts))?;
    let master =
        format!("-o ControlMaster=auto -o ControlPersist=60 -o ControlPath={}/m-%h {curve}", rig.place.display());
    ssh(rig, &master, hosts)?;
    add("ssh ControlMaster, warm", 3, &|| ssh(rig, &master, hosts))?;
    stop_masters(rig)?;
    costs.push(parallel_ssh(rig, sshd, without, 10, count)?);
    Ok(costs)
}

fn shell(rig: &Rig, line: &str) -> io::Result<()> {
    run(Command::new("sh").args(["-c", line]).current_dir(&rig.place))
}

/// Four connections a host, as four services do.
fn nagios(rig: &Rig) -> io::Result<Option<u64>> {
    let checks = ["df -P", "df -Pi", "cat /proc/mounts /proc/loadavg", "tail -n 50 app.log; ls -l /var/log"];
    for check in checks {
        let check = check.replace("app.log", &rig.path("app.log").display().to_string());
        shell(
            rig,
            &format!(
                "xargs -P {PARALLEL} -I@ /usr/lib/nagios/plugins/check_by_ssh -t 60 -F ssh_real -H @ -p {SSHD_PORT} -l root \
                 -E -C '{check}' <addresses >/dev/null"
            ),
        )?;
    }
    Ok(None)
}

fn ssh(rig: &Rig, options: &str, hosts: usize) -> io::Result<Option<u64>> {
    let line = format!(
        "xargs -P {PARALLEL} -I@ sh -c 'ssh -F ssh_real {options} @ /bin/sh <script.sh; test $? = 113' <addresses >output"
    );
    shell(rig, &line)?;
    Ok(Some(fs::metadata(rig.path("output"))?.len() / hosts as u64))
}

fn stop_masters(rig: &Rig) -> io::Result<()> {
    shell(rig, "for m in m-*; do ssh -F ssh_real -o ControlPath=$PWD/$m -O exit x 2>/dev/null || true; done")
}

/// `setup` opens the connections, `poll` uses them, `stop` closes them.
fn ansible(rig: &Rig, phase: &str) -> io::Result<Option<u64>> {
    match phase {
        "setup" => {
            let place = rig.place.display();
            fs::write(
                rig.path("ansible.cfg"),
                format!(
                    "[defaults]\nforks = {PARALLEL}\ninventory = {place}/addresses\ninterpreter_python = none\ngathering = explicit\n\
                     [ssh_connection]\nssh_args = -F {place}/ssh_real -o ControlMaster=auto -o ControlPersist=120s\ncontrol_path = {place}/a-%%h\n"
                ),
            )?;
            shell(rig, "ANSIBLE_CONFIG=ansible.cfg ansible all -m raw -a true >/dev/null")?;
        }
        "poll" => {
            // `raw` fails on a status other than 0, and the script ends with 113.
            let line = "ANSIBLE_CONFIG=ansible.cfg ansible all -m raw -a \"$(cat script.sh)\" >ansible.out || \
                        test \"$(grep -c 'rc=113' ansible.out)\" = \"$(wc -l <addresses)\"";
            shell(rig, line)?;
        }
        _ => shell(rig, "for a in a-*; do ssh -F ssh_real -o ControlPath=$PWD/$a -O exit x 2>/dev/null || true; done")?,
    }
    Ok(None)
}

/// The library keeps its connections inside one process: it says when they are up, and when it has polled.
fn parallel_ssh(rig: &Rig, sshd: &Sshd, without: &[u32], rounds: u64, hosts: u64) -> io::Result<Cost> {
    use std::io::{BufRead, BufReader, Write};
    let program = format!(
        "import sys\nfrom pssh.clients import ParallelSSHClient\n\
         hosts = open('addresses').read().split()\nscript = open('script.sh').read()\n\
         client = ParallelSSHClient(hosts, user='root', port={SSHD_PORT}, pkey='user', pool_size=10)\n\
         def poll():\n    size = 0\n    output = client.run_command('/bin/sh', use_pty=False)\n    for host in output:\n        host.stdin.write(script)\n        host.stdin.send_eof() if hasattr(host.stdin, 'send_eof') else host.channel.send_eof()\n    client.join(output)\n    for host in output:\n        size += sum(len(line) + 1 for line in host.stdout)\n        assert host.exit_code == 113, host.exit_code\n    return size\n\
         poll()\nprint('warm', flush=True)\nsys.stdin.readline()\nsize = [poll() for _ in range({rounds})][-1]\nprint(size, flush=True)\nsys.stdin.readline()\n"
    );
    fs::write(rig.path("poll.py"), program)?;
    let python = std::env::var("DOGWATCH_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut child = Command::new(python)
        .arg("poll.py")
        .current_dir(&rig.place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("python has no pipes"));
    };
    let mut lines = BufReader::new(stdout).lines();
    let mut next = || lines.next().unwrap_or_else(|| Err(io::Error::other("parallel-ssh ended early")));
    next()?;
    let cost = measured("parallel-ssh (libssh2), warm", sshd, without, rounds * hosts, || {
        stdin.write_all(b"\n")?;
        Ok(next()?.parse::<u64>().ok().map(|size| size / hosts))
    })?;
    stdin.write_all(b"\n")?;
    drop(stdin);
    child.wait()?;
    Ok(cost)
}
