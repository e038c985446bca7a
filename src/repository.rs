//! The repository: names in, history out. The catalog of numbered records is the truth; everything else is found from it.

pub mod catalog;
pub mod comparison;
pub mod content;
pub mod content_reader;
pub mod content_stream;
pub mod content_writer;
pub mod cut_marks;
pub mod drill;
pub mod dump_counts;
pub mod entry_cursor;
pub mod metadata;
pub mod node;
pub mod page;
pub mod page_cursor;
mod page_hint;
pub mod pairs;
pub mod predecessor;
pub mod record;
pub mod relatives;
pub mod session;
pub mod snapshot;
pub mod tree;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::codec::{DecodeError, Decoder, Encoder, seal, unknown_write_features, unseal};
use crate::error::{Error, Result};
use crate::id::{RepositoryId, SnapshotId, WriterId, hash};
use crate::progress::Monitor;
use crate::repository::catalog::{CHECKPOINT_FOLDER, Catalog, checkpoint_key};
use crate::repository::content_reader::ContentReader;
use crate::repository::drill::{Drill, FailedDrill};
use crate::repository::record::{CATALOG_FOLDER, Change, Record, record_key, same_group, sequence_of_key};
use crate::repository::snapshot::{Snapshot, SnapshotSpec, check_label};
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;
use crate::store::backend::{Backend, ByteRange, Created};
use crate::store::compress::Compression;
use crate::store::index::{ChunkIndex, IndexOptions};
use crate::store::pack::PACK_FOLDER;
use crate::time::Timestamp;

const CONFIG_MAGIC: &[u8; 8] = b"YFS-CONF";
const CONFIG_KEY: &str = "config";

/// A checkpoint is written behind every so many records.
const CHECKPOINT_EVERY_RECORDS: u64 = 256;

/// Checkpoints that stay; older ones say nothing that these do not.
const CHECKPOINTS_KEPT: usize = 3;

/// How a repository is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Where the chunk index, a cache, lies on this machine.
    pub index_directory: PathBuf,
    /// Bound of the cache of decoded chunks and pages.
    pub cache_bytes: u64,
    /// Bound of the chunk index's own cache.
    pub index_cache_bytes: u64,
}

/// An open repository. Any number of them, in any number of processes, may be open on one place.
pub struct Repository {
    backend: Arc<dyn Backend>,
    id: RepositoryId,
    options: OpenOptions,
    monitor: Arc<dyn Monitor>,
    /// The config asks for something that this version does not know before one may write.
    foreign_config: bool,
    /// See [`Repository::lost_history`].
    lost_history: Option<String>,
    /// Names this process in the records that it appends.
    actor: WriterId,
    catalog: RwLock<Arc<Catalog>>,
    /// Held while new records are read in, so that one thread does it.
    refreshing: Mutex<()>,
    /// Opened when first needed: listing snapshots must not wait for it.
    chunks: OnceLock<ChunkStore>,
}

impl Repository {
    /// Makes a repository in an empty place.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is one already.
    pub fn init(backend: &dyn Backend, now: Timestamp) -> Result<RepositoryId> {
        let id = RepositoryId::random()?;
        let mut body = Encoder::new();
        body.raw(&id.0).time(now);
        let mut object = backend.put_new(CONFIG_KEY)?;
        object.write(&seal(CONFIG_MAGIC, &body.bytes))?;
        match object.finish()? {
            Created::New => Ok(id),
            Created::AlreadyThere => Err(Error::Exists { what: "repository", name: backend.name() }),
        }
    }

    /// Opens a repository and reads its history.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none; [`Error::Corrupt`] where its history has gaps or damage.
    pub fn open(backend: Arc<dyn Backend>, options: OpenOptions, monitor: Arc<dyn Monitor>) -> Result<Repository> {
        let config = match backend.get_range(CONFIG_KEY, ByteRange::Whole) {
            Err(Error::ObjectMissing { backend, .. }) => {
                return Err(Error::NotFound { what: "repository in", name: backend });
            }
            config => config?,
        };
        let mut body = Decoder::new(unseal(CONFIG_MAGIC, &config, "the repository's config")?);
        let id = body.array().and_then(|id| body.time().map(|_| RepositoryId(id)));
        let id = id.map_err(DecodeError::of("the repository's config"))?;
        let (catalog, newest_checkpoint) = load_checkpoint(backend.as_ref(), monitor.as_ref())?;
        let mut repository = Repository {
            backend,
            id,
            options,
            monitor,
            foreign_config: unknown_write_features(&config) != 0,
            lost_history: None,
            actor: WriterId::random()?,
            catalog: RwLock::new(Arc::new(catalog)),
            refreshing: Mutex::new(()),
            chunks: OnceLock::new(),
        };
        repository.refresh()?;
        repository.lost_history = repository.find_lost_history(newest_checkpoint)?;
        if let Some(evidence) = &repository.lost_history {
            repository.monitor.note(&format!("the catalog is not whole: {evidence}"));
        }
        Ok(repository)
    }

    /// Evidence that the newest records are gone, which no record itself can tell.
    fn find_lost_history(&self, newest_checkpoint: u64) -> Result<Option<String>> {
        let last = self.catalog().sequence;
        if newest_checkpoint > last {
            return Ok(Some(format!(
                "a checkpoint of record {newest_checkpoint} is there, but records end with {last}"
            )));
        }
        // The record that opens a writer comes before everything that it writes.
        if last == 0 && !self.backend.list_after(PACK_FOLDER, None)?.is_empty() {
            return Ok(Some("packs are there, but no record at all".into()));
        }
        Ok(None)
    }

    /// Why the catalog is known to have lost its newest records; nothing is written then, or they could never be put
    /// back.
    pub fn lost_history(&self) -> Option<&str> {
        self.lost_history.as_deref()
    }

    pub fn id(&self) -> RepositoryId {
        self.id
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub fn monitor(&self) -> &Arc<dyn Monitor> {
        &self.monitor
    }

    /// The history as last read.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The snapshot that people mean by `text`; see [`SnapshotSpec::parse`].
    pub fn find(&self, text: &str, now: Timestamp) -> Result<Arc<Snapshot>> {
        let found = self.catalog().find(&SnapshotSpec::parse(text, now)?);
        // In the words that were used: "yesterday", not the time that it was taken for.
        found.map_err(|error| match error {
            Error::NotFound { what, .. } => Error::NotFound { what, name: text.to_string() },
            other => other,
        })
    }

    /// The chunks; opens the index (and rebuilds it where it is missing or damaged) when first asked.
    pub fn chunks(&self) -> Result<&ChunkStore> {
        if let Some(chunks) = self.chunks.get() {
            return Ok(chunks);
        }
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunks) = self.chunks.get() {
            return Ok(chunks);
        }
        let cache_bytes = usize::try_from(self.options.index_cache_bytes).unwrap_or(usize::MAX);
        let index_options = IndexOptions { cache_bytes };
        let index = ChunkIndex::open(&self.options.index_directory, self.id, index_options)?;
        let chunks = ChunkStore::new(self.backend.clone(), index, self.options.cache_bytes);
        let is_ours = self.is_own_history(&chunks)?;
        chunks.follow(self.catalog().published(), is_ours, self.monitor.as_ref())?;
        Ok(self.chunks.get_or_init(|| chunks))
    }

    /// Whether the index's mark names a record of this catalog. It does not where a repository was copied back over a
    /// newer one: then the index knows packs that are gone.
    fn is_own_history(&self, chunks: &ChunkStore) -> Result<bool> {
        let Some(mark) = chunks.index_mark() else { return Ok(true) };
        if mark.sequence == 0 {
            return Ok(true);
        }
        match self.backend.get_range(&record_key(mark.sequence), ByteRange::Whole) {
            Ok(file) => Ok(hash(&file) == mark.record_hash),
            Err(Error::ObjectMissing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads directories.
    pub fn tree(&self) -> Result<TreeReader<'_>> {
        self.chunks().map(TreeReader::new)
    }

    /// Reads contents.
    pub fn contents(&self) -> Result<ContentReader<'_>> {
        self.chunks().map(ContentReader::new)
    }

    /// Reads records that were added since; true where there were any.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a record is damaged, or missing below one that exists.
    pub fn refresh(&self) -> Result<bool> {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.catalog();
        let listed = self.backend.list_after(CATALOG_FOLDER, Some(&record_key(before.sequence)))?;
        let Some(newest) = listed.iter().filter_map(|listed| sequence_of_key(&listed.key)).max() else {
            return Ok(false);
        };
        let mut catalog = (*before).clone();
        for sequence in before.sequence + 1..=newest {
            let file =
                self.backend.get_range(&record_key(sequence), ByteRange::Whole).map_err(|error| match error {
                    Error::ObjectMissing { .. } => Error::corrupt(
                        format!("the catalog in {}", self.backend.name()),
                        format!("record {sequence} is missing, though record {newest} exists"),
                    ),
                    other => other,
                })?;
            catalog.follow(Record::decode(&file, sequence)?, &file)?;
        }
        if let Some(chunks) = self.chunks.get() {
            // Chunks first: nobody may see a snapshot whose chunks cannot be found yet.
            chunks.follow(catalog.published(), true, self.monitor.as_ref())?;
        }
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        Ok(true)
    }

    /// Appends one record. `change` is asked what to write after all records before it were read, and again
    /// whenever another writer was faster.
    pub(crate) fn append(
        &self,
        writer: WriterId,
        now: Timestamp,
        mut change: impl FnMut(&Catalog) -> Result<Change>,
    ) -> Result<Arc<Catalog>> {
        loop {
            self.refresh()?;
            let catalog = self.catalog();
            self.check_writable(&catalog)?;
            let sequence = catalog.sequence + 1;
            let previous_hash = catalog.record_hash;
            let record = Record { sequence, previous_hash, writer, time: now, change: change(&catalog)? };
            let file = record.encode();
            let key = record_key(sequence);
            self.settle_group(sequence)?;
            let mut object = self.backend.put_new(&key)?;
            object.write(&file)?;
            // An answer may be lost on its way: what counts is whose record stands there.
            let ours = object.finish()? == Created::New || self.backend.get_range(&key, ByteRange::Whole)? == file;
            if ours {
                self.refresh()?;
                self.write_checkpoint_if_due(sequence);
                return Ok(self.catalog());
            }
        }
    }

    fn check_writable(&self, catalog: &Catalog) -> Result<()> {
        if self.foreign_config {
            let reason = "this version can read it but must not write to it".into();
            return Err(Error::Unsupported { object: "the repository's config".into(), reason });
        }
        if let Some(evidence) = &self.lost_history {
            let reason = format!("{evidence}; put the records back before anything is written");
            return Err(Error::corrupt(format!("the catalog in {}", self.backend.name()), reason));
        }
        catalog.check_writable()
    }

    /// Before the first record of a new folder: makes sure that the last one of the folder before is durable. Another
    /// writer may have made it visible and died before its folder was synced; within one folder the next sync covers both.
    fn settle_group(&self, sequence: u64) -> Result<()> {
        if sequence < 2 || same_group(sequence, sequence - 1) {
            return Ok(());
        }
        let key = record_key(sequence - 1);
        let mut again = self.backend.put_new(&key)?;
        again.write(&self.backend.get_range(&key, ByteRange::Whole)?)?;
        again.finish().map(|_| ())
    }

    /// A checkpoint only saves time: failing to write one fails nothing.
    fn write_checkpoint_if_due(&self, sequence: u64) {
        let catalog = self.catalog();
        if !sequence.is_multiple_of(CHECKPOINT_EVERY_RECORDS) || catalog.sequence != sequence {
            return;
        }
        let written = (|| {
            let mut object = self.backend.put_new(&checkpoint_key(sequence))?;
            object.write(&catalog.encode())?;
            object.finish()?;
            let mut keys = self.backend.list_after(CHECKPOINT_FOLDER, None)?;
            keys.truncate(keys.len().saturating_sub(CHECKPOINTS_KEPT));
            keys.iter().try_for_each(|old| self.backend.delete(&old.key))
        })();
        if let Err(error) = written {
            log::warn!("cannot write checkpoint {sequence}: {error}");
        }
    }

    /// Records that these snapshots exist no longer. Their packs stay.
    pub fn forget(&self, snapshots: &[SnapshotId], reason: &str, now: Timestamp) -> Result<()> {
        let change = |catalog: &Catalog| {
            // Another process may have been faster.
            let gone = snapshots.iter().find(|id| catalog.by_id(id).is_none());
            match gone {
                Some(id) => Err(Error::NotFound { what: "snapshot", name: id.to_string() }),
                None => Ok(Change::SnapshotsForgotten { snapshots: snapshots.to_vec(), reason: reason.to_string() }),
            }
        };
        self.append(self.actor, now, change).map(|_| ())
    }

    /// Has new chunks compressed so from now on, whoever stores them; what is there stays as it is.
    pub fn change_compression(&self, compression: Compression, now: Timestamp) -> Result<()> {
        self.append(self.actor, now, |_| Ok(Change::CompressionChanged { compression })).map(|_| ())
    }

    /// Adds and removes tags of a snapshot.
    pub fn change_tags(&self, id: SnapshotId, add: &[String], remove: &[String], now: Timestamp) -> Result<()> {
        add.iter().try_for_each(|tag| check_label("tag", tag))?;
        let change = || Change::TagsChanged { snapshot: id, added: add.to_vec(), removed: remove.to_vec() };
        self.append_of_snapshot(id, now, change)
    }

    /// Records what a restore drill of a snapshot found.
    pub fn record_drill(&self, id: SnapshotId, drill: &Drill) -> Result<()> {
        self.append_of_snapshot(id, drill.time, || Change::SnapshotDrilled { snapshot: id, drill: drill.clone() })
    }

    /// Records that a server did not take a snapshot in a restore drill.
    pub fn record_failed_drill(&self, id: SnapshotId, failure: &FailedDrill) -> Result<()> {
        self.append_of_snapshot(id, failure.time, || Change::DrillFailed { snapshot: id, failure: failure.clone() })
    }

    /// Appends a change of a snapshot that must be there.
    fn append_of_snapshot(&self, id: SnapshotId, now: Timestamp, change: impl Fn() -> Change) -> Result<()> {
        let change = |catalog: &Catalog| match catalog.by_id(&id) {
            None => Err(Error::NotFound { what: "snapshot", name: id.to_string() }),
            Some(_) => Ok(change()),
        };
        self.append(self.actor, now, change).map(|_| ())
    }
}

/// The newest checkpoint that can be read, and the number of the newest that is there; an empty catalog where there is none, since every record is still there.
fn load_checkpoint(backend: &dyn Backend, monitor: &dyn Monitor) -> Result<(Catalog, u64)> {
    let mut newest = 0;
    for listed in backend.list_after(CHECKPOINT_FOLDER, None)?.iter().rev() {
        let Some(sequence) = listed.key.rsplit('/').next().and_then(|name| name.parse().ok()) else { continue };
        newest = newest.max(sequence);
        let checkpoint = backend.get_range(&listed.key, ByteRange::Whole);
        let decoded = checkpoint.and_then(|file| Catalog::decode(&file, sequence));
        match decoded.and_then(|catalog| confirm_checkpoint(backend, catalog)) {
            Ok(catalog) => return Ok((catalog, newest)),
            // Whoever wrote it also wrote records that must be refused; they say so better.
            Err(error) => monitor.note(&format!("passing over checkpoint {sequence}: {error}")),
        }
    }
    Ok((Catalog::default(), newest))
}

/// A checkpoint counts only where its last record is there and is the one that it folded: a copy of a repository may have
/// brought checkpoints of records that it did not bring.
fn confirm_checkpoint(backend: &dyn Backend, catalog: Catalog) -> Result<Catalog> {
    let file = backend.get_range(&record_key(catalog.sequence), ByteRange::Whole)?;
    if hash(&file) == catalog.record_hash {
        return Ok(catalog);
    }
    Err(Error::corrupt(format!("checkpoint {}", catalog.sequence), "the record that it ends with is another one"))
}
