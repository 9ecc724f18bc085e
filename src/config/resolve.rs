//! Layers of settings (defaults, groups in the order of the file, host) become one [`HostSpec`] a host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::StoreSettings;
use super::reader::{Notes, Reader, overlay, suggestion};
use super::settings::{read_settings, set};
use crate::domain::fleet::{Fleet, GroupName, HostName, HostSpec, Reach, expand_node_set};
use crate::domain::settings::*;

const HOST_KEYS: [&str; 6] = ["address", "local", "replay", "groups", "parent", "hosts"];

/// Kinds of settings that are compared with each host's.
const SETTINGS_KINDS_MAX: usize = 32;

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
        parent: None,
        settings: Arc::new(Settings::default()),
    }
}

/// Resolves the whole file.
pub fn fleet<'a>(root: &'a DeTable<'a>, notes: &'a Notes<'a>, own_name: &HostName) -> (Fleet, StoreSettings) {
    let root = Reader::new(root, notes);
    let ssh_config = root.string("ssh_config").map(PathBuf::from);
    let mut store = StoreSettings::default();
    if let Some(table) = root.table("store") {
        set(&mut store.bytes_max, table.bytes("size_max").map(|bytes| bytes.max(1 << 20)));
        store.group = table.string("group");
        table.finish();
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
        read_settings(Reader::layer(group.raw(), notes), &["hosts"]);
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
        read_settings(Reader::layer(host.raw(), notes), &HOST_KEYS[..5]);
    }
    root.finish();
    let base = defaults.as_ref().map(Reader::raw);
    let mut specs: Vec<HostSpec> = Vec::new();
    for (name, draft) in &drafts {
        let layers = Layers { defaults: base, groups: &group_tables, ssh_config: ssh_config.as_ref() };
        specs.push(host_spec(name, draft, layers, notes));
    }
    share_settings(&mut specs);
    check_parents(&specs, &drafts, notes);
    warn_of_idle_rules(&specs, &drafts, notes);
    warn_of_shared_addresses(&specs, &drafts, notes);
    if !specs.iter().any(|spec| spec.reach == Reach::Local) {
        add_own_host(&mut specs, own_name, base, notes);
    }
    let groups = group_tables.into_iter().map(|(name, _)| name).collect();
    (Fleet { hosts: specs, groups }, store)
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
    let parent = reader.string("parent").and_then(|parent| match HostName::parse(&parent) {
        Ok(parent) => Some(parent),
        Err(error) => {
            notes.error(reader.place("parent"), format!("parent: {error}"));
            None
        }
    });
    HostSpec { name: name.clone(), groups: draft.groups.clone(), reach, parent, settings: Arc::new(settings(reader)) }
}

/// Parents are hosts of the fleet, and nobody is above themselves.
fn check_parents(specs: &[HostSpec], drafts: &BTreeMap<HostName, HostDraft>, notes: &Notes) {
    let parent_of = |name: &HostName| specs.iter().find(|spec| spec.name == *name);
    for spec in specs {
        let Some(parent) = &spec.parent else { continue };
        let offset = drafts.get(&spec.name).map_or(0, |draft| draft.offset);
        if parent_of(parent).is_none() {
            let hint = suggestion(parent.as_str(), specs.iter().map(|spec| spec.name.as_str()));
            notes.error(offset, format!("parent of {}: no host is named '{parent}'{hint}", spec.name));
        }
        let mut above = Some(parent);
        let mut steps = 0;
        while let Some(name) = above.filter(|_| steps <= specs.len()) {
            if *name == spec.name {
                notes.error(offset, format!("parent of {}: it is above itself", spec.name));
                break;
            }
            above = parent_of(name).and_then(|spec| spec.parent.as_ref());
            steps += 1;
        }
    }
}

/// A rule that counts over less time than lies between two polls can never give a rate.
fn warn_of_idle_rules(specs: &[HostSpec], drafts: &BTreeMap<HostName, HostDraft>, notes: &Notes) {
    for spec in specs.iter().filter(|spec| !spec.settings.logs.is_empty()) {
        let cadence = spec.settings.cadence;
        let Some(rule) = spec.settings.rules.iter().find(|rule| rule.per < cadence) else { continue };
        let (per, every) = (humantime::format_duration(rule.per), humantime::format_duration(cadence));
        let offset = drafts.get(&spec.name).map_or(0, |draft| draft.offset);
        let told = format!(
            "{}: rule {} counts over {per}, but logs are read each {every}: raise its 'per'",
            spec.name, rule.name
        );
        notes.warning(offset, told);
    }
}

/// Hosts with the same settings hold them once: a large fleet has few kinds of hosts.
fn share_settings(specs: &mut [HostSpec]) {
    let mut kinds: Vec<Arc<Settings>> = Vec::new();
    for spec in specs {
        match kinds.iter().find(|kind| **kind == spec.settings) {
            Some(kind) => spec.settings = kind.clone(),
            None if kinds.len() < SETTINGS_KINDS_MAX => kinds.push(spec.settings.clone()),
            None => {}
        }
    }
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
    read_settings(reader, &HOST_KEYS)
}
