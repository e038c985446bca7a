//! Content: the bytes of a file as an ordered list of extents, each a range of a chunk or a hole.
//! It lies in the file's node; long lists lie in a tree of pages. Encoding: `docs/format.md` section 7.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::repository::node::Totals;

/// Contents of at most this many bytes stand in the node itself; more would burden every listing.
pub const CONTENT_INLINE_MAX_BYTES: usize = 256;

/// Contents of at most this many extents list them in the node itself.
pub const EXTENTS_INLINE_MAX: usize = 4;

/// The same of contents that are put together of stretches of another. The files of a table have the same few chunks, so its
/// directory's page tells their ids once, where pages of their own would each tell them again.
pub const RANGES_INLINE_MAX: usize = 16;

/// The bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Logical size, holes included.
    pub size: u64,
    /// Bytes that are not in holes.
    pub data_bytes: u64,
    pub class: ChunkClass,
    pub body: ContentBody,
}

/// How a content is cut into chunks; sticky for a path, so that versions share chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ChunkClass {
    /// About 16 KiB: dumps and text, where a delta against the last version pays.
    #[default]
    Small,
    /// About 64 KiB: binary files.
    Large,
}

impl ChunkClass {
    /// So many first bytes tell the class of a file.
    pub const TOLD_BY_BYTES: usize = 8000;

    /// The class of a file that begins so: a zero byte means that it is no text, as git sees it.
    pub fn of(first: &[u8]) -> ChunkClass {
        let first = &first[..first.len().min(ChunkClass::TOLD_BY_BYTES)];
        if first.contains(&0) { ChunkClass::Large } else { ChunkClass::Small }
    }
}

impl Content {
    /// # Errors
    /// Where its extents, which end at byte `end`, are not all of it.
    pub fn check_end(&self, end: u64) -> Result<()> {
        if end == self.size {
            return Ok(());
        }
        Err(Error::corrupt("a content", format!("its extents end at byte {end} of {}", self.size)))
    }
}

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentBody {
    Inline(Vec<u8>),
    Extents(Vec<Extent>),
    /// Root page of a tree of extents, and the sums of it (`entries` counts extents).
    Tree {
        page: ChunkId,
        totals: Totals,
    },
}

/// A run of bytes of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub length: u64,
    pub source: ExtentSource,
}

/// Where an extent's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentSource {
    /// Nowhere: zeros that take no room.
    Hole,
    /// `length` bytes of a chunk from `offset` on.
    Chunk { id: ChunkId, offset: u32 },
}

const EXTENT_HOLE: u8 = 0;
const EXTENT_WHOLE_CHUNK: u8 = 1;
const EXTENT_PART_OF_CHUNK: u8 = 2;

impl Extent {
    /// The chunk that it is a part of.
    pub fn chunk(&self) -> Option<ChunkId> {
        match self.source {
            ExtentSource::Hole => None,
            ExtentSource::Chunk { id, .. } => Some(id),
        }
    }

    /// What this extent adds to the totals of its content.
    pub fn totals(&self) -> Totals {
        let is_data = !matches!(self.source, ExtentSource::Hole);
        Totals {
            entries: 1,
            bytes: self.length,
            data_bytes: if is_data { self.length } else { 0 },
            ..Totals::default()
        }
    }

    pub fn encode(&self, encoder: &mut Encoder) {
        match self.source {
            ExtentSource::Hole => encoder.u8(EXTENT_HOLE).varint(self.length),
            ExtentSource::Chunk { id, offset: 0 } => encoder.u8(EXTENT_WHOLE_CHUNK).varint(self.length).raw(&id.0),
            ExtentSource::Chunk { id, offset } => {
                encoder.u8(EXTENT_PART_OF_CHUNK).varint(self.length).raw(&id.0).varint(u64::from(offset))
            }
        };
    }

    pub fn decode(decoder: &mut Decoder) -> Result<Extent, DecodeError> {
        let form = decoder.u8()?;
        let length = decoder.varint()?;
        let source = match form {
            EXTENT_HOLE => ExtentSource::Hole,
            EXTENT_WHOLE_CHUNK => ExtentSource::Chunk { id: ChunkId(decoder.array()?), offset: 0 },
            EXTENT_PART_OF_CHUNK => ExtentSource::Chunk { id: ChunkId(decoder.array()?), offset: decoder.varint32()? },
            _ => return decoder.fail("unknown extent form"),
        };
        if length == 0 {
            return decoder.fail("empty extent");
        }
        Ok(Extent { length, source })
    }
}

impl ChunkClass {
    fn code(self) -> u8 {
        match self {
            ChunkClass::Small => 0,
            ChunkClass::Large => 1,
        }
    }
}

const BODY_INLINE: u8 = 0;
const BODY_EXTENTS: u8 = 1;
const BODY_TREE: u8 = 2;

impl Content {
    /// The content of an empty file.
    pub fn empty() -> Content {
        Content { size: 0, data_bytes: 0, class: ChunkClass::default(), body: ContentBody::Inline(Vec::new()) }
    }

    pub fn encode(&self, encoder: &mut Encoder) {
        encoder.u8(self.class.code());
        match &self.body {
            ContentBody::Inline(bytes) => {
                encoder.u8(BODY_INLINE).bytes(bytes);
            }
            ContentBody::Extents(extents) => {
                encoder.u8(BODY_EXTENTS).list(extents, |encoder, extent| extent.encode(encoder));
            }
            ContentBody::Tree { page, totals } => {
                encoder.u8(BODY_TREE).raw(&page.0);
                totals.encode(encoder);
            }
        }
    }

    pub fn decode(decoder: &mut Decoder) -> Result<Content, DecodeError> {
        let class = match decoder.u8()? {
            0 => ChunkClass::Small,
            1 => ChunkClass::Large,
            _ => return decoder.fail("unknown chunk class"),
        };
        match decoder.u8()? {
            BODY_INLINE => {
                let bytes = decoder.bytes()?.to_vec();
                let size = bytes.len() as u64;
                Ok(Content { size, data_bytes: size, class, body: ContentBody::Inline(bytes) })
            }
            BODY_EXTENTS => {
                let extents = decoder.list(Extent::decode)?;
                let totals = extents.iter().fold(Totals::default(), |sum, extent| sum.plus(extent.totals()));
                Ok(Content::summed(class, totals, ContentBody::Extents(extents)))
            }
            BODY_TREE => {
                let page = ChunkId(decoder.array()?);
                let totals = Totals::decode(decoder)?;
                Ok(Content::summed(class, totals, ContentBody::Tree { page, totals }))
            }
            _ => decoder.fail("unknown content form"),
        }
    }

    fn summed(class: ChunkClass, totals: Totals, body: ContentBody) -> Content {
        Content { size: totals.bytes, data_bytes: totals.data_bytes, class, body }
    }
}
