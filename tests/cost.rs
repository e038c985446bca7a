//! What each verb costs in calls of the storage: on an object store every one of them is a round trip and a price.

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use support::dumped::{options, reader};
use support::faulty::{Counts, FaultyBackend};
use support::repository::{TestRepository, commit, directory_options, now, open, read_file, restore_options};
use yesterfs::check::{CheckOptions, check};
use yesterfs::diff::{DiffOptions, Side, diff};
use yesterfs::id::ChunkId;
use yesterfs::ingest::directory::{DirectoryOptions, ingest_directory};
use yesterfs::ingest::dump::DumpOptions;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::progress::Recorder;
use yesterfs::repository::content::{Content, ContentBody};
use yesterfs::repository::node::{Node, NodeKind};
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::repository::tree::{DirectoryWriter, Witness};
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::restore::{RestoreOptions, restore};
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::chunk_record::DELTA_DEPTH_MAX;
use yesterfs::view::{Lookup, Owner, SmallFiles, View};

/// A repository opened by a process that counts its calls.
struct Counted {
    repository: Repository,
    backend: Arc<FaultyBackend>,
}

impl Counted {
    fn open(place: &TestRepository) -> Counted {
        let backend = Arc::new(FaultyBackend::recording(Arc::new(LocalBackend::new(place.path("repo")))));
        let repository = open(&place.path(""), backend.clone(), Arc::new(Recorder::default())).unwrap();
        Counted { repository, backend }
    }

    /// One that remembers no chunk, so that every page it looks at is a call.
    fn without_cache(place: &TestRepository) -> Counted {
        let backend = Arc::new(FaultyBackend::recording(Arc::new(LocalBackend::new(place.path("repo")))));
        let options =
            OpenOptions { index_directory: place.path("repo/index"), cache_bytes: 0, index_cache_bytes: 8 << 20 };
        let repository = Repository::open(backend.clone(), options, Arc::new(Recorder::default())).unwrap();
        Counted { repository, backend }
    }

    /// The calls that `work` makes.
    fn cost(&self, work: impl FnOnce(&Repository)) -> Counts {
        let before = self.backend.counts();
        work(&self.repository);
        let after = self.backend.counts();
        Counts {
            put_new: after.put_new - before.put_new,
            write: after.write - before.write,
            finish: after.finish - before.finish,
            get_range: after.get_range - before.get_range,
            list_after: after.list_after - before.list_after,
            delete: after.delete - before.delete,
            space: after.space - before.space,
        }
    }
}

fn ingest(repository: &Repository, path: &Path) {
    // One thread, or the number of packs would depend on who was faster.
    let options = DirectoryOptions { threads: 1, ..directory_options(path, "lake") };
    ingest_directory(repository, &options, &now, &Recorder::default()).unwrap();
}

/// A tree of 20 directories with ten files each; a chunk for each file, a page for each directory.
fn make_source(place: &TestRepository) -> PathBuf {
    let source = place.path("source");
    for directory in 0..20 {
        let directory_path = source.join(format!("d{directory}"));
        fs::create_dir_all(&directory_path).unwrap();
        for file in 0..10u64 {
            fs::write(directory_path.join(format!("f{file}")), support::noise(directory * 10 + file, 2000)).unwrap();
        }
    }
    support::wait_until_settled();
    source
}

const NOTHING: Counts = Counts { put_new: 0, write: 0, finish: 0, get_range: 0, list_after: 0, delete: 0, space: 0 };

/// A record is looked for, put, and read back with whatever else came.
const ONE_RECORD: Counts = Counts { put_new: 1, write: 1, finish: 1, get_range: 1, list_after: 2, delete: 0, space: 0 };

#[test]
fn listing_snapshots_reads_the_records_and_nothing_else() {
    let place = TestRepository::new();
    let source = make_source(&place);
    (0..3).for_each(|_| ingest(&place.repository, &source));
    let counted = Counted::open(&place);
    assert_eq!(counted.repository.catalog().snapshots().count(), 3);
    // The config, and two records an ingest; checkpoints and records are listed once.
    assert_eq!(counted.backend.counts(), Counts { get_range: 1 + 2 * 3, list_after: 2, ..NOTHING });
    // To see that there is no news costs one call.
    let cost = counted.cost(|repository| assert!(!repository.refresh().unwrap()));
    assert_eq!(cost, Counts { list_after: 1, ..NOTHING });
}

#[test]
fn a_long_history_is_read_from_its_checkpoint() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    ingest(&place.repository, &source);
    let id = place.repository.catalog().snapshots().next().unwrap().id;
    while place.repository.catalog().sequence < 300 {
        place.repository.change_tags(id, &["tag".into()], &[], now()).unwrap();
    }
    let counted = Counted::open(&place);
    assert_eq!(counted.repository.catalog().sequence, 300);
    // The config, the checkpoint, the record that it must end with, and the records behind it.
    assert_eq!(counted.backend.counts(), Counts { get_range: 1 + 2 + (300 - 256), list_after: 2, ..NOTHING });
}

#[test]
fn tag_and_forget_cost_one_record() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    ingest(&place.repository, &source);
    let counted = Counted::open(&place);
    let id = counted.repository.catalog().snapshots().next().unwrap().id;
    let cost = counted.cost(|repository| repository.change_tags(id, &["tag".into()], &[], now()).unwrap());
    assert_eq!(cost, ONE_RECORD);
    let cost = counted.cost(|repository| repository.forget(&[id], "test", now()).unwrap());
    assert_eq!(cost, ONE_RECORD);
}

#[test]
fn an_ingest_of_nothing_costs_two_records() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let counted = Counted::open(&place);
    let cost = counted.cost(|repository| ingest(repository, &source));
    // The packs are listed once, to see that none is lost.
    assert_eq!(cost, Counts { put_new: 2, write: 2, finish: 2, get_range: 2, list_after: 5, ..NOTHING });
}

#[test]
fn an_unchanged_tree_costs_two_records_and_the_reading_of_its_pages() {
    let place = TestRepository::new();
    let source = make_source(&place);
    let counted = Counted::open(&place);
    let first = counted.cost(|repository| ingest(repository, &source));
    // A pack of data, one of pages, the segment, two records; each of the two packs is written by its chunks.
    assert_eq!((first.put_new, first.finish), (2 + 1 + 2, 2 + 1 + 2));
    assert_eq!(first.write, (200 + 2) + (2 * 21 + 2) + 1 + 2);
    // Another process has no page at hand: a page of entries and one of witnesses for each of the 21 directories. That
    // the pack of pages is still there is asked once, and its footer tells where the further ones lie.
    let again = Counted::open(&place);
    again.repository.chunks().unwrap();
    let cost = again.cost(|repository| ingest(repository, &source));
    assert_eq!(cost, Counts { put_new: 2, write: 2, finish: 2, get_range: 2 + 2 * 21 + 2, list_after: 5, ..NOTHING });
    // With the pages at hand only the records remain.
    let warm = again.cost(|repository| ingest(repository, &source));
    assert_eq!(warm, Counts { put_new: 2, write: 2, finish: 2, get_range: 2 + 1, list_after: 5, ..NOTHING });
}

#[test]
fn a_changed_file_costs_the_same_however_long_the_history() {
    let place = TestRepository::new();
    let source = make_source(&place);
    let change = |number: u64| {
        fs::write(source.join("d7/f7"), support::noise(1000 + number, 2000)).unwrap();
        support::wait_until_settled();
        let counted = Counted::open(&place);
        counted.repository.chunks().unwrap();
        counted.cost(|repository| ingest(repository, &source))
    };
    let costs: Vec<Counts> = (0..30).map(change).collect();
    assert_eq!(place.reopen().unwrap().catalog().snapshots().count(), costs.len());
    // The first stores everything; the second is the first that compares. From then on each of the four pages that change
    // is read through a chain that grows to eight deltas, and no further; the links of one that becomes shorter are read twice,
    // and the footers of their packs.
    let depth_max = u64::from(DELTA_DEPTH_MAX);
    let most = costs[2].get_range + 2 * 4 * depth_max + depth_max + 1;
    for (version, cost) in (10..).zip(&costs[10..]) {
        assert_eq!(Counts { get_range: 0, ..*cost }, Counts { get_range: 0, ..costs[2] }, "version {version}");
        assert!(cost.get_range <= most, "version {version}: {cost:?}, version 2: {:?}", costs[2]);
    }
    // That no pack is lost is told by the index and one listing: 2 packs, a segment and two records are made, and read
    // back for the index; the pages of the snapshot before are read.
    assert_eq!((costs[29].put_new, costs[29].list_after), (2 + 1 + 2, 5));

    // Where the index cannot be written, what is new is kept in memory, and only that is read. A folder in the place of
    // the lock stands for a full disk.
    fs::write(source.join("d7/f7"), support::noise(2000, 2000)).unwrap();
    support::wait_until_settled();
    let counted = Counted::open(&place);
    counted.repository.chunks().unwrap();
    let lock = place.path("repo/index/lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    // The chains of the four pages are longer by one.
    let next = Counts { get_range: costs[29].get_range + 4, ..costs[29] };
    assert_eq!(counted.cost(|repository| ingest(repository, &source)), next);
}

#[test]
fn one_file_costs_its_directories_and_its_chunks() {
    let place = TestRepository::new();
    let source = make_source(&place);
    fs::write(source.join("d7/large"), support::noise(1, 1_000_000)).unwrap();
    ingest(&place.repository, &source);
    let counted = Counted::open(&place);
    let repository = &counted.repository;
    let cost = counted.cost(|repository| assert!(repository.chunks().is_ok()));
    // The index is at hand and belongs to this history.
    assert!(cost.get_range <= 1 && cost.list_after == 0, "{cost:?}");
    let snapshot = repository.catalog().snapshots().next().unwrap().clone();
    let small = counted.cost(|repository| {
        assert!(read_file(repository, &snapshot, b"d3/f4").unwrap() == support::noise(34, 2000));
    });
    // The root, the directory, the chunk.
    assert_eq!(small, Counts { get_range: 3, ..NOTHING });
    let again = counted.cost(|repository| drop(read_file(repository, &snapshot, b"d3/f4").unwrap()));
    assert_eq!(again, NOTHING);
    let missing = counted.cost(|repository| {
        let found = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"d3/nothing/at/all").unwrap();
        assert_eq!(found, None);
    });
    assert_eq!(missing, NOTHING);
    let large = counted.cost(|repository| drop(read_file(repository, &snapshot, b"d7/large").unwrap()));
    // The directory, the page of extents, and about 15 chunks of 64 KiB.
    assert!((2 + 5..2 + 40).contains(&large.get_range), "{large:?}");
}

#[test]
fn a_sequential_read_asks_the_index_for_few_of_its_chunks() {
    const CHUNKS: u64 = 100;
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let bytes = support::noise(1, 10_000_000);
    fs::write(source.join("large"), &bytes).unwrap();
    ingest(&place.repository, &source);
    let counted = Counted::without_cache(&place);
    let repository = &counted.repository;
    let snapshot = repository.catalog().snapshots().next().unwrap().clone();
    let node = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"large").unwrap().unwrap();
    let NodeKind::File { content, .. } = node.kind else { panic!("a file") };
    let (mut out, before) = (Vec::new(), repository.chunks().unwrap().read_counts().lookups);
    let cost =
        counted.cost(|repository| repository.contents().unwrap().read(&content, 0, bytes.len(), &mut out).unwrap());
    assert!(out == bytes && cost.get_range > CHUNKS, "{cost:?}");
    // A few pages, and the first chunks of a row; then the pack's footer tells.
    let lookups = repository.chunks().unwrap().read_counts().lookups - before;
    assert!(lookups < 16, "{lookups} lookups");
}

/// A dump of a table of 40,000 rows.
fn dump_of_rows() -> Vec<u8> {
    let rows = (0..40_000u64).map(|id| format!("({id},'{}')", ChunkId::of(&id.to_le_bytes())));
    let statements: Vec<String> = rows.collect();
    let rows = statements.chunks(5_000).map(|rows| format!("INSERT INTO `orders` VALUES\n{};\n", rows.join(",\n")));
    let table = "-- MariaDB dump 10.19\n-- Host: h    Database: shop\nCREATE TABLE `orders` (`id` int, `text` text);\n";
    [table.to_string(), rows.collect(), "-- Dump completed on 2026-11-26 10:00:00\n".to_string()].concat().into_bytes()
}

fn ingest_dump(repository: &Repository, dump: &[u8]) -> Arc<Snapshot> {
    let options = DumpOptions { threads: 1, ..options(reader(dump)) };
    ingest_mysql(repository, options, &now, &Recorder::default()).unwrap().snapshot
}

#[test]
fn an_unchanged_dump_asks_the_index_for_few_of_its_chunks() {
    let place = TestRepository::new();
    let dump = dump_of_rows();
    ingest_dump(&place.repository, &dump);
    // Each of its chunks is asked for at first.
    let first = place.repository.chunks().unwrap().read_counts().lookups;
    assert!(first > 100, "{first} lookups");
    let counted = Counted::open(&place);
    let before = counted.repository.chunks().unwrap().read_counts().lookups;
    let cost = counted.cost(|repository| drop(ingest_dump(repository, &dump)));
    let lookups = counted.repository.chunks().unwrap().read_counts().lookups - before;
    assert!(lookups < 20, "{lookups} lookups, {first} at first");
    // What it holds is told by the pages of the snapshot before: no chunk of it is read, and two records are written.
    assert_eq!((cost.put_new, cost.write), (2, 2));
    assert!(cost.get_range < 20, "{cost:?}");
}

#[test]
fn a_changed_dump_reads_what_it_is_told_against_and_not_more() {
    let place = TestRepository::new();
    let mut dump = dump_of_rows();
    ingest_dump(&place.repository, &dump);
    let middle = dump.len() / 2;
    dump[middle] ^= 1;
    let counted = Counted::open(&place);
    let cost = counted.cost(|repository| drop(ingest_dump(repository, &dump)));
    // A pack of data, a segment and a record for the dump as it came; then the same and a pack of pages for its tree, and the record
    // of the snapshot.
    assert_eq!(cost.put_new, (1 + 1 + 1) + (2 + 1 + 1) + 1);
    assert!(cost.get_range < 40, "{cost:?}");
}

#[test]
fn a_restored_tree_costs_its_pages_and_its_chunks() {
    let place = TestRepository::new();
    let source = make_source(&place);
    ingest(&place.repository, &source);
    let counted = Counted::open(&place);
    let root = counted.repository.catalog().snapshots().next().unwrap().manifest.root.clone();
    let options = RestoreOptions { threads: 1, ..restore_options(&place.path("restored")) };
    let cost = counted.cost(|repository| {
        let report = restore(repository, &root, b"", &options, &Recorder::default(), &mut |_| {}).unwrap();
        assert_eq!(report.problems, 0);
    });
    // No more than a call a page and a chunk, and a few for footers.
    assert!(cost.get_range <= 21 + 200 + 5, "{cost:?}");
    assert_eq!((cost.put_new, cost.write, cost.delete), (0, 0, 0));
    let again = counted.cost(|repository| {
        restore(repository, &root, b"", &options, &Recorder::default(), &mut |_| {}).unwrap();
    });
    assert!(again.get_range <= cost.get_range, "{again:?} after {cost:?}");
}

#[test]
fn a_restore_reads_the_small_files_of_a_new_directory_together_and_none_that_is_right() {
    let place = TestRepository::new();
    let source = make_source(&place);
    ingest(&place.repository, &source);
    let root = place.repository.catalog().snapshots().next().unwrap().manifest.root.clone();
    let restored = |counted: &Counted| {
        let options = RestoreOptions { threads: 2, ..restore_options(&place.path("restored")) };
        counted.cost(|repository| {
            let report = restore(repository, &root, b"", &options, &Recorder::default(), &mut |_| {}).unwrap();
            assert_eq!((report.problems, report.files), (0, 200));
        })
    };
    let new = restored(&Counted::open(&place));
    // A call a page, one or two for the ten files of a directory, and a few for footers.
    assert!(new.get_range <= 21 + 20 * 2 + 5, "{new:?}");
    let again = restored(&Counted::open(&place));
    // What is right by its hash is not read.
    assert!(again.get_range <= 21 + 5, "{again:?}");
}

#[test]
fn what_is_read_from_memory_costs_no_call_whatever_of_it_is_there() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), support::noise(7, 12_000_000)).unwrap();
    ingest(&place.repository, &source);
    let counted = Counted::open(&place);
    let root = counted.repository.catalog().snapshots().next().unwrap().manifest.root.clone();
    let node = counted.repository.tree().unwrap().lookup_path(&root, b"file").unwrap().unwrap();
    let content = node.content().unwrap();
    let ContentBody::Tree { page, .. } = content.body else { panic!("the file is too short: {:?}", content.body) };
    let mut bytes = Vec::new();
    let mut read_cached = || {
        let mut whole = false;
        let cost = counted.cost(|repository| {
            bytes.clear();
            whole = repository.contents().unwrap().read_cached(content, 0, 1 << 20, &mut bytes).unwrap();
        });
        (whole, bytes.len(), cost.get_range)
    };
    assert_eq!(read_cached(), (false, 0, 0));
    // Of the pages only the topmost, then all of the pages and the first chunk.
    counted.repository.chunks().unwrap().get(&page).unwrap();
    assert_eq!(read_cached(), (false, 0, 0));
    let contents = counted.repository.contents().unwrap();
    contents.read(content, 0, 1, &mut Vec::new()).unwrap();
    let (whole, some, calls) = read_cached();
    assert!(!whole && some > 0 && some < 1 << 20 && calls == 0, "{some} bytes, {calls} calls");
    contents.prefetch(content, 0, 1 << 20).unwrap();
    assert_eq!(read_cached(), (true, 1 << 20, 0));
}

#[test]
fn a_check_reads_each_pack_once() {
    let place = TestRepository::new();
    let source = make_source(&place);
    ingest(&place.repository, &source);
    let cost = |read_data| {
        let counted = Counted::open(&place);
        counted.cost(|repository| {
            let report = check(repository, CheckOptions { read_data, threads: 1 }, &Recorder::default()).unwrap();
            assert!(report.damages.is_empty(), "{:?}", report.damages);
        })
    };
    // The pages, of entries and of witnesses, the footers of the two packs, and the records. With the data, the packs are read in
    // large pieces besides.
    let (pages, data) = (cost(false), cost(true));
    assert!(pages.get_range <= 2 * 21 + 10, "{pages:?}");
    assert!(data.get_range <= pages.get_range + 2 * 2, "{data:?} after {pages:?}");
    assert_eq!((data.put_new, data.write, data.delete), (0, 0, 0));
}

#[test]
fn a_rebuilt_index_reads_segments_and_footers() {
    let place = TestRepository::new();
    let source = make_source(&place);
    ingest(&place.repository, &source);
    fs::write(source.join("d1/f1"), b"changed, and longer than what is kept inline".repeat(20)).unwrap();
    ingest(&place.repository, &source);
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    let counted = Counted::open(&place);
    let cost = counted.cost(|repository| assert!(repository.chunks().is_ok()));
    // Two segments of two packs.
    assert_eq!(cost, Counts { get_range: 2 + 4, ..NOTHING });
}

/// A file of one byte.
fn small_file(like: &Node, byte: u8) -> Node {
    let content = Content { size: 1, data_bytes: 1, body: ContentBody::Inline(vec![byte]), ..Content::empty() };
    Node { kind: NodeKind::File { content, torn: false }, ..like.clone() }
}

/// `count` files, and what comes behind them.
fn files_and(like: &Node, count: u32, byte: u8, last: Option<(&[u8], Node)>) -> Vec<(Vec<u8>, Node)> {
    let files = (0..count).map(|number| (format!("entry-{number:08}").into_bytes(), small_file(like, byte)));
    files.chain(last.map(|(name, node)| (name.to_vec(), node))).collect()
}

/// A view that shares the repository of `counted` with the counter.
fn view_of(counted: Counted) -> (View, Arc<FaultyBackend>) {
    let view = View::new(Arc::new(counted.repository), Owner { uid: 0, gid: 0 }, Box::new(now)).unwrap();
    (view, counted.backend)
}

fn walk_to(view: &View, path: &str) -> Option<u64> {
    path.split('/').try_fold(1, |ino, name| match view.lookup(ino, name.as_bytes()).unwrap() {
        Lookup::Found(attributes) => Some(attributes.ino),
        Lookup::Absent { .. } => None,
    })
}

/// Entries that a listing in pieces gives, and how many pieces it takes.
fn list(view: &View, directory: u64, piece: usize) -> (usize, u64) {
    let (mut entries, mut pieces, mut offset) = (0, 0, 0);
    loop {
        let mut given = 0;
        view.list(directory, offset, &mut |entry| {
            let full = given == piece;
            if !full {
                given += 1;
                offset = entry.next;
            }
            !full
        })
        .unwrap();
        pieces += 1;
        entries += given;
        if given == 0 {
            return (entries, pieces);
        }
    }
}

#[test]
fn a_walk_finds_directories_beside_one_another_by_the_dozen() {
    const DIRECTORIES: u64 = 200;
    let place = TestRepository::new();
    let source = place.path("source");
    for directory in 0..DIRECTORIES {
        fs::create_dir_all(source.join(format!("d{directory:03}"))).unwrap();
        fs::write(source.join(format!("d{directory:03}/file")), "x").unwrap();
    }
    ingest(&place.repository, &source);
    let name = place.repository.find("lake", now()).unwrap().manifest.name.clone();
    let (view, backend) = view_of(Counted::without_cache(&place));
    let above = walk_to(&view, &format!("snapshots/lake/{name}")).unwrap();
    let mut found = Vec::new();
    view.list(above, 2, &mut |entry| {
        found.push(entry.attributes.ino);
        true
    })
    .unwrap();
    assert_eq!(found.len() as u64, DIRECTORIES);
    let before = backend.counts().get_range;
    for ino in found {
        // Itself, the one above, and its file.
        assert_eq!(list(&view, ino, 10).0, 3);
    }
    let calls = backend.counts().get_range - before;
    // The listing in two pieces reads the page of each directory once or twice; the way down to each is what would come on top.
    assert!(calls < 2 * DIRECTORIES + DIRECTORIES / 4, "{calls} calls for {DIRECTORIES} directories");
}

#[test]
fn small_files_of_a_directory_are_read_by_the_dozen() {
    const FILES: u64 = 300;
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    for file in 0..FILES {
        fs::write(source.join(format!("f{file:03}")), support::noise(file, 2000)).unwrap();
    }
    ingest(&place.repository, &source);
    let name = place.repository.find("lake", now()).unwrap().manifest.name.clone();
    let (view, backend) = view_of(Counted::open(&place));
    let first = walk_to(&view, &format!("snapshots/lake/{name}/f000")).unwrap();
    let before = backend.counts().get_range;
    let mut files = 0;
    let which = SmallFiles { behind: first, size_max_bytes: 2000, wanted: &|_| true, count_max: FILES };
    let emit = &mut |_, bytes: &[u8]| {
        files += 1;
        assert!(bytes == support::noise(files, 2000), "file {files}");
        true
    };
    view.small_files(which, emit).unwrap();
    assert_eq!(files, FILES - 1);
    // Batches of 16 to 64 files, up to 128 KiB of them with one call.
    let calls = backend.counts().get_range - before;
    assert!(calls <= FILES / 20, "{calls} calls");
}

#[test]
fn a_long_listing_of_snapshots_goes_through_each_once() {
    const SNAPSHOTS: u64 = 40;
    const PIECE: usize = 3;
    let place = TestRepository::new();
    fs::create_dir(place.path("empty")).unwrap();
    for _ in 0..SNAPSHOTS {
        let id = place.ingest(&place.path("empty"), "lake").snapshot.id;
        place.repository.change_tags(id, &["kept".into()], &[], now()).unwrap();
    }
    let (view, _) = view_of(Counted::open(&place));
    // `.`, `..`, and `latest` beside the real ones.
    for (path, others) in [("ids", 2), ("snapshots/lake", 3), ("tags/kept/lake", 2)] {
        let before = view.listing_steps();
        let (entries, pieces) = list(&view, walk_to(&view, path).unwrap(), PIECE);
        assert_eq!(entries as u64, SNAPSHOTS + others, "{path}");
        // Each piece looks at one entry more than it holds.
        let steps = view.listing_steps() - before;
        assert!(steps <= entries as u64 + pieces, "{path}: {steps} steps");
    }
}

#[test]
fn listing_a_difference_of_a_hundred_thousand_entries_reads_each_page_a_bounded_number_of_times() {
    const COUNT: u32 = 100_000;
    /// As many entries as a request of the kernel holds, more or less.
    const PIECE: usize = 200;
    /// Root, inner page, leaf.
    const LEVELS: u64 = 3;
    let place = TestRepository::new();
    fs::create_dir(place.path("empty")).unwrap();
    let like = place.ingest(&place.path("empty"), "lake").snapshot;
    for byte in [b'x', b'y'] {
        commit(&place.repository, &like, |_| files_and(&like.manifest.root, COUNT, byte, None));
    }
    let counted = Counted::without_cache(&place);
    let newest = counted.repository.find("lake", now()).unwrap();
    let pages = counted.cost(|repository| {
        let root = newest.manifest.root.directory().unwrap();
        assert_eq!(repository.tree().unwrap().entries(root).count(), COUNT as usize);
    });
    assert!(pages.get_range > 500, "{pages:?}");
    let (view, backend) = view_of(counted);
    let changed = walk_to(&view, "diff/lake~1..lake/changed").unwrap();
    let before = backend.counts().get_range;
    let (entries, pieces) = list(&view, changed, PIECE);
    let read = backend.counts().get_range - before;
    assert_eq!(entries, COUNT as usize + 2);
    // Each page of both once, and the way to where each piece begins; a page in which a piece ends is met by two.
    assert!(
        read <= 2 * (pages.get_range + pieces * LEVELS),
        "{read} reads of {} pages, {pieces} pieces",
        pages.get_range
    );
    // Where nothing is to be shown, one look tells.
    let added = walk_to(&view, "diff/lake~1..lake/added").unwrap();
    let before = backend.counts().get_range;
    assert_eq!(list(&view, added, PIECE).0, 2);
    let read = backend.counts().get_range - before;
    assert!(read <= 2 * 2 * pages.get_range, "{read} reads of {} pages", pages.get_range);
}

#[test]
fn a_diff_reads_no_page_twice_though_one_is_told_against_another() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    (0..3000).for_each(|file| fs::write(source.join(format!("entry-{file:06}")), "x").unwrap());
    support::wait_until_settled();
    ingest(&place.repository, &source);
    (0..3000).step_by(500).for_each(|file| fs::write(source.join(format!("entry-{file:06}")), "longer").unwrap());
    ingest(&place.repository, &source);
    let counted = Counted::open(&place);
    let chunks = counted.repository.chunks().unwrap();
    let catalog = counted.repository.catalog();
    let [a, b] = [0, 1].map(|number| catalog.of_source("lake").nth(number).unwrap().clone());
    let side = |snapshot: &Snapshot| Side::Snapshot {
        repository: &counted.repository,
        root: snapshot.manifest.root.clone(),
        path: Vec::new(),
    };
    let before = chunks.read_counts().records;
    let options = DiffOptions::default();
    let mut changed = 0;
    let summary = diff(&side(&a), &side(&b), &options, &Recorder::default(), &mut |_| {
        changed += 1;
        Ok(())
    });
    let pages = summary.unwrap().pages_read;
    // The root, and of each side the pages that differ.
    assert!(changed == 6 && (2 + 2 * 4..=2 + 2 * 6).contains(&pages), "{changed} changes, {pages} pages");
    assert_eq!(chunks.read_counts().records - before, pages);
}

#[test]
fn whether_a_directory_leads_to_something_is_found_out_once() {
    const DEPTH: usize = 12;
    const COUNT: u32 = 3000;
    let place = TestRepository::new();
    fs::create_dir(place.path("empty")).unwrap();
    let like = place.ingest(&place.path("empty"), "lake").snapshot;
    let root = &like.manifest.root;
    // Only at the very end of the deepest directory something was added.
    for (byte, last) in [(b'x', None), (b'y', Some((&b"zz"[..], small_file(root, b'z'))))] {
        commit(&place.repository, &like, |session| {
            let mut entries = files_and(root, COUNT, byte, last);
            for _ in 0..DEPTH {
                let mut writer = DirectoryWriter::new(session);
                entries.iter().for_each(|(name, node)| writer.push(name, node, &Witness::None).unwrap());
                let directory = Node { kind: NodeKind::Directory(writer.finish().unwrap().0), ..root.clone() };
                entries = files_and(root, COUNT, byte, Some((b"z", directory)));
            }
            entries
        });
    }
    let (view, backend) = view_of(Counted::without_cache(&place));
    let below = |part: &str| format!("diff/lake~1..lake/{part}{}", "/z".repeat(DEPTH));
    let reads = |part: &str, expected: bool| {
        let before = backend.counts().get_range;
        assert_eq!(walk_to(&view, &below(part)).is_some(), expected);
        backend.counts().get_range - before
    };
    // About 25 pages for each directory of each side, and a few to look up its entry.
    let first = reads("added", true);
    let again = reads("added", true);
    assert!(first < 2 * 60 * DEPTH as u64, "{first} reads");
    assert!(again < 2 * 10 * DEPTH as u64, "{again} reads after {first}");
    let first = reads("removed", false);
    let again = reads("removed", false);
    assert!(first < 2 * 60 * DEPTH as u64, "{first} reads");
    assert!(again < 20, "{again} reads after {first}");
}

/// A snapshot of one file of text, so that it is cut small: its bytes and its node.
fn ingest_text(place: &TestRepository, seed: u64, length: usize) -> (Vec<u8>, Node) {
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    let bytes: Vec<u8> = support::noise(seed, length).into_iter().map(|byte| b'a' + byte % 16).collect();
    fs::write(source.join("file"), &bytes).unwrap();
    let snapshot = place.ingest(&source, "lake").snapshot;
    let tree = place.repository.tree().unwrap();
    (bytes, tree.lookup_path(&snapshot.manifest.root, b"file").unwrap().unwrap())
}

#[test]
fn a_content_read_from_front_to_back_costs_each_chunk_once_and_a_call_for_many() {
    let place = TestRepository::new();
    let (bytes, file) = ingest_text(&place, 1, 12 << 20);
    let counted = Counted::open(&place);
    let content = file.content().unwrap();
    let (mut read, mut extents) = (Vec::new(), 0);
    let chunks = counted.repository.chunks().unwrap();
    let before = chunks.read_counts();
    let cost = counted.cost(|repository| {
        let contents = repository.contents().unwrap();
        let work = |_, bytes: &[u8]| {
            (extents, read) = (extents + 1, [std::mem::take(&mut read), bytes.to_vec()].concat());
            Ok::<_, yesterfs::error::Error>(ControlFlow::Continue(()))
        };
        contents.stream(content, 2, work).unwrap();
    });
    assert!(read == bytes, "other bytes");
    let decoded = chunks.read_counts().decoded - before.decoded;
    // Beside the chunks, pages that list them.
    assert!((extents..extents + extents / 20).contains(&decoded), "{decoded} for {extents} extents");
    assert!(cost.get_range < extents / 3, "{} calls for {extents} extents", cost.get_range);
}

#[test]
fn reads_here_and_there_in_a_file_cost_little_more_than_their_chunks() {
    const READS: u64 = 400;
    let place = TestRepository::new();
    let (bytes, file) = ingest_text(&place, 2, 24 << 20);
    let counted = Counted::open(&place);
    let content = file.content().unwrap();
    let lookups = counted.repository.chunks().unwrap().read_counts().lookups;
    let cost = counted.cost(|repository| {
        for read in 0..READS {
            let (offset, mut read) = (read * 7919 * 4096 % (24 << 20), Vec::new());
            repository.contents().unwrap().read(content, offset, 100, &mut read).unwrap();
            assert!(read[..] == bytes[offset as usize..][..100], "other bytes at {offset}");
        }
    });
    // A call for each chunk that was not met before, 262, one for all ten pages, and two for each of few footers.
    assert!(cost.get_range < 278, "{cost:?}");
    let lookups = counted.repository.chunks().unwrap().read_counts().lookups - lookups;
    assert!(lookups < 80, "{lookups} lookups");
}
