//! Bytes read from a mount are the bytes that were ingested: whatever asks for them, wherever it begins, with others
//! beside it; and where they were lost, exactly those fail.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::Advice;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use support::mounted::{Mount, Stage, drop_caches, errno, need, need_root, output_of, within};
use support::noise;
use yesterfs::repository::content::{ContentBody, ExtentSource};

const MIB: usize = 1 << 20;

/// Words for fio(1) that write, and that verify: there is a checksum in each block of 4096 bytes.
const PATTERN: [&str; 6] =
    ["--name=pattern", "--verify=crc32c", "--verify_interval=4096", "--verify_fatal=1", "--randrepeat=1", "--thread"];

/// Runs fio(1) on a file, and returns how many errors it met and what it said.
fn fio(directory: &Path, file: &Path, words: &[&str]) -> (String, String) {
    let mut command = Command::new("fio");
    command.args(PATTERN).arg(format!("--filename={}", file.display())).args(words);
    // Where verification fails it leaves files in its working directory.
    let output = output_of(command.args(["--minimal", "--terse-version=3"]).current_dir(directory));
    let (said, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let errors = said.lines().find_map(|line| line.split(';').nth(4));
    let errors = errors.unwrap_or_else(|| panic!("{words:?}: {said}{complaints}"));
    (errors.to_string(), format!("{said}{complaints}"))
}

#[test]
fn fio_verifies_a_pattern_from_the_mount() {
    need(&[("fio", "fio")]);
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let scratch = stage.make_directory("scratch");
    let write = ["--rw=write", "--bs=64k", "--size=48m", "--do_verify=0"];
    assert_eq!(fio(&scratch, &source.join("pattern"), &write).0, "0");
    let mut flipped = fs::read(source.join("pattern")).unwrap();
    flipped[30_000_000] ^= 1;
    fs::write(source.join("flipped"), flipped).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let root = mount.latest("lake");
    let verify = |words: &[&str]| {
        let (errors, said) = fio(&scratch, &root.join("pattern"), &[&["--readonly"], words].concat());
        assert_eq!(errors, "0", "{words:?}: {said}");
    };
    drop_caches();
    for engine in ["psync", "mmap"] {
        let engine = format!("--ioengine={engine}");
        verify(&["--rw=read", "--bs=4k", &engine]);
        verify(&["--rw=read", "--bs=128k", &engine]);
        verify(&["--rw=read", "--bs=1m", &engine]);
        drop_caches();
        verify(&["--rw=randread", "--bs=4k", "--io_size=8m", &engine]);
        verify(&["--rw=randread", "--bs=36k", "--io_size=24m", &engine]);
        verify(&["--rw=randread", "--bsrange=4k-512k", "--io_size=48m", "--randseed=7", &engine]);
        drop_caches();
        verify(&["--rw=randread", "--bs=16k", "--numjobs=4", "--io_size=8m", "--group_reporting", &engine]);
        verify(&["--rw=read", "--bs=256k", "--numjobs=4", "--group_reporting", &engine]);
    }
    for words in [
        &["--rw=read", "--bs=128k"][..],
        &["--rw=read", "--bs=2m"],
        &["--rw=read", "--bs=20k", "--offset=1036k"],
        &["--rw=randread", "--bs=4k", "--io_size=8m"],
        &["--rw=randread", "--bs=64k", "--numjobs=4", "--io_size=12m", "--group_reporting"],
        &["--rw=randread", "--bs=12k", "--ioengine=libaio", "--iodepth=16", "--io_size=12m"],
    ] {
        verify(&[&["--direct=1", "--ioengine=psync"], words].concat());
    }
    verify(&["--rw=read", "--bs=20k", "--offset=1036k", "--ioengine=psync"]);
    let (errors, said) = fio(&scratch, &root.join("flipped"), &["--readonly", "--rw=read", "--bs=64k"]);
    assert_ne!(errors, "0", "it cannot tell a wrong bit: {said}");
    assert_eq!(mount.log(), "");
}

/// A seeded stream of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * limit.max(1) as u128) >> 64;
        usize::try_from(high).unwrap()
    }
}

/// A file of the mount, and the bytes that it must have.
struct Subject {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Subject {
    fn range(&self, offset: usize, length: usize) -> &[u8] {
        let end = offset.saturating_add(length).min(self.bytes.len());
        &self.bytes[offset.min(end)..end]
    }
}

fn make_sources(directory: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let lines: String = (0..300_000u32)
        .map(|line| format!("({line},'{}','{}'),\n", line.wrapping_mul(2_654_435_761), line % 97))
        .collect();
    let mut holes = vec![0; 9 * MIB + 4321];
    let data = noise(11, 70_001);
    let file = File::create(directory.join("holes")).unwrap();
    file.set_len(holes.len() as u64).unwrap();
    for at in [0, 500_000, 3 * MIB + 17, 6 * MIB, holes.len() - 70_001] {
        file.write_all_at(&data, at as u64).unwrap();
        holes[at..at + data.len()].copy_from_slice(&data);
    }
    let whole = [
        ("noise", noise(1, 12 * MIB + 345)),
        ("text", lines.into_bytes()),
        ("zeros", vec![0; 3 * MIB + 1]),
        ("one-chunk", noise(2, 5000)),
        ("page", noise(3, 4096)),
        ("inline", noise(4, 255)),
        ("byte", vec![7]),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in &whole {
        fs::write(directory.join(name), bytes).unwrap();
    }
    whole.into_iter().chain([("holes", holes)]).collect()
}

#[test]
fn eight_readers_at_odd_offsets_by_every_call_get_the_right_bytes() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let sources = make_sources(&source);
    stage.ingest(&source, "lake");
    // Little cache, so that much is decoded again.
    for (name, options) in [("small", &["--cache", "4"][..]), ("usual", &[])] {
        let mount = stage.mount_with(name, options);
        let root = mount.latest("lake");
        let subjects: Vec<Subject> =
            sources.iter().map(|(name, bytes)| Subject { path: root.join(name), bytes: bytes.clone() }).collect();
        std::thread::scope(|scope| {
            for seed in 1..=8 {
                let subjects = &subjects;
                let scratch = stage.path(&format!("scratch-{seed}"));
                scope.spawn(move || read_at_random(seed, subjects, &scratch));
            }
        });
        assert_eq!(mount.log(), "");
    }
}

/// Reads of one reader.
const READS: usize = 1000;

fn read_at_random(seed: u64, subjects: &[Subject], scratch: &Path) {
    let mut random = Random(seed * 0x9e37_79b9_7f4a_7c15);
    for turn in 0..READS {
        let subject = &subjects[random.below(subjects.len())];
        let size = subject.bytes.len();
        // Often around the end, and beyond it.
        let offset = match random.below(4) {
            0 => size.saturating_sub(random.below(5000)),
            1 => size + random.below(3),
            _ => random.below(size),
        };
        let length = match random.below(3) {
            0 => 1 + random.below(100),
            1 => 1 + random.below(10_000),
            _ => 1 + random.below(700_000),
        };
        let expected = subject.range(offset, length);
        let calls: [(&str, Call); 6] = [
            ("pread", by_pread),
            ("pread past the cache", by_direct_pread),
            ("read", by_read),
            ("sendfile", by_sendfile),
            ("splice", by_splice),
            ("mmap", by_mmap),
        ];
        let (call, read) = calls[random.below(calls.len())];
        let found = read(subject, offset, length, scratch);
        let at = found.iter().zip(expected).position(|(a, b)| a != b);
        assert!(
            found == expected,
            "{call} of {length} at {offset} of {:?} ({size}), turn {turn} of reader {seed}: {} bytes, first wrong at {at:?}",
            subject.path.file_name().unwrap(),
            found.len()
        );
        if random.below(20) == 0 {
            forget_pages(&subject.path);
        }
    }
}

type Call = fn(&Subject, usize, usize, &Path) -> Vec<u8>;

fn forget_pages(path: &Path) {
    rustix::fs::fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
}

/// What pread(2) gives until it has all or nothing more comes.
fn pread_all(file: &File, offset: usize, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..], (offset + done) as u64)? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn by_pread(subject: &Subject, offset: usize, length: usize, _: &Path) -> Vec<u8> {
    pread_all(&File::open(&subject.path).unwrap(), offset, length).unwrap()
}

fn open_direct(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap()
}

fn by_direct_pread(subject: &Subject, offset: usize, length: usize, _: &Path) -> Vec<u8> {
    pread_all(&open_direct(&subject.path), offset, length).unwrap()
}

fn by_read(subject: &Subject, offset: usize, length: usize, _: &Path) -> Vec<u8> {
    let mut file = File::open(&subject.path).unwrap();
    file.seek(SeekFrom::Start(offset as u64)).unwrap();
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes).unwrap();
    bytes
}

fn by_sendfile(subject: &Subject, offset: usize, length: usize, scratch: &Path) -> Vec<u8> {
    let file = File::open(&subject.path).unwrap();
    let copy = File::create(scratch).unwrap();
    let mut at = offset as u64;
    let mut left = length;
    while left > 0 {
        match rustix::fs::sendfile(&copy, &file, Some(&mut at), left).unwrap() {
            0 => break,
            count => left -= count,
        }
    }
    fs::read(scratch).unwrap()
}

fn by_splice(subject: &Subject, offset: usize, length: usize, _: &Path) -> Vec<u8> {
    let file = File::open(&subject.path).unwrap();
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut reader = File::from(reader);
    let mut bytes = Vec::new();
    let mut at = offset as u64;
    while bytes.len() < length {
        let wanted = (length - bytes.len()).min(32 << 10);
        let count = rustix::pipe::splice(&file, Some(&mut at), &writer, None, wanted, SpliceFlags::empty()).unwrap();
        if count == 0 {
            break;
        }
        let start = bytes.len();
        bytes.resize(start + count, 0);
        reader.read_exact(&mut bytes[start..]).unwrap();
    }
    bytes
}

fn by_mmap(subject: &Subject, offset: usize, length: usize, _: &Path) -> Vec<u8> {
    let file = File::open(&subject.path).unwrap();
    let size = subject.bytes.len();
    let end = offset.saturating_add(length).min(size);
    if offset >= end {
        return Vec::new();
    }
    let page = rustix::param::page_size();
    let start = offset / page * page;
    let mapped = end - start;
    // SAFETY: a new mapping, which overlaps nothing; the result is checked.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            mapped,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            libc::off_t::try_from(start).unwrap(),
        )
    };
    assert_ne!(address, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    let whole_pages = mapped.next_multiple_of(page);
    // SAFETY: the mapping has whole pages, all of which lie below the end of the file or hold it.
    let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), whole_pages) };
    let found = bytes[offset - start..mapped].to_vec();
    if end == size {
        assert!(bytes[mapped..].iter().all(|byte| *byte == 0), "behind the end of a file a page has zeros");
    }
    // SAFETY: mapped above with this length, and `bytes` is not used any more.
    assert_eq!(unsafe { libc::munmap(address, mapped) }, 0);
    found
}

#[test]
fn reads_in_and_around_the_holes_of_a_terabyte_are_right() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let data = noise(5, 100_000);
    let places = [0u64, 3 << 30, (1 << 40) - 200_000];
    let file = File::create(source.join("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    places.iter().for_each(|&at| file.write_all_at(&data, at).unwrap());
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let huge = File::open(mount.latest("lake").join("huge")).unwrap();
    let mut random = Random(3);
    for turn in 0..300 {
        let at = match turn % 3 {
            0 => places[turn / 3 % 3] + random.below(90_000) as u64,
            1 => places[turn / 3 % 3].saturating_sub(random.below(9000) as u64),
            _ => (random.below(1 << 20) as u64) << 20,
        };
        let mut bytes = vec![1; 10_000];
        huge.read_exact_at(&mut bytes, at).unwrap();
        for (at, byte) in (at..).zip(&bytes) {
            let place = places.iter().find(|&&place| (place..place + 100_000).contains(&at));
            assert_eq!(*byte, place.map_or(0, |place| data[(at - place) as usize]), "byte {at}");
        }
    }
    assert_eq!(huge.read_at(&mut [1; 10], 1 << 40).unwrap(), 0);
    assert_eq!(huge.read_at(&mut [1; 10], (1 << 40) - 3).unwrap(), 3);
}

#[test]
fn many_readers_of_one_cold_file_get_the_same_and_its_packs_are_read_about_once() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let bytes = noise(9, 24 * MIB);
    fs::write(source.join("file"), &bytes).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let path = mount.latest("lake").join("file");
    let read_before = mount.bytes_read();
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (path, bytes) = (&path, &bytes);
            scope.spawn(move || {
                let mut file = File::open(path).unwrap();
                let mut piece = vec![0; 100_000 + reader];
                let mut at = 0;
                loop {
                    let count = file.read(&mut piece).unwrap();
                    if count == 0 {
                        break;
                    }
                    assert!(piece[..count] == bytes[at..at + count], "reader {reader} at {at}");
                    at += count;
                }
                assert_eq!(at, bytes.len());
            });
        }
    });
    let read_bytes = mount.bytes_read() - read_before;
    assert!(read_bytes < 2 * bytes.len() as u64, "{read_bytes} bytes were read of packs");
}

/// Where a damaged chunk's bytes are in a file.
struct Damaged {
    start: usize,
    end: usize,
}

/// Flips one byte in the middle of what is stored of the chunk that holds byte `at` of a file.
fn damage_file(stage: &Stage, path: &[u8], at: u64) -> Damaged {
    let (repository, content) = (stage.open(), stage.content_of(path));
    let placed = repository.contents().unwrap().extents_from(&content, at).next().unwrap().unwrap();
    let ExtentSource::Chunk { id, .. } = placed.extent.source else { panic!("a hole") };
    stage.damage_chunk(&id);
    let start = usize::try_from(placed.start).unwrap();
    let end = start + usize::try_from(placed.extent.length).unwrap();
    assert!((start..end).contains(&usize::try_from(at).unwrap()));
    Damaged { start, end }
}

fn damaged_stage() -> (Stage, Vec<u8>, Damaged) {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let bytes = noise(21, 6 * MIB + 777);
    fs::write(source.join("damaged"), &bytes).unwrap();
    fs::write(source.join("other"), noise(22, MIB)).unwrap();
    stage.ingest(&source, "lake");
    let damaged = damage_file(&stage, b"damaged", 3 * MIB as u64);
    assert!(damaged.end - damaged.start < MIB, "a chunk that small");
    (stage, bytes, damaged)
}

#[test]
fn a_flipped_byte_in_a_pack_is_eio_on_that_chunk_and_nothing_else() {
    let (stage, bytes, damaged) = damaged_stage();
    let mount = stage.mount();
    let root = mount.latest("lake");
    exact_without_the_page_cache(&root.join("damaged"), &bytes, &damaged);
    exact_to_the_page(&root.join("damaged"), &bytes, &damaged);
    readers_ahead_come_past_it(&root.join("damaged"), &bytes, &damaged);
    // Again, now that the kernel and the daemon have seen it.
    exact_without_the_page_cache(&root.join("damaged"), &bytes, &damaged);
    assert_eq!(fs::read(root.join("other")).unwrap(), noise(22, MIB));
    let log = mount.log();
    assert!(log.contains("chunk") && log.contains("pack"), "{log}");
    mount.unmount();
}

fn is_io_error<T>(result: std::io::Result<T>) -> bool {
    errno(result) == Some(Errno::IO)
}

fn exact_without_the_page_cache(path: &Path, bytes: &[u8], damaged: &Damaged) {
    let file = open_direct(path);
    let Damaged { start, end } = *damaged;
    for (from, to) in [(0, start), (start - 1, start), (end, end + 1), (end, bytes.len()), (start - 5000, start)] {
        assert!(pread_all(&file, from, to - from).unwrap() == bytes[from..to], "{from}..{to}");
    }
    for (from, to) in [(start, start + 1), (end - 1, end), (start - 10, start + 1), (end - 1, end + 10), (start, end)] {
        assert!(is_io_error(file.read_at(&mut vec![0; to - from], from as u64)), "{from}..{to}");
    }
}

fn exact_to_the_page(path: &Path, bytes: &[u8], damaged: &Damaged) {
    let file = File::open(path).unwrap();
    // Without readahead the kernel asks for the pages that are read.
    rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
    forget_pages(path);
    let page = rustix::param::page_size();
    for from in (0..bytes.len()).step_by(page) {
        let to = (from + page).min(bytes.len());
        let read = pread_all(&file, from, to - from);
        if from < damaged.end && damaged.start < to {
            assert!(is_io_error(read), "{from}..{to} is damaged");
        } else {
            assert!(read.unwrap() == bytes[from..to], "{from}..{to}");
        }
    }
}

/// A reader that the kernel reads ahead for meets the damage where it is and not before, and comes on behind it.
fn readers_ahead_come_past_it(path: &Path, bytes: &[u8], damaged: &Damaged) {
    forget_pages(path);
    let page = rustix::param::page_size();
    let file = File::open(path).unwrap();
    let good_until = damaged.start / page * page;
    let mut at = 0;
    while at < good_until {
        let mut piece = vec![0; 128 << 10];
        let count = file.read_at(&mut piece, at as u64).unwrap_or_else(|error| panic!("at {at}: {error}"));
        assert!(count > 0 && piece[..count] == bytes[at..at + count], "at {at}");
        at += count;
    }
    assert_eq!(at, good_until, "bytes of the damaged page were given out");
    assert!(is_io_error(file.read_at(&mut [0; 100], at as u64)));
    let good_from = damaged.end.next_multiple_of(page);
    assert!(pread_all(&file, good_from, bytes.len()).unwrap() == bytes[good_from..]);
}

#[test]
fn cp_of_a_damaged_file_fails_and_of_its_neighbours_does_not() {
    let (stage, _, _) = damaged_stage();
    let mount = stage.mount();
    let root = mount.latest("lake");
    let copy = |name: &str| {
        let output = output_of(Command::new("cp").arg(root.join(name)).arg(stage.path(name)));
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, complaint) = copy("damaged");
    assert!(code == Some(1) && complaint.contains("Input/output error"), "{code:?}: {complaint}");
    assert_eq!(copy("other"), (Some(0), String::new()));
    assert!(fs::metadata(root.join("damaged")).unwrap().len() > 6 * MIB as u64);
    the_daemon_goes_on(&stage, &mount);
}

fn the_daemon_goes_on(stage: &Stage, mount: &Mount) {
    fs::write(stage.path("source/new"), "new").unwrap();
    stage.ingest(&stage.path("source"), "lake");
    within(Duration::from_secs(1), "a new snapshot", || mount.path("snapshots/lake/latest/new").exists());
}

#[test]
fn a_damaged_directory_page_is_eio_and_never_an_empty_directory() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    for directory in ["damaged", "sound"] {
        fs::create_dir(source.join(directory)).unwrap();
        for number in 0..50 {
            fs::write(source.join(directory).join(format!("{directory}-{number}")), directory).unwrap();
        }
    }
    stage.ingest(&source, "lake");
    let repository = stage.open();
    let snapshot = repository.catalog().snapshots().next_back().unwrap().clone();
    let node = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, b"damaged").unwrap().unwrap();
    stage.damage_chunk(&node.directory().unwrap().page.as_ref().unwrap().id());
    let mount = stage.mount();
    let root = mount.latest("lake");
    for _ in 0..3 {
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
        let listed = fs::read_dir(root.join("damaged")).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        assert!(is_io_error(listed));
        for name in ["damaged-7", "no-such-name"] {
            let found = fs::metadata(root.join("damaged").join(name));
            assert!(is_io_error(found), "{name}: what cannot be looked up is not absent");
        }
        assert_eq!(fs::read_dir(root.join("sound")).unwrap().count(), 50);
        assert_eq!(fs::read(root.join("sound/sound-7")).unwrap(), b"sound");
    }
    the_daemon_goes_on(&stage, &mount);
}

#[test]
fn a_damaged_page_of_a_long_file_costs_what_lies_below_it() {
    need_root();
    let stage = Stage::new();
    let source = stage.make_directory("source");
    // Two hundred extents, so that they lie in pages of their own.
    let file = File::create(source.join("comb")).unwrap();
    let data = noise(30, 4096);
    for tooth in 0..3000 {
        file.write_all_at(&data, tooth * 8192).unwrap();
    }
    fs::write(source.join("other"), "other").unwrap();
    stage.ingest(&source, "lake");
    let content = stage.content_of(b"comb");
    let ContentBody::Tree { page, .. } = content.body else { panic!("{:?}", content.body) };
    stage.damage_chunk(&page);
    let mount = stage.mount();
    let root = mount.latest("lake");
    let comb = File::open(root.join("comb")).unwrap();
    assert!(is_io_error(comb.read_at(&mut [0; 100], 0)));
    assert!(is_io_error(rustix::fs::seek(&comb, rustix::fs::SeekFrom::Hole(0)).map_err(Into::into)));
    assert_eq!(comb.metadata().unwrap().len(), content.size);
    assert_eq!(fs::read(root.join("other")).unwrap(), b"other");
}
