//! `yesterfs diff`

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use yesterfs::diff::{Action, Change, DiffOptions, DiffSummary, EntryFacts, Side, diff};
use yesterfs::error::Error;
use yesterfs::repository::Repository;
use yesterfs::repository::metadata::FileType;

use super::entry::type_name;
use super::exit::{CommandResult, Failure, Outcome};
use super::invocation::{Invocation, SnapshotPath, lossy};
use super::output::{Output, Record, counted, human_size, printable, printed};
use super::progress::{Show, stderr_line};
use super::walk::join;

mod rows;

pub use rows::row_record;

const DETAILS: &str = "\
Output:
  What rsync -aXAHn --checksum --delete -i would print for the two, in order of names:
  >fcst......  a file: content, size, time differ; also p permissions, o owner,
               g group, a ACL, x attributes
  .d..t......  only attributes differ; d directory, L symlink, D device, S fifo or socket
  cd+++++++++  only in B
  *deleting    only in A
  hf           a further name of a file, whose first name follows where that is new
  A summary goes to standard error.
  With --rows: a line a table or collection, with how many rows were inserted, deleted and updated.

Exit status:
  0  no difference
  1  differences
  3  something could not be read, and was not compared
  4  something could not be compared, because the repository is damaged

Examples:
  yesterfs diff lake@2026-11-20 lake@latest
  yesterfs diff lake ./lake etc/app.conf
  yesterfs diff --stat shop~1 shop
  yesterfs diff shop@latest~1 shop --rows
  yesterfs diff shop@latest~1 shop --rows shop.orders --format text
  yesterfs diff shop@yesterday shop --rows shop.orders --sql --reverse > undo.sql";

/// Compare two snapshots, or a snapshot and a directory
///
/// A and B are snapshots, SNAP or SNAP:/PATH, or live directories; SNAP is SOURCE, SOURCE@TIME, SOURCE@latest~N or an id,
/// and yesterfs --help tells more. An argument that begins with / or . is a directory,
/// and so is one with a slash that is not part of SNAP:/PATH: write ./lake for the directory lake here.
#[derive(Args)]
#[command(after_long_help = DETAILS)]
pub struct Diff {
    /// The old side: SNAP, SNAP:/PATH, or a directory
    a: OsString,

    /// The new side, the same way
    b: OsString,

    /// Compare only this path of both sides
    path: Option<OsString>,

    /// Print only how much differs
    #[arg(long, conflicts_with = "name_only")]
    stat: bool,

    /// Print only the paths of what differs
    #[arg(long)]
    name_only: bool,

    /// Print a JSON object a difference, and a summary
    #[arg(long, conflicts_with = "name_only")]
    json: bool,

    #[command(flatten)]
    rows: rows::RowArgs,
}

pub fn run(args: Diff, invocation: &Invocation) -> CommandResult {
    if args.rows.are_wanted() {
        return rows::run(&args, invocation);
    }
    // A bar on the terminal that also gets the differences would be in their way.
    let show = if io::stderr().is_terminal() && !io::stdout().is_terminal() { Show::Text } else { Show::Nothing };
    let terminal = invocation.start_progress(show, args.json)?;
    let repository = match is_live(&args.a) && is_live(&args.b) {
        true => None,
        false => Some(invocation.open(terminal.clone())?),
    };
    let path = args.path.as_deref().unwrap_or_default();
    let sides = Sides { repository: repository.as_ref(), path: SnapshotPath::names(path.as_bytes()) };
    let (a, b) = (sides.open(&args.a, invocation)?, sides.open(&args.b, invocation)?);
    if let (Side::Nothing, Side::Nothing) = (&a, &b) {
        return Err(Error::NotFound { what: "path", name: lossy(path) }.into());
    }
    let options = DiffOptions { root_name: root_name(&args), own_directory: own_directory(invocation) };
    let (mut output, mut failed) = (Output::default(), Ok(()));
    let mut emit = |change: Change| printed(&mut failed, args.print(&change, &mut output));
    let result = diff(&a, &b, &options, terminal.as_ref(), &mut emit);
    terminal.finish();
    failed?;
    let summary = result?;
    args.print_summary(&summary, invocation, &mut output)?;
    output.flush()?;
    Ok(match summary {
        DiffSummary { damaged: 1.., .. } => Outcome::Damaged,
        DiffSummary { problems: 1.., .. } => Outcome::Partial,
        summary if summary.is_equal() => Outcome::Done,
        _ => Outcome::Different,
    })
}

/// Whether an argument means a directory of this machine. Snapshots have no slash but in `:/`, and no dot in front.
fn is_live(argument: &OsStr) -> bool {
    let bytes = argument.as_bytes();
    bytes.starts_with(b"/")
        || bytes.starts_with(b".")
        || (bytes.contains(&b'/') && !bytes.windows(2).any(|it| it == b":/"))
}

struct Sides<'a> {
    repository: Option<&'a Repository>,
    /// What to compare below each side.
    path: Vec<u8>,
}

impl<'a> Sides<'a> {
    fn open(&self, argument: &OsStr, invocation: &Invocation) -> CommandResult<Side<'a>> {
        match self.repository {
            Some(repository) if !is_live(argument) => {
                self.snapshot(repository, argument, invocation).map_err(|failure| or_directory(failure, argument))
            }
            _ => self.live(argument),
        }
    }

    fn snapshot(
        &self,
        repository: &'a Repository,
        argument: &OsStr,
        invocation: &Invocation,
    ) -> CommandResult<Side<'a>> {
        let target = invocation.target(repository, argument)?;
        let root = repository.tree()?.lookup_path(&target.node, &self.path)?;
        let path = if self.path.is_empty() { target.path } else { join(&target.path, &self.path) };
        Ok(root.map_or(Side::Nothing, |root| Side::Snapshot { repository, root, path }))
    }

    fn live(&self, argument: &OsStr) -> CommandResult<Side<'a>> {
        let directory = Path::new(argument);
        if self.path.is_empty() {
            // What the user names may be a symlink to it; a missing one is told by the comparison.
            return Ok(Side::Live(directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf())));
        }
        let place: PathBuf = directory.join(OsStr::from_bytes(&self.path));
        match place.symlink_metadata() {
            // Only what is below may be missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.exists() => Ok(Side::Nothing),
            Err(error) => Err(Error::io("look at", &place)(error).into()),
            Ok(_) => Ok(Side::Live(place)),
        }
    }
}

/// The failure of finding a snapshot, where a directory of that name lies here.
fn or_directory(failure: Failure, argument: &OsStr) -> Failure {
    match failure {
        Failure::Hinted { error: error @ Error::NotFound { what: "snapshot", .. }, .. }
            if Path::new(argument).is_dir() =>
        {
            Failure::Hinted { error, hint: format!("the directory here is written ./{}", lossy(argument)) }
        }
        failure => failure,
    }
}

/// What a difference of the compared entry itself is called.
fn root_name(args: &Diff) -> Vec<u8> {
    let named = args.path.as_ref().unwrap_or(&args.a).as_bytes();
    named.rsplit(|&byte| byte == b'/').find(|name| !name.is_empty()).unwrap_or(b".").to_vec()
}

/// Device and inode number of the repository, if it is a directory here.
fn own_directory(invocation: &Invocation) -> Option<(u64, u64)> {
    let metadata = invocation.repository_directory().ok()?.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Diff {
    fn print(&self, change: &Change, output: &mut Output) -> io::Result<()> {
        if self.stat {
            Ok(())
        } else if self.json {
            output.record(&change_record(change))
        } else if self.name_only {
            output.line(printable(if change.path.is_empty() { b"." } else { &change.path }))
        } else {
            output.line(change.rsync_line())
        }
    }

    fn print_summary(&self, summary: &DiffSummary, invocation: &Invocation, output: &mut Output) -> io::Result<()> {
        if self.json {
            return output.record(&summary_record(summary));
        }
        let entries = |count, what| format!("{} {what}", counted(count, "entry", "entries"));
        let lines = [
            entries(summary.added, "added"),
            entries(summary.removed, "removed"),
            entries(summary.changed, "changed"),
            entries(summary.metadata_only, "with other attributes only"),
            format!("{} before, {} after", human_size(summary.bytes_before), human_size(summary.bytes_after)),
        ];
        if self.stat {
            return lines.iter().try_for_each(|line| output.line(line));
        }
        // Lines of both streams that meet on a terminal come in this order.
        output.flush()?;
        if !invocation.quiet {
            stderr_line(&if summary.is_equal() { "no difference".to_string() } else { lines.join(", ") });
        }
        Ok(())
    }
}

fn change_record(change: &Change) -> Record {
    let action = match change.itemized.action {
        Action::Delete => "delete",
        Action::Create => "create",
        Action::Transfer => "transfer",
        Action::Remake => "remake",
        Action::Adjust => "adjust",
    };
    let record = Record::new("change")
        .put_bytes("path", &change.path)
        .put("action", action)
        .put("itemized", change.itemized.to_string());
    let record = match &change.links_to {
        Some(first) => record.put_bytes("links_to", first),
        None => record,
    };
    let sides = [("before", &change.before), ("after", &change.after)];
    sides.into_iter().fold(record, |record, (name, facts)| match facts {
        Some(facts) => record.put_record(name, facts_record(facts)),
        None => record,
    })
}

fn facts_record(facts: &EntryFacts) -> Record {
    let letter = match facts.file_type {
        FileType::File => b'f',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        FileType::Fifo => b'p',
        FileType::Socket => b's',
        FileType::CharacterDevice(_) => b'c',
        FileType::BlockDevice(_) => b'b',
    };
    let record = Record::default()
        .put("file_type", type_name(letter))
        .put("permissions", format!("{:04o}", facts.permissions))
        .put("uid", facts.uid)
        .put("gid", facts.gid)
        .put_time("modified", facts.modified)
        .put("size", facts.size)
        .put("links", facts.link_count);
    match &facts.target {
        Some(target) => record.put_bytes("target", target),
        None => record,
    }
}

fn summary_record(summary: &DiffSummary) -> Record {
    Record::new("summary")
        .put("equal", summary.is_equal())
        .put("added", summary.added)
        .put("removed", summary.removed)
        .put("changed", summary.changed)
        .put("metadata_only", summary.metadata_only)
        .put("bytes_before", summary.bytes_before)
        .put("bytes_after", summary.bytes_after)
        .put("problems", summary.problems)
        .put("damaged", summary.damaged)
        .put("pages_read", summary.pages_read)
        .put("pages_skipped", summary.pages_skipped)
        .put("entries_skipped", summary.entries_skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_path_is_a_directory() {
        for directory in ["/srv", ".", "..", "./lake", "../lake", "lake/", "lake/sub", ".hidden", "/a:/b"] {
            assert!(is_live(OsStr::new(directory)), "{directory}");
        }
        for snapshot in
            ["lake", "lake.old", "lake@2026-11-20T10:00:00.5+02:00", "lake@latest~2", "lake:/a/b", "deadbeef"]
        {
            assert!(!is_live(OsStr::new(snapshot)), "{snapshot}");
        }
    }
}
