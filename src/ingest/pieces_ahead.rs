//! A long file is read by a thread of its own, piece by piece, while what came before is hashed and cut: one thread that does both
//! takes twice as long for a file of which nothing is new.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::repository::metadata::read_full_at;

/// Shorter ones are read before a thread has started.
pub(super) const AHEAD_MIN_BYTES: u64 = 4 << 20;

/// Bytes of a piece.
const PIECE_BYTES: usize = 512 << 10;

/// Pieces that are being read, or wait for being used.
const PIECES_AHEAD: usize = 3;

/// Bytes that follow each other in a file.
pub(super) struct Piece {
    pub buffer: Vec<u8>,
    /// Where in the buffer they are.
    pub range: Range<usize>,
}

/// Pieces of a file in order.
pub(super) struct PiecesAhead {
    full: Receiver<io::Result<Piece>>,
    empty: Sender<Vec<u8>>,
}

impl PiecesAhead {
    /// The next piece; `None` at the end.
    pub fn next(&self) -> io::Result<Option<Piece>> {
        self.full.recv().ok().transpose()
    }

    /// Gives a buffer for one of the next pieces.
    pub fn give_back(&self, buffer: Vec<u8>) {
        // Nobody wants it where all was read.
        let _ = self.empty.try_send(buffer);
    }
}

/// Gives `work` the bytes of a file from `range.start` on, up to `range.end` or where the file ends sooner. Each piece has
/// `headroom_bytes` before it in its buffer. `None` where there is no thread to be had.
pub(super) fn read_ahead<T>(
    fd: BorrowedFd,
    range: Range<u64>,
    headroom_bytes: usize,
    work: impl FnOnce(&PiecesAhead) -> T,
) -> Option<T> {
    let (sender, full) = bounded(PIECES_AHEAD);
    let (empty, buffers) = bounded(PIECES_AHEAD);
    for _ in 0..PIECES_AHEAD {
        // There is room for so many.
        let _ = empty.try_send(Vec::new());
    }
    thread::scope(|scope| {
        let reader = Reader { buffers, full: sender };
        let read = move || reader.read(fd, range, headroom_bytes);
        thread::Builder::new().name("read-ahead".into()).spawn_scoped(scope, read).ok()?;
        // Dropped when the work is done, so that the thread ends.
        Some(work(&PiecesAhead { full, empty }))
    })
}

/// The thread's side.
struct Reader {
    buffers: Receiver<Vec<u8>>,
    full: Sender<io::Result<Piece>>,
}

impl Reader {
    fn read(self, fd: BorrowedFd, mut range: Range<u64>, headroom_bytes: usize) {
        while range.start < range.end
            && let Ok(mut buffer) = self.buffers.recv()
        {
            if buffer.len() < headroom_bytes + PIECE_BYTES {
                buffer.resize(headroom_bytes + PIECE_BYTES, 0);
            }
            let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let room = headroom_bytes..headroom_bytes + wanted;
            let piece = match read_full_at(fd, &mut buffer[room.clone()], range.start) {
                Ok(0) => return,
                got => got.map(|got| Piece { buffer, range: room.start..room.start + got }).map_err(io::Error::from),
            };
            range.start += piece.as_ref().map_or(0, |piece| piece.range.len() as u64);
            let has_failed = piece.is_err();
            if self.full.send(piece).is_err() || has_failed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::*;

    /// What comes of a range of a file, with the bytes before it in the first buffers taken for what is left of others.
    fn read(file: &File, range: Range<u64>, take_pieces: usize) -> io::Result<Vec<u8>> {
        let work = |pieces: &PiecesAhead| {
            let mut all = Vec::new();
            for _ in 0..take_pieces {
                let Some(Piece { buffer, range }) = pieces.next()? else { break };
                assert!(range.start == 100 && buffer.len() >= range.end);
                all.extend_from_slice(&buffer[range]);
                pieces.give_back(buffer);
            }
            Ok(all)
        };
        read_ahead(file.as_fd(), range, 100, work).unwrap()
    }

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (directory, File::open(path).unwrap())
    }

    #[test]
    fn all_of_a_range_comes_in_order_and_nothing_else() {
        let bytes: Vec<u8> = (0..10 * PIECE_BYTES + 77).map(|at| (at / 3 * 7) as u8).collect();
        let (_directory, file) = file_of(&bytes);
        assert!(read(&file, 0..u64::MAX, usize::MAX).unwrap() == bytes);
        let part = 5..9 * PIECE_BYTES + 1;
        assert!(read(&file, 5..part.end as u64, usize::MAX).unwrap() == bytes[part]);
        assert!(read(&file, bytes.len() as u64..u64::MAX, usize::MAX).unwrap().is_empty());
    }

    #[test]
    fn the_thread_ends_with_whoever_takes_its_pieces() {
        let bytes = vec![1; 10 * PIECE_BYTES];
        let (_directory, file) = file_of(&bytes);
        assert_eq!(read(&file, 0..u64::MAX, 1).unwrap(), vec![1; PIECE_BYTES]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::open(directory.path()).unwrap();
        assert_eq!(read(&file, 0..u64::MAX, 1).unwrap_err().raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
    }
}
