//! A running command: what it prints, and how it ends. It has a process group of its own, so that with it ends whatever
//! it started, and nothing else.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::ingest::input::terminal::Loan;

/// A silent command is left alone so long before it is looked whether its output is still wanted.
const LOOK_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The same for a command that closed its output and has not ended.
pub(super) const LOOK_INTERVAL_AT_END: Duration = Duration::from_millis(5);

/// What a command may have printed before it has to wait: more than the usual 64 KiB saves switching to and fro.
const PIPE_BYTES: usize = 1 << 20;

/// How often it is looked, in that interval, whether a command that was asked to end has ended; then it is killed.
const LOOKS_BEFORE_KILLING: u32 = 400;

/// A command that is ended when nobody wants its output any more.
pub(super) struct RunningCommand {
    child: Child,
    pipe: ChildStdout,
    /// Also the number of its group. It stays theirs until the child was waited for.
    id: Pid,
    loan: Option<Loan>,
    /// Waited for: the numbers may be anybody's by now.
    done: bool,
}

impl RunningCommand {
    pub fn start(mut command: Command) -> io::Result<RunningCommand> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let id = Pid::from_child(&child);
        // It was asked for above.
        let pipe = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // What the system refuses costs speed only.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        Ok(RunningCommand { child, pipe, id, loan: None, done: false })
    }

    /// How it ended, if it has. What a command leaves behind that failed is ended as well.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if !self.has_ended()? {
            self.lend_terminal_if_asked()?;
            return Ok(None);
        }
        if self.look(WaitIdOptions::EXITED)?.is_some_and(|status| status.exit_status() != Some(0)) {
            self.signal(Signal::KILL);
        }
        self.loan = None;
        self.done = true;
        self.child.wait().map(Some)
    }

    fn has_ended(&self) -> io::Result<bool> {
        Ok(self.look(WaitIdOptions::EXITED)?.is_some())
    }

    /// Looks without waiting for it, so that its number stays its own.
    fn look(&self, options: WaitIdOptions) -> io::Result<Option<rustix::process::WaitIdStatus>> {
        Ok(waitid(WaitId::Pid(self.id), options | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)?)
    }

    /// The kernel stops a command that asks for a password: its group is not the one that the terminal listens to.
    fn lend_terminal_if_asked(&mut self) -> io::Result<()> {
        // Looking only for one that was stopped fails for one that has ended.
        let stopped = self.look(WaitIdOptions::STOPPED | WaitIdOptions::EXITED)?;
        let stopped = stopped.and_then(|status| status.stopping_signal());
        let by_terminal = [Signal::TTIN, Signal::TTOU, Signal::TSTP];
        if let Some(signal) = by_terminal.into_iter().find(|signal| stopped == Some(signal.as_raw())) {
            self.loan = None;
            self.loan = Some(Loan::to(self.id, signal)?);
            self.signal(Signal::CONT);
        }
        Ok(())
    }

    /// A group that is gone needs no signal.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }
}

/// Waits a while for bytes to read, or the end; not long, so that a silent producer holds up nobody who has given up.
pub(super) fn has_bytes(file: &impl AsFd) -> io::Result<bool> {
    Ok(poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&LOOK_INTERVAL))? > 0)
}

impl Read for RunningCommand {
    /// Interrupted now and then, so that a silent command holds up nobody who has given up.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !has_bytes(&self.pipe)? {
            self.lend_terminal_if_asked()?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.loan = None;
        self.pipe.read(buffer)
    }
}

impl Drop for RunningCommand {
    /// First asked, so that it can cancel what it began elsewhere, on a server say.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        for _ in 0..LOOKS_BEFORE_KILLING {
            // Whoever cannot be looked at is killed.
            if self.has_ended().unwrap_or(true) {
                break;
            }
            std::thread::sleep(LOOK_INTERVAL_AT_END);
        }
        self.signal(Signal::KILL);
        // It fails for a child that somebody else waited for, which is fine.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_has_just_ended_is_no_failure() {
        let mut running = RunningCommand::start(Command::new("true")).unwrap();
        while !running.has_ended().unwrap() {
            std::thread::sleep(LOOK_INTERVAL_AT_END);
        }
        // It may end at any time before this look.
        running.lend_terminal_if_asked().unwrap();
        assert!(running.ended().unwrap().unwrap().success());
    }
}
