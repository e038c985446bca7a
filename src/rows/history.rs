//! History: one row in every snapshot of a source in which it changed, the newest first. Where a snapshot shares with the next
//! newer one what lies around the place of the row, it is not read there.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::rows::comparison::{Comparison, RowView, changed_fields, is_same_value};
use crate::rows::documents::{Unshared, Wanted, csv_keys, is_framed_alike};
use crate::rows::find::{FoundRow, find_rows};
use crate::rows::form::Marks;
use crate::rows::gaps::{Gap, gaps};
use crate::rows::key::push_value;
use crate::rows::layout::TableLayout;
use crate::rows::locate::{KeptRow, KeyPlace, Locator, wanted_key};
use crate::rows::side::{DumpSide, TableSide};
use crate::rows::tables::{TableFiles, TablePair, changed_tables};

/// Bytes in front of a row and behind it by which its beginning and its end are told.
const ROW_MARGINS: [u64; 2] = [3, 1];

/// A document tells its own length.
const DOCUMENT_MARGINS: [u64; 2] = [0, 0];

/// A snapshot that has another row than the one before it.
pub struct HistoryStep<'h> {
    pub snapshot: &'h Snapshot,
    /// For people.
    pub table: &'h str,
    pub comparison: &'h Comparison,
    /// As the snapshot before has it, and as this one has it.
    pub sides: [Option<RowView<'h>>; 2],
    /// There is no snapshot before it.
    pub is_oldest: bool,
}

impl HistoryStep<'_> {
    /// Columns that have another value, or are only in one of two rows.
    pub fn changed(&self) -> Vec<usize> {
        let [Some(a), Some(b)] = &self.sides else { return Vec::new() };
        (0..self.comparison.columns().len()).filter(|&column| !is_same_value(a, b, column)).collect()
    }

    /// The names of these columns; of a document, of its fields at the top.
    pub fn changed_names(&self) -> Vec<Vec<u8>> {
        let of_columns =
            || self.changed().into_iter().map(|column| self.comparison.columns()[column].clone()).collect();
        changed_fields(&self.sides).unwrap_or_else(of_columns)
    }
}

/// Gives the snapshots, of these that come the newest first, in which the row of this key is another one than in the snapshot
/// before, or the oldest that has it: values as text, one for each column of `key`, or of the table's own key. Tells whether any has
/// it. Snapshots of another kind of dump than the newest are left out, and so are dumps of MongoDB where that is of exports.
///
/// # Errors
/// [`Error::NotFound`] for a table that none has; [`Error::Invalid`] for the key, where two rows have these values in the columns of
/// `key`, and where rows cannot be understood.
pub fn row_history(
    repository: &Repository,
    snapshots: &[Arc<Snapshot>],
    table: &[u8],
    key: Option<&[Vec<u8>]>,
    values: &[Vec<u8>],
    monitor: &dyn Monitor,
    give: &mut dyn FnMut(&HistoryStep) -> Result<()>,
) -> Result<bool> {
    let Some(newest) = snapshots.first() else { return Ok(false) };
    let layout = TableLayout::of(&newest.manifest);
    let is_alike = |snapshot: &&Snapshot| {
        snapshot.manifest.kind == newest.manifest.kind && TableLayout::of(&snapshot.manifest) == layout
    };
    let snapshots: Vec<&Snapshot> = snapshots.iter().map(|it| &**it).filter(is_alike).collect();
    let walk = Walk { repository, table, by: key, monitor };
    if !matches!(layout, TableLayout::Collections(_)) {
        return walk.run(&snapshots, &RowKey::Values(values), give);
    }
    let (keys, is_csv) = match walk.csv_keys(&snapshots, values)? {
        Some(keys) => (keys, true),
        None => (walk.document_keys(&snapshots, &values.join(&b','))?, false),
    };
    // What is written in one way may be ids of several types: the first of them that any snapshot has is meant.
    for key in keys {
        if walk.run(&snapshots, &RowKey::Document { key, is_csv }, give)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// By what the row is found.
enum RowKey<'k> {
    /// Values as text, one for each column of the table's key.
    Values(&'k [Vec<u8>]),
    Document {
        key: Vec<u8>,
        /// It is that of a record of CSV.
        is_csv: bool,
    },
}

struct Walk<'w> {
    repository: &'w Repository,
    table: &'w [u8],
    /// The columns of the key, if it is not the table's own.
    by: Option<&'w [Vec<u8>]>,
    monitor: &'w dyn Monitor,
}

/// What a snapshot has.
#[derive(Clone)]
struct Seen {
    table: Option<SeenTable>,
    place: KeyPlace,
}

#[derive(Clone)]
struct SeenTable {
    name: Rc<str>,
    files: TableFiles,
    /// As it was when it was last read: its columns are the same, its rows may not be.
    side: Rc<TableSide>,
    key: Vec<Vec<u8>>,
}

impl Seen {
    fn row(&self) -> Option<(&SeenTable, &KeptRow)> {
        self.table.as_ref().zip(self.place.row.as_ref())
    }
}

/// Where a place of a newer snapshot is in an older one.
#[derive(Debug, PartialEq, Eq)]
enum OlderPlace {
    /// There, with all around it.
    Same(Range<u64>),
    /// About there; something is different.
    About(Range<u64>),
}

/// What the next newer snapshot tells of the place of a row in an older one: about where it is, and what both do not share.
type Nearness = (Range<u64>, Unshared);

impl Walk<'_> {
    fn run(
        &self,
        snapshots: &[&Snapshot],
        key: &RowKey,
        give: &mut dyn FnMut(&HistoryStep) -> Result<()>,
    ) -> Result<bool> {
        let (mut has_row, mut has_table) = (false, false);
        let mut newer: Option<(&Snapshot, Seen)> = None;
        for snapshot in snapshots {
            let Some(seen) = self.look(snapshot, key, newer.as_ref().map(|(_, seen)| seen))? else { break };
            has_table |= seen.table.is_some();
            has_row |= seen.row().is_some();
            if let Some((snapshot, newer)) = &newer {
                self.compare(snapshot, [Some(&seen), Some(newer)], give)?;
            }
            newer = Some((snapshot, seen));
        }
        if let Some((snapshot, oldest)) = &newer {
            self.compare(snapshot, [None, Some(oldest)], give)?;
        }
        if has_table { Ok(has_row) } else { Err(self.no_table(snapshots)) }
    }

    fn no_table(&self, snapshots: &[&Snapshot]) -> Error {
        let is_mongo = snapshots.first().is_some_and(|it| it.manifest.kind == SnapshotKind::Mongo);
        let what = if is_mongo { "collection" } else { "table" };
        Error::NotFound { what, name: String::from_utf8_lossy(self.table).into_owned() }
    }

    /// The keys of records of CSV, if the newest snapshot that has the collection has it as that.
    fn csv_keys(&self, snapshots: &[&Snapshot], values: &[Vec<u8>]) -> Result<Option<Vec<Vec<u8>>>> {
        for snapshot in snapshots {
            let Some(pair) = self.pair(snapshot)? else { continue };
            if !pair.is_csv() {
                break;
            }
            let dump = DumpSide::new(self.repository, snapshot, self.monitor)?;
            let (side, name) = (TableSide::open(&dump, &pair, 1)?, pair.name());
            let comparison = Comparison::new(&name, [side.columns(), side.columns()], self.by)?;
            return csv_keys(&comparison, &name, values).map(Some);
        }
        Ok(None)
    }

    /// The keys of an `_id` as people write it. What only JSON tells is looked for, the newest snapshot first.
    fn document_keys(&self, snapshots: &[&Snapshot], text: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Wanted { keys, json } = Wanted::document(text)?;
        if json.is_none() {
            return Ok(keys);
        }
        let (mut key, mut has_table) = (Vec::new(), false);
        for snapshot in snapshots {
            // Records of CSV have other keys, and what is behind them is not told.
            if self.pair(snapshot)?.is_some_and(|pair| pair.is_csv()) {
                has_table = true;
                break;
            }
            let dump = DumpSide::new(self.repository, snapshot, self.monitor)?;
            let mut take = |found: &FoundRow| {
                let id = found.row.literal(0).and_then(|id| found.row.form.key(id));
                push_value(&mut key, id.as_deref());
                Ok(())
            };
            match find_rows(&dump, self.table, None, &[text.to_vec()], self.monitor, &mut take) {
                Ok(true) => return Ok(vec![key]),
                Ok(false) => has_table = true,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if has_table { Ok(keys) } else { Err(self.no_table(snapshots)) }
    }

    /// What a snapshot has, if the one behind it has this; `None` where rows had another key, and cannot be followed.
    fn look(&self, snapshot: &Snapshot, key: &RowKey, newer: Option<&Seen>) -> Result<Option<Seen>> {
        let dump = DumpSide::new(self.repository, snapshot, self.monitor)?;
        dump.go_on()?;
        let Some(pair) = self.pair(snapshot)? else {
            return Ok(Some(Seen { table: None, place: KeyPlace::default() }));
        };
        if matches!(key, RowKey::Document { is_csv, .. } if *is_csv != pair.is_csv()) {
            self.note_end(snapshot, &pair.name(), "was exported in another form");
            return Ok(None);
        }
        let files = pair.sides[1].clone().unwrap_or_default();
        let newer_table = newer.and_then(|seen| seen.table.as_ref());
        let mut near = None;
        if let (Some(newer), Some(table)) = (newer, newer_table)
            && let Some((place, unshared)) = self.older_place(&dump, (&pair, &files), (table, &newer.place))?
        {
            match place {
                OlderPlace::Same(range) => {
                    let place = KeyPlace { range, row: newer.place.row.clone() };
                    return Ok(Some(Seen { table: Some(SeenTable { files, ..table.clone() }), place }));
                }
                OlderPlace::About(range) => near = Some((range, unshared)),
            }
        }
        self.read(&dump, (&pair, files), key, near, newer_table)
    }

    /// The table as a snapshot has it, if it has it.
    fn pair(&self, snapshot: &Snapshot) -> Result<Option<TablePair>> {
        let roots = [None, Some(&snapshot.manifest.root)];
        match changed_tables(self.repository, TableLayout::of(&snapshot.manifest), roots, &[self.table.to_vec()]) {
            Err(Error::NotFound { .. }) => Ok(None),
            pairs => Ok(pairs?.into_iter().next()),
        }
    }

    /// Where the place is in files that may share it, and what they do not share.
    fn older_place(
        &self,
        dump: &DumpSide,
        (pair, files): (&TablePair, &TableFiles),
        (newer, place): (&SeenTable, &KeyPlace),
    ) -> Result<Option<(OlderPlace, Unshared)>> {
        if files.schema != newer.files.schema {
            return Ok(None);
        }
        if files.data == newer.files.data {
            return Ok(Some((OlderPlace::Same(place.range.clone()), Unshared::default())));
        }
        let (Some(older_data), Some(newer_data)) = (&files.data, &newer.files.data) else { return Ok(None) };
        let gaps = gaps([self.repository.chunks()?; 2], older_data, newer_data)?;
        if !self.has_same_names([files, &newer.files], &gaps)? {
            return Ok(None);
        }
        if let Marks::Documents(_) = newer.side.marks {
            let Some(longest) = files.longest.zip(newer.files.longest).map(|(a, b)| a.max(b)) else { return Ok(None) };
            let found = match older_place(&gaps, &place.range, DOCUMENT_MARGINS) {
                // The place of a document that is missing is everywhere.
                OlderPlace::Same(range) if place.row.is_none() => OlderPlace::About(range),
                OlderPlace::Same(range)
                    if !is_framed_alike(self.repository, older_data, &gaps, range.start, longest)? =>
                {
                    return Ok(None);
                }
                found => found,
            };
            return Ok(Some((found, Unshared { gaps, longest })));
        }
        // The same bytes may be other rows.
        if !dump.marks_of(pair)?.agree_with(&newer.side.marks) {
            return Ok(None);
        }
        let found = older_place(&gaps, &place.range, ROW_MARGINS);
        Ok(Some((found, Unshared { gaps, longest: 0 })))
    }

    /// Whether two files of CSV that do not share this begin with the same record of names.
    fn has_same_names(&self, files: [&TableFiles; 2], gaps: &[Gap]) -> Result<bool> {
        let [Some(length), other] = files.map(|files| files.names) else { return Ok(true) };
        if other != Some(length) {
            return Ok(false);
        }
        let is_shared = gaps.first().is_none_or(|gap| gap.sides.iter().all(|side| side.start >= length));
        if is_shared {
            return Ok(true);
        }
        let mut records = [Vec::new(), Vec::new()];
        for (record, content) in records.iter_mut().zip(files.map(|files| &files.data)) {
            if let Some(content) = content {
                self.repository.contents()?.read(content, 0, length as usize, record)?;
            }
        }
        Ok(records[0] == records[1])
    }

    fn note_end(&self, snapshot: &Snapshot, name: &str, reason: &str) {
        let manifest = &snapshot.manifest;
        let snapshot = format!("{}@{}", manifest.source, manifest.name);
        self.monitor.note(&format!("up to {snapshot}, {name} {reason}, by which the row cannot be found"));
    }

    fn read(
        &self,
        dump: &DumpSide,
        (pair, files): (&TablePair, TableFiles),
        key: &RowKey,
        near: Option<Nearness>,
        newer: Option<&SeenTable>,
    ) -> Result<Option<Seen>> {
        let name = pair.name();
        let side = TableSide::open(dump, pair, 1)?;
        side.refuse_without_rows(&name)?;
        if self.by.is_some_and(|by| newer.is_some() && !side.has_columns(by)) {
            self.note_end(dump.snapshot, &name, "lacks columns");
            return Ok(None);
        }
        let comparison = Comparison::new(&name, [side.columns(), side.columns()], self.by)?;
        let columns = comparison.key().unwrap_or_default();
        let names: Vec<Vec<u8>> = columns.iter().map(|&column| comparison.columns()[column].clone()).collect();
        if newer.is_some_and(|newer| newer.key != names) {
            self.note_end(dump.snapshot, &name, "has another key");
            return Ok(None);
        }
        let wanted = match key {
            RowKey::Values(values) => wanted_key(&comparison, &name, values)?,
            RowKey::Document { key, .. } => key.clone(),
        };
        let monitor = self.monitor;
        let locator = Locator { dump, side: &side, comparison: &comparison, name: &name, wanted, monitor };
        let place = match (key, near) {
            // Others may have it too, wherever they are.
            _ if self.by.is_some() => locator.only_place()?,
            (RowKey::Values(_), Some((range, unshared))) => locator.place(Some(range), Some(&unshared.gaps))?,
            (RowKey::Values(_), None) => locator.place(None, None)?,
            (RowKey::Document { .. }, Some((range, unshared))) => locator.document_among(&unshared, range.start)?,
            (RowKey::Document { .. }, None) => locator.document()?,
        };
        let table = SeenTable { name: name.into(), files, side: Rc::new(side), key: names };
        Ok(Some(Seen { table: Some(table), place }))
    }

    /// Gives a snapshot if its row is another one than the older snapshot's.
    fn compare(
        &self,
        snapshot: &Snapshot,
        seen: [Option<&Seen>; 2],
        give: &mut dyn FnMut(&HistoryStep) -> Result<()>,
    ) -> Result<()> {
        let is_oldest = seen[0].is_none();
        let rows = seen.map(|seen| seen.and_then(Seen::row));
        let (table, other) = match rows {
            [None, None] => return Ok(()),
            [Some((a, _)), Some((b, _))] => (a, b),
            [Some((table, _)), None] | [None, Some((table, _))] => (table, table),
        };
        let comparison = Comparison::new(&table.name, [table.side.columns(), other.side.columns()], None)?;
        let stored = |side: usize| rows[side].map(|(_, row)| stored_row(&comparison, side, row)).transpose();
        let stored = [stored(0)?, stored(1)?];
        let view = |side: usize| stored[side].as_ref().map(|row| comparison.view(side, row)).transpose();
        let sides = [view(0)?, view(1)?];
        let step = HistoryStep { snapshot, table: &table.name, comparison: &comparison, sides, is_oldest };
        let is_same = step.sides.iter().all(Option::is_some) && step.changed().is_empty();
        if is_same { Ok(()) } else { give(&step) }
    }
}

/// A row with its layout in front.
fn stored_row(comparison: &Comparison, side: usize, row: &KeptRow) -> Result<Vec<u8>> {
    let layout = match &row.columns {
        Some(columns) => comparison.layout(side, Some(columns), row.form)?,
        None => 0,
    };
    Ok([&layout.to_le_bytes(), &row.text[..]].concat())
}

/// Where a place of the newer of two contents is in the older one; gaps come in order. So many bytes before it and behind it
/// belong to it.
fn older_place(gaps: &[Gap], place: &Range<u64>, [front, back]: [u64; 2]) -> OlderPlace {
    let first = gaps.partition_point(|gap| gap.sides[1].end + front <= place.start);
    let behind = gaps.partition_point(|gap| gap.sides[1].start < place.end + back);
    let before = first.checked_sub(1).map(|last| &gaps[last]);
    let shift = |at: u64, gap: Option<&Gap>| match gap {
        Some(Gap { sides: [older, newer] }) => at.saturating_sub(newer.end) + older.end,
        None => at,
    };
    let start = shift(place.start, before);
    match gaps.get(first..behind) {
        Some([first, ..]) => {
            let end = shift(place.end, gaps.get(behind - 1));
            OlderPlace::About(start.min(first.sides[0].start)..end)
        }
        _ => OlderPlace::Same(start..start + (place.end - place.start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_followed_through_what_changed() {
        let gaps = [Gap { sides: [100..120, 100..110] }, Gap { sides: [200..200, 190..205] }];
        let same = [(0..90, 0..90), (120..130, 130..140), (150..187, 160..197), (210..220, 205..215)];
        for (place, older) in same {
            assert_eq!(older_place(&gaps, &place, ROW_MARGINS), OlderPlace::Same(older), "{place:?}");
        }
        let about = [
            (80..100, 80..120),
            (104..106, 100..120),
            (111..115, 100..125),
            (180..230, 190..225),
            (192..195, 200..200),
        ];
        for (place, older) in about {
            assert_eq!(older_place(&gaps, &place, ROW_MARGINS), OlderPlace::About(older), "{place:?}");
        }
        assert_eq!(older_place(&gaps[..1], &(500..501), ROW_MARGINS), OlderPlace::Same(510..511));
        // What ends where a gap begins is not in it.
        assert_eq!(older_place(&gaps, &(90..100), DOCUMENT_MARGINS), OlderPlace::Same(90..100));
        assert_eq!(older_place(&gaps, &(110..115), DOCUMENT_MARGINS), OlderPlace::Same(120..125));
        assert_eq!(older_place(&gaps, &(99..101), DOCUMENT_MARGINS), OlderPlace::About(99..120));
    }
}
