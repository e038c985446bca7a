//! What clap cannot know of a command line that it refuses: which word is a program, and where words belong.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory};
use yesterfs::error::Error;

use super::Cli;
use super::exit::{CommandResult, Failure};

/// What the words that name dumps are called, by the kinds of ingest.
const FILE_ARGUMENTS: [&str; 2] = ["file", "path"];

/// A complaint about these words, with the tip that helps in the place of those that do not.
pub fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let tip = match error.kind() {
        ErrorKind::UnknownArgument => before_command(&error, words),
        ErrorKind::MissingRequiredArgument if words.iter().any(|word| word == "--rows") => {
            Some("--rows takes all names behind it; A and B come before: yesterfs diff A B --rows TABLE".to_string())
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// What to write where the unknown word is a program, or an option behind one.
fn before_command(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return None };
    let at = words.iter().position(|word| word.to_string_lossy().starts_with(unknown.as_str()))?;
    let is_ingest = words[..at].iter().any(|word| word == "ingest");
    if !is_ingest || words[..at].iter().any(|word| word == "--") {
        return None;
    }
    let start = match unknown.starts_with('-') {
        false => Some(at).filter(|&at| is_program(Path::new(&words[at]))),
        true => {
            let matches = Cli::command().try_get_matches_from(&words[..at]).ok()?;
            let command = files(&matches).into_iter().find(|file| is_program(Path::new(file)))?;
            words[..at].iter().rposition(|word| *word == command)
        }
    };
    start.map(|start| put_dashes(words[start..].iter().map(PathBuf::from)))
}

/// The words of an ingest that name files.
fn files(matches: &ArgMatches) -> Vec<OsString> {
    if let Some((_, below)) = matches.subcommand() {
        return files(below);
    }
    let named = FILE_ARGUMENTS.iter().filter_map(|id| matches.try_get_raw(id).ok().flatten());
    named.flatten().map(OsString::from).collect()
}

/// Refuses files that are not there, the first of which is a program.
pub fn refuse_command(files: &[PathBuf]) -> CommandResult<()> {
    let Some(start) = files.iter().position(|file| !file.exists() && is_program(file)) else { return Ok(()) };
    let name = files[start].to_string_lossy().into_owned();
    let hint = put_dashes(files[start..].iter().cloned());
    Err(Failure::Hinted { error: Error::NotFound { what: "file", name }, hint })
}

fn put_dashes(command: impl Iterator<Item = PathBuf>) -> String {
    let words: Vec<String> = command.map(|word| word.to_string_lossy().into_owned()).collect();
    format!("to run a command, put -- before it: -- {}", words.join(" "))
}

/// Whether a word is no file here but a program where PATH leads, or the path of a program.
fn is_program(word: &Path) -> bool {
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if word.components().count() > 1 {
        return is_executable(word);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !word.exists() && std::env::split_paths(&path).any(|directory| is_executable(&directory.join(word)))
}
