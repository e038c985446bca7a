//! DataLane: one thread's way to store the data of files, one after the other. It cuts nothing and reads nothing; it is
//! given batches of chunks, and has them hashed, looked up and encoded, by itself or by threads that help all lanes. What
//! comes of them is appended in order, so that a sequential file is a sequential pack.

use std::collections::VecDeque;
use std::ops::Range;
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

/// A batch on its way to a thread that helps, and back.
struct Job {
    batch: ChunkBatch,
    done: Sender<Result<ChunkBatch>>,
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
    for Job { mut batch, done } in jobs {
        let encoded = batch.encode(writer, &mut encoder).map(|()| batch);
        // A lane that was given up no longer listens.
        let _ = done.send(encoded);
    }
}

/// A batch that was given to a lane and did not come back yet.
enum UnderWay {
    Done(ChunkBatch),
    Elsewhere(Receiver<Result<ChunkBatch>>),
}

/// Stores the data of one file after the other.
pub struct DataLane<'w, 'a> {
    writer: &'w ChunkWriter<'a>,
    queue: Option<EncodeQueue>,
    pack: Option<PackWriter>,
    encoder: ChunkEncoder,
    under_way: VecDeque<UnderWay>,
    /// How many of these belong to files that were given up.
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
        let (pack, under_way, spare) = Default::default();
        DataLane { writer, queue, pack, encoder, under_way, stale: 0, spare }
    }

    /// Begins a file: batches of one that was given up do not come back any more. They are stored all the same, since others
    /// may rely on what is in them.
    pub fn begin(&mut self) {
        self.stale = self.under_way.len();
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

    /// Gives a batch to whoever has time. It comes back from [`DataLane::next_done`].
    pub fn submit(&mut self, batch: ChunkBatch) -> Result<()> {
        let is_long = batch.chunks.last().is_some_and(|last| last.range.end > SHORT_BATCH_BYTES);
        let needs_work = is_long && batch.chunks.iter().any(|chunk| !chunk.is_known);
        let under_way = match &self.queue {
            Some(queue) if needs_work => {
                let (done, elsewhere) = bounded(1);
                match queue.0.try_send(Job { batch, done }) {
                    Ok(()) => UnderWay::Elsewhere(elsewhere),
                    // All threads are busy: this one helps too.
                    Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => self.encode_here(job.batch)?,
                }
            }
            _ => self.encode_here(batch)?,
        };
        self.under_way.push_back(under_way);
        Ok(())
    }

    fn encode_here(&mut self, mut batch: ChunkBatch) -> Result<UnderWay> {
        batch.encode(self.writer, &mut self.encoder)?;
        Ok(UnderWay::Done(batch))
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

    fn next_stored(&mut self, all: bool) -> Result<Option<ChunkBatch>> {
        let must_wait = all || self.under_way.len() > BATCHES_UNDER_WAY;
        let batch = match self.under_way.pop_front() {
            None => return Ok(None),
            Some(UnderWay::Done(batch)) => batch,
            Some(UnderWay::Elsewhere(elsewhere)) => {
                let done = if must_wait { elsewhere.recv().ok() } else { elsewhere.try_recv().ok() };
                match done {
                    Some(done) => done?,
                    // The thread that had it is gone, which only a panic explains.
                    None if must_wait => return Err(Error::Interrupted),
                    None => {
                        self.under_way.push_front(UnderWay::Elsewhere(elsewhere));
                        return Ok(None);
                    }
                }
            }
        };
        self.append(&batch)?;
        Ok(Some(batch))
    }

    fn append(&mut self, batch: &ChunkBatch) -> Result<()> {
        for chunk in &batch.chunks {
            let (Some(id), Some(encoded)) = (chunk.id, &chunk.encoded) else { continue };
            let encoded = batch.encoded.get(encoded, &batch.bytes[chunk.range.clone()]);
            self.pack = self.pack.take().or_else(|| self.writer.idle_pack());
            self.writer.append(&mut self.pack, PackKind::Data, id, chunk.range.len(), encoded)?;
        }
        Ok(())
    }

    /// Leaves the half-full pack to whoever stores next; called at the end of a file.
    pub fn release(&mut self) -> Result<()> {
        self.begin();
        self.next_done(true)?;
        self.writer.leave_idle(self.pack.take());
        Ok(())
    }
}

impl Drop for DataLane<'_, '_> {
    fn drop(&mut self) {
        // Under way is something only after a failure, which ends the session.
        self.writer.leave_idle(self.pack.take());
    }
}
