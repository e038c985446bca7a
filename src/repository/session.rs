//! WriteSession: one ingest's life in the repository. Packs, then a segment, then a catalog record: nothing is visible
//! before its record, and what a record published on the way survives an interruption.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterId, WriterObject};
use crate::progress::Counters;
use crate::repository::Repository;
use crate::repository::catalog::{Catalog, SNAPSHOT_SEQUENCE_MAX};
use crate::repository::page::PageSink;
use crate::repository::record::Change;
use crate::repository::snapshot::{Manifest, Snapshot, check_label};
use crate::store::pack::{FinishedPack, PackSummary};
use crate::store::segment::{SegmentRef, write_segment};
use crate::store::{BaseHint, ChunkWriter};
use crate::time::Timestamp;

/// Finished packs that are published together while an ingest runs: an interruption loses at most these.
const PUBLISH_EVERY_PACKS: usize = 8;

/// Or as soon as they have so many chunks: each takes some hundred bytes of memory until then, and packs of tiny ones have many.
const PUBLISH_EVERY_CHUNKS: usize = 100_000;

/// An open writing session.
pub struct WriteSession<'r> {
    repository: &'r Repository,
    writer: WriterId,
    chunks: ChunkWriter<'r>,
    lost_packs: Vec<WriterObject>,
    next_segment: AtomicU32,
    publishing: Mutex<()>,
}

impl<'r> WriteSession<'r> {
    /// Opens a session and records that it did. `host` and `purpose` tell people whose packs these are.
    pub fn open(
        repository: &'r Repository,
        counters: &'r Counters,
        host: &str,
        purpose: &str,
        now: Timestamp,
    ) -> Result<WriteSession<'r>> {
        let writer = WriterId::random()?;
        let chunks = ChunkWriter::new(repository.chunks()?, writer, repository.catalog().compression(), counters);
        let lost_packs = repository.chunks()?.lost_packs()?;
        chunks.distrust(&lost_packs);
        repository.append(writer, now, |_| {
            Ok(Change::WriterOpened { host: host.to_string(), purpose: purpose.to_string() })
        })?;
        let (next_segment, publishing) = (AtomicU32::new(0), Mutex::new(()));
        Ok(WriteSession { repository, writer, chunks, lost_packs, next_segment, publishing })
    }

    /// Published packs that were gone or cut short when the session began. What they held is stored again where it is
    /// met; an ingest that meets it reads everything then.
    pub fn lost_packs(&self) -> &[WriterObject] {
        &self.lost_packs
    }

    /// The same, but every chunk that is known already is read and verified before it is relied on.
    pub fn verifying_known(mut self) -> WriteSession<'r> {
        self.chunks = self.chunks.verifying_known();
        self
    }

    /// Where chunks are put.
    pub fn chunks(&self) -> &ChunkWriter<'r> {
        &self.chunks
    }

    /// Publishes finished packs once there are enough of them; called between files and between chunks of long ones.
    pub fn publish_if_due(&self, now: Timestamp) -> Result<()> {
        let chunks = &self.chunks;
        if chunks.finished_count() < PUBLISH_EVERY_PACKS && chunks.finished_chunks() < PUBLISH_EVERY_CHUNKS {
            return Ok(());
        }
        match self.publishing.try_lock() {
            Ok(_publishing) => self.publish_finished(now),
            // Another thread is at it.
            Err(_) => Ok(()),
        }
    }

    /// Publishes everything that was stored so far, so that it can be read back. No lane may be in use.
    pub fn publish_all(&self, now: Timestamp) -> Result<()> {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.chunks.finish_open()?;
        self.publish_finished(now)
    }

    fn publish_finished(&self, now: Timestamp) -> Result<()> {
        let packs = self.chunks.take_finished();
        let published = self.publish(&packs, now);
        match published {
            Ok(()) => self.chunks.published(&packs),
            // A later attempt finds them again. If their record was written all the same, they are published twice then,
            // which does no harm.
            Err(_) => self.chunks.put_back(packs),
        }
        published
    }

    fn publish(&self, packs: &[FinishedPack], now: Timestamp) -> Result<()> {
        let segments = self.write_segments(packs)?;
        if segments.is_empty() {
            return Ok(());
        }
        let change = |_: &Catalog| Ok(Change::SegmentsPublished { segments: segments.clone() });
        self.repository.append(self.writer, now, change).map(|_| ())
    }

    fn write_segments(&self, packs: &[FinishedPack]) -> Result<Vec<SegmentRef>> {
        if packs.is_empty() {
            return Ok(Vec::new());
        }
        let number = self.next_segment.fetch_add(1, Ordering::Relaxed);
        let summaries: Vec<PackSummary> = packs.iter().map(|pack| pack.summary.clone()).collect();
        let name = WriterObject { writer: self.writer, number };
        write_segment(self.repository.backend().as_ref(), name, &summaries).map(|segment| vec![segment])
    }

    /// Ends a session that makes no snapshot, keeping what it stored for the next attempt.
    pub fn abandon(self, now: Timestamp) -> Result<()> {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        // What was finished before is published also where the rest cannot be, on a full disk say.
        let finished = self.chunks.finish_open();
        self.publish_finished(now).and(finished)
    }

    /// The same after a failure, which comes back: that what was stored could not be kept is the lesser news.
    pub fn abandon_for(self, failure: Error, now: Timestamp) -> Error {
        if let Err(second) = self.abandon(now) {
            log::warn!("cannot keep what was stored: {second}");
        }
        failure
    }

    /// Ends the session with a snapshot: it exists once this returns. The manifest's name, and what its chunks take, are set
    /// here. Where that fails, what was stored is kept for the next attempt if that can be done.
    pub fn commit(self, manifest: Manifest, now: Timestamp) -> Result<Arc<Snapshot>> {
        self.add_snapshot(manifest, now).map_err(|error| self.abandon_for(error, now))
    }

    fn add_snapshot(&self, mut manifest: Manifest, now: Timestamp) -> Result<Arc<Snapshot>> {
        check_label("source", &manifest.source)?;
        manifest.tags.iter().try_for_each(|tag| check_label("tag", tag))?;
        self.chunks.finish_open()?;
        manifest.bytes_stored = self.chunks.bytes_stored();
        let packs = self.chunks.take_finished();
        let added = match self.chunks.missing_beside(&packs) {
            // A failure that nobody heeded; a snapshot would lack what is in it.
            Some(pack) => Err(Error::corrupt(format!("pack {pack}"), "it was begun and never finished")),
            None => self.append_snapshot(manifest, &packs, now),
        };
        if added.is_err() {
            self.chunks.put_back(packs);
        }
        added
    }

    fn append_snapshot(&self, mut manifest: Manifest, packs: &[FinishedPack], now: Timestamp) -> Result<Arc<Snapshot>> {
        let segments = self.write_segments(packs)?;
        let mut id = None;
        let catalog = self.repository.append(self.writer, now, |catalog| {
            if catalog.snapshots_added() >= SNAPSHOT_SEQUENCE_MAX {
                let reason = format!("it has had {SNAPSHOT_SEQUENCE_MAX} snapshots, as many as it can number");
                return Err(Error::Invalid { what: "repository", value: self.repository.id().to_string(), reason });
            }
            manifest.name = catalog.free_name(&manifest.source, manifest.started);
            id = Some(manifest.id());
            Ok(Change::SnapshotAdded { segments: segments.clone(), manifest: Box::new(manifest.clone()) })
        })?;
        let name = format!("{}@{}", manifest.source, manifest.name);
        id.and_then(|id| catalog.by_id(&id)).cloned().ok_or(Error::NotFound { what: "snapshot", name })
    }
}

impl PageSink for WriteSession<'_> {
    fn put_page(&self, page: &[u8], lists_chunks: bool, hint: &dyn Fn() -> BaseHint) -> Result<ChunkId> {
        self.chunks.put_page(page, lists_chunks, hint)
    }
}
