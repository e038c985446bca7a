//! Directories: the tree of a directory's entries, written in order of names and read by name, by ordinal or by
//! pre-order position. Beside each lies its witness tree, which tells the next ingest what is unchanged.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::repository::entry_cursor::{EntryCursor, descendants_of};
use crate::repository::node::{DirectoryRoot, Node, PAGE_INLINE_MAX_BYTES, RootPage, Totals, Xattr, Xattrs};
use crate::repository::page::{Page, PageKind, PageSink, PageSpan, PageTreeWriter, name_boundary};
use crate::repository::page_cursor::{Head, PageCursor};
use crate::repository::page_hint::{Span, pages_at};
use crate::store::{BaseHint, ChunkStore};
use crate::time::Timestamp;

pub use crate::repository::entry_cursor::{Entries, Entry};

/// What tells, next time, that an entry is still the same: nothing of it shows in the mount, and it lies outside of
/// the directory's hash, so that copies of a tree share all their pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// Nothing: read the entry again.
    None,
    /// `st_ctime` and `st_ino` of a file when it was read.
    Seen { changed: Timestamp, inode: u64 },
    /// The root of a subdirectory's own witnesses.
    Below(Option<ChunkId>),
}

impl Witness {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Witness::None => encoder.u8(0),
            Witness::Seen { changed, inode } => encoder.u8(1).time(*changed).varint(*inode),
            Witness::Below(None) => encoder.u8(2),
            Witness::Below(Some(page)) => encoder.u8(3).raw(&page.0),
        };
    }

    /// Reads one, as an entry of a page of witnesses holds it.
    pub fn decode(decoder: &mut Decoder) -> Result<Witness, DecodeError> {
        Ok(match decoder.u8()? {
            0 => Witness::None,
            1 => Witness::Seen { changed: decoder.time()?, inode: decoder.varint()? },
            2 => Witness::Below(None),
            3 => Witness::Below(Some(ChunkId(decoder.array()?))),
            _ => return decoder.fail("unknown witness"),
        })
    }
}

/// Writes one directory from entries in bytewise order of names.
pub struct DirectoryWriter<'s, S: PageSink + ?Sized> {
    entries: PageTreeWriter<'s, S>,
    /// `None` where no entry will be asked for its witness.
    witnesses: Option<PageTreeWriter<'s, S>>,
    last_name: Option<Vec<u8>>,
    scratch: Encoder,
    /// What its pages may be like.
    older: Older<'s>,
    /// An only page of so many bytes is not stored, but stands in the node.
    inline_max_bytes: usize,
}

/// The pages of a directory as it was before.
#[derive(Debug, Clone, Copy, Default)]
pub struct OlderDirectory {
    pub entries: Option<ChunkId>,
    pub witnesses: Option<ChunkId>,
}

type Older<'s> = Option<(&'s ChunkStore, OlderDirectory)>;

impl<'s, S: PageSink + ?Sized> DirectoryWriter<'s, S> {
    pub fn new(sink: &'s S) -> Self {
        DirectoryWriter {
            entries: PageTreeWriter::new(sink, PageKind::Directory),
            witnesses: Some(PageTreeWriter::new(sink, PageKind::Witness)),
            last_name: None,
            scratch: Encoder::new(),
            older: None,
            inline_max_bytes: 0,
        }
    }

    /// Stores pages as what differs from those that the directory had before.
    pub fn beside(self, chunks: &'s ChunkStore, older: OlderDirectory) -> Self {
        DirectoryWriter { older: Some((chunks, older)), ..self }
    }

    /// Keeps no witnesses: nothing is ever asked whether it is unchanged.
    pub fn without_witnesses(self) -> Self {
        DirectoryWriter { witnesses: None, ..self }
    }

    /// Has the node hold its page if that is small, for a directory below another: what is in a thousand of them is then read
    /// at once, and compressed together.
    pub fn inline_if_small(self) -> Self {
        DirectoryWriter { inline_max_bytes: PAGE_INLINE_MAX_BYTES, ..self }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the name is none, or does not come behind the last one.
    pub fn push(&mut self, name: &[u8], node: &Node, witness: &Witness) -> Result<()> {
        let refuse = |reason: &str| Err(Error::invalid("file name", String::from_utf8_lossy(name), reason));
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return refuse("no entry can have this name");
        }
        if self.last_name.as_deref().is_some_and(|last| last >= name) {
            return refuse("names must come in order, each once");
        }
        self.last_name = Some(name.to_vec());
        let boundary = name_boundary(name);
        self.scratch.bytes.clear();
        node.encode(&mut self.scratch);
        self.entries.push(name, &self.scratch.bytes, node.totals(), boundary, &entry_hints(self.older))?;
        let Some(witnesses) = &mut self.witnesses else { return Ok(()) };
        self.scratch.bytes.clear();
        witness.encode(&mut self.scratch);
        // Names stand in the directory's own pages: a witness is found by its ordinal.
        let one = Totals { entries: 1, ..Totals::default() };
        witnesses.push(b"", &self.scratch.bytes, one, boundary, &witness_hints(self.older))
    }

    /// Ends the directory; gives its root and the root of its witnesses.
    pub fn finish(self) -> Result<(DirectoryRoot, Option<ChunkId>)> {
        let (page, totals) = match self.entries.only_page(self.inline_max_bytes) {
            Some((page, totals)) => (Some(RootPage::Inline(page.into())), totals),
            None => {
                let root = self.entries.finish(&entry_hints(self.older))?;
                (root.page.map(RootPage::Stored), root.totals)
            }
        };
        let witnesses = self.witnesses.map(|tree| tree.finish(&witness_hints(self.older))).transpose()?;
        let witnesses = witnesses.and_then(|root| root.page);
        Ok((DirectoryRoot { page, totals }, witnesses))
    }
}

fn entry_hints(older: Older<'_>) -> impl Fn(&PageSpan) -> BaseHint + '_ {
    move |span| {
        let Some((chunks, OlderDirectory { entries: Some(root), .. })) = older else { return BaseHint::default() };
        let names = Span::Names { first: span.first_key, last: span.last_key };
        BaseHint::chained(pages_at(chunks, PageKind::Directory, root, span.level, &names))
    }
}

fn witness_hints(older: Older<'_>) -> impl Fn(&PageSpan) -> BaseHint + '_ {
    move |span| {
        let Some((chunks, OlderDirectory { witnesses: Some(root), .. })) = older else { return BaseHint::default() };
        let from = span.before.entries;
        let entries = Span::Entries { from, to: from.saturating_add(span.totals.entries) };
        BaseHint::chained(pages_at(chunks, PageKind::Witness, root, span.level, &entries))
    }
}

/// Reads directories.
#[derive(Clone, Copy)]
pub struct TreeReader<'a> {
    chunks: &'a ChunkStore,
}

impl<'a> TreeReader<'a> {
    pub fn new(chunks: &'a ChunkStore) -> TreeReader<'a> {
        TreeReader { chunks }
    }

    fn page(&self, id: ChunkId) -> Result<Page> {
        Page::open(id, self.chunks.get(&id)?, PageKind::Directory)
    }

    fn root_page(&self, root: &RootPage) -> Result<Page> {
        Page::open_root(root, PageKind::Directory, |id| self.chunks.get(id))
    }

    /// The entry of this name. Reads one page a level.
    pub fn lookup(&self, directory: &DirectoryRoot, name: &[u8]) -> Result<Option<Entry>> {
        let Some(root) = &directory.page else { return Ok(None) };
        let mut page = self.root_page(root)?;
        let (mut ordinal, mut preorder) = (0u64, 0u64);
        loop {
            let at = page.lower_bound(name)?;
            if at == page.len() {
                return Ok(None);
            }
            if page.level() == 0 {
                if page.key(at)? != name {
                    return Ok(None);
                }
                for before in 0..at {
                    preorder = preorder.saturating_add(descendants_of(&page, before)?);
                }
                let node = page.value(at, Node::decode)?;
                let ordinal = ordinal.saturating_add(u64::from(at));
                return Ok(Some(Entry { name: name.to_vec(), node, ordinal, preorder }));
            }
            for before in 0..at {
                let totals = page.child(before)?.totals;
                ordinal = ordinal.saturating_add(totals.entries);
                preorder = preorder.saturating_add(totals.descendants);
            }
            page = self.below(&page, at)?;
        }
    }

    /// The entry in which the pre-order position `position` of the directory lies: itself, or below it.
    pub fn entry_at(&self, directory: &DirectoryRoot, position: u64) -> Result<Option<Entry>> {
        let Some(root) = &directory.page else { return Ok(None) };
        let mut page = self.root_page(root)?;
        let (mut ordinal, mut preorder) = (0u64, 0u64);
        'pages: loop {
            for at in 0..page.len() {
                let (entries, descendants) = if page.level() == 0 {
                    (1, descendants_of(&page, at)?)
                } else {
                    let totals = page.child(at)?.totals;
                    (totals.entries, totals.descendants)
                };
                if position - preorder < descendants {
                    if page.level() == 0 {
                        let node = page.value(at, Node::decode)?;
                        return Ok(Some(Entry { name: page.key(at)?.to_vec(), node, ordinal, preorder }));
                    }
                    page = self.below(&page, at)?;
                    continue 'pages;
                }
                ordinal = ordinal.saturating_add(entries);
                preorder = preorder.saturating_add(descendants);
            }
            return Ok(None);
        }
    }

    /// Walks down from the directory `root` to the entry at a pre-order position (0 is `root` itself), and gives every
    /// entry on the way, with its position, to `visit`. False where there is no such position.
    pub fn descend(&self, root: &Node, position: u64, mut visit: impl FnMut(Entry, u64) -> Result<()>) -> Result<bool> {
        let mut directory = root.directory().cloned();
        let mut at = 0u64;
        while at < position {
            let Some(root) = directory else { return Ok(false) };
            let Some(entry) = self.entry_at(&root, position - at - 1)? else { return Ok(false) };
            at = at.saturating_add(1).saturating_add(entry.preorder);
            directory = entry.node.directory().cloned();
            visit(entry, at)?;
        }
        Ok(at == position)
    }

    /// Entries in order of names, from the one with this ordinal on. Reads pages as it goes.
    pub fn entries_from(&self, directory: &DirectoryRoot, ordinal: u64) -> Entries<'a> {
        Entries::new(EntryCursor::new(self.chunks, directory), ordinal)
    }

    /// All entries in order of names.
    pub fn entries(&self, directory: &DirectoryRoot) -> Entries<'a> {
        self.entries_from(directory, 0)
    }

    /// The witnesses of a directory's entries, in the same order.
    pub fn witnesses(&self, root: Option<ChunkId>) -> Witnesses<'a> {
        Witnesses { cursor: PageCursor::new(self.chunks, PageKind::Witness, root), failed: false }
    }

    /// The node at a path of names joined by `/`, relative to the directory `root`; empty components are skipped.
    pub fn lookup_path(&self, root: &Node, path: &[u8]) -> Result<Option<Node>> {
        let mut node = root.clone();
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && name != b".") {
            let Some(directory) = node.directory() else { return Ok(None) };
            match self.lookup(directory, name)? {
                Some(entry) => node = entry.node,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The extended attributes of a node, wherever they stand.
    pub fn xattrs(&self, node: &Node) -> Result<Vec<Xattr>> {
        match &node.xattrs {
            Xattrs::None => Ok(Vec::new()),
            Xattrs::Inline(list) => Ok(list.clone()),
            Xattrs::Chunk(id) => {
                let bytes = self.chunks.get(id)?;
                Xattrs::decode_chunk(id, &bytes)
            }
        }
    }

    fn below(&self, page: &Page, at: u32) -> Result<Page> {
        let child = self.page(page.child(at)?.page)?;
        // Levels must fall, or a page that names itself would never end.
        if child.level() >= page.level() {
            return Err(page.corrupt("a page below it is not of a lower level"));
        }
        Ok(child)
    }
}

/// Witnesses of one directory in order of its entries.
pub struct Witnesses<'a> {
    cursor: PageCursor<'a>,
    failed: bool,
}

impl Witnesses<'_> {
    fn advance(&mut self) -> Result<Option<Result<Witness>>> {
        while let Head::Page(_) = self.cursor.head()? {
            self.cursor.open()?;
        }
        let witness = self.cursor.entry().map(|(page, at)| page.value(at, Witness::decode));
        self.cursor.pass();
        Ok(witness)
    }
}

impl Iterator for Witnesses<'_> {
    type Item = Result<Witness>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        self.advance().unwrap_or_else(|error| {
            self.failed = true;
            Some(Err(error))
        })
    }
}
