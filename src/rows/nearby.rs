//! Nearby: reads a content where it was read before, or not far behind. Whoever reads thousands of places in order would
//! otherwise look for each of them from the root of the list of extents.

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, ExtentSource};
use crate::repository::content_reader::{ContentReader, PlacedExtent, part_of};
use crate::store::ChunkStore;
use crate::store::chunker::ChunkSizes;

/// Extents that are looked up at a time.
const EXTENTS: usize = 256;

/// The first look back for a chunk that ends with a document; each next one is this many times as long.
const FIRST_LOOK_BYTES: u64 = 128 << 10;
const LOOK_FACTOR: u64 = 8;

/// Reads one content.
pub struct Nearby<'t> {
    pub content: &'t Content,
    chunks: &'t ChunkStore,
    /// Extents that follow one another.
    placed: Vec<PlacedExtent>,
}

/// Those of these extents, but for the last one, that are sure to end with a document. Chunks of dumps end where the next document
/// begins, if that leaves them no longer than they may be (`docs/format.md` section 3), or where a hole begins.
fn sure_ends(placed: &[PlacedExtent], longest: u64) -> impl Iterator<Item = &PlacedExtent> {
    let is_chunk = |placed: &PlacedExtent| matches!(placed.extent.source, ExtentSource::Chunk { offset: 0, .. });
    let has_room =
        move |placed: &PlacedExtent| placed.extent.length.saturating_add(longest) <= ChunkSizes::SMALL.max_bytes as u64;
    let pairs = placed.windows(2).filter(move |two| is_chunk(&two[0]) && is_chunk(&two[1]) && has_room(&two[0]));
    pairs.map(|two| &two[0])
}

impl<'t> Nearby<'t> {
    pub fn new(chunks: &'t ChunkStore, content: &'t Content) -> Nearby<'t> {
        Nearby { content, chunks, placed: Vec::new() }
    }

    /// The extents that cover a range, as far as the content reaches.
    pub fn extents(&mut self, start: u64, length: u64) -> Result<&[PlacedExtent]> {
        let end = start.saturating_add(length).min(self.content.size);
        let first = self.placed.first().map_or(u64::MAX, |placed| placed.start);
        let last = self.placed.last().map_or(0, PlacedExtent::end);
        if start < first || end > last {
            self.placed.clear();
            for placed in ContentReader::new(self.chunks).extents_from(self.content, start) {
                let placed = placed?;
                self.placed.push(placed);
                if placed.end() >= end && self.placed.len() >= EXTENTS {
                    break;
                }
            }
        }
        let from = self.placed.partition_point(|placed| placed.end() <= start);
        let behind = self.placed.partition_point(|placed| placed.start < end);
        Ok(&self.placed[from.min(behind)..behind])
    }

    /// So many bytes before a place a document is sure to begin, or to end, of which the longest has so many bytes; none within
    /// the last `most` bytes.
    pub fn document_before(&mut self, place: u64, most: u64, longest: u64) -> Result<Option<u64>> {
        let mut length = FIRST_LOOK_BYTES;
        loop {
            let taken = most.min(length);
            let from = place - taken;
            // With what follows the last one.
            let placed = self.extents(from, taken + 1)?;
            let within = |placed: &PlacedExtent| placed.start >= from && placed.end() <= place;
            let found = sure_ends(placed, longest).filter(|placed| within(placed)).last();
            if let Some(found) = found {
                return Ok(Some(place - found.end()));
            }
            if taken == most {
                return Ok(None);
            }
            length *= LOOK_FACTOR;
        }
    }

    /// Where the first document is sure to begin behind a place, and not far from it.
    pub fn document_behind(&mut self, place: u64, most: u64, longest: u64) -> Result<Option<u64>> {
        let placed = self.extents(place, most)?;
        Ok(sure_ends(placed, longest).next().map(PlacedExtent::end))
    }

    /// Appends bytes of the content.
    pub fn read(&mut self, start: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let end = start.saturating_add(length as u64).min(self.content.size);
        if let ContentBody::Inline(bytes) = &self.content.body {
            out.extend_from_slice(bytes.get(start as usize..end as usize).unwrap_or_default());
            return Ok(());
        }
        let (chunks, content) = (self.chunks, self.content);
        let placed = self.extents(start, length as u64)?;
        if placed.len() > 1 {
            let ids: Vec<ChunkId> = placed.iter().filter_map(|placed| placed.extent.chunk()).collect();
            chunks.fetch(&ids)?;
        }
        let mut at = start;
        for placed in placed {
            let taken = placed.end().min(end) - at;
            match placed.extent.source {
                ExtentSource::Hole => out.resize(out.len() + taken as usize, 0),
                ExtentSource::Chunk { id, offset } => {
                    let from = u64::from(offset) + (at - placed.start);
                    out.extend_from_slice(part_of(&id, &chunks.get(&id)?, from, taken)?);
                }
            }
            at += taken;
        }
        if at == end { Ok(()) } else { content.check_end(at) }
    }
}
