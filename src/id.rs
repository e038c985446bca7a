//! Names of things: ids that are hashes (chunk, snapshot) and ids that are random (repository, writer).

use std::fmt;

use crate::error::{Error, Result};

/// BLAKE3 of `bytes`, 32 bytes. The only door to the hash function.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// The same of bytes that come one after the other.
#[derive(Debug, Clone, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Bytes in an id of this kind.
            pub const LEN: usize = $len;

            /// The id written in `text` as full-length lower-case hexadecimal.
            pub fn from_hex(text: &str) -> Result<Self> {
                let malformed = || Error::invalid($what, text, concat!("expected ", stringify!($len), " bytes in hexadecimal"));
                let mut bytes = [0u8; $len];
                if text.len() != 2 * $len || !text.is_ascii() {
                    return Err(malformed());
                }
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| malformed())?;
                }
                Ok($name(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                // At once: whoever lists thousands of packs or snapshots makes as many names.
                let mut text = [0u8; 2 * $len];
                for (digits, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
                    *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                }
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

define_id!(
    /// BLAKE3 of a chunk's plain bytes.
    ChunkId, 32, "chunk id"
);
define_id!(
    /// BLAKE3 of a snapshot's encoded manifest.
    SnapshotId, 32, "snapshot id"
);
define_id!(
    /// Random name of a repository, made by `init`.
    RepositoryId, 16, "repository id"
);
define_id!(
    /// Random name of one writing session; prefixes every pack and segment it makes, so no name is ever reused.
    WriterId, 8, "writer id"
);

impl ChunkId {
    /// The id of these plain bytes.
    pub fn of(bytes: &[u8]) -> ChunkId {
        ChunkId(hash(bytes))
    }
}

impl SnapshotId {
    /// Enough of the id for people: 12 hexadecimal digits.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(12);
        digits
    }
}

/// Fills a fresh id with the operating system's randomness.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|source| Error::Io {
        operation: "read random bytes from",
        path: "the operating system".into(),
        source: source.into(),
    })?;
    Ok(bytes)
}

impl RepositoryId {
    /// A new random id.
    pub fn random() -> Result<RepositoryId> {
        random().map(RepositoryId)
    }
}

impl WriterId {
    /// A new random id.
    pub fn random() -> Result<WriterId> {
        random().map(WriterId)
    }
}

/// The name of a pack or a segment: who wrote it, and its number in that writer's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterObject {
    pub writer: WriterId,
    pub number: u32,
}

impl fmt::Display for WriterObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.writer, self.number)
    }
}
