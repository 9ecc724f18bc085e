//! The state directory: whose it is, who may read it, and which process is its one engine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, chown, flock};
use rustix::process::geteuid;

use super::StoreError;
use crate::adapters::{audit, own_machine};

/// The store's file, below a state directory.
pub const DATABASE: &str = "series.db";

/// A directory that only its owner may write.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// Held as long as this process is the engine.
#[derive(Debug)]
pub struct EngineLock {
    _file: File,
}

/// Whether this process may be the engine.
#[derive(Debug)]
pub enum Claim {
    Won(EngineLock),
    /// Another process polls; its id, where it could be read.
    Taken {
        pid: Option<u32>,
    },
}

impl StateDir {
    /// Where the directory is, or would be.
    pub fn path_of(given: Option<&Path>) -> Result<PathBuf, StoreError> {
        match given {
            Some(path) => Ok(path.to_owned()),
            None => {
                let state = own_machine::xdg_directory("XDG_STATE_HOME", ".local/state");
                Ok(state.ok_or(StoreError::NoHome)?.join("dogwatch"))
            }
        }
    }

    /// The same directory for one who may only read it: whose it is does not matter, and nothing is made.
    pub fn existing(given: Option<&Path>) -> Result<Self, StoreError> {
        let path = Self::path_of(given)?;
        match fs::metadata(path.join(DATABASE)) {
            Ok(_) => Ok(Self(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NoStore(path.join(DATABASE))),
            Err(error) => Err(StoreError::Io(path.join(DATABASE), error)),
        }
    }

    /// The directory given, or the one below XDG_STATE_HOME; made if it is not there.
    pub fn open(given: Option<&Path>) -> Result<Self, StoreError> {
        let path = Self::path_of(given)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| StoreError::Io(path.clone(), error))?;
        let metadata = fs::symlink_metadata(&path).map_err(|error| StoreError::Io(path.clone(), error))?;
        let user = geteuid().as_raw();
        if !metadata.is_dir() || metadata.uid() != user {
            return Err(StoreError::NotOurs { path, owner: metadata.uid() });
        }
        if metadata.mode() & 0o027 != 0 {
            return Err(StoreError::TooOpen { path, mode: metadata.mode() & 0o7777 });
        }
        Ok(Self(path))
    }

    /// Lets the members of a group read the store, or nobody but its owner; for its engine, before the store is opened.
    pub fn share_with(&self, group: Option<&str>) -> Result<(), StoreError> {
        let failed = |path: &Path, error: io::Error| StoreError::Io(path.to_owned(), error);
        let Some(group) = group else {
            let mode = fs::metadata(&self.0).map_err(|error| failed(&self.0, error))?.mode();
            return match mode & 0o077 {
                0 => Ok(()),
                _ => Err(StoreError::TooOpen { path: self.0.clone(), mode: mode & 0o7777 }),
            };
        };
        let gid = group_number(group).ok_or_else(|| StoreError::NoGroup(group.to_owned()))?;
        let database = self.database();
        // SQLite gives its other files the mode and the group of the first.
        let made = OpenOptions::new().append(true).create(true).mode(0o640).open(&database);
        made.map_err(|error| failed(&database, error))?;
        let wal = |end: &str| self.0.join(format!("{DATABASE}{end}"));
        let audit = |end: &str| self.0.join(format!("{}{end}", audit::DATABASE));
        let files =
            [database, wal("-wal"), wal("-shm"), audit(""), audit("-wal"), audit("-shm")].map(|path| (path, 0o640));
        for (path, mode) in files.into_iter().chain([(self.0.clone(), 0o2750)]).filter(|(path, _)| path.exists()) {
            let shared = chown(&path, None, Some(Gid::from_raw(gid))).map_err(io::Error::from);
            shared
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
                .map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// Takes the engine's lock, which the operating system gives back whatever becomes of the process.
    pub fn claim(&self) -> Result<Claim, StoreError> {
        let path = self.0.join("engine.lock");
        let failed = |error: io::Error| StoreError::Io(path.clone(), error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
                write!(file, "{}", std::process::id()).map_err(failed)?;
                Ok(Claim::Won(EngineLock { _file: file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Ok(Claim::Taken { pid: text.trim().parse().ok() })
            }
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// A group's number: by its line in /etc/group, or as it is written.
fn group_number(group: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    named.or_else(|| group.parse().ok())
}
