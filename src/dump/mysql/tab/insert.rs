//! InsertWriter: writes the rows of a table as statements, as other dumps have them.

use std::borrow::Cow;

use crate::dump::letters::Letters;
use crate::dump::mysql::words::{QuoteModes, Word, Words, quoted_name};
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

    /// Adds a row to the text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn push(&mut self, values: &[Option<Cow<[u8]>>], out: &mut Vec<u8>) -> Result<(), String> {
        if self.rows.is_none() {
            self.rows = Some(self.begin(values.len())?);
        }
        let Some(rows) = &self.rows else { return Ok(()) };
        if rows.kinds.len() != values.len() {
            return Err(format!("a row has {} values, the first {}", values.len(), rows.kinds.len()));
        }
        let start = out.len();
        out.extend_from_slice(if self.length == 0 { &rows.insert } else { b",\n" });
        let mut separator = b'(';
        for (value, kind) in values.iter().zip(&rows.kinds) {
            out.push(separator);
            match value {
                Some(bytes) => push_literal(bytes, *kind, self.is_utf8, out),
                None => out.extend_from_slice(b"NULL"),
            }
            separator = b',';
        }
        out.push(b')');
        self.length += out.len() - start;
        if self.length > STATEMENT_BYTES {
            self.finish(out);
        }
        Ok(())
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
            return Ok(Rows { insert, kinds: vec![None; count] });
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
        Ok(Rows { insert, kinds: columns.into_iter().map(|column| Some(column.kind)).collect() })
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
        Ok(Rows { insert, kinds: names.iter().map(kind).collect() })
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

/// A value, as a statement has it. The bytes of text of other character sets than the session's are those of the column.
fn push_literal(bytes: &[u8], kind: Option<ColumnKind>, is_utf8: bool, out: &mut Vec<u8>) {
    match kind {
        Some(ColumnKind::Bits | ColumnKind::Geometry) if !bytes.is_empty() => {
            out.extend_from_slice(b"0x");
            out.extend(bytes.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()));
            return;
        }
        Some(ColumnKind::Exact | ColumnKind::Whole | ColumnKind::AsText) if is_number(bytes) => {
            out.extend_from_slice(bytes);
            return;
        }
        Some(ColumnKind::Text) if is_utf8 => {}
        // Of some character sets even such bytes are no ASCII.
        Some(ColumnKind::Text) => out.extend_from_slice(b"_binary "),
        _ if bytes.is_ascii() => {}
        _ => out.extend_from_slice(b"_binary "),
    }
    out.push(b'\'');
    for &byte in bytes {
        let escaped = match byte {
            0 => b'0',
            b'\n' => b'n',
            b'\r' => b'r',
            26 => b'Z',
            b'\'' | b'"' | b'\\' => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
    out.push(b'\'');
}

/// Digits with a sign, a point and an exponent, each at most once.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (number, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_number = match number.iter().position(|byte| *byte == b'.') {
        Some(at) => digits(&number[..at]) && digits(&number[at + 1..]),
        None => digits(number),
    };
    let unsigned = |text: &[u8]| digits(text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text));
    is_number && exponent.is_none_or(unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::mysql::{meaning, split_row, table_schema};

    #[track_caller]
    fn writes(definition: &str, rows: &[&[Option<&[u8]>]], expected: &[u8]) {
        let schema = table_schema(definition.as_bytes(), QuoteModes::default());
        let mut writer = InsertWriter::new(b"t`", schema.as_ref(), definition.as_bytes());
        let mut out = Vec::new();
        for row in rows {
            let values: Vec<_> = row.iter().map(|value| value.map(Cow::Borrowed)).collect();
            writer.push(&values, &mut out).unwrap();
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
        let values = vec![None; 4];
        assert_eq!(
            writer.push(&values, &mut Vec::new()).unwrap_err(),
            "its rows have 4 values, the table has 3 columns"
        );
        writer.push(&values[..3], &mut Vec::new()).unwrap();
        assert_eq!(writer.push(&values[..2], &mut Vec::new()).unwrap_err(), "a row has 2 values, the first 3");
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
