//! The main job, timed as a user meets it: the real binary, real files, a real kernel mount.
//!
//! `cargo bench --bench main_job [-- DIRECTORY]` makes its data and its repository in a new directory below DIRECTORY
//! (default: the system's temporary one), prints one line a step (what, how much, seconds, rate, peak memory of the
//! process that did the work) and removes everything. Cold steps drop the kernel's caches first, which needs root.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use support::{
    Daemon, Noise, Size, Taken, Workplace, drain, drop_caches, megabytes, print_heading, print_machine, read_randomly,
    report, stored_bytes, wait_until_settled,
};

/// Rows of the made dump, about 140 bytes each.
const DUMP_ROWS: u64 = 1_000_000;
/// Small files of the made tree, and how many a directory holds.
const SMALL_FILES: u64 = 100_000;
const FILES_A_DIRECTORY: u64 = 500;
const NOISE_BYTES: u64 = 256 << 20;
const RANDOM_READS: u64 = 2_000;

/// Of the large files whose rates are measured, so that the start of the process counts little.
const LARGE_DUMP_ROWS: u64 = 4_000_000;
const LARGE_NOISE_BYTES: u64 = 1 << 30;

fn main() {
    let base =
        std::env::args().skip(1).find(|word| !word.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::Builder::new().prefix("yesterfs-bench-").tempdir_in(base).expect("a directory to work in");
    print_machine(place.path());
    let bench = Bench { workplace: Workplace::new(place.path()) };
    bench.make_data();
    print_heading();
    bench.streams();
    bench.rates();
    bench.tree();
    bench.diff_and_restore();
    bench.cat();
    bench.mount();
    bench.without_yesterfs();
}

struct Bench {
    workplace: Workplace,
}

/// A dump as mysqldump writes it; every `changed_every`th row has another status (0: none).
fn write_dump(path: &Path, rows: u64, changed_every: u64) {
    let mut out = BufWriter::new(File::create(path).expect("a dump"));
    let mut noise = Noise(rows);
    for row in 0..rows {
        let start = if row % 400 == 0 { "INSERT INTO `orders` VALUES\n(" } else { "(" };
        let end = if row % 400 == 399 { ");\n" } else { "),\n" };
        let (a, b, c) = (noise.next(), noise.next(), noise.next());
        let status = if changed_every > 0 && a % changed_every == 0 { "refunded" } else { "paid" };
        let text = format!(
            "{row},'{status}',{}.{:02},'customer-{:08}@example.org','{a:016x}{b:016x}','2026-11-{:02} {:02}:{:02}:00','note {c:016x}'",
            a % 10_000,
            b % 100,
            c % 1_000_000,
            a % 28 + 1,
            b % 24,
            c % 60
        );
        write!(out, "{start}{text}{end}").expect("a row");
    }
    out.flush().expect("the dump's end");
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    fn make_data(&self) {
        let started = Instant::now();
        write_dump(&self.path("dump-1.sql"), DUMP_ROWS, 0);
        write_dump(&self.path("dump-2.sql"), DUMP_ROWS, 100);
        let tree = self.path("tree");
        let mut noise = Noise(11);
        for number in 0..SMALL_FILES {
            let directory = tree.join(format!("d{:04}", number / FILES_A_DIRECTORY));
            if number % FILES_A_DIRECTORY == 0 {
                fs::create_dir_all(&directory).expect("a directory of the tree");
            }
            let length = 200 + (noise.next() % 4000) as usize;
            fs::write(directory.join(format!("file-{number:06}")), noise.bytes(length)).expect("a file of the tree");
        }
        Noise(5).write(&mut File::create(tree.join("noise")).expect("the large file"), NOISE_BYTES);
        println!("data made in {:.1} s", started.elapsed().as_secs_f64());
    }

    fn dump_size(&self, name: &str) -> Size {
        Size::Bytes(fs::metadata(self.path(name)).expect("a dump").len())
    }

    fn streams(&self) {
        for (step, name) in [
            ("ingest stream, first", "dump-1.sql"),
            ("ingest stream, the same again", "dump-1.sql"),
            ("ingest stream, 1 % of rows changed", "dump-2.sql"),
        ] {
            let before = stored_bytes(&self.path("repository"));
            let dump = self.path(name);
            let words = ["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "cat"].map(OsStr::new);
            let taken = self.workplace.run(&[&words[..], &[dump.as_os_str()]].concat(), 0);
            report(step, self.dump_size(name), &taken);
            println!("{:<36} {:>13.2} MB stored", "", megabytes(stored_bytes(&self.path("repository")) - before));
        }
        // Not the noise of the tree, which would be known there then.
        let noise = self.path("noise");
        Noise(17).write(&mut File::create(&noise).expect("a file of noise"), NOISE_BYTES);
        let words = ["ingest", "stream", "--source", "noise", "--name", "noise", "--", "cat"].map(OsStr::new);
        let taken = self.workplace.run(&[&words[..], &[noise.as_os_str()]].concat(), 0);
        report("ingest stream of noise, first", Size::Bytes(NOISE_BYTES), &taken);
        fs::remove_file(noise).expect("the noise");
    }

    /// Large files, which are read where they lie.
    fn rates(&self) {
        let directory = self.path("large");
        fs::create_dir(&directory).expect("a directory");
        let file = directory.join("file");
        let measure = |step: &str, source: &str| {
            let size = Size::Bytes(fs::metadata(&file).expect("a file").len());
            report(step, size, &self.workplace.ingest(&directory, source));
        };
        Noise(19).write(&mut File::create(&file).expect("a file"), LARGE_NOISE_BYTES);
        measure("ingest of a file of noise, first", "noises");
        write_dump(&file, LARGE_DUMP_ROWS, 0);
        measure("ingest of a file of a dump, first", "dumps");
        // Written once more, it is read once more.
        write_dump(&file, LARGE_DUMP_ROWS, 0);
        measure("the same again", "dumps");
        write_dump(&file, LARGE_DUMP_ROWS, 100);
        measure("the same, 1 % of rows changed", "dumps");
        fs::remove_dir_all(&directory).expect("the directory");
    }

    fn tree(&self) {
        let (tree, size) = (self.path("tree"), Size::Entries(SMALL_FILES));
        wait_until_settled();
        report("ingest dir, first", size, &self.workplace.ingest(&tree, "tree"));
        report("ingest dir, unchanged", size, &self.workplace.ingest(&tree, "tree"));
        for number in 0..1000u64 {
            let path = tree.join(format!("d{:04}/file-{:06}", number * 100 / FILES_A_DIRECTORY, number * 100));
            fs::write(path, number.to_string()).expect("a changed file");
        }
        report("ingest dir, 1000 files changed", size, &self.workplace.ingest(&tree, "tree"));
        report("snapshots", Size::Entries(11), &self.workplace.run(&["snapshots"], 0));
    }

    fn diff_and_restore(&self) {
        let taken = self.workplace.run(&["diff", "tree@latest~1", "tree@latest"], 1);
        report("diff, 1000 of 100000 files differ", Size::Entries(1000), &taken);
        let restore = |source: &str, to: &Path| {
            drop_caches();
            self.workplace.run(&["restore".as_ref(), source.as_ref(), "--to".as_ref(), to.as_os_str()], 0)
        };
        let taken = restore("tree", &self.path("restored"));
        report("restore of the tree, cold", Size::Entries(SMALL_FILES), &taken);
        let taken = restore("shop", &self.path("restored-dump"));
        report("restore of the dump, cold", self.dump_size("dump-2.sql"), &taken);
    }

    /// What a mount's cold reads are measured by: the same bytes, without the kernel between.
    fn cat(&self) {
        for (name, path, size) in [
            ("dump", "shop:/dump.sql", self.dump_size("dump-2.sql")),
            ("noise", "tree:/noise", Size::Bytes(NOISE_BYTES)),
        ] {
            drop_caches();
            report(&format!("cat of the {name}, cold"), size, &self.workplace.run(&["cat", path], 0));
        }
    }

    fn mount(&self) {
        let ready = Instant::now();
        let daemon = self.workplace.mount("mnt");
        report("mount answers", Size::Entries(11), &daemon.taken(ready.elapsed()));
        let dump = daemon.latest("shop").join("dump.sql");
        for (name, file) in [("dump", &dump), ("noise", &daemon.latest("tree").join("noise"))] {
            for temperature in ["cold", "warm"] {
                let (bytes, taken) = read_through(file, temperature == "cold", Some(&daemon));
                report(&format!("read {name}, {temperature}"), Size::Bytes(bytes), &taken);
            }
        }
        daemon.stop();
        self.read_randomly();
        for (step, words) in
            [("ls -lR", &["ls", "-lR"][..]), ("find", &["find"]), ("tar", &["tar", "-cf", "-", "-C", "/"])]
        {
            let daemon = self.workplace.mount("mnt");
            let tree = daemon.latest("tree");
            let relative = tree.strip_prefix("/").expect("an absolute path");
            // tar warns of names that begin with a slash.
            let named = if words[0] == "tar" { relative } else { &tree };
            drop_caches();
            let started = Instant::now();
            let arguments: Vec<&OsStr> = words[1..].iter().map(OsStr::new).chain([named.as_os_str()]).collect();
            drain(words[0], &arguments);
            let taken = daemon.taken(started.elapsed());
            report(&format!("{step} of the tree, cold"), Size::Entries(SMALL_FILES), &taken);
            daemon.stop();
        }
    }

    fn read_randomly(&self) {
        let daemon = self.workplace.mount("mnt");
        let dump = daemon.latest("shop").join("dump.sql");
        drop_caches();
        for temperature in ["cold", "warm"] {
            let started = Instant::now();
            read_randomly(&dump, RANDOM_READS);
            let taken = daemon.taken(started.elapsed());
            report(&format!("random 4 KiB reads, {temperature}"), Size::Entries(RANDOM_READS), &taken);
        }
        daemon.stop();
    }

    /// The same work without a repository, to tell the machine's part.
    fn without_yesterfs(&self) {
        let (bytes, taken) = read_through(&self.path("tree/noise"), true, None);
        report("the disk: read noise, cold", Size::Bytes(bytes), &taken);
        drop_caches();
        let started = Instant::now();
        let copied = Command::new("cp").arg("-a").args([self.path("tree"), self.path("copy")]).status();
        assert!(copied.expect("cp").success());
        let taken = Taken { seconds: started.elapsed().as_secs_f64(), ..Taken::default() };
        report("the disk: cp -a of the tree, cold", Size::Entries(SMALL_FILES), &taken);
    }
}

/// Reads a file to its end; `daemon` is who serves it.
fn read_through(path: &Path, cold: bool, daemon: Option<&Daemon>) -> (u64, Taken) {
    if cold {
        drop_caches();
    }
    let started = Instant::now();
    let mut file = File::open(path).expect("a file");
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).expect("its bytes") {
            0 => break,
            got => bytes += got as u64,
        }
    }
    let taken = Taken { seconds: started.elapsed().as_secs_f64(), ..Taken::default() };
    (bytes, daemon.map_or(taken, |daemon| daemon.taken(started.elapsed())))
}
