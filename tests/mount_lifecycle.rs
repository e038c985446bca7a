//! Mounts come, answer, refuse to be written to, and go: by umount, by signal, by force.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Access, CWD, Dir, FileType, Mode, Timestamps, UTIME_NOW, XattrFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

const YESTERFS: &str = env!("CARGO_BIN_EXE_yesterfs");

/// A repository with one snapshot of `source` as `lake`, and a place to mount it on.
struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let stage = Stage { directory: TempDir::new().unwrap() };
        fs::create_dir(stage.mount_point()).unwrap();
        fs::create_dir_all(stage.source().join("directory")).unwrap();
        fs::write(stage.source().join("file"), "some text\n").unwrap();
        fs::write(stage.source().join("large"), vec![7; 3 << 20]).unwrap();
        symlink("file", stage.source().join("link")).unwrap();
        stage.succeed(&["init"]);
        stage.ingest();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    fn source(&self) -> PathBuf {
        self.path("source")
    }

    fn mount_point(&self) -> PathBuf {
        self.path("mount")
    }

    /// The newest snapshot in the mount.
    fn latest(&self) -> PathBuf {
        self.mount_point().join("snapshots/lake/latest")
    }

    fn yesterfs(&self, words: &[&str]) -> Command {
        let mut command = Command::new(YESTERFS);
        command.arg("--repo").arg(self.repository()).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.yesterfs(words).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it printed.
    fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail, and returns what it complained.
    fn fail(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} succeeded: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn ingest(&self) {
        self.succeed(&["ingest", "dir", self.source().to_str().unwrap(), "--source", "lake"]);
    }

    /// Mounts in the background, and returns the process that serves.
    fn mount(&self) -> Pid {
        let said = self.succeed(&["mount", self.mount_point().to_str().unwrap()]);
        let number = said.split_whitespace().next_back().and_then(|word| word.parse().ok());
        Pid::from_raw(number.unwrap_or_else(|| panic!("no process id in {said:?}"))).unwrap()
    }

    /// Mounts in the foreground, and returns once the mount answers.
    fn mount_in_foreground(&self) -> Child {
        let child = self.yesterfs(&["mount", "--foreground"]).arg(self.mount_point()).spawn().unwrap();
        eventually("the mount answers", || self.latest().exists());
        child
    }

    fn umount(&self) -> Output {
        self.run(&["umount", self.mount_point().to_str().unwrap()])
    }

    fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().any(|line| line.split(' ').nth(4) == self.mount_point().to_str())
    }
}

impl Drop for Stage {
    /// Leaves no mount behind when a test fails.
    fn drop(&mut self) {
        if self.is_mounted() {
            let point = self.mount_point();
            let gone = rustix::mount::unmount(&point, UnmountFlags::DETACH).is_ok();
            if !gone {
                let _ = Command::new("fusermount3").arg("-uz").arg(&point).status();
            }
        }
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(process: Pid) -> bool {
    // A daemon is nobody's child here, so one that ended leaves no zombie behind that would still count.
    let state = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    state.is_ok_and(|state| !state.contains(") Z "))
}

/// The error number of a call that must fail.
fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn the_command_returns_when_the_mount_answers_and_umount_takes_it_away() {
    let stage = Stage::new();
    let process = stage.mount();
    assert_eq!(fs::read_to_string(stage.latest().join("file")).unwrap(), "some text\n");
    assert!(stage.umount().status.success());
    assert!(!stage.is_mounted());
    assert_eq!(fs::read_dir(stage.mount_point()).unwrap().count(), 0);
    eventually("the daemon ends", || !is_running(process));
    assert!(stage.fail(&["umount", stage.mount_point().to_str().unwrap()]).contains("nothing is mounted"));
}

#[test]
fn relative_paths_still_work_in_the_background() {
    let stage = Stage::new();
    let words = ["--repo", "repository", "mount", "mount", "--log-file", "log"];
    let mounted = Command::new(YESTERFS).args(words).current_dir(stage.directory.path()).output().unwrap();
    assert!(mounted.status.success(), "{mounted:?}");
    // Read by the daemon now, long after it left that directory.
    assert_eq!(fs::read(stage.latest().join("large")).unwrap(), vec![7; 3 << 20]);
    // Also what it has to look up in an index that is newer than the one it opened.
    let first = fs::read_link(stage.latest()).unwrap();
    fs::write(stage.source().join("large"), vec![8; 3 << 20]).unwrap();
    stage.ingest();
    eventually("the new snapshot appears", || fs::read_link(stage.latest()).unwrap() != first);
    assert_eq!(fs::read(stage.latest().join("large")).unwrap(), vec![8; 3 << 20]);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(table.contains(&format!(" {} ", stage.repository().display())), "{table}");
    assert!(stage.path("log").exists());
    assert!(stage.umount().status.success());
}

#[test]
fn sigterm_unmounts_and_the_exit_code_is_zero() {
    let stage = Stage::new();
    let mut child = stage.mount_in_foreground();
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!stage.is_mounted());
}

#[test]
fn sigterm_ends_a_mount_that_was_detached_before() {
    let stage = Stage::new();
    let mut child = stage.mount_in_foreground();
    let _open = File::open(stage.latest().join("large")).unwrap();
    assert!(stage.umount().status.success());
    assert!(child.try_wait().unwrap().is_none(), "it serves whoever has files open");
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    eventually("the process ends", || child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
}

#[test]
fn sigterm_ends_a_mount_whose_files_are_open() {
    let stage = Stage::new();
    let mut child = stage.mount_in_foreground();
    let open = File::open(stage.latest().join("large")).unwrap();
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!stage.is_mounted());
    drop(open);
}

#[test]
fn a_killed_daemon_leaves_an_error_and_never_an_empty_directory() {
    let stage = Stage::new();
    let process = stage.mount();
    rustix::process::kill_process(process, Signal::KILL).unwrap();
    eventually("the daemon is gone", || !is_running(process));
    eventually("the mount is dead", || {
        let answer = fs::read_dir(stage.mount_point());
        assert!(answer.is_err(), "a directory without its snapshots is what a mirror would delete everything for");
        errno(answer) == Some(Errno::NOTCONN)
    });
    let refusal = stage.fail(&["mount", stage.mount_point().to_str().unwrap()]);
    assert!(refusal.contains("in use") && refusal.contains("its process is gone: unmount it first"), "{refusal}");
    assert!(stage.umount().status.success());
    assert!(!stage.is_mounted());
}

#[test]
fn a_busy_mount_is_unmounted_lazily_and_still_serves_whoever_has_it_open() {
    let stage = Stage::new();
    let process = stage.mount();
    let mut open = File::open(stage.latest().join("large")).unwrap();
    let output = stage.umount();
    assert!(output.status.success());
    let said = format!("yesterfs: \"{}\" is in use, and was detached: ", stage.mount_point().display());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(&said), "{output:?}");
    assert!(!stage.is_mounted());
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, vec![7; 3 << 20]);
    assert!(is_running(process));
    drop(open);
    eventually("the daemon ends", || !is_running(process));
}

#[test]
fn mount_points_that_cannot_be_used_are_refused_with_the_reason() {
    let stage = Stage::new();
    let refusal = |point: &Path| stage.fail(&["mount", point.to_str().unwrap()]);
    assert!(refusal(&stage.repository()).contains("lies in the repository"));
    assert!(refusal(&stage.repository().join("packs")).contains("lies in the repository"));
    assert!(refusal(stage.directory.path()).contains("would cover the repository"));
    assert!(refusal(&stage.source().join("file")).contains("not a directory"));
    assert!(refusal(&stage.path("absent")).contains("absent"));
    stage.mount();
    assert!(refusal(&stage.mount_point()).contains("in use"));
    assert!(stage.umount().status.success());
}

#[test]
fn what_a_mount_hides_is_told() {
    let stage = Stage::new();
    let mount = || stage.run(&["mount", stage.mount_point().to_str().unwrap()]);
    let said = |output: Output| String::from_utf8(output.stderr).unwrap();
    assert_eq!(said(mount()), "");
    assert!(stage.umount().status.success());
    fs::write(stage.mount_point().join("precious"), "").unwrap();
    let told = said(mount());
    assert!(told.contains("is not empty; what it has is hidden until it is unmounted"), "{told}");
    assert!(stage.umount().status.success());
    assert!(stage.mount_point().join("precious").exists());
}

#[test]
fn a_new_snapshot_appears_and_a_forgotten_one_disappears_within_a_second() {
    let stage = Stage::new();
    stage.mount();
    let names = || fs::read_dir(stage.mount_point().join("snapshots/lake")).unwrap().count();
    let before = names();
    let first = fs::read_link(stage.latest()).unwrap();
    fs::write(stage.source().join("new"), "new").unwrap();
    stage.ingest();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(names(), before + 1);
    assert_eq!(fs::read_to_string(stage.latest().join("new")).unwrap(), "new");
    let second = fs::read_link(stage.latest()).unwrap();
    assert_ne!(first, second);
    stage.succeed(&["forget", "lake@latest"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fs::read_link(stage.latest()).unwrap(), first);
    assert_eq!(errno(fs::read_dir(stage.mount_point().join("snapshots/lake").join(second))), Some(Errno::NOENT));
    assert!(stage.umount().status.success());
}

/// Names in a directory, by a descriptor that was open before: nothing makes the kernel ask about its attributes.
fn names_of(directory: &File) -> Vec<Vec<u8>> {
    let entries = Dir::read_from(directory).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
    let mut names: Vec<Vec<u8>> = entries.filter(|name| !name.starts_with(b".")).collect();
    names.sort();
    names
}

#[test]
fn listings_that_the_kernel_keeps_are_told_anew_after_each_record_that_changes_them() {
    let stage = Stage::new();
    stage.mount();
    let count = |directory: &str| fs::read_dir(stage.mount_point().join(directory)).unwrap().count();
    let counts = |directories: &[&str]| directories.iter().map(|directory| count(directory)).collect::<Vec<_>>();
    let directories = ["snapshots", "snapshots/lake", "ids", "tags", "at/2100-01-01"];
    let sources = File::open(stage.mount_point().join("snapshots")).unwrap();
    for _ in 0..2 {
        assert_eq!(counts(&directories), [1, 2, 1, 0, 1]);
        assert_eq!(names_of(&sources), [b"lake"]);
    }
    let become_now = |what: &str, expected: [usize; 5]| {
        eventually(what, || names_of(&sources).len() == expected[0]);
        eventually(what, || counts(&directories) == expected);
    };
    stage.succeed(&["tag", "lake@latest", "--add", "weekly"]);
    become_now("a tag", [1, 2, 1, 1, 1]);
    assert_eq!(count("tags/weekly/lake"), 1);
    stage.ingest();
    become_now("a snapshot", [1, 3, 2, 1, 1]);
    stage.succeed(&["ingest", "dir", stage.source().to_str().unwrap(), "--source", "river"]);
    become_now("a source", [2, 3, 3, 1, 2]);
    stage.succeed(&["forget", "lake@latest~1"]);
    become_now("a snapshot less", [2, 2, 2, 0, 2]);
    // No record changes this one.
    stage.succeed(&["ingest", "dir", stage.source().to_str().unwrap(), "--source", "brook"]);
    eventually("time passes", || count("at/3s-ago") == 3);
    assert!(stage.umount().status.success());
}

#[test]
fn directories_in_no_snapshot_have_a_time_for_each_record() {
    let stage = Stage::new();
    stage.mount();
    let time_of = |directory: &str| {
        let metadata = fs::metadata(stage.mount_point().join(directory)).unwrap();
        (metadata.mtime(), metadata.mtime_nsec())
    };
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let (began, records) = time_of("snapshots");
    assert!((now() - 60..=now()).contains(&began) && records > 0, "{began} {records}");
    assert_eq!([time_of("ids"), time_of("tags"), time_of("at"), time_of("")], [(began, records); 4]);
    // A tag is one record, and no snapshot.
    stage.succeed(&["tag", "lake@latest", "--add", "weekly"]);
    eventually("a tag", || time_of("snapshots") == (began, records + 1) && time_of("tags") == (began, records + 1));
    let before = now();
    let (shown, _) = time_of("at/2h-ago");
    assert!((before..=now()).contains(&shown), "{shown} is not {before}");
    assert!(stage.umount().status.success());
}

#[test]
fn inode_numbers_survive_a_remount() {
    let stage = Stage::new();
    let numbers =
        || ["file", "large", "directory", "."].map(|name| fs::metadata(stage.latest().join(name)).unwrap().ino());
    stage.mount();
    let before = numbers();
    assert!(stage.umount().status.success());
    stage.mount();
    assert_eq!(numbers(), before);
    assert!(stage.umount().status.success());
}

#[test]
fn every_write_like_call_gives_erofs() {
    let stage = Stage::new();
    stage.mount();
    for directory in [stage.latest(), stage.mount_point(), stage.mount_point().join("snapshots")] {
        assert_refuses_new_entries(&directory);
    }
    assert_refuses_changes(&stage.latest());
    assert!(stage.umount().status.success());
}

fn assert_refuses_new_entries(directory: &Path) {
    let new = directory.join("new");
    let file = directory.join("file");
    let results = [
        ("create", errno(File::create(&new))),
        ("mkdir", errno(fs::create_dir(&new))),
        ("symlink", errno(symlink("x", &new))),
        ("mkfifo", rustix::fs::mknodat(CWD, &new, FileType::Fifo, Mode::RWXU, 0).err()),
    ];
    for (call, errno) in results {
        assert_eq!(errno, Some(Errno::ROFS), "{call} in {directory:?}");
    }
    if file.exists() {
        assert_eq!(errno(fs::hard_link(&file, &new)), Some(Errno::ROFS));
        assert_eq!(errno(fs::rename(&file, &new)), Some(Errno::ROFS));
    }
}

fn assert_refuses_changes(snapshot: &Path) {
    let file = snapshot.join("file");
    let open = File::open(&file).unwrap();
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let me = rustix::process::getuid().as_raw();
    let results = [
        ("open for writing", errno(OpenOptions::new().write(true).open(&file))),
        ("open for appending", errno(OpenOptions::new().append(true).open(&file))),
        ("open and truncate", errno(OpenOptions::new().write(true).truncate(true).open(&file))),
        ("access", rustix::fs::access(&file, Access::WRITE_OK).err()),
        ("unlink", errno(fs::remove_file(&file))),
        ("rmdir", errno(fs::remove_dir(snapshot.join("directory")))),
        ("chmod", errno(fs::set_permissions(&file, PermissionsExt::from_mode(0o600)))),
        ("chown", errno(chown(&file, Some(me), None))),
        ("lchown", errno(lchown(snapshot.join("link"), Some(me), None))),
        ("utimensat", rustix::fs::utimensat(CWD, &file, &times, rustix::fs::AtFlags::empty()).err()),
        ("setxattr", rustix::fs::setxattr(&file, "user.x", b"1", XattrFlags::empty()).err()),
        ("removexattr", rustix::fs::removexattr(&file, "user.x").err()),
        ("fchmod", rustix::fs::fchmod(&open, Mode::RWXU).err()),
        ("fchown", rustix::fs::fchown(&open, Some(rustix::process::getuid()), None).err()),
        ("futimens", rustix::fs::futimens(&open, &times).err()),
        ("fsetxattr", rustix::fs::fsetxattr(&open, "user.x", b"1", XattrFlags::empty()).err()),
    ];
    for (call, errno) in results {
        assert_eq!(errno, Some(Errno::ROFS), "{call}");
    }
}

/// What an ordinary user does, as words for `sh -e` with `$yesterfs`, `$repository` and `$mount` set.
const ORDINARY_USERS_STORY: &str = r#"
    "$yesterfs" --repo "$repository" mount "$mount"
    cat "$mount/snapshots/lake/latest/file"
    if mkdir "$mount/new" 2>/dev/null; then echo "written to"; fi
    "$yesterfs" --repo "$repository" umount "$mount"
    "$yesterfs" --repo "$repository" mount "$mount"
    exec 7<"$mount/snapshots/lake/latest/large"
    "$yesterfs" --repo "$repository" umount "$mount" 2>&1
    wc -c <&7
"#;

/// Tries with a `/dev/fuse` that only root may open, as some sandboxes have it, then gives it the mode that it has in every
/// distribution; in a namespace of its own.
const AS_ROOT_FIRST: &str = r#"
    mount -t tmpfs -o mode=755 none "$devices"
    mknod -m 600 "$devices/fuse" c 10 229
    mount --bind "$devices/fuse" /dev/fuse
    as_nobody="setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups"
    $as_nobody "$yesterfs" --repo "$repository" mount "$mount" 2>&1 || echo "ended with $?"
    chmod 666 /dev/fuse
    exec $as_nobody sh -ec "$story"
"#;

#[test]
fn an_ordinary_user_mounts_through_fusermount3() {
    let stage = Stage::new();
    let devices = stage.path("devices");
    fs::create_dir(&devices).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let nobody = rustix::fs::Uid::from_raw(65_534);
        rustix::fs::chown(stage.mount_point(), Some(nobody), None).unwrap();
        give_away(&stage.repository(), nobody);
        fs::set_permissions(stage.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", AS_ROOT_FIRST]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-ec", ORDINARY_USERS_STORY]);
        command
    };
    let program = stage.path("yesterfs");
    // Not by this process, whose other threads start programs: one that has it open for writing keeps it from running.
    assert!(Command::new("cp").arg(YESTERFS).arg(&program).status().unwrap().success());
    command.env("story", ORDINARY_USERS_STORY).env("devices", &devices).env("yesterfs", &program);
    command.env("repository", stage.repository()).env("mount", stage.mount_point());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("some text") && said.contains("in use") && said.contains("3145728"), "{output:?}");
    assert!(!said.contains("written to"), "{output:?}");
    if rustix::process::geteuid().is_root() {
        let refusal =
            "yesterfs: cannot open \"/dev/fuse\": Permission denied (os error 13)\nhint: nothing can be mounted";
        assert!(said.starts_with(refusal) && said.contains("ended with 6"), "{said}");
    }
}

fn give_away(path: &Path, owner: rustix::fs::Uid) {
    rustix::fs::chown(path, Some(owner), None).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path(), owner));
    }
}
