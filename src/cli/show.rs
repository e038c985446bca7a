//! `yesterfs show`

use std::collections::BTreeMap;

use clap::Args;
use yesterfs::repository::drill::DrillEnd;
use yesterfs::repository::dump_counts::DumpCounts;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::table_counts;

use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, snapshot_name};
use super::output::{Align, Output, Record, Table, counted, human_count, human_size, printable};
use super::snapshots::snapshot_record;

const EXAMPLES: &str = "\
Examples:
  yesterfs show lake
  yesterfs show lake@2026-11-20 --json
  yesterfs show shop --tables";

/// Show all that is known of a snapshot
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Show {
    /// The snapshot: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// Of a dump, tell of each table or collection how many rows and bytes it has
    #[arg(long)]
    tables: bool,

    /// Print a JSON object for the snapshot, one for each problem of its ingest, and with --tables one for each table
    #[arg(long)]
    json: bool,
}

pub fn run(args: Show, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let snapshot = invocation.snapshot(&repository, &args.snapshot)?;
    let mut output = Output::default();
    let tables = args.tables.then(|| table_counts(&repository, &snapshot)).transpose()?;
    if args.json {
        print_records(&snapshot, &mut output)?;
        for (name, DumpCounts { rows, bytes }) in tables.iter().flatten() {
            output.record(&Record::new("table").put("table", name.as_str()).put("rows", *rows).put("bytes", *bytes))?;
        }
    } else {
        print_text(&snapshot, &mut output)?;
        tables.map_or(Ok(()), |tables| print_tables(&tables, &mut output))?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}

fn print_records(snapshot: &Snapshot, output: &mut Output) -> CommandResult<()> {
    output.record(&snapshot_record(snapshot))?;
    for problem in &snapshot.manifest.problem_list {
        let record = Record::new("problem").put_bytes("path", &problem.path).put("reason", problem.reason.as_str());
        output.record(&record)?;
    }
    Ok(())
}

fn print_text(snapshot: &Snapshot, output: &mut Output) -> CommandResult<()> {
    let manifest = &snapshot.manifest;
    let totals = manifest.root.totals();
    let mut table = Table::untitled(&[Align::Left, Align::Left]);
    let mut row = |title: &str, text: String| table.row(vec![title.to_string(), text]);
    row("id", snapshot.id.to_string());
    row("name", snapshot_name(snapshot));
    row("status", manifest.status.name().to_string());
    row("started", manifest.started.to_rfc3339());
    row("finished", manifest.finished.to_rfc3339());
    row("made from", format!("{} {}", manifest.kind.name(), printable(&manifest.origin)));
    row("made by", format!("{}@{}", manifest.user, manifest.host));
    row("compared with", manifest.parent.map_or("nothing".to_string(), |parent| parent.to_string()));
    row("entries", counted(totals.descendants, "entry", "entries"));
    row("files", counted(manifest.files, "file", "files"));
    let [bytes, data_bytes] = manifest.sizes_bytes();
    row("size", format!("{} ({} without holes)", bytes_text(bytes), human_size(data_bytes)));
    row("new", format!("{}, stored in {}", bytes_text(manifest.bytes_new), human_size(manifest.bytes_stored)));
    row("tags", snapshot.tags.iter().cloned().collect::<Vec<_>>().join(", "));
    row("drill", snapshot.drill.as_ref().map_or("none".to_string(), drill_text));
    for (name, value) in &manifest.facts {
        row(name, printable(value.as_bytes()));
    }
    row("problems", manifest.problems.to_string());
    table.print(output)?;
    for problem in &manifest.problem_list {
        output.line(format!("  \"{}\": {}", printable(&problem.path), problem.reason))?;
    }
    let listed = manifest.problem_list.len() as u64;
    if manifest.problems > listed {
        output.line(format!("  and {} more that are not listed", manifest.problems - listed))?;
    }
    Ok(())
}

fn print_tables(tables: &BTreeMap<String, DumpCounts>, output: &mut Output) -> CommandResult<()> {
    let mut table = Table::new(&[("TABLE", Align::Left), ("ROWS", Align::Right), ("SIZE", Align::Right)]);
    for (name, DumpCounts { rows, bytes }) in tables {
        table.row(vec![printable(name.as_bytes()), human_count(*rows), human_size(*bytes)]);
    }
    output.line("")?;
    Ok(table.print(output)?)
}

fn drill_text(end: &DrillEnd) -> String {
    let drill = match end {
        DrillEnd::Compared(drill) => drill,
        DrillEnd::Failed(failure) => {
            return format!("FAILED at {}: {}", failure.time.to_rfc3339(), printable(failure.reason().as_bytes()));
        }
    };
    let result = match drill.tables_different {
        0 => "equal".to_string(),
        count => format!("{} different", counted(count, "table", "tables")),
    };
    let (tables, rows) = (counted(drill.tables, "table", "tables"), counted(drill.rows, "row", "rows"));
    format!("{result} at {}: {tables}, {rows}; server {}", drill.time.to_rfc3339(), printable(drill.server.as_bytes()))
}

fn bytes_text(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human_size(bytes))
}
