//! Strict known_hosts matching, with OpenSSH's answers: libssh2's own code gives others (it ignores `@revoked`,
//! wildcards and case, and stops at the first line that it can't parse).
//!
//! Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". A key is compared as its whole blob.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A host key as it travels: the blob of RFC 4253, 6.6.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(Vec<u8>);

impl HostKey {
    pub fn from_blob(blob: &[u8]) -> Self {
        Self(blob.to_vec())
    }

    /// `ssh-ed25519` and the like: the blob's first string.
    pub fn kind(&self) -> &str {
        first_string(&self.0).and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or("unknown")
    }

    /// As `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.0)))
    }

    /// As a known_hosts line writes it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.fingerprint())
    }
}

fn first_string(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

/// One line that could be read.
#[derive(Clone, Debug)]
struct Entry {
    file: String,
    line: usize,
    marker: Marker,
    patterns: String,
    key: HostKey,
}

/// The lines of all known_hosts files of a host. Lines that can't be read are skipped, as OpenSSH does.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

/// Where a key stands that is not the one shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub file: String,
    pub line: usize,
    pub kind: String,
    pub fingerprint: String,
}

/// What the files say of a shown key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Trusted,
    /// Another key of the same type is recorded.
    Changed(Recorded),
    Revoked(Recorded),
    /// Nothing is recorded, or only keys of other types.
    Unknown {
        other_kinds: Vec<String>,
    },
    /// Only a certificate authority is recorded; host certificates are not checked here.
    OnlyCertAuthority(Recorded),
}

impl KnownHosts {
    /// Adds a file's lines.
    pub fn add(&mut self, file: &str, text: &[u8]) {
        let lines = text.split(|&byte| byte == b'\n').enumerate();
        self.entries.extend(lines.filter_map(|(index, line)| parse_line(file, index + 1, line)));
    }

    /// What the files say of `key` shown by a host. Where nothing is recorded under `[host]:port`, a record of the plain
    /// host counts too, as it does for ssh.
    pub fn verdict(&self, names: &RecordedNames, key: &HostKey) -> Verdict {
        let verdict = self.verdict_under(&names.full, key);
        match (&verdict, &names.without_port) {
            (Verdict::Unknown { .. } | Verdict::OnlyCertAuthority(_), Some(plain))
                if self.verdict_under(plain, key) == Verdict::Trusted =>
            {
                Verdict::Trusted
            }
            _ => verdict,
        }
    }

    fn verdict_under(&self, name: &str, key: &HostKey) -> Verdict {
        let of_host: Vec<&Entry> = self.entries.iter().filter(|entry| entry.matches(name)).collect();
        if let Some(revoked) = of_host.iter().find(|entry| entry.marker == Marker::Revoked && entry.key == *key) {
            return Verdict::Revoked(revoked.recorded());
        }
        let plain: Vec<&&Entry> = of_host.iter().filter(|entry| entry.marker == Marker::None).collect();
        if plain.iter().any(|entry| entry.key == *key) {
            return Verdict::Trusted;
        }
        if let Some(other) = plain.iter().find(|entry| entry.key.kind() == key.kind()) {
            return Verdict::Changed(other.recorded());
        }
        match of_host.iter().find(|entry| entry.marker == Marker::CertAuthority) {
            Some(authority) if plain.is_empty() => Verdict::OnlyCertAuthority(authority.recorded()),
            Some(_) | None => Verdict::Unknown { other_kinds: self.kinds(name) },
        }
    }

    /// The key types recorded for a host: to be asked for first, so that a known ECDSA key is not missed because the
    /// server would rather show another.
    pub fn kinds(&self, name: &str) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.marker == Marker::None && entry.matches(name)) {
            if !kinds.iter().any(|kind| kind == entry.key.kind()) {
                kinds.push(entry.key.kind().to_owned());
            }
        }
        kinds
    }
}

impl Entry {
    fn matches(&self, name: &str) -> bool {
        match self.patterns.strip_prefix('|') {
            Some(hashed) => matches_hashed(hashed, name),
            None => matches_list(&self.patterns, name),
        }
    }

    fn recorded(&self) -> Recorded {
        Recorded {
            file: self.file.clone(),
            line: self.line,
            kind: self.key.kind().to_owned(),
            fingerprint: self.key.fingerprint(),
        }
    }
}

fn parse_line(file: &str, line: usize, bytes: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches([' ', '\t']);
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let mut words = text.split([' ', '\t', '\r']).filter(|word| !word.is_empty());
    let mut patterns = words.next()?;
    let marker = match patterns {
        "@cert-authority" => Marker::CertAuthority,
        "@revoked" => Marker::Revoked,
        other if other.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        patterns = words.next()?;
    }
    let kind = words.next()?;
    let blob = STANDARD.decode(words.next()?).ok()?;
    (first_string(&blob)? == kind.as_bytes()).then_some(Entry {
        file: file.to_owned(),
        line,
        marker,
        patterns: patterns.to_owned(),
        key: HostKey(blob),
    })
}

/// `1|SALT|HASH`, both in base64: HMAC-SHA1 of the name by the salt.
fn matches_hashed(hashed: &str, name: &str) -> bool {
    let hash = || {
        let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
        let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
        mac.update(name.to_ascii_lowercase().as_bytes());
        mac.verify_slice(&STANDARD.decode(hash).ok()?).ok()
    };
    hash().is_some()
}

/// A comma-separated list; one negated pattern that matches refuses the whole line.
fn matches_list(patterns: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(&pattern.to_ascii_lowercase(), &name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(&pattern.to_ascii_lowercase(), &name),
        }
    }
    found
}

fn matches_pattern(pattern: &str, name: &str) -> bool {
    crate::domain::settings::pattern_matches(pattern, name)
}

/// The names under which a host's key may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedNames {
    /// `host`, `[host]:port` for a port other than 22, or the configured alias.
    pub full: String,
    /// `host`, where `full` has a port.
    pub without_port: Option<String>,
}

impl RecordedNames {
    pub fn new(host: &str, port: u16, alias: Option<&str>) -> Self {
        match (alias, port) {
            (Some(alias), _) => Self { full: alias.to_owned(), without_port: None },
            (None, 22) => Self { full: host.to_owned(), without_port: None },
            (None, port) => Self { full: format!("[{host}]:{port}"), without_port: Some(host.to_owned()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, seed: u8) -> HostKey {
        let mut blob = (kind.len() as u32).to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend([0, 0, 0, 32]);
        blob.extend([seed; 32]);
        HostKey(blob)
    }

    fn ed(seed: u8) -> String {
        format!("ssh-ed25519 {}", key("ssh-ed25519", seed).base64())
    }

    fn check(text: &str, name: &str, expected: &str) {
        let mut known = KnownHosts::default();
        known.add("kh", text.as_bytes());
        let without_port = name.strip_prefix('[').and_then(|name| name.split(']').next()).map(str::to_owned);
        let names = RecordedNames { full: name.to_owned(), without_port };
        let shown = match known.verdict(&names, &key("ssh-ed25519", 1)) {
            Verdict::Trusted => "trusted".to_owned(),
            Verdict::Changed(recorded) => format!("changed, line {}", recorded.line),
            Verdict::Revoked(recorded) => format!("revoked, line {}", recorded.line),
            Verdict::Unknown { other_kinds } => format!("unknown {}", other_kinds.join(" ")).trim_end().to_owned(),
            Verdict::OnlyCertAuthority(recorded) => format!("authority, line {}", recorded.line),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_recorded_key_is_trusted() {
        check(&format!("h {}\n", ed(1)), "h", "trusted");
    }

    #[test]
    fn the_key_of_the_plain_port_is_not_trusted_on_another() {
        check(&format!("[h]:2222 {}\nh {}\n", ed(2), ed(1)), "[h]:2222", "changed, line 1");
    }

    #[test]
    fn a_key_of_the_plain_host_counts_where_its_port_has_no_record() {
        check(&format!("h {}\n", ed(1)), "[h]:2222", "trusted");
        check(&format!("h {}\n@revoked h {}\n", ed(1), ed(1)), "[h]:2222", "unknown");
    }

    #[test]
    fn a_revoked_key_is_refused_wherever_else_it_is_recorded() {
        check(&format!("h {}\n@revoked * {}\n", ed(1), ed(1)), "h", "revoked, line 2");
    }

    #[test]
    fn a_line_that_cannot_be_read_hides_nothing_after_it() {
        check(&format!("h ssh-ed25519 !!!\n@bad h x y\nh {}\n", ed(2)), "h", "changed, line 3");
    }

    #[test]
    fn wildcards_case_and_negation_are_honoured() {
        check(&format!("*.Example.com {}\n", ed(1)), "Web1.example.COM", "trusted");
        check(&format!("*.example.com,!web1.example.com {}\n", ed(1)), "web1.example.com", "unknown");
    }

    #[test]
    fn a_known_ecdsa_key_makes_an_ed25519_one_unknown_and_says_so() {
        let ecdsa = format!("ecdsa-sha2-nistp256 {}", key("ecdsa-sha2-nistp256", 1).base64());
        check(&format!("h {ecdsa}\n"), "h", "unknown ecdsa-sha2-nistp256");
    }

    #[test]
    fn a_host_known_only_through_an_authority_is_told_apart() {
        check(&format!("@cert-authority * {}\n", ed(1)), "h", "authority, line 1");
    }

    #[test]
    fn a_hashed_name_is_found() {
        let mut mac = Hmac::<Sha1>::new_from_slice(&[7; 20]).unwrap_or_else(|error| panic!("{error}"));
        mac.update(b"h");
        let hash = STANDARD.encode(mac.finalize().into_bytes());
        check(&format!("|1|{}|{hash} {}\n", STANDARD.encode([7; 20]), ed(1)), "h", "trusted");
        check(&format!("|1|{}|{hash} {}\n", STANDARD.encode([8; 20]), ed(1)), "h", "unknown");
    }

    #[test]
    fn a_type_that_is_not_the_blobs_own_is_skipped() {
        check(&format!("h ssh-rsa {}\n", key("ssh-ed25519", 1).base64()), "h", "unknown");
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let mut known = KnownHosts::default();
            known.add("kh", &text);
            let _ = known.verdict(&RecordedNames::new("h", 2222, None), &key("ssh-ed25519", 1));
        }
    }
}
