//! Compression of one chunk: the door to lz4 and zstd. Which codec a chunk has stands in its record.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::Error;

/// How a chunk's payload becomes its plain bytes. Codes: `docs/format.md` section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// The payload is the plain bytes.
    Raw,
    /// One LZ4 block.
    Lz4,
    /// What the chunk copies from its bases, and what it does not (`store::delta`).
    Delta,
    /// One Zstandard frame.
    Zstd,
    /// What [`Codec::Delta`] has, as one LZ4 block behind its length.
    DeltaLz4,
    /// The same as one Zstandard frame.
    DeltaZstd,
    /// What [`Codec::Delta`] has, without the ids that footers list (`store::listed_delta`).
    DeltaListed,
    /// A page told by differences (`store::told_page`), as one Zstandard frame.
    ToldPage,
}

/// What new chunks of a repository are compressed with. Chunks of all kinds can be read whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As fast as it goes.
    #[default]
    Lz4,
    /// Smaller and slower, by level.
    Zstd { level: u8 },
}

/// Levels beyond need more memory than one ingest may take.
const ZSTD_LEVELS: std::ops::RangeInclusive<u8> = 1..=19;

const ZSTD_DEFAULT_LEVEL: u8 = 3;

/// For lists of a repository whose data is compressed by LZ4, and for other tree pages: of these are more, and levels above save
/// little.
const LIST_LEVEL: u8 = 6;
const PAGE_LEVEL: u8 = 1;

impl Compression {
    /// What the lists that an ingest makes, and tree pages of which most is told by differences, are compressed with: lines that
    /// follow each other differ in a few numbers, which LZ4 tells in twice as many bytes.
    pub fn of_lists(self) -> Compression {
        self.or_zstd(LIST_LEVEL)
    }

    /// What all other tree pages are compressed with.
    pub fn of_pages(self) -> Compression {
        self.or_zstd(PAGE_LEVEL)
    }

    fn or_zstd(self, level: u8) -> Compression {
        match self {
            Compression::Lz4 => Compression::Zstd { level },
            Compression::Zstd { .. } => self,
        }
    }

    pub fn encode(self, out: &mut Encoder) {
        match self {
            Compression::Lz4 => out.u8(Codec::Lz4.code()),
            Compression::Zstd { level } => out.u8(Codec::Zstd.code()).u8(level),
        };
    }

    pub fn decode(input: &mut Decoder) -> Result<Compression, DecodeError> {
        match Codec::from_code(input.u8()?) {
            Some(Codec::Lz4) => Ok(Compression::Lz4),
            Some(Codec::Zstd) => match input.u8()? {
                level if ZSTD_LEVELS.contains(&level) => Ok(Compression::Zstd { level }),
                _ => input.fail("zstd has no such level"),
            },
            _ => input.fail("not a way to compress"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::Lz4 => out.write_str("lz4"),
            Compression::Zstd { level } => write!(out, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// `lz4`, `zstd` or `zstd:LEVEL`.
    fn from_str(text: &str) -> Result<Compression, Error> {
        let level = match text.split_once(':') {
            None if text == "lz4" => return Ok(Compression::Lz4),
            None if text == "zstd" => Some(ZSTD_DEFAULT_LEVEL),
            Some(("zstd", level)) => level.parse().ok().filter(|level| ZSTD_LEVELS.contains(level)),
            _ => None,
        };
        let refuse = || Error::invalid("compression", text, "it is lz4, zstd, or zstd:1 to zstd:19");
        level.map(|level| Compression::Zstd { level }).ok_or_else(refuse)
    }
}

impl Codec {
    pub fn code(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Lz4 => 1,
            Codec::Delta => 2,
            Codec::Zstd => 3,
            Codec::DeltaLz4 => 4,
            Codec::DeltaZstd => 5,
            // 6 is a group.
            Codec::DeltaListed => 7,
            Codec::ToldPage => 8,
        }
    }

    /// The codec with this code; `None` for one that this version does not know.
    pub fn from_code(code: u8) -> Option<Codec> {
        let plain = [Codec::Raw, Codec::Lz4, Codec::Zstd, Codec::ToldPage];
        let deltas = [Codec::Delta, Codec::DeltaLz4, Codec::DeltaZstd, Codec::DeltaListed];
        plain.into_iter().chain(deltas).find(|codec| codec.code() == code)
    }

    /// Whether the payload can mean something beside so many bases.
    pub fn goes_with(self, bases: usize) -> bool {
        match self {
            Codec::Raw | Codec::Lz4 | Codec::Zstd | Codec::ToldPage => bases == 0,
            Codec::Delta | Codec::DeltaLz4 | Codec::DeltaZstd => bases > 0,
            Codec::DeltaListed => true,
        }
    }
}

/// A chunk is stored compressed only where that saves at least this part of it; else reading it would cost
/// a decompression for nothing.
const WORTHWHILE_SAVING_DIVISOR: usize = 16;

/// Compresses one chunk after the other, with memory that it keeps.
#[derive(Default)]
pub struct Compressor {
    /// Lz4 without.
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Never shrinks, so that it is not filled with zeros for every chunk.
    room: Vec<u8>,
}

impl Compressor {
    pub fn new(compression: Compression) -> Compressor {
        let Compression::Zstd { level } = compression else { return Compressor::default() };
        let zstd = zstd::bulk::Compressor::new(level.into()).and_then(|mut zstd| {
            // It stands in the record already.
            zstd.include_contentsize(false).map(|()| zstd)
        });
        let warn = |error: &std::io::Error| log::warn!("using lz4 where zstd was asked for: {error}");
        Compressor { zstd: zstd.inspect_err(warn).ok(), room: Vec::new() }
    }

    /// The payload for `plain` in whichever codec pays; `plain` itself where none does.
    pub fn compress<'p>(&'p mut self, plain: &'p [u8]) -> (Codec, &'p [u8]) {
        let (codec, bound) = match self.zstd {
            None => (Codec::Lz4, lz4_flex::block::get_maximum_output_size(plain.len())),
            Some(_) => (Codec::Zstd, zstd::zstd_safe::compress_bound(plain.len())),
        };
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let packed = match &mut self.zstd {
            None => lz4_flex::block::compress_into(plain, &mut self.room).ok(),
            Some(zstd) => zstd.compress_to_buffer(plain, &mut self.room[..]).ok(),
        };
        match packed {
            Some(packed) if packed + plain.len() / WORTHWHILE_SAVING_DIVISOR <= plain.len() && packed < plain.len() => {
                (codec, &self.room[..packed])
            }
            _ => (Codec::Raw, plain),
        }
    }
}

/// How hard deltas in groups and those of pages are compressed, whatever the repository's compression: they are small.
const BODY_LEVEL: i32 = 6;

/// Compresses bodies of such deltas, with memory that it keeps.
pub struct BodyCompressor(zstd::bulk::Compressor<'static>);

impl BodyCompressor {
    pub fn new() -> std::io::Result<BodyCompressor> {
        let mut zstd = zstd::bulk::Compressor::new(BODY_LEVEL)?;
        // It stands in front of the frame.
        zstd.include_contentsize(false)?;
        Ok(BodyCompressor(zstd))
    }

    /// A Zstandard frame.
    pub fn compress(&mut self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.compress(body)
    }
}

/// What the payload of a compressed chunk holds: exactly `plain_bytes`, which the caller bounds.
pub fn decompress(codec: Codec, payload: &[u8], plain_bytes: usize) -> Result<Arc<[u8]>, DecodeError> {
    // In the one piece of memory that stays: other large ones, given back at once, would scatter those that stay.
    let mut plain: Arc<[u8]> = std::iter::repeat_n(0, plain_bytes).collect();
    // Nobody else has it yet.
    let room = Arc::get_mut(&mut plain).unwrap_or_default();
    let written = match codec {
        Codec::Lz4 | Codec::DeltaLz4 => lz4_flex::block::decompress_into(payload, room).ok(),
        Codec::Zstd | Codec::DeltaZstd | Codec::ToldPage => decompress_zstd(payload, room),
        Codec::Raw | Codec::Delta | Codec::DeltaListed => None,
    };
    match written {
        Some(written) if written == plain_bytes => Ok(plain),
        Some(_) => Err(DecodeError { reason: "it decompresses to fewer bytes than there were", at: 0 }),
        None => Err(DecodeError { reason: "its compression is broken", at: 0 }),
    }
}

fn decompress_zstd(frame: &[u8], room: &mut [u8]) -> Option<usize> {
    thread_local! {
        /// Making one takes longer than most chunks.
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Decompressor::new().ok();
        }
        kept.as_mut()?.decompress_to_buffer(frame, room).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WAYS: [Compression; 3] = [Compression::Lz4, Compression::Zstd { level: 1 }, Compression::Zstd { level: 19 }];

    proptest! {
        #[test]
        fn payloads_come_back(plains: Vec<Vec<u8>>) {
            for way in WAYS {
                let mut compressor = Compressor::new(way);
                for plain in plains.iter().chain(&[plains.concat().repeat(9)]) {
                    match compressor.compress(plain) {
                        (Codec::Raw, payload) => prop_assert_eq!(payload, plain),
                        (codec, payload) => prop_assert_eq!(&decompress(codec, payload, plain.len()).unwrap()[..], plain),
                    }
                }
            }
        }

        #[test]
        fn garbage_never_panics(payload: Vec<u8>, plain_bytes in 0..100_000usize) {
            let frame = [&[0x28, 0xb5, 0x2f, 0xfd], &payload[..]].concat();
            for codec in (0..=u8::MAX).filter_map(Codec::from_code) {
                let _ = (decompress(codec, &payload, plain_bytes), decompress(codec, &frame, plain_bytes));
            }
        }
    }

    #[test]
    fn incompressible_bytes_stay_raw() {
        let noise: Vec<u8> = (0u32..512).flat_map(|n| crate::id::hash(&n.to_le_bytes())).collect();
        for (way, codec) in WAYS.into_iter().zip([Codec::Lz4, Codec::Zstd, Codec::Zstd]) {
            let mut compressor = Compressor::new(way);
            assert_eq!(compressor.compress(&noise), (Codec::Raw, &noise[..]));
            assert_eq!(compressor.compress(&[7; 4096]).0, codec);
        }
    }

    #[test]
    fn more_or_fewer_bytes_than_promised_are_damage() {
        for way in WAYS {
            let mut compressor = Compressor::new(way);
            let (codec, payload) = compressor.compress(&[7; 4096]);
            for promised in [0, 4095, 4097] {
                assert!(decompress(codec, payload, promised).is_err(), "{codec:?} {promised}");
            }
        }
    }

    #[test]
    fn ways_to_compress_are_read_as_they_are_printed() {
        for way in WAYS {
            assert_eq!(way.to_string().parse::<Compression>().unwrap(), way);
            let mut out = Encoder::new();
            way.encode(&mut out);
            assert_eq!(Compression::decode(&mut Decoder::new(&out.bytes)), Ok(way));
        }
        assert_eq!("zstd".parse::<Compression>().unwrap(), Compression::Zstd { level: 3 });
        for wrong in ["", "lz4:1", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zip", "ZSTD"] {
            let error = wrong.parse::<Compression>().unwrap_err().to_string();
            assert!(error.contains("zstd:1 to zstd:19"), "{error}");
        }
        assert!(Compression::decode(&mut Decoder::new(&[3, 20])).is_err());
        assert!(Compression::decode(&mut Decoder::new(&[2])).is_err());
    }
}
