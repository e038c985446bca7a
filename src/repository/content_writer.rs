//! ContentWriter: turns the bytes of a file, with its holes, into chunks and a list of extents.

use std::collections::VecDeque;
use std::ops::Range;

use crate::codec::Encoder;
use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::{
    CONTENT_INLINE_MAX_BYTES, ChunkClass, Content, ContentBody, EXTENTS_INLINE_MAX, Extent, ExtentSource,
};
use crate::repository::cut_marks::CutMarks;
use crate::repository::node::Totals;
use crate::repository::page::{PageHints, PageKind, PageSink, PageSpan, PageTreeWriter, chunk_boundary};
use crate::repository::predecessor::Predecessor;
use crate::repository::relatives::{FIRST_CHUNKS, RELATIVE_MIN_BYTES, Relatives};
use crate::store::chunker::ChunkSizes;
use crate::store::data_lane::BatchedChunk;
use crate::store::{BaseHint, ChunkBatch, DataLane};

/// Bytes gathered before they are stored: enough that moving the rest to the front costs nothing, and few enough that no
/// thread waits long for another one's batch.
const BATCH_BYTES: usize = 512 << 10;

/// Holes of a batch; each costs a chunk too.
const BATCH_HOLES_MAX: usize = 4096;

impl ChunkClass {
    /// How contents of this class are cut.
    pub fn sizes(self) -> ChunkSizes {
        match self {
            ChunkClass::Small => ChunkSizes::SMALL,
            ChunkClass::Large => ChunkSizes::LARGE,
        }
    }
}

/// Writes one content. Bytes are put into [`ContentWriter::room`], so that they are not copied again.
pub struct ContentWriter<'l, 'w, 'a, 's, S: PageSink + ?Sized> {
    lane: &'l mut DataLane<'w, 'a>,
    content: UnfinishedContent<'s, S>,
}

/// A content that is being written, without the lane that takes its chunks: several can be written by turns on one lane.
pub struct UnfinishedContent<'s, S: PageSink + ?Sized> {
    class: ChunkClass,
    /// The class is that of what is cut first.
    awaits_class: bool,
    /// What the file held before.
    predecessor: Option<Predecessor<'s>>,
    /// Where one is looked for that has no predecessor.
    relatives: Option<&'s Relatives<'s>>,
    /// Where else it is cut than by its bytes.
    marks: CutMarks,
    /// Where in the content the bytes begin that are not cut yet.
    at: u64,
    /// Its buffer is full-sized from the first byte on.
    batch: ChunkBatch,
    filled: usize,
    /// Up to here the buffer is cut, into the batch's chunks and these holes.
    cut: usize,
    holes: Holes,
    /// Holes of the batches that the lane has, in order.
    under_way: VecDeque<Holes>,
    extents: ExtentWriter<'s, S>,
}

/// Holes of a batch: how many of its chunks come before each, and its length.
type Holes = Vec<(usize, u64)>;

impl<'s, S: PageSink + ?Sized> UnfinishedContent<'s, S> {
    /// A content of no bytes so far; `previous` is what the file held before.
    pub fn new(pages: &'s S, class: ChunkClass, previous: Option<Predecessor<'s>>) -> Self {
        UnfinishedContent {
            class,
            awaits_class: false,
            predecessor: previous,
            relatives: None,
            marks: CutMarks::default(),
            at: 0,
            batch: ChunkBatch::default(),
            filled: 0,
            cut: 0,
            holes: Holes::new(),
            under_way: VecDeque::new(),
            extents: ExtentWriter::new(pages, class),
        }
    }

    /// The same; without a previous content, what is like its first chunks is taken for one.
    pub fn with_relatives(self, relatives: &'s Relatives<'s>) -> Self {
        UnfinishedContent { relatives: Some(relatives), ..self }
    }

    /// The class is that of what is in the buffer, where it is not known yet.
    fn settle_class(&mut self) {
        if std::mem::take(&mut self.awaits_class) {
            self.class = ChunkClass::of(self.uncut());
            self.extents.class = self.class;
        }
    }

    /// Where else the content is to be cut than by its bytes: marks count from its beginning, and must be set before the bytes
    /// around them are added.
    pub fn marks(&mut self) -> &mut CutMarks {
        &mut self.marks
    }

    /// What is in the buffer and not cut yet.
    fn uncut(&self) -> &[u8] {
        &self.batch.bytes[self.cut..self.filled]
    }

    /// Whether there is too little yet to look for a relative.
    fn awaits_relative(&self) -> bool {
        let looks = self.relatives.is_some() && self.predecessor.is_none() && self.at == 0;
        looks && (self.uncut().len() as u64) < RELATIVE_MIN_BYTES
    }

    /// Cuts what is in the buffer; without `all`, leaves what more bytes could still lengthen.
    fn make_chunks(&mut self, all: bool) {
        self.settle_class();
        if let Some(relatives) = self.relatives.take().filter(|_| self.predecessor.is_none() && self.at == 0) {
            self.predecessor = self.look_for_relative(relatives);
        }
        let needed = if all { 1 } else { self.class.sizes().max_bytes };
        while self.filled - self.cut >= needed {
            let chunk = self.next_chunk();
            self.cut = chunk.range.end;
            self.at += chunk.range.len() as u64;
            self.batch.chunks.push(chunk);
        }
    }

    fn look_for_relative(&self, relatives: &'s Relatives<'s>) -> Option<Predecessor<'s>> {
        let mut rest = self.uncut();
        if (rest.len() as u64) < RELATIVE_MIN_BYTES || relatives.is_empty() {
            return None;
        }
        let (mut first, mut at) = (Vec::new(), self.at);
        while first.len() < FIRST_CHUNKS && rest.len() >= self.class.sizes().max_bytes {
            let (chunk, behind) = rest.split_at(self.marks.first_cut(at, rest, self.class.sizes()));
            first.push(ChunkId::of(chunk));
            at += chunk.len() as u64;
            rest = behind;
        }
        relatives.find(&first)
    }

    /// The chunk that comes next in the buffer. Without an old content it is left to others to hash it.
    fn next_chunk(&mut self) -> BatchedChunk {
        self.marks.forget_before(self.at);
        let rest = &self.batch.bytes[self.cut..self.filled];
        let first_cut = || self.marks.first_cut(self.at, rest, self.class.sizes());
        let beside = self.predecessor.as_mut().map(|previous| cut_beside(previous, self.at, rest, first_cut));
        let chunk = beside.and_then(|chunk| {
            chunk.inspect_err(|error| log::warn!("going on without the last version of a file: {error}")).ok()
        });
        if chunk.is_none() {
            self.predecessor = None;
        }
        let mut chunk = chunk.unwrap_or_else(|| BatchedChunk::new(0..first_cut(), None, false, BaseHint::default()));
        chunk.range = self.cut..self.cut + chunk.range.end;
        chunk
    }

    fn push(&mut self, extent: Extent) -> Result<()> {
        self.extents.push(extent, &page_hints(&self.predecessor))
    }
}

impl<'l, 'w, 'a, 's, S: PageSink + ?Sized> ContentWriter<'l, 'w, 'a, 's, S> {
    /// A writer of one content; `previous` is what the file held before.
    pub fn new(
        lane: &'l mut DataLane<'w, 'a>,
        pages: &'s S,
        class: ChunkClass,
        previous: Option<Predecessor<'s>>,
    ) -> Self {
        ContentWriter::go_on(lane, UnfinishedContent::new(pages, class, previous))
    }

    /// The same; without a previous content, what is like its first chunks is taken for one.
    pub fn with_relatives(self, relatives: &'s Relatives<'s>) -> Self {
        ContentWriter { content: self.content.with_relatives(relatives), ..self }
    }

    /// The same; its first bytes tell its class.
    pub fn of_class_of_first_bytes(mut self) -> Self {
        self.content.awaits_class = true;
        self
    }

    /// Goes on with a content.
    pub fn go_on(lane: &'l mut DataLane<'w, 'a>, mut content: UnfinishedContent<'s, S>) -> Self {
        if content.under_way.is_empty() {
            lane.begin();
        }
        if content.filled > 0 && content.batch.bytes.len() < BATCH_BYTES {
            content.batch = batch_of(lane, &content.batch.bytes);
        }
        ContentWriter { lane, content }
    }

    /// Leaves off, where nobody else takes the lane before the content goes on.
    pub fn leave(self) -> UnfinishedContent<'s, S> {
        self.content
    }

    /// Leaves off, so that the lane can take another content. Of the data of this one only what is too short for a chunk is
    /// kept meanwhile, or for looking for a relative.
    pub fn pause(mut self) -> Result<UnfinishedContent<'s, S>> {
        if !self.content.awaits_relative() {
            self.content.make_chunks(false);
        }
        if self.content.cut > 0 || !self.content.holes.is_empty() {
            self.ship()?;
        }
        self.collect(true)?;
        let rest = self.content.uncut().to_vec();
        let batch = std::mem::replace(&mut self.content.batch, ChunkBatch::new(rest, Vec::new()));
        self.lane.give_back(batch);
        Ok(self.content)
    }

    /// Where the next bytes belong; never empty. [`ContentWriter::advance`] tells how many came.
    pub fn room(&mut self) -> &mut [u8] {
        if self.content.batch.bytes.is_empty() {
            self.content.batch = batch_of(self.lane, &[]);
        }
        &mut self.content.batch.bytes[self.content.filled..]
    }

    /// The same, and where else the content is to be cut than by its bytes: marks count from its beginning, and must be set
    /// before the bytes around them are added.
    pub fn room_and_marks(&mut self) -> (&mut [u8], &mut CutMarks) {
        self.room();
        (&mut self.content.batch.bytes[self.content.filled..], &mut self.content.marks)
    }

    /// Where else the content is to be cut than by its bytes, as [`ContentWriter::room_and_marks`] tells it.
    pub fn marks(&mut self) -> &mut CutMarks {
        self.content.marks()
    }

    /// Adds the first `count` bytes of the room.
    pub fn advance(&mut self, count: usize) -> Result<()> {
        self.content.filled += count;
        if self.content.filled < self.content.batch.bytes.len() {
            return Ok(());
        }
        self.content.make_chunks(false);
        self.ship()
    }

    /// How many bytes [`ContentWriter::take_buffer`] needs before what is in the buffer. What is uncut now is cut later, when there is
    /// more to find a relative by.
    pub fn headroom_bytes(&self) -> usize {
        let (known, any) = (self.content.class.sizes(), ChunkClass::Large.sizes());
        let left_uncut = if self.content.awaits_class { any.max_bytes } else { known.max_bytes };
        left_uncut.max(self.content.uncut().len().min(BATCH_BYTES))
    }

    /// Adds the bytes in this range of a buffer, which begins behind so many others that mean nothing, by taking the buffer in place
    /// of the one that it gives.
    pub fn take_buffer(&mut self, buffer: Vec<u8>, range: Range<usize>) -> Result<Vec<u8>> {
        let content = &self.content;
        if content.uncut().len() > range.start || !content.batch.chunks.is_empty() || !content.holes.is_empty() {
            self.content.make_chunks(false);
            self.ship()?;
        }
        let content = &mut self.content;
        let before = std::mem::replace(&mut content.batch.bytes, buffer);
        let rest = &before[content.cut..content.filled];
        let start = range.start - rest.len();
        content.batch.bytes[start..range.start].copy_from_slice(rest);
        (content.cut, content.filled) = (start, range.end);
        content.make_chunks(false);
        self.ship()?;
        Ok(before)
    }

    /// Adds data that lies elsewhere.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.advance(count)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Adds a hole of `length` bytes; 0 is none.
    pub fn hole(&mut self, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.content.make_chunks(true);
        self.content.holes.push((self.content.batch.chunks.len(), length));
        self.content.at += length;
        if self.content.holes.len() == BATCH_HOLES_MAX { self.ship() } else { Ok(()) }
    }

    /// Gives what was cut to the lane, and goes on in a new batch with the rest.
    fn ship(&mut self) -> Result<()> {
        let content = &mut self.content;
        let next = match content.uncut() {
            [] => ChunkBatch::default(),
            rest => batch_of(self.lane, rest),
        };
        content.filled -= content.cut;
        content.cut = 0;
        let batch = std::mem::replace(&mut content.batch, next);
        content.under_way.push_back(std::mem::take(&mut content.holes));
        self.lane.submit(batch);
        self.collect(false)
    }

    /// Enters what the lane has stored.
    fn collect(&mut self, all: bool) -> Result<()> {
        while let Some(batch) = self.lane.next_done(all)? {
            let mut holes = self.content.under_way.pop_front().unwrap_or_default().into_iter().peekable();
            for (number, chunk) in batch.chunks.iter().enumerate() {
                while let Some((_, length)) = holes.next_if(|(before, _)| *before <= number) {
                    self.content.push(Extent { length, source: ExtentSource::Hole })?;
                }
                let id = chunk.id.unwrap_or_else(|| ChunkId::of(&batch.bytes[chunk.range.clone()]));
                let source = ExtentSource::Chunk { id, offset: 0 };
                self.content.push(Extent { length: chunk.range.len() as u64, source })?;
            }
            for (_, length) in holes {
                self.content.push(Extent { length, source: ExtentSource::Hole })?;
            }
            self.lane.give_back(batch);
        }
        Ok(())
    }

    /// Ends the content. Few bytes are kept inline.
    pub fn finish(mut self) -> Result<Content> {
        self.content.settle_class();
        let content = &self.content;
        let rest = content.uncut();
        let is_short =
            rest.len() <= CONTENT_INLINE_MAX_BYTES && content.batch.chunks.is_empty() && content.holes.is_empty();
        if is_short && content.extents.is_empty() && content.under_way.is_empty() {
            let size = rest.len() as u64;
            let class = content.class;
            let body = ContentBody::Inline(rest.to_vec());
            self.lane.give_back(self.content.batch);
            return Ok(Content { size, data_bytes: size, class, body });
        }
        self.content.make_chunks(true);
        self.ship()?;
        self.collect(true)?;
        self.content.extents.finish(&page_hints(&self.content.predecessor))
    }
}

/// A full-sized batch that begins with these bytes.
fn batch_of(lane: &mut DataLane, first: &[u8]) -> ChunkBatch {
    let mut batch = lane.batch();
    if batch.bytes.len() < BATCH_BYTES {
        batch.bytes.resize(BATCH_BYTES, 0);
    }
    batch.bytes[..first.len()].copy_from_slice(first);
    batch
}

/// The chunk at `at`. Where the old content predicts it, hashing alone confirms it: the same bytes would be cut at the same
/// place.
fn cut_beside(
    previous: &mut Predecessor,
    at: u64,
    rest: &[u8],
    first_cut: impl FnOnce() -> usize,
) -> Result<BatchedChunk> {
    let predicted = previous.predict(at)?.filter(|(_, length)| *length <= rest.len());
    let hashed = predicted.map(|(id, length)| (length, id, ChunkId::of(&rest[..length])));
    if let Some((length, id, real)) = hashed
        && id == real
    {
        previous.met(at, length as u64, &id)?;
        return Ok(BatchedChunk::new(0..length, Some(id), true, BaseHint::default()));
    }
    let length = first_cut();
    let known = hashed.filter(|(hashed, ..)| *hashed == length).map(|(.., real)| real);
    let id = known.unwrap_or_else(|| ChunkId::of(&rest[..length]));
    let hint = previous.hint(at, length as u64);
    previous.met(at, length as u64, &id)?;
    Ok(BatchedChunk::new(0..length, Some(id), false, hint))
}

/// What pages of the extents of a content may be like, beside what it held before.
pub fn page_hints<'h>(previous: &'h Option<Predecessor>) -> impl Fn(&PageSpan) -> BaseHint + 'h {
    move |span| match previous {
        Some(previous) => previous.page_hint(span.level, span.before.bytes, span.totals.bytes),
        None => BaseHint::default(),
    }
}

/// Writes a list of extents: in the node while they are few, in a tree of pages from then on.
pub struct ExtentWriter<'s, S: PageSink + ?Sized> {
    pages: &'s S,
    class: ChunkClass,
    totals: Totals,
    few: Vec<Extent>,
    few_max: usize,
    tree: Option<PageTreeWriter<'s, S>>,
    scratch: Encoder,
}

impl<'s, S: PageSink + ?Sized> ExtentWriter<'s, S> {
    pub fn new(pages: &'s S, class: ChunkClass) -> Self {
        let (totals, scratch) = (Totals::default(), Encoder::new());
        ExtentWriter { pages, class, totals, few: Vec::new(), few_max: EXTENTS_INLINE_MAX, tree: None, scratch }
    }

    /// Lists up to so many extents in the node.
    pub fn with_few(self, few_max: usize) -> Self {
        ExtentWriter { few_max, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.totals.entries == 0
    }

    /// Adds the next extent.
    pub fn push(&mut self, extent: Extent, hints: &PageHints) -> Result<()> {
        self.totals = self.totals.plus(extent.totals());
        if self.tree.is_none() && self.few.len() < self.few_max {
            self.few.push(extent);
            return Ok(());
        }
        if self.tree.is_none() {
            self.tree = Some(PageTreeWriter::new(self.pages, PageKind::Content));
            for early in std::mem::take(&mut self.few) {
                self.push_to_tree(early, hints)?;
            }
        }
        self.push_to_tree(extent, hints)
    }

    fn push_to_tree(&mut self, extent: Extent, hints: &PageHints) -> Result<()> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        self.scratch.bytes.clear();
        extent.encode(&mut self.scratch);
        let boundary = match extent.source {
            ExtentSource::Hole => 0,
            ExtentSource::Chunk { id, .. } => chunk_boundary(&id),
        };
        tree.push(b"", &self.scratch.bytes, extent.totals(), boundary, hints)
    }

    /// Ends the list.
    pub fn finish(self, hints: &PageHints) -> Result<Content> {
        let body = match self.tree.map(|tree| tree.finish(hints)).transpose()? {
            None => ContentBody::Extents(self.few),
            Some(root) => match root.page {
                Some(page) => ContentBody::Tree { page, totals: root.totals },
                None => ContentBody::Extents(Vec::new()),
            },
        };
        Ok(Content { size: self.totals.bytes, data_bytes: self.totals.data_bytes, class: self.class, body })
    }
}
