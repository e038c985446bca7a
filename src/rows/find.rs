//! Find: one row of a table by its key.

use std::cell::Cell;

use crate::dump::table::TableSchema;
use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::snapshot::SnapshotKind;
use crate::rows::comparison::{Comparison, RowView};
use crate::rows::documents::Wanted;
use crate::rows::locate::{Locator, NEAR_BYTES, ReadRow};
use crate::rows::patch::Language;
use crate::rows::side::{DumpSide, TableSide};
use crate::rows::tables::{TablePair, changed_tables};

/// A row, and the table that it is of.
pub struct FoundRow<'r> {
    pub pair: &'r TablePair,
    pub comparison: &'r Comparison,
    schema: Option<&'r TableSchema>,
    schema_name: Option<Vec<u8>>,
    table: &'r [u8],
    pub row: RowView<'r>,
}

impl FoundRow<'_> {
    /// A statement that inserts it, without what the server computes.
    pub fn insert(&self) -> Vec<u8> {
        let language = Language::of(self.row.form);
        let about = |column: usize| self.schema.and_then(|it| it.column(&self.comparison.columns()[column]));
        let columns: Vec<usize> = (0..self.comparison.columns().len())
            .filter(|&column| about(column).is_none_or(|it| !it.is_generated) && self.row.literal(column).is_some())
            .collect();
        let mut text = b"INSERT INTO ".to_vec();
        text.extend_from_slice(&language.table(self.schema_name.as_deref(), self.table));
        let mut separator: &[u8] = b" (";
        for &column in &columns {
            text.extend_from_slice(separator);
            language.push_name(&self.comparison.columns()[column], &mut text);
            separator = b",";
        }
        text.extend_from_slice(b")");
        if columns.iter().any(|&column| about(column).is_some_and(|it| it.is_fixed)) {
            text.extend_from_slice(language.overriding());
        }
        let mut separator: &[u8] = b" VALUES (";
        for literal in columns.iter().filter_map(|&column| self.row.literal(column)) {
            text.extend_from_slice(separator);
            text.extend_from_slice(&language.literal(literal, self.row.form));
            separator = b",";
        }
        text.extend_from_slice(b");");
        text
    }
}

/// Gives the rows of a table that have this key: values as text, one for each column of `key`, or of a key of the table.
/// Where no second can have that key, it is looked for where the order of keys would have it, and everything is read only if it
/// is not there. Tells whether there was one.
///
/// # Errors
/// [`Error::NotFound`] for the table; [`Error::Invalid`] for the key, and where rows cannot be understood.
pub fn find_rows(
    dump: &DumpSide,
    table: &[u8],
    key: Option<&[Vec<u8>]>,
    values: &[Vec<u8>],
    monitor: &dyn Monitor,
    give: &mut dyn FnMut(&FoundRow) -> Result<()>,
) -> Result<bool> {
    let pairs =
        changed_tables(dump.repository, dump.layout(), [None, Some(&dump.snapshot.manifest.root)], &[table.to_vec()])?;
    let pair =
        pairs.first().ok_or_else(|| Error::NotFound { what: "table", name: String::from_utf8_lossy(table).into() })?;
    let name = pair.name();
    let side = TableSide::open(dump, pair, 1)?;
    side.refuse_without_rows(&name)?;
    let comparison = Comparison::new(&name, [side.columns(), side.columns()], key)?;
    let wanted = Wanted::of(side.form, &comparison, &name, values)?;
    let by = comparison.key().and_then(|key| key.first()).copied().unwrap_or_default();
    let table = side.schema.as_ref().map(|schema| schema.name.clone()).or_else(|| pair.table()).unwrap_or_default();
    let locator = Locator { dump, side: &side, comparison: &comparison, name: &name, wanted: Vec::new(), monitor };
    let search = Search { locator, pair, table, wanted, is_unique: key.is_none(), by };
    search.run(give)
}

/// Looks whether tables of these names, as far as the dump has them, have rows of their own.
///
/// # Errors
/// [`Error::Invalid`] for one whose rows are in others.
pub fn check_rows_are_there(dump: &DumpSide, wanted: &[Vec<u8>]) -> Result<()> {
    let roots = [None, Some(&dump.snapshot.manifest.root)];
    for name in wanted.iter().filter(|_| dump.kind() == SnapshotKind::Postgres) {
        match changed_tables(dump.repository, dump.layout(), roots, std::slice::from_ref(name)) {
            Err(Error::NotFound { .. }) => {}
            pairs => {
                for pair in pairs? {
                    TableSide::open(dump, &pair, 1)?.refuse_without_rows(&pair.name())?;
                }
            }
        }
    }
    Ok(())
}

struct Search<'s> {
    locator: Locator<'s>,
    pair: &'s TablePair,
    table: Vec<u8>,
    wanted: Wanted,
    is_unique: bool,
    /// The first column of the key.
    by: usize,
}

impl Search<'_> {
    fn run(&self, give: &mut dyn FnMut(&FoundRow) -> Result<()>) -> Result<bool> {
        let size = self.locator.side.data.size;
        let mut was_looked_for = false;
        let in_order = self.is_unique && self.wanted.json.is_none();
        let keys = if in_order { &self.wanted.keys[..] } else { &[] };
        for key in keys {
            let Some(start) = self.locator.place_in_order(key)? else { break };
            was_looked_for = true;
            if self.scan(start, size.min(start + 2 * NEAR_BYTES), give)? {
                return Ok(true);
            }
        }
        if was_looked_for {
            self.locator.note_disorder();
        } else if size > NEAR_BYTES {
            self.locator.note_no_order();
        }
        self.scan(0, size, give)
    }

    /// Reads from the beginning, or from a row, up to where the row is found, or to `end`.
    fn scan(&self, start: u64, end: u64, give: &mut dyn FnMut(&FoundRow) -> Result<()>) -> Result<bool> {
        let Locator { side, comparison, .. } = &self.locator;
        let found = Cell::new(false);
        let mut take = |read: ReadRow| -> Result<()> {
            if self.is_done(&found) {
                return Ok(());
            }
            let row = comparison.view(1, read.stored)?;
            if self.wanted.is_met(read.key, &row, self.by) {
                found.set(true);
                let (schema, schema_name) = (side.schema.as_ref(), self.pair.schema());
                give(&FoundRow { pair: self.pair, comparison, schema, schema_name, table: &self.table, row })?;
            }
            Ok(())
        };
        self.locator.each_row(start, end, &|| self.is_done(&found), &mut take)?;
        Ok(found.get())
    }

    fn is_done(&self, found: &Cell<bool>) -> bool {
        found.get() && self.is_unique
    }
}
