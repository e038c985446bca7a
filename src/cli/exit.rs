//! How a command ends: its outcome or failure becomes one number, and a failure one message with at most one hint.

use std::error::Error as _;
use std::io;

use yesterfs::error::{Error, ErrorKind, Result};

use super::progress::stderr_line;

/// What a command that did not fail has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was asked for is done.
    Done,
    /// Two trees differ.
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
    /// Results could not be written to standard output.
    Output(io::Error),
    /// The words of the command line do not fit each other.
    Usage(String),
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
    1  diff found differences; nothing else ends with 1
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
        Err(Failure::Library(error)) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Invalid => USAGE,
            ErrorKind::Corrupt => DAMAGED,
            ErrorKind::Unsupported => UNSUPPORTED,
            ErrorKind::Io | ErrorKind::Command => FAILED,
            ErrorKind::Interrupted => INTERRUPTED,
        },
        Err(Failure::Usage(_)) => USAGE,
        Err(Failure::Reported(code)) => code.filter(|code| *code != 0).unwrap_or(FAILED),
        Err(Failure::System { .. }) => FAILED,
        Err(Failure::Output(error)) if is_closed(error) => OUTPUT_CLOSED,
        Err(Failure::Output(_)) => FAILED,
    }
}

/// Prints why a command failed, and what to do about it where that is known.
pub fn report(failure: &Failure) {
    match failure {
        Failure::Library(error) => {
            stderr_line(&format!("yesterfs: {}", with_causes(error)));
            if let Some(hint) = hint(error) {
                stderr_line(&format!("hint: {hint}"));
            }
        }
        Failure::Usage(text) => {
            stderr_line(&format!("yesterfs: {text}"));
            stderr_line("hint: yesterfs COMMAND --help shows how a command is used");
        }
        Failure::System { operation, source } => stderr_line(&format!("yesterfs: cannot {operation}: {source}")),
        Failure::Reported(_) => {}
        // Whoever closed it does not want to hear more.
        Failure::Output(error) if is_closed(error) => {}
        Failure::Output(error) => stderr_line(&format!("yesterfs: cannot write to standard output: {error}")),
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

/// The one thing to do next, if there is one.
fn hint(error: &Error) -> Option<&'static str> {
    let hint = match error {
        Error::NotFound { what: "repository in", .. } => "make one with: yesterfs init DIR",
        Error::NotFound { what: "snapshot", .. } => "yesterfs snapshots lists what there is",
        Error::NotFound { what: "path", .. } => "yesterfs ls SNAP:/PATH lists what there is",
        Error::Ambiguous { .. } => "write more digits of the id",
        Error::Unsupported { .. } => "update yesterfs on this machine",
        Error::Interrupted => "run the same command again; what was stored so far is kept",
        Error::Io { source, .. } | Error::Backend { source, .. } => return io_hint(source),
        _ if error.kind() == ErrorKind::Corrupt => {
            "yesterfs check --read-data names every snapshot and path that is affected"
        }
        _ => return None,
    };
    Some(hint)
}

fn io_hint(source: &io::Error) -> Option<&'static str> {
    match source.kind() {
        io::ErrorKind::PermissionDenied => Some("run it as a user who may, or as root"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("nothing that was stored is lost; make room, then run the same command again")
        }
        io::ErrorKind::ResourceBusy => Some("somebody uses it: close what is open there; umount has --lazy"),
        io::ErrorKind::ReadOnlyFilesystem => Some("this filesystem is mounted read-only"),
        _ => None,
    }
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
    fn only_diff_ends_with_1() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(code(&Ok(Outcome::Different)), DIFFERENT);
        assert_eq!(code(&Err(Failure::Output(closed))), OUTPUT_CLOSED);
        assert_eq!(code(&Err(Failure::Output(io::Error::other("?")))), FAILED);
        assert_eq!(code(&Err(Failure::Library(Error::Interrupted))), INTERRUPTED);
        let gone = Error::ObjectMissing { key: "packs/ab/1".to_string(), backend: "/srv/yester".to_string() };
        assert_eq!(code(&Err(Failure::Library(gone))), DAMAGED);
        assert_eq!(code(&Err(Failure::Usage("no".to_string()))), USAGE);
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::Io { operation: "open", path: PathBuf::from("/x"), source };
        assert_eq!(with_causes(&error), "cannot open \"/x\": permission denied");
    }
}
