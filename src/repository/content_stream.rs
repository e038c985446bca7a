//! A content from front to back, decoded by threads ahead of whoever consumes it: for data that is used once.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Result};
use crate::repository::content::{Content, Extent, ExtentSource};
use crate::repository::content_reader::{ContentReader, Extents, PlacedExtent, part_of};
use crate::store::ChunkStore;

/// Bytes of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// A content with less data is read before a thread has started.
pub const STREAM_MIN_BYTES: u64 = 2 << 20;

/// A batch is full with so many bytes or extents.
const BATCH_BYTES: u64 = 256 << 10;
const BATCH_EXTENTS: usize = 64;

/// Batches for each thread that are decoded, or wait for being used.
const BATCHES_PER_THREAD: usize = 4;

/// An extent with its chunk; a hole has none.
type Loaded = (PlacedExtent, Option<Result<Arc<[u8]>>>);

/// Extents that follow each other, on their way to a thread.
struct Job {
    batch: Vec<PlacedExtent>,
    done: Sender<Vec<Loaded>>,
}

impl ContentReader<'_> {
    /// Calls `work` with all bytes of a content, in order and by pieces of at most 1 MiB, until it has seen enough.
    ///
    /// # Errors
    /// As [`ContentReader::stream`].
    pub fn each_piece<E: From<Error>>(
        &self,
        content: &Content,
        threads: usize,
        mut work: impl FnMut(&[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if content.data_bytes >= STREAM_MIN_BYTES {
            return self.stream(content, threads, |placed, bytes| match placed.extent.source {
                ExtentSource::Chunk { .. } => work(bytes),
                ExtentSource::Hole => zeros(placed.extent.length, &mut work),
            });
        }
        let (mut piece, mut offset) = (Vec::new(), 0);
        while offset < content.size {
            piece.clear();
            self.read(content, offset, PIECE_BYTES, &mut piece)?;
            if work(&piece)?.is_break() {
                return Ok(());
            }
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Calls `work` with every line of a content, without its break, for which it waits in memory; tells whether the last one has one.
    ///
    /// # Errors
    /// As [`ContentReader::each_piece`].
    pub fn each_line(&self, content: &Content, mut work: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let mut line = Vec::new();
        self.each_piece(content, 1, |piece| {
            for part in piece.split_inclusive(|&byte| byte == b'\n') {
                line.extend_from_slice(part);
                if line.pop_if(|byte| *byte == b'\n').is_some() {
                    work(&line)?;
                    line.clear();
                }
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(line.is_empty())
    }

    /// Calls `work` with every extent of a content, in order, and its bytes, none for a hole, until it has seen enough.
    /// `threads` decode ahead, past the cache, 1 MiB each and at most a chunk more for each quarter of it.
    ///
    /// # Errors
    /// The first of `work`, or of reading an extent; `work` has had all before it.
    pub fn stream<E: From<Error>>(
        &self,
        content: &Content,
        threads: usize,
        mut work: impl FnMut(PlacedExtent, &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let under_way_max = threads.max(1) * BATCHES_PER_THREAD;
        let (jobs, queue) = bounded::<Job>(under_way_max);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                let queue = queue.clone();
                scope.spawn(move || queue.iter().for_each(|job| job.run(self.chunks())));
            }
            // Moved in here, so that whatever ends this ends the threads.
            let jobs = jobs;
            let mut batches = Batches(self.extents_from(content, 0).peekable());
            let mut under_way = VecDeque::with_capacity(under_way_max);
            let mut end = 0;
            loop {
                while under_way.len() < under_way_max
                    && let Some(batch) = batches.next()
                {
                    under_way.push_back(batch.and_then(|batch| begin(&jobs, batch)));
                }
                let Some(done) = under_way.pop_front() else { return Ok(content.check_end(end)?) };
                for (placed, chunk) in done?.recv().map_err(|_| Error::Interrupted)? {
                    let chunk = chunk.transpose()?;
                    end = placed.end();
                    if work(placed, bytes_of(&placed.extent, chunk.as_deref())?)?.is_break() {
                        return Ok(());
                    }
                }
            }
        })
    }
}

/// Gives `work` the bytes of a hole.
fn zeros<E>(length: u64, work: &mut impl FnMut(&[u8]) -> Result<ControlFlow<()>, E>) -> Result<ControlFlow<()>, E> {
    let zeros = vec![0; length.min(PIECE_BYTES as u64) as usize];
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE_BYTES as u64);
        if work(&zeros[..piece as usize])?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        left -= piece;
    }
    Ok(ControlFlow::Continue(()))
}

/// Queues a batch; what comes of it comes by the channel returned.
fn begin(jobs: &Sender<Job>, batch: Vec<PlacedExtent>) -> Result<Receiver<Vec<Loaded>>> {
    let (done, loaded) = bounded(1);
    // It fails only when every thread is gone, and then the scope of the threads says why.
    jobs.send(Job { batch, done }).map_err(|_| Error::Interrupted)?;
    Ok(loaded)
}

impl Job {
    fn run(self, chunks: &ChunkStore) {
        let ids: Vec<_> = self.batch.iter().filter_map(|placed| placed.extent.chunk()).collect();
        let mut loaded = chunks.load_many(&ids).into_iter();
        let with_chunk = |placed: PlacedExtent| (placed, placed.extent.chunk().and_then(|_| loaded.next()));
        // Nobody listens where the consumer has seen enough.
        let _ = self.done.send(self.batch.into_iter().map(with_chunk).collect());
    }
}

fn bytes_of<'c>(extent: &Extent, chunk: Option<&'c [u8]>) -> Result<&'c [u8]> {
    match (extent.source, chunk) {
        (ExtentSource::Chunk { id, offset }, Some(chunk)) => part_of(&id, chunk, u64::from(offset), extent.length),
        _ => Ok(&[]),
    }
}

/// The extents of a content by batches.
struct Batches<'c>(Peekable<Extents<'c>>);

impl Iterator for Batches<'_> {
    type Item = Result<Vec<PlacedExtent>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (Vec::new(), 0u64);
        while bytes < BATCH_BYTES
            && batch.len() < BATCH_EXTENTS
            && let Some(Ok(placed)) = self.0.next_if(Result::is_ok)
        {
            bytes = bytes.saturating_add(placed.extent.totals().data_bytes);
            batch.push(placed);
        }
        match batch.is_empty() {
            true => self.0.next().map(|failed| failed.map(|placed| vec![placed])),
            false => Some(Ok(batch)),
        }
    }
}
