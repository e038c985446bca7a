//! BzipDecoder: a stream of bzip2.

use bzip2::{Decompress, Status};

use crate::compressed::frames::{FrameDecoder, FrameStep};

/// Before a digit that tells how large blocks are.
pub const MAGIC: &[u8; 3] = b"BZh";

#[derive(Default)]
pub struct BzipDecoder {
    /// Made with each stream.
    decoder: Option<Decompress>,
}

impl FrameDecoder for BzipDecoder {
    fn is_magic(first: &[u8]) -> bool {
        let is_digit = first.get(MAGIC.len()).is_none_or(|digit| (b'1'..=b'9').contains(digit));
        is_digit && first.iter().zip(MAGIC).all(|(byte, magic)| byte == magic)
    }

    fn is_empty_magic(_: &[u8]) -> bool {
        false
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<FrameStep, String> {
        let decoder = self.decoder.get_or_insert_with(|| Decompress::new(false));
        let before = [decoder.total_in(), decoder.total_out()];
        let status = decoder.decompress(input, out).map_err(|error| error.to_string())?;
        let after = [decoder.total_in(), decoder.total_out()];
        let is_end = status == Status::StreamEnd;
        if is_end {
            self.decoder = None;
        }
        Ok(FrameStep::between(before, after, is_end))
    }
}
