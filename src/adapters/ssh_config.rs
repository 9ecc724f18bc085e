//! The user's ssh configuration, resolved by `ssh -G`: it alone knows Include, Match and tokens.
//!
//! What a setting would change about whom we reach or trust, and is not honoured here, makes the host unsupported by
//! name; it is never ignored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore};

use super::own_machine;
use super::transport::TransportError;
use crate::domain::text::SafeText;

/// `ssh -G` processes at once: each costs 5 ms of CPU, and a `Match exec` may run anything.
/// Included files are not watched: after this long ssh is asked again in any case.
const BELIEVED_FOR: Duration = Duration::from_secs(60);
const RESOLVERS_MAX: usize = 2;
const DEADLINE: Duration = Duration::from_secs(5);
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// What `ssh` would do for a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSettings {
    pub host: String,
    pub user: String,
    pub port: u16,
    pub family: Family,
    pub identity_files: Vec<PathBuf>,
    pub certificate_files: Vec<PathBuf>,
    pub identities_only: bool,
    /// The agent's socket; `None` where there is none or the user wants none.
    pub agent: Option<PathBuf>,
    pub proxy: Proxy,
    pub host_key_alias: Option<String>,
    pub known_hosts_files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Any,
    V4,
    V6,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    None,
    /// Destinations, the first to be reached directly.
    Jump(Vec<String>),
    Command(String),
}

/// Resolved destinations, valid as long as the configuration files are what they were.
#[derive(Default)]
struct Cache {
    digest: Vec<u8>,
    resolved: HashMap<String, (Instant, SshSettings)>,
}

static CACHE: LazyLock<Mutex<HashMap<Option<PathBuf>, Cache>>> = LazyLock::new(Mutex::default);
static RESOLVERS: Semaphore = Semaphore::const_new(RESOLVERS_MAX);

/// Resolves a destination, `[user@]host[:port]` or a name of the configuration.
pub async fn resolve(destination: &str, config: Option<&Path>) -> Result<SshSettings, TransportError> {
    let digest = digest_of_files(config).await;
    {
        let mut caches = CACHE.lock().await;
        let cache = caches.entry(config.map(Path::to_owned)).or_default();
        if cache.digest != digest {
            *cache = Cache { digest: digest.clone(), resolved: HashMap::new() };
        }
        if let Some((at, settings)) = cache.resolved.get(destination)
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(settings.clone());
        }
    }
    let text = ask_ssh(destination, config).await?;
    let settings = parse(&text, destination, std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from))?;
    let mut caches = CACHE.lock().await;
    if let Some(cache) = caches.get_mut(&config.map(Path::to_owned)).filter(|cache| cache.digest == digest) {
        cache.resolved.insert(destination.to_owned(), (Instant::now(), settings.clone()));
    }
    Ok(settings)
}

async fn digest_of_files(config: Option<&Path>) -> Vec<u8> {
    let files: Vec<PathBuf> = match config {
        Some(file) => vec![file.to_owned()],
        None => {
            let user = own_machine::home().map(|home| home.join(".ssh/config"));
            user.into_iter().chain([PathBuf::from("/etc/ssh/ssh_config")]).collect()
        }
    };
    let mut digest = Sha256::new();
    for file in files {
        // A file that is not there counts as empty, as it does for ssh.
        digest.update(tokio::fs::read(file).await.unwrap_or_default());
        digest.update([0]);
    }
    digest.finalize().to_vec()
}

async fn ask_ssh(destination: &str, config: Option<&Path>) -> Result<String, TransportError> {
    let failed = |what: String| TransportError::Unreachable(SafeText::new(&format!("ssh -G {destination}: {what}")));
    let _permit = RESOLVERS.acquire().await.map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new("ssh");
    command.arg("-G");
    if let Some(config) = config {
        command.arg("-F").arg(config);
    }
    let (host, port) = split_port(destination);
    if let Some(port) = port {
        command.arg("-p").arg(port.to_string());
    }
    command.arg("--").arg(host).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(DEADLINE, command.output()).await {
        Err(_) => return Err(failed(format!("no answer within {} s", DEADLINE.as_secs()))),
        Ok(Err(error)) => return Err(failed(format!("{error}: OpenSSH's client is needed to read its configuration"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() || OUTPUT_BYTES_MAX < output.stdout.len() {
        return Err(failed(SafeText::from_bytes_capped(output.stderr.trim_ascii(), 300).to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `host:port` and `[v6]:port`, as ProxyJump writes them.
fn split_port(destination: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = destination.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return (inner, Some(port));
        }
        if !host.contains(':') {
            return (host, Some(port));
        }
    }
    (destination, None)
}

/// Reads the output of `ssh -G`.
pub fn parse(
    text: &str,
    destination: &str,
    agent_from_environment: Option<PathBuf>,
) -> Result<SshSettings, TransportError> {
    let unsupported = |what: String| Err(TransportError::Unsupported(SafeText::new(&what)));
    let settings: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let one = |key: &str| settings.iter().find(|(found, _)| *found == key).map(|(_, value)| *value);
    let many =
        |key: &str| settings.iter().filter(|(found, _)| *found == key).map(|(_, value)| *value).collect::<Vec<_>>();
    if let Some((name, value)) = unsupported_setting(&settings) {
        return unsupported(format!(
            "{name} {value}: not honoured here; set it otherwise for this host in the ssh configuration"
        ));
    }
    let host = one("hostname").unwrap_or(destination).to_ascii_lowercase();
    let port = match one("port").unwrap_or("22").parse() {
        Ok(port) => port,
        Err(_) => return unsupported("ssh -G names a port that is no number".to_owned()),
    };
    let user = one("user").unwrap_or_default().to_owned();
    let tokens = Tokens { host: &host, port, user: &user, destination };
    let alias = one("hostkeyalias").filter(|alias| *alias != "none").map(str::to_owned);
    let known = ["userknownhostsfile", "globalknownhostsfile"];
    let known_hosts_files = known.iter().filter_map(|key| one(key)).flat_map(str::split_ascii_whitespace);
    let proxy = match (one("proxyjump"), one("proxycommand")) {
        (Some(jump), _) if jump != "none" => Proxy::Jump(jump.split(',').map(|hop| hop.trim().to_owned()).collect()),
        (_, Some(command)) if command != "none" => Proxy::Command(tokens.expand(command)),
        (Some(_) | None, Some(_) | None) => Proxy::None,
    };
    let agent = match one("identityagent") {
        Some("none") => None,
        None | Some("SSH_AUTH_SOCK") => agent_from_environment,
        Some(variable) if variable.starts_with('$') => {
            std::env::var_os(variable.trim_matches(['$', '{', '}'])).map(PathBuf::from)
        }
        Some(path) => Some(tokens.path(path)),
    };
    let certificates = many("certificatefile").into_iter().filter(|file| *file != "none");
    Ok(SshSettings {
        identity_files: many("identityfile")
            .into_iter()
            .filter(|file| *file != "none")
            .map(|file| tokens.path(file))
            .collect(),
        certificate_files: certificates.map(|file| tokens.path(file)).collect(),
        identities_only: one("identitiesonly") == Some("yes"),
        family: match one("addressfamily") {
            Some("inet") => Family::V4,
            Some("inet6") => Family::V6,
            Some(_) | None => Family::Any,
        },
        known_hosts_files: known_hosts_files.filter(|file| *file != "none").map(|file| tokens.path(file)).collect(),
        host_key_alias: alias,
        agent,
        proxy,
        user,
        port,
        host,
    })
}

/// A setting that changes whom we reach or trust, and is not honoured.
fn unsupported_setting<'a>(settings: &[(&'a str, &'a str)]) -> Option<(&'static str, &'a str)> {
    const SETTINGS: [(&str, &str); 8] = [
        ("bindaddress", "BindAddress"),
        ("bindinterface", "BindInterface"),
        ("knownhostscommand", "KnownHostsCommand"),
        ("revokedhostkeys", "RevokedHostKeys"),
        ("proxyusefdpass", "ProxyUseFdpass"),
        ("pkcs11provider", "PKCS11Provider"),
        ("pubkeyauthentication", "PubkeyAuthentication"),
        ("tunnel", "Tunnel"),
    ];
    settings.iter().find_map(|(key, value)| {
        let (_, name) = SETTINGS.iter().find(|(known, _)| known == key)?;
        let harmless = match *key {
            "pubkeyauthentication" => *value != "no",
            _ => matches!(*value, "none" | "no" | "false" | ""),
        };
        (!harmless).then_some((*name, *value))
    })
}

struct Tokens<'a> {
    host: &'a str,
    port: u16,
    user: &'a str,
    destination: &'a str,
}

impl Tokens<'_> {
    /// The percent tokens that ssh_config(5) allows in paths and ProxyCommand.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('h') => out.push_str(self.host),
                Some('n') => out.push_str(self.destination),
                Some('p') => out.push_str(&self.port.to_string()),
                Some('r') => out.push_str(self.user),
                Some('d') => out.push_str(&own_machine::home().unwrap_or_default().to_string_lossy()),
                Some('u') => out.push_str(&std::env::var("USER").unwrap_or_default()),
                Some('i') => out.push_str(&rustix::process::getuid().as_raw().to_string()),
                Some('%') | None => out.push('%'),
                Some(other) => out.extend(['%', other]),
            }
        }
        out
    }

    fn path(&self, text: &str) -> PathBuf {
        let expanded = self.expand(text);
        match (expanded.strip_prefix("~/"), own_machine::home()) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_), None) | (None, _) => PathBuf::from(expanded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "user op\nhostname DB1.example\nport 2222\nidentityfile /k/%r@%h\nidentitiesonly yes\n\
        userknownhostsfile /u/kh /u/kh2\nglobalknownhostsfile /etc/kh\ncheckhostip no\ntunnel false\n";

    fn check(extra: &str, expected: &str) {
        let shown = match parse(&format!("{extra}{PLAIN}"), "db1", None) {
            Ok(s) => format!("{}@{}:{} {:?} {:?}", s.user, s.host, s.port, s.proxy, s.host_key_alias),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_ports_users_and_files_are_read() {
        check("", "op@db1.example:2222 None None");
        let settings = parse(PLAIN, "db1", None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.identity_files, [PathBuf::from("/k/op@db1.example")]);
        assert_eq!(settings.known_hosts_files.len(), 3);
        assert!(settings.identities_only);
    }

    #[test]
    fn a_proxy_command_gets_its_tokens() {
        check("proxycommand nc %h %p %%\n", "op@db1.example:2222 Command(\"nc db1.example 2222 %\") None");
    }

    #[test]
    fn a_chain_of_jumps_is_kept_in_order_and_none_is_none() {
        check("proxyjump a,op@b:22\n", "op@db1.example:2222 Jump([\"a\", \"op@b:22\"]) None");
        check("proxyjump none\n", "op@db1.example:2222 None None");
    }

    #[test]
    fn what_changes_whom_we_trust_makes_the_host_unsupported_by_name() {
        let told = "not honoured here; set it otherwise for this host in the ssh configuration";
        check("knownhostscommand /bin/x\n", &format!("unsupported: KnownHostsCommand /bin/x: {told}"));
        check("revokedhostkeys /r\n", &format!("unsupported: RevokedHostKeys /r: {told}"));
        check("bindaddress 10.0.0.1\n", &format!("unsupported: BindAddress 10.0.0.1: {told}"));
        check("pubkeyauthentication no\n", &format!("unsupported: PubkeyAuthentication no: {told}"));
    }

    #[test]
    fn ports_of_jumps_are_split_off() {
        assert_eq!(split_port("op@gate:2200"), ("op@gate", Some(2200)));
        assert_eq!(split_port("[::1]:22"), ("::1", Some(22)));
        assert_eq!(split_port("::1"), ("::1", None));
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_the_parser_panic(text in "(?s).{0,300}") {
            let _ = parse(&text, "h", None);
        }
    }
}
