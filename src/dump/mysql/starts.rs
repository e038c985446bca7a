//! StatementStarts: where the statements of a dump begin, for whoever looks for one of them.

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::words::QuoteModes;

/// Tells of each statement: where it begins, and its text, of an `INSERT` only what stands before its first row.
#[derive(Default)]
pub struct StatementStarts(Lexer);

struct Telling<F>(F);

impl StatementStarts {
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(u64, &[u8])) {
        self.0.push(piece, &mut Telling(tell));
    }

    /// Tells of what the end ends.
    pub fn finish(mut self, tell: &mut impl FnMut(u64, &[u8])) {
        self.0.finish(&mut Telling(tell));
    }
}

impl<F: FnMut(u64, &[u8])> Sink for Telling<F> {
    fn statement(&mut self, start: u64, text: &[u8], _: QuoteModes) {
        (self.0)(start, text);
    }

    fn insert(&mut self, start: u64, text: &[u8], _: QuoteModes) {
        (self.0)(start, text);
    }
}
