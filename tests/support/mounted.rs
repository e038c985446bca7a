//! Repositories that are really mounted: by the program that users run, on the kernel that is there.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use yesterfs::id::ChunkId;
use yesterfs::ingest::directory::ingest_directory;
use yesterfs::progress::Recorder;
use yesterfs::repository::Repository;
use yesterfs::repository::content::Content;
use yesterfs::repository::node::NodeKind;
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::pack::pack_key;
use yesterfs::time::Timestamp;

use super::repository::{directory_options, open};

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");

/// A directory with a repository, and room for what is ingested and mounted.
pub struct Stage {
    directory: TempDir,
}

impl Stage {
    /// With an empty repository.
    pub fn new() -> Stage {
        let stage = Stage { directory: TempDir::new().unwrap() };
        stage.succeed(&["init"]);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new directory.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    /// Lets users other than root come by.
    pub fn open_to_all(&self) {
        fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn repository(&self) -> PathBuf {
        self.path("repo")
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(YESTERFS);
        command.arg("--repo").arg(self.repository()).args(words).stdin(Stdio::null());
        command
    }

    /// What a command that must succeed prints.
    #[track_caller]
    pub fn succeed(&self, words: &[&str]) -> String {
        text(run(&mut self.command(words)))
    }

    /// Makes a snapshot of `directory`, and returns its name.
    #[track_caller]
    pub fn ingest(&self, directory: &Path, source: &str) -> String {
        let said = self.succeed(&["ingest", "dir", directory.to_str().unwrap(), "--source", source, "--json"]);
        let snapshot: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        snapshot["name"].as_str().unwrap().to_string()
    }

    /// Makes a snapshot of `directory` by a clock that shows `now`, and returns its name.
    pub fn ingest_at(&self, directory: &Path, source: &str, now: Timestamp) -> String {
        let options = directory_options(directory, source);
        let report = ingest_directory(&self.open(), &options, &move || now, &Recorder::default()).unwrap();
        report.snapshot.manifest.name.clone()
    }

    /// The repository, read by the library.
    pub fn open(&self) -> Repository {
        let backend = Arc::new(LocalBackend::new(self.repository()));
        open(self.directory.path(), backend, Arc::new(Recorder::default())).unwrap()
    }

    /// What a file of the newest snapshot holds.
    pub fn content_of(&self, path: &[u8]) -> Content {
        let repository = self.open();
        let snapshot = repository.catalog().snapshots().next_back().unwrap().clone();
        let node = repository.tree().unwrap().lookup_path(&snapshot.manifest.root, path).unwrap().unwrap();
        let NodeKind::File { content, .. } = node.kind else { panic!("not a file") };
        content
    }

    /// Flips one bit in what is stored of a chunk.
    pub fn damage_chunk(&self, id: &ChunkId) {
        let location = self.open().chunks().unwrap().locate(id).unwrap().unwrap();
        let pack = self.repository().join(pack_key(&location.pack));
        let pack = fs::OpenOptions::new().read(true).write(true).open(pack).unwrap();
        // The length: bits of a payload may mean nothing.
        let at = location.offset + 1;
        let mut byte = [0];
        pack.read_exact_at(&mut byte, at).unwrap();
        pack.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }

    #[track_caller]
    pub fn mount(&self) -> Mount {
        self.mount_with("mount", &[])
    }

    /// Mounts on a new directory `name`.
    #[track_caller]
    pub fn mount_with(&self, name: &str, options: &[&str]) -> Mount {
        let (point, log) = (self.make_directory(name), self.path(&format!("{name}.log")));
        let mut command = self.command(&["mount", "--log-file"]);
        let said = text(run(command.arg(&log).args(options).arg(&point)));
        let process = said.split_whitespace().next_back().and_then(|word| word.parse().ok());
        Mount { point, log, process: process.unwrap_or_else(|| panic!("no process id in {said:?}")) }
    }
}

/// A mount that ends with this value, at the latest when its test does.
pub struct Mount {
    point: PathBuf,
    log: PathBuf,
    process: i32,
}

impl Mount {
    pub fn point(&self) -> &Path {
        &self.point
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    /// The newest snapshot of a source, by a path without symlinks.
    #[track_caller]
    pub fn latest(&self, source: &str) -> PathBuf {
        fs::canonicalize(self.point.join("snapshots").join(source).join("latest")).unwrap()
    }

    /// Files without names in this directory that the serving process has open.
    pub fn unnamed_files(&self, directory: &Path) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.process)).unwrap();
        let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|it| it.starts_with(directory) && it.to_string_lossy().ends_with(" (deleted)")).count()
    }

    /// Sends a signal to the serving process.
    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.process).expect("a process id");
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// The most memory that the serving process ever had.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
    }

    /// What the serving process has read so far, of packs mostly.
    pub fn bytes_read(&self) -> u64 {
        self.bytes("rchar: ")
    }

    /// What it has written so far: answers to the kernel, and temporary files.
    pub fn bytes_written(&self) -> u64 {
        self.bytes("wchar: ")
    }

    fn bytes(&self, name: &str) -> u64 {
        let counters = fs::read_to_string(format!("/proc/{}/io", self.process)).unwrap();
        counters.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    }

    /// What the kernel asked for so far, and what that took.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut value = [0; 1024];
        let length = rustix::fs::getxattr(&self.point, "user.yesterfs.requests", &mut value[..]).unwrap();
        let text = std::str::from_utf8(&value[..length]).unwrap();
        let counts = text.split(' ').map(|pair| pair.split_once('=').unwrap());
        counts.map(|(name, count)| (name.to_string(), count.parse().unwrap())).collect()
    }

    /// What was counted while `action` ran.
    pub fn counted<T>(&self, action: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>) {
        let before = self.counts();
        let result = action();
        let counted = self.counts().into_iter().map(|(name, count)| (name.clone(), count - before[&name])).collect();
        (result, counted)
    }

    /// What the serving process complained about.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Unmounts as a user does.
    #[track_caller]
    pub fn unmount(self) {
        run(Command::new(YESTERFS).arg("umount").arg(&self.point));
        assert!(!is_mounted(&self.point));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the mount: {}", fs::read_to_string(&self.log).unwrap_or_default());
        }
        if is_mounted(&self.point) && rustix::mount::unmount(&self.point, UnmountFlags::DETACH).is_err() {
            let _ = Command::new("fusermount3").arg("-uz").arg(&self.point).status();
        }
    }
}

fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == point.to_str())
}

/// Fails with what to install where one of these programs, given with its package, is missing.
#[track_caller]
pub fn need(programs: &[(&str, &str)]) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (program, package) in programs {
        let is_there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
        assert!(is_there, "this test needs the program \"{program}\": apt-get install {package}");
    }
}

/// Fails where the test is not run by root.
#[track_caller]
pub fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "this test acts as several users: run it as root");
}

/// What a program that must succeed wrote.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = output_of(command);
    let said = [lossy(&output.stderr), lossy(&output.stdout)].concat();
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    output.stdout
}

/// What a program wrote that must succeed and complain about nothing.
#[track_caller]
pub fn run_quietly(command: &mut Command) -> Vec<u8> {
    let output = output_of(command);
    let complaints = lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{command:?}: {}: {complaints}", output.status);
    output.stdout
}

/// Runs a program until it ends, or is ended after two minutes: a mount that hangs shall not hang the test.
#[track_caller]
pub fn output_of(command: &Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", "120"]).arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    limited.env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
    limited.output().unwrap_or_else(|error| panic!("cannot run {limited:?}: {error}"))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned()
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The error number of a call that must fail.
pub fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

/// Names in a directory, sorted.
#[track_caller]
pub fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let directory = directory.as_ref();
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a path is: device and inode.
#[track_caller]
pub fn identity(path: impl AsRef<Path>) -> (u64, u64) {
    let path = path.as_ref();
    let stat = fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (stat.dev(), stat.ino())
}

/// Waits for what must become true within `limit`.
#[track_caller]
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes the kernel forget pages, names and inodes that nobody uses. Needs root.
pub fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Runs `action` as an ordinary user, in a thread of its own: user and group belong to a thread, as the kernel sees it.
pub fn as_user<T: Send>(uid: u32, gid: u32, action: impl FnOnce() -> T + Send) -> T {
    let become_user = || {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user().unwrap_or_else(|errno| panic!("cannot become user {uid}: {errno}"));
            action()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
