//! Entries inside snapshots, found by inode number or by name, with a bounded memory of those found lately.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::content::{Content, ContentBody, Extent};
use crate::repository::node::{DeviceNumber, DirectoryRoot, Node, NodeKind, RootPage, Xattr, Xattrs};
use crate::repository::snapshot::Snapshot;
use crate::repository::tree::{Entry, TreeReader};
use crate::store::cache::{ByteCache, Weight};
use crate::view::inode::{Place, ino_at, not_a};
use crate::view::virtual_entry::source_ino;
use crate::view::{Attributes, EntryKind, Listed};

/// Memory for entries found lately, and for first names of hard links.
const LOCATED_CACHE_BYTES: u64 = 16 << 20;
const FIRST_NAMES_CACHE_BYTES: u64 = 4 << 20;

/// What an entry found lately usually takes.
const USUAL_LOCATED_BYTES: u64 = 400;

/// Entries behind a directory that are looked at for further ones.
const DIRECTORIES_BEHIND: usize = 64;

/// Reads of a file are best this long; listings of a directory too, since the C library sizes its buffer by it.
const FILE_BLOCK_BYTES: u32 = 128 << 10;
pub(super) const DIRECTORY_BLOCK_BYTES: u32 = 1 << 20;

/// `st_size` of a directory: nothing relies on it.
const DIRECTORY_SIZE_BYTES: u64 = 4096;

/// An entry of a snapshot.
#[derive(Debug)]
pub(super) struct Located {
    pub ino: u64,
    pub parent: u64,
    pub node: Node,
    sequence: u64,
    position: u64,
}

impl Weight for Arc<Located> {
    fn weight_bytes(&self) -> u64 {
        (size_of::<Located>() - size_of::<Node>()) as u64 + node_bytes(&self.node)
    }
}

/// What a node takes in memory.
pub(super) fn node_bytes(node: &Node) -> u64 {
    let link = node.hard_link.as_ref().map_or(0, |link| link.first_path.len());
    let xattrs = match &node.xattrs {
        Xattrs::Inline(list) => {
            list.iter().map(|xattr| size_of::<Xattr>() + xattr.name.len() + xattr.value.len()).sum()
        }
        _ => 0,
    };
    let body = match &node.kind {
        NodeKind::Symlink { target } => target.len(),
        NodeKind::Directory(DirectoryRoot { page: Some(RootPage::Inline(page)), .. }) => page.len(),
        NodeKind::File { content, .. } => match &content.body {
            ContentBody::Inline(bytes) => bytes.len(),
            ContentBody::Extents(extents) => extents.len() * size_of::<Extent>(),
            ContentBody::Tree { .. } => 0,
        },
        _ => 0,
    };
    (size_of::<Node>() + node.owner.len() + node.group.len() + link + xattrs + body) as u64
}

/// Where the first name of a file is.
#[derive(Clone, Copy)]
struct FirstPosition {
    position: u64,
    /// Of the key, which dwarfs the value.
    path_bytes: u64,
}

impl Weight for FirstPosition {
    fn weight_bytes(&self) -> u64 {
        size_of::<FirstPosition>() as u64 + self.path_bytes
    }
}

/// Finds entries of snapshots.
pub(super) struct SnapshotTree {
    located: ByteCache<u64, Arc<Located>>,
    first_names: ByteCache<(u64, Vec<u8>), FirstPosition>,
}

impl Located {
    pub fn attributes(&self) -> Attributes {
        attributes_of(self.ino, &self.node)
    }

    pub fn content(&self) -> Result<&Content> {
        match &self.node.kind {
            NodeKind::File { content, .. } => Ok(content),
            _ => Err(not_a("regular file", self.ino)),
        }
    }

    pub fn directory(&self) -> Result<&DirectoryRoot> {
        self.node.directory().ok_or_else(|| not_a("directory", self.ino))
    }

    pub fn link_target(&self) -> Result<Vec<u8>> {
        match &self.node.kind {
            NodeKind::Symlink { target } => Ok(target.clone()),
            _ => Err(not_a("symlink", self.ino)),
        }
    }
}

/// What stat tells of an entry in a snapshot.
pub(super) fn attributes_of(ino: u64, node: &Node) -> Attributes {
    let no_device = DeviceNumber { major: 0, minor: 0 };
    let (kind, device) = match &node.kind {
        NodeKind::File { .. } => (EntryKind::File, no_device),
        NodeKind::Directory(_) => (EntryKind::Directory, no_device),
        NodeKind::Symlink { .. } => (EntryKind::Symlink, no_device),
        NodeKind::Fifo => (EntryKind::Fifo, no_device),
        NodeKind::Socket => (EntryKind::Socket, no_device),
        NodeKind::CharacterDevice(device) => (EntryKind::CharacterDevice, *device),
        NodeKind::BlockDevice(device) => (EntryKind::BlockDevice, *device),
    };
    let (size, data_bytes, block_size, link_count) = match &node.kind {
        NodeKind::Directory(root) => {
            let subdirectories = u32::try_from(root.totals.directories).unwrap_or(u32::MAX);
            (DIRECTORY_SIZE_BYTES, 0, DIRECTORY_BLOCK_BYTES, subdirectories.saturating_add(2))
        }
        kind => {
            let data_bytes = if let NodeKind::File { content, .. } = kind { content.data_bytes } else { 0 };
            (node.size(), data_bytes, FILE_BLOCK_BYTES, node.hard_link.as_ref().map_or(1, |link| link.count))
        }
    };
    Attributes {
        ino,
        kind,
        permissions: node.permissions,
        link_count,
        uid: node.uid,
        gid: node.gid,
        size,
        blocks: data_bytes.div_ceil(512),
        device,
        modified: node.modified,
        block_size,
        lasting: true,
    }
}

impl SnapshotTree {
    pub fn new() -> SnapshotTree {
        SnapshotTree {
            located: ByteCache::new(LOCATED_CACHE_BYTES, USUAL_LOCATED_BYTES),
            first_names: ByteCache::new(FIRST_NAMES_CACHE_BYTES, USUAL_LOCATED_BYTES),
        }
    }

    /// The entry at a position, if it was found lately and its snapshot still exists.
    pub fn located_before(&self, repository: &Repository, sequence: u64, position: u64) -> Option<Arc<Located>> {
        let located = self.located.get(&ino_at(sequence, position))?;
        repository.catalog().by_sequence(sequence).map(|_| located)
    }

    /// The entry at a position of a snapshot.
    pub fn locate(&self, repository: &Repository, sequence: u64, position: u64) -> Result<Arc<Located>> {
        let catalog = repository.catalog();
        let gone = || Error::Stale { what: "snapshot with number", number: sequence };
        let snapshot = catalog.by_sequence(sequence).ok_or_else(gone)?;
        let ino = ino_at(sequence, position);
        self.located.get_or_load(&ino, || {
            let tree = repository.tree()?;
            let found = descend(tree, snapshot, position)?;
            self.remember_directories_behind(tree, &found);
            Ok(Arc::new(found.located))
        })
    }

    /// Remembers the directories behind one that was found by its number: whoever walks a tree opens them next, and each way
    /// down goes through all that stands before.
    fn remember_directories_behind(&self, tree: TreeReader, found: &Found) {
        let Found { located, beside: Some(beside) } = found else { return };
        if located.node.directory().is_none() {
            return;
        }
        let behind = tree.entries_from(&beside.directory, beside.ordinal + 1).take(DIRECTORIES_BEHIND);
        // What cannot be read tells whoever asks for it.
        for entry in behind.map_while(Result::ok).filter(|entry| entry.node.directory().is_some()) {
            let position = beside.position.saturating_add(1).saturating_add(entry.preorder);
            let (sequence, parent) = (located.sequence, located.parent);
            let ino = ino_at(sequence, position);
            self.located.insert(ino, Arc::new(Located { ino, parent, node: entry.node, sequence, position }));
        }
    }

    /// The entry `name` of a directory.
    pub fn child(&self, repository: &Repository, parent: &Located, name: &[u8]) -> Result<Option<Arc<Located>>> {
        let Some(entry) = repository.tree()?.lookup(parent.directory()?, name)? else { return Ok(None) };
        let (sequence, position) =
            (parent.sequence, self.shared_position(repository, parent.sequence, parent.position, &entry)?);
        let located = Arc::new(Located {
            ino: ino_at(sequence, position),
            parent: parent.ino,
            node: entry.node,
            sequence,
            position,
        });
        self.located.insert(located.ino, located.clone());
        Ok(Some(located))
    }

    /// What stat tells of an entry of the directory at `parent_position`, under the number that all its names share.
    pub fn entry_attributes(
        &self,
        repository: &Repository,
        sequence: u64,
        parent_position: u64,
        entry: &Entry,
    ) -> Result<Attributes> {
        let position = self.shared_position(repository, sequence, parent_position, entry)?;
        Ok(attributes_of(ino_at(sequence, position), &entry.node))
    }

    /// The position of the first name of an entry of the directory at `parent_position`: hard links are one inode.
    fn shared_position(
        &self,
        repository: &Repository,
        sequence: u64,
        parent_position: u64,
        entry: &Entry,
    ) -> Result<u64> {
        let own = parent_position.saturating_add(1).saturating_add(entry.preorder);
        let Some(link) = &entry.node.hard_link else { return Ok(own) };
        let key = (sequence, link.first_path.clone());
        let first = self.first_names.get_or_load(&key, || {
            let catalog = repository.catalog();
            let snapshot = catalog.by_sequence(sequence);
            let find = |snapshot| position_of_path(repository.tree()?, snapshot, &link.first_path);
            // A subtree of a snapshot may hold names whose first one it does not hold.
            let position = snapshot.map_or(Ok(None), |snapshot| find(snapshot))?.unwrap_or(own);
            Ok::<_, Error>(FirstPosition { position, path_bytes: link.first_path.len() as u64 })
        })?;
        Ok(first.position)
    }

    /// Lists what comes behind an entry in its directory, by inode number and node, until `emit` says false.
    pub fn list_behind(
        &self,
        repository: &Repository,
        entry: &Located,
        emit: &mut dyn FnMut(u64, &Node) -> Result<bool>,
    ) -> Result<()> {
        let Place::InSnapshot { position, .. } = Place::of(entry.parent) else { return Ok(()) };
        let directory = self.locate(repository, entry.sequence, position)?;
        let (tree, root) = (repository.tree()?, directory.directory()?);
        let within = entry.position.saturating_sub(position).saturating_sub(1);
        let Some(Entry { ordinal, .. }) = tree.entry_at(root, within)? else { return Ok(()) };
        for entry in tree.entries_from(root, ordinal + 1) {
            let entry = entry?;
            let position = self.shared_position(repository, directory.sequence, directory.position, &entry)?;
            if !emit(ino_at(directory.sequence, position), &entry.node)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lists a directory's entries from an ordinal on.
    pub fn list(
        &self,
        repository: &Repository,
        directory: &Located,
        ordinal: u64,
        emit: &mut dyn FnMut(Listed) -> bool,
    ) -> Result<()> {
        for entry in repository.tree()?.entries_from(directory.directory()?, ordinal) {
            let entry = entry?;
            let attributes = self.entry_attributes(repository, directory.sequence, directory.position, &entry)?;
            if !emit(Listed { name: entry.name, next: entry.ordinal + 1, attributes }) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// An entry that was found by its position.
struct Found {
    located: Located,
    /// The directory that it is in; the root of a snapshot is in none.
    beside: Option<Beside>,
}

/// Where an entry stands in its directory.
struct Beside {
    directory: DirectoryRoot,
    /// Of the directory.
    position: u64,
    /// Of the entry.
    ordinal: u64,
}

/// Walks down to the entry at a position, by the counts in the tree's pages.
fn descend(tree: TreeReader, snapshot: &Snapshot, position: u64) -> Result<Found> {
    let sequence = snapshot.sequence;
    let ino = ino_at(sequence, position);
    let mut found = Found {
        located: Located {
            ino,
            parent: source_ino(&snapshot.manifest.source),
            node: snapshot.manifest.root.clone(),
            sequence,
            position: 0,
        },
        beside: None,
    };
    let is_there = tree.descend(&snapshot.manifest.root, position, |entry, position| {
        let above = &found.located;
        let beside = above.node.directory().map(|directory| Beside {
            directory: directory.clone(),
            position: above.position,
            ordinal: entry.ordinal,
        });
        let parent = ino_at(sequence, above.position);
        found = Found { located: Located { ino, parent, node: entry.node, sequence, position }, beside };
        Ok(())
    })?;
    if !is_there {
        let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
        return Err(Error::invalid("inode", ino.to_string(), format!("{name} has no such entry")));
    }
    Ok(found)
}

/// The position of the entry at a path.
fn position_of_path(tree: TreeReader, snapshot: &Snapshot, path: &[u8]) -> Result<Option<u64>> {
    let mut node = snapshot.manifest.root.clone();
    let mut position = 0u64;
    for name in path.split(|&byte| byte == b'/') {
        let Some(root) = node.directory() else { return Ok(None) };
        let Some(entry) = tree.lookup(root, name)? else { return Ok(None) };
        position += 1 + entry.preorder;
        node = entry.node;
    }
    Ok(Some(position))
}
