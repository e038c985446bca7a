//! Gives metadata back to entries.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use crate::repository::metadata::OwnerNames;
use crate::repository::metadata::capture::{Captured, FileType, XattrPlace, descriptor_path, read_xattrs, stat_fd};
use crate::repository::node::{Node, NodeKind, Xattr};
use crate::time::Timestamp;

/// How metadata is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Owner and group by their stored ids, even where their stored names are known here.
    pub numeric_ids: bool,
    /// This process may do what only root may: give files away, read and write in spite of their permissions.
    pub as_root: bool,
}

/// Something of an entry's metadata that did not come out as stored.
#[derive(Debug)]
pub struct NotSet {
    /// "owner", "extended attribute \"user.x\"", ...
    pub what: String,
    pub cause: io::Error,
}

impl fmt::Display for NotSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot set {}: {}", self.what, self.cause)
    }
}

/// Attributes that this system itself puts on every file: there is no reason to remove those the source did not have.
const KEPT_XATTRS: [&[u8]; 4] = [b"security.selinux", b"security.SMACK64", b"security.ima", b"security.evm"];

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const OWNER_READ_WRITE: u16 = 0o600;

/// Makes the metadata of `name` in `dir` that of `node`, with `xattrs` as its extended attributes: owner, extended
/// attributes (ACLs and capabilities among them; others are removed), permissions, modification time. Writes only what
/// differs: an entry that is right already keeps its ctime. Returns what could not be set.
///
/// A set-user-id bit is not set when its owner could not be (a set-group-id bit likewise): it would lend the wrong
/// user's rights.
pub fn apply_at(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    node: &Node,
    xattrs: &[Xattr],
    owners: &OwnerNames,
    options: &ApplyOptions,
) -> Vec<NotSet> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = single_name(name).and_then(|()| Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?));
    match opened {
        Ok(fd) => apply_fd(fd.as_fd(), node, xattrs, owners, options),
        Err(cause) => vec![NotSet { what: "metadata".into(), cause }],
    }
}

/// [`apply_at`] for what `fd` is open on, in any mode, also `O_PATH`.
pub fn apply_fd(
    fd: BorrowedFd<'_>,
    node: &Node,
    xattrs: &[Xattr],
    owners: &OwnerNames,
    options: &ApplyOptions,
) -> Vec<NotSet> {
    let state = match stat_fd(fd) {
        Ok(state) if state.file_type == FileType::of(&node.kind) => state,
        Ok(_) => return vec![NotSet { what: "metadata".into(), cause: io::Error::other("another entry is there") }],
        Err(cause) => return vec![NotSet { what: "metadata".into(), cause }],
    };
    let (uid, gid) = target_owner(node, owners, options);
    let path = descriptor_path(fd);
    let mut work = Application { fd, path, node, uid, gid, options, state, wrote: false, not_set: Vec::new() };
    // The owner first, for a change of it clears set-id bits and capabilities. An ACL changes the permissions' group
    // bits, so they come after it, and change nothing in it: both were read from one inode. The time comes last.
    work.set_owner();
    work.set_xattrs(xattrs);
    work.set_permissions();
    work.set_modified();
    work.verify();
    work.not_set
}

/// [`apply_fd`] for a file that was just written, and is open for that: its time is surely wrong, so it is set before
/// anything is looked at. Then in most cases nothing is left to do.
pub fn apply_written_fd(
    fd: BorrowedFd<'_>,
    node: &Node,
    xattrs: &[Xattr],
    owners: &OwnerNames,
    options: &ApplyOptions,
) -> Vec<NotSet> {
    // Where that fails, or comes to another time, it is tried again and told.
    let _ = rustix::fs::futimens(fd, &modified_only(node.modified));
    apply_fd(fd, node, xattrs, owners, options)
}

/// Owner and group that `node` is to have here: by name, or where that is unknown, or by choice, by id. Root is
/// nobody but root.
pub fn target_owner(node: &Node, owners: &OwnerNames, options: &ApplyOptions) -> (u32, u32) {
    if options.numeric_ids {
        return (node.uid, node.gid);
    }
    let uid = if node.uid == 0 { None } else { owners.user_id(&node.owner) };
    let gid = if node.gid == 0 { None } else { owners.group_id(&node.group) };
    (uid.unwrap_or(node.uid), gid.unwrap_or(node.gid))
}

/// Makes the symlink, fifo, socket or device `name` in `dir`, accessible to its owner only; [`apply_at`] does the
/// rest. Files and directories are refused.
pub fn create_special_at(dir: BorrowedFd<'_>, name: &OsStr, kind: &NodeKind) -> io::Result<()> {
    single_name(name)?;
    let (file_type, device) = match kind {
        NodeKind::Symlink { target } => return Ok(rustix::fs::symlinkat(target.as_slice(), dir, name)?),
        NodeKind::Fifo => (rustix::fs::FileType::Fifo, 0),
        NodeKind::Socket => (rustix::fs::FileType::Socket, 0),
        NodeKind::CharacterDevice(number) => {
            (rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(number.major, number.minor))
        }
        NodeKind::BlockDevice(number) => {
            (rustix::fs::FileType::BlockDevice, rustix::fs::makedev(number.major, number.minor))
        }
        NodeKind::File { .. } | NodeKind::Directory(_) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a special file"));
        }
    };
    Ok(rustix::fs::mknodat(dir, name, file_type, Mode::RUSR | Mode::WUSR, device)?)
}

/// A stored name that is a path would lead out of the target.
fn single_name(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of an entry"));
    }
    Ok(())
}

/// One entry on its way to the metadata of its node.
struct Application<'a> {
    fd: BorrowedFd<'a>,
    /// Leads to the entry itself, by its descriptor.
    path: PathBuf,
    node: &'a Node,
    uid: u32,
    gid: u32,
    options: &'a ApplyOptions,
    /// What the entry has at present.
    state: Captured,
    wrote: bool,
    not_set: Vec<NotSet>,
}

impl Application<'_> {
    /// Notes how an attempt went.
    fn attempt(&mut self, what: impl Into<String>, result: io::Result<()>) {
        match result {
            Ok(()) => self.wrote = true,
            Err(cause) => self.not_set.push(NotSet { what: what.into(), cause }),
        }
    }

    fn look_again(&mut self) {
        match stat_fd(self.fd) {
            Ok(state) => self.state = state,
            Err(cause) => self.not_set.push(NotSet { what: "metadata".into(), cause }),
        }
    }

    fn set_owner(&mut self) {
        let uid = (self.uid != self.state.uid).then_some(self.uid);
        let gid = (self.gid != self.state.gid).then_some(self.gid);
        if uid.is_none() && gid.is_none() {
            return;
        }
        if self.options.as_root {
            let result = self.change_owner(uid, gid);
            self.attempt("owner", result);
        } else {
            if uid.is_some() {
                let cause = io::Error::new(io::ErrorKind::PermissionDenied, "only root may give files away");
                self.not_set.push(NotSet { what: "owner".into(), cause });
            }
            // Anybody may pass own files to own groups.
            if gid.is_some() {
                let result = self.change_owner(None, gid);
                self.attempt("group", result);
            }
        }
        self.look_again();
    }

    fn change_owner(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        // The system takes this id for "leave as it is".
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a usable id"));
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        Ok(rustix::fs::chownat(self.fd, "", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    fn set_xattrs(&mut self, wanted: &[Xattr]) {
        let place = XattrPlace::Pinned(self.path.clone());
        let mut read = read_xattrs(&place);
        if read.as_ref().is_err_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied) && self.lift_permissions()
        {
            read = read_xattrs(&place);
        }
        let present = match read {
            Ok(present) => present,
            Err(cause) => return self.not_set.push(NotSet { what: "extended attributes".into(), cause }),
        };
        let (present, wanted) = (by_name(&present), by_name(wanted));
        let is_extra = |name: &[u8]| is_removable_xattr(name) && !wanted.contains_key(name);
        let extra: Vec<&[u8]> = present.keys().copied().filter(|name| is_extra(name)).collect();
        let missing: Vec<_> = wanted.iter().filter(|(name, value)| present.get(*name) != Some(value)).collect();
        if extra.is_empty() && missing.is_empty() {
            return;
        }
        self.lift_permissions();
        for name in extra {
            let result = match rustix::fs::removexattr(&self.path, name) {
                Err(Errno::NODATA) => Ok(()),
                result => result.map_err(io::Error::from),
            };
            self.attempt(format!("absence of {}", title(name)), result);
        }
        for (name, value) in missing {
            let result = rustix::fs::setxattr(&self.path, *name, value, XattrFlags::empty());
            self.attempt(title(name), result.map_err(io::Error::from));
        }
        // An ACL has changed the permissions.
        self.look_again();
    }

    /// Lets an owner who is not root at the attributes of an own file that its permissions close to everybody; the
    /// right ones follow. True if something changed.
    fn lift_permissions(&mut self) -> bool {
        let lifted = self.state.permissions | OWNER_READ_WRITE;
        if self.options.as_root || self.state.file_type == FileType::Symlink || lifted == self.state.permissions {
            return false;
        }
        let changed = self.change_permissions(lifted).is_ok();
        if changed {
            self.wrote = true;
            self.look_again();
        }
        changed
    }

    fn set_permissions(&mut self) {
        // The system gives symlinks no permissions of their own.
        if self.state.file_type == FileType::Symlink {
            return;
        }
        let wanted = self.wanted_permissions();
        let lost = self.node.permissions & !wanted;
        for (bit, what) in [(SET_USER_ID, "set-user-id bit"), (SET_GROUP_ID, "set-group-id bit")] {
            if lost & bit != 0 {
                let cause = io::Error::new(io::ErrorKind::PermissionDenied, "the entry has another owner");
                self.not_set.push(NotSet { what: what.into(), cause });
            }
        }
        if wanted != self.state.permissions {
            let result = self.change_permissions(wanted);
            self.attempt("permissions", result);
        }
    }

    fn wanted_permissions(&self) -> u16 {
        let mut wanted = self.node.permissions;
        // On directories these bits lend no rights.
        if self.state.file_type != FileType::Directory {
            if self.state.uid != self.uid {
                wanted &= !SET_USER_ID;
            }
            if self.state.gid != self.gid {
                wanted &= !SET_GROUP_ID;
            }
        }
        wanted
    }

    fn change_permissions(&self, permissions: u16) -> io::Result<()> {
        Ok(rustix::fs::chmodat(CWD, &self.path, Mode::from_raw_mode(permissions.into()), AtFlags::empty())?)
    }

    fn set_modified(&mut self) {
        let modified = self.node.modified;
        if modified == self.state.modified {
            return;
        }
        let result = rustix::fs::utimensat(CWD, &self.path, &modified_only(modified), AtFlags::empty());
        self.attempt("modification time", result.map_err(io::Error::from));
    }

    /// Finds what the filesystem accepted and then did not keep: it rounds times, clears bits.
    fn verify(&mut self) {
        if !self.wrote {
            return;
        }
        self.look_again();
        let state = self.state;
        if state.file_type != FileType::Symlink && state.permissions != self.wanted_permissions() {
            self.not_kept("permissions", format!("the filesystem made them {:04o}", state.permissions));
        }
        if state.modified != self.node.modified {
            let (seconds, nanos) = (state.modified.seconds, state.modified.nanos);
            self.not_kept("modification time", format!("the filesystem made it {seconds} s and {nanos} ns"));
        }
    }

    fn not_kept(&mut self, what: &str, reason: String) {
        if !self.not_set.iter().any(|known| known.what == what) {
            self.not_set.push(NotSet { what: what.into(), cause: io::Error::other(reason) });
        }
    }
}

fn modified_only(modified: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() },
    }
}

fn title(xattr_name: &[u8]) -> String {
    format!("extended attribute \"{}\"", OsStr::from_bytes(xattr_name).display())
}

/// True if an attribute that the source did not have is to go. Names in `system.` other than ACLs are views of
/// something else.
pub fn is_removable_xattr(name: &[u8]) -> bool {
    let is_view = name.starts_with(b"system.") && !name.starts_with(b"system.posix_acl_");
    !is_view && !KEPT_XATTRS.iter().any(|kept| name.starts_with(kept))
}

fn by_name(list: &[Xattr]) -> BTreeMap<&[u8], &[u8]> {
    list.iter().map(|xattr| (xattr.name.as_slice(), xattr.value.as_slice())).collect()
}
