//! `yesterfs ingest stream`

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::Args;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};

use super::SnapshotArgs;
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::invocation::{Invocation, clock, processors};

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest stream --source shop --name dump.sql -- mariadb-dump --single-transaction shop
  yesterfs ingest stream --source shop --stream a.sql='mysqldump a' --stream b.sql='mysqldump b'
  zcat old.gz | yesterfs ingest stream --source shop --name old.sql --expect-end '-- Dump'";

/// Make a snapshot of what commands print, such as database dumps
///
/// Each stream becomes a file of the snapshot. A command that fails, or prints nothing, makes no snapshot, and neither do
/// the other streams; whatever it started in its process group is ended then. Whether the producer of standard input was
/// done, nobody knows: such a snapshot is marked unverified, unless --expect-end tells how it must end. Passwords in
/// command lines are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Stream {
    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// File name of the stream that comes from COMMAND or from standard input
    #[arg(long, required_unless_present = "stream", conflicts_with = "stream")]
    name: Option<String>,

    /// File name of a stream, and the command line for a shell that prints it; may be repeated. bash runs it with pipefail
    /// where it is installed, else sh
    #[arg(long, value_name = "NAME=COMMAND", value_parser = parse_stream)]
    stream: Vec<(String, String)>,

    /// How each stream must end: its last bytes, white space aside, or the beginning of its last line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    expect_end: Option<String>,

    /// The program that prints the stream, and its arguments; without it, standard input is read
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "stream")]
    command: Vec<OsString>,
}

pub fn run(args: Stream, invocation: &Invocation) -> CommandResult {
    if args.stream.is_empty() && args.command.is_empty() && io::stdin().is_terminal() {
        let hint = "pipe the stream in, or name the command that prints it: -- COMMAND";
        return Err(Failure::Usage { problem: "standard input is a terminal", hint });
    }
    let terminal = args.snapshot.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    let single = args.name.map(|name| -> CommandResult<StreamSpec> {
        let input = match args.command.is_empty() {
            true => standard_input()?,
            false => StreamInput::Command(args.command),
        };
        Ok(StreamSpec { name, input })
    });
    let lines = args.stream.into_iter().map(|(name, line)| StreamSpec { name, input: StreamInput::Shell(line) });
    let options = StreamOptions {
        common: args.snapshot.options(&repository, &terminal, invocation.now)?,
        streams: single.transpose()?.into_iter().chain(lines).collect(),
        expect_end: args.expect_end,
        threads: processors(None),
    };
    let result = ingest_streams(&repository, options, &clock, terminal.as_ref());
    args.snapshot.finish(result, &terminal, invocation)
}

/// Standard input.
pub(super) fn standard_input() -> CommandResult<StreamInput> {
    let failed = |source| Failure::System { operation: "open standard input", source };
    Ok(StreamInput::Standard(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?.into()))
}

/// A name and a command line.
pub(super) fn parse_stream(text: &str) -> Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
    Ok((name.to_string(), command.to_string()))
}
