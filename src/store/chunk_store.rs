//! ChunkStore: reads chunks by id, verified, through a bounded cache; keeps the chunk index in step with what the
//! catalog says is published.

mod base;
mod bulk;
mod chain;
mod known_packs;
mod stored;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, WriterObject};
use crate::progress::Monitor;
use crate::store::backend::Backend;
use crate::store::cache::ByteCache;
use crate::store::chunk_record::{ChunkRecord, DELTA_DEPTH_MAX};
use crate::store::index::{
    Applied, AppliedMark, ChunkIndex, Location, Missing, OVERLAY_MAX_ENTRIES, PackChunks, PackFile,
};
use crate::store::pack::{Footer, PACK_FOLDER, PackSummary, pack_key, read_footer_of};
use crate::store::segment::{SegmentRef, read_segment};

use base::{BaseCache, BasePlain};
use known_packs::KnownPacks;
use stored::GroupCache;

/// A segment and the catalog record that published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub sequence: u64,
    pub segment: SegmentRef,
}

/// What the catalog says is published, up to one of its records.
#[derive(Debug, Clone)]
pub struct PublishedSegments {
    pub mark: AppliedMark,
    /// In order of their records.
    pub segments: Arc<Vec<Published>>,
}

/// Chunks of one repository, read side.
pub struct ChunkStore {
    backend: Arc<dyn Backend>,
    index: ChunkIndex,
    cache: ByteCache<ChunkId, Arc<[u8]>>,
    bases: BaseCache,
    groups: GroupCache,
    calls: AtomicU64,
    records_read: AtomicU64,
    chunks_decoded: AtomicU64,
    known_packs: Mutex<KnownPacks>,
    lookups: AtomicU64,
    groups_opened: AtomicU64,
    /// What the index (with its overlay) covers; also what it is rebuilt from.
    published: Mutex<PublishedSegments>,
}

/// What reading took since the store was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadCounts {
    /// Calls of the storage that brought records, one or many.
    pub calls: u64,
    /// Records read from packs, those of bases too.
    pub records: u64,
    /// Chunks decoded and verified; not counted are bases.
    pub decoded: u64,
    /// Chunks looked for in the index.
    pub lookups: u64,
    /// Groups of deltas that were decompressed and taken apart.
    pub groups: u64,
}

/// What a chunk is taken to weigh when the cache sizes its table.
const USUAL_CHUNK_BYTES: u64 = 16 << 10;

/// A mutex whose holder panicked still guards whole values here: every change under it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ChunkStore {
    /// A store over `backend` whose chunks are found through `index`. It knows of no chunk before
    /// [`ChunkStore::follow`] was called.
    pub fn new(backend: Arc<dyn Backend>, index: ChunkIndex, cache_bytes: u64) -> ChunkStore {
        let nothing = AppliedMark { sequence: 0, record_hash: [0; 32] };
        ChunkStore {
            backend,
            index,
            cache: ByteCache::new(cache_bytes, USUAL_CHUNK_BYTES),
            bases: BaseCache::new(),
            groups: GroupCache::new(),
            calls: AtomicU64::new(0),
            records_read: AtomicU64::new(0),
            chunks_decoded: AtomicU64::new(0),
            known_packs: Mutex::default(),
            lookups: AtomicU64::new(0),
            groups_opened: AtomicU64::new(0),
            published: Mutex::new(PublishedSegments { mark: nothing, segments: Arc::default() }),
        }
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub fn read_counts(&self) -> ReadCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            calls: count(&self.calls),
            records: count(&self.records_read),
            decoded: count(&self.chunks_decoded),
            lookups: count(&self.lookups),
            groups: count(&self.groups_opened),
        }
    }

    /// The plain bytes of a chunk, verified against its id.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] where no published pack holds it; [`Error::ChunkCorrupt`], [`Error::ObjectMissing`]
    /// where its pack is damaged or gone.
    pub fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.cache.get_or_load(id, || self.load(id))
    }

    /// The chunk if it is at hand without touching the disk.
    pub fn get_cached(&self, id: &ChunkId) -> Option<Arc<[u8]>> {
        self.cache.get(id)
    }

    /// Reads a chunk past the cache of chunks: for data that is used once.
    pub fn load(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.load_for(id, false)
    }

    /// The same of a chunk that others, which are read next, are told against: it is kept for them.
    pub fn load_base(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.load_for(id, true)
    }

    fn load_for(&self, id: &ChunkId, is_base: bool) -> Result<Arc<[u8]>> {
        let near = lock(&self.known_packs).find(id);
        if let Some(location) = near
            && let Ok(plain) = self.load_from(&location, id, is_base)
        {
            return Ok(plain);
        }
        // What was damaged or lost may have been stored again, which the index alone knows.
        let location = self.look_up(id)?.ok_or(Error::ChunkMissing { id: *id })?;
        self.load_from(&location, id, is_base)
    }

    fn load_from(&self, location: &Location, id: &ChunkId, is_base: bool) -> Result<Arc<[u8]>> {
        let stored = self.stored(location, id)?;
        let record = self.record_in(&stored, location.member, id, &location.pack)?;
        let plain = self.decode_record(&record, id, &location.pack)?;
        // One of a group is no base.
        if is_base && !stored.is_group() {
            self.bases.insert(location.place(), plain.clone());
        }
        Ok(plain.bytes)
    }

    /// The plain bytes of a chunk, checked against its id. Reads its bases.
    ///
    /// # Errors
    /// [`Error::ChunkCorrupt`] where they are not what was written.
    fn decode_record(&self, record: &ChunkRecord, id: &ChunkId, pack: &WriterObject) -> Result<BasePlain> {
        self.chunks_decoded.fetch_add(1, Ordering::Relaxed);
        let plain = self.plain_of(record, id, pack, DELTA_DEPTH_MAX)?;
        if ChunkId::of(&plain.bytes) != *id {
            let bases: Vec<String> = record.bases.iter().map(|base| base.pack.to_string()).collect();
            let or_bases =
                if bases.is_empty() { String::new() } else { format!(", or a base in {}", bases.join(", ")) };
            return Err(chunk_corrupt(id, pack, &format!("its bytes do not have its id{or_bases}")));
        }
        Ok(plain)
    }

    /// Where a published chunk lies; `None` where no published pack holds it.
    pub fn locate(&self, id: &ChunkId) -> Result<Option<Location>> {
        let near = lock(&self.known_packs).find(id);
        near.map_or_else(|| self.look_up(id), |location| Ok(Some(location)))
    }

    fn look_up(&self, id: &ChunkId) -> Result<Option<Location>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let found = self.ask(|index| index.get(id))?;
        if let Some(location) = &found
            && lock(&self.known_packs).note(location)
        {
            self.learn_pack(&location.pack);
        }
        Ok(found)
    }

    fn learn_pack(&self, pack: &WriterObject) {
        match self.footer(pack) {
            Ok(footer) => lock(&self.known_packs).learn(pack, &footer),
            // The index serves as well.
            Err(error) => log::debug!("reading the footer of pack {pack}: {error}"),
        }
    }

    /// [`ChunkStore::locate`] for many chunks, in their order, at less than the price of each alone.
    pub fn locate_many(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>> {
        self.ask(|index| index.get_many(ids))
    }

    /// Every published pack.
    pub fn published_packs(&self) -> Result<HashMap<WriterObject, PackFile>> {
        self.ask(ChunkIndex::packs)
    }

    /// Asks the index; one that turns out to be damaged is mended first.
    fn ask<T>(&self, question: impl Fn(&ChunkIndex) -> Result<T>) -> Result<T> {
        match question(&self.index) {
            Err(Error::Index { .. }) => {}
            answer => return answer,
        }
        let published = lock(&self.published);
        // Another thread may have mended it meanwhile.
        let Err(Error::Index { operation, reason }) = question(&self.index) else { return question(&self.index) };
        log::warn!("cannot {operation} the chunk index ({reason}); rebuilding it from the packs");
        self.rebuild(&published).and_then(|()| question(&self.index)).or_else(|error| {
            self.do_without(&published, Trust::No, error, |text| log::warn!("{text}"))?;
            question(&self.index)
        })
    }

    /// Builds the index anew from segments and packs: for `check`, where the two do not agree.
    pub fn rebuild_index(&self) -> Result<()> {
        let published = lock(&self.published);
        self.rebuild(&published)
            .or_else(|error| self.do_without(&published, Trust::No, error, |text| log::warn!("{text}")))
    }

    /// How far the index on disk has followed the catalog, whoever moved it; `None` where it must be built.
    pub fn index_mark(&self) -> Option<AppliedMark> {
        self.index.refresh().ok().and_then(|()| self.index.mark())
    }

    /// Makes every chunk that `published` names findable. `index_is_ours` tells whether the index's mark lies on this
    /// catalog; where it does not (a repository copied back over a newer one), the index is rebuilt.
    pub fn follow(&self, published: PublishedSegments, index_is_ours: bool, monitor: &dyn Monitor) -> Result<()> {
        let mut known = lock(&self.published);
        let mark = if index_is_ours { self.index_mark() } else { None };
        let done = match mark {
            None => {
                if !published.segments.is_empty() {
                    let why = self.index.damage().unwrap_or_else(|| "missing, or of another history".into());
                    let segments = published.segments.len();
                    monitor.note(&format!("rebuilding the chunk index from {segments} segments ({why})"));
                }
                self.rebuild(&published)
            }
            Some(mark) => self.catch_up(mark, &published),
        };
        let done = match done {
            Err(Error::Index { operation, reason }) if mark.is_some() => {
                monitor.note(&format!("cannot {operation} the chunk index ({reason}): rebuilding it"));
                self.rebuild(&published)
            }
            other => other,
        };
        let done = done.or_else(|error| {
            // What was read from the one on disk so far is right; it only lacks what is new.
            let trust = if mark.is_some() { Trust::Yes } else { Trust::No };
            self.do_without(&published, trust, error, |text| monitor.note(text))
        });
        lock(&self.known_packs).clear();
        done.map(|()| *known = published)
    }

    /// Brings the index from `mark` to `published`; where another process is writing it, or nobody may, what is newer
    /// goes into the overlay.
    fn catch_up(&self, mark: AppliedMark, published: &PublishedSegments) -> Result<()> {
        let covered = self.followed();
        let lag = published.mark.sequence.saturating_sub(mark.sequence);
        if newer_than(&published.segments, covered).is_empty() && lag < MARK_LAG_MAX_RECORDS {
            return Ok(());
        }
        let missing = |mark| Ok(self.missing(mark, published));
        let applied = match self.index.overlay_len() >= OVERLAY_MAX_ENTRIES {
            true => self.index.apply(missing)?,
            false => self.index.try_apply(missing)?,
        };
        match applied {
            Applied::Done => Ok(()),
            Applied::LockTaken | Applied::ReadOnly => self.overlay_newer(published, covered, is_damage),
        }
    }

    fn rebuild(&self, published: &PublishedSegments) -> Result<()> {
        let rebuilt = self.index.rebuild(|mark| Ok(self.missing(mark, published)));
        lock(&self.known_packs).clear();
        match rebuilt? {
            Applied::Done => Ok(()),
            Applied::LockTaken | Applied::ReadOnly => self.keep_in_memory(published, Trust::No, is_damage),
        }
    }

    /// After a rebuild failed, on a full disk or where one pack cannot be read now: what can be found is still found, it
    /// only takes memory. The index on disk stays behind, so that the next one tries again.
    fn do_without(&self, published: &PublishedSegments, trust: Trust, cause: Error, note: impl Fn(&str)) -> Result<()> {
        if is_refusal(&cause) {
            return Err(cause);
        }
        note(&format!("keeping the chunk index in memory: {cause}"));
        self.keep_in_memory(published, trust, |error| !is_refusal(error))
    }

    /// Keeps in memory what the index on disk does not have, or all of it where that one must not be trusted.
    fn keep_in_memory(
        &self,
        published: &PublishedSegments,
        trust: Trust,
        costs_only_itself: fn(&Error) -> bool,
    ) -> Result<()> {
        // Where there is none on disk, what was followed is in memory already.
        let is_covered = trust == Trust::Yes || self.index.mark().is_none();
        self.overlay_newer(published, if is_covered { self.followed() } else { 0 }, costs_only_itself)?;
        if trust == Trust::No {
            self.index.give_up();
        }
        Ok(())
    }

    fn overlay_newer(
        &self,
        published: &PublishedSegments,
        covered: u64,
        costs_only_itself: fn(&Error) -> bool,
    ) -> Result<()> {
        let unseen = newer_than(&published.segments, covered);
        self.index.overlay(published.mark, &mut self.packs_of(unseen, costs_only_itself))
    }

    /// The last record that the index follows, in memory or on disk.
    fn followed(&self) -> u64 {
        self.index.followed().map_or(0, |mark| mark.sequence)
    }

    /// Published packs that are gone or not as long as they were, by the backend's listing, and those that hold deltas
    /// against such. What cannot be told by a listing is not asked: `check` looks closer.
    pub fn lost_packs(&self) -> Result<Vec<WriterObject>> {
        // What must be there comes first: a pack that is published meanwhile is listed too.
        let published = self.published_packs()?;
        let listed = self.backend.list_after(PACK_FOLDER, None)?;
        let sizes: HashMap<String, u64> = listed.into_iter().map(|listed| (listed.key, listed.size_bytes)).collect();
        let is_gone = |(name, file): &(&WriterObject, &PackFile)| sizes.get(&pack_key(name)) != Some(&file.file_bytes);
        let mut lost: BTreeSet<WriterObject> = published.iter().filter(is_gone).map(|(name, _)| *name).collect();
        let mut known = 0;
        while known < lost.len() {
            known = lost.len();
            let of_lost = |file: &PackFile| file.base_packs.iter().any(|base| lost.contains(base));
            let more: Vec<WriterObject> =
                published.iter().filter(|(_, file)| of_lost(file)).map(|(name, _)| *name).collect();
            lost.extend(more);
        }
        Ok(lost.into_iter().collect())
    }

    /// What an index with this mark lacks.
    fn missing<'a>(&'a self, mark: Option<AppliedMark>, published: &'a PublishedSegments) -> Option<Missing<'a>> {
        let sequence = mark.map_or(0, |mark| mark.sequence);
        if mark.is_some() && sequence >= published.mark.sequence {
            return None;
        }
        let packs = Box::new(self.packs_of(newer_than(&published.segments, sequence), is_damage));
        Some(Missing { to: published.mark, packs })
    }

    /// Every pack that these segments name, with the chunks that its footer lists, read one at a time. An error that
    /// `costs_only_itself` is passed over: only the chunks of that segment or pack are lost then.
    fn packs_of<'a>(
        &'a self,
        segments: &'a [Published],
        costs_only_itself: fn(&Error) -> bool,
    ) -> impl Iterator<Item = Result<PackChunks>> + 'a {
        let pass_over = move |error: Error| match costs_only_itself(&error) {
            true => {
                log::error!("passing over a pack: {error}");
                Ok(())
            }
            false => Err(error),
        };
        segments.iter().flat_map(move |published| {
            let (packs, failure) = match read_segment(self.backend.as_ref(), &published.segment) {
                Ok(packs) => (packs, None),
                Err(error) => (Vec::new(), pass_over(error).err()),
            };
            let packs = packs.into_iter().map(move |summary| {
                let footer = read_footer_of(self.backend.as_ref(), &summary);
                let footer = footer.map(Some).or_else(|error| pass_over(error).map(|()| None))?;
                Ok(pack_chunks(&summary, footer))
            });
            packs.chain(failure.map(Err))
        })
    }
}

/// A published pack as the index knows it; without a footer nothing is known of its chunks.
fn pack_chunks(summary: &PackSummary, footer: Option<Footer>) -> PackChunks {
    let (chunks, base_packs) = footer.map(|footer| (footer.entries, footer.base_packs)).unwrap_or_default();
    PackChunks { pack: summary.name, file: PackFile { file_bytes: summary.file_bytes, base_packs }, chunks }
}

/// Whether what is open of the index on disk is right as far as it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Yes,
    No,
}

fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt
}

/// A refusal to guess what a newer version wrote; there is no way around it.
fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

fn chunk_corrupt(id: &ChunkId, pack: &WriterObject, reason: &str) -> Error {
    Error::ChunkCorrupt { id: *id, pack: pack.to_string(), reason: reason.to_string() }
}

/// Catalog records without segments that may pass before the index's mark is moved for their sake alone.
const MARK_LAG_MAX_RECORDS: u64 = 64;

/// The segments published by records after `sequence`.
fn newer_than(segments: &[Published], sequence: u64) -> &[Published] {
    let first = segments.partition_point(|published| published.sequence <= sequence);
    &segments[first..]
}
