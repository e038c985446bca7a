//! Listings: nothing twice, nothing left out, from any offset, with buffers of any size, by many at once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, SeekFrom};

use crate::Fidelity;
use crate::support::fidelity::BEYOND_PATH_MAX;
use crate::support::mounted::{Mount, Stage, as_user, drop_caches, identity, need_root, run_quietly, text};

/// One entry as getdents(2) tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dirent {
    name: Vec<u8>,
    ino: u64,
    file_type: FileType,
    /// Where a listing goes on behind it.
    cookie: u64,
}

fn open_directory(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap_or_else(|errno| panic!("{path:?}: {errno}"))
}

/// What getdents(2) tells from where `directory` stands, at most `limit` entries.
fn list(directory: impl AsFd, buffer_bytes: usize, limit: usize) -> Vec<Dirent> {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    let mut entries = RawDir::new(directory.as_fd(), buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(entry) = entries.next()
    {
        let entry = entry.unwrap();
        found.push(Dirent {
            name: entry.file_name().to_bytes().to_vec(),
            ino: entry.ino(),
            file_type: entry.file_type(),
            cookie: entry.next_entry_cookie(),
        });
    }
    found
}

const ALL: usize = usize::MAX;

/// Buffer sizes from one that holds a few entries to more than the kernel asks for.
const BUFFERS_BYTES: [usize; 5] = [1 << 10, 4 << 10, 32 << 10, 257 << 10, 1 << 20];

/// As many entries as nobody lists in one request, with names of all lengths.
const MANY: usize = 100_000;

fn many_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        (0..MANY).map(|number| format!("{number:06}{}", "x".repeat(number * 7919 % 249)).into_bytes()).collect();
    names.sort();
    names
}

/// The repository with a directory of [`MANY`] entries.
struct Many {
    stage: Stage,
    mounts: Cell<u32>,
}

impl Many {
    fn new() -> Many {
        let stage = Stage::new();
        let source = stage.make_directory("source/many");
        for name in many_names() {
            fs::File::create(source.join(OsString::from_vec(name))).unwrap();
        }
        stage.ingest(source.parent().unwrap(), "many");
        Many { stage, mounts: Cell::new(0) }
    }

    /// A mount of which the kernel remembers nothing yet, and the directory there.
    fn fresh(&self) -> (Mount, PathBuf) {
        self.mounts.set(self.mounts.get() + 1);
        let mount = self.stage.mount_with(&format!("mount-{}", self.mounts.get()), &[]);
        let directory = mount.latest("many").join("many");
        (mount, directory)
    }
}

#[test]
fn a_hundred_thousand_entries_are_listed_once_each_by_whoever_asks_however() {
    let many = Many::new();
    let expected: Vec<Vec<u8>> = [b".".to_vec(), b"..".to_vec()].into_iter().chain(many_names()).collect();
    for buffer_bytes in BUFFERS_BYTES {
        let (_mount, directory) = many.fresh();
        for turn in ["cold", "from the kernel's cache"] {
            let found = names_of(&list(open_directory(&directory), buffer_bytes, ALL));
            assert!(found == expected, "{turn}, by {buffer_bytes} bytes: {}", first_difference(&found, &expected));
        }
    }
    seeks_land_behind_the_entry_they_were_told_at(&many);
    many_listers_at_once_see_the_same(&many.fresh().1, &expected);
    listers_of_one_descriptor_share_the_entries(&many.fresh().1, &expected);
    long_listing_is_right(&many.fresh().1);
}

fn names_of(entries: &[Dirent]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.name.clone()).collect()
}

fn first_difference(found: &[Vec<u8>], expected: &[Vec<u8>]) -> String {
    let at = found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
    let show = |names: &[Vec<u8>]| names.get(at).map(|name| String::from_utf8_lossy(name).into_owned());
    let lengths = (found.len(), expected.len());
    format!("{lengths:?} entries; number {at} is {:?} and not {:?}", show(found), show(expected))
}

fn seeks_land_behind_the_entry_they_were_told_at(many: &Many) {
    let (_mount, directory) = many.fresh();
    let fd = open_directory(&directory);
    let entries = list(&fd, 32 << 10, ALL);
    // Told by one mount, good for any other.
    let (_other_mount, other_directory) = many.fresh();
    for turn in 0..100 {
        let at = turn * 7919 * 13 % entries.len();
        let other = open_directory(&other_directory);
        let fd = if turn % 2 == 0 { &fd } else { &other };
        rustix::fs::seek(fd, SeekFrom::Start(entries[at].cookie)).unwrap();
        let found = list(fd, BUFFERS_BYTES[turn % BUFFERS_BYTES.len()], 5);
        let expected = &entries[at + 1..entries.len().min(at + 6)];
        assert_eq!(found, expected, "behind entry {at}");
    }
    rustix::fs::seek(&fd, SeekFrom::Start(entries.last().unwrap().cookie)).unwrap();
    assert_eq!(list(&fd, 4096, ALL), []);
    rustix::fs::seek(&fd, SeekFrom::Start(0)).unwrap();
    assert_eq!(list(&fd, 4096, 3), entries[..3], "rewinddir");
}

fn many_listers_at_once_see_the_same(directory: &Path, expected: &[Vec<u8>]) {
    std::thread::scope(|scope| {
        for lister in 0..8 {
            scope.spawn(move || {
                let found = names_of(&list(open_directory(directory), BUFFERS_BYTES[lister % 5], ALL));
                assert!(found == expected, "lister {lister}: {}", first_difference(&found, expected));
            });
        }
    });
}

fn listers_of_one_descriptor_share_the_entries(directory: &Path, expected: &[Vec<u8>]) {
    let fd = open_directory(directory);
    let listers: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| names_of(&list(&fd, 8 << 10, ALL)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut found: Vec<Vec<u8>> = listers.concat();
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert!(found == expected, "{}", first_difference(&found, &expected));
}

fn long_listing_is_right(directory: &Path) {
    let listed = text(run_quietly(Command::new("ls").arg("-lU").arg(directory)));
    assert_eq!(listed.lines().filter(|line| line.starts_with("-rw")).count(), MANY);
}

/// Directories that can be opened by path, and all that leads to the snapshots.
fn directories_below(root: &Path) -> Vec<PathBuf> {
    let mut open = vec![root.to_path_buf()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}")) {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() && entry.file_name() != BEYOND_PATH_MAX {
                open.push(entry.path());
            }
        }
        found.push(directory);
    }
    found
}

#[test]
fn a_listing_tells_the_inode_number_and_type_that_stat_tells() {
    let fidelity = Fidelity::shared();
    let mut types = BTreeSet::new();
    for directory in directories_below(fidelity.mount.point()) {
        let entries = list(open_directory(&directory), 32 << 10, ALL);
        let names: BTreeSet<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
        assert_eq!(names.len(), entries.len(), "{directory:?}: a name is listed twice");
        assert!(names.contains(&b"."[..]) && names.contains(&b".."[..]), "{directory:?}");
        for entry in entries.iter().filter(|entry| entry.name != b".." || directory != fidelity.mount.point()) {
            let path = directory.join(std::ffi::OsStr::from_bytes(&entry.name));
            let stat = rustix::fs::lstat(&path).unwrap_or_else(|errno| panic!("{path:?}: {errno}"));
            let told = (entry.ino, entry.file_type);
            assert_eq!(told, (stat.st_ino, FileType::from_raw_mode(stat.st_mode)), "{path:?}");
            types.insert(stat.st_mode & 0o170000);
        }
    }
    assert_eq!(types.len(), 7, "types of entries seen: {types:?}");
}

#[test]
fn no_two_directories_share_an_inode_number() {
    let fidelity = Fidelity::shared();
    let mut known: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for directory in directories_below(fidelity.mount.point()) {
        let ino = fs::symlink_metadata(&directory).unwrap().ino();
        if let Some(other) = known.insert(ino, directory.clone()) {
            panic!("{directory:?} and {other:?} are both inode {ino}");
        }
    }
    assert!(known.len() > 150, "{}", known.len());
}

#[test]
fn every_directory_knows_its_place_also_while_others_come_by_other_ways() {
    need_root();
    let stage = Stage::new();
    stage.open_to_all();
    let source = stage.make_directory("source");
    fs::create_dir_all(source.join("a/b/c")).unwrap();
    fs::write(source.join("a/b/c/file"), "old").unwrap();
    let first = stage.ingest(&source, "lake");
    fs::write(source.join("a/b/c/file"), "new").unwrap();
    fs::create_dir_all(source.join("a/added/d")).unwrap();
    let second = stage.ingest(&source, "lake");
    stage.succeed(&["tag", "lake", "--add", "gold"]);
    let mount = stage.mount_with("mount", &["--allow-other"]);
    let shown: serde_json::Value = serde_json::from_str(&stage.succeed(&["show", "lake", "--json"])).unwrap();
    let id = &shown["id"].as_str().unwrap()[..12];
    let difference = mount.path(&format!("diff/lake@{first}..lake@{second}"));
    let real = mount.path(&format!("snapshots/lake/{second}"));
    let mut open: Vec<(PathBuf, OwnedFd)> = Vec::new();
    let places = [directories_below(mount.point()), directories_below(&difference)].concat();
    for directory in places {
        let fd = open_directory(&directory);
        open.push((directory, fd));
    }
    assert!(open.len() > 15, "{open:?}");
    let ways = ["snapshots/lake/latest", "at/now/lake", &format!("ids/{id}"), &format!("tags/gold/lake/{second}")];
    for way in ways {
        drop_caches();
        for below in ["", "a/b/c", "a/added/d"] {
            let path = mount.path(way).join(below);
            assert_eq!(identity(&path), identity(real.join(below)), "{path:?}");
            assert_eq!(fs::canonicalize(&path).unwrap(), real.join(below).components().collect::<PathBuf>());
            let working_directory = || text(run_quietly(Command::new("/bin/pwd").arg("-P").current_dir(&path)));
            let expected = format!("{}\n", real.join(below).display());
            assert_eq!(working_directory().trim_end(), expected.trim_end().trim_end_matches('/'), "{path:?}");
        }
        as_user(4000, 4000, || directories_below(&mount.path(way)));
        for (directory, fd) in &open {
            let place = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
            assert_eq!(&place, directory, "after a walk through {way}");
        }
    }
}

#[test]
fn a_listing_goes_on_rightly_while_snapshots_come_and_go() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let first = stage.ingest(&source, "lake");
    let second = stage.ingest(&source, "lake");
    let mount = stage.mount();
    let fd = open_directory(&mount.path("snapshots/lake"));
    // ".", ".." and the first snapshot.
    let started = list(&fd, 1 << 10, 3);
    assert_eq!(started[2].name, first.as_bytes());
    let third = stage.ingest(&source, "lake");
    stage.succeed(&["forget", &format!("lake@{first}")]);
    crate::support::mounted::within(std::time::Duration::from_secs(1), "the news", || {
        let names = crate::support::mounted::names(mount.path("snapshots/lake"));
        names.contains(&third) && !names.contains(&first)
    });
    rustix::fs::seek(&fd, SeekFrom::Start(started[2].cookie)).unwrap();
    let rest = names_of(&list(&fd, 1 << 10, ALL));
    assert_eq!(rest, [second.as_bytes(), third.as_bytes(), b"latest"]);
}

/// What name_to_handle_at(2) fills in, with room for what FUSE puts there.
#[repr(C)]
struct Handle {
    head: libc::file_handle,
    bytes: [u8; 128],
}

fn handle_of(path: &Path) -> Handle {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    let head = libc::file_handle { handle_bytes: 128, handle_type: 0, f_handle: [] };
    let mut handle = Handle { head, bytes: [0; 128] };
    let mut mount_id = 0;
    // SAFETY: the name ends with a zero byte, and behind the head lie as many bytes as it says.
    let result =
        unsafe { libc::name_to_handle_at(libc::AT_FDCWD, name.as_ptr(), &raw mut handle.head, &raw mut mount_id, 0) };
    assert_eq!(result, 0, "{path:?}: {}", std::io::Error::last_os_error());
    handle
}

fn open_handle(mount_point: &Path, handle: &mut Handle) -> fs::File {
    let mount = open_directory(mount_point);
    // SAFETY: behind the head lie as many bytes as it says, and the kernel only reads them.
    let fd = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), &raw mut handle.head, libc::O_RDONLY) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just opened, and nobody else's.
    unsafe { fs::File::from_raw_fd(fd) }
}

#[test]
fn file_handles_as_nfs_keeps_them_outlive_the_mount() {
    need_root();
    let fidelity = Fidelity::shared();
    let first = fidelity.stage.mount_with("first-mount", &[]);
    let latest = first.latest("tree");
    let below = latest.strip_prefix(first.point()).unwrap().to_path_buf();
    let paths = ["contents/text", "links-b/file-3", "deep/0/d/d/d", ""].map(|path| below.join(path));
    let mut handles = paths.each_ref().map(|path| handle_of(&first.path("").join(path)));
    first.unmount();
    let second = fidelity.stage.mount_with("second-mount", &[]);
    for (path, handle) in paths.iter().zip(&mut handles) {
        let opened = open_handle(second.point(), handle);
        let stat = opened.metadata().unwrap();
        if stat.is_dir() {
            let place = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).unwrap();
            assert_eq!(place, second.point().join(path).components().collect::<PathBuf>());
        } else {
            let bytes = std::io::read_to_string(opened).unwrap_or_default();
            assert_eq!(bytes, fs::read_to_string(second.point().join(path)).unwrap_or_default(), "{path:?}");
        }
        assert_eq!(stat.ino(), fs::metadata(second.point().join(path)).unwrap().ino(), "{path:?}");
    }
}

#[test]
fn a_listing_of_sources_goes_on_rightly_while_sources_come_and_go() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let old = ["d", "h", "m", "r", "w"];
    old.iter().for_each(|name| drop(stage.ingest(&source, name)));
    let mount = stage.mount();
    for started in 3..2 + old.len() {
        let fd = open_directory(&mount.path("snapshots"));
        let first = list(&fd, 1 << 10, started);
        // Between the others by name.
        let new = [format!("a{started}"), format!("j{started}"), format!("z{started}")];
        new.iter().for_each(|name| drop(stage.ingest(&source, name)));
        crate::support::mounted::within(std::time::Duration::from_secs(1), "the news", || {
            crate::support::mounted::names(mount.path("snapshots")).contains(&new[2])
        });
        rustix::fs::seek(&fd, SeekFrom::Start(first.last().unwrap().cookie)).unwrap();
        let listed = names_of(&[first, list(&fd, 1 << 10, ALL)].concat());
        for name in old {
            let count = listed.iter().filter(|listed| **listed == name.as_bytes()).count();
            assert_eq!(count, 1, "{name} of {started} entries before the news");
        }
    }
}
