//! Finds and judges policy.toml: it counts as the policy only where nobody who acts could change it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::config_file::{ConfigFileError, read_trusted};
use crate::config::policy::{self, PolicyFile};
use crate::domain::action::policy::Policy;

/// Where the policy is, unless --policy names another.
const PATH: &str = "/etc/dogwatch/policy.toml";

/// The policy in force. A file that is broken or that others could write is an error; none at all is a policy too.
pub fn load(given: Option<&Path>) -> Result<PolicyFile, ConfigFileError> {
    let path = given.map_or_else(|| PathBuf::from(PATH), |path| std::path::absolute(path).unwrap_or(path.to_owned()));
    let shown = path.display().to_string();
    if given.is_none() && matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        let policy = Policy::absent(&shown);
        return Ok(PolicyFile { path, policy, central_log: None, exchange: None, warnings: Vec::new() });
    }
    let text = read_trusted(&path)?;
    // Whoever may choose the policy chooses the weakest that root ever wrote.
    let is_another = path != Path::new(PATH) && Path::new(PATH).exists();
    let chosen = is_another.then(|| format!("this is not {PATH}, and you chose it"));
    Ok(policy::parse(&shown, &text, changeable(&path).or(chosen))?)
}

/// Why this user could change the file: they are root, or a step on the way to it is theirs.
pub fn changeable(path: &Path) -> Option<String> {
    if geteuid().is_root() {
        return Some("you are root and could change this policy yourself".to_owned());
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let steps = path.ancestors().chain(real.ancestors());
    let own = steps.filter(|step| !step.as_os_str().is_empty()).find(|step| {
        // Whatever can't be looked at is not root's for all we know.
        !step.symlink_metadata().is_ok_and(|metadata| metadata.uid() == 0)
    })?;
    Some(format!("you could change this policy yourself: {} is not root's", own.display()))
}
