//! Recipes: how a compressed file is made again, bit by bit, from the plain bytes that came out of it. `docs/format.md` section
//! 16 has their form.

mod maker;
mod piece;
mod rebuild;

pub use self::maker::RecipeMaker;
pub use self::rebuild::{RecipeReader, Source};

/// What every recipe begins with.
const MAGIC: [u8; 8] = *b"YFS-ORIG";

const VERSION: u8 = 1;

/// Longest record of a recipe.
const RECORD_MAX_BYTES: usize = 64 << 20;

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
}

#[cfg(test)]
mod tests;
