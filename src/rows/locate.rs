//! Locate: the place of a key among the rows of a table, without reading them all where they are in the order of keys.

use std::cell::Cell;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::rows::comparison::{Comparison, LAYOUT_BYTES};
use crate::rows::form::{Marks, RowForm, RowReader, Told};
use crate::rows::gaps::Gap;
use crate::rows::key::push_value;
use crate::rows::nearby::Nearby;
use crate::rows::side::{DumpSide, PIECE_BYTES, TableSide};

/// So near to each other the places are between which a row is read for.
pub const NEAR_BYTES: u64 = 512 << 10;

/// So much is read around a place that a row probably has.
const AROUND_BYTES: u64 = 16 << 10;

/// Bytes on both sides of what is not shared that belong to it: they tell where rows begin and end.
const GAP_MARGIN_BYTES: u64 = 8;

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
    /// Of the row, or of all rows where there is none: they need not be in the order of keys.
    pub range: Range<u64>,
    pub row: Option<KeptRow>,
}

/// Bytes of the first of two that these gaps have.
fn bytes_of(gaps: &[Gap]) -> u64 {
    gaps.iter().map(|gap| gap.sides[0].end - gap.sides[0].start).sum()
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
        .ok_or_else(|| Error::invalid("table", name, "it has no key; name the columns to find the row by: --by"))?;
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
    /// The place of a key that no two rows have. It is looked for near a place where it probably is, and where the order of keys
    /// would have it. If it is not there, it may be anywhere, or in what this table, the first of two, does not share with another
    /// one that has the row nowhere else.
    pub fn place(&self, near: Option<Range<u64>>, unshared: Option<&[Gap]>) -> Result<KeyPlace> {
        let size = self.side.data.size;
        if size <= NEAR_BYTES {
            return self.place_in_all();
        }
        if let Some(near) = near.filter(|near| near.end - near.start <= NEAR_BYTES)
            && let Some(place) = self.place_near(near)?
        {
            return Ok(place);
        }
        // Rows move: PostgreSQL puts what was updated behind all others. What stands around a place tells nothing of elsewhere.
        let unshared = unshared.filter(|_| self.side.marks.are_known());
        if let Some(gaps) = unshared.filter(|gaps| bytes_of(gaps) <= NEAR_BYTES) {
            return self.place_among(gaps);
        }
        let in_order = self.place_in_order(&self.wanted)?;
        if let Some(start) = in_order
            && let Some(place) = self.row_in_stretch(start, size.min(start + 2 * NEAR_BYTES))?
        {
            return Ok(place);
        }
        if let Some(gaps) = unshared {
            self.note_unshared();
            return self.place_among(gaps);
        }
        match in_order {
            Some(_) => self.note_disorder(),
            None => self.note_no_order(),
        }
        self.place_in_all()
    }

    pub fn note_disorder(&self) {
        let name = self.name;
        self.monitor.note(&format!("the row is not where the order of keys would have it, so all of {name} is read"));
    }

    fn note_unshared(&self) {
        let (name, manifest) = (self.name, &self.dump.snapshot.manifest);
        let (source, time) = (&manifest.source, &manifest.name);
        let rows =
            format!("all rows of {name} are read that {source}@{time} does not share with the next newer snapshot");
        self.monitor.note(&format!("the row is not where the order of keys would have it, so {rows}"));
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
        start.filter(|&start| start < end).map_or(Ok(None), |start| self.row_in_stretch(start, end))
    }

    /// The row in what this table, the first of two, does not share with another one, in which it is nowhere else.
    fn place_among(&self, gaps: &[Gap]) -> Result<KeyPlace> {
        let size = self.side.data.size;
        let mut read_to = 0;
        for Gap { sides: [unshared, _] } in gaps {
            // What begins so far behind a gap has all of its bytes, and those that tell its beginning, where both share them.
            let behind = unshared.end.saturating_add(GAP_MARGIN_BYTES);
            if behind < read_to {
                continue;
            }
            let start = self.row_before(unshared.start.saturating_sub(GAP_MARGIN_BYTES))?;
            let mut end = behind.saturating_add(AROUND_BYTES).min(size);
            loop {
                let (found, row_end) = self.row_up_to(start, end, behind)?;
                if let Some(found) = found {
                    return Ok(found);
                }
                if row_end > behind || end == size {
                    read_to = row_end;
                    break;
                }
                end = size.min(start + 4 * (end - start));
            }
        }
        Ok(self.missing())
    }

    /// The row, if it is between the beginning of the first one, or of another one, and `end`; and where the last one ends that was
    /// looked at: none is behind the row, or behind one that ends behind that place.
    fn row_up_to(&self, start: u64, end: u64, behind: u64) -> Result<(Option<KeyPlace>, u64)> {
        let (is_done, mut row_end, mut found) = (Cell::new(false), start, None);
        let mut take = |row: ReadRow| {
            if !is_done.get() {
                row_end = row.range.end;
                if *row.key == *self.wanted {
                    found = Some(KeyPlace { range: row.range.clone(), row: Some(kept_row(&row)) });
                }
                is_done.set(found.is_some() || row_end > behind);
            }
            Ok(())
        };
        self.each_row(start, end, &|| is_done.get(), &mut take)?;
        Ok((found, row_end))
    }

    /// The row, if it is between the beginning of the first one, or of another one, and `end`.
    pub fn row_in_stretch(&self, start: u64, end: u64) -> Result<Option<KeyPlace>> {
        Ok(self.row_up_to(start, end, u64::MAX)?.0)
    }

    /// The place of the row among all, or of one that is missing.
    fn place_in_all(&self) -> Result<KeyPlace> {
        Ok(self.row_in_stretch(0, self.side.data.size)?.unwrap_or_else(|| self.missing()))
    }

    /// The place of the only row that has the values which are looked for; all rows are read.
    ///
    /// # Errors
    /// [`Error::Invalid`] where another one has them.
    pub fn only_place(&self) -> Result<KeyPlace> {
        if self.side.data.size > NEAR_BYTES {
            self.note_no_order();
        }
        let (is_again, mut found) = (Cell::new(false), None);
        let mut take = |row: ReadRow| {
            if *row.key == *self.wanted {
                is_again.set(is_again.get() || found.is_some());
                found.get_or_insert_with(|| KeyPlace { range: row.range.clone(), row: Some(kept_row(&row)) });
            }
            Ok(())
        };
        self.each_row(0, self.side.data.size, &|| is_again.get(), &mut take)?;
        if is_again.get() {
            let manifest = &self.dump.snapshot.manifest;
            let (source, time) = (&manifest.source, &manifest.name);
            let reason = format!("in {source}@{time} several of its rows have these values; name more columns");
            return Err(Error::invalid("table", self.name, reason));
        }
        Ok(found.unwrap_or_else(|| self.missing()))
    }

    fn missing(&self) -> KeyPlace {
        KeyPlace { range: 0..self.side.data.size, row: None }
    }

    /// Where a row is sure to begin, at a place or before it.
    fn row_before(&self, place: u64) -> Result<u64> {
        let mut back = AROUND_BYTES;
        while let Some(from) = place.checked_sub(back) {
            if let Some((start, _)) = self.row_behind(from)?.filter(|(start, _)| *start <= place) {
                return Ok(start);
            }
            back *= 4;
        }
        Ok(0)
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
                return Err(self.comparison.unusable(&reader.refusal()));
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
