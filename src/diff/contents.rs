//! Whether two files hold the same bytes: from stored extents without reading what they share, from live files by
//! reading them. Holes are zeros. Ends at the first difference; memory is bounded by two chunks.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::progress::{Counters, Monitor};
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::page::PageKind;
use crate::repository::page_cursor::{Head, PageCursor};
use crate::store::ChunkStore;

/// Live files are read in pieces of this many bytes.
const READ_BYTES: usize = 256 << 10;

/// Pieces of a live file up to this long are read at once, to be compared with a chunk by its id.
const HASHED_MAX_BYTES: u64 = 1 << 20;

/// One of the two files.
pub(super) enum Bytes<'x> {
    Stored { chunks: &'x ChunkStore, content: &'x Content },
    Live(LiveFile),
}

/// Whether both hold the same bytes.
///
/// # Errors
/// Those of reading; [`Error::Interrupted`].
pub(super) fn same_bytes(a: Bytes<'_>, b: Bytes<'_>, monitor: &dyn Monitor) -> Result<bool> {
    match (a, b) {
        (Bytes::Stored { chunks, content }, Bytes::Stored { chunks: other_chunks, content: other }) => {
            if content.size != other.size {
                return Ok(false);
            }
            same_stored(ExtentStream::new(chunks, content), ExtentStream::new(other_chunks, other), monitor)
        }
        (Bytes::Stored { chunks, content }, Bytes::Live(file))
        | (Bytes::Live(file), Bytes::Stored { chunks, content }) => {
            if content.size != file.size {
                return Ok(false);
            }
            same_as_live(ExtentStream::new(chunks, content), file, monitor)
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

/// A stretch of a stored content that has one source.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Piece<'x> {
    length: u64,
    source: PieceSource<'x>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PieceSource<'x> {
    Hole,
    Chunk { id: ChunkId, offset: u64 },
    Inline(&'x [u8]),
}

impl<'x> Piece<'x> {
    fn of(extent: Extent) -> Piece<'x> {
        let source = match extent.source {
            ExtentSource::Hole => PieceSource::Hole,
            ExtentSource::Chunk { id, offset } => PieceSource::Chunk { id, offset: u64::from(offset) },
        };
        Piece { length: extent.length, source }
    }

    /// What is left behind the first `taken` bytes.
    fn behind(self, taken: u64) -> Option<Piece<'x>> {
        let length = self.length.checked_sub(taken).filter(|length| *length > 0)?;
        let source = match self.source {
            PieceSource::Hole => PieceSource::Hole,
            PieceSource::Chunk { id, offset } => PieceSource::Chunk { id, offset: offset.saturating_add(taken) },
            PieceSource::Inline(bytes) => PieceSource::Inline(bytes.get(usize::try_from(taken).ok()?..)?),
        };
        Some(Piece { length, source })
    }
}

/// A stored content from its beginning to its end, piece by piece or page by page.
struct ExtentStream<'x> {
    chunks: &'x ChunkStore,
    /// What is left of the piece that was begun.
    begun: Option<Piece<'x>>,
    rest: Rest<'x>,
}

enum Rest<'x> {
    List(std::slice::Iter<'x, Extent>),
    Tree(PageCursor<'x>),
}

/// What a stream stands at.
enum Next<'x> {
    End,
    /// An unread page of extents, and its level where that is known.
    Page(ChunkId, Option<u8>),
    Piece(Piece<'x>),
}

impl<'x> ExtentStream<'x> {
    fn new(chunks: &'x ChunkStore, content: &'x Content) -> ExtentStream<'x> {
        let (begun, rest) = match &content.body {
            ContentBody::Inline(bytes) => {
                let whole = Piece { length: bytes.len() as u64, source: PieceSource::Inline(bytes) };
                (Some(whole).filter(|piece| piece.length > 0), Rest::List([].iter()))
            }
            ContentBody::Extents(extents) => (None, Rest::List(extents.iter())),
            ContentBody::Tree { page, .. } => {
                (None, Rest::Tree(PageCursor::new(chunks, PageKind::Content, Some(*page))))
            }
        };
        ExtentStream { chunks, begun, rest }
    }

    fn next(&mut self) -> Result<Next<'x>> {
        if let Some(piece) = self.begun {
            return Ok(Next::Piece(piece));
        }
        let piece = match &mut self.rest {
            Rest::List(extents) => extents.next().copied().map(Piece::of),
            Rest::Tree(cursor) => match cursor.head()? {
                Head::End => None,
                Head::Page(page) => return Ok(Next::Page(page.id, page.level)),
                Head::Entry => {
                    let extent = cursor.entry().map(|(page, at)| page.value(at, Extent::decode)).transpose()?;
                    cursor.pass();
                    extent.map(Piece::of)
                }
            },
        };
        self.begun = piece;
        Ok(piece.map_or(Next::End, Next::Piece))
    }

    /// The next piece, whatever pages have to be read for it.
    fn next_piece(&mut self) -> Result<Option<Piece<'x>>> {
        loop {
            match self.next()? {
                Next::End => return Ok(None),
                Next::Page(..) => self.open()?,
                Next::Piece(piece) => return Ok(Some(piece)),
            }
        }
    }

    fn open(&mut self) -> Result<()> {
        match &mut self.rest {
            Rest::Tree(cursor) => cursor.open(),
            Rest::List(_) => Ok(()),
        }
    }

    /// Passes over the page that the stream stands at.
    fn pass_page(&mut self) {
        if let Rest::Tree(cursor) = &mut self.rest {
            cursor.pass();
        }
    }

    /// Goes on by `taken` bytes of the piece that the stream stands at.
    fn take(&mut self, taken: u64) {
        self.begun = self.begun.and_then(|piece| piece.behind(taken));
    }

    /// The first `length` bytes of a piece, at hand for `use_bytes`; `None` for a hole.
    fn with_bytes<T>(
        &self,
        piece: &Piece<'_>,
        length: u64,
        use_bytes: impl FnOnce(Option<&[u8]>) -> Result<T>,
    ) -> Result<T> {
        let part = |bytes: &[u8], offset: u64| {
            let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
            range.and_then(|(offset, length)| Some((offset, bytes.get(offset..)?.get(..length)?.len())))
        };
        match piece.source {
            PieceSource::Hole => use_bytes(None),
            PieceSource::Inline(bytes) => match part(bytes, 0) {
                Some((from, count)) => use_bytes(Some(&bytes[from..from + count])),
                None => Err(ends_early()),
            },
            PieceSource::Chunk { id, offset } => {
                let chunk = self.chunks.get(&id)?;
                match part(&chunk, offset) {
                    Some((from, count)) => use_bytes(Some(&chunk[from..from + count])),
                    None => Err(Error::corrupt(format!("an extent of chunk {id}"), "it reaches beyond the chunk")),
                }
            }
        }
    }
}

fn ends_early() -> Error {
    Error::corrupt("a content", "its extents do not add up to its size")
}

/// Two stored contents of one size. Both streams always stand at the same byte.
fn same_stored(mut a: ExtentStream<'_>, mut b: ExtentStream<'_>, monitor: &dyn Monitor) -> Result<bool> {
    loop {
        go_on(monitor)?;
        match (a.next()?, b.next()?) {
            (Next::End, Next::End) => return Ok(true),
            (Next::Page(page, _), Next::Page(other, _)) if page == other => {
                a.pass_page();
                b.pass_page();
            }
            // The higher one first: what is below it may equal the lower one. Of a root the level is not known.
            (Next::Page(_, Some(level)), Next::Page(_, other)) if other.is_none_or(|other| level < other) => {
                b.open()?
            }
            (Next::Page(..), _) => a.open()?,
            (_, Next::Page(..)) => b.open()?,
            (Next::Piece(piece), Next::Piece(other)) => {
                let length = piece.length.min(other.length);
                if piece.source != other.source && !same_pieces(&a, &piece, &b, &other, length)? {
                    return Ok(false);
                }
                a.take(length);
                b.take(length);
            }
            (Next::End, Next::Piece(_)) | (Next::Piece(_), Next::End) => return Err(ends_early()),
        }
    }
}

fn same_pieces(
    a: &ExtentStream<'_>,
    piece: &Piece<'_>,
    b: &ExtentStream<'_>,
    other: &Piece<'_>,
    length: u64,
) -> Result<bool> {
    a.with_bytes(piece, length, |bytes| {
        b.with_bytes(other, length, |others| {
            Ok(match (bytes, others) {
                (Some(bytes), Some(others)) => bytes == others,
                (Some(bytes), None) | (None, Some(bytes)) => is_zero(bytes),
                (None, None) => true,
            })
        })
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A live file and a stored content of its size.
fn same_as_live(mut stored: ExtentStream<'_>, mut file: LiveFile, monitor: &dyn Monitor) -> Result<bool> {
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
    stored: &ExtentStream<'_>,
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
        let mut filled = 0;
        while filled < length {
            match rustix::io::pread(self.file.as_fd(), &mut buffer[filled..], at + filled as u64) {
                Ok(0) => {
                    let cause = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it became shorter meanwhile");
                    return Err(Error::io("read", "")(cause));
                }
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("read", "")(errno.into())),
            }
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
