//! Lexer: finds where statements, comments and rows begin and end, as the `mariadb` and `mysql` clients would. It takes pieces
//! of any length, keeps no more than the beginning of the present statement, and understands quotes, comments and delimiters,
//! but no SQL.

mod rows;

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::{memchr, memchr_iter};

use crate::dump::carry::Carry;
use crate::dump::mysql::modes::ModeTracker;
use crate::dump::mysql::place::{Inside, Place, Step, opened_by};
use crate::dump::mysql::scan::{begins_with, end_of_comment, end_of_quotes, is_word_byte, next_stop_among_letters};
use crate::dump::mysql::words::QuoteModes;
use crate::dump::stops::{Stops, next_stop};

/// What the lexer tells, in the order of the dump, to who wants to know it. Places are bytes from its beginning.
pub trait Sink {
    /// A comment between statements, up to the end of its line.
    fn comment(&mut self, _start: u64, _text: &[u8], _modes: QuoteModes) {}
    /// A comment between statements that ends by itself, up to that end.
    fn enclosed_comment(&mut self, _start: u64, _text: &[u8]) {}
    /// A statement that has ended; of a long one the first [`HEAD_MAX_BYTES`].
    fn statement(&mut self, _start: u64, _text: &[u8], _modes: QuoteModes) {}
    /// The rest of that long one, told behind it: where it ends, and how many lines end in it.
    fn rest_of_statement(&mut self, _end: u64, _lines: usize) {}
    /// The beginning of an `INSERT` or `REPLACE`, up to its first row.
    fn insert(&mut self, _start: u64, _text: &[u8], _modes: QuoteModes) {}
    /// A row of an `INSERT` begins.
    fn row(&mut self, _start: u64) {}
    /// A row of an `INSERT` has ended before this place.
    fn row_end(&mut self, _end: u64) {}
    /// The client is told a delimiter.
    fn delimiter(&mut self, _start: u64, _is_usual: bool) {}
}

/// Is told nothing.
struct Nobody;

impl Sink for Nobody {}

/// Bytes of a statement that are kept: a table of the most columns there can be fits.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// Longer delimiters are cut.
const DELIMITER_MAX_BYTES: usize = 16;

/// So many bytes tell what begins with them, whatever it is.
pub const LOOKAHEAD_BYTES: usize = 64;

/// What the last byte of a dump is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedIn {
    Nothing,
    /// A line that has no end.
    Line,
    Statement,
}

/// The lexer.
#[derive(Clone)]
pub struct Lexer {
    /// Bytes that were not looked at, since too little followed them.
    carry: Carry,
    /// Where the first byte that was not looked at stands in the dump.
    offset: u64,
    place: Place,
    inside: Inside,
    delimiter: Vec<u8>,
    modes: ModeTracker,
    /// Where the present statement or comment begins, and what it begins with.
    start: u64,
    head: Vec<u8>,
    /// Lines that end in what of it was not kept; `None` where all was.
    lines_behind_head: Option<usize>,
    is_insert: bool,
    /// `head` is all that comes before the rows of an `INSERT`.
    has_rows: bool,
    /// Open parentheses of an `INSERT`.
    depth: u32,
    statement_stops: Stops,
    insert_stops: Stops,
    row_stops: Stops,
}

impl Default for Lexer {
    fn default() -> Lexer {
        let mut lexer = Lexer {
            carry: Carry::default(),
            offset: 0,
            place: Place::Between,
            inside: Inside::Code,
            delimiter: Vec::new(),
            modes: ModeTracker::default(),
            start: 0,
            head: Vec::new(),
            lines_behind_head: None,
            is_insert: false,
            has_rows: false,
            depth: 0,
            statement_stops: [false; 256],
            insert_stops: [false; 256],
            row_stops: [false; 256],
        };
        lexer.set_delimiter(b";");
        lexer
    }
}

impl Lexer {
    /// One for a text that begins between statements, or in an `INSERT` before a row.
    pub fn reading(modes: QuoteModes, within_rows: bool) -> Lexer {
        let mut lexer = Lexer { modes: ModeTracker::beginning_in(modes), ..Lexer::default() };
        if within_rows {
            (lexer.place, lexer.is_insert) = (Place::Rows, true);
        }
        lexer
    }

    /// How quotes are read at the present place.
    pub fn modes(&self) -> QuoteModes {
        self.modes.present()
    }

    /// Up to where the text was looked at.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Whether the next row of an `INSERT` may begin at the present place, given that what was read ends with a byte that no
    /// word goes on behind.
    pub fn is_before_row(&self) -> bool {
        let is_before = |lexer: &Lexer| lexer.place == Place::Rows && lexer.inside == Inside::Code && lexer.depth == 0;
        if self.carry.is_empty() {
            return is_before(self);
        }
        let mut ended = self.clone();
        ended.finish(&mut Nobody);
        is_before(&ended)
    }

    /// Takes the next piece of the dump.
    pub fn push(&mut self, piece: &[u8], sink: &mut impl Sink) {
        let mut carry = std::mem::take(&mut self.carry);
        carry.feed(piece, LOOKAHEAD_BYTES, |bytes| self.run(bytes, false, sink));
        self.carry = carry;
    }

    /// Up to where everything was told.
    pub fn settled(&self) -> u64 {
        match self.place {
            Place::Between | Place::Rows => self.offset,
            Place::Line | Place::DelimiterLine | Place::Comment | Place::Statement => self.start,
        }
    }

    /// Tells that nothing follows, and asks where that is.
    pub fn finish(&mut self, sink: &mut impl Sink) -> EndedIn {
        let rest = self.carry.take();
        self.run(&rest, true, sink);
        match self.place {
            Place::Between => EndedIn::Nothing,
            Place::Line | Place::DelimiterLine => {
                self.end_line(sink);
                EndedIn::Line
            }
            Place::Comment | Place::Statement | Place::Rows => EndedIn::Statement,
        }
    }

    /// Looks at `bytes` and says how many were used: the rest must be seen again together with what follows it. `at_end`
    /// says that nothing does.
    fn run(&mut self, bytes: &[u8], at_end: bool, sink: &mut impl Sink) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let step = match self.place {
                Place::Between => self.begin(bytes, at, at_end, sink),
                Place::Line | Place::DelimiterLine => Continue(self.line(bytes, at, sink)),
                Place::Comment => self.comment(bytes, at, at_end, sink),
                Place::Statement => self.statement(bytes, at, at_end, sink),
                Place::Rows => self.rows(bytes, at, at_end, sink),
            };
            match step {
                Continue(next) => at = next,
                Break(used) => {
                    at = used;
                    break;
                }
            }
        }
        self.offset += at as u64;
        at
    }

    /// Passes white space and finds out what begins.
    fn begin(&mut self, bytes: &[u8], mut at: usize, at_end: bool, sink: &mut impl Sink) -> ControlFlow<usize, usize> {
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &bytes[at..];
        if rest.len() < LOOKAHEAD_BYTES && !at_end {
            return Break(at);
        }
        if rest.starts_with(&self.delimiter) {
            return Continue(at + self.delimiter.len());
        }
        if rest.is_empty() {
            return Continue(at);
        }
        self.start = self.offset + at as u64;
        (self.inside, self.depth) = (Inside::Code, 0);
        if self.is_repeated(rest) {
            sink.insert(self.start, &self.head, self.modes.present());
            self.place = Place::Rows;
            return Continue(at + self.head.len());
        }
        self.head.clear();
        (self.has_rows, self.lines_behind_head) = (false, None);
        self.is_insert = begins_with(rest, "INSERT") || begins_with(rest, "REPLACE");
        self.place = opened_by(rest);
        Continue(if self.place == Place::Comment { at + 2 } else { at })
    }

    /// Whether the `INSERT` that has just ended comes again: with the same bytes before its rows it is read the same.
    fn is_repeated(&self, rest: &[u8]) -> bool {
        self.has_rows
            && rest.strip_prefix(&self.head[..]).and_then(|rest| rest.first()).is_some_and(|&next| !is_word_byte(next))
    }

    /// A line of a comment, or the one that sets the delimiter.
    fn line(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink) -> usize {
        let end = memchr(b'\n', &bytes[at..]).map(|length| at + length);
        self.keep(&bytes[at..end.unwrap_or(bytes.len())]);
        let Some(end) = end else { return bytes.len() };
        self.end_line(sink);
        end + 1
    }

    fn end_line(&mut self, sink: &mut impl Sink) {
        if self.place == Place::Line {
            sink.comment(self.start, &self.head, self.modes.present());
        } else {
            let mut words = self.head.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
            let delimiter = words.next().unwrap_or(b";").to_vec();
            self.set_delimiter(&delimiter);
            sink.delimiter(self.start, delimiter == b";");
        }
        self.place = Place::Between;
    }

    fn set_delimiter(&mut self, delimiter: &[u8]) {
        self.delimiter = delimiter[..delimiter.len().min(DELIMITER_MAX_BYTES)].to_vec();
        let with = |bytes: &[u8]| {
            let mut stops = [false; 256];
            bytes.iter().chain(b"'\"`-#/").chain(delimiter.first()).for_each(|&byte| stops[usize::from(byte)] = true);
            stops
        };
        (self.statement_stops, self.insert_stops, self.row_stops) = (with(b""), with(b"()vV"), with(b"()"));
    }

    /// A comment between statements.
    fn comment(&mut self, bytes: &[u8], at: usize, at_end: bool, sink: &mut impl Sink) -> ControlFlow<usize, usize> {
        let end = end_of_comment(bytes, at, at_end);
        let (Continue((used, _)) | Break(used)) = end;
        self.keep(&bytes[at..used]);
        let (next, is_left) = end?;
        if is_left {
            self.place = Place::Between;
            sink.enclosed_comment(self.start, self.head.strip_suffix(b"*/").unwrap_or(&self.head));
        }
        Continue(next)
    }

    fn statement(
        &mut self,
        bytes: &[u8],
        from: usize,
        at_end: bool,
        sink: &mut impl Sink,
    ) -> ControlFlow<usize, usize> {
        let mut at = from;
        loop {
            let step = self.statement_step(bytes, at, at_end);
            let stop = match step {
                Continue(Step::On(next)) if next < bytes.len() => {
                    at = next;
                    continue;
                }
                Continue(step) => step,
                Break(used) => {
                    self.keep(&bytes[from..used]);
                    return Break(used);
                }
            };
            return Continue(match stop {
                Step::On(next) => {
                    self.keep(&bytes[from..next]);
                    next
                }
                Step::Ended { at, next } => {
                    self.keep(&bytes[from..at]);
                    sink.statement(self.start, &self.head, self.modes.present());
                    let end = self.offset + at as u64;
                    self.lines_behind_head.into_iter().for_each(|lines| sink.rest_of_statement(end, lines));
                    self.modes.follow(&self.head);
                    self.place = Place::Between;
                    next
                }
                Step::Values(next) => {
                    self.keep(&bytes[from..next]);
                    sink.insert(self.start, &self.head, self.modes.present());
                    self.has_rows = self.head.len() < HEAD_MAX_BYTES;
                    self.place = Place::Rows;
                    next
                }
            });
        }
    }

    fn statement_step(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        if self.inside != Inside::Code {
            return self.leave_inside(bytes, at, at_end).map_continue(Step::On);
        }
        let stops = if self.is_insert { &self.insert_stops } else { &self.statement_stops };
        let at = match self.modes.present().letters {
            letters if letters.are_plain() => next_stop(bytes, at, stops),
            letters => next_stop_among_letters(bytes, at, at_end, stops, letters)?,
        };
        if at == bytes.len() {
            return Continue(Step::On(at));
        }
        match bytes[at] {
            b'(' if self.is_insert => self.depth += 1,
            b')' if self.is_insert => self.depth = self.depth.saturating_sub(1),
            b'v' | b'V' if self.is_insert => return self.look_for_values(bytes, at, at_end),
            _ => return self.look_closer(bytes, at, at_end),
        }
        Continue(Step::On(at + 1))
    }

    fn look_for_values(&self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        let rest = &bytes[at..];
        if rest.len() < LOOKAHEAD_BYTES && !at_end {
            return Break(at);
        }
        let before = if at > 0 { Some(bytes[at - 1]) } else { self.head.last().copied() };
        let is_word = before.is_none_or(|byte| !is_word_byte(byte)) && begins_with(rest, "VALUES");
        if is_word && self.depth == 0 {
            Continue(Step::Values(at + "VALUES".len()))
        } else {
            Continue(Step::On(at + 1))
        }
    }

    /// What stands at a place that may be the beginning of a string, a comment, or the end of the statement.
    fn look_closer(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        let rest = &bytes[at..];
        if rest.len() < LOOKAHEAD_BYTES && !at_end && !matches!(rest[0], b'\'' | b'"' | b'`') {
            return Break(at);
        }
        if rest.starts_with(&self.delimiter) {
            return Continue(Step::Ended { at, next: at + self.delimiter.len() });
        }
        let length = match rest {
            [quote @ (b'\'' | b'"' | b'`'), ..] => {
                self.inside = Inside::Quotes(*quote);
                1
            }
            [b'#', ..] => {
                self.inside = Inside::LineComment;
                1
            }
            [b'-', b'-', next, ..] if next.is_ascii_whitespace() => {
                self.inside = Inside::LineComment;
                2
            }
            // What version comments enclose is code.
            [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => 3,
            [b'/', b'*', ..] => {
                self.inside = Inside::Comment;
                2
            }
            _ => 1,
        };
        Continue(Step::On(at + length))
    }

    /// Goes on to the end of the string or comment that the present place is in.
    fn leave_inside(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, usize> {
        let (next, is_left) = match self.inside {
            Inside::Code => (at, true),
            Inside::Quotes(quote) => end_of_quotes(bytes, at, at_end, quote, self.modes.present())?,
            Inside::LineComment => match memchr(b'\n', &bytes[at..]) {
                Some(length) => (at + length, true),
                None => (bytes.len(), false),
            },
            Inside::Comment => end_of_comment(bytes, at, at_end)?,
        };
        if is_left {
            self.inside = Inside::Code;
        }
        Continue(next)
    }

    /// Keeps what belongs to the beginning of the statement.
    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD_MAX_BYTES.saturating_sub(self.head.len());
        let (kept, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(kept);
        if !rest.is_empty() {
            *self.lines_behind_head.get_or_insert(0) += memchr_iter(b'\n', rest).count();
        }
    }
}
