//! Stories of the way that data takes into packs where several threads work on it: it stays in order, and what fails is told.

mod support;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use support::faulty::{FaultyBackend, Moment, Verb};
use support::repository::{TestRepository, now, open};
use support::stored::copy_of;
use yesterfs::Result;
use yesterfs::id::ChunkId;
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::session::WriteSession;
use yesterfs::store::backend::{Backend, LocalBackend};
use yesterfs::store::data_lane::BatchedChunk;
use yesterfs::store::{BaseHint, ChunkBatch, DataLane, EncodeQueue};

const CHUNK_BYTES: usize = 20_000;
const CHUNKS_A_BATCH: u64 = 12;

/// Chunk number `n`: of some it takes long to find out that they do not compress, others are done at once.
fn chunk(n: u64) -> Vec<u8> {
    match n % 3 {
        0 => support::noise(n, CHUNK_BYTES),
        1 => n.to_le_bytes().repeat(CHUNK_BYTES / 8),
        _ => support::noise(n, CHUNK_BYTES / 2).iter().flat_map(|byte| [byte & 15, byte & 3]).collect(),
    }
}

fn batch(number: u64) -> (ChunkBatch, Vec<ChunkId>) {
    let plains: Vec<Vec<u8>> = (0..CHUNKS_A_BATCH).map(|at| chunk(number * CHUNKS_A_BATCH + at)).collect();
    let ids = plains.iter().map(|plain| ChunkId::of(plain)).collect();
    let mut chunks = Vec::new();
    let mut at = 0;
    for plain in &plains {
        chunks.push(BatchedChunk::new(at..at + plain.len(), None, false, BaseHint::default()));
        at += plain.len();
    }
    (ChunkBatch::new(plains.concat(), chunks), ids)
}

/// The ids of what comes back.
fn collect(lane: &mut DataLane, all: bool, back: &mut Vec<ChunkId>) -> Result<()> {
    while let Some(batch) = lane.next_done(all)? {
        back.extend(batch.chunks.iter().map(|chunk| chunk.id.expect("all have one that come back")));
        lane.give_back(batch);
    }
    Ok(())
}

/// Stores so many batches on one lane that others help.
fn store(session: &WriteSession, batches: u64) -> Result<(Vec<ChunkId>, Vec<ChunkId>)> {
    std::thread::scope(|scope| {
        let queue = EncodeQueue::start(scope, session.chunks(), 3);
        let mut lane = session.chunks().data_lane(Some(queue));
        let (mut given, mut back) = (Vec::new(), Vec::new());
        for number in 0..batches {
            let (batch, ids) = batch(number);
            given.extend(ids);
            lane.submit(batch);
            collect(&mut lane, false, &mut back)?;
        }
        collect(&mut lane, true, &mut back)?;
        lane.release()?;
        Ok((given, back))
    })
}

#[test]
fn a_file_that_many_threads_store_lies_in_its_order_in_packs() {
    let place = TestRepository::new();
    let counters = Counters::default();
    let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
    let (given, back) = store(&session, 400).unwrap();
    assert!(given == back, "batches come back in another order");
    session.chunks().finish_open().unwrap();
    let mut packs = session.chunks().take_finished();
    assert!(packs.len() > 1, "all of it fits one pack");
    packs.sort_by_key(|pack| pack.summary.name.number);
    let stored: Vec<ChunkId> = packs.iter().flat_map(|pack| pack.entries.iter().map(|entry| entry.id)).collect();
    assert!(stored == given, "chunks lie in another order");
}

/// What becomes of so many batches in a copy of the repository whose backend fails so, and the backend.
fn store_on(
    disk: &dyn Backend,
    fault: impl FnOnce(Arc<dyn Backend>) -> FaultyBackend,
    batches: u64,
) -> (Result<()>, Arc<FaultyBackend>) {
    let (place, counters) = (TestRepository::new(), Counters::default());
    // With what one leaves behind the next ones would make ever more calls.
    let failing = Arc::new(fault(copy_of(disk)));
    let stored = open(&place.path(""), failing.clone(), Arc::new(Recorder::default())).and_then(|repository| {
        let session = WriteSession::open(&repository, &counters, "here", "test", now())?;
        let stored = store(&session, batches);
        // What the lanes left is finished also after a failure.
        session.chunks().finish_open()?;
        stored.map(drop)
    });
    (stored, failing)
}

#[test]
fn whatever_call_fails_the_lane_tells_it_and_waits_for_nothing() {
    let place = TestRepository::new();
    let disk = LocalBackend::new(place.path("repo"));
    let mut failures = 0;
    for call in 1.. {
        let (stored, failing) = store_on(&disk, |disk| FaultyBackend::fail_once(disk, call, Moment::Before), 4);
        if failing.calls() < call {
            stored.unwrap();
            break;
        }
        failures += u32::from(stored.is_err());
    }
    assert!(failures > 20, "only {failures} calls failed");
}

#[test]
fn a_full_pack_that_cannot_be_made_durable_is_told() {
    let place = TestRepository::new();
    let disk = LocalBackend::new(place.path("repo"));
    let packs = |fault: &dyn Fn(Arc<dyn Backend>) -> FaultyBackend| store_on(&disk, fault, 400);
    let (stored, recorded) = packs(&|disk| FaultyBackend::recording(disk));
    stored.unwrap();
    let finished = recorded.counts().finish;
    assert!(finished > 1, "no pack was full");
    for n in 1..=finished {
        let (stored, _) = packs(&|disk| FaultyBackend::fail_verb(disk, Verb::Finish, n, Moment::Before));
        assert!(stored.is_err(), "pack {n} of {finished} is lost, and nobody hears of it");
    }
}

#[test]
fn nobody_waits_for_a_thread_that_is_gone() {
    let place = TestRepository::new();
    let disk = LocalBackend::new(place.path("repo"));
    for n in [1, 2, 30, 60] {
        let fault = |disk| FaultyBackend::fail_verb(disk, Verb::Write, n, Moment::Panic);
        // The panic of a helper comes out of the scope of threads.
        let stored = std::panic::catch_unwind(AssertUnwindSafe(|| store_on(&disk, fault, 8).0));
        assert!(!matches!(stored, Ok(Ok(()))), "write {n}");
    }
}

#[test]
fn a_lane_that_is_given_up_loses_nothing_of_what_it_was_given() {
    let place = TestRepository::new();
    let counters = Counters::default();
    for batches in [1, 3, 7] {
        let session = WriteSession::open(&place.repository, &counters, "here", "test", now()).unwrap();
        let mut given = HashSet::new();
        std::thread::scope(|scope| {
            let queue = EncodeQueue::start(scope, session.chunks(), 3);
            let mut other = session.chunks().data_lane(Some(queue.clone()));
            let (last, ids) = batch(1000);
            other.submit(last);
            other.release().unwrap();
            given.extend(ids);
            let mut lane = session.chunks().data_lane(Some(queue));
            for number in 0..batches {
                let (batch, ids) = batch(number);
                given.extend(ids);
                lane.submit(batch);
            }
        });
        session.chunks().finish_open().unwrap();
        let packs = session.chunks().take_finished();
        let stored: HashSet<ChunkId> =
            packs.iter().flat_map(|pack| pack.entries.iter().map(|entry| entry.id)).collect();
        assert_eq!(stored, given, "{batches} batches");
        assert_eq!(session.chunks().missing_beside(&packs), None);
    }
}
