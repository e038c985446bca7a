//! A directory tree that holds everything a filesystem can express, and an independent walker that compares two trees.
//! Nothing here uses yesterfs's own code: what it reads, this reads by other ways.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dev, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

/// A file of one TiB with two short runs of data: leave it out where a tool would read all its zeros.
pub const ONE_TERABYTE: &str = "sparse/one-terabyte";

/// A directory whose entries have paths longer than `PATH_MAX` (4096 bytes): leave it out where a tool opens by path.
pub const BEYOND_PATH_MAX: &str = "beyond-path-max";

/// Holds fifos and sockets, which `diff -r` cannot compare, and devices.
pub const SPECIAL: &str = "special";

/// An owner and a group that have no name anywhere.
const NAMELESS: u32 = 12_345;

/// Makes the tree in `root`, an existing empty directory. Needs root. Panics with what failed and where if the
/// filesystem cannot hold something; only an attribute too large for it (ext4 without `ea_inode`) is made smaller
/// instead, and said on standard error.
pub fn build_fidelity_tree(root: &Path) {
    assert!(rustix::process::geteuid().is_root(), "the fidelity tree has devices and foreign owners: run as root");
    let root = Place::open(root);
    make_contents(&root.make_directory("contents"));
    make_sparse(&root.make_directory("sparse"));
    make_names(&root.make_directory("names"));
    make_deep(&root.make_directory("deep"), &[b"d"], 100);
    make_deep(&root.make_directory(BEYOND_PATH_MAX), &[&[b'p'; 250]], 20);
    make_symlinks(&root.make_directory("symlinks"));
    make_hard_links(&root);
    make_special(&root.make_directory(SPECIAL));
    make_permissions(&root.make_directory("permissions"));
    make_owners(&root.make_directory("owners"));
    make_xattrs(&root.make_directory("xattrs"));
    make_acls(&root.make_directory("acls"));
    make_capabilities(&root.make_directory("capabilities"));
    root.make_directory("empty-directory");
    let many = root.make_directory("three-thousand");
    for number in 0..3000 {
        many.write(format!("entry-{number:04}"), format!("{number}\n").repeat(number % 40).as_bytes());
    }
    make_times(&root.make_directory("times"));
    root.set_xattr(".", "user.root", b"of the root itself");
    root.set_permissions(".", 0o751);
    // Making entries changes the time of their directory, so directories come last, the deepest first.
    set_directory_times(&root, &mut 0);
    root.set_modified(".", 1_000_000_000, 1);
}

fn make_contents(place: &Place) {
    place.write("empty", b"");
    place.write("one-byte", b"\0");
    for length in [255, 256, 257, 4095, 4096, 4097] {
        place.write(format!("{length}-bytes"), &random_bytes("lengths", length));
    }
    place.write("random-3-mib", &random_bytes("random", 3 << 20));
    let lines: String = (0..20_000).map(|line| format!("{line}: the quick brown fox, {}\n", line % 97)).collect();
    place.write("text", lines.as_bytes());
    place.write("zeros", &vec![0; 300_000]);
}

fn make_sparse(place: &Place) {
    let data = random_bytes("sparse", 64 << 10);
    let mib = 1 << 20;
    place.write_runs("hole-at-start", mib + 65_536, &[(mib, &data)]);
    place.write_runs("hole-in-middle", 2 * mib, &[(0, &data), (2 * mib - 65_536, &data)]);
    place.write_runs("hole-at-end", 2 * mib, &[(0, &data)]);
    place.write_runs("only-a-hole", mib, &[]);
    place.write_runs("odd-edges", 3 * mib + 17, &[(12_345, &data[..1000]), (mib + 1, &data[..9999])]);
    let comb: Vec<(u64, &[u8])> = (0..50).map(|tooth| (tooth * 131_072, &data[..])).collect();
    place.write_runs("many-holes", 50 * 131_072, &comb);
    let tib = 1 << 40;
    place.write_runs("one-terabyte", tib, &[(3 << 28, &data), (tib - (1 << 30) - 4096, &data[..5000])]);
}

fn make_names(place: &Place) {
    let longest_ascii = vec![b'n'; 255];
    let longest_accented = "\u{e9}".repeat(127).into_bytes();
    let names: [&[u8]; 26] = [
        b"\xff\xfe not UTF-8 \x80",
        b"latin-1 caf\xe9",
        "UTF-8 caf\u{e9} \u{1f980}".as_bytes(),
        "decomposed cafe\u{301}".as_bytes(),
        &longest_ascii,
        &longest_accented,
        b"new\nline",
        b"carriage\rreturn",
        b"tab\tulator",
        b" leading and trailing space ",
        b" ",
        b"back\\slash",
        b"\\012",
        b"-rf",
        b"--help",
        b"...",
        b".hidden",
        b"~",
        b"#hash",
        b"colon:semicolon;comma,",
        b"*?[a-z]{x,y}!",
        b"'single' \"double\" `back`",
        b"$HOME $(id) %s %n",
        b"\x01\x1b[31m\x7f",
        b"CON",
        b"UPPER and upper",
    ];
    for name in names {
        place.write(OsStr::from_bytes(name), name);
    }
    place.make_directory(OsStr::from_bytes(b"directory \xff\n")).write("inside", b"inside");
    place.symlink(OsStr::from_bytes(b"link \xff\n"), b"latin-1 caf\xe9");
}

/// A chain of directories, each with the next and a file in it.
fn make_deep(place: &Place, names: &[&[u8]], depth: usize) {
    let mut here = place.make_directory("0");
    for level in 1..depth {
        here.write("file", format!("at level {level}\n").as_bytes());
        here = here.make_directory(OsStr::from_bytes(names[level % names.len()]));
    }
    here.write("bottom", &random_bytes("bottom", 5000));
    here.set_xattr("bottom", "user.depth", b"deep");
    here.set_owner("bottom", NAMELESS, NAMELESS);
    here.symlink("link at the bottom", b"bottom");
}

fn make_symlinks(place: &Place) {
    place.symlink("relative", b"../contents/text");
    place.symlink("to-directory", b"../empty-directory");
    place.symlink("absolute", b"/etc/hostname");
    place.symlink("dangling", b"there/is/nothing");
    place.symlink("to-itself", b"to-itself");
    place.symlink("dots", b"./.././symlinks/.");
    place.symlink("not-utf-8", b"caf\xe9\xff\xfe");
    place.symlink("newline", b"new\nline ");
    place.symlink("4000-bytes", &b"long/".repeat(800));
    place.symlink("owned", b"../contents/empty");
    place.set_owner("owned", NAMELESS, 54_321);
    place.set_modified("owned", -1, 250_000_000);
    place.symlink("with-attribute", b"../contents/empty");
    place.set_xattr("with-attribute", "trusted.on-symlink", b"of the link");
}

fn make_hard_links(root: &Place) {
    let (left, right) = (root.make_directory("links-a"), root.make_directory("links-b"));
    let below = left.make_directory("below");
    left.write("file-1", &random_bytes("links", 100_000));
    left.link("file-1", &left, "file-2");
    left.link("file-1", &right, "file-3");
    below.write("small-1", b"small");
    below.link("small-1", &right, "small-2");
    below.link("small-1", &left, "small-3");
    right.set_owner("small-2", NAMELESS, 0);
    right.set_xattr("small-2", "user.linked", b"the same on every name");
    left.symlink("symlink-1", b"file-1");
    left.link("symlink-1", &right, "symlink-2");
    let special = root.make_directory("links-special");
    special.make_node("fifo-1", FileType::Fifo, 0);
    special.link("fifo-1", &special, "fifo-2");
}

fn make_special(place: &Place) {
    place.make_node("fifo", FileType::Fifo, 0);
    place.set_owner("fifo", NAMELESS, NAMELESS);
    place.set_permissions("fifo", 0o620);
    place.set_xattr("fifo", "trusted.on-fifo", b"1");
    place.make_node("socket", FileType::Socket, 0);
    place.set_permissions("socket", 0o777);
    place.make_node("character-device", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    place.set_permissions("character-device", 0o666);
    place.make_node("character-device-large", FileType::CharacterDevice, rustix::fs::makedev(0xabc, 0xfedcb));
    place.make_node("block-device", FileType::BlockDevice, rustix::fs::makedev(7, 200));
    place.set_owner("block-device", 0, 6);
    place.set_permissions("block-device", 0o660);
    place.make_node("block-device-large", FileType::BlockDevice, rustix::fs::makedev(259, 1_000_000));
}

fn make_permissions(place: &Place) {
    for permissions in [0o0, 0o1, 0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777] {
        let file = format!("file-{permissions:04o}");
        place.write(&file, b"#!/bin/true\n");
        place.set_permissions(&file, permissions);
        let directory = format!("directory-{permissions:04o}");
        place.make_directory(&directory).write("inside", b"inside");
        place.set_permissions(&directory, permissions);
    }
}

fn make_owners(place: &Place) {
    let owners = [(1, 1), (NAMELESS, NAMELESS), (0, NAMELESS), (NAMELESS, 0), (65_534, 65_534), (u32::MAX - 1, 4)];
    for (uid, gid) in owners {
        let file = format!("file-{uid}-{gid}");
        place.write(&file, b"owned");
        place.set_owner(&file, uid, gid);
        let directory = format!("directory-{uid}-{gid}");
        place.make_directory(&directory);
        place.set_owner(&directory, uid, gid);
    }
    place.write("set-id", b"owned and set-id");
    place.set_owner("set-id", NAMELESS, NAMELESS);
    place.set_permissions("set-id", 0o6755);
}

fn make_xattrs(place: &Place) {
    place.write("file", b"has attributes");
    place.set_xattr("file", "user.text", b"value");
    place.set_xattr("file", "user.empty", b"");
    place.set_xattr("file", "user.binary", &random_bytes("attribute", 300));
    place.set_xattr("file", "user.newline", b"two\nlines\n\0");
    place.set_xattr("file", OsStr::from_bytes(b"user.caf\xe9"), b"a name that is not UTF-8");
    place.set_xattr("file", "trusted.secret", b"for root");
    place.write("many", b"");
    for number in 0..40 {
        place.set_xattr("many", format!("user.number-{number}"), number.to_string().as_bytes());
    }
    place.write("large", b"has one attribute of 40 KiB");
    place.set_large_xattr("large", "user.large");
    let directory = place.make_directory("directory");
    directory.write("without", b"has none");
    place.set_xattr("directory", "user.on-directory", b"1");
    place.set_xattr("directory", "trusted.on-directory", b"2");
}

fn make_acls(place: &Place) {
    let none = u32::MAX;
    // The group's own entry (r--) is not the mask (rw-), which stat shows as the group's bits.
    let access =
        acl(&[(1, 7, none), (2, 6, 1), (2, 7, NAMELESS), (4, 4, none), (8, 5, 54_321), (16, 6, none), (32, 0, none)]);
    let default = acl(&[(1, 7, none), (2, 5, NAMELESS), (4, 5, none), (16, 5, none), (32, 1, none)]);
    place.write("file", b"has an ACL");
    place.set_xattr("file", "system.posix_acl_access", &access);
    place.write("closed-by-mask", b"has an ACL that grants nothing");
    place.set_xattr("closed-by-mask", "system.posix_acl_access", &access);
    place.set_permissions("closed-by-mask", 0o600);
    place.make_node("fifo", FileType::Fifo, 0);
    place.set_xattr("fifo", "system.posix_acl_access", &access);
    let directory = place.make_directory("directory");
    place.set_xattr("directory", "system.posix_acl_access", &access);
    place.set_xattr("directory", "system.posix_acl_default", &default);
    place.set_permissions("directory", 0o2770);
    directory.write("heir", b"inherited its ACL");
    directory.make_directory("heir-directory").write("heir", b"inherited too");
}

fn make_capabilities(place: &Place) {
    for (name, effective) in [("effective", 1u32), ("permitted", 0)] {
        place.write(name, b"#!/bin/true\n");
        place.set_permissions(name, 0o755);
        place.set_owner(name, NAMELESS, NAMELESS);
        // Version 2: permitted and inheritable, the low word of each and then the high one. cap_net_bind_service.
        let words = [0x0200_0000 | effective, 1 << 10, 1 << 10, 0, 0];
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        place.set_xattr(name, "security.capability", &value);
    }
}

fn make_times(place: &Place) {
    let times: [(&str, i64, u32); 9] = [
        ("1901", -2_147_000_000, 123_456_789),
        ("1969-last-half-second", -1, 500_000_000),
        ("1969-last-nanosecond", -1, 999_999_999),
        ("1970", 0, 0),
        ("1970-first-nanosecond", 0, 1),
        ("2001", 1_000_000_000, 999_999_999),
        ("2038", 2_147_483_648, 1),
        ("2106", 4_294_967_296, 5),
        ("2200", 7_258_118_400, 250_000_001),
    ];
    for (name, seconds, nanos) in times {
        place.write(name, name.as_bytes());
        place.set_modified(name, seconds, nanos);
        place.make_directory(format!("directory-{name}"));
        place.set_modified(format!("directory-{name}"), seconds, nanos);
    }
}

/// Gives each directory below `place` its own time, except those that got theirs on purpose.
fn set_directory_times(place: &Place, count: &mut i64) {
    for name in place.names() {
        if !place.is_directory(&name) {
            continue;
        }
        set_directory_times(&place.enter(&name), count);
        if !(place.path.ends_with("times") && name.as_bytes().starts_with(b"directory-")) {
            *count += 1;
            place.set_modified(&name, 1_100_000_000 + *count, 900_000_000 + u32::try_from(*count).unwrap());
        }
    }
}

/// The same bytes every time, without any order in them.
fn random_bytes(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The bytes of a POSIX ACL attribute, of entries (tag, permissions, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// An open directory. Everything goes by its descriptor, so that no path is too long.
struct Place {
    fd: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

impl Place {
    fn open(path: &Path) -> Place {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let fd = fd.unwrap_or_else(|errno| panic!("cannot open directory {path:?}: {errno}"));
        Place { fd, path: path.to_path_buf() }
    }

    #[track_caller]
    fn expect<T>(&self, operation: &str, name: &OsStr, result: rustix::io::Result<T>) -> T {
        let Place { path, .. } = self;
        result.unwrap_or_else(|errno| {
            panic!("cannot {operation} {name:?} in {path:?}: {errno} (can this filesystem hold it? does root lack a right?)")
        })
    }

    fn enter(&self, name: &OsStr) -> Place {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.expect("open directory", name, rustix::fs::openat(&self.fd, name, flags, Mode::empty()));
        Place { fd, path: self.path.join(name) }
    }

    fn make_directory(&self, name: impl AsRef<OsStr>) -> Place {
        let name = name.as_ref();
        self.expect("make directory", name, rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)));
        self.enter(name)
    }

    fn write(&self, name: impl AsRef<OsStr>, bytes: &[u8]) {
        self.write_runs(name, bytes.len() as u64, &[(0, bytes)]);
    }

    /// Makes a file of `size` bytes that has only these runs of (offset, bytes) as data.
    fn write_runs(&self, name: impl AsRef<OsStr>, size: u64, runs: &[(u64, &[u8])]) {
        let name = name.as_ref();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = std::fs::File::from(self.expect("make file", name, rustix::fs::openat(&self.fd, name, flags, mode)));
        self.expect("set the size of", name, rustix::fs::ftruncate(&file, size));
        for (offset, bytes) in runs {
            std::os::unix::fs::FileExt::write_all_at(&file, bytes, *offset)
                .unwrap_or_else(|error| panic!("cannot write {name:?} in {:?}: {error}", self.path));
        }
        drop(file);
        self.set_some_time(name);
    }

    fn symlink(&self, name: impl AsRef<OsStr>, target: &[u8]) {
        self.expect("make symlink", name.as_ref(), rustix::fs::symlinkat(target, &self.fd, name.as_ref()));
        self.set_some_time(name.as_ref());
    }

    fn link(&self, old: &str, to: &Place, new: &str) {
        let result = rustix::fs::linkat(&self.fd, old, &to.fd, new, AtFlags::empty());
        to.expect("make hard link", OsStr::new(new), result);
    }

    fn make_node(&self, name: &str, file_type: FileType, device: Dev) {
        let result = rustix::fs::mknodat(&self.fd, name, file_type, Mode::from_raw_mode(0o640), device);
        self.expect("make special file", OsStr::new(name), result);
        self.set_some_time(OsStr::new(name));
    }

    fn set_owner(&self, name: impl AsRef<OsStr>, uid: u32, gid: u32) {
        let (name, owner) = (name.as_ref(), (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))));
        let result = rustix::fs::chownat(&self.fd, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW);
        self.expect("set the owner of", name, result);
    }

    fn set_permissions(&self, name: impl AsRef<OsStr>, permissions: u32) {
        let name = name.as_ref();
        let result = rustix::fs::chmodat(&self.fd, name, Mode::from_raw_mode(permissions), AtFlags::empty());
        self.expect("set the permissions of", name, result);
        assert_eq!(self.stat(name).st_mode & 0o7777, permissions, "the filesystem changed the permissions of {name:?}");
    }

    /// A modification time that follows from the name alone: two trees built at different times are the same.
    fn set_some_time(&self, name: &OsStr) {
        let hash = blake3::hash(name.as_bytes());
        let number = u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap());
        self.set_modified(name, 1_000_000_000 + i64::from(number % 500_000_000), number % 1_000_000_000);
    }

    fn set_modified(&self, name: impl AsRef<OsStr>, seconds: i64, nanos: u32) {
        let name = name.as_ref();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
        };
        let result = rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        self.expect("set the time of", name, result);
        let stat = self.stat(name);
        let held = (stat.st_mtime, u64::from(nanos));
        assert_eq!(
            held,
            (seconds, stat.st_mtime_nsec),
            "the filesystem of {:?} cannot hold the modification time of {name:?} (ext4 needs inodes of 256 bytes)",
            self.path
        );
    }

    fn set_xattr(&self, name: impl AsRef<OsStr>, attribute: impl AsRef<OsStr>, value: &[u8]) {
        let (name, attribute) = (name.as_ref(), attribute.as_ref());
        let result = rustix::fs::lsetxattr(self.long_path(name), attribute, value, XattrFlags::empty());
        self.expect(&format!("set extended attribute {attribute:?} ({} bytes) of", value.len()), name, result);
    }

    /// An attribute of 40 KiB, or where the filesystem has no room for it, of as much as any has.
    fn set_large_xattr(&self, name: &str, attribute: &str) {
        let value = random_bytes("large attribute", 40 << 10);
        match rustix::fs::lsetxattr(self.long_path(OsStr::new(name)), attribute, &value, XattrFlags::empty()) {
            Err(Errno::NOSPC | Errno::TOOBIG) => {
                // Not by eprintln, which the test harness would swallow.
                let place = self.path.display();
                writeln!(
                    std::io::stderr(),
                    "note: the filesystem of {place} holds no attribute of 40 KiB; it gets 3000 bytes"
                )
                .expect("standard error");
                self.set_xattr(name, attribute, &value[..3000]);
            }
            result => self.expect("set an extended attribute of 40 KiB of", OsStr::new(name), result),
        }
    }

    /// A path of reasonable length, for the calls that know no directory descriptors.
    fn long_path(&self, name: &OsStr) -> PathBuf {
        descriptor_path(self.fd.as_fd()).join(name)
    }

    fn stat(&self, name: &OsStr) -> Stat {
        self.expect("stat", name, rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    fn is_directory(&self, name: &OsStr) -> bool {
        FileType::from_raw_mode(self.stat(name).st_mode) == FileType::Directory
    }

    /// Names of all entries, sorted bytewise.
    fn names(&self) -> Vec<OsString> {
        let entries = self.expect("list", OsStr::new("."), rustix::fs::Dir::read_from(&self.fd));
        let mut names = Vec::new();
        for entry in entries {
            let entry = self.expect("list", OsStr::new("."), entry);
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        names
    }
}

fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Every path below a root (the root itself is "."), with what was found there.
pub type Walk = BTreeMap<Vec<u8>, Vec<(String, String)>>;

/// Larger files are compared by their runs of data only.
const READ_WHOLE_MAX_BYTES: u64 = 1 << 30;

/// Holes begin and end at multiples of this on every filesystem the tests run on.
const BLOCK_BYTES: usize = 4096;

/// Reads everything about every entry below `root`: each field of stat but inode, device, access and change time,
/// block counts, and the sizes of directories; the group of hard links; symlink targets; extended attributes; contents,
/// and where they have data. Panics at the first thing it cannot read.
pub fn walk(root: &Path) -> Walk {
    let place = Place::open(root);
    let mut walker = Walker { found: Walk::new(), first_names: HashMap::new() };
    walker.entry(&place, OsStr::new("."), b".".to_vec());
    walker.directory(&place, &[]);
    walker.found
}

/// Forgets one field everywhere, where a comparison is not to look at it.
pub fn drop_field(walk: &mut Walk, field: &str) {
    for fields in walk.values_mut() {
        fields.retain(|(name, _)| name != field);
    }
}

/// Panics with the paths and fields in which the two differ.
#[track_caller]
pub fn assert_same(a: &Walk, b: &Walk) {
    let differences = differences(a, b);
    let shown = differences[..differences.len().min(60)].join("\n");
    assert!(differences.is_empty(), "the trees differ in {} places:\n{shown}", differences.len());
}

/// What differs, a line for each path and field.
pub fn differences(a: &Walk, b: &Walk) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, fields) in a {
        let shown = shorten(&format!("{:?}", OsStr::from_bytes(path)));
        let Some(others) = b.get(path) else {
            lines.push(format!("{shown}: only in the first"));
            continue;
        };
        let (fields, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (fields.iter().cloned().collect(), others.iter().cloned().collect());
        for name in fields.keys().chain(others.keys().filter(|name| !fields.contains_key(*name))) {
            let (left, right) = (fields.get(name), others.get(name));
            if left != right && !is_uncounted(name, left, right) {
                let show = |value: Option<&String>| value.map_or("absent".into(), |value| shorten(value));
                lines.push(format!("{shown}: {name}: {} and {}", show(left), show(right)));
            }
        }
    }
    for path in b.keys().filter(|path| !a.contains_key(*path)) {
        lines.push(format!("{}: only in the second", shorten(&format!("{:?}", OsStr::from_bytes(path)))));
    }
    lines
}

/// Some filesystems (btrfs, overlay) do not count the links of directories, and say 1.
fn is_uncounted(field: &str, left: Option<&String>, right: Option<&String>) -> bool {
    let is_one = |value: Option<&String>| value.is_some_and(|value| value == "1");
    field == "directory links" && (is_one(left) || is_one(right))
}

/// The two ends of a long text.
fn shorten(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= 200 {
        return text.to_string();
    }
    let (start, end) = (&characters[..120], &characters[characters.len() - 60..]);
    format!("{}...{} ({} bytes)", String::from_iter(start), String::from_iter(end), text.len())
}

struct Walker {
    found: Walk,
    /// Of each file with several names, by device and inode, the path met first.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

impl Walker {
    fn directory(&mut self, place: &Place, path: &[u8]) {
        for name in place.names() {
            let below = if path.is_empty() { name.as_bytes().to_vec() } else { [path, b"/", name.as_bytes()].concat() };
            self.entry(place, &name, below.clone());
            if place.is_directory(&name) {
                self.directory(&place.enter(&name), &below);
            }
        }
    }

    fn entry(&mut self, place: &Place, name: &OsStr, path: Vec<u8>) {
        let stat = place.stat(name);
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut add = |field: &str, value: String| fields.push((field.to_string(), value));
        add("type", format!("{file_type:?}"));
        add("permissions", format!("{:04o}", stat.st_mode & 0o7777));
        add("uid", stat.st_uid.to_string());
        add("gid", stat.st_gid.to_string());
        add("modified", format!("{} s + {:09} ns", stat.st_mtime, stat.st_mtime_nsec));
        if file_type == FileType::Directory {
            add("directory links", stat.st_nlink.to_string());
        } else {
            add("links", stat.st_nlink.to_string());
            add("size", stat.st_size.to_string());
        }
        if stat.st_nlink > 1 && file_type != FileType::Directory {
            let first = self.first_names.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.clone());
            add("same file as", format!("{:?}", OsStr::from_bytes(first)));
        }
        match file_type {
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                add("device number", format!("{major}:{minor}"));
            }
            FileType::Symlink => {
                let target = place.expect("read symlink", name, rustix::fs::readlinkat(&place.fd, name, Vec::new()));
                add("target", format!("{:?}", OsStr::from_bytes(target.to_bytes())));
            }
            FileType::RegularFile => fields.extend(read_content(place, name, stat.st_size.try_into().unwrap())),
            _ => {}
        }
        fields.extend(read_attributes(place, name));
        self.found.insert(path, fields);
    }
}

fn read_attributes(place: &Place, name: &OsStr) -> Vec<(String, String)> {
    let path = place.long_path(name);
    let mut buffer = vec![0; 1 << 16];
    let length = match rustix::fs::llistxattr(&path, &mut buffer[..]) {
        Err(Errno::NOTSUP) => 0,
        result => place.expect("list extended attributes of", name, result),
    };
    let names = buffer[..length].to_vec();
    let mut fields = Vec::new();
    for attribute in names.split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        let result = rustix::fs::lgetxattr(&path, attribute, &mut buffer[..]);
        let length = place.expect("read an extended attribute of", name, result);
        let value: String = buffer[..length].iter().map(|byte| format!("{byte:02x}")).collect();
        fields.push((format!("attribute {:?}", OsStr::from_bytes(attribute)), format!("0x{value}")));
    }
    fields
}

/// The hash of a file's bytes, and the ranges that are data and no hole.
fn read_content(place: &Place, name: &OsStr, size: u64) -> Vec<(String, String)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = place.expect("open", name, rustix::fs::openat(&place.fd, name, flags, Mode::empty()));
    let runs = data_runs(place, name, &fd, size);
    let file = std::fs::File::from(fd);
    let content = if size <= READ_WHOLE_MAX_BYTES {
        let mut hasher = blake3::Hasher::new();
        read_run(place, name, &file, (0, size), |_, piece| {
            hasher.update(piece);
        });
        hasher.finalize().to_string()
    } else {
        let data_bytes: u64 = runs.iter().map(|(start, end)| end - start).sum();
        let limit = READ_WHOLE_MAX_BYTES;
        assert!(data_bytes <= limit, "{name:?} in {:?} has no holes: {data_bytes} bytes of data", place.path);
        runs.iter().map(|run| hash_blocks(place, name, &file, *run)).collect::<Vec<_>>().join(" ")
    };
    let shown: Vec<String> = runs.iter().map(|(start, end)| format!("{start}..{end}")).collect();
    vec![("content".into(), content), ("data".into(), shown.join(" "))]
}

/// Hashes a run together with the offset of each of its blocks that is not all zeros.
fn hash_blocks(place: &Place, name: &OsStr, file: &std::fs::File, run: (u64, u64)) -> String {
    let mut hasher = blake3::Hasher::new();
    read_run(place, name, file, run, |mut offset, piece| {
        for block in piece.chunks(BLOCK_BYTES) {
            if block.iter().any(|byte| *byte != 0) {
                hasher.update(&offset.to_le_bytes()).update(block);
            }
            offset += block.len() as u64;
        }
    });
    hasher.finalize().to_string()
}

/// Passes on the offset and bytes of each piece from `start` to `end`.
fn read_run(
    place: &Place,
    name: &OsStr,
    file: &std::fs::File,
    (start, end): (u64, u64),
    mut take: impl FnMut(u64, &[u8]),
) {
    let mut buffer = vec![0; 256 * BLOCK_BYTES];
    let mut offset = start;
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        std::os::unix::fs::FileExt::read_exact_at(file, &mut buffer[..wanted], offset)
            .unwrap_or_else(|error| panic!("cannot read {name:?} in {:?} at {offset}: {error}", place.path));
        take(offset, &buffer[..wanted]);
        offset += wanted as u64;
    }
}

/// The ranges (start, end) that the filesystem says are data.
fn data_runs(place: &Place, name: &OsStr, fd: &OwnedFd, size: u64) -> Vec<(u64, u64)> {
    let mut runs = Vec::new();
    let mut offset = 0;
    while offset < size {
        let start = match rustix::fs::seek(fd, SeekFrom::Data(offset)) {
            // Nothing but a hole from here on.
            Err(Errno::NXIO) => break,
            result => place.expect("seek data in", name, result),
        };
        let end = place.expect("seek a hole in", name, rustix::fs::seek(fd, SeekFrom::Hole(start)));
        assert!(start >= offset && end > start && end <= size, "impossible data {start}..{end} in {name:?}");
        runs.push((start, end));
        offset = end;
    }
    runs
}
