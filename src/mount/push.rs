//! Pushing small files into the kernel's page cache before they are read. Each file that is not there costs its reader the
//! way to this process and back; whoever reads a directory file by file (`tar`, `cp -a`, `grep -r`) pays it a hundred
//! thousand times. Who does so is seen by inode numbers: those of a snapshot are in the order of its tree.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use fuser::{INodeNo, Notifier};

use crate::view::{SmallFiles, View};

/// Files read in order before those behind them are pushed.
const READS_BEFORE_PUSH: u32 = 4;

/// Files pushed at once: few at first, since the reader may stop soon.
const WINDOW_MIN_FILES: u64 = 64;
const WINDOW_MAX_FILES: u64 = 1024;

/// Files that are left to the reader meanwhile. A push waits for a page that is being read, so one that began with the next
/// file would go step by step with the reader instead of ahead of it.
const HEAD_START_FILES: u64 = 6;

/// Bytes pushed at once.
const WINDOW_MAX_BYTES: u64 = 16 << 20;

/// Larger files are worth a request of their own.
const FILE_MAX_BYTES: u64 = 128 << 10;

/// Entries that a reader may pass over, such as directories and symlinks.
const NEAR: u64 = 16;

/// Readers told apart; the least recently seen one makes room.
const READERS_MAX: usize = 16;

/// Windows waiting to be pushed. More are forgotten: their readers will ask.
const QUEUE: usize = 16;

/// Files to push: those behind an inode, in its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    behind: u64,
    files: u64,
}

impl Window {
    /// Behind the last file, if there are no other entries between.
    fn end(self) -> u64 {
        self.behind.saturating_add(self.files)
    }
}

/// Whoever reads files in the order of the tree.
#[derive(Debug, Clone, Copy)]
struct Reader {
    /// The last file that it asked for.
    last: u64,
    /// Behind the last file that was pushed for it; while that goes on, behind the last that may be.
    pushed: u64,
    reads: u32,
    window_files: u64,
    last_seen: u64,
}

/// The readers of a mount.
#[derive(Debug, Default)]
struct Readers {
    readers: Vec<Reader>,
    clock: u64,
}

impl Readers {
    /// Notes that a file is read from its beginning, and tells what to push.
    fn observe(&mut self, ino: u64) -> Option<Window> {
        self.clock += 1;
        let clock = self.clock;
        let known = self.readers.iter_mut().find(|reader| {
            let end = reader.pushed.max(reader.last).saturating_add(NEAR);
            reader.last < ino && ino <= end
        });
        let Some(reader) = known else {
            self.meet(ino);
            return None;
        };
        (reader.last, reader.last_seen) = (ino, clock);
        reader.reads = reader.reads.saturating_add(1);
        // Before that, it is faster than the push, which will overtake it.
        if reader.reads < READS_BEFORE_PUSH || ino < reader.pushed {
            return None;
        }
        reader.window_files = (reader.window_files * 2).clamp(WINDOW_MIN_FILES, WINDOW_MAX_FILES);
        let window = Window { behind: ino, files: reader.window_files };
        reader.pushed = window.end();
        Some(window)
    }

    /// Whether the reader of a window will not have reached this file before a push does.
    fn is_ahead(&self, window: Window, ino: u64) -> bool {
        let mut readers = self.readers.iter().filter(|reader| reader.pushed == window.end());
        readers.all(|reader| ino > reader.last.saturating_add(HEAD_START_FILES))
    }

    /// A window was pushed up to `end`, where its directory ended or memory did.
    fn finish(&mut self, window: Window, end: u64) {
        let promised = window.end();
        self.readers.iter_mut().filter(|reader| reader.pushed == promised).for_each(|reader| reader.pushed = end);
    }

    fn meet(&mut self, ino: u64) {
        // A file that is read again and again is one reader.
        self.readers.retain(|reader| reader.last != ino);
        if self.readers.len() == READERS_MAX {
            let oldest = self.readers.iter().enumerate().min_by_key(|(_, reader)| reader.last_seen);
            let oldest = oldest.map(|(at, _)| at);
            oldest.map(|at| self.readers.swap_remove(at));
        }
        self.readers.push(Reader { last: ino, pushed: 0, reads: 1, window_files: 0, last_seen: self.clock });
    }
}

/// How many files were pushed.
#[derive(Debug, Clone, Default)]
pub(super) struct PushedFiles(Arc<AtomicU64>);

impl PushedFiles {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sees what is read.
pub(super) struct ReadWatch {
    readers: Arc<Mutex<Readers>>,
    windows: Sender<Window>,
}

/// Pushes what the watch tells. It has a thread of its own: the kernel lets a push wait for a page that is being read, so a
/// loop that pushed could wait for itself.
pub(super) struct Pusher {
    readers: Arc<Mutex<Readers>>,
    windows: Receiver<Window>,
    pushed: PushedFiles,
}

/// A watch, and the pusher that follows it until the watch is gone.
pub(super) fn watch(pushed: &PushedFiles) -> (ReadWatch, Pusher) {
    let (sender, windows) = bounded(QUEUE);
    let readers = Arc::new(Mutex::default());
    (ReadWatch { readers: readers.clone(), windows: sender }, Pusher { readers, windows, pushed: pushed.clone() })
}

impl ReadWatch {
    /// Notes a read that was answered.
    pub fn note_read(&self, ino: u64, offset: u64) {
        if offset != 0 {
            return;
        }
        let window = lock(&self.readers).observe(ino);
        // A full queue: the reader will ask.
        window.map(|window| self.windows.try_send(window));
    }
}

impl Pusher {
    /// Pushes until nobody watches any more.
    pub fn run(self, view: &Arc<View>, notifier: &Notifier) {
        for window in &self.windows {
            let end = self.push(view, notifier, window);
            lock(&self.readers).finish(window, end);
        }
    }

    /// Returns where it ended: behind the last file that was pushed.
    fn push(&self, view: &View, notifier: &Notifier, window: Window) -> u64 {
        let (mut end, mut files_left, mut bytes_left) = (window.behind + 1, window.files, WINDOW_MAX_BYTES);
        let wanted = |ino| lock(&self.readers).is_ahead(window, ino);
        let which = SmallFiles {
            behind: window.behind,
            size_max_bytes: FILE_MAX_BYTES,
            wanted: &wanted,
            count_max: window.files,
        };
        let pushed = view.small_files(which, &mut |ino, bytes| {
            // An inode that the kernel has forgotten is no failure, and it takes no bytes for it.
            if let Err(error) = notifier.store(INodeNo(ino), 0, bytes) {
                log::debug!("the kernel refuses what inode {ino} holds: {error}");
                return false;
            }
            self.pushed.0.fetch_add(1, Ordering::Relaxed);
            end = end.max(ino + 1);
            files_left = files_left.saturating_sub(1);
            bytes_left = bytes_left.saturating_sub(bytes.len() as u64);
            files_left > 0 && bytes_left > 0
        });
        if let Err(error) = pushed {
            // The read that needs it will tell.
            log::debug!("pushing files behind inode {}: {error}", window.behind);
        }
        end
    }
}

/// A poisoned table only guesses worse.
fn lock(readers: &Mutex<Readers>) -> MutexGuard<'_, Readers> {
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is pushed while these are read.
    fn windows(reads: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut readers = Readers::default();
        reads.into_iter().filter_map(|ino| readers.observe(ino)).map(|window| (window.behind, window.files)).collect()
    }

    #[test]
    fn who_reads_file_by_file_gets_windows_that_grow() {
        // Each next read is the first behind the window.
        let reads = [1, 2, 3, 4, 4 + 64, 68 + 128, 196 + 256, 452 + 512, 964 + 1024, 1988 + 1024];
        let expected = [(4, 64), (68, 128), (196, 256), (452, 512), (964, 1024), (1988, 1024), (3012, 1024)];
        assert_eq!(windows(reads), expected);
    }

    #[test]
    fn who_is_faster_than_the_push_gets_no_second_one() {
        assert_eq!(windows(1..=67), [(4, 64)]);
        assert_eq!(windows(1..=68), [(4, 64), (68, 128)]);
    }

    #[test]
    fn the_next_directory_is_pushed_from_its_first_file_on() {
        let mut readers = Readers::default();
        let windows: Vec<Window> = [1, 2, 3, 4, 68].into_iter().filter_map(|ino| readers.observe(ino)).collect();
        // The directory ends with inode 100.
        readers.finish(windows[1], 101);
        assert_eq!(readers.observe(103), Some(Window { behind: 103, files: 256 }));
        // That another window is done changes nothing.
        readers.finish(windows[0], 5);
        assert_eq!(readers.observe(104), None);
    }

    #[test]
    fn reading_at_random_backwards_or_again_pushes_nothing() {
        assert_eq!(windows((0..1000).map(|n| n * 7919 % 1_000_003)), []);
        assert_eq!(windows((1..1000).rev()), []);
        assert_eq!(windows([7; 1000]), []);
    }

    #[test]
    fn several_readers_are_told_apart() {
        let reads = (1..=4).flat_map(|n| [n, 10_000 + n, 20_000 + n]);
        assert_eq!(windows(reads), [(4, 64), (10_004, 64), (20_004, 64)]);
    }

    #[test]
    fn the_table_stays_small_and_who_came_last_stays_in_it() {
        let mut readers = Readers::default();
        (0..1000).for_each(|n| assert_eq!(readers.observe(n * 1000), None));
        assert_eq!(readers.readers.len(), READERS_MAX);
        (1..3).for_each(|n| assert_eq!(readers.observe(999_000 + n), None));
        assert!(readers.observe(999_003).is_some());
    }
}
