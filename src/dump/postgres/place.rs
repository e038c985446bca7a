//! Place: what a byte of a dump is part of.

use crate::dump::postgres::doubts::Doubts;

/// What the present place is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing: before a statement or a comment.
    Between,
    /// A comment that its line ends.
    Line,
    /// A line for `psql`.
    Command,
    /// A comment between statements that ends by itself.
    Comment,
    Statement,
    /// The rows of an `INSERT`.
    Values,
    /// Behind a `COPY`, up to the end of its line.
    CopyLine,
    /// The beginning of a line of its rows.
    CopyRow,
    /// Within such a line.
    CopyRest,
}

/// What of a statement the present place is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    Code,
    /// Whether backslashes escape.
    Quotes {
        quote: u8,
        escapes: bool,
        doubts: Doubts,
    },
    /// Nothing yet, where a marked string ended that may go on in another line.
    Behind,
    /// With its dollars.
    Dollars(Vec<u8>),
    LineComment,
    /// Comments may stand in comments.
    Comment(u32),
}

impl Inside {
    /// What follows its end, where backslashes escape in all strings or only in those that are marked.
    pub fn behind(&self, all_escape: bool) -> Inside {
        match self {
            Inside::Quotes { quote: b'\'', escapes: true, .. } if !all_escape => Inside::Behind,
            _ => Inside::Code,
        }
    }
}
