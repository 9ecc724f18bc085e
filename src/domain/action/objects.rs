//! Files of a host, as a plan names them: by name, inode, size and time of change.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::text::SafeText;

/// Bytes of a host that go back to it, exactly, or into a hash: no text of them is ever shown, logged or compared by eye.
///
/// Serialised as hexadecimal digits, an opaque form that no terminal and no shell reads.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteBytes(Vec<u8>);

impl RemoteBytes {
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// For the exact way back to the host, and for hashing.
    pub fn exactly(&self) -> &[u8] {
        &self.0
    }

    /// For a script that travels as text: `printf %b` of a POSIX shell gives the bytes back.
    pub fn for_printf(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/');
        let escaped = |byte: &u8| match plain(*byte) {
            true => char::from(*byte).to_string(),
            false => format!("\\0{byte:03o}"),
        };
        self.0.iter().map(escaped).collect()
    }
}

impl TryFrom<String> for RemoteBytes {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = || "remote bytes are pairs of lower-case hexadecimal digits".to_owned();
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            (pair.len() == 2 && !text.bytes().any(|byte| byte.is_ascii_uppercase()))
                .then(|| u8::from_str_radix(text, 16).ok())
                .flatten()
        };
        text.as_bytes().chunks(2).map(|bytes| pair(bytes).ok_or_else(digits)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<RemoteBytes> for String {
    fn from(bytes: RemoteBytes) -> String {
        bytes.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A directory by its canonical path, and by what can't be swapped under it unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// For people.
    pub path: SafeText,
    pub device: u64,
    pub inode: u64,
}

/// A plain file directly in a [`Directory`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileObject {
    /// Goes back to the host as it came.
    pub name: RemoteBytes,
    pub device: u64,
    pub inode: u64,
    /// Bytes; of a file that is only truncated the most that it may have by then.
    pub size: u64,
    /// When it was last written, in the words of the host's own stat; empty for a file that is only truncated.
    pub modified: String,
}

impl FileObject {
    /// The name for people.
    pub fn shown(&self) -> SafeText {
        SafeText::from_bytes(self.name.exactly())
    }
}

impl fmt::Display for FileObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.shown(), self.size)
    }
}

impl fmt::Debug for FileObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
