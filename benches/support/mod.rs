//! What the benchmarks and the memory test share: the real binary and how much memory it took, made data, a served
//! mount.
//!
//! The kernel hands the peak of a process down to the programs that it starts: whoever measures here must stay small.

#![allow(dead_code)]

pub mod bson;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");

/// Bytes made and written at once.
const PIECE_BYTES: usize = 1 << 20;

const PAGE_BYTES: usize = 4096;

/// Numbers that are the same in every run.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Writes `length` bytes that do not compress.
    pub fn write(&mut self, out: &mut impl Write, mut length: u64) {
        let mut piece = vec![0; PIECE_BYTES];
        while length > 0 {
            let some = length.min(PIECE_BYTES as u64);
            let piece = &mut piece[..some as usize];
            self.fill(piece);
            out.write_all(piece).expect("room for noise");
            length -= some;
        }
    }
}

/// What a step took.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    pub seconds: f64,
    /// Of all processors, in the process that did the work; the system's part of it too.
    pub processor_seconds: f64,
    /// Of the same process, since it was started.
    pub peak_bytes: u64,
}

/// How much a step worked on.
#[derive(Clone, Copy)]
pub enum Size {
    Bytes(u64),
    Entries(u64),
}

pub fn print_machine(place: &Path) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(" unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "machine: {}, {cores} cores, Linux {}, load {}, in {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        place.display()
    );
}

pub fn print_heading() {
    println!("{:<36} {:>16} {:>9} {:>9} {:>16} {:>10}", "step", "size", "seconds", "cpu s", "rate", "peak MiB");
}

pub fn report(step: &str, size: Size, taken: &Taken) {
    let (amount, rate) = match size {
        Size::Bytes(bytes) => {
            let mega = bytes as f64 / 1e6;
            (format!("{mega:.1} MB"), format!("{:.1} MB/s", mega / taken.seconds))
        }
        Size::Entries(entries) => (format!("{entries} entries"), format!("{:.0} /s", entries as f64 / taken.seconds)),
    };
    let peak = mebibytes(taken.peak_bytes);
    let (seconds, processor) = (taken.seconds, taken.processor_seconds);
    println!("{step:<36} {amount:>16} {seconds:>9.3} {processor:>9.3} {rate:>16} {peak:>10.1}");
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1048576.0
}

pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Bytes of all files below a directory.
pub fn bytes_below(path: &Path) -> u64 {
    let entries = fs::read_dir(path).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries
        .iter()
        .map(
            |entry| {
                if entry.path().is_dir() {
                    bytes_below(&entry.path())
                } else {
                    entry.metadata().map_or(0, |it| it.len())
                }
            },
        )
        .sum()
}

/// What a repository takes, but for its index.
pub fn stored_bytes(repository: &Path) -> u64 {
    bytes_below(repository) - bytes_below(&repository.join("index"))
}

pub fn drop_caches() {
    // SAFETY: sync takes nothing and only waits.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3").expect("cold steps need root");
}

/// Waits until what was made is old enough that an ingest need not read it again next time.
pub fn wait_until_settled() {
    std::thread::sleep(Duration::from_secs(61));
}

/// Waits for a child; tells how it ended, and what it took since `started`.
fn wait(child: &Child, started: Instant) -> (ExitStatus, Taken) {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zeros are a value; wait4 fills both of what it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let taken = Taken {
        seconds: started.elapsed().as_secs_f64(),
        processor_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_bytes: usage.ru_maxrss as u64 * 1024,
    };
    (ExitStatus::from_raw(status), taken)
}

/// What a process has read.
#[derive(Clone, Copy, Default)]
pub struct Reads {
    pub calls: u64,
    pub bytes: u64,
}

impl Reads {
    /// Of a process that has not ended, or was not waited for.
    pub fn of(process: u32) -> Reads {
        let io = fs::read_to_string(format!("/proc/{process}/io")).expect("the process runs");
        let number = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel counts reads");
            line.trim().parse().expect("a number")
        };
        Reads { calls: number("syscr:"), bytes: number("rchar:") }
    }
}

/// A directory with a repository, and room for what is ingested and mounted.
pub struct Workplace {
    pub place: PathBuf,
}

impl Workplace {
    /// In the directory `place`, with an empty repository.
    pub fn new(place: &Path) -> Workplace {
        let workplace = Workplace { place: place.to_path_buf() };
        workplace.run(&["init"], 0);
        workplace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    pub fn command<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(YESTERFS);
        command.arg("--quiet").arg("--repo").arg(self.path("repository")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs a command of the tool; `expected` is its exit code.
    #[track_caller]
    pub fn run<I: AsRef<OsStr>>(&self, words: &[I], expected: i32) -> Taken {
        let started = Instant::now();
        let mut command = self.command(words);
        let (status, taken) = wait(&command.spawn().expect("the binary"), started);
        assert_eq!(status.code(), Some(expected), "{command:?}");
        taken
    }

    #[track_caller]
    pub fn ingest(&self, directory: &Path, source: &str) -> Taken {
        let words = [OsStr::new("ingest"), "dir".as_ref(), directory.as_os_str(), "--source".as_ref(), source.as_ref()];
        self.run(&words, 0)
    }

    /// Mounts on the directory `name`, which is made.
    pub fn mount(&self, name: &str) -> Daemon {
        self.mount_with(name, &[])
    }

    pub fn mount_with(&self, name: &str, options: &[&str]) -> Daemon {
        let point = self.path(name);
        fs::create_dir_all(&point).expect("a mount point");
        let mut command = self.command(["mount", "--foreground"]);
        let mut child = command.args(options).arg(&point).spawn().expect("the binary");
        while !point.join("snapshots").is_dir() {
            assert!(child.try_wait().expect("the daemon").is_none(), "the mount ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        Daemon { child, point, processor_seconds: Cell::new(0.0) }
    }
}

/// A mount in the foreground, so that its memory can be asked for.
pub struct Daemon {
    child: Child,
    point: PathBuf,
    /// What it had taken when that was told last.
    processor_seconds: Cell<f64>,
}

impl Daemon {
    /// The newest snapshot of a source, without symlinks.
    pub fn latest(&self, source: &str) -> PathBuf {
        fs::canonicalize(self.point.join("snapshots").join(source).join("latest")).expect("a snapshot")
    }

    /// The most memory that it had in RAM so far.
    pub fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the daemon runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// How often the kernel asked it, and what that took, since it was mounted.
    pub fn requests(&self) -> String {
        let mut text = [0; 1024];
        let length = rustix::fs::getxattr(&self.point, "user.yesterfs.requests", &mut text).expect("the counts");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// How often the kernel asked it for anything.
    pub fn request_count(&self) -> u64 {
        self.requests().split(['=', ' ']).filter_map(|word| word.parse::<u64>().ok()).sum()
    }

    /// What it has read so far, from files and from the kernel's requests.
    pub fn reads(&self) -> Reads {
        Reads::of(self.child.id())
    }

    /// What it took since it was asked last.
    pub fn taken(&self, elapsed: Duration) -> Taken {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the daemon runs");
        // Behind the name, which may hold spaces: utime and stime are fields 14 and 15 of proc_pid_stat(5).
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks =
            behind_name.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks"));
        let processor_seconds = ticks.sum::<f64>() / rustix::param::clock_ticks_per_second() as f64;
        Taken {
            seconds: elapsed.as_secs_f64(),
            processor_seconds: processor_seconds - self.processor_seconds.replace(processor_seconds),
            peak_bytes: self.peak_bytes(),
        }
    }

    /// Unmounts as a user does.
    pub fn stop(mut self) {
        let ended = Command::new(YESTERFS).arg("--quiet").arg("umount").arg(&self.point).status();
        assert!(ended.expect("the binary").success(), "umount failed");
        assert!(self.child.wait().expect("the daemon's end").success(), "the daemon failed");
    }
}

impl Drop for Daemon {
    /// After a failed check nothing may stay mounted.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = Command::new(YESTERFS).arg("--quiet").arg("umount").arg(&self.point).status();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program of the system on `arguments`, reads all that it writes through a pipe, and returns how much that was:
/// tar, for one, reads no file when it sees that nobody wants the bytes.
#[track_caller]
pub fn drain(program: &str, arguments: &[&OsStr]) -> u64 {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect(program);
    let mut output = child.stdout.take().expect("a pipe");
    let bytes = io::copy(&mut output, &mut io::sink()).expect("its output");
    assert!(child.wait().expect("its end").success(), "{command:?} failed");
    bytes
}

/// Reads `count` pages of a file in no order.
pub fn read_randomly(path: &Path, count: u64) {
    let mut file = File::open(path).expect("a file of the mount");
    let pages = file.metadata().expect("its size").len() / PAGE_BYTES as u64;
    let (mut noise, mut buffer) = (Noise(9), [0; PAGE_BYTES]);
    for _ in 0..count {
        file.seek(SeekFrom::Start(noise.next() % pages * PAGE_BYTES as u64)).expect("a place");
        file.read_exact(&mut buffer).expect("its bytes");
    }
}

/// Words that ingest what a shell command prints.
pub fn ingest_of_command<'c>(kind: &'c str, command: &'c str) -> [&'c str; 8] {
    ["ingest", kind, "--source", "shop", "--", "sh", "-c", command]
}

/// Prints a dump of one `INSERT` of about so many bytes, on one line, with a row every 64 bytes.
pub fn insert_of_rows(bytes: u64) -> String {
    let rows = bytes / 64;
    let row = format!("(7,'{}'),", "x".repeat(64 - 7));
    insert(&format!("yes \"{row}\" | head -n {rows} | tr -d '\\n'; printf %s \"(8,'end')\""))
}

/// Prints one whose only row has a string of so many bytes.
pub fn insert_of_a_string(bytes: u64) -> String {
    insert(&format!("printf %s \"(7,'\"; head -c {bytes} /dev/zero | tr '\\0' x; printf %s \"')\""))
}

fn insert(rows: &str) -> String {
    format!(
        "printf '%s\\n' '-- MariaDB dump 10.19' '-- Host: h    Database: shop' 'CREATE TABLE `a` (`b` int, `c` longtext);'; \
         printf %s 'INSERT INTO `a` VALUES '; {rows}; printf ';\\n%s\\n' '-- Dump completed on 2026-11-26 10:00:00'"
    )
}

/// Prints a dump of so many tables without rows.
pub fn tables_of_mysql(tables: u64) -> String {
    format!(
        "printf '%s\\n' '-- MariaDB dump 10.19' '-- Host: h    Database: shop'; seq -w {tables} | sed 's/.*/--\\n\
         -- Table structure for table `t&`\\n--\\n\\nDROP TABLE IF EXISTS `t&`;\\nCREATE TABLE `t&` (\\n  `id` int,\\n  `text` text\\n);\\n\
         \\n--\\n-- Dumping data for table `t&`\\n--\\n\\nLOCK TABLES `t&` WRITE;\\nUNLOCK TABLES;/'; \
         printf '%s\\n' '-- Dump completed on 2026-11-26 10:00:00'"
    )
}

/// The same in the words of `pg_dump`.
pub fn tables_of_postgres(tables: u64) -> String {
    format!(
        "printf '%s\\n' -- '-- PostgreSQL database dump' -- ''; seq -w {tables} | sed 's/.*/--\\n\
         -- Name: t&; Type: TABLE; Schema: public; Owner: postgres\\n--\\n\\nCREATE TABLE public.t& (\\n    id integer,\\n    text text\\n);\\n\
         \\nALTER TABLE public.t& OWNER TO postgres;\\n\\n--\\n-- Data for Name: t&; Type: TABLE DATA; Schema: public; Owner: postgres\\n--\
         \\n\\nCOPY public.t& (id, text) FROM stdin;\\n\\\\.\\n\\n/'; printf '%s\\n' '--' '-- PostgreSQL database dump complete' '--' ''"
    )
}

/// The same of tables that have sequences and keys: such a dump tells of them in five rounds.
pub fn tables_with_sequences(tables: u64) -> String {
    let part = |title: &str, kind: &str, text: &str| {
        format!("--\\n-- {title}; Type: {kind}; Schema: public; Owner: postgres\\n--\\n\\n{text}\\n\\n")
    };
    let made = [
        part(
            "Name: t&",
            "TABLE",
            "CREATE TABLE public.t& (\\n    id integer,\\n    text text\\n);\\n\\nALTER TABLE public.t& OWNER TO postgres;",
        ),
        part(
            "Name: t&_seq",
            "SEQUENCE",
            "CREATE SEQUENCE public.t&_seq\\n    CACHE 1;\\n\\nALTER SEQUENCE public.t&_seq OWNER TO postgres;",
        ),
        part("Name: t&_seq", "SEQUENCE OWNED BY", "ALTER SEQUENCE public.t&_seq OWNED BY public.t&.id;"),
    ];
    let default = "ALTER TABLE ONLY public.t& ALTER COLUMN id SET DEFAULT nextval('\\''public.t&_seq'\\''::regclass);";
    let key = "ALTER TABLE ONLY public.t&\\n    ADD CONSTRAINT t&_pkey PRIMARY KEY (id);";
    let rounds = [
        made.concat(),
        part("Name: t& id", "DEFAULT", default),
        part("Data for Name: t&", "TABLE DATA", "COPY public.t& (id, text) FROM stdin;\\n1\\ta\\n\\\\.\\n"),
        part("Name: t&_seq", "SEQUENCE SET", "SELECT pg_catalog.setval('\\''public.t&_seq'\\'', 1, true);"),
        part("Name: t& t&_pkey", "CONSTRAINT", key),
    ];
    let rounds: String = rounds.iter().map(|round| format!("seq -w {tables} | sed 's/.*/{round}/'; ")).collect();
    format!(
        "printf '%s\\n' -- '-- PostgreSQL database dump' -- ''; {rounds}printf '%s\\n' '--' '-- PostgreSQL database dump complete' \
         '--' ''"
    )
}
