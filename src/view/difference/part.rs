//! Part: what one of the three directories in `diff/A..B` shows of two directories side by side.

use crate::error::{ErrorKind, Result};
use crate::repository::comparison::{stored_entries_differ, type_letter};
use crate::repository::entry_cursor::{Entry, EntryCursor};
use crate::repository::metadata::FileType;
use crate::repository::node::{DirectoryRoot, Node};
use crate::repository::page_cursor::Head;
use crate::repository::pairs::{PagesMet, Pair, next_pair};
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;
use crate::store::cache::{ByteCache, Weight};
use crate::view::inode::DifferencePlace;

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

/// Which part of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) enum Part {
    /// `diff/A..B` itself, which holds the three others.
    Whole,
    /// Entries that only B has, or that are of another type there; as in B.
    Added,
    /// Entries of both that differ in bytes, metadata or links; as in B.
    Changed,
    /// Entries that only A has, or that are of another type there; as in A.
    Removed,
}

impl Part {
    pub const NAMED: [(&'static str, Part); 3] =
        [("added", Part::Added), ("changed", Part::Changed), ("removed", Part::Removed)];

    /// Its number in an inode number.
    pub fn code(self) -> u64 {
        match self {
            Part::Whole => 0,
            Part::Added => 1,
            Part::Changed => 2,
            Part::Removed => 3,
        }
    }

    /// The part with the lowest two bits of `code`.
    pub fn of_code(code: u64) -> Part {
        match code & 3 {
            0 => Part::Whole,
            1 => Part::Added,
            2 => Part::Changed,
            _ => Part::Removed,
        }
    }

    /// The side whose entries it shows.
    pub fn side(self) -> usize {
        if self == Part::Removed { A } else { B }
    }
}

/// Whether something is shown: what it took reading to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict(bool);

impl Weight for Verdict {
    fn weight_bytes(&self) -> u64 {
        size_of::<Verdict>() as u64
    }
}

/// A directory of both sides: its path from the roots, and its position in the side that is shown.
#[derive(Clone, Copy)]
pub(super) struct Here<'h> {
    pub path: &'h [u8],
    pub position: u64,
}

/// One part of one pair of snapshots, in which entries are compared.
pub(super) struct Comparing<'a> {
    pub chunks: &'a ChunkStore,
    /// The part.
    pub place: DifferencePlace,
    /// Root of A, by which first names of hard links are found.
    pub root_a: &'a Node,
    /// By inode number, as the directories here have them; a file has that of its own position in `changed`.
    pub verdicts: &'a ByteCache<u64, Verdict>,
}

/// What a part shows of entries of one name.
enum Shown {
    Nothing,
    Itself,
    /// A directory, if it leads to something.
    IfAnythingBelow([DirectoryRoot; 2]),
}

impl Comparing<'_> {
    /// Whether the part shows entries of one name: themselves, or what is below them. Where damage keeps that from being
    /// told, they are shown: it is met where it is, and never hides anything.
    pub fn shows(&self, here: Here<'_>, pair: &Pair<Entry>) -> Result<bool> {
        let Some(own) = &pair[self.place.part.side()] else { return Ok(false) };
        let shown = self.shown(here, pair).and_then(|shown| match shown {
            Shown::Nothing => Ok(false),
            Shown::Itself => Ok(true),
            Shown::IfAnythingBelow(roots) => {
                let path = join(here.path, &own.name);
                self.leads_somewhere(Here { path: &path, position: position_of(here, own) }, roots)
            }
        });
        shown.or_else(|error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Unsupported => {
                let path = join(here.path, &own.name);
                log::error!("cannot compare \"{}\" of two snapshots: {error}", String::from_utf8_lossy(&path));
                Ok(true)
            }
            // It may go well the next time.
            _ => Err(error),
        })
    }

    fn shown(&self, here: Here<'_>, pair: &Pair<Entry>) -> Result<Shown> {
        let part = self.place.part;
        let (a, b) = match pair {
            [Some(a), Some(b)] if is_same_type(&a.node, &b.node) => (a, b),
            // Of one side, or of two types; what the part's own side lacks is not asked for.
            _ if part == Part::Changed => return Ok(Shown::Nothing),
            _ => return Ok(Shown::Itself),
        };
        if part == Part::Changed && self.differ(here, a, b)? {
            return Ok(Shown::Itself);
        }
        Ok(match (a.node.directory(), b.node.directory()) {
            (Some(below_a), Some(below_b)) if below_a.page != below_b.page => {
                Shown::IfAnythingBelow([below_a.clone(), below_b.clone()])
            }
            _ => Shown::Nothing,
        })
    }

    /// Whether entries of one type differ, apart from what is below them.
    fn differ(&self, here: Here<'_>, a: &Entry, b: &Entry) -> Result<bool> {
        let load = || {
            let differ = stored_entries_differ(self.chunks, &a.node, &b.node)? || self.is_relinked(here, a, b)?;
            Ok(Verdict(differ))
        };
        let may_read_bytes = FileType::of(&b.node.kind) == FileType::File && a.node.size() == b.node.size();
        let verdict = match may_read_bytes {
            true => self.verdicts.get_or_load(&self.place.at(position_of(here, b)).ino(), load)?,
            false => load()?,
        };
        Ok(verdict.0)
    }

    /// Whether B has here a further name of a file whose first name was not the same file in A.
    fn is_relinked(&self, here: Here<'_>, a: &Entry, b: &Entry) -> Result<bool> {
        let Some(link) = b.node.hard_link.as_ref().filter(|_| a.node.hard_link != b.node.hard_link) else {
            return Ok(false);
        };
        if link.first_path == join(here.path, &b.name) {
            return Ok(false);
        }
        let Some(before) = &a.node.hard_link else { return Ok(true) };
        let first = TreeReader::new(self.chunks).lookup_path(self.root_a, &link.first_path)?;
        let first_before = first.and_then(|node| node.hard_link).map(|link| link.first_path);
        Ok(first_before.as_ref() != Some(&before.first_path))
    }

    /// Whether anything below two directories is shown.
    fn leads_somewhere(&self, here: Here<'_>, roots: [DirectoryRoot; 2]) -> Result<bool> {
        match self.verdicts.get(&self.place.at(here.position).ino()) {
            Some(verdict) => Ok(verdict.0),
            None => self.find_below(here, roots),
        }
    }

    /// Looks for anything that is shown, depth first, up to the first find. What that tells of every directory on the way
    /// is remembered, so that no part of a tree is searched again and again.
    fn find_below(&self, here: Here<'_>, roots: [DirectoryRoot; 2]) -> Result<bool> {
        let mut path = here.path.to_vec();
        let mut stack = vec![Frame::new(self.chunks, here, roots)];
        while let Some(frame) = stack.last_mut() {
            path.truncate(frame.path_length);
            let Some(pair) = frame.next(self.place.part.side())? else {
                self.remember(stack.pop(), false);
                continue;
            };
            let Some(own) = &pair[self.place.part.side()] else { continue };
            let here = Here { path: &path, position: frame.position };
            let position = position_of(here, own);
            let known = match self.shown(here, &pair)? {
                Shown::Nothing => Some(false),
                Shown::Itself => Some(true),
                Shown::IfAnythingBelow(roots) => {
                    let known = self.verdicts.get(&self.place.at(position).ino()).map(|verdict| verdict.0);
                    if known.is_none() {
                        path = join(&path, &own.name);
                        stack.push(Frame::new(self.chunks, Here { path: &path, position }, roots));
                    }
                    known
                }
            };
            if known == Some(true) {
                stack.into_iter().for_each(|frame| self.remember(Some(frame), true));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn remember(&self, frame: Option<Frame<'_>>, leads_somewhere: bool) {
        if let Some(frame) = frame {
            self.verdicts.insert(self.place.at(frame.position).ino(), Verdict(leads_somewhere));
        }
    }
}

/// A directory that the search is in.
struct Frame<'a> {
    sides: [EntryCursor<'a>; 2],
    position: u64,
    path_length: usize,
}

impl<'a> Frame<'a> {
    fn new(chunks: &'a ChunkStore, here: Here<'_>, roots: [DirectoryRoot; 2]) -> Frame<'a> {
        let sides = roots.map(|root| EntryCursor::new(chunks, &root));
        Frame { sides, position: here.position, path_length: here.path.len() }
    }

    fn next(&mut self, own: usize) -> Result<Option<Pair<Entry>>> {
        match self.sides[own].head()? {
            // What only the other side has is not shown.
            Head::End => Ok(None),
            _ => next_pair(&mut self.sides, &mut PagesMet::default()),
        }
    }
}

fn is_same_type(a: &Node, b: &Node) -> bool {
    type_letter(FileType::of(&a.kind)) == type_letter(FileType::of(&b.kind))
}

/// The position of an entry of a directory.
pub(super) fn position_of(directory: Here<'_>, entry: &Entry) -> u64 {
    directory.position.saturating_add(1).saturating_add(entry.preorder)
}

/// The path of the entry `name` of a directory.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
