//! XzDecoder: a stream of xz, or four zero bytes between two of them (<https://tukaani.org/xz/xz-file-format.txt>, 2.2).

use liblzma::stream::{Action, Error, Status, Stream};

use crate::compressed::frames::{FrameDecoder, FrameStep, begins};
use crate::compressed::{MAGIC_BYTES, Step};

/// The first bytes of what every stream begins with.
pub const MAGIC: [u8; MAGIC_BYTES] = [0xfd, b'7', b'z', b'X'];

const PADDING: [u8; MAGIC_BYTES] = [0; MAGIC_BYTES];

/// What unwrapping may take; `xz -9` needs 65 MiB.
const MEMORY_MAX_BYTES: u64 = 128 << 20;

#[derive(Default)]
pub struct XzDecoder {
    /// Made with each stream.
    decoder: Option<Stream>,
}

impl FrameDecoder for XzDecoder {
    fn is_magic(first: &[u8]) -> bool {
        begins(first, MAGIC)
    }

    fn is_empty_magic(first: &[u8]) -> bool {
        begins(first, PADDING)
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<FrameStep, String> {
        if self.decoder.is_none() && input == PADDING {
            return Ok(FrameStep { step: Step { taken: input.len(), given: 0 }, is_end: true });
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Stream::new_stream_decoder(MEMORY_MAX_BYTES, 0).map_err(reason)?),
        };
        let before = [decoder.total_in(), decoder.total_out()];
        let status = decoder.process(input, out, Action::Run).map_err(reason)?;
        let after = [decoder.total_in(), decoder.total_out()];
        let is_end = status == Status::StreamEnd;
        if is_end {
            self.decoder = None;
        }
        Ok(FrameStep::between(before, after, is_end))
    }
}

fn reason(error: Error) -> String {
    match error {
        Error::MemLimit => format!("unwrapping it takes more than {} MiB of memory", MEMORY_MAX_BYTES >> 20),
        error => error.to_string(),
    }
}
