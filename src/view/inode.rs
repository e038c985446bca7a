//! Inode numbers: 24 bits of snapshot sequence and 40 of pre-order position in that snapshot, so that they need no table
//! and survive a remount. Sequence 0 is for entries that are in no snapshot.

use crate::error::Error;

const POSITION_BITS: u32 = 40;
pub(super) const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

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
}

impl Place {
    pub fn of(ino: u64) -> Place {
        match ino >> POSITION_BITS {
            0 => Place::Virtual,
            sequence => Place::InSnapshot { sequence, position: ino & POSITION_MASK },
        }
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

    #[test]
    fn numbers_come_apart_again() {
        assert_eq!(Place::of(ROOT), Place::Virtual);
        assert_eq!(Place::of(POSITION_MASK), Place::Virtual);
        assert_eq!(Place::of(ino_at(7, 12)), Place::InSnapshot { sequence: 7, position: 12 });
        assert_eq!(Place::of(root_of((1 << 24) - 1)), Place::InSnapshot { sequence: (1 << 24) - 1, position: 0 });
    }
}
