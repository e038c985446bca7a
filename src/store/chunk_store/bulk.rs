//! Many chunks at once: those whose records lie side by side in one pack are read with one call, and so are the bases of
//! those that are deltas. A file lies so as it was written, and 60 small reads of a megabyte cost more than its decoding.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ChunkStore;
use super::stored::Stored;
use crate::error::Result;
use crate::id::ChunkId;
use crate::store::backend::ByteRange;
use crate::store::cache::{Claim, Slot};
use crate::store::chunk_record::{ChunkRecord, DELTA_DEPTH_MAX, RecordPlace};
use crate::store::index::Location;
use crate::store::pack::pack_key;

/// The longest read: what was read should still be in the processor's cache when it is decoded.
const RUN_MAX_BYTES: u64 = 128 << 10;

/// So much that nobody wants is read along rather than asking twice: a disk that has to seek reads more in that time.
const GAP_MAX_BYTES: u64 = 32 << 10;

/// So many plain bytes of deltas wait for their bases: all of these are kept until then.
const WAITING_MAX_BYTES: usize = 1 << 20;

/// A record to be read.
struct Wanted<T> {
    place: RecordPlace,
    /// Which chunk of the record.
    member: u32,
    /// The chunk that it is, or is a base of.
    id: ChunkId,
    /// Where its bytes go.
    target: T,
}

impl<T> Wanted<T> {
    fn at(location: &Location, id: ChunkId, target: T) -> Wanted<T> {
        Wanted { place: location.place(), member: location.member, id, target }
    }

    fn end(&self) -> u64 {
        self.place.offset.saturating_add(u64::from(self.place.record_bytes))
    }
}

/// The place of a chunk in the cache, for which others may be waiting.
type ChunkSlot<'c> = Slot<'c, ChunkId, Arc<[u8]>>;

impl ChunkStore {
    /// Brings chunks into the cache. Those that another thread is reading are left to it; what cannot be read is left to
    /// the [`ChunkStore::get`] that needs it, which says why.
    ///
    /// # Errors
    /// Where the index cannot be asked.
    pub fn fetch(&self, ids: &[ChunkId]) -> Result<()> {
        let claimed = ids.iter().filter_map(|id| match self.cache.claim(id) {
            Claim::Ours(slot) => Some((*id, slot)),
            Claim::There | Claim::Taken => None,
        });
        let (ids, slots): (Vec<ChunkId>, Vec<ChunkSlot>) = claimed.unzip();
        let located: Vec<Option<Location>> = ids.iter().map(|id| self.locate(id)).collect::<Result<_>>()?;
        let located = located.into_iter().zip(ids).zip(slots);
        let wanted = located.filter_map(|((found, id), target)| Some(Wanted::at(&found?, id, target)));
        // Whoever waits for a slot waits for this thread: from here on it must not wait for the cache itself.
        self.in_runs(wanted.collect(), DELTA_DEPTH_MAX, &|Wanted { place, id, target, .. }, record| {
            if let Ok(plain) = self.decode_record(&record, &id, &place.pack) {
                target.fill(plain.bytes);
            }
        });
        Ok(())
    }

    /// Many chunks, in the order of `ids`, past the cache: what is in it serves, but nothing is pushed out for data that
    /// is used once.
    pub fn load_many(&self, ids: &[ChunkId]) -> Vec<Result<Arc<[u8]>>> {
        let cached = |id| self.get_cached(id).map_or_else(OnceCell::new, OnceCell::from);
        let plains: Vec<OnceCell<Arc<[u8]>>> = ids.iter().map(cached).collect();
        let missing = ids.iter().zip(&plains).filter(|(_, plain)| plain.get().is_none());
        // One that cannot be found now is asked for once more below, which says why.
        let located = missing.filter_map(|(&id, target)| Some(Wanted::at(&self.locate(&id).ok()??, id, target)));
        self.in_runs(located.collect(), DELTA_DEPTH_MAX, &|Wanted { place, id, target, .. }, record| {
            if let Ok(plain) = self.decode_record(&record, &id, &place.pack) {
                let _ = target.set(plain.bytes);
            }
        });
        ids.iter().zip(plains).map(|(id, plain)| plain.into_inner().map_or_else(|| self.load(id), Ok)).collect()
    }

    /// Brings bases of deltas into their cache.
    fn fetch_bases(&self, mut wanted: Vec<Wanted<()>>, depth_left: u32) {
        wanted.retain(|base| self.bases.get(&base.place).is_none());
        let Some(depth_left) = depth_left.checked_sub(1).filter(|_| !wanted.is_empty()) else { return };
        self.in_runs(wanted, depth_left, &|Wanted { place, id, .. }, record| {
            if let Ok(plain) = self.plain_of(&record, &id, &place.pack, depth_left) {
                self.bases.insert(place, plain);
            }
        });
    }

    /// Reads the records of `wanted`, each once, and gives those that are records to `work`; those of deltas after the bases of
    /// all were read, which lie side by side where these do not. `depth_left`: how long the chain of their bases may be.
    fn in_runs<T>(&self, mut wanted: Vec<Wanted<T>>, depth_left: u32, work: &dyn Fn(Wanted<T>, ChunkRecord)) {
        wanted.sort_unstable_by_key(|it| (it.place.pack, it.place.offset, it.member));
        wanted.dedup_by_key(|it| (it.place, it.member));
        let (mut deltas, mut bases, mut waiting_bytes) = (Vec::new(), Vec::new(), 0);
        while !wanted.is_empty() {
            let rest = wanted.split_off(length_of_run(&wanted));
            let run = std::mem::replace(&mut wanted, rest);
            let Some(bytes) = self.bytes_of_run(&run) else { continue };
            let stored = self.stored_in_run(&run, &bytes);
            for (each, stored) in run.into_iter().zip(stored) {
                let Some(stored) = stored else { continue };
                let Ok(record) = stored.record(each.member, &each.id, &each.place.pack) else { continue };
                if record.bases.is_empty() {
                    work(each, record);
                } else {
                    waiting_bytes += record.plain_bytes;
                    let base = |&place| Wanted { place, member: 0, id: each.id, target: () };
                    bases.extend(record.bases.iter().map(base));
                    deltas.push((each, stored.into_owned()));
                }
            }
            if waiting_bytes >= WAITING_MAX_BYTES {
                self.work_off(std::mem::take(&mut deltas), std::mem::take(&mut bases), depth_left, work);
                waiting_bytes = 0;
            }
        }
        self.work_off(deltas, bases, depth_left, work);
    }

    /// Gives the records of deltas to `work`, after their bases were read.
    fn work_off<T>(
        &self,
        deltas: Vec<(Wanted<T>, Stored)>,
        bases: Vec<Wanted<()>>,
        depth_left: u32,
        work: &dyn Fn(Wanted<T>, ChunkRecord),
    ) {
        self.fetch_bases(bases, depth_left);
        for (each, stored) in deltas {
            if let Ok(record) = stored.record(each.member, &each.id, &each.place.pack) {
                work(each, record);
            }
        }
    }

    /// What one read brings of a run; nothing is read for the chunks of one group that is at hand.
    fn bytes_of_run<T>(&self, run: &[Wanted<T>]) -> Option<Vec<u8>> {
        let (first, last) = (run.first()?, run.last()?);
        if first.place == last.place && self.groups.get(&first.place).is_some() {
            return Some(Vec::new());
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let start = first.place.offset;
        let range = ByteRange::At { offset: start, length: last.end().saturating_sub(start) };
        self.backend.get_range(&pack_key(&first.place.pack), range).ok()
    }

    /// What stands at the places of a run, by its bytes.
    fn stored_in_run<'b, T>(&self, run: &[Wanted<T>], bytes: &'b [u8]) -> Vec<Option<Stored<'b>>> {
        let Some(start) = run.first().map(|first| first.place.offset) else { return Vec::new() };
        let at = |each: &Wanted<T>| {
            let at = usize::try_from(each.place.offset - start).ok()?;
            let record = bytes.get(at..)?.get(..each.place.record_bytes as usize).unwrap_or_default();
            self.keeping_groups(&each.place, &each.id, Cow::Borrowed(record)).ok()
        };
        let mut before = None;
        run.iter()
            .map(|each| {
                if before.replace(each.place) != Some(each.place) {
                    self.records_read.fetch_add(1, Ordering::Relaxed);
                }
                at(each)
            })
            .collect()
    }
}

/// How many of these, sorted by place, one read brings.
fn length_of_run<T>(wanted: &[Wanted<T>]) -> usize {
    let Some(first) = wanted.first() else { return 0 };
    let goes_on = |pair: &[Wanted<T>]| {
        let (before, next) = (&pair[0], &pair[1]);
        next.place.pack == first.place.pack
            && next.place.offset.saturating_sub(before.end()) <= GAP_MAX_BYTES
            && next.end().saturating_sub(first.place.offset) <= RUN_MAX_BYTES
    };
    1 + wanted.windows(2).take_while(|pair| goes_on(pair)).count()
}
