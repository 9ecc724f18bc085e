//! The scripts that cron reaches: which files the commands of a host's tables begin, and what these files are.

use std::collections::BTreeSet;

use super::cron::CronEntry;
use super::integrity::FileState;
use super::{fields, lines, number};
use crate::domain::text::SafeText;

/// Scripts of one host that are looked at.
const SCRIPTS_MAX: usize = 64;
/// What packages bring is told by their own checks, and changes with each update.
const OF_PACKAGES: [&str; 5] = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/"];
/// The word behind these is a command again.
const WRAPPERS: [&str; 16] = [
    "nice", "ionice", "nohup", "timeout", "time", "env", "chronic", "sudo", "exec", "!", "{", "(", "if", "then",
    "else", "do",
];
/// The word behind these is a script.
const INTERPRETERS: [&str; 12] =
    ["sh", "bash", "dash", "ksh", "zsh", "python", "python3", "perl", "ruby", "php", ".", "source"];

/// A script as it was seen.
pub type Script = (SafeText, FileState);

/// The files that these entries begin, sorted; those with a name that needs quoting are left out.
pub fn reached(entries: &[CronEntry]) -> Vec<String> {
    let commands = entries.iter().filter(|entry| entry.schedule.as_str() != "timer").map(|entry| &entry.command);
    let found: BTreeSet<String> = commands.flat_map(|command| scripts_of(command.as_str())).collect();
    found.into_iter().take(SCRIPTS_MAX).collect()
}

fn scripts_of(command: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_command = true;
    let spaced = command.replace(['|', ';', '&'], " ; ").replace('>', " > ");
    for word in spaced.split_ascii_whitespace() {
        let bare = word.trim_matches(['\'', '"', '(', ')', '{', '}', ';']);
        let name = bare.rsplit('/').next().unwrap_or_default();
        if is_command && is_script(bare) {
            found.push(bare.to_owned());
        }
        // Settings, options, and numbers as of `nice -n 19` stand before a command.
        let is_before = bare.is_empty()
            || bare.starts_with('-')
            || bare.starts_with(|c: char| c.is_ascii_digit())
            || (bare.contains('=') && !bare.starts_with('/'));
        let leads_on = WRAPPERS.contains(&name) || INTERPRETERS.contains(&name) || is_before;
        is_command = (is_command && leads_on) || word.ends_with([';', '(', '{']);
    }
    found
}

fn is_script(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte);
    word.starts_with('/')
        && !word.ends_with('/')
        && word.bytes().all(is_plain)
        && !OF_PACKAGES.iter().any(|place| word.starts_with(place))
}

/// Reads what the cron probe prints of these files: `q`, `s SIZE MODE UID:GID MTIME PATH` of each that may be read and is no
/// larger than a script, and sha256sum's lines. `None` where no file was asked for.
pub fn parse(output: &[u8]) -> Option<Vec<Script>> {
    let mut was_asked = false;
    let mut scripts: Vec<Script> = Vec::new();
    for (_, line) in lines(output) {
        match line {
            b"q" => was_asked = true,
            [b's', b' ', rest @ ..] => scripts.extend(seen(rest)),
            line => {
                let Some((hash, path)) = line.split_at_checked(64) else { continue };
                let path = SafeText::from_bytes_capped(path.trim_ascii_start(), 300);
                if hash.iter().all(u8::is_ascii_hexdigit)
                    && let Some((_, state)) = scripts.iter_mut().find(|(name, _)| *name == path)
                {
                    state.sha256 = SafeText::from_bytes_capped(hash, 64);
                }
            }
        }
    }
    // What could not be hashed is not known.
    scripts.retain(|(_, state)| !state.sha256.as_str().is_empty());
    was_asked.then_some(scripts)
}

fn seen(line: &[u8]) -> Option<Script> {
    let [_, mode, owner, modified, path] = fields(line)?;
    let text = |field| SafeText::from_bytes_capped(field, 100);
    let state =
        FileState { mode: text(mode), owner: text(owner), modified_s: number(modified)?, sha256: SafeText::from("") };
    Some((SafeText::from_bytes_capped(path, 300), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_a_command_begins_are_found_and_its_other_words_are_not() {
        for (command, expected) in [
            ("/opt/transfer.sh --to /srv/out >/var/log/x.log", vec!["/opt/transfer.sh"]),
            (
                "nice -n 19 /opt/a.sh && TZ=UTC sh /opt/b.sh; /opt/c.sh|logger",
                vec!["/opt/a.sh", "/opt/b.sh", "/opt/c.sh"],
            ),
            ("bash -c '/opt/d.sh'", vec!["/opt/d.sh"]),
            ("test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }", vec![]),
            ("[ -x /opt/e.sh ] && /opt/e.sh", vec!["/opt/e.sh"]),
            ("/usr/bin/python3 /srv/f.py>/srv/out 2>&1", vec!["/srv/f.py"]),
            ("/opt/$(id).sh", vec![]),
        ] {
            assert_eq!(scripts_of(command), expected, "{command}");
        }
    }

    #[test]
    fn a_script_without_its_hash_is_not_known_and_nothing_is_said_where_nothing_was_asked() {
        let hash = "a".repeat(64);
        let output = format!("q\ns 9 755 0:0 7 /opt/a.sh\ns 9 755 0:0 7 /opt/b.sh\n{hash}  /opt/a.sh\n");
        let scripts = parse(output.as_bytes()).unwrap_or_default();
        let shown: Vec<String> = scripts
            .iter()
            .map(|(path, state)| format!("{path} {} {} {}", state.mode, state.owner, state.sha256))
            .collect();
        assert_eq!(shown, [format!("/opt/a.sh 755 0:0 {hash}")]);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"q\n"), Some(Vec::new()));
    }
}
