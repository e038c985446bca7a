//! The target: directories held open, looks at single names in them, temporary names, and renaming into place. Nothing
//! here follows a symlink, except that the user may have named the target by one.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode as Permissions, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::repository::metadata::{Captured, FileType, Identity, open_directory_at, stat_at, stat_fd};
use crate::repository::node::{Node, Xattrs};
use crate::restore::{Mode, Run};

const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Of a file that is not whole.
pub(super) const OWNER_ONLY: Permissions = Permissions::RUSR.union(Permissions::WUSR);

/// Rights that are needed to work in a directory.
const OWNER_ALL: u16 = 0o700;

/// The identities of those of these directories that exist.
pub(super) fn identities(paths: &[PathBuf]) -> Result<Vec<Identity>> {
    let mut found = Vec::new();
    for path in paths {
        match rustix::fs::open(path, DIRECTORY_FLAGS | OFlags::PATH, Permissions::empty()) {
            Ok(fd) => found.push(stat_fd(fd.as_fd()).map_err(Error::io("look at", path))?.identity()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::io("open", path)(errno.into())),
        }
    }
    Ok(found)
}

/// The directory that receives everything.
pub(super) struct Target {
    pub fd: OwnedFd,
    /// As it was before anything was done.
    pub found: Captured,
}

/// A directory of the target that is being restored.
pub(super) struct Directory {
    /// Relative to the target.
    pub path: Vec<u8>,
    /// What its metadata will be; `None` where it stays as it is.
    pub node: Option<Node>,
    pub identity: Option<Identity>,
    /// This pass made it: nothing was in it before.
    pub is_new: bool,
}

/// A directory and a descriptor of it. Whoever lets go of the last one gives the directory its metadata: that must
/// come after everything in it was made.
#[derive(Clone)]
pub(super) struct Place {
    pub directory: Arc<Directory>,
    /// `None` where the directory does not exist because nothing is changed in this pass.
    pub fd: Option<Arc<OwnedFd>>,
}

impl Place {
    pub fn new(directory: Directory, fd: Option<OwnedFd>) -> Place {
        Place { directory: Arc::new(directory), fd: fd.map(Arc::new) }
    }

    /// What is there under a name; `None` for nothing.
    pub fn look(&self, run: &Run<'_>, name: &OsStr, path: &[u8]) -> Result<Option<Captured>> {
        match &self.fd {
            None => Ok(None),
            Some(fd) => run.look(fd.as_fd(), name, path),
        }
    }

    /// The descriptor, in a pass that makes its directories.
    pub fn open_fd(&self, run: &Run<'_>) -> Result<BorrowedFd<'_>> {
        let missing = || Error::io("open", run.tally.full_path(&self.directory.path))(Errno::NOENT.into());
        self.fd.as_deref().map(OwnedFd::as_fd).ok_or_else(missing)
    }

    /// Lets go of the directory, and finishes it if nobody else holds it.
    pub fn release(self, run: &Run<'_>) {
        let Place { directory, fd } = self;
        if let (Some(directory), Some(fd)) = (Arc::into_inner(directory), fd) {
            run.finish_directory(&directory, fd.as_fd());
        }
    }
}

/// Makes names that nothing else has.
pub(super) struct TemporaryNames {
    prefix: WriterId,
    next: AtomicU64,
}

impl TemporaryNames {
    pub fn new() -> Result<TemporaryNames> {
        Ok(TemporaryNames { prefix: WriterId::random()?, next: AtomicU64::new(0) })
    }

    fn name(&self) -> OsString {
        format!(".yesterfs-{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed)).into()
    }
}

/// An entry that is not whole yet; dropped before it is settled, it goes away.
pub(super) struct Temporary<'d> {
    pub dir: BorrowedFd<'d>,
    pub name: OsString,
    settled: bool,
}

impl<'d> Temporary<'d> {
    pub fn new(names: &TemporaryNames, dir: BorrowedFd<'d>) -> Temporary<'d> {
        Temporary { dir, name: names.name(), settled: false }
    }

    /// One that has its own name already.
    pub fn named(name: &OsStr, dir: BorrowedFd<'d>) -> Temporary<'d> {
        Temporary { dir, name: name.into(), settled: false }
    }

    /// Leaves it as it is.
    pub fn keep(&mut self) {
        self.settled = true;
    }

    /// Gives it its name, in the place of whatever but a directory is there.
    pub fn settle(&mut self, name: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(self.dir, &self.name, self.dir, name)?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.settled {
            // It may never have been made; and if it cannot be removed, nothing more can be done.
            let _ = rustix::fs::unlinkat(self.dir, &self.name, AtFlags::empty());
        }
    }
}

impl Run<'_> {
    /// The target's directory; `None` where it is missing and nothing is to be made.
    pub(super) fn open_target(&self) -> Result<Option<Target>> {
        let to = &self.options.to;
        let find = || rustix::fs::open(to, DIRECTORY_FLAGS | OFlags::PATH, Permissions::empty());
        let found = match find() {
            Err(Errno::NOENT) if self.mode == Mode::Plan => return self.refuse_protected_parent(to).map(|()| None),
            Err(Errno::NOENT) => {
                self.refuse_protected_parent(to)?;
                fs::create_dir_all(to).map_err(Error::io("create the directory", to))?;
                find()
            }
            found => found,
        };
        let failed = |errno: Errno| Error::io("open the directory", to)(errno.into());
        let found = found.map_err(failed)?;
        self.refuse_protected(found.as_fd())?;
        let captured = stat_fd(found.as_fd()).map_err(Error::io("look at", to))?;
        self.lift_permissions(found.as_fd(), &captured);
        let fd = rustix::fs::openat(&found, ".", DIRECTORY_FLAGS, Permissions::empty()).map_err(failed)?;
        Ok(Some(Target { fd, found: captured }))
    }

    /// The same check for a target that is not there yet: by the nearest directory above it that is.
    fn refuse_protected_parent(&self, to: &Path) -> Result<()> {
        let to = std::path::absolute(to).map_err(Error::io("resolve", to))?;
        for above in to.ancestors().skip(1) {
            match rustix::fs::open(above, DIRECTORY_FLAGS | OFlags::PATH, Permissions::empty()) {
                Ok(fd) => return self.refuse_protected(fd.as_fd()),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::io("open the directory", above)(errno.into())),
            }
        }
        Ok(())
    }

    /// Refuses a target in a protected directory: goes up from it to the root.
    fn refuse_protected(&self, target: BorrowedFd<'_>) -> Result<()> {
        let to = &self.options.to;
        let failed = |errno: Errno| Error::io("look above", to)(errno.into());
        let mut here =
            rustix::fs::openat(target, ".", DIRECTORY_FLAGS | OFlags::PATH, Permissions::empty()).map_err(failed)?;
        let mut here_is = stat_fd(here.as_fd()).map_err(Error::io("look at", to))?.identity();
        loop {
            if self.protected.contains(&here_is) {
                return Err(Error::invalid("target", to.display().to_string(), "it lies in the repository"));
            }
            here = match rustix::fs::openat(&here, "..", DIRECTORY_FLAGS | OFlags::PATH, Permissions::empty()) {
                Ok(above) => above,
                // Whoever may not look there has no repository there either.
                Err(Errno::ACCESS) => return Ok(()),
                Err(errno) => return Err(failed(errno)),
            };
            let above_is = stat_fd(here.as_fd()).map_err(Error::io("look at", to))?.identity();
            if above_is == here_is {
                return Ok(());
            }
            here_is = above_is;
        }
    }

    pub(super) fn look(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<Option<Captured>> {
        match stat_at(dir, name) {
            Ok(captured) => Ok(Some(captured)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", self.tally.full_path(path))(error)),
        }
    }

    /// Opens a directory that was there before, and where this pass works in it, sees that its owner may.
    pub(super) fn open_existing(&self, dir: BorrowedFd<'_>, name: &OsStr, captured: &Captured) -> io::Result<OwnedFd> {
        // By a descriptor, so that it cannot hit another entry.
        let flags = DIRECTORY_FLAGS | OFlags::PATH | OFlags::NOFOLLOW;
        let found = rustix::fs::openat(dir, name, flags, Permissions::empty())?;
        self.lift_permissions(found.as_fd(), captured);
        open_directory_at(dir, name)
    }

    /// Adds the owner's rights to a directory, where they are needed. What is not ours stays closed; opening it says so.
    fn lift_permissions(&self, found: BorrowedFd<'_>, captured: &Captured) {
        let usable = self.apply.as_root || captured.permissions & OWNER_ALL == OWNER_ALL;
        if self.mode == Mode::Write && !usable {
            let path = format!("/proc/self/fd/{}", found.as_raw_fd());
            let lifted = Permissions::from_raw_mode(u32::from(captured.permissions | OWNER_ALL));
            let _ = rustix::fs::chmodat(CWD, path, lifted, AtFlags::empty());
        }
    }

    /// Makes a directory, closed to others until its metadata is set.
    pub(super) fn make_directory(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        rustix::fs::mkdirat(dir, name, Permissions::RWXU)?;
        open_directory_at(dir, name)
    }
}

/// True for a directory that has an entry; also where that cannot be found out.
pub(super) fn has_entries(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let Ok(listing) = open_directory_at(dir, name).and_then(|fd| Ok(rustix::fs::Dir::new(fd)?)) else { return true };
    let mut names = listing.map(|entry| entry.map(|entry| entry.file_name().to_bytes().to_vec()));
    names.any(|name| name.map_or(true, |name| name != b"." && name != b".."))
}

/// The permissions to make a file with: its own where they let nobody at it who will not be let in the end, whatever its
/// owner and group are at first; then they need not be set. Else only its owner's.
pub(super) fn first_permissions(node: &Node) -> Permissions {
    let (owner, group, others) = (node.permissions & 0o700, (node.permissions >> 3) & 0o7, node.permissions & 0o7);
    let is_open_alike = matches!(node.xattrs, Xattrs::None) && owner & 0o600 == 0o600 && group == others;
    if is_open_alike { Permissions::from_raw_mode((node.permissions & 0o777).into()) } else { OWNER_ONLY }
}

/// The letter that `find -type` uses.
pub(super) fn letter(file_type: FileType) -> u8 {
    match file_type {
        FileType::File => b'f',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        FileType::Fifo => b'p',
        FileType::Socket => b's',
        FileType::CharacterDevice(_) => b'c',
        FileType::BlockDevice(_) => b'b',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::node::Xattr;
    use crate::repository::node::tests::empty_directory;

    #[test]
    fn a_file_is_made_open_only_to_who_will_have_access_whoever_owns_it() {
        let made_with = |permissions, xattrs| {
            let node = Node { permissions, xattrs, ..empty_directory() };
            first_permissions(&node).as_raw_mode()
        };
        for (permissions, first) in
            [(0o644, 0o644), (0o600, 0o600), (0o4755, 0o755), (0o640, 0o600), (0o604, 0o600), (0o444, 0o600)]
        {
            assert_eq!(made_with(permissions, Xattrs::None), first, "{permissions:o}");
        }
        let acl = Xattr { name: b"system.posix_acl_access".to_vec(), value: Vec::new() };
        assert_eq!(made_with(0o644, Xattrs::Inline(vec![acl])), 0o600);
    }
}
