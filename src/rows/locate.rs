//! Locate: the place of a key among the rows of a table, without reading them all where they are in the order of keys.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::rows::comparison::{Comparison, LAYOUT_BYTES};
use crate::rows::form::{Marks, RowForm, RowReader, Told};
use crate::rows::key::push_value;
use crate::rows::nearby::Nearby;
use crate::rows::side::{DumpSide, PIECE_BYTES, TableSide};

/// So near to each other the places are between which a row is read for.
pub const NEAR_BYTES: u64 = 512 << 10;

/// So much is read around a place that a row probably has.
const AROUND_BYTES: u64 = 16 << 10;

/// Looks for the rows of one key in one table.
pub struct Locator<'s> {
    pub dump: &'s DumpSide<'s>,
    pub side: &'s TableSide,
    pub comparison: &'s Comparison,
    /// Of the table, for people.
    pub name: &'s str,
    pub wanted: Vec<u8>,
    pub monitor: &'s dyn Monitor,
}

/// A row that was read, with its layout in front.
pub struct ReadRow<'r> {
    pub stored: &'r [u8],
    pub key: &'r [u8],
    /// Where it is in the table's file.
    pub range: Range<u64>,
    /// The columns that stand before the rows, if that was read and names any.
    pub columns: Option<&'r [Vec<u8>]>,
    pub form: RowForm,
}

/// A row, for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    pub text: Vec<u8>,
    pub columns: Option<Vec<Vec<u8>>>,
    pub form: RowForm,
}

/// Where a key has its place: what is there tells whether there is a row of that key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPlace {
    /// Of the row; else of the rows between which it would be; else of all rows.
    pub range: Range<u64>,
    pub row: Option<KeptRow>,
}

/// What is learned of a stretch of rows.
#[derive(Default)]
struct Stretch {
    found: Option<KeyPlace>,
    /// The last row before the key, and the first one behind it.
    before: Option<u64>,
    behind: Option<u64>,
    last_key: Vec<u8>,
    is_disordered: bool,
}

impl Stretch {
    fn take(&mut self, row: &ReadRow, wanted: &[u8]) {
        if *row.key == *wanted {
            self.found.get_or_insert(KeyPlace { range: row.range.clone(), row: Some(kept_row(row)) });
        }
        self.is_disordered |= *row.key < *self.last_key;
        self.last_key.clear();
        self.last_key.extend_from_slice(row.key);
        if *row.key < *wanted {
            self.before = Some(row.range.start);
        } else if self.behind.is_none() {
            self.behind = Some(row.range.end);
        }
    }
}

/// Keeps a row.
pub fn kept_row(row: &ReadRow) -> KeptRow {
    let text = row.stored.get(LAYOUT_BYTES..).unwrap_or_default().to_vec();
    KeptRow { text, columns: row.columns.map(<[_]>::to_vec), form: row.form }
}

/// The key that these values are, one for each column of the key that rows are found by.
///
/// # Errors
/// [`Error::Invalid`] where there is no key, or another number of columns.
pub fn wanted_key(comparison: &Comparison, name: &str, values: &[Vec<u8>]) -> Result<Vec<u8>> {
    let columns = comparison
        .key()
        .ok_or_else(|| Error::invalid("table", name, "it has no key; name the columns to find the row by"))?;
    if columns.len() != values.len() {
        let names: Vec<_> =
            columns.iter().map(|&column| String::from_utf8_lossy(&comparison.columns()[column])).collect();
        let reason = format!("the key of {name} is {}", names.join(", "));
        let given = values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(",");
        return Err(Error::invalid("key", given, reason));
    }
    let mut wanted = Vec::new();
    values.iter().for_each(|value| push_value(&mut wanted, Some(value)));
    Ok(wanted)
}

impl Locator<'_> {
    /// The place of a key that no two rows have. It is looked for near a place where it probably is, then where the order of
    /// keys would have it, then everywhere. Where the rows around its place are in order, a row that is not there is nowhere.
    pub fn place(&self, near: Option<Range<u64>>) -> Result<KeyPlace> {
        let size = self.side.data.size;
        if size > NEAR_BYTES {
            if let Some(near) = near.filter(|near| near.end - near.start <= NEAR_BYTES)
                && let Some(place) = self.place_near(near)?
            {
                return Ok(place);
            }
            match self.place_in_order(&self.wanted)? {
                None => self.note_no_order(),
                Some(start) => match self.stretch(start, size.min(start + 2 * NEAR_BYTES))? {
                    Some(place) => return Ok(place),
                    None => self.note_disorder(),
                },
            }
        }
        Ok(self.stretch(0, size)?.unwrap_or(KeyPlace { range: 0..size, row: None }))
    }

    pub fn note_disorder(&self) {
        let name = self.name;
        self.monitor.note(&format!("the row is not where the order of keys would have it, so all of {name} is read"));
    }

    pub fn note_no_order(&self) {
        self.monitor.note(&format!("reading all of {}: nothing tells where the row would be", self.name));
    }

    fn place_near(&self, near: Range<u64>) -> Result<Option<KeyPlace>> {
        let end = self.side.data.size.min(near.end + AROUND_BYTES);
        let start = match near.start.checked_sub(AROUND_BYTES) {
            None => Some(0),
            Some(start) => self.row_behind(start)?.map(|(start, _)| start),
        };
        start.filter(|&start| start < end).map_or(Ok(None), |start| self.stretch(start, end))
    }

    /// Where the key has its place between a row, or the beginning, and `end`; `None` where that is not sure.
    fn stretch(&self, start: u64, end: u64) -> Result<Option<KeyPlace>> {
        let mut seen = Stretch::default();
        let mut take = |row: ReadRow| {
            seen.take(&row, &self.wanted);
            Ok(())
        };
        self.each_row(start, end, &|| false, &mut take)?;
        if seen.found.is_some() {
            return Ok(seen.found);
        }
        let before = seen.before.or((start == 0).then_some(0));
        let behind = seen.behind.or((end == self.side.data.size).then_some(end));
        let (Some(before), Some(behind), false) = (before, behind, seen.is_disordered) else { return Ok(None) };
        Ok(Some(KeyPlace { range: before..behind, row: None }))
    }

    /// Where a row begins that is not far before the wanted one, if the table is in the order of its key; `None` where it is
    /// so small that all of it is near, or where nothing tells where rows begin.
    pub fn place_in_order(&self, wanted: &[u8]) -> Result<Option<u64>> {
        let size = self.side.data.size;
        if size <= NEAR_BYTES || !self.side.marks.are_known() {
            return Ok(None);
        }
        let (mut low, mut high) = (0, size);
        while high - low > NEAR_BYTES {
            let middle = low + (high - low) / 2;
            match self.row_behind(middle)? {
                Some((start, key)) if key[..] <= *wanted && start < high => low = start,
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// The first row that is sure to begin behind a place, and its key; `None` where none is near.
    fn row_behind(&self, place: u64) -> Result<Option<(u64, Vec<u8>)>> {
        let mut text = Vec::new();
        self.dump.repository.contents()?.read(&self.side.data, place, PIECE_BYTES / 4, &mut text)?;
        Counters::add(&self.monitor.counters().bytes_read, text.len() as u64);
        let Some(at) = self.row_in(&text, place)? else { return Ok(None) };
        if !self.side.marks.range().contains(&(place + at as u64)) {
            return Ok(None);
        }
        let mut key = None;
        let mut reader = RowReader::new(self.side.form, true);
        reader.push(&text[at..], &mut |told| -> Result<()> {
            if let (Told::Row { text, .. }, None) = (told, &key) {
                let mut bytes = Vec::new();
                self.comparison.push_key(1, &[&0u16.to_le_bytes(), text].concat(), &mut bytes)?;
                key = Some(bytes);
            }
            Ok(())
        })?;
        Ok(key.map(|key| (place + at as u64, key)))
    }

    /// Where the first row begins that is sure to, in the text from a place on.
    fn row_in(&self, text: &[u8], place: u64) -> Result<Option<usize>> {
        let Marks::Documents(longest) = self.side.marks else { return Ok(self.side.marks.first_row(text)) };
        let mut bytes = Nearby::new(self.dump.repository.chunks()?, &self.side.data);
        let start = bytes.document_behind(place, text.len() as u64, longest)?;
        Ok(start.map(|start| (start - place) as usize).filter(|at| *at < text.len()))
    }

    /// Gives the rows from the beginning, or from a row, up to `end`, until that is enough.
    pub fn each_row(
        &self,
        start: u64,
        end: u64,
        is_enough: &dyn Fn() -> bool,
        take: &mut dyn FnMut(ReadRow) -> Result<()>,
    ) -> Result<()> {
        let contents = self.dump.repository.contents()?;
        let mut reader = RowReader::new(self.side.form, start > 0);
        let (columns, form) = (None, self.side.form);
        let mut rows =
            Rows { locator: self, base: start, layout: 0, columns, form, key: Vec::new(), stored: Vec::new() };
        let (mut at, mut piece) = (start, Vec::new());
        while at < end && !is_enough() {
            self.dump.go_on()?;
            piece.clear();
            contents.read(&self.side.data, at, PIECE_BYTES.min((end - at) as usize), &mut piece)?;
            at += piece.len() as u64;
            Counters::add(&self.monitor.counters().bytes_read, piece.len() as u64);
            if !reader.push(&piece, &mut |told| rows.tell(told, take))? {
                return Err(self.comparison.unusable("a row is longer than any can be"));
            }
        }
        if !is_enough() {
            reader.finish(&mut |told| rows.tell(told, take))?;
        }
        Ok(())
    }
}

/// What reading rows remembers from one to the next.
struct Rows<'l, 's> {
    locator: &'l Locator<'s>,
    base: u64,
    layout: u16,
    columns: Option<Vec<Vec<u8>>>,
    form: RowForm,
    key: Vec<u8>,
    stored: Vec<u8>,
}

impl Rows<'_, '_> {
    fn tell(&mut self, told: Told, take: &mut dyn FnMut(ReadRow) -> Result<()>) -> Result<()> {
        let comparison = self.locator.comparison;
        match told {
            Told::Columns(columns, form) => {
                (self.columns, self.form) = (columns, form);
                self.layout = comparison.layout(1, self.columns.as_deref(), form)?;
                Ok(())
            }
            Told::Row { start, text } => {
                self.stored.clear();
                self.stored.extend_from_slice(&self.layout.to_le_bytes());
                self.stored.extend_from_slice(text);
                self.key.clear();
                comparison.push_key(1, &self.stored, &mut self.key)?;
                let start = self.base + start;
                let (range, columns) = (start..start + text.len() as u64, self.columns.as_deref());
                take(ReadRow { stored: &self.stored, key: &self.key, range, columns, form: self.form })
            }
        }
    }
}
