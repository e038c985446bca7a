//! Nearby: reads a content where it was read before, or not far behind. Whoever reads thousands of places in order would
//! otherwise look for each of them from the root of the list of extents.

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, ExtentSource};
use crate::repository::content_reader::{ContentReader, PlacedExtent, part_of};
use crate::store::ChunkStore;

/// Extents that are looked up at a time.
const EXTENTS: usize = 256;

/// Reads one content.
pub struct Nearby<'t> {
    pub content: &'t Content,
    chunks: &'t ChunkStore,
    /// Extents that follow one another.
    placed: Vec<PlacedExtent>,
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
