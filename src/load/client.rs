//! Client: the program that talks to a server. It is given text on its standard input, and tells on its standard error what
//! went wrong.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Error, Result};
use crate::load::environment::Environment;
use crate::load::failure::error_line;

/// What is kept of complaints.
const COMPLAINTS_MAX_BYTES: usize = 64 << 10;

/// What a client prints to show how far it is.
pub const MARK: &str = "yesterfs: all of this was run";

/// Bytes that are read of what a client prints.
const PRINTED_BYTES: usize = 4 << 10;

/// A program and the arguments that lead it to the server.
pub struct Client {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// The option behind which it takes a statement.
    pub statement_option: &'static str,
    pub environment: Environment,
    /// Variables of the user's that it does not inherit.
    pub withheld: Vec<&'static str>,
}

/// A client that failed.
pub struct Complaint {
    /// What it said, or how it ended.
    pub text: String,
}

/// A client that runs what it is given.
pub struct Feed<'c> {
    client: &'c Client,
    stdin: ChildStdin,
    /// Tells of each mark that the client printed, and ends when the client does.
    marks: Receiver<()>,
}

impl Feed<'_> {
    /// Gives it more text; `Break` where it has ended.
    pub fn take(&mut self, piece: &[u8]) -> Result<ControlFlow<()>> {
        match self.stdin.write_all(piece) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // It has ended, and says why.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(cause) => Err(self.client.failed("writing to it", cause.to_string())),
        }
    }

    /// Waits until it has run all that it was given, of which a statement that prints [`MARK`] was the last; `Break` where it
    /// has ended.
    pub fn wait(&self) -> ControlFlow<()> {
        match self.marks.recv() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Takes pieces of text, and tells whether more are wanted.
pub type Taker<'t> = &'t mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>;

impl Client {
    /// The one that is asked for, else the first of the usual ones that is installed.
    pub fn program(asked: Option<&OsString>, usual: &[&str]) -> OsString {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let is_installed = |program: &&&str| std::env::split_paths(&places).any(|place| place.join(program).is_file());
        let found = || usual.iter().find(is_installed).or(usual.first()).map(OsString::from);
        asked.cloned().or_else(found).unwrap_or_default()
    }

    /// Lets it run one statement, with more arguments than it always gets; gives what it prints.
    pub fn ask(&self, arguments: &[OsString], statement: &str) -> Result<String> {
        let mut command = self.command();
        command.args(arguments).arg(self.statement_option).arg(statement);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|cause| self.cannot_start(&cause))?;
        if !output.status.success() {
            let text = complaint(&output.stderr, &output.status.to_string());
            return Err(self.failed("asking the server", text));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What it tells of itself where this argument asks for that; nothing where it does not know it.
    pub fn told(&self, argument: &str) -> Result<String> {
        let output = Command::new(&self.program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let output = output.map_err(|cause| self.cannot_start(&cause))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Lets it run all the text that `give` gives, with more arguments than it always gets.
    pub fn feed(
        &self,
        arguments: &[OsString],
        give: impl FnOnce(&mut Feed) -> Result<()>,
    ) -> Result<Result<(), Complaint>> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| self.cannot_start(&cause))?;
        // All were asked for above.
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(self.cannot_start(&io::ErrorKind::BrokenPipe.into()));
        };
        let (given, complaints) = std::thread::scope(|scope| {
            let (sender, marks) = sync_channel(1);
            scope.spawn(move || pass_on_marks(stdout, &sender));
            let reader = scope.spawn(move || read_complaints(stderr));
            let mut feed = Feed { client: self, stdin, marks };
            let given = give(&mut feed);
            if given.is_err() {
                stop(&mut child);
            }
            drop(feed);
            (given, reader.join().unwrap_or_default())
        });
        let status = child.wait().map_err(|cause| self.failed("waiting for it", cause.to_string()))?;
        given?;
        Ok(match status.success() {
            true => Ok(()),
            false => Err(Complaint { text: complaint(&complaints, &status.to_string()) }),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        self.environment.give_to(&mut command, &self.withheld);
        command
    }

    fn cannot_start(&self, cause: &io::Error) -> Error {
        Error::NotStarted { client: self.program.to_string_lossy().into_owned(), reason: cause.to_string() }
    }

    /// Something failed that is about no statement.
    pub fn failed(&self, what: &str, reason: String) -> Error {
        Error::Load { what: what.into(), client: self.program.to_string_lossy().into_owned(), reason }
    }
}

/// A half loaded statement is never run: the client waits for its end.
fn stop(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
}

/// Reads to the end, so that the client never waits, and tells of each [`MARK`].
fn pass_on_marks(mut stdout: ChildStdout, marks: &SyncSender<()>) {
    let (mut printed, mut piece) = (Vec::new(), vec![0; PRINTED_BYTES]);
    while let Ok(got @ 1..) = stdout.read(&mut piece) {
        printed.extend_from_slice(&piece[..got]);
        let mut done = 0;
        while let Some(at) = find(&printed[done..], MARK.as_bytes()) {
            done += at + MARK.len();
            // Who waits for none takes none.
            let _ = marks.try_send(());
        }
        printed.drain(..done.max(printed.len().saturating_sub(MARK.len() - 1)));
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Reads to the end, so that the client never waits, and keeps the last of it: some clients repeat the statement first.
fn read_complaints(mut stderr: ChildStderr) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), vec![0; COMPLAINTS_MAX_BYTES]);
    // What cannot be read is not told; that it failed is known from its status.
    while let Ok(got @ 1..) = stderr.read(&mut piece) {
        kept.extend_from_slice(&piece[..got]);
        kept.drain(..kept.len().saturating_sub(COMPLAINTS_MAX_BYTES));
    }
    kept
}

fn complaint(stderr: &[u8], status: &str) -> String {
    let text = String::from_utf8_lossy(stderr);
    // `ERROR 1062 (23000) at line 51: ...`; `psql:<stdin>:51: ERROR:  ...`, and lines that tell more.
    let of_mysql = text.lines().rev().find(|line| line.starts_with("ERROR "));
    match of_mysql.unwrap_or_else(|| error_line(&text)).trim() {
        "" => status.to_string(),
        text => text.to_string(),
    }
}
