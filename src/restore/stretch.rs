//! Stretches of the walk: entries of one directory that one thread restores, so that passing them on costs little.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::error::{Error, Result};
use crate::restore::walk::Job;

/// Entries of one stretch.
const STRETCH_ENTRIES_MAX: usize = 32;

/// A stretch whose files hold this much gets no more: another thread can write those meanwhile.
const STRETCH_BYTES: u64 = 1 << 20;

/// Gathers entries, in their order, and queues them by stretches.
pub(super) struct Stretches {
    queue: Sender<Vec<Job>>,
    gathered: Vec<Job>,
    bytes: u64,
}

impl Stretches {
    pub fn new(queue: Sender<Vec<Job>>) -> Stretches {
        Stretches { queue, gathered: Vec::new(), bytes: 0 }
    }

    pub fn add(&mut self, job: Job) -> Result<()> {
        let is_beside = |last: &Job| Arc::ptr_eq(&last.place.directory, &job.place.directory);
        if !self.gathered.last().is_none_or(is_beside) {
            self.pass_on()?;
        }
        self.bytes = self.bytes.saturating_add(job.node.size());
        self.gathered.push(job);
        let is_full = self.gathered.len() >= STRETCH_ENTRIES_MAX || self.bytes >= STRETCH_BYTES;
        if is_full { self.pass_on() } else { Ok(()) }
    }

    /// Queues what was gathered.
    pub fn pass_on(&mut self) -> Result<()> {
        self.bytes = 0;
        let stretch = std::mem::take(&mut self.gathered);
        if stretch.is_empty() {
            return Ok(());
        }
        // It fails only when every thread is gone, and then the scope of the threads says why.
        self.queue.send(stretch).map_err(|_| Error::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::repository::content::Content;
    use crate::repository::node::tests::empty_directory;
    use crate::repository::node::{Node, NodeKind};
    use crate::restore::links::Role;
    use crate::restore::target::{Directory, Place};

    fn file(place: &Place, name: &str, size: u64) -> Job {
        let kind = NodeKind::File { content: Content { size, ..Content::empty() }, torn: false };
        let node = Node { kind, ..empty_directory() };
        Job { place: place.clone(), name: name.into(), path: name.into(), node, role: Role::Alone }
    }

    #[test]
    fn stretches_keep_the_order_and_end_with_a_directory_by_number_and_behind_a_large_file() {
        let place = || Place::new(Directory { path: Vec::new(), node: None, identity: None, is_new: false }, None);
        let (first, second) = (place(), place());
        let (sender, queue) = unbounded();
        let mut stretches = Stretches::new(sender);
        for at in 0..STRETCH_ENTRIES_MAX + 3 {
            stretches.add(file(&first, &format!("{at:03}"), 1)).unwrap();
        }
        for (name, size) in [("a", 1), ("b", STRETCH_BYTES), ("c", 1)] {
            stretches.add(file(&second, name, size)).unwrap();
        }
        stretches.pass_on().unwrap();
        drop(stretches);
        let passed: Vec<Vec<Job>> = queue.iter().collect();
        assert_eq!(passed.iter().map(Vec::len).collect::<Vec<_>>(), [STRETCH_ENTRIES_MAX, 3, 2, 1]);
        let names: Vec<&[u8]> = passed.iter().flatten().map(|job| job.name.as_slice()).collect();
        assert!(names.is_sorted());
    }
}
