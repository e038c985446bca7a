//! The one error type of the library: every variant names the object, the operation or the cause, and
//! [`Error::kind`] sorts it for the two places that choose a number (errno, exit code).

use std::io;
use std::path::{Path, PathBuf};

use crate::id::ChunkId;

/// What the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, named by the object and the operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operating system call on a path of the user's (source, target, mount point) failed.
    #[error("cannot {operation} \"{}\": {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },

    /// A call on the repository's storage failed.
    #[error("cannot {operation} \"{key}\" in {backend}: {source}")]
    Backend { operation: &'static str, key: String, backend: String, source: io::Error },

    /// An object that must exist in the repository does not.
    #[error("\"{key}\" is missing from {backend}")]
    ObjectMissing { key: String, backend: String },

    /// Stored bytes are not what was written.
    #[error("{object} is damaged: {reason}")]
    Corrupt { object: String, reason: String },

    /// A chunk's bytes do not match its id.
    #[error("chunk {id} in pack {pack} is damaged: {reason}")]
    ChunkCorrupt { id: ChunkId, pack: String, reason: String },

    /// No published pack holds a chunk that something refers to.
    #[error("chunk {id} is missing: no published pack holds it")]
    ChunkMissing { id: ChunkId },

    /// A newer yesterfs wrote this, in a way this one must not guess at.
    #[error("{object} needs a newer yesterfs: {reason}")]
    Unsupported { object: String, reason: String },

    /// The chunk index could not be read or written. It is a cache: the caller rebuilds it.
    #[error("cannot {operation} the chunk index: {reason}")]
    Index { operation: &'static str, reason: String },

    /// Somebody asked for something that is not there.
    #[error("no {what} \"{name}\"")]
    NotFound { what: &'static str, name: String },

    /// Something is asked for by a number that it had, and that nobody knows any more. By its name it may be found again.
    #[error("{what} {number} is not known any more")]
    Stale { what: &'static str, number: u64 },

    /// A short name, or none, fits more than one.
    #[error("{what} \"{name}\" is ambiguous: it fits {}", matches.join(", "))]
    Ambiguous { what: &'static str, name: String, matches: Vec<String> },

    /// A value given by the user cannot be used.
    #[error("{what} \"{value}\" is not usable: {reason}")]
    Invalid { what: &'static str, value: String, reason: String },

    /// Something that must be new is already there.
    #[error("{what} \"{name}\" already exists")]
    Exists { what: &'static str, name: String },

    /// A server has something of another kind where something is to be loaded.
    #[error("{what} \"{name}\" cannot be loaded: a {present} of this name is there")]
    OtherKind { what: &'static str, name: String, present: &'static str },

    /// A dump names roles or accounts that nobody can be in the server that it was to be loaded into. `reason` ends with what is
    /// wrong with them.
    #[error("the dump names {what} that {reason}: {}", names.join(", "))]
    Accounts { what: &'static str, reason: &'static str, names: Vec<String> },

    /// What was to be stored could not be had: a command failed, or an input had nothing, or nothing usable. `origin` tells what it
    /// is, and its name.
    #[error("{origin} {reason}; no snapshot was made")]
    Command { origin: String, reason: String },

    /// A dump is not whole, and was not to be kept then.
    #[error("the dump from \"{input}\" is incomplete: {reason}; no snapshot was made")]
    Incomplete { input: String, reason: String },

    /// A client program did not load what it was given into its server.
    #[error("\"{client}\" failed {what}: {reason}")]
    Load { what: String, client: String, reason: String },

    /// A client program is not there, or not to be run.
    #[error("\"{client}\" cannot be started: {reason}")]
    NotStarted { client: String, reason: String },

    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What sort of failure an [`Error`] is; the edges choose errno and exit code by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Exists,
    Invalid,
    Corrupt,
    Unsupported,
    Io,
    Command,
    Interrupted,
}

impl Error {
    /// An [`Error::Io`] about `path`; for use in `map_err`.
    pub fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { operation, path, source }
    }

    /// An [`Error::Corrupt`] about `object`.
    pub fn corrupt(object: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Corrupt { object: object.into(), reason: reason.into() }
    }

    /// An [`Error::Invalid`] about a value the user gave.
    pub fn invalid(what: &'static str, value: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Invalid { what, value: value.into(), reason: reason.into() }
    }

    /// The sort of this failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } | Error::Backend { .. } | Error::Index { .. } => ErrorKind::Io,
            // A referenced object that is gone is damage, never "no such file".
            Error::ObjectMissing { .. }
            | Error::Corrupt { .. }
            | Error::ChunkCorrupt { .. }
            | Error::ChunkMissing { .. } => ErrorKind::Corrupt,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::NotFound { .. } | Error::Stale { .. } => ErrorKind::NotFound,
            Error::Ambiguous { .. } | Error::Invalid { .. } | Error::Accounts { .. } => ErrorKind::Invalid,
            Error::Exists { .. } | Error::OtherKind { .. } => ErrorKind::Exists,
            Error::Command { .. } | Error::Incomplete { .. } | Error::Load { .. } | Error::NotStarted { .. } => {
                ErrorKind::Command
            }
            Error::Interrupted => ErrorKind::Interrupted,
        }
    }
}
