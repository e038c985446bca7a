//! Whether a live file holds the same bytes as another one, live or stored. Holes are zeros. Ends at the first difference;
//! memory is bounded by a chunk and two buffers.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::progress::{Counters, Monitor};
use crate::repository::comparison::{self, Piece, PieceSource, PieceStream, StoredBytes, ends_early, is_zero};
use crate::repository::metadata::read_full_at;

/// Live files are read in pieces of this many bytes.
const READ_BYTES: usize = 256 << 10;

/// Pieces of a live file up to this long are read at once, to be compared with a chunk by its id.
const HASHED_MAX_BYTES: u64 = 1 << 20;

/// One of the two files.
pub(super) enum Bytes<'x> {
    Stored(StoredBytes<'x>),
    Live(LiveFile),
}

/// Whether both hold the same bytes.
///
/// # Errors
/// Those of reading; [`Error::Interrupted`].
pub(super) fn same_bytes(a: Bytes<'_>, b: Bytes<'_>, monitor: &dyn Monitor) -> Result<bool> {
    match (a, b) {
        (Bytes::Stored(a), Bytes::Stored(b)) => comparison::same_bytes(a, b, &|| monitor.is_cancelled()),
        (Bytes::Stored(stored), Bytes::Live(file)) | (Bytes::Live(file), Bytes::Stored(stored)) => {
            if stored.content.size != file.size {
                return Ok(false);
            }
            same_as_live(PieceStream::new(stored), file, monitor)
        }
        (Bytes::Live(a), Bytes::Live(b)) => {
            if a.size != b.size {
                return Ok(false);
            }
            same_live(a, b, monitor)
        }
    }
}

fn go_on(monitor: &dyn Monitor) -> Result<()> {
    if monitor.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
}

/// A live file and a stored content of its size.
fn same_as_live(mut stored: PieceStream<'_>, mut file: LiveFile, monitor: &dyn Monitor) -> Result<bool> {
    let mut buffer = Vec::new();
    let mut at = 0u64;
    while let Some(piece) = stored.next_piece()? {
        go_on(monitor)?;
        let same = match piece.source {
            PieceSource::Hole => file.is_zero(at, piece.length, &mut buffer, monitor)?,
            _ => same_piece_as_live(&stored, &piece, &file, at, &mut buffer, monitor)?,
        };
        if !same {
            return Ok(false);
        }
        at = at.saturating_add(piece.length);
        stored.take(piece.length);
    }
    if at == file.size { Ok(true) } else { Err(ends_early()) }
}

fn same_piece_as_live(
    stored: &PieceStream<'_>,
    piece: &Piece<'_>,
    file: &LiveFile,
    at: u64,
    buffer: &mut Vec<u8>,
    monitor: &dyn Monitor,
) -> Result<bool> {
    // Most pieces are whole chunks: their ids tell, and the chunks need not be read. Longer ones do not exist today.
    if let (PieceSource::Chunk { id, offset: 0 }, 0..=HASHED_MAX_BYTES) = (piece.source, piece.length) {
        file.read(at, piece.length as usize, buffer, monitor)?;
        if ChunkId::of(buffer) == id {
            return Ok(true);
        }
    }
    stored.with_bytes(piece, piece.length, |bytes| {
        let mut at = at;
        for part in bytes.unwrap_or_default().chunks(READ_BYTES) {
            file.read(at, part.len(), buffer, monitor)?;
            if buffer != part {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    })
}

/// Two live files of one size.
fn same_live(mut a: LiveFile, mut b: LiveFile, monitor: &dyn Monitor) -> Result<bool> {
    let (mut bytes, mut others) = (Vec::new(), Vec::new());
    let mut at = 0u64;
    loop {
        go_on(monitor)?;
        at = a.data_from(at)?.min(b.data_from(at)?);
        let left = a.size.saturating_sub(at);
        if left == 0 {
            return Ok(true);
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
        a.read(at, length, &mut bytes, monitor)?;
        b.read(at, length, &mut others, monitor)?;
        if bytes != others {
            return Ok(false);
        }
        at += length as u64;
    }
}

/// An open regular file.
pub(super) struct LiveFile {
    file: OwnedFd,
    size: u64,
    /// The last answer of [`LiveFile::data_from`]: between these two places there is no data.
    known_hole: (u64, u64),
}

impl LiveFile {
    pub fn new(file: OwnedFd, size: u64) -> LiveFile {
        LiveFile { file, size, known_hole: (0, 0) }
    }

    /// The first place at or behind `at` that may hold data; the size where there is none.
    fn data_from(&mut self, at: u64) -> Result<u64> {
        let (from, to) = self.known_hole;
        if (from..to).contains(&at) {
            return Ok(to);
        }
        if at >= self.size {
            return Ok(self.size);
        }
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => data.clamp(at, self.size),
            Err(Errno::NXIO) => self.size,
            // The filesystem does not know holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(Error::io("find data", "")(errno.into())),
        };
        self.known_hole = (at, data);
        Ok(data)
    }

    /// Fills `buffer` with `length` bytes from `at` on.
    fn read(&self, at: u64, length: usize, buffer: &mut Vec<u8>, monitor: &dyn Monitor) -> Result<()> {
        buffer.resize(length, 0);
        let filled =
            read_full_at(self.file.as_fd(), buffer, at).map_err(|errno| Error::io("read", "")(errno.into()))?;
        if filled < length {
            let cause = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it became shorter meanwhile");
            return Err(Error::io("read", "")(cause));
        }
        Counters::add(&monitor.counters().bytes_read, length as u64);
        Ok(())
    }

    /// Whether the file holds nothing but zeros in `length` bytes from `at` on.
    fn is_zero(&mut self, at: u64, length: u64, buffer: &mut Vec<u8>, monitor: &dyn Monitor) -> Result<bool> {
        let end = at.saturating_add(length);
        let mut at = at;
        loop {
            go_on(monitor)?;
            at = self.data_from(at)?;
            if at >= end {
                return Ok(true);
            }
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
            self.read(at, length, buffer, monitor)?;
            if !is_zero(buffer) {
                return Ok(false);
            }
            at += length as u64;
        }
    }
}
