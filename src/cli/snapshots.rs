//! `yesterfs snapshots`

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use yesterfs::Error;
use yesterfs::ingest::dump::STATUS_REASON;
use yesterfs::repository::drill::{Drill, DrillEnd, FailedDrill};
use yesterfs::repository::snapshot::{Snapshot, SnapshotStatus, check_label};

use super::exit::{CommandResult, Failure, Outcome};
use super::hint;
use super::invocation::{Invocation, snapshot_name};
use super::output::{Align, Output, Record, Table, human_count, human_size, printable};

const EXAMPLES: &str = "\
Examples:
  yesterfs snapshots
  yesterfs snapshots lake --tag monthly
  yesterfs snapshots --json | jq -r .id";

/// List snapshots, oldest first
///
/// SIZE is what a snapshot holds, NEW what was stored for it, compressed. NAME is the start of its ingest in UTC, and its
/// name in the mount: SOURCE@NAME names it anywhere. DRILL is what the last yesterfs verify of it found.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Snapshots {
    /// Only snapshots of this source
    source: Option<String>,

    /// Only snapshots with this tag
    #[arg(long)]
    tag: Option<String>,

    /// Print a JSON object a snapshot
    #[arg(long)]
    json: bool,
}

pub fn run(args: Snapshots, invocation: &Invocation) -> CommandResult {
    if let Some(source) = &args.source {
        check_label("source", source)?;
    }
    let repository = invocation.open_quietly()?;
    let catalog = repository.catalog();
    let is_wanted = |snapshot: &&Arc<Snapshot>| {
        args.source.as_ref().is_none_or(|source| *source == snapshot.manifest.source)
            && args.tag.as_ref().is_none_or(|tag| snapshot.tags.contains(tag))
    };
    if let Some(source) = &args.source {
        require_known(("snapshot of source", "sources are"), source, &catalog.sources())?;
    }
    if let Some(tag) = &args.tag {
        let tags = catalog.snapshots().flat_map(|snapshot| &snapshot.tags).map(String::as_str).collect();
        require_known(("snapshot with tag", "tags are"), tag, &tags)?;
    }
    let wanted = catalog.snapshots().filter(is_wanted);
    let mut output = Output::default();
    if args.json {
        wanted.map(|snapshot| snapshot_record(snapshot)).try_for_each(|record| output.record(&record))?;
    } else {
        print_table(wanted, &mut output)?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}

/// A misspelled name must not look like a source without snapshots.
fn require_known((what, title): (&'static str, &str), name: &str, known: &BTreeSet<&str>) -> CommandResult<()> {
    if known.contains(name) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().copied().collect();
    let hint = hint::among(title, name, &known, str::to_string);
    Err(Failure::Hinted { error: Error::NotFound { what, name: name.to_string() }, hint })
}

fn print_table<'a>(snapshots: impl Iterator<Item = &'a Arc<Snapshot>>, output: &mut Output) -> CommandResult<()> {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("ID", Left),
        ("SOURCE", Left),
        ("NAME", Left),
        ("STATUS", Left),
        ("FILES", Right),
        ("SIZE", Right),
        ("NEW", Right),
        ("DRILL", Left),
        ("TAGS", Left),
    ]);
    let mut reasons = Vec::new();
    for snapshot in snapshots {
        let manifest = &snapshot.manifest;
        let reason = manifest.facts.get(STATUS_REASON).filter(|_| manifest.status == SnapshotStatus::Incomplete);
        reasons.extend(
            reason.map(|reason| format!("{} is incomplete: {}", snapshot_name(snapshot), printable(reason.as_bytes()))),
        );
        table.row(vec![
            snapshot.id.short(),
            manifest.source.clone(),
            manifest.name.clone(),
            manifest.status.name().to_string(),
            human_count(manifest.files),
            human_size(manifest.sizes_bytes()[0]),
            human_size(manifest.bytes_stored),
            drill_mark(snapshot).to_string(),
            snapshot.tags.iter().cloned().collect::<Vec<_>>().join(","),
        ]);
    }
    table.print(output)?;
    reasons.into_iter().try_for_each(|reason| output.line(reason))?;
    Ok(())
}

/// A snapshot as a JSON object; `show` and `ingest` print the same.
pub fn snapshot_record(snapshot: &Snapshot) -> Record {
    let manifest = &snapshot.manifest;
    let totals = manifest.root.totals();
    let facts = manifest.facts.iter().fold(Record::default(), |facts, (name, value)| facts.put(name, value.as_str()));
    let record = Record::new("snapshot")
        .put("id", snapshot.id.to_string())
        .put("sequence", snapshot.sequence)
        .put("source", manifest.source.as_str())
        .put("name", manifest.name.as_str())
        .put_time("started", manifest.started)
        .put_time("finished", manifest.finished)
        .put("kind", manifest.kind.name())
        .put("status", manifest.status.name())
        .put("host", manifest.host.as_str())
        .put("user", manifest.user.as_str())
        .put_bytes("origin", &manifest.origin)
        .put("parent", manifest.parent.map(|parent| parent.to_string()))
        .put("files", manifest.files)
        .put("entries", totals.descendants)
        .put("bytes", totals.bytes)
        .put("data_bytes", totals.data_bytes)
        .put("bytes_new", manifest.bytes_new)
        .put("bytes_stored", manifest.bytes_stored)
        .put("problems", manifest.problems)
        .put("tags", snapshot.tags.iter().cloned().collect::<Vec<_>>())
        .put_record("facts", facts);
    match &snapshot.drill {
        Some(DrillEnd::Compared(drill)) => record.put_record("drill", drill_record(Record::default(), drill)),
        Some(DrillEnd::Failed(failure)) => record.put_record("drill", failure_record(failure)),
        None => record,
    }
}

/// What a restore drill found, behind what the record has; `verify` prints the same.
pub fn drill_record(record: Record, drill: &Drill) -> Record {
    record
        .put_time("time", drill.time)
        .put("equal", drill.is_equal())
        .put("server", drill.server.as_str())
        .put("tables", drill.tables)
        .put("rows", drill.rows)
        .put("tables_different", drill.tables_different)
}

fn failure_record(failure: &FailedDrill) -> Record {
    Record::default().put_time("time", failure.time).put("equal", false).put("failure", failure.reason())
}

/// The result of a drill in a word.
fn drill_mark(snapshot: &Snapshot) -> &'static str {
    match &snapshot.drill {
        Some(DrillEnd::Compared(drill)) if drill.is_equal() => "equal",
        Some(DrillEnd::Compared(_)) => "DIFFERENT",
        Some(DrillEnd::Failed(_)) => "FAILED",
        None => "",
    }
}
