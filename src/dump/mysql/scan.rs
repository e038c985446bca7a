//! Scan: how far a string, a comment, or plain code reaches in a piece of a dump.

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::{memchr, memchr2};

/// Whether the first word is this one, given in upper case.
pub fn begins_with(rest: &[u8], word: &str) -> bool {
    rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        && rest.get(word.len()).is_none_or(|&next| !is_word_byte(next))
}

/// Whether a word goes on with this byte.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Where a string goes on that the present place is in, and whether it has ended there. (A doubled quote ends one string and
/// begins the next, which is the same.)
#[inline]
pub fn end_of_quotes(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    quote: u8,
    escapes: bool,
) -> ControlFlow<usize, (usize, bool)> {
    loop {
        let rest = &bytes[at..];
        let found = if escapes { memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
        let Some(length) = found else { return Continue((bytes.len(), false)) };
        at += length + 1;
        if bytes[at - 1] == quote {
            return Continue((at, true));
        }
        if at == bytes.len() {
            return if at_end { Continue((at, false)) } else { Break(at - 1) };
        }
        at += 1;
    }
}

/// The same for a comment.
pub fn end_of_comment(bytes: &[u8], mut at: usize, at_end: bool) -> ControlFlow<usize, (usize, bool)> {
    while let Some(length) = memchr(b'*', &bytes[at..]) {
        at += length;
        match bytes.get(at + 1) {
            Some(b'/') => return Continue((at + 2, true)),
            None if !at_end => return Break(at),
            _ => at += 1,
        }
    }
    Continue((bytes.len(), false))
}
