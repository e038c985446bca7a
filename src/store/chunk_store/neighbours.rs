//! Neighbours: chunks that follow each other in a pack are looked for one after the other. After some finds in a row the
//! pack's footer tells where the next ones lie, and the index is not asked.

use std::ops::Range;
use std::sync::Arc;

use crate::id::{ChunkId, WriterObject};
use crate::store::index::Location;
use crate::store::pack::Footer;

/// Runs that are followed: a pack has several where several readers go through it.
const RUNS_MAX: usize = 8;

/// Finds in a row before the footer is read, which costs as much as some dozen lookups: reading here and there must not.
const FINDS_BEFORE_FOOTER: u32 = 8;

/// How far ahead of the last find the next one may be, since other packs hold what changed in between; and how far behind,
/// since threads that share a reader's work overtake each other.
const SLOTS_AHEAD: usize = 32;
const SLOTS_BEHIND: usize = 8;

/// Finds in one pack, each near the one before.
struct Run {
    pack: WriterObject,
    /// Behind the last find.
    next_slot: usize,
    finds: u32,
    footer: Option<Arc<Footer>>,
    /// [`Neighbours::uses`] at the last find.
    last_use: u64,
}

/// Where chunks were found lately.
#[derive(Default)]
pub(super) struct Neighbours {
    runs: Vec<Run>,
    uses: u64,
}

impl Run {
    fn near(&self) -> Range<usize> {
        self.next_slot.saturating_sub(SLOTS_BEHIND)..self.next_slot.saturating_add(SLOTS_AHEAD)
    }

    fn find(&self, id: &ChunkId) -> Option<Location> {
        let entries = &self.footer.as_ref()?.entries;
        let near = self.near().start.min(entries.len())..self.near().end.min(entries.len());
        let slot = near.start + entries[near.clone()].iter().position(|entry| entry.id == *id)?;
        let entry = entries[slot];
        Some(Location {
            pack: self.pack,
            slot: slot as u32,
            offset: entry.offset,
            record_bytes: entry.record_bytes,
            plain_bytes: entry.plain_bytes,
        })
    }
}

impl Neighbours {
    /// Where the chunk lies, if it is near what was found lately.
    pub fn find(&mut self, id: &ChunkId) -> Option<Location> {
        let (run, location) = self.runs.iter_mut().find_map(|run| run.find(id).map(|location| (run, location)))?;
        self.uses += 1;
        (run.next_slot, run.last_use) = (location.slot as usize + 1, self.uses);
        Some(location)
    }

    /// Notes where the index found a chunk; tells whether the pack's footer would serve by now.
    pub fn note(&mut self, location: &Location) -> bool {
        self.uses += 1;
        let slot = location.slot as usize;
        let continued = self.runs.iter_mut().find(|run| run.pack == location.pack && run.near().contains(&slot));
        if let Some(run) = continued {
            (run.next_slot, run.finds, run.last_use) = (slot + 1, run.finds + 1, self.uses);
            return run.finds >= FINDS_BEFORE_FOOTER && run.footer.is_none();
        }
        if self.runs.len() == RUNS_MAX {
            let oldest = (0..RUNS_MAX).min_by_key(|&at| self.runs[at].last_use);
            oldest.map(|at| self.runs.swap_remove(at));
        }
        // Whoever comes to another place of a pack may know its footer already.
        let footer = self.runs.iter().find(|run| run.pack == location.pack).and_then(|run| run.footer.clone());
        self.runs.push(Run { pack: location.pack, next_slot: slot + 1, finds: 1, footer, last_use: self.uses });
        false
    }

    /// The footer that [`Neighbours::note`] asked for.
    pub fn know(&mut self, pack: &WriterObject, footer: &Arc<Footer>) {
        self.runs.iter_mut().filter(|run| run.pack == *pack).for_each(|run| run.footer = Some(footer.clone()));
    }

    /// Forgets everything: what a lost pack held may lie in another one now.
    pub fn clear(&mut self) {
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::FrameHeader;
    use crate::id::WriterId;
    use crate::store::pack::FooterEntry;

    const PACK: WriterObject = WriterObject { writer: WriterId([1; 8]), number: 0 };

    fn id(slot: usize) -> ChunkId {
        ChunkId::of(&slot.to_le_bytes())
    }

    fn location(slot: usize) -> Location {
        Location { pack: PACK, slot: slot as u32, offset: 100 * slot as u64, record_bytes: 100, plain_bytes: 200 }
    }

    fn footer(slots: usize) -> Arc<Footer> {
        let frame = FrameHeader { magic: [0; 8], version: 1, read_features: 0, write_features: 0 };
        let entry = |slot| FooterEntry { id: id(slot), offset: 100 * slot as u64, record_bytes: 100, plain_bytes: 200 };
        Arc::new(Footer { frame, entries: (0..slots).map(entry).collect(), base_packs: Vec::new() })
    }

    /// A run of eight finds behind `first`, with its footer.
    fn follow(neighbours: &mut Neighbours, first: usize) {
        let asked: Vec<bool> = (first..first + 8).map(|slot| neighbours.note(&location(slot))).collect();
        assert_eq!(asked, [false, false, false, false, false, false, false, true]);
        neighbours.know(&PACK, &footer(1000));
    }

    #[test]
    fn what_follows_a_run_is_found_and_what_is_far_from_it_is_not() {
        let mut neighbours = Neighbours::default();
        follow(&mut neighbours, 10);
        for slot in [18, 19, 40, 35, 66, 67] {
            assert_eq!(neighbours.find(&id(slot)), Some(location(slot)), "{slot}");
        }
        for slot in [10, 200, 999, 1000] {
            assert_eq!(neighbours.find(&id(slot)), None, "{slot}");
        }
        // Another reader of the same pack need not ask for its footer again.
        assert!(!neighbours.note(&location(500)));
        assert_eq!(neighbours.find(&id(501)), Some(location(501)));
        assert_eq!(neighbours.find(&id(68)), Some(location(68)));
        assert_eq!(neighbours.find(&id(999)), None);
    }

    #[test]
    fn finds_here_and_there_ask_for_no_footer_and_take_no_room() {
        let mut neighbours = Neighbours::default();
        for find in 0..10_000 {
            assert!(!neighbours.note(&location(find * 7919 % 100_000)));
            assert!(neighbours.runs.len() <= RUNS_MAX);
        }
    }
}
