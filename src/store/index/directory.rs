//! The directory of the chunk index:
//!
//! ```text
//! index/lock       locked (flock) by whoever writes
//! index/current    one line: the live database, then sequence and record hash of the mark it has reached
//! index/db-<hex>/  databases: the live one, and what a crash left, until the next writer removes it
//! ```
//!
//! Nothing here is ever synced: what a power failure leaves of it is used or rebuilt.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::AppliedMark;
use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterId};
use crate::store::owner::Owner;

const LOCK: &str = "lock";
const CURRENT: &str = "current";
const CURRENT_NEW: &str = "current.new";
const DATABASE_PREFIX: &str = "db-";

/// Longer than any `current`.
const CURRENT_MAX_BYTES: usize = 256;

/// What `current` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// Name of a directory beside it.
    pub database: String,
    /// The database had reached at least this.
    pub mark: AppliedMark,
}

/// The write lock.
pub(super) enum Held {
    /// Ours until the file is dropped.
    Ours(File),
    Taken,
    /// It can be neither made nor opened for writing, and so can nothing else here.
    ReadOnly,
}

/// Whether to wait for the write lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    No,
}

pub(super) struct Directory {
    path: PathBuf,
}

/// A name that no database ever had.
pub(super) fn new_database_name() -> Result<String> {
    Ok(format!("{DATABASE_PREFIX}{}", WriterId::random()?))
}

fn is_database_name(name: &str) -> bool {
    name.strip_prefix(DATABASE_PREFIX).is_some_and(|hex| WriterId::from_hex(hex).is_ok())
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::Index { operation, reason: error.to_string() }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl Directory {
    pub fn new(path: &Path) -> Directory {
        Directory { path: path.to_path_buf() }
    }

    /// The path of a database.
    pub fn database(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What `current` says; `None` if there is none.
    pub fn current(&self) -> Result<Option<Current>> {
        let bytes = match fs::read(self.path.join(CURRENT)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open")(error)),
        };
        let damaged = || Error::Index { operation: "open", reason: format!("\"{CURRENT}\" is damaged") };
        Current::parse(&bytes).ok_or_else(damaged).map(Some)
    }

    /// Makes a database the live one; its files belong to whoever owns the repository then. Only under the write lock.
    pub fn switch(&self, current: &Current) -> Result<()> {
        let new = self.path.join(CURRENT_NEW);
        let owner = self.owner().map_err(failed("write"))?;
        owner.give_directory(&self.database(&current.database)).map_err(failed("write"))?;
        fs::write(&new, current.format()).map_err(failed("write"))?;
        owner.give_path(&new).map_err(failed("write"))?;
        fs::rename(&new, self.path.join(CURRENT)).map_err(failed("write"))
    }

    /// Removes a database that `current` does not name. Only under the write lock.
    pub fn remove(&self, database: &str) {
        // What cannot be removed is left for the next sweep.
        let _ = fs::remove_dir_all(self.database(database));
    }

    /// Removes all databases but `keep`. Only under the write lock.
    pub fn sweep(&self, keep: Option<&str>) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            match name.to_str() {
                Some(name) if is_database_name(name) && Some(name) != keep => self.remove(name),
                _ => {}
            }
        }
    }

    /// Takes the write lock; makes the directory if need be.
    pub fn lock(&self, wait: Wait) -> Result<Held> {
        let operation = match wait {
            Wait::Yes => FlockOperation::LockExclusive,
            Wait::No => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            let file = match self.open_lock() {
                Ok(file) => file,
                Err(error) if is_read_only(&error) => return Ok(Held::ReadOnly),
                Err(error) => return Err(failed("lock")(error)),
            };
            match rustix::io::retry_on_intr(|| flock(&file, operation)) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Held::Taken),
                Err(error) => return Err(failed("lock")(error.into())),
            }
            if self.is_lock(&file) {
                return Ok(Held::Ours(file));
            }
        }
    }

    /// Keeps writers away until the file is dropped; `None` if one is at work. Where no lock file can be opened at all,
    /// nobody is known to write, and the file returned is a stand-in.
    pub fn exclude_writers(&self) -> Option<Option<File>> {
        let Ok(file) = File::open(self.path.join(LOCK)) else { return Some(None) };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Some(Some(file)),
            Err(Errno::WOULDBLOCK | Errno::INTR) => None,
            Err(_) => Some(None),
        }
    }

    fn open_lock(&self) -> io::Result<File> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !self.path.is_dir() => return Err(error),
            Err(_) => {}
            Ok(()) => self.owner()?.give_path(&self.path)?,
        }
        let path = self.path.join(LOCK);
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        self.owner()?.give_path(&path)?;
        Ok(lock)
    }

    /// Whoever owns the repository.
    fn owner(&self) -> io::Result<Owner> {
        Owner::of_path(self.path.parent().unwrap_or(&self.path))
    }

    /// Somebody may have deleted the directory while we waited: then the lock that we hold keeps nobody out.
    fn is_lock(&self, file: &File) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (file.metadata(), fs::metadata(self.path.join(LOCK))) {
            (Ok(ours), Ok(there)) => identity(ours) == identity(there),
            _ => false,
        }
    }
}

impl Current {
    fn format(&self) -> String {
        format!("{} {} {}\n", self.database, self.mark.sequence, ChunkId(self.mark.record_hash))
    }

    fn parse(bytes: &[u8]) -> Option<Current> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < CURRENT_MAX_BYTES)?;
        let mut words = text.strip_suffix('\n')?.split(' ');
        let database = words.next().filter(|name| is_database_name(name))?.to_string();
        let sequence = words.next()?.parse().ok()?;
        let record_hash = ChunkId::from_hex(words.next()?).ok()?.0;
        words.next().is_none().then_some(Current { database, mark: AppliedMark { sequence, record_hash } })
    }
}
