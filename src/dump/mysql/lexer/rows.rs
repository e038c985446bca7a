//! Where the rows of an `INSERT` begin and end, and the strings in them: the part that has to be fast.

use std::ops::ControlFlow::{self, Continue};

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::place::{Inside, Place, Step};
use crate::dump::stops::{BLOCK_BYTES, behind, next_stop, stops_of};

impl Lexer {
    /// Rows: the part that has to be fast.
    pub(super) fn rows(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        at_end: bool,
        sink: &mut impl Sink,
    ) -> ControlFlow<usize, usize> {
        let is_plain = self.modes.present().letters.are_plain();
        let mut rows = 0;
        while at < bytes.len() {
            if self.inside != Inside::Code {
                at = self.leave_inside(bytes, at, at_end)?;
                continue;
            }
            // An `INSERT` may have one row only.
            if let Some(block) = bytes[at..].first_chunk().filter(|_| is_plain && rows > 1) {
                let passed = self.pass_block(bytes, at, block, sink);
                at += passed;
                if passed == BLOCK_BYTES || self.inside != Inside::Code {
                    continue;
                }
            }
            at = next_stop(bytes, at, &self.row_stops);
            let Some(&byte) = bytes.get(at) else { break };
            match byte {
                b'(' => {
                    if self.depth == 0 {
                        rows += 1;
                        sink.row(self.offset + at as u64);
                    }
                    self.depth += 1;
                    at += 1;
                }
                b')' => {
                    at += 1;
                    if self.depth == 1 {
                        sink.row_end(self.offset + at as u64);
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                b'\'' | b'"' => {
                    self.inside = Inside::Quotes(byte);
                    at += 1;
                }
                // A negative number.
                b'-' if bytes.get(at + 1).is_some_and(|&next| next != b'-') => at += 1,
                _ => match self.look_closer(bytes, at, at_end)? {
                    Step::Ended { next, .. } => {
                        self.place = Place::Between;
                        return Continue(next);
                    }
                    Step::On(next) | Step::Values(next) => at = next,
                },
            }
        }
        Continue(at)
    }

    /// Passes what is usual among rows in many bytes at once, and says how many were passed: up to what needs a closer look, or all. The
    /// last may be in a string.
    #[inline(never)]
    fn pass_block(&mut self, bytes: &[u8], at: usize, block: &[u8; BLOCK_BYTES], sink: &mut impl Sink) -> usize {
        // There always is one.
        let delimiter = self.delimiter.first().copied().unwrap_or_default();
        let quotes = stops_of(block, |byte| (byte == b'\'') | (byte == b'"') | (byte == b'\\'));
        // Of the first two pairs there are two each that only the last bit tells apart.
        let mut stops = stops_of(block, |byte| {
            (byte & 0xfe == b'(')
                | (byte & 0xfe == b'"')
                | (byte == b'\'')
                | (byte == b'-')
                | (byte == b'/')
                | (byte == b'`')
                | (byte == delimiter)
        });
        while stops != 0 {
            let place = stops.trailing_zeros() as usize;
            stops &= stops - 1;
            match block[place] {
                b'(' => {
                    if self.depth == 0 {
                        sink.row(self.offset + (at + place) as u64);
                    }
                    self.depth += 1;
                }
                b')' => {
                    if self.depth == 1 {
                        sink.row_end(self.offset + (at + place) as u64 + 1);
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                quote @ (b'\'' | b'"') => {
                    match end_of_string(block, quotes, place, self.modes.present().escapes(quote)) {
                        Ok(end) => stops = behind(stops, end + 1),
                        Err(passed) => {
                            self.inside = Inside::Quotes(quote);
                            return passed;
                        }
                    }
                }
                // A negative number.
                b'-' if bytes.get(at + place + 1).is_some_and(|&next| next != b'-') => {}
                _ => return place,
            }
        }
        BLOCK_BYTES
    }
}

/// Where the quote is that ends the string that the one at `start` begins, given where quotes and backslashes are; else up to where
/// there is nothing that could end it.
fn end_of_string(block: &[u8; BLOCK_BYTES], quotes: u64, start: usize, escapes: bool) -> Result<usize, usize> {
    let mut quotes = behind(quotes, start + 1);
    while quotes != 0 {
        let place = quotes.trailing_zeros() as usize;
        quotes &= quotes - 1;
        if block[place] == block[start] {
            return Ok(place);
        }
        if block[place] == b'\\' && escapes {
            // What it escapes is in the next block.
            if place + 1 == BLOCK_BYTES {
                return Err(place);
            }
            quotes = behind(quotes, place + 2);
        }
    }
    Err(BLOCK_BYTES)
}
