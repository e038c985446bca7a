//! GzipReader: members of gzip after one another (RFC 1952).

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::compressed::{Step, UnwrapError};

pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Longest header of a member; it may hold names and comments.
const HEADER_MAX_BYTES: usize = 256 << 10;

const FIXED_HEADER_BYTES: usize = 10;
pub const TRAILER_BYTES: usize = 8;

const DEFLATE: u8 = 8;

/// Bits of a header's flags.
const HAS_CHECKSUM: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED_FLAGS: u8 = 0xe0;

/// Reads members.
pub struct GzipReader {
    place: Place,
    /// What came of a header or a trailer.
    gathered: Vec<u8>,
    inflate: Decompress,
    checksum: Crc,
    members: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
    Trailer,
}

impl Default for GzipReader {
    fn default() -> GzipReader {
        GzipReader {
            place: Place::Header,
            gathered: Vec::new(),
            inflate: Decompress::new(false),
            checksum: Crc::new(),
            members: 0,
        }
    }
}

impl GzipReader {
    /// Takes and gives some; `at` is where `input` begins.
    pub fn step(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        match self.place {
            Place::Header => self.header(input, at),
            Place::Body => self.body(input, out, at),
            Place::Trailer => self.trailer(input, at),
        }
    }

    /// Whether a member has ended, and none has begun.
    pub fn is_between_members(&self) -> bool {
        self.place == Place::Header && self.gathered.is_empty()
    }

    fn header(&mut self, input: &[u8], at: u64) -> Result<Step, UnwrapError> {
        let before = self.gathered.len();
        let start = at - before as u64;
        let more = input.len().min(HEADER_MAX_BYTES - before);
        self.gathered.extend_from_slice(&input[..more]);
        if self.members > 0 && self.gathered.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
            return Err(UnwrapError::Trailing { at: start });
        }
        let length = header_length(&self.gathered).map_err(|reason| damaged(start, reason))?;
        let Some(length) = length else {
            return match more {
                0 if !input.is_empty() => Err(damaged(start, "its header does not end")),
                _ => Ok(Step { taken: more, given: 0 }),
            };
        };
        self.gathered.clear();
        self.place = Place::Body;
        Ok(Step { taken: length - before, given: 0 })
    }

    fn body(&mut self, input: &[u8], out: &mut [u8], at: u64) -> Result<Step, UnwrapError> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, out, FlushDecompress::None);
        // Counts stay far below what `usize` holds.
        let taken = (self.inflate.total_in() - before_in) as usize;
        let given = (self.inflate.total_out() - before_out) as usize;
        let status = status.map_err(|error| damaged(at + taken as u64, error.message().unwrap_or("no valid code")))?;
        self.checksum.update(&out[..given]);
        if status != Status::StreamEnd {
            return Ok(Step { taken, given });
        }
        self.place = Place::Trailer;
        let more = self.trailer(&input[taken..], at + taken as u64)?;
        Ok(Step { taken: taken + more.taken, given })
    }

    fn trailer(&mut self, input: &[u8], at: u64) -> Result<Step, UnwrapError> {
        let taken = input.len().min(TRAILER_BYTES - self.gathered.len());
        self.gathered.extend_from_slice(&input[..taken]);
        if let Ok(trailer) = <[u8; TRAILER_BYTES]>::try_from(&self.gathered[..]) {
            let sums = [self.checksum.sum().to_le_bytes(), self.checksum.amount().to_le_bytes()].concat();
            if trailer[..4] != sums[..4] {
                return Err(damaged(at + taken as u64, "its bytes do not match their checksum"));
            }
            if trailer[4..] != sums[4..] {
                return Err(damaged(at + taken as u64, "it does not have the length that it tells"));
            }
            *self = GzipReader { members: self.members + 1, ..GzipReader::default() };
        }
        Ok(Step { taken, given: 0 })
    }
}

/// Bytes of the header that this begins with, if it is all there.
pub fn header_length(header: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(fixed) = header.get(..FIXED_HEADER_BYTES) else { return Ok(None) };
    if fixed[2] != DEFLATE {
        return Err("it is compressed in an unknown way");
    }
    let flags = fixed[3];
    if flags & RESERVED_FLAGS != 0 {
        return Err("its header has unknown flags");
    }
    let mut end = FIXED_HEADER_BYTES;
    if flags & HAS_EXTRA != 0 {
        let Some(&[low, high]) = header.get(end..end + 2) else { return Ok(None) };
        end += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let rest = header.get(end..).unwrap_or_default();
            let Some(length) = rest.iter().position(|&byte| byte == 0) else { return Ok(None) };
            end += length + 1;
        }
    }
    if flags & HAS_CHECKSUM != 0 {
        end += 2;
    }
    Ok(Some(end).filter(|&end| end <= header.len()))
}

fn damaged(at: u64, reason: &str) -> UnwrapError {
    UnwrapError::Damaged { at, reason: reason.into() }
}
