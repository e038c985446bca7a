//! Compressed files: bytes in, plain bytes out. Nothing here reads, writes or knows of a repository. The door to what inflates gzip,
//! zlib, bzip2 and xz, and to streams of Zstandard and LZ4.

use std::fmt;

use self::bzip::BzipDecoder;
use self::frames::{FrameDecoder, FrameReader};
use self::gzip::GzipReader;
use self::lz4::Lz4Decoder;
use self::xz::XzDecoder;
use self::zlib::ZlibReader;
use self::zstandard::ZstdDecoder;

mod bzip;
mod deflate;
mod frames;
mod gzip;
mod lz4;
pub mod recipe;
mod sequences;
mod xz;
mod zlib;
mod zstandard;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Lz4,
}

/// So many first bytes tell how a file is compressed.
pub const MAGIC_BYTES: usize = 4;

impl Wrapping {
    pub const ALL: [Wrapping; 5] = [Wrapping::Gzip, Wrapping::Zstd, Wrapping::Bzip2, Wrapping::Xz, Wrapping::Lz4];

    /// How a file is compressed that begins so; `None` for one that is not.
    pub fn of(first: &[u8]) -> Option<Wrapping> {
        let is_whole = first.len() >= MAGIC_BYTES;
        Wrapping::ALL.into_iter().find(|wrapping| match wrapping {
            Wrapping::Gzip => first.starts_with(&gzip::MAGIC),
            Wrapping::Zstd => is_whole && ZstdDecoder::is_magic(&first[..MAGIC_BYTES]),
            Wrapping::Bzip2 => is_whole && BzipDecoder::is_magic(&first[..MAGIC_BYTES]),
            Wrapping::Xz => is_whole && XzDecoder::is_magic(&first[..MAGIC_BYTES]),
            Wrapping::Lz4 => is_whole && Lz4Decoder::is_magic(&first[..MAGIC_BYTES]),
        })
    }

    /// How the names of such files end.
    pub fn suffix(self) -> &'static str {
        match self {
            Wrapping::Gzip => ".gz",
            Wrapping::Zstd => ".zst",
            Wrapping::Bzip2 => ".bz2",
            Wrapping::Xz => ".xz",
            Wrapping::Lz4 => ".lz4",
        }
    }

    /// The name of a file without what tells how it is compressed, and that.
    pub fn split_name(name: &[u8]) -> (&[u8], Option<Wrapping>) {
        let told = Wrapping::ALL.into_iter().find_map(|it| Some((name.strip_suffix(it.suffix().as_bytes())?, it)));
        told.map_or((name, None), |(plain, wrapping)| (plain, Some(wrapping)))
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
    /// Whether so many bytes may have come out of so many.
    pub fn allows(self, taken: u64, given: u64) -> bool {
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
    Zlib(Box<ZlibReader>),
    Zstd(Box<FrameReader<ZstdDecoder>>),
    Bzip2(Box<FrameReader<BzipDecoder>>),
    Xz(Box<FrameReader<XzDecoder>>),
    Lz4(Box<FrameReader<Lz4Decoder>>),
}

impl Unwrapper {
    pub fn new(wrapping: Wrapping, limit: UnwrapLimit) -> Unwrapper {
        let format = match wrapping {
            Wrapping::Gzip => Format::Gzip(Box::default()),
            Wrapping::Zstd => Format::Zstd(Box::default()),
            Wrapping::Bzip2 => Format::Bzip2(Box::default()),
            Wrapping::Xz => Format::Xz(Box::default()),
            Wrapping::Lz4 => Format::Lz4(Box::default()),
        };
        Unwrapper { format, limit, taken: 0, given: 0 }
    }

    /// Unwraps one stream of zlib, which is no file by itself.
    pub fn of_zlib(limit: UnwrapLimit) -> Unwrapper {
        Unwrapper { format: Format::Zlib(Box::default()), limit, taken: 0, given: 0 }
    }

    /// Takes some of `input` and gives some plain bytes. Only where it gives fewer than there is room for, and all was taken,
    /// more input is needed.
    pub fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, UnwrapError> {
        let mut done = Step::default();
        while done.given < out.len() {
            let (rest, room, at) = (&input[done.taken..], &mut out[done.given..], self.taken);
            let step = match &mut self.format {
                Format::Gzip(reader) => reader.step(rest, room, at)?,
                Format::Zlib(reader) => reader.step(rest, room, at)?,
                Format::Zstd(reader) => reader.step(rest, room, at)?,
                Format::Bzip2(reader) => reader.step(rest, room, at)?,
                Format::Xz(reader) => reader.step(rest, room, at)?,
                Format::Lz4(reader) => reader.step(rest, room, at)?,
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
            Format::Zlib(reader) => reader.has_ended(),
            Format::Zstd(reader) => reader.is_between_frames(self.taken)?,
            Format::Bzip2(reader) => reader.is_between_frames(self.taken)?,
            Format::Xz(reader) => reader.is_between_frames(self.taken)?,
            Format::Lz4(reader) => reader.is_between_frames(self.taken)?,
        };
        Ok((!is_whole).then_some(self.taken))
    }
}

#[cfg(test)]
mod tests;
