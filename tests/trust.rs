//! Stories of what must never go wrong quietly: lost packs, lost records, and snapshots that do not hold everything.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use support::repository::{TestRepository, open, read_file};
use yesterfs::check::{CheckOptions, CheckReport, check};
use yesterfs::codec::Encoder;
use yesterfs::id::{ChunkId, WriterId, WriterObject};
use yesterfs::progress::Recorder;
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::store::backend::{LocalBackend, MemoryBackend};
use yesterfs::store::chunk_record::{ChunkForm, EncodedChunk, encode_record};
use yesterfs::store::compress::Codec;
use yesterfs::store::pack::{PackKind, PackWriter, read_footer_of};
use yesterfs::store::segment::{read_segment, write_segment};
use yesterfs::{Error, Result};

/// The packs of a repository, the largest first.
fn packs(place: &TestRepository) -> Vec<PathBuf> {
    let folders = fs::read_dir(place.path("repo/packs")).unwrap();
    let mut packs: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect();
    packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
    packs
}

/// Opens the repository as a new process would, and tells what it noted.
fn reopen(place: &TestRepository) -> (Result<Repository>, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    (open(&place.path(""), Arc::new(LocalBackend::new(place.path("repo"))), recorder.clone()), recorder)
}

fn check_data(repository: &Repository) -> CheckReport {
    check(repository, CheckOptions { read_data: true, threads: 2 }, &Recorder::default()).unwrap()
}

fn source_with_data(place: &TestRepository) -> PathBuf {
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("data"), support::noise(1, 300_000)).unwrap();
    source
}

#[test]
fn a_lost_pack_is_stored_again_by_the_next_ingest() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    place.ingest(&source, "lake");
    fs::remove_file(&packs(&place)[0]).unwrap();
    // The file did not change, and would usually be taken over unread.
    let healed = place.ingest(&source, "lake");
    assert!(healed.counters.bytes_new >= 300_000, "{:?}", healed.counters);
    let (repository, _) = reopen(&place);
    let bytes = read_file(&repository.unwrap(), &healed.snapshot, b"data").unwrap();
    assert_eq!(bytes, support::noise(1, 300_000));
    // Once is enough: the pack stays lost, but nothing of this source needs it any more.
    assert_eq!(place.ingest(&source, "lake").counters.bytes_read, 0);
}

#[test]
fn reread_stores_a_damaged_chunk_again() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    // So long that its pack's footer tells where most of its chunks lie, the damaged one among them.
    fs::write(source.join("data"), support::noise(1, 3_000_000)).unwrap();
    place.ingest(&source, "lake");
    let pack = fs::File::options().write(true).open(&packs(&place)[0]).unwrap();
    pack.write_all_at(b"flipped", 2_000_000).unwrap();
    drop(pack);
    let healed = place.try_ingest(&source, "lake", |options| options.reread = true).unwrap();
    assert!(healed.counters.bytes_new > 0, "{:?}", healed.counters);
    let (repository, _) = reopen(&place);
    let bytes = read_file(&repository.unwrap(), &healed.snapshot, b"data").unwrap();
    assert!(bytes == support::noise(1, 3_000_000));
}

#[test]
fn a_reader_that_stays_open_finds_what_was_stored_again() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    fs::write(source.join("data"), support::noise(1, 3_000_000)).unwrap();
    let first = place.ingest(&source, "lake").snapshot;
    let backend = Arc::new(LocalBackend::new(place.path("repo")));
    let options = OpenOptions { index_directory: place.path("repo/index"), cache_bytes: 0, index_cache_bytes: 8 << 20 };
    let reader = Repository::open(backend, options, Arc::new(Recorder::default())).unwrap();
    assert!(read_file(&reader, &first, b"data").unwrap() == support::noise(1, 3_000_000));
    fs::File::options().write(true).open(&packs(&place)[0]).unwrap().set_len(100_000).unwrap();
    assert!(read_file(&reader, &first, b"data").is_err());
    place.ingest(&source, "lake");
    reader.refresh().unwrap();
    assert!(read_file(&reader, &first, b"data").unwrap() == support::noise(1, 3_000_000));
}

#[test]
fn nothing_is_written_after_the_catalog_was_lost() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    place.ingest(&source, "lake");
    fs::rename(place.path("repo/catalog"), place.path("lost")).unwrap();
    let (repository, recorder) = reopen(&place);
    let repository = repository.unwrap();
    assert!(recorder.notes.lock().unwrap().iter().any(|note| note.contains("not whole")), "it says so");
    assert!(check_data(&repository).damage_count > 0, "and so does check");
    let options = support::repository::directory_options(&source, "lake");
    let refused = yesterfs::ingest::directory::ingest_directory(
        &repository,
        &options,
        &support::repository::now,
        &Recorder::default(),
    );
    assert!(refused.err().unwrap().to_string().contains("put the records back"));
    // Put back, all is well.
    fs::rename(place.path("lost"), place.path("repo/catalog")).unwrap();
    let (repository, _) = reopen(&place);
    assert_eq!(check_data(&repository.unwrap()).damage_count, 0);
}

#[test]
fn check_notices_that_the_newest_records_are_gone() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    place.ingest(&source, "lake");
    let group = place.path("repo/catalog/00000000000000000");
    let before = fs::read_dir(&group).unwrap().count() as u64;
    fs::write(source.join("more"), support::noise(2, 100_000)).unwrap();
    place.ingest(&source, "lake");
    for sequence in before + 1.. {
        if fs::remove_file(group.join(format!("{sequence:020}"))).is_err() {
            break;
        }
    }
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    let (repository, _) = reopen(&place);
    let report = check_data(&repository.unwrap());
    assert!(report.damages.iter().any(|damage| damage.reason.contains("records are gone")), "{report:?}");
}

/// Copies the objects in a folder of one repository into another, but for what is there already.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else if !copy.exists() {
            fs::copy(entry.path(), copy).unwrap();
        }
    }
}

#[test]
fn a_whole_history_under_another_config_is_a_copy_and_part_of_one_continues_no_other() {
    let (place, other) = (TestRepository::new(), TestRepository::new());
    let source = source_with_data(&place);
    place.ingest(&source, "lake");
    place.ingest(&source, "lake");
    let copy = |other: &TestRepository| {
        for folder in ["catalog", "segments", "packs"] {
            copy_folder(&place.path("repo").join(folder), &other.path("repo").join(folder));
        }
    };
    copy(&other);
    let (copied, _) = reopen(&other);
    let copied = copied.unwrap();
    assert_eq!(check_data(&copied).damage_count, 0);
    assert_ne!(copied.id(), place.repository.id());
    let snapshot = copied.find("lake", support::repository::now()).unwrap();
    assert_eq!(read_file(&copied, &snapshot, b"data").unwrap(), support::noise(1, 300_000));

    let third = TestRepository::new();
    fs::create_dir(third.path("source")).unwrap();
    third.ingest(&third.path("source"), "own");
    copy(&third);
    let error = reopen(&third).0.err().unwrap();
    assert!(error.to_string().contains("does not continue the record before it"), "{error}");
}

#[test]
fn a_name_that_another_writer_took_is_not_written_over() {
    let backend = MemoryBackend::default();
    let name = WriterObject { writer: WriterId([1; 8]), number: 0 };
    let write = |plain: &[u8]| {
        let mut pack = PackWriter::start(&backend, name, PackKind::Data).unwrap();
        let mut record = Encoder::new();
        encode_record(Codec::Raw, plain.len(), &[], plain, &mut record);
        let encoded =
            EncodedChunk { form: ChunkForm::Record, bytes: &record.bytes, plain: &[], bases: &[], lists: &[] };
        pack.append(ChunkId::of(plain), plain.len() as u32, &encoded).unwrap();
        pack.finish().map(|pack| write_segment(&backend, name, &[pack.summary]))
    };
    let segment = write(b"first").unwrap().unwrap();
    assert!(matches!(write(b"second"), Err(Error::Exists { what: "pack", .. })));
    assert!(matches!(write_segment(&backend, name, &[]), Err(Error::Exists { what: "segment", .. })));
    let [pack] = &read_segment(&backend, &segment).unwrap()[..] else { panic!("one pack was published") };
    assert_eq!(read_footer_of(&backend, pack).unwrap().entries[0].id, ChunkId::of(b"first"));
}

#[test]
fn one_pack_that_cannot_be_read_costs_only_what_it_holds() {
    let place = TestRepository::new();
    let source = source_with_data(&place);
    let first = place.ingest(&source, "lake");
    let other = place.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), support::noise(3, 50_000)).unwrap();
    let second = place.ingest(&other, "other");
    // A folder in the place of a file fails as a bad disk does: with an error that says nothing of damage.
    let lost = &packs(&place)[0];
    fs::remove_file(lost).unwrap();
    fs::create_dir(lost).unwrap();
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    let (repository, _) = reopen(&place);
    let repository = repository.unwrap();
    assert_eq!(read_file(&repository, &second.snapshot, b"file").unwrap(), support::noise(3, 50_000));
    assert!(read_file(&repository, &first.snapshot, b"data").is_err());
}

fn yesterfs(place: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yesterfs"))
        .current_dir(place)
        .args(["--repo", "repo"])
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn check_says_how_to_mend_what_is_lost_and_that_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::create_dir(place.join("source")).unwrap();
    fs::write(place.join("source/data"), support::noise(1, 300_000)).unwrap();
    assert!(yesterfs(place, &["init"]).status.success());
    assert!(yesterfs(place, &["ingest", "dir", "source", "--source", "lake"]).status.success());
    let mut packs: Vec<PathBuf> = fs::read_dir(place.join("repo/packs"))
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect();
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    let lost = packs.pop().unwrap();
    fs::remove_file(&lost).unwrap();
    let check = || {
        let checked = yesterfs(place, &["check", "--read-data"]);
        assert_eq!(checked.status.code(), Some(4), "{checked:?}");
        String::from_utf8(checked.stdout).unwrap()
    };
    let damaged = check();
    assert!(damaged.contains(":/data: ") && damaged.contains("ingest the sources again"), "{damaged}");
    assert!(damaged.contains("--reread"), "{damaged}");
    assert!(yesterfs(place, &["ingest", "dir", "source", "--source", "lake", "--reread"]).status.success());
    let mended = check();
    let name = lost.file_name().unwrap().to_str().unwrap();
    assert!(!mended.contains(":/") && mended.contains(&format!("pack {name}: it is missing")), "{mended}");
    let first = yesterfs(place, &["cat", "lake@latest~1:/data"]);
    assert!(first.stdout == support::noise(1, 300_000), "what is stored again serves the old snapshot too");
}

#[test]
fn a_partial_snapshot_deletes_nothing_unless_told_twice() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::create_dir_all(place.join("source")).unwrap();
    fs::write(place.join("source/kept"), "kept").unwrap();
    // A socket path longer than any name would be, a file that only ever changes, ...: here a file whose reading fails.
    fs::write(place.join("source/mem"), "").unwrap();
    assert!(yesterfs(place, &["init"]).status.success());
    let bound =
        Command::new("mount").args(["--bind", "/proc/self/mem"]).arg(place.join("source/mem")).status().unwrap();
    assert!(bound.success(), "this test needs root, to put an unreadable file into a directory");
    let ingested = yesterfs(place, &["ingest", "dir", "source", "--source", "lake"]);
    assert!(Command::new("umount").arg(place.join("source/mem")).status().unwrap().success());
    assert_eq!(ingested.status.code(), Some(3), "{}", String::from_utf8_lossy(&ingested.stderr));

    let restore = ["restore", "lake", "--to", "source", "--delete"];
    let refused = yesterfs(place, &restore);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("partial"), "{refused:?}");
    assert!(place.join("source/mem").exists());
    let told_twice = yesterfs(place, &[&restore[..], &["--delete-unread"]].concat());
    assert!(told_twice.status.success(), "{told_twice:?}");
    assert!(!place.join("source/mem").exists());
}

#[test]
fn an_empty_expectation_verifies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert!(yesterfs(directory.path(), &["init"]).status.success());
    let words = ["ingest", "stream", "--source", "s", "--name", "n", "--expect-end", " ", "--", "echo", "abc"];
    let refused = yesterfs(directory.path(), &words);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn standard_input_that_ends_otherwise_than_told_is_told() {
    let directory = tempfile::tempdir().unwrap();
    assert!(yesterfs(directory.path(), &["init"]).status.success());
    let words = "--repo repo ingest stream --source s --name n --expect-end 'Dump completed'";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("printf half | {} {words}", env!("CARGO_BIN_EXE_yesterfs")));
    let ended = shell.current_dir(directory.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("may be cut short"), "{ended:?}");
    let listed = yesterfs(directory.path(), &["snapshots", "--json"]).stdout;
    assert!(String::from_utf8_lossy(&listed).contains("unverified"));
}

#[test]
fn snapshots_to_forget_are_named_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    assert!(yesterfs(place, &["init"]).status.success());
    assert!(
        yesterfs(place, &["ingest", "stream", "--source", "s", "--name", "n", "--", "echo", "abc"]).status.success()
    );
    for vague in ["s", "s@now", "s@2100-01-01"] {
        assert_eq!(yesterfs(place, &["forget", vague]).status.code(), Some(2), "{vague}");
    }
    assert!(yesterfs(place, &["forget", "s@latest"]).status.success());
    assert_eq!(yesterfs(place, &["snapshots", "s"]).status.code(), Some(2), "a source without snapshots is not known");
}

#[test]
fn a_dump_that_breaks_off_in_a_pipeline_is_no_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    assert!(Path::new("/bin/bash").exists(), "install bash");
    fs::write(place.join("dump"), "#!/bin/sh\necho half; exit 3\n").unwrap();
    fs::set_permissions(place.join("dump"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(yesterfs(place, &["init"]).status.success());
    let failed = yesterfs(place, &["ingest", "stream", "--source", "s", "--stream", "n=./dump | cat"]);
    assert_eq!(failed.status.code(), Some(6), "{failed:?}");
    assert_eq!(yesterfs(place, &["snapshots", "--json"]).stdout, b"");
}

#[test]
fn stores_through_a_mapping_are_seen_though_no_time_tells() {
    // What the page cache holds dirty may change without a new ctime: a file that changed just now is read again.
    let place = TestRepository::new();
    let source = source_with_data(&place);
    let file = fs::File::options().read(true).write(true).open(source.join("data")).unwrap();
    // SAFETY: a shared mapping of a file that stays open and is not shortened; the one store below is inside of it.
    let map = unsafe {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let map = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, std::os::fd::AsRawFd::as_raw_fd(&file), 0);
        assert_ne!(map, libc::MAP_FAILED);
        map.cast::<u8>()
    };
    let real_clock = || yesterfs::time::Timestamp::from_system(std::time::SystemTime::now());
    let ingest = |place: &TestRepository| {
        let options = support::repository::directory_options(&source, "lake");
        let recorder = Recorder::default();
        let ingested =
            yesterfs::ingest::directory::ingest_directory(&place.repository, &options, &real_clock, &recorder).unwrap();
        read_file(&place.repository, &ingested.snapshot, b"data").unwrap()[0]
    };
    for value in [b'A', b'B', b'C'] {
        // SAFETY: `map` points at 4096 writable bytes.
        unsafe { map.write_volatile(value) };
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(ingest(&place), value);
    }
    // SAFETY: the mapping made above, of this length, used no more.
    unsafe { libc::munmap(map.cast(), 4096) };
}
