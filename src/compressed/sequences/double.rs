//! Double: the search in two tables (`ZSTD_compressBlock_doubleFast` of libzstd).

use crate::compressed::sequences::predictor::{Found, Known, Predictor, Sight};

/// The tables of eight bytes, and of fewer.
const LONG: usize = 0;
const SHORT: usize = 1;

/// After so many places without a copy, one place more is passed over.
const STEP_LOG: usize = 8;
const STEP_PLACES: usize = 1 << STEP_LOG;

impl Predictor {
    /// Searches from a place on. Where the copy is known, it only remembers what would have been looked at.
    pub fn search_double(&mut self, sight: Sight, anchor: usize, known: Option<Known>) -> Option<Found> {
        if self.is_split {
            return self.search_split(sight, anchor, known);
        }
        let limit = self.limit(sight);
        let mut at = anchor + usize::from(anchor == sight.low);
        let (mut step, mut step_at) = (1, at + STEP_PLACES);
        let mut next = at + step;
        let mut long_slot = self.slot(LONG, sight.word(at));
        let mut long = self.tables[LONG][long_slot];
        while next <= limit {
            let short_slot = self.slot(SHORT, sight.word(at));
            let short = self.tables[SHORT][short_slot];
            self.put(LONG, long_slot, sight.place(at));
            self.put(SHORT, short_slot, sight.place(at));
            let next_slot = self.slot(LONG, sight.word(next));
            let found = match known {
                Some(known) => self.known_double(known, at),
                None => self.found_double(sight, anchor, [at, next], [long, short], next_slot),
            };
            if let Some(found) = found {
                if step < 4 && found.offset != 1 {
                    self.put(LONG, next_slot, sight.place(next));
                }
                return Some(found);
            }
            long = self.tables[LONG][next_slot];
            if next >= step_at {
                step += 1;
                step_at += STEP_PLACES;
            }
            (at, long_slot) = (next, next_slot);
            next += step;
        }
        None
    }

    /// The same as libzstd does it while its window is in two pieces (`ZSTD_compressBlock_doubleFast_extDict`).
    fn search_split(&mut self, sight: Sight, anchor: usize, known: Option<Known>) -> Option<Found> {
        let limit = self.limit(sight);
        let mut at = anchor;
        while at < limit {
            let (long_slot, short_slot) = (self.slot(LONG, sight.word(at)), self.slot(SHORT, sight.word(at)));
            let places = [self.tables[LONG][long_slot], self.tables[SHORT][short_slot]];
            self.put(LONG, long_slot, sight.place(at));
            self.put(SHORT, short_slot, sight.place(at));
            let next_slot = self.slot(LONG, sight.word(at + 1));
            let found = match known {
                Some(known) => self.known_double(known, at),
                None => self.found_double(sight, anchor, [at, at + 1], places, next_slot),
            };
            if let Some(found) = found {
                // Not where eight bytes were found at once.
                let is_long = sight.later_than_low(at, places[LONG]).is_some_and(|it| sight.word(it) == sight.word(at));
                if found.offset != 1 && !is_long {
                    self.put(LONG, next_slot, sight.place(at + 1));
                }
                return Some(found);
            }
            at += ((at - anchor) >> STEP_LOG) + 1;
        }
        None
    }

    fn known_double(&self, known: Known, at: usize) -> Option<Found> {
        let is_there = at + usize::from(known.is_repeat) >= known.start;
        let offset = if known.is_repeat { 1 } else { 4 };
        is_there.then_some(Found { start: known.start, length: 0, offset, at })
    }

    fn found_double(
        &self,
        sight: Sight,
        anchor: usize,
        [at, next]: [usize; 2],
        [long, short]: [u32; 2],
        next_slot: usize,
    ) -> Option<Found> {
        if self.repeats(sight, at + 1, self.recent[0]) {
            let length = sight.common(at + 1, at + 1 - self.recent[0]);
            return Some(Found { start: at + 1, length, offset: 1, at });
        }
        let is_same = |at, earlier: &usize| sight.word(at) == sight.word(*earlier);
        let whole = |mut start: usize, mut earlier: usize| {
            let length = sight.common(start, earlier);
            let back = sight.common_before(start, earlier, anchor);
            (start, earlier) = (start - back, earlier - back);
            Some(Found::of(start, length + back, earlier, at))
        };
        if let Some(earlier) = sight.later_than_low(at, long).filter(|earlier| is_same(at, earlier)) {
            return whole(at, earlier);
        }
        let earlier = sight.later_than_low(at, short).filter(|earlier| sight.half(at) == sight.half(*earlier))?;
        let behind = sight.later_than_low(next, self.tables[LONG][next_slot]).filter(|earlier| is_same(next, earlier));
        match behind {
            Some(behind)
                if self.is_split || !self.search.is_new || sight.common(next, behind) > sight.common(at, earlier) =>
            {
                whole(next, behind)
            }
            _ => whole(at, earlier),
        }
    }
}
