//! What the program knows of the machine and the user it runs on.

use std::path::PathBuf;

use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// This machine's name as far as its first dot, or `localhost` where it has none that a host may have.
pub fn name() -> HostName {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = node.split('.').next().unwrap_or_default();
    HostName::parse(short).unwrap_or_else(|_| localhost())
}

fn localhost() -> HostName {
    HostName::parse("localhost").unwrap_or_else(|error| unreachable!("a constant name: {error}"))
}

/// An XDG base directory: from its variable if that is absolute, else below the home directory.
pub fn xdg_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let from_variable = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    from_variable.or_else(|| Some(home()?.join(below_home)))
}

/// The user's home directory.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Who runs this program: the name that the environment gives, which proves nothing, and the user's number, which does.
pub fn user() -> SafeText {
    let uid = rustix::process::getuid().as_raw();
    match std::env::var("USER") {
        Ok(name) => SafeText::new(&format!("{name} (uid {uid})")),
        Err(_) => SafeText::new(&format!("uid {uid}")),
    }
}

/// A variable of the environment, which proves nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
