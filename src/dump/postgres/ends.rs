//! Where plain code, strings, comments and rows end. Places are in `bytes`; what is left at their end must be seen again together with what
//! follows, unless `at_end` says that nothing does.

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::memchr2;

use crate::dump::letters::Letters;
use crate::dump::postgres::statement::makes_routine;
use crate::dump::postgres::words::{begins_with, is_word_byte};
use crate::dump::stops::{Stops, stops};

/// What the last byte of a dump is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedIn {
    Nothing,
    Statement,
    Rows,
}

/// A place that reads as any other of its sort does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Before a statement.
    Statement,
    /// Before a row of a `COPY`.
    Row,
}

/// What a look at a statement found.
pub enum Step {
    /// Go on there.
    On(usize),
    /// The statement ends at the semicolon that stands there.
    Ended(usize),
    /// Rows follow there.
    Values(usize),
}

pub const STATEMENT_STOPS: Stops = stops(b"'\"$-/;()\\:\x0b");
/// Of what makes a function: its body may be statements, with no quotes around them.
const ROUTINE_STOPS: Stops = stops(b"'\"$-/;()\\:\x0bbBcCeE");
const INSERT_STOPS: Stops = stops(b"'\"$-/;()\\:\x0bvV");

/// Where to look closer in a statement that begins so.
pub fn stops_of(beginning: &[u8]) -> &'static Stops {
    if begins_with(beginning, b"INSERT") {
        &INSERT_STOPS
    } else if begins_with(beginning, b"CREATE") && makes_routine(beginning) {
        &ROUTINE_STOPS
    } else {
        &STATEMENT_STOPS
    }
}

/// So many bytes tell what begins with them, whatever it is. Longer tags between dollars are none.
pub const LOOKAHEAD_BYTES: usize = 96;

/// The tag that a string between dollars begins with.
pub fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let rest = &rest[..rest.len().min(LOOKAHEAD_BYTES)];
    let name = rest[1..].iter().take_while(|&&byte| is_word_byte(byte) && byte != b'$').count();
    let tag = rest.get(..name + 2).filter(|tag| tag.ends_with(b"$"))?;
    (!tag[1].is_ascii_digit()).then_some(tag)
}

/// Whether the dollar that it begins with may be that of a tag that is too long for [`dollar_tag`].
pub fn is_long_tag(rest: &[u8]) -> bool {
    rest.len() >= LOOKAHEAD_BYTES && rest[1..LOOKAHEAD_BYTES].iter().all(|&byte| is_word_byte(byte) && byte != b'$')
}

/// `found` as a place `length` bytes behind what was found from `at` on, and whether it was.
pub fn end_at(found: Option<usize>, bytes: &[u8], at: usize, length: usize) -> (usize, bool) {
    found.map_or((bytes.len(), false), |distance| (at + distance + length, true))
}

/// Where a string ends in which backslashes escape.
pub fn end_of_escaped(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    quote: u8,
    letters: Letters,
) -> ControlFlow<usize, (usize, bool)> {
    if !letters.are_plain() {
        return end_of_escaped_letters(bytes, at, at_end, quote, letters);
    }
    while let Some(distance) = memchr2(quote, b'\\', &bytes[at..]) {
        at += distance;
        match bytes.get(at + 1) {
            None if !at_end => return Break(at),
            Some(&next) if bytes[at] == b'\\' || next == quote => at += 2,
            _ => return Continue((at + 1, bytes[at] == quote)),
        }
    }
    Continue((bytes.len(), false))
}

/// The same where letters have several bytes.
fn end_of_escaped_letters(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    quote: u8,
    letters: Letters,
) -> ControlFlow<usize, (usize, bool)> {
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        match letters.first_length(&bytes[at..]) {
            _ if next.is_none() && !at_end => return Break(at),
            _ if next.is_some() && (byte == b'\\' || (byte == quote && next == Some(&quote))) => at += 2,
            _ if byte == quote => return Continue((at + 1, true)),
            None if !at_end => return Break(at),
            length => at += length.unwrap_or(1),
        }
    }
    Continue((bytes.len(), false))
}

/// Whether these two bytes before a string mark it. `None` where some versions read the E by itself and others do not.
pub fn is_marked([first, mark]: [u8; 2], is_behind_dollars: bool) -> Option<bool> {
    if !matches!(mark, b'e' | b'E') {
        return Some(false);
    }
    // It may be part of a number, or of the name of a variable.
    if matches!(first, b'.' | b':') {
        return None;
    }
    let is_alone = is_behind_dollars || !is_word_byte(first);
    (is_alone || !(first.is_ascii_digit() || first == b'$')).then_some(is_alone)
}

/// Where something stands behind the white space behind a marked string, and whether it may be more of that string: in another line
/// it goes on so, also behind a comment, with backslashes that escape though nothing marks them again.
pub fn behind_marked(bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, (Option<usize>, bool)> {
    let blank = bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match &bytes[at + blank..] {
        [] => Continue((None, false)),
        [b'-'] if !at_end => Break(at),
        next => Continue((Some(at + blank), next[0] == b'\'' || next.starts_with(b"--"))),
    }
}

/// Where a comment ends, with those in it.
pub fn end_of_comment(bytes: &[u8], mut at: usize, at_end: bool, depth: &mut u32) -> ControlFlow<usize, (usize, bool)> {
    while let Some(distance) = memchr2(b'*', b'/', &bytes[at..]) {
        at += distance;
        match (bytes[at], bytes.get(at + 1)) {
            (_, None) if !at_end => return Break(at),
            (b'*', Some(b'/')) => {
                *depth -= 1;
                at += 2;
                if *depth == 0 {
                    return Continue((at, true));
                }
            }
            (b'/', Some(b'*')) => {
                *depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    Continue((bytes.len(), false))
}

/// Bytes that tell whether rows end.
pub const END_OF_ROWS_MAX_BYTES: usize = 4;

/// The length of the line that ends the rows of a `COPY`, if `rest` begins with it.
pub fn end_of_rows(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'.', b'\n', ..] => Some(3),
        [b'\\', b'.', b'\r', b'\n', ..] => Some(4),
        [b'\\', b'.'] => Some(2),
        _ => None,
    }
}
