//! ChunkWriter: one writing session's way into packs: which chunks are new, and where they go. Every data lane fills a pack
//! of its own, so that a file lies in one piece and threads do not wait for each other.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{ErrorKind, Result};
use crate::id::{ChunkId, WriterId, WriterObject};
use crate::progress::Counters;
use crate::store::base::{Base, Reach};
use crate::store::chunk_encoder::{BaseHint, ChunkEncoder, EncodedChunks};
use crate::store::chunk_record::EncodedChunk;
use crate::store::chunk_store::ChunkStore;
use crate::store::compress::Compression;
use crate::store::data_lane::{DataLane, EncodeQueue};
use crate::store::listed_delta::IdRun;
use crate::store::pack::{self, FinishedPack, PackKind, PackWriter};

/// A data pack is finished once it is this long.
pub const DATA_PACK_BYTES: u64 = 32 << 20;

/// A pack of tree pages is finished once it is this long.
pub const PAGE_PACK_BYTES: u64 = 16 << 20;

/// So is one of so many chunks: until it is published, it takes some hundred bytes of memory for each, and whoever reads a page
/// that lists some of them reads the names of all.
pub const PACK_CHUNKS_MAX: usize = 8 << 10;

/// Parts of the set of this session's chunks, so that threads seldom meet at one lock.
const SESSION_SHARDS: usize = 16;

/// Chunks that were taken on, and of those of data that were appended number of the pack and slot.
type SessionChunks = HashMap<ChunkId, Option<(u32, u32)>>;

/// Stores the chunks of one session.
pub struct ChunkWriter<'a> {
    store: &'a ChunkStore,
    counters: &'a Counters,
    writer: WriterId,
    compression: Compression,
    next_pack: AtomicU32,
    idle_lanes: Mutex<Vec<PackWriter>>,
    pages: Mutex<PageLane>,
    finished: Mutex<Vec<FinishedPack>>,
    /// Chunks in packs of this session that no record has published yet: the index does not know them.
    session: [Mutex<SessionChunks>; SESSION_SHARDS],
    appended: Sieve,
    /// Packs of this session that were begun and not published.
    unpublished: Mutex<HashSet<u32>>,
    /// Older packs that this session relies on, and whether they are there. An index that says so is not enough: a pack that
    /// was lost meanwhile would leave every later snapshot broken, while its chunks may still be at hand here.
    relied_on: Mutex<HashMap<WriterObject, bool>>,
    /// Some packs must not be relied on.
    distrusts: AtomicBool,
    /// Read every known chunk before relying on it, so that a damaged one is stored again.
    verifies_known: bool,
}

struct PageLane {
    pack: Option<PackWriter>,
    encoder: ChunkEncoder,
    encoded: EncodedChunks,
}

/// Tells of most ids that they were never added, without a lock.
struct Sieve(Vec<AtomicU64>);

const SIEVE_BITS: u32 = 20;

impl Default for Sieve {
    fn default() -> Sieve {
        Sieve((0..(1 << SIEVE_BITS) / u64::BITS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Sieve {
    fn bit_of(id: &[u8; ChunkId::LEN]) -> (usize, u64) {
        let bit = u32::from_le_bytes([id[0], id[1], id[2], id[3]]) >> (u32::BITS - SIEVE_BITS);
        ((bit / u64::BITS) as usize, 1 << (bit % u64::BITS))
    }

    fn add(&self, id: &ChunkId) {
        let (word, bit) = Sieve::bit_of(&id.0);
        self.0[word].fetch_or(bit, Ordering::Relaxed);
    }

    fn may_hold(&self, id: &[u8; ChunkId::LEN]) -> bool {
        let (word, bit) = Sieve::bit_of(id);
        self.0[word].load(Ordering::Relaxed) & bit != 0
    }
}

/// Every value guarded here stays whole if a holder panics; the session is given up then anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> ChunkWriter<'a> {
    pub fn new(
        store: &'a ChunkStore,
        writer: WriterId,
        compression: Compression,
        counters: &'a Counters,
    ) -> ChunkWriter<'a> {
        ChunkWriter {
            store,
            counters,
            writer,
            compression,
            next_pack: AtomicU32::new(0),
            idle_lanes: Mutex::default(),
            pages: Mutex::new(PageLane {
                pack: None,
                encoder: ChunkEncoder::of_pages(compression),
                encoded: EncodedChunks::default(),
            }),
            finished: Mutex::default(),
            session: Default::default(),
            appended: Sieve::default(),
            unpublished: Mutex::default(),
            relied_on: Mutex::default(),
            distrusts: AtomicBool::new(false),
            verifies_known: false,
        }
    }

    /// Where chunks are read that were stored before.
    pub fn store(&self) -> &'a ChunkStore {
        self.store
    }

    /// The same, but every chunk that is known already is read and verified before it is relied on.
    pub fn verifying_known(mut self) -> ChunkWriter<'a> {
        self.verifies_known = true;
        self
    }

    /// Whether a chunk need not be looked for that the last snapshot has: all that a snapshot refers to was published, and
    /// when the session began no pack was lost.
    pub(super) fn trusts_last_snapshot(&self) -> bool {
        !self.verifies_known && !self.distrusts.load(Ordering::Relaxed)
    }

    /// Never relies on these packs: what they hold is stored again.
    pub fn distrust(&self, packs: &[WriterObject]) {
        self.distrusts.fetch_or(!packs.is_empty(), Ordering::Relaxed);
        lock(&self.relied_on).extend(packs.iter().map(|pack| (*pack, false)));
    }

    /// A lane for one thread's data; released or dropped, it leaves its half-full pack to others. With a queue, others help
    /// it with large files.
    pub fn data_lane(&self, queue: Option<EncodeQueue>) -> DataLane<'_, 'a> {
        DataLane::new(self, queue, self.encoder())
    }

    /// A lane for lists and other texts that the ingest makes, which are alike line by line: they are compressed as pages are.
    pub fn list_lane(&self) -> DataLane<'_, 'a> {
        DataLane::new(self, None, ChunkEncoder::new(self.compression.of_lists()))
    }

    /// Makes records as this session's data is stored.
    pub(super) fn encoder(&self) -> ChunkEncoder {
        ChunkEncoder::new(self.compression)
    }

    /// A pack that another lane left half-full.
    pub(super) fn idle_pack(&self) -> Option<PackWriter> {
        lock(&self.idle_lanes).pop()
    }

    pub(super) fn leave_idle(&self, pack: Option<PackWriter>) {
        if pack.is_some() {
            lock(&self.idle_lanes).extend(pack);
        }
    }

    /// Stores a tree page (or a list of attributes) and returns its id. One that `lists_chunks` leaves the ids of this
    /// session's chunks, and of some older ones, to the footers of their packs.
    pub fn put_page(&self, plain: &[u8], lists_chunks: bool, hint: &dyn Fn() -> BaseHint) -> Result<ChunkId> {
        let id = ChunkId::of(plain);
        if self.is_new(&id)? {
            let hint = hint();
            let base = self.base_for(&hint)?;
            let older = base.as_ref().map(|base| self.older_slots(&base.listed)).unwrap_or_default();
            let slot_of = |id: &[u8; ChunkId::LEN]| self.slot_of(id).or_else(|| older.get(&ChunkId(*id)).copied());
            let mut lane = lock(&self.pages);
            let PageLane { pack, encoder, encoded } = &mut *lane;
            encoded.clear();
            let page = match lists_chunks {
                true => encoder.encode_listing(&id, plain, &hint, base, &slot_of, encoded)?,
                false => encoder.encode(&id, plain, &hint, base, &|| Ok(None), encoded)?,
            };
            let full = self.append(pack, PackKind::Pages, id, plain.len(), encoded.get(&page, plain))?;
            // Meanwhile others store pages.
            drop(lane);
            full.map_or(Ok(()), |full| self.finish(full))?;
        }
        Ok(id)
    }

    /// What the records of this session take in packs, all of them once [`ChunkWriter::finish_open`] was called.
    pub fn bytes_stored(&self) -> u64 {
        Counters::get(&self.counters.bytes_stored)
    }

    /// Packs finished so far and not yet taken.
    pub fn finished_count(&self) -> usize {
        lock(&self.finished).len()
    }

    /// Chunks in these.
    pub fn finished_chunks(&self) -> usize {
        lock(&self.finished).iter().map(|pack| pack.entries.len()).sum()
    }

    /// Takes the finished packs, for publication in a segment; not those that need another of this session that is neither
    /// published nor among them.
    pub fn take_finished(&self) -> Vec<FinishedPack> {
        let mut finished = lock(&self.finished);
        let unpublished = lock(&self.unpublished);
        let mut ready = std::mem::take(&mut *finished);
        loop {
            let here: HashSet<u32> = ready.iter().map(|pack| pack.summary.name.number).collect();
            let is_safe = |needed: &WriterObject| {
                needed.writer != self.writer || !unpublished.contains(&needed.number) || here.contains(&needed.number)
            };
            let (safe, waiting): (Vec<_>, Vec<_>) =
                ready.into_iter().partition(|pack| pack.base_packs.iter().all(is_safe));
            ready = safe;
            if waiting.is_empty() {
                return ready;
            }
            finished.extend(waiting);
        }
    }

    /// A pack that was begun and is neither published nor among these: what is in it is lost.
    pub fn missing_beside(&self, packs: &[FinishedPack]) -> Option<WriterObject> {
        let unpublished = lock(&self.unpublished);
        let here: HashSet<u32> = packs.iter().map(|pack| pack.summary.name.number).collect();
        let missing = unpublished.iter().copied().find(|number| !here.contains(number))?;
        Some(WriterObject { writer: self.writer, number: missing })
    }

    /// Gives back what [`ChunkWriter::take_finished`] took, because it could not be published.
    pub fn put_back(&self, packs: Vec<FinishedPack>) {
        lock(&self.finished).extend(packs);
    }

    /// Finishes every open pack, also where one of them cannot be. The lanes must have been dropped.
    pub fn finish_open(&self) -> Result<()> {
        let idle = std::mem::take(&mut *lock(&self.idle_lanes));
        let page_pack = lock(&self.pages).pack.take();
        let finished = idle.into_iter().chain(page_pack).map(|pack| self.finish(pack));
        finished.fold(Ok(()), Result::and)
    }

    /// Makes a pack durable.
    pub(super) fn finish(&self, mut pack: PackWriter) -> Result<()> {
        self.counting_written(&mut pack, PackWriter::end_group)?;
        let finished = pack.finish()?;
        lock(&self.finished).push(finished);
        Ok(())
    }

    /// Counts what this writes of records.
    fn counting_written<T>(
        &self,
        pack: &mut PackWriter,
        write: impl FnOnce(&mut PackWriter) -> Result<T>,
    ) -> Result<T> {
        let before = pack.len_bytes();
        let written = write(pack)?;
        Counters::add(&self.counters.bytes_stored, pack.len_bytes() - before);
        Ok(written)
    }

    /// Forgets chunks that the index knows by now, because a record published their packs.
    pub fn published(&self, packs: &[FinishedPack]) {
        for pack in packs {
            for entry in &pack.entries {
                lock(self.shard(&entry.id)).remove(&entry.id);
            }
            lock(&self.unpublished).remove(&pack.summary.name.number);
        }
    }

    /// Where the footer of an unpublished pack of data lists an id.
    fn slot_of(&self, id: &[u8; ChunkId::LEN]) -> Option<(WriterObject, u32)> {
        if !self.appended.may_hold(id) {
            return None;
        }
        let id = ChunkId(*id);
        let (number, slot) = lock(self.shard(&id)).get(&id).copied()??;
        Some((WriterObject { writer: self.writer, number }, slot))
    }

    /// Which ids these runs are, in packs that this session may rely on.
    fn older_slots(&self, runs: &[IdRun]) -> HashMap<ChunkId, (WriterObject, u32)> {
        let (mut slots, mut lists) = (HashMap::new(), self.store.listed());
        for run in runs {
            // What no footer tells is told by the page.
            if self.is_there(&run.pack).unwrap_or(false)
                && let Ok(Some(ids)) = lists.ids(run)
            {
                slots.extend((run.first..).zip(ids).map(|(slot, id)| (*id, (run.pack, slot))));
            }
        }
        slots
    }

    fn shard(&self, id: &ChunkId) -> &Mutex<SessionChunks> {
        &self.session[usize::from(id.0[0]) % SESSION_SHARDS]
    }

    /// Whether the caller has to store this chunk. Asked once a chunk: the first asker is told yes and must do it.
    /// Only published packs and this very session count as knowing a chunk.
    pub(super) fn is_new(&self, id: &ChunkId) -> Result<bool> {
        if lock(self.shard(id)).contains_key(id) {
            return Ok(false);
        }
        match self.store.locate(id)? {
            Some(location) if self.is_there(&location.pack)? && self.is_whole(id)? => Ok(false),
            _ => Ok(lock(self.shard(id)).insert(*id, None).is_none()),
        }
    }

    /// The base that a hint leads to, in packs that this session may rely on.
    pub(super) fn base_for(&self, hint: &BaseHint) -> Result<Option<Base>> {
        self.base_within(hint, hint.use_of_base.reach())
    }

    /// The same, but where it has steps, what they are told against.
    pub(super) fn older_base_for(&self, hint: &BaseHint) -> Result<Option<Base>> {
        self.base_within(hint, Reach::Wholes)
    }

    fn base_within(&self, hint: &BaseHint, reach: Reach) -> Result<Option<Base>> {
        if hint.chunks.is_empty() {
            return Ok(None);
        }
        let Some(base) = self.store.base_of(&hint.chunks, reach) else { return Ok(None) };
        for part in &base.parts {
            if !self.is_there(&part.place.pack)? {
                return Ok(None);
            }
        }
        Ok(Some(base))
    }

    /// Whether a known chunk can be read, where this session looks that closely.
    fn is_whole(&self, id: &ChunkId) -> Result<bool> {
        if !self.verifies_known {
            return Ok(true);
        }
        match self.store.load(id) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                log::warn!("storing a chunk again: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a published pack is really there; asked of the backend once a pack.
    fn is_there(&self, pack: &WriterObject) -> Result<bool> {
        if let Some(known) = lock(&self.relied_on).get(pack) {
            return Ok(*known);
        }
        let there = pack::is_there(self.store.backend().as_ref(), pack)?;
        if !there {
            log::warn!("pack {pack} is lost or cut short: storing again what it held");
        }
        lock(&self.relied_on).insert(*pack, there);
        Ok(there)
    }

    /// Appends a chunk to the pack that is open, or to a new one. One that is full is given, to be finished.
    pub(super) fn append(
        &self,
        open: &mut Option<PackWriter>,
        kind: PackKind,
        id: ChunkId,
        plain_bytes: usize,
        encoded: EncodedChunk,
    ) -> Result<Option<PackWriter>> {
        let pack = match open {
            Some(pack) => pack,
            None => open.insert(self.start_pack(kind)?),
        };
        let appended = self.counting_written(pack, |pack| pack.append(id, plain_bytes as u32, &encoded));
        let slot = match appended {
            Ok(slot) => slot,
            Err(error) => {
                // Nobody knows what is in it; without it there may be room again for what can still be kept.
                *open = None;
                return Err(error);
            }
        };
        if kind == PackKind::Data {
            lock(self.shard(&id)).insert(id, Some((pack.number(), slot)));
            self.appended.add(&id);
        }
        Counters::add(&self.counters.bytes_new, plain_bytes as u64);
        let full_bytes = match kind {
            PackKind::Data => DATA_PACK_BYTES,
            PackKind::Pages => PAGE_PACK_BYTES,
        };
        let is_full = pack.len_bytes() >= full_bytes || pack.chunks() >= PACK_CHUNKS_MAX;
        Ok(is_full.then(|| open.take()).flatten())
    }

    fn start_pack(&self, kind: PackKind) -> Result<PackWriter> {
        let number = self.next_pack.fetch_add(1, Ordering::Relaxed);
        lock(&self.unpublished).insert(number);
        PackWriter::start(self.store.backend().as_ref(), WriterObject { writer: self.writer, number }, kind)
    }
}
