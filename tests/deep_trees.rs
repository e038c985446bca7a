//! Trees deeper than a process may have files open, ingested, restored and compared by the program that users run.

mod support;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::fidelity;
use tempfile::TempDir;

const LEVELS: usize = 3000;
const OPEN_FILES_MAX: usize = 256;

/// A directory that is removed with all its levels.
struct DeepPlace {
    directory: TempDir,
}

impl DeepPlace {
    fn new() -> DeepPlace {
        DeepPlace { directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs yesterfs with few files open.
    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={OPEN_FILES_MAX}:{OPEN_FILES_MAX}")).arg(env!("CARGO_BIN_EXE_yesterfs"));
        command.env("YESTERFS_REPO", self.path("repo")).current_dir(self.directory.path()).args(words);
        command.stdin(Stdio::null()).output().expect("prlimit of util-linux")
    }

    #[track_caller]
    fn succeed(&self, words: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(words);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{words:?}: {status}: {}", stderr.lines().take(5).collect::<Vec<_>>().join("\n"));
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for DeepPlace {
    fn drop(&mut self) {
        // The standard library holds every level open.
        let _ = Command::new("rm").arg("-rf").arg(self.directory.path()).status();
    }
}

fn open(directory: impl std::os::fd::AsFd, name: &str) -> OwnedFd {
    rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A chain of directories, each with a file that is met on the way down, and one that is met on the way back up.
fn make_deep(root: &Path) {
    std::fs::create_dir(root).unwrap();
    let mut here = open(CWD, root.to_str().unwrap());
    for level in 0..LEVELS {
        for name in ["a", "z"] {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&here, name, flags, Mode::from_raw_mode(0o640)).unwrap();
            rustix::io::write(&file, format!("{name} at level {level}").as_bytes()).unwrap();
        }
        rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
        here = open(&here, "d");
    }
}

/// The walker that compares holds every level open.
fn raise_open_files_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let enough = maximum.is_none_or(|maximum| maximum > LEVELS as u64 + 100);
    assert!(enough, "this test has {LEVELS} directories open: raise the hard limit of open files (ulimit -Hn)");
}

#[test]
fn a_tree_of_more_levels_than_files_may_be_open_comes_back() {
    raise_open_files_limit();
    let place = DeepPlace::new();
    make_deep(&place.path("deep"));
    place.succeed(&["init"]);
    let said = place.succeed(&["ingest", "dir", "deep", "--source", "deep"]);
    assert!(said.contains("complete") && said.contains("6,000 files"), "{said}");
    place.succeed(&["restore", "deep", "--to", "restored"]);
    fidelity::assert_same(&fidelity::walk(&place.path("deep")), &fidelity::walk(&place.path("restored")));
    // Live directories on both sides, and on one.
    assert_eq!(place.succeed(&["diff", "./deep", "./restored"]), "");
    assert_eq!(place.succeed(&["diff", "deep", "./restored"]), "");
    // Nothing is missed by the second time, beside the snapshot.
    let again = place.succeed(&["ingest", "dir", "deep", "--source", "deep"]);
    assert!(again.contains("complete") && again.contains("6,000 files"), "{again}");
    assert_eq!(place.succeed(&["diff", "deep@latest~1", "deep@latest"]), "");
    place.succeed(&["check"]);
}
