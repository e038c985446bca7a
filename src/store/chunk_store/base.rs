//! What deltas refer to: reading the bases of a chunk, and choosing those of a new one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{ChunkStore, USUAL_CHUNK_BYTES, chunk_corrupt};
use crate::codec::DecodeError;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, WriterObject};
use crate::store::base::{Base, Reach};
use crate::store::cache::{ByteCache, Weight};
use crate::store::chunk_record::{ChunkRecord, DELTA_DEPTH_MAX, RecordPlace};
use crate::store::delta::BASES_MAX_BYTES;
use crate::store::listed_delta::{IdRun, ListedDelta};
use crate::store::pack::{Footer, FooterEntry, read_damaged_ids, read_footer};

/// Decoded bases: neighbours of a chunk that is a delta are deltas against the same ones, and several threads fetch a
/// megabyte each.
const BASE_CACHE_BYTES: u64 = 8 << 20;

/// Footers of packs in which chunks are looked for.
const FOOTER_CACHE_BYTES: u64 = 8 << 20;
const USUAL_FOOTER_BYTES: u64 = 100 << 10;

/// What footers list: the pages of a dump of many versions have ids in packs of dozens of them.
const IDS_CACHE_BYTES: u64 = 12 << 20;
const USUAL_IDS_BYTES: u64 = 64 << 10;

/// What a base holds, not verified: the chunk made of it is.
#[derive(Debug, Clone)]
pub(super) struct BasePlain {
    pub bytes: Arc<[u8]>,
    /// Of the chain of deltas that it ends: 0 for a chunk that needs no other.
    pub depth: u32,
}

impl Weight for BasePlain {
    fn weight_bytes(&self) -> u64 {
        self.bytes.weight_bytes()
    }
}

impl Weight for Arc<[ChunkId]> {
    fn weight_bytes(&self) -> u64 {
        size_of_val(&self[..]) as u64
    }
}

impl Weight for Arc<Footer> {
    fn weight_bytes(&self) -> u64 {
        // Each stands in a list of slots too.
        (self.entries.len() * (size_of::<FooterEntry>() + size_of::<u32>())) as u64
    }
}

/// What is kept of bases.
pub(super) struct BaseCache {
    plains: ByteCache<RecordPlace, BasePlain>,
    footers: ByteCache<WriterObject, Arc<Footer>>,
    ids: ByteCache<WriterObject, Arc<[ChunkId]>>,
}

impl BaseCache {
    pub fn new() -> BaseCache {
        BaseCache {
            plains: ByteCache::new(BASE_CACHE_BYTES, USUAL_CHUNK_BYTES),
            footers: ByteCache::new(FOOTER_CACHE_BYTES, USUAL_FOOTER_BYTES),
            ids: ByteCache::new(IDS_CACHE_BYTES, USUAL_IDS_BYTES),
        }
    }

    pub fn get(&self, place: &RecordPlace) -> Option<BasePlain> {
        self.plains.get(place)
    }

    pub fn insert(&self, place: RecordPlace, plain: BasePlain) {
        self.plains.insert(place, plain);
    }
}

/// What footers list, each looked for once, for runs of ids that take turns with their packs.
pub(in crate::store) struct Listed<'s> {
    store: &'s ChunkStore,
    lists: HashMap<WriterObject, Arc<[ChunkId]>>,
}

impl Listed<'_> {
    /// The ids of a run; nothing where its pack has fewer chunks.
    pub fn ids(&mut self, run: &IdRun) -> Result<Option<&[ChunkId]>> {
        let list = match self.lists.entry(run.pack) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.store.ids_of_pack(&run.pack)?),
        };
        Ok(list.get(run.slots()))
    }
}

impl ChunkStore {
    /// What a record holds, not verified. `depth_left`: how long the chain of its bases may be.
    pub(super) fn plain_of(
        &self,
        record: &ChunkRecord,
        id: &ChunkId,
        pack: &WriterObject,
        depth_left: u32,
    ) -> Result<BasePlain> {
        let mut bases = Vec::new();
        for place in &record.bases {
            bases.push(self.base(place, id, depth_left)?);
        }
        let depth = bases.iter().map(|base| base.depth + 1).max().unwrap_or(0);
        let base: Cow<[u8]> = match &bases[..] {
            [] => Cow::Borrowed(&[]),
            [base] => Cow::Borrowed(&base.bytes),
            several => Cow::Owned(several.iter().map(|base| &base.bytes[..]).collect::<Vec<&[u8]>>().concat()),
        };
        let corrupt = |error: DecodeError| chunk_corrupt(id, pack, &error.to_string());
        let bytes = match record.listed().map_err(corrupt)? {
            Some(delta) => delta.apply(&base, &self.listed_ids(&delta, id)?, record.plain_bytes),
            None => record.decode(&base),
        };
        Ok(BasePlain { bytes: bytes.map_err(corrupt)?, depth })
    }

    /// The ids that the delta of a page left to footers.
    fn listed_ids(&self, delta: &ListedDelta, id: &ChunkId) -> Result<Vec<ChunkId>> {
        let (mut ids, mut lists) = (Vec::new(), self.listed());
        for run in &delta.runs {
            let too_few = || chunk_corrupt(id, &run.pack, "its footer lists fewer chunks than a page left to it");
            ids.extend_from_slice(lists.ids(run)?.ok_or_else(too_few)?);
        }
        Ok(ids)
    }

    /// What footers list.
    pub(in crate::store) fn listed(&self) -> Listed<'_> {
        Listed { store: self, lists: HashMap::new() }
    }

    /// The ids that the footer of a published pack lists, of a damaged one too: what is made of them is to be verified.
    fn ids_of_pack(&self, pack: &WriterObject) -> Result<Arc<[ChunkId]>> {
        self.bases.ids.get_or_load(pack, || match self.footer(pack) {
            Ok(footer) => Ok(footer.entries.iter().map(|entry| entry.id).collect()),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                read_damaged_ids(self.backend.as_ref(), pack).map(Arc::from).map_err(|_| error)
            }
            Err(error) => Err(error),
        })
    }

    /// What a base of chunk `id` holds.
    fn base(&self, place: &RecordPlace, id: &ChunkId, depth_left: u32) -> Result<BasePlain> {
        let too_deep = || chunk_corrupt(id, &place.pack, "the chain of its bases is too long");
        if let Some(known) = self.bases.get(place) {
            return if known.depth < depth_left { Ok(known) } else { Err(too_deep()) };
        }
        // Not loaded through the cache: a chain that bites its tail would wait for itself.
        let depth_left = depth_left.checked_sub(1).ok_or_else(too_deep)?;
        let bytes = self.read_record(place)?;
        let plain = self.plain_of(&self.open_record(&bytes, id, &place.pack)?, id, &place.pack, depth_left)?;
        self.bases.insert(*place, plain.clone());
        Ok(plain)
    }

    /// The base that these chunks make, one after the other: themselves, or where such a one is at the end of a chain that is as long
    /// as any there, what that is told against, near or far. Nothing where one of them is unknown or cannot be read: a base is a luxury.
    pub fn base_of(&self, ids: &[ChunkId], reach: Reach) -> Option<Base> {
        let mut base = Base::default();
        for id in ids {
            if let Err(error) = self.add_to_base(id, reach, &mut base) {
                log::warn!("storing a chunk without its base: {error}");
                return None;
            }
        }
        (!base.parts.is_empty() && base.bytes.len() <= BASES_MAX_BYTES).then_some(base)
    }

    /// A chunk that is told against others is read and verified itself, and vouches for what these hold.
    fn add_to_base(&self, id: &ChunkId, reach: Reach, base: &mut Base) -> Result<()> {
        let location = self.locate(id)?.ok_or(Error::ChunkMissing { id: *id })?;
        let stored = self.stored(&location, id)?;
        let record = self.record_in(&stored, location.member, id, &location.pack)?;
        let plain = self.decode_record(&record, id, &location.pack)?;
        // One of a group always ends a chain.
        if !stored.is_group() && plain.depth < reach.depth_max() {
            base.add(location.place(), &plain.bytes, plain.depth);
            return Ok(());
        }
        let places = match reach {
            Reach::Chains => {
                let junction = self.junction(&record, &location.place(), id)?;
                base.listed.extend(junction.listed);
                junction.places
            }
            Reach::Wholes | Reach::Steps => {
                base.last.extend_from_slice(&plain.bytes);
                record.bases
            }
        };
        places.iter().try_for_each(|place| self.add_place_to_base(place, id, reach, DELTA_DEPTH_MAX, base))
    }

    /// Adds what lies there, a base of chunk `id`, or where that is at the end of too long a chain, its bases.
    fn add_place_to_base(
        &self,
        place: &RecordPlace,
        id: &ChunkId,
        reach: Reach,
        depth_left: u32,
        base: &mut Base,
    ) -> Result<()> {
        let plain = self.base(place, id, depth_left)?;
        if plain.depth < reach.depth_max() {
            base.add(*place, &plain.bytes, plain.depth);
            return Ok(());
        }
        let bytes = self.read_record(place)?;
        let record = self.open_record(&bytes, id, &place.pack)?;
        // It was just read through all of its chain, which so is no longer than that.
        let add = |place| self.add_place_to_base(place, id, reach, depth_left.saturating_sub(1), base);
        record.bases.iter().try_for_each(add)
    }

    /// The footer of a published pack.
    pub(super) fn footer(&self, pack: &WriterObject) -> Result<Arc<Footer>> {
        self.bases.footers.get_or_load(pack, || read_footer(self.backend.as_ref(), pack).map(Arc::new))
    }
}
