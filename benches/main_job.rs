//! The main job, timed as a user meets it: the real binary, real files, a real kernel mount.
//!
//! `cargo bench --bench main_job [-- DIRECTORY]` makes its data and its repository in a new directory below DIRECTORY
//! (default: the system's temporary one), prints one line a step (what, how much, seconds, rate, peak memory of the
//! process that did the work) and removes everything. Cold steps drop the kernel's caches first, which needs root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Rows of the made dump, about 180 bytes each.
const DUMP_ROWS: u64 = 1_000_000;
/// Small files of the made tree, and how many a directory holds.
const SMALL_FILES: u64 = 100_000;
const FILES_A_DIRECTORY: u64 = 500;
const NOISE_BYTES: usize = 256 << 20;
const RANDOM_READS: u64 = 2_000;
const PAGE_BYTES: usize = 4096;

fn main() {
    let base =
        std::env::args().skip(1).find(|word| !word.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::Builder::new().prefix("yesterfs-bench-").tempdir_in(base).expect("a directory to work in");
    let bench = Bench { place: place.path().to_path_buf() };
    print_machine(place.path());
    bench.make_data();
    println!("{:<34} {:>14} {:>9} {:>16} {:>10}", "step", "size", "seconds", "rate", "peak MiB");
    bench.streams();
    bench.tree();
    bench.diff_and_restore();
    bench.mount();
}

struct Bench {
    place: PathBuf,
}

/// What a step took.
struct Taken {
    seconds: f64,
    peak_bytes: u64,
}

/// How much a step worked on.
#[derive(Clone, Copy)]
enum Size {
    Bytes(u64),
    Entries(u64),
}

fn print_machine(place: &Path) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(" unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "machine:{}, {cores} cores, Linux {}, in {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        place.display()
    );
}

fn report(step: &str, size: Size, taken: &Taken) {
    let (amount, rate) = match size {
        Size::Bytes(bytes) => {
            let mega = bytes as f64 / 1e6;
            (format!("{mega:.1} MB"), format!("{:.1} MB/s", mega / taken.seconds))
        }
        Size::Entries(entries) => (format!("{entries} entries"), format!("{:.0} /s", entries as f64 / taken.seconds)),
    };
    let peak = taken.peak_bytes as f64 / 1048576.0;
    println!("{step:<34} {amount:>14} {:>9.3} {rate:>16} {peak:>10.1}", taken.seconds);
}

/// Numbers that are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(len).collect()
    }
}

/// Waits for a child and tells its peak memory.
fn wait(child: Child) -> (ExitStatus, u64) {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zeros are a value; wait4 fills both of what it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage);
        usage
    };
    (ExitStatus::from_raw(status), usage.ru_maxrss as u64 * 1024)
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn make_data(&self) {
        let started = Instant::now();
        self.write_dump("dump-1.sql", 0);
        self.write_dump("dump-2.sql", 100);
        let tree = self.path("tree");
        let mut noise = Noise(11);
        for number in 0..SMALL_FILES {
            let directory = tree.join(format!("d{:04}", number / FILES_A_DIRECTORY));
            if number % FILES_A_DIRECTORY == 0 {
                fs::create_dir_all(&directory).expect("a directory of the tree");
            }
            let len = 200 + (noise.next() % 4000) as usize;
            fs::write(directory.join(format!("file-{number:06}")), noise.bytes(len)).expect("a file of the tree");
        }
        // In pieces: the kernel hands the peak of this process down to those that it starts.
        let (mut large, mut noise) = (File::create(tree.join("noise")).expect("the large file"), Noise(5));
        for _ in 0..NOISE_BYTES >> 20 {
            large.write_all(&noise.bytes(1 << 20)).expect("the large file");
        }
        println!("data made in {:.1} s", started.elapsed().as_secs_f64());
    }

    /// A dump as mysqldump writes it; every `changed_every`th row has another status (0: none).
    fn write_dump(&self, name: &str, changed_every: u64) {
        let mut out = BufWriter::new(File::create(self.path(name)).expect("a dump"));
        let mut noise = Noise(3);
        for row in 0..DUMP_ROWS {
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

    fn command<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yesterfs"));
        command.arg("--quiet").arg("--repo").arg(self.path("repository")).args(words);
        command.stdout(Stdio::null());
        command
    }

    /// Runs a command of the tool; `expected` is its exit code.
    fn run(&self, words: &[&OsStr], expected: i32) -> Taken {
        let started = Instant::now();
        let (status, peak_bytes) = wait(self.command(words).spawn().expect("the binary"));
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(status.code(), Some(expected), "{words:?}");
        Taken { seconds, peak_bytes }
    }

    fn stored_bytes(&self) -> u64 {
        fn below(path: &Path) -> u64 {
            let entries = fs::read_dir(path).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
            entries
                .iter()
                .map(|entry| {
                    if entry.path().is_dir() { below(&entry.path()) } else { entry.metadata().map_or(0, |it| it.len()) }
                })
                .sum()
        }
        below(&self.path("repository")) - below(&self.path("repository/index"))
    }

    fn streams(&self) {
        self.run(&[OsStr::new("init")], 0);
        let size = |name: &str| Size::Bytes(fs::metadata(self.path(name)).expect("a dump").len());
        for (step, name) in [
            ("ingest stream, first", "dump-1.sql"),
            ("ingest stream, the same again", "dump-1.sql"),
            ("ingest stream, 1 % of rows changed", "dump-2.sql"),
        ] {
            let before = self.stored_bytes();
            let dump = self.path(name);
            let words = ["ingest", "stream", "--source", "shop", "--name", "dump.sql", "--", "cat"].map(OsStr::new);
            let taken = self.run(&[&words[..], &[dump.as_os_str()]].concat(), 0);
            report(step, size(name), &taken);
            println!("{:<34} {:>12.2} MB stored", "", (self.stored_bytes() - before) as f64 / 1e6);
        }
    }

    fn tree(&self) {
        let tree = self.path("tree");
        // Files younger than a minute are read again by the next ingest.
        std::thread::sleep(Duration::from_secs(61));
        let words =
            [OsStr::new("ingest"), OsStr::new("dir"), tree.as_os_str(), OsStr::new("--source"), OsStr::new("tree")];
        report("ingest dir, first", Size::Entries(SMALL_FILES), &self.run(&words, 0));
        report("ingest dir, unchanged", Size::Entries(SMALL_FILES), &self.run(&words, 0));
        for number in 0..1000u64 {
            let path = tree.join(format!("d{:04}/file-{:06}", number * 100 / FILES_A_DIRECTORY, number * 100));
            fs::write(path, number.to_string()).expect("a changed file");
        }
        report("ingest dir, 1000 files changed", Size::Entries(SMALL_FILES), &self.run(&words, 0));
        report("snapshots", Size::Entries(6), &self.run(&[OsStr::new("snapshots")], 0));
    }

    fn diff_and_restore(&self) {
        let [diff, old, new] = ["diff", "tree@latest~1", "tree@latest"].map(OsStr::new);
        report("diff, 1000 of 100000 files differ", Size::Entries(1000), &self.run(&[diff, old, new], 1));
        drop_caches();
        let to = self.path("restored");
        let words = [OsStr::new("restore"), new, OsStr::new("--to"), to.as_os_str()];
        report("restore of the tree, cold", Size::Entries(SMALL_FILES), &self.run(&words, 0));
        drop_caches();
        let to = self.path("restored-dump");
        let words = [OsStr::new("restore"), OsStr::new("shop"), OsStr::new("--to"), to.as_os_str()];
        let bytes = fs::metadata(self.path("dump-2.sql")).expect("a dump").len();
        report("restore of the dump, cold", Size::Bytes(bytes), &self.run(&words, 0));
    }

    fn mount(&self) {
        let point = self.path("mnt");
        fs::create_dir(&point).expect("a mount point");
        let ready = Instant::now();
        let mut daemon = Daemon::start(self, &point);
        report("mount answers", Size::Entries(6), &daemon.taken(ready.elapsed()));
        let dump = point.join("snapshots/shop/latest/dump.sql");
        let noise = point.join("snapshots/tree/latest/noise");
        let tree = point.join("snapshots/tree/latest/");
        for (name, file) in [("dump", &dump), ("noise", &noise)] {
            drop_caches();
            for temperature in ["cold", "warm"] {
                let started = Instant::now();
                let bytes = read_through(file);
                report(&format!("read {name}, {temperature}"), Size::Bytes(bytes), &daemon.taken(started.elapsed()));
            }
        }
        daemon.restart(self, &point);
        drop_caches();
        for temperature in ["cold", "warm"] {
            let started = Instant::now();
            read_randomly(&dump);
            report(
                &format!("random 4 KiB reads, {temperature}"),
                Size::Entries(RANDOM_READS),
                &daemon.taken(started.elapsed()),
            );
        }
        for (step, words) in [("ls -lR", &["ls", "-lR"][..]), ("find", &["find"]), ("tar", &["tar", "cf", "-"])] {
            daemon.restart(self, &point);
            drop_caches();
            let started = Instant::now();
            let mut command = Command::new(words[0]);
            // tar recognises /dev/null and reads nothing then: a pipe makes it read.
            command.args(&words[1..]).arg(".").current_dir(&tree).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().expect(words[0]);
            let mut output = child.stdout.take().expect("its output");
            std::io::copy(&mut output, &mut std::io::sink()).expect("its output");
            child.wait().expect("its end");
            report(&format!("{step} of the tree, cold"), Size::Entries(SMALL_FILES), &daemon.taken(started.elapsed()));
        }
        daemon.stop();
    }
}

/// A mount in the foreground, so that its memory can be asked for.
struct Daemon {
    child: Child,
    point: PathBuf,
}

impl Daemon {
    fn start(bench: &Bench, point: &Path) -> Daemon {
        let words = [OsStr::new("mount"), OsStr::new("--foreground"), point.as_os_str()];
        let mut child = bench.command(words).spawn().expect("the binary");
        while !point.join("snapshots").is_dir() {
            assert!(child.try_wait().expect("the daemon").is_none(), "the mount ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        Daemon { child, point: point.to_path_buf() }
    }

    fn taken(&self, elapsed: Duration) -> Taken {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        Taken { seconds: elapsed.as_secs_f64(), peak_bytes: kib * 1024 }
    }

    fn stop(&mut self) {
        let ended = Command::new(env!("CARGO_BIN_EXE_yesterfs")).arg("--quiet").arg("umount").arg(&self.point).status();
        assert!(ended.expect("the binary").success());
        self.child.wait().expect("the daemon's end");
    }

    fn restart(&mut self, bench: &Bench, point: &Path) {
        self.stop();
        *self = Daemon::start(bench, point);
    }
}

fn drop_caches() {
    // SAFETY: sync takes nothing and only waits.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3").expect("cold steps need root");
}

fn read_through(path: &Path) -> u64 {
    let mut file = File::open(path).expect("a file of the mount");
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).expect("its bytes") {
            0 => return bytes,
            got => bytes += got as u64,
        }
    }
}

fn read_randomly(path: &Path) {
    let mut file = File::open(path).expect("a file of the mount");
    let pages = file.metadata().expect("its size").len() / PAGE_BYTES as u64;
    let (mut noise, mut buffer) = (Noise(9), [0; PAGE_BYTES]);
    for _ in 0..RANDOM_READS {
        file.seek(SeekFrom::Start(noise.next() % pages * PAGE_BYTES as u64)).expect("a place");
        file.read_exact(&mut buffer).expect("its bytes");
    }
}
