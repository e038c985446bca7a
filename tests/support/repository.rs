//! A repository in a temporary directory, and what tests do with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tempfile::TempDir;
use yesterfs::ingest::directory::{DirectoryOptions, ingest_directory};
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::Recorder;
use yesterfs::repository::node::{Node, NodeKind};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::repository::tree::{DirectoryWriter, Witness};
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::restore::RestoreOptions;
use yesterfs::store::backend::{Backend, LocalBackend};
use yesterfs::time::Timestamp;
use yesterfs::{Error, Result};

/// A repository that is removed with its directory.
pub struct TestRepository {
    directory: TempDir,
    pub repository: Repository,
    pub monitor: Arc<Recorder>,
}

/// What an ingest did, and a way to read the snapshot.
pub struct Ingested<'r> {
    pub repository: &'r Repository,
    pub snapshot: Arc<Snapshot>,
    pub counters: CounterValues,
    pub problems: Vec<yesterfs::progress::Problem>,
}

#[derive(Debug)]
pub struct CounterValues {
    pub bytes_read: u64,
    pub bytes_new: u64,
    pub bytes_stored: u64,
    pub files_unchanged: u64,
}

/// A present time, for verbs that are told it: two minutes ahead of the clock, so that files just made have come to rest
/// and need not be read again by the next ingest.
pub fn now() -> Timestamp {
    let now = Timestamp::from_system(SystemTime::now());
    Timestamp { seconds: now.seconds + 120, ..now }
}

/// Opens the repository in `directory`/repo.
pub fn open(directory: &Path, backend: Arc<dyn Backend>, monitor: Arc<Recorder>) -> Result<Repository> {
    let options = OpenOptions {
        index_directory: directory.join("repo/index"),
        cache_bytes: 32 << 20,
        index_cache_bytes: 8 << 20,
    };
    Repository::open(backend, options, monitor)
}

impl TestRepository {
    pub fn new() -> TestRepository {
        let directory = TempDir::new().unwrap();
        let backend = Arc::new(LocalBackend::new(directory.path().join("repo")));
        std::fs::create_dir(directory.path().join("repo")).unwrap();
        Repository::init(backend.as_ref(), now()).unwrap();
        let monitor = Arc::new(Recorder::default());
        let repository = open(directory.path(), backend, monitor.clone()).unwrap();
        TestRepository { directory, repository, monitor }
    }

    /// A path beside the repository.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What all files of the repository take, but for the index, which is a cache.
    pub fn stored_bytes(&self) -> u64 {
        bytes_below(&self.path("repo")) - bytes_below(&self.path("repo/index"))
    }

    /// Runs the program; gives what it prints, what it tells, and how it ends.
    pub fn yesterfs(&self, arguments: &[&str]) -> (String, String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        let output = command.arg("--repo").arg(self.path("repo")).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    }

    /// The repository opened once more, as another process would.
    pub fn reopen(&self) -> Result<Repository> {
        let backend = Arc::new(LocalBackend::new(self.path("repo")));
        open(self.directory.path(), backend, Arc::new(Recorder::default()))
    }

    pub fn ingest(&self, path: &Path, source: &str) -> Ingested<'_> {
        self.try_ingest(path, source, |_| {}).unwrap()
    }

    /// An ingest with other options than the usual ones.
    pub fn try_ingest(
        &self,
        path: &Path,
        source: &str,
        change: impl FnOnce(&mut DirectoryOptions),
    ) -> Result<Ingested<'_>> {
        let mut options = directory_options(path, source);
        options.repository_directory = Some(self.path("repo"));
        change(&mut options);
        let monitor = Recorder::default();
        let IngestReport { snapshot } = ingest_directory(&self.repository, &options, &now, &monitor)?;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = CounterValues {
            bytes_read: get(&monitor.counters.bytes_read),
            bytes_new: get(&monitor.counters.bytes_new),
            bytes_stored: get(&monitor.counters.bytes_stored),
            files_unchanged: get(&monitor.counters.files_unchanged),
        };
        let problems = monitor.problems.into_inner().unwrap();
        Ok(Ingested { repository: &self.repository, snapshot, counters, problems })
    }
}

/// What the files in a directory take, at any depth.
fn bytes_below(directory: &Path) -> u64 {
    let bytes_of = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => bytes_below(&entry.path()),
        metadata => metadata.len(),
    };
    std::fs::read_dir(directory).unwrap().map(|entry| bytes_of(entry.unwrap())).sum()
}

/// The usual options of a test's ingest.
pub fn directory_options(path: &Path, source: &str) -> DirectoryOptions {
    let common = IngestOptions { source: source.into(), host: "here".into(), user: "me".into(), ..Default::default() };
    DirectoryOptions {
        common,
        path: path.to_path_buf(),
        exclude: Vec::new(),
        exclude_files: Vec::new(),
        one_file_system: false,
        reread: false,
        threads: 2,
        repository_directory: None,
    }
}

impl Ingested<'_> {
    /// The bytes of a file of the snapshot.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        read_file(self.repository, &self.snapshot, path.as_bytes())
    }
}

/// Adds a snapshot that is as `like`, but for its root directory: the nodes that `entries` makes.
pub fn commit(
    repository: &Repository,
    like: &Snapshot,
    entries: impl FnOnce(&WriteSession<'_>) -> Vec<(Vec<u8>, Node)>,
) -> Arc<Snapshot> {
    let counters = Default::default();
    let session = WriteSession::open(repository, &counters, "here", "test", now()).unwrap();
    let mut writer = DirectoryWriter::new(&session);
    for (name, node) in entries(&session) {
        writer.push(&name, &node, &Witness::None).unwrap();
    }
    let (directory, witnesses) = writer.finish().unwrap();
    let mut manifest = like.manifest.clone();
    manifest.root.kind = NodeKind::Directory(directory);
    manifest.witnesses = witnesses;
    session.commit(manifest, now()).unwrap()
}

/// The bytes of a file of a snapshot.
pub fn read_file(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<Vec<u8>> {
    let node = repository.tree()?.lookup_path(&snapshot.manifest.root, path)?;
    let name = String::from_utf8_lossy(path).into_owned();
    let Some(NodeKind::File { content, .. }) = node.map(|node| node.kind) else {
        return Err(Error::NotFound { what: "file", name });
    };
    let mut bytes = Vec::new();
    repository.contents()?.read(&content, 0, content.size as usize, &mut bytes)?;
    Ok(bytes)
}

/// The usual options of a test's restore.
pub fn restore_options(to: &Path) -> RestoreOptions {
    RestoreOptions {
        to: to.to_path_buf(),
        dry_run: false,
        delete: false,
        verify: false,
        numeric_ids: false,
        threads: 2,
        protected: Vec::new(),
    }
}
