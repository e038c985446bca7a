//! Predecessor: the content that a file had before, beside the one that is being written. It says which chunk probably
//! comes next, so that unchanged data need not be cut, and which chunks a changed one is probably like.

use std::collections::{HashMap, VecDeque};

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{Content, ContentBody, ExtentSource};
use crate::repository::content_reader::{ContentReader, Extents, PlacedExtent};
use crate::repository::page::PageKind;
use crate::repository::page_hint::{Span, pages_at};
use crate::store::{BaseHint, ChunkStore, UseOfBase};

/// Old extents that are kept at hand around the place that is being written.
const BEHIND_BYTES: u64 = 256 << 10;
const AHEAD_BYTES: u64 = 1 << 20;

/// Parts of old chunks that are shorter than this are no use as a base: naming one takes a tenth of it.
const OVERLAP_MIN_BYTES: u64 = 160;

/// A changed chunk ends where an old one ended, if an end is that near: both are cut by what stands there.
const SAME_CUT_WITHIN_BYTES: u64 = 4 << 10;

/// After so many chunks that are not where they were, the old content is searched for them.
const LOST_AFTER_CHUNKS: u32 = 8;

/// The search knows about so many of the old chunks at most: 3 MiB.
const LANDMARKS: u64 = 1 << 15;

/// The previous content of the file that is being written.
pub struct Predecessor<'p> {
    chunks: &'p ChunkStore,
    content: &'p Content,
    extents: Extents<'p>,
    /// Old extents around the present place, in order.
    window: VecDeque<PlacedExtent>,
    /// Where the chunks of the window begin.
    starts: HashMap<ChunkId, u64>,
    /// Old places are new ones plus this.
    shift: i64,
    lost_chunks: u32,
    landmarks: Option<Landmarks>,
}

impl<'p> Predecessor<'p> {
    pub fn new(chunks: &'p ChunkStore, content: &'p Content) -> Predecessor<'p> {
        Predecessor {
            chunks,
            content,
            extents: ContentReader::new(chunks).extents_from(content, 0),
            window: VecDeque::new(),
            starts: HashMap::new(),
            shift: 0,
            lost_chunks: 0,
            landmarks: None,
        }
    }

    fn old_place(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.shift)
    }

    /// The chunk that begins at `at` if nothing has changed, and its length. Only where it was cut by what it holds, not by
    /// the end of the data.
    pub fn predict(&mut self, at: u64) -> Result<Option<(ChunkId, usize)>> {
        let old = self.old_place(at);
        self.move_window(old)?;
        let first = self.window.partition_point(|placed| placed.start < old);
        let (Some(placed), Some(next)) = (self.window.get(first), self.window.get(first + 1)) else { return Ok(None) };
        Ok(match (placed.extent.source, next.extent.source) {
            (ExtentSource::Chunk { id, offset: 0 }, ExtentSource::Chunk { .. }) if placed.start == old => {
                usize::try_from(placed.extent.length).ok().map(|length| (id, length))
            }
            _ => None,
        })
    }

    /// Tells what really stands at `at`: finds out where in the old content the new one goes on.
    pub fn met(&mut self, at: u64, length: u64, id: &ChunkId) -> Result<()> {
        if let Some(&start) = self.starts.get(id) {
            self.shift = start as i64 - at as i64;
            self.lost_chunks = 0;
            return Ok(());
        }
        self.lost_chunks += 1;
        if self.lost_chunks > LOST_AFTER_CHUNKS && self.look_for(at, id)? {
            return Ok(());
        }
        let end = at + length;
        let old = self.old_place(end);
        let behind = self.window.partition_point(|placed| placed.start < old);
        let near = [behind.checked_sub(1), Some(behind)].into_iter().flatten().filter_map(|at| self.window.get(at));
        let nearest = near.map(|placed| placed.start).min_by_key(|start| start.abs_diff(old));
        if let Some(start) = nearest.filter(|start| start.abs_diff(old) <= SAME_CUT_WITHIN_BYTES) {
            self.shift = start as i64 - end as i64;
        }
        Ok(())
    }

    /// The chunks that `at..at + length` is probably like.
    pub fn hint(&self, at: u64, length: u64) -> BaseHint {
        let (from, to) = (self.old_place(at), self.old_place(at + length));
        let overlap = |placed: &PlacedExtent| {
            (placed.start + placed.extent.length).min(to).saturating_sub(placed.start.max(from))
        };
        let enough = OVERLAP_MIN_BYTES.min(length / 2);
        let mut start = None;
        let chunks = self.window.iter().filter(|placed| overlap(placed) > enough).filter_map(|placed| {
            let ExtentSource::Chunk { id, .. } = placed.extent.source else { return None };
            start.get_or_insert(from.saturating_sub(placed.start));
            Some(id)
        });
        let chunks = chunks.collect();
        BaseHint { chunks, start: start.unwrap_or(0) as usize, use_of_base: UseOfBase::Stepped }
    }

    /// The old pages of extents at a level that tell of about the same bytes.
    pub fn page_hint(&self, level: u8, at: u64, length: u64) -> BaseHint {
        let ContentBody::Tree { page, .. } = self.content.body else { return BaseHint::default() };
        let span = Span::Bytes { from: self.old_place(at), to: self.old_place(at + length) };
        BaseHint::chained(pages_at(self.chunks, PageKind::Content, page, level, &span))
    }

    /// Keeps the old extents around `old` at hand.
    fn move_window(&mut self, old: u64) -> Result<()> {
        if self.window.front().is_some_and(|first| first.start > old) {
            self.begin_at(old.saturating_sub(BEHIND_BYTES));
        }
        while self.window.front().is_some_and(|first| first.start + first.extent.length + BEHIND_BYTES <= old) {
            if let Some(PlacedExtent { extent, .. }) = self.window.pop_front()
                && let ExtentSource::Chunk { id, .. } = extent.source
            {
                self.starts.remove(&id);
            }
        }
        while self.window.back().is_none_or(|last| last.start < old + AHEAD_BYTES) {
            let Some(placed) = self.extents.next().transpose()? else { break };
            if let ExtentSource::Chunk { id, offset: 0 } = placed.extent.source {
                self.starts.insert(id, placed.start);
            }
            self.window.push_back(placed);
        }
        Ok(())
    }

    fn begin_at(&mut self, old: u64) {
        self.window.clear();
        self.starts.clear();
        self.extents = ContentReader::new(self.chunks).extents_from(self.content, old);
    }

    /// Looks for a chunk in all of the old content: much was removed or inserted.
    fn look_for(&mut self, at: u64, id: &ChunkId) -> Result<bool> {
        if self.landmarks.is_none() {
            self.landmarks = Some(Landmarks::survey(self.chunks, self.content)?);
        }
        let found = self.landmarks.as_ref().and_then(|landmarks| landmarks.starts.get(id));
        let Some(&start) = found else { return Ok(false) };
        self.shift = start as i64 - at as i64;
        self.lost_chunks = 0;
        self.begin_at(start.saturating_sub(BEHIND_BYTES));
        Ok(true)
    }
}

/// Some of the chunks of a content, spread over all of it.
struct Landmarks {
    starts: HashMap<ChunkId, u64>,
}

impl Landmarks {
    /// Reads the pages of the content; of many chunks those count whose ids end with enough zeros.
    fn survey(chunks: &ChunkStore, content: &Content) -> Result<Landmarks> {
        let extents = if let ContentBody::Tree { totals, .. } = content.body { totals.entries } else { 0 };
        let zeros = (extents / LANDMARKS).checked_ilog2().map_or(0, |zeros| zeros + 1);
        let mut starts = HashMap::new();
        for placed in ContentReader::new(chunks).extents_from(content, 0) {
            let PlacedExtent { start, extent } = placed?;
            if let ExtentSource::Chunk { id, offset: 0 } = extent.source
                && id.0.last_chunk::<8>().is_some_and(|last| u64::from_be_bytes(*last).trailing_zeros() >= zeros)
            {
                starts.insert(id, start);
            }
        }
        Ok(Landmarks { starts })
    }
}
