//! Every setting that a table may hold, over the defaults.

use std::time::Duration;

use super::jobs;
use super::reader::{Notes, Reader};
use crate::domain::fleet::{ItemName, ProtectionColour};
use crate::domain::settings::*;

/// Lines are remembered poll by poll, for this long.
const RATE_PER_MAX: Duration = HOUR;
const SECOND: Duration = Duration::from_secs(1);

/// Every setting that the table has, over the defaults.
pub fn read_settings(reader: Reader, other_keys: &[&'static str]) -> Settings {
    let mut s = Settings::default();
    reader.also_knows(other_keys);
    set(&mut s.cadence, reader.duration("cadence", SECOND));
    set(&mut s.cron_cadence, reader.duration("cron_cadence", SECOND));
    set(&mut s.slow_cadence, reader.duration("slow_cadence", SECOND));
    set(&mut s.slow_retry, reader.duration("slow_retry", SECOND));
    set(&mut s.connect_deadline, reader.duration("connect_deadline", Duration::from_millis(100)));
    set(&mut s.keepalive, reader.duration("keepalive", SECOND));
    set(&mut s.deadline, reader.duration("deadline", Duration::from_millis(100)));
    set(&mut s.slow_deadline, reader.duration("slow_deadline", Duration::from_millis(100)));
    set(&mut s.output_bytes_max, reader.bytes("output_bytes_max").map(|bytes| bytes.clamp(4_096, 64 << 20) as usize));
    set(&mut s.attempts, reader.count("attempts", 1, 100).map(|count| count as u32));
    set(&mut s.sudo, reader.flag("sudo"));
    s.colour = reader.choice("colour", &ProtectionColour::NAMED).or(s.colour);
    if let Some(disk) = reader.table("disk") {
        limits(&disk, &mut s.disk.space);
        set(&mut s.disk.ignore, plain_strings(&disk, "ignore"));
        set(&mut s.disk.read_only, plain_strings(&disk, "read_only"));
        set(&mut s.disk.smart, disk.flag("smart"));
        disk.finish();
    }
    for (key, slot) in
        [("inodes", &mut s.inodes), ("load", &mut s.load), ("memory", &mut s.memory), ("swap", &mut s.swap)]
    {
        if let Some(table) = reader.table(key) {
            limits(&table, slot);
            table.finish();
        }
    }
    if let Some(forecast) = reader.table("forecast") {
        set(&mut s.forecast.window, forecast.duration("window", MINUTE));
        set(&mut s.forecast.warning, forecast.duration("warning", SECOND));
        set(&mut s.forecast.critical, forecast.duration("critical", SECOND));
        set(&mut s.forecast.above, forecast.number("above", 0.0));
        in_order(
            &forecast,
            s.forecast.critical <= s.forecast.warning,
            "critical must not be above warning: it is the shorter time",
        );
        forecast.finish();
    }
    if let Some(clock) = reader.table("clock") {
        duration_limits(&clock, &mut s.clock);
        clock.finish();
    }
    if let Some(units) = reader.table("units") {
        set(&mut s.units.ignore, plain_strings(&units, "ignore"));
        units.finish();
    }
    if let Some(log) = reader.table("log") {
        set(&mut s.log.growth_warning, log.duration("growth_warning", MINUTE));
        set(&mut s.log.bytes_max, log.bytes("bytes_max").map(|bytes| bytes.clamp(1_024, 4 << 20)));
        set(&mut s.log.entries_max, log.count("entries_max", 1, 100_000).map(|count| count as u32));
        log.finish();
    }
    if let Some(logs) = reader.strings("logs") {
        s.logs = logs.into_iter().filter_map(|(offset, watch)| log_watch(&watch, offset, reader.notes())).collect();
        s.logs.sort();
        s.logs.dedup();
    }
    if let Some(files) = reader.strings("integrity") {
        for (offset, file) in &files {
            if !file.starts_with('/') {
                reader.notes().error(*offset, format!("integrity: '{file}' is no absolute path"));
            }
        }
        s.integrity = files.into_iter().map(|(_, file)| file).collect();
    }
    if let Some(commands) = reader.strings("commands") {
        s.commands = commands.into_iter().map(|(_, command)| command).collect();
    }
    if let Some(path) = reader.string("accounting") {
        s.accounting = Some(path);
    }
    if let Some(directories) = reader.strings("no_world_writable") {
        s.no_world_writable =
            directories.into_iter().filter_map(|(at, dir)| absolute(dir, at, reader.notes())).collect();
    }
    rules(&reader, &mut s.rules);
    s.backups = named(&reader, "backup", backup_set);
    s.jobs = named(&reader, "job", jobs::job);
    if !reader.is_layer() {
        jobs::check_witnesses(&s, &reader);
    }
    reader.finish();
    s
}

pub fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn plain_strings(reader: &Reader, key: &'static str) -> Option<Vec<String>> {
    Some(reader.strings(key)?.into_iter().map(|(_, text)| text).collect())
}

fn in_order(reader: &Reader, holds: bool, what: &str) {
    if !holds && !reader.is_layer() {
        let key = if reader.has("critical") { "critical" } else { "warning" };
        reader.notes().error(reader.place(key), what.to_owned());
    }
}

fn limits(reader: &Reader, slot: &mut Limits) {
    set(&mut slot.warning, reader.number("warning", 0.0));
    set(&mut slot.critical, reader.number("critical", 0.0));
    set(&mut slot.clear, reader.number("clear", 0.0));
    in_order(reader, slot.warning <= slot.critical, "critical must not be below warning");
}

fn duration_limits(reader: &Reader, slot: &mut DurationLimits) {
    set(&mut slot.warning, reader.duration("warning", Duration::from_millis(1)));
    set(&mut slot.critical, reader.duration("critical", Duration::from_millis(1)));
    in_order(reader, slot.warning <= slot.critical, "critical must not be below warning");
}

fn log_watch(watch: &str, offset: usize, notes: &Notes) -> Option<LogWatch> {
    if watch == "journal" {
        return Some(LogWatch::Journal(None));
    }
    if let Some(unit) = watch.strip_prefix("journal:") {
        return Some(LogWatch::Journal(Some(unit.to_owned())));
    }
    if watch.starts_with('/') {
        return Some(LogWatch::Path(watch.to_owned()));
    }
    notes.error(offset, format!("logs: '{watch}' is neither an absolute path nor journal or journal:UNIT"));
    None
}

fn absolute(path: String, offset: usize, notes: &Notes) -> Option<String> {
    if path.starts_with('/') {
        return Some(path);
    }
    notes.error(offset, format!("no_world_writable: '{path}' is no absolute path"));
    None
}

fn named<T>(reader: &Reader, key: &'static str, read: impl Fn(ItemName, usize, &Reader) -> Option<T>) -> Vec<T> {
    let mut items = Vec::new();
    for (offset, name, table) in reader.named_tables(key) {
        match ItemName::parse(&name) {
            Ok(name) => items.extend(read(name, offset, &table)),
            Err(error) => reader.notes().error(offset, format!("{key} {error}")),
        }
        table.finish();
    }
    items
}

fn rules(reader: &Reader, rules: &mut Vec<RateRule>) {
    let set_rules = named(reader, "rule", |name, offset, table| {
        let built_in = rules.iter().find(|rule| rule.name == name).cloned();
        let enabled = table.flag("enabled").unwrap_or(true);
        let pattern = match table.string("pattern").map(|pattern| table.notes().pattern(&pattern)) {
            Some(Ok(pattern)) => Some(pattern),
            Some(Err(error)) => {
                table.notes().error(table.place("pattern"), format!("pattern: not a regular expression: {error}"));
                None
            }
            None => built_in.as_ref().map(|rule| rule.pattern.clone()),
        };
        let Some(pattern) = pattern else {
            if !table.has("pattern") {
                table.notes().error(offset, format!("rule {name} needs a pattern"));
            }
            return None;
        };
        let mut limit = Limits {
            warning: built_in.as_ref().map_or(1.0, |rule| rule.warning),
            critical: built_in.as_ref().map_or(f64::MAX, |rule| rule.critical),
            clear: 0.0,
        };
        limits(table, &mut limit);
        let per = table.duration("per", SECOND).or(built_in.map(|rule| rule.per)).unwrap_or(5 * MINUTE);
        if RATE_PER_MAX < per {
            table.notes().error(
                table.place("per"),
                format!("rule {name}: per is at most 1h, which is how far back lines are counted"),
            );
        }
        Some((enabled, RateRule { name, pattern, warning: limit.warning, critical: limit.critical, per }))
    });
    for (enabled, rule) in set_rules {
        rules.retain(|other| other.name != rule.name);
        if enabled {
            rules.push(rule);
        }
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
}

#[derive(Clone, Copy)]
enum BackupKind {
    Files,
    Restic,
    Borg,
    Borgmatic,
}

const BACKUP_KINDS: [(&str, BackupKind); 4] = [
    ("files", BackupKind::Files),
    ("restic", BackupKind::Restic),
    ("borg", BackupKind::Borg),
    ("borgmatic", BackupKind::Borgmatic),
];

fn required(table: &Reader, offset: usize, key: &'static str) -> Option<String> {
    if !table.has(key) {
        table.notes().error(offset, format!("'{key}' is missing"));
    }
    table.string(key)
}

fn backup_set(name: ItemName, offset: usize, table: &Reader) -> Option<BackupSet> {
    if !table.has("kind") {
        table.notes().error(offset, format!("backup {name} needs a kind: files, restic, borg or borgmatic"));
    }
    let kind = table.choice("kind", &BACKUP_KINDS);
    let source = kind.and_then(|kind| {
        Some(match kind {
            BackupKind::Files => BackupSource::Files {
                directory: required(table, offset, "path")?,
                pattern: table.string("pattern").unwrap_or_else(|| "*".to_owned()),
                size_min: table.bytes("size_min").unwrap_or(1),
            },
            BackupKind::Restic => BackupSource::Restic {
                repository: required(table, offset, "repository")?,
                password_file: required(table, offset, "password_file")?,
            },
            BackupKind::Borg => BackupSource::Borg {
                repository: required(table, offset, "repository")?,
                passcommand: table.string("passcommand"),
            },
            BackupKind::Borgmatic => BackupSource::Borgmatic {
                config: table.string("config").unwrap_or_else(|| "/etc/borgmatic/config.yaml".to_owned()),
            },
        })
    });
    let mut age = DurationLimits { warning: 26 * HOUR, critical: 50 * HOUR };
    duration_limits(table, &mut age);
    let mut target = Settings::default().disk.space;
    if let Some(table) = table.table("target") {
        limits(&table, &mut target);
        table.finish();
    }
    let keep = table.count("keep", 1, 1_000_000).map(|keep| keep as u32);
    let keep_age = table.duration("keep_age", MINUTE);
    let restore_test = table.duration("restore_test", MINUTE);
    let sudo = table.flag("sudo").unwrap_or(false);
    Some(BackupSet { name, source: source?, age, keep, keep_age, restore_test, sudo, target })
}
