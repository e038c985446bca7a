//! Compressed files: bytes in, plain bytes out. Nothing here reads, writes or knows of a repository. The door to gzip's inflate
//! and to streams of Zstandard.

use std::fmt;

use self::gzip::GzipReader;
use self::zstandard::ZstdReader;

mod deflate;
mod gzip;
pub mod recipe;
mod zstandard;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    Gzip,
    Zstd,
}

/// So many first bytes tell how a file is compressed.
pub const MAGIC_BYTES: usize = 4;

impl Wrapping {
    /// How a file is compressed that begins so; `None` for one that is not.
    pub fn of(first: &[u8]) -> Option<Wrapping> {
        if first.starts_with(&gzip::MAGIC) {
            Some(Wrapping::Gzip)
        } else if first.starts_with(&zstandard::MAGIC) {
            Some(Wrapping::Zstd)
        } else {
            None
        }
    }

    /// How the names of such files end.
    pub fn suffix(self) -> &'static str {
        match self {
            Wrapping::Gzip => ".gz",
            Wrapping::Zstd => ".zst",
        }
    }
}

/// How much may come out of a compressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnwrapLimit {
    /// Whatever is no bomb: up to [`UNSUSPICIOUS_BYTES`], then up to [`RATIO_MAX`] times what went in.
    #[default]
    NoBomb,
    /// So many bytes.
    Bytes(u64),
}

/// So much may come out of anything.
pub const UNSUSPICIOUS_BYTES: u64 = 256 << 20;

/// More than any dump shrinks, and less than bombs do.
pub const RATIO_MAX: u64 = 200;

impl UnwrapLimit {
    fn allows(self, taken: u64, given: u64) -> bool {
        match self {
            UnwrapLimit::Bytes(most) => given <= most,
            UnwrapLimit::NoBomb => given <= UNSUSPICIOUS_BYTES || given / RATIO_MAX <= taken,
        }
    }
}

/// Why a file cannot be unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnwrapError {
    /// Behind a complete file follows something else, from there on.
    Trailing { at: u64 },
    /// Bytes somewhere before this one are not what a compressor writes, or checksums say that they are others.
    Damaged { at: u64, reason: String },
    /// More comes out than may.
    TooLarge { taken: u64, limit: UnwrapLimit },
}

impl fmt::Display for UnwrapError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnwrapError::Trailing { at } => write!(out, "what follows at byte {at} is not compressed"),
            UnwrapError::Damaged { at, reason } => write!(out, "it is damaged before byte {at}: {reason}"),
            UnwrapError::TooLarge { limit: UnwrapLimit::Bytes(most), .. } => {
                write!(out, "more than {most} bytes come out of it, and --max-unwrapped allows no more")
            }
            UnwrapError::TooLarge { taken, limit: UnwrapLimit::NoBomb } => write!(
                out,
                "more than {RATIO_MAX} times its first {taken} bytes come out of them, which looks like a bomb; \
                 --max-unwrapped says how many bytes may come out"
            ),
        }
    }
}

/// How much a step took and gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    pub taken: usize,
    pub given: usize,
}

/// Unwraps one file, which may be several compressed ones after one another.
pub struct Unwrapper {
    format: Format,
    limit: UnwrapLimit,
    /// Bytes so far, compressed and plain.
    taken: u64,
    given: u64,
}

enum Format {
    Gzip(Box<GzipReader>),
    Zstd(Box<ZstdReader>),
}

impl Unwrapper {
    pub fn new(wrapping: Wrapping, limit: UnwrapLimit) -> Unwrapper {
        let format = match wrapping {
            Wrapping::Gzip => Format::Gzip(Box::default()),
            Wrapping::Zstd => Format::Zstd(Box::default()),
        };
        Unwrapper { format, limit, taken: 0, given: 0 }
    }

    /// Takes some of `input` and gives some plain bytes. Only where it gives fewer than there is room for, and all was taken,
    /// more input is needed.
    pub fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, UnwrapError> {
        let mut done = Step::default();
        while done.given < out.len() {
            let (rest, room, at) = (&input[done.taken..], &mut out[done.given..], self.taken);
            let step = match &mut self.format {
                Format::Gzip(reader) => reader.step(rest, room, at)?,
                Format::Zstd(reader) => reader.step(rest, room, at)?,
            };
            if step == Step::default() {
                break;
            }
            done = Step { taken: done.taken + step.taken, given: done.given + step.given };
            (self.taken, self.given) = (self.taken + step.taken as u64, self.given + step.given as u64);
            if !self.limit.allows(self.taken, self.given) {
                return Err(UnwrapError::TooLarge { taken: self.taken, limit: self.limit });
            }
        }
        Ok(done)
    }

    /// Tells that nothing follows. Where something is missing, after how many bytes.
    pub fn finish(&self) -> Result<Option<u64>, UnwrapError> {
        let is_whole = match &self.format {
            Format::Gzip(reader) => reader.is_between_members(),
            Format::Zstd(reader) => reader.is_between_frames(self.taken)?,
        };
        Ok((!is_whole).then_some(self.taken))
    }
}

#[cfg(test)]
mod tests;
