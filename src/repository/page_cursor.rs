//! PageCursor: goes through a page tree in order, and can pass over whole pages unread. Two cursors side by side
//! skip what their trees share: equal pages have equal ids.

use std::sync::Arc;

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::node::{RootPage, Totals};
use crate::repository::page::{Page, PageKind};
use crate::store::ChunkStore;

/// What a cursor stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    End,
    /// A page that was not read yet: [`PageCursor::open`] goes into it, [`PageCursor::pass`] passes all below it.
    Page(UnreadPage),
    /// A leaf entry; see [`PageCursor::entry`].
    Entry,
}

/// A page before it is read, as its parent tells of it; of a root nothing else is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadPage {
    pub id: ChunkId,
    pub level: Option<u8>,
    pub totals: Option<Totals>,
}

/// A place in one page tree.
pub struct PageCursor<'a> {
    chunks: &'a ChunkStore,
    kind: PageKind,
    reads_once: bool,
    /// Until it is read: its id, and where it stands.
    root: Option<(ChunkId, RootPage)>,
    /// The pages from the root down, each with the entry that the cursor stands at; none is at its end.
    stack: Vec<(Page, u32)>,
}

impl<'a> PageCursor<'a> {
    /// A cursor at the beginning of a tree; `None` is an empty one.
    pub fn new(chunks: &'a ChunkStore, kind: PageKind, root: Option<ChunkId>) -> PageCursor<'a> {
        PageCursor::at(chunks, kind, root.map(|id| (id, RootPage::Stored(id))))
    }

    /// A cursor at the beginning of a directory's tree.
    pub fn of_directory(chunks: &'a ChunkStore, root: Option<&RootPage>) -> PageCursor<'a> {
        PageCursor::at(chunks, PageKind::Directory, root.map(|root| (root.id(), root.clone())))
    }

    fn at(chunks: &'a ChunkStore, kind: PageKind, root: Option<(ChunkId, RootPage)>) -> PageCursor<'a> {
        PageCursor { chunks, kind, reads_once: false, root, stack: Vec::new() }
    }

    /// The same, but pages that are not at hand are not kept either: for a walk that comes by once, and of which nobody
    /// expects another.
    pub fn reading_once(self) -> PageCursor<'a> {
        PageCursor { reads_once: true, ..self }
    }

    /// What the cursor stands at.
    pub fn head(&self) -> Result<Head> {
        if let Some((id, _)) = self.root {
            return Ok(Head::Page(UnreadPage { id, level: None, totals: None }));
        }
        match self.stack.last() {
            None => Ok(Head::End),
            Some((page, _)) if page.level() == 0 => Ok(Head::Entry),
            Some((page, at)) => {
                let child = page.child(*at)?;
                let level = Some(page.level() - 1);
                Ok(Head::Page(UnreadPage { id: child.page, level, totals: Some(child.totals) }))
            }
        }
    }

    /// Reads the page that the cursor stands at; afterwards it stands at the first thing in it. Does nothing elsewhere.
    ///
    /// # Errors
    /// As [`ChunkStore::get`]; [`crate::Error::Corrupt`] where it is no page that can stand here.
    pub fn open(&mut self) -> Result<()> {
        let Head::Page(unread) = self.head()? else { return Ok(()) };
        let page = match &self.root {
            Some((_, root)) => Page::open_root(root, self.kind, |id| self.read(id))?,
            None => Page::open(unread.id, self.read(&unread.id)?, self.kind)?,
        };
        // Levels must fall, or a page that names itself would never end.
        if self.stack.last().is_some_and(|(parent, _)| page.level() >= parent.level()) {
            return Err(page.corrupt("it stands below a page that is not of a higher level"));
        }
        self.root = None;
        self.stack.push((page, 0));
        Ok(())
    }

    fn read(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        if !self.reads_once {
            return self.chunks.get(id);
        }
        // What is compared with it next may be told against it.
        self.chunks.get_cached(id).map_or_else(|| self.chunks.load_base(id), Ok)
    }

    /// Goes on behind what the cursor stands at.
    pub fn pass(&mut self) {
        if self.root.take().is_none() {
            self.pass_entries(1);
        }
    }

    /// Goes on behind so many entries of the page that the cursor is in, which has them.
    pub fn pass_entries(&mut self, count: u32) {
        if let Some((_, at)) = self.stack.last_mut() {
            *at += count;
        }
        while self.stack.last().is_some_and(|(page, at)| *at >= page.len()) {
            self.stack.pop();
            if let Some((_, at)) = self.stack.last_mut() {
                *at += 1;
            }
        }
    }

    /// The leaf entry that the cursor stands at: its page, and its place there.
    pub fn entry(&self) -> Option<(&Page, u32)> {
        self.stack.last().filter(|(page, _)| page.level() == 0).map(|(page, at)| (page, *at))
    }

    /// The greatest key in what the cursor stands at; `None` at the end, and at a root that was not read.
    pub fn next_key(&self) -> Result<Option<&[u8]>> {
        self.stack.last().map(|(page, at)| page.key(*at)).transpose()
    }

    /// The greatest key behind the cursor: everything that it has not passed is greater. `None` at the beginning.
    pub fn key_before(&self) -> Result<Option<&[u8]>> {
        match self.stack.iter().rev().find(|(_, at)| *at > 0) {
            Some((page, at)) => page.key(at - 1).map(Some),
            None => Ok(None),
        }
    }
}
