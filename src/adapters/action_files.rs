//! The catalogue as it is in force: what the program brings, root's own actions, and the user's.

use std::path::{Path, PathBuf};

use super::config_file::{ConfigFileError, read_trusted};
use super::{own_machine, policy_file};
use crate::config::actions;
use crate::domain::action::catalogue::Catalogue;
use crate::domain::action::policy::Severity;

/// Beside the policy, for everybody.
const SHARED: &str = "/etc/dogwatch/actions.toml";
const OWN: &str = "dogwatch/actions.toml";

/// Reads it afresh; a later file's action takes the place of an earlier one of the same name. One that whoever acts could
/// have written counts as destructive, whatever it says of itself.
pub fn load() -> Result<Catalogue, ConfigFileError> {
    let mut catalogue = actions::built_in()?;
    let own = own_machine::xdg_directory("XDG_CONFIG_HOME", ".config").map(|directory| directory.join(OWN));
    for path in [Some(PathBuf::from(SHARED)), own].into_iter().flatten().filter(|path| path.symlink_metadata().is_ok())
    {
        catalogue.0.extend(read(&path)?.0);
    }
    Ok(catalogue)
}

fn read(path: &Path) -> Result<Catalogue, ConfigFileError> {
    let text = read_trusted(path)?;
    let least = match policy_file::changeable(path) {
        Some(_) => Severity::Destructive,
        None => Severity::Safe,
    };
    Ok(actions::parse(&path.display().to_string(), &text, least)?)
}
