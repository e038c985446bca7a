//! Hard links of one ingest: every file is read once, however many names it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::repository::content::Content;
use crate::repository::metadata::{Captured, Identity};
use crate::repository::tree::Witness;

/// Which file, and how many names it has.
pub(super) type Linked = (Identity, u32);

/// Of a file that has several names.
pub(super) fn linked(captured: &Captured) -> Option<Linked> {
    (captured.link_count > 1).then_some((captured.identity(), captured.link_count))
}

/// What reading a file gave, shared by its names.
#[derive(Debug, Clone)]
pub(super) struct ReadFile {
    pub content: Content,
    pub torn: bool,
    /// The file as it was when it was read. A later look, at another of its names, may see a newer state, and must not
    /// vouch for these bytes.
    pub captured: Captured,
    pub witness: Witness,
}

/// The place where the first reader of a file leaves what it read; empty after a failed attempt.
type SharedRead = Arc<Mutex<Option<ReadFile>>>;

/// Files remembered at once, about 450 bytes each. In a tree of more (a farm of hard links), the names of some files are
/// read one by one.
const SHARED_READS_MAX: usize = 200_000;

/// Files with several names that were read already. Holds an entry for each until all its names were met.
pub(super) struct SharedReads {
    reads: Mutex<HashMap<Identity, (SharedRead, u32)>>,
    max: usize,
}

impl Default for SharedReads {
    fn default() -> SharedReads {
        SharedReads { reads: Mutex::default(), max: SHARED_READS_MAX }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedReads {
    /// What `read` gives for this file, from the first of its names that asks; the others wait for that one.
    /// A failed attempt is not shared: the next name tries itself.
    pub fn get_or_read<E>(
        &self,
        (file, link_count): Linked,
        read: impl FnOnce() -> Result<ReadFile, E>,
    ) -> Result<ReadFile, E> {
        let slot = {
            let mut reads = lock(&self.reads);
            if reads.len() >= self.max && !reads.contains_key(&file) {
                drop(reads);
                return read();
            }
            let (slot, met) = reads.entry(file).or_default();
            *met += 1;
            let slot = slot.clone();
            if *met >= link_count {
                reads.remove(&file);
            }
            slot
        };
        let mut held = lock(&slot);
        match &*held {
            Some(file) => Ok(file.clone()),
            None => read().inspect(|file| *held = Some(file.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::fd::AsFd;

    use super::*;
    use crate::repository::content::{ChunkClass, ContentBody};
    use crate::repository::metadata::stat_fd;

    fn some_file() -> ReadFile {
        let captured = stat_fd(tempfile::tempfile().unwrap().as_fd()).unwrap();
        let body = ContentBody::Inline(Vec::new());
        let content = Content { size: 0, data_bytes: 0, class: ChunkClass::Small, body };
        ReadFile { content, torn: false, captured, witness: Witness::None }
    }

    #[test]
    fn names_of_one_file_share_its_reading_while_there_is_room() {
        let shared = SharedReads { max: 2, ..SharedReads::default() };
        let readings = Cell::new(0);
        let meet = |inode: u64| {
            let read = || {
                readings.set(readings.get() + 1);
                Ok::<_, ()>(some_file())
            };
            shared.get_or_read(((1, inode), 2), read).unwrap();
            readings.get()
        };
        assert_eq!([meet(1), meet(2), meet(3)], [1, 2, 3]);
        // The third found no room, so its other name is read too.
        assert_eq!([meet(1), meet(3), meet(2)], [3, 4, 4]);
        assert!(lock(&shared.reads).len() <= 1);
    }
}
