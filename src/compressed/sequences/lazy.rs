//! Lazy: the search in rows (`ZSTD_compressBlock_lazy` of libzstd, with its rows).

use crate::compressed::sequences::codes::high_bit;
use crate::compressed::sequences::predictor::{Found, Predictor, Sight, Undo, hash};

/// Bits of a hash that tell places of a row apart.
const TAG_BITS: u32 = 8;

/// Behind a copy that is longer, only some places are remembered: the first and the last ones of it.
const LONG_BYTES: u64 = 384;
const FIRST_PLACES: u64 = 96;
const LAST_PLACES: u64 = 32;

/// After so many places without a copy, one place more is passed over.
const STEP_LOG: usize = 8;

/// Where more places than this are passed over, they are not remembered.
const SKIPPING_STEP: usize = 8;

/// A copy at some place.
#[derive(Clone, Copy)]
struct Copy {
    start: usize,
    length: usize,
    offset: u32,
}

impl Copy {
    /// What it saves.
    fn gain(&self, by: usize, more: usize) -> i64 {
        (self.length * by + more) as i64 - i64::from(high_bit(self.offset))
    }
}

impl Predictor {
    /// Where a word belongs: its row, and its tag.
    fn row(&self, word: u64) -> (usize, u8) {
        let bits = u32::from(self.search.logs[0]) - self.search.row_log() + TAG_BITS;
        let hash = hash(word, self.search.hashed_bytes.clamp(4, 6), bits);
        (hash >> TAG_BITS, hash as u8)
    }

    /// Places of a row.
    fn row_places(&self) -> usize {
        (1 << self.search.row_log()) - usize::from(self.search.is_new)
    }

    fn remember(&mut self, sight: Sight, at: usize) {
        let undo = self.put_into_row(sight, at);
        self.undo.push(undo);
    }

    fn put_into_row(&mut self, sight: Sight, at: usize) -> Undo {
        let (row, tag) = self.row(sight.word(at));
        let places = self.row_places();
        let before = self.heads[row];
        let head = (usize::from(before) + places - 1) % places;
        self.heads[row] = head as u8;
        let slot = (row << self.search.row_log()) + head;
        let undo = Undo::Row { slot: slot as u32, place: self.tables[0][slot], tag: self.tags[slot], head: before };
        self.tags[slot] = tag;
        self.tables[0][slot] = sight.place(at);
        undo
    }

    /// Remembers what comes before a job. Nothing of it is taken back.
    pub fn fill_rows(&mut self, sight: Sight, first: usize, end: usize) {
        for at in first..end {
            self.put_into_row(sight, at);
        }
        self.remembered = sight.origin + end as u64;
    }

    /// Remembers all places up to one, whatever copies there were.
    pub fn remember_all(&mut self, sight: Sight, end: usize) {
        let first = (self.remembered.saturating_sub(sight.origin)) as usize;
        (first..end).for_each(|at| self.remember(sight, at));
        self.remembered = self.remembered.max(sight.origin + end as u64);
    }

    fn remember_before(&mut self, sight: Sight, at: usize) {
        let end = sight.origin + at as u64;
        if end > self.remembered + LONG_BYTES {
            let first = self.remembered.saturating_sub(sight.origin) as usize;
            self.remember_all(sight, first + FIRST_PLACES as usize);
            self.remembered = end - LAST_PLACES;
        }
        self.remember_all(sight, at);
    }

    /// The longest copy of a place.
    fn longest(&mut self, sight: Sight, at: usize) -> Option<Copy> {
        match self.is_skipping {
            true => self.remembered = sight.origin + at as u64,
            false => self.remember_before(sight, at),
        }
        let (row, tag) = self.row(sight.word(at));
        let (first, places) = (row << self.search.row_log(), self.row_places());
        let mut tries = 1usize << u32::from(self.search.tried_log).min(self.search.row_log());
        let mut best: Option<Copy> = None;
        for number in 0..places {
            let slot = first + (usize::from(self.heads[row]) + number) % places;
            if self.tags[slot] != tag {
                continue;
            }
            let Some(earlier) = sight.earlier(at, self.tables[0][slot]) else { break };
            let length = sight.common(at, earlier);
            if length > best.map_or(3, |best| best.length) {
                best = Some(Copy { start: at, length, offset: (at - earlier) as u32 + 3 });
            }
            tries -= 1;
            if tries == 0 || at + length == sight.text.len() {
                break;
            }
        }
        if self.remembered == sight.origin + at as u64 {
            self.remember(sight, at);
            self.remembered += 1;
        }
        best
    }

    /// A copy from the last distance.
    fn repeated(&self, sight: Sight, at: usize) -> Option<Copy> {
        let distance = self.recent[0];
        self.repeats(sight, at, distance).then(|| Copy {
            start: at,
            length: sight.common(at, at - distance),
            offset: 1,
        })
    }

    /// Searches from a place on, so many places ahead.
    pub fn search_rows(&mut self, sight: Sight, anchor: usize, ahead: u8) -> Option<Found> {
        let limit = self.limit(sight);
        let mut at = anchor + usize::from(anchor == sight.low);
        while at < limit {
            let repeated = self.repeated(sight, at + 1);
            let mut best = repeated.filter(|_| ahead == 0);
            if best.is_none() {
                let longest = self.longest(sight, at);
                let is_longer = |longest: &Copy| repeated.is_none_or(|repeated| longest.length > repeated.length);
                best = longest.filter(is_longer).or(repeated);
            }
            let Some(best) = best else {
                let step = ((at - anchor) >> STEP_LOG) + 1;
                at += step;
                self.is_skipping = self.search.is_new && step > SKIPPING_STEP;
                continue;
            };
            let best = if ahead > 0 { self.better_ahead(sight, at, best, ahead) } else { best };
            return Some(self.begun_earlier(sight, anchor, best));
        }
        None
    }

    /// Looks for a better copy at the next places, until there is none.
    fn better_ahead(&mut self, sight: Sight, mut at: usize, mut best: Copy, ahead: u8) -> Copy {
        let limit = self.limit(sight);
        'better: while at < limit {
            // What a copy one place on, or two places on, must gain.
            for (by, margin) in [(3, 4), (4, 7)].into_iter().take(ahead.into()) {
                if at >= limit {
                    break;
                }
                at += 1;
                let repeated = self.repeated(sight, at);
                if let Some(repeated) = repeated.filter(|it| (it.length * by) as i64 > best.gain(by, 1)) {
                    best = repeated;
                }
                let longest = self.longest(sight, at);
                if let Some(longest) = longest.filter(|it| it.gain(4, 0) > best.gain(4, margin)) {
                    best = longest;
                    continue 'better;
                }
            }
            break;
        }
        best
    }

    fn begun_earlier(&self, sight: Sight, anchor: usize, best: Copy) -> Found {
        let Copy { start, length, offset } = best;
        if offset == 1 {
            return Found { start, length, offset, at: start };
        }
        let earlier = start - (offset - 3) as usize;
        let back = sight.common_before(start, earlier, anchor);
        Found { start: start - back, length: length + back, offset, at: start }
    }
}
