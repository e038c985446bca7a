//! Tree page: a node of the B+trees that directories and long contents are. Pages are chunks; where they are cut depends
//! on the content alone (a "prolly tree"), so that equal lists have equal pages wherever and whenever they were
//! written. Format: `docs/format.md` section 8.

use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder, common_prefix};
use crate::error::{Error, Result};
use crate::id::{ChunkId, hash};
use crate::repository::node::{RootPage, Totals};
use crate::store::BaseHint;

/// Which tree a page belongs to; its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Names to nodes.
    Directory,
    /// Extents of one content.
    Content,
    /// What tells unchanged entries, beside a directory.
    Witness,
}

impl PageKind {
    fn code(self) -> u8 {
        match self {
            PageKind::Directory => b'D',
            PageKind::Content => b'C',
            PageKind::Witness => b'W',
        }
    }
}

/// A boundary is drawn behind an entry whose key hashes to this many zero bits a level: 128 entries a page on average.
const BOUNDARY_BITS_A_LEVEL: u32 = 7;

/// Hard limits of a page, whatever the hashes say.
const PAGE_MAX_ENTRIES: usize = 1024;
const PAGE_MAX_BYTES: usize = 64 << 10;

/// No tree grows this high: 128^9 entries.
const MAX_LEVELS: u8 = 9;

/// Kind, level, entry count.
const PAGE_HEADER_BYTES: usize = 1 + 1 + 4;

/// How many levels of boundary stand behind a directory entry of this name. Names only: a chmod moves no boundary.
pub fn name_boundary(name: &[u8]) -> u32 {
    zero_bits(&hash(name)) / BOUNDARY_BITS_A_LEVEL
}

/// How many levels of boundary stand behind an extent of this chunk.
pub fn chunk_boundary(id: &ChunkId) -> u32 {
    zero_bits(&id.0) / BOUNDARY_BITS_A_LEVEL
}

/// Low zero bits of the hash read as a little-endian number (its first eight bytes).
fn zero_bits(hash: &[u8; 32]) -> u32 {
    let mut low = [0u8; 8];
    low.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(low).trailing_zeros()
}

/// Where finished pages go: the chunk writer, or nothing at all for a tree that is only hashed.
pub trait PageSink {
    /// Stores a page. `hint` is asked what older pages it may be like, where that matters; `lists_chunks`: it is a leaf of a
    /// content.
    fn put_page(&self, page: &[u8], lists_chunks: bool, hint: &dyn Fn() -> BaseHint) -> Result<ChunkId>;
}

/// The stretch of a tree that a page tells of.
#[derive(Debug, Clone, Copy)]
pub struct PageSpan<'k> {
    pub level: u8,
    pub first_key: &'k [u8],
    pub last_key: &'k [u8],
    /// Sums of all leaf entries before it, and of its own.
    pub before: Totals,
    pub totals: Totals,
}

/// Knows which older pages one may be like.
pub type PageHints<'h> = dyn Fn(&PageSpan) -> BaseHint + 'h;

/// The root of a finished tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeRoot {
    /// `None` for an empty tree.
    pub page: Option<ChunkId>,
    pub totals: Totals,
}

/// Builds one tree bottom-up from entries in order, holding one open page a level.
pub struct PageTreeWriter<'s, S: PageSink + ?Sized> {
    sink: &'s S,
    kind: PageKind,
    levels: Vec<OpenPage>,
}

#[derive(Default)]
struct OpenPage {
    lengths: Vec<u32>,
    entries: Encoder,
    totals: Totals,
    /// Of the pages of this level that were stored.
    before: Totals,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    emitted: u64,
    last_emitted: Option<(ChunkId, Totals)>,
}

impl OpenPage {
    /// The page, as it is stored.
    fn encode(&self, kind: PageKind, level: usize) -> Encoder {
        let mut page = Encoder::new();
        page.u8(kind.code()).u8(level as u8).u32(self.lengths.len() as u32);
        self.lengths.iter().for_each(|length| {
            page.u32(*length);
        });
        page.raw(&self.entries.bytes);
        page
    }
}

impl<'s, S: PageSink + ?Sized> PageTreeWriter<'s, S> {
    pub fn new(sink: &'s S, kind: PageKind) -> Self {
        PageTreeWriter { sink, kind, levels: vec![OpenPage::default()] }
    }

    /// Adds a leaf entry; `boundary` levels of pages end behind it.
    pub fn push(&mut self, key: &[u8], value: &[u8], totals: Totals, boundary: u32, hints: &PageHints) -> Result<()> {
        self.push_at(0, key, totals, boundary, hints, |entries| {
            entries.raw(value);
        })
    }

    fn push_at(
        &mut self,
        level: usize,
        key: &[u8],
        totals: Totals,
        boundary: u32,
        hints: &PageHints,
        value: impl FnOnce(&mut Encoder),
    ) -> Result<()> {
        if level == self.levels.len() {
            self.levels.push(OpenPage::default());
        }
        let open = &mut self.levels[level];
        let start = open.entries.bytes.len();
        open.entries.bytes(key);
        value(&mut open.entries);
        open.lengths.push((open.entries.bytes.len() - start) as u32);
        if open.lengths.len() == 1 {
            open.first_key.extend_from_slice(key);
        }
        open.totals = open.totals.plus(totals);
        open.last_key.clear();
        open.last_key.extend_from_slice(key);
        let full = open.lengths.len() >= PAGE_MAX_ENTRIES || open.entries.bytes.len() >= PAGE_MAX_BYTES;
        if boundary > level as u32 || full {
            self.emit(level, boundary, hints)?;
        }
        Ok(())
    }

    /// Stores the open page of `level` and enters it in the level above.
    fn emit(&mut self, level: usize, boundary: u32, hints: &PageHints) -> Result<()> {
        let open = &mut self.levels[level];
        let page = open.encode(self.kind, level);
        let span = PageSpan {
            level: level as u8,
            first_key: &open.first_key,
            last_key: &open.last_key,
            before: open.before,
            totals: open.totals,
        };
        let lists_chunks = self.kind == PageKind::Content && level == 0;
        let id = self.sink.put_page(&page.bytes, lists_chunks, &|| hints(&span))?;
        let (totals, key) = (open.totals, std::mem::take(&mut open.last_key));
        let (emitted, before) = (open.emitted + 1, open.before.plus(totals));
        *open = OpenPage { emitted, before, last_emitted: Some((id, totals)), ..OpenPage::default() };
        self.push_at(level + 1, &key, totals, boundary, hints, |entries| {
            entries.raw(&id.0);
            totals.encode(entries);
        })
    }

    /// The only page of a tree, and its totals, where none was stored yet and it is no longer than this.
    pub fn only_page(&self, max_bytes: usize) -> Option<(Vec<u8>, Totals)> {
        let [open] = &self.levels[..] else { return None };
        let length = PAGE_HEADER_BYTES + 4 * open.lengths.len() + open.entries.bytes.len();
        let is_small = !open.lengths.is_empty() && length <= max_bytes;
        is_small.then(|| (open.encode(self.kind, 0).bytes, open.totals))
    }

    /// Ends the tree: the root is the first level that has a single page.
    pub fn finish(mut self, hints: &PageHints) -> Result<TreeRoot> {
        let mut level = 0;
        loop {
            if !self.levels[level].lengths.is_empty() {
                self.emit(level, 0, hints)?;
            }
            let open = &self.levels[level];
            match open.last_emitted {
                None => return Ok(TreeRoot::default()),
                Some((page, totals)) if open.emitted == 1 => return Ok(TreeRoot { page: Some(page), totals }),
                Some(_) => level += 1,
            }
        }
    }
}

/// A page read back. Entries are found without decoding the others.
#[derive(Debug, Clone)]
pub struct Page {
    bytes: Arc<[u8]>,
    id: ChunkId,
    kind: PageKind,
    level: u8,
    count: u32,
    /// Where each entry ends, added up once: whoever walks a page asks for each of them.
    ends: Vec<u32>,
}

/// One entry of an inner page: a page below, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub page: ChunkId,
    pub totals: Totals,
}

impl Child {
    pub fn decode(decoder: &mut Decoder) -> Result<Child, DecodeError> {
        Ok(Child { page: ChunkId(decoder.array()?), totals: Totals::decode(decoder)? })
    }
}

impl Page {
    /// Reads the header of a page.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where these verified bytes are not a page of this kind: whoever wrote them was wrong.
    pub fn open(id: ChunkId, bytes: Arc<[u8]>, kind: PageKind) -> Result<Page> {
        let mut header = Decoder::new(&bytes);
        let parts = (|| Ok::<_, DecodeError>((header.u8()?, header.u8()?, header.u32()?)))();
        let (code, level, count) = parts.map_err(|error| DecodeError::of(format!("tree page {id}"))(error))?;
        let table_bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(4)).unwrap_or(usize::MAX);
        let ends = header.raw(table_bytes).map(|table| ends_of(table, header.position())).unwrap_or_default();
        let page = Page { bytes, id, kind, level, count, ends };
        if code != kind.code() || level > MAX_LEVELS || count == 0 || page.ends.is_empty() {
            return Err(page.corrupt("it is not a page of the expected tree"));
        }
        Ok(page)
    }

    /// A root page, wherever it stands; `load` reads a chunk.
    ///
    /// # Errors
    /// As [`Page::open`] and `load`, and where it stands in a node and is no leaf.
    pub fn open_root(
        root: &RootPage,
        kind: PageKind,
        load: impl FnOnce(&ChunkId) -> Result<Arc<[u8]>>,
    ) -> Result<Page> {
        let bytes = match root {
            RootPage::Stored(id) => return Page::open(*id, load(id)?, kind),
            RootPage::Inline(bytes) => bytes,
        };
        let page = Page::open(ChunkId::of(bytes), bytes.clone(), kind)?;
        if page.level() > 0 {
            return Err(page.corrupt("it stands in a node, and is no leaf"));
        }
        Ok(page)
    }

    pub fn kind(&self) -> PageKind {
        self.kind
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An [`Error::Corrupt`] about this page.
    pub fn corrupt(&self, reason: &str) -> Error {
        Error::corrupt(format!("tree page {}", self.id), reason)
    }

    /// Where in the page an entry begins; of `len()` where the last one ends. Past the page where a length is wrong.
    fn start(&self, at: u32) -> usize {
        let before = at.checked_sub(1).and_then(|before| self.ends.get(before as usize));
        before.map_or(PAGE_HEADER_BYTES + 4 * self.ends.len(), |&end| end as usize)
    }

    /// Key and the rest of one entry.
    fn entry(&self, at: u32) -> Result<(&[u8], Decoder<'_>)> {
        let entry = (|| {
            let mut decoder = Decoder::new(&self.bytes);
            decoder.raw(self.start(at))?;
            let key = decoder.bytes()?;
            Ok((key, decoder))
        })();
        entry.map_err(|error| self.undecodable(error))
    }

    /// How many entries from `at` on are the same as those of `other` from `other_at` on.
    pub fn common_entries(&self, at: u32, other: &Page, other_at: u32) -> u32 {
        let same_bytes = common_prefix(self.bytes_from(at), other.bytes_from(other_at));
        let lengths = self.lengths_from(at).zip(other.lengths_from(other_at));
        lengths.take_while(|(length, other)| length == other && *length <= same_bytes).count() as u32
    }

    fn bytes_from(&self, at: u32) -> &[u8] {
        self.bytes.get(self.start(at)..).unwrap_or_default()
    }

    /// How long all entries from this one on are together: of the first, of two, and so on.
    fn lengths_from(&self, at: u32) -> impl Iterator<Item = usize> {
        let start = self.start(at);
        self.ends.iter().skip(at as usize).map(move |&end| end as usize - start)
    }

    /// Only failures pay for the page's name.
    fn undecodable(&self, error: DecodeError) -> Error {
        self.corrupt(&error.to_string())
    }

    pub fn key(&self, at: u32) -> Result<&[u8]> {
        self.entry(at).map(|(key, _)| key)
    }

    /// Decodes the value of a leaf entry.
    pub fn value<T>(&self, at: u32, decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>) -> Result<T> {
        let (_, mut decoder) = self.entry(at)?;
        decode(&mut decoder).map_err(|error| self.undecodable(error))
    }

    /// [`Page::value`], where the entry must also end where the next one begins, and the last one where the page does: for
    /// `check`, since reading needs neither.
    pub fn value_in_place<T>(&self, at: u32, decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>) -> Result<T> {
        let value = self.value(at, |decoder| decode(decoder).map(|value| (value, decoder.position())));
        let (value, end) = value?;
        let next = self.start(at + 1);
        let is_last = at + 1 == self.count;
        if end == next && (!is_last || next == self.bytes.len()) {
            Ok(value)
        } else {
            Err(self.corrupt("its entries are not back to back"))
        }
    }

    /// Decodes an entry of an inner page.
    pub fn child(&self, at: u32) -> Result<Child> {
        self.value(at, Child::decode)
    }

    /// The first entry whose key is not below `key`; `len()` where there is none.
    pub fn lower_bound(&self, key: &[u8]) -> Result<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle)? < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// Where entries end whose lengths `table` tells, behind a page's first `position` bytes.
fn ends_of(table: &[u8], position: usize) -> Vec<u32> {
    let mut end = u32::try_from(position).unwrap_or(u32::MAX);
    let lengths = table.as_chunks::<4>().0.iter().map(|length| u32::from_le_bytes(*length));
    // A sum that is too large lies beyond any page.
    let add = |length| {
        end = end.saturating_add(length);
        end
    };
    lengths.map(add).collect()
}
