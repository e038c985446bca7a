//! Compression of one chunk: the door to lz4. Which codec a chunk has stands in its record.

use std::sync::Arc;

use crate::codec::DecodeError;

/// How a chunk's payload becomes its plain bytes. Codes: `docs/format.md` section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// The payload is the plain bytes.
    Raw,
    /// One LZ4 block.
    Lz4,
    /// What the chunk copies from its bases, and what it does not (`store::delta`).
    Delta,
    /// The same as one LZ4 block behind its length.
    DeltaLz4,
}

/// A chunk is stored compressed only where that saves at least this part of it; else reading it would cost
/// a decompression for nothing.
const WORTHWHILE_SAVING_DIVISOR: usize = 16;

impl Codec {
    pub fn code(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Lz4 => 1,
            Codec::Delta => 2,
            Codec::DeltaLz4 => 4,
        }
    }

    /// The codec with this code; `None` for one that this version does not know.
    pub fn from_code(code: u8) -> Option<Codec> {
        match code {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Lz4),
            2 => Some(Codec::Delta),
            4 => Some(Codec::DeltaLz4),
            _ => None,
        }
    }

    /// Whether the payload means something only beside bases.
    pub fn is_delta(self) -> bool {
        matches!(self, Codec::Delta | Codec::DeltaLz4)
    }
}

/// Appends the payload for `plain` to `out` in whichever codec pays, and says which.
pub fn compress(plain: &[u8], out: &mut Vec<u8>) -> Codec {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    match lz4_flex::block::compress_into(plain, &mut out[start..]) {
        Ok(packed) if packed + plain.len() / WORTHWHILE_SAVING_DIVISOR <= plain.len() && packed < plain.len() => {
            out.truncate(start + packed);
            Codec::Lz4
        }
        _ => {
            out.truncate(start);
            out.extend_from_slice(plain);
            Codec::Raw
        }
    }
}

/// What one LZ4 block holds: exactly `plain_bytes`, which the caller bounds.
///
/// Made in the one piece of memory that stays: other large ones, given back at once, would scatter those that stay.
pub fn decompress(block: &[u8], plain_bytes: usize) -> Result<Arc<[u8]>, DecodeError> {
    let mut plain: Arc<[u8]> = std::iter::repeat_n(0, plain_bytes).collect();
    // Nobody else has it yet.
    let written = Arc::get_mut(&mut plain).map(|plain| lz4_flex::block::decompress_into(block, plain));
    match written {
        Some(Ok(written)) if written == plain_bytes => Ok(plain),
        Some(Err(_)) => Err(DecodeError { reason: "not an lz4 block", at: 0 }),
        _ => Err(DecodeError { reason: "lz4 gives fewer bytes than there were", at: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn payloads_come_back(plain: Vec<u8>) {
            let mut payload = Vec::new();
            match compress(&plain, &mut payload) {
                Codec::Lz4 => prop_assert_eq!(&decompress(&payload, plain.len()).unwrap()[..], plain),
                _ => prop_assert_eq!(payload, plain),
            }
        }

        #[test]
        fn garbage_never_panics(payload: Vec<u8>, plain_bytes in 0..100_000usize) {
            let _ = decompress(&payload, plain_bytes);
        }
    }

    #[test]
    fn incompressible_bytes_stay_raw() {
        let noise: Vec<u8> = (0u32..512).flat_map(|n| crate::id::hash(&n.to_le_bytes())).collect();
        assert_eq!(compress(&noise, &mut Vec::new()), Codec::Raw);
        assert_eq!(compress(&[7; 4096], &mut Vec::new()), Codec::Lz4);
    }
}
