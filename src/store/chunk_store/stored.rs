//! What stands at a place of a pack: the record of one chunk, or that of a group. A group serves all of its chunks, so it is
//! kept for them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ChunkStore, chunk_corrupt};
use crate::codec::DecodeError;
use crate::error::Result;
use crate::id::{ChunkId, WriterObject};
use crate::store::backend::ByteRange;
use crate::store::cache::ByteCache;
use crate::store::chunk_record::{ChunkRecord, RecordPlace};
use crate::store::delta_group::DeltaGroup;
use crate::store::index::Location;
use crate::store::pack::{FooterEntry, damage_or_newer, pack_key};

/// Groups that were read, and what one usually weighs.
const GROUP_CACHE_BYTES: u64 = 4 << 20;
const USUAL_GROUP_BYTES: u64 = 48 << 10;

/// Groups by their places.
pub(super) struct GroupCache(ByteCache<RecordPlace, Arc<DeltaGroup>>);

impl GroupCache {
    pub fn new() -> GroupCache {
        GroupCache(ByteCache::new(GROUP_CACHE_BYTES, USUAL_GROUP_BYTES))
    }

    pub fn get(&self, place: &RecordPlace) -> Option<Arc<DeltaGroup>> {
        self.0.get(place)
    }
}

/// A record as it was read.
pub(super) enum Stored<'b> {
    Chunk(Cow<'b, [u8]>),
    Group(Arc<DeltaGroup>),
}

impl<'b> Stored<'b> {
    fn open(bytes: Cow<'b, [u8]>) -> Result<Stored<'b>, DecodeError> {
        match DeltaGroup::is_in(&bytes) {
            true => DeltaGroup::open(&bytes).map(|group| Stored::Group(Arc::new(group))),
            false => Ok(Stored::Chunk(bytes)),
        }
    }

    pub fn into_owned(self) -> Stored<'static> {
        match self {
            Stored::Chunk(bytes) => Stored::Chunk(Cow::Owned(bytes.into_owned())),
            Stored::Group(group) => Stored::Group(group),
        }
    }

    pub fn is_group(&self) -> bool {
        matches!(self, Stored::Group(_))
    }

    /// The record of one of its chunks.
    ///
    /// # Errors
    /// As [`ChunkRecord::open`]; no codec of the future is told from damage.
    pub fn record(&self, member: u32, id: &ChunkId, pack: &WriterObject) -> Result<ChunkRecord<'_>> {
        match self {
            Stored::Chunk(bytes) if member == 0 => ChunkRecord::open(bytes, id, pack),
            Stored::Chunk(_) => Err(chunk_corrupt(id, pack, "its record holds one chunk, its footer tells of more")),
            Stored::Group(group) => group
                .member(member)
                .ok_or_else(|| chunk_corrupt(id, pack, "its group has fewer chunks than its footer tells")),
        }
    }
}

impl ChunkStore {
    /// What lies there. A group that was read lately is not read again.
    pub(super) fn stored(&self, location: &Location, id: &ChunkId) -> Result<Stored<'static>> {
        let place = location.place();
        match self.groups.get(&place) {
            Some(group) => Ok(Stored::Group(group)),
            None => self.keeping_groups(&place, id, Cow::Owned(self.read_record(&place)?)),
        }
    }

    /// Takes apart what was read from there, once for all chunks of a group.
    pub(super) fn keeping_groups<'b>(
        &self,
        place: &RecordPlace,
        id: &ChunkId,
        bytes: Cow<'b, [u8]>,
    ) -> Result<Stored<'b>> {
        if let Some(group) = self.groups.get(place) {
            return Ok(Stored::Group(group));
        }
        let stored = Stored::open(bytes).map_err(|error| chunk_corrupt(id, &place.pack, &error.to_string()))?;
        if let Stored::Group(group) = &stored {
            self.groups_opened.fetch_add(1, Ordering::Relaxed);
            self.groups.0.insert(*place, group.clone());
        }
        Ok(stored)
    }

    pub(super) fn read_record(&self, place: &RecordPlace) -> Result<Vec<u8>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.records_read.fetch_add(1, Ordering::Relaxed);
        let range = ByteRange::At { offset: place.offset, length: u64::from(place.record_bytes) };
        self.backend.get_range(&pack_key(&place.pack), range)
    }

    /// The record of a base, which is of one chunk.
    pub(super) fn open_record<'r>(
        &self,
        record: &'r [u8],
        id: &ChunkId,
        pack: &WriterObject,
    ) -> Result<ChunkRecord<'r>> {
        ChunkRecord::open(record, id, pack).map_err(|error| damage_or_newer(self.backend.as_ref(), id, pack, error))
    }

    /// The record of one chunk in what was read from `pack`.
    ///
    /// # Errors
    /// [`Error::ChunkCorrupt`](crate::Error::ChunkCorrupt) where it is none,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a codec from the future.
    pub(super) fn record_in<'r>(
        &self,
        stored: &'r Stored,
        member: u32,
        id: &ChunkId,
        pack: &WriterObject,
    ) -> Result<ChunkRecord<'r>> {
        stored.record(member, id, pack).map_err(|error| damage_or_newer(self.backend.as_ref(), id, pack, error))
    }

    /// Decodes and verifies all chunks of a record that was read from `pack`, past all that is kept: for `check`.
    pub fn verify<'e>(
        &self,
        record: &[u8],
        entries: &'e [FooterEntry],
        pack: &WriterObject,
        each: &mut dyn FnMut(&'e FooterEntry, Result<Arc<[u8]>>),
    ) {
        let opened = Stored::open(Cow::Borrowed(record));
        for entry in entries {
            let record = match &opened {
                Ok(stored) => self.record_in(stored, entry.member, &entry.id, pack),
                Err(error) => Err(chunk_corrupt(&entry.id, pack, &error.to_string())),
            };
            let plain = record.and_then(|record| self.decode_record(&record, &entry.id, pack));
            each(entry, plain.map(|plain| plain.bytes));
        }
    }
}
