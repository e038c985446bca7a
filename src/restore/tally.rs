//! Counts, and tells of, what a restore does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::metadata::NotSet;
use crate::restore::{
    Action, Event, NOT_SET_EXAMPLES_MAX, NOT_SET_GROUPS_MAX, NotRestored, NotSetGroup, PlannedAction, RestoreReport,
};

type Listener<'a> = &'a mut (dyn FnMut(&Event<'_>) + Send);

/// The report in the making; shared by threads.
pub(super) struct Tally<'a> {
    to: &'a Path,
    monitor: &'a dyn Monitor,
    listener: Mutex<Listener<'a>>,
    report: Mutex<RestoreReport>,
}

impl<'a> Tally<'a> {
    pub fn new(to: &'a Path, monitor: &'a dyn Monitor, listener: Listener<'a>) -> Tally<'a> {
        Tally { to, monitor, listener: Mutex::new(listener), report: Mutex::default() }
    }

    /// Where an entry lies, for messages.
    pub fn full_path(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.to.to_path_buf() } else { self.to.join(OsStr::from_bytes(path)) }
    }

    /// Whoever panicked with it left whole numbers.
    pub fn report(&self) -> MutexGuard<'_, RestoreReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_cancelled(&self) -> bool {
        self.monitor.is_cancelled()
    }

    pub fn counters(&self) -> &Counters {
        self.monitor.counters()
    }

    pub fn planned(&self, planned: &PlannedAction<'_>) {
        {
            let mut report = self.report();
            match planned.action {
                Action::Delete => report.deleted += 1,
                _ => report.changed += 1,
            }
        }
        self.tell(&Event::Action(*planned));
    }

    fn tell(&self, event: &Event<'_>) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)(event);
    }

    /// One entry failed.
    pub fn problem(&self, path: &[u8], error: &Error) {
        if error.kind() == ErrorKind::Corrupt {
            self.report().damaged += 1;
        }
        // The monitor shows the path itself.
        let reason = match error {
            Error::Io { operation, source, .. } => format!("cannot {operation}: {source}"),
            other => other.to_string(),
        };
        self.problem_because(path, reason);
    }

    pub fn problem_because(&self, path: &[u8], reason: String) {
        self.report().problems += 1;
        self.monitor.problem(Problem { path: self.full_path(path), reason });
    }

    /// Something of an entry could not be given back.
    pub fn not_set(&self, path: &[u8], not_set: NotSet) {
        let not_set = NotRestored { path: path.to_vec(), what: not_set.what, cause: not_set.cause.to_string() };
        self.tell(&Event::NotSet(&not_set));
        self.report().count_not_set(not_set);
    }

    pub fn into_report(self) -> RestoreReport {
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.not_set.sort_by(|a, b| (&a.what, &a.cause).cmp(&(&b.what, &b.cause)));
        report
    }
}

impl RestoreReport {
    fn count_not_set(&mut self, NotRestored { path, what, cause }: NotRestored) {
        self.not_set_count += 1;
        let known = self.not_set.iter().position(|group| group.what == what && group.cause == cause);
        let at = match known {
            Some(at) => at,
            None if self.not_set.len() == NOT_SET_GROUPS_MAX => return,
            None => {
                self.not_set.push(NotSetGroup { what, cause, count: 0, first: Vec::new() });
                self.not_set.len() - 1
            }
        };
        let group = &mut self.not_set[at];
        group.count += 1;
        // In order of paths: threads come by in any.
        let place = group.first.partition_point(|earlier| *earlier < path);
        if place < NOT_SET_EXAMPLES_MAX {
            group.first.insert(place, path);
            group.first.truncate(NOT_SET_EXAMPLES_MAX);
        }
    }
}
