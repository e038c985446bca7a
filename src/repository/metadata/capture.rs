//! Reads the metadata of entries.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::repository::node::{DeviceNumber, NodeKind, Xattr};
use crate::time::Timestamp;

/// The attributes of one entry may take this many bytes in all, names and values; more is an error. Encoded they fit one
/// chunk.
pub const XATTRS_MAX_BYTES: usize = (1 << 20) - (64 << 10);

/// No single attribute value, and no list of names, is longer: the kernel's own limit.
const XATTR_READ_MAX_BYTES: usize = 64 << 10;

/// Directories on the way down that a walk holds open. Those further up are closed, and opened again ([`open_again`]) on
/// the way back: no tree is too deep for the number of files that a process may have open.
pub const OPEN_LEVELS_MAX: usize = 32;

/// Big enough for nearly every list and value at the first attempt.
const XATTR_READ_START_BYTES: usize = 512;

/// Device and inode: which entry of this machine it is, whatever its name.
pub type Identity = (u64, u64);

/// What stat tells of one entry, before its content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Permission bits with set-id and sticky: the low 12 bits of `st_mode`.
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub modified: Timestamp,
    /// `st_ctime`: the last change of content or metadata, which nobody can set.
    pub changed: Timestamp,
    pub inode: u64,
    pub device: u64,
    pub link_count: u32,
    /// Logical bytes, holes included.
    pub size: u64,
    /// Allocated units of 512 bytes.
    pub blocks: u64,
    pub file_type: FileType,
}

/// What an entry is, as the operating system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
}

impl FileType {
    /// The type of a stored entry.
    pub fn of(kind: &NodeKind) -> FileType {
        match kind {
            NodeKind::File { .. } => FileType::File,
            NodeKind::Directory(_) => FileType::Directory,
            NodeKind::Symlink { .. } => FileType::Symlink,
            NodeKind::Fifo => FileType::Fifo,
            NodeKind::Socket => FileType::Socket,
            NodeKind::CharacterDevice(device) => FileType::CharacterDevice(*device),
            NodeKind::BlockDevice(device) => FileType::BlockDevice(*device),
        }
    }
}

impl Captured {
    pub fn identity(&self) -> Identity {
        (self.device, self.inode)
    }

    fn from_stat(stat: &Stat) -> io::Result<Captured> {
        let device = DeviceNumber { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
        let file_type = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::RegularFile => FileType::File,
            rustix::fs::FileType::Directory => FileType::Directory,
            rustix::fs::FileType::Symlink => FileType::Symlink,
            rustix::fs::FileType::Fifo => FileType::Fifo,
            rustix::fs::FileType::Socket => FileType::Socket,
            rustix::fs::FileType::CharacterDevice => FileType::CharacterDevice(device),
            rustix::fs::FileType::BlockDevice => FileType::BlockDevice(device),
            rustix::fs::FileType::Unknown => return Err(io::Error::other("unknown file type")),
        };
        Ok(Captured {
            permissions: (stat.st_mode & 0o7777) as u16,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: timestamp(stat.st_mtime, stat.st_mtime_nsec)?,
            changed: timestamp(stat.st_ctime, stat.st_ctime_nsec)?,
            inode: stat.st_ino,
            device: stat.st_dev,
            link_count: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            size: u64::try_from(stat.st_size).map_err(|_| io::Error::other("negative size"))?,
            blocks: u64::try_from(stat.st_blocks).map_err(|_| io::Error::other("negative number of blocks"))?,
            file_type,
        })
    }
}

fn timestamp(seconds: i64, nanos: impl TryInto<u32>) -> io::Result<Timestamp> {
    match nanos.try_into() {
        Ok(nanos) if nanos < 1_000_000_000 => Ok(Timestamp { seconds, nanos }),
        _ => Err(io::Error::other("a time with more than 999,999,999 nanoseconds")),
    }
}

/// Metadata of `name` in `dir`; of a symlink itself, not of its target.
pub fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Captured> {
    Captured::from_stat(&rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?)
}

/// Metadata of what `fd` is open on.
pub fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Captured> {
    Captured::from_stat(&rustix::fs::fstat(fd)?)
}

/// Reads into all of `room` what stands at byte `at` of a file, and tells how much came: less only where the file ends.
pub fn read_full_at(fd: BorrowedFd, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < room.len() {
        match rustix::io::pread(fd, &mut room[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Opens the regular file `name` in `dir` for reading, without touching its access time where the system permits
/// that. Never blocks, not even on a fifo that took the file's place: the caller must look what it got ([`stat_fd`]).
/// A symlink fails with `ELOOP`.
pub fn open_file_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    open_quietly(dir, name, OFlags::NONBLOCK)
}

/// Opens the directory `name` in `dir` for reading, like [`open_file_at`]. What is no directory, also a symlink to
/// one, fails with `ENOTDIR`.
pub fn open_directory_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    open_quietly(dir, name, OFlags::DIRECTORY)
}

/// Opens the directory at `path` (names joined by `/`) below `top`, one name after the other.
pub fn open_beneath(top: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let mut here = open_directory_at(top, OsStr::new("."))?;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        here = open_directory_at(here.as_fd(), OsStr::from_bytes(name))?;
    }
    Ok(here)
}

/// Opens a directory again that a walk closed while it was far below: through `..` of `below`, an open directory in it,
/// or where that was moved away meanwhile, by its path below `top`. It is the very same directory, or an error.
pub fn open_again(
    identity: Identity,
    below: Option<BorrowedFd<'_>>,
    top: BorrowedFd<'_>,
    path: &[u8],
) -> io::Result<OwnedFd> {
    let is_same = |fd: &OwnedFd| stat_fd(fd.as_fd()).is_ok_and(|captured| captured.identity() == identity);
    let above = below.and_then(|below| open_directory_at(below, OsStr::new("..")).ok());
    if let Some(above) = above.filter(is_same) {
        return Ok(above);
    }
    let found = open_beneath(top, path)?;
    if is_same(&found) { Ok(found) } else { Err(io::Error::other("another directory took its place meanwhile")) }
}

fn open_quietly(dir: BorrowedFd<'_>, name: &OsStr, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    // Only the owner (or root) may ask for an unchanged access time.
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// The target of the symlink `name` in `dir`; `EINVAL` if it is none.
pub fn read_link_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Extended attributes of `name` in `dir`, sorted by name; of a symlink itself. POSIX ACLs and file capabilities are
/// among them. Empty where the filesystem has none. `trusted.*` that only root may read are left out; any other
/// unreadable one is an error. `name` must be a single name.
pub fn read_xattrs_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<Xattr>> {
    let mut path = descriptor_path(dir);
    path.push(name);
    read_xattrs(&XattrPlace::NoFollow(path))
}

/// Extended attributes of what `fd` is open on (not `O_PATH`), like [`read_xattrs_at`].
pub fn read_xattrs_fd(fd: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    read_xattrs(&XattrPlace::Descriptor(fd))
}

/// The path that leads to what `fd` is open on, whatever has been renamed since. It also serves `O_PATH` descriptors,
/// and then "following" it ends at the very entry, be it a symlink.
pub(super) fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    if fd.as_raw_fd() == CWD.as_fd().as_raw_fd() {
        return PathBuf::from("/proc/self/cwd");
    }
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Where attributes are read from: the system has one family of calls for each.
pub(super) enum XattrPlace<'a> {
    Descriptor(BorrowedFd<'a>),
    /// A path whose last component is not followed.
    NoFollow(PathBuf),
    /// The [`descriptor_path`] of an open entry.
    Pinned(PathBuf),
}

impl XattrPlace<'_> {
    fn list(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            XattrPlace::Descriptor(fd) => rustix::fs::flistxattr(fd, buffer),
            XattrPlace::NoFollow(path) => rustix::fs::llistxattr(path, buffer),
            XattrPlace::Pinned(path) => rustix::fs::listxattr(path, buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            XattrPlace::Descriptor(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            XattrPlace::NoFollow(path) => rustix::fs::lgetxattr(path, name, buffer),
            XattrPlace::Pinned(path) => rustix::fs::getxattr(path, name, buffer),
        }
    }
}

pub(super) fn read_xattrs(place: &XattrPlace<'_>) -> io::Result<Vec<Xattr>> {
    let names = match read_growing(|buffer| place.list(buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut list = Vec::new();
    let mut total_bytes = 0usize;
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let value = match read_growing(|buffer| place.get(name, buffer)) {
            Ok(value) => value,
            // Gone since it was listed.
            Err(Errno::NODATA) => continue,
            Err(Errno::PERM | Errno::ACCESS) if name.starts_with(b"trusted.") => continue,
            Err(errno) => return Err(naming_attribute(name, errno)),
        };
        total_bytes = total_bytes.saturating_add(name.len()).saturating_add(value.len());
        if total_bytes > XATTRS_MAX_BYTES {
            return Err(io::Error::other(format!("extended attributes take more than {XATTRS_MAX_BYTES} bytes")));
        }
        list.push(Xattr { name: name.to_vec(), value });
    }
    list.sort_unstable();
    Ok(list)
}

fn naming_attribute(name: &[u8], errno: Errno) -> io::Error {
    let cause = io::Error::from(errno);
    io::Error::new(cause.kind(), format!("extended attribute \"{}\": {cause}", OsStr::from_bytes(name).display()))
}

/// Calls `read` with larger and larger buffers until the answer fits: it may grow between two calls.
fn read_growing(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; XATTR_READ_START_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < XATTR_READ_MAX_BYTES => {
                let larger_bytes = (buffer.len() * 8).min(XATTR_READ_MAX_BYTES);
                buffer.resize(larger_bytes, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}
