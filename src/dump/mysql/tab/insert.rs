//! InsertWriter: writes the rows of a table as statements, as other dumps have them.

use crate::dump::letters::Letters;
use crate::dump::mysql::tab::form::Field;
use crate::dump::mysql::words::{QuoteModes, Word, Words, quoted_name};
use crate::dump::stops::{Stops, next_stop, stops};
use crate::dump::table::{Column, ColumnKind, TableSchema};

/// A statement ends with the row that makes it longer.
const STATEMENT_BYTES: usize = 1 << 20;

/// Character sets whose text is UTF-8.
const UTF8: [&str; 5] = ["utf8", "utf8mb3", "utf8mb4", "ascii", "binary"];

/// Writes the rows of one table.
pub struct InsertWriter {
    table: Vec<u8>,
    columns: Vec<Column>,
    /// The columns that its rows have values of, where that is told.
    names: Option<Vec<Vec<u8>>>,
    /// Its rows, once their number of values is known.
    rows: Option<Rows>,
    /// Statements are in these.
    letters: Letters,
    /// All its text is UTF-8.
    is_utf8: bool,
    /// Bytes of the present statement; 0 between statements.
    length: usize,
}

/// What all rows have in common.
struct Rows {
    /// Up to the first row of each statement.
    insert: Vec<u8>,
    kinds: Vec<Option<ColumnKind>>,
    /// All are of numbers.
    are_numeric: bool,
}

impl Rows {
    fn new(insert: Vec<u8>, kinds: Vec<Option<ColumnKind>>) -> Rows {
        let are_numeric = kinds.iter().all(|kind| kind.is_some_and(is_numeric));
        Rows { insert, kinds, are_numeric }
    }
}

/// Whether numbers of such columns are written without quotes.
fn is_numeric(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Exact | ColumnKind::Whole | ColumnKind::AsText)
}

impl InsertWriter {
    /// One for the table that `definition` makes, as far as that is known.
    pub fn new(table: &[u8], schema: Option<&TableSchema>, definition: &[u8]) -> InsertWriter {
        InsertWriter {
            table: table.to_vec(),
            columns: schema.map(|schema| schema.columns.clone()).unwrap_or_default(),
            names: None,
            rows: None,
            letters: Letters::Plain,
            is_utf8: has_only_utf8(definition),
            length: 0,
        }
    }

    /// The same in these letters.
    pub fn in_letters(self, letters: Letters) -> InsertWriter {
        InsertWriter { letters, ..self }
    }

    /// The same for rows whose values are of these columns, and whose text is in the character set of the session.
    pub fn of_columns(mut self, names: Vec<Vec<u8>>) -> InsertWriter {
        (self.names, self.is_utf8) = (Some(names), true);
        self
    }

    /// Begins a row of so many values.
    ///
    /// # Errors
    /// What is wrong with it: then nothing is added to the text.
    #[inline]
    pub fn begin_row(&mut self, count: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.rows.is_none() {
            self.rows = Some(self.begin(count)?);
        }
        let Some(rows) = &self.rows else { return Ok(()) };
        if rows.kinds.len() != count {
            return Err(format!("a row has {count} values, the first {}", rows.kinds.len()));
        }
        match self.length {
            0 => out.extend_from_slice(&rows.insert),
            _ => out.extend_from_slice(b",\n"),
        }
        Ok(())
    }

    /// Adds the value with this number in the row; `None` is NULL.
    pub fn push_value(&self, number: usize, value: Option<&[u8]>, out: &mut Vec<u8>) {
        out.push(if number == 0 { b'(' } else { b',' });
        let kind = self.kind(number);
        match value {
            Some(bytes) if kind.is_some_and(is_numeric) && is_number(bytes) => out.extend_from_slice(bytes),
            Some(bytes) => push_literal(bytes, kind, self.is_utf8, out),
            None => out.extend_from_slice(b"NULL"),
        }
    }

    /// The same for a value that a string has as it is.
    #[inline]
    pub fn push_plain(&self, number: usize, bytes: &[u8], out: &mut Vec<u8>) {
        let kind = self.kind(number);
        if kind.is_some_and(is_numeric) && is_number(bytes) {
            out.push(if number == 0 { b'(' } else { b',' });
            out.extend_from_slice(bytes);
            return;
        }
        let is_string = match kind {
            Some(ColumnKind::Text) => self.is_utf8,
            Some(ColumnKind::Bits | ColumnKind::Geometry) => false,
            _ => bytes.is_ascii(),
        };
        if !is_string {
            return self.push_value(number, Some(bytes), out);
        }
        out.extend_from_slice(if number == 0 { b"('" } else { b",'" });
        out.extend_from_slice(bytes);
        out.push(b'\'');
    }

    fn kind(&self, number: usize) -> Option<ColumnKind> {
        self.rows.as_ref().and_then(|rows| rows.kinds.get(number).copied().flatten())
    }

    /// Adds all values of a row, which stand in it with one byte between them, if all are digits: they are written the same.
    #[inline]
    pub fn push_digits(&self, row: &[u8], fields: &[Field], out: &mut Vec<u8>) -> bool {
        let are_numeric = self.rows.as_ref().is_some_and(|rows| rows.are_numeric);
        let Some(separator) = fields.first().and_then(|first| row.get(first.range.end)).filter(|_| are_numeric) else {
            return false;
        };
        if !fields.iter().all(|field| field.is_literal & !field.range.is_empty()) {
            return false;
        }
        let start = out.len();
        out.push(b'(');
        let are_digits = push_row_of_digits(row, *separator, out).is_some();
        if !are_digits {
            out.truncate(start);
        }
        are_digits
    }

    /// Ends the row that begins at `start` in the text.
    #[inline]
    pub fn end_row(&mut self, start: usize, out: &mut Vec<u8>) {
        out.push(b')');
        self.length += out.len() - start;
        if self.length > STATEMENT_BYTES {
            self.finish(out);
        }
    }

    /// Ends the present statement.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.length) > 0 {
            out.extend_from_slice(b";\n");
        }
    }

    fn name(&self, name: &[u8]) -> Vec<u8> {
        quoted_name(name, b'`', self.letters)
    }

    /// Which columns so many values are of: all, or those that show, or those that are not computed.
    fn begin(&self, count: usize) -> Result<Rows, String> {
        let mut insert = [b"INSERT INTO ", &self.name(&self.table)[..]].concat();
        if let Some(names) = &self.names {
            return self.begin_named(names, count, insert);
        }
        if self.columns.is_empty() {
            insert.extend_from_slice(b" VALUES\n");
            return Ok(Rows::new(insert, vec![None; count]));
        }
        let such = |is: fn(&Column) -> bool| self.columns.iter().filter(|column| is(column)).collect::<Vec<_>>();
        let ways = [such(|_| true), such(|it| !it.is_invisible), such(|it| !it.is_generated)];
        let columns = ways.into_iter().find(|columns| columns.len() == count);
        let columns = columns
            .ok_or_else(|| format!("its rows have {count} values, the table has {} columns", self.columns.len()))?;
        if columns.len() < self.columns.len() || self.columns.iter().any(|it| it.is_invisible) {
            let names: Vec<_> = columns.iter().map(|column| self.name(&column.name)).collect();
            insert.extend_from_slice(&[b" (", &names.join(&b","[..])[..], b")"].concat());
        }
        insert.extend_from_slice(b" VALUES\n");
        Ok(Rows::new(insert, columns.into_iter().map(|column| Some(column.kind)).collect()))
    }
}

impl InsertWriter {
    fn begin_named(&self, names: &[Vec<u8>], count: usize, mut insert: Vec<u8>) -> Result<Rows, String> {
        if names.len() != count {
            return Err(format!("its rows have {count} values, and {} columns are told", names.len()));
        }
        let is_all = self.columns.iter().map(|column| &column.name).eq(names);
        if !is_all || self.columns.iter().any(|column| column.is_invisible) {
            let names: Vec<_> = names.iter().map(|name| self.name(name)).collect();
            insert.extend_from_slice(&[b" (", &names.join(&b","[..])[..], b")"].concat());
        }
        insert.extend_from_slice(b" VALUES\n");
        let kind = |name: &Vec<u8>| self.columns.iter().find(|column| column.name == *name).map(|column| column.kind);
        Ok(Rows::new(insert, names.iter().map(kind).collect()))
    }
}

/// Whether a definition names no other character set.
fn has_only_utf8(definition: &[u8]) -> bool {
    let mut words = Words::new(definition, QuoteModes::default());
    while let Some(word) = words.next() {
        if !(word.is("CHARSET") || word.is("CHARACTER") && words.pass("SET")) {
            continue;
        }
        words.pass_symbol(b'=');
        let is_utf8 = |word: Word| UTF8.iter().any(|name| word.is(&name.to_ascii_uppercase()));
        if !words.next().is_some_and(is_utf8) {
            return false;
        }
    }
    true
}

/// A value that is no number, as a statement has it. The bytes of text of other character sets than the session's are those of the column.
fn push_literal(bytes: &[u8], kind: Option<ColumnKind>, is_utf8: bool, out: &mut Vec<u8>) {
    match kind {
        Some(ColumnKind::Bits | ColumnKind::Geometry) if !bytes.is_empty() => {
            out.extend_from_slice(b"0x");
            out.extend(bytes.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()));
            return;
        }
        Some(ColumnKind::Text) if is_utf8 => {}
        // Of some character sets even such bytes are no ASCII.
        Some(ColumnKind::Text) => out.extend_from_slice(b"_binary "),
        _ if bytes.is_ascii() => {}
        _ => out.extend_from_slice(b"_binary "),
    }
    out.push(b'\'');
    push_escaped(bytes, out);
    out.push(b'\'');
}

const ESCAPED: Stops = stops(b"\0\n\r\x1a'\"\\");

/// Whether a byte is written in another way in a string.
pub fn is_escaped(byte: u8) -> bool {
    ESCAPED[usize::from(byte)]
}

fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < bytes.len() {
        let next = next_stop(bytes, at, &ESCAPED);
        out.extend_from_slice(&bytes[at..next]);
        let Some(byte) = bytes.get(next) else { return };
        let escaped = match byte {
            0 => b'0',
            b'\n' => b'n',
            b'\r' => b'r',
            26 => b'Z',
            byte => *byte,
        };
        out.extend_from_slice(&[b'\\', escaped]);
        at = next + 1;
    }
}

/// A row of at least eight bytes with commas for its separators, if all others are digits; else some of it may be added.
fn push_row_of_digits(row: &[u8], separator: u8, out: &mut Vec<u8>) -> Option<()> {
    let (start, last) = (out.len(), row.last_chunk()?);
    for eight in row.as_chunks().0 {
        out.extend_from_slice(&digits_and_commas(*eight, separator)?);
    }
    // Some of the last eight were added.
    out.truncate(start + row.len() - last.len());
    out.extend_from_slice(&digits_and_commas(*last, separator)?);
    Some(())
}

#[inline]
fn digits_and_commas(eight: [u8; 8], separator: u8) -> Option<[u8; 8]> {
    let all = |byte: u8| u64::from_le_bytes([byte; 8]);
    let word = u64::from_le_bytes(eight);
    let differs = word ^ all(separator);
    // The top bit of each byte that is a separator, and then all bits of it.
    let separators = !(((differs & all(0x7f)) + all(0x7f)) | differs | all(0x7f));
    let separators = (separators >> 7) * 0xff;
    let with = |byte: u8| word & !separators | all(byte) & separators;
    are_digits(with(b'0')).then(|| with(b',').to_le_bytes())
}

/// Whether all eight bytes are.
#[inline]
fn are_digits(word: u64) -> bool {
    let (high, digit) = (0xf0f0_f0f0_f0f0_f0f0, 0x3030_3030_3030_3030);
    (word & high == digit) & (word.wrapping_add(0x0606_0606_0606_0606) & high == digit)
}

/// Whether a text of at most eight bytes is digits. Columns have numbers of many lengths: nobody could guess each.
#[inline]
fn are_few_digits(text: &[u8]) -> bool {
    let four = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => text.len() <= 8 && are_digits(four(first) << 32 | four(last)),
        _ => {
            let [first, middle, last] = [0, text.len() / 2, text.len().saturating_sub(1)]
                .map(|at| text.get(at).is_some_and(u8::is_ascii_digit));
            first & middle & last
        }
    }
}

/// So many digits come first.
#[inline]
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits with a sign, a point and an exponent, each at most once.
fn is_number(text: &[u8]) -> bool {
    if are_few_digits(text) {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = text.split_at(digits(text));
    let (part, rest) = match rest {
        [b'.', behind @ ..] => behind.split_at(digits(behind)),
        _ => (whole, rest),
    };
    let are_digits = |text: &[u8]| !text.is_empty() && digits(text) == text.len();
    !whole.is_empty()
        && !part.is_empty()
        && match rest {
            [b'e' | b'E', b'-' | b'+', exponent @ ..] | [b'e' | b'E', exponent @ ..] => are_digits(exponent),
            rest => rest.is_empty(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::mysql::{meaning, split_row, table_schema};

    fn push(writer: &mut InsertWriter, row: &[Option<&[u8]>], out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        writer.begin_row(row.len(), out)?;
        row.iter().enumerate().for_each(|(number, value)| writer.push_value(number, *value, out));
        writer.end_row(start, out);
        Ok(())
    }

    #[track_caller]
    fn writes(definition: &str, rows: &[&[Option<&[u8]>]], expected: &[u8]) {
        let schema = table_schema(definition.as_bytes(), QuoteModes::default());
        let mut writer = InsertWriter::new(b"t`", schema.as_ref(), definition.as_bytes());
        let mut out = Vec::new();
        for row in rows {
            push(&mut writer, row, &mut out).unwrap();
        }
        writer.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected));
    }

    #[test]
    fn values_are_written_as_their_columns_have_them() {
        let definition = "CREATE TABLE t (a int, b double, c date, d text, e blob, f bit(9), g point) CHARSET=utf8mb4;";
        let row: &[Option<&[u8]>] = &[
            Some(b"-1"),
            Some(b"1.5e-3"),
            Some(b"2026-11-26"),
            Some("k'ä".as_bytes()),
            Some(b"\0\xff\\\r"),
            Some(b"\x01\x01"),
            Some(b"\0\xff"),
        ];
        let expected =
            [b"INSERT INTO `t``` VALUES\n(-1,1.5e-3,'2026-11-26','k\\'\xc3\xa4',_binary '\\0\xff\\\\\\r',0x0101,0x00FF),\n", &b"(NULL,NULL,NULL,'','',NULL,'');\n"[..]]
                .concat();
        writes(definition, &[row, &[None, None, None, Some(b""), Some(b""), None, Some(b"")]], &expected);
        let latin = "CREATE TABLE t (a text CHARACTER SET latin1, b varchar(3)) DEFAULT CHARSET=utf8mb4;";
        writes(latin, &[&[Some(b"\xe4"), Some(b"b")]], b"INSERT INTO `t``` VALUES\n(_binary '\xe4',_binary 'b');\n");
    }

    #[test]
    fn columns_are_told_by_how_many_values_there_are() {
        let definition = "CREATE TABLE t (a int, b int AS (a) STORED, c int INVISIBLE);";
        let one: &[u8] = b"1";
        writes(definition, &[&[Some(one); 3]], b"INSERT INTO `t``` (`a`,`b`,`c`) VALUES\n(1,1,1);\n");
        writes(
            "CREATE TABLE t (a int, b int AS (a) STORED);",
            &[&[Some(one)]],
            b"INSERT INTO `t``` (`a`) VALUES\n(1);\n",
        );
        writes("", &[&[Some(one), None]], b"INSERT INTO `t``` VALUES\n('1',NULL);\n");
        let schema = table_schema(definition.as_bytes(), QuoteModes::default());
        let mut writer = InsertWriter::new(b"t", schema.as_ref(), b"");
        let mut push = |count: usize| push(&mut writer, &vec![None; count], &mut Vec::new());
        assert_eq!(push(4).unwrap_err(), "its rows have 4 values, the table has 3 columns");
        push(3).unwrap();
        assert_eq!(push(2).unwrap_err(), "a row has 2 values, the first 3");
    }

    #[test]
    fn digits_are_written_as_each_value_by_itself() {
        let rows: [&[u8]; 6] =
            [b"12345\t67\t890", b"1234567\t\t2", b"1\t-2345\t3", b"1\t2.05\t378", b"\t\t1234567", b"1\t2\t34567x"];
        for definition in ["CREATE TABLE t (a int, b int, c int);", "CREATE TABLE t (a int, b text, c int);"] {
            let schema = table_schema(definition.as_bytes(), QuoteModes::default());
            for row in rows {
                let mut writer = InsertWriter::new(b"t", schema.as_ref(), definition.as_bytes());
                let ends = row.iter().enumerate().filter(|(_, byte)| **byte == b'\t').map(|(at, _)| at);
                let starts = [0].into_iter().chain(ends.clone().map(|at| at + 1));
                let field =
                    |(start, end)| Field { range: start..end, is_enclosed: false, is_literal: true, is_plain: true };
                let fields: Vec<_> = starts.zip(ends.chain([row.len()])).map(field).collect();
                let (mut one, mut all) = (Vec::new(), Vec::new());
                let values: Vec<_> = fields.iter().map(|field| Some(&row[field.range.clone()])).collect();
                push(&mut writer, &values, &mut one).unwrap();
                writer.finish(&mut one);
                writer.begin_row(3, &mut all).unwrap();
                let is_written = writer.push_digits(row, &fields, &mut all);
                assert_eq!(is_written, row == rows[0] && !definition.contains("text"));
                writer.end_row(0, &mut all);
                assert!(!is_written || all == one[..one.len() - 2], "{}", String::from_utf8_lossy(&all));
            }
        }
    }

    #[test]
    fn any_value_means_itself() {
        let bytes: Vec<u8> = (0..=255).collect();
        for kind in
            [None, Some(ColumnKind::Exact), Some(ColumnKind::Text), Some(ColumnKind::Bytes), Some(ColumnKind::Bits)]
        {
            for is_utf8 in [true, false] {
                for value in [&bytes[..], b"", b"1e5", b"-", b"1.", b"1e", b"0x10", b"NULL"] {
                    let mut row = vec![b'('];
                    push_literal(value, kind, is_utf8, &mut row);
                    row.push(b')');
                    let mut values = Vec::new();
                    assert!(split_row(&row, QuoteModes::default(), &mut values) && values.len() == 1);
                    assert_eq!(meaning(&row[values[0].clone()], QuoteModes::default()).unwrap(), value);
                }
            }
        }
    }
}
