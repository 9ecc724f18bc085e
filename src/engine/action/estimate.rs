//! Which actions would make room on a host, and how much: asked of the host, changing nothing.

use super::ActionError;
use super::site::Site;
use crate::adapters::transport::ssh::Secrets;
use crate::domain::action::ActionId;
use crate::domain::action::catalogue::Catalogue;
use crate::domain::action::estimate::{self, REPOSITORIES_SCRIPT, SCRIPT, parse, parse_repositories};
use crate::domain::board::HostBoard;
use crate::domain::check::bytes_words;
use crate::domain::fleet::HostSpec;
use crate::domain::probe::{ProbeId, Reading};
use crate::domain::settings::{BackupSet, BackupSource};

/// Where everything is a log.
const LOGS: &str = "/var/log";
/// A cache of packages that holds less is not worth an action.
const PACKAGES_BYTES_MIN: u64 = 1_000_000;

/// An action that would help, with the parameters that it would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub action: ActionId,
    /// What it would free, in words.
    pub words: String,
    /// Values that are known already: name and value.
    pub parameters: Vec<(String, String)>,
}

/// What would free space on the file system of `mount`.
pub async fn estimate(
    spec: &HostSpec,
    mount: &str,
    catalogue: &Catalogue,
    board: Option<&HostBoard>,
    secrets: Secrets,
) -> Result<Vec<Room>, ActionError> {
    let mut site = Site::new(spec, secrets);
    let mut rooms = Vec::new();
    let purges: Vec<_> = catalogue.0.values().filter(|action| !estimate::roots(action, mount).is_empty()).collect();
    let mut roots: Vec<String> = purges.iter().flat_map(|action| estimate::roots(action, mount)).collect();
    roots.sort();
    roots.dedup();
    let asked = [mount.to_owned()].into_iter().chain(roots).collect();
    let found = parse(&site.ask(SCRIPT, asked).await?.body);
    for action in &purges {
        rooms.extend(found.directories.iter().map(|old| Room {
            action: action.id.clone(),
            words: format!(
                "frees {} {}: {} {} in {}",
                if found.is_cut { "at least" } else { "up to" },
                bytes_words(old.bytes as f64),
                old.files,
                if old.files == 1 { "file" } else { "files" },
                old.directory
            ),
            parameters: purge_parameters(&old.directory),
        }));
    }
    let packages = catalogue.0.keys().find(|id| id.as_str() == "disk.clean-packages");
    rooms.extend(packages.filter(|_| PACKAGES_BYTES_MIN <= found.packages_bytes).map(|id| Room {
        action: id.clone(),
        words: format!("frees up to {}", bytes_words(found.packages_bytes as f64)),
        parameters: Vec::new(),
    }));
    let prune = catalogue.0.keys().find(|id| id.as_str() == "backup.prune");
    if let (Some(prune), Some(board)) = (prune, board) {
        rooms.extend(prunes(&mut site, prune, &spec.settings.backups, board).await?);
    }
    Ok(rooms)
}

/// Elsewhere than in /var/log only what is named as a log is offered.
fn purge_parameters(directory: &str) -> Vec<(String, String)> {
    let is_of_logs = directory == LOGS || directory.starts_with(&format!("{LOGS}/"));
    let named = (!is_of_logs).then(|| ("match".to_owned(), "*.log*".to_owned()));
    [("directory".to_owned(), directory.to_owned())].into_iter().chain(named).collect()
}

/// Repositories that hold more archives than their policy keeps.
async fn prunes(
    site: &mut Site,
    prune: &ActionId,
    sets: &[BackupSet],
    board: &HostBoard,
) -> Result<Vec<Room>, ActionError> {
    let surplus: Vec<(&BackupSet, Repository<'_>, usize, usize)> = sets
        .iter()
        .filter_map(|set| {
            let (repository, count) = (Repository::of(&set.source)?, archives(board, set)?);
            let beyond = count.checked_sub(set.keep? as usize).filter(|beyond| 0 < *beyond)?;
            Some((set, repository, beyond, count))
        })
        .collect();
    if surplus.is_empty() {
        return Ok(Vec::new());
    }
    let paths = surplus.iter().map(|(_, repository, ..)| repository.path.to_owned()).collect();
    let sizes = parse_repositories(&site.ask(REPOSITORIES_SCRIPT, paths).await?.body, surplus.len());
    let room =
        |((set, repository, beyond, count), size): (&(&BackupSet, Repository<'_>, usize, usize), Option<u64>)| {
            let share = size.map(|size| size as f64 * *beyond as f64 / *count as f64);
            let frees =
                share.map_or("an unknown size".to_owned(), |bytes| format!("about {} at most", bytes_words(bytes)));
            let mut parameters = vec![("tool".to_owned(), repository.tool.to_owned())];
            parameters.push(("repository".to_owned(), repository.path.to_owned()));
            parameters.extend(repository.password_file.map(|file| ("password-file".to_owned(), file.to_owned())));
            Room {
                action: prune.clone(),
                words: format!("frees {frees}: {beyond} of {count} archives of {} are beyond its policy", set.name),
                parameters,
            }
        };
    Ok(surplus.iter().zip(sizes).map(room).collect())
}

struct Repository<'a> {
    tool: &'static str,
    path: &'a str,
    password_file: Option<&'a str>,
}

impl<'a> Repository<'a> {
    fn of(source: &'a BackupSource) -> Option<Self> {
        match source {
            BackupSource::Restic { repository, password_file } => {
                Some(Self { tool: "restic", path: repository, password_file: Some(password_file) })
            }
            BackupSource::Borg { repository, passcommand } => {
                let file = passcommand.as_deref().and_then(|command| command.strip_prefix("cat "));
                Some(Self { tool: "borg", path: repository, password_file: file })
            }
            BackupSource::Borgmatic { .. } | BackupSource::Files { .. } => None,
        }
    }
}

fn archives(board: &HostBoard, set: &BackupSet) -> Option<usize> {
    let cell = board.probes.get(&ProbeId::Backup(set.name.clone()))?;
    match cell.reading.as_ref()?.last().as_ref() {
        Reading::Backup(backup) => Some(backup.archives.len()),
        _ => None,
    }
}
