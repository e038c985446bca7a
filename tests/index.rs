//! The chunk index as its users see it: several processes, lost and damaged files, a directory that cannot be written.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use yesterfs::error::{Error, Result};
use yesterfs::id::{ChunkId, RepositoryId, WriterId, WriterObject};
use yesterfs::store::index::{Applied, AppliedMark, ChunkIndex, IndexOptions, Location, Missing, PackChunks, PackFile};
use yesterfs::store::pack::FooterEntry;

/// Every record of the catalog in these tests publishes one pack of this many chunks.
const CHUNKS: u64 = 50;
/// What the overlay holds of one record.
const ENTRIES: u64 = CHUNKS + 1;
const REPOSITORY: RepositoryId = RepositoryId([7; 16]);

fn mark(sequence: u64) -> AppliedMark {
    AppliedMark { sequence, record_hash: ChunkId::of(format!("record {sequence}").as_bytes()).0 }
}

fn chunk(sequence: u64, slot: u64) -> ChunkId {
    ChunkId::of(format!("chunk {slot} of record {sequence}").as_bytes())
}

fn entry(sequence: u64, slot: u64) -> FooterEntry {
    let id = chunk(sequence, slot);
    FooterEntry { id, offset: slot * 9000, record_bytes: 8900, member: slot as u32 % 3, plain_bytes: 16384 }
}

/// The pack that record `sequence` publishes.
fn pack(sequence: u64) -> PackChunks {
    let number = u32::try_from(sequence).unwrap();
    let chunks = (0..CHUNKS).map(|slot| entry(sequence, slot)).collect();
    let pack = WriterObject { writer: WriterId([1; 8]), number };
    let file = PackFile { file_bytes: 1_000_000 + sequence, base_packs: Vec::new() };
    PackChunks { pack, file, chunks }
}

fn location(sequence: u64, slot: u64) -> Location {
    Location::of(&pack(sequence).pack, slot as u32, &entry(sequence, slot))
}

/// What an index with that mark lacks of a catalog of `newest` records.
fn missing(from: Option<AppliedMark>, newest: u64) -> Result<Option<Missing<'static>>> {
    let first = from.map_or(1, |mark| mark.sequence + 1);
    let packs = Box::new((first..=newest).map(|sequence| Ok(pack(sequence))));
    Ok((first <= newest).then(|| Missing { to: mark(newest), packs }))
}

fn open(directory: &Path) -> ChunkIndex {
    ChunkIndex::open(directory, REPOSITORY, IndexOptions::default()).unwrap()
}

/// An index of `newest` records, one applied after the other, as ingests do.
fn index_of(directory: &Path, newest: u64) -> ChunkIndex {
    let index = open(directory);
    for sequence in 1..=newest {
        assert_eq!(index.apply(|from| missing(from, sequence)).unwrap(), Applied::Done);
    }
    index
}

/// Whether the index knows every chunk and pack up to its mark; that it cannot tell is an error, that it denies one a failure.
fn knows_all(index: &ChunkIndex) -> Result<()> {
    let newest = index.followed().map_or(0, |mark| mark.sequence);
    for sequence in 1..=newest {
        let ids: Vec<ChunkId> = (0..CHUNKS).map(|slot| chunk(sequence, slot)).collect();
        let found = index.get_many(&ids)?;
        for (slot, found) in (0..CHUNKS).zip(found) {
            assert_eq!(found, Some(location(sequence, slot)), "chunk {slot} of record {sequence} of {newest}");
            assert_eq!(index.get(&chunk(sequence, slot))?, found);
        }
    }
    assert_eq!(index.get(&chunk(newest + 1000, 0))?, None);
    let packs = index.packs()?;
    for expected in (1..=newest).map(pack) {
        assert_eq!(packs.get(&expected.pack), Some(&expected.file), "{} of {newest}", expected.pack);
    }
    Ok(())
}

/// What the repository does with an index that it opened: bring it up to date, and rebuild it when it fails.
fn bring_up_to_date(index: &ChunkIndex, newest: u64) {
    let applied = index.apply(|from| missing(from, newest)).and_then(|_| knows_all(index));
    match applied {
        Ok(()) => {}
        Err(Error::Index { .. }) => {
            assert_eq!(index.rebuild(|from| missing(from, newest)).unwrap(), Applied::Done);
            knows_all(index).unwrap();
        }
        Err(other) => panic!("{other}"),
    }
    assert_eq!(index.mark(), Some(mark(newest)));
}

fn databases(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn database_files(directory: &Path) -> Vec<PathBuf> {
    let databases = databases(directory);
    assert_eq!(databases.len(), 1);
    let mut files: Vec<PathBuf> = fs::read_dir(&databases[0]).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn copy_tree(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_was_applied_is_found_also_after_reopening() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = open(&directory);
    assert_eq!((index.mark(), index.damage()), (None, None));
    assert_eq!(index.get(&chunk(1, 0)).unwrap(), None);
    drop(index);

    let index = index_of(&directory, 30);
    assert_eq!(index.mark(), Some(mark(30)));
    knows_all(&index).unwrap();
    assert_eq!(index.get_many(&[chunk(31, 0), chunk(2, 3)]).unwrap(), [None, Some(location(2, 3))]);
    drop(index);

    let index = open(&directory);
    assert_eq!((index.mark(), index.damage()), (Some(mark(30)), None));
    knows_all(&index).unwrap();
}

#[test]
fn nothing_to_apply_leaves_no_database() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = open(&directory);
    assert_eq!(index.apply(|from| missing(from, 0)).unwrap(), Applied::Done);
    assert_eq!(index.mark(), None);
    assert!(databases(&directory).is_empty());
}

#[test]
fn an_apply_that_fails_on_the_way_moves_no_mark() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = index_of(&directory, 2);
    let failing = |_| -> Result<Option<Missing<'static>>> {
        let packs = [Ok(pack(3)), Err(Error::corrupt("pack", "footer damaged"))];
        Ok(Some(Missing { to: mark(4), packs: Box::new(packs.into_iter()) }))
    };
    assert!(matches!(index.apply(failing), Err(Error::Corrupt { .. })));
    assert_eq!(open(&directory).mark(), Some(mark(2)));
    assert!(matches!(index.rebuild(failing), Err(Error::Corrupt { .. })));
    assert_eq!(open(&directory).mark(), Some(mark(2)));
    assert_eq!(databases(&directory).len(), 1, "an abandoned rebuild takes no space");
    bring_up_to_date(&index, 4);
}

// A second process is this test binary, told by variables what to do.

const CHILD_DIRECTORY: &str = "YESTERFS_TEST_INDEX_DIRECTORY";
const CHILD_APPLIES: &str = "YESTERFS_TEST_INDEX_APPLIES";

fn second_process(directory: &Path, applies: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "as_a_second_process"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_APPLIES, applies.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Applies the record after the newest that is applied, so often; other processes do the same.
#[test]
#[ignore = "started by other tests, as a second process"]
fn as_a_second_process() {
    let directory = PathBuf::from(std::env::var_os(CHILD_DIRECTORY).unwrap());
    let applies: u64 = std::env::var(CHILD_APPLIES).unwrap().parse().unwrap();
    let index = open(&directory);
    for _ in 0..applies {
        let next = |from: Option<AppliedMark>| missing(from, from.map_or(1, |mark| mark.sequence + 1));
        assert_eq!(index.apply(next).unwrap(), Applied::Done);
        knows_all(&index).unwrap();
    }
}

#[test]
fn what_another_process_applied_is_seen_after_refresh() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = index_of(&directory, 1);
    assert!(second_process(&directory, 3).wait().unwrap().success());
    assert_eq!((index.mark(), index.get(&chunk(4, 0)).unwrap()), (Some(mark(1)), None));
    index.refresh().unwrap();
    assert_eq!(index.mark(), Some(mark(4)));
    knows_all(&index).unwrap();
}

#[test]
fn processes_that_apply_in_parallel_lose_nothing_and_readers_never_see_a_gap() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let mut children = [second_process(&directory, 60), second_process(&directory, 60)];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let index = open(&directory);
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                index.refresh().unwrap();
                let newest = index.mark().map_or(0, |mark| mark.sequence);
                assert!(newest >= last, "the mark went back from {last} to {newest}");
                last = newest;
                knows_all(&index).unwrap();
            }
        });
        let success = children.each_mut().map(|child| child.wait().unwrap().success());
        done.store(true, Ordering::Relaxed);
        assert_eq!(success, [true, true]);
    });
    let index = open(&directory);
    assert_eq!(index.mark(), Some(mark(120)));
    knows_all(&index).unwrap();
    let open_files = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open_files < 200, "{open_files} files are open");
}

#[test]
fn a_process_killed_while_it_applies_leaves_a_usable_index() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    for round in 0..20 {
        let mut child = second_process(&directory, 100_000);
        thread::sleep(Duration::from_millis(60 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let index = open(&directory);
        assert_eq!(index.damage(), None);
        knows_all(&index).unwrap();
    }
    let index = open(&directory);
    let newest = index.mark().expect("twenty processes applied something").sequence;
    bring_up_to_date(&index, newest + 1);
    assert_eq!(databases(&directory).len(), 1);
}

#[test]
fn who_finds_the_lock_taken_goes_on_with_the_overlay() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = index_of(&directory, 1);
    let lock = fs::File::open(directory.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    assert_eq!(index.try_apply(|from| missing(from, 2)).unwrap(), Applied::LockTaken);
    for sequence in [2, 3] {
        index.overlay(mark(sequence), &mut [Ok(pack(sequence))].into_iter()).unwrap();
    }
    assert_eq!((index.mark(), index.followed()), (Some(mark(1)), Some(mark(3))));
    assert_eq!(index.overlay_len() as u64, 2 * ENTRIES);
    knows_all(&index).unwrap();
    assert_eq!(open(&directory).get(&chunk(2, 0)).unwrap(), None, "an overlay belongs to one process");

    let waited = thread::scope(|scope| {
        let other = scope.spawn(|| open(&directory).apply(|from| missing(from, 2)));
        thread::sleep(Duration::from_millis(200));
        assert!(!other.is_finished());
        drop(lock);
        other.join().unwrap()
    });
    assert_eq!(waited.unwrap(), Applied::Done);
    index.refresh().unwrap();
    assert_eq!((index.mark(), index.followed()), (Some(mark(2)), Some(mark(3))));
    assert_eq!(index.overlay_len() as u64, ENTRIES, "what is on disk leaves the overlay");
    assert_eq!(index.try_apply(|from| missing(from, 3)).unwrap(), Applied::Done);
    assert_eq!(index.overlay_len(), 0);
    knows_all(&index).unwrap();
}

#[test]
fn deleted_whole_it_is_built_anew() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let running = index_of(&directory, 3);
    fs::remove_dir_all(&directory).unwrap();
    running.refresh().unwrap();
    knows_all(&running).unwrap();

    let index = open(&directory);
    assert_eq!(index.mark(), None);
    bring_up_to_date(&index, 3);
    running.refresh().unwrap();
    bring_up_to_date(&running, 4);
}

const FLIPS_A_FILE: usize = 15;

/// A good index of `newest` records, and a copy to be damaged again and again.
struct Patient {
    _place: tempfile::TempDir,
    whole: PathBuf,
    directory: PathBuf,
    /// Every file of the index but its lock, relative to it.
    files: Vec<PathBuf>,
}

impl Patient {
    fn new(newest: u64) -> Patient {
        let place = tempfile::tempdir().unwrap();
        let (whole, directory) = (place.path().join("whole"), place.path().join("index"));
        drop(index_of(&whole, newest));
        let mut files: Vec<PathBuf> = database_files(&whole);
        files.push(whole.join("current"));
        let files = files.iter().map(|file| file.strip_prefix(&whole).unwrap().to_path_buf()).collect();
        Patient { _place: place, whole, directory, files }
    }

    /// Undoes all damage and repair; returns the path of `file` and its undamaged bytes.
    fn reset(&self, file: &Path) -> (PathBuf, Vec<u8>) {
        copy_tree(&self.whole, &self.directory);
        (self.directory.join(file), fs::read(self.whole.join(file)).unwrap())
    }
}

#[test]
fn any_lost_file_is_noticed_and_mended() {
    let patient = Patient::new(12);
    let mut noticed = 0;
    for file in &patient.files {
        let (path, _) = patient.reset(file);
        fs::remove_file(&path).unwrap();
        let index = open(&patient.directory);
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        assert!(!is_table || index.mark().is_none(), "{} is lost and nobody notices", path.display());
        assert!(index.mark().is_none_or(|found| found == mark(12)));
        noticed += u32::from(index.damage().is_some());
        knows_all(&index).unwrap();
        bring_up_to_date(&index, 13);
        assert_eq!(index.damage(), None);
    }
    assert!(noticed >= 4, "tables, manifest and CURRENT are needed");
}

#[test]
fn flipped_bytes_never_make_a_wrong_answer() {
    let patient = Patient::new(12);
    let (mut tried, mut failed) = (0, 0);
    for file in &patient.files {
        let (_, bytes) = patient.reset(file);
        let step = (bytes.len() / FLIPS_A_FILE).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let (path, mut damaged) = patient.reset(file);
            damaged[at] ^= 1 << (at % 8);
            fs::write(path, damaged).unwrap();
            let index = open(&patient.directory);
            let answered = knows_all(&index);
            assert!(matches!(answered, Ok(()) | Err(Error::Index { .. })), "{answered:?}");
            tried += 1;
            failed += u32::from(index.mark().is_none() || answered.is_err());
            bring_up_to_date(&index, 13);
        }
    }
    assert!(failed > tried / 4, "only {failed} of {tried} flips were noticed");
}

/// Damages every table in place, so that processes that have it open suffer too.
fn damage_tables(directory: &Path) {
    for file in database_files(directory).iter().filter(|path| path.extension().is_some_and(|it| it == "sst")) {
        let length = fs::metadata(file).unwrap().len();
        fs::File::options().write(true).open(file).unwrap().write_all_at(&vec![0x55; length as usize], 0).unwrap();
    }
}

#[test]
fn what_is_in_the_overlay_is_not_looked_for_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    drop(index_of(&directory, 3));
    let index = open(&directory);
    index.overlay(mark(4), &mut [Ok(pack(1))].into_iter()).unwrap();
    damage_tables(&directory);
    assert!(matches!(index.get_many(&[chunk(1, 0), chunk(2, 0)]), Err(Error::Index { .. })));
    let ids = [chunk(1, 1), chunk(1, 0)];
    assert_eq!(index.get_many(&ids).unwrap(), [Some(location(1, 1)), Some(location(1, 0))]);
}

#[test]
fn what_was_given_up_is_not_used_again_before_it_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    drop(index_of(&directory, 3));
    let index = open(&directory);
    damage_tables(&directory);
    assert!(matches!(index.get(&chunk(1, 0)), Err(Error::Index { .. })));
    index.overlay(mark(3), &mut (1..=3).map(|sequence| Ok(pack(sequence)))).unwrap();
    index.give_up();
    for _ in 0..2 {
        assert_eq!((index.mark(), index.followed()), (None, Some(mark(3))));
        knows_all(&index).unwrap();
        index.refresh().unwrap();
    }
    assert_eq!(index.apply(|from| missing(from, 4)).unwrap(), Applied::Done);
    assert_eq!((index.mark(), index.overlay_len()), (Some(mark(4)), 0));
    knows_all(&index).unwrap();
}

#[test]
fn truncated_files_never_make_a_wrong_answer() {
    let patient = Patient::new(12);
    for file in &patient.files {
        for eighths in 0..8 {
            let (path, bytes) = patient.reset(file);
            fs::write(path, &bytes[..bytes.len() * eighths / 8]).unwrap();
            let index = open(&patient.directory);
            let answered = knows_all(&index);
            assert!(matches!(answered, Ok(()) | Err(Error::Index { .. })), "{answered:?}");
            bring_up_to_date(&index, 13);
        }
    }
}

#[test]
fn an_index_that_lost_its_last_apply_is_damaged() {
    let place = tempfile::tempdir().unwrap();
    let (older, directory) = (place.path().join("older"), place.path().join("index"));
    let index = index_of(&directory, 2);
    copy_tree(&directory, &older);
    index.apply(|from| missing(from, 3)).unwrap();
    drop(index);
    fs::copy(directory.join("current"), older.join("current")).unwrap();
    let index = open(&older);
    assert_eq!(index.mark(), None);
    assert!(index.damage().unwrap().contains("lost what was applied last"));
    bring_up_to_date(&index, 3);
}

#[test]
fn an_index_of_another_repository_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    drop(index_of(&directory, 2));
    let other = ChunkIndex::open(&directory, RepositoryId([8; 16]), IndexOptions::default()).unwrap();
    assert_eq!((other.mark(), other.get(&chunk(1, 0)).unwrap()), (None, None));
    assert!(other.damage().unwrap().contains("another repository"));
}

#[test]
fn open_readers_follow_a_rebuild() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let reader = index_of(&directory, 3);
    let before = databases(&directory);
    let stray = directory.join("db-0123456789abcdef");
    fs::create_dir(&stray).unwrap();

    let other = open(&directory);
    let rebuilt = other.rebuild(|from| {
        assert_eq!(from, None, "everything is applied anew");
        missing(from, 5)
    });
    assert_eq!(rebuilt.unwrap(), Applied::Done);
    let after = databases(&directory);
    assert_eq!(after.len(), 1, "neither the old database nor what a crash left is kept");
    assert_ne!(before, after);

    assert_eq!(reader.mark(), Some(mark(3)));
    knows_all(&reader).unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.mark(), Some(mark(5)));
    knows_all(&reader).unwrap();
}

#[test]
fn of_two_that_find_it_damaged_only_one_rebuilds() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let indexes = [index_of(&directory, 3), open(&directory)];
    indexes[0].rebuild(|from| missing(from, 3)).unwrap();
    let database = databases(&directory);
    indexes[1]
        .rebuild(|from| {
            assert_eq!(from, Some(mark(3)), "the other one's work is used");
            missing(from, 4)
        })
        .unwrap();
    assert_eq!(databases(&directory), database);
    indexes[1].rebuild(|from| missing(from, 4)).unwrap();
    assert_ne!(databases(&directory), database, "asked again, it is built anew");
}

/// Runs `body` as somebody who may not write what root or the owner made.
fn without_write_permission(directory: &Path, body: impl FnOnce() + Send) {
    let paths: Vec<PathBuf> = if directory.exists() {
        let mut paths = databases(directory);
        paths.extend([directory.to_path_buf(), directory.join("lock"), directory.join("current")]);
        paths.extend(database_files(directory));
        paths
    } else {
        Vec::new()
    };
    let parent = directory.parent().unwrap().to_path_buf();
    let set = |path: &Path, write: u32| {
        let mode = if path.is_dir() { 0o555 | write } else { 0o444 | write };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    paths.iter().chain([&parent]).for_each(|path| set(path, 0));
    let ended = thread::scope(|scope| {
        let ended = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::thread::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            body();
        });
        ended.join()
    });
    paths.iter().chain([&parent]).for_each(|path| set(path, 0o200));
    ended.unwrap();
}

#[test]
fn an_index_that_cannot_be_written_is_read() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    drop(index_of(&directory, 3));
    without_write_permission(&directory, || {
        let index = open(&directory);
        assert_eq!((index.mark(), index.damage()), (Some(mark(3)), None));
        for attempt in [index.try_apply(|from| missing(from, 4)), index.rebuild(|from| missing(from, 4))] {
            assert_eq!(attempt.unwrap(), Applied::ReadOnly);
        }
        index.overlay(mark(4), &mut [Ok(pack(4))].into_iter()).unwrap();
        index.refresh().unwrap();
        assert_eq!(index.followed(), Some(mark(4)));
        knows_all(&index).unwrap();
    });
}

#[test]
fn without_a_place_for_an_index_the_overlay_is_enough() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    without_write_permission(&directory, || {
        let index = open(&directory);
        assert_eq!((index.mark(), index.damage()), (None, None));
        assert_eq!(index.apply(|from| missing(from, 2)).unwrap(), Applied::ReadOnly);
        index.overlay(mark(2), &mut [Ok(pack(1)), Ok(pack(2))].into_iter()).unwrap();
        index.refresh().unwrap();
        assert_eq!(index.followed(), Some(mark(2)));
        knows_all(&index).unwrap();
        assert!(!directory.exists());
    });
}

#[test]
fn threads_share_one_index() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("index");
    let index = index_of(&directory, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    knows_all(&index).unwrap();
                    index.refresh().unwrap();
                }
            });
        }
        for sequence in 2..60 {
            if sequence % 3 == 0 {
                index.overlay(mark(sequence), &mut [Ok(pack(sequence))].into_iter()).unwrap();
            } else if sequence % 20 == 0 {
                index.rebuild(|from| missing(from, sequence)).unwrap();
            } else {
                index.apply(|from| missing(from, sequence)).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(index.mark(), Some(mark(59)));
}
