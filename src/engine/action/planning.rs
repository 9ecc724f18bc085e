//! Making a plan: every host is asked afresh, by constant scripts that change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ActionError;
use super::site::Site;
use crate::adapters::transport::ssh::Secrets;
use crate::config::Config;
use crate::domain::action::ActionId;
use crate::domain::action::catalogue::{Action, Catalogue, Means};
use crate::domain::action::outlook::{Frees, Outlook};
use crate::domain::action::plan::{Covered, Elsewhere, HostPlan, Plan};
use crate::domain::action::policy::Policy;
use crate::domain::action::purge::{LIST, ListError, PurgeWish, parse_list};
use crate::domain::action::remote;
use crate::domain::action::shipping::{PLACE, parse_place};
use crate::domain::fleet::{HostName, HostSpec};
use crate::domain::text::SafeText;

/// Percent of a file system above which a restart is no help.
const FULL_PERCENT: u64 = 99;
/// A directory with very many files.
const LIST_DEADLINE: Duration = Duration::from_secs(120);
/// Megabytes that travel in a second to another host, where the catalogue says nothing else.
const RATE_MB_PER_S: u64 = 10;
/// Characters of a preview that are shown.
const PREVIEW_CHARS_MAX: usize = 4_000;

/// What somebody wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub action: ActionId,
    pub hosts: Vec<HostName>,
    pub parameters: BTreeMap<String, String>,
}

/// What is wished, as far as it is known without asking anybody.
pub fn outline(wish: &Wish, catalogue: &Catalogue, config: &Config, policy: &Policy) -> Result<Plan, ActionError> {
    let action = catalogue.get(&wish.action).ok_or_else(|| ActionError::NoAction(wish.action.to_string()))?;
    if action.limits.hosts_max as usize <= wish.hosts.len().saturating_sub(1) {
        return Err(ActionError::TooManyHosts(action.id.clone(), action.limits.hosts_max));
    }
    let mut covered = Covered::new(action, action.parameters(&wish.parameters)?, policy.digest)?;
    for name in &wish.hosts {
        config.fleet.host(name).ok_or_else(|| ActionError::NoHost(name.to_string()))?;
        covered.hosts.push(HostPlan::unknown(name));
    }
    Ok(Plan::new(covered, BTreeMap::new())?)
}

/// Asks every host and says what exactly would be done; of an earlier plan only what that named.
pub async fn plan(
    wish: &Wish,
    catalogue: &Catalogue,
    config: &Config,
    policy: &Policy,
    before: Option<&Covered>,
    secrets: &Secrets,
) -> Result<Plan, ActionError> {
    let action = catalogue.get(&wish.action).ok_or_else(|| ActionError::NoAction(wish.action.to_string()))?;
    if action.limits.hosts_max as usize <= wish.hosts.len().saturating_sub(1) {
        return Err(ActionError::TooManyHosts(action.id.clone(), action.limits.hosts_max));
    }
    let parameters = action.parameters(&wish.parameters)?;
    let mut covered = Covered::new(action, parameters, policy.digest)?;
    let mut outlooks = BTreeMap::new();
    for name in &wish.hosts {
        let spec = config.fleet.host(name).ok_or_else(|| ActionError::NoHost(name.to_string()))?;
        let earlier = before.and_then(|before| before.hosts.iter().find(|host| host.host == *name));
        let (host, outlook) = of_host(spec, action, &covered.parameters, earlier, config, secrets).await?;
        outlooks.insert(name.clone(), outlook);
        covered.hosts.push(host);
    }
    Ok(Plan::new(covered, outlooks)?)
}

async fn of_host(
    spec: &HostSpec,
    action: &Action,
    parameters: &BTreeMap<String, String>,
    before: Option<&HostPlan>,
    config: &Config,
    secrets: &Secrets,
) -> Result<(HostPlan, Outlook), ActionError> {
    let mut site = Site::new(spec, secrets.clone());
    let remote = |error| ActionError::Remote { host: spec.name.clone(), error };
    let ground = site.ask(remote::GROUND, Vec::new()).await?;
    let uid = remote::parse_uid(ground.first()).map_err(remote)?;
    let privileged = |words: &[String]| as_root(action.root && uid != 0, Action::fill(words, parameters));
    let mut plan =
        HostPlan { host_key: site.host_key(), measure: privileged(&action.measure), ..HostPlan::unknown(&spec.name) };
    let mut outlook = Outlook::default();
    match &action.means {
        Means::Argv(words) => plan.argv = privileged(words),
        Means::ArchivePurge => {
            let there = archive_host(spec, parameters, config)?;
            let mut purge = Purge { site: &mut site, action, parameters, there, secrets };
            purge.plan(before, &mut plan, &mut outlook).await?;
        }
    }
    if !action.preview.is_empty() {
        let reply = site.ask(remote::TRY, privileged(&action.preview)).await?;
        let status = remote::parse_status(reply.first()).map_err(remote)?;
        outlook.preview = Some((status, SafeText::from_bytes_capped(&reply.body, PREVIEW_CHARS_MAX)));
        match status {
            0 => {}
            126 | 127 => outlook.warnings.push("the command is not there, or this login may not run it".to_owned()),
            status => outlook.warnings.push(format!("the preview FAILED with {status}: see below what it says")),
        }
    }
    if action.id.as_str().starts_with("unit.") {
        outlook.warnings.extend(
            full_file_systems(&ground.body).map(|mount| {
                format!("the disk is full at {mount}: a restart will not help, and may not come up again")
            }),
        );
    }
    Ok((plan, outlook))
}

/// The other host that an archive goes to, where the action has one.
fn archive_host<'a>(
    spec: &HostSpec,
    parameters: &BTreeMap<String, String>,
    config: &'a Config,
) -> Result<Option<&'a HostSpec>, ActionError> {
    let Some(name) = parameters.get("to") else { return Ok(None) };
    let there = config.fleet.hosts.iter().find(|host| host.name.as_str() == name);
    let there = there.ok_or_else(|| ActionError::NoHost(name.clone()))?;
    match there.name == spec.name {
        true => {
            let why = "its archive is to go to another host, and 'to' names itself".to_owned();
            Err(ActionError::Host { host: spec.name.clone(), why })
        }
        false => Ok(Some(there)),
    }
}

/// A purge that is being planned.
struct Purge<'a> {
    site: &'a mut Site,
    action: &'a Action,
    parameters: &'a BTreeMap<String, String>,
    there: Option<&'a HostSpec>,
    secrets: &'a Secrets,
}

impl Purge<'_> {
    /// Names the files that would go: of those of an earlier plan, where there is one.
    async fn plan(
        &mut self,
        before: Option<&HostPlan>,
        plan: &mut HostPlan,
        outlook: &mut Outlook,
    ) -> Result<(), ActionError> {
        let host = self.site.host.clone();
        let told = |error: ListError| ActionError::Host { host: host.clone(), why: error.to_string() };
        let value = |name: &str| self.parameters.get(name).cloned().unwrap_or_default();
        let wish = PurgeWish {
            directory: value("directory"),
            archive: if self.there.is_some() { String::new() } else { value("archive") },
            older_s: value("older-hours").parse::<u64>().unwrap_or(24) * 3_600,
            truncate_open: value("open") == "truncate",
        };
        let asked = vec![wish.directory.clone(), wish.archive.clone(), value("match")];
        let reply = self.site.ask_within(LIST, asked, LIST_DEADLINE).await?;
        let mut listed = parse_list(&reply.parts, &reply.body, &wish).map_err(told)?;
        if let Some(there) = self.there {
            let mut to = Site::new(there, self.secrets.clone());
            let reply = to.ask(PLACE, vec![value("archive")]).await?;
            (listed.archive, listed.room_bytes) = parse_place(reply.first(), &value("archive"))
                .map_err(|error| ActionError::Host { host: there.name.clone(), why: error.to_string() })?;
            if to.host_key() == self.site.host_key() {
                let why = format!("{} shows the same host key: it is this machine by another name", there.name);
                return Err(ActionError::Host { host, why });
            }
            let rate_bytes_per_s = value("rate").parse::<u64>().unwrap_or(RATE_MB_PER_S).saturating_mul(1_000_000);
            plan.elsewhere = Some(Elsewhere { host: there.name.clone(), host_key: to.host_key(), rate_bytes_per_s });
        }
        let listing = match before {
            Some(before) => listed.within(before),
            None if listed.delete.is_empty() && listed.truncate.is_empty() => return Err(told(ListError::Nothing)),
            None => listed,
        };
        listing.check(self.action.limits.objects_max).map_err(told)?;
        let bytes: u64 = listing.delete.iter().map(|object| object.size).sum();
        outlook.frees =
            Some(Frees { mount: listing.mount, bytes, used: listing.used_bytes, available: listing.available_bytes });
        outlook.warnings.extend(listing.warnings);
        plan.directory = Some(listing.directory);
        plan.archive = Some(listing.archive);
        plan.delete = listing.delete;
        plan.truncate = listing.truncate;
        Ok(())
    }
}

/// The words with `sudo -n` before them, where the login is not root's.
fn as_root(needed: bool, words: Vec<String>) -> Vec<String> {
    let sudo = if needed { ["sudo", "-n", "--"].map(str::to_owned).to_vec() } else { Vec::new() };
    [sudo, words].concat()
}

/// Mount points of `df -P -k` that are full.
fn full_file_systems(df: &[u8]) -> impl Iterator<Item = SafeText> {
    let full = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok()?;
        let (before, after) = text.split_once('%')?;
        let percent: u64 = before.rsplit(' ').next()?.parse().ok()?;
        (FULL_PERCENT <= percent).then(|| SafeText::new(after.trim()))
    };
    let mounts: Vec<SafeText> = df.split(|byte| *byte == b'\n').filter_map(full).collect();
    mounts.into_iter()
}
