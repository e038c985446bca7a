//! ListedDelta: a page of a content is told without the ids of its new chunks, for the footers of their packs list them in the
//! same order. Encoding: `docs/format.md` section 4.

use std::ops::Range;
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::id::{ChunkId, WriterObject};
use crate::store::chunk_encoder::SlotOf;
use crate::store::compress::{Codec, decompress};
use crate::store::delta::{BASES_MAX_BYTES, apply_delta};

/// Chunks that follow each other in the footer of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRun {
    pub pack: WriterObject,
    /// Slot of the first.
    pub first: u32,
    pub count: u32,
}

impl IdRun {
    /// Its slots.
    pub fn slots(&self) -> Range<usize> {
        let first = self.first as usize;
        first..first.saturating_add(self.count as usize)
    }
}

/// Ids of chunks in further packs stay: whoever reads the page reads the footers of all.
const PACKS_MAX: usize = 16;

/// No delta leaves out more ids: together they are as long as a chunk may be.
const IDS_MAX: usize = BASES_MAX_BYTES / ChunkId::LEN;

/// A delta, of no base perhaps, without the ids that footers list.
#[derive(Debug, Default)]
pub struct ListedDelta {
    pub runs: Vec<IdRun>,
    /// Packs of these.
    packs: Vec<WriterObject>,
    /// For each id, how many bytes stand between it and the id before it.
    gaps: Vec<usize>,
    /// The operations without the ids.
    rest: Vec<u8>,
}

impl ListedDelta {
    /// Leaves out of `operations` the ids whose slots are known, and returns them too.
    pub fn leaving_out(operations: &[u8], slot_of: &SlotOf) -> (ListedDelta, Vec<ChunkId>) {
        let (mut delta, mut ids) = (ListedDelta::default(), Vec::new());
        let (mut at, mut last_end) = (0, 0);
        while let Some(window) = operations[at..].first_chunk() {
            match slot_of(window) {
                Some(slot) if ids.len() < IDS_MAX && delta.add_to_runs(slot) => {
                    ids.push(ChunkId(*window));
                    delta.gaps.push(at - last_end);
                    delta.rest.extend_from_slice(&operations[last_end..at]);
                    at += ChunkId::LEN;
                    last_end = at;
                }
                _ => at += 1,
            }
        }
        delta.rest.extend_from_slice(&operations[last_end..]);
        (delta, ids)
    }

    fn add_to_runs(&mut self, (pack, slot): (WriterObject, u32)) -> bool {
        if let Some(last) = self.runs.last_mut()
            && (last.pack, last.first + last.count) == (pack, slot)
        {
            last.count += 1;
            return true;
        }
        if !self.packs.contains(&pack) {
            if self.packs.len() == PACKS_MAX {
                return false;
            }
            self.packs.push(pack);
        }
        self.runs.push(IdRun { pack, first: slot, count: 1 });
        true
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::new();
        body.list(&self.runs, |body, run| {
            body.writer_object(&run.pack).varint(run.first.into()).varint(run.count.into());
        });
        for gap in &self.gaps {
            body.varint(*gap as u64);
        }
        body.raw(&self.rest);
        body.bytes
    }

    /// Takes the payload of a record apart.
    pub fn open(payload: &[u8]) -> Result<ListedDelta, DecodeError> {
        let mut payload = Decoder::new(payload);
        let Some(body_bytes) = usize::try_from(payload.varint()?).ok().filter(|&bytes| bytes <= BASES_MAX_BYTES) else {
            return payload.fail("a delta is longer than any");
        };
        ListedDelta::decode(&decompress(Codec::Zstd, payload.raw(payload.remaining())?, body_bytes)?)
    }

    fn decode(body: &[u8]) -> Result<ListedDelta, DecodeError> {
        let mut input = Decoder::new(body);
        let runs = input
            .list(|item| Ok(IdRun { pack: item.writer_object()?, first: item.varint32()?, count: item.varint32()? }))?;
        let ids = runs.iter().fold(0usize, |sum, run| sum.saturating_add(run.count as usize));
        if ids > IDS_MAX {
            return input.fail("a delta leaves out more ids than any");
        }
        let gap = |_| Ok(usize::try_from(input.varint()?).unwrap_or(usize::MAX));
        let gaps = (0..ids).map(gap).collect::<Result<Vec<usize>, DecodeError>>()?;
        Ok(ListedDelta { runs, gaps, rest: input.raw(input.remaining())?.to_vec(), packs: Vec::new() })
    }

    /// The chunk that it makes from `base`; `ids` are those of its runs.
    pub fn apply(&self, base: &[u8], ids: &[ChunkId], plain_bytes: usize) -> Result<Arc<[u8]>, DecodeError> {
        let mut rest = Decoder::new(&self.rest);
        let mut operations = Vec::with_capacity(self.rest.len() + ids.len() * ChunkId::LEN);
        for (gap, id) in self.gaps.iter().zip(ids) {
            operations.extend_from_slice(rest.raw(*gap)?);
            operations.extend_from_slice(&id.0);
        }
        operations.extend_from_slice(rest.raw(rest.remaining())?);
        if operations.len() > 2 * BASES_MAX_BYTES || ids.len() != self.gaps.len() {
            return rest.fail("a delta is longer than any");
        }
        apply_delta(base, &operations, plain_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WriterId;
    use proptest::prelude::*;

    fn id(number: u32) -> [u8; 32] {
        ChunkId::of(&number.to_le_bytes()).0
    }

    fn pack(number: u32) -> WriterObject {
        WriterObject { writer: WriterId([3; 8]), number }
    }

    /// Ids 0 to 99 are in slots 1000 on of pack 0, 200 to 299 in those of pack 1.
    fn slot_of(window: &[u8; 32]) -> Option<(WriterObject, u32)> {
        let number = (0..100).chain(200..300).find(|&number| id(number) == *window)?;
        Some((pack(number / 200), 1000 + number % 200))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn what_was_left_out_comes_back(parts in prop::collection::vec((0..400u32, prop::collection::vec(any::<u8>(), 0..9)), 0..60)) {
            let plain: Vec<u8> = parts.iter().flat_map(|(number, between)| [&id(*number)[..], between].concat()).collect();
            let mut operations = Encoder::new();
            if !plain.is_empty() {
                operations.varint(plain.len() as u64 * 2).raw(&plain);
            }
            let (delta, ids) = ListedDelta::leaving_out(&operations.bytes, &slot_of);
            let read = ListedDelta::decode(&delta.encode()).unwrap();
            prop_assert_eq!(&read.runs, &delta.runs);
            let listed: Vec<(WriterObject, u32)> =
                read.runs.iter().flat_map(|run| (0..run.count).map(|slot| (run.pack, run.first + slot))).collect();
            let slots: Vec<(WriterObject, u32)> = ids.iter().filter_map(|id| slot_of(&id.0)).collect();
            prop_assert_eq!(listed, slots);
            prop_assert_eq!(&read.apply(&[], &ids, plain.len()).unwrap()[..], &plain[..]);
        }

        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..200), payload: Vec<u8>, ids in 0..9usize) {
            let _ = ListedDelta::open(&payload);
            if let Ok(delta) = ListedDelta::decode(&body) {
                let _ = delta.apply(b"base", &vec![ChunkId([1; 32]); ids], 100);
            }
        }
    }

    #[test]
    fn ids_in_order_cost_next_to_nothing() {
        let ids: Vec<u8> = (0..100).flat_map(|number| [&[0, 1, 0x80, 0x80, 1][..], &id(number)].concat()).collect();
        let mut operations = Encoder::new();
        operations.varint(ids.len() as u64 * 2).raw(&ids);
        let (delta, left_out) = ListedDelta::leaving_out(&operations.bytes, &slot_of);
        assert_eq!((left_out.len(), delta.runs.len()), (100, 1));
        assert!(delta.encode().len() < 100 * 6 + 30);
    }
}
