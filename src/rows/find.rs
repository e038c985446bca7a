//! Find: one row of a table by its key.

use std::cell::Cell;

use crate::dump::mysql::{RowEvent, RowReader, TableSchema, columns_of_insert};
use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::rows::comparison::{Comparison, RowView, SideColumns};
use crate::rows::key::push_value;
use crate::rows::patch::push_name;
use crate::rows::side::{DumpSide, PIECE_BYTES, TableSide};
use crate::rows::tables::{TablePair, changed_tables};

/// A row, and the table that it is of.
pub struct FoundRow<'r> {
    pub pair: &'r TablePair,
    pub comparison: &'r Comparison,
    schema: Option<&'r TableSchema>,
    table: &'r [u8],
    pub row: RowView<'r>,
}

impl FoundRow<'_> {
    /// A statement that inserts it, without what the server computes.
    pub fn insert(&self) -> Vec<u8> {
        let is_stored = |column: &usize| {
            self.schema.is_none_or(|schema| {
                schema.column(&self.comparison.columns()[*column]).is_none_or(|column| !column.is_generated)
            })
        };
        let columns = (0..self.comparison.columns().len()).filter(is_stored);
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in columns {
            let Some(literal) = self.row.literal(column) else { continue };
            let separator: &[u8] = if names.is_empty() { b"" } else { b"," };
            names.extend_from_slice(separator);
            values.extend_from_slice(separator);
            push_name(&mut names, &self.comparison.columns()[column]);
            values.extend_from_slice(literal);
        }
        let mut text = b"INSERT INTO ".to_vec();
        push_name(&mut text, self.table);
        [&text, &b" ("[..], &names, b") VALUES (", &values, b");"].concat()
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
    let pairs = changed_tables(dump.repository, [None, Some(&dump.snapshot.manifest.root)], &[table.to_vec()])?;
    let pair =
        pairs.first().ok_or_else(|| Error::NotFound { what: "table", name: String::from_utf8_lossy(table).into() })?;
    let name = pair.name();
    let side = TableSide::open(dump, pair.sides[1].as_ref(), &name)?;
    let columns = || SideColumns {
        schema: side.schema.as_ref(),
        names: side.names.clone(),
        has_list: side.has_list,
        modes: side.marks.modes,
    };
    let comparison = Comparison::new(&name, [columns(), columns()], key)?;
    let found_by = comparison
        .key()
        .ok_or_else(|| Error::invalid("table", &name, "it has no key; name the columns to find the row by"))?;
    if found_by.len() != values.len() {
        let names: Vec<_> =
            found_by.iter().map(|&column| String::from_utf8_lossy(&comparison.columns()[column])).collect();
        let reason = format!("the key of {name} is {}", names.join(", "));
        let given = values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(",");
        return Err(Error::invalid("key", given, reason));
    }
    let mut wanted = Vec::new();
    values.iter().for_each(|value| push_value(&mut wanted, Some(value)));
    let table = side.schema.as_ref().map(|schema| schema.name.clone()).or_else(|| pair.table()).unwrap_or_default();
    let search = Search { dump, side: &side, pair, comparison: &comparison, table, wanted, is_unique: key.is_none() };
    search.run(monitor, give)
}

struct Search<'s> {
    dump: &'s DumpSide<'s>,
    side: &'s TableSide,
    pair: &'s TablePair,
    comparison: &'s Comparison,
    table: Vec<u8>,
    wanted: Vec<u8>,
    is_unique: bool,
}

/// So near to each other the places are between which a row is read for.
const NEAR_BYTES: u64 = 512 << 10;

impl Search<'_> {
    fn run(&self, monitor: &dyn Monitor, give: &mut dyn FnMut(&FoundRow) -> Result<()>) -> Result<bool> {
        let size = self.side.data.size;
        if let Some(start) = self.place_in_order(monitor)? {
            if self.scan(start, size.min(start + 2 * NEAR_BYTES), monitor, give)? {
                return Ok(true);
            }
            let name = self.pair.name();
            monitor.note(&format!("the row is not where the order of keys would have it, so all of {name} is read"));
        } else if size > NEAR_BYTES {
            monitor.note(&format!("reading all of {}: nothing tells where the row would be", self.pair.name()));
        }
        self.scan(0, size, monitor, give)
    }

    /// Where a row begins that is not far before the wanted one, if the table is in the order of its key.
    fn place_in_order(&self, monitor: &dyn Monitor) -> Result<Option<u64>> {
        let marks = self.side.marks;
        if !self.is_unique || self.side.data.size <= NEAR_BYTES || !(marks.lines || marks.brackets) {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.side.data.size);
        while high - low > NEAR_BYTES {
            let middle = low + (high - low) / 2;
            match self.row_behind(middle, monitor)? {
                Some((start, key)) if key <= self.wanted && start < high => low = start,
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// The first row that is sure to begin behind a place, and its key; `None` where none is near.
    fn row_behind(&self, place: u64, monitor: &dyn Monitor) -> Result<Option<(u64, Vec<u8>)>> {
        let mut text = Vec::new();
        self.dump.repository.contents()?.read(&self.side.data, place, PIECE_BYTES / 4, &mut text)?;
        Counters::add(&monitor.counters().bytes_read, text.len() as u64);
        let Some(at) = self.side.marks.first_row(&text) else { return Ok(None) };
        let mut key = None;
        let mut reader = RowReader::new(self.side.marks.modes, true);
        reader.push(&text[at..], &mut |event| -> Result<()> {
            if let (RowEvent::Row { text, .. }, None) = (event, &key) {
                let mut bytes = Vec::new();
                self.comparison.push_key(1, &[&0u16.to_le_bytes(), text].concat(), &mut bytes)?;
                key = Some(bytes);
            }
            Ok(())
        })?;
        Ok(key.map(|key| (place + at as u64, key)))
    }

    /// Reads from the beginning, or from a row, up to where the row is found, or to `end`.
    fn scan(
        &self,
        start: u64,
        end: u64,
        monitor: &dyn Monitor,
        give: &mut dyn FnMut(&FoundRow) -> Result<()>,
    ) -> Result<bool> {
        let contents = self.dump.repository.contents()?;
        let mut reader = RowReader::new(self.side.marks.modes, start > 0);
        let (mut layout, mut key, mut stored) = (0u16, Vec::new(), Vec::new());
        let found = Cell::new(false);
        let mut tell = |event: RowEvent| -> Result<()> {
            match event {
                RowEvent::Insert { text, modes } => {
                    layout = self.comparison.layout(1, columns_of_insert(text, modes).as_deref())?;
                }
                RowEvent::Row { text, .. } => {
                    stored.clear();
                    stored.extend_from_slice(&layout.to_le_bytes());
                    stored.extend_from_slice(text);
                    key.clear();
                    self.comparison.push_key(1, &stored, &mut key)?;
                    if key == self.wanted && !self.is_done(&found) {
                        found.set(true);
                        let row = self.comparison.view(1, &stored)?;
                        give(&FoundRow {
                            pair: self.pair,
                            comparison: self.comparison,
                            schema: self.side.schema.as_ref(),
                            table: &self.table,
                            row,
                        })?;
                    }
                }
            }
            Ok(())
        };
        let (mut at, mut piece) = (start, Vec::new());
        while at < end && !self.is_done(&found) {
            self.dump.go_on()?;
            piece.clear();
            contents.read(&self.side.data, at, PIECE_BYTES.min((end - at) as usize), &mut piece)?;
            at += piece.len() as u64;
            Counters::add(&monitor.counters().bytes_read, piece.len() as u64);
            if !reader.push(&piece, &mut tell)? {
                return Err(self.comparison.unusable("a row is longer than any can be"));
            }
        }
        if !self.is_done(&found) {
            reader.finish(&mut tell)?;
        }
        Ok(found.get())
    }

    fn is_done(&self, found: &Cell<bool>) -> bool {
        found.get() && self.is_unique
    }
}
