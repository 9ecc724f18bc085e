//! Layers of settings (defaults, groups in the order of the file, host) become one [`HostSpec`] a host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::reader::{Notes, Reader, overlay, suggestion};
use crate::domain::fleet::{Fleet, GroupName, HostName, HostSpec, ItemName, Reach, expand_node_set};
use crate::domain::settings::*;

const SECOND: Duration = Duration::from_secs(1);
const HOST_KEYS: [&str; 5] = ["address", "local", "replay", "groups", "hosts"];

/// What the file says of one host, before its settings are resolved.
#[derive(Default)]
struct HostDraft<'a> {
    /// Where it is first named.
    offset: usize,
    groups: Vec<GroupName>,
    tables: Vec<&'a DeTable<'a>>,
}

/// The host for the machine Dogwatch runs on, with every default.
pub fn own_host(own_name: &HostName) -> HostSpec {
    HostSpec {
        name: own_name.clone(),
        groups: Vec::new(),
        reach: Reach::Local,
        settings: Arc::new(Settings::default()),
    }
}

/// Resolves the whole file.
pub fn fleet<'a>(root: &'a DeTable<'a>, notes: &'a Notes<'a>, own_name: &HostName) -> (Fleet, u64) {
    let root = Reader::new(root, notes);
    let ssh_config = root.string("ssh_config").map(PathBuf::from);
    let mut store_bytes_max = super::STORE_BYTES_MAX;
    if let Some(store) = root.table("store") {
        set(&mut store_bytes_max, store.bytes("size_max").map(|bytes| bytes.max(1 << 20)));
        store.finish();
    }
    let defaults = root.table("defaults");
    let groups = root.named_tables("group");
    let hosts = root.named_tables("host");
    if let Some(defaults) = &defaults {
        settings(Reader::layer(defaults.raw(), notes));
    }
    let mut drafts: BTreeMap<HostName, HostDraft<'a>> = BTreeMap::new();
    let mut group_tables: Vec<(GroupName, &'a DeTable<'a>)> = Vec::new();
    for (offset, name, group) in &groups {
        let name = match GroupName::parse(name) {
            Ok(name) => name,
            Err(error) => {
                notes.error(*offset, format!("group {error}"));
                continue;
            }
        };
        for (offset, pattern) in group.strings("hosts").unwrap_or_default() {
            for host in expanded(&pattern, offset, notes) {
                drafts
                    .entry(host)
                    .or_insert_with(|| HostDraft { offset, ..HostDraft::default() })
                    .groups
                    .push(name.clone());
            }
        }
        settings_with(Reader::layer(group.raw(), notes), &["hosts"]);
        group_tables.push((name, group.raw()));
    }
    for (offset, pattern, host) in &hosts {
        for name in expanded(pattern, *offset, notes) {
            let draft =
                drafts.entry(name.clone()).or_insert_with(|| HostDraft { offset: *offset, ..HostDraft::default() });
            if !draft.tables.is_empty() {
                notes
                    .warning(*offset, format!("host {name} is in an earlier table too: the later one is laid over it"));
            }
            draft.tables.push(host.raw());
        }
        for (offset, group) in host.strings("groups").unwrap_or_default() {
            join_group(&mut drafts, pattern, &group, offset, &group_tables, notes);
        }
        settings_with(Reader::layer(host.raw(), notes), &HOST_KEYS[..4]);
    }
    root.finish();
    let base = defaults.as_ref().map(Reader::raw);
    let mut specs: Vec<HostSpec> = Vec::new();
    for (name, draft) in &drafts {
        let layers = Layers { defaults: base, groups: &group_tables, ssh_config: ssh_config.as_ref() };
        specs.push(host_spec(name, draft, layers, notes));
    }
    warn_of_shared_addresses(&specs, &drafts, notes);
    if !specs.iter().any(|spec| spec.reach == Reach::Local) {
        add_own_host(&mut specs, own_name, base, notes);
    }
    let groups = group_tables.into_iter().map(|(name, _)| name).collect();
    (Fleet { hosts: specs, groups }, store_bytes_max)
}

fn expanded(pattern: &str, offset: usize, notes: &Notes) -> Vec<HostName> {
    expand_node_set(pattern).unwrap_or_else(|error| {
        notes.error(offset, error.to_string());
        Vec::new()
    })
}

fn join_group(
    drafts: &mut BTreeMap<HostName, HostDraft>,
    pattern: &str,
    group: &str,
    offset: usize,
    groups: &[(GroupName, &DeTable)],
    notes: &Notes,
) {
    let Some((group, _)) = groups.iter().find(|(name, _)| name.as_str() == group) else {
        let hint = suggestion(group, groups.iter().map(|(name, _)| name.as_str()));
        notes.error(offset, format!("no group is named '{group}'{hint}"));
        return;
    };
    for name in expand_node_set(pattern).unwrap_or_default() {
        if let Some(draft) = drafts.get_mut(&name).filter(|draft| !draft.groups.contains(group)) {
            draft.groups.push(group.clone());
        }
    }
}

/// What hosts share.
#[derive(Clone, Copy)]
struct Layers<'a, 's> {
    defaults: Option<&'a DeTable<'a>>,
    groups: &'s [(GroupName, &'a DeTable<'a>)],
    ssh_config: Option<&'s PathBuf>,
}

fn host_spec<'a>(name: &HostName, draft: &HostDraft<'a>, shared: Layers<'a, '_>, notes: &Notes) -> HostSpec {
    let Layers { defaults, groups, ssh_config } = shared;
    let in_groups = groups.iter().filter(|(group, _)| draft.groups.contains(group)).map(|(_, table)| *table);
    let layers = defaults.into_iter().chain(in_groups).chain(draft.tables.iter().copied());
    let mut merged = DeTable::new();
    layers.for_each(|layer| overlay(&mut merged, layer));
    let reader = Reader::new(&merged, notes);
    let reach = match (reader.flag("local"), reader.string("replay")) {
        (Some(true), _) => Reach::Local,
        (Some(false) | None, Some(directory)) => Reach::Replay { directory: PathBuf::from(directory) },
        (Some(false) | None, None) => {
            let destination = reader.string("address").unwrap_or_else(|| name.as_str().to_owned());
            Reach::Ssh { destination, ssh_config: ssh_config.cloned() }
        }
    };
    if let Reach::Ssh { destination, .. } = &reach
        && let Err(error) = HostName::parse(destination)
    {
        notes.error(reader.place("address"), format!("address: {error}"));
    }
    HostSpec { name: name.clone(), groups: draft.groups.clone(), reach, settings: Arc::new(settings(reader)) }
}

fn add_own_host(specs: &mut Vec<HostSpec>, own_name: &HostName, defaults: Option<&DeTable>, notes: &Notes) {
    if specs.iter().any(|spec| spec.name == *own_name) {
        // Watched over SSH under its own name: that is the user's choice.
        return;
    }
    let empty = DeTable::new();
    let settings = settings(Reader::new(defaults.unwrap_or(&empty), notes));
    specs.push(HostSpec { settings: Arc::new(settings), ..own_host(own_name) });
    specs.sort_by(|a, b| a.name.cmp(&b.name));
}

fn warn_of_shared_addresses(specs: &[HostSpec], drafts: &BTreeMap<HostName, HostDraft>, notes: &Notes) {
    let mut seen: BTreeMap<String, &HostName> = BTreeMap::new();
    for spec in specs {
        let address = match &spec.reach {
            Reach::Ssh { destination, .. } => destination.to_ascii_lowercase(),
            Reach::Local => "this machine".to_owned(),
            Reach::Replay { .. } => continue,
        };
        if let Some(other) = seen.insert(address, &spec.name) {
            let offset = drafts.get(&spec.name).map_or(0, |draft| draft.offset);
            notes.warning(
                offset,
                format!("{} and {other} have the same address: one machine is watched twice", spec.name),
            );
        }
    }
}

fn settings(reader: Reader) -> Settings {
    settings_with(reader, &HOST_KEYS)
}

/// Every setting that the table has, over the defaults.
fn settings_with(reader: Reader, other_keys: &[&'static str]) -> Settings {
    let mut s = Settings::default();
    reader.also_knows(other_keys);
    set(&mut s.cadence, reader.duration("cadence", SECOND));
    set(&mut s.cron_cadence, reader.duration("cron_cadence", SECOND));
    set(&mut s.slow_cadence, reader.duration("slow_cadence", SECOND));
    set(&mut s.slow_retry, reader.duration("slow_retry", SECOND));
    set(&mut s.connect_deadline, reader.duration("connect_deadline", Duration::from_millis(100)));
    set(&mut s.deadline, reader.duration("deadline", Duration::from_millis(100)));
    set(&mut s.slow_deadline, reader.duration("slow_deadline", Duration::from_millis(100)));
    set(&mut s.output_bytes_max, reader.bytes("output_bytes_max").map(|bytes| bytes.clamp(4_096, 64 << 20) as usize));
    set(&mut s.attempts, reader.count("attempts", 1, 100).map(|count| count as u32));
    set(&mut s.sudo, reader.flag("sudo"));
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
    rules(&reader, &mut s.rules);
    s.backups = named(&reader, "backup", backup_set);
    s.jobs = named(&reader, "job", job);
    reader.finish();
    s
}

fn set<T>(slot: &mut T, value: Option<T>) {
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
    let sudo = table.flag("sudo").unwrap_or(false);
    Some(BackupSet { name, source: source?, age, keep, keep_age, sudo, target })
}

fn job(name: ItemName, offset: usize, table: &Reader) -> Option<JobSpec> {
    let notes = table.notes();
    let expectation = match (table.string("schedule"), table.duration("every", MINUTE)) {
        (Some(_), Some(_)) => {
            notes.error(offset, format!("job {name} has both 'schedule' and 'every': keep one"));
            None
        }
        (Some(schedule), None) => match schedule.parse::<croner::Cron>() {
            Ok(_) => Some(Expectation::Schedule(schedule)),
            Err(error) => {
                notes.error(table.place("schedule"), format!("schedule: '{schedule}' is no cron expression: {error}"));
                None
            }
        },
        (None, Some(every)) => Some(Expectation::Every(every)),
        (None, None) => {
            if !table.has("schedule") && !table.has("every") {
                notes.error(offset, format!("job {name} needs 'schedule' (a cron expression) or 'every' (a duration)"));
            }
            None
        }
    };
    let user = table.string("user");
    let evidence = match (table.string("command"), table.string("timer")) {
        (Some(command), None) => Some(JobEvidence::CronLog { command, user }),
        (None, Some(unit)) => Some(JobEvidence::Timer { unit }),
        (Some(_), Some(_)) | (None, None) => {
            notes.error(
                offset,
                format!(
                    "job {name} needs 'command' (text of its line in cron's log) or 'timer' (a unit), and not both"
                ),
            );
            None
        }
    };
    let accept_ran = table.choice("accept", &[("ran", true), ("proof", false)]).unwrap_or(false);
    let grace = table.duration("grace", SECOND).unwrap_or(HOUR);
    Some(JobSpec { name, expectation: expectation?, grace, evidence: evidence?, accept_ran })
}
