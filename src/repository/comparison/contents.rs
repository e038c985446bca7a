//! Whether two stored files hold the same bytes, told from their extents without reading what they share. Holes are zeros.
//! Ends at the first difference; memory is bounded by two chunks.

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::page::PageKind;
use crate::repository::page_cursor::{Head, PageCursor};
use crate::store::ChunkStore;

/// A stored content and where its chunks are.
#[derive(Clone, Copy)]
pub struct StoredBytes<'x> {
    pub chunks: &'x ChunkStore,
    pub content: &'x Content,
}

/// Whether both hold the same bytes.
///
/// # Errors
/// Those of reading; [`Error::Interrupted`] once `is_cancelled`.
pub fn same_bytes(a: StoredBytes<'_>, b: StoredBytes<'_>, is_cancelled: &dyn Fn() -> bool) -> Result<bool> {
    if a.content.size != b.content.size {
        return Ok(false);
    }
    if a.content.body == b.content.body {
        return Ok(true);
    }
    same_pieces(PieceStream::new(a), PieceStream::new(b), is_cancelled)
}

/// Whether what these extents list is what `content` holds, which is of their size.
///
/// # Errors
/// Those of reading.
pub fn same_as_extents<'x>(
    extents: impl Iterator<Item = Result<Extent>> + 'x,
    content: StoredBytes<'x>,
) -> Result<bool> {
    let listed = PieceStream { chunks: content.chunks, begun: None, rest: Rest::Coming(Box::new(extents)) };
    same_pieces(listed, PieceStream::new(content), &|| false)
}

/// A stretch of a stored content that has one source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'x> {
    pub length: u64,
    pub source: PieceSource<'x>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceSource<'x> {
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
pub(crate) struct PieceStream<'x> {
    chunks: &'x ChunkStore,
    /// What is left of the piece that was begun.
    begun: Option<Piece<'x>>,
    rest: Rest<'x>,
}

enum Rest<'x> {
    List(std::slice::Iter<'x, Extent>),
    Coming(Box<dyn Iterator<Item = Result<Extent>> + 'x>),
    Tree(PageCursor<'x>),
}

/// What a stream stands at.
enum Next<'x> {
    End,
    /// An unread page of extents, and its level where that is known.
    Page(ChunkId, Option<u8>),
    Piece(Piece<'x>),
}

impl<'x> PieceStream<'x> {
    pub fn new(StoredBytes { chunks, content }: StoredBytes<'x>) -> PieceStream<'x> {
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
        PieceStream { chunks, begun, rest }
    }

    fn next(&mut self) -> Result<Next<'x>> {
        if let Some(piece) = self.begun {
            return Ok(Next::Piece(piece));
        }
        let piece = match &mut self.rest {
            Rest::List(extents) => extents.next().copied().map(Piece::of),
            Rest::Coming(extents) => extents.next().transpose()?.map(Piece::of),
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
    pub fn next_piece(&mut self) -> Result<Option<Piece<'x>>> {
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
            Rest::List(_) | Rest::Coming(_) => Ok(()),
        }
    }

    /// Passes over the page that the stream stands at.
    fn pass_page(&mut self) {
        if let Rest::Tree(cursor) = &mut self.rest {
            cursor.pass();
        }
    }

    /// Goes on by `taken` bytes of the piece that the stream stands at.
    pub fn take(&mut self, taken: u64) {
        self.begun = self.begun.and_then(|piece| piece.behind(taken));
    }

    /// Whether a piece is all of a chunk, whose id then tells its bytes from others unread.
    fn is_whole_chunk(&self, piece: &Piece<'_>) -> Result<bool> {
        let PieceSource::Chunk { id, offset: 0 } = piece.source else { return Ok(false) };
        let location = self.chunks.locate(&id)?;
        Ok(location.is_some_and(|location| u64::from(location.plain_bytes) == piece.length))
    }

    /// The first `length` bytes of a piece, at hand for `use_bytes`; `None` for a hole.
    pub fn with_bytes<T>(
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

pub(crate) fn ends_early() -> Error {
    Error::corrupt("a content", "its extents do not add up to its size")
}

/// Two contents of one size. Both streams always stand at the same byte.
fn same_pieces(mut a: PieceStream<'_>, mut b: PieceStream<'_>, is_cancelled: &dyn Fn() -> bool) -> Result<bool> {
    loop {
        if is_cancelled() {
            return Err(Error::Interrupted);
        }
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
                if piece.source != other.source {
                    let differ =
                        piece.length == other.length && a.is_whole_chunk(&piece)? && b.is_whole_chunk(&other)?;
                    if differ || !same_start(&a, &piece, &b, &other, length)? {
                        return Ok(false);
                    }
                }
                a.take(length);
                b.take(length);
            }
            (Next::End, Next::Piece(_)) | (Next::Piece(_), Next::End) => return Err(ends_early()),
        }
    }
}

/// The first `length` bytes of two pieces.
fn same_start(
    a: &PieceStream<'_>,
    piece: &Piece<'_>,
    b: &PieceStream<'_>,
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

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
