//! Inode numbers. Those of entries in snapshots need no table and survive a remount.
//!
//! | What | Bit 63 | 62 to 41 | 40 to 39 | 38 to 0 |
//! |---|---|---|---|---|
//! | an entry of a snapshot | 0 | its sequence, 24 bits | (of the sequence) | pre-order position in it |
//! | an entry in no snapshot | 0 | 0 | (also 0) | a fixed number, or a hash |
//! | a directory in `diff/` | 1 | number of the pair | part | pre-order position in the snapshot shown |

use crate::error::Error;
use crate::view::difference::Part;

const POSITION_BITS: u32 = 39;
pub(super) const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

const PART_BITS: u32 = 2;
const PAIR_SHIFT: u32 = POSITION_BITS + PART_BITS;
const IN_DIFFERENCE: u64 = 1 << 63;

/// Pairs have smaller numbers than this.
pub(super) const PAIR_NUMBERS: u64 = 1 << (63 - PAIR_SHIFT);

/// The mount's root, as FUSE wants it.
pub(super) const ROOT: u64 = 1;
pub(super) const SNAPSHOTS: u64 = 2;
pub(super) const AT: u64 = 3;
pub(super) const IDS: u64 = 4;
pub(super) const TAGS: u64 = 5;
pub(super) const DIFF: u64 = 6;

/// Numbers below this are not given to named virtual entries.
pub(super) const FIRST_NAMED: u64 = 16;

/// What an inode number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Virtual,
    InSnapshot { sequence: u64, position: u64 },
    InDifference(DifferencePlace),
}

/// A directory below `diff/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DifferencePlace {
    /// Number of the pair of snapshots.
    pub pair: u64,
    pub part: Part,
    /// In the snapshot that the part shows: 0 for the part itself.
    pub position: u64,
}

impl Place {
    pub fn of(ino: u64) -> Place {
        let position = ino & POSITION_MASK;
        if ino & IN_DIFFERENCE != 0 {
            let part = Part::of_code((ino >> POSITION_BITS) & ((1 << PART_BITS) - 1));
            return Place::InDifference(DifferencePlace { pair: (ino & !IN_DIFFERENCE) >> PAIR_SHIFT, part, position });
        }
        match ino >> POSITION_BITS {
            0 => Place::Virtual,
            sequence => Place::InSnapshot { sequence, position },
        }
    }
}

impl DifferencePlace {
    pub fn ino(&self) -> u64 {
        let part = self.part.code() << POSITION_BITS;
        IN_DIFFERENCE | (self.pair << PAIR_SHIFT) | part | (self.position & POSITION_MASK)
    }

    /// Another directory of the same pair and part.
    pub fn at(&self, position: u64) -> DifferencePlace {
        DifferencePlace { position, ..*self }
    }
}

/// The number of the entry at a position of a snapshot.
pub(super) fn ino_at(sequence: u64, position: u64) -> u64 {
    (sequence << POSITION_BITS) | (position & POSITION_MASK)
}

/// The number of a snapshot's root.
pub(super) fn root_of(sequence: u64) -> u64 {
    ino_at(sequence, 0)
}

/// The refusal of an operation that an entry's type does not have.
pub(super) fn not_a(what: &'static str, ino: u64) -> Error {
    Error::invalid("inode", ino.to_string(), format!("it is not a {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::catalog::SNAPSHOT_SEQUENCE_MAX;

    #[test]
    fn numbers_come_apart_again() {
        assert_eq!(Place::of(ROOT), Place::Virtual);
        assert_eq!(Place::of(POSITION_MASK), Place::Virtual);
        for sequence in [1, 7, SNAPSHOT_SEQUENCE_MAX] {
            for position in [0, 12, POSITION_MASK] {
                assert_eq!(Place::of(ino_at(sequence, position)), Place::InSnapshot { sequence, position });
            }
        }
        for pair in [0, 1, PAIR_NUMBERS - 1] {
            for part in [Part::Whole, Part::Added, Part::Changed, Part::Removed] {
                for position in [0, 12, POSITION_MASK] {
                    let place = DifferencePlace { pair, part, position };
                    assert_eq!(Place::of(place.ino()), Place::InDifference(place));
                }
            }
        }
    }
}
