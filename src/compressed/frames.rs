//! Frames: compressed files after one another, each of which begins with four bytes that tell what it is.

use crate::compressed::{MAGIC_BYTES, Step, UnwrapError};

/// What reads one frame after the other.
pub trait FrameDecoder: Default {
    /// Whether frames may begin so; with fewer than four bytes, whether any may.
    fn is_magic(first: &[u8]) -> bool;

    /// Whether frames that hold nothing may begin so.
    fn is_empty_magic(first: &[u8]) -> bool;

    /// Takes some of `input`, which begins a frame or goes on in one, and gives some. It never takes what is behind the frame.
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<FrameStep, String>;
}

/// How much a step in a frame took and gave, and whether the frame has ended.
#[derive(Debug, Clone, Copy)]
pub struct FrameStep {
    pub step: Step,
    pub is_end: bool,
}

impl FrameStep {
    /// One between two counts of bytes that were taken and given in all.
    pub fn between(before: [u64; 2], after: [u64; 2], is_end: bool) -> FrameStep {
        // No more than the slices of a step hold.
        let [taken, given] = [0, 1].map(|count| (after[count] - before[count]) as usize);
        FrameStep { step: Step { taken, given }, is_end }
    }
}

/// Reads frames.
#[derive(Default)]
pub struct FrameReader<D> {
    decoder: D,
    /// The first bytes of a frame, until it is known that it is one.
    first: Vec<u8>,
    is_in_frame: bool,
}

impl<D: FrameDecoder> FrameReader<D> {
    /// Takes and gives some; `at` is where `input` begins.
    pub fn step(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        if self.is_in_frame {
            let step = self.decode(input, out, at)?;
            if self.is_in_frame || step != Step::default() {
                return Ok(step);
            }
        }
        let start = at - self.first.len() as u64;
        let taken = input.len().min(MAGIC_BYTES - self.first.len());
        self.first.extend_from_slice(&input[..taken]);
        if !D::is_magic(&self.first) && !D::is_empty_magic(&self.first) {
            return Err(UnwrapError::Trailing { at: start });
        }
        if self.first.len() == MAGIC_BYTES {
            self.is_in_frame = true;
            let first = std::mem::take(&mut self.first);
            let step = self.decode(&first, &mut [], start)?;
            if step.taken < first.len() {
                return Err(UnwrapError::Damaged { at: start, reason: "its first bytes cannot be read".into() });
            }
        }
        Ok(Step { taken, given: 0 })
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        let failed = |reason| UnwrapError::Damaged { at: at + input.len() as u64, reason };
        let FrameStep { step, is_end } = self.decoder.decode(input, out).map_err(failed)?;
        self.is_in_frame = !is_end;
        Ok(step)
    }

    /// Whether a frame has ended, and none has begun, at the end of input that is so long.
    pub fn is_between_frames(&self, at: u64) -> Result<bool, UnwrapError> {
        let begun = self.first.len();
        // Fewer bytes than tell what they are.
        if begun > 0 && !D::is_magic(&self.first) {
            return Err(UnwrapError::Trailing { at: at - begun as u64 });
        }
        Ok(begun == 0 && !self.is_in_frame)
    }
}

/// Whether these may be the first bytes of such a magic number.
pub fn begins(first: &[u8], magic: [u8; MAGIC_BYTES]) -> bool {
    first.iter().zip(magic).all(|(byte, of_magic)| *byte == of_magic)
}

/// Frames of Zstandard and LZ4 that hold no data begin so, but for the low half of their first byte (RFC 8878, 3.1.2).
const SKIPPABLE_MAGIC: [u8; MAGIC_BYTES] = [0x50, 0x2a, 0x4d, 0x18];

/// Whether these may be the first bytes of a frame that is to be skipped.
pub fn begins_skippable(first: &[u8]) -> bool {
    let masked: Vec<u8> =
        first.iter().enumerate().map(|(at, byte)| if at == 0 { byte & 0xf0 } else { *byte }).collect();
    begins(&masked, SKIPPABLE_MAGIC)
}
