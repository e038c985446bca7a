//! Written: a command that prints nothing, and writes a file or a directory, as `mongoexport --out` and `mongodump --out` do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::error::Result;
use crate::ingest::dump::{DumpReading, InputEnd};
use crate::ingest::input::StreamInput;
use crate::ingest::mongo::directory;
use crate::ingest::mongo::exports::{self, ExportInput, ExportOf};
use crate::ingest::mongo::files::MongoDump;
use crate::ingest::mongo::originals::Originals;

/// Directories within one another that are looked at: a dump has one of databases.
const DEPTH_MAX: usize = 2;

/// Such a command, and what it writes.
pub struct Written {
    pub command: StreamInput,
    pub path: PathBuf,
    /// What it is, if it is an export.
    pub of: ExportOf,
}

/// Runs it, and stores what it wrote.
pub fn store(originals: &Originals, written: Written, threads: usize) -> Result<MongoDump> {
    let Written { command, path, of } = written;
    let exit = run(originals.reading, command, &path)?;
    let dump = match path.is_dir() {
        true => directory::store(originals, &path, threads)?,
        false => {
            let input = ExportInput { name: None, input: StreamInput::File(path), of };
            exports::store(originals, vec![input], threads)?
        }
    };
    Ok(MongoDump { ended: InputEnd { exit: Some(exit), ..dump.ended }, ..dump })
}

/// Runs a command up to its end.
fn run(reading: &DumpReading, command: StreamInput, path: &Path) -> Result<ExitStatus> {
    let before = last_change(path, 0);
    let mut input = command.open()?;
    let mut printed = false;
    let (counters, is_given_up) = (reading.monitor.counters(), || reading.monitor.is_cancelled());
    input.each_piece(reading.session, counters, reading.clock, &is_given_up, &mut |_| {
        printed = true;
        Ok(())
    })?;
    let shown = path.display();
    match input.ended(&is_given_up)? {
        None => Err(input.failed("tells not how it ended")),
        Some(_) if printed => {
            Err(input.failed(format!("prints something, and is to write \"{shown}\": which of both is the dump?")))
        }
        Some(exit) if last_change(path, 0) != before => Ok(exit),
        Some(exit) if exit.success() => Err(input.failed(format!(
            "ended well, but wrote no \"{shown}\" on this machine; without --out it prints, and that is taken"
        ))),
        Some(exit) => Err(input.failed(format!("failed with {exit}"))),
    }
}

/// When a file, or what is in a directory, changed the last time; seconds and nanoseconds, and how many there are.
fn last_change(path: &Path, depth: usize) -> Option<(i64, i64, usize)> {
    let metadata = fs::metadata(path).ok()?;
    let own = (metadata.ctime(), metadata.ctime_nsec(), 1);
    if !metadata.is_dir() || depth == DEPTH_MAX {
        return Some(own);
    }
    let entries = fs::read_dir(path).ok()?.filter_map(|entry| last_change(&entry.ok()?.path(), depth + 1));
    let later = |a: (i64, i64, usize), b: (i64, i64, usize)| {
        let last = (a.0, a.1).max((b.0, b.1));
        (last.0, last.1, a.2 + b.2)
    };
    Some(entries.fold(own, later))
}
