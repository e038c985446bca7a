//! TabRows: takes a file of rows apart.

use crate::dump::mysql::tab::form::{Field, FieldForm};
use crate::dump::mysql::tab::insert::is_escaped;
use crate::dump::stops::{BLOCK_BYTES, Stops, behind, next_stop, stops, stops_from};

/// Longest row: servers take no longer value.
const ROW_MAX_BYTES: usize = 2 << 30;

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a value.
    Beginning,
    Plain,
    /// Between what encloses a value.
    Enclosed,
}

/// What was found at a place.
enum Found {
    /// Nothing that ends anything, so many bytes long.
    Other(usize),
    /// The end of a value, which takes so many bytes.
    Separator(usize),
    LineEnd(usize),
    /// That cannot be known before more comes.
    Unsure,
}

/// What rows are parted by where each mark is a byte, nothing is enclosed and nothing passed unread: then many bytes are looked at
/// together.
#[derive(Clone, Copy)]
struct Marks {
    separator: u8,
    escape: Option<u8>,
    line_end: u8,
}

impl Marks {
    fn of(form: &FieldForm, lengths: &[Option<usize>]) -> Option<Marks> {
        match (&form.separator[..], &form.line_end[..]) {
            (&[separator], &[line_end]) if form.enclosing.is_none() && lengths.iter().all(Option::is_none) => {
                Some(Marks { separator, escape: form.escape, line_end })
            }
            _ => None,
        }
    }
}

/// Reads rows.
pub struct TabRows {
    form: FieldForm,
    marks: Option<Marks>,
    stops: Stops,
    stops_enclosed: Stops,
    /// What was read from the beginning of the present row on.
    text: Vec<u8>,
    /// Up to here the row was looked at.
    at: usize,
    place: Place,
    /// Where the present value begins, and what of [`Field`] is so of it so far; that is only known where there are marks.
    start: usize,
    is_literal: bool,
    is_plain: bool,
    /// The values of the present row that have ended.
    fields: Vec<Field>,
    /// Bytes of the values that nothing is escaped in, by their places in a row.
    lengths: Vec<Option<usize>>,
}

impl TabRows {
    /// One for rows whose values of bits have so many bytes: a server writes those as they are.
    pub fn new(form: FieldForm, lengths: Vec<Option<usize>>) -> TabRows {
        let enclosing = form.enclosing.into_iter();
        let escape: Vec<u8> = form.escape.into_iter().collect();
        let ends = [form.separator[0], form.line_end[0]];
        TabRows {
            marks: Marks::of(&form, &lengths),
            stops: stops(&[&ends[..], &escape].concat()),
            stops_enclosed: stops(&enclosing.chain(escape.iter().copied()).collect::<Vec<u8>>()),
            form,
            text: Vec::new(),
            at: 0,
            place: Place::Beginning,
            start: 0,
            is_literal: true,
            is_plain: true,
            fields: Vec::new(),
            lengths,
        }
    }

    pub fn form(&self) -> &FieldForm {
        &self.form
    }

    /// Takes the next piece, and gives the text of each row that ended, and where its values stand in it. False where a row is
    /// longer than any can be.
    pub fn push<E>(
        &mut self,
        piece: &[u8],
        tell: &mut impl FnMut(&FieldForm, &[u8], &[Field]) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.text.extend_from_slice(piece);
        let base = match self.marks {
            Some(marks) => self.rows_by_marks(marks, tell)?,
            None => self.rows_by_step(tell)?,
        };
        self.text.drain(..base);
        (self.at, self.start) = (self.at - base, self.start - base);
        Ok(self.text.len() <= ROW_MAX_BYTES)
    }

    /// Gives the rows that are whole, and says where the rest begins.
    fn rows_by_step<E>(
        &mut self,
        tell: &mut impl FnMut(&FieldForm, &[u8], &[Field]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut base = 0;
        while let Some(end) = self.next_end(base) {
            tell(&self.form, &self.text[base..self.at], &self.fields)?;
            self.fields.clear();
            (base, self.at, self.start, self.place) = (end, end, end, Place::Beginning);
        }
        Ok(base)
    }

    /// The same, many bytes at once.
    fn rows_by_marks<E>(
        &mut self,
        Marks { separator, escape, line_end }: Marks,
        tell: &mut impl FnMut(&FieldForm, &[u8], &[Field]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let escape_byte = escape.unwrap_or(line_end);
        // With all that is escaped in SQL, and a few more bytes.
        let is_mark = |byte: u8| {
            let is_of_sql = (byte < b' ') | (byte & 0xfa == b'"') | (byte == b'\\');
            is_of_sql | (byte == separator) | (byte == line_end) | (byte == escape_byte)
        };
        let TabRows { form, stops, text, fields, .. } = self;
        let (mut base, mut next, mut start) = (0, self.at, self.start);
        let (mut is_literal, mut is_plain) = (self.is_literal, self.is_plain);
        'text: while next < text.len() {
            let from = next;
            let mut marks = stops_from(text, from, is_mark);
            next = text.len().min(from + BLOCK_BYTES);
            while marks != 0 {
                let at = from + marks.trailing_zeros() as usize;
                marks &= marks - 1;
                let mark = text[at];
                if Some(mark) == escape {
                    if at + 1 == text.len() {
                        next = at;
                        break 'text;
                    }
                    (is_literal, is_plain) = (false, false);
                    next = next.max(at + 2);
                    marks = behind(marks, at + 2 - from);
                    continue;
                }
                if !stops[usize::from(mark)] {
                    is_plain &= !is_escaped(mark);
                    continue;
                }
                fields.push(Field { range: start - base..at - base, is_enclosed: false, is_literal, is_plain });
                (start, is_literal, is_plain) = (at + 1, true, true);
                if mark == line_end {
                    tell(form, &text[base..at], fields)?;
                    fields.clear();
                    base = start;
                }
            }
        }
        (self.at, self.start, self.is_literal, self.is_plain) = (next, start, is_literal, is_plain);
        Ok(base)
    }

    /// Looks for the end of the row that begins at `base`: behind its last value the place is, and behind the row what is given.
    fn next_end(&mut self, base: usize) -> Option<usize> {
        while self.at < self.text.len() {
            if self.place == Place::Beginning {
                let is_enclosed = Some(self.text[self.at]) == self.form.enclosing;
                let inset = usize::from(is_enclosed);
                let length = self.length_of_bits(self.at + inset)?;
                if is_enclosed || length > 0 {
                    self.place = if is_enclosed { Place::Enclosed } else { Place::Plain };
                    self.at += inset + length;
                    continue;
                }
            }
            match self.found() {
                Found::Unsure => return None,
                Found::Other(length) => {
                    self.at += length;
                    if self.place == Place::Beginning {
                        self.place = Place::Plain;
                    }
                }
                Found::Separator(length) => {
                    self.end_field(base);
                    self.at += length;
                    (self.start, self.place) = (self.at, Place::Beginning);
                }
                Found::LineEnd(length) => {
                    self.end_field(base);
                    return Some(self.at + length);
                }
            }
        }
        None
    }

    /// So many bytes of the value that begins at a place are passed unread; `None` where that is not known yet.
    fn length_of_bits(&self, at: usize) -> Option<usize> {
        let Some(length) = self.lengths.get(self.fields.len()).copied().flatten() else { return Some(0) };
        // With what may follow NULL.
        let room = length.max(2) + self.form.separator.len().max(self.form.line_end.len());
        let rest = &self.text[at..];
        let is_null = match (self.form.escape, rest) {
            (Some(escape), [first, b'N', behind @ ..]) if *first == escape => {
                if rest.len() < room && !behind.starts_with(&self.form.line_end) {
                    return None;
                }
                behind.starts_with(&self.form.separator) || behind.starts_with(&self.form.line_end)
            }
            (Some(escape), [first]) if *first == escape => return None,
            (_, rest) => (self.form.escape.is_none() || self.form.enclosing.is_some()) && rest.starts_with(b"NULL"),
        };
        match is_null {
            true => Some(0),
            false if rest.len() < length => None,
            false => Some(length),
        }
    }

    /// A value ends at the present place.
    fn end_field(&mut self, base: usize) {
        let is_enclosed = self.place == Place::Enclosed;
        let inset = usize::from(is_enclosed);
        // What encloses it was passed.
        let range = self.start + inset - base..self.at - inset - base;
        self.fields.push(Field { range, is_enclosed, is_literal: false, is_plain: false });
    }

    /// What is at the present place. Behind the byte that closes a value, the place is behind it.
    fn found(&mut self) -> Found {
        let rest = &self.text[self.at..];
        let is_enclosed = self.place == Place::Enclosed;
        let plain = next_stop(rest, 0, if is_enclosed { &self.stops_enclosed } else { &self.stops });
        if plain > 0 {
            return Found::Other(plain);
        }
        match rest {
            [byte, ..] if Some(*byte) == self.form.escape => {
                if rest.len() > 1 {
                    Found::Other(2)
                } else {
                    Found::Unsure
                }
            }
            [_, behind @ ..] if is_enclosed => match (behind.first().copied(), self.end_at(behind)) {
                (None, _) | (_, Found::Unsure) => Found::Unsure,
                (second, _) if second == self.form.enclosing => Found::Other(2),
                (_, found @ (Found::Separator(_) | Found::LineEnd(_))) => {
                    self.at += 1;
                    found
                }
                // It stands for itself.
                _ => Found::Other(1),
            },
            _ => self.end_at(rest),
        }
    }

    /// Whether a value or a row ends here.
    fn end_at(&self, rest: &[u8]) -> Found {
        let FieldForm { separator, line_end, .. } = &self.form;
        let may_be = |mark: &[u8]| rest.len() < mark.len() && mark.starts_with(rest);
        if rest.starts_with(line_end) {
            Found::LineEnd(line_end.len())
        } else if may_be(line_end) || may_be(separator) {
            Found::Unsure
        } else if rest.starts_with(separator) {
            Found::Separator(separator.len())
        } else {
            Found::Other(1)
        }
    }

    /// Whether what was read so far ends with a row.
    pub fn is_between(&self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Vec<Option<Vec<u8>>>;

    fn read(text: &[u8], form: &FieldForm, piece: usize) -> (Vec<Row>, bool) {
        read_with(text, form, &[], piece)
    }

    fn read_with(text: &[u8], form: &FieldForm, lengths: &[Option<usize>], piece: usize) -> (Vec<Row>, bool) {
        let (mut rows, mut found) = (TabRows::new(form.clone(), lengths.to_vec()), Vec::new());
        let mut tell = |form: &FieldForm, row: &[u8], fields: &[Field]| {
            found.push(fields.iter().map(|field| form.value(row, field).map(|value| value.into_owned())).collect());
            Ok::<(), ()>(())
        };
        text.chunks(piece).for_each(|piece| assert!(rows.push(piece, &mut tell).unwrap()));
        let is_whole = rows.is_between();
        (found, is_whole)
    }

    #[track_caller]
    fn reads(text: &[u8], form: &FieldForm, expected: &[&[Option<&[u8]>]]) {
        let expected: Vec<Row> =
            expected.iter().map(|row| row.iter().map(|value| value.map(<[u8]>::to_vec)).collect()).collect();
        for piece in 1..=text.len() {
            assert_eq!(read(text, form, piece), (expected.clone(), true), "pieces of {piece}");
        }
    }

    #[test]
    fn rows_of_lines_and_tabs() {
        let text = b"1\tk\\\ta\\\\b\\\nc\t\\N\n2\t\\0\\b\\n\\r\\t\\Z\\x\t\\\\N\n\t\tNULL\n";
        let rows: [&[Option<&[u8]>]; 3] = [
            &[Some(b"1"), Some(b"k\ta\\b\nc"), None],
            &[Some(b"2"), Some(b"\0\x08\n\r\t\x1ax"), Some(b"\\N")],
            &[Some(b""), Some(b""), Some(b"NULL")],
        ];
        reads(text, &FieldForm::default(), &rows);
        reads(b"\n", &FieldForm::default(), &[&[Some(b"")]]);
        assert_eq!(read(b"", &FieldForm::default(), 1), (Vec::new(), true));
    }

    #[test]
    fn values_may_be_enclosed() {
        let form = FieldForm {
            separator: b",".to_vec(),
            enclosing: Some(b'"'),
            line_end: b"\r\n".to_vec(),
            ..Default::default()
        };
        let text = b"\"1\",\"a,\\\"\"\"\r\nx\",\\N,NULL,\"NULL\"\r\n2,\"a\"b\",\r,\"\",\r\n";
        let rows: [&[Option<&[u8]>]; 2] = [
            &[Some(b"1"), Some(b"a,\"\"\r\nx"), None, None, Some(b"NULL")],
            &[Some(b"2"), Some(b"a\"b"), Some(b"\r"), Some(b""), Some(b"")],
        ];
        reads(text, &form, &rows);
        let unescaped = FieldForm { escape: None, ..form };
        reads(b"\"\\\",NULL,\"NULL\"\r\n", &unescaped, &[&[Some(b"\\"), None, Some(b"NULL")]]);
    }

    #[test]
    fn marks_may_be_long() {
        let form = FieldForm { separator: b"<>".to_vec(), line_end: b"<|>".to_vec(), ..Default::default() };
        reads(b"a<b<>c<|<|><>\\<><|>", &form, &[&[Some(b"a<b"), Some(b"c<|")], &[Some(b""), Some(b"<>")]]);
    }

    #[test]
    fn bits_are_as_many_bytes_as_they_are() {
        let enclosed = FieldForm { enclosing: Some(b'"'), ..FieldForm::default() };
        let texts: [(&[u8], FieldForm); 2] = [
            (b"1\t\0\t\tx\n2\t\n\\\t\\N\n3\t\\N\ty\n4\t\\\\\tz\n", FieldForm::default()),
            (b"\"1\"\t\"\0\t\"\t\"x\"\n2\t\"\n\\\"\t\\N\n3\t\\N\t\"y\"\n4\t\"\\\\\"\tz\n", enclosed),
        ];
        for (text, form) in texts {
            for piece in 1..=text.len() {
                let (rows, is_whole) = read_with(text, &form, &[None, Some(2)], piece);
                assert!(is_whole && rows.iter().all(|row| row.len() == 3), "pieces of {piece}: {rows:?}");
                let null = None;
                assert_eq!((&rows[2][1], &rows[1][2]), (&null, &null), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn many_bytes_at_once_are_read_as_each_by_itself() {
        let words: [&[u8]; 8] = [b"\t", b"\n", b"\\", b"\\N", b"NULL", b"k", b"12345678901234567890", b"\r\n"];
        let forms = [None, Some(b'\\'), Some(b'k')].map(|escape| FieldForm { escape, ..FieldForm::default() });
        let mut noise = 1u32;
        for round in 0..600 {
            let mut next = |below: usize| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 8) as usize % below
            };
            let text: Vec<u8> = (0..next(80)).flat_map(|_| words[next(8)].to_vec()).collect();
            let (form, piece) = (&forms[round % 3], 1 + next(150));
            let read = |is_stepwise: bool| {
                let (mut rows, mut found) = (TabRows::new(form.clone(), Vec::new()), Vec::new());
                rows.marks = rows.marks.filter(|_| !is_stepwise);
                let mut tell = |form: &FieldForm, row: &[u8], fields: &[Field]| {
                    let value = |field: &Field| form.value(row, field).map(|value| value.into_owned());
                    found.push(fields.iter().map(|field| (field.range.clone(), value(field))).collect::<Vec<_>>());
                    Ok::<(), ()>(())
                };
                text.chunks(piece).for_each(|piece| assert!(rows.push(piece, &mut tell).unwrap()));
                let is_between = rows.is_between();
                (found, is_between)
            };
            assert_eq!(read(false), read(true), "{form:?}, pieces of {piece}: {}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_row() {
        let text = b"1\ta\n2\tb\\\nc\n";
        for cut in 0..text.len() {
            let (rows, is_whole) = read(&text[..cut], &FieldForm::default(), 3);
            assert_eq!((rows.len(), is_whole), (usize::from(cut >= 4), cut == 0 || cut == 4), "cut at {cut}");
        }
    }
}
