//! `ingest dir`: a snapshot of a live directory. One thread walks, several capture files, this one builds the tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::bounded;
use rustix::fs::{Dir, Mode, OFlags};

use crate::error::{Error, Result};
use crate::id::{WriterObject, hash};
use crate::ingest::builder::{BuiltTree, TreeBuilder};
use crate::ingest::exclude::Excludes;
use crate::ingest::file::Reading;
use crate::ingest::hard_links::SharedReads;
use crate::ingest::stretch::{STRETCHES_UNDER_WAY, STRETCHES_WAITING, StretchWriter, capture_all};
use crate::ingest::walk::{Boundaries, Previous, Walk, is_in_mount_of};
use crate::ingest::watch::IngestWatch;
use crate::ingest::{IngestOptions, IngestReport, note_other_kind};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::metadata::{Captured, Identity, OwnerNames, stat_fd};
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{Manifest, Snapshot, SnapshotKind, SnapshotStatus, check_label};
use crate::store::EncodeQueue;
use crate::time::{Clock, Timestamp};

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
    let opened = clock();
    let started = options.common.time_of_data(opened)?;
    let catalog = repository.catalog();
    let parent = catalog.of_source(&options.common.source).rev().find(|it| is_comparable(it, options)).cloned();
    note_other_kind(repository, &options.common.source, SnapshotKind::Directory, monitor);
    expect_as_much_as(parent.as_deref(), monitor);
    let purpose = format!("ingest dir {}", options.path.display());
    let mut session = WriteSession::open(repository, monitor.counters(), &options.common.host, &purpose, opened)?;
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
    let again = root.try_clone().map_err(Error::io("open again", &options.path))?;
    let built = build_tree(repository, options, &session, clock, &watch, boundaries, (root, captured), &parent);
    let mut tree = match built.and_then(|tree| require_existence(&again, &options.path).map(|()| tree)) {
        Ok(tree) => tree,
        Err(error) => return Err(session.abandon_for(error, clock())),
    };
    facts.extend(std::mem::take(&mut tree.backups).facts(monitor));
    let manifest = manifest(options, tree, parent.map(|it| it.id), (started, clock()), &watch, monitor);
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

/// Fails where the directory was deleted meanwhile: what was in it seemed to vanish entry by entry, and a snapshot would
/// say that there was nothing.
fn require_existence(root: &OwnedFd, path: &Path) -> Result<()> {
    let failed = Error::io("ingest all of", path);
    match stat_fd(root.as_fd()) {
        Ok(captured) if captured.link_count > 0 => Ok(()),
        Ok(_) => Err(failed(io::Error::new(io::ErrorKind::NotFound, "it was deleted meanwhile"))),
        Err(cause) => Err(failed(cause)),
    }
}

/// Device and inode of the repository's directory; refuses to ingest it or a directory in it.
fn own_directory(options: &DirectoryOptions, root: &Captured) -> Result<Option<Identity>> {
    let Some(own) = &options.repository_directory else { return Ok(None) };
    let resolve = |path: &Path| path.canonicalize().map_err(Error::io("resolve", path));
    let inside = resolve(&options.path)?.starts_with(resolve(own)?);
    let fd = rustix::fs::open(own, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| Error::io("open the directory", own)(cause.into()))?;
    let captured = stat_fd(fd.as_fd()).map_err(Error::io("look at", own))?;
    // A bind mount of it has another path.
    if inside || captured.identity() == root.identity() {
        let value = options.path.display().to_string();
        return Err(Error::invalid("directory", value, "it lies in the repository itself"));
    }
    Ok(Some(captured.identity()))
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

/// Three kinds of threads: one walks, several capture entries, this one builds the tree.
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
    let reading = &Reading {
        session,
        monitor: watch,
        clock,
        owners: &owners,
        shared: SharedReads::default(),
        relatives: Relatives::new(repository.chunks()?, &repository.catalog(), &options.common.source),
        reread: options.reread,
    };
    let tree = repository.tree()?;
    let previous = parent
        .as_ref()
        .and_then(|it| it.manifest.root.directory().map(|root| Previous::new(tree, root, it.manifest.witnesses)));
    let threads = options.threads.max(1);
    let built = std::thread::scope(|scope| {
        let (coming_sender, coming) = bounded(STRETCHES_UNDER_WAY);
        let (waiting_sender, waiting) = bounded(STRETCHES_WAITING);
        let queue = EncodeQueue::start(scope, session.chunks(), threads);
        for _ in 0..threads {
            let (waiting, back) = (waiting.clone(), waiting_sender.clone());
            let queue = queue.clone();
            scope.spawn(move || capture_all(&waiting, &back, reading, watch, queue));
        }
        // Those that help with long files go home when nobody captures any more.
        drop(queue);
        drop(waiting);
        let steps = StretchWriter::new(waiting_sender.clone(), threads, coming_sender);
        scope.spawn(move || {
            // Whoever abandons the walk knows why.
            let _ = Walk::new(boundaries, watch, steps).run(root, captured, previous);
        });
        let built = TreeBuilder::new(reading).build(&coming);
        drop(coming);
        // Threads that are gone already need not be sent home.
        (0..threads).for_each(|_| drop(waiting_sender.send(None)));
        built.map_err(|error| watch.fail(error))
    });
    built.map_err(|error| watch.failure().unwrap_or(error))
}

fn manifest(
    options: &DirectoryOptions,
    tree: BuiltTree,
    parent: Option<crate::id::SnapshotId>,
    (started, finished): (Timestamp, Timestamp),
    watch: &IngestWatch,
    monitor: &dyn Monitor,
) -> Manifest {
    let (problems, problem_list) = watch.problems();
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
        // The session knows once all is written.
        bytes_stored: 0,
        problems,
        problem_list,
        tags: options.common.tags.clone(),
        facts: Default::default(),
    }
}
