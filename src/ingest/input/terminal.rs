//! The terminal, lent to a command that asks its user for something.
//!
//! Commands run in the background of the terminal, so that Ctrl-C is ours, and ends them in order. One that reads from the
//! terminal there, or switches its echo off, is stopped by the kernel. As a shell does with its jobs, we give it the
//! foreground then, until it prints or ends.

use std::fs::{File, OpenOptions};
use std::io;

use rustix::process::{Pid, Signal, getpgrp};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

const TERMINAL: &str = "/dev/tty";

/// While this lives, the foreground belongs to the borrower.
pub(super) struct Loan {
    terminal: File,
    borrower: Pid,
}

impl Loan {
    /// Lends the terminal to a process group that was stopped by `signal`. Where that was Ctrl-Z, or where we are in the
    /// background ourselves, we stop first, too: the user's shell tells of it, and takes us to the foreground when told to.
    pub fn to(borrower: Pid, signal: Signal) -> io::Result<Loan> {
        let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL)?;
        if signal == Signal::TSTP || tcgetpgrp(&terminal)? != getpgrp() {
            // SAFETY: it only sends a signal that stops processes, to this thread: we stop here and now.
            unsafe { libc::raise(signal.as_raw()) };
        }
        if tcgetpgrp(&terminal)? != getpgrp() {
            return Err(io::Error::other("it waits for the terminal, which others use"));
        }
        tcsetpgrp(&terminal, borrower)?;
        Ok(Loan { terminal, borrower })
    }
}

impl Drop for Loan {
    /// Not where somebody else has it by now, a shell that was told to go on say.
    fn drop(&mut self) {
        if tcgetpgrp(&self.terminal) == Ok(self.borrower) {
            // Where it fails, Ctrl-C reaches only the command, and the user's shell still gets its terminal back.
            let _ = from_background(|| tcsetpgrp(&self.terminal, getpgrp()));
        }
    }
}

/// Runs a call that sets up the terminal, without being stopped for doing that from the background.
fn from_background<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are initialized before they are read, and only the mask of this thread changes, which is put
    // back as it was.
    unsafe {
        let mut held = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigemptyset(&mut held);
        libc::sigaddset(&mut held, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut before);
        let result = call();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
