//! History: one row in every snapshot of a source in which it changed, the newest first. Where a snapshot shares with the next
//! newer one what lies around the place of the row, it is not read there.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::snapshot::Snapshot;
use crate::rows::comparison::{Comparison, RowView, is_same_value};
use crate::rows::gaps::{Gap, gaps};
use crate::rows::locate::{KeptRow, KeyPlace, Locator, wanted_key};
use crate::rows::side::{DumpSide, TableSide};
use crate::rows::tables::{TableFiles, TablePair, changed_tables};

/// Bytes in front of a row by which its beginning is told.
const MARK_BYTES: u64 = 2;

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
}

/// Gives the snapshots, of these that come the newest first, in which the row of this key is another one than in the snapshot
/// before, or the oldest that has it. Tells whether any has it.
///
/// # Errors
/// [`Error::NotFound`] for a table that none has; [`Error::Invalid`] for the key, and where rows cannot be understood.
pub fn row_history(
    repository: &Repository,
    snapshots: &[Arc<Snapshot>],
    table: &[u8],
    values: &[Vec<u8>],
    monitor: &dyn Monitor,
    give: &mut dyn FnMut(&HistoryStep) -> Result<()>,
) -> Result<bool> {
    let walk = Walk { repository, table, values, monitor };
    let (mut has_row, mut has_table) = (false, false);
    let mut newer: Option<(&Snapshot, Seen)> = None;
    for snapshot in snapshots {
        let Some(seen) = walk.look(snapshot, newer.as_ref().map(|(_, seen)| seen))? else { break };
        has_table |= seen.table.is_some();
        has_row |= seen.row().is_some();
        if let Some((snapshot, newer)) = &newer {
            walk.compare(snapshot, [Some(&seen), Some(newer)], give)?;
        }
        newer = Some((snapshot, seen));
    }
    if let Some((snapshot, oldest)) = &newer {
        walk.compare(snapshot, [None, Some(oldest)], give)?;
    }
    if has_table { Ok(has_row) } else { Err(no_table(table)) }
}

fn no_table(table: &[u8]) -> Error {
    Error::NotFound { what: "table", name: String::from_utf8_lossy(table).into_owned() }
}

struct Walk<'w> {
    repository: &'w Repository,
    table: &'w [u8],
    values: &'w [Vec<u8>],
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

impl Walk<'_> {
    /// What a snapshot has, if the one behind it has this; `None` where rows had another key, and cannot be followed.
    fn look(&self, snapshot: &Snapshot, newer: Option<&Seen>) -> Result<Option<Seen>> {
        let dump = DumpSide::new(self.repository, snapshot, self.monitor)?;
        dump.go_on()?;
        let Some(pair) = self.pair(snapshot)? else {
            return Ok(Some(Seen { table: None, place: KeyPlace { range: 0..0, row: None } }));
        };
        let files = pair.sides[1].clone().unwrap_or_default();
        let newer_table = newer.and_then(|seen| seen.table.as_ref());
        let mut near = None;
        if let (Some(newer), Some(table)) = (newer, newer_table)
            && let Some(place) = self.older_place(&dump, &files, (table, &newer.place))?
        {
            match place {
                OlderPlace::Same(range) => {
                    let place = KeyPlace { range, row: newer.place.row.clone() };
                    return Ok(Some(Seen { table: Some(SeenTable { files, ..table.clone() }), place }));
                }
                OlderPlace::About(range) => near = Some(range),
            }
        }
        self.read(&dump, &pair, files, near, newer_table)
    }

    /// The table as a snapshot has it, if it has it.
    fn pair(&self, snapshot: &Snapshot) -> Result<Option<TablePair>> {
        let roots = [None, Some(&snapshot.manifest.root)];
        match changed_tables(self.repository, snapshot.manifest.kind, roots, &[self.table.to_vec()]) {
            Err(Error::NotFound { .. }) => Ok(None),
            pairs => Ok(pairs?.into_iter().next()),
        }
    }

    /// Where the place is in files that may share it.
    fn older_place(
        &self,
        dump: &DumpSide,
        files: &TableFiles,
        (newer, place): (&SeenTable, &KeyPlace),
    ) -> Result<Option<OlderPlace>> {
        if files.schema != newer.files.schema {
            return Ok(None);
        }
        if files.data == newer.files.data {
            return Ok(Some(OlderPlace::Same(place.range.clone())));
        }
        let (Some(older_data), Some(newer_data)) = (&files.data, &newer.files.data) else { return Ok(None) };
        let place = self.follow(older_data, newer_data, &place.range)?;
        let is_told_by_marks = dump.marks()?.agree_with(&newer.side.marks);
        Ok(Some(match place {
            OlderPlace::Same(range) if !is_told_by_marks => OlderPlace::About(range),
            place => place,
        }))
    }

    fn follow(&self, older: &Content, newer: &Content, place: &Range<u64>) -> Result<OlderPlace> {
        let chunks = self.repository.chunks()?;
        Ok(older_place(&gaps([chunks; 2], older, newer)?, place))
    }

    fn read(
        &self,
        dump: &DumpSide,
        pair: &TablePair,
        files: TableFiles,
        near: Option<Range<u64>>,
        newer: Option<&SeenTable>,
    ) -> Result<Option<Seen>> {
        let name = pair.name();
        let side = TableSide::open(dump, Some(&files), &name)?;
        let comparison = Comparison::new(&name, [side.columns(), side.columns()], None)?;
        let columns = comparison.key().unwrap_or_default();
        let key: Vec<Vec<u8>> = columns.iter().map(|&column| comparison.columns()[column].clone()).collect();
        if newer.is_some_and(|newer| newer.key != key) {
            let manifest = &dump.snapshot.manifest;
            let snapshot = format!("{}@{}", manifest.source, manifest.name);
            self.monitor.note(&format!("up to {snapshot}, {name} has another key, by which the row cannot be found"));
            return Ok(None);
        }
        let wanted = wanted_key(&comparison, &name, self.values)?;
        let monitor = self.monitor;
        let locator = Locator { dump, side: &side, comparison: &comparison, name: &name, wanted, monitor };
        let place = locator.place(near)?;
        let table = SeenTable { name: name.into(), files, side: Rc::new(side), key };
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

/// Where a place of the newer of two contents is in the older one; gaps come in order.
fn older_place(gaps: &[Gap], place: &Range<u64>) -> OlderPlace {
    let first = gaps.partition_point(|gap| gap.sides[1].end < place.start.saturating_sub(MARK_BYTES));
    let behind = gaps.partition_point(|gap| gap.sides[1].start <= place.end);
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
            assert_eq!(older_place(&gaps, &place), OlderPlace::Same(older), "{place:?}");
        }
        let about = [
            (80..100, 80..120),
            (104..106, 100..120),
            (111..115, 100..125),
            (180..230, 190..225),
            (192..195, 200..200),
        ];
        for (place, older) in about {
            assert_eq!(older_place(&gaps, &place), OlderPlace::About(older), "{place:?}");
        }
        assert_eq!(older_place(&gaps[..1], &(500..501)), OlderPlace::Same(510..511));
    }
}
