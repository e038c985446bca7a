//! The machine dies, at every single call of the storage and at the worst moments of a real process. Whatever was
//! acknowledged before is there afterwards, nothing is there by half, and the same work done again succeeds.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::faulty::{FaultyBackend, Moment};
use support::repository::{directory_options, now, open};
use support::stored::{StoredTree, assert_sound, copy_of, published_plain_bytes, stored_tree};
use tempfile::TempDir;
use yesterfs::check::{CheckOptions, check};
use yesterfs::error::Result;
use yesterfs::id::SnapshotId;
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::directory::ingest_directory;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::store::backend::{Backend, LocalBackend, MemoryBackend};

/// A machine: its disk and its chunk index outlive its processes.
struct Machine {
    directory: TempDir,
    disk: Arc<MemoryBackend>,
}

impl Machine {
    /// A machine whose disk holds what `disk` does.
    fn with(disk: &dyn Backend) -> Machine {
        let machine = Machine { directory: TempDir::new().unwrap(), disk: copy_of(disk) };
        fs::create_dir(machine.directory.path().join("repo")).unwrap();
        machine
    }

    /// A machine with a new repository.
    fn new() -> Machine {
        let machine = Machine::with(&MemoryBackend::default());
        Repository::init(machine.disk.as_ref(), now()).unwrap();
        machine
    }

    fn boot_on(&self, backend: Arc<dyn Backend>) -> Result<Repository> {
        open(self.directory.path(), backend, Arc::new(Recorder::default()))
    }

    fn boot(&self) -> Repository {
        self.boot_on(self.disk.clone()).unwrap()
    }

    fn lose_index(&self) {
        let _ = fs::remove_dir_all(self.directory.path().join("repo/index"));
    }
}

/// Some of everything, small: every byte of it costs calls.
fn make_source(root: &Path) {
    fs::create_dir_all(root.join("directory/below")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("inline"), b"a few bytes").unwrap();
    fs::write(root.join("directory/chunks"), support::noise(1, 150_000)).unwrap();
    fs::write(root.join("directory/below/text"), "a line like others\n".repeat(3000)).unwrap();
    fs::write(root.join("directory/below/more"), support::noise(2, 40_000)).unwrap();
    fs::hard_link(root.join("directory/chunks"), root.join("linked")).unwrap();
    symlink("directory/chunks", root.join("symlink")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&support::noise(3, 10_000), 1 << 20).unwrap();
    sparse.set_len(8 << 20).unwrap();
}

fn change_source(root: &Path) {
    fs::write(root.join("directory/below/text"), "a line like others\n".repeat(2000) + "and another\n").unwrap();
    fs::write(root.join("directory/new"), support::noise(4, 60_000)).unwrap();
    fs::remove_file(root.join("inline")).unwrap();
    fs::rename(root.join("empty"), root.join("renamed")).unwrap();
    fs::set_permissions(root.join("directory/below"), fs::Permissions::from_mode(0o700)).unwrap();
    support::wait_until_settled();
}

fn ingest(repository: &Repository, source: &Path) -> Result<Arc<Snapshot>> {
    let report = ingest_directory(repository, &directory_options(source, "lake"), &now, &Recorder::default())?;
    Ok(report.snapshot)
}

/// Snapshots with all that is in them, in catalog order.
fn everything(repository: &Repository) -> Vec<(SnapshotId, StoredTree)> {
    let snapshots: Vec<SnapshotId> = repository.catalog().snapshots().map(|snapshot| snapshot.id).collect();
    snapshots.into_iter().zip(assert_sound(repository)).collect()
}

/// Runs `work` on copies of the same machine again and again, and lets each die at another call of its storage, before
/// or after that call did its work. After each death `check` gets the machine as it was started again, and whether
/// `work` had told of success.
fn die_at_every_call(
    start: &dyn Backend,
    work: impl Fn(&Repository) -> Result<()>,
    check: impl Fn(&Repository, bool),
) -> u64 {
    die_at_every_call_from(1, start, work, check)
}

/// The same, without the calls before the `first`.
fn die_at_every_call_from(
    first: u64,
    start: &dyn Backend,
    work: impl Fn(&Repository) -> Result<()>,
    check: impl Fn(&Repository, bool),
) -> u64 {
    let mut deaths = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in first.. {
            let machine = Machine::with(start);
            // With an index of its own at hand, and without.
            if call % 2 == 0 {
                machine.boot().chunks().unwrap();
            }
            let dying = Arc::new(FaultyBackend::stop_at(machine.disk.clone(), call, moment));
            let result = machine.boot_on(dying.clone()).and_then(|repository| work(&repository));
            let survived = dying.calls() < call;
            assert!(!survived || result.is_ok(), "without a fault it must succeed: {result:?}");
            if call % 3 == 0 {
                machine.lose_index();
            }
            check(&machine.boot(), result.is_ok());
            if survived {
                break;
            }
            deaths += 1;
        }
    }
    deaths
}

/// Checks an ingest that may have been interrupted: `before` is what was acknowledged earlier, `expected` what the
/// snapshot holds if it exists. Then runs it again.
fn check_ingest(
    repository: &Repository,
    succeeded: bool,
    before: &[(SnapshotId, StoredTree)],
    expected: &StoredTree,
    again: impl Fn(&Repository) -> Result<()>,
) {
    let found = everything(repository);
    assert!(found.starts_with(before), "what was acknowledged is not what it was");
    let made: Vec<&StoredTree> = found[before.len()..].iter().map(|(_, tree)| tree).collect();
    assert!(made.iter().all(|tree| *tree == expected), "a snapshot is there by half");
    assert!(made.len() <= 1 && (!succeeded || made.len() == 1), "{} snapshots after one ingest", made.len());
    again(repository).unwrap();
    let after = everything(repository);
    assert!(after.starts_with(&found) && after.len() == found.len() + 1);
    assert!(&after[found.len()].1 == expected, "the second attempt made something else");
}

#[test]
fn the_first_ingest_survives_death_at_every_call() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    make_source(&source);
    support::wait_until_settled();
    let start = Machine::new();
    let undisturbed = Machine::with(start.disk.as_ref());
    let repository = undisturbed.boot();
    let expected = stored_tree(&repository, &ingest(&repository, &source).unwrap()).unwrap();
    assert!(expected[&b"directory/chunks"[..]].1 == support::noise(1, 150_000));
    let work = |repository: &Repository| ingest(repository, &source).map(|_| ());
    let deaths = die_at_every_call(start.disk.as_ref(), work, |repository, succeeded| {
        check_ingest(repository, succeeded, &[], &expected, work);
    });
    // Config, catalog, two packs with their records and footers, segment, two records, at both moments.
    assert!(deaths > 60, "only {deaths} calls were made");
}

#[test]
fn the_next_ingest_survives_death_at_every_call() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    make_source(&source);
    support::wait_until_settled();
    let start = Machine::new();
    ingest(&start.boot(), &source).unwrap();
    let before = everything(&start.boot());
    assert_eq!(before.len(), 1);
    change_source(&source);
    let undisturbed = Machine::with(start.disk.as_ref());
    let repository = undisturbed.boot();
    let expected = stored_tree(&repository, &ingest(&repository, &source).unwrap()).unwrap();
    assert!(expected != before[0].1);
    let work = |repository: &Repository| ingest(repository, &source).map(|_| ());
    die_at_every_call(start.disk.as_ref(), work, |repository, succeeded| {
        check_ingest(repository, succeeded, &before, &expected, work);
    });
}

#[test]
fn one_failing_call_loses_nothing_and_what_was_stored_is_kept() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    make_source(&source);
    support::wait_until_settled();
    let start = Machine::new();
    let work = |repository: &Repository| ingest(repository, &source).map(|_| ());
    let undisturbed = Machine::with(start.disk.as_ref());
    let repository = undisturbed.boot();
    work(&repository).unwrap();
    let (_, expected) = everything(&repository).remove(0);
    let mut failures = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let machine = Machine::with(start.disk.as_ref());
            let failing = Arc::new(FaultyBackend::fail_once(machine.disk.clone(), call, moment));
            let result = machine.boot_on(failing.clone()).and_then(|repository| work(&repository));
            if failing.calls() < call {
                assert!(result.is_ok(), "without a fault it must succeed: {result:?}");
                break;
            }
            failures += u32::from(result.is_err());
            let repository = machine.boot();
            let options = CheckOptions { read_data: true, threads: 1 };
            let report = check(&repository, options, &Recorder::default()).unwrap();
            assert!(report.is_sound(), "call {call} {moment:?}: {:?}", report.damages);
            // Of all that was stored, only a pack that was made without its writer learning of it is not published.
            assert!(report.packs_unreferenced <= u64::from(moment == Moment::After), "call {call} {moment:?}");
            let packs = machine.disk.list_after("packs", None).unwrap().len() as u64;
            assert_eq!(report.packs + report.packs_unreferenced, packs, "call {call} {moment:?}: packs count once");
            check_ingest(&repository, result.is_ok(), &[], &expected, work);
        }
    }
    assert!(failures > 30, "only {failures} ingests failed");
}

#[test]
fn a_stream_survives_death_at_every_call() {
    let start = Machine::new();
    let dump = support::noise(5, 100_000);
    let work = |repository: &Repository| {
        let streams = ["a.sql", "b.sql"].map(|name| StreamSpec {
            name: name.into(),
            input: StreamInput::Reader(Box::new(std::io::Cursor::new(dump.clone()))),
        });
        let common = IngestOptions { source: "shop".into(), ..Default::default() };
        let options = StreamOptions { common, streams: streams.into(), expect_end: None, threads: 1 };
        ingest_streams(repository, options, &now, &Recorder::default()).map(|_| ())
    };
    die_at_every_call(start.disk.as_ref(), work, |repository, succeeded| {
        let check = |found: &[(SnapshotId, StoredTree)], count: std::ops::RangeInclusive<usize>| {
            assert!(count.contains(&found.len()));
            for (_, tree) in found {
                assert!(tree[&b"a.sql"[..]].1 == dump && tree[&b"b.sql"[..]].1 == dump);
            }
        };
        check(&everything(repository), usize::from(succeeded)..=1);
        work(repository).unwrap();
        check(&everything(repository), 1 + usize::from(succeeded)..=2);
    });
}

/// A machine with three small snapshots.
fn machine_with_snapshots() -> (Machine, TempDir) {
    let directory = TempDir::new().unwrap();
    let machine = Machine::new();
    let repository = machine.boot();
    for number in 0..3 {
        fs::write(directory.path().join("file"), format!("version {number}")).unwrap();
        ingest(&repository, directory.path()).unwrap();
    }
    (machine, directory)
}

#[test]
fn forget_survives_death_at_every_call() {
    let (start, _source) = machine_with_snapshots();
    let before = everything(&start.boot());
    let victims = [before[0].0, before[2].0];
    let work = |repository: &Repository| repository.forget(&victims, "test", now());
    let deaths = die_at_every_call(start.disk.as_ref(), work, |repository, succeeded| {
        let found = everything(repository);
        // Both or none.
        let forgotten = found == before[1..2];
        assert!(forgotten || found == before);
        assert!(forgotten || !succeeded);
        let again = work(repository);
        assert_eq!(again.is_ok(), !forgotten, "{again:?}");
        assert!(everything(repository) == before[1..2]);
    });
    assert!(deaths > 10, "only {deaths} calls were made");
}

#[test]
fn tags_survive_death_at_every_call_across_checkpoints_and_folders() {
    let (start, _source) = machine_with_snapshots();
    let repository = start.boot();
    let id = repository.catalog().snapshots().next().unwrap().id;
    let before = everything(&repository);
    let tag = |repository: &Repository, tag: &str| repository.change_tags(id, &[tag.to_string()], &[], now());
    let mut deaths = 0;
    // A checkpoint is written behind record 256, and records from 1000 on lie in another folder.
    for boundary in [256, 1000] {
        while repository.catalog().sequence < boundary - 2 {
            tag(&repository, "often").unwrap();
        }
        let work = |repository: &Repository| ["one", "two", "three"].iter().try_for_each(|it| tag(repository, it));
        // Opening reads record after record and changes nothing: its last calls stand for all of them.
        let opening = Arc::new(FaultyBackend::recording(start.disk.clone()));
        start.boot_on(opening.clone()).unwrap();
        let first = opening.calls() - 2;
        deaths += die_at_every_call_from(first, start.disk.as_ref(), work, |repository, succeeded| {
            assert_eq!(repository.catalog().snapshots().count(), before.len());
            let found = repository.catalog().by_id(&id).unwrap().tags.clone();
            let steps: Vec<BTreeSet<String>> = [&["often"][..], &["often", "one"], &["often", "one", "two"]]
                .into_iter()
                .chain([&["often", "one", "two", "three"][..]])
                .map(|tags| tags.iter().map(|tag| tag.to_string()).collect())
                .collect();
            let step = steps.iter().position(|step| *step == found).expect("tags out of order");
            assert!(!succeeded || step == 3, "an acknowledged tag is lost");
            work(repository).unwrap();
            assert_eq!(repository.catalog().by_id(&id).unwrap().tags, steps[3]);
            assert!(everything(repository) == before, "a tag changed what a snapshot holds");
        });
    }
    assert!(deaths > 60, "only {deaths} calls were made");
    assert!(start.disk.list_after("checkpoints", None).unwrap().len() >= 3);
}

#[test]
fn init_survives_death_at_every_call() {
    for moment in [Moment::Before, Moment::After] {
        for call in 1..=3 {
            let disk = Arc::new(MemoryBackend::default());
            let dying = FaultyBackend::stop_at(disk.clone(), call, moment);
            assert!(Repository::init(&dying, now()).is_err());
            let made = Repository::init(disk.as_ref(), now());
            let complete = (call, moment) == (3, Moment::After);
            assert_eq!(made.is_err(), complete, "{call} {moment:?}: {made:?}");
            Machine::with(disk.as_ref()).boot();
        }
    }
}

// What follows kills real processes.

const SMALL_FILE_BYTES: usize = 100_000;
const SMALL_FILES: usize = 3200;

struct Place {
    directory: TempDir,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(self.path("repo")).args(words).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn succeed(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn count(&self, folder: &str) -> usize {
        LocalBackend::new(self.path("repo")).list_after(folder, None).unwrap().len()
    }

    fn open(&self) -> Repository {
        let backend = Arc::new(LocalBackend::new(self.path("repo")));
        open(self.directory.path(), backend, Arc::new(Recorder::default())).unwrap()
    }

    /// Waits until `happened` says so, or the process ends. Then kills it; false if it had ended before.
    fn kill_when(&self, child: &mut Child, happened: impl Fn(Duration) -> bool) -> bool {
        let started = Instant::now();
        while !happened(started.elapsed()) && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing happened for a minute");
            std::thread::sleep(Duration::from_micros(200));
        }
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        running
    }
}

/// The number behind `"name":` in the last line of JSON.
fn number(json: &str, name: &str) -> u64 {
    let line = json.lines().last().unwrap();
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    record[name].as_u64().unwrap_or_else(|| panic!("no number {name:?} in {line}"))
}

#[test]
fn killed_ingests_lose_nothing_and_what_they_published_is_not_stored_again() {
    let place = Place { directory: TempDir::new().unwrap() };
    fs::create_dir(place.path("small")).unwrap();
    fs::write(place.path("small/file"), support::noise(9, 100_000)).unwrap();
    place.succeed(&["init"]);
    place.succeed(&["ingest", "dir", "small", "--source", "first"]);
    let before = everything(&place.open());

    // Small files only: packs have to be published between them.
    let source = place.path("large");
    for number in 0..SMALL_FILES {
        let directory = source.join(format!("d{}", number / 100));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(number.to_string()), support::noise(number as u64 + 100, SMALL_FILE_BYTES)).unwrap();
    }
    let total_bytes = (SMALL_FILES * SMALL_FILE_BYTES) as u64;
    // With the time that it ran, and the records that it wrote.
    type Moment<'a> = &'a dyn Fn(Duration, usize) -> bool;
    let moments: [(&str, Moment); 5] = [
        ("at once", &|_, _| true),
        ("after some milliseconds", &|elapsed, _| elapsed > Duration::from_millis(4)),
        ("when it had begun", &|_, records| records == 1),
        ("in the middle", &|_, _| place.count("packs") > 5),
        ("when it had published", &|_, records| records == 2),
    ];
    for (when, happened) in moments {
        let records = place.count("catalog");
        let happened = |elapsed| happened(elapsed, place.count("catalog") - records);
        let mut child = place.command(&["ingest", "dir", "large", "--source", "lake"]).spawn().unwrap();
        assert!(place.kill_when(&mut child, happened), "it was done before it could be killed {when}");
        let after = everything(&place.open());
        assert!(after == before, "killed {when}: other snapshots than before");
    }
    let published = published_plain_bytes(&place.open());
    assert!(published > total_bytes / 2, "only {published} bytes of {total_bytes} were published before the last kill");

    let summary = place.succeed(&["ingest", "dir", "large", "--source", "lake", "--json"]);
    let new = number(&summary, "bytes_new");
    assert!(new < total_bytes - published + (2 << 20), "{new} bytes are new, though {published} were published");
    let repository = place.open();
    let after = everything(&repository);
    assert!(after.starts_with(&before) && after.len() == 2);
    let tree = &after[1].1;
    for number in 0..SMALL_FILES {
        let path = format!("d{}/{number}", number / 100);
        assert!(tree[path.as_bytes()].1 == support::noise(number as u64 + 100, SMALL_FILE_BYTES), "{path}");
    }
}

#[test]
fn a_large_file_is_published_while_it_is_read() {
    // The machine dies in the middle of one file of 400 MB.
    const BYTES: usize = 400_000_000;
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("large"), support::noise(1, BYTES)).unwrap();
    support::wait_until_settled();
    let start = Machine::new();
    let undisturbed = Machine::with(start.disk.as_ref());
    let recording = Arc::new(FaultyBackend::recording(undisturbed.disk.clone()));
    ingest(&undisturbed.boot_on(recording.clone()).unwrap(), &source).unwrap();
    // Nearly all calls write one chunk each. Of the 400 MB, 256 MiB are published together, once the last of these is durable: others go
    // on meanwhile.
    let call = recording.calls() * 19 / 20;
    drop(undisturbed);
    let dying = Arc::new(FaultyBackend::stop_at(start.disk.clone(), call, Moment::Before));
    let repository = start.boot_on(dying).unwrap();
    let cause = ingest(&repository, &source).err().unwrap();
    assert!(cause.to_string().contains("the machine died"), "{cause}");
    drop(repository);

    let repository = start.boot();
    assert_eq!(repository.catalog().snapshots().count(), 0);
    let published = published_plain_bytes(&repository);
    assert!(published > 8 * (32 << 20) - (1 << 20), "{published} bytes were published");
    let recorder = Recorder::default();
    let options = directory_options(&source, "lake");
    let snapshot = ingest_directory(&repository, &options, &now, &recorder).unwrap().snapshot;
    let new = yesterfs::progress::Counters::get(&recorder.counters.bytes_new);
    assert!(new < BYTES as u64 - published + (1 << 20), "{new} bytes are new, though {published} were published");
    let stored = stored_tree(&repository, &snapshot).unwrap();
    assert!(stored[&b"large"[..]].1 == support::noise(1, BYTES));
}
