//! Fields: the numbers and texts that an archive is written in, taken from bytes of which more may come.

/// A number has a byte for its sign, and no more than so many others.
const NUMBER_MAX_BYTES: usize = 8;

/// Why a field cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldError {
    /// More bytes are needed.
    More,
    /// It is none, for this reason.
    Wrong(&'static str),
}

pub type FieldResult<T> = Result<T, FieldError>;

/// Takes fields.
#[derive(Debug, Clone)]
pub struct Fields<'b> {
    bytes: &'b [u8],
    /// Bytes that were taken.
    pub at: usize,
    /// Bytes of a number, besides its sign.
    pub number_bytes: usize,
}

impl<'b> Fields<'b> {
    pub fn new(bytes: &'b [u8], number_bytes: usize) -> Fields<'b> {
        Fields { bytes, at: 0, number_bytes }
    }

    pub fn take(&mut self, count: usize) -> FieldResult<&'b [u8]> {
        let taken = self.bytes[self.at..].get(..count).ok_or(FieldError::More)?;
        self.at += count;
        Ok(taken)
    }

    pub fn byte(&mut self) -> FieldResult<u8> {
        Ok(self.take(1)?[0])
    }

    /// A number: its sign, and its bytes, the lowest first.
    pub fn number(&mut self) -> FieldResult<i64> {
        if !(1..=NUMBER_MAX_BYTES).contains(&self.number_bytes) {
            return Err(FieldError::Wrong("its numbers have no known length"));
        }
        let field = self.take(1 + self.number_bytes)?;
        let (sign, bytes) = (field[0], &field[1..]);
        let value = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let value = i64::try_from(value).map_err(|_| FieldError::Wrong("it has a number that is too large"))?;
        Ok(if sign == 0 { value } else { -value })
    }

    /// A number that numbers something, or counts bytes.
    pub fn count(&mut self) -> FieldResult<u32> {
        u32::try_from(self.number()?).map_err(|_| FieldError::Wrong("it has a number that is out of range"))
    }

    /// Where a text lies among the bytes; `None` for none at all.
    pub fn text(&mut self, length_max: usize) -> FieldResult<Option<&'b [u8]>> {
        let length = self.number()?;
        if length < 0 {
            return Ok(None);
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= length_max);
        self.take(length.ok_or(FieldError::Wrong("it has a text that is too long"))?).map(Some)
    }
}
