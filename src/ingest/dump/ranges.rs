//! Ranges: contents that are ranges of the dump, which costs nothing but a list of extents.

use std::ops::Range;

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::comparison::{StoredBytes, same_as_extents};
use crate::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource};
use crate::repository::content_reader::ContentReader;
use crate::repository::content_writer::{ContentWriter, ExtentWriter};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::data_lane::{BatchedChunk, ChunkBatch};
use crate::store::{BaseHint, ChunkStore, DataLane};

/// A stretch of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the dump.
    Dump { start: u64, length: u64 },
    /// A chunk that was stored for this.
    Chunk { id: ChunkId, length: u64 },
}

/// Stores one chunk that is no part of the dump.
pub fn store_chunk(lane: &mut DataLane, bytes: &[u8]) -> Result<()> {
    let id = ChunkId::of(bytes);
    let chunk = BatchedChunk::new(0..bytes.len(), Some(id), false, BaseHint::default());
    lane.begin();
    lane.submit(ChunkBatch::new(bytes.to_vec(), vec![chunk]))?;
    lane.next_done(true)?;
    Ok(())
}

/// Makes contents of ranges of one dump. The dump must have been published, so that its pages can be read.
pub struct Ranges<'s, 'r> {
    session: &'s WriteSession<'r>,
    dump: &'s Content,
}

impl<'s, 'r> Ranges<'s, 'r> {
    pub fn new(session: &'s WriteSession<'r>, dump: &'s Content) -> Ranges<'s, 'r> {
        Ranges { session, dump }
    }

    /// A content of these pieces; `before` is what the file held the last time.
    pub fn content(&self, pieces: &[Piece], before: Option<&Content>) -> Result<Content> {
        if let ContentBody::Inline(bytes) = &self.dump.body {
            return self.content_of_little(bytes, pieces);
        }
        let chunks = self.session.chunks().store();
        // The same bytes in chunks shared with neighbours that changed: what was there before need not be told again.
        if let Some(before) = before.filter(|before| self.is_same(pieces, before)) {
            return Ok(before.clone());
        }
        let before = before.map(|content| Predecessor::new(chunks, content));
        let hints = crate::repository::content_writer::page_hints(&before);
        let mut writer = ExtentWriter::new(self.session, ChunkClass::Small);
        for extent in self.extents_of(pieces) {
            writer.push(extent?, &hints)?;
        }
        writer.finish(&hints)
    }

    /// Whether the pieces are what a file held before. Where that cannot be read, they are not.
    fn is_same(&self, pieces: &[Piece], before: &Content) -> bool {
        let length = |piece: &Piece| match piece {
            Piece::Dump { length, .. } | Piece::Chunk { length, .. } => *length,
        };
        if pieces.iter().map(length).sum::<u64>() != before.size {
            return false;
        }
        let stored = StoredBytes { chunks: self.session.chunks().store(), content: before };
        let same = same_as_extents(self.extents_of(pieces), stored);
        same.inspect_err(|error| log::warn!("reading what a file held before: {error}")).unwrap_or(false)
    }

    fn extents_of<'p>(&'p self, pieces: &'p [Piece]) -> impl Iterator<Item = Result<Extent>> + 'p {
        let chunks = self.session.chunks().store();
        pieces.iter().flat_map(move |piece| -> Box<dyn Iterator<Item = Result<Extent>> + 'p> {
            match *piece {
                Piece::Dump { start, length } => Box::new(extents_of(chunks, self.dump, start..start + length)),
                Piece::Chunk { id, length } => {
                    let source = ExtentSource::Chunk { id, offset: 0 };
                    Box::new(std::iter::once(Ok(Extent { length, source })))
                }
            }
        })
    }

    /// The same of a dump so short that it has no chunks.
    fn content_of_little(&self, dump: &[u8], pieces: &[Piece]) -> Result<Content> {
        let mut lane = self.session.chunks().data_lane(None);
        let mut writer = ContentWriter::new(&mut lane, self.session, ChunkClass::Small, None);
        for piece in pieces {
            match *piece {
                Piece::Dump { start, length } => writer.write(&dump[start as usize..(start + length) as usize])?,
                Piece::Chunk { id, .. } => writer.write(&self.session.chunks().store().get(&id)?)?,
            }
        }
        let content = writer.finish()?;
        lane.release()?;
        Ok(content)
    }
}

/// The extents of a range of a content that has some.
pub fn extents_of<'c>(
    chunks: &'c ChunkStore,
    content: &'c Content,
    range: Range<u64>,
) -> impl Iterator<Item = Result<Extent>> + 'c {
    let Range { start, end } = range;
    let placed = ContentReader::new(chunks).extents_from(content, start);
    let inside = placed.take_while(move |placed| placed.as_ref().map_or(true, |placed| placed.start < end));
    inside.map(move |placed| {
        let placed = placed?;
        let skipped = start.saturating_sub(placed.start);
        let length = placed.end().min(end) - placed.start.max(start);
        let source = match placed.extent.source {
            ExtentSource::Hole => ExtentSource::Hole,
            ExtentSource::Chunk { id, offset } => ExtentSource::Chunk { id, offset: offset + skipped as u32 },
        };
        Ok(Extent { length, source })
    })
}
