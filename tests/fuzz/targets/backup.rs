#![no_main]
//! Catalogues of every kind of set. The input's NUL bytes stand for the cuts.

use std::sync::LazyLock;

use chrono::DateTime;
use dogwatch::config;
use dogwatch::domain::fleet::HostName;
use dogwatch::domain::probe::backup;
use dogwatch::domain::probe::script::Answer;
use dogwatch::domain::settings::BackupSet;
use libfuzzer_sys::fuzz_target;

const HOSTS: &str = "
[host.h.backup.files]
kind = 'files'
path = '/backup'
pattern = 'db-*.tar.gz'
[host.h.backup.restic]
kind = 'restic'
repository = '/backup/restic'
password_file = '/root/password'
[host.h.backup.borg]
kind = 'borg'
repository = '/backup/borg'
[host.h.backup.matic]
kind = 'borgmatic'
";

static SETS: LazyLock<Vec<BackupSet>> = LazyLock::new(|| {
    let own = HostName::parse("own").expect("a plain name");
    let config = config::parse("hosts.toml", HOSTS, &own).unwrap_or_else(|error| panic!("{error}"));
    let host = config.fleet.hosts.iter().find(|host| host.name.as_str() == "h").expect("it is named");
    host.settings.backups.clone()
});

fuzz_target!(|output: &[u8]| {
    let mut parts: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    let body = parts.pop().unwrap_or_default();
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a time of this century");
    for set in SETS.iter() {
        let _ = backup::parse(&Answer { body, parts: parts.clone(), status: 0 }, set, now);
    }
});
