//! StatementStarts: where the statements of a dump begin, for whoever looks for one of them.

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::words::QuoteModes;

/// A statement, or all of an `INSERT` that stands before its first row.
pub struct StatementStart<'t> {
    pub start: u64,
    pub text: &'t [u8],
}

/// Tells of each statement.
#[derive(Default)]
pub struct StatementStarts(Lexer);

struct Telling<F>(F);

impl StatementStarts {
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(StatementStart<'_>)) {
        self.0.push(piece, &mut Telling(tell));
    }
}

impl<F: FnMut(StatementStart<'_>)> Sink for Telling<F> {
    fn comment(&mut self, _: u64, _: &[u8]) {}

    fn statement(&mut self, start: u64, text: &[u8], _: QuoteModes) {
        (self.0)(StatementStart { start, text });
    }

    fn insert(&mut self, start: u64, text: &[u8], _: QuoteModes) {
        (self.0)(StatementStart { start, text });
    }

    fn row(&mut self, _: u64) {}

    fn delimiter(&mut self, _: u64, _: bool) {}
}
