//! Chunk index: a disposable cache from chunk id to the place of the chunk's record, and from pack to the length of its
//! file, in `<repo>/index/`.
//!
//! It holds nothing that segments and pack footers do not say; deleted or damaged, it is built anew. One writer at a time
//! holds its lock, for one apply; readers hold an immutable view of the last finished apply and never wait. What could
//! not be applied yet, because somebody else writes or the directory is read-only, is in a bounded overlay in memory.
//!
//! A process must not fork after it opened an index: RocksDB's threads do not follow.

mod database;
mod directory;
mod overlay;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::{ChunkId, RepositoryId, WriterObject};
use crate::store::chunk_record::RecordPlace;
use crate::store::pack::FooterEntry;
use database::{BlockCache, Reader, Writer};
use directory::{Current, Directory, Held, Wait};
use overlay::Overlay;

/// When the overlay holds this many chunks and packs (about 25 MB), its owner must insist on [`ChunkIndex::apply`].
pub const OVERLAY_MAX_ENTRIES: usize = 200_000;

/// Block cache, shared by all that one [`ChunkIndex`] opens.
pub const DEFAULT_CACHE_BYTES: usize = 32 << 20;

/// An open that failed is tried again this often while a writer is at work, ...
const OPEN_ATTEMPTS: usize = 100;
/// ... and this far apart: two seconds in all.
const OPEN_INTERVAL: Duration = Duration::from_millis(20);

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub pack: WriterObject,
    /// Number of the chunk in its pack, from 0.
    pub slot: u32,
    /// Of the chunk's record in the pack, in bytes.
    pub offset: u64,
    /// Header and payload.
    pub record_bytes: u32,
    /// Which of the chunks of the record it is, from 0.
    pub member: u32,
    pub plain_bytes: u32,
}

impl Location {
    /// What a pack's footer says of the chunk in a slot.
    pub fn of(pack: &WriterObject, slot: u32, entry: &FooterEntry) -> Location {
        let FooterEntry { offset, record_bytes, member, plain_bytes, .. } = *entry;
        Location { pack: *pack, slot, offset, record_bytes, member, plain_bytes }
    }

    /// Where the chunk's record lies.
    pub fn place(&self) -> RecordPlace {
        RecordPlace { pack: self.pack, offset: self.offset, record_bytes: self.record_bytes }
    }
}

/// What has to be there for a published pack to be of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFile {
    /// Length of the file, as its segment tells it.
    pub file_bytes: u64,
    /// Packs that bases of its records lie in, as its footer tells them.
    pub base_packs: Vec<WriterObject>,
}

/// One published pack and its chunks, as its footer tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackChunks {
    pub pack: WriterObject,
    pub file: PackFile,
    /// In slot order. Empty where the footer could not be read.
    pub chunks: Vec<FooterEntry>,
}

impl PackChunks {
    /// Every chunk with its place.
    pub fn locations(&self) -> impl Iterator<Item = (&ChunkId, Location)> {
        (0u32..).zip(&self.chunks).map(|(slot, entry)| (&entry.id, Location::of(&self.pack, slot, entry)))
    }
}

/// How far an index has followed the catalog: the last applied record and its hash, so that a repository that was rolled
/// back or exchanged under an index is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedMark {
    pub sequence: u64,
    pub record_hash: [u8; 32],
}

/// Packs, read one by one as they are applied.
pub type PackStream<'a> = Box<dyn Iterator<Item = Result<PackChunks>> + 'a>;

/// What an index lacks: the packs that were published after its mark, and the mark it reaches with them.
pub struct Missing<'a> {
    pub to: AppliedMark,
    pub packs: PackStream<'a>,
}

/// What became of an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Somebody else is writing; nothing was done.
    LockTaken,
    /// The directory cannot be written; nothing was done.
    ReadOnly,
}

/// Choices of whoever opens an index.
#[derive(Debug, Clone, Copy)]
pub struct IndexOptions {
    /// Size of the block cache.
    pub cache_bytes: usize,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions { cache_bytes: DEFAULT_CACHE_BYTES }
    }
}

/// An open chunk index. All methods may be called from any number of threads.
///
/// After any [`Error::Index`] the caller calls [`ChunkIndex::rebuild`]; if that fails as well (a full disk), it puts
/// everything into the overlay and calls [`ChunkIndex::give_up`].
pub struct ChunkIndex {
    directory: Directory,
    repository: RepositoryId,
    cache: BlockCache,
    view: RwLock<View>,
    /// Held from reading `current` until the view is exchanged, so that an older one never replaces a newer one.
    exchange: Mutex<()>,
    overlay: RwLock<Overlay>,
}

/// What this process last saw of the index.
#[derive(Default)]
struct View {
    /// The database that it last tried to open.
    tried: Option<String>,
    /// What it last opened, and what `current` said then.
    opened: Option<(Current, Arc<Reader>)>,
    damage: Option<String>,
    /// A database that must not be used any more; see [`ChunkIndex::give_up`].
    given_up: Option<String>,
}

impl View {
    fn mark(&self) -> Option<AppliedMark> {
        self.opened.as_ref().map(|(_, reader)| reader.mark())
    }

    fn is_of(&self, current: &Current) -> bool {
        self.opened.as_ref().is_some_and(|(opened, _)| opened == current)
    }

    /// True where nothing is to be opened.
    fn is_settled(&self, current: &Current) -> bool {
        self.is_of(current) || self.given_up.as_ref() == Some(&current.database)
    }
}

impl ChunkIndex {
    /// Opens the index of `repository` in `directory`, which need not exist. Damage is no error: the index is then as if
    /// empty, [`ChunkIndex::damage`] says why, and [`ChunkIndex::mark`] is `None`.
    pub fn open(directory: &Path, repository: RepositoryId, options: IndexOptions) -> Result<ChunkIndex> {
        let index = ChunkIndex {
            directory: Directory::new(directory),
            repository,
            cache: BlockCache::new(options.cache_bytes),
            view: RwLock::default(),
            exchange: Mutex::default(),
            overlay: RwLock::default(),
        };
        // The error stands in `damage` too.
        let _ = index.refresh();
        Ok(index)
    }

    /// How far the index on disk has followed the catalog; `None`: there is no usable one.
    pub fn mark(&self) -> Option<AppliedMark> {
        read(&self.view).mark()
    }

    /// The same, the overlay included.
    pub fn followed(&self) -> Option<AppliedMark> {
        let overlaid = read(&self.overlay).mark();
        [self.mark(), overlaid].into_iter().flatten().max_by_key(|mark| mark.sequence)
    }

    /// Why an index that was there could not be used. `None` after it was rebuilt.
    pub fn damage(&self) -> Option<String> {
        read(&self.view).damage.clone()
    }

    /// Sees what any process applied or rebuilt since. Cheap if nothing was. On [`Error::Index`] the view stays as it was.
    pub fn refresh(&self) -> Result<()> {
        let result = self.refresh_patiently();
        if let Err(error) = &result {
            write(&self.view).damage = Some(error.to_string());
        }
        result
    }

    /// Where the chunk lies, as far as this index has followed the catalog.
    pub fn get(&self, id: &ChunkId) -> Result<Option<Location>> {
        match self.look(|overlay| overlay.get(id)) {
            (None, Some(reader)) => reader.get(id),
            (overlaid, _) => Ok(overlaid),
        }
    }

    /// [`ChunkIndex::get`] for many ids, in their order, at less than the price of many gets.
    pub fn get_many(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>> {
        let (mut found, reader) =
            self.look(|overlay| ids.iter().map(|id| overlay.get(id)).collect::<Vec<Option<Location>>>());
        let Some(reader) = reader else { return Ok(found) };
        let others: Vec<ChunkId> =
            ids.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(id, _)| *id).collect();
        let stored = reader.get_many(&others)?;
        found.iter_mut().filter(|found| found.is_none()).zip(stored).for_each(|(found, stored)| *found = stored);
        Ok(found)
    }

    /// Every published pack, as far as this index has followed the catalog.
    pub fn packs(&self) -> Result<HashMap<WriterObject, PackFile>> {
        let (overlaid, reader) = self.look(|overlay| overlay.packs().collect::<Vec<_>>());
        let stored = reader.map_or(Ok(Vec::new()), |reader| reader.packs())?;
        Ok(stored.into_iter().chain(overlaid).collect())
    }

    /// An answer of the overlay, and the reader for what it does not know. The reader is taken before the overlay can
    /// change: what leaves the overlay is in the newest reader before, and a reader is given up after everything came in.
    fn look<T>(&self, ask: impl FnOnce(&Overlay) -> T) -> (T, Option<Arc<Reader>>) {
        let overlay = read(&self.overlay);
        (ask(&overlay), read(&self.view).opened.as_ref().map(|(_, reader)| reader.clone()))
    }

    /// Adds packs that were published up to the record `to` and could not be applied; it stays in memory until the index
    /// on disk has reached `to`.
    pub fn overlay(&self, to: AppliedMark, packs: &mut dyn Iterator<Item = Result<PackChunks>>) -> Result<()> {
        for pack in packs {
            write(&self.overlay).add(&pack?, to);
        }
        write(&self.overlay).reach(to);
        Ok(())
    }

    /// Stops using the database that this process used last; the overlay, in which everything must be by now, answers
    /// alone. For one that is damaged or of another history and cannot be replaced; one that replaces it is used again.
    pub fn give_up(&self) {
        let _exchange = lock(&self.exchange);
        let mut view = write(&self.view);
        view.given_up = view.tried.clone();
        let former = view.opened.take();
        // The reader closes after the lock is released.
        drop(view);
        drop(former);
    }

    /// Chunks and packs in the overlay; see [`OVERLAY_MAX_ENTRIES`].
    pub fn overlay_len(&self) -> usize {
        read(&self.overlay).len()
    }

    /// Brings the index up to date, waiting while somebody else writes.
    ///
    /// `missing` is called under the lock with the mark that the index has by then (`None`: it is built anew) and tells
    /// what to apply; `None` if there is nothing. It must not call this index. The mark moves when all else is written.
    pub fn apply<'a>(
        &self,
        missing: impl FnOnce(Option<AppliedMark>) -> Result<Option<Missing<'a>>>,
    ) -> Result<Applied> {
        self.update(Wait::Yes, Trust::Yes, missing)
    }

    /// [`ChunkIndex::apply`], but if somebody else writes it does nothing.
    pub fn try_apply<'a>(
        &self,
        missing: impl FnOnce(Option<AppliedMark>) -> Result<Option<Missing<'a>>>,
    ) -> Result<Applied> {
        self.update(Wait::No, Trust::Yes, missing)
    }

    /// Like [`ChunkIndex::apply`], but into a new database: the one that this process used is dropped. If another process
    /// has replaced it already, `missing` is called with that one's mark.
    pub fn rebuild<'a>(
        &self,
        missing: impl FnOnce(Option<AppliedMark>) -> Result<Option<Missing<'a>>>,
    ) -> Result<Applied> {
        self.update(Wait::Yes, Trust::No, missing)
    }

    fn update<'a>(
        &self,
        wait: Wait,
        trust: Trust,
        missing: impl FnOnce(Option<AppliedMark>) -> Result<Option<Missing<'a>>>,
    ) -> Result<Applied> {
        let held = match self.directory.lock(wait)? {
            Held::Ours(held) => held,
            Held::Taken => return Ok(Applied::LockTaken),
            Held::ReadOnly => return Ok(Applied::ReadOnly),
        };
        let current = self.directory.current().unwrap_or_default();
        self.directory.sweep(current.as_ref().map(|current| current.database.as_str()));
        let usable = current.and_then(|current| self.usable(current, trust));
        let Some(Missing { to, packs }) = missing(usable.as_ref().map(|(_, mark)| *mark))? else {
            return Ok(Applied::Done);
        };
        let database = match usable {
            Some((database, _)) => {
                let writer = Writer::open(&self.directory.database(&database), &self.cache)?;
                self.write_all(writer, to, packs)?;
                database
            }
            None => self.build(to, packs)?,
        };
        let current = Current { database, mark: to };
        self.directory.switch(&current)?;
        self.directory.sweep(Some(&current.database));
        let reached = {
            let _exchange = lock(&self.exchange);
            self.adopt(current)?
        };
        drop(held);
        match reached == to {
            true => Ok(Applied::Done),
            false => Err(Error::Index { operation: "write", reason: "it does not hold what was written".into() }),
        }
    }

    /// Under the write lock: the database to extend, and its mark; `None` if it must not or cannot be used.
    fn usable(&self, current: Current, trust: Trust) -> Option<(String, AppliedMark)> {
        let _exchange = lock(&self.exchange);
        let (refused, opened) = {
            let view = read(&self.view);
            let refused = if trust == Trust::No { &view.tried } else { &view.given_up };
            (refused.as_ref() == Some(&current.database), view.mark().filter(|_| view.is_of(&current)))
        };
        if refused {
            return None;
        }
        let database = current.database.clone();
        opened.or_else(|| self.adopt(current).ok()).map(|mark| (database, mark))
    }

    /// Builds a new database, which nothing refers to yet, and returns its name.
    fn build(&self, to: AppliedMark, packs: PackStream) -> Result<String> {
        let database = directory::new_database_name()?;
        let path = self.directory.database(&database);
        let written = Writer::create(&path, &self.cache).and_then(|writer| self.write_all(writer, to, packs));
        if written.is_err() {
            // Where the disk is full, it must not stay so on account of a cache.
            self.directory.remove(&database);
        }
        written.map(|()| database)
    }

    fn write_all(&self, mut writer: Writer, to: AppliedMark, packs: PackStream) -> Result<()> {
        for pack in packs {
            writer.put(&pack?)?;
        }
        writer.finish(self.repository, to)
    }

    /// A failure is believed only while nobody writes: a writer may delete files between our reading of their names and
    /// our opening of them.
    fn refresh_patiently(&self) -> Result<()> {
        for _ in 0..OPEN_ATTEMPTS {
            if self.refresh_once().is_ok() {
                return Ok(());
            }
            match self.directory.exclude_writers() {
                Some(_excluded) => return self.refresh_once(),
                None => thread::sleep(OPEN_INTERVAL),
            }
        }
        self.refresh_once()
    }

    fn refresh_once(&self) -> Result<()> {
        let _exchange = lock(&self.exchange);
        match self.directory.current()? {
            // Deleted, or not made yet. A view that is open stays right, as files stay while they are open.
            None => Ok(()),
            Some(current) if read(&self.view).is_settled(&current) => Ok(()),
            Some(current) => self.adopt(current).map(|_| ()),
        }
    }

    /// Opens what `current` names and makes it the view; returns the mark that it really has. A crash may have left more
    /// than `current` tells, but less is damage. The caller holds `exchange`.
    fn adopt(&self, current: Current) -> Result<AppliedMark> {
        write(&self.view).tried = Some(current.database.clone());
        let reader = Reader::open(&self.directory.database(&current.database), self.repository, &self.cache)?;
        let (mark, told) = (reader.mark(), current.mark);
        if mark.sequence < told.sequence || (mark.sequence == told.sequence && mark != told) {
            return Err(Error::Index { operation: "open", reason: "it has lost what was applied last".into() });
        }
        let tried = Some(current.database.clone());
        let view = View { tried, opened: Some((current, Arc::new(reader))), damage: None, given_up: None };
        // The former reader closes after the lock is released.
        let former = std::mem::replace(&mut *write(&self.view), view);
        drop(former);
        write(&self.overlay).drop_reached(mark);
        Ok(mark)
    }
}

/// Whether an update may build on the database that this process used before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Yes,
    No,
}

// A thread that panicked leaves these values whole: each is exchanged or extended by one entry at a time.

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
