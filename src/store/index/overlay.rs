//! Overlay: what was published but could not be applied to the index on disk yet, in memory.

use std::collections::HashMap;

use super::{AppliedMark, Location, PackChunks, PackFile};
use crate::id::{ChunkId, WriterObject};

/// Places of chunks, each until the index on disk has reached the record that published it.
#[derive(Default)]
pub(super) struct Overlay {
    chunks: HashMap<ChunkId, Entry<Location>>,
    packs: HashMap<WriterObject, Entry<PackFile>>,
    mark: Option<AppliedMark>,
}

struct Entry<T> {
    value: T,
    /// Sequence of the record.
    published: u64,
}

impl Overlay {
    pub fn get(&self, id: &ChunkId) -> Option<Location> {
        self.chunks.get(id).map(|entry| entry.value)
    }

    pub fn packs(&self) -> impl Iterator<Item = (WriterObject, PackFile)> {
        self.packs.iter().map(|(pack, entry)| (*pack, entry.value.clone()))
    }

    /// Chunks and packs.
    pub fn len(&self) -> usize {
        self.chunks.len() + self.packs.len()
    }

    /// How far the catalog was followed with the overlay; `None` if the overlay is of no use any more.
    pub fn mark(&self) -> Option<AppliedMark> {
        self.mark
    }

    pub fn add(&mut self, pack: &PackChunks, to: AppliedMark) {
        for (id, location) in pack.locations() {
            self.chunks.insert(*id, Entry { value: location, published: to.sequence });
        }
        self.packs.insert(pack.pack, Entry { value: pack.file.clone(), published: to.sequence });
    }

    pub fn reach(&mut self, to: AppliedMark) {
        if self.mark.is_none_or(|mark| mark.sequence < to.sequence) {
            self.mark = Some(to);
        }
    }

    /// The index on disk has reached `mark`.
    pub fn drop_reached(&mut self, mark: AppliedMark) {
        self.mark = self.mark.filter(|overlaid| overlaid.sequence > mark.sequence);
        // By entry, as another thread may be adding some that are newer than `self.mark`.
        self.chunks.retain(|_, entry| entry.published > mark.sequence);
        self.packs.retain(|_, entry| entry.published > mark.sequence);
        if self.chunks.is_empty() {
            self.chunks = HashMap::new();
        }
    }
}
