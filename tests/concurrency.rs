//! Several at once on one repository: ingests, readers, separate processes. Nobody waits for anybody, and nobody sees
//! anything by half.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use support::repository::{TestRepository, directory_options, now};
use support::stored::{StoredTree, assert_sound, stored_tree};
use support::watcher::Watcher;
use tempfile::TempDir;
use yesterfs::ingest::directory::ingest_directory;
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::Repository;
use yesterfs::repository::record::{Change, Record, record_key};
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::store::backend::ByteRange;
use yesterfs::time::Timestamp;

/// A tree of its own for each `seed`, part of which is the same in all.
fn make_source(place: &Path, seed: u64) -> PathBuf {
    let source = place.join(format!("source-{seed}"));
    for directory in 0..5u64 {
        let directory_path = source.join(format!("d{directory}"));
        fs::create_dir_all(&directory_path).unwrap();
        for file in 0..20 {
            let content_seed = if file % 2 == 0 { file } else { seed * 10_000 + directory * 100 + file };
            fs::write(directory_path.join(format!("f{file}")), support::noise(content_seed, 30_000)).unwrap();
        }
    }
    fs::write(source.join("large"), support::noise(seed + 77, 3_000_000)).unwrap();
    support::wait_until_settled();
    source
}

/// Asserts that a snapshot holds the files of a live directory.
#[track_caller]
fn assert_holds(tree: &StoredTree, source: &Path) {
    for directory in 0..5 {
        for file in 0..20 {
            let path = format!("d{directory}/f{file}");
            assert!(tree[path.as_bytes()].1 == fs::read(source.join(&path)).unwrap(), "{path}");
        }
    }
    assert!(tree[&b"large"[..]].1 == fs::read(source.join("large")).unwrap());
    assert_eq!(tree.len(), 1 + 5 + 100 + 1);
}

fn ingest(repository: &Repository, path: &Path, source: &str) -> Arc<Snapshot> {
    ingest_directory(repository, &directory_options(path, source), &now, &Recorder::default()).unwrap().snapshot
}

/// A gate that one thread holds shut and others wait at.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.waiting.store(true, Ordering::SeqCst);
        let guard = self.open.lock().unwrap();
        let (_guard, timeout) = self.opened.wait_timeout_while(guard, Duration::from_secs(60), |open| !*open).unwrap();
        assert!(!timeout.timed_out(), "nobody opened the gate");
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait_for_somebody(&self) {
        while !self.waiting.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Who wrote the records of the catalog, and what, in order.
fn history(repository: &Repository) -> Vec<(String, &'static str)> {
    let read = |sequence| {
        let file = repository.backend().get_range(&record_key(sequence), ByteRange::Whole).unwrap();
        let record = Record::decode(&file, sequence).unwrap();
        let what = match record.change {
            Change::WriterOpened { .. } => "opened",
            Change::SegmentsPublished { .. } => "published",
            Change::SnapshotAdded { .. } => "added",
            _ => "other",
        };
        (record.writer.to_string(), what)
    };
    (1..=repository.catalog().sequence).map(read).collect()
}

#[test]
fn an_ingest_begins_and_ends_while_another_of_the_same_source_is_held_up() {
    let place = TestRepository::new();
    let source = make_source(&place.path(""), 1);
    let gate = Gate::default();
    let held_up = Watcher::new(|recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes_read) > 500_000 {
            gate.pass();
        }
    });
    let first = place.reopen().unwrap();
    let (slow, quick, renewed) = std::thread::scope(|scope| {
        let slow = scope
            .spawn(|| ingest_directory(&first, &directory_options(&source, "lake"), &now, &held_up).unwrap().snapshot);
        gate.wait_for_somebody();
        // In a repository of their own, as another process has it; then in the very one that is held up.
        let quick = ingest(&place.repository, &source, "lake");
        let renewed = ingest(&first, &source, "lake");
        gate.open();
        (slow.join().unwrap(), quick, renewed)
    });
    assert_eq!((quick.sequence, renewed.sequence, slow.sequence), (1, 2, 3));
    let reopened = place.reopen().unwrap();
    let events = history(&reopened);
    let whats: Vec<&str> = events.iter().map(|(_, what)| *what).collect();
    assert_eq!(whats, ["opened", "opened", "added", "opened", "added", "added"]);
    assert_eq!(events[0].0, events[5].0, "the first to begin was the last to end");
    let trees = assert_sound(&reopened);
    trees.iter().for_each(|tree| assert_holds(tree, &source));
    assert!(trees.iter().all(|tree| *tree == trees[0]));
}

#[test]
fn snapshots_of_one_second_get_names_of_their_own() {
    let place = TestRepository::new();
    let source = make_source(&place.path(""), 1);
    let clock = || Timestamp { seconds: 1_800_000_000, nanos: 0 };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let repository = place.reopen().unwrap();
            let source = &source;
            scope.spawn(move || {
                let lineage = if number < 3 { "lake" } else { "other" };
                let options = directory_options(source, lineage);
                ingest_directory(&repository, &options, &clock, &Recorder::default()).unwrap();
            });
        }
    });
    place.repository.refresh().unwrap();
    let catalog = place.repository.catalog();
    let names = |source| catalog.of_source(source).map(|it| it.manifest.name.clone()).collect::<Vec<_>>();
    let stem = "2027-01-15T080000Z";
    assert_eq!(names("lake"), [stem.to_string(), format!("{stem}.001"), format!("{stem}.002")]);
    assert_eq!(names("other"), [stem]);
    let ids: BTreeSet<_> = catalog.snapshots().map(|snapshot| snapshot.id).collect();
    assert_eq!(ids.len(), 4);
    assert_sound(&place.repository).iter().for_each(|tree| assert_holds(tree, &source));
}

/// Counts one less when its thread ends, also by a failed assertion, or those who wait for zero would hang.
struct CountDown<'a>(&'a AtomicUsize);

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn many_threads_and_repositories_write_and_read_at_once() {
    const ROUNDS: usize = 6;
    let place = TestRepository::new();
    let sources: Vec<PathBuf> = (0..3).map(|seed| make_source(&place.path(""), seed)).collect();
    let writing = AtomicUsize::new(sources.len());
    std::thread::scope(|scope| {
        for (number, source) in sources.iter().enumerate() {
            let (place, writing) = (&place, &writing);
            scope.spawn(move || {
                let _done = CountDown(writing);
                for round in 0..ROUNDS {
                    let repository = place.reopen().unwrap();
                    // Each its own lineage, and all of them a common one.
                    let lineage = if round % 2 == 0 { "common".into() } else { format!("own-{number}") };
                    let snapshot = ingest(&repository, source, &lineage);
                    assert_holds(&stored_tree(&repository, &snapshot).unwrap(), source);
                }
            });
        }
        // In one open repository, one thread refreshes and others read what they see, as a mount does.
        let shared = place.reopen().unwrap();
        let shared = Arc::new(shared);
        let refreshed = shared.clone();
        let writing_still = &writing;
        scope.spawn(move || {
            while writing_still.load(Ordering::SeqCst) > 0 {
                refreshed.refresh().unwrap();
            }
        });
        scope.spawn(move || {
            while writing_still.load(Ordering::SeqCst) > 0 {
                if let Some(newest) = shared.catalog().snapshots().next_back() {
                    assert_eq!(stored_tree(&shared, newest).unwrap().len(), 107);
                }
            }
        });
        // Readers follow along: whatever they see of the catalog, they can read.
        for _ in 0..2 {
            let (place, writing) = (&place, &writing);
            scope.spawn(move || {
                let repository = place.reopen().unwrap();
                let mut seen = 0;
                loop {
                    let done = writing.load(Ordering::SeqCst) == 0;
                    repository.refresh().unwrap();
                    let catalog = repository.catalog();
                    for snapshot in catalog.snapshots().skip(seen) {
                        assert_eq!(stored_tree(&repository, snapshot).unwrap().len(), 107);
                        seen += 1;
                    }
                    if done {
                        break;
                    }
                }
                assert_eq!(seen, 3 * ROUNDS);
            });
        }
    });
    let repository = place.reopen().unwrap();
    assert_eq!(assert_sound(&repository).len(), 3 * ROUNDS);
    assert_eq!(repository.catalog().of_source("common").count(), 3 * ROUNDS / 2);
    // A history of single file: each record has a writer, each ingest began once and ended once.
    let events = history(&repository);
    let count = |what| events.iter().filter(|(_, event)| *event == what).count();
    assert_eq!((count("opened"), count("added")), (3 * ROUNDS, 3 * ROUNDS));
}

#[test]
fn an_open_repository_sees_what_others_add_and_forget() {
    let place = TestRepository::new();
    let source = make_source(&place.path(""), 1);
    let reader = place.reopen().unwrap();
    // Its index is open before there is anything in it.
    reader.chunks().unwrap();
    assert!(!reader.refresh().unwrap());
    let snapshot = ingest(&place.repository, &source, "lake");
    assert_eq!(reader.catalog().snapshots().count(), 0, "a catalog stands still until it is refreshed");
    assert!(reader.refresh().unwrap());
    let seen = reader.catalog().snapshots().next().unwrap().clone();
    assert_eq!(seen, snapshot);
    assert_holds(&stored_tree(&reader, &seen).unwrap(), &source);
    place.repository.change_tags(snapshot.id, &["kept".into()], &[], now()).unwrap();
    assert!(reader.refresh().unwrap());
    assert!(reader.catalog().by_id(&snapshot.id).unwrap().tags.contains("kept"));
    place.repository.forget(&[snapshot.id], "test", now()).unwrap();
    assert!(reader.refresh().unwrap() && !reader.refresh().unwrap());
    assert_eq!(reader.catalog().snapshots().count(), 0);
    // Who still holds it can read it on.
    assert_holds(&stored_tree(&reader, &seen).unwrap(), &source);
}

#[test]
fn two_that_forget_the_same_snapshot_are_told_apart() {
    let place = TestRepository::new();
    let source = make_source(&place.path(""), 1);
    let snapshot = ingest(&place.repository, &source, "lake");
    let (won, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let repository = place.reopen().unwrap();
            let (won, lost, id) = (&won, &lost, snapshot.id);
            scope.spawn(move || match repository.forget(&[id], "test", now()) {
                Ok(()) => won.fetch_add(1, Ordering::SeqCst),
                Err(yesterfs::Error::NotFound { .. }) => lost.fetch_add(1, Ordering::SeqCst),
                Err(other) => panic!("{other}"),
            });
        }
    });
    assert_eq!((won.into_inner(), lost.into_inner()), (1, 3));
}

#[test]
fn the_index_may_go_while_it_is_used() {
    let place = TestRepository::new();
    let source = make_source(&place.path(""), 1);
    let other_source = make_source(&place.path(""), 2);
    let index = place.path("repo/index");
    let old = ingest(&place.repository, &source, "lake");
    let reader = place.reopen().unwrap();
    reader.chunks().unwrap();

    // Somebody reads, somebody writes, and it is deleted under both.
    let gate = Gate::default();
    let held_up = Watcher::new(|recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes_read) > 500_000 {
            gate.pass();
        }
    });
    let options = directory_options(&other_source, "lake");
    let during = std::thread::scope(|scope| {
        let writer = scope.spawn(|| ingest_directory(&place.repository, &options, &now, &held_up).unwrap().snapshot);
        gate.wait_for_somebody();
        fs::remove_dir_all(&index).unwrap();
        assert_holds(&stored_tree(&reader, &old).unwrap(), &source);
        gate.open();
        writer.join().unwrap()
    });
    reader.refresh().unwrap();
    assert_holds(&stored_tree(&reader, &during).unwrap(), &other_source);
    assert!(index.is_dir(), "whoever wrote next made it anew");

    // A process that finds it gone, or useless, rebuilds it and says so; those that had it open go on.
    for damage in ["gone", "empty", "garbage"] {
        match damage {
            "gone" => fs::remove_dir_all(&index).unwrap(),
            "empty" => {
                fs::remove_dir_all(&index).unwrap();
                fs::create_dir(&index).unwrap();
            }
            _ => fs::write(index.join("current"), "garbage").unwrap(),
        }
        let monitor = Arc::new(Recorder::default());
        let backend = Arc::new(yesterfs::store::backend::LocalBackend::new(place.path("repo")));
        let repository = support::repository::open(&place.path(""), backend, monitor.clone()).unwrap();
        assert_sound(&repository);
        let notes = monitor.notes.lock().unwrap().clone();
        assert!(notes.iter().any(|note| note.contains("rebuilding the chunk index")), "{damage}: {notes:?}");
        let again = ingest(&repository, &source, "lake");
        assert!(reader.refresh().unwrap());
        assert_holds(&stored_tree(&reader, &again).unwrap(), &source);
    }
    let last = ingest(&reader, &other_source, "lake");
    assert_eq!(last.manifest.bytes_new, 0, "nothing was forgotten with the index");
}

// Separate processes from here on.

struct Processes {
    directory: TempDir,
}

impl Processes {
    fn new() -> Processes {
        let place = Processes { directory: TempDir::new().unwrap() };
        assert!(place.spawn(&["init"]).wait_with_output().unwrap().status.success());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spawn(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(self.path("repo")).args(words).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn open(&self) -> Repository {
        let backend = Arc::new(yesterfs::store::backend::LocalBackend::new(self.path("repo")));
        support::repository::open(self.directory.path(), backend, Arc::new(Recorder::default())).unwrap()
    }
}

#[track_caller]
fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn processes_ingest_the_same_and_different_sources_in_parallel() {
    let place = Processes::new();
    let sources: Vec<PathBuf> = (0..2).map(|seed| make_source(&place.path(""), seed)).collect();
    let running: Vec<Child> = (0..6)
        .map(|number| {
            let path = sources[number % 2].to_str().unwrap().to_string();
            let lineage = if number < 4 { "common" } else { "other" };
            place.spawn(&["ingest", "dir", &path, "--source", lineage])
        })
        .collect();
    running.into_iter().for_each(|child| drop(finish(child)));
    let repository = place.open();
    let catalog = repository.catalog();
    let names: BTreeSet<_> =
        catalog.snapshots().map(|it| (it.manifest.source.clone(), it.manifest.name.clone())).collect();
    assert_eq!(names.len(), 6);
    for (snapshot, tree) in catalog.snapshots().zip(assert_sound(&repository)) {
        assert_holds(&tree, Path::new(std::str::from_utf8(&snapshot.manifest.origin).unwrap()));
    }
}

#[test]
fn a_process_that_waits_for_its_dump_holds_up_no_other() {
    let place = Processes::new();
    let source = make_source(&place.path(""), 1);
    let fifo = place.path("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let slow = place.spawn(&["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "cat", "fifo"]);
    // Opening it waits until `cat` does the same: then that ingest has begun.
    let mut dump = File::options().write(true).open(&fifo).unwrap();
    dump.write_all(b"first half, ").unwrap();
    let path = source.to_str().unwrap();
    for lineage in ["lake", "shop"] {
        finish(place.spawn(&["ingest", "dir", path, "--source", lineage]));
    }
    finish(place.spawn(&["tag", "lake", "--add", "seen"]));
    dump.write_all(b"second half").unwrap();
    drop(dump);
    finish(slow);
    let repository = place.open();
    let trees = assert_sound(&repository);
    assert_eq!(trees.len(), 3);
    assert_holds(&trees[0], &source);
    assert_eq!(trees[2][&b"dump.sql"[..]].1, b"first half, second half");
    let whats: Vec<&str> = history(&repository).iter().map(|(_, what)| *what).collect();
    assert_eq!(whats, ["opened", "opened", "added", "opened", "added", "other", "added"]);
}

/// Counts the databases that are made in an index while it lives.
struct NewDatabases {
    inotify: OwnedFd,
}

impl NewDatabases {
    fn watch(index: &Path) -> NewDatabases {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&inotify, index, WatchFlags::CREATE | WatchFlags::ONLYDIR).unwrap();
        NewDatabases { inotify }
    }

    fn count(&self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut count = 0;
        loop {
            match events.next() {
                Ok(event) => {
                    count += usize::from(event.file_name().is_some_and(|it| it.to_bytes().starts_with(b"db-")))
                }
                Err(Errno::AGAIN) => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The live database of an index.
fn live_database(index: &Path) -> PathBuf {
    let current = fs::read_to_string(index.join("current")).unwrap();
    index.join(current.split(' ').next().unwrap())
}

fn tables(database: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|it| it == "sst")).collect()
}

#[test]
fn of_processes_that_meet_a_damaged_index_one_builds_it_anew() {
    let place = Processes::new();
    let source = make_source(&place.path(""), 1);
    let path = source.to_str().unwrap();
    finish(place.spawn(&["ingest", "dir", path, "--source", "lake"]));
    let index = place.path("repo/index");
    let overwrite = |file: &Path, length: usize| {
        File::options().write(true).open(file).unwrap().write_all_at(&vec![0x55; length], 0).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("without the file that names the database", &|| fs::remove_file(index.join("current")).unwrap()),
        ("without the database", &|| fs::remove_dir_all(live_database(&index)).unwrap()),
        ("with garbage for a name", &|| fs::write(index.join("current"), "garbage").unwrap()),
        ("with tables that cannot be opened", &|| {
            tables(&live_database(&index)).iter().for_each(|table| fs::write(table, "garbage").unwrap());
        }),
        // Noticed only when chunks are looked for.
        ("with a damaged block", &|| {
            let tables = tables(&live_database(&index)).into_iter();
            overwrite(&tables.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap(), 100);
        }),
    ];
    for (number, (damage, do_damage)) in damages.into_iter().enumerate() {
        do_damage();
        let new_databases = NewDatabases::watch(&index);
        let lineage = format!("lake-{number}");
        let ingest = ["ingest", "dir", path, "--source", &lineage, "--json"];
        let check = ["check", "--read-data"];
        let words: [&[&str]; 6] = [&check, &ingest, &["cat", "lake:/d1/f1"], &check, &ingest, &["cat", "lake:/large"]];
        let running: Vec<Child> = words.iter().map(|words| place.spawn(words)).collect();
        let outputs: Vec<Output> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        for (words, output) in words.iter().zip(&outputs) {
            assert!(output.status.success(), "{damage}, {words:?}: {output:?}");
        }
        assert!(outputs[2].stdout == fs::read(source.join("d1/f1")).unwrap(), "{damage}");
        assert!(outputs[5].stdout == fs::read(source.join("large")).unwrap(), "{damage}");
        assert_eq!(new_databases.count(), 1, "{damage}: databases were made");
        // What is good is used by all who come later.
        let later = place.spawn(&check).wait_with_output().unwrap();
        assert!(later.status.success() && later.stderr.is_empty(), "{damage}: {later:?}");
    }
    let repository = place.open();
    let trees = assert_sound(&repository);
    assert_eq!(trees.len(), 1 + 2 * 5);
    trees.iter().for_each(|tree| assert_holds(tree, &source));
    let news = repository.catalog().snapshots().skip(1).map(|it| it.manifest.bytes_new).max();
    assert_eq!(news, Some(0), "data was stored again");
}
