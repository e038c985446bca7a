//! Stories of deltas: what a new version of a dump costs, that it reads back whatever its bases are, and what happens when
//! they are lost or damaged.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use support::repository::{TestRepository, now, read_file};
use support::stored::{assert_sound, bases_of, no_hints, record_of};
use yesterfs::codec::Encoder;
use yesterfs::id::{ChunkId, RepositoryId, WriterId, WriterObject};
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::stream::{StreamInput, StreamOptions, StreamSpec, ingest_streams};
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::Repository;
use yesterfs::repository::content::{ChunkClass, Extent, ExtentSource};
use yesterfs::repository::content_writer::ExtentWriter;
use yesterfs::repository::predecessor::Predecessor;
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::store::backend::{Backend, ByteRange, MemoryBackend};
use yesterfs::store::chunk_record::{DELTA_DEPTH_MAX, RecordPlace, encode_record};
use yesterfs::store::chunk_writer::PACK_CHUNKS_MAX;
use yesterfs::store::compress::Codec;
use yesterfs::store::data_lane::BatchedChunk;
use yesterfs::store::delta_group::{DeltaGroup, GroupBuilder};
use yesterfs::store::index::{ChunkIndex, IndexOptions};
use yesterfs::store::pack::{FooterEntry, PackKind, PackSummary, pack_key, read_footer_of};
use yesterfs::store::segment::read_segment;
use yesterfs::store::{BaseHint, ChunkBatch, ChunkStore};
use yesterfs::{Error, ErrorKind, Result};

const ROWS: usize = 20_000;

/// Rows of a table, each with a status that may change.
#[derive(Clone)]
struct Rows(Vec<(usize, u32)>);

impl Rows {
    fn new() -> Rows {
        Rows((0..ROWS).map(|number| (number, 0)).collect())
    }

    /// Another status for about one row in `every`.
    fn update(&mut self, every: usize, seed: usize) {
        for (number, status) in &mut self.0 {
            let chance = ChunkId::of(&[number.to_le_bytes(), seed.to_le_bytes()].concat()).0;
            if usize::from(u16::from_le_bytes([chance[0], chance[1]])) % every == 0 {
                *status += 1;
            }
        }
    }

    /// The dump, about 150 bytes a row.
    fn dump(&self) -> Vec<u8> {
        let mut dump = b"CREATE TABLE `orders`;\n".to_vec();
        for (number, status) in &self.0 {
            let word = |salt: usize| ChunkId::of(&[number.to_le_bytes(), salt.to_le_bytes()].concat()).to_string();
            let status = ["new", "paid", "shipped", "delivered"][*status as usize % 4].to_string()
                + &"!".repeat(*status as usize / 4);
            dump.extend(format!("({number},'{status}','{}','{}'),\n", &word(0)[..60], &word(1)[..50]).into_bytes());
        }
        dump
    }
}

/// What an ingest of a dump stored.
struct Stored {
    snapshot: Arc<Snapshot>,
    bytes_new: u64,
    bytes_stored: u64,
}

fn ingest(place: &TestRepository, dump: &[u8]) -> Result<Stored> {
    ingest_into(&place.repository, dump)
}

fn ingest_into(repository: &Repository, dump: &[u8]) -> Result<Stored> {
    ingest_as(repository, "shop", "dump.sql", dump)
}

fn ingest_as(repository: &Repository, source: &str, name: &str, dump: &[u8]) -> Result<Stored> {
    let common = IngestOptions { source: source.into(), host: "here".into(), user: "me".into(), ..Default::default() };
    let input = StreamInput::Reader(Box::new(Cursor::new(dump.to_vec())));
    let streams = vec![StreamSpec { name: name.into(), input }];
    let monitor = Recorder::default();
    let options = StreamOptions { common, streams, expect_end: None, threads: 2 };
    let snapshot = ingest_streams(repository, options, &now, &monitor)?.snapshot;
    let get = |counter| Counters::get(counter);
    Ok(Stored {
        snapshot,
        bytes_new: get(&monitor.counters.bytes_new),
        bytes_stored: get(&monitor.counters.bytes_stored),
    })
}

#[track_caller]
fn assert_reads(place: &TestRepository, stored: &Stored, dump: &[u8]) {
    let read = read_file(&place.reopen().unwrap(), &stored.snapshot, b"dump.sql").unwrap();
    assert!(read == dump, "it does not read back");
}

/// Published packs with their files and what their footers list.
fn packs_of(repository: &Repository) -> Vec<(PackSummary, Vec<u8>, Vec<FooterEntry>)> {
    let backend = repository.backend().as_ref();
    let segments = repository.catalog().published().segments;
    let summaries = segments.iter().flat_map(|published| read_segment(backend, &published.segment).unwrap());
    let pack = |summary: PackSummary| {
        let file = backend.get_range(&pack_key(&summary.name), ByteRange::Whole).unwrap();
        let entries = read_footer_of(backend, &summary).unwrap().by_place().collect();
        (summary, file, entries)
    };
    summaries.map(pack).collect()
}

/// Of every chunk, by pack, offset and place in its group: the kind of its pack, and its bases.
type StoredBases = BTreeMap<(WriterObject, u64, u32), (PackKind, Vec<RecordPlace>)>;

/// A stored record: its kind of pack and how long a chain of deltas it ends.
fn depths(place: &TestRepository) -> Vec<(PackKind, u32)> {
    let mut bases: StoredBases = BTreeMap::new();
    for (summary, file, entries) in packs_of(&place.reopen().unwrap()) {
        for entry in entries {
            let of_it = bases_of(&file, &entry, &summary.name);
            bases.insert((summary.name, entry.offset, entry.member), (summary.kind, of_it));
        }
    }
    fn depth(bases: &StoredBases, at: (WriterObject, u64, u32)) -> u32 {
        bases[&at].1.iter().map(|base| 1 + depth(bases, (base.pack, base.offset, 0))).max().unwrap_or(0)
    }
    bases.iter().map(|(at, (kind, _))| (*kind, depth(&bases, *at))).collect()
}

#[test]
fn a_new_version_costs_what_changed() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    let first = ingest(&place, &rows.dump()).unwrap();
    assert!(first.bytes_stored > rows.dump().len() as u64 / 4);

    let again = ingest(&place, &rows.dump()).unwrap();
    assert!(again.bytes_stored < rows.dump().len() as u64 / 2000, "{} bytes for the same", again.bytes_stored);

    rows.update(100, 1);
    let changed = ingest(&place, &rows.dump()).unwrap();
    let share = changed.bytes_stored as f64 / rows.dump().len() as f64;
    // Most chunks have a changed row, which costs its new status and the names of two chunks.
    assert!(changed.bytes_new > rows.dump().len() as u64 / 2, "{} bytes in new chunks", changed.bytes_new);
    assert!(share < 0.009, "one per cent of the rows cost {share:.4} of the dump");
    assert_reads(&place, &changed, &rows.dump());

    // Rows that are removed and rows that grow move all others.
    rows.0.retain(|(number, _)| number % 100 != 7);
    rows.0.iter_mut().filter(|(number, _)| number % 100 == 50).for_each(|(_, status)| *status += 4);
    let moved = ingest(&place, &rows.dump()).unwrap();
    let share = moved.bytes_stored as f64 / rows.dump().len() as f64;
    assert!(share < 0.012, "one per cent removed and one grown cost {share:.4} of the dump");
    assert_reads(&place, &moved, &rows.dump());
    assert_sound(&place.reopen().unwrap());
}

/// The chunks of all data, and how much their records take.
fn chunks_and_bytes_of_data(repository: &Repository) -> (u64, u64) {
    let packs = packs_of(repository).into_iter().filter(|(summary, ..)| summary.kind == PackKind::Data);
    let of = packs.map(|(_, _, entries)| {
        let records: BTreeMap<u64, u32> = entries.iter().map(|entry| (entry.offset, entry.record_bytes)).collect();
        (entries.len() as u64, records.into_values().map(u64::from).sum())
    });
    of.fold((0, 0), |sum, of: (u64, u64)| (sum.0 + of.0, sum.1 + of.1))
}

#[test]
fn a_new_chunk_costs_little_besides_what_it_holds() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    let mut before = (0, 0, 0);
    for every in [1, 100, 300] {
        rows.update(every, every);
        ingest(&place, &rows.dump()).unwrap();
        let (chunks, bytes) = chunks_and_bytes_of_data(&place.reopen().unwrap());
        let after = (place.stored_bytes(), bytes, chunks);
        let metadata = (after.0 - before.0) - (after.1 - before.1);
        // Of this about 1000 bytes are what any ingest costs.
        let each = metadata as f64 / (after.2 - before.2) as f64;
        assert!(each <= 100.0, "{each:.0} bytes a new chunk where one row of {every} changed");
        before = after;
    }
}

#[test]
fn small_differences_stand_in_groups_which_are_read_once() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    ingest(&place, &rows.dump()).unwrap();
    rows.update(100, 1);
    let changed = ingest(&place, &rows.dump()).unwrap();
    let packs = packs_of(&place.reopen().unwrap());
    let of_data = packs.iter().filter(|(summary, ..)| summary.kind == PackKind::Data);
    let places = of_data.flat_map(|(summary, pack, entries)| {
        let of_groups = entries.iter().filter(|entry| DeltaGroup::is_in(record_of(pack, entry)));
        of_groups.map(|entry| (summary.name, entry.offset))
    });
    let groups = places.collect::<std::collections::BTreeSet<_>>().len() as u64;
    let (alone, grouped) = alone_and_grouped(&place);
    assert!(groups <= 3 && grouped > 100 && alone == 0, "{grouped} in {groups} groups, {alone} alone");

    let repository = place.reopen().unwrap();
    let before = repository.chunks().unwrap().read_counts();
    let read = read_file(&repository, &changed.snapshot, b"dump.sql").unwrap();
    let after = repository.chunks().unwrap().read_counts();
    assert!(read == rows.dump());
    let (records, chunks) = (after.records - before.records, after.decoded - before.decoded);
    assert!(
        records * 2 < chunks * 3,
        "{records} records were read for {chunks} chunks, {grouped} of which are in groups"
    );
    assert_eq!(after.groups - before.groups, groups, "groups that were taken apart");
}

/// Of data: how many deltas stand alone, and how many in groups.
fn alone_and_grouped(place: &TestRepository) -> (usize, usize) {
    let (mut alone, mut grouped) = (0, 0);
    for (summary, pack, entries) in packs_of(&place.reopen().unwrap()) {
        for entry in entries.iter().filter(|_| summary.kind == PackKind::Data) {
            let is_grouped = DeltaGroup::is_in(record_of(&pack, entry));
            grouped += usize::from(is_grouped);
            alone += usize::from(!is_grouped && !bases_of(&pack, entry, &summary.name).is_empty());
        }
    }
    (alone, grouped)
}

#[test]
fn what_changes_in_the_same_places_every_time_makes_no_steps() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    for version in 0..12 {
        let last = ingest(&place, &rows.dump()).unwrap();
        assert_reads(&place, &last, &rows.dump());
        // Counters, say: a delta against the last version is as long as one against the first.
        rows.0.iter_mut().filter(|(number, _)| number % 8 == 0).for_each(|(_, status)| *status = version % 4);
    }
    let (alone, grouped) = alone_and_grouped(&place);
    assert!(alone * 20 < grouped, "{alone} deltas alone, {grouped} in groups");
}

#[test]
fn pages_need_only_the_ids_of_a_damaged_footer() {
    let place = TestRepository::new();
    let rows = Rows::new();
    let stored = ingest(&place, &rows.dump()).unwrap();
    let pack = &data_packs(&place)[0];
    let mut bytes = fs::read(pack).unwrap();
    // The checksum of the footer stands before the trailer of 12 bytes.
    let checksum = bytes.len() - 13;
    bytes[checksum] ^= 1;
    fs::write(pack, bytes).unwrap();
    assert_reads(&place, &stored, &rows.dump());
}

#[test]
fn no_pack_is_published_before_those_whose_footers_it_needs() {
    let place = TestRepository::new();
    let counters = Counters::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let mut lane = session.chunks().data_lane(None);
    let bytes = support::noise(1, 10_000);
    let id = ChunkId::of(&bytes);
    let chunk = BatchedChunk::new(0..bytes.len(), None, false, BaseHint::default());
    lane.submit(ChunkBatch::new(bytes, vec![chunk]));
    lane.next_done(true).unwrap();
    let page = [&b"a page that lists "[..], &id.0, b" and nothing else"].concat();
    session.chunks().put_page(&page, true, &BaseHint::default).unwrap();
    // Only the pack of pages: the lane has its own.
    session.chunks().finish_open().unwrap();
    assert_eq!((session.chunks().finished_count(), session.chunks().take_finished().len()), (1, 0));
    drop(lane);
    session.chunks().finish_open().unwrap();
    let [pages, data] = &session.chunks().take_finished()[..] else { panic!("not two packs") };
    assert_eq!(pages.base_packs.iter().collect::<Vec<_>>(), [&data.summary.name]);
    assert!(pages.summary.file_bytes < data.summary.file_bytes / 10, "the page names its chunk itself");
}

#[test]
fn a_pack_of_tiny_chunks_ends_before_it_fills_memory() {
    let place = TestRepository::new();
    let counters = Counters::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let mut lane = session.chunks().data_lane(None);
    for number in 0..PACK_CHUNKS_MAX + 10 {
        let bytes = number.to_le_bytes().to_vec();
        let chunk = BatchedChunk::new(0..bytes.len(), None, false, BaseHint::default());
        lane.submit(ChunkBatch::new(bytes, vec![chunk]));
        while lane.next_done(false).unwrap().is_some() {}
    }
    while lane.next_done(true).unwrap().is_some() {}
    assert_eq!((session.chunks().finished_count(), session.chunks().finished_chunks()), (1, PACK_CHUNKS_MAX));
}

#[test]
fn pages_of_a_high_tree_are_told_against_those_of_the_same_place() {
    const EXTENT_BYTES: u64 = 20_000;
    let place = TestRepository::new();
    let counters = Counters::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let mut writer = ExtentWriter::new(&session, ChunkClass::Small);
    for number in 0..100_000u32 {
        let source = ExtentSource::Chunk { id: ChunkId::of(&number.to_le_bytes()), offset: 0 };
        writer.push(Extent { length: EXTENT_BYTES, source }, &no_hints).unwrap();
    }
    let content = writer.finish(&no_hints).unwrap();
    session.abandon(now()).unwrap();
    let repository = place.reopen().unwrap();
    let predecessor = Predecessor::new(repository.chunks().unwrap(), &content);
    let mut pages: Vec<ChunkId> = (0..100_000)
        .flat_map(|number| {
            let hint = predecessor.page_hint(0, number * EXTENT_BYTES, EXTENT_BYTES);
            assert_eq!(hint.chunks.len(), 1, "of extent {number}");
            hint.chunks
        })
        .collect();
    pages.dedup();
    let leaves = pages.len();
    pages.sort_unstable_by_key(|page| page.0);
    pages.dedup();
    assert_eq!(pages.len(), leaves);
    assert!(predecessor.page_hint(2, 0, 1).chunks.len() == 1 && leaves > 500, "the tree is too low for this test");
}

#[test]
fn a_dump_of_another_name_or_source_is_told_against_its_relative() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    // What is no relative must not be taken for one.
    ingest_as(&place.repository, "other", "noise", &support::noise(1, 1 << 20)).unwrap();
    ingest_as(&place.repository, "shop", "monday.sql", &rows.dump()).unwrap();
    for (source, name) in [("shop", "tuesday.sql"), ("shop-moved", "wednesday.sql"), ("other", "thursday.sql")] {
        rows.update(100, name.len());
        let stored = ingest_as(&place.repository, source, name, &rows.dump()).unwrap();
        let share = stored.bytes_stored as f64 / rows.dump().len() as f64;
        assert!(share < 0.012, "as {name} of {source} it costs {share:.4} of the dump");
        let read = read_file(&place.reopen().unwrap(), &stored.snapshot, name.as_bytes()).unwrap();
        assert!(read == rows.dump(), "{name} does not read back");
    }
}

#[test]
fn the_dump_of_another_day_is_told_against_the_last() {
    let place = TestRepository::new();
    let backups = place.path("backups");
    fs::create_dir_all(backups.join("shop/daily")).unwrap();
    let mut rows = Rows::new();
    for day in 21..25 {
        fs::write(backups.join(format!("shop/daily/2026-11-{day}.sql")), rows.dump()).unwrap();
        let stored = place.ingest(&backups, "backups");
        let share = stored.counters.bytes_stored as f64 / rows.dump().len() as f64;
        assert!(day == 21 || share < 0.012, "day {day} costs {share:.4} of its dump");
        // Much is changed in all, so that the first day's dump would soon be no use.
        rows.update(100, day);
    }
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn what_moved_far_is_still_told_against_what_it_was() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    ingest(&place, &rows.dump()).unwrap();
    rows.0.drain(..ROWS * 2 / 5);
    rows.update(100, 1);
    let changed = ingest(&place, &rows.dump()).unwrap();
    let share = changed.bytes_stored as f64 / rows.dump().len() as f64;
    assert!(share < 0.05, "what is left after a purge, one per cent changed, costs {share:.4} of the dump");
    assert_reads(&place, &changed, &rows.dump());
}

#[test]
fn after_many_versions_data_is_still_read_from_three_records() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    let mut stored = Vec::new();
    for version in 0..14 {
        stored.push((ingest(&place, &rows.dump()).unwrap(), rows.dump()));
        rows.update(300, version);
    }
    for (version, dump) in &stored {
        assert_reads(&place, version, dump);
    }
    let depths = depths(&place);
    let deepest = |kind| depths.iter().filter(|(found, _)| *found == kind).map(|(_, depth)| *depth).max().unwrap();
    assert_eq!(deepest(PackKind::Data), 2);
    assert!((2..=DELTA_DEPTH_MAX).contains(&deepest(PackKind::Pages)), "{} for pages", deepest(PackKind::Pages));
}

/// What the packs of a kind take.
fn pack_bytes(place: &TestRepository, kind: PackKind) -> u64 {
    let packs = packs_of(&place.reopen().unwrap());
    packs.iter().filter(|(summary, ..)| summary.kind == kind).map(|(_, file, _)| file.len() as u64).sum()
}

#[test]
fn a_version_costs_what_changed_however_old_the_first_one_is() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    let kinds = [PackKind::Data, PackKind::Pages];
    let mut grown = Vec::new();
    let mut before = kinds.map(|_| 0);
    for version in 0..61 {
        let last = ingest(&place, &rows.dump()).unwrap();
        if version % 20 == 0 {
            let now = kinds.map(|kind| pack_bytes(&place, kind));
            grown.push([now[0] - before[0], now[1] - before[1]]);
            before = now;
            assert_reads(&place, &last, &rows.dump());
        }
        rows.update(200, version);
    }
    let [_, early, _, late] = grown[..] else { panic!("{grown:?}") };
    // What is told against the first version for ever tells all that changed since: 2.7 times as much, and three times as many pages.
    assert!(late[0] * 10 < early[0] * 16, "twenty versions took {} bytes of data, later ones {}", early[0], late[0]);
    assert!(late[1] * 4 < late[0], "twenty versions took {} bytes of pages, for {} of data", late[1], late[0]);
    assert_sound(&place.reopen().unwrap());
}

#[test]
fn what_changed_altogether_is_stored_whole() {
    let place = TestRepository::new();
    ingest(&place, &support::noise(1, 1_000_000)).unwrap();
    let other = support::noise(2, 1_000_000);
    let stored = ingest(&place, &other).unwrap();
    assert!((1_000_000..1_050_000).contains(&stored.bytes_stored), "{}", stored.bytes_stored);
    assert_reads(&place, &stored, &other);
}

/// The data packs, the largest first.
fn data_packs(place: &TestRepository) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(place.path("repo/packs")).unwrap();
    let packs = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let mut packs: Vec<_> =
        packs.map(|pack| pack.unwrap().path()).filter(|pack| fs::read(pack).unwrap()[14] == b'd').collect();
    packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
    packs
}

#[test]
fn what_was_told_against_a_lost_pack_is_stored_again() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    ingest(&place, &rows.dump()).unwrap();
    rows.update(100, 1);
    ingest(&place, &rows.dump()).unwrap();
    fs::remove_file(&data_packs(&place)[0]).unwrap();

    let lost = place.repository.chunks().unwrap().lost_packs().unwrap();
    assert_eq!(
        lost.len(),
        4,
        "the pack, the one that holds deltas against it, and those of pages that left ids to them"
    );
    let healed = ingest(&place, &rows.dump()).unwrap();
    assert!(healed.bytes_stored > rows.dump().len() as u64 / 4, "{} bytes stored again", healed.bytes_stored);
    assert_reads(&place, &healed, &rows.dump());
}

#[test]
fn a_damaged_base_is_damage_of_what_was_told_against_it() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    ingest(&place, &rows.dump()).unwrap();
    rows.update(100, 1);
    let changed = ingest(&place, &rows.dump()).unwrap();
    let pack = &data_packs(&place)[0];
    let mut bytes = fs::read(pack).unwrap();
    let records_end = bytes.len() * 9 / 10;
    (1000..records_end).step_by(1000).for_each(|at| bytes[at] ^= 0x10);
    fs::write(pack, bytes).unwrap();
    let error = read_file(&place.reopen().unwrap(), &changed.snapshot, b"dump.sql").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// A store without an index, and a pack in it that holds these bytes alone.
fn store_of(pack: &WriterObject, bytes: &[u8]) -> (tempfile::TempDir, ChunkStore) {
    let backend = Arc::new(MemoryBackend::default());
    let mut object = backend.put_new(&pack_key(pack)).unwrap();
    object.write(bytes).unwrap();
    object.finish().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let index = ChunkIndex::open(directory.path(), RepositoryId([0; 16]), IndexOptions::default()).unwrap();
    (directory, ChunkStore::new(backend, index, 1 << 20))
}

/// What reading one chunk of a record fails with.
fn failure_to_read(store: &ChunkStore, record: &[u8], member: u32, pack: &WriterObject) -> Error {
    let record_bytes = record.len() as u32;
    let entry = FooterEntry { id: ChunkId([1; 32]), offset: 0, record_bytes, member, plain_bytes: 4 };
    let mut failure = None;
    store.verify(record, &[entry], pack, &mut |_, read| failure = read.err());
    failure.expect("it was read")
}

#[test]
fn a_group_that_is_told_against_groups_or_has_too_few_chunks_is_damage() {
    let pack = WriterObject { writer: WriterId([7; 8]), number: 0 };
    let mut group = GroupBuilder::default();
    group.push(4, &[RecordPlace { pack, offset: 0, record_bytes: 10 }], &[0, 4]);
    let own = group.take_record().unwrap();
    let (_directory, store) = store_of(&pack, &own);
    for (member, reason) in [(0, "where one chunk should"), (1, "fewer chunks")] {
        let error = failure_to_read(&store, &own, member, &pack);
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(reason), "{error}");
    }
    let mut alone = Encoder::new();
    encode_record(Codec::Raw, 4, &[], b"four", &mut alone);
    let error = failure_to_read(&store, &alone.bytes, 1, &pack);
    assert!(error.to_string().contains("holds one chunk"), "{error}");
}

#[test]
fn a_chain_of_bases_that_bites_its_tail_is_damage() {
    let pack = WriterObject { writer: WriterId([7; 8]), number: 0 };
    let place = |record_bytes| RecordPlace { pack, offset: 0, record_bytes };
    let record = |record_bytes| {
        let mut record = Encoder::new();
        encode_record(Codec::Delta, 4, &[place(record_bytes)], &[0, 4], &mut record);
        record.bytes
    };
    let length = record(1).len();
    let own = record(length as u32);
    assert_eq!(own.len(), length);
    let (_directory, store) = store_of(&pack, &own);
    let error = failure_to_read(&store, &own, 0, &pack);
    assert!(matches!(error.kind(), ErrorKind::Corrupt), "{error}");
    assert!(error.to_string().contains("chain"), "{error}");
}

#[test]
fn a_last_version_that_cannot_be_read_holds_up_nobody() {
    let place = TestRepository::new();
    let mut rows = Rows::new();
    ingest(&place, &rows.dump()).unwrap();
    // The pages that list the chunks of the dump are larger than the page of the directory.
    let repository = place.reopen().unwrap();
    let backend = repository.backend().as_ref();
    for published in repository.catalog().published().segments.iter() {
        for pack in read_segment(backend, &published.segment).unwrap() {
            let path = place.path("repo").join(pack_key(&pack.name));
            let mut bytes = fs::read(&path).unwrap();
            let entries = read_footer_of(backend, &pack).unwrap().entries;
            let pages = entries.iter().filter(|entry| pack.kind == PackKind::Pages && entry.plain_bytes > 1000);
            pages.for_each(|page| bytes[page.offset as usize + 200] ^= 1);
            fs::write(&path, bytes).unwrap();
        }
    }
    rows.update(100, 1);
    // As another process, which has nothing of it in memory.
    let stored = ingest_into(&place.reopen().unwrap(), &rows.dump()).unwrap();
    assert_reads(&place, &stored, &rows.dump());
}
