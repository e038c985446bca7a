//! Comparing the rows of two dumps: what differs, and what brings one to the other.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::sync::Arc;

use yesterfs::error::{ErrorKind, Result};
use yesterfs::progress::Recorder;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::{
    Direction, DumpSide, FoundRow, HistoryStep, Operation, PatchWriter, RowDiffCounts, RowDiffOptions, changed_tables,
    diff_table, find_rows, row_history,
};

use super::repository::TestRepository;

pub const MIB: usize = 1 << 20;

/// Numbers that look random and are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

pub fn options() -> RowDiffOptions {
    RowDiffOptions { key: None, memory_bytes: 64 * MIB, temporary_directory: std::env::temp_dir(), whole: false }
}

/// A row that differs: operation, key columns, and the values on both sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub table: String,
    pub operation: char,
    pub before: String,
    pub after: String,
    pub changed: String,
}

/// What differs, and what finding it took.
#[derive(Debug, Default)]
pub struct Found {
    pub changes: Vec<Change>,
    pub redefined: Vec<String>,
    pub counts: Vec<RowDiffCounts>,
    pub notes: Vec<String>,
}

impl Found {
    pub fn bytes_read(&self) -> u64 {
        self.counts.iter().map(|counts| counts.reading.bytes).sum()
    }

    /// Operation, values and changed columns of the changes of a table.
    pub fn of(&self, table: &str) -> Vec<(char, &str, &str, &str)> {
        let of_table = self.changes.iter().filter(|change| change.table == table);
        of_table.map(|it| (it.operation, &*it.before, &*it.after, &*it.changed)).collect()
    }
}

pub fn diff(place: &TestRepository, a: &Snapshot, b: &Snapshot, options: &RowDiffOptions) -> Result<Found> {
    let monitor = Recorder::default();
    let dumps = [DumpSide::new(&place.repository, a, &monitor)?, DumpSide::new(&place.repository, b, &monitor)?];
    let roots = [Some(&a.manifest.root), Some(&b.manifest.root)];
    let pairs = changed_tables(&place.repository, dumps[0].layout(), roots, &[])?;
    let mut found = Found::default();
    for pair in &pairs {
        diff_table([&dumps[0], &dumps[1]], pair, options, &monitor, &mut |change| {
            found.counts.push(change.counts);
            if change.is_redefined() {
                found.redefined.push(pair.name());
            }
            change.each(&mut |row| {
                let text = |side: usize| {
                    let view = row.sides[side].as_ref();
                    view.map(|view| String::from_utf8_lossy(view.text()).into_owned()).unwrap_or_default()
                };
                let names = row.comparison.columns();
                let changed =
                    row.changed().into_iter().map(|column| String::from_utf8_lossy(&names[column]).into_owned());
                found.changes.push(Change {
                    table: pair.name(),
                    operation: match row.operation() {
                        Operation::Insert => '+',
                        Operation::Delete => '-',
                        Operation::Update => '*',
                    },
                    before: text(0),
                    after: text(1),
                    changed: changed.collect::<Vec<_>>().join(","),
                });
                Ok(())
            })
        })?;
    }
    found.notes = monitor.notes.into_inner().unwrap();
    Ok(found)
}

/// Asserts that a dump of which some bytes are any others is compared with the first one, or refused as invalid.
#[track_caller]
pub fn assert_any_bytes_are_understood_or_invalid(
    place: &TestRepository,
    first: &Snapshot,
    whole: &[u8],
    ingest: fn(&TestRepository, &[u8]) -> Arc<Snapshot>,
) {
    let mut dice = Dice(9);
    for _ in 0..40 {
        let mut bytes = whole.to_vec();
        for _ in 0..20 {
            let at = dice.roll(bytes.len() as u64) as usize;
            bytes[at] = dice.roll(256) as u8;
        }
        let broken = ingest(place, &bytes);
        for (a, b) in [(first, &*broken), (&*broken, first)] {
            if let Err(error) = diff(place, a, b, &options()) {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            }
        }
    }
}

/// What differs, found both ways: by chunks, and by reading all rows.
#[track_caller]
pub fn found(place: &TestRepository, a: &Snapshot, b: &Snapshot) -> Found {
    let guided = diff(place, a, b, &options()).unwrap();
    let whole = diff(place, a, b, &RowDiffOptions { whole: true, ..options() }).unwrap();
    assert_eq!(guided.changes, whole.changes, "reading chunks that differ found other rows than reading all");
    assert!(guided.bytes_read() <= 2 * whole.bytes_read());
    guided
}

pub fn patch(place: &TestRepository, a: &Snapshot, b: &Snapshot, direction: Direction) -> Result<Vec<u8>> {
    let monitor = Recorder::default();
    let dumps = [DumpSide::new(&place.repository, a, &monitor)?, DumpSide::new(&place.repository, b, &monitor)?];
    let roots = [Some(&a.manifest.root), Some(&b.manifest.root)];
    let pairs = changed_tables(&place.repository, dumps[0].layout(), roots, &[])?;
    let options = options();
    let writer = PatchWriter { dumps: [&dumps[0], &dumps[1]], direction, options: &options, monitor: &monitor };
    let mut text = Vec::new();
    writer.write(&pairs, &mut |piece| {
        text.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(text)
}

/// Lines of a dump in an order that does not depend on that of rows without a key.
pub fn lines(dump: &[u8]) -> Vec<Vec<u8>> {
    let line = |line: &[u8]| line.strip_suffix(b",").or(line.strip_suffix(b";")).unwrap_or(line).to_vec();
    let mut lines: Vec<Vec<u8>> = dump.split(|&byte| byte == b'\n').map(line).collect();
    lines.sort();
    lines
}

#[track_caller]
pub fn assert_same_dump(found: &[u8], expected: &[u8], what: &str, patch: &[u8]) {
    let (found, expected) = (lines(found), lines(expected));
    let differing = found.iter().zip(&expected).find(|(a, b)| a != b);
    let shown = differing.map(|(a, b)| (String::from_utf8_lossy(a), String::from_utf8_lossy(b)));
    let patch = String::from_utf8_lossy(&patch[..patch.len().min(20_000)]);
    assert!(found == expected, "{what}: {shown:?}\n{patch}");
}

/// Changes some of what stands in a collection; `make` makes one with an id.
pub fn change_some<T>(dice: &mut Dice, all: &mut Vec<T>, make: impl Fn(&mut Dice, u64) -> T) {
    for _ in 0..1 + dice.roll(9) {
        let at = dice.roll(all.len() as u64) as usize;
        match dice.roll(5) {
            0 => drop(all.remove(at)),
            1 => {
                let id = 5000 + dice.roll(1 << 30);
                all.insert(at, make(dice, id));
            }
            2 => drop(all.pop()),
            3 => all.swap(at, 0),
            _ => all[at] = make(dice, at as u64),
        }
    }
}

/// The row of `shop.orders` with an id in each snapshot.
pub fn states(place: &TestRepository, snapshots: &[Arc<Snapshot>], id: &str) -> Vec<Option<Vec<u8>>> {
    let state = |snapshot: &Arc<Snapshot>| {
        let (monitor, mut found) = (Recorder::default(), None);
        let side = DumpSide::new(&place.repository, snapshot, &monitor).unwrap();
        let mut take = |row: &FoundRow| {
            found = Some(row.row.text().to_vec());
            Ok(())
        };
        find_rows(&side, b"shop.orders", None, &[id.as_bytes().to_vec()], &monitor, &mut take).unwrap();
        found
    };
    snapshots.iter().map(state).collect()
}

/// Asserts that history tells what finding the row in every snapshot does, of all that the repository has, the oldest first; gives
/// how many versions that are. A row is another one, too, where `is_other` says so of the states and the place of one.
pub fn assert_history_tells_states(
    place: &TestRepository,
    snapshots: &[Arc<Snapshot>],
    id: &str,
    is_other: impl Fn(&[Option<Vec<u8>>], usize) -> bool,
) -> usize {
    let states = states(place, snapshots, id);
    let mut expected: Vec<_> = (1..states.len())
        .filter(|&at| states[at] != states[at - 1] || is_other(&states, at))
        .map(|at| (at as u64, states[at - 1].clone(), states[at].clone()))
        .rev()
        .collect();
    expected.extend(states[0].clone().map(|state| (0, None, Some(state))));
    let newest_first: Vec<Arc<Snapshot>> = snapshots.iter().rev().cloned().collect();
    let (mut steps, monitor) = (Vec::new(), Recorder::default());
    let mut give = |step: &HistoryStep| -> Result<()> {
        let text = |side: usize| step.sides[side].as_ref().map(|view| view.text().to_vec());
        steps.push((step.snapshot.sequence - 1, text(0), text(1)));
        Ok(())
    };
    let values = [id.as_bytes().to_vec()];
    row_history(&place.repository, &newest_first, b"shop.orders", None, &values, &monitor, &mut give).unwrap();
    assert!(steps == expected, "{id}: {} steps, {} expected", steps.len(), expected.len());
    steps.len()
}
