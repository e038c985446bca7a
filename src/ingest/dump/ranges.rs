//! Ranges: contents that are ranges of the dump, which costs nothing but a list of extents.

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource};
use crate::repository::content_reader::ContentReader;
use crate::repository::content_writer::{ContentWriter, ExtentWriter};
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::data_lane::{BatchedChunk, ChunkBatch};
use crate::store::{BaseHint, DataLane};

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
        let before = before.map(|content| Predecessor::new(chunks, content));
        let hints = crate::repository::content_writer::page_hints(&before);
        let mut writer = ExtentWriter::new(self.session, ChunkClass::Small);
        for piece in pieces {
            match *piece {
                Piece::Dump { start, length } => {
                    for extent in self.extents(start, length) {
                        writer.push(extent?, &hints)?;
                    }
                }
                Piece::Chunk { id, length } => {
                    writer.push(Extent { length, source: ExtentSource::Chunk { id, offset: 0 } }, &hints)?;
                }
            }
        }
        writer.finish(&hints)
    }

    /// The extents of a range of the dump.
    fn extents(&self, start: u64, length: u64) -> impl Iterator<Item = Result<Extent>> {
        let end = start + length;
        let placed = ContentReader::new(self.session.chunks().store()).extents_from(self.dump, start);
        let inside = placed.take_while(move |placed| placed.as_ref().map_or(true, |placed| placed.start < end));
        inside.map(move |placed| {
            let placed = placed?;
            let skipped = start.saturating_sub(placed.start);
            let length = (placed.start + placed.extent.length).min(end) - placed.start.max(start);
            let source = match placed.extent.source {
                ExtentSource::Hole => ExtentSource::Hole,
                ExtentSource::Chunk { id, offset } => ExtentSource::Chunk { id, offset: offset + skipped as u32 },
            };
            Ok(Extent { length, source })
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
