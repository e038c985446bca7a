//! ChunkStore: reads chunks by id, verified, through a bounded cache; keeps the chunk index in step with what the
//! catalog says is published.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, WriterObject};
use crate::progress::Monitor;
use crate::store::backend::{Backend, ByteRange};
use crate::store::cache::ByteCache;
use crate::store::index::{Applied, AppliedMark, ChunkIndex, Location, Missing, OVERLAY_MAX_CHUNKS, PackChunks};
use crate::store::pack::{PACK_FOLDER, decode_record, pack_key, read_footer_of};
use crate::store::segment::{SegmentRef, read_segment};

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
    /// What the index (with its overlay) covers; also what it is rebuilt from.
    published: Mutex<PublishedSegments>,
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
            published: Mutex::new(PublishedSegments { mark: nothing, segments: Arc::default() }),
        }
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
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

    /// Reads a chunk past the cache: for `check`, which must see the disk, and for data that is used once.
    pub fn load(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        let location = self.locate(id)?.ok_or(Error::ChunkMissing { id: *id })?;
        let range = ByteRange::At { offset: location.offset, length: u64::from(location.record_bytes) };
        let record = self.backend.get_range(&pack_key(&location.pack), range)?;
        decode_record(&record, id, &location.pack)
    }

    /// Where a published chunk lies; `None` where no published pack holds it.
    pub fn locate(&self, id: &ChunkId) -> Result<Option<Location>> {
        match self.index.get(id) {
            Err(Error::Index { operation, reason }) => {
                log::warn!("cannot {operation} the chunk index ({reason}); rebuilding it from the packs");
                self.rebuild(&lock(&self.published))?;
                self.index.get(id)
            }
            found => found,
        }
    }

    /// [`ChunkStore::locate`] for many chunks, in their order, at less than the price of each alone.
    pub fn locate_many(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>> {
        match self.index.get_many(ids) {
            Err(Error::Index { operation, reason }) => {
                log::warn!("cannot {operation} the chunk index ({reason}); rebuilding it from the packs");
                self.rebuild_index()?;
                self.index.get_many(ids)
            }
            found => found,
        }
    }

    /// Builds the index anew from segments and packs: for `check`, where the two do not agree.
    pub fn rebuild_index(&self) -> Result<()> {
        self.rebuild(&lock(&self.published))
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
            Err(Error::Index { operation, reason }) => {
                monitor.note(&format!("cannot {operation} the chunk index ({reason}): rebuilding it"));
                self.rebuild(&published)
            }
            other => other,
        };
        let done = done.or_else(|error| {
            if error.kind() == ErrorKind::Unsupported {
                return Err(error);
            }
            // A full disk, or one pack that cannot be read now: what can be found is still found, it only takes memory.
            // The index itself stays behind, so that the next one tries again.
            monitor.note(&format!("keeping the chunk index in memory: {error}"));
            let readable = self.packs_of(&published.segments).filter(|pack| {
                let unreadable = pack.as_ref().err().filter(|error| error.kind() != ErrorKind::Unsupported);
                unreadable.inspect(|error| log::error!("passing over a pack: {error}")).is_none()
            });
            self.index.overlay(published.mark, &mut { readable })
        });
        done.map(|()| *known = published)
    }

    /// Brings the index from `mark` to `published`; where another process is writing it, or nobody may, what is newer
    /// goes into the overlay.
    fn catch_up(&self, mark: AppliedMark, published: &PublishedSegments) -> Result<()> {
        let covered = self.index.followed().map_or(0, |mark| mark.sequence);
        let lag = published.mark.sequence.saturating_sub(mark.sequence);
        if newer_than(&published.segments, covered).is_empty() && lag < MARK_LAG_MAX_RECORDS {
            return Ok(());
        }
        let missing = |mark| Ok(self.missing(mark, published));
        let applied = match self.index.overlay_len() >= OVERLAY_MAX_CHUNKS {
            true => self.index.apply(missing)?,
            false => self.index.try_apply(missing)?,
        };
        self.overlay_unless(applied, covered, published)
    }

    fn rebuild(&self, published: &PublishedSegments) -> Result<()> {
        let applied = self.index.rebuild(|mark| Ok(self.missing(mark, published)))?;
        self.overlay_unless(applied, 0, published)
    }

    /// Keeps in memory what the index on disk could not take.
    fn overlay_unless(&self, applied: Applied, covered: u64, published: &PublishedSegments) -> Result<()> {
        match applied {
            Applied::Done => Ok(()),
            Applied::LockTaken | Applied::ReadOnly => {
                let unseen = newer_than(&published.segments, covered);
                self.index.overlay(published.mark, &mut self.packs_of(unseen))
            }
        }
    }

    /// Published packs that are gone or not as long as they were, by the backend's listing. What cannot be told by a
    /// listing is not asked: `check` looks closer.
    pub fn lost_packs(&self) -> Result<Vec<WriterObject>> {
        let segments = lock(&self.published).segments.clone();
        let listed = self.backend.list_after(PACK_FOLDER, None)?;
        let sizes: HashMap<String, u64> = listed.into_iter().map(|listed| (listed.key, listed.size_bytes)).collect();
        let mut lost = Vec::new();
        for published in segments.iter() {
            let packs = match read_segment(self.backend.as_ref(), &published.segment) {
                // Which packs a damaged segment names, nobody knows any more.
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                packs => packs?,
            };
            let gone = packs.iter().filter(|pack| sizes.get(&pack_key(&pack.name)) != Some(&pack.file_bytes));
            lost.extend(gone.map(|pack| pack.name));
        }
        Ok(lost)
    }

    /// What an index with this mark lacks.
    fn missing<'a>(&'a self, mark: Option<AppliedMark>, published: &'a PublishedSegments) -> Option<Missing<'a>> {
        let sequence = mark.map_or(0, |mark| mark.sequence);
        if mark.is_some() && sequence >= published.mark.sequence {
            return None;
        }
        let packs = Box::new(self.packs_of(newer_than(&published.segments, sequence)));
        Some(Missing { to: published.mark, packs })
    }

    /// The footers of every pack that these segments name, read one at a time. Damaged and missing ones are passed over:
    /// only what they held is lost then.
    fn packs_of<'a>(&'a self, segments: &'a [Published]) -> impl Iterator<Item = Result<PackChunks>> + 'a {
        let packs = segments.iter().flat_map(|published| {
            let packs = read_segment(self.backend.as_ref(), &published.segment);
            let (packs, failure) = match packs {
                Ok(packs) => (packs, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let footers = packs.into_iter().map(|summary| {
                let footer = read_footer_of(self.backend.as_ref(), &summary)?;
                let chunks = footer.iter().map(|slot| (slot.id, slot.offset, slot.record_bytes, slot.plain_bytes));
                Ok(PackChunks { pack: summary.name, chunks: chunks.collect() })
            });
            footers.chain(failure)
        });
        packs.filter(|pack| match pack {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                log::error!("passing over a pack: {error}");
                false
            }
            _ => true,
        })
    }
}

/// Catalog records without segments that may pass before the index's mark is moved for their sake alone.
const MARK_LAG_MAX_RECORDS: u64 = 64;

/// The segments published by records after `sequence`.
fn newer_than(segments: &[Published], sequence: u64) -> &[Published] {
    let first = segments.partition_point(|published| published.sequence <= sequence);
    &segments[first..]
}
