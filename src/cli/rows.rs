//! `yesterfs rows`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use yesterfs::error::{Error, Result};
use yesterfs::progress::Monitor;
use yesterfs::repository::snapshot::SnapshotKind;
use yesterfs::rows::{DumpSide, FoundRow, around_rows, check_around_rows, find_rows};

use super::diff::row_record;
use super::exit::{CommandResult, Failure, Outcome};
use super::hint;
use super::invocation::{Invocation, lossy};
use super::output::{Output, Record, printable, printed};
use super::progress::Show;

const EXAMPLES: &str = "\
Examples:
  yesterfs rows shop shop.orders --key 42
  yesterfs rows shop@yesterday shop.orders --key 42 --sql | mariadb shop
  yesterfs rows shop shop.positions --key 42,3 --json
  yesterfs rows shop shop.customers --by email --key ann@example.org
  yesterfs rows shop public.orders --key 42 --sql | psql shop
  yesterfs rows shop shop.users --key 507f1f77bcf86cd799439011 --json";

/// Print a row of a dump by its key
///
/// The row is looked for where the order of keys would have it, and else in all of the table. Its columns are printed by name,
/// and their values as the dump has them.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Rows {
    /// A snapshot of a dump: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP")]
    snapshot: OsString,

    /// The table: shop.orders; of PostgreSQL shop.public.orders, or as much of it as names one table
    table: OsString,

    /// The value of its key, or of each column of it; of MongoDB the _id: the digits of an ObjectId, a number, text, or Extended JSON;
    /// of an export as CSV the digits of an ObjectId, or what is written
    #[arg(long, value_delimiter = ',', required = true, value_name = "VALUE", allow_hyphen_values = true)]
    key: Vec<OsString>,

    /// Columns to find rows by, instead of the table's own key; prints all rows that have these values
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    by: Option<Vec<OsString>>,

    /// Print a JSON object a row
    #[arg(long, conflicts_with = "sql")]
    json: bool,

    /// Print an INSERT, with the settings that its values are to be read with around it
    #[arg(long)]
    sql: bool,
}

pub fn run(args: Rows, invocation: &Invocation) -> CommandResult {
    let terminal = invocation.start_progress(Show::Nothing, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let target = invocation.target(&repository, &args.snapshot)?;
    let dump = DumpSide::new(&repository, &target.snapshot, terminal.as_ref())?;
    if args.sql && dump.kind() == SnapshotKind::Mongo {
        return Err(Failure::Usage {
            problem: "MongoDB has no SQL",
            hint: "with --json the document is Extended JSON",
        });
    }
    let bytes = |words: &[OsString]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let (by, values) = (args.by.as_deref().map(bytes), bytes(&args.key));
    let (mut output, mut failed, mut has_begun) = (Output::default(), Ok(()), false);
    let around = if args.sql { Some(around_rows(&dump)?) } else { None };
    let mut give = |found: &FoundRow| -> Result<()> {
        let opening = around.as_ref().map_or(&b""[..], |[opening, _]| opening).trim_ascii_end();
        if args.sql && !has_begun {
            check_around_rows(&dump, found.pair)?;
        }
        let is_first = !std::mem::replace(&mut has_begun, true);
        if is_first && !opening.is_empty() {
            printed(&mut failed, output.line(opening))?;
        }
        printed(&mut failed, args.print(found, is_first, &mut output))
    };
    let monitor: &dyn Monitor = terminal.as_ref();
    let result = find_rows(&dump, args.table.as_bytes(), by.as_deref(), &values, monitor, &mut give);
    terminal.finish();
    failed?;
    if let Some([_, closing]) = around.filter(|_| has_begun) {
        output.line(closing.trim_ascii_end())?;
    }
    output.flush()?;
    let is_found = result.map_err(|error| hint::unknown_table(error, &repository, &[&target.snapshot]))?;
    end_of_search(is_found, &args.key)
}

/// How a search ends for a row of this key.
pub fn end_of_search(is_found: bool, key: &[OsString]) -> CommandResult {
    if is_found {
        return Ok(Outcome::Done);
    }
    let name = key.iter().map(|value| lossy(value)).collect::<Vec<_>>().join(",");
    Err(Failure::Library(Error::NotFound { what: "row", name }))
}

impl Rows {
    fn print(&self, found: &FoundRow, is_first: bool, output: &mut Output) -> std::io::Result<()> {
        let names = found.comparison.columns();
        let columns: Vec<usize> = (0..names.len()).collect();
        if self.json {
            let record = Record::new("row").put("table", found.pair.name());
            return output.record(&record.put_record("row", row_record(found.comparison, &found.row, &columns)));
        }
        if self.sql {
            return output.line(found.insert());
        }
        if found.row.form.documents().is_some() {
            return output.line(printable(&found.row.form.shown_row(found.row.text())));
        }
        if !is_first {
            output.line("")?;
        }
        for column in columns {
            if let Some(literal) = found.row.literal(column) {
                let value = printable(&found.row.form.shown_value(literal));
                output.line(format!("{}: {value}", printable(&names[column])))?;
            }
        }
        Ok(())
    }
}
