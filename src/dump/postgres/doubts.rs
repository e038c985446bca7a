//! Doubts: what `psql` may read otherwise than it is read here, so that it would see commands where we see none. No dump has any of it.

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::memchr2;

use crate::dump::letters::Letters;

pub const LONG_TAG: &str = "a tag between dollars is longer than any in a dump";
pub const TAG_OF_NUMBER: &str = "a tag between dollars follows a number, as in no dump";
pub const MORE_OF_A_STRING: &str = "a string marked with E goes on in another line, as in no dump";
pub const MARK: &str = "a string follows an E behind a number, a point, a colon or a dollar, as in no dump";
pub const VERTICAL_TAB: &str = "it holds a vertical tab in a statement, as no dump does";
pub const VARIABLE: &str = "a statement names a variable of psql, as in no dump";
pub const BLOCKS: &str = "a statement begins almost like one that makes a function, as in no dump";
/// Where it is not known how strings are read.
const END: &str =
    "a string has a backslash before a quote, where it is not sure that standard_conforming_strings is on";
const LETTER: &str = "a string has a backslash behind a letter, where the character set is not sure";

pub const HALF_LETTER: &str = "a letter lacks its second byte, and psql takes the next one for that";

/// White space in `psql` 16 and newer.
pub const VERTICAL_TAB_BYTE: u8 = 0x0b;

/// Variables that `psql` sets to what others may have written: it reads on in that.
const VARIABLES: [&[u8]; 5] = [b"DBNAME", b"HOST", b"LAST_ERROR_MESSAGE", b"SERVICE", b"USER"];

/// Whether what follows a colon is the name of such a one.
pub fn names_variable(rest: &[u8]) -> bool {
    let length = rest.iter().take_while(|&&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80).count();
    VARIABLES.contains(&&rest[..length])
}

/// What of a string is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// Whether a quote behind a backslash ends it.
    pub ends: bool,
    /// Whether a backslash behind a byte of a letter is part of that.
    pub letters: bool,
}

impl Doubts {
    pub fn are_any(self) -> bool {
        self.ends || self.letters
    }
}

/// A string of which something is in doubt, and how it is read here.
pub struct Doubtful {
    pub quote: u8,
    pub escapes: bool,
    pub letters: Letters,
    pub doubts: Doubts,
}

impl Doubtful {
    /// Where it ends, and whether it does, as [`end_of_escaped`](crate::dump::postgres::ends::end_of_escaped) tells it. `before` is the byte
    /// before `at`. What it tells may be otherwise if `doubt` is set.
    pub fn end(
        &self,
        bytes: &[u8],
        mut at: usize,
        at_end: bool,
        before: u8,
        doubt: &mut Option<&'static str>,
    ) -> ControlFlow<usize, (usize, bool)> {
        while at < bytes.len() {
            if self.letters.are_plain() {
                at = memchr2(self.quote, b'\\', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            }
            let Some(&byte) = bytes.get(at) else { break };
            let Some(length) = self.letters.first_length(&bytes[at..]).or(at_end.then_some(1)) else {
                return Break(at);
            };
            let next = bytes.get(at + 1).copied();
            if next.is_none() && !at_end {
                return Break(at);
            }
            let previous = at.checked_sub(1).map_or(before, |at| bytes[at]);
            let is_of_letter = byte == b'\\' && previous >= 0x80 || bytes[at + 1..at + length].contains(&b'\\');
            if self.doubts.letters && is_of_letter {
                doubt.get_or_insert(LETTER);
            }
            let is_before_quote = byte == b'\\' && next == Some(self.quote);
            if self.doubts.ends && is_before_quote {
                doubt.get_or_insert(END);
            }
            at += match byte {
                b'\\' if is_before_quote && !self.escapes => 1,
                b'\\' => 2,
                quote if quote == self.quote && next == Some(quote) => 2,
                quote if quote == self.quote => return Continue((at + 1, true)),
                _ => length,
            };
        }
        Continue((bytes.len(), false))
    }
}

/// Letters of several bytes, as `psql` counts them within a line where a byte of one may look like ASCII: it looks at the first alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Letterwise {
    /// The first byte of a letter of which more is to come.
    first: Option<u8>,
    /// Bytes to come of one of four.
    left: u8,
}

impl Letterwise {
    /// Whether `psql` takes a byte of these, which go on where the last ended, for part of a letter, and we do not.
    pub fn differs(&mut self, bytes: &[u8], letters: Letters) -> bool {
        letters.look_like_ascii() && bytes.iter().any(|&byte| self.differs_at(byte, letters))
    }

    fn differs_at(&mut self, byte: u8, letters: Letters) -> bool {
        if byte == b'\n' {
            *self = Letterwise::default();
            return false;
        }
        if self.left > 0 {
            self.left -= 1;
            return if self.left > 0 { byte.is_ascii() } else { !byte.is_ascii_digit() };
        }
        let Some(first) = self.first.take() else {
            let is_of_one = matches!(letters, Letters::Sjis | Letters::Cp932) && matches!(byte, 0xa1..=0xdf);
            self.first = (!byte.is_ascii() && !is_of_one).then_some(byte);
            return false;
        };
        if letters == Letters::Gb18030 && byte.is_ascii_digit() {
            self.left = 2;
            return false;
        }
        (byte < b'0' || byte == b'\\') && letters.first_length(&[first, byte]) != Some(2)
    }
}
