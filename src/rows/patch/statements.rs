//! Statements: what changes the rows of one table.

use std::collections::HashSet;

use crate::dump::mysql::{Column, ColumnKind, QuoteModes, TableSchema, meaning, quoted};
use crate::error::Result;
use crate::rows::comparison::{Comparison, RowView};
use crate::rows::difference::{RowChange, TableChange, required};
use crate::rows::patch::frame::Frame;
use crate::rows::patch::{PatchCounts, TakeText};

/// An INSERT of several rows is about as long.
const INSERT_BYTES: usize = 64 << 10;

/// Writes the statements of one table.
pub struct Statements<'s> {
    table: &'s [u8],
    /// The side that is changed, and the one that it becomes.
    from: usize,
    to: usize,
    modes: QuoteModes,
    character_set: &'s str,
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
        table: &'s [u8],
        [from, to]: [usize; 2],
        modes: QuoteModes,
        frame: &'s Frame,
        has_own_key: bool,
    ) -> Result<Statements<'s>> {
        let shown = String::from_utf8_lossy(table).into_owned();
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
        let stored = |column: &usize| !columns[*column].is_generated;
        let key = comparison.key().filter(|key| has_own_key && key.iter().all(stored));
        let is_found_by_key = key.is_some();
        let found_by = key.unwrap_or(comparison.common()).iter().copied().filter(stored).collect();
        let character_set = frame.character_set();
        Ok(Statements {
            table,
            from,
            to,
            modes,
            character_set,
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
        let mut text = b"DELETE FROM ".to_vec();
        push_name(&mut text, self.table);
        self.push_where(view, &mut text);
        text
    }

    fn update(&self, row: &RowChange) -> Vec<u8> {
        let mut text = b"UPDATE ".to_vec();
        push_name(&mut text, self.table);
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
            push_name(&mut text, &self.columns[column].name);
            text.push(b'=');
            text.extend_from_slice(&self.literal(literal, to.modes));
        }
        self.push_where(from, &mut text);
        text
    }

    fn add_to_insert(&self, view: &RowView, insert: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
        let columns = || (0..self.columns.len()).filter(|&column| !self.columns[column].is_generated);
        if insert.len() > INSERT_BYTES {
            end_insert(insert, take)?;
        }
        if insert.is_empty() {
            insert.extend_from_slice(b"INSERT INTO ");
            push_name(insert, self.table);
            let mut separator: &[u8] = b" (";
            for column in columns().filter(|&column| view.literal(column).is_some()) {
                insert.extend_from_slice(separator);
                push_name(insert, &self.columns[column].name);
                separator = b",";
            }
            insert.extend_from_slice(b") VALUES\n(");
        } else {
            insert.extend_from_slice(b",\n(");
        }
        let mut separator: &[u8] = b"";
        for literal in columns().filter_map(|column| view.literal(column)) {
            insert.extend_from_slice(separator);
            insert.extend_from_slice(&self.literal(literal, view.modes));
            separator = b",";
        }
        insert.push(b')');
        Ok(())
    }

    /// A value as it stands in its dump, or the same as the patch reads it.
    fn literal(&self, literal: &[u8], modes: QuoteModes) -> Vec<u8> {
        let is_string = matches!(literal.first(), Some(b'\'' | b'"'));
        match meaning(literal, modes) {
            Some(bytes) if is_string && (modes != self.modes || literal[0] == b'"') => quoted(&bytes, self.modes),
            _ => literal.to_vec(),
        }
    }

    fn push_where(&self, view: &RowView, text: &mut Vec<u8>) {
        let mut separator: &[u8] = b" WHERE ";
        for &column in &self.found_by {
            let Some(literal) = view.literal(column) else { continue };
            text.extend_from_slice(separator);
            separator = b" AND ";
            self.push_condition(column, literal, view.modes, text);
        }
        // Of rows that are the same, any will do.
        text.extend_from_slice(if self.is_found_by_key { b";\n" } else { b" LIMIT 1;\n" });
    }

    /// That a column holds exactly this value.
    fn push_condition(&self, column: usize, literal: &[u8], modes: QuoteModes, text: &mut Vec<u8>) {
        let about = self.columns[column];
        let mut name = Vec::new();
        push_name(&mut name, &about.name);
        let Some(value) = meaning(literal, modes) else {
            text.extend_from_slice(&name);
            return text.extend_from_slice(b" IS NULL");
        };
        let parts: [&[u8]; 2] = match about.kind {
            ColumnKind::Float => [b"CAST(", b" AS CHAR)="],
            ColumnKind::Geometry => [b"HEX(", b")="],
            ColumnKind::Bits => [b"", b"+0="],
            // Collations take different strings for the same, which no key has twice.
            ColumnKind::Text if !self.is_found_by_key => [b"HEX(CONVERT(", b""],
            ColumnKind::Exact | ColumnKind::Text | ColumnKind::Bytes => [b"", b"="],
        };
        text.extend_from_slice(parts[0]);
        text.extend_from_slice(&name);
        text.extend_from_slice(parts[1]);
        match about.kind {
            ColumnKind::Float => text.extend_from_slice(&quoted(&value, self.modes)),
            ColumnKind::Geometry => push_hexadecimal(text, &value),
            ColumnKind::Bits => text.extend_from_slice(number_of(&value).to_string().as_bytes()),
            ColumnKind::Text if !self.is_found_by_key => {
                text.extend_from_slice(format!(" USING {}))=", self.character_set).as_bytes());
                push_hexadecimal(text, &value);
            }
            _ => text.extend_from_slice(&self.literal(literal, modes)),
        }
    }
}

fn end_insert(insert: &mut Vec<u8>, take: &mut TakeText) -> Result<()> {
    if insert.is_empty() {
        return Ok(());
    }
    insert.extend_from_slice(b";\n");
    take(&std::mem::take(insert))
}

/// A name in quotes.
pub fn push_name(text: &mut Vec<u8>, name: &[u8]) {
    text.push(b'`');
    for &byte in name {
        text.push(byte);
        if byte == b'`' {
            text.push(byte);
        }
    }
    text.push(b'`');
}

fn push_hexadecimal(text: &mut Vec<u8>, bytes: &[u8]) {
    text.push(b'\'');
    bytes.iter().for_each(|byte| text.extend_from_slice(format!("{byte:02X}").as_bytes()));
    text.push(b'\'');
}

/// The number that bits are.
fn number_of(bits: &[u8]) -> u64 {
    bits.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
