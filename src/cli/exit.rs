//! How a command ends: its outcome or failure becomes one number, and a failure one message with at most one hint.

use std::error::Error as _;
use std::io;

use yesterfs::error::{Error, ErrorKind, Result};

use super::hint;
use super::progress::stderr_line;

/// What a command that did not fail has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was asked for is done.
    Done,
    /// What was compared differs.
    Different,
    /// Done, but something could not be read or set; it was reported.
    Partial,
    /// The repository was read, and some of it is damaged.
    Damaged,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// The library says so.
    Library(Error),
    /// The same, where what was typed tells what to do next.
    Hinted { error: Error, hint: String },
    /// Results could not be written to standard output.
    Output(io::Error),
    /// The words of the command line do not fit each other.
    Usage { problem: &'static str, hint: &'static str },
    /// A process of ours failed and said why; this is its exit code, if it had one.
    Reported(Option<u8>),
    /// A call on this machine's system failed, outside of any repository.
    System { operation: &'static str, source: io::Error },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Library(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

/// How commands end.
pub type CommandResult<T = Outcome> = Result<T, Failure>;

pub const DIFFERENT: u8 = 1;
pub const USAGE: u8 = 2;
pub const PARTIAL: u8 = 3;
pub const DAMAGED: u8 = 4;
pub const UNSUPPORTED: u8 = 5;
pub const FAILED: u8 = 6;
pub const INTERRUPTED: u8 = 130;
/// What the shell shows for a program that SIGPIPE ended, which is what happened in effect.
pub const OUTPUT_CLOSED: u8 = 141;

/// The exit codes, as `--help` and the manual show them.
pub const TABLE: &str = "\
Exit status:
    0  done; diff: no difference
    1  diff or verify found differences; nothing else ends with 1
    2  wrong usage; a name that is unknown, ambiguous or taken; an unusable value
    3  done in part: something could not be read or set, and was reported
    4  the repository is damaged
    5  the repository was written by a newer yesterfs
    6  any other failure: a file, the storage, or the command of an ingest
  130  interrupted
  141  standard output was closed";

/// The exit code of a command.
pub fn code(result: &CommandResult) -> u8 {
    match result {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Different) => DIFFERENT,
        Ok(Outcome::Partial) => PARTIAL,
        Ok(Outcome::Damaged) => DAMAGED,
        Err(Failure::Library(error) | Failure::Hinted { error, .. }) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Invalid => USAGE,
            ErrorKind::Corrupt => DAMAGED,
            ErrorKind::Unsupported => UNSUPPORTED,
            ErrorKind::Io | ErrorKind::Command => FAILED,
            ErrorKind::Interrupted => INTERRUPTED,
        },
        Err(Failure::Usage { .. }) => USAGE,
        Err(Failure::Reported(code)) => code.filter(|code| *code != 0).unwrap_or(FAILED),
        Err(Failure::System { .. }) => FAILED,
        Err(Failure::Output(error)) if is_closed(error) => OUTPUT_CLOSED,
        Err(Failure::Output(_)) => FAILED,
    }
}

/// Prints why a command failed, and what to do about it where that is known.
pub fn report(failure: &Failure) {
    match failure {
        Failure::Library(error) => print(&with_causes(error), hint::of(error)),
        Failure::Hinted { error, hint } => print(&with_causes(error), Some(hint)),
        Failure::Usage { problem, hint } => print(problem, Some(hint)),
        Failure::System { operation, source } => stderr_line(&format!("yesterfs: cannot {operation}: {source}")),
        Failure::Reported(_) => {}
        // Whoever closed it does not want to hear more.
        Failure::Output(error) if is_closed(error) => {}
        Failure::Output(error) => stderr_line(&format!("yesterfs: cannot write to standard output: {error}")),
    }
}

fn print(message: &str, hint: Option<&str>) {
    stderr_line(&format!("yesterfs: {message}"));
    if let Some(hint) = hint {
        stderr_line(&format!("hint: {hint}"));
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The message, and each cause that the message does not tell already.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_table_names_every_code() {
        let codes = [0, DIFFERENT, USAGE, PARTIAL, DAMAGED, UNSUPPORTED, FAILED, INTERRUPTED, OUTPUT_CLOSED];
        let listed: Vec<u8> = TABLE.lines().skip(1).map(|line| line[..5].trim().parse().unwrap()).collect();
        assert_eq!(listed, codes);
    }

    #[test]
    fn only_what_differs_ends_with_1() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(code(&Ok(Outcome::Different)), DIFFERENT);
        assert_eq!(code(&Err(Failure::Output(closed))), OUTPUT_CLOSED);
        assert_eq!(code(&Err(Failure::Output(io::Error::other("?")))), FAILED);
        assert_eq!(code(&Err(Failure::Library(Error::Interrupted))), INTERRUPTED);
        let gone = Error::ObjectMissing { key: "packs/ab/1".to_string(), backend: "/srv/yester".to_string() };
        assert_eq!(code(&Err(Failure::Library(gone))), DAMAGED);
        assert_eq!(code(&Err(Failure::Usage { problem: "no", hint: "yes" })), USAGE);
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::Io { operation: "open", path: PathBuf::from("/x"), source };
        assert_eq!(with_causes(&error), "cannot open \"/x\": permission denied");
    }
}
