//! The kernel's requests, translated: each is one call of [`View`] and one reply. What the calls mean is decided there.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::attributes::{file_attr, file_type, negative_entry};
use super::completion::Completion;
use super::decode_pool::{DecodePool, ReadJob};
use super::push::{PushedFiles, ReadWatch};
use super::requests::{REQUESTS_ATTRIBUTE, Request as RequestKind, Requests};
use super::{ReaddirPlus, errno};
use crate::view::{Attributes, EntryKind, Lookup, Seek, View};

/// How long the kernel may keep what can never change: ten years.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long it may keep what leads to the snapshots. Without, every absolute path costs two requests for each of its
/// directories above the snapshot (20,000 files by `ls -lR`: 4.5 s instead of 0.2 s). With the interval of the refresh
/// it stays below the second within which a new snapshot shall be seen.
const BRIEFLY: Duration = Duration::from_millis(400);

/// Asynchronous requests (readahead) that the kernel may have under way.
const MAX_BACKGROUND: u16 = 64;

/// Bytes of the largest request. The kernel derives from it how much it reads at once, although nothing is written.
const MAX_REQUEST_BYTES: u32 = 1 << 20;

/// What statfs counts space in.
const STATFS_BLOCK_BYTES: u32 = 4096;
const NAME_MAX_BYTES: u32 = 255;

/// The attributes by which the kernel checks access beyond the mode bits.
const ACL_XATTRS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// What [`fuser`] calls for each request, on several threads at once.
pub(super) struct KernelEdge {
    pub view: Arc<View>,
    pub pool: DecodePool,
    pub completion: Completion,
    /// Sees who reads small files one after the other; without, nothing is pushed.
    pub watch: Option<ReadWatch>,
    pub requests: Requests,
    pub pushed: PushedFiles,
    pub readdirplus: ReaddirPlus,
    /// Answer the first open with ENOSYS: the kernel opens files by itself from then on, and keeps their pages.
    pub opens_by_kernel: bool,
    /// The same for directories, whose listings it keeps until their time of change is another. Found out at the start.
    pub opens_directories_by_kernel: bool,
    /// Let the kernel enforce ACLs. It then asks for them once per file, which takes a round trip.
    pub enforce_acls: bool,
}

impl KernelEdge {
    /// Sends an attribute's value or a list of names as getxattr and listxattr want them: only the length where
    /// `size` is 0, ERANGE where it is too small.
    fn send_xattr(bytes: &[u8], size: u32, reply: ReplyXattr) {
        match u32::try_from(bytes.len()) {
            Ok(length) if size == 0 => reply.size(length),
            Ok(length) if length <= size => reply.data(bytes),
            _ => reply.error(Errno::ERANGE),
        }
    }

    /// What was asked since the mount began, and what it took.
    fn counts(&self) -> String {
        let reads = self.view.repository().chunks().map(|chunks| chunks.read_counts()).unwrap_or_default();
        format!(
            "{} pushed={} calls={} records={} decoded={} lookups={}",
            self.requests.text(),
            self.pushed.count(),
            reads.calls,
            reads.records,
            reads.decoded,
            reads.lookups
        )
    }

    /// What to answer for an attribute that is not there. EOPNOTSUPP makes `ls` and others stop asking about every
    /// file. The kernel itself would take it for a failed access check, so it hears ENODATA about ACLs.
    fn no_xattr(&self, ino: u64, name: &[u8]) -> Errno {
        let kernel_asks = self.enforce_acls && ACL_XATTRS.contains(&name);
        if kernel_asks || self.view.xattrs_supported(ino) { Errno::ENODATA } else { Errno::EOPNOTSUPP }
    }
}

/// How long the kernel may keep an entry and its attributes without asking again.
pub(super) fn time_to_live(attributes: &Attributes) -> Duration {
    match attributes.kind {
        _ if attributes.lasting => FOR_EVER,
        // Its size becomes known when it is read; the kernel is to ask before it believes that it is empty.
        EntryKind::File => Duration::ZERO,
        _ => BRIEFLY,
    }
}

impl fuser::Filesystem for KernelEdge {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            // The kernel keeps a target as long as the inode. Right for `latest` too: when it leads elsewhere, the view
            // gives it another inode number.
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
            InitFlags::FUSE_EXPORT_SUPPORT,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
        ];
        if self.readdirplus == ReaddirPlus::Auto {
            wanted.push(InitFlags::FUSE_READDIRPLUS_AUTO);
        }
        if self.enforce_acls {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for capability in wanted {
            // An older kernel has less; everything works without.
            if let Err(missing) = config.add_capabilities(capability) {
                log::debug!("the kernel has no {missing:?}");
            }
        }
        self.opens_directories_by_kernel = config.add_capabilities(InitFlags::FUSE_NO_OPENDIR_SUPPORT).is_ok();
        let limits = [
            config.set_max_background(MAX_BACKGROUND).map(u32::from).map_err(u32::from),
            config.set_congestion_threshold(MAX_BACKGROUND).map(u32::from).map_err(u32::from),
            config.set_max_write(MAX_REQUEST_BYTES),
        ];
        for nearest in limits.into_iter().filter_map(std::result::Result::err) {
            log::debug!("a limit stays as it is; the nearest possible is {nearest}");
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.requests.count(RequestKind::Lookup);
        let found = match name.as_bytes() {
            // NFS and open_by_handle_at ask so, to find an inode again by its number.
            b"." => self.view.attributes(parent.0).map(Lookup::Found),
            name => self.view.lookup(parent.0, name),
        };
        match found {
            Ok(Lookup::Found(attributes)) => {
                reply.entry(&time_to_live(&attributes), &file_attr(&attributes), Generation(0));
            }
            Ok(Lookup::Absent { lasting: true }) => reply.entry(&FOR_EVER, &negative_entry(), Generation(0)),
            Ok(Lookup::Absent { lasting: false }) => reply.error(Errno::ENOENT),
            Err(error) => reply.error(errno::of(&error, "lookup in the directory", parent.0)),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        self.requests.count(RequestKind::Getattr);
        // Only a reader asks so, and lseek to the end.
        if handle.is_some() && self.view.is_incomplete(ino.0) {
            return self.completion.complete(ino.0, reply);
        }
        match self.view.attributes(ino.0) {
            Ok(attributes) => reply.attr(&time_to_live(&attributes), &file_attr(&attributes)),
            Err(error) => reply.error(errno::of(&error, "stat", ino.0)),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        self.requests.count(RequestKind::Readlink);
        match self.view.read_link(ino.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno::of(&error, "readlink", ino.0)),
        }
    }

    fn open(&self, _request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.requests.count(RequestKind::Open);
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        if self.opens_by_kernel {
            return reply.error(Errno::ENOSYS);
        }
        match self.view.attributes(ino.0) {
            Ok(found) if found.lasting => {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
            }
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_NOFLUSH),
            Err(error) => reply.error(errno::of(&error, "open", ino.0)),
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.requests.count(RequestKind::Read);
        let Ok(length) = usize::try_from(size) else { return reply.error(Errno::EINVAL) };
        self.pool.read(ReadJob { ino: ino.0, offset, length, reply });
        if let Some(watch) = &self.watch {
            watch.note_read(ino.0, offset);
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Heard once, the kernel never asks again at a close.
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.requests.count(RequestKind::Opendir);
        if self.opens_directories_by_kernel {
            return reply.error(Errno::ENOSYS);
        }
        match self.view.attributes(ino.0) {
            Ok(found) if found.lasting => {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
            }
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(errno::of(&error, "open the directory", ino.0)),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.requests.count(RequestKind::Readdir);
        let listed = self.view.list(ino.0, offset, &mut |entry| {
            let attributes = &entry.attributes;
            !reply.add(INodeNo(attributes.ino), entry.next, file_type(attributes.kind), OsStr::from_bytes(&entry.name))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno::of(&error, "list the directory", ino.0)),
        }
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        self.requests.count(RequestKind::Readdir);
        let listed = self.view.list(ino.0, offset, &mut |entry| {
            let attributes = &entry.attributes;
            let name = OsStr::from_bytes(&entry.name);
            let keep = time_to_live(attributes);
            let number = INodeNo(attributes.ino);
            !reply.add(number, entry.next, name, &keep, &file_attr(attributes), Generation(0))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno::of(&error, "list the directory", ino.0)),
        }
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match self.view.statistics() {
            Ok(found) => {
                const BLOCK: u64 = STATFS_BLOCK_BYTES as u64;
                let free = found.available_bytes / BLOCK;
                let blocks = (found.used_bytes.div_ceil(BLOCK) + free).max(found.total_bytes / BLOCK);
                // Files that are not free count as used: with none free, "df -i" would show a full filesystem.
                let free_files = found.available_files;
                let files = found.used_files.saturating_add(free_files);
                let (block, name) = (STATFS_BLOCK_BYTES, NAME_MAX_BYTES);
                reply.statfs(blocks, free, free, files, free_files, block, name, block);
            }
            Err(error) => reply.error(errno::of(&error, "statfs", ino.0)),
        }
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.requests.count(RequestKind::Getxattr);
        if ino == INodeNo::ROOT && name.as_bytes() == REQUESTS_ATTRIBUTE {
            return KernelEdge::send_xattr(self.counts().as_bytes(), size, reply);
        }
        match self.view.xattr(ino.0, name.as_bytes()) {
            Ok(Some(value)) => KernelEdge::send_xattr(&value, size, reply),
            Ok(None) => reply.error(self.no_xattr(ino.0, name.as_bytes())),
            Err(error) => reply.error(errno::of(&error, "getxattr", ino.0)),
        }
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.requests.count(RequestKind::Listxattr);
        if !self.view.xattrs_supported(ino.0) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        match self.view.xattr_names(ino.0) {
            Ok(names) => {
                let terminated: Vec<u8> = names.into_iter().flat_map(|name| [name, vec![0]].concat()).collect();
                KernelEdge::send_xattr(&terminated, size, reply);
            }
            Err(error) => reply.error(errno::of(&error, "listxattr", ino.0)),
        }
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        self.requests.count(RequestKind::Lseek);
        let whence = match whence {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            // The kernel does the others by itself.
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(start) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        match self.view.seek(ino.0, start, whence).map(|found| found.and_then(|found| i64::try_from(found).ok())) {
            Ok(Some(found)) => reply.offset(found),
            Ok(None) => reply.error(Errno::ENXIO),
            Err(error) => reply.error(errno::of(&error, "seek", ino.0)),
        }
    }

    // Everything below is refused. The mount is read-only, so the kernel refuses most of it before we are asked.

    fn setattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _mode: u32, _umask: u32, _device: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _target: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _new_parent: INodeNo,
        _new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _new_parent: INodeNo, _new_name: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _offset: u64,
        _data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn create(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _mode: i32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _ino_in: INodeNo,
        _handle_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _handle_out: FileHandle,
        _offset_out: u64,
        _length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    // The rest is not supported; fuser's own answers to it would log a warning each time.

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }
}
