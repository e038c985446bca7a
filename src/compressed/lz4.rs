//! Lz4Decoder: a frame of LZ4 (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>, 1.6.4).

use std::hash::Hasher;

use twox_hash::XxHash32;

use crate::compressed::frames::{FrameDecoder, FrameStep, begins, begins_skippable};
use crate::compressed::{MAGIC_BYTES, Step};

pub const MAGIC: [u8; MAGIC_BYTES] = [0x04, 0x22, 0x4d, 0x18];

/// Blocks refer to so much before them, where they are not independent.
const WINDOW_BYTES: usize = 64 << 10;

/// Bits of the first byte of a descriptor, whose highest two are the version.
const VERSION: u8 = 0b0100_0000;
const VERSION_BITS: u8 = 0b1100_0000;
const ARE_INDEPENDENT: u8 = 0b10_0000;
const HAS_BLOCK_CHECKSUMS: u8 = 0b1_0000;
const HAS_SIZE: u8 = 0b1000;
const HAS_CHECKSUM: u8 = 0b100;
const RESERVED_BIT: u8 = 0b10;
const HAS_DICTIONARY: u8 = 1;

/// Bytes of a descriptor that tell how long it is.
const FLAGS_BYTES: usize = 2;

const CHECKSUM_BYTES: usize = 4;

/// The bit of a block's length that tells that it is not compressed.
const IS_PLAIN: u32 = 1 << 31;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Magic,
    Flags,
    Descriptor,
    BlockLength,
    Block {
        length: usize,
        is_plain: bool,
    },
    Checksum,
    SkippedLength,
    Skipped,
}

#[derive(Default)]
pub struct Lz4Decoder {
    place: Place,
    /// What came of what is next.
    gathered: Vec<u8>,
    /// Bytes of a frame that is skipped, still to come.
    to_skip: u64,
    flags: u8,
    block_max_bytes: usize,
    /// What the frame says that it holds.
    size: Option<u64>,
    checksum: Option<XxHash32>,
    /// The end of what came before, and what came of the last block, of which what begins at `given` was not given yet.
    window: Vec<u8>,
    given: usize,
    total: u64,
}

impl FrameDecoder for Lz4Decoder {
    fn is_magic(first: &[u8]) -> bool {
        begins(first, MAGIC)
    }

    fn is_empty_magic(first: &[u8]) -> bool {
        begins_skippable(first)
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<FrameStep, String> {
        let mut step = Step::default();
        loop {
            step.given += self.give(&mut out[step.given..]);
            if self.given < self.window.len() {
                return Ok(FrameStep { step, is_end: false });
            }
            let rest = &input[step.taken..];
            if self.place == Place::Skipped {
                let skipped = self.to_skip.min(rest.len() as u64);
                self.to_skip -= skipped;
                step.taken += skipped as usize;
                let is_end = self.to_skip == 0;
                if is_end {
                    *self = Lz4Decoder::default();
                }
                return Ok(FrameStep { step, is_end });
            }
            let wanted = self.wanted_bytes() - self.gathered.len();
            let taken = wanted.min(rest.len());
            self.gathered.extend_from_slice(&rest[..taken]);
            step.taken += taken;
            if taken < wanted {
                return Ok(FrameStep { step, is_end: false });
            }
            if self.advance()? {
                *self = Lz4Decoder::default();
                return Ok(FrameStep { step, is_end: true });
            }
        }
    }
}

impl Lz4Decoder {
    fn give(&mut self, out: &mut [u8]) -> usize {
        let waiting = &self.window[self.given..];
        let given = waiting.len().min(out.len());
        out[..given].copy_from_slice(&waiting[..given]);
        self.given += given;
        given
    }

    fn wanted_bytes(&self) -> usize {
        let when = |bit: u8, bytes: usize| if self.flags & bit != 0 { bytes } else { 0 };
        match self.place {
            Place::Magic => MAGIC_BYTES,
            Place::Flags => FLAGS_BYTES,
            Place::Descriptor => FLAGS_BYTES + when(HAS_SIZE, 8) + when(HAS_DICTIONARY, 4) + 1,
            Place::BlockLength | Place::SkippedLength => 4,
            Place::Block { length, .. } => length + when(HAS_BLOCK_CHECKSUMS, CHECKSUM_BYTES),
            Place::Checksum => CHECKSUM_BYTES,
            Place::Skipped => 0,
        }
    }

    /// Reads what was gathered, which is all of it. Tells whether the frame ends with it.
    fn advance(&mut self) -> Result<bool, String> {
        if self.place == Place::Flags {
            self.read_flags()?;
            return Ok(false);
        }
        let gathered = std::mem::take(&mut self.gathered);
        match self.place {
            Place::Magic if gathered == MAGIC => self.place = Place::Flags,
            Place::Magic => self.place = Place::SkippedLength,
            Place::Descriptor => self.read_descriptor(&gathered)?,
            Place::BlockLength => return self.read_block_length(number(&gathered)),
            Place::Block { length, is_plain } => self.read_block(gathered, length, is_plain)?,
            Place::SkippedLength => {
                self.to_skip = number(&gathered).into();
                self.place = Place::Skipped;
            }
            Place::Checksum => return self.check_sum(number(&gathered)),
            Place::Flags | Place::Skipped => {}
        }
        Ok(false)
    }

    /// They stay where they are: the descriptor's checksum is of them too.
    fn read_flags(&mut self) -> Result<(), String> {
        self.flags = self.gathered[0];
        if self.flags & VERSION_BITS != VERSION || self.flags & RESERVED_BIT != 0 {
            return Err("it is of an unknown version".into());
        }
        if self.flags & HAS_DICTIONARY != 0 {
            return Err("it was compressed with a dictionary, which is not known here".into());
        }
        self.block_max_bytes = match self.gathered[1] >> 4 & 7 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err("its blocks are of no known size".into()),
        };
        self.checksum = (self.flags & HAS_CHECKSUM != 0).then(|| XxHash32::with_seed(0));
        self.place = Place::Descriptor;
        Ok(())
    }

    fn read_descriptor(&mut self, descriptor: &[u8]) -> Result<(), String> {
        let (descriptor, sum) = descriptor.split_at(descriptor.len() - 1);
        if (XxHash32::oneshot(0, descriptor) >> 8) as u8 != sum[0] {
            return Err("its header does not match its checksum".into());
        }
        self.size =
            descriptor.get(FLAGS_BYTES..FLAGS_BYTES + 8).and_then(|size| size.try_into().ok()).map(u64::from_le_bytes);
        self.place = Place::BlockLength;
        Ok(())
    }

    /// Tells whether there is no block any more, and nothing behind the last.
    fn read_block_length(&mut self, told: u32) -> Result<bool, String> {
        if told == 0 {
            if self.size.is_some_and(|size| size != self.total) {
                return Err("it does not have the length that it tells".into());
            }
            self.place = Place::Checksum;
            return Ok(self.checksum.is_none());
        }
        let length = (told & !IS_PLAIN) as usize;
        if length > self.block_max_bytes {
            return Err("a block is longer than it may be".into());
        }
        self.place = Place::Block { length, is_plain: told & IS_PLAIN != 0 };
        Ok(false)
    }

    fn read_block(&mut self, mut block: Vec<u8>, length: usize, is_plain: bool) -> Result<(), String> {
        let sum = block.split_off(length);
        if !sum.is_empty() && XxHash32::oneshot(0, &block) != number(&sum) {
            return Err("a block does not match its checksum".into());
        }
        let kept = if self.flags & ARE_INDEPENDENT == 0 { WINDOW_BYTES.min(self.window.len()) } else { 0 };
        self.window.drain(..self.window.len() - kept);
        self.window.resize(kept + self.block_max_bytes, 0);
        let (before, room) = self.window.split_at_mut(kept);
        let got = if is_plain {
            room[..length].copy_from_slice(&block);
            length
        } else {
            lz4_flex::block::decompress_into_with_dict(&block, room, before).map_err(|error| error.to_string())?
        };
        self.window.truncate(kept + got);
        self.given = kept;
        self.total += got as u64;
        if let Some(sum) = &mut self.checksum {
            sum.write(&self.window[kept..]);
        }
        self.place = Place::BlockLength;
        Ok(())
    }

    fn check_sum(&self, told: u32) -> Result<bool, String> {
        match &self.checksum {
            Some(sum) if sum.finish_32() != told => Err("its bytes do not match their checksum".into()),
            _ => Ok(true),
        }
    }
}

/// A number of four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map(u32::from_le_bytes).unwrap_or_default()
}
