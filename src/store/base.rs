//! Base: what a new chunk may be told against.

use std::ops::Range;

use crate::store::chunk_record::{BASES_MAX, DELTA_DEPTH_MAX, RecordPlace};
use crate::store::listed_delta::IdRun;

/// A record of which a delta copies less is no base: it would have to be read for it.
const COPIED_MIN_BYTES: usize = 128;

/// What a base may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Chunks that need no other.
    Wholes,
    /// These, and deltas against them that stand alone.
    Steps,
    /// Chains of deltas, as long as a record may end.
    Chains,
}

impl Reach {
    /// Chains of deltas that a new chunk ends may be so long.
    pub fn depth_max(self) -> u32 {
        match self {
            Reach::Wholes => 1,
            Reach::Steps => 2,
            Reach::Chains => DELTA_DEPTH_MAX,
        }
    }
}

/// The plain bytes of chunks that are published, one after the other.
#[derive(Debug, Default)]
pub struct Base {
    pub bytes: Vec<u8>,
    pub parts: Vec<BasePart>,
    /// Where chunks of data that were asked for are themselves told against these: what they hold, one after the other.
    pub last: Vec<u8>,
    /// Where footers list ids that stand in what was asked for, and perhaps not in these.
    pub listed: Vec<IdRun>,
}

/// A record of a base.
#[derive(Debug, Clone, Copy)]
pub struct BasePart {
    pub place: RecordPlace,
    /// Of the base, these are its bytes: so many.
    pub plain_bytes: usize,
    /// Of the chain of deltas that it ends: 0 where it needs no other.
    pub depth: u32,
}

impl Base {
    /// Adds one more; what is there already is not added again.
    pub fn add(&mut self, place: RecordPlace, plain: &[u8], depth: u32) {
        if !self.parts.iter().any(|part| part.place == place) {
            self.parts.push(BasePart { place, plain_bytes: plain.len(), depth });
            self.bytes.extend_from_slice(plain);
        }
    }

    pub fn places(&self) -> Vec<RecordPlace> {
        self.parts.iter().map(|part| part.place).collect()
    }

    /// Of the longest chain of deltas that one of the records ends.
    pub fn depth(&self) -> u32 {
        self.parts.iter().map(|part| part.depth).max().unwrap_or(0)
    }

    /// What those of its records take that are deltas.
    pub fn delta_bytes(&self) -> usize {
        self.parts.iter().filter(|part| part.depth > 0).map(|part| part.place.record_bytes as usize).sum()
    }

    /// Leaves out the records that a delta which copies these ranges does not need, so that there are no more than it may have, and
    /// tells how many bytes before `start` went with them; nothing where the delta needs all that there is.
    pub fn keep_copied(&mut self, copied: &[Range<usize>], start: usize) -> Option<usize> {
        let mut uses = self.uses(copied);
        uses.sort_unstable_by_key(|(part, _, copied_bytes)| (std::cmp::Reverse(*copied_bytes), *part));
        uses.retain(|(_, _, copied_bytes)| *copied_bytes >= COPIED_MIN_BYTES);
        uses.truncate(BASES_MAX);
        if uses.len() == self.parts.len() {
            return None;
        }
        uses.sort_unstable_by_key(|(part, ..)| *part);
        let (bytes, parts) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.parts));
        let mut left_before = 0;
        for (part, range, _) in uses {
            left_before += range.end.min(start).saturating_sub(range.start);
            self.bytes.extend_from_slice(&bytes[range]);
            self.parts.push(parts[part]);
        }
        Some(start - left_before)
    }

    /// Of each record: which it is, its range, how many bytes of it are copied.
    fn uses(&self, copied: &[Range<usize>]) -> Vec<(usize, Range<usize>, usize)> {
        let mut end = 0;
        let of_part = |(number, part): (usize, &BasePart)| {
            let range = end..end + part.plain_bytes;
            end = range.end;
            let common = |copy: &Range<usize>| copy.end.min(range.end).saturating_sub(copy.start.max(range.start));
            let copied_bytes = copied.iter().map(common).sum();
            (number, range, copied_bytes)
        };
        self.parts.iter().enumerate().map(of_part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{WriterId, WriterObject};

    fn base(lengths: &[usize]) -> Base {
        let mut base = Base::default();
        for (number, &length) in (0..).zip(lengths) {
            let pack = WriterObject { writer: WriterId([1; 8]), number };
            base.add(RecordPlace { pack, offset: 27, record_bytes: 100 }, &vec![number as u8; length], number % 2);
        }
        base
    }

    fn numbers(base: &Base) -> Vec<u32> {
        base.parts.iter().map(|part| part.place.pack.number).collect()
    }

    #[test]
    fn records_of_which_little_is_copied_are_left_out() {
        let of_three = || base(&[1000, 1000, 1000]);
        assert!(of_three().keep_copied(&[500..1200, 1900..3000], 0).is_none());
        let mut left = of_three();
        let before = left.keep_copied(&[990..1400, 2000..2127], 1200).unwrap();
        assert_eq!((numbers(&left), before), (vec![1], 1000));
        assert_eq!((left.bytes, left.parts[0].plain_bytes, left.parts[0].depth), (vec![1; 1000], 1000, 1));
        let mut left = of_three();
        let before = left.keep_copied(&[0..900, 2000..3000], 2500).unwrap();
        assert_eq!((numbers(&left), before, left.bytes.len()), (vec![0, 2], 1000, 2000));
    }

    #[test]
    fn no_more_records_are_left_than_a_delta_may_have_and_the_best_ones() {
        let mut left = base(&[500; 6]);
        let copied: Vec<Range<usize>> = (0..6).map(|part| part * 500..part * 500 + 200 + part).collect();
        let before = left.keep_copied(&copied, 600).unwrap();
        assert_eq!((numbers(&left), before), (vec![2, 3, 4, 5], 600));
        left.keep_copied(&[], 0).unwrap();
        assert!(left.parts.is_empty());
    }
}
