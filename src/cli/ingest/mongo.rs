//! `yesterfs ingest mongo`

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use yesterfs::compressed::UnwrapLimit;
use yesterfs::ingest::mongo::{MongoInput, MongoOptions, ingest_mongo};
use yesterfs::ingest::stream::StreamInput;

use super::SnapshotArgs;
use super::dump::{KeptOriginal, parse_size};
use super::stream::StandardInput;
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::invocation::{Invocation, clock, processors};

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest mongo --source shop -- mongodump --archive --oplog
  yesterfs ingest mongo --source shop dump/
  yesterfs ingest mongo --source shop shop.archive";

/// Make a snapshot of a dump of MongoDB
///
/// PATH is what mongodump wrote: a directory with directories of databases, or an archive. The snapshot holds the files of
/// such a directory, which mongorestore and bsondump take from the mount or from where restore put them; an archive is taken
/// apart into them, and can be read as _original/dump.archive too, which takes no room of its own. What mongodump --gzip
/// compressed is unwrapped, so that it takes no more than what was not. The snapshot tells versions, documents of each
/// collection, and from when to when the oplog reaches; oplog.bson is kept, and mongorestore --oplogReplay replays it. A dump
/// that is cut short or damaged, or whose command fails, makes no snapshot. Passwords in command lines are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Mongo {
    /// The directory or the archive; without it and without a command, or with "-", an archive from standard input
    #[arg(value_name = "PATH", conflicts_with = "command")]
    path: Option<PathBuf>,

    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// Make a snapshot of an incomplete dump too. Neither "latest" nor a time will mean it, and the exit status is 3
    #[arg(long)]
    keep_incomplete: bool,

    /// What to keep of a compressed file besides what is in it: what makes the same file again, where that can be proven (else
    /// the file itself; of bzip2, xz and lz4 nothing), the file itself, or nothing
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = KeptOriginal::Rebuild)]
    original: KeptOriginal,

    /// Unwrap a compressed file of up to SIZE bytes, with "K", "M", "G" or "T" behind it for KiB, MiB and so on [default: any
    /// size, as long as it is no more than 200 times the compressed one]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_unwrapped: Option<u64>,

    /// The program that prints an archive, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub fn run(args: Mongo, invocation: &Invocation) -> CommandResult {
    let path = args.path.filter(|path| path != Path::new("-"));
    if path.is_none() && args.command.is_empty() && io::stdin().is_terminal() {
        let hint = "name the dump, pipe an archive in, or name the command that prints it: -- COMMAND";
        return Err(Failure::Usage { problem: "standard input is a terminal", hint });
    }
    let terminal = args.snapshot.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    // Absolute, because the snapshot keeps it for people elsewhere.
    let path = path.map(|path| std::path::absolute(&path).unwrap_or(path));
    let input = match (path, args.command.is_empty()) {
        (Some(path), _) if path.is_dir() => MongoInput::Directory(path),
        (Some(path), _) => MongoInput::Archive(StreamInput::File(path)),
        (None, true) => MongoInput::Archive(StreamInput::Reader(Box::new(StandardInput::open()?))),
        (None, false) => MongoInput::Archive(StreamInput::Command(args.command)),
    };
    let options = MongoOptions {
        input,
        keep_incomplete: args.keep_incomplete,
        unwrap_limit: args.max_unwrapped.map_or(UnwrapLimit::NoBomb, UnwrapLimit::Bytes),
        original: args.original.policy(),
        common: args.snapshot.options(),
        threads: processors(None),
    };
    let result = ingest_mongo(&repository, options, &clock, terminal.as_ref());
    args.snapshot.finish(result, &terminal, invocation)
}
