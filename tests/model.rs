//! A small model as oracle: a live tree and a list of snapshots, kept in maps. Random work is done to the model and to
//! the real thing, and whatever can be asked must be answered alike, by the library and by a mount.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use support::mounted::{Mount, Stage, within};
use support::repository::{directory_options, now};
use support::stored::{read, visit};
use yesterfs::Error;
use yesterfs::id::SnapshotId;
use yesterfs::ingest::directory::{DirectoryOptions, ingest_directory};
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::repository::node::{HardLink, Node, NodeKind, Xattr};
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::time::Timestamp;

/// Names from the root down. Ordered by components, which is the order of the tree.
type TreePath = Vec<Vec<u8>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum ModelEntry {
    /// Number of its inode: files have several names.
    File(u64),
    Directory {
        permissions: u32,
        attribute: Option<Vec<u8>>,
    },
    Symlink {
        target: Vec<u8>,
        modified: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelInode {
    bytes: Vec<u8>,
    permissions: u32,
    modified: Timestamp,
    attribute: Option<Vec<u8>>,
}

/// What a directory tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ModelTree {
    /// All but the root.
    entries: BTreeMap<TreePath, ModelEntry>,
    inodes: BTreeMap<u64, ModelInode>,
}

struct ModelSnapshot {
    id: SnapshotId,
    source: String,
    name: String,
    tags: BTreeSet<String>,
    tree: ModelTree,
    /// As a mount first showed them, in order of paths.
    inode_numbers: Option<Vec<u64>>,
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll()).unwrap() % bound
    }

    fn in_range(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len())]) }
    }
}

const NAMES: [&[u8]; 12] =
    [b"a", b"b", b"c", b"file", b"File", b"caf\xe9", b"new\nline", b" ", b"a.", b"a-b", b"zz", b"\x01"];
const ATTRIBUTE: &str = "user.model";
const SOURCES: [&str; 2] = ["lake", "river"];

/// The model beside the real thing.
struct World {
    dice: Dice,
    // Before the stage, that it is gone before its directory is.
    mount: Option<Mount>,
    stage: Stage,
    repository: Repository,
    root: PathBuf,
    live: ModelTree,
    next_inode: u64,
    snapshots: Vec<ModelSnapshot>,
}

impl World {
    fn new(seed: u64) -> World {
        let stage = Stage::new();
        let root = stage.make_directory("live");
        let repository = stage.open();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (live, snapshots) = (ModelTree::default(), Vec::new());
        World { dice, mount: None, stage, repository, root, live, next_inode: 0, snapshots }
    }

    fn real(&self, path: &TreePath) -> PathBuf {
        path.iter().fold(self.root.clone(), |real, name| real.join(OsStr::from_bytes(name)))
    }

    // Random changes of the live tree. Each is done to the model and to the disk.

    fn paths(&self, wanted: impl Fn(&ModelEntry) -> bool) -> Vec<TreePath> {
        self.live.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(path, _)| path.clone()).collect()
    }

    fn directories(&self) -> Vec<TreePath> {
        let mut directories = self.paths(|entry| matches!(entry, ModelEntry::Directory { .. }));
        directories.push(TreePath::new());
        directories.retain(|path| path.len() < 5);
        directories
    }

    fn some_file(&mut self) -> Option<(TreePath, u64)> {
        let files = self.paths(|entry| matches!(entry, ModelEntry::File(_)));
        let path = self.dice.pick(&files)?.clone();
        let ModelEntry::File(inode) = self.live.entries[&path] else { return None };
        Some((path, inode))
    }

    /// A path whose directory is there and which is free.
    fn free_path(&mut self) -> Option<TreePath> {
        let mut path = self.dice.pick(&self.directories())?.clone();
        path.push(NAMES[self.dice.below(NAMES.len())].to_vec());
        if self.live.entries.contains_key(&path) { None } else { Some(path) }
    }

    fn some_bytes(&mut self) -> Vec<u8> {
        let seed = self.dice.roll() % 20;
        match self.dice.below(8) {
            0 => Vec::new(),
            1 => support::noise(seed, self.dice.in_range(1..257)),
            2 => support::noise(seed, self.dice.in_range(200..5000)),
            3 => support::noise(seed, self.dice.in_range(5000..300_000)),
            4 => format!("line {seed} of some text\n").into_bytes().repeat(self.dice.in_range(1..5000)),
            5 => vec![0; self.dice.in_range(1..200_000)],
            // Bytes of some other file, with more behind them.
            _ => {
                let mut bytes =
                    self.some_file().map(|(_, inode)| self.live.inodes[&inode].bytes.clone()).unwrap_or_default();
                bytes.extend_from_slice(b"and more");
                bytes
            }
        }
    }

    fn some_time(&mut self) -> Timestamp {
        let seconds = i64::try_from(self.dice.below(4_000_000_000)).unwrap() - 1_000_000_000;
        Timestamp { seconds, nanos: u32::try_from(self.dice.below(1_000_000_000)).unwrap() }
    }

    fn set_time(&self, path: &TreePath, time: Timestamp) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() },
        };
        rustix::fs::utimensat(CWD, self.real(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    fn change(&mut self) {
        match self.dice.below(13) {
            0..3 => self.create_file(),
            3 => self.create_directory(),
            4 => self.create_symlink(),
            5 => self.create_link(),
            6..9 => self.change_bytes(),
            9 => self.change_metadata(),
            10..12 => self.rename(),
            _ => self.remove(),
        }
    }

    fn create_file(&mut self) {
        let Some(path) = self.free_path() else { return };
        let (bytes, modified) = (self.some_bytes(), self.some_time());
        fs::write(self.real(&path), &bytes).unwrap();
        fs::set_permissions(self.real(&path), fs::Permissions::from_mode(0o640)).unwrap();
        self.set_time(&path, modified);
        self.next_inode += 1;
        let inode = ModelInode { bytes, permissions: 0o640, modified, attribute: None };
        self.live.inodes.insert(self.next_inode, inode);
        self.live.entries.insert(path, ModelEntry::File(self.next_inode));
    }

    fn create_directory(&mut self) {
        let Some(path) = self.free_path() else { return };
        fs::create_dir(self.real(&path)).unwrap();
        fs::set_permissions(self.real(&path), fs::Permissions::from_mode(0o755)).unwrap();
        self.live.entries.insert(path, ModelEntry::Directory { permissions: 0o755, attribute: None });
    }

    fn create_symlink(&mut self) {
        let Some(path) = self.free_path() else { return };
        let target = NAMES[self.dice.below(NAMES.len())].repeat(self.dice.in_range(1..20));
        let modified = self.some_time();
        symlink(OsStr::from_bytes(&target), self.real(&path)).unwrap();
        self.set_time(&path, modified);
        self.live.entries.insert(path, ModelEntry::Symlink { target, modified });
    }

    fn create_link(&mut self) {
        let (Some((old, inode)), Some(new)) = (self.some_file(), self.free_path()) else { return };
        fs::hard_link(self.real(&old), self.real(&new)).unwrap();
        self.live.entries.insert(new, ModelEntry::File(inode));
    }

    fn change_bytes(&mut self) {
        let Some((path, number)) = self.some_file() else { return };
        let file = File::options().write(true).open(self.real(&path)).unwrap();
        let mut inode = self.live.inodes[&number].clone();
        let length = inode.bytes.len();
        match self.dice.below(4) {
            0 => {
                let more = self.some_bytes();
                file.write_all_at(&more, length as u64).unwrap();
                inode.bytes.extend_from_slice(&more);
            }
            1 if length > 0 => {
                // In place, of the same size.
                let start = self.dice.below(length);
                let end = self.dice.in_range(start..length) + 1;
                let bytes = support::noise(self.dice.roll(), end - start);
                file.write_all_at(&bytes, start as u64).unwrap();
                inode.bytes[start..end].copy_from_slice(&bytes);
            }
            2 => {
                // Longer, which makes a hole, or shorter.
                let length = self.dice.below(2 * length + 50_000);
                file.set_len(length as u64).unwrap();
                inode.bytes.resize(length, 0);
            }
            _ => {
                inode.bytes = self.some_bytes();
                file.set_len(0).unwrap();
                file.write_all_at(&inode.bytes, 0).unwrap();
            }
        }
        // Half of the changes do not show in the time.
        if self.dice.one_in(2) {
            inode.modified = self.some_time();
        }
        self.set_time(&path, inode.modified);
        self.live.inodes.insert(number, inode);
    }

    fn change_metadata(&mut self) {
        let candidates = self.paths(|entry| !matches!(entry, ModelEntry::Symlink { .. }));
        let Some(path) = self.dice.pick(&candidates).cloned() else { return };
        let real = self.real(&path);
        let new_permissions = [0o600, 0o644, 0o700, 0o4755][self.dice.below(4)];
        let value = support::noise(self.dice.roll(), self.dice.in_range(0..900));
        let time = self.some_time();
        let kind = self.dice.below(3);
        let (permissions, attribute) = match self.live.entries.get_mut(&path).unwrap() {
            ModelEntry::File(number) => {
                let inode = self.live.inodes.get_mut(number).unwrap();
                if kind == 2 {
                    inode.modified = time;
                }
                (&mut inode.permissions, &mut inode.attribute)
            }
            ModelEntry::Directory { permissions, attribute } => (permissions, attribute),
            ModelEntry::Symlink { .. } => return,
        };
        match kind {
            0 => {
                *permissions = new_permissions;
                fs::set_permissions(&real, fs::Permissions::from_mode(new_permissions)).unwrap();
            }
            1 if attribute.is_some() => {
                *attribute = None;
                rustix::fs::removexattr(&real, ATTRIBUTE).unwrap();
            }
            1 => {
                rustix::fs::setxattr(&real, ATTRIBUTE, &value, XattrFlags::empty()).unwrap();
                *attribute = Some(value);
            }
            _ => self.set_time(&path, time),
        }
    }

    fn rename(&mut self) {
        let all = self.paths(|_| true);
        let (Some(old), Some(new)) = (self.dice.pick(&all).cloned(), self.free_path()) else { return };
        if new.starts_with(&old) || new.len() + 3 > 8 {
            return;
        }
        fs::rename(self.real(&old), self.real(&new)).unwrap();
        for path in all.into_iter().filter(|path| path.starts_with(&old)) {
            let entry = self.live.entries.remove(&path).unwrap();
            let moved = [&new[..], &path[old.len()..]].concat();
            self.live.entries.insert(moved, entry);
        }
    }

    fn remove(&mut self) {
        let all = self.paths(|_| true);
        let Some(victim) = self.dice.pick(&all).cloned() else { return };
        match self.live.entries[&victim] {
            ModelEntry::Directory { .. } => fs::remove_dir_all(self.real(&victim)).unwrap(),
            _ => fs::remove_file(self.real(&victim)).unwrap(),
        }
        self.live.entries.retain(|path, _| !path.starts_with(&victim));
        let entries = &self.live.entries;
        self.live.inodes.retain(|number, _| entries.values().any(|entry| *entry == ModelEntry::File(*number)));
    }

    // Random work on the repository.

    fn ingest(&mut self) {
        // Half of the ingests come so soon that no file has come to rest. For the others all have: by their clock, and
        // because the kernel's clock has ticked.
        let settled = self.dice.one_in(2);
        if settled {
            std::thread::sleep(Duration::from_millis(30));
        }
        let clock = move || match settled {
            true => now(),
            false => Timestamp::from_system(SystemTime::now()),
        };
        let source = SOURCES[usize::from(self.dice.one_in(3))];
        let options = DirectoryOptions { threads: self.dice.in_range(1..4), ..directory_options(&self.root, source) };
        let recorder = Recorder::default();
        let snapshot = ingest_directory(&self.repository, &options, &clock, &recorder).unwrap().snapshot;
        assert_eq!(recorder.problems.into_inner().unwrap(), []);
        self.snapshots.push(ModelSnapshot {
            id: snapshot.id,
            source: source.into(),
            name: snapshot.manifest.name.clone(),
            tags: BTreeSet::new(),
            tree: self.live.clone(),
            inode_numbers: None,
        });
        self.compare(self.snapshots.len() - 1);
    }

    fn forget(&mut self) {
        if self.snapshots.len() < 3 {
            return;
        }
        let victim = self.snapshots.remove(self.dice.below(self.snapshots.len()));
        self.repository.forget(&[victim.id], "model", now()).unwrap();
        assert!(matches!(self.repository.forget(&[victim.id], "model", now()), Err(Error::NotFound { .. })));
        assert!(matches!(self.repository.find(&victim.id.to_string(), now()), Err(Error::NotFound { .. })));
    }

    fn tag(&mut self) {
        let Some(at) = (!self.snapshots.is_empty()).then(|| self.dice.below(self.snapshots.len())) else { return };
        let mut some_tags = || {
            let tags = ["weekly", "kept", "audit", "release"].map(str::to_string);
            tags.into_iter().filter(|_| self.dice.one_in(3)).collect::<Vec<_>>()
        };
        let (add, remove) = (some_tags(), some_tags());
        let snapshot = &mut self.snapshots[at];
        self.repository.change_tags(snapshot.id, &add, &remove, now()).unwrap();
        snapshot.tags.retain(|tag| !remove.contains(tag));
        snapshot.tags.extend(add);
    }

    fn reopen(&mut self) {
        if self.dice.one_in(2) {
            // It may not have been made yet, or not again.
            let _ = fs::remove_dir_all(self.stage.path("repo/index"));
        }
        self.repository = self.stage.open();
    }

    fn remount(&mut self) {
        match self.mount.take() {
            Some(mount) => mount.unmount(),
            None => self.mount = Some(self.stage.mount()),
        }
    }

    // Questions.

    /// What the catalog says, against the list.
    fn compare_catalog(&mut self) {
        let catalog = self.repository.catalog();
        let told: Vec<_> = catalog.snapshots().map(|it| (it.id, it.manifest.name.clone(), it.tags.clone())).collect();
        let known: Vec<_> = self.snapshots.iter().map(|it| (it.id, it.name.clone(), it.tags.clone())).collect();
        assert_eq!(told, known);
        for source in SOURCES {
            let ids: Vec<_> = self.snapshots.iter().filter(|it| it.source == source).map(|it| it.id).rev().collect();
            for back in 0..=ids.len() {
                let found = self.repository.find(&format!("{source}@latest~{back}"), now()).map(|it| it.id).ok();
                assert_eq!(found, ids.get(back).copied());
            }
        }
        if let Some(snapshot) = self.dice.pick(&self.snapshots) {
            for text in [format!("{}@{}", snapshot.source, snapshot.name), snapshot.id.to_string()[..12].to_string()] {
                assert_eq!(self.repository.find(&text, now()).unwrap().id, snapshot.id, "{text}");
            }
        }
    }

    /// Everything in one snapshot, against the tree as it was then.
    fn compare(&mut self, at: usize) {
        let model = &self.snapshots[at];
        let snapshot = self.repository.catalog().by_id(&model.id).cloned().expect("it was acknowledged");
        let mut found = BTreeMap::new();
        visit(&self.repository, &snapshot, |path, node| {
            found.insert(split(path), node.clone());
        })
        .unwrap();
        let root = found.remove(&TreePath::new()).unwrap();
        assert!(found.keys().eq(model.tree.entries.keys()), "other names");
        for (path, node) in &found {
            compare_node(&self.repository, &model.tree, path, node);
        }
        let below = |path: &TreePath| model.tree.entries.keys().filter(|it| it.starts_with(path)).count();
        assert_eq!(root.totals().descendants, found.len() as u64 + 1);
        let bytes = model.tree.entries.values().map(|entry| match entry {
            ModelEntry::File(number) => model.tree.inodes[number].bytes.len() as u64,
            _ => 0,
        });
        assert_eq!(root.totals().bytes, bytes.sum::<u64>());
        for (path, node) in &found {
            assert_eq!(node.totals().descendants, below(path) as u64);
        }
        compare_positions(&self.repository, &snapshot, &found);
        self.compare_reads(&found, at);
    }

    /// Random ranges of random files, and names that are not there.
    fn compare_reads(&mut self, found: &BTreeMap<TreePath, Node>, at: usize) {
        let files: Vec<&Node> = found.values().filter(|node| matches!(node.kind, NodeKind::File { .. })).collect();
        let tree = &self.snapshots[at].tree;
        let inodes: Vec<&ModelInode> = tree
            .entries
            .values()
            .filter_map(|entry| match entry {
                ModelEntry::File(number) => Some(&tree.inodes[number]),
                _ => None,
            })
            .collect();
        for _ in 0..files.len().min(10) {
            let which = self.dice.below(files.len());
            let NodeKind::File { content, .. } = &files[which].kind else { continue };
            let bytes = &inodes[which].bytes;
            let offset = self.dice.below(bytes.len() + 10);
            let length = self.dice.below(bytes.len() + 10);
            let expected = &bytes[offset.min(bytes.len())..(offset + length).min(bytes.len())];
            assert!(read(&self.repository, content, offset as u64, length as u64).unwrap() == expected);
        }
        let root = self.repository.catalog().by_id(&self.snapshots[at].id).unwrap().manifest.root.clone();
        for path in ["nothing", "a/nothing/at/all", "a-", "zzz"] {
            let known = tree.entries.contains_key(&split(path.as_bytes()));
            assert_eq!(self.repository.tree().unwrap().lookup_path(&root, path.as_bytes()).unwrap().is_some(), known);
        }
    }
}

/// What a mount shows, if there is one.
impl World {
    fn compare_mounted(&mut self) {
        let Some(mount) = &self.mount else { return };
        for source in SOURCES {
            let directory = mount.path("snapshots").join(source);
            let own: Vec<&str> =
                self.snapshots.iter().filter(|it| it.source == source).map(|it| it.name.as_str()).collect();
            let known: BTreeSet<TreePath> = own
                .iter()
                .copied()
                .chain((!own.is_empty()).then_some("latest"))
                .map(|it| split(it.as_bytes()))
                .collect();
            within(SHOWN_WITHIN, "the list of snapshots", || paths_below(&directory, 1) == known);
            let latest = || fs::read_link(directory.join("latest")).ok();
            within(SHOWN_WITHIN, "the latest snapshot", || latest().as_deref() == own.last().map(Path::new));
        }
        let tagged: BTreeSet<TreePath> = self
            .snapshots
            .iter()
            .flat_map(|it| {
                it.tags
                    .iter()
                    .map(move |tag| [tag, &it.source, &it.name].map(|name| name.clone().into_bytes()).to_vec())
            })
            .collect();
        let leaves = || paths_below(&mount.path("tags"), 3).into_iter().filter(|path| path.len() == 3);
        within(SHOWN_WITHIN, "the list of tags", || leaves().collect::<BTreeSet<_>>() == tagged);
        if self.snapshots.is_empty() {
            return;
        }
        let at = self.dice.below(self.snapshots.len());
        let model = &mut self.snapshots[at];
        let root = mount.path("snapshots").join(&model.source).join(&model.name);
        assert!(paths_below(&root, usize::MAX).iter().eq(model.tree.entries.keys()), "other names in {root:?}");
        let numbers: Vec<u64> = model.tree.entries.keys().map(|path| compare_shown(&model.tree, path, &root)).collect();
        assert_eq!(model.inode_numbers.get_or_insert_with(|| numbers.clone()), &numbers, "in {root:?}");
    }
}

/// The promise is a second, and a busy machine is none of the model's business.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// All paths below a directory, at most so many levels down; none where there is no directory.
fn paths_below(directory: &Path, levels: usize) -> BTreeSet<TreePath> {
    let mut found = BTreeSet::new();
    let entries = if levels > 0 { fs::read_dir(directory).ok() } else { None };
    for entry in entries.into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().as_bytes().to_vec();
        if entry.file_type().unwrap().is_dir() {
            let below = paths_below(&entry.path(), levels - 1);
            found.extend(below.into_iter().map(|path| [vec![name.clone()], path].concat()));
        }
        found.insert(vec![name]);
    }
    found
}

/// One entry below `root`, in a mount, against the model. Returns its inode number.
fn compare_shown(tree: &ModelTree, path: &TreePath, root: &Path) -> u64 {
    let real = path.iter().fold(root.to_path_buf(), |real, name| real.join(OsStr::from_bytes(name)));
    let found = fs::symlink_metadata(&real).unwrap();
    let time = Timestamp { seconds: found.mtime(), nanos: u32::try_from(found.mtime_nsec()).unwrap() };
    let mut value = [0; 1000];
    let attribute = rustix::fs::lgetxattr(&real, ATTRIBUTE, &mut value[..]).ok().map(|length| value[..length].to_vec());
    let permissions = found.mode() & 0o7777;
    match &tree.entries[path] {
        entry @ ModelEntry::File(number) => {
            let inode = &tree.inodes[number];
            let names = tree.entries.values().filter(|it| *it == entry).count() as u64;
            assert!(found.is_file() && fs::read(&real).unwrap() == inode.bytes, "{real:?}: other bytes");
            assert_eq!(
                (permissions, time, &attribute, found.nlink(), found.len()),
                (inode.permissions, inode.modified, &inode.attribute, names, inode.bytes.len() as u64),
                "{real:?}"
            );
        }
        ModelEntry::Directory { permissions: wanted, attribute: value } => {
            assert!(found.is_dir());
            assert_eq!((permissions, &attribute), (*wanted, value), "{real:?}");
        }
        ModelEntry::Symlink { target, modified } => {
            assert_eq!(fs::read_link(&real).unwrap().as_os_str().as_bytes(), target);
            assert_eq!(&time, modified, "{real:?}");
        }
    }
    found.ino()
}

fn split(path: &[u8]) -> TreePath {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn compare_node(repository: &Repository, tree: &ModelTree, path: &TreePath, node: &Node) {
    let shown = path.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join("/");
    let attribute = |attribute: &Option<Vec<u8>>| {
        let xattr = |value: &Vec<u8>| Xattr { name: ATTRIBUTE.into(), value: value.clone() };
        attribute.iter().map(xattr).collect::<Vec<_>>()
    };
    let xattrs = repository.tree().unwrap().xattrs(node).unwrap();
    match (&tree.entries[path], &node.kind) {
        (ModelEntry::File(number), NodeKind::File { content, torn: false }) => {
            let inode = &tree.inodes[number];
            assert_eq!(content.size, inode.bytes.len() as u64, "{shown}");
            assert!(read(repository, content, 0, content.size).unwrap() == inode.bytes, "{shown}: other bytes");
            assert_eq!(
                (u32::from(node.permissions), node.modified, xattrs),
                (inode.permissions, inode.modified, attribute(&inode.attribute)),
                "{shown}"
            );
            let names: Vec<&TreePath> =
                tree.entries.iter().filter(|(_, it)| **it == ModelEntry::File(*number)).map(|(path, _)| path).collect();
            let link = (names.len() > 1)
                .then(|| HardLink { count: u32::try_from(names.len()).unwrap(), first_path: names[0].join(&b'/') });
            assert_eq!(node.hard_link, link, "{shown}");
        }
        (ModelEntry::Directory { permissions, attribute: value }, NodeKind::Directory(_)) => {
            assert_eq!((u32::from(node.permissions), xattrs), (*permissions, attribute(value)), "{shown}");
        }
        (ModelEntry::Symlink { target, modified }, NodeKind::Symlink { target: stored }) => {
            assert_eq!((stored, &node.modified), (target, modified), "{shown}");
        }
        (entry, kind) => panic!("{shown}: {entry:?} became {kind:?}"),
    }
}

/// Every entry of the root directory is found by its name and by each position below it.
fn compare_positions(repository: &Repository, snapshot: &Snapshot, found: &BTreeMap<TreePath, Node>) {
    let root = snapshot.manifest.root.directory().unwrap();
    let tree = repository.tree().unwrap();
    let (mut ordinal, mut preorder) = (0, 0);
    for (path, node) in found.iter().filter(|(path, _)| path.len() == 1) {
        let entry = tree.lookup(root, &path[0]).unwrap().expect("listed, but not found by name");
        assert_eq!((entry.ordinal, entry.preorder, &entry.node), (ordinal, preorder, node));
        let last = preorder + node.totals().descendants - 1;
        for position in [preorder, last] {
            assert_eq!(tree.entry_at(root, position).unwrap().as_ref(), Some(&entry));
        }
        assert_eq!(tree.entries_from(root, ordinal).next().unwrap().unwrap(), entry);
        ordinal += 1;
        preorder = last + 1;
    }
    assert_eq!(tree.entry_at(root, preorder).unwrap(), None);
    assert!(tree.entries_from(root, ordinal).next().is_none());
}

/// With `mounts`, a real mount comes and goes meanwhile.
fn play(seed: u64, steps: usize, mounts: bool) {
    let mut world = World::new(seed);
    for step in 0..steps {
        // Shown only where the test fails.
        println!("seed {seed}, step {step}, {} entries, {} snapshots", world.live.entries.len(), world.snapshots.len());
        if mounts && world.dice.one_in(6) {
            world.remount();
        }
        match world.dice.below(10) {
            0..5 => (0..world.dice.in_range(1..15)).for_each(|_| world.change()),
            5..7 => world.ingest(),
            7 => world.forget(),
            8 => world.tag(),
            _ => world.reopen(),
        }
        world.compare_catalog();
        world.compare_mounted();
        if !world.snapshots.is_empty() {
            let at = world.dice.below(world.snapshots.len());
            world.compare(at);
        }
    }
    world.reopen();
    world.compare_catalog();
    (0..world.snapshots.len()).for_each(|at| world.compare(at));
    let made = world.repository.catalog().snapshots_added();
    assert!(made > steps as u64 / 10, "the dice made only {made} snapshots, too few to prove anything");
    support::stored::assert_sound(&world.repository);
}

#[test]
fn random_work_is_remembered_by_a_first_seed() {
    play(1, 200, false);
}

#[test]
fn random_work_is_remembered_by_a_second_seed() {
    play(2, 200, false);
}

#[test]
fn random_work_is_remembered_by_a_third_seed() {
    play(3, 200, false);
}

#[test]
fn random_work_is_shown_by_a_mount() {
    play(4, 150, true);
}
