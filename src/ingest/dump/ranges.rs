//! Ranges: contents that are ranges of the dump, which costs nothing but a list of extents.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;

use crate::error::Result;
use crate::id::ChunkId;
use crate::ingest::dump::dump_tree::is_known_as_same;
use crate::repository::comparison::{StoredBytes, same_as_extents};
use crate::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource, RANGES_INLINE_MAX};
use crate::repository::content_reader::{ContentReader, PlacedExtent};
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
    lane.submit(ChunkBatch::new(bytes.to_vec(), vec![chunk]));
    lane.next_done(true)?;
    Ok(())
}

/// Bytes of a window; it has some hundred extents.
const WINDOW_BYTES: u64 = 4 << 20;

/// Windows that are kept. Parts of one object lie in few places of the dump, each of which moves on slowly.
const WINDOWS_MAX: usize = 32;

/// The extents of one stretch of the dump: a million small parts need not be searched for one by one.
struct Window {
    number: u64,
    extents: Vec<PlacedExtent>,
}

/// Makes contents of ranges of one dump. The dump must have been published, so that its pages can be read.
pub struct Ranges<'s, 'r> {
    session: &'s WriteSession<'r>,
    dump: &'s Content,
    /// The oldest first.
    windows: RefCell<VecDeque<Window>>,
}

impl<'s, 'r> Ranges<'s, 'r> {
    pub fn new(session: &'s WriteSession<'r>, dump: &'s Content) -> Ranges<'s, 'r> {
        Ranges { session, dump, windows: RefCell::default() }
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
        let mut writer = ExtentWriter::new(self.session, ChunkClass::Small).with_few(RANGES_INLINE_MAX);
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
        is_known_as_same(same_as_extents(self.extents_of(pieces), stored))
    }

    fn extents_of<'p>(&'p self, pieces: &'p [Piece]) -> impl Iterator<Item = Result<Extent>> + 'p {
        pieces.iter().flat_map(move |piece| -> Box<dyn Iterator<Item = Result<Extent>> + 'p> {
            match *piece {
                Piece::Dump { start, length } => self.extents_of_dump(start..start + length),
                Piece::Chunk { id, length } => {
                    let source = ExtentSource::Chunk { id, offset: 0 };
                    Box::new(std::iter::once(Ok(Extent { length, source })))
                }
            }
        })
    }

    fn extents_of_dump(&self, range: Range<u64>) -> Box<dyn Iterator<Item = Result<Extent>> + '_> {
        let number = range.start / WINDOW_BYTES;
        if range.is_empty() || (range.end - 1) / WINDOW_BYTES != number {
            return Box::new(extents_of(self.session.chunks().store(), self.dump, range));
        }
        match self.extents_in_window(number, &range) {
            Ok(extents) => Box::new(extents.into_iter().map(Ok)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn extents_in_window(&self, number: u64, range: &Range<u64>) -> Result<Vec<Extent>> {
        let mut windows = self.windows.borrow_mut();
        let at = match windows.iter().position(|window| window.number == number) {
            Some(at) => at,
            None => {
                let all = number * WINDOW_BYTES..(number + 1) * WINDOW_BYTES;
                let extents = placed_in(self.session.chunks().store(), self.dump, &all).collect::<Result<_>>()?;
                if windows.len() == WINDOWS_MAX {
                    windows.pop_front();
                }
                windows.push_back(Window { number, extents });
                windows.len() - 1
            }
        };
        let extents = &windows[at].extents;
        let first = extents.partition_point(|placed| placed.end() <= range.start);
        let inside = extents[first..].iter().take_while(|placed| placed.start < range.end);
        Ok(inside.map(|placed| clipped(placed, range)).collect())
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
    placed_in(chunks, content, &range).map(move |placed| Ok(clipped(&placed?, &range)))
}

/// The extents that have bytes of a range.
fn placed_in<'c>(
    chunks: &'c ChunkStore,
    content: &'c Content,
    range: &Range<u64>,
) -> impl Iterator<Item = Result<PlacedExtent>> + use<'c> {
    let Range { start, end } = *range;
    let placed = ContentReader::new(chunks).extents_from(content, start);
    placed.take_while(move |placed| placed.as_ref().map_or(true, |placed| placed.start < end))
}

/// What an extent has of a range.
fn clipped(placed: &PlacedExtent, range: &Range<u64>) -> Extent {
    let skipped = range.start.saturating_sub(placed.start);
    let length = placed.end().min(range.end) - placed.start.max(range.start);
    let source = match placed.extent.source {
        ExtentSource::Hole => ExtentSource::Hole,
        ExtentSource::Chunk { id, offset } => ExtentSource::Chunk { id, offset: offset + skipped as u32 },
    };
    Extent { length, source }
}
