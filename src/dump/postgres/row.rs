//! The values of a row, as they stand in a dump, and what they mean.

use std::borrow::Cow;
use std::ops::ControlFlow::Continue;
use std::ops::Range;

use memchr::{memchr, memchr_iter};

use crate::dump::letters::Letters;
use crate::dump::postgres::ends::{end_at, end_of_escaped};
use crate::dump::postgres::strings::Strings;
use crate::dump::postgres::words::{Word, Words};
use crate::dump::values::split_values;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowForm {
    /// Lines, with tabs between the values, in these letters.
    Copy(Letters),
    /// As SQL has them.
    Insert(Strings),
}

impl RowForm {
    /// How strings are read where rows are written so.
    pub fn strings(self) -> Strings {
        match self {
            RowForm::Copy(letters) => Strings { letters, ..Strings::default() },
            RowForm::Insert(strings) => strings,
        }
    }
}

/// Where the values of a row stand. False where it is none.
pub fn split_row(row: &[u8], form: RowForm, values: &mut Vec<Range<usize>>) -> bool {
    values.clear();
    match form {
        RowForm::Copy(_) => {
            let mut start = 0;
            for tab in memchr_iter(b'\t', row) {
                values.push(start..tab);
                start = tab + 1;
            }
            values.push(start..row.len());
            true
        }
        RowForm::Insert(strings) => split_sql(row, strings, values),
    }
}

/// The same of what stands between parentheses; of nothing, which has no values.
fn split_sql(row: &[u8], strings: Strings, values: &mut Vec<Range<usize>>) -> bool {
    let end_of_string = |at: usize, quote: u8| {
        let is_marked = at > 1 && matches!(row[at - 2], b'e' | b'E');
        let (end, is_ended) = match quote == b'\'' && (is_marked || strings.backslash_escapes) {
            true => match end_of_escaped(row, at, true, quote, strings.letters) {
                Continue(end) => end,
                _ => return None,
            },
            false => end_at(memchr(quote, &row[at..]), row, at, 1),
        };
        is_ended.then_some(end)
    };
    row.is_empty() || split_values(row, values, end_of_string)
}

/// What a value means, whichever way it is written: the text that the server makes of it. `None` for NULL.
pub fn meaning(literal: &[u8], form: RowForm) -> Option<Cow<'_, [u8]>> {
    match form {
        RowForm::Copy(_) if literal == b"\\N" => None,
        RowForm::Copy(letters) => Some(unescaped(literal, letters)),
        RowForm::Insert(strings) => match literal {
            [b'\'', inside @ .., b'\''] => Some(unquoted(inside, strings.backslash_escapes, strings.letters)),
            [b'e' | b'E', b'\'', inside @ .., b'\''] => Some(unquoted(inside, true, strings.letters)),
            // Bits.
            [b'b' | b'B', b'\'', inside @ .., b'\''] => Some(Cow::Borrowed(inside)),
            _ if literal.eq_ignore_ascii_case(b"NULL") => None,
            _ if literal.eq_ignore_ascii_case(b"true") => Some(Cow::Borrowed(b"t")),
            _ if literal.eq_ignore_ascii_case(b"false") => Some(Cow::Borrowed(b"f")),
            _ => Some(Cow::Borrowed(literal)),
        },
    }
}

/// A value of a `COPY`.
fn unescaped(literal: &[u8], letters: Letters) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', literal) else { return Cow::Borrowed(literal) };
    // It may be part of a letter that begins before it.
    let first = if letters.are_plain() { first } else { 0 };
    let (mut bytes, mut rest) = (literal[..first].to_vec(), &literal[first..]);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            b'\\' => push_escaped(behind, &mut bytes),
            _ => push_letter(rest, letters, &mut bytes),
        };
    }
    Cow::Owned(bytes)
}

/// Adds the letter that `rest` begins with; gives what follows it.
fn push_letter<'r>(rest: &'r [u8], letters: Letters, bytes: &mut Vec<u8>) -> &'r [u8] {
    let (letter, behind) = rest.split_at(letters.first_length_of_all(rest));
    match letter {
        [byte] => bytes.push(*byte),
        letter => bytes.extend_from_slice(letter),
    }
    behind
}

/// Adds what the bytes behind a backslash mean; gives what follows them.
fn push_escaped<'r>(rest: &'r [u8], bytes: &mut Vec<u8>) -> &'r [u8] {
    let (digits, radix) = match rest {
        [b'0'..=b'7', ..] => (rest.iter().take(3).take_while(|it| matches!(it, b'0'..=b'7')).count(), 8),
        [b'x', digits @ ..] => (digits.iter().take(2).take_while(|it| it.is_ascii_hexdigit()).count(), 16),
        _ => (0, 0),
    };
    let start = usize::from(radix == 16);
    let number = std::str::from_utf8(&rest[start.min(rest.len())..][..digits]);
    if let Some(number) = number.ok().filter(|_| digits > 0).and_then(|it| u32::from_str_radix(it, radix).ok()) {
        bytes.push(number as u8);
        return &rest[start + digits..];
    }
    let Some((&byte, behind)) = rest.split_first() else {
        bytes.push(b'\\');
        return rest;
    };
    bytes.push(match byte {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        byte => byte,
    });
    behind
}

/// A string, given without its quotes.
fn unquoted(inside: &[u8], escapes: bool, letters: Letters) -> Cow<'_, [u8]> {
    if !inside.iter().any(|&byte| byte == b'\'' || (escapes && byte == b'\\')) {
        return Cow::Borrowed(inside);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(inside.len()), inside);
    while let Some((&byte, behind)) = rest.split_first() {
        if escapes && byte == b'\\' {
            rest = push_escaped(behind, &mut bytes);
            continue;
        }
        rest = push_letter(rest, letters, &mut bytes);
        if byte == b'\'' {
            rest = rest.strip_prefix(b"'").unwrap_or(rest);
        }
    }
    Cow::Owned(bytes)
}

/// A string of these bytes in these letters, which reads the same whatever else is set.
pub fn quoted(bytes: &[u8], letters: Letters) -> Vec<u8> {
    let has_backslash = memchr(b'\\', bytes).is_some() && letters.each(bytes).any(|letter| letter == b"\\");
    let mut literal = if has_backslash { b"E'".to_vec() } else { b"'".to_vec() };
    for letter in letters.each(bytes) {
        literal.extend_from_slice(letter);
        if matches!(letter, b"'" | b"\\") {
            literal.extend_from_slice(letter);
        }
    }
    literal.push(b'\'');
    literal
}

/// The columns that a `COPY` or an `INSERT` names in front of its rows, which `text` ends before.
pub fn columns_of_rows(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Words::new(text);
    if !words.pass("COPY") {
        words.pass_all(&["INSERT", "INTO"]);
    }
    words.qualified_name()?;
    if !words.pass_symbol(b'(') {
        return None;
    }
    let mut columns = Vec::new();
    loop {
        columns.push(words.next()?.name()?);
        match words.next()? {
            Word::Symbol(b',') => {}
            _ => return Some(columns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Strings = Strings { backslash_escapes: false, letters: Letters::Plain };
    const INSERT: RowForm = RowForm::Insert(USUAL);
    const COPY: RowForm = RowForm::Copy(Letters::Plain);
    const OLD: RowForm = RowForm::Insert(Strings { backslash_escapes: true, ..USUAL });

    #[track_caller]
    fn splits(row: &str, form: RowForm, expected: &[&str]) {
        let mut values = Vec::new();
        assert!(split_row(row.as_bytes(), form, &mut values), "{row}");
        let found: Vec<&str> = values.into_iter().map(|range| &row[range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_split_between_values() {
        splits("1\ta\\tb\t\\N", COPY, &["1", "a\\tb", "\\N"]);
        splits("\t", COPY, &["", ""]);
        splits("(1, 'a''),(', NULL, E'\\'),(')", INSERT, &["1", "'a''),('", "NULL", "E'\\'),('"]);
        splits("('\\', ',')", INSERT, &["'\\'", "','"]);
        splits("('\\',', 'b')", OLD, &["'\\','", "'b'"]);
        splits("(B'01', f(1, 2), -1.5e3)", INSERT, &["B'01'", "f(1, 2)", "-1.5e3"]);
        splits("", INSERT, &[]);
        for text in ["(", "(1", "(1,'a)", "(1))", "(1)x", "1,2"] {
            assert!(!split_row(text.as_bytes(), INSERT, &mut Vec::new()), "{text}");
        }
    }

    #[track_caller]
    fn means(literal: &str, form: RowForm, expected: Option<&[u8]>) {
        assert_eq!(meaning(literal.as_bytes(), form).as_deref(), expected, "{literal}");
    }

    #[test]
    fn values_mean_the_same_whichever_way_they_are_written() {
        means("\\N", COPY, None);
        means("\\\\N", COPY, Some(b"\\N"));
        means("a\\b\\f\\n\\r\\t\\v\\\\\\x41\\101\\.é", COPY, Some("a\x08\x0c\n\r\t\x0b\\AA.é".as_bytes()));
        means("\\", COPY, Some(b"\\"));
        means("\\\\x00ff", COPY, Some(b"\\x00ff"));
        means("NULL", COPY, Some(b"NULL"));
        means("NULL", INSERT, None);
        means("'NULL'", INSERT, Some(b"NULL"));
        means("'it''s \\'", INSERT, Some(b"it's \\"));
        means("E'it''s \\\\ \\n'", INSERT, Some(b"it's \\ \n"));
        means("'it''s \\\\'", OLD, Some(b"it's \\"));
        means("true", INSERT, Some(b"t"));
        means("B'0101'", INSERT, Some(b"0101"));
        means("-1.50", INSERT, Some(b"-1.50"));
    }

    #[test]
    fn strings_are_quoted_as_they_are_read() {
        let bytes: Vec<u8> = (1..=255).collect();
        assert_eq!(meaning(&quoted(&bytes, Letters::Plain), INSERT).unwrap(), bytes);
        assert_eq!(meaning(&quoted(&bytes, Letters::Plain), OLD).unwrap(), bytes);
        assert_eq!(quoted(b"it's", Letters::Plain), b"'it''s'");
    }

    #[test]
    fn the_columns_may_be_named() {
        let columns = |text: &str| columns_of_rows(text.as_bytes());
        assert_eq!(columns("COPY public.t (a, \"b\"\"c\") FROM stdin"), Some(vec![b"a".to_vec(), b"b\"c".to_vec()]));
        assert_eq!(columns("COPY public.t  FROM stdin"), None);
        assert_eq!(columns("INSERT INTO a.t (a) VALUES"), Some(vec![b"a".to_vec()]));
        assert_eq!(columns("INSERT INTO a.t OVERRIDING SYSTEM VALUE VALUES"), None);
    }
}
