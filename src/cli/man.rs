//! `yesterfs man`

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use yesterfs::error::Error;

use super::Cli;
use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::write_out;

/// Write manual pages
///
/// Without --out, the page of one command goes to standard output: yesterfs man ingest dir | man -l -
#[derive(Args)]
pub struct Man {
    /// The command; without it, the page of yesterfs itself
    #[arg(conflicts_with = "out")]
    command: Vec<String>,

    /// Write the pages of all commands as files into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: Man, _: &Invocation) -> CommandResult {
    let mut root = Cli::command();
    root.build();
    if let Some(directory) = args.out {
        let failed = |operation| Error::io(operation, &directory);
        std::fs::create_dir_all(&directory).map_err(failed("create"))?;
        clap_mangen::generate_to(Cli::command(), &directory).map_err(failed("write manual pages to"))?;
        return Ok(Outcome::Done);
    }
    let mut page = Vec::new();
    Page::new(find_command(root, &args.command)?).render(&mut page)?;
    write_out(&page)?;
    Ok(Outcome::Done)
}

/// The subcommand that these words name.
fn find_command(root: Command, words: &[String]) -> Result<Command, Error> {
    words.iter().try_fold(root, |command, word| {
        let found = command.find_subcommand(word).cloned();
        found.ok_or_else(|| Error::NotFound { what: "command", name: words.join(" ") })
    })
}
