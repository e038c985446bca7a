//! `yesterfs ls`

use std::ffi::OsString;

use clap::Args;
use yesterfs::error::{Error, ErrorKind};
use yesterfs::repository::node::Node;

use super::entry::{entry_record, long_columns, target_suffix};
use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, Target};
use super::output::{Output, printable};
use super::progress::stderr_line;
use super::walk::{Step, Walk};

const EXAMPLES: &str = "\
Examples:
  yesterfs ls lake
  yesterfs ls -lR lake@yesterday:/etc";

/// List a directory of a snapshot
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Ls {
    /// The snapshot (SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more), and the path in it; its root if
    /// there is none
    #[arg(value_name = "SNAP[:/PATH]")]
    target: OsString,

    /// Print mode, links, owner, group, size in bytes (of a directory: its entries), time in UTC, and name
    #[arg(short, long)]
    long: bool,

    /// List everything below it, too
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Print a JSON object an entry
    #[arg(long)]
    json: bool,
}

pub fn run(args: Ls, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let Target { snapshot, path, node } = invocation.target(&repository, &args.target)?;
    let mut output = Output::default();
    let mut listing = Listing { args: &args, snapshot: snapshot.id.to_string(), output: &mut output };
    let Some(root) = node.directory() else {
        listing.print(&path, &path, &node)?;
        output.flush()?;
        return Ok(Outcome::Done);
    };
    let mut damaged = false;
    let mut walk = Walk::new(repository.tree()?, root.clone(), &path);
    while let Some(step) = walk.next() {
        match step {
            Ok(Step::Entry { path: entry_path, node }) => {
                let shown = entry_path[path.len()..].strip_prefix(b"/").unwrap_or(&entry_path[path.len()..]);
                listing.print(shown, &entry_path, &node)?;
                if !args.recursive {
                    walk.skip_below();
                }
            }
            Ok(Step::Leave(_)) => {}
            Err(error) => damaged |= report_damage(error)?,
        }
    }
    output.flush()?;
    Ok(if damaged { Outcome::Damaged } else { Outcome::Done })
}

/// Damage is reported and the listing goes on behind it; any other failure ends it.
pub fn report_damage(error: Error) -> CommandResult<bool> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error.into());
    }
    stderr_line(&format!("yesterfs: {error}"));
    Ok(true)
}

struct Listing<'a> {
    args: &'a Ls,
    snapshot: String,
    output: &'a mut Output,
}

impl Listing<'_> {
    /// `shown` is the path below the directory that is listed.
    fn print(&mut self, shown: &[u8], path: &[u8], node: &Node) -> CommandResult<()> {
        if self.args.json {
            self.output.record(&entry_record(path, node).put("snapshot", self.snapshot.as_str()))?;
        } else if self.args.long {
            let line = format!("{} {}{}", long_columns(node), printable(shown), target_suffix(node));
            self.output.line(line)?;
        } else {
            self.output.line(printable(shown))?;
        }
        Ok(())
    }
}
