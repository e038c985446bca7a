//! `yesterfs ingest mysql`

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use yesterfs::ingest::dump::DumpOptions;
use yesterfs::ingest::mysql::ingest_mysql;
use yesterfs::ingest::stream::StreamInput;

use super::SnapshotArgs;
use super::stream::StandardInput;
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::invocation::{Invocation, clock, processors};

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest mysql --source shop -- mariadb-dump --single-transaction --routines --events --databases shop
  yesterfs ingest mysql --source shop shop.sql
  zcat shop.sql.gz | yesterfs ingest mysql --source shop";

/// Make a snapshot of a dump of MySQL or MariaDB
///
/// The snapshot holds dump.sql, the dump as it is, and every table, view, routine, event and sequence of it as files that
/// take no room of their own. tables/NAME/restore.sql loads one table, with rows and triggers, into any database. _meta tells
/// where the binary log stood, and how many rows each part has. A dump that is cut short, or whose command fails, makes no
/// snapshot. Passwords in command lines are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Mysql {
    /// The dump; without it and without a command, or with "-", standard input
    #[arg(value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,

    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// The database of what the dump names no database for [default: the one in the dump's first lines, or FILE's name without
    /// its suffix, or SOURCE]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// Make a snapshot of an incomplete dump too. Neither "latest" nor a time will mean it, and the exit status is 3
    #[arg(long)]
    keep_incomplete: bool,

    /// The program that prints the dump, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub fn run(args: Mysql, invocation: &Invocation) -> CommandResult {
    let file = args.file.filter(|file| file != Path::new("-"));
    if file.is_none() && args.command.is_empty() && io::stdin().is_terminal() {
        let hint = "name the dump, pipe it in, or name the command that prints it: -- COMMAND";
        return Err(Failure::Usage { problem: "standard input is a terminal", hint });
    }
    let terminal = args.snapshot.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    let stem = file.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    let input = match (file, args.command.is_empty()) {
        // Absolute, because the snapshot keeps it for people elsewhere.
        (Some(file), _) => StreamInput::File(std::path::absolute(&file).unwrap_or(file)),
        (None, true) => StreamInput::Reader(Box::new(StandardInput::open()?)),
        (None, false) => StreamInput::Command(args.command),
    };
    let common = args.snapshot.options();
    let options = DumpOptions {
        input,
        database: args.database,
        fallback_database: stem.unwrap_or_else(|| common.source.clone()),
        keep_incomplete: args.keep_incomplete,
        common,
        threads: processors(None),
    };
    let result = ingest_mysql(&repository, options, &clock, terminal.as_ref());
    args.snapshot.finish(result, &terminal, invocation)
}
