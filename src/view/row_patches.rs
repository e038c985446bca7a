//! `diff/A..B/rows/<database>/<table>.sql`, or `<database>/<schema>/<table>.sql`: the statements that make of a table as A has it
//! what B has. Of MongoDB `<database>/<collection>.json`: the documents that differ. They are written when somebody reads the file. Until then it has a size of 0, as files of `/proc` do, and listing computes nothing.
//!
//! Whether a kernel opens files by itself or not, it asks for the attributes of an open file before it believes that nothing is
//! behind its end. That request is told apart from that of `stat`, and answered with the true size.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::view::difference::Part;
use crate::view::inode::{DifferencePlace, Place, not_a};
use crate::view::recent::Recent;
use crate::view::virtual_entry::{VirtualEntry, VirtualKind};
use crate::view::{Attributes, Child, Seek, View};

/// The directory in `diff/A..B`.
pub(super) const ROWS: &[u8] = b"rows";

/// The fewest patches that can be kept: one in use, and one that is coming.
pub const PATCHES_MIN: usize = 2;

/// What finds the tables that differ, and writes patches. A path is names in `rows`, from there down.
pub trait RowPatches: Send + Sync {
    /// Whether both snapshots are dumps whose rows can be told apart.
    fn are_comparable(&self, pair: [&Snapshot; 2]) -> bool;

    /// What is in a directory: only what leads to tables that differ.
    fn children(&self, repository: &Repository, pair: [&Snapshot; 2], path: &[Vec<u8>]) -> Result<Vec<RowsChild>>;

    /// The one of this name, if it is there.
    fn child(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        path: &[Vec<u8>],
        name: &[u8],
    ) -> Result<Option<RowsChild>>;

    /// Writes the patch at this path into a file that goes with its last user, until `is_given_up`.
    fn write(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        path: &[Vec<u8>],
        is_given_up: &AtomicBool,
    ) -> Result<File>;
}

/// A directory in `rows`, or a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsChild {
    pub name: Vec<u8>,
    pub is_patch: bool,
}

/// `rows`, or something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowsPlace {
    path: Vec<Vec<u8>>,
    pub is_patch: bool,
}

impl RowsPlace {
    fn child(&self, child: RowsChild) -> RowsPlace {
        RowsPlace { path: [&self.path[..], &[child.name]].concat(), is_patch: child.is_patch }
    }
}

/// A patch that was written.
#[derive(Debug)]
struct Patch {
    file: File,
    size_bytes: u64,
}

/// Patches that were written lately.
pub(super) struct PatchFiles {
    writer: Box<dyn RowPatches>,
    /// By inode number.
    known: Mutex<Recent<u64, Arc<Patch>>>,
    /// One is written at a time: each may take as much memory as rows are given.
    writing: Mutex<()>,
    is_given_up: AtomicBool,
}

impl PatchFiles {
    pub fn new(writer: Box<dyn RowPatches>, kept: usize) -> PatchFiles {
        let known = Mutex::new(Recent::new(kept.max(PATCHES_MIN)));
        PatchFiles { writer, known, writing: Mutex::new(()), is_given_up: AtomicBool::new(false) }
    }

    fn known(&self, ino: u64) -> Option<Arc<Patch>> {
        lock(&self.known).get(&ino)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A table whose holder panicked is still a whole table.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualEntry {
    fn rows(pair: u64, place: RowsPlace, parent: u64) -> VirtualEntry {
        let above = format!("diff/{pair}/rows");
        let key = place.path.iter().fold(above.into_bytes(), |key, name| [&key[..], b"/", name].concat());
        VirtualEntry { key, parent, kind: VirtualKind::Rows { pair, place } }
    }
}

impl View {
    /// The view, with the rows of dumps that differ, which `writer` tells. So many patches are kept, each in a file without a name.
    pub fn showing_rows(mut self, writer: Box<dyn RowPatches>, kept: usize) -> View {
        self.patches = Some(PatchFiles::new(writer, kept));
        self
    }

    /// `diff/A..B/rows`, where both are dumps whose rows can be told apart.
    pub(super) fn rows_of_pair(&self, pair: u64, snapshots: [&Snapshot; 2]) -> Option<Child> {
        let patches = self.patches.as_ref().filter(|patches| patches.writer.are_comparable(snapshots));
        let above = DifferencePlace { pair, part: Part::Whole, position: 0 };
        let place = RowsPlace { path: Vec::new(), is_patch: false };
        patches.map(|_| Child::Virtual(VirtualEntry::rows(pair, place, above.ino())))
    }

    fn with_patches<T>(&self, pair: u64, act: impl FnOnce(&PatchFiles, [&Snapshot; 2]) -> Result<T>) -> Result<T> {
        let stale = Error::Stale { what: "pair of snapshots", number: pair };
        let (Some(patches), named) = (&self.patches, self.differences.pairs.get(pair)?) else { return Err(stale) };
        let catalog = self.repository.catalog();
        match [named.a, named.b].map(|sequence| catalog.by_sequence(sequence)) {
            [Some(a), Some(b)] => act(patches, [a, b]),
            _ => Err(stale),
        }
    }

    /// The child `name` of one of the directories.
    pub(super) fn rows_child(&self, ino: u64, pair: u64, place: &RowsPlace, name: &[u8]) -> Result<Option<Child>> {
        if place.is_patch {
            return Err(not_a("directory", ino));
        }
        let found = self.with_patches(pair, |patches, snapshots| {
            patches.writer.child(&self.repository, snapshots, &place.path, name)
        })?;
        Ok(found.map(|child| Child::Virtual(VirtualEntry::rows(pair, place.child(child), ino))))
    }

    /// All children of one of the directories: names, and what they are.
    pub(super) fn rows_children(&self, ino: u64, pair: u64, place: &RowsPlace) -> Result<Vec<(Vec<u8>, Child)>> {
        if place.is_patch {
            return Err(not_a("directory", ino));
        }
        let found = self.with_patches(pair, |patches, snapshots| {
            patches.writer.children(&self.repository, snapshots, &place.path)
        })?;
        let named = found
            .into_iter()
            .map(|child| (child.name.clone(), Child::Virtual(VirtualEntry::rows(pair, place.child(child), ino))));
        Ok(named.collect())
    }

    /// The size of a patch, as far as it was written.
    pub(super) fn patch_size_bytes(&self, ino: u64) -> u64 {
        self.patches.as_ref().and_then(|patches| patches.known(ino)).map_or(0, |patch| patch.size_bytes)
    }

    /// Whether the attributes of an open file are still to be found out, by [`View::completed_attributes`], which takes long.
    pub fn is_incomplete(&self, ino: u64) -> bool {
        let Some(patches) = self.patches.as_ref().filter(|_| Place::of(ino) == Place::Virtual) else { return false };
        let is_patch = || self.virtual_entries.get(ino).is_ok_and(|entry| entry.is_patch());
        is_patch() && patches.known(ino).is_none()
    }

    /// What stat tells of a patch, which is written for that.
    pub fn completed_attributes(&self, ino: u64) -> Result<Attributes> {
        self.patch(ino)?;
        self.attributes(ino)
    }

    /// Stops writing patches, and writes no more: the mount ends.
    pub fn give_up_patches(&self) {
        self.patches.iter().for_each(|patches| patches.is_given_up.store(true, Ordering::Relaxed));
    }

    fn patch(&self, ino: u64) -> Result<Arc<Patch>> {
        let entry = self.virtual_entry(ino)?;
        let VirtualKind::Rows { pair, place: RowsPlace { path, is_patch: true } } = &entry.kind else {
            return Err(not_a("regular file", ino));
        };
        self.with_patches(*pair, |patches, snapshots| {
            if let Some(known) = patches.known(ino) {
                return Ok(known);
            }
            let _alone = lock(&patches.writing);
            if let Some(known) = patches.known(ino) {
                return Ok(known);
            }
            let file = patches.writer.write(&self.repository, snapshots, path, &patches.is_given_up)?;
            let length = file.metadata().map_err(Error::io("read", "a temporary file"))?.len();
            let patch = Arc::new(Patch { file, size_bytes: length });
            lock(&patches.known).insert(ino, patch.clone());
            Ok(patch)
        })
    }

    /// Appends bytes of a patch to `out`; fewer than `length` only at its end.
    pub(super) fn read_patch(&self, ino: u64, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let patch = self.patch(ino)?;
        let length = patch.size_bytes.saturating_sub(offset).min(length as u64) as usize;
        let start = out.len();
        out.resize(start + length, 0);
        patch.file.read_exact_at(&mut out[start..], offset).map_err(Error::io("read", "a temporary file"))
    }

    /// There are no holes in a patch but behind its end.
    pub(super) fn seek_patch(&self, ino: u64, offset: u64, whence: Seek) -> Result<Option<u64>> {
        let size = self.patch(ino)?.size_bytes;
        let found = match whence {
            Seek::Data => offset,
            Seek::Hole => size,
        };
        Ok((offset < size).then_some(found))
    }
}
