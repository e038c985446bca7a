//! `docs/format.md` is normative: a reader written from it alone reads what the library wrote, old repositories open for
//! ever, and those of the future are refused politely.

#[path = "format/listing.rs"]
mod listing;
#[path = "format/reader.rs"]
mod reader;
mod support;

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use listing::{assert_same, of_directory, of_library, text_of};
use reader::{Reader, hash, hex, reseal};
use support::dumped::{options, reader as dump_reader};
use support::repository::{TestRepository, directory_options, now, open};
use yesterfs::codec::FORMAT_VERSION;
use yesterfs::id::SnapshotId;
use yesterfs::ingest::directory::ingest_directory;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::progress::Recorder;
use yesterfs::repository::drill::{Drill, DrillEnd, FailedDrill};
use yesterfs::repository::node::RootPage;
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::compress::Compression;
use yesterfs::time::Timestamp;
use yesterfs::{Error, ErrorKind};

/// Lines as a dump has them: alike, but no two the same.
fn dump(lines: usize) -> Vec<u8> {
    let line =
        |n| format!("INSERT INTO `orders` VALUES ({n},'2026-11-{:02}','paid',{},NULL);\n", n % 30 + 1, n * 7919 % 9973);
    (0..lines).map(line).collect::<String>().into_bytes()
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

/// Gives everything below `directory`, and itself, times that no clock gives by chance; some lie before 1970.
fn set_times(directory: &Path, count: &mut u32) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            set_times(&path, count);
        } else if kind.is_file() {
            set_time(&path, count);
        }
    }
    set_time(directory, count);
}

fn set_time(path: &Path, count: &mut u32) {
    *count += 1;
    let distance = Duration::new(u64::from(*count) * 86_399, *count);
    let time =
        if count.is_multiple_of(3) { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance };
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// A little of everything, and enough of some things for trees of several levels.
fn make_tree(root: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(root.join(name), bytes).unwrap();
    fs::create_dir_all(root.join("many/deeper/still")).unwrap();
    fs::create_dir(root.join("empty directory")).unwrap();
    write("empty", b"");
    write("inline", &[7; 256]);
    write("no longer inline", &[7; 257]);
    write("dump.sql", &dump(90_000));
    write("binary", &[&[0; 100], &support::noise(1, 3 << 20)[..]].concat());
    write("all zeros, but written", &vec![0; 400_000]);
    write("many/deeper/still/last", b"leaf");
    for number in 0..3000 {
        write(&format!("many/entry-{number}"), format!("{number}\n").repeat(number % 50).as_bytes());
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(6 << 20).unwrap();
    sparse.write_all_at(&support::noise(2, 100_000), 2 << 20).unwrap();
    sparse.write_all_at(&support::noise(3, 65_536), (6 << 20) - 65_536).unwrap();
    symlink("../somewhere else", root.join("symlink")).unwrap();
    write("a.first name", b"a file with three names");
    for name in ["a", "many/deeper/z", "many/entry-0x"] {
        fs::hard_link(root.join("a.first name"), root.join(name)).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(b"not UTF-8: \xff\xfe")), b"x").unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    set_xattr(&root.join("inline"), "user.few", b"in the node");
    set_xattr(&root.join("many"), "user.on-a-directory", b"");
    for number in 0..5 {
        set_xattr(&root.join("empty"), &format!("user.many-{number}"), &[b'0' + number; 300]);
    }
    fs::set_permissions(root.join("dump.sql"), fs::Permissions::from_mode(0o4711)).unwrap();
    set_times(root, &mut 0);
}

#[test]
fn a_reader_written_from_the_document_reads_what_the_library_wrote() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source);
    support::wait_until_settled();
    let oldest = place.ingest(&source, "lake").snapshot.id;
    let first = text_of(&of_directory(&source));

    // A second snapshot that changes a little and is compressed otherwise, tags, and a snapshot that is forgotten.
    fs::write(source.join("many/entry-1500"), b"changed").unwrap();
    fs::remove_file(source.join("many/entry-7")).unwrap();
    fs::write(source.join("many/between"), b"new").unwrap();
    let mut changed = dump(90_000);
    changed.splice(1_000_000..1_000_000, *b"inserted");
    fs::write(source.join("dump.sql"), &changed).unwrap();
    place.repository.change_compression(Compression::Zstd { level: 5 }, now()).unwrap();
    let second = place.ingest(&source, "lake");
    let id = second.snapshot.id;
    let (add, remove) = (["kept".to_string(), "both".into()], ["both".to_string()]);
    place.repository.change_tags(id, &add, &[], now()).unwrap();
    place.repository.change_tags(id, &[], &remove, now()).unwrap();
    place.repository.record_failed_drill(oldest, &failed_drill()).unwrap();
    place.repository.record_drill(id, &drill(3)).unwrap();
    place.repository.record_failed_drill(id, &failed_drill()).unwrap();
    place.repository.record_drill(id, &drill(0)).unwrap();
    let forgotten = place.ingest(&source.join("many/deeper"), "other").snapshot.id;
    place.repository.record_drill(forgotten, &drill(2)).unwrap();
    place.repository.forget(&[forgotten], "a test", now()).unwrap();
    fail_to_ingest(&place.repository);

    let reader = Reader::open(&place.path("repo"));
    assert_eq!(reader.changes, [1, 3, 6, 1, 3, 5, 5, 8, 7, 8, 7, 1, 3, 7, 4, 1, 2]);
    let [one, two] = &reader.snapshots[..] else { panic!("{} snapshots", reader.snapshots.len()) };
    assert_same(&text_of(&reader.list(one)), &first, "the first snapshot and its source");
    assert_same(&text_of(&reader.list(two)), &text_of(&of_directory(&source)), "the second snapshot and its source");
    assert_eq!((two.id, &two.source[..], two.status), (id.0, "lake", b'c'));
    assert!(two.tags.iter().eq(["kept"]), "{:?}", two.tags);
    assert_eq!((one.drill.as_ref().unwrap().1, two.drill.as_ref().unwrap().1), (None, Some(0)));
    assert_eq!(last_drill(&place, oldest), Some(DrillEnd::Failed(failed_drill())));
    assert_eq!(last_drill(&place, id), Some(DrillEnd::Compared(drill(0))), "the last drill counts");
}

/// How the last drill of a snapshot ended, as somebody else reads it.
fn last_drill(place: &TestRepository, id: SnapshotId) -> Option<DrillEnd> {
    place.reopen().unwrap().catalog().by_id(&id).unwrap().drill.clone()
}

/// A server that did not take the dump.
fn failed_drill() -> FailedDrill {
    FailedDrill::new(Timestamp { seconds: -1, nanos: 7 }, "\"mariadb\" failed loading shop: full".into())
}

/// What a drill found.
fn drill(tables_different: u64) -> Drill {
    let time = Timestamp { seconds: 1_800_000_000, nanos: 5 };
    Drill { time, server: "10.11.19-MariaDB".into(), tables: 12, rows: 1_234_567, tables_different }
}

/// An ingest that makes no snapshot, but publishes what it stored.
fn fail_to_ingest(repository: &Repository) {
    let line = "yes 'more bytes than are kept in a node' | head -n 100; exit 1".to_string();
    let streams = vec![StreamSpec { name: "dump.sql".into(), input: StreamInput::Shell(line) }];
    let common = directory_options(Path::new(""), "shop").common;
    let options = StreamOptions { common, streams, expect_end: None, threads: 2 };
    let error = ingest_streams(repository, options, &now, &Recorder::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Command);
}

#[test]
fn a_checkpoint_says_what_the_records_say() {
    let place = small_repository();
    let id = place.repository.find("lake", now()).unwrap().id;
    place.repository.change_compression(Compression::Zstd { level: 19 }, now()).unwrap();
    // That, opening the session and adding the snapshot were three records; the drills are two.
    place.repository.record_drill(id, &drill(1)).unwrap();
    place.repository.record_failed_drill(id, &failed_drill()).unwrap();
    for number in 0..251 {
        let add = [format!("tag-{}", number % 7)];
        place.repository.change_tags(id, &add, &[format!("tag-{}", number % 5)], now()).unwrap();
    }
    let reader = Reader::open(&place.path("repo"));
    assert_eq!((reader.changes.len(), &reader.compression[..]), (256, &[3, 19][..]));
    reader.check_checkpoint();
    assert_eq!(last_drill(&place, id), Some(DrillEnd::Failed(failed_drill())), "a checkpoint tells of it too");
    // The same where the last one was compared.
    place.repository.record_drill(id, &drill(1)).unwrap();
    for _ in 0..255 {
        place.repository.change_compression(Compression::Lz4, now()).unwrap();
    }
    Reader::open(&place.path("repo")).check_checkpoint();
    assert_eq!(last_drill(&place, id), Some(DrillEnd::Compared(drill(1))));
}

#[test]
fn only_snapshots_that_exist_go_through_drills() {
    let place = small_repository();
    let id = place.repository.find("lake", now()).unwrap().id;
    place.repository.forget(&[id], "a test", now()).unwrap();
    let error = place.repository.record_drill(id, &drill(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = place.repository.record_failed_drill(id, &failed_drill()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_snapshot_of_nothing_is_read() {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    place.ingest(&source, "nothing");
    let reader = Reader::open(&place.path("repo"));
    assert_same(&text_of(&reader.list(&reader.snapshots[0])), &text_of(&of_directory(&source)), "an empty directory");
}

#[test]
fn directories_of_a_dump_stand_in_their_nodes_as_the_document_says() {
    let place = TestRepository::new();
    let table = |number: u32| {
        format!(
            "--\n-- Table structure for table `t{number}`\n--\n\nCREATE TABLE `t{number}` (id INT);\nINSERT INTO `t{number}` VALUES ({number});\n"
        )
    };
    let tables: String = (0..500).map(table).collect();
    let dump = format!("-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n{tables}-- Dump completed\n").into_bytes();
    let made = ingest_mysql(&place.repository, options(dump_reader(&dump)), &now, &Recorder::default()).unwrap();
    let reader = Reader::open(&place.path("repo"));
    let expected = of_library(&place.repository, &made.snapshot);
    assert!(expected.len() > 3 * 500);
    assert_same(&text_of(&reader.list(&reader.snapshots[0])), &text_of(&expected), "a dump of many tables");
    let tree = place.repository.tree().unwrap();
    let table = tree.lookup_path(&made.snapshot.manifest.root, b"fallback/tables/t7").unwrap().unwrap();
    assert!(matches!(table.directory().unwrap().page, Some(RootPage::Inline(_))), "it has no page of its own");
}

/// A repository with one snapshot, of a file in one data pack and a directory in one pack of pages.
fn small_repository() -> TestRepository {
    let place = TestRepository::new();
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), dump(300)).unwrap();
    place.ingest(&source, "lake");
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    place
}

/// The objects in a folder of a repository, in order.
fn objects(repository: &Path, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// What a frame says if `version` and the features are these.
fn with_header(file: &[u8], version: u16, read_features: u32) -> Vec<u8> {
    reseal(file, |frame| {
        frame[8..10].copy_from_slice(&version.to_le_bytes());
        frame[10..14].copy_from_slice(&read_features.to_le_bytes());
    })
}

fn rewrite(path: &Path, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let changed = change(&fs::read(path).unwrap());
    fs::write(path, changed).unwrap();
}

/// Replaces the one place where `old` stands.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let at: Vec<usize> = (0..=bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert_eq!(at.len(), 1);
    bytes[at[0]..at[0] + old.len()].copy_from_slice(new);
}

/// Opens the repository and reads a chunk, as any command would.
fn use_repository(place: &TestRepository) -> Result<(), Error> {
    let repository = place.reopen()?;
    let snapshot = repository.find("lake", now())?;
    repository.tree()?.lookup_path(&snapshot.manifest.root, b"file").map(|_| ())
}

/// A refusal that calls nothing damaged and tells what to do.
#[track_caller]
fn assert_refused(error: &Error, object: &str) {
    let message = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{message}");
    assert!(message.contains(object) && message.contains("needs a newer yesterfs"), "{message}");
    assert!(!message.contains("damaged") && !message.contains("corrupt"), "{message}");
}

/// What a future version might have written into a frame: a greater version, or a feature that one must know to read it.
const FUTURES: [(u16, u32); 2] = [(FORMAT_VERSION + 1, 0), (FORMAT_VERSION, 1 << 31)];

#[test]
fn a_config_of_the_future_is_refused_politely() {
    for (version, features) in FUTURES {
        let place = small_repository();
        rewrite(&place.path("repo/config"), |file| with_header(file, version, features));
        assert_refused(&use_repository(&place).unwrap_err(), "config");
    }
}

#[test]
fn a_record_of_the_future_is_refused_politely() {
    for (version, features) in FUTURES {
        let place = small_repository();
        let last = objects(&place.path("repo"), "catalog").pop().unwrap();
        rewrite(&last, |file| with_header(file, version, features));
        assert_refused(&use_repository(&place).unwrap_err(), "catalog record 2");
    }
}

#[test]
fn a_segment_of_the_future_is_refused_politely() {
    for (version, features) in FUTURES {
        let place = small_repository();
        let segment = objects(&place.path("repo"), "segments").pop().unwrap();
        let old = hash(&fs::read(&segment).unwrap());
        rewrite(&segment, |file| with_header(file, version, features));
        let new = hash(&fs::read(&segment).unwrap());
        let last = objects(&place.path("repo"), "catalog").pop().unwrap();
        rewrite(&last, |file| reseal(file, |frame| replace(frame, &old, &new)));
        assert_refused(&use_repository(&place).unwrap_err(), "segment");
    }
}

#[test]
fn a_segment_that_is_another_one_is_damage() {
    let place = small_repository();
    let segment = objects(&place.path("repo"), "segments").pop().unwrap();
    let old = hash(&fs::read(&segment).unwrap());
    // Behind the frame's header stand its writer, of eight bytes, and its number.
    rewrite(&segment, |file| reseal(file, |frame| frame[18 + 8] += 1));
    let new = hash(&fs::read(&segment).unwrap());
    let last = objects(&place.path("repo"), "catalog").pop().unwrap();
    rewrite(&last, |file| reseal(file, |frame| replace(frame, &old, &new)));
    let options = yesterfs::check::CheckOptions { read_data: false, threads: 1 };
    let report = yesterfs::check::check(&place.reopen().unwrap(), options, &Recorder::default()).unwrap();
    assert!(report.damages.iter().any(|damage| damage.reason.contains("calls itself segment")), "{report:?}");
}

/// The same pack with another footer.
fn with_footer(pack: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (rest, trailer) = pack.split_at(pack.len() - 12);
    let frame_bytes = u32::from_le_bytes(trailer[..4].try_into().unwrap()) as usize;
    let (rest, footer) = rest.split_at(rest.len() - frame_bytes);
    [rest, &change(footer), trailer].concat()
}

#[test]
fn a_pack_of_the_future_is_refused_politely() {
    for (version, features) in FUTURES {
        let place = small_repository();
        for pack in objects(&place.path("repo"), "packs") {
            rewrite(&pack, |file| with_footer(file, |footer| with_header(footer, version, features)));
        }
        assert_refused(&use_repository(&place).unwrap_err(), "pack");
    }
}

/// The pack of a small repository that holds its data.
fn data_pack(place: &TestRepository) -> PathBuf {
    let mut packs = objects(&place.path("repo"), "packs").into_iter();
    packs.find(|pack| fs::read(pack).unwrap()[14] == b'd').unwrap()
}

/// The first record of a pack follows its header of 27 bytes; its first byte is the codec.
const FIRST_CODEC_AT: usize = 27;

fn read_the_file(place: &TestRepository) -> Result<Vec<u8>, Error> {
    let repository = place.reopen().unwrap();
    let snapshot = repository.find("lake", now()).unwrap();
    support::repository::read_file(&repository, &snapshot, b"file")
}

#[test]
fn a_chunk_of_an_unknown_codec_is_refused_politely_where_its_pack_announces_it_and_others_are_read() {
    for codec in [9, 99, 255] {
        let place = small_repository();
        rewrite(&data_pack(&place), |file| {
            let mut file = with_footer(file, with_write_feature);
            file[FIRST_CODEC_AT] = codec;
            file
        });
        use_repository(&place).unwrap();
        assert_refused(&read_the_file(&place).unwrap_err(), "chunk");
    }
}

#[test]
fn a_pack_that_announces_unknown_codecs_is_read_as_far_as_they_are_known() {
    let place = small_repository();
    let expected = read_the_file(&place).unwrap();
    for pack in objects(&place.path("repo"), "packs") {
        rewrite(&pack, |file| with_footer(file, with_write_feature));
    }
    assert_eq!(read_the_file(&place).unwrap(), expected);
    fs::remove_dir_all(place.path("repo/index")).unwrap();
    assert_eq!(read_the_file(&place).unwrap(), expected);
    let options = yesterfs::check::CheckOptions { read_data: true, threads: 1 };
    let report = yesterfs::check::check(&place.reopen().unwrap(), options, &Recorder::default()).unwrap();
    assert!(report.is_sound(), "{:?}", report.damages);
}

/// The same frame with a feature that one must know to write.
fn with_write_feature(file: &[u8]) -> Vec<u8> {
    reseal(file, |frame| frame[14] |= 2)
}

#[test]
fn unknown_features_of_writing_keep_writers_away_but_not_readers() {
    for (folder, object) in [("catalog", "catalog record 2"), ("config", "config")] {
        let place = small_repository();
        let path = place.path("repo").join(folder);
        let path = if path.is_dir() { objects(&place.path("repo"), folder).pop().unwrap() } else { path };
        rewrite(&path, with_write_feature);
        use_repository(&place).unwrap();
        let repository = place.reopen().unwrap();
        let snapshot = repository.find("lake", now()).unwrap().id;
        assert_refused(&repository.forget(&[snapshot], "", now()).unwrap_err(), object);
        assert!(repository.find("lake", now()).is_ok());
    }
}

#[test]
fn a_checkpoint_without_its_record_is_passed_over() {
    let place = small_repository();
    let id = place.repository.find("lake", now()).unwrap().id;
    for number in 0..254 {
        place.repository.change_tags(id, &[format!("tag-{number}")], &[], now()).unwrap();
    }
    assert_eq!(objects(&place.path("repo"), "checkpoints").len(), 1);
    // As a copy leaves it that was made in an unlucky order.
    for record in objects(&place.path("repo"), "catalog").split_off(100) {
        fs::remove_file(record).unwrap();
    }
    let repository = place.reopen().unwrap();
    assert_eq!(repository.catalog().sequence, 100);
    assert_eq!(repository.find("lake", now()).unwrap().tags.len(), 98);
}

#[test]
fn a_change_of_unknown_kind_is_passed_over_by_readers_unless_it_is_essential() {
    for (kind, is_essential) in [(9, false), (127, false), (128, true), (255, true)] {
        let place = small_repository();
        let last = objects(&place.path("repo"), "catalog").pop().unwrap();
        let file = fs::read(&last).unwrap();
        // A record of the same form, whose change is nothing but its kind and a byte.
        let next = reseal(&file, |frame| {
            frame.truncate(18);
            frame.extend(3u64.to_le_bytes());
            frame.extend(hash(&file));
            frame.extend([1; 8]);
            frame.extend([0, 0, kind, 99]);
        });
        fs::write(last.with_file_name(format!("{:020}", 3)), next).unwrap();
        if is_essential {
            assert_refused(&use_repository(&place).unwrap_err(), "catalog record 3");
            continue;
        }
        use_repository(&place).unwrap();
        let repository = place.reopen().unwrap();
        let snapshot = repository.find("lake", now()).unwrap().id;
        let refused = repository.change_tags(snapshot, &["x".into()], &[], now()).unwrap_err();
        assert_refused(&refused, "catalog record 3");
    }
}

/// Where the repositories of all format versions are kept.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Set to make the fixture of the present format version, where it is missing.
const WRITE_FIXTURE: &str = "YESTERFS_WRITE_FIXTURE";

#[test]
fn every_format_version_has_a_fixture() {
    let newest = fixtures().join(format!("repository-v{FORMAT_VERSION}"));
    if !newest.exists() && std::env::var_os(WRITE_FIXTURE).is_some() {
        write_fixture(&newest);
    }
    let mut found: Vec<String> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("repository-") && !name.ends_with(".tree"))
        .collect();
    found.sort();
    let expected: Vec<String> = (1..=FORMAT_VERSION).map(|version| format!("repository-v{version}")).collect();
    assert_eq!(found, expected, "make a missing one with {WRITE_FIXTURE}=1 cargo test --release --test format fixture");
}

#[test]
fn repositories_of_all_versions_open_and_read_as_ever() {
    for version in 1..=FORMAT_VERSION {
        let fixture = fixtures().join(format!("repository-v{version}"));
        let expected = fs::read_to_string(fixture.with_extension("tree")).unwrap();
        let copy = tempfile::tempdir().unwrap();
        let repository = copy.path().join("repo");
        copy_objects(&fixture, &repository);
        let before = contents_of(&repository);

        let options = OpenOptions {
            index_directory: copy.path().join("index"),
            cache_bytes: 1 << 20,
            index_cache_bytes: 1 << 20,
        };
        let backend = Arc::new(LocalBackend::new(&repository));
        let opened = Repository::open(backend, options, Arc::new(Recorder::default())).unwrap();
        let mut read = String::new();
        for snapshot in opened.catalog().snapshots() {
            read += &heading(&snapshot.id, snapshot.tags.iter());
            read += &text_of(&of_library(&opened, snapshot));
        }
        assert_same(&read, &expected, "the fixture as the library reads it, and as it was");
        assert_eq!(contents_of(&repository), before, "reading changed the repository");

        // The reader of this test knows the newest version only.
        if version == FORMAT_VERSION {
            let reader = Reader::open(&repository);
            let mut read = String::new();
            for snapshot in &reader.snapshots {
                read += &heading(&SnapshotId(snapshot.id), snapshot.tags.iter());
                read += &text_of(&reader.list(snapshot));
            }
            assert_same(&read, &expected, "the fixture as the document reads it, and as it was");
        }
    }
}

fn heading<'a>(id: &SnapshotId, tags: impl Iterator<Item = &'a String>) -> String {
    format!("snapshot {id} {:?}\n", tags.collect::<Vec<_>>())
}

fn copy_objects(from: &Path, to: &Path) {
    for object in objects(from, "") {
        let copy = to.join(object.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(object, copy).unwrap();
    }
}

fn contents_of(repository: &Path) -> Vec<(PathBuf, String)> {
    objects(repository, "").into_iter().map(|path| (path.clone(), hex(&hash(&fs::read(path).unwrap())))).collect()
}

/// One directory with everything that has a form of its own on disk, twice with a change between, tagged.
fn write_fixture(to: &Path) {
    let place = tempfile::tempdir().unwrap();
    // The paths in it must not tell where it was made.
    std::env::set_current_dir(place.path()).unwrap();
    let source = Path::new("lake");
    fs::create_dir_all(source.join("directory/empty")).unwrap();
    fs::write(source.join("inline"), b"a few bytes").unwrap();
    // Compresses well, and is cut into more chunks than a node lists.
    let line = |number: u32| format!("INSERT INTO `orders` VALUES ({},'paid',{});\n", number / 50, number / 50 * 7919);
    fs::write(source.join("dump.sql"), (0..4500).map(line).collect::<String>()).unwrap();
    symlink("dump.sql", source.join("symlink")).unwrap();
    fs::hard_link(source.join("inline"), source.join("directory/second name")).unwrap();
    set_xattr(&source.join("dump.sql"), "user.origin", b"shop");
    set_xattr(&source.join("directory"), "user.large", &[b'x'; 600]);
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.write_all_at(b"data between two holes", 1 << 20).unwrap();
    sparse.set_len(4 << 20).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, source.join("fifo"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    set_times(source, &mut 0);
    support::wait_until_settled();

    fs::create_dir("repo").unwrap();
    let backend = Arc::new(LocalBackend::new("repo"));
    Repository::init(backend.as_ref(), now()).unwrap();
    let repository = open(place.path(), backend, Arc::new(Recorder::default())).unwrap();
    let ingest = || {
        let recorder = Recorder::default();
        ingest_directory(&repository, &directory_options(source, "lake"), &now, &recorder).unwrap().snapshot
    };
    let mut text = String::new();
    let first = ingest();
    text += &heading(&first.id, first.tags.iter());
    text += &text_of(&of_directory(source));
    repository.change_compression(Compression::Zstd { level: 3 }, now()).unwrap();
    fs::write(source.join("inline"), b"changed").unwrap();
    fs::write(source.join("new.sql"), dump(300)).unwrap();
    // Stored as deltas: the chunks with changed rows, one of them by many, and the pages that tell of it.
    let changed = |number: u32| match number {
        2000 => "refunded\n".to_string(),
        4000 => String::from_utf8(dump(20)).unwrap(),
        _ => line(number),
    };
    fs::write(source.join("dump.sql"), (0..4500).map(changed).collect::<String>()).unwrap();
    let second = ingest();
    repository.change_tags(second.id, &["monthly".into()], &[], now()).unwrap();
    text += &heading(&second.id, ["monthly".to_string()].iter());
    text += &text_of(&of_directory(source));
    fail_to_ingest(&repository);
    let forgotten = ingest();
    repository.forget(&[forgotten.id], "for the fixture", now()).unwrap();

    fs::remove_dir_all("repo/index").unwrap();
    copy_objects(Path::new("repo"), to);
    fs::write(to.with_extension("tree"), text).unwrap();
}
