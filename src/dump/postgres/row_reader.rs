//! RowReader: takes a part of a dump that holds the rows of a table, and gives each row as it stands there. It may begin
//! wherever a row of a `COPY` does.

use memchr::memchr;

use crate::dump::postgres::ends::{Boundary, EndedIn};
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::row::RowForm;
use crate::dump::postgres::statement::copies_from_here;
use crate::dump::postgres::strings::Strings;
use crate::dump::postgres::words::begins_with;

/// Longest row: servers take no longer value.
const ROW_MAX_BYTES: usize = 2 << 30;

/// What the reader tells, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEvent<'a> {
    /// A `COPY` or an `INSERT` begins, up to its first row.
    Begin { text: &'a [u8], form: RowForm },
    /// A row: of a `COPY` a line without its end, of an `INSERT` from its first parenthesis to its last; and where it begins.
    Row { start: u64, text: &'a [u8] },
}

/// Reads rows.
pub struct RowReader {
    lexer: Lexer,
    /// What was read from `base` on and may still belong to a row.
    text: Vec<u8>,
    base: u64,
    /// Where the present row begins.
    open: Option<u64>,
    form: RowForm,
}

/// Where rows begin and end, as the lexer finds them.
struct Places {
    found: Vec<Place>,
    form: RowForm,
    strings: Strings,
}

enum Place {
    Begin(Vec<u8>, RowForm),
    /// A line begins.
    Line(u64),
    Values(u64),
    ValuesEnd(u64),
}

impl Sink for Places {
    fn statement(&mut self, _: u64, text: &[u8]) {
        if begins_with(text, b"COPY") && copies_from_here(text) {
            self.form = RowForm::Copy(self.strings.letters);
            self.found.push(Place::Begin(text.to_vec(), self.form));
        }
    }

    fn insert(&mut self, _: u64, text: &[u8]) {
        self.form = RowForm::Insert(self.strings);
        self.found.push(Place::Begin(text.to_vec(), self.form));
    }

    fn row(&mut self, start: u64) {
        if matches!(self.form, RowForm::Copy(_)) {
            self.found.push(Place::Line(start));
        }
    }

    fn values(&mut self, start: u64) {
        self.found.push(Place::Values(start));
    }

    fn values_end(&mut self, end: u64) {
        self.found.push(Place::ValuesEnd(end));
    }
}

impl RowReader {
    /// One for a text that begins before a statement, or before a row of a `COPY`.
    pub fn new(strings: Strings, within_rows: bool) -> RowReader {
        let boundary = if within_rows { Boundary::Row } else { Boundary::Statement };
        let lexer = Lexer::before(boundary, strings);
        RowReader { lexer, text: Vec::new(), base: 0, open: None, form: RowForm::Copy(strings.letters) }
    }

    /// Takes the next piece. False where a row is longer than any can be.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(RowEvent) -> Result<(), E>) -> Result<bool, E> {
        let seen = self.text.len();
        self.text.extend_from_slice(piece);
        // A line may have begun in another piece.
        if let Some(start) = self.open.filter(|_| matches!(self.form, RowForm::Copy(_))) {
            self.tell_line(start, seen, tell)?;
        }
        let strings = self.lexer.strings();
        let mut places = Places { found: Vec::new(), form: self.form, strings };
        self.lexer.push(piece, &mut places);
        self.tell_of(places, tell)?;
        let kept = self.open.unwrap_or(self.lexer.position());
        self.text.drain(..(kept - self.base) as usize);
        self.base = kept;
        Ok(self.text.len() <= ROW_MAX_BYTES)
    }

    fn tell_of<E>(&mut self, places: Places, tell: &mut impl FnMut(RowEvent) -> Result<(), E>) -> Result<(), E> {
        for place in places.found {
            match place {
                Place::Begin(text, form) => {
                    self.form = form;
                    tell(RowEvent::Begin { text: &text, form })?;
                }
                Place::Line(start) => self.tell_line(start, (start - self.base) as usize, tell)?,
                Place::Values(start) => self.open = Some(start),
                Place::ValuesEnd(end) => {
                    let Some(start) = self.open.take() else { continue };
                    let text = &self.text[(start - self.base) as usize..(end - self.base) as usize];
                    tell(RowEvent::Row { start, text })?;
                }
            }
        }
        Ok(())
    }

    /// Tells of the line that begins at `start` and does not end before `from` in the text, if it has ended.
    fn tell_line<E>(
        &mut self,
        start: u64,
        from: usize,
        tell: &mut impl FnMut(RowEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = memchr(b'\n', &self.text[from..]).map(|length| from + length);
        self.open = Some(start).filter(|_| end.is_none());
        let Some(end) = end else { return Ok(()) };
        let line = &self.text[(start - self.base) as usize..end];
        tell(RowEvent::Row { start, text: line.strip_suffix(b"\r").unwrap_or(line) })
    }

    /// What the present place is before, if what follows reads as it would at any other such place.
    pub fn boundary(&self) -> Option<Boundary> {
        if self.open.is_none() { self.lexer.boundary() } else { None }
    }

    /// Tells that nothing follows; false where that is within rows or a statement.
    pub fn finish<E>(mut self, tell: &mut impl FnMut(RowEvent) -> Result<(), E>) -> Result<bool, E> {
        let strings = self.lexer.strings();
        let mut places = Places { found: Vec::new(), form: self.form, strings };
        let ended_in = self.lexer.finish(&mut places);
        self.tell_of(places, tell)?;
        Ok(ended_in == EndedIn::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPIED: &str = "--\n-- Data for Name: t; Type: TABLE DATA\n--\n\nCOPY public.t (a, \"b\n\\.\n\") FROM stdin;\n\
                          1\tx\n\n\\\\.\t\\N\nINSERT INTO t VALUES (1);\n-- \\.\n\\.\n\n\n";
    const INSERTED: &str = "INSERT INTO public.t (a) VALUES (1, 'x\n(2);'), ('it''s (', E'\\')(');\n\
                            INSERT INTO public.t VALUES\n\t(f(3), '');\n";

    /// Rows, and whether the text ended where it may.
    fn read(text: &str, within_rows: bool, pieces: usize) -> (Vec<String>, bool) {
        let (mut reader, mut rows) = (RowReader::new(Strings::default(), within_rows), Vec::new());
        let mut tell = |event: RowEvent| {
            match event {
                RowEvent::Row { start, text: row } => {
                    assert_eq!(&text.as_bytes()[start as usize..start as usize + row.len()], row);
                    rows.push(String::from_utf8(row.to_vec()).unwrap());
                }
                RowEvent::Begin { .. } => rows.push("#".into()),
            }
            Ok::<(), ()>(())
        };
        text.as_bytes().chunks(pieces).for_each(|piece| assert!(reader.push(piece, &mut tell).unwrap()));
        let is_whole = reader.finish(&mut tell).unwrap();
        (rows, is_whole)
    }

    #[test]
    fn rows_are_the_same_however_they_come() {
        let copied = ["#", "1\tx", "", "\\\\.\t\\N", "INSERT INTO t VALUES (1);", "-- \\."].map(str::to_string);
        let inserted = ["#", "(1, 'x\n(2);')", "('it''s (', E'\\')(')", "#", "(f(3), '')"].map(str::to_string);
        for pieces in 1..COPIED.len() {
            assert_eq!(read(COPIED, false, pieces), (copied.to_vec(), true), "{pieces}");
            assert_eq!(read(INSERTED, false, pieces), (inserted.to_vec(), true), "{pieces}");
            let first = COPIED.find("1\tx").unwrap();
            assert_eq!(read(&COPIED[first..], true, pieces), (copied[1..].to_vec(), true), "{pieces}");
        }
        // What is cut is no row.
        let end = COPIED.find("T INTO").unwrap();
        assert_eq!(read(&COPIED[..end], false, 7), (copied[..4].to_vec(), false));
        assert_eq!(read(&INSERTED[..INSERTED.len() - 4], false, 7).0, inserted[..4]);
    }

    #[test]
    fn rows_of_a_long_insert_are_the_same_however_they_come() {
        let forms = [
            "(1, -2)",
            "('a (b), -- c', E'\\'(', 3)",
            "('it''s', -1e-3)",
            "(f('x'), NULL)",
            "('')",
            "($a$)'$a$, \"b\")",
        ];
        let rows: Vec<String> = (0..40).map(|number| forms[number * 5 % 7 % forms.len()].to_string()).collect();
        let text = format!("INSERT INTO public.t VALUES\n\t{};\n", rows.join(",\n\t"));
        let expected: Vec<String> = ["#".to_string()].into_iter().chain(rows).collect();
        for pieces in (1..130).chain([text.len()]) {
            assert_eq!(read(&text, false, pieces), (expected.clone(), true), "{pieces}");
        }
    }

    #[test]
    fn it_knows_where_a_row_may_follow() {
        let text = &COPIED[COPIED.find("1\tx").unwrap()..];
        let mut rows = Vec::new();
        for end in 0..=text.len() {
            let mut reader = RowReader::new(Strings::default(), true);
            reader.push(&text.as_bytes()[..end], &mut |_| Ok::<(), ()>(())).unwrap();
            rows.extend((reader.boundary() == Some(Boundary::Row)).then_some(end));
        }
        let starts = ["1\tx", "\n\\\\.", "\\\\.\t", "INSERT", "-- \\", "\\.\n\n\n"];
        assert_eq!(rows, starts.map(|row| text.rfind(row).unwrap()));
    }
}
