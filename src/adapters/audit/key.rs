//! The writer's key: made at the first start, for this user alone, in the form that `ssh-keygen` reads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::AuditError;
use crate::domain::audit::record::WriterId;

/// Whoever may append to a chain.
pub struct WriterKey {
    pub private: PrivateKey,
    /// As OpenSSH writes it, without a comment.
    pub public: String,
    pub id: WriterId,
}

impl WriterKey {
    /// The key of this state directory, or a new one.
    pub fn load(path: &Path) -> Result<Self, AuditError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let metadata = fs::symlink_metadata(path).map_err(|error| AuditError::Io(path.to_owned(), error))?;
                if metadata.is_symlink() || metadata.mode() & 0o077 != 0 {
                    return Err(wrong(path, &format!("mode {:04o}: chmod 600 it", metadata.mode() & 0o7777)));
                }
                let private = PrivateKey::from_openssh(&text).map_err(|error| wrong(path, &error.to_string()))?;
                Self::of(path, private)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(AuditError::Io(path.to_owned(), error)),
        }
    }

    /// Two processes may make one at once: the first to link it into place has made it.
    fn make(path: &Path) -> Result<Self, AuditError> {
        let private =
            PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|error| wrong(path, &error.to_string()))?;
        let text = private.to_openssh(LineEnding::LF).map_err(|error| wrong(path, &error.to_string()))?;
        let draft = path.with_extension(std::process::id().to_string());
        let failed = |error| AuditError::Io(path.to_owned(), error);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let linked = written.and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft).map_err(failed)?;
        match linked {
            Ok(()) => Self::of(path, private),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(failed(error)),
        }
    }

    fn of(path: &Path, private: PrivateKey) -> Result<Self, AuditError> {
        let mut public = private.public_key().clone();
        public.set_comment("");
        let public = public.to_openssh().map_err(|error| wrong(path, &error.to_string()))?;
        let id = WriterId::of(&public);
        Ok(Self { private, public, id })
    }
}

fn wrong(path: &Path, why: &str) -> AuditError {
    AuditError::Key(path.to_owned(), why.to_owned())
}
