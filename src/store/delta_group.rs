//! DeltaGroup: the deltas of many chunks in one record, compressed together. Rows that are updated alike differ alike, which
//! a delta alone cannot tell; and what names its base takes as much as it does. Encoding: `docs/format.md` section 4.

use std::ops::Range;
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::WriterObject;
use crate::store::cache::Weight;
use crate::store::chunk_record::{BASES_MAX, ChunkRecord, RecordPlace};
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::store::compress::{BodyCompressor, Codec, decompress};

/// The code of a record that is a group.
const GROUP_CODE: u8 = 6;

/// A group is written once it has deltas of so many chunks, ...
const FULL_CHUNKS: usize = 256;

/// ... or so many bytes of operations: whoever reads one chunk decodes the whole group.
const FULL_BYTES: usize = 32 << 10;

/// Longer deltas have records of their own.
pub const GROUPED_MAX_BYTES: usize = 8 << 10;

/// No group has more members, ...
const MEMBERS_MAX: usize = 4096;

/// ... or decompresses to more.
const BODY_MAX_BYTES: usize = 1 << 20;

/// Deltas that wait to be written together.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    /// How many bases each has.
    counts: Vec<usize>,
    bases: Vec<RecordPlace>,
    /// One after the other, each with its end.
    operations: Vec<u8>,
    /// Plain bytes of each, and where in `operations` it lies, without its end.
    spans: Vec<(usize, Range<usize>)>,
}

impl GroupBuilder {
    /// Adds a delta that makes `plain_bytes`.
    pub fn push(&mut self, plain_bytes: usize, bases: &[RecordPlace], operations: &[u8]) {
        let start = self.operations.len();
        self.operations.extend_from_slice(operations);
        self.spans.push((plain_bytes, start..self.operations.len()));
        let end: &[u8] = if ends_with_literals(operations) { &[0] } else { &[0, 0] };
        self.operations.extend_from_slice(end);
        self.counts.push(bases.len());
        self.bases.extend_from_slice(bases);
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.counts.len() >= FULL_CHUNKS || self.operations.len() >= FULL_BYTES
    }

    /// What its record will take at most.
    pub fn len_bytes(&self) -> usize {
        self.operations.len()
    }

    /// The record of the group, which is empty then. It was read back: each chunk's delta was applied when it was made, and
    /// comes out of the record as it went in.
    pub fn take_record(&mut self) -> Result<Vec<u8>> {
        let group = std::mem::take(self);
        let body = group.body();
        let failed = |reason: String| Error::corrupt("a group of deltas that was just made", reason);
        let frame = BodyCompressor::new()
            .and_then(|mut bodies| bodies.compress(&body))
            .map_err(|error| failed(format!("it cannot be compressed: {error}")))?;
        let mut record = Encoder::new();
        record.u8(GROUP_CODE).varint(body.len() as u64).bytes(&frame);
        let read = DeltaGroup::open(&record.bytes).map_err(|error| failed(error.to_string()))?;
        if !group.is_told_by(&read) {
            return Err(failed("it does not come back as it was".into()));
        }
        Ok(record.bytes)
    }

    fn body(&self) -> Vec<u8> {
        let mut packs: Vec<WriterObject> = Vec::new();
        let (mut numbers, mut gaps, mut lengths) = (Encoder::new(), Encoder::new(), Encoder::new());
        let mut ends: Vec<u64> = Vec::new();
        for base in &self.bases {
            let number = packs.iter().position(|pack| *pack == base.pack).unwrap_or_else(|| {
                packs.push(base.pack);
                ends.push(0);
                packs.len() - 1
            });
            numbers.varint(number as u64);
            gaps.signed(base.offset.wrapping_sub(ends[number]) as i64);
            lengths.varint(base.record_bytes.into());
            ends[number] = base.offset + u64::from(base.record_bytes);
        }
        let mut body = Encoder::new();
        body.list(&packs, |body, pack| {
            body.writer_object(pack);
        });
        body.list(&self.counts, |body, count| {
            body.varint(*count as u64);
        });
        body.raw(&numbers.bytes).raw(&gaps.bytes).raw(&lengths.bytes).raw(&self.operations);
        body.bytes
    }

    fn is_told_by(&self, read: &DeltaGroup) -> bool {
        let mut bases = &self.bases[..];
        read.members.len() == self.counts.len()
            && (0..).zip(self.counts.iter().zip(&self.spans)).all(|(number, (count, (plain_bytes, span)))| {
                let (own, rest) = bases.split_at(*count);
                bases = rest;
                read.member(number).is_some_and(|member| {
                    member.bases == own
                        && member.plain_bytes == *plain_bytes
                        && member.payload() == &self.operations[span.clone()]
                })
            })
    }
}

/// Whether a delta ends with literals, behind which no copy is told. What is no delta ends somehow.
fn ends_with_literals(operations: &[u8]) -> bool {
    let mut input = Decoder::new(operations);
    while let Ok(tag) = input.varint() {
        let literals = usize::try_from(tag >> 1).unwrap_or(usize::MAX);
        if input.raw(literals).is_err() || input.remaining() == 0 {
            return true;
        }
        let copied = input.varint();
        if tag & 1 == 1 && copied.is_ok() {
            let _ = input.signed();
        }
    }
    false
}

/// A group that was read.
#[derive(Debug)]
pub struct DeltaGroup {
    body: Arc<[u8]>,
    members: Vec<Member>,
    bases: Vec<RecordPlace>,
}

#[derive(Debug)]
struct Member {
    plain_bytes: u32,
    bases: Range<u32>,
    operations: Range<u32>,
}

impl Weight for Arc<DeltaGroup> {
    fn weight_bytes(&self) -> u64 {
        (self.body.len() + size_of_val(&self.members[..]) + size_of_val(&self.bases[..])) as u64
    }
}

impl DeltaGroup {
    /// Whether this is the record of a group, or of one chunk.
    pub fn is_in(record: &[u8]) -> bool {
        record.first() == Some(&GROUP_CODE)
    }

    /// Takes the record of a group apart.
    pub fn open(record: &[u8]) -> Result<DeltaGroup, DecodeError> {
        let mut head = Decoder::new(record);
        if head.u8()? != GROUP_CODE {
            return head.fail("it is no group of deltas");
        }
        let Some(body_bytes) = usize::try_from(head.varint()?).ok().filter(|&bytes| bytes <= BODY_MAX_BYTES) else {
            return head.fail("a group is longer than any");
        };
        let frame = head.bytes()?;
        head.end()?;
        DeltaGroup::decode(decompress(Codec::Zstd, frame, body_bytes)?)
    }

    fn decode(body: Arc<[u8]>) -> Result<DeltaGroup, DecodeError> {
        let mut input = Decoder::new(&body);
        let packs = input.list(Decoder::writer_object)?;
        let counts = input.list(|item| match item.varint()? {
            count if (1..=BASES_MAX as u64).contains(&count) => Ok(count as usize),
            _ => item.fail("a delta has no bases, or too many"),
        })?;
        if counts.is_empty() || counts.len() > MEMBERS_MAX {
            return input.fail("a group has no members, or too many");
        }
        let bases = decode_bases(&mut input, &packs, counts.iter().sum())?;
        let mut first = 0;
        let members = counts.iter().map(|&count| {
            let bases = first..first + count as u32;
            first = bases.end;
            decode_member(&mut input, bases)
        });
        let members = members.collect::<Result<Vec<Member>, DecodeError>>()?;
        input.end()?;
        Ok(DeltaGroup { members, bases, body })
    }

    /// The record that a member would have alone; `None` where there are not so many.
    pub fn member(&self, number: u32) -> Option<ChunkRecord<'_>> {
        let member = self.members.get(number as usize)?;
        let range = |range: &Range<u32>| range.start as usize..range.end as usize;
        let bases = self.bases[range(&member.bases)].to_vec();
        Some(ChunkRecord::of_delta(member.plain_bytes as usize, bases, &self.body[range(&member.operations)]))
    }
}

fn decode_bases(input: &mut Decoder, packs: &[WriterObject], count: usize) -> Result<Vec<RecordPlace>, DecodeError> {
    let numbers = (0..count).map(|_| input.varint()).collect::<Result<Vec<u64>, DecodeError>>()?;
    let gaps = (0..count).map(|_| input.signed()).collect::<Result<Vec<i64>, DecodeError>>()?;
    let mut ends = vec![0u64; packs.len()];
    let bases = numbers.into_iter().zip(gaps).map(|(number, gap)| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let (Some(pack), Some(end)) = (packs.get(number), ends.get_mut(number)) else {
            return input.fail("a base lies in a pack that is not told");
        };
        let (offset, record_bytes) = (end.wrapping_add_signed(gap), input.varint32()?);
        *end = offset.wrapping_add(record_bytes.into());
        Ok(RecordPlace { pack: *pack, offset, record_bytes })
    });
    bases.collect()
}

/// A delta, up to the copy of no bytes that ends it.
fn decode_member(input: &mut Decoder, bases: Range<u32>) -> Result<Member, DecodeError> {
    let start = input.position();
    let mut plain_bytes = 0usize;
    loop {
        let before = input.position();
        let tag = input.varint()?;
        let literals = input.raw(usize::try_from(tag >> 1).unwrap_or(usize::MAX))?;
        let behind = input.position();
        let copied = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
        plain_bytes = plain_bytes.saturating_add(literals.len()).saturating_add(copied);
        if plain_bytes > CHUNK_MAX_BYTES {
            return input.fail("a delta makes more than a chunk can hold");
        }
        if copied == 0 && tag & 1 == 0 {
            let end = if literals.is_empty() { before } else { behind };
            // All are below the limits above.
            let [start, end] = [start, end].map(|at| at as u32);
            return Ok(Member { plain_bytes: plain_bytes as u32, bases, operations: start..end });
        }
        if copied == 0 {
            return input.fail("a copy of nothing moves");
        }
        if tag & 1 == 1 {
            input.signed()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WriterId;
    use proptest::prelude::*;

    fn place(pack: u8, offset: u64, record_bytes: u32) -> RecordPlace {
        RecordPlace { pack: WriterObject { writer: WriterId([pack; 8]), number: pack.into() }, offset, record_bytes }
    }

    /// A delta of a copy, of literals, or of both.
    fn any_delta() -> impl Strategy<Value = (usize, Vec<u8>)> {
        let operation = (prop::collection::vec(any::<u8>(), 0..100), 1..5000u64, any::<Option<i16>>());
        (prop::collection::vec(operation, 0..6), prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(parts, last)| {
            let (mut delta, mut plain_bytes) = (Encoder::new(), last.len());
            for (literals, length, moved) in parts {
                delta.varint((literals.len() as u64) << 1 | u64::from(moved.is_some())).raw(&literals).varint(length);
                plain_bytes += literals.len() + length as usize;
                if let Some(moved) = moved {
                    delta.signed(moved.into());
                }
            }
            if !last.is_empty() {
                delta.varint((last.len() as u64) << 1).raw(&last);
            }
            (plain_bytes, delta.bytes)
        })
    }

    fn any_bases() -> impl Strategy<Value = Vec<RecordPlace>> {
        let base = (any::<u8>(), any::<u32>(), any::<u32>());
        prop::collection::vec(base.prop_map(|(pack, offset, bytes)| place(pack, offset.into(), bytes)), 1..=BASES_MAX)
    }

    proptest! {
        #[test]
        fn members_come_back(members in prop::collection::vec((any_delta(), any_bases()), 1..40)) {
            let mut builder = GroupBuilder::default();
            for ((plain_bytes, operations), bases) in &members {
                builder.push(*plain_bytes, bases, operations);
            }
            let record = builder.take_record().unwrap();
            prop_assert!(builder.is_empty() && DeltaGroup::is_in(&record));
            let group = DeltaGroup::open(&record).unwrap();
            for (number, ((plain_bytes, operations), bases)) in (0..).zip(&members) {
                let member = group.member(number).unwrap();
                prop_assert_eq!((&member.bases, member.plain_bytes, member.payload()), (bases, *plain_bytes, &operations[..]));
            }
            prop_assert!(group.member(members.len() as u32).is_none());
        }

        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..300), record: Vec<u8>) {
            let _ = (DeltaGroup::decode(body.into()), DeltaGroup::open(&[&[GROUP_CODE], &record[..]].concat()));
        }
    }

    #[test]
    fn a_changed_byte_of_a_body_is_refused_or_another_group_and_never_a_panic() {
        let mut builder = GroupBuilder::default();
        for number in 0..20 {
            builder.push(104, &[place(1, number * 500, 480)], &[8, b'p', b'a', b'i', b'd', 100]);
        }
        let body = builder.body();
        for (at, bit) in (0..body.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            let _ = DeltaGroup::decode(changed.into());
        }
        assert!((0..body.len()).all(|length| DeltaGroup::decode(body[..length].into()).is_err()));
    }

    #[test]
    fn what_does_not_come_back_is_not_written() {
        let mut builder = GroupBuilder::default();
        // They make 104 bytes.
        builder.push(103, &[place(1, 27, 480)], &[8, b'p', b'a', b'i', b'd', 100]);
        assert!(builder.take_record().unwrap_err().to_string().contains("does not come back"));
    }
}
