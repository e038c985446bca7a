//! EntryCursor: goes through a directory's entries in order of names, can pass over whole pages unread, and knows where it
//! stands.

use crate::error::Result;
use crate::repository::node::{DIRECTORY_LETTER, DirectoryRoot, Node, Totals};
use crate::repository::page::Page;
use crate::repository::page_cursor::{Head, PageCursor, UnreadPage};
use crate::store::ChunkStore;

/// An entry as a walk finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    pub node: Node,
    /// 0 for the first entry of its directory.
    pub ordinal: u64,
    /// Entries that a pre-order walk of the directory passes before this one: 0 for the first.
    pub preorder: u64,
}

/// Entries that were passed over because they are the same in two directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SameEntries {
    pub entries: u32,
    /// With all that is below them.
    pub descendants: u64,
    /// Those of them that have something below them.
    pub directories: u64,
}

/// A place in one directory.
pub struct EntryCursor<'a> {
    pages: PageCursor<'a>,
    /// Of the whole directory.
    totals: Totals,
    /// Of what comes next; see [`Entry`].
    ordinal: u64,
    preorder: u64,
}

impl<'a> EntryCursor<'a> {
    /// A cursor at the beginning of a directory.
    pub fn new(chunks: &'a ChunkStore, directory: &DirectoryRoot) -> EntryCursor<'a> {
        let pages = PageCursor::of_directory(chunks, directory.page.as_ref());
        EntryCursor { pages, totals: directory.totals, ordinal: 0, preorder: 0 }
    }

    /// [`PageCursor::reading_once`].
    pub fn reading_once(self) -> EntryCursor<'a> {
        EntryCursor { pages: self.pages.reading_once(), ..self }
    }

    /// What the cursor stands at.
    pub fn head(&self) -> Result<Head> {
        Ok(match self.pages.head()? {
            Head::Page(root @ UnreadPage { totals: None, .. }) => {
                Head::Page(UnreadPage { totals: Some(self.totals), ..root })
            }
            head => head,
        })
    }

    /// Name of the entry that the cursor stands at.
    pub fn name(&self) -> Result<Option<&[u8]>> {
        self.pages.entry().map(|(page, at)| page.key(at)).transpose()
    }

    /// Name of the entry before: all that are still to come are greater. `None` at the beginning, and at the end.
    pub fn name_before(&self) -> Result<Option<&[u8]>> {
        self.pages.key_before()
    }

    /// Reads the page that the cursor stands at; afterwards it stands at the first thing in it. Does nothing elsewhere.
    pub fn open(&mut self) -> Result<()> {
        self.pages.open()
    }

    /// Passes over the entries that both stand at and that are the same in both, up to the end of a page; not over names of a file
    /// with several, of which equal ones may differ all the same.
    pub fn pass_same(&mut self, other: &mut EntryCursor<'a>) -> Result<SameEntries> {
        let mut same = SameEntries::default();
        let (Some((page, at)), Some((others, other_at))) = (self.pages.entry(), other.pages.entry()) else {
            return Ok(same);
        };
        // Or each of many would be compared with all that follow.
        if page.value(at, Node::decode_has_hard_link)? {
            return Ok(same);
        }
        for at in at..at + page.common_entries(at, others, other_at) {
            if page.value(at, Node::decode_has_hard_link)? {
                break;
            }
            let descendants = descendants_of(page, at)?;
            same.entries += 1;
            same.descendants = same.descendants.saturating_add(descendants);
            same.directories += u64::from(descendants > 1);
        }
        for cursor in [self, other] {
            cursor.pages.pass_entries(same.entries);
            cursor.count(u64::from(same.entries), same.descendants);
        }
        Ok(same)
    }

    /// Goes on behind the page or entry that the cursor stands at; tells how many entries that are, at any depth.
    pub fn pass(&mut self) -> Result<u64> {
        let (entries, descendants) = match (self.head()?, self.pages.entry()) {
            (Head::Page(UnreadPage { totals, .. }), _) => totals.map_or((0, 0), |it| (it.entries, it.descendants)),
            (_, Some((page, at))) => (1, descendants_of(page, at)?),
            _ => return Ok(0),
        };
        self.go_on(entries, descendants);
        Ok(descendants)
    }

    /// Takes the entry that the cursor stands at.
    pub fn take(&mut self) -> Result<Option<Entry>> {
        let Some((page, at)) = self.pages.entry() else { return Ok(None) };
        let (name, node) = (page.key(at)?.to_vec(), page.value(at, Node::decode)?);
        let entry = Entry { name, node, ordinal: self.ordinal, preorder: self.preorder };
        self.go_on(1, entry.node.totals().descendants);
        Ok(Some(entry))
    }

    fn go_on(&mut self, entries: u64, descendants: u64) {
        self.pages.pass();
        self.count(entries, descendants);
    }

    fn count(&mut self, entries: u64, descendants: u64) {
        self.ordinal = self.ordinal.saturating_add(entries);
        self.preorder = self.preorder.saturating_add(descendants);
    }

    /// Takes the next entry, whatever pages have to be read for it.
    pub fn take_next(&mut self) -> Result<Option<Entry>> {
        while let Head::Page(_) = self.pages.head()? {
            self.open()?;
        }
        self.take()
    }

    /// Goes on to the entry with this ordinal, or to the end; reads one page a level. If it is the first one of a page,
    /// that page is not read yet.
    pub fn pass_to(&mut self, ordinal: u64) -> Result<()> {
        while self.ordinal < ordinal {
            match self.head()? {
                Head::End => return Ok(()),
                Head::Page(UnreadPage { totals: Some(totals), .. }) if totals.entries > ordinal - self.ordinal => {
                    self.open()?;
                }
                Head::Page(_) | Head::Entry => {
                    self.pass()?;
                }
            }
        }
        Ok(())
    }

    /// Goes on behind all entries whose names are not above `name`; reads one page a level.
    pub fn pass_behind(&mut self, name: &[u8]) -> Result<()> {
        loop {
            if self.name_before()?.is_some_and(|before| before >= name) {
                return Ok(());
            }
            match (self.pages.head()?, self.pages.next_key()?) {
                (Head::End, _) => return Ok(()),
                (_, Some(key)) if key <= name => {
                    self.pass()?;
                }
                (Head::Page(_), _) => self.open()?,
                (Head::Entry, _) => return Ok(()),
            }
        }
    }
}

/// What one leaf entry adds to a pre-order walk. Only directories add more than themselves: the rest is not decoded.
pub(super) fn descendants_of(page: &Page, at: u32) -> Result<u64> {
    page.value(at, |decoder| {
        if decoder.clone().u8()? != DIRECTORY_LETTER {
            return Ok(1);
        }
        Ok(Node::decode(decoder)?.totals().descendants)
    })
}

/// Entries of one directory in order; see [`TreeReader::entries_from`](crate::repository::tree::TreeReader::entries_from).
pub struct Entries<'a> {
    cursor: EntryCursor<'a>,
    /// Where it begins.
    from: u64,
    failed: bool,
}

impl<'a> Entries<'a> {
    pub(super) fn new(cursor: EntryCursor<'a>, from: u64) -> Entries<'a> {
        Entries { cursor, from, failed: false }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.cursor.pass_to(self.from).and_then(|()| self.cursor.take_next());
        self.failed = next.is_err();
        next.transpose()
    }
}
