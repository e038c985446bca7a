//! Turns the steps of a walk, in order, into a tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crossbeam_channel::Receiver;

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::ingest::backups::Backups;
use crate::ingest::file::{CapturedEntry, Reading, base_node};
use crate::ingest::stretch::{ComingStretch, EnteredDirectory, Step};
use crate::ingest::walk::extend_path;
use crate::progress::{Counters, Problem};
use crate::repository::metadata::FirstNames;
use crate::repository::node::{DirectoryRoot, HardLink, Node, NodeKind, Xattrs};
use crate::repository::session::WriteSession;
use crate::repository::tree::{DirectoryWriter, Witness};

/// A tree that was built.
pub(super) struct BuiltTree {
    pub root: Node,
    pub witnesses: Option<ChunkId>,
    pub files: u64,
    pub has_xattrs: bool,
    pub backups: Backups,
}

/// Builds one tree.
pub(super) struct TreeBuilder<'a, 'r> {
    reading: &'a Reading<'a, 'r>,
    /// The directories that are being built, and the path of the last of them.
    stack: Vec<OpenDirectory<'a, 'r>>,
    path: Vec<u8>,
    first_names: FirstNames,
    files: u64,
    has_xattrs: bool,
    backups: Backups,
}

/// A directory that is being built.
struct OpenDirectory<'a, 'r> {
    name: Vec<u8>,
    /// Of the path of the directory above.
    parent_path_length: usize,
    node: Node,
    writer: DirectoryWriter<'a, WriteSession<'r>>,
}

impl<'a, 'r> TreeBuilder<'a, 'r> {
    pub fn new(reading: &'a Reading<'a, 'r>) -> TreeBuilder<'a, 'r> {
        let (stack, path, first_names) = (Vec::new(), Vec::new(), FirstNames::default());
        TreeBuilder { reading, stack, path, first_names, files: 0, has_xattrs: false, backups: Backups::default() }
    }

    pub fn build(mut self, coming: &Receiver<ComingStretch>) -> Result<BuiltTree> {
        for stretch in coming {
            let mut next = Some(stretch);
            while let Some(stretch) = next {
                let captured = stretch.recv().unwrap_or(Err(Error::Interrupted))?;
                for step in captured.steps {
                    if let Some((root, witnesses)) = self.take(step)? {
                        let TreeBuilder { files, has_xattrs, backups, .. } = self;
                        return Ok(BuiltTree { root, witnesses, files, has_xattrs, backups });
                    }
                }
                next = captured.rest;
            }
        }
        Err(Error::Interrupted)
    }

    /// Takes one step; the last one gives the root and its witnesses.
    fn take(&mut self, step: Step<CapturedEntry>) -> Result<Option<(Node, Option<ChunkId>)>> {
        match step {
            Step::Enter(directory) => self.enter(*directory)?,
            Step::Entry(entry) => self.add(entry)?,
            Step::Problem { name, reason } => self.problem(&name, reason),
            Step::Leave => return self.leave(),
        }
        Ok(None)
    }

    fn enter(&mut self, directory: EnteredDirectory) -> Result<()> {
        let (reading, EnteredDirectory { name, captured, xattrs, older }) = (self.reading, directory);
        Counters::add(&reading.monitor.counters().entries, 1);
        let parent_path_length = self.path.len();
        extend_path(&mut self.path, &name);
        let (xattrs, _) = reading.store_xattrs(xattrs, |reason| self.problem(b"", reason))?;
        self.has_xattrs |= xattrs != Xattrs::None;
        let node = base_node(&captured, reading.owners, xattrs, NodeKind::Directory(DirectoryRoot::default()));
        self.stack.push(OpenDirectory {
            name,
            parent_path_length,
            node,
            writer: DirectoryWriter::new(reading.session).beside(reading.session.chunks().store(), older),
        });
        Ok(())
    }

    fn add(&mut self, entry: CapturedEntry) -> Result<()> {
        for reason in entry.problems {
            self.problem(&entry.name, reason);
        }
        if let Some(told) = entry.told {
            self.backups.note(&self.path, &entry.name, *told);
        }
        let (Some(mut found), Some(open)) = (entry.found, self.stack.last_mut()) else { return Ok(()) };
        if let Some((file, count)) = found.linked {
            let directory_length = self.path.len();
            extend_path(&mut self.path, &entry.name);
            found.node.hard_link = Some(HardLink { count, first_path: self.first_names.of(file, count, &self.path) });
            self.path.truncate(directory_length);
        }
        self.has_xattrs |= found.node.xattrs != Xattrs::None;
        self.files += u64::from(matches!(found.node.kind, NodeKind::File { .. }));
        open.writer.push(&entry.name, &found.node, &found.witness)
    }

    fn leave(&mut self) -> Result<Option<(Node, Option<ChunkId>)>> {
        let Some(OpenDirectory { name, parent_path_length, mut node, writer }) = self.stack.pop() else {
            return Ok(None);
        };
        self.path.truncate(parent_path_length);
        let (root, witnesses) = writer.finish()?;
        node.kind = NodeKind::Directory(root);
        match self.stack.last_mut() {
            Some(parent) => parent.writer.push(&name, &node, &Witness::Below(witnesses)).map(|()| None),
            None => Ok(Some((node, witnesses))),
        }
    }

    /// Something could not be read: the entry of this name in the present directory, or that directory.
    fn problem(&self, name: &[u8], reason: String) {
        let mut path = self.path.clone();
        if !name.is_empty() {
            extend_path(&mut path, name);
        }
        self.reading.monitor.problem(Problem { path: PathBuf::from(OsStr::from_bytes(&path)), reason });
    }
}
