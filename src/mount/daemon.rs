//! Going to the background. The command starts itself again in the foreground, as a child that serves, and returns when
//! the child says that its mount answers. No fork of a running process: threads and RocksDB would not survive one.
//!
//! Until then parent and child share terminal and process group, so what the child prints is seen, Ctrl-C ends both,
//! and a child that fails hands its exit code on.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pipe::PipeFlags;

use crate::error::{Error, Result};

/// What the child writes into the pipe once its mount answers.
const READY: u8 = b'R';

/// How [`start`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The mount answers; the process with this id serves it.
    Ready { process_id: u32 },
    /// The child ended before; it has printed why. `None` where a signal ended it.
    Ended { exit_code: Option<i32> },
}

/// Runs this program with `arguments`, and waits until it calls [`Background::ready`] or ends.
///
/// The child's standard output is the pipe it reports through, so `arguments` must tell it to make a [`Background`],
/// and to print nothing there.
///
/// # Errors
/// [`Error::Io`] where the program cannot be started.
pub fn start(arguments: &[OsString]) -> Result<Started> {
    let program = std::env::current_exe().map_err(Error::io("find", "this program"))?;
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|errno| Error::io("make a pipe to", &program)(errno.into()))?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::from(theirs));
    let mut child = command.spawn().map_err(Error::io("start", &program))?;
    // The command holds the parent's copy of the child's end; the pipe must end when the child does.
    drop(command);
    let mut said = Vec::new();
    File::from(ours).take(1).read_to_end(&mut said).map_err(Error::io("read the answer of", &program))?;
    if said == [READY] {
        return Ok(Started::Ready { process_id: child.id() });
    }
    let status = child.wait().map_err(Error::io("wait for", &program))?;
    Ok(Started::Ended { exit_code: status.code() })
}

/// The child's side: a foreground process that will go to the background.
#[derive(Debug)]
pub struct Background {
    log_file: Option<PathBuf>,
}

impl Background {
    /// Standard error will go to the end of `log_file`, or nowhere without one.
    ///
    /// # Errors
    /// [`Error::Io`] where the log file cannot be written.
    pub fn prepare(log_file: Option<&Path>) -> Result<Background> {
        // A name that cannot be opened shall fail while somebody still reads the message.
        log_file.map(open_log).transpose()?;
        Ok(Background {
            log_file: log_file.map(std::path::absolute).transpose().map_err(Error::io("find", "the log file"))?,
        })
    }

    /// Leaves terminal, session and working directory, and lets the parent return. Relative paths mean something else
    /// afterwards.
    ///
    /// # Errors
    /// [`Error::Io`] where the parent is gone: nobody wants the mount any more, and the caller should end it.
    pub fn ready(self) -> Result<()> {
        let failed = || Error::io("go to the background from", "the terminal");
        let log: OwnedFd = match &self.log_file {
            Some(path) => open_log(path)?.into(),
            None => null_device()?.into(),
        };
        // Fails for a process that leads its group already, as when a service manager started it: nothing to leave.
        let _ = rustix::process::setsid();
        std::env::set_current_dir("/").map_err(failed())?;
        let pipe =
            rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).map_err(|errno| failed()(errno.into()))?;
        let null = null_device()?;
        redirect(null.as_fd(), null.as_fd(), log.as_fd()).map_err(failed())?;
        File::from(pipe).write_all(&[READY]).map_err(failed())
    }
}

fn redirect(stdin: impl AsFd, stdout: impl AsFd, stderr: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    Ok(())
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).create(true).open(path).map_err(Error::io("append to the log file", path))
}

fn null_device() -> Result<File> {
    const NULL: &str = "/dev/null";
    OpenOptions::new().read(true).write(true).open(NULL).map_err(Error::io("open", NULL))
}

/// Lets all threads of this process share one heap. For a process that serves a mount: glibc gives threads heaps of their
/// own, and every heap keeps the room that its threads once needed for chunks. With 16 loops that came to 249 MiB and
/// grew, where one heap takes 172 MiB.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets one number of the allocator, which looks at it under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
