//! Which sequences a dump has, and which tables have them. There may be a million, so each is known by a hash of its place.

use std::collections::BTreeSet;

use crate::id::hash;

/// The first half of the hash of a place: no two places have the same.
type Key = [u8; 16];

fn key(place: &[u8]) -> Key {
    let digest = hash(place);
    std::array::from_fn(|at| digest[at])
}

/// What a dump tells of sequences.
#[derive(Default)]
pub struct Sequences {
    /// The sequences of each table.
    owned: BTreeSet<(Key, Key)>,
    /// Where the parts of each sequence begin.
    starts: BTreeSet<(Key, u64)>,
}

impl Sequences {
    /// A part of the sequence of this place begins there.
    pub fn begin(&mut self, sequence: &[u8], start: u64) {
        self.starts.insert((key(sequence), start));
    }

    /// The table has the sequence; both by their places.
    pub fn own(&mut self, table: &[u8], sequence: &[u8]) {
        self.owned.insert((key(table), key(sequence)));
    }

    /// Whether the table has the sequence.
    pub fn is_owned(&self, table: &[u8], sequence: &[u8]) -> bool {
        self.owned.contains(&(key(table), key(sequence)))
    }

    /// Where the parts of all sequences of a table begin.
    pub fn starts_of(&self, table: &[u8]) -> impl Iterator<Item = u64> + '_ {
        let table = key(table);
        let owned = self.owned.range((table, Key::default())..=(table, [u8::MAX; 16]));
        owned
            .flat_map(|&(_, sequence)| self.starts.range((sequence, 0)..=(sequence, u64::MAX)))
            .map(|&(_, start)| start)
    }
}
