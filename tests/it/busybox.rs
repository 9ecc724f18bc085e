//! A host of dropbear and a BusyBox userland, and nothing else.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::*;

pub struct BusyBox {
    pub place: Place,
    pub root: PathBuf,
    address: String,
    _server: Running,
}

impl BusyBox {
    pub fn start() -> Self {
        let place = Place::new();
        let root = place.mount_tmpfs("root", "size=40m");
        for directory in ["bin", "etc/dropbear", "root/.ssh", "proc", "dev", "tmp", "run", "var/log", "var/tmp", "sys"]
        {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        let root_path = root.to_str().unwrap();
        run("chroot", &[root_path, "/bin/busybox", "--install", "-s", "/bin"]);
        run("mount", &["-t", "proc", "proc", root.join("proc").to_str().unwrap()]);
        run("mount", &["--bind", "/dev", root.join("dev").to_str().unwrap()]);
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        fs::write(root.join("etc/shells"), "/bin/sh\n").unwrap();
        fs::write(root.join("var/log/messages"), "x\n").unwrap();
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", place.path("user").to_str().unwrap()]);
        fs::copy(place.path("user.pub"), root.join("root/.ssh/authorized_keys")).unwrap();
        run("dropbearkey", &["-t", "ed25519", "-f", root.join("etc/dropbear/key").to_str().unwrap()]);
        let public = run("dropbearkey", &["-y", "-f", root.join("etc/dropbear/key").to_str().unwrap()]);
        let key = public.lines().find(|line| line.starts_with("ssh-ed25519")).unwrap();
        let key = key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
        // dropbear and its libraries are seen inside the root only while it starts.
        let lent = ["usr", "lib", "lib64"].map(|directory| (format!("/{directory}"), root.join(directory)));
        for (from, to) in &lent {
            fs::create_dir_all(to).unwrap();
            run("mount", &["--bind", from, to.to_str().unwrap()]);
        }
        let number = unique();
        let address = format!("127.3.{}.{}", number / 250, number % 250 + 1);
        let mut child = Command::new("chroot")
            .args([root_path, "/usr/sbin/dropbear", "-F", "-E", "-r", "/etc/dropbear/key"])
            .args(["-p", &format!("{address}:{PORT}"), "-P", "/tmp/pid"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        let server = Running(child);
        log.wait_for("Not backgrounding");
        for (_, to) in &lent {
            run("umount", &["--lazy", to.to_str().unwrap()]);
        }
        place.write("known", &format!("[{address}]:{PORT} {key}\n"));
        Self { place, root, address, _server: server }
    }

    /// A block of an ssh configuration that reaches it with this key.
    pub fn ssh_config(&self, name: &str, key: &str) -> String {
        let (address, dir) = (&self.address, self.place.0.display());
        format!(
            "Host {name}\n HostName {address}\n Port {PORT}\n User root\n IdentityFile {key}\n IdentitiesOnly yes\n IdentityAgent none\n \
             UserKnownHostsFile {dir}/known\n GlobalKnownHostsFile none\n"
        )
    }
}
