//! Pairs of snapshots by number: what the inode numbers in `diff/` rest on.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::view::inode::PAIR_NUMBERS;
use crate::view::recent::Recent;

/// Pairs known at a time, each of a few hundred bytes. One that fell out is found again by its name, with another number.
const PAIRS_MAX: usize = 4096;

/// An entry `diff/A..B`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SnapshotPair {
    /// As the user wrote it. Two names of one pair are two directories: the kernel wants a directory to have one name.
    pub name: String,
    /// Sequences of the snapshots that it names. What a name means may change; then it is another pair.
    pub a: u64,
    pub b: u64,
}

pub(super) struct PairTable {
    known: Mutex<Known>,
}

struct Known {
    pairs: Recent<u64, Arc<SnapshotPair>>,
    /// Numbers given so far; none is given twice, so none ever comes to mean another pair.
    given: u64,
}

impl PairTable {
    pub fn new() -> PairTable {
        PairTable { known: Mutex::new(Known { pairs: Recent::new(PAIRS_MAX), given: 0 }) }
    }

    /// The pair with a number.
    ///
    /// # Errors
    /// [`Error::Stale`] where it fell out of the table.
    pub fn get(&self, number: u64) -> Result<Arc<SnapshotPair>> {
        // A table whose holder panicked is still a whole table.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.pairs.get(&number).ok_or(Error::Stale { what: "pair of snapshots", number })
    }

    /// The number of a pair.
    pub fn number_of(&self, pair: SnapshotPair) -> Result<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.pairs.find(|it| **it == pair).map(|(number, _)| *number) {
            known.pairs.get(&number);
            return Ok(number);
        }
        let number = known.given;
        if number >= PAIR_NUMBERS {
            let reason = format!("this mount has shown {PAIR_NUMBERS} pairs, as many as it can number; mount again");
            return Err(Error::invalid("pair of snapshots", pair.name, reason));
        }
        known.given += 1;
        known.pairs.insert(number, Arc::new(pair));
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, a: u64, b: u64) -> SnapshotPair {
        SnapshotPair { name: name.into(), a, b }
    }

    #[test]
    fn a_pair_keeps_its_number_and_another_meaning_of_its_name_is_another_pair() {
        let table = PairTable::new();
        let first = table.number_of(pair("lake~1..lake", 1, 2)).unwrap();
        assert_eq!(table.number_of(pair("lake~1..lake", 1, 2)).unwrap(), first);
        let later = table.number_of(pair("lake~1..lake", 2, 3)).unwrap();
        let other_name = table.number_of(pair("lake@latest~1..lake", 2, 3)).unwrap();
        assert!(first != later && later != other_name);
        assert_eq!(*table.get(first).unwrap(), pair("lake~1..lake", 1, 2));
        assert_eq!(*table.get(later).unwrap(), pair("lake~1..lake", 2, 3));
    }

    #[test]
    fn a_pair_that_fell_out_is_stale_and_never_another_one() {
        let table = PairTable::new();
        let first = table.number_of(pair("first", 1, 2)).unwrap();
        for number in 0..2 * PAIRS_MAX as u64 {
            table.number_of(pair("later", 1, number)).unwrap();
        }
        assert!(matches!(table.get(first), Err(Error::Stale { .. })));
        let again = table.number_of(pair("first", 1, 2)).unwrap();
        assert_ne!(again, first);
        assert_eq!(table.get(again).unwrap().name, "first");
        assert!(matches!(table.get(first), Err(Error::Stale { .. })));
    }

    #[test]
    fn when_the_numbers_are_used_up_known_pairs_are_still_shown() {
        let table = PairTable::new();
        let first = table.number_of(pair("first", 1, 2)).unwrap();
        table.known.lock().unwrap().given = PAIR_NUMBERS;
        assert_eq!(table.number_of(pair("first", 1, 2)).unwrap(), first);
        assert!(matches!(table.number_of(pair("second", 1, 2)), Err(Error::Invalid { .. })));
    }
}
