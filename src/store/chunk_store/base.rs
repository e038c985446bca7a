//! What deltas refer to: reading the bases of a chunk, and choosing those of a new one.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ChunkStore, USUAL_CHUNK_BYTES, chunk_corrupt};
use crate::codec::DecodeError;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, WriterObject};
use crate::store::cache::{ByteCache, Weight};
use crate::store::chunk_record::{BASES_MAX, ChunkRecord, RecordPlace};
use crate::store::delta::BASES_MAX_BYTES;
use crate::store::listed_delta::ListedDelta;
use crate::store::pack::{Footer, FooterEntry, read_damaged_ids, read_footer};

/// Decoded bases: neighbours of a chunk that is a delta are deltas against the same ones, and several threads fetch a
/// megabyte each.
const BASE_CACHE_BYTES: u64 = 8 << 20;

/// Footers of packs that bases lie in, and that list ids of pages.
const FOOTER_CACHE_BYTES: u64 = 8 << 20;
const USUAL_FOOTER_BYTES: u64 = 100 << 10;

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

impl Weight for Arc<Footer> {
    fn weight_bytes(&self) -> u64 {
        // Each stands in a list of slots too.
        (self.entries.len() * (size_of::<FooterEntry>() + size_of::<u32>())) as u64
    }
}

/// What a new chunk may be told against: the plain bytes of chunks that are published.
#[derive(Debug, Default)]
pub struct Base {
    pub places: Vec<RecordPlace>,
    pub bytes: Vec<u8>,
}

/// What is kept of bases.
pub(super) struct BaseCache {
    plains: ByteCache<RecordPlace, BasePlain>,
    footers: ByteCache<WriterObject, Arc<Footer>>,
}

impl BaseCache {
    pub fn new() -> BaseCache {
        BaseCache {
            plains: ByteCache::new(BASE_CACHE_BYTES, USUAL_CHUNK_BYTES),
            footers: ByteCache::new(FOOTER_CACHE_BYTES, USUAL_FOOTER_BYTES),
        }
    }

    pub fn get(&self, place: &RecordPlace) -> Option<BasePlain> {
        self.plains.get(place)
    }

    pub fn insert(&self, place: RecordPlace, plain: BasePlain) {
        self.plains.insert(place, plain);
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
        let mut ids = Vec::new();
        for run in &delta.runs {
            let slots = run.first as usize..(run.first as usize).saturating_add(run.count as usize);
            let listed = match self.footer(&run.pack) {
                Ok(footer) => footer.entries.get(slots).map(|entries| ids.extend(entries.iter().map(|entry| entry.id))),
                // The page that is made of them is verified.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let damaged = read_damaged_ids(self.backend.as_ref(), &run.pack).map_err(|_| error)?;
                    damaged.get(slots).map(|damaged| ids.extend_from_slice(damaged))
                }
                Err(error) => return Err(error),
            };
            let too_few = || chunk_corrupt(id, &run.pack, "its footer lists fewer chunks than a page left to it");
            listed.ok_or_else(too_few)?;
        }
        Ok(ids)
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

    /// The base that these chunks make, one after the other: themselves, or where such a one is at the end of a chain of
    /// `depth_max` deltas, its bases. Nothing where one of them is unknown or cannot be read: a base is a luxury.
    pub fn base_of(&self, ids: &[ChunkId], depth_max: u32) -> Option<Base> {
        let mut base = Base::default();
        for id in ids {
            if let Err(error) = self.add_to_base(id, depth_max, &mut base) {
                log::warn!("storing a chunk without its base: {error}");
                return None;
            }
        }
        let fits = (1..=BASES_MAX).contains(&base.places.len()) && base.bytes.len() <= BASES_MAX_BYTES;
        fits.then_some(base)
    }

    fn add_to_base(&self, id: &ChunkId, depth_max: u32, base: &mut Base) -> Result<()> {
        let location = self.locate(id)?.ok_or(Error::ChunkMissing { id: *id })?;
        let stored = self.stored(&location, id)?;
        let record = self.record_in(&stored, location.member, id, &location.pack)?;
        // Where no chain may go on, a delta need not be decoded to find that it ends one. One of a group always does.
        if record.bases.is_empty() || depth_max > 1 && !stored.is_group() {
            let plain = self.decode_record(&record, id, &location.pack)?;
            if plain.depth < depth_max {
                base.add(location.place(), &plain.bytes);
                return Ok(());
            }
        }
        for place in &record.bases {
            let of_base = self.id_at(place)?;
            let bytes = self.read_record(place)?;
            let record = self.open_record(&bytes, &of_base, &place.pack)?;
            base.add(*place, &self.decode_record(&record, &of_base, &place.pack)?.bytes);
        }
        Ok(())
    }

    /// The footer of a published pack.
    pub(super) fn footer(&self, pack: &WriterObject) -> Result<Arc<Footer>> {
        self.bases.footers.get_or_load(pack, || read_footer(self.backend.as_ref(), pack).map(Arc::new))
    }

    /// Which chunk's record lies there.
    fn id_at(&self, place: &RecordPlace) -> Result<ChunkId> {
        let found = self.footer(&place.pack)?.at(place.offset);
        let found = found.filter(|entry| entry.record_bytes == place.record_bytes);
        let reason = || format!("no record of {} bytes begins at byte {}", place.record_bytes, place.offset);
        found.map(|entry| entry.id).ok_or_else(|| Error::corrupt(format!("pack {}", place.pack), reason()))
    }
}

impl Base {
    /// Adds one more; what is there already is not added again.
    fn add(&mut self, place: RecordPlace, plain: &[u8]) {
        if !self.places.contains(&place) {
            self.places.push(place);
            self.bytes.extend_from_slice(plain);
        }
    }
}
