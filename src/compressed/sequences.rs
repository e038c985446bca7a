//! Sequences: what blocks of Zstandard (RFC 8878) are made of, read and written, and predicted.

pub mod block;
mod codes;
mod double;
mod fast;
mod fse;
mod huffman;
mod lazy;
pub mod levels;
pub mod predictor;

/// Most plain bytes of a block.
pub const BLOCK_MAX_BYTES: usize = 128 << 10;

/// Shortest copy.
pub const COPY_MIN: usize = 3;

/// Some literals, and a copy behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequence {
    pub literals: u32,
    /// Bytes of the copy, [`COPY_MIN`] at least.
    pub length: u32,
    /// From where: a distance and 3, or 1 to 3 for one of the last distances, as the format counts them.
    pub offset: u32,
}

impl Sequence {
    pub fn bytes(&self) -> usize {
        self.literals as usize + self.length as usize
    }
}

/// The last three distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent(pub [u32; 3]);

impl Default for Recent {
    fn default() -> Recent {
        Recent([1, 4, 8])
    }
}

impl Recent {
    /// The distance of the next sequence; `None` for one that cannot be.
    pub fn pass(&mut self, sequence: &Sequence) -> Option<u32> {
        let [first, second, third] = self.0;
        let shifted = sequence.offset.saturating_add(u32::from(sequence.literals == 0));
        let distance = match sequence.offset {
            0 => return None,
            4.. => sequence.offset - 3,
            _ => match shifted {
                1 => return Some(first),
                2 => second,
                3 => third,
                _ => first.checked_sub(1).filter(|distance| *distance > 0)?,
            },
        };
        self.0 = match (sequence.offset, shifted) {
            (..=3, 2) => [distance, first, third],
            _ => [distance, first, second],
        };
        Some(distance)
    }
}
