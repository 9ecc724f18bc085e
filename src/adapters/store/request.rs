//! What attached screens leave in the store for the engine.

use std::path::Path;

use super::{StoreError, open_writer};
use crate::domain::fleet::HostName;
use crate::domain::text::SafeText;

/// Before a host's name, which has no space, in the row of a note.
const SHELL: &str = "shell ";

/// Something that an attached screen asks or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Poll one host, or all, now.
    Poll(Option<HostName>),
    /// Somebody went into the system's own ssh.
    ShellOpened { host: HostName, by: SafeText },
}

impl Request {
    fn text(&self) -> Option<String> {
        match self {
            Request::Poll(host) => host.as_ref().map(|host| host.as_str().to_owned()),
            Request::ShellOpened { host, by } => Some(format!("{SHELL}{host} {by}")),
        }
    }

    /// Reads a row; `None` for what no version of this program writes.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Request::Poll(None)) };
        match text.strip_prefix(SHELL) {
            Some(rest) => {
                let (host, by) = rest.split_once(' ')?;
                Some(Request::ShellOpened { host: HostName::parse(host).ok()?, by: SafeText::new(by) })
            }
            None => Some(Request::Poll(Some(HostName::parse(text).ok()?))),
        }
    }

    /// Leaves it for the engine.
    pub async fn leave(&self, path: &Path) -> Result<(), StoreError> {
        let pool = open_writer(path).await?;
        let inserted = sqlx::query("INSERT INTO request (host) VALUES (?1)").bind(self.text()).execute(&pool).await;
        pool.close().await;
        inserted.map(drop).map_err(|error| StoreError::Database { path: path.to_owned(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_left() {
        let host = HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"));
        let requests = [
            Request::Poll(None),
            Request::Poll(Some(host.clone())),
            Request::ShellOpened { host, by: "alice the admin".into() },
        ];
        for request in requests {
            assert_eq!(Request::parse(request.text().as_deref()), Some(request));
        }
        assert_eq!(Request::parse(Some("what is this")), None);
    }
}
