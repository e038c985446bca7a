//! `yesterfs restore`

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use yesterfs::Error;
use yesterfs::ingest::mongo::OPLOG_LAST;
use yesterfs::repository::snapshot::Manifest;
use yesterfs::restore::{
    Action, Event, NotRestored, NotSetGroup, PlannedAction, RestoreOptions, RestoreReport, restore,
};

mod into;

use super::entry::type_name;
use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, Target, processors};
use super::output::{Output, Record, counted, human_count, human_duration, human_size, printable};
use super::progress::{Show, Terminal, stderr_line};

const EXAMPLES: &str = "\
Examples:
  yesterfs restore lake --to /restore
  yesterfs restore lake@yesterday:/etc/app.conf --to .
  yesterfs restore lake --to /export/lake --delete --dry-run
  yesterfs restore shop@yesterday --into mysql://root@localhost --table shop.orders --as shop_restored.orders
  yesterfs restore crm@latest~1 --into postgres://postgres@localhost
  yesterfs restore web --into mongodb://localhost --table shop.orders --as shop.orders_restored";

/// Bring a snapshot, or a part of one, back into a directory or a server
///
/// A directory's entries go into DIR, which becomes that directory; anything else goes into DIR under its own name.
/// What is there already is read and compared, and only what differs is written. Without root, what could not be set
/// (owners, some attributes, devices) is listed, and the exit status is 3.
#[derive(Args)]
#[command(after_long_help = EXAMPLES, group = ArgGroup::new("place").required(true).args(["to", "into"]))]
pub struct Restore {
    /// The snapshot (SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more), and the path in it; all of it
    /// if there is none
    #[arg(value_name = "SNAP[:/PATH]")]
    target: OsString,

    /// The directory to restore into; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    /// With --to: change nothing, only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Delete what is in DIR but not in the snapshot
    ///
    /// Refused for a partial snapshot: it does not have what could not be read when it was made.
    #[arg(long)]
    delete: bool,

    /// Let --delete also delete what a partial snapshot may only have failed to read
    #[arg(long, requires = "delete")]
    delete_unread: bool,

    /// Read everything back afterwards and compare it
    #[arg(long)]
    verify: bool,

    /// Restore owners and groups by their numbers, even if their names are known here
    #[arg(long)]
    numeric_ids: bool,

    /// Files written, or tables loaded, at the same time [default: as many as processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print progress, problems, what could not be set and a summary as JSON objects; with --dry-run or -v, each action
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: into::Into,
}

/// An entry that could not be read is not in the snapshot, and would be deleted as if it had not been there.
fn require_whole(manifest: &Manifest) -> Result<(), Error> {
    if manifest.problems == 0 {
        return Ok(());
    }
    let problems = counted(manifest.problems, "problem", "problems");
    let reason = format!(
        "the snapshot is partial ({problems} when it was made), and what it could not read would be deleted; \
         leave it out, or add --delete-unread"
    );
    Err(Error::invalid("option", "--delete", reason))
}

pub fn run(args: Restore, invocation: &Invocation) -> CommandResult {
    let terminal = invocation.start_progress(if args.json { Show::Json } else { Show::Text }, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let Target { snapshot, path, node } = invocation.target(&repository, &args.target)?;
    let Some(to) = &args.to else { return into::run(&args, &repository, (&snapshot, &path), &terminal, invocation) };
    if args.delete && !args.delete_unread {
        require_whole(&snapshot.manifest)?;
    }
    let options = RestoreOptions {
        to: to.clone(),
        dry_run: args.dry_run,
        delete: args.delete,
        verify: args.verify,
        numeric_ids: args.numeric_ids,
        // One thread tells what it would do in the order of the tree.
        threads: if args.dry_run { 1 } else { processors(args.threads) },
        protected: vec![invocation.repository_directory()?],
    };
    let mut output = Output::default();
    let mut printed = Ok(());
    let tells_actions = args.dry_run || invocation.verbose;
    let mut listener = |event: &Event<'_>| {
        if printed.is_ok() {
            printed = match event {
                Event::Action(action) if tells_actions => print_action(action, args.json, &mut output),
                Event::NotSet(not_set) if args.json => output.record(&not_set_record(not_set)),
                Event::NotSet(not_set) if invocation.verbose => {
                    print_not_set(&not_set.path, &not_set.what, &not_set.cause);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
    };
    let result = restore(&repository, &node, &path, &options, terminal.as_ref(), &mut listener);
    terminal.finish();
    let report = result?;
    printed?;
    if !args.json && !invocation.verbose {
        report.not_set.iter().for_each(print_not_set_group);
    }
    if args.json {
        output.record(&summary_record(&report, to, &args, &terminal))?;
    } else if !invocation.quiet {
        print_summary(&report, &args, invocation, &terminal, &mut output)?;
        tell_of_operations(&snapshot.manifest, &path);
    }
    output.flush()?;
    Ok(match report {
        RestoreReport { damaged: 1.., .. } => Outcome::Damaged,
        RestoreReport { problems: 0, not_set_count: 0, .. } => Outcome::Done,
        _ => Outcome::Partial,
    })
}

/// The collections of such a dump are each of their own moment until its operations were replayed.
fn tell_of_operations(manifest: &Manifest, path: &[u8]) {
    if let Some(last) = manifest.facts.get(OPLOG_LAST).filter(|_| path.is_empty()) {
        stderr_line(&format!(
            "hint: oplog.bson has the operations until {last}; mongorestore --oplogReplay replays them, yesterfs does not"
        ));
    }
}

fn print_action(planned: &PlannedAction<'_>, json: bool, output: &mut Output) -> std::io::Result<()> {
    let name = match planned.action {
        Action::Create => "create",
        Action::Replace => "replace",
        Action::Update => "update",
        Action::SetMetadata => "set-metadata",
        Action::Link => "link",
        Action::Delete => "delete",
    };
    if json {
        let record = Record::new("action").put("action", name).put("file_type", type_name(planned.letter));
        output.record(&record.put_bytes("path", planned.path))
    } else {
        output.line(format!("{name:<12} {}", shown(planned.path)))
    }
}

/// A path below the target; the target itself is a dot.
fn shown(path: &[u8]) -> String {
    if path.is_empty() { ".".to_string() } else { printable(path) }
}

fn not_set_record(NotRestored { path, what, cause }: &NotRestored) -> Record {
    Record::new("not_set").put_bytes("path", path).put("what", what.as_str()).put("reason", cause.as_str())
}

fn print_not_set(path: &[u8], what: &str, cause: &str) {
    stderr_line(&format!("yesterfs: \"{}\": cannot set {what}: {cause}", shown(path)));
}

/// One line for any number of entries, where each cannot have a line of its own.
fn print_not_set_group(group: &NotSetGroup) {
    let NotSetGroup { what, cause, count, first } = group;
    let unnamed = count - first.len() as u64;
    if unnamed == 0 {
        first.iter().for_each(|path| print_not_set(path, what, cause));
        return;
    }
    let named = first.iter().map(|path| format!("\"{}\"", shown(path))).collect::<Vec<_>>().join(", ");
    let entries = counted(*count, "entry", "entries");
    stderr_line(&format!(
        "yesterfs: cannot set {what} of {entries}: {cause}: {named} and {} more",
        human_count(unnamed)
    ));
}

fn print_summary(
    report: &RestoreReport,
    args: &Restore,
    invocation: &Invocation,
    terminal: &Terminal,
    output: &mut Output,
) -> CommandResult<()> {
    let [changed, deleted, written] = match args.dry_run {
        true => ["to change", "to delete", "to write"],
        false => ["changed", "deleted", "written"],
    };
    let verified = match report.bytes_verified {
        0 => String::new(),
        bytes => format!("{} verified; ", human_size(bytes)),
    };
    output.line(format!(
        "{}, {} {changed}, {} {deleted}; {} {written}, {} already there; {verified}{}",
        counted(report.entries, "entry", "entries"),
        human_count(report.changed),
        human_count(report.deleted),
        human_size(report.bytes_written),
        human_size(report.bytes_unchanged),
        human_duration(terminal.elapsed_seconds()),
    ))?;
    if report.problems + report.not_set_count > 0 {
        let problems = counted(report.problems, "problem", "problems");
        let not_set = counted(report.not_set_count, "thing", "things");
        stderr_line(&format!("yesterfs: {problems}, {not_set} could not be set"));
        if report.not_set.iter().any(|group| group.count > group.first.len() as u64) && !invocation.verbose {
            stderr_line("hint: --verbose lists every entry, --json too; root can set everything");
        }
    }
    Ok(())
}

fn summary_record(report: &RestoreReport, to: &Path, args: &Restore, terminal: &Terminal) -> Record {
    Record::new("restore")
        .put_path("to", to)
        .put("dry_run", args.dry_run)
        .put("entries", report.entries)
        .put("files", report.files)
        .put("changed", report.changed)
        .put("deleted", report.deleted)
        .put("bytes_written", report.bytes_written)
        .put("bytes_unchanged", report.bytes_unchanged)
        .put("bytes_verified", report.bytes_verified)
        .put("problems", report.problems)
        .put("damaged", report.damaged)
        .put("not_set", report.not_set_count)
        .put("seconds", terminal.elapsed_seconds())
}
