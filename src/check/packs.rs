//! Segments and packs: there, whole, and as the index tells them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::check::{Check, object_and_reason};
use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterId, WriterObject};
use crate::progress::{Counters, Monitor};
use crate::store::ChunkStore;
use crate::store::backend::ByteRange;
use crate::store::index::Location;
use crate::store::pack::{
    Footer, FooterEntry, PACK_FOLDER, PACK_HEADER_BYTES, PackSummary, pack_key, read_footer_of, verify_header,
};
use crate::store::segment::read_segment;

/// Chunks that are looked up together.
const LOOKUP_BATCH: usize = 1024;

/// Bytes of a pack that are read together.
const READ_BATCH_BYTES: u64 = 4 << 20;

/// Damaged chunks that are remembered to name the paths that need them; further ones are named without paths.
const BAD_CHUNKS_MAX: usize = 100_000;

/// What is known of the packs, for whoever looks at references to their chunks.
#[derive(Default)]
pub(super) struct Packs {
    /// Packs in which nothing is wrong, as far as was looked.
    pub good: HashSet<WriterObject>,
    /// Chunks that were read and found damaged, with object and reason.
    pub bad_chunks: HashMap<ChunkId, (String, String)>,
}

impl Check<'_> {
    pub(super) fn packs(&mut self) -> Result<Packs> {
        let summaries = self.segments()?;
        let listed = self.listed_packs()?;
        let names: HashSet<WriterObject> = summaries.iter().map(|summary| summary.name).collect();
        let mut packs = Packs::default();
        let indexed = self.repository.chunks()?.published_packs()?;
        let is_unknown =
            |summary: &PackSummary| indexed.get(&summary.name).is_none_or(|file| file.file_bytes != summary.file_bytes);
        let mut index_is_wrong = summaries.iter().any(is_unknown);
        let mut with_bases = Vec::new();
        for summary in &summaries {
            self.check_cancelled()?;
            self.report.packs += 1;
            self.report.chunks += u64::from(summary.chunks);
            self.report.bytes = self.report.bytes.saturating_add(summary.file_bytes);
            let size = listed.as_ref().map(|listed| listed.get(&pack_key(&summary.name)).copied());
            match self.pack(summary, size) {
                Err(error) => self.failed(error)?,
                Ok(Footer { entries, base_packs, .. }) => {
                    packs.good.insert(summary.name);
                    index_is_wrong = index_is_wrong || !self.is_indexed(summary.name, &entries, &names)?;
                    if !base_packs.is_empty() {
                        with_bases.push((summary.name, base_packs));
                    }
                }
            }
        }
        self.distrust_deltas(with_bases, &names, &mut packs);
        let mut unreferenced = listed.unwrap_or_default();
        let published: HashSet<String> = names.iter().map(pack_key).collect();
        unreferenced.retain(|key, _| !published.contains(key));
        self.report.packs_unreferenced = unreferenced.len() as u64;
        self.strange_packs(unreferenced.keys())?;
        if index_is_wrong {
            self.repository.chunks()?.rebuild_index()?;
            self.rebuilt("the chunk index did not agree with the packs; it is built anew".into());
        }
        if self.options.read_data {
            self.read_data(&summaries, &mut packs)?;
        }
        Ok(packs)
    }

    /// Packs that hold deltas against such in which something is wrong are not good either.
    fn distrust_deltas(
        &mut self,
        mut with_bases: Vec<(WriterObject, Vec<WriterObject>)>,
        published: &HashSet<WriterObject>,
        packs: &mut Packs,
    ) {
        for (pack, base_packs) in &with_bases {
            for base in base_packs.iter().filter(|base| !published.contains(base)) {
                self.damaged(
                    format!("pack {pack}"),
                    format!("it holds deltas against pack {base}, which nothing names"),
                );
            }
        }
        let mut trusted = usize::MAX;
        while trusted > with_bases.len() {
            trusted = with_bases.len();
            with_bases.retain(|(pack, base_packs)| {
                let is_good = base_packs.iter().all(|base| packs.good.contains(base));
                is_good || !packs.good.remove(pack)
            });
        }
    }

    /// Packs of writers that no record opened: a writer's record comes before its first pack, so records are gone.
    fn strange_packs<'k>(&mut self, keys: impl Iterator<Item = &'k String>) -> Result<()> {
        let known = |key: &String| {
            let name = key.rsplit('/').next().and_then(|name| name.split_once('-'));
            let writer = name.and_then(|(writer, _)| WriterId::from_hex(writer).ok());
            writer.is_none_or(|writer| self.writers.contains(&writer))
        };
        let strange: Vec<&String> = keys.filter(|key| !known(key)).collect();
        // A writer that was opened since the check began is in records that were not looked at.
        if !strange.is_empty()
            && !self.repository.refresh()?
            && self.repository.catalog().sequence == self.catalog.sequence
        {
            for key in strange {
                self.damaged("the catalog", format!("records are gone: none opened the writer of {key}"));
            }
        }
        Ok(())
    }

    /// The packs that segments name. Two segments may name one pack: a writer that was not told of its success tried again.
    fn segments(&mut self) -> Result<Vec<PackSummary>> {
        let mut summaries = Vec::new();
        let mut seen = HashSet::new();
        for published in self.catalog.published().segments.iter() {
            self.check_cancelled()?;
            match read_segment(self.repository.backend().as_ref(), &published.segment) {
                Ok(packs) => summaries.extend(packs.into_iter().filter(|pack| seen.insert(pack.clone()))),
                Err(error) => self.failed(error)?,
            }
        }
        Ok(summaries)
    }

    /// Sizes of the packs that are there; `None` where they cannot be listed.
    fn listed_packs(&mut self) -> Result<Option<HashMap<String, u64>>> {
        match self.repository.backend().list_after(PACK_FOLDER, None) {
            Ok(listed) => Ok(Some(listed.into_iter().map(|listed| (listed.key, listed.size_bytes)).collect())),
            Err(error) => {
                self.failed(error)?;
                Ok(None)
            }
        }
    }

    /// Checks one pack but for its chunks' bytes. `size`: what the listing says of it, if there is one.
    fn pack(&self, summary: &PackSummary, size: Option<Option<u64>>) -> Result<Footer> {
        let corrupt = |reason: String| Err(Error::corrupt(format!("pack {}", summary.name), reason));
        match size {
            Some(None) => return corrupt("it is missing".into()),
            Some(Some(bytes)) if bytes != summary.file_bytes => {
                return corrupt(format!("it is {bytes} bytes long instead of {}", summary.file_bytes));
            }
            _ => {}
        }
        let backend = self.repository.backend().as_ref();
        let footer = read_footer_of(backend, summary)?;
        let header = ByteRange::At { offset: 0, length: PACK_HEADER_BYTES };
        verify_header(&backend.get_range(&pack_key(&summary.name), header)?, summary, &footer)?;
        let entries = &footer.entries;
        let records_end =
            footer.by_place().last().map_or(PACK_HEADER_BYTES, |last| last.offset + u64::from(last.record_bytes));
        let plain_bytes: u64 = entries.iter().map(|entry| u64::from(entry.plain_bytes)).sum();
        if records_end.checked_add(u64::from(summary.footer_bytes)) != Some(summary.file_bytes)
            || plain_bytes != summary.plain_bytes
        {
            return corrupt("its footer and its segment tell different sizes".into());
        }
        Ok(footer)
    }

    /// Whether the index finds every chunk of a pack: in it, or in another that is published.
    fn is_indexed(
        &self,
        pack: WriterObject,
        footer: &[FooterEntry],
        published: &HashSet<WriterObject>,
    ) -> Result<bool> {
        for entries in footer.chunks(LOOKUP_BATCH) {
            let ids: Vec<ChunkId> = entries.iter().map(|entry| entry.id).collect();
            let found = self.repository.chunks()?.locate_many(&ids)?;
            let agrees = entries.iter().zip(found).all(|(entry, location)| match location {
                None => false,
                Some(there) if there.pack == pack => {
                    there == Location::of(&pack, there.slot, entry)
                        || footer.iter().filter(|other| other.id == entry.id).count() > 1
                }
                Some(there) => published.contains(&there.pack),
            });
            if !agrees {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads and verifies every chunk of every pack whose footer can be read.
    fn read_data(&mut self, summaries: &[PackSummary], packs: &mut Packs) -> Result<()> {
        let expected: u64 = summaries.iter().map(|summary| summary.file_bytes).fold(0, u64::saturating_add);
        Counters::add(&self.monitor.counters().bytes_expected, expected);
        let reading = DataReading {
            chunks: self.repository.chunks()?,
            monitor: self.monitor,
            next: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            bad: Mutex::default(),
            failure: Mutex::default(),
        };
        std::thread::scope(|scope| {
            for _ in 0..self.options.threads.max(1) {
                scope.spawn(|| reading.run(summaries));
            }
        });
        if let Some(error) = reading.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.report.chunks_read = reading.read.into_inner();
        for (id, error) in reading.bad.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let (object, reason) = object_and_reason(error)?;
            if packs.bad_chunks.len() < BAD_CHUNKS_MAX {
                packs.bad_chunks.insert(id, (object, reason));
            } else {
                self.damaged(object, reason);
            }
        }
        Ok(())
    }
}

/// Reading of all packs, shared by threads; each takes the next pack.
struct DataReading<'r> {
    chunks: &'r ChunkStore,
    monitor: &'r dyn Monitor,
    next: AtomicUsize,
    read: AtomicU64,
    bad: Mutex<Vec<(ChunkId, Error)>>,
    failure: Mutex<Option<Error>>,
}

impl DataReading<'_> {
    fn run(&self, summaries: &[PackSummary]) {
        while let Some(summary) = summaries.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = self.pack(summary) {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
        }
    }

    fn pack(&self, summary: &PackSummary) -> Result<()> {
        // Whoever looked at the pack before has told that its footer is damaged.
        let Ok(footer) = read_footer_of(self.chunks.backend().as_ref(), summary) else { return Ok(()) };
        let entries: Vec<FooterEntry> = footer.by_place().collect();
        let mut rest = &entries[..];
        while let Some(first) = rest.first() {
            if self.monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let fits =
                |entry: &&FooterEntry| entry.offset + u64::from(entry.record_bytes) - first.offset <= READ_BATCH_BYTES;
            let count = rest.iter().take_while(fits).count().max(1);
            let (batch, after) = rest.split_at(count);
            self.batch(&summary.name, batch);
            rest = after;
        }
        Ok(())
    }

    /// Verifies chunks that lie side by side; where they cannot be read together, each alone.
    fn batch(&self, pack: &WriterObject, batch: &[FooterEntry]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let length = last.offset + u64::from(last.record_bytes) - first.offset;
        let range = ByteRange::At { offset: first.offset, length };
        let together = self.chunks.backend().get_range(&pack_key(pack), range).ok();
        for chunks in batch.chunk_by(|a, b| a.offset == b.offset) {
            let entry = &chunks[0];
            let alone = ByteRange::At { offset: entry.offset, length: u64::from(entry.record_bytes) };
            let record: Result<Cow<[u8]>> = match &together {
                Some(bytes) => Ok(Cow::Borrowed(slice(bytes, entry.offset - first.offset, entry.record_bytes))),
                None => self.chunks.backend().get_range(&pack_key(pack), alone).map(Cow::Owned),
            };
            match record {
                Ok(record) => self.chunks.verify(&record, chunks, pack, &mut |entry, plain| {
                    self.verified(entry, plain.and_then(|plain| of_length(&plain, entry, pack)));
                }),
                Err(error) => chunks.iter().for_each(|entry| {
                    let reason = error.to_string();
                    self.verified(entry, Err(Error::ChunkCorrupt { id: entry.id, pack: pack.to_string(), reason }));
                }),
            }
        }
        Counters::add(&self.monitor.counters().bytes, length);
    }

    /// Notes what reading a chunk gave.
    fn verified(&self, entry: &FooterEntry, verified: Result<()>) {
        if let Err(error) = verified {
            self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((entry.id, error));
        }
        self.read.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the chunk is as long as its footer tells.
fn of_length(plain: &[u8], entry: &FooterEntry, pack: &WriterObject) -> Result<()> {
    match plain.len() as u64 == u64::from(entry.plain_bytes) {
        true => Ok(()),
        false => Err(Error::ChunkCorrupt {
            id: entry.id,
            pack: pack.to_string(),
            reason: "its footer tells another length".into(),
        }),
    }
}

/// A record in a batch; empty, which no record is, where the batch is too short.
fn slice(bytes: &[u8], at: u64, length: u32) -> &[u8] {
    let range = usize::try_from(at).ok().zip(usize::try_from(length).ok());
    range.and_then(|(at, length)| bytes.get(at..)?.get(..length)).unwrap_or_default()
}
