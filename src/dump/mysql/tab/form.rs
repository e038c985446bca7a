//! FieldForm: how rows stand in a file of their own, as `SELECT ... INTO OUTFILE` writes them.

use std::borrow::Cow;
use std::ops::Range;

use crate::dump::mysql::meaning;
use crate::dump::mysql::words::QuoteModes;
use crate::error::{Error, Result};

/// What stands around the values of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldForm {
    /// Between two values.
    pub separator: Vec<u8>,
    /// Around a value, or only around strings.
    pub enclosing: Option<u8>,
    /// Before a byte that would mean something else.
    pub escape: Option<u8>,
    /// Behind each row.
    pub line_end: Vec<u8>,
}

impl Default for FieldForm {
    fn default() -> FieldForm {
        FieldForm { separator: b"\t".to_vec(), enclosing: None, escape: Some(b'\\'), line_end: b"\n".to_vec() }
    }
}

/// The same in words of `mysqldump`, `mariadb-dump` and `LOAD DATA`; what is left out is as usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct FieldWords<'w> {
    pub fields_terminated_by: Option<&'w str>,
    pub fields_enclosed_by: Option<&'w str>,
    pub fields_escaped_by: Option<&'w str>,
    pub lines_terminated_by: Option<&'w str>,
}

/// A value of a row, by where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Without what encloses it.
    pub range: Range<usize>,
    pub is_enclosed: bool,
    /// It is known that nothing is escaped in it.
    pub is_literal: bool,
    /// The same, and that nothing in it need be escaped in a string of SQL.
    pub is_plain: bool,
}

impl FieldForm {
    /// # Errors
    /// [`Error::Invalid`] where rows could not be told apart.
    pub fn from_words(words: FieldWords) -> Result<FieldForm> {
        let FieldForm { separator, escape, line_end, .. } = FieldForm::default();
        let several = |option: &'static str, word: Option<&str>, usual: Vec<u8>| match word.map(bytes_of) {
            None => Ok(usual),
            Some(bytes) if bytes.is_empty() => {
                Err(Error::invalid("option", option, "rows of fixed length, which nothing ends, are not taken"))
            }
            Some(bytes) => Ok(bytes),
        };
        let one = |option: &'static str, word: Option<&str>, usual: Option<u8>| match word.map(bytes_of).as_deref() {
            None => Ok(usual),
            Some([]) => Ok(None),
            Some([byte]) => Ok(Some(*byte)),
            Some(_) => Err(Error::invalid("option", option, "it is more than one byte")),
        };
        let form = FieldForm {
            separator: several("--fields-terminated-by", words.fields_terminated_by, separator)?,
            enclosing: one("--fields-enclosed-by", words.fields_enclosed_by, None)?,
            escape: one("--fields-escaped-by", words.fields_escaped_by, escape)?,
            line_end: several("--lines-terminated-by", words.lines_terminated_by, line_end)?,
        };
        let mut marks = vec![form.separator[0], form.line_end[0]];
        marks.extend(form.enclosing.iter().chain(&form.escape));
        marks.sort_unstable();
        if marks.windows(2).any(|two| two[0] == two[1]) {
            let reason = "values and rows must end with, and be enclosed and escaped by, different bytes";
            return Err(Error::invalid("option", "--fields-*-by", reason));
        }
        Ok(form)
    }

    /// A value of a row that is known to be as it stands there, and so in a string of SQL, and not NULL.
    #[inline]
    pub fn plain_value<'r>(&self, row: &'r [u8], field: &Field) -> Option<&'r [u8]> {
        // Without an escape a word may be NULL.
        (field.is_plain && self.escape.is_some()).then(|| &row[field.range.clone()])
    }

    /// What a value of a row is; `None` for NULL.
    pub fn value<'r>(&self, row: &'r [u8], field: &Field) -> Option<Cow<'r, [u8]>> {
        let literal = &row[field.range.clone()];
        let is_null = !field.is_enclosed
            && match (self.escape, literal) {
                (Some(escape), [first, b'N']) if *first == escape => true,
                (escape, b"NULL") => escape.is_none() || self.enclosing.is_some(),
                _ => false,
            };
        match (is_null, field.is_literal) {
            (true, _) => None,
            (false, true) => Some(Cow::Borrowed(literal)),
            (false, false) => Some(self.unescaped(literal, field.is_enclosed)),
        }
    }

    fn unescaped<'r>(&self, literal: &'r [u8], is_enclosed: bool) -> Cow<'r, [u8]> {
        let doubled = self.enclosing.filter(|_| is_enclosed);
        let is_plain = |byte: &u8| Some(*byte) != self.escape && Some(*byte) != doubled;
        if literal.iter().all(is_plain) {
            return Cow::Borrowed(literal);
        }
        let (mut bytes, mut rest) = (Vec::with_capacity(literal.len()), literal);
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            match behind.split_first() {
                Some((&escaped, behind)) if Some(byte) == self.escape => {
                    bytes.push(meant_by(escaped));
                    rest = behind;
                }
                Some((&second, behind)) if Some(byte) == doubled && second == byte => {
                    bytes.push(byte);
                    rest = behind;
                }
                _ => bytes.push(byte),
            }
        }
        Cow::Owned(bytes)
    }
}

/// What a byte stands for that is escaped.
fn meant_by(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 26,
        byte => byte,
    }
}

/// What a word means to the programs that dump: hexadecimal digits, or a string of SQL without its quotes.
fn bytes_of(word: &str) -> Vec<u8> {
    if word.starts_with("0x") {
        return meaning(word.as_bytes(), QuoteModes::default()).unwrap_or_default().into_owned();
    }
    let backslashes = word.bytes().rev().take_while(|byte| *byte == b'\\').count();
    let mut literal = format!("'{}", word.replace('\'', "''"));
    literal.push_str(if backslashes % 2 == 1 { "\\'" } else { "'" });
    meaning(literal.as_bytes(), QuoteModes::default()).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_the_programs_that_dump_read_them() {
        let words = ["\\t", "0x2c", "'", "\\", "\\\\", "\\r\\n", "|"].map(bytes_of);
        assert_eq!(words, [&b"\t"[..], b",", b"'", b"\\", b"\\", b"\r\n", b"|"]);
        let form = FieldForm::from_words(FieldWords {
            fields_terminated_by: Some(","),
            fields_enclosed_by: Some("\""),
            fields_escaped_by: Some(""),
            lines_terminated_by: Some("\\r\\n"),
        });
        let expected =
            FieldForm { separator: b",".to_vec(), enclosing: Some(b'"'), escape: None, line_end: b"\r\n".to_vec() };
        assert_eq!(form.unwrap(), expected);
        assert_eq!(FieldForm::from_words(FieldWords::default()).unwrap(), FieldForm::default());
    }

    #[test]
    fn what_tells_no_rows_apart_is_refused() {
        let refused = [
            FieldWords { fields_terminated_by: Some(""), ..FieldWords::default() },
            FieldWords { lines_terminated_by: Some(""), ..FieldWords::default() },
            FieldWords { fields_enclosed_by: Some("ab"), ..FieldWords::default() },
            FieldWords { fields_enclosed_by: Some("\\"), ..FieldWords::default() },
            FieldWords { fields_terminated_by: Some("\\n\\n"), ..FieldWords::default() },
        ];
        assert!(refused.into_iter().all(|words| FieldForm::from_words(words).is_err()));
    }
}
