//! ChunkRecord: one chunk as it stands in a pack: its codec, its bases, its payload. Format: `docs/format.md` section 4.

use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::{ChunkId, WriterObject};
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::store::compress::{Codec, decompress};
use crate::store::delta::{BASES_MAX_BYTES, apply_delta};
use crate::store::delta_group::DeltaGroup;
use crate::store::listed_delta::{IdRun, ListedDelta};
use crate::store::told_page;

/// A delta may have this many bases, ...
pub const BASES_MAX: usize = 4;

/// ... which may be deltas themselves, but no chain of them is longer: reading ends, whatever the bytes say.
pub const DELTA_DEPTH_MAX: u32 = 8;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordPlace {
    pub pack: WriterObject,
    pub offset: u64,
    pub record_bytes: u32,
}

/// What a pack is to hold of a new chunk.
#[derive(Debug, Clone, Copy)]
pub struct EncodedChunk<'e> {
    pub form: ChunkForm,
    pub bytes: &'e [u8],
    /// The rest of a record: the chunk itself, where it stands there as it is.
    pub plain: &'e [u8],
    pub bases: &'e [RecordPlace],
    /// Whose footers list ids that it left out.
    pub lists: &'e [IdRun],
}

/// How a new chunk stands in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkForm {
    /// Its bytes are a record of its own.
    Record,
    /// They are the operations of a delta, which is to stand in a group.
    Grouped,
}

/// A record taken apart, its payload still encoded.
#[derive(Debug)]
pub struct ChunkRecord<'r> {
    pub codec: Codec,
    pub plain_bytes: usize,
    /// Whose plain bytes, one after the other, a delta refers to.
    pub bases: Vec<RecordPlace>,
    payload: &'r [u8],
}

/// Writes the record of one chunk into `record`.
pub fn encode_record(codec: Codec, plain_bytes: usize, bases: &[RecordPlace], payload: &[u8], record: &mut Encoder) {
    encode_head(codec, plain_bytes, bases, payload.len(), record);
    record.raw(payload);
}

/// The same without the payload, which is to follow it.
pub fn encode_head(
    codec: Codec,
    plain_bytes: usize,
    bases: &[RecordPlace],
    payload_bytes: usize,
    record: &mut Encoder,
) {
    record.u8(codec.code()).varint(plain_bytes as u64).list(bases, |record, base| {
        record.writer_object(&base.pack).varint(base.offset).varint(u64::from(base.record_bytes));
    });
    record.varint(payload_bytes as u64);
}

fn decode_base(decoder: &mut Decoder) -> Result<RecordPlace, DecodeError> {
    Ok(RecordPlace { pack: decoder.writer_object()?, offset: decoder.varint()?, record_bytes: decoder.varint32()? })
}

impl<'r> ChunkRecord<'r> {
    /// The record of a delta.
    pub fn of_delta(plain_bytes: usize, bases: Vec<RecordPlace>, operations: &'r [u8]) -> ChunkRecord<'r> {
        ChunkRecord { codec: Codec::Delta, plain_bytes, bases, payload: operations }
    }

    /// The plain bytes, encoded.
    pub fn payload(&self) -> &'r [u8] {
        self.payload
    }

    /// Takes a record of chunk `id` apart; `pack` is where it was read, for messages.
    ///
    /// # Errors
    /// [`Error::ChunkCorrupt`] where it is no record, [`Error::Unsupported`] for a codec from the future.
    pub fn open(bytes: &'r [u8], id: &ChunkId, pack: &WriterObject) -> Result<ChunkRecord<'r>> {
        let corrupt = |reason: String| Error::ChunkCorrupt { id: *id, pack: pack.to_string(), reason };
        if DeltaGroup::is_in(bytes) {
            return Err(corrupt("a group of chunks stands where one chunk should".into()));
        }
        let mut decoder = Decoder::new(bytes);
        let head = (|| Ok::<_, DecodeError>((decoder.u8()?, decoder.varint()?, decoder.list(decode_base)?)))();
        let (code, plain_bytes, bases) = head.map_err(|error| corrupt(error.to_string()))?;
        let Some(codec) = Codec::from_code(code) else {
            let reason = format!("codec {code} is not known here");
            return Err(Error::Unsupported { object: format!("chunk {id} in pack {pack}"), reason });
        };
        if bases.len() > BASES_MAX || !codec.goes_with(bases.len()) {
            return Err(corrupt(format!("codec {code} does not go with {} bases", bases.len())));
        }
        let plain_bytes = usize::try_from(plain_bytes).ok().filter(|&bytes| bytes <= CHUNK_MAX_BYTES);
        let plain_bytes = plain_bytes.ok_or_else(|| corrupt("it claims to be larger than any chunk".into()))?;
        let payload = decoder.bytes().and_then(|payload| decoder.end().map(|()| payload));
        let payload = payload.map_err(|error| corrupt(error.to_string()))?;
        Ok(ChunkRecord { codec, plain_bytes, bases, payload })
    }

    /// The payload of a delta that leaves ids to footers; `None` for all others.
    pub fn listed(&self) -> Result<Option<ListedDelta>, DecodeError> {
        (self.codec == Codec::DeltaListed).then(|| ListedDelta::open(self.payload)).transpose()
    }

    /// The plain bytes, which nobody has verified yet, of a record that leaves no ids to footers. `base` is what the bases hold, one after the other.
    pub fn decode(&self, base: &[u8]) -> Result<Arc<[u8]>, DecodeError> {
        match self.codec {
            Codec::Raw if self.payload.len() == self.plain_bytes => Ok(Arc::from(self.payload)),
            Codec::Raw => Err(DecodeError { reason: "the payload does not have the length of the chunk", at: 0 }),
            Codec::Lz4 | Codec::Zstd => decompress(self.codec, self.payload, self.plain_bytes),
            Codec::ToldPage => {
                let mut page = decompress(self.codec, self.payload, self.plain_bytes)?;
                // Nobody else has it yet.
                told_page::untell(Arc::get_mut(&mut page).unwrap_or_default())?;
                Ok(page)
            }
            Codec::Delta => apply_delta(base, self.payload, self.plain_bytes),
            Codec::DeltaListed => Err(DecodeError { reason: "it left ids to footers", at: 0 }),
            Codec::DeltaLz4 | Codec::DeltaZstd => {
                let mut payload = Decoder::new(self.payload);
                let operations = payload.varint()?;
                let operations = usize::try_from(operations).ok().filter(|&bytes| bytes <= BASES_MAX_BYTES);
                let Some(operations) = operations else { return payload.fail("a delta is longer than any") };
                let packed = payload.raw(payload.remaining())?;
                apply_delta(base, &decompress(self.codec, packed, operations)?, self.plain_bytes)
            }
        }
    }
}
