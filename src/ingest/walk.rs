//! The walk over a live directory in tree order, beside the previous snapshot of it. One thread lists; entries are
//! captured by others.

use std::ffi::OsStr;
use std::iter::Peekable;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::id::RepositoryId;
use crate::ingest::exclude::Excludes;
use crate::ingest::file::{FileJob, Found};
use crate::ingest::listing::{Kind, NameReader, Names};
use crate::ingest::stretch::{Abandoned, EnteredDirectory, Step, StretchWriter};
use crate::progress::Monitor;
use crate::repository::metadata::{
    Captured, FileType, Identity, OPEN_LEVELS_MAX, open_again, open_directory_at, read_xattrs_fd, stat_at, stat_fd,
};
use crate::repository::node::{DirectoryRoot, RootPage};
use crate::repository::tree::{Entries, Entry, OlderDirectory, TreeReader, Witness, Witnesses};

/// What the walk passes over.
pub(super) struct Boundaries {
    pub excludes: Excludes,
    pub one_file_system: bool,
    /// The repository's directory: a repository does not swallow itself.
    pub own_directory: Option<Identity>,
    /// Its id, by which a mount of it is recognised.
    pub repository: RepositoryId,
}

/// The attribute by which the root of a mount tells whose it is.
const MOUNT_ATTRIBUTE: &str = "user.yesterfs.repository";

/// Walks one directory.
pub(super) struct Walk<'a> {
    boundaries: Boundaries,
    monitor: &'a dyn Monitor,
    steps: StretchWriter,
    names: NameReader,
    /// The directories that the walk is in.
    stack: Vec<Frame<'a>>,
    /// Of the last of them, below the ingested one.
    path: Vec<u8>,
}

struct Frame<'a> {
    /// `None` while the walk is far below.
    fd: Option<Arc<OwnedFd>>,
    identity: Identity,
    path_length: usize,
    /// Still to visit.
    names: Names,
    previous: Option<Previous<'a>>,
}

impl<'a> Walk<'a> {
    pub fn new(boundaries: Boundaries, monitor: &'a dyn Monitor, steps: StretchWriter) -> Walk<'a> {
        Walk { boundaries, monitor, steps, names: NameReader::new(), stack: Vec::new(), path: Vec::new() }
    }

    /// Walks the directory that `root` is open on.
    pub fn run(mut self, root: OwnedFd, captured: Captured, previous: Option<Previous<'a>>) -> Result<(), Abandoned> {
        self.enter(Vec::new(), root, captured, previous)?;
        while let Some(frame) = self.stack.last_mut() {
            if self.monitor.is_cancelled() {
                return Err(Abandoned);
            }
            let (Some((name, kind)), Some(directory)) = (frame.names.pop(), &frame.fd) else {
                self.leave()?;
                continue;
            };
            let before = frame.previous.as_mut().and_then(|previous| previous.take(&name, self.monitor));
            if kind == Kind::Directory {
                self.visit(name, before)?;
            } else {
                let previous =
                    before.map(|(Entry { node, .. }, witness)| Box::new(Found { node, witness, linked: None }));
                let job = FileJob { directory: directory.clone(), name, is_file: kind == Kind::File, previous };
                self.steps.push(Step::Entry(job))?;
            }
        }
        self.steps.flush()
    }

    fn problem(&mut self, name: Vec<u8>, reason: String) -> Result<(), Abandoned> {
        self.steps.push(Step::Problem { name, reason })
    }

    /// Opens a subdirectory and goes into it.
    fn visit(&mut self, name: Vec<u8>, before: Option<(Entry, Witness)>) -> Result<(), Abandoned> {
        let Some(Frame { fd: Some(parent), identity: (parent_device, _), previous, .. }) = self.stack.last() else {
            return Ok(());
        };
        let opened = open_directory_at(parent.as_fd(), OsStr::from_bytes(&name))
            .and_then(|fd| stat_fd(fd.as_fd()).map(|captured| (fd, captured)));
        let (fd, captured) = match opened {
            Ok(opened) => opened,
            // It vanished after its directory was listed.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return self.problem(name, format!("cannot open the directory: {cause}")),
        };
        let is_other_filesystem = captured.device != *parent_device;
        if self.boundaries.is_own(&fd, &captured, is_other_filesystem) {
            extend_path(&mut self.path, &name);
            let path = OsStr::from_bytes(&self.path).display();
            self.monitor.note(&format!("passing over \"{path}\": it belongs to this repository"));
            self.path.truncate(self.stack.last().map_or(0, |frame| frame.path_length));
            return Ok(());
        }
        if is_other_filesystem && self.boundaries.one_file_system {
            // The mount point itself stays, empty, as it will be wanted again.
            self.announce(name, &fd, captured, OlderDirectory::default())?;
            return self.steps.push(Step::Leave);
        }
        let previous = match (before, previous) {
            (Some((Entry { node, .. }, Witness::Below(witnesses))), Some(previous)) => {
                node.directory().map(|root| Previous::new(previous.tree, root, witnesses))
            }
            _ => None,
        };
        self.enter(name, fd, captured, previous)
    }

    /// Tells of a directory.
    fn announce(
        &mut self,
        name: Vec<u8>,
        fd: &OwnedFd,
        captured: Captured,
        older: OlderDirectory,
    ) -> Result<(), Abandoned> {
        let (xattrs, failure) = match read_xattrs_fd(fd.as_fd()) {
            Ok(xattrs) => (xattrs, None),
            Err(cause) => (Vec::new(), Some(cause)),
        };
        self.steps.push(Step::Enter(Box::new(EnteredDirectory { name, captured, xattrs, older })))?;
        match failure {
            None => Ok(()),
            Some(cause) => self.problem(Vec::new(), format!("cannot read its attributes: {cause}")),
        }
    }

    fn enter(
        &mut self,
        name: Vec<u8>,
        fd: OwnedFd,
        captured: Captured,
        previous: Option<Previous<'a>>,
    ) -> Result<(), Abandoned> {
        extend_path(&mut self.path, &name);
        let older = previous.as_ref().map_or_else(OlderDirectory::default, |previous| previous.older);
        self.announce(name, &fd, captured, older)?;
        let path_length = self.path.len();
        let (names, failure) = self.names.read(fd.as_fd(), |name, kind| {
            if *kind == Kind::Unknown {
                let captured = stat_at(fd.as_fd(), OsStr::from_bytes(name));
                let is_directory = captured.is_ok_and(|captured| captured.file_type == FileType::Directory);
                *kind = if is_directory { Kind::Directory } else { Kind::Other };
            }
            extend_path(&mut self.path, name);
            let path = Path::new(OsStr::from_bytes(&self.path));
            let is_excluded = self.boundaries.excludes.excludes(path, *kind == Kind::Directory);
            self.path.truncate(path_length);
            !is_excluded
        });
        if let Some(cause) = failure {
            self.problem(Vec::new(), format!("cannot list all of the directory: {cause}"))?;
        }
        let identity = captured.identity();
        self.stack.push(Frame { fd: Some(Arc::new(fd)), identity, path_length, names, previous });
        // Not the ingested one: from there, what cannot be reached from below is found.
        match self.stack.len().checked_sub(OPEN_LEVELS_MAX) {
            None | Some(0) => {}
            Some(far_above) => self.stack[far_above].fd = None,
        }
        Ok(())
    }

    /// Goes back to the directory above, opening it again if it was closed.
    fn leave(&mut self) -> Result<(), Abandoned> {
        let below = self.stack.pop();
        self.steps.push(Step::Leave)?;
        let top = self.stack.first().and_then(|frame| frame.fd.clone());
        let (Some(top), Some(frame)) = (top, self.stack.last_mut()) else { return Ok(()) };
        self.path.truncate(frame.path_length);
        if frame.fd.is_some() {
            return Ok(());
        }
        let below = below.and_then(|below| below.fd);
        let below = below.as_ref().map(|fd| fd.as_fd());
        match open_again(frame.identity, below, top.as_fd(), &self.path) {
            Ok(fd) => frame.fd = Some(Arc::new(fd)),
            Err(cause) => {
                frame.names = Names::default();
                self.problem(Vec::new(), format!("cannot open the directory again, to read the rest: {cause}"))?;
            }
        }
        Ok(())
    }
}

impl Boundaries {
    /// Whether an open directory is the repository's own, or a mount of it.
    fn is_own(&self, fd: &OwnedFd, captured: &Captured, is_other_filesystem: bool) -> bool {
        self.own_directory == Some(captured.identity()) || is_other_filesystem && is_mount_of(fd, &self.repository)
    }
}

/// Puts a name behind a path.
pub(super) fn extend_path(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
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
    older: OlderDirectory,
}

impl<'a> Previous<'a> {
    pub fn new(tree: TreeReader<'a>, root: &DirectoryRoot, witnesses: Option<crate::id::ChunkId>) -> Previous<'a> {
        let older = OlderDirectory { entries: root.page.as_ref().and_then(RootPage::stored), witnesses };
        Previous { tree, entries: tree.entries(root).peekable(), witnesses: tree.witnesses(witnesses), older }
    }

    /// The previous entry of this name; names must be asked for in order. A previous snapshot that cannot be read costs
    /// only time: then everything is read again.
    fn take(&mut self, name: &[u8], monitor: &dyn Monitor) -> Option<(Entry, Witness)> {
        loop {
            match self.entries.peek()? {
                Ok(entry) if entry.name.as_slice() > name => return None,
                _ => {}
            }
            let entry = self.entries.next()?;
            let witness = self.witnesses.next().unwrap_or(Ok(Witness::None));
            match (entry, witness) {
                (Ok(entry), Ok(witness)) if entry.name == name => return Some((entry, witness)),
                (Ok(_), Ok(_)) => {}
                (Err(error), _) | (_, Err(error)) => {
                    monitor.note(&format!("cannot use the previous snapshot: {error}"));
                    return None;
                }
            }
        }
    }
}
