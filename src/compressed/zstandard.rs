//! ZstdReader: frames of Zstandard after one another (RFC 8878).

use std::io;

use zstd::stream::raw::{Decoder, Operation, Status};

use crate::compressed::{MAGIC_BYTES, Step, UnwrapError};

pub const MAGIC: [u8; MAGIC_BYTES] = [0x28, 0xb5, 0x2f, 0xfd];

/// Frames that hold no data begin so, but for the low half of their first byte.
const SKIPPABLE_MAGIC: [u8; MAGIC_BYTES] = [0x50, 0x2a, 0x4d, 0x18];

/// Reads frames.
#[derive(Default)]
pub struct ZstdReader {
    /// Made with the first frame.
    decoder: Option<Decoder<'static>>,
    /// The first bytes of a frame, until it is known that it is one.
    first: Vec<u8>,
    is_in_frame: bool,
}

impl ZstdReader {
    /// Takes and gives some; `at` is where `input` begins.
    pub fn step(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        if self.is_in_frame {
            let (taken, given) = self.decode(input, out, at)?;
            if self.is_in_frame || taken + given > 0 {
                return Ok(Step { taken, given });
            }
        }
        let start = at - self.first.len() as u64;
        let taken = input.len().min(MAGIC_BYTES - self.first.len());
        self.first.extend_from_slice(&input[..taken]);
        if !may_begin_frame(&self.first) {
            return Err(UnwrapError::Trailing { at: start });
        }
        if self.first.len() == MAGIC_BYTES {
            self.is_in_frame = true;
            let first = std::mem::take(&mut self.first);
            self.decode(&first, &mut [], start)?;
        }
        Ok(Step { taken, given: 0 })
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<(usize, usize), UnwrapError> {
        let failed = |error: io::Error| UnwrapError::Damaged { at: at + input.len() as u64, reason: error.to_string() };
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(failed)?),
        };
        let Status { remaining, bytes_read, bytes_written } = decoder.run_on_buffers(input, out).map_err(failed)?;
        self.is_in_frame = remaining > 0;
        Ok((bytes_read, bytes_written))
    }

    /// Whether a frame has ended, and none has begun, at the end of input that is so long.
    pub fn is_between_frames(&self, at: u64) -> Result<bool, UnwrapError> {
        let begun = self.first.len();
        // Fewer bytes than tell what they are.
        if begun > 0 && self.first[..] != MAGIC[..begun] {
            return Err(UnwrapError::Trailing { at: at - begun as u64 });
        }
        Ok(begun == 0 && !self.is_in_frame)
    }
}

fn may_begin_frame(first: &[u8]) -> bool {
    let is_skippable = first.iter().zip(SKIPPABLE_MAGIC).enumerate().all(|(at, (byte, magic))| match at {
        0 => byte & 0xf0 == magic,
        _ => *byte == magic,
    });
    is_skippable || first.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic)
}
