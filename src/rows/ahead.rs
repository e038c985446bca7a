//! Ahead: brings the chunks of gaps into the caches on a thread of its own, while the gaps before are read. Decoding takes about
//! as long as reading what was decoded.

use std::sync::mpsc::{SyncSender, sync_channel};

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::Content;
use crate::rows::gaps::Gap;
use crate::rows::nearby::Nearby;
use crate::store::ChunkStore;

/// Chunks that are fetched at a time. As many wait to be read meanwhile.
const FETCH_CHUNKS: usize = 128;

/// Bytes of one gap that are fetched before it is read.
const FETCH_BYTES: u64 = 1 << 20;

/// Both sides, ahead of who reads them.
pub struct Ahead<'t> {
    stores: [&'t ChunkStore; 2],
    contents: [Nearby<'t>; 2],
}

impl<'t> Ahead<'t> {
    pub fn new(stores: [&'t ChunkStore; 2], [a, b]: [&'t Content; 2]) -> Ahead<'t> {
        Ahead { stores, contents: [Nearby::new(stores[0], a), Nearby::new(stores[1], b)] }
    }

    /// Calls `read` with the number of each gap, in order, once its chunks were brought, and those before it.
    ///
    /// # Errors
    /// The first of `read`, or of asking for the chunks of a gap; `read` has had all gaps before.
    pub fn run(self, gaps: &[Gap], read: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        let (batches, fetched) = sync_channel(0);
        std::thread::scope(|scope| {
            scope.spawn(move || self.fetch_all(gaps, &batches));
            let mut number = 0;
            // Consumed here, so that whatever ends this ends the thread.
            for count in fetched {
                for _ in 0..count? {
                    read(number)?;
                    number += 1;
                }
            }
            Ok(())
        })
    }

    /// Tells of how many gaps more the chunks are there, until nobody listens.
    fn fetch_all(mut self, mut gaps: &[Gap], batches: &SyncSender<Result<usize>>) {
        while !gaps.is_empty() {
            let count = self.fetch(gaps);
            gaps = &gaps[*count.as_ref().unwrap_or(&gaps.len())..];
            if batches.send(count).is_err() {
                return;
            }
        }
    }

    /// Brings the chunks of the first of these gaps into the caches, and those before them; tells how many gaps that are.
    fn fetch(&mut self, gaps: &[Gap]) -> Result<usize> {
        let (mut ids, mut count): ([Vec<ChunkId>; 2], usize) = Default::default();
        while count < gaps.len() && ids.iter().map(Vec::len).sum::<usize>() < FETCH_CHUNKS {
            for (side, range) in gaps[count].sides.iter().enumerate() {
                let start = range.start.saturating_sub(1);
                let length = (range.end - start).min(FETCH_BYTES);
                let placed = self.contents[side].extents(start, length)?;
                ids[side].extend(placed.iter().filter_map(|placed| placed.extent.chunk()));
            }
            count += 1;
        }
        for (mut ids, chunks) in ids.into_iter().zip(self.stores) {
            ids.dedup();
            chunks.fetch(&ids)?;
        }
        Ok(count)
    }
}
