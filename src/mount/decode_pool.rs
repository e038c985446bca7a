//! Who reads and decodes what the cache does not hold. Half of the loops that answer the kernel may do it themselves,
//! which spares a lone reader of small files the way through another thread (`tar` of 20,000 files on a busy machine:
//! 2.2 s instead of 9 s); beyond that, threads of their own do, so that a slow disk never holds up all loops.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

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

thread_local! {
    /// Where a loop puts the bytes of its reply.
    static LOOP_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The threads, and what waits for them. Dropping it waits for their end: what the chunk index rests on is taken down
/// when the process ends, and whoever still used it then would crash.
pub(super) struct DecodePool {
    view: Arc<View>,
    /// Loops that read by themselves right now, and how many may.
    reading_loops: AtomicUsize,
    reading_loops_max: usize,
    reads: Sender<ReadJob>,
    prefetches: Sender<PrefetchJob>,
    read_ahead: Mutex<ReadAhead>,
    /// Bytes queued or being prefetched, at most `prefetch_budget_bytes`.
    prefetching_bytes: Arc<AtomicU64>,
    prefetch_budget_bytes: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for DecodePool {
    fn drop(&mut self) {
        // Without senders, the threads find the queues closed.
        (self.reads, self.prefetches) = (bounded(0).0, bounded(0).0);
        for thread in self.threads.drain(..) {
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl DecodePool {
    /// Starts as many threads as there are `loops`. At most `prefetch_budget_bytes` are prefetched at a time; 0 turns
    /// that off.
    pub fn start(view: Arc<View>, loops: usize, prefetch_budget_bytes: u64) -> Result<DecodePool> {
        let (reads, read_jobs) = bounded(READ_QUEUE);
        let (prefetches, prefetch_jobs) = bounded(PREFETCH_QUEUE);
        let prefetching_bytes = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::with_capacity(loops);
        for number in 0..loops {
            let worker = Worker {
                view: view.clone(),
                reads: read_jobs.clone(),
                prefetches: prefetch_jobs.clone(),
                prefetching_bytes: prefetching_bytes.clone(),
            };
            let thread = thread::Builder::new().name(format!("decode-{number}")).spawn(move || worker.run());
            threads.push(thread.map_err(Error::io("start a thread of", "the decode pool"))?);
        }
        Ok(DecodePool {
            view,
            reading_loops: AtomicUsize::new(0),
            reading_loops_max: loops / 2,
            reads,
            prefetches,
            read_ahead: Mutex::new(ReadAhead::new(prefetch_budget_bytes)),
            prefetching_bytes,
            prefetch_budget_bytes,
            threads,
        })
    }

    /// Answers `job`: from the cache, by reading here, or soon by a thread of the pool. Called by loops.
    pub fn read(&self, job: ReadJob) {
        self.note_read(job.ino, job.offset..job.offset.saturating_add(job.length as u64));
        LOOP_BUFFER.with_borrow_mut(|buffer| {
            let Some(job) = answer_from_cache(&self.view, job, buffer) else { return };
            if self.reading_loops.fetch_add(1, Ordering::Relaxed) < self.reading_loops_max {
                answer(&self.view, job, buffer);
            } else if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.reads.try_send(job) {
                // All of them are far behind: slow the kernel down.
                answer(&self.view, job, buffer);
            }
            self.reading_loops.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Prefetches what is likely to follow a read.
    fn note_read(&self, ino: u64, read: Range<u64>) {
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
                    Ok(job) => {
                        buffer.clear();
                        answer(&self.view, job, &mut buffer);
                    }
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

/// Answers from the cache if that holds all of it; if not, `job` comes back, and `buffer` has what comes before what is missing.
fn answer_from_cache(view: &View, job: ReadJob, buffer: &mut Vec<u8>) -> Option<ReadJob> {
    buffer.clear();
    match view.read_cached(job.ino, job.offset, job.length, buffer) {
        Ok(true) => job.reply.data(buffer),
        Ok(false) => return Some(job),
        Err(error) => job.reply.error(errno::of(&error, "read", job.ino)),
    }
    None
}

/// Reads what `job` asks for behind what `buffer` has of it, and sends all.
fn answer(view: &View, job: ReadJob, buffer: &mut Vec<u8>) {
    let offset = job.offset.saturating_add(buffer.len() as u64);
    match view.read(job.ino, offset, job.length.saturating_sub(buffer.len()), buffer) {
        Ok(()) => job.reply.data(buffer),
        Err(error) => job.reply.error(errno::of(&error, "read", job.ino)),
    }
}
