//! The catalogue as it is in force: what the program brings, root's own actions, and the user's.

use std::path::PathBuf;

use super::config_file::{ConfigFileError, read_trusted};
use super::{own_machine, policy_file};
use crate::config::actions;
use crate::domain::action::catalogue::Catalogue;

/// Beside the policy, for everybody.
const SHARED: &str = "/etc/dogwatch/actions.toml";
const OWN: &str = "dogwatch/actions.toml";

/// Reads it afresh; root's file may say a built-in action anew, and what whoever acts could have written may add to them.
pub fn load() -> Result<Catalogue, ConfigFileError> {
    let mut catalogue = actions::built_in()?;
    let own = own_machine::xdg_directory("XDG_CONFIG_HOME", ".config").map(|directory| directory.join(OWN));
    for path in [Some(PathBuf::from(SHARED)), own].into_iter().flatten().filter(|path| path.symlink_metadata().is_ok())
    {
        let is_own = policy_file::changeable(&path).is_some();
        let read = actions::parse(&path.display().to_string(), &read_trusted(&path)?, is_own)?;
        for (id, action) in read.0 {
            if is_own && catalogue.0.contains_key(&id) {
                return Err(ConfigFileError::Refused {
                    file: path,
                    why: format!("{id} is there already: call it otherwise"),
                });
            }
            catalogue.0.insert(id, action);
        }
    }
    Ok(catalogue)
}
