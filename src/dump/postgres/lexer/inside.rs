//! Where strings and comments within a statement begin and end, and what of that `psql` may read otherwise.

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::{memchr, memchr2, memmem};

use crate::dump::postgres::doubts::{self, Doubtful, Doubts, VERTICAL_TAB_BYTE, names_variable};
use crate::dump::postgres::ends::{
    LOOKAHEAD_BYTES, Step, behind_marked, dollar_tag, end_at, end_of_comment, end_of_escaped, is_long_tag, is_marked,
};
use crate::dump::postgres::lexer::Lexer;
use crate::dump::postgres::place::{Inside, Place};
use crate::dump::postgres::words::is_word_byte;

impl Lexer {
    /// What stands at a place that may be the beginning of a string, a comment, or the end of the statement.
    pub(super) fn look_closer(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        let rest = &bytes[at..];
        match rest[0] {
            b'(' => {
                self.depth += 1;
                // No dump calls a function among its rows.
                if self.place == Place::Values && self.depth > 1 {
                    self.reading.lose();
                }
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            // Rules and functions hold whole statements.
            b';' if self.depth == 0 && self.blocks == 0 => return Continue(Step::Ended(at)),
            b';' => {}
            b'\\' => _ = self.command_within.get_or_insert(self.offset + at as u64),
            b'"' => self.inside = Inside::Quotes { quote: b'"', escapes: false, doubts: Doubts::default() },
            b'\'' => self.begin_string(bytes, at),
            // Newer versions take it for white space.
            VERTICAL_TAB_BYTE => self.raise(doubts::VERTICAL_TAB),
            _ if rest.len() < LOOKAHEAD_BYTES && !at_end => return Break(at),
            b'-' if rest.starts_with(b"--") => self.inside = Inside::LineComment,
            b'/' if rest.starts_with(b"/*") => {
                self.inside = Inside::Comment(1);
                return Continue(Step::On(at + 2));
            }
            b'$' => {
                let (before, tag) = (self.byte_before(bytes, at, 1), dollar_tag(rest));
                let is_tag = tag.is_some() || is_long_tag(rest);
                if !is_word_byte(before) || self.dollars_end == self.offset + at as u64 {
                    if let Some(tag) = tag {
                        self.inside = Inside::Dollars(tag.to_vec());
                        return Continue(Step::On(at + tag.len()));
                    }
                    self.raise_if(is_tag, doubts::LONG_TAG);
                }
                // Behind a number it begins a string, behind a word it is part of that.
                self.raise_if(is_tag && before.is_ascii_digit(), doubts::TAG_OF_NUMBER);
            }
            b':' => {
                let is_cast = self.byte_before(bytes, at, 1) == b':' && self.byte_before(bytes, at, 2) != b':';
                self.raise_if(!is_cast && names_variable(&rest[1..]), doubts::VARIABLE);
            }
            _ => {}
        }
        Continue(Step::On(at + 1))
    }

    /// A string begins with the quote there.
    fn begin_string(&mut self, bytes: &[u8], at: usize) {
        let before = [2, 1].map(|distance| self.byte_before(bytes, at, distance));
        let is_marked = is_marked(before, self.dollars_end + 1 == self.offset + at as u64);
        self.raise_if(is_marked.is_none(), doubts::MARK);
        let (is_marked, is_sure) = (is_marked == Some(true), self.reading.is_sure());
        let escapes = is_marked || self.reading.strings.backslash_escapes;
        let letters = (is_marked || !is_sure) && !self.reading.are_letters_sure();
        let doubts = Doubts { ends: !is_marked && !is_sure, letters };
        self.inside = Inside::Quotes { quote: b'\'', escapes, doubts };
    }

    fn raise(&mut self, doubt: &'static str) {
        self.doubt.get_or_insert(doubt);
    }

    fn raise_if(&mut self, is_doubtful: bool, doubt: &'static str) {
        if is_doubtful {
            self.raise(doubt);
        }
    }

    /// Goes on to the end of the string or comment that the present place is in.
    pub(super) fn leave_inside(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, usize> {
        let (next, is_left) = match &mut self.inside {
            Inside::Code => (at, true),
            Inside::Behind => {
                let (next, is_more) = behind_marked(bytes, at, at_end)?;
                self.raise_if(is_more, doubts::MORE_OF_A_STRING);
                next.map_or((bytes.len(), false), |next| (next, true))
            }
            Inside::Quotes { quote, escapes, doubts } if doubts.are_any() => {
                let read = Doubtful {
                    quote: *quote,
                    escapes: *escapes,
                    letters: self.reading.strings.letters,
                    doubts: *doubts,
                };
                let before = self.byte_before(bytes, at, 1);
                read.end(bytes, at, at_end, before, &mut self.doubt)?
            }
            Inside::Quotes { quote, escapes: true, .. } => {
                end_of_escaped(bytes, at, at_end, *quote, self.reading.strings.letters)?
            }
            // Two quotes end a string and begin another: that is the same.
            Inside::Quotes { quote, .. } => end_at(memchr(*quote, &bytes[at..]), bytes, at, 1),
            Inside::Dollars(tag) => match memmem::find(&bytes[at..], tag) {
                Some(length) => (at + length + tag.len(), true),
                None if at_end => (bytes.len(), false),
                None => {
                    let kept = tag.len() - 1;
                    let looked_at = (bytes.len() - at).saturating_sub(kept);
                    if looked_at == 0 {
                        return Break(at);
                    }
                    (at + looked_at, false)
                }
            },
            Inside::LineComment => end_at(memchr2(b'\n', b'\r', &bytes[at..]), bytes, at, 0),
            Inside::Comment(depth) => end_of_comment(bytes, at, at_end, depth)?,
        };
        if is_left {
            self.dollars_end = if matches!(self.inside, Inside::Dollars(_)) { self.offset + next as u64 } else { 0 };
            self.inside = self.inside.behind(self.reading.strings.backslash_escapes);
        }
        Continue(next)
    }
}
