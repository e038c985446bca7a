//! View: the namespace that a mount shows, without the kernel. Snapshots are real directories; `latest`, `at/`, `ids/`
//! and `tags/` are symlinks to them; `diff/` holds what differs between two, and for dumps which rows do.

mod difference;
mod facts;
mod inode;
mod pair_table;
mod recent;
mod row_patches;
mod small_files;
mod snapshot_tree;
mod virtual_entry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::catalog::Catalog;
use crate::repository::node::DeviceNumber;
use crate::repository::snapshot::Snapshot;
use crate::time::{Clock, Timestamp};

pub use crate::repository::content_reader::Seek;
use difference::DifferenceTree;
use inode::Place;
use row_patches::PatchFiles;
pub use row_patches::{PATCHES_MIN, RowPatches, RowsChild};
pub use small_files::SmallFiles;
use snapshot_tree::SnapshotTree;
use virtual_entry::{VirtualEntries, VirtualEntry};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
}

/// What stat tells of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub ino: u64,
    pub kind: EntryKind,
    pub permissions: u16,
    pub link_count: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Data without holes, in units of 512 bytes.
    pub blocks: u64,
    pub device: DeviceNumber,
    pub modified: Timestamp,
    /// The size of reads that suits the entry.
    pub block_size: u32,
    /// It lies inside a snapshot and will never change: it may be remembered for ever.
    pub lasting: bool,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Found(Attributes),
    Absent {
        /// There will never be such an entry.
        lasting: bool,
    },
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Vec<u8>,
    /// Where a listing goes on behind this entry.
    pub next: u64,
    pub attributes: Attributes,
}

/// A name whose meaning changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    pub parent: u64,
    pub name: Vec<u8>,
    /// What the name led to, where it is gone.
    pub ino: Option<u64>,
}

/// What `statfs` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Logical bytes of all snapshots, and what is free where the repository lies.
    pub total_bytes: u64,
    pub used_bytes: u64,
    pub available_bytes: u64,
    /// Entries of all snapshots.
    pub used_files: u64,
    /// Files that have room where the repository lies.
    pub available_files: u64,
}

/// Who owns the entries that are in no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The namespace over one repository.
pub struct View {
    repository: Arc<Repository>,
    clock: Box<Clock>,
    owner: Owner,
    virtual_entries: VirtualEntries,
    snapshots: SnapshotTree,
    differences: DifferenceTree,
    /// Without, there is no `diff/A..B/rows`.
    patches: Option<PatchFiles>,
    used_bytes: AtomicU64,
    used_files: AtomicU64,
    listing_steps: AtomicU64,
}

/// Attributes of the snapshot's own facts, on its root.
const FACT_PREFIX: &str = "user.yesterfs.";

impl View {
    /// A view of everything in `repository`; `clock` tells what `2h-ago` means.
    pub fn new(repository: Arc<Repository>, owner: Owner, clock: Box<Clock>) -> Result<View> {
        // Opened now, so that a mount that answers can also read.
        repository.chunks()?;
        let view = View {
            repository,
            clock,
            owner,
            virtual_entries: VirtualEntries::new(),
            snapshots: SnapshotTree::new(),
            differences: DifferenceTree::new(),
            patches: None,
            used_bytes: AtomicU64::new(0),
            used_files: AtomicU64::new(0),
            listing_steps: AtomicU64::new(0),
        };
        view.sum_up(&view.repository.catalog());
        Ok(view)
    }

    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// Entries that listings outside of snapshots went through so far.
    pub fn listing_steps(&self) -> u64 {
        self.listing_steps.load(Ordering::Relaxed)
    }

    fn sum_up(&self, catalog: &Catalog) {
        let totals = catalog.snapshots().filter_map(|snapshot| snapshot.manifest.root.directory()).fold(
            (0u64, 0u64),
            |(bytes, files), root| {
                (bytes.saturating_add(root.totals.bytes), files.saturating_add(root.totals.descendants))
            },
        );
        self.used_bytes.store(totals.0, Ordering::Relaxed);
        self.used_files.store(totals.1, Ordering::Relaxed);
    }

    /// The entry `name` of the directory `parent`.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Lookup> {
        match Place::of(parent) {
            Place::InSnapshot { sequence, position } => {
                let located = self.snapshots.locate(&self.repository, sequence, position)?;
                if name == b".." {
                    return self.attributes(located.parent).map(Lookup::Found);
                }
                let found = self.snapshots.child(&self.repository, &located, name)?;
                Ok(found.map_or(Lookup::Absent { lasting: true }, |child| Lookup::Found(child.attributes())))
            }
            Place::InDifference(place) => {
                let directory = self.differences.directory(&self.repository, place)?;
                if name == b".." {
                    return self.attributes(directory.parent).map(Lookup::Found);
                }
                if name == row_patches::ROWS
                    && let Some(rows) = self.differences.rows(self, &directory)
                {
                    return self.enter(rows).map(Lookup::Found);
                }
                let found = self.differences.child(self, &directory, name)?;
                Ok(found.map_or(Lookup::Absent { lasting: true }, Lookup::Found))
            }
            Place::Virtual => {
                let entry = self.virtual_entry(parent)?;
                if name == b".." {
                    return self.attributes(entry.parent).map(Lookup::Found);
                }
                let child = self.virtual_child(parent, &entry, name)?;
                child.map_or(Ok(Lookup::Absent { lasting: false }), |child| self.enter(child).map(Lookup::Found))
            }
        }
    }

    /// What stat tells of an entry.
    ///
    /// # Errors
    /// [`Error::Stale`] where the snapshot was forgotten, or the number is not known any more.
    pub fn attributes(&self, ino: u64) -> Result<Attributes> {
        match Place::of(ino) {
            Place::InSnapshot { sequence, position } => {
                Ok(self.snapshots.locate(&self.repository, sequence, position)?.attributes())
            }
            Place::InDifference(place) => {
                let directory = self.differences.directory(&self.repository, place)?;
                let usual = || virtual_entry::directory_attributes(ino, self.owner, self.modified());
                Ok(directory.attributes().unwrap_or_else(usual))
            }
            Place::Virtual => {
                let entry = self.virtual_entry(ino)?;
                Ok(self.virtual_attributes(ino, &entry))
            }
        }
    }

    /// The target of a symlink.
    pub fn read_link(&self, ino: u64) -> Result<Vec<u8>> {
        match Place::of(ino) {
            Place::InSnapshot { sequence, position } => {
                self.snapshots.locate(&self.repository, sequence, position)?.link_target()
            }
            Place::Virtual => self.virtual_entry(ino)?.link_target(),
            Place::InDifference(_) => Err(inode::not_a("symlink", ino)),
        }
    }

    /// Lists a directory from `offset` on (0 at first, then [`Listed::next`]), `.` and `..` included, until `emit`
    /// returns false.
    pub fn list(&self, ino: u64, offset: u64, emit: &mut dyn FnMut(Listed) -> bool) -> Result<()> {
        let parent = match Place::of(ino) {
            Place::InSnapshot { sequence, position } => {
                self.snapshots.locate(&self.repository, sequence, position)?.parent
            }
            Place::InDifference(place) => self.differences.directory(&self.repository, place)?.parent,
            Place::Virtual => self.virtual_entry(ino)?.parent,
        };
        for (place, (name, dot)) in [(&b"."[..], ino), (&b".."[..], parent)].into_iter().enumerate() {
            let next = place as u64 + 1;
            let listed = || Ok::<_, Error>(Listed { name: name.to_vec(), next, attributes: self.attributes(dot)? });
            if offset < next && !emit(listed()?) {
                return Ok(());
            }
        }
        let offset = offset.saturating_sub(DOT_ENTRIES);
        let mut shifted = |mut listed: Listed| {
            listed.next += DOT_ENTRIES;
            emit(listed)
        };
        match Place::of(ino) {
            Place::InSnapshot { sequence, position } => {
                let located = self.snapshots.locate(&self.repository, sequence, position)?;
                self.snapshots.list(&self.repository, &located, offset, &mut shifted)
            }
            Place::InDifference(place) => {
                let directory = self.differences.directory(&self.repository, place)?;
                self.differences.list(self, &directory, offset, &mut shifted)
            }
            Place::Virtual => self.list_virtual(ino, offset, &mut shifted),
        }
    }

    /// Appends bytes of a file to `out`; fewer than `length` only at its end.
    pub fn read(&self, ino: u64, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        if Place::of(ino) == Place::Virtual {
            return self.read_patch(ino, offset, length, out);
        }
        let located = self.located(ino)?;
        self.repository.contents()?.read(located.content()?, offset, length, out)
    }

    /// As [`View::read`], as far as everything is in memory: false where that is not all of it.
    pub fn read_cached(&self, ino: u64, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<bool> {
        let Place::InSnapshot { sequence, position } = Place::of(ino) else { return Ok(false) };
        let Some(located) = self.snapshots.located_before(&self.repository, sequence, position) else {
            return Ok(false);
        };
        self.repository.contents()?.read_cached(located.content()?, offset, length, out)
    }

    /// Decodes a range of a file into the cache. What cannot be read is left to the read that needs it.
    pub fn prefetch(&self, ino: u64, offset: u64, length: u64) {
        let fetched = (|| {
            let located = self.located(ino)?;
            self.repository.contents()?.prefetch(located.content()?, offset, length)
        })();
        if let Err(error) = fetched {
            log::debug!("prefetching {length} bytes at {offset} of inode {ino}: {error}");
        }
    }

    /// The next data or hole from `offset` on, as `lseek(2)` tells it.
    pub fn seek(&self, ino: u64, offset: u64, whence: Seek) -> Result<Option<u64>> {
        if Place::of(ino) == Place::Virtual {
            return self.seek_patch(ino, offset, whence);
        }
        let located = self.located(ino)?;
        self.repository.contents()?.seek(located.content()?, offset, whence)
    }

    fn located(&self, ino: u64) -> Result<Arc<snapshot_tree::Located>> {
        match Place::of(ino) {
            Place::InSnapshot { sequence, position } => self.snapshots.locate(&self.repository, sequence, position),
            Place::InDifference(_) | Place::Virtual => Err(inode::not_a("regular file", ino)),
        }
    }

    /// The value of an extended attribute; on the root of a snapshot its facts too, and on what is in a dump how much of it that is,
    /// unless the source had one of that name.
    pub fn xattr(&self, ino: u64, name: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(stored) = self.stored_xattrs(ino)?.into_iter().find(|xattr| xattr.name == name) {
            return Ok(Some(stored.value));
        }
        let fact = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(FACT_PREFIX));
        fact.map_or(Ok(None), |fact| self.fact(ino, fact))
    }

    /// Names of the extended attributes that the source had; facts are not listed, or copies would differ.
    pub fn xattr_names(&self, ino: u64) -> Result<Vec<Vec<u8>>> {
        Ok(self.stored_xattrs(ino)?.into_iter().map(|xattr| xattr.name).collect())
    }

    fn stored_xattrs(&self, ino: u64) -> Result<Vec<crate::repository::node::Xattr>> {
        match Place::of(ino) {
            Place::InSnapshot { sequence, position } => {
                let located = self.snapshots.locate(&self.repository, sequence, position)?;
                self.repository.tree()?.xattrs(&located.node)
            }
            Place::InDifference(place) => {
                let directory = self.differences.directory(&self.repository, place)?;
                directory.shown().map_or(Ok(Vec::new()), |node| self.repository.tree()?.xattrs(node))
            }
            Place::Virtual => Ok(Vec::new()),
        }
    }

    /// Whether any entry of the snapshot that this one belongs to has extended attributes. Entries in no snapshot say yes:
    /// they are few, and `ls` takes a no from one of them for the whole mount.
    pub fn xattrs_supported(&self, ino: u64) -> bool {
        match Place::of(ino) {
            Place::InSnapshot { sequence, .. } => {
                self.repository.catalog().by_sequence(sequence).is_some_and(|snapshot| snapshot.manifest.has_xattrs)
            }
            Place::InDifference(_) | Place::Virtual => true,
        }
    }

    fn fact(&self, ino: u64, fact: &str) -> Result<Option<Vec<u8>>> {
        let repository = || Some(self.repository.id().to_string().into_bytes());
        match Place::of(ino) {
            Place::InSnapshot { position: 0, .. } if fact == "repository" => Ok(repository()),
            Place::InSnapshot { sequence, position } => {
                let catalog = self.repository.catalog();
                let Some(snapshot) = catalog.by_sequence(sequence) else { return Ok(None) };
                facts::of_entry(&self.repository, snapshot, position, fact)
            }
            Place::Virtual if ino == inode::ROOT && fact == "repository" => Ok(repository()),
            _ => Ok(None),
        }
    }

    pub fn statistics(&self) -> Result<Statistics> {
        let space = self.repository.backend().space()?;
        let (available_bytes, available_files) =
            space.map_or((0, 0), |space| (space.available_bytes, space.available_files));
        let used_bytes = self.used_bytes.load(Ordering::Relaxed);
        Ok(Statistics {
            total_bytes: used_bytes.saturating_add(available_bytes),
            used_bytes,
            available_bytes,
            used_files: self.used_files.load(Ordering::Relaxed),
            available_files,
        })
    }

    /// Reads what other processes added or forgot since, and tells which names have another meaning now.
    pub fn refresh(&self) -> Result<Vec<Invalidation>> {
        let before = self.repository.catalog();
        if !self.repository.refresh()? {
            return Ok(Vec::new());
        }
        let after = self.repository.catalog();
        self.sum_up(&after);
        let mut invalid = Vec::new();
        for gone in before.snapshots().filter(|it| after.by_sequence(it.sequence).is_none()) {
            self.invalidate(gone, Some(inode::root_of(gone.sequence)), &mut invalid);
        }
        for added in after.snapshots().filter(|it| before.by_sequence(it.sequence).is_none()) {
            self.invalidate(added, None, &mut invalid);
        }
        Ok(invalid)
    }

    fn invalidate(&self, snapshot: &Snapshot, ino: Option<u64>, invalid: &mut Vec<Invalidation>) {
        let source = &snapshot.manifest.source;
        let parent = virtual_entry::source_ino(source);
        let name = snapshot.manifest.name.clone().into_bytes();
        invalid.push(Invalidation { parent, name, ino });
        invalid.push(Invalidation { parent, name: virtual_entry::LATEST.to_vec(), ino: None });
        let name = source.clone().into_bytes();
        invalid.push(Invalidation { parent: inode::SNAPSHOTS, name, ino: None });
    }

    /// Attributes of a child, which the view now knows by its inode number.
    fn enter(&self, child: Child) -> Result<Attributes> {
        match child {
            Child::Virtual(entry) => {
                let (ino, entry) = self.virtual_entries.enter(entry);
                Ok(self.virtual_attributes(ino, &entry))
            }
            Child::Snapshot(snapshot) => self.attributes(inode::root_of(snapshot.sequence)),
            Child::Located(attributes) => Ok(attributes),
        }
    }

    fn virtual_attributes(&self, ino: u64, entry: &VirtualEntry) -> Attributes {
        // What "2h-ago" lists may change without a record.
        let modified = if entry.follows_the_clock() { (self.clock)() } else { self.modified() };
        let attributes = entry.attributes(ino, self.owner, modified);
        if entry.is_patch() {
            let size = self.patch_size_bytes(ino);
            return Attributes { size, blocks: size.div_ceil(512), ..attributes };
        }
        attributes
    }

    /// The time of what is in no snapshot: that of the newest one. Its fraction of a second is the number of the last record,
    /// since the kernel believes a listing for as long as the directory has the same time.
    fn modified(&self) -> Timestamp {
        let catalog = self.repository.catalog();
        let newest = catalog.snapshots().next_back().map(|it| it.manifest.started).unwrap_or_default();
        Timestamp { nanos: (catalog.sequence % NANOS_A_SECOND) as u32, ..newest }
    }
}

const NANOS_A_SECOND: u64 = 1_000_000_000;

/// `.` and `..` come before the entries of every directory.
const DOT_ENTRIES: u64 = 2;

/// A child of a virtual directory.
enum Child {
    Virtual(VirtualEntry),
    /// The root of a snapshot.
    Snapshot(Arc<Snapshot>),
    /// Any other entry.
    Located(Attributes),
}
