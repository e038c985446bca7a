//! Memory is bounded, whatever the size of files, trees and repositories. `benches/memory.rs` shows the same on a terabyte,
//! most of it holes, and a million files.

#[path = "../benches/support/mod.rs"]
mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use support::{Daemon, Noise, Workplace, drain, mebibytes};
use tempfile::TempDir;

/// Of every command.
const COMMAND_BOUND_BYTES: u64 = 256 << 20;
/// Of a mount.
const DAEMON_BOUND_BYTES: u64 = 256 << 20;

/// Five times the tree may take so much more: about 200 bytes for each of 80,000 entries. Caches are larger than that.
const GROWTH_MAX_BYTES: u64 = 16 << 20;

/// As a mount has on eight cores and more.
const MANY_THREADS: [&str; 2] = ["--threads", "16"];

const FEW_ENTRIES: u64 = 20_000;
const MANY_ENTRIES: u64 = 100_000;

struct Place {
    _directory: TempDir,
    workplace: Workplace,
}

impl Place {
    fn new() -> Place {
        let directory = TempDir::new().unwrap();
        Place { workplace: Workplace::new(directory.path()), _directory: directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    fn ingest(&self, name: &str) -> u64 {
        let peak_bytes = self.workplace.ingest(&self.path(name), name).peak_bytes;
        println!("ingest of {name}: {:.1} MiB", mebibytes(peak_bytes));
        assert!(peak_bytes <= COMMAND_BOUND_BYTES, "{:.1} MiB", mebibytes(peak_bytes));
        peak_bytes
    }
}

#[track_caller]
fn check(daemon: &Daemon, after: &str) -> u64 {
    let peak_bytes = daemon.peak_bytes();
    println!("mount after {after}: {:.1} MiB", mebibytes(peak_bytes));
    assert!(peak_bytes <= DAEMON_BOUND_BYTES, "{:.1} MiB after {after}", mebibytes(peak_bytes));
    peak_bytes
}

/// 16 GiB of holes, with a megabyte of data in each.
fn make_sparse(path: &Path, seed: u64) {
    let mut file = File::create(path).unwrap();
    for gibibyte in 0..16 {
        file.seek(SeekFrom::Start(gibibyte << 30)).unwrap();
        Noise(seed + gibibyte).write(&mut file, 1 << 20);
    }
    file.set_len(16 << 30).unwrap();
}

/// Enough of them to fill the cache with chunks that are smaller than a page of memory.
fn make_small_files(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let mut noise = Noise(3);
    for number in 0..30_000 {
        fs::write(directory.join(format!("file-{number:06}")), noise.bytes(300 + number % 3000)).unwrap();
    }
}

/// Directories of `files` files each: most are empty, some are kept with their entry, some are a chunk.
fn make_entries(tree: &Path, directories: &[&str], files: u64) {
    for directory in directories {
        fs::create_dir_all(tree.join(directory)).unwrap();
        let mut noise = Noise(files);
        for number in 0..files {
            let length = if number % 4 == 0 { noise.next() % 1000 } else { 0 };
            fs::write(tree.join(directory).join(format!("file-{number:06}")), noise.bytes(length as usize)).unwrap();
        }
    }
}

#[test]
fn large_and_sparse_files_do_not_fill_memory() {
    let place = Place::new();
    let tree = place.path("bytes");
    fs::create_dir(&tree).unwrap();
    Noise(1).write(&mut File::create(tree.join("noise")).unwrap(), 400 << 20);
    let mut text = File::create(tree.join("text")).unwrap();
    for number in 0..200u64 {
        let lines: Vec<String> = (0..30_000).map(|row| format!("{number} {row} {:x}\n", row * number)).collect();
        text.write_all(lines.concat().as_bytes()).unwrap();
    }
    (0..4).for_each(|number| make_sparse(&tree.join(format!("sparse-{number}")), 100 * number + 7));
    make_small_files(&tree.join("small"));
    place.ingest("bytes");

    let daemon = place.workplace.mount_with("mnt", &MANY_THREADS);
    let root = daemon.latest("bytes");
    // The worst for the heap: small chunks fill the cache, then large ones come.
    drain("tar", &["--directory", root.to_str().unwrap(), "-cf", "-", "small"].map(OsStr::new));
    check(&daemon, "small files");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            for name in ["noise", "text"] {
                let path = root.join(name);
                scope.spawn(move || drain("cat", &[path.as_os_str()]));
            }
        }
        for number in 0..4 {
            let path = root.join(format!("sparse-{number}"));
            scope.spawn(move || drain("head", &["-c".as_ref(), "1G".as_ref(), path.as_os_str()]));
        }
    });
    check(&daemon, "many readers");
    daemon.stop();
}

#[test]
fn memory_does_not_grow_with_the_tree() {
    let place = Place::new();
    make_entries(&place.path("few"), &["a", "b", "c", "d"], FEW_ENTRIES / 4);
    // Also one directory of very many entries.
    make_entries(&place.path("many"), &["a", "b", "c", "d", "e"], MANY_ENTRIES / 10);
    make_entries(&place.path("many"), &["wide"], MANY_ENTRIES / 2);
    let few = place.ingest("few");
    let many = place.ingest("many");
    assert!(many <= few + GROWTH_MAX_BYTES, "ingest: {:.1} MiB more", mebibytes(many - few));
    let (few, many) = (place.ingest("few"), place.ingest("many"));
    assert!(many <= few + GROWTH_MAX_BYTES, "ingest again: {:.1} MiB more", mebibytes(many - few));

    let visited = |name: &str| {
        let daemon = place.workplace.mount("mnt");
        let root = daemon.latest(name);
        drain("find", &[root.as_os_str(), "-printf".as_ref(), "%p %s %m %T@\\n".as_ref()]);
        let listed = check(&daemon, &format!("find in {name}"));
        drain("tar", &["--directory", root.to_str().unwrap(), "-cf", "-", "."].map(OsStr::new));
        let read = check(&daemon, &format!("tar of {name}"));
        daemon.stop();
        (listed, read)
    };
    let (few, many) = (visited("few"), visited("many"));
    // What was read stays in the caches, which the few do not fill.
    assert!(many.0 <= few.0 + 2 * GROWTH_MAX_BYTES, "find: {:.1} MiB more", mebibytes(many.0 - few.0));
    assert!(many.1 <= few.1 + 2 * GROWTH_MAX_BYTES, "tar: {:.1} MiB more", mebibytes(many.1 - few.1));
}

#[test]
fn memory_does_not_grow_with_what_is_visited_of_a_difference() {
    let place = Place::new();
    for (name, directories) in [("few", 1000), ("many", 30_000)] {
        let tree = place.path(name);
        fs::create_dir(&tree).unwrap();
        place.ingest(name);
        for number in 0..directories {
            fs::create_dir_all(tree.join(format!("{}/{number}", number % 100))).unwrap();
        }
        place.ingest(name);
    }
    let visited = |name: &str| {
        let daemon = place.workplace.mount("mnt");
        let difference = place.path("mnt").join(format!("diff/{name}~1..{name}"));
        drain("find", &[difference.as_os_str(), "-printf".as_ref(), "%p %m\\n".as_ref()]);
        let peak_bytes = check(&daemon, &format!("find in the difference of {name}"));
        daemon.stop();
        peak_bytes
    };
    let (few, many) = (visited("few"), visited("many"));
    assert!(many <= few + GROWTH_MAX_BYTES, "{:.1} MiB more", mebibytes(many - few));
}

/// What an ingest may hold for each table of a dump.
const TABLE_BOUND_BYTES: u64 = 1000;

#[test]
fn memory_does_not_grow_with_a_statement() {
    let place = Place::new();
    for command in [support::insert_of_rows(300 << 20), support::insert_of_a_string(300 << 20)] {
        let peak_bytes = place.workplace.run(&support::ingest_of_command("mysql", &command), 0).peak_bytes;
        println!("ingest of one statement: {:.1} MiB", mebibytes(peak_bytes));
        assert!(peak_bytes <= 200 << 20, "{:.1} MiB", mebibytes(peak_bytes));
    }
}

/// What it may hold for each table with a sequence and a key, beyond what caches take that small dumps do not fill.
const SEQUENCE_BOUND_BYTES: u64 = 450;

const FEW_SEQUENCES: u64 = 10_000;
const MANY_SEQUENCES: u64 = 70_000;

impl Place {
    fn ingest_tables(&self, kind: &str, command: fn(u64) -> String, tables: u64) -> u64 {
        let peak_bytes = self.workplace.run(&support::ingest_of_command(kind, &command(tables)), 0).peak_bytes;
        println!("ingest of {tables} tables: {:.1} MiB", mebibytes(peak_bytes));
        peak_bytes
    }
}

#[test]
fn memory_grows_little_with_the_tables_of_a_dump() {
    let place = Place::new();
    for (kind, command) in
        [("mysql", support::tables_of_mysql as fn(u64) -> String), ("postgres", support::tables_of_postgres)]
    {
        let ingest = |tables| place.ingest_tables(kind, command, tables);
        let (few, many) = (ingest(1_000), ingest(100_000));
        let allowed = few + 100_000 * TABLE_BOUND_BYTES;
        assert!(many <= allowed, "{kind}: {:.1} MiB more", mebibytes(many - few));
    }
}

#[test]
fn memory_grows_little_with_the_sequences_of_a_dump() {
    let place = Place::new();
    let ingest = |tables| place.ingest_tables("postgres", support::tables_with_sequences, tables);
    let (few, many) = (ingest(FEW_SEQUENCES), ingest(MANY_SEQUENCES));
    let allowed = few + (MANY_SEQUENCES - FEW_SEQUENCES) * SEQUENCE_BOUND_BYTES;
    assert!(many <= allowed, "{:.1} MiB more", mebibytes(many - few));
}
