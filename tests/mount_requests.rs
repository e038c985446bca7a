//! What the kernel asks the daemon while programs work: counts, which do not depend on how busy the machine is.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use support::mounted::{Stage, drop_caches, errno, need, need_root, run, within};
use support::noise;
use yesterfs::id::ChunkId;
use yesterfs::repository::content::ContentBody;

const DIRECTORIES: u64 = 6;
const FILES: u64 = 500;

/// Small files in a few directories; some are too large to be pushed, some are empty, some no files.
fn make_small_files(root: &Path) {
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("directory-{directory}"));
        fs::create_dir(&directory).unwrap();
        for number in 0..FILES {
            let size = if number % 100 == 50 { 200_000 } else { (number * 37 % 9000) as usize };
            fs::write(directory.join(format!("file-{number:04}")), noise(number + 1, size)).unwrap();
        }
        std::os::unix::fs::symlink("file-0001", directory.join("file-0001-link")).unwrap();
        fs::hard_link(directory.join("file-0002"), directory.join("file-0400-again")).unwrap();
    }
}

/// Reads everything in order, as a backup does; a pipe, since to /dev/null GNU tar reads nothing.
fn tar(directory: &Path) {
    let mut tar = Command::new("tar").arg("-cC").arg(directory).arg(".").stdout(Stdio::piped()).spawn().unwrap();
    let read = std::io::copy(&mut tar.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(tar.wait().unwrap().success() && read > 1 << 20);
}

fn stage_of_small_files() -> (Stage, std::path::PathBuf) {
    need(&[("tar", "tar")]);
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    make_small_files(&source);
    stage.ingest(&source, "lake");
    (stage, source)
}

fn assert_no_storm(counts: &BTreeMap<String, u64>) {
    let directories = DIRECTORIES + 1;
    assert!(counts["lookup"] <= directories + 4, "{counts:?}");
    assert!(counts["getattr"] <= directories + 4, "{counts:?}");
    // Asked once whether directories must be opened; each is listed in one request, and then another for the end.
    assert!(counts["opendir"] <= 1 && counts["readdir"] <= 2 * directories + 4, "{counts:?}");
    // Asked once whether files must be opened.
    assert!(counts["open"] <= 1, "{counts:?}");
    // The one that asked for the counts.
    assert_eq!(counts["getxattr"] + counts["listxattr"] + counts["lseek"], 1, "{counts:?}");
}

/// Whoever counts on what the kernel has holds this to read, whoever takes it all from the kernel to write.
static KERNEL_CACHES: RwLock<()> = RwLock::new(());

#[test]
fn tar_of_small_files_asks_for_no_more_than_their_bytes_and_for_those_once() {
    let (stage, _) = stage_of_small_files();
    let _kept = KERNEL_CACHES.read().unwrap_or_else(PoisonError::into_inner);
    let mount = stage.mount();
    let root = mount.latest("lake");
    let ((), counts) = mount.counted(|| tar(&root));
    assert_no_storm(&counts);
    let files = FILES * DIRECTORIES;
    // A large file takes a request for its first pages and one for the rest.
    assert!(counts["read"] <= files + files / 20, "{counts:?}");
    // Few or many, as the processors are free.
    assert!(counts["pushed"] > 0, "{counts:?}");
    let ((), counts) = mount.counted(|| tar(&root));
    assert_no_storm(&counts);
    let asked = counts["read"] + counts["opendir"] + counts["readdir"];
    assert_eq!(asked, 0, "the second time the kernel has all: {counts:?}");
}

#[test]
fn programs_that_look_at_every_file_ask_for_directories_only() {
    need(&[("rsync", "rsync")]);
    let (stage, source) = stage_of_small_files();
    let _kept = KERNEL_CACHES.read().unwrap_or_else(PoisonError::into_inner);
    for (program, arguments) in
        [("find", &["-size", "+3k"][..]), ("ls", &["-lR"]), ("du", &["-a"]), ("rsync", &["-n", "-a"])]
    {
        let mount = stage.mount();
        let root = mount.latest("lake");
        let mut command = Command::new(program);
        match program {
            "find" => command.arg(&root).args(arguments),
            "rsync" => command.args(arguments).arg(root.join("")).arg(source.join("")),
            _ => command.args(arguments).arg(&root),
        };
        let (printed, counts) = mount.counted(|| command.output().unwrap());
        assert!(printed.status.success(), "{program}: {printed:?}");
        let directories = DIRECTORIES + 1;
        let of_directories = counts["lookup"] + counts["getattr"] + counts["opendir"] + counts["readdir"];
        assert!(of_directories <= 5 * directories, "{program}: {counts:?}");
        let of_files = counts["open"] + counts["read"] + counts["readlink"] + counts["pushed"];
        assert!(
            of_files <= if program == "ls" || program == "rsync" { DIRECTORIES } else { 0 },
            "{program}: {counts:?}"
        );
        // Of attributes, some ask once whether there are any.
        assert!(counts["getxattr"] + counts["listxattr"] <= 4, "{program}: {counts:?}");
        mount.unmount();
    }
}

#[test]
fn a_reader_that_takes_its_time_finds_small_files_pushed() {
    let (stage, _) = stage_of_small_files();
    let _kept = KERNEL_CACHES.read().unwrap_or_else(PoisonError::into_inner);
    let mount = stage.mount();
    let directory = mount.latest("lake").join("directory-2");
    let read = |numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| drop(fs::read(directory.join(format!("file-{number:04}"))).unwrap()));
    };
    // The kernel takes bytes of files that it knows, as it does of those of a directory that was listed.
    assert!(fs::read_dir(&directory).unwrap().count() as u64 > FILES);
    let ((), counts) = mount.counted(|| {
        // Four in their order are enough, but the loops that answer may tell of them in another one.
        read(1..12);
        // A window of 64 but for those that the reader was left, and one that is too large.
        within(Duration::from_secs(20), "files are pushed", || mount.counts()["pushed"] >= 40);
        read(12..50);
    });
    assert!(counts["read"] <= 11 + 8, "{counts:?}");
}

#[test]
fn reads_at_random_ask_for_no_more_than_what_they_read() {
    let (stage, source) = (Stage::new(), noise(5, 8 << 20));
    let directory = stage.make_directory("source");
    fs::write(directory.join("file"), &source).unwrap();
    stage.ingest(&directory, "lake");
    let _kept = KERNEL_CACHES.read().unwrap_or_else(PoisonError::into_inner);
    let mount = stage.mount();
    let file = fs::File::open(mount.latest("lake").join("file")).unwrap();
    const READS: u64 = 200;
    let ((), counts) = mount.counted(|| {
        for number in 0..READS {
            let (offset, mut bytes) = (number * 7919 % 2048 * 4096, [0; 4096]);
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, offset).unwrap();
            assert!(bytes == source[offset as usize..][..4096]);
        }
    });
    assert!(counts["read"] <= READS && counts["lookup"] <= 3 && counts["getattr"] <= 2, "{counts:?}");
    // A chunk is 16 KiB or so, and none is decoded twice.
    assert!(counts["decoded"] <= READS + 20, "{counts:?}");
}

#[test]
fn what_was_pushed_is_what_was_ingested() {
    let (stage, source) = stage_of_small_files();
    let mount = stage.mount();
    let root = mount.latest("lake");
    for round in 0..4 {
        if round % 2 == 1 {
            let _none_kept = KERNEL_CACHES.write().unwrap_or_else(PoisonError::into_inner);
            drop_caches();
        }
        // Reads in order and compares, while files are pushed ahead of it.
        run(Command::new("diff").arg("-r").arg("--no-dereference").arg(&source).arg(&root));
    }
    assert!(mount.counts()["pushed"] > 0);
    mount.unmount();
}

#[test]
fn readers_in_every_order_get_the_right_files_while_some_are_pushed() {
    let (stage, source) = stage_of_small_files();
    let mount = stage.mount();
    let root = mount.latest("lake");
    std::thread::scope(|scope| {
        for reader in 0..6u64 {
            let (source, root) = (&source, &root);
            scope.spawn(move || {
                let step = [1, 1, 3, 7, FILES - 1, 251][reader as usize];
                for at in 0..FILES {
                    let name = format!("directory-{}/file-{:04}", reader % 3, at * step % FILES);
                    assert!(fs::read(root.join(&name)).unwrap() == fs::read(source.join(&name)).unwrap(), "{name}");
                }
            });
        }
    });
}

/// The chunks of `file` in the newest snapshot.
fn chunks_of_file(stage: &Stage) -> BTreeSet<ChunkId> {
    let (repository, content) = (stage.open(), stage.content_of(b"file"));
    let extents = repository.contents().unwrap().extents_from(&content, 0);
    extents.map(|placed| placed.unwrap().extent.chunk().unwrap()).collect()
}

/// What it costs to read `file` from a new mount with a small cache, in MiB: what was read ahead must stay in it until the
/// reader comes.
fn counts_of_reading(stage: &Stage, bytes: &[u8]) -> BTreeMap<String, u64> {
    let _kept = KERNEL_CACHES.read().unwrap_or_else(PoisonError::into_inner);
    let mount = stage.mount_with("mount", &["--cache", "16"]);
    let root = mount.latest("lake");
    let (read, counts) = mount.counted(|| fs::read(root.join("file")).unwrap());
    assert!(read == bytes);
    // What was begun ahead of the reader may end behind it.
    let mut decoded = None;
    within(Duration::from_secs(20), "reading ahead ends", || {
        std::thread::sleep(Duration::from_millis(200));
        let before = decoded.replace(mount.counts()["decoded"]);
        before == decoded
    });
    // Somebody else on the machine may have the kernel drop its caches meanwhile.
    let mut again = (0..3).map(|_| mount.counted(|| fs::read(root.join("file")).unwrap()).1);
    let is_free = again.any(|counts| (counts["read"], counts["decoded"]) == (0, 0));
    assert!(is_free, "the kernel does not keep what was read");
    mount.unmount();
    counts
}

/// All of them once; besides, pages of the trees, and what leaves the cache too soon, on a busy machine before its reader
/// comes, or lies where two threads meet.
fn is_about(chunks: u64, counted: u64) -> bool {
    (chunks..chunks + chunks / 4).contains(&counted)
}

/// Text, so that it is cut small: 16 KiB a chunk on average.
fn long_text(seed: u64) -> Vec<u8> {
    noise(seed, 40 << 20).into_iter().map(|byte| b'a' + byte % 16).collect()
}

#[test]
fn a_file_read_in_sequence_has_each_chunk_decoded_once_and_is_asked_for_once() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let bytes = long_text(5);
    fs::write(source.join("file"), &bytes).unwrap();
    stage.ingest(&source, "lake");
    let chunks = chunks_of_file(&stage).len() as u64;
    let counts = counts_of_reading(&stage, &bytes);
    assert!(is_about(chunks, counts["decoded"]), "{chunks} chunks: {counts:?}");
    assert_eq!(counts["records"], counts["decoded"]);
    assert!(counts["calls"] < chunks / 4, "{chunks} chunks: {counts:?}");
}

#[test]
fn deltas_read_in_sequence_have_their_bases_decoded_about_once() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let mut bytes = long_text(6);
    let mut chunks = BTreeSet::new();
    for version in [b'x', b'y'] {
        bytes.iter_mut().step_by(5000).for_each(|byte| *byte = version);
        fs::write(source.join("file"), &bytes).unwrap();
        stage.ingest(&source, "lake");
        chunks.extend(chunks_of_file(&stage));
    }
    let (of_both, of_newest) = (chunks.len() as u64, chunks_of_file(&stage).len() as u64);
    assert!(of_both > of_newest * 3 / 2, "most are new in the second version: {of_newest} of {of_both}");
    let counts = counts_of_reading(&stage, &bytes);
    assert!(is_about(of_newest, counts["decoded"]), "{of_newest} chunks: {counts:?}");
    assert!(counts["records"] <= of_both + of_both / 4, "{of_both} chunks: {counts:?}");
    assert!(counts["calls"] < of_both / 4, "{of_both} chunks: {counts:?}");
}

#[test]
fn a_damaged_file_among_pushed_ones_is_eio_and_the_others_are_right() {
    let (stage, source) = stage_of_small_files();
    let content = stage.content_of(b"directory-1/file-0199");
    let ContentBody::Extents(extents) = &content.body else { panic!("a file of few chunks: {content:?}") };
    stage.damage_chunk(&extents[0].chunk().unwrap());
    let mount = stage.mount();
    let root = mount.latest("lake");
    for number in 0..FILES {
        let name = format!("directory-1/file-{number:04}");
        let read = fs::read(root.join(&name));
        match number {
            199 => assert_eq!(errno(read), Some(rustix::io::Errno::IO)),
            _ => assert!(read.unwrap() == fs::read(source.join(&name)).unwrap(), "{name}"),
        }
    }
    assert!(mount.counts()["pushed"] > 0);
}

#[test]
fn a_mount_ends_while_files_are_pushed() {
    let (stage, _) = stage_of_small_files();
    let mount = stage.mount();
    let root = mount.latest("lake");
    let mut tar = Command::new("tar").arg("-cC").arg(&root).arg(".").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = tar.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    within(std::time::Duration::from_secs(20), "something is pushed", || mount.counts()["pushed"] > 0);
    run(Command::new(env!("CARGO_BIN_EXE_yesterfs")).args(["umount", "--lazy"]).arg(mount.point()));
    let _ = (tar.wait(), reader.join());
}
