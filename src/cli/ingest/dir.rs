//! `yesterfs ingest dir`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use yesterfs::error::Error;
use yesterfs::ingest::directory::{DirectoryOptions, ingest_directory};

use super::SnapshotArgs;
use crate::cli::exit::CommandResult;
use crate::cli::invocation::{Invocation, clock, processors};

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest dir /export/lake --source lake
  yesterfs ingest dir / --source root --one-file-system --exclude /tmp --exclude '*.o'
  yesterfs ingest dir /etc --source etc --tag before-upgrade";

/// Make a snapshot of a directory
///
/// Files that are unchanged since the last snapshot of the same source are not read again. What cannot be read is
/// reported, the rest is stored, the snapshot is marked partial, and the exit status is 3. The repository itself, and
/// mounts of it, are left out. Where it is a copy of a server's data, made by mariadb-backup, XtraBackup or pg_basebackup,
/// the snapshot tells where the server's log stood: yesterfs show prints it.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Dir {
    /// The directory
    #[arg(value_name = "PATH")]
    path: PathBuf,

    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// Leave out what matches this pattern, in the syntax of .gitignore; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Leave out what matches a pattern of this file; may be repeated
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Leave out what other filesystems have mounted below the directory
    #[arg(short = 'x', long)]
    one_file_system: bool,

    /// Read every file again, also those that are unchanged
    #[arg(long)]
    reread: bool,

    /// Files read at the same time [default: as many as processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

pub fn run(args: Dir, invocation: &Invocation) -> CommandResult {
    let terminal = args.snapshot.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    // Absolute, because the snapshot keeps it for people elsewhere.
    let path = std::path::absolute(&args.path).map_err(Error::io("find", &args.path))?;
    let options = DirectoryOptions {
        common: args.snapshot.options(&repository, &terminal, invocation.now)?,
        path,
        exclude: args.exclude,
        exclude_files: args.exclude_file,
        one_file_system: args.one_file_system,
        reread: args.reread,
        threads: processors(args.threads),
        repository_directory: Some(invocation.repository_directory()?),
    };
    let result = ingest_directory(&repository, &options, &clock, terminal.as_ref());
    args.snapshot.finish(result, &terminal, invocation)
}
