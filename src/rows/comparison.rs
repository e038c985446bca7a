//! Comparison: which columns the rows of both sides have, which tell a row from all others, and whether two rows are the same.

use std::cell::RefCell;
use std::ops::Range;

use crate::dump::postgres;
use crate::dump::table::{ColumnKind, TableSchema};
use crate::error::{Error, Result};
use crate::rows::form::{RowForm, Value, same_meaning};
use crate::rows::key::push_value;

/// Ways in which the rows of one table are laid out: one, unless people wrote the dump.
const LAYOUTS_MAX: usize = 1 << 10;

/// Columns that one message tells.
const COLUMNS_TOLD_MAX: usize = 20;

/// Bytes in front of a row that say how it is laid out.
pub const LAYOUT_BYTES: usize = 2;

/// The columns of the values of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    /// Numbers of the columns, in the order of the values.
    columns: Vec<usize>,
    /// Where the value of each column is.
    positions: Vec<Option<usize>>,
}

impl Layout {
    fn of(columns: Vec<usize>, count: usize) -> Layout {
        let mut positions = vec![None; count];
        for (position, &column) in columns.iter().enumerate() {
            positions[column] = Some(position);
        }
        Layout { columns, positions }
    }
}

/// How the rows of one side are written.
#[derive(Debug)]
struct SideRows {
    form: RowForm,
    /// What stands before its rows names their columns.
    has_list: bool,
    layouts: RefCell<Vec<Layout>>,
}

/// How the rows of two sides are compared.
pub struct Comparison {
    table: String,
    /// The columns of B in their order, then those that only A has.
    columns: Vec<Vec<u8>>,
    kinds: Vec<Option<ColumnKind>>,
    common: Vec<usize>,
    key: Vec<usize>,
    has_key: bool,
    sides: [SideRows; 2],
}

/// One side, before any of its rows was read.
pub struct SideColumns<'s> {
    pub schema: Option<&'s TableSchema>,
    /// Columns of the values of its first rows.
    pub names: Vec<Vec<u8>>,
    /// What stands before the first row names them.
    pub has_list: bool,
    pub form: RowForm,
}

/// A column of a key that a table lacks, or the table of one side.
fn no_such_column(table: &str, name: &[u8], columns: &[Vec<u8>], are_documents: bool) -> Error {
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let listed = || {
        let more = columns.len().saturating_sub(COLUMNS_TOLD_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!(
            "{}{more}",
            columns.iter().take(COLUMNS_TOLD_MAX).map(|name| shown(name)).collect::<Vec<_>>().join(", ")
        )
    };
    let reason = match are_documents {
        true => "documents are known by _id only".to_string(),
        false if columns.iter().any(|known| known == name) => format!("only one side of table \"{table}\" has it"),
        false => format!("table \"{table}\" has no such column; it has {}", listed()),
    };
    Error::invalid("column", shown(name), reason)
}

impl Comparison {
    /// # Errors
    /// [`Error::Invalid`] where a column of the key that was asked for is not on both sides.
    pub fn new(table: &str, sides: [SideColumns; 2], wanted: Option<&[Vec<u8>]>) -> Result<Comparison> {
        let [a, b] = &sides;
        let mut columns: Vec<Vec<u8>> = Vec::new();
        for name in b.names.iter().chain(&a.names) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let number = |name: &Vec<u8>| columns.iter().position(|known| known == name);
        let has_both = |name: &Vec<u8>| a.names.contains(name) && b.names.contains(name);
        // A side without rows has whatever columns the other has.
        let is_common = |name: &Vec<u8>| has_both(name) || a.names.is_empty() || b.names.is_empty();
        let common: Vec<usize> = columns.iter().filter(|name| is_common(name)).filter_map(number).collect();
        if common.is_empty() && !columns.is_empty() {
            return Err(Error::invalid(
                "table",
                table,
                "no column is named in both dumps, so that its rows cannot be compared",
            ));
        }
        let key = match wanted {
            Some(wanted) => Some(wanted.to_vec()),
            None => common_key(a.schema, b.schema)
                .filter(|key| key.iter().all(|name| columns.contains(name) && is_common(name))),
        };
        let missing = key.iter().flatten().find(|name| !columns.contains(name) || !is_common(name));
        if let Some(name) = missing {
            return Err(no_such_column(table, name, &columns, sides[0].form.documents().is_some()));
        }
        let (has_key, key) = match key {
            Some(key) => (true, key.iter().filter_map(number).collect()),
            None => (false, common.clone()),
        };
        let count = columns.len();
        let kind = |name: &Vec<u8>| {
            let schemas = b.schema.into_iter().chain(a.schema);
            schemas.filter_map(|schema| schema.column(name)).map(|column| column.kind).next()
        };
        let kinds = columns.iter().map(kind).collect();
        let rows = |side: &SideColumns| {
            let layout = Layout::of(side.names.iter().filter_map(number).collect(), count);
            SideRows { form: side.form, has_list: side.has_list, layouts: RefCell::new(vec![layout]) }
        };
        let sides = [rows(a), rows(b)];
        Ok(Comparison { table: table.to_string(), columns, kinds, common, key, has_key, sides })
    }

    /// Whether the same bytes are the same row on both sides.
    pub fn reads_alike(&self) -> bool {
        let [a, b] = &self.sides;
        let (layout, other) = (&a.layouts.borrow()[0], &b.layouts.borrow()[0]);
        a.form == b.form && (layout == other || layout.columns.is_empty() || other.columns.is_empty())
    }

    /// What the value of a column is; `None` where the row has none.
    pub fn value<'r>(&self, row: &RowView<'r>, column: usize) -> Option<Value<'r>> {
        Some(row.form.value(row.literal(column)?, self.kinds[column]))
    }

    pub fn columns(&self) -> &[Vec<u8>] {
        &self.columns
    }

    /// The columns that both sides have, by number.
    pub fn common(&self) -> &[usize] {
        &self.common
    }

    /// The columns that tell a row from all others, by number; none where only the whole row does.
    pub fn key(&self) -> Option<&[usize]> {
        self.has_key.then_some(&self.key)
    }

    /// The layout of rows of this form and these columns; of the first rows without a list.
    pub fn layout(&self, side: usize, names: Option<&[Vec<u8>]>, form: RowForm) -> Result<u16> {
        let rows = &self.sides[side];
        if matches!(form, RowForm::Postgres(_)) && form != rows.form {
            return Err(self.unusable("some of its rows stand in a COPY, others in INSERTs"));
        }
        let Some(names) = names else {
            let is_usual = !rows.has_list;
            return if is_usual { Ok(0) } else { Err(self.unusable("not all of its INSERTs name their columns")) };
        };
        let number = |name: &Vec<u8>| self.columns.iter().position(|known| known == name);
        let numbers: Vec<usize> = names.iter().filter_map(number).collect();
        if numbers.len() != names.len() {
            return Err(self.unusable("an INSERT names columns that no INSERT before it and no CREATE TABLE has"));
        }
        let mut layouts = self.sides[side].layouts.borrow_mut();
        let layout = Layout::of(numbers, self.columns.len());
        let place = layouts.iter().position(|known| *known == layout).unwrap_or(layouts.len());
        if place == LAYOUTS_MAX {
            return Err(self.unusable("its INSERTs name columns in too many ways"));
        }
        if place == layouts.len() {
            layouts.push(layout);
        }
        Ok(place as u16)
    }

    /// What is wrong with the rows of this table.
    pub fn unusable(&self, reason: &str) -> Error {
        Error::invalid("table", self.table.clone(), reason)
    }

    /// The key of a row that begins with its layout.
    pub fn push_key(&self, side: usize, row: &[u8], key: &mut Vec<u8>) -> Result<()> {
        let view = self.view(side, row)?;
        for &column in &self.key {
            let value = view.literal(column).and_then(|literal| view.form.key(literal));
            push_value(key, value.as_deref());
        }
        Ok(())
    }

    /// Whether two rows of one key are the same in all columns that both sides have.
    pub fn is_same(&self, a: &[u8], b: &[u8]) -> bool {
        if a == b && self.reads_alike() {
            return true;
        }
        let (Ok(a), Ok(b)) = (self.view(0, a), self.view(1, b)) else { return false };
        self.common.iter().all(|&column| is_same_value(&a, &b, column))
    }

    /// A row taken apart.
    pub fn view<'r>(&self, side: usize, row: &'r [u8]) -> Result<RowView<'r>> {
        let rows = &self.sides[side];
        let (layout, text) = row.split_at(LAYOUT_BYTES.min(row.len()));
        let mut values = Vec::new();
        let is_row = rows.form.split(text, &mut values);
        let layouts = rows.layouts.borrow();
        let number = layout.try_into().map_or(0, u16::from_le_bytes);
        let layout = &layouts[usize::from(number)];
        if text.is_empty()
            && layout.columns.is_empty()
            && matches!(rows.form, RowForm::Postgres(postgres::RowForm::Copy(_)))
        {
            // The line of a row that has no columns.
            values.clear();
        }
        if !is_row {
            return Err(self.unusable(&format!("{} is no row", start_of(text))));
        }
        if values.len() != layout.columns.len() {
            let counts = format!("has {} values for {} columns", values.len(), layout.columns.len());
            return Err(self.unusable(&format!("the row {} {counts}", start_of(text))));
        }
        Ok(RowView { text, values, positions: layout.positions.clone(), form: rows.form })
    }
}

/// Enough of a row to find it by.
fn start_of(text: &[u8]) -> String {
    const SHOWN_BYTES: usize = 60;
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES)]);
    format!("{shown:?}")
}

/// Whether a column has the same value in a row of A and one of B.
pub fn is_same_value(a: &RowView, b: &RowView, column: usize) -> bool {
    match (a.literal(column), b.literal(column)) {
        (Some(literal), Some(other)) => same_meaning((literal, a.form), (other, b.form)),
        (literal, other) => literal == other,
    }
}

/// The names of the fields at the top that two documents do not both have with the same value; `None` where there are no two.
pub fn changed_fields(sides: &[Option<RowView>; 2]) -> Option<Vec<Vec<u8>>> {
    let [Some(a), Some(b)] = sides else { return None };
    a.form.documents().map(|form| form.changed_fields(a.text(), b.text()))
}

/// The first key of B that A has too: the primary key, else a unique one whose columns are never NULL.
fn common_key(a: Option<&TableSchema>, b: Option<&TableSchema>) -> Option<Vec<Vec<u8>>> {
    let columns = |schema: &TableSchema| schema.identifying_keys().map(|key| key.columns.clone()).collect::<Vec<_>>();
    match (a.map(columns), b.map(columns)) {
        (Some(keys), Some(others)) => others.into_iter().find(|key| keys.contains(key)),
        (Some(keys), None) | (None, Some(keys)) => keys.into_iter().next(),
        (None, None) => None,
    }
}

/// A row taken apart.
#[derive(Debug, Clone)]
pub struct RowView<'r> {
    text: &'r [u8],
    values: Vec<Range<usize>>,
    positions: Vec<Option<usize>>,
    pub form: RowForm,
}

impl<'r> RowView<'r> {
    /// The value of a column as it stands in the dump; `None` where the row has none.
    pub fn literal(&self, column: usize) -> Option<&'r [u8]> {
        let range = self.values.get((*self.positions.get(column)?)?)?;
        Some(&self.text[range.clone()])
    }

    /// The row as it stands in the dump.
    pub fn text(&self) -> &'r [u8] {
        self.text
    }
}
