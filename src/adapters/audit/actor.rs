//! Who runs this program, as far as the operating system vouches for it.

use std::fs;

use rustix::process::getuid;

use crate::adapters::own_machine;
use crate::domain::audit::record::Actor;
use crate::domain::text::SafeText;

/// The user, the machine, the terminal and where its session came from; the person is for the policy to say.
pub fn own() -> Actor {
    let uid = getuid().as_raw();
    Actor {
        uid,
        user: SafeText::new(&user_name(uid).unwrap_or_else(|| format!("uid {uid}"))),
        person: None,
        machine: SafeText::new(&rustix::system::uname().nodename().to_string_lossy()),
        from: SafeText::new(&origin()),
    }
}

/// A user's name by /etc/passwd: the environment may say what it likes.
fn user_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The terminal by the process's own descriptors, and the client of sshd, which the user could set.
fn origin() -> String {
    let terminal = ["/proc/self/fd/0", "/proc/self/fd/2"].iter().find_map(|fd| {
        let path = fs::read_link(fd).ok()?;
        path.strip_prefix("/dev")
            .ok()
            .filter(|name| name.starts_with("pts") || name.starts_with("tty"))
            .map(|name| name.display().to_string())
    });
    let terminal = terminal.unwrap_or_else(|| "no terminal".to_owned());
    let sudo = own_machine::variable("SUDO_USER").map_or(String::new(), |user| format!(", by sudo of {user}"));
    let client = own_machine::variable("SSH_CONNECTION");
    let client = client.as_deref().and_then(|client| client.split(' ').next());
    client.map_or(format!("{terminal}{sudo}"), |client| format!("{terminal} from {client}{sudo}"))
}
