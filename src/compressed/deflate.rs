//! Deflate (RFC 1951), as far as a stream is taken apart and made again, bit by bit: blocks, and what they copy from where.

pub mod bits;
pub mod block;
mod huffman;
pub mod predictor;

/// Farthest that anything is copied from.
pub const WINDOW_BYTES: usize = 32 << 10;

pub const MATCH_MIN: usize = 3;
pub const MATCH_MAX: usize = 258;

/// One literal byte, or a copy of what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// 0 is a literal.
    pub length: u16,
    pub distance: u16,
}

impl Token {
    pub const LITERAL: Token = Token { length: 0, distance: 0 };

    /// How many bytes it stands for.
    pub fn bytes(self) -> usize {
        usize::from(self.length).max(1)
    }
}
