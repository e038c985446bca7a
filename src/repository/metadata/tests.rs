//! Metadata read and given back, on the real filesystem under the temporary directory. Needs root.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use tempfile::TempDir;

use super::*;
use crate::repository::content::Content;
use crate::repository::node::{DeviceNumber, DirectoryRoot, Node, NodeKind, Xattr, Xattrs};
use crate::time::Timestamp;

const AS_ROOT: ApplyOptions = ApplyOptions { numeric_ids: false, as_root: true };

/// A directory to work in, and its descriptor.
struct Place {
    root: TempDir,
    fd: OwnedFd,
}

fn place() -> Place {
    assert!(rustix::process::geteuid().is_root(), "run the tests as root: they set owners, devices and capabilities");
    let root = tempfile::tempdir().unwrap();
    let fd = rustix::fs::open(root.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    Place { root, fd }
}

impl Place {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        let path = self.path(name);
        fs::write(&path, b"content").unwrap();
        path
    }

    fn stat(&self, name: &str) -> Captured {
        stat_at(self.fd.as_fd(), OsStr::new(name)).unwrap()
    }

    fn xattrs(&self, name: &str) -> Vec<Xattr> {
        read_xattrs_at(self.fd.as_fd(), OsStr::new(name)).unwrap()
    }

    fn apply(&self, name: &str, node: &Node, xattrs: &[Xattr], options: &ApplyOptions) -> Vec<String> {
        let not_set = apply_at(self.fd.as_fd(), OsStr::new(name), node, xattrs, &OwnerNames::new(), options);
        not_set.iter().map(ToString::to_string).collect()
    }
}

fn file_kind() -> NodeKind {
    NodeKind::File { content: Content::empty(), torn: false }
}

fn node(kind: NodeKind, permissions: u16, uid: u32, gid: u32) -> Node {
    let modified = Timestamp { seconds: -2_147_000_000, nanos: 123_456_789 };
    let (owner, group) = (Vec::new(), Vec::new());
    Node { permissions, uid, gid, owner, group, modified, xattrs: Xattrs::None, hard_link: None, kind }
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.to_vec() }
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn set_modified(path: &Path, seconds: i64, nanos: i64) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The bytes of a POSIX ACL attribute: entries of (tag, permissions, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// `user::rwx user:12345:rwx group::r-- mask::rw- other::---`: the mask, not the group's entry, is in the mode 0760.
fn sample_acl() -> Vec<u8> {
    let none = u32::MAX;
    acl(&[(1, 7, none), (2, 7, 12_345), (4, 4, none), (16, 6, none), (32, 0, none)])
}

/// `cap_net_bind_service=ep`, version 2.
fn sample_capability() -> Vec<u8> {
    let mut bytes = 0x0200_0001u32.to_le_bytes().to_vec();
    for word in [1u32 << 10, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// Runs `work` as a user who is not root. Only this thread changes; it ends with the work.
fn as_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (rustix::fs::Uid::from_raw(id), rustix::fs::Gid::from_raw(id));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// Longer than the tick by which the system counts ctime.
fn let_the_clock_tick() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn stat_tells_every_field_of_a_file() {
    let place = place();
    let path = place.file("file");
    fs::hard_link(&path, place.path("second name")).unwrap();
    chown(&path, Some(12_345), Some(54_321)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
    for (seconds, nanos) in [(-2_147_000_000, 0), (-1, 500_000_000), (0, 1), (7_258_118_400, 999_999_999)] {
        set_modified(&path, seconds, nanos);
        let captured = place.stat("file");
        assert_eq!(captured.modified, Timestamp { seconds, nanos: nanos.try_into().unwrap() });
    }
    let captured = place.stat("file");
    assert_eq!((captured.permissions, captured.uid, captured.gid), (0o6751, 12_345, 54_321));
    assert_eq!((captured.link_count, captured.size, captured.file_type), (2, 7, FileType::File));
    assert!(captured.changed.seconds > 1_600_000_000, "ctime is the present");
    assert_eq!(captured, place.stat("second name"));
    let fd = open_file_at(place.fd.as_fd(), OsStr::new("file")).unwrap();
    assert_eq!(captured, stat_fd(fd.as_fd()).unwrap());
}

#[test]
fn symlinks_are_read_themselves_and_never_followed() {
    let place = place();
    let file = place.file("file");
    set_xattr(&file, "trusted.file", b"of the file");
    let target = [b"\xff\xfe/".as_slice(), &[b'x'; 3997]].concat();
    symlink(OsStr::from_bytes(&target), place.path("long")).unwrap();
    symlink("file", place.path("link")).unwrap();
    lchown(place.path("link"), Some(7), Some(8)).unwrap();
    set_xattr(&place.path("link"), "trusted.link", b"of the link");

    assert_eq!(read_link_at(place.fd.as_fd(), OsStr::new("long")).unwrap(), target);
    let captured = place.stat("link");
    assert_eq!((captured.file_type, captured.uid, captured.gid, captured.size), (FileType::Symlink, 7, 8, 4));
    assert_eq!(place.xattrs("link"), [xattr("trusted.link", b"of the link")]);
    let open = open_file_at(place.fd.as_fd(), OsStr::new("link")).unwrap_err();
    assert_eq!(open.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
    symlink(".", place.path("here")).unwrap();
    open_directory_at(place.fd.as_fd(), OsStr::new("here")).unwrap_err();
}

#[test]
fn attributes_come_sorted_complete_and_the_same_by_name_and_by_descriptor() {
    let place = place();
    let path = place.file("file");
    let mut expected = vec![
        xattr("security.capability", &sample_capability()),
        xattr("system.posix_acl_access", &sample_acl()),
        xattr("trusted.secret", b"\0\xff"),
        xattr("user.empty", b""),
        xattr("user.large", &[b'v'; 2000]),
    ];
    // More names than the first attempt has room for.
    expected.extend((10..50).map(|number| xattr(&format!("user.number-{number}"), b"n")));
    for attribute in expected.iter().rev() {
        set_xattr(&path, str::from_utf8(&attribute.name).unwrap(), &attribute.value);
    }
    assert_eq!(place.xattrs("file"), expected);
    let fd = open_file_at(place.fd.as_fd(), OsStr::new("file")).unwrap();
    assert_eq!(read_xattrs_fd(fd.as_fd()).unwrap(), expected);
}

#[test]
fn a_filesystem_without_attributes_has_none() {
    let proc = rustix::fs::open("/proc", OFlags::RDONLY, Mode::empty()).unwrap();
    assert_eq!(read_xattrs_at(proc.as_fd(), OsStr::new("version")).unwrap(), []);
}

#[test]
fn an_attribute_that_may_not_be_read_is_an_error_naming_it() {
    let place = place();
    let path = place.file("file");
    set_xattr(&path, "user.closed", b"value");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = as_user(12_345, || read_xattrs_at(place.fd.as_fd(), OsStr::new("file"))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("user.closed"), "{error}");
}

#[test]
fn a_fifo_in_the_place_of_a_file_does_not_block() {
    let place = place();
    create_special_at(place.fd.as_fd(), OsStr::new("fifo"), &NodeKind::Fifo).unwrap();
    let fd = open_file_at(place.fd.as_fd(), OsStr::new("fifo")).unwrap();
    assert_eq!(stat_fd(fd.as_fd()).unwrap().file_type, FileType::Fifo);
}

#[test]
fn reading_leaves_the_access_time() {
    let place = place();
    let path = place.file("file");
    let times = Timestamps {
        last_access: Timespec { tv_sec: 1_000_000, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: 2_000_000, tv_nsec: 0 },
    };
    rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    let fd = open_file_at(place.fd.as_fd(), OsStr::new("file")).unwrap();
    assert_eq!(rustix::io::read(&fd, &mut [0; 16]).unwrap(), 7);
    assert_eq!(rustix::fs::fstat(&fd).unwrap().st_atime, 1_000_000);
    // Who does not own the file opens it all the same.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    as_user(12_345, || open_file_at(place.fd.as_fd(), OsStr::new("file"))).unwrap();
}

#[test]
fn every_kind_comes_back_with_everything_and_a_second_time_nothing_is_written() {
    let place = place();
    let device = DeviceNumber { major: 7, minor: 200_000 };
    let attributes = [xattr("system.posix_acl_access", &sample_acl()), xattr("trusted.t", b"\0")];
    let directory = [
        xattr("system.posix_acl_access", &sample_acl()),
        xattr("system.posix_acl_default", &sample_acl()),
        xattr("user.empty", b""),
    ];
    let file = [xattr("security.capability", &sample_capability()), xattr("user.large", &[b'v'; 2000])];
    let on_symlink = [xattr("trusted.l", b"of the link")];
    fs::create_dir(place.path("directory")).unwrap();
    place.file("file");
    place.file("closed");
    let cases: [(&str, NodeKind, u16, &[Xattr]); 8] = [
        ("directory", NodeKind::Directory(DirectoryRoot::default()), 0o3760, &directory),
        ("file", file_kind(), 0o6755, &file),
        ("closed", file_kind(), 0, &[]),
        ("symlink", NodeKind::Symlink { target: b"nowhere\xff".to_vec() }, 0o777, &on_symlink),
        ("fifo", NodeKind::Fifo, 0o760, &attributes),
        ("socket", NodeKind::Socket, 0o760, &attributes),
        ("character", NodeKind::CharacterDevice(device), 0o760, &attributes),
        ("block", NodeKind::BlockDevice(device), 0o760, &attributes),
    ];
    for (name, kind, permissions, xattrs) in cases {
        if !place.path(name).exists() {
            create_special_at(place.fd.as_fd(), OsStr::new(name), &kind).unwrap();
        }
        let node = node(kind.clone(), permissions, 12_345, 54_321);
        assert_eq!(place.apply(name, &node, xattrs, &AS_ROOT), [""; 0], "{name}");
        let captured = place.stat(name);
        assert_eq!(captured.permissions, permissions, "{name}");
        assert_eq!((captured.uid, captured.gid, captured.modified), (12_345, 54_321, node.modified), "{name}");
        assert_eq!(captured.file_type, FileType::of(&kind), "{name}");
        assert_eq!(place.xattrs(name), xattrs, "{name}");
        let_the_clock_tick();
        assert_eq!(place.apply(name, &node, xattrs, &AS_ROOT), [""; 0], "{name}");
        assert_eq!(place.stat(name), captured, "{name}: also the ctime");
    }
    assert_eq!(read_link_at(place.fd.as_fd(), OsStr::new("symlink")).unwrap(), b"nowhere\xff");
}

#[test]
fn what_the_source_did_not_have_goes() {
    let place = place();
    let path = place.file("file");
    for (name, value) in [("user.a", b"1".as_slice()), ("user.b", b"2"), ("trusted.c", b"3")] {
        set_xattr(&path, name, value);
    }
    set_xattr(&path, "system.posix_acl_access", &sample_acl());
    set_xattr(&path, "security.capability", &sample_capability());
    let node = node(file_kind(), 0o644, 0, 0);
    assert_eq!(place.apply("file", &node, &[xattr("user.b", b"new")], &AS_ROOT), [""; 0]);
    assert_eq!(place.xattrs("file"), [xattr("user.b", b"new")]);
    assert_eq!(place.stat("file").permissions, 0o644);
}

#[test]
fn an_acl_inherited_from_the_target_directory_goes() {
    let place = place();
    set_xattr(place.root.path(), "system.posix_acl_default", &sample_acl());
    place.file("file");
    assert!(!place.xattrs("file").is_empty(), "the file inherited");
    assert_eq!(place.apply("file", &node(file_kind(), 0o640, 0, 0), &[], &AS_ROOT), [""; 0]);
    assert_eq!(place.xattrs("file"), []);
    assert_eq!(place.stat("file").permissions, 0o640);
}

#[test]
fn a_new_owner_costs_neither_set_id_bits_nor_capabilities() {
    let place = place();
    let path = place.file("file");
    set_xattr(&path, "security.capability", &sample_capability());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    let wanted = [xattr("security.capability", &sample_capability())];
    assert_eq!(place.apply("file", &node(file_kind(), 0o6755, 12_345, 12_345), &wanted, &AS_ROOT), [""; 0]);
    assert_eq!(place.stat("file").permissions, 0o6755);
    assert_eq!(place.xattrs("file"), wanted);
}

#[test]
fn a_symlink_is_changed_itself_and_its_target_never() {
    let place = place();
    place.file("file");
    symlink("file", place.path("link")).unwrap();
    let before = place.stat("file");
    let_the_clock_tick();
    let node = node(NodeKind::Symlink { target: b"file".to_vec() }, 0o777, 7, 8);
    assert_eq!(place.apply("link", &node, &[xattr("trusted.l", b"1")], &AS_ROOT), [""; 0]);
    assert_eq!(place.stat("file"), before);
    assert_eq!(place.xattrs("file"), []);
    let link = place.stat("link");
    assert_eq!((link.uid, link.gid, link.modified), (7, 8, node.modified));
}

#[test]
fn an_entry_swapped_for_another_type_is_left_alone() {
    let place = place();
    place.file("file");
    symlink("file", place.path("swapped")).unwrap();
    let before = (place.stat("file"), place.stat("swapped"));
    let_the_clock_tick();
    let not_set = place.apply("swapped", &node(file_kind(), 0o4777, 7, 8), &[], &AS_ROOT);
    assert_eq!(not_set, ["cannot set metadata: another entry is there"]);
    assert_eq!((place.stat("file"), place.stat("swapped")), before);
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let place = place();
    fs::create_dir(place.path("inside")).unwrap();
    place.file("file");
    let inside = rustix::fs::open(place.path("inside"), OFlags::RDONLY, Mode::empty()).unwrap();
    for name in ["../file", "..", ".", "", "/etc"] {
        let name = OsStr::new(name);
        let node = node(file_kind(), 0o777, 7, 7);
        assert_eq!(apply_at(inside.as_fd(), name, &node, &[], &OwnerNames::new(), &AS_ROOT).len(), 1);
        create_special_at(inside.as_fd(), name, &NodeKind::Fifo).unwrap_err();
    }
    assert_eq!(place.stat("file").uid, 0);
}

#[test]
fn owners_come_back_by_name_where_it_is_known() {
    let owners = OwnerNames::new();
    let daemon = owners.user_id(b"daemon").expect("every Debian has a user daemon");
    let daemons = owners.group_id(b"daemon").expect("every Debian has a group daemon");
    let mut node = node(file_kind(), 0o644, 54_321, 54_322);
    (node.owner, node.group) = (b"daemon".to_vec(), b"daemon".to_vec());
    assert_eq!(target_owner(&node, &owners, &AS_ROOT), (daemon, daemons));
    let numeric = ApplyOptions { numeric_ids: true, ..AS_ROOT };
    assert_eq!(target_owner(&node, &owners, &numeric), (54_321, 54_322));
    (node.owner, node.group) = (b"unknown here".to_vec(), Vec::new());
    assert_eq!(target_owner(&node, &owners, &AS_ROOT), (54_321, 54_322));
    (node.uid, node.gid, node.owner) = (0, 0, b"daemon".to_vec());
    assert_eq!(target_owner(&node, &owners, &AS_ROOT), (0, 0), "root stays root");
}

#[test]
fn without_root_what_cannot_be_set_is_told_and_the_rest_is_set() {
    let place = place();
    let path = place.file("file");
    chown(&path, Some(12_345), Some(12_345)).unwrap();
    let wanted = [xattr("trusted.t", b"1"), xattr("user.u", b"2")];
    let node = node(file_kind(), 0o4751, 1, 1);
    let options = ApplyOptions { numeric_ids: false, as_root: false };
    let not_set = as_user(12_345, || place.apply("file", &node, &wanted, &options));
    let told: Vec<&str> = not_set.iter().map(|line| line.split(':').next().unwrap()).collect();
    let expected = ["owner", "group", "extended attribute \"trusted.t\"", "set-user-id bit"];
    assert_eq!(told, expected.map(|what| format!("cannot set {what}")));
    let captured = place.stat("file");
    assert_eq!(captured.permissions, 0o751, "a set-user-id bit would lend the wrong user's rights");
    assert_eq!((captured.uid, captured.gid, captured.modified), (12_345, 12_345, node.modified));
    assert_eq!(place.xattrs("file"), [xattr("user.u", b"2")]);
}

#[test]
fn without_root_an_own_closed_file_gets_its_attributes_and_stays_closed() {
    let place = place();
    let path = place.file("file");
    set_xattr(&path, "user.old", b"1");
    chown(&path, Some(12_345), Some(12_345)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let node = node(file_kind(), 0, 12_345, 12_345);
    let wanted = [xattr("user.new", b"2")];
    let options = ApplyOptions { numeric_ids: false, as_root: false };
    assert_eq!(as_user(12_345, || place.apply("file", &node, &wanted, &options)), [""; 0]);
    assert_eq!(place.stat("file").permissions, 0);
    assert_eq!(place.xattrs("file"), wanted);
}

#[test]
fn a_time_the_filesystem_cannot_hold_is_told() {
    let place = place();
    place.file("file");
    let mut node = node(file_kind(), 0o644, 0, 0);
    node.modified = Timestamp { seconds: 0, nanos: 4_000_000_000 };
    let not_set = place.apply("file", &node, &[], &AS_ROOT);
    assert_eq!(not_set.len(), 1);
    assert!(not_set[0].starts_with("cannot set modification time: "), "{not_set:?}");
}
