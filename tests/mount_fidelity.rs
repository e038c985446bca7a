//! What a mount shows is what was ingested: asked by the tools that people use, and by the kernel's own calls.

#[path = "mount_fidelity/listing.rs"]
mod listing;
#[path = "mount_fidelity/namespace.rs"]
mod namespace;
#[path = "mount_fidelity/refusals.rs"]
mod refusals;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::{SeekFrom, StatVfs, StatVfsMountFlags, XattrFlags};
use rustix::io::Errno;
use support::fidelity::{
    BEYOND_PATH_MAX, ONE_TERABYTE, SPECIAL, Walk, assert_same, build_fidelity_tree, drop_field, walk,
};
use support::mounted::{Mount, Stage, drop_caches, need, run, run_quietly, text};

/// The tree that holds everything, and its snapshot in a mount.
struct Fidelity {
    mount: Mount,
    stage: Stage,
    source: PathBuf,
}

impl Fidelity {
    /// The same for all tests that run at the same time.
    fn shared() -> Arc<Fidelity> {
        static SHARED: Mutex<Weak<Fidelity>> = Mutex::new(Weak::new());
        // A test that failed while it made one left none.
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(fidelity) = shared.upgrade() {
            return fidelity;
        }
        let fidelity = Arc::new(Fidelity::new());
        *shared = Arc::downgrade(&fidelity);
        fidelity
    }

    fn new() -> Fidelity {
        let stage = Stage::new();
        let source = stage.make_directory("source");
        build_fidelity_tree(&source);
        stage.ingest(&source, "tree");
        let mount = stage.mount();
        let fidelity = Fidelity { mount, stage, source };
        // Else whoever copies it would fill the disk.
        let huge = fidelity.mounted().join(ONE_TERABYTE);
        assert!(fs::metadata(&huge).unwrap().blocks() < 2048, "a TiB of holes is said to have data");
        assert_eq!(data_runs(&huge), data_runs(&fidelity.source.join(ONE_TERABYTE)));
        fidelity
    }

    fn mounted(&self) -> PathBuf {
        self.mount.latest("tree")
    }
}

#[test]
fn a_walk_over_every_entry_finds_every_field_attribute_and_byte_as_ingested() {
    let fidelity = Fidelity::shared();
    assert_same(&walk(&fidelity.source), &walk(&fidelity.mounted()));
}

#[test]
fn rsync_finds_no_difference_in_either_direction() {
    need(&[("rsync", "rsync")]);
    let fidelity = Fidelity::shared();
    let (source, mounted) = (slash(&fidelity.source), slash(&fidelity.mounted()));
    for (from, to) in [(&source, &mounted), (&mounted, &source)] {
        let mut rsync = Command::new("rsync");
        rsync.args(["-aXAHn", "--checksum", "--delete", "-i", "--modify-window=-1"]);
        // rsync reads every zero of a hole, and opens by path.
        rsync.arg(format!("--exclude=/{ONE_TERABYTE}")).arg(format!("--exclude=/{BEYOND_PATH_MAX}"));
        assert_eq!(text(run_quietly(rsync.arg(from).arg(to))), "", "{from} -> {to}");
    }
}

fn slash(directory: &Path) -> String {
    format!("{}/", directory.display())
}

#[test]
fn diff_finds_no_difference() {
    need(&[("diff", "diffutils")]);
    let fidelity = Fidelity::shared();
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference"]);
    // It cannot compare fifos, sockets and devices, reads every zero of a hole, and opens by path.
    for name in [SPECIAL, "fifo*", "one-terabyte", BEYOND_PATH_MAX] {
        diff.args(["-x", name]);
    }
    assert_eq!(text(run_quietly(diff.arg(&fidelity.source).arg(fidelity.mounted()))), "");
}

#[test]
fn getfattr_and_getfacl_dump_the_same() {
    need(&[("getfattr", "attr"), ("getfacl", "acl")]);
    let fidelity = Fidelity::shared();
    let fattr = ["getfattr", "-d", "-m", "-", "-R", "-P", "-h", "--absolute-names"];
    let facl = ["getfacl", "-R", "-P", "-p", "-n"];
    for words in [&fattr[..], &facl] {
        let dumps = [&fidelity.source, &fidelity.mounted()].map(|root| attribute_dump(words, root));
        assert!(dumps[0].len() > 10, "{words:?} found next to nothing");
        assert_eq!(dumps[0], dumps[1], "{words:?}");
    }
}

/// The paragraphs of a dump of the root and all that can be opened by path, sorted, since directories are not listed in
/// one order.
fn attribute_dump(words: &[&str], root: &Path) -> Vec<String> {
    let dump = |words: &[&str], names: &[String]| {
        let mut command = Command::new(words[0]);
        let dump = run_quietly(command.args(&words[1..]).args(names).current_dir(root));
        String::from_utf8_lossy(&dump).split("\n\n").map(str::to_string).collect::<Vec<_>>()
    };
    let alone: Vec<&str> = words.iter().copied().filter(|word| *word != "-R").collect();
    let mut paragraphs = [dump(words, &top_level(root)), dump(&alone, &[".".to_string()])].concat();
    paragraphs.sort();
    paragraphs
}

/// All entries of the tree's root but the one with paths that are too long for most tools.
fn top_level(root: &Path) -> Vec<String> {
    support::mounted::names(root).into_iter().filter(|name| name != BEYOND_PATH_MAX).collect()
}

/// What a walk found, without what [`top_level`] leaves out and without the root, whose time copying changes.
fn top_level_walk(root: &Path) -> Walk {
    let mut found = walk(root);
    found.retain(|path, _| path != b"." && !path.starts_with(BEYOND_PATH_MAX.as_bytes()));
    found
}

#[test]
fn attributes_as_large_as_the_kernel_takes_are_read_whole() {
    // Few filesystems on disk hold so much.
    let source = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let file = source.path().join("file");
    fs::write(&file, "").unwrap();
    let value = support::noise(1, 64 << 10);
    rustix::fs::setxattr(&file, "user.large", &value, XattrFlags::empty())
        .unwrap_or_else(|errno| panic!("{file:?}: {errno}: this test needs a tmpfs with attributes (Linux 6.6)"));
    let listed = 240;
    for number in 0..listed {
        let name = format!("user.{number:0250}");
        rustix::fs::setxattr(&file, name, b"", XattrFlags::empty()).unwrap();
    }
    let stage = Stage::new();
    stage.ingest(source.path(), "lake");
    let mount = stage.mount();
    let mounted = mount.latest("lake").join("file");
    let mut buffer = vec![0; 64 << 10];
    assert_eq!(rustix::fs::getxattr(&mounted, "user.large", &mut buffer[..]), Ok(64 << 10));
    assert!(buffer == value);
    assert_eq!(rustix::fs::getxattr(&mounted, "user.large", &mut buffer[..100]), Err(Errno::RANGE));
    assert_eq!(rustix::fs::getxattr_query(&mounted, "user.large"), Ok(64 << 10));
    assert_eq!(rustix::fs::getxattr(&mounted, "user.other", &mut buffer[..]), Err(Errno::NODATA));
    let list_bytes = rustix::fs::listxattr(&mounted, &mut buffer[..]).unwrap();
    assert_eq!(list_bytes, listed * 256 + "user.large\0".len());
    let names = buffer[..list_bytes].split(|byte| *byte == 0).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names.len(), listed + 2, "with the nothing behind the last zero");
}

#[test]
fn cp_brings_everything_back() {
    let fidelity = Fidelity::shared();
    let copy = fidelity.stage.make_directory("copy-by-cp");
    let mut cp = Command::new("cp");
    cp.arg("-a").args(top_level(&fidelity.mounted())).arg(&copy).current_dir(fidelity.mounted());
    run_quietly(&mut cp);
    assert_same(&top_level_walk(&fidelity.source), &top_level_walk(&copy));
}

#[test]
fn tar_makes_the_same_archive_and_brings_everything_but_sockets_back() {
    need(&[("tar", "tar")]);
    let fidelity = Fidelity::shared();
    // Without attributes: filesystems list them in different orders.
    let plain = [("source.tar", &fidelity.source), ("mount.tar", &fidelity.mounted())]
        .map(|(name, root)| fs::read(archive(root, &fidelity.stage.path(name), &[])).unwrap());
    assert!(plain[0] == plain[1], "the archives of source and mount differ");
    let attributes = ["--acls", "--xattrs", "--xattrs-include=*"];
    let whole = archive(&fidelity.mounted(), &fidelity.stage.path("whole.tar"), &attributes);
    let copy = fidelity.stage.make_directory("copy-by-tar");
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--same-permissions", "--numeric-owner", "--warning=no-timestamp"]).args(attributes);
    run_quietly(tar.arg("--file").arg(whole).current_dir(&copy));
    let (mut expected, mut found) = (top_level_walk(&fidelity.source), top_level_walk(&copy));
    expected.retain(|_, fields| !fields.contains(&("type".into(), "Socket".into())));
    // It makes two fifos of one with two names.
    for walk in [&mut expected, &mut found] {
        walk.retain(|path, _| !path.starts_with(b"links-special/"));
    }
    for (path, fields) in &mut expected {
        // tar writes half a second before 1970 as -0.5, and reads it as 0.5.
        if fields.iter().any(|(name, value)| name == "modified" && value.starts_with("-1 s")) {
            for fields in [fields, found.get_mut(path).unwrap()] {
                fields.retain(|(name, _)| name != "modified");
            }
        }
    }
    assert_same(&expected, &found);
}

/// Makes an archive of all that has paths of usual length.
fn archive(root: &Path, archive: &Path, options: &[&str]) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=posix", "--warning=no-file-ignored"]).args(options);
    // The number of the process would be in the archive, and times that are not stored.
    tar.args(["--sparse", "--sparse-version=0.0"]);
    tar.arg("--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime");
    tar.arg("--file").arg(archive).arg("--").args(top_level(root));
    run_quietly(tar.current_dir(root));
    archive.to_path_buf()
}

#[test]
fn find_selects_the_same_entries() {
    need(&[("find", "findutils")]);
    let fidelity = Fidelity::shared();
    let by_links = [&["-links", "1"][..], &["-links", "2"], &["-links", "3"], &["-links", "+3"]];
    let by_type = ["f", "d", "l", "p", "s", "b", "c"].map(|letter| ["-type", letter]);
    let others = [
        &["-perm", "-4000"][..],
        &["-perm", "/0111"],
        &["-type", "f", "-size", "+1M"],
        &["-type", "f", "-empty"],
        &["-type", "d", "-empty"],
        &["-samefile", "links-a/file-1"],
        &["-uid", "12345"],
        &["-nouser"],
        &["-newermt", "1990-01-01"],
        &["!", "-newermt", "1970-01-01"],
        &["-lname", "*/text"],
        &["-name", "file*"],
        &["-regex", ".*/[0-9]*-bytes"],
    ];
    for condition in by_links.into_iter().chain(by_type.iter().map(|words| &words[..])).chain(others) {
        let found = [&fidelity.source, &fidelity.mounted()].map(|root| find(root, condition, "%p"));
        assert!(!found[0].is_empty(), "nothing with {condition:?}");
        assert_eq!(found[0], found[1], "{condition:?}");
    }
}

/// The entries that `find` selects, each shown as `format` tells, sorted.
fn find(root: &Path, condition: &[&str], format: &str) -> Vec<String> {
    let mut command = Command::new("find");
    command.arg(".").args(condition).args(["-printf", &format!("{format}\\0")]).current_dir(root);
    let output = run_quietly(&mut command);
    let mut found: Vec<String> =
        output.split(|&byte| byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned()).collect();
    found.retain(|entry| !entry.is_empty());
    found.sort();
    found
}

#[test]
fn a_remount_tells_the_same_of_every_entry_and_inode_numbers_too() {
    let fidelity = Fidelity::shared();
    let everything = |root: &Path| find(root, &[], "%p %y %i %n %m %U %G %s %b %T@ %C@ %A@ %l");
    let first = fidelity.stage.mount_with("second-mount", &[]);
    let before = everything(&first.latest("tree"));
    first.unmount();
    drop_caches();
    let second = fidelity.stage.mount_with("second-mount", &["--readdirplus", "auto", "--threads", "2"]);
    assert_eq!(before, everything(&second.latest("tree")));
    assert_eq!(before, everything(&fidelity.mounted()), "another mount of the same repository differs");
    let virtual_entries = |mount: &Mount| find(mount.point(), &["-maxdepth", "3"], "%p %y %i %n %m %s %l");
    assert_eq!(virtual_entries(&second), virtual_entries(&fidelity.mount));
    second.unmount();
}

#[test]
fn hard_links_are_one_inode_and_count_their_names() {
    let fidelity = Fidelity::shared();
    let mounted = fidelity.mounted();
    let groups: [&[&str]; 4] = [
        &["links-a/file-1", "links-a/file-2", "links-b/file-3"],
        &["links-a/below/small-1", "links-b/small-2", "links-a/small-3"],
        &["links-a/symlink-1", "links-b/symlink-2"],
        &["links-special/fifo-1", "links-special/fifo-2"],
    ];
    let mut inodes = Vec::new();
    for group in groups {
        let stats: Vec<fs::Metadata> =
            group.iter().map(|name| fs::symlink_metadata(mounted.join(name)).unwrap()).collect();
        assert!(stats.iter().all(|stat| stat.ino() == stats[0].ino()), "{group:?}");
        assert!(stats.iter().all(|stat| stat.nlink() == group.len() as u64), "{group:?}");
        inodes.push(stats[0].ino());
    }
    inodes.dedup();
    assert_eq!(inodes.len(), groups.len(), "groups share an inode");
}

#[test]
fn blocks_count_data_and_no_holes() {
    let fidelity = Fidelity::shared();
    let mounted = fidelity.mounted();
    for directory in ["sparse", "contents"] {
        for name in support::mounted::names(mounted.join(directory)) {
            let path = Path::new(directory).join(name);
            let data_bytes: u64 = data_runs(&fidelity.source.join(&path)).iter().map(|(start, end)| end - start).sum();
            let stat = fs::metadata(mounted.join(&path)).unwrap();
            assert_eq!(stat.blocks(), data_bytes.div_ceil(512), "{path:?}");
        }
    }
    let du = text(run_quietly(Command::new("du").args(["-k", ONE_TERABYTE]).current_dir(&mounted)));
    let kib: u64 = du.split_whitespace().next().unwrap().parse().unwrap();
    assert!((1..1024).contains(&kib), "a TiB of hole takes {kib} KiB");
}

/// The ranges of a file that are data, as lseek(2) tells them.
fn data_runs(path: &Path) -> Vec<(u64, u64)> {
    let file = fs::File::open(path).unwrap();
    let mut runs = Vec::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        at = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap();
        runs.push((start, at));
    }
    runs
}

#[test]
fn seeking_data_and_holes_from_any_offset_answers_as_the_source_does() {
    let fidelity = Fidelity::shared();
    let mounted = fidelity.mounted();
    for name in support::mounted::names(mounted.join("sparse")) {
        let path = Path::new("sparse").join(&name);
        let files = [&fidelity.source, &mounted].map(|root| fs::File::open(root.join(&path)).unwrap());
        let size = files[0].metadata().unwrap().len();
        let edges = data_runs(&fidelity.source.join(&path)).into_iter().flat_map(|(start, end)| [start, end]);
        let near = edges.chain([0, size]).flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]);
        let offsets = near.chain([size / 3, size / 2, size + 12_345]);
        for offset in offsets {
            for seek in [SeekFrom::Data(offset), SeekFrom::Hole(offset)] {
                let [expected, found] = files.each_ref().map(|file| rustix::fs::seek(file, seek));
                assert_eq!(found, expected, "{name} {seek:?}");
            }
        }
    }
}

#[test]
fn cp_of_a_sparse_file_keeps_its_holes() {
    let fidelity = Fidelity::shared();
    for name in ["many-holes", "odd-edges", "hole-at-end", "one-terabyte"] {
        let copy = fidelity.stage.path(&format!("copy of {name}"));
        run_quietly(Command::new("cp").arg(fidelity.mounted().join("sparse").join(name)).arg(&copy));
        assert_eq!(data_runs(&copy), data_runs(&fidelity.source.join("sparse").join(name)), "{name}");
        fs::remove_file(&copy).unwrap();
    }
}

#[test]
fn statfs_tells_the_logical_size_of_all_snapshots_and_the_space_left_where_the_repository_is() {
    let fidelity = Fidelity::shared();
    let listed = fidelity.stage.succeed(&["snapshots", "--json"]);
    let snapshots: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = |field: &str| snapshots.iter().map(|snapshot| snapshot[field].as_u64().unwrap()).sum::<u64>();
    let free =
        || rustix::fs::statvfs(fidelity.stage.repository()).map(|found| found.f_bavail * found.f_frsize).unwrap();
    let before = free();
    let found = rustix::fs::statvfs(fidelity.mount.point()).unwrap();
    let free = before.min(free())..=before.max(free());
    let used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize;
    assert_eq!(used_bytes, sum("bytes").next_multiple_of(found.f_frsize));
    assert!(used_bytes > 1 << 40, "the TiB file counts by its logical size");
    // Other tests write meanwhile.
    let slack = 256 << 20;
    let available = found.f_bavail * found.f_frsize;
    assert!(available + slack >= *free.start() && available <= *free.end() + slack, "{available} of {free:?}");
    let entries = find(&fidelity.mounted(), &["-mindepth", "1"], "%p").len() as u64;
    assert_eq!((found.f_files - found.f_ffree, found.f_namemax), (entries, 255));
    assert!(found.f_flag.contains(StatVfsMountFlags::RDONLY));
    let inside = rustix::fs::statvfs(fidelity.mounted()).unwrap();
    let used = |of: &StatVfs| (of.f_blocks - of.f_bfree, of.f_files - of.f_ffree);
    assert_eq!(used(&inside), used(&found));
    // Where the repository is, there is room for many files; df must not show a filesystem that is full of them.
    let df = Command::new("df").args(["--output=ipcent"]).arg(fidelity.mount.point()).output().unwrap();
    let percent =
        String::from_utf8(df.stdout).unwrap().lines().last().unwrap().trim().trim_end_matches('%').parse::<u32>();
    assert!(percent.clone().is_ok_and(|percent| percent < 50), "{percent:?}");
}

#[test]
fn a_dropped_cache_changes_nothing() {
    let fidelity = Fidelity::shared();
    let mount = fidelity.stage.mount_with("small-cache-mount", &["--cache", "4"]);
    let mut walks: BTreeMap<&str, Walk> = BTreeMap::new();
    for turn in ["cold", "warm", "cold again"] {
        if turn != "warm" {
            drop_caches();
        }
        let mut found = walk(&mount.latest("tree"));
        // Told by the first walk of this file already.
        drop_field(&mut found, "data");
        walks.insert(turn, found);
    }
    assert_same(&walks["cold"], &walks["warm"]);
    assert_same(&walks["cold"], &walks["cold again"]);
    assert_eq!(mount.log(), "");
}

#[test]
fn programs_run_from_the_mount() {
    let stage = Stage::new();
    let directory = stage.make_directory("programs");
    fs::copy("/bin/true", directory.join("true")).unwrap();
    fs::write(directory.join("script"), "#!/bin/sh\necho \"from $0\"\n").unwrap();
    run(Command::new("chmod").arg("755").arg(directory.join("script")));
    stage.ingest(&directory, "programs");
    let mount = stage.mount();
    let mounted = mount.latest("programs");
    run_quietly(&mut Command::new(mounted.join("true")));
    let said = text(run_quietly(&mut Command::new(mounted.join("script"))));
    assert_eq!(said, format!("from {}\n", mounted.join("script").display()));
}
