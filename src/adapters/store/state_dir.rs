//! The state directory: whose it is, who may read it, and which process is its one engine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use super::StoreError;
use crate::adapters::own_machine;

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
    /// The directory given, or the one below XDG_STATE_HOME; made if it is not there.
    pub fn open(given: Option<&Path>) -> Result<Self, StoreError> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => {
                own_machine::xdg_directory("XDG_STATE_HOME", ".local/state").ok_or(StoreError::NoHome)?.join("dogwatch")
            }
        };
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
        if metadata.mode() & 0o077 != 0 {
            return Err(StoreError::TooOpen { path, mode: metadata.mode() & 0o7777 });
        }
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("series.db")
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
