use super::*;
use crate::domain::fleet::Reach;
use crate::domain::settings::{BackupSource, LogWatch};
use std::time::Duration;

fn own() -> HostName {
    HostName::parse("own").unwrap_or_else(|error| panic!("{error}"))
}

fn names(config: &Config) -> String {
    config.fleet.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// The hosts, or every error.
fn check(text: &str, expected: &str) {
    let shown = match parse("hosts.toml", text, &own()) {
        Ok(config) => names(&config),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}

fn parsed(text: &str) -> Config {
    parse("hosts.toml", text, &own()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_empty_file_watches_this_machine() {
    check("", "own");
}

#[test]
fn hosts_come_from_groups_and_from_their_own_tables() {
    check("[group.web]\nhosts = ['web[1-2]']\n[host.db1]\naddress = 'db1.example'\n", "db1 own web1 web2");
}

#[test]
fn every_error_is_told_at_once_with_its_place_and_a_suggestion() {
    check(
        "[defaults]\ncadense = '10s'\nattempts = 0\n\n[host.db1]\ncadence = 'ten'\ngroups = ['prod']\n[group.prd]\n",
        "hosts.toml:2:1: unknown setting 'cadense', did you mean 'cadence'?\n\
         hosts.toml:3:12: attempts: expected a whole number from 1 to 100, found 0\n\
         hosts.toml:6:11: cadence: expected a duration such as \"10s\" or \"6h\", found \"ten\"\n\
         hosts.toml:7:11: no group is named 'prod', did you mean 'prd'?",
    );
}

#[test]
fn a_syntax_error_names_its_line() {
    check("[host.db1]\naddress = \n", "hosts.toml:2:11: string values must be quoted, expected literal string");
}

#[test]
fn limits_in_the_wrong_order_are_refused() {
    check("[defaults.disk]\nwarning = 96\n", "hosts.toml:2:11: critical must not be below warning");
}

#[test]
fn a_later_layer_wins_and_keeps_what_it_does_not_name() {
    let config = parsed(
        "[defaults]\ndisk = { warning = 70 }\nlogs = ['/var/log/syslog']\n[group.db]\nhosts = ['db1']\ndisk = { critical = 90 }\n\
         cadence = '5s'\n[host.db1]\ncadence = '2s'\nlogs = ['journal:ssh']\n",
    );
    let db1 = &config.fleet.hosts[0].settings;
    assert_eq!((db1.disk.space.warning, db1.disk.space.critical), (70.0, 90.0));
    assert_eq!(db1.cadence, Duration::from_secs(2));
    assert_eq!(db1.logs, [LogWatch::Journal(Some("ssh".to_owned()))]);
    assert_eq!(config.fleet.hosts[1].settings.disk.space.warning, 70.0);
}

#[test]
fn a_host_marked_local_is_the_own_machine() {
    let config = parsed("[host.me]\nlocal = true\n");
    assert_eq!(names(&config), "me");
    assert_eq!(config.fleet.hosts[0].reach, Reach::Local);
}

#[test]
fn one_address_under_two_names_is_warned_of() {
    let config = parsed("[host.a]\naddress = 'db.example'\n[host.b]\naddress = 'DB.example'\n");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["hosts.toml:3:7: b and a have the same address: one machine is watched twice"]);
}

#[test]
fn a_host_in_two_tables_is_warned_of() {
    let config = parsed("[host.'web[1-2]']\ncadence = '5s'\n[host.web2]\ncadence = '7s'\n");
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.fleet.hosts[2].settings.cadence, Duration::from_secs(7));
}

#[test]
fn a_backup_set_needs_what_its_kind_needs() {
    check(
        "[host.db1.backup.nightly]\nkind = 'restik'\n[host.db1.backup.weekly]\nkind = 'files'\n",
        "hosts.toml:2:8: kind: 'restik' is none of files, restic, borg, borgmatic, did you mean 'restic'?\n\
         hosts.toml:3:18: 'path' is missing",
    );
    let config = parsed("[host.db1.backup.nightly]\nkind = 'files'\npath = '/backup'\nsize_min = '1 MB'\n");
    let BackupSource::Files { size_min, .. } = &config.fleet.hosts[0].settings.backups[0].source else {
        panic!("expected plain files");
    };
    assert_eq!(*size_min, 1_000_000);
}

#[test]
fn a_job_needs_an_expectation_and_its_evidence() {
    check(
        "[host.a.job.x]\nschedule = '61 4 * * *'\ncommand = 'x'\n[host.a.job.y]\nevery = '1d'\n",
        "hosts.toml:2:12: schedule: '61 4 * * *' is no cron expression: Component error: Number out of bounds.\n\
         hosts.toml:4:13: job y needs 'command' (text of its line in cron's log) or 'timer' (a unit), and not both",
    );
}

#[test]
fn a_schedule_of_a_day_that_never_comes_is_refused_and_one_of_a_leap_year_is_not() {
    let job = |schedule: &str| format!("[host.a.job.x]\ncommand = 'x'\nschedule = '{schedule}'\n");
    check(&job("0 0 30 2 *"), "hosts.toml:3:12: schedule: '0 0 30 2 *' names a day that never comes");
    check(&job("0 0 29 2 *"), "a own");
}

#[test]
fn a_job_s_witnesses_must_be_watched_and_whole() {
    let job = "[host.a.job.x]\nevery = '1d'\ncommand = 'x'\n";
    check(
        &format!("{job}log = '/var/log/x'\ndone = 'ok'\nleaves = 'nightly'\n"),
        "hosts.toml:4:7: job x: log = '/var/log/x' is not watched: add it to logs\n\
         hosts.toml:6:10: job x: leaves = 'nightly' is no backup set of this host",
    );
    check(
        &format!("{job}done = '('\n"),
        "hosts.toml:1:13: job x: its own log needs 'log' (as logs has it) and 'done' or 'failed' (a pattern of its last line)\n\
         hosts.toml:4:8: done: not a regular expression: error: unclosed group",
    );
}

#[test]
fn a_rule_can_be_added_changed_and_switched_off() {
    let config = parsed(
        "[defaults.rule.oom]\nenabled = false\n[defaults.rule.slow]\npattern = 'slow query'\nwarning = 3\n[defaults.rule.http-5xx]\nwarning = 1\n",
    );
    let rules: Vec<(&str, f64)> =
        config.fleet.hosts[0].settings.rules.iter().map(|rule| (rule.name.as_str(), rule.warning)).collect();
    assert_eq!(rules, [("auth-failure", 20.0), ("http-5xx", 1.0), ("io-error", 1.0), ("no-space", 1.0), ("slow", 3.0)]);
}

#[test]
fn a_bad_pattern_says_what_is_wrong_with_it() {
    check(
        "[defaults.rule.x]\npattern = '('\n",
        "hosts.toml:2:11: pattern: not a regular expression: error: unclosed group",
    );
}

/// Each of two hundred mutations is refused with a place, or changes what is watched and nothing else.
#[test]
fn two_hundred_mutated_files_are_refused_with_a_place_or_read_whole() {
    let good = "[defaults]\ncadence = '10s'\nlogs = ['/var/log/syslog']\n[group.web]\nhosts = ['web[1-3]']\n\
                disk = { warning = 80, critical = 90 }\n[host.db1]\naddress = 'db1.example'\n";
    let mut refused = 0;
    for mutation in 0..200_usize {
        let at = mutation * 7919 % good.len();
        let mut bytes = good.as_bytes().to_vec();
        match mutation % 4 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, b"=[]'x9\n"[mutation % 7]),
            2 => bytes[at] = b"'x]"[mutation % 3],
            _ => bytes.truncate(at),
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(ConfigError(problems)) = parse("hosts.toml", &text, &own()) {
            refused += 1;
            assert!(
                problems.iter().all(|problem| 1 <= problem.line && 1 <= problem.column && !problem.what.is_empty())
            );
        }
    }
    assert!(50 < refused, "only {refused} mutations were refused");
}

#[test]
fn a_parent_is_a_host_of_the_fleet_and_nobody_is_above_themselves() {
    check(
        "[host.vm1]\nparent = 'hv'\n[host.hv1]\n",
        "hosts.toml:1:7: parent of vm1: no host is named 'hv', did you mean 'hv1'?",
    );
    check(
        "[host.a]\nparent = 'b'\n[host.b]\nparent = 'a'\n",
        "hosts.toml:1:7: parent of a: it is above itself\nhosts.toml:3:7: parent of b: it is above itself",
    );
    check(
        "[group.g]\nhosts = ['a']\ncolour = 'purple'\n",
        "hosts.toml:3:10: colour: 'purple' is none of red, yellow, green, blue, magenta, cyan",
    );
}

#[test]
fn a_rule_that_can_never_give_a_rate_is_warned_of() {
    let config = parsed("[host.db1]\ncadence = '10m'\nlogs = ['/var/log/syslog']\n");
    let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["hosts.toml:1:7: db1: rule auth-failure counts over 5m, but logs are read each 10m: raise its 'per'"]
    );
}
