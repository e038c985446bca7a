//! Threads that read and decode what the cache does not hold, so that no loop that answers the kernel waits for a disk.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased};
use fuser::ReplyData;

use super::errno;
use super::read_ahead::ReadAhead;
use crate::error::{Error, Result};
use crate::view::View;

/// Reads waiting for a thread. More are answered by the loop that received them, which slows the kernel down.
const READ_QUEUE: usize = 256;

/// Bytes of one prefetch job; several threads share a window.
const PREFETCH_JOB_BYTES: u64 = 1 << 20;
const PREFETCH_QUEUE: usize = 64;

/// One read that the kernel waits for.
pub(super) struct ReadJob {
    pub ino: u64,
    pub offset: u64,
    pub length: usize,
    pub reply: ReplyData,
}

struct PrefetchJob {
    ino: u64,
    range: Range<u64>,
}

/// The threads, and what waits for them. They end when this is dropped and the queues are empty.
pub(super) struct DecodePool {
    view: Arc<View>,
    reads: Sender<ReadJob>,
    prefetches: Sender<PrefetchJob>,
    read_ahead: Mutex<ReadAhead>,
    /// Bytes queued or being prefetched, at most `prefetch_budget_bytes`.
    prefetching_bytes: Arc<AtomicU64>,
    prefetch_budget_bytes: u64,
}

impl DecodePool {
    /// Starts `threads` threads. At most `prefetch_budget_bytes` are prefetched at a time; 0 turns that off.
    pub fn start(view: Arc<View>, threads: usize, prefetch_budget_bytes: u64) -> Result<DecodePool> {
        let (reads, read_jobs) = bounded(READ_QUEUE);
        let (prefetches, prefetch_jobs) = bounded(PREFETCH_QUEUE);
        let prefetching_bytes = Arc::new(AtomicU64::new(0));
        for number in 0..threads {
            let worker = Worker {
                view: view.clone(),
                reads: read_jobs.clone(),
                prefetches: prefetch_jobs.clone(),
                prefetching_bytes: prefetching_bytes.clone(),
            };
            thread::Builder::new()
                .name(format!("decode-{number}"))
                .spawn(move || worker.run())
                .map_err(Error::io("start a thread of", "the decode pool"))?;
        }
        let read_ahead = Mutex::default();
        Ok(DecodePool { view, reads, prefetches, read_ahead, prefetching_bytes, prefetch_budget_bytes })
    }

    /// Answers `job` soon: by a thread of the pool, or here where all of them are far behind.
    pub fn read(&self, job: ReadJob) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.reads.try_send(job) {
            answer(&self.view, job, &mut Vec::new());
        }
    }

    /// Notes a read that was or will be answered, and prefetches what is likely to follow it.
    pub fn note_read(&self, ino: u64, read: Range<u64>) {
        if self.prefetch_budget_bytes == 0 {
            return;
        }
        // A poisoned table only guesses worse.
        let window = self.read_ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).observe(ino, read);
        let mut start = window.as_ref().map_or(0, |window| window.start);
        let end = window.map_or(0, |window| window.end);
        while start < end {
            let job_end = end.min(start.saturating_add(PREFETCH_JOB_BYTES));
            if !self.prefetch(PrefetchJob { ino, range: start..job_end }) {
                return;
            }
            start = job_end;
        }
    }

    /// Queues `job`, or returns false where that is too much: the reader will come by itself.
    fn prefetch(&self, job: PrefetchJob) -> bool {
        let bytes = job.range.end - job.range.start;
        let before = self.prefetching_bytes.fetch_add(bytes, Ordering::Relaxed);
        let queued = before + bytes <= self.prefetch_budget_bytes && self.prefetches.try_send(job).is_ok();
        if !queued {
            self.prefetching_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        queued
    }
}

struct Worker {
    view: Arc<View>,
    reads: Receiver<ReadJob>,
    prefetches: Receiver<PrefetchJob>,
    prefetching_bytes: Arc<AtomicU64>,
}

impl Worker {
    /// Works until both queues are closed; what somebody waits for comes first.
    fn run(self) {
        let mut buffer = Vec::new();
        loop {
            select_biased! {
                recv(self.reads) -> job => match job {
                    Ok(job) => answer(&self.view, job, &mut buffer),
                    Err(_) => return,
                },
                recv(self.prefetches) -> job => match job {
                    Ok(PrefetchJob { ino, range }) => {
                        let bytes = range.end - range.start;
                        self.view.prefetch(ino, range.start, bytes);
                        self.prefetching_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    }
                    Err(_) => return,
                },
            }
        }
    }
}

/// Reads what `job` asks for into `buffer` and sends it.
fn answer(view: &View, job: ReadJob, buffer: &mut Vec<u8>) {
    buffer.clear();
    match view.read(job.ino, job.offset, job.length, buffer) {
        Ok(()) => job.reply.data(buffer),
        Err(error) => job.reply.error(errno::of(&error, "read", job.ino)),
    }
}
