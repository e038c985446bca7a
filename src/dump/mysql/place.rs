//! Place: what a byte of a dump is part of.

use crate::dump::mysql::scan::begins_with;

/// What the present place is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing: before a statement or a comment.
    Between,
    /// A comment that its line ends.
    Line,
    /// The line that sets the delimiter.
    DelimiterLine,
    /// A comment between statements that ends by itself.
    Comment,
    Statement,
    /// The rows of an `INSERT`.
    Rows,
}

/// What of a statement the present place is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    Code,
    Quotes(u8),
    LineComment,
    Comment,
}

/// What a look at a statement found.
pub enum Step {
    /// Go on there.
    On(usize),
    /// The statement ends at `at`.
    Ended { at: usize, next: usize },
    /// The rows of an `INSERT` follow.
    Values(usize),
}

/// What begins with these bytes.
pub fn opened_by(rest: &[u8]) -> Place {
    match rest {
        [b'#', ..] => Place::Line,
        [b'-', b'-'] => Place::Line,
        [b'-', b'-', next, ..] if next.is_ascii_whitespace() => Place::Line,
        // The client's sandbox mode is turned on by a command of its own, without delimiter.
        _ if rest.starts_with(br"/*M!999999\-") || rest.starts_with(br"/*!999999\-") => Place::Line,
        [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => Place::Statement,
        [b'/', b'*', ..] => Place::Comment,
        _ if begins_with(rest, "DELIMITER") => Place::DelimiterLine,
        _ => Place::Statement,
    }
}
