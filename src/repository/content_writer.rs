//! ContentWriter: turns the bytes of a file, with its holes, into chunks and a list of extents.

use crate::codec::Encoder;
use crate::error::Result;
use crate::repository::content::{
    CONTENT_INLINE_MAX_BYTES, ChunkClass, Content, ContentBody, EXTENTS_INLINE_MAX, Extent, ExtentSource,
};
use crate::repository::node::Totals;
use crate::repository::page::{PageKind, PageSink, PageTreeWriter, chunk_boundary};
use crate::store::DataLane;
use crate::store::chunker::ChunkSizes;

/// Bytes gathered before they are cut: large enough that moving the rest to the front costs nothing.
const GATHER_BYTES: usize = 1 << 20;

impl ChunkClass {
    /// How contents of this class are cut.
    pub fn sizes(self) -> ChunkSizes {
        match self {
            ChunkClass::Small => ChunkSizes::SMALL,
            ChunkClass::Large => ChunkSizes::LARGE,
        }
    }
}

/// Writes one content.
pub struct ContentWriter<'l, 'w, 'a, 's, S: PageSink + ?Sized> {
    lane: &'l mut DataLane<'w, 'a>,
    class: ChunkClass,
    gathered: Vec<u8>,
    extents: ExtentWriter<'s, S>,
}

impl<'l, 'w, 'a, 's, S: PageSink + ?Sized> ContentWriter<'l, 'w, 'a, 's, S> {
    pub fn new(lane: &'l mut DataLane<'w, 'a>, pages: &'s S, class: ChunkClass) -> Self {
        ContentWriter { lane, class, gathered: Vec::new(), extents: ExtentWriter::new(pages, class) }
    }

    /// Adds data.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHER_BYTES { self.cut(false) } else { Ok(()) }
    }

    /// Adds a hole of `length` bytes; 0 is none.
    pub fn hole(&mut self, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.cut(true)?;
        self.extents.push(Extent { length, source: ExtentSource::Hole })
    }

    /// Cuts and stores what was gathered; without `all`, leaves what more bytes could still lengthen.
    fn cut(&mut self, all: bool) -> Result<()> {
        let sizes = self.class.sizes();
        let needed = if all { 1 } else { sizes.max_bytes };
        let mut rest = &self.gathered[..];
        while rest.len() >= needed {
            let (chunk, after) = rest.split_at(sizes.first_cut(rest));
            let id = self.lane.put(chunk)?;
            let source = ExtentSource::Chunk { id, offset: 0 };
            self.extents.push(Extent { length: chunk.len() as u64, source })?;
            rest = after;
        }
        let left = rest.len();
        let done = self.gathered.len() - left;
        self.gathered.copy_within(done.., 0);
        self.gathered.truncate(left);
        Ok(())
    }

    /// Ends the content. Few bytes are kept inline.
    pub fn finish(mut self) -> Result<Content> {
        if self.extents.is_empty() && self.gathered.len() <= CONTENT_INLINE_MAX_BYTES {
            let size = self.gathered.len() as u64;
            let body = ContentBody::Inline(self.gathered);
            return Ok(Content { size, data_bytes: size, class: self.class, body });
        }
        self.cut(true)?;
        self.extents.finish()
    }
}

/// Writes a list of extents: in the node while they are few, in a tree of pages from then on.
pub struct ExtentWriter<'s, S: PageSink + ?Sized> {
    pages: &'s S,
    class: ChunkClass,
    totals: Totals,
    few: Vec<Extent>,
    tree: Option<PageTreeWriter<'s, S>>,
    scratch: Encoder,
}

impl<'s, S: PageSink + ?Sized> ExtentWriter<'s, S> {
    pub fn new(pages: &'s S, class: ChunkClass) -> Self {
        let (totals, scratch) = (Totals::default(), Encoder::new());
        ExtentWriter { pages, class, totals, few: Vec::new(), tree: None, scratch }
    }

    pub fn is_empty(&self) -> bool {
        self.totals.entries == 0
    }

    /// Adds the next extent.
    pub fn push(&mut self, extent: Extent) -> Result<()> {
        self.totals = self.totals.plus(extent.totals());
        if self.tree.is_none() && self.few.len() < EXTENTS_INLINE_MAX {
            self.few.push(extent);
            return Ok(());
        }
        if self.tree.is_none() {
            self.tree = Some(PageTreeWriter::new(self.pages, PageKind::Content));
            for early in std::mem::take(&mut self.few) {
                self.push_to_tree(early)?;
            }
        }
        self.push_to_tree(extent)
    }

    fn push_to_tree(&mut self, extent: Extent) -> Result<()> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        self.scratch.bytes.clear();
        extent.encode(&mut self.scratch);
        let boundary = match extent.source {
            ExtentSource::Hole => 0,
            ExtentSource::Chunk { id, .. } => chunk_boundary(&id),
        };
        tree.push(b"", &self.scratch.bytes, extent.totals(), boundary)
    }

    /// Ends the list.
    pub fn finish(self) -> Result<Content> {
        let body = match self.tree.map(PageTreeWriter::finish).transpose()? {
            None => ContentBody::Extents(self.few),
            Some(root) => match root.page {
                Some(page) => ContentBody::Tree { page, totals: root.totals },
                None => ContentBody::Extents(Vec::new()),
            },
        };
        Ok(Content { size: self.totals.bytes, data_bytes: self.totals.data_bytes, class: self.class, body })
    }
}
