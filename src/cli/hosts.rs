//! `dogwatch hosts trust`: records an unknown host key, after a look at its fingerprint.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::manual::host_names;
use super::{CommandError, Common, block_on};
use crate::adapters::audit::own_actor;
use crate::adapters::audit::store::AuditStore;
use crate::adapters::clock;
use crate::adapters::ssh_config::SshSettings;
use crate::adapters::transport::ssh::host_key::Recorder;
use crate::adapters::transport::ssh::{show_host_key, target_of};
use crate::domain::audit::record::Event;
use crate::domain::fleet::HostName;
use crate::domain::trust::known_hosts::{HostKey, Recorded, Verdict};

/// Look after the hosts' keys.
#[derive(Args)]
pub struct HostsArguments {
    #[command(subcommand)]
    command: HostsCommand,
}

#[derive(Subcommand)]
enum HostsCommand {
    /// Show a host's key, and record it where it is unknown and you type yes
    Trust {
        /// The host as hosts.toml names it
        #[arg(add = ArgValueCompleter::new(host_names))]
        host: String,
    },
}

pub fn run(common: &Common, arguments: &HostsArguments) -> Result<(), CommandError> {
    match &arguments.command {
        HostsCommand::Trust { host } => trust(common, host),
    }
}

fn trust(common: &Common, host: &str) -> Result<(), CommandError> {
    let config = common.config()?;
    let spec = config.fleet.hosts.iter().find(|spec| spec.name.as_str() == host);
    let spec = spec.ok_or_else(|| CommandError::Usage(format!("no host is named {host}")))?;
    let target = target_of(spec, common.secrets()?)
        .ok_or_else(|| CommandError::Usage(format!("{host} is not reached over SSH")))?;
    let (settings, key, recorder) = block_on(async {
        let (settings, key) = show_host_key(&target).await?;
        let recorder = Recorder::read(&settings).await?;
        Ok::<_, CommandError>((settings, key, recorder))
    })??;
    println!("{host} ({}:{}) shows {} {}", settings.host, settings.port, key.kind(), key.fingerprint());
    match recorder.verdict(&key) {
        Verdict::Trusted => {
            println!("this key is recorded already");
            Ok(())
        }
        Verdict::Changed(recorded) => {
            Err(refusal(&recorder.names.full, "CHANGED: another key of this type is recorded", &recorded))
        }
        Verdict::Revoked(recorded) => Err(refusal(&recorder.names.full, "REVOKED", &recorded)),
        Verdict::Unknown { .. } | Verdict::OnlyCertAuthority(_) => {
            record(common, &spec.name, &settings, &recorder.names.full, &key)
        }
    }
}

/// What is trusted from now on is known before it is.
async fn put_on_record(common: &Common, event: Event) -> Result<(), CommandError> {
    let (state, now_ms) = (common.state_dir()?, clock::now().utc_ms);
    let store = AuditStore::open(state.path(), own_actor(), now_ms).await?;
    store.append(event, now_ms).await?;
    store.sign_head(now_ms).await?;
    store.close().await;
    Ok(())
}

/// There is no override: whoever is sure removes the old line by hand.
fn refusal(name: &str, what: &str, recorded: &Recorded) -> CommandError {
    CommandError::Failed(format!(
        "{what}\n  recorded: {} {} at {}:{}\n  if the host really has a new key: ssh-keygen -R '{name}' -f '{}'",
        recorded.kind, recorded.fingerprint, recorded.file, recorded.line, recorded.file
    ))
}

fn record(
    common: &Common,
    host: &HostName,
    settings: &SshSettings,
    name: &str,
    key: &HostKey,
) -> Result<(), CommandError> {
    let file = settings.known_hosts_files.first();
    let file =
        file.ok_or_else(|| CommandError::Failed("the ssh configuration names no UserKnownHostsFile".to_owned()))?;
    print!(
        "compare the fingerprint with the one that the host's owner gave you\ntype yes to record it in {}: ",
        file.display()
    );
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim_end_matches(['\r', '\n']) != "yes" {
        return Err(CommandError::Failed("nothing was recorded".to_owned()));
    }
    let shown = format!("{} {}", key.kind(), key.fingerprint());
    block_on(put_on_record(common, Event::TrustChanged { host: host.clone(), host_key: shown.as_str().into() }))??;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let ends_with_newline = std::fs::read(file).map_or(true, |text| text.is_empty() || text.ends_with(b"\n"));
    let mut out = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    let newline = if ends_with_newline { "" } else { "\n" };
    writeln!(out, "{newline}{name} {} {}", key.kind(), key.base64())?;
    println!("recorded");
    Ok(())
}
