//! Nothing can be written, by nobody; and who may read what, the stored owners, modes and ACLs decide.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, FallocateFlags, FileType, Mode, RenameFlags, Timespec, Timestamps, UTIME_NOW, XattrFlags,
};
use rustix::io::Errno;

use crate::Fidelity;
use crate::support::mounted::{Stage, as_user, errno, need_root};

const SOMEBODY: u32 = 4000;

/// A mount that lets others in: the fidelity tree, and a directory that everybody may write to.
struct Opened {
    mount: crate::support::mounted::Mount,
    _stage: Stage,
}

impl Opened {
    fn new() -> Opened {
        need_root();
        let stage = Stage::new();
        stage.open_to_all();
        let source = stage.make_directory("source");
        let all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        for name in ["file", "other"] {
            fs::write(source.join(name), "text").unwrap();
            rustix::fs::setxattr(source.join(name), "user.there", b"1", XattrFlags::empty()).unwrap();
            all(&source.join(name));
        }
        fs::create_dir_all(source.join("directory/below")).unwrap();
        symlink("file", source.join("link")).unwrap();
        for directory in [source.join("directory"), source.join("directory/below"), source.clone()] {
            all(&directory);
        }
        for name in ["file", "other", "link", "directory", "."] {
            lchown(source.join(name), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
        stage.ingest(&source, "lake");
        Opened { mount: stage.mount_with("mount", &["--allow-other"]), _stage: stage }
    }
}

#[test]
fn every_write_like_call_gives_erofs_to_root_and_to_owners() {
    let opened = Opened::new();
    let inside = opened.mount.latest("lake");
    let outside = ["", "snapshots", "snapshots/lake", "at", "at/now", "ids", "tags", "diff"];
    let check = || {
        assert_refused(&changes_of_files(&inside));
        for directory in [inside.clone(), inside.join("directory")] {
            assert_refused(&new_entries(&directory, &inside));
        }
        for directory in outside {
            assert_refused(&new_entries(&opened.mount.path(directory), &inside));
            assert_refused(&changes_of_directory(&opened.mount.path(directory)));
        }
        assert_refused(&changes_of_directory(&inside));
        assert_refused(&changes_of_symlink(&opened.mount.path("snapshots/lake/latest")));
        assert_refused(&changes_of_symlink(&inside.join("link")));
    };
    check();
    as_user(SOMEBODY, SOMEBODY, check);
    assert_eq!(opened.mount.log(), "");
}

type Refusals = Vec<(String, Option<Errno>)>;

#[track_caller]
fn assert_refused(calls: &Refusals) {
    let uid = rustix::process::geteuid().as_raw();
    for (call, errno) in calls {
        assert_eq!(*errno, Some(Errno::ROFS), "{call} by user {uid}");
    }
}

fn now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

fn named(path: &Path, calls: Vec<(&str, Option<Errno>)>) -> Refusals {
    calls.into_iter().map(|(call, errno)| (format!("{call} {path:?}"), errno)).collect()
}

fn new_entries(directory: &Path, snapshot: &Path) -> Refusals {
    let new = directory.join("new");
    let file = snapshot.join("file");
    let node = |file_type| rustix::fs::mknodat(CWD, &new, file_type, Mode::RWXU, 0).err();
    named(
        directory,
        vec![
            ("create", errno(File::create(&new))),
            ("create exclusively", errno(File::create_new(&new))),
            (
                "open a temporary file",
                errno(OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(directory)),
            ),
            ("mkdir", errno(fs::create_dir(&new))),
            ("mknod of a file", node(FileType::RegularFile)),
            ("mknod of a fifo", node(FileType::Fifo)),
            ("bind of a socket", errno(UnixListener::bind(&new))),
            ("symlink", errno(symlink("target", &new))),
            ("link", errno(fs::hard_link(&file, &new))),
            ("rename to", errno(fs::rename(&file, &new))),
        ],
    )
}

fn changes_of_files(snapshot: &Path) -> Refusals {
    let file = snapshot.join("file");
    let other = snapshot.join("other");
    let open = File::open(&file).unwrap();
    let me = rustix::process::geteuid();
    let exchange = rustix::fs::renameat_with(CWD, &file, CWD, &other, RenameFlags::EXCHANGE);
    named(
        &file,
        vec![
            ("open for writing", errno(OpenOptions::new().write(true).open(&file))),
            ("open for reading and writing", errno(OpenOptions::new().read(true).write(true).open(&file))),
            ("open for appending", errno(OpenOptions::new().append(true).open(&file))),
            ("open and truncate", errno(OpenOptions::new().write(true).truncate(true).open(&file))),
            (
                "open and truncate for reading",
                errno(OpenOptions::new().read(true).custom_flags(libc::O_TRUNC).open(&file)),
            ),
            ("open for creation", errno(OpenOptions::new().write(true).create(true).truncate(false).open(&file))),
            ("truncate", truncate(&file)),
            ("access", rustix::fs::access(&file, Access::WRITE_OK).err()),
            ("unlink", errno(fs::remove_file(&file))),
            ("rename", errno(fs::rename(&file, snapshot.join("new")))),
            ("rename over", errno(fs::rename(&file, &other))),
            ("exchange", exchange.err()),
            ("rmdir", errno(fs::remove_dir(snapshot.join("directory/below")))),
            ("chmod", errno(fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))),
            ("chown", errno(chown(&file, Some(me.as_raw()), None))),
            ("utimensat", rustix::fs::utimensat(CWD, &file, &now(), AtFlags::empty()).err()),
            ("setxattr", rustix::fs::setxattr(&file, "user.new", b"1", XattrFlags::empty()).err()),
            (
                "setxattr of an ACL",
                rustix::fs::setxattr(&file, "system.posix_acl_access", &[2, 0, 0, 0], XattrFlags::empty()).err(),
            ),
            ("removexattr", rustix::fs::removexattr(&file, "user.there").err()),
            ("fchmod", rustix::fs::fchmod(&open, Mode::RWXU).err()),
            ("fchown", rustix::fs::fchown(&open, Some(me), None).err()),
            ("futimens", rustix::fs::futimens(&open, &now()).err()),
            ("fsetxattr", rustix::fs::fsetxattr(&open, "user.new", b"1", XattrFlags::empty()).err()),
            ("fremovexattr", rustix::fs::fremovexattr(&open, "user.there").err()),
        ],
    )
}

fn truncate(file: &Path) -> Option<Errno> {
    let path = std::ffi::CString::new(file.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: `path` ends with a zero byte and lives until the call returns.
    let result = unsafe { libc::truncate(path.as_ptr(), 1) };
    (result != 0).then(|| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap())
}

fn changes_of_directory(directory: &Path) -> Refusals {
    let me = rustix::process::geteuid().as_raw();
    named(
        directory,
        vec![
            ("chmod", errno(fs::set_permissions(directory, fs::Permissions::from_mode(0o700)))),
            ("chown", errno(chown(directory, Some(me), None))),
            ("utimensat", rustix::fs::utimensat(CWD, directory, &now(), AtFlags::empty()).err()),
            ("setxattr", rustix::fs::setxattr(directory, "user.new", b"1", XattrFlags::empty()).err()),
        ],
    )
}

fn changes_of_symlink(link: &Path) -> Refusals {
    let me = rustix::process::geteuid().as_raw();
    let trusted = rustix::fs::lsetxattr(link, "trusted.new", b"1", XattrFlags::empty());
    named(
        link,
        vec![
            ("lchown", errno(lchown(link, Some(me), None))),
            ("utimensat", rustix::fs::utimensat(CWD, link, &now(), AtFlags::SYMLINK_NOFOLLOW).err()),
            ("unlink", errno(fs::remove_file(link))),
            ("rename", errno(fs::rename(link, link.with_file_name("new")))),
            ("lsetxattr", trusted.err()),
        ],
    )
}

#[test]
fn calls_that_need_a_file_open_for_writing_have_none() {
    let opened = Opened::new();
    let file = File::open(opened.mount.latest("lake").join("file")).unwrap();
    let written = rustix::io::write(&file, b"x").err();
    let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 10).err();
    let punched = rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 1).err();
    let truncated = rustix::fs::ftruncate(&file, 0).err();
    let copied = rustix::fs::copy_file_range(&file, None, file.as_fd(), Some(&mut 2), 1).err();
    assert_eq!([written, allocated, punched, copied], [Some(Errno::BADF); 4]);
    assert!([Some(Errno::INVAL), Some(Errno::BADF)].contains(&truncated), "{truncated:?}");
}

/// What reading a path comes to for a user.
fn read_as(uid: u32, gid: u32, path: PathBuf) -> Option<Errno> {
    as_user(uid, gid, || match fs::symlink_metadata(&path) {
        Ok(stat) if stat.is_dir() => errno(fs::read_dir(&path).map(|entries| entries.count())),
        Ok(_) => errno(fs::read(&path)),
        Err(error) => Errno::from_io_error(&error),
    })
}

#[test]
fn with_allow_other_modes_owners_and_acls_decide_who_may_read() {
    need_root();
    let fidelity = Fidelity::shared();
    fidelity.stage.open_to_all();
    let mount = fidelity.stage.mount_with("open-mount", &["--allow-other"]);
    let mounted = mount.latest("tree");
    let denied = Some(Errno::ACCESS);
    let cases = [
        ("contents/text", SOMEBODY, SOMEBODY, None),
        ("permissions/file-0000", SOMEBODY, SOMEBODY, denied),
        ("permissions/file-0400", SOMEBODY, SOMEBODY, denied),
        ("permissions/file-0444", SOMEBODY, SOMEBODY, None),
        ("permissions/file-0600", SOMEBODY, 0, denied),
        ("permissions/directory-0000", SOMEBODY, SOMEBODY, denied),
        ("permissions/directory-0000/inside", SOMEBODY, SOMEBODY, denied),
        // Listed, but not entered.
        ("permissions/directory-0444", SOMEBODY, SOMEBODY, None),
        ("permissions/directory-0444/inside", SOMEBODY, SOMEBODY, denied),
        // Entered, but not listed.
        ("permissions/directory-0001", SOMEBODY, SOMEBODY, denied),
        ("permissions/directory-0001/inside", SOMEBODY, SOMEBODY, None),
        ("permissions/directory-0755/inside", SOMEBODY, SOMEBODY, None),
        // Named in the ACL, as users and as a group; the mask lets them read.
        ("acls/file", 1, SOMEBODY, None),
        ("acls/file", 12_345, SOMEBODY, None),
        ("acls/file", SOMEBODY, 54_321, None),
        ("acls/file", SOMEBODY, 0, None),
        ("acls/file", SOMEBODY, SOMEBODY, denied),
        ("acls/closed-by-mask", 1, SOMEBODY, denied),
        ("acls/closed-by-mask", SOMEBODY, 54_321, denied),
        ("acls/directory", SOMEBODY, SOMEBODY, denied),
        ("acls/directory/heir", SOMEBODY, SOMEBODY, denied),
        ("owners/set-id", SOMEBODY, SOMEBODY, None),
    ];
    for (path, uid, gid, expected) in cases {
        assert_eq!(read_as(uid, gid, mounted.join(path)), expected, "{path} by {uid}:{gid}");
        // The same that the source's own filesystem decides.
        assert_eq!(read_as(uid, gid, fidelity.source.join(path)), expected, "{path} of the source by {uid}:{gid}");
    }
    for path in ["permissions/file-0000", "permissions/directory-0000", "acls/closed-by-mask"] {
        assert_eq!(read_as(0, 0, mounted.join(path)), None, "{path} by root");
    }
}

#[test]
fn without_allow_other_only_the_mounting_user_gets_in() {
    need_root();
    let fidelity = Fidelity::shared();
    fidelity.stage.open_to_all();
    for path in [fidelity.mount.point().to_path_buf(), fidelity.mounted().join("contents/text")] {
        assert_eq!(read_as(SOMEBODY, SOMEBODY, path.clone()), Some(Errno::ACCESS), "{path:?}");
    }
}

#[test]
fn a_program_from_the_mount_gains_no_rights() {
    need_root();
    let fidelity = Fidelity::shared();
    let options = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = options.lines().find(|line| line.contains(fidelity.mount.point().to_str().unwrap())).unwrap();
    let options: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
    for option in ["ro", "nosuid", "nodev"] {
        assert!(options.contains(&option), "{line}");
    }
    let device = fidelity.mounted().join("special/character-device");
    assert_eq!(errno(File::open(device)), Some(Errno::ACCESS), "a device of the mount is no device");
}
