//! DataLane: one thread's way to store the data of files, one after the other. It cuts nothing and reads nothing; it is
//! given batches of chunks, and has them hashed, looked up and encoded, by itself or by threads that help all lanes. What
//! comes of them is appended in order, so that a sequential file is a sequential pack; by whoever has encoded what comes next, so
//! that the thread which reads and cuts does little else.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::store::chunk_encoder::{BaseHint, ChunkEncoder, EncodedChunks, EncodedRange};
use crate::store::chunk_writer::ChunkWriter;
use crate::store::pack::{PackKind, PackWriter};

/// Batches of one lane that may be under way, and are kept to be filled again. Each is as large as its lane's user makes it, half a megabyte say, and
/// another half for its records.
const BATCHES_UNDER_WAY: usize = 8;

/// A batch of so few bytes is done before another thread has woken up.
const SHORT_BATCH_BYTES: usize = 128 << 10;

/// Chunks of one file that follow each other, with what becomes of them.
#[derive(Debug, Default)]
pub struct ChunkBatch {
    /// The bytes that the chunks are ranges of.
    pub bytes: Vec<u8>,
    pub chunks: Vec<BatchedChunk>,
    encoded: EncodedChunks,
}

/// One chunk of a batch.
#[derive(Debug)]
pub struct BatchedChunk {
    pub range: Range<usize>,
    /// Where the caller had to know it; all chunks have one in a batch that comes back.
    pub id: Option<ChunkId>,
    /// It is in the snapshot before, at the same place: nobody needs to look for it.
    pub is_known: bool,
    pub hint: BaseHint,
    encoded: Option<EncodedRange>,
}

impl BatchedChunk {
    pub fn new(range: Range<usize>, id: Option<ChunkId>, is_known: bool, hint: BaseHint) -> BatchedChunk {
        BatchedChunk { range, id, is_known, hint, encoded: None }
    }
}

impl ChunkBatch {
    pub fn new(bytes: Vec<u8>, chunks: Vec<BatchedChunk>) -> ChunkBatch {
        ChunkBatch { bytes, chunks, ..ChunkBatch::default() }
    }

    /// Finds out which chunks are new, and encodes them.
    fn encode(&mut self, writer: &ChunkWriter, encoder: &mut ChunkEncoder) -> Result<()> {
        for chunk in &mut self.chunks {
            let plain = &self.bytes[chunk.range.clone()];
            let id = *chunk.id.get_or_insert_with(|| ChunkId::of(plain));
            if (chunk.is_known && writer.trusts_last_snapshot()) || !writer.is_new(&id)? {
                continue;
            }
            let base = writer.base_for(&chunk.hint)?;
            let older = || writer.older_base_for(&chunk.hint);
            chunk.encoded = Some(encoder.encode(&id, plain, &chunk.hint, base, &older, &mut self.encoded)?);
        }
        Ok(())
    }
}

/// A batch on its way to a thread that helps.
struct Job {
    batch: ChunkBatch,
    turn: Turn,
}

/// Somebody's work for a lane: encoding the batch of this number, and appending what is next. The lane fails where it is dropped
/// before its end: only a panic explains that.
struct Turn {
    line: Arc<Line>,
    number: u64,
    has_ended: bool,
}

/// The number of a lane that appends while it waits.
const OF_LANE: u64 = u64::MAX;

impl Turn {
    /// Encodes the batch, and appends what is next in its lane.
    fn take(self, mut batch: ChunkBatch, writer: &ChunkWriter, encoder: &mut ChunkEncoder) {
        match batch.encode(writer, encoder) {
            Ok(()) => self.line.enter(self.number, batch),
            Err(error) => self.line.fail(error),
        }
        self.append_next(writer);
    }

    /// Appends batches as long as the next one is encoded and nobody else is at it.
    fn append_next(mut self, writer: &ChunkWriter) {
        loop {
            let Some((batch, mut pack)) = self.line.lock().begin_appending(self.number) else { break };
            let mut full = Vec::new();
            let appended = append(&batch, &mut pack, &mut full, writer);
            let mut state = self.line.lock();
            state.pack = pack;
            state.appender = None;
            state.finishing.extend((!full.is_empty()).then_some(self.number));
            match appended {
                Ok(()) => state.stored.push_back(batch),
                Err(error) => state.fail(error),
            }
            drop(state);
            self.line.moved.notify_all();
            if !full.is_empty() {
                // Meanwhile others append.
                let finished = full.into_iter().map(|pack| writer.finish(pack)).fold(Ok(()), Result::and);
                let mut state = self.line.lock();
                state.finishing.retain(|number| *number != self.number);
                finished.unwrap_or_else(|error| state.fail(error));
                drop(state);
                self.line.moved.notify_all();
            }
        }
        self.has_ended = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut state = self.line.lock();
            state.appender.take_if(|number| *number == self.number);
            state.finishing.retain(|number| *number != self.number);
            drop(state);
            self.line.fail(Error::Interrupted);
        }
    }
}

/// What a lane has under way, in order.
#[derive(Default)]
struct Line {
    state: Mutex<LineState>,
    /// Something was stored, or failed.
    moved: Condvar,
}

#[derive(Default)]
struct LineState {
    /// Batches that nobody appends yet, from the one of this number on; none in the place of one that is not encoded yet.
    first: u64,
    waiting: VecDeque<Option<ChunkBatch>>,
    /// Whose turn it is to append the one before these, and to have the pack meanwhile.
    appender: Option<u64>,
    pack: Option<PackWriter>,
    /// Whose turns make full packs durable.
    finishing: Vec<u64>,
    stored: VecDeque<ChunkBatch>,
    /// Nothing is stored any more; the cause, until it was told.
    has_failed: bool,
    failure: Option<Error>,
}

impl LineState {
    fn under_way(&self) -> usize {
        self.waiting.len() + usize::from(self.appender.is_some())
    }

    /// The next batch is encoded, and nobody appends.
    fn can_append(&self) -> bool {
        self.appender.is_none() && !self.has_failed && matches!(self.waiting.front(), Some(Some(_)))
    }

    /// The next batch and the pack for it, where it can be appended.
    fn begin_appending(&mut self, number: u64) -> Option<(ChunkBatch, Option<PackWriter>)> {
        if !self.can_append() {
            return None;
        }
        let batch = self.waiting.pop_front()??;
        self.first += 1;
        self.appender = Some(number);
        Some((batch, self.pack.take()))
    }

    fn fail(&mut self, error: Error) {
        self.has_failed = true;
        self.failure.get_or_insert(error);
    }
}

impl Line {
    /// Every value in it stays whole if a holder panics; the session is given up then anyway.
    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        self.lock().fail(error);
        self.moved.notify_all();
    }

    /// The next batch's turn.
    fn queue_up(self: &Arc<Line>) -> Turn {
        let mut state = self.lock();
        state.waiting.push_back(None);
        let number = state.first + state.waiting.len() as u64 - 1;
        Turn { line: self.clone(), number, has_ended: false }
    }

    /// Takes an encoded batch.
    fn enter(&self, number: u64, batch: ChunkBatch) {
        let mut state = self.lock();
        let place = (number - state.first) as usize;
        if let Some(place) = state.waiting.get_mut(place) {
            *place = Some(batch);
        }
    }
}

/// Appends a batch; packs that are full go to `full`, whatever fails behind them.
fn append(
    batch: &ChunkBatch,
    pack: &mut Option<PackWriter>,
    full: &mut Vec<PackWriter>,
    writer: &ChunkWriter,
) -> Result<()> {
    for chunk in &batch.chunks {
        let (Some(id), Some(encoded)) = (chunk.id, &chunk.encoded) else { continue };
        let encoded = batch.encoded.get(encoded, &batch.bytes[chunk.range.clone()]);
        *pack = pack.take().or_else(|| writer.idle_pack());
        full.extend(writer.append(pack, PackKind::Data, id, chunk.range.len(), encoded)?);
    }
    Ok(())
}

/// Where lanes leave batches for threads that help them. The threads end when all clones of it are gone.
#[derive(Clone)]
pub struct EncodeQueue(Sender<Job>);

impl EncodeQueue {
    /// Starts `threads` threads that help lanes of `writer`.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        writer: &'scope ChunkWriter<'_>,
        threads: usize,
    ) -> EncodeQueue {
        let (queue, jobs) = bounded(threads);
        for _ in 0..threads {
            let jobs = jobs.clone();
            scope.spawn(move || help(writer, jobs));
        }
        EncodeQueue(queue)
    }
}

/// Encodes batches until nobody can leave any.
fn help(writer: &ChunkWriter, jobs: Receiver<Job>) {
    let mut encoder = writer.encoder();
    for Job { batch, turn } in jobs {
        turn.take(batch, writer, &mut encoder);
    }
}

/// Stores the data of one file after the other.
pub struct DataLane<'w, 'a> {
    writer: &'w ChunkWriter<'a>,
    queue: Option<EncodeQueue>,
    encoder: ChunkEncoder,
    line: Arc<Line>,
    /// How many of the batches under way belong to files that were given up.
    stale: usize,
    spare: Vec<ChunkBatch>,
}

impl<'w, 'a> DataLane<'w, 'a> {
    /// A lane that makes records by this encoder, and those who help it by encoders of data.
    pub(super) fn new(
        writer: &'w ChunkWriter<'a>,
        queue: Option<EncodeQueue>,
        encoder: ChunkEncoder,
    ) -> DataLane<'w, 'a> {
        let (line, spare) = Default::default();
        DataLane { writer, queue, encoder, line, stale: 0, spare }
    }

    /// Begins a file: batches of one that was given up do not come back any more. They are stored all the same, since others
    /// may rely on what is in them.
    pub fn begin(&mut self) {
        let state = self.line.lock();
        self.stale = state.under_way() + state.stored.len();
    }

    /// A batch to fill. What its buffer holds means nothing.
    pub fn batch(&mut self) -> ChunkBatch {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a batch back, so that its buffers serve again.
    pub fn give_back(&mut self, mut batch: ChunkBatch) {
        if self.spare.len() < BATCHES_UNDER_WAY {
            batch.chunks.clear();
            batch.encoded.clear();
            self.spare.push(batch);
        }
    }

    /// Gives a batch to whoever has time. It comes back from [`DataLane::next_done`], with what failed of it.
    pub fn submit(&mut self, batch: ChunkBatch) {
        let bytes = batch.chunks.iter().map(|chunk| chunk.range.len()).sum::<usize>();
        let is_long = bytes > SHORT_BATCH_BYTES;
        let needs_work = is_long && batch.chunks.iter().any(|chunk| !chunk.is_known);
        let job = Job { batch, turn: self.line.queue_up() };
        let Job { batch, turn } = match &self.queue {
            Some(queue) if needs_work => match queue.0.try_send(job) {
                Ok(()) => return,
                // All threads are busy: this one helps too.
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job,
            },
            _ => job,
        };
        turn.take(batch, self.writer, &mut self.encoder);
    }

    /// The next batch in order, stored; `None` while it is under way, unless there are too many, or `all` must be done.
    pub fn next_done(&mut self, all: bool) -> Result<Option<ChunkBatch>> {
        loop {
            let done = self.next_stored(all)?;
            if done.is_none() || self.stale == 0 {
                return Ok(done);
            }
            self.stale -= 1;
        }
    }

    fn next_stored(&self, all: bool) -> Result<Option<ChunkBatch>> {
        let mut state = self.line.lock();
        loop {
            if state.has_failed {
                return Err(state.failure.take().unwrap_or(Error::Interrupted));
            }
            if let Some(batch) = state.stored.pop_front() {
                return Ok(Some(batch));
            }
            let under_way = state.under_way();
            if under_way == 0 || !all && under_way <= BATCHES_UNDER_WAY {
                return Ok(None);
            }
            state = self.wait(state);
        }
    }

    /// Until something was stored, or failed; this thread appends meanwhile where nobody does.
    fn wait<'l>(&'l self, state: MutexGuard<'l, LineState>) -> MutexGuard<'l, LineState> {
        if !state.can_append() {
            return self.line.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Turn { line: self.line.clone(), number: OF_LANE, has_ended: false }.append_next(self.writer);
        self.line.lock()
    }

    /// Leaves the half-full pack to whoever stores next; called at the end of a file.
    pub fn release(&mut self) -> Result<()> {
        self.begin();
        self.next_done(true)?;
        self.leave_pack().map_or(Ok(()), Err)
    }

    /// Leaves the pack, when all was appended or something failed and nobody has a pack any more, and gives what failed.
    fn leave_pack(&self) -> Option<Error> {
        let mut state = self.line.lock();
        let is_at_rest = |state: &LineState| {
            (state.under_way() == 0 || state.has_failed) && state.appender.is_none() && state.finishing.is_empty()
        };
        while !is_at_rest(&state) {
            state = self.wait(state);
        }
        self.writer.leave_idle(state.pack.take());
        state.failure.take()
    }
}

impl Drop for DataLane<'_, '_> {
    fn drop(&mut self) {
        // Under way is something only after a failure, which ends the session.
        if let Some(error) = self.leave_pack() {
            log::warn!("what was read last is not stored: {error}");
        }
    }
}
