//! Join: rows of two sides by their keys. What is the same on both sides goes as soon as the second one comes; what is left
//! are the differences. A row is bytes with a key, whatever database it is of; beyond a bound, rows wait in files.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::Result;
use crate::rows::run::{Run, RunReader, RunWriter};

/// Bytes that an entry takes besides its key and rows.
const ENTRY_BYTES: usize = 200;

/// Files that are merged at a time; so many are merged into one.
const RUNS_MAX: usize = 64;

/// Whether two rows of one key are the same: the one of side A is given first.
pub type SameRow<'s> = dyn Fn(&[u8], &[u8]) -> bool + 's;

/// A row, and how often it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub row: Box<[u8]>,
    pub count: u64,
}

/// The rows of one key that are on one side only, or not the same on both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub rows: [Vec<Counted>; 2],
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.rows.iter().all(Vec::is_empty)
    }

    /// Adds a row to a side, or takes the same from the other; tells by how many bytes the entry grew.
    fn add(&mut self, side: usize, row: &[u8], mut count: u64, same: &SameRow) -> isize {
        let mut grown = 0;
        let is_same = |other: &[u8]| if side == 0 { same(row, other) } else { same(other, row) };
        self.rows[1 - side].retain_mut(|other| {
            if count > 0 && is_same(&other.row) {
                let taken = other.count.min(count);
                (other.count, count) = (other.count - taken, count - taken);
                if other.count == 0 {
                    grown -= other.row.len() as isize;
                }
            }
            other.count > 0
        });
        if count == 0 {
            return grown;
        }
        match self.rows[side].iter_mut().find(|known| *known.row == *row) {
            Some(known) => known.count += count,
            None => {
                self.rows[side].push(Counted { row: row.into(), count });
                grown += row.len() as isize;
            }
        }
        grown
    }

    /// Gives pairs of a row of A and one of B, and rows that are left.
    pub fn pairs<E>(&self, mut each: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), E>) -> Result<(), E> {
        let rows = |side: usize| self.rows[side].iter().flat_map(|it| (0..it.count).map(|_| &*it.row));
        let (mut before, mut after) = (rows(0), rows(1));
        loop {
            match (before.next(), after.next()) {
                (None, None) => return Ok(()),
                (before, after) => each(before, after)?,
            }
        }
    }
}

/// What joining took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JoinCounts {
    /// The most bytes that waited in memory.
    pub bytes_max: usize,
    /// Files that were written.
    pub runs: u64,
}

/// Takes rows of both sides.
pub struct Join<'s> {
    same: &'s SameRow<'s>,
    entries: HashMap<Vec<u8>, Entry>,
    bytes: usize,
    bytes_max: usize,
    folder: PathBuf,
    runs: Vec<Run>,
    counts: JoinCounts,
}

impl<'s> Join<'s> {
    /// One that keeps about so many bytes in memory, and the rest in files in `folder`.
    pub fn new(same: &'s SameRow<'s>, bytes_max: usize, folder: PathBuf) -> Join<'s> {
        let counts = JoinCounts::default();
        Join { same, entries: HashMap::new(), bytes: 0, bytes_max, folder, runs: Vec::new(), counts }
    }

    /// Adds a row of side 0 or 1.
    pub fn add(&mut self, side: usize, key: &[u8], row: &[u8]) -> Result<()> {
        let Some(entry) = self.entries.get_mut(key) else {
            let mut rows = [Vec::new(), Vec::new()];
            rows[side].push(Counted { row: row.into(), count: 1 });
            self.entries.insert(key.to_vec(), Entry { rows });
            self.bytes += key.len() + row.len() + ENTRY_BYTES;
            self.counts.bytes_max = self.counts.bytes_max.max(self.bytes);
            return if self.bytes > self.bytes_max { self.spill() } else { Ok(()) };
        };
        let grown = entry.add(side, row, 1, self.same);
        self.bytes = self.bytes.saturating_add_signed(grown);
        if entry.is_empty() {
            self.entries.remove(key);
            self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_BYTES);
        }
        self.counts.bytes_max = self.counts.bytes_max.max(self.bytes);
        if self.bytes > self.bytes_max { self.spill() } else { Ok(()) }
    }

    /// Writes what is in memory to a file.
    fn spill(&mut self) -> Result<()> {
        let mut writer = RunWriter::new(&self.folder)?;
        for (key, entry) in sorted(std::mem::take(&mut self.entries)) {
            writer.push(&key, &entry)?;
        }
        self.bytes = 0;
        self.runs.push(writer.finish()?);
        self.counts.runs += 1;
        if self.runs.len() < RUNS_MAX {
            return Ok(());
        }
        let mut writer = RunWriter::new(&self.folder)?;
        let runs = std::mem::take(&mut self.runs);
        merge(&[], &runs, self.same, &mut |key, entry| writer.push(key, entry))?;
        self.runs.push(writer.finish()?);
        Ok(())
    }

    /// Ends the join.
    pub fn finish(self) -> Joined<'s> {
        Joined { same: self.same, entries: sorted(self.entries), runs: self.runs, counts: self.counts }
    }
}

fn sorted(entries: HashMap<Vec<u8>, Entry>) -> Vec<(Vec<u8>, Entry)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

/// The differences, as often as somebody asks for them.
pub struct Joined<'s> {
    same: &'s SameRow<'s>,
    entries: Vec<(Vec<u8>, Entry)>,
    runs: Vec<Run>,
    pub counts: JoinCounts,
}

impl Joined<'_> {
    /// Gives each key that differs, in order, with its rows.
    pub fn each(&self, each: &mut dyn FnMut(&[u8], &Entry) -> Result<()>) -> Result<()> {
        merge(&self.entries, &self.runs, self.same, each)
    }
}

/// What comes next of one source.
struct Head<'r> {
    next: Option<(Vec<u8>, Entry)>,
    reader: RunReader<'r>,
}

/// Goes through all sources in the order of keys.
fn merge(
    entries: &[(Vec<u8>, Entry)],
    runs: &[Run],
    same: &SameRow,
    each: &mut dyn FnMut(&[u8], &Entry) -> Result<()>,
) -> Result<()> {
    let mut entries = entries.iter().peekable();
    let mut heads = Vec::with_capacity(runs.len());
    for run in runs {
        let mut reader = RunReader::new(run);
        heads.push(Head { next: reader.next_entry()?, reader });
    }
    loop {
        let in_files = heads.iter().filter_map(|head| head.next.as_ref()).map(|(key, _)| key);
        let Some(key) = in_files.chain(entries.peek().map(|(key, _)| key)).min().cloned() else { return Ok(()) };
        let mut entry = Entry::default();
        for head in &mut heads {
            if head.next.as_ref().is_some_and(|(next, _)| *next == key) {
                let next = std::mem::replace(&mut head.next, head.reader.next_entry()?);
                next.iter().for_each(|(_, other)| add_all(&mut entry, other, same));
            }
        }
        if let Some((_, other)) = entries.next_if(|(next, _)| *next == key) {
            add_all(&mut entry, other, same);
        }
        if !entry.is_empty() {
            each(&key, &entry)?;
        }
    }
}

fn add_all(entry: &mut Entry, other: &Entry, same: &SameRow) {
    for (side, rows) in other.rows.iter().enumerate() {
        for counted in rows {
            entry.add(side, &counted.row, counted.count, same);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are the same if they are but for case.
    fn same(a: &[u8], b: &[u8]) -> bool {
        a.eq_ignore_ascii_case(b)
    }

    /// What is left of these rows, given as a key and a row each.
    fn differences(bytes_max: usize, rows: &[(usize, &str, &str)]) -> (Vec<String>, JoinCounts) {
        let mut join = Join::new(&same, bytes_max, std::env::temp_dir());
        rows.iter().for_each(|(side, key, row)| join.add(*side, key.as_bytes(), row.as_bytes()).unwrap());
        let joined = join.finish();
        let mut found = Vec::new();
        for _ in 0..2 {
            found.clear();
            let text = |row: Option<&[u8]>| row.map_or("-".into(), |row| String::from_utf8(row.to_vec()).unwrap());
            joined
                .each(&mut |key, entry| {
                    entry.pairs(|before, after| {
                        found.push(format!("{}:{}>{}", text(Some(key)), text(before), text(after)));
                        Ok(())
                    })
                })
                .unwrap();
        }
        (found, joined.counts)
    }

    #[test]
    fn what_is_left_is_the_difference_with_and_without_files() {
        let rows = [
            (0, "b", "b1"),
            (1, "a", "new"),
            (0, "c", "same"),
            (1, "b", "b2"),
            (0, "d", "old"),
            (1, "c", "SAME"),
            (0, "e", "twice"),
            (0, "e", "twice"),
            (1, "e", "twice"),
            (1, "f", "f"),
            (0, "f", "f"),
        ];
        for bytes_max in [1 << 20, 500, 0] {
            let (found, counts) = differences(bytes_max, &rows);
            assert_eq!(found, ["a:->new", "b:b1>b2", "d:old>-", "e:twice>-"], "{bytes_max}");
            assert_eq!(counts.runs > 0, bytes_max < 1000, "{bytes_max}");
        }
    }

    #[test]
    fn many_files_become_one_and_memory_is_bounded() {
        let names: Vec<String> = (0..20_000).map(|n| format!("{:05}", n * 7919 % 20_000)).collect();
        let all = names.iter().map(|name| (0, name.as_str(), "before"));
        let others = names.iter().rev().filter(|name| !name.ends_with("77"));
        let all: Vec<_> = all.chain(others.map(|name| (1, name.as_str(), "BEFORE"))).collect();
        let (found, counts) = differences(40_000, &all);
        let expected: Vec<String> = (0..200).map(|n| format!("{n:03}77:before>-")).collect();
        assert_eq!(found, expected);
        assert!(counts.runs > 2 * RUNS_MAX as u64 && counts.bytes_max < 41_000, "{counts:?}");
    }
}
