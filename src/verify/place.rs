//! ScratchPlace: a directory of a drill's own, and somebody who looks after it even when this process is killed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::load::Environment;
use crate::progress::Monitor;

/// Servers refuse to run as root: they run as this user and group, nobody's on every Linux.
const NOBODY: u32 = 65534;

/// The longest path of such a directory: the kernel takes paths of sockets of 107 bytes.
const PATH_MAX_BYTES: usize = 90;

/// How often, and after which times, removing it is tried.
const REMOVALS_MAX: u32 = 20;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(100);

/// Between two looks at a program that runs, or at whether the user gave up.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until the process that started it has ended, which closes its standard input; then it ends the server whose number
/// came last, and removes the directory.
const KEEPER: &str = r#"
server=
while read -r line; do
    [ "$line" = done ] && exit 0
    server=$line
done
[ -n "$server" ] && kill -s KILL -- "-$server" 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$0" 2>/dev/null && exit 0
    sleep 0.3
done
"#;

/// A directory that goes with its owner.
pub struct ScratchPlace<'m> {
    path: PathBuf,
    keeper: Child,
    monitor: &'m dyn Monitor,
    is_kept: bool,
}

impl<'m> ScratchPlace<'m> {
    /// One in this directory. Whoever runs the server owns it, and nobody else sees what is in it.
    pub fn new(parent: &Path, monitor: &'m dyn Monitor) -> Result<ScratchPlace<'m>> {
        let parent = std::path::absolute(parent).map_err(Error::io("find", parent))?;
        let path = parent.join(format!("yesterfs-drill-{}", WriterId::random()?));
        if path.as_os_str().len() > PATH_MAX_BYTES {
            let reason = "its path is too long for the server's socket; name another directory with --tmp";
            return Err(Error::invalid("directory", parent.to_string_lossy(), reason));
        }
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("make", &path))?;
        let place = ScratchPlace { keeper: start_keeper(&path)?, path, monitor, is_kept: false };
        if is_root() {
            let owner = Some(NOBODY);
            chown(&place.path, owner, owner).map_err(Error::io("give away", &place.path))?;
        }
        Ok(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn directory(&self) -> &Path {
        &self.path
    }

    /// What all programs of the drill inherit.
    pub fn environment(&self) -> Environment {
        Environment::Scratch(self.path.clone())
    }

    /// A program that talks to the server, as whoever does the drill.
    pub fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.environment().give_to(&mut command, &[]);
        command
    }

    /// A program that works here, as somebody who is not root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.client(program);
        command.current_dir(&self.path).stdin(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs such a program to its end, or until the user asks to stop, which ends what it started, too.
    pub fn run(&self, mut command: Command, what: &str) -> Result<()> {
        let client = command.get_program().to_string_lossy().into_owned();
        let failed = |reason: String| Error::Load { what: what.to_string(), client: client.clone(), reason };
        let path = self.path("told");
        let told = File::create(&path).map_err(Error::io("make", &path))?;
        let also_told = told.try_clone().map_err(Error::io("open again", &path))?;
        command.process_group(0).stdin(Stdio::null()).stdout(told).stderr(also_told);
        let mut child = command.spawn().map_err(|cause| failed(cause.to_string()))?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|cause| failed(cause.to_string()))? {
                break status;
            }
            if self.monitor.is_cancelled() {
                // It was not waited for, so that the number is its own.
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return Err(Error::Interrupted);
            }
            std::thread::sleep(LOOK_INTERVAL);
        };
        if status.success() {
            return Ok(());
        }
        Err(failed(format!("{status}; {}", end_of(&std::fs::read(&path).unwrap_or_default()))))
    }

    /// Whoever looks after the place ends this one, too; or none any more.
    pub fn set_server(&self, server: Option<Pid>) {
        self.tell_keeper(&server.map(|server| server.as_raw_nonzero().to_string()).unwrap_or_default());
    }

    fn tell_keeper(&self, line: &str) {
        // One that is gone does nothing, which is what the last line asks for.
        let _ = self.keeper.stdin.as_ref().map(|mut stdin| stdin.write_all(format!("{line}\n").as_bytes()));
    }

    /// Leaves the directory there; tells where.
    pub fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl ScratchPlace<'_> {
    /// What a server that was killed left behind may still write there for a moment.
    fn remove(&self) {
        let mut looks = 0;
        while let Err(error) = std::fs::remove_dir_all(&self.path) {
            looks += 1;
            if looks == REMOVALS_MAX {
                return log::warn!("cannot remove {}: {error}", self.path.display());
            }
            std::thread::sleep(REMOVAL_INTERVAL);
        }
    }
}

impl Drop for ScratchPlace<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.remove();
        }
        self.tell_keeper("done");
        let _ = self.keeper.wait();
    }
}

/// In a process group of its own: what ends this process from a terminal does not reach it.
fn start_keeper(path: &Path) -> Result<Child> {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER]).arg(path).current_dir("/").process_group(0);
    keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = keeper.spawn();
    if started.is_err() {
        // It is empty.
        let _ = std::fs::remove_dir(path);
    }
    let failed = |cause: std::io::Error| Error::Load {
        what: "looking after the server".into(),
        client: "sh".into(),
        reason: cause.to_string(),
    };
    started.map_err(failed)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What is shown of what a program told.
const SHOWN_BYTES: usize = 2000;

/// The last lines of what a program told.
pub fn end_of(told: &[u8]) -> String {
    let from = told.len().saturating_sub(SHOWN_BYTES);
    String::from_utf8_lossy(&told[from..]).trim().to_string()
}
