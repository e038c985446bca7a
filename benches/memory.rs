//! How much memory the main job takes at most: `trees` that are large in each of the two ways, a terabyte of bytes and holes, and
//! more than a million entries; `dumps` with statements of 3 GiB, and with a million tables. Ends with exit code 1 where a bound
//! is exceeded.
//!
//! `cargo bench --bench memory [-- PART... DIRECTORY]` does these parts (default: both) in new directories below DIRECTORY (one that
//! begins with a slash; default: the system's temporary one), where it needs 7 GB, and removes them. The million files are made in
//! /dev/shm where that has room (3 GB), since a disk takes long to make them.

mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use support::{
    Daemon, Noise, Size, Taken, Workplace, drain, mebibytes, print_heading, print_machine, report, wait_until_settled,
};

/// Of every command.
const COMMAND_BOUND_BYTES: u64 = 256 << 20;
/// Of a mount.
const DAEMON_BOUND_BYTES: u64 = 256 << 20;

const NOISE_BYTES: u64 = 1536 << 20;
const TEXT_BYTES: u64 = 1 << 30;
const LARGE_FILES: Size = Size::Bytes(NOISE_BYTES + TEXT_BYTES);
/// Sparse files of a gigabyte, with an island of data in every piece.
const SPARSE_FILES: u64 = 17;
const SPARSE_BYTES: u64 = 1 << 30;
const ISLAND_EVERY_BYTES: u64 = 32 << 20;
const ISLAND_BYTES: u64 = 64 << 10;
/// One file that is nearly all hole.
const HUGE_BYTES: u64 = 1 << 40;
const HUGE_ISLANDS: u64 = 64;

/// As a mount has on eight cores and more.
const MANY_THREADS: [&str; 2] = ["--threads", "16"];

const DIRECTORIES: u64 = 1000;
const FILES_A_DIRECTORY: u64 = 1000;
const FILES_IN_WIDE_DIRECTORY: u64 = 100_000;
/// Every so many files one is not empty (each of these takes a page of memory), and has up to this many bytes: few are
/// kept with the file's entry, more are a chunk.
const FILLED_EVERY: u64 = 4;
const FILLED_MAX_BYTES: u64 = 2000;

/// One statement on one line: many rows, or one string.
const STATEMENT_BYTES: u64 = 3 << 30;
const TABLES: u64 = 1_000_000;
/// Of an ingest of so many.
const TABLES_BOUND_BYTES: u64 = 256 << 20;

/// A part: its name, and what does it.
type Part = (&'static str, fn(&mut Bench));

const PARTS: [Part; 2] = [("trees", Bench::trees), ("dumps", Bench::dumps)];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let (directories, wanted): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word.starts_with('/'));
    let base = directories.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let is_part = |word: &String| PARTS.iter().any(|(name, _)| name == word);
    assert!(wanted.iter().all(is_part), "the parts are {}", PARTS.map(|(name, _)| name).join(", "));
    print_machine(&base);
    let mut exceeded = Vec::new();
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            let place = tempfile::Builder::new().prefix("yesterfs-bench-").tempdir_in(&base).expect("a directory");
            let mut bench = Bench { workplace: Workplace::new(place.path()), exceeded };
            run(&mut bench);
            exceeded = bench.exceeded;
        }
    }
    for step in &exceeded {
        eprintln!("exceeded: {step}");
    }
    std::process::exit(i32::from(!exceeded.is_empty()));
}

struct Bench {
    workplace: Workplace,
    exceeded: Vec<String>,
}

impl Bench {
    fn check(&mut self, step: &str, size: Size, taken: &Taken, bound_bytes: u64) {
        report(step, size, taken);
        if taken.peak_bytes > bound_bytes {
            let (peak, bound) = (mebibytes(taken.peak_bytes), mebibytes(bound_bytes));
            self.exceeded.push(format!("{step}: {peak:.1} MiB, at most {bound:.0} are allowed"));
        }
    }

    fn command(&mut self, step: &str, size: Size, words: &[&str]) {
        let taken = self.workplace.run(words, 0);
        self.check(step, size, &taken, COMMAND_BOUND_BYTES);
    }

    fn trees(&mut self) {
        self.many_bytes();
        self.many_entries();
    }

    fn many_bytes(&mut self) {
        let tree = self.workplace.path("bytes");
        let made = Instant::now();
        let logical_bytes = make_bytes(&tree);
        println!("{:.1} GB made in {:.1} s", logical_bytes as f64 / 1e9, made.elapsed().as_secs_f64());
        wait_until_settled();
        print_heading();
        for step in ["ingest of large files, first", "ingest of large files, unchanged"] {
            let taken = self.workplace.ingest(&tree, "bytes");
            self.check(step, LARGE_FILES, &taken, COMMAND_BOUND_BYTES);
        }
        fs::remove_dir_all(&tree).expect("room");
        self.command("check --read-data", LARGE_FILES, &["check", "--read-data"]);
        self.mounted_bytes();
    }

    /// Several readers at once, through one mount.
    fn mounted_bytes(&mut self) {
        let daemon = self.workplace.mount_with("mnt", &MANY_THREADS);
        self.cat_large_files("cat of large files", &daemon);
        daemon.stop();
    }

    fn cat_large_files(&mut self, step: &str, daemon: &Daemon) {
        let root = daemon.latest("bytes");
        let started = Instant::now();
        std::thread::scope(|scope| {
            for name in ["noise", "text", "sparse-00", "sparse-01"] {
                let path = root.join(name);
                scope.spawn(move || drain("cat", &[path.as_os_str()]));
            }
        });
        self.check(step, LARGE_FILES, &daemon.taken(started.elapsed()), DAEMON_BOUND_BYTES);
    }

    /// Dumps that a program prints.
    fn dumps(&mut self) {
        print_heading();
        for (step, command) in [
            ("ingest of one INSERT of many rows", support::insert_of_rows(STATEMENT_BYTES)),
            ("ingest of one INSERT of one string", support::insert_of_a_string(STATEMENT_BYTES)),
        ] {
            let taken = self.workplace.run(&support::ingest_of_command("mysql", &command), 0);
            self.check(step, Size::Bytes(STATEMENT_BYTES), &taken, COMMAND_BOUND_BYTES);
        }
        for (step, kind, command) in [
            ("ingest of a million tables (mysql)", "mysql", support::tables_of_mysql(TABLES)),
            ("ingest of a million tables (postgres)", "postgres", support::tables_of_postgres(TABLES)),
            ("the same with sequences and keys", "postgres", support::tables_with_sequences(TABLES)),
        ] {
            let taken = self.workplace.run(&support::ingest_of_command(kind, &command), 0);
            self.check(step, Size::Entries(TABLES), &taken, TABLES_BOUND_BYTES);
        }
    }

    fn many_entries(&mut self) {
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() { shared } else { &self.workplace.place };
        let place = tempfile::Builder::new().prefix("yesterfs-bench-").tempdir_in(base).expect("a directory for files");
        let (tree, made) = (place.path().join("entries"), Instant::now());
        let entries = make_entries(&tree);
        println!("{entries} entries made in {:.1} s", made.elapsed().as_secs_f64());
        wait_until_settled();
        print_heading();
        let size = Size::Entries(entries);
        for step in ["ingest of a million files, first", "ingest of a million files, unchanged"] {
            let taken = self.workplace.ingest(&tree, "entries");
            self.check(step, size, &taken, COMMAND_BOUND_BYTES);
        }
        drop(place);
        self.command("diff of equal snapshots", size, &["diff", "entries@latest~1", "entries@latest"]);
        self.command("find", size, &["find", "entries@latest"]);
        self.command("check", size, &["check"]);
        let daemon = self.workplace.mount_with("mnt", &MANY_THREADS);
        let root = daemon.latest("entries");
        let find = ["-printf".as_ref(), "%p %s %m %T@\\n".as_ref()];
        let started = Instant::now();
        drain("find", &[&[root.as_os_str()], &find[..]].concat());
        self.check("find -printf", size, &daemon.taken(started.elapsed()), DAEMON_BOUND_BYTES);
        let started = Instant::now();
        drain("tar", &["--directory".as_ref(), root.as_os_str(), "-cf".as_ref(), "-".as_ref(), ".".as_ref()]);
        self.check("tar", size, &daemon.taken(started.elapsed()), DAEMON_BOUND_BYTES);
        // The worst for the heap: large chunks where small ones were.
        self.cat_large_files("cat of large files after it", &daemon);
        daemon.stop();
    }
}

/// A tree of few files with many bytes; returns how many, holes included.
fn make_bytes(tree: &Path) -> u64 {
    fs::create_dir(tree).expect("a tree");
    let create = |name: &str| File::create(tree.join(name)).expect("a file of the tree");
    Noise(5).write(&mut create("noise"), NOISE_BYTES);
    write_text(create("text"));
    for number in 0..SPARSE_FILES {
        let islands = (0..SPARSE_BYTES).step_by(ISLAND_EVERY_BYTES as usize);
        write_islands(create(&format!("sparse-{number:02}")), SPARSE_BYTES, islands, number);
    }
    let islands = (0..HUGE_BYTES).step_by((HUGE_BYTES / HUGE_ISLANDS) as usize);
    write_islands(create("sparse-huge"), HUGE_BYTES, islands, SPARSE_FILES);
    NOISE_BYTES + TEXT_BYTES + SPARSE_FILES * SPARSE_BYTES + HUGE_BYTES
}

fn write_text(file: File) {
    let (mut out, mut noise, mut written, mut row) = (BufWriter::with_capacity(1 << 20, file), Noise(3), 0, 0u64);
    while written < TEXT_BYTES {
        row += 1;
        let (a, b) = (noise.next(), noise.next());
        let line = format!("{row}\tcustomer-{:08}@example.org\t{a:016x}\tpaid\t{}\n", b % 1_000_000, b % 10_000);
        out.write_all(line.as_bytes()).expect("room for text");
        written += line.len() as u64;
    }
    out.flush().expect("room for text");
}

fn write_islands(mut file: File, length: u64, islands: impl Iterator<Item = u64>, seed: u64) {
    let mut noise = Noise(seed + 100);
    for island in islands {
        file.seek(SeekFrom::Start(island)).expect("a place in the file");
        noise.write(&mut file, ISLAND_BYTES);
    }
    file.set_len(length).expect("a hole at the end");
}

/// A tree of many small files; returns how many entries it has.
fn make_entries(tree: &Path) -> u64 {
    let mut noise = Noise(7);
    for number in 0..DIRECTORIES {
        fill_directory(&tree.join(format!("d{number:04}")), FILES_A_DIRECTORY, &mut noise);
    }
    fill_directory(&tree.join("wide"), FILES_IN_WIDE_DIRECTORY, &mut noise);
    DIRECTORIES * (FILES_A_DIRECTORY + 1) + FILES_IN_WIDE_DIRECTORY + 1
}

fn fill_directory(directory: &Path, files: u64, noise: &mut Noise) {
    fs::create_dir_all(directory).expect("a directory of the tree");
    for number in 0..files {
        let length = if number % FILLED_EVERY == 0 { 1 + noise.next() % FILLED_MAX_BYTES } else { 0 };
        let bytes = noise.bytes(length as usize);
        fs::write(directory.join(format!("file-{number:06}")), bytes).expect("a file of the tree");
    }
}
