//! `dogwatch doctor HOST`: how far a connection comes, what each probe may read, and what would mend it.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::manual::host_names;
use super::{CommandError, Common, block_on};
use crate::adapters::clock;
use crate::adapters::transport::ssh::{Stage, open_staged, target_of};
use crate::adapters::transport::{RunLimits, Transport};
use crate::domain::fleet::{HostSpec, Reach};
use crate::domain::probe::script::{Section, compose, split};
use crate::domain::settings::{BackupSource, LogWatch};
use crate::domain::text::SafeText;

/// Go from name to login to each probe, and say what would mend what fails.
#[derive(Args)]
pub struct DoctorArguments {
    /// The host as hosts.toml names it
    #[arg(add = ArgValueCompleter::new(host_names))]
    host: String,
}

/// Says who the user is, and for each watched thing whether it may be read: `ok WHAT`, `no GROUP WHAT`, `none WHAT`.
const SCRIPT: &str = r#"
printf 'user %s uid %s groups %s\n' "$(id -un </dev/null)" "$(id -u </dev/null)" "$(id -nG </dev/null)"
printf 'shell %s\n' "$(readlink -f /proc/$$/exe </dev/null)"
if dmesg >/dev/null 2>&1 </dev/null; then printf 'ok kernel log\n'; else printf 'no adm kernel log\n'; fi
if command -v journalctl >/dev/null; then
  case " $(id -u </dev/null) $(id -nG </dev/null) " in
  ' 0 '*|*' adm '*|*' systemd-journal '*|*' wheel '*) printf 'ok journal\n' ;;
  *) printf 'no systemd-journal journal\n' ;;
  esac
else printf 'none journal\n'; fi
for dw_d in /var/spool/cron/crontabs /var/spool/cron; do
  [ -d "$dw_d" ] || continue
  if [ -r "$dw_d" ] && [ -x "$dw_d" ]; then printf 'ok other users crontabs\n'; else printf 'no %s other users crontabs\n' "$(stat -c %G "$dw_d" </dev/null)"; fi
  break
done
if command -v smartctl >/dev/null; then
  if [ "$(id -u </dev/null)" = 0 ]; then printf 'ok SMART\n'; elif sudo -n -l smartctl -H /dev/sda >/dev/null 2>&1 </dev/null; then printf 'ok SMART\n'; else
    for dw_d in /dev/sd[a-z] /dev/sd[a-z][a-z] /dev/nvme[0-9]n1; do [ -b "$dw_d" ] && printf 'sudo %s -H %s SMART\n' "$(command -v smartctl)" "$dw_d"; done
  fi
else printf 'none SMART (smartctl)\n'; fi
for dw_f in "$@"; do
  IFS=; for dw_g in $dw_f; do unset IFS
    if [ ! -e "$dw_g" ]; then printf 'none %s\n' "$dw_g"
    elif [ -r "$dw_g" ]; then printf 'ok %s\n' "$dw_g"
    else printf 'no %s %s\n' "$(stat -c %G "$dw_g" </dev/null)" "$dw_g"; fi
  done
done
:
"#;

pub fn run(common: &Common, arguments: &DoctorArguments) -> Result<(), CommandError> {
    let config = common.config()?;
    let spec = config.fleet.hosts.iter().find(|spec| spec.name.as_str() == arguments.host);
    let spec = spec.ok_or_else(|| CommandError::Usage(format!("no host is named {}", arguments.host)))?;
    let secrets = common.secrets()?;
    block_on(async {
        let mut transport = match target_of(spec, secrets) {
            Some(target) => {
                let opened = open_staged(&target, &mut |stage| tell(&stage)).await;
                match opened {
                    Ok(connection) => Transport::over(connection, target),
                    Err(error) => {
                        return Err(CommandError::Failed(format!("✖ {error}{}", mend_of(&error.to_string(), spec))));
                    }
                }
            }
            None => Transport::Local,
        };
        examine(spec, &mut transport).await
    })?
}

fn tell(stage: &Stage) {
    match stage {
        Stage::Resolved(settings) => {
            println!("● ssh configuration: {}@{}:{}", settings.user, settings.host, settings.port);
        }
        Stage::Connected => println!("● name and connection"),
        Stage::Shown(key) => println!("● key exchange: it shows {} {}", key.kind(), key.fingerprint()),
        Stage::Trusted => println!("● host key: recorded"),
        Stage::Authenticated => println!("● login"),
    }
}

fn mend_of(error: &str, spec: &HostSpec) -> String {
    let hint = match () {
        () if error.contains("nothing is recorded") => format!("dogwatch hosts trust {}", spec.name),
        () if error.starts_with("authentication failed") => {
            "add the public key to ~/.ssh/authorized_keys on the host: ssh-copy-id".to_owned()
        }
        () if error.starts_with("unreachable") => "is the host up, its name right, and its sshd running?".to_owned(),
        () => return String::new(),
    };
    format!("\n  mend: {hint}")
}

async fn examine(spec: &HostSpec, transport: &mut Transport) -> Result<(), CommandError> {
    let nonce = clock::nonce();
    let logs = spec.settings.logs.iter().filter_map(|watch| match watch {
        LogWatch::Path(path) => Some(path.clone()),
        LogWatch::Journal(_) => None,
    });
    let backups = spec.settings.backups.iter().filter_map(|set| match &set.source {
        BackupSource::Files { directory, .. } => Some(directory.clone()),
        BackupSource::Restic { password_file, .. } => Some(password_file.clone()),
        BackupSource::Borg { .. } => None,
        BackupSource::Borgmatic { config } => Some(config.clone()),
    });
    let script = compose(&nonce, &[Section { script: SCRIPT, parameters: logs.chain(backups).collect() }]);
    let limits = RunLimits { deadline: Duration::from_secs(20), output_bytes_max: 1 << 20 };
    let output = transport.run(&script, limits).await.map_err(|error| CommandError::Failed(format!("✖ {error}")))?;
    let answers = split(&output.stdout, &nonce, 1);
    let Some(Some(answer)) = answers.sections.first() else {
        let said = SafeText::from_bytes_capped(&output.stderr, 300);
        return Err(CommandError::Failed(format!("✖ /bin/sh did not answer as it should: {said}")));
    };
    if let Some(cost) = answers.cost {
        let slow = if 50 <= cost.login_wall_ms { ": look at the login shell's start-up files" } else { "" };
        println!("● a poll: the login shell takes {} ms ({} ms of CPU){slow}", cost.login_wall_ms, cost.login_cpu_ms);
    }
    let mut user = "USER".to_owned();
    for line in SafeText::from_bytes_capped(answer.body, 20_000).as_str().split('␊') {
        if let Some(rest) = line.strip_prefix("user ") {
            user = rest.split(' ').next().unwrap_or_default().to_owned();
            println!("● logged in as {rest}");
        } else if let Some(what) = line.strip_prefix("ok ") {
            println!("● {what}");
        } else if let Some(what) = line.strip_prefix("none ") {
            println!("· {what}: not on this host");
        } else if let Some((group, what)) = line.strip_prefix("no ").and_then(|rest| rest.split_once(' ')) {
            println!("✖ {what}: this user may not read it\n  mend: usermod -aG {group} {user}");
        } else if let Some(rest) = line.strip_prefix("sudo ") {
            let (command, what) = rest.rsplit_once(' ').unwrap_or((rest, ""));
            println!(
                "✖ {what}: needs root\n  mend: visudo -f /etc/sudoers.d/dogwatch, with the line\n    {user} ALL=(root) NOPASSWD: {command}\n  and sudo = true for this host"
            );
        }
    }
    if matches!(spec.reach, Reach::Local) {
        println!("· this machine itself: no SSH");
    }
    Ok(())
}
