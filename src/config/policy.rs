//! policy.toml: who may do what, whose consent it needs, what is held, and where the central log is.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;

use super::reader::{Notes, Reader};
use super::{ConfigError, Problem};
use crate::domain::action::policy::{ActionPattern, Hold, Person, Policy, Role, Rule, Scope};
use crate::domain::action::{HoldName, PersonName, RoleName};
use crate::domain::audit::digest::Digest;
use crate::domain::fleet::GroupName;
use crate::domain::signature;

/// The port of syslog over TLS (RFC 5425), and the usual one over plain TCP.
const TLS_PORT: u16 = 6514;
const PLAIN_PORT: u16 = 514;
/// What is still on its way after so long without a break has arrived.
const SETTLE: Duration = Duration::from_secs(5);
const SPOOL_RECORDS_MAX: u64 = 100_000;
const APPROVALS_MAX: u64 = 9;
const EXPIRY: Duration = Duration::from_secs(4 * 3_600);

/// How messages travel to the central log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    Tls {
        /// Authorities in PEM; the system's where it is absent.
        ca: Option<PathBuf>,
        /// The name on the certificate, where it is not the host's.
        name: Option<String>,
    },
    PlainTcp,
}

/// What `[central_log]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentralLog {
    pub host: String,
    pub port: u16,
    pub wire: Wire,
    /// How long written records are kept to be sent again, should the connection break.
    pub settle: Duration,
    /// Records that may wait before no action is taken any more.
    pub spool_records_max: u64,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    pub path: PathBuf,
    pub policy: Policy,
    pub central_log: Option<CentralLog>,
    /// Where requests and approvals are exchanged between accounts of this machine.
    pub exchange: Option<PathBuf>,
    pub warnings: Vec<Problem>,
}

/// Reads the text of `file`; `changeable` says why whoever acts could change it.
pub fn parse(file: &str, text: &str, changeable: Option<String>) -> Result<PolicyFile, ConfigError> {
    let notes = Notes::new(file, text);
    let (table, syntax) = toml::de::DeTable::parse_recoverable(text);
    for error in syntax {
        notes.error(error.span().map_or(0, |span| span.start), error.message().to_owned());
    }
    let mut policy = Policy::absent(file);
    let (mut central_log, mut exchange) = (None, None);
    if !notes.has_errors() {
        let root = Reader::new(table.get_ref(), &notes);
        policy = Policy {
            people: items(&root, "person", &notes, person),
            roles: items(&root, "role", &notes, role),
            rules: items(&root, "rule", &notes, |_, _, rule| Some(self::rule(rule))),
            holds: items(&root, "hold", &notes, hold),
            expiry: root.duration("expiry", Duration::from_secs(1)).unwrap_or(EXPIRY),
            digest: Digest::of(text.as_bytes()),
            changeable,
            exists: true,
            trusts_groups: true,
        };
        central_log = root.table("central_log").and_then(|table| central(table, &notes));
        exchange = root.string("exchange").map(PathBuf::from);
        root.finish();
        check_names(&policy, &notes);
    }
    let (errors, warnings) = notes.finish();
    match errors.is_empty() {
        true => Ok(PolicyFile { path: PathBuf::from(file), policy, central_log, exchange, warnings }),
        false => Err(ConfigError(errors)),
    }
}

/// Every table below `key`, read by `read`, which leaves the reader to be finished here.
fn items<'a, T>(
    root: &Reader<'a>,
    key: &'static str,
    notes: &Notes<'_>,
    read: impl Fn(usize, &str, &Reader<'a>) -> Option<T>,
) -> Vec<T> {
    let tables = root.named_tables(key);
    let read = tables.into_iter().filter_map(|(offset, name, reader)| {
        let item = read(offset, &name, &reader);
        if item.is_none() && !notes.has_errors() {
            notes.error(offset, format!("[{key}.{name}]: the name is none"));
        }
        reader.finish();
        item
    });
    read.collect()
}

fn words(reader: &Reader, key: &'static str) -> Vec<(usize, String)> {
    reader.strings(key).unwrap_or_default()
}

/// Names of a list, each with its own error.
fn names<T, E: std::fmt::Display>(reader: &Reader, key: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
    let parsed = words(reader, key).into_iter().filter_map(|(offset, text)| match parse(&text) {
        Ok(name) => Some(name),
        Err(error) => {
            reader.notes().error(offset, format!("{key}: {error}"));
            None
        }
    });
    parsed.collect()
}

fn patterns(reader: &Reader, key: &'static str) -> Vec<ActionPattern> {
    names(reader, key, |text| {
        ActionPattern::parse(text).ok_or_else(|| format!("'{text}' is no action: write an id, 'logs.*' or '*'"))
    })
}

fn scope(reader: &Reader) -> Scope {
    match reader.has("groups") {
        true => Scope::Groups(names(reader, "groups", GroupName::parse)),
        false => Scope::All,
    }
}

fn name_of<T, E: std::fmt::Display>(reader: &Reader, offset: usize, parsed: Result<T, E>) -> Option<T> {
    parsed.map_err(|error| reader.notes().error(offset, error.to_string())).ok()
}

fn person(offset: usize, name: &str, reader: &Reader) -> Option<Person> {
    let keys = names(reader, "keys", |line| signature::public_key(line).map(|_| line.trim().to_owned()));
    Some(Person {
        name: name_of(reader, offset, PersonName::parse(name))?,
        users: words(reader, "users").into_iter().map(|(_, user)| user).collect(),
        keys,
        roles: names(reader, "roles", RoleName::parse),
    })
}

fn role(offset: usize, name: &str, reader: &Reader) -> Option<Role> {
    Some(Role {
        name: name_of(reader, offset, RoleName::parse(name))?,
        may: patterns(reader, "may"),
        approves: patterns(reader, "approves"),
        scope: scope(reader),
        breaks_glass: reader.flag("breaks_glass").unwrap_or(false),
    })
}

fn rule(reader: &Reader) -> Rule {
    let approvals = reader.count("approvals", 0, APPROVALS_MAX).unwrap_or(1);
    Rule {
        actions: patterns(reader, "actions"),
        scope: scope(reader),
        approvals: u32::try_from(approvals).unwrap_or(u32::MAX),
    }
}

fn hold(offset: usize, name: &str, reader: &Reader) -> Option<Hold> {
    let needed = |key: &'static str| {
        let found = reader.string(key);
        if found.is_none() && !reader.has(key) {
            reader.notes().error(offset, format!("[hold.{name}] needs {key}"));
        }
        found
    };
    let date = |key: &'static str| {
        let text = needed(key)?;
        let parsed = NaiveDate::parse_from_str(&text, "%Y-%m-%d");
        parsed
            .map_err(|_| {
                reader.notes().error(reader.place(key), format!("{key}: '{text}' is no date such as 2026-03-03"))
            })
            .ok()
    };
    let paths: Vec<String> = names(reader, "paths", |path| match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(format!("'{path}' does not begin at /")),
    });
    if paths.is_empty() {
        reader.notes().error(offset, format!("[hold.{name}] needs paths"));
    }
    let (by, since, review, lifted_by, reason) =
        (needed("by"), date("since"), date("review"), needed("lifted_by"), reader.string("reason"));
    let lifted_by = lifted_by.and_then(|role| name_of(reader, reader.place("lifted_by"), RoleName::parse(&role)));
    Some(Hold {
        name: name_of(reader, offset, HoldName::parse(name))?,
        paths,
        actions: patterns(reader, "actions"),
        scope: scope(reader),
        by: by?,
        since: since?,
        review: review?,
        lifted_by: lifted_by?,
        reason: reason.unwrap_or_default(),
    })
}

fn central(reader: Reader<'_>, notes: &Notes<'_>) -> Option<CentralLog> {
    let tls = reader.flag("tls").unwrap_or(true);
    let wire = match tls {
        true => Wire::Tls { ca: reader.string("ca").map(PathBuf::from), name: reader.string("name") },
        false => Wire::PlainTcp,
    };
    let port = if tls { TLS_PORT } else { PLAIN_PORT };
    let place = reader.place("server");
    let server = reader.string("server");
    if server.is_none() && !reader.has("server") {
        notes.error(place, "[central_log] needs server = \"NAME\" or \"NAME:PORT\"".to_owned());
    }
    let settle = reader.duration("settle", Duration::from_millis(1)).unwrap_or(SETTLE);
    let spool_records_max = reader.count("spool_max", 1, u64::from(u32::MAX)).unwrap_or(SPOOL_RECORDS_MAX);
    reader.finish();
    let server = server?;
    // An IPv6 address with a port is written in brackets.
    let (host, port) = match server.rsplit_once(':') {
        Some((host, digits)) if !host.contains(':') || host.starts_with('[') => match digits.parse() {
            Ok(port) => (host.trim_matches(['[', ']']).to_owned(), port),
            Err(_) => {
                notes.error(place, format!("server: '{digits}' is no port"));
                return None;
            }
        },
        Some(_) | None => (server.clone(), port),
    };
    Some(CentralLog { host, port, wire, settle, spool_records_max })
}

/// Names that stand for nothing are mistakes that would open or close a door unseen.
fn check_names(policy: &Policy, notes: &Notes<'_>) {
    let known: Vec<&str> = policy.roles.iter().map(|role| role.name.as_str()).collect();
    let used =
        policy.people.iter().flat_map(|person| person.roles.iter().map(move |role| (role, person.name.as_str())));
    let lifting = policy.holds.iter().map(|hold| (&hold.lifted_by, hold.name.as_str()));
    for (role, by) in used.chain(lifting).filter(|(role, _)| !known.contains(&role.as_str())) {
        let suggestion = super::reader::suggestion(role.as_str(), known.iter().copied());
        notes.error(0, format!("{by}: no role is named '{role}'{suggestion}"));
    }
    for (index, person) in policy.people.iter().enumerate() {
        for other in &policy.people[index + 1..] {
            let shared = |mine: &[String], theirs: &[String]| mine.iter().find(|one| theirs.contains(one)).cloned();
            let body = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
            let keys = |person: &super::policy::Person| person.keys.iter().map(body).collect::<Vec<_>>();
            let shared = shared(&person.users, &other.users)
                .or_else(|| shared(&keys(person), &keys(other)).map(|key| format!("key {key}")));
            if let Some(shared) = shared {
                let what = format!("{} and {} share {shared}: one person has one entry", person.name, other.name);
                notes.error(0, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIfP5JxLTt5tUuzTwEeg8kQTeBbEmhMd4cmDjFe1c+yV anna";

    fn check(text: &str, expected: &str) {
        let shown = match parse("policy.toml", &text.replace("KEY", KEY), None) {
            Ok(file) => format!("{} people, {:?}", file.policy.people.len(), file.central_log.map(|log| log.port)),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn the_example_of_the_documentation_is_a_policy() {
        let read = parse("policy.toml", include_str!("../../docs/policy.example.toml"), None);
        let file = read.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((file.policy.people.len(), file.policy.holds.len(), file.warnings.len()), (3, 1, 0));
    }

    #[test]
    fn people_roles_and_a_central_log_are_read() {
        let text = "[person.anna]\nusers = ['anna']\nkeys = ['KEY']\nroles = ['operator']\n\
            [role.operator]\nmay = ['logs.*']\n[central_log]\nserver = 'log.example'\n";
        check(text, "1 people, Some(6514)");
        check(&text.replace("log.example", "[::1]:99"), "Some(99)");
        check(&text.replace("'log.example'", "'log'\ntls = false"), "Some(514)");
    }

    #[test]
    fn a_role_that_is_not_there_is_told_with_a_suggestion() {
        check(
            "[person.anna]\nroles = ['operater']\n[role.operator]\n",
            "anna: no role is named 'operater', did you mean 'operator'?",
        );
    }

    #[test]
    fn one_key_or_account_for_two_people_is_refused() {
        let two = "[person.anna]\nkeys = ['KEY']\n[person.bert]\nkeys = ['KEY']\n";
        check(two, "anna and bert share key AAAAC3");
        check("[person.anna]\nusers = ['x']\n[person.bert]\nusers = ['x']\n", "anna and bert share x");
    }

    #[test]
    fn a_key_that_can_not_be_checked_is_refused_at_its_place() {
        check("[person.anna]\nkeys = ['ssh-dss AAAA']\n", "policy.toml:2:9: keys: 'ssh-dss AAAA' is no public key");
    }

    #[test]
    fn a_hold_without_an_end_is_refused() {
        let text = "[role.security]\n[hold.logs]\npaths = ['/var/log']\nby = 'Security'\nsince = '2026-03-03'\nlifted_by = 'security'\n";
        check(text, "[hold.logs] needs review");
        check(&format!("{text}review = '3 April'\n"), "'3 April' is no date");
        check(&format!("{text}review = '2026-04-03'\n"), "0 people");
    }
}
