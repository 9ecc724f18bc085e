//! `dogwatch init`: a first hosts.toml from what is known of the fleet already.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{CommandError, Common};
use crate::adapters::own_machine;
use crate::domain::fleet::HostName;

/// Larger inputs are no inventory.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Write a commented hosts.toml
#[derive(Args)]
pub struct InitArguments {
    /// Where the hosts are named
    #[arg(long, value_enum, default_value = "ssh-config")]
    from: Source,
    /// The file to read; for ansible, the output of `ansible-inventory --list`, or - for standard input
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Source {
    SshConfig,
    Ansible,
    KnownHosts,
}

/// Hosts, and groups with their members.
#[derive(Default)]
struct Inventory {
    hosts: BTreeSet<String>,
    groups: Vec<(String, BTreeSet<String>)>,
    /// Where a host is reached under another name than its own.
    addresses: BTreeMap<String, String>,
}

pub fn run(common: &Common, arguments: &InitArguments) -> Result<(), CommandError> {
    let out = match &common.hosts {
        Some(file) => file.clone(),
        None => own_machine::xdg_directory("XDG_CONFIG_HOME", ".config")
            .ok_or_else(|| CommandError::Usage("neither XDG_CONFIG_HOME nor HOME is set: use --hosts FILE".to_owned()))?
            .join("dogwatch/hosts.toml"),
    };
    let text = read_input(arguments)?;
    let inventory = match arguments.from {
        Source::SshConfig => from_ssh_config(&text),
        Source::KnownHosts => from_known_hosts(&text),
        Source::Ansible => from_ansible(&text)?,
    };
    if let Some(directory) = out.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&out).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                CommandError::Failed(format!("{} is there already: it is never overwritten", out.display()))
            }
            _ => CommandError::Failed(format!("{}: {error}", out.display())),
        })?;
    file.write_all(render(&inventory).as_bytes())?;
    println!(
        "{}: {} hosts, {} groups; next: dogwatch config check",
        out.display(),
        inventory.hosts.len(),
        inventory.groups.len()
    );
    Ok(())
}

fn read_input(arguments: &InitArguments) -> Result<String, CommandError> {
    let default = |name: &str| own_machine::home().map(|home| home.join(".ssh").join(name));
    let input = match (&arguments.input, arguments.from) {
        (Some(input), _) => Some(input.clone()),
        (None, Source::SshConfig) => default("config"),
        (None, Source::KnownHosts) => default("known_hosts"),
        (None, Source::Ansible) => Some(PathBuf::from("-")),
    };
    let input = input.ok_or_else(|| CommandError::Usage("HOME is not set: name the file to read".to_owned()))?;
    let mut text = String::new();
    let read = match input == Path::new("-") {
        true => std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text),
        false => fs::File::open(&input).and_then(|file| file.take(INPUT_BYTES_MAX).read_to_string(&mut text)),
    };
    read.map_err(|error| CommandError::Failed(format!("{}: {error}", input.display())))?;
    Ok(text)
}

fn is_host(name: &str) -> bool {
    HostName::parse(name).is_ok()
}

/// Every `Host` that is a name and no pattern.
fn from_ssh_config(text: &str) -> Inventory {
    let words = text.lines().filter_map(|line| {
        let line = line.trim().replace('=', " ");
        let (keyword, rest) = line.split_once(char::is_whitespace)?;
        keyword.eq_ignore_ascii_case("host").then(|| rest.to_owned())
    });
    let names = words.flat_map(|rest| rest.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>());
    Inventory { hosts: names.filter(|name| is_host(name)).collect(), ..Inventory::default() }
}

/// Every plain name; hashed ones can't be read back.
fn from_known_hosts(text: &str) -> Inventory {
    let firsts = text
        .lines()
        .filter(|line| !line.starts_with(['#', '|', '@']))
        .filter_map(|line| line.split_ascii_whitespace().next());
    let names = firsts.flat_map(|names| names.split(',').take(1));
    Inventory { hosts: names.filter(|name| is_host(name)).map(str::to_owned).collect(), ..Inventory::default() }
}

/// `ansible-inventory --list`: each group an object with `hosts`.
fn from_ansible(text: &str) -> Result<Inventory, CommandError> {
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| CommandError::Failed(format!("this is not the JSON of ansible-inventory --list: {error}")))?;
    let mut inventory = Inventory::default();
    for (group, value) in json.as_object().into_iter().flatten() {
        let hosts = value.get("hosts").and_then(|hosts| hosts.as_array()).into_iter().flatten();
        let members: BTreeSet<String> =
            hosts.filter_map(|host| host.as_str()).filter(|host| is_host(host)).map(str::to_owned).collect();
        inventory.hosts.extend(members.iter().cloned());
        if !members.is_empty() && is_host(group) && !matches!(group.as_str(), "all" | "ungrouped" | "_meta") {
            inventory.groups.push((group.clone(), members));
        }
    }
    let variables = json.pointer("/_meta/hostvars").and_then(|hosts| hosts.as_object());
    for (host, variables) in variables.into_iter().flatten() {
        let Some(address) = variables.get("ansible_host").and_then(|address| address.as_str()) else { continue };
        let port = variables.get("ansible_port").and_then(serde_json::Value::as_u64);
        let address = port.map_or(address.to_owned(), |port| format!("{address}:{port}"));
        if inventory.hosts.contains(host) && is_host(&address) {
            inventory.addresses.insert(host.clone(), address);
        }
    }
    Ok(inventory)
}

fn render(inventory: &Inventory) -> String {
    let quoted = |name: &String| format!("{name:?}");
    let mut text = String::from(
        "# What Dogwatch watches. Every setting with its default: hosts.example.toml.\n\
         # Names, users, ports, keys and jump hosts come from your ssh configuration.\n\n\
         [defaults]\n# cadence = \"10s\"\n# logs = [\"/var/log/syslog\", \"journal\"]\n",
    );
    for (group, members) in &inventory.groups {
        let members: Vec<String> = members.iter().map(quoted).collect();
        text.push_str(&format!("\n[group.{group:?}]\nhosts = [{}]\n", members.join(", ")));
    }
    for host in &inventory.hosts {
        text.push_str(&format!("\n[host.{host:?}]\n"));
        if let Some(address) = inventory.addresses.get(host) {
            text.push_str(&format!("address = {address:?}\n"));
        }
    }
    if let Some(host) = inventory.hosts.first() {
        text.push_str(&format!(
            "\n# A backup set that should be there:\n# [host.{host:?}.backup.nightly]\n# kind = \"files\"\n# path = \"/backup\"\n\
             # pattern = \"*.tar.gz\"\n\n# A job that matters:\n# [host.{host:?}.job.transfer]\n# schedule = \"30 4 * * *\"\n\
             # command = \"transfer.sh\"\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inventory: &Inventory, hosts: &str, groups: &str) {
        let listed: Vec<&str> = inventory.hosts.iter().map(String::as_str).collect();
        let named: Vec<String> =
            inventory.groups.iter().map(|(group, members)| format!("{group}:{}", members.len())).collect();
        assert_eq!((listed.join(" ").as_str(), named.join(" ").as_str()), (hosts, groups));
    }

    #[test]
    fn names_of_the_ssh_configuration_are_hosts_and_patterns_are_not() {
        check(&from_ssh_config("Host web1 web2\n  User x\nHost *.example !bad\nhost=db1\n"), "db1 web1 web2", "");
    }

    #[test]
    fn hashed_and_marked_lines_of_known_hosts_are_left_out() {
        check(
            &from_known_hosts("web1,10.0.0.1 ssh-ed25519 A\n|1|a|b ssh-ed25519 A\n@revoked x ssh-ed25519 A\n"),
            "web1",
            "",
        );
    }

    #[test]
    fn ansibles_groups_become_groups() {
        let json = r#"{"_meta":{"hostvars":{}},"all":{"children":["db"]},"db":{"hosts":["db1","db2"]}}"#;
        check(&from_ansible(json).unwrap_or_default(), "db1 db2", "db:2");
    }

    #[test]
    fn what_is_written_is_a_configuration_without_errors() {
        let json = r#"{"db":{"hosts":["db1","db2"]}}"#;
        let text = render(&from_ansible(json).unwrap_or_default());
        let own = HostName::parse("own").unwrap_or_else(|error| panic!("{error}"));
        let config = crate::config::parse("hosts.toml", &text, &own).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.fleet.hosts.len(), 3);
    }

    #[test]
    fn an_address_of_ansibles_inventory_is_kept() {
        let json =
            r#"{"_meta":{"hostvars":{"a1":{"ansible_host":"10.0.0.1","ansible_port":2222}}},"web":{"hosts":["a1"]}}"#;
        let inventory = from_ansible(json).unwrap_or_else(|error| panic!("{error}"));
        assert!(render(&inventory).contains("[host.\"a1\"]\naddress = \"10.0.0.1:2222\"\n"));
    }
}
