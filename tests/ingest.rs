//! Stories of ingesting a directory: what goes in comes out, once.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::fs::inotify;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::{Gid, Uid};
use support::faulty::FaultyBackend;
use support::fidelity;
use support::mounted::Stage;
use support::repository::{Ingested, TestRepository, directory_options, now, open};
use support::stored::{assert_sound, stored_tree, stored_walk, visit};
use support::watcher::Watcher;
use tempfile::TempDir;
use yesterfs::Error;
use yesterfs::ingest::directory::{DirectoryOptions, ingest_directory};
use yesterfs::progress::{Counters, Monitor, Recorder};
use yesterfs::repository::Repository;
use yesterfs::repository::node::{DirectoryRoot, Node, NodeKind};
use yesterfs::repository::snapshot::{Snapshot, SnapshotStatus};
use yesterfs::store::backend::LocalBackend;
use yesterfs::time::Timestamp;

/// An ingest with another clock or another monitor than the usual ones.
fn ingest_watched(place: &TestRepository, options: &DirectoryOptions, monitor: &dyn Monitor) -> Arc<Snapshot> {
    ingest_directory(&place.repository, options, &now, monitor).unwrap().snapshot
}

fn node(repository: &Repository, snapshot: &Snapshot, path: &str) -> Node {
    let found = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, path.as_bytes()).unwrap();
    found.unwrap_or_else(|| panic!("no {path:?} in the snapshot"))
}

fn is_torn(node: &Node) -> bool {
    matches!(node.kind, NodeKind::File { torn: true, .. })
}

/// Every path of a snapshot but the root.
fn paths(ingested: &Ingested) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    visit(ingested.repository, &ingested.snapshot, |path, _| {
        paths.insert(String::from_utf8_lossy(path).into_owned());
    })
    .unwrap();
    paths.remove("");
    paths
}

fn set_of(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| path.to_string()).collect()
}

fn make(root: &Path, paths: &[&str]) {
    for path in paths {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match path.as_os_str().as_bytes().ends_with(b"/") {
            true => fs::create_dir_all(&path).unwrap(),
            false => fs::write(&path, path.as_os_str().as_bytes()).unwrap(),
        }
    }
}

/// A tmpfs that is unmounted when dropped.
struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    fn mount(path: PathBuf) -> Tmpfs {
        assert!(rustix::process::geteuid().is_root(), "this test mounts a tmpfs: run as root");
        fs::create_dir_all(&path).unwrap();
        rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>).unwrap();
        Tmpfs { path }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.path, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_directory_comes_back_and_the_second_ingest_reads_nothing() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir_all(source.join("sub/deeper")).unwrap();
    fs::write(source.join("small"), b"hello").unwrap();
    fs::write(source.join("sub/large"), support::noise(7, 5_000_000)).unwrap();
    fs::write(source.join("sub/deeper/empty"), b"").unwrap();
    support::wait_until_settled();

    let first = place.ingest(&source, "lake");
    assert_eq!(first.read("small").unwrap(), b"hello");
    assert_eq!(first.read("sub/large").unwrap(), support::noise(7, 5_000_000));
    assert_eq!(first.read("sub/deeper/empty").unwrap(), b"");
    assert_eq!(first.snapshot.manifest.files, 3);

    let second = place.ingest(&source, "lake");
    assert_eq!(second.counters.bytes_read, 0);
    assert_eq!(second.counters.bytes_new, 0);
    assert_eq!(second.counters.files_unchanged, 3);
    assert_eq!(second.snapshot.manifest.root, first.snapshot.manifest.root);

    // However its path is written.
    for same in ["source/", "source//", "./source/."] {
        assert_eq!(place.ingest(&place.path(same), "lake").counters.bytes_read, 0, "{same}");
    }

    let again = place.try_ingest(&source, "lake", |options| options.reread = true).unwrap();
    assert_eq!((again.counters.bytes_read, again.counters.bytes_new), (5_000_005, 0));
    assert_eq!(again.snapshot.manifest.root, first.snapshot.manifest.root);
}

/// What the kernel tells of the files in a directory: how often each was opened, and how often read from.
fn openings_and_reads(watch: &std::os::fd::OwnedFd) -> BTreeMap<String, (u32, u32)> {
    let mut files: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(rustix::io::Errno::AGAIN) => return files,
            Err(errno) => panic!("cannot read events: {errno}"),
        };
        if let Some(name) = event.file_name() {
            let counts = files.entry(name.to_str().unwrap().to_string()).or_default();
            counts.0 += u32::from(event.events().contains(inotify::ReadFlags::OPEN));
            counts.1 += u32::from(event.events().contains(inotify::ReadFlags::ACCESS));
        }
    }
}

#[test]
fn a_small_file_is_read_at_once_and_an_unchanged_one_not_even_opened() {
    let place = TestRepository::new();
    let source = place.path("source");
    let names: Vec<String> = (0..100).map(|number| format!("file-{number:03}")).collect();
    fs::create_dir(&source).unwrap();
    for (name, length) in names.iter().zip((1..).step_by(700)) {
        fs::write(source.join(name), support::noise(length, length as usize)).unwrap();
    }
    support::wait_until_settled();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &source, inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS).unwrap();
    place.ingest(&source, "lake");
    let once: BTreeMap<String, (u32, u32)> = names.into_iter().map(|name| (name, (1, 1))).collect();
    assert_eq!(openings_and_reads(&watch), once);
    let again = place.ingest(&source, "lake");
    assert_eq!(again.counters.files_unchanged, 100);
    assert_eq!(openings_and_reads(&watch), BTreeMap::new());
}

#[test]
fn everything_that_a_filesystem_can_express_comes_back() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fidelity::build_fidelity_tree(&source);
    support::wait_until_settled();
    let live = fidelity::walk(&source);

    let first = place.ingest(&source, "lake");
    assert_eq!(first.problems, []);
    assert_eq!(first.snapshot.manifest.status, SnapshotStatus::Complete);
    fidelity::assert_same(&live, &stored_walk(&place.repository, &first.snapshot).unwrap());

    // And from another process's point of view, with nothing but what is on disk.
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    let reopened = place.reopen().unwrap();
    fidelity::assert_same(&live, &stored_walk(&reopened, &first.snapshot).unwrap());

    let second = place.ingest(&source, "lake");
    assert_eq!((second.counters.bytes_read, second.counters.bytes_new), (0, 0));
    assert_eq!(second.snapshot.manifest.root, first.snapshot.manifest.root);
    // The one terabyte of a sparse file is counted, but not stored.
    assert!(second.snapshot.manifest.root.totals().bytes > 1 << 40);
    assert!(second.snapshot.manifest.root.totals().data_bytes < 64 << 20);
}

#[test]
fn long_stretches_between_holes_come_back() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let mut file = File::create(source.join("image")).unwrap();
    let stretches = [(1 << 20, 3 << 20), (8 << 20, 6 << 20), (20 << 20, (5 << 20) + 4096)];
    for (seed, (start, length)) in (0..).zip(stretches) {
        file.seek(SeekFrom::Start(start)).unwrap();
        file.write_all(&support::noise(seed, length)).unwrap();
    }
    file.set_len(40 << 20).unwrap();
    let ingested = place.ingest(&source, "lake");
    let node = node(&place.repository, &ingested.snapshot, "image");
    let NodeKind::File { content, .. } = &node.kind else { panic!("it is a file") };
    assert_eq!((content.size, content.data_bytes), (40 << 20, (14 << 20) + 4096));
    let stored = stored_tree(&place.repository, &ingested.snapshot).unwrap();
    assert!(stored[&b"image"[..]].1 == fs::read(source.join("image")).unwrap());
}

#[test]
fn owners_are_kept_by_name_too() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["root", "daemon", "nobody-here"]);
    std::os::unix::fs::chown(source.join("daemon"), Some(1), Some(1)).unwrap();
    std::os::unix::fs::chown(source.join("nobody-here"), Some(12_345), Some(54_321)).unwrap();
    let ingested = place.ingest(&source, "lake");
    for name in ["", "root", "daemon", "nobody-here"] {
        let stat = Command::new("stat").args(["--format", "%U %G"]).arg(source.join(name)).output().unwrap();
        let expected = String::from_utf8(stat.stdout).unwrap().replace("UNKNOWN", "");
        let node = node(&place.repository, &ingested.snapshot, name);
        let stored = format!("{} {}", String::from_utf8_lossy(&node.owner), String::from_utf8_lossy(&node.group));
        assert_eq!(stored, expected.trim_end_matches('\n'), "{name:?}");
    }
}

#[test]
fn holes_are_found_whatever_the_count_of_blocks_says() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    // One block of hole, and as much again in blocks that hold no data: st_blocks says that there is no hole.
    let file = File::create(source.join("attribute-block")).unwrap();
    file.write_all_at(&support::noise(1, 16_384), 0).unwrap();
    file.set_len(20_480).unwrap();
    rustix::fs::fsetxattr(&file, "user.large", &support::noise(2, 3000), rustix::fs::XattrFlags::empty()).unwrap();
    let file = File::create(source.join("preallocated")).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20).unwrap();
    file.write_all_at(&support::noise(3, 4096), 8192).unwrap();
    file.sync_all().unwrap();
    for name in ["attribute-block", "preallocated"] {
        let metadata = fs::metadata(source.join(name)).unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len(), "{name} was to have blocks for all of its bytes");
    }
    let ingested = place.ingest(&source, "lake");
    fidelity::assert_same(&fidelity::walk(&source), &stored_walk(&place.repository, &ingested.snapshot).unwrap());
    assert_eq!(node(&place.repository, &ingested.snapshot, "attribute-block").totals().data_bytes, 16_384);
}

/// Paths that one pattern or another speaks of.
const PATHS_FOR_PATTERNS: [&str; 21] = [
    "a.log",
    "keep.log",
    "deep/x/b.log",
    "deep/x/keep.log",
    "build/out",
    "src/build/out",
    "src/top-only",
    "top-only",
    "cache",
    "dir/cache/inside",
    "logs/2026/11/debug.txt",
    "logs/debug.txt",
    "mid/any/depth/end",
    "mid/end",
    "excluded/!odd",
    "excluded/kept-not",
    "#hash",
    "space ",
    "caf\u{e9}.tmp",
    "repeat/repeat/file",
    "repeat/file",
];

#[test]
fn patterns_leave_out_what_gitignore_would() {
    let everything = PATHS_FOR_PATTERNS;
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &everything);
    let leaves = |patterns: &[&str], files: &[PathBuf]| -> BTreeSet<String> {
        let ingested = place
            .try_ingest(&source, "lake", |options| {
                options.exclude = patterns.iter().map(|pattern| pattern.to_string()).collect();
                options.exclude_files = files.to_vec();
            })
            .unwrap();
        let kept = paths(&ingested);
        everything.iter().filter(|path| !kept.contains(**path)).map(|path| path.to_string()).collect()
    };
    assert_eq!(leaves(&[], &[]), set_of(&[]));
    assert_eq!(leaves(&["*.log"], &[]), set_of(&["a.log", "keep.log", "deep/x/b.log", "deep/x/keep.log"]));
    // The last pattern that matches decides.
    assert_eq!(leaves(&["*.log", "!keep.log"], &[]), set_of(&["a.log", "deep/x/b.log"]));
    assert_eq!(leaves(&["!keep.log", "*.log"], &[]), set_of(&["a.log", "keep.log", "deep/x/b.log", "deep/x/keep.log"]));
    // Nothing comes back below a directory that is left out.
    assert_eq!(leaves(&["excluded/", "!excluded/kept-not"], &[]), set_of(&["excluded/!odd", "excluded/kept-not"]));
    assert_eq!(leaves(&["excluded/*", "!excluded/kept-not"], &[]), set_of(&["excluded/!odd"]));
    // A slash at the end: directories only. A slash elsewhere: from the root only.
    assert_eq!(leaves(&["cache/"], &[]), set_of(&["dir/cache/inside"]));
    assert_eq!(leaves(&["cache"], &[]), set_of(&["cache", "dir/cache/inside"]));
    assert_eq!(leaves(&["/top-only"], &[]), set_of(&["top-only"]));
    assert_eq!(leaves(&["/build"], &[]), set_of(&["build/out"]));
    assert_eq!(leaves(&["src/build"], &[]), set_of(&["src/build/out"]));
    assert_eq!(leaves(&["logs/**/debug.txt"], &[]), set_of(&["logs/2026/11/debug.txt", "logs/debug.txt"]));
    assert_eq!(leaves(&["**/build"], &[]), set_of(&["build/out", "src/build/out"]));
    assert_eq!(leaves(&["mid/**/end"], &[]), set_of(&["mid/any/depth/end", "mid/end"]));
    assert_eq!(leaves(&["mid/*/end"], &[]), set_of(&[]));
    assert_eq!(leaves(&["\\#hash", "space\\ ", "excluded/\\!odd"], &[]), set_of(&["#hash", "space ", "excluded/!odd"]));
    // A question mark is one byte, as git has it.
    assert_eq!(leaves(&["caf?.tmp"], &[]), set_of(&[]));
    assert_eq!(leaves(&["caf??.tmp", "[a-b].log"], &[]), set_of(&["caf\u{e9}.tmp", "a.log", "deep/x/b.log"]));
    // A path is taken from the root, also where it begins with the root's own words.
    assert_eq!(leaves(&["/repeat/file"], &[]), set_of(&["repeat/file"]));
    // Files of patterns, with comments and empty lines; the command line has the last word.
    let file = place.path("patterns");
    fs::write(&file, "# a comment\n\n*.log\n  \n/top-only\n").unwrap();
    let from_file = ["a.log", "keep.log", "deep/x/b.log", "deep/x/keep.log", "top-only"];
    assert_eq!(leaves(&[], std::slice::from_ref(&file)), set_of(&from_file));
    assert_eq!(leaves(&["!*.log"], &[file]), set_of(&["top-only"]));
    let missing = place.try_ingest(&source, "lake", |options| options.exclude_files = vec![place.path("no-such-file")]);
    assert!(matches!(missing.err(), Some(Error::Invalid { what: "exclude file", .. })));
    for pattern in ["a{b", "[z", "kept/[a-"] {
        let malformed = place.try_ingest(&source, "lake", |options| options.exclude = vec![pattern.into()]);
        let Some(Error::Invalid { what: "exclude pattern", value, .. }) = malformed.err() else { panic!("{pattern}") };
        assert_eq!(value, pattern);
    }
}

#[test]
fn patterns_mean_the_same_for_a_source_named_by_a_relative_path() {
    // `repeat/file` below a source that is itself named `repeat` is not `/file`.
    let place = TestRepository::new();
    let above = place.path("above");
    make(&above, &["repeat/repeat/file", "repeat/file"]);
    let ingested = std::thread::scope(|scope| {
        let from_above = || {
            // SAFETY: the thread gets a working directory of its own; no descriptors or memory are involved.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS).unwrap() };
            std::env::set_current_dir(&above).unwrap();
            place.try_ingest(Path::new("repeat"), "lake", |options| options.exclude = vec!["/file".into()]).unwrap()
        };
        scope.spawn(from_above).join().unwrap()
    });
    assert_eq!(paths(&ingested), set_of(&["repeat", "repeat/file"]));
}

#[test]
fn one_file_system_stops_at_mount_points_and_keeps_them_empty() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["file", "mnt/hidden-below", "other/file"]);
    let _tmpfs = Tmpfs::mount(source.join("mnt"));
    make(&source, &["mnt/inside", "mnt/sub/inside"]);
    fs::set_permissions(source.join("mnt"), fs::Permissions::from_mode(0o1751)).unwrap();

    let all = place.ingest(&source, "lake");
    assert_eq!(paths(&all), set_of(&["file", "mnt", "mnt/inside", "mnt/sub", "mnt/sub/inside", "other", "other/file"]));
    let one = place.try_ingest(&source, "lake", |options| options.one_file_system = true).unwrap();
    assert_eq!(paths(&one), set_of(&["file", "mnt", "other", "other/file"]));
    assert_eq!(node(&place.repository, &one.snapshot, "mnt").permissions, 0o1751);
    assert_eq!(one.snapshot.manifest.status, SnapshotStatus::Complete);
}

#[test]
fn a_repository_does_not_swallow_itself() {
    let place = TestRepository::new();
    let source = place.path("");
    make(&source, &["beside/file"]);
    let options =
        DirectoryOptions { repository_directory: Some(place.path("repo")), ..directory_options(&source, "lake") };
    let recorder = Recorder::default();
    let snapshot = ingest_watched(&place, &options, &recorder);
    let found = stored_tree(&place.repository, &snapshot).unwrap();
    assert_eq!(
        found.keys().map(|path| String::from_utf8_lossy(path)).collect::<Vec<_>>(),
        ["", "beside", "beside/file"]
    );
    let notes = recorder.notes.into_inner().unwrap();
    assert!(notes.iter().any(|note| note.contains("passing over \"repo\"")), "{notes:?}");

    // Neither may one name it, or something in it, nor hide that behind a link or a mount.
    symlink("repo/packs", source.join("link")).unwrap();
    for inside in ["repo", "repo/packs", "beside/../repo/catalog", "link"] {
        let refused = place.try_ingest(&place.path(inside), "lake", |_| {});
        assert!(matches!(refused.err(), Some(Error::Invalid { what: "directory", .. })), "{inside}");
    }
    fs::create_dir(place.path("bound")).unwrap();
    rustix::mount::mount_bind(place.path("repo"), place.path("bound")).unwrap();
    let refused = place.try_ingest(&place.path("bound"), "lake", |_| {});
    rustix::mount::unmount(place.path("bound"), UnmountFlags::DETACH).unwrap();
    assert!(matches!(refused.err(), Some(Error::Invalid { what: "directory", .. })));
}

#[test]
fn a_mount_of_the_repository_is_passed_over_and_refused() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["file"]);
    // What tells a mount of the repository is an attribute of its root, so this one looks like it.
    let tmpfs = Tmpfs::mount(source.join("mnt"));
    make(&tmpfs.path, &["snapshots/lake/latest/file"]);
    let mark = |id: &str| {
        rustix::fs::setxattr(&tmpfs.path, "user.yesterfs.repository", id.as_bytes(), rustix::fs::XattrFlags::empty())
            .unwrap()
    };
    mark(&place.repository.id().to_string());
    assert_eq!(paths(&place.ingest(&source, "lake")), set_of(&["file"]));
    for inside in [tmpfs.path.clone(), tmpfs.path.join("snapshots/lake")] {
        let refused = place.try_ingest(&inside, "lake", |_| {});
        assert!(matches!(refused.err(), Some(Error::Invalid { what: "directory", .. })), "{inside:?}");
    }
    // A mount of another repository is a directory like others.
    mark("00112233445566778899aabbccddeeff");
    assert!(paths(&place.ingest(&source, "lake")).contains("mnt/snapshots/lake/latest/file"));
}

#[test]
fn a_real_mount_of_the_repository_in_the_source_is_passed_over() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    make(&source, &["a", "sub/b"]);
    let first = stage.ingest(&source, "lake");
    let mount = stage.mount_with("source/sub/mnt", &[]);
    assert!(mount.point().join("snapshots/lake").join(&first).join("sub/b").exists());
    stage.ingest(&source, "lake");
    assert_eq!(stage.succeed(&["ls", "-R", "lake"]), "a\nsub\nsub/b\nsub/mnt.log\n");
    let repository = stage.open();
    for inside in ["", "snapshots", &format!("snapshots/lake/{first}/sub")] {
        let options = directory_options(&mount.point().join(inside), "lake");
        let refused = ingest_directory(&repository, &options, &now, &Recorder::default());
        assert!(matches!(refused.err(), Some(Error::Invalid { what: "directory", .. })), "{inside:?}");
    }
}

#[test]
fn the_command_takes_what_is_to_be_left_out() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    make(&source, &["a.log", "keep.log", "cache/x", "mnt/below", "sub/b", "sub/b.tmp", "sub/keep.tmp"]);
    let _tmpfs = Tmpfs::mount(source.join("mnt"));
    make(&source, &["mnt/inside"]);
    fs::write(stage.path("patterns"), "# what nobody wants\n*.tmp\n/cache/\n!keep.tmp\n").unwrap();
    let (directory, patterns) = (source.to_str().unwrap().to_string(), stage.path("patterns"));
    let list = |options: &[&str]| {
        stage.succeed(&[&["ingest", "dir", &directory, "--source", "lake"], options].concat());
        set_of(&stage.succeed(&["ls", "-R", "lake"]).lines().collect::<Vec<_>>())
    };
    let file = ["--exclude-file", patterns.to_str().unwrap()];
    assert_eq!(
        list(&[&file[..], &["--exclude", "*.log", "--exclude", "!keep.log", "--one-file-system"]].concat()),
        set_of(&["keep.log", "mnt", "sub", "sub/b", "sub/keep.tmp"])
    );
    assert_eq!(
        list(&[&file[..], &["--exclude", "sub", "-x", "--threads", "5", "--reread"]].concat()),
        set_of(&["a.log", "keep.log", "mnt"])
    );
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["readable", "secret", "closed/inside", "z-last"]);
    fs::set_permissions(source.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(source.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let nobody = 65_534;
    for path in ["", "repo", "repo/config"] {
        std::os::unix::fs::chown(place.path(path), Some(nobody), Some(nobody)).unwrap();
    }
    // A user of its own for this thread and those that it starts.
    let ingested = std::thread::scope(|scope| {
        let as_nobody = || {
            let (uid, gid) = (Uid::from_raw(nobody), Gid::from_raw(nobody));
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            place.ingest(&source, "lake")
        };
        scope.spawn(as_nobody).join().unwrap()
    });
    assert_eq!(ingested.snapshot.manifest.status, SnapshotStatus::Partial);
    assert_eq!(paths(&ingested), set_of(&["readable", "z-last"]));
    // In tree order, whoever was faster.
    let problems: Vec<_> = ingested.problems.iter().map(|problem| problem.path.to_str().unwrap()).collect();
    assert_eq!(problems, ["closed", "secret"]);
    let reasons: Vec<_> = ingested.problems.iter().map(|problem| problem.reason.as_str()).collect();
    assert!(reasons.iter().all(|reason| reason.contains("Permission denied")), "{reasons:?}");
    let manifest = &ingested.snapshot.manifest;
    assert_eq!((manifest.problems, manifest.problem_list.len()), (2, 2));

    // Once all can be read, the next snapshot has it all again.
    fs::set_permissions(source.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    let whole = place.ingest(&source, "lake");
    assert_eq!(whole.snapshot.manifest.status, SnapshotStatus::Complete);
    assert_eq!(paths(&whole), set_of(&["readable", "secret", "closed", "closed/inside", "z-last"]));
}

#[test]
fn attributes_that_do_not_fit_cost_only_themselves() {
    let place = TestRepository::new();
    let tmpfs = Tmpfs::mount(place.path("source"));
    make(&tmpfs.path, &["file", "directory/inside"]);
    for name in ["file", "directory"] {
        for number in 0..20 {
            let attribute = format!("trusted.number-{number}");
            let value = support::noise(number, 60_000);
            let path = tmpfs.path.join(name);
            rustix::fs::setxattr(&path, attribute, &value, rustix::fs::XattrFlags::empty()).unwrap();
        }
    }
    let ingested = place.ingest(&tmpfs.path, "lake");
    assert_eq!(paths(&ingested), set_of(&["file", "directory", "directory/inside"]));
    assert_eq!(ingested.snapshot.manifest.status, SnapshotStatus::Partial);
    let problems: Vec<_> = ingested.problems.iter().map(|problem| problem.path.to_str().unwrap()).collect();
    assert_eq!(problems, ["directory", "file"]);
    // The next ingest tries again, and says so again.
    assert_eq!(place.ingest(&tmpfs.path, "lake").problems.len(), 2);
}

/// Appends to a file at known moments of its reading.
fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_file_that_changes_once_is_read_again() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let file = source.join("busy");
    fs::write(&file, support::noise(1, 2_000_000)).unwrap();
    let appended = AtomicUsize::new(0);
    let watcher = Watcher::new(|recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes_read) > 1_000_000 && appended.fetch_add(1, Ordering::SeqCst) == 0 {
            append(&file, b"more");
        }
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    assert!(appended.load(Ordering::SeqCst) > 0);
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
    assert!(!is_torn(&node(&place.repository, &snapshot, "busy")));
    let stored = stored_tree(&place.repository, &snapshot).unwrap();
    assert!(stored[&b"busy"[..]].1 == fs::read(&file).unwrap());
    assert!(Counters::get(&watcher.recorder.counters.bytes_read) >= 3_000_000, "it was read twice");
}

#[test]
fn a_long_file_is_counted_while_it_is_read_and_once() {
    const BYTES: usize = 20_000_000;
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("long"), support::noise(1, BYTES)).unwrap();
    let changed = AtomicUsize::new(0);
    let seen = Mutex::new(BTreeSet::new());
    let watcher = Watcher::new(|recorder: &Recorder| {
        seen.lock().unwrap().insert(Counters::get(&recorder.counters.bytes));
        // Near its end the file changes, and is read again.
        if Counters::get(&recorder.counters.bytes_read) as usize > BYTES - 1_000_000
            && changed.fetch_add(1, Ordering::SeqCst) == 0
        {
            append(&source.join("long"), b"more");
        }
    });
    ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    let counters = &watcher.recorder.counters;
    assert!(Counters::get(&counters.bytes_read) as usize > 2 * BYTES);
    assert_eq!(Counters::get(&counters.bytes) as usize, BYTES + 4);
    assert!(seen.lock().unwrap().len() > 30, "{:?}", seen.lock().unwrap());
}

#[test]
fn a_file_that_never_stops_changing_is_stored_and_flagged() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["calm"]);
    let file = source.join("busy");
    fs::write(&file, support::noise(1, 1_000_000)).unwrap();
    let watcher = Watcher::new(|recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes_read) > 0 {
            append(&file, b"more");
        }
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Partial);
    let problems = watcher.recorder.problems.into_inner().unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].path == Path::new("busy") && problems[0].reason.contains("changed"), "{problems:?}");
    assert!(is_torn(&node(&place.repository, &snapshot, "busy")));
    assert!(!is_torn(&node(&place.repository, &snapshot, "calm")));
    // Three attempts, not more.
    let read = Counters::get(&watcher.recorder.counters.bytes_read);
    assert!((3_000_000..4_000_000).contains(&read), "{read} bytes were read");

    // A flagged file is read again although it does not change any more.
    support::wait_until_settled();
    let after = place.ingest(&source, "lake");
    assert_eq!(after.snapshot.manifest.status, SnapshotStatus::Complete);
    assert!(!is_torn(&node(&place.repository, &after.snapshot, "busy")));
    assert!(after.read("busy").unwrap() == fs::read(&file).unwrap());
}

#[test]
fn a_file_that_another_program_keeps_appending_to_is_flagged() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let file = source.join("log");
    fs::write(&file, support::noise(1, 20_000_000)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let ingested = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                append(&file, b"a line\n");
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let ingested = place.ingest(&source, "lake");
        stop.store(true, Ordering::Relaxed);
        ingested
    });
    assert_eq!(ingested.snapshot.manifest.status, SnapshotStatus::Partial);
    assert!(is_torn(&node(&place.repository, &ingested.snapshot, "log")));
    // What was only appended to is still a state that it had.
    let stored = ingested.read("log").unwrap();
    assert!(stored.len() >= 20_000_000 && fs::read(&file).unwrap().starts_with(&stored));
}

#[test]
fn entries_that_vanish_after_they_were_listed_are_no_problem() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["a", "gone", "gone-directory/inside", "stays"]);
    let calls = AtomicUsize::new(0);
    let watcher = Watcher::new(|_: &Recorder| {
        // The first question comes when the top was listed and nothing else was looked at.
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            fs::remove_file(source.join("gone")).unwrap();
            fs::remove_dir_all(source.join("gone-directory")).unwrap();
        }
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    assert_eq!(watcher.recorder.problems.into_inner().unwrap(), []);
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Complete);
    let tree = stored_tree(&place.repository, &snapshot).unwrap();
    assert_eq!(tree.keys().map(|path| String::from_utf8_lossy(path)).collect::<Vec<_>>(), ["", "a", "stays"]);
}

/// A monitor that acts once: when the walk is about to take its `step`th step, counted from 1.
fn at_step(step: usize, act: impl Fn() + Send + Sync) -> Watcher<impl Fn(&Recorder) + Send + Sync> {
    let (walker, steps) = (OnceLock::new(), AtomicUsize::new(0));
    Watcher::new(move |_: &Recorder| {
        // The one who lists asks first.
        let current = std::thread::current().id();
        if *walker.get_or_init(|| current) == current && steps.fetch_add(1, Ordering::SeqCst) + 1 == step {
            act();
        }
    })
}

fn problems_of(watcher: Watcher<impl Fn(&Recorder) + Send + Sync>) -> Vec<(String, String)> {
    let problems = watcher.recorder.problems.into_inner().unwrap();
    problems.into_iter().map(|problem| (problem.path.display().to_string(), problem.reason)).collect()
}

#[test]
fn an_entry_is_what_it_is_when_its_turn_comes() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(
        &source,
        &["to-device", "to-directory", "to-fifo", "to-file", "to-link", "d-to-file/inside", "d-to-link/inside"],
    );
    make(&place.path("outside"), &["inside"]);
    let watcher = at_step(1, || {
        let replace = |name: &str, make: &dyn Fn(&Path)| {
            let path = source.join(name);
            fs::rename(&path, place.path(&format!("old-{name}"))).unwrap();
            make(&path);
        };
        let node = |kind, number| {
            move |path: &Path| rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), number).unwrap()
        };
        replace("to-device", &node(rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3)));
        replace("to-fifo", &node(rustix::fs::FileType::Fifo, 0));
        replace("to-directory", &|path| fs::create_dir(path).unwrap());
        replace("to-file", &|path| fs::write(path, "another").unwrap());
        replace("to-link", &|path| symlink("to-file", path).unwrap());
        replace("d-to-file", &|path| fs::write(path, "no directory").unwrap());
        replace("d-to-link", &|path| symlink(place.path("outside"), path).unwrap());
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    let kind = |path: &str| node(&place.repository, &snapshot, path).kind.letter();
    assert_eq!([kind("to-device"), kind("to-fifo"), kind("to-link")], [b'c', b'p', b'l']);
    assert_eq!(stored_tree(&place.repository, &snapshot).unwrap()[&b"to-file"[..]].1, b"another");
    // What was listed as a directory, or became one, is not guessed at; nor does a link lead out of the source.
    let lost: Vec<String> = problems_of(watcher).into_iter().map(|(path, _)| path).collect();
    assert_eq!(lost, ["d-to-file", "d-to-link", "to-directory"]);
    let tree = stored_tree(&place.repository, &snapshot).unwrap();
    assert_eq!(tree.keys().filter(|path| path.starts_with(b"d") || path.ends_with(b"directory")).count(), 0);
}

/// The path of a directory in a chain of them.
fn level(number: usize) -> String {
    vec!["d"; number].join("/")
}

/// The path of a file in that directory.
fn in_level(number: usize, name: &str) -> String {
    [level(number), name.to_string()].join("/").trim_start_matches('/').to_string()
}

/// A chain of 60 directories below the source, each with a file that is met on the way back up.
fn make_chain(place: &TestRepository) -> PathBuf {
    let source = place.path("source");
    (0..=60).for_each(|number| make(&source, &[&in_level(number, "z")]));
    source
}

#[test]
fn a_directory_that_is_moved_away_costs_none_above_it() {
    // One that is open while the walk is at the bottom, one that is not, and those between.
    for moved in [10, 28, 29, 30, 31, 45] {
        let place = TestRepository::new();
        let source = make_chain(&place);
        let at_the_bottom = at_step(61, || fs::rename(source.join(level(moved)), place.path("moved")).unwrap());
        let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &at_the_bottom);
        assert_eq!(problems_of(at_the_bottom), [], "level {moved}");
        assert!(place.path("moved").exists());
        assert_eq!((snapshot.manifest.status, snapshot.manifest.files), (SnapshotStatus::Complete, 61));
    }
}

#[test]
fn a_directory_that_cannot_be_found_again_is_reported_and_no_other_is_read_for_it() {
    let place = TestRepository::new();
    let source = make_chain(&place);
    let at_the_bottom = at_step(61, || {
        fs::rename(source.join(level(30)), place.path("moved-30")).unwrap();
        fs::rename(source.join(level(20)), place.path("moved-20")).unwrap();
        make(&source, &[&in_level(20, "wrong"), &in_level(21, "wrong"), &in_level(29, "z")]);
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &at_the_bottom);
    assert_eq!(snapshot.manifest.status, SnapshotStatus::Partial);
    let problems = problems_of(at_the_bottom);
    let lost: Vec<String> = (20..30).rev().map(level).collect();
    assert_eq!(problems.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), lost);
    assert!(problems.iter().all(|(_, reason)| reason.contains("cannot open the directory again")), "{problems:?}");
    let tree = stored_tree(&place.repository, &snapshot).unwrap();
    for number in 0..=60 {
        let has_file = tree.contains_key(in_level(number, "z").as_bytes());
        assert_eq!(has_file, !(20..30).contains(&number), "level {number}");
    }
    assert!(!tree.keys().any(|path| path.ends_with(b"wrong")));
}

#[test]
fn a_source_that_vanishes_meanwhile_makes_no_snapshot() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["a", "sub/b", "z"]);
    let watcher = at_step(2, || fs::remove_dir_all(&source).unwrap());
    let gone = ingest_directory(&place.repository, &directory_options(&source, "lake"), &now, &watcher);
    let error = gone.err().unwrap().to_string();
    assert!(error.contains("source") && error.contains("deleted meanwhile"), "{error}");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 0);
}

#[test]
fn a_snapshot_is_the_same_however_many_threads_made_it() {
    let place = TestRepository::new();
    let source = place.path("source");
    // Long files between small ones, so that threads leave the rest to each other, and many directories.
    for number in 0..300u64 {
        let length = if number % 37 == 5 { 600_000 } else { number * 7 };
        let path = source.join(format!("d{}/{}/file-{number}", number % 7, number % 5));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, support::noise(number, length as usize)).unwrap();
        if number % 50 == 0 {
            fs::hard_link(&path, source.join(format!("link-{number}"))).unwrap();
        }
    }
    let root = |threads: usize, source_name: &str| {
        let ingested = place.try_ingest(&source, source_name, |options| options.threads = threads).unwrap();
        ingested.snapshot.manifest.root.clone()
    };
    let expected = root(1, "one");
    for threads in [2, 3, 8, 40] {
        assert_eq!(root(threads, &format!("threads-{threads}")), expected, "{threads} threads");
    }
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let place = TestRepository::new();
    let error = place.try_ingest(&place.path("nowhere"), "lake", |_| {}).err().unwrap();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("nowhere"), "{error}");
    make(&place.path(""), &["file"]);
    let error = place.try_ingest(&place.path("file"), "lake", |_| {}).err().unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 0);
}

#[test]
fn a_file_that_changed_within_a_minute_of_the_reading_is_read_again() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), support::noise(1, 10_000)).unwrap();
    let metadata = fs::metadata(source.join("file")).unwrap();
    let changed = Timestamp { seconds: metadata.ctime(), nanos: u32::try_from(metadata.ctime_nsec()).unwrap() };
    let bytes_read = |seconds_later: i64| {
        let clock = move || Timestamp { seconds: changed.seconds + seconds_later, ..changed };
        let recorder = Recorder::default();
        ingest_directory(&place.repository, &directory_options(&source, "lake"), &clock, &recorder).unwrap();
        Counters::get(&recorder.counters.bytes_read)
    };
    assert_eq!(bytes_read(30), 10_000, "it is new");
    assert_eq!(bytes_read(30), 10_000, "it may have changed again without its ctime telling");
    assert_eq!(bytes_read(60), 10_000, "the former reading did not settle it");
    assert_eq!(bytes_read(60), 0, "this one did");
}

#[test]
fn a_change_that_restores_size_and_time_is_seen() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["file"]);
    fs::write(source.join("file"), b"before").unwrap();
    support::wait_until_settled();
    let first = place.ingest(&source, "lake");
    let modified = fs::metadata(source.join("file")).unwrap().modified().unwrap();
    fs::write(source.join("file"), b"behind").unwrap();
    File::options().write(true).open(source.join("file")).unwrap().set_modified(modified).unwrap();
    support::wait_until_settled();
    let second = place.ingest(&source, "lake");
    assert_eq!(first.read("file").unwrap(), b"before");
    assert_eq!(second.read("file").unwrap(), b"behind");

    // Another file under the same name, also with the old time and size.
    fs::write(source.join("new"), b"beyond").unwrap();
    File::options().write(true).open(source.join("new")).unwrap().set_modified(modified).unwrap();
    support::wait_until_settled();
    fs::rename(source.join("new"), source.join("file")).unwrap();
    assert_eq!(place.ingest(&source, "lake").read("file").unwrap(), b"beyond");
}

/// A tree of some hundred files, and how many bytes it stores at first.
fn make_large_tree(place: &TestRepository) -> PathBuf {
    let source = place.path("source");
    for directory in 0..10 {
        fs::create_dir_all(source.join(format!("d{directory}/below"))).unwrap();
        for file in 0..30u64 {
            let path = source.join(format!("d{directory}/below/file-{file:03}"));
            fs::write(path, support::noise(directory * 1000 + file, 20_000)).unwrap();
        }
    }
    support::wait_until_settled();
    source
}

#[test]
fn a_chmod_stores_one_chain_of_pages_and_no_data() {
    let place = TestRepository::new();
    let source = make_large_tree(&place);
    let first = place.ingest(&source, "lake");
    fs::set_permissions(source.join("d3/below/file-007"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(source.join("d5"), fs::Permissions::from_mode(0o700)).unwrap();
    support::wait_until_settled();
    let second = place.ingest(&source, "lake");
    // A new ctime may as well mean new bytes, so that one file is read. A directory has none.
    assert_eq!(second.counters.bytes_read, 20_000);
    assert_eq!(second.counters.files_unchanged, 299);
    // The pages of three directories and their witnesses; none of these is larger than some kilobytes.
    assert!(second.counters.bytes_new < 20_000, "{:?}", second.counters);
    assert_eq!(node(&place.repository, &second.snapshot, "d3/below/file-007").permissions, 0o600);
    assert_eq!(node(&place.repository, &second.snapshot, "d5").permissions, 0o700);
    assert_eq!(node(&place.repository, &first.snapshot, "d5").permissions, 0o755);
    // All other directories are the very same pages.
    let page = |snapshot: &Snapshot, path: &str| node(&place.repository, snapshot, path).directory().unwrap().clone();
    for path in ["d0", "d4/below", "d5", "d5/below", "d9"] {
        assert_eq!(page(&first.snapshot, path), page(&second.snapshot, path), "{path}");
    }
    assert_ne!(page(&first.snapshot, "d3/below"), page(&second.snapshot, "d3/below"));
}

#[test]
fn a_renamed_directory_stores_no_data_again() {
    let place = TestRepository::new();
    let source = make_large_tree(&place);
    let first = place.ingest(&source, "lake");
    fs::rename(source.join("d4"), source.join("renamed")).unwrap();
    let second = place.ingest(&source, "lake");
    assert!(second.counters.bytes_new < 20_000, "{:?}", second.counters);
    let page = |snapshot: &Snapshot, path: &str| node(&place.repository, snapshot, path).directory().unwrap().clone();
    assert_eq!(page(&first.snapshot, "d4"), page(&second.snapshot, "renamed"));
    assert_eq!(second.counters.files_unchanged, 270);
    // Also another source, of another place, shares all of it.
    let copied = place.path("copied");
    assert!(Command::new("cp").arg("-a").arg(&source).arg(&copied).status().unwrap().success());
    let third = place.ingest(&copied, "copy");
    assert_eq!(third.snapshot.manifest.root, second.snapshot.manifest.root);
    // Only the witnesses are its own.
    assert!(third.counters.bytes_new < 30_000, "{:?}", third.counters);
}

#[test]
fn a_file_with_several_names_is_read_once_and_stored_as_one() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["a/first", "b/other"]);
    fs::write(source.join("a/first"), support::noise(1, 100_000)).unwrap();
    for name in ["a/second", "b/third", "zz"] {
        fs::hard_link(source.join("a/first"), source.join(name)).unwrap();
    }
    // A name outside of the source counts, as stat tells it.
    fs::hard_link(source.join("a/first"), place.path("outside")).unwrap();
    support::wait_until_settled();
    let ingested = place.ingest(&source, "lake");
    let other = fs::metadata(source.join("b/other")).unwrap().len();
    assert_eq!(ingested.counters.bytes_read, 100_000 + other);
    for name in ["a/first", "a/second", "b/third", "zz"] {
        let link = node(&place.repository, &ingested.snapshot, name).hard_link.unwrap();
        assert_eq!((link.count, &link.first_path[..]), (5, &b"a/first"[..]), "{name}");
    }
    assert_eq!(node(&place.repository, &ingested.snapshot, "b/other").hard_link, None);
    assert_eq!(place.ingest(&source, "lake").counters.bytes_read, 0);
}

#[test]
fn a_linked_file_that_changes_between_its_names_is_not_vouched_for() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["m"]);
    fs::write(source.join("a"), b"old bytes").unwrap();
    fs::hard_link(source.join("a"), source.join("z")).unwrap();
    support::wait_until_settled();
    let changed = AtomicUsize::new(0);
    let watcher = Watcher::new(|recorder: &Recorder| {
        // The first name was read, the second was not yet looked at.
        if Counters::get(&recorder.counters.files) == 1 && changed.fetch_add(1, Ordering::SeqCst) == 0 {
            fs::write(source.join("a"), b"new bytes").unwrap();
            support::wait_until_settled();
        }
    });
    let options = DirectoryOptions { threads: 1, ..directory_options(&source, "lake") };
    let during = ingest_watched(&place, &options, &watcher);
    assert!(changed.load(Ordering::SeqCst) > 0);
    let tree = stored_tree(&place.repository, &during).unwrap();
    assert_eq!(tree[&b"a"[..]], tree[&b"z"[..]], "the names of one file agree");
    assert_eq!(tree[&b"a"[..]].1, b"old bytes");
    support::wait_until_settled();
    let after = place.ingest(&source, "lake");
    assert_eq!(after.read("a").unwrap(), b"new bytes");
    assert_eq!(after.read("z").unwrap(), b"new bytes");
}

#[test]
fn many_directories_need_few_descriptors() {
    let place = TestRepository::new();
    let source = place.path("source");
    for number in 0..2000 {
        make(&source, &[&format!("d{number}/file")]);
    }
    let most = AtomicUsize::new(0);
    let (calls, walker) = (AtomicUsize::new(0), OnceLock::new());
    let watcher = Watcher::new(|_: &Recorder| {
        // The one who lists asks first. The others are held up, so that it gets as far ahead as it may.
        if *walker.get_or_init(|| std::thread::current().id()) != std::thread::current().id() {
            std::thread::sleep(Duration::from_micros(500));
            return;
        }
        // Counting costs time; every now and then will do.
        if calls.fetch_add(1, Ordering::Relaxed) % 50 == 0 {
            let prefix = source.as_os_str().as_bytes();
            let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let ours = open.filter_map(|fd| fs::read_link(fd.path()).ok());
            let count = ours.filter(|target| target.as_os_str().as_bytes().starts_with(prefix)).count();
            most.fetch_max(count, Ordering::Relaxed);
        }
    });
    let snapshot = ingest_watched(&place, &directory_options(&source, "lake"), &watcher);
    assert_eq!(snapshot.manifest.files, 2000);
    let most = most.load(Ordering::SeqCst);
    assert!((20..200).contains(&most), "{most} descriptors were open at once");
}

/// A repository that counts what it reads, over the same place.
fn recording(place: &TestRepository) -> (Repository, Arc<FaultyBackend>) {
    let backend = Arc::new(FaultyBackend::recording(Arc::new(LocalBackend::new(place.path("repo")))));
    let repository = open(&place.path(""), backend.clone(), Arc::new(Recorder::default())).unwrap();
    (repository, backend)
}

/// Where many files are made quickly.
fn many_files_directory() -> TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => TempDir::new_in("/dev/shm").unwrap(),
        false => TempDir::new().unwrap(),
    }
}

#[test]
fn a_directory_of_200_000_entries_is_read_by_the_page() {
    const ENTRIES: u64 = 200_000;
    let place = TestRepository::new();
    let source = many_files_directory();
    let name = |number: u64| format!("entry-{number:06}");
    (0..ENTRIES).for_each(|number| drop(File::create(source.path().join(name(number))).unwrap()));
    support::wait_until_settled();
    let ingested = place.ingest(source.path(), "lake");
    assert_eq!(ingested.snapshot.manifest.files, ENTRIES);
    let root = ingested.snapshot.manifest.root.directory().unwrap().clone();
    assert_eq!(root.totals.entries, ENTRIES);

    // Levels of the tree, with what a cold cache has to read for each question.
    const LEVELS: u64 = 4;
    let cold = |question: &dyn Fn(&Repository, &DirectoryRoot)| {
        let (repository, backend) = recording(&place);
        repository.chunks().unwrap();
        let before = backend.counts().get_range;
        question(&repository, &root);
        backend.counts().get_range - before
    };
    for number in [0, 1, 77_777, ENTRIES - 1] {
        let reads = cold(&|repository, root| {
            let found = repository.tree().unwrap().lookup(root, name(number).as_bytes()).unwrap().unwrap();
            assert_eq!((found.ordinal, found.preorder), (number, number));
        });
        assert!((2..=LEVELS).contains(&reads), "{reads} reads to look up one name");
        let reads = cold(&|repository, root| {
            let found = repository.tree().unwrap().entry_at(root, number).unwrap().unwrap();
            assert_eq!(found.name, name(number).as_bytes());
        });
        assert!((2..=LEVELS).contains(&reads), "{reads} reads to find one position");
        let reads = cold(&|repository, root| {
            let mut entries = repository.tree().unwrap().entries_from(root, number);
            assert_eq!(entries.next().unwrap().unwrap().name, name(number).as_bytes());
        });
        assert!((2..=LEVELS).contains(&reads), "{reads} reads to go on with a listing");
    }
    for absent in ["", "entry-", "entry-0777770", "zzz"] {
        let reads = cold(&|repository, root| {
            assert_eq!(repository.tree().unwrap().lookup(root, absent.as_bytes()).unwrap(), None);
        });
        assert!(reads <= LEVELS, "{reads} reads to miss one name");
    }
    // A listing reads every page once.
    let reads = cold(&|repository, root| {
        let mut expected = 0;
        for entry in repository.tree().unwrap().entries(root) {
            let entry = entry.unwrap();
            assert_eq!((entry.name.as_slice(), entry.ordinal), (name(expected).as_bytes(), expected));
            expected += 1;
        }
        assert_eq!(expected, ENTRIES);
    });
    assert!((ENTRIES / 1024..ENTRIES / 64).contains(&reads), "{reads} reads to list all");

    // One entry more: one chain of pages more, of entries and of witnesses.
    fs::write(source.path().join("entry-100000-and-a-half"), b"").unwrap();
    let second = place.ingest(source.path(), "lake");
    assert_eq!((second.counters.bytes_read, second.counters.files_unchanged), (0, ENTRIES));
    assert!(second.counters.bytes_new < 200_000, "{:?}", second.counters);
}

#[test]
fn a_long_sparse_file_is_sought_by_the_page() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    // 3000 runs of data in half a terabyte: a tree of extents.
    let mut file = File::create(source.join("comb")).unwrap();
    const STEP: u64 = 1 << 27;
    for tooth in 0..3000u64 {
        file.seek(SeekFrom::Start(tooth * STEP)).unwrap();
        file.write_all(&support::noise(tooth, 4096)).unwrap();
    }
    file.set_len(3000 * STEP).unwrap();
    let ingested = place.ingest(&source, "lake");
    let (repository, backend) = recording(&place);
    let node = node(&repository, &ingested.snapshot, "comb");
    let NodeKind::File { content, .. } = &node.kind else { panic!("it is a file") };
    assert_eq!((content.size, content.data_bytes), (3000 * STEP, 3000 * 4096));
    let reads = |question: &dyn Fn()| {
        let before = backend.counts().get_range;
        question();
        backend.counts().get_range - before
    };
    let counted = AtomicU64::new(0);
    // The footer of the pack of data, which the pages left ids to, is read once.
    for (tooth, footers) in [(2999u64, 1), (1500, 0), (1, 0)] {
        let cost = reads(&|| {
            let found = support::stored::read(&repository, content, tooth * STEP + 100, 1000).unwrap();
            assert!(found == support::noise(tooth, 4096)[100..1100]);
        });
        assert!((1..=4 + footers).contains(&cost), "{cost} reads for one range");
        counted.fetch_add(cost, Ordering::Relaxed);
        let contents = repository.contents().unwrap();
        use yesterfs::repository::content_reader::Seek;
        assert_eq!(contents.seek(content, tooth * STEP + 5000, Seek::Hole).unwrap(), Some(tooth * STEP + 5000));
        let next = (tooth + 1 < 3000).then_some((tooth + 1) * STEP);
        assert_eq!(contents.seek(content, tooth * STEP + 4096, Seek::Data).unwrap(), next);
        assert_eq!(contents.seek(content, tooth * STEP, Seek::Hole).unwrap(), Some(tooth * STEP + 4096));
    }
    let zeros = support::stored::read(&repository, content, 7 * STEP + 4096, 100_000).unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0));
}

#[test]
fn a_cancelled_ingest_makes_no_snapshot_and_says_interrupted() {
    let place = TestRepository::new();
    let source = make_large_tree(&place);
    let watcher = support::watcher::cancel_after(1_000_000);
    let options = directory_options(&source, "lake");
    let result = ingest_directory(&place.repository, &options, &now, &watcher);
    assert!(matches!(result.err(), Some(Error::Interrupted)));
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 0);
    let read = Counters::get(&watcher.recorder.counters.bytes_read);
    assert!(read < 2_000_000, "{read} bytes were read although it was cancelled");
    // What it stored serves the next attempt.
    let stored = Counters::get(&watcher.recorder.counters.bytes_new);
    let again = place.ingest(&source, "lake");
    assert!(again.counters.bytes_new <= 300 * 20_000 + 100_000 - stored, "{:?}", again.counters);
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn names_in_listings_find_their_snapshots() {
    let place = TestRepository::new();
    let source = place.path("source");
    make(&source, &["file"]);
    // Three in one second, and one before; none at the full second.
    let times = [(1_800_000_000, 900_000_000), (1_800_000_001, 5), (1_800_000_001, 6), (1_800_000_001, 999_999_999)];
    let mut snapshots = Vec::new();
    for (seconds, nanos) in times {
        let clock = move || Timestamp { seconds, nanos };
        let recorder = Recorder::default();
        let report =
            ingest_directory(&place.repository, &directory_options(&source, "lake"), &clock, &recorder).unwrap();
        snapshots.push(report.snapshot);
    }
    let names: Vec<&str> = snapshots.iter().map(|snapshot| snapshot.manifest.name.as_str()).collect();
    let stem = "2027-01-15T080001Z";
    assert_eq!(names, ["2027-01-15T080000Z", stem, &format!("{stem}.001"), &format!("{stem}.002")]);
    let reopened = place.reopen().unwrap();
    let found = |text: &str| reopened.find(text, now()).map(|snapshot| snapshot.sequence);
    for snapshot in &snapshots {
        let name = format!("lake@{}", snapshot.manifest.name);
        assert_eq!(found(&name).unwrap(), snapshot.sequence, "{name}");
        assert_eq!(found(&snapshot.id.to_string()[..8]).unwrap(), snapshot.sequence);
    }
    assert_eq!(found("lake@2027-01-15T08:00:00Z").unwrap(), 1);
    assert_eq!(found("lake@2027-01-15T08:00:01Z").unwrap(), 4);
    assert_eq!(found("lake@2027-01-15T080010Z").unwrap(), 4);
    assert_eq!(found("lake@latest~2").unwrap(), 2);
    assert_eq!(found("lake").unwrap(), 4);
    for absent in ["lake@2027-01-15T075959Z", "lake@2027-01-15T080001Z.003", "lake@latest~4", "other", "ffffffff"] {
        assert!(matches!(found(absent), Err(Error::NotFound { .. })), "{absent}");
    }
}
