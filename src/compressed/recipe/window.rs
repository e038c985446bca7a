//! Window: what a predictor of sequences sees of a text that goes on.

use crate::compressed::sequences::predictor::Sight;

/// So many bytes are dropped at once, or more: each time all that stay are moved.
const DROP_MIN_BYTES: usize = 1 << 20;

/// Where a frame begins to be seen.
#[derive(Debug, Default)]
pub struct Window {
    /// In the text.
    first: usize,
    /// In the frame.
    origin: u64,
}

impl Window {
    /// That of a frame which begins there in the text.
    pub fn new(first: usize) -> Window {
        Window { first, origin: 0 }
    }

    /// What is seen of a text, up to its end, by a block that begins there.
    pub fn sight<'t>(&self, text: &'t [u8], start: usize) -> Sight<'t> {
        Sight { text: &text[self.first..], start: start - self.first, low: 0, origin: self.origin }
    }

    /// Moves on to a block that begins there, and sees so many bytes before. Gives how many bytes of the text are to be dropped now.
    pub fn pass(&mut self, start: usize, seen: usize) -> usize {
        let first = start.saturating_sub(seen).max(self.first);
        self.origin += (first - self.first) as u64;
        let dropped = if first < DROP_MIN_BYTES { 0 } else { first };
        self.first = first - dropped;
        dropped
    }
}
