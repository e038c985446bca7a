//! The walk over both trees side by side, in tree order.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::diff::change::{Action, Change, Itemized};
use crate::diff::contents::{Bytes, LiveFile, same_bytes};
use crate::diff::hard_links::{FirstNames, MovedFirstNames};
use crate::diff::listing::{Item, ItemSource, Listing, Own};
use crate::diff::root::open_root;
use crate::diff::{DiffOptions, DiffSummary, Side};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::comparison::{Differences, StoredBytes, type_letter};
use crate::repository::metadata::{FileType, OPEN_LEVELS_MAX, open_file_at, read_xattrs_at, stat_fd};
use crate::repository::node::{NodeKind, Xattr, Xattrs};
use crate::repository::pairs::{self, PagesMet, next_pair};
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;

type Pair = pairs::Pair<Item>;

/// One comparison.
pub(super) struct Walk<'a, 'e> {
    sides: [SideState<'a>; 2],
    root_name: Vec<u8>,
    monitor: &'e dyn Monitor,
    emit: &'e mut dyn FnMut(Change) -> Result<()>,
    /// The directories that the walk is in.
    stack: Vec<Frame<'a>>,
    /// Of the entry at hand, relative to the compared trees.
    path: Vec<u8>,
    moved: MovedFirstNames,
    /// False where a live side hides `trusted.` attributes.
    with_trusted: bool,
    summary: DiffSummary,
    pages: PagesMet,
}

/// What the walk knows of one side.
struct SideState<'a> {
    /// Of a snapshot.
    chunks: Option<&'a ChunkStore>,
    first_names: FirstNames,
}

const A: usize = 0;
const B: usize = 1;

/// The directory, on both sides, that the walk is in; or what its root entries are found in.
struct Frame<'a> {
    sides: [Listing<'a>; 2],
    path_length: usize,
}

impl<'a, 'e> Walk<'a, 'e> {
    pub fn new(
        a: &Side<'a>,
        b: &Side<'a>,
        options: &DiffOptions,
        monitor: &'e dyn Monitor,
        emit: &'e mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Walk<'a, 'e>> {
        let is_live = |side: &Side| matches!(side, Side::Live(_));
        let mut walk = Walk {
            sides: [SideState::new(a)?, SideState::new(b)?],
            root_name: options.root_name.clone(),
            monitor,
            emit,
            stack: Vec::new(),
            path: Vec::new(),
            moved: MovedFirstNames::default(),
            with_trusted: rustix::process::geteuid().is_root() || !(is_live(a) || is_live(b)),
            summary: DiffSummary::default(),
            pages: PagesMet::default(),
        };
        let repository = [a, b].iter().find_map(|side| match side {
            Side::Snapshot { repository, .. } => Some(repository.id()),
            _ => None,
        });
        let own = Own { directory: options.own_directory, repository };
        let ((root_a, place_a), (root_b, place_b)) = (open_root(a, own)?, open_root(b, own)?);
        walk.visit_roots([root_a, root_b], &Frame { sides: [place_a, place_b], path_length: 0 })?;
        Ok(walk)
    }

    pub fn run(mut self) -> Result<DiffSummary> {
        while let Some(mut frame) = self.stack.pop() {
            if self.monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            self.path.truncate(frame.path_length);
            match next_pair(&mut frame.sides, &mut self.pages) {
                Ok(Some(pair)) => {
                    self.go_to(&pair);
                    let below = self.visit(&pair, &frame)?;
                    self.stack.push(frame);
                    self.enter(below);
                }
                Ok(None) => self.leave(frame),
                Err(error) => {
                    self.problem(error)?;
                    self.leave(frame);
                }
            }
        }
        let PagesMet { read, skipped, entries_skipped } = self.pages;
        Ok(DiffSummary { pages_read: read, pages_skipped: skipped, entries_skipped, ..self.summary })
    }

    /// Puts the name of these entries behind the path of their directory.
    fn go_to(&mut self, pair: &Pair) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        if let Some(item) = pair.iter().flatten().next() {
            self.path.extend_from_slice(&item.name);
        }
    }

    fn visit_roots(&mut self, roots: Pair, places: &Frame<'a>) -> Result<()> {
        let is_directory = |item: &Item| item.facts.file_type == FileType::Directory;
        if !roots.iter().flatten().all(is_directory) {
            self.path = self.root_name.clone();
        }
        let below = self.visit(&roots, places)?;
        self.enter(below);
        Ok(())
    }

    fn enter(&mut self, below: Option<Frame<'a>>) {
        let Some(below) = below else { return };
        self.stack.push(below);
        // The top stays open: from there, what cannot be reached from below is found.
        let Some(far_up) = self.stack.len().checked_sub(OPEN_LEVELS_MAX + 1).filter(|&level| level > 0) else { return };
        if let [frame, nearer, ..] = &mut self.stack[far_up..] {
            for (listing, below) in frame.sides.iter_mut().zip(&nearer.sides) {
                // Only through a directory in it can it be opened again.
                if let (Listing::Live(directory), Listing::Live(_)) = (listing, below) {
                    directory.close();
                }
            }
        }
    }

    /// Goes back to the directory above, opening it again where it was closed.
    fn leave(&mut self, mut below: Frame<'a>) {
        while let Some(mut parent) = self.stack.pop() {
            self.path.truncate(parent.path_length);
            let reopened = match self.stack.first() {
                None => Ok(()),
                Some(top) => parent.reopen_from(&below, top, &self.path[top.path_length..]),
            };
            let Err(cause) = reopened else {
                self.stack.push(parent);
                return;
            };
            self.report(format!("cannot open the directory again: {cause}"));
            below = parent;
        }
    }

    /// Compares entries of one name; gives the directory to go into, if there is one.
    fn visit(&mut self, pair: &Pair, place: &Frame<'a>) -> Result<Option<Frame<'a>>> {
        self.count(pair);
        if let Some(change) = self.change(pair, place)? {
            self.summary.add(&change);
            (self.emit)(change)?;
        }
        self.descend(pair, place)
    }

    fn count(&self, pair: &Pair) {
        let counters = self.monitor.counters();
        Counters::add(&counters.entries, 1);
        let files = pair.iter().flatten().filter(|item| item.facts.file_type == FileType::File);
        if let Some(size) = files.map(|item| item.facts.size).max() {
            Counters::add(&counters.files, 1);
            Counters::add(&counters.bytes, size);
        }
    }

    /// What changed between entries of one name.
    fn change(&mut self, pair: &Pair, place: &Frame<'a>) -> Result<Option<Change>> {
        let first_before = self.first_name(A, pair);
        let first_after = self.first_name(B, pair);
        let (action, differences) = self.action(pair, place)?;
        if first_after.as_ref() == Some(&self.path) {
            self.moved.note(&self.path, first_before.as_ref());
        }
        let further = first_after.filter(|first| *first != self.path);
        let is_link = further.is_some();
        let links_to =
            further.filter(|first| action == Action::Create || !self.moved.were_one(first, first_before.as_ref()));
        if action == Action::Adjust && !differences.any() && links_to.is_none() {
            return Ok(None);
        }
        let [before, after] = pair.each_ref().map(|item| item.as_ref().map(|item| item.facts.clone()));
        let Some(shown) = after.as_ref().or(before.as_ref()) else { return Ok(None) };
        let itemized = Itemized { action, letter: type_letter(shown.file_type), is_link, differences };
        Ok(Some(Change { path: self.path.clone(), itemized, links_to, before, after }))
    }

    /// First name of the file, with several, that the entry of one side is a name of.
    fn first_name(&mut self, side: usize, pair: &Pair) -> Option<Vec<u8>> {
        let item = pair[side].as_ref()?;
        let names = &mut self.sides[side].first_names;
        match &item.source {
            ItemSource::Stored(node) => node.hard_link.as_ref().map(|link| names.of_stored(link, &self.path)),
            ItemSource::Live { .. } if item.facts.link_count < 2 => None,
            ItemSource::Live { inode } => Some(names.of_live(*inode, item.facts.link_count, &self.path)),
        }
    }

    fn action(&mut self, pair: &Pair, place: &Frame<'a>) -> Result<(Action, Differences)> {
        let nothing = Differences::default();
        let (a, b) = match pair {
            [Some(a), Some(b)] => (a, b),
            [_, None] => return Ok((Action::Delete, nothing)),
            [None, _] => return Ok((Action::Create, nothing)),
        };
        if type_letter(a.facts.file_type) != type_letter(b.facts.file_type) {
            return Ok((Action::Create, nothing));
        }
        let differences = self.differences(a, b, place)?;
        let action = match (differences.content, b.facts.file_type) {
            (false, _) => Action::Adjust,
            (true, FileType::File) => Action::Transfer,
            (true, _) => Action::Remake,
        };
        Ok((action, differences))
    }

    /// How entries of one type differ.
    fn differences(&mut self, a: &Item, b: &Item, place: &Frame<'a>) -> Result<Differences> {
        if let (ItemSource::Stored(node), ItemSource::Stored(other)) = (&a.source, &b.source)
            && node == other
        {
            return Ok(Differences::default());
        }
        let mut differences = Differences::of_facts(&a.facts, &b.facts);
        if b.facts.file_type == FileType::File && !differences.size {
            differences.content = self.bytes_differ(a, b, place)?;
        }
        self.compare_attributes(a, b, place, &mut differences)?;
        Ok(differences)
    }

    /// Whether files of one size hold different bytes; false where that cannot be told, which is a problem.
    fn bytes_differ(&mut self, a: &Item, b: &Item, place: &Frame<'a>) -> Result<bool> {
        let same = self.bytes_of(A, a, place).and_then(|bytes| {
            let others = self.bytes_of(B, b, place)?;
            same_bytes(bytes, others, self.monitor)
        });
        match same {
            Ok(same) => Ok(!same),
            Err(error) => self.problem(error).map(|()| false),
        }
    }

    fn bytes_of<'x>(&self, side: usize, item: &'x Item, place: &Frame<'a>) -> Result<Bytes<'x>>
    where
        'a: 'x,
    {
        match (&item.source, self.sides[side].chunks, &place.sides[side]) {
            (ItemSource::Stored(node), Some(chunks), _) => match &node.kind {
                NodeKind::File { content, .. } => Ok(Bytes::Stored(StoredBytes { chunks, content })),
                _ => Err(not_there()),
            },
            (ItemSource::Live { inode }, _, Listing::Live(directory)) => {
                let file = directory.fd().and_then(|fd| open_file_at(fd, OsStr::from_bytes(&item.name)));
                let file = file.map_err(Error::io("open the file", ""))?;
                let captured = stat_fd(file.as_fd()).map_err(Error::io("look at the file", ""))?;
                if (captured.device, captured.inode) != *inode || captured.size != item.facts.size {
                    let cause = std::io::Error::other("it changed meanwhile");
                    return Err(Error::io("compare the file", "")(cause));
                }
                Ok(Bytes::Live(LiveFile::new(file, captured.size)))
            }
            _ => Err(not_there()),
        }
    }

    /// Compares the extended attributes; where they cannot be read, which is a problem, nothing is said to differ.
    fn compare_attributes(&mut self, a: &Item, b: &Item, place: &Frame<'a>, into: &mut Differences) -> Result<()> {
        if let (ItemSource::Stored(node), ItemSource::Stored(other)) = (&a.source, &b.source)
            && node.xattrs == other.xattrs
        {
            return Ok(());
        }
        let lists = self.xattrs_of(A, a, place).and_then(|list| Ok((list, self.xattrs_of(B, b, place)?)));
        match lists {
            Ok((list, other)) => into.add_attributes(b.facts.file_type, &list, &other, self.with_trusted),
            Err(error) => self.problem(error)?,
        }
        Ok(())
    }

    fn xattrs_of(&self, side: usize, item: &Item, place: &Frame<'a>) -> Result<Vec<Xattr>> {
        match (&item.source, self.sides[side].chunks, &place.sides[side]) {
            (ItemSource::Stored(node), _, _) if node.xattrs == Xattrs::None => Ok(Vec::new()),
            (ItemSource::Stored(node), Some(chunks), _) => TreeReader::new(chunks).xattrs(node),
            (ItemSource::Live { .. }, _, Listing::Live(directory)) => {
                let list = directory.fd().and_then(|fd| read_xattrs_at(fd, OsStr::from_bytes(&item.name)));
                list.map_err(Error::io("read its attributes", ""))
            }
            _ => Err(not_there()),
        }
    }

    /// The directory to go into behind these entries: none where neither is one, or both are equal.
    fn descend(&mut self, pair: &Pair, place: &Frame<'a>) -> Result<Option<Frame<'a>>> {
        let [a, b] = pair;
        let stored = [a, b].map(|item| item.as_ref().and_then(Item::stored_directory));
        if let [Some(root), Some(other)] = stored
            && root.page == other.page
        {
            self.pages.skipped += 1;
            self.pages.entries_skipped += root.totals.descendants;
            return Ok(None);
        }
        match (self.listing(A, a, place), self.listing(B, b, place)) {
            (Ok(Listing::Nothing), Ok(Listing::Nothing)) => Ok(None),
            (Ok(a), Ok(b)) => Ok(Some(Frame { sides: [a, b], path_length: self.path.len() })),
            // With one side unread nothing can be said of what is below.
            (Err(error), _) | (_, Err(error)) => self.problem(error).map(|()| None),
        }
    }

    fn listing(&self, side: usize, item: &Option<Item>, place: &Frame<'a>) -> Result<Listing<'a>> {
        let Some(item) = item.as_ref().filter(|item| item.facts.file_type == FileType::Directory) else {
            return Ok(Listing::Nothing);
        };
        match (&item.source, self.sides[side].chunks, &place.sides[side]) {
            (ItemSource::Stored(node), Some(chunks), _) => {
                Ok(node.directory().map_or(Listing::Nothing, |root| Listing::stored(chunks, root)))
            }
            (ItemSource::Live { inode }, _, Listing::Live(directory)) => {
                let below = directory.enter(&item.name, *inode);
                below.map(Listing::Live).map_err(Error::io("open the directory", ""))
            }
            _ => Err(not_there()),
        }
    }

    /// Reports what keeps the entry at hand from being compared, so that the walk can go on; gives back what it
    /// cannot go on from.
    fn problem(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        self.summary.damaged += u64::from(error.kind() == ErrorKind::Corrupt);
        self.report(match &error {
            // The problem names the path itself.
            Error::Io { operation, path, source } if path.as_os_str().is_empty() => {
                format!("cannot {operation}: {source}")
            }
            _ => error.to_string(),
        });
        Ok(())
    }

    fn report(&mut self, reason: String) {
        self.summary.problems += 1;
        let path = if self.path.is_empty() { b".".as_slice() } else { &self.path };
        self.monitor.problem(Problem { path: PathBuf::from(OsStr::from_bytes(path)), reason });
    }
}

/// Every entry comes with the place that it was found in.
fn not_there() -> Error {
    Error::io("find the entry again", "")(std::io::Error::from(std::io::ErrorKind::NotFound))
}

impl<'a> Frame<'a> {
    fn reopen_from(&mut self, below: &Frame<'a>, top: &Frame<'a>, path: &[u8]) -> std::io::Result<()> {
        for ((listing, below), top) in self.sides.iter_mut().zip(&below.sides).zip(&top.sides) {
            if let (Listing::Live(directory), Listing::Live(below), Listing::Live(top)) = (listing, below, top) {
                directory.reopen_from(below, top, path)?;
            }
        }
        Ok(())
    }
}

impl<'a> SideState<'a> {
    fn new(side: &Side<'a>) -> Result<SideState<'a>> {
        Ok(match side {
            Side::Snapshot { repository, path, .. } => {
                SideState { chunks: Some(repository.chunks()?), first_names: FirstNames::new(path.clone()) }
            }
            _ => SideState { chunks: None, first_names: FirstNames::new(Vec::new()) },
        })
    }
}
