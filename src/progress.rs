//! How verbs tell what they are doing: counters that only grow, problems that do not stop the work, and notes.
//! The library never prints; the command line renders these.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of one running verb, read by whoever draws the progress.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries (files, directories, links, ...) finished.
    pub entries: AtomicU64,
    /// Regular files among them.
    pub files: AtomicU64,
    /// Files taken over from the previous snapshot unread.
    pub files_unchanged: AtomicU64,
    /// Logical bytes finished, read or taken over; holes count.
    pub bytes: AtomicU64,
    /// Bytes really read from the source.
    pub bytes_read: AtomicU64,
    /// Plain bytes of chunks that were new to the repository.
    pub bytes_new: AtomicU64,
    /// Bytes those new chunks take in packs.
    pub bytes_stored: AtomicU64,
    /// Logical bytes expected in all; 0 while unknown.
    pub bytes_expected: AtomicU64,
}

impl Counters {
    /// Adds `amount` to one counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// The present value of one counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Something that went wrong with one object while the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub reason: String,
}

/// Who watches a verb at work.
pub trait Monitor: Send + Sync {
    /// Where the verb counts.
    fn counters(&self) -> &Counters;

    /// One object failed; the work goes on.
    fn problem(&self, problem: Problem);

    /// Something the user should know that is no failure ("rebuilding the index").
    fn note(&self, text: &str);

    /// True once the user asked to stop; verbs look between objects and between chunks.
    fn is_cancelled(&self) -> bool;
}

/// A monitor that remembers: for tests, and for callers that look afterwards.
#[derive(Debug, Default)]
pub struct Recorder {
    pub counters: Counters,
    pub problems: std::sync::Mutex<Vec<Problem>>,
    pub notes: std::sync::Mutex<Vec<String>>,
    pub cancelled: AtomicBool,
}

impl Monitor for Recorder {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn problem(&self, problem: Problem) {
        // A poisoned list still holds what was pushed; recording goes on.
        self.problems.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(problem);
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text.to_string());
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
