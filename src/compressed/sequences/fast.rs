//! Fast: the search in one table (`ZSTD_compressBlock_fast` of libzstd).

use crate::compressed::sequences::predictor::{Found, Known, Predictor, Sight};

/// After so many places without a copy, one place more is passed over.
const STEP_PLACES: usize = 128;

/// Bytes that are sure to be the same where a copy begins.
const SURE_BYTES: usize = 4;

/// Two places that are looked at, and the two behind them.
#[derive(Clone, Copy)]
struct Places([usize; 4]);

impl Predictor {
    /// Searches from a place on. Where the copy is known, it only remembers what would have been looked at.
    pub fn search_fast(&mut self, sight: Sight, anchor: usize, known: Option<Known>) -> Option<Found> {
        let limit = self.limit(sight);
        let at = anchor + usize::from(anchor == sight.low);
        let mut step = usize::from(self.search.step).max(1) + 1;
        let mut step_at = at + STEP_PLACES;
        let mut places = Places([at, at + 1, at + step, at + step + 1]);
        while places.0[3] < limit {
            let [first, second, third, fourth] = places.0;
            let place = self.remember_fast(sight, first);
            if let Some(found) = self.repeated_fast(sight, third, first, known) {
                self.put_at(0, sight, second);
                return Some(found);
            }
            if let Some(found) = self.found_fast(sight, anchor, first, place, known) {
                self.put_at(0, sight, second);
                return Some(found);
            }
            let place = self.remember_fast(sight, second);
            if let Some(found) = self.found_fast(sight, anchor, second, place, known) {
                if step <= SURE_BYTES {
                    self.put_at(0, sight, third);
                }
                return Some(found);
            }
            places = Places([third, fourth, third + step, fourth + step]);
            if places.0[2] >= step_at {
                step += 1;
                step_at += STEP_PLACES;
            }
        }
        None
    }

    /// Remembers a place, and gives the one that was there.
    fn remember_fast(&mut self, sight: Sight, at: usize) -> u32 {
        let slot = self.slot(0, sight.word(at));
        let place = self.tables[0][slot];
        self.put(0, slot, sight.place(at));
        place
    }

    fn repeated_fast(&self, sight: Sight, third: usize, at: usize, known: Option<Known>) -> Option<Found> {
        if let Some(known) = known {
            let is_there = known.is_repeat && third >= known.start;
            return is_there.then_some(Found { start: known.start, length: 0, offset: 1, at });
        }
        let distance = self.recent[0];
        if !self.repeats(sight, third, distance) {
            return None;
        }
        let is_longer = third > distance && sight.text[third - 1] == sight.text[third - 1 - distance];
        let length = sight.common(third, third - distance) + usize::from(is_longer);
        Some(Found { start: third - usize::from(is_longer), length, offset: 1, at })
    }

    fn found_fast(&self, sight: Sight, anchor: usize, at: usize, place: u32, known: Option<Known>) -> Option<Found> {
        if let Some(known) = known {
            let is_there = !known.is_repeat && at >= known.start;
            return is_there.then_some(Found { start: known.start, length: 0, offset: 4, at });
        }
        let earlier = sight.earlier(at, place).filter(|earlier| sight.half(at) == sight.half(*earlier))?;
        let back = sight.common_before(at, earlier, anchor);
        let length = sight.common(at, earlier) + back;
        Some(Found::of(at - back, length, earlier - back, at))
    }
}
