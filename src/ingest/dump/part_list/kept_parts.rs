//! KeptParts: the parts of a dump in little memory. There may be many millions, and nearly all are much like the one before them:
//! each is told by how it differs, in some 6 bytes.

use crate::codec::{DecodeError, Decoder, Encoder};

/// So many are told one after the other: whoever wants one reads those before it.
const BLOCK_PARTS: usize = 16;

/// A part, which ends where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptPart {
    pub start: u64,
    pub rows: u64,
    pub object: u32,
    pub file: u8,
}

/// Parts in the order in which they begin.
#[derive(Debug, Default)]
pub struct KeptParts {
    told: Encoder,
    /// Where each block begins in that.
    blocks: Vec<u64>,
    count: usize,
    last: KeptPart,
}

impl KeptParts {
    pub fn push(&mut self, part: KeptPart) {
        let mut before = self.last;
        if self.count.is_multiple_of(BLOCK_PARTS) {
            self.blocks.push(self.told.bytes.len() as u64);
            before = KeptPart::default();
        }
        let object = i64::from(part.object) - i64::from(before.object);
        self.told.varint(part.start - before.start).signed(object).u8(part.file).varint(part.rows);
        self.last = part;
        self.count += 1;
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count as u32
    }

    /// The one that was pushed last.
    pub fn last(&self) -> Option<&KeptPart> {
        Some(&self.last).filter(|_| self.count > 0)
    }

    /// All from the one of this number on.
    pub fn starting_with(&self, number: u32) -> impl Iterator<Item = KeptPart> + '_ {
        let (block, skipped) = (number as usize / BLOCK_PARTS, number as usize % BLOCK_PARTS);
        let at = self.blocks.get(block).map_or(self.told.bytes.len(), |&at| at as usize);
        let mut told = Decoder::new(&self.told.bytes[at..]);
        let mut before = KeptPart::default();
        let parts = (block * BLOCK_PARTS..self.count).map_while(move |number| {
            if number % BLOCK_PARTS == 0 {
                before = KeptPart::default();
            }
            before = part_after(&before, &mut told).ok()?;
            Some(before)
        });
        parts.skip(skipped)
    }
}

fn part_after(before: &KeptPart, told: &mut Decoder) -> Result<KeptPart, DecodeError> {
    Ok(KeptPart {
        start: before.start + told.varint()?,
        object: (i64::from(before.object) + told.signed()?) as u32,
        file: told.u8()?,
        rows: told.varint()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_from_any_number_on() {
        let part = |number: u64| KeptPart {
            start: number << (number % 50),
            rows: u64::MAX >> (number % 64),
            object: (number as u32).wrapping_mul(0x9e37_79b9),
            file: number as u8,
        };
        let mut expected: Vec<KeptPart> = (0..100).map(part).collect();
        expected.sort_by_key(|part| part.start);
        let mut parts = KeptParts::default();
        expected.iter().for_each(|&part| parts.push(part));
        assert_eq!((parts.count(), parts.last()), (100, expected.last()));
        for first in 0..=100 {
            assert_eq!(parts.starting_with(first as u32).collect::<Vec<_>>(), expected[first..]);
        }
        assert_eq!(parts.starting_with(1000).next(), None);
    }
}
