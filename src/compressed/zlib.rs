//! ZlibReader: one stream of zlib (RFC 1950).

use flate2::{Decompress, FlushDecompress, Status};

use crate::compressed::{Step, UnwrapError};

/// The checksum behind a stream.
pub const TRAILER_BYTES: usize = 4;

const HEADER_BYTES: usize = 2;

/// Method and flags of a header: deflate, a dictionary that stands elsewhere.
const METHOD: u8 = 0x0f;
const DEFLATE: u8 = 8;
const HAS_DICTIONARY: u8 = 0x20;

/// A header, as a number, is so many times another one.
const HEADER_FACTOR: u16 = 31;

/// How long the header is that these bytes begin with; `None` where more are needed.
pub fn header_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    match bytes {
        [method, flags, ..] => {
            let is_checked = u16::from_be_bytes([*method, *flags]).is_multiple_of(HEADER_FACTOR);
            let is_known = method & METHOD == DEFLATE && flags & HAS_DICTIONARY == 0;
            (is_checked && is_known).then_some(Some(HEADER_BYTES)).ok_or("it is no stream of zlib without a dictionary")
        }
        _ => Ok(None),
    }
}

/// Reads one stream.
pub struct ZlibReader {
    inflate: Decompress,
    has_ended: bool,
}

impl Default for ZlibReader {
    fn default() -> ZlibReader {
        ZlibReader { inflate: Decompress::new(true), has_ended: false }
    }
}

impl ZlibReader {
    /// Takes and gives some; `at` is where `input` begins.
    pub fn step(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        if self.has_ended {
            return if input.is_empty() { Ok(Step::default()) } else { Err(UnwrapError::Trailing { at }) };
        }
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, out, FlushDecompress::None);
        // Counts stay far below what `usize` holds.
        let taken = (self.inflate.total_in() - before_in) as usize;
        let given = (self.inflate.total_out() - before_out) as usize;
        let status = status.map_err(|error| UnwrapError::Damaged {
            at: at + taken as u64,
            reason: error.message().unwrap_or("no valid code").to_string(),
        })?;
        self.has_ended = status == Status::StreamEnd;
        Ok(Step { taken, given })
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}
