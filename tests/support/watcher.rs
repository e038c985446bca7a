//! A monitor that acts: tests change the world at a known moment of a verb's work.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::sync::atomic::Ordering;

use yesterfs::progress::{Counters, Monitor, Problem, Recorder};

/// Remembers everything, and calls `hook` whenever the verb asks whether it shall go on: between entries, and between
/// the pieces of long ones.
pub struct Watcher<F> {
    pub recorder: Recorder,
    hook: F,
}

impl<F: Fn(&Recorder) + Send + Sync> Watcher<F> {
    pub fn new(hook: F) -> Watcher<F> {
        Watcher { recorder: Recorder::default(), hook }
    }
}

/// Cancels once so many bytes were read from the source.
pub fn cancel_after(bytes: u64) -> Watcher<impl Fn(&Recorder) + Send + Sync> {
    Watcher::new(move |recorder: &Recorder| {
        if Counters::get(&recorder.counters.bytes_read) >= bytes {
            recorder.cancelled.store(true, Ordering::Relaxed);
        }
    })
}

impl<F: Fn(&Recorder) + Send + Sync> Monitor for Watcher<F> {
    fn counters(&self) -> &Counters {
        self.recorder.counters()
    }

    fn problem(&self, problem: Problem) {
        self.recorder.problem(problem);
    }

    fn note(&self, text: &str) {
        self.recorder.note(text);
    }

    fn is_cancelled(&self) -> bool {
        (self.hook)(&self.recorder);
        self.recorder.is_cancelled()
    }
}
