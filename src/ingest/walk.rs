//! The walk over a live directory in tree order, beside the previous snapshot of it. One thread lists; files are
//! captured by others; what is found comes out as steps in order.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{Dir, FileType as EntryType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Result;
use crate::id::RepositoryId;
use crate::ingest::exclude::Excludes;
use crate::ingest::file::{FileJob, FileOutcome, name_bytes};
use crate::progress::{Monitor, Problem};
use crate::repository::metadata::{Captured, FileType, open_directory_at, read_xattrs_fd, stat_at, stat_fd};
use crate::repository::node::{Node, Xattr};
use crate::repository::tree::{Entries, Entry, TreeReader, Witness, Witnesses};

/// One step of the walk.
pub(super) enum Step {
    /// A directory begins; its entries follow, then [`Step::Leave`]. The ingested directory itself has an empty name.
    Enter {
        name: Vec<u8>,
        captured: Box<Captured>,
        xattrs: Vec<Xattr>,
    },
    /// An entry that somebody captures meanwhile.
    Entry {
        name: Vec<u8>,
        outcome: Receiver<Result<FileOutcome>>,
    },
    Leave,
}

/// An entry to capture, and where to leave the outcome.
pub(super) struct QueuedJob {
    pub job: FileJob,
    pub outcome: Sender<Result<FileOutcome>>,
}

/// What the walk passes over.
pub(super) struct Boundaries {
    pub excludes: Excludes,
    pub one_file_system: bool,
    /// Device and inode of the repository's directory: a repository does not swallow itself.
    pub own_directory: Option<(u64, u64)>,
    /// Its id, by which a mount of it is recognised.
    pub repository: RepositoryId,
}

/// The attribute by which the root of a mount tells whose it is.
const MOUNT_ATTRIBUTE: &str = "user.yesterfs.repository";

/// Walks one directory.
pub(super) struct Walk<'a> {
    pub boundaries: Boundaries,
    pub monitor: &'a dyn Monitor,
    pub steps: Sender<Step>,
    pub jobs: Sender<QueuedJob>,
}

/// A directory that the walk is in.
struct Frame<'a> {
    fd: Arc<OwnedFd>,
    path: Arc<Path>,
    device: u64,
    /// Names still to visit, in reverse order.
    names: Vec<(OsString, bool)>,
    previous: Option<Previous<'a>>,
}

/// The nobody-listens-any-more sign: whoever received the steps has failed and says why.
pub(super) struct Abandoned;

impl<'a> Walk<'a> {
    /// Walks the directory that `root` is open on.
    pub fn run(&self, root: OwnedFd, captured: Captured, previous: Option<Previous<'a>>) -> Result<(), Abandoned> {
        let mut stack = Vec::new();
        self.enter(OsStr::new(""), Arc::from(Path::new("")), root, captured, previous, &mut stack)?;
        while let Some(frame) = stack.last_mut() {
            if self.monitor.is_cancelled() {
                return Err(Abandoned);
            }
            match frame.names.pop() {
                None => {
                    self.send(Step::Leave)?;
                    stack.pop();
                }
                Some((name, false)) => {
                    let before = frame.previous.as_mut().and_then(|previous| previous.take(&name, self.monitor));
                    self.queue(frame, name, before.map(|(entry, witness)| (entry.node, witness)))?;
                }
                Some((name, true)) => {
                    let before = frame.previous.as_mut().and_then(|previous| previous.take(&name, self.monitor));
                    self.visit(&name, before, &mut stack)?;
                }
            }
        }
        Ok(())
    }

    fn send(&self, step: Step) -> Result<(), Abandoned> {
        self.steps.send(step).map_err(|_| Abandoned)
    }

    fn problem(&self, path: PathBuf, reason: String) {
        self.monitor.problem(Problem { path, reason });
    }

    fn queue(&self, frame: &Frame, name: OsString, previous: Option<(Node, Witness)>) -> Result<(), Abandoned> {
        let (sender, outcome) = bounded(1);
        let step = Step::Entry { name: name_bytes(&name).to_vec(), outcome };
        let (directory, directory_path) = (frame.fd.clone(), frame.path.clone());
        let job = FileJob { directory, directory_path, name, previous };
        self.jobs.send(QueuedJob { job, outcome: sender }).map_err(|_| Abandoned)?;
        self.send(step)
    }

    /// Opens a subdirectory and goes into it.
    fn visit(
        &self,
        name: &OsStr,
        before: Option<(Entry, Witness)>,
        stack: &mut Vec<Frame<'a>>,
    ) -> Result<(), Abandoned> {
        let Some(frame) = stack.last() else { return Ok(()) };
        let path: Arc<Path> = frame.path.join(name).into();
        let opened =
            open_directory_at(frame.fd.as_fd(), name).and_then(|fd| stat_fd(fd.as_fd()).map(|captured| (fd, captured)));
        let (fd, captured) = match opened {
            Ok(opened) => opened,
            // It vanished after its directory was listed.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => {
                self.problem(path.to_path_buf(), format!("cannot open the directory: {cause}"));
                return Ok(());
            }
        };
        if self.is_ours(&fd, &captured, frame.device) {
            self.monitor.note(&format!("passing over \"{}\": it belongs to this repository", path.display()));
            return Ok(());
        }
        let previous = match (before, &frame.previous) {
            (Some((Entry { node, .. }, Witness::Below(witnesses))), Some(previous)) => {
                node.directory().map(|root| Previous::new(previous.tree, root, witnesses))
            }
            _ => None,
        };
        if self.boundaries.one_file_system && captured.device != frame.device {
            // The mount point itself stays, empty, as it will be wanted again.
            let xattrs = self.directory_xattrs(&fd, &path);
            self.send(Step::Enter { name: name_bytes(name).to_vec(), captured: Box::new(captured), xattrs })?;
            return self.send(Step::Leave);
        }
        self.enter(name, path, fd, captured, previous, stack)
    }

    fn is_ours(&self, fd: &OwnedFd, captured: &Captured, parent_device: u64) -> bool {
        if self.boundaries.own_directory == Some((captured.device, captured.inode)) {
            return true;
        }
        captured.device != parent_device && is_mount_of(fd, &self.boundaries.repository)
    }

    fn directory_xattrs(&self, fd: &OwnedFd, path: &Path) -> Vec<Xattr> {
        read_xattrs_fd(fd.as_fd()).unwrap_or_else(|cause| {
            self.problem(path.to_path_buf(), format!("cannot read its attributes: {cause}"));
            Vec::new()
        })
    }

    fn enter(
        &self,
        name: &OsStr,
        path: Arc<Path>,
        fd: OwnedFd,
        captured: Captured,
        previous: Option<Previous<'a>>,
        stack: &mut Vec<Frame<'a>>,
    ) -> Result<(), Abandoned> {
        let xattrs = self.directory_xattrs(&fd, &path);
        let mut names = self.list(&fd, &path);
        names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        // A listing may tell a name twice that was taken by another entry meanwhile.
        names.dedup_by(|a, b| a.0 == b.0);
        self.send(Step::Enter { name: name_bytes(name).to_vec(), captured: Box::new(captured), xattrs })?;
        stack.push(Frame { fd: Arc::new(fd), path, device: captured.device, names, previous });
        Ok(())
    }

    /// The names in a directory that are not excluded, each with whether it is a directory.
    fn list(&self, fd: &OwnedFd, path: &Path) -> Vec<(OsString, bool)> {
        let mut names = Vec::new();
        let entries = match Dir::read_from(fd) {
            Ok(entries) => entries,
            Err(cause) => {
                self.problem(path.to_path_buf(), format!("cannot list the directory: {cause}"));
                return names;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                // It was removed after it was opened, which only an empty one can be.
                Err(Errno::NOENT) => break,
                Err(cause) => {
                    self.problem(path.to_path_buf(), format!("cannot list all of the directory: {cause}"));
                    break;
                }
            };
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name.as_bytes() == b"." || name.as_bytes() == b".." {
                continue;
            }
            let is_directory = match entry.file_type() {
                EntryType::Directory => true,
                // Some filesystems do not tell in a listing.
                EntryType::Unknown => {
                    stat_at(fd.as_fd(), &name).is_ok_and(|captured| captured.file_type == FileType::Directory)
                }
                _ => false,
            };
            if !self.boundaries.excludes.excludes(&path.join(&name), is_directory) {
                names.push((name, is_directory));
            }
        }
        names
    }
}

/// Whether this directory is the root of a mount of the repository.
fn is_mount_of(fd: &OwnedFd, repository: &RepositoryId) -> bool {
    let mut value = [0u8; 64];
    rustix::fs::fgetxattr(fd, MOUNT_ATTRIBUTE, &mut value[..])
        .is_ok_and(|length| value.get(..length) == Some(repository.to_string().as_bytes()))
}

/// Whether this directory lies in a mount of the repository, at any depth.
pub(super) fn is_in_mount_of(
    directory: &OwnedFd,
    captured: &Captured,
    repository: &RepositoryId,
) -> std::io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mut inode = captured.inode;
    loop {
        if is_mount_of(&here, repository) {
            return Ok(true);
        }
        let Ok(above) = rustix::fs::openat(&here, "..", flags, Mode::empty()) else { return Ok(false) };
        let there = stat_fd(above.as_fd())?;
        // Another filesystem begins, or `/` is its own parent.
        if there.device != captured.device || there.inode == inode {
            return Ok(false);
        }
        (here, inode) = (above, there.inode);
    }
}

/// A directory of the previous snapshot, walked in step with the live one.
pub(super) struct Previous<'a> {
    tree: TreeReader<'a>,
    entries: Peekable<Entries<'a>>,
    witnesses: Witnesses<'a>,
}

impl<'a> Previous<'a> {
    pub fn new(
        tree: TreeReader<'a>,
        root: &crate::repository::node::DirectoryRoot,
        witnesses: Option<crate::id::ChunkId>,
    ) -> Previous<'a> {
        Previous { tree, entries: tree.entries(root).peekable(), witnesses: tree.witnesses(witnesses) }
    }

    /// The previous entry of this name; names must be asked for in order. A previous snapshot that cannot be read costs
    /// only time: then everything is read again.
    fn take(&mut self, name: &OsStr, monitor: &dyn Monitor) -> Option<(Entry, Witness)> {
        loop {
            match self.entries.peek()? {
                Ok(entry) if entry.name.as_slice() > name.as_bytes() => return None,
                _ => {}
            }
            let entry = self.entries.next()?;
            let witness = self.witnesses.next().unwrap_or(Ok(Witness::None));
            match (entry, witness) {
                (Ok(entry), Ok(witness)) if entry.name == name.as_bytes() => return Some((entry, witness)),
                (Ok(_), Ok(_)) => {}
                (Err(error), _) | (_, Err(error)) => {
                    monitor.note(&format!("cannot use the previous snapshot: {error}"));
                    return None;
                }
            }
        }
    }
}
