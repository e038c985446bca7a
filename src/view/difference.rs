//! `diff/A..B/{added,removed,changed}/...`: what differs between two snapshots, as files. Directories are compared when
//! they are looked at; equal subtrees are passed over unread.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::repository::node::{DirectoryRoot, Node, NodeKind};
use crate::repository::snapshot::Snapshot;
use crate::repository::tree::{Entry, TreeReader};
use crate::view::virtual_entry::{VirtualEntry, VirtualKind};
use crate::view::{Attributes, Child, Listed, View, inode};

/// Which entries a directory shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The three directories below.
    All,
    /// Entries that only B has, or that are of another type there; as in B.
    Added,
    /// Entries that only A has, or that are of another type there; as in A.
    Removed,
    /// Entries of both that differ in bytes or metadata; as in B.
    Changed,
}

const PARTS: [(&str, Shows); 3] = [("added", Shows::Added), ("changed", Shows::Changed), ("removed", Shows::Removed)];

/// A directory as one of the two snapshots has it.
#[derive(Debug, Clone)]
struct Side {
    sequence: u64,
    position: u64,
    node: Node,
}

/// One directory below `diff/A..B`.
#[derive(Debug)]
pub(super) struct DifferenceDirectory {
    key: Vec<u8>,
    shows: Shows,
    a: Option<Side>,
    b: Option<Side>,
}

impl Side {
    fn root(snapshot: &Snapshot) -> Option<Side> {
        Some(Side { sequence: snapshot.sequence, position: 0, node: snapshot.manifest.root.clone() })
    }

    fn directory(side: &Option<Side>) -> DirectoryRoot {
        side.as_ref().and_then(|side| side.node.directory().copied()).unwrap_or_default()
    }

    fn below(&self, entry: &Entry) -> Side {
        let position = self.position + 1 + entry.preorder;
        Side { sequence: self.sequence, position, node: entry.node.clone() }
    }
}

impl DifferenceDirectory {
    /// The entry `diff/A..B`, where `text` names both as the user did. What the names mean may change; then it is
    /// another entry.
    pub fn top(text: &str, a: &Snapshot, b: &Snapshot) -> VirtualEntry {
        let key = format!("diff/{text}\0{}..{}", a.sequence, b.sequence).into_bytes();
        let directory = DifferenceDirectory { key: key.clone(), shows: Shows::All, a: Side::root(a), b: Side::root(b) };
        VirtualEntry { key, parent: inode::DIFF, kind: VirtualKind::Difference(Arc::new(directory)) }
    }

    /// Directories of a snapshot keep its metadata; `usual` holds what the others have.
    pub fn attributes(&self, usual: Attributes) -> Attributes {
        let shown = match self.shows {
            Shows::All => None,
            Shows::Removed => self.a.as_ref(),
            Shows::Added | Shows::Changed => self.b.as_ref(),
        };
        match shown {
            Some(Side { node, .. }) => Attributes {
                permissions: node.permissions,
                uid: node.uid,
                gid: node.gid,
                modified: node.modified,
                ..usual
            },
            None => usual,
        }
    }

    /// The child `name`.
    pub fn child(&self, view: &View, own_ino: u64, name: &[u8]) -> Result<Option<Child>> {
        if self.shows == Shows::All {
            let part = PARTS.iter().find(|(part, _)| part.as_bytes() == name);
            return Ok(part.map(|(part, shows)| self.part(own_ino, part, *shows)));
        }
        let tree = view.repository.tree()?;
        let find = |side: &Option<Side>| tree.lookup(&Side::directory(side), name);
        let (a, b) = (find(&self.a)?, find(&self.b)?);
        self.shown(view, own_ino, name, a, b)
    }

    /// Lists the children from behind the one whose place is `offset`.
    pub fn list(&self, view: &View, own_ino: u64, offset: u64, emit: &mut dyn FnMut(Listed) -> bool) -> Result<()> {
        let mut place = 0u64;
        let mut give = |name: &[u8], child: Option<Child>| {
            let Some(child) = child else { return Ok(true) };
            place += 1;
            if place <= offset {
                return Ok(true);
            }
            Ok::<_, Error>(emit(Listed { name: name.to_vec(), next: place, attributes: view.enter(child)? }))
        };
        if self.shows == Shows::All {
            for (part, shows) in PARTS {
                if !give(part.as_bytes(), Some(self.part(own_ino, part, shows)))? {
                    break;
                }
            }
            return Ok(());
        }
        for pair in Pairs::new(view.repository.tree()?, &Side::directory(&self.a), &Side::directory(&self.b)) {
            let (name, a, b) = pair?;
            let child = self.shown(view, own_ino, &name, a, b)?;
            if !give(&name, child)? {
                break;
            }
        }
        Ok(())
    }

    fn part(&self, own_ino: u64, name: &str, shows: Shows) -> Child {
        self.directory(own_ino, name.as_bytes(), shows, self.a.clone(), self.b.clone())
    }

    fn directory(&self, parent: u64, name: &[u8], shows: Shows, a: Option<Side>, b: Option<Side>) -> Child {
        let key = [&self.key[..], b"/", name].concat();
        let directory = Arc::new(DifferenceDirectory { key: key.clone(), shows, a, b });
        Child::Virtual(VirtualEntry { key, parent, kind: VirtualKind::Difference(directory) })
    }

    /// What this directory shows of an entry that one or both sides have.
    fn shown(
        &self,
        view: &View,
        own_ino: u64,
        name: &[u8],
        a: Option<Entry>,
        b: Option<Entry>,
    ) -> Result<Option<Child>> {
        let difference = Difference::of(a.as_ref(), b.as_ref());
        let tree = view.repository.tree()?;
        let side = |side: &Option<Side>, entry: &Option<Entry>| Some(side.as_ref()?.below(entry.as_ref()?));
        let (below_a, below_b) = (side(&self.a, &a), side(&self.b, &b));
        let whole = match (self.shows, difference) {
            (Shows::Added, Difference::OnlyOneSided) => {
                b.zip(self.b.as_ref()).map(|(entry, side)| (entry, side, None, below_b))
            }
            (Shows::Removed, Difference::OnlyOneSided) => {
                a.zip(self.a.as_ref()).map(|(entry, side)| (entry, side, below_a, None))
            }
            (Shows::Changed, Difference::Leaf) => b.zip(self.b.as_ref()).map(|(entry, side)| (entry, side, None, None)),
            (shows, Difference::Directories { itself, below }) => {
                let has_some = (shows == Shows::Changed && itself)
                    || below && holds(tree, shows, Side::directory(&below_a), Side::directory(&below_b))?;
                return Ok(has_some.then(|| self.directory(own_ino, name, shows, below_a, below_b)));
            }
            _ => None,
        };
        let Some((entry, from, below_a, below_b)) = whole else { return Ok(None) };
        if entry.node.directory().is_some() {
            return Ok(Some(self.directory(own_ino, name, self.shows, below_a, below_b)));
        }
        let located = view.snapshots.place(&view.repository, from.sequence, from.position, entry)?;
        // Its directory here may show something else tomorrow, the entry itself will not.
        Ok(Some(Child::Located(Attributes { lasting: false, ..located.attributes() })))
    }
}

/// How two entries of one name differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    /// One is missing, or they are of different types.
    OnlyOneSided,
    /// Both are of one type other than directory, and differ.
    Leaf,
    Directories {
        /// Their own metadata differ.
        itself: bool,
        /// Something below differs.
        below: bool,
    },
}

impl Difference {
    fn of(a: Option<&Entry>, b: Option<&Entry>) -> Difference {
        let (Some(a), Some(b)) = (a, b) else { return Difference::OnlyOneSided };
        match (&a.node.kind, &b.node.kind) {
            (NodeKind::Directory(below_a), NodeKind::Directory(below_b)) => {
                let (itself, below) = (!same_itself(&a.node, &b.node), below_a.page != below_b.page);
                if itself || below { Difference::Directories { itself, below } } else { Difference::None }
            }
            (kind_a, kind_b) if kind_a.letter() != kind_b.letter() => Difference::OnlyOneSided,
            (kind_a, kind_b) if kind_a == kind_b && same_itself(&a.node, &b.node) => Difference::None,
            _ => Difference::Leaf,
        }
    }
}

/// Whether the metadata of two entries are the same; names of owners and places of hard links aside.
fn same_itself(a: &Node, b: &Node) -> bool {
    let links = |node: &Node| node.hard_link.as_ref().map_or(1, |link| link.count);
    (a.permissions, a.uid, a.gid, a.modified, links(a)) == (b.permissions, b.uid, b.gid, b.modified, links(b))
        && a.xattrs == b.xattrs
}

/// Whether anything below these two directories would be shown. Stops at the first find.
fn holds(tree: TreeReader, shows: Shows, a: DirectoryRoot, b: DirectoryRoot) -> Result<bool> {
    let mut open = vec![(a, b)];
    while let Some((a, b)) = open.pop() {
        for pair in Pairs::new(tree, &a, &b) {
            let (_, a, b) = pair?;
            let found = match (Difference::of(a.as_ref(), b.as_ref()), shows) {
                (Difference::OnlyOneSided, Shows::Added) => b.is_some(),
                (Difference::OnlyOneSided, Shows::Removed) => a.is_some(),
                (Difference::Leaf, Shows::Changed) => true,
                (Difference::Directories { itself: true, .. }, Shows::Changed) => true,
                (Difference::Directories { below: true, .. }, _) => {
                    let below = |entry: Option<Entry>| entry.and_then(|it| it.node.directory().copied());
                    open.push((below(a).unwrap_or_default(), below(b).unwrap_or_default()));
                    false
                }
                _ => false,
            };
            if found {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The entries of two directories side by side, in order of names.
struct Pairs<'a> {
    a: std::iter::Peekable<crate::repository::tree::Entries<'a>>,
    b: std::iter::Peekable<crate::repository::tree::Entries<'a>>,
}

impl<'a> Pairs<'a> {
    fn new(tree: TreeReader<'a>, a: &DirectoryRoot, b: &DirectoryRoot) -> Pairs<'a> {
        Pairs { a: tree.entries(a).peekable(), b: tree.entries(b).peekable() }
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<(Vec<u8>, Option<Entry>, Option<Entry>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.a.peek(), self.b.peek()) {
            (None, None) => return None,
            (Some(Ok(a)), Some(Ok(b))) => a.name.cmp(&b.name),
            // An error is passed on by taking it.
            (Some(Err(_)), _) | (Some(_), None) => std::cmp::Ordering::Less,
            (_, Some(Err(_))) | (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        let a = if order.is_le() { self.a.next() } else { None };
        let b = if order.is_ge() { self.b.next() } else { None };
        Some((|| {
            let (a, b) = (a.transpose()?, b.transpose()?);
            let name = a.as_ref().or(b.as_ref()).map(|entry| entry.name.clone()).unwrap_or_default();
            Ok((name, a, b))
        })())
    }
}
