//! ChunkEncoder: encodes a new chunk: against a base where there is one, compressed or plain where not.

use std::ops::Range;

use crate::codec::Encoder;
use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterObject};
use crate::store::base::{Base, Reach};
use crate::store::chunk_record::{ChunkForm, ChunkRecord, EncodedChunk, RecordPlace, encode_head, encode_record};
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::store::compress::{BodyCompressor, Codec, Compression, Compressor};
use crate::store::delta::{DeltaEncoder, makes};
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
    /// For data: against a version that is whole, or against a *step*, a delta against such a one; so reading takes three
    /// records, whatever the age. One that has changed by more than half is stored whole, and is the base of the next versions.
    #[default]
    Stepped,
    /// For pages, which are small, and of which each version changes many: against the last version, in a chain.
    Chained,
}

impl UseOfBase {
    pub(super) fn reach(self) -> Reach {
        match self {
            UseOfBase::Stepped => Reach::Steps,
            UseOfBase::Chained => Reach::Chains,
        }
    }

    /// The largest delta that is better than `whole_bytes`.
    fn worthwhile_bytes(self, whole_bytes: usize) -> usize {
        match self {
            UseOfBase::Stepped => whole_bytes / 2,
            UseOfBase::Chained => whole_bytes - whole_bytes / 8,
        }
    }
}

/// A delta up to this part of its chunk is taken without looking what compression alone would do.
const SURE_DELTA_DIVISOR: usize = 16;

/// No delta against a whole chunk is a step that is no longer: a record of its own costs as much as it saves.
const STEP_MIN_BYTES: usize = 96;

/// In hundredths, how much longer deltas are without a step, at least. Where the same bytes change in every version, none helps.
const STEP_GAIN_PERCENT: usize = 120;

/// In hundredths: while a delta without the step would be so much longer, there is no new one.
const STEP_WORN_PERCENT: usize = 250;

/// Operations of this many bytes may shrink by compression: long ones hold whole new rows.
const LONG_DELTA_BYTES: usize = 256;

/// So long chunks that do not compress are not copied behind the heads of their records; of others copying costs less than a
/// second call of the backend.
const PLAIN_APART_BYTES: usize = 32 << 10;

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

/// What a new step is told against, in place of the one before.
pub type OlderBase<'o> = dyn Fn() -> Result<Option<Base>> + 'o;

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
    /// The chunk itself follows the bytes.
    is_plain: bool,
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

    /// The encoded chunk; `plain` is what was encoded.
    pub fn get<'e>(&'e self, range: &EncodedRange, plain: &'e [u8]) -> EncodedChunk<'e> {
        let (bytes, bases) = (&self.encoder.bytes[range.bytes.clone()], &self.bases[range.bases.clone()]);
        let plain = if range.is_plain { plain } else { &[] };
        EncodedChunk { form: range.form, bytes, plain, bases, lists: &self.lists[range.lists.clone()] }
    }

    /// The last chunk, which began at `start` in each of the three.
    fn since(&self, start: [usize; 3], form: ChunkForm) -> EncodedRange {
        let [bytes, bases, lists] = start;
        let (bytes, bases) = (bytes..self.encoder.bytes.len(), bases..self.bases.len());
        EncodedRange { form, is_plain: false, bytes, bases, lists: lists..self.lists.len() }
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
        mut base: Option<Base>,
        slot_of: &SlotOf,
        out: &mut EncodedChunks,
    ) -> Result<EncodedRange> {
        let start = out.ends();
        match self.listed(id, plain, hint, base.as_mut(), slot_of) {
            Some((bases, runs)) => {
                out.encoder.raw(&self.record.bytes);
                out.bases.extend(bases);
                out.lists.extend(runs);
                Ok(out.since(start, ChunkForm::Record))
            }
            None => self.encode(id, plain, hint, base, &|| Ok(None), out),
        }
    }

    /// Appends what is to be stored of a chunk to `out`; `base` is what the hint led to, `older` what steps there are told
    /// against.
    pub fn encode(
        &mut self,
        id: &ChunkId,
        plain: &[u8],
        hint: &BaseHint,
        base: Option<Base>,
        older: &OlderBase,
        out: &mut EncodedChunks,
    ) -> Result<EncodedRange> {
        if plain.len() > CHUNK_MAX_BYTES {
            let reason = format!("{} bytes are more than a chunk can hold", plain.len());
            return Err(Error::Invalid { what: "chunk", value: id.to_string(), reason });
        }
        let start = out.ends();
        let base = base.filter(|base| !base.parts.is_empty());
        let told = base.map(|base| self.delta(base, id, plain, hint, older)).transpose()?.flatten();
        let form = told.as_ref().map_or(ChunkForm::Record, |(form, _)| *form);
        if let Some((_, places)) = told {
            out.encoder.raw(if form == ChunkForm::Grouped { &self.operations } else { &self.record.bytes });
            out.bases.extend(places);
        } else if !self.tell_page(id, plain, out) {
            let (codec, payload) = self.compressor.compress(plain);
            if codec == Codec::Raw && plain.len() >= PLAIN_APART_BYTES {
                encode_head(codec, plain.len(), &[], plain.len(), &mut out.encoder);
                return Ok(EncodedRange { is_plain: true, ..out.since(start, form) });
            }
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

    /// Tells the chunk as a delta: how that is to stand in the pack, and against what it is told. Nothing where it does not
    /// pay.
    fn delta(
        &mut self,
        mut base: Base,
        id: &ChunkId,
        plain: &[u8],
        hint: &BaseHint,
        older: &OlderBase,
    ) -> Result<Option<(ChunkForm, Vec<RecordPlace>)>> {
        let limit = hint.use_of_base.worthwhile_bytes(plain.len());
        if !self.compare(&mut base, hint.start, plain, limit) {
            return Ok(None);
        }
        let is_step = match hint.use_of_base {
            UseOfBase::Stepped => self.makes_step(&mut base, hint.start, plain, limit, older)?,
            UseOfBase::Chained => Some(false),
        };
        let Some(is_step) = is_step else { return Ok(None) };
        let may_group = hint.use_of_base == UseOfBase::Stepped && !is_step;
        let is_grouped = may_group && self.operations.len() <= GROUPED_MAX_BYTES;
        let is_surely_small = is_grouped && self.operations.len() <= plain.len() / SURE_DELTA_DIVISOR;
        let codec = if is_surely_small { Codec::Delta } else { self.pack_operations(is_step) };
        if !is_surely_small && !self.pays(plain, hint) {
            return Ok(None);
        }
        let form = if is_grouped { ChunkForm::Grouped } else { ChunkForm::Record };
        if !self.comes_back(&base, id, plain, form, codec) {
            log::error!("chunk {id} does not come back from its delta; storing it whole");
            return Ok(None);
        }
        Ok(Some((form, base.places())))
    }

    /// Whether the delta that was made is to be a step, or rather the one against the older base that takes its place then;
    /// nothing where the chunk has changed so much that it is to be stored whole.
    fn makes_step(
        &mut self,
        base: &mut Base,
        start: usize,
        plain: &[u8],
        limit: usize,
        older: &OlderBase,
    ) -> Result<Option<bool>> {
        let near_bytes = self.operations.len();
        if base.depth() == 0 {
            let may_pay = near_bytes > STEP_MIN_BYTES && !base.last.is_empty();
            return Ok(Some(may_pay && self.is_near(&base.last, start, plain, near_bytes * 100 / STEP_GAIN_PERCENT)));
        }
        if near_bytes * STEP_WORN_PERCENT <= base.delta_bytes() * 100 {
            return Ok(Some(false));
        }
        let Some(mut far_base) = older()? else { return Ok(Some(false)) };
        let near = std::mem::take(&mut self.operations);
        let fits = self.compare(&mut far_base, start, plain, limit);
        let far_bytes = if fits { self.operations.len() } else { limit };
        if far_bytes * 100 >= near_bytes * STEP_WORN_PERCENT {
            self.operations = near;
            return Ok(Some(false));
        }
        *base = far_base;
        Ok(fits.then_some(far_bytes * 100 >= near_bytes * STEP_GAIN_PERCENT))
    }

    /// Whether a delta against `last` takes at most so many bytes.
    fn is_near(&mut self, last: &[u8], start: usize, plain: &[u8], limit: usize) -> bool {
        self.payload.clear();
        self.deltas.encode(last, start, plain, limit, &mut self.payload)
    }

    /// Makes the operations that tell the chunk, and leaves out of the base what they do not need; false where they are too
    /// many.
    fn compare(&mut self, base: &mut Base, start: usize, plain: &[u8], limit: usize) -> bool {
        self.operations.clear();
        let fits = self.deltas.encode(&base.bytes, start, plain, limit, &mut self.operations);
        if !fits || base.parts.len() == 1 {
            return fits;
        }
        let Some(left_out_before) = base.keep_copied(self.deltas.copied(), start) else { return true };
        self.operations.clear();
        !base.parts.is_empty()
            && self.deltas.encode(&base.bytes, start - left_out_before, plain, limit, &mut self.operations)
    }

    /// Makes the record where it is to stand alone, and tells whether it can be read back exactly: what cannot must never be
    /// all that is kept.
    fn comes_back(&mut self, base: &Base, id: &ChunkId, plain: &[u8], form: ChunkForm, codec: Codec) -> bool {
        if form == ChunkForm::Grouped {
            return makes(&base.bytes, &self.operations, plain);
        }
        self.record.bytes.clear();
        let places = base.places();
        encode_record(codec, plain.len(), &places, &self.payload, &mut self.record);
        let record = ChunkRecord::open(&self.record.bytes, id, &places[0].pack).ok();
        record.and_then(|record| record.decode(&base.bytes).ok()).is_some_and(|decoded| decoded[..] == *plain)
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
        base: Option<&mut Base>,
        slot_of: &SlotOf,
    ) -> Option<(Vec<RecordPlace>, Vec<IdRun>)> {
        let told = base.and_then(|base| self.compare(base, hint.start, plain, plain.len()).then_some(&*base));
        if told.is_none() {
            self.operations.clear();
            let mut whole = Encoder { bytes: std::mem::take(&mut self.operations) };
            whole.varint(plain.len() as u64 * 2).raw(plain);
            self.operations = whole.bytes;
        }
        let (delta, ids) = ListedDelta::leaving_out(&self.operations, slot_of);
        let first = delta.runs.first()?;
        let (places, base_bytes) = told.map_or((Vec::new(), &[][..]), |base| (base.places(), &base.bytes[..]));
        let body = delta.encode();
        let mut payload = Encoder::new();
        payload.varint(body.len() as u64).raw(&bodies(&mut self.bodies)?.compress(&body).ok()?);
        self.record.bytes.clear();
        encode_record(Codec::DeltaListed, plain.len(), &places, &payload.bytes, &mut self.record);
        // As for all deltas.
        let record = ChunkRecord::open(&self.record.bytes, id, &first.pack).ok();
        let read = record.and_then(|record| record.listed().ok()?);
        let is_told = read.is_some_and(|read| {
            read.runs == delta.runs && read.apply(base_bytes, &ids, plain.len()).is_ok_and(|made| made[..] == *plain)
        });
        if !is_told {
            log::error!("page {id} does not come back from its delta; storing it otherwise");
        }
        is_told.then_some((places, delta.runs))
    }

    /// Makes the payload of the operations; those of a step are compressed as groups are.
    fn pack_operations(&mut self, is_step: bool) -> Codec {
        self.payload.clear();
        let operations = &self.operations[..];
        let small_step = is_step && operations.len() <= GROUPED_MAX_BYTES;
        let frame =
            if small_step { bodies(&mut self.bodies).and_then(|it| it.compress(operations).ok()) } else { None };
        let (codec, packed) = match &frame {
            Some(frame) if frame.len() < operations.len() => (Codec::Zstd, &frame[..]),
            None if operations.len() >= LONG_DELTA_BYTES => self.compressor.compress(operations),
            _ => (Codec::Raw, operations),
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

/// The compressor, made when it is needed.
fn bodies(kept: &mut Option<BodyCompressor>) -> Option<&mut BodyCompressor> {
    if kept.is_none() {
        *kept = BodyCompressor::new().ok();
    }
    kept.as_mut()
}
