//! The monitor of all threads of one ingest.

use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::snapshot::{MANIFEST_PROBLEMS_MAX, ManifestProblem};

/// Passes everything on, keeps the first problems for the manifest, and cancels the other threads once one has failed.
pub(super) struct IngestWatch<'a> {
    monitor: &'a dyn Monitor,
    kept: Mutex<(u64, Vec<ManifestProblem>)>,
    failed: AtomicBool,
    first_failure: Mutex<Option<Error>>,
}

/// Every value guarded here is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> IngestWatch<'a> {
    pub fn new(monitor: &'a dyn Monitor) -> IngestWatch<'a> {
        let (kept, failed, first_failure) = Default::default();
        IngestWatch { monitor, kept, failed, first_failure }
    }

    /// Ends the ingest. The first failure is the cause; the others follow from it.
    pub fn fail(&self, error: Error) -> Error {
        lock(&self.first_failure).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
        Error::Interrupted
    }

    /// Why the ingest ends, where it was one of its threads that failed.
    pub fn failure(&self) -> Option<Error> {
        lock(&self.first_failure).take()
    }

    /// How many problems there were, and the first of them.
    pub fn problems(&self) -> (u64, Vec<ManifestProblem>) {
        lock(&self.kept).clone()
    }
}

impl Monitor for IngestWatch<'_> {
    fn counters(&self) -> &Counters {
        self.monitor.counters()
    }

    fn problem(&self, problem: Problem) {
        let mut kept = lock(&self.kept);
        kept.0 += 1;
        if kept.1.len() < MANIFEST_PROBLEMS_MAX {
            kept.1.push(ManifestProblem {
                path: problem.path.as_os_str().as_bytes().to_vec(),
                reason: problem.reason.clone(),
            });
        }
        drop(kept);
        self.monitor.problem(problem);
    }

    fn note(&self, text: &str) {
        self.monitor.note(text);
    }

    fn is_cancelled(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.monitor.is_cancelled()
    }
}
