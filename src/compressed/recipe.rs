//! Recipes: how a compressed file, or an archive with compressed streams in it, is made again, bit by bit, from the plain bytes that
//! came out of it. `docs/format.md` section
//! 16 has their form.

mod block_piece;
mod cut;
mod frame;
mod gain;
mod lines;
mod maker;
mod pending;
mod piece;
mod rebuild;
mod stream;
mod window;

pub use self::maker::RecipeMaker;
pub use self::rebuild::{RecipeReader, Source};

/// What is in a stream of an archive, which is cut into pieces with their lengths in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamForm {
    /// A stream of zlib.
    Zlib,
    /// Text, of which most likely each line is a piece.
    Plain,
}

/// What every recipe begins with.
const MAGIC: [u8; 8] = *b"YFS-ORIG";

/// Of the recipe of a file of gzip; of that of an archive; of that of a file of Zstandard.
const VERSION: u8 = 1;
const ARCHIVE_VERSION: u8 = 2;
const ZSTD_VERSION: u8 = 3;

/// Longest record of a recipe.
const RECORD_MAX_BYTES: usize = 64 << 20;

/// The same of the recipe of a file of Zstandard, whose blocks are short.
const ZSTD_RECORD_MAX_BYTES: usize = 2 << 20;

/// Longest path of the file that holds the plain bytes.
const PATH_MAX_BYTES: usize = 4096;

/// What a record of a recipe tells.
mod kind {
    /// These bytes.
    pub const BYTES: u8 = 0;
    /// A stream of deflate begins, of this level.
    pub const BEGIN: u8 = 1;
    /// Blocks of the stream.
    pub const BLOCKS: u8 = 2;
    /// Nothing follows.
    pub const END: u8 = 3;
    /// So many plain bytes are passed over.
    pub const SKIP: u8 = 4;
    /// What follows is cut into pieces.
    pub const CUT: u8 = 5;
    /// What was cut ends.
    pub const CUT_END: u8 = 6;
    /// Plain bytes, of which each line is a piece.
    pub const LINES: u8 = 7;
    /// A frame of Zstandard begins, with such a search.
    pub const FRAME: u8 = 8;
    /// A block of the frame.
    pub const BLOCK: u8 = 9;
}

#[cfg(test)]
mod tests;
