//! Putting a FUSE connection into the tree of mounts and taking it out again: by the system calls where we may, by the
//! setuid helper `fusermount3` where we may not.
//!
//! fuser could do this, but 0.18.0 unmounts whatever lies at the path once its own mount was taken away by somebody
//! else, hides the helper's message, and cannot fall back to one descriptor.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::mount_table::{self, FILE_SYSTEM_TYPE};
use crate::error::{Error, Result};

/// Without it there are no mounts.
pub const FUSE_DEVICE: &str = "/dev/fuse";
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];
/// How the helper learns the number of the socket that it shall send the device through.
const HELPER_SOCKET_VARIABLE: &str = "_FUSE_COMMFD";

/// How a mount was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    /// Nobody used it; it is gone.
    Clean,
    /// Somebody still has files open there. It left the tree of names, and ends when the last of them is closed.
    Lazy,
}

/// Mounts a new FUSE connection at the directory `point`, read-only, and returns the device to serve it with.
/// `source` is what the table of mounts shall name as mounted.
pub(super) fn attach(point: &Path, source: &OsStr, allow_other: bool) -> Result<OwnedFd> {
    match attach_directly(point, source, allow_other) {
        Err(Error::Io { operation, path, source: error }) if error.kind() == io::ErrorKind::PermissionDenied => {
            attach_with_helper(point, source, allow_other).map_err(|refusal| match refusal {
                // The helper opens the device as the user whom it works for, who may not: the mount point is not at fault.
                Error::Invalid { reason, .. } if reason.contains(FUSE_DEVICE) && path == Path::new(FUSE_DEVICE) => {
                    Error::Io { operation, path, source: error }
                }
                refusal => refusal,
            })
        }
        result => result,
    }
}

/// Mounts with mount(2), which takes CAP_SYS_ADMIN.
fn attach_directly(point: &Path, source: &OsStr, allow_other: bool) -> Result<OwnedFd> {
    let device = open_device().map_err(Error::io("open", FUSE_DEVICE))?;
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if allow_other {
        data.push_str(",allow_other");
    }
    let data = CString::new(data).map_err(|error| Error::io("mount on", point)(error.into()))?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    rustix::mount::mount(source, point, FILE_SYSTEM_TYPE, flags, data.as_c_str())
        .map_err(|errno| Error::io("mount on", point)(errno.into()))?;
    Ok(device)
}

fn open_device() -> io::Result<OwnedFd> {
    OpenOptions::new().read(true).write(true).open(FUSE_DEVICE).map(OwnedFd::from)
}

/// Lets the helper mount; it sends the device back through a socket.
fn attach_with_helper(point: &Path, source: &OsStr, allow_other: bool) -> Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().map_err(Error::io("mount on", point))?;
    let mut options = OsString::from("ro,nodev,nosuid,noatime,default_permissions,subtype=yesterfs,fsname=");
    options.push(escape_option(source));
    if allow_other {
        options.push(",allow_other");
    }
    let output = run_helper(|command| {
        // Standard input is the one descriptor that a child inherits without our unsetting close-on-exec, which
        // would need unsafe code and leak it into children of other threads.
        let socket = theirs.try_clone()?;
        command.arg("-o").arg(&options).arg("--").arg(point);
        command.env(HELPER_SOCKET_VARIABLE, "0").stdin(Stdio::from(OwnedFd::from(socket)));
        Ok(())
    })
    .map_err(Error::io("run fusermount3 to mount on", point))?;
    drop(theirs);
    if !output.status.success() {
        return Err(helper_refusal(point, &output));
    }
    receive_device(&ours).map_err(Error::io("receive the device of the mount on", point))
}

/// Commas separate options, so the helper takes them behind a backslash.
fn escape_option(value: &OsStr) -> OsString {
    let escaped = value.as_bytes().iter().flat_map(|&byte| match byte {
        b',' | b'\\' => vec![b'\\', byte],
        byte => vec![byte],
    });
    OsString::from_vec(escaped.collect())
}

/// Runs the helper under the first of its names that exists, to its end.
fn run_helper(prepare: impl Fn(&mut Command) -> io::Result<()>) -> io::Result<Output> {
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for name in HELPERS {
        let mut command = Command::new(name);
        command.stdin(Stdio::null());
        prepare(&mut command)?;
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            result => return result,
        }
    }
    Err(io::Error::new(missing.kind(), "fusermount3 is not installed (package fuse3)"))
}

/// The helper's own words as an error.
fn helper_refusal(point: &Path, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("fusermount3: ").trim_start_matches("fusermount: ");
    let reason = if said.is_empty() { format!("fusermount3 failed: {}", output.status) } else { said.to_string() };
    Error::invalid("mount point", point.display().to_string(), reason)
}

/// The descriptor that the helper sent.
fn receive_device(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let device = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    device.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "fusermount3 sent none"))
}

/// True where more descriptors can be made for the same connection, so that each loop has its own. They cannot where
/// `/dev/fuse` may not be opened by us, or belongs to another user namespace than the connection.
pub(super) fn can_clone(device: &OwnedFd) -> bool {
    const FUSE_CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);
    let (Ok(second), Ok(first_number)) = (open_device(), u32::try_from(device.as_fd().as_raw_fd())) else {
        return false;
    };
    // SAFETY: FUSE_DEV_IOC_CLONE of linux/fuse.h reads one u32, the number of the descriptor to clone, through the
    // pointer that Setter passes, and changes nothing but `second`, which we own and drop.
    unsafe {
        let clone = rustix::ioctl::Setter::<FUSE_CLONE, u32>::new(first_number);
        rustix::ioctl::ioctl(&second, clone).is_ok()
    }
}

/// Raises the kernel's readahead for the file system `device` (`major:minor`) to `kib`; the default of 128 KiB costs
/// two thirds of the speed of a cold sequential read. Takes root; without, the default stays.
pub(super) fn raise_readahead(device: &str, kib: u32) {
    let setting = format!("/sys/class/bdi/{device}/read_ahead_kb");
    let written =
        File::create(&setting).and_then(|mut file| io::Write::write_all(&mut file, kib.to_string().as_bytes()));
    if let Err(error) = written {
        log::debug!("readahead stays as it is: cannot write \"{setting}\": {error}");
    }
}

/// Unmounts the yesterfs mount at `path`, as root or as the user who mounted it. With `lazy`, or where it is busy, the
/// mount only leaves the tree of names, and ends when its last user does.
///
/// # Errors
/// [`Error::Invalid`] where no yesterfs is mounted at `path`, and where it may not be unmounted by this user.
pub fn unmount(path: &Path, lazy: bool) -> Result<Unmounted> {
    let point = mount_table::resolve(path)?;
    match mount_table::mounted_at(&point)? {
        Some(entry) if entry.file_system_type == FILE_SYSTEM_TYPE => detach(&point, lazy),
        Some(entry) => {
            let reason = format!("the mount there is {}, not yesterfs", entry.file_system_type);
            Err(Error::invalid("mount point", point.display().to_string(), reason))
        }
        None => Err(Error::invalid("mount point", point.display().to_string(), "nothing is mounted there")),
    }
}

/// Takes away what is mounted at `point`, which the caller has looked at.
pub(super) fn detach(point: &Path, lazy: bool) -> Result<Unmounted> {
    let unmount = |flags| rustix::mount::unmount(point, flags | UnmountFlags::NOFOLLOW);
    let politely = if lazy { Err(Errno::BUSY) } else { unmount(UnmountFlags::empty()) };
    match politely {
        Ok(()) => return Ok(Unmounted::Clean),
        Err(Errno::BUSY) => match unmount(UnmountFlags::DETACH) {
            Ok(()) => return Ok(Unmounted::Lazy),
            Err(Errno::PERM) => {}
            Err(errno) => return Err(Error::io("unmount", point)(errno.into())),
        },
        Err(Errno::PERM) => {}
        Err(errno) => return Err(Error::io("unmount", point)(errno.into())),
    }
    detach_with_helper(point, lazy)
}

/// The same by the helper, which knows who mounted what.
fn detach_with_helper(point: &Path, lazy: bool) -> Result<Unmounted> {
    let run = |flags: &[&str]| {
        run_helper(|command| {
            command.args(flags).arg("--").arg(point);
            Ok(())
        })
        .map_err(Error::io("run fusermount3 to unmount", point))
    };
    if !lazy && run(&["-u"])?.status.success() {
        return Ok(Unmounted::Clean);
    }
    // The helper tells only in words whether the mount was busy; where it refuses for another reason, it will again.
    let output = run(&["-u", "-z"])?;
    if output.status.success() { Ok(Unmounted::Lazy) } else { Err(helper_refusal(point, &output)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_a_repository_path_do_not_become_mount_options() {
        assert_eq!(escape_option(OsStr::new("/srv/a,suid\\b")), OsStr::new("/srv/a\\,suid\\\\b"));
    }

    #[test]
    fn unmounting_what_is_no_mount_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let error = unmount(directory.path(), false).unwrap_err();
        assert!(error.to_string().contains("nothing is mounted there"), "{error}");
    }

    #[test]
    fn unmounting_another_file_system_is_refused_before_anything_happens() {
        let error = unmount(Path::new("/proc"), false).unwrap_err();
        assert!(error.to_string().contains("not yesterfs"), "{error}");
    }
}
