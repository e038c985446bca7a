//! What a repository stores.

use std::cell::RefCell;
use std::sync::Arc;

use yesterfs::codec::{Decoder, Encoder, seal, seal_with_features, unseal, unverified_body};
use yesterfs::id::{ChunkId, WriterId, WriterObject, hash};
use yesterfs::repository::catalog::Catalog;
use yesterfs::repository::content::{Content, Extent};
use yesterfs::repository::node::{Node, Xattrs};
use yesterfs::repository::page::{Page, PageKind};
use yesterfs::repository::record::Record;
use yesterfs::repository::snapshot::Manifest;
use yesterfs::repository::tree::Witness;
use yesterfs::store::backend::{Backend, MemoryBackend};
use yesterfs::store::chunk_record::{ChunkRecord, RecordPlace};
use yesterfs::store::compress::BodyCompressor;
use yesterfs::store::delta::{DeltaEncoder, apply_delta};
use yesterfs::store::delta_group::{DeltaGroup, GROUPED_MAX_BYTES, GroupBuilder};
use yesterfs::store::listed_delta::ListedDelta;
use yesterfs::store::pack::{pack_key, read_damaged_ids, read_footer};
use yesterfs::store::segment::{SegmentRef, read_segment, segment_key};

/// Names of a chunk and a pack.
const CHUNK: ChunkId = ChunkId([7; 32]);
const PACK: WriterObject = WriterObject { writer: WriterId([7; 8]), number: 7 };

pub fn page(data: &[u8]) {
    let bytes: Arc<[u8]> = data.into();
    for kind in [PageKind::Directory, PageKind::Content, PageKind::Witness] {
        let Ok(page) = Page::open(CHUNK, bytes.clone(), kind) else { continue };
        for at in 0..page.len().min(2000) {
            let _ = (page.common_entries(at, &page, 0), page.key(at).is_ok(), page.child(at).is_ok());
            let _ = page.value(at, Node::decode);
            let _ = page.value_in_place(at, Extent::decode);
            let _ = page.value(at, Witness::decode);
        }
        assert!(page.lower_bound(b"m").is_ok_and(|place| place <= page.len()) || page.lower_bound(b"m").is_err());
    }
}

pub fn node(data: &[u8]) {
    let mut input = Decoder::new(data);
    if let Ok(node) = Node::decode(&mut input) {
        let mut again = Encoder::new();
        node.encode(&mut again);
        let read = Node::decode(&mut Decoder::new(&again.bytes));
        assert!(read.as_ref() == Ok(&node), "a node that is not read as it was written");
        let (_, _) = (node.totals(), node.size());
    }
    let _ = Content::decode(&mut Decoder::new(data));
    let _ = Xattrs::decode_chunk(&CHUNK, data);
    let _ = Node::decode_has_hard_link(&mut Decoder::new(data));
}

/// A store that has one object.
fn store(key: &str, bytes: &[u8]) -> MemoryBackend {
    let backend = MemoryBackend::default();
    let mut object = backend.put_new(key).expect("a key");
    object.write(bytes).and_then(|()| object.finish()).expect("memory");
    backend
}

pub fn footer(data: &[u8]) {
    for features in [0, 1] {
        let frame = seal_with_features(b"YFS-FOOT", features, 0, data);
        let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
        let pack = [&[0; 27][..], &frame, &length, b"YFS-PEND"].concat();
        let backend = store(&pack_key(&PACK), &pack);
        if let Ok(footer) = read_footer(&backend, &PACK) {
            assert_eq!(footer.by_place().count(), footer.entries.len());
        }
        let _ = read_damaged_ids(&backend, &PACK);
    }
    // What no checksum guards.
    let _ = read_footer(&store(&pack_key(&PACK), data), &PACK);
}

pub fn segment(data: &[u8]) {
    let file = seal(b"YFS-SEGM", data);
    let segment = SegmentRef { name: PACK, file_hash: hash(&file) };
    let _ = read_segment(&store(&segment_key(&PACK), &file), &segment);
}

pub fn chunk_record(data: &[u8]) {
    let base = &data[..data.len() / 2];
    if let Ok(record) = ChunkRecord::open(data, &CHUNK, &PACK) {
        let plain = record.decode(base);
        assert!(plain.is_err() || plain.is_ok_and(|plain| plain.len() == record.plain_bytes));
        if let Ok(Some(listed)) = record.listed() {
            let ids: usize = listed.runs.iter().map(|run| run.count as usize).sum();
            let _ = listed.apply(base, &vec![CHUNK; ids], record.plain_bytes);
        }
    }
    if let Ok(group) = DeltaGroup::open(data) {
        for number in 0..1000 {
            let Some(record) = group.member(number) else { break };
            let _ = record.decode(base);
        }
    }
    let _ = apply_delta(base, data, data.len());
    let _ = ListedDelta::open(data);
}

/// The data with a base in front, and what is told of one by the other.
pub fn delta(data: &[u8]) {
    let (base, target) = data.split_at(data.len() / 2);
    let start = usize::from(hash(data)[0]) % (base.len() + 1);
    let mut operations = Vec::new();
    let is_short = DeltaEncoder::default().encode(base, start, target, usize::MAX, &mut operations);
    assert!(is_short && apply_delta(base, &operations, target.len()).is_ok_and(|it| *it == *target), "another chunk");
    for short in [0, target.len().saturating_sub(1)].into_iter().filter(|&short| short != target.len()) {
        assert!(apply_delta(base, &operations, short).is_err(), "a delta makes less than it tells");
    }
    let mut limited = b"before".to_vec();
    let fits = DeltaEncoder::default().encode(base, start, target, target.len() / 8, &mut limited);
    assert!(limited.len() <= 6 + if fits { target.len() / 8 } else { 0 }, "a delta is longer than it may be");
    leaves_ids_to_footers(base, target, &operations);
    if !target.is_empty() && operations.len() <= GROUPED_MAX_BYTES {
        comes_out_of_a_group(base, target, &operations);
    }
    let _ = apply_delta(base, data, data.len());
}

fn leaves_ids_to_footers(base: &[u8], target: &[u8], operations: &[u8]) {
    // Ids of some kinds, each in the slot behind that of the id before.
    let next = RefCell::new(0);
    let slot_of = |window: &[u8; ChunkId::LEN]| {
        let slot = next.replace_with(|slot| *slot + 1);
        window[0].is_multiple_of(3).then_some((WriterObject { number: u32::from(window[0] / 64), ..PACK }, slot))
    };
    let (delta, ids) = ListedDelta::leaving_out(operations, &slot_of);
    assert_eq!(delta.runs.iter().map(|run| run.count as usize).sum::<usize>(), ids.len());
    let body = delta.encode();
    let read = ListedDelta::open(&compressed(&body)).expect("what was just made");
    assert!(read.runs == delta.runs, "other ids were left out");
    let made = read.apply(base, &ids, target.len());
    assert!(made.is_ok_and(|made| *made == *target), "another chunk is made of listed ids");
    assert!(ids.is_empty() || read.apply(base, &ids[1..], target.len()).is_err(), "an id is missing");
}

fn comes_out_of_a_group(base: &[u8], target: &[u8], operations: &[u8]) {
    let place = |offset: u64| RecordPlace { pack: PACK, offset, record_bytes: 9 };
    let mut builder = GroupBuilder::default();
    for number in 0..3u64 {
        builder.push(target.len(), &[place(number * 40), place(7)][..1 + number as usize % 2], operations);
    }
    let record = builder.take_record().expect("a group of what was just made");
    let group = DeltaGroup::open(&record).expect("what was just made");
    for number in 0..3u32 {
        let member = group.member(number).expect("one of three");
        assert!(member.decode(base).is_ok_and(|plain| *plain == *target), "another chunk is made of a group");
    }
    assert!(group.member(3).is_none() && builder.is_empty());
}

/// A body with its length in front, compressed as in a record that leaves ids to footers.
fn compressed(body: &[u8]) -> Vec<u8> {
    let mut payload = Encoder::new();
    payload.varint(body.len() as u64).raw(&frame_of(body));
    payload.bytes
}

fn frame_of(body: &[u8]) -> Vec<u8> {
    BodyCompressor::new().and_then(|mut bodies| bodies.compress(body)).expect("memory")
}

/// The body of a group of deltas, or of one that leaves ids to footers.
pub fn delta_group(data: &[u8]) {
    let base = &data[..data.len() / 2];
    let mut record = Encoder::new();
    record.u8(6).varint(data.len() as u64).bytes(&frame_of(data));
    if let Ok(group) = DeltaGroup::open(&record.bytes) {
        assert!(group.member(0).is_some(), "a group of none");
        let mut again = GroupBuilder::default();
        for member in (0..).map_while(|number| group.member(number)) {
            let plain = member.decode(base);
            assert!(plain.is_err() || plain.is_ok_and(|plain| plain.len() == member.plain_bytes));
            assert!((1..=4).contains(&member.bases.len()), "a delta of no bases, or of too many");
            // Places at the end of all numbers are none that a writer has.
            if member.bases.iter().all(|base| base.offset <= 1 << 62) {
                again.push(member.plain_bytes, &member.bases, member.payload());
            }
        }
        assert!(again.is_empty() || again.take_record().is_ok(), "a group that cannot be written again");
    }
    if let Ok(listed) = ListedDelta::open(&compressed(data)) {
        let ids: usize = listed.runs.iter().map(|run| run.count as usize).sum();
        assert!(ids <= 32_768, "more ids are left out than may be");
        let _ = listed.apply(base, &vec![CHUNK; ids], data.len());
    }
}

/// Frames, and the numbers and lists in them.
pub fn codec(data: &[u8]) {
    let mut input = Decoder::new(data);
    if let Ok(number) = input.varint() {
        let mut again = Encoder::new();
        again.varint(number);
        assert!(Decoder::new(&again.bytes).varint() == Ok(number), "a number that is not read as it was written");
        assert!(again.bytes.len() <= input.position(), "writers do not have the shortest form");
    }
    if let Ok(number) = Decoder::new(data).signed() {
        let mut again = Encoder::new();
        again.signed(number);
        assert!(Decoder::new(&again.bytes).signed() == Ok(number), "a number that is not read as it was written");
    }
    let read = Decoder::new(data).list(|item| item.bytes().map(<[u8]>::len));
    assert!(
        read.is_err() || read.is_ok_and(|lengths| lengths.iter().sum::<usize>() <= data.len()),
        "more than there was"
    );
    let (_, _, _) =
        (Decoder::new(data).text().is_ok(), Decoder::new(data).time().is_ok(), Decoder::new(data).varint32());
    const MAGIC: &[u8; 8] = b"YFS-CONF";
    let mut frame = seal(MAGIC, data);
    assert!(unseal(MAGIC, &frame, "a frame").is_ok_and(|body| body == data), "another body");
    assert!(unverified_body(&frame) == data);
    let at = usize::from(hash(data)[0]) % frame.len();
    frame[at] ^= 1 + hash(data)[1] % 255;
    assert!(unseal(MAGIC, &frame, "a frame").is_err(), "damage does not show");
    assert!(unseal(MAGIC, data, "a frame").is_err() && unverified_body(data).len() <= data.len());
}

pub fn catalog(data: &[u8]) {
    // Where a record begins with its number.
    let sequence = data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if let Ok(record) = Record::decode(&seal(b"YFS-RCRD", data), sequence) {
        let again = Record::decode(&record.encode(), sequence);
        assert!(again.is_ok_and(|again| again == record), "a record that is not read as it was written");
    }
    if let Ok(manifest) = Manifest::decode(data) {
        assert!(manifest.encode() == data, "a manifest of two forms");
    }
}

/// The history, folded.
pub fn checkpoint(data: &[u8]) {
    let sequence = data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let file = seal(b"YFS-CKPT", data);
    if let Ok(catalog) = Catalog::decode(&file, sequence) {
        let again = catalog.encode();
        let read = Catalog::decode(&again, sequence).expect("a checkpoint that was written again");
        assert!(read.encode() == again, "a checkpoint that is not read as it was written");
        assert!(catalog.snapshots().map(|it| it.sequence).is_sorted_by(|one, next| one < next));
        assert!(Catalog::decode(&file, sequence.wrapping_add(1)).is_err(), "a checkpoint of another place");
    }
}
