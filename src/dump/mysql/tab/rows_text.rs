//! RowsText: the rows of one table, made into statements.

use crate::dump::mysql::tab::form::{Field, FieldForm};
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
                let (mut digits, mut count) = (vec![0; text.len()], 0);
                for &byte in text {
                    // Without a branch, which nobody could guess.
                    digits[count] = byte;
                    count += usize::from(!byte.is_ascii_whitespace());
                }
                decode_base64(&digits[..count])
            }
            Decoding::Hexadecimal => decode_hexadecimal(text),
        }
    }
}

/// What stands for no digit.
const NO_DIGIT: u8 = 0xff;

/// What each byte stands for as a digit.
const fn digits(in_order: &[u8]) -> [u8; 256] {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < in_order.len() {
        digits[in_order[value] as usize] = value as u8;
        value += 1;
    }
    digits
}

const HEXADECIMAL: [u8; 256] = {
    let mut values = digits(b"0123456789abcdef");
    let mut value = 10;
    while value < 16 {
        values[(b'A' + value - 10) as usize] = value;
        value += 1;
    }
    values
};

const BASE64: [u8; 256] = digits(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

fn decode_hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let mut all = 0;
    let pair = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| HEXADECIMAL[usize::from(digit)]);
        all |= high | low;
        high << 4 | low
    };
    let bytes = pairs.iter().map(pair).collect();
    (all != NO_DIGIT && rest.is_empty()).then_some(bytes)
}

fn decode_base64(digits: &[u8]) -> Option<Vec<u8>> {
    let padding = digits.iter().rev().take_while(|digit| **digit == b'=').count();
    if !digits.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let mut all = 0;
    for four in digits[..digits.len() - padding].chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let value = four.get(place).map_or(0, |digit| BASE64[usize::from(*digit)]);
            all |= value;
            bits = bits << 6 | u32::from(value & 0x3f);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    (all != NO_DIGIT).then_some(bytes)
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
        let are_any = decodings.iter().any(Option::is_some);
        RowsText { rows, writer, decodings: if are_any { decodings } else { Vec::new() }, title }
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
            if !title.is_empty() {
                text.append(title);
            }
            fault = push_row(writer, decodings, (form, row, fields), text).err();
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

/// Adds a row, whose values stand there in it, to the text; says what is wrong with it where nothing was added.
fn push_row(
    writer: &mut InsertWriter,
    decodings: &[Option<Decoding>],
    (form, row, fields): (&FieldForm, &[u8], &[Field]),
    text: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    let start = text.len();
    writer.begin_row(fields.len(), text)?;
    if !decodings.is_empty() || !writer.push_digits(row, fields, text) {
        for (number, field) in fields.iter().enumerate() {
            let decoding = decodings.get(number).copied().flatten();
            if let (Some(bytes), None) = (form.plain_value(row, field), decoding) {
                writer.push_plain(number, bytes, text);
                continue;
            }
            match (form.value(row, field), decoding) {
                (Some(value), Some(decoding)) => {
                    let Some(bytes) = decoding.decode(&value) else {
                        text.truncate(start);
                        return Err(format!("value {} of a row is not written as it should be", number + 1));
                    };
                    writer.push_value(number, Some(&bytes), text);
                }
                (Some(value), None) => writer.push_value(number, Some(&value), text),
                (None, _) => writer.push_value(number, None, text),
            }
        }
    }
    writer.end_row(start, text);
    Ok(())
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
