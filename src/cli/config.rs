//! `yesterfs config`

use clap::Args;
use yesterfs::repository::Repository;
use yesterfs::store::compress::Compression;

use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::{Align, Output, Record, Table};

const EXAMPLES: &str = "\
Examples:
  yesterfs config
  yesterfs config --compression zstd
  yesterfs config --compression zstd:9";

/// Show how a repository is set, or change it
///
/// A change holds for what is stored from then on, by every machine; what is there stays as it is.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Config {
    /// Compress so: lz4 (fast), zstd (a third smaller, slower), or zstd:LEVEL from 1 to 19
    #[arg(long, value_name = "HOW")]
    compression: Option<Compression>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Config, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let mut output = Output::default();
    if let Some(compression) = args.compression {
        repository.change_compression(compression, invocation.now)?;
    }
    if args.json {
        output.record(&config_record(&repository))?;
    } else if args.compression.is_none() {
        let mut table = Table::untitled(&[Align::Left, Align::Left]);
        let mut row = |title: &str, text: String| table.row(vec![title.to_string(), text]);
        row("repository", repository.id().to_string());
        row("compression", repository.catalog().compression().to_string());
        table.print(&mut output)?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}

fn config_record(repository: &Repository) -> Record {
    let compression = repository.catalog().compression().to_string();
    Record::new("config").put("id", repository.id().to_string()).put("compression", compression)
}
