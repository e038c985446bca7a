//! `yesterfs tag`

use clap::Args;

use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::Output;
use super::snapshots::snapshot_record;

const EXAMPLES: &str = "\
Examples:
  yesterfs tag lake --add monthly
  yesterfs tag lake@2026-11-20 --remove monthly --add yearly
  yesterfs tag lake";

/// Add tags to a snapshot or take them away; without either, show them
///
/// The mount lists tagged snapshots under tags/TAG/.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Tag {
    /// The snapshot: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// Add this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,

    /// Take this tag away; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,

    /// Print the snapshot as a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Tag, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let mut snapshot = invocation.snapshot(&repository, &args.snapshot)?;
    if !args.add.is_empty() || !args.remove.is_empty() {
        repository.change_tags(snapshot.id, &args.add, &args.remove, invocation.now)?;
        // By id: while this went on, "latest" may have become another one.
        snapshot = invocation.snapshot(&repository, &snapshot.id.to_string())?;
    }
    let mut output = Output::default();
    if args.json {
        output.record(&snapshot_record(&snapshot))?;
    } else {
        snapshot.tags.iter().try_for_each(|tag| output.line(tag))?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}
