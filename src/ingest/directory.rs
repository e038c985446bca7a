//! `ingest dir`: a snapshot of a live directory. One thread walks, several capture files, this one builds the tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, bounded};
use rustix::fs::{Dir, Mode, OFlags};

use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterObject, hash};
use crate::ingest::exclude::Excludes;
use crate::ingest::file::{FileOutcome, Reading, base_node};
use crate::ingest::hard_links::{FirstNames, SharedReads};
use crate::ingest::walk::{Boundaries, Previous, QueuedJob, Step, Walk, is_in_mount_of};
use crate::ingest::{IngestOptions, IngestReport};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::Repository;
use crate::repository::metadata::{Captured, OwnerNames, stat_fd};
use crate::repository::node::{DirectoryRoot, Node, NodeKind, Xattr, Xattrs};
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{
    MANIFEST_PROBLEMS_MAX, Manifest, ManifestProblem, Snapshot, SnapshotKind, SnapshotStatus, check_label,
};
use crate::repository::tree::{DirectoryWriter, Witness};
use crate::time::{Clock, Timestamp};

/// Entries that may be under way between the walk and the tree.
const STEPS_UNDER_WAY: usize = 1024;

/// Entries that may wait to be captured. Each holds the descriptor of its directory, and a process has 1024 of them.
const JOBS_UNDER_WAY: usize = 128;

/// What `ingest dir` is told besides.
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    pub common: IngestOptions,
    pub path: PathBuf,
    /// Patterns in gitignore syntax, and files of them.
    pub exclude: Vec<String>,
    pub exclude_files: Vec<PathBuf>,
    pub one_file_system: bool,
    /// Read every file, also those that the previous snapshot has unchanged.
    pub reread: bool,
    /// Threads that capture files.
    pub threads: usize,
    /// The repository's own directory, which is passed over.
    pub repository_directory: Option<PathBuf>,
}

/// Makes a snapshot of a directory.
///
/// # Errors
/// [`Error::Io`] where the directory cannot be opened, [`Error::Invalid`] where it is the repository's own. Entries
/// below it that cannot be read are problems of the monitor, and make the snapshot partial.
pub fn ingest_directory(
    repository: &Repository,
    options: &DirectoryOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    check_label("source", &options.common.source)?;
    let excludes = Excludes::new(&options.exclude, &options.exclude_files)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&options.path, flags, Mode::empty())
        .map_err(|cause| Error::io("open the directory", &options.path)(cause.into()))?;
    let captured = stat_fd(root.as_fd()).map_err(Error::io("look at", &options.path))?;
    require_listing(&root, &options.path)?;
    let own_directory = own_directory(options, &captured)?;
    refuse_own_mount(repository, options, &root, &captured)?;
    let started = clock();
    let catalog = repository.catalog();
    let parent = catalog.of_source(&options.common.source).rev().find(|it| is_comparable(it, options)).cloned();
    expect_as_much_as(parent.as_deref(), monitor);
    let purpose = format!("ingest dir {}", options.path.display());
    let mut session = WriteSession::open(repository, monitor.counters(), &options.common.host, &purpose, started)?;
    if options.reread {
        session = session.verifying_known();
    }
    let options =
        &DirectoryOptions { reread: must_read_all(options, &session, parent.as_deref(), monitor), ..options.clone() };
    let mut facts = BTreeMap::new();
    if !session.lost_packs().is_empty() {
        facts.insert(READ_FOR_LOST_PACKS.to_string(), lost_packs_digest(session.lost_packs()));
    }
    let watch = IngestWatch::new(monitor);
    let boundaries =
        Boundaries { excludes, one_file_system: options.one_file_system, own_directory, repository: repository.id() };
    let built = build_tree(repository, options, &session, clock, &watch, boundaries, (root, captured), &parent);
    let tree = match built {
        Ok(tree) => tree,
        Err(error) => {
            // What was stored serves the next attempt; that this could not be kept is the lesser news.
            if let Err(second) = session.abandon(clock()) {
                log::warn!("cannot keep what the interrupted ingest stored: {second}");
            }
            return Err(error);
        }
    };
    let manifest = manifest(options, tree, parent.map(|it| it.id), (started, clock()), watch, monitor);
    let snapshot = session.commit(Manifest { facts, ..manifest }, clock())?;
    Ok(IngestReport { snapshot })
}

/// The fact that tells for which lost packs everything was read: the next ingest of the source need not do it again.
const READ_FOR_LOST_PACKS: &str = "read-for-lost-packs";

/// A short name for a set of lost packs.
fn lost_packs_digest(lost: &[WriterObject]) -> String {
    let mut names: Vec<String> = lost.iter().map(WriterObject::to_string).collect();
    names.sort_unstable();
    hash(names.join(" ").as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether everything is read: as told, or because packs are lost, what they held may still be at hand here, and no
/// ingest of this source has read everything since.
fn must_read_all(
    options: &DirectoryOptions,
    session: &WriteSession,
    parent: Option<&Snapshot>,
    monitor: &dyn Monitor,
) -> bool {
    let healed = parent.and_then(|it| it.manifest.facts.get(READ_FOR_LOST_PACKS));
    if let [first, ..] = session.lost_packs()
        && healed != Some(&lost_packs_digest(session.lost_packs()))
    {
        let count = session.lost_packs().len();
        monitor.note(&format!(
            "packs are lost or cut short ({count}, such as {first}): reading every file, to store again what they held"
        ));
        return true;
    }
    options.reread
}

/// Fails where the directory can be opened, but not listed: an empty snapshot would say that all was deleted.
fn require_listing(root: &OwnedFd, path: &Path) -> Result<()> {
    let listed = Dir::read_from(root).and_then(|mut entries| entries.next().transpose());
    listed.map(|_| ()).map_err(|cause| Error::io("list the directory", path)(cause.into()))
}

/// Device and inode of the repository's directory; refuses to ingest it or a directory in it.
fn own_directory(options: &DirectoryOptions, root: &Captured) -> Result<Option<(u64, u64)>> {
    let Some(own) = &options.repository_directory else { return Ok(None) };
    let resolve = |path: &Path| path.canonicalize().map_err(Error::io("resolve", path));
    let inside = resolve(&options.path)?.starts_with(resolve(own)?);
    let fd = rustix::fs::open(own, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| Error::io("open the directory", own)(cause.into()))?;
    let captured = stat_fd(fd.as_fd()).map_err(Error::io("look at", own))?;
    // A bind mount of it has another path.
    if inside || (captured.device, captured.inode) == (root.device, root.inode) {
        let value = options.path.display().to_string();
        return Err(Error::invalid("directory", value, "it lies in the repository itself"));
    }
    Ok(Some((captured.device, captured.inode)))
}

/// Refuses to ingest a directory of a mount of the repository: it would hold all that is there already.
fn refuse_own_mount(
    repository: &Repository,
    options: &DirectoryOptions,
    directory: &OwnedFd,
    captured: &Captured,
) -> Result<()> {
    if is_in_mount_of(directory, captured, &repository.id()).map_err(Error::io("look above", &options.path))? {
        let value = options.path.display().to_string();
        return Err(Error::invalid("directory", value, "it lies in a mount of the repository itself"));
    }
    Ok(())
}

/// Whether what this snapshot tells of unchanged files holds for the directory now ingested: inode numbers mean
/// something on one machine and in one place only.
fn is_comparable(snapshot: &Snapshot, options: &DirectoryOptions) -> bool {
    let manifest = &snapshot.manifest;
    manifest.kind == SnapshotKind::Directory
        && manifest.host == options.common.host
        // Not bytewise: a slash at the end makes no other directory.
        && Path::new(OsStr::from_bytes(&manifest.origin)) == options.path
}

fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

fn expect_as_much_as(parent: Option<&Snapshot>, monitor: &dyn Monitor) {
    if let Some(root) = parent.and_then(|it| it.manifest.root.directory()) {
        Counters::add(&monitor.counters().bytes_expected, root.totals.bytes);
    }
}

/// The monitor of all threads of one ingest: passes everything on, keeps the first problems for the manifest, and
/// cancels the other threads once one has failed.
struct IngestWatch<'a> {
    monitor: &'a dyn Monitor,
    kept: Mutex<(u64, Vec<ManifestProblem>)>,
    failed: AtomicBool,
    first_failure: Mutex<Option<Error>>,
}

/// Every value guarded here is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> IngestWatch<'a> {
    fn new(monitor: &'a dyn Monitor) -> IngestWatch<'a> {
        let (kept, failed, first_failure) = Default::default();
        IngestWatch { monitor, kept, failed, first_failure }
    }

    /// Ends the ingest. The first failure is the cause; the others follow from it.
    fn fail(&self, error: Error) -> Error {
        lock(&self.first_failure).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
        Error::Interrupted
    }
}

impl Monitor for IngestWatch<'_> {
    fn counters(&self) -> &Counters {
        self.monitor.counters()
    }

    fn problem(&self, problem: Problem) {
        let mut kept = lock(&self.kept);
        kept.0 += 1;
        if kept.1.len() < MANIFEST_PROBLEMS_MAX {
            kept.1.push(ManifestProblem { path: path_bytes(&problem.path), reason: problem.reason.clone() });
        }
        drop(kept);
        self.monitor.problem(problem);
    }

    fn note(&self, text: &str) {
        self.monitor.note(text);
    }

    fn is_cancelled(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.monitor.is_cancelled()
    }
}

/// A tree that was built.
struct BuiltTree {
    root: Node,
    witnesses: Option<ChunkId>,
    files: u64,
    has_xattrs: bool,
}

#[allow(clippy::too_many_arguments)]
fn build_tree(
    repository: &Repository,
    options: &DirectoryOptions,
    session: &WriteSession,
    clock: &Clock,
    watch: &IngestWatch,
    boundaries: Boundaries,
    (root, captured): (OwnedFd, Captured),
    parent: &Option<Arc<Snapshot>>,
) -> Result<BuiltTree> {
    let owners = OwnerNames::new();
    let reading = Reading {
        session,
        monitor: watch,
        clock,
        owners: &owners,
        shared: SharedReads::default(),
        reread: options.reread,
    };
    let tree = repository.tree()?;
    let previous = parent
        .as_ref()
        .and_then(|it| it.manifest.root.directory().map(|root| Previous::new(tree, root, it.manifest.witnesses)));
    let built = std::thread::scope(|scope| {
        let (steps, received_steps) = bounded(STEPS_UNDER_WAY);
        let (jobs, received_jobs) = bounded::<QueuedJob>(JOBS_UNDER_WAY);
        for _ in 0..options.threads.max(1) {
            let (jobs, reading) = (received_jobs.clone(), &reading);
            scope.spawn(move || capture_all(&jobs, reading, watch));
        }
        drop(received_jobs);
        scope.spawn(move || {
            // Whoever abandons the walk knows why.
            let _ = Walk { boundaries, monitor: watch, steps, jobs }.run(root, captured, previous);
        });
        TreeBuilder { reading: &reading, first_names: FirstNames::default(), files: 0, has_xattrs: false }
            .build(received_steps)
            .map_err(|error| watch.fail(error))
    });
    built.map_err(|error| lock(&watch.first_failure).take().unwrap_or(error))
}

/// Captures entries until the walk ends; after a failure of the repository the rest is only answered.
fn capture_all(jobs: &Receiver<QueuedJob>, reading: &Reading, watch: &IngestWatch) {
    let mut lane = reading.session.chunks().data_lane();
    for QueuedJob { job, outcome } in jobs {
        let captured = match watch.is_cancelled() {
            true => Err(Error::Interrupted),
            false => reading.capture(&job, &mut lane).map_err(|error| watch.fail(error)),
        };
        // A builder that failed no longer listens.
        let _ = outcome.send(captured);
    }
}

/// Turns the steps of a walk into a tree.
struct TreeBuilder<'a, 'r> {
    reading: &'a Reading<'a, 'r>,
    first_names: FirstNames,
    files: u64,
    has_xattrs: bool,
}

/// A directory that is being built.
struct OpenDirectory<'a, 'r> {
    name: Vec<u8>,
    path_length: usize,
    node: Node,
    writer: DirectoryWriter<'a, WriteSession<'r>>,
}

impl<'a, 'r> TreeBuilder<'a, 'r> {
    fn build(mut self, steps: Receiver<Step>) -> Result<BuiltTree> {
        let mut stack: Vec<OpenDirectory> = Vec::new();
        let mut path = Vec::new();
        for step in steps {
            match step {
                Step::Enter { name, captured, xattrs } => {
                    stack.push(self.enter(name, &captured, xattrs, &mut path)?);
                }
                Step::Entry { name, outcome } => {
                    let Some(open) = stack.last_mut() else { continue };
                    let outcome = outcome.recv().unwrap_or(Err(Error::Interrupted))?;
                    self.add(&name, outcome, &mut path, open)?;
                }
                Step::Leave => {
                    let Some(done) = stack.pop() else { continue };
                    path.truncate(done.path_length);
                    let (node, witnesses) = leave(done.node, done.writer)?;
                    match stack.last_mut() {
                        Some(parent) => parent.writer.push(&done.name, &node, &Witness::Below(witnesses))?,
                        None => {
                            let TreeBuilder { files, has_xattrs, .. } = self;
                            return Ok(BuiltTree { root: node, witnesses, files, has_xattrs });
                        }
                    }
                }
            }
        }
        Err(Error::Interrupted)
    }

    fn enter(
        &mut self,
        name: Vec<u8>,
        captured: &Captured,
        xattrs: Vec<Xattr>,
        path: &mut Vec<u8>,
    ) -> Result<OpenDirectory<'a, 'r>> {
        let reading = self.reading;
        Counters::add(&reading.monitor.counters().entries, 1);
        let path_length = path.len();
        extend_path(path, &name);
        let (xattrs, _) = reading.store_xattrs(xattrs, || OsStr::from_bytes(path).into())?;
        self.has_xattrs |= xattrs != Xattrs::None;
        let node = base_node(captured, reading.owners, xattrs, NodeKind::Directory(DirectoryRoot::default()));
        Ok(OpenDirectory { name, path_length, node, writer: DirectoryWriter::new(reading.session) })
    }

    fn add(
        &mut self,
        name: &[u8],
        outcome: FileOutcome,
        path: &mut Vec<u8>,
        open: &mut OpenDirectory<'a, 'r>,
    ) -> Result<()> {
        let FileOutcome::Captured { mut node, witness, linked } = outcome else { return Ok(()) };
        if let Some((key, count)) = linked {
            let directory_length = path.len();
            extend_path(path, name);
            node.hard_link = Some(self.first_names.link(key, count, path));
            path.truncate(directory_length);
        }
        self.has_xattrs |= node.xattrs != Xattrs::None;
        self.files += u64::from(matches!(node.kind, NodeKind::File { .. }));
        open.writer.push(name, &node, &witness)
    }
}

fn leave(mut node: Node, writer: DirectoryWriter<'_, WriteSession<'_>>) -> Result<(Node, Option<ChunkId>)> {
    let (root, witnesses) = writer.finish()?;
    node.kind = NodeKind::Directory(root);
    Ok((node, witnesses))
}

fn extend_path(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn manifest(
    options: &DirectoryOptions,
    tree: BuiltTree,
    parent: Option<crate::id::SnapshotId>,
    (started, finished): (Timestamp, Timestamp),
    watch: IngestWatch,
    monitor: &dyn Monitor,
) -> Manifest {
    let (problems, problem_list) = watch.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counters = monitor.counters();
    Manifest {
        source: options.common.source.clone(),
        name: String::new(),
        started,
        finished,
        kind: SnapshotKind::Directory,
        status: if problems == 0 { SnapshotStatus::Complete } else { SnapshotStatus::Partial },
        host: options.common.host.clone(),
        user: options.common.user.clone(),
        origin: path_bytes(&options.path),
        root: tree.root,
        witnesses: tree.witnesses,
        parent,
        files: tree.files,
        has_xattrs: tree.has_xattrs,
        bytes_new: Counters::get(&counters.bytes_new),
        bytes_stored: Counters::get(&counters.bytes_stored),
        problems,
        problem_list,
        tags: options.common.tags.clone(),
        facts: Default::default(),
    }
}
