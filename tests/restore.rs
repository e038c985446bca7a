//! Stories of restoring: everything comes back, only what differs is written, and nothing outside of the target is
//! touched.

mod support;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Gid, Uid};
use rustix::mount::{MountFlags, UnmountFlags};
use support::fidelity::{assert_same, build_fidelity_tree, differences, walk};
use support::noise;
use support::repository::{TestRepository, restore_options};
use yesterfs::progress::{Problem, Recorder};
use yesterfs::repository::Repository;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::restore::{Action, Event, IN_PLACE_MIN_BYTES, NotRestored, RestoreOptions, RestoreReport, restore};
use yesterfs::store::backend::{Backend, LocalBackend};
use yesterfs::{Error, Result};

/// What a restore said.
#[derive(Debug)]
struct Restored {
    report: RestoreReport,
    actions: Vec<(Action, String)>,
    not_set: Vec<NotRestored>,
    problems: Vec<Problem>,
}

impl Restored {
    /// Panics if anything was not as it should be.
    #[track_caller]
    fn completely(self) -> Restored {
        assert_eq!(self.problems, []);
        assert_eq!(self.report.problems, 0);
        assert_eq!(self.not_set, []);
        assert_eq!((self.report.not_set.len(), self.report.not_set_count), (0, 0));
        self
    }

    fn actions_of(&self, action: Action) -> Vec<&str> {
        self.actions.iter().filter(|(which, _)| *which == action).map(|(_, path)| path.as_str()).collect()
    }
}

/// Restores the part of a snapshot at `path`.
fn try_restore(repository: &Repository, snapshot: &Snapshot, path: &str, options: &RestoreOptions) -> Result<Restored> {
    let node = repository.tree()?.lookup_path(&snapshot.manifest.root, path.as_bytes())?;
    let monitor = Recorder::default();
    let (mut actions, mut not_set) = (Vec::new(), Vec::new());
    let mut listener = |event: &Event<'_>| match event {
        Event::Action(it) => actions.push((it.action, String::from_utf8_lossy(it.path).into_owned())),
        Event::NotSet(it) => not_set.push((*it).clone()),
    };
    let node = node.expect("the path is in the snapshot");
    let report = restore(repository, &node, path.as_bytes(), options, &monitor, &mut listener)?;
    actions.sort_by(|a, b| a.1.cmp(&b.1));
    not_set.sort_by(|a, b| (&a.path, &a.what).cmp(&(&b.path, &b.what)));
    Ok(Restored { report, actions, not_set, problems: monitor.problems.into_inner().unwrap() })
}

fn restore_all(place: &TestRepository, snapshot: &Snapshot, options: &RestoreOptions) -> Restored {
    try_restore(&place.repository, snapshot, "", options).unwrap()
}

/// A directory beside the repository, with these files.
fn directory(place: &TestRepository, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = place.path(name);
    for (path, bytes) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    root
}

/// Panics where a restore left something under a temporary name.
#[track_caller]
fn assert_no_litter(root: &Path) {
    let is_litter = |path: &Vec<u8>| path.windows(10).any(|part| part == b".yesterfs-");
    let litter: Vec<Vec<u8>> = walk(root).into_keys().filter(is_litter).collect();
    assert!(litter.is_empty(), "{litter:?}");
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn everything_that_a_filesystem_can_hold_comes_back() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[]);
    build_fidelity_tree(&source);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("a/new/place");

    let verified = RestoreOptions { verify: true, ..restore_options(&target) };
    let first = restore_all(&place, &snapshot, &verified).completely();
    assert_same(&walk(&source), &walk(&target));
    let root = snapshot.manifest.root.directory().unwrap();
    assert_eq!(first.report.entries, root.totals.descendants);
    assert_eq!(first.report.files, snapshot.manifest.files);
    assert!(first.report.bytes_verified >= first.report.bytes_written, "{:?}", first.report);

    // The second time everything is right, and nothing is touched.
    let changed_before = fs::symlink_metadata(target.join("contents/text")).unwrap().ctime_nsec();
    let again = restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_eq!(again.actions, []);
    assert_eq!((again.report.bytes_written, again.report.changed), (0, 0));
    assert_eq!(fs::symlink_metadata(target.join("contents/text")).unwrap().ctime_nsec(), changed_before);
    assert_same(&walk(&source), &walk(&target));
}

/// Makes a tree differ in every way from the fidelity tree that it was.
fn spoil(root: &Path) {
    let at = |path: &str| root.join(path);
    // Same size, same time, other bytes.
    let times = fs::metadata(at("contents/text")).unwrap().modified().unwrap();
    let text = File::options().write(true).open(at("contents/text")).unwrap();
    text.write_all_at(b"X", 100_000).unwrap();
    text.set_modified(times).unwrap();
    fs::write(at("contents/one-byte"), b"more than one").unwrap();
    fs::write(at("contents/random-3-mib"), b"").unwrap();
    fs::remove_file(at("contents/zeros")).unwrap();
    // Holes that are full, data where a hole was, and a hole where data was.
    fs::write(at("sparse/hole-in-middle"), vec![0; 2 << 20]).unwrap();
    File::options().write(true).open(at("sparse/only-a-hole")).unwrap().write_all_at(b"data", 500_000).unwrap();
    fs::write(at("sparse/hole-at-end"), b"").unwrap();
    // Other types.
    fs::remove_file(at("contents/256-bytes")).unwrap();
    fs::create_dir(at("contents/256-bytes")).unwrap();
    fs::remove_file(at("contents/255-bytes")).unwrap();
    fs::create_dir_all(at("contents/255-bytes/full/of")).unwrap();
    fs::write(at("contents/255-bytes/full/of/things"), b"in the way").unwrap();
    fs::remove_dir(at("empty-directory")).unwrap();
    fs::write(at("empty-directory"), b"a file").unwrap();
    fs::remove_file(at("special/fifo")).unwrap();
    symlink("/etc/passwd", at("special/fifo")).unwrap();
    fs::remove_file(at("special/character-device")).unwrap();
    fs::write(at("special/character-device"), b"no device").unwrap();
    fs::remove_file(at("symlinks/relative")).unwrap();
    symlink("elsewhere", at("symlinks/relative")).unwrap();
    // Links that are missing, and one that should not be.
    fs::remove_file(at("links-a/file-2")).unwrap();
    fs::copy(at("links-a/file-1"), at("links-a/file-2")).unwrap();
    fs::remove_file(at("links-b/small-2")).unwrap();
    fs::remove_file(at("contents/4095-bytes")).unwrap();
    fs::hard_link(at("three-thousand/entry-2999"), at("contents/4095-bytes")).unwrap();
    // Metadata.
    fs::set_permissions(at("permissions/directory-2755"), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(at("permissions/file-4755"), Permissions::from_mode(0o600)).unwrap();
    chown(at("owners/set-id"), Some(0), Some(0)).unwrap();
    rustix::fs::setxattr(at("xattrs/file"), "user.extra", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::removexattr(at("acls/file"), "system.posix_acl_access").unwrap();
    File::options().write(true).open(at("times/2200")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    // And what was never there.
    fs::create_dir_all(at("extra/deep/er")).unwrap();
    fs::write(at("extra/deep/er/file"), b"extra").unwrap();
    symlink("../..", at("extra/up")).unwrap();
    fs::write(at("three-thousand/entry-0500-extra"), b"extra").unwrap();
}

#[test]
fn a_spoilt_copy_is_made_right_again() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[]);
    build_fidelity_tree(&source);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    restore_all(&place, &snapshot, &restore_options(&target)).completely();
    spoil(&target);

    let everything = RestoreOptions { delete: true, verify: true, ..restore_options(&target) };
    let plan = RestoreOptions { dry_run: true, ..everything.clone() };
    let before = walk(&target);
    let planned = restore_all(&place, &snapshot, &plan).completely();
    assert_same(&before, &walk(&target));

    let done = restore_all(&place, &snapshot, &everything).completely();
    assert_same(&walk(&source), &walk(&target));
    assert_no_litter(&target);
    assert_eq!(planned.actions, done.actions, "a dry run tells what is done");
    let counted =
        |report: &RestoreReport| (report.changed, report.deleted, report.bytes_written, report.bytes_unchanged);
    assert_eq!(counted(&planned.report), counted(&done.report));

    let deleted = ["contents/255-bytes", "contents/255-bytes/full", "contents/255-bytes/full/of"];
    let deleted = deleted.into_iter().chain(["contents/255-bytes/full/of/things", "contents/256-bytes"]);
    let deleted = deleted.chain(["extra", "extra/deep", "extra/deep/er", "extra/deep/er/file", "extra/up"]);
    let deleted: Vec<&str> = deleted.chain(["three-thousand/entry-0500-extra"]).collect();
    assert_eq!(done.actions_of(Action::Delete), deleted);
    assert_eq!(done.actions_of(Action::Link), ["links-a/file-2", "links-b/small-2"]);
    let updated: BTreeSet<&str> = done.actions_of(Action::Update).into_iter().collect();
    for path in ["contents/text", "contents/one-byte", "sparse/hole-in-middle", "symlinks/relative"] {
        assert!(updated.contains(path), "{path} in {updated:?}");
    }
    assert!(!updated.contains("contents/4097-bytes"), "what is right stays");
}

#[test]
fn without_delete_nothing_of_the_users_is_removed() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("sub/file", b"stored"), ("name", b"a file")]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = directory(&place, "target", &[("mine", b"mine"), ("sub/mine", b"mine"), ("name/mine", b"mine")]);
    fs::create_dir(target.join("sub/file")).unwrap();

    let restored = restore_all(&place, &snapshot, &restore_options(&target));
    for mine in ["mine", "sub/mine", "name/mine"] {
        assert_eq!(fs::read(target.join(mine)).unwrap(), b"mine");
    }
    assert_eq!(fs::read(target.join("sub/file")).unwrap(), b"stored", "an empty directory may go");
    let [problem] = &restored.problems[..] else { panic!("{:?}", restored.problems) };
    assert_eq!(problem.path, target.join("name"));
    assert!(problem.reason.contains("not empty") && problem.reason.contains("--delete"), "{problem:?}");
    assert_eq!(restored.report.problems, 1);
    assert_no_litter(&target);
}

#[test]
fn a_dry_run_makes_nothing_and_tells_everything() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("a/b/file", b"1"), ("z", b"2")]);
    fs::hard_link(source.join("z"), source.join("zz")).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("not/there");
    let plan = RestoreOptions { dry_run: true, threads: 1, ..restore_options(&target) };
    let planned = restore_all(&place, &snapshot, &plan).completely();
    assert!(!place.path("not").exists());
    let create = ["", "a", "a/b", "a/b/file", "z"].map(|path| (Action::Create, path.to_string()));
    assert_eq!(planned.actions, [&create[..], &[(Action::Link, "zz".to_string())]].concat());

    let done = restore_all(&place, &snapshot, &restore_options(&target)).completely();
    let made = |actions: &[(Action, String)]| actions.iter().filter(|it| !it.1.is_empty()).cloned().collect::<Vec<_>>();
    assert_eq!(made(&planned.actions), made(&done.actions));
    assert_eq!(inode(&target.join("z")), inode(&target.join("zz")));
}

/// A source with one file large enough to be written in place, and its snapshot; then 100 bytes in a restored copy are
/// changed.
struct LargeFile {
    place: TestRepository,
    snapshot: std::sync::Arc<Snapshot>,
    target: PathBuf,
    bytes: Vec<u8>,
}

fn large_file() -> LargeFile {
    let place = TestRepository::new();
    let bytes = noise(3, IN_PLACE_MIN_BYTES as usize + 4_000_000);
    let source = directory(&place, "source", &[("dump", &bytes)]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    restore_all(&place, &snapshot, &restore_options(&target)).completely();
    File::options().write(true).open(target.join("dump")).unwrap().write_all_at(&[0; 100], 9_000_000).unwrap();
    LargeFile { place, snapshot, target, bytes }
}

#[test]
fn of_a_large_file_only_the_chunks_that_differ_are_written() {
    let LargeFile { place, snapshot, target, bytes } = large_file();
    let dump = target.join("dump");
    let before = inode(&dump);
    let plan = RestoreOptions { dry_run: true, ..restore_options(&target) };
    let planned = restore_all(&place, &snapshot, &plan).completely();
    let restored = restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_eq!(restored.actions, [(Action::Update, "dump".to_string())]);
    assert!((100..600_000).contains(&restored.report.bytes_written), "{:?}", restored.report);
    assert_eq!(restored.report.bytes_written + restored.report.bytes_unchanged, bytes.len() as u64);
    assert_eq!(planned.report.bytes_written, restored.report.bytes_written);
    assert_eq!(inode(&dump), before, "it is the same file");
    assert!(fs::read(&dump).unwrap() == bytes);

    // Cut short, and too long.
    for length in [10_000_000, bytes.len() as u64 + 5000] {
        File::options().write(true).open(&dump).unwrap().set_len(length).unwrap();
        restore_all(&place, &snapshot, &restore_options(&target)).completely();
        assert!(fs::read(&dump).unwrap() == bytes, "after {length} bytes");
        assert_eq!(inode(&dump), before);
    }
}

#[test]
fn holes_of_a_large_file_are_made_again_where_they_were_filled() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[]);
    let data = noise(4, 1 << 20);
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.write_all_at(&data, 0).unwrap();
    sparse.write_all_at(&data, 20 << 20).unwrap();
    sparse.set_len(IN_PLACE_MIN_BYTES + (9 << 20) + 123).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    restore_all(&place, &snapshot, &restore_options(&target)).completely();

    let spoilt = File::options().write(true).open(target.join("sparse")).unwrap();
    spoilt.write_all_at(&noise(5, 3 << 20), (5 << 20) + 77).unwrap();
    spoilt.write_all_at(&[0; 100_000], 12 << 20).unwrap();
    spoilt.write_all_at(b"at the end", IN_PLACE_MIN_BYTES + (9 << 20)).unwrap();
    let before = inode(&target.join("sparse"));
    let restored = restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_eq!(restored.report.bytes_written, 0, "holes are no data");
    assert_eq!(inode(&target.join("sparse")), before);
    assert_same(&walk(&source), &walk(&target));
    assert_eq!(restore_all(&place, &snapshot, &restore_options(&target)).completely().actions, []);
}

#[test]
fn a_file_with_a_name_elsewhere_is_never_written_in_place() {
    let LargeFile { place, snapshot, target, bytes } = large_file();
    let elsewhere = place.path("elsewhere");
    fs::hard_link(target.join("dump"), &elsewhere).unwrap();
    let spoilt = fs::read(&elsewhere).unwrap();
    let permissions = fs::metadata(&elsewhere).unwrap().permissions();
    let restored = restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_eq!(restored.actions, [(Action::Replace, "dump".to_string())]);
    assert!(fs::read(target.join("dump")).unwrap() == bytes);
    assert!(fs::read(&elsewhere).unwrap() == spoilt, "the other name keeps what it had");
    assert_eq!(fs::metadata(&elsewhere).unwrap().permissions(), permissions);
}

#[test]
fn somebody_elses_file_is_not_written_in_place() {
    let LargeFile { place, snapshot, target, bytes } = large_file();
    let dump = target.join("dump");
    chown(&dump, Some(12_345), Some(12_345)).unwrap();
    let before = inode(&dump);
    restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_ne!(inode(&dump), before, "its owner could have it open");
    assert!(fs::read(&dump).unwrap() == bytes);
}

#[test]
fn symlinks_in_the_target_lead_nowhere() {
    let place = TestRepository::new();
    let files: [(&str, &[u8]); 3] = [("sub/file", b"stored"), ("links/first", b"linked"), ("plain", b"plain")];
    let source = directory(&place, "source", &files);
    fs::hard_link(source.join("links/first"), source.join("second")).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;

    let outside = directory(&place, "outside", &[("file", b"outside"), ("first", b"outside"), ("keep", b"keep")]);
    let before = walk(&outside);
    for delete in [false, true] {
        let target = directory(&place, &format!("target-{delete}"), &[]);
        symlink(&outside, target.join("sub")).unwrap();
        symlink(&outside, target.join("links")).unwrap();
        symlink(outside.join("file"), target.join("plain")).unwrap();
        symlink(outside.join("first"), target.join("second")).unwrap();
        symlink(&outside, target.join("extra")).unwrap();
        let chosen = RestoreOptions { delete, verify: true, ..restore_options(&target) };
        restore_all(&place, &snapshot, &chosen).completely();
        assert_same(&before, &walk(&outside));
        assert!(fs::symlink_metadata(target.join("sub")).unwrap().is_dir());
        assert_eq!(fs::read(target.join("sub/file")).unwrap(), b"stored");
        assert!(fs::symlink_metadata(target.join("plain")).unwrap().is_file());
        assert_eq!(inode(&target.join("second")), inode(&target.join("links/first")));
        assert_eq!(target.join("extra").symlink_metadata().is_err(), delete);
    }
    // The target itself the user named: a link there is meant.
    let real = directory(&place, "real", &[]);
    symlink(&real, place.path("by-link")).unwrap();
    restore_all(&place, &snapshot, &restore_options(&place.path("by-link"))).completely();
    assert_eq!(fs::read(real.join("plain")).unwrap(), b"plain");
}

#[test]
fn a_part_of_a_snapshot_goes_where_one_expects_it() {
    let place = TestRepository::new();
    let files: [(&str, &[u8]); 3] = [("a/first", b"linked"), ("b/c/file", b"stored"), ("b/own", b"own")];
    let source = directory(&place, "source", &files);
    fs::hard_link(source.join("a/first"), source.join("b/second")).unwrap();
    fs::hard_link(source.join("a/first"), source.join("b/third")).unwrap();
    fs::hard_link(source.join("b/own"), source.join("b/own-2")).unwrap();
    fs::set_permissions(source.join("b"), Permissions::from_mode(0o711)).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;

    // A directory's entries go into the target, which becomes that directory.
    let target = place.path("directory");
    try_restore(&place.repository, &snapshot, "b", &restore_options(&target)).unwrap().completely();
    assert_eq!(fs::read(target.join("c/file")).unwrap(), b"stored");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(inode(&target.join("second")), inode(&target.join("third")), "though their first name is not here");
    assert_eq!(inode(&target.join("own")), inode(&target.join("own-2")));
    assert_ne!(inode(&target.join("own")), inode(&target.join("second")));

    // A file goes into the target under its name; nothing else there is touched, whatever is asked for.
    let target = directory(&place, "file", &[("mine", b"mine")]);
    fs::set_permissions(&target, Permissions::from_mode(0o750)).unwrap();
    let delete = RestoreOptions { delete: true, verify: true, ..restore_options(&target) };
    let restored = try_restore(&place.repository, &snapshot, "b/second", &delete).unwrap().completely();
    assert_eq!(restored.actions, [(Action::Create, "second".to_string())]);
    assert_eq!(fs::read(target.join("second")).unwrap(), b"linked");
    assert_eq!(fs::read(target.join("mine")).unwrap(), b"mine");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn the_repository_survives_being_in_the_way() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("file", b"stored")]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let repository = place.path("repo");
    let chosen =
        |to: &Path| RestoreOptions { delete: true, protected: vec![repository.clone()], ..restore_options(to) };

    // The target holds the repository: with --delete, all but that goes.
    let target = place.path("");
    let restored = restore_all(&place, &snapshot, &chosen(&target));
    assert!(!place.path("source").exists());
    let [problem] = &restored.problems[..] else { panic!("{:?}", restored.problems) };
    assert!(problem.path.ends_with("repo") && problem.reason.contains("repository"), "{problem:?}");
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), 1);

    // The target lies in the repository.
    for to in [repository.clone(), repository.join("packs"), repository.join("not/there")] {
        let error = try_restore(&place.repository, &snapshot, "", &chosen(&to)).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("repository"), "{error}");
    }
    assert!(!repository.join("not").exists());
}

/// Runs `work` in a thread with the rights of another user.
fn as_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn an_ordinary_user_gets_what_is_possible_and_a_list_of_the_rest() {
    const USER: u32 = 12_345;
    let place = TestRepository::new();
    let files: [(&str, &[u8]); 3] = [("file", b"stored"), ("closed/inside", b"inside"), ("read-only/inside", b"too")];
    let source = directory(&place, "source", &files);
    rustix::fs::setxattr(source.join("file"), "trusted.t", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(source.join("file"), "user.u", b"2", rustix::fs::XattrFlags::empty()).unwrap();
    for (path, permissions) in [("closed", 0o000), ("read-only", 0o555), ("read-only/inside", 0o400)] {
        fs::set_permissions(source.join(path), Permissions::from_mode(permissions)).unwrap();
    }
    let device = rustix::fs::makedev(1, 3);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, source.join("device"), kind, rustix::fs::Mode::RUSR, device).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;

    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    let target = directory(&place, "target", &[]);
    chown(&target, Some(USER), Some(USER)).unwrap();
    let restored = as_user(USER, || restore_all(&place, &snapshot, &restore_options(&target)));

    let [problem] = &restored.problems[..] else { panic!("{:?}", restored.problems) };
    assert!(problem.path.ends_with("device") && problem.reason.contains("not permitted"), "{problem:?}");
    let listed = |path: &str| -> Vec<&str> {
        let of_path = |it: &&NotRestored| it.path == path.as_bytes();
        restored.not_set.iter().filter(of_path).map(|it| it.what.as_str()).collect()
    };
    assert_eq!(listed("file"), ["extended attribute \"trusted.t\"", "group", "owner"]);
    assert_eq!(listed("closed"), ["group", "owner"]);
    // The same by what and why.
    let owners = restored.report.not_set.iter().find(|group| group.what == "owner").unwrap();
    assert_eq!(owners.count, restored.not_set.iter().filter(|it| it.what == "owner").count() as u64);
    assert_eq!(owners.first, ["", "closed", "closed/inside"].map(|path| path.as_bytes().to_vec()));
    let grouped: u64 = restored.report.not_set.iter().map(|group| group.count).sum();
    assert_eq!([grouped, restored.report.not_set_count], [restored.not_set.len() as u64; 2]);

    assert_eq!(fs::read(target.join("file")).unwrap(), b"stored");
    assert_eq!(fs::read(target.join("closed/inside")).unwrap(), b"inside");
    assert_eq!(fs::metadata(target.join("closed")).unwrap().mode() & 0o7777, 0o000);
    assert_eq!(fs::metadata(target.join("read-only")).unwrap().mode() & 0o7777, 0o555);
    let times = |root: &Path| fs::metadata(root.join("closed")).unwrap().modified().unwrap();
    assert_eq!(times(&source), times(&target));

    // Once more, now that closed directories are in the way: what is in them can be made right all the same.
    fs::set_permissions(target.join("read-only/inside"), Permissions::from_mode(0o600)).unwrap();
    fs::write(target.join("read-only/inside"), b"spoilt").unwrap();
    fs::write(target.join("closed/extra"), b"extra").unwrap();
    let delete = RestoreOptions { delete: true, ..restore_options(&target) };
    let again = as_user(USER, || restore_all(&place, &snapshot, &delete));
    assert_eq!(again.problems.len(), 1, "{:?}", again.problems);
    assert_eq!(fs::read(target.join("read-only/inside")).unwrap(), b"too");
    assert!(!target.join("closed/extra").exists());
    assert_eq!(fs::metadata(target.join("closed")).unwrap().mode() & 0o7777, 0o000);
}

#[test]
fn owners_come_back_by_name_or_by_number() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("file", b"owned")]);
    // Debian and Ubuntu have this user everywhere.
    chown(source.join("file"), Some(1), Some(1)).unwrap();
    let snapshot = place.ingest(&source, "tree").snapshot;
    let node = place.repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"file").unwrap().unwrap();
    assert_eq!(node.owner, b"daemon");
    // As if it came from a machine where daemon has another number.
    let mut root = snapshot.manifest.root.clone();
    root.kind = node.kind.clone();
    (root.uid, root.gid, root.owner, root.group) = (777, 778, b"daemon".to_vec(), b"no such group".to_vec());
    for (numeric_ids, expected) in [(false, (1, 778)), (true, (777, 778))] {
        let target = place.path(&format!("target-{numeric_ids}"));
        let chosen = RestoreOptions { numeric_ids, ..restore_options(&target) };
        restore(&place.repository, &root, b"file", &chosen, &Recorder::default(), &mut |_| {}).unwrap();
        let restored = fs::metadata(target.join("file")).unwrap();
        assert_eq!((restored.uid(), restored.gid()), expected);
    }
}

/// A small filesystem of its own.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: PathBuf) -> SmallDisk {
        fs::create_dir(&path).unwrap();
        rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::empty(), c"size=8m")
            .expect("mounting a tmpfs: run the tests as root, with the right to mount");
        SmallDisk { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_file() {
    let place = TestRepository::new();
    let large = noise(11, 20_000_000);
    let source = directory(&place, "source", &[("a-small", b"small"), ("large", &large)]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let disk = SmallDisk::mount(place.path("disk"));
    let error = try_restore(&place.repository, &snapshot, "", &restore_options(&disk.path)).unwrap_err();
    let Error::Io { path, source: cause, .. } = &error else { panic!("{error}") };
    assert_eq!(path, &disk.path.join("large"));
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
    assert!(!disk.path.join("large").exists());
    assert_no_litter(&disk.path);

    // In the middle of a file that is written in place: named too, and its time tells that it is not done.
    let file = File::create(disk.path.join("large")).unwrap();
    file.write_all_at(&large[..1_000_000], 0).unwrap();
    file.set_len(large.len() as u64).unwrap();
    let error = try_restore(&place.repository, &snapshot, "", &restore_options(&disk.path)).unwrap_err();
    assert!(error.to_string().contains("disk/large"), "{error}");
    assert_ne!(
        fs::metadata(disk.path.join("large")).unwrap().modified().unwrap(),
        fs::metadata(source.join("large")).unwrap().modified().unwrap()
    );
}

#[test]
fn in_a_directory_that_it_makes_files_have_their_names_at_once() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("sub/a", b"first"), ("sub/b", b"second"), ("sub/c", b"third")]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let mut listener = |event: &Event<'_>| {
        let Event::Action(action) = event else { return };
        match action.path {
            b"sub/a" => {
                let moves_and_new = WatchFlags::CREATE | WatchFlags::MOVED_TO;
                inotify::add_watch(&watch, target.join("sub"), moves_and_new).unwrap();
            }
            // Somebody who is faster.
            b"sub/c" => fs::write(target.join("sub/c"), "not ours").unwrap(),
            _ => {}
        }
    };
    let options = RestoreOptions { threads: 1, ..restore_options(&target) };
    let root = &snapshot.manifest.root;
    let report = restore(&place.repository, root, b"", &options, &Recorder::default(), &mut listener).unwrap();
    assert_eq!(report.files, 3);
    assert_same(&walk(&source), &walk(&target));
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let names = std::iter::from_fn(|| {
        events
            .next()
            .ok()
            .map(|event| (event.events().contains(ReadFlags::MOVED_TO), event.file_name().unwrap().to_owned()))
    });
    let named: Vec<(bool, CString)> = names.filter(|(_, name)| !name.as_bytes().starts_with(b".")).collect();
    assert_eq!(named, [(false, c"a".into()), (false, c"b".into()), (false, c"c".into()), (true, c"c".into())]);
}

#[test]
fn what_is_mounted_below_the_target_is_not_deleted() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("file", b"stored")]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = directory(&place, "target", &[("extra/file", b"extra")]);
    let disk = SmallDisk::mount(target.join("extra/disk"));
    fs::write(disk.path.join("precious"), b"precious").unwrap();
    let delete = RestoreOptions { delete: true, ..restore_options(&target) };
    let restored = restore_all(&place, &snapshot, &delete);
    assert_eq!(fs::read(disk.path.join("precious")).unwrap(), b"precious");
    assert!(!target.join("extra/file").exists());
    let [problem] = &restored.problems[..] else { panic!("{:?}", restored.problems) };
    assert!(problem.reason.contains("mounted"), "{problem:?}");
}

#[test]
fn a_damaged_file_is_named_and_the_rest_comes_back() {
    let place = TestRepository::new();
    let large = noise(5, IN_PLACE_MIN_BYTES as usize + 1_000_000);
    let files: [(&str, &[u8]); 3] = [("damaged", &large), ("sub/sound", b"sound"), ("sub/longer", &[7; 5000])];
    let source = directory(&place, "source", &files);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let pack = largest_pack(&place);
    let middle = fs::metadata(&pack).unwrap().len() / 2;
    flip(&pack, middle);

    let target = place.path("target");
    let restored = restore_all(&place, &snapshot, &restore_options(&target));
    let [problem] = &restored.problems[..] else { panic!("{:?}", restored.problems) };
    assert_eq!(problem.path, target.join("damaged"));
    assert!(problem.reason.contains("is damaged"), "{problem:?}");
    assert_eq!(restored.report.damaged, 1);
    assert!(!target.join("damaged").exists(), "no bytes are better than wrong ones");
    assert_eq!(fs::read(target.join("sub/sound")).unwrap(), b"sound");
    assert_eq!(fs::read(target.join("sub/longer")).unwrap(), [7; 5000]);
    assert_no_litter(&target);

    // A file that would be written in place is left alone as well, as a whole.
    let old = noise(6, large.len());
    fs::write(target.join("damaged"), &old).unwrap();
    assert_eq!(restore_all(&place, &snapshot, &restore_options(&target)).problems.len(), 1);
    assert!(fs::read(target.join("damaged")).unwrap() == old);
}

fn largest_pack(place: &TestRepository) -> PathBuf {
    let backend = LocalBackend::new(place.path("repo"));
    let packs = backend.list_after("packs", None).unwrap();
    let largest = packs.into_iter().max_by_key(|listed| listed.size_bytes).unwrap();
    place.path("repo").join(largest.key)
}

fn flip(path: &Path, at: u64) {
    let mut byte = [0];
    let file = File::open(path).unwrap();
    file.read_exact_at(&mut byte, at).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    File::options().write(true).open(path).unwrap().write_all_at(&[!byte[0]], at).unwrap();
}

#[test]
fn reading_back_finds_what_the_disk_lost() {
    let place = TestRepository::new();
    let source = directory(&place, "source", &[("file", &noise(1, 100_000)[..]), ("other", b"other")]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    restore_all(&place, &snapshot, &restore_options(&target)).completely();
    // Spoilt between the writing and the reading back, at the moment when the last entry is done.
    let spoil = target.join("file");
    let watcher = support::watcher::Watcher::new(move |recorder: &Recorder| {
        if recorder.counters.entries.load(Ordering::Relaxed) == 2 {
            File::options().write(true).open(&spoil).unwrap().write_all_at(b"lost", 50_000).unwrap();
        }
    });
    let verify = RestoreOptions { verify: true, threads: 1, ..restore_options(&target) };
    let root = &snapshot.manifest.root;
    let report = restore(&place.repository, root, b"", &verify, &watcher, &mut |_| {}).unwrap();
    assert_eq!(report.problems, 1);
    let problems = watcher.recorder.problems.into_inner().unwrap();
    assert!(problems[0].path.ends_with("file") && problems[0].reason.contains("reading it back"), "{problems:?}");
}

#[test]
fn a_long_file_is_counted_while_it_is_compared_written_and_read_back() {
    const BYTES: usize = 20_000_000;
    let place = TestRepository::new();
    let bytes = noise(1, BYTES);
    let source = directory(&place, "source", &[("long", &bytes)]);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    let verify = RestoreOptions { verify: true, threads: 1, ..restore_options(&target) };
    for standing in ["nothing", "the same", "something else in places"] {
        if standing == "something else in places" {
            File::options()
                .write(true)
                .open(target.join("long"))
                .unwrap()
                .write_all_at(&[1; 100_000], 7_000_000)
                .unwrap();
        }
        let seen = Mutex::new(BTreeSet::new());
        let watcher = support::watcher::Watcher::new(|recorder: &Recorder| {
            seen.lock().unwrap().insert(recorder.counters.bytes.load(Ordering::Relaxed));
        });
        restore(&place.repository, &snapshot.manifest.root, b"", &verify, &watcher, &mut |_| {}).unwrap();
        // Written or compared, then read back.
        assert_eq!(watcher.recorder.counters.bytes.load(Ordering::Relaxed), 2 * BYTES as u64, "{standing}");
        let seen = seen.into_inner().unwrap();
        let [first, second] = [0..BYTES as u64, BYTES as u64..2 * BYTES as u64].map(|half| seen.range(half).count());
        assert!(first > 40 && second > 40, "{standing}: {first}, {second}");
        assert!(fs::read(target.join("long")).unwrap() == bytes, "{standing}");
    }
}

#[test]
fn an_interrupted_restore_says_so_and_the_next_one_completes_it() {
    let place = TestRepository::new();
    let names: Vec<String> = (0..40).map(|number| format!("{number:02}/file")).collect();
    let bytes = noise(9, 50_000);
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &bytes[..])).collect();
    let source = directory(&place, "source", &files);
    let snapshot = place.ingest(&source, "tree").snapshot;
    let target = place.path("target");
    let watcher = support::watcher::Watcher::new(|recorder: &Recorder| {
        if recorder.counters.files.load(Ordering::Relaxed) == 20 {
            recorder.cancelled.store(true, Ordering::Relaxed);
        }
    });
    let root = &snapshot.manifest.root;
    let error = restore(&place.repository, root, b"", &restore_options(&target), &watcher, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert!(!differences(&walk(&source), &walk(&target)).is_empty());
    assert_no_litter(&target);
    restore_all(&place, &snapshot, &restore_options(&target)).completely();
    assert_same(&walk(&source), &walk(&target));
}
