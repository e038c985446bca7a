//! ZstdDecoder: a frame of Zstandard (RFC 8878).

use std::io;

use zstd::stream::raw::{Decoder, Operation, Status};

use crate::compressed::frames::{FrameDecoder, FrameStep, begins, begins_skippable};
use crate::compressed::{MAGIC_BYTES, Step};

pub const MAGIC: [u8; MAGIC_BYTES] = [0x28, 0xb5, 0x2f, 0xfd];

#[derive(Default)]
pub struct ZstdDecoder {
    /// Made with the first frame.
    decoder: Option<Decoder<'static>>,
}

impl FrameDecoder for ZstdDecoder {
    fn is_magic(first: &[u8]) -> bool {
        begins(first, MAGIC)
    }

    fn is_empty_magic(first: &[u8]) -> bool {
        begins_skippable(first)
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<FrameStep, String> {
        let failed = |error: io::Error| error.to_string();
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(failed)?),
        };
        let Status { remaining, bytes_read, bytes_written } = decoder.run_on_buffers(input, out).map_err(failed)?;
        Ok(FrameStep { step: Step { taken: bytes_read, given: bytes_written }, is_end: remaining == 0 })
    }
}
