//! Finds, trusts and reads hosts.toml.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use thiserror::Error;

use super::own_machine;
use crate::config::{self, Config, ConfigError};
use crate::domain::fleet::HostName;

/// A larger hosts.toml is a mistake: ten thousand hosts fit in a tenth of it.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// As many symbolic links as Linux follows.
const LINKS_MAX: usize = 40;

/// Why hosts.toml was not read.
#[derive(Debug, Error)]
pub enum ConfigFileError {
    #[error("{0}: {1}")]
    Unreadable(PathBuf, io::Error),
    #[error("{0}: larger than {FILE_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    #[error("{0}: not UTF-8 text")]
    NotText(PathBuf),
    #[error("{file}: refused: {path} {why}; mend it with: {mend}")]
    Untrusted { file: PathBuf, path: PathBuf, why: String, mend: String },
    #[error("{file}: refused: {why}")]
    Refused { file: PathBuf, why: String },
    #[error(transparent)]
    Broken(#[from] ConfigError),
}

/// The file that is in force: `given`, or the one in the XDG configuration directory if it is there.
pub fn locate(given: Option<&Path>) -> Option<PathBuf> {
    match given {
        Some(file) => Some(std::path::absolute(file).unwrap_or_else(|_| file.to_owned())),
        None => {
            let file = own_machine::xdg_directory("XDG_CONFIG_HOME", ".config")?.join("dogwatch/hosts.toml");
            file.symlink_metadata().is_ok().then_some(file)
        }
    }
}

/// Reads the configuration in force; without a file this machine alone is watched.
pub fn load(given: Option<&Path>, own_name: &HostName) -> Result<Config, ConfigFileError> {
    let Some(file) = locate(given) else { return Ok(config::own_machine_only(own_name)) };
    let text = read_trusted(&file)?;
    Ok(config::parse(&file.display().to_string(), &text, own_name)?)
}

/// Reads a file that decides what is run and shown: only if no one but the user and root could have written it.
pub fn read_trusted(file: &Path) -> Result<String, ConfigFileError> {
    let unreadable = |error| ConfigFileError::Unreadable(file.to_owned(), error);
    trust_every_step(file)?;
    let mut opened = fs::File::open(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    opened.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err(ConfigFileError::TooLarge(file.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| ConfigFileError::NotText(file.to_owned()))
}

/// Looks at every directory and symbolic link on the way to `file`, and at the file itself.
fn trust_every_step(file: &Path) -> Result<(), ConfigFileError> {
    let mut pending: Vec<PathBuf> = vec![file.to_owned()];
    let mut links = 0;
    while let Some(path) = pending.pop() {
        let mut step = PathBuf::new();
        for component in path.components() {
            step.push(component);
            let metadata =
                step.symlink_metadata().map_err(|error| ConfigFileError::Unreadable(file.to_owned(), error))?;
            trust(file, &step, &metadata)?;
            if metadata.is_symlink() {
                links += 1;
                if LINKS_MAX < links {
                    return Err(untrusted(
                        file,
                        &step,
                        "leads through too many symbolic links",
                        "a plain file".to_owned(),
                    ));
                }
                let target = fs::read_link(&step).map_err(|error| ConfigFileError::Unreadable(step.clone(), error))?;
                pending.push(step.parent().unwrap_or(Path::new("/")).join(target));
            }
        }
    }
    Ok(())
}

fn trust(file: &Path, step: &Path, metadata: &fs::Metadata) -> Result<(), ConfigFileError> {
    let user = geteuid().as_raw();
    let owner = metadata.uid();
    if owner != user && owner != 0 {
        let why = format!("belongs to uid {owner}, who could change it");
        return Err(untrusted(file, step, &why, format!("chown root '{}'", step.display())));
    }
    // A link's own mode means nothing; in a sticky directory such as /tmp others can't replace what is not theirs.
    let sticky_directory = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    if !metadata.is_symlink() && metadata.mode() & 0o022 != 0 && !sticky_directory {
        let why = format!("has mode {:04o}: others may write it", metadata.mode() & 0o7777);
        return Err(untrusted(file, step, &why, format!("chmod go-w '{}'", step.display())));
    }
    Ok(())
}

fn untrusted(file: &Path, path: &Path, why: &str, mend: String) -> ConfigFileError {
    ConfigFileError::Untrusted { file: file.to_owned(), path: path.to_owned(), why: why.to_owned(), mend }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory of the test's own that goes when the test ends.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dogwatch-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{error}"));
            Self(path)
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "[defaults]\n").unwrap_or_else(|error| panic!("{error}"));
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap_or_else(|error| panic!("{error}"));
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn check(file: &Path, expected: &str) {
        let shown = match read_trusted(file) {
            Ok(_) => "read".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn a_file_of_the_users_own_is_read() {
        let place = Place::new("own");
        check(&place.file("hosts.toml", 0o644), "read");
    }

    #[test]
    fn a_world_writable_file_is_refused_with_its_mend() {
        let place = Place::new("writable");
        check(&place.file("hosts.toml", 0o666), "has mode 0666: others may write it; mend it with: chmod go-w");
    }

    #[test]
    fn a_link_to_a_safe_file_is_followed() {
        let place = Place::new("link");
        let target = place.file("real.toml", 0o600);
        let link = place.0.join("hosts.toml");
        symlink(target, &link).unwrap_or_else(|error| panic!("{error}"));
        check(&link, "read");
    }

    #[test]
    fn a_link_through_a_writable_directory_is_refused() {
        let place = Place::new("through");
        let open = place.0.join("open");
        fs::create_dir_all(&open).unwrap_or_else(|error| panic!("{error}"));
        fs::write(open.join("real.toml"), "").unwrap_or_else(|error| panic!("{error}"));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap_or_else(|error| panic!("{error}"));
        let link = place.0.join("hosts.toml");
        symlink("open/real.toml", &link).unwrap_or_else(|error| panic!("{error}"));
        check(&link, "open has mode 0777");
    }

    #[test]
    fn a_link_that_leads_to_itself_is_refused() {
        let place = Place::new("loop");
        let link = place.0.join("hosts.toml");
        symlink("hosts.toml", &link).unwrap_or_else(|error| panic!("{error}"));
        check(&link, "too many symbolic links");
    }
}
