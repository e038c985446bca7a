//! Hard links of one pass: which leaders are waited for, which did not come out as expected, and how many names the
//! files have that stand in the target.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::id::hash;
use crate::repository::metadata::{Captured, FileType, Identity};

/// Leaders remembered as renewed or failed, 16 bytes each; beyond it, every leader counts as failed, and its other
/// names become files of their own.
const OUTCOMES_MAX: usize = 1 << 20;

/// Files with several names in the target whose names are counted; those of further ones are as the system counts them.
const COUNTED_FILES_MAX: usize = 100_000;

/// What an entry is among the names of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// It has no other names here.
    Alone,
    /// The first of its names: it is restored as a file.
    Leader,
    /// A further name of the entry at this path in the target.
    Follower { leader: Vec<u8> },
    /// Its group could not be kept in memory: it is restored as a file of its own.
    Stray,
}

/// Entries are taken from the queue in the order in which they were queued, and leaders come before their followers
/// and wait for nobody. So a follower that waits for a leader under way waits for somebody who works.
#[derive(Default)]
pub(super) struct Links {
    under_way: Mutex<HashSet<Vec<u8>>>,
    done: Condvar,
    renewed: Mutex<HashSet<[u8; 16]>>,
    failed: Mutex<HashSet<[u8; 16]>>,
    /// Of files that stand in the target under several names: how many will be left when all that was decided is done.
    names_left: Mutex<HashMap<Identity, u32>>,
}

/// Held while a leader is under way; dropped, it lets the followers go on.
pub(super) struct UnderWay<'a> {
    links: &'a Links,
    path: &'a [u8],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The sets stay whole whoever panics: every change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn short_hash(path: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&hash(path)[..16]);
    short
}

impl Links {
    /// A leader was queued.
    pub fn announce(&self, path: &[u8]) {
        lock(&self.under_way).insert(path.to_vec());
    }

    /// The announced leader is being restored; the guard ends it.
    pub fn start<'a>(&'a self, path: &'a [u8]) -> UnderWay<'a> {
        UnderWay { links: self, path }
    }

    /// Waits until a leader is done. False where it failed.
    pub fn wait_for(&self, leader: &[u8]) -> bool {
        let mut under_way = lock(&self.under_way);
        while under_way.contains(leader) {
            under_way = self.done.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
        drop(under_way);
        let failed = lock(&self.failed);
        failed.len() < OUTCOMES_MAX && !failed.contains(&short_hash(leader))
    }

    /// How many names a file of the target has, those that are about to go not counted: a dry run, and threads that
    /// are not done, must come to the same.
    pub fn names_left(&self, found: &Captured) -> u32 {
        lock(&self.names_left).get(&found.identity()).copied().unwrap_or(found.link_count)
    }

    /// One of a file's names will be deleted, or become that of another file.
    pub fn name_goes(&self, found: &Captured) {
        if found.link_count < 2 || found.file_type == FileType::Directory {
            return;
        }
        let mut counted = lock(&self.names_left);
        if counted.len() < COUNTED_FILES_MAX || counted.contains_key(&found.identity()) {
            let left = counted.entry(found.identity()).or_insert(found.link_count);
            *left = left.saturating_sub(1);
        }
    }

    /// This leader is, or in a dry run would be, a new file: names that stand there already belong to the old one.
    pub fn renew(&self, leader: &[u8]) {
        let mut renewed = lock(&self.renewed);
        if renewed.len() < OUTCOMES_MAX {
            renewed.insert(short_hash(leader));
        }
    }

    pub fn is_renewed(&self, leader: &[u8]) -> bool {
        lock(&self.renewed).contains(&short_hash(leader))
    }

    pub fn fail(&self, leader: &[u8]) {
        let mut failed = lock(&self.failed);
        if failed.len() < OUTCOMES_MAX {
            failed.insert(short_hash(leader));
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.links.under_way).remove(self.path);
        self.links.done.notify_all();
    }
}
