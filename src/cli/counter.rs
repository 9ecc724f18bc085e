//! What the commands about actions and approvals have open.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{CommandError, Common, block_on, witness};
use crate::adapters::audit::forward::Forwarder;
use crate::adapters::audit::reader::AuditReader;
use crate::adapters::audit::store::AuditStore;
use crate::adapters::audit::{database_in, own_actor};
use crate::adapters::transport::ssh::Secrets;
use crate::adapters::{action_files, clock, config_file, own_machine, policy_file};
use crate::config::Config;
use crate::config::policy::PolicyFile;
use crate::domain::action::ActionId;
use crate::domain::action::catalogue::Catalogue;
use crate::domain::fleet::{GroupName, HostName, expand_node_set};
use crate::engine::action::desk::{Desk, known_actor};
use crate::engine::action::planning::Wish;

/// The audit, the policy, the catalogue and the hosts.
pub struct Counter {
    pub state: PathBuf,
    pub store: AuditStore,
    pub reader: AuditReader,
    pub policy: PolicyFile,
    pub catalogue: Catalogue,
    pub config: Config,
    pub secrets: Secrets,
    /// What is doubtful about the policy and the configuration, for people.
    pub warnings: Vec<String>,
}

impl Counter {
    pub async fn open(common: &Common) -> Result<Self, CommandError> {
        let mut policy = policy_file::load(common.policy.as_deref())?;
        let config = config_file::load(common.hosts.as_deref(), &own_machine::name())?;
        let warnings = policy.warnings.iter().chain(&config.warnings).map(ToString::to_string).collect();
        let hosts = config_file::locate(common.hosts.as_deref());
        policy.policy.trusts_groups = hosts.is_some_and(|hosts| policy_file::changeable(&hosts).is_none());
        let state = common.state_dir()?.path().to_owned();
        let actor = known_actor(own_actor(), &policy);
        let store = AuditStore::open(&state, actor, clock::now().utc_ms).await?;
        let reader = AuditReader::open(&database_in(&state)).await?;
        let catalogue = action_files::load()?;
        let secrets = common.secrets()?;
        let counter = Self { state, store, reader, policy, catalogue, config, secrets, warnings };
        witness::note_policy(&counter.store, &counter.desk().book().await?, &counter.policy).await?;
        Ok(counter)
    }

    pub fn desk(&self) -> Desk<'_> {
        Desk {
            state: &self.state,
            store: &self.store,
            reader: &self.reader,
            policy: &self.policy,
            catalogue: &self.catalogue,
            config: &self.config,
            secrets: &self.secrets,
        }
    }

    /// Signs how far the chain reaches and hands everything to the central log, where nobody else does; what does not
    /// arrive there waits, and is told.
    pub async fn close(self) -> Result<Option<String>, CommandError> {
        self.store.sign_head(clock::now().utc_ms).await?;
        let database = self.store.path().to_owned();
        // The last to close folds SQLite's own log into the file, and a reader can't.
        self.reader.close().await;
        self.store.close().await;
        let Some(central) = &self.policy.central_log else { return Ok(None) };
        let Some(forwarder) = Forwarder::claim(&database, central).await? else { return Ok(None) };
        let drained = forwarder.drain().await;
        Ok(drained.err().map(|error| format!("central log: {error}; the records wait in the store")))
    }

    /// Runs one command at the counter, and tells on standard error what is doubtful.
    pub fn at<T>(
        common: &Common,
        command: impl AsyncFnOnce(&Counter) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        block_on(async {
            let counter = Self::open(common).await?;
            let complain = |complaint: &String| eprintln!("dogwatch: warning: {complaint}");
            counter.warnings.iter().for_each(complain);
            let done = command(&counter).await;
            let closed = counter.close().await;
            closed.iter().flatten().for_each(complain);
            done.and_then(|done| closed.map(|_| done))
        })?
    }

    /// `ACTION HOST… PARAM=VALUE…`: hosts are names, node sets such as web[1-3], or @groups.
    pub fn wish(&self, action: &str, words: &[String]) -> Result<Wish, CommandError> {
        let action = ActionId::parse(action).map_err(|error| CommandError::Usage(error.to_string()))?;
        let (parameters, names): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.contains('='));
        let parameters: BTreeMap<String, String> = parameters
            .into_iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut hosts: Vec<HostName> = Vec::new();
        for name in names {
            for host in self.hosts_of(name)? {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        }
        match hosts.is_empty() {
            true => Err(CommandError::Usage(format!("{action}: name a host, or a group as @name"))),
            false => Ok(Wish { action, hosts, parameters }),
        }
    }

    fn hosts_of(&self, name: &str) -> Result<Vec<HostName>, CommandError> {
        let usage = |error: String| CommandError::Usage(error);
        match name.strip_prefix('@') {
            None => expand_node_set(name).map_err(|error| usage(error.to_string())),
            Some(group) => {
                let group = GroupName::parse(group).map_err(|error| usage(error.to_string()))?;
                let members = self.config.fleet.hosts.iter().filter(|host| host.groups.contains(&group));
                let members: Vec<HostName> = members.map(|host| host.name.clone()).collect();
                match members.is_empty() {
                    true => Err(usage(format!("no host is in a group named {group}"))),
                    false => Ok(members),
                }
            }
        }
    }
}
