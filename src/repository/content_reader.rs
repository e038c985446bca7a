//! ContentReader: any range of a content, and where its holes are; reads O(log n) pages to get there.

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::page::{Page, PageKind};
use crate::store::ChunkStore;

/// Chunks that are fetched at a time: a megabyte of a file cut into small ones.
const FETCH_CHUNKS: usize = 64;

/// Reads up to this long hardly need two chunks, which are not worth fetching together.
const FETCH_MIN_BYTES: usize = 16 << 10;

/// Bytes of a piece.
const PIECE_BYTES: usize = 512 << 10;

/// Pages that are fetched at a time where all of a content's lie under one: a few reads bring them all, and then a read
/// anywhere costs no page. Longer contents do not gain by it.
const FETCH_PAGES: u32 = 32;

/// What a seek looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    Data,
    Hole,
}

/// An extent and where it begins in its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedExtent {
    pub start: u64,
    pub extent: Extent,
}

impl PlacedExtent {
    /// Where the next one begins.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.extent.length)
    }
}

/// How far a read came.
enum Reached {
    End,
    /// What stands there is missing.
    Missing(u64),
}

/// Reads contents.
#[derive(Clone, Copy)]
pub struct ContentReader<'a> {
    chunks: &'a ChunkStore,
}

impl<'a> ContentReader<'a> {
    pub fn new(chunks: &'a ChunkStore) -> ContentReader<'a> {
        ContentReader { chunks }
    }

    pub(super) fn chunks(&self) -> &'a ChunkStore {
        self.chunks
    }

    /// Appends bytes `offset..offset + length` of the content to `out`; fewer only where the content ends.
    pub fn read(&self, content: &Content, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        if length > FETCH_MIN_BYTES {
            self.prefetch(content, offset, length as u64)?;
        }
        let extents = self.extents_from(content, offset);
        match self.read_through(content, offset, length, out, extents, |id| self.chunks.get(id).map(Some))? {
            Reached::End => Ok(()),
            Reached::Missing(at) => content.check_end(at),
        }
    }

    /// Gives the bytes from `offset` on, piece by piece: each call appends some to what it is given, false at the end.
    pub fn pieces(self, content: &'a Content, offset: u64) -> impl FnMut(&mut Vec<u8>) -> Result<bool> + 'a {
        let mut at = offset;
        move |out| {
            let before = out.len();
            self.read(content, at, PIECE_BYTES, out)?;
            at += (out.len() - before) as u64;
            Ok(out.len() > before)
        }
    }

    /// As [`ContentReader::read`], but only as far as everything is in memory, the pages that tell the extents too: false where that
    /// is not all of it.
    pub fn read_cached(&self, content: &Content, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<bool> {
        let extents = Extents { at_hand_only: true, ..self.extents_from(content, offset) };
        let fetch = |id: &ChunkId| Ok(self.chunks.get_cached(id));
        Ok(matches!(self.read_through(content, offset, length, out, extents, fetch)?, Reached::End))
    }

    /// Appends what `extents` cover and `fetch` brings, until one brings nothing.
    fn read_through(
        &self,
        content: &Content,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
        extents: Extents<'_>,
        fetch: impl Fn(&ChunkId) -> Result<Option<std::sync::Arc<[u8]>>>,
    ) -> Result<Reached> {
        let end = content.size.min(offset.saturating_add(length as u64));
        if offset >= end {
            return Ok(Reached::End);
        }
        if let ContentBody::Inline(bytes) = &content.body {
            out.extend_from_slice(&bytes[offset as usize..end as usize]);
            return Ok(Reached::End);
        }
        let mut at = offset;
        for placed in extents {
            let PlacedExtent { start, extent } = placed?;
            let taken = (end - at).min(start.saturating_add(extent.length) - at);
            match extent.source {
                ExtentSource::Hole => out.resize(out.len() + taken as usize, 0),
                ExtentSource::Chunk { id, offset: within } => {
                    let Some(chunk) = fetch(&id)? else { return Ok(Reached::Missing(at)) };
                    let from = u64::from(within) + (at - start);
                    out.extend_from_slice(part_of(&id, &chunk, from, taken)?);
                }
            }
            at += taken;
            if at == end {
                return Ok(Reached::End);
            }
        }
        Ok(Reached::Missing(at))
    }

    /// Brings the chunks under a range into the cache.
    pub fn prefetch(&self, content: &Content, offset: u64, length: u64) -> Result<()> {
        let end = offset.saturating_add(length).min(content.size);
        let mut extents = self.extents_from(content, offset);
        let mut at = offset;
        while at < end {
            let mut ids = Vec::with_capacity(FETCH_CHUNKS);
            while at < end && ids.len() < FETCH_CHUNKS {
                let Some(placed) = extents.next() else { break };
                let PlacedExtent { start, extent } = placed?;
                ids.extend(extent.chunk());
                at = start.saturating_add(extent.length);
            }
            if ids.is_empty() {
                return Ok(());
            }
            self.chunks.fetch(&ids)?;
        }
        Ok(())
    }

    /// Brings the chunks of whole contents, all of them small, into the cache.
    pub fn prefetch_small<'c>(&self, contents: impl Iterator<Item = &'c Content>) -> Result<()>
    where
        'a: 'c,
    {
        let mut ids = Vec::new();
        for placed in contents.flat_map(|content| self.extents_from(content, 0)) {
            ids.extend(placed?.extent.chunk());
        }
        self.chunks.fetch(&ids)
    }

    /// The extents that cover the content from byte `offset` on.
    pub fn extents_from<'c>(&self, content: &'c Content, offset: u64) -> Extents<'c>
    where
        'a: 'c,
    {
        let walk = match &content.body {
            ContentBody::Inline(_) => ExtentWalk::Done,
            ContentBody::Extents(list) => ExtentWalk::List { list, at: 0, start: 0 },
            ContentBody::Tree { page, .. } => ExtentWalk::Seek { root: *page },
        };
        Extents { chunks: self.chunks, offset, at_hand_only: false, walk }
    }

    /// The first byte at or after `offset` that is data (or is in a hole; the end of the file counts as one), as
    /// `lseek(2)` tells it; `None` where `offset` is at or behind the end, or no data follows.
    pub fn seek(&self, content: &Content, offset: u64, what: Seek) -> Result<Option<u64>> {
        if offset >= content.size {
            return Ok(None);
        }
        let end = if what == Seek::Hole { Some(content.size) } else { None };
        if matches!(content.body, ContentBody::Inline(_)) {
            return Ok(end.or(Some(offset)));
        }
        for placed in self.extents_from(content, offset) {
            let PlacedExtent { start, extent } = placed?;
            if matches!(extent.source, ExtentSource::Hole) == (what == Seek::Hole) {
                return Ok(Some(start.max(offset)));
            }
        }
        Ok(end)
    }
}

/// Bytes `from..from + length` of a chunk.
pub fn part_of<'b>(id: &ChunkId, chunk: &'b [u8], from: u64, length: u64) -> Result<&'b [u8]> {
    let range = usize::try_from(from).ok().zip(usize::try_from(length).ok());
    let part = range.and_then(|(from, length)| chunk.get(from..)?.get(..length));
    part.ok_or_else(|| Error::corrupt(format!("an extent of chunk {id}"), "it reaches beyond the chunk"))
}

/// Iterator over extents; see [`ContentReader::extents_from`].
pub struct Extents<'c> {
    chunks: &'c ChunkStore,
    offset: u64,
    /// It ends before a page that is not in memory.
    at_hand_only: bool,
    walk: ExtentWalk<'c>,
}

enum ExtentWalk<'c> {
    List { list: &'c [Extent], at: usize, start: u64 },
    Seek { root: ChunkId },
    Tree { stack: Vec<(Page, u32)>, start: u64 },
    Done,
}

impl Extents<'_> {
    fn advance(&mut self) -> Result<Option<PlacedExtent>> {
        if let ExtentWalk::Seek { root } = self.walk {
            let Some(root) = open_page(self.chunks, root, self.at_hand_only)? else { return Ok(None) };
            self.walk = ExtentWalk::Tree { stack: vec![(root, 0)], start: 0 };
        }
        loop {
            let placed = match &mut self.walk {
                ExtentWalk::List { list, at, start } => {
                    let Some(extent) = list.get(*at) else { return Ok(None) };
                    *at += 1;
                    let placed = PlacedExtent { start: *start, extent: *extent };
                    *start = start.saturating_add(extent.length);
                    placed
                }
                _ => match self.advance_in_tree()? {
                    Some(placed) => placed,
                    None => return Ok(None),
                },
            };
            if placed.end() > self.offset {
                return Ok(Some(placed));
            }
        }
    }

    /// The next extent of a tree; whole pages before the wanted offset are passed by their totals.
    fn advance_in_tree(&mut self) -> Result<Option<PlacedExtent>> {
        let ExtentWalk::Tree { stack, start } = &mut self.walk else { return Ok(None) };
        loop {
            let is_root = stack.len() == 1;
            let Some((page, at)) = stack.last_mut() else { return Ok(None) };
            if *at == page.len() {
                stack.pop();
                continue;
            }
            let here = *at;
            *at += 1;
            if page.level() == 0 {
                let extent = page.value(here, Extent::decode)?;
                let placed = PlacedExtent { start: *start, extent };
                let overflow = || page.corrupt("its extents are longer than any file");
                *start = start.checked_add(extent.length).ok_or_else(overflow)?;
                return Ok(Some(placed));
            }
            let child = page.child(here)?;
            let behind = start.saturating_add(child.totals.bytes);
            if behind <= self.offset {
                *start = behind;
                continue;
            }
            if is_root && page.level() == 1 && !self.at_hand_only {
                fetch_pages_beside(self.chunks, page, here)?;
            }
            let Some(below) = open_page(self.chunks, child.page, self.at_hand_only)? else { return Ok(None) };
            if below.level() >= page.level() {
                return Err(page.corrupt("a page below it is not of a lower level"));
            }
            stack.push((below, 0));
        }
    }
}

/// A page of extents; `None` where it is not in memory, and must be.
fn open_page(chunks: &ChunkStore, id: ChunkId, at_hand_only: bool) -> Result<Option<Page>> {
    let found = if at_hand_only { chunks.get_cached(&id) } else { Some(chunks.get(&id)?) };
    found.map(|found| Page::open(id, found, PageKind::Content)).transpose()
}

/// Brings the page below entry `at` into the cache together with those beside it, unless it is there.
fn fetch_pages_beside(chunks: &ChunkStore, page: &Page, at: u32) -> Result<()> {
    if chunks.get_cached(&page.child(at)?.page).is_some() {
        return Ok(());
    }
    let first = at - at % FETCH_PAGES;
    let beside = first..page.len().min(first + FETCH_PAGES);
    chunks.fetch(&beside.map(|at| Ok(page.child(at)?.page)).collect::<Result<Vec<_>>>()?)
}

impl Iterator for Extents<'_> {
    type Item = Result<PlacedExtent>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.walk = ExtentWalk::Done;
        }
        next.transpose()
    }
}
