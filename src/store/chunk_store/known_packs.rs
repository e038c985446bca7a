//! KnownPacks: where chunks were found lately, more will be. After some finds in a pack its footer tells where all of its
//! chunks lie, and the index, a read from the disk for every chunk, is not asked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{ChunkId, WriterObject};
use crate::store::index::Location;
use crate::store::pack::Footer;

/// Packs that are followed.
const PACKS_MAX: usize = 16;

/// Chunks of all known footers together, some 100 bytes each.
const CHUNKS_MAX: usize = 100_000;

/// Finds before the footer is read, which costs as much as some lookups: reading here and there in many packs must not.
const FINDS_BEFORE_FOOTER: u32 = 8;

/// A pack in which chunks were found.
struct KnownPack {
    pack: WriterObject,
    finds: u32,
    chunks: Option<PackChunks>,
    /// [`KnownPacks::uses`] at the last find.
    last_use: u64,
}

/// Where the chunks of one pack lie.
struct PackChunks {
    footer: Arc<Footer>,
    slots: HashMap<ChunkId, u32>,
}

/// Where chunks were found lately.
#[derive(Default)]
pub(super) struct KnownPacks {
    packs: Vec<KnownPack>,
    uses: u64,
}

impl KnownPack {
    fn chunk_count(&self) -> usize {
        self.chunks.as_ref().map_or(0, |chunks| chunks.slots.len())
    }

    fn find(&self, id: &ChunkId) -> Option<Location> {
        let chunks = self.chunks.as_ref()?;
        let slot = *chunks.slots.get(id)?;
        let entry = chunks.footer.entries.get(slot as usize)?;
        Some(Location::of(&self.pack, slot, entry))
    }
}

impl KnownPacks {
    /// Where the chunk lies, if it is in a pack whose footer is known.
    pub fn find(&mut self, id: &ChunkId) -> Option<Location> {
        let (known, location) =
            self.packs.iter_mut().find_map(|known| known.find(id).map(|location| (known, location)))?;
        self.uses += 1;
        known.last_use = self.uses;
        Some(location)
    }

    /// Notes where the index found a chunk; tells whether the pack's footer would serve by now.
    pub fn note(&mut self, location: &Location) -> bool {
        self.uses += 1;
        if let Some(known) = self.packs.iter_mut().find(|known| known.pack == location.pack) {
            (known.finds, known.last_use) = (known.finds.saturating_add(1), self.uses);
            return known.finds >= FINDS_BEFORE_FOOTER && known.chunks.is_none();
        }
        if self.packs.len() == PACKS_MAX {
            self.forget_oldest();
        }
        self.packs.push(KnownPack { pack: location.pack, finds: 1, chunks: None, last_use: self.uses });
        false
    }

    /// The footer that [`KnownPacks::note`] asked for.
    pub fn learn(&mut self, pack: &WriterObject, footer: &Arc<Footer>) {
        let Some(known) = self.packs.iter_mut().find(|known| known.pack == *pack) else { return };
        let slots = footer.entries.iter().zip(0..).map(|(entry, slot)| (entry.id, slot)).collect();
        known.chunks = Some(PackChunks { footer: footer.clone(), slots });
        while self.packs.len() > 1 && self.packs.iter().map(KnownPack::chunk_count).sum::<usize>() > CHUNKS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = (0..self.packs.len()).min_by_key(|&at| self.packs[at].last_use);
        oldest.map(|at| self.packs.swap_remove(at));
    }

    /// Forgets everything: what a lost pack held may lie in another one now.
    pub fn clear(&mut self) {
        self.packs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::FrameHeader;
    use crate::id::WriterId;
    use crate::store::pack::FooterEntry;

    fn pack(number: u32) -> WriterObject {
        WriterObject { writer: WriterId([1; 8]), number }
    }

    fn id(slot: usize) -> ChunkId {
        ChunkId::of(&slot.to_le_bytes())
    }

    fn entry(slot: usize) -> FooterEntry {
        FooterEntry { id: id(slot), offset: 100 * slot as u64, record_bytes: 100, member: 0, plain_bytes: 200 }
    }

    fn location(pack: WriterObject, slot: usize) -> Location {
        Location::of(&pack, slot as u32, &entry(slot))
    }

    fn footer(slots: usize) -> Arc<Footer> {
        let frame = FrameHeader { magic: [0; 8], version: 1, read_features: 0, write_features: 0 };
        Arc::new(Footer::new(frame, (0..slots).map(entry).collect(), Vec::new()))
    }

    #[test]
    fn after_some_finds_a_pack_is_known_all_of_it() {
        let mut known = KnownPacks::default();
        let finds = [3, 900, 17, 4, 555, 90, 91, 2].map(|slot| known.note(&location(pack(0), slot)));
        assert_eq!(finds, [false, false, false, false, false, false, false, true]);
        assert_eq!(known.find(&id(18)), None);
        known.learn(&pack(0), &footer(1000));
        for slot in [18, 0, 999] {
            assert_eq!(known.find(&id(slot)), Some(location(pack(0), slot)), "{slot}");
        }
        assert_eq!(known.find(&id(1000)), None);
        // Nobody asks for its footer again.
        assert!(!known.note(&location(pack(0), 1000)));
        known.clear();
        assert_eq!(known.find(&id(18)), None);
    }

    #[test]
    fn finds_here_and_there_in_many_packs_ask_for_no_footer_and_take_no_room() {
        let mut known = KnownPacks::default();
        for find in 0..10_000 {
            assert!(!known.note(&location(pack(find % 100), 7)));
            assert!(known.packs.len() <= PACKS_MAX);
        }
    }

    #[test]
    fn footers_of_many_chunks_make_room_for_each_other() {
        let mut known = KnownPacks::default();
        let large = footer(CHUNKS_MAX / 2 - 1);
        for number in 0..5 {
            known.note(&location(pack(number), 1));
            known.learn(&pack(number), &large);
        }
        assert_eq!(
            known.packs.iter().map(|known| known.pack.number).collect::<std::collections::BTreeSet<_>>(),
            [3, 4].into()
        );
        known.learn(&pack(4), &footer(2 * CHUNKS_MAX));
        assert_eq!(known.find(&id(CHUNKS_MAX)), Some(location(pack(4), CHUNKS_MAX)));
    }

    #[test]
    fn the_pack_that_was_used_longest_ago_makes_room() {
        let mut known = KnownPacks::default();
        (0..FINDS_BEFORE_FOOTER).for_each(|_| assert!(!known.note(&location(pack(0), 1)) || known.packs[0].finds == 8));
        known.learn(&pack(0), &footer(10));
        for other in 1..100 {
            known.note(&location(pack(other), 1));
            assert_eq!(known.find(&id(9)), Some(location(pack(0), 9)), "used all the time");
        }
        (100..200).for_each(|other| assert!(!known.note(&location(pack(other), 1))));
        assert_eq!(known.find(&id(9)), None);
    }
}
