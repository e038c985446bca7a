//! ChunkEncoder: encodes a new chunk: against a base where there is one, compressed or plain where not.

use std::ops::Range;

use crate::codec::Encoder;
use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterObject};
use crate::store::chunk_record::{ChunkForm, ChunkRecord, DELTA_DEPTH_MAX, EncodedChunk, RecordPlace, encode_record};
use crate::store::chunk_store::Base;
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::store::compress::{BodyCompressor, Codec, Compression, Compressor};
use crate::store::delta::{DeltaEncoder, apply_delta};
use crate::store::delta_group::GROUPED_MAX_BYTES;
use crate::store::listed_delta::{IdRun, ListedDelta};
use crate::store::told_page;

/// Chunks that a new one is probably like: those of the last version around its place.
#[derive(Debug, Clone, Default)]
pub struct BaseHint {
    pub chunks: Vec<ChunkId>,
    /// Where in them, one after the other, the new chunk probably begins.
    pub start: usize,
    pub use_of_base: UseOfBase,
}

impl BaseHint {
    /// For pages.
    pub fn chained(chunks: Vec<ChunkId>) -> BaseHint {
        BaseHint { chunks, start: 0, use_of_base: UseOfBase::Chained }
    }
}

/// How far a delta may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UseOfBase {
    /// For data: against one version, so that reading takes two records, whatever the age; one that has changed by more than
    /// half is stored whole, and is the base of the next versions.
    #[default]
    Shallow,
    /// For pages, which are small, and of which each version changes many: against the last version, in a chain.
    Chained,
}

impl UseOfBase {
    /// Chains of deltas may be so long.
    pub(super) fn depth_max(self) -> u32 {
        match self {
            UseOfBase::Shallow => 1,
            UseOfBase::Chained => DELTA_DEPTH_MAX,
        }
    }

    /// The largest delta that is better than `whole_bytes`.
    fn worthwhile_bytes(self, whole_bytes: usize) -> usize {
        match self {
            UseOfBase::Shallow => whole_bytes / 2,
            UseOfBase::Chained => whole_bytes - whole_bytes / 8,
        }
    }
}

/// A delta up to this part of its chunk is taken without looking what compression alone would do.
const SURE_DELTA_DIVISOR: usize = 16;

/// Operations of this many bytes may shrink by compression: long ones hold whole new rows.
const LONG_DELTA_BYTES: usize = 256;

/// Encodes chunks; keeps its buffers from one to the next.
pub struct ChunkEncoder {
    deltas: DeltaEncoder,
    compressor: Compressor,
    operations: Vec<u8>,
    payload: Vec<u8>,
    record: Encoder,
    bodies: Option<BodyCompressor>,
    /// For pages that are told by differences; none where what it encodes is no page.
    told_pages: Option<Compressor>,
}

/// Which pack's footer lists an id, and in which slot.
pub type SlotOf<'s> = dyn Fn(&[u8; ChunkId::LEN]) -> Option<(WriterObject, u32)> + 's;

/// Encoded chunks, one behind the other.
#[derive(Debug, Default)]
pub struct EncodedChunks {
    encoder: Encoder,
    bases: Vec<RecordPlace>,
    lists: Vec<IdRun>,
}

/// One of [`EncodedChunks`].
#[derive(Debug, Clone)]
pub struct EncodedRange {
    form: ChunkForm,
    bytes: Range<usize>,
    bases: Range<usize>,
    lists: Range<usize>,
}

impl EncodedChunks {
    pub fn clear(&mut self) {
        self.encoder.bytes.clear();
        self.bases.clear();
        self.lists.clear();
    }

    pub fn get(&self, range: &EncodedRange) -> EncodedChunk<'_> {
        let (bytes, bases) = (&self.encoder.bytes[range.bytes.clone()], &self.bases[range.bases.clone()]);
        EncodedChunk { form: range.form, bytes, bases, lists: &self.lists[range.lists.clone()] }
    }

    /// The last chunk, which began at `start` in each of the three.
    fn since(&self, start: [usize; 3], form: ChunkForm) -> EncodedRange {
        let [bytes, bases, lists] = start;
        let (bytes, bases) = (bytes..self.encoder.bytes.len(), bases..self.bases.len());
        EncodedRange { form, bytes, bases, lists: lists..self.lists.len() }
    }

    fn ends(&self) -> [usize; 3] {
        [self.encoder.bytes.len(), self.bases.len(), self.lists.len()]
    }
}

impl ChunkEncoder {
    pub fn new(compression: Compression) -> ChunkEncoder {
        let (deltas, record) = (DeltaEncoder::default(), Encoder::new());
        let (operations, payload, bodies, told_pages) = Default::default();
        let compressor = Compressor::new(compression);
        ChunkEncoder { deltas, compressor, operations, payload, record, bodies, told_pages }
    }

    /// For tree pages in a repository of that compression.
    pub fn of_pages(compression: Compression) -> ChunkEncoder {
        let told_pages = Some(Compressor::new(compression.of_lists()));
        ChunkEncoder { told_pages, ..ChunkEncoder::new(compression.of_pages()) }
    }

    /// [`ChunkEncoder::encode`] for a page that lists chunks: ids that `slot_of` knows are left to footers.
    pub fn encode_listing(
        &mut self,
        id: &ChunkId,
        plain: &[u8],
        hint: &BaseHint,
        base: Option<Base>,
        slot_of: &SlotOf,
        out: &mut EncodedChunks,
    ) -> Result<EncodedRange> {
        let start = out.ends();
        match self.listed(id, plain, hint, base.as_ref(), slot_of) {
            Some((bases, runs)) => {
                out.encoder.raw(&self.record.bytes);
                out.bases.extend(bases);
                out.lists.extend(runs);
                Ok(out.since(start, ChunkForm::Record))
            }
            None => self.encode(id, plain, hint, base, out),
        }
    }

    /// Appends what is to be stored of a chunk to `out`; `base` is what the hint led to.
    pub fn encode(
        &mut self,
        id: &ChunkId,
        plain: &[u8],
        hint: &BaseHint,
        base: Option<Base>,
        out: &mut EncodedChunks,
    ) -> Result<EncodedRange> {
        if plain.len() > CHUNK_MAX_BYTES {
            let reason = format!("{} bytes are more than a chunk can hold", plain.len());
            return Err(Error::Invalid { what: "chunk", value: id.to_string(), reason });
        }
        let start = out.ends();
        let mut form = ChunkForm::Record;
        if let Some(base) = base
            && let Some(of_delta) = self.delta(&base, id, plain, hint)
        {
            form = of_delta;
            out.encoder.raw(if form == ChunkForm::Grouped { &self.operations } else { &self.record.bytes });
            out.bases.extend(base.places);
        } else if !self.tell_page(id, plain, out) {
            let (codec, payload) = self.compressor.compress(plain);
            encode_record(codec, plain.len(), &[], payload, &mut out.encoder);
        }
        Ok(out.since(start, form))
    }

    /// Appends the record of a page that is told by differences; false where that does not pay.
    fn tell_page(&mut self, id: &ChunkId, plain: &[u8], out: &mut EncodedChunks) -> bool {
        let Some(compressor) = &mut self.told_pages else { return false };
        let Some(told) = told_page::tell(plain) else { return false };
        // As for all deltas.
        let mut page = told.clone();
        if told_page::untell(&mut page).is_err() || page != plain {
            log::error!("page {id} does not come back from its differences; storing it otherwise");
            return false;
        }
        let (Codec::Zstd, payload) = compressor.compress(&told) else { return false };
        encode_record(Codec::ToldPage, plain.len(), &[], payload, &mut out.encoder);
        true
    }

    /// Tells the chunk as a delta, and how that is to stand in the pack; nothing where it does not pay.
    fn delta(&mut self, base: &Base, id: &ChunkId, plain: &[u8], hint: &BaseHint) -> Option<ChunkForm> {
        self.operations.clear();
        let limit = hint.use_of_base.worthwhile_bytes(plain.len());
        if !self.deltas.encode(&base.bytes, hint.start, plain, limit, &mut self.operations) {
            return None;
        }
        let is_grouped = hint.use_of_base == UseOfBase::Shallow && self.operations.len() <= GROUPED_MAX_BYTES;
        let is_surely_small = is_grouped && self.operations.len() <= plain.len() / SURE_DELTA_DIVISOR;
        let codec = if is_surely_small { Codec::Delta } else { self.pack_operations() };
        if !is_surely_small && !self.pays(plain, hint) {
            return None;
        }
        let decoded = if is_grouped {
            apply_delta(&base.bytes, &self.operations, plain.len()).ok()
        } else {
            self.record.bytes.clear();
            encode_record(codec, plain.len(), &base.places, &self.payload, &mut self.record);
            let record = ChunkRecord::open(&self.record.bytes, id, &base.places[0].pack).ok();
            record.and_then(|record| record.decode(&base.bytes).ok())
        };
        // What cannot be read back exactly must never be all that is kept.
        if decoded.is_none_or(|decoded| decoded[..] != *plain) {
            log::error!("chunk {id} does not come back from its delta; storing it whole");
            return None;
        }
        Some(if is_grouped { ChunkForm::Grouped } else { ChunkForm::Record })
    }

    /// Whether the payload, a delta, is better than the chunk compressed alone.
    fn pays(&mut self, plain: &[u8], hint: &BaseHint) -> bool {
        let delta_bytes = self.payload.len();
        delta_bytes <= plain.len() / SURE_DELTA_DIVISOR
            || delta_bytes <= hint.use_of_base.worthwhile_bytes(self.compressor.compress(plain).1.len())
    }

    /// Makes the record as a delta, of no base perhaps, that leaves ids to footers, and gives its bases and these; nothing
    /// where there are none to leave out.
    fn listed(
        &mut self,
        id: &ChunkId,
        plain: &[u8],
        hint: &BaseHint,
        base: Option<&Base>,
        slot_of: &SlotOf,
    ) -> Option<(Vec<RecordPlace>, Vec<IdRun>)> {
        self.operations.clear();
        let (deltas, operations) = (&mut self.deltas, &mut self.operations);
        let told = base.filter(|base| deltas.encode(&base.bytes, hint.start, plain, plain.len(), operations));
        if told.is_none() {
            let mut whole = Encoder { bytes: std::mem::take(&mut self.operations) };
            whole.varint(plain.len() as u64 * 2).raw(plain);
            self.operations = whole.bytes;
        }
        let (delta, ids) = ListedDelta::leaving_out(&self.operations, slot_of);
        let first = delta.runs.first()?;
        let (places, base_bytes) = told.map_or((&[][..], &[][..]), |base| (&base.places[..], &base.bytes[..]));
        let body = delta.encode();
        if self.bodies.is_none() {
            self.bodies = BodyCompressor::new().ok();
        }
        let mut payload = Encoder::new();
        payload.varint(body.len() as u64).raw(&self.bodies.as_mut()?.compress(&body).ok()?);
        self.record.bytes.clear();
        encode_record(Codec::DeltaListed, plain.len(), places, &payload.bytes, &mut self.record);
        // As for all deltas.
        let record = ChunkRecord::open(&self.record.bytes, id, &first.pack).ok();
        let read = record.and_then(|record| record.listed().ok()?);
        let is_told = read.is_some_and(|read| {
            read.runs == delta.runs && read.apply(base_bytes, &ids, plain.len()).is_ok_and(|made| made[..] == *plain)
        });
        if !is_told {
            log::error!("page {id} does not come back from its delta; storing it otherwise");
        }
        is_told.then(|| (places.to_vec(), delta.runs))
    }

    /// Makes the payload of the operations.
    fn pack_operations(&mut self) -> Codec {
        self.payload.clear();
        let (codec, packed) = match self.operations.len() >= LONG_DELTA_BYTES {
            true => self.compressor.compress(&self.operations),
            false => (Codec::Raw, &self.operations[..]),
        };
        let codec = match codec {
            Codec::Lz4 => Codec::DeltaLz4,
            Codec::Zstd => Codec::DeltaZstd,
            _ => Codec::Delta,
        };
        if codec != Codec::Delta {
            let mut length = Encoder { bytes: std::mem::take(&mut self.payload) };
            length.varint(self.operations.len() as u64);
            self.payload = length.bytes;
        }
        self.payload.extend_from_slice(packed);
        codec
    }
}
