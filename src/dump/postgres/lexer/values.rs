//! Where the rows of an `INSERT` begin and end, and the strings in them.

use std::ops::ControlFlow::{self, Continue};

use crate::dump::postgres::doubts::{Doubts, VERTICAL_TAB_BYTE};
use crate::dump::postgres::ends::{STATEMENT_STOPS, Step};
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::place::{Inside, Place};
use crate::dump::stops::{BLOCK_BYTES, behind, next_stop, stops_of};

impl Lexer {
    /// The rows of an `INSERT`.
    pub(super) fn values(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        at_end: bool,
        sink: &mut impl Sink,
    ) -> ControlFlow<usize, usize> {
        let mut rows = 0;
        while at < bytes.len() {
            if self.inside != Inside::Code {
                at = self.leave_inside(bytes, at, at_end)?;
                continue;
            }
            // An `INSERT` may have one row only.
            if let Some(block) = bytes[at..].first_chunk().filter(|_| rows > 1) {
                let passed = self.pass_block(bytes, at, block, sink);
                at += passed;
                if passed == BLOCK_BYTES || self.inside != Inside::Code {
                    continue;
                }
            }
            at = next_stop(bytes, at, &STATEMENT_STOPS);
            if bytes.get(at) == Some(&b'(') && self.depth == 0 {
                self.begin_row(self.offset + at as u64, sink);
                rows += 1;
            }
            if at == bytes.len() {
                break;
            }
            let depth = self.depth;
            match self.look_closer(bytes, at, at_end)? {
                Step::On(next) | Step::Values(next) => {
                    if self.depth == 0 && depth > 0 {
                        sink.values_end(self.offset + next as u64);
                    }
                    at = next;
                }
                Step::Ended(end) => {
                    // DEFAULT VALUES: a row of a table without columns.
                    if !self.has_row {
                        sink.values(self.offset + end as u64);
                        sink.values_end(self.offset + end as u64);
                    }
                    self.place = Place::Between;
                    return Continue(end + 1);
                }
            }
        }
        Continue(at)
    }

    /// Passes what is usual among rows in many bytes at once, and says how many were passed: up to what needs a closer look, or all. The
    /// last may be in a string.
    #[inline(never)]
    fn pass_block(&mut self, bytes: &[u8], at: usize, block: &[u8; BLOCK_BYTES], sink: &mut impl Sink) -> usize {
        let is_standard = self.reading.is_sure() && !self.reading.strings.backslash_escapes;
        let mut stops = stops_of(block, is_stop);
        let quotes = stops_of(block, |byte| byte == b'\'');
        while stops != 0 {
            let place = stops.trailing_zeros() as usize;
            stops &= stops - 1;
            let start = self.offset + (at + place) as u64;
            match block[place] {
                b'(' if self.depth == 0 => {
                    self.begin_row(start, sink);
                    self.depth = 1;
                }
                b')' if self.depth == 1 => {
                    self.depth = 0;
                    sink.values_end(start + 1);
                }
                b'\'' if is_standard && !matches!(self.byte_before(bytes, at + place, 1), b'e' | b'E') => {
                    let end = behind(quotes, place + 1);
                    if end == 0 {
                        self.inside = Inside::Quotes { quote: b'\'', escapes: false, doubts: Doubts::default() };
                        return BLOCK_BYTES;
                    }
                    self.dollars_end = 0;
                    stops = behind(stops, end.trailing_zeros() as usize + 1);
                }
                // A negative number.
                b'-' if bytes.get(at + place + 1).is_some_and(|&next| next != b'-') => {}
                _ => return place,
            }
        }
        BLOCK_BYTES
    }

    /// The values of a row begin there.
    fn begin_row(&mut self, start: u64, sink: &mut impl Sink) {
        // The first one began with the statement.
        if self.has_row {
            sink.row(start);
        }
        sink.values(start);
        self.has_row = true;
    }
}

/// The same as [`STATEMENT_STOPS`], for many bytes at once.
#[inline(always)]
fn is_stop(byte: u8) -> bool {
    // Of each of these pairs only the last bit tells one from the other.
    let is_of_pair = (byte & 0xfe == b'(') | (byte & 0xfe == b':');
    is_of_pair
        | (byte == b'\'')
        | (byte == b'"')
        | (byte == b'$')
        | (byte == b'-')
        | (byte == b'/')
        | (byte == b'\\')
        | (byte == VERTICAL_TAB_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_the_same_for_one_byte_and_for_many() {
        (0..=255u8).for_each(|byte| assert_eq!(is_stop(byte), STATEMENT_STOPS[usize::from(byte)], "{byte}"));
    }
}
