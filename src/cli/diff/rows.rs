//! `yesterfs diff --rows`

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use yesterfs::dump::table::TableSchema;
use yesterfs::error::ErrorKind;
use yesterfs::progress::{Monitor, Problem};
use yesterfs::repository::snapshot::SnapshotKind;
use yesterfs::rows::{
    Comparison, Direction, DumpSide, Operation, PatchWriter, RowChange, RowDiffOptions, RowForm, RowView, TableChange,
    TablePair, Value, changed_tables, check_rows_are_there, diff_table, document_line,
};

use super::{Diff, is_live};
use crate::cli::document::shown_fields;
use crate::cli::exit::{CommandResult, Failure, Outcome};
use crate::cli::hint;
use crate::cli::invocation::Invocation;
use crate::cli::output::{Output, Record, counted, printable, printed};
use crate::cli::progress::{Show, stderr_line};

/// How rows are shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// How many rows of each table differ
    Summary,
    /// Each row that differs, as the dumps have it
    Text,
}

#[derive(Args)]
#[command(next_help_heading = "Rows of dumps")]
pub struct RowArgs {
    /// Tell which rows of the tables of two dumps differ; of all tables, or of these: shop.orders, and of PostgreSQL
    /// shop.public.orders or as much of it as names one table
    #[arg(long, num_args = 0.., value_name = "TABLE", conflicts_with_all = ["stat", "name_only", "path"])]
    rows: Option<Vec<OsString>>,

    /// How rows are shown
    #[arg(long, value_enum, requires = "rows", default_value = "summary", conflicts_with_all = ["json", "sql"])]
    format: Format,

    /// Write the SQL statements that make B of A
    #[arg(long, requires = "rows", conflicts_with = "json")]
    sql: bool,

    /// Write the statements that make A of B
    #[arg(long, requires = "sql")]
    reverse: bool,

    /// Columns that tell a row from all others, instead of the table's own key
    #[arg(long, requires = "rows", value_delimiter = ',', value_name = "COLUMN")]
    key: Option<Vec<OsString>>,

    /// Memory for rows that differ, in MiB; what is more waits in temporary files
    #[arg(long, requires = "rows", value_name = "MIB", default_value_t = 256)]
    memory: usize,

    /// Directory for temporary files [default: the system's]
    #[arg(long, requires = "rows", value_name = "DIR")]
    temporary: Option<PathBuf>,
}

/// What was found in all tables.
#[derive(Default)]
struct Totals {
    tables: u64,
    rows: [u64; 3],
    problems: u64,
    damaged: u64,
}

impl RowArgs {
    pub fn are_wanted(&self) -> bool {
        self.rows.is_some()
    }

    fn options(&self) -> RowDiffOptions {
        let key = self.key.as_ref().map(|key| key.iter().map(|name| name.as_bytes().to_vec()).collect());
        RowDiffOptions {
            key,
            memory_bytes: self.memory.saturating_mul(1 << 20),
            temporary_directory: self.temporary.clone().unwrap_or_else(std::env::temp_dir),
            whole: false,
        }
    }
}

/// Runs `diff --rows`.
pub fn run(args: &Diff, invocation: &Invocation) -> CommandResult {
    if is_live(&args.a) || is_live(&args.b) {
        let hint = "name two snapshots of dumps; yesterfs snapshots lists them";
        return Err(Failure::Usage { problem: "directories have no rows", hint });
    }
    let terminal = invocation.start_progress(Show::Nothing, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let targets = [invocation.target(&repository, &args.a)?, invocation.target(&repository, &args.b)?];
    if targets.iter().any(|target| !target.path.is_empty()) {
        let hint = "name the table behind --rows: --rows shop.orders";
        return Err(Failure::Usage { problem: "rows are compared of whole snapshots", hint });
    }
    let monitor: &dyn Monitor = terminal.as_ref();
    let dump = |side: usize| DumpSide::new(&repository, &targets[side].snapshot, monitor);
    let dumps = [dump(0)?, dump(1)?];
    let wanted: Vec<Vec<u8>> = args.rows.rows.iter().flatten().map(|name| name.as_bytes().to_vec()).collect();
    if dumps[0].kind() != dumps[1].kind() {
        let hint = "name two dumps of the same database";
        return Err(Failure::Usage { problem: "dumps of different kinds of databases have no rows in common", hint });
    }
    if dumps[0].layout() != dumps[1].layout() {
        let hint = "name two dumps, or two of exports";
        return Err(Failure::Usage {
            problem: "what mongodump wrote is not compared with what mongoexport wrote",
            hint,
        });
    }
    let roots = [Some(&targets[0].node), Some(&targets[1].node)];
    let snapshots = targets.each_ref().map(|target| target.snapshot.as_ref());
    let mut pairs = changed_tables(&repository, dumps[0].layout(), roots, &wanted)
        .map_err(|error| hint::unknown_table(error, &repository, &snapshots))?;
    dumps.iter().try_for_each(|dump| check_rows_are_there(dump, &wanted))?;
    if args.rows.sql && dumps[0].kind() == SnapshotKind::Mongo {
        let hint = "with --json each document is told as it was and as it is";
        return Err(Failure::Usage { problem: "MongoDB has no SQL", hint });
    }
    if args.rows.sql && wanted.is_empty() {
        // What a server tells of itself is not to be made by statements.
        pairs.retain(|pair| !pair.is_of_server());
    }
    let options = args.rows.options();
    let mut printer =
        Printer { args, options: &options, monitor, output: Output::default(), totals: Totals::default() };
    let sides = [&dumps[0], &dumps[1]];
    if args.rows.sql {
        printer.patch(sides, &pairs, invocation)?
    } else {
        printer.tables(sides, &pairs)?
    }
    terminal.finish();
    printer.output.flush()?;
    if matches!(printer.totals, Totals { tables: 0, problems: 0, .. }) && !printer.tells_itself() && !invocation.quiet {
        stderr_line("no difference");
    }
    Ok(match printer.totals {
        Totals { damaged: 1.., .. } => Outcome::Damaged,
        Totals { problems: 1.., .. } => Outcome::Partial,
        Totals { tables: 0, .. } => Outcome::Done,
        _ => Outcome::Different,
    })
}

struct Printer<'p> {
    args: &'p Diff,
    options: &'p RowDiffOptions,
    monitor: &'p dyn Monitor,
    output: Output,
    totals: Totals,
}

impl Printer<'_> {
    fn patch(&mut self, dumps: [&DumpSide; 2], pairs: &[TablePair], invocation: &Invocation) -> CommandResult<()> {
        let direction = if self.args.rows.reverse { Direction::Reverse } else { Direction::Forward };
        let writer = PatchWriter { dumps, direction, options: self.options, monitor: self.monitor };
        let (output, mut failed) = (&mut self.output, Ok(()));
        let result = writer.write(pairs, &mut |text| printed(&mut failed, output.bytes(text)));
        failed?;
        let counts = result?;
        self.totals.problems = counts.left_out;
        self.totals.tables = counts.inserted + counts.deleted + counts.updated + counts.remade + counts.altered;
        self.output.flush()?;
        if !invocation.quiet {
            let rows = rows_text([counts.inserted, counts.deleted, counts.updated]);
            let is_told = |count: u64| count > 0 || dumps[0].kind() == SnapshotKind::Mysql;
            let anew = Some(counts.remade).filter(|count| is_told(*count));
            let anew = anew.map(|count| format!(", {} made anew", counted(count, "table", "tables")));
            let altered = Some(counts.altered).filter(|count| *count > 0).map(|count| format!(", {count} altered"));
            stderr_line(&[rows, anew.unwrap_or_default(), altered.unwrap_or_default()].concat());
        }
        Ok(())
    }

    fn tables(&mut self, dumps: [&DumpSide; 2], pairs: &[TablePair]) -> CommandResult<()> {
        for pair in pairs {
            let mut failed = Ok(());
            let result = match self.is_one_sided(pair) {
                true => printed(&mut failed, self.one_sided(pair)),
                false => {
                    diff_table(dumps, pair, self.options, self.monitor, &mut |change| self.table(change, &mut failed))
                }
            };
            failed?;
            match result {
                Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt) => {
                    self.totals.problems += 1;
                    self.totals.damaged += u64::from(error.kind() == ErrorKind::Corrupt);
                    let path = PathBuf::from(OsString::from(pair.name()));
                    self.monitor.problem(Problem { path, reason: error.to_string() });
                }
                result => result?,
            }
        }
        if self.args.json {
            let [inserted, deleted, updated] = self.totals.rows;
            let record = Record::new("summary")
                .put("equal", self.totals.tables == 0)
                .put("tables", self.totals.tables)
                .put("inserted", inserted)
                .put("deleted", deleted)
                .put("updated", updated)
                .put("problems", self.totals.problems)
                .put("damaged", self.totals.damaged);
            self.output.record(&record)?;
        }
        Ok(())
    }

    /// Whether it says how much differs where nothing does.
    fn tells_itself(&self) -> bool {
        self.args.json || self.args.rows.sql
    }

    /// A table that only one side has is not read to be counted.
    fn is_one_sided(&self, pair: &TablePair) -> bool {
        let is_summary = self.args.rows.format == Format::Summary && !self.args.json;
        is_summary && pair.sides.iter().any(Option::is_none)
    }

    fn one_sided(&mut self, pair: &TablePair) -> io::Result<()> {
        self.totals.tables += 1;
        let side = if pair.sides[0].is_none() { "B" } else { "A" };
        self.output.line(printable(format!("{}: only in {side}", pair.name()).as_bytes()))
    }

    fn table(&mut self, change: &TableChange, failed: &mut io::Result<()>) -> yesterfs::Result<()> {
        let name = change.pair.name();
        let mut rows = [0; 3];
        let is_text = self.args.rows.format == Format::Text && !self.args.json;
        let Printer { output, args, .. } = &mut *self;
        change.each(&mut |row| {
            let is_first = rows == [0; 3];
            rows[row.operation() as usize] += 1;
            if args.json {
                printed(failed, print_json(&name, row, output))
            } else if is_text {
                printed(failed, print_text(&name, row, is_first, output))
            } else {
                Ok(())
            }
        })?;
        let definition = definition_text(change);
        if rows == [0; 3] && definition.is_none() {
            return Ok(());
        }
        self.totals.tables += 1;
        self.totals.rows.iter_mut().zip(rows).for_each(|(total, count)| *total += count);
        let result = if self.args.json {
            self.output.record(&table_record(&name, change, rows, definition))
        } else {
            let definition = definition.map(|text| format!("; {text}")).unwrap_or_default();
            let line = format!("{name}: {}{definition}", rows_text(rows));
            if is_text { self.flushed_note(&line) } else { self.output.line(printable(line.as_bytes())) }
        };
        printed(failed, result)
    }

    /// Behind rows as text, the summary is for people.
    fn flushed_note(&mut self, line: &str) -> io::Result<()> {
        self.output.flush()?;
        self.monitor.note(&printable(line.as_bytes()));
        Ok(())
    }
}

fn rows_text([inserted, deleted, updated]: [u64; 3]) -> String {
    format!("{} inserted, {deleted} deleted, {updated} updated", counted(inserted, "row", "rows"))
}

/// How the definitions differ, where they do.
fn definition_text(change: &TableChange) -> Option<String> {
    if !change.is_redefined() {
        return None;
    }
    if let Some(side) = change.pair.sides.iter().position(Option::is_none) {
        return Some(format!("only in {}", ["B", "A"][side]));
    }
    let [Some(a), Some(b)] = change.schemas else { return Some("one dump lacks its definition".to_string()) };
    let missing = |from: &TableSchema, to: &TableSchema, word: &str| {
        let names = from.columns.iter().filter(|column| to.column(&column.name).is_none());
        names.map(|column| format!(", column {} {word}", String::from_utf8_lossy(&column.name))).collect::<String>()
    };
    Some(format!("defined in another way{}{}", missing(b, a, "added"), missing(a, b, "removed")))
}

fn table_record(name: &str, change: &TableChange, rows: [u64; 3], definition: Option<String>) -> Record {
    let [inserted, deleted, updated] = rows;
    let counts = &change.counts;
    let record = Record::new("table")
        .put("table", name)
        .put("inserted", inserted)
        .put("deleted", deleted)
        .put("updated", updated)
        .put("bytes_read", counts.reading.bytes)
        .put("rows_read", counts.reading.rows)
        .put("temporary_files", counts.join.runs);
    match definition {
        Some(text) => record.put("definition", text),
        None => record,
    }
}

fn print_text(name: &str, row: &RowChange, is_first: bool, output: &mut Output) -> io::Result<()> {
    if is_first {
        output.line(printable(format!("--- {name}").as_bytes()))?;
        output.line(printable(format!("+++ {name}").as_bytes()))?;
    }
    let comparison = row.comparison;
    if let (Some(key), Some(view)) = (comparison.key(), row.latest()) {
        let value = |&column: &usize| {
            let literal = view.literal(column).unwrap_or_default();
            [&comparison.columns()[column], &b"="[..], &view.form.shown_value(literal)].concat()
        };
        let values: Vec<Vec<u8>> = key.iter().map(value).collect();
        output.line(printable(&[b"@@ ", &values.join(&b", "[..])[..], b" @@"].concat()))?;
    }
    for (mark, side) in ["-", "+"].iter().zip(&row.sides) {
        if let Some(view) = side {
            output.line(format!("{mark}{}", printable(&view.form.shown_row(view.text()))))?;
        }
    }
    Ok(())
}

fn print_json(table: &str, row: &RowChange, output: &mut Output) -> io::Result<()> {
    match row.latest().map(|view| view.form) {
        Some(RowForm::Document(_) | RowForm::Csv { .. }) => output.line(document_line(table, row)),
        _ => output.record(&row_change_record(table, row)),
    }
}

fn row_change_record(table: &str, row: &RowChange) -> Record {
    let operation = match row.operation() {
        Operation::Insert => "insert",
        Operation::Delete => "delete",
        Operation::Update => "update",
    };
    let names = row.comparison.columns();
    let record = Record::new("row").put("table", table).put("op", operation);
    let record = match (row.comparison.key(), row.latest()) {
        (Some(key), Some(view)) => record.put_record("key", row_record(row.comparison, view, key)),
        _ => record,
    };
    let all: Vec<usize> = (0..names.len()).collect();
    let sides = ["before", "after"].into_iter().zip(&row.sides);
    let record = sides.fold(record, |record, (name, view)| match view {
        Some(view) => record.put_record(name, row_record(row.comparison, view, &all)),
        None => record,
    });
    let changed = row.changed_names().into_iter().map(|name| String::from_utf8_lossy(&name).into_owned());
    match row.operation() {
        Operation::Update => record.put("changed", changed.collect::<Vec<_>>()),
        _ => record,
    }
}

/// Some columns of a row: whole numbers as numbers, NULL as null, all else as text.
pub fn row_record(comparison: &Comparison, view: &RowView, columns: &[usize]) -> Record {
    let names = comparison.columns();
    if view.form.documents().is_some() {
        return document_record(view, columns);
    }
    let present = columns.iter().filter_map(|&column| Some((&names[column], comparison.value(view, column)?)));
    present.fold(Record::default(), |record, (name, value)| {
        let name = String::from_utf8_lossy(name);
        let (bytes, is_number) = match value {
            Value::Null => return record.put(&name, serde_json::Value::Null),
            Value::Number(digits) => (digits, true),
            Value::Bytes(bytes) => (bytes, false),
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        match (is_number, text.parse::<i64>(), text.parse::<u64>()) {
            (true, Ok(number), _) if number.to_string() == text => record.put(&name, number),
            (true, _, Ok(number)) if number.to_string() == text => record.put(&name, number),
            _ => record.put_bytes(&name, &bytes),
        }
    })
}

/// A document, or only what tells it from others, as Extended JSON.
fn document_record(view: &RowView, columns: &[usize]) -> Record {
    match columns {
        [_, _, ..] => shown_fields(view)
            .into_iter()
            .fold(Record::default(), |record, (name, value)| record.put_json(&name, value)),
        _ => {
            let id = serde_json::from_slice(&view.form.shown_value(view.literal(0).unwrap_or_default()));
            id.map_or_else(|_| Record::default(), |id| Record::default().put_json("_id", id))
        }
    }
}
