//! Scan: how far a string, a comment, or plain code reaches in a piece of a dump.

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::{memchr, memchr2};

use crate::dump::letters::Letters;
use crate::dump::mysql::words::QuoteModes;
use crate::dump::stops::Stops;

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
    modes: QuoteModes,
) -> ControlFlow<usize, (usize, bool)> {
    let escapes = modes.escapes(quote);
    if !modes.letters.are_plain() {
        return end_of_quoted_letters(bytes, at, at_end, quote, (escapes, modes.letters));
    }
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

/// The same where letters have several bytes. What a backslash escapes is one byte, whatever begins with it, as it is for servers.
fn end_of_quoted_letters(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    quote: u8,
    (escapes, letters): (bool, Letters),
) -> ControlFlow<usize, (usize, bool)> {
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == quote => return Continue((at + 1, true)),
            b'\\' if escapes && at + 1 < bytes.len() => at += 2,
            b'\\' if escapes && !at_end => return Break(at),
            _ => at += length_of_letter(bytes, at, at_end, letters)?,
        }
    }
    Continue((bytes.len(), false))
}

/// The first of these bytes from `at` on that is no part of a longer letter; the end where there is none.
pub fn next_stop_among_letters(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    stops: &Stops,
    letters: Letters,
) -> ControlFlow<usize, usize> {
    while bytes.get(at).is_some_and(|&byte| !stops[usize::from(byte)]) {
        at += length_of_letter(bytes, at, at_end, letters)?;
    }
    Continue(at)
}

fn length_of_letter(bytes: &[u8], at: usize, at_end: bool, letters: Letters) -> ControlFlow<usize, usize> {
    match letters.first_length(&bytes[at..]) {
        Some(length) => Continue(length),
        None if at_end => Continue(1),
        None => Break(at),
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
