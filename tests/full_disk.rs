//! A disk is full, all of it or where one kind of object lies: what cannot be written is named, nothing that was
//! acknowledged is lost, and with room the same command succeeds.

mod support;

use std::fs;
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustix::mount::{MountFlags, UnmountFlags};
use support::noise;
use support::repository::{directory_options, now, open};
use support::stored::{StoredTree, assert_sound, published_plain_bytes};
use tempfile::TempDir;
use yesterfs::Error;
use yesterfs::ingest::directory::ingest_directory;
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::store::backend::{Backend, LocalBackend};

/// A page of memory, of which a tmpfs gives whole ones.
const PAGE_BYTES: u64 = 4096;

/// A disk of a few MiB, unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: PathBuf) -> SmallDisk {
        assert!(rustix::process::geteuid().is_root(), "this test mounts a tmpfs: run as root");
        fs::create_dir_all(&path).unwrap();
        rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(c"size=40m")).unwrap();
        SmallDisk { path }
    }

    fn grow(&self) {
        rustix::mount::mount_remount(&self.path, MountFlags::empty(), c"size=400m").unwrap();
    }

    fn filler(&self) -> PathBuf {
        // No object has such a name.
        self.path.join(".filler")
    }

    /// Takes all room that is left but for some pages.
    fn fill_but(&self, pages: u64) {
        let mut file = fs::File::create(self.filler()).unwrap();
        let error = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let end = file.stream_position().unwrap();
        file.set_len(end / PAGE_BYTES * PAGE_BYTES - pages * PAGE_BYTES).unwrap();
    }

    /// Gives back what [`SmallDisk::fill_but`] took.
    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.path, UnmountFlags::DETACH).unwrap();
    }
}

/// A repository with one snapshot of a small directory.
struct Place {
    directory: TempDir,
}

const SMALL: &str = "small";
/// Enough for an index of several blocks.
const SMALL_FILES: u64 = 500;

impl Place {
    /// A place where the folder `on_disk` of the repository (empty: all of it) is on a small disk.
    fn new(on_disk: &str) -> (Place, SmallDisk) {
        let place = Place { directory: TempDir::new().unwrap() };
        fs::create_dir(place.path(SMALL)).unwrap();
        fs::write(place.path("small/file"), noise(1, 100_000)).unwrap();
        for number in 0..SMALL_FILES {
            fs::write(place.path(&format!("small/{number}")), noise(1000 + number, 1000)).unwrap();
        }
        let folder = place.path("repo").join(on_disk);
        let all = on_disk.is_empty().then(|| SmallDisk::mount(folder.clone()));
        place.succeed(&["init"]);
        let disk = all.unwrap_or_else(|| SmallDisk::mount(folder));
        place.succeed(&["ingest", "dir", SMALL, "--source", "small"]);
        (place, disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--repo").arg(self.path("repo")).args(words).current_dir(self.directory.path());
        command.output().unwrap()
    }

    /// What the command says on standard error.
    #[track_caller]
    fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{errors}", output.status);
        errors
    }

    /// Runs what a full disk must stop; the message names the object, by the beginning of its key, and the cause.
    #[track_caller]
    fn fail(&self, words: &[&str], object: &str) {
        let before = self.snapshots();
        let output = self.run(words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{words:?}: {errors}");
        let named = |line: &str| line.starts_with("yesterfs: cannot ") && line.contains(&format!("\"{object}"));
        let told = errors.lines().find(|line| named(line)).unwrap_or_else(|| panic!("{object} is not named: {errors}"));
        assert!(told.contains("No space left on device"), "{told}");
        assert!(errors.contains("hint: nothing that was stored is lost; make room"), "{errors}");
        assert_eq!(self.snapshots(), before, "snapshots are not what they were");
    }

    /// Every snapshot, by its line of JSON.
    #[track_caller]
    fn snapshots(&self) -> String {
        String::from_utf8(self.run(&["snapshots", "--json"]).stdout).unwrap()
    }

    fn open(&self) -> Repository {
        let backend = Arc::new(LocalBackend::new(self.path("repo")));
        open(self.directory.path(), backend, Arc::new(Recorder::default())).unwrap()
    }

    /// Everything in all snapshots, after `check` found nothing wrong.
    #[track_caller]
    fn checked(&self) -> Vec<StoredTree> {
        let output = self.run(&["check", "--read-data"]);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("no damage\n"), "{output:?}");
        assert_sound(&self.open())
    }
}

const LARGE_BYTES: usize = 100_000_000;

#[test]
fn an_ingest_that_does_not_fit_keeps_what_it_stored_for_the_next() {
    let (place, disk) = Place::new("");
    let before = place.checked();
    fs::create_dir(place.path("large")).unwrap();
    fs::write(place.path("large/file"), noise(2, LARGE_BYTES)).unwrap();
    let words = ["ingest", "dir", "large", "--source", "large"];
    place.fail(&words, "packs/");
    assert_eq!(place.checked(), before);
    let kept = published_plain_bytes(&place.open());
    assert!(kept > 32 << 20, "only {kept} bytes were kept of what had found room");
    place.fail(&words, "packs/");
    disk.grow();
    place.succeed(&words);
    let after = place.checked();
    assert!(after.starts_with(&before) && after.len() == 2);
    assert!(after[1][&b"file"[..]].1 == noise(2, LARGE_BYTES));
    let stored = published_plain_bytes(&place.open());
    assert!(stored < (LARGE_BYTES + (2 << 20)) as u64, "{stored} bytes are stored: some twice");
}

#[test]
fn a_stream_that_does_not_fit_makes_no_snapshot() {
    let (place, disk) = Place::new("");
    let before = place.checked();
    fs::write(place.path("dump"), noise(3, LARGE_BYTES)).unwrap();
    let words = ["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "cat", "dump"];
    place.fail(&words, "packs/");
    place.fail(&words, "packs/");
    assert_eq!(place.checked(), before);
    disk.grow();
    place.succeed(&words);
    let after = place.checked();
    assert!(after.starts_with(&before) && after.len() == 2);
    assert!(after[1][&b"dump.sql"[..]].1 == noise(3, LARGE_BYTES));
}

#[test]
fn an_open_repository_goes_on_after_its_disk_was_full() {
    let (place, disk) = Place::new("");
    let repository = place.open();
    let before = assert_sound(&repository);
    fs::write(place.path("small/large"), noise(7, LARGE_BYTES)).unwrap();
    support::wait_until_settled();
    let ingest = || {
        let options = directory_options(&place.path(SMALL), "small");
        ingest_directory(&repository, &options, &now, &Recorder::default()).map(|report| report.snapshot)
    };
    let error = ingest().err().unwrap();
    assert!(matches!(&error, Error::Backend { source, .. } if source.kind() == ErrorKind::StorageFull), "{error}");
    assert!(assert_sound(&repository) == before);
    disk.fill_but(0);
    assert!(ingest().is_err());
    assert!(assert_sound(&repository) == before);
    disk.make_room();
    disk.grow();
    ingest().unwrap();
    let after = assert_sound(&repository);
    assert!(after.starts_with(&before) && after.len() == 2);
    assert!(after[1][&b"large"[..]].1 == noise(7, LARGE_BYTES));
}

/// The ingest of a directory that is new.
const MORE: [&str; 5] = ["ingest", "dir", "more", "--source", "more"];

fn make_more(place: &Place) {
    fs::create_dir(place.path("more")).unwrap();
    fs::write(place.path("more/file"), noise(4, 50_000)).unwrap();
}

#[test]
fn whatever_object_cannot_be_written_is_named() {
    // With no page left, and with one, which is enough for the record that opens the session.
    for (folder, pages, object) in [
        ("packs", 0, "packs/"),
        ("segments", 0, "segments/"),
        ("catalog", 0, "catalog/00000000000000000/00000000000000000003"),
        ("catalog", 1, "catalog/00000000000000000/00000000000000000004"),
    ] {
        let (place, disk) = Place::new(folder);
        let before = place.checked();
        make_more(&place);
        disk.fill_but(pages);
        place.fail(&MORE, object);
        let tree = |errors: &str| assert!(!errors.contains("rebuilding"), "{errors}");
        tree(&place.succeed(&["ls", "small"]));
        if folder == "catalog" {
            place.fail(&["tag", "small", "--add", "kept"], "catalog/");
            place.fail(&["forget", "small@latest"], "catalog/");
        }
        assert_eq!(place.checked(), before);
        disk.make_room();
        place.succeed(&MORE);
        let after = place.checked();
        assert!(after.starts_with(&before) && after.len() == 2, "{folder}");
        assert!(after[1][&b"file"[..]].1 == noise(4, 50_000));
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing() {
    let (place, disk) = Place::new("checkpoints");
    let before = place.checked();
    disk.fill_but(0);
    let tag_until = |last: u64| {
        let repository = place.open();
        let id = repository.catalog().snapshots().next().unwrap().id;
        while repository.catalog().sequence < last {
            let tag = format!("tag-{}", repository.catalog().sequence % 9);
            repository.change_tags(id, &[tag], &[], now()).unwrap();
        }
    };
    let checkpoints = || LocalBackend::new(place.path("repo")).list_after("checkpoints", None).unwrap().len();
    tag_until(255);
    let errors = place.succeed(&["tag", "small", "--add", "the-256th"]);
    assert!(errors.contains("cannot write checkpoint 256") && errors.contains("No space left"), "{errors}");
    assert_eq!((place.open().catalog().sequence, checkpoints()), (256, 0));
    assert_eq!(place.checked(), before);
    disk.make_room();
    tag_until(512);
    assert_eq!(checkpoints(), 1);
    assert_eq!(place.checked(), before);
}

#[test]
fn an_index_that_finds_no_room_is_kept_in_memory() {
    let (place, disk) = Place::new("index");
    make_more(&place);
    let index = place.path("repo/index");
    let empty_index = || fs::read_dir(&index).unwrap().map(|it| it.unwrap().path()).for_each(|it| remove(&it));
    empty_index();
    disk.fill_but(0);
    let errors = place.succeed(&["ls", "small"]);
    assert!(errors.contains("keeping the chunk index in memory") && errors.contains("No space left"), "{errors}");
    place.succeed(&MORE);
    // What is in memory is as good: nothing is stored twice.
    let stored = published_plain_bytes(&place.open());
    place.succeed(&["ingest", "dir", "more", "--source", "more", "--reread"]);
    place.succeed(&["ingest", "dir", SMALL, "--source", "other"]);
    assert!(published_plain_bytes(&place.open()) < stored + 10_000, "data was stored again");
    assert_eq!(place.checked().len(), 4);
    assert!(!index.join("current").exists());

    disk.make_room();
    assert!(place.succeed(&["ls", "small"]).contains("rebuilding the chunk index"));
    assert_eq!(place.succeed(&["ls", "small"]), "");
    assert_eq!(place.checked().len(), 4);
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

#[test]
fn a_damaged_index_that_finds_no_room_is_kept_in_memory() {
    let (place, disk) = Place::new("index");
    make_more(&place);
    let before = place.checked();
    let index = place.path("repo/index");
    let current = fs::read(index.join("current")).unwrap();
    let databases = fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = databases.flat_map(|database| fs::read_dir(database).unwrap()).map(|entry| entry.unwrap().path());
    // The first block of the largest table, in place: that is noticed only when chunks are looked for.
    let table = files.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    assert_eq!(table.extension().unwrap(), "sst");
    fs::File::options().write(true).open(table).unwrap().write_all_at(&[0x55; 1000], 0).unwrap();
    disk.fill_but(0);
    let errors = place.succeed(&["check"]);
    assert!(errors.contains("rebuilding it from the packs"), "{errors}");
    assert!(errors.contains("keeping the chunk index in memory") && errors.contains("No space left"), "{errors}");
    assert_eq!(place.run(&["cat", "small:/file"]).stdout, noise(1, 100_000));
    place.succeed(&MORE);
    let after = place.checked();
    assert!(after.starts_with(&before) && after.len() == 2);
    assert_eq!(fs::read(index.join("current")).unwrap(), current, "there was room after all");

    disk.make_room();
    assert!(place.succeed(&["check"]).contains("rebuilding it from the packs"));
    assert_eq!(place.succeed(&["cat", "small:/file"]), "");
    assert_ne!(fs::read(index.join("current")).unwrap(), current);
    assert_eq!(place.checked(), after);
}
