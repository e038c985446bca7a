//! RowsText: the rows of one table, made into statements.

use std::borrow::Cow;

use crate::dump::mysql::tab::insert::InsertWriter;
use crate::dump::mysql::tab::rows::TabRows;
use crate::dump::name::file_name;
use crate::dump::unpack::{Output, Tell};
use crate::error::Result;

/// Bytes of statements that are made before they are given.
const TEXT_BYTES: usize = 64 << 10;

/// How values stand in a file that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    Base64,
    Hexadecimal,
}

impl Decoding {
    /// The bytes that a value stands for; `None` where it is written in another way.
    pub fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Decoding::Base64 => {
                let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
                decode_base64(&digits)
            }
            Decoding::Hexadecimal => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let pairs = text.chunks(2).map(|two| match two {
                    [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
                    _ => None,
                });
                pairs.collect()
            }
        }
    }
}

fn decode_base64(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let padding = digits.iter().rev().take_while(|digit| **digit == b'=').count();
    if !digits.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for four in digits[..digits.len() - padding].chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            bits = bits << 6 | u32::from(four.get(place).map_or(Some(0), |digit| value(*digit))?);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

/// Makes statements of rows, which may be in several files.
pub struct RowsText {
    rows: TabRows,
    writer: InsertWriter,
    /// How the values of each column are written, from the first on.
    decodings: Vec<Option<Decoding>>,
    /// What comes before the first row.
    title: Vec<u8>,
}

impl RowsText {
    pub fn new(table: &[u8], rows: TabRows, writer: InsertWriter, decodings: Vec<Option<Decoding>>) -> RowsText {
        // What shows in it is no matter: the statement behind it has the name.
        let shown = file_name(table, "");
        let title = [&b"\n--\n-- Dumping data for table `"[..], &shown, b"`\n--\n\n"].concat();
        RowsText { rows, writer, decodings, title }
    }

    /// Takes the next bytes, and appends statements to `text`, which is told where it gets long; tells what is wrong with a row. Then
    /// nothing more can be taken.
    pub fn push(&mut self, piece: &[u8], text: &mut Vec<u8>, tell: &mut Tell) -> Result<Option<String>> {
        let RowsText { rows, writer, decodings, title } = self;
        let mut fault = None;
        let is_short = rows.push(piece, &mut |form, row, fields| -> Result<()> {
            if fault.is_some() {
                return Ok(());
            }
            text.append(title);
            let values: Vec<_> = fields.iter().map(|field| form.value(row, field)).collect();
            fault = decoded(values, decodings).and_then(|values| writer.push(&values, text)).err();
            if text.len() > TEXT_BYTES {
                tell(Output::Text(text))?;
                text.clear();
            }
            Ok(())
        })?;
        Ok(if is_short { fault } else { Some("a row is longer than any can be".into()) })
    }

    /// Whether the bytes so far end with a row.
    pub fn is_between(&self) -> bool {
        self.rows.is_between()
    }

    /// Ends the statements.
    pub fn finish(mut self, text: &mut Vec<u8>) {
        self.writer.finish(text);
    }
}

type Values<'v> = Vec<Option<Cow<'v, [u8]>>>;

fn decoded<'v>(mut values: Values<'v>, decodings: &[Option<Decoding>]) -> std::result::Result<Values<'v>, String> {
    for (number, (value, decoding)) in values.iter_mut().zip(decodings).enumerate() {
        if let (Some(text), Some(decoding)) = (value.as_ref(), decoding) {
            let bytes = decoding.decode(text);
            let bytes = bytes.ok_or_else(|| format!("value {} of a row is not written as it should be", number + 1))?;
            *value = Some(Cow::Owned(bytes));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let decodes = |decoding: Decoding, text: &str, bytes: &[u8]| {
            assert_eq!(decoding.decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        };
        decodes(Decoding::Base64, "", b"");
        decodes(Decoding::Base64, "AP8=", b"\0\xff");
        decodes(Decoding::Base64, "AA==", b"\0");
        decodes(Decoding::Base64, "+/+\n/YWJj", b"\xfb\xff\xbfabc");
        decodes(Decoding::Hexadecimal, "00fFaB", b"\0\xff\xab");
        for text in ["A", "AA=", "====", "A=A=", "AA-_", "A\u{e4}=="] {
            assert_eq!(Decoding::Base64.decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Decoding::Hexadecimal.decode(b"0"), None);
        assert_eq!(Decoding::Hexadecimal.decode(b"0g"), None);
    }
}
