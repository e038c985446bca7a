//! Trees: every page, attribute list and chunk that a snapshot refers to is there, and totals add up.

use std::collections::HashSet;
use std::sync::Arc;

use crate::check::packs::Packs;
use crate::check::{Check, Damage, object_and_reason};
use crate::codec::Encoder;
use crate::error::{Error, Result};
use crate::id::{ChunkId, hash};
use crate::progress::Counters;
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::node::{Node, NodeKind, RootPage, Totals, Xattrs};
use crate::repository::page::{Child, Page, PageKind};
use crate::repository::snapshot::Snapshot;
use crate::repository::tree::Witness;
use crate::store::ChunkStore;

/// Pages found whole that are remembered.
pub const VISITED_MAX: usize = 1 << 22;

/// A page as something refers to it, and what that promises of it.
struct Reference {
    kind: PageKind,
    page: RootPage,
    /// `None` where only the page itself can tell.
    totals: Option<Totals>,
    /// The level of the page that refers to it; `None` for a root.
    above: Option<u8>,
    /// The greatest key in it; `None` for a root.
    last_key: Option<Vec<u8>>,
    /// The greatest key before it in the tree, where there is one.
    key_before: Option<Vec<u8>>,
}

impl Reference {
    fn root(kind: PageKind, page: RootPage, totals: Option<Totals>) -> Reference {
        Reference { kind, page, totals, above: None, last_key: None, key_before: None }
    }

    fn stored(kind: PageKind, page: ChunkId, totals: Option<Totals>) -> Reference {
        Reference::root(kind, RootPage::Stored(page), totals)
    }

    /// Stands for the page together with all that is promised of it.
    fn key(&self) -> u128 {
        let mut key = Encoder::new();
        key.u8(kind_number(self.kind)).raw(&self.page.id().0).u8(self.above.unwrap_or(u8::MAX));
        key.u8(u8::from(self.totals.is_some()));
        self.totals.unwrap_or_default().encode(&mut key);
        for known in [&self.last_key, &self.key_before] {
            key.u8(u8::from(known.is_some())).bytes(known.as_deref().unwrap_or_default());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash(&key.bytes)[..16]);
        u128::from_le_bytes(short)
    }
}

fn kind_number(kind: PageKind) -> u8 {
    match kind {
        PageKind::Directory => 0,
        PageKind::Content => 1,
        PageKind::Witness => 2,
    }
}

/// A page that is being looked at.
struct Frame {
    kind: PageKind,
    page: Page,
    at: u32,
    key: u128,
    /// As its reference tells it.
    key_before: Option<Vec<u8>>,
    /// Nothing in it or below it is damaged, as far as was looked.
    sound: bool,
    /// Of the path that is in force again behind it.
    path_length: usize,
}

/// The walk over all snapshots.
struct TreeCheck<'c, 'r> {
    check: &'c mut Check<'r>,
    chunks: &'r ChunkStore,
    packs: Packs,
    visited: HashSet<u128>,
    /// Damaged chunks that some path was named for.
    named: HashSet<ChunkId>,
    stack: Vec<Frame>,
    snapshot: String,
    path: Vec<u8>,
}

impl<'r> Check<'r> {
    pub(super) fn trees(&mut self, packs: Packs) -> Result<()> {
        let catalog = self.catalog.clone();
        let (visited, named) = (HashSet::new(), HashSet::new());
        let (stack, path, snapshot) = (Vec::new(), Vec::new(), String::new());
        let chunks = self.repository.chunks()?;
        let mut trees = TreeCheck { check: self, chunks, packs, visited, named, stack, snapshot, path };
        // Snapshots of one source share most, so they come one after the other.
        for source in catalog.sources() {
            for snapshot in catalog.of_source(source) {
                trees.snapshot(snapshot)?;
            }
        }
        trees.unused_damage();
        Ok(())
    }
}

impl TreeCheck<'_, '_> {
    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let manifest = &snapshot.manifest;
        self.snapshot = format!("{}@{}", manifest.source, manifest.name);
        self.path.clear();
        self.check.report.snapshots += 1;
        let entries = manifest.root.totals().descendants;
        self.check.report.entries = self.check.report.entries.saturating_add(entries);
        self.node(&manifest.root, 0)?;
        self.walk()?;
        if let Some(witnesses) = manifest.witnesses {
            self.open(Reference::stored(PageKind::Witness, witnesses, None), 0)?;
            self.walk()?;
        }
        Ok(())
    }

    /// Goes through everything below the open pages.
    fn walk(&mut self) -> Result<()> {
        while let Some(frame) = self.stack.last_mut() {
            self.check.check_cancelled()?;
            if frame.at >= frame.page.len() {
                self.leave();
                continue;
            }
            let (page, at, kind) = (frame.page.clone(), frame.at, frame.kind);
            frame.at += 1;
            let done = match kind {
                _ if page.level() > 0 => self.child(&page, at, kind),
                PageKind::Directory => self.entry(&page, at),
                PageKind::Content => self.extents(&page),
                PageKind::Witness => self.witness(&page, at),
            };
            if let Err(error) = done {
                self.damaged(error, "")?;
            }
        }
        Ok(())
    }

    /// The last page is done: it need not be looked at again if it was found whole. Pages with damage are, so that every
    /// snapshot and path that needs them is named; until there is no room to name more.
    fn leave(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        self.path.truncate(frame.path_length);
        if frame.sound || self.check.is_full() {
            if self.visited.len() >= VISITED_MAX {
                self.visited.clear();
            }
            self.visited.insert(frame.key);
        }
        if let (false, Some(above)) = (frame.sound, self.stack.last_mut()) {
            above.sound = false;
        }
    }

    /// Notes damage at the present path.
    fn damaged(&mut self, error: Error, consequence: &str) -> Result<()> {
        let (object, reason) = object_and_reason(error)?;
        self.damaged_object(object, format!("{reason}{consequence}"));
        Ok(())
    }

    fn damaged_object(&mut self, object: String, reason: String) {
        if let Some(frame) = self.stack.last_mut() {
            frame.sound = false;
        }
        // Witnesses are found by number, not by name.
        let path = match self.stack.first() {
            Some(Frame { kind: PageKind::Witness, .. }) => None,
            _ => Some(self.path.clone()),
        };
        self.check.note(Damage { snapshot: Some(self.snapshot.clone()), path, object, reason });
    }

    /// Reads a page and makes it the next to be gone through. `path_length`: of the path that is in force behind it.
    fn open(&mut self, reference: Reference, path_length: usize) -> Result<()> {
        let key = reference.key();
        let done = if self.visited.contains(&key) { Ok(None) } else { self.read_page(&reference).map(Some) };
        match done {
            Ok(Some(page)) => {
                self.check.report.pages += 1;
                let Reference { kind, key_before, .. } = reference;
                self.stack.push(Frame { kind, page, at: 0, key, key_before, sound: true, path_length });
            }
            Ok(None) => self.path.truncate(path_length),
            Err(error) => {
                self.damaged(error, &consequence(&reference))?;
                self.path.truncate(path_length);
            }
        }
        Ok(())
    }

    fn read_page(&mut self, reference: &Reference) -> Result<Page> {
        let page = Page::open_root(&reference.page, reference.kind, |id| self.load(id))?;
        if reference.above.is_some_and(|above| page.level() >= above) {
            return Err(page.corrupt("it stands below a page that is not of a higher level"));
        }
        let totals = totals_of(&page, reference.kind)?;
        if reference.totals.is_some_and(|promised| promised != totals) {
            return Err(page.corrupt("it does not hold as much as the page above says"));
        }
        if let Some(last_key) = &reference.last_key
            && page.key(page.len() - 1)? != last_key
        {
            return Err(page.corrupt("it does not end with the name that the page above says"));
        }
        if reference.kind == PageKind::Directory {
            require_order(&page, reference.key_before.as_deref())?;
        }
        Ok(page)
    }

    /// Reads a chunk that a page or a node names.
    fn load(&mut self, id: &ChunkId) -> Result<Arc<[u8]>> {
        let loaded = self.chunks.load(id);
        if loaded.is_err() {
            self.named.insert(*id);
        }
        loaded
    }

    /// An entry of an inner page.
    fn child(&mut self, page: &Page, at: u32, kind: PageKind) -> Result<()> {
        let child = page.child(at)?;
        let (above, last_key) = (Some(page.level()), Some(page.key(at)?.to_vec()));
        let key_before = match at {
            0 => self.stack.last().and_then(|frame| frame.key_before.clone()),
            _ => Some(page.key(at - 1)?.to_vec()),
        };
        let totals = Some(child.totals);
        let reference = Reference { above, last_key, key_before, ..Reference::stored(kind, child.page, totals) };
        self.open(reference, self.path.len())
    }

    /// An entry of a directory.
    fn entry(&mut self, page: &Page, at: u32) -> Result<()> {
        let name = page.key(at)?;
        let path_length = self.path.len();
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        Counters::add(&self.check.monitor.counters().entries, 1);
        match page.value(at, Node::decode) {
            Ok(node) => self.node(&node, path_length),
            Err(error) => {
                self.damaged(error, "")?;
                self.back_to(path_length)
            }
        }
    }

    /// Everything that a node refers to; its path is the present one.
    fn node(&mut self, node: &Node, path_length: usize) -> Result<()> {
        if let Xattrs::Chunk(id) = &node.xattrs
            && let Err(error) = self.chunks.load(id).and_then(|bytes| Xattrs::decode_chunk(id, &bytes))
        {
            self.named.insert(*id);
            self.damaged(error, "; it holds the extended attributes")?;
        }
        match &node.kind {
            NodeKind::Directory(root) => match &root.page {
                Some(page) => {
                    let totals = Some(root.totals);
                    self.open(Reference::root(PageKind::Directory, page.clone(), totals), path_length)
                }
                None => self.back_to(path_length),
            },
            NodeKind::File { content: Content { body: ContentBody::Tree { page, totals }, .. }, .. } => {
                self.open(Reference::stored(PageKind::Content, *page, Some(*totals)), path_length)
            }
            NodeKind::File { content: Content { body: ContentBody::Extents(extents), .. }, .. } => {
                self.look_up(extents)?;
                self.back_to(path_length)
            }
            _ => self.back_to(path_length),
        }
    }

    fn back_to(&mut self, path_length: usize) -> Result<()> {
        self.path.truncate(path_length);
        Ok(())
    }

    /// All extents of a leaf page of a content.
    fn extents(&mut self, page: &Page) -> Result<()> {
        let extents: Result<Vec<Extent>> = (0..page.len()).map(|at| page.value(at, Extent::decode)).collect();
        if let Some(frame) = self.stack.last_mut() {
            frame.at = page.len();
        }
        self.look_up(&extents?)
    }

    /// Whether the chunks of these extents are there.
    fn look_up(&mut self, extents: &[Extent]) -> Result<()> {
        let wanted = |extent: &Extent| match extent.source {
            ExtentSource::Hole => None,
            ExtentSource::Chunk { id, offset } => Some((id, u64::from(offset).checked_add(extent.length))),
        };
        let wanted: Vec<(ChunkId, Option<u64>)> = extents.iter().filter_map(wanted).collect();
        let ids: Vec<ChunkId> = wanted.iter().map(|(id, _)| *id).collect();
        let found = self.chunks.locate_many(&ids)?;
        for ((id, end), location) in wanted.into_iter().zip(found) {
            let Some(location) = location else {
                self.damaged(Error::ChunkMissing { id }, "; it holds data")?;
                continue;
            };
            if end.is_none_or(|end| end > u64::from(location.plain_bytes)) {
                self.damaged_object(format!("chunk {id}"), "a file needs more of it than there is".into());
            }
            // Where all is well, it need not be read: that is for `read_data`.
            if self.packs.good.contains(&location.pack) && !self.packs.bad_chunks.contains_key(&id) {
                continue;
            }
            if let Err(error) = self.load(&id) {
                self.damaged(error, "; it holds data")?;
            }
        }
        Ok(())
    }

    fn witness(&mut self, page: &Page, at: u32) -> Result<()> {
        match page.value(at, Witness::decode)? {
            Witness::Below(Some(below)) => {
                self.open(Reference::stored(PageKind::Witness, below, None), self.path.len())
            }
            _ => Ok(()),
        }
    }

    /// Damaged chunks that no snapshot needs any more are damage all the same.
    fn unused_damage(&mut self) {
        let bad = std::mem::take(&mut self.packs.bad_chunks);
        for (id, (object, reason)) in bad {
            if !self.named.contains(&id) {
                self.check.damaged(object, reason);
            }
        }
    }
}

/// What is lost with a page that cannot be read.
fn consequence(reference: &Reference) -> String {
    let entries = reference.totals.unwrap_or_default();
    match reference.kind {
        PageKind::Directory => format!("; with it {} entries of this directory are lost", entries.entries),
        PageKind::Content => format!("; with it {} bytes of this file are lost", entries.bytes),
        PageKind::Witness => "; the next ingest of this source reads unchanged files again".into(),
    }
}

/// Fails unless the keys of a directory's page ascend, from the greatest key before it on: names are looked up by that.
fn require_order(page: &Page, key_before: Option<&[u8]>) -> Result<()> {
    let mut last = key_before;
    for at in 0..page.len() {
        let key = page.key(at)?;
        if last.is_some_and(|last| last >= key) {
            return Err(page.corrupt("its names are not in order"));
        }
        last = Some(key);
    }
    Ok(())
}

/// The sum over a page's own entries.
fn totals_of(page: &Page, kind: PageKind) -> Result<Totals> {
    (0..page.len()).try_fold(Totals::default(), |sum, at| {
        let part = match kind {
            _ if page.level() > 0 => page.value_in_place(at, Child::decode)?.totals,
            PageKind::Directory => page.value_in_place(at, Node::decode)?.totals(),
            PageKind::Content => page.value_in_place(at, Extent::decode)?.totals(),
            PageKind::Witness => {
                page.value_in_place(at, Witness::decode)?;
                Totals { entries: 1, ..Totals::default() }
            }
        };
        Ok(sum.plus(part))
    })
}
