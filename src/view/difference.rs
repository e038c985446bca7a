//! `diff/A..B/{added,removed,changed}/...`: what differs between two snapshots, as files: exactly what `yesterfs diff`
//! prints, and the directories that lead there. Directories are compared when they are looked at; what both snapshots
//! share is passed over unread.
//!
//! A directory here is known by its number alone, which holds its position in the snapshot that its part shows; its
//! other side is found by its path. What was found lately is remembered, within bounds.

mod part;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::entry_cursor::{Entry, EntryCursor};
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::page_cursor::Head;
use crate::repository::pairs::{PagesMet, Pair, next_pair};
use crate::repository::snapshot::Snapshot;
use crate::repository::tree::TreeReader;
use crate::store::cache::{ByteCache, Weight};
use crate::view::inode::{self, DifferencePlace};
use crate::view::pair_table::PairTable;
use crate::view::row_patches::ROWS;
use crate::view::snapshot_tree::{attributes_of, node_bytes};
use crate::view::{Attributes, Child, Listed, View};

pub(super) use part::Part;
use part::{A, Comparing, Here, Verdict, join, position_of};

/// Memory for directories found lately, and for what it took reading to tell.
const DIRECTORIES_CACHE_BYTES: u64 = 4 << 20;
const VERDICTS_CACHE_BYTES: u64 = 4 << 20;

/// What a directory found lately usually takes.
const USUAL_DIRECTORY_BYTES: u64 = 800;

/// Finds what is in `diff/`.
pub(super) struct DifferenceTree {
    pub pairs: PairTable,
    directories: ByteCache<u64, Arc<DifferenceDirectory>>,
    verdicts: ByteCache<u64, Verdict>,
}

/// One directory below `diff/`.
#[derive(Debug)]
pub(super) struct DifferenceDirectory {
    place: DifferencePlace,
    pub parent: u64,
    /// A and B.
    snapshots: [Arc<Snapshot>; 2],
    /// From the snapshots' roots.
    path: Vec<u8>,
    /// The directory as each snapshot has it, if it does; the side that is shown always does.
    sides: Pair<Node>,
}

impl Weight for Arc<DifferenceDirectory> {
    fn weight_bytes(&self) -> u64 {
        let nodes: u64 = self.sides.iter().flatten().map(node_bytes).sum();
        (size_of::<DifferenceDirectory>() + self.path.len()) as u64 + nodes
    }
}

impl DifferenceDirectory {
    fn here(&self) -> Here<'_> {
        Here { path: &self.path, position: self.place.position }
    }

    /// The directory as it is shown; `None` for `diff/A..B` itself, which is in no snapshot.
    pub fn shown(&self) -> Option<&Node> {
        self.sides[self.place.part.side()].as_ref().filter(|_| self.place.part != Part::Whole)
    }

    fn roots(&self) -> [DirectoryRoot; 2] {
        self.sides.each_ref().map(|node| node.as_ref().and_then(Node::directory).cloned().unwrap_or_default())
    }

    /// What stat tells of it, if it is in a snapshot.
    pub fn attributes(&self) -> Option<Attributes> {
        self.shown().map(|node| directory_attributes(self.place, node))
    }
}

/// What stat tells of a directory here. Nobody counts its subdirectories beforehand; 1 tells find(1) not to rely on it.
fn directory_attributes(place: DifferencePlace, node: &Node) -> Attributes {
    Attributes { link_count: 1, ..attributes_of(place.ino(), node) }
}

impl DifferenceTree {
    pub fn new() -> DifferenceTree {
        DifferenceTree {
            pairs: PairTable::new(),
            directories: ByteCache::new(DIRECTORIES_CACHE_BYTES, USUAL_DIRECTORY_BYTES),
            verdicts: ByteCache::new(VERDICTS_CACHE_BYTES, size_of::<Verdict>() as u64),
        }
    }

    /// The directory at a place.
    ///
    /// # Errors
    /// [`Error::Stale`] where its pair fell out of the table, one of its snapshots was forgotten, or there never was one.
    pub fn directory(&self, repository: &Repository, place: DifferencePlace) -> Result<Arc<DifferenceDirectory>> {
        let pair = self.pairs.get(place.pair)?;
        let catalog = repository.catalog();
        let snapshot = |sequence: u64| {
            let gone = || Error::Stale { what: "snapshot with number", number: sequence };
            catalog.by_sequence(sequence).cloned().ok_or_else(gone)
        };
        let snapshots = [snapshot(pair.a)?, snapshot(pair.b)?];
        let find = || find_directory(repository.tree()?, snapshots, place).map(Arc::new);
        self.directories.get_or_load(&place.ino(), find)
    }

    fn comparing<'a>(
        &'a self,
        repository: &'a Repository,
        directory: &'a DifferenceDirectory,
    ) -> Result<Comparing<'a>> {
        Ok(Comparing {
            chunks: repository.chunks()?,
            place: directory.place,
            root_a: &directory.snapshots[A].manifest.root,
            verdicts: &self.verdicts,
        })
    }

    /// The child `name` of a directory.
    pub fn child(&self, view: &View, directory: &DifferenceDirectory, name: &[u8]) -> Result<Option<Attributes>> {
        if directory.place.part == Part::Whole {
            let part = Part::NAMED.iter().find(|(part, _)| part.as_bytes() == name);
            return part.map(|(_, part)| self.part(view, directory, *part)).transpose();
        }
        let tree = view.repository.tree()?;
        let [root_a, root_b] = directory.roots();
        let pair = [tree.lookup(&root_a, name)?, tree.lookup(&root_b, name)?];
        if !self.comparing(&view.repository, directory)?.shows(directory.here(), &pair)? {
            return Ok(None);
        }
        let [a, b] = pair;
        let own = if directory.place.part.side() == A { a } else { b };
        own.map(|entry| self.entry_attributes(view, directory, &entry)).transpose()
    }

    /// One of the three directories of `diff/A..B`.
    fn part(&self, view: &View, whole: &DifferenceDirectory, part: Part) -> Result<Attributes> {
        view.attributes(DifferencePlace { part, ..whole.place }.ino())
    }

    /// `rows`, if this is `diff/A..B` itself, and both are dumps.
    pub fn rows(&self, view: &View, directory: &DifferenceDirectory) -> Option<Child> {
        let [a, b] = &directory.snapshots;
        (directory.place.part == Part::Whole).then(|| view.rows_of_pair(directory.place.pair, [a, b])).flatten()
    }

    /// What stat tells of an entry that is shown: directories have numbers of their own here, all others are those of
    /// their snapshot.
    fn entry_attributes(&self, view: &View, directory: &DifferenceDirectory, entry: &Entry) -> Result<Attributes> {
        if entry.node.directory().is_some() {
            return Ok(directory_attributes(directory.place.at(position_of(directory.here(), entry)), &entry.node));
        }
        let sequence = directory.snapshots[directory.place.part.side()].sequence;
        view.snapshots.entry_attributes(&view.repository, sequence, directory.place.position, entry)
    }

    /// Lists a directory from behind the entry whose place is `offset`: its ordinal in the snapshot shown, plus one.
    pub fn list(
        &self,
        view: &View,
        directory: &DifferenceDirectory,
        offset: u64,
        emit: &mut dyn FnMut(Listed) -> bool,
    ) -> Result<()> {
        if directory.place.part == Part::Whole {
            return self.list_parts(view, directory, offset, emit);
        }
        let comparing = self.comparing(&view.repository, directory)?;
        let own = directory.place.part.side();
        let mut sides = directory.roots().map(|root| EntryCursor::new(comparing.chunks, &root));
        sides[own].pass_to(offset)?;
        if let Some(before) = sides[own].name_before()?.map(<[u8]>::to_vec) {
            sides[1 - own].pass_behind(&before)?;
        }
        // What only the other side has is not shown.
        while sides[own].head()? != Head::End {
            let Some(pair) = next_pair(&mut sides, &mut PagesMet::default())? else { break };
            let Some(entry) = &pair[own] else { continue };
            if !comparing.shows(directory.here(), &pair)? {
                continue;
            }
            let attributes = self.entry_attributes(view, directory, entry)?;
            if !emit(Listed { name: entry.name.clone(), next: entry.ordinal + 1, attributes }) {
                break;
            }
        }
        Ok(())
    }
}

impl DifferenceTree {
    /// Lists `diff/A..B`.
    fn list_parts(
        &self,
        view: &View,
        directory: &DifferenceDirectory,
        offset: u64,
        emit: &mut dyn FnMut(Listed) -> bool,
    ) -> Result<()> {
        let parts = Part::NAMED.into_iter().map(|(name, part)| Ok((name.into(), self.part(view, directory, part)?)));
        let rows = self.rows(view, directory).map(|rows| Ok((ROWS.to_vec(), view.enter(rows)?)));
        for (next, named) in (1..).zip(parts.chain(rows)).filter(|(next, _)| *next > offset) {
            let (name, attributes) = named?;
            if !emit(Listed { name, next, attributes }) {
                break;
            }
        }
        Ok(())
    }
}

/// Walks down to the directory at a place, on both sides.
fn find_directory(
    tree: TreeReader<'_>,
    snapshots: [Arc<Snapshot>; 2],
    place: DifferencePlace,
) -> Result<DifferenceDirectory> {
    let own = place.part.side();
    let mut sides = snapshots.each_ref().map(|snapshot| Some(snapshot.manifest.root.clone()));
    let whole = DifferencePlace { part: Part::Whole, ..place.at(0) };
    let mut parent = if place == whole { inode::DIFF } else { whole.ino() };
    let mut path = Vec::new();
    let mut above = place.at(0);
    let found = tree.descend(&snapshots[own].manifest.root, place.position, |entry, position| {
        let other = sides[1 - own].as_ref().and_then(Node::directory);
        let other = other.map_or(Ok(None), |root| tree.lookup(root, &entry.name))?.map(|entry| entry.node);
        sides[1 - own] = other.filter(|node| node.directory().is_some());
        path = join(&path, &entry.name);
        sides[own] = Some(entry.node);
        parent = above.ino();
        above = place.at(position);
        Ok(())
    })?;
    let is_directory = sides[own].as_ref().is_some_and(|node| node.directory().is_some());
    let is_here = place.part != Part::Whole || place == whole;
    if !found || !is_directory || !is_here {
        return Err(Error::Stale { what: "directory with inode number", number: place.ino() });
    }
    Ok(DifferenceDirectory { place, parent, snapshots, path, sides })
}
