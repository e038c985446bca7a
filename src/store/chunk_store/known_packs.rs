//! KnownPacks: where chunks were found lately, more will be. After some finds in a pack its footer tells where all of its
//! chunks lie, and the index, a read from the disk for every chunk, is not asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::id::{ChunkId, WriterObject};
use crate::store::index::Location;
use crate::store::pack::Footer;

/// Packs that are followed: a dump of which little changes each time lies in as many as it has versions.
const PACKS_MAX: usize = 256;

/// Chunks of all known footers together, some 120 bytes each.
const CHUNKS_MAX: usize = 65_536;

/// Finds beside each other before the footer is read, which costs as much as some lookups.
const FINDS_BEFORE_FOOTER: u32 = 8;

/// Slots that are so near are beside each other.
const NEAR_SLOTS: u32 = 16;

/// Finds here and there must be one for each so many chunks of the pack: its footer costs so much more then, ...
const CHUNKS_PER_FIND: u32 = 32;

/// ... but no more than this: where the index is not in memory, each is a read of the disk.
const FAR_FINDS_MAX: u32 = 64;

/// A footer that had to make room is wanted again only after so many times the finds: packs of many small chunks would push
/// each other out for ever.
const BACK_OFF: u32 = 8;

/// A pack in which chunks were found.
struct KnownPack {
    finds: u32,
    /// Those of them that were beside the one before.
    near_finds: u32,
    /// How many of these it takes until the footer is read.
    finds_needed: u32,
    last_slot: u32,
    /// The pack has more chunks than this.
    max_slot: u32,
    footer: Option<Arc<Footer>>,
    /// [`KnownPacks::uses`] at the last find.
    last_use: u64,
}

impl KnownPack {
    fn found_at(slot: u32, last_use: u64) -> KnownPack {
        let (finds, near_finds, finds_needed, footer) = (1, 1, FINDS_BEFORE_FOOTER, None);
        KnownPack { finds, near_finds, finds_needed, last_slot: slot, max_slot: slot, footer, last_use }
    }

    fn count(&mut self, slot: u32) {
        let is_near = slot.abs_diff(self.last_slot) <= NEAR_SLOTS;
        self.finds = self.finds.saturating_add(1);
        self.near_finds = self.near_finds.saturating_add(u32::from(is_near));
        (self.last_slot, self.max_slot) = (slot, self.max_slot.max(slot));
    }

    fn is_worth_its_footer(&self) -> bool {
        let times = self.finds_needed / FINDS_BEFORE_FOOTER;
        let finds_needed =
            self.finds_needed.max((self.max_slot / CHUNKS_PER_FIND).min(FAR_FINDS_MAX).saturating_mul(times));
        self.near_finds >= self.finds_needed || self.finds >= finds_needed
    }
}

/// Where chunks were found lately.
#[derive(Default)]
pub(super) struct KnownPacks {
    packs: HashMap<WriterObject, KnownPack>,
    /// Pack and slot of the chunks of all known footers.
    chunks: HashMap<ChunkId, (WriterObject, u32)>,
    uses: u64,
}

impl KnownPacks {
    /// Where the chunk lies, if it is in a pack whose footer is known.
    pub fn find(&mut self, id: &ChunkId) -> Option<Location> {
        let (pack, slot) = *self.chunks.get(id)?;
        let known = self.packs.get_mut(&pack)?;
        let entry = known.footer.as_ref()?.entries.get(slot as usize)?;
        self.uses += 1;
        known.last_use = self.uses;
        Some(Location::of(&pack, slot, entry))
    }

    /// Notes where the index found a chunk; tells whether the pack's footer would serve by now.
    pub fn note(&mut self, location: &Location) -> bool {
        self.uses += 1;
        if let Some(known) = self.packs.get_mut(&location.pack) {
            known.last_use = self.uses;
            known.count(location.slot);
            return known.footer.is_none() && known.is_worth_its_footer();
        }
        if self.packs.len() == PACKS_MAX {
            self.forget_oldest();
        }
        self.packs.insert(location.pack, KnownPack::found_at(location.slot, self.uses));
        false
    }

    /// The footer that [`KnownPacks::note`] asked for.
    pub fn learn(&mut self, pack: &WriterObject, footer: &Arc<Footer>) {
        let Some(known) = self.packs.get_mut(pack) else { return };
        known.footer = Some(footer.clone());
        self.chunks.extend(footer.entries.iter().zip(0..).map(|(entry, slot)| (entry.id, (*pack, slot))));
        while self.chunks.len() > CHUNKS_MAX && self.make_room(pack) {}
    }

    /// Forgets the footer that was used longest ago, but for that of `kept`; false where there is no other.
    fn make_room(&mut self, kept: &WriterObject) -> bool {
        let others = self.packs.iter_mut().filter(|(pack, known)| known.footer.is_some() && *pack != kept);
        let Some((&pack, oldest)) = others.min_by_key(|(_, known)| known.last_use) else { return false };
        (oldest.finds, oldest.near_finds) = (0, 0);
        oldest.finds_needed = oldest.finds_needed.saturating_mul(BACK_OFF);
        let footer = oldest.footer.take();
        self.forget_chunks(&pack, footer);
        true
    }

    fn forget_oldest(&mut self) {
        let oldest = self.packs.iter().min_by_key(|(_, known)| known.last_use).map(|(pack, _)| *pack);
        if let Some(pack) = oldest {
            let footer = self.packs.remove(&pack).and_then(|known| known.footer);
            self.forget_chunks(&pack, footer);
        }
    }

    fn forget_chunks(&mut self, pack: &WriterObject, footer: Option<Arc<Footer>>) {
        for entry in footer.iter().flat_map(|footer| &footer.entries) {
            // A chunk that was stored again is that of the pack learnt last.
            if let Entry::Occupied(chunk) = self.chunks.entry(entry.id)
                && chunk.get().0 == *pack
            {
                chunk.remove();
            }
        }
    }

    /// Forgets everything: what a lost pack held may lie in another one now.
    pub fn clear(&mut self) {
        self.packs.clear();
        self.chunks.clear();
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
        let finds = [3, 200, 17, 4, 155, 90, 91, 2].map(|slot| known.note(&location(pack(0), slot)));
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
    fn a_long_footer_is_read_for_many_finds_or_for_such_as_follow_each_other() {
        let finds_of = |slots: &mut dyn Iterator<Item = usize>| {
            let mut known = KnownPacks::default();
            1 + slots.take_while(|slot| !known.note(&location(pack(0), *slot))).count()
        };
        assert_eq!(finds_of(&mut (5000..6000)), 8);
        assert_eq!(finds_of(&mut (5000..6000).step_by(10)), 8);
        assert_eq!(finds_of(&mut (0..1000).map(|find| find * 177 % 800)), 799 / 32);
        assert_eq!(finds_of(&mut (0..1000).map(|find| find * 1777 % 8000)), 64);
    }

    #[test]
    fn finds_here_and_there_in_many_packs_ask_for_no_footer_and_take_no_room() {
        let mut known = KnownPacks::default();
        for find in 0..10_000 {
            assert!(!known.note(&location(pack(find % (2 * PACKS_MAX as u32)), 7)));
            assert!(known.packs.len() <= PACKS_MAX);
        }
    }

    #[test]
    fn footers_of_many_chunks_make_room_for_each_other() {
        let mut known = KnownPacks::default();
        let large = footer(CHUNKS_MAX / 2 - 1);
        // All footers list the same chunks here, and so do those that make room.
        for number in 0..5 {
            known.note(&location(pack(number), 1));
            known.learn(&pack(number), &large);
            assert_eq!(known.find(&id(7)), Some(location(pack(number), 7)), "the copy learnt last");
        }
        known.learn(&pack(4), &footer(2 * CHUNKS_MAX));
        assert_eq!(known.packs.values().filter(|known| known.footer.is_some()).count(), 1);
        // One that had to go is not read again for the next few finds.
        let finds = (0..8 * FINDS_BEFORE_FOOTER).map(|_| known.note(&location(pack(2), 1))).filter(|wanted| *wanted);
        assert_eq!(finds.count(), 1);
        assert_eq!(known.find(&id(CHUNKS_MAX)), Some(location(pack(4), CHUNKS_MAX)));
    }

    #[test]
    fn the_pack_that_was_used_longest_ago_makes_room() {
        let mut known = KnownPacks::default();
        known.note(&location(pack(0), 1));
        known.learn(&pack(0), &footer(10));
        for other in 1..1000 {
            known.note(&location(pack(other), 1));
            assert_eq!(known.find(&id(9)), Some(location(pack(0), 9)), "used all the time");
        }
        (1000..2000).for_each(|other| assert!(!known.note(&location(pack(other), 1))));
        assert_eq!(known.find(&id(9)), None);
        assert!(known.chunks.is_empty());
    }
}
