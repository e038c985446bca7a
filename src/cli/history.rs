//! `yesterfs history`

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use clap::Args;
use serde_json::value::RawValue;
use yesterfs::error::{Error, Result};
use yesterfs::progress::Monitor;
use yesterfs::repository::catalog::Catalog;
use yesterfs::repository::snapshot::{Snapshot, check_label};
use yesterfs::rows::{HistoryStep, RowView, has_rows, row_history};

use super::diff::row_record;
use super::document::shown_fields;
use super::exit::{CommandResult, Failure};
use super::hint;
use super::invocation::{Invocation, snapshot_name};
use super::output::{Output, Record, printable, printed};
use super::progress::Show;
use super::rows::end_of_search;

const EXAMPLES: &str = "\
Examples:
  yesterfs history shop shop.orders --key 42
  yesterfs history shop.positions --key 42,3 --json
  yesterfs history shop shop.log --by day,host --key 2026-11-20,db1";

/// Print all versions of a row of a dump, the newest first
///
/// Tells of each snapshot of a source in which the row changed what is other than in the one before it: the row was inserted,
/// updated in some columns, or deleted. The oldest snapshot that has the row has nothing before it, and the row is only seen
/// there. Snapshots that are known to be incomplete are left out. Where two snapshots share what lies around the row, it is not
/// read. A row that is not where the order of keys would have it is looked for in all that a snapshot does not share with the
/// next newer one, in all of the newest one, and that is said. A document of MongoDB is found by its _id, as yesterfs rows takes it.
#[derive(Args)]
#[command(after_long_help = EXAMPLES, allow_missing_positional = true)]
pub struct History {
    /// The source of the snapshots; it can be left out where only one has dumps with rows
    source: Option<String>,

    /// The table, or the collection: shop.orders
    table: OsString,

    /// The value of its key, or of each column of it, or of --by
    #[arg(long, value_delimiter = ',', required = true, value_name = "VALUE", allow_hyphen_values = true)]
    key: Vec<OsString>,

    /// Columns to find the row by, instead of the table's own key: for a table without one, or a dump that does not tell it. All rows
    /// are read of each snapshot where something changed near the row; several that have these values are refused
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    by: Option<Vec<OsString>>,

    /// Print a JSON object a snapshot
    #[arg(long)]
    json: bool,
}

pub fn run(args: History, invocation: &Invocation) -> CommandResult {
    let terminal = invocation.start_progress(Show::Nothing, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let snapshots = args.snapshots(&repository.catalog())?;
    let bytes = |words: &[OsString]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let (by, values) = (args.by.as_deref().map(bytes), bytes(&args.key));
    let (mut output, mut failed) = (Output::default(), Ok(()));
    let mut give = |step: &HistoryStep| -> Result<()> { printed(&mut failed, args.print(step, &mut output)) };
    let monitor: &dyn Monitor = terminal.as_ref();
    let result =
        row_history(&repository, &snapshots, args.table.as_bytes(), by.as_deref(), &values, monitor, &mut give);
    terminal.finish();
    failed?;
    output.flush()?;
    let newest: Vec<&Snapshot> = snapshots.first().into_iter().map(Arc::as_ref).collect();
    let is_found = result.map_err(|error| hint::unknown_table(error, &repository, &newest))?;
    end_of_search(is_found, &args.key)
}

/// Snapshots of a source that have rows which can be followed, the newest first.
fn with_rows<'c>(catalog: &'c Catalog, source: &'c str) -> impl Iterator<Item = &'c Arc<Snapshot>> {
    catalog.choices(source).rev().filter(|snapshot| has_rows(snapshot))
}

impl History {
    /// Those that may have the row, the newest first.
    fn snapshots(&self, catalog: &Catalog) -> CommandResult<Vec<Arc<Snapshot>>> {
        let of = |source: &str| -> Vec<Arc<Snapshot>> { with_rows(catalog, source).cloned().collect() };
        let mut sources = catalog.sources();
        sources.retain(|source| with_rows(catalog, source).next().is_some());
        let sources = Vec::from_iter(sources);
        if let Some(source) = &self.source {
            check_label("source", source)?;
        }
        match (&self.source, sources.as_slice()) {
            (Some(source), sources) if sources.contains(&source.as_str()) => Ok(of(source)),
            (None, [only]) => Ok(of(only)),
            (None, [_, _, ..]) => {
                let hint = "name the source: yesterfs history SOURCE TABLE --key VALUE";
                Err(Failure::Usage { problem: "several sources have dumps with rows", hint })
            }
            (source, sources) => {
                let name = source.as_deref().unwrap_or("any");
                let hint = hint::among("sources with rows are", name, sources, str::to_string);
                let error = Error::NotFound { what: "dump with rows of source", name: name.to_string() };
                Err(Failure::Hinted { error, hint })
            }
        }
    }

    fn print(&self, step: &HistoryStep, output: &mut Output) -> io::Result<()> {
        if self.json { output.record(&step_record(step)) } else { print_text(step, output) }
    }
}

/// What happened, for programs and for people.
fn words(step: &HistoryStep) -> (&'static str, &'static str) {
    match &step.sides {
        [None, _] if step.is_oldest => ("seen", "seen"),
        [None, _] => ("insert", "inserted"),
        [_, None] => ("delete", "deleted"),
        _ => ("update", "updated"),
    }
}

fn print_text(step: &HistoryStep, output: &mut Output) -> io::Result<()> {
    output.line(format!("{}: {}", snapshot_name(step.snapshot), words(step).1))?;
    if let [_, Some(view)] | [Some(view), _] = &step.sides
        && view.form.documents().is_some()
    {
        return print_document(step, output);
    }
    let names = step.comparison.columns();
    let shown =
        |view: &RowView, column: usize| view.literal(column).map(|value| printable(&view.form.shown_value(value)));
    match &step.sides {
        [Some(before), Some(after)] => step.changed().into_iter().try_for_each(|column| {
            let value = |view: &RowView| shown(view, column).unwrap_or_else(|| "no such column".into());
            output.line(format!("    {}: {} -> {}", printable(&names[column]), value(before), value(after)))
        }),
        [only, None] | [None, only] => (0..names.len()).try_for_each(|column| {
            let value = only.as_ref().and_then(|view| shown(view, column));
            value.map_or(Ok(()), |value| output.line(format!("    {}: {value}", printable(&names[column]))))
        }),
    }
}

/// A document that came or went in one line; of one that both have, a line for every field at the top that is another one.
fn print_document(step: &HistoryStep, output: &mut Output) -> io::Result<()> {
    let line = |view: &RowView| format!("    {}", printable(&view.form.shown_row(view.text())));
    match &step.sides {
        [Some(before), Some(after)] => {
            let (before, after, names) = (shown_fields(before), shown_fields(after), step.changed_names());
            if names.is_empty() {
                return output.line("    its fields are in another order");
            }
            let value = |fields: &[(String, Box<RawValue>)], name: &str| {
                let found = fields.iter().find(|(known, _)| known == name);
                found.map_or("no such field".to_string(), |(_, value)| printable(value.get().as_bytes()))
            };
            names.iter().try_for_each(|bytes| {
                let name = String::from_utf8_lossy(bytes);
                output.line(format!("    {}: {} -> {}", printable(bytes), value(&before, &name), value(&after, &name)))
            })
        }
        [only, None] | [None, only] => only.as_ref().map_or(Ok(()), |view| output.line(line(view))),
    }
}

fn step_record(step: &HistoryStep) -> Record {
    let names = step.comparison.columns();
    let all: Vec<usize> = (0..names.len()).collect();
    let record = Record::new("version")
        .put("snapshot", step.snapshot.id.to_string())
        .put("name", snapshot_name(step.snapshot))
        .put_time("started", step.snapshot.manifest.started)
        .put("table", step.table)
        .put("op", words(step).0);
    let sides = ["before", "after"].into_iter().zip(&step.sides);
    let record = sides.fold(record, |record, (name, view)| match view {
        Some(view) => record.put_record(name, row_record(step.comparison, view, &all)),
        None => record,
    });
    let changed = step.changed_names().into_iter().map(|name| String::from_utf8_lossy(&name).into_owned());
    match &step.sides {
        [Some(_), Some(_)] => record.put("changed", changed.collect::<Vec<_>>()),
        _ => record,
    }
}
