//! Statements: what changes the rows of one table.

use std::collections::HashSet;

use crate::dump::table::{Column, TableSchema};
use crate::error::Result;
use crate::rows::comparison::{Comparison, RowView};
use crate::rows::difference::{RowChange, TableChange, required};
use crate::rows::patch::language::Language;
use crate::rows::patch::{PatchCounts, TakeText};

/// An INSERT of several rows is about as long.
const INSERT_BYTES: usize = 64 << 10;

/// Writes the statements of one table.
pub struct Statements<'s> {
    language: Language,
    /// The table in an `INSERT`, and in other statements.
    table: Vec<u8>,
    changed_table: Vec<u8>,
    is_partitioned: bool,
    /// The side that is changed, and the one that it becomes.
    from: usize,
    to: usize,
    /// What the table says of each column; by its number.
    columns: Vec<&'s Column>,
    /// The columns that rows are found by; all of them where nothing less tells a row from others.
    found_by: Vec<usize>,
    is_found_by_key: bool,
    /// Columns of unique keys.
    unique: HashSet<usize>,
    /// A unique key depends on more than the values of columns.
    has_hidden_unique: bool,
}

/// How a row changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Delete,
    Insert,
    Update,
    /// It goes and comes again.
    Replace,
    /// It differs only in what the server computes.
    Nothing,
}

impl<'s> Statements<'s> {
    pub fn new(
        comparison: &'s Comparison,
        schema: &'s TableSchema,
        table: Vec<u8>,
        [from, to]: [usize; 2],
        language: Language,
        has_own_key: bool,
    ) -> Result<Statements<'s>> {
        let shown = String::from_utf8_lossy(&table).into_owned();
        let column =
            |name: &Vec<u8>| required(schema.column(name), &shown, "its rows have a column that its definition lacks");
        let columns: Vec<&Column> = comparison.columns().iter().map(column).collect::<Result<_>>()?;
        let number = |name: &Vec<u8>| comparison.columns().iter().position(|known| known == name);
        let (mut unique, mut has_hidden_unique) = (HashSet::new(), false);
        for name in schema.keys.iter().flat_map(|key| &key.columns) {
            match number(name).filter(|&column| !columns[column].is_generated) {
                Some(column) => _ = unique.insert(column),
                None => has_hidden_unique = true,
            }
        }
        unique.extend((0..columns.len()).filter(|&column| columns[column].is_fixed));
        let stored = |column: &usize| !columns[*column].is_generated;
        let key = comparison.key().filter(|key| has_own_key && key.iter().all(stored));
        let is_found_by_key = key.is_some();
        let found_by = key.unwrap_or(comparison.common()).iter().copied().filter(stored).collect();
        let is_partitioned = schema.is_partitioned;
        let changed_table = language.changed_table(&table, is_partitioned);
        Ok(Statements {
            language,
            table,
            changed_table,
            is_partitioned,
            from,
            to,
            columns,
            found_by,
            is_found_by_key,
            unique,
            has_hidden_unique,
        })
    }

    /// Writes all changes: rows that go, rows that change, rows that come.
    pub fn write(&self, change: &TableChange, counts: &mut PatchCounts, take: &mut TakeText) -> Result<()> {
        change.each(&mut |row| {
            match self.way(row) {
                Way::Delete => counts.deleted += 1,
                Way::Insert => counts.inserted += 1,
                Way::Update | Way::Replace => counts.updated += 1,
                Way::Nothing => {}
            }
            match (self.way(row), &row.sides[self.from]) {
                (Way::Delete | Way::Replace, Some(view)) => take(&self.delete(view)),
                _ => Ok(()),
            }
        })?;
        change.each(&mut |row| match (self.way(row), &row.sides) {
            (Way::Update, [Some(_), Some(_)]) => take(&self.update(row)),
            _ => Ok(()),
        })?;
        let mut insert = Vec::new();
        change.each(&mut |row| match (self.way(row), &row.sides[self.to]) {
            (Way::Insert | Way::Replace, Some(view)) => self.add_to_insert(view, &mut insert, take),
            _ => Ok(()),
        })?;
        end_insert(&mut insert, take)
    }

    fn way(&self, row: &RowChange) -> Way {
        match (&row.sides[self.from], &row.sides[self.to]) {
            (None, _) => Way::Insert,
            (_, None) => Way::Delete,
            _ => {
                let mut stored = row.changed();
                stored.retain(|&column| !self.columns[column].is_generated);
                let is_unique = self.has_hidden_unique || stored.iter().any(|column| self.unique.contains(column));
                match (stored.is_empty(), is_unique) {
                    (true, _) => Way::Nothing,
                    (false, true) => Way::Replace,
                    (false, false) => Way::Update,
                }
            }
        }
    }

    fn delete(&self, view: &RowView) -> Vec<u8> {
        [b"DELETE FROM ", &self.changed_table[..], &self.one_row(view)].concat()
    }

    fn update(&self, row: &RowChange) -> Vec<u8> {
        let mut text = [b"UPDATE ", &self.changed_table[..]].concat();
        let (Some(from), Some(to)) = (&row.sides[self.from], &row.sides[self.to]) else { return Vec::new() };
        let changed = row.changed();
        let is_set = |column: usize| {
            let about = self.columns[column];
            // What the server would change by itself is said, changed or not.
            !about.is_generated && (about.changes_itself || changed.contains(&column))
        };
        let mut separator: &[u8] = b" SET ";
        for column in (0..self.columns.len()).filter(|&column| is_set(column)) {
            let Some(literal) = to.literal(column) else { continue };
            text.extend_from_slice(separator);
            separator = b", ";
            self.language.push_name(&self.columns[column].name, &mut text);
            text.push(b'=');
            text.extend_from_slice(&self.language.literal(literal, to.form));
        }
        text.extend_from_slice(&self.one_row(from));
        text
    }

    fn add_to_insert(&self, view: &RowView, insert: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        let columns: Vec<usize> = (0..self.columns.len())
            .filter(|&column| !self.columns[column].is_generated && view.literal(column).is_some())
            .collect();
        if columns.is_empty() {
            return take(&[b"INSERT INTO ", &self.table[..], b" DEFAULT VALUES;\n"].concat());
        }
        if insert.len() > INSERT_BYTES {
            end_insert(insert, take)?;
        }
        if insert.is_empty() {
            self.begin_insert(&columns, insert);
        } else {
            insert.extend_from_slice(b",\n(");
        }
        let mut separator: &[u8] = b"";
        for literal in columns.iter().filter_map(|&column| view.literal(column)) {
            insert.extend_from_slice(separator);
            insert.extend_from_slice(&self.language.literal(literal, view.form));
            separator = b",";
        }
        insert.push(b')');
        Ok(())
    }

    fn begin_insert(&self, columns: &[usize], insert: &mut Vec<u8>) {
        insert.extend_from_slice(b"INSERT INTO ");
        insert.extend_from_slice(&self.table);
        let mut separator: &[u8] = b" (";
        for &column in columns {
            insert.extend_from_slice(separator);
            self.language.push_name(&self.columns[column].name, insert);
            separator = b",";
        }
        insert.extend_from_slice(b")");
        if columns.iter().any(|&column| self.columns[column].is_fixed) {
            insert.extend_from_slice(self.language.overriding());
        }
        insert.extend_from_slice(b" VALUES\n(");
    }

    /// That this row is meant, or one that is the same.
    fn one_row(&self, view: &RowView) -> Vec<u8> {
        let mut conditions: Vec<u8> = Vec::new();
        for &column in &self.found_by {
            let Some(literal) = view.literal(column) else { continue };
            let separator: &[u8] = if conditions.is_empty() { b"" } else { b" AND " };
            conditions.extend_from_slice(separator);
            let (about, by_key) = (self.columns[column], self.is_found_by_key);
            self.language.push_condition(about, literal, view.form, by_key, &mut conditions);
        }
        self.language.one_row(&self.changed_table, self.is_partitioned, &conditions, self.is_found_by_key)
    }
}

fn end_insert(insert: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
    if insert.is_empty() {
        return Ok(());
    }
    insert.extend_from_slice(b";\n");
    take(&std::mem::take(insert))
}
