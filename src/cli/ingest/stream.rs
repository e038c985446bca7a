//! `yesterfs ingest stream`

use std::ffi::OsString;
use std::io;

use clap::Args;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};

use super::Common;
use crate::cli::exit::CommandResult;
use crate::cli::invocation::{Invocation, clock};

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest stream --source shop --name dump.sql -- mariadb-dump --single-transaction shop
  yesterfs ingest stream --source shop --stream a.sql='mysqldump a' --stream b.sql='mysqldump b'
  zcat old.gz | yesterfs ingest stream --source shop --name dump.sql --expect-end '-- Dump completed'";

/// Make a snapshot of what commands print, such as database dumps
///
/// Each stream becomes a file of the snapshot. A command that fails, or prints nothing, makes no snapshot. Whether the
/// producer of standard input was done, nobody knows: such a snapshot is marked unverified, unless --expect-end tells
/// how it must end.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Stream {
    #[command(flatten)]
    common: Common,

    /// File name of the stream that comes from COMMAND or from standard input
    #[arg(long, required_unless_present = "stream", conflicts_with = "stream")]
    name: Option<String>,

    /// File name of a stream, and the line for /bin/sh that prints it; may be repeated
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
    let terminal = args.common.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    let single = args.name.map(|name| {
        let input = match args.command.is_empty() {
            true => StreamInput::Reader(Box::new(io::stdin())),
            false => StreamInput::Command(args.command),
        };
        StreamSpec { name, input }
    });
    let lines = args.stream.into_iter().map(|(name, line)| StreamSpec { name, input: StreamInput::Shell(line) });
    let options = StreamOptions {
        common: args.common.options(),
        streams: single.into_iter().chain(lines).collect(),
        expect_end: args.expect_end,
    };
    let result = ingest_streams(&repository, options, &clock, terminal.as_ref());
    args.common.finish(result, &terminal, invocation)
}

fn parse_stream(text: &str) -> Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("expected NAME=COMMAND")?;
    Ok((name.to_string(), command.to_string()))
}
