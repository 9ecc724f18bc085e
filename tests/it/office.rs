//! People of a small office, each with an account, a key and a state directory, under a policy that only root could change.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::central::Rsyslog;
use crate::support::*;

/// What every action of a test may do: nothing but leave traces below /run/dw.
const ACTIONS: &str = r#"
[action."test.write"]
about = "Adds a line to a file"
severity = "destructive"
argv = ["/bin/sh", "-c", 'printf "%s\n" "$1" >>"$2"', "write", "{text}", "{file}"]
measure = ["grep", "-F", "--", "{text}", "{file}"]
measured_within = "1s"
[action."test.write".parameter.text]
kind = "word"
pattern = ".*"
[action."test.write".parameter.file]
kind = "path"
under = ["/run/dw"]

[action."test.wait"]
about = "Runs until a file is there, and counts its runs beside it"
severity = "safe"
argv = ["/bin/sh", "-c", 'echo begun; echo run >>"$1.runs"; until [ -e "$1" ]; do sleep 0.05; done; echo ended', "wait", "{file}"]
preview = ["/bin/sh", "-c", 'echo "would wait for $1"', "wait", "{file}"]
measure = ["/bin/sh", "-c", '[ -e "$1" ] && echo "$1 is there"', "measure", "{file}"]
measured_within = "1s"
reattached_within = "2s"
[action."test.wait".parameter.file]
kind = "path"
under = ["/run/dw"]

[action."test.linger"]
about = "The same, and a lost link is tried again for longer"
severity = "safe"
argv = ["/bin/sh", "-c", 'echo begun; echo run >>"$1.runs"; until [ -e "$1" ]; do sleep 0.05; done; echo ended', "wait", "{file}"]
measure = ["test", "-e", "{file}"]
reattached_within = "20s"
[action."test.linger".parameter.file]
kind = "path"
under = ["/run/dw"]

[action."test.fail"]
about = "Ends with 0 and changes nothing"
severity = "safe"
argv = ["/bin/sh", "-c", "echo all is well"]
measure = ["false"]
measured_within = "1s"

[action."test.purge"]
severity = "destructive"
procedure = "archive-purge"
measured_within = "1s"
objects_max = 50
[action."test.purge".parameter.directory]
kind = "path"
under = ["/run/dw"]
[action."test.purge".parameter.archive]
kind = "path"
under = ["/run/dw"]
[action."test.purge".parameter.match]
kind = "word"
pattern = ".*"
default = "*"
[action."test.purge".parameter.older-hours]
kind = "number"
default = "24"
[action."test.purge".parameter.open]
kind = "choice"
of = ["leave", "truncate"]
default = "leave"

[action."test.away"]
severity = "destructive"
procedure = "archive-purge"
measured_within = "1s"
reattached_within = "1s"
[action."test.away".parameter.directory]
kind = "path"
under = ["/run/dw"]
[action."test.away".parameter.to]
kind = "host"
[action."test.away".parameter.archive]
kind = "path"
under = ["/run/dw"]
[action."test.away".parameter.rate]
kind = "number"
min = 1
default = "1000"
[action."test.away".parameter.match]
kind = "word"
pattern = ".*"
default = "*"
[action."test.away".parameter.older-hours]
kind = "number"
default = "24"
[action."test.away".parameter.open]
kind = "choice"
of = ["leave", "truncate"]
default = "leave"

[action."test.loud"]
about = "Says a megabyte"
severity = "safe"
argv = ["head", "-c", "1000000", "/dev/zero"]
measure = ["true"]
output_max = "10 kB"
"#;

pub const PEOPLE: [(&str, u32); 3] = [("anna", 65_001), ("bert", 65_002), ("carl", 65_003)];

/// The group that they share.
const OFFICE: u32 = 65_010;

pub struct Office {
    pub place: Place,
    program: String,
}

impl Office {
    /// Anna and bert may act, bert and carl may agree, carl is security; `more` is added to their policy.
    pub fn new(more: &str) -> Self {
        static CATALOGUE: OnceLock<()> = OnceLock::new();
        CATALOGUE.get_or_init(|| {
            fs::create_dir_all("/etc/dogwatch").unwrap();
            fs::write("/etc/dogwatch/actions.toml", ACTIONS).unwrap();
        });
        let place = Place::new();
        let program = place.path("program");
        fs::copy(env!("CARGO_BIN_EXE_dogwatch"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(place.path("exchange")).unwrap();
        chown(place.path("exchange"), None, Some(OFFICE)).unwrap();
        fs::set_permissions(place.path("exchange"), fs::Permissions::from_mode(0o3770)).unwrap();
        let mut policy = format!("exchange = '{}'\n{more}\n", place.path("exchange").display());
        for (name, roles) in
            [("anna", "'operator'"), ("bert", "'operator', 'approver'"), ("carl", "'approver', 'security'")]
        {
            let key = place.path(&format!("{name}.key"));
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key.to_str().unwrap()]);
            let public = fs::read_to_string(key.with_extension("key.pub")).unwrap();
            policy +=
                &format!("[person.{name}]\nusers = ['dw-{name}']\nkeys = ['{}']\nroles = [{roles}]\n", public.trim());
        }
        policy += "[role.operator]\nmay = ['*']\n[role.approver]\napproves = ['*']\n[role.security]\n";
        place.write("policy.toml", &policy);
        let office = Self { place, program: program.to_str().unwrap().to_owned() };
        for (name, uid) in PEOPLE {
            fs::create_dir(office.place.path(name)).unwrap();
            fs::set_permissions(office.place.path(name), fs::Permissions::from_mode(0o700)).unwrap();
            office.give(name, uid);
            office.give(&format!("{name}.key"), uid);
        }
        office.hosts("[host.me]\nlocal = true\n");
        office
    }

    fn give(&self, name: &str, uid: u32) {
        chown(self.place.path(name), Some(uid), Some(uid)).unwrap();
    }

    pub fn hosts(&self, toml: &str) {
        for (name, _) in PEOPLE {
            self.place.write(&format!("{name}.toml"), toml);
        }
    }

    /// Everyone's way to a host of a real sshd.
    pub fn reach(&self, sshd: &Sshd, host: &str) {
        let key = sshd.place.path("user").to_str().unwrap().to_owned();
        self.reach_by(&key, host, |own| sshd.ssh_config(host, "root").replace(&key, own));
    }

    /// Everyone's way to several hosts, each a real sshd of its own.
    pub fn reach_each(&self, hosts: &[(&Sshd, &str)]) {
        for (name, uid) in PEOPLE {
            let blocks = hosts.iter().map(|(sshd, host)| {
                let key = sshd.place.path("user").to_str().unwrap().to_owned();
                let copy = self.login(name, uid, host, &key);
                sshd.ssh_config(host, "root").replace(&key, &copy)
            });
            let config = self.place.write(&format!("{name}.ssh"), &blocks.collect::<String>());
            let tables: String = hosts.iter().map(|(_, host)| format!("[host.{host}]\n")).collect();
            self.place.write(&format!("{name}.toml"), &format!("ssh_config = '{}'\n{tables}", config.display()));
        }
    }

    /// Everyone's way to a host, each with a copy of the key that it takes.
    pub fn reach_by(&self, key: &str, host: &str, block: impl Fn(&str) -> String) {
        for (name, uid) in PEOPLE {
            let block = block(&self.login(name, uid, host, key));
            let config = self.place.write(&format!("{name}.ssh"), &block);
            self.place.write(&format!("{name}.toml"), &format!("ssh_config = '{}'\n[host.{host}]\n", config.display()));
        }
    }

    /// Somebody's own copy of a key.
    fn login(&self, name: &str, uid: u32, host: &str, key: &str) -> String {
        let copy = format!("{name}.{host}.login");
        fs::copy(key, self.place.path(&copy)).unwrap();
        fs::set_permissions(self.place.path(&copy), fs::Permissions::from_mode(0o600)).unwrap();
        self.give(&copy, uid);
        self.place.path(&copy).to_str().unwrap().to_owned()
    }

    /// The command line that runs the program as somebody.
    pub fn words(&self, who: &str, arguments: &[&str]) -> Vec<String> {
        let (_, uid) = PEOPLE.into_iter().find(|(name, _)| *name == who).unwrap();
        let (id, office) = (uid.to_string(), OFFICE.to_string());
        let home = format!("HOME=/run/home/dw-{who}");
        let fixed = ["setpriv", "--reuid", &id, "--regid", &id, "--groups", &office, "env", &home, &self.program];
        let path = |name: &str| self.place.path(name).to_str().unwrap().to_owned();
        let (state, policy, hosts) = (path(who), path("policy.toml"), path(&format!("{who}.toml")));
        let files = ["--state", &state, "--policy", &policy, "--hosts", &hosts];
        fixed.iter().chain(arguments).chain(&files).map(|word| (*word).to_owned()).collect()
    }

    pub fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let words = self.words(who, arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    pub fn run(&self, who: &str, arguments: &[&str]) -> Output {
        self.command(who, arguments).output().unwrap()
    }

    pub fn succeeds(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.run(who, arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{who} {arguments:?}: {said}");
        said
    }

    pub fn fails(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.run(who, arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success(), "{who} {arguments:?} succeeded: {said}");
        said
    }

    /// Proposes, and gives the request's id.
    pub fn proposed(&self, who: &str, arguments: &[&str]) -> String {
        let said = self.succeeds(who, &[&["action", "propose", "--reason", "because"], arguments].concat());
        let line = said.lines().rfind(|line| line.starts_with("request ")).unwrap_or_else(|| panic!("{said}"));
        line["request ".len()..].split(':').next().unwrap().to_owned()
    }

    /// Somebody's signed word, left in the exchange directory.
    pub fn agrees(&self, who: &str, request: &str) -> String {
        let key = self.place.path(&format!("{who}.key"));
        self.succeeds(who, &["approval", "sign", request, "--confirm", request, "--key", key.to_str().unwrap()])
    }
}

/// The host's own syslog: one rsyslogd behind /dev/log for all tests of this run, which ends with their namespace.
pub fn own_syslog() -> &'static Rsyslog {
    static SYSLOG: OnceLock<Rsyslog> = OnceLock::new();
    SYSLOG.get_or_init(Rsyslog::of_the_host)
}
