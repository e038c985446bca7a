//! The values of a row, as they stand in a dump, and what they mean.

use std::borrow::Cow;
use std::ops::ControlFlow::Continue;
use std::ops::Range;

use crate::dump::mysql::scan::end_of_quotes;
use crate::dump::mysql::words::{QuoteModes, Word, Words};
use crate::dump::values::split_values;

/// Where the values of a row stand, given with its parentheses. False where it is none.
pub fn split_row(row: &[u8], modes: QuoteModes, values: &mut Vec<Range<usize>>) -> bool {
    values.clear();
    split_values(row, values, |at, quote| match end_of_quotes(row, at, true, quote, modes) {
        Continue((end, true)) => Some(end),
        _ => None,
    })
}

/// What a value means, whichever way it is written: its bytes, or the text of a number. `None` for NULL.
pub fn meaning(literal: &[u8], modes: QuoteModes) -> Option<Cow<'_, [u8]>> {
    match literal {
        [quote @ (b'\'' | b'"'), ..] => Some(unquoted(literal, *quote, modes)),
        [b'0', b'x' | b'X', digits @ ..] => Some(hexadecimal(digits).map_or(Cow::Borrowed(literal), Cow::Owned)),
        [b'x' | b'X', b'\'', digits @ .., b'\''] => {
            Some(hexadecimal(digits).map_or(Cow::Borrowed(literal), Cow::Owned))
        }
        [b'b' | b'B', b'\'', digits @ .., b'\''] => Some(binary(digits).map_or(Cow::Borrowed(literal), Cow::Owned)),
        // A character set, and the string in it.
        [b'_', ..] => match literal.iter().position(|byte| matches!(byte, b'\'' | b'"')) {
            Some(at) => Some(unquoted(&literal[at..], literal[at], modes)),
            None => Some(Cow::Borrowed(literal)),
        },
        _ if literal.eq_ignore_ascii_case(b"NULL") => None,
        _ => Some(Cow::Borrowed(literal)),
    }
}

/// Whether a value is written as a number.
pub fn is_number(literal: &[u8]) -> bool {
    let digits = literal.strip_prefix(b"-").unwrap_or(literal);
    digits.first().is_some_and(u8::is_ascii_digit) && !matches!(digits, [b'0', b'x' | b'X', ..])
}

/// The bytes of a string, given with its quotes.
fn unquoted(literal: &[u8], quote: u8, modes: QuoteModes) -> Cow<'_, [u8]> {
    let inside = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    let escapes = modes.escapes(quote);
    let is_plain = |byte: &u8| *byte != quote && (*byte != b'\\' || !escapes);
    if inside.iter().all(is_plain) {
        return Cow::Borrowed(inside);
    }
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'\\' && escapes {
            push_escaped(behind.first().copied(), &mut bytes);
            rest = behind.get(1..).unwrap_or_default();
            continue;
        }
        let (letter, behind) = rest.split_at(modes.letters.first_length_of_all(rest));
        bytes.extend_from_slice(letter);
        // A quote stands there twice.
        rest = if byte == quote { behind.get(1..).unwrap_or_default() } else { behind };
    }
    Cow::Owned(bytes)
}

fn push_escaped(byte: Option<u8>, bytes: &mut Vec<u8>) {
    match byte {
        Some(b'0') => bytes.push(0),
        Some(b'n') => bytes.push(b'\n'),
        Some(b'r') => bytes.push(b'\r'),
        Some(b't') => bytes.push(b'\t'),
        Some(b'b') => bytes.push(8),
        Some(b'Z') => bytes.push(26),
        // These stay as they are, for patterns.
        Some(byte @ (b'%' | b'_')) => bytes.extend_from_slice(&[b'\\', byte]),
        Some(byte) => bytes.push(byte),
        None => bytes.push(b'\\'),
    }
}

/// A string of these bytes in these modes.
pub fn quoted(bytes: &[u8], modes: QuoteModes) -> Vec<u8> {
    let mut literal = vec![b'\''];
    for letter in modes.letters.each(bytes) {
        match letter {
            b"'" => literal.extend_from_slice(b"''"),
            b"\\" if !modes.plain_backslash => literal.extend_from_slice(b"\\\\"),
            [0] if !modes.plain_backslash => literal.extend_from_slice(b"\\0"),
            b"\n" if !modes.plain_backslash => literal.extend_from_slice(b"\\n"),
            // Together with what comes to stand behind it, it would be a letter.
            &[byte] if modes.letters.begins_with(byte) && !modes.plain_backslash => literal.extend([b'\\', byte]),
            letter => literal.extend_from_slice(letter),
        }
    }
    literal.push(b'\'');
    literal
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let (first, pairs) = if digits.len() % 2 == 1 { digits.split_at(1) } else { (&[][..], digits) };
    let first = first.iter().map(|&byte| digit(byte));
    first.chain(pairs.chunks_exact(2).map(|two| Some(digit(two[0])? << 4 | digit(two[1])?))).collect()
}

/// The bytes of `b'101'`.
fn binary(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for eight in digits.rchunks(8) {
        let mut byte = 0;
        for digit in eight {
            byte = byte << 1 | digit.checked_sub(b'0').filter(|bit| *bit <= 1)?;
        }
        bytes.push(byte);
    }
    bytes.reverse();
    Some(bytes)
}

/// The columns that an `INSERT` names in front of its rows, which `text` ends before.
pub fn columns_of_insert(text: &[u8], modes: QuoteModes) -> Option<Vec<Vec<u8>>> {
    let mut words = Words::new(text, modes);
    while !words.next()?.is("INTO") {}
    words.qualified_name()?;
    if !words.pass_symbol(b'(') {
        return None;
    }
    let mut columns = Vec::new();
    loop {
        columns.push(words.next()?.name()?.into_owned());
        match words.next()? {
            Word::Symbol(b',') => {}
            _ => return Some(columns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::letters::Letters;

    const USUAL: QuoteModes = QuoteModes {
        plain_backslash: false,
        ansi_quotes: false,
        letters: Letters::Plain,
        letters_of_session: Letters::Plain,
    };
    const PLAIN: QuoteModes = QuoteModes { plain_backslash: true, ..USUAL };

    #[track_caller]
    fn splits(row: &str, expected: &[&str]) {
        let mut values = Vec::new();
        assert!(split_row(row.as_bytes(), USUAL, &mut values), "{row}");
        let found: Vec<&str> = values.into_iter().map(|range| &row[range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_are_split_between_values() {
        splits("(1,'a',NULL)", &["1", "'a'", "NULL"]);
        splits("( 1 , 'a,(' , \")\\\"\" )", &["1", "'a,('", "\")\\\"\""]);
        splits(
            r"('it''s','\\','\',(\'',-1.5e3,f(1,2),0x00ff)",
            &["'it''s'", r"'\\'", r"'\',(\''", "-1.5e3", "f(1,2)", "0x00ff"],
        );
        splits("(_binary 'x\\0',x'00')", &["_binary 'x\\0'", "x'00'"]);
    }

    #[test]
    fn what_is_no_row_is_none() {
        for text in ["", "(", "(1", "(1,'a)", "(1))", "(1)x", "1,2", "('\\')"] {
            assert!(!split_row(text.as_bytes(), USUAL, &mut Vec::new()), "{text}");
        }
    }

    #[track_caller]
    fn means(literal: &[u8], modes: QuoteModes, expected: Option<&[u8]>) {
        assert_eq!(meaning(literal, modes).as_deref(), expected, "{}", String::from_utf8_lossy(literal));
    }

    #[test]
    fn values_mean_the_same_whichever_way_they_are_written() {
        means(b"NULL", USUAL, None);
        means(b"'NULL'", USUAL, Some(b"NULL"));
        means(br"'a\0\n\r\t\b\Z\\\'\x\%\_'", USUAL, Some(b"a\0\n\r\t\x08\x1a\\'x\\%\\_"));
        means(br"'it''s\'", PLAIN, Some(br"it's\"));
        means(br#""a""b""#, USUAL, Some(br#"a"b"#));
        means(b"0x00fF", USUAL, Some(&[0, 255]));
        means(b"X'00fF'", USUAL, Some(&[0, 255]));
        means(b"b'100000001'", USUAL, Some(&[1, 1]));
        means(b"_binary '\\0a'", USUAL, Some(b"\0a"));
        means(b"-0", USUAL, Some(b"-0"));
        means(b"1.50", USUAL, Some(b"1.50"));
        assert_eq!(meaning(b"0x6127", USUAL), meaning(b"'a\\''", USUAL));
        assert_ne!(meaning(b"'\\\\'", USUAL), meaning(b"'\\\\'", PLAIN));
        assert_eq!(meaning(b"'\\\\'", USUAL), meaning(b"'\\'", PLAIN));
    }

    #[test]
    fn strings_are_quoted_as_they_are_read() {
        let bytes: Vec<u8> = (0..=255).collect();
        for modes in [USUAL, PLAIN] {
            assert_eq!(meaning(&quoted(&bytes, modes), modes).unwrap(), bytes);
        }
    }

    #[test]
    fn an_insert_may_name_its_columns() {
        let columns = |text: &str| columns_of_insert(text.as_bytes(), USUAL);
        assert_eq!(columns("INSERT INTO `t` VALUES"), None);
        assert_eq!(columns("REPLACE INTO `a`.`t` (`a``b`, c) VALUES"), Some(vec![b"a`b".to_vec(), b"c".to_vec()]));
        assert_eq!(columns("INSERT  IGNORE INTO `values` (`values`) VALUES"), Some(vec![b"values".to_vec()]));
        assert_eq!(columns("INSERT INTO t (a"), None);
    }
}
