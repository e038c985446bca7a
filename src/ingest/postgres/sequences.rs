//! Which sequences the tables of a dump have. There may be a million, so each is known by its number among the objects of the dump.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::ingest::dump::PartList;

/// What a dump tells of sequences.
#[derive(Default)]
pub struct Sequences {
    /// Tables, and what each has, while the dump is read.
    owned: BTreeSet<(u32, u32)>,
    /// The same afterwards, in less than half of the room.
    told: Vec<(u32, u32)>,
    /// The same by the ranks of tables, once all were told: a table may have several numbers.
    ranked: OnceLock<Vec<(u32, u32)>>,
}

impl Sequences {
    /// The table has the sequence; both by their numbers.
    pub fn own(&mut self, table: u32, sequence: u32) {
        self.owned.insert((table, sequence));
    }

    /// What is known so far to be a table's, under this number of it.
    pub fn so_far(&self, table: u32) -> impl Iterator<Item = u32> + '_ {
        self.owned.range((table, 0)..=(table, u32::MAX)).map(|&(_, sequence)| sequence)
    }

    /// The dump tells no more.
    pub fn finish(&mut self) {
        self.told = std::mem::take(&mut self.owned).into_iter().collect();
    }

    /// All that a table has. The dump must have told all, and the list must be whole.
    pub fn of<'s>(&'s self, list: &PartList, table: u32) -> impl Iterator<Item = u32> + use<'s> {
        let ranked = self.ranked.get_or_init(|| {
            let mut ranked: Vec<(u32, u32)> = self.told.iter().map(|&(table, own)| (list.rank(table), own)).collect();
            ranked.sort_unstable();
            ranked
        });
        let rank = list.rank(table);
        let first = ranked.partition_point(|&(table, _)| table < rank);
        ranked[first..].iter().take_while(move |&&(table, _)| table == rank).map(|&(_, sequence)| sequence)
    }
}
