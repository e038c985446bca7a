//! Invocation: what every command needs: the repository that was named, the time, and snapshots by name.

use std::ffi::OsStr;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use yesterfs::error::{Error, Result};
use yesterfs::progress::Monitor;
use yesterfs::repository::node::Node;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::repository::tree::TreeReader;
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::store::backend::LocalBackend;
use yesterfs::time::Timestamp;

use super::GlobalArgs;
use super::exit::{CommandResult, Failure};
use super::hint;
use super::progress::{Show, Terminal};

/// The chunk index lies beside what it indexes.
const INDEX_FOLDER: &str = "index";
/// What the chunk index keeps of itself.
const INDEX_CACHE_BYTES: u64 = 32 << 20;
/// The same during an ingest, which asks for every new chunk in no order: the filters of 100 million chunks are 125 MB.
const INGEST_INDEX_CACHE_BYTES: u64 = 144 << 20;

/// What the global options say, and when the command began.
#[derive(Clone)]
pub struct Invocation {
    repository: Option<PathBuf>,
    /// Decoded chunks and pages that are kept.
    pub cache_bytes: u64,
    index_cache_bytes: u64,
    pub quiet: bool,
    pub verbose: bool,
    /// True in the process that serves a mount in the background.
    pub in_background: bool,
    pub now: Timestamp,
}

impl Invocation {
    pub fn new(global: GlobalArgs) -> Invocation {
        Invocation {
            repository: global.repo,
            cache_bytes: mebibytes(global.cache),
            index_cache_bytes: INDEX_CACHE_BYTES,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            in_background: global.in_background,
            now: clock(),
        }
    }

    /// The same with another bound of the cache, where there is one.
    pub fn with_cache(&self, mib: Option<u64>) -> Invocation {
        Invocation { cache_bytes: mib.map_or(self.cache_bytes, mebibytes), ..self.clone() }
    }

    /// The same with an index that knows new chunks for new out of memory.
    pub fn for_ingest(&self) -> Invocation {
        Invocation { index_cache_bytes: INGEST_INDEX_CACHE_BYTES, ..self.clone() }
    }

    /// The same for the repository in this directory.
    pub fn within(&self, directory: &Path) -> Invocation {
        Invocation { repository: Some(directory.to_path_buf()), ..self.clone() }
    }

    /// The directory of the repository; absolute.
    pub fn repository_directory(&self) -> CommandResult<PathBuf> {
        let hint = "add --repo DIR, or name it once for all commands: export YESTERFS_REPO=DIR";
        let directory = self.repository.as_ref().ok_or(Failure::Usage { problem: "no repository is named", hint })?;
        // A mount leaves the directory that it was started in.
        Ok(std::path::absolute(directory).map_err(Error::io("find", directory))?)
    }

    /// Opens the repository for a command that is soon done.
    pub fn open_quietly(&self) -> CommandResult<Repository> {
        self.open(Arc::new(Terminal::silent(self.quiet)))
    }

    pub fn open(&self, monitor: Arc<dyn Monitor>) -> CommandResult<Repository> {
        let directory = self.repository_directory()?;
        let options = OpenOptions {
            index_directory: directory.join(INDEX_FOLDER),
            cache_bytes: self.cache_bytes,
            index_cache_bytes: self.index_cache_bytes,
        };
        Repository::open(Arc::new(LocalBackend::new(&directory)), options, monitor).map_err(|error| match error {
            Error::NotFound { what: "repository in", .. } => {
                let typed = self.repository.as_deref().unwrap_or(&directory);
                let hint = format!("make one with: yesterfs init {}; or name another with --repo DIR", typed.display());
                Failure::Hinted { error, hint }
            }
            error => error.into(),
        })
    }

    /// A monitor that draws; `json` as the command was told.
    pub fn start_progress(&self, show: Show, json: bool) -> CommandResult<Arc<Terminal>> {
        let failed = |source: io::Error| Failure::System { operation: "watch for signals", source };
        Terminal::start(show, json, self.quiet).map(Arc::new).map_err(failed)
    }

    /// The snapshot that `name` means.
    pub fn snapshot(&self, repository: &Repository, name: &str) -> CommandResult<Arc<Snapshot>> {
        repository.find(name, self.now).map_err(|error| hint::unknown_snapshot(error, name, &repository.catalog()))
    }

    /// The snapshot and the node that `SNAP[:/PATH]` means.
    pub fn target(&self, repository: &Repository, name: &OsStr) -> CommandResult<Target> {
        let wanted = SnapshotPath::parse(name)?;
        let snapshot = self.snapshot(repository, &wanted.snapshot)?;
        let (tree, root) = (repository.tree()?, &snapshot.manifest.root);
        if let Some(node) = tree.lookup_path(root, &wanted.path)? {
            return Ok(Target { snapshot, path: wanted.path, node });
        }
        let directory = nearest_directory(tree, root, &wanted.path)?;
        Err(hint::unknown_path(&lossy(name), &wanted, &snapshot_name(&snapshot), directory))
    }
}

/// As much of a path as there is, up to a directory.
fn nearest_directory<'a>(tree: TreeReader, root: &Node, path: &'a [u8]) -> Result<&'a [u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    for (at, _) in slashes {
        if tree.lookup_path(root, &path[..at])?.is_some_and(|node| node.directory().is_some()) {
            return Ok(&path[..at]);
        }
    }
    Ok(b"")
}

fn mebibytes(count: u64) -> u64 {
    count.saturating_mul(1 << 20)
}

/// What time it is.
pub fn clock() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// How many threads a command that was told `wanted` uses: one a processor unless told otherwise.
pub fn processors(wanted: Option<NonZeroUsize>) -> usize {
    wanted.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// A place in a snapshot.
pub struct Target {
    pub snapshot: Arc<Snapshot>,
    /// Relative to the snapshot's root, without slashes at its ends; empty for the root.
    pub path: Vec<u8>,
    pub node: Node,
}

/// `SNAP[:/PATH]` taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotPath {
    pub snapshot: String,
    /// Without slashes at its ends; empty for the root.
    pub path: Vec<u8>,
}

impl SnapshotPath {
    /// Splits at the first `:/`; a colon within a time is never followed by a slash.
    pub fn parse(text: &OsStr) -> Result<SnapshotPath> {
        let bytes = text.as_bytes();
        let at = bytes.windows(2).position(|pair| pair == b":/");
        let (snapshot, path) = match at {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (bytes.strip_suffix(b":").unwrap_or(bytes), &b""[..]),
        };
        let snapshot = std::str::from_utf8(snapshot)
            .map_err(|_| Error::invalid("snapshot", lossy(text), "names of snapshots are plain ASCII"))?;
        Ok(SnapshotPath { snapshot: snapshot.to_string(), path: SnapshotPath::names(path) })
    }

    /// A path without slashes at its ends and without doubled ones.
    pub fn names(path: &[u8]) -> Vec<u8> {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        names.join(&b'/')
    }
}

/// `text` for a message.
pub fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// The name of a snapshot that people read, type again, and find in the mount: `lake@2026-11-22T100000Z`.
pub fn snapshot_name(snapshot: &Snapshot) -> String {
    format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn splits(text: &[u8], snapshot: &str, path: &[u8]) {
        let expected = SnapshotPath { snapshot: snapshot.to_string(), path: path.to_vec() };
        assert_eq!(SnapshotPath::parse(OsStr::from_bytes(text)).unwrap(), expected);
    }

    #[test]
    fn a_path_begins_at_the_first_colon_before_a_slash() {
        splits(b"lake", "lake", b"");
        splits(b"lake:", "lake", b"");
        splits(b"lake:/", "lake", b"");
        splits(b"lake:/a/b", "lake", b"a/b");
        splits(b"lake:/a//b/", "lake", b"a/b");
        splits(b"lake@2026-11-20T10:00:00+02:00:/a", "lake@2026-11-20T10:00:00+02:00", b"a");
        splits(b"lake@latest~2:/a:/b", "lake@latest~2", b"a:/b");
        splits(b"lake:/caf\xe9", "lake", b"caf\xe9");
    }

    #[test]
    fn a_snapshot_that_is_not_utf_8_is_refused() {
        assert!(SnapshotPath::parse(OsStr::from_bytes(b"l\xffke:/a")).is_err());
    }
}
