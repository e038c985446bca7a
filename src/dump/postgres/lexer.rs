//! Lexer: finds where statements, comments, rows and commands for `psql` begin and end, as `psql` would. It takes pieces of any
//! length, keeps no more than the beginning of the present statement, and understands quotes and comments, but no SQL.

mod inside;
mod values;

use std::ops::ControlFlow::{self, Break, Continue};

use memchr::{memchr, memchr2};

use crate::dump::carry::Carry;
use crate::dump::postgres::doubts::{BLOCKS, HALF_LETTER, Letterwise};
use crate::dump::postgres::ends::{
    Boundary, END_OF_ROWS_MAX_BYTES, EndedIn, LOOKAHEAD_BYTES, STATEMENT_STOPS, Step, end_of_rows, stops_of,
};
use crate::dump::postgres::place::{Inside, Place};
use crate::dump::postgres::statement::{copies_from_here, counts_blocks, makes_routine};
use crate::dump::postgres::strings::{Reading, Strings};
use crate::dump::postgres::words::{begins_with, is_word_byte};
use crate::dump::stops::{Stops, next_stop};

/// What the lexer tells, in the order of the dump, to who wants to know it. Places are bytes from its beginning.
pub trait Sink {
    /// A line of a comment between statements.
    fn comment(&mut self, _start: u64, _text: &[u8]) {}
    /// A statement that has ended; of a long one the first [`HEAD_MAX_BYTES`]. The rows of a `COPY` follow it.
    fn statement(&mut self, _start: u64, _text: &[u8]) {}
    /// The beginning of an `INSERT`, up to its first row.
    fn insert(&mut self, _start: u64, _text: &[u8]) {}
    /// A row begins; the first one of an `INSERT` with its statement.
    fn row(&mut self, _start: u64) {}
    /// The values of a row of an `INSERT`, with their parentheses, begin, and have ended before this place.
    fn values(&mut self, _start: u64) {}
    fn values_end(&mut self, _end: u64) {}
    /// A line for `psql` itself, or what follows a `COPY` in its line: that is read behind the rows.
    fn command(&mut self, _start: u64, _text: &[u8]) {}
}

/// Bytes of a statement that are kept: a table of the most columns there can be fits.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// The lexer.
pub struct Lexer {
    /// Bytes that were not looked at, since too little followed them.
    carry: Carry,
    /// Where the first byte that was not looked at stands in the dump.
    offset: u64,
    /// The two bytes before that one.
    before: [u8; 2],
    place: Place,
    inside: Inside,
    reading: Reading,
    letterwise: Letterwise,
    /// Where the present statement, comment or line begins, and what it begins with.
    start: u64,
    head: Vec<u8>,
    /// `head` is all that comes before the rows of an `INSERT`.
    has_rows: bool,
    stops: &'static Stops,
    /// Open parentheses.
    depth: u32,
    /// Open `BEGIN` and `CASE` of a function's body.
    blocks: u32,
    /// A row of the present `INSERT` was seen.
    has_row: bool,
    /// Where the last string between dollars ended: it is no word that a dollar could belong to.
    dollars_end: u64,
    /// What was met that `psql` may read otherwise.
    doubt: Option<&'static str>,
    /// Where `psql` would first find a command within a statement: no SQL has a backslash that stands in no quotes.
    command_within: Option<u64>,
}

impl Default for Lexer {
    fn default() -> Lexer {
        Lexer {
            carry: Carry::default(),
            offset: 0,
            before: [b'\n'; 2],
            place: Place::Between,
            inside: Inside::Code,
            reading: Reading::new(Strings::default()),
            letterwise: Letterwise::default(),
            start: 0,
            head: Vec::new(),
            has_rows: false,
            stops: &STATEMENT_STOPS,
            depth: 0,
            blocks: 0,
            has_row: false,
            dollars_end: 0,
            doubt: None,
            command_within: None,
        }
    }
}

impl Lexer {
    /// One for what begins before a row of a `COPY`, or before a statement.
    pub fn before(boundary: Boundary, strings: Strings) -> Lexer {
        let place = if boundary == Boundary::Row { Place::CopyRow } else { Place::Between };
        Lexer { place, reading: Reading::new(strings), ..Lexer::default() }
    }

    /// One for what begins where nobody knows how strings are read.
    pub fn in_any_session() -> Lexer {
        let mut lexer = Lexer::default();
        lexer.reading.lose();
        lexer
    }

    /// What the present place is before, if all before it was looked at.
    pub fn boundary(&self) -> Option<Boundary> {
        match self.place {
            _ if !self.carry.is_empty() => None,
            Place::Between => Some(Boundary::Statement),
            Place::CopyRow => Some(Boundary::Row),
            _ => None,
        }
    }

    /// Where the first byte stands that was not looked at.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Up to where everything was told.
    pub fn settled(&self) -> u64 {
        match self.place {
            Place::Line | Place::Statement | Place::Command | Place::CopyLine => self.start,
            _ => self.offset,
        }
    }

    /// How strings are read at the present place.
    pub fn strings(&self) -> Strings {
        self.reading.strings
    }

    /// Whether backslashes surely escape in marked strings only, in the next line.
    pub fn is_standard(&self) -> bool {
        self.reading.is_standard()
    }

    /// What of all that was looked at `psql` may read otherwise.
    pub fn doubt(&self) -> Option<&'static str> {
        self.doubt
    }

    /// Where `psql` would first find a command within a statement.
    pub fn command_within(&self) -> Option<u64> {
        self.command_within
    }

    /// Takes the next piece of the dump.
    pub fn push(&mut self, piece: &[u8], sink: &mut impl Sink) {
        let mut carry = std::mem::take(&mut self.carry);
        carry.feed(piece, LOOKAHEAD_BYTES, |bytes| self.run(bytes, false, sink));
        self.carry = carry;
    }

    /// Tells that nothing follows, and asks where that is.
    pub fn finish(&mut self, sink: &mut impl Sink) -> EndedIn {
        let rest = self.carry.take();
        self.run(&rest, true, sink);
        match self.place {
            Place::Between => EndedIn::Nothing,
            Place::Line | Place::Command => {
                self.end_line(sink);
                EndedIn::Nothing
            }
            Place::Comment | Place::Statement | Place::Values => EndedIn::Statement,
            Place::CopyLine => {
                self.end_line(sink);
                EndedIn::Rows
            }
            Place::CopyRow | Place::CopyRest => EndedIn::Rows,
        }
    }

    /// Looks at `bytes` and says how many were used: the rest must be seen again together with what follows it. `at_end`
    /// says that nothing does.
    fn run(&mut self, bytes: &[u8], at_end: bool, sink: &mut impl Sink) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let (place, letters) = (self.place, self.reading.strings.letters);
            let step = match place {
                Place::Between => self.begin(bytes, at, at_end, sink),
                Place::Line | Place::Command | Place::CopyLine => Continue(self.line(bytes, at, sink)),
                Place::Comment => self.comment(bytes, at, at_end),
                Place::Statement => self.statement(bytes, at, at_end, sink),
                Place::Values => self.values(bytes, at, at_end, sink),
                Place::CopyRow | Place::CopyRest => self.copy(bytes, at, at_end, sink),
            };
            let (Continue(next) | Break(next)) = step;
            let is_code = matches!(place, Place::Line | Place::Comment | Place::Statement | Place::Values);
            if is_code && self.letterwise.differs(&bytes[at..next], letters) {
                self.doubt.get_or_insert(HALF_LETTER);
            }
            at = next;
            if step.is_break() {
                break;
            }
        }
        self.offset += at as u64;
        self.before = [self.byte_before(bytes, at, 2), self.byte_before(bytes, at, 1)];
        at
    }

    /// The byte that stands one or two before `at`.
    fn byte_before(&self, bytes: &[u8], at: usize, distance: usize) -> u8 {
        match at.checked_sub(distance) {
            Some(at) => bytes[at],
            None => self.before[2 + at - distance],
        }
    }

    /// Passes white space and finds out what begins.
    fn begin(&mut self, bytes: &[u8], mut at: usize, at_end: bool, sink: &mut impl Sink) -> ControlFlow<usize, usize> {
        let blank = bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b';').count();
        if bytes[at..at + blank].contains(&b'\n') {
            self.reading.end_line();
        }
        at += blank;
        let rest = &bytes[at..];
        if rest.len() < LOOKAHEAD_BYTES && !at_end {
            return Break(at);
        }
        if rest.is_empty() {
            return Continue(at);
        }
        self.start = self.offset + at as u64;
        (self.inside, self.depth, self.blocks) = (Inside::Code, 0, 0);
        if self.is_repeated(rest) {
            self.begin_rows(sink);
            return Continue(at + self.head.len());
        }
        self.head.clear();
        let (place, length) = match rest {
            [b'-', b'-', ..] => (Place::Line, 0),
            [b'\\', ..] => (Place::Command, 0),
            [b'/', b'*', ..] => {
                self.inside = Inside::Comment(1);
                (Place::Comment, 2)
            }
            _ => (Place::Statement, 0),
        };
        (self.place, self.has_rows) = (place, false);
        self.stops = stops_of(&rest[..rest.len().min(LOOKAHEAD_BYTES)]);
        Continue(at + length)
    }

    /// Whether the `INSERT` that has just ended comes again: with the same bytes before its rows it is read the same.
    fn is_repeated(&self, rest: &[u8]) -> bool {
        self.has_rows
            && rest.strip_prefix(&self.head[..]).and_then(|rest| rest.first()).is_some_and(|&next| !is_word_byte(next))
    }

    /// The rows of an `INSERT` follow.
    fn begin_rows(&mut self, sink: &mut impl Sink) {
        sink.insert(self.start, &self.head);
        sink.row(self.start);
        (self.place, self.has_row, self.has_rows) = (Place::Values, false, self.head.len() < HEAD_MAX_BYTES);
    }

    /// A line of a comment, one for `psql`, or what is left of one.
    fn line(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink) -> usize {
        let end = match self.place {
            Place::Line => memchr2(b'\n', b'\r', &bytes[at..]),
            _ => memchr(b'\n', &bytes[at..]),
        };
        let end = end.map(|length| at + length);
        self.keep(&bytes[at..end.unwrap_or(bytes.len())]);
        let Some(end) = end else { return bytes.len() };
        self.end_line(sink);
        if bytes[end] == b'\n' {
            self.reading.end_line();
        }
        end + 1
    }

    fn end_line(&mut self, sink: &mut impl Sink) {
        let text = self.head.trim_ascii_end();
        self.reading.follow_command(text);
        match self.place {
            Place::Line => sink.comment(self.start, text),
            Place::CopyLine if text.trim_ascii_start().is_empty() => {}
            _ => sink.command(self.start, text),
        }
        self.place = if self.place == Place::CopyLine { Place::CopyRow } else { Place::Between };
    }

    /// A comment between statements.
    fn comment(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, usize> {
        let next = self.leave_inside(bytes, at, at_end)?;
        if self.inside == Inside::Code {
            self.place = Place::Between;
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
            match self.statement_step(bytes, at, at_end) {
                Continue(Step::On(next)) if next < bytes.len() => at = next,
                Continue(Step::On(next)) => {
                    self.keep(&bytes[from..next]);
                    return Continue(next);
                }
                Continue(Step::Ended(end)) => {
                    self.keep(&bytes[from..end]);
                    self.end_statement(self.offset + end as u64 + 1, sink);
                    return Continue(end + 1);
                }
                Continue(Step::Values(next)) => {
                    self.keep(&bytes[from..next]);
                    self.begin_rows(sink);
                    return Continue(next);
                }
                Break(used) => {
                    self.keep(&bytes[from..used]);
                    return Break(used);
                }
            }
        }
    }

    /// The statement ends before `end`.
    fn end_statement(&mut self, end: u64, sink: &mut impl Sink) {
        sink.statement(self.start, &self.head);
        let head = &self.head;
        self.reading.follow(head);
        if counts_blocks(head) && !makes_routine(head) {
            self.doubt.get_or_insert(BLOCKS);
        }
        self.place = Place::Between;
        if begins_with(head, b"COPY") && copies_from_here(head) {
            (self.place, self.start) = (Place::CopyLine, end);
            self.head.clear();
        }
    }

    fn statement_step(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        if self.inside != Inside::Code {
            return self.leave_inside(bytes, at, at_end).map_continue(Step::On);
        }
        let at = next_stop(bytes, at, self.stops);
        let Some(byte) = bytes.get(at) else { return Continue(Step::On(at)) };
        match byte {
            b'v' | b'V' => {
                let found = self.depth == 0 && self.word_at(bytes, at, at_end, "VALUES")?;
                Continue(if found { Step::Values(at + "VALUES".len()) } else { Step::On(at + 1) })
            }
            b'b' | b'B' | b'c' | b'C' | b'e' | b'E' => self.block_word(bytes, at, at_end),
            _ => self.look_closer(bytes, at, at_end),
        }
    }

    /// Counts the blocks of a function's body, as `psql` does.
    fn block_word(&mut self, bytes: &[u8], at: usize, at_end: bool) -> ControlFlow<usize, Step> {
        if self.depth > 0 {
            return Continue(Step::On(at + 1));
        }
        if self.word_at(bytes, at, at_end, "BEGIN")? || (self.blocks > 0 && self.word_at(bytes, at, at_end, "CASE")?) {
            self.blocks += 1;
        } else if self.word_at(bytes, at, at_end, "END")? {
            self.blocks = self.blocks.saturating_sub(1);
        }
        Continue(Step::On(at + 1))
    }

    /// Whether this whole word stands there.
    fn word_at(&self, bytes: &[u8], at: usize, at_end: bool, word: &str) -> ControlFlow<usize, bool> {
        let rest = &bytes[at..];
        if rest.len() < LOOKAHEAD_BYTES && !at_end {
            return Break(at);
        }
        let is_begun = is_word_byte(self.byte_before(bytes, at, 1)) && self.dollars_end != self.offset + at as u64;
        Continue(begins_with(rest, word.as_bytes()) && !is_begun)
    }

    /// The rows behind a `COPY`, a line each: the part that has to be fast.
    fn copy(&mut self, bytes: &[u8], mut at: usize, at_end: bool, sink: &mut impl Sink) -> ControlFlow<usize, usize> {
        while at < bytes.len() {
            if self.place == Place::CopyRow {
                if bytes[at] == b'\\' {
                    let rest = &bytes[at..];
                    if rest.len() < END_OF_ROWS_MAX_BYTES && !at_end {
                        return Break(at);
                    }
                    if let Some(length) = end_of_rows(rest) {
                        self.place = Place::Between;
                        return Continue(at + length);
                    }
                }
                sink.row(self.offset + at as u64);
                self.place = Place::CopyRest;
            }
            let Some(length) = memchr(b'\n', &bytes[at..]) else { return Continue(bytes.len()) };
            at += length + 1;
            self.place = Place::CopyRow;
        }
        Continue(at)
    }

    /// Keeps what belongs to the beginning of the statement.
    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD_MAX_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
